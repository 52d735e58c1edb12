//! InitProducerId: T1 to T3 of the protocol's statements, KIP-360, and what fencing means to the one that is fenced.

use std::sync::atomic::Ordering;

use super::world::*;
use crate::transactions::*;

#[test]
fn a_new_id_gets_a_producer_id_of_its_own_and_epoch_0() {
    let mut world = World::new();
    assert_eq!(world.init(), Ok((FIRST_PRODUCER_ID, 0)));
    let other = InitProducerId {
        transactional_id: "other".to_owned(),
        ..initialising(None)
    };
    assert_eq!(world.init_as(other), Ok((FIRST_PRODUCER_ID + 1, 0)));
}

#[test]
fn an_id_that_is_empty_or_does_not_fit_in_a_key_is_refused() {
    let mut world = World::new();
    for id in [String::new(), "x".repeat(record::ID_BYTES_MAX + 1)] {
        let request = InitProducerId {
            transactional_id: id,
            ..initialising(None)
        };
        let outcome = world.init_as(request);
        assert!(matches!(
            outcome,
            Err(TransactionError::InvalidRequest { .. })
        ));
    }
    let longest = InitProducerId {
        transactional_id: "x".repeat(record::ID_BYTES_MAX),
        ..initialising(None)
    };
    world.init_as(longest).unwrap();
    assert_eq!(world.replayed().values().count(), 1);
}

#[test]
fn the_timeout_is_above_0_and_within_the_brokers_limit() {
    let mut world = World::new();
    for timeout_ms in [-1, 0, world.options.max_timeout_ms + 1] {
        let request = InitProducerId {
            timeout_ms,
            ..initialising(None)
        };
        let refused = Err(TransactionError::InvalidTimeout { timeout_ms });
        assert_eq!(world.init_as(request), refused);
    }
    let longest = InitProducerId {
        timeout_ms: world.options.max_timeout_ms,
        ..initialising(None)
    };
    world.init_as(longest).unwrap();
}

#[test]
fn each_producer_that_takes_the_id_over_gets_the_next_epoch() {
    let mut world = World::new();
    let (id, _) = world.init().unwrap();
    assert_eq!(world.init(), Ok((id, 1)));
    assert_eq!(world.init(), Ok((id, 2)));
    assert_eq!(
        world.add((id, 1), &[("orders", 0)]),
        Err(TransactionError::ProducerFenced)
    );
}

#[test]
fn an_open_transaction_is_aborted_before_the_id_is_given_away() {
    let mut world = World::new();
    let (id, epoch) = world.begun();
    assert_eq!(world.init(), Err(TransactionError::ConcurrentTransactions));
    assert_eq!(world.state(), TransactionState::PrepareAbort);
    // Fenced at once, whatever becomes of the one that asked.
    assert_eq!(world.producer(), (id, epoch + 1));
    assert_eq!(world.init(), Err(TransactionError::ConcurrentTransactions));

    let markers = world.write_markers();
    assert_eq!(markers.len(), 1);
    assert!(!markers[0].committed);
    assert_eq!((markers[0].producer_id, markers[0].epoch), (id, epoch + 1));
    assert_eq!(markers[0].version, TransactionVersion::V2);
    assert_eq!(markers[0].partitions, partitions(&[("orders", 0)]));
    assert_eq!(world.init(), Ok((id, epoch + 2)));
    for committed in [true, false] {
        let refused = Err(TransactionError::ProducerFenced);
        assert_eq!(world.end((id, epoch), committed), refused);
        assert_eq!(world.end_v1((id, epoch), committed), refused);
    }
}

#[test]
fn an_id_whose_transaction_is_being_ended_is_given_to_nobody() {
    let mut world = World::new();
    let producer = world.begun();
    world.end(producer, true).unwrap();
    assert_eq!(world.init(), Err(TransactionError::ConcurrentTransactions));
    world.write_markers();
    assert_eq!(world.init(), Ok((producer.0, producer.1 + 2)));
}

#[test]
fn a_producer_goes_on_after_an_error_with_the_next_epoch_and_may_ask_twice() {
    let mut world = World::new();
    let (id, epoch) = world.init().unwrap();
    assert_eq!(world.init_again((id, epoch)), Ok((id, epoch + 1)));
    // The answer was lost.
    assert_eq!(world.init_again((id, epoch)), Ok((id, epoch + 1)));
    assert_eq!(world.init_again((id, epoch + 1)), Ok((id, epoch + 2)));
    assert_eq!(
        world.init_again((id, epoch)),
        Err(TransactionError::ProducerFenced)
    );
}

#[test]
fn a_producer_that_was_replaced_cannot_go_on() {
    let mut world = World::new();
    let (id, epoch) = world.init().unwrap();
    assert_eq!(world.init(), Ok((id, epoch + 1)));
    let refused = Err(TransactionError::ProducerFenced);
    assert_eq!(world.init_again((id, epoch)), refused);
    assert_eq!(world.init_again((id + 7, epoch + 1)), refused);
}

#[test]
fn a_restart_forgets_that_a_producer_may_ask_twice() {
    let mut world = World::new();
    let producer = world.init().unwrap();
    world.init_again(producer).unwrap();
    world.restart();
    assert_eq!(
        world.init_again(producer),
        Err(TransactionError::ProducerFenced)
    );
}

#[test]
fn a_producer_whose_transaction_ended_may_ask_with_the_epoch_before_the_end() {
    // It sent EndTxn, lost the answer, and then met an error it can only recover from by a new epoch.
    let mut world = World::new();
    let (id, epoch) = world.begun();
    world.end((id, epoch), false).unwrap();
    world.write_markers();
    world.restart();
    assert_eq!(world.init_again((id, epoch)), Ok((id, epoch + 1)));
}

#[test]
fn an_unknown_producer_id_is_no_obstacle_for_a_new_transactional_id() {
    let mut world = World::new();
    assert_eq!(world.init_again((77, 12)), Ok((FIRST_PRODUCER_ID, 0)));
}

#[test]
fn when_the_epochs_are_used_up_there_is_a_new_producer_id() {
    let mut world = World::new();
    let (id, epoch) = world.begun_with_epochs_left(1);
    world.end_v1((id, epoch), true).unwrap();
    world.write_markers();
    assert_eq!(world.init(), Ok((id, epoch + 1)));
    assert_eq!(world.init_again((id, epoch + 1)), Ok((id + 1, 0)));
    // The answer was lost: the old id and its last epoch still say who it is.
    assert_eq!(world.init_again((id, epoch + 1)), Ok((id + 1, 0)));
    assert_eq!(
        world.init_again((id, epoch)),
        Err(TransactionError::ProducerFenced)
    );
    assert_eq!(world.init_again((id + 1, 0)), Ok((id + 1, 1)));
    assert_eq!(
        world.init_again((id, epoch + 1)),
        Err(TransactionError::ProducerFenced)
    );
}

#[test]
fn an_open_transaction_at_the_last_epoch_can_still_be_fenced() {
    let mut world = World::new();
    let (id, epoch) = world.begun_with_epochs_left(0);
    assert_eq!(world.init(), Err(TransactionError::ConcurrentTransactions));
    let markers = world.write_markers();
    assert_eq!((markers[0].producer_id, markers[0].epoch), (id, i16::MAX));
    assert_eq!(world.producer(), (id + 1, 0));
    assert_eq!(world.init(), Ok((id + 1, 1)));
    assert_eq!(
        world.end((id, epoch), true),
        Err(TransactionError::InvalidProducerIdMapping)
    );
}

#[test]
fn without_a_producer_id_at_hand_the_client_is_told_to_come_again() {
    let mut world = World::new();
    world.no_producer_ids.store(true, Ordering::Relaxed);
    assert_eq!(world.init(), Err(TransactionError::CoordinatorLoading));
    assert_eq!(world.log.len(), 0);
    world.no_producer_ids.store(false, Ordering::Relaxed);
    world.init().unwrap();
}

#[test]
fn what_could_not_be_stored_has_not_happened() {
    let mut world = World::new();
    world.broken = Some(TransactionError::CoordinatorUnavailable);
    assert_eq!(world.init(), Err(TransactionError::CoordinatorUnavailable));
    assert_eq!(world.shard.describe(ID), None);
    world.broken = None;
    let (id, epoch) = world.begun();

    world.broken = Some(TransactionError::CoordinatorUnavailable);
    assert_eq!(world.init(), Err(TransactionError::CoordinatorUnavailable));
    world.broken = None;
    assert_eq!(world.producer(), (id, epoch));
    // A failed attempt at fencing does not use up epochs.
    assert_eq!(world.init(), Err(TransactionError::ConcurrentTransactions));
    assert_eq!(world.producer(), (id, epoch + 1));
}
