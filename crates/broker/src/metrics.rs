//! The broker room's metrics, registered on the registry that the embedder passes in; nothing is process-global.

use coordinator::{GroupStats, RebalanceReason};
use foldhash::{HashMap, HashMapExt};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use wire::ResponseError;

use crate::apis::APIS;
use crate::net::connection::Ended;
use crate::net::listener::ConnectionLimits;

/// Request latency, seconds: the buckets of every latency histogram of this broker.
const LATENCY_SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Everything this room counts.
pub(crate) struct Metrics {
    apis: Vec<ApiMetrics>,
    pub(crate) network: NetworkMetrics,
    pub(crate) fetched_bytes: IntCounter,
    /// Partition reads that had to go to the disk on a blocking thread.
    pub(crate) cold_reads: IntCounter,
    pub(crate) ready_seconds: Histogram,
    pub(crate) topics: IntGauge,
    pub(crate) partitions: IntGauge,
    pub(crate) fetch_sessions: IntGauge,
    pub(crate) memory_available_bytes: IntGauge,
    pub(crate) groups: GroupMetrics,
    produce_refused: HashMap<i16, IntCounter>,
    produce_refused_other: IntCounter,
}

/// What the group coordinators of this broker have and do.
pub(crate) struct GroupMetrics {
    /// By type and state.
    pub(crate) groups: IntGaugeVec,
    pub(crate) members: IntGauge,
    pub(crate) offsets: IntGauge,
    /// By reason.
    rebalances: IntCounterVec,
    rebalance_seconds: Histogram,
    offset_commits: IntCounter,
    offset_deletions: IntCounter,
    offset_expirations: IntCounter,
}

/// One API's counters, looked up once.
pub(crate) struct ApiMetrics {
    pub(crate) requests: IntCounter,
    pub(crate) refused: IntCounter,
    pub(crate) request_bytes: IntCounter,
    pub(crate) seconds: Histogram,
}

pub(crate) struct NetworkMetrics {
    pub(crate) connections: IntGauge,
    pub(crate) accepted: IntCounter,
    /// By reason: closed by the peer, idle, stalled, refused, …
    pub(crate) ended: IntCounterVec,
    pub(crate) rejected: IntCounterVec,
    pub(crate) sent_bytes: IntCounter,
}

impl Metrics {
    /// Registers everything. Fails only when a name is registered twice, which is a bug.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = counters(
            registry,
            "tidewater_requests_total",
            "Requests taken up, by API.",
            &["request"],
        )?;
        let refused = counters(
            registry,
            "tidewater_requests_refused_total",
            "Requests of a version that is not spoken, by API.",
            &["request"],
        )?;
        let bytes = counters(
            registry,
            "tidewater_request_bytes_total",
            "Request body bytes, by API.",
            &["request"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "tidewater_request_seconds",
                "Time from a request's last byte to its response, waiting included, by API.",
            )
            .buckets(LATENCY_SECONDS.to_vec()),
            &["request"],
        )?;
        registry.register(Box::new(seconds.clone()))?;
        let apis = APIS
            .iter()
            .map(|api| ApiMetrics {
                requests: requests.with_label_values(&[api.name]),
                refused: refused.with_label_values(&[api.name]),
                request_bytes: bytes.with_label_values(&[api.name]),
                seconds: seconds.with_label_values(&[api.name]),
            })
            .collect();
        let refused_produce = counters(
            registry,
            "tidewater_produce_refused_total",
            "Partitions of produce requests that were refused, by error.",
            &["error"],
        )?;
        Ok(Self {
            apis,
            network: NetworkMetrics::register(registry)?,
            fetched_bytes: counter(
                registry,
                "tidewater_fetched_bytes_total",
                "Record bytes sent to consumers.",
            )?,
            cold_reads: counter(
                registry,
                "tidewater_cold_reads_total",
                "Partition reads that were not in memory and went to the disk.",
            )?,
            ready_seconds: ready_histogram(registry)?,
            topics: gauge(registry, "tidewater_topics", "Topics known to this broker.")?,
            partitions: gauge(
                registry,
                "tidewater_partitions",
                "Partitions with a log on this broker.",
            )?,
            fetch_sessions: gauge(
                registry,
                "tidewater_fetch_sessions",
                "Incremental fetch sessions held.",
            )?,
            memory_available_bytes: gauge(
                registry,
                "tidewater_request_memory_available_bytes",
                "What is free of the request memory budget (queued.max.request.bytes).",
            )?,
            groups: GroupMetrics::register(registry)?,
            produce_refused: refusals(&refused_produce),
            produce_refused_other: refused_produce.with_label_values(&["other"]),
        })
    }

    /// The metrics of the row at `index` of the API table.
    pub(crate) fn api(&self, index: usize) -> &ApiMetrics {
        &self.apis[index]
    }

    pub(crate) fn produce_refused(&self, code: ResponseError) {
        self.produce_refused
            .get(&code.code())
            .unwrap_or(&self.produce_refused_other)
            .inc();
    }
}

/// The errors a partition's produce may meet, each a label; anything else counts as "other".
fn refusals(vec: &IntCounterVec) -> HashMap<i16, IntCounter> {
    let mut counters = HashMap::new();
    for code in [
        ResponseError::CorruptMessage,
        ResponseError::UnknownTopicOrPartition,
        ResponseError::UnknownTopicId,
        ResponseError::NotLeaderOrFollower,
        ResponseError::RequestTimedOut,
        ResponseError::MessageTooLarge,
        ResponseError::InvalidTimestamp,
        ResponseError::OutOfOrderSequenceNumber,
        ResponseError::InvalidProducerEpoch,
        ResponseError::KafkaStorageError,
        ResponseError::InvalidRecord,
        ResponseError::InvalidTxnState,
    ] {
        counters.insert(code.code(), vec.with_label_values(&[&format!("{code:?}")]));
    }
    counters
}

fn ready_histogram(registry: &Registry) -> Result<Histogram, prometheus::Error> {
    let histogram = Histogram::with_opts(
        HistogramOpts::new(
            "tidewater_start_seconds",
            "Time from the start of the broker to its first open listener.",
        )
        .buckets(LATENCY_SECONDS.to_vec()),
    )?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

/// Rebalances wait for members, so they take seconds.
const REBALANCE_SECONDS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// Types and states of groups that last, as ListGroups names them; each has its series also when it has no groups.
const GROUP_STATES: [(&str, &str); 8] = [
    ("classic", "Empty"),
    ("classic", "PreparingRebalance"),
    ("classic", "CompletingRebalance"),
    ("classic", "Stable"),
    ("consumer", "Empty"),
    ("consumer", "Assigning"),
    ("consumer", "Reconciling"),
    ("consumer", "Stable"),
];

impl GroupMetrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let groups = IntGaugeVec::new(
            Opts::new(
                "tidewater_groups",
                "Groups coordinated here, by protocol and state.",
            ),
            &["type", "state"],
        )?;
        registry.register(Box::new(groups.clone()))?;
        let rebalance_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "tidewater_group_rebalance_seconds",
                "Time from the beginning of a classic group's rebalance to its assignment.",
            )
            .buckets(REBALANCE_SECONDS.to_vec()),
        )?;
        registry.register(Box::new(rebalance_seconds.clone()))?;
        let counter = |name, help| counter(registry, name, help);
        let this = Self {
            groups,
            rebalance_seconds,
            members: gauge(
                registry,
                "tidewater_group_members",
                "Members of the groups coordinated here.",
            )?,
            offsets: gauge(
                registry,
                "tidewater_group_offsets",
                "Committed offsets kept here.",
            )?,
            rebalances: counters(
                registry,
                "tidewater_group_rebalances_total",
                "Rebalances begun by classic groups, and epochs begun by groups of the new protocol, by reason.",
                &["type", "reason"],
            )?,
            offset_commits: counter(
                "tidewater_group_offset_commits_total",
                "Offsets accepted from members and others.",
            )?,
            offset_deletions: counter(
                "tidewater_group_offset_deletions_total",
                "Offsets removed because somebody asked for it.",
            )?,
            offset_expirations: counter(
                "tidewater_group_offset_expirations_total",
                "Offsets removed by retention, or with their topic.",
            )?,
        };
        for reason in RebalanceReason::ALL {
            this.rebalances
                .with_label_values(&["classic", reason.label()]);
        }
        Ok(this)
    }

    /// Adds what a coordinator has counted since it was last asked.
    pub(crate) fn add(&self, before: &GroupStats, now: &GroupStats, rebalances_ms: &[i64]) {
        let grown = |now: u64, before: u64| now.saturating_sub(before);
        for (at, reason) in RebalanceReason::ALL.iter().enumerate() {
            self.rebalances
                .with_label_values(&["classic", reason.label()])
                .inc_by(grown(now.rebalances[at], before.rebalances[at]));
        }
        for (reason, count) in &now.consumer_rebalances {
            let before = before.consumer_rebalances.get(reason).copied();
            self.rebalances
                .with_label_values(&["consumer", reason])
                .inc_by(grown(*count, before.unwrap_or(0)));
        }
        for ms in rebalances_ms {
            self.rebalance_seconds.observe(*ms as f64 / 1_000.0);
        }
        self.offset_commits
            .inc_by(grown(now.offset_commits, before.offset_commits));
        self.offset_deletions
            .inc_by(grown(now.offset_deletions, before.offset_deletions));
        self.offset_expirations
            .inc_by(grown(now.offset_expirations, before.offset_expirations));
    }

    /// Shows what all coordinators have now.
    pub(crate) fn show(&self, all: &[GroupStats]) {
        self.groups.reset();
        for (kind, state) in GROUP_STATES {
            self.groups.with_label_values(&[kind, state]).set(0);
        }
        let as_gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        for (kind, state, count) in all.iter().flat_map(|stats| &stats.groups) {
            self.groups
                .with_label_values(&[*kind, *state])
                .add(as_gauge(*count));
        }
        self.members
            .set(as_gauge(all.iter().map(|stats| stats.members).sum()));
        self.offsets
            .set(as_gauge(all.iter().map(|stats| stats.offsets).sum()));
    }
}

impl NetworkMetrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let this = Self {
            connections: gauge(
                registry,
                "tidewater_connections",
                "Client connections open now.",
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

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    let gauge = IntGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}
