//! The committed offsets of one group.
//!
//! All of it is durable but the list of orphans. Offsets of open transactions belong here too, beside `committed` and by
//! producer id, once transactions are coordinated; until then nothing is unstable.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::event::{FetchedOffset, TopicOffsets};
use crate::records::OffsetCommitValue;

/// Everything one group has committed.
#[derive(Debug, Clone, Default)]
pub(crate) struct GroupOffsets {
    committed: BTreeMap<String, BTreeMap<i32, CommittedOffset>>,
    /// Soft: offsets of deleted topics that still wait for their tombstones.
    orphaned: BTreeSet<(String, i32)>,
    count: usize,
}

/// A committed offset as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// What was committed.
    pub value: OffsetCommitValue,
    /// Where its record is in the log: of two commits the later wins, also when one comes out of a transaction.
    pub record_offset: i64,
}

/// From which moment on the offsets of a group grow old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExpiryBase {
    /// They do not: the group is at work.
    Never,
    /// Each from its own commit.
    Commit,
    /// All from when the group became empty, in milliseconds.
    Emptied(i64),
}

/// What decides whether an offset has expired.
pub(crate) struct Expiry<'a> {
    pub(crate) now_ms: i64,
    pub(crate) retention_ms: i64,
    pub(crate) base: ExpiryBase,
    /// Whether a member still reads the topic; its offsets never expire then.
    pub(crate) subscribed: &'a dyn Fn(&str) -> bool,
}

impl Expiry<'_> {
    fn reached(&self, value: &OffsetCommitValue) -> bool {
        let base_ms = match self.base {
            ExpiryBase::Never => return false,
            ExpiryBase::Commit => value.commit_timestamp_ms,
            ExpiryBase::Emptied(at_ms) => at_ms,
        };
        if value.expire_timestamp_ms != -1 {
            return self.now_ms >= value.expire_timestamp_ms;
        }
        self.now_ms.saturating_sub(base_ms) >= self.retention_ms
    }
}

impl GroupOffsets {
    pub(crate) fn is_empty(&self) -> bool {
        self.committed.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn contains(&self, topic: &str, partition: i32) -> bool {
        self.committed
            .get(topic)
            .is_some_and(|partitions| partitions.contains_key(&partition))
    }

    /// All there is, by topic and partition.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, i32, &CommittedOffset)> {
        self.committed.iter().flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(move |(partition, offset)| (topic.as_str(), *partition, offset))
        })
    }

    /// All there is, topic by topic.
    pub(crate) fn by_topic(&self) -> impl Iterator<Item = (&str, &BTreeMap<i32, CommittedOffset>)> {
        self.committed
            .iter()
            .map(|(topic, partitions)| (topic.as_str(), partitions))
    }

    pub(crate) fn replay(&mut self, topic: String, partition: i32, offset: CommittedOffset) {
        let key = (topic, partition);
        self.orphaned.remove(&key);
        let partitions = self.committed.entry(key.0).or_default();
        if partitions.insert(partition, offset).is_none() {
            self.count += 1;
        }
    }

    pub(crate) fn replay_tombstone(&mut self, topic: &str, partition: i32) {
        let Some(partitions) = self.committed.get_mut(topic) else {
            return;
        };
        if partitions.remove(&partition).is_some() {
            self.count -= 1;
            self.orphaned.remove(&(topic.to_owned(), partition));
        }
        if partitions.is_empty() {
            self.committed.remove(topic);
        }
    }

    /// Remembers that the topic of that id is gone; whether anything of it was committed. An offset that does not know its
    /// topic's id counts as of this topic.
    pub(crate) fn mark_deleted(&mut self, topic: &str, topic_id: Uuid) -> bool {
        let Some(partitions) = self.committed.get(topic) else {
            return false;
        };
        let before = self.orphaned.len();
        let gone = partitions.iter().filter(|(_, offset)| {
            offset.value.topic_id.is_nil() || offset.value.topic_id == topic_id
        });
        self.orphaned
            .extend(gone.map(|(partition, _)| (topic.to_owned(), *partition)));
        self.orphaned.len() > before
    }

    /// At most `limit` offsets to be forgotten, and whether nothing would be left then.
    pub(crate) fn expired(&self, expiry: &Expiry<'_>, limit: usize) -> (Vec<(String, i32)>, bool) {
        let mut found: BTreeSet<(String, i32)> =
            self.orphaned.iter().take(limit).cloned().collect();
        if expiry.base == ExpiryBase::Never {
            let all = found.len() == self.count;
            return (found.into_iter().collect(), all);
        }
        for (topic, partitions) in &self.committed {
            if (expiry.subscribed)(topic) {
                continue;
            }
            for (partition, offset) in partitions {
                if found.len() >= limit {
                    return (found.into_iter().collect(), false);
                }
                if expiry.reached(&offset.value) {
                    found.insert((topic.clone(), *partition));
                }
            }
        }
        let all = found.len() == self.count;
        (found.into_iter().collect(), all)
    }

    /// One partition's offset. An offset of a deleted topic does not count for its namesake: `current_id` is the id the topic
    /// has now, if there is one.
    fn fetch_one(
        &self,
        topic: &str,
        partition: i32,
        current_id: Option<Uuid>,
    ) -> Option<&OffsetCommitValue> {
        let value = &self.committed.get(topic)?.get(&partition)?.value;
        let foreign = current_id.is_some_and(|id| !value.topic_id.is_nil() && value.topic_id != id);
        (!foreign).then_some(value)
    }

    /// The offsets of these partitions, in their order.
    pub(crate) fn fetch(
        &self,
        topic: &str,
        partitions: &[i32],
        current_id: Option<Uuid>,
    ) -> TopicOffsets {
        let mut topic_id = Uuid::nil();
        let partitions = partitions
            .iter()
            .map(|partition| {
                let value = self.fetch_one(topic, *partition, current_id);
                topic_id = value.map_or(topic_id, |value| value.topic_id);
                (*partition, Ok(value.map(fetched)))
            })
            .collect();
        TopicOffsets {
            topic: topic.to_owned(),
            topic_id,
            partitions,
        }
    }

    /// Every topic with its partitions' indexes.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (&str, Vec<i32>)> {
        self.committed
            .iter()
            .map(|(topic, partitions)| (topic.as_str(), partitions.keys().copied().collect()))
    }
}

fn fetched(value: &OffsetCommitValue) -> FetchedOffset {
    FetchedOffset {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.clone(),
    }
}
