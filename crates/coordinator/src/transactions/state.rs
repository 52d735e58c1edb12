//! The states of a transactional id.

use std::fmt;

/// Where the transaction of a transactional id stands (Kafka's `TransactionState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionState {
    /// A producer has the id, and has begun nothing yet.
    Empty,
    /// Partitions are in the transaction.
    Ongoing,
    /// It is decided that the transaction is committed; markers are being written.
    PrepareCommit,
    /// It is decided that the transaction is aborted; markers are being written.
    PrepareAbort,
    /// Every partition has its commit marker.
    CompleteCommit,
    /// Every partition has its abort marker.
    CompleteAbort,
    /// The id is about to be forgotten. Never stored, nor shown by this coordinator: its tombstone is one step.
    Dead,
    /// The epoch is about to be bumped. Never stored, nor shown: fencing and the decision to abort are one step here.
    PrepareEpochFence,
}

impl TransactionState {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
        Self::Dead,
        Self::PrepareEpochFence,
    ];

    /// The name, as DescribeTransactions and ListTransactions have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
            Self::Dead => "Dead",
            Self::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    /// The state of that name; case matters, as in Kafka.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The number that records have for it.
    #[must_use]
    pub fn id(self) -> i8 {
        self as i8
    }

    /// The state of a record's number.
    #[must_use]
    pub fn by_id(id: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.id() == id)
    }

    /// The end is decided and not every marker is known to be written.
    #[must_use]
    pub fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }

    /// No transaction is open or being ended: the id may be forgotten when it has been idle for long enough.
    #[must_use]
    pub fn is_idle(self) -> bool {
        matches!(
            self,
            Self::Empty | Self::CompleteCommit | Self::CompleteAbort
        )
    }

    /// Whether a record of `next` may follow on one of this state (Kafka's `validPreviousStates`).
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        match next {
            Self::Empty | Self::Dead => self.is_idle(),
            Self::Ongoing => self.is_idle() || self == Self::Ongoing,
            Self::PrepareCommit | Self::PrepareEpochFence => self == Self::Ongoing,
            // From an idle state since version 2: a producer may abort what no partition is in.
            Self::PrepareAbort => {
                self.is_idle() || matches!(self, Self::Ongoing | Self::PrepareEpochFence)
            }
            Self::CompleteCommit => self == Self::PrepareCommit,
            Self::CompleteAbort => self == Self::PrepareAbort,
        }
    }
}

impl fmt::Display for TransactionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
