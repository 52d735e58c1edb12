//! Transactions that their coordinator has not vouched for do not begin (KIP-890).

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, in its helpers too"
)]

extern crate tidewater_storage as storage;

mod support;

use std::sync::Arc;

use storage::{AppendError, AppendJob, LogOptions, Origin, PartitionLog};
use support::{Harness, T0};
use wire::Bytes;
use wire::batch::{BatchBuilder, BatchOptions, EndTxnMarker};

const PRODUCER: i64 = 7;

fn data(epoch: i16, base_sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions {
        producer_id: PRODUCER,
        producer_epoch: epoch,
        base_sequence,
        transactional: true,
        ..BatchOptions::default()
    });
    builder.append(T0, None, Some(b"value"), &[]).unwrap();
    builder.build().unwrap()
}

fn marker(log: &Arc<PartitionLog>, epoch: i16) -> AppendJob {
    let marker = EndTxnMarker {
        producer_id: PRODUCER,
        producer_epoch: epoch,
        committed: false,
        coordinator_epoch: 0,
    };
    let origin = Origin::Marker { bumps_epoch: true };
    from(origin, log, marker.to_batch(T0).unwrap())
}

fn from(origin: Origin, log: &Arc<PartitionLog>, batch: Bytes) -> AppendJob {
    // Not by the harness, which would ask for a guard.
    AppendJob {
        log: Arc::clone(log),
        batch,
        leader_epoch: log.leader_epoch(),
        origin,
    }
}

#[test]
fn without_a_guard_no_transaction_begins_and_with_it_the_next_batches_need_none() {
    let harness = Harness::new();
    let log = harness.create(0, LogOptions::default());
    let guard = log.begin_verification(PRODUCER, 0, 0, true).unwrap();
    let jobs = vec![
        from(Origin::Client, &log, data(0, 0)),
        from(Origin::Verified(guard), &log, data(0, 0)),
        from(Origin::Client, &log, data(0, 1)),
        // Sent again: nothing new begins.
        from(Origin::Client, &log, data(0, 0)),
    ];
    let results = harness.append_all(jobs);
    assert!(matches!(
        results[0],
        Err(AppendError::UnverifiedTransaction {
            producer_id: PRODUCER
        })
    ));
    let offsets: Vec<i64> = results[1..]
        .iter()
        .map(|result| result.as_ref().unwrap().base_offset)
        .collect();
    assert_eq!(offsets, [0, 1, 0]);
    assert_eq!(log.begin_verification(PRODUCER, 0, 2, true), None);
}

#[test]
fn a_batch_that_comes_after_the_marker_of_its_transaction_is_refused_and_holds_nobody_up() {
    let harness = Harness::new();
    let log = harness.create(0, LogOptions::default());
    let late = log.begin_verification(PRODUCER, 0, 0, true).unwrap();
    // The coordinator had the partition in the transaction, and has aborted it; nothing was written yet.
    let jobs = vec![
        marker(&log, 1),
        from(Origin::Verified(late), &log, data(0, 0)),
        from(Origin::Verified(late), &log, data(1, 0)),
    ];
    let results = harness.append_all(jobs);
    assert!(results[0].is_ok());
    assert!(results[1].is_err() && results[2].is_err(), "{results:?}");
    assert_eq!(log.last_stable_offset(), log.log_end_offset());
    let guard = log.begin_verification(PRODUCER, 1, 0, true).unwrap();
    let next = vec![from(Origin::Verified(guard), &log, data(1, 0))];
    assert_eq!(harness.append_all(next)[0].as_ref().unwrap().base_offset, 1);
    assert_eq!(log.last_stable_offset(), 1);
}

#[test]
fn who_asks_while_the_marker_of_the_transaction_before_is_on_its_way_begins_the_next() {
    let harness = Harness::new();
    let log = harness.create(0, LogOptions::default());
    harness.append(&log, data(0, 0)).unwrap();
    let next = log.begin_verification(PRODUCER, 1, 0, true).unwrap();
    let jobs = vec![
        marker(&log, 1),
        from(Origin::Verified(next), &log, data(1, 0)),
        marker(&log, 2),
        // The word for a transaction that has ended.
        from(Origin::Verified(next), &log, data(2, 0)),
    ];
    let results = harness.append_all(jobs);
    assert!(results[..3].iter().all(Result::is_ok), "{results:?}");
    assert!(matches!(
        results[3],
        Err(AppendError::UnverifiedTransaction { .. })
    ));
}

#[test]
fn the_marker_of_a_finished_transaction_cannot_end_the_next_one() {
    let harness = Harness::new();
    let log = harness.create(0, LogOptions::default());
    harness.append(&log, data(0, 0)).unwrap();
    let ended = harness.append_all(vec![marker(&log, 1), marker(&log, 1)]);
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    harness.append(&log, data(1, 0)).unwrap();
    let late = harness.append_all(vec![marker(&log, 1)]).remove(0);
    assert!(matches!(late, Err(AppendError::StaleProducerEpoch { .. })));
    assert_eq!(log.last_stable_offset(), 3);
}

#[test]
fn who_was_vouched_for_before_a_crash_is_not_after_it() {
    let mut harness = Harness::new();
    let log = harness.create(0, LogOptions::default());
    harness.append(&log, data(0, 0)).unwrap();
    let log = harness.create(1, LogOptions::default());
    let before = log.begin_verification(PRODUCER, 0, 0, true).unwrap();
    harness.crash();
    harness.reopen();
    assert_eq!(
        harness.log(0).begin_verification(PRODUCER, 0, 1, true),
        None,
        "the transaction is open still"
    );
    let log = harness.log(1);
    let result = harness.append_all(vec![from(Origin::Verified(before), &log, data(0, 0))]);
    assert!(matches!(
        result[0],
        Err(AppendError::UnverifiedTransaction { .. })
    ));
}
