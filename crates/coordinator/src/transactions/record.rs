//! The records of `__transaction_state`, byte for byte as Apache Kafka 4.4 writes them (`TransactionLog`).
//!
//! A key is two bytes of type, which is 0, and the transactional id; a value begins with two bytes of version. What was read
//! from a log is hostile until decoded: no record makes this module panic or allocate by a length.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::event::{TopicPartition, TransactionVersion};
use super::state::TransactionState;
use super::value::TransactionValue;
use crate::decision::CoordinatorRecord;
use crate::records::RecordError;
use crate::records::codec::{Reader, Writer};

/// `TransactionLogKey`.
const TRANSACTION_LOG: i16 = 0;
/// The version of `TransactionLogValue` that is written: the one with tagged fields (`transaction.version` 1 and above).
const VALUE_VERSION: i16 = 1;

const PREVIOUS_PRODUCER_ID_TAG: u32 = 0;
const NEXT_PRODUCER_ID_TAG: u32 = 1;
const CLIENT_VERSION_TAG: u32 = 2;

/// How many bytes a transactional id can have: its length in a key takes two bytes.
pub const ID_BYTES_MAX: usize = i16::MAX as usize;

/// A record of `__transaction_state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionRecord {
    /// The id's value from now on; `None` for an id that is forgotten.
    Value(String, Option<TransactionValue>),
    /// A key of this type means nothing to this broker.
    Unknown(i16),
}

impl TransactionRecord {
    /// Reads a record of any version Kafka has written.
    ///
    /// # Errors
    /// [`RecordError`] if it is none: among them a state that is never stored.
    pub fn decode(record: &CoordinatorRecord) -> Result<Self, RecordError> {
        let mut key = Reader::new(record.key.clone());
        let kind = key.i16()?;
        if kind != TRANSACTION_LOG {
            return Ok(Self::Unknown(kind));
        }
        let id = key.string()?;
        let value = record.value.clone().map(decode_value).transpose()?;
        Ok(Self::Value(id, value))
    }
}

/// The record that stores a value. An id longer than [`ID_BYTES_MAX`] would be cut.
#[must_use]
pub fn put(id: &str, value: &TransactionValue) -> CoordinatorRecord {
    crate::records::put(encode_key(id), encode_value(value))
}

/// The record that says an id is forgotten.
#[must_use]
pub fn tombstone(id: &str) -> CoordinatorRecord {
    crate::records::tombstone(encode_key(id))
}

/// How many bytes the partitions take in a value.
pub(crate) fn partitions_bytes<'a>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> usize {
    let mut bytes = 0;
    let mut topic: Option<&str> = None;
    for partition in partitions {
        if topic != Some(&partition.topic) {
            // Two lengths of at most five bytes each, the name, and no tagged fields.
            bytes += partition.topic.len() + 11;
            topic = Some(&partition.topic);
        }
        bytes += size_of::<i32>();
    }
    bytes
}

fn encode_key(id: &str) -> Bytes {
    let mut writer = Writer::versioned(TRANSACTION_LOG);
    writer.string(id);
    writer.finish()
}

fn encode_value(value: &TransactionValue) -> Bytes {
    let mut writer = Writer::versioned(VALUE_VERSION);
    writer.i64(value.producer_id);
    writer.i16(value.epoch);
    writer.i32(value.timeout_ms);
    writer.i8(value.state.id());
    if value.state == TransactionState::Empty {
        writer.null_compact_list();
    } else {
        let partitions: Vec<&TopicPartition> = value.partitions.iter().collect();
        let topics: Vec<&[&TopicPartition]> =
            partitions.chunk_by(|a, b| a.topic == b.topic).collect();
        writer.compact_list(topics, |writer, partitions| {
            writer.compact_string(&partitions[0].topic);
            writer.compact_list(partitions, |writer, one| writer.i32(one.partition));
            writer.no_tagged_fields();
        });
    }
    writer.i64(value.updated_ms);
    writer.i64(value.started_ms);
    writer.tagged_fields(&tagged_fields(value));
    writer.finish()
}

/// Those that are not at their defaults, as Kafka's own writer leaves the others out.
fn tagged_fields(value: &TransactionValue) -> Vec<(u32, Bytes)> {
    let long = |id: i64| Bytes::copy_from_slice(&id.to_be_bytes());
    let version = match value.version {
        TransactionVersion::V1 => None,
        TransactionVersion::V2 => Some(Bytes::copy_from_slice(&2i16.to_be_bytes())),
    };
    let fields = [
        (
            PREVIOUS_PRODUCER_ID_TAG,
            value.previous_producer_id.map(long),
        ),
        (NEXT_PRODUCER_ID_TAG, value.next_producer_id.map(long)),
        (CLIENT_VERSION_TAG, version),
    ];
    let present = fields
        .into_iter()
        .filter_map(|(tag, field)| field.map(|field| (tag, field)));
    present.collect()
}

fn decode_value(value: Bytes) -> Result<TransactionValue, RecordError> {
    let mut reader = Reader::new(value);
    let version = reader.i16()?;
    if !(0..=VALUE_VERSION).contains(&version) {
        return Err(RecordError::UnknownVersion {
            record: "TransactionLogValue",
            version,
        });
    }
    let is_flexible = version >= 1;
    let mut value = TransactionValue {
        producer_id: reader.i64()?,
        previous_producer_id: None,
        next_producer_id: None,
        epoch: reader.i16()?,
        timeout_ms: reader.i32()?,
        state: stored_state(reader.i8()?)?,
        partitions: decode_partitions(&mut reader, is_flexible)?,
        updated_ms: reader.i64()?,
        started_ms: reader.i64()?,
        version: TransactionVersion::V1,
    };
    if is_flexible {
        reader.tagged_fields(|tag, field| {
            match tag {
                PREVIOUS_PRODUCER_ID_TAG => value.previous_producer_id = producer_id(field.i64()?),
                NEXT_PRODUCER_ID_TAG => value.next_producer_id = producer_id(field.i64()?),
                CLIENT_VERSION_TAG => value.version = client_version(field.i16()?)?,
                // Such as the next producer's epoch, which only two-phase commit has a use for (KIP-939).
                _ => {}
            }
            Ok(())
        })?;
    }
    Ok(value)
}

fn producer_id(id: i64) -> Option<i64> {
    (id != -1).then_some(id)
}

fn client_version(level: i16) -> Result<TransactionVersion, RecordError> {
    match level {
        0 | 1 => Ok(TransactionVersion::V1),
        2 => Ok(TransactionVersion::V2),
        _ => Err(RecordError::BadNumber),
    }
}

fn stored_state(id: i8) -> Result<TransactionState, RecordError> {
    match TransactionState::by_id(id) {
        None | Some(TransactionState::Dead | TransactionState::PrepareEpochFence) => {
            Err(RecordError::BadNumber)
        }
        Some(state) => Ok(state),
    }
}

fn decode_partitions(
    reader: &mut Reader,
    is_flexible: bool,
) -> Result<BTreeSet<TopicPartition>, RecordError> {
    let topic = |reader: &mut Reader| {
        let (name, partitions) = if is_flexible {
            let name = reader.compact_string()?;
            (name, reader.compact_list(Reader::i32)?)
        } else {
            (reader.string()?, reader.list(Reader::i32)?)
        };
        if is_flexible {
            reader.skip_tagged_fields()?;
        }
        Ok((Arc::<str>::from(name), partitions))
    };
    let topics = if is_flexible {
        reader.nullable_compact_list(topic)?
    } else {
        reader.nullable_list(topic)?
    };
    let mut all = BTreeSet::new();
    for (topic, partitions) in topics.unwrap_or_default() {
        all.extend(partitions.into_iter().map(|partition| TopicPartition {
            topic: Arc::clone(&topic),
            partition,
        }));
    }
    Ok(all)
}
