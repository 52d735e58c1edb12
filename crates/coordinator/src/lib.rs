//! Consumer groups, committed offsets and transactions as pure state machines: events and a time go in, records and replies come out.
//!
//! The promise: durable state changes only by [`GroupShard::replay`] and [`TransactionShard::replay`] of stored records, live and at start-up the same way, so
//! whoever replays the same records has the same groups and transactions. What is soft (timers, who waits for an answer) is said to be so,
//! and a restart forgets it without any member noticing more than a heartbeat.
//!
//! The crate knows no clock, no socket, no disk and no async runtime: time is an argument, waiting is a returned deadline, and
//! the topics of the cluster are a view handed in.

mod classic;
pub mod consumer;
mod deadlines;
mod decision;
mod error;
pub mod event;
mod offsets;
mod options;
mod pattern;
pub mod records;
mod shard;
mod stats;
#[cfg(test)]
mod testing;
mod topics;
pub mod transactions;

pub use decision::{CoordinatorRecord, Decision, Producer, Ticket};
pub use error::GroupError;
pub use event::{Event, Reply};
pub use offsets::PendingOffset;
pub use options::{ConsumerGroupOptions, GroupOptions, MigrationPolicy};
pub use shard::{Committed, DurableGroup, GroupShard, GroupView, NewUuid, Replayed};
pub use stats::{EndedRebalance, GroupStats, RebalanceReason};
pub use topics::TopicView;
pub use transactions::{
    TransactionError, TransactionEvent, TransactionOptions, TransactionReply, TransactionShard,
};
