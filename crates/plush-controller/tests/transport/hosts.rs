//! Hosts with odd accounts: shells, noise, missing programs, directories that are of no use.
//!
//! The account is emulated by a forced command, which gets what a login shell would get. Mounts are made in a mount
//! namespace of the session's own, so nothing is left on this machine.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plush_controller::transport::{
    AgentFile, AgentOrigin, AgentShelf, Bootstrap, ConnectFailure, Deadlines, FailureClass, Link,
    Preference, Stage, connect,
};

use super::sshd::{
    Sshd, agent, bootstrap, bootstrap_with, files_below, prove, route, small_agent, write_script,
};

const SHELL: &str = r#"exec /bin/sh -c "$SSH_ORIGINAL_COMMAND""#;

/// A server whose account runs this script instead of a login shell.
fn account(script: &str) -> Sshd {
    let sshd = Sshd::start("ForceCommand exec @DIR@/account\n");
    let script = script.replace("@DIR@", &sshd.dir.path().display().to_string());
    write_script(&sshd.path("account"), &format!("#!/bin/bash\n{script}\n"));
    sshd
}

/// The same, in a mount namespace with these mounts (`options:place`) made first.
fn mounted(mounts: &[&str], then: &str) -> Sshd {
    let mut script = String::new();
    for mount in mounts {
        let (options, place) = mount.split_once(':').unwrap();
        script.push_str(&format!(
            "mkdir -p {place} && mount -t tmpfs -o {options} tmpfs {place} || exit 77\n"
        ));
    }
    let sshd = account("exec unshare -m /bin/bash @DIR@/inside");
    let script = format!("{script}{then}\n{SHELL}\n")
        .replace("@DIR@", &sshd.dir.path().display().to_string());
    std::fs::write(sshd.path("inside"), script).unwrap();
    sshd
}

async fn join(sshd: &Sshd, bootstrap: &Bootstrap) -> Result<Link, ConnectFailure> {
    connect(
        &sshd.ssh("", Preference::Automatic),
        &route("web"),
        bootstrap,
        &Deadlines::default(),
        None,
    )
    .await
}

#[tokio::test]
async fn f16_any_login_shell_hands_the_script_over() {
    for shell in ["/bin/csh", "/usr/bin/fish", "/bin/dash", "/bin/bash", "/bin/busybox sh"] {
        let sshd = account(&format!(r#"exec {shell} -c "$SSH_ORIGINAL_COMMAND""#));
        let link = join(&sshd, &bootstrap()).await.unwrap_or_else(|e| panic!("{shell}: {e}"));
        assert!(matches!(link.account.agent, AgentOrigin::Sent { .. }));
        prove(link).await;
    }
}

#[tokio::test]
async fn f16_an_account_without_a_shell_is_named() {
    for preference in [Preference::Automatic, Preference::Program] {
        let sshd = account("exec /usr/sbin/nologin");
        let failure = sshd.connect(&sshd.ssh("", preference)).await.unwrap_err();
        assert_eq!(
            (failure.stage, failure.class),
            (Stage::Shell, FailureClass::Permanent),
            "{failure}"
        );
        assert!(failure.cause.contains("This account is currently not available"), "{failure}");
    }
}

#[tokio::test]
async fn f16_a_start_up_file_that_hangs_or_exits_ends_in_time() {
    let sshd = account("exec sleep 20");
    let deadlines = Deadlines { shell: Duration::from_secs(1), ..Deadlines::default() };
    let ssh = sshd.ssh("", Preference::Automatic);
    let began = Instant::now();
    let failure = connect(&ssh, &route("web"), &bootstrap(), &deadlines, None).await.unwrap_err();
    assert_eq!(
        (failure.stage, failure.class),
        (Stage::Shell, FailureClass::Retryable),
        "{failure}"
    );
    assert!(began.elapsed() < Duration::from_secs(15));
    let sshd = account("echo no more; exit 3");
    let failure = join(&sshd, &bootstrap()).await.unwrap_err();
    assert!(
        failure.cause.contains("exit status 3") && failure.cause.contains("no more"),
        "{failure}"
    );
}

/// Where bash is /bin/sh it imports functions; gzip warns when its options come from the
/// environment.
#[tokio::test]
async fn f16_what_an_account_exports_changes_nothing() {
    for lines in [
        "export GZIP=-9",
        "export PATH=",
        "export PATH=/no/such/directory",
        "export POSIXLY_CORRECT=1 TMPDIR=/no/such LC_ALL=xx_XX.UTF-8 CDPATH=/usr:/ IFS=/",
        "export ENV=/no/such BASH_ENV=/no/such LD_PRELOAD=/no/such.so",
        "mkdir() { echo mine; }; cat() { echo mine; }; head() { echo mine; }; gzip() { echo mine; }; \
         chmod() { echo mine; }; export -f mkdir cat head gzip chmod",
        "umask 0777",
        "ulimit -n 16; ulimit -c 0",
    ] {
        for shell in ["/bin/sh", "/bin/bash --posix"] {
            let script = format!("{lines}\nexec {shell} -c \"${{SSH_ORIGINAL_COMMAND}}\"");
            let sshd = account(&script);
            let link = join(&sshd, &bootstrap_with(agent())).await;
            let link = link.unwrap_or_else(|e| panic!("{lines}, {shell}: {e}"));
            assert!(matches!(link.account.agent, AgentOrigin::Sent { .. }), "{lines}");
            prove(link).await;
        }
    }
}

#[tokio::test]
async fn a_limit_of_the_account_that_no_file_fits_into_is_named() {
    let sshd = account(&format!("ulimit -f 0\n{SHELL}"));
    let failure = join(&sshd, &bootstrap()).await.unwrap_err();
    assert_eq!(failure.stage, Stage::AgentDir, "{failure}");
    assert!(failure.cause.contains("ulimit -f"), "{failure}");
    assert_eq!(files_below(&sshd.path("home")), Vec::<std::path::PathBuf>::new());
}

/// A base of another run that has become usable since must not hide the agent that is at work.
#[tokio::test]
async fn a_member_is_found_again_where_it_began() {
    let sshd =
        account(&format!("[ -e @DIR@/first ] || export PLUSH_AGENT_DIR=@DIR@/chosen\n{SHELL}"));
    let other = bootstrap().at("run-2.web-2".to_owned());
    let chosen = join(&sshd, &other).await.unwrap().account.agent_dir;
    let member = || bootstrap().at("run-1.web-1".to_owned());
    std::fs::write(sshd.path("first"), "").unwrap();
    let first = join(&sshd, &member()).await.unwrap().account.agent_dir;
    assert_ne!(first, chosen);
    std::fs::remove_file(sshd.path("first")).unwrap();
    let again = join(&sshd, &member()).await.unwrap().account;
    assert_eq!((again.agent_dir, again.agent), (first, AgentOrigin::Found));
}

/// As when a host restarts while it is logged in to.
#[tokio::test]
async fn f34_a_connection_that_breaks_during_the_login_is_no_fault_of_the_account() {
    let sshd = account("kill -9 $PPID; sleep 1");
    let failure = join(&sshd, &bootstrap()).await.unwrap_err();
    let expected = (Stage::Shell, FailureClass::Interrupted);
    assert_eq!((failure.stage, failure.class), expected, "{failure}");
}

#[tokio::test]
async fn f17_a_megabyte_of_binary_noise_at_login_is_passed_over() {
    for preference in [Preference::Automatic, Preference::Program] {
        let sshd = account(&format!(
            "head -c 1048576 /dev/urandom; head -c 99999 /dev/urandom >&2; printf '|start|x'\n{SHELL}"
        ));
        let link = sshd.connect(&sshd.ssh("", preference)).await.unwrap();
        assert!((1_048_576..1_049_000).contains(&link.account.noise_bytes));
        assert!(link.account.noise.len() < 40_000);
        assert!(!link.account.noise.contains(|c: char| c.is_control()), "noise is escaped");
        prove(link).await;
    }
}

#[tokio::test]
async fn f17_a_shell_that_echoes_its_commands_does_not_fool_the_marker() {
    let sshd =
        account(r#"echo "$SSH_ORIGINAL_COMMAND"; exec /bin/sh -x -v -c "$SSH_ORIGINAL_COMMAND""#);
    prove(join(&sshd, &bootstrap()).await.unwrap()).await;
}

#[tokio::test]
async fn f17_noise_without_end_is_cut_off() {
    let sshd = account("exec cat /dev/zero");
    let failure = join(&sshd, &bootstrap()).await.unwrap_err();
    assert_eq!(
        (failure.stage, failure.class),
        (Stage::Shell, FailureClass::Permanent),
        "{failure}"
    );
}

#[tokio::test]
async fn f12_f13_a_home_that_is_noexec_or_read_only_is_passed_over_and_named() {
    for (options, why) in [("noexec", "noexec"), ("ro", "cannot be made")] {
        let sshd = mounted(&[&format!("{options}:@DIR@/home"), "mode=1777:/var/tmp"], "");
        let link = join(&sshd, &bootstrap()).await.unwrap();
        assert_eq!(link.account.agent_dir, "/var/tmp/plush-0");
        assert_eq!(link.account.refused_dirs.len(), 2, "{:?}", link.account.refused_dirs);
        let refused = &link.account.refused_dirs;
        assert!(refused.iter().any(|dir| dir.contains(why)), "{refused:?}");
        prove(link).await;
    }
}

#[tokio::test]
async fn f14_without_any_directory_all_that_were_tried_are_named() {
    let mounts = ["noexec:/var/tmp", "ro:/dev/shm", "noexec,size=64k:/tmp"];
    let sshd = mounted(&mounts, "");
    let began = Instant::now();
    let failure = join(&sshd, &bootstrap()).await.unwrap_err();
    assert_eq!(
        (failure.stage, failure.class),
        (Stage::AgentDir, FailureClass::Permanent),
        "{failure}"
    );
    for dir in
        ["home/.cache/plush", "home/.plush", "/var/tmp/plush-0", "/tmp/plush-0", "/dev/shm/plush-0"]
    {
        assert!(failure.cause.contains(dir), "{dir} is missing: {failure}");
    }
    assert!(failure.hint.contains("PLUSH_AGENT_DIR"));
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_full_disk_is_passed_over_or_named_with_what_is_needed() {
    let sshd = mounted(&["size=64k:@DIR@/home", "mode=1777:/var/tmp"], "");
    let link = join(&sshd, &bootstrap_with(agent())).await.unwrap();
    assert_eq!(link.account.agent_dir, "/var/tmp/plush-0");
    let refused = &link.account.refused_dirs;
    assert!(refused.iter().any(|dir| dir.contains("No space left on device")), "{refused:?}");
    prove(link).await;

    let mounts = ["size=64k:/var/tmp", "size=64k:/dev/shm", "size=64k:/tmp"];
    let sshd = mounted(&mounts, "mkdir -p @DIR@/home/.cache");
    for preference in [Preference::Automatic, Preference::Program] {
        let ssh = sshd.ssh("", preference);
        let bootstrap = bootstrap_with(agent());
        let failure = connect(&ssh, &route("web"), &bootstrap, &Deadlines::default(), None)
            .await
            .unwrap_err();
        assert_eq!(failure.stage, Stage::AgentDir, "{failure}");
        assert!(failure.cause.contains("No space left on device"), "{failure}");
        assert!(failure.cause.contains("KiB needed, "), "{failure}");
    }
}

#[tokio::test]
async fn a_directory_of_another_user_is_never_used_or_run_from() {
    let digest = small_agent().digest().to_owned();
    let plant = format!(
        "mkdir /tmp/plush-0; echo 'echo evil' >/tmp/plush-0/agent-{digest}; chmod 755 /tmp/plush-0/*; chown -R 1000 /tmp/plush-0"
    );
    let sshd = mounted(
        &["noexec:/var/tmp", "mode=1777:/dev/shm", "mode=1777:/tmp"],
        &format!("{plant}; export HOME=/proc/none"),
    );
    let link = join(&sshd, &bootstrap()).await.unwrap();
    assert_eq!(link.account.agent_dir, "/dev/shm/plush-0");
    assert!(
        link.account
            .refused_dirs
            .iter()
            .any(|d| d.contains("/tmp/plush-0: belongs to another user"))
    );
    prove(link).await;
}

#[tokio::test]
async fn the_account_may_choose_the_directory() {
    let sshd = account(&format!("export PLUSH_AGENT_DIR='@DIR@/a dir/of mine'\n{SHELL}"));
    let link = join(&sshd, &bootstrap()).await.unwrap();
    assert!(link.account.agent_dir.ends_with("/a dir/of mine"));
    assert!(prove(link).await.ends_with("/a dir/of mine\n"));
}

/// What every system has, even if nothing else.
fn null_device(root: &Path) {
    std::fs::create_dir_all(root.join("dev")).unwrap();
    let made = Command::new("mknod")
        .arg("-m")
        .arg("666")
        .arg(root.join("dev/null"))
        .args(["c", "1", "3"])
        .status();
    assert!(made.unwrap().success());
}

/// A root with nothing but sh, cat, chmod and mkdir, and what they need.
fn bare_root(root: &Path) {
    for dir in ["bin", "home/.cache", "tmp"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    null_device(root);
    for program in ["/bin/dash", "/bin/cat", "/bin/chmod", "/bin/mkdir"] {
        let needs = Command::new("ldd").arg(program).output().unwrap();
        let needs = String::from_utf8(needs.stdout).unwrap();
        for path in needs.split_whitespace().filter(|word| word.starts_with('/')) {
            let to = root.join(path.trim_start_matches('/'));
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(path, to).unwrap();
        }
        std::fs::copy(program, root.join(program.trim_start_matches('/'))).unwrap();
    }
    std::fs::rename(root.join("bin/dash"), root.join("bin/sh")).unwrap();
}

#[tokio::test]
async fn f15_nothing_but_sh_cat_chmod_and_mkdir_is_needed() {
    for preference in [Preference::Automatic, Preference::Program] {
        let sshd = account(
            r#"export HOME=/home; exec chroot @DIR@/root /bin/sh -c "$SSH_ORIGINAL_COMMAND""#,
        );
        bare_root(&sshd.path("root"));
        let ssh = sshd.ssh("", preference);
        let bootstrap = bootstrap_with(agent());
        let link = connect(
            &ssh,
            &route("web"),
            &bootstrap,
            &Deadlines { upload: Duration::from_secs(10), ..Deadlines::default() },
            None,
        )
        .await
        .unwrap();
        assert_eq!(link.account.agent_dir, "/home/.cache/plush");
        assert_eq!(
            link.account.agent,
            AgentOrigin::Sent { sent_bytes: agent().bytes().len() as u64 }
        );
        prove(link).await;
        let placed = sshd.path(&format!("root/home/.cache/plush/agent-{}", agent().digest()));
        assert!(std::fs::read(placed).unwrap() == agent().bytes());
    }
}

#[tokio::test]
async fn f15_busybox_alone_is_enough() {
    let sshd =
        account(r#"export HOME=/home; exec chroot @DIR@/root /bin/sh -c "$SSH_ORIGINAL_COMMAND""#);
    std::fs::create_dir_all(sshd.path("root/bin")).unwrap();
    std::fs::create_dir_all(sshd.path("root/home/.cache")).unwrap();
    null_device(&sshd.path("root"));
    std::fs::copy("/bin/busybox", sshd.path("root/bin/busybox")).unwrap();
    for applet in ["sh", "cat", "chmod", "mkdir", "head", "gzip", "uname"] {
        std::os::unix::fs::symlink("busybox", sshd.path("root/bin").join(applet)).unwrap();
    }
    let link = join(&sshd, &bootstrap_with(agent())).await.unwrap();
    let sent =
        matches!(link.account.agent, AgentOrigin::Sent { sent_bytes } if sent_bytes < 290_000);
    assert!(sent, "it was not packed: {:?}", link.account.agent);
    prove(link).await;
}

#[tokio::test]
async fn f25_an_unknown_machine_is_named_before_anything_is_sent() {
    for (uname, words) in [("Linux sparc64", "Linux sparc64"), ("Darwin arm64", "Darwin arm64")] {
        let sshd = account(&format!("export PATH=@DIR@/bin:$PATH\n{SHELL}"));
        std::fs::create_dir(sshd.path("bin")).unwrap();
        write_script(&sshd.path("bin/uname"), &format!("#!/bin/sh\necho {uname}\n"));
        let failure = join(&sshd, &bootstrap()).await.unwrap_err();
        assert_eq!(
            (failure.stage, failure.class),
            (Stage::AgentDir, FailureClass::Permanent),
            "{failure}"
        );
        assert!(failure.cause.contains(words), "{failure}");
        assert_eq!(files_below(&sshd.path("home")), Vec::<std::path::PathBuf>::new());
    }
}

#[tokio::test]
async fn f25_an_agent_for_another_machine_is_looked_up_and_sent() {
    let sshd = account(&format!("export PATH=@DIR@/bin:$PATH\n{SHELL}"));
    std::fs::create_dir(sshd.path("bin")).unwrap();
    write_script(&sshd.path("bin/uname"), "#!/bin/sh\necho Linux riscv64\n");
    let other = || agent();
    let shelf = AgentShelf::new(
        std::env::consts::ARCH,
        small_agent(),
        Box::new(move |machine| (machine == "riscv64").then(other)),
    );
    let bootstrap = Bootstrap::new("run-1", "web", Arc::new(shelf)).unwrap();
    for expected in ["Sent", "Found"] {
        let link = join(&sshd, &bootstrap).await.unwrap();
        assert_eq!(link.account.machine, "Linux riscv64");
        assert!(format!("{:?}", link.account.agent).starts_with(expected));
        prove(link).await;
    }
    assert!(sshd.path(&format!("home/.cache/plush/agent-{}", agent().digest())).exists());
}

#[tokio::test]
async fn t23_an_agent_that_arrives_damaged_is_not_started() {
    let mounts = ["mode=1777:/var/tmp", "mode=1777:/dev/shm", "mode=1777:/tmp"];
    let sshd = mounted(&mounts, "mkdir -p @DIR@/home/.cache");
    let mut cut = small_agent().bytes().to_vec();
    cut.truncate(cut.len() - 4);
    let failure = join(&sshd, &bootstrap_with(AgentFile::new(cut))).await.unwrap_err();
    assert_eq!(failure.stage, Stage::AgentDir, "{failure}");
    assert!(failure.cause.contains("digest does not match"), "{failure}");
}
