//! What the room-level tests share: a store on a temporary directory, a clock that is set by hand, and batches.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses its own part"
)]

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use storage::{
    AppendError, AppendJob, Appended, Clock, LogEvents, LogKey, LogOptions, NoEvents, Origin,
    PartitionLog, ReadError, ReadLimits, ReadMode, RecoverySummary, Store, StoreOptions,
};
use uuid::Uuid;
use wire::Bytes;
use wire::batch::{BatchBuilder, BatchHeader, BatchOptions};

pub const T0: i64 = 1_700_000_000_000;

/// Time stands still until it is moved.
pub struct ManualClock(AtomicI64);

impl ManualClock {
    pub fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A store and the directories it lives in, which outlast it.
pub struct Harness {
    pub root: tempfile::TempDir,
    pub clock: Arc<ManualClock>,
    pub options: StoreOptions,
    pub events: Arc<dyn LogEvents>,
    pub registry: prometheus::Registry,
    store: Option<Store>,
    pub summary: RecoverySummary,
}

impl Harness {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut StoreOptions)) -> Self {
        let mut harness = Self::unopened(change);
        harness.reopen();
        harness
    }

    pub fn unopened(change: impl FnOnce(&mut StoreOptions)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut options = StoreOptions::new(vec![root.path().join("d0")], "cluster", 1);
        options.disk.soft_free_percent = 0.0;
        options.disk.hard_free_percent = 0.0;
        options.checkpoint_interval_ms = 20;
        options.disk.check_interval_ms = 20;
        change(&mut options);
        let clock = Arc::new(ManualClock(AtomicI64::new(T0)));
        let (events, registry) = (Arc::new(NoEvents), prometheus::Registry::new());
        Self {
            root,
            clock,
            options,
            events,
            registry,
            store: None,
            summary: RecoverySummary::default(),
        }
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub fn try_open(&mut self) -> Result<(), storage::OpenError> {
        self.registry = prometheus::Registry::new();
        let clock: Arc<dyn Clock> = self.clock.clone();
        let (options, events) = (self.options.clone(), Arc::clone(&self.events));
        let (store, summary) = Store::open_with_summary(options, clock, events, &self.registry)?;
        self.store = Some(store);
        self.summary = summary;
        Ok(())
    }

    pub fn reopen(&mut self) {
        self.try_open().unwrap();
    }

    pub fn close(&mut self) {
        self.store.take().unwrap().close().unwrap();
    }

    /// Drops the store without closing it.
    pub fn crash(&mut self) {
        drop(self.store.take());
    }

    /// Makes the next open believe that the machine stopped, not just the process.
    pub fn pretend_machine_crash(&mut self) {
        self.crash();
        let db = rocksdb::DB::open_default(self.dir().join("db")).unwrap();
        db.put([10u8], b"another boot").unwrap();
    }

    pub fn dir(&self) -> PathBuf {
        self.options.dirs[0].clone()
    }

    pub fn log_dir(&self, id: u64) -> PathBuf {
        self.dir().join("logs").join(id.to_string())
    }

    pub fn create(&self, partition: i32, options: LogOptions) -> Arc<PartitionLog> {
        let log = self
            .store()
            .create_log(key(partition), "topic", Arc::new(options))
            .unwrap();
        log.become_leader(log.leader_epoch().max(0)).unwrap();
        log.set_sole_replica(true);
        log
    }

    pub fn log(&self, partition: i32) -> Arc<PartitionLog> {
        let log = self.store().log(key(partition)).unwrap();
        log.set_sole_replica(true);
        log
    }

    pub fn append(&self, log: &Arc<PartitionLog>, batch: Bytes) -> Result<Appended, AppendError> {
        self.append_all(vec![job(log, batch)]).remove(0)
    }

    pub fn append_all(&self, jobs: Vec<AppendJob>) -> Vec<Result<Appended, AppendError>> {
        let (sender, receiver) = mpsc::channel();
        self.store()
            .append(jobs, Box::new(move |results| sender.send(results).unwrap()));
        receiver
            .recv_timeout(Duration::from_secs(30))
            .expect("appends are answered")
    }
}

pub fn key(partition: i32) -> LogKey {
    LogKey {
        topic_id: Uuid::from_u128(7),
        partition,
    }
}

/// A client's batch, vouched for where it begins a transaction.
pub fn job(log: &Arc<PartitionLog>, batch: Bytes) -> AppendJob {
    let header = BatchHeader::parse(&batch).ok();
    let transactional = header.filter(|header| header.attributes.is_transactional());
    let guard = transactional.and_then(|header| {
        let BatchHeader {
            producer_id,
            producer_epoch,
            base_sequence,
            ..
        } = header;
        log.begin_verification(producer_id, producer_epoch, base_sequence, false)
    });
    AppendJob {
        log: Arc::clone(log),
        batch,
        leader_epoch: log.leader_epoch(),
        origin: guard.map_or(Origin::Client, Origin::Verified),
    }
}

pub fn internal(log: &Arc<PartitionLog>, batch: Bytes) -> AppendJob {
    AppendJob {
        origin: Origin::Internal,
        ..job(log, batch)
    }
}

/// A batch of `count` records with values of `size` bytes.
pub fn batch(count: usize, size: usize, timestamp: i64) -> Bytes {
    build(BatchOptions::default(), count, size, timestamp)
}

pub fn idempotent(producer_id: i64, epoch: i16, sequence: i32, count: usize) -> Bytes {
    let options = BatchOptions {
        producer_id,
        producer_epoch: epoch,
        base_sequence: sequence,
        ..BatchOptions::default()
    };
    build(options, count, 10, T0)
}

pub fn transactional(producer_id: i64, epoch: i16, sequence: i32, count: usize) -> Bytes {
    let options = BatchOptions {
        producer_id,
        producer_epoch: epoch,
        base_sequence: sequence,
        transactional: true,
        ..BatchOptions::default()
    };
    build(options, count, 10, T0)
}

pub fn build(options: BatchOptions, count: usize, size: usize, timestamp: i64) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for n in 0..count {
        let value: Vec<u8> = (0..size).map(|at| (at * 31 + n * 7) as u8).collect();
        builder
            .append(timestamp + n as i64, None, Some(&value), &[])
            .unwrap();
    }
    builder.build().unwrap()
}

/// All bytes from `from` on, read the way a consumer does: without waiting first, then waiting.
pub fn read_from(log: &PartitionLog, from: i64, max_bytes: usize) -> Result<Bytes, ReadError> {
    let limits = ReadLimits {
        max_bytes,
        below: log.high_watermark(),
        whole_first_batch: true,
    };
    let found = match log.read(from, limits, ReadMode::NoWait) {
        Err(ReadError::WouldBlock) => log.read(from, limits, ReadMode::Wait)?,
        other => other?,
    };
    let bytes = found.to_bytes().unwrap();
    assert_eq!(bytes.len(), found.bytes);
    Ok(bytes)
}

/// Headers of everything in the log, in order, checking that every batch is whole.
pub fn read_all(log: &PartitionLog) -> Vec<BatchHeader> {
    let mut headers = Vec::new();
    let mut offset = log.log_start_offset();
    while offset < log.high_watermark() {
        let bytes = read_from(log, offset, 10_000).unwrap();
        assert!(
            !bytes.is_empty(),
            "nothing at {offset} below {}",
            log.high_watermark()
        );
        for found in wire::batch::batches(&bytes) {
            let (header, bytes) = found.unwrap();
            assert!(wire::batch::check_crc(bytes));
            offset = header.next_offset();
            headers.push(header);
        }
    }
    headers
}

/// The segment files of a log, by name.
pub fn segment_files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".log"))
        .collect();
    names.sort();
    names
}

/// Waits until `holds`, for at most half a minute.
#[allow(clippy::disallowed_methods, reason = "only to give up in the end")]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "waited for: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Counts what it is told.
#[derive(Default)]
pub struct CountingEvents {
    pub moved: Mutex<Vec<(i32, i64)>>,
    pub offline: Mutex<Vec<String>>,
}

impl LogEvents for CountingEvents {
    fn visible_offset_moved(&self, log: &PartitionLog) {
        self.moved
            .lock()
            .unwrap()
            .push((log.key().partition, log.high_watermark()));
    }
    fn dir_went_offline(&self, _dir: &Path, reason: &str) {
        self.offline.lock().unwrap().push(reason.to_owned());
    }
}

/// Takes the machine's place: drops everything that was not synced, on a file system of its own.
pub struct PowerSwitch {
    image: PathBuf,
    pub mount: PathBuf,
}

impl PowerSwitch {
    pub fn install(root: &Path) -> Option<Self> {
        let switch = Self {
            image: root.join("image"),
            mount: root.join("mount"),
        };
        std::fs::create_dir(&switch.mount).unwrap();
        let image = std::fs::File::create(&switch.image).unwrap();
        image.set_len(512 << 20).unwrap();
        let made = run("mkfs.ext4", &["-q".as_ref(), switch.image.as_os_str()]);
        if made && switch.on() && run("python3", &["-c".as_ref(), "".as_ref()]) {
            return Some(switch);
        }
        let mut out = std::io::stderr();
        out.write_all(b"SKIPPED: no loop device, ext4 or python3: losing power was not tested\n")
            .unwrap();
        None
    }

    pub fn on(&self) -> bool {
        run(
            "mount",
            &[
                "-o".as_ref(),
                "loop".as_ref(),
                self.image.as_os_str(),
                self.mount.as_os_str(),
            ],
        )
    }

    /// EXT4_IOC_SHUTDOWN without flushing its journal.
    pub fn off(&self) {
        let program = "import fcntl, os, struct, sys\n\
                       fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
        assert!(run(
            "python3",
            &["-c".as_ref(), program.as_ref(), self.mount.as_os_str()]
        ));
    }

    pub fn unmount(&self) {
        wait_until("the file system is unmounted", || {
            run("umount", &[self.mount.as_os_str()])
        });
    }
}

impl Drop for PowerSwitch {
    fn drop(&mut self) {
        run("umount", &["-l".as_ref(), self.mount.as_os_str()]);
    }
}

pub fn run(program: &str, arguments: &[&OsStr]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}
