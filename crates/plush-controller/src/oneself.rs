//! How the controller itself is: whether its loop is late, and whether its machine slept.
//! Not what follows from it: limits are multiplied by the rule, and a sleep is an event of the run.

use crate::order::Word;
use crate::run_clock::{RunClock, since_boot};
use plush_core::liveness::Health;
use plush_core::run::Event;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// How often it looks at itself.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// More than this between two looks was no work but sleep.
const ASLEEP: Duration = Duration::from_secs(10);
/// The decision clock is suspended while the machine sleeps; a gap of at least this length is
/// recorded.
const STOOD: Duration = Duration::from_millis(50);

/// Watches until the driver is gone. `factors` hears by what limits are multiplied.
pub async fn watch(factors: watch::Sender<u64>, words: mpsc::Sender<Word>, clock: Arc<RunClock>) {
    let mut health = Health::default();
    loop {
        let (due, boot) = (Instant::now() + LOOK_EVERY, since_boot());
        tokio::time::sleep_until(due).await;
        // The monotonic clock stands still while the machine sleeps; both go on while the process is stopped.
        let passed = since_boot().saturating_sub(boot).max(due.elapsed() + LOOK_EVERY);
        let late = passed.saturating_sub(LOOK_EVERY);
        let stood = passed.saturating_sub(due.elapsed() + LOOK_EVERY);
        if stood >= STOOD {
            let reading = clock.reading();
            if words.send(Word::Event(Event::ClockRead { reading })).await.is_err() {
                return;
            }
        }
        if late >= ASLEEP {
            let ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
            if words.send(Word::Event(Event::Slept { ms })).await.is_err() {
                return;
            }
            continue;
        }
        let before = health.factor();
        health.looked(u64::try_from(late.as_millis()).unwrap_or(u64::MAX));
        let factor = health.factor();
        if factor == before {
            continue;
        }
        factors.send_replace(factor);
        // The run asks only whether it is well; what lies between would fill the journal.
        let changed = (before == 1) != (factor == 1);
        if changed && words.send(Word::Event(Event::Late { factor })).await.is_err() {
            return;
        }
    }
}
