//! What is said over a wire: controller-agent messages and frames, operator commands and [`RunView`].
//!
//! A crate of its own because the agent, the controller and the front ends share it and nothing else.
//! It holds no rule about how a run goes on, and it does no I/O.

pub mod barrier;
pub mod bulk;
pub mod command;
pub mod frame;
pub mod hello;
pub mod history;
pub mod message;
pub mod operator;
pub mod question;
pub mod report;
pub mod tainted;
pub mod task;
pub mod view;

pub use barrier::{
    BarrierAnswer, BarrierAsk, BarrierEntrant, BarrierOutcome, BarrierStand, BarrierVerb,
    MAX_ALIAS_BYTES,
};
pub use bulk::{
    BlobPart, BlobWant, FilePart, FileWant, ListPart, ListWant, ListedFile, OutputAck, OutputGap,
    OutputPart, SkippedFile,
};
pub use command::{Command, Fetch, Installer, PackageSpec, PrepareSpec, SoftwareSpec};
pub use frame::{FrameError, Frames, MAX_FRAME_BYTES};
pub use hello::{AgentHello, ControllerHello, Facts, Guarantee, Logout, PROTOCOL_VERSION, Refusal};
pub use history::{
    BarrierHistory, BarrierMember, BarrierOpening, BarrierOrigin, ClusterHistory, HostHistory,
    MemberStand, RunHistory, Span, TaskHistory,
};
pub use message::{Pong, ToAgent, ToController};
pub use operator::{OperatorReply, OperatorRequest, Written};
pub use question::{ANSWER_MAX_BYTES, Answer, Question};
pub use report::{Cause, CauseKind, Report, TaskRecord};
pub use tainted::{Tainted, escape};
pub use task::{
    Ambiguous, Exit, Health, Octets, OutputPolicy, OutputRule, ProbeCheck, ProbeRule, Program,
    ResourceLimits, RestartRule, RestartWhen, Stdin, StopRule, StreamName, TaskKey, TaskSpec,
    TaskState, Unhealthy,
};
pub use view::{
    BarrierView, ClusterSum, ClusterView, Contact, Counts, HostState, HostView, Incident, Measure,
    Notice, Outcome, PhaseName, Problem, RunView, Sums, TaskView, TogetherView, WorstRound,
};
