use crate::GroupError;
use crate::event::JoinRequest;
use crate::testing::*;

#[test]
fn after_a_restart_members_go_on_heartbeating_in_their_generation() {
    let mut world = World::new();
    let (ids, generation) = world.stable(3);
    world.restart();
    assert_eq!(world.state(), "Stable");
    for id in &ids {
        assert_eq!(world.heartbeat(id, generation), Ok(()));
        let ticket = world.sync(id, generation, &[]);
        assert_eq!(world.sync_result(ticket).unwrap(), b"assigned".as_slice());
    }
}

#[test]
fn after_a_restart_sessions_begin_anew() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    world.advance(44_000);
    world.restart();
    world.advance(44_000);
    assert_eq!(world.heartbeat(&ids[0], generation), Ok(()));
    world.advance(45_000);
    assert_eq!(world.state(), "Empty");
}

#[test]
fn a_restart_amid_a_rebalance_finds_the_last_stored_generation() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    let tickets = [&ids[0], &ids[1]].map(|id| world.join(joining(id)));
    assert_eq!(world.joined(tickets[0]).generation, generation + 1);
    world.restart();
    let ticket = world.sync(&ids[0], generation + 1, &[]);
    assert_eq!(
        world.sync_result(ticket),
        Err(GroupError::IllegalGeneration)
    );
    assert_eq!(world.heartbeat(&ids[1], generation), Ok(()));
}

#[test]
fn a_loaded_group_that_is_over_the_limit_rebalances_so_that_some_are_left_out() {
    let mut world = World::new();
    let (ids, generation) = world.stable(3);
    world.options.max_size = 2;
    world.restart();
    assert_eq!(
        world.heartbeat(&ids[0], generation),
        Err(GroupError::RebalanceInProgress)
    );
    let tickets: Vec<_> = ids
        .iter()
        .map(|id| {
            world.join(JoinRequest {
                protocols: vec![("range".to_owned(), subscription(&["orders"]))],
                ..joining(id)
            })
        })
        .collect();
    assert_eq!(world.join_error(tickets[2]), GroupError::GroupMaxSize);
}

#[test]
fn an_unloaded_shard_answers_all_that_wait() {
    let mut world = World::new();
    let (ids, _) = world.stable(2);
    let join = world.join(joining(&ids[0]));
    let replies = world
        .shard
        .unload(world.now_ms, &GroupError::NotCoordinator);
    world.answered(replies);
    assert_eq!(world.join_error(join), GroupError::NotCoordinator);
    assert_eq!(world.shard.next_deadline(), None);
}
