use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;

const TOPIC: Uuid = Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);

fn hex(text: &str) -> Bytes {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn record(change: ConsumerGroupChange) -> ConsumerGroupRecord {
    ConsumerGroupRecord {
        group_id: "g".to_owned(),
        change,
    }
}

fn value_of(change: ConsumerGroupChange) -> Bytes {
    record(change).encode().value.unwrap()
}

/// The bytes were written by the generated classes of Apache Kafka 4.4.0.
#[test]
fn values_are_written_as_kafka_4_4_writes_them() {
    use ConsumerGroupChange::{Group, Member, MemberCurrent, MemberTarget, Regex, Target};
    let group = |metadata_hash| {
        Group(Some(GroupEpoch {
            epoch: 7,
            metadata_hash,
        }))
    };
    assert_eq!(
        value_of(group(0x1122_3344_5566_7788)),
        hex("0000000000070100081122334455667788")
    );
    assert_eq!(value_of(group(0)), hex("00000000000700"));
    let target = |timestamp_ms| {
        Target(Some(TargetEpoch {
            epoch: 9,
            timestamp_ms,
        }))
    };
    assert_eq!(
        value_of(target(1_700_000_000_000)),
        hex("0000000000090100080000018bcfe56800")
    );
    assert_eq!(value_of(target(0)), hex("00000000000900"));
    let partitions = TopicPartitions::from([(TOPIC, BTreeSet::from([0, 5]))]);
    assert_eq!(
        value_of(MemberTarget("m".to_owned(), Some(partitions))),
        hex("0000020102030405060708090a0b0c0d0e0f100300000000000000050000")
    );
    let current = CurrentAssignment {
        member_epoch: 5,
        previous_member_epoch: 4,
        state: MemberState::UnrevokedPartitions,
        assigned: PartitionEpochs::from([(TOPIC, BTreeMap::from([(1, 3), (2, 4)]))]),
        pending_revocation: PartitionEpochs::new(),
    };
    assert_eq!(
        value_of(MemberCurrent("m".to_owned(), Some(current))),
        hex(concat!(
            "0000000000050000000401020102030405060708090a0b0c0d0e0f10030000000100000002",
            "01000903000000030000000401",
            "00"
        ))
    );
    let regex = ResolvedRegex {
        topics: BTreeSet::from(["a".to_owned(), "b".to_owned()]),
        version: 3,
        timestamp_ms: 4,
    };
    assert_eq!(
        value_of(Regex("x.*".to_owned(), Some(regex))),
        hex("000003026102620000000000000003000000000000000400")
    );
    assert_eq!(
        value_of(Member("m".to_owned(), Some(consumer_member()))),
        hex(CONSUMER_MEMBER)
    );
    assert_eq!(
        value_of(Member("m".to_owned(), Some(classic_member_value()))),
        hex(CLASSIC_MEMBER)
    );
}

const CONSUMER_MEMBER: &str = "00000269000263032f68030261026204782e2a000493e00672616e676500";
const CLASSIC_MEMBER: &str =
    "000000010263032f68020261000000000100010012010000afc8020672616e6765040102030000";

fn consumer_member() -> MemberMetadata {
    MemberMetadata {
        instance_id: Some("i".to_owned()),
        client_id: "c".to_owned(),
        client_host: "/h".to_owned(),
        subscribed_topic_names: BTreeSet::from(["a".to_owned(), "b".to_owned()]),
        subscribed_topic_regex: Some("x.*".to_owned()),
        rebalance_timeout_ms: 300_000,
        server_assignor: Some("range".to_owned()),
        ..MemberMetadata::default()
    }
}

fn classic_member_value() -> MemberMetadata {
    MemberMetadata {
        rack_id: Some(String::new()),
        client_id: "c".to_owned(),
        client_host: "/h".to_owned(),
        subscribed_topic_names: BTreeSet::from(["a".to_owned()]),
        rebalance_timeout_ms: 1,
        classic: Some(ClassicMember {
            session_timeout_ms: 45_000,
            protocols: vec![("range".to_owned(), Bytes::from_static(&[1, 2, 3]))],
        }),
        ..MemberMetadata::default()
    }
}

#[test]
fn keys_are_written_as_kafka_4_4_writes_them() {
    let regex = record(ConsumerGroupChange::Regex("x.*".to_owned(), None)).encode();
    assert_eq!(
        (regex.key, regex.value),
        (hex("00100001670003782e2a"), None)
    );
    let member = record(ConsumerGroupChange::Member("m".to_owned(), None)).encode();
    assert_eq!(member.key, hex("000500016700016d"));
}

#[test]
fn records_of_older_kafkas_are_read() {
    let key = record(ConsumerGroupChange::LegacyPartitions(None))
        .encode()
        .key;
    let value = hex("0000020102030405060708090a0b0c0d0e0f100261000000030200000000020272000000");
    let topic = LegacyTopic {
        id: TOPIC,
        name: "a".to_owned(),
        partitions: 3,
    };
    assert_eq!(
        ConsumerGroupRecord::decode(&key, Some(&value)),
        Ok(record(ConsumerGroupChange::LegacyPartitions(Some(vec![
            topic
        ]))))
    );
    let key = record(ConsumerGroupChange::MemberCurrent("m".to_owned(), None))
        .encode()
        .key;
    let value = hex(concat!(
        "0000000000050000000401020102030405060708090a0b0c0d0e0f10030000000100000002",
        "01000903000000030000000402",
        "0102030405060708090a0b0c0d0e0f1002000000030000"
    ));
    let decoded = ConsumerGroupRecord::decode(&key, Some(&value)).unwrap();
    let ConsumerGroupChange::MemberCurrent(_, Some(current)) = decoded.change else {
        panic!("another record");
    };
    // Without epochs of its own, a partition counts as assigned at the member's epoch.
    assert_eq!(
        current.pending_revocation,
        PartitionEpochs::from([(TOPIC, BTreeMap::from([(3, 5)]))])
    );
}

#[test]
fn a_newer_value_is_refused_rather_than_guessed_at() {
    let key = record(ConsumerGroupChange::Group(None)).encode().key;
    assert!(matches!(
        ConsumerGroupRecord::decode(&key, Some(&hex("00010000000700"))),
        Err(RecordError::UnknownVersion { version: 1, .. })
    ));
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9._é-]{0,12}"
}

fn epochs() -> impl Strategy<Value = PartitionEpochs> {
    btree_map(
        any::<u128>().prop_map(Uuid::from_u128),
        btree_map(any::<i32>(), any::<i32>(), 0..5),
        0..4,
    )
}

fn partitions() -> impl Strategy<Value = TopicPartitions> {
    btree_map(
        any::<u128>().prop_map(Uuid::from_u128),
        btree_set(any::<i32>(), 0..5),
        0..4,
    )
}

fn metadata() -> impl Strategy<Value = MemberMetadata> {
    let classic = (
        any::<i32>(),
        vec((name(), vec(any::<u8>(), 0..9).prop_map(Bytes::from)), 0..3),
    )
        .prop_map(|(session_timeout_ms, protocols)| ClassicMember {
            session_timeout_ms,
            protocols,
        });
    (
        (option::of(name()), option::of(name()), name(), name()),
        btree_set(name(), 0..4),
        option::of(name()),
        any::<i32>(),
        option::of(name()),
        option::of(classic),
    )
        .prop_map(
            |(
                (instance_id, rack_id, client_id, client_host),
                names,
                regex,
                timeout,
                assignor,
                classic,
            )| {
                MemberMetadata {
                    instance_id,
                    rack_id,
                    client_id,
                    client_host,
                    subscribed_topic_names: names,
                    subscribed_topic_regex: regex,
                    rebalance_timeout_ms: timeout,
                    server_assignor: assignor,
                    classic,
                }
            },
        )
}

fn change() -> impl Strategy<Value = ConsumerGroupChange> {
    let current = (any::<i32>(), any::<i32>(), any::<i8>(), epochs(), epochs()).prop_map(
        |(member_epoch, previous_member_epoch, state, assigned, pending_revocation)| {
            CurrentAssignment {
                member_epoch,
                previous_member_epoch,
                state: MemberState::from_number(state),
                assigned,
                pending_revocation,
            }
        },
    );
    let resolved = (btree_set(name(), 0..4), any::<i64>(), any::<i64>()).prop_map(
        |(topics, version, timestamp_ms)| ResolvedRegex {
            topics,
            version,
            timestamp_ms,
        },
    );
    let legacy =
        (any::<u128>(), name(), any::<i32>()).prop_map(|(id, name, partitions)| LegacyTopic {
            id: Uuid::from_u128(id),
            name,
            partitions,
        });
    prop_oneof![
        option::of(
            (any::<i32>(), any::<i64>()).prop_map(|(epoch, metadata_hash)| GroupEpoch {
                epoch,
                metadata_hash
            })
        )
        .prop_map(ConsumerGroupChange::Group),
        option::of(vec(legacy, 0..3)).prop_map(ConsumerGroupChange::LegacyPartitions),
        (name(), option::of(metadata()))
            .prop_map(|(id, value)| ConsumerGroupChange::Member(id, value)),
        option::of(
            (any::<i32>(), any::<i64>()).prop_map(|(epoch, timestamp_ms)| TargetEpoch {
                epoch,
                timestamp_ms
            })
        )
        .prop_map(ConsumerGroupChange::Target),
        (name(), option::of(partitions()))
            .prop_map(|(id, value)| ConsumerGroupChange::MemberTarget(id, value)),
        (name(), option::of(current))
            .prop_map(|(id, value)| ConsumerGroupChange::MemberCurrent(id, value)),
        (name(), option::of(resolved))
            .prop_map(|(id, value)| ConsumerGroupChange::Regex(id, value)),
    ]
}

proptest! {
    #[test]
    fn reading_undoes_writing(group_id in name(), change in change()) {
        let record = ConsumerGroupRecord { group_id, change };
        let encoded = record.encode();
        prop_assert_eq!(ConsumerGroupRecord::decode(&encoded.key, encoded.value.as_ref()), Ok(record));
    }

    #[test]
    fn no_bytes_make_decoding_panic(kind in prop_oneof![3i16..9, Just(16)], key in vec(any::<u8>(), 0..20), value in vec(any::<u8>(), 0..80)) {
        let mut typed = kind.to_be_bytes().to_vec();
        typed.extend_from_slice(&[0, 1, b'g', 0, 1, b'm']);
        let mut zero = vec![0, 0];
        zero.extend_from_slice(&value);
        let _ = ConsumerGroupRecord::decode(&Bytes::from(typed), Some(&Bytes::from(zero)));
        let _ = ConsumerGroupRecord::decode(&Bytes::from(key), Some(&Bytes::from(value)));
    }
}
