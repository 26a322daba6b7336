//! How many hosts of a cluster are enough according to the description.
//! Not the reaction to fewer hosts: the run continues, and its exit code reports them.

use super::{PlannedCluster, RunPlan};
use crate::barrier::share;
use plush_spec::model::Entry;

impl RunPlan {
    /// The smallest number of hosts that the description accepts for a cluster, by `min` or by the
    /// share of a barrier that they enter; all wanted hosts where it names none.
    pub fn enough_of(&self, cluster: &PlannedCluster) -> u32 {
        let named = (0..self.project.barriers.len()).filter(|n| self.comes_to(cluster, *n));
        let named = named.filter_map(|number| {
            let barrier = &self.project.barriers[number];
            let others = self.clusters.iter().filter(|c| self.comes_to(c, number));
            let hosts = others.map(|c| c.wanted).sum::<u32>();
            let expected = hosts.saturating_mul(barrier.per_host.unwrap_or(1));
            least_share(&barrier.policy.entry, expected, cluster.wanted)
        });
        let phases = [&cluster.spec.prepare, &cluster.spec.ready];
        let wanted = cluster.wanted;
        let phases = phases.into_iter().filter_map(|p| least_share(&p.entry, wanted, wanted));
        let named = named.chain(phases).chain(cluster.spec.num_hosts.min);
        named.min().map_or(wanted, |enough| enough.min(wanted))
    }
}

/// The smallest number of wanted hosts at which a barrier with this many expected hosts may open by
/// its own policy. A count is a share of all expected hosts; a timeout alone names no share.
fn least_share(entry: &Entry, expected: u32, wanted: u32) -> Option<u32> {
    let part = |n: u32| u64::from(n) * u64::from(wanted);
    let count = entry.count.map(|n| part(n).div_ceil(u64::from(expected.max(1))));
    let count = count.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let percent = entry.percent.as_ref().map(|p| share(p.percent, wanted));
    let knee = entry.knee.as_ref().map(|k| share(k.min_percent, wanted));
    [count, percent, knee].into_iter().flatten().min()
}
