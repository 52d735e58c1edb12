use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::consumer::{ConsumerHeartbeat, ConsumerHeartbeatReply};
use crate::event::{
    CommitRequest, ConsumerHeartbeatRequest, Event, FetchOffsetsRequest, JoinRequest, ListFilter,
    PartitionCommit, Reply, TopicFilter,
};
use crate::records::codec::Writer;
use crate::testing::*;
use crate::{GroupError, GroupOptions, MigrationPolicy};

fn joins(member_id: &str) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        member_id: member_id.to_owned(),
        member_epoch: 0,
        rebalance_timeout_ms: Some(60_000),
        subscribed_topic_names: Some(vec!["orders".to_owned()]),
        owned: Some(BTreeMap::new()),
        client_id: "client".to_owned(),
        client_host: "/10.0.0.1".to_owned(),
        ..ConsumerHeartbeat::default()
    }
}

fn at(member_id: &str, member_epoch: i32) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        member_id: member_id.to_owned(),
        member_epoch,
        ..ConsumerHeartbeat::default()
    }
}

fn request(heartbeat: ConsumerHeartbeat) -> ConsumerHeartbeatRequest {
    ConsumerHeartbeatRequest {
        group_id: GROUP.to_owned(),
        heartbeat,
        brings_member_id: true,
        may_describe: None,
    }
}

fn send(
    world: &mut World,
    request: ConsumerHeartbeatRequest,
) -> Result<ConsumerHeartbeatReply, GroupError> {
    let ticket = world.send(|ticket| Event::ConsumerHeartbeat(ticket, request));
    match &world.answers[&ticket] {
        Reply::ConsumerHeartbeat(result) => result.clone(),
        other => panic!("{other:?}"),
    }
}

fn beat(
    world: &mut World,
    heartbeat: ConsumerHeartbeat,
) -> Result<ConsumerHeartbeatReply, GroupError> {
    send(world, request(heartbeat))
}

fn group_type(world: &World) -> Option<(&'static str, &'static str)> {
    let listed = world.shard.list_groups(&ListFilter::default()).into_iter();
    let mut found = listed.filter(|group| group.group_id == GROUP);
    found.next().map(|group| (group.group_type, group.state))
}

fn partitions(reply: &ConsumerHeartbeatReply) -> BTreeSet<i32> {
    let assignment = reply.assignment.as_ref().unwrap();
    assignment.values().flatten().copied().collect()
}

/// A classic assignment of these partitions of "orders", version 0.
fn assignment(partitions: &[i32]) -> &'static [u8] {
    let mut writer = Writer::versioned(0);
    writer.list([partitions], |writer, partitions| {
        writer.string("orders");
        writer.list(partitions, |writer, partition| writer.i32(*partition));
    });
    writer.bytes(b"");
    Vec::leak(writer.finish().to_vec())
}

/// A stable classic group of one member that has all of "orders".
fn classic(world: &mut World) -> String {
    let member_id = world.new_member_id();
    world.join(joining(&member_id));
    world.advance(3_000);
    world.sync(&member_id, 1, &[(&member_id, assignment(&[0, 1, 2, 3]))]);
    assert_eq!(world.state(), "Stable");
    member_id
}

#[test]
fn a_heartbeat_with_epoch_0_makes_a_group_that_a_restart_finds_again() {
    let mut world = World::new();
    let reply = beat(&mut world, joins("a")).unwrap();
    assert_eq!((reply.member_epoch, partitions(&reply).len()), (2, 4));
    assert_eq!(group_type(&world), Some(("consumer", "Stable")));
    let lived = world.shard.durable(&world.topics);
    world.restart();
    assert_eq!(world.shard.durable(&world.topics), lived);
    assert_eq!(beat(&mut world, at("a", 2)).unwrap().member_epoch, 2);
}

#[test]
fn any_other_epoch_makes_no_group() {
    let mut world = World::new();
    for epoch in [1, -1] {
        let result = beat(&mut world, at("a", epoch));
        assert!(matches!(result, Err(GroupError::GroupIdNotFound(_))));
    }
    assert_eq!(group_type(&world), None);
}

#[test]
fn a_client_of_version_0_is_given_a_member_id_and_one_of_version_1_has_to_bring_its_own() {
    let mut world = World::new();
    let refused = beat(&mut world, joins(""));
    assert!(matches!(refused, Err(GroupError::InvalidRequest { .. })));
    let older = ConsumerHeartbeatRequest {
        brings_member_id: false,
        ..request(joins(""))
    };
    let member_id = send(&mut world, older).unwrap().member_id;
    assert!(beat(&mut world, at(&member_id, 2)).is_ok());
}

#[test]
fn an_empty_group_id_is_refused() {
    let mut world = World::new();
    let request = ConsumerHeartbeatRequest {
        group_id: String::new(),
        ..request(joins("a"))
    };
    assert_eq!(send(&mut world, request), Err(GroupError::InvalidGroupId));
}

#[test]
fn a_first_member_that_cannot_be_stored_or_is_refused_leaves_nothing_behind() {
    let mut world = World::new();
    world.broken = Some(GroupError::CoordinatorUnavailable);
    assert_eq!(
        beat(&mut world, joins("a")),
        Err(GroupError::CoordinatorUnavailable)
    );
    world.broken = None;
    let bad_pattern = ConsumerHeartbeat {
        subscribed_topic_regex: Some("(".to_owned()),
        ..joins("a")
    };
    assert!(matches!(
        beat(&mut world, bad_pattern),
        Err(GroupError::InvalidRegex(_))
    ));
    assert_eq!(
        (group_type(&world), world.shard.next_deadline()),
        (None, None)
    );
    assert_eq!(world.log, []);
}

#[test]
fn a_pattern_finds_the_topics_that_the_client_may_know_of() {
    let mut world = World::new();
    let by_pattern = ConsumerHeartbeat {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some("orders|audit".to_owned()),
        ..joins("a")
    };
    let request = ConsumerHeartbeatRequest {
        may_describe: Some(TopicFilter(Arc::new(|topic| topic != "audit"))),
        ..request(by_pattern)
    };
    let reply = send(&mut world, request).unwrap();
    assert_eq!(reply.assignment.unwrap().len(), 1);
}

#[test]
fn a_silent_member_is_removed_when_its_session_ends() {
    let mut world = World::new();
    beat(&mut world, joins("a")).unwrap();
    world.advance(44_999);
    assert_eq!(world.shard.stats().members, 1);
    world.advance(1);
    assert_eq!(world.shard.stats().members, 0);
    assert_eq!(beat(&mut world, at("a", 1)), Err(GroupError::UnknownMember));
}

#[test]
fn members_commit_and_fetch_in_their_epoch() {
    let mut world = World::new();
    beat(&mut world, joins("a")).unwrap();
    assert!(world.commit(committing("a", 2, 5)).is_ok());
    assert!(matches!(
        world.commit(committing("a", 3, 6)),
        Err(GroupError::StaleMemberEpoch(_))
    ));
    assert_eq!(
        world.commit(committing("", -1, 6)),
        Err(GroupError::UnknownMember)
    );
    let before_version_9 = CommitRequest {
        knows_new_group_errors: false,
        ..committing("a", 2, 6)
    };
    assert_eq!(
        world.commit(before_version_9),
        Err(GroupError::UnsupportedVersion)
    );
    assert_eq!(world.offset("orders", 0).unwrap().offset, 5);
    let fetch = |member_epoch| FetchOffsetsRequest {
        member_id: Some("a".to_owned()),
        member_epoch,
        ..fetching()
    };
    assert!(world.shard.fetch_offsets(&world.topics, &fetch(2)).is_ok());
    assert!(world.shard.fetch_offsets(&world.topics, &fetch(9)).is_err());
}

#[test]
fn a_member_that_has_not_heard_of_its_newest_epoch_commits_what_was_its_own_and_no_more() {
    let mut world = World::new();
    beat(&mut world, joins("a")).unwrap();
    world.advance(2_000);
    beat(&mut world, joins("b")).unwrap();
    let gives_up = ConsumerHeartbeat {
        owned: Some(BTreeMap::new()),
        ..at("a", 2)
    };
    assert_eq!(beat(&mut world, at("a", 2)).unwrap().member_epoch, 2);
    assert_eq!(beat(&mut world, gives_up).unwrap().member_epoch, 3);
    let mut request = committing("a", 2, 5);
    let commit = request.topics[0].1[0].clone();
    request.topics[0].1 = (0..4)
        .map(|partition| PartitionCommit {
            partition,
            ..commit.clone()
        })
        .collect();
    let results = world.commit(request).unwrap().remove(0).partitions;
    let stale =
        |result: &Result<(), GroupError>| matches!(result, Err(GroupError::StaleMemberEpoch(_)));
    assert_eq!(
        results.iter().filter(|(_, result)| stale(result)).count(),
        2
    );
    assert_eq!(
        results.iter().filter(|(_, result)| result.is_ok()).count(),
        2
    );
}

#[test]
fn each_type_of_group_is_described_by_its_own_request() {
    let mut world = World::new();
    beat(&mut world, joins("a")).unwrap();
    let described = world.shard.describe_consumer(&world.topics, GROUP).unwrap();
    assert_eq!((described.group_epoch, described.members.len()), (2, 1));
    assert!(world.shard.describe_classic(GROUP).is_err());
    let mut world = World::new();
    classic(&mut world);
    assert!(world.shard.describe_consumer(&world.topics, GROUP).is_err());
    assert!(
        world
            .shard
            .describe_consumer(&world.topics, "absent")
            .is_err()
    );
}

#[test]
fn an_empty_consumer_group_is_deleted_and_one_with_members_is_not() {
    let mut world = World::new();
    beat(&mut world, joins("a")).unwrap();
    world.commit(committing("a", 1, 5)).unwrap();
    let delete = |world: &mut World| {
        let ticket = world.send(|ticket| Event::DeleteGroups(ticket, vec![GROUP.to_owned()]));
        match &world.answers[&ticket] {
            Reply::DeleteGroups(results) => results[0].1.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(delete(&mut world), Err(GroupError::NonEmptyGroup));
    beat(&mut world, at("a", -1)).unwrap();
    assert_eq!(group_type(&world), Some(("consumer", "Empty")));
    assert_eq!(delete(&mut world), Ok(()));
    assert_eq!(world.shard.durable(&world.topics), []);
    world.restart();
    assert_eq!(group_type(&world), None);
}

#[test]
fn an_empty_consumer_group_goes_with_its_last_offset() {
    let mut world = World::new();
    beat(&mut world, joins("a")).unwrap();
    world.commit(committing("a", 2, 5)).unwrap();
    beat(&mut world, at("a", -1)).unwrap();
    world.advance(6 * 24 * 60 * 60 * 1_000);
    assert_eq!(group_type(&world), Some(("consumer", "Empty")));
    world.advance(24 * 60 * 60 * 1_000 + 600_000);
    assert_eq!(group_type(&world), None);
    assert_eq!(world.shard.durable(&world.topics), []);
}

#[test]
fn an_empty_classic_group_becomes_a_consumer_group_and_keeps_its_offsets() {
    let mut world = World::new();
    world.commit(committing("", -1, 5)).unwrap();
    let (ids, _) = world.stable(1);
    world.leave(&[(&ids[0], None)]);
    world.broken = Some(GroupError::CoordinatorUnavailable);
    assert!(beat(&mut world, joins("a")).is_err());
    assert_eq!(group_type(&world), Some(("classic", "Empty")));
    world.broken = None;
    beat(&mut world, joins("a")).unwrap();
    assert_eq!(group_type(&world), Some(("consumer", "Stable")));
    assert_eq!(world.offset("orders", 0).unwrap().offset, 5);
    world.restart();
    assert_eq!(group_type(&world), Some(("consumer", "Stable")));
}

#[test]
fn an_empty_consumer_group_becomes_a_classic_group_and_keeps_its_offsets() {
    let mut world = World::new();
    beat(&mut world, joins("a")).unwrap();
    world.commit(committing("a", 2, 5)).unwrap();
    beat(&mut world, at("a", -1)).unwrap();
    let stranger = world.join(joining("stranger"));
    assert_eq!(world.join_error(stranger), GroupError::UnknownMember);
    world.broken = Some(GroupError::CoordinatorUnavailable);
    let ticket = world.join(joining(""));
    assert_eq!(world.join_error(ticket), GroupError::CoordinatorUnavailable);
    assert_eq!(group_type(&world), Some(("consumer", "Empty")));
    world.broken = None;
    world.stable(1);
    assert_eq!(group_type(&world), Some(("classic", "Stable")));
    world.restart();
    assert_eq!(group_type(&world), Some(("classic", "Stable")));
    assert_eq!(world.offset("orders", 0).unwrap().offset, 5);
}

#[test]
fn the_first_member_of_the_new_protocol_makes_over_a_classic_group_whose_members_go_on() {
    let mut world = World::new();
    let old = classic(&mut world);
    let reply = beat(&mut world, joins("new")).unwrap();
    assert_eq!(group_type(&world), Some(("consumer", "Reconciling")));
    assert_eq!(
        partitions(&reply),
        BTreeSet::new(),
        "the classic member still has them"
    );
    assert_eq!(
        world.heartbeat(&old, 1),
        Err(GroupError::RebalanceInProgress)
    );
    world.restart();
    assert_eq!(group_type(&world), Some(("consumer", "Reconciling")));

    let ticket = world.join(joining(&old));
    let rejoined = world.joined(ticket);
    assert_eq!((rejoined.leader.as_str(), rejoined.members.len()), ("", 0));
    let ticket = world.sync(&old, rejoined.generation, &[]);
    assert!(world.sync_result(ticket).is_ok());
}

#[test]
fn members_that_wait_in_a_classic_group_are_told_to_join_again_when_it_is_made_over() {
    let mut world = World::new();
    let old = classic(&mut world);
    let coming = world.new_member_id();
    let waiting = world.join(joining(&old));
    assert!(world.is_waiting(waiting));
    beat(&mut world, joins("new")).unwrap();
    assert_eq!(world.join_error(waiting), GroupError::RebalanceInProgress);
    let ticket = world.join(joining(&coming));
    assert!(world.joined(ticket).generation > 1);
}

#[test]
fn a_change_that_cannot_be_stored_leaves_the_classic_group_as_it_was() {
    let mut world = World::new();
    let old = classic(&mut world);
    let before = world.shard.durable(&world.topics);
    world.broken = Some(GroupError::CoordinatorUnavailable);
    assert_eq!(
        beat(&mut world, joins("new")),
        Err(GroupError::CoordinatorUnavailable)
    );
    world.broken = None;
    assert_eq!(world.shard.durable(&world.topics), before);
    assert_eq!(world.heartbeat(&old, 1), Ok(()));
    world.advance(45_000);
    assert_eq!(world.state(), "Empty", "its sessions still count");
}

#[test]
fn where_the_policy_forbids_it_a_classic_group_stays_one() {
    let mut options = GroupOptions::default();
    options.consumer.migration_policy = MigrationPolicy::Disabled;
    let mut world = World::with(options);
    let old = classic(&mut world);
    assert!(matches!(
        beat(&mut world, joins("new")),
        Err(GroupError::GroupIdNotFound(_))
    ));
    assert_eq!(world.heartbeat(&old, 1), Ok(()));
}

#[test]
fn when_the_last_member_of_the_new_protocol_leaves_the_others_are_a_classic_group_and_rebalance() {
    let mut world = World::new();
    let old = classic(&mut world);
    beat(&mut world, joins("new")).unwrap();
    let ticket = world.join(joining(&old));
    let generation = world.joined(ticket).generation;

    world.broken = Some(GroupError::CoordinatorUnavailable);
    assert!(beat(&mut world, at("new", -1)).is_err());
    assert_eq!(group_type(&world).unwrap().0, "consumer");
    world.broken = None;

    beat(&mut world, at("new", -1)).unwrap();
    assert_eq!(group_type(&world), Some(("classic", "PreparingRebalance")));
    let stored = world.stored().unwrap();
    assert!(stored.generation >= generation);
    assert_eq!(stored.members[0].member_id, old);
    let ticket = world.join(joining(&old));
    assert_eq!(world.joined(ticket).generation, stored.generation + 1);
    let lived = world.shard.durable(&world.topics);
    world.restart();
    assert_eq!(world.shard.durable(&world.topics), lived);
}

#[test]
fn a_member_of_the_new_protocol_that_falls_silent_brings_about_the_same() {
    let mut world = World::new();
    let old = classic(&mut world);
    beat(&mut world, joins("new")).unwrap();
    let ticket = world.join(joining(&old));
    let generation = world.joined(ticket).generation;
    world.sync(&old, generation, &[]);
    world.advance(30_000);
    assert!(world.heartbeat(&old, generation).is_ok());
    world.advance(15_000);
    assert_eq!(group_type(&world), Some(("classic", "PreparingRebalance")));
}

#[test]
fn a_classic_member_of_another_type_cannot_join_a_consumer_group() {
    let mut world = World::new();
    beat(&mut world, joins("a")).unwrap();
    let ticket = world.join(JoinRequest {
        protocol_type: "connect".to_owned(),
        ..joining("")
    });
    assert_eq!(world.join_error(ticket), GroupError::InconsistentProtocol);
    assert_eq!(
        world.leave(&[("nobody", None), ("a", None)]),
        [Err(GroupError::UnknownMember), Ok(())]
    );
    assert_eq!(group_type(&world), Some(("consumer", "Empty")));
}

#[test]
fn epochs_of_consumer_groups_are_counted_also_when_the_group_is_gone() {
    let mut world = World::new();
    beat(&mut world, joins("a")).unwrap();
    let count = |world: &World| -> u64 { world.shard.stats().consumer_rebalances.values().sum() };
    assert_eq!(count(&world), 1);
    beat(&mut world, at("a", -1)).unwrap();
    world.advance(600_000);
    assert_eq!(group_type(&world), None);
    assert_eq!(count(&world), 2);
}

#[test]
fn members_that_waited_when_a_change_could_not_be_stored_are_expected_to_heartbeat_again() {
    let mut world = World::new();
    let ticket = world.join(joining_static("", "pod-0"));
    world.advance(3_000);
    let old = world.joined(ticket).member_id;
    world.sync(&old, 1, &[]);
    // Somebody who is on the way holds the barrier up for longer than the member's session.
    world.new_member_id();
    world.join(joining_static(&old, "pod-0"));
    world.advance(44_000);
    world.new_member_id();
    world.advance(2_000);
    world.broken = Some(GroupError::CoordinatorUnavailable);
    assert!(beat(&mut world, joins("new")).is_err());
    world.broken = None;
    world.advance(120_000);
    assert_eq!(world.state(), "Empty");
}
