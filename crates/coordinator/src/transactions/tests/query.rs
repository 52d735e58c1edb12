//! DescribeTransactions and ListTransactions: T16 of the protocol's statements, and the counts.

use super::world::*;
use crate::transactions::*;

/// Ids in four states, begun five seconds one after the other.
fn some() -> World {
    let mut world = World::new();
    for (id, steps) in [
        ("a-empty", 1),
        ("b-open", 2),
        ("b-prepared", 3),
        ("c-done", 4),
    ] {
        let request = InitProducerId {
            transactional_id: id.to_owned(),
            ..initialising(None)
        };
        let producer = world.init_as(request).unwrap();
        if steps > 1 {
            let request = AddPartitions {
                transactional_id: id.to_owned(),
                ..adding(producer, &[("orders", 0)])
            };
            world.add_as(request).unwrap();
        }
        if steps > 2 {
            let request = EndTransaction {
                transactional_id: id.to_owned(),
                ..ending(producer, true, TransactionVersion::V2)
            };
            world.end_as(request).unwrap();
        }
        if steps > 3 {
            let last = world.markers.pop().unwrap();
            world.report(last.written(last.partitions.clone()));
        }
        world.now_ms += 5_000;
    }
    world
}

fn listed(world: &World, filter: &TransactionFilter) -> Vec<String> {
    let found = world.shard.list(world.now_ms, filter).into_iter();
    found
        .map(|listing| listing.transactional_id.to_string())
        .collect()
}

fn states(names: &[&str]) -> TransactionFilter {
    TransactionFilter::default().with_states(names.iter().map(|name| (*name).to_owned()))
}

#[test]
fn a_transaction_is_described_and_an_unknown_id_is_not() {
    let world = some();
    let found = world.shard.describe("b-prepared").unwrap();
    let expected = TransactionDescription {
        state: TransactionState::PrepareCommit,
        producer_id: FIRST_PRODUCER_ID + 2,
        epoch: 1,
        timeout_ms: TIMEOUT_MS,
        started_ms: world.now_ms - 10_000,
        partitions: partitions(&[("orders", 0)]),
    };
    assert_eq!(found, expected);
    assert_eq!(world.shard.describe("unknown"), None);
}

#[test]
fn a_list_without_a_filter_has_every_id() {
    let world = some();
    let all = world
        .shard
        .list(world.now_ms, &TransactionFilter::default());
    let found: Vec<(&str, i64, &str)> = all
        .iter()
        .map(|one| (&*one.transactional_id, one.producer_id, one.state.name()))
        .collect();
    let expected = [
        ("a-empty", 1_000, "Empty"),
        ("b-open", 1_001, "Ongoing"),
        ("b-prepared", 1_002, "PrepareCommit"),
        ("c-done", 1_003, "CompleteCommit"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_list_is_filtered_by_states_and_names_that_are_none_are_told() {
    let world = some();
    assert_eq!(
        listed(&world, &states(&["Ongoing", "Empty"])),
        ["a-empty", "b-open"]
    );
    let filter = states(&["ongoing", "Ongoing", "Stable"]);
    assert_eq!(filter.unknown_states(), ["ongoing", "Stable"]);
    assert_eq!(listed(&world, &filter), ["b-open"]);
    assert!(listed(&world, &states(&["Stable"])).is_empty());
    let never_seen = states(&["Dead", "PrepareEpochFence"]);
    assert!(never_seen.unknown_states().is_empty());
    assert!(listed(&world, &never_seen).is_empty());
}

#[test]
fn a_list_is_filtered_by_producer_ids() {
    let world = some();
    let filter = |ids: &[i64]| TransactionFilter::default().with_producer_ids(ids.to_vec());
    assert_eq!(
        listed(&world, &filter(&[1_001, 1_003, 9])),
        ["b-open", "c-done"]
    );
    assert!(listed(&world, &filter(&[9])).is_empty());
    assert_eq!(listed(&world, &filter(&[])).len(), 4);
}

#[test]
fn a_list_is_filtered_by_how_long_transactions_have_gone_on() {
    let world = some();
    let filter = |ms| TransactionFilter::default().with_min_duration_ms(ms);
    assert_eq!(listed(&world, &filter(-1)).len(), 4);
    // One that never began counts from the epoch on, as in Kafka.
    assert_eq!(listed(&world, &filter(14_999)), ["a-empty", "b-open"]);
    assert_eq!(listed(&world, &filter(15_000)), ["a-empty"]);
}

#[test]
fn a_list_is_filtered_by_a_pattern_of_the_whole_id() {
    let world = some();
    let filter = |pattern| TransactionFilter::default().with_id_pattern(pattern);
    assert_eq!(
        listed(&world, &filter("b-.*").unwrap()),
        ["b-open", "b-prepared"]
    );
    assert!(listed(&world, &filter("b-").unwrap()).is_empty());
    assert_eq!(
        listed(&world, &filter("a-empty|c-done").unwrap()),
        ["a-empty", "c-done"]
    );
    assert_eq!(listed(&world, &filter("").unwrap()).len(), 4);
    for pattern in ["(", "a)|(b", "x{1000}{1000}{1000}"] {
        assert_eq!(filter(pattern).unwrap_err().pattern, pattern);
    }
    let both = filter("b-.*").unwrap().with_states(["Ongoing".to_owned()]);
    assert_eq!(listed(&world, &both), ["b-open"]);
}

#[test]
fn ids_are_counted_by_state() {
    let stats = some().shard.stats();
    assert_eq!(stats.by_state, [1, 1, 1, 0, 1, 0, 0, 0]);
    assert_eq!(stats.timed_out, 0);
}

#[test]
fn states_have_kafkas_numbers_names_and_order() {
    for (id, state) in (0i8..).zip(TransactionState::ALL) {
        assert_eq!(state.id(), id);
        assert_eq!(TransactionState::by_id(id), Some(state));
        assert_eq!(TransactionState::by_name(state.name()), Some(state));
    }
    // As `TransactionState.validPreviousStates` of Kafka 4.4 has them.
    use TransactionState::*;
    let idle = vec![Empty, CompleteCommit, CompleteAbort];
    let previous = |next: TransactionState| -> Vec<TransactionState> {
        let all = TransactionState::ALL.into_iter();
        all.filter(|state| state.may_become(next)).collect()
    };
    assert_eq!(previous(Empty), idle);
    assert_eq!(previous(Dead), idle);
    assert_eq!(
        previous(Ongoing),
        [Empty, Ongoing, CompleteCommit, CompleteAbort]
    );
    assert_eq!(previous(PrepareCommit), [Ongoing]);
    let may_abort = [
        Empty,
        Ongoing,
        CompleteCommit,
        CompleteAbort,
        PrepareEpochFence,
    ];
    assert_eq!(previous(PrepareAbort), may_abort);
    assert_eq!(previous(CompleteCommit), [PrepareCommit]);
    assert_eq!(previous(CompleteAbort), [PrepareAbort]);
    assert_eq!(previous(PrepareEpochFence), [Ongoing]);
}
