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
/// Median seconds that a host is inside without using the uplink.
const OWN_S: f64 = 1.0;
/// The share of them before its fetch, in which it connects; in the others it checks and unpacks. On the lab the first byte
/// comes after two or three times the way to the server and back.
const CONNECTS: f64 = 0.15;
/// Words on progress are looked for so often: a step for each word of each host would take the square of their number.
const TICK_S: f64 = 1.0 / 16.0;
/// As the agent does: the first word after this time, the next when as long has passed again, up to a second.
const FIRST_WORD_S: f64 = 0.25;
const LAST_WORD_S: f64 = 1.0;

/// Whether hosts tell of their progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// As agents do.
    Spoken,
    /// As programs at barriers do.
    None,
}

/// When each host was through, in seconds after the opening, in order.
pub fn serve(network: &Network, hosts: u32, release: Release, words: Words, seed: u64) -> Vec<f64> {
    let mut chance = Chance::new(seed);
    let mut fetchers: Vec<_> = (0..hosts).map(|_| Fetcher::draw(network, &mut chance)).collect();
    for fetcher in &mut fetchers {
        fetcher.way_s = 0.005 + 0.055 * draw::uniform(&mut chance);
    }
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
        words,
        on_the_way: Vec::new(),
        looks_at: TICK_S,
        chance,
    };
    world.admit();
    while world.through.len() < hosts as usize {
        world.step();
    }
    world.through
}

struct Fetcher {
    link_mbit: f64,
    /// Half a round trip to the controller.
    way_s: f64,
    own_s: f64,
    let_in: f64,
    left_mbit: f64,
    speaks_at: f64,
    stage: Stage,
}

/// What a host inside does, and until when where that is known.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Connects { until: f64 },
    Fetches,
    Unpacks { until: f64 },
}

impl Fetcher {
    fn draw(network: &Network, chance: &mut Chance) -> Self {
        let factor = match network.links {
            Links::LogNormal(sigma) => draw::log_normal(chance, 1.0, sigma),
            Links::ParetoSlow(index) => 2f64.powf(1.0 / index) / draw::pareto(chance, 1.0, index),
        };
        Fetcher {
            link_mbit: network.link_mbit * factor,
            way_s: 0.0,
            own_s: draw::log_normal(chance, OWN_S, 0.5),
            let_in: 0.0,
            left_mbit: FILE_MBIT,
            speaks_at: 0.0,
            stage: Stage::Fetches,
        }
    }

    fn fetched_bytes(&self) -> u64 {
        ((FILE_MBIT - self.left_mbit) * 125_000.0) as u64
    }
}

/// What a host has told of its progress and has not arrived.
struct Word {
    arrives: f64,
    who: usize,
    fetched_bytes: u64,
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
    words: Words,
    on_the_way: Vec<Word>,
    /// When words are looked for next.
    looks_at: f64,
    chance: Chance,
}

impl World<'_> {
    /// To the next moment at which a rate changes.
    fn step(&mut self) {
        let rates = self.rates();
        let wake = self.barrier.wake_at().map_or(f64::INFINITY, |at| at as f64 / 1000.0);
        let change = if self.now < self.changes_at { self.changes_at } else { f64::INFINITY };
        let look = if self.words == Words::Spoken { self.looks_at } else { f64::INFINITY };
        let next = self.busy.iter().zip(&rates).map(|(who, rate)| {
            let fetcher = &self.fetchers[*who];
            match fetcher.stage {
                Stage::Connects { until } | Stage::Unpacks { until } => until,
                Stage::Fetches => self.now + fetcher.left_mbit / rate,
            }
        });
        let due = wake.max(self.now + 0.001).min(change).min(look);
        let next = next.fold(due, f64::min).max(self.now);
        assert!(next.is_finite(), "somebody is inside, or time lets somebody in");
        for (who, rate) in self.busy.iter().zip(&rates) {
            self.fetchers[*who].left_mbit -= rate * (next - self.now);
        }
        self.now = next;
        self.go_on();
        if self.words == Words::Spoken && self.now >= self.looks_at {
            self.speak();
            self.looks_at += TICK_S;
        }
        self.admit();
    }

    /// What those inside do next.
    fn go_on(&mut self) {
        let now = self.now;
        let mut through = Vec::new();
        for who in &self.busy {
            let fetcher = &mut self.fetchers[*who];
            match fetcher.stage {
                Stage::Connects { until } if until <= now => fetcher.stage = Stage::Fetches,
                Stage::Fetches if fetcher.left_mbit <= 1e-9 => {
                    fetcher.left_mbit = 0.0;
                    let until = now + fetcher.own_s * (1.0 - CONNECTS);
                    fetcher.stage = Stage::Unpacks { until };
                    let arrives = now + fetcher.way_s;
                    self.on_the_way.push(Word {
                        arrives,
                        who: *who,
                        fetched_bytes: fetcher.fetched_bytes(),
                    });
                }
                Stage::Unpacks { until } if until <= now => through.push(*who),
                Stage::Connects { .. } | Stage::Fetches | Stage::Unpacks { .. } => {}
            }
        }
        self.busy.retain(|who| !through.contains(who));
        for who in through {
            self.through.push(self.now);
            self.barrier.leave(entrant(who), self.millis());
        }
    }

    /// Words that arrive now, and those that are sent: each host at its own times, each word on its own way.
    fn speak(&mut self) {
        let (now, millis) = (self.now, self.millis());
        for word in self.on_the_way.extract_if(.., |word| word.arrives <= now) {
            self.barrier.progressed(entrant(word.who), word.fetched_bytes, millis);
        }
        for who in &self.busy {
            let fetcher = &mut self.fetchers[*who];
            if fetcher.stage != Stage::Fetches || fetcher.speaks_at > now {
                continue;
            }
            fetcher.speaks_at = now + (now - fetcher.let_in).clamp(FIRST_WORD_S, LAST_WORD_S);
            // Most come within a few hundredths of a second, one in fifty is held up on its way.
            let slack = if self.chance.percent(2) { 0.4 } else { 0.03 };
            let arrives = now + fetcher.way_s + slack * draw::uniform(&mut self.chance);
            let fetched_bytes = fetcher.fetched_bytes();
            self.on_the_way.push(Word { arrives, who: *who, fetched_bytes });
        }
    }

    fn admit(&mut self) {
        for verdict in self.barrier.decide(self.millis()) {
            let (Verdict::Release(who) | Verdict::TooLate(who)) = verdict;
            let who = who.0 as usize;
            let fetcher = &mut self.fetchers[who];
            fetcher.stage = Stage::Connects { until: self.now + fetcher.own_s * CONNECTS };
            (fetcher.let_in, fetcher.speaks_at) = (self.now, self.now + FIRST_WORD_S);
            let link = fetcher.link_mbit;
            let place = self.busy.partition_point(|other| self.fetchers[*other].link_mbit < link);
            self.busy.insert(place, who);
        }
    }

    /// Rates of those inside: max-min fair, none above its link.
    fn rates(&self) -> Vec<f64> {
        let fetches = |who: &usize| self.fetchers[*who].stage == Stage::Fetches;
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
