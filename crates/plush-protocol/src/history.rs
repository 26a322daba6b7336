//! [`RunHistory`]: what a run did, flat, for pictures and tables.
//! Not the journal: that holds events, and this what they led to.

use crate::view::{HostState, RunView, TogetherView};
use serde::{Deserialize, Serialize};

/// What a run has done so far. All times are in ms since the run began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunHistory {
    /// Version of this shape; raised when a field changes its meaning or goes.
    pub version: u32,
    /// The build whose controller began the journal.
    pub build: String,
    /// When the run was planned, in ms since 1970.
    pub started_unix_ms: u64,
    /// From when on it is known who did what, in ms since the run began: 0, unless so much has happened since that the
    /// journal has dropped its beginning.
    #[serde(default)]
    pub known_from_ms: u64,
    /// A controller serves the run; otherwise nothing more happens to it.
    pub is_served: bool,
    /// The run at the end of what is known.
    pub view: RunView,
    /// In the order of the description.
    pub clusters: Vec<ClusterHistory>,
    /// In the order of the plan.
    pub hosts: Vec<HostHistory>,
    /// The phases of each cluster, then the barriers by name; each by its generations.
    pub barriers: Vec<BarrierHistory>,
    /// In the order in which they were decided.
    pub tasks: Vec<TaskHistory>,
}

/// What a cluster ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterHistory {
    /// Its name.
    pub name: String,
    /// Process and command, as described.
    pub commands: Vec<(String, String)>,
    /// Software and package.
    pub software: Vec<(String, String)>,
}

/// What became of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostHistory {
    /// As written in the plan.
    pub name: String,
    /// The cluster that it was planned for.
    pub cluster: Option<String>,
    /// Its system and architecture, as it says itself; empty before it was reached.
    pub system: String,
    /// How the last link to it was made.
    pub client: String,
    /// How long that link took.
    pub connected_in_ms: Option<u64>,
    /// One after another, without holes.
    pub spans: Vec<Span>,
}

/// A state for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The state.
    pub state: HostState,
    /// Since when.
    pub from_ms: u64,
    /// Until when.
    pub until_ms: u64,
}

/// One generation of a barrier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BarrierHistory {
    /// `CLUSTER/prepare`, `CLUSTER/ready`, or the name in the description or the application.
    pub name: String,
    /// Whose it is.
    pub origin: BarrierOrigin,
    /// From 1.
    pub generation: u32,
    /// When it opens, in words.
    pub entry: String,
    /// How those inside are let go, in words.
    pub release: String,
    /// What becomes of late-comers, in words.
    pub late: String,
    /// How it opened.
    pub opened: Option<BarrierOpening>,
    /// When the arrivals had their knee: by the policy's own, or, where it has none, the first one after half of the
    /// members.
    pub knee_ms: Option<u64>,
    /// In the order of the plan.
    pub members: Vec<BarrierMember>,
    /// How well those whom it let go went on at one instant, where that was asked for.
    #[serde(default)]
    pub together: Option<TogetherView>,
}

/// Whose a barrier is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BarrierOrigin {
    /// It stands between two phases of the run.
    #[default]
    Phase,
    /// The description has it.
    Description,
    /// The application has made it.
    Application,
}

/// How a barrier opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BarrierOpening {
    /// When.
    pub at_ms: u64,
    /// The policy that fired, in a word: `all`, `knee`, ...
    pub policy: String,
    /// Why, in a sentence with the numbers of that moment.
    pub because: String,
    /// Members that had come.
    pub entered: u32,
    /// Members that counted.
    pub expected: u32,
}

/// One member's way through a barrier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BarrierMember {
    /// Its host.
    pub host: String,
    /// Where it stands.
    pub stand: MemberStand,
    /// When it came.
    pub entered_ms: Option<u64>,
    /// When it was let go.
    pub released_ms: Option<u64>,
    /// When it was through, or failed, or was turned away.
    pub left_ms: Option<u64>,
    /// This host now has its place: it does not count any more.
    #[serde(default)]
    pub replaced_by: Option<String>,
}

/// Where a member of a barrier stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberStand {
    /// It has not come.
    #[default]
    Expected,
    /// It has come and waits.
    Waiting,
    /// It was let go and is inside.
    Inside,
    /// It was let go and is through.
    Through,
    /// It failed before it was let go.
    Failed,
    /// It came too late and was turned away.
    TurnedAway,
}

/// One start of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskHistory {
    /// The task's number in the run.
    pub task: u32,
    /// Which start.
    pub incarnation: u32,
    /// The process of the description.
    pub process: String,
    /// The host that it is on.
    pub host: String,
    /// Time of its start, as its host reports it; otherwise the time at which the controller
    /// received the report.
    pub running_ms: Option<u64>,
    /// Time of its end, as its host reports it; otherwise the time at which the controller received
    /// the report.
    pub ended_ms: Option<u64>,
}

impl RunHistory {
    /// The same run later, when nothing has happened since.
    #[must_use]
    pub fn reaching(mut self, now_ms: u64) -> RunHistory {
        self.view.elapsed_ms = self.view.elapsed_ms.max(now_ms);
        for host in &mut self.hosts {
            if let Some(last) = host.spans.last_mut() {
                last.until_ms = self.view.elapsed_ms;
            }
        }
        self
    }
}

impl BarrierHistory {
    /// Members that were not replaced.
    fn counted(&self) -> impl Iterator<Item = &BarrierMember> {
        self.members.iter().filter(|m| m.replaced_by.is_none())
    }

    /// How many stand so.
    pub fn count(&self, stand: MemberStand) -> usize {
        self.counted().filter(|m| m.stand == stand).count()
    }

    /// Members that count: not failed, not rejected, not replaced.
    pub fn expected(&self) -> usize {
        let gone = self.count(MemberStand::Failed) + self.count(MemberStand::TurnedAway);
        self.counted().count() - gone
    }

    /// Members that have come and count.
    pub fn entered(&self) -> usize {
        self.expected() - self.count(MemberStand::Expected)
    }

    /// Members that have been let go.
    pub fn released(&self) -> usize {
        self.count(MemberStand::Inside) + self.count(MemberStand::Through)
    }

    /// When the first came.
    pub fn first_entry_ms(&self) -> Option<u64> {
        self.members.iter().filter_map(|m| m.entered_ms).min()
    }

    /// Hosts that had not come when it opened, or have not come by now; those that had failed before are not missed.
    pub fn missing(&self) -> Vec<&str> {
        let opened_ms = self.opened.as_ref().map_or(u64::MAX, |o| o.at_ms);
        let has_come = |m: &&BarrierMember| m.entered_ms.is_some_and(|at| at <= opened_ms);
        let had_failed = |m: &&BarrierMember| {
            m.stand == MemberStand::Failed && m.left_ms.is_none_or(|at| at <= opened_ms)
        };
        let missing = self.members.iter().filter(|m| !has_come(m) && !had_failed(m));
        missing.map(|m| m.host.as_str()).collect()
    }
}

impl BarrierMember {
    /// From its coming until it was let go, or until now.
    pub fn waited_ms(&self, now_ms: u64) -> Option<u64> {
        let until = self.released_ms.or(self.left_ms).unwrap_or(now_ms);
        self.entered_ms.map(|entered| until.saturating_sub(entered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(
        host: &str,
        stand: MemberStand,
        entered: Option<u64>,
        left: Option<u64>,
    ) -> BarrierMember {
        BarrierMember {
            host: host.into(),
            stand,
            entered_ms: entered,
            released_ms: None,
            left_ms: left,
            replaced_by: None,
        }
    }

    #[test]
    fn those_who_came_later_were_missing_and_those_who_had_failed_were_not() {
        let barrier = BarrierHistory {
            opened: Some(BarrierOpening { at_ms: 50, ..Default::default() }),
            members: vec![
                member("in-time", MemberStand::Through, Some(50), Some(60)),
                member("late", MemberStand::Inside, Some(51), None),
                member("never", MemberStand::Expected, None, None),
                member("failed-before", MemberStand::Failed, None, Some(10)),
                member("failed-after", MemberStand::Failed, None, Some(70)),
            ],
            ..Default::default()
        };
        assert_eq!(barrier.missing(), ["late", "never", "failed-after"]);
        assert_eq!((barrier.expected(), barrier.entered(), barrier.released()), (3, 2, 2));
    }

    #[test]
    fn a_host_that_stepped_in_and_the_one_before_it_are_one() {
        let mut barrier = BarrierHistory {
            members: (0..6)
                .map(|n| member(&format!("h{n}"), MemberStand::Through, Some(n), None))
                .collect(),
            ..Default::default()
        };
        barrier.members[2].replaced_by = Some("h5".into());
        assert_eq!((barrier.expected(), barrier.entered(), barrier.released()), (5, 5, 5));
    }

    #[test]
    fn a_wait_ends_when_one_is_let_go_or_fails_and_goes_on_otherwise() {
        let waiting = member("a", MemberStand::Waiting, Some(10), None);
        assert_eq!(waiting.waited_ms(35), Some(25));
        assert_eq!(BarrierMember { left_ms: Some(20), ..waiting.clone() }.waited_ms(35), Some(10));
        assert_eq!(BarrierMember { released_ms: Some(12), ..waiting }.waited_ms(35), Some(2));
        assert_eq!(member("b", MemberStand::Expected, None, None).waited_ms(35), None);
    }
}
