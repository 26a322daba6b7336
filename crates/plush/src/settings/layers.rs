//! The layers that settings come from: the environment, three files, the defaults.
//! Not which of them wins.

use super::{Key, Origin, Sourced};
use crate::trouble::Trouble;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

type Layer = BTreeMap<Key, Sourced>;

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Project,
    User,
}

/// PLUSH_* variables; an empty one counts as absent.
pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Layer {
    let entry = |key: Key| {
        let name = key.variable();
        let text = variable(&name).filter(|text| !text.is_empty())?;
        Some((key, Sourced { text, origin: Origin::Environment(name) }))
    };
    Key::ALL.into_iter().filter_map(entry).collect()
}

/// `plush.toml` in the current directory, if it belongs to this user.
pub fn of_project() -> Result<Layer, Trouble> {
    read(Path::new("plush.toml"), Owner::Project)
}

/// The user's own file.
pub fn of_user() -> Result<Layer, Trouble> {
    match user_directory() {
        Some(directory) => read(&directory.join("config.toml"), Owner::User),
        None => Ok(Layer::new()),
    }
}

/// Where the user's own files for Plush are.
pub fn user_directory() -> Option<PathBuf> {
    Some(base("XDG_CONFIG_HOME", ".config")?.join("plush"))
}

/// The machine's file.
pub fn of_machine() -> Result<Layer, Trouble> {
    read(Path::new("/etc/plush/config.toml"), Owner::User)
}

/// What holds when nobody says anything.
pub fn defaults() -> Layer {
    let runs = base("XDG_STATE_HOME", ".local/state")
        .map_or_else(|| PathBuf::from("plush-runs"), |base| base.join("plush/runs"));
    let entry = |key: Key| {
        let text = match key {
            Key::Color => "auto".to_owned(),
            Key::RunsDir => runs.to_string_lossy().into_owned(),
            Key::SshConfig | Key::StopAfter => String::new(),
            Key::Keep => "nothing".to_owned(),
            Key::Strict => "false".to_owned(),
            Key::Confirm => "ask".to_owned(),
        };
        (key, Sourced { text, origin: Origin::Default })
    };
    Key::ALL.into_iter().map(entry).collect()
}

fn base(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute =
        |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)))
}

fn read(path: &Path, owner: Owner) -> Result<Layer, Trouble> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Layer::new());
        }
        Err(error) => return Err(unusable(path).caused_by(&error)),
    };
    if owner == Owner::Project {
        refuse_a_strangers(path)?;
    }
    parse(&text, path, owner)
}

fn parse(text: &str, path: &Path, owner: Owner) -> Result<Layer, Trouble> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        unusable(path).because(error.to_string().trim_end().to_owned())
    })?;
    table.into_iter().map(|(name, value)| entry(&name, value, path, owner)).collect()
}

fn entry(
    name: &str,
    value: toml::Value,
    path: &Path,
    owner: Owner,
) -> Result<(Key, Sourced), Trouble> {
    let key = Key::named(name).ok_or_else(|| {
        let known = Key::ALL.map(Key::name).join(", ");
        unusable(path)
            .because(format!("there is no setting `{name}`"))
            .next(format!("the settings are {known}"))
    })?;
    if owner == Owner::Project && !key.is_for_projects() {
        return Err(unusable(path)
            .because(format!("a project may not set `{name}`: it may come from a stranger, and this concerns your own machine"))
            .next("set it in your own configuration, in the environment or on the command line"));
    }
    let text = match value {
        toml::Value::String(text) if key.is_path() => resolve(path, &text),
        toml::Value::String(text) => text,
        toml::Value::Boolean(flag) => flag.to_string(),
        _ => {
            return Err(
                unusable(path).because(format!("`{name}` must be a text, or true or false"))
            );
        }
    };
    Ok((key, Sourced { text, origin: Origin::File(path.to_owned()) }))
}

fn resolve(file: &Path, text: &str) -> String {
    let home = text
        .strip_prefix("~/")
        .zip(env::var_os("HOME"))
        .map(|(rest, home)| Path::new(&home).join(rest));
    let path = home.unwrap_or_else(|| file.parent().unwrap_or(Path::new("")).join(text));
    path.to_string_lossy().into_owned()
}

fn refuse_a_strangers(path: &Path) -> Result<(), Trouble> {
    let owner = fs::metadata(path).map_err(|error| unusable(path).caused_by(&error))?.uid();
    if owner == rustix::process::geteuid().as_raw() || owner == 0 {
        return Ok(());
    }
    Err(unusable(path)
        .because(format!("it belongs to somebody else (user id {owner})"))
        .next("make it your own, or work in another directory"))
}

fn unusable(path: &Path) -> Trouble {
    Trouble::usage(format!("cannot use the settings in {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_setting_is_refused_with_the_known_ones() {
        let trouble = parse("kep = \"all\"", Path::new("plush.toml"), Owner::Project)
            .expect_err("no such key")
            .to_string();
        assert!(trouble.contains("no setting `kep`") && trouble.contains("keep"), "{trouble}");
    }

    #[test]
    fn a_project_cannot_name_an_ssh_configuration() {
        assert!(parse("ssh_config = \"x\"", Path::new("plush.toml"), Owner::Project).is_err());
        let layer = parse("ssh_config = \"x\"", Path::new("/etc/plush/config.toml"), Owner::User)
            .expect("a user may");
        assert_eq!(layer[&Key::SshConfig].text, "/etc/plush/x");
    }

    #[test]
    fn flags_may_be_written_as_flags() {
        let layer = parse("strict = true\nkeep = 'cache'", Path::new("plush.toml"), Owner::Project)
            .expect("valid");
        assert_eq!(layer[&Key::Strict].text, "true");
        assert_eq!(layer[&Key::Keep].text, "cache");
    }

    #[test]
    fn an_empty_variable_counts_as_absent() {
        let layer = of_environment(|name| {
            (name != "PLUSH_KEEP")
                .then(|| if name == "PLUSH_STRICT" { "1".into() } else { String::new() })
        });
        assert_eq!(layer.keys().copied().collect::<Vec<_>>(), [Key::Strict]);
    }
}
