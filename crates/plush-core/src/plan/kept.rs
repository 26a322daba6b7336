//! How a cluster is kept up: its class, its lease, when a lost host is replaced, what follows a failure.
//! Not the carrying out: that is the run's, and for leases the agents'.

use super::PlanProblem;
use crate::renewal::TRUSTED_MS;
use plush_spec::model::{
    Application, Cluster, FailurePolicy, Place, Reaction, Service, ServiceClass,
};
use serde::{Deserialize, Serialize};

/// What holds for a cluster, its own words before the application's before the class's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// As described, or batch.
    pub service: Service,
    /// Tasks are ended after so long without a word from a controller; `None` is never.
    pub stop_after_ms: Option<u64>,
    /// What follows a failure; the cluster's words, else the application's.
    pub on_failure: FailurePolicy,
    /// When a lost host's place is given to another.
    pub replace: Replace,
    /// The same, if a program says that it is to be.
    pub if_replaced: Replace,
}

/// When a lost host's place is given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replace {
    /// Not at all.
    Never,
    /// When it is called dead, and no sooner than after so long without contact.
    After(u64),
    /// When its lease is surely out: nothing runs there any more, whatever its clock says.
    AfterLease,
}

impl Replace {
    /// How long after the last word, where that is a number.
    pub fn after_ms(self) -> u64 {
        match self {
            Replace::After(ms) => ms,
            Replace::Never | Replace::AfterLease => 0,
        }
    }
}

/// How far a host's clock may be off: one part in so many.
const CLOCK_ERROR: u64 = 100;
/// What the end of a task takes beyond its grace, and for how long a link may renew after the run has last been asked.
const MARGIN_MS: u64 = 3_000 + TRUSTED_MS;

impl Kept {
    /// What holds for a cluster of an application; `asked` is the lease of the command line.
    pub fn of(cluster: &Cluster, application: &Application, asked: Option<Option<u64>>) -> Kept {
        let service = cluster.service.as_ref().or(application.service.as_ref());
        let service = service.cloned().unwrap_or_default();
        let (own, general) = (&cluster.on_failure, &application.on_failure);
        let or = |own: &Option<Reaction>, general: &Option<Reaction>| {
            own.as_ref().or(general.as_ref()).cloned()
        };
        let on_failure = FailurePolicy {
            process: or(&own.process, &general.process),
            host: or(&own.host, &general.host),
            cluster: or(&own.cluster, &general.cluster),
            application: or(&own.application, &general.application),
        };
        let of_class = service.stop_after_ms.or(service.class.stop_after_ms());
        Kept {
            stop_after_ms: asked.unwrap_or(of_class),
            replace: replace(&service, on_failure.host.as_ref(), cluster.num_hosts.spare),
            if_replaced: if_replaced(&service),
            on_failure,
            service,
        }
    }

    /// So long after its lease may have been renewed last nothing of ours runs on a host, if its longest grace is this one
    /// and its clock is no further off than one part in a hundred; `None` where there is no lease.
    pub fn surely_out_ms(&self, longest_grace_ms: u64) -> Option<u64> {
        // The grace is counted by the same clock.
        let life = self.stop_after_ms?.saturating_add(longest_grace_ms);
        Some(life.saturating_add(life.div_ceil(CLOCK_ERROR)).saturating_add(MARGIN_MS))
    }

    /// What is wrong with it.
    pub fn problems(&self, cluster: &Cluster) -> Vec<PlanProblem> {
        let mut found = Vec::new();
        let place = self.service.place;
        if self.service.class == ServiceClass::Exclusive {
            if self.stop_after_ms.is_none() {
                let what = "of class exclusive has no lease: two copies could run";
                found.push(problem(cluster, what, place, "say how long with `stop_after`"));
            }
            let lease = self.stop_after_ms.unwrap_or(0);
            if self.service.replace_after_ms.is_some_and(|ms| ms < lease) {
                let what = "of class exclusive is replaced before its lease is out";
                let hint = "leave `replace_after` out: it follows from `stop_after`";
                found.push(problem(cluster, what, place, hint));
            }
        }
        found
    }
}

fn problem(cluster: &Cluster, what: &str, place: Place, hint: &str) -> PlanProblem {
    PlanProblem {
        what: format!("cluster `{}` {what}", cluster.name),
        place,
        hint: Some(hint.to_owned()),
        too_few_hosts: false,
    }
}

fn replace(service: &Service, on_host: Option<&Reaction>, spare: u32) -> Replace {
    let wanted = match (on_host, service.class) {
        (Some(Reaction::Replace), _) => true,
        (Some(Reaction::Continue | Reaction::Restart | Reaction::Drop | Reaction::Fail), _) => {
            false
        }
        // A program that gives no answer leaves the default.
        (Some(Reaction::Call(_)) | None, ServiceClass::Attached) => false,
        (Some(Reaction::Call(_)) | None, ServiceClass::Batch) => spare > 0,
        (Some(Reaction::Call(_)) | None, ServiceClass::Service | ServiceClass::Exclusive) => true,
    };
    match wanted {
        false => Replace::Never,
        true => if_replaced(service),
    }
}

fn if_replaced(service: &Service) -> Replace {
    let of_class = match service.class {
        ServiceClass::Service => 60_000,
        ServiceClass::Batch | ServiceClass::Attached | ServiceClass::Exclusive => 0,
    };
    match service.class {
        ServiceClass::Exclusive => Replace::AfterLease,
        ServiceClass::Batch | ServiceClass::Attached | ServiceClass::Service => {
            Replace::After(service.replace_after_ms.unwrap_or(of_class))
        }
    }
}
