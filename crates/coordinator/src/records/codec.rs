//! Reading and writing the primitive fields of Kafka's record schemas; every record module here is written with these two.
//!
//! [`Reader`] trusts no length: each is compared with the bytes that are there before anything is taken or allocated, and a
//! slice it hands out shares the record's memory. [`Writer`] is its inverse. "Flexible" schema versions use the `compact_…`
//! forms and end every struct with tagged fields (KIP-482); the others use the plain forms and have no tags.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use uuid::Uuid;

/// Why bytes are not a record of the expected schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A field or its length reaches beyond the end.
    #[error("a field ends after the record does")]
    Truncated,
    /// A length below zero where null is not allowed, a varint of more than five bytes, or a boolean that is neither 0 nor 1.
    #[error("a length or number has an impossible value")]
    BadNumber,
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// The record's schema version is newer than this code; guessing at it could lose state.
    #[error("record version {version} of {record} is unknown")]
    UnknownVersion {
        /// The schema's name in Kafka.
        record: &'static str,
        /// The version found.
        version: i16,
    },
    /// A field needed in this place is null.
    #[error("the field {0} is null")]
    Null(&'static str),
}

/// Takes fields off the front of a record.
#[derive(Debug, Clone)]
pub struct Reader {
    rest: Bytes,
}

impl Reader {
    /// Reads from the first byte on.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, len: usize) -> Result<Bytes, RecordError> {
        if len > self.rest.len() {
            return Err(RecordError::Truncated);
        }
        Ok(self.rest.split_to(len))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (head, _) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(RecordError::Truncated)?;
        let head = *head;
        // Not `slice`: that counts one more and one less owner of the bytes, for each field of each record.
        self.rest.advance(N);
        Ok(head)
    }

    /// One signed byte.
    ///
    /// # Errors
    /// [`RecordError::Truncated`].
    pub fn i8(&mut self) -> Result<i8, RecordError> {
        self.array().map(i8::from_be_bytes)
    }

    /// Two bytes, big-endian.
    ///
    /// # Errors
    /// [`RecordError::Truncated`].
    pub fn i16(&mut self) -> Result<i16, RecordError> {
        self.array().map(i16::from_be_bytes)
    }

    /// Four bytes, big-endian.
    ///
    /// # Errors
    /// [`RecordError::Truncated`].
    pub fn i32(&mut self) -> Result<i32, RecordError> {
        self.array().map(i32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    ///
    /// # Errors
    /// [`RecordError::Truncated`].
    pub fn i64(&mut self) -> Result<i64, RecordError> {
        self.array().map(i64::from_be_bytes)
    }

    /// Sixteen bytes.
    ///
    /// # Errors
    /// [`RecordError::Truncated`].
    pub fn uuid(&mut self) -> Result<Uuid, RecordError> {
        self.array().map(Uuid::from_bytes)
    }

    /// One byte; like Kafka, anything but 0 is true.
    ///
    /// # Errors
    /// [`RecordError::Truncated`].
    pub fn bool(&mut self) -> Result<bool, RecordError> {
        Ok(self.i8()? != 0)
    }

    /// An unsigned varint of at most 32 bits.
    ///
    /// # Errors
    /// [`RecordError::Truncated`], [`RecordError::BadNumber`].
    pub fn unsigned_varint(&mut self) -> Result<u32, RecordError> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array::<1>()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| RecordError::BadNumber);
            }
        }
        Err(RecordError::BadNumber)
    }

    /// The length before a compact field: `None` is null.
    fn compact_len(&mut self) -> Result<Option<usize>, RecordError> {
        let plus_one = self.unsigned_varint()?;
        match plus_one.checked_sub(1) {
            None => Ok(None),
            Some(len) => Ok(Some(
                usize::try_from(len).map_err(|_| RecordError::BadNumber)?,
            )),
        }
    }

    fn utf8(&mut self, len: usize) -> Result<String, RecordError> {
        let bytes = self.rest.get(..len).ok_or(RecordError::Truncated)?;
        let text = std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| RecordError::NotUtf8)?;
        self.rest.advance(len);
        Ok(text)
    }

    /// A nullable string with a two-byte length; −1 is null.
    ///
    /// # Errors
    /// [`RecordError::Truncated`], [`RecordError::BadNumber`], [`RecordError::NotUtf8`].
    pub fn nullable_string(&mut self) -> Result<Option<String>, RecordError> {
        match self.i16()? {
            -1 => Ok(None),
            len => {
                let len = usize::try_from(len).map_err(|_| RecordError::BadNumber)?;
                self.utf8(len).map(Some)
            }
        }
    }

    /// A string with a two-byte length.
    ///
    /// # Errors
    /// As [`Self::nullable_string`], and [`RecordError::BadNumber`] for null.
    pub fn string(&mut self) -> Result<String, RecordError> {
        self.nullable_string()?.ok_or(RecordError::BadNumber)
    }

    /// A nullable string with a varint length plus one; 0 is null.
    ///
    /// # Errors
    /// [`RecordError::Truncated`], [`RecordError::BadNumber`], [`RecordError::NotUtf8`].
    pub fn nullable_compact_string(&mut self) -> Result<Option<String>, RecordError> {
        match self.compact_len()? {
            None => Ok(None),
            Some(len) => self.utf8(len).map(Some),
        }
    }

    /// A string with a varint length plus one.
    ///
    /// # Errors
    /// As [`Self::nullable_compact_string`], and [`RecordError::BadNumber`] for null.
    pub fn compact_string(&mut self) -> Result<String, RecordError> {
        self.nullable_compact_string()?
            .ok_or(RecordError::BadNumber)
    }

    /// Nullable bytes with a four-byte length; −1 is null.
    ///
    /// # Errors
    /// [`RecordError::Truncated`], [`RecordError::BadNumber`].
    pub fn nullable_bytes(&mut self) -> Result<Option<Bytes>, RecordError> {
        match self.i32()? {
            -1 => Ok(None),
            len => {
                let len = usize::try_from(len).map_err(|_| RecordError::BadNumber)?;
                self.take(len).map(Some)
            }
        }
    }

    /// Bytes with a four-byte length.
    ///
    /// # Errors
    /// As [`Self::nullable_bytes`], and [`RecordError::BadNumber`] for null.
    pub fn bytes(&mut self) -> Result<Bytes, RecordError> {
        self.nullable_bytes()?.ok_or(RecordError::BadNumber)
    }

    /// Nullable bytes with a varint length plus one; 0 is null.
    ///
    /// # Errors
    /// [`RecordError::Truncated`], [`RecordError::BadNumber`].
    pub fn nullable_compact_bytes(&mut self) -> Result<Option<Bytes>, RecordError> {
        match self.compact_len()? {
            None => Ok(None),
            Some(len) => self.take(len).map(Some),
        }
    }

    /// Bytes with a varint length plus one.
    ///
    /// # Errors
    /// As [`Self::nullable_compact_bytes`], and [`RecordError::BadNumber`] for null.
    pub fn compact_bytes(&mut self) -> Result<Bytes, RecordError> {
        self.nullable_compact_bytes()?.ok_or(RecordError::BadNumber)
    }

    /// The items of a counted list. Nothing is allocated by the count alone: every item of a schema has at least one byte, so
    /// a count above the bytes that are left is already known to be wrong.
    fn items<T>(
        &mut self,
        count: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, RecordError>,
    ) -> Result<Vec<T>, RecordError> {
        if count > self.rest.len() {
            return Err(RecordError::Truncated);
        }
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// A nullable list with a four-byte count; −1 is null.
    ///
    /// # Errors
    /// [`RecordError::Truncated`], [`RecordError::BadNumber`], or what `item` fails with.
    pub fn nullable_list<T>(
        &mut self,
        item: impl FnMut(&mut Self) -> Result<T, RecordError>,
    ) -> Result<Option<Vec<T>>, RecordError> {
        match self.i32()? {
            -1 => Ok(None),
            count => {
                let count = usize::try_from(count).map_err(|_| RecordError::BadNumber)?;
                self.items(count, item).map(Some)
            }
        }
    }

    /// A list with a four-byte count.
    ///
    /// # Errors
    /// As [`Self::nullable_list`], and [`RecordError::BadNumber`] for null.
    pub fn list<T>(
        &mut self,
        item: impl FnMut(&mut Self) -> Result<T, RecordError>,
    ) -> Result<Vec<T>, RecordError> {
        self.nullable_list(item)?.ok_or(RecordError::BadNumber)
    }

    /// A nullable list with a varint count plus one; 0 is null.
    ///
    /// # Errors
    /// [`RecordError::Truncated`], [`RecordError::BadNumber`], or what `item` fails with.
    pub fn nullable_compact_list<T>(
        &mut self,
        item: impl FnMut(&mut Self) -> Result<T, RecordError>,
    ) -> Result<Option<Vec<T>>, RecordError> {
        match self.compact_len()? {
            None => Ok(None),
            Some(count) => self.items(count, item).map(Some),
        }
    }

    /// A list with a varint count plus one.
    ///
    /// # Errors
    /// As [`Self::nullable_compact_list`], and [`RecordError::BadNumber`] for null.
    pub fn compact_list<T>(
        &mut self,
        item: impl FnMut(&mut Self) -> Result<T, RecordError>,
    ) -> Result<Vec<T>, RecordError> {
        self.nullable_compact_list(item)?
            .ok_or(RecordError::BadNumber)
    }

    /// The tagged fields at the end of a flexible struct: `known` gets each tag with a reader over that field alone. A tag
    /// it does not know it leaves; the bytes are skipped either way.
    ///
    /// # Errors
    /// [`RecordError::Truncated`], [`RecordError::BadNumber`], or what `known` fails with.
    pub fn tagged_fields(
        &mut self,
        mut known: impl FnMut(u32, &mut Reader) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        let count = self.unsigned_varint()?;
        for _ in 0..count {
            let tag = self.unsigned_varint()?;
            let len =
                usize::try_from(self.unsigned_varint()?).map_err(|_| RecordError::BadNumber)?;
            let mut field = Reader::new(self.take(len)?);
            known(tag, &mut field)?;
        }
        Ok(())
    }

    /// Tagged fields of which this code knows none.
    ///
    /// # Errors
    /// [`RecordError::Truncated`], [`RecordError::BadNumber`].
    pub fn skip_tagged_fields(&mut self) -> Result<(), RecordError> {
        self.tagged_fields(|_, _| Ok(()))
    }
}

/// Most keys and values are shorter, so that they are written without growing the buffer.
const USUAL_BYTES: usize = 64;

/// Puts fields one after the other.
///
/// Lengths are our own values here: a plain string longer than 32 767 bytes cannot have come over Kafka's protocol, and is cut
/// at a character's border rather than written with a length that lies.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: BytesMut,
}

impl Writer {
    /// Starts a key or value with its schema version.
    #[must_use]
    pub fn versioned(version: i16) -> Self {
        let mut writer = Self {
            bytes: BytesMut::with_capacity(USUAL_BYTES),
        };
        writer.i16(version);
        writer
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.bytes.freeze()
    }

    /// One signed byte.
    pub fn i8(&mut self, value: i8) {
        self.bytes.put_i8(value);
    }

    /// Two bytes, big-endian.
    pub fn i16(&mut self, value: i16) {
        self.bytes.put_i16(value);
    }

    /// Four bytes, big-endian.
    pub fn i32(&mut self, value: i32) {
        self.bytes.put_i32(value);
    }

    /// Eight bytes, big-endian.
    pub fn i64(&mut self, value: i64) {
        self.bytes.put_i64(value);
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.bytes.put_slice(value.as_bytes());
    }

    /// One byte, 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.bytes.put_u8(u8::from(value));
    }

    /// An unsigned varint.
    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.put_u8(value as u8);
    }

    fn compact_len(&mut self, len: usize) {
        let plus_one = u32::try_from(len)
            .ok()
            .and_then(|len| len.checked_add(1))
            .expect("a field of a record we build is far below 4 GiB");
        self.unsigned_varint(plus_one);
    }

    fn count(&mut self, len: usize) {
        self.i32(i32::try_from(len).expect("a field of a record we build is far below 2 GiB"));
    }

    /// A string with a two-byte length.
    pub fn string(&mut self, value: &str) {
        let max = usize::from(i16::MAX.unsigned_abs());
        let cut = &value[..value.floor_char_boundary(max)];
        self.i16(cut.len() as i16);
        self.bytes.put_slice(cut.as_bytes());
    }

    /// A nullable string with a two-byte length.
    pub fn nullable_string(&mut self, value: Option<&str>) {
        match value {
            None => self.i16(-1),
            Some(value) => self.string(value),
        }
    }

    /// A string with a varint length plus one.
    pub fn compact_string(&mut self, value: &str) {
        self.compact_len(value.len());
        self.bytes.put_slice(value.as_bytes());
    }

    /// A nullable string with a varint length plus one.
    pub fn nullable_compact_string(&mut self, value: Option<&str>) {
        match value {
            None => self.unsigned_varint(0),
            Some(value) => self.compact_string(value),
        }
    }

    /// Bytes with a four-byte length.
    pub fn bytes(&mut self, value: &[u8]) {
        self.count(value.len());
        self.bytes.put_slice(value);
    }

    /// Bytes with a varint length plus one.
    pub fn compact_bytes(&mut self, value: &[u8]) {
        self.compact_len(value.len());
        self.bytes.put_slice(value);
    }

    /// Nullable bytes with a varint length plus one.
    pub fn nullable_compact_bytes(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.unsigned_varint(0),
            Some(value) => self.compact_bytes(value),
        }
    }

    /// A list with a four-byte count.
    pub fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        mut item: impl FnMut(&mut Self, T),
    ) {
        let items = items.into_iter();
        self.count(items.len());
        items.for_each(|value| item(self, value));
    }

    /// A list with a varint count plus one.
    pub fn compact_list<T>(
        &mut self,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        mut item: impl FnMut(&mut Self, T),
    ) {
        let items = items.into_iter();
        self.compact_len(items.len());
        items.for_each(|value| item(self, value));
    }

    /// A null compact list.
    pub fn null_compact_list(&mut self) {
        self.unsigned_varint(0);
    }

    /// The tagged fields at the end of a flexible struct, each tag with its encoded field; tags must ascend.
    pub fn tagged_fields(&mut self, fields: &[(u32, Bytes)]) {
        self.unsigned_varint(fields.len() as u32);
        for (tag, field) in fields {
            self.unsigned_varint(*tag);
            self.unsigned_varint(field.len() as u32);
            self.bytes.put_slice(field);
        }
    }

    /// The end of a flexible struct without tagged fields.
    pub fn no_tagged_fields(&mut self) {
        self.unsigned_varint(0);
    }
}

#[cfg(test)]
mod tests;
