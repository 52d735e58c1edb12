//! Compaction against a model: random histories of keys, tombstones, transactions, runs of the cleaner, restarts and crashes
//! in the middle of a run. What a read-committed consumer learns of every key is what the uncompacted history says (rule
//! 21 of the anomalies: no last value missing, no older value behind a newer one, no tombstone gone before its time).

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, in its helpers too"
)]

extern crate tidewater_storage as storage;

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use storage::{CleanError, LogOptions, PartitionLog, SwapStep};
use support::*;
use wire::Bytes;
use wire::batch::{BatchBuilder, BatchHeader, BatchOptions, Codec, EndTxnMarker};

const KEYS: u8 = 8;
const PRODUCERS: i64 = 4;
const DELETE_RETENTION_MS: i64 = 1_000;

#[derive(Debug, Clone)]
enum Step {
    /// Batches, with the keys and the sizes of values; `None` is a tombstone.
    Append(Vec<Batch>),
    End(i64, bool),
    /// Ends every open transaction.
    Settle(bool),
    Clean,
    CleanWithSmallMap(u64),
    DieInCleaning(SwapStep, Stop),
    Pass(i64),
    DeleteRecords(f64),
    Checkpoint,
    Stop(Stop),
}

type Batch = (Writer, Codec, Vec<(u8, Option<usize>)>);

#[derive(Debug, Clone, Copy)]
enum Writer {
    Plain,
    Idempotent(i64),
    Transactional(i64),
}

#[derive(Debug, Clone, Copy)]
enum Stop {
    Close,
    Crash,
    MachineCrash,
    LoseDb,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![3 => (0..200usize).prop_map(Some), 1 => Just(None)];
    let records = prop::collection::vec((0..KEYS, size), 1..8);
    let writer = prop_oneof![
        3 => Just(Writer::Plain),
        2 => (0..PRODUCERS).prop_map(Writer::Idempotent),
        3 => (0..PRODUCERS).prop_map(Writer::Transactional),
    ];
    let codec = prop::sample::select(&Codec::ALL[..]);
    let stop = prop_oneof![
        Just(Stop::Close),
        Just(Stop::Crash),
        Just(Stop::MachineCrash),
        Just(Stop::LoseDb)
    ];
    prop_oneof![
        20 => prop::collection::vec((writer, codec, records), 1..8).prop_map(Step::Append),
        30 => (0..PRODUCERS, any::<bool>()).prop_map(|(producer, commit)| Step::End(producer, commit)),
        8 => any::<bool>().prop_map(Step::Settle),
        16 => Just(Step::Clean),
        1 => (1..8u64).prop_map(Step::CleanWithSmallMap),
        3 => (prop::sample::select(&SwapStep::ALL[..]), stop.clone()).prop_map(|(step, stop)| Step::DieInCleaning(step, stop)),
        4 => (1..700i64).prop_map(Step::Pass),
        1 => (0.0..0.5f64).prop_map(Step::DeleteRecords),
        1 => Just(Step::Checkpoint),
        2 => stop.prop_map(Step::Stop),
    ]
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    key: u8,
    value: Option<Vec<u8>>,
    timestamp: i64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Open,
    Committed,
    Aborted,
}

/// The uncompacted history.
#[derive(Default)]
struct Model {
    rows: BTreeMap<i64, (Row, Fate)>,
    start: i64,
    end: i64,
    /// Offsets of open transactions' records, by producer.
    open: BTreeMap<i64, Vec<i64>>,
    /// The next sequence of each producer, and the offset behind its last record.
    sequences: BTreeMap<i64, (i32, i64)>,
    /// The epochs of producers that have begun anew.
    epochs: BTreeMap<i64, i16>,
    /// When a run first covered a tombstone.
    cleaned_ms: BTreeMap<i64, i64>,
}

impl Model {
    fn epoch_of(&self, producer: i64) -> i16 {
        self.epochs.get(&producer).copied().unwrap_or(0)
    }

    /// State that was rebuilt may know of a transactional producer no more than that a marker of it is there, which is followed by no
    /// sequence but the first; its client then takes the next epoch, as it does with Kafka.
    fn begin_anew(&mut self) {
        for (producer, (next, behind)) in &mut self.sequences {
            if *behind <= self.start && *producer >= 20 {
                *next = 0;
                *self.epochs.entry(*producer).or_default() += 1;
            }
        }
    }
}

struct World {
    harness: Harness,
    log: Option<Arc<PartitionLog>>,
    options: LogOptions,
    model: Model,
    ticks: i64,
}

impl World {
    fn new(segment_bytes: u32) -> Self {
        let harness = Harness::with(|options| {
            options.cleaner.enable = false;
            options.tail_cache_bytes = 2_000;
        });
        let options = LogOptions {
            segment_bytes,
            index_interval_bytes: 150,
            retention_ms: -1,
            file_delete_delay_ms: 0,
            delete: false,
            compact: true,
            min_cleanable_dirty_ratio: 0.0,
            delete_retention_ms: DELETE_RETENTION_MS,
            ..LogOptions::default()
        };
        let log = Some(harness.create(0, options.clone()));
        Self {
            harness,
            log,
            options,
            model: Model::default(),
            ticks: 0,
        }
    }

    fn log(&self) -> &Arc<PartitionLog> {
        self.log.as_ref().unwrap()
    }

    fn now_ms(&self) -> i64 {
        T0 + self.ticks
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Append(batches) => {
                for (writer, codec, records) in batches {
                    self.write(writer, codec, &records);
                }
            }
            Step::End(producer, commit) => self.end(producer, commit),
            Step::Settle(commit) => {
                for producer in 0..PRODUCERS {
                    self.end(producer, commit ^ (producer % 2 == 0));
                }
            }
            Step::Clean => self.clean(),
            Step::CleanWithSmallMap(slots) => {
                self.configure(|options| options.dedupe_buffer_bytes = slots * 24);
                self.clean();
                self.configure(|_| {});
            }
            Step::DieInCleaning(step, stop) => self.die_in_cleaning(step, stop),
            Step::Pass(ms) => {
                self.ticks += ms;
                self.harness.clock.advance(ms);
            }
            Step::DeleteRecords(share) => self.delete_records(share),
            Step::Checkpoint => self.log().checkpoint().unwrap(),
            Step::Stop(stop) => self.stop(stop),
        }
    }

    fn configure(&mut self, change: impl FnOnce(&mut storage::CleanerOptions)) {
        let mut options = self.harness.options.cleaner.clone();
        change(&mut options);
        self.harness.store().configure_cleaner(options).unwrap();
    }

    fn write(&mut self, writer: Writer, codec: Codec, records: &[(u8, Option<usize>)]) {
        let mut options = BatchOptions {
            codec,
            ..BatchOptions::default()
        };
        let (producer, is_transactional) = match writer {
            Writer::Plain => (None, false),
            // A producer is transactional or it is not.
            Writer::Idempotent(producer) => (Some(10 + producer), false),
            Writer::Transactional(producer) => (Some(20 + producer), true),
        };
        if let Some(producer) = producer {
            options.producer_id = producer;
            options.producer_epoch = self.model.epoch_of(producer);
            let (next, behind) = self.model.sequences.entry(producer).or_default();
            options.base_sequence = *next;
            options.transactional = is_transactional;
            *next += i32::try_from(records.len()).unwrap();
            *behind = self.model.end + records.len() as i64;
        }
        let mut builder = BatchBuilder::new(options);
        for (n, (key, size)) in records.iter().enumerate() {
            let offset = self.model.end + n as i64;
            let value = size.map(|size| [&offset.to_be_bytes()[..], &vec![*key; size]].concat());
            let timestamp = self.now_ms() + n as i64;
            builder
                .append(timestamp, Some(&[*key]), value.as_deref(), &[])
                .unwrap();
            let row = Row {
                key: *key,
                value,
                timestamp,
            };
            let fate = if is_transactional {
                Fate::Open
            } else {
                Fate::Committed
            };
            self.model.rows.insert(offset, (row, fate));
            if let Some(producer) = producer.filter(|_| is_transactional) {
                self.model.open.entry(producer).or_default().push(offset);
            }
        }
        let appended = self.harness.append(self.log(), builder.build().unwrap());
        assert_eq!(appended.unwrap().base_offset, self.model.end);
        self.model.end += records.len() as i64;
    }

    fn end(&mut self, producer: i64, committed: bool) {
        let producer_id = 20 + producer;
        let Some(offsets) = self.model.open.remove(&producer_id) else {
            return;
        };
        let marker = EndTxnMarker {
            producer_id,
            producer_epoch: self.model.epoch_of(producer_id),
            committed,
            coordinator_epoch: 0,
        };
        let batch = marker.to_batch(self.now_ms()).unwrap();
        let job = internal(self.log(), batch);
        self.harness.append_all(vec![job]).remove(0).unwrap();
        self.model.end += 1;
        let fate = if committed {
            Fate::Committed
        } else {
            Fate::Aborted
        };
        for offset in offsets {
            if let Some(row) = self.model.rows.get_mut(&offset) {
                row.1 = fate;
            }
        }
    }

    fn clean(&mut self) {
        let runs = self.harness.store().clean().unwrap();
        let Some(last) = runs.last() else { return };
        self.note_cleaned(last.end_offset);
        self.check_cleaned(last.end_offset);
    }

    fn note_cleaned(&mut self, end: i64) {
        let now_ms = self.now_ms();
        for (offset, (row, _)) in self.model.rows.range(..end) {
            if row.value.is_none() {
                self.model.cleaned_ms.entry(*offset).or_insert(now_ms);
            }
        }
    }

    /// Below the cleaned end there is one record of a key, and none that was aborted.
    fn check_cleaned(&self, end: i64) {
        let mut seen = BTreeSet::new();
        for (offset, row) in self.read(false) {
            if offset < end && offset >= self.model.start {
                assert!(seen.insert(row.key), "a second record of {row:?}");
                let fate = self.model.rows[&offset].1;
                assert_eq!(fate, Fate::Committed, "at {offset}");
            }
        }
    }

    fn die_in_cleaning(&mut self, step: SwapStep, stop: Stop) {
        self.configure(|options| options.die_behind = Some(step));
        match self.harness.store().clean() {
            Err(CleanError::Died) => {}
            // Nothing was dirty, or the step is one that only groups of several segments have.
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
        // Whatever was done of the run covered no more than is stable.
        self.note_cleaned(self.log().last_stable_offset());
        self.stop(match stop {
            Stop::Close => Stop::Crash,
            stop => stop,
        });
    }

    fn stop(&mut self, stop: Stop) {
        self.log = None;
        match stop {
            Stop::Close => self.harness.close(),
            Stop::Crash => self.harness.crash(),
            Stop::MachineCrash => self.harness.pretend_machine_crash(),
            Stop::LoseDb => {
                self.harness.crash();
                std::fs::remove_dir_all(self.harness.dir().join("db")).unwrap();
            }
        }
        self.harness.reopen();
        let log = self.harness.log(0);
        log.configure(Arc::new(self.options.clone()));
        log.become_leader(log.leader_epoch().max(0)).unwrap();
        if log.log_start_offset() < self.model.start {
            log.delete_records(self.model.start).unwrap();
        }
        self.model.begin_anew();
        self.log = Some(log);
        self.check_files();
    }

    fn delete_records(&mut self, share: f64) {
        let span = self.log().last_stable_offset() - self.model.start;
        let before = self.model.start + (span as f64 * share) as i64;
        self.model.start = self.log().delete_records(before).unwrap();
        self.log().retain().unwrap();
    }

    /// Nothing but segments and the identity is left in the log's folder.
    fn check_files(&self) {
        let names = std::fs::read_dir(self.harness.log_dir(1)).unwrap();
        for name in names.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
            assert!(name == "partition" || name.ends_with(".log"), "{name}");
        }
    }

    /// Records as a consumer sees them.
    fn read(&self, committed_only: bool) -> BTreeMap<i64, Row> {
        let log = self.log();
        let below = if committed_only {
            log.last_stable_offset()
        } else {
            log.high_watermark()
        };
        let aborted = log.aborted_transactions(log.log_start_offset(), below);
        let mut aborting = BTreeSet::new();
        let mut waiting: Vec<_> = aborted.iter().collect();
        waiting.sort_by_key(|known| std::cmp::Reverse(known.first_offset));
        let mut rows = BTreeMap::new();
        for batch in all_batches(log) {
            let records = wire::batch::records(&batch, 1 << 20).unwrap();
            let header = *records.header();
            if header.base_offset >= below {
                break;
            }
            while let Some(next) = waiting.pop_if(|next| next.first_offset <= header.last_offset())
            {
                aborting.insert(next.producer_id);
            }
            if header.attributes.is_control() {
                if let Ok(Some(marker)) = EndTxnMarker::from_batch(&batch)
                    && !marker.committed
                {
                    aborting.remove(&marker.producer_id);
                }
                continue;
            }
            let is_aborted =
                header.attributes.is_transactional() && aborting.contains(&header.producer_id);
            if committed_only && is_aborted {
                continue;
            }
            for record in records.iter() {
                let record = record.unwrap();
                let row = Row {
                    key: record.key.unwrap()[0],
                    value: record.value.map(<[u8]>::to_vec),
                    timestamp: header.timestamp_of(&record),
                };
                rows.insert(header.offset_of(&record), row);
            }
        }
        rows
    }

    fn check(&self) {
        let (log, model) = (self.log(), &self.model);
        assert_eq!(
            (log.log_start_offset(), log.log_end_offset()),
            (model.start, model.end)
        );
        let stable = model.open.values().flatten().min();
        let stable = stable.copied().unwrap_or(model.end);
        assert_eq!(log.last_stable_offset(), stable);
        for (offset, row) in self.read(false) {
            assert_eq!(row, model.rows[&offset].0, "at {offset}");
        }
        let found = self.read(true);
        for (offset, row) in &found {
            assert_eq!(model.rows[offset].1, Fate::Committed, "{row:?} at {offset}");
        }
        self.check_last_values(&found, stable);
        self.check_producers();
        self.check_size();
    }

    fn check_last_values(&self, found: &BTreeMap<i64, Row>, stable: i64) {
        let mut last = BTreeMap::new();
        let committed = self.model.rows.range(self.model.start..stable);
        for (offset, (row, _)) in committed.filter(|(_, (_, fate))| *fate == Fate::Committed) {
            last.insert(row.key, (*offset, row));
        }
        let mut found_last = BTreeMap::new();
        for (offset, row) in found
            .iter()
            .filter(|(offset, _)| **offset >= self.model.start)
        {
            found_last.insert(row.key, *offset);
        }
        for (key, (offset, row)) in last {
            match found_last.get(&key) {
                Some(found) => assert_eq!(*found, offset, "key {key}"),
                None => {
                    assert_eq!(
                        row.value, None,
                        "the last value of {key}, at {offset}, is missing"
                    );
                    let cleaned_ms = self.model.cleaned_ms.get(&offset);
                    let kept_ms = cleaned_ms.map(|cleaned_ms| self.now_ms() - cleaned_ms);
                    assert!(
                        kept_ms >= Some(DELETE_RETENTION_MS),
                        "the tombstone of {key} at {offset} is gone after {kept_ms:?}"
                    );
                }
            }
        }
    }

    fn check_producers(&self) {
        let known: BTreeMap<i64, i32> = self
            .log()
            .producers()
            .iter()
            .map(|producer| (producer.producer_id, producer.last_sequence))
            .collect();
        // One whose records the log start has passed is forgotten when the state is rebuilt from the files.
        let sequences = self.model.sequences.iter();
        for (producer, (next, _)) in sequences.filter(|(_, (_, behind))| *behind > self.model.start)
        {
            assert_eq!(
                known.get(producer),
                Some(&(next - 1)),
                "producer {producer}"
            );
        }
    }

    fn check_size(&self) {
        let dir = self.harness.log_dir(1);
        let size = |name: &String| std::fs::metadata(dir.join(name)).unwrap().len();
        let sizes: u64 = segment_files(&dir).iter().map(size).sum();
        assert_eq!(self.log().size_bytes(), sizes);
    }
}

/// Every batch of the log, whole and in order.
fn all_batches(log: &PartitionLog) -> Vec<Bytes> {
    let mut all: Vec<Bytes> = Vec::new();
    let mut offset = log.log_start_offset();
    while offset < log.high_watermark() {
        let bytes = read_from(log, offset, 3_000).unwrap();
        assert!(!bytes.is_empty(), "nothing at {offset}");
        let mut at = 0;
        for found in wire::batch::batches(&bytes) {
            let (header, batch) = found.unwrap();
            assert!(wire::batch::check_crc(batch));
            assert!(all.is_empty() || header.next_offset() > offset);
            all.push(bytes.slice(at..at + batch.len()));
            at += batch.len();
            offset = BatchHeader::parse(batch).unwrap().next_offset();
        }
    }
    all
}

/// 60 histories, or as many as `PROPTEST_CASES` says.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_consumer_learns_of_every_key_is_what_the_whole_history_says(
        steps in prop::collection::vec(step(), 1..150),
        segment_bytes in 1_700..4_000u32,
    ) {
        let mut world = World::new(segment_bytes);
        for step in steps {
            world.apply(step);
            world.check();
        }
    }
}
