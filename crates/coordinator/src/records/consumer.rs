//! Records of KIP-848 groups (keys 3 to 8 and 16).
//!
//! A group is spread over one record for its epoch, one for the epoch of its target assignment, three per member, and one per
//! regular expression. Each stands alone: they may be read in any order that a compacted log shows.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use uuid::Uuid;

use super::codec::{Reader, RecordError, Writer};
use super::{put, tombstone};
use crate::decision::CoordinatorRecord;

/// Partitions by topic id.
pub type TopicPartitions = BTreeMap<Uuid, BTreeSet<i32>>;

/// Partitions by topic id, each with the epoch at which its member got it.
pub type PartitionEpochs = BTreeMap<Uuid, BTreeMap<i32, i32>>;

/// One record of one group: what it says of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroupRecord {
    /// Whose record it is.
    pub group_id: String,
    /// What changes; `None` inside is a tombstone.
    pub change: ConsumerGroupChange,
}

/// The subjects of a group's records, by key type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumerGroupChange {
    /// `ConsumerGroupMetadata` (3): the group exists, at this epoch.
    Group(Option<GroupEpoch>),
    /// `ConsumerGroupPartitionMetadata` (4): what Kafka before 4.1 stored in place of the metadata hash. Read, and removed;
    /// never written.
    LegacyPartitions(Option<Vec<LegacyTopic>>),
    /// `ConsumerGroupMemberMetadata` (5).
    Member(String, Option<MemberMetadata>),
    /// `ConsumerGroupTargetAssignmentMetadata` (6).
    Target(Option<TargetEpoch>),
    /// `ConsumerGroupTargetAssignmentMember` (7): what the member shall have.
    MemberTarget(String, Option<TopicPartitions>),
    /// `ConsumerGroupCurrentMemberAssignment` (8): what the member has.
    MemberCurrent(String, Option<CurrentAssignment>),
    /// `ConsumerGroupRegularExpression` (16): the topics that a pattern stands for.
    Regex(String, Option<ResolvedRegex>),
}

impl ConsumerGroupChange {
    /// Whether the change takes its subject away.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        match self {
            Self::Group(value) => value.is_none(),
            Self::LegacyPartitions(value) => value.is_none(),
            Self::Member(_, value) => value.is_none(),
            Self::Target(value) => value.is_none(),
            Self::MemberTarget(_, value) => value.is_none(),
            Self::MemberCurrent(_, value) => value.is_none(),
            Self::Regex(_, value) => value.is_none(),
        }
    }
}

/// Value of `ConsumerGroupMetadata`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupEpoch {
    /// Rises with every change that asks for a new assignment.
    pub epoch: i32,
    /// Hash of the subscribed topics (KIP-1101); 0 for none.
    pub metadata_hash: i64,
}

/// A topic in `ConsumerGroupPartitionMetadata`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyTopic {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// How many partitions it had.
    pub partitions: i32,
}

/// Value of `ConsumerGroupMemberMetadata`: what the member said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberMetadata {
    /// The id it was configured with (KIP-345).
    pub instance_id: Option<String>,
    /// The rack it runs in.
    pub rack_id: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// The client's address as Java prints it: a slash before it.
    pub client_host: String,
    /// Topics subscribed to by name.
    pub subscribed_topic_names: BTreeSet<String>,
    /// Topics subscribed to by pattern.
    pub subscribed_topic_regex: Option<String>,
    /// How long giving up partitions may take; −1 until it has said so.
    pub rebalance_timeout_ms: i32,
    /// The assignor it asks for.
    pub server_assignor: Option<String>,
    /// Present if the member speaks the classic protocol.
    pub classic: Option<ClassicMember>,
}

impl Default for MemberMetadata {
    fn default() -> Self {
        Self {
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            subscribed_topic_names: BTreeSet::new(),
            subscribed_topic_regex: None,
            rebalance_timeout_ms: -1,
            server_assignor: None,
            classic: None,
        }
    }
}

/// What a member of the classic protocol brought along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicMember {
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// Names and metadata of the protocols it offers, the preferred one first.
    pub protocols: Vec<(String, Bytes)>,
}

/// Value of `ConsumerGroupTargetAssignmentMetadata`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetEpoch {
    /// The group epoch that the target assignment was computed for.
    pub epoch: i32,
    /// When that was, in milliseconds; 0 if the next one need not keep a distance (KIP-1263).
    pub timestamp_ms: i64,
}

/// Where a member is on its way to its target (Kafka's `MemberState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemberState {
    /// It has what it shall have.
    #[default]
    Stable,
    /// It has to give up partitions and has not said yet that it did.
    UnrevokedPartitions,
    /// Others still hold partitions that it shall have.
    UnreleasedPartitions,
    /// A state that this code does not know.
    Unknown(i8),
}

impl MemberState {
    fn from_number(number: i8) -> Self {
        match number {
            0 => Self::Stable,
            1 => Self::UnrevokedPartitions,
            2 => Self::UnreleasedPartitions,
            other => Self::Unknown(other),
        }
    }

    fn number(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
            Self::Unknown(other) => other,
        }
    }
}

/// Value of `ConsumerGroupCurrentMemberAssignment`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentAssignment {
    /// The epoch that is expected in the member's next heartbeat; −2 for a static member that is away for a while.
    pub member_epoch: i32,
    /// The epoch before: still accepted, since the answer with the new one may be lost.
    pub previous_member_epoch: i32,
    /// Where the member is on its way.
    pub state: MemberState,
    /// What it may consume.
    pub assigned: PartitionEpochs,
    /// What it has to give up but may still consume.
    pub pending_revocation: PartitionEpochs,
}

/// Value of `ConsumerGroupRegularExpression`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedRegex {
    /// The topics that matched.
    pub topics: BTreeSet<String>,
    /// Revision of the topics it was matched against.
    pub version: i64,
    /// When, in milliseconds.
    pub timestamp_ms: i64,
}

mod key {
    pub(super) const GROUP: i16 = 3;
    pub(super) const LEGACY_PARTITIONS: i16 = 4;
    pub(super) const MEMBER: i16 = 5;
    pub(super) const TARGET: i16 = 6;
    pub(super) const MEMBER_TARGET: i16 = 7;
    pub(super) const MEMBER_CURRENT: i16 = 8;
    pub(super) const REGEX: i16 = 16;
}

impl ConsumerGroupRecord {
    /// Reads a record whose key type is one of this module's.
    ///
    /// # Errors
    /// Any [`RecordError`]; [`RecordError::UnknownVersion`] for a value above version 0 or a key type of another module.
    pub fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Self, RecordError> {
        let mut reader = Reader::new(key.clone());
        let kind = reader.i16()?;
        let group_id = reader.string()?;
        let change = match kind {
            key::GROUP => {
                ConsumerGroupChange::Group(read(value, "ConsumerGroupMetadataValue", group)?)
            }
            key::LEGACY_PARTITIONS => ConsumerGroupChange::LegacyPartitions(read(
                value,
                "ConsumerGroupPartitionMetadataValue",
                legacy_partitions,
            )?),
            key::MEMBER => ConsumerGroupChange::Member(
                reader.string()?,
                read(value, "ConsumerGroupMemberMetadataValue", member)?,
            ),
            key::TARGET => ConsumerGroupChange::Target(read(
                value,
                "ConsumerGroupTargetAssignmentMetadataValue",
                target,
            )?),
            key::MEMBER_TARGET => ConsumerGroupChange::MemberTarget(
                reader.string()?,
                read(
                    value,
                    "ConsumerGroupTargetAssignmentMemberValue",
                    member_target,
                )?,
            ),
            key::MEMBER_CURRENT => ConsumerGroupChange::MemberCurrent(
                reader.string()?,
                read(
                    value,
                    "ConsumerGroupCurrentMemberAssignmentValue",
                    member_current,
                )?,
            ),
            key::REGEX => ConsumerGroupChange::Regex(
                reader.string()?,
                read(value, "ConsumerGroupRegularExpressionValue", regex)?,
            ),
            version => {
                return Err(RecordError::UnknownVersion {
                    record: "ConsumerGroup key",
                    version,
                });
            }
        };
        Ok(Self { group_id, change })
    }

    /// Writes the record.
    #[must_use]
    pub fn encode(&self) -> CoordinatorRecord {
        let (key, value) = match &self.change {
            ConsumerGroupChange::Group(value) => (
                self.key(key::GROUP, None),
                value.as_ref().map(|value| written(value, write_group)),
            ),
            ConsumerGroupChange::LegacyPartitions(value) => (
                self.key(key::LEGACY_PARTITIONS, None),
                value
                    .as_ref()
                    .map(|value| written(value, write_legacy_partitions)),
            ),
            ConsumerGroupChange::Member(id, value) => (
                self.key(key::MEMBER, Some(id)),
                value.as_ref().map(|value| written(value, write_member)),
            ),
            ConsumerGroupChange::Target(value) => (
                self.key(key::TARGET, None),
                value.as_ref().map(|value| written(value, write_target)),
            ),
            ConsumerGroupChange::MemberTarget(id, value) => (
                self.key(key::MEMBER_TARGET, Some(id)),
                value
                    .as_ref()
                    .map(|value| written(value, write_member_target)),
            ),
            ConsumerGroupChange::MemberCurrent(id, value) => (
                self.key(key::MEMBER_CURRENT, Some(id)),
                value
                    .as_ref()
                    .map(|value| written(value, write_member_current)),
            ),
            ConsumerGroupChange::Regex(pattern, value) => (
                self.key(key::REGEX, Some(pattern)),
                value.as_ref().map(|value| written(value, write_regex)),
            ),
        };
        match value {
            Some(value) => put(key, value),
            None => tombstone(key),
        }
    }

    fn key(&self, kind: i16, second: Option<&str>) -> Bytes {
        let mut writer = Writer::versioned(kind);
        writer.string(&self.group_id);
        if let Some(second) = second {
            writer.string(second);
        }
        writer.finish()
    }
}

fn read<T>(
    value: Option<&Bytes>,
    record: &'static str,
    body: impl FnOnce(&mut Reader) -> Result<T, RecordError>,
) -> Result<Option<T>, RecordError> {
    let Some(value) = value else { return Ok(None) };
    let mut reader = Reader::new(value.clone());
    match reader.i16()? {
        0 => body(&mut reader).map(Some),
        version => Err(RecordError::UnknownVersion { record, version }),
    }
}

fn written<T>(value: &T, body: impl FnOnce(&mut Writer, &T)) -> Bytes {
    let mut writer = Writer::versioned(0);
    body(&mut writer, value);
    writer.finish()
}

/// A tagged `int64` whose default, 0, Kafka leaves out.
fn tagged_i64(value: i64) -> Vec<(u32, Bytes)> {
    if value == 0 {
        return Vec::new();
    }
    let mut writer = Writer::default();
    writer.i64(value);
    vec![(0, writer.finish())]
}

fn read_tagged_i64(reader: &mut Reader) -> Result<i64, RecordError> {
    let mut found = 0;
    reader.tagged_fields(|tag, field| {
        if tag == 0 {
            found = field.i64()?;
        }
        Ok(())
    })?;
    Ok(found)
}

fn group(reader: &mut Reader) -> Result<GroupEpoch, RecordError> {
    Ok(GroupEpoch {
        epoch: reader.i32()?,
        metadata_hash: read_tagged_i64(reader)?,
    })
}

fn write_group(writer: &mut Writer, value: &GroupEpoch) {
    writer.i32(value.epoch);
    writer.tagged_fields(&tagged_i64(value.metadata_hash));
}

fn legacy_partitions(reader: &mut Reader) -> Result<Vec<LegacyTopic>, RecordError> {
    let topics = reader.compact_list(|topic| {
        let read = LegacyTopic {
            id: topic.uuid()?,
            name: topic.compact_string()?,
            partitions: topic.i32()?,
        };
        topic.compact_list(|partition| {
            partition.i32()?;
            partition.compact_list(Reader::compact_string)?;
            partition.skip_tagged_fields()
        })?;
        topic.skip_tagged_fields()?;
        Ok(read)
    })?;
    reader.skip_tagged_fields()?;
    Ok(topics)
}

fn write_legacy_partitions(writer: &mut Writer, value: &Vec<LegacyTopic>) {
    writer.compact_list(value, |writer, topic| {
        writer.uuid(topic.id);
        writer.compact_string(&topic.name);
        writer.i32(topic.partitions);
        writer.compact_list::<()>([], |_, ()| {});
        writer.no_tagged_fields();
    });
    writer.no_tagged_fields();
}

fn member(reader: &mut Reader) -> Result<MemberMetadata, RecordError> {
    let mut metadata = MemberMetadata {
        instance_id: reader.nullable_compact_string()?,
        rack_id: reader.nullable_compact_string()?,
        client_id: reader.compact_string()?,
        client_host: reader.compact_string()?,
        subscribed_topic_names: reader
            .compact_list(Reader::compact_string)?
            .into_iter()
            .collect(),
        subscribed_topic_regex: reader.nullable_compact_string()?,
        rebalance_timeout_ms: reader.i32()?,
        server_assignor: reader.nullable_compact_string()?,
        classic: None,
    };
    reader.tagged_fields(|tag, field| {
        // A nullable struct begins with a byte that says whether it is there.
        if tag == 0 && field.i8()? >= 0 {
            metadata.classic = Some(classic_member(field)?);
        }
        Ok(())
    })?;
    Ok(metadata)
}

fn classic_member(reader: &mut Reader) -> Result<ClassicMember, RecordError> {
    let classic = ClassicMember {
        session_timeout_ms: reader.i32()?,
        protocols: reader.compact_list(|protocol| {
            let read = (protocol.compact_string()?, protocol.compact_bytes()?);
            protocol.skip_tagged_fields()?;
            Ok(read)
        })?,
    };
    reader.skip_tagged_fields()?;
    Ok(classic)
}

fn write_member(writer: &mut Writer, value: &MemberMetadata) {
    writer.nullable_compact_string(value.instance_id.as_deref());
    writer.nullable_compact_string(value.rack_id.as_deref());
    writer.compact_string(&value.client_id);
    writer.compact_string(&value.client_host);
    writer.compact_list(&value.subscribed_topic_names, |writer, name| {
        writer.compact_string(name)
    });
    writer.nullable_compact_string(value.subscribed_topic_regex.as_deref());
    writer.i32(value.rebalance_timeout_ms);
    writer.nullable_compact_string(value.server_assignor.as_deref());
    let classic = value
        .classic
        .as_ref()
        .map(|classic| (0, encode_classic(classic)));
    writer.tagged_fields(classic.as_slice());
}

fn encode_classic(classic: &ClassicMember) -> Bytes {
    let mut writer = Writer::default();
    writer.i8(1);
    writer.i32(classic.session_timeout_ms);
    writer.compact_list(&classic.protocols, |writer, (name, metadata)| {
        writer.compact_string(name);
        writer.compact_bytes(metadata);
        writer.no_tagged_fields();
    });
    writer.no_tagged_fields();
    writer.finish()
}

fn target(reader: &mut Reader) -> Result<TargetEpoch, RecordError> {
    Ok(TargetEpoch {
        epoch: reader.i32()?,
        timestamp_ms: read_tagged_i64(reader)?,
    })
}

fn write_target(writer: &mut Writer, value: &TargetEpoch) {
    writer.i32(value.epoch);
    writer.tagged_fields(&tagged_i64(value.timestamp_ms));
}

fn member_target(reader: &mut Reader) -> Result<TopicPartitions, RecordError> {
    let topics = reader.compact_list(|topic| {
        let id = topic.uuid()?;
        let partitions = topic.compact_list(Reader::i32)?;
        topic.skip_tagged_fields()?;
        Ok((id, partitions))
    })?;
    reader.skip_tagged_fields()?;
    let mut read = TopicPartitions::new();
    for (id, partitions) in topics {
        read.entry(id).or_default().extend(partitions);
    }
    Ok(read)
}

fn write_member_target(writer: &mut Writer, value: &TopicPartitions) {
    writer.compact_list(value, |writer, (id, partitions)| {
        writer.uuid(*id);
        writer.compact_list(partitions, |writer, partition| writer.i32(*partition));
        writer.no_tagged_fields();
    });
    writer.no_tagged_fields();
}

fn member_current(reader: &mut Reader) -> Result<CurrentAssignment, RecordError> {
    let member_epoch = reader.i32()?;
    let current = CurrentAssignment {
        member_epoch,
        previous_member_epoch: reader.i32()?,
        state: MemberState::from_number(reader.i8()?),
        assigned: partition_epochs(reader, member_epoch)?,
        pending_revocation: partition_epochs(reader, member_epoch)?,
    };
    reader.skip_tagged_fields()?;
    Ok(current)
}

/// Partitions with the epochs beside them. Records of Kafka before 4.4 have none: the member's epoch then stands for all
/// (`Utils.assignmentFromTopicPartitions`).
fn partition_epochs(
    reader: &mut Reader,
    member_epoch: i32,
) -> Result<PartitionEpochs, RecordError> {
    let topics = reader.compact_list(|topic| {
        let id = topic.uuid()?;
        let partitions = topic.compact_list(Reader::i32)?;
        let mut epochs = None;
        topic.tagged_fields(|tag, field| {
            if tag == 0 {
                epochs = field.nullable_compact_list(Reader::i32)?;
            }
            Ok(())
        })?;
        Ok((id, partitions, epochs))
    })?;
    let mut read = PartitionEpochs::new();
    for (id, partitions, epochs) in topics {
        let epochs = epochs
            .filter(|epochs| epochs.len() == partitions.len())
            .unwrap_or_else(|| vec![member_epoch.max(0); partitions.len()]);
        read.entry(id)
            .or_default()
            .extend(partitions.into_iter().zip(epochs));
    }
    Ok(read)
}

fn write_member_current(writer: &mut Writer, value: &CurrentAssignment) {
    writer.i32(value.member_epoch);
    writer.i32(value.previous_member_epoch);
    writer.i8(value.state.number());
    write_partition_epochs(writer, &value.assigned);
    write_partition_epochs(writer, &value.pending_revocation);
    writer.no_tagged_fields();
}

fn write_partition_epochs(writer: &mut Writer, value: &PartitionEpochs) {
    writer.compact_list(value, |writer, (id, partitions)| {
        writer.uuid(*id);
        writer.compact_list(partitions.keys(), |writer, partition| {
            writer.i32(*partition)
        });
        let mut epochs = Writer::default();
        epochs.compact_list(partitions.values(), |writer, epoch| writer.i32(*epoch));
        writer.tagged_fields(&[(0, epochs.finish())]);
    });
}

fn regex(reader: &mut Reader) -> Result<ResolvedRegex, RecordError> {
    let resolved = ResolvedRegex {
        topics: reader
            .compact_list(Reader::compact_string)?
            .into_iter()
            .collect(),
        version: reader.i64()?,
        timestamp_ms: reader.i64()?,
    };
    reader.skip_tagged_fields()?;
    Ok(resolved)
}

fn write_regex(writer: &mut Writer, value: &ResolvedRegex) {
    writer.compact_list(&value.topics, |writer, topic| writer.compact_string(topic));
    writer.i64(value.version);
    writer.i64(value.timestamp_ms);
    writer.no_tagged_fields();
}

#[cfg(test)]
mod tests;
