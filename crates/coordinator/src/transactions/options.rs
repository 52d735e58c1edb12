//! The limits of transactions; the broker fills them from its configuration keys.

/// Limits of transactions. `Default` is Kafka 4.4's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionOptions {
    /// `transaction.max.timeout.ms`: the longest timeout a producer may ask for.
    pub max_timeout_ms: i32,
    /// `transactional.id.expiration.ms`: how long an id without a transaction is remembered.
    pub id_expiration_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`: how often idle ids are looked for.
    pub id_expiration_check_ms: i64,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`: how often transactions are looked for that have gone
    /// on for longer than their timeout.
    pub abort_timed_out_interval_ms: i64,
}

impl Default for TransactionOptions {
    fn default() -> Self {
        Self {
            max_timeout_ms: 900_000,
            id_expiration_ms: 7 * 24 * 60 * 60 * 1_000,
            id_expiration_check_ms: 3_600_000,
            abort_timed_out_interval_ms: 10_000,
        }
    }
}
