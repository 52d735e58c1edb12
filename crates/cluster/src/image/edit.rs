//! One revision on its way into the next image.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use super::{
    ClusterImage, ConfigImage, HiddenTopic, ImageError, QuotaImage, Stored, TopicImage, unified,
};
use crate::keys::{BadKey, ConfigResource, Key};
use crate::store::{Event, Revision};
use crate::values::{
    ClusterMeta, ConfigRecord, ControllerEpoch, ControllerRecord, QuotaRecord, TopicRecord,
    TopicState, id_of,
};

/// A copy of the image, and the topics that the revision touches, in pieces.
pub(super) struct Edit {
    image: ClusterImage,
    topics: BTreeMap<Uuid, HiddenTopic>,
    /// Which of `topics` was last seen under a name.
    names: HashMap<Arc<str>, Uuid>,
    touches_quotas: bool,
}

impl Edit {
    pub(super) fn of(image: &ClusterImage) -> Self {
        Self {
            image: image.clone(),
            topics: BTreeMap::new(),
            names: HashMap::new(),
            touches_quotas: false,
        }
    }

    pub(super) fn event(&mut self, event: &Event) -> Result<(), ImageError> {
        let text = match event {
            Event::Put(kv) => &kv.key,
            Event::Delete { key } => key,
        };
        let key = match Key::parse(text) {
            Ok(key) => key,
            // Another version's table: not ours to read, and not ours to lose either, since nothing writes it back.
            Err(BadKey::Unknown) => return Ok(()),
            Err(BadKey::Malformed) => {
                return Err(ImageError {
                    key: text.clone(),
                    reason: "not a key of this layout".into(),
                });
            }
        };
        let changed = match event {
            Event::Put(kv) => self.put(key, &kv.value, kv.mod_revision),
            Event::Delete { .. } => {
                self.delete(&key);
                Ok(())
            }
        };
        changed.map_err(|reason| ImageError {
            key: text.clone(),
            reason,
        })
    }

    fn put(&mut self, key: Key, value: &Bytes, revision: Revision) -> Result<(), String> {
        let image = &mut self.image;
        match key {
            Key::Meta => {
                image.cluster_id = decode::<ClusterMeta>(value)?.cluster_id;
                image.tokens.meta = revision;
            }
            Key::ControllerLeader => {
                let record: ControllerRecord = decode(value)?;
                image.controller = Some(record.node_id);
                image.controller_record = Some(record);
                image.tokens.controller_leader = revision;
            }
            Key::ControllerEpoch => {
                image.tokens.controller_epochs = decode::<ControllerEpoch>(value)?.epoch;
                image.tokens.controller_epoch = revision;
            }
            Key::Broker(node) => {
                Arc::make_mut(&mut image.brokers).insert(node, decode(value)?);
                Arc::make_mut(&mut image.tokens.brokers).insert(node, revision);
            }
            // Sessions matter to the controller's liveness, not to the picture of the cluster.
            Key::Session(_) => {}
            Key::ProducerIds => {
                image.producer_ids = decode(value)?;
                if image.producer_ids.next_producer_id < 0 {
                    return Err("a negative producer id".into());
                }
                image.tokens.producer_ids = revision;
            }
            Key::Config(resource) => {
                let values = Arc::new(decode::<ConfigRecord>(value)?.values);
                self.touch_configured_topic(&resource);
                self.image
                    .configs
                    .insert(resource, Arc::new(ConfigImage { values, revision }));
            }
            Key::Quota(entity) => {
                let values = decode::<QuotaRecord>(value)?.values;
                image
                    .quotas
                    .insert(entity, Arc::new(QuotaImage { values, revision }));
                self.touches_quotas = true;
            }
            Key::Topic(name) => self.put_topic(name, decode(value)?, revision)?,
            Key::Partition(topic, partition) => {
                let stored = Stored {
                    revision,
                    value: Arc::new(decode(value)?),
                };
                self.topic(topic).partitions.insert(partition, stored);
            }
        }
        Ok(())
    }

    fn delete(&mut self, key: &Key) {
        let image = &mut self.image;
        match key {
            Key::Meta => image.cluster_id.clear(),
            Key::ControllerLeader => {
                image.controller = None;
                image.controller_record = None;
                image.tokens.controller_leader = 0;
            }
            Key::ControllerEpoch => image.tokens.controller_epoch = 0,
            Key::Broker(node) => {
                Arc::make_mut(&mut image.brokers).remove(node);
                Arc::make_mut(&mut image.tokens.brokers).remove(node);
            }
            Key::Session(_) => {}
            Key::ProducerIds => image.tokens.producer_ids = 0,
            Key::Config(resource) => {
                self.touch_configured_topic(resource);
                self.image.configs.remove(resource);
            }
            Key::Quota(entity) => {
                image.quotas.remove(entity);
                self.touches_quotas = true;
            }
            Key::Topic(name) => {
                if let Some(id) = self.id_of_name(name) {
                    let topic = self.topic(id);
                    topic.record = None;
                    topic.revision = 0;
                }
            }
            Key::Partition(topic, partition) => {
                self.topic(*topic).partitions.remove(partition);
            }
        }
    }

    fn put_topic(
        &mut self,
        name: String,
        record: TopicRecord,
        revision: Revision,
    ) -> Result<(), String> {
        let id = id_of(&record.topic_id).ok_or("a topic id that has not 16 bytes")?;
        if let Some(former) = self.id_of_name(&name).filter(|&former| former != id) {
            self.topic(former).record = None;
        }
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name), id);
        let topic = self.topic(id);
        topic.name = Some(name);
        topic.record = Some(record);
        topic.revision = revision;
        Ok(())
    }

    /// A topic's overrides are part of its image, so it is rebuilt when they change.
    fn touch_configured_topic(&mut self, resource: &ConfigResource) {
        if let ConfigResource::Topic(name) = resource
            && let Some(id) = self.id_of_name(name)
        {
            self.topic(id);
        }
    }

    fn id_of_name(&self, name: &str) -> Option<Uuid> {
        let is_called =
            |topic: &HiddenTopic| topic.record.is_some() && topic.name.as_deref() == Some(name);
        if let Some(id) = self.names.get(name) {
            return self.topics.get(id).is_some_and(is_called).then_some(*id);
        }
        if let Some(topic) = self.image.names.get(name) {
            return Some(topic.id);
        }
        self.image
            .work
            .topics
            .iter()
            .find(|(_, topic)| is_called(topic))
            .map(|(&id, _)| id)
    }

    /// The topic in pieces, as the image had it before this revision.
    fn topic(&mut self, id: Uuid) -> &mut HiddenTopic {
        self.topics.entry(id).or_insert_with(|| {
            let visible = self.image.ids.get(&id).map(|topic| in_pieces(topic));
            let topic = visible
                .or_else(|| self.image.work.topics.get(&id).cloned())
                .unwrap_or_default();
            if let Some(name) = &topic.name {
                self.names.entry(Arc::clone(name)).or_insert(id);
            }
            topic
        })
    }

    pub(super) fn finish(mut self, revision: Revision) -> ClusterImage {
        for (id, topic) in std::mem::take(&mut self.topics) {
            self.image.put_back(id, topic);
        }
        if self.touches_quotas {
            self.image.quotas_revision = revision;
        }
        self.image.revision = revision;
        self.image
    }
}

impl ClusterImage {
    fn put_back(&mut self, id: Uuid, topic: HiddenTopic) {
        match as_visible(id, topic, self) {
            Ok(visible) => {
                self.forget_hidden(id);
                self.show(visible);
            }
            Err(topic) => {
                self.hide(id);
                self.forget_hidden(id);
                if topic.record.is_some() || !topic.partitions.is_empty() {
                    Arc::make_mut(&mut self.work).topics.insert(id, topic);
                }
            }
        }
    }

    fn show(&mut self, topic: TopicImage) {
        let topic = Arc::new(topic);
        self.note_expansion(topic.id, !topic.ahead.is_empty());
        self.unified_names
            .insert(unified(&topic.name).into(), Arc::clone(&topic.name));
        self.names
            .insert(Arc::clone(&topic.name), Arc::clone(&topic));
        self.ids.insert(topic.id, topic);
    }

    fn hide(&mut self, id: Uuid) {
        let Some(topic) = self.ids.remove(&id) else {
            return;
        };
        self.note_expansion(id, false);
        // Under the same name there may already be the topic that was created after this one.
        if self
            .names
            .get(&*topic.name)
            .is_some_and(|named| named.id == id)
        {
            self.names.remove(&*topic.name);
            self.unified_names.remove(unified(&topic.name).as_str());
        }
    }

    fn forget_hidden(&mut self, id: Uuid) {
        if self.work.topics.contains_key(&id) {
            Arc::make_mut(&mut self.work).topics.remove(&id);
        }
    }

    fn note_expansion(&mut self, id: Uuid, unfinished: bool) {
        if self.work.expansions.contains(&id) != unfinished {
            let expansions = &mut Arc::make_mut(&mut self.work).expansions;
            match unfinished {
                true => expansions.insert(id),
                false => expansions.remove(&id),
            };
        }
    }
}

fn decode<M: Message + Default>(value: &Bytes) -> Result<M, String> {
    M::decode(value.as_ref()).map_err(|error| error.to_string())
}

fn in_pieces(topic: &TopicImage) -> HiddenTopic {
    let visible = topic
        .partitions
        .iter()
        .zip(&topic.partition_revisions)
        .zip(0..);
    let visible = visible.map(|((state, &revision), partition)| {
        (
            partition,
            Stored {
                revision,
                value: Arc::clone(state),
            },
        )
    });
    let ahead = topic
        .ahead
        .iter()
        .map(|(&partition, stored)| (partition, stored.clone()));
    HiddenTopic {
        name: Some(Arc::clone(&topic.name)),
        record: Some(TopicRecord {
            topic_id: topic.id.as_bytes().to_vec(),
            partition_count: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
            replication_factor: topic.replication_factor,
            state: TopicState::Active.into(),
            internal: topic.internal,
        }),
        revision: topic.revision,
        partitions: visible.chain(ahead).collect(),
    }
}

/// The topic as clients see it, if it is active and every partition up to its count is there; else what was given.
fn as_visible(
    id: Uuid,
    mut topic: HiddenTopic,
    image: &ClusterImage,
) -> Result<TopicImage, HiddenTopic> {
    let (Some(record), Some(name)) = (&topic.record, &topic.name) else {
        return Err(topic);
    };
    if record.state() != TopicState::Active {
        return Err(topic);
    }
    let there = topic.partitions.range(..record.partition_count).count();
    if i32::try_from(there) != Ok(record.partition_count) {
        tracing::error!(topic = %name, there, wanted = record.partition_count, "a topic lacks partition records and is hidden");
        return Err(topic);
    }
    let config = image.configs.get(&ConfigResource::Topic(name.to_string()));
    let (configs, config_revision) = config
        .map(|config| (Arc::clone(&config.values), config.revision))
        .unwrap_or_default();
    let ahead = topic.partitions.split_off(&record.partition_count);
    Ok(TopicImage {
        id,
        name: Arc::clone(name),
        internal: record.internal,
        replication_factor: record.replication_factor,
        partition_revisions: topic
            .partitions
            .values()
            .map(|stored| stored.revision)
            .collect(),
        partitions: topic
            .partitions
            .into_values()
            .map(|stored| stored.value)
            .collect(),
        configs,
        revision: topic.revision,
        config_revision,
        ahead,
    })
}
