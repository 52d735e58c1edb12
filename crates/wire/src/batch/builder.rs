//! Writing a batch: for our own client, for tests, and for control records.

use std::io::Write;

use bytes::Bytes;

use super::{
    Attributes, BatchHeader, CRC, Codec, HEADER_LEN, LOG_OVERHEAD, NO_PRODUCER_ID, NO_SEQUENCE,
    NO_TIMESTAMP, TimestampType, compute_crc,
};
use crate::compress::Encoder;
use crate::records::put_varint;

/// Why no batch can be made of the records given.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The format counts in 32 bits: the records, the bytes of each and of the batch.
    #[error("{what} does not fit in 31 bits")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
    },
    /// A compressor could not be set up for want of memory.
    #[error("compressing the records: {0}")]
    Compress(#[from] std::io::Error),
}

/// Everything about a batch that is not its records.
#[derive(Debug, Clone)]
pub struct BatchOptions {
    /// How the records are compressed.
    pub codec: Codec,
    /// At which level; `None` is Kafka's default of the codec.
    pub level: Option<i32>,
    /// Offset of the first record; 0 in what a producer sends.
    pub base_offset: i64,
    /// −1 in what a producer sends.
    pub partition_leader_epoch: i32,
    /// With `LogAppendTime`, readers see the largest timestamp appended as that of every record.
    pub timestamp_type: TimestampType,
    /// −1 unless the producer is idempotent.
    pub producer_id: i64,
    /// −1 unless the producer is idempotent.
    pub producer_epoch: i16,
    /// −1 unless the producer is idempotent.
    pub base_sequence: i32,
    /// Part of a transaction.
    pub transactional: bool,
    /// Holds a control record.
    pub control: bool,
}

impl Default for BatchOptions {
    /// Uncompressed, not idempotent, at offset 0, stamped by the producer.
    fn default() -> Self {
        BatchOptions {
            codec: Codec::None,
            level: None,
            base_offset: 0,
            partition_leader_epoch: -1,
            timestamp_type: TimestampType::CreateTime,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: -1,
            base_sequence: NO_SEQUENCE,
            transactional: false,
            control: false,
        }
    }
}

/// Collects records into one v2 batch.
///
/// The records are kept encoded but not compressed until [`BatchBuilder::build`].
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    options: BatchOptions,
    body: Vec<u8>,
    scratch: Vec<u8>,
    record_count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// A batch without records yet.
    pub fn new(options: BatchOptions) -> Self {
        BatchBuilder {
            options,
            body: Vec::new(),
            scratch: Vec::new(),
            record_count: 0,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
        }
    }

    /// Adds a record at the next offset. `timestamp` is in milliseconds, −1 for none; a header's
    /// name comes first.
    ///
    /// Fails if a length or the number of records outgrows 31 bits; the batch is then as before.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<(), BuildError> {
        let record_count = self
            .record_count
            .checked_add(1)
            .ok_or(BuildError::TooLarge {
                what: "the number of records",
            })?;
        let base_timestamp = if self.record_count == 0 {
            timestamp
        } else {
            self.base_timestamp
        };

        let record = &mut self.scratch;
        record.clear();
        record.push(0);
        put_varint(record, timestamp.wrapping_sub(base_timestamp));
        put_varint(record, i64::from(self.record_count));
        put_bytes(record, key)?;
        put_bytes(record, value)?;
        put_varint(
            record,
            i64::from(length(headers.len(), "the number of headers")?),
        );
        for (name, value) in headers {
            put_bytes(record, Some(name.as_bytes()))?;
            put_bytes(record, *value)?;
        }
        let record_length = length(record.len(), "a record")?;

        put_varint(&mut self.body, i64::from(record_length));
        self.body.append(record);
        self.record_count = record_count;
        self.base_timestamp = base_timestamp;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        Ok(())
    }

    /// How many records were added.
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Bytes the batch would take uncompressed.
    pub fn uncompressed_len(&self) -> usize {
        HEADER_LEN + self.body.len()
    }

    /// The batch. Without records it is an empty one, as compaction leaves behind; a broker refuses
    /// that from a producer.
    ///
    /// Fails if the batch outgrows 31 bits, or if there is no memory to compress it.
    pub fn build(self) -> Result<Bytes, BuildError> {
        let mut batch = vec![0; HEADER_LEN];
        let body_length = u64::try_from(self.body.len()).ok();
        let mut encoder = Encoder::new(
            self.options.codec,
            self.options.level,
            &mut batch,
            body_length,
        )?;
        encoder.write_all(&self.body)?;
        encoder.finish()?;

        let header = self.header(length(batch.len() - LOG_OVERHEAD, "the batch")?);
        batch[..HEADER_LEN].copy_from_slice(&header.to_bytes());
        let crc = compute_crc(&batch);
        batch[CRC].copy_from_slice(&crc.to_be_bytes());
        Ok(batch.into())
    }

    fn header(&self, batch_length: i32) -> BatchHeader {
        let options = &self.options;
        BatchHeader {
            base_offset: options.base_offset,
            batch_length,
            partition_leader_epoch: options.partition_leader_epoch,
            crc: 0,
            attributes: Attributes::default()
                .with_codec(options.codec)
                .with_timestamp_type(options.timestamp_type)
                .with_transactional(options.transactional)
                .with_control(options.control),
            last_offset_delta: (self.record_count - 1).max(0),
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: options.producer_id,
            producer_epoch: options.producer_epoch,
            base_sequence: options.base_sequence,
            record_count: self.record_count,
        }
    }
}

pub(super) fn put_bytes(record: &mut Vec<u8>, bytes: Option<&[u8]>) -> Result<(), BuildError> {
    match bytes {
        Some(bytes) => {
            put_varint(
                record,
                i64::from(length(bytes.len(), "a key, a value or a header")?),
            );
            record.extend_from_slice(bytes);
        }
        None => put_varint(record, -1),
    }
    Ok(())
}

pub(super) fn length(bytes: usize, what: &'static str) -> Result<i32, BuildError> {
    i32::try_from(bytes).map_err(|_| BuildError::TooLarge { what })
}
