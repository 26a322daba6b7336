//! Our reading of ssh_config against OpenSSH's own (`ssh -G`), on a generated corpus.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use plush_controller::transport::{
    AddressFamily, ConfigFiles, HostAddress, HostSettings, LocalUser, NamedFile, SshConfig,
};

/// A small generator: the same seed makes the same corpus.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

const HOSTS: [&str; 7] =
    ["web1", "web2", "db.example", "Gate", "10.0.0.7", "ann@web1", "bob@db.example:2200"];

const BLOCKS: [&str; 29] = [
    "Match host=web2,db*",
    "Match originalhost \"web1,web2\"",
    "Match final all",
    "Match canonical",
    "Match !canonical user root",
    "Match !all",
    "Match !final host !web1,* # a comment",
    "Match user bob,!ann,root",
    "Match host nowhere exec false",
    "Host nothing !db.example *",
    "Host web*",
    "Host *",
    "Host web1 db*",
    "Host !web1 web*",
    "Host *.example",
    "Host 10.0.0.?",
    "host = Gate",
    "Host \"web1\" \"db.example\"",
    "Match all",
    "Match host web1",
    "Match host *.inner,web?",
    "Match originalhost web1,db*",
    "Match user ann",
    "Match host !web1,web* user root",
    "Match !host web1",
    "Match final",
    "Match final host *.inner",
    "Match localuser root",
    "Match !final originalhost db*",
];

const SETTINGS: [&str; 57] = [
    "HostName = \"%h.quoted\"",
    "HostName 2001:db8::1",
    "User CORP\\\\ann",
    "User CORP\\ann",
    "User 'o d d'",
    "User a\\ b",
    "Port 022",
    "IdentityFile none",
    "IdentityFile \"a\"'b'c",
    "IdentityFile=~/.ssh/four # why",
    "CertificateFile none",
    "IdentityAgent SSH_AUTH_SOCK",
    "IdentityAgent $SOCKET",
    "UserKnownHostsFile \"~/one two\" ~/three",
    "UserKnownHostsFile none",
    "HostKeyAlgorithms +ssh-rsa",
    "ProxyJump [2001:db8::7]:22,b",
    "ProxyJump ssh://c%61rl@gate:2200/",
    "ProxyJump \t gate-%h # why",
    "ProxyJump CORP+x@gate",
    "ProxyCommand none",
    "ServerAliveInterval none",
    "ServerAliveInterval 1m30",
    "ConnectTimeout none",
    "LogLevel Debug3",
    "HostName %h.inner",
    "HostName inner-%h",
    "HostName 192.0.2.1",
    "hostname=UPPER.Example",
    "User carl",
    "user root",
    "Port 2222",
    "Port = 22",
    "IdentityFile ~/.ssh/one",
    "IdentityFile \"~/.ssh/t w o\"",
    "IdentityFile %d/.ssh/three",
    "IdentitiesOnly yes",
    "IdentitiesOnly no",
    "IdentityAgent none",
    "IdentityAgent ~/agent.sock",
    "CertificateFile ~/.ssh/one-cert.pub",
    "UserKnownHostsFile /dev/null",
    "UserKnownHostsFile ~/a ~/b",
    "GlobalKnownHostsFile none",
    "HostKeyAlias known-%h",
    "HostKeyAlias other",
    "ProxyJump gate1",
    "ProxyJump none",
    "ProxyJump a@b:22,c",
    "ConnectTimeout 7",
    "ConnectTimeout 1m",
    "ServerAliveInterval 15",
    "ServerAliveCountMax 9",
    "AddressFamily inet",
    "AddressFamily inet6",
    "ForwardAgent yes # a comment",
    "Compression yes",
];

fn config_text(draw: &mut Draw, included: Option<&str>) -> String {
    let mut text = String::new();
    for _ in 0..draw.below(3) {
        text.push_str(&format!("{}\n", draw.of(&SETTINGS)));
    }
    for _ in 0..1 + draw.below(5) {
        text.push_str(&format!("\n{}\n", draw.of(&BLOCKS)));
        for _ in 0..1 + draw.below(4) {
            text.push_str(&format!("  {}\n", draw.of(&SETTINGS)));
        }
        if let Some(included) = included
            && draw.below(3) == 0
        {
            text.push_str(&format!("  Include {included}\n  {}\n", draw.of(&SETTINGS)));
        }
    }
    text
}

/// What `ssh -G` says, by keyword.
fn openssh(file: &Path, address: &HostAddress) -> BTreeMap<String, Vec<String>> {
    let mut command = Command::new("ssh");
    command.args(["-T", "-G", "-F"]).arg(file);
    if let Some(user) = address.user() {
        command.args(["-l", user]);
    }
    if let Some(port) = address.port() {
        command.args(["-p", &port.to_string()]);
    }
    let output = command.arg("--").arg(address.name()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
        all.entry(keyword.to_owned()).or_default().push(value.to_owned());
    }
    all
}

/// The same in our words; defaults that OpenSSH leaves out are left out.
fn ours(settings: &HostSettings) -> BTreeMap<String, Vec<String>> {
    // OpenSSH prints the files of known keys with the home directory in place.
    let home = LocalUser::current().home.display().to_string();
    let text = |file: &NamedFile| file.path.to_str().unwrap().to_owned();
    let none = |texts: Vec<String>| if texts.is_empty() { vec!["none".into()] } else { texts };
    let at_home =
        |files: &[NamedFile]| none(files.iter().map(text).collect()).join(" ").replace('~', &home);
    let yes_no = |b: bool| if b { "yes" } else { "no" }.to_owned();
    let mut all = BTreeMap::from([
        ("hostname", vec![settings.host_name.clone()]),
        ("user", vec![settings.user.clone()]),
        ("port", vec![settings.port.to_string()]),
        ("identitiesonly", vec![yes_no(settings.identities_only)]),
        ("userknownhostsfile", vec![at_home(&settings.user_known_hosts)]),
        ("globalknownhostsfile", vec![at_home(&settings.global_known_hosts)]),
        (
            "connecttimeout",
            vec![settings.connect_timeout_s.map_or("none".to_owned(), |s| s.to_string())],
        ),
        ("serveraliveinterval", vec![settings.server_alive_interval_s.to_string()]),
        ("serveralivecountmax", vec![settings.server_alive_count.to_string()]),
        (
            "addressfamily",
            vec![
                match settings.address_family {
                    AddressFamily::Any => "any",
                    AddressFamily::Inet => "inet",
                    AddressFamily::Inet6 => "inet6",
                }
                .to_owned(),
            ],
        ),
    ]);
    let named = settings.identity_files.iter().filter(|file| file.place.is_some());
    let named: Vec<String> = named.map(text).collect();
    if !named.is_empty() {
        all.insert("identityfile", named);
    }
    let agent = settings.identity_agent.as_ref();
    let agent = agent.map(|agent| text(agent).replace("~/", &format!("{home}/")));
    for (keyword, value) in [
        ("identityagent", &agent),
        ("hostkeyalias", &settings.host_key_alias),
        ("proxyjump", &settings.proxy_jump.as_ref().map(ToString::to_string)),
    ] {
        if let Some(value) = value {
            all.insert(keyword, vec![value.clone()]);
        }
    }
    if !settings.certificate_files.is_empty() {
        all.insert("certificatefile", settings.certificate_files.iter().map(text).collect());
    }
    all.into_iter().map(|(keyword, values)| (keyword.to_owned(), values)).collect()
}

fn compare(file: &Path, host: &str, text: &str) {
    let address = HostAddress::parse(host).unwrap();
    let settings = SshConfig::load(&ConfigFiles::Only(file.to_owned()), LocalUser::current())
        .settings(&address);
    assert_eq!(settings.program_because, Vec::<String>::new(), "{text}");
    let theirs = openssh(file, &address);
    for (keyword, values) in ours(&settings) {
        // `none` among others takes nothing away.
        let theirs = theirs.get(&keyword).map(|theirs| {
            let real = |value: &&String| {
                keyword == "userknownhostsfile"
                    || keyword == "globalknownhostsfile"
                    || keyword == "connecttimeout"
                    || keyword == "identityagent"
                    || *value != "none"
            };
            theirs.iter().filter(real).cloned().collect::<Vec<_>>()
        });
        assert_eq!(Some(values), theirs, "{keyword} of {host} in:\n{text}");
    }
    for keyword in ["proxyjump", "identityagent", "hostkeyalias", "certificatefile"] {
        let is_none = |values: &Vec<String>| values.iter().all(|value| value == "none");
        assert!(
            ours(&settings).contains_key(keyword) || theirs.get(keyword).is_none_or(is_none),
            "{keyword} of {host} in:\n{text}"
        );
    }
}

#[test]
fn a_generated_corpus_is_read_as_openssh_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let (file, included) = (dir.path().join("config"), dir.path().join("more"));
    for seed in 0..60 {
        let mut draw = Draw(seed);
        let inner = config_text(&mut draw, None);
        let text = config_text(&mut draw, Some(&included.display().to_string()));
        std::fs::write(&included, &inner).unwrap();
        std::fs::write(&file, &text).unwrap();
        for host in HOSTS {
            compare(&file, host, &format!("seed {seed}\n{text}\n--- included:\n{inner}"));
        }
    }
}

fn because(config: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    std::fs::write(&file, config).unwrap();
    let config = SshConfig::load(&ConfigFiles::Only(file), LocalUser::current());
    config.settings(&HostAddress::parse("web").unwrap()).program_because
}

#[test]
fn what_we_cannot_honour_goes_to_the_program_with_the_reason() {
    for (config, words) in [
        ("ProxyCommand nc %h %p\n", "ProxyCommand"),
        ("ControlMaster auto\n", "controlmaster"),
        ("PKCS11Provider /lib/x.so\n", "pkcs11provider"),
        ("KexAlgorithms sntrup761x25519-sha512@openssh.com\n", "kexalgorithms"),
        ("NewThing yes\n", "newthing is not known"),
        ("Match exec true\n  User x\n", "Match exec"),
        ("Host web\n  Port abc\n", "port"),
        ("User \"ann\n", "quote"),
        ("Match host = web\n  User x\n", "Match host"),
        ("User %u\n", "user"),
        ("HostName 100%\n", "hostname"),
        ("HostName web.%n\n", "hostname"),
        ("ProxyJump \"none\"\n", "proxyjump"),
        ("ProxyJump none # why\n", "proxyjump"),
        ("ProxyJump gate $X\n", "proxyjump"),
        ("ProxyJump ssh://[2001:db8::1]/\n", "proxyjump"),
        ("ProxyCommand none # why\n", "ProxyCommand"),
        ("CheckHostIP yes\n", "checkhostip"),
        ("RequiredRSASize 3072\n", "requiredrsasize"),
        ("PreferredAuthentications password\n", "preferredauthentications"),
        ("Include ${HOME}/x\n", "Include"),
        ("Include ~root/x\n", "Include"),
    ] {
        let because = because(config);
        assert!(because.iter().any(|why| why.contains(words)), "{config}: {because:?}");
    }
}

/// Lines that `ssh` refuses at any position. The installed `ssh` is checked too.
const REFUSED: [&str; 26] = [
    "Match",
    "Match all host web",
    "Match host",
    "Match nonsense web",
    "Host",
    "HostName 192.0.2.1 junk",
    "HostName",
    "User",
    "IdentityFile \"\"",
    "UserKnownHostsFile ~/a none",
    "LogLevel CHATTY",
    "Port abc",
    "Port 0",
    "Port 22 23",
    "Compression 9",
    "ForwardX11 maybe",
    "AddressFamily inet7",
    "StrictHostKeyChecking perhaps",
    "ServerAliveInterval often",
    "ServerAliveCountMax -1x",
    "ProxyJump gate:0",
    "ProxyJump ssh://gate/path",
    "HostKeyAlgorithms rot13",
    "SendEnv A=B",
    "LocalForward junk",
    "NewThing yes",
];

#[test]
fn a_line_that_ssh_refuses_is_not_passed_over_wherever_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    for line in REFUSED {
        for config in [format!("{line}\n"), format!("Host other\n  {line}\n")] {
            std::fs::write(&file, &config).unwrap();
            let asked = Command::new("ssh").args(["-G", "-F"]).arg(&file).arg("web").output();
            assert!(!asked.unwrap().status.success(), "ssh takes {config}");
            assert_ne!(because(&config), Vec::<String>::new(), "{config}");
        }
    }
}

#[test]
fn an_included_file_that_others_may_write_is_refused_as_ssh_refuses_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let more = dir.path().join("more");
    std::fs::write(&more, "User ann\n").unwrap();
    let config = format!("Include {}\n", more.display());
    let mode =
        |mode| std::fs::set_permissions(&more, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    assert_eq!(because(&config), Vec::<String>::new());
    mode(0o664);
    assert!(because(&config)[0].contains("another user owns it or may write it"));
    mode(0o644);
    std::os::unix::fs::chown(&more, Some(65_534), None).unwrap();
    assert!(because(&config)[0].contains("owner 65534"), "{:?}", because(&config));
}

#[test]
fn what_does_not_concern_a_host_does_not_send_it_to_the_program() {
    for config in [
        "Host other\n  ProxyCommand nc %h %p\n  IgnoreUnknown New*\nHost *\n  IgnoreUnknown New*\n  NewThing yes\n",
        "Host other\n  ControlMaster auto\nMatch host other exec true\n  User x\n",
        "ProxyCommand none\nControlMaster no\nGSSAPIAuthentication yes\nSendEnv LANG LC_*\nHashKnownHosts yes\n",
        "IgnoreUnknown New*\nNewThing yes\n",
        "ProxyJump none\nProxyCommand nc %h %p\n",
    ] {
        assert_eq!(because(config), Vec::<String>::new(), "{config}");
    }
}

#[test]
fn names_that_ssh_keygen_hashed_are_found() {
    use plush_controller::transport::{KeyName, KnownHosts};
    let dir = tempfile::tempdir().unwrap();
    super::sshd::keygen(&dir.path().join("key"), &[]);
    let key = std::fs::read_to_string(dir.path().join("key.pub")).unwrap();
    let file = dir.path().join("known_hosts");
    std::fs::write(&file, format!("web.example {key}[db.example]:2222 {key}")).unwrap();
    let done = Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&file).output().unwrap();
    assert!(done.status.success());
    assert!(!std::fs::read_to_string(&file).unwrap().contains("example"));
    let known = KnownHosts::load(&[file]);
    for (host, port, count) in
        [("web.example", 22, 1), ("db.example", 2222, 1), ("db.example", 22, 0), ("other", 22, 0)]
    {
        assert_eq!(known.known_for(&KeyName::new(host, port, None)).len(), count, "{host}:{port}");
    }
}
