//! The metadata as one immutable value, moved forward by whole revisions and never by anything else.

mod changes;
mod edit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::chunked_map::ChunkedMap;
use crate::keys::ConfigResource;
use crate::quota_entity::QuotaEntity;
use crate::store::{Batch, Event, Kv, Revision};
use crate::values::{BrokerRecord, ControllerRecord, PartitionState, ProducerIdBlock, TopicRecord};
pub use changes::{ImageChanges, TopicChange};

/// Who leads what, at one revision of the metadata store. Reading it takes no lock and never waits.
#[derive(Debug, Clone, Default)]
pub struct ClusterImage {
    /// The revision of the store that this is.
    pub revision: Revision,
    /// The cluster's id, as clients see it in Metadata.
    pub cluster_id: String,
    /// The registered brokers by node id, fenced ones included.
    pub brokers: Arc<BTreeMap<i32, BrokerRecord>>,
    /// The node id of the broker that is controller, if one is.
    pub controller: Option<i32>,
    names: ChunkedMap<Arc<str>, Arc<TopicImage>>,
    ids: ChunkedMap<Uuid, Arc<TopicImage>>,
    /// Names of topics by what Kafka's metrics would make of them: `.` and `_` are the same there.
    unified_names: ChunkedMap<Arc<str>, Arc<str>>,
    configs: ChunkedMap<ConfigResource, Arc<ConfigImage>>,
    quotas: ChunkedMap<QuotaEntity, Arc<QuotaImage>>,
    quotas_revision: Revision,
    pub(crate) controller_record: Option<ControllerRecord>,
    pub(crate) producer_ids: ProducerIdBlock,
    /// When each key outside topics and configs was last written.
    pub(crate) tokens: Tokens,
    pub(crate) work: Arc<UnfinishedWork>,
}

/// Revisions of single keys, for the compares of the next transaction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tokens {
    pub(crate) meta: Revision,
    pub(crate) controller_leader: Revision,
    pub(crate) controller_epoch: Revision,
    pub(crate) controller_epochs: i32,
    pub(crate) producer_ids: Revision,
    pub(crate) brokers: Arc<BTreeMap<i32, Revision>>,
}

/// What a controller that died left half done.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnfinishedWork {
    /// Topics that clients do not see: being created, being deleted, or damaged.
    pub(crate) topics: BTreeMap<Uuid, HiddenTopic>,
    /// Visible topics that have partition records beyond their count.
    pub(crate) expansions: BTreeSet<Uuid>,
}

/// A topic that clients do not see, or partitions whose topic is gone.
#[derive(Debug, Clone, Default)]
pub(crate) struct HiddenTopic {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) record: Option<TopicRecord>,
    pub(crate) revision: Revision,
    pub(crate) partitions: BTreeMap<i32, Stored<PartitionState>>,
}

/// A value and the revision that wrote it.
#[derive(Debug, Clone)]
pub(crate) struct Stored<T> {
    pub(crate) revision: Revision,
    pub(crate) value: Arc<T>,
}

/// A topic as clients see it.
#[derive(Debug, Clone)]
pub struct TopicImage {
    /// Its id. A topic created again under the same name is another topic with another id.
    pub id: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// Whether it is one of the broker's own topics.
    pub internal: bool,
    /// The replication factor it was created with.
    pub replication_factor: i32,
    /// Its partitions; the index is the partition's number.
    pub partitions: Vec<Arc<PartitionState>>,
    /// Overrides of its configuration, as text under Kafka's names.
    pub configs: Arc<BTreeMap<String, String>>,
    pub(crate) revision: Revision,
    pub(crate) config_revision: Revision,
    pub(crate) partition_revisions: Vec<Revision>,
    /// Partition records beyond the count: an expansion that has not finished.
    pub(crate) ahead: BTreeMap<i32, Stored<PartitionState>>,
}

impl TopicImage {
    /// One partition; `None` when the topic has not so many, or the number is negative.
    #[must_use]
    pub fn partition(&self, partition: i32) -> Option<&Arc<PartitionState>> {
        self.partitions.get(usize::try_from(partition).ok()?)
    }

    /// Whether nothing in the topic was written between the two images it is taken from.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.id == other.id
            && self.revision == other.revision
            && self.config_revision == other.config_revision
            && self.partition_revisions == other.partition_revisions
    }
}

/// The overrides of one resource.
#[derive(Debug, Clone, Default)]
pub struct ConfigImage {
    /// Values as text under Kafka's names.
    pub values: Arc<BTreeMap<String, String>>,
    /// The revision that wrote them: what an optimistic change compares with.
    pub revision: Revision,
}

/// The client quotas of one entity.
#[derive(Debug, Clone, Default)]
pub struct QuotaImage {
    /// Limits under Kafka's names.
    pub values: BTreeMap<String, f64>,
    pub(crate) revision: Revision,
}

/// A value in the store that this program would not have written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the metadata store holds something unreadable under {key:?}: {reason}")]
pub struct ImageError {
    /// Where.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

impl ClusterImage {
    /// The topic called `name`.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.names.get(name)
    }

    /// The topic with this id.
    #[must_use]
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<TopicImage>> {
        self.ids.get(&id)
    }

    /// All topics, sorted by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.names.iter().map(|(_, topic)| topic)
    }

    /// The topics called `first` or later, sorted by name.
    pub fn topics_from(&self, first: &str) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.names.iter_from(first).map(|(_, topic)| topic)
    }

    /// How many topics there are.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.names.len()
    }

    /// The brokers that may lead partitions.
    pub fn active_brokers(&self) -> impl Iterator<Item = (i32, &BrokerRecord)> {
        self.brokers
            .iter()
            .filter(|(_, broker)| broker.is_active())
            .map(|(&id, broker)| (id, broker))
    }

    /// Whether this broker may lead partitions.
    #[must_use]
    pub fn is_active(&self, node_id: i32) -> bool {
        self.brokers
            .get(&node_id)
            .is_some_and(BrokerRecord::is_active)
    }

    /// The overrides of a resource; `None` when it has none.
    #[must_use]
    pub fn config(&self, resource: &ConfigResource) -> Option<&Arc<ConfigImage>> {
        self.configs.get(resource)
    }

    /// All resources with overrides, sorted by kind and name.
    pub fn configs(&self) -> impl Iterator<Item = (&ConfigResource, &Arc<ConfigImage>)> {
        self.configs
            .iter()
            .map(|(resource, config)| (resource, config))
    }

    /// The client quotas of an entity; `None` when it has none.
    #[must_use]
    pub fn quota(&self, entity: &QuotaEntity) -> Option<&Arc<QuotaImage>> {
        self.quotas.get(entity)
    }

    /// All client quotas, sorted by kind and name.
    pub fn quotas(&self) -> impl Iterator<Item = (&QuotaEntity, &Arc<QuotaImage>)> {
        self.quotas.iter().map(|(entity, quota)| (entity, quota))
    }

    /// A number that another image has too only if its client quotas are the same; 0 for those of a cluster that never had any.
    #[must_use]
    pub fn quotas_revision(&self) -> Revision {
        self.quotas_revision
    }

    /// The resources with overrides from `first` on, sorted by kind and name; the kinds in the order of [`ConfigResource`].
    pub fn configs_from(
        &self,
        first: &ConfigResource,
    ) -> impl Iterator<Item = (&ConfigResource, &Arc<ConfigImage>)> {
        self.configs
            .iter_from(first)
            .map(|(resource, config)| (resource, config))
    }

    /// The topic whose name Kafka's metrics could not tell from `name` (Kafka `Topic.hasCollision`), if there is one.
    pub(crate) fn colliding_topic(&self, name: &str) -> Option<&Arc<str>> {
        self.unified_names
            .get(unified(name).as_str())
            .filter(|&existing| &**existing != name)
    }

    /// Whether a topic of this name exists, visibly or not.
    pub(crate) fn name_is_taken(&self, name: &str) -> bool {
        let hidden = || {
            self.work
                .topics
                .values()
                .any(|topic| topic.name.as_deref() == Some(name))
        };
        self.names.get(name).is_some() || hidden()
    }

    /// The image of everything that a snapshot found.
    pub(crate) fn from_snapshot(revision: Revision, found: Vec<Kv>) -> Result<Self, ImageError> {
        let events = found.into_iter().map(Event::Put).collect();
        Self::default().apply(&Batch { revision, events })
    }

    /// The image after one more revision; the parts it does not touch are shared.
    pub(crate) fn apply(&self, batch: &Batch) -> Result<Self, ImageError> {
        let mut edit = edit::Edit::of(self);
        for event in &batch.events {
            edit.event(event)?;
        }
        Ok(edit.finish(batch.revision))
    }
}

/// A name as Kafka's metrics show it (Kafka `Topic.unifyCollisionChars`).
pub(crate) fn unified(name: &str) -> String {
    name.replace('.', "_")
}

#[cfg(test)]
mod tests;
