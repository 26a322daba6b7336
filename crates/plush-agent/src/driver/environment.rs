//! The environment of a task: a function of the host, the run and the specification, the same for every
//! incarnation but for its counter. Not that of programs that prepare software.

use crate::base::{Base, PROGRAMS};
use plush_protocol::{TaskKey, TaskSpec};
use std::collections::BTreeMap;
use std::path::Path;

/// Taken over from the agent's own, where it is known there.
const FROM_HOST: [&str; 6] = ["HOME", "USER", "LOGNAME", "LANG", "SHELL", "TZ"];
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What every task of this run on this host is given.
pub struct Environment {
    common: BTreeMap<String, String>,
}

impl Environment {
    /// Reads the agent's own environment, once. `socket` is the path of the tasks' socket, if there
    /// is one.
    pub fn of(base: &Base, host: &str, socket: Option<&Path>) -> Environment {
        let mut common = BTreeMap::new();
        for name in FROM_HOST {
            common.extend(std::env::var(name).ok().map(|value| (name.to_owned(), value)));
        }
        let path = std::env::var("PATH").ok().filter(|path| !path.is_empty());
        let path = path.unwrap_or_else(|| DEFAULT_PATH.into());
        // Programs of the host come first: this directory only adds our own.
        let programs = base.run.join(PROGRAMS);
        common.insert("PATH".into(), format!("{path}:{}", programs.display()));
        let agent = programs.join("plush-agent").to_string_lossy().into_owned();
        common.insert("PLUSH_AGENT".into(), agent);
        let socket = socket.map(|socket| socket.to_string_lossy().into_owned());
        common.extend(socket.map(|socket| ("PLUSH_SOCKET".into(), socket)));
        common.insert("PLUSH_RUN".into(), base.id.clone());
        common.insert("PLUSH_HOST".into(), host.to_owned());
        let directory = base.run.to_string_lossy().into_owned();
        common.insert("PLUSH_RUN_DIR".into(), directory);
        Environment { common }
    }

    /// The whole environment of one start.
    pub fn task(&self, key: TaskKey, spec: &TaskSpec) -> Vec<(String, String)> {
        let mut variables = self.common.clone();
        variables.extend(spec.environment.iter().cloned());
        variables.extend(spec.program.values().iter().cloned());
        variables.insert("PLUSH_TASK".into(), key.task.to_string());
        variables.insert("PLUSH_INCARNATION".into(), key.incarnation.to_string());
        variables.into_iter().collect()
    }

    /// What scripts and clean-up lines get.
    pub fn common(&self) -> Vec<(String, String)> {
        self.common.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}
