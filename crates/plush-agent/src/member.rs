//! Owner of a member's directory: one host of the run, on one machine, where at most one agent uses
//! it.
//! Not what the directory holds.
//!
//! Several machines may see the directory (a home on NFS), and a name may lead to another machine
//! at each login (a load balancer). Neither boot id nor machine id identifies a machine: containers
//! share the first, clones the second. So the machine is identified by its name, and a running
//! agent by its lock on the record.

use crate::base::{Base, flock};
use crate::record;
use minicbor::{Decode, Encode};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Name of the record in a member's directory.
pub const RECORD: &str = "member";
/// A killed agent holds its lock until the kernel has ended it; after this time the agent counts as
/// alive.
const LOCK_LIMIT: Duration = Duration::from_secs(2);
const LOCK_GAP: Duration = Duration::from_millis(10);

/// Which host of the run a directory belongs to, and on which machine it is used.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Member {
    /// The host's name in the run.
    #[n(0)]
    pub host: String,
    /// The machine's name (`uname -n`).
    #[n(1)]
    pub machine: String,
}

/// Why this login may not use a member's directory.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The name leads to more than one machine.
    #[error(
        "this login reached the machine {here}, but the agent of {host} in this run is on the machine {there}, in {} \
         which both see: let the name {host} lead to one machine, or name each machine by itself",
        directory.display()
    )]
    Elsewhere {
        /// The host's name in the run.
        host: String,
        /// This machine.
        here: String,
        /// The machine on which the directory is used.
        there: String,
        /// The member's directory.
        directory: PathBuf,
    },
    /// Two hosts of a run have one directory.
    #[error("{} belongs to {owner}, and this login is for {host}", directory.display())]
    Another {
        /// The host that owns the directory.
        owner: String,
        /// The host that needed it.
        host: String,
        /// The directory.
        directory: PathBuf,
    },
    /// An agent holds the lock, and its socket does not answer on this machine.
    #[error(
        "an agent of {host} works in {} and does not answer on the machine {here}: it is on another machine of this \
         name, or its socket was removed",
        directory.display()
    )]
    Silent {
        /// The host's name in the run.
        host: String,
        /// This machine.
        here: String,
        /// The directory.
        directory: PathBuf,
    },
    /// The system refused.
    #[error("{operation} {}", path.display())]
    System {
        /// The operation.
        operation: &'static str,
        /// Its path.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl Member {
    /// This host of the run, on this machine.
    pub fn here(host: &str) -> Member {
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Member { host: host.to_owned(), machine }
    }

    /// Whether the directory belongs to this member; false while no record names an owner.
    pub fn owns(&self, base: &Base) -> Result<bool, MemberError> {
        let Some(found) = record::load_value::<Member>(&base.run, RECORD) else { return Ok(false) };
        let directory = base.run.clone();
        if found.host != self.host {
            let (owner, host) = (found.host, self.host.clone());
            return Err(MemberError::Another { owner, host, directory });
        }
        if found.machine != self.machine {
            let (host, here) = (self.host.clone(), self.machine.clone());
            return Err(MemberError::Elsewhere { host, here, there: found.machine, directory });
        }
        Ok(true)
    }

    /// Records this member as the owner, unless there is one. The caller holds the lock for
    /// starting agents.
    pub fn claim(&self, base: &Base) -> Result<(), MemberError> {
        if self.owns(base)? {
            return Ok(());
        }
        record::save_value(&base.run, RECORD, self).map_err(|source| MemberError::System {
            operation: "write",
            path: base.run.join(RECORD),
            source,
        })
    }

    /// Takes the lock that an agent holds while it runs.
    pub fn hold(&self, base: &Base) -> Result<OwnedFd, MemberError> {
        let path = base.run.join(RECORD);
        let failed = |operation| {
            let path = path.clone();
            move |e: Errno| MemberError::System { operation, path, source: e.into() }
        };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)).map_err(failed("open"))?;
        let limit = Instant::now() + LOCK_LIMIT;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(Errno::WOULDBLOCK) if Instant::now() < limit => std::thread::sleep(LOCK_GAP),
                Err(Errno::WOULDBLOCK) => {
                    return Err(MemberError::Silent {
                        host: self.host.clone(),
                        here: self.machine.clone(),
                        directory: base.run.clone(),
                    });
                }
                Err(e) => return Err(failed("lock")(e)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::path::Path;

    fn check(test: impl FnOnce(&Base, &Member)) {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::new(dir.path(), "r", "r.h1-1").unwrap();
        base.enter().unwrap();
        test(&base, &Member::here("h1"));
    }

    #[test]
    fn a_login_that_reaches_another_machine_is_refused_with_both_machines_named() {
        check(|base, here| {
            let there = Member { machine: "node-b".into(), ..here.clone() };
            there.claim(base).unwrap();
            let said = here.claim(base).unwrap_err().to_string();
            assert!(said.contains("node-b") && said.contains(&here.machine), "{said}");
            assert!(there.owns(base).unwrap());
        });
    }

    #[test]
    fn the_directory_of_one_host_is_not_given_to_another() {
        check(|base, here| {
            here.claim(base).unwrap();
            let said = Member::here("h2").claim(base).unwrap_err().to_string();
            assert!(said.contains("h1") && said.contains("h2"), "{said}");
        });
    }

    #[test]
    fn an_agent_that_lives_keeps_a_second_one_out() {
        check(|base, here| {
            here.claim(base).unwrap();
            let held = here.hold(base).unwrap();
            assert!(matches!(here.hold(base), Err(MemberError::Silent { .. })));
            drop(held);
            here.hold(base).unwrap();
            assert!(Path::new(&base.run).join(RECORD).exists());
        });
    }
}
