//! Appending, reading and reopening, seen through the crate's door.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, in its helpers too"
)]

extern crate tidewater_storage as storage;

mod support;

use std::os::unix::fs::FileExt;

use storage::{AppendError, LogOptions, LogSlice, ReadError, ReadLimits, ReadMode};
use support::*;

fn small_segments() -> LogOptions {
    LogOptions {
        segment_bytes: 20_000,
        index_interval_bytes: 500,
        ..LogOptions::default()
    }
}

#[test]
fn what_is_appended_is_read_back_with_offsets_and_epoch_in_place() {
    let harness = Harness::new();
    let log = harness.create(0, LogOptions::default());
    log.become_leader(5).unwrap();
    for n in 0..10 {
        let appended = harness.append(&log, batch(3, 100, T0)).unwrap();
        assert_eq!(
            (appended.base_offset, appended.last_offset),
            (n * 3, n * 3 + 2)
        );
        assert_eq!(
            (appended.duplicate, appended.log_append_time_ms),
            (false, -1)
        );
    }
    assert_eq!((log.log_end_offset(), log.high_watermark()), (30, 30));
    let headers = read_all(&log);
    assert_eq!(headers.len(), 10);
    assert!(
        headers
            .iter()
            .all(|header| header.partition_leader_epoch == 5)
    );
    assert_eq!(
        headers
            .iter()
            .map(|header| header.base_offset)
            .collect::<Vec<_>>(),
        (0..10).map(|n| n * 3).collect::<Vec<_>>()
    );
}

#[test]
fn a_frame_that_is_still_shared_is_patched_without_being_changed() {
    let harness = Harness::with(|options| options.tail_cache_bytes = 1 << 20);
    let log = harness.create(0, LogOptions::default());
    harness.append(&log, batch(1, 10, T0)).unwrap();
    let shared = batch(2, 5000, T0);
    let kept = shared.clone();
    let before = kept.to_vec();
    harness.append(&log, shared).unwrap();
    assert_eq!(kept, before);
    // From memory and from the file alike.
    let limits = ReadLimits {
        max_bytes: 1 << 20,
        below: 3,
        whole_first_batch: true,
    };
    let found = log.read(1, limits, ReadMode::NoWait).unwrap();
    assert!(
        found
            .slices
            .iter()
            .all(|slice| matches!(slice, LogSlice::Memory(_)))
    );
    let file = std::fs::read(harness.log_dir(1).join("00000000000000000000.log")).unwrap();
    assert_eq!(found.to_bytes().unwrap(), file[file.len() - before.len()..]);
    assert_eq!(read_all(&log).len(), 2);
}

#[test]
fn reads_return_whole_batches_within_the_limits() {
    let harness = Harness::with(|options| options.tail_cache_bytes = 0);
    let log = harness.create(
        0,
        LogOptions {
            index_interval_bytes: 300,
            ..LogOptions::default()
        },
    );
    let size = batch(2, 100, T0).len();
    for _ in 0..100 {
        harness.append(&log, batch(2, 100, T0)).unwrap();
    }
    let read = |from: i64, max_bytes: usize, below: i64, whole: bool| {
        let limits = ReadLimits {
            max_bytes,
            below,
            whole_first_batch: whole,
        };
        log.read(from, limits, ReadMode::Wait)
            .map(|found| found.to_bytes().unwrap())
    };
    let first = |bytes: &[u8]| wire::batch::BatchHeader::parse(bytes).unwrap().base_offset;
    // In the middle of a batch the whole batch comes (F3).
    assert_eq!(first(&read(51, 1, 200, true).unwrap()), 50);
    assert_eq!(read(51, 1, 200, true).unwrap().len(), size);
    assert!(read(51, 1, 200, false).unwrap().is_empty());
    assert_eq!(read(0, usize::MAX, 200, true).unwrap().len(), size * 100);
    assert_eq!(read(0, usize::MAX, 60, true).unwrap().len(), size * 30);
    for batches in 1..20 {
        let bytes = read(40, size * batches + 10, 200, true).unwrap();
        assert_eq!(bytes.len() % size, 0);
        assert!(
            bytes.len() <= size * batches && bytes.len() * 2 >= size * batches,
            "{batches}: {}",
            bytes.len()
        );
        let bytes = read(40, size * batches, 47, true).unwrap();
        assert!(bytes.len() <= size * 4);
    }
    assert!(read(200, 100, 200, true).unwrap().is_empty());
    assert!(read(60, 100, 60, true).unwrap().is_empty());
    assert!(matches!(
        read(201, 100, 300, true),
        Err(ReadError::OutOfRange {
            log_end_offset: 200,
            ..
        })
    ));
    assert!(matches!(
        read(-1, 100, 300, true),
        Err(ReadError::OutOfRange { .. })
    ));
}

#[test]
fn segments_roll_by_size_and_every_offset_is_found() {
    let harness = Harness::with(|options| options.tail_cache_bytes = 0);
    let log = harness.create(0, small_segments());
    for n in 0..300 {
        harness.append(&log, batch(1 + n % 4, 200, T0)).unwrap();
    }
    assert!(segment_files(&harness.log_dir(1)).len() > 5);
    for offset in 0..log.log_end_offset() {
        let bytes = read_from(&log, offset, 1).unwrap();
        let header = wire::batch::BatchHeader::parse(&bytes).unwrap();
        assert!(header.base_offset <= offset && offset <= header.last_offset());
    }
    assert_eq!(read_all(&log).len(), 300);
    assert!(matches!(
        harness.append(&log, batch(1, 21_000, T0)),
        Err(AppendError::BatchExceedsSegment { .. })
    ));
}

#[test]
fn an_orderly_close_needs_no_scan_and_loses_nothing() {
    let mut harness = Harness::new();
    let log = harness.create(0, small_segments());
    log.become_leader(3).unwrap();
    for n in 0..200 {
        harness.append(&log, idempotent(9, 0, n, 1)).unwrap();
    }
    let before = read_all(&log);
    drop(log);
    harness.close();
    harness.reopen();
    assert_eq!(
        (
            harness.summary.scanned_bytes,
            harness.summary.unclean_dirs,
            harness.summary.logs
        ),
        (0, 0, 1)
    );
    let log = harness.log(0);
    assert_eq!(
        (
            log.log_end_offset(),
            log.high_watermark(),
            log.leader_epoch()
        ),
        (200, 200, 3)
    );
    assert_eq!(log.topic(), "topic");
    assert_eq!(read_all(&log), before);
    // The producer is remembered: its last batches are duplicates, its next one is in order.
    let again = harness.append(&log, idempotent(9, 0, 199, 1)).unwrap();
    assert_eq!(
        (again.duplicate, again.base_offset, again.log_append_time_ms),
        (true, 199, T0)
    );
    assert!(harness.append(&log, idempotent(9, 0, 201, 1)).is_err());
    assert_eq!(
        harness
            .append(&log, idempotent(9, 0, 200, 1))
            .unwrap()
            .base_offset,
        200
    );
}

#[test]
fn a_crash_loses_nothing_and_scans_only_what_no_checkpoint_covers() {
    let mut harness = Harness::with(|options| options.checkpoint_bytes = 40_000);
    let log = harness.create(
        0,
        LogOptions {
            segment_bytes: 100_000,
            ..small_segments()
        },
    );
    for n in 0..1000 {
        harness.append(&log, idempotent(9, 0, n, 1)).unwrap();
        harness.append(&log, batch(2, 100, T0)).unwrap();
    }
    let (before, size) = (read_all(&log), log.size_bytes());
    drop(log);
    harness.crash();
    harness.reopen();
    assert_eq!(harness.summary.unclean_dirs, 1);
    assert!(
        harness.summary.scanned_bytes < 60_000,
        "{} of {size}",
        harness.summary.scanned_bytes
    );
    assert_eq!(harness.summary.cut_bytes, 0);
    let log = harness.log(0);
    assert_eq!(read_all(&log), before);
    assert!(
        harness
            .append(&log, idempotent(9, 0, 999, 1))
            .unwrap()
            .duplicate
    );
    assert_eq!(
        harness
            .append(&log, idempotent(9, 0, 1000, 1))
            .unwrap()
            .base_offset,
        3000
    );
}

#[test]
fn a_torn_tail_is_cut_and_whole_batches_stay() {
    let mut harness = Harness::with(|options| options.checkpoint_bytes = 1 << 30);
    let log = harness.create(0, LogOptions::default());
    for _ in 0..50 {
        harness.append(&log, batch(1, 300, T0)).unwrap();
    }
    drop(log);
    harness.crash();
    let path = harness.log_dir(1).join("00000000000000000000.log");
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let len = file.metadata().unwrap().len();
    file.set_len(len - 17).unwrap();
    harness.reopen();
    let log = harness.log(0);
    assert_eq!((log.log_end_offset(), read_all(&log).len()), (49, 49));
    assert!(harness.summary.cut_bytes > 0);
    assert_eq!(
        harness.append(&log, batch(1, 300, T0)).unwrap().base_offset,
        49
    );
}

#[test]
fn garbage_behind_the_last_batch_is_cut() {
    let mut harness = Harness::new();
    let log = harness.create(0, LogOptions::default());
    for _ in 0..5 {
        harness.append(&log, batch(1, 300, T0)).unwrap();
    }
    drop(log);
    harness.crash();
    let path = harness.log_dir(1).join("00000000000000000000.log");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let len = file.metadata().unwrap().len();
    file.write_all_at(&[0; 5000], len).unwrap();
    harness.reopen();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), len);
    assert_eq!(read_all(&harness.log(0)).len(), 5);
}

#[test]
fn a_damaged_base_offset_does_not_move_the_log_end_into_the_far_future() {
    let mut harness = Harness::new();
    let log = harness.create(0, LogOptions::default());
    for _ in 0..5 {
        harness.append(&log, batch(1, 300, T0)).unwrap();
    }
    drop(log);
    harness.crash();
    let path = harness.log_dir(1).join("00000000000000000000.log");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let len = file.metadata().unwrap().len();
    // No checksum covers the base offset, which opens the batch.
    file.write_all_at(&[0x40], len / 5 * 4).unwrap();
    harness.reopen();
    let log = harness.log(0);
    assert_eq!((log.log_end_offset(), read_all(&log).len()), (4, 4));
}

#[test]
fn without_rocksdb_everything_is_rebuilt_from_the_segment_files() {
    let mut harness = Harness::new();
    let log = harness.create(0, small_segments());
    harness.create(1, LogOptions::default());
    for n in 0..200 {
        harness.append(&log, idempotent(9, 0, n, 1)).unwrap();
        if n == 100 {
            log.become_leader(4).unwrap();
        }
    }
    let (before, topic_end) = (read_all(&log), log.end_offset_for_epoch(0));
    drop(log);
    harness.close();
    std::fs::remove_dir_all(harness.dir().join("db")).unwrap();
    harness.reopen();
    let log = harness.log(0);
    assert_eq!(read_all(&log), before);
    assert_eq!(
        (log.leader_epoch(), log.end_offset_for_epoch(0)),
        (4, topic_end)
    );
    assert!(
        harness
            .append(&log, idempotent(9, 0, 199, 1))
            .unwrap()
            .duplicate
    );
    // The next log gets an id of its own.
    harness.create(2, LogOptions::default());
    assert!(harness.log_dir(3).exists());
}

#[test]
fn a_machine_crash_that_takes_unsynced_bytes_is_noticed() {
    let mut harness = Harness::with(|options| options.checkpoint_bytes = 1);
    let log = harness.create(0, LogOptions::default());
    for n in 0..50 {
        harness.append(&log, idempotent(9, 0, n, 1)).unwrap();
    }
    drop(log);
    harness.pretend_machine_crash();
    // A page of the middle never reached the disk; RocksDB says the log is longer.
    let path = harness.log_dir(1).join("00000000000000000000.log");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 500], 2000).unwrap();
    harness.reopen();
    let log = harness.log(0);
    let kept = read_all(&log).len() as i64;
    assert!(kept > 5 && kept < 50, "{kept}");
    assert_eq!(log.log_end_offset(), kept);
    // The producer state was cut as well: the lost batch is not taken for a duplicate.
    let appended = harness
        .append(&log, idempotent(9, 0, i32::try_from(kept).unwrap(), 1))
        .unwrap();
    assert_eq!((appended.duplicate, appended.base_offset), (false, kept));
}

#[test]
fn synced_bytes_are_not_scanned_after_a_machine_crash() {
    let mut harness = Harness::with(|options| options.checkpoint_bytes = 1);
    let log = harness.create(0, LogOptions::default());
    for _ in 0..50 {
        harness.append(&log, batch(1, 1000, T0)).unwrap();
    }
    log.flush().unwrap();
    harness.append(&log, batch(1, 1000, T0)).unwrap();
    drop(log);
    harness.pretend_machine_crash();
    harness.reopen();
    assert_eq!(read_all(&harness.log(0)).len(), 51);
    assert!(
        harness.summary.scanned_bytes < 3000,
        "{}",
        harness.summary.scanned_bytes
    );
}

#[test]
fn rot_in_a_sealed_segment_is_reported_and_never_served() {
    let mut harness = Harness::with(|options| options.tail_cache_bytes = 0);
    let log = harness.create(0, small_segments());
    for _ in 0..300 {
        harness.append(&log, batch(1, 200, T0)).unwrap();
    }
    drop(log);
    harness.close();
    let path = harness
        .log_dir(1)
        .join(&segment_files(&harness.log_dir(1))[1]);
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 5000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 5000).unwrap();
    harness.reopen();
    let log = harness.log(0);
    let (mut good, mut corrupt) = (0, 0);
    for offset in 0..300 {
        match read_from(&log, offset, 1) {
            Ok(bytes) => {
                assert!(wire::batch::check_crc(&bytes));
                good += 1;
            }
            Err(ReadError::Corrupt { file, .. }) => {
                assert_eq!(file, path.canonicalize().unwrap());
                corrupt += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((good, corrupt), (299, 1));
    assert!(!log.is_offline());
    assert_eq!(
        harness.append(&log, batch(1, 200, T0)).unwrap().base_offset,
        300
    );
}

#[test]
fn a_directory_of_another_node_or_cluster_is_refused() {
    let mut harness = Harness::new();
    harness.close();
    harness.options.node_id = 2;
    assert!(matches!(
        harness.try_open(),
        Err(storage::OpenError::WrongDirectory { .. })
    ));
    harness.options.node_id = 1;
    harness.options.cluster_id = "other".to_owned();
    assert!(matches!(
        harness.try_open(),
        Err(storage::OpenError::WrongDirectory { .. })
    ));
    harness.options.cluster_id = "cluster".to_owned();
    harness.reopen();
    assert!(harness.store().dirs()[0].directory_id.is_some());
}

#[test]
fn one_submission_may_span_logs_and_directories_and_is_answered_in_order() {
    let mut harness = Harness::unopened(|_| {});
    harness.options.dirs.push(harness.root.path().join("d1"));
    let events = std::sync::Arc::new(CountingEvents::default());
    harness.events = events.clone();
    harness.reopen();
    let logs: Vec<_> = (0..4)
        .map(|n| harness.create(n, LogOptions::default()))
        .collect();
    let dirs: std::collections::BTreeSet<_> =
        logs.iter().map(|log| log.dir().to_path_buf()).collect();
    assert_eq!(dirs.len(), 2);
    let jobs = (0..12)
        .map(|n| job(&logs[n % 4], batch(n + 1, 10, T0)))
        .collect();
    let results = harness.append_all(jobs);
    let lengths: Vec<_> = results
        .iter()
        .map(|r| r.as_ref().unwrap())
        .map(|a| a.last_offset - a.base_offset + 1)
        .collect();
    assert_eq!(lengths, (1..13).collect::<Vec<_>>());
    assert_eq!(results[4].as_ref().unwrap().base_offset, 1);
    assert_eq!(results[8].as_ref().unwrap().base_offset, 6);
    let moved = events.moved.lock().unwrap().clone();
    assert!(
        logs.iter()
            .all(|log| moved.contains(&(log.key().partition, log.log_end_offset())))
    );
    assert!(harness.append_all(Vec::new()).is_empty());
}

#[test]
fn appends_under_another_leader_epoch_are_fenced() {
    let harness = Harness::new();
    let log = harness.create(0, LogOptions::default());
    log.become_leader(5).unwrap();
    let mut stale = job(&log, batch(1, 10, T0));
    stale.leader_epoch = 4;
    let results = harness.append_all(vec![stale]);
    assert!(matches!(
        results[0],
        Err(AppendError::FencedLeaderEpoch {
            current: 5,
            found: 4
        })
    ));
    assert!(log.become_leader(4).is_err());
    assert_eq!(log.log_end_offset(), 0);
}

#[test]
fn a_refused_batch_does_not_hold_up_the_ones_around_it() {
    let harness = Harness::new();
    let log = harness.create(0, LogOptions::default());
    let jobs = vec![
        job(&log, idempotent(1, 0, 0, 2)),
        job(&log, idempotent(1, 0, 5, 1)),
        job(&log, idempotent(1, 0, 0, 2)),
        job(&log, wire::Bytes::from_static(b"not a batch")),
        job(&log, idempotent(1, 0, 2, 1)),
    ];
    let results = harness.append_all(jobs);
    assert_eq!(results[0].as_ref().unwrap().base_offset, 0);
    assert!(matches!(
        results[1],
        Err(AppendError::OutOfOrderSequence {
            last: 1,
            found: 5,
            ..
        })
    ));
    assert!(results[2].as_ref().unwrap().duplicate);
    assert!(matches!(results[3], Err(AppendError::InvalidBatch(_))));
    assert_eq!(results[4].as_ref().unwrap().base_offset, 2);
    assert_eq!(log.log_end_offset(), 3);
}

#[test]
fn a_closed_store_answers_instead_of_hanging() {
    let mut harness = Harness::new();
    let log = harness.create(0, LogOptions::default());
    let jobs = vec![job(&log, batch(1, 10, T0))];
    let store = std::mem::replace(&mut harness, Harness::new());
    store.store().close().unwrap();
    let results = store.append_all(jobs);
    assert!(matches!(results[0], Err(AppendError::Offline { .. })));
    assert!(matches!(
        read_from(&log, 0, 10),
        Err(ReadError::Offline { .. })
    ));
}
