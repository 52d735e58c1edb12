//! The store's metrics; none is labelled by topic.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, IntGaugeVec, Opts, Registry};

/// Every metric of the store, registered on the caller's registry.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) appended_bytes: IntCounter,
    pub(crate) appended_batches: IntCounter,
    pub(crate) append_seconds: Histogram,
    pub(crate) fsync_seconds: Histogram,
    pub(crate) segments: IntGauge,
    pub(crate) tail_cache_bytes: IntGauge,
    pub(crate) tail_cache_hits: IntCounter,
    pub(crate) tail_cache_misses: IntCounter,
    pub(crate) cold_reads: IntCounter,
    pub(crate) journal_bytes: IntCounter,
    pub(crate) disk_free_bytes: IntGaugeVec,
    pub(crate) disk_total_bytes: IntGaugeVec,
    pub(crate) disk_pressure: IntGaugeVec,
    pub(crate) offline_dirs: IntGauge,
    pub(crate) rocksdb_write_stopped: IntGaugeVec,
    pub(crate) rocksdb_delayed_write_rate: IntGaugeVec,
    pub(crate) rocksdb_pending_compaction_bytes: IntGaugeVec,
    pub(crate) rocksdb_background_errors: IntGaugeVec,
}

impl Metrics {
    /// Fails when a name is taken on the registry.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let metric = IntCounter::new(format!("tidewater_storage_{name}"), help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let metric = IntGauge::new(format!("tidewater_storage_{name}"), help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let by_dir = |name: &str, help: &str| -> Result<IntGaugeVec, prometheus::Error> {
            let metric = IntGaugeVec::new(
                Opts::new(format!("tidewater_storage_{name}"), help),
                &["dir"],
            )?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let seconds = |name: &str, help: &str| -> Result<Histogram, prometheus::Error> {
            let buckets = prometheus::exponential_buckets(0.00001, 3.0, 12)?;
            let options =
                HistogramOpts::new(format!("tidewater_storage_{name}"), help).buckets(buckets);
            let metric = Histogram::with_opts(options)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        Ok(Self {
            appended_bytes: counter(
                "appended_bytes_total",
                "Bytes of record batches appended to logs.",
            )?,
            appended_batches: counter(
                "appended_batches_total",
                "Record batches appended to logs.",
            )?,
            append_seconds: seconds(
                "append_seconds",
                "Time to append one group of batches to one log.",
            )?,
            fsync_seconds: seconds(
                "fsync_seconds",
                "Time of one fsync of a segment or journal file.",
            )?,
            segments: gauge("segments", "Segments of all logs.")?,
            tail_cache_bytes: gauge(
                "tail_cache_bytes",
                "Bytes of recent batches held for consumers at the tail.",
            )?,
            tail_cache_hits: counter(
                "tail_cache_hits_total",
                "Reads answered from the tail cache.",
            )?,
            tail_cache_misses: counter(
                "tail_cache_misses_total",
                "Reads answered from segment files.",
            )?,
            cold_reads: counter(
                "cold_reads_total",
                "Reads that were allowed to wait for the disk.",
            )?,
            journal_bytes: counter("journal_bytes_total", "Bytes written to journals.")?,
            disk_free_bytes: by_dir("disk_free_bytes", "Free space of a log directory's disk.")?,
            disk_total_bytes: by_dir("disk_total_bytes", "Size of a log directory's disk.")?,
            disk_pressure: by_dir(
                "disk_pressure",
                "0 normal, 1 producers are throttled, 2 appends are refused.",
            )?,
            offline_dirs: gauge("offline_dirs", "Log directories that failed.")?,
            rocksdb_write_stopped: by_dir(
                "rocksdb_write_stopped",
                "1 while RocksDB accepts no writes.",
            )?,
            rocksdb_delayed_write_rate: by_dir(
                "rocksdb_delayed_write_bytes_per_second",
                "Rate to which RocksDB slows writes down, 0 when it does not.",
            )?,
            rocksdb_pending_compaction_bytes: by_dir(
                "rocksdb_pending_compaction_bytes",
                "Bytes that RocksDB still has to compact.",
            )?,
            rocksdb_background_errors: by_dir(
                "rocksdb_background_errors",
                "Errors of RocksDB's own threads.",
            )?,
        })
    }
}
