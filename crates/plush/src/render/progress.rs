//! Progress in one line: phase, time, how many hosts are where, who is waited for.
//! Not when it is drawn on a terminal: the watcher has the clock.

use crate::duration;
use crate::render::{names, text, words};
use plush_protocol::view::{Counts, HostState, HostView, PhaseName, RunView};

/// Without a terminal, the line is said so often even if the phase stays.
pub const SAID_EVERY_MS: u64 = 10_000;

/// The longest line without a terminal.
const PLAIN_WIDTH: usize = 200;

/// The line, in `width` characters at most. `since_ms` is how old the view is.
pub fn line(view: &RunView, since_ms: u64, width: usize) -> String {
    let elapsed = duration::show_clock(view.elapsed_ms + since_ms);
    let stopping = if view.stopping.is_some() { "stopping, " } else { "" };
    let start =
        format!("{stopping}{} {elapsed}: {}", words::phase(view.phase), counts(&view.counts));
    let late: Vec<&str> = waited_for(view).map(|host| host.name.as_str()).collect();
    let room = width.saturating_sub(start.chars().count() + WAITS.len());
    if late.is_empty() || room < ROOM_FOR_NAMES {
        return text::cut(&start, width).into_owned();
    }
    let whole = format!("{start}{WAITS}{}", names::fold_within(&late, room));
    text::cut(&whole, width).into_owned()
}

const WAITS: &str = "; waiting for ";

/// Names are left out where they would have fewer characters than this.
const ROOM_FOR_NAMES: usize = 12;

/// How many hosts are where, of how many; states without hosts are left out.
pub fn counts(counts: &Counts) -> String {
    let states = [
        (counts.connecting, "connecting"),
        (counts.preparing, "preparing"),
        (counts.ready, "ready"),
        (counts.running, "running"),
        (counts.finishing, "finishing"),
        (counts.done, "done"),
        (counts.failed, "failed"),
        (counts.spare, "spare"),
    ];
    let total: u32 = states.iter().map(|(count, _)| count).sum();
    let present: Vec<String> = states
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    match present.is_empty() {
        true => "no hosts yet".into(),
        false => format!("{} of {}", present.join(", "), text::counted(total as usize, "host")),
    }
}

/// The hosts that keep the run in its phase, without those that wait for others.
pub fn waited_for(view: &RunView) -> impl Iterator<Item = &HostView> {
    view.hosts.iter().filter(|host| keeps(view.phase, host.state) && host.waits_at.is_none())
}

fn keeps(phase: PhaseName, state: HostState) -> bool {
    let busy_until = match phase {
        PhaseName::Connect => HostState::Connecting,
        PhaseName::Prepare | PhaseName::Ready => HostState::Preparing,
        PhaseName::Run => HostState::Running,
        PhaseName::Stop => HostState::Stopping,
        PhaseName::Collect => HostState::Collecting,
        PhaseName::CleanUp => HostState::Cleaning,
        PhaseName::Done => return false,
    };
    // A host that is ready only waits.
    state <= busy_until && state != HostState::Ready
}

/// Progress where there is no terminal: a line whenever the phase changes, and every [`SAID_EVERY_MS`].
#[derive(Debug, Default)]
pub struct Plain {
    said: Option<(PhaseName, bool, u64)>,
}

impl Plain {
    /// What is to be said now, if anything.
    pub fn say(&mut self, view: &RunView, since_ms: u64, now_ms: u64) -> Option<String> {
        let state = (view.phase, view.stopping.is_some());
        let due = self.said.is_none_or(|(phase, stopping, at_ms)| {
            (phase, stopping) != state || now_ms - at_ms >= SAID_EVERY_MS
        });
        if !due {
            return None;
        }
        self.said = Some((state.0, state.1, now_ms));
        Some(format!("plush: {}", line(view, since_ms, PLAIN_WIDTH)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn the_late_ones_are_named() {
        let view = samples::preparing();
        assert_eq!(
            line(&view, 0, 200),
            "prepare 12 s: 1 connecting, 2 preparing, 7 ready of 10 hosts; waiting for node[08-10]"
        );
    }

    #[test]
    fn those_who_wait_at_a_barrier_are_not_waited_for() {
        let mut view = samples::preparing();
        view.phase = PhaseName::Run;
        for host in &mut view.hosts {
            (host.state, host.waits_at) = (HostState::Ready, Some("middle".into()));
        }
        view.hosts[0].state = HostState::Running;
        (view.hosts[6].state, view.hosts[6].waits_at) = (HostState::Running, None);
        let named: Vec<&str> = waited_for(&view).map(|host| host.name.as_str()).collect();
        assert_eq!(named, [view.hosts[6].name.as_str()], "a program on the first one waits too");
    }

    #[test]
    fn a_narrow_terminal_gets_a_narrow_line() {
        for width in [10, 40, 70, 80] {
            assert!(line(&samples::preparing(), 0, width).chars().count() <= width);
        }
    }

    #[test]
    fn time_goes_on_between_views() {
        assert!(line(&samples::preparing(), 3_400, 200).starts_with("prepare 15 s"));
    }

    #[test]
    fn without_a_terminal_it_speaks_at_changes_and_every_ten_seconds() {
        let (mut plain, mut view) = (Plain::default(), samples::preparing());
        assert!(plain.say(&view, 0, 0).is_some());
        assert!(plain.say(&view, 0, 9_999).is_none());
        assert!(plain.say(&view, 0, 10_000).is_some());
        view.phase = PhaseName::Ready;
        assert!(plain.say(&view, 0, 10_001).is_some());
        view.stopping = Some("asked".into());
        assert!(
            plain
                .say(&view, 0, 10_002)
                .is_some_and(|line| line.starts_with("plush: stopping, ready"))
        );
    }
}
