//! Deleting topics (statement M12).

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::{PLAN_KEYS_MAX, Packer, Plan, put};
use crate::error::ControllerError;
use crate::image::{ClusterImage, TopicImage};
use crate::keys::{ConfigResource, Key, partitions_of};
use crate::store::Txn;
use crate::values::{TopicRecord, TopicState};

/// A topic as clients refer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicRef {
    /// By name.
    Name(String),
    /// By id.
    Id(Uuid),
}

/// A topic that was deleted. Its name may be used again at once, by a topic that has nothing in common with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedTopic {
    /// The id it had.
    pub id: Uuid,
    /// The name it had.
    pub name: String,
}

/// Why a topic was not deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeleteTopicError {
    /// There is no topic of this name.
    #[error("there is no topic {name}")]
    UnknownTopic {
        /// The name asked for.
        name: String,
    },
    /// There is no topic of this id.
    #[error("there is no topic with the id {id}")]
    UnknownTopicId {
        /// The id asked for.
        id: Uuid,
    },
    /// The controller could not do it.
    #[error(transparent)]
    Controller(#[from] ControllerError),
}

/// Plans the deletion of `topics`; one that is named twice is unknown the second time.
pub(crate) fn delete_topics(
    image: &ClusterImage,
    topics: &[TopicRef],
) -> Plan<DeletedTopic, DeleteTopicError> {
    let mut packer = Packer::default();
    let mut gone = BTreeSet::new();
    let answer = |(item, wanted): (usize, &TopicRef)| {
        let topic = find(image, wanted)?;
        if !gone.insert(topic.id) {
            return Err(unknown(wanted));
        }
        pack(item, topic, &mut packer);
        Ok(DeletedTopic {
            id: topic.id,
            name: topic.name.to_string(),
        })
    };
    let answers = topics.iter().enumerate().map(answer).collect();
    Plan {
        answers,
        steps: packer.into_steps(),
    }
}

fn find<'a>(
    image: &'a ClusterImage,
    wanted: &TopicRef,
) -> Result<&'a Arc<TopicImage>, DeleteTopicError> {
    let found = match wanted {
        TopicRef::Name(name) => image.topic(name),
        TopicRef::Id(id) => image.topic_by_id(*id),
    };
    found.ok_or_else(|| unknown(wanted))
}

fn unknown(wanted: &TopicRef) -> DeleteTopicError {
    match wanted {
        TopicRef::Name(name) => DeleteTopicError::UnknownTopic { name: name.clone() },
        TopicRef::Id(id) => DeleteTopicError::UnknownTopicId { id: *id },
    }
}

/// A large topic vanishes from clients' sight first: removing its records is one transaction too, but a long one to watch.
fn pack(item: usize, topic: &TopicImage, packer: &mut Packer) {
    let key = Key::Topic(topic.name.to_string()).text();
    let keys = topic.partitions.len() + topic.ahead.len() + 2;
    if keys <= PLAN_KEYS_MAX {
        packer.add(
            item,
            removal(topic.id, &topic.name).when(key, topic.revision),
            keys,
        );
        return;
    }
    let record = TopicRecord {
        topic_id: topic.id.as_bytes().to_vec(),
        partition_count: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
        replication_factor: topic.replication_factor,
        state: TopicState::Deleting.into(),
        internal: topic.internal,
    };
    let mut vanish = Txn::default().when(key.clone(), topic.revision);
    vanish.ops.push(put(key, &record));
    packer.add_apart(item, vanish);
    packer.add_apart(item, removal(topic.id, &topic.name));
}

/// Removes everything that is stored about a topic.
pub(crate) fn removal(id: Uuid, name: &str) -> Txn {
    Txn::default()
        .delete_prefix(partitions_of(id))
        .delete(Key::Config(ConfigResource::Topic(name.to_owned())).text())
        .delete(Key::Topic(name.to_owned()).text())
}
