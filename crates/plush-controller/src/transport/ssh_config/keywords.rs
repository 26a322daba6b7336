//! What Plush does with each keyword of ssh_config.
//!
//! Not the values: evaluation keeps those.

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

/// The meaning of a keyword in lower case.
pub(crate) fn meaning(keyword: &str) -> Meaning {
    match keyword {
        "hostname"
        | "user"
        | "port"
        | "identityfile"
        | "identitiesonly"
        | "identityagent"
        | "certificatefile"
        | "userknownhostsfile"
        | "globalknownhostsfile"
        | "hostkeyalias"
        | "hostkeyalgorithms"
        | "proxyjump"
        | "connecttimeout"
        | "serveraliveinterval"
        | "serveralivecountmax"
        | "addressfamily"
        | "stricthostkeychecking"
        | "proxycommand"
        | "ignoreunknown" => Meaning::Honoured,

        "addkeystoagent"
        | "batchmode"
        | "checkhostip"
        | "clearallforwardings"
        | "compression"
        | "connectionattempts"
        | "dynamicforward"
        | "enablesshkeysign"
        | "escapechar"
        | "exitonforwardfailure"
        | "fingerprinthash"
        | "forkafterauthentication"
        | "forwardagent"
        | "forwardx11"
        | "forwardx11timeout"
        | "forwardx11trusted"
        | "gatewayports"
        | "gssapiauthentication"
        | "gssapidelegatecredentials"
        | "gssapikeyexchange"
        | "gssapiclientidentity"
        | "gssapiserveridentity"
        | "gssapirenewalforcesrekey"
        | "gssapitrustdns"
        | "hashknownhosts"
        | "ipqos"
        | "kbdinteractiveauthentication"
        | "challengeresponseauthentication"
        | "kbdinteractivedevices"
        | "localcommand"
        | "localforward"
        | "loglevel"
        | "logverbose"
        | "nohostauthenticationforlocalhost"
        | "numberofpasswordprompts"
        | "passwordauthentication"
        | "permitlocalcommand"
        | "permitremoteopen"
        | "rekeylimit"
        | "remotecommand"
        | "remoteforward"
        | "requesttty"
        | "sendenv"
        | "sessiontype"
        | "setenv"
        | "stdinnull"
        | "streamlocalbindmask"
        | "streamlocalbindunlink"
        | "syslogfacility"
        | "tcpkeepalive"
        | "keepalive"
        | "tunnel"
        | "tunneldevice"
        | "updatehostkeys"
        | "visualhostkey"
        | "xauthlocation"
        | "protocol"
        | "useprivilegedport"
        | "rhostsrsaauthentication"
        | "rsaauthentication"
        | "cipher"
        | "useroaming"
        | "enableescapecommandline"
        | "obscurekeystroketiming"
        | "channeltimeout"
        | "requiredrsasize"
        | "preferredauthentications"
        | "tag" => Meaning::Without,

        "pubkeyauthentication" => Meaning::Program(&["yes", "unbound", "host-bound"]),
        "canonicalizehostname"
        | "hostbasedauthentication"
        | "verifyhostkeydns"
        | "controlmaster" => Meaning::Program(&["no", "false"]),
        "controlpath" | "pkcs11provider" | "revokedhostkeys" | "knownhostscommand"
        | "bindaddress" | "bindinterface" => Meaning::Program(&["none"]),
        "controlpersist"
        | "canonicaldomains"
        | "canonicalizefallbacklocal"
        | "canonicalizemaxdots"
        | "canonicalizepermittedcnames"
        | "proxyusefdpass" => Meaning::Without,
        "securitykeyprovider" => Meaning::Program(&["internal"]),
        "casignaturealgorithms"
        | "ciphers"
        | "hostbasedacceptedalgorithms"
        | "hostbasedkeytypes"
        | "kexalgorithms"
        | "macs"
        | "pubkeyacceptedalgorithms"
        | "pubkeyacceptedkeytypes"
        | "smartcarddevice" => Meaning::Program(&[]),
        _ => Meaning::Unknown,
    }
}
