//! What quotas held back, by kind and never by client.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

/// Throttle times: a window's length is the usual most.
const THROTTLE_SECONDS: [f64; 12] = [
    0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];

/// The metrics of all quotas.
pub(crate) struct QuotaMetrics {
    pub(crate) produce: Throttled,
    pub(crate) fetch: Throttled,
    pub(crate) request: Throttled,
    pub(crate) mutation: Throttled,
    pub(crate) address: Throttled,
    pub(crate) accept: Throttled,
}

/// The metrics of one kind.
pub(crate) struct Throttled {
    count: IntCounter,
    seconds: Histogram,
}

impl Throttled {
    /// Counts something that was held back.
    pub(crate) fn note(&self, throttle_ms: u64) {
        self.count.inc();
        self.seconds.observe(throttle_ms as f64 / 1_000.0);
    }
}

impl QuotaMetrics {
    /// Registers everything. Fails only when a name is registered twice, which is a bug.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counts = IntCounterVec::new(
            Opts::new(
                "tidewater_quota_throttled_total",
                "Requests and connections that were held back, by quota.",
            ),
            &["quota"],
        )?;
        registry.register(Box::new(counts.clone()))?;
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "tidewater_quota_throttle_seconds",
                "For how long requests and connections were held back, by quota.",
            )
            .buckets(THROTTLE_SECONDS.to_vec()),
            &["quota"],
        )?;
        registry.register(Box::new(seconds.clone()))?;
        let throttled = |quota: &str| Throttled {
            count: counts.with_label_values(&[quota]),
            seconds: seconds.with_label_values(&[quota]),
        };
        Ok(Self {
            produce: throttled("producer_byte_rate"),
            fetch: throttled("consumer_byte_rate"),
            request: throttled("request_percentage"),
            mutation: throttled("controller_mutation_rate"),
            address: throttled("connection_creation_rate"),
            accept: throttled("max.connection.creation.rate"),
        })
    }
}
