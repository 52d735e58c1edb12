//! Retention, deletion, leader epochs, time lookup, transactions: what happens to a log besides appends.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, in its helpers too"
)]

extern crate tidewater_storage as storage;

mod support;

use std::sync::Arc;

use storage::{AppendError, ChangeError, LogOptions, ReadError};
use support::*;
use wire::batch::{BatchOptions, EndTxnMarker, TimestampType};

fn small_segments() -> LogOptions {
    LogOptions {
        segment_bytes: 10_000,
        index_interval_bytes: 500,
        file_delete_delay_ms: 1000,
        ..LogOptions::default()
    }
}

#[test]
fn retention_by_size_removes_whole_segments_from_the_front() {
    let harness = Harness::new();
    let log = harness.create(
        0,
        LogOptions {
            retention_bytes: 35_000,
            ..small_segments()
        },
    );
    for _ in 0..100 {
        harness.append(&log, batch(1, 900, T0)).unwrap();
    }
    let before = log.size_bytes();
    harness.store().retain();
    assert!(
        before > 90_000 && (35_000..46_000).contains(&log.size_bytes()),
        "{before} to {}",
        log.size_bytes()
    );
    assert!(log.log_start_offset() > 0);
    assert!(matches!(
        read_from(&log, 0, 10),
        Err(ReadError::OutOfRange { .. })
    ));
    assert_eq!(read_all(&log).len() as i64, 100 - log.log_start_offset());
    // Files go later.
    let removed = || {
        std::fs::read_dir(harness.log_dir(1))
            .unwrap()
            .filter(|e| {
                e.as_ref()
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .ends_with(".deleted")
            })
            .count()
    };
    assert!(removed() > 0);
    harness.clock.advance(1001);
    wait_until("retired files are removed", || removed() == 0);
}

#[test]
fn retention_by_time_empties_a_log_and_offsets_go_on() {
    let mut harness = Harness::new();
    let log = harness.create(
        0,
        LogOptions {
            retention_ms: 60_000,
            ..small_segments()
        },
    );
    for n in 0..50 {
        harness.append(&log, idempotent(9, 0, n, 1)).unwrap();
    }
    harness.store().retain();
    assert_eq!(log.log_start_offset(), 0);
    harness.clock.advance(60_001);
    harness.store().retain();
    assert_eq!(
        (
            log.log_start_offset(),
            log.log_end_offset(),
            log.size_bytes()
        ),
        (50, 50, 0)
    );
    drop(log);
    for stop in [
        Harness::close as fn(&mut Harness),
        Harness::crash,
        |harness| {
            harness.crash();
            std::fs::remove_dir_all(harness.dir().join("db")).unwrap();
        },
    ] {
        stop(&mut harness);
        harness.reopen();
        assert_eq!(
            (
                harness.log(0).log_start_offset(),
                harness.log(0).log_end_offset()
            ),
            (50, 50)
        );
    }
    // Retention does not forget producers (I8); a lost database does, and then any sequence may come (I5).
    assert_eq!(
        harness
            .append(&harness.log(0), idempotent(9, 0, 50, 1))
            .unwrap()
            .base_offset,
        50
    );
}

#[test]
fn nothing_above_the_high_watermark_is_removed() {
    let harness = Harness::new();
    let log = harness.create(
        0,
        LogOptions {
            retention_ms: 1000,
            ..small_segments()
        },
    );
    log.set_sole_replica(false);
    for _ in 0..50 {
        harness.append(&log, batch(1, 900, T0)).unwrap();
    }
    assert_eq!(log.high_watermark(), 0);
    harness.clock.advance(5000);
    harness.store().retain();
    assert_eq!(log.log_start_offset(), 0);
    assert!(log.advance_high_watermark(30));
    assert!(!log.advance_high_watermark(20));
    harness.store().retain();
    assert!(log.log_start_offset() > 10 && log.log_start_offset() <= 30);
    assert!(matches!(
        log.delete_records(31),
        Err(ChangeError::OutOfRange {
            high_watermark: 30,
            ..
        })
    ));
}

#[test]
fn deleted_records_stay_deleted_across_a_crash() {
    let mut harness = Harness::new();
    let log = harness.create(0, small_segments());
    for _ in 0..50 {
        harness.append(&log, batch(2, 300, T0)).unwrap();
    }
    assert_eq!(log.delete_records(33).unwrap(), 33);
    assert_eq!(log.delete_records(5).unwrap(), 33);
    // The batch that holds 33 is still served whole (F3), nothing before it.
    assert!(matches!(
        read_from(&log, 32, 10),
        Err(ReadError::OutOfRange {
            log_start_offset: 33,
            ..
        })
    ));
    let first = wire::batch::BatchHeader::parse(&read_from(&log, 33, 10).unwrap()).unwrap();
    assert_eq!(first.base_offset, 32);
    drop(log);
    harness.crash();
    harness.reopen();
    assert_eq!(harness.log(0).log_start_offset(), 33);
}

#[test]
fn segments_roll_by_the_records_own_time() {
    let harness = Harness::new();
    let log = harness.create(
        0,
        LogOptions {
            segment_ms: 1000,
            ..LogOptions::default()
        },
    );
    for n in 0..10 {
        harness.append(&log, batch(1, 10, T0 + n * 300)).unwrap();
    }
    // 0..900 ms, 1200..2100 ms, 2400..2700 ms
    assert_eq!(segment_files(&harness.log_dir(1)).len(), 3);
}

#[test]
fn a_deleted_log_is_gone_and_its_name_is_free_at_once() {
    let mut harness = Harness::new();
    let log = harness.create(
        0,
        LogOptions {
            file_delete_delay_ms: 1000,
            ..LogOptions::default()
        },
    );
    harness.append(&log, batch(1, 100, T0)).unwrap();
    harness.store().delete_log(key(0)).unwrap();
    assert!(harness.store().log(key(0)).is_none());
    assert!(matches!(
        harness.append(&log, batch(1, 100, T0)),
        Err(AppendError::Deleted)
    ));
    assert!(matches!(read_from(&log, 0, 10), Err(ReadError::Deleted)));
    assert!(harness.store().delete_log(key(0)).is_err());
    let again = harness.create(0, LogOptions::default());
    assert_eq!((again.log_end_offset(), again.producers().len()), (0, 0));
    let retired = harness.dir().join("logs/1.deleted");
    assert!(retired.exists());
    harness.clock.advance(1001);
    wait_until("the retired directory is removed", || !retired.exists());
    drop((log, again));
    harness.crash();
    harness.reopen();
    assert_eq!(harness.store().logs().len(), 1);
    assert_eq!(harness.log(0).log_end_offset(), 0);
}

#[test]
fn leader_epochs_answer_where_histories_part() {
    let mut harness = Harness::new();
    let log = harness.create(0, LogOptions::default());
    for epoch in [0, 2, 5] {
        log.become_leader(epoch).unwrap();
        for _ in 0..10 {
            harness.append(&log, batch(1, 10, T0)).unwrap();
        }
    }
    let check = |log: &storage::PartitionLog| {
        let of = |epoch| {
            let end = log.end_offset_for_epoch(epoch);
            (end.epoch, end.end_offset)
        };
        assert_eq!(
            [of(0), of(1), of(2), of(4), of(5), of(6)],
            [(0, 10), (0, 10), (2, 20), (2, 20), (5, 30), (-1, -1)]
        );
        assert_eq!(
            (log.epoch_of_offset(9), log.epoch_of_offset(10)),
            (Some(0), Some(2))
        );
    };
    check(&log);
    drop(log);
    harness.crash();
    harness.reopen();
    let log = harness.log(0);
    check(&log);
    assert_eq!(log.truncate_to(15).unwrap(), 15);
    assert_eq!(
        (log.end_offset_for_epoch(2).end_offset, log.high_watermark()),
        (15, 15)
    );
    // An epoch that began is never taken back, though nothing of it is left.
    assert_eq!(log.leader_epoch(), 5);
    assert!(log.become_leader(4).is_err());
}

#[test]
fn truncation_cuts_the_producer_state_as_well() {
    let mut harness = Harness::new();
    let log = harness.create(0, small_segments());
    for n in 0..100 {
        harness.append(&log, idempotent(9, 0, n, 1)).unwrap();
    }
    assert_eq!(log.truncate_to(60).unwrap(), 60);
    assert!(
        harness
            .append(&log, idempotent(9, 0, 59, 1))
            .unwrap()
            .duplicate
    );
    assert_eq!(
        harness
            .append(&log, idempotent(9, 0, 60, 1))
            .unwrap()
            .base_offset,
        60
    );
    drop(log);
    harness.crash();
    harness.reopen();
    let log = harness.log(0);
    assert_eq!(read_all(&log).len(), 61);
    assert_eq!(
        harness
            .append(&log, idempotent(9, 0, 61, 1))
            .unwrap()
            .base_offset,
        61
    );
}

#[test]
fn records_are_found_by_time_also_under_log_append_time() {
    let harness = Harness::new();
    let log = harness.create(0, small_segments());
    // Times go back and forth; the index must not be misled.
    for n in 0..200i64 {
        let time = T0 + n * 100 - (n % 7) * 350;
        harness.append(&log, batch(3, 200, time)).unwrap();
    }
    let of = |timestamp: i64| {
        log.offset_for_timestamp(timestamp, log.log_end_offset())
            .unwrap()
    };
    let expected = |wanted: i64| {
        (0..200i64)
            .flat_map(|n| (0..3).map(move |r| (n * 3 + r, T0 + n * 100 - (n % 7) * 350 + r)))
            .find(|(_, time)| *time >= wanted)
    };
    for ask in (0..21_000).step_by(137) {
        assert_eq!(
            of(T0 + ask).map(|found| (found.offset, found.timestamp)),
            expected(T0 + ask),
            "at {ask}"
        );
    }
    assert_eq!(of(T0 + 90_000), None);
    assert_eq!(of(T0 - 90_000).unwrap().offset, 0);
    assert_eq!(log.offset_for_timestamp(T0 + 10_000, 100).unwrap(), None);
    let newest = log
        .max_timestamp_offset(log.log_end_offset())
        .unwrap()
        .unwrap();
    let greatest = (0..200i64)
        .map(|n| T0 + n * 100 - (n % 7) * 350 + 2)
        .max()
        .unwrap();
    assert_eq!(newest.timestamp, greatest);

    let log = harness.create(1, LogOptions::default());
    let options = BatchOptions {
        timestamp_type: TimestampType::LogAppendTime,
        ..BatchOptions::default()
    };
    harness
        .append(&log, build(options.clone(), 3, 10, T0))
        .unwrap();
    harness
        .append(&log, build(options, 3, 10, T0 + 50))
        .unwrap();
    // Every record has the batch's time, which is that of its last record here.
    assert_eq!(
        log.offset_for_timestamp(T0 + 1, 6)
            .unwrap()
            .map(|f| (f.offset, f.timestamp)),
        Some((0, T0 + 2))
    );
    assert_eq!(
        log.max_timestamp_offset(6)
            .unwrap()
            .map(|f| (f.offset, f.timestamp)),
        Some((3, T0 + 52))
    );
}

fn marker(producer_id: i64, committed: bool) -> wire::Bytes {
    EndTxnMarker {
        producer_id,
        producer_epoch: 0,
        committed,
        coordinator_epoch: 1,
    }
    .to_batch(T0)
    .unwrap()
}

#[test]
fn open_transactions_hold_back_the_stable_offset_until_their_marker() {
    let mut harness = Harness::new();
    let log = harness.create(0, LogOptions::default());
    harness.append(&log, batch(1, 10, T0)).unwrap();
    harness.append(&log, transactional(1, 0, 0, 2)).unwrap();
    harness.append(&log, transactional(2, 0, 0, 2)).unwrap();
    assert_eq!((log.high_watermark(), log.last_stable_offset()), (5, 1));
    assert!(matches!(
        harness.append(&log, idempotent(1, 0, 2, 1)),
        Err(AppendError::TransactionConflict { producer_id: 1 })
    ));
    harness
        .append_all(vec![internal(&log, marker(1, false))])
        .remove(0)
        .unwrap();
    assert_eq!(log.last_stable_offset(), 3);
    let open: Vec<_> = log
        .producers()
        .iter()
        .map(|p| (p.producer_id, p.transaction_start, p.last_sequence))
        .collect();
    assert_eq!(open, [(1, None, 1), (2, Some(3), 1)]);
    drop(log);
    harness.crash();
    harness.reopen();
    let log = harness.log(0);
    assert_eq!((log.high_watermark(), log.last_stable_offset()), (6, 3));
    harness
        .append_all(vec![internal(&log, marker(2, true))])
        .remove(0)
        .unwrap();
    assert_eq!(log.last_stable_offset(), 7);
    let aborted = log.aborted_transactions(0, 100);
    assert_eq!(
        aborted
            .iter()
            .map(|a| (a.producer_id, a.first_offset, a.last_offset))
            .collect::<Vec<_>>(),
        [(1, 1, 5)]
    );
    assert!(log.aborted_transactions(6, 100).is_empty());
    drop(log);
    harness.close();
    harness.reopen();
    assert_eq!(harness.log(0).aborted_transactions(0, 100), aborted);
}

#[test]
fn a_replica_sees_the_stable_offset_move_with_the_high_watermark() {
    let harness = Harness::new();
    let log = harness.create(0, LogOptions::default());
    log.set_sole_replica(false);
    harness.append(&log, transactional(1, 0, 0, 2)).unwrap();
    harness
        .append_all(vec![internal(&log, marker(1, true))])
        .remove(0)
        .unwrap();
    harness.append(&log, batch(1, 10, T0)).unwrap();
    assert_eq!(log.last_stable_offset(), 0);
    // The marker at 2 is not replicated yet: a new leader might not know the outcome.
    log.advance_high_watermark(2);
    assert_eq!(log.last_stable_offset(), 0);
    log.advance_high_watermark(3);
    assert_eq!(log.last_stable_offset(), 3);
}

#[test]
fn idle_producers_expire_with_retention() {
    let harness = Harness::with(|options| options.producer_id_expiration_ms = 60_000);
    let log = harness.create(0, LogOptions::default());
    harness.append(&log, idempotent(1, 0, 0, 1)).unwrap();
    harness.clock.advance(60_001);
    log.retain().unwrap();
    assert!(log.producers().is_empty());
    // Nothing is known of the producer, so any sequence is accepted (I5).
    assert!(
        !harness
            .append(&log, idempotent(1, 0, 17, 1))
            .unwrap()
            .duplicate
    );
}

#[test]
fn options_can_change_while_the_log_lives() {
    let harness = Harness::new();
    let log = harness.create(0, LogOptions::default());
    harness.append(&log, batch(1, 900, T0)).unwrap();
    log.configure(Arc::new(LogOptions {
        segment_bytes: 1000,
        ..LogOptions::default()
    }));
    harness.append(&log, batch(1, 900, T0)).unwrap();
    assert_eq!(segment_files(&harness.log_dir(1)).len(), 2);
}

#[test]
fn retention_beside_a_busy_writer_removes_only_what_is_old() {
    let harness = Harness::new();
    let log = harness.create(
        0,
        LogOptions {
            retention_ms: 1000,
            ..small_segments()
        },
    );
    let done = std::sync::atomic::AtomicBool::new(false);
    let ordering = std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(ordering) {
                harness.clock.advance(50);
                log.retain().unwrap();
                std::thread::yield_now();
            }
        });
        for _ in 0..2000 {
            // Stamped with a time that retention cannot have passed yet.
            let now = storage::Clock::now_ms(&*harness.clock) + 1_000_000_000;
            let appended = harness.append(&log, batch(1, 300, now)).unwrap();
            let old = harness.append(&log, batch(1, 300, T0 - 10_000)).unwrap();
            assert_eq!(old.base_offset, appended.base_offset + 1);
            assert_eq!(log.log_start_offset(), 0, "a fresh record was removed");
        }
        done.store(true, ordering);
    });
    assert_eq!(read_all(&log).len(), 4000);
}
