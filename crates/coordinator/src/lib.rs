//! Consumer groups and committed offsets as pure state machines: events and a time go in, records and replies come out.
//!
//! The promise: durable state changes only by [`GroupShard::replay`] of stored records, live and at start-up the same way, so
//! whoever replays the same records has the same groups. What is soft (timers, who waits for an answer) is said to be so,
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
pub mod records;
mod shard;
mod stats;
#[cfg(test)]
mod testing;
mod topics;

pub use decision::{CoordinatorRecord, Decision, Ticket};
pub use error::GroupError;
pub use event::{Event, Reply};
pub use offsets::CommittedOffset;
pub use options::{ConsumerGroupOptions, GroupOptions, MigrationPolicy};
pub use shard::{Committed, DurableGroup, GroupShard, GroupView, NewUuid, Replayed};
pub use stats::{EndedRebalance, GroupStats, RebalanceReason};
pub use topics::TopicView;
