//! What time does by itself: T12 of the protocol's statements.

use std::sync::atomic::Ordering;

use super::world::*;
use crate::transactions::*;

#[test]
fn a_transaction_that_goes_on_for_too_long_is_aborted_under_a_new_epoch() {
    let mut world = World::new();
    let (id, epoch) = world.begun();
    let sweep_ms = world.options.abort_timed_out_interval_ms;
    world.advance(i64::from(TIMEOUT_MS));
    assert_eq!(world.state(), TransactionState::Ongoing);
    // A partition added meanwhile does not buy more time.
    world.add((id, epoch), &[("orders", 1)]).unwrap();
    world.advance(sweep_ms);
    assert_eq!(world.state(), TransactionState::PrepareAbort);
    assert_eq!(world.shard.stats().timed_out, 1);
    let markers = world.write_markers();
    assert!(!markers[0].committed);
    assert_eq!(markers[0].epoch, epoch + 1);
    assert_eq!(markers[0].partitions.len(), 2);
    assert_eq!(world.state(), TransactionState::CompleteAbort);

    // The producer learns that it was too late, and what it would have aborted is aborted.
    let state = TransactionState::CompleteAbort;
    assert_eq!(
        world.end((id, epoch), true),
        Err(TransactionError::InvalidState { state })
    );
    assert_eq!(
        world.end_v1((id, epoch), true),
        Err(TransactionError::ProducerFenced)
    );
    assert_eq!(world.end((id, epoch), false), Ok((id, epoch + 1)));
}

#[test]
fn time_counts_from_the_first_partition_also_over_a_restart() {
    let mut world = World::new();
    world.begun();
    world.advance(i64::from(TIMEOUT_MS) - 1);
    world.restart();
    world.advance(world.options.abort_timed_out_interval_ms);
    assert_eq!(world.state(), TransactionState::PrepareAbort);
}

#[test]
fn no_transaction_no_timeout() {
    let mut world = World::new();
    let producer = world.begun();
    world.end(producer, true).unwrap();
    world.advance(3_600_000);
    assert_eq!(
        world.state(),
        TransactionState::PrepareCommit,
        "a decision is never taken back"
    );
    world.write_markers();
    world.advance(3_600_000);
    assert_eq!(world.state(), TransactionState::CompleteCommit);
}

#[test]
fn a_timeout_that_could_not_be_stored_is_tried_again() {
    let mut world = World::new();
    let (id, epoch) = world.begun();
    world.broken = Some(TransactionError::CoordinatorUnavailable);
    world.advance(i64::from(TIMEOUT_MS) + 10 * world.options.abort_timed_out_interval_ms);
    assert_eq!(world.state(), TransactionState::Ongoing);
    world.broken = None;
    world.advance(world.options.abort_timed_out_interval_ms);
    assert_eq!(world.producer(), (id, epoch + 1));
}

#[test]
fn a_timeout_at_the_last_epoch_waits_for_a_producer_id() {
    let mut world = World::new();
    let (id, _) = world.begun_with_epochs_left(0);
    world.no_producer_ids.store(true, Ordering::Relaxed);
    world.advance(i64::from(TIMEOUT_MS) * 2);
    assert_eq!(world.state(), TransactionState::Ongoing);
    world.no_producer_ids.store(false, Ordering::Relaxed);
    world.advance(world.options.abort_timed_out_interval_ms);
    world.write_markers();
    assert_eq!(world.producer(), (id + 1, 0));
}

#[test]
fn an_id_without_a_transaction_is_forgotten_in_the_end() {
    let mut world = World::new();
    let producer = world.begun();
    world.end(producer, true).unwrap();
    world.write_markers();
    world.advance(world.options.id_expiration_ms - 1);
    assert!(world.shard.describe(ID).is_some());
    world.advance(world.options.id_expiration_check_ms + 1);
    assert_eq!(world.shard.describe(ID), None);
    assert_eq!(world.log.last().unwrap().value, None);
    assert_eq!(world.shard.stats().expired, 1);
    assert_eq!(world.shard.next_deadline(), None);
    assert_eq!(world.init_again(producer), Ok((producer.0 + 1, 0)));
}

#[test]
fn an_id_in_use_is_not_forgotten() {
    let options = TransactionOptions {
        id_expiration_ms: 10_000,
        id_expiration_check_ms: 1_000,
        ..TransactionOptions::default()
    };
    let mut world = World::with(options);
    let producer = world.begun();
    world.advance(50_000);
    assert_eq!(world.state(), TransactionState::Ongoing);
    world.end(producer, false).unwrap();
    world.advance(50_000);
    assert_eq!(world.state(), TransactionState::PrepareAbort);
    world.write_markers();
    world.advance(9_000);
    // Whatever is stored of it counts.
    world.init().unwrap();
    world.advance(9_000);
    assert_eq!(world.state(), TransactionState::Empty);
}

#[test]
fn many_ids_are_forgotten_in_batches_that_a_log_takes() {
    let mut world = World::new();
    for n in 0..2_000 {
        let request = InitProducerId {
            transactional_id: format!("{n}-{}", "x".repeat(1_000)),
            ..initialising(None)
        };
        world.init_as(request).unwrap();
    }
    let day_ms = 24 * 60 * 60 * 1_000;
    world.now_ms += 8 * day_ms;
    let mut batches = 0;
    while world
        .shard
        .next_deadline()
        .is_some_and(|at_ms| at_ms <= world.now_ms)
    {
        let decision = world.shard.tick(world.now_ms);
        let bytes: usize = decision.records.iter().map(|record| record.key.len()).sum();
        assert!(bytes < 300_000, "{bytes}");
        for record in decision.records {
            world.shard.replay(&record, 0).unwrap();
        }
        batches += 1;
        assert!(batches < 100);
    }
    assert_eq!(world.shard.values().count(), 0);
    assert!(batches > 1);
}

#[test]
fn changed_intervals_count_at_once() {
    let mut world = World::new();
    world.init().unwrap();
    let options = TransactionOptions {
        id_expiration_ms: 5_000,
        id_expiration_check_ms: 1_000,
        ..TransactionOptions::default()
    };
    world.shard.set_options(options);
    world.advance(6_000);
    assert_eq!(world.shard.describe(ID), None);
}
