//! What the programs of a storm wrote down on one host, where no part of the product reads or writes.
//! Not what it means: that is judged elsewhere.

use std::collections::BTreeMap;
use std::path::Path;

/// Which start of which process.
pub type Key = (String, u32);

/// Everything in the order in which it was written.
#[derive(Debug, Default)]
pub struct Diary {
    /// When each began.
    pub starts: Vec<(Key, u128)>,
    /// Bytes of both streams, and when, of those that came to their end by themselves.
    pub ends: BTreeMap<Key, Written>,
    /// The same as it was last counted, after each round.
    pub counts: BTreeMap<Key, Written>,
    pub passes: Vec<Pass>,
    /// What a program noticed.
    pub troubles: Vec<(Key, String)>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    pub out: u64,
    pub err: u64,
    pub at_ns: u128,
}

/// One try to pass a barrier.
#[derive(Debug)]
pub struct Pass {
    pub barrier: String,
    pub round: u32,
    pub came_ns: u128,
    pub went_ns: u128,
    /// The exit code of the asking program, and what it printed.
    pub code: i32,
    pub answer: String,
}

impl Diary {
    /// Reads the folder of one host.
    pub fn read(folder: &Path) -> Diary {
        let mut diary = Diary::default();
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            match name.as_str() {
                "starts" => diary.starts = lines.map(|w| (key(&w), number(w[4]))).collect(),
                "ends" => diary.ends = lines.map(|w| (key(&w), written(&w[2..]))).collect(),
                "passes" => diary.passes = lines.map(|w| pass(&w)).collect(),
                "troubles" => {
                    diary.troubles = lines.map(|w| (key(&w), w[2..].join(" "))).collect();
                }
                counts if counts.ends_with(".count") => {
                    let words: Vec<&str> = counts.split('.').collect();
                    diary.counts.extend(lines.map(|w| (key(&words), written(&w))));
                }
                _ => {}
            }
        }
        diary
    }

    /// When this process of the host was last known to live.
    pub fn last_of(&self, process: &str) -> Option<u128> {
        let counted = self.counts.iter().chain(&self.ends);
        let counted = counted.filter(|((p, _), _)| p == process).map(|(_, w)| w.at_ns);
        counted.chain(self.starts_of(process)).max()
    }

    pub fn starts_of(&self, process: &str) -> impl Iterator<Item = u128> {
        self.starts.iter().filter(move |((p, _), _)| p == process).map(|(_, at)| *at)
    }
}

fn key(words: &[&str]) -> Key {
    (words[0].to_owned(), words[1].parse().unwrap())
}

fn number(word: &str) -> u128 {
    word.parse().unwrap()
}

fn written(words: &[&str]) -> Written {
    let bytes = |n: usize| words[n].parse().unwrap();
    Written { out: bytes(0), err: bytes(1), at_ns: number(words[2]) }
}

fn pass(words: &[&str]) -> Pass {
    Pass {
        barrier: words[2].to_owned(),
        round: words[3].parse().unwrap(),
        came_ns: number(words[4]),
        went_ns: number(words[5]),
        code: words[6].parse().unwrap(),
        answer: words.get(7).copied().unwrap_or_default().to_owned(),
    }
}
