//! Faults: which kinds a seed enables, when each strikes, what it does to the world.
//! Not what must hold in spite of them: that is `checkers`.

mod sabotage;
mod strike;

pub use sabotage::Sabotage;

use crate::world::Hole;
use plush_core::Millis;
use plush_core::plan::HostId;
use std::fmt;

/// Faults strike until then.
pub(crate) const STRIKES_UNTIL_MS: Millis = 45_000;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A host restarts and keeps its disk, unsynced bytes aside.
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
    /// Everything to and from a host takes seconds for a while.
    Delay,
    /// A random part of the hosts is cut off one by one and comes back in another order.
    Swizzle,
    /// Programs leave children behind that have a session of their own.
    Escape,
    /// Programs write more than the windows hold.
    Flood,
    /// Wall clocks jump.
    ClockJump,
    /// A host's disk is full for a while.
    DiskFull,
    /// A host's disk answers every write with an error for a while.
    DiskBroken,
    /// The controller's disk fails under a record; whoever starts it again finds it mended.
    JournalFails,
    /// A controller that was thought dead comes back to hosts.
    OldController,
    /// What is said to a host comes half a minute late for a while; what it says does not.
    Late,
    /// A host's clock runs too fast or too slow, by one part in a hundred at the most.
    ClockRate,
    /// A host stands still for about as long as its lease lasts.
    Nap,
    /// From a host nothing long passes for a while, nor what was said after it: not its reports, or not even its greeting.
    BlackHole,
    /// The controller dies while it writes down that a host is back.
    CrashAtLink,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [FaultKind; 32] = [
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
        FaultKind::Delay,
        FaultKind::Swizzle,
        FaultKind::Escape,
        FaultKind::Flood,
        FaultKind::ClockJump,
        FaultKind::DiskFull,
        FaultKind::DiskBroken,
        FaultKind::JournalFails,
        FaultKind::OldController,
        FaultKind::Late,
        FaultKind::ClockRate,
        FaultKind::Nap,
        FaultKind::BlackHole,
        FaultKind::CrashAtLink,
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
    PowerOn {
        host: HostId,
        wiped: bool,
    },
    KillAgent(HostId),
    KillKeeper(HostId, u64),
    Cut(HostId),
    Part {
        host: HostId,
        deaf: bool,
        mute: bool,
    },
    Join(HostId),
    BlackHole(HostId, Hole),
    Slow(HostId),
    Delay(HostId, Millis),
    Late(HostId, Millis),
    ClockRate(HostId, i64),
    Pause(HostId, Millis),
    /// For so many thousandths of its lease.
    Nap(HostId, u64),
    Refuse(HostId, Option<u32>),
    PrepareFails(HostId),
    ExecFails(HostId),
    Escape(HostId),
    Flood(HostId),
    ClockJump(HostId, i64),
    DiskFull(HostId),
    DiskBroken(HostId),
    DiskMended(HostId),
    CrashController {
        ahead: usize,
        point: usize,
    },
    CrashAtLink,
    JournalFails {
        ahead: usize,
    },
    OldController(HostId),
    Stop,
    Signal,
    HealAll,
}

/// A fault that strikes once, with what ends it: what is left out of a story in one piece.
#[derive(Clone, Debug)]
pub(crate) struct Strike {
    pub steps: Vec<(Millis, Fault)>,
}
