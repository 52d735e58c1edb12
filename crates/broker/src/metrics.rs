//! The broker room's metrics; nothing is process-global.
//!
//! What happens is counted in counters on the registry that the embedder passes in, each found once and kept where it is
//! counted. What is (offsets, sizes, lag) is read when somebody looks, and written to the page as it is read: `scrape`.

mod compat;
mod groups;
mod network;
mod own;
mod page;
mod process;
pub(crate) mod scrape;
mod survey;
pub(crate) mod traffic;
mod transactions;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use foldhash::{HashMap, HashMapExt};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use wire::ResponseError;
use wire::batch::Codec;
use wire::codec;

use self::groups::GroupMetrics;
use self::network::NetworkMetrics;
use self::process::RuntimeLoad;
use self::traffic::Traffic;
use self::transactions::TransactionMetrics;
use crate::apis::APIS;
use crate::net::reply::{Part, Reply};

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
    pub(crate) transactions: TransactionMetrics,
    /// What goes through all topics.
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) waiting_fetches: IntGauge,
    pub(crate) waiting_produces: IntGauge,
    produced: [Produced; CODECS.len()],
    /// By API and error.
    request_errors: IntCounterVec,
    runtime: RuntimeLoad,
    /// Bytes of the last page; the next one will be about as long.
    page_bytes: AtomicUsize,
    produce_refused: HashMap<i16, IntCounter>,
    produce_refused_other: IntCounter,
}

/// Codecs by their number, as labels.
const CODECS: [(Codec, &str); 5] = [
    (Codec::None, "none"),
    (Codec::Gzip, "gzip"),
    (Codec::Snappy, "snappy"),
    (Codec::Lz4, "lz4"),
    (Codec::Zstd, "zstd"),
];

/// What was appended for producers with one codec.
struct Produced {
    batches: IntCounter,
    records: IntCounter,
    bytes: IntCounter,
}

/// Counts somebody who is there, for as long as it is kept.
pub(crate) struct Present(IntGauge);

impl Present {
    pub(crate) fn at(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// One API's counters, looked up once.
pub(crate) struct ApiMetrics {
    pub(crate) requests: IntCounter,
    pub(crate) refused: IntCounter,
    pub(crate) request_bytes: IntCounter,
    pub(crate) seconds: Histogram,
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
            transactions: TransactionMetrics::register(registry)?,
            traffic: Arc::default(),
            waiting_fetches: gauge(
                registry,
                "tidewater_waiting_fetches",
                "Fetch requests that wait for new data.",
            )?,
            waiting_produces: gauge(
                registry,
                "tidewater_waiting_produces",
                "Partitions of produce requests with acks=all that wait for the other replicas.",
            )?,
            produced: produced(registry)?,
            request_errors: counters(
                registry,
                "tidewater_request_errors_total",
                "Error codes in responses, one for each partition, group or other thing that failed, by API.",
                &["request", "error"],
            )?,
            runtime: RuntimeLoad::register(registry)?,
            page_bytes: AtomicUsize::new(0),
            produce_refused: refusals(&refused_produce),
            produce_refused_other: refused_produce.with_label_values(&["other"]),
        })
    }

    /// The metrics of the row at `index` of the API table.
    pub(crate) fn api(&self, index: usize) -> &ApiMetrics {
        &self.apis[index]
    }

    /// Counts the errors in a response to the row at `index` of the API table.
    pub(crate) fn answered(&self, index: usize, version: i16, reply: &Reply) {
        // A fetch is answered in pieces; it counts for itself.
        let [Part::Memory(frame)] = reply.parts.as_slice() else {
            return;
        };
        let api = &APIS[index];
        let walked = codec::error_codes(api.key, version, frame, &mut |code| {
            self.request_error(api.name, code);
        });
        if let Err(error) = walked {
            // ApiVersions answers versions that nobody knows in the oldest there is.
            tracing::trace!(request = api.name, version, %error, "the errors of a response are not counted");
        }
    }

    /// Counts an error in a response; 0 is none.
    pub(crate) fn request_error(&self, request: &str, code: i16) {
        if code == 0 {
            return;
        }
        let error = match ResponseError::try_from_code(code) {
            Some(ResponseError::Unknown(_)) | None => "Unknown".to_owned(),
            Some(error) => format!("{error:?}"),
        };
        self.request_errors
            .with_label_values(&[request, &error])
            .inc();
    }

    /// A batch of a producer is in the log.
    pub(crate) fn produced(&self, codec: Codec, bytes: u64, records: u64) {
        let place = CODECS.iter().position(|(known, _)| *known == codec);
        if let Some(produced) = place.and_then(|place| self.produced.get(place)) {
            produced.batches.inc();
            produced.records.inc_by(records);
            produced.bytes.inc_by(bytes);
        }
    }

    pub(crate) fn produce_refused(&self, code: ResponseError) {
        self.produce_refused
            .get(&code.code())
            .unwrap_or(&self.produce_refused_other)
            .inc();
    }
}

fn produced(registry: &Registry) -> Result<[Produced; CODECS.len()], prometheus::Error> {
    let label = &["compression"];
    let batches = counters(
        registry,
        "tidewater_produced_batches_total",
        "Record batches taken from producers, by their compression in the log.",
        label,
    )?;
    let records = counters(
        registry,
        "tidewater_produced_records_total",
        "Records taken from producers, by their compression in the log.",
        label,
    )?;
    let bytes = counters(
        registry,
        "tidewater_produced_bytes_total",
        "Bytes of record batches taken from producers, by their compression in the log.",
        label,
    )?;
    Ok(CODECS.map(|(_, codec)| Produced {
        batches: batches.with_label_values(&[codec]),
        records: records.with_label_values(&[codec]),
        bytes: bytes.with_label_values(&[codec]),
    }))
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

fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(gauges.clone()))?;
    Ok(gauges)
}
