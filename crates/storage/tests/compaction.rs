//! What compaction does to a log, what it leaves alone, and what happens when something comes in between.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, in its helpers too"
)]

extern crate tidewater_storage as storage;

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use storage::{CleanError, LogOptions, LogSlice, PartitionLog, ReadLimits, ReadMode, SwapStep};
use support::*;
use wire::Bytes;
use wire::batch::{BatchBuilder, BatchHeader, BatchOptions, Codec, EndTxnMarker};

const DELETE_RETENTION_MS: i64 = 10_000;

fn harness() -> Harness {
    Harness::with(|options| options.cleaner.enable = false)
}

fn compacted() -> LogOptions {
    LogOptions {
        segment_bytes: 2_000,
        index_interval_bytes: 300,
        retention_ms: -1,
        file_delete_delay_ms: 0,
        delete: false,
        compact: true,
        min_cleanable_dirty_ratio: 0.0,
        delete_retention_ms: DELETE_RETENTION_MS,
        ..LogOptions::default()
    }
}

fn keyed(options: BatchOptions, records: &[(&str, Option<&str>)]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (n, (key, value)) in records.iter().enumerate() {
        let (key, value) = (key.as_bytes(), value.map(str::as_bytes));
        builder
            .append(T0 + n as i64, Some(key), value, &[])
            .unwrap();
    }
    builder.build().unwrap()
}

fn put(harness: &Harness, log: &Arc<PartitionLog>, key: &str, value: Option<&str>) -> i64 {
    let batch = keyed(BatchOptions::default(), &[(key, value)]);
    harness.append(log, batch).unwrap().base_offset
}

/// So many batches for the segments before them to be closed.
fn fill(harness: &Harness, log: &Arc<PartitionLog>, prefix: &str) {
    let value = "v".repeat(90);
    for n in 0..14 {
        put(harness, log, &format!("{prefix}{n}"), Some(&value));
    }
}

fn records(log: &PartitionLog) -> Vec<(i64, String, Option<String>)> {
    let mut found = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    for batch in batches(log) {
        let records = wire::batch::records(&batch, 1 << 20).unwrap();
        if records.header().attributes.is_control() {
            continue;
        }
        for record in records.iter() {
            let record = record.unwrap();
            let offset = records.header().offset_of(&record);
            found.push((offset, text(record.key.unwrap()), record.value.map(text)));
        }
    }
    found
}

fn batches(log: &PartitionLog) -> Vec<Bytes> {
    let (mut found, mut offset) = (Vec::new(), log.log_start_offset());
    while offset < log.high_watermark() {
        let bytes = read_from(log, offset, 10_000).unwrap();
        let mut at = 0;
        for batch in wire::batch::batches(&bytes) {
            let (header, batch) = batch.unwrap();
            found.push(bytes.slice(at..at + batch.len()));
            at += batch.len();
            offset = header.next_offset();
        }
    }
    found
}

fn values_of(log: &PartitionLog, key: &str) -> Vec<(i64, Option<String>)> {
    let of_key = records(log)
        .into_iter()
        .filter(|(_, found, _)| found == key);
    of_key.map(|(offset, _, value)| (offset, value)).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn leftovers(dir: &Path) -> Vec<String> {
    let mut names = names(dir);
    names.retain(|name| name != "partition" && !name.ends_with(".log"));
    names
}

#[test]
fn a_crash_behind_each_step_leaves_the_old_content_or_the_new() {
    for step in SwapStep::ALL {
        for stop in ["process", "machine", "database lost"] {
            let mut harness = harness();
            let log = harness.create(0, compacted());
            for round in 0..6 {
                fill(&harness, &log, &format!("{}-", round % 2));
            }
            // One segment of all that is closed.
            let whole = LogOptions {
                segment_bytes: 1 << 20,
                ..compacted()
            };
            log.configure(Arc::new(whole.clone()));
            let old = records(&log);
            harness
                .store()
                .configure_cleaner(storage::CleanerOptions {
                    die_behind: Some(step),
                    ..harness.options.cleaner.clone()
                })
                .unwrap();
            assert!(matches!(harness.store().clean(), Err(CleanError::Died)));
            drop(log);
            match stop {
                "process" => harness.crash(),
                "machine" => harness.pretend_machine_crash(),
                _ => {
                    harness.crash();
                    std::fs::remove_dir_all(harness.dir().join("db")).unwrap();
                }
            }
            harness.reopen();
            let log = harness.log(0);
            let what = format!("{stop} stopped behind {step:?}");
            let found = records(&log);
            let is_old = found == old;
            if matches!(step, SwapStep::HalfWritten | SwapStep::Written) {
                assert!(is_old, "{what}");
            }
            assert_eq!(leftovers(&harness.log_dir(1)), [""; 0], "{what}");
            log.become_leader(0).unwrap();
            log.configure(Arc::new(whole));
            harness.store().clean().unwrap();
            let new = records(&log);
            assert!(new.len() < old.len() / 2, "{what}");
            assert!(is_old || found == new, "{what}");
            wait_until("nothing is left over", || {
                leftovers(&harness.log_dir(1)).is_empty()
            });
        }
    }
}

#[test]
fn the_last_value_of_every_key_stays_where_it_was() {
    let harness = harness();
    let log = harness.create(0, compacted());
    let first = put(&harness, &log, "a", Some("1"));
    put(&harness, &log, "b", Some("1"));
    let last = put(&harness, &log, "a", Some("2"));
    fill(&harness, &log, "x");
    fill(&harness, &log, "x");
    let end = log.log_end_offset();
    let before = log.size_bytes();
    harness.store().clean().unwrap();
    assert_eq!(values_of(&log, "a"), [(last, Some("2".to_owned()))]);
    assert_eq!(values_of(&log, "b"), [(first + 1, Some("1".to_owned()))]);
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, end));
    assert!(log.size_bytes() < before);
    // The removed offset is answered by what follows it.
    let bytes = read_from(&log, first, 100).unwrap();
    assert_eq!(BatchHeader::parse(&bytes).unwrap().base_offset, first + 1);
}

#[test]
fn a_tombstone_stays_for_its_time_after_it_was_first_met() {
    let harness = harness();
    let log = harness.create(0, compacted());
    put(&harness, &log, "a", Some("1"));
    let tombstone = put(&harness, &log, "a", None);
    fill(&harness, &log, "x");
    fill(&harness, &log, "x");
    harness.store().clean().unwrap();
    assert_eq!(values_of(&log, "a"), [(tombstone, None)]);
    let horizon = batches(&log)
        .iter()
        .find_map(|batch| BatchHeader::parse(batch).unwrap().delete_horizon_ms());
    assert_eq!(horizon, Some(T0 + DELETE_RETENTION_MS));
    harness.clock.advance(DELETE_RETENTION_MS - 1);
    fill(&harness, &log, "y");
    fill(&harness, &log, "y");
    harness.store().clean().unwrap();
    assert_eq!(values_of(&log, "a"), [(tombstone, None)]);
    harness.clock.advance(1);
    fill(&harness, &log, "z");
    fill(&harness, &log, "z");
    harness.store().clean().unwrap();
    assert_eq!(values_of(&log, "a"), []);
}

#[test]
fn records_that_are_too_young_or_undecided_are_left_alone() {
    let harness = harness();
    let lag = LogOptions {
        min_compaction_lag_ms: 1_000,
        ..compacted()
    };
    let log = harness.create(0, lag);
    fill(&harness, &log, "x");
    fill(&harness, &log, "x");
    let all = records(&log);
    assert_eq!(harness.store().clean().unwrap(), []);
    harness.clock.advance(2_000);
    assert_eq!(harness.store().clean().unwrap().len(), 1);
    assert!(records(&log).len() < all.len());

    let log = harness.create(1, compacted());
    fill(&harness, &log, "x");
    let open = BatchOptions {
        producer_id: 7,
        producer_epoch: 0,
        base_sequence: 0,
        transactional: true,
        ..BatchOptions::default()
    };
    let open = keyed(open, &[("t", Some("v"))]);
    harness.append(&log, open).unwrap();
    fill(&harness, &log, "x");
    fill(&harness, &log, "x");
    let undecided = log.last_stable_offset();
    harness.store().clean().unwrap();
    let kept = records(&log).into_iter();
    let kept = kept.filter(|(offset, ..)| *offset > undecided).count();
    assert_eq!(kept, 28);
}

#[test]
fn a_log_is_compacted_when_enough_of_it_is_dirty_or_a_record_is_overdue() {
    let harness = harness();
    let half = LogOptions {
        min_cleanable_dirty_ratio: 0.5,
        ..compacted()
    };
    let log = harness.create(0, half.clone());
    for round in 0..6 {
        fill(&harness, &log, &round.to_string());
    }
    assert_eq!(harness.store().clean().unwrap().len(), 1);
    for _ in 0..2 {
        fill(&harness, &log, "5");
    }
    assert_eq!(harness.store().clean().unwrap(), [], "a third is dirty");
    assert!((20..50).contains(&harness.store().cleaner_status().max_dirty_percent));
    log.configure(Arc::new(LogOptions {
        max_compaction_lag_ms: 5_000,
        ..half
    }));
    harness.clock.advance(6_000);
    assert_eq!(harness.store().clean().unwrap().len(), 1);
    assert_eq!(harness.store().cleaner_status().max_compaction_delay_ms, 0);
}

#[test]
fn a_batch_that_cannot_be_opened_stays_as_it_is_and_the_rest_goes_on() {
    let harness = harness();
    let log = harness.create(0, compacted());
    put(&harness, &log, "a", Some("1"));
    let options = BatchOptions {
        codec: Codec::Zstd,
        ..BatchOptions::default()
    };
    let mut poison = keyed(options, &[("a", Some("2")), ("hidden", None)]).to_vec();
    let len = poison.len();
    poison[len - 6..].fill(0xa5);
    let crc = wire::batch::compute_crc(&poison);
    poison[wire::batch::CRC].copy_from_slice(&crc.to_be_bytes());
    let at = harness
        .append(&log, poison.clone().into())
        .unwrap()
        .base_offset;
    let tombstone = put(&harness, &log, "b", None);
    put(&harness, &log, "a", Some("3"));
    fill(&harness, &log, "x");
    fill(&harness, &log, "x");
    let find = |log: &PartitionLog, at: i64| {
        let found = batches(log).into_iter();
        let mut found = found.filter(|batch| BatchHeader::parse(batch).unwrap().base_offset == at);
        found.next()
    };
    let before = find(&log, at).unwrap();
    for round in 0..3 {
        let done = harness.store().clean().unwrap();
        assert_eq!(done.len(), 1);
        assert_eq!(done[0].poison_batches, 1);
        assert_eq!(find(&log, at).unwrap(), before);
        assert!(
            find(&log, 0).is_none(),
            "the first value of a is superseded"
        );
        // What the batch hides might be a value of b.
        assert!(find(&log, tombstone).is_some());
        let status = harness.store().cleaner_status();
        assert_eq!(status.dirs[0].uncleanable_logs, 1);
        harness.clock.advance(DELETE_RETENTION_MS * 2);
        fill(&harness, &log, &round.to_string());
        fill(&harness, &log, &round.to_string());
    }
}

#[test]
fn bytes_that_rot_are_not_made_to_look_whole() {
    let mut harness = harness();
    let log = harness.create(0, compacted());
    put(&harness, &log, "a", Some("1"));
    let rotten = put(&harness, &log, "b", Some("rotten"));
    put(&harness, &log, "a", Some("2"));
    fill(&harness, &log, "x");
    fill(&harness, &log, "x");
    drop(log);
    harness.close();
    let file = harness
        .log_dir(1)
        .join(&segment_files(&harness.log_dir(1))[0]);
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes
        .windows(6)
        .position(|found| found == b"rotten")
        .unwrap();
    bytes[at] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    harness.reopen();
    let log = harness.log(0);
    log.configure(Arc::new(compacted()));
    let done = harness.store().clean().unwrap();
    assert_eq!(done[0].poison_batches, 1);
    assert!(done[0].written_bytes < done[0].read_bytes);
    let read = read_from(&log, rotten, 1_000);
    assert!(
        matches!(read, Err(storage::ReadError::Corrupt { .. })),
        "{read:?}"
    );
}

#[test]
fn who_reads_while_segments_are_replaced_sees_whole_batches_only() {
    let harness = harness();
    let log = harness.create(0, compacted());
    fill(&harness, &log, "x");
    fill(&harness, &log, "x");
    let limits = ReadLimits {
        max_bytes: 1_500,
        below: i64::MAX,
        whole_first_batch: true,
    };
    harness.store().checkpoint();
    let held = log.read(0, limits, ReadMode::Wait).unwrap();
    let content = held.to_bytes().unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // Every record says where it stands.
                    for (offset, _, value) in records(&log) {
                        let value = value.unwrap();
                        assert!(value.starts_with('v') || value == offset.to_string());
                    }
                    log.offset_for_timestamp(T0, i64::MAX).unwrap();
                }
            });
        }
        for round in 0..40 {
            for n in 0..30 {
                let next = log.log_end_offset();
                let key = format!("{}", (n + round) % 37);
                assert_eq!(put(&harness, &log, &key, Some(&next.to_string())), next);
            }
            harness.store().clean().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(held.to_bytes().unwrap(), content);
    assert!(
        held.slices
            .iter()
            .all(|slice| !matches!(slice, LogSlice::File { len: 0, .. }))
    );
}

/// Starts a slow run of the cleaner, and calls `meanwhile` in the middle of it.
fn in_the_middle_of_a_run(
    harness: &Harness,
    log_dir: &Path,
    meanwhile: impl FnOnce(),
) -> Result<Vec<storage::Cleaning>, CleanError> {
    let slow = storage::CleanerOptions {
        io_max_bytes_per_second: 30_000.0,
        ..harness.options.cleaner.clone()
    };
    harness.store().configure_cleaner(slow).unwrap();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| harness.store().clean());
        wait_until("a cleaned segment is being written", || {
            names(log_dir).iter().any(|name| name.ends_with(".cleaned"))
        });
        meanwhile();
        let fast = harness.options.cleaner.clone();
        harness.store().configure_cleaner(fast).unwrap();
        run.join().unwrap()
    })
}

fn long_log(harness: &Harness, partition: i32) -> Arc<PartitionLog> {
    let log = harness.create(partition, compacted());
    for _ in 0..8 {
        fill(harness, &log, "x");
    }
    log
}

#[test]
fn a_log_may_be_deleted_while_it_is_compacted() {
    let harness = harness();
    let log = long_log(&harness, 0);
    let dir = harness.log_dir(1);
    let outcome = in_the_middle_of_a_run(&harness, &dir, || {
        harness.store().delete_log(key(0)).unwrap();
    });
    assert!(matches!(outcome, Err(CleanError::Gone)), "{outcome:?}");
    assert!(!dir.exists());
    wait_until("its files are gone", || {
        names(&harness.dir().join("logs")).is_empty()
    });
    drop(log);
}

#[test]
fn a_log_may_be_deleted_at_any_moment_of_a_run() {
    let harness = harness();
    for partition in 0..60 {
        let log = long_log(&harness, partition);
        let outcome = std::thread::scope(|scope| {
            let run = scope.spawn(|| harness.store().clean());
            // Whenever it is deleted is right; this is to meet the run at different places.
            let pause = u64::try_from(partition).unwrap() * 50;
            std::thread::sleep(std::time::Duration::from_micros(pause));
            harness.store().delete_log(log.key()).unwrap();
            run.join().unwrap()
        });
        assert!(
            matches!(outcome, Ok(_) | Err(CleanError::Gone)),
            "{outcome:?}"
        );
    }
    let dirs = harness.store().dirs();
    assert!(dirs.iter().all(|dir| dir.offline.is_none()), "{dirs:?}");
}

#[test]
fn a_log_may_lose_its_front_or_its_end_while_it_is_compacted() {
    let mut harness = harness();
    let log = long_log(&harness, 0);
    let dir = harness.log_dir(1);
    let before = log.log_end_offset() / 2;
    let outcome = in_the_middle_of_a_run(&harness, &dir, || {
        log.delete_records(before).unwrap();
        log.retain().unwrap();
    });
    assert!(
        !matches!(outcome, Err(CleanError::Engine(_))),
        "{outcome:?}"
    );
    assert_eq!(log.log_start_offset(), before);
    let left = values_of(&log, "x13");
    assert!(
        left.iter()
            .all(|(offset, _)| *offset < log.log_end_offset())
    );
    assert!(!left.is_empty());

    let log = long_log(&harness, 1);
    let dir = harness.log_dir(2);
    let end = 20;
    let outcome = in_the_middle_of_a_run(&harness, &dir, || {
        log.truncate_to(end).unwrap();
    });
    assert!(
        !matches!(outcome, Err(CleanError::Engine(_))),
        "{outcome:?}"
    );
    assert_eq!(log.log_end_offset(), end);
    let all: Vec<_> = records(&log);
    assert_eq!(all.len(), 20);
    drop(log);
    harness.crash();
    harness.reopen();
    assert_eq!(records(&harness.log(1)), all);
}

#[test]
fn what_comes_after_a_truncation_is_dirty_again() {
    let mut harness = harness();
    let log = harness.create(0, compacted());
    fill(&harness, &log, "x");
    fill(&harness, &log, "y");
    harness.store().clean().unwrap();
    log.truncate_to(2).unwrap();
    for _ in 0..3 {
        fill(&harness, &log, "x");
    }
    drop(log);
    harness.close();
    harness.reopen();
    let log = harness.log(0);
    log.configure(Arc::new(compacted()));
    harness.store().clean().unwrap();
    assert_eq!(values_of(&log, "x3").len(), 1);
}

#[test]
fn what_the_journal_has_of_compacted_segments_is_not_put_back() {
    let mut harness = harness();
    let durable = LogOptions {
        flush_messages: 1,
        ..compacted()
    };
    let log = harness.create(0, durable);
    for _ in 0..4 {
        fill(&harness, &log, "x");
    }
    harness.store().clean().unwrap();
    let compacted = records(&log);
    assert!(compacted.len() < 35);
    drop(log);
    harness.pretend_machine_crash();
    harness.reopen();
    assert_eq!(records(&harness.log(0)), compacted);
}

#[test]
fn the_cleaners_own_threads_find_what_is_due_and_can_be_changed() {
    let harness = Harness::with(|options| {
        options.cleaner.backoff_ms = 5;
        options.cleaner.threads = 2;
    });
    let log = harness.create(0, compacted());
    fill(&harness, &log, "x");
    fill(&harness, &log, "x");
    wait_until("the log is compacted", || values_of(&log, "x0").len() == 1);
    let none = storage::CleanerOptions {
        enable: false,
        ..harness.options.cleaner.clone()
    };
    harness.store().configure_cleaner(none).unwrap();
    assert_eq!(harness.store().cleaner_status().dead_threads, 0);
    fill(&harness, &log, "x");
    fill(&harness, &log, "x");
    assert!(values_of(&log, "x0").len() > 1);
    let one = storage::CleanerOptions {
        threads: 1,
        ..harness.options.cleaner.clone()
    };
    harness.store().configure_cleaner(one).unwrap();
    wait_until("the log is compacted again", || {
        values_of(&log, "x0").len() == 1
    });
}

#[test]
fn markers_outlive_their_records_by_the_retention_and_no_longer() {
    let harness = harness();
    let log = harness.create(0, compacted());
    for (producer, committed) in [(7, true), (8, false)] {
        let options = BatchOptions {
            producer_id: producer,
            producer_epoch: 0,
            base_sequence: 0,
            transactional: true,
            ..BatchOptions::default()
        };
        let batch = keyed(options, &[("t", Some("v")), ("x0", Some("v"))]);
        harness.append(&log, batch).unwrap();
        let marker = EndTxnMarker {
            producer_id: producer,
            producer_epoch: 0,
            committed,
            coordinator_epoch: 0,
        };
        let marker = internal(&log, marker.to_batch(T0).unwrap());
        harness.append_all(vec![marker]).remove(0).unwrap();
    }
    put(&harness, &log, "t", Some("later"));
    let markers = || {
        let found = batches(&log).into_iter();
        found
            .filter(|batch| EndTxnMarker::from_batch(batch).is_ok())
            .count()
    };
    let mut round = 0;
    let mut again = || {
        round += 1;
        fill(&harness, &log, "x");
        fill(&harness, &log, &round.to_string());
        harness.store().clean().unwrap();
    };
    again();
    assert_eq!(log.aborted_transactions(0, 100).len(), 1);
    again();
    // Both producers' last batches are there without their records, so both markers stay as well.
    assert_eq!((values_of(&log, "t").len(), markers()), (1, 2));
    for producer in [7, 8] {
        // The producers write on, elsewhere in the log; now their old batches go.
        let mut batch = keyed(BatchOptions::default(), &[("w", Some("v"))]).to_vec();
        let header = BatchHeader {
            producer_id: producer,
            producer_epoch: 0,
            base_sequence: 2,
            ..BatchHeader::parse(&batch).unwrap()
        };
        batch[..61].copy_from_slice(&header.to_bytes());
        let crc = wire::batch::compute_crc(&batch);
        batch[wire::batch::CRC].copy_from_slice(&crc.to_be_bytes());
        harness.append(&log, batch.into()).unwrap();
    }
    again();
    assert_eq!(log.aborted_transactions(0, 100).len(), 1, "seen once more");
    again();
    assert_eq!((log.aborted_transactions(0, 100).len(), markers()), (0, 2));
    harness.clock.advance(DELETE_RETENTION_MS);
    again();
    assert_eq!(markers(), 0);
}

#[test]
fn a_compacted_log_that_deletes_as_well_loses_what_is_too_old() {
    let harness = harness();
    let both = LogOptions {
        delete: true,
        retention_ms: 60_000,
        ..compacted()
    };
    let log = harness.create(0, both);
    put(&harness, &log, "old", Some("1"));
    fill(&harness, &log, "x");
    fill(&harness, &log, "x");
    harness.store().clean().unwrap();
    log.retain().unwrap();
    assert_eq!(values_of(&log, "old").len(), 1);
    harness.clock.advance(120_000);
    log.retain().unwrap();
    assert_eq!(records(&log), []);
    assert_eq!(log.log_start_offset(), 29);
    fill(&harness, &log, "y");
    fill(&harness, &log, "y");
    harness.store().clean().unwrap();
    assert_eq!(values_of(&log, "y0").len(), 1);
}
