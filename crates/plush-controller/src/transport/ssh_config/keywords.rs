//! How Plush handles each keyword of ssh_config, and which values it takes.
//!
//! Not the values of a host: evaluation keeps those. A value that is not recognized here is left to
//! the ssh program, which takes it or refuses it.

use super::jump::Jumps;
use super::lines::Line;
use super::{seconds, yes_no};

/// What a keyword means for the choice of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Honoured by the in-process client.
    Honoured,
    /// Without effect on how Plush uses a host, or overruled by Plush for safety.
    Without,
    /// Honoured only by the ssh program, unless the value is one of these.
    Program(&'static [&'static str]),
    /// Not known to Plush: left to the ssh program.
    Unknown,
}

/// Which values a keyword takes.
#[derive(Clone, Copy, Debug)]
enum Values {
    /// Yes or no.
    Flag,
    /// One of these, in any case.
    OneOf(&'static [&'static str]),
    /// A number that is not negative.
    Number,
    /// A port.
    Port,
    /// A duration, or `none`.
    Time,
    /// One argument that is not empty.
    Word,
    /// Arguments that are not empty.
    Words,
    /// Files of known keys: `none` stands alone.
    Files,
    /// The rest of the line, unchecked.
    Rest,
    /// A list of jump hosts.
    Jump,
    /// A list of algorithms in OpenSSH's notation.
    HostKeyAlgorithms,
    /// Authentication methods; those without a key are left to the program.
    Methods,
    /// Where to listen, and where to connect to.
    Forwards,
    /// Assignments.
    Assignments,
    /// Names of environment variables.
    Variables,
    /// Bytes, and perhaps a time.
    Rekey,
    /// One character, one with `^`, or `none`.
    Character,
    /// A mask in octal digits.
    Mask,
    /// Decided elsewhere, or not by us.
    Unchecked,
}

const QUALITY: &[&str] = &[
    "af11",
    "af12",
    "af13",
    "af21",
    "af22",
    "af23",
    "af31",
    "af32",
    "af33",
    "af41",
    "af42",
    "af43",
    "cs0",
    "cs1",
    "cs2",
    "cs3",
    "cs4",
    "cs5",
    "cs6",
    "cs7",
    "ef",
    "le",
    "lowdelay",
    "throughput",
    "reliability",
    "none",
];
const LOG_LEVELS: &[&str] =
    &["quiet", "fatal", "error", "info", "verbose", "debug", "debug1", "debug2", "debug3"];
const FACILITIES: &[&str] = &[
    "daemon", "user", "auth", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
const STRICTNESS: &[&str] = &["yes", "true", "no", "false", "ask", "off", "accept-new"];
const HOST_KEY_ALGORITHMS: &[&str] = &[
    "ssh-ed25519",
    "ssh-rsa",
    "rsa-sha2-256",
    "rsa-sha2-512",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-ed25519-cert-v01@openssh.com",
    "ssh-rsa-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
];

/// The meaning of a keyword in lower case.
pub(crate) fn meaning(keyword: &str) -> Meaning {
    row(keyword).0
}

fn row(keyword: &str) -> (Meaning, Values) {
    use Meaning::{Honoured, Program, Unknown, Without};
    use Values::{
        Assignments, Character, Files, Flag, Forwards, HostKeyAlgorithms, Jump, Mask, Methods,
        Number, OneOf, Port, Rekey, Rest, Time, Unchecked, Variables, Word, Words,
    };
    match keyword {
        "host" | "match" => (Honoured, Unchecked),
        "hostname" | "user" | "hostkeyalias" | "ignoreunknown" | "identityfile"
        | "identityagent" | "certificatefile" => (Honoured, Word),
        "port" => (Honoured, Port),
        "identitiesonly" => (Honoured, Flag),
        "userknownhostsfile" | "globalknownhostsfile" => (Honoured, Files),
        "hostkeyalgorithms" => (Honoured, HostKeyAlgorithms),
        "proxyjump" => (Honoured, Jump),
        "proxycommand" => (Honoured, Rest),
        "connecttimeout" | "serveraliveinterval" => (Honoured, Time),
        "serveralivecountmax" => (Honoured, Number),
        "addressfamily" => (Honoured, OneOf(&["any", "inet", "inet6"])),
        "stricthostkeychecking" => (Honoured, OneOf(STRICTNESS)),

        "batchmode"
        | "canonicalizefallbacklocal"
        | "challengeresponseauthentication"
        | "clearallforwardings"
        | "enableescapecommandline"
        | "enablesshkeysign"
        | "exitonforwardfailure"
        | "forkafterauthentication"
        | "forwardagent"
        | "forwardx11"
        | "forwardx11trusted"
        | "gatewayports"
        | "gssapiauthentication"
        | "gssapidelegatecredentials"
        | "gssapikeyexchange"
        | "gssapirenewalforcesrekey"
        | "gssapitrustdns"
        | "hashknownhosts"
        | "kbdinteractiveauthentication"
        | "keepalive"
        | "nohostauthenticationforlocalhost"
        | "passwordauthentication"
        | "permitlocalcommand"
        | "proxyusefdpass"
        | "stdinnull"
        | "streamlocalbindunlink"
        | "tcpkeepalive"
        | "visualhostkey" => (Without, Flag),
        "addkeystoagent" => (Without, OneOf(&["yes", "true", "no", "false", "ask", "confirm"])),
        "updatehostkeys" => (Without, OneOf(&["yes", "true", "no", "false", "ask"])),
        "compression" => (Without, OneOf(&["yes", "no"])),
        "fingerprinthash" => (Without, OneOf(&["md5", "sha256"])),
        "ipqos" => (Without, OneOf(QUALITY)),
        "loglevel" => (Without, OneOf(LOG_LEVELS)),
        "syslogfacility" => (Without, OneOf(FACILITIES)),
        "requesttty" => (Without, OneOf(&["yes", "true", "no", "false", "force", "auto"])),
        "sessiontype" => (Without, OneOf(&["none", "subsystem", "default"])),
        "tunnel" => (Without, OneOf(&["yes", "no", "ethernet", "point-to-point"])),
        "canonicalizemaxdots" | "connectionattempts" | "numberofpasswordprompts" => {
            (Without, Number)
        }
        "controlpersist" | "forwardx11timeout" => (Without, Time),
        "gssapiclientidentity"
        | "gssapiserveridentity"
        | "kbdinteractivedevices"
        | "obscurekeystroketiming"
        | "tag"
        | "tunneldevice"
        | "xauthlocation" => (Without, Word),
        "canonicaldomains"
        | "canonicalizepermittedcnames"
        | "channeltimeout"
        | "logverbose"
        | "permitremoteopen" => (Without, Words),
        "dynamicforward" | "localforward" | "remoteforward" => (Without, Forwards),
        "setenv" => (Without, Assignments),
        "sendenv" => (Without, Variables),
        "rekeylimit" => (Without, Rekey),
        "escapechar" => (Without, Character),
        "streamlocalbindmask" => (Without, Mask),
        "preferredauthentications" => (Without, Methods),
        // Local commands are not run; the others are keywords that ssh no longer has.
        "localcommand"
        | "remotecommand"
        | "protocol"
        | "cipher"
        | "useprivilegedport"
        | "rhostsrsaauthentication"
        | "rsaauthentication"
        | "useroaming" => (Without, Rest),

        "pubkeyauthentication" => (Program(&["yes", "unbound", "host-bound"]), Unchecked),
        "canonicalizehostname"
        | "checkhostip"
        | "hostbasedauthentication"
        | "verifyhostkeydns"
        | "controlmaster" => (Program(&["no", "false"]), Unchecked),
        "controlpath" | "pkcs11provider" | "revokedhostkeys" | "knownhostscommand"
        | "bindaddress" | "bindinterface" => (Program(&["none"]), Unchecked),
        "securitykeyprovider" => (Program(&["internal"]), Unchecked),
        "requiredrsasize" => (Program(&["1024"]), Unchecked),
        "casignaturealgorithms"
        | "ciphers"
        | "hostbasedacceptedalgorithms"
        | "hostbasedkeytypes"
        | "kexalgorithms"
        | "macs"
        | "pubkeyacceptedalgorithms"
        | "pubkeyacceptedkeytypes"
        | "smartcarddevice" => (Program(&[]), Unchecked),
        _ => (Unknown, Unchecked),
    }
}

/// Why a line is not understood. OpenSSH refuses a whole file for one wrong line, also if the line
/// is of a block for other hosts.
pub(crate) fn fault(line: &Line) -> Option<String> {
    let keyword = &line.keyword;
    let (meaning, values) = row(keyword);
    if matches!(meaning, Meaning::Program(_)) && line.args.len() != 1 {
        return Some(format!("{keyword} takes one value"));
    }
    (!takes(values, line)).then(|| format!("{keyword} has a value that Plush does not understand"))
}

fn takes(values: Values, line: &Line) -> bool {
    let words: Option<Vec<&str>> =
        line.args.iter().map(|arg| std::str::from_utf8(arg).ok()).collect();
    let all = |check: &dyn Fn(&str) -> bool| {
        words.as_ref().is_some_and(|words| words.iter().all(|word| check(word)))
    };
    let one = |check: &dyn Fn(&str) -> bool| line.args.len() == 1 && all(check);
    let filled = line.args.iter().all(|arg| !arg.is_empty());
    let none = |arg: &Vec<u8>| arg.eq_ignore_ascii_case(b"none");
    let number =
        |word: &str| word.bytes().all(|b| b.is_ascii_digit()) && word.parse::<u32>().is_ok();
    match values {
        Values::Flag => one(&|word| yes_no(word).is_some()),
        Values::OneOf(known) => {
            let most = if line.keyword == "ipqos" { 2 } else { 1 };
            line.args.len() <= most && all(&|w| known.iter().any(|k| k.eq_ignore_ascii_case(w)))
        }
        Values::Number => one(&number),
        Values::Port => one(&|word| number(word) && word.parse::<u16>().is_ok_and(|p| p > 0)),
        Values::Time => one(&|word| {
            seconds(word).is_some() || yes_no(word).is_some() && line.keyword == "controlpersist"
        }),
        Values::Word => filled && line.args.len() == 1,
        Values::Words => filled,
        Values::Files => filled && (line.args.len() == 1 || !line.args.iter().any(none)),
        Values::Rest | Values::Unchecked => true,
        Values::Jump => Jumps::written(line).is_some(),
        Values::HostKeyAlgorithms => one(&|word| {
            let list = word.strip_prefix(['+', '-', '^']).unwrap_or(word);
            list.split(',').all(|name| HOST_KEY_ALGORITHMS.contains(&name))
        }),
        Values::Methods => one(&|word| word.split(',').any(|method| method == "publickey")),
        Values::Forwards => {
            let plain =
                |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '[' | ']');
            let ends_in_port =
                |word: &str| word.rsplit(':').next().is_some_and(|p| p.parse::<u16>().is_ok());
            let most = if line.keyword == "dynamicforward" { 1 } else { 2 };
            let least = if line.keyword == "localforward" { 2 } else { 1 };
            (least..=most).contains(&line.args.len())
                && all(&|word| word.chars().all(plain) && ends_in_port(word))
        }
        Values::Assignments => all(&|word| word.find('=').is_some_and(|at| at > 0)),
        Values::Variables => all(&|word| !word.is_empty() && !word.contains('=')),
        Values::Rekey => one(&|word| {
            word.eq_ignore_ascii_case("default")
                || word.eq_ignore_ascii_case("none")
                || word.strip_suffix(['K', 'M', 'G', 'k', 'm', 'g']).is_some_and(number)
        }),
        Values::Character => one(&|word| {
            word == "none" || word.len() == 1 || word.len() == 2 && word.starts_with('^')
        }),
        Values::Mask => one(&|word| {
            word.bytes().all(|b| (b'0'..=b'7').contains(&b)) && (1..=4).contains(&word.len())
        }),
    }
}
