//! Our own side: when many hosts are silent it may be we who do not hear, and then no host is called dead.
//! Not when a host is suspect: see [`crate::liveness`].

use super::Run;
use super::host::{HostRun, Verdicts};
use crate::Millis;
use crate::liveness::is_own_network;
use plush_protocol::Notice;
use serde::{Deserialize, Serialize};

/// What is known of our own side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Network {
    state: State,
    /// By what the controller's own lateness multiplies what is tolerated.
    factor: u64,
    /// What people were told last.
    pub notice: Option<Notice>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// Hosts are heard.
    Heard,
    /// Too many fell silent together for it to be them.
    Frozen,
}

impl Default for Network {
    fn default() -> Self {
        Network { state: State::Heard, factor: 1, notice: None }
    }
}

impl Network {
    pub fn late(&mut self, factor: u64) {
        self.factor = factor;
    }
}

impl Run {
    /// Whether hosts may be called dead now. A run that stops does not wait for a network; and who has been silent for
    /// as long as its lease has ended its tasks by itself.
    pub(super) fn verdicts(&self) -> Verdicts {
        match !self.may_judge() && self.stopping.is_none() {
            true => Verdicts::Frozen { beyond_ms: self.plan.longest_lease_ms() },
            false => Verdicts::Given,
        }
    }

    /// Whether what is not heard or seen from here says anything about hosts.
    pub(super) fn may_judge(&self) -> bool {
        self.network.state == State::Heard && self.network.factor == 1
    }

    /// Freezes verdicts or thaws them, and says so in one line.
    pub(super) fn judge_network(&mut self) {
        let mut silent: Vec<Millis> =
            self.hosts.iter().filter_map(HostRun::unheard_since).collect();
        if silent.is_empty() && self.network.state == State::Heard {
            return;
        }
        let (count, watched) = (silent.len(), self.hosts.iter().filter(|h| h.is_watched()).count());
        let state = match is_own_network(&mut silent, watched) {
            true => State::Frozen,
            false => State::Heard,
        };
        if std::mem::replace(&mut self.network.state, state) == state {
            return;
        }
        self.notice(match state {
            State::Frozen => format!(
                "{count} of {watched} hosts fell silent together: that looks like our own network; none is given up until hosts are heard again"
            ),
            State::Heard => "hosts are heard again: silence counts as before".to_owned(),
        });
    }

    /// While we slept nobody listened.
    pub(super) fn slept(&mut self, ms: Millis) {
        let now = self.now;
        self.hosts.iter_mut().for_each(|h| h.controller_slept(now));
        self.notice(format!("this machine slept for {} s: hosts are asked anew", ms / 1000));
    }

    fn notice(&mut self, text: String) {
        self.network.notice = Some(Notice { at_ms: self.now, text });
    }
}
