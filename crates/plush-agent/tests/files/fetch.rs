//! Claims about fetching.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plush_agent::files::digest::{Algorithm, Digest, of_bytes};
use plush_agent::files::fetch::{
    Cause, FetchError, Fetched, Limits, Order, RedirectRefusal, fetch,
};
use plush_agent::files::http::Trouble;
use plush_agent::files::http::dial::Network;
use plush_agent::files::http::resolve::Resolver;
use plush_agent::files::http::watch::Stop;
use plush_agent::files::root::Root;

use crate::server::{Server, field, send, send_range};
use crate::{go_on, told};

fn limits() -> Limits {
    Limits {
        size_bytes: 8 << 20,
        total_ms: 20_000,
        stall_ms: 5_000,
        connect_ms: 2_000,
        redirects: 5,
        retries: 3,
        backoff_ms: 20,
        backoff_most_ms: 100,
    }
}

fn order(url: &str) -> Order {
    Order { limits: limits(), ..Order::of(url) }
}

fn body() -> Vec<u8> {
    (0..500_000u32)
        .flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes())
        .take(1_000_000)
        .collect()
}

/// Fetches and returns the bytes; on failure nothing must be left.
fn get(order: &Order, network: &Network) -> Result<(Fetched, Vec<u8>), FetchError> {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let outcome = fetch(order, network, &root, Path::new("file"), &mut go_on);
    match outcome {
        Ok(fetched) => {
            let bytes = std::fs::read(dir.path().join("file")).unwrap();
            assert_eq!(fetched.digests.bytes, bytes.len() as u64);
            assert_eq!(fetched.digests.blake3, of_bytes(&bytes, Algorithm::Blake3));
            assert_eq!(fetched.digests.sha256, of_bytes(&bytes, Algorithm::Sha256));
            Ok((fetched, bytes))
        }
        Err(error) => {
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "something is left");
            Err(error)
        }
    }
}

fn refusal(order: &Order) -> FetchError {
    get(order, &Network::default()).map(|(fetched, _)| panic!("fetched: {fetched:?}")).unwrap_err()
}

#[test]
fn a_file_arrives_whole_in_every_framing() {
    let server = Server::new(|_, head, stream| match head.split(' ').nth(1).unwrap() {
        "/length" => send(stream, "200 OK", "", &body()),
        "/chunked" => {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
            for chunk in body().chunks(77_777) {
                stream.write_all(format!("{:X};x=y\r\n", chunk.len()).as_bytes()).unwrap();
                stream.write_all(chunk).unwrap();
                stream.write_all(b"\r\n").unwrap();
            }
            stream.write_all(b"0\r\nTrailer: t\r\n\r\n").unwrap();
        }
        "/close" => {
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").unwrap();
            stream.write_all(&body()).unwrap();
        }
        "/empty" => send(stream, "200 OK", "", b""),
        other => panic!("{other}"),
    });
    for path in ["/length", "/chunked", "/close"] {
        let (fetched, bytes) = get(&order(&server.url(path)), &Network::default())
            .unwrap_or_else(|error| panic!("{path}: {}", told(&error)));
        assert!(bytes == body() && fetched.attempts == 1, "{path}");
    }
    assert_eq!(get(&order(&server.url("/empty")), &Network::default()).unwrap().1, b"");
    assert!(server.heads()[0].starts_with("GET /length HTTP/1.1\r\nHost: 127.0.0.1:"));
}

#[test]
fn digests_and_size_are_checked_and_a_wrong_one_is_tried_once_more() {
    let server = Server::new(|_, _, stream| send(stream, "200 OK", "", &body()));
    let right = [of_bytes(&body(), Algorithm::Sha256), of_bytes(&body(), Algorithm::Blake3)];
    let (_, bytes) = get(
        &Order { expected: right.to_vec(), size: Some(1_000_000), ..order(&server.url("/f")) },
        &Network::default(),
    )
    .unwrap();
    assert!(bytes == body());
    let wrong: Digest = "00".repeat(32).parse().unwrap();
    let error = refusal(&Order { expected: vec![right[1], wrong], ..order(&server.url("/f")) });
    assert!(
        matches!(&error.cause, Cause::WrongDigest { expected, found } if **expected == wrong && **found == right[0]),
        "{}",
        told(&error)
    );
    assert_eq!((error.attempts, error.status, error.bytes), (2, Some(200), 1_000_000));
    let error = refusal(&Order { size: Some(999_999), ..order(&server.url("/f")) });
    assert!(matches!(error.cause, Cause::WrongSize { expected: 999_999 }), "{}", told(&error));
}

#[test]
fn a_bit_that_flips_once_is_fetched_again() {
    let server = Server::new(|number, _, stream| {
        let mut bytes = body();
        if number == 0 {
            bytes[500_000] ^= 4;
        }
        send(stream, "200 OK", "ETag: \"same\"\r\n", &bytes);
    });
    let expected = vec![of_bytes(&body(), Algorithm::Blake3)];
    let (fetched, bytes) =
        get(&Order { expected, ..order(&server.url("/f")) }, &Network::default()).unwrap();
    assert!(bytes == body() && fetched.attempts == 2);
    assert!(field(&server.heads()[1], "Range").is_none(), "a wrong file must not be gone on with");
}

#[test]
fn a_missing_file_is_an_error_at_once_and_names_what_was_asked() {
    let server = Server::new(|_, _, stream| send(stream, "404 Not Found", "", b"no such file"));
    let error = refusal(&order(
        &server.url("/secret.tar?token=hush").replace("http://", "http://user:word@"),
    ));
    assert!(matches!(error.cause, Cause::Status(404)));
    assert_eq!((error.status, error.attempts, server.heads().len()), (Some(404), 1, 1));
    assert_eq!(error.url, format!("http://{}/secret.tar?...", server.address));
    assert!(!told(&error).contains("hush") && !told(&error).contains("word"), "{}", told(&error));
    assert_eq!(field(&server.heads()[0], "Authorization"), Some("Basic dXNlcjp3b3Jk"));
}

#[test]
fn a_server_in_trouble_is_asked_again_within_a_budget() {
    let server = Server::new(|number, _, stream| match number {
        0 => send(stream, "500 Oops", "", b""),
        1 => send(stream, "503 Busy", "Retry-After: 1\r\n", b""),
        _ => send(stream, "200 OK", "", b"at last"),
    });
    let begun = Instant::now();
    let (fetched, bytes) = get(&order(&server.url("/f")), &Network::default()).unwrap();
    assert_eq!((fetched.attempts, bytes.as_slice()), (3, &b"at last"[..]));
    assert!(begun.elapsed() >= Duration::from_secs(1), "Retry-After was not honoured");
    let always = Server::new(|_, _, stream| send(stream, "500 Oops", "", b""));
    let error = refusal(&order(&always.url("/f")));
    assert!(matches!(error.cause, Cause::Status(500)));
    assert_eq!((error.attempts, always.heads().len()), (4, 4));
}

#[test]
fn the_next_mirror_is_asked_when_one_fails() {
    let gone = Server::new(|_, _, stream| send(stream, "404 Not Found", "", b""));
    let wrong = Server::new(|_, _, stream| send(stream, "200 OK", "", b"something else"));
    let right = Server::new(|_, _, stream| send(stream, "200 OK", "", b"it"));
    let urls = vec!["ftp://x/".to_owned(), gone.url("/"), wrong.url("/"), right.url("/")];
    let expected = vec![of_bytes(b"it", Algorithm::Sha256)];
    let (fetched, bytes) =
        get(&Order { urls, expected, ..order("") }, &Network::default()).unwrap();
    assert_eq!((bytes.as_slice(), fetched.attempts, fetched.url), (&b"it"[..], 4, right.url("/")));
}

#[test]
fn a_broken_transfer_goes_on_where_it_broke() {
    let server = Server::new(|number, head, stream| match number {
        0 => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 1000000\r\n\r\n")
                .unwrap();
            stream.write_all(&body()[..400_000]).unwrap();
        }
        _ => send_range(stream, head, "ETag: \"v1\"\r\n", &body()),
    });
    let (fetched, bytes) = get(&order(&server.url("/f")), &Network::default()).unwrap();
    assert!(bytes == body());
    assert_eq!((fetched.attempts, fetched.resumed_bytes), (2, 400_000));
    let second = server.heads()[1].clone();
    assert_eq!(
        (field(&second, "Range"), field(&second, "If-Range")),
        (Some("bytes=400000-"), Some("\"v1\""))
    );
}

#[test]
fn a_file_that_changed_meanwhile_is_begun_again() {
    let server = Server::new(|number, _, stream| match number {
        0 => {
            stream
                .write_all(
                    b"HTTP/1.1 200 OK\r\nLast-Modified: Mon\r\nContent-Length: 1000000\r\n\r\n",
                )
                .unwrap();
            stream.write_all(&[7; 400_000]).unwrap();
        }
        // The validator does not fit any more: the whole new file.
        _ => send(stream, "200 OK", "Last-Modified: Tue\r\n", &body()),
    });
    let (fetched, bytes) = get(&order(&server.url("/f")), &Network::default()).unwrap();
    assert!(bytes == body() && fetched.resumed_bytes == 0);
    assert_eq!(field(&server.heads()[1], "If-Range"), Some("Mon"));
}

#[test]
fn halves_of_two_files_are_never_joined() {
    // Nothing vouches for both halves being of one file: begun again.
    let server = Server::new(|number, head, stream| {
        assert!(field(head, "Range").is_none());
        if number == 0 {
            stream
                .write_all(
                    b"HTTP/1.1 200 OK\r\nETag: W/\"weak\"\r\nContent-Length: 1000000\r\n\r\nhalf",
                )
                .unwrap();
        } else {
            send(stream, "200 OK", "", &body());
        }
    });
    assert!(get(&order(&server.url("/f")), &Network::default()).unwrap().1 == body());
    // A server that goes on at another place than asked for, or with another whole, is not believed.
    for range in ["bytes 5-999999/1000000", "bytes 4-1999999/2000000"] {
        let server = Server::new(move |number, head, stream| match number {
            0 => drop(stream.write_all(
                b"HTTP/1.1 200 OK\r\nETag: \"v\"\r\nContent-Length: 1000000\r\n\r\nhalf",
            )),
            1 => {
                assert!(field(head, "Range").is_some());
                send(
                    stream,
                    "206 Partial Content",
                    &format!("Content-Range: {range}\r\n"),
                    &body()[5..],
                );
            }
            _ => send(stream, "200 OK", "", &body()),
        });
        let (fetched, bytes) = get(&order(&server.url("/f")), &Network::default()).unwrap();
        assert!(bytes == body() && fetched.attempts == 3, "{range}");
    }
}

#[test]
fn a_truncated_body_is_never_taken_for_the_file() {
    for framing in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        let server = Server::new(move |_, _, stream| {
            let _ = stream
                .write_all(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n3E8\r\nhalf").as_bytes());
        });
        let error = refusal(&order(&server.url("/f")));
        assert!(matches!(error.cause, Cause::Truncated { .. }), "{framing}: {}", told(&error));
        assert_eq!((error.attempts, error.status), (4, Some(200)));
    }
}

#[test]
fn silence_and_dripping_end_in_time() {
    // Each is a server that is slow in its own way, and the error that tells so.
    let silent = Server::new(|_, _, stream| drop(stream.read(&mut [0])));
    let stalled = Server::new(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        let _ = stream.read(&mut [0]);
    });
    let drip_head = Server::new(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X: y\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let drip_body = Server::new(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let quick = Limits { stall_ms: 400, total_ms: 1_500, retries: 0, ..limits() };
    for (server, stop) in [
        (silent, Stop::Stalled),
        (stalled, Stop::Stalled),
        (drip_head, Stop::Stalled),
        (drip_body, Stop::OutOfTime),
    ] {
        let begun = Instant::now();
        let error = refusal(&Order { limits: quick, ..order(&server.url("/f")) });
        assert!(
            matches!(&error.cause, Cause::Exchange(t) if matches!(**t, Trouble::Stopped(found) if found == stop)),
            "{stop:?}: {}",
            told(&error)
        );
        assert!(begun.elapsed() < Duration::from_secs(15), "{stop:?} took {:?}", begun.elapsed());
    }
}

#[test]
fn a_limit_on_size_holds_announced_or_not() {
    let announced = Server::new(|_, _, stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx"))
    });
    let endless = Server::new(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[0; 65536]).is_ok() {}
    });
    for server in [announced, endless] {
        let error = refusal(&order(&server.url("/f")));
        assert!(matches!(error.cause, Cause::TooLarge { limit: 8_388_608 }), "{}", told(&error));
        assert_eq!(error.attempts, 1);
    }
}

fn redirecting_to(location: String) -> Server {
    Server::new(move |_, head, stream| match head.split(' ').nth(1).unwrap() {
        "/end" => send(stream, "200 OK", "", b"end"),
        _ => send(stream, "302 Found", &format!("Location: {location}\r\n"), b""),
    })
}

#[test]
fn redirects_lead_only_where_they_may() {
    let (_, bytes) =
        get(&order(&redirecting_to("/end".into()).url("/a")), &Network::default()).unwrap();
    assert_eq!(bytes, b"end");
    let ring = redirecting_to("/again".into());
    let error = refusal(&order(&ring.url("/a")));
    assert!(
        matches!(error.cause, Cause::Redirect { why: RedirectRefusal::TooMany, .. }),
        "{}",
        told(&error)
    );
    assert_eq!(ring.heads().len(), 6);
    for (location, why) in [
        ("file:///etc/passwd", "only http:// and https://"),
        ("ftp://h/x", "only http:// and https://"),
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254"),
        ("http://[::1]/x", "::1"),
        ("http://[::ffff:127.0.0.1]/x", "127.0.0.1"),
        ("http://127.0.0.2/x", "127.0.0.2"),
        ("http://localhost/x", "127.0.0.1"),
        ("http://2130706433/x", "host name"),
        ("http://0.0.0.0/x", "0.0.0.0"),
        ("http://x\u{1}y/", "HTTP"),
    ] {
        let server = redirecting_to(location.into());
        let error = refusal(&Order {
            limits: Limits { retries: 0, ..limits() },
            ..order(&server.url("/a"))
        });
        assert!(told(&error).contains(why), "{location}: {}", told(&error));
        assert_eq!(error.attempts, 1, "{location}");
    }
}

#[test]
fn a_password_stays_with_its_host() {
    let other = Server::new(|_, _, stream| send(stream, "200 OK", "", b"x"));
    let server = redirecting_to(other.url("/x"));
    get(&order(&server.url("/a").replace("http://", "http://user:word@")), &Network::default())
        .unwrap();
    assert!(field(&server.heads()[0], "Authorization").is_some());
    assert!(field(&other.heads()[0], "Authorization").is_none());
}

#[test]
fn a_cancelled_fetch_ends_soon_and_leaves_nothing() {
    let server = Server::new(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        let _ = stream.read(&mut [0]);
    });
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let begun = Instant::now();
    let mut stop = |_: u64, _: Option<u64>| {
        if begun.elapsed() > Duration::from_millis(500) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let error =
        fetch(&order(&server.url("/f")), &Network::default(), &root, Path::new("f"), &mut stop)
            .unwrap_err();
    assert!(
        matches!(&error.cause, Cause::Exchange(t) if matches!(**t, Trouble::Stopped(Stop::Cancelled))),
        "{}",
        told(&error)
    );
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_closed_port_is_named() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = refusal(&order(&format!("http://{port}/f")));
    assert!(told(&error).contains(&format!("cannot connect to {port}")), "{}", told(&error));
    assert_eq!((error.attempts, error.status), (4, None));
}

#[test]
fn what_is_not_http_is_said_to_be_so() {
    let server = Server::new(|_, _, stream| drop(stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n")));
    let error =
        refusal(&Order { limits: Limits { retries: 0, ..limits() }, ..order(&server.url("/f")) });
    assert!(told(&error).contains("not HTTP"), "{}", told(&error));
}

/// Answers A questions for some names: `good.test` leads to this machine's own hosts-file name, `inner.test` to loopback.
fn name_server() -> u16 {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = udp.local_addr().unwrap().port();
    let tcp = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    fn reply(asked: &[u8], by_tcp: bool) -> Vec<u8> {
        let mut message = asked.to_vec();
        let text = String::from_utf8_lossy(asked).into_owned();
        let is_v4 = asked[asked.len() - 3] == 1;
        let (status, addresses): (u8, &[[u8; 4]]) = match () {
            _ if text.contains("inner") => (0, &[[127, 0, 0, 1]]),
            _ if text.contains("meta") => (0, &[[169, 254, 169, 254]]),
            _ if text.contains("cut") && by_tcp => (0, &[[127, 0, 0, 1]]),
            _ if text.contains("cut") => {
                message[2..4].copy_from_slice(&[0x83, 0x80]);
                return message;
            }
            _ => (3, &[]),
        };
        message[2..4].copy_from_slice(&[0x81, 0x80 | status]);
        if is_v4 {
            message[7] = addresses.len() as u8;
            for address in addresses {
                message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
                message.extend(address);
            }
        }
        message
    }
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(&reply(&buffer[..length], false), from);
        }
    });
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream: TcpStream = stream.unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut asked = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut asked).unwrap();
            let message = reply(&asked, true);
            let _ =
                stream.write_all(&[&(message.len() as u16).to_be_bytes()[..], &message].concat());
        }
    });
    port
}

#[test]
fn names_are_resolved_without_libc_and_never_to_inner_addresses_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let (hosts, resolv_conf) = (dir.path().join("hosts"), dir.path().join("resolv.conf"));
    std::fs::write(&hosts, "127.0.0.1 packages.lab packages # ours\n").unwrap();
    std::fs::write(&resolv_conf, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").unwrap();
    let mut network = Network::default();
    network.resolver = Resolver { hosts, resolv_conf: resolv_conf.clone(), port: name_server() };
    let server = Server::new(|_, _, stream| send(stream, "200 OK", "", b"x"));
    let port = server.address.port();
    let fetch = |host: &str| get(&order(&format!("http://{host}:{port}/")), &network);
    fetch("packages.lab").unwrap_or_else(|error| panic!("{}", told(&error)));
    for (host, why) in [
        ("inner.test", "leads to 127.0.0.1"),
        ("meta.test", "leads to 169.254.169.254"),
        ("cut.test", "leads to 127.0.0.1"),
        ("none.test", "no such name"),
    ] {
        let error = fetch(host).unwrap_err();
        assert!(told(&error).contains(why), "{host}: {}", told(&error));
        assert_eq!(error.attempts, 1, "{host}");
    }
    // A redirect to a name of the hosts file that is inner is not followed either.
    let redirect = redirecting_to(format!("http://packages.lab:{port}/"));
    assert!(
        told(&get(&order(&redirect.url("/")), &network).unwrap_err())
            .contains("leads to 127.0.0.1")
    );
    std::fs::write(&resolv_conf, "").unwrap();
    assert!(told(&fetch("none.test").unwrap_err()).contains("names no server"));
}

/// A certification authority and a server certificate for `packages.lab` and 127.0.0.1.
fn certificates(dir: &Path) -> Arc<rustls::ServerConfig> {
    let script = "set -e
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj '/CN=Test CA' -days 2 \
            -addext basicConstraints=critical,CA:TRUE
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out req.pem -subj '/CN=packages.lab'
        printf 'subjectAltName=DNS:packages.lab,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >ext
        openssl x509 -req -in req.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile ext";
    let output = Command::new("sh").args(["-c", script]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let chain =
        CertificateDer::pem_file_iter(dir.join("cert.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(dir.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

fn trusting(dir: &Path) -> Network {
    let bundle = dir.join("ca.pem").display().to_string();
    Network::from_variables(&|name| (name == "SSL_CERT_FILE").then(|| bundle.clone()))
}

#[test]
fn https_is_believed_only_with_a_trusted_certificate_for_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let config = certificates(dir.path());
    let server = Server::tls(config, |_, head, stream| match head.split(' ').nth(1).unwrap() {
        "/weaker" => send(stream, "302 Found", "Location: http://127.0.0.1/x\r\n", b""),
        _ => send(stream, "200 OK", "", &body()),
    });
    let url = format!("https://{}/f", server.address);
    let (fetched, bytes) =
        get(&order(&url), &trusting(dir.path())).unwrap_or_else(|error| panic!("{}", told(&error)));
    assert!(bytes == body() && fetched.url == url);
    let stranger = get(&order(&url), &Network::default()).unwrap_err();
    assert!(
        told(&stranger).contains("TLS failed") && stranger.attempts == 1,
        "{}",
        told(&stranger)
    );
    let other_name =
        get(&order(&url.replace("127.0.0.1", "localhost")), &trusting(dir.path())).unwrap_err();
    assert!(told(&other_name).contains("TLS failed"), "{}", told(&other_name));
    let weaker = get(&order(&url.replace("/f", "/weaker")), &trusting(dir.path())).unwrap_err();
    assert!(
        matches!(weaker.cause, Cause::Redirect { why: RedirectRefusal::Weaker, .. }),
        "{}",
        told(&weaker)
    );
    let plain = Server::new(|_, _, stream| send(stream, "200 OK", "", b""));
    let quick = Limits { retries: 0, stall_ms: 500, ..limits() };
    let error = get(
        &Order { limits: quick, ..order(&plain.url("/f").replace("http", "https")) },
        &trusting(dir.path()),
    )
    .unwrap_err();
    assert!(!matches!(error.cause, Cause::Status(_)), "{}", told(&error));
}

#[test]
fn a_tls_stream_cut_by_somebody_on_the_path_is_not_the_end_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let config = certificates(dir.path());
    // Without a length only TLS's own closing tells the end; here it never comes.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream.unwrap());
            let mut head = [0; 4096];
            let _ = tls.read(&mut head);
            let _ = tls.write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf of it").and_then(|()| tls.flush());
            let _ = tls.sock.shutdown(std::net::Shutdown::Write);
            let _ = tls.sock.read(&mut head);
        }
    });
    let error = get(&order(&format!("https://{address}/f")), &trusting(dir.path())).unwrap_err();
    assert!(matches!(error.cause, Cause::Truncated { expected: None }), "{}", told(&error));
}

#[test]
fn proxies_are_used_for_both_schemes() {
    let dir = tempfile::tempdir().unwrap();
    let secure =
        Server::tls(certificates(dir.path()), |_, _, stream| send(stream, "200 OK", "", b"secure"));
    let target = secure.address;
    let proxy = Server::new(move |_, head, stream| {
        if !head.starts_with("CONNECT ") {
            return send(stream, "200 OK", "", b"by proxy");
        }
        let mut upstream = TcpStream::connect(target).unwrap();
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        // One exchange: what the client says until it waits, then what the server answers, in turns.
        upstream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut buffer = [0; 65536];
        loop {
            match upstream.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => stream.write_all(&buffer[..count]).unwrap(),
                Err(_) => match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => return,
                    Ok(count) => upstream.write_all(&buffer[..count]).unwrap(),
                },
            }
        }
    });
    let variables = |name: &str| match name {
        "http_proxy" | "https_proxy" => Some(format!("http://u:p@{}", proxy.address)),
        "SSL_CERT_FILE" => Some(dir.path().join("ca.pem").display().to_string()),
        _ => None,
    };
    let network = Network::from_variables(&variables);
    let (_, bytes) = get(&order("http://nowhere.test/f?q"), &network)
        .unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(bytes, b"by proxy");
    assert!(
        proxy.heads()[0]
            .starts_with("GET http://nowhere.test/f?q HTTP/1.1\r\nHost: nowhere.test\r\n")
    );
    assert_eq!(field(&proxy.heads()[0], "Proxy-Authorization"), Some("Basic dTpw"));
    let (_, bytes) = get(&order("https://packages.lab/f"), &network)
        .unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(bytes, b"secure");
    assert!(proxy.heads()[1].starts_with("CONNECT packages.lab:443 HTTP/1.1\r\n"));
}
