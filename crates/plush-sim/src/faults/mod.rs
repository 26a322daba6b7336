//! Faults: which kinds a seed enables, when each strikes, what it does to the world.
//! Not what must hold in spite of them: that is `checkers`.

mod strike;

use plush_core::Millis;
use plush_core::plan::HostId;
use std::fmt;

/// Faults strike until then.
pub(crate) const STRIKES_UNTIL_MS: Millis = 45_000;
/// Then everything that can be healed is.
pub(crate) const HEALED_AT_MS: Millis = 60_000;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A host restarts and keeps its disk, unsynced output aside.
    Reboot,
    /// A host restarts with an empty disk.
    Wipe,
    /// A host is switched off for good.
    PowerOff,
    /// An agent is killed; its keepers live on.
    AgentCrash,
    /// A keeper is killed.
    KeeperCrash,
    /// A link is cut.
    Cut,
    /// A host cannot be reached, or cannot reach, or both, for a while.
    Partition,
    /// A host is slow.
    Slow,
    /// A host refuses connections, some times or for ever.
    Refuse,
    /// A host cannot prepare.
    PrepareFails,
    /// A host cannot execute.
    ExecFails,
    /// The controller dies at a record of its journal and is started again.
    ControllerCrash,
    /// A host stands still for a while.
    Pause,
    /// Frames are lost and sent again.
    Loss,
    /// Frames come twice, or after their link is gone.
    Stale,
    /// An operator stops the run.
    Stop,
    /// An operator sends a signal.
    Signal,
    /// Results come home only at the second or third time.
    Collect,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [FaultKind; 18] = [
        FaultKind::Reboot,
        FaultKind::Wipe,
        FaultKind::PowerOff,
        FaultKind::AgentCrash,
        FaultKind::KeeperCrash,
        FaultKind::Cut,
        FaultKind::Partition,
        FaultKind::Slow,
        FaultKind::Refuse,
        FaultKind::PrepareFails,
        FaultKind::ExecFails,
        FaultKind::ControllerCrash,
        FaultKind::Pause,
        FaultKind::Loss,
        FaultKind::Stale,
        FaultKind::Stop,
        FaultKind::Signal,
        FaultKind::Collect,
    ];
}

/// Some kinds of faults.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultSet(u32);

impl FaultSet {
    /// No fault.
    pub const NONE: FaultSet = FaultSet(0);

    /// Those kinds.
    pub fn of(kinds: &[FaultKind]) -> FaultSet {
        kinds.iter().fold(FaultSet::NONE, |set, kind| set.with(*kind))
    }

    /// Whether the kind is among them.
    pub fn has(self, kind: FaultKind) -> bool {
        self.0 & (1 << kind as u32) != 0
    }

    /// The set and this kind.
    pub fn with(self, kind: FaultKind) -> FaultSet {
        FaultSet(self.0 | (1 << kind as u32))
    }

    /// The set without this kind.
    pub fn without(self, kind: FaultKind) -> FaultSet {
        FaultSet(self.0 & !(1 << kind as u32))
    }

    /// Its kinds.
    pub fn kinds(self) -> impl Iterator<Item = FaultKind> {
        FaultKind::ALL.into_iter().filter(move |kind| self.has(*kind))
    }

    /// The set as [`fmt::Debug`] writes it: kinds with commas between them.
    ///
    /// # Errors
    /// A word that is no kind.
    pub fn parse(text: &str) -> Result<FaultSet, String> {
        let mut set = FaultSet::NONE;
        for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            let known = FaultKind::ALL.into_iter().find(|kind| format!("{kind:?}") == word);
            set = set.with(known.ok_or_else(|| format!("`{word}` is no kind of fault"))?);
        }
        Ok(set)
    }
}

impl fmt::Debug for FaultSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.kinds().map(|kind| format!("{kind:?}")).collect();
        f.write_str(&names.join(","))
    }
}

/// One strike, or its end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    PowerOff(HostId),
    PowerOn { host: HostId, wiped: bool },
    KillAgent(HostId),
    KillKeeper(HostId, u64),
    Cut(HostId),
    Part { host: HostId, deaf: bool, mute: bool },
    Join(HostId),
    Slow(HostId),
    Pause(HostId, Millis),
    CrashController { ahead: usize, point: usize },
    Stop,
    Signal,
    HealAll,
}

/// A world that is broken on purpose, to see that the checkers notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// It is not.
    #[default]
    None,
    /// The controller acknowledges output that is not durable.
    AckBeforeDurable,
    /// The controller performs before its record is durable.
    PerformBeforeSync,
    /// A new controller replays the journal without its last record.
    ReplayWithoutLast,
    /// A keeper gives its program the go twice.
    StartTwice,
    /// A keeper lets its program run before the start record is durable.
    ExecBeforeRecord,
    /// Clean-up leaves output behind.
    LeaveFiles,
    /// A keeper reports another exit code than it saw.
    WrongExit,
}
