use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;
use crate::EmbeddedStore;
use crate::image::TopicChange;
use crate::keys::ConfigResource;
use crate::plan::configs::ConfigOps;
use crate::plan::create::{InvalidAssignment, Layout};
use crate::plan::placement::PlacementError;
use crate::values::{Listener, PartitionState};

struct Node {
    controller: Controller,
    task: tokio::task::JoinHandle<()>,
}

impl Node {
    /// A broker with node id 1 on the store in `dir`, registered.
    async fn start(dir: &Path) -> Self {
        let node = Self::start_unregistered(dir).await;
        node.controller
            .register_broker(registration())
            .await
            .expect("registration succeeds");
        node
    }

    async fn start_unregistered(dir: &Path) -> Self {
        Self::on(EmbeddedStore::open(dir).expect("the store opens")).await
    }

    /// [`start`](Self::start), and the store to make trouble with.
    async fn start_with_store(dir: &Path) -> (Self, EmbeddedStore) {
        let store = EmbeddedStore::open(dir).expect("the store opens");
        let node = Self::on(store.clone()).await;
        node.controller
            .register_broker(registration())
            .await
            .expect("registration succeeds");
        (node, store)
    }

    async fn on(store: EmbeddedStore) -> Self {
        let opened = Controller::open(Arc::new(store), options(None)).await;
        let (controller, task) = opened.expect("the controller opens");
        Self {
            controller,
            task: tokio::spawn(task.run()),
        }
    }

    async fn stop(self) {
        self.controller.close().await;
        self.task.await.expect("the task ends in order");
    }

    async fn create(&self, name: &str, partitions: i32) -> Uuid {
        let mut answers = self
            .controller
            .create_topics(vec![topic(name, partitions)], false)
            .await;
        answers
            .remove(0)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .id
    }

    async fn create_error(&self, topic: NewTopic) -> CreateTopicError {
        self.controller
            .create_topics(vec![topic], false)
            .await
            .remove(0)
            .expect_err("the topic is refused")
    }

    fn partition(&self, topic: &str, partition: i32) -> Arc<PartitionState> {
        let image = self.controller.image();
        Arc::clone(
            image
                .topic(topic)
                .and_then(|topic| topic.partition(partition))
                .expect("the partition exists"),
        )
    }
}

fn options(cluster_id: Option<&str>) -> ControllerOptions {
    ControllerOptions {
        node_id: 1,
        incarnation: Uuid::new_v4(),
        cluster_id: cluster_id.map(str::to_owned),
        created_by: "test".into(),
        entropy: crate::ids::system_entropy(),
    }
}

fn registration() -> BrokerRegistration {
    let listener = Listener {
        name: "PLAINTEXT".into(),
        host: "localhost".into(),
        port: 9092,
        security_protocol: 0,
    };
    BrokerRegistration {
        node_id: 1,
        incarnation: Uuid::new_v4(),
        listeners: vec![listener],
        rack: None,
        log_dirs: vec![Uuid::new_v4()],
        features: Vec::new(),
        remembered_epoch: -1,
        clean_shutdown: false,
    }
}

fn topic(name: &str, partitions: i32) -> NewTopic {
    let layout = Layout::Automatic {
        partitions,
        replication_factor: 1,
    };
    NewTopic {
        name: name.into(),
        layout,
        configs: BTreeMap::new(),
        min_isr: 1,
    }
}

fn by_name(name: &str) -> TopicRef {
    TopicRef::Name(name.into())
}

#[tokio::test]
async fn a_new_store_becomes_a_cluster_whose_id_stays() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let id = node.controller.image().cluster_id.clone();
    assert!(crate::ids::parse_id(&id).is_some(), "{id}");
    assert_eq!(node.controller.image().controller, Some(1));
    node.stop().await;
    let node = Node::start(dir.path()).await;
    assert_eq!(node.controller.image().cluster_id, id);
    node.stop().await;
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let error = Controller::open(Arc::new(store), options(Some("another")))
        .await
        .err();
    assert_eq!(
        error,
        Some(OpenError::ClusterIdMismatch {
            stored: id,
            configured: "another".into()
        })
    );
}

#[tokio::test]
async fn a_configured_cluster_id_is_taken_and_must_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let error = Controller::open(Arc::new(store), options(Some("a/b")))
        .await
        .err();
    assert_eq!(
        error,
        Some(OpenError::InvalidClusterId {
            configured: "a/b".into()
        })
    );
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let (controller, _task) =
        Controller::open(Arc::new(store), options(Some("MkU3OEVBNTcwNTJENDM2Qg")))
            .await
            .unwrap();
    assert_eq!(controller.image().cluster_id, "MkU3OEVBNTcwNTJENDM2Qg");
}

#[tokio::test]
async fn a_created_topic_is_in_the_image_when_the_answer_arrives_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let mut orders = topic("orders", 3);
    orders.configs.insert("retention.ms".into(), "1000".into());
    let created = node
        .controller
        .create_topics(vec![orders], false)
        .await
        .remove(0)
        .unwrap();
    assert_eq!(
        (
            created.partitions,
            created.replication_factor,
            created.name.as_str()
        ),
        (3, 1, "orders")
    );
    for round in 0..2 {
        let image = node.controller.image();
        let topic = image.topic("orders").unwrap();
        assert!(
            Arc::ptr_eq(topic, image.topic_by_id(created.id).unwrap()),
            "round {round}"
        );
        assert_eq!(
            (topic.id, topic.internal, topic.partitions.len()),
            (created.id, false, 3)
        );
        assert_eq!(
            topic.configs.get("retention.ms").map(String::as_str),
            Some("1000")
        );
        let expected = PartitionState {
            leader: 1,
            replicas: vec![1],
            isr: vec![1],
            min_isr: 1,
            ..Default::default()
        };
        assert!(
            topic
                .partitions
                .iter()
                .all(|partition| **partition == expected)
        );
    }
    node.stop().await;
    let node = Node::start(dir.path()).await;
    let image = node.controller.image();
    let topic = image.topic("orders").unwrap();
    assert_eq!((topic.id, topic.partitions.len()), (created.id, 3));
    assert_eq!(
        topic.configs.get("retention.ms").map(String::as_str),
        Some("1000")
    );
    node.stop().await;
}

#[tokio::test]
async fn leader_and_broker_epochs_grow_with_every_restart() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    node.create("orders", 2).await;
    let mut before = (
        node.partition("orders", 1),
        node.controller.image().brokers[&1].broker_epoch,
    );
    node.stop().await;
    for _ in 0..3 {
        let node = Node::start(dir.path()).await;
        let after = (
            node.partition("orders", 1),
            node.controller.image().brokers[&1].broker_epoch,
        );
        assert_eq!(after.0.leader, 1);
        assert!(
            after.0.leader_epoch > before.0.leader_epoch
                && after.0.partition_epoch > before.0.partition_epoch
        );
        assert!(after.1 > before.1);
        assert!(node.controller.image().is_active(1));
        before = after;
        node.stop().await;
    }
}

#[tokio::test]
async fn a_broker_epoch_grows_beyond_what_the_brokers_disk_remembers() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start_unregistered(dir.path()).await;
    let epoch = node
        .controller
        .register_broker(BrokerRegistration {
            remembered_epoch: 41,
            ..registration()
        })
        .await;
    assert_eq!(epoch, Ok(42));
    assert_eq!(
        node.controller.register_broker(registration()).await,
        Ok(43)
    );
}

#[tokio::test]
async fn a_topic_created_again_under_the_same_name_is_another_topic() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let first = node.create("orders", 2).await;
    let change = ConfigChange {
        resource: ConfigResource::Topic("orders".into()),
        ops: ConfigOps::Incremental([("retention.ms".into(), Some("5".into()))].into()),
        expected_revision: None,
        min_isr: None,
    };
    assert_eq!(
        node.controller.alter_configs(vec![change], false).await,
        [Ok(())]
    );
    let before = node.controller.image();
    let deleted = node.controller.delete_topics(vec![by_name("orders")]).await;
    assert_eq!(
        deleted,
        [Ok(DeletedTopic {
            id: first,
            name: "orders".into()
        })]
    );
    assert!(
        node.controller.image().topic("orders").is_none()
            && node.controller.image().topic_by_id(first).is_none()
    );
    let second = node.create("orders", 1).await;
    assert_ne!(first, second);
    let image = node.controller.image();
    assert!(
        image.topic("orders").unwrap().configs.is_empty(),
        "nothing is inherited"
    );
    let changes = image.changes_since(&before).topics;
    assert_eq!(changes.len(), 2);
    assert!(
        changes
            .iter()
            .any(|change| matches!(change, TopicChange::Created(topic) if topic.id == second))
    );
    assert!(
        changes
            .iter()
            .any(|change| matches!(change, TopicChange::Deleted(topic) if topic.id == first))
    );
    assert_eq!(
        node.controller
            .delete_topics(vec![TopicRef::Id(first)])
            .await,
        [Err(DeleteTopicError::UnknownTopicId { id: first })]
    );
    assert_eq!(
        node.controller
            .delete_topics(vec![TopicRef::Id(second), by_name("orders")])
            .await,
        [
            Ok(DeletedTopic {
                id: second,
                name: "orders".into()
            }),
            Err(DeleteTopicError::UnknownTopic {
                name: "orders".into()
            }),
        ]
    );
}

#[tokio::test]
async fn a_topic_that_cannot_be_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    node.create("a.b", 1).await;
    let with = |layout| NewTopic {
        layout,
        ..topic("new", 1)
    };
    let automatic = |partitions, replication_factor| {
        with(Layout::Automatic {
            partitions,
            replication_factor,
        })
    };
    let manual = |assignment: &[(i32, &[i32])]| {
        with(Layout::Manual(
            assignment.iter().map(|&(p, r)| (p, r.to_vec())).collect(),
        ))
    };
    let expected = [
        (
            topic("a b", 1),
            CreateTopicError::InvalidName(crate::InvalidTopicName::IllegalCharacter {
                name: "a b".into(),
            }),
        ),
        (
            topic("a.b", 1),
            CreateTopicError::AlreadyExists { name: "a.b".into() },
        ),
        (
            topic("a_b", 1),
            CreateTopicError::CollidesWith {
                name: "a_b".into(),
                existing: "a.b".into(),
            },
        ),
        (
            automatic(0, 1),
            CreateTopicError::InvalidPartitions { partitions: 0 },
        ),
        (
            automatic(-2, 1),
            CreateTopicError::InvalidPartitions { partitions: -2 },
        ),
        (
            automatic(1, 0),
            PlacementError::NotPositive {
                replication_factor: 0,
            }
            .into(),
        ),
        (
            automatic(1, 2),
            PlacementError::TooFewBrokers {
                replication_factor: 2,
                registered: 1,
            }
            .into(),
        ),
        (
            automatic(100_001, 1),
            CreateTopicError::TooManyPartitions {
                name: "new".into(),
                partitions: 100_001,
            },
        ),
        (
            manual(&[]),
            CreateTopicError::InvalidPartitions { partitions: 0 },
        ),
        (
            manual(&[(0, &[])]),
            InvalidAssignment::Empty { partition: 0 }.into(),
        ),
        (
            manual(&[(0, &[1]), (0, &[1])]),
            InvalidAssignment::RepeatedPartition { partition: 0 }.into(),
        ),
        (
            manual(&[(0, &[1]), (2, &[1])]),
            InvalidAssignment::NotConsecutive.into(),
        ),
        (
            manual(&[(1, &[1])]),
            InvalidAssignment::NotConsecutive.into(),
        ),
        (
            manual(&[(0, &[1, 1])]),
            InvalidAssignment::RepeatedBroker { broker: 1 }.into(),
        ),
        (
            manual(&[(0, &[7])]),
            InvalidAssignment::UnknownBroker { broker: 7 }.into(),
        ),
    ];
    for (topic, error) in expected {
        let described = format!("{topic:?}");
        assert_eq!(node.create_error(topic).await, error, "{described}");
    }
    assert!(node.controller.image().topic("new").is_none());
    node.controller
        .create_topics(vec![manual(&[(1, &[1]), (0, &[1])])], false)
        .await
        .remove(0)
        .unwrap();
    assert_eq!(
        node.controller
            .image()
            .topic("new")
            .unwrap()
            .partitions
            .len(),
        2
    );
}

#[tokio::test]
async fn the_items_of_a_request_succeed_and_fail_on_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let request = vec![
        topic("one", 1),
        topic("twice", 1),
        topic("", 1),
        topic("twice", 1),
        topic("x.y", 1),
        topic("x_y", 1),
        topic("two", 2),
    ];
    let valid: Vec<bool> = node
        .controller
        .create_topics(request.clone(), true)
        .await
        .iter()
        .map(Result::is_ok)
        .collect();
    assert_eq!(valid, [true, false, false, false, true, false, true]);
    assert_eq!(
        node.controller.image().topic_count(),
        0,
        "validation creates nothing"
    );
    let created = node.controller.create_topics(request, false).await;
    assert_eq!(created.iter().map(Result::is_ok).collect::<Vec<_>>(), valid);
    assert_eq!(
        created[1],
        Err(CreateTopicError::DuplicateInRequest {
            name: "twice".into()
        })
    );
    let image = node.controller.image();
    let names: Vec<&str> = image.topics().map(|topic| &*topic.name).collect();
    assert_eq!(names, ["one", "two", "x.y"]);
    assert_eq!(
        image.topics_from("p").next().map(|topic| &*topic.name),
        Some("two")
    );
}

#[tokio::test]
async fn nothing_can_be_created_before_a_broker_is_registered() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start_unregistered(dir.path()).await;
    let error = node.create_error(topic("orders", 1)).await;
    assert_eq!(
        error,
        PlacementError::TooFewBrokers {
            replication_factor: 1,
            registered: 0
        }
        .into()
    );
}

#[tokio::test]
async fn partitions_are_added_and_never_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    node.create("orders", 2).await;
    let ask = |count, assignments: Option<&[&[i32]]>| NewPartitions {
        topic: "orders".into(),
        count,
        assignments: assignments
            .map(|given| given.iter().map(|replicas| replicas.to_vec()).collect()),
    };
    let refused = [
        (
            ask(2, None),
            CreatePartitionsError::Unchanged { current: 2 },
        ),
        (
            ask(1, None),
            CreatePartitionsError::NotAnIncrease {
                name: "orders".into(),
                current: 2,
                count: 1,
            },
        ),
        (
            ask(-1, None),
            CreatePartitionsError::NotAnIncrease {
                name: "orders".into(),
                current: 2,
                count: -1,
            },
        ),
        (
            ask(200_000, None),
            CreatePartitionsError::TooManyPartitions {
                name: "orders".into(),
                count: 200_000,
            },
        ),
        (
            ask(4, Some(&[&[1]])),
            InvalidAssignment::WrongCount {
                partitions: 2,
                assignments: 1,
            }
            .into(),
        ),
        (
            ask(3, Some(&[&[9]])),
            InvalidAssignment::UnknownBroker { broker: 9 }.into(),
        ),
        (
            NewPartitions {
                topic: "none".into(),
                ..ask(3, None)
            },
            CreatePartitionsError::UnknownTopic {
                name: "none".into(),
            },
        ),
    ];
    for (request, error) in refused {
        assert_eq!(
            node.controller
                .create_partitions(vec![request], false)
                .await,
            [Err(error)]
        );
    }
    assert_eq!(
        node.controller
            .create_partitions(vec![ask(3, None)], true)
            .await,
        [Ok(())]
    );
    assert_eq!(
        node.controller
            .image()
            .topic("orders")
            .unwrap()
            .partitions
            .len(),
        2
    );
    let first = node.partition("orders", 0);
    assert_eq!(
        node.controller
            .create_partitions(vec![ask(4, Some(&[&[1], &[1]]))], false)
            .await,
        [Ok(())]
    );
    assert_eq!(
        node.controller
            .image()
            .topic("orders")
            .unwrap()
            .partitions
            .len(),
        4
    );
    assert_eq!(
        node.partition("orders", 0),
        first,
        "those that were there are untouched"
    );
    assert_eq!(node.partition("orders", 3).leader, 1);
}

#[tokio::test]
async fn a_topic_larger_than_a_transaction_is_created_grown_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    node.create("large", 1_000).await;
    assert_eq!(
        node.controller
            .image()
            .topic("large")
            .unwrap()
            .partitions
            .len(),
        1_000
    );
    let grown = NewPartitions {
        topic: "large".into(),
        count: 1_500,
        assignments: None,
    };
    assert_eq!(
        node.controller.create_partitions(vec![grown], false).await,
        [Ok(())]
    );
    assert_eq!(
        node.controller
            .image()
            .topic("large")
            .unwrap()
            .partitions
            .len(),
        1_500
    );
    node.stop().await;
    let node = Node::start(dir.path()).await;
    assert!(
        node.controller
            .image()
            .topic("large")
            .unwrap()
            .partitions
            .iter()
            .all(|partition| partition.leader_epoch == 1)
    );
    assert!(node.controller.delete_topics(vec![by_name("large")]).await[0].is_ok());
    assert_eq!(node.controller.image().topic_count(), 0);
    assert!(
        node.controller.image().work.topics.is_empty(),
        "nothing is left half done"
    );
}

#[tokio::test]
async fn configs_are_set_deleted_replaced_and_compared() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    node.create("orders", 1).await;
    let values = |resource: &ConfigResource| {
        let image = node.controller.image();
        image
            .config(resource)
            .map(|config| (*config.values).clone())
            .unwrap_or_default()
    };
    let change = |resource: &ConfigResource, ops, expected_revision| ConfigChange {
        resource: resource.clone(),
        ops,
        expected_revision,
        min_isr: None,
    };
    let set = |pairs: &[(&str, Option<&str>)]| {
        ConfigOps::Incremental(
            pairs
                .iter()
                .map(|&(key, value)| (key.to_owned(), value.map(str::to_owned)))
                .collect(),
        )
    };
    let resources = [
        ConfigResource::Topic("orders".into()),
        ConfigResource::BrokerDefault,
        ConfigResource::Broker(1),
        ConfigResource::BrokerLogger(1),
        ConfigResource::ClientMetrics("cpu".into()),
        ConfigResource::Group("payments/eu".into()),
    ];
    let all = resources
        .iter()
        .map(|resource| {
            change(
                resource,
                set(&[("a", Some("1")), ("b", Some("2"))]),
                Some(0),
            )
        })
        .collect();
    assert_eq!(
        node.controller.alter_configs(all, false).await,
        vec![Ok(()); resources.len()]
    );
    for resource in &resources {
        assert_eq!(values(resource).len(), 2, "{resource}");
        let found = node.controller.image().config(resource).unwrap().revision;
        let stale = change(resource, set(&[("a", None)]), Some(0));
        let changed = AlterConfigError::Changed {
            resource: resource.clone(),
            expected: 0,
            found,
        };
        assert_eq!(
            node.controller.alter_configs(vec![stale], false).await,
            [Err(changed)]
        );
        let delete = change(resource, set(&[("a", None), ("c", Some("3"))]), Some(found));
        assert_eq!(
            node.controller.alter_configs(vec![delete], false).await,
            [Ok(())]
        );
        assert_eq!(
            values(resource),
            BTreeMap::from([("b".into(), "2".into()), ("c".into(), "3".into())])
        );
        let unwritten = node.controller.image().revision;
        let same = change(resource, set(&[("b", Some("2"))]), None);
        assert_eq!(
            node.controller.alter_configs(vec![same], false).await,
            [Ok(())]
        );
        assert_eq!(
            node.controller.image().revision,
            unwritten,
            "what changes nothing is not written"
        );
        let validated = change(resource, ConfigOps::Replace(BTreeMap::new()), None);
        assert_eq!(
            node.controller
                .alter_configs(vec![validated.clone()], true)
                .await,
            [Ok(())]
        );
        assert_eq!(values(resource).len(), 2, "validation changes nothing");
        assert_eq!(
            node.controller.alter_configs(vec![validated], false).await,
            [Ok(())]
        );
        assert!(node.controller.image().config(resource).is_none());
    }
    let none = ConfigResource::Topic("none".into());
    let unknown = AlterConfigError::UnknownTopic {
        name: "none".into(),
    };
    assert_eq!(
        node.controller
            .alter_configs(vec![change(&none, set(&[]), None)], false)
            .await,
        [Err(unknown)]
    );
    let nameless = ConfigResource::Group(String::new());
    let invalid = AlterConfigError::InvalidResource {
        resource: nameless.clone(),
    };
    assert_eq!(
        node.controller
            .alter_configs(vec![change(&nameless, set(&[]), None)], false)
            .await,
        [Err(invalid)]
    );
    let twice = vec![change(&resources[2], set(&[]), None); 2];
    let duplicate = Err(AlterConfigError::DuplicateInRequest {
        resource: resources[2].clone(),
    });
    assert_eq!(
        node.controller.alter_configs(twice, false).await,
        [duplicate.clone(), duplicate]
    );
}

#[tokio::test]
async fn a_changed_minimum_of_replicas_in_sync_reaches_every_partition() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    node.create("orders", 300).await;
    let change = ConfigChange {
        resource: ConfigResource::Topic("orders".into()),
        ops: ConfigOps::Incremental([("min.insync.replicas".into(), Some("2".into()))].into()),
        expected_revision: None,
        min_isr: Some(2),
    };
    assert_eq!(
        node.controller.alter_configs(vec![change], false).await,
        [Ok(())]
    );
    let image = node.controller.image();
    let topic = image.topic("orders").unwrap();
    assert!(
        topic
            .partitions
            .iter()
            .all(|partition| partition.min_isr == 2 && partition.leader_epoch == 0)
    );
    assert_eq!(
        topic.configs.get("min.insync.replicas").map(String::as_str),
        Some("2")
    );
}

#[tokio::test]
async fn producer_ids_are_given_once_to_whoever_asks_at_the_same_time() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let askers: Vec<_> = (0..50)
        .map(|asker| {
            let controller = node.controller.clone();
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for _ in 0..100 {
                    ids.extend(
                        controller
                            .allocate_producer_ids(1 + asker % 3)
                            .await
                            .unwrap(),
                    );
                }
                ids
            })
        })
        .collect();
    let mut seen = BTreeSet::new();
    let mut given = 0;
    for asker in askers {
        let ids = asker.await.unwrap();
        given += ids.len();
        seen.extend(ids);
    }
    assert_eq!(seen.len(), given);
    let next = node.controller.image().producer_ids.next_producer_id;
    assert!(seen.last().unwrap() < &next && next % 1000 == 0);
}

#[tokio::test]
async fn subscribers_see_the_latest_image_and_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let mut images = node.controller.subscribe();
    let before = Arc::clone(&images.borrow_and_update());
    let orders = node.create("orders", 1).await;
    images.changed().await.unwrap();
    let after = Arc::clone(&images.borrow_and_update());
    assert!(Arc::ptr_eq(&after, &node.controller.image()));
    let changes = after.changes_since(&before);
    assert!(matches!(&changes.topics[..], [TopicChange::Created(topic)] if topic.id == orders));
    assert!(!changes.brokers && changes.configs.is_empty());
    assert!(after.changes_since(&after).topics.is_empty());
}

#[tokio::test]
async fn after_closing_everything_is_refused_and_the_store_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    node.controller.close().await;
    node.controller.close().await;
    assert_eq!(
        node.create_error(topic("late", 1)).await,
        CreateTopicError::Controller(ControllerError::Stopped)
    );
    assert_eq!(
        node.controller.allocate_producer_ids(1).await,
        Err(ControllerError::Stopped.into())
    );
    assert!(EmbeddedStore::open(dir.path()).is_ok());
}

#[tokio::test]
async fn a_request_whose_caller_gave_up_is_carried_out_whole() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let controller = node.controller.clone();
    // The future is polled once, which hands the request over, and then dropped.
    let request = controller.create_topics(vec![topic("orders", 500)], false);
    tokio::select! {
        biased;
        _ = request => panic!("the answer cannot be there yet"),
        () = std::future::ready(()) => {}
    }
    node.create("after", 1).await;
    assert_eq!(
        node.controller
            .image()
            .topic("orders")
            .unwrap()
            .partitions
            .len(),
        500
    );
}

use crate::embedded::faults::{Faults, WriteFault};
use crate::store::StoreError;

#[tokio::test]
async fn a_creation_of_unknown_outcome_is_looked_up_before_it_is_answered() {
    for (fault, opens) in [(WriteFault::Written, 1), (WriteFault::Refused, 1)] {
        let dir = tempfile::tempdir().unwrap();
        let (node, store) = Node::start_with_store(dir.path()).await;
        store.inject(Faults {
            writes: vec![fault],
            opens,
        });
        let answer = node
            .controller
            .create_topics(vec![topic("orders", 2)], false)
            .await
            .remove(0);
        let found = node
            .controller
            .image()
            .topic("orders")
            .map(|topic| topic.id);
        match fault {
            WriteFault::Written => assert_eq!(answer.map(|created| created.id).ok(), found),
            WriteFault::Spared | WriteFault::Refused => {
                let unavailable = |error: &CreateTopicError| {
                    matches!(
                        error,
                        CreateTopicError::Controller(ControllerError::Store(
                            StoreError::Unavailable { .. }
                        ))
                    )
                };
                assert!(answer.as_ref().is_err_and(unavailable), "{answer:?}");
                assert_eq!(found, None);
            }
        }
        node.create("later", 1).await;
    }
}

#[tokio::test]
async fn while_the_store_cannot_be_read_requests_fail_and_afterwards_the_truth_is_found() {
    for fault in [WriteFault::Written, WriteFault::Refused] {
        let dir = tempfile::tempdir().unwrap();
        let (node, store) = Node::start_with_store(dir.path()).await;
        node.create("before", 1).await;
        store.inject(Faults {
            writes: vec![fault],
            opens: 3,
        });
        let error = node.create_error(topic("orders", 2)).await;
        assert!(
            matches!(
                error,
                CreateTopicError::Controller(ControllerError::Unknown { .. })
            ),
            "{error:?}"
        );
        assert!(
            node.controller.image().topic("before").is_some(),
            "the image stays readable"
        );
        let error = node.create_error(topic("other", 1)).await;
        assert!(
            matches!(
                error,
                CreateTopicError::Controller(ControllerError::Store(_))
            ),
            "{error:?}"
        );
        node.create("later", 1).await;
        let created = node.controller.image().topic("orders").is_some();
        assert_eq!(created, fault == WriteFault::Written);
    }
}

#[tokio::test]
async fn a_large_creation_that_fails_in_the_middle_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let (node, store) = Node::start_with_store(dir.path()).await;
    // In the middle: the topic is announced, nine of forty lots of partitions are written.
    let mut writes = vec![WriteFault::Refused; 2];
    writes.extend([WriteFault::Spared; 10]);
    store.inject(Faults { writes, opens: 0 });
    let error = node.create_error(topic("large", 5_000)).await;
    assert!(
        matches!(
            error,
            CreateTopicError::Controller(ControllerError::Store(_))
        ),
        "{error:?}"
    );
    assert_eq!(node.controller.image().topic_count(), 0);
    assert_eq!(node.controller.image().work.topics.len(), 1);
    node.create("next", 1).await;
    assert!(node.controller.image().work.topics.is_empty());
    node.create("large", 3).await;
}

#[tokio::test]
async fn a_controller_that_was_replaced_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let (node, store) = Node::start_with_store(dir.path()).await;
    store
        .txn(crate::store::Txn::default().put("ctl/leader", bytes::Bytes::new()))
        .await
        .unwrap();
    let error = node.create_error(topic("orders", 1)).await;
    assert_eq!(
        error,
        CreateTopicError::Controller(ControllerError::Conflict)
    );
    assert!(node.controller.allocate_producer_ids(1).await.is_err());
    assert!(node.controller.image().topic("orders").is_none());
}

#[tokio::test]
async fn what_a_request_did_before_one_of_its_items_failed_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (node, store) = Node::start_with_store(dir.path()).await;
    // Each topic takes five transactions: announced, three times partitions, active. The eighth fails, also when it is repeated.
    let mut writes = vec![WriteFault::Refused; 2];
    writes.extend([WriteFault::Spared; 7]);
    store.inject(Faults { writes, opens: 0 });
    let answers = node
        .controller
        .create_topics(vec![topic("first", 300), topic("second", 300)], false)
        .await;
    assert!(answers[0].is_ok() && answers[1].is_err(), "{answers:?}");
    drop(store);
    node.stop().await;
    let node = Node::start(dir.path()).await;
    assert_eq!(
        node.controller
            .image()
            .topic("first")
            .unwrap()
            .partitions
            .len(),
        300
    );
    assert!(node.controller.image().topic("second").is_none());
    node.create("second", 1).await;
}

fn quota(user: Option<&str>, key: &str, value: Option<f64>) -> crate::QuotaAlteration {
    crate::QuotaAlteration {
        entity: BTreeMap::from([("user".to_owned(), user.map(String::from))]),
        ops: vec![(key.to_owned(), value)],
        host_is_known: true,
    }
}

fn quotas_of(node: &Node) -> Vec<(String, BTreeMap<String, f64>)> {
    let image = node.controller.image();
    let quotas = image.quotas();
    quotas
        .map(|(entity, quota)| (entity.to_string(), quota.values.clone()))
        .collect()
}

#[tokio::test]
async fn client_quotas_survive_a_restart_and_go_with_their_last_key() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    assert_eq!(node.controller.image().quotas_revision(), 0);
    let alterations = vec![
        quota(Some("alice"), "producer_byte_rate", Some(1000.0)),
        quota(None, "request_percentage", Some(12.5)),
    ];
    assert_eq!(
        node.controller
            .alter_client_quotas(alterations.clone(), true)
            .await,
        [Ok(()), Ok(())]
    );
    assert_eq!(quotas_of(&node), [], "validating changes nothing");
    node.controller
        .alter_client_quotas(alterations, false)
        .await;
    let expected = [
        (
            "user=null".to_owned(),
            BTreeMap::from([("request_percentage".to_owned(), 12.5)]),
        ),
        (
            "user=alice".to_owned(),
            BTreeMap::from([("producer_byte_rate".to_owned(), 1000.0)]),
        ),
    ];
    assert_eq!(quotas_of(&node), expected);
    node.stop().await;

    let node = Node::start(dir.path()).await;
    assert_eq!(quotas_of(&node), expected);
    let before = node.controller.image().quotas_revision();
    node.create("orders", 1).await;
    assert_eq!(node.controller.image().quotas_revision(), before);
    let removal = vec![quota(Some("alice"), "producer_byte_rate", None)];
    node.controller.alter_client_quotas(removal, false).await;
    assert_eq!(quotas_of(&node), expected[..1]);
    assert_ne!(node.controller.image().quotas_revision(), before);
}
