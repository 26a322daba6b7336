//! A small HTTP server whose every misbehaviour is chosen by the test.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What a handler is given: the number of the request (from 0), its head, and the stream to answer on.
pub type Handler = dyn Fn(usize, &str, &mut dyn Stream) + Send + Sync;

/// Something to answer on.
pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// A server on its own thread; it ends with the test's process.
pub struct Server {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn new(handler: impl Fn(usize, &str, &mut dyn Stream) + Send + Sync + 'static) -> Server {
        Server::with(Arc::new(handler), None)
    }

    pub fn tls(
        config: Arc<rustls::ServerConfig>,
        handler: impl Fn(usize, &str, &mut dyn Stream) + Send + Sync + 'static,
    ) -> Server {
        Server::with(Arc::new(handler), Some(config))
    }

    fn with(handler: Arc<Handler>, config: Option<Arc<rustls::ServerConfig>>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let server = Server { address, heads: Arc::clone(&heads) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (handler, heads, config) =
                    (Arc::clone(&handler), Arc::clone(&heads), config.clone());
                std::thread::spawn(move || serve(stream.unwrap(), config, &*handler, &heads));
            }
        });
        server
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    config: Option<Arc<rustls::ServerConfig>>,
    handler: &Handler,
    heads: &Mutex<Vec<String>>,
) {
    match config {
        None => answer(&mut stream, handler, heads),
        Some(config) => {
            let connection = rustls::ServerConnection::new(config).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream.try_clone().unwrap());
            answer(&mut tls, handler, heads);
            tls.conn.send_close_notify();
            let _ = tls.conn.complete_io(&mut tls.sock);
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read(&mut [0; 1024]);
}

fn answer(stream: &mut dyn Stream, handler: &Handler, heads: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let number = {
        let mut heads = heads.lock().unwrap();
        heads.push(head.clone());
        heads.len() - 1
    };
    handler(number, &head, stream);
}

/// A whole, honest answer.
pub fn send(stream: &mut dyn Stream, status: &str, fields: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body))
        .and_then(|()| stream.flush());
}

/// The value of a field of a request.
pub fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// An answer that honours a range.
pub fn send_range(stream: &mut dyn Stream, head: &str, fields: &str, body: &[u8]) {
    let from = field(head, "Range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match from {
        None => send(stream, "200 OK", fields, body),
        Some(from) => {
            let range = format!(
                "Content-Range: bytes {from}-{}/{}\r\n{fields}",
                body.len() - 1,
                body.len()
            );
            send(stream, "206 Partial Content", &range, &body[from..]);
        }
    }
}
