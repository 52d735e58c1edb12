//! EndTxn: T7 and T8 of the protocol's statements, and that what comes late ends nothing that came after it (I9).

use super::world::*;
use crate::transactions::*;

const FENCED: Outcome = Err(TransactionError::ProducerFenced);
const CONCURRENT: Outcome = Err(TransactionError::ConcurrentTransactions);

fn invalid(state: TransactionState) -> Outcome {
    Err(TransactionError::InvalidState { state })
}

#[test]
fn a_commit_is_answered_when_it_is_decided_and_complete_when_every_marker_is_written() {
    let mut world = World::new();
    let (id, epoch) = world.init().unwrap();
    world
        .add((id, epoch), &[("orders", 0), ("orders", 1)])
        .unwrap();
    world.add((id, epoch), &[("audit", 0)]).unwrap();
    assert_eq!(world.end((id, epoch), true), Ok((id, epoch + 1)));
    assert_eq!(world.state(), TransactionState::PrepareCommit);

    let markers = world.markers.remove(0);
    assert!(markers.committed);
    assert_eq!((markers.producer_id, markers.epoch), (id, epoch + 1));
    assert_eq!(markers.coordinator_epoch, world.coordinator_epoch);
    assert_eq!(markers.version, TransactionVersion::V2);
    assert_eq!(
        markers.partitions,
        partitions(&[("audit", 0), ("orders", 0), ("orders", 1)])
    );
    world.report(markers.written(partitions(&[("orders", 1), ("audit", 0)])));
    assert_eq!(world.state(), TransactionState::PrepareCommit);
    world.report(markers.written(partitions(&[("orders", 0)])));
    assert_eq!(world.state(), TransactionState::CompleteCommit);
    assert!(world.shard.describe(ID).unwrap().partitions.is_empty());
    assert!(world.shard.take_markers().is_empty());
}

#[test]
fn in_version_1_the_epoch_stays_and_markers_carry_it() {
    let mut world = World::new();
    let producer = world.begun();
    assert_eq!(world.end_v1(producer, false), Ok(producer));
    let markers = world.write_markers();
    assert_eq!((markers[0].producer_id, markers[0].epoch), producer);
    assert_eq!(markers[0].version, TransactionVersion::V1);
    assert_eq!(world.state(), TransactionState::CompleteAbort);
    world.add(producer, &[("orders", 0)]).unwrap();
    assert_eq!(world.end_v1(producer, true), Ok(producer));
}

#[test]
fn in_version_1_the_same_end_again_is_answered_and_another_is_refused() {
    let mut world = World::new();
    let producer = world.begun();
    world.end_v1(producer, true).unwrap();
    assert_eq!(world.end_v1(producer, true), CONCURRENT);
    world.write_markers();
    let stored = world.log.len();
    assert_eq!(world.end_v1(producer, true), Ok(producer));
    assert_eq!(
        world.end_v1(producer, false),
        invalid(TransactionState::CompleteCommit)
    );
    assert_eq!(world.log.len(), stored);
}

#[test]
fn in_version_1_there_is_nothing_to_end_before_a_partition_came() {
    let mut world = World::new();
    let producer = world.init().unwrap();
    assert_eq!(
        world.end_v1(producer, true),
        invalid(TransactionState::Empty)
    );
    assert_eq!(
        world.end_v1(producer, false),
        invalid(TransactionState::Empty)
    );
}

#[test]
fn a_lost_answer_is_given_again_to_the_epoch_that_asked() {
    for committed in [true, false] {
        let mut world = World::new();
        let (id, epoch) = world.begun();
        let answer = world.end((id, epoch), committed);
        assert_eq!(answer, Ok((id, epoch + 1)));
        assert_eq!(world.end((id, epoch), committed), CONCURRENT);
        world.write_markers();
        let stored = world.log.len();
        assert_eq!(world.end((id, epoch), committed), answer);
        world.restart();
        assert_eq!(world.end((id, epoch), committed), answer);
        let other = world.end((id, epoch), !committed);
        assert_eq!(other, invalid(world.state()));
        assert_eq!(world.log.len(), stored);
    }
}

#[test]
fn a_late_end_of_an_earlier_transaction_does_not_touch_the_next() {
    let mut world = World::new();
    let (id, first) = world.begun();
    let (_, second) = world.end((id, first), true).unwrap();
    world.write_markers();
    world.add((id, second), &[("orders", 1)]).unwrap();
    for committed in [true, false] {
        assert_eq!(world.end((id, first), committed), FENCED);
        assert_eq!(world.state(), TransactionState::Ongoing);
    }
    world.end((id, second), false).unwrap();
    world.write_markers();
    for committed in [true, false] {
        assert_eq!(world.end((id, first), committed), FENCED);
    }
    assert_eq!(world.state(), TransactionState::CompleteAbort);
}

#[test]
fn an_abort_of_nothing_bumps_the_epoch_and_is_complete_at_once() {
    let mut world = World::new();
    let (id, epoch) = world.init().unwrap();
    let mut expected = epoch;
    // Of an id just given, then after an abort, then after a commit.
    for commits_before in [false, false, true] {
        if commits_before {
            world.add((id, expected), &[("orders", 0)]).unwrap();
            world.end((id, expected), true).unwrap();
            world.write_markers();
            expected += 1;
        }
        assert_eq!(world.end((id, expected), false), Ok((id, expected + 1)));
        assert_eq!(world.state(), TransactionState::CompleteAbort);
        assert!(world.markers.is_empty(), "no partition needs a marker");
        assert_eq!(
            world.end((id, expected), false),
            Ok((id, expected + 1)),
            "asked again"
        );
        expected += 1;
    }
}

#[test]
fn a_commit_of_nothing_is_refused() {
    let mut world = World::new();
    let (id, epoch) = world.init().unwrap();
    assert_eq!(
        world.end((id, epoch), true),
        invalid(TransactionState::Empty)
    );
    world.add((id, epoch), &[("orders", 0)]).unwrap();
    let next = world.end((id, epoch), true).unwrap();
    world.write_markers();
    assert_eq!(
        world.end(next, true),
        invalid(TransactionState::CompleteCommit)
    );
    let next = world.end(next, false).unwrap();
    assert_eq!(
        world.end(next, true),
        invalid(TransactionState::CompleteAbort)
    );
}

#[test]
fn the_last_epoch_ends_with_a_new_producer_id() {
    for committed in [true, false] {
        let mut world = World::new();
        let (id, epoch) = world.begun_with_epochs_left(0);
        let answer = world.end((id, epoch), committed);
        assert_eq!(answer, Ok((id + 1, 0)));
        // Until the markers are there the old id is in use; the client has the new one already.
        assert_eq!(world.producer(), (id, i16::MAX));
        assert_eq!(
            world.add((id + 1, 0), &[("orders", 0)]),
            Err(TransactionError::ConcurrentTransactions)
        );
        world.restart();
        let markers = world.write_markers();
        assert_eq!((markers[0].producer_id, markers[0].epoch), (id, i16::MAX));
        assert_eq!(world.producer(), (id + 1, 0));
        assert_eq!(world.end((id, epoch), committed), answer, "asked again");
        assert_eq!(world.end((id, epoch), !committed), invalid(world.state()));
        world.add((id + 1, 0), &[("orders", 0)]).unwrap();
        let gone = Err(TransactionError::InvalidProducerIdMapping);
        assert_eq!(world.end((id, epoch), committed), gone);
        assert_eq!(world.end((id + 1, 0), true), Ok((id + 1, 1)));
    }
}

#[test]
fn only_the_producer_in_use_may_end() {
    let mut world = World::new();
    let (id, epoch) = world.begun();
    for end in [World::end, World::end_v1] {
        for (of, refused) in [
            ((id + 1, epoch), TransactionError::InvalidProducerIdMapping),
            ((id, epoch + 1), TransactionError::ProducerFenced),
            ((id, -1), TransactionError::ProducerFenced),
            ((id, i16::MAX), TransactionError::ProducerFenced),
            ((-1, -1), TransactionError::InvalidProducerIdMapping),
        ] {
            assert_eq!(end(&mut world, of, true), Err(refused));
        }
    }
    let unknown = EndTransaction {
        transactional_id: "other".to_owned(),
        ..ending((id, epoch), true, TransactionVersion::V2)
    };
    assert_eq!(
        world.end_as(unknown),
        Err(TransactionError::InvalidProducerIdMapping)
    );
    let nameless = EndTransaction {
        transactional_id: String::new(),
        ..ending((id, epoch), true, TransactionVersion::V2)
    };
    assert!(matches!(
        world.end_as(nameless),
        Err(TransactionError::InvalidRequest { .. })
    ));
    assert_eq!(world.state(), TransactionState::Ongoing);
}

#[test]
fn an_end_that_could_not_be_stored_has_not_happened_and_may_be_asked_for_again() {
    let mut world = World::new();
    let (id, epoch) = world.begun();
    world.broken = Some(TransactionError::CoordinatorUnavailable);
    assert_eq!(
        world.end((id, epoch), true),
        Err(TransactionError::CoordinatorUnavailable)
    );
    assert_eq!(world.state(), TransactionState::Ongoing);
    assert!(
        world.shard.take_markers().is_empty(),
        "a marker would be a promise"
    );
    world.broken = None;
    assert_eq!(world.end((id, epoch), false), Ok((id, epoch + 1)));
}

#[test]
fn a_client_of_version_1_and_one_of_version_2_may_follow_each_other() {
    let mut world = World::new();
    let producer = world.begun();
    assert_eq!(world.end_v1(producer, true), Ok(producer));
    world.write_markers();
    let (id, epoch) = world.init().unwrap();
    world.add((id, epoch), &[("orders", 0)]).unwrap();
    assert_eq!(world.end((id, epoch), true), Ok((id, epoch + 1)));
    world.write_markers();
    // Version 1 knows nothing of the bump: its old epoch is fenced.
    assert_eq!(world.end_v1((id, epoch), true), FENCED);
    assert_eq!(world.end_v1((id, epoch + 1), true), Ok((id, epoch + 1)));
}

#[test]
fn one_that_was_replaced_is_not_answered_with_the_end_of_its_successor() {
    for committed in [true, false] {
        let mut world = World::new();
        let replaced = world.init().unwrap();
        let successor = world.init().unwrap();
        world.add(successor, &[("orders", 0)]).unwrap();
        // By version 1 the epoch stays the one above that of the first.
        world.end_v1(successor, committed).unwrap();
        world.write_markers();
        assert_eq!(world.end(replaced, committed), FENCED);
        assert_eq!(world.end(replaced, !committed), FENCED);
    }
}
