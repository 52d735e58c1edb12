//! Statements E6 to E8: how partitions change hands.

use super::*;

#[test]
fn a_partition_changes_hands_only_once_its_holder_no_longer_reports_it() {
    let mut world = World::new();
    world.join("a");
    let joined = world.join("b");
    // Nothing is free yet; the newcomer is on the new epoch and waits.
    assert_eq!(
        (joined.member_epoch, joined.assignment),
        (3, Some(orders(&[])))
    );
    assert_eq!(world.group.state(), GroupState::Reconciling);
    // The holder is told to keep two, and stays on its epoch as long as it reports the others.
    let told = world.beat(&alive("a", 2)).unwrap();
    assert_eq!(
        (told.member_epoch, told.assignment),
        (2, Some(orders(&[0, 1])))
    );
    let told = world.beat(&owns("a", 2, &orders(&[0, 1, 2, 3]))).unwrap();
    assert_eq!((told.member_epoch, told.assignment), (2, None));
    assert_eq!(world.beat(&alive("b", 3)).unwrap().assignment, None);
    let done = world.beat(&owns("a", 2, &orders(&[0, 1]))).unwrap();
    assert_eq!((done.member_epoch, done.assignment), (3, None));
    let got = world.beat(&alive("b", 3)).unwrap();
    assert_eq!(
        (got.member_epoch, got.assignment),
        (3, Some(orders(&[2, 3])))
    );
    assert_eq!(world.group.state(), GroupState::Stable);
}

#[test]
fn a_rebalance_takes_from_its_first_reason_to_the_last_member_that_has_its_share() {
    let mut world = World::new();
    world.join("a");
    let ended = |reason, duration_ms| EndedRebalance {
        group_type: "consumer",
        reason,
        duration_ms,
    };
    assert_eq!(world.ended, [ended("subscription", 0)]);
    world.join("b");
    world.pass(1_000);
    world.beat(&alive("a", 2)).unwrap();
    world.pass(2_000);
    world.beat(&owns("a", 2, &orders(&[0, 1]))).unwrap();
    world.pass(500);
    world.beat(&alive("b", 3)).unwrap();
    assert_eq!(world.group.state(), GroupState::Stable);
    assert_eq!(world.ended[1..], [ended("subscription", 3_500)]);
    // The last to leave leaves no rebalance behind.
    world.beat(&leaves("a", -1, None)).unwrap();
    world.beat(&leaves("b", -1, None)).unwrap();
    assert_eq!(
        (world.group.state(), world.ended.len()),
        (GroupState::Empty, 2)
    );
}

#[test]
fn a_rebalance_that_could_not_be_stored_does_not_end_before_the_one_that_was() {
    let mut world = World::new();
    world.join("a");
    world.append_fails = true;
    assert!(world.beat(&joins("b", &["orders"])).is_err());
    world.pass(700);
    world.beat(&alive("a", 2)).unwrap();
    assert_eq!(world.ended.len(), 1);
    world.join("b");
    world.beat(&alive("a", 2)).unwrap();
    world.beat(&owns("a", 2, &orders(&[0, 1]))).unwrap();
    world.beat(&alive("b", 3)).unwrap();
    assert_eq!((world.ended.len(), world.ended[1].duration_ms), (2, 700));
}

#[test]
fn a_heartbeat_that_does_not_say_what_is_owned_gives_nothing_up() {
    let mut world = World::new();
    world.join("a");
    world.join("b");
    world.beat(&alive("a", 2)).unwrap();
    assert_eq!(world.beat(&alive("a", 2)).unwrap().member_epoch, 2);
}

#[test]
fn who_takes_longer_than_its_rebalance_timeout_to_give_up_is_removed() {
    let mut world = World::new();
    world.config.session_timeout_ms = 600_000;
    world.join("a");
    world.join("b");
    world.beat(&alive("a", 2)).unwrap();
    world.pass(59_999);
    world.beat(&owns("a", 2, &orders(&[0, 1, 2, 3]))).unwrap();
    assert_eq!(world.group.member_count(), 2);
    world.pass(1);
    assert_eq!(world.member_ids(), ["b"]);
    let got = world.beat(&alive("b", 3)).unwrap();
    assert_eq!(got.assignment, Some(orders(&[0, 1, 2, 3])));
}

#[test]
fn who_gives_up_in_time_is_not_removed_for_it() {
    let mut world = World::new();
    world.config.session_timeout_ms = 600_000;
    world.join("a");
    world.join("b");
    world.beat(&alive("a", 2)).unwrap();
    world.pass(59_000);
    world.beat(&owns("a", 2, &orders(&[0, 1]))).unwrap();
    world.pass(100_000);
    assert_eq!(world.group.member_count(), 2);
}

#[test]
fn a_revocation_that_was_under_way_at_a_restart_still_has_its_deadline() {
    let mut world = World::new();
    world.config.session_timeout_ms = 600_000;
    world.join("a");
    world.join("b");
    world.beat(&alive("a", 2)).unwrap();
    world.restart();
    world.pass(60_000);
    assert_eq!(world.member_ids(), ["b"]);
}

#[test]
fn a_revocation_that_was_never_stored_costs_nobody_the_membership() {
    let mut world = World::new();
    world.config.session_timeout_ms = 600_000;
    world.join("a");
    world.join("b");
    world.append_fails = true;
    world.beat(&alive("a", 1)).unwrap_err();
    world.pass(60_000);
    assert_eq!(world.group.member_count(), 2);
}

#[test]
fn partitions_that_a_topic_gains_are_shared_out() {
    let mut world = World::new();
    let epoch = world.join("a").member_epoch;
    world.topics.set("orders", 6);
    let told = world.beat(&alive("a", epoch)).unwrap();
    assert_eq!(
        (told.member_epoch, told.assignment),
        (epoch + 1, Some(orders(&[0, 1, 2, 3, 4, 5])))
    );
}

#[test]
fn a_topic_that_nobody_reads_may_change_without_a_new_epoch() {
    let mut world = World::new();
    let epoch = world.join("a").member_epoch;
    let stored = world.log.len();
    world.topics.set("other", 9);
    assert_eq!(world.beat(&alive("a", epoch)).unwrap().member_epoch, epoch);
    assert_eq!(world.log.len(), stored);
}

#[test]
fn a_topic_created_after_the_subscription_is_assigned() {
    let mut world = World::new();
    let epoch = world.beat(&joins("a", &["later"])).unwrap().member_epoch;
    let later = world.topics.set("later", 1);
    let told = world.beat(&alive("a", epoch)).unwrap().assignment;
    assert_eq!(
        told,
        Some(TopicPartitions::from([(later, BTreeSet::from([0]))]))
    );
}

#[test]
fn a_deleted_topic_is_taken_away() {
    let mut world = World::new();
    let epoch = world.join("a").member_epoch;
    world.topics.remove("orders");
    assert_eq!(
        world.beat(&alive("a", epoch)).unwrap().assignment,
        Some(orders(&[]))
    );
    let done = world.beat(&owns("a", epoch, &orders(&[]))).unwrap();
    assert_eq!(done.member_epoch, epoch + 1);
}

#[test]
fn an_unsubscribed_topic_is_taken_away_even_before_the_next_assignment() {
    let mut world = World::new();
    world.topics.set("payments", 2);
    world.config.assignment_interval_ms = 15_000;
    let epoch = world
        .beat(&joins("a", &["orders", "payments"]))
        .unwrap()
        .member_epoch;
    let names = Some(vec!["orders".to_owned()]);
    let update = ConsumerHeartbeat {
        subscribed_topic_names: names,
        ..alive("a", epoch)
    };
    let told = world.beat(&update).unwrap();
    assert_eq!(
        (told.member_epoch, told.assignment),
        (epoch, Some(orders(&[0, 1, 2, 3])))
    );
    assert_eq!(world.group.state(), GroupState::Assigning);
    world
        .beat(&owns("a", epoch, &orders(&[0, 1, 2, 3])))
        .unwrap();
    world.pass(15_000);
    assert_eq!(
        world.beat(&alive("a", epoch)).unwrap().member_epoch,
        epoch + 1
    );
    assert_eq!(world.group.state(), GroupState::Stable);
}

#[test]
fn target_assignments_keep_their_distance() {
    let mut world = World::new();
    world.config.assignment_interval_ms = 1_000;
    world.join("a");
    let joined = world.join("b");
    assert_eq!(
        (joined.member_epoch, joined.assignment),
        (2, Some(orders(&[])))
    );
    assert_eq!(world.durable().assignment_epoch(), 2);
    world.pass(999);
    world.beat(&alive("b", 2)).unwrap();
    assert_eq!(world.durable().assignment_epoch(), 2);
    world.pass(1);
    assert_eq!(world.beat(&alive("b", 2)).unwrap().member_epoch, 3);
    assert_eq!(world.durable().assignment_epoch(), 3);
}

#[test]
fn members_that_stay_keep_what_balance_lets_them_keep() {
    let mut world = World::new();
    world.topics.set("orders", 9);
    for id in ["a", "b", "c"] {
        world.join(id);
    }
    let before = world.durable().targets.clone();
    world.beat(&leaves("c", -1, None)).unwrap();
    world.beat(&alive("a", 2)).unwrap();
    for id in ["a", "b"] {
        let [before, after] = [&before, &world.durable().targets]
            .map(|targets| targets[id][&Uuid::from_u128(1)].clone());
        assert!(after.is_superset(&before), "{id}: {before:?} → {after:?}");
    }
}
