//! The log against a model: random histories of appends, cuts at both ends, closes and crashes, with the same answers.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, in its helpers too"
)]

extern crate tidewater_storage as storage;

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use storage::{LogOptions, PartitionLog, ReadError, ReadLimits, ReadMode};
use support::*;
use wire::batch::{BatchHeader, BatchOptions};

#[derive(Debug, Clone)]
enum Step {
    /// Batches in one submission: records, value size, time of the first record.
    Append(Vec<(usize, usize, i64)>),
    /// The next batch of an idempotent producer, sent twice.
    AppendTwice(usize),
    DeleteRecords(f64),
    Truncate(f64),
    Retain(i64),
    BecomeLeader,
    Read(f64, usize, f64),
    FindTime(i64),
    Configure(u32, u32),
    Checkpoint,
    Close,
    Crash,
    LoseDb,
    MachineCrash,
}

fn step() -> impl Strategy<Value = Step> {
    let batch = (
        1..5usize,
        prop_oneof![0..100usize, 0..6000usize],
        -500..500i64,
    );
    prop_oneof![
        10 => prop::collection::vec(batch, 1..12).prop_map(Step::Append),
        4 => (1..4usize).prop_map(Step::AppendTwice),
        1 => (0.0..1.0f64).prop_map(Step::DeleteRecords),
        1 => (0.0..1.0f64).prop_map(Step::Truncate),
        1 => (0..2000i64).prop_map(Step::Retain),
        1 => Just(Step::BecomeLeader),
        8 => (0.0..1.0f64, prop_oneof![1..2000usize, 1..100_000usize], 0.0..1.2f64).prop_map(|(f, m, b)| Step::Read(f, m, b)),
        3 => (-600..600i64).prop_map(Step::FindTime),
        1 => (7_000..30_000u32, 1..5_000u32).prop_map(|(s, i)| Step::Configure(s, i)),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Close),
        1 => Just(Step::Crash),
        1 => Just(Step::LoseDb),
        1 => Just(Step::MachineCrash),
    ]
}

/// Batches by base offset, as they must lie in the log.
#[derive(Default)]
struct Model {
    batches: BTreeMap<i64, Vec<u8>>,
    start: i64,
    end: i64,
    epoch: i32,
}

impl Model {
    fn push(&mut self, batch: &[u8]) {
        let mut bytes = batch.to_vec();
        wire::batch::set_base_offset(&mut bytes, self.end);
        wire::batch::set_leader_epoch(&mut bytes, self.epoch);
        let next = BatchHeader::parse(&bytes).unwrap().next_offset();
        self.batches.insert(self.end, bytes);
        self.end = next;
    }

    fn last_offset(bytes: &[u8]) -> i64 {
        BatchHeader::parse(bytes).unwrap().last_offset()
    }

    /// Everything from the batch that contains `from`, below `below`.
    fn bytes_from(&self, from: i64, below: i64) -> Vec<u8> {
        let batches = self
            .batches
            .iter()
            .filter(|(base, bytes)| Self::last_offset(bytes) >= from && **base < below);
        batches.flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    fn at(&self, share: f64) -> i64 {
        self.start + ((self.end - self.start) as f64 * share) as i64
    }

    fn truncate(&mut self, offset: i64) -> i64 {
        let cut = self
            .batches
            .iter()
            .find(|(_, bytes)| Self::last_offset(bytes) >= offset)
            .map(|(base, _)| *base);
        self.end = cut.unwrap_or(self.end);
        self.batches.retain(|base, _| *base < self.end);
        self.start = self.start.min(self.end);
        self.end
    }

    fn first_at_or_after(&self, timestamp: i64) -> Option<(i64, i64)> {
        self.batches.values().find_map(|bytes| {
            let records = wire::batch::records(bytes, 1 << 20).unwrap();
            let header = *records.header();
            records
                .iter()
                .map(|record| record.unwrap())
                .find_map(|record| {
                    let (offset, time) = (header.offset_of(&record), header.timestamp_of(&record));
                    (time >= timestamp && offset >= self.start).then_some((offset, time))
                })
        })
    }
}

struct World {
    harness: Harness,
    log: Option<Arc<PartitionLog>>,
    options: LogOptions,
    model: Model,
    sequence: i32,
}

impl World {
    fn new(tail_cache_bytes: usize, checkpoint_bytes: u64, inline_append_bytes: usize) -> Self {
        let harness = Harness::with(|options| {
            options.tail_cache_bytes = tail_cache_bytes;
            options.checkpoint_bytes = checkpoint_bytes;
            options.inline_append_bytes = inline_append_bytes;
        });
        let options = LogOptions {
            segment_bytes: 20_000,
            index_interval_bytes: 700,
            retention_ms: -1,
            file_delete_delay_ms: 0,
            ..LogOptions::default()
        };
        let log = Some(harness.create(0, options.clone()));
        Self {
            harness,
            log,
            options,
            model: Model::default(),
            sequence: 0,
        }
    }

    fn log(&self) -> &Arc<PartitionLog> {
        self.log.as_ref().unwrap()
    }

    fn restart(&mut self, stop: impl FnOnce(&mut Harness)) {
        self.log = None;
        stop(&mut self.harness);
        self.harness.reopen();
        let log = self.harness.log(0);
        log.configure(Arc::new(self.options.clone()));
        self.log = Some(log);
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Append(batches) => self.append(&batches),
            Step::AppendTwice(count) => self.append_twice(count),
            Step::DeleteRecords(share) => {
                let before = self.model.at(share);
                assert_eq!(self.log().delete_records(before).unwrap(), before);
                self.model.start = before;
                self.log().retain().unwrap();
                self.forget_removed();
            }
            Step::Truncate(share) => {
                let offset = self.model.at(share);
                let end = self.log().truncate_to(offset).unwrap();
                assert_eq!(end, self.model.truncate(offset));
            }
            Step::Retain(bytes) => {
                self.log().configure(Arc::new(LogOptions {
                    retention_bytes: bytes * 20,
                    ..self.options.clone()
                }));
                self.log().retain().unwrap();
                self.log().configure(Arc::new(self.options.clone()));
                self.model.start = self.log().log_start_offset();
                self.forget_removed();
            }
            Step::BecomeLeader => {
                self.model.epoch += 1;
                self.log().become_leader(self.model.epoch).unwrap();
            }
            Step::Read(share, max_bytes, below) => {
                self.read(self.model.at(share), max_bytes, self.model.at(below))
            }
            Step::FindTime(offset) => self.find_time(T0 + offset),
            Step::Configure(segment_bytes, index_interval_bytes) => {
                self.options = LogOptions {
                    segment_bytes,
                    index_interval_bytes,
                    ..self.options.clone()
                };
                self.log().configure(Arc::new(self.options.clone()));
            }
            Step::Checkpoint => self.log().checkpoint().unwrap(),
            Step::Close => self.restart(Harness::close),
            Step::Crash => self.restart(Harness::crash),
            Step::MachineCrash => self.restart(Harness::pretend_machine_crash),
            Step::LoseDb => self.lose_db(),
        }
    }

    fn append(&mut self, batches: &[(usize, usize, i64)]) {
        let batches: Vec<_> = batches
            .iter()
            .map(|(count, size, at)| build(BatchOptions::default(), *count, size / count, T0 + at))
            .collect();
        let jobs = batches
            .iter()
            .map(|batch| job(self.log(), batch.clone()))
            .collect();
        for (result, batch) in self.harness.append_all(jobs).into_iter().zip(&batches) {
            assert_eq!(result.unwrap().base_offset, self.model.end);
            self.model.push(batch);
        }
    }

    fn append_twice(&mut self, count: usize) {
        // A fresh producer each time: what truncation did to older ones does not matter here.
        self.sequence += 1;
        let batch = idempotent(i64::from(self.sequence), 0, 0, count);
        let first = self.harness.append(self.log(), batch.clone()).unwrap();
        let second = self.harness.append(self.log(), batch.clone()).unwrap();
        assert_eq!(
            (first.base_offset, first.duplicate),
            (self.model.end, false)
        );
        assert_eq!(
            (second.base_offset, second.duplicate),
            (first.base_offset, true)
        );
        self.model.push(&batch);
    }

    /// The log start falls back to the first segment; the rest must be as it was.
    fn lose_db(&mut self) {
        self.restart(|harness| {
            harness.crash();
            std::fs::remove_dir_all(harness.dir().join("db")).unwrap();
        });
        let start = self.log().log_start_offset();
        assert!(start <= self.model.start);
        // Batches between the two exist in the file but are forgotten by the model: hide them again.
        self.log().delete_records(self.model.start).unwrap();
        self.log().become_leader(self.model.epoch).unwrap();
    }

    fn forget_removed(&mut self) {
        let start = self.model.start;
        self.model
            .batches
            .retain(|_, bytes| Model::last_offset(bytes) >= start);
    }

    fn read(&self, from: i64, max_bytes: usize, below: i64) {
        let limits = ReadLimits {
            max_bytes,
            below,
            whole_first_batch: true,
        };
        let found = match self.log().read(from, limits, ReadMode::NoWait) {
            Err(ReadError::WouldBlock) => self.log().read(from, limits, ReadMode::Wait),
            other => other,
        };
        let bytes = found.unwrap().to_bytes().unwrap();
        let expected = self.model.bytes_from(from, below.min(self.model.end));
        assert_eq!(bytes, expected[..bytes.len()], "from {from} below {below}");
        if from < below.min(self.model.end) {
            assert!(!bytes.is_empty(), "from {from} below {below}");
        } else {
            assert!(bytes.is_empty());
        }
        let mut batches = wire::batch::batches(&bytes);
        assert!(batches.all(|batch| batch.is_ok()));
        let first = BatchHeader::parse(&bytes).map_or(0, |header| header.total_len());
        assert!(bytes.len() <= max_bytes.max(first));
    }

    fn find_time(&self, timestamp: i64) {
        let found = self
            .log()
            .offset_for_timestamp(timestamp, self.model.end)
            .unwrap();
        let found = found.map(|found| (found.offset, found.timestamp));
        assert_eq!(
            found,
            self.model.first_at_or_after(timestamp),
            "at {timestamp}"
        );
    }

    fn check(&self) {
        let log = self.log();
        assert_eq!(
            (log.log_start_offset(), log.log_end_offset()),
            (self.model.start, self.model.end)
        );
        assert_eq!(log.high_watermark(), self.model.end);
        assert_eq!(log.leader_epoch(), self.model.epoch);
        let headers: Vec<_> = read_all(log)
            .iter()
            .map(|header| header.base_offset)
            .collect();
        let expected = self
            .model
            .batches
            .iter()
            .filter(|(_, bytes)| Model::last_offset(bytes) >= self.model.start);
        assert_eq!(headers, expected.map(|(base, _)| *base).collect::<Vec<_>>());
        let sizes: u64 = segment_files(&self.harness.log_dir(1))
            .iter()
            .map(|name| {
                std::fs::metadata(self.harness.log_dir(1).join(name))
                    .unwrap()
                    .len()
            })
            .sum();
        assert_eq!(log.size_bytes(), sizes);
    }
}

/// 60 histories, or as many as `PROPTEST_CASES` says.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_answers_as_the_model_does(
        steps in prop::collection::vec(step(), 1..50),
        tail_cache_bytes in prop_oneof![Just(0usize), Just(20_000), Just(1 << 20)],
        inline_append_bytes in prop_oneof![Just(0usize), Just(64 << 10)],
        checkpoint_bytes in prop_oneof![Just(1u64), Just(10_000), Just(1 << 30)],
    ) {
        let mut world = World::new(tail_cache_bytes, checkpoint_bytes, inline_append_bytes);
        for step in steps {
            world.apply(step);
            world.check();
        }
    }
}
