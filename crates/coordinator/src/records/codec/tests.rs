use proptest::prelude::*;

use super::*;

#[test]
fn a_length_beyond_the_end_is_refused_before_anything_is_allocated() {
    let huge = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff, 1]);
    assert_eq!(
        Reader::new(huge.clone()).bytes(),
        Err(RecordError::Truncated)
    );
    assert_eq!(
        Reader::new(huge).list(Reader::i8),
        Err(RecordError::Truncated)
    );
    let compact = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(
        Reader::new(compact.clone()).compact_string(),
        Err(RecordError::Truncated)
    );
    assert_eq!(
        Reader::new(compact).compact_list(Reader::i8),
        Err(RecordError::Truncated)
    );
}

#[test]
fn a_varint_of_six_bytes_or_above_32_bits_is_refused() {
    let six = Bytes::from_static(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x01]);
    assert_eq!(
        Reader::new(six).unsigned_varint(),
        Err(RecordError::BadNumber)
    );
    let wide = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x1f]);
    assert_eq!(
        Reader::new(wide).unsigned_varint(),
        Err(RecordError::BadNumber)
    );
}

#[test]
fn a_negative_length_other_than_null_is_refused() {
    let minus_two = Bytes::from_static(&[0xff, 0xfe]);
    assert_eq!(
        Reader::new(minus_two).nullable_string(),
        Err(RecordError::BadNumber)
    );
}

#[test]
fn unknown_tags_are_skipped_and_known_ones_read() {
    let mut writer = Writer::default();
    writer.tagged_fields(&[
        (0, Bytes::from_static(b"abc")),
        (7, Bytes::from_static(&[9])),
    ]);
    writer.i8(42);
    let mut reader = Reader::new(writer.finish());
    let mut seen = None;
    reader
        .tagged_fields(|tag, field| {
            if tag == 7 {
                seen = Some(field.i8()?);
            }
            Ok(())
        })
        .unwrap();
    assert_eq!((seen, reader.i8()), (Some(9), Ok(42)));
}

proptest! {
    #[test]
    fn reading_undoes_writing(
        number in any::<u32>(), text in ".{0,40}", none in any::<bool>(), blob in proptest::collection::vec(any::<u8>(), 0..50),
        list in proptest::collection::vec(any::<i32>(), 0..20), id in any::<u128>(),
    ) {
        let text = (!none).then_some(text);
        let mut writer = Writer::versioned(3);
        writer.unsigned_varint(number);
        writer.nullable_string(text.as_deref());
        writer.nullable_compact_string(text.as_deref());
        writer.bytes(&blob);
        writer.compact_bytes(&blob);
        writer.list(&list, |w, item| w.i32(*item));
        writer.compact_list(&list, |w, item| w.i32(*item));
        writer.uuid(Uuid::from_u128(id));
        writer.bool(none);
        let mut reader = Reader::new(writer.finish());
        prop_assert_eq!(reader.i16()?, 3);
        prop_assert_eq!(reader.unsigned_varint()?, number);
        prop_assert_eq!(&reader.nullable_string()?, &text);
        prop_assert_eq!(&reader.nullable_compact_string()?, &text);
        prop_assert_eq!(&reader.bytes()?, &blob);
        prop_assert_eq!(&reader.compact_bytes()?, &blob);
        prop_assert_eq!(&reader.list(Reader::i32)?, &list);
        prop_assert_eq!(&reader.compact_list(Reader::i32)?, &list);
        prop_assert_eq!(reader.uuid()?, Uuid::from_u128(id));
        prop_assert_eq!(reader.bool()?, none);
        prop_assert_eq!(reader.remaining(), 0);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), order in proptest::collection::vec(0u8..12, 0..12)) {
        let mut reader = Reader::new(Bytes::from(bytes));
        for step in order {
            let _ = match step {
                0 => reader.string().map(drop),
                1 => reader.nullable_string().map(drop),
                2 => reader.compact_string().map(drop),
                3 => reader.bytes().map(drop),
                4 => reader.compact_bytes().map(drop),
                5 => reader.list(|r| r.string()).map(drop),
                6 => reader.compact_list(|r| r.compact_bytes()).map(drop),
                7 => reader.skip_tagged_fields(),
                8 => reader.unsigned_varint().map(drop),
                9 => reader.uuid().map(drop),
                10 => reader.i64().map(drop),
                _ => reader.nullable_compact_list(|r| r.i16()).map(drop),
            };
        }
    }
}
