//! Statement E10: classic members in a consumer group, and groups that change their type.

use super::super::embedded::{Subscription, decode_assignment, encode_assignment};
use super::*;
use crate::options::MigrationPolicy;
use crate::records::codec::Writer;

/// A subscription as cooperative consumers send it (version 3).
fn subscription(topics: &[&str], owned: &[i32]) -> Bytes {
    let mut writer = Writer::versioned(3);
    writer.list(topics, |writer, topic| writer.string(topic));
    writer.i32(-1);
    writer.list([owned], |writer, owned| {
        writer.string("orders");
        writer.list(owned, |writer, partition| writer.i32(*partition));
    });
    writer.i32(7);
    writer.nullable_string(Some("rack"));
    writer.finish()
}

pub(super) fn joins_classic(id: &str, owned: &[i32]) -> ClassicJoin {
    ClassicJoin {
        member_id: id.to_owned(),
        is_new: false,
        requires_known_id: true,
        instance_id: None,
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![(
            "cooperative-sticky".to_owned(),
            subscription(&["orders"], owned),
        )],
        client_id: "old".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
    }
}

pub(super) fn sender(id: &str, generation: i32) -> ClassicHeartbeat<'_> {
    ClassicHeartbeat {
        member_id: id,
        instance_id: None,
        generation,
    }
}

impl World {
    pub(super) fn join_classic(&mut self, join: &ClassicJoin) -> Result<ClassicJoined, GroupError> {
        self.decide(|group, context| group.classic_join(context, join))
    }

    pub(super) fn sync(
        &mut self,
        id: &str,
        generation: i32,
    ) -> Result<TopicPartitions, GroupError> {
        let sync = ClassicSync {
            sender: sender(id, generation),
            protocol_type: Some("consumer"),
            protocol_name: Some("cooperative-sticky"),
        };
        let reply = |bytes: Bytes| Outcome {
            records: Vec::new(),
            reply: bytes,
            downgrade: None,
        };
        let bytes = self.decide(|group, context| group.classic_sync(context, &sync).map(reply))?;
        Ok(decode_assignment(&bytes, &self.topics).unwrap())
    }

    pub(super) fn beat_classic(&mut self, id: &str, generation: i32) -> Result<(), GroupError> {
        let reply = |()| Outcome {
            records: Vec::new(),
            reply: (),
            downgrade: None,
        };
        self.decide(|group, context| {
            group
                .classic_heartbeat(context, &sender(id, generation))
                .map(reply)
        })
    }
}

#[test]
fn a_classic_member_gets_its_share_in_the_bytes_of_its_own_protocol() {
    let mut world = World::new();
    world.join("new");
    let joined = world.join_classic(&joins_classic("old", &[])).unwrap();
    assert_eq!(
        (joined.generation, joined.protocol_name.as_str()),
        (3, "cooperative-sticky")
    );
    assert_eq!(world.sync("old", 3), Ok(orders(&[])));
    assert_eq!(
        world.beat_classic("old", 3),
        Ok(()),
        "what it waits for is not free yet"
    );
    world.beat(&owns("new", 2, &orders(&[0, 1]))).unwrap();
    assert_eq!(
        world.beat_classic("old", 3),
        Err(GroupError::RebalanceInProgress)
    );
    assert_eq!(
        world
            .join_classic(&joins_classic("old", &[]))
            .unwrap()
            .generation,
        3
    );
    assert_eq!(world.sync("old", 3), Ok(orders(&[2, 3])));
    assert_eq!(world.beat_classic("old", 3), Ok(()));
    assert_eq!(world.group.state(), GroupState::Stable);
    assert!(world.describe().members[1].is_classic);
}

#[test]
fn a_classic_member_gives_up_partitions_by_joining_without_them() {
    let mut world = World::new();
    world.options.consumer.migration_policy = MigrationPolicy::Upgrade;
    world.join_classic(&joins_classic("old", &[])).unwrap();
    assert_eq!(world.sync("old", 2), Ok(orders(&[0, 1, 2, 3])));
    world.join("new");
    assert_eq!(
        world.beat_classic("old", 2),
        Err(GroupError::RebalanceInProgress)
    );
    assert_eq!(world.sync("old", 2), Err(GroupError::RebalanceInProgress));
    let joined = world
        .join_classic(&joins_classic("old", &[0, 1, 2, 3]))
        .unwrap();
    assert_eq!(joined.generation, 2);
    assert_eq!(world.sync("old", 2), Ok(orders(&[0, 1])));
    assert_eq!(world.beat(&alive("new", 3)).unwrap().assignment, None);
    assert_eq!(
        world.beat_classic("old", 2),
        Err(GroupError::RebalanceInProgress)
    );
    assert_eq!(
        world
            .join_classic(&joins_classic("old", &[0, 1]))
            .unwrap()
            .generation,
        3
    );
    assert_eq!(world.sync("old", 3), Ok(orders(&[0, 1])));
    assert_eq!(
        world.beat(&alive("new", 3)).unwrap().assignment,
        Some(orders(&[2, 3]))
    );
}

#[test]
fn a_new_classic_member_first_learns_its_id() {
    let mut world = World::new();
    world.join("new");
    let first = ClassicJoin {
        is_new: true,
        ..joins_classic("made-for-it", &[])
    };
    let member_id = "made-for-it".to_owned();
    assert_eq!(
        world.join_classic(&first),
        Err(GroupError::MemberIdRequired { member_id })
    );
    world
        .join_classic(&joins_classic("made-for-it", &[]))
        .unwrap();
}

#[test]
fn a_classic_member_of_another_kind_is_refused() {
    let mut world = World::new();
    world.join("new");
    let connect = ClassicJoin {
        protocol_type: "connect".to_owned(),
        ..joins_classic("old", &[])
    };
    assert_eq!(
        world.join_classic(&connect),
        Err(GroupError::InconsistentProtocol)
    );
    world.join_classic(&joins_classic("old", &[])).unwrap();
    let mut other = joins_classic("other", &[]);
    other.protocols[0].0 = "range".to_owned();
    assert_eq!(
        world.join_classic(&other),
        Err(GroupError::InconsistentProtocol)
    );
    let mut unreadable = joins_classic("other", &[]);
    unreadable.protocols[0].1 = Bytes::from_static(&[0, 1, 127, 255, 255, 255]);
    assert!(matches!(
        world.join_classic(&unreadable),
        Err(GroupError::InvalidRequest { .. })
    ));
    world.options.consumer.migration_policy = MigrationPolicy::Disabled;
    assert_eq!(
        world.join_classic(&joins_classic("other", &[])),
        Err(GroupError::InconsistentProtocol)
    );
}

#[test]
fn a_classic_member_is_known_by_id_generation_and_protocol() {
    let mut world = World::new();
    world.join("new");
    let generation = world
        .join_classic(&joins_classic("old", &[]))
        .unwrap()
        .generation;
    assert_eq!(
        world.beat_classic("nobody", generation),
        Err(GroupError::UnknownMember)
    );
    assert_eq!(world.beat_classic("new", 1), Err(GroupError::UnknownMember));
    assert_eq!(
        world.beat_classic("old", generation + 1),
        Err(GroupError::IllegalGeneration)
    );
    let sync = ClassicSync {
        sender: sender("old", generation),
        protocol_type: Some("consumer"),
        protocol_name: Some("range"),
    };
    let reply = |bytes: Bytes| Outcome {
        records: Vec::new(),
        reply: bytes,
        downgrade: None,
    };
    let result = world.decide(|group, context| group.classic_sync(context, &sync).map(reply));
    assert_eq!(result, Err(GroupError::InconsistentProtocol));
    let commit = |member_epoch| ConsumerCommit {
        member_id: "old",
        instance_id: None,
        member_epoch,
        is_transactional: false,
        version: 7,
    };
    assert!(world.group.validate_commit(&commit(generation)).is_ok());
    assert_eq!(
        world
            .group
            .validate_commit(&commit(generation + 1))
            .unwrap_err(),
        GroupError::IllegalGeneration
    );
}

#[test]
fn a_classic_member_that_never_syncs_or_never_rejoins_is_removed() {
    let mut world = World::new();
    world.config.session_timeout_ms = 600_000;
    world.join("new");
    let generation = world
        .join_classic(&joins_classic("old", &[]))
        .unwrap()
        .generation;
    for _ in 0..12 {
        world.pass(4_999);
        world.beat_classic("old", generation).unwrap();
    }
    assert_eq!(world.group.member_count(), 2);
    world.pass(5_000);
    assert_eq!(world.member_ids(), ["new"]);

    let generation = world
        .join_classic(&joins_classic("old", &[]))
        .unwrap()
        .generation;
    world.sync("old", generation).unwrap();
    world.join("newer");
    let mut told = 0;
    for _ in 0..14 {
        world.pass(4_999);
        told += i32::from(
            world.beat_classic("old", generation) == Err(GroupError::RebalanceInProgress),
        );
    }
    assert!(told > 10, "told {told} times");
    assert_eq!(world.member_ids(), ["new", "newer"]);
}

#[test]
fn leaving_is_answered_for_each_member() {
    let mut world = World::new();
    world.join("new");
    world.join_classic(&joins_classic("old", &[])).unwrap();
    let instance = ClassicJoin {
        instance_id: Some("i".to_owned()),
        is_new: true,
        ..joins_classic("static", &[])
    };
    world.join_classic(&instance).unwrap();
    let identity = |member_id: &str, instance_id: Option<&str>| ClassicIdentity {
        member_id: member_id.to_owned(),
        instance_id: instance_id.map(str::to_owned),
    };
    let leaving = [
        identity("old", None),
        identity("nobody", None),
        identity("wrong", Some("i")),
        identity("", Some("i")),
        identity("", Some("unknown")),
    ];
    let answers = world
        .decide(|group, context| Ok(group.classic_leave(context, &leaving)))
        .unwrap();
    assert_eq!(
        answers,
        [
            Ok("old".to_owned()),
            Err(GroupError::UnknownMember),
            Err(GroupError::FencedInstance),
            Ok("static".to_owned()),
            Err(GroupError::UnknownMember),
        ]
    );
    assert_eq!(world.member_ids(), ["new"]);
}

fn classic_group(world: &World) -> ClassicDescription {
    let member = |id: &str, partitions: &[i32]| ClassicMemberDescription {
        member_id: id.to_owned(),
        instance_id: None,
        client_id: "old".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout_ms: 60_000,
        session_timeout_ms: 10_000,
        protocols: joins_classic(id, &[]).protocols,
        assignment: encode_assignment(&orders(partitions), &world.topics, &subscription(&[], &[])),
    };
    ClassicDescription {
        group_id: GROUP.to_owned(),
        protocol_type: Some("consumer".to_owned()),
        generation: 5,
        protocol: Some("cooperative-sticky".to_owned()),
        members: vec![member("x", &[0, 1]), member("y", &[2, 3])],
    }
}

impl World {
    /// Changes a classic group into this one, and lets a member of the new protocol in, as one batch.
    fn upgrade(
        &mut self,
        classic: &ClassicDescription,
        join: &ConsumerHeartbeat,
    ) -> Result<ConsumerHeartbeatReply, GroupError> {
        let context = Context {
            now_ms: self.now_ms,
            topics: &self.topics,
            options: &self.options,
            config: self.config,
            may_describe: None,
        };
        let (mut draft, records) = ConsumerGroup::upgrade(&context, classic)?;
        let outcome = draft.heartbeat(&context, join)?;
        for record in records.into_iter().chain(outcome.records) {
            replay(&mut self.group, &record);
            self.log.push(record);
        }
        assert_eq!(self.group.durable, draft_after(&draft, &self.log));
        self.group.loaded(self.now_ms, &self.config);
        Ok(outcome.reply)
    }
}

fn draft_after(draft: &ConsumerGroup, log: &[CoordinatorRecord]) -> Durable {
    assert_eq!(draft.group_id(), GROUP);
    replayed(log).durable
}

#[test]
fn a_classic_group_becomes_a_consumer_group_and_its_members_keep_what_they_have() {
    let mut world = World::new();
    let classic = classic_group(&world);
    let joined = world.upgrade(&classic, &joins("new", &["orders"])).unwrap();
    assert_eq!(
        (joined.member_epoch, joined.assignment),
        (6, Some(orders(&[])))
    );
    // The old members go on as they are until they are told to rebalance, and give up one partition.
    assert_eq!(
        world.beat_classic("x", 5),
        Err(GroupError::RebalanceInProgress)
    );
    let kept = world.join_classic(&joins_classic("x", &[0, 1])).unwrap();
    assert_eq!(kept.generation, 6, "it keeps both");
    assert_eq!(world.sync("x", 6), Ok(orders(&[0, 1])));
    assert_eq!(
        world
            .join_classic(&joins_classic("y", &[2, 3]))
            .unwrap()
            .generation,
        5
    );
    assert_eq!(world.sync("y", 5), Ok(orders(&[2])));
    assert_eq!(
        world
            .join_classic(&joins_classic("y", &[2]))
            .unwrap()
            .generation,
        6
    );
    assert_eq!(
        world.beat(&alive("new", 6)).unwrap().assignment,
        Some(orders(&[3]))
    );
}

#[test]
fn what_a_classic_leader_gave_twice_has_one_owner_afterwards() {
    let mut world = World::new();
    let mut classic = classic_group(&world);
    classic.members[1].assignment =
        encode_assignment(&orders(&[1, 2, 99]), &world.topics, &subscription(&[], &[]));
    world.upgrade(&classic, &joins("new", &["orders"])).unwrap();
    let assigned = |id: &str| {
        super::super::heartbeat::without_epochs(&world.durable().members[id].current.assigned)
    };
    assert_eq!(
        (assigned("x"), assigned("y")),
        (orders(&[0, 1]), orders(&[2]))
    );
}

#[test]
fn an_upgrade_that_is_not_allowed_finds_no_group() {
    let mut world = World::new();
    let classic = classic_group(&world);
    let refused = |result: Result<ConsumerHeartbeatReply, GroupError>| {
        assert!(
            matches!(result, Err(GroupError::GroupIdNotFound(_))),
            "{result:?}"
        );
    };
    let connect = ClassicDescription {
        protocol_type: Some("connect".to_owned()),
        ..classic.clone()
    };
    refused(world.upgrade(&connect, &joins("new", &["orders"])));
    let mut unreadable = classic.clone();
    unreadable.members[0].assignment = Bytes::from_static(&[0, 0, 9, 9]);
    refused(world.upgrade(&unreadable, &joins("new", &["orders"])));
    world.options.consumer.max_size = 1;
    refused(world.upgrade(&classic, &joins("new", &["orders"])));
    world.options = GroupOptions::default();
    world.options.consumer.migration_policy = MigrationPolicy::Downgrade;
    refused(world.upgrade(&classic, &joins("new", &["orders"])));
}

#[test]
fn the_last_member_of_the_new_protocol_leaves_a_classic_group_behind() {
    let mut world = World::new();
    world.join("new");
    world.join_classic(&joins_classic("x", &[])).unwrap();
    world.beat(&owns("new", 2, &orders(&[0, 1]))).unwrap();
    world.beat(&leaves("new", -1, None)).unwrap();
    let downgrade = world.downgrade.take().unwrap();
    assert!(downgrade.rebalance && world.group.is_absent());
    let group = downgrade.group;
    assert_eq!(
        (group.generation, group.protocol.as_deref()),
        (3, Some("cooperative-sticky"))
    );
    assert_eq!(group.members.len(), 1);
    let assignment = decode_assignment(&group.members[0].assignment, &world.topics).unwrap();
    assert_eq!(
        (group.members[0].member_id.as_str(), assignment),
        ("x", orders(&[2, 3]))
    );
    assert_eq!(group.members[0].session_timeout_ms, 10_000);
}

#[test]
fn a_classic_instance_that_takes_the_place_of_the_last_new_one_makes_the_group_classic_at_rest() {
    let mut world = World::new();
    world.beat(&joins_static("new", "i")).unwrap();
    world.join_classic(&joins_classic("x", &[])).unwrap();
    world
        .beat(&ConsumerHeartbeat {
            instance_id: Some("i".to_owned()),
            ..owns("new", 2, &orders(&[0, 1]))
        })
        .unwrap();
    let rolled_back = ClassicJoin {
        instance_id: Some("i".to_owned()),
        is_new: true,
        ..joins_classic("old-again", &[])
    };
    let joined = world.join_classic(&rolled_back).unwrap();
    assert_eq!(
        (joined.member_id.as_str(), joined.generation),
        ("old-again", 3)
    );
    let downgrade = world.downgrade.take().unwrap();
    assert!(!downgrade.rebalance && world.group.is_absent());
    let assignments: Vec<_> = downgrade
        .group
        .members
        .iter()
        .map(|member| {
            (
                member.member_id.as_str(),
                decode_assignment(&member.assignment, &world.topics).unwrap(),
            )
        })
        .collect();
    assert_eq!(
        assignments,
        [("x", orders(&[2, 3])), ("old-again", orders(&[0, 1]))]
    );
}

#[test]
fn without_leave_to_downgrade_the_group_stays_and_its_classic_members_go_on() {
    let mut world = World::new();
    world.options.consumer.migration_policy = MigrationPolicy::Upgrade;
    world.join("new");
    world.join_classic(&joins_classic("x", &[])).unwrap();
    world.beat(&leaves("new", -1, None)).unwrap();
    assert_eq!(
        (world.downgrade.take(), world.member_ids()),
        (None, vec!["x".to_owned()])
    );
    assert_eq!(
        world.beat_classic("x", 3),
        Err(GroupError::RebalanceInProgress)
    );
    assert_eq!(
        world
            .join_classic(&joins_classic("x", &[]))
            .unwrap()
            .generation,
        4
    );
    assert_eq!(world.sync("x", 4), Ok(orders(&[0, 1, 2, 3])));
}

#[test]
fn subscriptions_of_all_versions_are_read() {
    let mut writer = Writer::versioned(0);
    writer.list(["orders"], |writer, topic| writer.string(topic));
    writer.bytes(b"user data");
    let oldest = Subscription::decode(&writer.finish()).unwrap();
    assert_eq!(
        oldest,
        Subscription {
            topics: vec!["orders".to_owned()],
            ..Subscription::default()
        }
    );
    let mut newer = subscription(&["orders"], &[1, 2]).to_vec();
    newer[1] = 9;
    newer.extend_from_slice(b"fields of a later version");
    let newer = Subscription::decode(&Bytes::from(newer)).unwrap();
    assert_eq!(
        (newer.rack_id.as_deref(), &newer.owned["orders"]),
        (Some("rack"), &vec![1, 2])
    );
}

proptest::proptest! {
    #[test]
    fn no_subscription_or_assignment_makes_reading_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)) {
        let mut versioned = vec![0, 3];
        versioned.extend_from_slice(&bytes);
        for bytes in [Bytes::from(bytes), Bytes::from(versioned)] {
            let _ = Subscription::decode(&bytes);
            let _ = decode_assignment(&bytes, &Topics::default());
        }
    }
}
