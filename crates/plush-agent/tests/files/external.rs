//! Claims about calling rsync, scp and git.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use plush_agent::files::external::{
    Ended, ExternalError, GitSource, Invocation, Protocol, Refusal, git, rsync, scp,
};

const USUAL: &[Protocol] = &[Protocol::Https, Protocol::Ssh];

fn here() -> &'static Path {
    Path::new("/")
}

/// Runs an invocation as the agent would and judges its end.
fn run(invocation: &Invocation) -> Result<String, ExternalError> {
    let program = invocation.find(OsStr::new("/usr/local/bin:/usr/bin:/bin"))?;
    let output = Command::new(program)
        .args(&invocation.argv[1..])
        .envs(invocation.env.iter().cloned())
        .env("HOME", "/nonexistent")
        .current_dir(&invocation.cwd)
        .output()
        .unwrap();
    let ended = match output.status.code() {
        Some(status) => Ended::Status(status),
        None => {
            Ended::Signal(std::os::unix::process::ExitStatusExt::signal(&output.status).unwrap())
        }
    };
    invocation.judge(ended, &output.stderr).map(|()| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn nothing_given_becomes_an_option_or_a_command() {
    let evil = [
        "-oProxyCommand=touch x",
        "--rsh=touch",
        "-e",
        "",
        "host:\nx",
        "-x:y",
        "host",
        ":path",
        "host:",
        "user@-oProxyCommand=x:y",
        "-u@host:x",
        "$(x):y",
        "a b:c",
        "`x`:y",
        "ext::sh -c x",
        "fd::17",
        "file:///etc/passwd",
        "host;x:y",
        "@host:x",
        "[::zz]:x",
        "host/x:y",
    ];
    for source in evil {
        assert!(scp(source, None, here(), "d").is_err(), "scp {source:?}");
        let source_git = GitSource { url: source, revision: None, allowed: USUAL };
        assert!(git(&source_git, here(), "d").is_err(), "git {source:?}");
        // To rsync, two colons mean a daemon's module.
        assert!(
            source.contains("::") || rsync(source, here(), "d", 30).is_err(),
            "rsync {source:?}"
        );
    }
    for path in [
        "host:$(x)",
        "host:a;b",
        "host:a b",
        "host:`x`",
        "host:a|b",
        "host:a\\b",
        "host:*",
        "host:-rf",
        "host:a&b",
        "host:'x'",
    ] {
        assert_eq!(scp(path, None, here(), "d").unwrap_err().refusal, Refusal::Shell, "{path}");
    }
    for name in ["", ".", "..", "a/b", "/a", "a\nb"] {
        assert_eq!(scp("h:p", None, here(), name).unwrap_err().refusal, Refusal::Dest, "{name:?}");
    }
    for revision in [
        "-x",
        "--upload-pack=x",
        "a..b",
        "a b",
        "HEAD:refs/heads/x",
        "+x",
        "a@{1}",
        "",
        "/a",
        "a\n",
        "^x",
        "x~1",
    ] {
        let source = GitSource { url: "https://h/r", revision: Some(revision), allowed: USUAL };
        assert_eq!(
            git(&source, here(), "d").unwrap_err().refusal,
            Refusal::Revision,
            "{revision:?}"
        );
    }
}

#[test]
fn every_argument_stands_where_it_belongs() {
    let invocation =
        scp("user@host:dir/file.tar", Some(2222), Path::new("/work"), "-name:x").unwrap();
    let argv: Vec<_> = invocation.argv.iter().map(|argument| argument.to_str().unwrap()).collect();
    assert_eq!(
        argv[argv.len() - 4..],
        ["-oPort=2222", "--", "user@host:dir/file.tar", "./-name:x"]
    );
    assert!(
        argv.contains(&"-oBatchMode=yes")
            && argv.contains(&"-oStrictHostKeyChecking=yes")
            && argv.contains(&"-B")
    );
    let invocation =
        rsync("rsync://user@host:873/module/a b;c", Path::new("/work"), "d", 30).unwrap();
    let argv: Vec<_> = invocation.argv.iter().map(|argument| argument.to_str().unwrap()).collect();
    assert_eq!(argv[argv.len() - 3..], ["--", "rsync://user@host:873/module/a b;c", "./d"]);
    for source in ["host::module/x", "user@host:x/", "[::1]:x"] {
        match source {
            "[::1]:x" => assert!(
                rsync(source, here(), "d", 1).is_err(),
                "an address in brackets is ambiguous for rsync over ssh"
            ),
            source => assert!(rsync(source, here(), "d", 1).is_ok(), "{source}"),
        }
    }
}

#[test]
fn git_speaks_only_what_is_allowed() {
    let commit = "a".repeat(40);
    let check = |url: &str, revision: Option<&str>, allowed: &[Protocol]| {
        git(&GitSource { url, revision, allowed }, here(), "d").map(|steps| steps.len())
    };
    for url in ["https://h/r.git", "ssh://u@h:22/r", "git@h:r.git", "https://user:token@h/r"] {
        assert_eq!(check(url, None, USUAL), Ok(4), "{url}");
    }
    for url in ["http://h/r", "git://h/r", "file:///r", "/r", "ftp://h/r"] {
        assert!(check(url, None, USUAL).is_err(), "{url}");
    }
    assert_eq!(
        check("http://h/r", Some("main"), &[Protocol::Http]).unwrap_err().refusal,
        Refusal::Protocol
    );
    assert_eq!(check("http://h/r", Some(&commit), &[Protocol::Http]), Ok(4));
    let steps = git(&GitSource { url: "https://h/r", revision: None, allowed: USUAL }, here(), "d")
        .unwrap();
    for step in &steps {
        for (name, value) in [("GIT_TERMINAL_PROMPT", "0"), ("GIT_ALLOW_PROTOCOL", "https:ssh")] {
            assert!(step.env.contains(&(name.into(), value.into())), "{name}");
        }
    }
}

#[test]
fn git_fetches_a_branch_a_tag_and_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let script = "set -e; git init -q -b main origin; cd origin; git config user.email x@y; git config user.name x; git config uploadpack.allowAnySHA1InWant true
        mkdir -p .git/hooks; echo one >f; git add f; git commit -q -m one; git tag v1; echo two >f; git commit -q -a -m two; git rev-parse v1";
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(dir.path())
        .env("HOME", "/nonexistent")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let first = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let url = format!("file://{}/origin", dir.path().display());
    for (number, (revision, content)) in [
        (None, "two\n"),
        (Some("main"), "two\n"),
        (Some("v1"), "one\n"),
        (Some(first.as_str()), "one\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("clone{number}");
        let steps =
            git(&GitSource { url: &url, revision, allowed: &[Protocol::File] }, dir.path(), &name)
                .unwrap();
        let said: Vec<String> = steps
            .iter()
            .map(|step| run(step).unwrap_or_else(|error| panic!("{revision:?}: {error}")))
            .collect();
        assert_eq!(
            fs::read_to_string(dir.path().join(&name).join("f")).unwrap(),
            content,
            "{revision:?}"
        );
        assert_eq!(said[3].trim().len(), 40);
        assert_eq!(said[3].trim() == first, content == "one\n");
    }
    let steps = git(
        &GitSource { url: &url, revision: Some("none"), allowed: &[Protocol::File] },
        dir.path(),
        "clone9",
    )
    .unwrap();
    run(&steps[0]).unwrap();
    match run(&steps[1]).unwrap_err() {
        ExternalError::Failed { program, says, .. } => {
            assert!(program == "git" && says.contains("none"), "{says}")
        }
        other => panic!("{other}"),
    }
}

#[test]
fn rsync_fetches_from_a_daemon() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("module/sub dir")).unwrap();
    fs::write(dir.path().join("module/sub dir/file;x"), "content").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("module/sub dir/outside")).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "address = 127.0.0.1\nuse chroot = no\n[m]\npath = {}\nuid = root\ngid = root\n",
        dir.path().join("module").display()
    );
    fs::write(dir.path().join("conf"), config).unwrap();
    let mut daemon = Command::new("rsync")
        .args([
            "--daemon",
            "--no-detach",
            &format!("--port={port}"),
            &format!("--config={}", dir.path().join("conf").display()),
        ])
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed().as_secs() < 10, "the daemon did not start");
        std::thread::yield_now();
    }
    let fetched =
        run(&rsync(&format!("rsync://127.0.0.1:{port}/m/sub dir/"), dir.path(), "copy", 10)
            .unwrap());
    let missing =
        run(&rsync(&format!("rsync://127.0.0.1:{port}/none/"), dir.path(), "copy2", 10).unwrap());
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    fetched.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(fs::read_to_string(dir.path().join("copy/file;x")).unwrap(), "content");
    assert!(
        fs::symlink_metadata(dir.path().join("copy/outside")).is_err(),
        "a link out of the tree came along"
    );
    assert!(matches!(missing.unwrap_err(), ExternalError::Failed { .. }));
}

#[test]
fn a_missing_program_is_named() {
    let invocation = scp("h:p", None, here(), "d").unwrap();
    let error = invocation.find(OsStr::new("/nonexistent:relative:")).unwrap_err();
    assert_eq!(error, ExternalError::Missing { program: "scp".into() });
    assert_eq!(invocation.judge(Ended::Status(127), b"").unwrap_err(), error);
    let failed = invocation.judge(Ended::Signal(9), b"a\nb\x1b[2J\nc\r\nd\ne\n").unwrap_err();
    assert_eq!(failed.to_string(), "`scp` failed by signal 9 (KILL): b\\x1b[2J / c / d / e");
}
