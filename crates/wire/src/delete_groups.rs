//! DeleteGroups (key 42) as Kafka 4.4 has it: version 3 says in words why a group was not deleted.

#![allow(
    clippy::disallowed_types,
    reason = "the codec's older message is what this one stands in for"
)]

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::{self, GroupId};
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Message, Request, StrBytes, VersionRange,
};

use crate::fields::{Layout, encoded_len, supported};

/// The request, v0–v3. Use this one instead of `messages::DeleteGroupsRequest`, which ends at v2.
///
/// v2 flexible encoding · v3 as v2, and asks for error messages.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeleteGroupsRequest {
    /// The groups to delete.
    pub groups_names: Vec<GroupId>,
    /// Tagged fields this crate has no name for.
    pub unknown_tagged_fields: BTreeMap<i32, Bytes>,
}

/// The answer, v0–v3. Use this one instead of `messages::DeleteGroupsResponse`, which ends at v2.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeleteGroupsResponse {
    /// How long the client was held back, in milliseconds.
    pub throttle_time_ms: i32,
    /// What became of each group.
    pub results: Vec<DeletableGroupResult>,
    /// Tagged fields this crate has no name for.
    pub unknown_tagged_fields: BTreeMap<i32, Bytes>,
}

/// What became of one group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeletableGroupResult {
    /// The group.
    pub group_id: GroupId,
    /// Kafka's error code, 0 if the group is deleted.
    pub error_code: i16,
    /// Why it is not deleted, in words; None before v3.
    pub error_message: Option<StrBytes>,
    /// Tagged fields this crate has no name for.
    pub unknown_tagged_fields: BTreeMap<i32, Bytes>,
}

const VERSIONS: VersionRange = VersionRange { min: 0, max: 3 };
const FLEXIBLE_FROM: i16 = 2;

impl Message for DeleteGroupsRequest {
    const VERSIONS: VersionRange = VERSIONS;
    const DEPRECATED_VERSIONS: Option<VersionRange> = None;
}

impl HeaderVersion for DeleteGroupsRequest {
    fn header_version(version: i16) -> i16 {
        if version >= FLEXIBLE_FROM { 2 } else { 1 }
    }
}

impl Request for DeleteGroupsRequest {
    const KEY: i16 = messages::DeleteGroupsRequest::KEY;
    type Response = DeleteGroupsResponse;
}

impl Decodable for DeleteGroupsRequest {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> anyhow::Result<Self> {
        supported::<Self>(version)?;
        let layout = Layout::of(version, FLEXIBLE_FROM);
        Ok(Self {
            groups_names: layout.read_array(buf, |buf| Ok(GroupId(layout.read_string(buf)?)))?,
            unknown_tagged_fields: layout.read_tags(buf)?,
        })
    }
}

impl Encodable for DeleteGroupsRequest {
    fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> anyhow::Result<()> {
        supported::<Self>(version)?;
        let layout = Layout::of(version, FLEXIBLE_FROM);
        layout.write_array(buf, &self.groups_names, |buf, name| {
            Ok(layout.write_string(buf, name)?)
        })?;
        layout.write_tags(buf, &self.unknown_tagged_fields);
        Ok(())
    }

    fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
        encoded_len(self, version)
    }
}

impl Message for DeleteGroupsResponse {
    const VERSIONS: VersionRange = VERSIONS;
    const DEPRECATED_VERSIONS: Option<VersionRange> = None;
}

impl HeaderVersion for DeleteGroupsResponse {
    fn header_version(version: i16) -> i16 {
        i16::from(version >= FLEXIBLE_FROM)
    }
}

impl Decodable for DeleteGroupsResponse {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> anyhow::Result<Self> {
        supported::<Self>(version)?;
        let layout = Layout::of(version, FLEXIBLE_FROM);
        Ok(Self {
            throttle_time_ms: buf.try_get_i32()?,
            results: layout.read_array(buf, |buf| DeletableGroupResult::decode(buf, version))?,
            unknown_tagged_fields: layout.read_tags(buf)?,
        })
    }
}

impl Encodable for DeleteGroupsResponse {
    fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> anyhow::Result<()> {
        supported::<Self>(version)?;
        let layout = Layout::of(version, FLEXIBLE_FROM);
        buf.put_i32(self.throttle_time_ms);
        layout.write_array(buf, &self.results, |buf, result| {
            result.encode(buf, version)
        })?;
        layout.write_tags(buf, &self.unknown_tagged_fields);
        Ok(())
    }

    fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
        encoded_len(self, version)
    }
}

impl Decodable for DeletableGroupResult {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> anyhow::Result<Self> {
        let layout = Layout::of(version, FLEXIBLE_FROM);
        Ok(Self {
            group_id: GroupId(layout.read_string(buf)?),
            error_code: buf.try_get_i16()?,
            error_message: match version {
                3.. => layout.read_nullable_string(buf)?,
                _ => None,
            },
            unknown_tagged_fields: layout.read_tags(buf)?,
        })
    }
}

impl Encodable for DeletableGroupResult {
    // The message is ignorable: before v3 it is dropped.
    fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> anyhow::Result<()> {
        let layout = Layout::of(version, FLEXIBLE_FROM);
        layout.write_string(buf, &self.group_id)?;
        buf.put_i16(self.error_code);
        if version >= 3 {
            layout.write_nullable_string(buf, self.error_message.as_ref())?;
        }
        layout.write_tags(buf, &self.unknown_tagged_fields);
        Ok(())
    }

    fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
        encoded_len(self, version)
    }
}
