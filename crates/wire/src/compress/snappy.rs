//! Snappy as Kafka's clients write it: xerial's block framing (Java's `SnappyOutputStream`) or one
//! raw block (librdkafka).

use std::io::{self, Write};

use super::{Codec, DecompressError};

/// What a xerial stream opens with: the magic, then version 1, readable by version 1.
const STREAM_HEADER: [u8; 16] = [
    0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1,
];
/// The part of the header that identifies it.
const MAGIC_LEN: usize = 8;
/// Java's block size, counted before compression.
const BLOCK_LEN: usize = 32 * 1024;
/// No element of a snappy block yields more than this for each byte it takes: a three-byte copy
/// gives at most 64.
const MAX_EXPANSION: usize = 22;

/// Why a block gave no bytes.
pub(super) enum SnappyFault {
    /// The block announces more than may still be produced.
    TooLarge,
    Corrupt(String),
}

impl SnappyFault {
    pub(super) fn into_error(self, limit: usize) -> DecompressError {
        match self {
            SnappyFault::TooLarge => DecompressError::TooLarge {
                codec: Codec::Snappy,
                limit,
            },
            SnappyFault::Corrupt(reason) => DecompressError::Corrupt {
                codec: Codec::Snappy,
                reason,
            },
        }
    }

    fn corrupt(reason: &str) -> Self {
        SnappyFault::Corrupt(reason.to_owned())
    }
}

/// Inflates block after block, holding one of them.
pub(super) struct SnappyDecoder<'a> {
    input: Input<'a>,
    decoder: snap::raw::Decoder,
    block: Vec<u8>,
    taken: usize,
}

enum Input<'a> {
    /// What is left of a xerial stream.
    Framed(&'a [u8]),
    /// The one block of a raw stream, until it is taken.
    Raw(Option<&'a [u8]>),
}

impl<'a> SnappyDecoder<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        let framed =
            data.len() >= STREAM_HEADER.len() && data.starts_with(&STREAM_HEADER[..MAGIC_LEN]);
        let input = if framed {
            Input::Framed(data)
        } else {
            Input::Raw(Some(data))
        };
        SnappyDecoder {
            input,
            decoder: snap::raw::Decoder::new(),
            block: Vec::new(),
            taken: 0,
        }
    }

    /// Fills the front of `buffer`, opening blocks that give at most `left` bytes; 0 is the end.
    pub(super) fn read(&mut self, buffer: &mut [u8], left: usize) -> Result<usize, SnappyFault> {
        while self.taken == self.block.len() {
            match self.input.next_block()? {
                Some(block) => self.open(block, left)?,
                None => return Ok(0),
            }
        }
        let ready = &self.block[self.taken..];
        let read = ready.len().min(buffer.len());
        buffer[..read].copy_from_slice(&ready[..read]);
        self.taken += read;
        Ok(read)
    }

    fn open(&mut self, block: &[u8], left: usize) -> Result<(), SnappyFault> {
        let claimed = snap::raw::decompress_len(block)
            .map_err(|error| SnappyFault::Corrupt(error.to_string()))?;
        if claimed > left {
            return Err(SnappyFault::TooLarge);
        }
        // The claim comes from the sender: it is believed only as far as the bytes present could
        // bear it out.
        if claimed > block.len().saturating_mul(MAX_EXPANSION) {
            return Err(SnappyFault::corrupt("a block claims more than it can hold"));
        }
        self.block.resize(claimed, 0);
        self.taken = 0;
        let decoded = self.decoder.decompress(block, &mut self.block);
        decoded.map_err(|error| SnappyFault::Corrupt(error.to_string()))?;
        Ok(())
    }
}

impl<'a> Input<'a> {
    fn next_block(&mut self) -> Result<Option<&'a [u8]>, SnappyFault> {
        match self {
            Input::Raw(block) => match block.take() {
                Some([]) => Err(SnappyFault::corrupt("there is no block")),
                block => Ok(block),
            },
            Input::Framed(rest) => {
                // Java's reader accepts streams joined end to end, so a header may stand before any
                // block.
                while rest.starts_with(&STREAM_HEADER[..MAGIC_LEN]) {
                    *rest = rest
                        .get(STREAM_HEADER.len()..)
                        .ok_or(SnappyFault::corrupt("a stream header is cut off"))?;
                }
                take_framed(rest)
            }
        }
    }
}

/// One block: a big-endian length and that many bytes.
fn take_framed<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, SnappyFault> {
    if rest.is_empty() {
        return Ok(None);
    }
    let cut_off = || SnappyFault::corrupt("a block is cut off");
    let (length, after) = rest.split_first_chunk::<4>().ok_or_else(cut_off)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| cut_off())?;
    let (block, after) = after.split_at_checked(length).ok_or_else(cut_off)?;
    *rest = after;
    Ok(Some(block))
}

/// Writes a xerial stream, holding back less than one block.
pub(super) struct SnappyEncoder<W: Write> {
    sink: W,
    encoder: snap::raw::Encoder,
    pending: Vec<u8>,
    compressed: Vec<u8>,
}

impl<W: Write> SnappyEncoder<W> {
    pub(super) fn new(mut sink: W) -> io::Result<Self> {
        sink.write_all(&STREAM_HEADER)?;
        let compressed = vec![0; snap::raw::max_compress_len(BLOCK_LEN)];
        Ok(SnappyEncoder {
            sink,
            encoder: snap::raw::Encoder::new(),
            pending: Vec::new(),
            compressed,
        })
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        if !self.pending.is_empty() {
            self.write_pending()?;
        }
        Ok(self.sink)
    }

    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let room = BLOCK_LEN - self.pending.len();
        let taken = room.min(data.len());
        self.pending.extend_from_slice(&data[..taken]);
        if self.pending.len() == BLOCK_LEN {
            self.write_pending()?;
        }
        Ok(taken)
    }

    fn write_pending(&mut self) -> io::Result<()> {
        let length = self
            .encoder
            .compress(&self.pending, &mut self.compressed)
            .map_err(io::Error::other)?;
        self.pending.clear();
        let prefix = u32::try_from(length)
            .map_err(io::Error::other)?
            .to_be_bytes();
        self.sink.write_all(&prefix)?;
        self.sink.write_all(&self.compressed[..length])
    }
}
