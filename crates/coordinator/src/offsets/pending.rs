//! Offsets of one group that transactions hold back (KIP-98; Kafka's `pendingTransactionalOffsets`).
//!
//! An offset that was committed later than a pending one is the newer, whatever becomes of the transaction. That is noted when it
//! happens, so that nobody has to remember where in the log a committed offset stands.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::records::OffsetCommitValue;

/// An offset that waits for the end of its transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingOffset {
    /// What is committed if the transaction is; `None` if a later commit has already overtaken it. The partition is held back
    /// all the same.
    pub value: Option<OffsetCommitValue>,
    /// Where its record is in the log: of two transactions the one that committed the offset later wins.
    pub record_offset: i64,
}

/// What a transaction does to one partition's offset when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Released {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// What becomes the committed offset, if the transaction is committed.
    pub(crate) value: Option<OffsetCommitValue>,
    /// The other transactions whose offset is older than this one.
    pub(crate) overtaken: Vec<i64>,
}

/// All pending offsets of a group.
#[derive(Debug, Clone, Default)]
pub(crate) struct PendingOffsets {
    /// By topic, partition and producer id; nothing in it is empty.
    held: BTreeMap<String, BTreeMap<i32, BTreeMap<i64, PendingOffset>>>,
    /// The same the other way round.
    by_producer: BTreeMap<i64, BTreeSet<(String, i32)>>,
}

impl PendingOffsets {
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The pending offsets of one partition by producer id.
    pub(crate) fn of(
        &self,
        topic: &str,
        partition: i32,
    ) -> impl Iterator<Item = (i64, &PendingOffset)> {
        let found = self.held.get(topic);
        let found = found.and_then(|partitions| partitions.get(&partition));
        found
            .into_iter()
            .flatten()
            .map(|(id, offset)| (*id, offset))
    }

    pub(crate) fn contains(&self, topic: &str, partition: i32) -> bool {
        self.of(topic, partition).next().is_some()
    }

    /// Every partition once.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (&str, i32)> {
        self.held.iter().flat_map(|(topic, partitions)| {
            partitions
                .keys()
                .map(move |partition| (topic.as_str(), *partition))
        })
    }

    /// All there is.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, i32, i64, &PendingOffset)> {
        self.partitions().flat_map(|(topic, partition)| {
            self.of(topic, partition)
                .map(move |(producer_id, offset)| (topic, partition, producer_id, offset))
        })
    }

    /// The partitions of a topic of which nothing pending is known to be of another topic than the one with this id.
    pub(crate) fn only_of(&self, topic: &str, topic_id: Uuid) -> impl Iterator<Item = i32> {
        let partitions = self.held.get(topic).into_iter().flatten();
        partitions
            .filter(move |(_, pending)| {
                let mut values = pending.values().filter_map(|one| one.value.as_ref());
                values.all(|value| value.topic_id.is_nil() || value.topic_id == topic_id)
            })
            .map(|(partition, _)| *partition)
    }

    /// The offset is part of the producer's open transaction.
    pub(crate) fn hold(
        &mut self,
        producer_id: i64,
        topic: String,
        partition: i32,
        offset: PendingOffset,
    ) {
        let keys = self.by_producer.entry(producer_id).or_default();
        keys.insert((topic.clone(), partition));
        let partitions = self.held.entry(topic).or_default();
        let pending = partitions.entry(partition).or_default();
        pending.insert(producer_id, offset);
    }

    /// An offset of the partition was committed outside the pending transactions: none of theirs is newer. The producers whose
    /// offset is overtaken by it.
    pub(crate) fn overtake(&mut self, topic: &str, partition: i32) -> Vec<i64> {
        self.overtake_before(topic, partition, i64::MAX)
    }

    fn overtake_before(&mut self, topic: &str, partition: i32, record_offset: i64) -> Vec<i64> {
        let found = self.held.get_mut(topic);
        let found = found.and_then(|partitions| partitions.get_mut(&partition));
        let older = found
            .into_iter()
            .flatten()
            .filter(|(_, one)| one.record_offset < record_offset);
        older
            .filter_map(|(producer_id, one)| one.value.take().map(|_| *producer_id))
            .collect()
    }

    /// The partition's offset is gone, and with it what transactions would make of it; the producers that had one.
    pub(crate) fn forget(&mut self, topic: &str, partition: i32) -> Vec<i64> {
        let Some(partitions) = self.held.get_mut(topic) else {
            return Vec::new();
        };
        let pending = partitions.remove(&partition).unwrap_or_default();
        if partitions.is_empty() {
            self.held.remove(topic);
        }
        let key = (topic.to_owned(), partition);
        for producer_id in pending.keys() {
            if let Some(keys) = self.by_producer.get_mut(producer_id) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.by_producer.remove(producer_id);
                }
            }
        }
        pending.into_keys().collect()
    }

    /// The producer's transaction has ended; what it held is held no more.
    pub(crate) fn release(&mut self, producer_id: i64, committed: bool) -> Vec<Released> {
        let keys = self.by_producer.remove(&producer_id).unwrap_or_default();
        let released = keys.into_iter().map(|(topic, partition)| {
            let offset = self.take(producer_id, &topic, partition);
            let newest = offset.filter(|_| committed);
            let (value, at) = newest.map_or((None, 0), |one| (one.value, one.record_offset));
            let overtaken = match value {
                Some(_) => self.overtake_before(&topic, partition, at),
                None => Vec::new(),
            };
            Released {
                topic,
                partition,
                value,
                overtaken,
            }
        });
        released.collect()
    }

    fn take(&mut self, producer_id: i64, topic: &str, partition: i32) -> Option<PendingOffset> {
        let partitions = self.held.get_mut(topic)?;
        let pending = partitions.get_mut(&partition)?;
        let taken = pending.remove(&producer_id);
        if pending.is_empty() {
            partitions.remove(&partition);
        }
        if partitions.is_empty() {
            self.held.remove(topic);
        }
        taken
    }
}
