use crate::GroupError;
use crate::Ticket;
use crate::event::{Event, SyncRequest};
use crate::testing::*;

/// Two members that know their generation, the leader first.
fn completing(world: &mut World) -> [String; 2] {
    let ids = [world.new_member_id(), world.new_member_id()];
    let tickets = ids.each_ref().map(|id| world.join(joining(id)));
    world.advance(6_000);
    let leader = world.joined(tickets[0]).leader;
    let [one, two] = ids;
    if one == leader {
        [one, two]
    } else {
        [two, one]
    }
}

fn sync_as(world: &mut World, request: SyncRequest) -> Ticket {
    world.send(|ticket| Event::Sync(ticket, request))
}

#[test]
fn followers_wait_for_the_leader_and_all_get_what_it_gave_them() {
    let mut world = World::new();
    let [leader, follower] = completing(&mut world);
    let waiting = world.sync(&follower, 1, &[]);
    assert!(world.is_waiting(waiting));
    let ticket = world.sync(&leader, 1, &[(&leader, b"L"), (&follower, b"F")]);
    assert_eq!(world.sync_result(ticket).unwrap(), b"L".as_slice());
    assert_eq!(world.sync_result(waiting).unwrap(), b"F".as_slice());
    assert_eq!(world.state(), "Stable");
    let late = world.sync(&follower, 1, &[]);
    assert_eq!(world.sync_result(late).unwrap(), b"F".as_slice());
}

#[test]
fn the_record_at_the_end_of_a_rebalance_holds_members_subscriptions_and_assignments() {
    let mut world = World::new();
    let [leader, follower] = completing(&mut world);
    let entered_ms = world.now_ms;
    world.advance(500);
    world.sync(&leader, 1, &[(&leader, b"L"), ("a stranger", b"S")]);
    let stored = world.stored().unwrap();
    assert_eq!(stored.generation, 1);
    assert_eq!(stored.protocol.as_deref(), Some("range"));
    assert_eq!(stored.leader.as_ref(), Some(&leader));
    assert!(stored.state_timestamp_ms <= entered_ms);
    assert_eq!(stored.members.len(), 2);
    for member in stored.members {
        let expected: &[u8] = if member.member_id == leader {
            b"L"
        } else {
            b""
        };
        assert_eq!(member.assignment, expected);
        assert_eq!(member.subscription, subscription(&["orders"]));
        assert_eq!(member.client_host, "/10.0.0.1");
        assert_eq!(
            (member.rebalance_timeout_ms, member.session_timeout_ms),
            (60_000, 45_000)
        );
    }
    let ticket = world.sync(&follower, 1, &[]);
    assert_eq!(world.sync_result(ticket).unwrap(), b"".as_slice());
}

#[test]
fn strangers_other_generations_and_other_protocols_are_refused() {
    let mut world = World::new();
    let ticket = world.sync("nobody", 1, &[]);
    assert_eq!(world.sync_result(ticket), Err(GroupError::UnknownMember));
    let [leader, _] = completing(&mut world);
    let cases = [
        (syncing("nobody", 1), GroupError::UnknownMember),
        (syncing(&leader, 2), GroupError::IllegalGeneration),
        (
            SyncRequest {
                protocol_type: Some("connect".to_owned()),
                ..syncing(&leader, 1)
            },
            GroupError::InconsistentProtocol,
        ),
        (
            SyncRequest {
                protocol_name: Some("roundrobin".to_owned()),
                ..syncing(&leader, 1)
            },
            GroupError::InconsistentProtocol,
        ),
    ];
    for (request, expected) in cases {
        let ticket = sync_as(&mut world, request);
        assert_eq!(world.sync_result(ticket), Err(expected));
    }
    let right = SyncRequest {
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        ..syncing(&leader, 1)
    };
    let ticket = sync_as(&mut world, right);
    assert!(world.sync_result(ticket).is_ok());
}

#[test]
fn who_syncs_while_members_are_joining_is_sent_to_join_too() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    world.join(joining(&ids[0]));
    let ticket = world.sync(&ids[1], generation, &[]);
    assert_eq!(
        world.sync_result(ticket),
        Err(GroupError::RebalanceInProgress)
    );
}

#[test]
fn members_that_never_sync_are_removed_after_the_rebalance_timeout() {
    let mut world = World::new();
    let [leader, follower] = completing(&mut world);
    world.sync(&leader, 1, &[(&leader, b"L")]);
    for _ in 0..5 {
        world.advance(11_000);
        world.heartbeat(&leader, 1).unwrap();
        world.heartbeat(&follower, 1).unwrap();
    }
    world.advance(5_000);
    assert_eq!(
        world.heartbeat(&follower, 1),
        Err(GroupError::UnknownMember)
    );
    assert_eq!(
        world.heartbeat(&leader, 1),
        Err(GroupError::RebalanceInProgress)
    );
}

#[test]
fn a_leader_that_never_syncs_does_not_keep_the_others_waiting_for_ever() {
    let mut world = World::new();
    let [leader, follower] = completing(&mut world);
    let waiting = world.sync(&follower, 1, &[]);
    world.advance(60_000);
    assert_eq!(
        world.sync_result(waiting),
        Err(GroupError::RebalanceInProgress)
    );
    assert_eq!(world.heartbeat(&leader, 1), Err(GroupError::UnknownMember));
    let ticket = world.join(joining(&follower));
    assert_eq!(world.joined(ticket).leader, follower);
}

#[test]
fn an_assignment_that_cannot_be_stored_is_nobodys_and_all_join_again() {
    let mut world = World::new();
    let [leader, follower] = completing(&mut world);
    let waiting = world.sync(&follower, 1, &[]);
    world.broken = Some(GroupError::NotCoordinator);
    let ticket = world.sync(&leader, 1, &[(&leader, b"L"), (&follower, b"F")]);
    assert_eq!(world.sync_result(ticket), Err(GroupError::NotCoordinator));
    assert_eq!(world.sync_result(waiting), Err(GroupError::NotCoordinator));
    assert_eq!(world.state(), "PreparingRebalance");
    world.broken = None;
    let tickets = [&leader, &follower].map(|id| world.join(joining(id)));
    assert_eq!(world.joined(tickets[0]).generation, 2);
}

#[test]
fn a_second_sync_of_a_waiting_member_takes_the_place_of_the_first() {
    let mut world = World::new();
    let [leader, follower] = completing(&mut world);
    let first = world.sync(&follower, 1, &[]);
    let second = world.sync(&follower, 1, &[]);
    assert_eq!(
        world.sync_result(first),
        Err(GroupError::RebalanceInProgress)
    );
    world.sync(&leader, 1, &[(&follower, b"F")]);
    assert_eq!(world.sync_result(second).unwrap(), b"F".as_slice());
}
