//! AddPartitionsToTxn and its verification: T5 and T6 of the protocol's statements.

use super::world::*;
use crate::transactions::*;

#[test]
fn the_first_partition_opens_the_transaction_and_later_ones_join_it() {
    let mut world = World::new();
    let producer = world.init().unwrap();
    world.add(producer, &[("orders", 0)]).unwrap();
    let started_ms = world.now_ms;
    world.now_ms += 500;
    world.add(producer, &[("orders", 1), ("audit", 0)]).unwrap();
    let found = world.shard.describe(ID).unwrap();
    assert_eq!(found.state, TransactionState::Ongoing);
    assert_eq!(found.started_ms, started_ms);
    assert_eq!(
        found.partitions,
        partitions(&[("audit", 0), ("orders", 0), ("orders", 1)])
    );
}

#[test]
fn what_is_in_the_transaction_already_is_not_stored_again() {
    let mut world = World::new();
    let producer = world.begun();
    world.add(producer, &[("orders", 1)]).unwrap();
    let stored = world.log.len();
    world.broken = Some(TransactionError::Internal);
    world
        .add(producer, &[("orders", 1), ("orders", 0)])
        .unwrap();
    assert_eq!(world.log.len(), stored);
}

#[test]
fn partitions_of_the_transaction_before_are_not_in_this_one() {
    let mut world = World::new();
    let producer = world.begun();
    let producer = world.end(producer, true).unwrap();
    world.write_markers();
    world.now_ms += 1;
    world.add(producer, &[("audit", 0)]).unwrap();
    let found = world.shard.describe(ID).unwrap();
    assert_eq!(found.partitions, partitions(&[("audit", 0)]));
    assert_eq!(found.started_ms, world.now_ms);
}

#[test]
fn only_the_producer_in_use_may_add() {
    let mut world = World::new();
    let refused = Err(TransactionError::InvalidProducerIdMapping);
    assert_eq!(world.add((1, 0), &[("orders", 0)]), refused);
    let (id, epoch) = world.init().unwrap();
    assert_eq!(world.add((id + 1, epoch), &[("orders", 0)]), refused);
    for epoch in [epoch + 1, epoch - 1] {
        let outcome = world.add((id, epoch), &[("orders", 0)]);
        assert_eq!(outcome, Err(TransactionError::ProducerFenced));
    }
    assert_eq!(world.state(), TransactionState::Empty);
}

#[test]
fn nothing_is_added_while_the_end_before_is_being_written() {
    let mut world = World::new();
    let producer = world.begun();
    let next = world.end(producer, false).unwrap();
    for producer in [producer, next] {
        let outcome = world.add(producer, &[("orders", 0)]);
        assert_eq!(outcome, Err(TransactionError::ConcurrentTransactions));
    }
    world.write_markers();
    assert_eq!(
        world.add(producer, &[("orders", 0)]),
        Err(TransactionError::ProducerFenced)
    );
    world.add(next, &[("orders", 0)]).unwrap();
}

#[test]
fn a_transaction_stays_small_enough_to_be_ended() {
    let mut world = World::new();
    let producer = world.begun();
    let topic = "t".repeat(249);
    let many: Vec<(&str, i32)> = (0..200_000).map(|n| (topic.as_str(), n)).collect();
    let refused = world.add(producer, &many);
    assert!(matches!(
        refused,
        Err(TransactionError::TooManyPartitions { .. })
    ));
    assert_eq!(world.shard.describe(ID).unwrap().partitions.len(), 1);
    world.add(producer, &many[..100_000]).unwrap();
    world.end(producer, true).unwrap();
    let largest = world.log.iter().filter_map(|record| record.value.as_ref());
    assert!(largest.map(|value| value.len()).max().unwrap() < 600_000);
}

#[test]
fn a_partition_is_verified_if_it_was_added_to_the_open_transaction() {
    let mut world = World::new();
    let orders = &partitions(&[("orders", 0)])[0];
    let audit = &partitions(&[("audit", 0)])[0];
    let verify = |world: &World, (id, epoch): (i64, i16), partition| {
        world.shard.verify(ID, id, epoch, partition)
    };
    let mapping = Err(TransactionError::InvalidProducerIdMapping);
    assert_eq!(verify(&world, (1, 0), orders), mapping);
    let (id, epoch) = world.begun();
    assert_eq!(verify(&world, (id, epoch), orders), Ok(()));
    assert_eq!(
        verify(&world, (id, epoch), audit),
        Err(TransactionError::Abortable)
    );
    assert_eq!(verify(&world, (id + 1, epoch), orders), mapping);
    let fenced = Err(TransactionError::ProducerFenced);
    assert_eq!(verify(&world, (id, epoch + 1), orders), fenced);

    world.end_v1((id, epoch), true).unwrap();
    let concurrent = Err(TransactionError::ConcurrentTransactions);
    assert_eq!(verify(&world, (id, epoch), orders), concurrent);
    world.write_markers();
    assert_eq!(
        verify(&world, (id, epoch), orders),
        Err(TransactionError::Abortable)
    );
    assert!(matches!(
        world.shard.verify("", id, epoch, orders),
        Err(TransactionError::InvalidRequest { .. })
    ));
}
