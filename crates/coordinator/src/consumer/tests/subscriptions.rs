//! Regular expressions (statement E4).

use super::*;

fn joins_by_pattern(id: &str, pattern: &str) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        subscribed_topic_regex: Some(pattern.to_owned()),
        subscribed_topic_names: None,
        ..joins(id, &[])
    }
}

fn topics_of(reply: &ConsumerHeartbeatReply) -> Vec<u128> {
    reply
        .assignment
        .iter()
        .flatten()
        .map(|(topic, _)| topic.as_u128())
        .collect()
}

#[test]
fn a_pattern_stands_for_the_topics_whose_whole_name_it_matches() {
    let mut world = World::new();
    world.topics.set("orders-eu", 1);
    world.topics.set("more-orders", 1);
    assert_eq!(
        topics_of(&world.beat(&joins_by_pattern("a", "orders.*")).unwrap()),
        [1, 2]
    );
}

#[test]
fn a_pattern_that_cannot_be_read_is_refused_and_changes_nothing() {
    let mut world = World::new();
    let epoch = world.join("a").member_epoch;
    let before = world.log.len();
    assert!(matches!(
        world.beat(&joins_by_pattern("b", "[")),
        Err(GroupError::InvalidRegex(_))
    ));
    let update = ConsumerHeartbeat {
        subscribed_topic_regex: Some("a)|(b".to_owned()),
        ..alive("a", epoch)
    };
    assert!(matches!(
        world.beat(&update),
        Err(GroupError::InvalidRegex(_))
    ));
    assert_eq!(world.log.len(), before);
}

#[test]
fn a_pattern_finds_no_topic_that_its_member_may_not_describe() {
    let mut world = World::new();
    world.topics.set("orders-secret", 1);
    world.hidden.insert("orders-secret".to_owned());
    let joined = world.beat(&joins_by_pattern("a", "orders.*")).unwrap();
    assert_eq!(topics_of(&joined), [1]);
    // Rights are looked at again after a while, though no topic has changed.
    world.hidden.clear();
    world.config.session_timeout_ms = 3_600_000;
    world.beat(&alive("a", joined.member_epoch)).unwrap();
    world.pass(599_000);
    assert_eq!(
        world
            .beat(&alive("a", joined.member_epoch))
            .unwrap()
            .assignment,
        None
    );
    world.pass(1_000);
    assert_eq!(
        topics_of(&world.beat(&alive("a", joined.member_epoch)).unwrap()),
        [1, 2]
    );
}

#[test]
fn a_topic_created_later_is_found_with_the_next_heartbeat() {
    let mut world = World::new();
    let joined = world.beat(&joins_by_pattern("a", "orders.*")).unwrap();
    world.pass(5_000);
    world.topics.set("orders-eu", 1);
    let told = world.beat(&alive("a", joined.member_epoch)).unwrap();
    assert_eq!(topics_of(&told), [1, 2]);
    assert_eq!(world.durable().regexes["orders.*"].topics.len(), 2);
}

#[test]
fn names_and_pattern_add_up() {
    let mut world = World::new();
    world.topics.set("payments", 1);
    let request = ConsumerHeartbeat {
        subscribed_topic_regex: Some("pay.*".to_owned()),
        ..joins("a", &["orders"])
    };
    assert_eq!(topics_of(&world.beat(&request).unwrap()), [1, 2]);
}

#[test]
fn an_empty_pattern_ends_the_subscription_by_pattern() {
    let mut world = World::new();
    world.topics.set("payments", 1);
    let request = ConsumerHeartbeat {
        subscribed_topic_regex: Some("pay.*".to_owned()),
        ..joins("a", &["orders"])
    };
    let epoch = world.beat(&request).unwrap().member_epoch;
    let update = ConsumerHeartbeat {
        subscribed_topic_regex: Some(String::new()),
        ..alive("a", epoch)
    };
    assert_eq!(topics_of(&world.beat(&update).unwrap()), [1]);
    assert!(world.durable().regexes.is_empty());
}

#[test]
fn a_pattern_goes_with_its_last_member() {
    let mut world = World::new();
    world.beat(&joins_by_pattern("a", "orders.*")).unwrap();
    world.beat(&joins_by_pattern("b", "orders.*")).unwrap();
    world.beat(&leaves("a", -1, None)).unwrap();
    assert!(world.group.is_subscribed_to("orders"));
    world.beat(&leaves("b", -1, None)).unwrap();
    assert!(world.durable().regexes.is_empty() && !world.group.is_subscribed_to("orders"));
}

#[test]
fn after_a_restart_patterns_are_looked_at_again_and_nothing_is_stored_for_it() {
    let mut world = World::new();
    let epoch = world
        .beat(&joins_by_pattern("a", "orders.*"))
        .unwrap()
        .member_epoch;
    let stored = world.log.len();
    world.restart();
    assert_eq!(world.beat(&alive("a", epoch)).unwrap().member_epoch, epoch);
    assert_eq!(world.log.len(), stored);
    world.topics.set("orders-eu", 1);
    world.restart();
    assert_eq!(topics_of(&world.beat(&alive("a", epoch)).unwrap()), [1, 2]);
}

#[test]
fn a_refresh_that_could_not_be_stored_is_done_again() {
    let mut world = World::new();
    let epoch = world
        .beat(&joins_by_pattern("a", "orders.*"))
        .unwrap()
        .member_epoch;
    world.pass(5_000);
    world.topics.set("orders-eu", 1);
    world.append_fails = true;
    world.beat(&alive("a", epoch)).unwrap_err();
    assert_eq!(topics_of(&world.beat(&alive("a", epoch)).unwrap()), [1, 2]);
}
