//! A real sshd on loopback with its own keys and configuration, and a stand-in for the agent.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plush_controller::transport::{
    AgentFile, AgentShelf, Bootstrap, ConnectFailure, Deadlines, HostAddress, Link, Preference,
    Route, Ssh, SshOptions, connect,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Speaks the agent's contract: `install` checks the file and puts it in place, `bridge` echoes.
/// It uses nothing but sh, cat and chmod. The check is for the last line, since a shell has no BLAKE3.
const STAND_IN: &str = r##"#!/bin/sh
case $1 in
  install)
    last=; while read -r line; do last=$line; done <"$0"
    [ "$last" = "# the end" ] || { echo "digest does not match"; exit 1; }
    cat "$0" >"$5" && chmod 700 "$5" || exit 1
    rm -f "$0" 2>/dev/null; exit 0;;
  bridge)
    while [ $# -gt 2 ]; do
      case $2 in --run) r=$3;; --host) h=$3;; --base) b=$3;; esac
      shift 2
    done
    echo "bridge run=$r host=$h base=$b"; exec cat;;
esac
exit 9
"##;

pub struct Sshd {
    pub dir: tempfile::TempDir,
    pub port: u16,
    child: Child,
}

impl Sshd {
    /// `lines` are added to sshd_config; `@DIR@` in them is the server's directory.
    pub fn start(lines: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all("/run/sshd").unwrap();
        std::fs::create_dir_all(at("home/.cache")).unwrap();
        keygen(&at("host_key"), &[]);
        keygen(&at("id"), &[]);
        std::fs::copy(at("id.pub"), at("authorized_keys")).unwrap();
        let port = free_port();
        let here = dir.path().display().to_string();
        let lines = lines.replace("@DIR@", &here);
        let set_env = if lines.contains("SetEnv") {
            String::new()
        } else {
            format!("SetEnv HOME={here}/home\n")
        };
        let config = format!(
            "{lines}\nListenAddress 127.0.0.1:{port}\nHostKey {here}/host_key\nAuthorizedKeysFile {here}/authorized_keys\n\
             UsePAM no\nStrictModes no\nPidFile none\nLogLevel DEBUG1\nPasswordAuthentication no\n{set_env}"
        );
        std::fs::write(at("sshd_config"), config).unwrap();
        let log = std::fs::File::create(at("log")).unwrap();
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(at("sshd_config"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let sshd = Self { dir, port, child };
        sshd.wait_until_it_listens();
        sshd.know("127.0.0.1", "host_key.pub");
        sshd
    }

    fn wait_until_it_listens(&self) {
        let began = Instant::now();
        while !self.log().contains("Server listening") {
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "sshd does not start: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("log")).unwrap()).into_owned()
    }

    /// Writes known_hosts with this public key for a host at the server's port.
    pub fn know(&self, host: &str, public_key: &str) {
        let key = std::fs::read_to_string(self.path(public_key)).unwrap();
        std::fs::write(self.path("known_hosts"), format!("[{host}]:{} {key}", self.port)).unwrap();
    }

    /// An SSH configuration for this server, with lines of the test's own in front.
    pub fn ssh(&self, lines: &str, preference: Preference) -> Ssh {
        let here = self.dir.path().display();
        let config = format!(
            "{lines}\nHost *\n  HostName 127.0.0.1\n  Port {}\n  User root\n  IdentityFile {here}/id\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile {here}/known_hosts\n  GlobalKnownHostsFile none\n",
            self.port
        );
        std::fs::write(self.path("config"), config).unwrap();
        Ssh::new(SshOptions {
            config_file: Some(self.path("config")),
            preference,
            program: PathBuf::from("ssh"),
            agent_socket: None,
        })
    }

    pub async fn connect(&self, ssh: &Ssh) -> Result<Link, ConnectFailure> {
        connect(ssh, &route("web"), &bootstrap(), &Deadlines::default(), None).await
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn keygen(path: &Path, more: &[&str]) {
    let done = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .args(more)
        .status();
    assert!(done.unwrap().success());
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn route(host: &str) -> Route {
    Route::Ssh(HostAddress::parse(host).unwrap())
}

/// The stand-in, padded with comments to 300 kB that does not compress away.
pub fn agent() -> AgentFile {
    let mut text = STAND_IN.to_owned();
    let mut number = 1_u64;
    while text.len() < 300_000 {
        text.push_str("# ");
        for _ in 0..8 {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            text.push_str(&format!("{number:016x}"));
        }
        text.push('\n');
    }
    text.push_str("# the end\n");
    AgentFile::new(text.into_bytes())
}

pub fn small_agent() -> AgentFile {
    AgentFile::new(format!("{STAND_IN}# the end\n").into_bytes())
}

pub fn bootstrap_with(agent: AgentFile) -> Bootstrap {
    let shelf = AgentShelf::new(std::env::consts::ARCH, agent, Box::new(|_| None));
    Bootstrap::new("run-1", "web", Arc::new(shelf)).unwrap()
}

pub fn bootstrap() -> Bootstrap {
    bootstrap_with(small_agent())
}

/// Reads the stand-in's greeting, then has a megabyte echoed byte for byte.
pub async fn prove(mut link: Link) -> String {
    let mut greeting = Vec::new();
    while !greeting.ends_with(b"\n") {
        let byte = link.reader.read_u8().await;
        greeting.push(
            byte.unwrap_or_else(|e| panic!("{e}: {:?} {}", link.aside.end(), link.aside.stderr())),
        );
    }
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n * 31 / 7) as u8).collect();
    let expected = sent.clone();
    let (mut reader, mut writer) = (link.reader, link.writer);
    let sending = async move {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let (_, read) = tokio::join!(sending, reader.read_to_end(&mut got));
    read.unwrap();
    assert!(got == expected, "{} of {} bytes came back", got.len(), expected.len());
    String::from_utf8(greeting).unwrap()
}

/// Files of ours below a directory.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files_below(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

pub fn write_script(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

impl Sshd {
    /// Starts the same server again, so that it reads its files anew.
    pub fn again(mut self) -> Self {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = std::fs::File::create(self.path("log")).unwrap();
        self.child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(self.path("sshd_config"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.wait_until_it_listens();
        self
    }
}
