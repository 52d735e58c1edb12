use crate::event::{CommitRequest, FetchOffsetsRequest, PartitionCommit};
use crate::testing::*;
use crate::{GroupError, GroupOptions};

/// A commit from outside any membership.
fn simple(offset: i64) -> CommitRequest {
    committing("", -1, offset)
}

fn with_metadata(metadata: String) -> CommitRequest {
    let mut request = simple(1);
    request.topics[0].1[0].metadata = Some(metadata);
    request
}

#[test]
fn a_commit_outside_any_membership_makes_a_group_that_has_only_offsets() {
    let mut world = World::new();
    let results = world.commit(simple(42)).unwrap();
    assert_eq!(results[0].partitions, [(0, Ok(()))]);
    let found = world.offset("orders", 0).unwrap();
    assert_eq!(
        (found.offset, found.leader_epoch, found.metadata.as_str()),
        (42, 7, "note")
    );
    assert_eq!(world.log.len(), 1, "no record of the group itself");
    assert_eq!((world.state(), world.stored()), ("Empty", None));
}

#[test]
fn the_empty_group_id_may_commit_and_fetch() {
    let mut world = World::new();
    let request = CommitRequest {
        group_id: String::new(),
        ..simple(42)
    };
    assert!(world.commit(request).is_ok());
    let request = FetchOffsetsRequest {
        group_id: String::new(),
        ..fetching()
    };
    let found = world.shard.fetch_offsets(&world.topics, &request).unwrap();
    assert_eq!(found.len(), 1);
}

#[test]
fn a_generation_in_an_absent_group_is_refused_each_version_in_its_own_words() {
    let mut world = World::new();
    let request = committing("someone", 3, 1);
    let older = CommitRequest {
        knows_new_group_errors: false,
        ..request.clone()
    };
    assert!(matches!(
        world.commit(request),
        Err(GroupError::GroupIdNotFound(_))
    ));
    assert_eq!(world.commit(older), Err(GroupError::IllegalGeneration));
}

#[test]
fn a_member_commits_in_its_generation_and_no_other() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    let id = ids[1].as_str();
    assert!(world.commit(committing(id, generation, 5)).is_ok());
    let refused = [
        (
            committing(id, generation - 1, 6),
            GroupError::IllegalGeneration,
        ),
        (committing(id, -1, 6), GroupError::IllegalGeneration),
        (
            committing("nobody", generation, 6),
            GroupError::UnknownMember,
        ),
        (simple(6), GroupError::UnknownMember),
    ];
    for (request, expected) in refused {
        assert_eq!(world.commit(request), Err(expected));
    }
    assert_eq!(world.offset("orders", 0).unwrap().offset, 5);
}

#[test]
fn anyone_commits_for_a_group_whose_members_are_gone() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    world.leave(&[(&ids[0], None)]);
    assert!(world.commit(simple(9)).is_ok());
    assert_eq!(
        world.commit(committing(&ids[0], generation, 9)),
        Err(GroupError::UnknownMember)
    );
}

#[test]
fn while_the_leader_assigns_a_commit_is_told_of_the_rebalance() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    world.join(joining(&ids[0]));
    assert_eq!(
        world.commit(committing(&ids[0], generation + 1, 1)),
        Err(GroupError::RebalanceInProgress)
    );
}

#[test]
fn while_members_are_joining_the_last_generation_may_still_commit() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    world.join(joining(&ids[0]));
    assert!(world.commit(committing(&ids[1], generation, 1)).is_ok());
}

#[test]
fn a_static_member_that_was_replaced_cannot_commit() {
    let mut world = World::new();
    let ticket = world.join(joining_static("", "pod-0"));
    world.advance(3_000);
    let old = world.joined(ticket).member_id;
    world.sync(&old, 1, &[]);
    world.join(joining_static("", "pod-0"));
    let request = CommitRequest {
        group_instance_id: Some("pod-0".to_owned()),
        ..committing(&old, 1, 1)
    };
    assert_eq!(world.commit(request), Err(GroupError::FencedInstance));
}

#[test]
fn a_commit_keeps_the_session_alive() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    for offset in 0..5 {
        world.advance(40_000);
        assert!(
            world
                .commit(committing(&ids[0], generation, offset))
                .is_ok()
        );
    }
}

#[test]
fn topics_and_partitions_that_do_not_exist_are_refused_one_by_one() {
    let mut world = World::new();
    let commit = |partition| PartitionCommit {
        partition,
        offset: 1,
        leader_epoch: -1,
        metadata: None,
    };
    let mut request = simple(1);
    request.topics = vec![
        ("orders".to_owned(), vec![commit(3), commit(4), commit(-1)]),
        ("no-such-topic".to_owned(), vec![commit(0)]),
    ];
    let results = world.commit(request).unwrap();
    let unknown = Err(GroupError::UnknownTopicOrPartition);
    let expected = [(3, Ok(())), (4, unknown.clone()), (-1, unknown.clone())];
    assert_eq!(results[0].partitions, expected);
    assert_eq!(results[1].partitions, [(0, unknown)]);
    assert_eq!(world.log.len(), 1);
}

#[test]
fn metadata_is_kept_exactly_up_to_its_limit_in_utf_16_units() {
    let mut world = World::with(GroupOptions {
        offset_metadata_max_bytes: 4,
        ..GroupOptions::default()
    });
    for fits in ["", "abcd", "éééé", "😀😀", " \u{0} "] {
        world.commit(with_metadata(fits.to_owned())).unwrap();
        assert_eq!(world.offset("orders", 0).unwrap().metadata, fits);
    }
    for too_long in ["abcde", "😀😀a"] {
        let results = world.commit(with_metadata(too_long.to_owned())).unwrap();
        assert_eq!(
            results[0].partitions,
            [(0, Err(GroupError::OffsetMetadataTooLarge))]
        );
    }
    assert_eq!(world.offset("orders", 0).unwrap().metadata, " \u{0} ");
}

#[test]
fn a_commit_that_cannot_be_stored_did_not_happen() {
    let mut world = World::new();
    world.commit(simple(1)).unwrap();
    world.broken = Some(GroupError::CoordinatorUnavailable);
    assert_eq!(
        world.commit(simple(2)),
        Err(GroupError::CoordinatorUnavailable)
    );
    assert_eq!(world.offset("orders", 0).unwrap().offset, 1);
}

#[test]
fn what_was_committed_survives_a_restart() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    world.commit(committing(&ids[0], generation, 77)).unwrap();
    world.restart();
    assert_eq!(world.offset("orders", 0).unwrap().offset, 77);
    assert!(world.commit(committing(&ids[0], generation, 78)).is_ok());
}
