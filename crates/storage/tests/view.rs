//! The view of a log: kept, and dropped when it is not the log's any more.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, in its helpers too"
)]

extern crate tidewater_storage as storage;

mod support;

use storage::{LogOptions, PartitionLog};
use support::*;

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn rows(log: &PartitionLog) -> Rows {
    let mut rows = Rows::new();
    log.read_view(|key, value| rows.push((key.to_vec(), value.to_vec())))
        .unwrap();
    rows
}

fn row(key: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (key.to_vec(), value.to_vec())
}

#[test]
fn a_view_has_the_latest_value_of_each_key_and_survives_a_crash_of_the_process() {
    let mut harness = Harness::new();
    let (log, other) = (
        harness.create(0, LogOptions::default()),
        harness.create(1, LogOptions::default()),
    );
    assert_eq!((log.view_end().unwrap(), rows(&log)), (0, vec![]));
    for _ in 0..3 {
        harness.append(&log, batch(1, 10, T0)).unwrap();
    }
    let a: &[u8] = b"a";
    let changes = [
        (a, Some(&b"1"[..])),
        (b"", Some(b"2")),
        (b"gone", Some(b"3")),
    ];
    log.write_view(changes, 2).unwrap();
    log.write_view([(a, Some(&b"4"[..])), (b"gone", None)], 3)
        .unwrap();
    other.write_view([(a, Some(&b"5"[..]))], 0).unwrap();
    drop((log, other));
    harness.crash();
    harness.reopen();
    let log = harness.log(0);
    assert_eq!(log.view_end().unwrap(), 3);
    assert_eq!(rows(&log), [row(b"", b"2"), row(b"a", b"4")]);
    assert_eq!(rows(&harness.log(1)), [row(b"a", b"5")]);
}

#[test]
fn a_view_that_is_ahead_of_its_log_is_dropped() {
    let harness = Harness::new();
    let log = harness.create(0, LogOptions::default());
    for _ in 0..3 {
        harness.append(&log, batch(1, 10, T0)).unwrap();
    }
    log.write_view([(&b"a"[..], Some(&b"1"[..]))], 3).unwrap();
    log.truncate_to(2).unwrap();
    // Even when the log has grown past the old end meanwhile.
    for _ in 0..5 {
        harness.append(&log, batch(1, 10, T0)).unwrap();
    }
    assert_eq!((log.view_end().unwrap(), rows(&log)), (0, vec![]));
    log.write_view([(&b"a"[..], Some(&b"2"[..]))], 100).unwrap();
    assert_eq!((log.view_end().unwrap(), rows(&log)), (0, vec![]));
}

#[test]
fn a_deleted_log_takes_its_view_along() {
    let harness = Harness::new();
    let log = harness.create(0, LogOptions::default());
    log.write_view([(&b"a"[..], Some(&b"1"[..]))], 0).unwrap();
    harness.store().delete_log(key(0)).unwrap();
    assert_eq!(rows(&log), []);
}
