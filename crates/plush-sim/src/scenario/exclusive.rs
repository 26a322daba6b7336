//! Clusters of class exclusive: programs that run for long, of each place one at the most, and hosts that can step in.
//! Not what must hold of them: that is `checkers::exclusive`.

use crate::random::Chance;
use plush_spec::model::{Action, BarrierPolicy, Cluster, Command, Service, ServiceClass, Wanted};

/// Makes a cluster of `hosts` hosts an exclusive one: some of them are spares, some only on offer.
pub fn change(chance: &mut Chance, cluster: &mut Cluster, hosts: u32) {
    let most = (hosts / 3).max(1).min(hosts.saturating_sub(1));
    let spare = chance.between(0, most.into()) as u32;
    let reserve = chance.between(0, most.saturating_sub(spare).into()) as u32;
    cluster.num_hosts.spare = spare;
    cluster.num_hosts.wanted = Wanted::Count(hosts - spare - reserve);
    cluster.num_hosts.min = Some(1);
    cluster.ready = BarrierPolicy::default();
    cluster.service = Some(Service { class: ServiceClass::Exclusive, ..Service::default() });
    let runs_ms = *chance.pick(&[5_000, 60_000, 90_000, 90_000]);
    for step in &mut cluster.execution {
        if let Action::Process(process) = &mut step.action {
            process.time_limit_ms = None;
            if let Command::Program { args, .. } = &mut process.command {
                args[0] = runs_ms.to_string();
            }
        }
    }
}
