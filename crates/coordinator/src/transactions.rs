//! Transactions as a pure state machine: who may write under a transactional id, which partitions its transaction has, and
//! how it ends.
//!
//! The promise: once an end is stored, every partition of the transaction gets that end's marker and no other, whatever is
//! lost, repeated or restarted in between; and what an earlier transaction left on the way ends no later one. Durable state
//! changes only by [`TransactionShard::replay`] of the records of `__transaction_state`, live and at start-up the same way.
//!
//! The markers themselves are the owner's to write: the shard says which ([`TransactionShard::take_markers`]) and is told
//! when they are ([`TransactionEvent::MarkersWritten`]).

mod error;
mod event;
mod filter;
mod options;
pub mod record;
mod shard;
mod state;
#[cfg(test)]
mod tests;
mod value;

pub use error::TransactionError;
pub use event::{
    AddPartitions, EndTransaction, InitProducerId, Markers, MarkersWritten, TopicPartition,
    TransactionEvent, TransactionReply, TransactionVersion,
};
pub use filter::{TransactionFilter, UnreadablePattern};
pub use options::TransactionOptions;
pub use shard::{
    NewProducerId, TransactionDescription, TransactionListing, TransactionShard, TransactionStats,
};
pub use state::TransactionState;
pub use value::TransactionValue;
