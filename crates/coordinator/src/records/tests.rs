//! The hexadecimal here is what Kafka 4.4's own `GroupCoordinatorRecordSerde` gave for the same values.

use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;

use super::offset_commit::offset_tombstone;
use super::subscription::subscribed_topics;
use super::*;

fn hex(text: &str) -> Bytes {
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    text.as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

const TOPIC_ID: Uuid = Uuid::from_u128(0x0102_0304_0506_0708_1112_1314_1516_1718);

fn committed() -> OffsetCommitValue {
    OffsetCommitValue {
        offset: 42,
        leader_epoch: 5,
        metadata: "mé".to_owned(),
        commit_timestamp_ms: 1_700_000_000_000,
        expire_timestamp_ms: -1,
        topic_id: TOPIC_ID,
    }
}

fn group() -> GroupMetadata {
    let first = MemberMetadata {
        member_id: "m-1".to_owned(),
        group_instance_id: Some("i1".to_owned()),
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout_ms: 60_000,
        session_timeout_ms: 45_000,
        subscription: Bytes::from_static(&[1, 2]),
        assignment: Bytes::from_static(&[3]),
    };
    let second = MemberMetadata {
        member_id: "m-2".to_owned(),
        group_instance_id: None,
        client_id: "d".to_owned(),
        client_host: "/::1".to_owned(),
        rebalance_timeout_ms: 1,
        session_timeout_ms: 6_000,
        subscription: Bytes::new(),
        assignment: Bytes::new(),
    };
    GroupMetadata {
        protocol_type: "consumer".to_owned(),
        generation: 7,
        protocol: Some("range".to_owned()),
        leader: Some("m-1".to_owned()),
        state_timestamp_ms: 1_700_000_000_000,
        members: vec![first, second],
    }
}

#[test]
fn an_offset_is_written_as_kafka_writes_it() {
    let record = committed().record("orders", "t", 3);
    assert_eq!(record.key, hex("000100066f726465727300017400000003"));
    assert_eq!(
        record.value.unwrap(),
        hex(
            "0004000000000000002a00000005046dc3a90000018bcfe5680001001001020304050607081112131415161718"
        )
    );
}

#[test]
fn an_offset_without_topic_id_or_epoch_has_no_tagged_field() {
    let value = OffsetCommitValue {
        leader_epoch: -1,
        topic_id: Uuid::nil(),
        ..committed()
    };
    assert_eq!(
        value.encode(),
        hex("0004000000000000002affffffff046dc3a90000018bcfe5680000")
    );
}

#[test]
fn an_offset_with_an_expiry_is_written_in_version_1_which_alone_can_hold_it() {
    let value = OffsetCommitValue {
        expire_timestamp_ms: 1_700_000_100_000,
        ..committed()
    };
    assert_eq!(
        value.encode(),
        hex("0001000000000000002a00036dc3a90000018bcfe568000000018bcfe6eea0")
    );
}

#[test]
fn offsets_of_every_older_version_are_read() {
    let without_id = OffsetCommitValue {
        topic_id: Uuid::nil(),
        ..committed()
    };
    let without_epoch = OffsetCommitValue {
        leader_epoch: -1,
        ..without_id.clone()
    };
    let read = |text| OffsetCommitValue::decode(hex(text)).unwrap();
    assert_eq!(
        read("0000000000000000002a00036dc3a90000018bcfe56800"),
        without_epoch
    );
    assert_eq!(
        read("0001000000000000002a00036dc3a90000018bcfe56800ffffffffffffffff"),
        without_epoch
    );
    assert_eq!(
        read("0002000000000000002a00036dc3a90000018bcfe56800"),
        without_epoch
    );
    assert_eq!(
        read("0003000000000000002a0000000500036dc3a90000018bcfe56800"),
        without_id
    );
    let (kind, reader) = kind_of(&hex("000000066f726465727300017400000003")).unwrap();
    assert_eq!(kind, RecordKind::OffsetCommit);
    assert_eq!(OffsetCommitKey::decode(reader).unwrap().topic, "t");
}

#[test]
fn a_group_is_written_as_kafka_writes_it() {
    let record = group().record("orders");
    assert_eq!(record.key, hex("000200066f7264657273"));
    let value = concat!(
        "00030008636f6e73756d657200000007000572616e676500036d2d310000018bcfe568000000000200036d2d3100026931000163",
        "000a2f3132372e302e302e310000ea600000afc8000000020102000000010300036d2d32ffff00016400042f3a3a310000000100",
        "0017700000000000000000"
    );
    assert_eq!(record.value.unwrap(), hex(value));
}

#[test]
fn an_empty_group_is_written_as_kafka_writes_it() {
    let empty = GroupMetadata {
        protocol_type: String::new(),
        generation: 0,
        protocol: None,
        leader: None,
        state_timestamp_ms: 1_700_000_000_000,
        members: Vec::new(),
    };
    assert_eq!(
        empty.encode(),
        hex("0003000000000000ffffffff0000018bcfe5680000000000")
    );
}

#[test]
fn groups_of_every_version_are_read() {
    let v4 = concat!(
        "000409636f6e73756d6572000000070672616e6765046d2d310000018bcfe5680003046d2d3103693102630b2f3132372e302e30",
        "2e310000ea600000afc8030102020300046d2d32000264052f3a3a31000000010000177001010000"
    );
    assert_eq!(GroupMetadata::decode(hex(v4)).unwrap(), group());

    let mut expected = group();
    expected.members[0].group_instance_id = None;
    let v2 = concat!(
        "00020008636f6e73756d657200000007000572616e676500036d2d310000018bcfe568000000000200036d2d31000163000a2f31",
        "32372e302e302e310000ea600000afc8000000020102000000010300036d2d3200016400042f3a3a310000000100001770000000",
        "0000000000"
    );
    assert_eq!(GroupMetadata::decode(hex(v2)).unwrap(), expected);

    expected.state_timestamp_ms = -1;
    let v1 = concat!(
        "00010008636f6e73756d657200000007000572616e676500036d2d310000000200036d2d31000163000a2f3132372e302e302e31",
        "0000ea600000afc8000000020102000000010300036d2d3200016400042f3a3a3100000001000017700000000000000000"
    );
    assert_eq!(GroupMetadata::decode(hex(v1)).unwrap(), expected);

    expected.members[0].rebalance_timeout_ms = -1;
    expected.members[1].rebalance_timeout_ms = -1;
    let v0 = concat!(
        "00000008636f6e73756d657200000007000572616e676500036d2d310000000200036d2d31000163000a2f3132372e302e302e31",
        "0000afc8000000020102000000010300036d2d3200016400042f3a3a31000017700000000000000000"
    );
    assert_eq!(GroupMetadata::decode(hex(v0)).unwrap(), expected);
}

#[test]
fn a_record_from_the_future_is_refused_and_not_guessed_at() {
    let value = hex("0005000000000000002a");
    assert!(matches!(
        OffsetCommitValue::decode(value.clone()),
        Err(RecordError::UnknownVersion { version: 5, .. })
    ));
    assert!(matches!(
        GroupMetadata::decode(value),
        Err(RecordError::UnknownVersion { version: 5, .. })
    ));
}

#[test]
fn a_tombstone_has_the_key_and_no_value() {
    let record = offset_tombstone("orders", "t", 3);
    assert_eq!(record.key, hex("000100066f726465727300017400000003"));
    assert_eq!(record.value, None);
}

#[test]
fn a_subscription_is_read_by_its_common_beginning() {
    let v0 = hex("0000000000020001610001620000000458595a00");
    assert_eq!(subscribed_topics(v0).unwrap(), ["a", "b"]);
    let later_with_more_behind = hex("00030000000100016100000000deadbeef");
    assert_eq!(subscribed_topics(later_with_more_behind).unwrap(), ["a"]);
    assert!(subscribed_topics(hex("00007fffffff")).is_err());
    assert!(subscribed_topics(Bytes::new()).is_err());
}

fn any_offset() -> impl Strategy<Value = OffsetCommitValue> {
    let expiry_or_id = prop_oneof![
        any::<u128>().prop_map(|id| (-1, -1, Uuid::from_u128(id))),
        (0..i64::MAX).prop_map(|at| (at, -1, Uuid::nil())),
        (-1..i32::MAX).prop_map(|epoch| (-1, epoch, Uuid::nil())),
    ];
    (any::<i64>(), ".{0,20}", any::<i64>(), expiry_or_id).prop_map(
        |(offset, metadata, commit_timestamp_ms, (expire_timestamp_ms, leader_epoch, topic_id))| {
            OffsetCommitValue {
                offset,
                leader_epoch,
                metadata,
                commit_timestamp_ms,
                expire_timestamp_ms,
                topic_id,
            }
        },
    )
}

fn any_member() -> impl Strategy<Value = MemberMetadata> {
    let blob = || proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
    (
        "[a-z]{0,8}",
        proptest::option::of("[a-z]{0,8}"),
        ".{0,6}",
        any::<i32>(),
        any::<i32>(),
        blob(),
        blob(),
    )
        .prop_map(
            |(
                member_id,
                group_instance_id,
                client_id,
                rebalance,
                session,
                subscription,
                assignment,
            )| {
                MemberMetadata {
                    member_id,
                    group_instance_id,
                    client_host: client_id.clone(),
                    client_id,
                    rebalance_timeout_ms: rebalance,
                    session_timeout_ms: session,
                    subscription,
                    assignment,
                }
            },
        )
}

proptest! {
    #[test]
    fn reading_an_offset_undoes_writing(value in any_offset()) {
        prop_assert_eq!(OffsetCommitValue::decode(value.encode())?, value);
    }

    #[test]
    fn reading_a_group_undoes_writing(
        generation in any::<i32>(), protocol in proptest::option::of("[a-z]{0,6}"), at in any::<i64>(),
        members in proptest::collection::vec(any_member(), 0..5),
    ) {
        let group = GroupMetadata {
            protocol_type: "connect".to_owned(), generation, leader: protocol.clone(), protocol, state_timestamp_ms: at, members,
        };
        prop_assert_eq!(GroupMetadata::decode(group.encode())?, group);
    }

    #[test]
    fn no_bytes_make_decoding_panic(version in 0u8..6, bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let value = Bytes::from([&[0, version][..], &bytes].concat());
        let _ = OffsetCommitValue::decode(value.clone());
        let _ = GroupMetadata::decode(value.clone());
        let _ = subscribed_topics(value.clone());
        if let Ok((_, reader)) = kind_of(&value) {
            let _ = OffsetCommitKey::decode(reader.clone());
            let _ = group_metadata::decode_key(reader);
        }
    }
}
