//! The topics this broker serves: the cluster's picture joined with this disk's logs.
//!
//! Handlers read an immutable table; it moves forward only by applying a newer cluster image.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use cluster::{ClusterImage, TopicImage};
use foldhash::{HashMap, HashSet};
use parking_lot::Mutex;
use storage::{LogKey, PartitionLog, Store};
use tracing::{error, info, warn};
use uuid::Uuid;
use wire::ResponseError;

use crate::config::{Config, TopicSettings};
use crate::metrics::traffic::{TopicTraffic, Traffic};
use crate::waiters::{WaiterTable, Waiters};

/// One partition as this broker sees it.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) leader_epoch: i32,
    pub(crate) log: Arc<PartitionLog>,
    pub(crate) waiters: Arc<Waiters>,
    /// Its topic's.
    pub(crate) traffic: Arc<TopicTraffic>,
}

/// What this broker has of a partition.
#[derive(Debug, Clone)]
enum Place {
    /// Other brokers have it.
    Elsewhere,
    /// It belongs here, and its log could not be opened.
    Unavailable,
    Here(Arc<Partition>),
}

impl Place {
    fn here(&self) -> Option<&Arc<Partition>> {
        match self {
            Self::Here(partition) => Some(partition),
            Self::Elsewhere | Self::Unavailable => None,
        }
    }
}

/// One topic: its place in the cluster, its settings, and the partitions that are led here.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) image: Arc<TopicImage>,
    pub(crate) settings: Arc<TopicSettings>,
    /// What went through it since this broker has it.
    pub(crate) traffic: Arc<TopicTraffic>,
    /// By partition index.
    partitions: Vec<Place>,
}

impl Topic {
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.image.name
    }

    pub(crate) fn id(&self) -> Uuid {
        self.image.id
    }

    pub(crate) fn partition_count(&self) -> usize {
        self.image.partitions.len()
    }

    /// The partition, if it is led here; otherwise what to tell a client: look for its leader, try again later, or there
    /// is none.
    pub(crate) fn led(&self, index: i32) -> Result<&Arc<Partition>, ResponseError> {
        match self.place(index) {
            Some(Place::Here(partition)) => Ok(partition),
            Some(Place::Unavailable) => Err(ResponseError::KafkaStorageError),
            Some(Place::Elsewhere) => Err(ResponseError::NotLeaderOrFollower),
            None => Err(ResponseError::UnknownTopicOrPartition),
        }
    }

    pub(crate) fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        self.place(index)?.here()
    }

    pub(crate) fn local_partitions(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.partitions.iter().filter_map(Place::here)
    }

    fn place(&self, index: i32) -> Option<&Place> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    fn is_complete(&self) -> bool {
        !self
            .partitions
            .iter()
            .any(|place| matches!(place, Place::Unavailable))
    }
}

/// The table at one moment.
#[derive(Debug, Default)]
pub(crate) struct TopicMap {
    by_name: HashMap<Arc<str>, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
    revision: i64,
}

impl TopicMap {
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name)
    }

    pub(crate) fn with_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The revision of the cluster image that this table stands for.
    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// All topics in the order of their names, as Kafka lists them.
    pub(crate) fn sorted(&self) -> Vec<&Arc<Topic>> {
        let mut topics: Vec<_> = self.by_name.values().collect();
        topics.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        topics
    }
}

/// Applies cluster images to the store and keeps the table.
#[derive(Debug)]
pub(crate) struct Topics {
    node_id: i32,
    store: Arc<Store>,
    waiters: Arc<WaiterTable>,
    traffic: Arc<Traffic>,
    table: ArcSwap<TopicMap>,
    /// Held while an image is applied; applications are in order and never overlap. Inside: partitions that had no log when
    /// this broker started with a log directory offline. Their data may lie there, so they stay unavailable.
    applying: Mutex<HashSet<LogKey>>,
}

impl Topics {
    /// `traffic` counts what goes through all topics.
    pub(crate) fn new(
        node_id: i32,
        store: Arc<Store>,
        waiters: Arc<WaiterTable>,
        traffic: Arc<Traffic>,
    ) -> Self {
        Self {
            node_id,
            store,
            waiters,
            traffic,
            table: ArcSwap::default(),
            applying: Mutex::default(),
        }
    }

    /// The table now. Hold the guard for the length of one request at most.
    pub(crate) fn table(&self) -> Guard<Arc<TopicMap>> {
        self.table.load()
    }

    pub(crate) fn snapshot(&self) -> Arc<TopicMap> {
        self.table.load_full()
    }

    /// Creates, opens, reconfigures and deletes logs until this broker's disk agrees with `image`. Blocks on the disk.
    /// An older image than the last one applied is ignored.
    pub(crate) fn apply(&self, image: &ClusterImage, config: &Config) {
        let mut out_of_reach = self.applying.lock();
        let before = self.table.load_full();
        if image.revision < before.revision {
            return;
        }
        if before.revision == 0 {
            *out_of_reach = self.find_out_of_reach(image);
        }
        let mut after = TopicMap {
            revision: image.revision,
            ..TopicMap::default()
        };
        for topic_image in image.topics() {
            let topic = match before.with_id(topic_image.id) {
                Some(known) if Arc::ptr_eq(&known.image, topic_image) && known.is_complete() => {
                    Arc::clone(known)
                }
                known => Arc::new(self.open(topic_image, known, config, &out_of_reach)),
            };
            after
                .by_name
                .insert(Arc::clone(topic.name()), Arc::clone(&topic));
            after.by_id.insert(topic.id(), topic);
        }
        let gone: Vec<_> = before
            .iter()
            .filter(|topic| after.with_id(topic.id()).is_none())
            .cloned()
            .collect();
        self.table.store(Arc::new(after));
        for topic in gone {
            self.delete(&topic);
        }
    }

    /// Recomputes every topic's settings after a broker-wide default has changed. Blocks briefly.
    pub(crate) fn reconfigure(&self, config: &Config) {
        let _applying = self.applying.lock();
        let before = self.table.load_full();
        let mut after = TopicMap {
            revision: before.revision,
            ..TopicMap::default()
        };
        for topic in before.iter() {
            let settings = settings_of(config, &topic.image);
            for partition in topic.local_partitions() {
                partition.log.configure(Arc::clone(&settings.log));
            }
            let topic = Arc::new(Topic {
                image: Arc::clone(&topic.image),
                settings,
                traffic: Arc::clone(&topic.traffic),
                partitions: topic.partitions.clone(),
            });
            after
                .by_name
                .insert(Arc::clone(topic.name()), Arc::clone(&topic));
            after.by_id.insert(topic.id(), topic);
        }
        self.table.store(Arc::new(after));
    }

    /// Deletes logs whose topic the cluster no longer knows: it was deleted while this broker was away, or a crash came
    /// between the decision and the deed. Topics are told apart by id, never by name. Blocks on the disk.
    pub(crate) fn delete_strays(&self) {
        let table = self.table.load();
        for log in self.store.logs() {
            let key = log.key();
            if table.with_id(key.topic_id).is_none() {
                info!(
                    topic = log.topic(),
                    partition = key.partition,
                    "deleting the log of a topic that is gone"
                );
                self.delete_log(key);
            }
        }
    }

    /// Which partitions of this broker have no log while a log directory is offline.
    fn find_out_of_reach(&self, image: &ClusterImage) -> HashSet<LogKey> {
        if self.store.dirs().iter().all(|dir| dir.offline.is_none()) {
            return HashSet::default();
        }
        let mut keys = HashSet::default();
        for topic in image.topics() {
            for (partition, state) in (0..).zip(&topic.partitions) {
                let topic_id = topic.id;
                let key = LogKey {
                    topic_id,
                    partition,
                };
                if state.replicas.contains(&self.node_id) && self.store.log(key).is_none() {
                    keys.insert(key);
                }
            }
        }
        keys
    }

    fn open(
        &self,
        image: &Arc<TopicImage>,
        known: Option<&Arc<Topic>>,
        config: &Config,
        out_of_reach: &HashSet<LogKey>,
    ) -> Topic {
        let own = known.map_or_else(
            || Arc::new(TopicTraffic::new(Arc::clone(&self.traffic))),
            |topic| Arc::clone(&topic.traffic),
        );
        let opening = Opening {
            image,
            settings: settings_of(config, image),
            traffic: own,
        };
        let partitions = (0..)
            .zip(&image.partitions)
            .map(|(index, state)| {
                let key = LogKey {
                    topic_id: image.id,
                    partition: index,
                };
                if !state.replicas.contains(&self.node_id) {
                    return Place::Elsewhere;
                }
                if out_of_reach.contains(&key) {
                    warn!(topic = %image.name, partition = index, "a partition has no log here while a log directory is offline; it waits for the directory");
                    return Place::Unavailable;
                }
                let known = known.and_then(|topic| topic.partition(index));
                self.open_partition(&opening, state, key, known)
                    .map_or(Place::Unavailable, Place::Here)
            })
            .collect();
        Topic {
            image: Arc::clone(image),
            settings: opening.settings,
            traffic: opening.traffic,
            partitions,
        }
    }

    fn open_partition(
        &self,
        topic: &Opening<'_>,
        state: &cluster::PartitionState,
        key: LogKey,
        known: Option<&Arc<Partition>>,
    ) -> Option<Arc<Partition>> {
        let Opening {
            image,
            settings,
            traffic,
        } = topic;
        if let Some(known) = known {
            known.log.configure(Arc::clone(&settings.log));
            if known.leader_epoch == state.leader_epoch {
                return Some(Arc::clone(known));
            }
        }
        let partition = key.partition;
        let log = match self
            .store
            .create_log(key, &image.name, Arc::clone(&settings.log))
        {
            Ok(log) => log,
            Err(error) => {
                error!(topic = %image.name, partition, %error, "a partition's log could not be opened");
                return None;
            }
        };
        log.set_sole_replica(state.isr == [self.node_id]);
        if state.leader == self.node_id
            && let Err(error) = log.become_leader(state.leader_epoch)
        {
            warn!(topic = %image.name, partition, %error, "a partition could not be led");
            return None;
        }
        let waiters = self.waiters.of(key);
        Some(Arc::new(Partition {
            leader_epoch: state.leader_epoch,
            log,
            waiters,
            traffic: Arc::clone(traffic),
        }))
    }

    fn delete(&self, topic: &Topic) {
        for partition in topic.local_partitions() {
            self.delete_log(partition.log.key());
        }
    }

    fn delete_log(&self, key: LogKey) {
        if let Err(error) = self.store.delete_log(key) {
            warn!(partition = key.partition, %error, "a deleted topic's log could not be removed; the next start tries again");
        }
        self.waiters.forget(key);
    }
}

/// What the partitions of a topic being opened have in common.
struct Opening<'a> {
    image: &'a TopicImage,
    settings: Arc<TopicSettings>,
    traffic: Arc<TopicTraffic>,
}

fn settings_of(config: &Config, image: &TopicImage) -> Arc<TopicSettings> {
    Arc::new(config.topic_settings(&image.configs))
}
