//! J7: the journals that each release has recorded lead today's rules to the states that they led to then.
//!
//! `UPDATE=1 cargo test -p plush-sim --test golden` records those of this version anew. Where that is needed for a journal of
//! a release, `plush_core::run::RULES` has to be raised: a journal is absorbed by the rules that recorded it, and by no others.
#![allow(clippy::unwrap_used)]

use plush_core::run::RULES;
use plush_sim::{FaultKind, FaultSet, Play, Recording, Scene};
use std::path::PathBuf;

/// Runs in which much happens, in few records.
fn plays() -> [(&'static str, Play); 2] {
    let troubles =
        [FaultKind::Stale, FaultKind::Cut, FaultKind::AgentCrash, FaultKind::ControllerCrash];
    let faults = Some(FaultSet::of(&troubles));
    [
        ("troubled", Play { faults, ..Play::new(5, 4) }),
        ("rendezvous", Play { faults, scene: Scene::Rendezvous, ..Play::new(7, 3) }),
    ]
}

#[test]
fn j7_the_journals_of_each_release_lead_to_the_states_that_they_led_to() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(&directory).unwrap();
        for (name, play) in plays() {
            let path = directory.join(format!("{}-{name}.jsonl", env!("CARGO_PKG_VERSION")));
            std::fs::write(path, Recording::of(&play).text()).unwrap();
        }
    }
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= plays().len());
    for path in names {
        let name = path.file_name().unwrap().to_string_lossy();
        let recording = Recording::read(&std::fs::read_to_string(&path).unwrap());
        let recording = recording.unwrap_or_else(|why| panic!("{name}: {why}"));
        assert!(recording.records() > 20, "{name}: {} records", recording.records());
        let differs = recording.differs();
        assert!(differs.is_none(), "{name}, by rules {RULES}: {}", differs.unwrap_or_default());
    }
}
