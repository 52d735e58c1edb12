//! One pass over the bytes of a request: no allocation, no copy, no step the bytes left cannot pay for.

use super::plan::{Element, Step, Tagged};
use crate::error::Malformed;

/// Kafka's limit for a string, in either encoding (`length > 0x7fff` in its generated readers).
const STRING_MAX: usize = 0x7fff;

/// What an array adds to its elements: the allocator's own word and rounding.
const ALLOCATION_OVERHEAD: usize = 16;

/// The decoder keeps unknown tagged fields in a B-tree map per structure, whose smallest node (11 entries
/// of 36 bytes) is allocated for the first entry; a node is at least half full once there are several.
const TAG_NODE: usize = 512;
const TAGS_PER_NODE: usize = 5;

/// Where a walk ended.
pub(super) struct Walked<'a> {
    /// The bytes it did not need.
    pub(super) left: &'a [u8],
    /// What decoding the others allocates at most.
    pub(super) charged: usize,
}

/// Walks `body` from its first byte; `budget` is what decoding may allocate.
pub(super) fn walk<'a>(
    steps: &[Step],
    body: &'a [u8],
    budget: usize,
) -> Result<Walked<'a>, Malformed> {
    walk_codes(steps, body, budget, &mut |_| {})
}

/// [`walk`], and calls `each` with every error code on the way.
pub(super) fn walk_codes<'a>(
    steps: &[Step],
    body: &'a [u8],
    budget: usize,
    each: &mut dyn FnMut(i16),
) -> Result<Walked<'a>, Malformed> {
    let mut walker = Walker {
        left: body,
        budget_left: budget,
        budget,
        code: each,
    };
    walker.run(steps)?;
    Ok(Walked {
        left: walker.left,
        charged: budget - walker.budget_left,
    })
}

struct Walker<'a, 'c> {
    left: &'a [u8],
    budget_left: usize,
    budget: usize,
    code: &'c mut dyn FnMut(i16),
}

impl<'a> Walker<'a, '_> {
    fn run(&mut self, steps: &[Step]) -> Result<(), Malformed> {
        for step in steps {
            match step {
                Step::Skip { field, width } => self.skip(field, *width)?,
                Step::Code { field } => {
                    let code = i16::from_be_bytes(self.fixed(field)?);
                    (self.code)(code);
                }
                Step::String {
                    field,
                    nullable,
                    compact: true,
                } => self.compact_string(field, *nullable)?,
                Step::String {
                    field,
                    nullable,
                    compact: false,
                } => self.string(field, *nullable)?,
                Step::Bytes {
                    field,
                    nullable,
                    compact,
                } => self.bytes(field, *nullable, *compact)?,
                Step::Array {
                    field,
                    nullable,
                    compact,
                    element,
                } => self.array(field, *nullable, *compact, element)?,
                Step::Optional { field, steps } => self.optional(field, steps)?,
                Step::Tags(known) => self.tags(known)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], Malformed> {
        match self.left.split_at_checked(count) {
            Some((head, rest)) => {
                self.left = rest;
                Ok(head)
            }
            None => Err(Malformed::Truncated {
                field,
                needed: count,
                left: self.left.len(),
            }),
        }
    }

    fn skip(&mut self, field: &'static str, count: usize) -> Result<(), Malformed> {
        self.take(field, count).map(drop)
    }

    fn fixed<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Malformed> {
        match self.left.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.left = rest;
                Ok(*head)
            }
            None => Err(Malformed::Truncated {
                field,
                needed: N,
                left: self.left.len(),
            }),
        }
    }

    fn varint(&mut self, field: &'static str) -> Result<u32, Malformed> {
        let [first] = self.fixed(field)?;
        if first < 0x80 {
            return Ok(u32::from(first));
        }
        let mut value = u32::from(first & 0x7f);
        for shift in [7, 14, 21, 28] {
            let [byte] = self.fixed(field)?;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed::VarintTooLong { field })
    }

    fn string(&mut self, field: &'static str, nullable: bool) -> Result<(), Malformed> {
        let length = i16::from_be_bytes(self.fixed(field)?);
        match usize::try_from(length) {
            Ok(length) => self.text(field, length),
            Err(_) => null_or_bad(field, i64::from(length), nullable),
        }
    }

    fn compact_string(&mut self, field: &'static str, nullable: bool) -> Result<(), Malformed> {
        match self.compact_length(field, nullable)? {
            Some(length) if length <= STRING_MAX => self.text(field, length),
            Some(length) => Err(Malformed::BadLength {
                field,
                length: length as i64,
            }),
            None => Ok(()),
        }
    }

    fn text(&mut self, field: &'static str, length: usize) -> Result<(), Malformed> {
        match std::str::from_utf8(self.take(field, length)?) {
            Ok(_) => Ok(()),
            Err(_) => Err(Malformed::NotUtf8 { field }),
        }
    }

    fn bytes(
        &mut self,
        field: &'static str,
        nullable: bool,
        compact: bool,
    ) -> Result<(), Malformed> {
        match self.length(field, nullable, compact)? {
            Some(length) => self.skip(field, length),
            None => Ok(()),
        }
    }

    fn array(
        &mut self,
        field: &'static str,
        nullable: bool,
        compact: bool,
        element: &Element,
    ) -> Result<(), Malformed> {
        let count = match self.length(field, nullable, compact)? {
            None | Some(0) => return Ok(()),
            Some(count) => count,
        };
        if count > self.left.len() / element.smallest {
            return Err(Malformed::TooManyElements {
                field,
                count,
                left: self.left.len(),
            });
        }
        self.charge(
            field,
            count
                .saturating_mul(element.decoded_size)
                .saturating_add(ALLOCATION_OVERHEAD),
        )?;
        if let Some(width) = element.fixed_width {
            return self.skip(field, count.saturating_mul(width));
        }
        for _ in 0..count {
            self.run(&element.steps)?;
        }
        Ok(())
    }

    fn optional(&mut self, field: &'static str, steps: &[Step]) -> Result<(), Malformed> {
        let [marker] = self.fixed(field)?;
        match i8::from_be_bytes([marker]) {
            1 => self.run(steps),
            -1 => Ok(()),
            marker => Err(Malformed::BadPresence { field, marker }),
        }
    }

    #[inline]
    fn tags(&mut self, known: &[Tagged]) -> Result<(), Malformed> {
        match self.varint("tagged fields")? {
            0 => Ok(()),
            count => self.some_tags(count, known),
        }
    }

    fn some_tags(&mut self, count: u32, known: &[Tagged]) -> Result<(), Malformed> {
        let mut unknown = 0_usize;
        for _ in 0..count {
            let tag = self.varint("tagged fields")?;
            let size = self.varint("tagged fields")? as usize;
            if let Some(known) = known.iter().find(|known| known.tag == tag) {
                self.known_tag(known, size)?;
                continue;
            }
            self.skip("tagged fields", size)?;
            if unknown.is_multiple_of(TAGS_PER_NODE) {
                self.charge("tagged fields", TAG_NODE)?;
            }
            unknown += 1;
        }
        Ok(())
    }

    // The decoder believes the content and ignores the size in front of it; they must agree, or it would go
    // on reading from another place than a peer that skips the field.
    fn known_tag(&mut self, known: &Tagged, stated: usize) -> Result<(), Malformed> {
        let Tagged { tag, field, steps } = known;
        let Some(steps) = steps else {
            return Err(Malformed::TagNotInVersion { field, tag: *tag });
        };
        let before = self.left.len();
        self.run(steps)?;
        let actual = before - self.left.len();
        if actual != stated {
            return Err(Malformed::TagSize {
                field,
                stated,
                actual,
            });
        }
        Ok(())
    }

    fn length(
        &mut self,
        field: &'static str,
        nullable: bool,
        compact: bool,
    ) -> Result<Option<usize>, Malformed> {
        if compact {
            return self.compact_length(field, nullable);
        }
        let length = i32::from_be_bytes(self.fixed(field)?);
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) => null_or_bad(field, i64::from(length), nullable).map(|()| None),
        }
    }

    fn compact_length(
        &mut self,
        field: &'static str,
        nullable: bool,
    ) -> Result<Option<usize>, Malformed> {
        match self.varint(field)? {
            0 => null_or_bad(field, -1, nullable).map(|()| None),
            length => Ok(Some(length as usize - 1)),
        }
    }

    fn charge(&mut self, field: &'static str, bytes: usize) -> Result<(), Malformed> {
        match self.budget_left.checked_sub(bytes) {
            Some(left) => {
                self.budget_left = left;
                Ok(())
            }
            None => Err(Malformed::OverBudget {
                field,
                budget: self.budget,
            }),
        }
    }
}

fn null_or_bad(field: &'static str, length: i64, nullable: bool) -> Result<(), Malformed> {
    match length {
        -1 if nullable => Ok(()),
        -1 => Err(Malformed::UnexpectedNull { field }),
        length => Err(Malformed::BadLength { field, length }),
    }
}
