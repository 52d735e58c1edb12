//! Pending offsets as a view of the log keeps them. They are never in a log: there, a pending offset is an ordinary record in a
//! transactional batch, and what is pending follows from the batches and markers before.

use bytes::Bytes;

use super::codec::{Reader, RecordError, Writer};
use super::{OffsetCommitKey, OffsetCommitValue};
use crate::decision::CoordinatorRecord;
use crate::offsets::PendingOffset;

/// Where Kafka's records have the type of their key, which is never negative.
const PENDING_OFFSET: i16 = -1;

/// Whether a key can only be that of a view's row. A record of a log with such a key means nothing, and must not get into a view.
#[must_use]
pub fn is_row_of_view(key: &[u8]) -> bool {
    key.starts_with(&PENDING_OFFSET.to_be_bytes())
}

/// Whose pending offset, and of which partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingKey {
    pub(crate) producer_id: i64,
    pub(crate) key: OffsetCommitKey,
}

impl PendingKey {
    pub(crate) fn decode(key: Bytes) -> Result<Self, RecordError> {
        let mut reader = Reader::new(key);
        reader.i16()?;
        Ok(Self {
            producer_id: reader.i64()?,
            key: OffsetCommitKey::decode(reader)?,
        })
    }

    fn encode(&self) -> Bytes {
        let mut writer = Writer::versioned(PENDING_OFFSET);
        writer.i64(self.producer_id);
        writer.string(&self.key.group_id);
        writer.string(&self.key.topic);
        writer.i32(self.key.partition);
        writer.finish()
    }

    /// The row of a view.
    pub(crate) fn row(&self, offset: &PendingOffset) -> CoordinatorRecord {
        let value = offset.value.as_ref().map(OffsetCommitValue::encode);
        let value = [
            &offset.record_offset.to_be_bytes()[..],
            &value.unwrap_or_default(),
        ];
        CoordinatorRecord {
            key: self.encode(),
            value: Some(Bytes::from(value.concat())),
        }
    }

    /// What takes the row out of a view.
    pub(crate) fn removed(&self) -> CoordinatorRecord {
        CoordinatorRecord {
            key: self.encode(),
            value: None,
        }
    }
}

/// Reads a row's value: the record's offset, and the value unless it is overtaken.
pub(crate) fn decode_value(value: Bytes) -> Result<PendingOffset, RecordError> {
    const OFFSET_LEN: usize = size_of::<i64>();
    let mut reader = Reader::new(value.clone());
    let record_offset = reader.i64()?;
    let rest = value.slice(OFFSET_LEN..);
    let value = match rest.is_empty() {
        true => None,
        false => Some(OffsetCommitValue::decode(rest)?),
    };
    Ok(PendingOffset {
        value,
        record_offset,
    })
}
