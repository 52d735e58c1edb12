use bytes::Bytes;

use crate::GroupError;
use crate::GroupOptions;
use crate::event::JoinRequest;
use crate::testing::*;

#[test]
fn an_empty_group_id_is_refused() {
    let mut world = World::new();
    let ticket = world.join(JoinRequest {
        group_id: String::new(),
        ..joining("")
    });
    assert_eq!(world.join_error(ticket), GroupError::InvalidGroupId);
    assert_eq!(world.log, []);
}

#[test]
fn a_session_timeout_outside_the_brokers_range_is_refused() {
    let mut world = World::new();
    for session_timeout_ms in [5_999, 1_800_001, -1] {
        let ticket = world.join(JoinRequest {
            session_timeout_ms,
            ..joining("")
        });
        let expected = GroupError::InvalidSession { session_timeout_ms };
        assert_eq!(world.join_error(ticket), expected);
    }
}

#[test]
fn a_new_dynamic_member_is_told_its_id_and_comes_again_with_it() {
    let mut world = World::new();
    let member_id = world.new_member_id();
    assert!(member_id.starts_with("client-"), "{member_id}");
    assert_eq!(world.state(), "Empty");
    let ticket = world.join(joining(&member_id));
    assert!(world.is_waiting(ticket));
    world.advance(3_000);
    assert_eq!(world.joined(ticket).member_id, member_id);
}

#[test]
fn a_client_before_kip_394_is_a_member_at_once() {
    let mut world = World::new();
    let ticket = world.join(JoinRequest {
        requires_known_member_id: false,
        ..joining("")
    });
    world.advance(3_000);
    let reply = world.joined(ticket);
    assert!(reply.member_id.starts_with("client-"));
    assert_eq!(reply.leader, reply.member_id);
}

#[test]
fn an_id_that_nobody_joins_with_lapses_after_the_session_timeout() {
    let mut world = World::new();
    let member_id = world.new_member_id();
    world.advance(44_999);
    let id_of_another = world.new_member_id();
    world.advance(1);
    let ticket = world.join(joining(&member_id));
    assert_eq!(world.join_error(ticket), GroupError::UnknownMember);
    let ticket = world.join(joining(&id_of_another));
    assert!(world.is_waiting(ticket));
}

#[test]
fn an_id_that_the_group_does_not_know_is_refused_and_makes_no_group() {
    let mut world = World::new();
    let ticket = world.join(joining("made-up"));
    assert_eq!(world.join_error(ticket), GroupError::UnknownMember);
    assert_eq!(world.state(), "absent");
    world.stable(1);
    let ticket = world.join(joining("made-up"));
    assert_eq!(world.join_error(ticket), GroupError::UnknownMember);
}

#[test]
fn the_first_to_come_makes_the_group_exist_in_the_log() {
    let mut world = World::new();
    world.new_member_id();
    let stored = world.stored().unwrap();
    assert_eq!((stored.generation, stored.protocol_type.as_str()), (0, ""));
    assert_eq!(stored.state_timestamp_ms, world.now_ms);
    world.new_member_id();
    assert_eq!(
        world.log.len(),
        1,
        "an existing group is not recorded again"
    );
}

#[test]
fn no_protocols_or_no_type_is_refused_and_leaves_nothing_behind() {
    let mut world = World::new();
    let no_protocols = JoinRequest {
        protocols: Vec::new(),
        ..joining("")
    };
    let no_type = JoinRequest {
        protocol_type: String::new(),
        ..joining("")
    };
    for request in [no_protocols, no_type] {
        let ticket = world.join(request);
        assert_eq!(world.join_error(ticket), GroupError::InconsistentProtocol);
    }
    assert_eq!(world.state(), "absent");
    assert_eq!(world.log, []);
}

#[test]
fn another_type_or_no_common_protocol_is_refused() {
    let mut world = World::new();
    world.stable(1);
    let another_type = JoinRequest {
        protocol_type: "connect".to_owned(),
        ..joining("")
    };
    let nothing_in_common = JoinRequest {
        protocols: vec![("sticky".to_owned(), Bytes::new())],
        ..joining("")
    };
    for request in [another_type, nothing_in_common] {
        let ticket = world.join(request);
        assert_eq!(world.join_error(ticket), GroupError::InconsistentProtocol);
    }
    assert_eq!(world.state(), "Stable");
}

#[test]
fn an_empty_group_takes_members_of_another_type() {
    let mut world = World::new();
    let (ids, _) = world.stable(1);
    world.leave(&[(&ids[0], None)]);
    let ticket = world.join(JoinRequest {
        protocol_type: "connect".to_owned(),
        protocols: vec![("default".to_owned(), Bytes::from_static(b"opaque"))],
        requires_known_member_id: false,
        ..joining("")
    });
    world.advance(3_000);
    let reply = world.joined(ticket);
    assert_eq!(reply.protocol_type.as_deref(), Some("connect"));
    assert_eq!(reply.members[0].metadata, b"opaque".as_slice());
}

#[test]
fn a_full_group_refuses_the_next() {
    let mut world = World::with(GroupOptions {
        max_size: 2,
        ..GroupOptions::default()
    });
    let (ids, generation) = world.stable(2);
    let ticket = world.join(joining(""));
    assert_eq!(world.join_error(ticket), GroupError::GroupMaxSize);
    assert_eq!(world.heartbeat(&ids[0], generation), Ok(()));
}

#[test]
fn in_a_rebalance_the_last_to_rejoin_is_left_out_when_the_group_is_full() {
    let mut world = World::new();
    let (ids, _) = world.stable(3);
    world.options.max_size = 2;
    world.shard.set_options(world.options.clone());
    let tickets: Vec<_> = ids.iter().map(|id| world.join(joining(id))).collect();
    assert_eq!(world.join_error(tickets[2]), GroupError::GroupMaxSize);
    assert_eq!(world.joined(tickets[0]).members.len(), 2);
}

#[test]
fn only_the_leader_is_told_the_members() {
    let mut world = World::new();
    let ids = [world.new_member_id(), world.new_member_id()];
    let tickets = ids.each_ref().map(|id| world.join(joining(id)));
    world.advance(6_000);
    for ticket in tickets {
        let reply = world.joined(ticket);
        let expected = if reply.leader == reply.member_id {
            2
        } else {
            0
        };
        assert_eq!(reply.members.len(), expected);
        assert!(!reply.skip_assignment);
    }
}

#[test]
fn most_votes_among_the_protocols_that_all_speak_decide() {
    let mut world = World::new();
    let speaking = |protocols: &[&str]| JoinRequest {
        protocols: protocols
            .iter()
            .map(|name| ((*name).to_owned(), Bytes::new()))
            .collect(),
        requires_known_member_id: false,
        ..joining("")
    };
    let requests = [
        speaking(&["only-mine", "sticky", "range"]),
        speaking(&["range", "sticky"]),
        speaking(&["range", "sticky", "range"]),
    ];
    let tickets = requests.map(|request| world.join(request));
    world.advance(10_000);
    for ticket in tickets {
        let protocol = world.joined(ticket).protocol_name;
        assert_eq!(protocol.as_deref(), Some("range"));
    }
}

#[test]
fn a_follower_that_rejoins_a_stable_group_unchanged_is_told_the_generation() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    let ticket = world.join(joining(&ids[1]));
    let reply = world.joined(ticket);
    assert_eq!(
        (reply.generation, reply.leader),
        (generation, ids[0].clone())
    );
    assert_eq!(reply.members, []);
    assert_eq!(world.state(), "Stable");
}

#[test]
fn a_follower_that_rejoins_a_stable_group_with_other_metadata_makes_it_rebalance() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    let ticket = world.join(JoinRequest {
        protocols: vec![("range".to_owned(), subscription(&["payments"]))],
        ..joining(&ids[1])
    });
    assert!(world.is_waiting(ticket));
    assert_eq!(
        world.heartbeat(&ids[0], generation),
        Err(GroupError::RebalanceInProgress)
    );
}

#[test]
fn a_leader_that_rejoins_a_stable_group_always_makes_it_rebalance() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    let ticket = world.join(joining(&ids[0]));
    let reply = world.joined(ticket);
    assert_eq!(reply.generation, generation + 1);
    assert_eq!(world.state(), "CompletingRebalance");
}

#[test]
fn a_member_that_missed_the_answer_gets_it_again_while_the_leader_assigns() {
    let mut world = World::new();
    let ids = [world.new_member_id(), world.new_member_id()];
    let tickets = ids.each_ref().map(|id| world.join(joining(id)));
    world.advance(6_000);
    let first = world.joined(tickets[0]);
    let leader = first.leader.clone();
    for id in &ids {
        let ticket = world.join(joining(id));
        let again = world.joined(ticket);
        assert_eq!(again.generation, first.generation);
        assert_eq!(again.members.len(), if *id == leader { 2 } else { 0 });
    }
}

#[test]
fn other_metadata_while_the_leader_assigns_begins_anew_and_sends_back_those_that_wait() {
    let mut world = World::new();
    let ids = [world.new_member_id(), world.new_member_id()];
    let tickets = ids.each_ref().map(|id| world.join(joining(id)));
    world.advance(6_000);
    let reply = world.joined(tickets[0]);
    let follower = ids.iter().find(|id| **id != reply.leader).unwrap();
    let waiting = world.sync(follower, reply.generation, &[]);
    assert!(world.is_waiting(waiting));
    world.join(JoinRequest {
        protocols: vec![("range".to_owned(), Bytes::new())],
        ..joining(&reply.leader)
    });
    assert_eq!(
        world.sync_result(waiting),
        Err(GroupError::RebalanceInProgress)
    );
    assert_eq!(world.state(), "PreparingRebalance");
}

#[test]
fn a_second_join_of_a_waiting_member_takes_the_place_of_the_first() {
    let mut world = World::new();
    let member_id = world.new_member_id();
    let first = world.join(joining(&member_id));
    let second = world.join(joining(&member_id));
    assert_eq!(world.join_error(first), GroupError::RebalanceInProgress);
    world.advance(3_000);
    assert_eq!(world.joined(second).member_id, member_id);
}

#[test]
fn a_group_that_cannot_be_stored_is_forgotten_and_the_member_told() {
    let mut world = World::new();
    world.broken = Some(GroupError::CoordinatorUnavailable);
    let asks_for_id = world.join(joining(""));
    let waits = world.join(JoinRequest {
        requires_known_member_id: false,
        ..joining("")
    });
    for ticket in [asks_for_id, waits] {
        assert_eq!(world.join_error(ticket), GroupError::CoordinatorUnavailable);
    }
    assert_eq!(world.state(), "absent");
    assert_eq!(world.shard.next_deadline(), None);
    world.broken = None;
    world.stable(2);
}
