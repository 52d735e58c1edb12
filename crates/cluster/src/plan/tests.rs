use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::create::{CreateTopicError, Layout, NewTopic, create_topics};
use super::delete::{TopicRef, delete_topics};
use super::expand::{CreatePartitionsError, NewPartitions, create_partitions};
use super::registration::{BrokerRegistration, activate, fenced_record, register};
use super::*;
use crate::image::ClusterImage;
use crate::keys::{Key, PARTITIONS_MAX};
use crate::store::{Batch, Event, Kv};
use crate::values::{BrokerState, NO_LEADER};

/// A store in memory: what the plans are for, with the rules of the real one.
#[derive(Default)]
struct Memory {
    kvs: BTreeMap<String, Kv>,
    image: ClusterImage,
}

impl Memory {
    fn with_brokers(racks: &[Option<&str>]) -> Self {
        let mut memory = Self::default();
        for (node, rack) in (0..).zip(racks) {
            memory.start_broker(node, rack.map(str::to_owned), true);
        }
        memory
    }

    fn start_broker(&mut self, node_id: i32, rack: Option<String>, clean_shutdown: bool) {
        let registration = BrokerRegistration {
            node_id,
            incarnation: Uuid::new_v4(),
            listeners: Vec::new(),
            rack,
            log_dirs: Vec::new(),
            features: Vec::new(),
            remembered_epoch: -1,
            clean_shutdown,
        };
        let record = fenced_record(&self.image, &registration);
        self.apply(&register(&self.image, node_id, &record));
        for step in activate(&self.image, node_id) {
            self.apply(&step.txn);
        }
    }

    fn fence(&mut self, node_id: i32) {
        let mut record = self.image.brokers[&node_id].clone();
        record.set_state(BrokerState::Fenced);
        let mut txn = Txn::default();
        txn.ops.push(put(Key::Broker(node_id).text(), &record));
        self.apply(&txn);
    }

    /// Applies a transaction as a store would, and the image with it.
    fn apply(&mut self, txn: &Txn) {
        assert_eq!(txn.check(), Ok(()));
        assert!(
            txn.compares.len() <= PLAN_KEYS_MAX && txn.ops.len() <= PLAN_KEYS_MAX,
            "no room for the guard"
        );
        for compare in &txn.compares {
            let found = self.kvs.get(&compare.key).map_or(0, |kv| kv.mod_revision);
            assert_eq!(found, compare.mod_revision, "a conflict at {}", compare.key);
        }
        let revision = self.image.revision + 1;
        let mut events = Vec::new();
        for op in &txn.ops {
            match op {
                Op::Put { key, value, .. } => {
                    let kv = Kv {
                        key: key.clone(),
                        value: value.clone(),
                        mod_revision: revision,
                    };
                    self.kvs.insert(key.clone(), kv.clone());
                    events.push(Event::Put(kv));
                }
                Op::Delete { key } => {
                    let removed = self.kvs.remove(key);
                    events.extend(removed.map(|kv| Event::Delete { key: kv.key }));
                }
                Op::DeletePrefix { prefix } => {
                    let under: Vec<String> = self
                        .kvs
                        .keys()
                        .filter(|key| key.starts_with(prefix))
                        .cloned()
                        .collect();
                    for key in under {
                        self.kvs.remove(&key);
                        events.push(Event::Delete { key });
                    }
                }
            }
        }
        self.image = self.image.apply(&Batch { revision, events }).unwrap();
    }

    fn carry_out<T, E>(&mut self, plan: Plan<T, E>) -> Vec<Result<T, E>> {
        for step in plan.steps {
            self.apply(&step.txn);
        }
        plan.answers
    }

    fn create(&mut self, topics: &[NewTopic]) -> Vec<Result<(), CreateTopicError>> {
        let plan = create_topics(&self.image, topics, 7, Uuid::new_v4);
        self.carry_out(plan)
            .into_iter()
            .map(|answer| answer.map(drop))
            .collect()
    }

    fn assert_image_is_what_is_stored(&self) {
        let kvs = self.kvs.values().cloned().collect();
        let fresh = ClusterImage::from_snapshot(self.image.revision, kvs).unwrap();
        let changes = fresh.changes_since(&self.image);
        assert!(changes.topics.is_empty(), "{:?}", changes.topics);
        assert!(!changes.brokers && changes.configs.is_empty());
        assert_eq!(fresh.topic_count(), self.image.topic_count());
        let names = |image: &ClusterImage| image.topics().map(|topic| topic.id).collect::<Vec<_>>();
        assert_eq!(names(&fresh), names(&self.image));
        assert_eq!(fresh.work.topics.len(), self.image.work.topics.len());
        assert_eq!(fresh.work.expansions, self.image.work.expansions);
    }
}

fn automatic(name: &str, partitions: i32, replication_factor: i32) -> NewTopic {
    let layout = Layout::Automatic {
        partitions,
        replication_factor,
    };
    NewTopic {
        name: name.into(),
        layout,
        configs: BTreeMap::new(),
        min_isr: 1,
    }
}

/// A topic of one partition on broker 0, and a broker 1 without any.
pub(super) fn image_with_a_topic(name: &str) -> ClusterImage {
    let mut memory = Memory::with_brokers(&[None]);
    assert_eq!(memory.create(&[automatic(name, 1, 1)]), [Ok(())]);
    memory.start_broker(1, None, true);
    memory.image
}

#[test]
fn small_topics_share_transactions_and_a_large_one_has_its_own() {
    let memory = Memory::with_brokers(&[None]);
    let small: Vec<NewTopic> = (0..100)
        .map(|number| automatic(&format!("t{number}"), 5, 1))
        .collect();
    let plan = create_topics(&memory.image, &small, 0, Uuid::new_v4);
    // Each counts its topic record, five partitions, and room for overrides.
    assert_eq!(plan.steps.len(), 100_usize.div_ceil(PLAN_KEYS_MAX / 7));
    let mixed = [
        automatic("a", 1, 1),
        automatic("b", 300, 1),
        automatic("c", 1, 1),
    ];
    let plan = create_topics(&memory.image, &mixed, 0, Uuid::new_v4);
    let items: Vec<Vec<usize>> = plan.steps.iter().map(|step| step.items.clone()).collect();
    assert_eq!(
        items,
        [
            vec![0],
            vec![1],
            vec![1],
            vec![1],
            vec![1],
            vec![1],
            vec![2]
        ]
    );
}

#[test]
fn a_topic_at_the_edge_of_a_transaction_is_whole() {
    for partitions in [124, 125, 126, 127, 128, 253, 254, 255] {
        let mut memory = Memory::with_brokers(&[None]);
        memory
            .create(&[automatic("edge", partitions, 1)])
            .remove(0)
            .unwrap();
        let topic = memory.image.topic("edge").unwrap();
        assert_eq!(topic.partitions.len(), partitions as usize);
        let grown = partitions + 127;
        let request = NewPartitions {
            topic: "edge".into(),
            count: grown,
            assignments: None,
        };
        let plan = create_partitions(&memory.image, &[request], 0);
        memory.carry_out(plan).remove(0).unwrap();
        assert_eq!(
            memory.image.topic("edge").unwrap().partitions.len(),
            grown as usize
        );
        memory.assert_image_is_what_is_stored();
        let plan = delete_topics(&memory.image, &[TopicRef::Name("edge".into())]);
        memory.carry_out(plan).remove(0).unwrap();
        assert!(
            memory
                .kvs
                .keys()
                .all(|key| !key.starts_with("t/") && !key.starts_with("p/"))
        );
    }
}

#[test]
fn a_topic_grows_request_by_request_to_the_most_partitions_and_no_further() {
    let mut memory = Memory::with_brokers(&[None]);
    memory
        .create(&[automatic("huge", 10_000, 1)])
        .remove(0)
        .unwrap();
    let mut grow = |count| {
        let request = NewPartitions {
            topic: "huge".into(),
            count,
            assignments: None,
        };
        let plan = create_partitions(&memory.image, &[request], 0);
        memory.carry_out(plan).remove(0)
    };
    let too_many = |count| {
        Err(CreatePartitionsError::TooManyPartitions {
            name: "huge".into(),
            count,
        })
    };
    assert_eq!(grow(20_001), too_many(20_001));
    for count in (20_000..=PARTITIONS_MAX).step_by(10_000) {
        assert_eq!(grow(count), Ok(()));
    }
    assert_eq!(grow(PARTITIONS_MAX + 1), too_many(PARTITIONS_MAX + 1));
    assert_eq!(
        memory.image.topic("huge").unwrap().partitions.len(),
        PARTITIONS_MAX as usize
    );
}

#[test]
fn a_request_for_too_many_partitions_is_refused_whole_but_for_what_it_names_twice() {
    let mut memory = Memory::with_brokers(&[None]);
    let request = [
        automatic("a", 9_000, 1),
        automatic("b", 1_001, 1),
        automatic("b c", 1, 1),
        automatic("d", 1, 1),
        automatic("d", 1, 1),
    ];
    let too_many = |name: &str| {
        Err(CreateTopicError::TooManyPartitions {
            name: name.into(),
            partitions: 10_002,
        })
    };
    let duplicate = || Err(CreateTopicError::DuplicateInRequest { name: "d".into() });
    assert_eq!(
        memory.create(&request),
        [
            too_many("a"),
            too_many("b"),
            too_many("b c"),
            duplicate(),
            duplicate()
        ]
    );
    assert!(
        memory
            .create(&[automatic("a", 9_000, 1), automatic("b", 1_000, 1)])
            .iter()
            .all(Result::is_ok)
    );
    let ask = |topic: &str, count| NewPartitions {
        topic: topic.into(),
        count,
        assignments: None,
    };
    let plan = create_partitions(
        &memory.image,
        &[ask("a", 18_000), ask("b", 2_001), ask("none", 90_000)],
        0,
    );
    assert!(
        plan.answers
            .iter()
            .all(|answer| matches!(answer, Err(CreatePartitionsError::TooManyPartitions { .. })))
    );
    let plan = create_partitions(
        &memory.image,
        &[ask("a", 18_000), ask("b", 2_000), ask("none", 90_000)],
        0,
    );
    assert_eq!(
        plan.answers,
        [
            Ok(()),
            Ok(()),
            Err(CreatePartitionsError::UnknownTopic {
                name: "none".into()
            })
        ]
    );
}

#[test]
fn whatever_step_a_controller_dies_after_the_next_one_cleans_up() {
    let mut memory = Memory::with_brokers(&[None]);
    memory
        .create(&[automatic("kept", 200, 1)])
        .remove(0)
        .unwrap();
    let plan = create_topics(&memory.image, &[automatic("new", 500, 1)], 0, Uuid::new_v4);
    interrupt_everywhere(
        &memory,
        plan,
        &[("kept", 200)],
        &[("kept", 200), ("new", 500)],
    );
    let request = NewPartitions {
        topic: "kept".into(),
        count: 900,
        assignments: None,
    };
    let plan = create_partitions(&memory.image, &[request], 0);
    interrupt_everywhere(&memory, plan, &[("kept", 200)], &[("kept", 900)]);
    let plan = delete_topics(&memory.image, &[TopicRef::Name("kept".into())]);
    // From the first step on the topic is gone for clients, so what follows is only finished.
    for steps in 1..=plan.steps.len() {
        assert_eq!(interrupted(&memory, &plan, steps), []);
    }
}

fn interrupt_everywhere<T, E>(
    memory: &Memory,
    plan: Plan<T, E>,
    before: &[(&str, usize)],
    after: &[(&str, usize)],
) {
    let owned = |topics: &[(&str, usize)]| {
        topics
            .iter()
            .map(|&(name, count)| (name.to_owned(), count))
            .collect::<Vec<_>>()
    };
    let all = plan.steps.len();
    assert!(all > 2, "a plan of one transaction cannot be interrupted");
    for steps in 0..all {
        assert_eq!(
            interrupted(memory, &plan, steps),
            owned(before),
            "after {steps} steps"
        );
    }
    assert_eq!(interrupted(memory, &plan, all), owned(after));
}

/// The topics and partitions that clients see after `steps` of `plan`, a restart and its cleaning up; checks that it cleans.
fn interrupted<T, E>(memory: &Memory, plan: &Plan<T, E>, steps: usize) -> Vec<(String, usize)> {
    let mut memory = Memory {
        kvs: memory.kvs.clone(),
        image: memory.image.clone(),
    };
    for step in &plan.steps[..steps] {
        memory.apply(&step.txn);
    }
    let kvs = memory.kvs.values().cloned().collect();
    memory.image = ClusterImage::from_snapshot(memory.image.revision, kvs).unwrap();
    for step in unfinished::finish(&memory.image) {
        memory.apply(&step.txn);
    }
    assert!(!unfinished::is_something_unfinished(&memory.image));
    memory.assert_image_is_what_is_stored();
    let shown: usize = memory
        .image
        .topics()
        .map(|topic| topic.partitions.len())
        .sum();
    assert_eq!(
        memory
            .kvs
            .keys()
            .filter(|key| key.starts_with("p/"))
            .count(),
        shown
    );
    memory
        .image
        .topics()
        .map(|topic| (topic.name.to_string(), topic.partitions.len()))
        .collect()
}

#[test]
fn a_topic_whose_partition_records_are_missing_is_hidden_and_left_alone() {
    let mut memory = Memory::with_brokers(&[None]);
    memory
        .create(&[automatic("damaged", 3, 1)])
        .remove(0)
        .unwrap();
    let id = memory.image.topic("damaged").unwrap().id;
    memory.apply(&Txn::default().delete(Key::Partition(id, 1).text()));
    assert!(memory.image.topic("damaged").is_none());
    assert!(unfinished::finish(&memory.image).is_empty());
    let again = memory.create(&[automatic("damaged", 1, 1)]);
    assert_eq!(
        again,
        [Err(CreateTopicError::AlreadyExists {
            name: "damaged".into()
        })]
    );
    memory.assert_image_is_what_is_stored();
}

#[test]
fn copies_lie_in_different_racks_and_only_active_brokers_are_in_sync() {
    let mut memory = Memory::with_brokers(&[
        Some("a"),
        Some("a"),
        Some("b"),
        Some("b"),
        Some("c"),
        Some("c"),
    ]);
    memory.fence(4);
    memory.fence(5);
    memory
        .create(&[automatic("orders", 30, 3)])
        .remove(0)
        .unwrap();
    for partition in &memory.image.topic("orders").unwrap().partitions {
        let racks: std::collections::BTreeSet<i32> =
            partition.replicas.iter().map(|node| node / 2).collect();
        assert_eq!(racks.len(), 3, "{partition:?}");
        assert!(partition.isr.iter().all(|node| *node < 4), "{partition:?}");
        assert_eq!(partition.isr.len(), 2);
        assert_eq!(partition.leader, partition.replicas[0]);
    }
}

#[test]
fn the_restart_of_a_broker_gives_new_epochs_to_what_it_leads_and_nothing_else() {
    let mut memory = Memory::with_brokers(&[None, None, None]);
    memory
        .create(&[automatic("orders", 300, 2)])
        .remove(0)
        .unwrap();
    let before = memory.image.topic("orders").unwrap().clone();
    memory.start_broker(1, None, true);
    let after = memory.image.topic("orders").unwrap();
    let mut led = 0;
    for (before, after) in before.partitions.iter().zip(&after.partitions) {
        let leads = before.leader == 1;
        led += usize::from(leads);
        assert_eq!(after.leader, before.leader);
        assert_eq!(after.leader_epoch, before.leader_epoch + i32::from(leads));
        assert_eq!(
            after.partition_epoch,
            before.partition_epoch + i32::from(leads)
        );
    }
    assert_eq!(led, 100);
    memory.start_broker(1, None, false);
    for partition in &memory.image.topic("orders").unwrap().partitions {
        assert!(partition.leader != 1 && partition.leader != NO_LEADER);
        assert!(!partition.isr.contains(&1), "its log may have lost its end");
    }
}

#[derive(Debug, Clone)]
enum Act {
    Create(Vec<(usize, i32)>),
    Delete(Vec<usize>),
    Expand(usize, i32),
    Configure(usize, i32),
    Restart(i32, bool),
}

const NAMES: [&str; 5] = ["a", "b.c", "b_c", "__consumer_offsets", "d"];

fn any_act() -> impl Strategy<Value = Act> {
    let name = || 0..NAMES.len();
    prop_oneof![
        prop::collection::vec((name(), -1..140), 1..4).prop_map(Act::Create),
        prop::collection::vec(name(), 1..3).prop_map(Act::Delete),
        (name(), 0..300).prop_map(|(name, count)| Act::Expand(name, count)),
        (name(), 1..4).prop_map(|(name, min_isr)| Act::Configure(name, min_isr)),
        (0..3, any::<bool>()).prop_map(|(node, clean)| Act::Restart(node, clean)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The model knows names and counts only; ids, epochs and agreement of image and store are checked beside it.
    #[test]
    fn any_history_of_requests_agrees_with_a_simple_model(acts in prop::collection::vec(any_act(), 1..25)) {
        let mut memory = Memory::with_brokers(&[Some("x"), Some("y"), Some("y")]);
        let mut model: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ids = std::collections::BTreeSet::new();
        for act in acts {
            let epochs: BTreeMap<_, _> = epochs(&memory.image);
            match act {
                Act::Create(topics) => {
                    let request: Vec<NewTopic> =
                        topics.iter().map(|&(name, partitions)| automatic(NAMES[name], partitions, 2)).collect();
                    let answers = memory.create(&request);
                    for (&(name, partitions), answer) in topics.iter().zip(&answers) {
                        let twice = topics.iter().filter(|(other, _)| *other == name).count() > 1;
                        let possible = !twice && partitions > 0 && !model.keys().any(|taken| taken.replace('.', "_") == NAMES[name].replace('.', "_"));
                        if answer.is_ok() {
                            prop_assert!(possible);
                            model.insert(NAMES[name], partitions as usize);
                            prop_assert!(ids.insert(memory.image.topic(NAMES[name]).unwrap().id), "an id was given twice");
                        } else if possible {
                            let rival = topics.iter().any(|&(other, _)| other != name && NAMES[other].replace('.', "_") == NAMES[name].replace('.', "_"));
                            prop_assert!(rival, "{:?}", answer);
                        }
                    }
                }
                Act::Delete(names) => {
                    let request: Vec<TopicRef> = names.iter().map(|&name| TopicRef::Name(NAMES[name].into())).collect();
                    let plan = delete_topics(&memory.image, &request);
                    for (name, answer) in names.iter().zip(memory.carry_out(plan)) {
                        prop_assert_eq!(answer.is_ok(), model.remove(NAMES[*name]).is_some());
                    }
                }
                Act::Expand(name, count) => {
                    let request = NewPartitions { topic: NAMES[name].into(), count, assignments: None };
                    let plan = create_partitions(&memory.image, &[request], 3);
                    let grows = model.get(NAMES[name]).is_some_and(|&current| count as usize > current);
                    prop_assert_eq!(memory.carry_out(plan)[0].is_ok(), grows);
                    if grows {
                        model.insert(NAMES[name], count as usize);
                    }
                }
                Act::Configure(name, min_isr) => {
                    let change = configs::ConfigChange {
                        resource: crate::ConfigResource::Topic(NAMES[name].into()),
                        ops: configs::ConfigOps::Incremental([("min.insync.replicas".into(), Some(min_isr.to_string()))].into()),
                        expected_revision: None,
                        min_isr: Some(min_isr),
                    };
                    let plan = configs::alter_configs(&memory.image, &[change]);
                    prop_assert_eq!(memory.carry_out(plan)[0].is_ok(), model.contains_key(NAMES[name]));
                    if let Some(topic) = memory.image.topic(NAMES[name]) {
                        prop_assert!(topic.partitions.iter().all(|partition| partition.min_isr == min_isr));
                        prop_assert_eq!(&topic.configs["min.insync.replicas"], &min_isr.to_string());
                    }
                }
                Act::Restart(node, clean) => memory.start_broker(node, None, clean),
            }
            let shown: BTreeMap<&str, usize> =
                memory.image.topics().map(|topic| (&*topic.name, topic.partitions.len())).collect();
            prop_assert_eq!(&shown, &model);
            prop_assert!(!unfinished::is_something_unfinished(&memory.image));
            for (key, (leader_epoch, partition_epoch)) in self::epochs(&memory.image) {
                if let Some(&(leader_before, partition_before)) = epochs.get(&key) {
                    prop_assert!(leader_epoch >= leader_before && partition_epoch >= partition_before);
                }
            }
            memory.assert_image_is_what_is_stored();
        }
        let internal = memory.image.topic("__consumer_offsets").map(|topic| topic.internal);
        prop_assert_ne!(internal, Some(false));
    }
}

fn epochs(image: &ClusterImage) -> BTreeMap<(Uuid, usize), (i32, i32)> {
    let of_topic = |topic: &std::sync::Arc<crate::TopicImage>| {
        let epochs = topic
            .partitions
            .iter()
            .map(|state| (state.leader_epoch, state.partition_epoch));
        let id = topic.id;
        epochs
            .enumerate()
            .map(move |(number, epochs)| ((id, number), epochs))
            .collect::<Vec<_>>()
    };
    image.topics().flat_map(of_topic).collect()
}
