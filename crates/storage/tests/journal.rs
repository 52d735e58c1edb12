//! Topics that want every write on the disk before it is answered: what a machine crash may and may not take.
//!
//! A machine crash is played by cutting the segment files back to what was synced: the page cache is gone, the journal is
//! not.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, in its helpers too"
)]

extern crate tidewater_storage as storage;

mod support;

use storage::LogOptions;
use support::*;

fn every_write() -> LogOptions {
    LogOptions {
        flush_messages: 1,
        segment_bytes: 50_000,
        ..LogOptions::default()
    }
}

/// Cuts every segment file of a log to `len` bytes and removes those after the first.
fn lose_page_cache(harness: &Harness, id: u64, len: u64) {
    let dir = harness.log_dir(id);
    for (at, name) in segment_files(&dir).iter().enumerate() {
        let path = dir.join(name);
        if at == 0 {
            std::fs::OpenOptions::new()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(len)
                .unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }
}

fn journal_files(harness: &Harness) -> usize {
    std::fs::read_dir(harness.dir().join("journal")).map_or(0, |entries| entries.count())
}

#[test]
fn what_was_answered_survives_a_machine_crash_that_takes_the_page_cache() {
    let mut harness = Harness::with(|options| options.journal_file_bytes = 100_000);
    let logs: Vec<_> = (0..3).map(|n| harness.create(n, every_write())).collect();
    for n in 0..40 {
        let jobs = logs
            .iter()
            .map(|log| job(log, idempotent(5, 0, n, 1)))
            .collect();
        assert!(harness.append_all(jobs).iter().all(Result::is_ok));
    }
    let before: Vec<_> = logs.iter().map(|log| read_all(log)).collect();
    drop(logs);
    harness.pretend_machine_crash();
    for id in 1..4 {
        lose_page_cache(&harness, id, 0);
    }
    harness.reopen();
    for (n, before) in before.iter().enumerate() {
        let log = harness.log(i32::try_from(n).unwrap());
        assert_eq!(&read_all(&log), before);
        assert!(
            harness
                .append(&log, idempotent(5, 0, 39, 1))
                .unwrap()
                .duplicate
        );
    }
}

#[test]
fn the_journal_is_dropped_once_the_segments_are_on_the_disk() {
    let harness = Harness::with(|options| options.journal_file_bytes = 10_000);
    let log = harness.create(0, every_write());
    for _ in 0..50 {
        harness.append(&log, batch(1, 900, T0)).unwrap();
    }
    assert!(journal_files(&harness) > 0);
    wait_until("the journal is empty", || {
        harness.clock.advance(3000);
        journal_files(&harness) == 0
    });
    assert_eq!(
        harness.append(&log, batch(1, 900, T0)).unwrap().base_offset,
        50
    );
    assert_eq!(journal_files(&harness), 1);
}

#[test]
fn a_truncation_is_not_undone_by_replay() {
    let mut harness = Harness::new();
    let log = harness.create(0, every_write());
    for _ in 0..10 {
        harness.append(&log, batch(1, 100, T0)).unwrap();
    }
    log.truncate_to(4).unwrap();
    for _ in 0..3 {
        harness.append(&log, batch(1, 200, T0)).unwrap();
    }
    let before = read_all(&log);
    drop(log);
    harness.pretend_machine_crash();
    lose_page_cache(&harness, 1, 0);
    harness.reopen();
    assert_eq!(read_all(&harness.log(0)), before);
    assert_eq!(before.len(), 7);
}

#[test]
fn a_torn_record_ends_the_journal() {
    let mut harness = Harness::new();
    let log = harness.create(0, every_write());
    for _ in 0..10 {
        harness.append(&log, batch(1, 100, T0)).unwrap();
    }
    drop(log);
    harness.pretend_machine_crash();
    lose_page_cache(&harness, 1, 0);
    let path = harness.dir().join("journal").join(format!("{:020}.jnl", 0));
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 10).unwrap();
    harness.reopen();
    assert_eq!(read_all(&harness.log(0)).len(), 9);
}

#[test]
fn logs_with_and_without_the_journal_share_a_submission() {
    let harness = Harness::new();
    let (safe, quick) = (
        harness.create(0, every_write()),
        harness.create(1, LogOptions::default()),
    );
    let jobs = (0..20)
        .map(|n| job(if n % 2 == 0 { &safe } else { &quick }, batch(1, 4000, T0)))
        .collect();
    let results = harness.append_all(jobs);
    assert!(
        results
            .iter()
            .enumerate()
            .all(|(n, result)| result.as_ref().unwrap().base_offset == n as i64 / 2)
    );
    // Rolls happen in the middle of a group too.
    let jobs = (0..30).map(|_| job(&safe, batch(1, 4000, T0))).collect();
    assert_eq!(
        harness
            .append_all(jobs)
            .last()
            .unwrap()
            .as_ref()
            .unwrap()
            .base_offset,
        39
    );
    assert!(segment_files(&harness.log_dir(1)).len() > 2);
    assert_eq!(read_all(&safe).len(), 40);
}

#[test]
fn flush_ms_puts_data_on_the_disk_in_the_background() {
    let mut harness = Harness::with(|options| options.checkpoint_bytes = 1);
    let log = harness.create(
        0,
        LogOptions {
            flush_ms: 500,
            ..LogOptions::default()
        },
    );
    for _ in 0..20 {
        harness.append(&log, batch(1, 1000, T0)).unwrap();
    }
    harness.clock.advance(501);
    // The synced position shows after a machine crash: what lies below it is not read again.
    wait_until("the segment is synced", || {
        harness.append(&log, batch(1, 10, T0)).unwrap();
        harness.clock.advance(501);
        std::thread::sleep(std::time::Duration::from_millis(40));
        log.checkpoint().unwrap();
        harness.registry.gather().iter().any(|family| {
            family.name() == "tidewater_storage_fsync_seconds"
                && family.get_metric()[0].get_histogram().get_sample_count() > 0
        })
    });
    let size = log.size_bytes();
    drop(log);
    harness.pretend_machine_crash();
    harness.reopen();
    assert!(
        harness.summary.scanned_bytes < size / 2,
        "{} of {size}",
        harness.summary.scanned_bytes
    );
}

#[test]
fn an_orderly_close_leaves_no_journal() {
    let mut harness = Harness::new();
    let log = harness.create(0, every_write());
    harness.append(&log, batch(1, 100, T0)).unwrap();
    drop(log);
    harness.close();
    assert_eq!(journal_files(&harness), 0);
    harness.reopen();
    assert_eq!(
        (
            harness.summary.scanned_bytes,
            read_all(&harness.log(0)).len()
        ),
        (0, 1)
    );
}

#[test]
fn rot_in_a_synced_segment_does_not_move_the_log_end_back_behind_its_bytes() {
    let mut harness = Harness::new();
    let options = LogOptions {
        segment_bytes: 8_000,
        ..every_write()
    };
    let log = harness.create(0, options);
    for n in 0..60 {
        harness.append(&log, idempotent(4, 0, n * 2, 2)).unwrap();
        harness.append(&log, batch(1, 200, T0)).unwrap();
        if segment_files(&harness.log_dir(1)).len() == 2 {
            // What is known of the first segment is saved with the roll to the third.
            wait_until("the first segment is on the disk", || {
                log.recovery_point() > 0
            });
        }
    }
    drop(log);
    harness.pretend_machine_crash();
    std::fs::remove_dir_all(harness.dir().join("journal")).unwrap();
    let names = segment_files(&harness.log_dir(1));
    // One flipped bit in the middle of the first segment, and the second is no batch from its first byte on.
    for (name, at) in [(&names[0], 300), (&names[1], 0)] {
        let path = harness.log_dir(1).join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    harness.reopen();
    let log = harness.log(0);
    let appended = harness.append(&log, batch(1, 100, T0)).unwrap();
    assert_eq!(names[1], format!("{:020}.log", appended.base_offset));
    let read = read_from(&log, appended.base_offset, 1).unwrap();
    assert_eq!(read.len(), batch(1, 100, T0).len());
}
