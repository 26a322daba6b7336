//! What the driver and the hosts' tasks say to each other.
//! Not what agents are told: that is the protocol's.

use crate::error::ControllerError;
use plush_core::run::{Event, Watch};
use plush_protocol::{Command, RunView, TaskKey};
use tokio::sync::oneshot;

/// Orders that may wait for one host; the driver waits beyond that.
pub const ORDERS: usize = 1024;

/// What the driver tells a host's task.
#[derive(Debug)]
pub enum Order {
    /// Make a link.
    Connect { session: u64, received: u64 },
    /// Drop the attempt to connect if it has brought nothing to the host.
    DropConnect,
    /// Send a command.
    Send { number: u64, command: Command },
    /// Tell the agent what is durable here.
    Acknowledge { number: u64 },
    /// Bring files home.
    Collect { globs: Vec<(String, Vec<String>)> },
    /// Ask about a task from here.
    Watch { key: TaskKey, watch: Box<Watch> },
    /// Ask no more.
    Unwatch { key: TaskKey },
    /// Close the link; nothing more comes.
    Disconnect,
}

/// What hosts' tasks and front ends tell the driver.
#[derive(Debug)]
pub enum Word {
    /// Something happened.
    Event(Event),
    /// A front end wants to see the run as it is now, with all that was said before.
    Look(oneshot::Sender<Box<RunView>>),
    /// A front end wants the controller to write the state down and to end; it is told when that is written.
    Park(oneshot::Sender<()>),
    /// The controller itself cannot go on.
    Broken(ControllerError),
}
