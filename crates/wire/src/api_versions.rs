//! ApiVersions (key 18) as Kafka 4.4 has it: version 5 says whom the client believes it is talking to.

#![allow(
    clippy::disallowed_types,
    reason = "the codec's older message is what this one stands in for"
)]

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::{self, ApiVersionsResponse};
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Message, Request, StrBytes, VersionRange,
};

use crate::fields::{Layout, encoded_len};

/// The request, v0–v5. Use this one instead of `messages::ApiVersionsRequest`, which ends at v4.
///
/// v3 the client's software (KIP-511), flexible encoding · v5 cluster id and node id (KIP-1242): a broker that
/// is not the one named answers REBOOTSTRAP_REQUIRED. The response of v5 is that of v4.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiVersionsRequest {
    /// Name of the client library; "" before v3.
    pub client_software_name: StrBytes,
    /// Version of the client library; "" before v3.
    pub client_software_version: StrBytes,
    /// The cluster the client expects, if it knows; None before v5.
    pub cluster_id: Option<StrBytes>,
    /// The node the client expects, -1 if it does not know; -1 before v5.
    pub node_id: i32,
    /// Tagged fields this crate has no name for.
    pub unknown_tagged_fields: BTreeMap<i32, Bytes>,
}

impl Default for ApiVersionsRequest {
    fn default() -> Self {
        Self {
            client_software_name: StrBytes::new(),
            client_software_version: StrBytes::new(),
            cluster_id: None,
            node_id: -1,
            unknown_tagged_fields: BTreeMap::new(),
        }
    }
}

impl Message for ApiVersionsRequest {
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 5 };
    const DEPRECATED_VERSIONS: Option<VersionRange> = None;
}

impl HeaderVersion for ApiVersionsRequest {
    fn header_version(version: i16) -> i16 {
        if version >= 3 { 2 } else { 1 }
    }
}

impl Request for ApiVersionsRequest {
    const KEY: i16 = messages::ApiVersionsRequest::KEY;
    type Response = ApiVersionsResponse;
}

impl Decodable for ApiVersionsRequest {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> anyhow::Result<Self> {
        if version < 5 {
            return Ok(messages::ApiVersionsRequest::decode(buf, version)?.into());
        }
        let layout = Layout::Flexible;
        Ok(Self {
            client_software_name: layout.read_string(buf)?,
            client_software_version: layout.read_string(buf)?,
            cluster_id: layout.read_nullable_string(buf)?,
            node_id: buf.try_get_i32()?,
            unknown_tagged_fields: layout.read_tags(buf)?,
        })
    }
}

impl Encodable for ApiVersionsRequest {
    fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> anyhow::Result<()> {
        if version < 5 {
            return self.clone().before_v5().encode(buf, version);
        }
        let layout = Layout::Flexible;
        layout.write_string(buf, &self.client_software_name)?;
        layout.write_string(buf, &self.client_software_version)?;
        layout.write_nullable_string(buf, self.cluster_id.as_ref())?;
        buf.put_i32(self.node_id);
        layout.write_tags(buf, &self.unknown_tagged_fields);
        Ok(())
    }

    fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
        if version < 5 {
            return self.clone().before_v5().compute_size(version);
        }
        encoded_len(self, version)
    }
}

impl From<messages::ApiVersionsRequest> for ApiVersionsRequest {
    fn from(older: messages::ApiVersionsRequest) -> Self {
        Self {
            client_software_name: older.client_software_name,
            client_software_version: older.client_software_version,
            unknown_tagged_fields: older.unknown_tagged_fields,
            ..Self::default()
        }
    }
}

impl ApiVersionsRequest {
    // Cluster id and node id may be ignored by an older broker, so they are dropped, not refused.
    fn before_v5(self) -> messages::ApiVersionsRequest {
        messages::ApiVersionsRequest::default()
            .with_client_software_name(self.client_software_name)
            .with_client_software_version(self.client_software_version)
            .with_unknown_tagged_fields(self.unknown_tagged_fields)
    }
}
