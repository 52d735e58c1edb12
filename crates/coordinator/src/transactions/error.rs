//! Why a transaction coordinator refuses. Facts, not Kafka's codes: the broker translates.

use super::state::TransactionState;

/// Why a request on a transactional id fails. Each variant is one meaning; its number in Kafka's protocol, which for some
/// depends on the request's version, is the broker's business.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// The request contradicts itself.
    #[error("{reason}")]
    InvalidRequest {
        /// What is wrong with it, for the client's log.
        reason: &'static str,
    },
    /// The transaction timeout is not above 0, or above `transaction.max.timeout.ms`.
    #[error("the transaction timeout {timeout_ms} ms is outside the allowed range")]
    InvalidTimeout {
        /// What was asked for.
        timeout_ms: i32,
    },
    /// There is no such transactional id, or its producer id is another one.
    #[error("the transactional id does not have this producer id")]
    InvalidProducerIdMapping,
    /// The transactional id has a newer epoch: another producer took its place.
    #[error("a producer with a newer epoch took this one's place")]
    ProducerFenced,
    /// A transaction of this id is being ended; asking again helps.
    #[error("a transaction of this id is still being ended")]
    ConcurrentTransactions,
    /// What is asked for cannot follow on the state the transaction is in.
    #[error("the transaction is in the state {state}")]
    InvalidState {
        /// The state.
        state: TransactionState,
    },
    /// The partition is not part of the transaction; the producer can go on after an abort.
    #[error("the partition is not part of the transaction")]
    Abortable,
    /// The transaction has more partitions than a record of the log may hold.
    #[error("the partitions of the transaction would take {bytes} bytes, {max_bytes} are allowed")]
    TooManyPartitions {
        /// What they would take.
        bytes: usize,
        /// What they may take.
        max_bytes: usize,
    },
    /// The state is still being read from the log, or no producer id is at hand; asking again helps.
    #[error("the coordinator is loading")]
    CoordinatorLoading,
    /// What was decided could not be stored; trying again may help.
    #[error("the coordinator cannot store its decision now")]
    CoordinatorUnavailable,
    /// Another broker coordinates this transactional id.
    #[error("this broker does not coordinate the transactional id")]
    NotCoordinator,
    /// The decision is too large for the log, or the broker is at fault; trying again does not help.
    #[error("the coordinator failed")]
    Internal,
}
