//! A classic group as of its last completed rebalance (`GroupMetadataKey`, `GroupMetadataValue`).

use bytes::Bytes;

use super::codec::{Reader, RecordError, Writer};
use super::{GROUP_METADATA, put, tombstone};
use crate::decision::CoordinatorRecord;

/// Version that Kafka 4.4 writes, though it reads 4 (`GroupCoordinatorRecordHelpers.newGroupMetadataRecord`).
const WRITTEN_VERSION: i16 = 3;

/// Reads the group id behind the key's type.
///
/// # Errors
/// Any [`RecordError`] of the reader.
pub fn decode_key(mut reader: Reader) -> Result<String, RecordError> {
    reader.string()
}

fn encode_key(group_id: &str) -> Bytes {
    let mut writer = Writer::versioned(GROUP_METADATA);
    writer.string(group_id);
    writer.finish()
}

/// A classic group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadata {
    /// "consumer", "connect", …; empty if no member has ever joined.
    pub protocol_type: String,
    /// The generation the members are in.
    pub generation: i32,
    /// The protocol they agreed on; `None` in an empty group.
    pub protocol: Option<String>,
    /// The member that assigned.
    pub leader: Option<String>,
    /// When the group came into its state, in milliseconds; −1 if unknown.
    pub state_timestamp_ms: i64,
    /// The members.
    pub members: Vec<MemberMetadata>,
}

/// A member of a classic group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberMetadata {
    /// The id the coordinator gave it.
    pub member_id: String,
    /// The id it was configured with (KIP-345).
    pub group_instance_id: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// The client's address as Java prints it: a slash before it.
    pub client_host: String,
    /// How long a rebalance may take; −1 in records of version 0.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// What it sent for the chosen protocol.
    pub subscription: Bytes,
    /// What the leader gave it.
    pub assignment: Bytes,
}

impl GroupMetadata {
    /// Reads a value of any version Kafka has written.
    ///
    /// # Errors
    /// [`RecordError::UnknownVersion`] above 4, or any other of the reader.
    pub fn decode(value: Bytes) -> Result<Self, RecordError> {
        let mut reader = Reader::new(value);
        let version = reader.i16()?;
        match version {
            0..=3 => Self::decode_plain(version, &mut reader),
            4 => Self::decode_flexible(&mut reader),
            _ => Err(RecordError::UnknownVersion {
                record: "GroupMetadataValue",
                version,
            }),
        }
    }

    fn decode_plain(version: i16, reader: &mut Reader) -> Result<Self, RecordError> {
        Ok(Self {
            protocol_type: reader.string()?,
            generation: reader.i32()?,
            protocol: reader.nullable_string()?,
            leader: reader.nullable_string()?,
            state_timestamp_ms: if version >= 2 { reader.i64()? } else { -1 },
            members: reader.list(|member| {
                Ok(MemberMetadata {
                    member_id: member.string()?,
                    group_instance_id: if version >= 3 {
                        member.nullable_string()?
                    } else {
                        None
                    },
                    client_id: member.string()?,
                    client_host: member.string()?,
                    rebalance_timeout_ms: if version >= 1 { member.i32()? } else { -1 },
                    session_timeout_ms: member.i32()?,
                    subscription: member.bytes()?,
                    assignment: member.bytes()?,
                })
            })?,
        })
    }

    fn decode_flexible(reader: &mut Reader) -> Result<Self, RecordError> {
        let group = Self {
            protocol_type: reader.compact_string()?,
            generation: reader.i32()?,
            protocol: reader.nullable_compact_string()?,
            leader: reader.nullable_compact_string()?,
            state_timestamp_ms: reader.i64()?,
            members: reader.compact_list(|member| {
                let metadata = MemberMetadata {
                    member_id: member.compact_string()?,
                    group_instance_id: member.nullable_compact_string()?,
                    client_id: member.compact_string()?,
                    client_host: member.compact_string()?,
                    rebalance_timeout_ms: member.i32()?,
                    session_timeout_ms: member.i32()?,
                    subscription: member.compact_bytes()?,
                    assignment: member.compact_bytes()?,
                };
                member.skip_tagged_fields()?;
                Ok(metadata)
            })?,
        };
        reader.skip_tagged_fields()?;
        Ok(group)
    }

    /// The value as Kafka 4.4 writes it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::versioned(WRITTEN_VERSION);
        writer.string(&self.protocol_type);
        writer.i32(self.generation);
        writer.nullable_string(self.protocol.as_deref());
        writer.nullable_string(self.leader.as_deref());
        writer.i64(self.state_timestamp_ms);
        writer.list(&self.members, |writer, member| {
            writer.string(&member.member_id);
            writer.nullable_string(member.group_instance_id.as_deref());
            writer.string(&member.client_id);
            writer.string(&member.client_host);
            writer.i32(member.rebalance_timeout_ms);
            writer.i32(member.session_timeout_ms);
            writer.bytes(&member.subscription);
            writer.bytes(&member.assignment);
        });
        writer.finish()
    }

    /// The record that stores this group.
    #[must_use]
    pub fn record(&self, group_id: &str) -> CoordinatorRecord {
        put(encode_key(group_id), self.encode())
    }
}

/// The record that removes a classic group.
#[must_use]
pub fn group_tombstone(group_id: &str) -> CoordinatorRecord {
    tombstone(encode_key(group_id))
}
