//! OffsetCommit (key 8) as Kafka 4.4 has it: version 10 names topics by id alone (KIP-848).
//!
//! The answer is `messages::OffsetCommitResponse`, which goes to v10 by itself.

#![allow(
    clippy::disallowed_types,
    reason = "the codec's older message is what this one stands in for"
)]

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::{self, GroupId, OffsetCommitResponse, TopicName};
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Message, Request, StrBytes, VersionRange,
};
use uuid::Uuid;

use crate::fields::{Layout, absent, encoded_len, supported};

/// The request, v2–v10. Use this one instead of `messages::OffsetCommitRequest`, which ends at v9.
///
/// v5 no retention time · v6 leader epoch · v7 `group_instance_id` (KIP-345) · v8 flexible encoding · v9 members of
/// consumer groups (KIP-848) · v10 topic ids instead of names. All versions are read here, because turning one list of
/// topics into another would hold both at once, which is more memory than the guard promises.
#[derive(Debug, Clone, PartialEq)]
pub struct OffsetCommitRequest {
    /// The group.
    pub group_id: GroupId,
    /// The generation of a classic group or the epoch of a consumer group's member; -1 from outside any group.
    pub generation_id_or_member_epoch: i32,
    /// The member; "" from outside any group.
    pub member_id: StrBytes,
    /// The static member's name; None before v7.
    pub group_instance_id: Option<StrBytes>,
    /// How long to keep the offsets, in milliseconds, -1 for as long as the broker does; -1 from v5 on.
    pub retention_time_ms: i64,
    /// What to commit.
    pub topics: Vec<OffsetCommitRequestTopic>,
    /// Tagged fields this crate has no name for.
    pub unknown_tagged_fields: BTreeMap<i32, Bytes>,
}

/// The offsets of one topic.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffsetCommitRequestTopic {
    /// The topic's name; "" from v10 on.
    pub name: TopicName,
    /// The topic's id; nil before v10.
    pub topic_id: Uuid,
    /// Its partitions.
    pub partitions: Vec<OffsetCommitRequestPartition>,
    /// Tagged fields this crate has no name for.
    pub unknown_tagged_fields: BTreeMap<i32, Bytes>,
}

const FLEXIBLE_FROM: i16 = 8;
const TOPIC_IDS_FROM: i16 = 10;

/// The last version of the partitions' schema that the decoder has; v10 did not change it.
const PARTITION_SCHEMA: i16 = 9;

impl Default for OffsetCommitRequest {
    fn default() -> Self {
        Self {
            group_id: GroupId::default(),
            generation_id_or_member_epoch: -1,
            member_id: StrBytes::new(),
            group_instance_id: None,
            retention_time_ms: -1,
            topics: Vec::new(),
            unknown_tagged_fields: BTreeMap::new(),
        }
    }
}

impl Message for OffsetCommitRequest {
    const VERSIONS: VersionRange = VersionRange { min: 2, max: 10 };
    const DEPRECATED_VERSIONS: Option<VersionRange> = None;
}

impl HeaderVersion for OffsetCommitRequest {
    fn header_version(version: i16) -> i16 {
        if version >= FLEXIBLE_FROM { 2 } else { 1 }
    }
}

impl Request for OffsetCommitRequest {
    const KEY: i16 = messages::OffsetCommitRequest::KEY;
    type Response = OffsetCommitResponse;
}

impl Decodable for OffsetCommitRequest {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> anyhow::Result<Self> {
        supported::<Self>(version)?;
        let layout = Layout::of(version, FLEXIBLE_FROM);
        Ok(Self {
            group_id: GroupId(layout.read_string(buf)?),
            generation_id_or_member_epoch: buf.try_get_i32()?,
            member_id: layout.read_string(buf)?,
            group_instance_id: match version {
                7.. => layout.read_nullable_string(buf)?,
                _ => None,
            },
            retention_time_ms: match version {
                ..=4 => buf.try_get_i64()?,
                _ => -1,
            },
            topics: layout.read_array(buf, |buf| OffsetCommitRequestTopic::decode(buf, version))?,
            unknown_tagged_fields: layout.read_tags(buf)?,
        })
    }
}

impl Encodable for OffsetCommitRequest {
    fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> anyhow::Result<()> {
        supported::<Self>(version)?;
        let layout = Layout::of(version, FLEXIBLE_FROM);
        layout.write_string(buf, &self.group_id)?;
        buf.put_i32(self.generation_id_or_member_epoch);
        layout.write_string(buf, &self.member_id)?;
        if version >= 7 {
            layout.write_nullable_string(buf, self.group_instance_id.as_ref())?;
        } else {
            absent("group_instance_id", self.group_instance_id.is_none())?;
        }
        if version <= 4 {
            buf.put_i64(self.retention_time_ms);
        }
        layout.write_array(buf, &self.topics, |buf, topic| topic.encode(buf, version))?;
        layout.write_tags(buf, &self.unknown_tagged_fields);
        Ok(())
    }

    fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
        encoded_len(self, version)
    }
}

impl Decodable for OffsetCommitRequestTopic {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> anyhow::Result<Self> {
        let layout = Layout::of(version, FLEXIBLE_FROM);
        let mut topic = Self::default();
        if version >= TOPIC_IDS_FROM {
            topic.topic_id = Uuid::from_u128(buf.try_get_u128()?);
        } else {
            topic.name = TopicName(layout.read_string(buf)?);
        }
        topic.partitions = layout.read_array(buf, |buf| {
            OffsetCommitRequestPartition::decode(buf, version.min(PARTITION_SCHEMA))
        })?;
        topic.unknown_tagged_fields = layout.read_tags(buf)?;
        Ok(topic)
    }
}

impl Encodable for OffsetCommitRequestTopic {
    // Kafka calls both names of a topic ignorable: the one the version does not have is dropped.
    fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> anyhow::Result<()> {
        let layout = Layout::of(version, FLEXIBLE_FROM);
        if version >= TOPIC_IDS_FROM {
            buf.put_u128(self.topic_id.as_u128());
        } else {
            layout.write_string(buf, &self.name)?;
        }
        layout.write_array(buf, &self.partitions, |buf, partition| {
            partition.encode(buf, version.min(PARTITION_SCHEMA))
        })?;
        layout.write_tags(buf, &self.unknown_tagged_fields);
        Ok(())
    }

    fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
        encoded_len(self, version)
    }
}
