//! What differs between two images, without comparing what they share.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{ClusterImage, TopicImage};
use crate::keys::ConfigResource;

/// What differs between two images.
#[derive(Debug, Clone, Default)]
pub struct ImageChanges {
    /// Topics that were created, changed (partitions or configuration) or deleted, by id.
    pub topics: Vec<TopicChange>,
    /// Whether a broker was registered, changed or removed.
    pub brokers: bool,
    /// Resources whose overrides changed, topics included.
    pub configs: Vec<ConfigResource>,
}

/// How one topic differs. A topic deleted and created again is both a deletion and a creation.
#[derive(Debug, Clone)]
pub enum TopicChange {
    /// Not in the older image.
    Created(Arc<TopicImage>),
    /// In both.
    Changed {
        /// As it was.
        before: Arc<TopicImage>,
        /// As it is.
        after: Arc<TopicImage>,
    },
    /// Not in the newer image.
    Deleted(Arc<TopicImage>),
}

impl ClusterImage {
    /// What changed from `older` to this image. The cost is that of the changes, not of the cluster, as long as the one image
    /// grew out of the other.
    #[must_use]
    pub fn changes_since(&self, older: &Self) -> ImageChanges {
        ImageChanges {
            topics: self.topic_changes(older),
            brokers: !Arc::ptr_eq(&self.brokers, &older.brokers)
                && self.tokens.brokers != older.tokens.brokers,
            configs: self.config_changes(older),
        }
    }

    fn topic_changes(&self, older: &Self) -> Vec<TopicChange> {
        let (now, then) = self.ids.unshared(&older.ids);
        let mut then: BTreeMap<Uuid, &Arc<TopicImage>> =
            then.into_iter().map(|(id, topic)| (*id, topic)).collect();
        let mut changes = Vec::new();
        for (id, after) in now {
            match then.remove(id) {
                None => changes.push(TopicChange::Created(Arc::clone(after))),
                Some(before) if Arc::ptr_eq(before, after) || before.is_same(after) => {}
                Some(before) => changes.push(TopicChange::Changed {
                    before: Arc::clone(before),
                    after: Arc::clone(after),
                }),
            }
        }
        changes.extend(
            then.into_values()
                .map(|topic| TopicChange::Deleted(Arc::clone(topic))),
        );
        changes
    }

    fn config_changes(&self, older: &Self) -> Vec<ConfigResource> {
        let (now, then) = self.configs.unshared(&older.configs);
        let mut then: BTreeMap<_, _> = then
            .into_iter()
            .map(|(resource, config)| (resource, config.revision))
            .collect();
        let mut changes = Vec::new();
        for (resource, config) in now {
            if then.remove(resource) != Some(config.revision) {
                changes.push(resource.clone());
            }
        }
        changes.extend(then.into_keys().cloned());
        changes
    }
}
