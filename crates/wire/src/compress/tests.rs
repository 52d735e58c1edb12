use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1 << 20;

/// Compressible and incompressible stretches, long enough to span several blocks of every codec.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let stretch = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2_000),
        (any::<u8>(), 0..100_000usize).prop_map(|(byte, len)| vec![byte; len]),
        (0..5_000usize).prop_map(|count| "some text, again ".repeat(count).into_bytes()),
    ];
    prop::collection::vec(stretch, 0..4).prop_map(|stretches| stretches.concat())
}

fn codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(Codec::ALL.to_vec())
}

fn compressed(codec: Codec, data: &[u8]) -> Vec<u8> {
    compress(codec, None, data).unwrap().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_compressed_decompresses_to_the_same(
        codec in codec(), level in prop::option::of(-5..25i32), data in payload(),
    ) {
        let bytes = compress(codec, level, &data).unwrap();
        prop_assert_eq!(decompress(codec, &bytes, data.len()).unwrap(), data);
    }

    #[test]
    fn one_byte_less_than_needed_is_refused_and_the_error_names_the_limit(codec in codec(), data in payload()) {
        prop_assume!(!data.is_empty());
        let limit = data.len() - 1;
        let outcome = decompress(codec, &compressed(codec, &data), limit);
        prop_assert_eq!(outcome, Err(DecompressError::TooLarge { codec, limit }));
    }

    #[test]
    fn writing_in_pieces_gives_the_same_data(codec in codec(), data in payload(), piece in 1..50_000usize) {
        let mut encoder = Encoder::new(codec, None, Vec::new(), None).unwrap();
        for piece in data.chunks(piece) {
            encoder.write_all(piece).unwrap();
        }
        let bytes = encoder.finish().unwrap();
        prop_assert_eq!(decompress(codec, &bytes, data.len()).unwrap(), data);
    }

    #[test]
    fn damaged_data_gives_an_error_or_bounded_output_but_no_panic(
        codec in codec(), data in payload(), at in any::<prop::sample::Index>(), bit in 0..8u8,
    ) {
        let mut bytes = compressed(codec, &data);
        prop_assume!(!bytes.is_empty());
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(output) = decompress(codec, &bytes, LIMIT) {
            prop_assert!(output.len() <= LIMIT);
        }
    }

    #[test]
    fn random_bytes_give_an_error_or_bounded_output_but_no_panic(
        codec in codec(), bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        if let Ok(output) = decompress(codec, &bytes, LIMIT) {
            prop_assert!(output.len() <= LIMIT);
        }
    }
}

#[test]
fn truncated_data_is_an_error_wherever_it_is_cut() {
    let data: Vec<u8> = (0..100_000u32)
        .flat_map(|n| (n / 7).to_le_bytes())
        .collect();
    for codec in Codec::ALL.into_iter().filter(|codec| *codec != Codec::None) {
        let whole = compressed(codec, &data);
        for cut in (0..whole.len())
            .step_by(whole.len() / 97 + 1)
            .chain([whole.len() - 1])
        {
            let outcome = decompress(codec, &whole[..cut], data.len());
            // A xerial stream has no end mark, so a cut between two blocks shows only in what the
            // records say.
            if codec == Codec::Snappy && outcome.is_ok() {
                continue;
            }
            assert!(
                matches!(outcome, Err(DecompressError::Corrupt { .. })),
                "{codec} cut at {cut}: {outcome:?}"
            );
        }
    }
}

#[test]
fn nothing_compresses_to_something_that_decompresses_to_nothing() {
    for codec in Codec::ALL {
        assert_eq!(
            decompress(codec, &compressed(codec, b""), 0).unwrap(),
            Bytes::new(),
            "{codec}"
        );
    }
}

#[test]
fn snappy_is_read_raw_framed_and_framed_twice() {
    let raw = snap::raw::Encoder::new()
        .compress_vec(b"hello hello hello hello")
        .unwrap();
    assert_eq!(
        decompress(Codec::Snappy, &raw, 100).unwrap(),
        "hello hello hello hello"
    );
    let joined = [
        compressed(Codec::Snappy, b"one "),
        compressed(Codec::Snappy, b"two"),
    ]
    .concat();
    assert_eq!(decompress(Codec::Snappy, &joined, 100).unwrap(), "one two");
}

#[test]
fn snappy_is_written_in_the_blocks_java_writes() {
    let written = compressed(Codec::Snappy, &vec![7; 70_000]);
    assert_eq!(&written[..16], b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    let mut rest = &written[16..];
    let mut blocks = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (block, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        blocks.push(snap::raw::decompress_len(block).unwrap());
        rest = after;
    }
    assert_eq!(blocks, [32_768, 32_768, 70_000 - 65_536]);
}

#[test]
fn lz4_is_written_in_the_frames_java_reads() {
    let written = compressed(Codec::Lz4, &vec![7; 70_000]);
    assert_eq!(&written[..4], &0x184D_2204u32.to_le_bytes());
    // Version 1, independent blocks, neither checksums nor content size; 64 KiB blocks.
    assert_eq!(written[4..6], [0b0110_0000, 0b0100_0000]);
    assert_eq!(&written[written.len() - 4..], &[0; 4], "the end mark");
}

#[test]
fn lz4_with_every_option_of_the_frame_is_read() {
    let mut builder = lz4::EncoderBuilder::new();
    builder
        .block_size(BlockSize::Max4MB)
        .block_mode(BlockMode::Linked)
        .content_size(200_000)
        .favor_dec_speed(true);
    let mut encoder = builder.build(Vec::new()).unwrap();
    encoder.write_all(&vec![9; 200_000]).unwrap();
    let (bytes, outcome) = encoder.finish();
    outcome.unwrap();
    assert_eq!(
        decompress(Codec::Lz4, &bytes, 200_000).unwrap(),
        vec![9; 200_000]
    );
}

#[test]
fn a_level_beyond_the_range_is_the_nearest_inside() {
    let data = "level ".repeat(1000);
    for level in [i32::MIN, -1, 0, 1, 100, i32::MAX] {
        for codec in Codec::ALL {
            let bytes = compress(codec, Some(level), data.as_bytes()).unwrap();
            assert_eq!(
                decompress(codec, &bytes, data.len()).unwrap(),
                data,
                "{codec} {level}"
            );
        }
    }
}

/// The window of a zstd frame that does not announce its content size, as a power of two (RFC 8878,
/// 3.1.1.1.2).
fn zstd_window_log(frame: &[u8]) -> u8 {
    assert_eq!(frame[4] & 0b0010_0000, 0, "not a single segment");
    10 + (frame[5] >> 3)
}

#[test]
fn a_producer_at_the_highest_zstd_level_is_read_and_we_do_not_write_such_windows() {
    let data = vec![b'z'; 100_000];
    let mut producer = zstd::stream::write::Encoder::new(Vec::new(), 22).unwrap();
    producer.write_all(&data).unwrap();
    let bytes = producer.finish().unwrap();
    assert_eq!(zstd_window_log(&bytes), 27);
    assert_eq!(decompress(Codec::Zstd, &bytes, data.len()).unwrap(), data);

    let mut ours = Encoder::new(Codec::Zstd, Some(22), Vec::new(), None).unwrap();
    ours.write_all(&data).unwrap();
    assert_eq!(zstd_window_log(&ours.finish().unwrap()), 23);
}

#[test]
fn a_window_larger_than_any_producer_asks_for_is_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.write_all(b"x").unwrap();
    let bytes = encoder.finish().unwrap();
    let outcome = decompress(Codec::Zstd, &bytes, LIMIT);
    assert!(
        matches!(outcome, Err(DecompressError::Corrupt { .. })),
        "{outcome:?}"
    );
}

#[test]
fn a_claimed_length_beyond_the_limit_or_the_bytes_is_refused_without_being_allocated() {
    // Raw snappy: five bytes that announce 4 GiB less one.
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let outcome = decompress(Codec::Snappy, &claim, LIMIT);
    assert_eq!(
        outcome,
        Err(DecompressError::TooLarge {
            codec: Codec::Snappy,
            limit: LIMIT
        })
    );
    let outcome = decompress(Codec::Snappy, &claim, usize::MAX);
    assert!(
        matches!(outcome, Err(DecompressError::Corrupt { .. })),
        "{outcome:?}"
    );

    // Xerial: a block length reaching past the end.
    let mut framed = compressed(Codec::Snappy, b"x");
    framed[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
    let outcome = decompress(Codec::Snappy, &framed, LIMIT);
    assert!(
        matches!(outcome, Err(DecompressError::Corrupt { .. })),
        "{outcome:?}"
    );
}

#[test]
fn codec_ids_and_names_are_kafkas() {
    let named: Vec<_> = Codec::ALL
        .iter()
        .map(|codec| (codec.id(), codec.name()))
        .collect();
    assert_eq!(
        named,
        [
            (0, "none"),
            (1, "gzip"),
            (2, "snappy"),
            (3, "lz4"),
            (4, "zstd")
        ]
    );
    for codec in Codec::ALL {
        assert_eq!(Codec::from_id(codec.id()), Some(codec));
        assert_eq!(Codec::from_name(codec.name()), Some(codec));
    }
    assert_eq!(Codec::from_id(5), None);
    assert_eq!(Codec::from_name("uncompressed"), Some(Codec::None));
    assert_eq!(Codec::from_name("producer"), None);
}
