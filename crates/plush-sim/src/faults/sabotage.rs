//! Sabotage: worlds that are broken on purpose, to see that the checkers notice.
//! Not faults: a world without sabotage keeps every rule in spite of those.

/// What is broken: a driver, a keeper or a disk; never the rules themselves, which are the product's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    #[default]
    None,
    /// The controller acknowledges output that is not durable.
    AckBeforeDurable,
    /// The controller acknowledges a report before it is in the journal.
    AckReportBeforeJournal,
    /// The controller performs before its record is durable.
    PerformBeforeSync,
    /// The controller never syncs its journal and believes that it has.
    SkipJournalSync,
    /// The controller goes on after its journal could not be written.
    GoOnAfterJournalFailed,
    /// A new controller replays the journal without its last record.
    ReplayWithoutLast,
    /// A new controller goes on from a snapshot and misses the first record after it.
    SkipAfterSnapshot,
    /// A new controller takes a record of which only a part was written.
    TakeTornRecord,
    /// The controller stores output without looking at its offset.
    StoreTwice,
    /// A keeper gives its program the go twice.
    StartTwice,
    /// A keeper lets its program run before the start record is durable.
    ExecBeforeRecord,
    /// A keeper does not sync the record of its task's end.
    SkipEndSync,
    /// A keeper reports another exit code than it saw.
    WrongExit,
    /// A keeper ends the program and not what the program has left behind.
    EndLeaderOnly,
    /// A keeper does not kill after the grace.
    NeverKill,
    /// A keeper without an agent does not look at the lease.
    KeeperWithoutLease,
    /// A keeper counts the lease from when it last looked, not from when it was renewed.
    LeaseFromNow,
    /// An agent counts its lease from when it reads the controller's word, however late that is.
    RenewFromReading,
    /// An agent measures its lease on the wall clock.
    LeaseOnWallClock,
    /// An agent does not save the epoch.
    ForgetEpoch,
    /// An agent goes on with a controller whose epoch it could not save.
    GoOnWithoutEpoch,
    /// An agent takes a process number that it finds after a reboot for its task.
    BarePid,
    /// An agent goes on with output one block too far after a reconnection.
    DropLastBlock,
    /// An agent forgets output that the controller has received, durable or not.
    TrimReceived,
    /// An agent sends output without looking at the window.
    IgnoreWindow,
    /// Clean-up leaves output behind.
    LeaveFiles,
    /// A controller goes on though an agent has told it of its successor.
    GoOnAfterFenced,
}

impl Sabotage {
    /// Those that a hunt has to find.
    pub const ALL: [Sabotage; 27] = [
        Sabotage::AckBeforeDurable,
        Sabotage::AckReportBeforeJournal,
        Sabotage::PerformBeforeSync,
        Sabotage::SkipJournalSync,
        Sabotage::GoOnAfterJournalFailed,
        Sabotage::ReplayWithoutLast,
        Sabotage::SkipAfterSnapshot,
        Sabotage::TakeTornRecord,
        Sabotage::StoreTwice,
        Sabotage::StartTwice,
        Sabotage::ExecBeforeRecord,
        Sabotage::SkipEndSync,
        Sabotage::WrongExit,
        Sabotage::EndLeaderOnly,
        Sabotage::NeverKill,
        Sabotage::KeeperWithoutLease,
        Sabotage::LeaseFromNow,
        Sabotage::RenewFromReading,
        Sabotage::LeaseOnWallClock,
        Sabotage::ForgetEpoch,
        Sabotage::GoOnWithoutEpoch,
        Sabotage::BarePid,
        Sabotage::DropLastBlock,
        Sabotage::TrimReceived,
        Sabotage::IgnoreWindow,
        Sabotage::LeaveFiles,
        Sabotage::GoOnAfterFenced,
    ];
}
