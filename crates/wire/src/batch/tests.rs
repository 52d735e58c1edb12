use bytes::Bytes;
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
    TimestampType as TheirTimestampType,
};
use proptest::prelude::*;

use super::*;

type OwnedHeader = (String, Option<Vec<u8>>);

#[derive(Debug, Clone)]
struct OwnedRecord {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<OwnedHeader>,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

prop_compose! {
    fn record()(
        timestamp in 0..i64::MAX / 2,
        key in prop::option::of(bytes()),
        value in prop::option::of(bytes()),
        headers in prop::collection::vec(("[a-z]{0,8}", prop::option::of(bytes())), 0..4),
    ) -> OwnedRecord {
        OwnedRecord { timestamp, key, value, headers }
    }
}

prop_compose! {
    fn options()(
        codec in prop::sample::select(Codec::ALL.to_vec()),
        base_offset in any::<i64>(),
        partition_leader_epoch in any::<i32>(),
        log_append in any::<bool>(),
        producer_id in any::<i64>(),
        producer_epoch in any::<i16>(),
        base_sequence in any::<i32>(),
        transactional in any::<bool>(),
        control in any::<bool>(),
    ) -> BatchOptions {
        let timestamp_type = if log_append { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        BatchOptions {
            codec, level: None, base_offset, partition_leader_epoch, timestamp_type,
            producer_id, producer_epoch, base_sequence, transactional, control,
        }
    }
}

fn build(options: BatchOptions, records: &[OwnedRecord]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for record in records {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
            .collect();
        builder
            .append(
                record.timestamp,
                record.key.as_deref(),
                record.value.as_deref(),
                &headers,
            )
            .unwrap();
    }
    builder.build().unwrap()
}

/// Three small records in a valid batch.
fn small_batch() -> Vec<u8> {
    let record = |timestamp| OwnedRecord {
        timestamp,
        key: None,
        value: Some(b"value".to_vec()),
        headers: Vec::new(),
    };
    build(
        BatchOptions::default(),
        &[record(1000), record(3000), record(2000)],
    )
    .to_vec()
}

proptest! {
    #[test]
    fn a_batch_says_what_it_was_built_from(options in options(), records in prop::collection::vec(record(), 1..12)) {
        let batch = build(options.clone(), &records);
        let header = BatchHeader::parse(&batch).unwrap();
        prop_assert!(check_crc(&batch));
        prop_assert_eq!(header.total_len(), batch.len());
        prop_assert_eq!(header.codec().unwrap(), options.codec);
        prop_assert_eq!(header.base_offset, options.base_offset);
        prop_assert_eq!(header.partition_leader_epoch, options.partition_leader_epoch);
        prop_assert_eq!(header.attributes.timestamp_type(), options.timestamp_type);
        prop_assert_eq!(header.attributes.is_transactional(), options.transactional);
        prop_assert_eq!(header.attributes.is_control(), options.control);
        prop_assert_eq!(header.producer_id, options.producer_id);
        prop_assert_eq!(header.producer_epoch, options.producer_epoch);
        prop_assert_eq!(header.base_sequence, options.base_sequence);
        prop_assert_eq!(header.record_count as usize, records.len());
        prop_assert_eq!(header.last_offset_delta, header.record_count - 1);
        prop_assert_eq!(header.max_timestamp, records.iter().map(|record| record.timestamp).max().unwrap());

        let opened = super::records(&batch, 1 << 20).unwrap();
        let views: Vec<_> = opened.iter().map(Result::unwrap).collect();
        prop_assert_eq!(views.len(), records.len());
        for (view, record) in views.iter().zip(&records) {
            let timestamp = match options.timestamp_type {
                TimestampType::CreateTime => record.timestamp,
                TimestampType::LogAppendTime => header.max_timestamp,
            };
            prop_assert_eq!(header.timestamp_of(view), timestamp);
            prop_assert_eq!(view.key, record.key.as_deref());
            prop_assert_eq!(view.value, record.value.as_deref());
            let headers: Vec<OwnedHeader> = view
                .headers
                .map(|header| (String::from_utf8(header.key.to_vec()).unwrap(), header.value.map(<[u8]>::to_vec)))
                .collect();
            prop_assert_eq!(&headers, &record.headers);
        }
    }

    #[test]
    fn a_header_written_is_the_header_read(options in options(), records in prop::collection::vec(record(), 0..3)) {
        let batch = build(options, &records);
        let header = BatchHeader::parse(&batch).unwrap();
        prop_assert_eq!(&header.to_bytes()[..], &batch[..HEADER_LEN]);
    }

    #[test]
    fn an_independent_decoder_reads_what_we_build(
        mut options in options(), records in prop::collection::vec(record(), 1..12),
    ) {
        options.codec = Codec::None;
        options.base_offset &= 0xffff_ffff;
        // That decoder refuses negative ids.
        options.producer_id &= i64::MAX;
        let records: Vec<_> = records.into_iter().map(with_distinct_header_names).collect();
        let decoded = RecordBatchDecoder::decode(&mut build(options.clone(), &records)).unwrap();
        prop_assert_eq!(decoded.records.len(), records.len());
        for (index, (theirs, ours)) in decoded.records.iter().zip(&records).enumerate() {
            prop_assert_eq!(theirs.offset, options.base_offset + index as i64);
            prop_assert_eq!(theirs.timestamp, ours.timestamp);
            prop_assert_eq!(theirs.key.as_deref(), ours.key.as_deref());
            prop_assert_eq!(theirs.value.as_deref(), ours.value.as_deref());
            prop_assert_eq!(theirs.transactional, options.transactional);
            prop_assert_eq!(theirs.control, options.control);
            prop_assert_eq!(theirs.producer_id, options.producer_id);
            prop_assert_eq!(theirs.producer_epoch, options.producer_epoch);
            prop_assert_eq!(theirs.headers.len(), ours.headers.len());
            for ((name, value), (our_name, our_value)) in theirs.headers.iter().zip(&ours.headers) {
                prop_assert_eq!(name.as_str(), our_name.as_str());
                prop_assert_eq!(value.as_deref(), our_value.as_deref());
            }
        }
    }

    #[test]
    fn we_read_what_an_independent_encoder_writes(records in prop::collection::vec(record(), 1..12)) {
        let records: Vec<_> = records.into_iter().map(with_distinct_header_names).collect();
        let theirs: Vec<_> = records.iter().zip(0..).map(|(record, index)| theirs(record, index)).collect();
        let mut encoded = bytes::BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut encoded, &theirs, &options).unwrap();

        let (header, batch) = batches(&encoded).next().unwrap().unwrap();
        prop_assert_eq!(batch.len(), encoded.len());
        prop_assert!(check_crc(batch));
        prop_assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (77, 3, 500));
        let opened = super::records(batch, 0).unwrap();
        prop_assert_eq!(opened.iter().count(), records.len());
        for (index, (view, record)) in opened.iter().zip(&records).enumerate() {
            let view = view.unwrap();
            prop_assert_eq!(header.offset_of(&view), 40 + index as i64);
            prop_assert_eq!(header.timestamp_of(&view), record.timestamp);
            prop_assert_eq!(view.key, record.key.as_deref());
            prop_assert_eq!(view.value, record.value.as_deref());
            prop_assert_eq!(view.headers.len(), record.headers.len());
        }
    }

    #[test]
    fn damaged_batches_never_panic(
        options in options(), records in prop::collection::vec(record(), 1..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut batch = build(options, &records).to_vec();
        for (at, byte) in damage {
            let at = at.index(batch.len());
            batch[at] = byte;
        }
        check_crc(&batch);
        for (header, bytes) in batches(&batch).flatten() {
            let _ = (header.last_offset(), header.next_offset(), header.last_sequence());
            let _ = (ControlType::of_batch(bytes), EndTxnMarker::from_batch(bytes));
            if let Ok(opened) = super::records(bytes, 1 << 20) {
                for view in opened.iter().flatten() {
                    let _ = (header.timestamp_of(&view), header.offset_of(&view), view.headers.count());
                }
            }
        }
    }

    #[test]
    fn any_changed_bit_after_the_checksum_is_noticed(at in ATTRIBUTES.start..61 + 3 * 13, bit in 0..8u8) {
        let mut batch = small_batch();
        let at = at.min(batch.len() - 1);
        batch[at] ^= 1 << bit;
        prop_assert!(!check_crc(&batch));
    }
}

/// The independent implementation keeps headers in a map.
fn with_distinct_header_names(mut record: OwnedRecord) -> OwnedRecord {
    for (index, (name, _)) in record.headers.iter_mut().enumerate() {
        name.push_str(&index.to_string());
    }
    record
}

fn theirs(record: &OwnedRecord, index: i32) -> Record {
    let headers: IndexMap<StrBytes, Option<Bytes>> = record
        .headers
        .iter()
        .map(|(name, value)| {
            (
                StrBytes::from_string(name.clone()),
                value.clone().map(Bytes::from),
            )
        })
        .collect();
    Record {
        transactional: false,
        control: false,
        partition_leader_epoch: 9,
        producer_id: 77,
        producer_epoch: 3,
        timestamp_type: TheirTimestampType::Creation,
        offset: 40 + i64::from(index),
        sequence: 500 + index,
        timestamp: record.timestamp,
        key: record.key.clone().map(Bytes::from),
        value: record.value.clone().map(Bytes::from),
        headers,
        delete_horizon: Default::default(),
    }
}

#[test]
fn a_header_needs_all_its_bytes_and_the_batch_its_own() {
    let batch = small_batch();
    for cut in 0..batch.len() {
        let needed = if cut < HEADER_LEN {
            HEADER_LEN
        } else {
            batch.len()
        };
        assert_eq!(
            BatchHeader::parse(&batch[..cut]),
            Err(BatchError::Truncated {
                needed,
                available: cut
            })
        );
    }
    assert!(BatchHeader::parse_prefix(&batch[..HEADER_LEN]).is_ok());
}

#[test]
fn other_record_formats_are_named_even_where_they_are_shorter_than_our_header() {
    for magic in [0, 1, 3, 255] {
        let mut batch = small_batch();
        batch[MAGIC_AT] = magic;
        assert_eq!(
            BatchHeader::parse(&batch),
            Err(BatchError::UnsupportedMagic { magic })
        );
        assert_eq!(
            BatchHeader::parse(&batch[..30]),
            Err(BatchError::UnsupportedMagic { magic })
        );
    }
}

#[test]
fn a_length_without_room_for_the_header_is_refused() {
    for batch_length in [i32::MIN, -1, 0, 48] {
        let mut batch = small_batch();
        batch[BATCH_LENGTH].copy_from_slice(&batch_length.to_be_bytes());
        assert_eq!(
            BatchHeader::parse(&batch),
            Err(BatchError::InvalidLength { batch_length })
        );
    }
    let mut batch = small_batch();
    batch[BATCH_LENGTH].copy_from_slice(&i32::MAX.to_be_bytes());
    let needed = i32::MAX as usize + LOG_OVERHEAD;
    assert_eq!(
        BatchHeader::parse(&batch),
        Err(BatchError::Truncated {
            needed,
            available: batch.len()
        })
    );
}

#[test]
fn batches_are_found_one_after_the_other_up_to_the_incomplete_one() {
    let batch = small_batch();
    let mut bytes = [&batch[..], &batch, &batch].concat();
    let found: Result<Vec<_>, _> = batches(&bytes).collect();
    assert!(found.unwrap().iter().all(|(_, found)| *found == batch));

    bytes.truncate(batch.len() * 2 + 70);
    let found: Vec<_> = batches(&bytes).collect();
    assert_eq!(found.len(), 3);
    assert_eq!(
        found[2],
        Err(BatchError::Truncated {
            needed: batch.len(),
            available: 70
        })
    );
    assert_eq!(batches(&[]).count(), 0);
}

#[test]
fn placing_a_batch_in_the_log_leaves_its_checksum_alone() {
    let mut batch = small_batch();
    set_base_offset(&mut batch, 1 << 40);
    set_leader_epoch(&mut batch, 12);
    let header = BatchHeader::parse(&batch).unwrap();
    assert_eq!(
        (header.base_offset, header.partition_leader_epoch),
        (1 << 40, 12)
    );
    assert_eq!(
        (header.last_offset(), header.next_offset()),
        ((1 << 40) + 2, (1 << 40) + 3)
    );
    assert!(check_crc(&batch));
}

#[test]
fn log_append_time_is_the_time_of_every_record() {
    let mut batch = small_batch();
    set_max_timestamp_log_append(&mut batch, 7777);
    assert!(check_crc(&batch));
    let opened = records(&batch, 0).unwrap();
    let header = *opened.header();
    assert_eq!(
        header.attributes.timestamp_type(),
        TimestampType::LogAppendTime
    );
    let timestamps: Vec<_> = opened
        .iter()
        .map(|record| header.timestamp_of(&record.unwrap()))
        .collect();
    assert_eq!(timestamps, [7777; 3]);

    set_max_timestamp(&mut batch, TimestampType::CreateTime, 3000);
    assert_eq!(batch, small_batch());
}

#[test]
fn offsets_and_sequences_end_where_their_types_do() {
    let mut header = BatchHeader::parse(&small_batch()).unwrap();
    header.base_offset = i64::MAX;
    assert_eq!(
        (header.last_offset(), header.next_offset()),
        (i64::MAX, i64::MAX)
    );
    assert_eq!(header.last_sequence(), NO_SEQUENCE);
    for (base, last) in [
        (0, 2),
        (i32::MAX - 2, i32::MAX),
        (i32::MAX - 1, 0),
        (i32::MAX, 1),
    ] {
        header.base_sequence = base;
        assert_eq!(header.last_sequence(), last);
    }
}

#[test]
fn codec_ids_without_a_meaning_are_refused() {
    for id in [5, 6, 7] {
        assert_eq!(
            Attributes(i16::from(id)).codec(),
            Err(BatchError::UnknownCodec { id })
        );
    }
    assert_eq!(Attributes(-8).codec(), Ok(Codec::None));
}

#[test]
fn changing_one_attribute_keeps_the_others() {
    let unused_bits = Attributes(0x7f80u16.cast_signed());
    let all = unused_bits
        .with_codec(Codec::Zstd)
        .with_transactional(true)
        .with_control(true);
    let all = all.with_timestamp_type(TimestampType::LogAppendTime);
    assert_eq!(all, Attributes(0x7f80 | 0x3c));
    assert_eq!(all.with_codec(Codec::Gzip).codec(), Ok(Codec::Gzip));
    assert!(!all.with_control(false).is_control() && all.with_control(false).is_transactional());
    assert!(!all.has_delete_horizon() && Attributes(0x40).has_delete_horizon());
}

#[test]
fn a_transaction_marker_comes_back_as_it_was_written() {
    for committed in [true, false] {
        let marker = EndTxnMarker {
            producer_id: 4711,
            producer_epoch: 5,
            committed,
            coordinator_epoch: 9,
        };
        let batch = marker.to_batch(123_456).unwrap();
        let header = BatchHeader::parse(&batch).unwrap();
        assert!(
            header.attributes.is_control()
                && header.attributes.is_transactional()
                && check_crc(&batch)
        );
        assert_eq!(
            (
                header.record_count,
                header.base_sequence,
                header.max_timestamp
            ),
            (1, NO_SEQUENCE, 123_456)
        );
        // Key: version 0, type 0 or 1. Value: version 0, coordinator epoch (KIP-98).
        let opened = records(&batch, 0).unwrap();
        let record = opened.iter().next().unwrap().unwrap();
        assert_eq!(record.key, Some(&[0, 0, 0, u8::from(committed)][..]));
        assert_eq!(record.value, Some(&[0, 0, 0, 0, 0, 9][..]));
        assert_eq!(EndTxnMarker::from_batch(&batch).unwrap(), Some(marker));
    }
}

#[test]
fn an_incomplete_control_record_is_refused_and_a_foreign_one_is_none() {
    let control = |key: Option<&[u8]>, value: Option<&[u8]>| {
        let mut builder = BatchBuilder::new(BatchOptions {
            control: true,
            ..BatchOptions::default()
        });
        builder.append(0, key, value, &[]).unwrap();
        builder.build().unwrap()
    };
    for (key, value) in [
        (None, None),
        (Some(&[0, 0, 0][..]), None),
        (Some(&[0, 0, 0, 1]), None),
        (Some(&[0, 0, 0, 1]), Some(&[0; 5][..])),
    ] {
        let outcome = EndTxnMarker::from_batch(&control(key, value));
        assert!(
            matches!(outcome, Err(BatchError::NotAControlBatch { .. })),
            "{key:?} {value:?}: {outcome:?}"
        );
    }
    let leader_change = control(Some(&[0, 0, 0, 2]), Some(&[]));
    assert_eq!(
        ControlType::of_batch(&leader_change),
        Ok(ControlType::Other(2))
    );
    assert_eq!(EndTxnMarker::from_batch(&leader_change), Ok(None));
    assert!(matches!(
        ControlType::of_batch(&small_batch()),
        Err(BatchError::NotAControlBatch { .. })
    ));
}

#[test]
fn records_are_opened_only_up_to_the_limit() {
    let options = BatchOptions {
        codec: Codec::Zstd,
        ..BatchOptions::default()
    };
    let record = OwnedRecord {
        timestamp: 0,
        key: None,
        value: Some(vec![0; 100_000]),
        headers: Vec::new(),
    };
    let batch = build(options, &[record]);
    assert!(batch.len() < 200);
    let outcome = records(&batch, 100_000).map(|_| ());
    let too_large = DecompressError::TooLarge {
        codec: Codec::Zstd,
        limit: 100_000,
    };
    assert_eq!(outcome, Err(BatchError::Decompress(too_large)));
    assert_eq!(records(&batch, 100_100).unwrap().iter().count(), 1);
}

fn java(name: &str) -> Vec<u8> {
    let path = format!("{}/testdata/batches/{name}.hex", env!("CARGO_MANIFEST_DIR"));
    let digits: String = std::fs::read_to_string(path)
        .unwrap()
        .split_whitespace()
        .collect();
    let bytes = digits.as_bytes().chunks(2);
    bytes
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn java_options(codec: Codec) -> BatchOptions {
    BatchOptions {
        codec,
        producer_id: 4711,
        producer_epoch: 3,
        base_sequence: 17,
        transactional: true,
        ..BatchOptions::default()
    }
}

/// The records of every batch in `testdata/batches` but the marker.
fn java_records(codec: Codec) -> Vec<OwnedRecord> {
    let large = (0..100_000u32)
        .map(|at| b'a' + (at / 50 % 26) as u8)
        .collect();
    let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
    vec![
        OwnedRecord {
            timestamp: 1_700_000_000_000,
            key: Some(b"key".to_vec()),
            value: Some(b"value".to_vec()),
            headers: vec![
                header("trace", Some(b"one")),
                header("trace", None),
                header("", Some(b"two")),
            ],
        },
        OwnedRecord {
            timestamp: 1_700_000_000_500,
            key: None,
            value: Some(if codec == Codec::None {
                b"small".to_vec()
            } else {
                large
            }),
            headers: Vec::new(),
        },
        OwnedRecord {
            timestamp: 1_699_999_999_000,
            key: Some(b"gone".to_vec()),
            value: None,
            headers: Vec::new(),
        },
    ]
}

#[test]
fn batches_that_java_wrote_are_read() {
    for (name, codec) in [
        ("none", Codec::None),
        ("gzip", Codec::Gzip),
        ("snappy", Codec::Snappy),
        ("lz4", Codec::Lz4),
        ("zstd", Codec::Zstd),
        ("zstd-22", Codec::Zstd),
    ] {
        let batch = java(name);
        assert!(check_crc(&batch), "{name}");
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!(header.codec(), Ok(codec), "{name}");
        assert_eq!(
            (
                header.producer_id,
                header.producer_epoch,
                header.base_sequence
            ),
            (4711, 3, 17)
        );
        assert_eq!(
            (header.base_timestamp, header.max_timestamp),
            (1_700_000_000_000, 1_700_000_000_500)
        );
        assert!(header.attributes.is_transactional());
        let opened = records(&batch, 200_000).unwrap();
        for (view, expected) in opened.iter().map(Result::unwrap).zip(java_records(codec)) {
            assert_eq!(header.timestamp_of(&view), expected.timestamp, "{name}");
            assert_eq!(view.key, expected.key.as_deref(), "{name}");
            assert!(view.value == expected.value.as_deref(), "{name}");
            assert_eq!(view.headers.len(), expected.headers.len());
            for (header, (key, value)) in view.headers.zip(&expected.headers) {
                assert_eq!(
                    (header.key, header.value),
                    (key.as_bytes(), value.as_deref())
                );
            }
        }
        assert_eq!(opened.iter().count(), 3);
    }
}

#[test]
fn what_needs_no_compressor_is_written_byte_for_byte_as_java_writes_it() {
    assert_eq!(
        build(java_options(Codec::None), &java_records(Codec::None)),
        java("none")
    );
    let marker = EndTxnMarker {
        producer_id: 4711,
        producer_epoch: 3,
        committed: true,
        coordinator_epoch: 9,
    };
    assert_eq!(marker.to_batch(1_700_000_000_000).unwrap(), java("marker"));
    assert_eq!(
        EndTxnMarker::from_batch(&java("marker")).unwrap(),
        Some(marker)
    );
}
