//! What the log gives back, and what reports of markers mean afterwards.

use super::world::*;
use crate::transactions::*;
use crate::{CoordinatorRecord, Replayed, Ticket};

#[test]
fn markers_of_an_end_that_is_not_complete_are_written_again_after_a_restart() {
    let mut world = World::new();
    let (id, epoch) = world.init().unwrap();
    world
        .add((id, epoch), &[("orders", 0), ("audit", 3)])
        .unwrap();
    world.end((id, epoch), true).unwrap();
    let before = world.markers.remove(0);
    world.report(before.written(partitions(&[("orders", 0)])));
    world.restart();
    let again = world.markers.remove(0);
    // All of them: which were written was soft. The epoch says that this coordinator came later.
    let expected = Markers {
        coordinator_epoch: world.coordinator_epoch,
        ..before
    };
    assert_eq!(again, expected);
    world.report(again.written(again.partitions.clone()));
    assert_eq!(world.state(), TransactionState::CompleteCommit);
    world.restart();
    assert!(world.markers.is_empty());
}

#[test]
fn each_set_of_markers_is_handed_out_once() {
    let mut world = World::new();
    let producer = world.begun();
    world.end(producer, true).unwrap();
    assert_eq!(world.markers.len(), 1);
    assert!(world.shard.take_markers().is_empty());
}

#[test]
fn a_report_of_an_earlier_transaction_does_not_complete_a_later_one_of_the_same_epoch() {
    let mut world = World::new();
    let producer = world.begun();
    world.end_v1(producer, true).unwrap();
    let first = world.write_markers().remove(0);
    world.add(producer, &[("orders", 0)]).unwrap();
    world.report(first.written(first.partitions.clone()));
    assert_eq!(world.state(), TransactionState::Ongoing);
    world.end_v1(producer, false).unwrap();
    world.report(first.written(first.partitions.clone()));
    assert_eq!(world.state(), TransactionState::PrepareAbort);
    world.write_markers();
    let stored = world.log.len();
    world.report(first.written(first.partitions.clone()));
    assert_eq!(world.state(), TransactionState::CompleteAbort);
    assert_eq!(world.log.len(), stored);
}

#[test]
fn a_report_of_partitions_that_were_never_in_it_means_nothing() {
    let mut world = World::new();
    let producer = world.begun();
    world.end(producer, true).unwrap();
    let markers = world.markers[0].clone();
    world.report(markers.written(partitions(&[("audit", 7)])));
    world.report(markers.written(Vec::new()));
    assert_eq!(world.state(), TransactionState::PrepareCommit);
}

#[test]
fn a_completion_that_could_not_be_stored_is_tried_again() {
    let mut world = World::new();
    let producer = world.begun();
    world.end(producer, true).unwrap();
    world.broken = Some(TransactionError::CoordinatorUnavailable);
    world.write_markers();
    assert_eq!(world.state(), TransactionState::PrepareCommit);
    world.advance(10_000);
    world.broken = None;
    world.advance(10_000);
    assert_eq!(world.state(), TransactionState::CompleteCommit);
}

#[test]
fn an_end_without_partitions_that_another_broker_left_is_completed() {
    // Kafka stores the two steps one by one.
    let mut world = World::new();
    let producer = world.init().unwrap();
    world.end(producer, false).unwrap();
    world.log.pop();
    world.restart();
    assert_eq!(world.state(), TransactionState::PrepareAbort);
    assert!(world.markers.is_empty());
    world.advance(0);
    assert_eq!(world.state(), TransactionState::CompleteAbort);
}

#[test]
fn requests_wait_for_the_log_to_be_read_and_end_with_the_leadership() {
    let mut world = World::new();
    let ask = |shard: &mut TransactionShard| {
        let event = TransactionEvent::InitProducerId(Ticket(1), initialising(None));
        let mut decision = shard.handle(0, event);
        assert!(decision.records.is_empty());
        decision.replies.remove(0).1
    };
    let mut shard = TransactionShard::new(TransactionOptions::default(), 0, Box::new(|| Some(1)));
    let loading = TransactionReply::InitProducerId(Err(TransactionError::CoordinatorLoading));
    assert_eq!(ask(&mut shard), loading);
    assert!(!shard.is_active());

    let producer = world.begun();
    world.end(producer, true).unwrap();
    assert!(world.shard.is_active());
    let nobody = world
        .shard
        .unload(world.now_ms, &TransactionError::NotCoordinator);
    assert!(nobody.is_empty());
    let gone = TransactionReply::InitProducerId(Err(TransactionError::NotCoordinator));
    assert_eq!(ask(&mut world.shard), gone);
    assert_eq!(world.shard.next_deadline(), None);
    let markers = world.markers.remove(0);
    world.report(markers.written(markers.partitions.clone()));
    assert!(world.shard.take_markers().is_empty());
}

#[test]
fn records_that_cannot_be_read_change_nothing_and_are_counted() {
    let mut world = World::new();
    world.begun();
    let before: Vec<_> = world.log.clone();
    let unreadable = CoordinatorRecord {
        key: before[0].key.clone(),
        value: Some(bytes::Bytes::from_static(&[0, 1, 2])),
    };
    world.shard.replay(&unreadable, 9).unwrap_err();
    let foreign = CoordinatorRecord {
        key: bytes::Bytes::from_static(&[0, 9]),
        value: None,
    };
    assert_eq!(world.shard.replay(&foreign, 10), Ok(Replayed::Ignored(9)));
    assert_eq!(world.state(), TransactionState::Ongoing);
    let stats = world.shard.stats();
    assert_eq!((stats.records_refused, stats.records_ignored), (1, 1));
}

#[test]
fn a_value_that_is_read_twice_is_the_same_as_once() {
    // A log may be read from a snapshot and then from before the snapshot's end.
    let mut world = World::new();
    let producer = world.begun();
    world.end(producer, true).unwrap();
    let offset = world.log.len() as i64 - 1;
    let last = world.log.last().unwrap().clone();
    world.shard.replay(&last, offset).unwrap();
    let markers = world.shard.take_markers().remove(0);
    assert_eq!(markers, world.markers[0]);
    world.report(markers.written(markers.partitions.clone()));
    assert_eq!(world.state(), TransactionState::CompleteCommit);
}
