//! Kafka's codecs as streams that cannot be made to produce more than they were allowed.
//!
//! [`Decoder`] hands out bytes as they are inflated and stops at a limit; no length that a frame
//! claims is allocated before the bytes behind it have been seen. [`Encoder`] writes what Java's
//! clients write: xerial-framed snappy in 32 KiB blocks, lz4 frames of independent 64 KiB blocks
//! without checksums, gzip, zstd. Nothing here knows about records: see [`crate::records`] for what
//! the bytes mean.

mod snappy;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4::liblz4::BlockChecksum;
use lz4::{BlockMode, BlockSize, ContentChecksum};

use snappy::{SnappyDecoder, SnappyEncoder};

/// The largest zstd window accepted, as a power of two: 128 MiB.
///
/// Java's and librdkafka's producers stream without announcing a size, so the frame carries the
/// window of its level: 2 MiB at level 3, 8 MiB at 19 and 128 MiB at 22, whatever the batch holds.
/// A smaller bound would refuse their data. The decoder touches only as much of the window as it
/// has output, which the limit bounds.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// The largest window our own zstd frames ask of a reader: 8 MiB, the most RFC 8878 asks every
/// decoder to support.
const ZSTD_WINDOW_LOG_WRITTEN: u32 = 23;
/// Levels above this one would choose a window larger than [`ZSTD_WINDOW_LOG_WRITTEN`].
const ZSTD_LEVEL_WITH_LARGEST_WINDOW: i32 = 19;
/// Kafka's default of `compression.lz4.level`; it means lz4's fast compressor, and every other
/// level the high one.
const LZ4_LEVEL_FAST: i32 = 9;
/// How much [`decompress`] grows its output by at least.
const GROWTH: usize = 16 * 1024;

/// How the records of a batch are compressed: bits 0 to 2 of its attributes (Kafka's
/// `CompressionType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Records as they are.
    None,
    /// Deflate in a gzip envelope.
    Gzip,
    /// Snappy, in xerial's framing or raw.
    Snappy,
    /// An lz4 frame.
    Lz4,
    /// A zstd frame (KIP-110).
    Zstd,
}

impl Codec {
    /// Every codec, in the order of their ids.
    pub const ALL: [Codec; 5] = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ];

    /// The codec with this id, or `None` for 5, 6 and 7, which no Kafka release has given a
    /// meaning.
    pub fn from_id(id: u8) -> Option<Codec> {
        Codec::ALL.get(usize::from(id)).copied()
    }

    /// The id a batch's attributes carry.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// The name Kafka's configuration uses (`none`, `gzip`, `snappy`, `lz4`, `zstd`).
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }

    /// The codec of a configuration value; `uncompressed` is the topic configuration's word for
    /// `none`.
    pub fn from_name(name: &str) -> Option<Codec> {
        if name == "uncompressed" {
            return Some(Codec::None);
        }
        Codec::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why compressed bytes gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// The data holds more than the caller allows. Nothing is known about how much more.
    #[error("{codec} data decompresses to more than {limit} bytes")]
    TooLarge {
        /// The codec of the data.
        codec: Codec,
        /// What the caller allowed, in bytes.
        limit: usize,
    },
    /// The data is not what its codec would write, or ends too early.
    #[error("{codec} data cannot be decompressed: {reason}")]
    Corrupt {
        /// The codec of the data.
        codec: Codec,
        /// What the codec's library says.
        reason: String,
    },
}

/// Decompresses the whole of `data`.
///
/// Never holds more than `limit` bytes of output, and only as much as has been produced. Fails if
/// the data would give more than `limit` bytes or is damaged. With [`Codec::None`] it is a copy.
pub fn decompress(codec: Codec, data: &[u8], limit: usize) -> Result<Bytes, DecompressError> {
    let mut decoder = Decoder::new(codec, data, limit)?;
    let mut output = Vec::new();
    loop {
        let filled = output.len();
        // One byte past the limit, so that the decoder can tell "exactly the limit" from "more".
        let room = filled
            .max(GROWTH)
            .min(limit.saturating_sub(filled).saturating_add(1));
        output.resize(filled + room, 0);
        let read = decoder.read(&mut output[filled..])?;
        output.truncate(filled + read);
        if read == 0 {
            return Ok(output.into());
        }
    }
}

/// Compresses `data` at `level`; `None` is Kafka's default level of the codec. See
/// [`Encoder::new`].
///
/// Fails only if a compressor cannot be set up for want of memory.
pub fn compress(codec: Codec, level: Option<i32>, data: &[u8]) -> io::Result<Bytes> {
    let size = u64::try_from(data.len()).ok();
    let mut encoder = Encoder::new(codec, level, Vec::new(), size)?;
    encoder.write_all(data)?;
    Ok(encoder.finish()?.into())
}

/// Bytes inflated on demand, up to a limit.
pub struct Decoder<'a> {
    codec: Codec,
    limit: usize,
    produced: usize,
    stream: DecoderStream<'a>,
}

enum DecoderStream<'a> {
    None(&'a [u8]),
    Gzip(Box<MultiGzDecoder<&'a [u8]>>),
    Snappy(SnappyDecoder<'a>),
    Lz4(Option<Box<lz4::Decoder<&'a [u8]>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, &'a [u8]>>),
}

impl<'a> Decoder<'a> {
    /// A stream over `data` that fails rather than give more than `limit` bytes.
    ///
    /// Fails if the codec's library cannot be set up.
    pub fn new(codec: Codec, data: &'a [u8], limit: usize) -> Result<Self, DecompressError> {
        let corrupt = |error: io::Error| DecompressError::Corrupt {
            codec,
            reason: error.to_string(),
        };
        let stream = match codec {
            Codec::None => DecoderStream::None(data),
            // Java's GZIPInputStream reads members one after the other, as this does.
            Codec::Gzip => DecoderStream::Gzip(Box::new(MultiGzDecoder::new(data))),
            Codec::Snappy => DecoderStream::Snappy(SnappyDecoder::new(data)),
            Codec::Lz4 => {
                DecoderStream::Lz4(Some(Box::new(lz4::Decoder::new(data).map_err(corrupt)?)))
            }
            Codec::Zstd => DecoderStream::Zstd(Box::new(zstd_decoder(data).map_err(corrupt)?)),
        };
        Ok(Decoder {
            codec,
            limit,
            produced: 0,
            stream,
        })
    }

    /// Fills the front of `buffer` and says how much; 0 means the end, reached with nothing missing
    /// (or an empty `buffer`).
    ///
    /// Fails once more than the limit has been produced, and on damaged or truncated data.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DecompressError> {
        let left = self.limit - self.produced;
        let room = buffer.len().min(left.saturating_add(1));
        let read = self.read_stream(&mut buffer[..room], left)?;
        if read > left {
            return Err(self.too_large());
        }
        self.produced += read;
        Ok(read)
    }

    fn read_stream(&mut self, buffer: &mut [u8], left: usize) -> Result<usize, DecompressError> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = match &mut self.stream {
            DecoderStream::None(data) => data.read(buffer),
            DecoderStream::Gzip(gzip) => gzip.read(buffer),
            DecoderStream::Snappy(snappy) => {
                let read = snappy.read(buffer, left);
                return read.map_err(|fault| fault.into_error(self.limit));
            }
            DecoderStream::Lz4(lz4) => read_lz4(lz4, buffer),
            DecoderStream::Zstd(zstd) => zstd.read(buffer),
        };
        read.map_err(|error| DecompressError::Corrupt {
            codec: self.codec,
            reason: error.to_string(),
        })
    }

    fn too_large(&self) -> DecompressError {
        DecompressError::TooLarge {
            codec: self.codec,
            limit: self.limit,
        }
    }
}

fn zstd_decoder(data: &[u8]) -> io::Result<zstd::stream::read::Decoder<'static, &[u8]>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(data)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

/// The lz4 crate reports a truncated frame as an ordinary end; only `finish` tells the two apart.
fn read_lz4(
    decoder: &mut Option<Box<lz4::Decoder<&[u8]>>>,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let Some(stream) = decoder else { return Ok(0) };
    let read = stream.read(buffer)?;
    if read == 0
        && let Some(stream) = decoder.take()
    {
        let (_, complete) = stream.finish();
        complete
            .map_err(|_| io::Error::new(io::ErrorKind::UnexpectedEof, "the frame is incomplete"))?;
    }
    Ok(read)
}

/// Compresses what is written to it into `W`. Nothing is complete before [`Encoder::finish`].
pub struct Encoder<W: Write>(EncoderStream<W>);

enum EncoderStream<W: Write> {
    None(W),
    Gzip(Box<GzEncoder<W>>),
    Snappy(Box<SnappyEncoder<W>>),
    Lz4(Box<lz4::Encoder<W>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, W>>),
}

impl<W: Write> Encoder<W> {
    /// A compressor writing into `sink`.
    ///
    /// `level` means what Kafka's `compression.{gzip,lz4,zstd}.level` mean, `None` being their
    /// defaults (gzip 6, lz4's fast compressor, zstd 3); a level outside a codec's range is taken
    /// as the nearest one inside. Snappy has no levels. `input_bytes` is the exact length of what
    /// will be written, if known: zstd then sizes its tables by it.
    ///
    /// Fails if `sink` does, or if a compressor cannot be set up for want of memory.
    pub fn new(
        codec: Codec,
        level: Option<i32>,
        sink: W,
        input_bytes: Option<u64>,
    ) -> io::Result<Self> {
        Ok(Encoder(match codec {
            Codec::None => EncoderStream::None(sink),
            Codec::Gzip => EncoderStream::Gzip(Box::new(GzEncoder::new(sink, gzip_level(level)))),
            Codec::Snappy => EncoderStream::Snappy(Box::new(SnappyEncoder::new(sink)?)),
            Codec::Lz4 => EncoderStream::Lz4(Box::new(lz4_encoder(level, sink)?)),
            Codec::Zstd => EncoderStream::Zstd(Box::new(zstd_encoder(level, sink, input_bytes)?)),
        }))
    }

    /// Writes what is still held back, and the end mark; gives the sink back. Fails if the sink
    /// does.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            EncoderStream::None(sink) => Ok(sink),
            EncoderStream::Gzip(gzip) => gzip.finish(),
            EncoderStream::Snappy(snappy) => snappy.finish(),
            EncoderStream::Lz4(lz4) => {
                let (sink, outcome) = lz4.finish();
                outcome.map(|()| sink)
            }
            EncoderStream::Zstd(zstd) => zstd.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            EncoderStream::None(sink) => sink.write(data),
            EncoderStream::Gzip(gzip) => gzip.write(data),
            EncoderStream::Snappy(snappy) => snappy.write(data),
            EncoderStream::Lz4(lz4) => lz4.write(data),
            EncoderStream::Zstd(zstd) => zstd.write(data),
        }
    }

    /// Does nothing: a flush would end a block early, and a batch is only of use when finished.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Kafka's −1 and our `None` both stand for zlib's default, 6.
fn gzip_level(level: Option<i32>) -> flate2::Compression {
    match level.and_then(|level| u32::try_from(level).ok()) {
        Some(level) => flate2::Compression::new(level.clamp(1, 9)),
        None => flate2::Compression::default(),
    }
}

/// The frame Java's `Lz4BlockOutputStream` writes; its reader refuses blocks that depend on each
/// other.
fn lz4_encoder<W: Write>(level: Option<i32>, sink: W) -> io::Result<lz4::Encoder<W>> {
    let level = match level.unwrap_or(LZ4_LEVEL_FAST) {
        LZ4_LEVEL_FAST => 0,
        // Below 2 the library would fall back to its fast compressor; above 12 it has nothing more
        // to give.
        level => level.clamp(2, 12).unsigned_abs(),
    };
    lz4::EncoderBuilder::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Independent)
        .block_checksum(BlockChecksum::NoBlockChecksum)
        .checksum(ContentChecksum::NoChecksum)
        .level(level)
        .build(sink)
}

fn zstd_encoder<W: Write>(
    level: Option<i32>,
    sink: W,
    input_bytes: Option<u64>,
) -> io::Result<zstd::stream::write::Encoder<'static, W>> {
    let range = zstd::compression_level_range();
    let level = level
        .unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL)
        .clamp(*range.start(), *range.end());
    let mut encoder = zstd::stream::write::Encoder::new(sink, level)?;
    if level > ZSTD_LEVEL_WITH_LARGEST_WINDOW {
        encoder.window_log(ZSTD_WINDOW_LOG_WRITTEN)?;
    }
    encoder.set_pledged_src_size(input_bytes)?;
    Ok(encoder)
}
