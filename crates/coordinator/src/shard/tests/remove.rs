use bytes::Bytes;
use uuid::Uuid;

use crate::GroupError;
use crate::event::{
    CommitRequest, DeleteOffsetsRequest, Event, JoinRequest, PartitionCommit, Reply, TopicResults,
};
use crate::testing::*;

fn delete_offsets(
    world: &mut World,
    topic: &str,
    partitions: &[i32],
) -> Result<Vec<TopicResults>, GroupError> {
    let request = DeleteOffsetsRequest {
        group_id: GROUP.to_owned(),
        topics: vec![(topic.to_owned(), partitions.to_vec())],
    };
    let ticket = world.send(|ticket| Event::DeleteOffsets(ticket, request));
    match &world.answers[&ticket] {
        Reply::DeleteOffsets(result) => result.clone(),
        other => panic!("{other:?}"),
    }
}

fn delete_groups(world: &mut World, group_ids: &[&str]) -> Vec<(String, Result<(), GroupError>)> {
    let group_ids = group_ids.iter().map(|id| (*id).to_owned()).collect();
    let ticket = world.send(|ticket| Event::DeleteGroups(ticket, group_ids));
    match &world.answers[&ticket] {
        Reply::DeleteGroups(results) => results.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn offsets_of_a_topic_that_nobody_reads_are_deleted() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    let mut request = committing(&ids[0], generation, 1);
    request.topics[0].0 = "audit".to_owned();
    world.commit(request).unwrap();
    world.commit(committing(&ids[0], generation, 1)).unwrap();

    let results = delete_offsets(&mut world, "audit", &[0, 1, 9]).unwrap();
    let unknown = Err(GroupError::UnknownTopicOrPartition);
    assert_eq!(
        results[0].partitions,
        [(0, Ok(())), (1, Ok(())), (9, unknown)]
    );
    assert_eq!(world.offset("audit", 0), None);

    let results = delete_offsets(&mut world, "orders", &[0]).unwrap();
    assert_eq!(
        results[0].partitions,
        [(0, Err(GroupError::SubscribedToTopic))]
    );
    assert!(world.offset("orders", 0).is_some());
}

#[test]
fn a_member_whose_subscription_cannot_be_read_may_be_subscribed_to_anything() {
    let mut world = World::new();
    let ticket = world.join(JoinRequest {
        protocols: vec![(
            "range".to_owned(),
            Bytes::from_static(b"\x00\x00\x7f\xff\xff\xff"),
        )],
        requires_known_member_id: false,
        ..joining("")
    });
    world.advance(3_000);
    let member_id = world.joined(ticket).member_id;
    world.sync(&member_id, 1, &[]);
    world.commit(committing(&member_id, 1, 1)).unwrap();
    let results = delete_offsets(&mut world, "orders", &[0]).unwrap();
    assert_eq!(
        results[0].partitions,
        [(0, Err(GroupError::SubscribedToTopic))]
    );
}

#[test]
fn offsets_of_a_group_of_another_type_are_deleted_only_when_it_is_empty() {
    let mut world = World::new();
    let ticket = world.join(JoinRequest {
        protocol_type: "connect".to_owned(),
        requires_known_member_id: false,
        ..joining("")
    });
    world.advance(3_000);
    let member_id = world.joined(ticket).member_id;
    assert_eq!(
        delete_offsets(&mut world, "orders", &[0]),
        Err(GroupError::NonEmptyGroup)
    );
    world.leave(&[(&member_id, None)]);
    assert!(delete_offsets(&mut world, "orders", &[0]).is_ok());
}

#[test]
fn offsets_of_no_group_are_not_found() {
    let mut world = World::new();
    let result = delete_offsets(&mut world, "orders", &[0]);
    assert!(matches!(result, Err(GroupError::GroupIdNotFound(_))));
}

#[test]
fn an_empty_group_is_deleted_with_its_offsets_and_others_are_not() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    world.commit(committing(&ids[0], generation, 1)).unwrap();
    assert_eq!(
        delete_groups(&mut world, &[GROUP]),
        [(GROUP.to_owned(), Err(GroupError::NonEmptyGroup))]
    );
    world.leave(&[(&ids[0], None)]);
    let results = delete_groups(&mut world, &[GROUP, "", "absent", GROUP]);
    assert_eq!(results.len(), 3, "a group named twice is deleted once");
    assert_eq!(results[0].1, Ok(()));
    assert_eq!(results[1].1, Err(GroupError::InvalidGroupId));
    assert!(matches!(results[2].1, Err(GroupError::GroupIdNotFound(_))));
    assert_eq!(world.state(), "absent");
    assert_eq!(world.offset("orders", 0), None);
    assert_eq!(world.shard.durable(&world.topics), []);
    world.restart();
    assert_eq!(world.state(), "absent");
}

#[test]
fn a_deletion_that_cannot_be_stored_did_not_happen() {
    let mut world = World::new();
    world.commit(committing("", -1, 1)).unwrap();
    world.broken = Some(GroupError::CoordinatorUnavailable);
    assert_eq!(
        delete_groups(&mut world, &[GROUP]),
        [(GROUP.to_owned(), Err(GroupError::CoordinatorUnavailable))]
    );
    assert!(world.offset("orders", 0).is_some());
}

#[test]
fn offsets_go_with_their_topic_but_not_with_a_namesake() {
    let mut world = World::new();
    world.commit(committing("", -1, 1)).unwrap();
    let mut request = committing("", -1, 2);
    request.topics[0].0 = "audit".to_owned();
    world.commit(request).unwrap();

    let another_orders = ("orders".to_owned(), Uuid::from_u128(99));
    world.shard.topics_deleted(world.now_ms, &[another_orders]);
    world.advance(0);
    assert!(world.offset("orders", 0).is_some());

    let orders = ("orders".to_owned(), world.topics.0["orders"].0);
    world.shard.topics_deleted(world.now_ms, &[orders]);
    assert_eq!(world.shard.next_deadline(), Some(world.now_ms));
    world.advance(0);
    assert_eq!(world.offset("orders", 0), None);
    assert!(world.offset("audit", 0).is_some());
}

#[test]
fn an_offset_committed_after_its_topic_was_made_anew_stays() {
    let mut world = World::new();
    world.commit(committing("", -1, 1)).unwrap();
    let (old_id, count) = world.topics.0["orders"];
    let orders = ("orders".to_owned(), old_id);
    world.shard.topics_deleted(world.now_ms, &[orders]);
    let new = (Uuid::from_u128(99), count);
    world.topics.0.insert("orders".to_owned(), new);
    world.commit(committing("", -1, 2)).unwrap();
    world.advance(0);
    assert_eq!(world.offset("orders", 0).unwrap().offset, 2);
}

#[test]
fn offsets_are_counted_as_they_come_and_go() {
    let mut world = World::new();
    world.commit(committing("", -1, 1)).unwrap();
    world.commit(committing("", -1, 2)).unwrap();
    let mut request = committing("", -1, 2);
    request.topics[0].0 = "audit".to_owned();
    world.commit(request).unwrap();
    assert_eq!(world.shard.stats().offsets, 2);
    delete_offsets(&mut world, "orders", &[0]).unwrap();
    let stats = world.shard.stats();
    let counts = (stats.offsets, stats.offset_commits, stats.offset_deletions);
    assert_eq!(counts, (1, 3, 1));
}

#[test]
fn many_offsets_go_in_many_batches() {
    let mut world = World::new();
    world
        .topics
        .0
        .insert("wide".to_owned(), (Uuid::from_u128(50), 2_500));
    let commits = (0..2_500).map(|partition| PartitionCommit {
        partition,
        offset: 1,
        leader_epoch: -1,
        metadata: None,
    });
    world
        .commit(CommitRequest {
            topics: vec![("wide".to_owned(), commits.collect())],
            ..committing("", -1, 1)
        })
        .unwrap();
    world
        .shard
        .topics_deleted(world.now_ms, &[("wide".to_owned(), Uuid::from_u128(50))]);
    let before = world.log.len();
    world.tick();
    assert_eq!(world.log.len() - before, 1_000);
    assert_eq!(world.shard.next_deadline(), Some(world.now_ms));
    world.advance(0);
    assert_eq!(world.shard.stats().offsets, 0);
}
