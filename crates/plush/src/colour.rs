//! Colour: whether it is wanted on a stream, and which one a host has.
//! Not layout.

use std::fmt::Display;
use std::io::IsTerminal;

/// What the settings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Where there is a terminal and the environment does not object.
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// Colour, or not, on one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Escape sequences are written.
    Coloured,
    /// Plain text.
    Plain,
}

/// What the environment says of colour, most important first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// NO_COLOR is set and not empty.
    pub no_color: bool,
    /// CLICOLOR_FORCE is set and not 0.
    pub force: bool,
    /// CLICOLOR is 0.
    pub off: bool,
    /// TERM is `dumb`.
    pub dumb: bool,
}

impl Wishes {
    /// Those of this process's environment.
    pub fn of_environment() -> Wishes {
        let value = |name| std::env::var_os(name).filter(|v| !v.is_empty());
        Wishes {
            no_color: value("NO_COLOR").is_some(),
            force: value("CLICOLOR_FORCE").is_some_and(|v| v != "0"),
            off: value("CLICOLOR").is_some_and(|v| v == "0"),
            dumb: value("TERM").is_some_and(|v| v == "dumb"),
        }
    }
}

impl Paint {
    /// The paint of a stream.
    pub fn on(stream: &impl IsTerminal, choice: Choice) -> Paint {
        Paint::decide(choice, Wishes::of_environment(), stream.is_terminal())
    }

    fn decide(choice: Choice, wishes: Wishes, is_terminal: bool) -> Paint {
        let coloured = match choice {
            Choice::Always => true,
            Choice::Never => false,
            Choice::Auto if wishes.no_color => false,
            Choice::Auto if wishes.force => true,
            Choice::Auto => is_terminal && !wishes.off && !wishes.dumb,
        };
        if coloured { Paint::Coloured } else { Paint::Plain }
    }

    /// The name of a host in its own colour, the same in every run.
    pub fn host(self, name: impl Display, key: &str) -> String {
        self.wrap(HOST_COLOURS[(fnv(key) % HOST_COLOURS.len() as u64) as usize], name)
    }

    /// Bad news.
    pub fn bad(self, text: impl Display) -> String {
        self.wrap("31", text)
    }

    /// Good news.
    pub fn good(self, text: impl Display) -> String {
        self.wrap("32", text)
    }

    /// News that is neither.
    pub fn odd(self, text: impl Display) -> String {
        self.wrap("33", text)
    }

    /// A heading.
    pub fn bold(self, text: impl Display) -> String {
        self.wrap("1", text)
    }

    fn wrap(self, code: &str, text: impl Display) -> String {
        match self {
            Paint::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
            Paint::Plain => text.to_string(),
        }
    }
}

/// No red: it means trouble.
const HOST_COLOURS: [&str; 10] = ["32", "33", "34", "35", "36", "92", "93", "94", "95", "96"];

fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Wishes = Wishes { no_color: false, force: false, off: false, dumb: false };

    #[test]
    fn no_color_outweighs_force_which_outweighs_off() {
        let all = Wishes { no_color: true, force: true, off: true, dumb: false };
        assert_eq!(Paint::decide(Choice::Auto, all, true), Paint::Plain);
        assert_eq!(
            Paint::decide(Choice::Auto, Wishes { no_color: false, ..all }, false),
            Paint::Coloured
        );
        assert_eq!(
            Paint::decide(Choice::Auto, Wishes { off: true, ..NOTHING }, true),
            Paint::Plain
        );
    }

    #[test]
    fn the_command_line_outweighs_the_environment() {
        assert_eq!(
            Paint::decide(Choice::Always, Wishes { no_color: true, ..NOTHING }, false),
            Paint::Coloured
        );
        assert_eq!(
            Paint::decide(Choice::Never, Wishes { force: true, ..NOTHING }, true),
            Paint::Plain
        );
    }

    #[test]
    fn without_any_wish_the_terminal_decides() {
        assert_eq!(Paint::decide(Choice::Auto, NOTHING, true), Paint::Coloured);
        assert_eq!(Paint::decide(Choice::Auto, NOTHING, false), Paint::Plain);
    }

    #[test]
    fn a_host_keeps_its_colour() {
        let paint = Paint::Coloured;
        assert_eq!(paint.host("a", "node7"), paint.host("a", "node7"));
        assert_eq!(Paint::Plain.host("a", "node7"), "a");
    }
}
