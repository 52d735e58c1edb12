//! Statements E1 to E5: joining, epochs, leaving, static members.

use super::*;

#[test]
fn the_first_member_gets_everything_at_once() {
    let mut world = World::new();
    let reply = world.join("a");
    assert_eq!(
        reply,
        ConsumerHeartbeatReply {
            member_id: "a".to_owned(),
            member_epoch: 2,
            heartbeat_interval_ms: 5_000,
            assignment: Some(orders(&[0, 1, 2, 3])),
        }
    );
    assert_eq!(world.group.state(), GroupState::Stable);
}

#[test]
fn a_join_has_to_bring_timeout_subscription_and_no_partitions() {
    let join = || joins("a", &["orders"]);
    let wrong = [
        ConsumerHeartbeat {
            rebalance_timeout_ms: None,
            ..join()
        },
        ConsumerHeartbeat {
            owned: None,
            ..join()
        },
        ConsumerHeartbeat {
            owned: Some(orders(&[1])),
            ..join()
        },
        ConsumerHeartbeat {
            subscribed_topic_names: None,
            ..join()
        },
        ConsumerHeartbeat {
            member_id: String::new(),
            ..join()
        },
        ConsumerHeartbeat {
            instance_id: Some(String::new()),
            ..join()
        },
        ConsumerHeartbeat {
            rack_id: Some(String::new()),
            ..join()
        },
        ConsumerHeartbeat {
            member_epoch: -3,
            ..join()
        },
        leaves("a", -2, None),
    ];
    for request in wrong {
        let result = World::new().beat(&request);
        assert!(
            matches!(result, Err(GroupError::InvalidRequest { .. })),
            "{request:?}: {result:?}"
        );
    }
}

#[test]
fn an_assignor_that_the_broker_lacks_is_refused() {
    let request = ConsumerHeartbeat {
        server_assignor: Some("magic".to_owned()),
        ..joins("a", &["orders"])
    };
    let error = World::new().beat(&request).unwrap_err();
    let text = "ServerAssignor magic is not supported. Supported assignors: uniform, range.";
    assert_eq!(error, GroupError::UnsupportedAssignor(text.to_owned()));
}

#[test]
fn the_assignor_that_most_members_ask_for_is_used() {
    let mut world = World::new();
    world.topics.set("payments", 4);
    let join = |id: &str, assignor: Option<&str>| ConsumerHeartbeat {
        server_assignor: assignor.map(str::to_owned),
        ..joins(id, &["orders", "payments"])
    };
    world.beat(&join("a", None)).unwrap();
    assert_eq!(world.describe().assignor, "uniform");
    world.beat(&join("b", Some("range"))).unwrap();
    assert_eq!(world.describe().assignor, "range");
    let targets = &world.durable().targets;
    let of = |id: &str| targets[id].values().cloned().collect::<Vec<_>>();
    assert_eq!(of("a"), [BTreeSet::from([0, 1]), BTreeSet::from([0, 1])]);
}

#[test]
fn a_first_member_without_topics_gets_an_epoch_too() {
    let mut world = World::new();
    let reply = world.beat(&joins("a", &[])).unwrap();
    assert_eq!(
        (reply.member_epoch, reply.assignment),
        (2, Some(orders(&[])))
    );
    assert_eq!(world.group.state(), GroupState::Stable);
}

#[test]
fn whom_nobody_knows_has_to_join_first() {
    let mut world = World::new();
    world.join("a");
    assert_eq!(world.beat(&alive("b", 1)), Err(GroupError::UnknownMember));
    assert_eq!(
        world.beat(&leaves("b", -1, None)),
        Err(GroupError::UnknownMember)
    );
    let unknown_instance = ConsumerHeartbeat {
        instance_id: Some("i".to_owned()),
        ..alive("a", 1)
    };
    assert_eq!(
        world.beat(&unknown_instance),
        Err(GroupError::UnknownMember)
    );
}

#[test]
fn a_full_group_takes_no_new_member_but_keeps_the_old() {
    let mut world = World::new();
    world.options.consumer.max_size = 1;
    let epoch = world.join("a").member_epoch;
    assert_eq!(
        world.beat(&joins("b", &["orders"])),
        Err(GroupError::GroupMaxSize)
    );
    world.beat(&alive("a", epoch)).unwrap();
    world.beat(&joins("a", &["orders"])).unwrap();
}

#[test]
fn an_epoch_ahead_of_the_known_one_is_fenced() {
    let mut world = World::new();
    let epoch = world.join("a").member_epoch;
    let result = world.beat(&owns("a", epoch + 1, &orders(&[])));
    assert!(matches!(result, Err(GroupError::FencedMemberEpoch(_))));
}

#[test]
fn the_epoch_before_is_taken_only_from_a_member_that_owns_no_more_than_it_has() {
    let mut world = World::new();
    let before = world.join("a").member_epoch;
    let all = orders(&[0, 1, 2, 3]);
    world.topics.set("payments", 1);
    let full = ConsumerHeartbeat {
        member_epoch: before,
        owned: Some(all.clone()),
        ..joins("a", &["orders", "payments"])
    };
    let now = world.beat(&full).unwrap();
    assert_eq!(now.member_epoch, before + 1);
    // The answer was lost: the member comes with the epoch before.
    assert_eq!(
        world.beat(&owns("a", before, &all)).unwrap().member_epoch,
        before + 1
    );
    assert!(matches!(
        world.beat(&alive("a", before)),
        Err(GroupError::FencedMemberEpoch(_))
    ));
    assert!(matches!(
        world.beat(&owns("a", before, &orders(&[7]))),
        Err(GroupError::FencedMemberEpoch(_))
    ));
}

#[test]
fn the_assignment_is_told_when_asked_for_in_full_or_changed_and_else_not() {
    let mut world = World::new();
    let joined = world.join("a");
    let epoch = joined.member_epoch;
    assert_eq!(world.beat(&alive("a", epoch)).unwrap().assignment, None);
    assert_eq!(
        world
            .beat(&owns("a", epoch, &orders(&[0])))
            .unwrap()
            .assignment,
        None
    );
    let full = ConsumerHeartbeat {
        member_epoch: epoch,
        ..joins("a", &["orders"])
    };
    assert_eq!(world.beat(&full).unwrap().assignment, joined.assignment);
    let again = world.beat(&joins("a", &["orders"])).unwrap();
    assert_eq!(
        (again.member_epoch, again.assignment),
        (epoch, joined.assignment)
    );
}

#[test]
fn a_heartbeat_with_nothing_new_stores_nothing() {
    let mut world = World::new();
    let epoch = world.join("a").member_epoch;
    let stored = world.log.len();
    for _ in 0..5 {
        world.pass(5_000);
        world.beat(&alive("a", epoch)).unwrap();
    }
    assert_eq!(world.log.len(), stored);
}

#[test]
fn whoever_leaves_frees_its_partitions_and_the_last_one_empties_the_group() {
    let mut world = World::new();
    world.join("a");
    let epoch = world.join("b").member_epoch;
    world.beat(&owns("a", 2, &orders(&[0, 1]))).unwrap();
    let left = world.beat(&leaves("a", -1, None)).unwrap();
    assert_eq!(
        (
            left.member_epoch,
            left.heartbeat_interval_ms,
            left.assignment
        ),
        (-1, 0, None)
    );
    let reply = world.beat(&owns("b", epoch, &orders(&[]))).unwrap();
    assert_eq!(reply.assignment, Some(orders(&[0, 1, 2, 3])));
    world.beat(&leaves("b", -1, None)).unwrap();
    assert_eq!(world.group.state(), GroupState::Empty);
    assert_eq!(world.group.next_deadline(), None);
    // The next one need not wait for the distance between assignments.
    world.config.assignment_interval_ms = 15_000;
    assert!(world.join("c").assignment.is_some());
}

#[test]
fn a_static_member_away_for_a_while_keeps_its_partitions_for_who_returns() {
    let mut world = World::new();
    let first = world.beat(&joins_static("a", "i")).unwrap();
    world.beat(&leaves("a", -2, Some("i"))).unwrap();
    let group_epoch = world.durable().group_epoch();
    world.pass(44_000);
    let back = world.beat(&joins_static("a2", "i")).unwrap();
    assert_eq!(
        (back.member_epoch, back.assignment),
        (first.member_epoch, first.assignment)
    );
    assert_eq!(
        world.durable().group_epoch(),
        group_epoch,
        "nobody has to rebalance"
    );
    assert_eq!(world.member_ids(), ["a2"]);
    assert_eq!(
        world.beat(&ConsumerHeartbeat {
            instance_id: Some("i".to_owned()),
            ..alive("a", 1)
        }),
        Err(GroupError::FencedInstance)
    );
}

#[test]
fn a_static_member_that_does_not_come_back_in_time_is_removed() {
    let mut world = World::new();
    world.beat(&joins_static("a", "i")).unwrap();
    world.beat(&leaves("a", -2, Some("i"))).unwrap();
    world.pass(45_000);
    assert_eq!(world.group.state(), GroupState::Empty);
}

#[test]
fn a_static_member_that_returns_under_its_own_id_is_watched_like_any_other() {
    let mut world = World::new();
    let first = world.beat(&joins_static("a", "i")).unwrap();
    world.beat(&leaves("a", -2, Some("i"))).unwrap();
    world.pass(10_000);
    let back = world.beat(&joins_static("a", "i")).unwrap();
    assert_eq!(
        (back.member_epoch, back.assignment),
        (first.member_epoch, first.assignment)
    );
    assert_eq!(world.member_ids(), ["a"]);
    world.pass(45_000);
    assert_eq!(world.group.state(), GroupState::Empty);
}

#[test]
fn an_instance_id_in_use_is_not_given_away() {
    let mut world = World::new();
    let epoch = world.beat(&joins_static("a", "i")).unwrap().member_epoch;
    let result = world.beat(&joins_static("b", "i"));
    assert!(
        matches!(result, Err(GroupError::UnreleasedInstance(_))),
        "{result:?}"
    );
    let other = ConsumerHeartbeat {
        instance_id: Some("i".to_owned()),
        ..alive("b", epoch)
    };
    assert_eq!(world.beat(&other), Err(GroupError::FencedInstance));
    assert_eq!(
        world.beat(&leaves("b", -1, Some("i"))),
        Err(GroupError::FencedInstance)
    );
    world.beat(&leaves("a", -1, Some("i"))).unwrap();
    world.beat(&joins_static("b", "i")).unwrap();
}

#[test]
fn a_member_unheard_of_for_a_session_is_removed() {
    let mut world = World::new();
    world.join("a");
    let epoch = world.join("b").member_epoch;
    world.pass(44_999);
    world.beat(&alive("b", epoch)).unwrap();
    world.pass(1);
    assert_eq!(world.member_ids(), ["b"]);
    assert_eq!(world.beat(&alive("a", 1)), Err(GroupError::UnknownMember));
}

#[test]
fn the_groups_own_session_timeout_and_interval_count() {
    let mut world = World::new();
    world.config = ConsumerGroupConfig {
        session_timeout_ms: 60_000,
        heartbeat_interval_ms: 7_000,
        ..world.config
    };
    assert_eq!(world.join("a").heartbeat_interval_ms, 7_000);
    world.pass(59_999);
    assert_eq!(world.group.member_count(), 1);
    world.pass(1);
    assert_eq!(world.group.member_count(), 0);
}

#[test]
fn a_removal_that_cannot_be_stored_is_tried_again() {
    let mut world = World::new();
    world.join("a");
    world.append_fails = true;
    world.pass(45_000);
    assert_eq!(world.group.member_count(), 1);
    world.pass(1_000);
    assert_eq!(world.group.member_count(), 0);
    assert_eq!(world.group.next_deadline(), None);
}

#[test]
fn after_a_restart_members_go_on_without_a_rebalance() {
    let mut world = World::new();
    let epoch = world.join("a").member_epoch;
    let group_epoch = world.durable().group_epoch();
    world.pass(40_000);
    world.restart();
    world.pass(44_999);
    assert_eq!(world.beat(&alive("a", epoch)).unwrap().assignment, None);
    assert_eq!(world.durable().group_epoch(), group_epoch);
    world.restart();
    world.pass(45_000);
    assert_eq!(world.group.member_count(), 0);
}

#[test]
fn a_join_that_could_not_be_stored_leaves_nothing_behind() {
    let mut world = World::new();
    world.append_fails = true;
    assert_eq!(
        world.beat(&joins("a", &["orders"])),
        Err(GroupError::CoordinatorUnavailable)
    );
    assert!(world.group.is_absent());
    assert_eq!(world.join("a").assignment, Some(orders(&[0, 1, 2, 3])));
    let mut world = World::new();
    world.append_fails = true;
    world.beat(&joins("a", &["orders"])).unwrap_err();
    world.pass(60_000);
    assert!(world.group.is_absent() && world.log.is_empty());
}

#[test]
fn a_deleted_group_leaves_no_record() {
    let mut world = World::new();
    world.beat(&joins_static("a", "i")).unwrap();
    let regex = ConsumerHeartbeat {
        subscribed_topic_regex: Some("o.*".to_owned()),
        ..joins("b", &[])
    };
    world.beat(&regex).unwrap();
    for record in world.group.tombstones() {
        replay(&mut world.group, &record);
        world.log.push(record);
    }
    assert!(world.group.is_absent());
    assert_eq!(compacted(&world.log), []);
    assert_eq!(*world.durable(), Durable::default());
}

#[test]
fn an_administrator_sees_members_with_what_they_have_and_shall_have() {
    let mut world = World::new();
    world.join("a");
    world.join("b");
    let described = world.describe();
    assert_eq!(
        (
            described.state,
            described.group_epoch,
            described.assignment_epoch
        ),
        (GroupState::Reconciling, 3, 3)
    );
    let topic = |partitions: &[i32]| {
        vec![AssignedTopic {
            id: Uuid::from_u128(1),
            name: "orders".to_owned(),
            partitions: partitions.to_vec(),
        }]
    };
    assert_eq!(described.members[0].assignment, topic(&[0, 1, 2, 3]));
    assert_eq!(described.members[0].target, topic(&[0, 1]));
    assert_eq!(
        (
            &described.members[1].assignment,
            &described.members[1].target
        ),
        (&vec![], &topic(&[2, 3]))
    );
    assert_eq!(described.members[1].member_epoch, 3);
    assert!(!described.members[0].is_classic);
}
