use crate::event::{Event, LeaveRequest, Reply};
use crate::testing::*;
use crate::{GroupError, GroupOptions};

#[test]
fn a_member_that_leaves_makes_the_others_rebalance() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    assert_eq!(world.leave(&[(&ids[1], None)]), [Ok(())]);
    assert_eq!(
        world.heartbeat(&ids[0], generation),
        Err(GroupError::RebalanceInProgress)
    );
}

#[test]
fn the_last_to_leave_leaves_an_empty_group_in_the_next_generation() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    assert_eq!(world.leave(&[(&ids[0], None)]), [Ok(())]);
    let stored = world.stored().unwrap();
    assert_eq!(
        (stored.generation, stored.members.len()),
        (generation + 1, 0)
    );
    assert_eq!(world.state(), "Empty");
}

#[test]
fn each_member_named_has_its_own_result() {
    let mut world = World::new();
    let (ids, _) = world.stable(2);
    let pending = world.new_member_id();
    let results = world.leave(&[
        ("nobody", None),
        (&ids[0], None),
        (&pending, None),
        ("", Some("no such instance")),
        ("", None),
        (&ids[1], Some("not its instance")),
    ]);
    let unknown = Err(GroupError::UnknownMember);
    let expected = [
        unknown.clone(),
        Ok(()),
        Ok(()),
        unknown.clone(),
        unknown.clone(),
        unknown,
    ];
    assert_eq!(results, expected);
}

#[test]
fn an_administrator_removes_a_static_member_by_its_instance_id() {
    let mut world = World::with(GroupOptions {
        initial_rebalance_delay_ms: 0,
        ..GroupOptions::default()
    });
    let ticket = world.join(joining_static("", "pod-0"));
    world.advance(0);
    world.joined(ticket);
    assert_eq!(world.leave(&[("", Some("pod-0"))]), [Ok(())]);
    assert_eq!(world.state(), "Empty");
}

#[test]
fn leaving_under_an_instance_id_that_another_holds_is_fenced() {
    let mut world = World::new();
    let ticket = world.join(joining_static("", "pod-0"));
    world.advance(3_000);
    world.joined(ticket);
    let results = world.leave(&[("an older id", Some("pod-0"))]);
    assert_eq!(results, [Err(GroupError::FencedInstance)]);
}

#[test]
fn nobody_leaves_a_group_that_is_not_there() {
    let mut world = World::new();
    assert_eq!(
        world.leave(&[("a", None), ("b", None)]),
        [
            Err(GroupError::UnknownMember),
            Err(GroupError::UnknownMember)
        ]
    );
    let request = LeaveRequest {
        group_id: String::new(),
        members: Vec::new(),
    };
    let ticket = world.send(|ticket| Event::Leave(ticket, request));
    let expected = Reply::Leave(Err(GroupError::InvalidGroupId));
    assert_eq!(world.answers[&ticket], expected);
}

#[test]
fn a_member_that_leaves_while_its_join_waits_gets_both_answers() {
    let mut world = World::new();
    let (ids, _) = world.stable(2);
    let waiting = world.join(joining(&ids[0]));
    assert_eq!(world.leave(&[(&ids[0], None)]), [Ok(())]);
    assert_eq!(world.join_error(waiting), GroupError::UnknownMember);
}

#[test]
fn leaving_lets_the_barrier_fall_for_those_that_have_joined() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    let waiting = world.join(joining(&ids[0]));
    world.leave(&[(&ids[1], None)]);
    assert_eq!(world.joined(waiting).generation, generation + 1);
}
