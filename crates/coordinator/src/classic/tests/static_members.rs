use bytes::Bytes;

use crate::GroupError;
use crate::event::{HeartbeatRequest, JoinRequest};
use crate::testing::*;

/// A stable group of static members pod-0 and pod-1; their ids, the leader first, with the instance ids.
fn two_pods(world: &mut World) -> [(String, &'static str); 2] {
    let pods = ["pod-0", "pod-1"];
    let tickets = pods.map(|pod| world.join(joining_static("", pod)));
    world.advance(6_000);
    let replies = tickets.map(|ticket| world.joined(ticket));
    let leader = replies[0].leader.clone();
    let mut members = [0, 1].map(|at| (replies[at].member_id.clone(), pods[at]));
    if members[0].0 != leader {
        members.swap(0, 1);
    }
    world.sync(&members[1].0, 1, &[]);
    world.sync(
        &members[0].0,
        1,
        &[(&members[0].0, b"L"), (&members[1].0, b"F")],
    );
    assert_eq!(world.state(), "Stable");
    members
}

fn heartbeat(world: &mut World, member_id: &str, instance_id: &str) -> Result<(), GroupError> {
    world.heartbeat_as(HeartbeatRequest {
        group_id: GROUP.to_owned(),
        generation: 1,
        member_id: member_id.to_owned(),
        group_instance_id: Some(instance_id.to_owned()),
    })
}

#[test]
fn a_static_member_needs_no_second_join_to_learn_its_id() {
    let mut world = World::new();
    let ticket = world.join(joining_static("", "pod-0"));
    world.advance(3_000);
    let reply = world.joined(ticket);
    assert!(reply.member_id.starts_with("pod-0-"));
    assert_eq!(reply.members[0].group_instance_id.as_deref(), Some("pod-0"));
}

#[test]
fn a_static_follower_that_comes_back_keeps_its_assignment_without_a_rebalance() {
    let mut world = World::new();
    let [(leader, _), (old, pod)] = two_pods(&mut world);
    let ticket = world.join(joining_static("", pod));
    let reply = world.joined(ticket);
    assert_eq!(reply.generation, 1);
    assert_ne!(reply.member_id, old);
    assert_eq!((reply.leader, reply.skip_assignment), (leader, false));
    let ticket = world.sync(&reply.member_id, 1, &[]);
    assert_eq!(world.sync_result(ticket).unwrap(), b"F".as_slice());
    assert_eq!(world.state(), "Stable");
    assert_eq!(
        heartbeat(&mut world, &old, pod),
        Err(GroupError::FencedInstance)
    );
    assert_eq!(world.heartbeat(&old, 1), Err(GroupError::UnknownMember));
    let ids: Vec<_> = world
        .stored()
        .unwrap()
        .members
        .into_iter()
        .map(|m| m.member_id)
        .collect();
    assert!(ids.contains(&reply.member_id) && !ids.contains(&old));
}

#[test]
fn a_static_leader_that_comes_back_is_told_to_skip_the_assignment() {
    let mut world = World::new();
    let [(old, pod), _] = two_pods(&mut world);
    let ticket = world.join(joining_static("", pod));
    let reply = world.joined(ticket);
    assert!(reply.skip_assignment);
    assert_eq!(reply.leader, reply.member_id);
    assert_eq!(reply.members.len(), 2);
    assert_ne!(reply.member_id, old);
}

#[test]
fn a_static_leader_of_an_older_client_is_told_the_old_leaders_id_so_that_it_does_not_assign() {
    let mut world = World::new();
    let [(old, pod), _] = two_pods(&mut world);
    let ticket = world.join(JoinRequest {
        supports_skipping_assignment: false,
        ..joining_static("", pod)
    });
    let reply = world.joined(ticket);
    assert_eq!((reply.leader, reply.skip_assignment), (old, false));
    assert_eq!(reply.members, []);
    let ticket = world.sync(&reply.member_id, 1, &[]);
    assert_eq!(world.sync_result(ticket).unwrap(), b"L".as_slice());
}

#[test]
fn a_static_member_that_comes_back_with_another_choice_of_protocol_makes_the_group_rebalance() {
    let mut world = World::new();
    let [_, (_, pod)] = two_pods(&mut world);
    let ticket = world.join(JoinRequest {
        protocols: vec![("roundrobin".to_owned(), Bytes::new())],
        ..joining_static("", pod)
    });
    assert!(world.is_waiting(ticket));
    assert_eq!(world.state(), "PreparingRebalance");
}

#[test]
fn a_static_member_that_comes_back_while_the_leader_assigns_begins_the_rebalance_anew() {
    let mut world = World::new();
    let tickets = ["pod-0", "pod-1"].map(|pod| world.join(joining_static("", pod)));
    world.advance(6_000);
    let replies = tickets.map(|ticket| world.joined(ticket));
    let follower = usize::from(replies[0].member_id == replies[0].leader);
    let waiting = world.sync(&replies[follower].member_id, 1, &[]);
    let pod = ["pod-0", "pod-1"][follower];
    let ticket = world.join(joining_static("", pod));
    assert_eq!(world.sync_result(waiting), Err(GroupError::FencedInstance));
    assert!(world.is_waiting(ticket));
    assert_eq!(world.state(), "PreparingRebalance");
}

#[test]
fn a_waiting_join_of_the_same_instance_is_fenced_by_the_next() {
    let mut world = World::new();
    let first = world.join(joining_static("", "pod-0"));
    let second = world.join(joining_static("", "pod-0"));
    assert_eq!(world.join_error(first), GroupError::FencedInstance);
    world.advance(3_000);
    assert_eq!(world.joined(second).members.len(), 1);
}

#[test]
fn an_instance_id_with_a_foreign_member_id_is_fenced_and_an_unknown_one_refused() {
    let mut world = World::new();
    let [(leader, _), (_, follower_pod)] = two_pods(&mut world);
    let ticket = world.join(joining_static(&leader, follower_pod));
    assert_eq!(world.join_error(ticket), GroupError::FencedInstance);
    let ticket = world.join(joining_static(&leader, "pod-9"));
    assert_eq!(world.join_error(ticket), GroupError::UnknownMember);
}

#[test]
fn static_members_that_do_not_rejoin_keep_their_place_until_their_session_ends() {
    let mut world = World::new();
    let [(leader, pod), (follower, follower_pod)] = two_pods(&mut world);
    let ticket = world.join(JoinRequest {
        rebalance_timeout_ms: 10_000,
        ..joining_static(&leader, pod)
    });
    for _ in 0..30 {
        world.advance(2_000);
        let _ = heartbeat(&mut world, &follower, follower_pod);
    }
    assert_eq!(world.joined(ticket).members.len(), 2);
}

#[test]
fn a_group_of_static_members_that_all_stay_away_waits_for_their_sessions() {
    let mut world = World::new();
    let members = two_pods(&mut world);
    let ticket = world.join(joining_static(&members[0].0, members[0].1));
    world.leave(&[("", Some(members[0].1))]);
    assert_eq!(world.join_error(ticket), GroupError::UnknownMember);
    world.advance(44_000);
    assert_eq!(world.state(), "PreparingRebalance");
    world.advance(1_000);
    assert_eq!(world.state(), "Empty");
}

#[test]
fn a_replacement_that_cannot_be_stored_leaves_the_old_member_in_place() {
    let mut world = World::new();
    let [(old, pod), _] = two_pods(&mut world);
    let before = world.stored();
    world.broken = Some(GroupError::CoordinatorUnavailable);
    let ticket = world.join(joining_static("", pod));
    assert_eq!(world.join_error(ticket), GroupError::CoordinatorUnavailable);
    world.broken = None;
    assert_eq!(world.stored(), before);
    assert_eq!(heartbeat(&mut world, &old, pod), Ok(()));
    let ticket = world.sync(&old, 1, &[]);
    assert_eq!(world.sync_result(ticket).unwrap(), b"L".as_slice());
    assert_eq!(world.state(), "Stable");
}
