//! Servers that are silent, endless or no SSH servers at all: each is named in time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use plush_controller::transport::{
    ConnectFailure, Deadlines, FailureClass, Preference, Ssh, SshOptions, Stage, connect,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::sshd::{bootstrap, free_port, route};

async fn serve<F, S>(behave: F) -> SocketAddr
where
    F: Fn(TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(behave(stream));
        }
    });
    address
}

async fn fail_with(
    port: u16,
    preference: Preference,
    deadlines: &Deadlines,
) -> (ConnectFailure, Duration) {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config");
    std::fs::write(
        &config,
        format!("Host *\n  HostName 127.0.0.1\n  Port {port}\n  UserKnownHostsFile none\n"),
    )
    .unwrap();
    let ssh = Ssh::new(SshOptions {
        config_file: Some(config),
        preference,
        program: "ssh".into(),
        agent_socket: None,
    });
    let began = Instant::now();
    let failure = connect(&ssh, &route("web"), &bootstrap(), deadlines, None).await.unwrap_err();
    (failure, began.elapsed())
}

/// Stages as long as they are, but a fifth of the time: what is tested is which deadline strikes.
fn hurried() -> Deadlines {
    let d = Deadlines::default();
    Deadlines { banner: d.banner / 5, key_exchange: d.key_exchange / 5, total: d.total / 5, ..d }
}

async fn check(address: SocketAddr, stage: Stage, class: FailureClass, words: &str) {
    let (failure, took) = fail_with(address.port(), Preference::Automatic, &hurried()).await;
    assert_eq!((failure.stage, failure.class), (stage, class), "{failure}");
    assert!(failure.to_string().contains(words), "{failure}");
    assert!(took < Duration::from_secs(15), "took {took:?}");
}

#[tokio::test]
async fn f27_a_server_that_never_speaks_fails_within_ten_seconds() {
    let address = serve(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let (failure, took) =
        fail_with(address.port(), Preference::Automatic, &Deadlines::default()).await;
    assert_eq!((failure.stage, failure.class), (Stage::Banner, FailureClass::Retryable));
    assert!(failure.cause.contains("never spoke SSH"), "{failure}");
    // The deadline is nine seconds; what comes on top is the machine's.
    eprintln!("given up after {took:?}");
    assert!(took < Duration::from_secs(25), "took {took:?}");
}

#[tokio::test]
async fn f28_a_banner_and_then_silence_fails_within_twenty_seconds() {
    let address = serve(|mut stream| async move {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let (program, own) = tokio::join!(
        async { fail_with(address.port(), Preference::Program, &Deadlines::default()).await },
        async { fail_with(address.port(), Preference::Automatic, &Deadlines::default()).await },
    );
    eprintln!("given up after {:?} by the program, {:?} by our own client", program.1, own.1);
    assert!(program.1 < Duration::from_secs(40) && own.1 < Duration::from_secs(40));
    assert_eq!((own.0.stage, own.0.class), (Stage::KeyExchange, FailureClass::Retryable));
    assert_eq!(program.0.class, FailureClass::Retryable, "{}", program.0);
}

#[tokio::test]
async fn f29_junk_before_the_banner_ends_in_bounded_time_and_memory() {
    let slow_lines = serve(|mut stream| async move {
        while stream.write_all(b"junk\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    let endless_line =
        serve(|mut stream| async move { while stream.write_all(&[b'x'; 65536]).await.is_ok() {} });
    let drops = serve(|mut stream| async move {
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    for address in [slow_lines.await, endless_line.await, drops.await] {
        check(address, Stage::Banner, FailureClass::Permanent, "check the port").await;
    }
}

#[tokio::test]
async fn f30_other_servers_are_named() {
    let http = serve(|mut stream| async move {
        let _ = stream.read(&mut [0; 64]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n").await;
    });
    check(http.await, Stage::Banner, FailureClass::Permanent, "an HTTP server").await;
    let tls = serve(|mut stream| async move {
        let _ = stream.write_all(&[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x0a]).await;
    });
    check(tls.await, Stage::Banner, FailureClass::Permanent, "a TLS server").await;
    let garbage = serve(|mut stream| async move {
        let _ = stream.write_all(b"\x1b[2J\xff\x00garbage\n").await;
    });
    check(garbage.await, Stage::Banner, FailureClass::Permanent, "\\u{1b}[2J\\xff\\u{0}garbage")
        .await;
    let nonsense = serve(|mut stream| async move {
        let _ = stream
            .write_all(b"SSH-2.0-x\r\n\x00\x00\x00\x20nonsense-nonsense-nonsense-nonsense")
            .await;
        let _ = stream.read(&mut [0; 4096]).await;
        std::future::pending::<()>().await;
    });
    let (failure, _) = fail_with(nonsense.await.port(), Preference::Automatic, &hurried()).await;
    assert_eq!(failure.stage, Stage::KeyExchange, "{failure}");
}

#[tokio::test]
async fn f33_a_server_that_sheds_load_is_told_from_one_that_refuses() {
    let closes = serve(|stream| async move { drop(stream) });
    check(
        closes.await,
        Stage::Banner,
        FailureClass::PushedBack,
        "closed the connection before its banner",
    )
    .await;
    let says_so = serve(|mut stream| async move {
        let _ = stream.write_all(b"Exceeded MaxStartups\r\n").await;
    });
    check(says_so.await, Stage::Banner, FailureClass::PushedBack, "MaxStartups").await;
    let resets = serve(|stream| async move {
        // Closing with unread bytes in the socket makes the kernel send a reset.
        stream.readable().await.unwrap();
        drop(stream);
    });
    check(resets.await, Stage::Banner, FailureClass::PushedBack, "before its banner").await;
}

#[tokio::test]
async fn a_closed_port_is_named_at_once_with_either_client() {
    let port = free_port();
    for preference in [Preference::Automatic, Preference::Program] {
        let (failure, took) = fail_with(port, preference, &Deadlines::default()).await;
        assert_eq!(
            (failure.stage, failure.class),
            (Stage::Tcp, FailureClass::Retryable),
            "{failure}"
        );
        assert!(
            failure.to_string().contains("refused") && took < Duration::from_secs(3),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn f27_a_silent_host_does_not_hold_up_the_others() {
    let silent = serve(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let sshd = super::sshd::Sshd::start("");
    let ssh = sshd.ssh("", Preference::Automatic);
    let silent = tokio::spawn(async move {
        fail_with(silent.port(), Preference::Automatic, &Deadlines::default()).await
    });
    super::sshd::prove(sshd.connect(&ssh).await.unwrap()).await;
    assert!(!silent.is_finished(), "the silent host was waited for");
    silent.abort();
}
