//! Consumer groups of the new protocol (KIP-848): the broker assigns, members reconcile.
//!
//! One request does it all: a member heartbeats, says what it is subscribed to and what it owns, and is told its epoch and
//! what it may consume. Three epochs keep order: the group's rises with every change of members, subscriptions or topics; the
//! target assignment carries the group epoch it was computed for; a member's rises to the target's once it has given up
//! what it shall no longer have. No partition is handed out while another member holds it.
//!
//! [`ConsumerGroup`] decides and does not store: what it returns is to be stored, and given back to
//! [`ConsumerGroup::replay`]. Only deadlines, compiled patterns and counters change before that; if storing fails, nothing has
//! to be undone. Members of the classic protocol may be in such a group (statement E10): see [`ClassicJoin`].

use bytes::Bytes;

use crate::decision::CoordinatorRecord;
use crate::options::{ConsumerGroupOptions, GroupOptions};
use crate::records::consumer::{ConsumerGroupChange, ConsumerGroupRecord};
use crate::topics::TopicView;

mod assignor;
mod classic_members;
mod deadlines;
mod describe;
mod embedded;
mod group;
mod heartbeat;
mod leave;
mod metadata_hash;
mod migration;
mod offsets;
mod progress;
mod reconcile;
mod subscription;

pub use classic_members::{
    ClassicHeartbeat, ClassicIdentity, ClassicJoin, ClassicJoined, ClassicSync,
};
pub use describe::{AssignedTopic, DescribedConsumerGroup, DescribedConsumerMember};
pub use group::ConsumerGroup;
pub use heartbeat::{ConsumerHeartbeat, ConsumerHeartbeatReply};
pub use migration::{ClassicDescription, ClassicMemberDescription, Downgrade};
pub use offsets::{CommitScope, ConsumerCommit};

/// What a decision depends on besides the group and the request.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The time, in milliseconds since the epoch.
    pub now_ms: i64,
    /// The cluster's topics.
    pub topics: &'a dyn TopicView,
    /// The broker's limits.
    pub options: &'a GroupOptions,
    /// What applies to this group.
    pub config: ConsumerGroupConfig,
    /// Whether the caller may describe a topic: a pattern finds no others. `None`: any.
    pub may_describe: Option<&'a dyn Fn(&str) -> bool>,
}

/// Settings of one group: its own where it has some (resource type 32), else the broker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerGroupConfig {
    /// `consumer.session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// `consumer.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i32,
    /// `consumer.assignment.interval.ms`: least distance between two target assignments.
    pub assignment_interval_ms: i32,
}

impl From<&ConsumerGroupOptions> for ConsumerGroupConfig {
    fn from(options: &ConsumerGroupOptions) -> Self {
        Self {
            session_timeout_ms: options.session_timeout_ms,
            heartbeat_interval_ms: options.heartbeat_interval_ms,
            assignment_interval_ms: options.assignment_interval_ms,
        }
    }
}

/// A group's state (Kafka's `ConsumerGroup.ConsumerGroupState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GroupState {
    /// No members.
    Empty,
    /// The target assignment is older than the group.
    Assigning,
    /// Members are on their way to the target assignment.
    Reconciling,
    /// Every member has what it shall have.
    Stable,
}

impl GroupState {
    /// The name in answers to clients.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// What a request or the passing of time comes to.
#[derive(Debug)]
pub struct Outcome<R> {
    /// To be stored as one batch, then given to [`ConsumerGroup::replay`].
    pub records: Vec<CoordinatorRecord>,
    /// The answer, once the records are stored.
    pub reply: R,
    /// If present, the group ends with these records, and its members go on as a classic group: the caller adds that group's
    /// record to the same batch.
    pub downgrade: Option<Downgrade>,
}

impl<R> Outcome<R> {
    fn of(group_id: &str, changes: Vec<ConsumerGroupChange>, reply: R) -> Self {
        Self {
            records: encode(group_id, changes),
            reply,
            downgrade: None,
        }
    }

    /// The same with another answer.
    fn map<T>(self, answer: impl FnOnce(R) -> T) -> Outcome<T> {
        Outcome {
            records: self.records,
            reply: answer(self.reply),
            downgrade: self.downgrade,
        }
    }
}

/// The changes as records of one group.
fn encode(group_id: &str, changes: Vec<ConsumerGroupChange>) -> Vec<CoordinatorRecord> {
    let record = |change| {
        let group_id = group_id.to_owned();
        ConsumerGroupRecord { group_id, change }.encode()
    };
    changes.into_iter().map(record).collect()
}

/// What a client calls its protocols and their metadata.
pub type ClassicProtocols = Vec<(String, Bytes)>;

#[cfg(test)]
mod tests;
