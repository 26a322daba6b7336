//! Directory files are read, and what is wrong with them is said.
#![allow(clippy::unwrap_used)]

use plush_spec::{Directory, DirectoryHost, parse_directory};

fn check(text: &str) -> Directory {
    let parsed = parse_directory(text);
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
    parsed.directory.unwrap()
}

fn problems(text: &str) -> Vec<(u32, String)> {
    let parsed = parse_directory(text);
    assert!(parsed.directory.is_none() && !parsed.problems.is_empty(), "{text}");
    parsed.problems.into_iter().map(|p| (p.place.line, p.message)).collect()
}

fn host(host: &str, port: Option<u16>, user: Option<&str>, group: Option<&str>) -> DirectoryHost {
    let owned = |text: Option<&str>| text.map(str::to_string);
    DirectoryHost {
        host: host.to_string(),
        port,
        user: owned(user),
        group: owned(group),
        place: Default::default(),
    }
}

#[test]
fn a_resource_manager_lists_hosts_with_ports_users_and_groups() {
    let directory = check(
        r#"<plush>
             <resource_manager type="ssh">
               <node hostname="planetlab1.example.org:15400" user="ucsd" group="local"/>
               <node hostname="n2" user="" group="local"/>
               <node hostname="[fe80::1]:22"/>
               <node hostname="fe80::2"/>
             </resource_manager>
           </plush>"#,
    );
    assert_eq!(directory.kind, "ssh");
    let wanted = vec![
        host("planetlab1.example.org", Some(15400), Some("ucsd"), Some("local")),
        host("n2", None, None, Some("local")),
        host("fe80::1", Some(22), None, None),
        host("fe80::2", None, None, None),
    ];
    assert_eq!(directory.hosts, wanted);
}

#[test]
fn a_helper_prints_a_slice() {
    let directory = check(
        "<gush><slice name=\"ucsd_3\"><expires>2026-12-01</expires><node name=\"ucsd_3@a.example.org\"/></slice></gush>",
    );
    assert_eq!(directory.slice.as_deref(), Some("ucsd_3"));
    assert_eq!(directory.expires.as_deref(), Some("2026-12-01"));
    assert_eq!(directory.hosts, vec![host("a.example.org", None, Some("ucsd_3"), None)]);
}

#[test]
fn everything_wrong_is_said_at_once_and_nothing_hostile_passes() {
    let found = problems(
        "<plush>\n<resource_manager>\n<node hostname=\"-oProxyCommand=x\"/>\n<node hostname=\"a:99999\"/>\n<node host=\"a\"/>\n<nod/>\n</resource_manager>\n</plush>",
    );
    let lines: Vec<u32> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 5, 6], "{found:?}");
    for hostile in ["a b", "a;reboot", "$(reboot)", "a@-l", "-l@a", "a`x`", ""] {
        problems(&format!(
            "<plush><resource_manager type=\"ssh\"><node hostname=\"{hostile}\"/></resource_manager></plush>"
        ));
    }
    problems("<plush/>");
    problems("<!DOCTYPE x><plush/>");
}
