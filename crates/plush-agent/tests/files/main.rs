//! Claims about the agent's files: roots, fetching, unpacking, installing, collecting, removing.
#![allow(clippy::unwrap_used)]

mod archives;
mod corpus;
mod differential;
mod external;
mod fetch;
mod install;
mod pack;
mod place;
mod root;
mod server;
mod snapshot;
mod unpack;

use std::ops::ControlFlow;

/// Progress of somebody who never stops the work.
fn go_on(_: u64, _: Option<u64>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// All messages of an error and its sources.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    text
}

/// Runs one test of this program again, alone, by way of another program (as another user, in other namespaces); it must succeed.
/// In that second life `PLUSH_TEST_INSIDE` is set.
fn again(by: &[&str], test: &str) {
    let program = std::env::current_exe().unwrap();
    // Where everybody may read and run it.
    let dir = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let copy = dir.path().join("test");
    std::fs::copy(program, &copy).unwrap();
    let output = std::process::Command::new(by[0])
        .args(&by[1..])
        .arg(&copy)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("PLUSH_TEST_INSIDE", "1")
        .current_dir("/")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn is_inside() -> bool {
    std::env::var_os("PLUSH_TEST_INSIDE").is_some()
}
