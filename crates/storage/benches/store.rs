//! Measures again what decided the partition store's design (the tables at the top of the design note): where should a
//! batch live?
//!
//! `cargo bench --package tidewater-storage -- [--dir PATH] [--mib N] [NAME…]` runs the rows whose name contains one of the
//! names, on PATH (a fresh directory there; the system's temporary directory by default). Every row writes the same batches,
//! and the rows of one run are comparable; those of two days are not.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

extern crate tidewater_storage as storage;

use std::fs::File;
use std::io::{IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rocksdb::{DB, WriteBatch, WriteOptions};
use storage::{
    AppendJob, LogKey, LogOptions, NoEvents, Origin, PartitionLog, ReadLimits, ReadMode, Store,
    StoreOptions,
};
use uuid::Uuid;
use wire::Bytes;
use wire::batch::{BatchBuilder, BatchOptions};

const PARTITIONS: usize = 16;
const MANY_PARTITIONS: usize = 2_000;
/// What the submitting thread writes itself.
const INLINE: usize = 64 << 10;

/// One way of keeping batches.
trait Engine {
    /// Appends one group: `group[n]` belongs to partition `partitions[n]`.
    fn append(&mut self, partitions: &[usize], group: &[Bytes], sync: bool);
    /// Reads one partition from its beginning and returns the bytes seen.
    fn read(&mut self, partition: usize) -> u64;
    /// Everything is written that is going to be.
    fn finish(&mut self) {}
}

/// A plain file for each partition: the limit of what can be had.
struct FilePerPartition {
    files: Vec<(File, u64)>,
}

impl FilePerPartition {
    fn new(dir: &Path, partitions: usize) -> Self {
        let open = |n| (create(&dir.join(format!("{n}.log"))), 0);
        Self {
            files: (0..partitions).map(open).collect(),
        }
    }
}

impl Engine for FilePerPartition {
    fn append(&mut self, partitions: &[usize], group: &[Bytes], sync: bool) {
        for (partition, batch) in partitions.iter().zip(group) {
            let (file, at) = &mut self.files[*partition];
            file.write_all_at(batch, *at).expect("the disk takes it");
            *at += batch.len() as u64;
            if sync {
                rustix::fs::fdatasync(&*file).expect("the disk takes it");
            }
        }
    }

    fn read(&mut self, partition: usize) -> u64 {
        let (file, size) = &self.files[partition];
        read_range(file, 0, *size)
    }
}

/// One file for all, and an entry in RocksDB for each batch.
struct SharedFile {
    file: File,
    at: u64,
    db: DB,
    next: Vec<u64>,
}

impl SharedFile {
    fn new(dir: &Path, partitions: usize) -> Self {
        Self {
            file: create(&dir.join("shared.log")),
            at: 0,
            db: small_db(&dir.join("db")),
            next: vec![0; partitions],
        }
    }
}

impl Engine for SharedFile {
    fn append(&mut self, partitions: &[usize], group: &[Bytes], sync: bool) {
        let slices: Vec<_> = group.iter().map(|batch| IoSlice::new(batch)).collect();
        let written = rustix::io::pwritev(&self.file, &slices, self.at).expect("the disk takes it");
        assert_eq!(written, group.iter().map(Bytes::len).sum::<usize>());
        let mut index = WriteBatch::default();
        for (partition, batch) in partitions.iter().zip(group) {
            let next = &mut self.next[*partition];
            index.put(
                key(*partition, *next),
                [self.at.to_be_bytes(), (batch.len() as u64).to_be_bytes()].concat(),
            );
            *next += 1;
            self.at += batch.len() as u64;
        }
        if sync {
            rustix::fs::fdatasync(&self.file).expect("the disk takes it");
        }
        self.db.write(index).expect("RocksDB takes it");
    }

    fn read(&mut self, partition: usize) -> u64 {
        let mut bytes = 0;
        for n in 0..self.next[partition] {
            let entry = self
                .db
                .get(key(partition, n))
                .expect("RocksDB answers")
                .expect("the entry was written");
            let number =
                |at: usize| u64::from_be_bytes(entry[at..at + 8].try_into().expect("eight bytes"));
            bytes += read_range(&self.file, number(0), number(8));
        }
        bytes
    }
}

/// The batch is a RocksDB value: levelled, or in BlobDB.
struct RocksValues {
    db: DB,
    next: Vec<u64>,
}

impl RocksValues {
    fn new(dir: &Path, partitions: usize, blobs: bool) -> Self {
        let mut options = rocksdb::Options::default();
        options.create_if_missing(true);
        options.set_write_buffer_size(64 << 20);
        options.set_max_background_jobs(2);
        options.set_enable_blob_files(blobs);
        Self {
            db: DB::open(&options, dir.join("db")).expect("RocksDB opens"),
            next: vec![0; partitions],
        }
    }
}

impl Engine for RocksValues {
    fn append(&mut self, partitions: &[usize], group: &[Bytes], sync: bool) {
        let mut values = WriteBatch::default();
        for (partition, batch) in partitions.iter().zip(group) {
            values.put(key(*partition, self.next[*partition]), batch);
            self.next[*partition] += 1;
        }
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.db
            .write_opt(values, &options)
            .expect("RocksDB takes it");
    }

    fn read(&mut self, partition: usize) -> u64 {
        let mut rows = self.db.raw_iterator();
        rows.seek(key(partition, 0));
        let mut bytes = 0;
        while let Some((found, value)) = rows.item()
            && found.starts_with(&(partition as u64).to_be_bytes())
        {
            bytes += value.len() as u64;
            rows.next();
        }
        bytes
    }

    fn finish(&mut self) {
        self.db.flush().expect("RocksDB takes it");
    }
}

/// This crate.
struct Ours {
    store: Store,
    logs: Vec<Arc<PartitionLog>>,
    sender: mpsc::Sender<()>,
    receiver: mpsc::Receiver<()>,
    /// Groups that may be under way; 1 waits for each.
    in_flight: usize,
    waiting: usize,
}

struct WallClock;

impl storage::Clock for WallClock {
    fn now_ms(&self) -> i64 {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970");
        i64::try_from(since.as_millis()).expect("before the year 292 million")
    }
}

/// How this store is used.
struct Shape {
    /// Every group is on the disk before it is answered.
    every_write: bool,
    in_flight: usize,
    inline_append_bytes: usize,
}

impl Ours {
    fn new(dir: &Path, partitions: usize, shape: Shape) -> Self {
        let Shape {
            every_write,
            in_flight,
            inline_append_bytes,
        } = shape;
        let mut options = StoreOptions::new(vec![dir.join("store")], "bench", 1);
        options.tail_cache_bytes = 32 << 20;
        options.inline_append_bytes = inline_append_bytes;
        let registry = prometheus::Registry::new();
        let store = Store::open(options, Arc::new(WallClock), Arc::new(NoEvents), &registry)
            .expect("the store opens");
        let flush_messages = if every_write { 1 } else { i64::MAX };
        let count = i32::try_from(partitions).expect("few");
        let logs = (0..count)
            .map(|partition| create_log(&store, partition, flush_messages))
            .collect();
        let (sender, receiver) = mpsc::channel();
        Self {
            store,
            logs,
            sender,
            receiver,
            in_flight,
            waiting: 0,
        }
    }
}

impl Engine for Ours {
    fn append(&mut self, partitions: &[usize], group: &[Bytes], _sync: bool) {
        let jobs = partitions
            .iter()
            .zip(group)
            .map(|(partition, batch)| job(&self.logs[*partition], batch))
            .collect();
        let sender = self.sender.clone();
        self.store.append(
            jobs,
            Box::new(move |results| {
                assert!(results.iter().all(Result::is_ok));
                let _ = sender.send(());
            }),
        );
        self.waiting += 1;
        if self.waiting >= self.in_flight {
            self.receiver.recv().expect("appends are answered");
            self.waiting -= 1;
        }
    }

    fn read(&mut self, partition: usize) -> u64 {
        let log = &self.logs[partition];
        let (mut offset, mut bytes) = (0, 0);
        while offset < log.log_end_offset() {
            let limits = ReadLimits {
                max_bytes: 1 << 20,
                below: i64::MAX,
                whole_first_batch: true,
            };
            let found = log.read(offset, limits, ReadMode::NoWait);
            let found = found
                .or_else(|_| log.read(offset, limits, ReadMode::Wait))
                .expect("the log is readable");
            let data = found.to_bytes().expect("the disk answers");
            bytes += data.len() as u64;
            let last = wire::batch::batches(&data)
                .filter_map(Result::ok)
                .last()
                .expect("whole batches");
            offset = last.0.next_offset();
        }
        bytes
    }

    fn finish(&mut self) {
        while self.waiting > 0 {
            self.receiver.recv().expect("appends are answered");
            self.waiting -= 1;
        }
    }
}

/// This crate, with all batches in one log.
struct OneLog(Ours);

impl Engine for OneLog {
    fn append(&mut self, partitions: &[usize], group: &[Bytes], sync: bool) {
        self.0.append(&vec![3; partitions.len()], group, sync);
    }

    fn read(&mut self, partition: usize) -> u64 {
        self.0.read(partition)
    }

    fn finish(&mut self) {
        self.0.finish();
    }
}

struct Arguments {
    dir: PathBuf,
    mib: usize,
    names: Vec<String>,
}

fn arguments() -> Arguments {
    let mut parsed = Arguments {
        dir: std::env::temp_dir(),
        mib: 1024,
        names: Vec::new(),
    };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--dir" => parsed.dir = given.next().expect("--dir needs a path").into(),
            "--mib" => {
                parsed.mib = given
                    .next()
                    .and_then(|n| n.parse().ok())
                    .expect("--mib needs a number")
            }
            // Cargo adds this one.
            "--bench" => {}
            name => parsed.names.push(name.to_owned()),
        }
    }
    parsed
}

type MakeEngine = fn(&Path, usize) -> Box<dyn Engine>;

/// A row of the first table: name and engine. Groups are four batches of different partitions.
const APPEND_ROWS: [(&str, MakeEngine); 9] = [
    ("file per partition (the limit)", |dir, partitions| {
        Box::new(FilePerPartition::new(dir, partitions))
    }),
    ("this store", |dir, partitions| {
        Box::new(Ours::new(
            dir,
            partitions,
            Shape {
                every_write: false,
                in_flight: 1,
                inline_append_bytes: INLINE,
            },
        ))
    }),
    ("this store, one log", |dir, partitions| {
        Box::new(OneLog(Ours::new(
            dir,
            partitions,
            Shape {
                every_write: false,
                in_flight: 1,
                inline_append_bytes: INLINE,
            },
        )))
    }),
    ("this store, writer thread only", |dir, partitions| {
        Box::new(Ours::new(
            dir,
            partitions,
            Shape {
                every_write: false,
                in_flight: 1,
                inline_append_bytes: 0,
            },
        ))
    }),
    ("this store, 16 groups in flight", |dir, partitions| {
        Box::new(Ours::new(
            dir,
            partitions,
            Shape {
                every_write: false,
                in_flight: 16,
                inline_append_bytes: INLINE,
            },
        ))
    }),
    (
        "this store, 16 groups in flight, writer thread only",
        |dir, partitions| {
            Box::new(Ours::new(
                dir,
                partitions,
                Shape {
                    every_write: false,
                    in_flight: 16,
                    inline_append_bytes: 0,
                },
            ))
        },
    ),
    ("shared file + RocksDB index", |dir, partitions| {
        Box::new(SharedFile::new(dir, partitions))
    }),
    ("RocksDB value, BlobDB + WAL", |dir, partitions| {
        Box::new(RocksValues::new(dir, partitions, true))
    }),
    ("RocksDB value, levelled + WAL", |dir, partitions| {
        Box::new(RocksValues::new(dir, partitions, false))
    }),
];

/// A row of the second table, where every group is on the disk before it counts. Groups are 16 batches of different partitions.
const SYNC_ROWS: [(&str, MakeEngine); 5] = [
    ("synced: file per partition", |dir, partitions| {
        Box::new(FilePerPartition::new(dir, partitions))
    }),
    ("synced: shared file + RocksDB index", |dir, partitions| {
        Box::new(SharedFile::new(dir, partitions))
    }),
    ("synced: this store's journal", |dir, partitions| {
        Box::new(Ours::new(
            dir,
            partitions,
            Shape {
                every_write: true,
                in_flight: 1,
                inline_append_bytes: INLINE,
            },
        ))
    }),
    (
        "synced: this store's journal, 4 groups in flight",
        |dir, partitions| {
            Box::new(Ours::new(
                dir,
                partitions,
                Shape {
                    every_write: true,
                    in_flight: 4,
                    inline_append_bytes: INLINE,
                },
            ))
        },
    ),
    ("synced: RocksDB WAL", |dir, partitions| {
        Box::new(RocksValues::new(dir, partitions, false))
    }),
];

fn main() {
    let arguments = arguments();
    allow_many_files();
    let wanted = |name: &str| {
        arguments.names.is_empty()
            || arguments
                .names
                .iter()
                .any(|part| name.contains(part.as_str()))
    };
    for batch_bytes in [16 << 10, 1 << 10] {
        let mib = if batch_bytes >= 16 << 10 {
            arguments.mib
        } else {
            arguments.mib / 4
        };
        say(&format!(
            "\n{PARTITIONS} partitions, batches of {batch_bytes} bytes, groups of 4, {mib} MiB, {}",
            arguments.dir.display()
        ));
        say(
            "| where a batch lives | MB/s | CPU s/GiB | of it user | written per byte | p50 us | p99 us | cold read MB/s |",
        );
        say("|---|---|---|---|---|---|---|---|");
        for (name, make) in APPEND_ROWS.iter().filter(|(name, _)| wanted(name)) {
            let load = Load {
                partitions: PARTITIONS,
                batch_bytes,
                group: 4,
                total: mib << 20,
                sync: false,
            };
            say(&row(&arguments.dir, name, *make, &load));
        }
    }
    for partitions in [PARTITIONS, MANY_PARTITIONS] {
        say(&format!(
            "\nevery group on the disk before it counts: 16 batches of 16384 bytes over {partitions} partitions"
        ));
        say(
            "| where a batch lives | MB/s | CPU s/GiB | of it user | written per byte | p50 us | p99 us | cold read MB/s |",
        );
        say("|---|---|---|---|---|---|---|---|");
        for (name, make) in SYNC_ROWS.iter().filter(|(name, _)| wanted(name)) {
            let load = Load {
                partitions,
                batch_bytes: 16 << 10,
                group: 16,
                total: (arguments.mib / 4).max(16) << 20,
                sync: true,
            };
            say(&row(&arguments.dir, name, *make, &load));
        }
    }
    if wanted("opening") {
        say("\nopening, with many logs and after a crash");
        measure_opening(&arguments.dir, 10_000, 64);
        measure_opening(&arguments.dir, 16, arguments.mib * 5);
    }
}

/// What opening costs: many logs, and much data after a crash.
fn measure_opening(dir: &Path, logs: i32, mib: usize) {
    let dir = tempfile::tempdir_in(dir).expect("a directory to work in");
    let path = dir.path().join("store");
    let open = || {
        let mut options = StoreOptions::new(vec![path.clone()], "bench", 1);
        options.tail_cache_bytes = 32 << 20;
        let registry = prometheus::Registry::new();
        let start = Instant::now();
        let opened =
            Store::open_with_summary(options, Arc::new(WallClock), Arc::new(NoEvents), &registry);
        let (store, summary) = opened.expect("the store opens");
        say(&format!(
            "| open: {summary:?} | {:.0} ms | RSS {} MiB |",
            start.elapsed().as_secs_f64() * 1e3,
            resident_mib()
        ));
        store
    };
    let store = open();
    let start = Instant::now();
    let created: Vec<_> = (0..logs)
        .map(|partition| create_log(&store, partition, i64::MAX))
        .collect();
    say(&format!(
        "| create {logs} logs | {:.0} ms | RSS {} MiB |",
        start.elapsed().as_secs_f64() * 1e3,
        resident_mib()
    ));
    let batch = batch(16 << 10);
    for n in 0..(mib << 20) / batch.len() {
        let log = &created[n % created.len().min(PARTITIONS)];
        let (sender, receiver) = mpsc::channel();
        store.append(
            vec![job(log, &batch)],
            Box::new(move |_| sender.send(()).expect("somebody waits")),
        );
        receiver.recv().expect("appends are answered");
    }
    drop((created, store));
    let store = open();
    store.close().expect("the store closes");
    drop(store);
    drop(open());
}

fn create_log(store: &Store, partition: i32, flush_messages: i64) -> Arc<PartitionLog> {
    let key = LogKey {
        topic_id: Uuid::from_u128(1),
        partition,
    };
    let options = LogOptions {
        flush_messages,
        ..LogOptions::default()
    };
    let log = store
        .create_log(key, "bench", Arc::new(options))
        .expect("the log is created");
    log.become_leader(0).expect("the first epoch");
    log.set_sole_replica(true);
    log
}

fn job(log: &Arc<PartitionLog>, batch: &Bytes) -> AppendJob {
    // A broker receives each request into a buffer of its own; here the copy stands for that.
    let batch = Bytes::copy_from_slice(batch);
    AppendJob {
        log: Arc::clone(log),
        batch,
        leader_epoch: 0,
        origin: Origin::Client,
    }
}

/// A row with a file for each of many partitions has them all open.
fn allow_many_files() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}

struct Load {
    partitions: usize,
    batch_bytes: usize,
    group: usize,
    total: usize,
    sync: bool,
}

fn row(dir: &Path, name: &str, make: MakeEngine, load: &Load) -> String {
    let dir = tempfile::tempdir_in(dir).expect("a directory to work in");
    let mut engine = make(dir.path(), load.partitions);
    let batch = batch(load.batch_bytes);
    let groups = load.total / (batch.len() * load.group);
    // Making files durable that are new is paid once for each partition, so it is not measured.
    for partition in 0..load.partitions {
        engine.append(&[partition], std::slice::from_ref(&batch), load.sync);
    }
    engine.finish();
    let (cpu, written, start) = (cpu_seconds(), written_bytes(), Instant::now());
    let mut latencies = Vec::with_capacity(groups);
    for n in 0..groups {
        let partitions: Vec<usize> = (0..load.group)
            .map(|at| (n * load.group + at) % load.partitions)
            .collect();
        let group = vec![batch.clone(); load.group];
        let began = Instant::now();
        engine.append(&partitions, &group, load.sync);
        latencies.push(began.elapsed());
    }
    engine.finish();
    let (elapsed, used) = (start.elapsed(), cpu_seconds());
    rustix::fs::sync();
    let bytes = (groups * load.group * batch.len()) as f64;
    let amplification = (written_bytes() - written) as f64 / bytes;
    latencies.sort_unstable();
    let percentile = |share: usize| {
        latencies[(latencies.len() * share / 100).min(latencies.len() - 1)].as_micros()
    };
    let gib = bytes / f64::from(1 << 30);
    format!(
        "| {name} | {:.0} | {:.2} | {:.2} | {amplification:.1} | {} | {} | {} |",
        bytes / 1e6 / elapsed.as_secs_f64(),
        (used.0 + used.1 - cpu.0 - cpu.1) / gib,
        (used.0 - cpu.0) / gib,
        percentile(50),
        percentile(99),
        cold_read(engine.as_mut()),
    )
}

/// MB/s of reading one partition from the disk; needs the right to drop the page cache.
fn cold_read(engine: &mut dyn Engine) -> String {
    if std::fs::write("/proc/sys/vm/drop_caches", "3").is_err() {
        return "-".to_owned();
    }
    let start = Instant::now();
    let bytes = engine.read(3);
    format!(
        "{:.0}",
        bytes as f64 / 1e6 / start.elapsed().max(Duration::from_nanos(1)).as_secs_f64()
    )
}

/// One record that makes the batch as long as asked, of bytes that do not compress.
fn batch(bytes: usize) -> Bytes {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let value: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    })
    .take(bytes - 61 - 12)
    .collect();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder
        .append(1_700_000_000_000, None, Some(&value), &[])
        .expect("one record fits");
    builder.build().expect("one record fits")
}

fn key(partition: usize, number: u64) -> Vec<u8> {
    [(partition as u64).to_be_bytes(), number.to_be_bytes()].concat()
}

fn create(path: &Path) -> File {
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .expect("a new file")
}

fn small_db(path: &Path) -> DB {
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.set_write_buffer_size(8 << 20);
    DB::open(&options, path).expect("RocksDB opens")
}

fn read_range(file: &File, mut at: u64, len: u64) -> u64 {
    let mut buffer = vec![0; 1 << 20];
    let end = at + len;
    while at < end {
        let part = usize::try_from(end - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        file.read_exact_at(&mut buffer[..part], at)
            .expect("what was written is there");
        at += part as u64;
    }
    len
}

/// User and system time of this process so far, in steps of 10 ms.
fn cpu_seconds() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or(0.0)
            / 100.0
    };
    (ticks(11), ticks(12))
}

/// Bytes this process caused to be written to storage.
fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
