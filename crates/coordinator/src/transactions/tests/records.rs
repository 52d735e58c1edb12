//! Byte for byte as Kafka 4.4.0 writes them: the hex is what `TransactionLog.keyToBytes` and `valueToBytes` of its jars
//! gave for the values beside it, with `transaction.version` 2 unless said otherwise.

use bytes::Bytes;
use proptest::prelude::*;

use super::world::partitions;
use crate::CoordinatorRecord;
use crate::records::RecordError;
use crate::transactions::record::{TransactionRecord, partitions_bytes, put, tombstone};
use crate::transactions::*;

const KEY: &str = "0000000a6f72646572732d74c3a9";
const ID: &str = "orders-té";

fn hex(text: &str) -> Bytes {
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

fn ongoing() -> TransactionValue {
    TransactionValue {
        producer_id: 4_000,
        previous_producer_id: Some(4_000),
        next_producer_id: None,
        epoch: 7,
        timeout_ms: 60_000,
        state: TransactionState::Ongoing,
        partitions: partitions(&[("t", 3)]).into_iter().collect(),
        updated_ms: 1_700_000_000_005,
        started_ms: 1_700_000_000_000,
        version: TransactionVersion::V2,
    }
}

fn empty() -> TransactionValue {
    TransactionValue {
        epoch: 0,
        state: TransactionState::Empty,
        partitions: Default::default(),
        updated_ms: 1_700_000_000_000,
        started_ms: -1,
        version: TransactionVersion::V1,
        ..ongoing()
    }
}

fn exhausted() -> TransactionValue {
    TransactionValue {
        next_producer_id: Some(4_001),
        epoch: i16::MAX,
        state: TransactionState::PrepareCommit,
        updated_ms: 1_700_000_000_009,
        ..ongoing()
    }
}

fn rotated() -> TransactionValue {
    TransactionValue {
        producer_id: 4_001,
        epoch: 0,
        state: TransactionState::CompleteCommit,
        partitions: Default::default(),
        updated_ms: 1_700_000_000_010,
        ..ongoing()
    }
}

fn aborted_by_an_old_client() -> TransactionValue {
    TransactionValue {
        state: TransactionState::PrepareAbort,
        updated_ms: 1_700_000_000_009,
        version: TransactionVersion::V1,
        ..ongoing()
    }
}

fn decoded(value: &str) -> Result<TransactionValue, RecordError> {
    let record = CoordinatorRecord {
        key: hex(KEY),
        value: Some(hex(value)),
    };
    match TransactionRecord::decode(&record)? {
        TransactionRecord::Value(id, Some(value)) => {
            assert_eq!(id, ID);
            Ok(value)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_are_written_and_read_as_kafka_does() {
    let cases = [
        (
            empty(),
            "00010000000000000fa000000000ea6000000000018bcfe56800ffffffffffffffff0100080000000000000fa0",
        ),
        (
            ongoing(),
            "00010000000000000fa000070000ea60010202740200000003000000018bcfe568050000018bcfe568000200080000000000000fa002020002",
        ),
        (
            exhausted(),
            "00010000000000000fa07fff0000ea60020202740200000003000000018bcfe568090000018bcfe568000300080000000000000fa001080000000000000fa102020002",
        ),
        (
            rotated(),
            "00010000000000000fa100000000ea6004010000018bcfe5680a0000018bcfe568000200080000000000000fa002020002",
        ),
        (
            aborted_by_an_old_client(),
            "00010000000000000fa000070000ea60030202740200000003000000018bcfe568090000018bcfe568000100080000000000000fa0",
        ),
    ];
    for (value, bytes) in cases {
        let record = put(ID, &value);
        assert_eq!(record.key, hex(KEY));
        assert_eq!(record.value, Some(hex(bytes)), "{value:?}");
        assert_eq!(decoded(bytes), Ok(value));
    }
}

#[test]
fn partitions_are_read_by_topic_in_whatever_order_kafka_has_them() {
    let value = "00010000000000000fa000070000ea600103076f726465727303000000000000000100135f5f636f6e73756d65725f6f6666736574730200000031000000018bcfe568050000018bcfe568000200080000000000000fa002020002";
    let all = [("__consumer_offsets", 49), ("orders", 0), ("orders", 1)];
    let expected = TransactionValue {
        partitions: partitions(&all).into_iter().collect(),
        ..ongoing()
    };
    assert_eq!(decoded(value).as_ref(), Ok(&expected));
    let written = put(ID, &expected).value.unwrap();
    // The two topics may change places; all else is the same.
    assert_eq!(written.len(), hex(value).len());
}

#[test]
fn values_from_before_the_feature_are_read() {
    // `transaction.version` 0: version 0 of the value, without tagged fields.
    let old = |value: TransactionValue| TransactionValue {
        previous_producer_id: None,
        next_producer_id: None,
        version: TransactionVersion::V1,
        ..value
    };
    let cases = [
        (
            empty(),
            "00000000000000000fa000000000ea6000ffffffff0000018bcfe56800ffffffffffffffff",
        ),
        (
            ongoing(),
            "00000000000000000fa000070000ea60010000000100017400000001000000030000018bcfe568050000018bcfe56800",
        ),
        (
            rotated(),
            "00000000000000000fa100000000ea6004000000000000018bcfe5680a0000018bcfe56800",
        ),
    ];
    for (value, bytes) in cases {
        assert_eq!(decoded(bytes), Ok(old(value)));
    }
}

#[test]
fn a_field_for_two_phase_commit_is_passed_over() {
    let value =
        decoded("00010000000000000fa000010000000100000000000000000005ffffffffffffffff0103020009")
            .unwrap();
    assert_eq!((value.producer_id, value.epoch), (4_000, 1));
    assert_eq!(value.previous_producer_id, None);
}

#[test]
fn a_tombstone_is_a_key_alone() {
    let record = tombstone(ID);
    assert_eq!(
        record,
        CoordinatorRecord {
            key: hex(KEY),
            value: None
        }
    );
    assert_eq!(
        TransactionRecord::decode(&record),
        Ok(TransactionRecord::Value(ID.to_owned(), None))
    );
}

#[test]
fn what_is_no_value_of_ours_is_refused() {
    let key_of_another_kind = CoordinatorRecord {
        key: hex("00070000"),
        value: None,
    };
    assert_eq!(
        TransactionRecord::decode(&key_of_another_kind),
        Ok(TransactionRecord::Unknown(7))
    );
    assert!(matches!(
        decoded("0002"),
        Err(RecordError::UnknownVersion { version: 2, .. })
    ));
    // Dead, PrepareEpochFence and a state that does not exist: none is ever stored.
    for state in ["06", "07", "08"] {
        let value =
            format!("00010000000000000fa000000000ea60{state}000000018bcfe56800ffffffffffffffff00");
        assert_eq!(decoded(&value), Err(RecordError::BadNumber));
    }
    // A count of partitions that the record is too short for.
    assert_eq!(
        decoded("00010000000000000fa000000000ea6001ffffffff0f0000"),
        Err(RecordError::Truncated)
    );
    let whole = put(ID, &ongoing()).value.unwrap();
    for len in 0..whole.len() {
        let record = CoordinatorRecord {
            key: hex(KEY),
            value: Some(whole.slice(..len)),
        };
        assert_eq!(
            TransactionRecord::decode(&record),
            Err(RecordError::Truncated)
        );
    }
}

fn any_value() -> impl Strategy<Value = TransactionValue> {
    let partition = ("[a-c]{1,3}", 0..5i32);
    let ids = (
        0..i64::MAX,
        proptest::option::of(0..i64::MAX),
        proptest::option::of(0..i64::MAX),
    );
    let numbers = (any::<i16>(), any::<i32>(), any::<i64>(), any::<i64>());
    let partitions = proptest::collection::btree_set(partition, 0..8);
    (ids, numbers, 0..6i8, partitions, any::<bool>()).prop_map(
        |(ids, numbers, state, named, v2)| {
            let state = TransactionState::by_id(state).unwrap();
            let named: Vec<(&str, i32)> = named
                .iter()
                .map(|(topic, p)| (topic.as_str(), *p))
                .collect();
            let partitions = partitions_of(state, &named);
            TransactionValue {
                producer_id: ids.0,
                previous_producer_id: ids.1,
                next_producer_id: ids.2,
                epoch: numbers.0,
                timeout_ms: numbers.1,
                state,
                partitions,
                updated_ms: numbers.2,
                started_ms: numbers.3,
                version: if v2 {
                    TransactionVersion::V2
                } else {
                    TransactionVersion::V1
                },
            }
        },
    )
}

fn partitions_of(
    state: TransactionState,
    named: &[(&str, i32)],
) -> std::collections::BTreeSet<TopicPartition> {
    let is_empty = state == TransactionState::Empty;
    let all = partitions(named).into_iter();
    all.filter(|_| !is_empty).collect()
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(value in any_value(), id in "\\PC{1,20}") {
        let record = put(&id, &value);
        let bound = partitions_bytes(&value.partitions) + 80;
        prop_assert!(record.value.as_ref().unwrap().len() <= bound);
        prop_assert_eq!(
            TransactionRecord::decode(&record),
            Ok(TransactionRecord::Value(id, Some(value)))
        );
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_looked_at(key in any::<Vec<u8>>(), value in any::<Vec<u8>>()) {
        let mut hostile = vec![0, 0, 0, 1, b'x'];
        TransactionRecord::decode(&CoordinatorRecord { key: key.into(), value: None }).ok();
        for version in [0u8, 1] {
            let value: Vec<u8> = [0, version].into_iter().chain(value.iter().copied()).collect();
            let record = CoordinatorRecord {
                key: std::mem::take(&mut hostile).into(),
                value: Some(value.into()),
            };
            TransactionRecord::decode(&record).ok();
            hostile = vec![0, 0, 0, 1, b'x'];
        }
    }
}
