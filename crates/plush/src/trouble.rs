//! Trouble of the command itself, as people are told it: what, why, what next, and the exit code.
//! Not trouble of hosts: that is in the view.

use crate::exit::ExitCode;
use crate::render::text;
use std::{error, fmt, io};

/// Why a command ends early.
#[derive(Debug)]
pub enum Trouble {
    /// Whoever read our standard output has gone; nobody is told.
    ReaderGone,
    /// Everything is said already (problems of a description, for example).
    Said(ExitCode),
    /// To be told.
    Told(Box<Account>),
}

/// What is told.
#[derive(Debug)]
pub struct Account {
    /// The exit code.
    pub code: ExitCode,
    /// The operation and its object.
    pub what: String,
    /// The cause.
    pub why: Option<String>,
    /// What to do next.
    pub next: Option<String>,
}

impl Trouble {
    /// Trouble with an exit code; cause and next step can follow.
    pub fn new(code: ExitCode, what: impl Into<String>) -> Trouble {
        Trouble::Told(Box::new(Account { code, what: what.into(), why: None, next: None }))
    }

    /// A mistake on the command line or in the settings.
    pub fn usage(what: impl Into<String>) -> Trouble {
        Trouble::new(ExitCode::Usage, what)
    }

    /// Trouble when standard output is written.
    pub fn stdout(error: io::Error) -> Trouble {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Trouble::ReaderGone,
            _ => Trouble::new(ExitCode::Internal, "cannot write to standard output")
                .because(error.to_string()),
        }
    }

    /// Adds the cause.
    pub fn because(mut self, why: impl Into<String>) -> Trouble {
        if let Trouble::Told(account) = &mut self {
            account.why = Some(why.into());
        }
        self
    }

    /// Adds the cause with everything that is behind it.
    pub fn caused_by(self, error: &dyn error::Error) -> Trouble {
        let mut why = error.to_string();
        let mut source = error.source();
        while let Some(deeper) = source {
            why = format!("{why}: {deeper}");
            source = deeper.source();
        }
        self.because(why)
    }

    /// Adds the next step.
    pub fn next(mut self, next: impl Into<String>) -> Trouble {
        if let Trouble::Told(account) = &mut self {
            account.next = Some(next.into());
        }
        self
    }

    /// The exit code; nobody who has gone waits for one.
    pub fn code(&self) -> ExitCode {
        match self {
            Trouble::ReaderGone => ExitCode::Done,
            Trouble::Said(code) => *code,
            Trouble::Told(account) => account.code,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trouble::Told(account) = self else { return Ok(()) };
        writeln!(f, "plush: {}", text::guarded(&account.what))?;
        if let Some(why) = &account.why {
            writeln!(f, "  why:  {}", text::guarded(why))?;
        }
        if let Some(next) = &account.next {
            writeln!(f, "  next: {}", text::guarded(next))?;
        }
        Ok(())
    }
}

impl error::Error for Trouble {}
