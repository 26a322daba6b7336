//! Output files that have grown since a watcher was last notified.
//! Not the output itself: watchers read it from the files, so a slow watcher loses nothing.

use plush_core::plan::HostId;
use plush_protocol::{StreamName, TaskKey, Written};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;

/// One stream of one task of one host.
pub type StreamKey = (HostId, TaskKey, StreamName);

/// Publishes the growth of files from hosts to all watchers.
#[derive(Clone, Default)]
pub struct Growth {
    watchers: Arc<Mutex<Vec<Weak<News>>>>,
}

/// One watcher's end.
pub struct Follower(Arc<News>);

#[derive(Default)]
struct News {
    /// Bounded by the number of streams: each occurs once.
    files: Mutex<Files>,
    bell: Notify,
}

#[derive(Default)]
struct Files {
    grown: BTreeMap<StreamKey, Written>,
    /// In the order of their first growth.
    order: VecDeque<StreamKey>,
}

impl Growth {
    /// Subscribes to growth from now on.
    pub fn follow(&self) -> Follower {
        let news = Arc::new(News::default());
        held(&self.watchers).push(Arc::downgrade(&news));
        Follower(news)
    }

    /// Publishes that a file has grown or is complete.
    pub fn say(&self, key: StreamKey, written: impl FnOnce() -> Written) {
        let mut watchers = held(&self.watchers);
        if watchers.is_empty() {
            return;
        }
        let written = written();
        watchers.retain(|watcher| {
            let Some(news) = watcher.upgrade() else { return false };
            news.take(key, &written);
            true
        });
    }
}

impl News {
    fn take(&self, key: StreamKey, written: &Written) {
        let files = &mut *held(&self.files);
        match files.grown.get_mut(&key) {
            Some(known) => {
                (known.bytes, known.gap_bytes) = (written.bytes, written.gap_bytes);
                known.whole |= written.whole;
            }
            None => {
                files.order.push_back(key);
                files.grown.insert(key, written.clone());
            }
        }
        self.bell.notify_one();
    }
}

impl Follower {
    /// Waits until a file has grown.
    pub async fn has_news(&self) {
        while held(&self.0.files).order.is_empty() {
            self.0.bell.notified().await;
        }
    }

    /// Returns the files that have grown since the last call.
    pub fn take(&self) -> Vec<Written> {
        let mut files = std::mem::take(&mut *held(&self.0.files));
        files.order.iter().filter_map(|key| files.grown.remove(key)).collect()
    }
}

/// A panicked thread leaves consistent state: each change is one call.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(host: u32) -> StreamKey {
        (HostId(host), TaskKey { task: 0, incarnation: 1 }, StreamName::Out)
    }

    fn written(host: u32, bytes: u64, whole: bool) -> Written {
        Written {
            host: format!("h{host}"),
            process: "p".into(),
            stream: StreamName::Out,
            file: format!("output/h{host}/p.1.out"),
            bytes,
            gap_bytes: 0,
            whole,
        }
    }

    #[test]
    fn a_watcher_that_does_not_listen_costs_one_word_for_each_stream() {
        let growth = Growth::default();
        let follower = growth.follow();
        for bytes in 1..=100_000 {
            growth.say(key(0), || written(0, bytes, false));
        }
        growth.say(key(1), || written(1, 5, true));
        growth.say(key(0), || written(0, 100_001, true));
        assert_eq!(follower.take(), [written(0, 100_001, true), written(1, 5, true)]);
        assert_eq!(follower.take(), []);
    }

    #[test]
    fn a_watcher_that_has_gone_is_forgotten() {
        let growth = Growth::default();
        drop(growth.follow());
        growth.say(key(0), || written(0, 1, false));
        assert!(held(&growth.watchers).is_empty());
        growth.say(key(0), || unreachable!("nobody watches"));
    }
}
