//! Random messages, built from the decoder's own structs.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

use tidewater_wire::{Bytes, StrBytes, messages};

/// Bytes to make decisions from. Once they are used up every answer is zero, so that a shorter list makes a
/// smaller request and shrinking works.
pub(crate) struct Entropy<'a> {
    left: std::slice::Iter<'a, u8>,
    version: i16,
    flexible: bool,
}

impl<'a> Entropy<'a> {
    pub(crate) fn new(bytes: &'a [u8], version: i16, flexible: bool) -> Self {
        Self {
            left: bytes.iter(),
            version,
            flexible,
        }
    }

    fn byte(&mut self) -> u8 {
        self.left.next().copied().unwrap_or(0)
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    pub(crate) fn has(&self, versions: impl RangeBounds<i16>) -> bool {
        versions.contains(&self.version)
    }

    fn null(&mut self) -> bool {
        self.byte() % 4 == 3
    }

    // Mostly short, sometimes past the border where a compact length takes two bytes.
    fn blob(&mut self) -> Vec<u8> {
        let len = match self.byte() {
            255 => 300,
            short => usize::from(short % 24),
        };
        (0..len).map(|_| self.byte()).collect()
    }

    pub(crate) fn tags(&mut self) -> BTreeMap<i32, Bytes> {
        let count = if self.flexible && self.byte() % 8 == 7 {
            self.byte() % 16
        } else {
            0
        };
        // Tags below 10 may have a meaning.
        (0..count)
            .map(|_| (i32::from(self.byte()) * 97 + 10, Bytes::from(self.blob())))
            .collect()
    }
}

/// A value made from entropy, and the memory it holds besides itself.
pub(crate) trait Random: Sized {
    fn random(from: &mut Entropy) -> Self;

    /// Bytes reserved on the heap, shared frame memory excluded.
    fn heap(&self) -> usize {
        0
    }
}

macro_rules! scalars {
    ($($kind:ty),*) => {$(
        impl Random for $kind {
            fn random(from: &mut Entropy) -> Self {
                Self::from_be_bytes(from.array())
            }
        }
    )*};
}
scalars!(i8, i16, i32, i64);

impl Random for bool {
    fn random(from: &mut Entropy) -> Self {
        from.byte() % 2 == 1
    }
}

// Never NaN, which equals nothing.
impl Random for f64 {
    fn random(from: &mut Entropy) -> Self {
        Self::from(i32::random(from)) / 8.0
    }
}

impl Random for uuid::Uuid {
    fn random(from: &mut Entropy) -> Self {
        Self::from_bytes(from.array())
    }
}

impl Random for Bytes {
    fn random(from: &mut Entropy) -> Self {
        Bytes::from(from.blob())
    }
}

impl Random for StrBytes {
    fn random(from: &mut Entropy) -> Self {
        StrBytes::from_string(String::from_utf8_lossy(&from.blob()).into_owned())
    }
}

macro_rules! newtypes {
    ($($name:ident),*) => {$(
        impl Random for messages::$name {
            fn random(from: &mut Entropy) -> Self {
                Self(Random::random(from))
            }
        }
    )*};
}
newtypes!(BrokerId, GroupId, ProducerId, TopicName, TransactionalId);

impl<T: Random> Random for Option<T> {
    fn random(from: &mut Entropy) -> Self {
        if from.null() {
            None
        } else {
            Some(T::random(from))
        }
    }

    fn heap(&self) -> usize {
        self.as_ref().map_or(0, T::heap)
    }
}

impl<T: Random> Random for Vec<T> {
    fn random(from: &mut Entropy) -> Self {
        let len = match from.byte() {
            255 => 140,
            short => short % 4,
        };
        (0..len).map(|_| T::random(from)).collect()
    }

    fn heap(&self) -> usize {
        self.capacity() * size_of::<T>() + self.iter().map(T::heap).sum::<usize>()
    }
}

// A node of the map has room for 11 entries and a few words of its own, and is half full at worst.
pub(crate) fn tags_heap(tags: &BTreeMap<i32, Bytes>) -> usize {
    tags.len().div_ceil(6) * (11 * (size_of::<i32>() + size_of::<Bytes>()) + 16)
}

macro_rules! present {
    ($from:ident) => {
        true
    };
    ($from:ident $versions:expr) => {
        $from.has($versions)
    };
}

/// Implements [`Random`] for structs of the decoder and of ours, from their documentation: a field without a range
/// exists in every version of its message; `null` says where null is legal when that is not wherever the field exists;
/// `rigid` structs have no tagged section in any version.
macro_rules! random_structs {
    ($($module:ident :: $name:ident $(($rigid:ident))? { $($field:ident $([$versions:expr])? $(null [$nulls:expr])?),* })*) => {$(
        impl $crate::random::Random for $module::$name {
            fn random(from: &mut $crate::random::Entropy) -> Self {
                let mut value = Self::default();
                $(if $crate::random::present!(from $($versions)?) {
                    value.$field = $crate::random::Random::random(from);
                    $(if value.$field.is_none() && !from.has($nulls) {
                        value.$field = Some(Default::default());
                    })?
                })*
                $crate::random::random_structs!(@tags $($rigid)? value from);
                value
            }

            fn heap(&self) -> usize {
                $crate::random::random_structs!(@heap $($rigid)? self) $(+ self.$field.heap())*
            }
        }
    )*};
    (@tags rigid $value:ident $from:ident) => {};
    (@tags $value:ident $from:ident) => { $value.unknown_tagged_fields = $from.tags(); };
    (@heap rigid $value:ident) => { 0 };
    (@heap $value:ident) => { $crate::random::tags_heap(&$value.unknown_tagged_fields) };
}

pub(crate) use {present, random_structs};
