//! Both clients and the local process reach an agent, sent once and then found.

use std::time::Duration;

use plush_controller::transport::{
    AgentOrigin, Client, Deadlines, FailureClass, HostAddress, Preference, Route, Ssh, SshOptions,
    Stage, connect, examine,
};
use plush_protocol::{Guarantee, Logout};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::sshd::{Sshd, agent, bootstrap, bootstrap_with, files_below, keygen, prove, route};

async fn cold_then_warm(preference: Preference, client: Client) {
    let sshd = Sshd::start("");
    let ssh = sshd.ssh("", preference);
    let bootstrap = bootstrap_with(agent());
    let cold = connect(&ssh, &route("web"), &bootstrap, &Deadlines::default(), None).await.unwrap();
    assert_eq!(cold.account.client, client);
    assert!(
        matches!(cold.account.agent, AgentOrigin::Sent { sent_bytes: 100_000..=299_000 }),
        "{:?}",
        cold.account
    );
    let base = sshd.path("home/.cache/plush");
    assert_eq!(cold.account.agent_dir, base.display().to_string());
    assert_eq!(prove(cold).await, format!("bridge run=run-1 host=web base={}\n", base.display()));
    let warm = connect(&ssh, &route("web"), &bootstrap, &Deadlines::default(), None).await.unwrap();
    assert_eq!(warm.account.agent, AgentOrigin::Found);
    println!("{client}: warm {:?}", warm.account.stages);
    prove(warm).await;
    let left = files_below(&sshd.path("home"));
    assert_eq!(left.len(), 1, "only the agent is left: {left:?}");
}

#[tokio::test]
async fn the_in_process_client_sends_the_agent_once() {
    cold_then_warm(Preference::Automatic, Client::InProcess).await;
}

#[tokio::test]
async fn the_ssh_program_sends_the_agent_once() {
    cold_then_warm(Preference::Program, Client::Program).await;
}

#[tokio::test]
async fn a_local_host_has_its_agent_in_its_own_directory() {
    let dir = tempfile::tempdir().unwrap();
    let ssh = Ssh::new(SshOptions::from_environment());
    let route = Route::Local { dir: dir.path().join("host 1") };
    for expected in ["Sent", "Found"] {
        let link = connect(&ssh, &route, &bootstrap(), &Deadlines::default(), None).await.unwrap();
        assert!(format!("{:?}", link.account.agent).starts_with(expected));
        assert!(prove(link).await.starts_with("bridge run=run-1 host=web base="));
    }
    assert_eq!(files_below(dir.path()).len(), 1);
}

#[tokio::test]
async fn a_jump_host_carries_the_connection_with_either_client() {
    let sshd = Sshd::start("");
    let lines = "Host web\n  ProxyJump gate\nHost gate\n  HostKeyAlias gate.example\n";
    let key = std::fs::read_to_string(sshd.path("host_key.pub")).unwrap();
    std::fs::write(
        sshd.path("known_hosts"),
        format!("gate.example {key}[127.0.0.1]:{} {key}", sshd.port),
    )
    .unwrap();
    for preference in [Preference::Automatic, Preference::Program] {
        let ssh = sshd.ssh(lines, preference);
        let link = sshd.connect(&ssh).await.unwrap();
        prove(link).await;
    }
    assert!(
        sshd.log().matches("direct-tcpip").count() >= 2,
        "the connections went through the jump host"
    );
}

#[tokio::test]
async fn f32_a_jump_host_with_a_changed_key_stops_either_client() {
    let sshd = Sshd::start("");
    keygen(&sshd.path("other"), &[]);
    let read = |name| std::fs::read_to_string(sshd.path(name)).unwrap();
    let (good, bad) = (read("host_key.pub"), read("other.pub"));
    std::fs::write(
        sshd.path("known_hosts"),
        format!("gate.example {bad}[127.0.0.1]:{} {good}", sshd.port),
    )
    .unwrap();
    let lines = "Host web\n  ProxyJump gate\nHost gate\n  HostKeyAlias gate.example\n  StrictHostKeyChecking no\n";
    for preference in [Preference::Automatic, Preference::Program] {
        let ssh = sshd.ssh(lines, preference);
        let failure = sshd.connect(&ssh).await.unwrap_err();
        assert_eq!(
            (failure.stage, failure.class),
            (Stage::HostKey, FailureClass::Permanent),
            "{failure}"
        );
    }
    assert!(!sshd.log().contains("Accepted publickey"));
}

#[tokio::test]
async fn f32_a_wrong_host_key_ends_it_before_any_login() {
    let sshd = Sshd::start("");
    keygen(&sshd.path("other"), &[]);
    sshd.know("127.0.0.1", "other.pub");
    for preference in [Preference::Automatic, Preference::Program] {
        let failure = sshd.connect(&sshd.ssh("", preference)).await.unwrap_err();
        assert_eq!(
            (failure.stage, failure.class),
            (Stage::HostKey, FailureClass::Permanent),
            "{failure}"
        );
        assert!(failure.to_string().contains("CHANGED"), "{failure}");
    }
    assert!(!sshd.log().contains("userauth-request"), "nothing was sent: {}", sshd.log());
}

#[tokio::test]
async fn t08_an_unknown_host_key_is_refused_with_the_next_step_whatever_the_configuration_says() {
    let sshd = Sshd::start("");
    std::fs::write(sshd.path("known_hosts"), "").unwrap();
    for preference in [Preference::Automatic, Preference::Program] {
        let ssh = sshd.ssh("StrictHostKeyChecking no\n", preference);
        let failure = sshd.connect(&ssh).await.unwrap_err();
        assert_eq!(
            (failure.stage, failure.class),
            (Stage::HostKey, FailureClass::Permanent),
            "{failure}"
        );
        assert!(failure.hint.contains("plush doctor"), "{failure}");
    }
    assert_eq!(std::fs::read_to_string(sshd.path("known_hosts")).unwrap(), "");
    assert!(!sshd.log().contains("userauth-request"));
}

#[tokio::test]
async fn f31_a_refused_login_is_named_and_final() {
    let sshd = Sshd::start("");
    std::fs::write(sshd.path("authorized_keys"), "").unwrap();
    for preference in [Preference::Automatic, Preference::Program] {
        let failure = sshd.connect(&sshd.ssh("", preference)).await.unwrap_err();
        assert_eq!(
            (failure.stage, failure.class),
            (Stage::Auth, FailureClass::Permanent),
            "{failure}"
        );
        assert!(failure.hint.contains("authorized_keys"), "{failure}");
    }
}

#[tokio::test]
async fn f31_a_second_factor_is_not_waited_for() {
    let sshd = Sshd::start(
        "AuthenticationMethods publickey,keyboard-interactive\nKbdInteractiveAuthentication yes\n",
    );
    let failure = sshd.connect(&sshd.ssh("", Preference::Automatic)).await.unwrap_err();
    assert_eq!((failure.stage, failure.class), (Stage::Auth, FailureClass::Permanent), "{failure}");
}

#[tokio::test]
async fn an_encrypted_key_without_an_agent_is_named() {
    let sshd = Sshd::start("");
    let id = sshd.path("id");
    let done = std::process::Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "secret", "-f"])
        .arg(&id)
        .status();
    assert!(done.unwrap().success());
    let failure = sshd.connect(&sshd.ssh("", Preference::Automatic)).await.unwrap_err();
    assert_eq!(failure.stage, Stage::Auth);
    assert!(failure.cause.contains("encrypted"), "{failure}");
}

#[tokio::test]
async fn keys_and_certificates_are_taken_from_the_ssh_agent() {
    let sshd = Sshd::start("TrustedUserCAKeys @DIR@/ca.pub\n");
    let socket = sshd.path("agent.sock");
    let mut agent = std::process::Command::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    keygen(&sshd.path("ca"), &[]);
    keygen(&sshd.path("mine"), &[]);
    let run = |program: &str, args: &[&str]| {
        let mut command = std::process::Command::new(program);
        command.args(args).current_dir(sshd.dir.path()).env("SSH_AUTH_SOCK", &socket);
        assert!(command.output().unwrap().status.success(), "{program} {args:?}");
    };
    while !socket.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    // Only the certificate opens the door: the key itself is not in authorized_keys.
    run("ssh-keygen", &["-q", "-s", "ca", "-I", "me", "-n", "root", "mine.pub"]);
    run("ssh-add", &["-q", "mine"]);
    let lines = format!(
        "IdentityAgent {}\nIdentityFile {}/none\nIdentitiesOnly no\n",
        socket.display(),
        sshd.dir.path().display()
    );
    std::fs::remove_file(sshd.path("id")).unwrap();
    let linked = sshd.connect(&sshd.ssh(&lines, Preference::Automatic)).await;
    let _ = agent.kill();
    let _ = agent.wait();
    prove(linked.unwrap()).await;
    assert!(sshd.log().contains("Accepted publickey for root"));
}

#[tokio::test]
async fn a_certificate_of_the_host_is_accepted_for_its_name_only() {
    let dir = tempfile::tempdir().unwrap();
    keygen(&dir.path().join("ca"), &[]);
    let ca = std::fs::read_to_string(dir.path().join("ca.pub")).unwrap();
    for (principal, accepted) in [("127.0.0.1", true), ("other.example", false)] {
        let sshd = Sshd::start("HostCertificate @DIR@/host_key-cert.pub\n");
        let signed = std::process::Command::new("ssh-keygen")
            .args(["-q", "-s"])
            .arg(dir.path().join("ca"))
            .args(["-I", "h", "-h", "-n", principal])
            .arg(sshd.path("host_key.pub"))
            .status();
        assert!(signed.unwrap().success());
        let sshd = sshd.again();
        std::fs::write(sshd.path("known_hosts"), format!("@cert-authority * {ca}")).unwrap();
        let result = sshd.connect(&sshd.ssh("", Preference::Automatic)).await;
        match result {
            Ok(link) if accepted => drop(prove(link).await),
            Err(failure) if !accepted => assert_eq!(failure.stage, Stage::HostKey, "{failure}"),
            other => panic!("{principal}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_doctor_names_client_reason_keys_and_times() {
    let sshd = Sshd::start("");
    let ssh = sshd.ssh("Host web\n  ControlMaster auto\n", Preference::Automatic);
    let ask = |name| HostAddress::parse(name).unwrap();
    let report = examine(&ssh, &ask("db"), &Deadlines::default()).await.unwrap();
    assert_eq!((report.client, report.outcome), (Client::InProcess, Ok(())));
    assert_eq!((report.known_keys.len(), report.noise_bytes), (1, 0));
    assert!(report.host_key.is_some());
    assert!(report.stages.iter().any(|(stage, _)| *stage == Stage::Auth));
    assert_eq!(report.way, [format!("root@127.0.0.1:{}", sshd.port)]);
    let report = examine(&ssh, &ask("web"), &Deadlines::default()).await.unwrap();
    assert_eq!((report.client, report.outcome), (Client::Program, Ok(())));
    assert!(report.why[0].contains("controlmaster"), "{:?}", report.why);
    // These tests run as root; where a whole cgroup v2 is mounted, that may make groups.
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let writable = mounts.lines().any(|l| l.contains(" cgroup2 rw"));
    let expected = if writable { Guarantee::Cgroup } else { Guarantee::Subreaper };
    assert_eq!((report.guarantee, report.logout), (Some(expected), Logout::Stays));
}

#[tokio::test]
async fn a_server_without_an_algorithm_of_the_in_process_client_is_served_by_the_program() {
    let sshd = Sshd::start("KexAlgorithms ecdh-sha2-nistp256\n");
    let ssh = sshd.ssh("", Preference::Automatic);
    let link = sshd.connect(&ssh).await.unwrap();
    assert_eq!(link.account.client, Client::Program);
    assert!(
        link.account.why[0].contains("no common algorithm for the exchange of keys"),
        "{:?}",
        link.account.why
    );
    prove(link).await;
    let before = sshd.log().matches("no matching key exchange").count();
    let web = HostAddress::parse("web").unwrap();
    let report = examine(&ssh, &web, &Deadlines::default()).await.unwrap();
    assert_eq!((report.client, report.outcome), (Client::Program, Ok(())));
    assert!(
        report.why[0].contains("no common algorithm for the exchange of keys"),
        "{:?}",
        report.why
    );
    let after = sshd.log().matches("no matching key exchange").count();
    assert_eq!((before, after), (1, 1), "the in-process client tries once");
}

#[tokio::test]
async fn a_key_that_only_ssh_can_read_leads_to_the_program_and_a_file_that_is_no_key_is_named() {
    let sshd = Sshd::start("");
    std::fs::write(sshd.path("broken"), "this is no key\n").unwrap();
    std::fs::set_permissions(
        sshd.path("broken"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    std::fs::rename(sshd.path("id"), sshd.path("elsewhere")).unwrap();
    let here = sshd.dir.path().display().to_string();
    let lines = format!("IdentityFile {here}/broken\nIdentityFile {here}/missing\n");
    let failure = sshd.connect(&sshd.ssh(&lines, Preference::Automatic)).await.unwrap_err();
    assert_eq!((failure.stage, failure.class), (Stage::Auth, FailureClass::Permanent), "{failure}");
    for named in [
        format!("{here}/broken: "),
        format!("({here}/config:1)"),
        format!("{here}/missing: no such file ({here}/config:2)"),
        "the ssh program fails while authenticating".to_owned(),
    ] {
        assert!(failure.cause.contains(&named), "{named} in {failure}");
    }
}

#[tokio::test]
async fn a_private_key_that_others_can_read_is_not_used_and_named() {
    let sshd = Sshd::start("");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    std::fs::set_permissions(sshd.path("id"), mode).unwrap();
    for preference in [Preference::Automatic, Preference::Program] {
        let failure = sshd.connect(&sshd.ssh("", preference)).await.unwrap_err();
        assert_eq!(failure.stage, Stage::Auth, "{failure}");
        if preference == Preference::Automatic {
            assert!(failure.cause.contains("other users can read it (mode 0640)"), "{failure}");
        }
    }
    assert!(!sshd.log().contains("Accepted publickey"));
}

#[tokio::test]
async fn a_path_of_a_key_is_bytes() {
    use std::os::unix::ffi::OsStrExt as _;
    let sshd = Sshd::start("");
    let path = sshd.dir.path().join(std::ffi::OsStr::from_bytes(b"cl\xe9"));
    std::fs::rename(sshd.path("id"), &path).unwrap();
    let ssh = sshd.ssh("", Preference::Automatic);
    let mut config = b"IdentityFile ".to_vec();
    config.extend(path.as_os_str().as_bytes());
    config.extend(b"\n".iter().chain(&std::fs::read(sshd.path("config")).unwrap()));
    std::fs::write(sshd.path("config"), config).unwrap();
    let link = sshd.connect(&Ssh::new(ssh_options(&sshd))).await.unwrap();
    assert_eq!(link.account.client, Client::InProcess);
    prove(link).await;
    drop(ssh);
}

fn ssh_options(sshd: &Sshd) -> SshOptions {
    SshOptions {
        config_file: Some(sshd.path("config")),
        agent_socket: None,
        ..SshOptions::from_environment()
    }
}

#[tokio::test]
async fn a_file_that_ssh_refuses_is_no_configuration_for_any_host() {
    let sshd = Sshd::start("");
    for line in ["Host other\n  LogLevel CHATTY\n", "Host other\n  Ciphers rot13\n"] {
        let ssh = sshd.ssh(line, Preference::Automatic);
        let failure = sshd.connect(&ssh).await.unwrap_err();
        assert_eq!(failure.stage, Stage::Settings, "{failure}");
        let place = format!("{}/config line 2", sshd.dir.path().display());
        assert!(failure.cause.contains(&place), "{failure}");
    }
    assert!(!sshd.log().contains("Connection from"));
}

#[tokio::test]
async fn the_doctor_shows_the_way_that_is_gone_where_plush_does_not_understand_a_line() {
    let sshd = Sshd::start("");
    let lines = "Match originalhost web exec true\n  User root\n  ProxyJump gate-%h\n\
         Host gate-127.0.0.1\n  HostName 127.0.0.2\n  HostKeyAlias gate.example\n\
         Host gate-*\n  HostName 127.0.0.9\n";
    let listening = format!("ListenAddress 127.0.0.2:{}\n", sshd.port);
    let config = std::fs::read_to_string(sshd.path("sshd_config")).unwrap();
    std::fs::write(sshd.path("sshd_config"), format!("{listening}{config}")).unwrap();
    let sshd = sshd.again();
    let key = std::fs::read_to_string(sshd.path("host_key.pub")).unwrap();
    let known = format!("gate.example {key}[127.0.0.1]:{} {key}", sshd.port);
    std::fs::write(sshd.path("known_hosts"), known).unwrap();
    let plain = lines.replace("Match originalhost web exec true", "Host web");
    for (lines, client) in [(lines, Client::Program), (plain.as_str(), Client::InProcess)] {
        let ssh = sshd.ssh(lines, Preference::Automatic);
        let web = HostAddress::parse("web").unwrap();
        let report = examine(&ssh, &web, &Deadlines::default()).await.unwrap();
        assert_eq!((report.client, report.outcome), (client, Ok(())));
        let port = sshd.port;
        assert_eq!(
            report.way,
            [format!("root@127.0.0.2:{port}"), format!("root@127.0.0.1:{port}")]
        );
    }
    assert!(sshd.log().matches("direct-tcpip").count() >= 2);
}

#[tokio::test]
async fn a_jump_that_is_not_understood_is_never_passed_over() {
    let sshd = Sshd::start("");
    for jump in ["$GATE", "gate-%z", "-oProxyCommand=true@gate", "\"none\""] {
        let ssh = sshd.ssh(&format!("Host web\n  ProxyJump {jump}\n"), Preference::Automatic);
        match sshd.connect(&ssh).await {
            // The route goes through the jump host, whose name is looked up as any other.
            Ok(link) if sshd.log().contains("direct-tcpip") => drop(prove(link).await),
            Ok(link) => panic!("{jump} was passed over: {:?}", link.account),
            Err(failure) => assert_eq!(failure.stage, Stage::Settings, "{jump}: {failure}"),
        }
    }
}

#[tokio::test]
async fn a_program_ends_when_its_link_is_dropped() {
    let sshd = Sshd::start("");
    let link = sshd.connect(&sshd.ssh("", Preference::Program)).await.unwrap();
    let mut aside = link.aside.clone();
    assert_eq!(aside.end(), None);
    drop(link);
    aside.settled(Duration::from_secs(5)).await;
    assert!(aside.end().is_some(), "the ssh program still runs");
}

#[tokio::test]
async fn what_is_written_last_arrives_though_the_link_is_dropped_at_once() {
    let sshd = Sshd::start("");
    for preference in [Preference::Automatic, Preference::Program] {
        let link = sshd.connect(&sshd.ssh("", preference)).await.unwrap();
        let (mut reader, mut writer) = (link.reader, link.writer);
        let words = vec![b'w'; 100_000];
        writer.write_all(&words).await.unwrap();
        writer.flush().await.unwrap();
        drop(writer);
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.unwrap();
        assert!(all.ends_with(&words), "{preference:?}: only {} bytes came back", all.len());
    }
}
