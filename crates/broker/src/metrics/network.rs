//! Metrics of connections.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Registry};

use super::{counter, counters, gauges};
use crate::net::connection::Ended;
use crate::net::listener::ConnectionLimits;

pub(crate) struct NetworkMetrics {
    /// By listener.
    pub(crate) connections: IntGaugeVec,
    pub(crate) accepted: IntCounter,
    /// By reason: closed by the peer, idle, stalled, refused, …
    pub(crate) ended: IntCounterVec,
    pub(crate) rejected: IntCounterVec,
    pub(crate) sent_bytes: IntCounter,
}

impl NetworkMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let this = Self {
            connections: gauges(
                registry,
                "tidewater_connections",
                "Client connections open now, by listener.",
                &["listener"],
            )?,
            accepted: counter(
                registry,
                "tidewater_connections_accepted_total",
                "Client connections accepted.",
            )?,
            ended: counters(
                registry,
                "tidewater_connections_ended_total",
                "Client connections ended, by reason.",
                &["reason"],
            )?,
            rejected: counters(
                registry,
                "tidewater_connections_rejected_total",
                "Client connections closed at once because of a limit.",
                &["limit"],
            )?,
            sent_bytes: counter(
                registry,
                "tidewater_sent_bytes_total",
                "Response bytes written to clients.",
            )?,
        };
        // A series that exists from the start shows its first increase.
        for reason in Ended::REASONS {
            this.ended.with_label_values(&[reason]);
        }
        for limit in ConnectionLimits::NAMES {
            this.rejected.with_label_values(&[limit]);
        }
        Ok(this)
    }
}
