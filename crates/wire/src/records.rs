//! The records inside a v2 batch: read lazily, nothing copied, nothing believed (Kafka's
//! `DefaultRecord`).
//!
//! [`RecordIter`] gives views into bytes that are in memory; [`RecordWalk`] only checks the
//! structure, and does so over bytes in memory or over a stream that is never held whole. Both check
//! every length against the bytes of its own record, and neither allocates by the record count of
//! the batch header. Timestamps and offsets stay the deltas they are on the wire:
//! [`crate::batch::Records`] knows the batch they are relative to.

mod source;
#[cfg(test)]
mod tests;

pub use source::{SliceSource, Source, StreamSource};

/// How many bytes a 32-bit and a 64-bit varint may take.
const VARINT_BYTES: usize = 5;
const VARLONG_BYTES: usize = 10;

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A length or a fixed field reaches past the end of the record, or of the batch.
    #[error("{wanted} bytes wanted where {left} are left")]
    Truncated {
        /// Bytes the field needs.
        wanted: usize,
        /// Bytes there are.
        left: usize,
    },
    /// A varint does not end within the bytes of its type, or holds more bits than its type.
    #[error("a varint does not fit its type")]
    VarintTooLong,
    /// A length below zero where null is not allowed, or below −1 where it is.
    #[error("the {field} has the length {length}")]
    NegativeLength {
        /// The field in Kafka's words.
        field: &'static str,
        /// What stands there.
        length: i32,
    },
    /// More headers announced than the record has bytes for.
    #[error("{count} headers announced where {left} bytes are left")]
    TooManyHeaders {
        /// The count announced.
        count: i32,
        /// Bytes left in the record.
        left: usize,
    },
    /// The record is longer than the reader accepts; asked for by
    /// [`RecordWalk::with_max_record_bytes`] only.
    #[error("a record of {length} bytes, where {limit} are allowed")]
    TooLong {
        /// What the record announces.
        length: usize,
        /// What is accepted.
        limit: usize,
    },
    /// The record is longer than its fields.
    #[error("{left} bytes of the record belong to no field")]
    UnreadBytes {
        /// Bytes after the last field.
        left: usize,
    },
    /// Bytes follow the last record of the batch.
    #[error("at least {bytes} bytes follow the last record")]
    TrailingBytes {
        /// How many are known of; a stream is not read to its end to count them.
        bytes: usize,
    },
    /// Offset deltas do not run 0, 1, 2 …; asked for by [`RecordIter::strict`] and [`RecordWalk`]
    /// only.
    #[error("the offset delta is {found} where {expected} was expected")]
    OffsetDelta {
        /// The index of the record.
        expected: i32,
        /// What it says.
        found: i32,
    },
}

/// One record, as views into the batch's (decompressed) bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Unused by Kafka; kept as sent.
    pub attributes: u8,
    /// Milliseconds after the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Offsets after the batch's base offset.
    pub offset_delta: i32,
    /// `None` is a null key.
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// In the order sent; keys may repeat.
    pub headers: Headers<'a>,
}

/// The headers of one record (KIP-82), checked when the record was read and decoded when iterated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a> {
    count: i32,
    bytes: &'a [u8],
}

/// One header of a record. Kafka wants the key to be UTF-8, but no broker has ever checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name, which need not be unique.
    pub key: &'a [u8],
    /// `None` is a null value.
    pub value: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    /// The headers as they stand in the record, without their count.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl Headers<'_> {
    /// How many headers there are.
    pub fn len(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count <= 0
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        if self.count <= 0 {
            return None;
        }
        self.count -= 1;
        let mut source = SliceSource::within(self.bytes);
        // Both were checked when the record was read, so neither ends the iteration early.
        let key = required(&mut source, "header key").ok()?;
        let value = nullable(&mut source, "header value").ok()?;
        self.bytes = source.record();
        Some(Header { key, value })
    }
}

/// Iterates over records that lie uncompressed in memory. Ends after the first error.
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    source: SliceSource<'a>,
    progress: Progress,
    strict: bool,
}

impl<'a> RecordIter<'a> {
    /// Over the bytes after the batch header, for as many records as that header announces; none if
    /// it announces less than one, which is for the caller to judge.
    pub fn new(body: &'a [u8], record_count: i32) -> Self {
        RecordIter {
            source: SliceSource::new(body),
            progress: Progress::new(record_count),
            strict: false,
        }
    }

    /// Also requires offset deltas to run 0, 1, 2 …, as in a batch that a producer sends;
    /// compaction leaves gaps later.
    pub fn strict(self) -> Self {
        RecordIter {
            strict: true,
            ..self
        }
    }

    fn read(&mut self) -> Result<RecordView<'a>, RecordError> {
        self.source.enter()?;
        let fields = read_fields(&mut self.source)?;
        let count = header_count(&mut self.source)?;
        let headers = Headers {
            count,
            bytes: self.source.record(),
        };
        skip_headers(&mut self.source, count)?;
        self.source.leave()?;
        self.progress
            .record_read(&mut self.source, self.strict.then_some(fields.offset_delta))?;
        let Fields {
            attributes,
            timestamp_delta,
            offset_delta,
            key,
            value,
        } = fields;
        Ok(RecordView {
            attributes,
            timestamp_delta,
            offset_delta,
            key,
            value,
            headers,
        })
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RecordView<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.progress.finished() {
            return None;
        }
        let record = self.read();
        if record.is_err() {
            self.progress.stop();
        }
        Some(record)
    }
}

/// What a validator asks of a record without holding its key and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSummary {
    /// The position in the batch, which a walk has checked to be the offset delta too.
    pub index: i32,
    /// Milliseconds after the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Whether the key is not null.
    pub has_key: bool,
}

/// Checks record after record: the structure, offset deltas of 0, 1, 2 …, and nothing after the
/// last one.
///
/// `E` is what can go wrong: [`RecordError`] alone over memory, and the stream's own errors besides
/// over a stream.
pub struct RecordWalk<S> {
    source: S,
    progress: Progress,
    max_record_bytes: usize,
}

impl<'a> RecordWalk<SliceSource<'a>> {
    /// Over records that lie uncompressed in memory.
    pub fn over_slice(body: &'a [u8], record_count: i32) -> Self {
        Self::over(SliceSource::new(body), record_count)
    }
}

impl<E, F> RecordWalk<StreamSource<F>>
where
    E: From<RecordError>,
    F: FnMut(&mut [u8]) -> Result<usize, E>,
{
    /// Over a stream: `fill` puts the next bytes at the front of the buffer it is given and says
    /// how many; 0 is the end. Holds a few KiB, however long the records are.
    pub fn over_stream(fill: F, record_count: i32) -> Self {
        Self::over(StreamSource::new(fill), record_count)
    }
}

impl<S: Source> RecordWalk<S> {
    fn over(source: S, record_count: i32) -> Self {
        let progress = Progress::new(record_count);
        RecordWalk {
            source,
            progress,
            max_record_bytes: usize::MAX,
        }
    }

    /// Also refuses a record longer than this, before its bytes are read.
    pub fn with_max_record_bytes(self, max_record_bytes: usize) -> Self {
        RecordWalk {
            max_record_bytes,
            ..self
        }
    }

    /// The index of the record that [`RecordWalk::next_record`] reads next, or failed to read.
    pub fn index(&self) -> i32 {
        self.progress.index
    }

    /// The next record, or `None` after the last. Where a record failed there is no next one.
    pub fn next_record(&mut self) -> Result<Option<RecordSummary>, S::Error> {
        if self.progress.finished() {
            return Ok(None);
        }
        let index = self.progress.index;
        self.source.enter()?;
        if self.source.left() > self.max_record_bytes {
            let (length, limit) = (self.source.left(), self.max_record_bytes);
            return Err(RecordError::TooLong { length, limit }.into());
        }
        let fields = read_fields(&mut self.source)?;
        let headers = header_count(&mut self.source)?;
        skip_headers(&mut self.source, headers)?;
        self.source.leave()?;
        self.progress
            .record_read(&mut self.source, Some(fields.offset_delta))?;
        let Fields {
            timestamp_delta,
            key,
            ..
        } = fields;
        Ok(Some(RecordSummary {
            index,
            timestamp_delta,
            has_key: key.is_some(),
        }))
    }
}

/// How far into a batch the reading is.
#[derive(Debug, Clone)]
struct Progress {
    index: i32,
    count: i32,
}

impl Progress {
    fn new(count: i32) -> Self {
        Progress { index: 0, count }
    }

    fn finished(&self) -> bool {
        self.index >= self.count
    }

    fn stop(&mut self) {
        self.count = 0;
    }

    /// Notes one record, checks its delta if given, and after the last one that nothing follows.
    fn record_read<S: Source>(
        &mut self,
        source: &mut S,
        offset_delta: Option<i32>,
    ) -> Result<(), S::Error> {
        if let Some(found) = offset_delta
            && found != self.index
        {
            return Err(RecordError::OffsetDelta {
                expected: self.index,
                found,
            }
            .into());
        }
        if self.index + 1 == self.count {
            let bytes = source.rest()?;
            if bytes > 0 {
                return Err(RecordError::TrailingBytes { bytes }.into());
            }
        }
        self.index += 1;
        Ok(())
    }
}

/// The fields of a record before its headers.
struct Fields<C> {
    attributes: u8,
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<C>,
    value: Option<C>,
}

#[inline(always)]
fn read_fields<S: Source>(source: &mut S) -> Result<Fields<S::Chunk>, S::Error> {
    Ok(Fields {
        attributes: source.byte()?,
        timestamp_delta: varlong(source)?,
        offset_delta: varint(source)?,
        key: nullable(source, "key")?,
        value: nullable(source, "value")?,
    })
}

/// How many headers follow: no more than the record has bytes for.
#[inline(always)]
fn header_count<S: Source>(source: &mut S) -> Result<i32, S::Error> {
    let count = varint(source)?;
    if count < 0 {
        return Err(RecordError::NegativeLength {
            field: "header count",
            length: count,
        }
        .into());
    }
    // A header takes two bytes at least, a length for each half.
    if i64::from(count) * 2 > i64::try_from(source.left()).unwrap_or(i64::MAX) {
        return Err(RecordError::TooManyHeaders {
            count,
            left: source.left(),
        }
        .into());
    }
    Ok(count)
}

#[inline(always)]
fn skip_headers<S: Source>(source: &mut S, count: i32) -> Result<(), S::Error> {
    for _ in 0..count {
        required(source, "header key")?;
        nullable(source, "header value")?;
    }
    Ok(())
}

#[inline(always)]
fn required<S: Source>(source: &mut S, field: &'static str) -> Result<S::Chunk, S::Error> {
    match nullable(source, field)? {
        Some(bytes) => Ok(bytes),
        None => Err(RecordError::NegativeLength { field, length: -1 }.into()),
    }
}

#[inline(always)]
fn nullable<S: Source>(source: &mut S, field: &'static str) -> Result<Option<S::Chunk>, S::Error> {
    let length = varint(source)?;
    if length == -1 {
        return Ok(None);
    }
    let length =
        usize::try_from(length).map_err(|_| RecordError::NegativeLength { field, length })?;
    source.take(length).map(Some)
}

#[inline(always)]
fn varint<S: Source>(source: &mut S) -> Result<i32, S::Error> {
    // Nearly every varint of a record is a single byte, so that case stays small enough to be
    // inlined.
    let first = source.byte()?;
    if first < 0x80 {
        return Ok(zigzag32(u32::from(first)));
    }
    let raw = varint_rest(source, first, VARINT_BYTES)?;
    let raw = u32::try_from(raw).map_err(|_| RecordError::VarintTooLong)?;
    Ok(zigzag32(raw))
}

#[inline(always)]
fn varlong<S: Source>(source: &mut S) -> Result<i64, S::Error> {
    let first = source.byte()?;
    if first < 0x80 {
        return Ok(zigzag64(u64::from(first)));
    }
    Ok(zigzag64(varint_rest(source, first, VARLONG_BYTES)?))
}

/// The value of a varint whose first byte announced more.
#[inline(never)]
fn varint_rest<S: Source>(source: &mut S, first: u8, max_bytes: usize) -> Result<u64, S::Error> {
    let mut value = u64::from(first & 0x7f);
    for position in 1..max_bytes {
        let byte = source.byte()?;
        let shift = 7 * position;
        // The tenth byte has room for a single bit; anything above would be lost.
        if shift == 63 && byte > 1 {
            return Err(RecordError::VarintTooLong.into());
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(RecordError::VarintTooLong.into())
}

fn zigzag32(raw: u32) -> i32 {
    (raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())
}

fn zigzag64(raw: u64) -> i64 {
    (raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())
}

/// Appends `value` as a zigzag varint, the form of every number in a record; an `i32` has the same
/// form as its `i64`.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while raw >= 0x80 {
        out.push((raw as u8 & 0x7f) | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}
