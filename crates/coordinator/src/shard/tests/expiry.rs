use crate::GroupError;
use crate::event::CommitRequest;
use crate::testing::*;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// How late the regular look at a group may be.
const CHECK_MS: i64 = 600_000;

fn commit_to(world: &mut World, member_id: &str, generation: i32, topic: &str) {
    let mut request = committing(member_id, generation, 1);
    request.topics[0].0 = topic.to_owned();
    world.commit(request).unwrap();
}

/// Lets so much time pass while the member heartbeats.
fn live(world: &mut World, member_id: &str, generation: i32, for_ms: i64) {
    let until_ms = world.now_ms + for_ms;
    while world.now_ms < until_ms {
        world.heartbeat(member_id, generation).unwrap();
        world.advance(30_000);
    }
}

#[test]
fn offsets_of_a_group_without_members_expire_seven_days_after_their_commit() {
    let mut world = World::new();
    commit_to(&mut world, "", -1, "orders");
    world.advance(3 * DAY_MS);
    commit_to(&mut world, "", -1, "audit");
    world.advance(4 * DAY_MS - 1);
    assert!(world.offset("orders", 0).is_some());
    world.advance(CHECK_MS + 1);
    assert_eq!(world.offset("orders", 0), None);
    assert!(world.offset("audit", 0).is_some());
    world.advance(3 * DAY_MS);
    assert_eq!(
        world.state(),
        "absent",
        "with its last offset the group goes"
    );
    assert_eq!(world.shard.next_deadline(), None);
}

#[test]
fn offsets_of_a_group_that_had_members_expire_seven_days_after_it_became_empty() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    commit_to(&mut world, &ids[0], generation, "orders");
    live(&mut world, &ids[0], generation, 2 * DAY_MS);
    world.leave(&[(&ids[0], None)]);
    world.advance(7 * DAY_MS - 1);
    assert!(world.offset("orders", 0).is_some());
    world.restart();
    assert!(
        world.offset("orders", 0).is_some(),
        "the log remembers since when"
    );
    world.advance(CHECK_MS + 1);
    assert_eq!(world.offset("orders", 0), None);
    assert_eq!(world.state(), "absent");
}

#[test]
fn offsets_of_topics_that_members_read_do_not_expire_and_others_do() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    commit_to(&mut world, &ids[0], generation, "orders");
    commit_to(&mut world, &ids[0], generation, "audit");
    live(&mut world, &ids[0], generation, 7 * DAY_MS + CHECK_MS);
    assert!(world.offset("orders", 0).is_some());
    assert_eq!(world.offset("audit", 0), None);
}

#[test]
fn a_client_that_says_how_long_is_taken_at_its_word() {
    let mut world = World::new();
    world
        .commit(CommitRequest {
            retention_time_ms: Some(DAY_MS),
            ..committing("", -1, 1)
        })
        .unwrap();
    world.advance(DAY_MS - 1);
    assert!(world.offset("orders", 0).is_some());
    world.advance(CHECK_MS + 1);
    assert_eq!(world.offset("orders", 0), None);
}

#[test]
fn a_group_that_lost_its_members_without_ever_committing_goes_at_the_next_look() {
    let mut world = World::new();
    let (ids, _) = world.stable(1);
    world.leave(&[(&ids[0], None)]);
    world.advance(CHECK_MS);
    assert_eq!(world.state(), "absent");
    assert_eq!(world.shard.durable(&world.topics), []);
}

#[test]
fn a_group_that_waits_for_a_first_member_does_not_go() {
    let mut world = World::new();
    world.advance(CHECK_MS - 1);
    let member_id = world.new_member_id();
    world.advance(CHECK_MS);
    // The id has lapsed, so the group went; one second before it would have stayed.
    assert_eq!(world.state(), "absent");
    let ticket = world.join(joining(&member_id));
    assert_eq!(world.join_error(ticket), GroupError::UnknownMember);
    world.advance(1_000);
    world.new_member_id();
    world.advance(CHECK_MS - 10_000);
    let second = world.new_member_id();
    world.advance(10_000);
    let ticket = world.join(joining(&second));
    assert!(world.is_waiting(ticket));
}

#[test]
fn offsets_that_cannot_be_removed_now_are_removed_later() {
    let mut world = World::new();
    commit_to(&mut world, "", -1, "orders");
    world.advance(7 * DAY_MS - 1);
    world.broken = Some(GroupError::CoordinatorUnavailable);
    world.advance(CHECK_MS);
    assert!(world.offset("orders", 0).is_some());
    world.broken = None;
    world.advance(CHECK_MS);
    assert_eq!(world.offset("orders", 0), None);
}

#[test]
fn time_passing_costs_nothing_for_groups_that_wait() {
    let mut world = World::new();
    for n in 0..50 {
        world
            .commit(CommitRequest {
                group_id: format!("group-{n}"),
                ..committing("", -1, 1)
            })
            .unwrap();
    }
    let next = world.shard.next_deadline().unwrap();
    assert!(next >= world.now_ms + CHECK_MS);
    let (ids, generation) = world.stable(1);
    world.heartbeat(&ids[0], generation).unwrap();
    let woken_ms = world.shard.next_deadline().unwrap();
    assert!(woken_ms > world.now_ms, "{woken_ms}");
}
