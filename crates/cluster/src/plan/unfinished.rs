//! What a controller finds half done: creations are taken back, for nobody was told that they succeeded; deletions are finished.

use super::delete::removal;
use super::{PLAN_KEYS_MAX, Packer, Step};
use crate::image::{ClusterImage, HiddenTopic};
use crate::keys::{Key, partitions_of};
use crate::store::Txn;
use crate::values::TopicState;

/// The transactions after which nothing is half done.
pub(crate) fn finish(image: &ClusterImage) -> Vec<Step> {
    let mut packer = Packer::default();
    for (&id, topic) in &image.work.topics {
        match (&topic.record, &topic.name) {
            (Some(record), Some(name)) if record.state() != TopicState::Active => {
                let key = Key::Topic(name.to_string()).text();
                packer.add_apart(0, removal(id, name).when(key, topic.revision));
            }
            // Active and still hidden means that partition records are missing: damage, to be looked at, not to be completed.
            (Some(_), _) => {}
            (None, _) => packer.add_apart(0, Txn::default().delete_prefix(partitions_of(id))),
        }
    }
    for topic in image
        .work
        .expansions
        .iter()
        .filter_map(|id| image.topic_by_id(*id))
    {
        let keys: Vec<String> = topic
            .ahead
            .keys()
            .map(|&partition| Key::Partition(topic.id, partition).text())
            .collect();
        for chunk in keys.chunks(PLAN_KEYS_MAX) {
            let guarded =
                Txn::default().when(Key::Topic(topic.name.to_string()).text(), topic.revision);
            packer.add_apart(
                0,
                chunk
                    .iter()
                    .fold(guarded, |txn, key| txn.delete(key.clone())),
            );
        }
    }
    packer.into_steps()
}

/// Whether there is something for [`finish`] to do.
pub(crate) fn is_something_unfinished(image: &ClusterImage) -> bool {
    let can_be_finished = |topic: &HiddenTopic| {
        topic
            .record
            .as_ref()
            .is_none_or(|record| record.state() != TopicState::Active)
    };
    !image.work.expansions.is_empty() || image.work.topics.values().any(can_be_finished)
}
