//! The v2 record batch (KIP-98, Kafka's `DefaultRecordBatch`): its 61-byte header, its checksum,
//! and what a broker may change.
//!
//! Nothing here trusts a byte: a header is read only from a slice long enough, its length is
//! compared with the bytes there are, and the records behind it are decompressed only up to a limit
//! the caller names. What is *valid* in a batch from a client is not decided here; this module says
//! what is written.

mod builder;
mod control;
mod rewrite;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;

pub use builder::{BatchBuilder, BatchOptions, BuildError};
pub use control::{ControlType, EndTxnMarker};
pub use rewrite::{BatchRewriter, emptied};

pub use crate::compress::Codec;
use crate::compress::{self, DecompressError};
use crate::records::{RecordError, RecordIter, RecordView};

/// Length of the header; the records follow.
pub const HEADER_LEN: usize = 61;
/// Length of what comes before the part that `batch_length` counts: base offset and the length
/// itself.
pub const LOG_OVERHEAD: usize = 12;
/// The only record format this project speaks.
pub const MAGIC: u8 = 2;
/// Stands for "no producer id" (not idempotent).
pub const NO_PRODUCER_ID: i64 = -1;
/// Stands for "no sequence".
pub const NO_SEQUENCE: i32 = -1;
/// Stands for "no timestamp".
pub const NO_TIMESTAMP: i64 = -1;

/// Where each field lies. The checksum covers everything from [`ATTRIBUTES`] to the end.
pub const BASE_OFFSET: Range<usize> = 0..8;
/// Bytes after this field.
pub const BATCH_LENGTH: Range<usize> = 8..12;
/// The leader's epoch, outside the checksum.
pub const PARTITION_LEADER_EPOCH: Range<usize> = 12..16;
/// One byte: the record format.
pub const MAGIC_AT: usize = 16;
/// CRC-32C.
pub const CRC: Range<usize> = 17..21;
/// Codec and flags.
pub const ATTRIBUTES: Range<usize> = 21..23;
/// Offset of the last record less the base offset.
pub const LAST_OFFSET_DELTA: Range<usize> = 23..27;
/// Milliseconds.
pub const BASE_TIMESTAMP: Range<usize> = 27..35;
/// Milliseconds.
pub const MAX_TIMESTAMP: Range<usize> = 35..43;
/// −1 without one.
pub const PRODUCER_ID: Range<usize> = 43..51;
/// −1 without one.
pub const PRODUCER_EPOCH: Range<usize> = 51..53;
/// −1 without one.
pub const BASE_SEQUENCE: Range<usize> = 53..57;
/// Number of records.
pub const RECORD_COUNT: Range<usize> = 57..61;

const CODEC_MASK: i16 = 0x07;
const LOG_APPEND_TIME_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;
const DELETE_HORIZON_BIT: i16 = 0x40;

/// Why bytes are not a batch that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than the batch takes, or than a header does.
    #[error("a batch of {needed} bytes, of which {available} are there")]
    Truncated {
        /// What the header announces, or [`HEADER_LEN`] if there is no whole header.
        needed: usize,
        /// Bytes given.
        available: usize,
    },
    /// Not the v2 format. 0 and 1 are message sets of before Kafka 0.11.
    #[error("the record format is v{magic}, not v2")]
    UnsupportedMagic {
        /// What stands in the magic byte.
        magic: u8,
    },
    /// The length field is negative or leaves no room for the header.
    #[error("the batch length is {batch_length}")]
    InvalidLength {
        /// What stands in the field.
        batch_length: i32,
    },
    /// Codec ids 5, 6 and 7 have no meaning.
    #[error("the compression codec has the id {id}, which is not defined")]
    UnknownCodec {
        /// The low three bits of the attributes.
        id: u8,
    },
    /// The records cannot be decompressed, or give more than was allowed.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// A record is not well formed.
    #[error("record {index}: {error}")]
    InvalidRecord {
        /// Its position in the batch.
        index: i32,
        /// What is wrong with it.
        error: RecordError,
    },
    /// The batch is not a control batch with one complete control record.
    #[error("not a control batch: {reason}")]
    NotAControlBatch {
        /// What is missing.
        reason: &'static str,
    },
}

/// Whose clock a batch's timestamps come from: attribute bit 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimestampType {
    /// The producer's, record by record.
    #[default]
    CreateTime,
    /// The broker's: every record has the batch's maximum timestamp.
    LogAppendTime,
}

/// Codec and flags of a batch. Bits 7 to 15 are unused by Kafka and kept as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    /// The codec; fails on an id without a meaning.
    pub fn codec(self) -> Result<Codec, BatchError> {
        let id = (self.0 & CODEC_MASK) as u8;
        Codec::from_id(id).ok_or(BatchError::UnknownCodec { id })
    }

    /// Where the timestamps come from.
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & LOG_APPEND_TIME_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch is part of a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch holds a control record, which no client may write or see.
    pub fn is_control(self) -> bool {
        self.0 & CONTROL_BIT != 0
    }

    /// Whether the base timestamp is the time after which compaction may drop tombstones (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.0 & DELETE_HORIZON_BIT != 0
    }

    /// The same with another codec.
    pub fn with_codec(self, codec: Codec) -> Attributes {
        Attributes(self.0 & !CODEC_MASK | i16::from(codec.id()))
    }

    /// The same with another timestamp type.
    pub fn with_timestamp_type(self, timestamp_type: TimestampType) -> Attributes {
        self.with_bit(
            LOG_APPEND_TIME_BIT,
            timestamp_type == TimestampType::LogAppendTime,
        )
    }

    /// The same as, or no longer as, part of a transaction.
    pub fn with_transactional(self, yes: bool) -> Attributes {
        self.with_bit(TRANSACTIONAL_BIT, yes)
    }

    /// The same as, or no longer as, a control batch.
    pub fn with_control(self, yes: bool) -> Attributes {
        self.with_bit(CONTROL_BIT, yes)
    }

    /// The same with, or without, a delete horizon.
    pub fn with_delete_horizon(self, yes: bool) -> Attributes {
        self.with_bit(DELETE_HORIZON_BIT, yes)
    }

    fn with_bit(self, bit: i16, set: bool) -> Attributes {
        Attributes(if set { self.0 | bit } else { self.0 & !bit })
    }
}

/// The header of a v2 batch, field by field, exactly as written; the magic is always 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; 0 from a producer.
    pub base_offset: i64,
    /// Bytes after the length field.
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch; meaningless from a producer.
    pub partition_leader_epoch: i32,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// Offset of the last record less the base offset; stays when compaction removes that record.
    pub last_offset_delta: i32,
    /// What the records' timestamps are relative to, in milliseconds; −1 for none.
    pub base_timestamp: i64,
    /// The largest timestamp of the batch, in milliseconds; −1 for none.
    pub max_timestamp: i64,
    /// −1 unless the producer is idempotent.
    pub producer_id: i64,
    /// −1 unless the producer is idempotent.
    pub producer_epoch: i16,
    /// Sequence number of the first record; −1 unless the producer is idempotent.
    pub base_sequence: i32,
    /// Number of records.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header of the batch at the front of `bytes`, all of which must be there.
    ///
    /// Checks the magic, and the length against the bytes; not the checksum, nor whether the fields
    /// make sense together.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        let header = Self::parse_prefix(bytes)?;
        if header.total_len() > bytes.len() {
            return Err(BatchError::Truncated {
                needed: header.total_len(),
                available: bytes.len(),
            });
        }
        Ok(header)
    }

    /// Reads a header alone: like [`BatchHeader::parse`], but the records need not be there.
    pub fn parse_prefix(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        // The magic comes first: an old message set may be shorter than this header, and the reader
        // wants to know that.
        match bytes.get(MAGIC_AT) {
            Some(&MAGIC) | None => {}
            Some(&magic) => return Err(BatchError::UnsupportedMagic { magic }),
        }
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(BatchError::Truncated {
                needed: HEADER_LEN,
                available: bytes.len(),
            });
        };
        let header = Self::from_bytes(header);
        let length = usize::try_from(header.batch_length).ok();
        if length.is_none_or(|length| length < HEADER_LEN - LOG_OVERHEAD) {
            return Err(BatchError::InvalidLength {
                batch_length: header.batch_length,
            });
        }
        Ok(header)
    }

    fn from_bytes(bytes: &[u8; HEADER_LEN]) -> BatchHeader {
        BatchHeader {
            base_offset: i64::from_be_bytes(field(bytes, BASE_OFFSET)),
            batch_length: i32::from_be_bytes(field(bytes, BATCH_LENGTH)),
            partition_leader_epoch: i32::from_be_bytes(field(bytes, PARTITION_LEADER_EPOCH)),
            crc: u32::from_be_bytes(field(bytes, CRC)),
            attributes: Attributes(i16::from_be_bytes(field(bytes, ATTRIBUTES))),
            last_offset_delta: i32::from_be_bytes(field(bytes, LAST_OFFSET_DELTA)),
            base_timestamp: i64::from_be_bytes(field(bytes, BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(field(bytes, MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(field(bytes, PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(field(bytes, PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(field(bytes, BASE_SEQUENCE)),
            record_count: i32::from_be_bytes(field(bytes, RECORD_COUNT)),
        }
    }

    /// The header as it stands on the wire and on disk.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[BASE_OFFSET].copy_from_slice(&self.base_offset.to_be_bytes());
        bytes[BATCH_LENGTH].copy_from_slice(&self.batch_length.to_be_bytes());
        bytes[PARTITION_LEADER_EPOCH].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        bytes[MAGIC_AT] = MAGIC;
        bytes[CRC].copy_from_slice(&self.crc.to_be_bytes());
        bytes[ATTRIBUTES].copy_from_slice(&self.attributes.0.to_be_bytes());
        bytes[LAST_OFFSET_DELTA].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes[BASE_TIMESTAMP].copy_from_slice(&self.base_timestamp.to_be_bytes());
        bytes[MAX_TIMESTAMP].copy_from_slice(&self.max_timestamp.to_be_bytes());
        bytes[PRODUCER_ID].copy_from_slice(&self.producer_id.to_be_bytes());
        bytes[PRODUCER_EPOCH].copy_from_slice(&self.producer_epoch.to_be_bytes());
        bytes[BASE_SEQUENCE].copy_from_slice(&self.base_sequence.to_be_bytes());
        bytes[RECORD_COUNT].copy_from_slice(&self.record_count.to_be_bytes());
        bytes
    }

    /// Bytes the whole batch takes. A parsed header has at least [`HEADER_LEN`].
    pub fn total_len(&self) -> usize {
        usize::try_from(self.batch_length)
            .unwrap_or(0)
            .saturating_add(LOG_OVERHEAD)
    }

    /// Offset of the last record; stays at the largest offset there is rather than overflow.
    pub fn last_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset after this batch; stays at the largest offset there is rather than overflow.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Sequence number of the last record: after `i32::MAX` comes 0. [`NO_SEQUENCE`] without one.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 || self.last_offset_delta < 0 {
            return NO_SEQUENCE;
        }
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        i32::try_from(last % (i64::from(i32::MAX) + 1)).expect("the remainder is at most i32::MAX")
    }

    /// Whether the producer is idempotent.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// The codec; fails on an id without a meaning.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        self.attributes.codec()
    }

    /// When compaction may drop the batch's tombstones or its marker, in milliseconds since 1970 (KIP-534); `None` until
    /// compaction has met them.
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        self.attributes
            .has_delete_horizon()
            .then_some(self.base_timestamp)
    }

    /// The timestamp of a record of this batch, in milliseconds, which
    /// [`TimestampType::LogAppendTime`] makes the same for all. A delta that overflows wraps, as in
    /// Java.
    pub fn timestamp_of(&self, record: &RecordView<'_>) -> i64 {
        match self.attributes.timestamp_type() {
            TimestampType::CreateTime => self.base_timestamp.wrapping_add(record.timestamp_delta),
            TimestampType::LogAppendTime => self.max_timestamp,
        }
    }

    /// The offset of a record of this batch; a delta that overflows wraps.
    pub fn offset_of(&self, record: &RecordView<'_>) -> i64 {
        self.base_offset
            .wrapping_add(i64::from(record.offset_delta))
    }
}

/// A field of a header; `range` is one of the constants above, whose widths fit their types.
fn field<const N: usize>(header: &[u8; HEADER_LEN], range: Range<usize>) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&header[range]);
    value
}

/// The checksum that belongs to `batch`, which is exactly one batch.
///
/// # Panics
/// If `batch` is shorter than a header: parse it first.
pub fn compute_crc(batch: &[u8]) -> u32 {
    crc32c::crc32c(&batch[ATTRIBUTES.start..])
}

/// Whether `batch`, which is exactly one batch, has the checksum it says. Too few bytes for a
/// header have not.
pub fn check_crc(batch: &[u8]) -> bool {
    match batch.first_chunk::<HEADER_LEN>() {
        Some(header) => u32::from_be_bytes(field(header, CRC)) == compute_crc(batch),
        None => false,
    }
}

/// Gives the batch its place in the log. Outside the checksum.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn set_base_offset(batch: &mut [u8], offset: i64) {
    batch[BASE_OFFSET].copy_from_slice(&offset.to_be_bytes());
}

/// Stamps the batch with the epoch of the leader that appends it. Outside the checksum.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn set_leader_epoch(batch: &mut [u8], epoch: i32) {
    batch[PARTITION_LEADER_EPOCH].copy_from_slice(&epoch.to_be_bytes());
}

/// Makes every record of `batch` (exactly one batch) carry the time at which the broker appended
/// it, in milliseconds.
///
/// Sets attribute bit 3 and the maximum timestamp, and computes the checksum anew
/// (`DefaultRecordBatch.setMaxTimestamp`).
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn set_max_timestamp_log_append(batch: &mut [u8], append_time_ms: i64) {
    set_max_timestamp(batch, TimestampType::LogAppendTime, append_time_ms);
}

/// Sets whose clock the timestamps of `batch` (exactly one batch) come from and the largest of
/// them; computes the checksum anew.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn set_max_timestamp(batch: &mut [u8], timestamp_type: TimestampType, max_timestamp_ms: i64) {
    let mut attributes = [0; 2];
    attributes.copy_from_slice(&batch[ATTRIBUTES]);
    let attributes = Attributes(i16::from_be_bytes(attributes)).with_timestamp_type(timestamp_type);
    batch[ATTRIBUTES].copy_from_slice(&attributes.0.to_be_bytes());
    batch[MAX_TIMESTAMP].copy_from_slice(&max_timestamp_ms.to_be_bytes());
    let crc = compute_crc(batch);
    batch[CRC].copy_from_slice(&crc.to_be_bytes());
}

/// The batches that lie one after the other in `bytes`, each with its own bytes.
///
/// Ends after the first that cannot be read; a fetch response may end in the middle of a batch,
/// which then is [`BatchError::Truncated`].
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { rest: bytes }
}

/// See [`batches`].
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<(BatchHeader, &'a [u8]), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match BatchHeader::parse(self.rest) {
            Ok(header) => {
                let (batch, rest) = self.rest.split_at(header.total_len());
                self.rest = rest;
                Some(Ok((header, batch)))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

/// The records of the batch at the front of `bytes`, decompressed into at most `limit` bytes; an
/// uncompressed batch is not copied.
///
/// Fails if the header cannot be read or the records not decompressed within the limit. The
/// checksum is not looked at.
pub fn records(bytes: &[u8], limit: usize) -> Result<Records<'_>, BatchError> {
    let header = BatchHeader::parse(bytes)?;
    let body = &bytes[HEADER_LEN..header.total_len()];
    let body = match header.codec()? {
        Codec::None => Cow::Borrowed(body),
        codec => Cow::Owned(Vec::from(compress::decompress(codec, body, limit)?)),
    };
    Ok(Records { header, body })
}

/// The records of one batch, in memory and uncompressed.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    header: BatchHeader,
    body: Cow<'a, [u8]>,
}

impl Records<'_> {
    /// The header of the batch, which the records' deltas are relative to.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records in order; ends after the first that is malformed. Reads what is in memory, so it
    /// neither blocks nor copies.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter::new(&self.body, self.header.record_count)
    }
}

impl<'a> IntoIterator for &'a Records<'_> {
    type Item = Result<RecordView<'a>, RecordError>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.iter()
    }
}
