//! The committed offsets of one group.
//!
//! All of it is durable but the list of orphans.

mod pending;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

pub use pending::PendingOffset;
pub(crate) use pending::{PendingOffsets, Released};

use crate::error::GroupError;
use crate::event::{FetchedOffset, TopicOffsets};
use crate::records::OffsetCommitValue;

/// Everything one group has committed.
#[derive(Debug, Clone, Default)]
pub(crate) struct GroupOffsets {
    committed: BTreeMap<String, BTreeMap<i32, OffsetCommitValue>>,
    /// What open transactions have committed.
    pub(crate) pending: PendingOffsets,
    /// Soft: offsets of deleted topics that still wait for their tombstones.
    orphaned: BTreeSet<(String, i32)>,
    count: usize,
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
        self.committed.is_empty() && self.pending.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    fn is_committed(&self, topic: &str, partition: i32) -> bool {
        self.committed
            .get(topic)
            .is_some_and(|partitions| partitions.contains_key(&partition))
    }

    /// Whether there is an offset of the partition, or a transaction is about to make one.
    pub(crate) fn contains(&self, topic: &str, partition: i32) -> bool {
        self.is_committed(topic, partition) || self.pending.contains(topic, partition)
    }

    /// What is committed, by topic and partition.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, i32, &OffsetCommitValue)> {
        self.committed.iter().flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(move |(partition, offset)| (topic.as_str(), *partition, offset))
        })
    }

    /// Every partition of which [`Self::contains`] is true, once.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&str, i32)> {
        let committed = self.iter().map(|(topic, partition, _)| (topic, partition));
        let pending = self.pending.partitions();
        committed.chain(pending.filter(|(topic, partition)| !self.is_committed(topic, *partition)))
    }

    /// What is committed, topic by topic.
    pub(crate) fn by_topic(
        &self,
    ) -> impl Iterator<Item = (&str, &BTreeMap<i32, OffsetCommitValue>)> {
        self.committed
            .iter()
            .map(|(topic, partitions)| (topic.as_str(), partitions))
    }

    /// The offset is committed, whatever open transactions have; the producers whose offset is overtaken by it.
    pub(crate) fn replay(
        &mut self,
        topic: &str,
        partition: i32,
        value: OffsetCommitValue,
    ) -> Vec<i64> {
        let overtaken = self.pending.overtake(topic, partition);
        self.put(topic.to_owned(), partition, value);
        overtaken
    }

    fn put(&mut self, topic: String, partition: i32, value: OffsetCommitValue) {
        let key = (topic, partition);
        self.orphaned.remove(&key);
        let partitions = self.committed.entry(key.0).or_default();
        if partitions.insert(partition, value).is_none() {
            self.count += 1;
        }
    }

    /// The offset is part of an open transaction.
    pub(crate) fn replay_pending(
        &mut self,
        producer_id: i64,
        topic: String,
        partition: i32,
        offset: PendingOffset,
    ) {
        let key = (topic, partition);
        self.orphaned.remove(&key);
        self.pending.hold(producer_id, key.0, partition, offset);
    }

    /// The producer's transaction has ended: what it held is committed if the transaction is, and otherwise forgotten.
    pub(crate) fn replay_end(&mut self, producer_id: i64, committed: bool) -> Vec<Released> {
        let released = self.pending.release(producer_id, committed);
        for offset in &released {
            if let Some(value) = &offset.value {
                self.put(offset.topic.clone(), offset.partition, value.clone());
            }
        }
        released
    }

    /// The offset is gone, and what transactions would make of it; the producers of those.
    pub(crate) fn replay_tombstone(&mut self, topic: &str, partition: i32) -> Vec<i64> {
        let forgotten = self.pending.forget(topic, partition);
        self.orphaned.remove(&(topic.to_owned(), partition));
        if let Some(partitions) = self.committed.get_mut(topic) {
            if partitions.remove(&partition).is_some() {
                self.count -= 1;
            }
            if partitions.is_empty() {
                self.committed.remove(topic);
            }
        }
        forgotten
    }

    /// Remembers that the topic of that id is gone; whether anything of it was committed. An offset that does not know its
    /// topic's id counts as of this topic.
    pub(crate) fn mark_deleted(&mut self, topic: &str, topic_id: Uuid) -> bool {
        let is_of_it =
            |value: &OffsetCommitValue| value.topic_id.is_nil() || value.topic_id == topic_id;
        let committed = self.committed.get(topic);
        let gone = committed.into_iter().flatten();
        let gone = gone.filter(|(_, value)| is_of_it(value));
        let mut gone: BTreeSet<i32> = gone.map(|(partition, _)| *partition).collect();
        // One tombstone takes both: where a namesake has an offset already, the pending one of the old topic stays.
        let is_free =
            |partition: &i32| gone.contains(partition) || !self.is_committed(topic, *partition);
        let pending: Vec<i32> = self
            .pending
            .only_of(topic, topic_id)
            .filter(is_free)
            .collect();
        gone.extend(pending);
        let before = self.orphaned.len();
        let gone = gone.into_iter();
        self.orphaned
            .extend(gone.map(|partition| (topic.to_owned(), partition)));
        self.orphaned.len() > before
    }

    /// At most `limit` offsets to be forgotten, and whether nothing would be left then. What a transaction holds does not
    /// expire, unless its topic is gone.
    pub(crate) fn expired(&self, expiry: &Expiry<'_>, limit: usize) -> (Vec<(String, i32)>, bool) {
        let mut found: BTreeSet<(String, i32)> =
            self.orphaned.iter().take(limit).cloned().collect();
        if expiry.base != ExpiryBase::Never {
            self.add_aged(&mut found, expiry, limit);
        }
        let left = self.keys().count() - found.len();
        (found.into_iter().collect(), left == 0)
    }

    fn add_aged(&self, found: &mut BTreeSet<(String, i32)>, expiry: &Expiry<'_>, limit: usize) {
        let topics = self.by_topic();
        let unread = topics.filter(|(topic, _)| !(expiry.subscribed)(topic));
        for (topic, partitions) in unread {
            for (partition, value) in partitions {
                if found.len() >= limit {
                    return;
                }
                if expiry.reached(value) && !self.pending.contains(topic, *partition) {
                    found.insert((topic.to_owned(), *partition));
                }
            }
        }
    }

    /// One partition's offset. An offset of a deleted topic does not count for its namesake: `current_id` is the id the topic
    /// has now, if there is one.
    fn fetch_one(
        &self,
        topic: &str,
        partition: i32,
        current_id: Option<Uuid>,
    ) -> Option<&OffsetCommitValue> {
        let value = self.committed.get(topic)?.get(&partition)?;
        let foreign = current_id.is_some_and(|id| !value.topic_id.is_nil() && value.topic_id != id);
        (!foreign).then_some(value)
    }

    /// The offsets of these partitions, in their order; with `require_stable`, those that a transaction may yet replace are
    /// withheld (KIP-447).
    pub(crate) fn fetch(
        &self,
        topic: &str,
        partitions: &[i32],
        current_id: Option<Uuid>,
        require_stable: bool,
    ) -> TopicOffsets {
        let mut topic_id = Uuid::nil();
        let partitions = partitions
            .iter()
            .map(|partition| {
                if require_stable && self.pending.contains(topic, *partition) {
                    return (*partition, Err(GroupError::UnstableOffsetCommit));
                }
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
