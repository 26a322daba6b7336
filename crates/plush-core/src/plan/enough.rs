//! How many hosts of a cluster are enough by the description's own words.
//! Not what follows when there are fewer: the run goes on, and its exit code says so.

use super::{PlannedCluster, RunPlan};
use crate::barrier::share;
use plush_spec::model::Entry;

impl RunPlan {
    /// The fewest hosts of a cluster that the description names as enough: by `min`, or by the share of a barrier that they
    /// come to; all that are wanted where it names none.
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

/// The fewest of so many wanted hosts with which a barrier at which so many are expected may open by its own words. A
/// number is a share of all that are expected; a time alone names none.
fn least_share(entry: &Entry, expected: u32, wanted: u32) -> Option<u32> {
    let part = |n: u32| u64::from(n) * u64::from(wanted);
    let count = entry.count.map(|n| part(n).div_ceil(u64::from(expected.max(1))));
    let count = count.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let percent = entry.percent.as_ref().map(|p| share(p.percent, wanted));
    let knee = entry.knee.as_ref().map(|k| share(k.min_percent, wanted));
    [count, percent, knee].into_iter().flatten().min()
}
