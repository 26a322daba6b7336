//! Faults done to real hosts, and taken away again. Which and when was drawn before.

use super::drawing::{Fault, Strike};
use crate::product::Running;
use crate::stage::Stage;
use plush_lab::{Direction, DiskFate, LinkChange, LinkShape, ProcessEntry};
use rustix::process::Signal;

/// A run in a storm.
pub struct Weather {
    pub stage: Stage,
    /// The command that watches the run; another one after each kill of the controller.
    pub watching: Option<Running>,
    cuts: Vec<(usize, String, Direction)>,
    off: Vec<String>,
}

impl Weather {
    pub fn new(stage: Stage, watching: Running) -> Weather {
        Weather { stage, watching: Some(watching), cuts: Vec::new(), off: Vec::new() }
    }

    /// False when there was nothing to strike.
    pub fn strike(&mut self, strike: &Strike) -> bool {
        let host = name(strike);
        let lab = &self.stage.lab;
        if self.off.contains(&host) && !strike.fault.is_the_controllers() {
            return false;
        }
        match strike.fault {
            Fault::AgentKilled => self.kill(&host, is_agent),
            Fault::KeepersKilled => self.kill(&host, is_keeper),
            Fault::AgentAndKeepersKilled => self.kill(&host, |p| is_agent(p) || is_keeper(p)),
            Fault::TaskKilled => self.kill(&host, is_worker),
            // sshd's processes of the session; the listener and the agent stay.
            Fault::ConnectionClosed => {
                self.kill(&host, |p| p.uid != 0 && p.name.starts_with("sshd"))
            }
            Fault::ControllerKilled => return self.kill_controller(),
            Fault::ControllerStopped => return self.stage.signal_controllers(Signal::STOP) > 0,
            Fault::PowerCut => {
                lab.power_off(&host).unwrap();
                self.off.push(host);
            }
            Fault::Restarted => lab.reboot(&host, DiskFate::Kept).unwrap(),
            Fault::Frozen => lab.freeze(&host).unwrap(),
            Fault::Unplugged => lab.unplug(&host).unwrap(),
            Fault::Deaf => self.cut(strike.number, host, Direction::Forth),
            Fault::Mute => self.cut(strike.number, host, Direction::Back),
            Fault::Slow => lab.shape(&host, SLOW, Direction::Both).unwrap(),
            Fault::Lossy => lab.shape(&host, LOSSY, Direction::Both).unwrap(),
            Fault::DiskFull => self.fill(&host),
        }
        true
    }

    pub fn mend(&mut self, strike: &Strike) {
        let host = name(strike);
        let lab = &self.stage.lab;
        match strike.fault {
            Fault::AgentKilled | Fault::KeepersKilled | Fault::AgentAndKeepersKilled => {}
            Fault::TaskKilled | Fault::ConnectionClosed | Fault::ControllerKilled => {}
            Fault::Restarted => {}
            Fault::ControllerStopped => drop(self.stage.signal_controllers(Signal::CONT)),
            Fault::PowerCut => {
                lab.boot(&host).unwrap();
                self.off.retain(|other| *other != host);
            }
            Fault::Frozen => lab.thaw(&host).unwrap(),
            Fault::Unplugged => lab.plug(&host).unwrap(),
            Fault::Deaf | Fault::Mute => self.join(strike.number),
            Fault::Slow | Fault::Lossy => {
                let plain = LinkChange::to_exactly(LinkShape::default());
                lab.shape(&host, plain, Direction::Both).unwrap();
            }
            Fault::DiskFull => self.on(&host, "rm -f /home/plush/.full"),
        }
    }

    fn kill(&self, host: &str, is_meant: impl Fn(&ProcessEntry) -> bool) {
        let all = self.stage.lab.processes(host).unwrap();
        let meant = all.iter().filter(|p| is_meant(p)).map(|p| format!(" {}", p.pid));
        let numbers: String = meant.collect();
        if !numbers.is_empty() {
            // One of them may have ended meanwhile.
            self.stage.lab.run_on(host, &format!("kill -9{numbers}")).unwrap();
        }
    }

    /// The command that watched says what to do, and that is done.
    fn kill_controller(&mut self) -> bool {
        if self.stage.signal_controllers(Signal::KILL) == 0 {
            return false;
        }
        if let Some(watching) = self.watching.take() {
            let said = watching.end();
            // It may have come to its end in the same moment.
            let expected = [Some(70), Some(0), Some(130)];
            assert!(expected.contains(&said.code), "{:?}: {}", said.code, said.err);
        }
        let resumed = self.stage.plush(&["resume", "last", "-q", "--json"]);
        self.watching = Some(Running::start(resumed));
        true
    }

    fn cut(&mut self, number: usize, host: String, direction: Direction) {
        self.stage.lab.partition("controller", &host, direction).unwrap();
        self.cuts.push((number, host, direction));
    }

    /// The lab heals all cuts at once, so those that are to last are made anew.
    fn join(&mut self, number: usize) {
        self.cuts.retain(|(other, ..)| *other != number);
        self.stage.lab.heal().unwrap();
        for (_, host, direction) in &self.cuts {
            self.stage.lab.partition("controller", host, *direction).unwrap();
        }
    }

    fn fill(&self, host: &str) {
        self.on(host, "cat /dev/zero > /home/plush/.full 2>/dev/null || true");
    }

    fn on(&self, host: &str, line: &str) {
        let done = self.stage.lab.run_on(host, line).unwrap();
        assert!(done.status.success(), "{host}: {line}: {done:?}");
    }
}

fn name(strike: &Strike) -> String {
    format!("h{:03}", strike.host)
}

fn is_agent(process: &ProcessEntry) -> bool {
    process.command.contains(" serve --run ")
}

fn is_keeper(process: &ProcessEntry) -> bool {
    process.command.split(' ').nth(1) == Some("keep")
}

fn is_worker(process: &ProcessEntry) -> bool {
    process.name == "work" && !process.command.contains(" linger ")
}

const SLOW: LinkChange = LinkChange {
    delay_us: Some(250_000),
    jitter_us: Some(50_000),
    rate_bps: Some(400_000),
    loss: None,
    duplicate: None,
    reorder: None,
    corrupt: None,
};

const LOSSY: LinkChange = LinkChange {
    delay_us: Some(10_000),
    jitter_us: None,
    rate_bps: None,
    loss: Some(0.08),
    duplicate: Some(0.03),
    reorder: Some(0.03),
    corrupt: Some(0.01),
};
