//! Offsets and groups through the shard's door; what members do is tested with the classic groups.

mod commit;
mod consumer;
mod expiry;
mod mixed;
mod query;
mod remove;
mod replay;
mod transactions;
