//! Every key and value that storage keeps in RocksDB; `docs/storage-format.md` explains them in prose.
//!
//! A key is one table byte and big-endian numbers, so that byte order is logical order within a table. Table numbers
//! are never reused. Values carry no version of their own: the directory's format version covers them.
//! Nothing here is synced by itself unless its comment says so: the segment files are the truth, and what a power
//! failure takes from RocksDB is rebuilt from them.

use uuid::Uuid;

use crate::index::IndexEntry;
use crate::options::LogKey;
use crate::producer_state::{BatchRange, MAX_BATCHES, ProducerEntry};
use crate::transactions::AbortedTransaction;

/// First byte of every key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Table {
    /// () → next log id. Written with each new log; never goes. Losing it is harmless: directory names count too.
    NextLogId = 1,
    /// topic id, partition → log id, topic name. Written by `create_log`; goes with the log. The `partition` file of
    /// the log's directory says the same and wins when this is missing.
    LogMap = 2,
    /// log id → how far RocksDB knows the log (`Checkpoint`). Written at every checkpoint, last in its batch.
    Checkpoint = 3,
    /// log id, base offset → facts about a segment (`SegmentFacts`). Written at checkpoints and when the segment is
    /// sealed; goes when retention or truncation removes the segment.
    Segment = 4,
    /// log id, segment base offset, first offset of the block → packed `IndexEntry`s. The last block of a segment is
    /// overwritten while it fills. Goes with the segment.
    IndexBlock = 5,
    /// log id → the list of (leader epoch, start offset). Written when an epoch begins or the list is cut.
    LeaderEpochs = 6,
    /// log id, producer id → `ProducerEntry` as of the checkpoint. Written at checkpoints when it changed; goes when the
    /// producer expires.
    Producer = 7,
    /// log id, offset of the abort marker, producer id → first offset of the aborted transaction. Written at
    /// checkpoints; goes when the log start passes it.
    AbortedTransaction = 8,
    /// log id → log start offset. Written before the files below it go; synced by `delete_records`, because a client
    /// was told.
    LogStart = 9,
    /// () → identity of the boot and the mount under which the directory was last opened. Written and synced at open: the
    /// same one means that the page cache outlived the last process.
    PageCacheId = 10,
    /// log id, record key → record value: the log's view. Written and removed by `PartitionLog::write_view`; goes with the
    /// log, and when it is ahead of it.
    View = 11,
    /// log id → offset up to which the view is true. Written in the batch of every change of the view.
    ViewEnd = 12,
    /// log id → how far compaction has come (`Cleaned`). Written, and synced, before the first segment of a run is replaced,
    /// and when the run is done; falls with truncation.
    Cleaned = 13,
}

/// Tables whose second key part is a log id: what deleting a log has to clear.
pub(crate) const PER_LOG: [Table; 10] = [
    Table::Checkpoint,
    Table::Segment,
    Table::IndexBlock,
    Table::LeaderEpochs,
    Table::Producer,
    Table::AbortedTransaction,
    Table::LogStart,
    Table::View,
    Table::ViewEnd,
    Table::Cleaned,
];

/// A stored value that does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadValue;

/// How far RocksDB knows a log. Everything in the file behind it has to be scanned after a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Checkpoint {
    pub(crate) segment_base: i64,
    pub(crate) position: u64,
    pub(crate) log_end_offset: i64,
    pub(crate) high_watermark: i64,
    /// Segment and position up to which the files are known to be on the disk itself.
    pub(crate) synced_base: i64,
    pub(crate) synced_position: u64,
}

impl Checkpoint {
    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::new(48)
            .i64(self.segment_base)
            .u64(self.position)
            .i64(self.log_end_offset)
            .i64(self.high_watermark)
            .i64(self.synced_base)
            .u64(self.synced_position)
            .done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, BadValue> {
        let mut reader = Reader(value);
        let checkpoint = Self {
            segment_base: reader.offset()?,
            position: reader.u64()?,
            log_end_offset: reader.offset()?,
            high_watermark: reader.offset()?,
            synced_base: reader.offset()?,
            synced_position: reader.u64()?,
        };
        reader.finish()?;
        Ok(checkpoint)
    }
}

/// What is known of one segment without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentFacts {
    pub(crate) size: u64,
    /// Offset after the segment's last batch.
    pub(crate) end_offset: i64,
    /// Greatest timestamp of the first batch, -1 when it has none; segment age is measured from it.
    pub(crate) first_timestamp: i64,
    /// Greatest timestamp, -1 when there is none.
    pub(crate) max_timestamp: i64,
    /// Base offset of the first batch that carries it.
    pub(crate) max_timestamp_offset: i64,
    /// Bytes since the last index entry, so that an index grows alike with and without a restart.
    pub(crate) bytes_since_index: u64,
    pub(crate) sealed: bool,
}

impl SegmentFacts {
    pub(crate) fn empty(base_offset: i64) -> Self {
        Self {
            size: 0,
            end_offset: base_offset,
            first_timestamp: -1,
            max_timestamp: -1,
            max_timestamp_offset: -1,
            bytes_since_index: 0,
            sealed: false,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::new(49)
            .u64(self.size)
            .i64(self.end_offset)
            .i64(self.first_timestamp)
            .i64(self.max_timestamp)
            .i64(self.max_timestamp_offset)
            .u64(self.bytes_since_index)
            .u8(u8::from(self.sealed))
            .done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, BadValue> {
        let mut reader = Reader(value);
        let facts = Self {
            size: reader.u64()?,
            end_offset: reader.offset()?,
            first_timestamp: reader.i64()?,
            max_timestamp: reader.i64()?,
            max_timestamp_offset: reader.i64()?,
            bytes_since_index: reader.u64()?,
            sealed: reader.u8()? == 1,
        };
        reader.finish()?;
        Ok(facts)
    }
}

/// How far compaction has come in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cleaned {
    /// The dirty part begins here.
    pub(crate) first_dirty: i64,
    /// No segment at or above this offset was ever replaced. What the journal has below it is in the segments, though
    /// perhaps not byte for byte.
    pub(crate) rewritten_below: i64,
}

impl Cleaned {
    /// After the log was cut to end at `end_offset`.
    pub(crate) fn cut(self, end_offset: i64) -> Self {
        Self {
            first_dirty: self.first_dirty.min(end_offset),
            rewritten_below: self.rewritten_below.min(end_offset),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::new(16)
            .i64(self.first_dirty)
            .i64(self.rewritten_below)
            .done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, BadValue> {
        let mut reader = Reader(value);
        let cleaned = Self {
            first_dirty: reader.offset()?,
            rewritten_below: reader.offset()?,
        };
        reader.finish()?;
        Ok(cleaned)
    }
}

/// The value of `Table::LogMap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogIdentity {
    pub(crate) log_id: u64,
    pub(crate) topic: String,
}

impl LogIdentity {
    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::new(8 + self.topic.len())
            .u64(self.log_id)
            .bytes(self.topic.as_bytes())
            .done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, BadValue> {
        let mut reader = Reader(value);
        let log_id = reader.u64()?;
        let topic = String::from_utf8(reader.0.to_vec()).map_err(|_| BadValue)?;
        Ok(Self { log_id, topic })
    }
}

pub(crate) fn single(table: Table) -> Vec<u8> {
    vec![table as u8]
}

pub(crate) fn log_map(key: &LogKey) -> Vec<u8> {
    Writer::table(Table::LogMap, 20)
        .bytes(key.topic_id.as_bytes())
        .i32(key.partition)
        .done()
}

pub(crate) fn decode_log_map(key: &[u8]) -> Result<LogKey, BadValue> {
    let mut reader = Reader::table(Table::LogMap, key)?;
    let topic_id = Uuid::from_bytes(reader.array()?);
    let partition = reader.i32()?;
    reader.finish()?;
    Ok(LogKey {
        topic_id,
        partition,
    })
}

/// The key of a table with one row a log, and the prefix of a table with several.
pub(crate) fn log(table: Table, log_id: u64) -> Vec<u8> {
    Writer::table(table, 8).u64(log_id).done()
}

/// Base offsets are never negative, so their big-endian bytes sort as they do.
pub(crate) fn segment(log_id: u64, base_offset: i64) -> Vec<u8> {
    Writer::table(Table::Segment, 16)
        .u64(log_id)
        .i64(base_offset)
        .done()
}

pub(crate) fn decode_segment(key: &[u8]) -> Result<i64, BadValue> {
    let mut reader = Reader::table(Table::Segment, key)?;
    reader.u64()?;
    let base = reader.offset()?;
    reader.finish()?;
    Ok(base)
}

pub(crate) fn index_block(log_id: u64, segment_base: i64, first_offset: i64) -> Vec<u8> {
    Writer::table(Table::IndexBlock, 24)
        .u64(log_id)
        .i64(segment_base)
        .i64(first_offset)
        .done()
}

/// The prefix shared by all index blocks of a segment.
pub(crate) fn index_prefix(log_id: u64, segment_base: i64) -> Vec<u8> {
    Writer::table(Table::IndexBlock, 16)
        .u64(log_id)
        .i64(segment_base)
        .done()
}

pub(crate) fn producer(log_id: u64, producer_id: i64) -> Vec<u8> {
    Writer::table(Table::Producer, 16)
        .u64(log_id)
        .i64(producer_id)
        .done()
}

pub(crate) fn decode_producer(key: &[u8]) -> Result<i64, BadValue> {
    let mut reader = Reader::table(Table::Producer, key)?;
    reader.u64()?;
    let producer_id = reader.offset()?;
    reader.finish()?;
    Ok(producer_id)
}

pub(crate) fn aborted(log_id: u64, aborted: &AbortedTransaction) -> Vec<u8> {
    Writer::table(Table::AbortedTransaction, 24)
        .u64(log_id)
        .i64(aborted.last_offset)
        .i64(aborted.producer_id)
        .done()
}

pub(crate) fn encode_aborted(aborted: &AbortedTransaction) -> Vec<u8> {
    Writer::new(8).i64(aborted.first_offset).done()
}

pub(crate) fn decode_aborted(key: &[u8], value: &[u8]) -> Result<AbortedTransaction, BadValue> {
    let mut reader = Reader::table(Table::AbortedTransaction, key)?;
    reader.u64()?;
    let last_offset = reader.offset()?;
    let producer_id = reader.offset()?;
    reader.finish()?;
    let mut value = Reader(value);
    let first_offset = value.offset()?;
    value.finish()?;
    Ok(AbortedTransaction {
        producer_id,
        first_offset,
        last_offset,
    })
}

/// Packed: per entry the distance from the block's first offset (u32), the position (u32) and the greatest timestamp
/// before it (i64). 16 bytes an entry.
pub(crate) fn encode_index_block(first_offset: i64, entries: &[IndexEntry]) -> Vec<u8> {
    let mut writer = Writer::new(entries.len().saturating_mul(16));
    for entry in entries {
        let distance = u32::try_from(entry.offset.saturating_sub(first_offset)).unwrap_or(u32::MAX);
        writer = writer
            .u32(distance)
            .u32(entry.position)
            .i64(entry.max_timestamp_before);
    }
    writer.done()
}

/// An index block as RocksDB holds it, searched in place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IndexBlock<'a> {
    first_offset: i64,
    bytes: &'a [u8],
}

impl<'a> IndexBlock<'a> {
    pub(crate) fn decode(key: &[u8], value: &'a [u8]) -> Result<Self, BadValue> {
        let mut reader = Reader::table(Table::IndexBlock, key)?;
        reader.u64()?;
        reader.offset()?;
        let first_offset = reader.offset()?;
        reader.finish()?;
        if value.is_empty() || !value.len().is_multiple_of(16) {
            return Err(BadValue);
        }
        Ok(Self {
            first_offset,
            bytes: value,
        })
    }

    pub(crate) fn entries(
        self,
    ) -> impl DoubleEndedIterator<Item = IndexEntry> + ExactSizeIterator + 'a {
        (0..self.len()).map(move |at| self.get(at))
    }

    /// How many entries at the front satisfy `holds`, which must be true for a prefix.
    pub(crate) fn partition_point(&self, holds: impl Fn(&IndexEntry) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(&self.get(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / 16
    }

    pub(crate) fn get(&self, at: usize) -> IndexEntry {
        let mut reader = Reader(&self.bytes[at * 16..at * 16 + 16]);
        let fields = (reader.u32(), reader.u32(), reader.i64());
        let (Ok(distance), Ok(position), Ok(max_timestamp_before)) = fields else {
            unreachable!("sixteen bytes hold two u32 and one i64")
        };
        IndexEntry {
            offset: self.first_offset.saturating_add(i64::from(distance)),
            position,
            max_timestamp_before,
        }
    }
}

pub(crate) fn encode_epochs(epochs: &[(i32, i64)]) -> Vec<u8> {
    let mut writer = Writer::new(epochs.len().saturating_mul(12));
    for (epoch, start) in epochs {
        writer = writer.i32(*epoch).i64(*start);
    }
    writer.done()
}

pub(crate) fn decode_epochs(value: &[u8]) -> Result<Vec<(i32, i64)>, BadValue> {
    let mut reader = Reader(value);
    let mut epochs = Vec::with_capacity(value.len() / 12);
    while !reader.0.is_empty() {
        epochs.push((reader.i32()?, reader.offset()?));
    }
    Ok(epochs)
}

pub(crate) fn encode_producer(entry: &ProducerEntry) -> Vec<u8> {
    let mut writer = Writer::new(160)
        .i16(entry.epoch)
        .i32(entry.coordinator_epoch)
        .i64(entry.last_timestamp)
        .i64(entry.transaction_start.unwrap_or(-1))
        .u8(u8::try_from(entry.batches().len()).unwrap_or(0));
    for batch in entry.batches() {
        writer = writer
            .i32(batch.first_sequence)
            .i32(batch.last_sequence)
            .i64(batch.base_offset);
        writer = writer.i64(batch.last_offset).i64(batch.timestamp);
    }
    writer.done()
}

pub(crate) fn decode_producer_entry(value: &[u8]) -> Result<ProducerEntry, BadValue> {
    let mut reader = Reader(value);
    let mut entry = ProducerEntry::new(reader.i16()?);
    entry.coordinator_epoch = reader.i32()?;
    entry.last_timestamp = reader.i64()?;
    let start = reader.i64()?;
    entry.transaction_start = (start >= 0).then_some(start);
    let count = usize::from(reader.u8()?);
    if count > MAX_BATCHES {
        return Err(BadValue);
    }
    for _ in 0..count {
        entry.push(BatchRange {
            first_sequence: reader.i32()?,
            last_sequence: reader.i32()?,
            base_offset: reader.offset()?,
            last_offset: reader.offset()?,
            timestamp: reader.i64()?,
        });
    }
    reader.finish()?;
    Ok(entry)
}

/// The record key comes last and is all that is left of the bytes.
pub(crate) fn view(log_id: u64, record_key: &[u8]) -> Vec<u8> {
    Writer::table(Table::View, record_key.len().saturating_add(8))
        .u64(log_id)
        .bytes(record_key)
        .done()
}

pub(crate) fn encode_number(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

pub(crate) fn decode_number(value: &[u8]) -> Result<u64, BadValue> {
    let mut reader = Reader(value);
    let number = reader.u64()?;
    reader.finish()?;
    Ok(number)
}

struct Writer(Vec<u8>);

impl Writer {
    fn new(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }
    fn table(table: Table, rest: usize) -> Self {
        Self::new(1 + rest).u8(table as u8)
    }
    fn u8(self, number: u8) -> Self {
        self.bytes(&[number])
    }
    fn i16(self, number: i16) -> Self {
        self.bytes(&number.to_be_bytes())
    }
    fn i32(self, number: i32) -> Self {
        self.bytes(&number.to_be_bytes())
    }
    fn u32(self, number: u32) -> Self {
        self.bytes(&number.to_be_bytes())
    }
    fn i64(self, number: i64) -> Self {
        self.bytes(&number.to_be_bytes())
    }
    fn u64(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
    fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Reads numbers off the front; every read checks what is left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn table(table: Table, key: &'a [u8]) -> Result<Self, BadValue> {
        match key.split_first() {
            Some((first, rest)) if *first == table as u8 => Ok(Self(rest)),
            _ => Err(BadValue),
        }
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadValue> {
        let (first, rest) = self.0.split_first_chunk::<N>().ok_or(BadValue)?;
        self.0 = rest;
        Ok(*first)
    }
    fn u8(&mut self) -> Result<u8, BadValue> {
        self.array::<1>().map(|[byte]| byte)
    }
    fn i16(&mut self) -> Result<i16, BadValue> {
        self.array().map(i16::from_be_bytes)
    }
    fn i32(&mut self) -> Result<i32, BadValue> {
        self.array().map(i32::from_be_bytes)
    }
    fn u32(&mut self) -> Result<u32, BadValue> {
        self.array().map(u32::from_be_bytes)
    }
    fn i64(&mut self) -> Result<i64, BadValue> {
        self.array().map(i64::from_be_bytes)
    }
    fn u64(&mut self) -> Result<u64, BadValue> {
        self.array().map(u64::from_be_bytes)
    }
    /// A number that our writers never let become negative.
    fn offset(&mut self) -> Result<i64, BadValue> {
        self.i64().and_then(|number| {
            if number < 0 {
                Err(BadValue)
            } else {
                Ok(number)
            }
        })
    }
    fn finish(self) -> Result<(), BadValue> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(BadValue)
        }
    }
}

#[cfg(test)]
mod tests;
