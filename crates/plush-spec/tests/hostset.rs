//! What host sets claim: the grammar, the folding, the algebra, the faults and their places.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use plush_spec::hostset::{
    Folding, Groups, HOSTS_MAX, HostSet, HostSetError, NoGroups, StaticGroups, from_ansible_pattern,
};
use proptest::prelude::*;

fn set(text: &str) -> HostSet {
    HostSet::parse(text, &NoGroups).unwrap_or_else(|fault| panic!("{text}: {fault:?}"))
}

fn check(text: &str, folded: &str) {
    assert_eq!(set(text).to_string(), folded, "{text}");
}

fn fault(text: &str) -> HostSetError {
    HostSet::parse(text, &NoGroups).expect_err(text)
}

/// Checks the words of a fault and the part of the text that it points at.
fn check_fault(text: &str, message: &str, at: &str) {
    let fault = fault(text);
    assert!(fault.message.contains(message), "{text}: {fault}");
    assert_eq!(&text[fault.offset..fault.offset + fault.len], at, "{text}: {fault}");
}

fn names(set: &HostSet) -> Vec<String> {
    set.iter().collect()
}

fn groups() -> StaticGroups {
    let mut groups = StaticGroups::new()
        .with("all", "n[1-20],web[01-04],db")
        .with("web", "web[01-04]")
        .with("rack1", "n[1-10]")
        .with("rack2", "n[11-20]")
        .with("racks", "@rack[1-2]!n[5-15]")
        .with("nothing", "");
    groups.insert(Some("slurm"), "debug", "n[1-4]");
    groups.insert(Some("slurm"), "big", "@debug,n[30-40]");
    groups
}

fn grouped(text: &str) -> String {
    HostSet::parse(text, &groups()).unwrap_or_else(|fault| panic!("{text}: {fault:?}")).to_string()
}

fn group_fault(text: &str, groups: &dyn Groups) -> String {
    HostSet::parse(text, groups).expect_err(text).to_string()
}

#[test]
fn ranges_have_ends_steps_and_padding() {
    check("node[1-9/2]", "node[1,3,5,7,9]");
    check("n[001-128]", "n[001-128]");
    check("n[8-11]", "n[8-11]");
    check("n[08-11]", "n[08-11]");
    check("n1,n2,n3,n7", "n[1-3,7]");
    check("n[ 1 - 3 , 5 ]", "n[1-3,5]");
    check("n3", "n3");
    check("", "");
    check("[1-3]", "[1-3]");
}

#[test]
fn numbers_padded_differently_are_different_hosts() {
    check("n1,n01,n001", "n[1,01,001]");
    check("n[1-10,01-10]", "n[1-9,01-10]");
    assert!(set("n[01-10]").contains("n10"));
    assert!(!set("n[01-10]").contains("n1"));
}

#[test]
fn several_dimensions_fold_into_products() {
    check("rack[1-4]n[1-32]", "rack[1-4]n[1-32]");
    check("a1b1,a1b2,a2b1,a2b2", "a[1-2]b[1-2]");
    check("a1b1,a1b2,a2b1", "a1b[1-2],a2b1");
    assert_eq!(names(&set("a[1-2]b[01-02]")), ["a1b01", "a1b02", "a2b01", "a2b02"]);
    check("10.0.[0-1].[1-254]", "10.0.[0-1].[1-254]");
}

#[test]
fn digits_next_to_brackets_belong_to_the_numbers() {
    check("node1[0-3]", "node[10-13]");
    check("node[1-3]5", "node[15,25,35]");
    check("node0[8-9]", "node[08-09]");
    // ClusterShell makes node[18-112] of this; SLURM and the eye see five hosts.
    check("node1[8-12]", "node[18-19,110-112]");
}

#[test]
fn operators_act_from_left_to_right() {
    check("n[1-9]!n[3-5]", "n[1-2,6-9]");
    check("n[1-9]&n[3-12]", "n[3-9]");
    check("n[1-5]^n[4-8]", "n[1-3,6-8]");
    check("a,b!a,a", "a,b");
    check("a,b&b,c", "b,c");
    check("n[1-9] ! n[2-8] , n5\n n6\tx", "n[1,5-6,9],x");
    check("rack[1-2]n[1-3]!rack1n2", "rack2n[1-3],rack1n[1,3]");
}

#[test]
fn users_stand_before_and_ports_behind() {
    check("user@node[01-05]:2222", "user@node[01-05]:2222");
    assert_eq!(names(&set("user@node[01-02]:2222")), ["user@node01:2222", "user@node02:2222"]);
    // A port never folds.
    check("n1:22,n1:23,n2:22", "n[1-2]:22,n1:23");
    assert!(set("n[1-3]:22").contains("n2:22") && !set("n[1-3]:22").contains("n2"));
    check_fault("n1:x", "is not a port", "x");
    check_fault("n:[1-3]", "is not a port", "[1-3]");
}

#[test]
fn addresses_in_brackets_are_not_ranges() {
    for text in ["[2001:db8::1]", "user@[2001:db8::1]:22", "[fe80::1%eth0]", "2001:db8::1"] {
        check(text, text);
        assert_eq!(names(&set(text)), [text]);
        assert!(set(text).contains(text));
    }
    check("[::2],[::1],n[1-2]", "[::1],[::2],n[1-2]");
    check_fault("n[2001:db8::1]", "mixes an address", "n[2001:db8::1]");
}

#[test]
fn groups_hold_host_sets_and_other_groups() {
    assert_eq!(grouped("@web"), "web[01-04]");
    assert_eq!(grouped("@rack[1-2]"), "n[1-20]");
    assert_eq!(grouped("@racks"), "n[1-4,16-20]");
    assert_eq!(grouped("@slurm:big"), "n[1-4,30-40]");
    assert_eq!(grouped("@*!@web"), "db,n[1-20]");
    assert_eq!(grouped("@slurm:*"), "n[1-4,30-40]");
    assert_eq!(grouped("@@slurm"), "big,debug");
    assert_eq!(grouped("@@"), "all,nothing,rack[1-2],racks,web");
    assert_eq!(grouped("@nothing"), "");
    assert_eq!(grouped("user@web1"), "user@web1");
}

#[test]
fn wildcards_choose_among_all_hosts() {
    assert_eq!(grouped("web*"), "web[01-04]");
    assert_eq!(grouped("n?"), "n[1-9]");
    assert_eq!(grouped("n*!n1*"), "n[2-9,20]");
    assert_eq!(grouped("n*[1-2]"), "n[1-2,11-12]");
    assert_eq!(grouped("nosuch*"), "");
    assert!(fault("web*").message.contains("needs the list of all hosts"));
}

#[test]
fn unknown_groups_are_errors_with_the_nearest_name() {
    let fault = HostSet::parse("n1,@wbe", &groups()).unwrap_err();
    assert_eq!((fault.offset, fault.len), (3, 4));
    assert_eq!(fault.hint.as_deref(), Some("did you mean @web?"));
    assert!(group_fault("@other:x", &groups()).contains("no source of groups \"other\""));
    assert!(group_fault("@x", &NoGroups).contains("no groups are known"));
    assert!(group_fault("@", &groups()).contains("name of a group is missing"));
    assert!(group_fault("@we*", &groups()).contains("the name of a group has no"));
}

#[test]
fn a_group_inside_itself_is_an_error_and_not_a_hang() {
    let circle = StaticGroups::new().with("a", "@b").with("b", "n1,@a");
    assert!(group_fault("@a", &circle).contains("contains itself"));
    let wild = StaticGroups::new().with("all", "@a").with("a", "n*");
    assert!(group_fault("@a", &wild).contains("contains itself"));
    let bad = StaticGroups::new().with("bad", "n[1-");
    assert!(group_fault("@bad", &bad).contains("in group @bad: a bracket is never closed"));
    let mut deep = StaticGroups::new();
    for level in 0..100 {
        deep.insert(None, &format!("g{level}"), &format!("@g{}", level + 1));
    }
    assert!(group_fault("@g0", &deep).contains("nested more than"));
}

#[test]
fn groups_that_multiply_are_refused_before_they_take_hours() {
    // Each group names the next one ten times: a short text that names one host 10^30 times.
    let mut bomb = StaticGroups::new().with("g30", "n1");
    for level in 0..30 {
        bomb.insert(None, &format!("g{level}"), &vec![format!("@g{}", level + 1); 10].join(","));
    }
    assert!(group_fault("@g0", &bomb).contains("repeats too many hosts"));
}

#[test]
fn faults_point_at_their_place() {
    check_fault("n[1-3", "never closed", "[1-3");
    check_fault("n1-3]", "never opened", "]");
    check_fault("n[1[2]]", "inside a bracket", "[");
    check_fault("n[]", "empty", "");
    check_fault("ok,n[1,,2]", "empty", "");
    check_fault("n[1-a]", "\"a\" is not a number", "a");
    check_fault("n[a, b]", "is not a number", "a");
    check_fault("n[5-3]", "backwards", "5-3");
    check_fault("n[-3]", "a number is missing", "");
    check_fault("n[1-]", "a number is missing", "");
    check_fault("n[01-100]", "padded differently", "01-100");
    check_fault("n[1-5/0]", "is not a step", "0");
    check_fault("n[1-5/x]", "is not a step", "x");
    check_fault("n[1/2]", "has a step but no end", "1/2");
    check_fault("n[1-2][3-4]", "touch", "n[1-2][3-4]");
    check_fault("n[1-2]0[3-4]", "touch", "n[1-2]0[3-4]");
    check_fault("a,,b", "missing after ,", ",");
    check_fault("a,", "missing after ,", ",");
    check_fault("!a", "missing before !", "!");
    check_fault("^hosts", "missing before ^", "^");
    check_fault("a -o", "begins with a dash", "-o");
    check_fault("a\u{7}b", "cannot stand", "\u{7}");
    check_fault("n[123456789012345678]", "more than 17 digits", "123456789012345678");
    check_fault("n12345678901234567[1-2]", "too long", "n12345678901234567[1-2]");
}

#[test]
fn a_short_text_cannot_fill_the_memory() {
    check_fault("n[0-999999999]", "has 1000000000 numbers", "0-999999999");
    check_fault("n[0-99999999999999999/2]", "numbers", "0-99999999999999999/2");
    check_fault("a[1-2000]b[1-2000]", "4000000 hosts", "a[1-2000]b[1-2000]");
    assert!(fault("a[1-600000],b[1-600000]").message.contains("1200000 hosts"));
    assert!(fault(&format!("x{}[1-2]", "1a".repeat(20))).message.contains("more than 16 numbers"));
    assert!(fault(&"n1,".repeat(500_000)).message.contains("bytes long"));
    let repeated: Vec<String> = (1..100).map(|i| format!("a[1-1000]b[{i}-900]")).collect();
    assert!(fault(&repeated.join(",")).message.contains("repeats too many"));
    assert_eq!(set("n[1-1000000]").len() as u64, HOSTS_MAX);
}

#[test]
fn long_lists_of_exceptions_are_within_the_bounds() {
    let hosts: Vec<String> =
        (1..=100).flat_map(|r| (1..=50).map(move |n| format!("rack{r}n{n}"))).collect();
    check(&format!("rack[1-100]n[1-100]!{}", hosts.join("!")), "rack[1-100]n[51-100]");
    let hosts: Vec<String> = (1..=999).map(|n| format!("n{n}")).collect();
    check(&format!("n[1-1000000]!{}", hosts.join("!")), "n[1000-1000000]");
}

#[test]
fn names_with_long_or_many_numbers_are_kept() {
    for name in ["vm-20261122161400123456789", &"a1".repeat(40), "0", "00", "x%s%%1", "é1"] {
        let one = set(name);
        assert_eq!(names(&one), [name]);
        assert_eq!(one.to_string(), name);
        assert!(one.contains(name));
    }
}

#[test]
fn positions_slices_and_parts_follow_the_order() {
    let all = set("web[01-03],a[1-2]b[1-2],db");
    let listed = names(&all);
    assert_eq!(listed, ["a1b1", "a1b2", "a2b1", "a2b2", "db", "web01", "web02", "web03"]);
    for (position, name) in listed.iter().enumerate() {
        assert_eq!(all.get(position).as_ref(), Some(name));
        assert_eq!(all.index_of(name), Some(position));
    }
    assert_eq!(all.get(8), None);
    assert_eq!(all.index_of("web04"), None);
    assert_eq!(all.slice(1..6).to_string(), "a2b[1-2],a1b2,db,web01");
    assert_eq!(all.slice(..=0).to_string(), "a1b1");
    assert!(all.slice(8..).is_empty());
    assert_eq!(all.select("0-1,7,99").unwrap().to_string(), "a1b[1-2],web03");
    assert!(all.select("0-").is_err());
    let parts: Vec<String> = all.split(3).iter().map(HostSet::to_string).collect();
    assert_eq!(parts, ["a1b[1-2],a2b1", "a2b2,db,web01", "web[02-03]"]);
    assert_eq!(all.split(100).len(), 8);
    assert!(all.split(0).is_empty());
}

#[test]
fn steps_and_axes_are_folded_on_demand() {
    let stepped = |text: &str, autostep| {
        set(text).fold_with(&Folding { autostep: Some(autostep), axes: None })
    };
    assert_eq!(stepped("n[0-10/2]", 3), "n[0-10/2]");
    assert_eq!(stepped("n[1,3,4,5,7]", 3), "n[1,3-5,7]");
    assert_eq!(stepped("n[2,4]", 3), "n[2,4]");
    let axes = |axes: &[i32]| {
        set("a[1-2]b[1-2]").fold_with(&Folding { autostep: None, axes: Some(axes.to_vec()) })
    };
    assert_eq!(axes(&[0]), "a[1-2]b1,a[1-2]b2");
    assert_eq!(axes(&[-1]), "a1b[1-2],a2b[1-2]");
    assert_eq!(axes(&[]), "a1b1,a2b1,a1b2,a2b2");
}

#[test]
fn ansible_patterns_choose_from_known_hosts() {
    let choose = |text: &str| from_ansible_pattern(text, &groups()).map(|set| set.to_string());
    assert_eq!(choose("web:db").unwrap(), "db,web[01-04]");
    assert_eq!(choose("all:!web").unwrap(), "db,n[1-20]");
    assert_eq!(choose("!n*:!web").unwrap(), "db");
    assert_eq!(choose("!web02:web:&web0?").unwrap(), "web[01,03-04]");
    assert_eq!(choose("rack*,&n1*").unwrap(), "n[1,10-19]");
    let fault = choose("web:wbe").unwrap_err();
    assert_eq!((fault.offset, fault.len), (4, 3));
    assert!(choose("web[0]").is_err() && choose("~web.*").is_err() && choose("web::db").is_err());
    assert!(from_ansible_pattern("a", &NoGroups).is_err());
}

#[test]
fn documents_hold_the_folded_text() {
    use serde::Deserialize;
    use serde::de::value::{Error, StrDeserializer};
    let read = |text| HostSet::deserialize(StrDeserializer::<Error>::new(text));
    assert_eq!(read("n[1-3]").unwrap(), set("n1,n2,n3"));
    assert!(read("n[1-").unwrap_err().to_string().contains("never closed"));
}

fn host_names() -> impl Strategy<Value = BTreeSet<String>> {
    let number = prop_oneof![
        (0u32..30).prop_map(|n| n.to_string()),
        (0u32..30).prop_map(|n| format!("{n:02}"))
    ];
    let name = prop_oneof![
        number.clone().prop_map(|n| format!("n{n}")),
        (number.clone(), number.clone()).prop_map(|(a, b)| format!("r{a}n{b}")),
        (0u32..4, 0u32..4, 0u32..4).prop_map(|(a, b, c)| format!("a{a}b{b}c{c}")),
        number.prop_map(|n| format!("user@n{n}:22")),
        Just("[2001:db8::1]".to_owned()),
        "[a-z]{1,2}%?",
    ];
    proptest::collection::btree_set(name, 0..80)
}

fn of(names: &BTreeSet<String>) -> HostSet {
    names.iter().map(String::as_str).collect()
}

fn back(set: &HostSet) -> BTreeSet<String> {
    let listed = names(set);
    let sorted: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), sorted.len(), "a name was given twice");
    assert_eq!(listed.len(), set.len());
    sorted
}

proptest! {
    #[test]
    fn folding_and_expanding_lose_nothing(hosts in host_names(), autostep in 2u64..5, axis in -3i32..3) {
        let folded = of(&hosts);
        prop_assert_eq!(back(&folded), hosts.clone());
        prop_assert_eq!(&set(&folded.to_string()), &folded);
        prop_assert_eq!(&set(&hosts.iter().cloned().collect::<Vec<_>>().join(",")), &folded);
        let other = Folding { autostep: Some(autostep), axes: Some(vec![axis]) };
        prop_assert_eq!(&set(&folded.fold_with(&other)), &folded);
        for (position, name) in names(&folded).iter().enumerate() {
            prop_assert_eq!(folded.index_of(name), Some(position));
            prop_assert_eq!(folded.get(position), Some(name.clone()));
        }
    }

    #[test]
    fn the_algebra_agrees_with_plain_sets(a in host_names(), b in host_names()) {
        let (x, y) = (of(&a), of(&b));
        prop_assert_eq!(x.union(&y), of(&(&a | &b)));
        prop_assert_eq!(x.intersection(&y), of(&(&a & &b)));
        prop_assert_eq!(x.difference(&y), of(&(&a - &b)));
        prop_assert_eq!(x.xor(&y), of(&(&a ^ &b)));
        prop_assert_eq!(x.is_subset(&y), a.is_subset(&b));
        for name in &b {
            prop_assert_eq!(x.contains(name), a.contains(name));
        }
        let groups = StaticGroups::new().with("x", &x.fold()).with("y", &y.fold());
        for (text, expected) in [("@x,@y", x.union(&y)), ("@x!@y", x.difference(&y)), ("@x&@y", x.intersection(&y)), ("@x^@y", x.xor(&y))] {
            prop_assert_eq!(HostSet::parse(text, &groups), Ok(expected));
        }
    }

    #[test]
    fn parts_make_the_whole(hosts in host_names(), parts in 1usize..9) {
        let whole = of(&hosts);
        let split = whole.split(parts);
        prop_assert_eq!(split.iter().map(HostSet::len).sum::<usize>(), whole.len());
        prop_assert_eq!(split.iter().fold(HostSet::new(), |sum, part| sum.union(part)), whole);
    }

    #[test]
    fn any_text_is_read_or_refused_with_a_place_in_it(text in "[an@0-3\\[\\],!&^*:/ \\-%é]{0,30}") {
        match HostSet::parse(&text, &groups()) {
            Ok(hosts) => prop_assert_eq!(HostSet::parse(&hosts.to_string(), &NoGroups), Ok(hosts)),
            Err(fault) => prop_assert!(text.get(fault.offset..fault.offset + fault.len).is_some(), "{:?}", fault),
        }
    }
}
