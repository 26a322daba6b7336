//! Children of the agent that have ended: keepers, and orphans of dead keepers. Not programs that prepare
//! software: whoever started those waits for them.

use crate::keeper::wire::WaitResult;
use crate::processes;
use rustix::process::{Pid, WaitOptions, waitpid};

/// Takes the status of every ended keeper and, where there may be some, of every ended orphan.
pub fn reap(keepers: &[u32], orphans: bool) -> Vec<(u32, WaitResult)> {
    let mut ended: Vec<(u32, WaitResult)> = keepers.iter().filter_map(|pid| take(*pid)).collect();
    if orphans {
        let scan = processes::scan();
        let me = std::process::id();
        let my_session = scan.get(&me).map_or(0, |p| p.session);
        // Programs that we started ourselves are in our session; tasks and what they left behind never are.
        let orphan =
            |p: &&processes::Process| p.parent == me && p.zombie && p.session != my_session;
        ended.extend(scan.values().filter(orphan).filter_map(|p| take(p.pid)));
    }
    ended
}

fn take(pid: u32) -> Option<(u32, WaitResult)> {
    let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let (_, status) = waitpid(Some(raw), WaitOptions::NOHANG).ok()??;
    Some((pid, WaitResult::from(status)))
}
