//! Fields of the messages we read and write ourselves, in both of Kafka's encodings (KIP-482).
//!
//! The guard has walked a message before it is read here. These functions still reserve no more memory than the
//! bytes left can pay for; everything else that the guard refuses ends in one plain error.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use kafka_protocol::protocol::{Encodable, Message, StrBytes};

use crate::varint::put_unsigned;

/// How lengths are written, and whether structures end with tagged fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Lengths of fixed width, no tagged fields.
    Rigid,
    /// Lengths are varints of one more than their value; every structure ends with tagged fields.
    Flexible,
}

/// Why a message cannot be read, when the guard did not say it first.
#[derive(Debug, thiserror::Error)]
#[error("the bytes are not laid out as this version of the message is")]
pub(crate) struct Unreadable;

/// Why a message cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unwritable {
    #[error("the message has no version {0}")]
    NoSuchVersion(i16),
    #[error("{0} is set and the version does not have it")]
    NotInVersion(&'static str),
    #[error("{0} is null and the version does not allow it")]
    UnexpectedNull(&'static str),
    #[error("a length of {0} exceeds what Kafka allows")]
    TooLong(usize),
}

/// Fails unless `M` has this version.
pub(crate) fn supported<M: Message>(version: i16) -> Result<(), Unwritable> {
    if (M::VERSIONS.min..=M::VERSIONS.max).contains(&version) {
        Ok(())
    } else {
        Err(Unwritable::NoSuchVersion(version))
    }
}

/// Fails with `field` unless its value is the one that a version without it stands for.
pub(crate) fn absent(field: &'static str, is_default: bool) -> Result<(), Unwritable> {
    if is_default {
        Ok(())
    } else {
        Err(Unwritable::NotInVersion(field))
    }
}

/// The size of `message`, by writing it: for messages that are small or written by clients.
pub(crate) fn encoded_len<M: Encodable>(message: &M, version: i16) -> anyhow::Result<usize> {
    let mut scratch = Vec::new();
    message.encode(&mut scratch, version)?;
    Ok(scratch.len())
}

/// Kafka's limit for a string in either encoding.
const STRING_MAX: usize = 0x7fff;

impl Layout {
    /// The layout of `version`, of a message that is flexible from `flexible_from` on.
    pub(crate) fn of(version: i16, flexible_from: i16) -> Self {
        if version >= flexible_from {
            Layout::Flexible
        } else {
            Layout::Rigid
        }
    }

    pub(crate) fn read_string<B: ByteBuf>(self, buf: &mut B) -> anyhow::Result<StrBytes> {
        Ok(self.read_nullable_string(buf)?.ok_or(Unreadable)?)
    }

    pub(crate) fn read_nullable_string<B: ByteBuf>(
        self,
        buf: &mut B,
    ) -> anyhow::Result<Option<StrBytes>> {
        let length = match self {
            Layout::Flexible => compact_length(buf)?,
            Layout::Rigid => plain_length(i64::from(buf.try_get_i16()?))?,
        };
        let Some(length) = length else {
            return Ok(None);
        };
        Ok(Some(StrBytes::from_utf8(buf.try_get_bytes(length)?)?))
    }

    pub(crate) fn read_array<B: ByteBuf, T>(
        self,
        buf: &mut B,
        element: impl FnMut(&mut B) -> anyhow::Result<T>,
    ) -> anyhow::Result<Vec<T>> {
        Ok(self.read_nullable_array(buf, element)?.ok_or(Unreadable)?)
    }

    pub(crate) fn read_nullable_array<B: ByteBuf, T>(
        self,
        buf: &mut B,
        mut element: impl FnMut(&mut B) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<Vec<T>>> {
        let count = match self {
            Layout::Flexible => compact_length(buf)?,
            Layout::Rigid => plain_length(i64::from(buf.try_get_i32()?))?,
        };
        let Some(count) = count else {
            return Ok(None);
        };
        // Every element takes a byte at least, so more of them than bytes is a lie.
        if count > buf.remaining() {
            return Err(Unreadable.into());
        }
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(buf)?);
        }
        Ok(Some(elements))
    }

    /// The tagged fields at the end of a structure that defines none; rigid structures have no such end.
    pub(crate) fn read_tags<B: ByteBuf>(self, buf: &mut B) -> anyhow::Result<BTreeMap<i32, Bytes>> {
        let mut fields = BTreeMap::new();
        if self == Layout::Rigid {
            return Ok(fields);
        }
        for _ in 0..read_varint(buf)? {
            let tag = read_varint(buf)?;
            let size = read_varint(buf)?;
            fields.insert(tag as i32, buf.try_get_bytes(size as usize)?);
        }
        Ok(fields)
    }

    pub(crate) fn write_string<B: ByteBufMut>(
        self,
        buf: &mut B,
        text: &StrBytes,
    ) -> Result<(), Unwritable> {
        self.write_nullable_string(buf, Some(text))
    }

    pub(crate) fn write_nullable_string<B: ByteBufMut>(
        self,
        buf: &mut B,
        text: Option<&StrBytes>,
    ) -> Result<(), Unwritable> {
        let length = text.map(|text| text.len());
        if let Some(length) = length.filter(|length| *length > STRING_MAX) {
            return Err(Unwritable::TooLong(length));
        }
        match self {
            Layout::Flexible => put_unsigned(buf, length.map_or(0, |length| length + 1)),
            Layout::Rigid => buf.put_i16(length.map_or(-1, |length| length as i16)),
        }
        if let Some(text) = text {
            buf.put_slice(text.as_bytes());
        }
        Ok(())
    }

    pub(crate) fn write_array<B: ByteBufMut, T>(
        self,
        buf: &mut B,
        elements: &[T],
        element: impl FnMut(&mut B, &T) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.write_nullable_array(buf, Some(elements), element)
    }

    pub(crate) fn write_nullable_array<B: ByteBufMut, T>(
        self,
        buf: &mut B,
        elements: Option<&[T]>,
        mut element: impl FnMut(&mut B, &T) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match (self, elements.map(<[T]>::len)) {
            (Layout::Flexible, count) => put_unsigned(buf, count.map_or(0, |count| count + 1)),
            (Layout::Rigid, None) => buf.put_i32(-1),
            (Layout::Rigid, Some(count)) => {
                buf.put_i32(i32::try_from(count).map_err(|_| Unwritable::TooLong(count))?);
            }
        }
        elements
            .unwrap_or_default()
            .iter()
            .try_for_each(|value| element(buf, value))
    }

    /// Writes what [`read_tags`](Self::read_tags) reads. A rigid structure has no place for tagged fields, and
    /// they are dropped: whoever set them cannot count on being understood anyway.
    pub(crate) fn write_tags<B: ByteBufMut>(self, buf: &mut B, fields: &BTreeMap<i32, Bytes>) {
        if self == Layout::Rigid {
            return;
        }
        put_unsigned(buf, fields.len());
        for (tag, content) in fields {
            put_unsigned(buf, *tag as u32 as usize);
            put_unsigned(buf, content.len());
            buf.put_slice(content);
        }
    }
}

fn plain_length(length: i64) -> Result<Option<usize>, Unreadable> {
    match length {
        -1 => Ok(None),
        length => usize::try_from(length).map(Some).map_err(|_| Unreadable),
    }
}

fn compact_length<B: ByteBuf>(buf: &mut B) -> anyhow::Result<Option<usize>> {
    Ok((read_varint(buf)? as usize).checked_sub(1))
}

fn read_varint<B: ByteBuf>(buf: &mut B) -> anyhow::Result<u32> {
    let mut value = 0;
    for shift in [0, 7, 14, 21, 28] {
        let byte = u32::from(buf.try_get_u8()?);
        value |= (byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Unreadable.into())
}

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::*;

    fn bytes(write: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut buf = Vec::new();
        write(&mut buf);
        buf
    }

    #[test]
    fn a_string_has_two_bytes_of_length_or_one_more_than_its_length() {
        let text = StrBytes::from_static_str("ab");
        let written =
            |layout: Layout, text| bytes(|buf| layout.write_nullable_string(buf, text).unwrap());
        assert_eq!(written(Layout::Rigid, Some(&text)), [0, 2, b'a', b'b']);
        assert_eq!(written(Layout::Flexible, Some(&text)), [3, b'a', b'b']);
        assert_eq!(written(Layout::Rigid, None), [0xff, 0xff]);
        assert_eq!(written(Layout::Flexible, None), [0]);
    }

    #[test]
    fn a_string_longer_than_kafka_reads_is_not_written() {
        let longest = StrBytes::from_string("a".repeat(STRING_MAX));
        let longer = StrBytes::from_string("a".repeat(STRING_MAX + 1));
        for layout in [Layout::Rigid, Layout::Flexible] {
            assert!(layout.write_string(&mut Vec::new(), &longest).is_ok());
            assert!(layout.write_string(&mut Vec::new(), &longer).is_err());
        }
    }

    #[test]
    fn null_is_read_as_nothing_where_it_may_be_and_refused_elsewhere() {
        for (layout, null) in [
            (Layout::Rigid, &[0xff; 4][..]),
            (Layout::Flexible, &[0; 4][..]),
        ] {
            let mut buf = Bytes::copy_from_slice(null);
            assert_eq!(layout.read_nullable_string(&mut buf.clone()).unwrap(), None);
            assert!(layout.read_string(&mut buf.clone()).is_err());
            let byte = |buf: &mut Bytes| Ok(buf.try_get_u8()?);
            let array = layout.read_nullable_array(&mut buf.clone(), byte);
            assert_eq!(array.unwrap(), None);
            assert!(layout.read_array(&mut buf, byte).is_err());
        }
    }

    #[test]
    fn an_array_of_more_elements_than_bytes_is_refused_before_memory_is_reserved() {
        let lies = [
            (Layout::Rigid, &[0x7f, 0xff, 0xff, 0xff, 1][..]),
            (Layout::Flexible, &[0xff, 0xff, 0xff, 0xff, 0x0f, 1][..]),
        ];
        for (layout, lie) in lies {
            // Two billion of these would end the process.
            let read = layout.read_array(&mut Bytes::copy_from_slice(lie), |_| Ok([0_u64; 128]));
            assert!(read.is_err());
        }
    }

    #[test]
    fn tagged_fields_exist_in_the_flexible_layout_only() {
        let fields = BTreeMap::from([(300, Bytes::from_static(b"x"))]);
        assert_eq!(bytes(|buf| Layout::Rigid.write_tags(buf, &fields)), []);
        let written = bytes(|buf| Layout::Flexible.write_tags(buf, &fields));
        assert_eq!(written, [1, 0xac, 0x02, 1, b'x']);
        let mut written = Bytes::from(written);
        assert_eq!(Layout::Flexible.read_tags(&mut written).unwrap(), fields);
        assert_eq!(
            Layout::Rigid.read_tags(&mut Bytes::new()).unwrap(),
            BTreeMap::new()
        );
    }
}
