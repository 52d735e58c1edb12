//! The store's metrics; none is labelled by topic.

use prometheus::{
    CounterVec, Histogram, HistogramOpts, IntCounter, IntGauge, IntGaugeVec, Opts, Registry,
};
use rocksdb::Cache;
use rocksdb::statistics::Ticker;

use crate::db::Db;

/// What RocksDB says of itself, as it stands: its property, the metric's name, what it means.
const ROCKSDB_GAUGES: [(&str, &str, &str); 9] = [
    (
        "rocksdb.is-write-stopped",
        "write_stopped",
        "1 while RocksDB accepts no writes.",
    ),
    (
        "rocksdb.actual-delayed-write-rate",
        "delayed_write_bytes_per_second",
        "Rate to which RocksDB slows writes down, 0 when it does not.",
    ),
    (
        "rocksdb.estimate-pending-compaction-bytes",
        "pending_compaction_bytes",
        "Bytes that RocksDB still has to compact.",
    ),
    (
        "rocksdb.num-running-compactions",
        "running_compactions",
        "Compactions of RocksDB under way.",
    ),
    (
        "rocksdb.num-running-flushes",
        "running_flushes",
        "Memtables of RocksDB being written to files.",
    ),
    (
        "rocksdb.background-errors",
        "background_errors",
        "Errors of RocksDB's own threads.",
    ),
    (
        "rocksdb.size-all-mem-tables",
        "memtable_bytes",
        "Memory of RocksDB's memtables.",
    ),
    (
        "rocksdb.estimate-num-keys",
        "keys",
        "About how many rows RocksDB has.",
    ),
    (
        "rocksdb.total-sst-files-size",
        "sst_bytes",
        "Size of RocksDB's table files.",
    ),
];

/// What RocksDB has counted: its ticker, what one of it is, the metric's name, what it means.
const ROCKSDB_COUNTERS: [(Ticker, f64, &str, &str); 3] = [
    (
        Ticker::StallMicros,
        1e-6,
        "stall_seconds_total",
        "Time that RocksDB made writers wait.",
    ),
    (
        Ticker::BlockCacheHit,
        1.0,
        "block_cache_hits_total",
        "Blocks that RocksDB found in its cache.",
    ),
    (
        Ticker::BlockCacheMiss,
        1.0,
        "block_cache_misses_total",
        "Blocks that RocksDB had to read from a file.",
    ),
];

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
    pub(crate) rocksdb: RocksdbMetrics,
    pub(crate) cleaner: CleanerMetrics,
}

/// What RocksDB says of itself, by log directory.
#[derive(Debug)]
pub(crate) struct RocksdbMetrics {
    gauges: Vec<(&'static str, IntGaugeVec)>,
    counters: Vec<(Ticker, f64, CounterVec)>,
    sst_files: IntGaugeVec,
    /// All directories have one.
    block_cache_bytes: IntGauge,
}

impl RocksdbMetrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let named = |name: &str, help: &str| {
            let name = format!("tidewater_storage_rocksdb_{name}");
            Opts::new(name, help)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGaugeVec, prometheus::Error> {
            let metric = IntGaugeVec::new(named(name, help), &["dir"])?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let counter = |name: &str, help: &str| -> Result<CounterVec, prometheus::Error> {
            let metric = CounterVec::new(named(name, help), &["dir"])?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let cache = named("block_cache_bytes", "Memory of RocksDB's block cache.");
        let block_cache_bytes = IntGauge::with_opts(cache)?;
        registry.register(Box::new(block_cache_bytes.clone()))?;
        let gauges = ROCKSDB_GAUGES.iter().map(|(property, name, help)| {
            let metric = gauge(name, help)?;
            Ok((*property, metric))
        });
        let counters = ROCKSDB_COUNTERS.iter().map(|(ticker, unit, name, help)| {
            let metric = counter(name, help)?;
            Ok((*ticker, *unit, metric))
        });
        Ok(Self {
            gauges: gauges.collect::<Result<_, prometheus::Error>>()?,
            counters: counters.collect::<Result<_, prometheus::Error>>()?,
            sst_files: gauge("sst_files", "RocksDB's table files.")?,
            block_cache_bytes,
        })
    }

    /// Takes over how the database of a directory is. Microseconds.
    pub(crate) fn refresh(&self, dir: &str, db: &Db, cache: &Cache) {
        let as_gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        for (property, gauge) in &self.gauges {
            let value = db.property(property);
            gauge.with_label_values(&[dir]).set(as_gauge(value));
        }
        for (ticker, unit, counter) in &self.counters {
            let counter = counter.with_label_values(&[dir]);
            let counted = db.ticker(*ticker) as f64 * unit;
            counter.inc_by((counted - counter.get()).max(0.0));
        }
        let files = self.sst_files.with_label_values(&[dir]);
        files.set(as_gauge(db.sst_files()));
        let bytes = cache.get_usage() as u64;
        self.block_cache_bytes.set(as_gauge(bytes));
    }
}

/// Compaction.
#[derive(Debug)]
pub(crate) struct CleanerMetrics {
    pub(crate) read_bytes: IntCounter,
    pub(crate) written_bytes: IntCounter,
    pub(crate) poison_batches: IntCounter,
    pub(crate) failures: IntCounter,
    pub(crate) run_seconds: Histogram,
}

impl CleanerMetrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let metric = IntCounter::new(format!("tidewater_storage_cleaner_{name}"), help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let buckets = prometheus::exponential_buckets(0.001, 4.0, 12)?;
        let options = HistogramOpts::new(
            "tidewater_storage_cleaner_run_seconds",
            "Time to compact one log.",
        );
        let run_seconds = Histogram::with_opts(options.buckets(buckets))?;
        registry.register(Box::new(run_seconds.clone()))?;
        Ok(Self {
            read_bytes: counter("read_bytes_total", "Bytes of batches that compaction read.")?,
            written_bytes: counter(
                "written_bytes_total",
                "Bytes of batches that compaction wrote again.",
            )?,
            poison_batches: counter(
                "poison_batches_total",
                "Batches that compaction could not read and kept as they are, in every run anew.",
            )?,
            failures: counter("failures_total", "Compactions of a log that failed.")?,
            run_seconds,
        })
    }
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
            rocksdb: RocksdbMetrics::register(registry)?,
            cleaner: CleanerMetrics::register(registry)?,
        })
    }
}
