//! Whether a batch that a producer sent may enter a log, and the form in which it does.
//!
//! This is Kafka's `LogValidator` and `UnifiedLog.analyzeAndValidateRecords` for the one batch a
//! producer sends to a partition, as a pure function: no log, clock, disk or topic name. What comes
//! out is a whole v2 batch with a matching checksum; offsets and leader epoch are the log's to set.
//!
//! Three things are deliberately unlike Kafka.
//! * A compressed batch is opened only if something asks for it: a compacted topic (keys), a topic
//!   with another codec, or [`BatchRules::open_compressed`]. Otherwise its records are taken as the
//!   producer made them, and of its timestamps only the header's maximum is checked. Opening costs
//!   more than all else done to a batch: 20 µs for 16 KiB of zstd, where the checksum takes 0.4 µs.
//!   Uncompressed records are always looked at: 15 ns each, for never storing what no consumer can
//!   read past.
//! * A batch that is opened is never held decompressed: records are checked, and compressed anew,
//!   as they stream by. A decompression bomb costs processor time up to a limit, and no memory.
//! * Where Kafka repairs or stores what no client sends (offset deltas other than 0, 1, 2 …, bytes
//!   after the batch, the delete horizon bit, a transaction without a producer id), it is refused.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Write};

use bytes::Bytes;
use wire::batch::{
    self, BatchError, BatchHeader, HEADER_LEN, LOG_OVERHEAD, NO_TIMESTAMP, TimestampType,
};
use wire::compress::{Codec, Decoder, DecompressError, Encoder};
use wire::records::{RecordError, RecordSummary, RecordWalk, Source};

/// The rules a topic has for what producers send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRules {
    /// `message.timestamp.type`.
    pub message_timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a record's timestamp may lie in the past.
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far a record's timestamp may lie in the future.
    pub message_timestamp_after_max_ms: i64,
    /// `compression.type` with the level that goes with it.
    pub compression: CompressionRule,
    /// `max.message.bytes`: the largest batch, header included, as sent and as stored.
    pub max_message_bytes: usize,
    /// Whether `cleanup.policy` has `compact`, so that every record needs a key.
    pub compacted: bool,
    /// `max.decompressed.message.bytes`: the longest record in a compressed batch that is opened.
    pub max_decompressed_message_bytes: usize,
    /// Whether every compressed batch is opened, as Kafka does, so that no malformed one is stored.
    pub open_compressed: bool,
    /// The most that a whole compressed batch may give when it is opened. Kafka has no such bound;
    /// this one keeps a batch from claiming a processor for longer than about a second.
    pub max_decompressed_batch_bytes: usize,
}

impl Default for BatchRules {
    /// The defaults of Kafka 4.4; 256 MiB where Kafka has none.
    fn default() -> Self {
        BatchRules {
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: 3_600_000,
            compression: CompressionRule::Producer,
            max_message_bytes: 1_048_588,
            compacted: false,
            max_decompressed_message_bytes: 2_147_483_639,
            open_compressed: false,
            max_decompressed_batch_bytes: 256 * 1024 * 1024,
        }
    }
}

/// How a topic wants its batches compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionRule {
    /// As the producer sent them.
    Producer,
    /// With this codec. A batch that has it already is kept as it is, whatever its level.
    Codec {
        /// The codec; [`Codec::None`] for `uncompressed`.
        codec: Codec,
        /// `compression.{gzip,lz4,zstd}.level`; `None` is the codec's default.
        level: Option<i32>,
    },
}

/// A batch that may be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    /// The batch as it is to be stored, but for base offset and leader epoch. The same bytes as
    /// sent, not copied, unless the topic wanted something changed.
    pub batch: Bytes,
    /// Its header.
    pub header: BatchHeader,
    /// What a produce response reports as `log_append_time_ms`: −1 under `CreateTime`.
    pub log_append_time_ms: i64,
    /// Whether the records were compressed anew.
    pub recompressed: bool,
}

/// Why a batch may not be appended. None of these goes away by sending the batch again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBatch {
    /// There are no bytes at all.
    #[error("there is no batch")]
    NoBatch,
    /// The format is not v2.
    #[error("the record format is v{magic}, not v2")]
    UnsupportedMagic {
        /// What stands in the magic byte.
        magic: u8,
    },
    /// The length field does not go with the bytes sent.
    #[error("the batch is damaged: {0}")]
    Corrupt(BatchError),
    /// Something follows the batch: another one, or part of one.
    #[error("{trailing_bytes} bytes follow the batch")]
    MoreThanOneBatch {
        /// How much follows.
        trailing_bytes: usize,
    },
    /// A producer counts from 0.
    #[error("the base offset is {base_offset}, not 0")]
    BaseOffset {
        /// What the header says.
        base_offset: i64,
    },
    /// Longer than `max.message.bytes`.
    #[error("the batch takes {size} bytes or more, where {max} are allowed")]
    TooLarge {
        /// Its size; after recompression, the size at which compressing was given up.
        size: usize,
        /// What the topic allows.
        max: usize,
        /// Whether it is as compressed here, rather than as sent, that it is too large.
        recompressed: bool,
    },
    /// The bytes are not those the producer computed the checksum of.
    #[error("the checksum is {stored:#010x}, but that of the bytes is {computed:#010x}")]
    WrongChecksum {
        /// What the header says.
        stored: u32,
        /// What it should say.
        computed: u32,
    },
    /// Codec id 5, 6 or 7.
    #[error("the compression codec has the id {id}, which is not defined")]
    UnsupportedCodec {
        /// The id.
        id: u8,
    },
    /// No records, or more or fewer than the offsets say.
    #[error("{record_count} records do not go with a last offset delta of {last_offset_delta}")]
    RecordCount {
        /// What the header says.
        record_count: i32,
        /// What the header says.
        last_offset_delta: i32,
    },
    /// Only a broker writes these.
    #[error("a client may not write control records")]
    ControlBatch,
    /// Only a log cleaner sets this.
    #[error("a client may not set a delete horizon")]
    DeleteHorizon,
    /// An idempotent producer without an epoch or a sequence.
    #[error("producer {producer_id} sent epoch {producer_epoch} and sequence {base_sequence}")]
    ProducerSequence {
        /// The producer.
        producer_id: i64,
        /// Its epoch.
        producer_epoch: i16,
        /// The sequence of the first record.
        base_sequence: i32,
    },
    /// A transaction belongs to a producer.
    #[error("the batch is transactional but has no producer id")]
    TransactionWithoutProducer,
    /// A record is not well formed.
    #[error("record {index}: {error}")]
    InvalidRecord {
        /// Its position in the batch.
        index: i32,
        /// What is wrong with it.
        error: RecordError,
    },
    /// Well-formed records that the topic does not accept.
    #[error(
        "{total} records are not accepted, the first because: {}",
        first(records)
    )]
    RejectedRecords {
        /// The first of them, [`MAX_REPORTED`] at most, in order.
        records: Vec<Rejected>,
        /// How many there are.
        total: usize,
    },
    /// Timestamps that the topic does not accept; there may be keyless records among `records` too.
    #[error(
        "{total} records or their timestamps are not accepted, the first because: {}",
        first(records)
    )]
    InvalidTimestamp {
        /// The first of the records, [`MAX_REPORTED`] at most, in order. A batch that was not
        /// opened is reported as a whole, as one entry with the index 0.
        records: Vec<Rejected>,
        /// How many there are.
        total: usize,
    },
    /// The records cannot be decompressed.
    #[error("the records cannot be decompressed: {0}")]
    Undecodable(DecompressError),
    /// The records give more bytes than is allowed.
    #[error("the batch decompresses to more than {limit} bytes")]
    DecompressedTooLarge {
        /// What is allowed.
        limit: usize,
    },
    /// Compressing failed for want of memory. The batch is not at fault.
    #[error("the records could not be compressed: {reason}")]
    CompressionFailed {
        /// What the codec's library says.
        reason: String,
    },
}

impl InvalidBatch {
    /// A batch whose records all have the same fault, which shows without opening it.
    fn whole_batch(reason: RejectReason) -> Self {
        InvalidBatch::InvalidTimestamp {
            records: vec![Rejected { index: 0, reason }],
            total: 1,
        }
    }
}

/// How many records an [`InvalidBatch`] names. Kafka names all, in a response that then outweighs
/// the request many times over.
pub const MAX_REPORTED: usize = 1000;

/// A record that is not accepted (KIP-467: a produce response names it). Its `Display` is the
/// message for the producer, in Kafka's words but for the partition, which is not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected {
    /// Its position in the batch.
    pub index: i32,
    /// Why.
    pub reason: RejectReason,
}

/// Why a record is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    /// The topic is compacted.
    MissingKey,
    /// The timestamp is too far from now.
    TimestampOutOfRange {
        /// What the record has, in milliseconds.
        timestamp: i64,
        /// The earliest accepted.
        earliest: i64,
        /// The latest accepted.
        latest: i64,
    },
    /// The producer set the bit by which a broker marks timestamps as its own.
    LogAppendTimeFromProducer,
}

impl RejectReason {
    fn is_about_time(self) -> bool {
        self != RejectReason::MissingKey
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            RejectReason::MissingKey => {
                f.write_str("Compacted topic cannot accept message without key")
            }
            RejectReason::TimestampOutOfRange {
                timestamp,
                earliest,
                latest,
            } => write!(
                f,
                "Timestamp {timestamp} of message with offset {} is out of range. \
                 The timestamp should be within [{earliest}, {latest}]",
                self.index
            ),
            RejectReason::LogAppendTimeFromProducer => {
                f.write_str("Producer should not set timestamp type to LogAppendTime")
            }
        }
    }
}

fn first(records: &[Rejected]) -> String {
    records.first().map(Rejected::to_string).unwrap_or_default()
}

/// Checks what a producer sent to one partition, and changes it as far as the topic's rules ask.
///
/// `batch` is the whole of the partition's records in the request; `now_ms` is the wall clock. Does
/// not block. Without compression, recompression or compaction it neither copies nor allocates.
/// Fails with the first thing wrong in the batch, in Kafka's order: the shape of the request, the
/// header, the size, the checksum, the header's sense, the records.
pub fn validate(batch: Bytes, rules: &BatchRules, now_ms: i64) -> Result<Validated, InvalidBatch> {
    let header = readable_header(&batch)?;
    check_integrity(&batch, &header, rules)?;
    let codec = check_fields(&header)?;

    let mut judge = Judge::new(rules, &header, now_ms);
    judge.timestamp_type()?;
    let recompressed = judge.records(&batch[HEADER_LEN..], codec)?;
    let max_timestamp = judge.verdict()?;

    let timestamp_type = rules.message_timestamp_type;
    let log_append_time_ms = match timestamp_type {
        TimestampType::CreateTime => NO_TIMESTAMP,
        TimestampType::LogAppendTime => now_ms,
    };
    let stamped = header.attributes.timestamp_type() == timestamp_type
        && header.max_timestamp == max_timestamp;
    if stamped && recompressed.is_none() {
        return Ok(Validated {
            batch,
            header,
            log_append_time_ms,
            recompressed: false,
        });
    }
    let was_recompressed = recompressed.is_some();
    // Taking the bytes over copies them only if the rest of the request is still in use.
    let mut bytes = recompressed.unwrap_or_else(|| Vec::from(batch));
    batch::set_max_timestamp(&mut bytes, timestamp_type, max_timestamp);
    let header = BatchHeader::parse(&bytes).map_err(InvalidBatch::Corrupt)?;
    let batch = bytes.into();
    Ok(Validated {
        batch,
        header,
        log_append_time_ms,
        recompressed: was_recompressed,
    })
}

/// The header of the one batch that `batch` is.
fn readable_header(batch: &[u8]) -> Result<BatchHeader, InvalidBatch> {
    if batch.is_empty() {
        return Err(InvalidBatch::NoBatch);
    }
    let header = BatchHeader::parse(batch).map_err(|error| match error {
        BatchError::UnsupportedMagic { magic } => InvalidBatch::UnsupportedMagic { magic },
        error => InvalidBatch::Corrupt(error),
    })?;
    match batch.len() - header.total_len() {
        0 => Ok(header),
        trailing_bytes => Err(InvalidBatch::MoreThanOneBatch { trailing_bytes }),
    }
}

/// Whether the batch is of a size to be looked at, and what the producer sent.
fn check_integrity(
    batch: &[u8],
    header: &BatchHeader,
    rules: &BatchRules,
) -> Result<(), InvalidBatch> {
    if header.base_offset != 0 {
        return Err(InvalidBatch::BaseOffset {
            base_offset: header.base_offset,
        });
    }
    let (size, max) = (batch.len(), rules.max_message_bytes);
    if size > max {
        return Err(InvalidBatch::TooLarge {
            size,
            max,
            recompressed: false,
        });
    }
    let (stored, computed) = (header.crc, batch::compute_crc(batch));
    if stored != computed {
        return Err(InvalidBatch::WrongChecksum { stored, computed });
    }
    Ok(())
}

/// Whether the fields of a client's header make sense together (`LogValidator.validateBatch`).
fn check_fields(header: &BatchHeader) -> Result<Codec, InvalidBatch> {
    let codec = header.codec().map_err(|error| match error {
        BatchError::UnknownCodec { id } => InvalidBatch::UnsupportedCodec { id },
        error => InvalidBatch::Corrupt(error),
    })?;
    let BatchHeader {
        record_count,
        last_offset_delta,
        ..
    } = *header;
    if record_count <= 0 || last_offset_delta != record_count - 1 {
        return Err(InvalidBatch::RecordCount {
            record_count,
            last_offset_delta,
        });
    }
    if header.attributes.is_control() {
        return Err(InvalidBatch::ControlBatch);
    }
    if header.attributes.has_delete_horizon() {
        return Err(InvalidBatch::DeleteHorizon);
    }
    let BatchHeader {
        producer_id,
        producer_epoch,
        base_sequence,
        ..
    } = *header;
    if header.has_producer_id() && (producer_epoch < 0 || base_sequence < 0) {
        return Err(InvalidBatch::ProducerSequence {
            producer_id,
            producer_epoch,
            base_sequence,
        });
    }
    if header.attributes.is_transactional() && !header.has_producer_id() {
        return Err(InvalidBatch::TransactionWithoutProducer);
    }
    Ok(codec)
}

/// What went wrong while records streamed by.
enum Fault {
    Record(RecordError),
    Decompress(DecompressError),
    /// The compressed records outgrew the topic's limit, with at least this many bytes.
    Full {
        size: usize,
    },
    Compress(io::Error),
}

impl From<RecordError> for Fault {
    fn from(error: RecordError) -> Self {
        Fault::Record(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Overflow>() {
            Ok(Overflow { size }) => Fault::Full { size },
            Err(error) => Fault::Compress(error),
        }
    }
}

impl Fault {
    fn into_invalid(self, index: i32, rules: &BatchRules) -> InvalidBatch {
        match self {
            Fault::Record(error) => InvalidBatch::InvalidRecord { index, error },
            Fault::Decompress(DecompressError::TooLarge { limit, .. }) => {
                InvalidBatch::DecompressedTooLarge { limit }
            }
            Fault::Decompress(error) => InvalidBatch::Undecodable(error),
            Fault::Full { size } => InvalidBatch::TooLarge {
                size,
                max: rules.max_message_bytes,
                recompressed: true,
            },
            Fault::Compress(error) => InvalidBatch::CompressionFailed {
                reason: error.to_string(),
            },
        }
    }
}

/// Looks at one record after the other and remembers what the topic has against them.
struct Judge<'a> {
    rules: &'a BatchRules,
    header: &'a BatchHeader,
    now_ms: i64,
    rejected: Vec<Rejected>,
    total_rejected: usize,
    time_rejected: bool,
    /// The largest timestamp among the records seen, if any were; never less than "none".
    max_timestamp: Option<i64>,
}

impl<'a> Judge<'a> {
    fn new(rules: &'a BatchRules, header: &'a BatchHeader, now_ms: i64) -> Self {
        Judge {
            rules,
            header,
            now_ms,
            rejected: Vec::new(),
            total_rejected: 0,
            time_rejected: false,
            max_timestamp: None,
        }
    }

    /// Whether the producer left it to the broker to set the bit of `LogAppendTime`. Under
    /// `CreateTime` Kafka overlooks and clears it, as long as there is a timestamp to go by.
    fn timestamp_type(&self) -> Result<(), InvalidBatch> {
        let overlooked = self.rules.message_timestamp_type == TimestampType::CreateTime
            && self.header.max_timestamp != NO_TIMESTAMP;
        match self.header.attributes.timestamp_type() {
            TimestampType::LogAppendTime if !overlooked => Err(InvalidBatch::whole_batch(
                RejectReason::LogAppendTimeFromProducer,
            )),
            _ => Ok(()),
        }
    }

    /// Looks at the records as far as the rules ask; gives the batch as compressed anew, if it was.
    fn records(&mut self, body: &[u8], codec: Codec) -> Result<Option<Vec<u8>>, InvalidBatch> {
        match self.rules.compression {
            CompressionRule::Codec {
                codec: wanted,
                level,
            } if wanted != codec => {
                let target = Target {
                    codec: wanted,
                    level,
                };
                return recompress(self, body, codec, target).map(Some);
            }
            _ => {}
        }
        if codec == Codec::None {
            self.walk(RecordWalk::over_slice(body, self.header.record_count))?;
        } else if self.rules.compacted || self.rules.open_compressed {
            self.walk_compressed(codec, body, |_| Ok(()))?;
        } else {
            self.max_timestamp_of_header()?;
        }
        Ok(None)
    }

    /// Lets the header speak for the records of a batch that is not opened.
    fn max_timestamp_of_header(&self) -> Result<(), InvalidBatch> {
        let reason = match self.rules.message_timestamp_type {
            TimestampType::CreateTime => self.out_of_range(self.header.max_timestamp),
            TimestampType::LogAppendTime => None,
        };
        match reason {
            Some(reason) => Err(InvalidBatch::whole_batch(reason)),
            None => Ok(()),
        }
    }

    /// Looks at the records where they lie.
    fn walk<S: Source>(&mut self, mut walk: RecordWalk<S>) -> Result<(), InvalidBatch>
    where
        Fault: From<S::Error>,
    {
        loop {
            match walk.next_record() {
                Ok(Some(record)) => self.record(record),
                Ok(None) => return Ok(()),
                Err(error) => return Err(Fault::from(error).into_invalid(walk.index(), self.rules)),
            }
        }
    }

    /// Looks at the records as they are decompressed, and passes their bytes on to `sink`.
    fn walk_compressed(
        &mut self,
        codec: Codec,
        body: &[u8],
        mut sink: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), InvalidBatch> {
        let limit = self.rules.max_decompressed_batch_bytes;
        let decoder = Decoder::new(codec, body, limit);
        let mut decoder =
            decoder.map_err(|error| Fault::Decompress(error).into_invalid(0, self.rules))?;
        let fill = |window: &mut [u8]| {
            let read = decoder.read(window).map_err(Fault::Decompress)?;
            sink(&window[..read])?;
            Ok::<usize, Fault>(read)
        };
        let walk = RecordWalk::over_stream(fill, self.header.record_count);
        self.walk(walk.with_max_record_bytes(self.rules.max_decompressed_message_bytes))
    }

    fn record(&mut self, record: RecordSummary) {
        let timestamp = match self.header.attributes.timestamp_type() {
            TimestampType::CreateTime => self
                .header
                .base_timestamp
                .wrapping_add(record.timestamp_delta),
            TimestampType::LogAppendTime => self.header.max_timestamp,
        };
        self.max_timestamp = Some(self.max_timestamp.unwrap_or(NO_TIMESTAMP).max(timestamp));
        let reason = if self.rules.compacted && !record.has_key {
            Some(RejectReason::MissingKey)
        } else if self.rules.message_timestamp_type == TimestampType::CreateTime {
            self.out_of_range(timestamp)
        } else {
            None
        };
        if let Some(reason) = reason {
            self.reject(Rejected {
                index: record.index,
                reason,
            });
        }
    }

    fn reject(&mut self, rejected: Rejected) {
        self.total_rejected += 1;
        self.time_rejected |= rejected.reason.is_about_time();
        if self.rejected.len() < MAX_REPORTED {
            self.rejected.push(rejected);
        }
    }

    fn out_of_range(&self, timestamp: i64) -> Option<RejectReason> {
        let (before_ms, after_ms) = (
            self.rules.message_timestamp_before_max_ms,
            self.rules.message_timestamp_after_max_ms,
        );
        // Wide enough for the difference of any two timestamps.
        let age_ms = i128::from(self.now_ms) - i128::from(timestamp);
        let in_range = -i128::from(after_ms) <= age_ms && age_ms <= i128::from(before_ms);
        if in_range || timestamp == NO_TIMESTAMP {
            return None;
        }
        let earliest = self.now_ms.saturating_sub(before_ms);
        let latest = self.now_ms.saturating_add(after_ms);
        Some(RejectReason::TimestampOutOfRange {
            timestamp,
            earliest,
            latest,
        })
    }

    /// The largest timestamp of the batch as it is to be stored, if nothing was found against it.
    fn verdict(self) -> Result<i64, InvalidBatch> {
        let Judge {
            rejected: records,
            total_rejected: total,
            ..
        } = self;
        match (total, self.time_rejected) {
            (0, _) => Ok(match self.rules.message_timestamp_type {
                TimestampType::CreateTime => {
                    self.max_timestamp.unwrap_or(self.header.max_timestamp)
                }
                TimestampType::LogAppendTime => self.now_ms,
            }),
            (_, true) => Err(InvalidBatch::InvalidTimestamp { records, total }),
            (_, false) => Err(InvalidBatch::RejectedRecords { records, total }),
        }
    }
}

/// What a topic wants its batches compressed with.
#[derive(Clone, Copy)]
struct Target {
    codec: Codec,
    level: Option<i32>,
}

/// The whole batch with its records compressed anew, and room for a header at the front. The
/// records themselves keep their bytes: their deltas were found to be those that Kafka would write.
fn recompress(
    judge: &mut Judge<'_>,
    body: &[u8],
    source: Codec,
    target: Target,
) -> Result<Vec<u8>, InvalidBatch> {
    let rules = judge.rules;
    let failed = |error: io::Error| Fault::from(error).into_invalid(0, rules);
    let sink = CappedBatch::new(rules.max_message_bytes);
    // Only where the records are at hand is their length known beforehand.
    let input_bytes = u64::try_from(body.len())
        .ok()
        .filter(|_| source == Codec::None);
    let mut encoder =
        Encoder::new(target.codec, target.level, sink, input_bytes).map_err(failed)?;
    if source == Codec::None {
        judge.walk(RecordWalk::over_slice(body, judge.header.record_count))?;
        encoder.write_all(body).map_err(failed)?;
    } else {
        judge.walk_compressed(source, body, |records| Ok(encoder.write_all(records)?))?;
    }
    let CappedBatch { mut bytes, .. } = encoder.finish().map_err(failed)?;
    let attributes = judge.header.attributes.with_codec(target.codec);
    let batch_length = i32::try_from(bytes.len() - LOG_OVERHEAD);
    let batch_length =
        batch_length.map_err(|_| Fault::Full { size: bytes.len() }.into_invalid(0, rules))?;
    let header = BatchHeader {
        batch_length,
        attributes,
        ..*judge.header
    };
    bytes[..HEADER_LEN].copy_from_slice(&header.to_bytes());
    Ok(bytes)
}

/// A batch under construction that may not grow beyond what the topic allows.
struct CappedBatch {
    bytes: Vec<u8>,
    max: usize,
}

/// How an overgrown [`CappedBatch`] tells so through the compressor that writes into it.
#[derive(Debug, thiserror::Error)]
#[error("the batch takes {size} bytes or more")]
struct Overflow {
    size: usize,
}

impl CappedBatch {
    fn new(max: usize) -> Self {
        CappedBatch {
            bytes: vec![0; HEADER_LEN],
            max,
        }
    }
}

impl Write for CappedBatch {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let size = self.bytes.len() + data.len();
        if size > self.max {
            return Err(io::Error::other(Overflow { size }));
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
