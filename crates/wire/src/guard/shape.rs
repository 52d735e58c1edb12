//! The language the request tables are written in.

use kafka_protocol::protocol::StrBytes;

/// One request or one response: all its versions in one description.
pub(crate) struct MessageShape {
    pub(crate) api_key: i16,
    pub(crate) versions: VersionSpan,
    /// First version with compact lengths and tagged fields; [`NEVER`] for messages that stayed rigid.
    pub(crate) flexible_from: i16,
    pub(crate) body: &'static StructShape,
}

/// A table row: the versions `first..=last`, of which those from `flexible_from` on are flexible.
pub(crate) const fn message(
    api_key: i16,
    first: i16,
    last: i16,
    flexible_from: i16,
    body: &'static StructShape,
) -> MessageShape {
    let versions = VersionSpan { first, last };
    MessageShape {
        api_key,
        versions,
        flexible_from,
        body,
    }
}

/// An inclusive range of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VersionSpan {
    pub(crate) first: i16,
    pub(crate) last: i16,
}

impl VersionSpan {
    pub(crate) const fn contains(self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }
}

/// A version no message reaches.
pub(crate) const NEVER: i16 = i16::MAX;

/// Fields in wire order, and what one decoded value of them occupies.
pub(crate) struct StructShape {
    pub(crate) fields: &'static [Field],
    /// `size_of` the decoder's struct: the price of one array element.
    pub(crate) decoded_size: usize,
}

impl StructShape {
    /// The shape that is decoded into a `T`.
    pub(crate) const fn of<T>(fields: &'static [Field]) -> Self {
        Self {
            fields,
            decoded_size: size_of::<T>(),
        }
    }

    /// The fields of `version` in wire order, tagged ones excluded.
    pub(crate) fn plain_fields(&self, version: i16) -> impl Iterator<Item = &'static Field> {
        let present = move |field: &&Field| field.tag.is_none() && field.versions.contains(version);
        self.fields.iter().filter(present)
    }
}

/// One field, in the versions that have it.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) versions: VersionSpan,
    /// First version in which null is legal.
    pub(crate) nullable_from: i16,
    /// Some: the field travels in the tagged section under this number.
    pub(crate) tag: Option<u32>,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Scalar(Scalar),
    String,
    Bytes,
    /// Record batches: bytes to us, a type of its own in Kafka's schema.
    Records,
    Struct(&'static StructShape),
    Array(&'static Kind),
}

/// Fixed-width values. Any bits are a legal value, so only the width matters to the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Float64,
    Uuid,
}

impl Scalar {
    pub(crate) const fn width(self) -> usize {
        match self {
            Scalar::Boolean | Scalar::Int8 => 1,
            Scalar::Int16 => 2,
            Scalar::Int32 => 4,
            Scalar::Int64 | Scalar::Float64 => 8,
            Scalar::Uuid => 16,
        }
    }
}

impl Kind {
    /// What one decoded value occupies inside its parent, in bytes.
    pub(crate) const fn decoded_size(&self) -> usize {
        match self {
            Kind::Scalar(scalar) => scalar.width(),
            Kind::String => size_of::<StrBytes>(),
            Kind::Bytes | Kind::Records => size_of::<bytes::Bytes>(),
            Kind::Struct(shape) => shape.decoded_size,
            Kind::Array(_) => size_of::<Vec<u8>>(),
        }
    }
}

impl Field {
    pub(crate) const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            versions: VersionSpan {
                first: 0,
                last: NEVER,
            },
            nullable_from: NEVER,
            tag: None,
        }
    }

    /// Present from `version` on.
    pub(crate) const fn since(mut self, version: i16) -> Self {
        self.versions.first = version;
        self
    }

    /// Present up to and including `version`.
    pub(crate) const fn until(mut self, version: i16) -> Self {
        self.versions.last = version;
        self
    }

    /// May be null from `version` on.
    pub(crate) const fn nullable_since(mut self, version: i16) -> Self {
        self.nullable_from = version;
        self
    }

    /// May be null wherever it is present.
    pub(crate) const fn nullable(self) -> Self {
        self.nullable_since(0)
    }

    /// Travels as tagged field number `tag`.
    pub(crate) const fn tagged(mut self, tag: u32) -> Self {
        self.tag = Some(tag);
        self
    }
}

/// Constructors named after Kafka's types, so that a table row reads like the schema it describes.
pub(crate) mod build {
    use super::{Field, Kind, Scalar, StructShape};

    pub(crate) const INT8: Kind = Kind::Scalar(Scalar::Int8);
    pub(crate) const INT32: Kind = Kind::Scalar(Scalar::Int32);
    pub(crate) const INT64: Kind = Kind::Scalar(Scalar::Int64);
    pub(crate) const STRING: Kind = Kind::String;

    pub(crate) const fn boolean(name: &'static str) -> Field {
        Field::new(name, Kind::Scalar(Scalar::Boolean))
    }
    pub(crate) const fn int8(name: &'static str) -> Field {
        Field::new(name, INT8)
    }
    pub(crate) const fn int16(name: &'static str) -> Field {
        Field::new(name, Kind::Scalar(Scalar::Int16))
    }
    pub(crate) const fn int32(name: &'static str) -> Field {
        Field::new(name, INT32)
    }
    pub(crate) const fn int64(name: &'static str) -> Field {
        Field::new(name, INT64)
    }
    pub(crate) const fn float64(name: &'static str) -> Field {
        Field::new(name, Kind::Scalar(Scalar::Float64))
    }
    pub(crate) const fn uuid(name: &'static str) -> Field {
        Field::new(name, Kind::Scalar(Scalar::Uuid))
    }
    pub(crate) const fn string(name: &'static str) -> Field {
        Field::new(name, STRING)
    }
    pub(crate) const fn bytes(name: &'static str) -> Field {
        Field::new(name, Kind::Bytes)
    }
    pub(crate) const fn records(name: &'static str) -> Field {
        Field::new(name, Kind::Records)
    }
    pub(crate) const fn structure(name: &'static str, shape: &'static StructShape) -> Field {
        Field::new(name, Kind::Struct(shape))
    }
    pub(crate) const fn array(name: &'static str, element: &'static Kind) -> Field {
        Field::new(name, Kind::Array(element))
    }
}
