use uuid::Uuid;

use crate::GroupError;
use crate::event::{CommitRequest, FetchOffsetsRequest, JoinRequest, ListFilter};
use crate::testing::*;

#[test]
fn a_partition_without_an_offset_is_no_error() {
    let mut world = World::new();
    assert_eq!(world.offset("orders", 0), None);
    world.commit(committing("", -1, 1)).unwrap();
    assert_eq!(world.offset("orders", 1), None);
    assert_eq!(world.offset("no-such-topic", 0), None);
}

#[test]
fn without_topics_all_offsets_are_fetched() {
    let mut world = World::new();
    let mut request = committing("", -1, 1);
    let commit = request.topics[0].1[0].clone();
    request.topics.push(("audit".to_owned(), vec![commit]));
    world.commit(request).unwrap();
    let found = world
        .shard
        .fetch_offsets(&world.topics, &fetching())
        .unwrap();
    let names: Vec<_> = found.iter().map(|topic| topic.topic.as_str()).collect();
    assert_eq!(names, ["audit", "orders"]);
    let absent = FetchOffsetsRequest {
        group_id: "absent".to_owned(),
        ..fetching()
    };
    assert_eq!(
        world.shard.fetch_offsets(&world.topics, &absent),
        Ok(vec![])
    );
}

#[test]
fn an_offset_of_a_deleted_topic_is_not_the_offset_of_its_namesake() {
    let mut world = World::new();
    world.commit(committing("", -1, 1)).unwrap();
    let namesake = (Uuid::from_u128(99), 4);
    world.topics.0.insert("orders".to_owned(), namesake);
    assert_eq!(world.offset("orders", 0), None);
    let all = world
        .shard
        .fetch_offsets(&world.topics, &fetching())
        .unwrap();
    assert_eq!(all, []);
    world.commit(committing("", -1, 2)).unwrap();
    assert_eq!(world.offset("orders", 0).unwrap().offset, 2);
}

#[test]
fn a_group_is_seen_with_the_offsets_of_topics_that_exist() {
    let mut world = World::new();
    world.commit(committing("", -1, 7)).unwrap();
    let seen = |world: &World| -> Vec<_> {
        let groups = world.shard.groups().map(|group| {
            let committed = group.committed(&world.topics);
            let committed = committed.map(|it| (it.topic.to_owned(), it.partition, it.offset));
            (group.id().to_string(), committed.collect::<Vec<_>>())
        });
        groups.collect()
    };
    let orders = ("orders".to_owned(), 0, 7);
    assert_eq!(seen(&world), [(GROUP.to_owned(), vec![orders])]);
    let namesake = (Uuid::from_u128(99), 4);
    world.topics.0.insert("orders".to_owned(), namesake);
    assert_eq!(seen(&world), [(GROUP.to_owned(), vec![])]);
    world.topics.0.remove("orders");
    assert_eq!(seen(&world), [(GROUP.to_owned(), vec![])]);
}

#[test]
fn a_stable_group_is_described_with_metadata_and_assignments() {
    let mut world = World::new();
    let (ids, _) = world.stable(2);
    let group = world.shard.describe_classic(GROUP).unwrap();
    assert_eq!((group.state, group.protocol.as_str()), ("Stable", "range"));
    assert_eq!(group.protocol_type, "consumer");
    for member in group.members {
        assert!(ids.contains(&member.member_id));
        assert_eq!(member.metadata, subscription(&["orders"]));
        assert_eq!(member.assignment, b"assigned".as_slice());
        assert_eq!(
            (member.client_id.as_str(), member.client_host.as_str()),
            ("client", "/10.0.0.1")
        );
    }
}

#[test]
fn a_group_that_is_not_stable_is_described_without_protocol_and_metadata() {
    let mut world = World::new();
    let (ids, _) = world.stable(2);
    world.join(joining(&ids[0]));
    let group = world.shard.describe_classic(GROUP).unwrap();
    assert_eq!(
        (group.state, group.protocol.as_str()),
        ("PreparingRebalance", "")
    );
    assert_eq!(group.members.len(), 2);
    assert!(
        group
            .members
            .iter()
            .all(|member| member.metadata.is_empty())
    );
}

#[test]
fn an_absent_group_is_described_as_not_found() {
    let world = World::new();
    assert!(matches!(
        world.shard.describe_classic(GROUP),
        Err(GroupError::GroupIdNotFound(_))
    ));
}

#[test]
fn groups_are_listed_by_state_and_type_whatever_the_case() {
    let mut world = World::new();
    world.stable(1);
    world
        .commit(CommitRequest {
            group_id: "a-simple-one".to_owned(),
            ..committing("", -1, 1)
        })
        .unwrap();
    world.join(JoinRequest {
        group_id: "waits".to_owned(),
        requires_known_member_id: false,
        ..joining("")
    });
    let list = |states: &[&str], types: &[&str]| -> Vec<(String, &str, String)> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let filter = ListFilter {
            states: owned(states),
            types: owned(types),
        };
        let listed = world.shard.list_groups(&filter).into_iter();
        listed
            .map(|group| (group.group_id, group.state, group.protocol_type))
            .collect()
    };
    let stable = (GROUP.to_owned(), "Stable", "consumer".to_owned());
    let simple = ("a-simple-one".to_owned(), "Empty", String::new());
    let waits = (
        "waits".to_owned(),
        "PreparingRebalance",
        "consumer".to_owned(),
    );
    assert_eq!(
        list(&[], &[]),
        [simple.clone(), stable.clone(), waits.clone()]
    );
    assert_eq!(
        list(&["stable", " EMPTY "], &[]),
        [simple.clone(), stable.clone()]
    );
    assert_eq!(list(&["Dead"], &[]), []);
    assert_eq!(list(&["preparingrebalance"], &["Classic"]), [waits]);
    assert_eq!(list(&[], &["consumer"]), []);
    assert_eq!(list(&[], &["something new"]), []);
}
