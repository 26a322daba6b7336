//! What descriptions mean: both vocabularies become the model that is expected.
#![allow(clippy::unwrap_used)]

use plush_spec::model::*;
use plush_spec::{Format, parse, parse_with, render};

fn check(text: &str) -> Project {
    let parsed = parse(text, "text", None);
    parsed.project.unwrap_or_else(|| panic!("{}", render(&parsed.problems, text, "text", false)))
}

fn example(name: &str) -> Project {
    let path = format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"));
    check(&std::fs::read_to_string(path).unwrap())
}

/// The graph as `id<after,after`.
fn graph(steps: &[Step]) -> Vec<String> {
    let after = |s: &Step| s.after.iter().map(|r| r.name.to_string()).collect::<Vec<_>>().join(",");
    steps.iter().map(|s| format!("{}<{}", s.id, after(s))).collect()
}

fn execution(text: &str) -> Vec<String> {
    let body: String = text.lines().map(|l| format!("      {l}\n")).collect();
    let project =
        check(&format!("project: p\nhosts: node[1-9]\nclusters:\n  c:\n    execution:\n{body}"));
    graph(&project.clusters[0].execution)
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[test]
fn figure_3_is_fifty_hosts_that_unpack_an_archive_and_run_a_program() {
    let project = example("figure3.xml");
    assert_eq!(project.name.as_str(), "demo_proj");
    let cluster = &project.clusters[0];
    assert_eq!(
        (cluster.name.as_str(), cluster.configuration.as_ref()),
        ("demo_group", Some(&name("demo_conf")))
    );
    assert_eq!(cluster.num_hosts.wanted, Wanted::Count(50));
    let Action::Process(process) = &cluster.execution[0].action else { panic!("no process") };
    let Command::Program { path, args, place } = &process.command else { panic!("no program") };
    assert_eq!((path.as_str(), args.as_slice()), ("./demo.exe", &["300".to_string()][..]));
    assert_eq!((place.line, place.column), (18, 19));
    let resources = project.resources_of(cluster);
    assert_eq!(
        (resources[0].kind.as_str(), resources[0].group.as_deref()),
        ("plab", Some("ucsd_3"))
    );
    let software = project.software(&cluster.software[0].name).unwrap();
    assert_eq!(software.installer, Installer::Tar);
    assert_eq!(software.packages[0].kind, PackageKind::Web);
    assert_eq!(software.packages[0].path, "http://plush.ucsd.edu/demo.tar");
    let application = project.application(None).unwrap();
    assert_eq!(application.name.as_str(), "demo_app");
    assert_eq!(project.clusters_of(application).count(), 1);
}

#[test]
fn blocks_of_the_later_vocabulary_become_a_graph() {
    let project = example("later.xml");
    let peers = project.cluster(&name("peers")).unwrap();
    assert_eq!(graph(&peers.execution), ["setup<", "meet<setup", "work<meet"]);
    assert_eq!(
        (peers.num_hosts.wanted, peers.num_hosts.min, peers.num_hosts.max),
        (Wanted::Count(10), Some(8), Some(10))
    );
    let barrier = project.barrier(&name("all_set_up")).unwrap();
    assert_eq!(barrier.policy.release, Release::Inside { max: 4, timeout_ms: None });
    let servers = project.cluster(&name("servers")).unwrap();
    let Action::Process(server) = &servers.execution[0].action else { panic!("no process") };
    let Command::Program { args, .. } = &server.command else { panic!("no program") };
    assert_eq!(args, &["-p", "7000", ""]);
    assert_eq!(server.cwd, None);
    let service = project.applications[0].service.as_ref().unwrap();
    assert_eq!(
        (service.class, service.reconnect_interval_ms),
        (ServiceClass::Service, Some(60_000))
    );
}

#[test]
fn a_sword_request_becomes_the_requirement() {
    let project = example("later.xml");
    let servers = project.cluster(&name("servers")).unwrap();
    assert_eq!(servers.num_hosts.wanted, Wanted::Count(2));
    let found = |fact: &str| {
        servers.requirement.conditions.iter().find(|c| c.fact == fact).unwrap().test.clone()
    };
    let load = Range {
        abs_min: Some(0.0),
        ideal_min: Some(0.0),
        ideal_max: Some(0.5),
        abs_max: Some(2.0),
        penalty: 10.0,
    };
    assert_eq!(found("cpu_load"), Test::Range(load));
    let memory = Range {
        abs_min: Some(256.0),
        ideal_min: Some(512.0),
        ideal_max: None,
        abs_max: None,
        penalty: 0.1,
    };
    assert_eq!(found("free_mem"), Test::Range(memory));
    assert_eq!(found("os"), Test::Text { value: "Linux".to_string(), penalty: None });
}

#[test]
fn groups_and_constraints_of_a_sword_request_are_kept() {
    let project = check(
        "<plush><project name='p'><resources><resource type='plab' group='g'/></resources><cluster name='c'><rspec><request>
           <group><name>west</name><num_machines>2</num_machines><latency>0, 0, 10, 20, 1</latency></group>
           <group><name>east</name><num_machines>3</num_machines><load>0, 0, 1, max, 1</load></group>
           <constraint><group_names>west east</group_names><latency>0, 0, 50, 90, 2</latency></constraint>
         </request></rspec><run>x</run></cluster></project></plush>",
    );
    let cluster = &project.clusters[0];
    assert_eq!(cluster.num_hosts.wanted, Wanted::Count(5));
    let requirement = &cluster.requirement;
    assert_eq!(requirement.groups[0].between[0].fact, "latency");
    assert_eq!(requirement.groups[1].conditions[0].fact, "load");
    assert_eq!(requirement.constraints[0].groups, [name("west"), name("east")]);
    assert_eq!(requirement.constraints[0].conditions[0].fact, "latency");
}

#[test]
fn component_blocks_wait_for_each_other_and_share_components() {
    let block = |name: &str, component: &str, inner: &str| {
        format!(
            "<component_block name='{name}'><component name='{component}'/>{inner}<process_block name='{name}p'><process name='{name}q'><path>./x</path></process></process_block></component_block>"
        )
    };
    let component = |name: &str| {
        format!(
            "<component name='{name}'><rspec><num_hosts>all</num_hosts></rspec><resources><resource type='ssh' group='g'/></resources></component>"
        )
    };
    let text = format!(
        "<gush><project name='p'>{}{}<experiment name='one'><execution>{}{}{}</execution></experiment><experiment name='two'><execution>{}</execution></experiment></project></gush>",
        component("a"),
        component("b"),
        block("first", "a", ""),
        block("second", "a", "<predecessor name='first'/>"),
        block("third", "b", "<predecessor name='second'/>"),
        block("again", "a", ""),
    );
    let project = check(&text);
    let cluster = |text: &str| project.cluster(&name(text)).unwrap();
    assert_eq!(graph(&cluster("a").execution), ["firstp<", "secondp<firstp"]);
    assert_eq!(cluster("b").after[0].name, name("a"));
    assert_eq!(graph(&cluster("a-two").execution), ["againp<"]);
    let two = project.application(Some(&name("two"))).unwrap();
    assert_eq!(two.clusters.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["a-two"]);
}

#[test]
fn steps_in_order_are_a_chain() {
    assert_eq!(
        execution("- {process: a, run: x}\n- {process: a, run: y}\n- {barrier: b}"),
        ["a<", "a-2<a", "b<a-2"]
    );
}

#[test]
fn parallel_steps_start_together_and_are_awaited_together() {
    let text = "- {process: a, run: x}\n- parallel:\n  - {process: b, run: x}\n  - [{process: c, run: x}, {process: d, run: x}]\n- {process: e, run: x}";
    assert_eq!(execution(text), ["a<", "b<a", "c<a", "d<c", "e<b,d"]);
}

#[test]
fn predecessors_name_steps_and_groups_whatever_their_order() {
    let text = "- parallel:\n  - {process: last, after: [all, other], run: x}\n  - parallel: [{process: b, run: x}, {process: c, run: x}]\n    id: all\n    after: [other]\n  - {process: other, run: x}";
    assert_eq!(execution(text), ["last<b,c,other", "b<other", "c<other", "other<"]);
}

#[test]
fn one_barrier_in_several_clusters_is_one() {
    let project = check(
        "project: p\nhosts: node[1-9]\nclusters:\n  a: {execution: [{barrier: meet}]}\n  b: {execution: [{barrier: meet, entry: {count: 3}}]}\n",
    );
    assert_eq!(project.barriers.len(), 1);
    assert_eq!(project.barriers[0].policy.entry.count, Some(3));
}

#[test]
fn settings_override_variables_and_reach_numbers() {
    let text = "project: p\nhosts: node[1-${n}]\nvariables: {n: 3, word: hello}\nclusters: {c: {num_hosts: \"${n}\", run: \"echo ${word} ${rank}\"}}\n";
    let settings = [("n".to_string(), "7".to_string())];
    let project = parse_with(text, "p.yaml", Some(Format::Yaml), &settings).project.unwrap();
    assert_eq!(project.clusters[0].num_hosts.wanted, Wanted::Count(7));
    assert_eq!(project.resources[0].hosts.as_ref().unwrap().text, "node[1-7]");
    let Action::Process(process) = &project.clusters[0].execution[0].action else {
        panic!("no process")
    };
    assert!(
        matches!(&process.command, Command::Shell { line, .. } if line == "echo ${word} ${rank}")
    );
    let mut scope = plush_spec::substitute::Scope::of_project(&project);
    scope.set_text("rank", "4");
    let line = plush_spec::shell_line::expand_shell("echo ${word} ${rank}", &scope).unwrap();
    assert_eq!((line.text.as_str(), line.values.len()), ("echo hello 4", 0));
    let unknown = [("m".to_string(), "7".to_string())];
    assert_eq!(
        parse_with(text, "p.yaml", None, &unknown).problems[0].message,
        "there is no variable `m` to set"
    );
}

#[test]
fn variables_are_replaced_once_in_items_in_files_for_standard_input_and_in_packages() {
    let text = "project: p\nhosts: node1\nvariables: {a: \"${b} $\", b: x}\nsoftware: {s: {packages: [{type: push, path: \"in/${a}\"}]}}\nclusters: {c: {software: [s], execution: [{process: q, path: ./q, stdin: {file: \"${a}.in\"}}, {workflow: w, items: [\" ${a}\", \"$${b}\"], path: ./w, args: [\"${item}\"]}]}}\n";
    let project = check(text);
    assert_eq!(project.software[0].packages[0].path, "in/${b} $");
    let [q, w] = &project.clusters[0].execution[..] else { panic!("two steps") };
    let Action::Process(process) = &q.action else { panic!("no process") };
    assert_eq!(process.stdin, plush_spec::model::Stdin::File("${b} $.in".into()));
    let Action::Workflow(workflow) = &w.action else { panic!("no workflow") };
    let wanted = [" ${b} $".to_owned(), "${b}".to_owned()].to_vec();
    assert_eq!(workflow.items, plush_spec::model::Items::List(wanted));
    assert_eq!(check(&plush_spec::to_yaml(&project)), project);
}

#[test]
fn the_words_of_a_callback_hold_the_values_of_the_project_whatever_is_in_them() {
    let text = "project: p\nhosts: node1\nrun: x\nvariables: {v: \"it's; $(x) ${y}\"}\ncallbacks: [{event: run_ended, command: [./notify, \" ${v}\", \"$${v}\"]}]\n";
    let project = check(text);
    assert_eq!(project.callbacks[0].hook.argv, ["./notify", " it's; $(x) ${y}", "${v}"]);
    assert_eq!(check(&plush_spec::to_yaml(&project)), project);
    assert_eq!(check(&plush_spec::to_xml(&project)), project);
}

#[test]
fn a_value_that_looks_like_a_variable_is_not_replaced_again() {
    let text = "project: p\nhosts: node1\nvariables: {a: \"${b}\", b: secret}\nresources: [{type: x, file: \"${a}\"}]\nrun: x\nnum_hosts: 1\n";
    let project = check(text);
    assert_eq!(project.resources[0].file.as_deref(), Some("${b}"));
    assert_eq!(check(&plush_spec::to_yaml(&project)), project);
}

#[test]
fn foreign_content_is_carried_along_in_both_syntaxes() {
    let text = "<plush xmlns:g='urn:gui'><project name='p'><g:layout zoom='2'><g:box>a</g:box><g:box>b</g:box></g:layout><hosts>node1</hosts><run>x</run></project></plush>";
    let project = check(text);
    let foreign = &project.foreign[0];
    assert_eq!((foreign.key.as_str(), foreign.namespace.as_deref()), ("x-layout", Some("urn:gui")));
    let boxes =
        ForeignValue::List(vec![ForeignValue::Text("a".into()), ForeignValue::Text("b".into())]);
    assert_eq!(
        foreign.value,
        ForeignValue::Map(vec![
            ("@zoom".into(), ForeignValue::Text("2".into())),
            ("box".into(), boxes)
        ])
    );
    assert_eq!(check(&plush_spec::to_yaml(&project)), project);
    let xml = plush_spec::to_xml(&project);
    assert!(xml.contains("xmlns:x=\"urn:gui\"") && xml.contains("<x:box>a</x:box>"), "{xml}");
    assert_eq!(check(&xml), project);
}

#[test]
fn a_byte_order_mark_and_carriage_returns_do_no_harm() {
    let text = "\u{feff}project: p\r\nhosts: node1\r\nrun: x\r\n";
    assert_eq!(check(text), check("project: p\nhosts: node1\nrun: x\n"));
    let parsed = parse("\u{feff}project: p\r\nhosts: node1\r\nbad: x\r\nrun: x", "p.yaml", None);
    assert_eq!((parsed.problems[0].place.line, parsed.problems[0].place.column), (3, 1));
    assert_eq!(parsed.problems[0].span.start, 3 + 12 + 14);
}

#[test]
fn problems_have_a_form_for_programs() {
    let parsed = parse("project: p\nhosts: node1\nrunn: x\n", "p.yaml", None);
    let json: serde_json::Value =
        serde_json::from_str(&plush_spec::to_json(&parsed.problems, "p.yaml")).unwrap();
    assert_eq!(json[0]["file"], "p.yaml");
    assert_eq!(json[0]["severity"], "error");
    assert_eq!(json[0]["line"], 3);
    assert_eq!(json[0]["hint"], "did you mean `run`?");
}

#[test]
fn what_this_build_cannot_do_is_named_at_each_place_that_asks_for_it() {
    let text = "project: p\nresources:\n  - {type: ssh, hosts: a}\n  - {type: slurm}\n  - {type: plab}\nclusters:\n  c:\n    num_hosts: 1\n    execution:\n      - {process: x, run: x, secrets: {k: f}}\n      - {process: y, run: y, secrets: {k: f}}\n";
    let project = plush_spec::parse(text, "d.yaml", None).project.unwrap();
    let refused = plush_spec::refused(&project, None);
    let found: Vec<(&str, u32)> = refused.iter().map(|r| (r.what.as_str(), r.place.line)).collect();
    let wanted = [
        ("hosts of type `slurm`", 4),
        ("hosts of type `plab`", 5),
        ("secrets", 10),
        ("secrets", 11),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn every_signal_of_the_platform_means_itself_as_a_stop_and_on_change() {
    for (number, name) in (1..).zip(Signal::names()) {
        for text in [name.to_owned(), format!("SIG{name}"), number.to_string()] {
            let project = check(&format!(
                "project: p\nhosts: n1\nsoftware: {{s: {{package: a.tar, templates: \
                 [{{path: t, dest_path: t, on_change: {text}}}]}}}}\n\
                 clusters: {{c: {{software: [s], execution: [{{process: w, run: x, stop: {text}}}]}}}}\n"
            ));
            let Action::Process(process) = &project.clusters[0].execution[0].action else {
                panic!("no process")
            };
            assert_eq!(process.stop.signal.number(), number, "{text}");
            let template = &project.software[0].templates[0];
            assert_eq!(template.on_change, OnChange::Signal(process.stop.signal), "{text}");
        }
    }
}
