//! What producers are told, and what is true afterwards.

use tidewater_tests::{
    Client, TestBroker, batch, build, compressed, now_ms, produce_request, sequenced,
};
use wire::ResponseError;
use wire::batch::{BatchOptions, Codec};

async fn broker_and_client() -> (TestBroker, Client) {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 2, &[]).await;
    (broker, client)
}

#[tokio::test]
async fn offsets_follow_each_other_and_partitions_do_not_share_them() {
    let (_broker, mut client) = broker_and_client().await;
    assert_eq!(client.produce("orders", 0, batch(&[b"a", b"b"])).await, 0);
    assert_eq!(client.produce("orders", 0, batch(&[b"c"])).await, 2);
    assert_eq!(client.produce("orders", 1, batch(&[b"d"])).await, 0);
}

#[tokio::test]
async fn a_consumer_reads_back_exactly_what_was_produced_with_every_codec() {
    let (_broker, mut client) = broker_and_client().await;
    let value = vec![b'x'; 2_000];
    let mut expected = Vec::new();
    for codec in [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ] {
        let sent = compressed(&[&value, b"", b"end"], codec);
        let base = client.produce("orders", 0, sent.clone()).await;
        expected.extend([
            (base, value.clone()),
            (base + 1, Vec::new()),
            (base + 2, b"end".to_vec()),
        ]);
        let got = client.fetch("orders", 0, base).await;
        assert_eq!(
            got.records[17..],
            sent[17..],
            "{codec:?} passes through untouched"
        );
    }
    assert_eq!(client.fetch("orders", 0, 0).await.values(0), expected);
}

#[tokio::test]
async fn a_repeated_batch_is_answered_with_its_first_offset_and_stored_once() {
    let (_broker, mut client) = broker_and_client().await;
    let producer = client.init_producer().await;
    let first = sequenced(&[b"a", b"b"], producer, 0);
    assert_eq!(client.produce("orders", 0, first.clone()).await, 0);
    assert_eq!(
        client
            .produce("orders", 0, sequenced(&[b"c"], producer, 2))
            .await,
        2
    );
    assert_eq!(client.produce("orders", 0, first).await, 0);
    assert_eq!(client.list_offset("orders", 0, -1).await, (0, 3, -1));
}

#[tokio::test]
async fn a_gap_in_a_producers_sequence_is_45_and_an_old_epoch_47() {
    let (_broker, mut client) = broker_and_client().await;
    let mut producer = client.init_producer().await;
    producer.epoch = 1;
    client
        .produce("orders", 0, sequenced(&[b"a"], producer, 0))
        .await;
    let gap = client
        .try_produce("orders", 0, sequenced(&[b"c"], producer, 2))
        .await;
    assert_eq!(
        gap.error_code,
        ResponseError::OutOfOrderSequenceNumber.code()
    );
    producer.epoch = 0;
    let stale = client
        .try_produce("orders", 0, sequenced(&[b"b"], producer, 1))
        .await;
    assert_eq!(stale.error_code, ResponseError::InvalidProducerEpoch.code());
}

#[tokio::test]
async fn producer_ids_are_never_given_twice() {
    let (mut broker, mut client) = broker_and_client().await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..50 {
        assert!(seen.insert(client.init_producer().await.id));
    }
    broker.restart().await;
    let mut client = broker.client().await;
    for _ in 0..50 {
        assert!(seen.insert(client.init_producer().await.id));
    }
}

#[tokio::test]
async fn acks_other_than_all_one_and_none_are_refused() {
    let (_broker, mut client) = broker_and_client().await;
    for acks in [2, -2, 7] {
        let response = client
            .call_at(&produce_request("orders", 0, batch(&[b"x"]), acks), 12)
            .await;
        let code = response.responses[0].partition_responses[0].error_code;
        assert_eq!(
            code,
            ResponseError::InvalidRequiredAcks.code(),
            "acks={acks}"
        );
    }
    assert_eq!(client.list_offset("orders", 0, -1).await.1, 0);
}

#[tokio::test]
async fn acks_none_gets_no_answer_and_the_next_request_sees_its_effect() {
    let (_broker, mut client) = broker_and_client().await;
    for i in 0..20_i64 {
        client
            .connection()
            .send(&produce_request("orders", 0, batch(&[b"x"]), 0), 12)
            .await
            .expect("sent");
        assert_eq!(client.list_offset("orders", 0, -1).await, (0, i + 1, -1));
    }
}

#[tokio::test]
async fn a_failure_without_acks_closes_the_connection() {
    let (_broker, mut client) = broker_and_client().await;
    client
        .connection()
        .send(&produce_request("nowhere", 0, batch(&[b"x"]), 0), 12)
        .await
        .expect("sent");
    let request = tidewater_tests::fetch_request("orders", 0, 0, 0);
    assert!(client.connection().call(&request, 12).await.is_err());
}

#[tokio::test]
async fn a_batch_that_is_not_one_is_refused_and_nothing_of_it_is_stored() {
    let (_broker, mut client) = broker_and_client().await;
    let good = batch(&[b"a", b"b"]);
    let mut flipped = good.to_vec();
    *flipped.last_mut().expect("bytes") ^= 1;
    let mut shifted = good.to_vec();
    wire::batch::set_base_offset(&mut shifted, 5);
    let twice = [good.to_vec(), good.to_vec()].concat();
    let refusals = [
        ("flipped bit", flipped, ResponseError::CorruptMessage),
        ("base offset", shifted, ResponseError::InvalidRecord),
        ("two batches", twice, ResponseError::InvalidRecord),
        (
            "truncated",
            good[..good.len() - 1].to_vec(),
            ResponseError::InvalidRecord,
        ),
    ];
    for (what, bytes, code) in refusals {
        let response = client.try_produce("orders", 0, bytes.into()).await;
        assert_eq!(
            response.error_code,
            code.code(),
            "{what}: {:?}",
            response.error_message
        );
    }
    assert_eq!(client.list_offset("orders", 0, -1).await.1, 0);
}

#[tokio::test]
async fn too_large_a_batch_is_10() {
    let (_broker, mut client) = broker_and_client().await;
    client
        .create_topic("small", 1, &[("max.message.bytes", "1000")])
        .await;
    let response = client
        .try_produce("small", 0, batch(&[&[b'x'; 2_000]]))
        .await;
    assert_eq!(response.error_code, ResponseError::MessageTooLarge.code());
}

#[tokio::test]
async fn a_timestamp_out_of_bounds_is_32() {
    let (_broker, mut client) = broker_and_client().await;
    client
        .create_topic("timely", 1, &[("message.timestamp.before.max.ms", "1000")])
        .await;
    let mut builder = wire::batch::BatchBuilder::new(BatchOptions::default());
    builder
        .append(now_ms() - 3_600_000, None, Some(b"late"), &[])
        .expect("fits");
    let response = client
        .try_produce("timely", 0, builder.build().expect("builds"))
        .await;
    assert_eq!(response.error_code, ResponseError::InvalidTimestamp.code());
}

#[tokio::test]
async fn log_append_time_is_the_brokers_and_the_topics_choice() {
    let (_broker, mut client) = broker_and_client().await;
    client
        .create_topic("stamped", 1, &[("message.timestamp.type", "LogAppendTime")])
        .await;
    let before = now_ms();
    let response = client.try_produce("stamped", 0, batch(&[b"x"])).await;
    assert_eq!(response.error_code, 0);
    assert!(response.log_append_time_ms >= before);
    let got = client.fetch("stamped", 0, 0).await;
    let header = wire::batch::BatchHeader::parse(&got.records).expect("a batch");
    assert_eq!(header.max_timestamp, response.log_append_time_ms);
    assert!(wire::batch::check_crc(&got.records));
    let plain = client.try_produce("orders", 0, batch(&[b"x"])).await;
    assert_eq!(plain.log_append_time_ms, -1);
}

#[tokio::test]
async fn a_compacted_topic_wants_keys_and_says_which_record_has_none() {
    let (_broker, mut client) = broker_and_client().await;
    client
        .create_topic("table", 1, &[("cleanup.policy", "compact")])
        .await;
    let response = client
        .try_produce("table", 0, build(&[b"no key"], BatchOptions::default()))
        .await;
    assert_eq!(response.error_code, ResponseError::InvalidRecord.code());
    assert_eq!(response.record_errors[0].batch_index, 0);
}

#[tokio::test]
async fn zstd_needs_version_7() {
    let (_broker, mut client) = broker_and_client().await;
    let request = produce_request("orders", 0, compressed(&[b"x"], Codec::Zstd), -1);
    let old = client.call_at(&request, 6).await;
    assert_eq!(
        old.responses[0].partition_responses[0].error_code,
        ResponseError::UnsupportedCompressionType.code()
    );
    let new = client.call_at(&request, 7).await;
    assert_eq!(new.responses[0].partition_responses[0].error_code, 0);
}

#[tokio::test]
async fn unknown_topics_and_partitions_are_3_and_unknown_ids_100() {
    let (_broker, mut client) = broker_and_client().await;
    for (topic, partition) in [("nowhere", 0), ("orders", 9)] {
        let response = client.try_produce(topic, partition, batch(&[b"x"])).await;
        assert_eq!(
            response.error_code,
            ResponseError::UnknownTopicOrPartition.code()
        );
    }
    let mut request = produce_request("", 0, batch(&[b"x"]), -1);
    request.topic_data[0].topic_id = uuid::Uuid::from_u128(7);
    let response = client.call_at(&request, 13).await;
    assert_eq!(
        response.responses[0].partition_responses[0].error_code,
        ResponseError::UnknownTopicId.code()
    );
}
