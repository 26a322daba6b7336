//! One direction of a link at work: when a packet that enters it comes out, or that it never does.
//!
//! Not the one who waits until then: a channel takes the time and tells a time.

use crate::shape::{Dice, LinkShape};

/// Bytes that may wait for a slow link, as time: more is lost at its entrance, as in a router's queue.
const QUEUE_NS: u64 = 250_000_000;

/// Packets that may wait however slow the link is.
const QUEUE_FLOOR_BYTES: u64 = 16 * 1500;

/// A direction of a link with its queue.
#[derive(Debug)]
pub struct Channel {
    shape: LinkShape,
    /// When the last bit of what waits is sent.
    free_at_ns: u64,
    /// When the newest packet comes out: the next one comes no sooner.
    newest_out_ns: u64,
    dice: Dice,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Fate {
    Lost,
    Passes(Passage),
}

/// How a packet comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    pub out_ns: u64,
    pub copies: u8,
    /// A bit to flip, counted from the packet's first.
    pub flipped_bit: Option<u64>,
}

impl Channel {
    pub fn new(shape: LinkShape, seed: u64) -> Channel {
        Channel { shape, free_at_ns: 0, newest_out_ns: 0, dice: Dice::new(seed) }
    }

    /// Changes the link; what is under way keeps its time.
    pub fn reshape(&mut self, shape: LinkShape) {
        self.shape = shape;
        self.free_at_ns = 0;
    }

    pub fn is_plain(&self) -> bool {
        self.shape.is_plain()
    }

    /// The fate of a packet of this many bytes that enters now.
    pub fn admit(&mut self, now_ns: u64, bytes: u64) -> Fate {
        if self.dice.chance(self.shape.loss) {
            return Fate::Lost;
        }
        let Some(sent_ns) = self.sent_at(now_ns, bytes) else { return Fate::Lost };
        let out_ns = sent_ns + self.delay_ns();
        let overtakes = self.dice.chance(self.shape.reorder);
        let out_ns = if overtakes { sent_ns } else { out_ns.max(self.newest_out_ns) };
        self.newest_out_ns = self.newest_out_ns.max(out_ns);
        let flipped = self.dice.chance(self.shape.corrupt);
        Fate::Passes(Passage {
            out_ns,
            copies: if self.dice.chance(self.shape.duplicate) { 2 } else { 1 },
            flipped_bit: flipped.then(|| self.dice.below(bytes * 8)),
        })
    }

    /// When the packet's last bit has left at the link's rate; none when the queue is full.
    fn sent_at(&mut self, now_ns: u64, bytes: u64) -> Option<u64> {
        if self.shape.rate_bps == 0 {
            return Some(now_ns);
        }
        let cost = |bytes: u64| bytes * 8 * 1_000_000_000 / self.shape.rate_bps;
        let start_ns = self.free_at_ns.max(now_ns);
        if start_ns - now_ns > QUEUE_NS.max(cost(QUEUE_FLOOR_BYTES)) {
            return None;
        }
        self.free_at_ns = start_ns + cost(bytes);
        Some(self.free_at_ns)
    }

    fn delay_ns(&mut self) -> u64 {
        let spread = 2 * self.shape.jitter_us * 1000;
        let varied = self.shape.delay_us * 1000 + self.dice.below(spread + 1);
        varied.saturating_sub(spread / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn channel(shape: LinkShape) -> Channel {
        Channel::new(shape, 7)
    }

    fn out(fate: Fate) -> u64 {
        match fate {
            Fate::Passes(passage) => passage.out_ns,
            Fate::Lost => panic!("the packet was lost"),
        }
    }

    #[test]
    fn delay_is_added_to_the_time_of_entrance() {
        let mut channel = channel(LinkShape { delay_us: 80_000, ..LinkShape::default() });
        assert_eq!(out(channel.admit(5 * MS, 1500)), 85 * MS);
    }

    #[test]
    fn a_slow_link_spaces_packets_by_its_rate() {
        let mut channel = channel(LinkShape { rate_bps: 12_000_000, ..LinkShape::default() });
        let outs: Vec<u64> = (0..4).map(|_| out(channel.admit(0, 1500))).collect();
        assert_eq!(outs, [MS, 2 * MS, 3 * MS, 4 * MS]);
    }

    #[test]
    fn a_full_queue_loses_at_the_entrance() {
        let mut channel = channel(LinkShape { rate_bps: 12_000_000, ..LinkShape::default() });
        let passed = (0..1000).filter(|_| channel.admit(0, 1500) != Fate::Lost).count();
        assert!((250..=252).contains(&passed), "{passed} of 250 ms' worth");
    }

    #[test]
    fn jitter_varies_the_delay_and_keeps_the_order() {
        let mut channel =
            channel(LinkShape { delay_us: 50_000, jitter_us: 10_000, ..LinkShape::default() });
        let outs: Vec<u64> = (0..200).map(|number| out(channel.admit(number * MS, 100))).collect();
        assert!(outs.is_sorted());
        let delays: Vec<u64> =
            outs.iter().zip(0..).map(|(out, number)| out - number * MS).collect();
        assert!(delays.iter().all(|delay| (40 * MS..=60 * MS).contains(delay)));
        assert!(delays.iter().max() > delays.iter().min());
    }

    #[test]
    fn loss_duplication_and_corruption_happen_as_often_as_asked() {
        let mut channel =
            channel(LinkShape { loss: 0.1, duplicate: 0.1, corrupt: 0.1, ..LinkShape::default() });
        let (mut lost, mut twice, mut flipped) = (0, 0, 0);
        for _ in 0..10_000 {
            match channel.admit(0, 100) {
                Fate::Lost => lost += 1,
                Fate::Passes(passage) => {
                    twice += u32::from(passage.copies == 2);
                    flipped += u32::from(passage.flipped_bit.is_some());
                }
            }
        }
        for seen in [lost, twice, flipped] {
            assert!((800..1200).contains(&seen), "{seen} of 10000");
        }
    }

    #[test]
    fn an_overtaking_packet_comes_out_first() {
        let mut channel =
            channel(LinkShape { delay_us: 50_000, reorder: 0.5, ..LinkShape::default() });
        let outs: Vec<u64> = (0..100).map(|number| out(channel.admit(number * MS, 100))).collect();
        assert!(!outs.is_sorted());
    }
}
