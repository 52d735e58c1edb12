use proptest::prelude::*;

use super::*;

type OwnedHeader = (Vec<u8>, Option<Vec<u8>>);

#[derive(Debug, Clone)]
struct OwnedRecord {
    timestamp_delta: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<OwnedHeader>,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..300)
}

prop_compose! {
    fn record()(
        timestamp_delta in prop_oneof![any::<i64>(), 0..1_000i64],
        key in prop::option::of(bytes()),
        value in prop::option::of(bytes()),
        headers in prop::collection::vec((bytes(), prop::option::of(bytes())), 0..4),
    ) -> OwnedRecord {
        OwnedRecord { timestamp_delta, key, value, headers }
    }
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_varint(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
        None => put_varint(out, -1),
    }
}

fn encode_one(record: &OwnedRecord, offset_delta: i64) -> Vec<u8> {
    let mut body = vec![0];
    put_varint(&mut body, record.timestamp_delta);
    put_varint(&mut body, offset_delta);
    put_nullable(&mut body, record.key.as_deref());
    put_nullable(&mut body, record.value.as_deref());
    put_varint(&mut body, record.headers.len() as i64);
    for (key, value) in &record.headers {
        put_nullable(&mut body, Some(key));
        put_nullable(&mut body, value.as_deref());
    }
    with_length(&body)
}

fn with_length(body: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    put_varint(&mut record, body.len() as i64);
    record.extend_from_slice(body);
    record
}

fn encode(records: &[OwnedRecord]) -> Vec<u8> {
    let encoded = records
        .iter()
        .zip(0..)
        .map(|(record, delta)| encode_one(record, delta));
    encoded.collect::<Vec<_>>().concat()
}

fn tiny() -> OwnedRecord {
    OwnedRecord {
        timestamp_delta: 0,
        key: None,
        value: None,
        headers: Vec::new(),
    }
}

/// All summaries, or the index and the error of the first bad record.
fn walk<S: Source<Error = RecordError>>(
    mut walk: RecordWalk<S>,
) -> Result<Vec<RecordSummary>, (i32, RecordError)> {
    let mut summaries = Vec::new();
    loop {
        match walk.next_record() {
            Ok(Some(summary)) => summaries.push(summary),
            Ok(None) => return Ok(summaries),
            Err(error) => return Err((walk.index(), error)),
        }
    }
}

fn walk_stream(
    mut body: &[u8],
    count: i32,
    piece: usize,
) -> Result<Vec<RecordSummary>, (i32, RecordError)> {
    let fill = |window: &mut [u8]| -> Result<usize, RecordError> {
        let read = window.len().min(piece).min(body.len());
        window[..read].copy_from_slice(&body[..read]);
        body = &body[read..];
        Ok(read)
    };
    walk(RecordWalk::over_stream(fill, count))
}

fn only_error(body: &[u8], count: i32) -> RecordError {
    let iterated: Vec<_> = RecordIter::new(body, count).strict().collect();
    let error = iterated.last().unwrap().unwrap_err();
    assert_eq!(
        walk(RecordWalk::over_slice(body, count)).unwrap_err().1,
        error
    );
    error
}

proptest! {
    #[test]
    fn records_are_read_as_they_were_written(records in prop::collection::vec(record(), 0..20), piece in 1..100usize) {
        let body = encode(&records);
        let count = records.len() as i32;
        let read: Result<Vec<_>, _> = RecordIter::new(&body, count).strict().collect();
        let read = read.unwrap();
        prop_assert_eq!(read.len(), records.len());
        for (index, (view, record)) in read.iter().zip(&records).enumerate() {
            prop_assert_eq!(view.offset_delta, index as i32);
            prop_assert_eq!(view.timestamp_delta, record.timestamp_delta);
            prop_assert_eq!(view.key, record.key.as_deref());
            prop_assert_eq!(view.value, record.value.as_deref());
            prop_assert_eq!(view.headers.len(), record.headers.len());
            let headers: Vec<OwnedHeader> =
                view.headers.map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(&headers, &record.headers);
        }
        let summaries = walk(RecordWalk::over_slice(&body, count)).unwrap();
        prop_assert_eq!(&summaries, &walk_stream(&body, count, piece).unwrap());
        let keys: Vec<_> = records.iter().map(|record| record.key.is_some()).collect();
        prop_assert_eq!(summaries.iter().map(|summary| summary.has_key).collect::<Vec<_>>(), keys);
    }

    #[test]
    fn memory_and_stream_agree_on_damaged_records(
        records in prop::collection::vec(record(), 1..6),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        count in -1..10i32,
        piece in 1..5000usize,
    ) {
        let mut body = encode(&records);
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let in_memory = walk(RecordWalk::over_slice(&body, count));
        let streamed = walk_stream(&body, count, piece);
        // How many bytes are missing or left over is known in memory only.
        let blurred = |outcome: Result<Vec<RecordSummary>, (i32, RecordError)>| {
            outcome.map_err(|(index, error)| match error {
                RecordError::Truncated { .. } => (index, None),
                RecordError::TrailingBytes { .. } => (index, Some(RecordError::TrailingBytes { bytes: 1 })),
                // A stream learns that a record is cut off only when it gets there.
                _ if body_is_cut_off(&body, index) => (index, None),
                error => (index, Some(error)),
            })
        };
        prop_assert_eq!(blurred(in_memory), blurred(streamed));
    }

    #[test]
    fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200), count in any::<i32>()) {
        let read = RecordIter::new(&body, count).count();
        prop_assert!(read <= body.len() + 1);
    }
}

/// Whether the record at `index` says it is longer than what there is.
fn body_is_cut_off(body: &[u8], index: i32) -> bool {
    let mut source = SliceSource::new(body);
    for _ in 0..index {
        source.enter().unwrap();
    }
    matches!(source.enter(), Err(RecordError::Truncated { .. }))
}

#[test]
fn duplicate_header_keys_are_kept_in_order() {
    let header = |value: &str| (b"trace".to_vec(), Some(value.as_bytes().to_vec()));
    let body = encode(&[OwnedRecord {
        headers: vec![header("a"), header("b"), header("a")],
        ..tiny()
    }]);
    let record = RecordIter::new(&body, 1).next().unwrap().unwrap();
    let values: Vec<_> = record.headers.map(|header| header.value.unwrap()).collect();
    assert_eq!(values, [b"a", b"b", b"a"]);
}

#[test]
fn a_null_key_and_an_empty_key_are_different() {
    let body = encode(&[
        tiny(),
        OwnedRecord {
            key: Some(vec![]),
            value: Some(vec![]),
            ..tiny()
        },
    ]);
    let records: Vec<_> = RecordIter::new(&body, 2).map(Result::unwrap).collect();
    assert_eq!((records[0].key, records[0].value), (None, None));
    assert_eq!(
        (records[1].key, records[1].value),
        (Some(&[][..]), Some(&[][..]))
    );
}

#[test]
fn numbers_of_every_width_come_back() {
    for value in [
        0,
        1,
        -1,
        63,
        64,
        -64,
        -65,
        8191,
        8192,
        i64::from(i32::MAX),
        i64::from(i32::MIN),
        i64::MAX,
        i64::MIN,
    ] {
        let mut encoded = Vec::new();
        put_varint(&mut encoded, value);
        assert_eq!(varlong(&mut SliceSource::within(&encoded)), Ok(value));
        if let Ok(small) = i32::try_from(value) {
            assert_eq!(varint(&mut SliceSource::within(&encoded)), Ok(small));
        }
    }
}

#[test]
fn a_varint_of_too_many_bytes_or_bits_is_refused() {
    let varint_of = |bytes: &[u8]| varint(&mut SliceSource::within(bytes));
    assert_eq!(varint_of(&[0xff; 6]), Err(RecordError::VarintTooLong));
    assert_eq!(
        varint_of(&[0xff, 0xff, 0xff, 0xff, 0x1f]),
        Err(RecordError::VarintTooLong)
    );
    assert_eq!(varint_of(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(i32::MIN));
    let varlong_of = |bytes: &[u8]| varlong(&mut SliceSource::within(bytes));
    assert_eq!(varlong_of(&[0xff; 11]), Err(RecordError::VarintTooLong));
    assert_eq!(
        varlong_of(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
        Err(RecordError::VarintTooLong)
    );
    assert_eq!(
        varlong_of(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        Ok(i64::MIN)
    );
}

#[test]
fn a_record_cut_off_anywhere_is_refused() {
    let record = OwnedRecord {
        timestamp_delta: 300,
        key: Some(b"key".to_vec()),
        value: Some(b"value".to_vec()),
        headers: vec![(b"name".to_vec(), Some(b"content".to_vec()))],
    };
    let body = encode(&[record]);
    for cut in 0..body.len() {
        assert!(
            matches!(only_error(&body[..cut], 1), RecordError::Truncated { .. }),
            "cut at {cut}"
        );
    }
}

#[test]
fn lengths_that_lie_are_refused_and_say_what_they_are() {
    let key_past_the_record = with_length(&[0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f]);
    let past = RecordError::Truncated {
        wanted: i32::MAX as usize,
        left: 0,
    };
    assert_eq!(only_error(&key_past_the_record, 1), past);

    let key_of_minus_two = with_length(&[0, 0, 0, 3]);
    assert_eq!(
        only_error(&key_of_minus_two, 1),
        RecordError::NegativeLength {
            field: "key",
            length: -2
        }
    );

    let header_key_of_null = with_length(&[0, 0, 0, 1, 1, 2, 1, 1]);
    assert_eq!(
        only_error(&header_key_of_null, 1),
        RecordError::NegativeLength {
            field: "header key",
            length: -1
        }
    );

    let negative_header_count = with_length(&[0, 0, 0, 1, 1, 1]);
    assert_eq!(
        only_error(&negative_header_count, 1),
        RecordError::NegativeLength {
            field: "header count",
            length: -1
        }
    );

    let two_thousand_million_headers = with_length(&[0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(
        only_error(&two_thousand_million_headers, 1),
        RecordError::TooManyHeaders {
            count: i32::MAX,
            left: 0
        }
    );

    let fields_end_early = with_length(&[0, 0, 0, 1, 1, 0, 9, 9]);
    assert_eq!(
        only_error(&fields_end_early, 1),
        RecordError::UnreadBytes { left: 2 }
    );

    assert_eq!(
        only_error(&[1], 1),
        RecordError::NegativeLength {
            field: "record",
            length: -1
        }
    );
}

#[test]
fn the_announced_count_has_to_be_the_count() {
    let body = encode(&[tiny(), tiny()]);
    assert_eq!(
        only_error(&body, 1),
        RecordError::TrailingBytes { bytes: 7 }
    );
    assert_eq!(
        only_error(&body, 3),
        RecordError::Truncated { wanted: 1, left: 0 }
    );
    assert_eq!(
        only_error(&body, i32::MAX),
        RecordError::Truncated { wanted: 1, left: 0 }
    );
    assert_eq!(RecordIter::new(&body, -1).count(), 0);
}

#[test]
fn gaps_in_offsets_are_read_but_not_by_the_strict() {
    let body = [encode_one(&tiny(), 0), encode_one(&tiny(), 5)].concat();
    let deltas: Vec<_> = RecordIter::new(&body, 2)
        .map(|record| record.unwrap().offset_delta)
        .collect();
    assert_eq!(deltas, [0, 5]);
    assert_eq!(
        only_error(&body, 2),
        RecordError::OffsetDelta {
            expected: 1,
            found: 5
        }
    );
}

#[test]
fn a_record_longer_than_accepted_is_refused_before_it_is_read() {
    let body = encode(&[
        tiny(),
        OwnedRecord {
            value: Some(vec![0; 94]),
            ..tiny()
        },
    ]);
    let walk_up_to = |limit| walk(RecordWalk::over_slice(&body, 2).with_max_record_bytes(limit));
    assert_eq!(walk_up_to(101).unwrap().len(), 2);
    assert_eq!(
        walk_up_to(100).unwrap_err(),
        (
            1,
            RecordError::TooLong {
                length: 101,
                limit: 100
            }
        )
    );
}
