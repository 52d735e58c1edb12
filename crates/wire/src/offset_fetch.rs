//! OffsetFetch (key 9) as Kafka 4.4 has it: version 10 names topics by id alone (KIP-848).
//!
//! The answer is `messages::OffsetFetchResponse`, which goes to v10 by itself.

#![allow(
    clippy::disallowed_types,
    reason = "the codec's older message is what this one stands in for"
)]

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{self, GroupId, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Message, Request, StrBytes, VersionRange,
};
use uuid::Uuid;

use crate::fields::{Layout, Unwritable, absent, encoded_len, supported};

/// The request, v1–v10. Use this one instead of `messages::OffsetFetchRequest`, which ends at v9.
///
/// v2 null topics mean all (and a top-level error code in the answer) · v6 flexible encoding · v7 `require_stable`
/// (KIP-447) · v8 several groups at once (KIP-709) · v9 member id and epoch (KIP-848) · v10 topic ids instead of names.
/// All versions are read here, because turning one list of topics into another would hold both at once, which is more
/// memory than the guard promises.
#[derive(Debug, Clone, PartialEq)]
pub struct OffsetFetchRequest {
    /// The group; "" from v8 on.
    pub group_id: GroupId,
    /// What to fetch, None for every topic the group has offsets of (v2 on); empty from v8 on.
    pub topics: Option<Vec<OffsetFetchRequestTopic>>,
    /// The groups; empty before v8.
    pub groups: Vec<OffsetFetchRequestGroup>,
    /// Whether offsets with a transaction pending on them are withheld with an error that can be retried; false
    /// before v7.
    pub require_stable: bool,
    /// Tagged fields this crate has no name for.
    pub unknown_tagged_fields: BTreeMap<i32, Bytes>,
}

/// One of the groups asked about, from v8 on.
#[derive(Debug, Clone, PartialEq)]
pub struct OffsetFetchRequestGroup {
    /// The group.
    pub group_id: GroupId,
    /// The member of a consumer group; None before v9.
    pub member_id: Option<StrBytes>,
    /// The member's epoch, -1 from outside any consumer group; -1 before v9.
    pub member_epoch: i32,
    /// What to fetch; None for every topic the group has offsets of.
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
    /// Tagged fields this crate has no name for.
    pub unknown_tagged_fields: BTreeMap<i32, Bytes>,
}

/// One topic of a group, from v8 on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffsetFetchRequestTopics {
    /// The topic's name; "" from v10 on.
    pub name: TopicName,
    /// The topic's id; nil before v10.
    pub topic_id: Uuid,
    /// Its partitions.
    pub partition_indexes: Vec<i32>,
    /// Tagged fields this crate has no name for.
    pub unknown_tagged_fields: BTreeMap<i32, Bytes>,
}

const FLEXIBLE_FROM: i16 = 6;
const GROUPS_FROM: i16 = 8;
const TOPIC_IDS_FROM: i16 = 10;

impl Default for OffsetFetchRequest {
    fn default() -> Self {
        Self {
            group_id: GroupId::default(),
            topics: Some(Vec::new()),
            groups: Vec::new(),
            require_stable: false,
            unknown_tagged_fields: BTreeMap::new(),
        }
    }
}

impl Default for OffsetFetchRequestGroup {
    fn default() -> Self {
        Self {
            group_id: GroupId::default(),
            member_id: None,
            member_epoch: -1,
            topics: Some(Vec::new()),
            unknown_tagged_fields: BTreeMap::new(),
        }
    }
}

impl Message for OffsetFetchRequest {
    const VERSIONS: VersionRange = VersionRange { min: 1, max: 10 };
    const DEPRECATED_VERSIONS: Option<VersionRange> = None;
}

impl HeaderVersion for OffsetFetchRequest {
    fn header_version(version: i16) -> i16 {
        if version >= FLEXIBLE_FROM { 2 } else { 1 }
    }
}

impl Request for OffsetFetchRequest {
    const KEY: i16 = messages::OffsetFetchRequest::KEY;
    type Response = OffsetFetchResponse;
}

impl Decodable for OffsetFetchRequest {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> anyhow::Result<Self> {
        supported::<Self>(version)?;
        let layout = Layout::of(version, FLEXIBLE_FROM);
        let mut request = Self::default();
        if version >= GROUPS_FROM {
            request.groups =
                layout.read_array(buf, |buf| OffsetFetchRequestGroup::decode(buf, version))?;
        } else {
            request.group_id = GroupId(layout.read_string(buf)?);
            request.topics = layout
                .read_nullable_array(buf, |buf| OffsetFetchRequestTopic::decode(buf, version))?;
        }
        if version >= 7 {
            request.require_stable = buf.try_get_u8()? != 0;
        }
        request.unknown_tagged_fields = layout.read_tags(buf)?;
        Ok(request)
    }
}

impl Encodable for OffsetFetchRequest {
    fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> anyhow::Result<()> {
        supported::<Self>(version)?;
        let layout = Layout::of(version, FLEXIBLE_FROM);
        if version >= GROUPS_FROM {
            absent("group_id", self.group_id.is_empty())?;
            absent("topics", self.topics.as_ref().is_some_and(Vec::is_empty))?;
            layout.write_array(buf, &self.groups, |buf, group| group.encode(buf, version))?;
        } else {
            absent("groups", self.groups.is_empty())?;
            self.encode_only_group(buf, version)?;
        }
        if version >= 7 {
            buf.put_u8(u8::from(self.require_stable));
        } else {
            absent("require_stable", !self.require_stable)?;
        }
        layout.write_tags(buf, &self.unknown_tagged_fields);
        Ok(())
    }

    fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
        encoded_len(self, version)
    }
}

impl OffsetFetchRequest {
    fn encode_only_group<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> anyhow::Result<()> {
        if version < 2 && self.topics.is_none() {
            return Err(Unwritable::UnexpectedNull("topics").into());
        }
        let layout = Layout::of(version, FLEXIBLE_FROM);
        layout.write_string(buf, &self.group_id)?;
        layout.write_nullable_array(buf, self.topics.as_deref(), |buf, topic| {
            topic.encode(buf, version)
        })
    }
}

impl Decodable for OffsetFetchRequestGroup {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> anyhow::Result<Self> {
        let layout = Layout::of(version, FLEXIBLE_FROM);
        let mut group = Self {
            group_id: GroupId(layout.read_string(buf)?),
            ..Self::default()
        };
        if version >= 9 {
            group.member_id = layout.read_nullable_string(buf)?;
            group.member_epoch = buf.try_get_i32()?;
        }
        group.topics = layout
            .read_nullable_array(buf, |buf| OffsetFetchRequestTopics::decode(buf, version))?;
        group.unknown_tagged_fields = layout.read_tags(buf)?;
        Ok(group)
    }
}

impl Encodable for OffsetFetchRequestGroup {
    // Member id and epoch are ignorable: before v9 they are dropped.
    fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> anyhow::Result<()> {
        let layout = Layout::of(version, FLEXIBLE_FROM);
        layout.write_string(buf, &self.group_id)?;
        if version >= 9 {
            layout.write_nullable_string(buf, self.member_id.as_ref())?;
            buf.put_i32(self.member_epoch);
        }
        layout.write_nullable_array(buf, self.topics.as_deref(), |buf, topic| {
            topic.encode(buf, version)
        })?;
        layout.write_tags(buf, &self.unknown_tagged_fields);
        Ok(())
    }

    fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
        encoded_len(self, version)
    }
}

impl Decodable for OffsetFetchRequestTopics {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> anyhow::Result<Self> {
        let layout = Layout::of(version, FLEXIBLE_FROM);
        let mut topic = Self::default();
        if version >= TOPIC_IDS_FROM {
            topic.topic_id = Uuid::from_u128(buf.try_get_u128()?);
        } else {
            topic.name = TopicName(layout.read_string(buf)?);
        }
        topic.partition_indexes = layout.read_array(buf, |buf| Ok(buf.try_get_i32()?))?;
        topic.unknown_tagged_fields = layout.read_tags(buf)?;
        Ok(topic)
    }
}

impl Encodable for OffsetFetchRequestTopics {
    // Kafka calls both names of a topic ignorable: the one the version does not have is dropped.
    fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> anyhow::Result<()> {
        let layout = Layout::of(version, FLEXIBLE_FROM);
        if version >= TOPIC_IDS_FROM {
            buf.put_u128(self.topic_id.as_u128());
        } else {
            layout.write_string(buf, &self.name)?;
        }
        layout.write_array(buf, &self.partition_indexes, |buf, index| {
            buf.put_i32(*index);
            Ok(())
        })?;
        layout.write_tags(buf, &self.unknown_tagged_fields);
        Ok(())
    }

    fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
        encoded_len(self, version)
    }
}
