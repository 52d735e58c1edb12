//! Metrics of the transaction coordinators.

use coordinator::transactions::{TransactionState, TransactionStats};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGaugeVec, Registry};

use super::{LATENCY_SECONDS, counter, counters, gauges};

/// What the transaction coordinators of this broker have and do.
pub(crate) struct TransactionMetrics {
    /// By state.
    ids: IntGaugeVec,
    committed: IntCounter,
    aborted: IntCounter,
    timed_out: IntCounter,
    expired: IntCounter,
    /// Requests that waited for the transaction before.
    pub(crate) waits: IntCounter,
    completion_seconds: Histogram,
}

impl TransactionMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name, help| counter(registry, name, help);
        let ended = counters(
            registry,
            "tidewater_transactions_total",
            "Transactions completed, by how they ended.",
            &["end"],
        )?;
        let completion_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "tidewater_transaction_completion_seconds",
                "Time from the stored decision on a transaction's end until all its partitions have their marker.",
            )
            .buckets(LATENCY_SECONDS.to_vec()),
        )?;
        registry.register(Box::new(completion_seconds.clone()))?;
        Ok(Self {
            ids: gauges(
                registry,
                "tidewater_transactional_ids",
                "Transactional ids coordinated here, by the state of their transaction.",
                &["state"],
            )?,
            committed: ended.with_label_values(&["commit"]),
            aborted: ended.with_label_values(&["abort"]),
            timed_out: counter(
                "tidewater_transactions_timed_out_total",
                "Transactions aborted because they had gone on for longer than their producer's timeout.",
            )?,
            expired: counter(
                "tidewater_transactional_ids_expired_total",
                "Transactional ids forgotten because their producers had begun no transaction for long enough.",
            )?,
            waits: counter(
                "tidewater_transaction_waits_total",
                "Requests that waited for the transaction before theirs to be completed.",
            )?,
            completion_seconds,
        })
    }

    /// A transaction is complete.
    pub(crate) fn completed(&self, committed: bool, seconds: f64) {
        let ended = if committed {
            &self.committed
        } else {
            &self.aborted
        };
        ended.inc();
        self.completion_seconds.observe(seconds);
    }

    /// Adds what a coordinator has counted since it was last asked.
    pub(crate) fn add(&self, before: &TransactionStats, now: &TransactionStats) {
        self.timed_out
            .inc_by(now.timed_out.saturating_sub(before.timed_out));
        self.expired
            .inc_by(now.expired.saturating_sub(before.expired));
    }

    /// Shows what all coordinators have now.
    pub(crate) fn show(&self, all: &[TransactionStats]) {
        for state in TransactionState::ALL {
            let ids: u64 = all.iter().map(|stats| stats.by_state[state as usize]).sum();
            self.ids
                .with_label_values(&[state.name()])
                .set(i64::try_from(ids).unwrap_or(i64::MAX));
        }
    }
}
