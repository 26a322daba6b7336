//! Builds the agent, static, and packs it so that `plush` carries it inside.
//!
//! `PLUSH_AGENT=FILE` takes a ready agent instead. Where no static Linux agent can be built (a controller on macOS),
//! none is carried, and agents are looked up where the user's guide says.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the agent is made from, beside this package.
const SOURCES: [&str; 9] = [
    "../plush-agent/src",
    "../plush-agent/Cargo.toml",
    "../plush-core/src",
    "../plush-protocol/src",
    "../plush-spec/src/model",
    "../plush-spec/src/shell_line.rs",
    "../plush-spec/src/substitute.rs",
    "../plush-spec/src/hostset",
    "../../Cargo.toml",
];

/// Parts of the agent that are built for size: they only look at bytes or carry them, none hashes, packs or ciphers.
const SMALL: [&str; 11] = [
    "lexopt",
    "minicbor",
    "plush-agent",
    "plush-core",
    "plush-protocol",
    "plush-spec",
    "rustix",
    "rustls",
    "rustls-webpki",
    "serde_json",
    "tokio",
];

/// What cargo takes as the end of one flag.
const FLAG_END: &str = "\x1f";

/// The first glibc that understands packed relocations.
const PACKED_SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo:rerun-if-env-changed=PLUSH_AGENT");
    SOURCES.iter().for_each(|path| println!("cargo:rerun-if-changed={path}"));
    let out = PathBuf::from(variable("OUT_DIR"));
    let agent = match std::env::var_os("PLUSH_AGENT") {
        Some(ready) => Some(PathBuf::from(ready)),
        None if variable("CARGO_CFG_TARGET_OS") == "linux" => Some(build(&out)),
        None => None,
    };
    let bytes = agent.map_or_else(Vec::new, |path| {
        std::fs::read(&path)
            .unwrap_or_else(|e| panic!("cannot read the agent {}: {e}", path.display()))
    });
    let packed = std::fs::File::create(out.join("agent.gz")).expect("OUT_DIR can be written");
    let mut packer = flate2::write::GzEncoder::new(packed, flate2::Compression::best());
    packer.write_all(&bytes).and_then(|()| packer.finish()).expect("OUT_DIR can be written");
}

/// Builds in a target directory of its own: cargo holds the lock of the one that it runs in.
fn build(out: &Path) -> PathBuf {
    let target_dir =
        out.ancestors().nth(4).expect("OUT_DIR is four levels below target").join("agent");
    let architecture = variable("CARGO_CFG_TARGET_ARCH");
    let musl = format!("{architecture}-unknown-linux-musl");
    let target = if has_target(&musl) { musl } else { format!("{architecture}-unknown-linux-gnu") };
    let profile = if variable("PROFILE") == "release" { "agent" } else { "agent-dev" };
    let status = Command::new(variable("CARGO"))
        .args(["build", "--locked", "--package", "plush-agent", "--bin", "plush-agent"])
        .args(["--profile", profile, "--target", &target])
        .args(SMALL.iter().flat_map(|package| {
            let key = format!("profile.{profile}.package.{package}.opt-level");
            ["--config".into(), format!("{key}=\"s\"")]
        }))
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(&target).join(FLAG_END))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .status()
        .unwrap_or_else(|e| panic!("cannot run cargo to build the agent: {e}"));
    assert!(status.success(), "building the agent failed: {status}");
    target_dir.join(target).join(profile).join("plush-agent")
}

/// Static, with relocations packed to a hundredth of their size where the C library that is linked in can unpack them:
/// it does so for itself at its start.
fn flags(target: &str) -> Vec<&'static str> {
    // A profile's `strip` does not reach a package whose level of optimisation is set by itself, as this one's is.
    let mut flags = vec!["-Ctarget-feature=+crt-static", "-Cstrip=symbols"];
    if target.ends_with("musl") || glibc().is_some_and(|version| version >= PACKED_SINCE) {
        flags.push("-Clink-arg=-Wl,-z,pack-relative-relocs");
    }
    flags
}

/// The version of this machine's C library, which is the one that the agent is linked with.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The standard library of that target is installed.
fn has_target(target: &str) -> bool {
    let said = Command::new(variable("RUSTC"))
        .args(["--print", "target-libdir", "--target", target])
        .output();
    said.is_ok_and(|said| Path::new(String::from_utf8_lossy(&said.stdout).trim()).is_dir())
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
