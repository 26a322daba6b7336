//! What a seed says: the description that is run, and what goes wrong when. Nothing is done here.

use plush_lab::Dice;
use std::fmt::{self, Display, Formatter};

/// No fault lasts for longer after the last one has begun. A host that another can replace is dead after about 14 s.
const LONGEST_S: u64 = 10;

/// How large storms are.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub hosts: u16,
    /// How long faults go on.
    pub seconds: u64,
}

/// What is run, and what is done to it.
#[derive(Debug)]
pub struct Scene {
    pub hosts: u16,
    pub class: Class,
    pub spares: u16,
    /// Their homes are small disks of their own, which can be full; they keep their power, with which the disk would go.
    pub small: Vec<u16>,
    /// Rounds of each process; a service has no end.
    rounds: u64,
    /// Lines of standard output in each round.
    pub lines: u64,
    /// Rounds from one meeting at a barrier to the next.
    every: u64,
    output: &'static str,
    pub middle: Middle,
    child: &'static str,
    pub strikes: Vec<Strike>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Two processes with a barrier between them.
    Batch,
    /// One process that goes on until the run is stopped.
    Service,
}

/// When the barrier between the processes opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Middle {
    All,
    MostOrTimeout,
}

/// One fault: when, where, for how long.
#[derive(Clone, Debug)]
pub struct Strike {
    pub number: usize,
    pub at_ms: u64,
    pub fault: Fault,
    /// From 1; of no account where the controller is struck.
    pub host: u16,
    pub lasts_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    AgentKilled,
    KeepersKilled,
    AgentAndKeepersKilled,
    TaskKilled,
    ConnectionClosed,
    ControllerKilled,
    ControllerStopped,
    PowerCut,
    Restarted,
    Frozen,
    Unplugged,
    Deaf,
    Mute,
    Slow,
    Lossy,
    DiskFull,
}

impl Fault {
    /// Each with how often it is drawn.
    const ALL: [(Fault, u64); 16] = [
        (Fault::AgentKilled, 10),
        (Fault::KeepersKilled, 7),
        (Fault::AgentAndKeepersKilled, 5),
        (Fault::TaskKilled, 10),
        (Fault::ConnectionClosed, 6),
        (Fault::ControllerKilled, 10),
        (Fault::ControllerStopped, 3),
        (Fault::PowerCut, 8),
        (Fault::Restarted, 6),
        (Fault::Frozen, 8),
        (Fault::Unplugged, 7),
        (Fault::Deaf, 5),
        (Fault::Mute, 5),
        (Fault::Slow, 5),
        (Fault::Lossy, 5),
        (Fault::DiskFull, 6),
    ];

    fn draw(dice: &mut Dice) -> Fault {
        let mut at = dice.below(Fault::ALL.iter().map(|(_, often)| often).sum());
        for (fault, often) in Fault::ALL {
            match at.checked_sub(often) {
                Some(rest) => at = rest,
                None => return fault,
            }
        }
        unreachable!("what is drawn is below the sum")
    }

    /// What is in memory is gone, and with it a small home.
    pub fn stops_the_machine(self) -> bool {
        matches!(self, Fault::PowerCut | Fault::Restarted)
    }

    /// A host may be given up for it, or for how long it lasts.
    pub fn may_cost_the_host(self) -> bool {
        match self {
            Fault::PowerCut | Fault::Restarted | Fault::Frozen | Fault::Unplugged => true,
            Fault::Deaf | Fault::Mute | Fault::Slow | Fault::Lossy | Fault::DiskFull => true,
            Fault::AgentKilled | Fault::KeepersKilled | Fault::AgentAndKeepersKilled => false,
            Fault::TaskKilled | Fault::ConnectionClosed => false,
            Fault::ControllerKilled | Fault::ControllerStopped => false,
        }
    }

    /// A process may end of it, or may not be started, and is started again.
    pub fn may_end_a_task(self) -> bool {
        match self {
            Fault::TaskKilled | Fault::AgentAndKeepersKilled | Fault::DiskFull => true,
            Fault::PowerCut | Fault::Restarted => true,
            // Two of these together are as both at once.
            Fault::AgentKilled | Fault::KeepersKilled => true,
            Fault::ConnectionClosed | Fault::Frozen | Fault::Unplugged | Fault::Deaf => false,
            Fault::Mute | Fault::Slow | Fault::Lossy => false,
            Fault::ControllerKilled | Fault::ControllerStopped => false,
        }
    }

    pub fn is_the_controllers(self) -> bool {
        matches!(self, Fault::ControllerKilled | Fault::ControllerStopped)
    }

    /// It is over at once.
    fn is_a_moment(self) -> bool {
        match self {
            Fault::AgentKilled | Fault::KeepersKilled | Fault::AgentAndKeepersKilled => true,
            Fault::TaskKilled | Fault::ConnectionClosed | Fault::ControllerKilled => true,
            Fault::Restarted => true,
            Fault::ControllerStopped | Fault::PowerCut | Fault::Frozen | Fault::Unplugged => false,
            Fault::Deaf | Fault::Mute | Fault::Slow | Fault::Lossy | Fault::DiskFull => false,
        }
    }
}

impl Scene {
    pub fn of(seed: u64, size: Size) -> Scene {
        let mut dice = Dice::new(seed);
        let hosts = size.hosts;
        let class = if dice.below(4) == 0 { Class::Service } else { Class::Batch };
        let mut small: Vec<u16> = (0..2).map(|_| any_host(&mut dice, hosts)).collect();
        small.dedup();
        let strikes = strikes(&mut dice, size, &small);
        let keeper =
            |s: &Strike| matches!(s.fault, Fault::KeepersKilled | Fault::AgentAndKeepersKilled);
        // What has left everything is surely found only while a keeper or an agent has been there without a break.
        let children: &[_] = match strikes.iter().any(keeper) {
            true => &["none", "marked"],
            false => &["none", "marked", "bare"],
        };
        Scene {
            hosts,
            class,
            spares: [0, 1, 2, 2][dice.below(4) as usize].min(hosts - 1),
            small,
            // A process goes on after the last fault, so that hosts which were lost can come back to it.
            rounds: (size.seconds + LONGEST_S + 4) * 10 / 2,
            lines: [20, 60, 200, 600][dice.below(4) as usize],
            every: 20 + dice.below(30),
            output: ["block", "block", "gap"][dice.below(3) as usize],
            middle: [Middle::All, Middle::MostOrTimeout][dice.below(2) as usize],
            child: children[dice.below(children.len() as u64) as usize],
            strikes,
        }
    }

    pub fn wanted(&self) -> u16 {
        self.hosts - self.spares
    }

    pub fn processes(&self) -> &'static [&'static str] {
        match self.class {
            Class::Batch => &["first", "second"],
            Class::Service => &["serve"],
        }
    }

    pub fn description(&self) -> String {
        let Scene { hosts, spares, .. } = self;
        let (wanted, class) = (
            self.wanted(),
            match self.class {
                Class::Batch => "batch",
                Class::Service => "service, replace_after: 1 s",
            },
        );
        let steps: Vec<String> = self.processes().iter().map(|p| self.step(p)).collect();
        let steps = steps.join("      - barrier: middle\n");
        let meetings: String =
            self.processes().iter().map(|p| format!("  meet-{p}: {{clusters: [c]}}\n")).collect();
        let middle = match (self.class, self.middle) {
            (Class::Service, _) => "",
            (Class::Batch, Middle::All) => "  middle: {}\n",
            (Class::Batch, Middle::MostOrTimeout) => {
                "  middle: {entry: {percent: 80, timeout: 30 s}}\n"
            }
        };
        format!(
            r#"project: storm
resources: [{{type: ssh, hosts: "h[001-{hosts:03}]"}}]
software:
  work: {{type: tar, package: {{type: push, path: work.tar}}}}
clusters:
  c:
    num_hosts: {{wanted: {wanted}, min: 1, spare: {spares}}}
    software: [work]
    service: {{class: {class}, reconnect_interval: 2 s}}
    on_failure: {{host: replace}}
    outputs: ["*.result"]
    execution:
{steps}barriers:
{meetings}{middle}"#
        )
    }

    fn step(&self, process: &str) -> String {
        let Scene { lines, every, child, output, .. } = self;
        let rounds = match self.class {
            Class::Batch => self.rounds,
            Class::Service => 0,
        };
        format!(
            r#"      - process: {process}
        path: ./work
        args: [{process}, "{rounds}", "{lines}", meet-{process}, "{every}", {child}]
        output: {output}
        stop: {{grace: 2 s}}
        restart: {{max: 1000 per 1 h, backoff: 50 ms .. 1 s}}
"#
        )
    }

    /// The strikes on a host.
    pub fn on(&self, host: u16) -> impl Iterator<Item = &Strike> {
        self.strikes.iter().filter(move |s| s.host == host && !s.fault.is_the_controllers())
    }

    /// Nobody may have held the pipes of its tasks for a moment, or seen their ends.
    pub fn was_left_alone(&self, host: u16) -> bool {
        let has = |fault| self.on(host).any(|s| s.fault == fault);
        has(Fault::AgentAndKeepersKilled)
            || (has(Fault::KeepersKilled) && has(Fault::AgentKilled))
            || self.on(host).any(|s| s.fault.stops_the_machine())
    }
}

fn any_host(dice: &mut Dice, hosts: u16) -> u16 {
    1 + dice.below(u64::from(hosts)) as u16
}

/// About one in two and a half seconds, two at once now and then.
fn strikes(dice: &mut Dice, size: Size, small: &[u16]) -> Vec<Strike> {
    let (mut all, mut at_ms) = (Vec::new(), dice.below(1_500));
    while at_ms < size.seconds * 1_000 {
        let at_once = if dice.below(4) == 0 { 2 } else { 1 };
        for _ in 0..at_once {
            all.push(strike(dice, size, small, at_ms));
        }
        at_ms += 500 + dice.below(4_000);
    }
    all.into_iter().enumerate().map(|(n, s)| Strike { number: n + 1, ..s }).collect()
}

fn strike(dice: &mut Dice, size: Size, small: &[u16], at_ms: u64) -> Strike {
    let (mut fault, mut host) = (Fault::draw(dice), any_host(dice, size.hosts));
    if fault == Fault::DiskFull {
        host = small[dice.below(small.len() as u64) as usize];
    } else if fault.stops_the_machine() && small.contains(&host) {
        fault = Fault::Frozen;
    }
    let lasts_ms = match dice.below(3) {
        _ if fault.is_a_moment() => 0,
        0 => 15_000 + dice.below(10_000),
        _ => 500 + dice.below(8_000),
    };
    let lasts_ms = lasts_ms.min((size.seconds + LONGEST_S) * 1_000 - at_ms);
    Strike { number: 0, at_ms, fault, host, lasts_ms }
}

impl Display for Strike {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Strike { number, at_ms, fault, host, lasts_ms } = self;
        write!(out, "{number}: {fault:?} at {at_ms} ms")?;
        if !fault.is_the_controllers() {
            write!(out, " on h{host:03}")?;
        }
        if *lasts_ms > 0 {
            write!(out, " for {lasts_ms} ms")?;
        }
        Ok(())
    }
}
