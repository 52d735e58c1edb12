use proptest::prelude::*;

use super::*;

fn offset() -> impl Strategy<Value = i64> {
    prop_oneof![0..300i64, 0..=i64::MAX]
}

fn log_id() -> impl Strategy<Value = u64> {
    prop_oneof![0..300u64, any::<u64>()]
}

proptest! {
    #[test]
    fn byte_order_of_index_keys_is_logical_order(
        a in (log_id(), offset(), offset()), b in (log_id(), offset(), offset())
    ) {
        let (left, right) = (index_block(a.0, a.1, a.2), index_block(b.0, b.1, b.2));
        prop_assert_eq!(left.cmp(&right), a.cmp(&b));
        prop_assert!(left.starts_with(&index_prefix(a.0, a.1)));
    }

    #[test]
    fn byte_order_of_segment_and_producer_keys_is_logical_order(
        a in (log_id(), offset()), b in (log_id(), offset())
    ) {
        prop_assert_eq!(segment(a.0, a.1).cmp(&segment(b.0, b.1)), a.cmp(&b));
        prop_assert_eq!(producer(a.0, a.1).cmp(&producer(b.0, b.1)), a.cmp(&b));
        prop_assert_eq!(decode_segment(&segment(a.0, a.1)), Ok(a.1));
        prop_assert_eq!(decode_producer(&producer(a.0, a.1)), Ok(a.1));
    }

    #[test]
    fn byte_order_of_view_keys_is_that_of_logs_and_record_keys(
        a in (log_id(), prop::collection::vec(any::<u8>(), 0..20)), b in (log_id(), prop::collection::vec(any::<u8>(), 0..20))
    ) {
        prop_assert_eq!(view(a.0, &a.1).cmp(&view(b.0, &b.1)), a.cmp(&b));
        prop_assert_eq!(view(a.0, &a.1), [log(Table::View, a.0), a.1].concat());
    }

    #[test]
    fn byte_order_of_aborted_transactions_is_that_of_their_markers(
        log in log_id(), a in (offset(), offset(), offset()), b in (offset(), offset(), offset())
    ) {
        let of = |t: (i64, i64, i64)| AbortedTransaction { last_offset: t.0, producer_id: t.1, first_offset: t.2 };
        prop_assert_eq!(aborted(log, &of(a)).cmp(&aborted(log, &of(b))), (a.0, a.1).cmp(&(b.0, b.1)));
        let decoded = decode_aborted(&aborted(log, &of(a)), &encode_aborted(&of(a)));
        prop_assert_eq!(decoded, Ok(of(a)));
    }

    #[test]
    fn log_map_keys_and_values_come_back(id in any::<u128>(), partition in any::<i32>(), log in log_id(), topic in ".{0,40}") {
        let key = LogKey { topic_id: Uuid::from_u128(id), partition };
        prop_assert_eq!(decode_log_map(&log_map(&key)), Ok(key));
        let identity = LogIdentity { log_id: log, topic };
        prop_assert_eq!(LogIdentity::decode(&identity.encode()), Ok(identity));
    }

    #[test]
    fn checkpoints_and_segment_facts_come_back(n in prop::array::uniform4(offset()), size in any::<u64>(), t in any::<i64>(), sealed: bool) {
        let checkpoint = Checkpoint {
            segment_base: n[0], position: size, log_end_offset: n[1], high_watermark: n[2],
            synced_base: n[3], synced_position: size / 2,
        };
        prop_assert_eq!(Checkpoint::decode(&checkpoint.encode()), Ok(checkpoint));
        let facts = SegmentFacts {
            size, end_offset: n[0], first_timestamp: t, max_timestamp: t, max_timestamp_offset: n[1],
            bytes_since_index: size, sealed,
        };
        prop_assert_eq!(SegmentFacts::decode(&facts.encode()), Ok(facts));
    }

    #[test]
    fn index_blocks_come_back_and_are_searched_like_a_list(
        first in 0..1_000_000i64, steps in prop::collection::vec((1..5000u32, 1..5000u32, any::<i64>()), 1..50), probe in 0..2_000_000i64
    ) {
        let (mut offset, mut position) = (first, 0u32);
        let entries: Vec<IndexEntry> = steps.iter().map(|(by, bytes, timestamp)| {
            let entry = IndexEntry { offset, position, max_timestamp_before: *timestamp };
            offset += i64::from(*by);
            position += bytes;
            entry
        }).collect();
        let (key, value) = (index_block(7, 0, first), encode_index_block(first, &entries));
        let block = IndexBlock::decode(&key, &value).unwrap();
        prop_assert_eq!(block.entries().collect::<Vec<_>>(), entries.clone());
        prop_assert_eq!(
            block.partition_point(|entry| entry.offset <= probe),
            entries.partition_point(|entry| entry.offset <= probe)
        );
    }

    #[test]
    fn epochs_and_producers_come_back(
        epochs in prop::collection::vec((any::<i32>(), offset()), 0..20), epoch in any::<i16>(), coordinator in any::<i32>(),
        start in prop::option::of(offset()), batches in prop::collection::vec((any::<i32>(), any::<i32>(), offset()), 0..5)
    ) {
        prop_assert_eq!(decode_epochs(&encode_epochs(&epochs)), Ok(epochs));
        let mut entry = ProducerEntry::new(epoch);
        entry.coordinator_epoch = coordinator;
        entry.transaction_start = start;
        for (first_sequence, last_sequence, base_offset) in batches {
            entry.push(BatchRange { first_sequence, last_sequence, base_offset, last_offset: base_offset, timestamp: 5 });
        }
        prop_assert_eq!(decode_producer_entry(&encode_producer(&entry)), Ok(entry));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(key in prop::collection::vec(any::<u8>(), 0..60), value in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Checkpoint::decode(&value);
        let _ = SegmentFacts::decode(&value);
        let _ = LogIdentity::decode(&value);
        let _ = decode_log_map(&key);
        let _ = decode_segment(&key);
        let _ = decode_producer(&key);
        let _ = decode_producer_entry(&value);
        let _ = decode_epochs(&value);
        let _ = decode_aborted(&key, &value);
        let _ = decode_number(&value);
        if let Ok(block) = IndexBlock::decode(&key, &value) {
            let _ = block.entries().count();
        }
    }
}
