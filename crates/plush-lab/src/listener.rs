//! Servers that are not sshd, for port 22 of a host that misbehaves.
//!
//! Each lives in a process of its own, as the host's init starts it, until it is killed.

use crate::protocol::Service;
use anyhow::{Context as _, Result};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

const JUNK_PERIOD: Duration = Duration::from_secs(1);

/// Listens on port 22.
pub fn bind() -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, 22)).context("cannot listen on port 22")
}

/// Serves every connection as asked, for ever.
pub fn serve(listener: &TcpListener, service: Service) {
    for stream in listener.incoming().flatten() {
        thread::spawn(move || answer(stream, service));
    }
}

fn answer(mut stream: TcpStream, service: Service) {
    // That the client went away ends the conversation and nothing else.
    let _ = match service {
        Service::Sshd | Service::Silent => Ok(()),
        Service::BannerOnly => stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
        Service::JunkBanner => send_junk(&mut stream),
        Service::Http => stream.write_all(
            b"HTTP/1.1 400 Bad Request\r\nServer: plush-lab\r\nConnection: close\r\n\r\n",
        ),
    };
    if service != Service::Http {
        let _ = std::io::copy(&mut stream.take(u64::MAX), &mut std::io::sink());
    }
}

fn send_junk(stream: &mut TcpStream) -> std::io::Result<()> {
    loop {
        stream.write_all(b"this host is under maintenance, please wait\r\n")?;
        // The pause is the fault itself: a line every second.
        thread::sleep(JUNK_PERIOD);
    }
}
