//! Where record bytes come from: a slice, or a stream seen through a small window.

use super::{RecordError, VARINT_BYTES, varint};

/// Bytes of one record after the other. Reads stay inside the record entered last.
///
/// Public because the types of [`super::RecordWalk`] name it; its two implementations are all there
/// are.
pub trait Source {
    /// What `take` leaves of the bytes it passes.
    type Chunk;
    /// What can go wrong.
    type Error: From<RecordError>;

    /// Reads the length of the next record and confines further reads to it.
    fn enter(&mut self) -> Result<(), Self::Error>;
    /// Ends the record; fails if it has bytes nobody read.
    fn leave(&mut self) -> Result<(), Self::Error>;
    /// One byte of the record.
    fn byte(&mut self) -> Result<u8, Self::Error>;
    /// The next `len` bytes of the record.
    fn take(&mut self, len: usize) -> Result<Self::Chunk, Self::Error>;
    /// How many bytes of the record are left.
    fn left(&self) -> usize;
    /// How many bytes follow the record, as far as is known without reading on: zero if none do.
    fn rest(&mut self) -> Result<usize, Self::Error>;
}

fn record_length(length: i32) -> Result<usize, RecordError> {
    usize::try_from(length).map_err(|_| RecordError::NegativeLength {
        field: "record",
        length,
    })
}

/// Records in memory.
#[derive(Debug, Clone)]
pub struct SliceSource<'a> {
    record: &'a [u8],
    rest: &'a [u8],
}

impl<'a> SliceSource<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        SliceSource {
            record: &[],
            rest: body,
        }
    }

    /// Inside a record already, with `bytes` of it left.
    pub(super) fn within(bytes: &'a [u8]) -> Self {
        SliceSource {
            record: bytes,
            rest: &[],
        }
    }

    /// What is left of the record.
    pub(super) fn record(&self) -> &'a [u8] {
        self.record
    }
}

impl<'a> Source for SliceSource<'a> {
    type Chunk = &'a [u8];
    type Error = RecordError;

    #[inline(always)]
    fn enter(&mut self) -> Result<(), RecordError> {
        self.record = self.rest;
        let wanted = record_length(varint(self)?)?;
        let left = self.record.len();
        let split = self.record.split_at_checked(wanted);
        (self.record, self.rest) = split.ok_or(RecordError::Truncated { wanted, left })?;
        Ok(())
    }

    #[inline(always)]
    fn leave(&mut self) -> Result<(), RecordError> {
        match self.record.len() {
            0 => Ok(()),
            left => Err(RecordError::UnreadBytes { left }),
        }
    }

    #[inline(always)]
    fn byte(&mut self) -> Result<u8, RecordError> {
        let (first, rest) = self
            .record
            .split_first()
            .ok_or(RecordError::Truncated { wanted: 1, left: 0 })?;
        self.record = rest;
        Ok(*first)
    }

    #[inline(always)]
    fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let left = self.record.len();
        let split = self.record.split_at_checked(len);
        let (taken, rest) = split.ok_or(RecordError::Truncated { wanted: len, left })?;
        self.record = rest;
        Ok(taken)
    }

    #[inline(always)]
    fn left(&self) -> usize {
        self.record.len()
    }

    #[inline(always)]
    fn rest(&mut self) -> Result<usize, RecordError> {
        Ok(self.rest.len())
    }
}

/// How much of a stream is seen at once.
const WINDOW: usize = 8 * 1024;

/// Records that come through a window; what has been passed is gone.
pub struct StreamSource<F> {
    fill: F,
    window: Box<[u8; WINDOW]>,
    start: usize,
    end: usize,
    /// Bytes left of the record entered.
    left: usize,
}

impl<F> StreamSource<F> {
    pub(super) fn new(fill: F) -> Self {
        StreamSource {
            fill,
            window: Box::new([0; WINDOW]),
            start: 0,
            end: 0,
            left: 0,
        }
    }

    /// Makes sure a byte is at hand; `false` at the end of the stream.
    #[inline]
    fn refill<E>(&mut self) -> Result<bool, E>
    where
        F: FnMut(&mut [u8]) -> Result<usize, E>,
    {
        if self.start == self.end {
            self.start = 0;
            self.end = (self.fill)(&mut self.window[..])?.min(WINDOW);
        }
        Ok(self.start < self.end)
    }
}

impl<E, F> Source for StreamSource<F>
where
    E: From<RecordError>,
    F: FnMut(&mut [u8]) -> Result<usize, E>,
{
    type Chunk = ();
    type Error = E;

    fn enter(&mut self) -> Result<(), E> {
        self.left = VARINT_BYTES;
        let length = varint(self)?;
        self.left = record_length(length)?;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), E> {
        match self.left {
            0 => Ok(()),
            left => Err(RecordError::UnreadBytes { left }.into()),
        }
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, E> {
        if self.left == 0 || !self.refill()? {
            return Err(RecordError::Truncated { wanted: 1, left: 0 }.into());
        }
        let byte = self.window[self.start];
        self.start += 1;
        self.left -= 1;
        Ok(byte)
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<(), E> {
        if len > self.left {
            return Err(RecordError::Truncated {
                wanted: len,
                left: self.left,
            }
            .into());
        }
        let mut wanted = len;
        while wanted > 0 {
            if !self.refill()? {
                return Err(RecordError::Truncated { wanted, left: 0 }.into());
            }
            let passed = wanted.min(self.end - self.start);
            self.start += passed;
            wanted -= passed;
        }
        self.left -= len;
        Ok(())
    }

    fn left(&self) -> usize {
        self.left
    }

    fn rest(&mut self) -> Result<usize, E> {
        self.refill()?;
        Ok(self.end - self.start)
    }
}
