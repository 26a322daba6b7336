//! Starting a run's controller: a process of its own, which outlives the terminal.
//! Not watching it.

use crate::exit::ExitCode;
use crate::front::{Beginning, Takeover};
use crate::handle::Handle;
use crate::runs::Run;
use crate::trouble::Trouble;
use plush_controller::open_files;
use std::fs::File;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A controller that has not opened its socket by then never will.
const START_MAX: Duration = Duration::from_secs(30);

/// A socket gives no notice when it appears: the gap between looks grows from the first to the second.
const LOOK_GAP: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// So much of the end of the controller's log is shown when it does not start.
const LOG_TAIL_BYTES: usize = 2_000;

/// Starts the controller of a run and connects to it.
pub async fn launch(
    run: &Run,
    beginning: Beginning,
    takeover: Takeover,
) -> Result<Handle, Trouble> {
    let controller = spawn(run, beginning, takeover);
    let mut controller = controller.map_err(|error| failed(run).caused_by(&error))?;
    let deadline = Instant::now() + START_MAX;
    let mut gap = LOOK_GAP.0;
    loop {
        if let Ok(handle) = Handle::connect(&run.directory).await {
            return Ok(handle);
        }
        if let Some(status) =
            controller.try_wait().map_err(|error| failed(run).caused_by(&error))?
        {
            return Err(ended_early(run, status));
        }
        if Instant::now() > deadline {
            return Err(failed(run).because(format!(
                "it has not opened its socket within {} s",
                START_MAX.as_secs()
            )));
        }
        tokio::time::sleep(gap).await;
        gap = (gap * 2).min(LOOK_GAP.1);
    }
}

fn spawn(run: &Run, beginning: Beginning, takeover: Takeover) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(run.log())?;
    let mut controller = Command::new(std::env::current_exe()?);
    controller
        .arg("controller")
        .args((beginning == Beginning::WhenWatched).then_some("--when-watched"))
        .args((takeover == Takeover::Meant).then_some("--take-over"))
        .arg(&run.directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    // The controller raises its limits itself and needs the original ones.
    open_files::as_the_user(|| controller.spawn())
}

fn ended_early(run: &Run, status: ExitStatus) -> Trouble {
    let storage = status.code() == Some(i32::from(ExitCode::Storage.number()));
    let code = if storage { ExitCode::Storage } else { ExitCode::Internal };
    let log = std::fs::read(run.log()).unwrap_or_default();
    let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL_BYTES)..]);
    let what = format!("the controller of run {} ended before it could be reached", run.id);
    Trouble::new(code, what).because(format!("{status}\n{}", tail.trim_end()))
}

fn failed(run: &Run) -> Trouble {
    Trouble::new(ExitCode::Internal, format!("cannot start the controller of run {}", run.id))
        .next(format!("see {}", run.log().display()))
}
