//! Tasks by process, where more is to be said of them than that they run or have ended: health, restarts, ends that
//! nobody saw. Not failures: those have their causes.

use crate::render::{names, text};
use plush_protocol::task::Health;
use plush_protocol::view::{RunView, TaskView};
use std::collections::BTreeMap;

/// Hosts that are named are cut beyond so many characters.
const HOSTS_WIDTH: usize = 60;

/// One row for each process that has something to say.
pub fn rows(view: &RunView) -> Vec<Vec<String>> {
    let mut processes: Vec<(&str, Vec<&TaskView>)> = Vec::new();
    for task in &view.tasks {
        match processes.iter_mut().find(|(name, _)| *name == task.process) {
            Some((_, tasks)) => tasks.push(task),
            None => processes.push((&task.process, vec![task])),
        }
    }
    processes.retain(|(_, tasks)| tasks.iter().any(|task| is_remarkable(task)));
    let row = |(name, tasks): (&str, Vec<&TaskView>)| {
        let parts = [states(&tasks), restarts(&tasks), health(&tasks)];
        let said: Vec<String> = parts.into_iter().flatten().collect();
        vec![format!("  {}", text::shown(name)), said.join("; ")]
    };
    processes.into_iter().map(row).collect()
}

fn is_remarkable(task: &TaskView) -> bool {
    task.health.is_some() || task.incarnation > 1 || is_outstanding(&task.state)
}

/// States whose hosts are named.
fn is_outstanding(state: &str) -> bool {
    matches!(state, "restarting" | "ambiguous" | "lost")
}

fn states(tasks: &[&TaskView]) -> Option<String> {
    let mut by_state: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for task in tasks {
        by_state.entry(&task.state).or_default().push(&task.host);
    }
    let said = by_state.iter().map(|(state, hosts)| {
        let state_shown = text::shown(state);
        match is_outstanding(state) {
            true => format!("{} {state_shown} ({})", hosts.len(), fold(hosts)),
            false => format!("{} {state_shown}", hosts.len()),
        }
    });
    Some(said.collect::<Vec<_>>().join(", "))
}

fn restarts(tasks: &[&TaskView]) -> Option<String> {
    let again = |task: &&TaskView| u64::from(task.incarnation.saturating_sub(1));
    match tasks.iter().map(again).sum::<u64>() {
        0 => None,
        1 => Some("restarted once".to_owned()),
        count => Some(format!("restarted {count} times")),
    }
}

fn health(tasks: &[&TaskView]) -> Option<String> {
    let running = || tasks.iter().filter(|task| task.state == "running");
    let of = |health: Health| -> Vec<&str> {
        running().filter(|t| t.health == Some(health)).map(|t| t.host.as_str()).collect()
    };
    let (well, ill) = (of(Health::Healthy), of(Health::Unhealthy));
    let unasked = of(Health::Unknown).len();
    let said = [
        (!well.is_empty()).then(|| format!("{} healthy", well.len())),
        (!ill.is_empty()).then(|| format!("{} unhealthy ({})", ill.len(), fold(&ill))),
        (unasked > 0).then(|| format!("{unasked} not judged yet")),
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.join(", "))
}

fn fold(hosts: &[&str]) -> String {
    names::fold_within(hosts, HOSTS_WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    fn check(change: impl Fn(&mut Vec<TaskView>)) -> Vec<String> {
        let mut view = samples::preparing();
        view.tasks = ["h1", "h2", "h3"].map(samples::running_task).to_vec();
        change(&mut view.tasks);
        rows(&view).iter().map(|row| row.join("  ")).collect()
    }

    #[test]
    fn of_tasks_that_only_run_nothing_is_said() {
        assert_eq!(check(|_| {}), [""; 0]);
    }

    #[test]
    fn health_is_counted_and_the_unhealthy_are_named() {
        let said = check(|tasks| {
            tasks.iter_mut().for_each(|task| task.health = Some(Health::Healthy));
            tasks[1].health = Some(Health::Unhealthy);
        });
        assert_eq!(said, ["  gossip  3 running; 2 healthy, 1 unhealthy (h2)"]);
    }

    #[test]
    fn restarts_are_counted_and_ends_that_nobody_saw_are_named() {
        let said = check(|tasks| {
            tasks[0].incarnation = 3;
            tasks[2].state = "ambiguous".to_owned();
        });
        assert_eq!(said, ["  gossip  1 ambiguous (h3), 2 running; restarted 2 times"]);
    }
}
