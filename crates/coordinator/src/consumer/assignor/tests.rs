use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::*;

const ASSIGNORS: [Assignor; 2] = [Assignor::Uniform, Assignor::Range];

/// A group by numbers: topic n has id n, member n is called "m<n>".
#[derive(Debug, Clone, Default)]
struct Group {
    partitions: BTreeMap<u128, i32>,
    members: BTreeMap<String, BTreeSet<u128>>,
    previous: BTreeMap<Arc<str>, TopicPartitions>,
}

impl Group {
    fn assign(&self, assignor: Assignor) -> BTreeMap<Arc<str>, TopicPartitions> {
        let nothing = TopicPartitions::new();
        let members = self.members.iter().map(|(id, topics)| MemberSpec {
            id: id.as_str().into(),
            instance_id: None,
            topics: Rc::new(topics.iter().map(|topic| Uuid::from_u128(*topic)).collect()),
            previous: self.previous.get(id.as_str()).unwrap_or(&nothing),
        });
        let partitions = self
            .partitions
            .iter()
            .map(|(topic, count)| (Uuid::from_u128(*topic), *count));
        assignor.assign(&GroupSpec {
            members: members.collect(),
            partitions: partitions.collect(),
        })
    }

    fn with(partitions: &[(u128, i32)], members: &[(&str, &[u128])]) -> Self {
        Self {
            partitions: partitions.iter().copied().collect(),
            members: members
                .iter()
                .map(|(id, topics)| ((*id).to_owned(), topics.iter().copied().collect()))
                .collect(),
            previous: BTreeMap::new(),
        }
    }
}

fn load(target: &TopicPartitions) -> usize {
    target.values().map(BTreeSet::len).sum()
}

fn pairs(target: &TopicPartitions) -> BTreeSet<(Uuid, i32)> {
    let of_topic = |(topic, partitions): (&Uuid, &BTreeSet<i32>)| {
        let topic = *topic;
        partitions
            .iter()
            .map(move |partition| (topic, *partition))
            .collect::<Vec<_>>()
    };
    target.iter().flat_map(of_topic).collect()
}

#[test]
fn range_gives_the_same_partitions_of_topics_alike() {
    let group = Group::with(&[(1, 3), (2, 3)], &[("a", &[1, 2]), ("b", &[1, 2])]);
    let assigned = group.assign(Assignor::Range);
    for topic in [1, 2].map(Uuid::from_u128) {
        assert_eq!(assigned["a"][&topic], BTreeSet::from([0, 1]));
        assert_eq!(assigned["b"][&topic], BTreeSet::from([2]));
    }
}

#[test]
fn range_goes_by_instance_id_where_there_is_one() {
    let topics = Rc::new(BTreeSet::from([Uuid::from_u128(1)]));
    let nothing = TopicPartitions::new();
    let member = |id: &str, instance_id| MemberSpec {
        id: id.into(),
        instance_id,
        topics: Rc::clone(&topics),
        previous: &nothing,
    };
    let assigned = Assignor::Range.assign(&GroupSpec {
        members: vec![
            member("a", None),
            member("b", Some("2")),
            member("c", Some("1")),
        ],
        partitions: BTreeMap::from([(Uuid::from_u128(1), 3)]),
    });
    let first = |id: &str| assigned[id][&Uuid::from_u128(1)].first().copied();
    assert_eq!(
        [first("c"), first("b"), first("a")],
        [Some(0), Some(1), Some(2)]
    );
}

#[test]
fn uniform_spreads_each_topic_over_the_members() {
    let group = Group::with(
        &[(1, 3), (2, 3)],
        &[("a", &[1, 2]), ("b", &[1, 2]), ("c", &[1, 2])],
    );
    for target in group.assign(Assignor::Uniform).values() {
        assert_eq!(target.len(), 2, "one partition of each topic: {target:?}");
    }
}

#[test]
fn uniform_takes_from_those_who_have_too_much_and_from_nobody_else() {
    let mut group = Group::with(&[(1, 6)], &[("a", &[1]), ("b", &[1])]);
    group.previous = group.assign(Assignor::Uniform);
    group.members.insert("c".to_owned(), BTreeSet::from([1]));
    let after = group.assign(Assignor::Uniform);
    for id in ["a", "b"] {
        assert_eq!(load(&after[id]), 2);
        assert!(pairs(&after[id]).is_subset(&pairs(&group.previous[id])));
    }
}

#[test]
fn uniform_leaves_the_surplus_with_those_who_have_it() {
    let mut group = Group::with(&[(1, 4)], &[("a", &[1]), ("b", &[1]), ("c", &[1])]);
    let partitions = |partitions: &[i32]| {
        TopicPartitions::from([(Uuid::from_u128(1), partitions.iter().copied().collect())])
    };
    group.previous = [
        ("a", partitions(&[0])),
        ("b", partitions(&[1])),
        ("c", partitions(&[2, 3])),
    ]
    .map(|(id, target)| (Arc::from(id), target))
    .into();
    assert_eq!(group.assign(Assignor::Uniform), group.previous);
}

fn group() -> impl Strategy<Value = Group> {
    let partitions = btree_map(0u128..6, 0i32..12, 0..6);
    let members = btree_map(0u8..9, btree_set(0u128..6, 0..6), 1..9);
    (partitions, members, any::<bool>()).prop_map(|(partitions, members, same)| {
        let known = |topics: &BTreeSet<u128>| -> BTreeSet<u128> {
            topics
                .iter()
                .filter(|topic| partitions.contains_key(topic))
                .copied()
                .collect()
        };
        let first = members.values().next().map(known).unwrap_or_default();
        let members = members
            .iter()
            .map(|(id, topics)| {
                (
                    format!("m{id}"),
                    if same { first.clone() } else { known(topics) },
                )
            })
            .collect();
        Group {
            partitions,
            members,
            previous: BTreeMap::new(),
        }
    })
}

/// Previous assignments as a log may hold them: partitions twice, or of topics that are gone.
fn previous() -> impl Strategy<Value = BTreeMap<Arc<str>, TopicPartitions>> {
    let target = btree_map(
        (0u128..8).prop_map(Uuid::from_u128),
        btree_set(-1i32..14, 0..8),
        0..5,
    );
    vec((0u8..10, target), 0..9).prop_map(|all| {
        all.into_iter()
            .map(|(id, target)| (Arc::from(format!("m{id}")), target))
            .collect()
    })
}

fn everything_once_and_to_subscribers(
    group: &Group,
    assigned: &BTreeMap<Arc<str>, TopicPartitions>,
) -> Result<(), TestCaseError> {
    let mut seen = BTreeSet::new();
    prop_assert_eq!(assigned.len(), group.members.len());
    for (id, target) in assigned {
        prop_assert!(target.values().all(|partitions| !partitions.is_empty()));
        for (topic, partition) in pairs(target) {
            prop_assert!(
                group.members[&**id].contains(&topic.as_u128()),
                "not subscribed"
            );
            prop_assert!(seen.insert((topic, partition)), "assigned twice");
        }
    }
    let wanted: BTreeSet<u128> = group.members.values().flatten().copied().collect();
    let all: BTreeSet<_> = wanted
        .into_iter()
        .flat_map(|topic| {
            (0..group.partitions[&topic]).map(move |partition| (Uuid::from_u128(topic), partition))
        })
        .collect();
    prop_assert_eq!(seen, all);
    Ok(())
}

proptest! {
    #[test]
    fn every_partition_goes_to_one_subscriber(group in group(), previous in previous()) {
        let group = Group { previous, ..group };
        for assignor in ASSIGNORS {
            everything_once_and_to_subscribers(&group, &group.assign(assignor))?;
        }
    }

    #[test]
    fn what_is_assigned_once_stays_as_it_is_while_nothing_changes(group in group(), previous in previous()) {
        for assignor in ASSIGNORS {
            let first = Group { previous: previous.clone(), ..group.clone() }.assign(assignor);
            let again = Group { previous: first.clone(), ..group.clone() }.assign(assignor);
            prop_assert_eq!(again, first);
        }
    }

    #[test]
    fn uniform_leaves_no_move_that_would_even_things_out(group in group(), previous in previous()) {
        let group = Group { previous, ..group };
        let assigned = group.assign(Assignor::Uniform);
        for target in assigned.values() {
            for topic in target.keys() {
                for (other, topics) in &group.members {
                    if topics.contains(&topic.as_u128()) {
                        prop_assert!(load(target) <= load(&assigned[other.as_str()]) + 1);
                    }
                }
            }
        }
    }

    #[test]
    fn uniform_moves_no_more_partitions_than_balance_asks_for(
        partitions in 0i32..40, members in 1usize..9, leave in any::<bool>(),
    ) {
        let ids: Vec<String> = (0..members).map(|id| format!("m{id}")).collect();
        let members: Vec<(&str, &[u128])> = ids.iter().map(|id| (id.as_str(), &[1u128][..])).collect();
        let mut group = Group::with(&[(1, partitions)], &members);
        group.previous = group.assign(Assignor::Uniform);
        if leave && members.len() > 1 {
            group.members.remove("m0");
        } else {
            group.members.insert("new".to_owned(), BTreeSet::from([1]));
        }
        let after = group.assign(Assignor::Uniform);
        // Those who stay lose at most what is above the new quota.
        let quota = usize::try_from(partitions).unwrap() / group.members.len();
        for (id, target) in &after {
            let Some(before) = group.previous.get(id) else { continue };
            let lost = pairs(before).difference(&pairs(target)).count();
            prop_assert!(lost <= load(before).saturating_sub(quota));
            prop_assert!(lost == 0 || load(target) >= quota);
        }
    }
}
