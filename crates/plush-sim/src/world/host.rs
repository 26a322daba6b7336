//! A host: its power, its disk, its processes.
//! Not what its agent decides.

use super::visits::Visitor;
use crate::random::Chance;
use plush_core::Millis;
use plush_core::agent::{Agent, Ending, Launched, Lease};
use plush_protocol::{StreamName, TaskKey, TaskSpec, TaskState};
use std::collections::{BTreeMap, BTreeSet};

/// What a clock's rate is counted in.
const MILLION: i128 = 1_000_000;

/// A machine.
pub(crate) struct Host {
    pub power: Power,
    /// Counts the starts of the machine.
    pub boot: u64,
    pub booted_at: Millis,
    pub disk: Disk,
    pub agent: Option<AgentProcess>,
    pub processes: BTreeMap<TaskKey, Process>,
    /// Everything on the host takes so many times longer.
    pub slowness: u64,
    pub paused_until: Millis,
    pub latency_ms: Millis,
    pub connect_ms: Millis,
    pub refusal: Option<Refusal>,
    /// Nothing arrives from the controller.
    pub deaf: bool,
    /// Nothing arrives at the controller.
    pub mute: bool,
    /// Something long does not arrive at the controller, nor what follows it over the same link.
    pub black_hole: Option<Hole>,
    pub prepare_fails: bool,
    pub exec_fails: bool,
    /// Its programs leave children behind that have a session of their own.
    pub programs_escape: bool,
    /// Its programs write more than the windows hold.
    pub programs_flood: bool,
    /// Such children that run though their task is over.
    pub strays: u32,
    /// Nothing can be written.
    pub disk_full: bool,
    /// Every write fails.
    pub disk_broken: bool,
    pub disk_was_broken: bool,
    /// How far its wall clock is off.
    pub wall_offset_ms: i64,
    /// Everything on its way takes so much longer.
    pub extra_latency_ms: Millis,
    /// What is said to it comes so much later.
    pub late_ms: Millis,
    /// How much too fast its clock is, in millionths.
    pub fast_ppm: i64,
    /// Its agent takes the run's files away.
    pub removing: bool,
    /// By the host's clock: until then tasks live, by the last renewal that an agent took.
    pub lease_until: Option<Millis>,
    /// The same, once all of what an agent has decided together is done.
    pub lease_next: Option<Millis>,
    /// Something was done to it: what is promised to the others is not promised to it.
    pub harmed: bool,
    /// Its agent was killed: files that only the agent removes may stay.
    pub agent_killed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    On,
    Off,
}

/// What is too long for the way from a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hole {
    /// Reports and output.
    Reports,
    /// Those, and the greeting.
    Greetings,
}

/// How a host refuses a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// For ever.
    ForGood,
    /// So many times.
    Times(u32),
}

/// What survives a process, and what is durable a reboot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// The run's directory with the agent's socket and log.
    pub directory: bool,
    pub epoch: u64,
    pub lease: Option<(u64, Lease)>,
    pub records: BTreeMap<TaskKey, RecordFile>,
    /// How tasks were started, and when in which boot.
    pub specs: BTreeMap<TaskKey, (TaskSpec, u64, Millis)>,
    /// Incarnations after which none follows.
    pub concluded: BTreeSet<TaskKey>,
    pub prepared: BTreeSet<String>,
    pub making: BTreeSet<String>,
    pub spools: BTreeMap<(TaskKey, StreamName), Spool>,
}

/// The durable word about a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// It may run or have run.
    Started,
    /// It is over.
    Over(TaskState),
}

/// A record as it was written, and what of it a power failure leaves.
#[derive(Clone, Debug)]
pub(crate) struct RecordFile {
    pub written: Record,
    durable: Option<Record>,
}

impl RecordFile {
    /// Whether the word that was written last survives the host.
    pub fn is_durable(&self) -> bool {
        self.durable.as_ref() == Some(&self.written)
    }
}

/// Output that is kept until the controller has it durably.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spool {
    /// First byte that is still here.
    pub base: u64,
    /// Bytes written.
    pub length: u64,
    /// Bytes that survive a reboot.
    pub synced: u64,
}

/// A running agent.
pub(crate) struct AgentProcess {
    pub agent: Agent,
    pub life: u64,
    pub wake_set: Option<Millis>,
    /// Preparations that were told to stop.
    pub cancelled: BTreeSet<String>,
    /// The newest report that was sent, and the newest acknowledgement said, by session.
    pub sent: (u64, u64),
}

/// A task's processes.
pub(crate) struct Process {
    pub stage: ProcessStage,
    /// Its keeper lives.
    pub kept: bool,
    pub ending: Ending,
    pub wake_set: Option<Millis>,
    pub script: Script,
    pub began_at: Millis,
    /// From the signal to the kill.
    pub grace_ms: Millis,
    /// When it was to be killed, by the host's clock.
    pub killed_at: Option<Millis>,
    /// What it still has to do at a barrier.
    pub visitor: Option<Visitor>,
    /// The place of which there must not be two: a cluster's process, and the rank.
    pub place: Option<(String, String)>,
}

/// How far a task's process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessStage {
    /// The child waits for the go.
    Forked,
    /// The start record is durable.
    Recorded,
    /// The program runs.
    Running,
    /// The program has ended; its record is being written.
    Ended,
}

/// What a program does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Script {
    pub runs_ms: Millis,
    pub out_bytes: u64,
    pub err_bytes: u64,
    pub code: i32,
    pub ignores_signals: bool,
    pub escapes: bool,
}

impl Host {
    pub fn new(chance: &mut Chance) -> Self {
        Host {
            power: Power::On,
            boot: 1,
            booted_at: 0,
            disk: Disk::default(),
            agent: None,
            processes: BTreeMap::new(),
            slowness: 1,
            paused_until: 0,
            latency_ms: chance.between(1, 80),
            connect_ms: chance.between(50, 600),
            refusal: None,
            deaf: false,
            mute: false,
            black_hole: None,
            prepare_fails: false,
            exec_fails: false,
            programs_escape: false,
            programs_flood: false,
            strays: 0,
            disk_full: false,
            disk_broken: false,
            disk_was_broken: false,
            wall_offset_ms: 0,
            extra_latency_ms: 0,
            late_ms: 0,
            fast_ppm: 0,
            removing: false,
            lease_until: None,
            lease_next: None,
            harmed: false,
            agent_killed: false,
        }
    }

    pub fn is_on(&self) -> bool {
        self.power == Power::On
    }

    /// The host's own clock: time since it was switched on, which never begins at 0.
    pub fn clock(&self, now: Millis) -> Millis {
        let up = i128::from(now - self.booted_at);
        let up = up * (MILLION + i128::from(self.fast_ppm)) / MILLION;
        u64::try_from(up).expect("a clock goes forward") + 1_000
    }

    /// What the host's wall shows, on the scale of its own clock: no rule may look at it.
    pub fn wall_clock(&self, now: Millis) -> Millis {
        self.clock(now).saturating_add_signed(self.wall_offset_ms)
    }

    /// A write to its disk comes to nothing.
    pub fn cannot_write(&self) -> bool {
        self.disk_full || self.disk_broken
    }

    /// The first instant of the world at which the host's clock shows this.
    pub fn world_time(&self, clock: Millis) -> Millis {
        let up = i128::from(clock.saturating_sub(1_000)) * MILLION;
        let rate = MILLION + i128::from(self.fast_ppm);
        let up = u64::try_from((up + rate - 1) / rate).unwrap_or(Millis::MAX);
        up.saturating_add(self.booted_at)
    }

    /// How tasks that are restarted or probed were started.
    pub fn launches(&self) -> Vec<Launched> {
        let wanted = |spec: &TaskSpec| spec.restart.is_some() || !spec.probes.is_empty();
        let known = self.disk.specs.iter().filter(|(_, (spec, ..))| wanted(spec));
        let known = known.filter(|(key, _)| {
            self.disk.records.contains_key(key) || self.processes.contains_key(key)
        });
        let launched = |(key, (spec, boot, at)): (&TaskKey, &(TaskSpec, u64, Millis))| Launched {
            key: *key,
            spec: spec.clone(),
            started_at: (*boot == self.boot).then_some(*at),
            is_last: self.disk.concluded.range(*key..=last(*key)).next().is_some(),
        };
        known.map(launched).collect()
    }

    /// Programs that run.
    pub fn live(&self) -> impl Iterator<Item = TaskKey> {
        let alive = |p: &Process| p.stage != ProcessStage::Ended;
        self.processes.iter().filter(move |(_, p)| alive(p)).map(|(k, _)| *k)
    }
}

/// The largest key of a task.
fn last(key: TaskKey) -> TaskKey {
    TaskKey { incarnation: u32::MAX, ..key }
}

impl Disk {
    /// Nothing of the run's work is there.
    pub fn is_clean(&self) -> bool {
        self.records.is_empty()
            && self.prepared.is_empty()
            && self.making.is_empty()
            && self.spools.is_empty()
    }

    /// Writes a word about a task; it may be lost until [`Disk::sync_record`].
    pub fn write_record(&mut self, key: TaskKey, record: Record) {
        let durable = self.records.remove(&key).and_then(|file| file.durable);
        self.records.insert(key, RecordFile { written: record, durable });
    }

    /// What was written about a task survives the host from now on.
    pub fn sync_record(&mut self, key: TaskKey) {
        if let Some(file) = self.records.get_mut(&key) {
            file.durable = Some(file.written.clone());
        }
    }

    /// Writes a word about a task durably.
    pub fn keep_record(&mut self, key: TaskKey, record: Record) {
        self.write_record(key, record);
        self.sync_record(key);
    }

    /// What a power failure leaves: of a record that is not durable the one before it, unless it got there in time; a
    /// torn one is as good as none. `lot` decides.
    pub fn lose_unsynced(&mut self, lot: u64) {
        let mut lucky = lot;
        self.records.retain(|_, file| {
            lucky = lucky.rotate_right(1);
            if !file.is_durable() && lucky & 1 == 0 {
                match file.durable.clone() {
                    Some(before) => file.written = before,
                    None => return false,
                }
            }
            file.durable = Some(file.written.clone());
            true
        });
        for spool in self.spools.values_mut() {
            spool.length = spool.synced.max(spool.base);
        }
        self.lease = None;
    }
}

impl Script {
    /// The words of `scenario`'s processes; `lot` decides whether it fails.
    pub fn read(words: &[String], lot: u64) -> Self {
        let number = |n: usize| words.get(n).and_then(|w| w.parse::<u64>().ok()).unwrap_or(0);
        let fails = lot % 100 < number(4);
        Script {
            runs_ms: number(1),
            out_bytes: number(2),
            err_bytes: number(3),
            code: if fails { 1 + (lot % 7) as i32 } else { 0 },
            ignores_signals: number(5) == 1,
            escapes: false,
        }
    }
}

impl Host {
    /// Everything that ran is gone, and what was not on the disk yet.
    pub fn power_off(&mut self, lot: u64) {
        self.power = Power::Off;
        self.harmed = true;
        self.agent = None;
        self.processes.clear();
        self.strays = 0;
        self.lease_until = None;
        self.disk.lose_unsynced(lot);
    }

    pub fn power_on(&mut self, now: Millis) {
        self.power = Power::On;
        self.boot += 1;
        self.booted_at = now;
        self.paused_until = 0;
    }
}
