//! Claims about values of variables in commands for agents.

use super::*;
use crate::run::too_large;
use plush_protocol::{ProbeCheck, Program};
use plush_spec::model::{Check, Command as Described, HookPlace, Place, Probe, Variable};

const HOSTILE: &str = "a; $(reboot)";

fn line(text: &str) -> Described {
    Described::Shell { line: text.into(), place: Place::new(7, 3) }
}

fn probe(command: Described) -> Probe {
    Probe {
        check: Check::Command(command),
        from: HookPlace::Host,
        every_ms: 1_000,
        time_limit_ms: 1_000,
        delay_ms: 0,
        failures: 1,
        successes: 1,
        place: Place::default(),
    }
}

/// A plan of one host whose process, probe and clean-up are these lines, with a variable `v`.
fn plan(text: &str, value: &str) -> RunPlan {
    let process = model::Process {
        probes: vec![probe(line(text))],
        ..model::Process::new(name("w"), line(text))
    };
    let mut cluster = cluster(1, vec![does("w", &[], Action::Process(Box::new(process)))]);
    cluster.cleanup = vec![line(text)];
    let mut plan = Tale::of(cluster, 1).run.plan().clone();
    let variable = Variable { name: name("v"), value: value.into(), place: Place::default() };
    plan.project.variables = vec![variable];
    plan
}

/// What the process, its probe and the clean-up are when they are sent.
fn programs(plan: RunPlan) -> Vec<Program> {
    let mut tale = Tale { run: Run::new(plan), now: 0, agents: vec![(0, 0)], said: Vec::new() };
    tale.decide();
    tale.connect_and_prepare();
    tale.end(0, 0, 0);
    let mut programs = Vec::new();
    for (_, command) in sent(&tale.said) {
        match command {
            Command::Start { spec, .. } => {
                programs.push(spec.program.clone());
                programs.extend(spec.probes.iter().filter_map(|probe| match &probe.check {
                    ProbeCheck::Command(program) => Some(program.clone()),
                    ProbeCheck::Tcp(_) | ProbeCheck::Http(_) => None,
                }));
            }
            Command::CleanUp { commands, .. } => {
                programs.extend(commands.into_iter().map(|(_, program)| program));
            }
            _ => {}
        }
    }
    programs
}

#[test]
fn a_value_that_is_no_plain_text_travels_beside_the_line_to_wherever_a_line_is_run() {
    let wanted = Program::Shell {
        line: "echo 0 ${PLUSH_VALUE_v}".into(),
        values: vec![("PLUSH_VALUE_v".into(), HOSTILE.into())],
    };
    let programs = programs(plan("echo ${rank} ${v}", HOSTILE));
    assert_eq!(programs, [wanted.clone(), wanted.clone(), wanted]);
}

#[test]
fn a_clean_up_that_cannot_be_rendered_fails_and_its_error_is_no_syntax() {
    let programs = programs(plan("echo ${v[3]}", "x"));
    let [.., Program::Shell { line, values }] = &programs[..] else { panic!("{programs:?}") };
    assert_eq!(line, "printf '%s\\n' \"$PLUSH_VALUE_error\" >&2; exit 1");
    assert_eq!(values, &[("PLUSH_VALUE_error".to_owned(), "`v` is no list".to_owned())]);
}

#[test]
fn a_variable_of_the_project_hides_one_of_the_task() {
    let mut plan = plan("echo ${address} ${rank}", "");
    plan.project.variables[0].name = name("address");
    plan.project.variables[0].value = "mine".into();
    assert_eq!(programs(plan)[0], Program::line("echo mine 0"));
}

#[test]
fn a_value_that_no_program_could_be_started_with_is_named_before_the_run() {
    let plan = plan("echo ${v} ${v}", &" x".repeat(65_536));
    let problems = too_large(&plan);
    assert_eq!(problems.len(), 2, "the process with its probe, and the clean-up: {problems:?}");
    assert_eq!(
        problems[0].what,
        "`w` cannot be started on any host: `PLUSH_VALUE_v` of the environment has 131086 bytes; Linux passes at most 131071 to a program in one piece"
    );
    assert_eq!(problems[0].place, Place::new(7, 3));
    assert!(!problems[0].too_few_hosts);
}

#[test]
fn a_value_that_became_too_large_is_the_named_failure_of_its_task() {
    let plan = plan("echo ${v}", &" ".repeat(200_000));
    let mut tale = Tale { run: Run::new(plan), now: 0, agents: vec![(0, 0)], said: Vec::new() };
    tale.decide();
    tale.connect_and_prepare();
    let view = tale.run.view();
    assert!(
        view.problems[0]
            .cause
            .raw()
            .contains("`PLUSH_VALUE_v` of the environment has 200014 bytes")
    );
}
