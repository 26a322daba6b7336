//! The agent that `plush` carries: how large it is, and that it needs nothing but itself.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What may be sent to a host.
const AGENT_BYTES: u64 = 4 << 20;

/// Agents that builds of the product have left, as they go into it: `target/agent/TARGET/agent/plush-agent`.
fn released() -> Vec<PathBuf> {
    let built = Path::new(env!("CARGO_BIN_EXE_plush")).ancestors().nth(2).unwrap().join("agent");
    let targets = fs::read_dir(built).into_iter().flatten().flatten();
    targets.map(|t| t.path().join("agent/plush-agent")).filter(|path| path.exists()).collect()
}

/// The agent inside the program that is tested.
fn embedded() -> Vec<u8> {
    let packed = include_bytes!(concat!(env!("OUT_DIR"), "/agent.gz"));
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn the_agent_is_at_most_four_mebibytes() {
    let bytes = embedded().len() as u64;
    assert!(0 < bytes && bytes <= AGENT_BYTES, "the embedded agent has {bytes} bytes");
    let agents = released();
    if agents.is_empty() {
        eprintln!("SKIPPED: no agent was built for a release (cargo build --release -p plush)");
    }
    for agent in agents {
        let bytes = fs::metadata(&agent).unwrap().len();
        println!("{}: {bytes} bytes", agent.display());
        assert!(bytes <= AGENT_BYTES, "{} has {bytes} bytes", agent.display());
    }
}

#[test]
fn the_embedded_agent_runs_in_an_empty_root() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can change the root directory");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    put(&root.path().join("part"), &embedded());
    let inside = |program: &str, arguments: &[&str]| {
        let mut command = Command::new("chroot");
        command.arg(root.path()).arg(program).args(arguments).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.output().unwrap()
    };
    let said = inside("/part", &["--version"]);
    assert!(said.stdout.starts_with(b"plush-agent "), "{said:?}");
    // The rest looks at /proc, as every host has it.
    let digest = blake3_of(&embedded());
    let script = "mkdir proc dev && : > dev/null && mount -t proc proc proc && \
                  chroot . /part install --digest $0 --to /agent && exec chroot . \
                  /agent bridge --run r --host h --base /base";
    let mut bridge = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, &digest])
        .current_dir(root.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut hello = Vec::new();
    plush_protocol::ToAgent::Hello(plush_protocol::ControllerHello {
        version: plush_protocol::PROTOCOL_VERSION,
        run: "r".into(),
        epoch: 1,
        session: 0,
        received: 0,
        stop_after_ms: Some(60_000),
        host: "h".into(),
        controller: "a test".into(),
    })
    .write(&mut hello)
    .unwrap();
    bridge.stdin.as_mut().unwrap().write_all(&hello).unwrap();
    let (mut frames, mut bytes) = (plush_protocol::Frames::new(), [0; 4096]);
    let answer = loop {
        let count = bridge.stdout.as_mut().unwrap().read(&mut bytes).unwrap();
        assert!(count > 0, "the agent closed without a word");
        frames.push(&bytes[..count]);
        if let Some(message) = plush_protocol::ToController::next(&mut frames).unwrap() {
            break message;
        }
    };
    assert!(matches!(answer, plush_protocol::ToController::Hello(_)), "{answer:?}");
    bridge.kill().unwrap();
    bridge.wait().unwrap();
}

fn put(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o700);
    options.open(path).unwrap().write_all(bytes).unwrap();
}

fn blake3_of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
