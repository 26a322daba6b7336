//! A survey: many plays on a bounded number of threads.
//! Not a play: each is one thread's, and the same on any machine.

use crate::{Failure, Play, Sabotage, Scene, Story, simulate, tell_again};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// More threads than this are no faster on any machine that tests run on.
const THREADS_MAX: usize = 16;

/// Plays every seed twice, the second time unwatched, and demands the same story. The stories are in the order of the seeds.
///
/// # Errors
/// The failure of the smallest seed that failed before the others were stopped.
pub fn survey(
    seeds: Range<u64>,
    play: impl Fn(u64) -> Play + Sync,
) -> Result<Vec<Story>, Box<Failure>> {
    let stories = each(seeds, |seed| {
        let play = play(seed);
        let story = simulate(&play)?;
        match tell_again(&play)? == story {
            true => Ok(story),
            false => Err(two_stories(play)),
        }
    });
    stories.into_iter().map(|(_, story)| story).collect()
}

/// The first seed at which sabotage is noticed, and by which rule.
pub fn hunt(sabotage: Sabotage, seeds: Range<u64>) -> Option<Failure> {
    let found = each(seeds, |seed| {
        // Small worlds are quick, and what needs a crowd is in the larger ones.
        let hosts = [3, 6, 12, 24][(seed % 4) as usize];
        let scene = if seed / 4 % 4 == 3 { Scene::Exclusive } else { Scene::Drawn };
        simulate(&Play { sabotage, scene, ..Play::new(seed, hosts) })
    });
    found.into_iter().find_map(|(_, story)| story.err()).map(|failure| *failure)
}

fn two_stories(play: Play) -> Box<Failure> {
    let what = "two plays of one seed differ".to_owned();
    let breach = crate::Breach { invariant: "determinism", what, at: 0 };
    Box::new(Failure { play, breach })
}

/// Does it for every seed; what came of it, by seed.
pub(crate) fn spread<T: Send>(seeds: Range<u64>, tell: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let told = each(seeds, |seed| Ok::<T, ()>(tell(seed)));
    told.into_iter().filter_map(|(_, told)| told.ok()).collect()
}

/// Does it for every seed until one fails; what came of it, by seed.
fn each<T: Send, E: Send>(
    seeds: Range<u64>,
    tell: impl Fn(u64) -> Result<T, E> + Sync,
) -> Vec<(u64, Result<T, E>)> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let (next, end) = (AtomicU64::new(seeds.start), AtomicU64::new(seeds.end));
    let told = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end.load(Ordering::Relaxed) {
                        return;
                    }
                    let story = tell(seed);
                    if story.is_err() {
                        end.fetch_min(seed, Ordering::Relaxed);
                    }
                    told.lock().expect("nobody panics with the stories").push((seed, story));
                }
            });
        }
    });
    let mut told: Vec<(u64, Result<T, E>)> =
        told.into_inner().expect("nobody panics with the stories");
    told.sort_by_key(|(seed, _)| *seed);
    told
}
