use super::*;
use proptest::prelude::*;
use proptest::sample::subsequence;

const STARTED: PartitionEvent = PartitionEvent::BrokerStarted {
    node: 1,
    clean: true,
};
const CRASHED: PartitionEvent = PartitionEvent::BrokerStarted {
    node: 1,
    clean: false,
};

fn alone() -> PartitionState {
    PartitionState {
        leader: 1,
        leader_epoch: 4,
        partition_epoch: 9,
        replicas: vec![1],
        isr: vec![1],
        min_isr: 1,
        ..Default::default()
    }
}

#[test]
fn a_restart_gives_the_same_leader_a_new_epoch() {
    for event in [STARTED, CRASHED] {
        let next = transition(&alone(), event, |node| node == 1);
        assert_eq!(
            next,
            Some(PartitionState {
                leader_epoch: 5,
                partition_epoch: 10,
                ..alone()
            })
        );
    }
}

#[test]
fn a_partition_without_a_leader_gets_one_when_its_replica_starts() {
    let leaderless = PartitionState {
        leader: NO_LEADER,
        ..alone()
    };
    assert_eq!(
        transition(&leaderless, STARTED, |node| node == 1),
        Some(PartitionState {
            leader_epoch: 5,
            partition_epoch: 10,
            ..alone()
        })
    );
}

#[test]
fn the_restart_of_a_follower_changes_nothing() {
    let led_by_2 = PartitionState {
        leader: 2,
        replicas: vec![1, 2],
        isr: vec![1, 2],
        ..alone()
    };
    assert_eq!(transition(&led_by_2, STARTED, |_| true), None);
    assert_eq!(
        transition(
            &alone(),
            PartitionEvent::BrokerStarted {
                node: 7,
                clean: false
            },
            |_| true
        ),
        None
    );
}

#[test]
fn a_leader_that_lost_its_tail_yields_to_a_follower_that_has_it() {
    let two = PartitionState {
        replicas: vec![1, 2],
        isr: vec![1, 2],
        ..alone()
    };
    let next = transition(&two, CRASHED, |_| true);
    assert_eq!(
        next,
        Some(PartitionState {
            leader: 2,
            leader_epoch: 5,
            partition_epoch: 10,
            isr: vec![2],
            ..two
        })
    );
}

#[test]
fn the_last_member_in_sync_that_lost_its_tail_is_remembered_and_not_elected() {
    let last = PartitionState {
        replicas: vec![1, 2],
        isr: vec![1],
        ..alone()
    };
    let next = transition(&last, CRASHED, |_| true).unwrap();
    assert_eq!(
        (
            next.leader,
            next.leader_epoch,
            next.isr,
            next.last_known_elr
        ),
        (NO_LEADER, 5, vec![], vec![1])
    );
}

#[test]
fn an_eligible_replica_is_elected_only_when_nobody_is_in_sync() {
    let eligible = PartitionState {
        leader: NO_LEADER,
        replicas: vec![2, 1],
        isr: vec![],
        elr: vec![1],
        ..alone()
    };
    let next = transition(&eligible, STARTED, |_| true).unwrap();
    assert_eq!((next.leader, next.isr, next.elr), (1, vec![1], vec![]));
    let waiting = PartitionState {
        isr: vec![2],
        ..eligible
    };
    assert_eq!(
        transition(&waiting, STARTED, |node| node == 1),
        None,
        "2 is in sync and away: its log may be longer"
    );
}

#[test]
fn a_changed_minimum_clears_who_was_eligible_under_the_old_one() {
    let state = PartitionState {
        replicas: vec![1, 2],
        elr: vec![2],
        ..alone()
    };
    let next = transition(&state, PartitionEvent::MinIsrChanged(2), |_| true);
    assert_eq!(
        next,
        Some(PartitionState {
            min_isr: 2,
            elr: vec![],
            partition_epoch: 10,
            ..state.clone()
        })
    );
    assert_eq!(
        transition(&state, PartitionEvent::MinIsrChanged(1), |_| true),
        None
    );
}

#[test]
fn an_epoch_that_cannot_grow_changes_nothing() {
    let spent = PartitionState {
        leader_epoch: i32::MAX,
        ..alone()
    };
    assert_eq!(transition(&spent, STARTED, |_| true), None);
}

/// Any state the controller may have stored: the leader is in sync or nobody, both sets are replicas and disjoint.
fn any_state() -> impl Strategy<Value = PartitionState> {
    let replicas = prop::collection::btree_set(0..6, 1..5)
        .prop_map(|set| set.into_iter().collect::<Vec<i32>>());
    let with_sets = replicas.prop_shuffle().prop_flat_map(|replicas| {
        let some = || subsequence(replicas.clone(), 0..=replicas.len());
        (
            Just(replicas.clone()),
            some(),
            some(),
            any::<prop::sample::Index>(),
            any::<bool>(),
            0..100,
            0..100,
            1..4,
        )
    });
    with_sets.prop_map(
        |(replicas, isr, elr, pick, led, leader_epoch, partition_epoch, min_isr)| {
            let leader = if led && !isr.is_empty() {
                isr[pick.index(isr.len())]
            } else {
                NO_LEADER
            };
            let elr = elr.into_iter().filter(|node| !isr.contains(node)).collect();
            PartitionState {
                leader,
                leader_epoch,
                partition_epoch,
                replicas,
                isr,
                elr,
                min_isr,
                ..Default::default()
            }
        },
    )
}

fn any_event() -> impl Strategy<Value = PartitionEvent> {
    prop_oneof![
        (0..6, any::<bool>())
            .prop_map(|(node, clean)| PartitionEvent::BrokerStarted { node, clean }),
        (1..4).prop_map(PartitionEvent::MinIsrChanged),
    ]
}

proptest! {
    #[test]
    fn the_invariants_hold_over_any_history(
        mut state in any_state(),
        history in prop::collection::vec((any_event(), prop::collection::btree_set(0..6, 0..6)), 1..30),
    ) {
        for (event, mut active) in history {
            if let PartitionEvent::BrokerStarted { node, .. } = event {
                active.insert(node);
            }
            let Some(next) = transition(&state, event, |node| active.contains(&node)) else {
                // Nothing to do must mean that nothing is wrong: a leader that may not lead would have been replaced.
                prop_assert!(state.leader == NO_LEADER || active.contains(&state.leader));
                continue;
            };
            prop_assert_eq!(next.partition_epoch, state.partition_epoch + 1);
            let led_anew = next.leader != state.leader || matches!(event, PartitionEvent::BrokerStarted { node, .. } if node == next.leader);
            prop_assert_eq!(next.leader_epoch, state.leader_epoch + i32::from(led_anew));
            prop_assert!(next.leader == NO_LEADER || (next.isr.contains(&next.leader) && active.contains(&next.leader)));
            prop_assert!(next.isr.iter().chain(&next.elr).all(|node| next.replicas.contains(node)));
            prop_assert!(next.isr.iter().all(|node| !next.elr.contains(node)));
            prop_assert_eq!(&next.replicas, &state.replicas);
            // Whoever is in sync now was in sync or eligible before: nobody gets in without having the records.
            prop_assert!(next.isr.iter().all(|node| state.isr.contains(node) || state.elr.contains(node)));
            if let PartitionEvent::BrokerStarted { node, clean: false } = event && next.replicas != [node] {
                prop_assert!(!next.isr.contains(&node) && !next.elr.contains(&node));
            }
            state = next;
        }
    }
}
