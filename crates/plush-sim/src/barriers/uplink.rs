//! Hosts that fetch the same file from one server, let in by a barrier: a fluid model of the server's uplink.
//! Not packets: each transfer goes at the rate of its own link or at its fair share of the uplink, whichever is less.

use super::draw;
use crate::random::Chance;
use plush_core::Millis;
use plush_core::barrier::{Barrier, Entrant, Verdict};
use plush_spec::model::{BarrierPolicy, Release};

/// A server, and the links of those who fetch from it.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// For the table.
    pub name: &'static str,
    /// The server at first.
    pub server: Server,
    /// The server from the moment on at which its whole uplink would have sent half of all that is fetched.
    pub later: Server,
    /// Median of the hosts' links in Mbit/s.
    pub link_mbit: f64,
    /// How unequal the links are.
    pub links: Links,
}

/// What all share.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// Its uplink in Mbit/s.
    pub uplink_mbit: f64,
    /// With so many transfers at once it is half-way to its worst: timeouts, seeks, memory. The loss goes with the square.
    pub crowd: f64,
    /// The share of its uplink that it still gets out under any crowd.
    pub worst: f64,
}

/// How the links differ.
#[derive(Clone, Copy, Debug)]
pub enum Links {
    /// Log-normal, with this deviation of the logarithm.
    LogNormal(f64),
    /// The time that a link takes for a bit is Pareto with this index: a few links are very slow.
    ParetoSlow(f64),
}

/// The file in Mbit: 10 MB.
const FILE_MBIT: f64 = 80.0;
/// Median seconds that a host is inside without using the uplink: it connects before, and unpacks after.
const OWN_S: f64 = 1.0;

/// When each host was through, in seconds after the opening, in order.
pub fn serve(network: &Network, hosts: u32, release: Release, seed: u64) -> Vec<f64> {
    let mut chance = Chance::new(seed);
    let fetchers = (0..hosts).map(|_| Fetcher::draw(network, &mut chance)).collect();
    let mut barrier = Barrier::new(BarrierPolicy { release, ..BarrierPolicy::default() });
    (0..hosts).for_each(|n| barrier.enter(Entrant(n), 0));
    let changes_at = f64::from(hosts) * FILE_MBIT / network.server.uplink_mbit / 2.0;
    let mut world = World {
        network,
        barrier,
        fetchers,
        changes_at,
        now: 0.0,
        busy: Vec::new(),
        through: Vec::new(),
    };
    world.admit();
    while world.through.len() < hosts as usize {
        world.step();
    }
    world.through
}

struct Fetcher {
    link_mbit: f64,
    /// Until then it does not use the uplink.
    own_until: f64,
    own_s: f64,
    left_mbit: f64,
}

impl Fetcher {
    fn draw(network: &Network, chance: &mut Chance) -> Self {
        let factor = match network.links {
            Links::LogNormal(sigma) => draw::log_normal(chance, 1.0, sigma),
            Links::ParetoSlow(index) => 2f64.powf(1.0 / index) / draw::pareto(chance, 1.0, index),
        };
        let own_s = draw::log_normal(chance, OWN_S, 0.5);
        Fetcher {
            link_mbit: network.link_mbit * factor,
            own_until: 0.0,
            own_s,
            left_mbit: FILE_MBIT,
        }
    }
}

struct World<'a> {
    network: &'a Network,
    barrier: Barrier,
    fetchers: Vec<Fetcher>,
    /// When the server becomes the later one.
    changes_at: f64,
    now: f64,
    /// Who is inside, by the speed of the link.
    busy: Vec<usize>,
    through: Vec<f64>,
}

impl World<'_> {
    /// To the next moment at which a rate changes.
    fn step(&mut self) {
        let rates = self.rates();
        let wake = self.barrier.wake_at().map_or(f64::INFINITY, |at| at as f64 / 1000.0);
        let wake = if self.now < self.changes_at { wake.min(self.changes_at) } else { wake };
        let next = self.busy.iter().zip(&rates).map(|(who, rate)| {
            let fetcher = &self.fetchers[*who];
            match fetcher.own_until > self.now {
                true => fetcher.own_until,
                false => self.now + fetcher.left_mbit / rate,
            }
        });
        let next = next.fold(wake.max(self.now + 0.001), f64::min);
        assert!(next.is_finite(), "somebody is inside, or time lets somebody in");
        for (who, rate) in self.busy.iter().zip(&rates) {
            self.fetchers[*who].left_mbit -= rate * (next - self.now);
        }
        self.now = next;
        let (now, fetchers) = (self.now, &self.fetchers);
        let is_through =
            |who: &usize| fetchers[*who].left_mbit <= 1e-9 && fetchers[*who].own_until <= now;
        let gone: Vec<usize> = self.busy.iter().copied().filter(is_through).collect();
        self.busy.retain(|who| !gone.contains(who));
        for who in gone {
            self.through.push(self.now);
            self.barrier.leave(entrant(who), self.millis());
        }
        self.admit();
    }

    fn admit(&mut self) {
        for verdict in self.barrier.decide(self.millis()) {
            let (Verdict::Release(who) | Verdict::TooLate(who)) = verdict;
            let who = who.0 as usize;
            self.fetchers[who].own_until = self.now + self.fetchers[who].own_s;
            let link = self.fetchers[who].link_mbit;
            let place = self.busy.partition_point(|other| self.fetchers[*other].link_mbit < link);
            self.busy.insert(place, who);
        }
    }

    /// Rates of those inside: max-min fair, none above its link.
    fn rates(&self) -> Vec<f64> {
        let fetches = |who: &usize| self.fetchers[*who].own_until <= self.now;
        let mut sharing = self.busy.iter().filter(|who| fetches(who)).count();
        let is_later = self.now >= self.changes_at;
        let server = if is_later { self.network.later } else { self.network.server };
        let calm = 1.0 / (1.0 + (sharing as f64 / server.crowd).powi(2));
        let mut left = server.uplink_mbit * (server.worst + (1.0 - server.worst) * calm);
        let rate = |who: &usize| {
            if !fetches(who) {
                return 0.0;
            }
            let rate = self.fetchers[*who].link_mbit.min(left / sharing as f64);
            left -= rate;
            sharing -= 1;
            rate
        };
        self.busy.iter().map(rate).collect()
    }

    fn millis(&self) -> Millis {
        (self.now * 1000.0).ceil() as Millis
    }
}

fn entrant(who: usize) -> Entrant {
    Entrant(u32::try_from(who).expect("hosts are counted in 32 bits"))
}
