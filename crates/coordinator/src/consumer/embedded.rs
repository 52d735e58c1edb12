//! The consumer protocol inside the classic one: what a consumer sends with JoinGroup and gets from SyncGroup
//! (`ConsumerProtocolSubscription`, `ConsumerProtocolAssignment`). Bytes of a client: hostile until read.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::group::Member;
use crate::records::codec::{Reader, RecordError, Writer};
use crate::records::consumer::TopicPartitions;
use crate::topics::TopicView;

/// The newest version of either; its fields are added at the end, so a newer one is read as this.
const VERSION_MAX: i16 = 3;

/// The protocol type of consumers.
pub(super) const CONSUMER: &str = "consumer";

/// A subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) topics: Vec<String>,
    /// What the consumer owns, by topic name; from version 1.
    pub(super) owned: BTreeMap<String, Vec<i32>>,
    /// From version 3.
    pub(super) rack_id: Option<String>,
}

fn version(reader: &mut Reader, record: &'static str) -> Result<i16, RecordError> {
    match reader.i16()? {
        version if version < 0 => Err(RecordError::UnknownVersion { record, version }),
        version => Ok(version.min(VERSION_MAX)),
    }
}

fn topic_partitions(reader: &mut Reader) -> Result<BTreeMap<String, Vec<i32>>, RecordError> {
    let topics = reader.list(|topic| Ok((topic.string()?, topic.list(Reader::i32)?)))?;
    Ok(topics.into_iter().collect())
}

impl Subscription {
    pub(super) fn decode(metadata: &Bytes) -> Result<Self, RecordError> {
        let mut reader = Reader::new(metadata.clone());
        let version = version(&mut reader, "ConsumerProtocolSubscription")?;
        let topics = reader.list(Reader::string)?;
        reader.nullable_bytes()?;
        let owned = if version >= 1 {
            topic_partitions(&mut reader)?
        } else {
            BTreeMap::new()
        };
        if version >= 2 {
            // The generation in which it owned them: the coordinator knows better.
            reader.i32()?;
        }
        let rack_id = if version >= 3 {
            reader.nullable_string()?
        } else {
            None
        };
        Ok(Self {
            topics,
            owned,
            rack_id: rack_id.filter(|rack_id| !rack_id.is_empty()),
        })
    }

    /// What the consumer owns, as far as the topics exist.
    pub(super) fn owned_by_id(&self, topics: &dyn TopicView) -> TopicPartitions {
        by_id(&self.owned, topics)
    }
}

fn by_id(named: &BTreeMap<String, Vec<i32>>, topics: &dyn TopicView) -> TopicPartitions {
    let known = |(name, partitions): (&String, &Vec<i32>)| {
        let (id, _) = topics.by_name(name)?;
        Some((id, partitions.iter().copied().collect()))
    };
    named.iter().filter_map(known).collect()
}

/// Reads an assignment, as far as the topics exist. No bytes at all are what a member has before its first assignment.
pub(super) fn decode_assignment(
    assignment: &Bytes,
    topics: &dyn TopicView,
) -> Result<TopicPartitions, RecordError> {
    if assignment.is_empty() {
        return Ok(TopicPartitions::new());
    }
    let mut reader = Reader::new(assignment.clone());
    version(&mut reader, "ConsumerProtocolAssignment")?;
    Ok(by_id(&topic_partitions(&mut reader)?, topics))
}

/// Writes an assignment in the version of the subscription it answers; the versions differ in nothing but their number.
pub(super) fn encode_assignment(
    partitions: &TopicPartitions,
    topics: &dyn TopicView,
    subscription: &Bytes,
) -> Bytes {
    let version = version(&mut Reader::new(subscription.clone()), "").unwrap_or(0);
    let mut writer = Writer::versioned(version);
    let named: Vec<_> = partitions
        .iter()
        .filter_map(|(id, partitions)| Some((topics.by_id(*id)?.0, partitions)))
        .collect();
    writer.list(&named, |writer, (name, partitions)| {
        writer.string(name);
        writer.list(*partitions, |writer, partition| writer.i32(*partition));
    });
    // Null user data.
    writer.i32(-1);
    writer.finish()
}

/// The metadata of the protocol that a classic member prefers.
pub(super) fn preferred_metadata(member: &Member) -> Bytes {
    let first = member
        .metadata
        .classic
        .as_ref()
        .and_then(|classic| classic.protocols.first());
    first
        .map(|(_, metadata)| metadata.clone())
        .unwrap_or_default()
}
