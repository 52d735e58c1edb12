//! Decompression bombs: a megabyte or so that would become a gigabyte. One test, so that the memory
//! of the process is the memory of what it does.

#![allow(clippy::unwrap_used, reason = "a test may fail here")]

use std::io::Write;

use tidewater_wire::compress::{self, Codec, Decoder, DecompressError, Encoder};

const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// `size` zero bytes, compressed as one stream.
fn zeros(codec: Codec, size: usize) -> Vec<u8> {
    let mut encoder = Encoder::new(codec, None, Vec::new(), None).unwrap();
    let piece = vec![0; MIB];
    for _ in 0..size / MIB {
        encoder.write_all(&piece).unwrap();
    }
    encoder.finish().unwrap()
}

/// Something that decompresses to a gigabyte, made without compressing a gigabyte: gzip and zstd
/// streams are joined end to end, lz4 and snappy blocks are repeated within their stream.
fn bomb(codec: Codec) -> Vec<u8> {
    let stream = zeros(codec, MIB);
    let (header, end) = match codec {
        Codec::None | Codec::Gzip | Codec::Zstd => (0, 0),
        Codec::Snappy => (16, 0),
        Codec::Lz4 => (7, 4),
    };
    let (blocks, end) = stream.split_at(stream.len() - end);
    let (header, blocks) = blocks.split_at(header);
    // Allocated once, so that making the bomb takes no more memory than the bomb.
    let mut bomb = Vec::with_capacity(header.len() + blocks.len() * (GIB / MIB) + end.len());
    bomb.extend_from_slice(header);
    (0..GIB / MIB).for_each(|_| bomb.extend_from_slice(blocks));
    bomb.extend_from_slice(end);
    bomb
}

/// The most memory this process has ever had resident, in bytes.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

#[test]
#[cfg(target_os = "linux")]
fn a_bomb_of_any_codec_goes_off_within_the_limit() {
    let bombs =
        [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd].map(|codec| (codec, bomb(codec)));
    let before = peak_memory();

    for (codec, bomb) in &bombs {
        let limit = 8 * MIB;
        let outcome = compress::decompress(*codec, bomb, limit);
        assert_eq!(
            outcome,
            Err(DecompressError::TooLarge {
                codec: *codec,
                limit
            })
        );
    }
    // The output grows to the limit, and for a moment has its old and its new place.
    let whole = peak_memory() - before;
    assert!(whole < 32 * MIB, "{whole} bytes more than before");

    for (codec, bomb) in &bombs {
        let limit = 512 * MIB;
        let mut decoder = Decoder::new(*codec, bomb, limit).unwrap();
        let mut window = [0; 8 * 1024];
        let mut produced = 0;
        let error = loop {
            match decoder.read(&mut window) {
                Ok(0) => panic!("{codec}: ended after {produced} bytes"),
                Ok(read) => produced += read,
                Err(error) => break error,
            }
        };
        assert_eq!(
            error,
            DecompressError::TooLarge {
                codec: *codec,
                limit
            }
        );
        assert!(produced <= limit, "{codec}: {produced} bytes");
    }
    // A window or a block of each codec; the largest is zstd's.
    let streamed = peak_memory() - before;
    assert!(streamed < 48 * MIB, "{streamed} bytes more than before");
}
