//! A committed offset (`OffsetCommitKey`, `OffsetCommitValue`).

use bytes::Bytes;
use uuid::Uuid;

use super::codec::{Reader, RecordError, Writer};
use super::{OFFSET_COMMIT, put, tombstone};
use crate::decision::CoordinatorRecord;

/// The tag of the topic id in version 4.
const TOPIC_ID_TAG: u32 = 0;

/// Whose offset, and of which partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OffsetCommitKey {
    /// The group; the empty id is a group too.
    pub group_id: String,
    /// The topic's name.
    pub topic: String,
    /// The partition's index.
    pub partition: i32,
}

impl OffsetCommitKey {
    /// Reads the fields behind the key's type.
    ///
    /// # Errors
    /// Any [`RecordError`] of the reader.
    pub fn decode(mut reader: Reader) -> Result<Self, RecordError> {
        Ok(Self {
            group_id: reader.string()?,
            topic: reader.string()?,
            partition: reader.i32()?,
        })
    }

    /// The key as Kafka 4.4 writes it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode_key(&self.group_id, &self.topic, self.partition)
    }
}

fn encode_key(group_id: &str, topic: &str, partition: i32) -> Bytes {
    let mut writer = Writer::versioned(OFFSET_COMMIT);
    writer.string(group_id);
    writer.string(topic);
    writer.i32(partition);
    writer.finish()
}

/// What a group has committed for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetCommitValue {
    /// The next offset the group will read.
    pub offset: i64,
    /// Leader epoch of the last record read; −1 if the client did not say.
    pub leader_epoch: i32,
    /// The client's own text, kept as it is.
    pub metadata: String,
    /// When it was committed, in milliseconds.
    pub commit_timestamp_ms: i64,
    /// When it is to be forgotten, if the client said so (OffsetCommit v2 to v4); −1 otherwise.
    pub expire_timestamp_ms: i64,
    /// The topic's id when it was committed; nil if unknown.
    pub topic_id: Uuid,
}

impl OffsetCommitValue {
    /// Reads a value of any version Kafka has written.
    ///
    /// # Errors
    /// [`RecordError::UnknownVersion`] above 4, or any other of the reader.
    pub fn decode(value: Bytes) -> Result<Self, RecordError> {
        let mut reader = Reader::new(value);
        let version = reader.i16()?;
        if !(0..=4).contains(&version) {
            return Err(RecordError::UnknownVersion {
                record: "OffsetCommitValue",
                version,
            });
        }
        let offset = reader.i64()?;
        let leader_epoch = if version >= 3 { reader.i32()? } else { -1 };
        let metadata = if version >= 4 {
            reader.compact_string()?
        } else {
            reader.string()?
        };
        let commit_timestamp_ms = reader.i64()?;
        let expire_timestamp_ms = if version == 1 { reader.i64()? } else { -1 };
        let mut topic_id = Uuid::nil();
        if version >= 4 {
            reader.tagged_fields(|tag, field| {
                if tag == TOPIC_ID_TAG {
                    topic_id = field.uuid()?;
                }
                Ok(())
            })?;
        }
        Ok(Self {
            offset,
            leader_epoch,
            metadata,
            commit_timestamp_ms,
            expire_timestamp_ms,
            topic_id,
        })
    }

    /// The value as Kafka 4.4 writes it: version 1 if it carries an expiry, which later versions cannot, otherwise 4
    /// (`GroupCoordinatorRecordHelpers.newOffsetCommitRecord`).
    #[must_use]
    pub fn encode(&self) -> Bytes {
        if self.expire_timestamp_ms != -1 {
            return self.encode_v1();
        }
        let mut writer = Writer::versioned(4);
        writer.i64(self.offset);
        writer.i32(self.leader_epoch);
        writer.compact_string(&self.metadata);
        writer.i64(self.commit_timestamp_ms);
        if self.topic_id.is_nil() {
            writer.no_tagged_fields();
        } else {
            let id = Bytes::copy_from_slice(self.topic_id.as_bytes());
            writer.tagged_fields(&[(TOPIC_ID_TAG, id)]);
        }
        writer.finish()
    }

    fn encode_v1(&self) -> Bytes {
        let mut writer = Writer::versioned(1);
        writer.i64(self.offset);
        writer.string(&self.metadata);
        writer.i64(self.commit_timestamp_ms);
        writer.i64(self.expire_timestamp_ms);
        writer.finish()
    }

    /// The record that stores this value.
    #[must_use]
    pub fn record(&self, group_id: &str, topic: &str, partition: i32) -> CoordinatorRecord {
        put(encode_key(group_id, topic, partition), self.encode())
    }
}

/// The record that removes a committed offset.
#[must_use]
pub fn offset_tombstone(group_id: &str, topic: &str, partition: i32) -> CoordinatorRecord {
    tombstone(encode_key(group_id, topic, partition))
}
