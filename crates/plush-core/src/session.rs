//! One session between a controller and an agent: numbers, acknowledgements, and what to send again.
//! Not the wire, and not what the messages mean.
//!
//! A session lives as long as one agent process. Each direction numbers its messages from 1. A sender keeps a
//! message until the receiver has acknowledged it; after a reconnection it sends again what is left. The receiver
//! takes number `received + 1` and nothing else, so each message takes effect exactly once (invariant N4).

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Messages on their way to the other end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox<T> {
    acknowledged: u64,
    waiting: VecDeque<T>,
    /// How many of `waiting`, from the front, have been handed to the connection that is up now.
    handed: usize,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Outbox { acknowledged: 0, waiting: VecDeque::new(), handed: 0 }
    }
}

impl<T: Clone> Outbox<T> {
    /// Adds a message; it gets the next number.
    pub fn push(&mut self, message: T) {
        self.waiting.push_back(message);
    }

    /// The other end has everything up to `number`. Numbers that were never sent are ignored: a hostile peer's word.
    pub fn acknowledge(&mut self, number: u64) {
        if number <= self.acknowledged || number > self.newest() {
            return;
        }
        let count = usize::try_from(number - self.acknowledged).expect("not more than are waiting");
        self.waiting.drain(..count);
        self.handed = self.handed.saturating_sub(count);
        self.acknowledged = number;
    }

    /// A connection came up and the other end says that it has everything up to `received`: the rest goes again.
    pub fn reconnected(&mut self, received: u64) {
        self.acknowledge(received);
        self.handed = 0;
    }

    /// The connection is gone: nothing counts as handed over.
    pub fn disconnected(&mut self) {
        self.handed = 0;
    }

    /// Messages that have not been handed to the present connection, with their numbers; marks them as handed.
    pub fn hand_over(&mut self) -> Vec<(u64, T)> {
        let first = self.acknowledged + 1 + self.handed as u64;
        let fresh = (first..).zip(self.waiting.iter().skip(self.handed).cloned()).collect();
        self.handed = self.waiting.len();
        fresh
    }

    /// Messages that the other end has not acknowledged, oldest first.
    pub fn unacknowledged(&self) -> impl Iterator<Item = &T> {
        self.waiting.iter()
    }

    /// Changes messages that the other end has not acknowledged; they keep their numbers.
    pub fn change(&mut self, change: impl Fn(&T) -> Option<T>) {
        for message in &mut self.waiting {
            if let Some(other) = change(message) {
                *message = other;
            }
        }
    }

    /// The number of the newest message.
    pub fn newest(&self) -> u64 {
        self.acknowledged + self.waiting.len() as u64
    }

    /// The number up to which the other end has everything.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Everything that was pushed has been acknowledged.
    pub fn is_settled(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// What has come from the other end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbox {
    received: u64,
    acknowledged: u64,
}

impl Inbox {
    /// Whether the message of this number is the next one; if so it is taken, and never again.
    #[must_use]
    pub fn takes(&mut self, number: u64) -> bool {
        let next = number == self.received + 1;
        if next {
            self.received = number;
        }
        next
    }

    /// The last number that was taken.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// An acknowledgement that is due; says so once.
    pub fn acknowledgement(&mut self) -> Option<u64> {
        let due = self.received > self.acknowledged;
        self.acknowledged = self.received;
        due.then_some(self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_not_acknowledged_goes_again_after_a_reconnection() {
        let mut outbox = Outbox::default();
        ["a", "b", "c"].into_iter().for_each(|m| outbox.push(m));
        assert_eq!(outbox.hand_over(), [(1, "a"), (2, "b"), (3, "c")]);
        assert_eq!(outbox.hand_over(), []);
        outbox.reconnected(1);
        assert_eq!(outbox.hand_over(), [(2, "b"), (3, "c")]);
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_sent_changes_nothing() {
        let mut outbox = Outbox::default();
        outbox.push("a");
        outbox.acknowledge(9);
        assert_eq!(outbox.hand_over(), [(1, "a")]);
    }

    proptest! {
        /// N4: over any pattern of losses, cuts and repeated reconnections each message arrives exactly once, in order.
        #[test]
        fn n4_each_message_is_taken_exactly_once(script in proptest::collection::vec(0u8..6, 1..300)) {
            let (mut outbox, mut inbox, mut wire, mut got, mut pushed) =
                (Outbox::default(), Inbox::default(), VecDeque::new(), Vec::new(), 0u32);
            for step in script {
                match step {
                    0 | 1 => { outbox.push(pushed); pushed += 1; }
                    2 => wire.extend(outbox.hand_over()),
                    3 => if let Some((n, m)) = wire.pop_front() && inbox.takes(n) { got.push(m); },
                    4 => if let Some(n) = inbox.acknowledgement() { outbox.acknowledge(n); },
                    _ => { wire.clear(); outbox.reconnected(inbox.received()); }
                }
                prop_assert_eq!(&got, &(0..got.len() as u32).collect::<Vec<_>>());
            }
            outbox.reconnected(inbox.received());
            for (n, m) in outbox.hand_over() {
                if inbox.takes(n) { got.push(m); }
            }
            prop_assert_eq!(got, (0..pushed).collect::<Vec<_>>());
        }
    }
}
