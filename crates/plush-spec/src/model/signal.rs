//! The signals that a description may name, with their numbers on the hosts.
//! Not which of them end a process, which depends on the program.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A signal of Linux that has one number in every program. The numbers are those of the
/// architectures that an agent runs on, independent of the controller's machine (signal(7): x86,
/// ARM, most others).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signal(u8);

/// By number, from 1 on.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Other names of some of them (signal(7)).
const SYNONYMS: [(&str, &str); 3] = [("IOT", "ABRT"), ("CLD", "CHLD"), ("POLL", "IO")];

impl Signal {
    /// The usual request to end.
    pub const TERM: Signal = Signal(15);

    /// The signal of this name, with or without `SIG`.
    pub fn named(name: &str) -> Option<Signal> {
        let bare = name.strip_prefix("SIG").unwrap_or(name);
        let synonym = SYNONYMS.iter().find(|(other, _)| *other == bare);
        let bare = synonym.map_or(bare, |(_, name)| name);
        let index = NAMES.iter().position(|known| *known == bare)?;
        u8::try_from(index + 1).ok().map(Signal)
    }

    /// The signal of this number.
    pub fn numbered(number: i32) -> Option<Signal> {
        let number =
            u8::try_from(number).ok().filter(|n| (1..=NAMES.len()).contains(&usize::from(*n)));
        number.map(Signal)
    }

    /// The signal's number on the hosts.
    pub fn number(self) -> i32 {
        i32::from(self.0)
    }

    /// Its name, without `SIG`.
    pub fn name(self) -> &'static str {
        NAMES[usize::from(self.0) - 1]
    }

    /// All names, in the order of the numbers.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.into_iter()
    }

    /// A signal number from a host, in words: `signal 15 (TERM)`, or `signal 40` for one without a
    /// name.
    pub fn words(number: i32) -> String {
        match Signal::numbered(number) {
            Some(signal) => format!("signal {number} ({signal})"),
            None => format!("signal {number}"),
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Signal> for String {
    fn from(signal: Signal) -> String {
        signal.name().to_owned()
    }
}

impl TryFrom<String> for Signal {
    type Error = String;

    fn try_from(name: String) -> Result<Signal, String> {
        Signal::named(&name).ok_or_else(|| format!("`{name}` is no signal"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_number_with_and_without_sig() {
        for (name, number) in [("HUP", 1), ("ABRT", 6), ("USR1", 10), ("TERM", 15), ("SYS", 31)] {
            assert_eq!(Signal::named(name).map(Signal::number), Some(number), "{name}");
        }
        for name in Signal::names() {
            let signal = Signal::named(name).unwrap();
            assert_eq!(Signal::named(&format!("SIG{name}")), Some(signal));
            assert_eq!(Signal::numbered(signal.number()), Some(signal));
            assert_eq!(signal.name(), name);
        }
        assert_eq!(Signal::named("SIGIOT").map(Signal::name), Some("ABRT"));
        for number in [-1, 0, 32, 64, 256 + 15] {
            assert_eq!(Signal::numbered(number), None, "{number}");
        }
    }

    #[test]
    fn a_number_without_a_name_stays_a_number_in_words() {
        assert_eq!(Signal::words(15), "signal 15 (TERM)");
        assert_eq!(Signal::words(40), "signal 40");
    }
}
