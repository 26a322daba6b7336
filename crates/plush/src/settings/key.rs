//! The names of the settings.
//! Not their values.

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Colour: auto, always, never.
    Color,
    /// Where run directories are made.
    RunsDir,
    /// The SSH configuration file.
    SshConfig,
    /// What stays on hosts: nothing, cache, all.
    Keep,
    /// Partial success is an error.
    Strict,
    /// How long tasks outlive their controller.
    StopAfter,
    /// Whether a run on remote hosts is confirmed.
    Confirm,
}

impl Key {
    /// All of them.
    pub const ALL: [Key; 7] = [
        Key::Color,
        Key::RunsDir,
        Key::SshConfig,
        Key::Keep,
        Key::Strict,
        Key::StopAfter,
        Key::Confirm,
    ];

    /// The name in files and in `plush config`.
    pub fn name(self) -> &'static str {
        match self {
            Key::Color => "color",
            Key::RunsDir => "runs_dir",
            Key::SshConfig => "ssh_config",
            Key::Keep => "keep",
            Key::Strict => "strict",
            Key::StopAfter => "stop_after",
            Key::Confirm => "confirm",
        }
    }

    /// The variable of the environment.
    pub fn variable(self) -> String {
        format!("PLUSH_{}", self.name().to_ascii_uppercase())
    }

    /// The key of that name.
    pub fn named(name: &str) -> Option<Key> {
        Key::ALL.into_iter().find(|key| key.name() == name)
    }

    /// Whether a project's file may set it: a project may come from a stranger, and an SSH configuration
    /// can name programs that are run on this machine, and asking first protects against just that stranger.
    pub fn is_for_projects(self) -> bool {
        match self {
            Key::SshConfig | Key::Confirm | Key::RunsDir => false,
            Key::Color | Key::Keep | Key::Strict | Key::StopAfter => true,
        }
    }

    /// Whether its value is a path, which a file may give relative to itself.
    pub fn is_path(self) -> bool {
        match self {
            Key::RunsDir | Key::SshConfig => true,
            Key::Color | Key::Keep | Key::Strict | Key::StopAfter | Key::Confirm => false,
        }
    }
}
