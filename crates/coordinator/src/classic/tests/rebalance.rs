use crate::EndedRebalance;
use crate::GroupError;
use crate::GroupOptions;
use crate::RebalanceReason;
use crate::event::JoinRequest;
use crate::testing::*;

fn at_once(rebalance_timeout_ms: i32) -> JoinRequest {
    JoinRequest {
        requires_known_member_id: false,
        rebalance_timeout_ms,
        ..joining("")
    }
}

#[test]
fn an_empty_group_waits_the_initial_delay_for_more_members() {
    let mut world = World::new();
    let ticket = world.join(at_once(60_000));
    world.advance(2_999);
    assert!(world.is_waiting(ticket));
    world.advance(1);
    assert_eq!(world.joined(ticket).generation, 1);
}

#[test]
fn members_that_come_meanwhile_extend_the_initial_delay_up_to_the_rebalance_timeout() {
    let mut world = World::new();
    let first = world.join(at_once(7_000));
    for _ in 0..2 {
        world.advance(2_500);
        world.join(at_once(7_000));
        assert!(world.is_waiting(first));
    }
    world.advance(1_999);
    assert!(world.is_waiting(first), "7 s are not over");
    world.advance(1);
    assert_eq!(world.joined(first).members.len(), 3);
}

#[test]
fn without_an_initial_delay_the_first_member_is_alone_in_the_first_generation() {
    let mut world = World::with(GroupOptions {
        initial_rebalance_delay_ms: 0,
        ..GroupOptions::default()
    });
    let ticket = world.join(at_once(60_000));
    world.advance(0);
    assert_eq!(world.joined(ticket).generation, 1);
}

#[test]
fn the_barrier_falls_as_soon_as_all_members_have_rejoined() {
    let mut world = World::new();
    let (ids, generation) = world.stable(3);
    let tickets: Vec<_> = ids.iter().map(|id| world.join(joining(id))).collect();
    for ticket in tickets {
        assert_eq!(world.joined(ticket).generation, generation + 1);
    }
}

#[test]
fn a_member_that_does_not_rejoin_holds_the_barrier_for_the_slowest_rebalance_timeout_and_is_dropped()
 {
    let mut world = World::new();
    let first = world.join(at_once(20_000));
    let second = world.join(at_once(30_000));
    world.advance(6_000);
    let [one, two] = [first, second].map(|ticket| world.joined(ticket));
    world.sync(&one.member_id, 1, &[]);
    world.sync(&two.member_id, 1, &[]);
    let leader = one.leader.clone();
    let ticket = world.join(JoinRequest {
        rebalance_timeout_ms: 20_000,
        ..joining(&leader)
    });
    let (lagging, barrier_ms) = if leader == one.member_id {
        (two.member_id, 30_000)
    } else {
        (one.member_id, 20_000)
    };
    world.advance(barrier_ms - 1);
    assert_eq!(
        world.heartbeat(&lagging, 1),
        Err(GroupError::RebalanceInProgress)
    );
    assert!(world.is_waiting(ticket));
    world.advance(1);
    assert_eq!(world.joined(ticket).members.len(), 1);
    assert_eq!(world.heartbeat(&lagging, 2), Err(GroupError::UnknownMember));
}

#[test]
fn when_the_leader_does_not_rejoin_another_takes_its_place() {
    let mut world = World::new();
    let (ids, _) = world.stable(2);
    let ticket = world.join(JoinRequest {
        protocols: vec![("range".to_owned(), subscription(&["payments"]))],
        ..joining(&ids[1])
    });
    world.advance(60_000);
    let reply = world.joined(ticket);
    assert_eq!(reply.leader, ids[1]);
    assert_eq!(reply.members.len(), 1);
}

#[test]
fn an_id_given_out_holds_the_barrier_too() {
    let mut world = World::new();
    let (ids, _) = world.stable(1);
    let coming = world.new_member_id();
    let ticket = world.join(joining(&ids[0]));
    assert!(world.is_waiting(ticket));
    let other = world.join(joining(&coming));
    assert_eq!(
        world.joined(ticket).generation,
        world.joined(other).generation
    );
}

#[test]
fn a_new_member_waits_at_most_five_minutes_however_long_the_barrier_stands() {
    let mut world = World::new();
    let first = world.join(at_once(3_600_000));
    world.advance(3_000);
    let member = world.joined(first).member_id;
    world.sync(&member, 1, &[]);
    let second = world.join(at_once(3_600_000));
    for _ in 0..300 {
        assert!(world.is_waiting(second));
        world.advance(1_000);
        let _ = world.heartbeat(&member, 1);
    }
    assert_eq!(world.join_error(second), GroupError::UnknownMember);
}

#[test]
fn a_member_whose_session_ends_is_removed_and_the_others_rebalance() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    for _ in 0..44 {
        world.advance(1_000);
        assert_eq!(world.heartbeat(&ids[0], generation), Ok(()));
    }
    world.advance(1_000);
    assert_eq!(
        world.heartbeat(&ids[0], generation),
        Err(GroupError::RebalanceInProgress)
    );
    assert_eq!(
        world.heartbeat(&ids[1], generation),
        Err(GroupError::UnknownMember)
    );
    let ticket = world.join(joining(&ids[0]));
    assert_eq!(world.joined(ticket).members.len(), 1);
}

#[test]
fn a_group_whose_members_all_vanish_is_empty_in_the_next_generation_and_says_so_in_the_log() {
    let mut world = World::new();
    let (_, generation) = world.stable(3);
    world.advance(45_000);
    let stored = world.stored().unwrap();
    assert_eq!(stored.generation, generation + 1);
    assert_eq!(
        (stored.members, stored.leader, stored.protocol),
        (vec![], None, None)
    );
    assert_eq!(stored.protocol_type, "consumer");
    assert_eq!(world.state(), "Empty");
}

#[test]
fn that_the_group_is_empty_may_fail_to_be_stored_and_it_is_empty_all_the_same() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    world.broken = Some(GroupError::CoordinatorUnavailable);
    world.advance(45_000);
    assert_eq!(world.state(), "Empty");
    assert_eq!(world.stored().unwrap().members.len(), 1);
    world.broken = None;
    assert_eq!(
        world.heartbeat(&ids[0], generation),
        Err(GroupError::UnknownMember)
    );
    let (_, generation_after) = world.stable(1);
    assert_eq!(generation_after, generation + 2);
}

#[test]
fn members_that_wait_for_us_are_not_expected_to_heartbeat() {
    let mut world = World::new();
    let (ids, _) = world.stable(2);
    let ticket = world.join(joining(&ids[0]));
    for _ in 0..59 {
        world.advance(1_000);
        let _ = world.heartbeat(&ids[1], 1);
    }
    assert!(world.is_waiting(ticket), "longer than its session of 45 s");
    world.join(joining(&ids[1]));
    assert_eq!(world.joined(ticket).generation, 2);
}

#[test]
fn a_heartbeat_that_finds_a_rebalance_keeps_the_session_alive() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    world.advance(40_000);
    world.heartbeat(&ids[0], generation).unwrap();
    world.join(joining(&ids[0]));
    assert_eq!(
        world.heartbeat(&ids[1], generation),
        Err(GroupError::RebalanceInProgress)
    );
    world.advance(40_000);
    assert_eq!(
        world.heartbeat(&ids[1], generation),
        Err(GroupError::RebalanceInProgress)
    );
}

#[test]
fn heartbeats_of_strangers_and_of_other_generations_are_refused() {
    let mut world = World::new();
    assert_eq!(world.heartbeat("nobody", 1), Err(GroupError::UnknownMember));
    let (ids, generation) = world.stable(1);
    assert_eq!(
        world.heartbeat("nobody", generation),
        Err(GroupError::UnknownMember)
    );
    for other in [generation - 1, generation + 1, -1] {
        assert_eq!(
            world.heartbeat(&ids[0], other),
            Err(GroupError::IllegalGeneration)
        );
    }
    world.leave(&[(&ids[0], None)]);
    assert_eq!(
        world.heartbeat(&ids[0], generation),
        Err(GroupError::UnknownMember)
    );
}

#[test]
fn rebalances_are_counted_by_reason_and_timed() {
    let mut world = World::new();
    let (ids, _) = world.stable(1);
    world.join(joining(&ids[0]));
    let stats = world.shard.stats();
    let count = |reason| {
        let position = RebalanceReason::ALL.iter().position(|r| *r == reason);
        stats.rebalances[position.unwrap()]
    };
    assert_eq!(count(RebalanceReason::MemberJoined), 1);
    assert_eq!(count(RebalanceReason::MemberRejoined), 1);
    let ended = EndedRebalance {
        group_type: "classic",
        reason: "member_joined",
        duration_ms: 3_000,
    };
    assert_eq!(world.shard.take_ended_rebalances(), [ended]);
    assert_eq!(stats.groups, [("classic", "CompletingRebalance", 1)]);
    assert_eq!(stats.members, 1);
}
