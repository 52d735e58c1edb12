use proptest::prelude::*;
use wire::batch::{Attributes, BatchBuilder, BatchOptions, records};
use wire::compress::compress;

use super::*;

const NOW: i64 = 1_800_000_000_000;
const HOUR: i64 = 3_600_000;

/// One record of a crafted batch.
#[derive(Clone, Copy)]
struct Sent<'a> {
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

fn sent(timestamp: i64) -> Sent<'static> {
    Sent {
        timestamp,
        key: Some(b"key"),
        value: Some(b"value"),
    }
}

fn build(options: BatchOptions, records: &[Sent<'_>]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for record in records {
        builder
            .append(record.timestamp, record.key, record.value, &[])
            .unwrap();
    }
    builder.build().unwrap()
}

/// Three good records.
fn good(codec: Codec) -> Bytes {
    let options = BatchOptions {
        codec,
        ..BatchOptions::default()
    };
    build(options, &[sent(NOW - 5), sent(NOW - 1), sent(NOW - 3)])
}

/// A batch made to lie: header and (uncompressed) records changed, then length and checksum put right.
fn forge(codec: Codec, change: impl FnOnce(&mut BatchHeader, &mut Vec<u8>)) -> Bytes {
    let plain = good(Codec::None);
    let mut header = BatchHeader::parse(&plain).unwrap();
    header.attributes = header.attributes.with_codec(codec);
    let mut body = plain[HEADER_LEN..].to_vec();
    change(&mut header, &mut body);
    sealed(header, &compress(codec, None, &body).unwrap())
}

fn forge_header(change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    forge(Codec::None, |header, _| change(header))
}

/// The header's length and checksum made to fit the records given.
fn sealed(header: BatchHeader, body: &[u8]) -> Bytes {
    let batch_length = (HEADER_LEN - LOG_OVERHEAD + body.len()) as i32;
    let header = BatchHeader {
        batch_length,
        ..header
    };
    let mut bytes = [&header.to_bytes()[..], body].concat();
    let crc = batch::compute_crc(&bytes);
    bytes[batch::CRC].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

fn overwritten(at: usize, with: &[u8]) -> Bytes {
    let mut bytes = good(Codec::None).to_vec();
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes.into()
}

fn judge(batch: Bytes, rules: &BatchRules) -> Result<Validated, InvalidBatch> {
    validate(batch, rules, NOW)
}

fn refused(batch: Bytes) -> InvalidBatch {
    judge(batch, &BatchRules::default()).unwrap_err()
}

fn compacted() -> BatchRules {
    BatchRules {
        compacted: true,
        ..BatchRules::default()
    }
}

fn compressing(codec: Codec) -> BatchRules {
    BatchRules {
        compression: CompressionRule::Codec { codec, level: None },
        ..BatchRules::default()
    }
}

fn log_append() -> BatchRules {
    BatchRules {
        message_timestamp_type: TimestampType::LogAppendTime,
        ..BatchRules::default()
    }
}

/// Timestamp, key and value of a record.
type Seen = (i64, Option<Vec<u8>>, Option<Vec<u8>>);

/// The records as a consumer would see them.
fn seen(batch: &[u8]) -> Vec<Seen> {
    let opened = records(batch, 1 << 24).unwrap();
    let header = *opened.header();
    let view = opened.iter().map(Result::unwrap);
    view.map(|view| {
        (
            header.timestamp_of(&view),
            view.key.map(<[u8]>::to_vec),
            view.value.map(<[u8]>::to_vec),
        )
    })
    .collect()
}

#[test]
fn every_way_in_which_a_header_can_lie_is_refused_and_named() {
    let count = |record_count, last_offset_delta| {
        let lie = forge_header(|header| {
            header.record_count = record_count;
            header.last_offset_delta = last_offset_delta;
        });
        (
            lie,
            InvalidBatch::RecordCount {
                record_count,
                last_offset_delta,
            },
        )
    };
    let sequence = |producer_id, producer_epoch, base_sequence| {
        let lie = forge_header(|header| {
            header.producer_id = producer_id;
            header.producer_epoch = producer_epoch;
            header.base_sequence = base_sequence;
        });
        (
            lie,
            InvalidBatch::ProducerSequence {
                producer_id,
                producer_epoch,
                base_sequence,
            },
        )
    };
    let base_offset = |base_offset| {
        (
            forge_header(|header| header.base_offset = base_offset),
            InvalidBatch::BaseOffset { base_offset },
        )
    };
    let attributes = |attributes| forge_header(|header| header.attributes = Attributes(attributes));
    let whole = good(Codec::None);
    let size = whole.len();
    let twice = Bytes::from([&whole[..], &whole].concat());
    let wrong_checksum = {
        let stored = BatchHeader::parse(&whole).unwrap().crc;
        let bytes = overwritten(size - 1, b"!");
        let computed = batch::compute_crc(&bytes);
        (bytes, InvalidBatch::WrongChecksum { stored, computed })
    };
    let table = [
        (Bytes::new(), InvalidBatch::NoBatch),
        (
            overwritten(16, &[0]),
            InvalidBatch::UnsupportedMagic { magic: 0 },
        ),
        (
            overwritten(16, &[1]),
            InvalidBatch::UnsupportedMagic { magic: 1 },
        ),
        (
            overwritten(16, &[3]),
            InvalidBatch::UnsupportedMagic { magic: 3 },
        ),
        (
            whole.slice(..HEADER_LEN - 1),
            InvalidBatch::Corrupt(BatchError::Truncated {
                needed: HEADER_LEN,
                available: HEADER_LEN - 1,
            }),
        ),
        (
            whole.slice(..size - 1),
            InvalidBatch::Corrupt(BatchError::Truncated {
                needed: size,
                available: size - 1,
            }),
        ),
        (
            overwritten(8, &[0xff; 4]),
            InvalidBatch::Corrupt(BatchError::InvalidLength { batch_length: -1 }),
        ),
        (
            overwritten(8, &48i32.to_be_bytes()),
            InvalidBatch::Corrupt(BatchError::InvalidLength { batch_length: 48 }),
        ),
        (
            twice,
            InvalidBatch::MoreThanOneBatch {
                trailing_bytes: size,
            },
        ),
        (
            Bytes::from([&whole[..], b"x"].concat()),
            InvalidBatch::MoreThanOneBatch { trailing_bytes: 1 },
        ),
        base_offset(1),
        base_offset(-1),
        base_offset(i64::MAX),
        wrong_checksum,
        (attributes(5), InvalidBatch::UnsupportedCodec { id: 5 }),
        (attributes(7), InvalidBatch::UnsupportedCodec { id: 7 }),
        count(0, -1),
        count(0, 0),
        count(-1, -2),
        count(i32::MIN, i32::MAX),
        count(3, 3),
        count(2, 2),
        count(3, -1),
        (attributes(0x20), InvalidBatch::ControlBatch),
        (attributes(0x40), InvalidBatch::DeleteHorizon),
        sequence(7, 0, -1),
        sequence(7, -1, 0),
        sequence(7, 0, i32::MIN),
        (attributes(0x10), InvalidBatch::TransactionWithoutProducer),
    ];
    for (batch, expected) in table {
        assert_eq!(refused(batch), expected);
    }
}

#[test]
fn every_way_in_which_records_can_lie_is_refused_and_named() {
    let plain_body = good(Codec::None).slice(HEADER_LEN..);
    // At 0 its length, 1 attributes, 2 timestamp delta, 3 offset delta, 4 key, 8 value, 14 header count.
    let record_len = plain_body.len() / 3;
    assert_eq!(record_len, 15);
    let invalid = |index, error| InvalidBatch::InvalidRecord { index, error };
    let header_says = |count: i32| {
        move |header: &mut BatchHeader, _: &mut Vec<u8>| {
            header.record_count = count;
            header.last_offset_delta = count - 1;
        }
    };
    let body_byte =
        |at: usize, byte: u8| move |_: &mut BatchHeader, body: &mut Vec<u8>| body[at] = byte;
    type Lie<'a> = Box<dyn Fn(&mut BatchHeader, &mut Vec<u8>) + 'a>;
    let table: Vec<(Lie<'_>, InvalidBatch)> = vec![
        (
            Box::new(header_says(4)),
            invalid(3, RecordError::Truncated { wanted: 1, left: 0 }),
        ),
        (
            Box::new(header_says(i32::MAX)),
            invalid(3, RecordError::Truncated { wanted: 1, left: 0 }),
        ),
        (
            Box::new(header_says(2)),
            invalid(1, RecordError::TrailingBytes { bytes: 15 }),
        ),
        (
            Box::new(body_byte(record_len + 3, 6)),
            invalid(
                1,
                RecordError::OffsetDelta {
                    expected: 1,
                    found: 3,
                },
            ),
        ),
        (
            Box::new(body_byte(3, 1)),
            invalid(
                0,
                RecordError::OffsetDelta {
                    expected: 0,
                    found: -1,
                },
            ),
        ),
        (
            Box::new(body_byte(0, 1)),
            invalid(
                0,
                RecordError::NegativeLength {
                    field: "record",
                    length: -1,
                },
            ),
        ),
        (
            Box::new(body_byte(0, 28 + 2)),
            invalid(0, RecordError::UnreadBytes { left: 1 }),
        ),
        (
            Box::new(body_byte(4, 0x7e)),
            invalid(
                0,
                RecordError::Truncated {
                    wanted: 63,
                    left: 10,
                },
            ),
        ),
        (
            Box::new(body_byte(4, 3)),
            invalid(
                0,
                RecordError::NegativeLength {
                    field: "key",
                    length: -2,
                },
            ),
        ),
        (
            Box::new(body_byte(14, 1)),
            invalid(
                0,
                RecordError::NegativeLength {
                    field: "header count",
                    length: -1,
                },
            ),
        ),
        (
            Box::new(body_byte(14, 0x7e)),
            invalid(0, RecordError::TooManyHeaders { count: 63, left: 0 }),
        ),
    ];
    for (lie, expected) in &table {
        assert_eq!(refused(forge(Codec::None, lie)), *expected);
        // The same behind a codec, as soon as something has the batch opened.
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            for rules in [compacted(), compressing(Codec::None)] {
                assert_eq!(
                    judge(forge(codec, lie), &rules).unwrap_err(),
                    *expected,
                    "{codec}"
                );
            }
        }
    }
}

#[test]
fn a_good_batch_is_passed_on_without_being_copied() {
    for codec in Codec::ALL {
        let batch = good(codec);
        let validated = judge(batch.clone(), &BatchRules::default()).unwrap();
        assert_eq!(validated.batch.as_ptr(), batch.as_ptr(), "{codec}");
        assert_eq!(validated.batch, batch);
        assert_eq!(validated.header, BatchHeader::parse(&batch).unwrap());
        assert_eq!(
            (validated.log_append_time_ms, validated.recompressed),
            (-1, false)
        );
    }
}

#[test]
fn idempotent_and_transactional_batches_are_accepted() {
    for (transactional, base_sequence) in [(false, 0), (true, 0), (true, i32::MAX)] {
        let options = BatchOptions {
            producer_id: 0,
            producer_epoch: 0,
            base_sequence,
            transactional,
            ..BatchOptions::default()
        };
        judge(
            build(options, &[sent(NOW), sent(NOW)]),
            &BatchRules::default(),
        )
        .unwrap();
    }
}

#[test]
fn a_batch_may_be_as_large_as_the_topic_says_and_no_larger() {
    let batch = good(Codec::None);
    let exactly = BatchRules {
        max_message_bytes: batch.len(),
        ..BatchRules::default()
    };
    judge(batch.clone(), &exactly).unwrap();
    let (size, max) = (batch.len(), batch.len() - 1);
    let less = BatchRules {
        max_message_bytes: max,
        ..BatchRules::default()
    };
    assert_eq!(
        judge(batch, &less),
        Err(InvalidBatch::TooLarge {
            size,
            max,
            recompressed: false
        })
    );
}

#[test]
fn the_size_is_checked_again_as_stored() {
    let value = vec![b'x'; 10_000];
    let options = BatchOptions {
        codec: Codec::Zstd,
        ..BatchOptions::default()
    };
    let batch = build(
        options,
        &[Sent {
            value: Some(&value),
            ..sent(NOW)
        }],
    );
    assert!(batch.len() < 300);
    let rules = BatchRules {
        max_message_bytes: 5_000,
        ..compressing(Codec::None)
    };
    let outcome = judge(batch.clone(), &rules);
    assert!(
        matches!(
            outcome,
            Err(InvalidBatch::TooLarge {
                size: 5_001..,
                max: 5_000,
                recompressed: true
            })
        ),
        "{outcome:?}"
    );

    let stored = judge(batch, &compressing(Codec::None)).unwrap().batch;
    let exactly = BatchRules {
        max_message_bytes: stored.len(),
        ..compressing(Codec::None)
    };
    judge(
        build(
            BatchOptions {
                codec: Codec::Zstd,
                ..BatchOptions::default()
            },
            &[Sent {
                value: Some(&value),
                ..sent(NOW)
            }],
        ),
        &exactly,
    )
    .unwrap();
}

#[test]
fn a_compacted_topic_names_every_record_without_a_key() {
    for codec in Codec::ALL {
        let keyless = Sent {
            key: None,
            ..sent(NOW)
        };
        let empty_key = Sent {
            key: Some(b""),
            ..sent(NOW)
        };
        let options = BatchOptions {
            codec,
            ..BatchOptions::default()
        };
        let batch = build(options.clone(), &[sent(NOW), keyless, empty_key, keyless]);
        let missing = |index| Rejected {
            index,
            reason: RejectReason::MissingKey,
        };
        let expected = InvalidBatch::RejectedRecords {
            records: vec![missing(1), missing(3)],
            total: 2,
        };
        assert_eq!(judge(batch.clone(), &compacted()), Err(expected), "{codec}");
        judge(batch, &BatchRules::default()).unwrap();
        judge(build(options, &[sent(NOW), empty_key]), &compacted()).unwrap();
    }
}

#[test]
fn no_more_records_are_named_than_a_response_should_carry() {
    let keyless = Sent {
        key: None,
        ..sent(NOW)
    };
    let Err(InvalidBatch::RejectedRecords { records, total }) = judge(
        build(BatchOptions::default(), &[keyless; MAX_REPORTED + 5]),
        &compacted(),
    ) else {
        panic!("keyless records were accepted");
    };
    assert_eq!((records.len(), total), (MAX_REPORTED, MAX_REPORTED + 5));
}

#[test]
fn timestamps_outside_the_bounds_are_refused_record_by_record() {
    let rules = BatchRules {
        message_timestamp_before_max_ms: 1000,
        ..BatchRules::default()
    };
    let accepted = [NOW, NOW - 1000, NOW + HOUR, NO_TIMESTAMP];
    judge(build(BatchOptions::default(), &accepted.map(sent)), &rules).unwrap();

    let out = |index, timestamp| {
        let (earliest, latest) = (NOW - 1000, NOW + HOUR);
        Rejected {
            index,
            reason: RejectReason::TimestampOutOfRange {
                timestamp,
                earliest,
                latest,
            },
        }
    };
    let times = [NOW, NOW - 1001, NOW + HOUR + 1, i64::MAX, 0, -2];
    let records = vec![
        out(1, times[1]),
        out(2, times[2]),
        out(3, times[3]),
        out(4, times[4]),
        out(5, times[5]),
    ];
    let expected = InvalidBatch::InvalidTimestamp { records, total: 5 };
    assert_eq!(
        judge(build(BatchOptions::default(), &times.map(sent)), &rules),
        Err(expected)
    );
}

#[test]
fn the_smallest_timestamp_there_is_lies_out_of_even_the_widest_bounds() {
    let lie = forge(Codec::None, |header, _| header.base_timestamp = i64::MIN);
    assert!(matches!(
        refused(lie),
        InvalidBatch::InvalidTimestamp { total: 3, .. }
    ));
    for max_timestamp in [i64::MIN, i64::MAX] {
        let lie = forge(Codec::Lz4, |header, _| header.max_timestamp = max_timestamp);
        assert!(matches!(
            refused(lie),
            InvalidBatch::InvalidTimestamp { total: 1, .. }
        ));
    }
}

#[test]
fn a_keyless_record_with_a_bad_timestamp_elsewhere_counts_as_a_bad_timestamp() {
    let batch = build(
        BatchOptions::default(),
        &[
            Sent {
                key: None,
                ..sent(NOW)
            },
            sent(NOW + 2 * HOUR),
        ],
    );
    let outcome = judge(batch, &compacted());
    assert!(
        matches!(&outcome, Err(InvalidBatch::InvalidTimestamp { records, total: 2 }) if records[0].index == 0),
        "{outcome:?}"
    );
}

#[test]
fn of_a_compressed_batch_that_stays_closed_the_header_gives_the_timestamp() {
    let batch = build(
        BatchOptions {
            codec: Codec::Lz4,
            ..BatchOptions::default()
        },
        &[sent(NOW), sent(NOW + HOUR + 1)],
    );
    let reason = RejectReason::TimestampOutOfRange {
        timestamp: NOW + HOUR + 1,
        earliest: NOW.saturating_sub(i64::MAX),
        latest: NOW + HOUR,
    };
    let expected = InvalidBatch::InvalidTimestamp {
        records: vec![Rejected { index: 0, reason }],
        total: 1,
    };
    assert_eq!(refused(batch), expected);
}

#[test]
fn a_maximum_timestamp_that_is_not_the_maximum_is_put_right_where_the_records_are_looked_at() {
    for lie in [NOW + 10 * HOUR, 5, NO_TIMESTAMP, i64::MIN] {
        let change = |header: &mut BatchHeader, _: &mut Vec<u8>| header.max_timestamp = lie;
        for (batch, rules) in [
            (forge(Codec::None, change), BatchRules::default()),
            (forge(Codec::Gzip, change), compacted()),
            (forge(Codec::Gzip, change), compressing(Codec::Zstd)),
        ] {
            let validated = judge(batch, &rules).unwrap();
            assert_eq!(validated.header.max_timestamp, NOW - 1);
            assert!(batch::check_crc(&validated.batch));
        }
    }
}

#[test]
fn under_log_append_time_every_record_has_the_time_of_the_append() {
    for (codec, rules) in Codec::ALL.map(|codec| (codec, log_append())) {
        // Far out of any bounds, which do not apply.
        let options = BatchOptions {
            codec,
            ..BatchOptions::default()
        };
        let batch = build(
            options,
            &[sent(5), sent(NOW + 10 * HOUR), sent(NO_TIMESTAMP)],
        );
        let validated = judge(batch.clone(), &rules).unwrap();
        assert_eq!(validated.log_append_time_ms, NOW);
        assert_eq!(
            validated.header.attributes.timestamp_type(),
            TimestampType::LogAppendTime
        );
        assert_eq!(
            validated.header,
            BatchHeader::parse(&validated.batch).unwrap()
        );
        assert!(batch::check_crc(&validated.batch));
        assert!(
            seen(&validated.batch).iter().all(|record| record.0 == NOW),
            "{codec}"
        );
        assert_eq!(validated.batch.len(), batch.len());
        assert_eq!(validated.batch[HEADER_LEN..], batch[HEADER_LEN..]);
    }
}

#[test]
fn the_producers_timestamp_bit_is_cleared_under_create_time_and_refused_under_log_append_time() {
    for codec in [Codec::None, Codec::Snappy] {
        let bit_set = || {
            forge(codec, |header, _| {
                header.attributes = header
                    .attributes
                    .with_timestamp_type(TimestampType::LogAppendTime)
            })
        };
        for rules in [BatchRules::default(), compacted(), compressing(Codec::Zstd)] {
            let validated = judge(bit_set(), &rules).unwrap();
            assert_eq!(
                validated.header.attributes.timestamp_type(),
                TimestampType::CreateTime
            );
            assert_eq!(
                (validated.header.max_timestamp, validated.log_append_time_ms),
                (NOW - 1, -1)
            );
            assert!(batch::check_crc(&validated.batch));
        }
        let reason = RejectReason::LogAppendTimeFromProducer;
        let expected = InvalidBatch::InvalidTimestamp {
            records: vec![Rejected { index: 0, reason }],
            total: 1,
        };
        assert_eq!(judge(bit_set(), &log_append()), Err(expected.clone()));

        let without_time = forge(codec, |header, _| {
            header.attributes = header
                .attributes
                .with_timestamp_type(TimestampType::LogAppendTime);
            header.max_timestamp = NO_TIMESTAMP;
        });
        assert_eq!(judge(without_time, &BatchRules::default()), Err(expected));
    }
}

#[test]
fn records_survive_recompression_from_any_codec_to_any_other() {
    for from in Codec::ALL {
        for to in Codec::ALL {
            for rules in [
                compressing(to),
                BatchRules {
                    compacted: true,
                    ..compressing(to)
                },
            ] {
                let batch = good(from);
                let validated = judge(batch.clone(), &rules).unwrap();
                assert_eq!(validated.recompressed, from != to);
                assert_eq!(validated.header.codec(), Ok(to));
                assert_eq!(
                    validated.header,
                    BatchHeader::parse(&validated.batch).unwrap()
                );
                assert_eq!(validated.header.total_len(), validated.batch.len());
                assert!(batch::check_crc(&validated.batch));
                assert_eq!(seen(&validated.batch), seen(&batch), "{from} to {to}");
            }
        }
    }
}

#[test]
fn a_batch_that_has_the_codec_of_the_topic_is_not_compressed_again() {
    let batch = good(Codec::Zstd);
    let rules = BatchRules {
        compression: CompressionRule::Codec {
            codec: Codec::Zstd,
            level: Some(19),
        },
        ..BatchRules::default()
    };
    assert_eq!(
        judge(batch.clone(), &rules).unwrap().batch.as_ptr(),
        batch.as_ptr()
    );
}

#[test]
fn damaged_compressed_records_are_refused_when_opened() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let header = BatchHeader::parse(&good(codec)).unwrap();
        let batch = sealed(header, b"these bytes are of no codec");
        for rules in [compacted(), compressing(Codec::None)] {
            let outcome = judge(batch.clone(), &rules);
            assert!(
                matches!(outcome, Err(InvalidBatch::Undecodable(_))),
                "{codec}: {outcome:?}"
            );
        }
    }
}

#[test]
fn a_record_too_long_or_a_batch_too_large_when_decompressed_is_refused() {
    let value = vec![0; 50_000];
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let options = BatchOptions {
            codec,
            ..BatchOptions::default()
        };
        let batch = build(
            options,
            &[
                sent(NOW),
                Sent {
                    value: Some(&value),
                    ..sent(NOW)
                },
            ],
        );
        let record = BatchRules {
            max_decompressed_message_bytes: 50_000,
            ..compacted()
        };
        let outcome = judge(batch.clone(), &record);
        let InvalidBatch::InvalidRecord {
            index: 1,
            error: RecordError::TooLong { limit: 50_000, .. },
        } = outcome.unwrap_err()
        else {
            panic!("{codec}: not refused as too long");
        };
        let whole = BatchRules {
            max_decompressed_batch_bytes: 50_000,
            ..compacted()
        };
        assert_eq!(
            judge(batch, &whole),
            Err(InvalidBatch::DecompressedTooLarge { limit: 50_000 })
        );
    }
    // As sent, records are bounded by the batch, which `max.message.bytes` bounds.
    let tight = BatchRules {
        max_decompressed_message_bytes: 1,
        ..BatchRules::default()
    };
    judge(good(Codec::None), &tight).unwrap();
}

proptest! {
    #[test]
    fn damaged_batches_never_panic_and_what_is_accepted_is_sound(
        codec in prop::sample::select(Codec::ALL.to_vec()),
        target in prop::option::of(prop::sample::select(Codec::ALL.to_vec())),
        compacted in any::<bool>(),
        log_append in any::<bool>(),
        damage in prop::collection::vec((21..120usize, any::<u8>()), 0..5),
    ) {
        let mut bytes = good(codec).to_vec();
        for (at, byte) in damage {
            if let Some(target) = bytes.get_mut(at) {
                *target = byte;
            }
        }
        let crc = batch::compute_crc(&bytes);
        bytes[batch::CRC].copy_from_slice(&crc.to_be_bytes());
        let compression = match target {
            Some(codec) => CompressionRule::Codec { codec, level: None },
            None => CompressionRule::Producer,
        };
        let message_timestamp_type = if log_append { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        let rules = BatchRules { compacted, compression, message_timestamp_type, ..BatchRules::default() };
        if let Ok(validated) = judge(bytes.into(), &rules) {
            prop_assert!(batch::check_crc(&validated.batch));
            prop_assert_eq!(validated.header, BatchHeader::parse(&validated.batch).unwrap());
            prop_assert_eq!(validated.header.attributes.timestamp_type(), message_timestamp_type);
            prop_assert_eq!(validated.header.last_offset_delta, validated.header.record_count - 1);
            // What was accepted by looking at the records is accepted again.
            prop_assert!(log_append || judge(validated.batch, &rules).is_ok());
        }
    }
}

#[test]
fn every_compressed_batch_is_opened_if_asked_for() {
    let lie = |header: &mut BatchHeader, _: &mut Vec<u8>| {
        header.record_count = 4;
        header.last_offset_delta = 3;
    };
    let rules = BatchRules {
        open_compressed: true,
        ..BatchRules::default()
    };
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        judge(forge(codec, lie), &BatchRules::default()).unwrap();
        let outcome = judge(forge(codec, lie), &rules);
        assert!(
            matches!(outcome, Err(InvalidBatch::InvalidRecord { index: 3, .. })),
            "{codec}: {outcome:?}"
        );
        judge(good(codec), &rules).unwrap();
    }
}

#[test]
fn a_rejected_record_is_described_in_kafkas_words() {
    let described = |reason| Rejected { index: 4, reason }.to_string();
    assert_eq!(
        described(RejectReason::MissingKey),
        "Compacted topic cannot accept message without key"
    );
    assert_eq!(
        described(RejectReason::TimestampOutOfRange {
            timestamp: 7,
            earliest: 8,
            latest: 9
        }),
        "Timestamp 7 of message with offset 4 is out of range. The timestamp should be within [8, 9]"
    );
}

#[test]
fn timestamps_below_none_leave_the_maximum_at_none() {
    let validated = judge(
        build(BatchOptions::default(), &[sent(-2)]),
        &BatchRules::default(),
    )
    .unwrap();
    assert_eq!(validated.header.max_timestamp, NO_TIMESTAMP);
    assert!(batch::check_crc(&validated.batch));
}
