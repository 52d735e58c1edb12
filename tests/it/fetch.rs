//! What consumers see, and when.

use std::time::Duration;

use tidewater_tests::{Client, TestBroker, batch, fetch_request, fetched, topic_name};
use tokio::time::timeout;
use wire::ResponseError;
use wire::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use wire::messages::{BrokerId, FetchRequest, FetchResponse};

async fn broker_and_client() -> (TestBroker, Client) {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 3, &[]).await;
    (broker, client)
}

#[tokio::test]
async fn a_waiting_consumer_is_woken_by_the_first_batch() {
    let (broker, mut producer) = broker_and_client().await;
    let mut consumer = broker.client().await;
    let long_poll = tokio::spawn(async move {
        fetched(
            consumer
                .call_at(&fetch_request("orders", 0, 0, 60_000), 12)
                .await,
        )
    });
    // A consumer that finds nothing is counted as waiting by the time a later request on its way is answered.
    producer.list_offset("orders", 0, -1).await;
    producer.produce("orders", 0, batch(&[b"news"])).await;
    let got = timeout(Duration::from_secs(10), long_poll)
        .await
        .expect("woken, not timed out")
        .expect("answered");
    assert_eq!(got.values(0), [(0, b"news".to_vec())]);
}

#[tokio::test]
async fn an_empty_partition_is_answered_with_no_bytes_when_the_wait_is_over() {
    let (_broker, mut client) = broker_and_client().await;
    let got = fetched(client.call_at(&fetch_request("orders", 0, 0, 50), 12).await);
    assert_eq!(
        (got.error_code, got.high_watermark, got.records.len()),
        (0, 0, 0)
    );
}

#[tokio::test]
async fn an_offset_outside_of_the_log_is_1_at_once() {
    let (_broker, mut client) = broker_and_client().await;
    client.produce("orders", 0, batch(&[b"a", b"b"])).await;
    for offset in [3, 100, -5] {
        let request = fetch_request("orders", 0, offset, 60_000);
        let answer = timeout(Duration::from_secs(10), client.call_at(&request, 12))
            .await
            .expect("no waiting");
        assert_eq!(
            fetched(answer).error_code,
            ResponseError::OffsetOutOfRange.code(),
            "offset {offset}"
        );
    }
}

#[tokio::test]
async fn an_offset_inside_a_batch_gets_the_whole_batch() {
    let (_broker, mut client) = broker_and_client().await;
    let sent = batch(&[b"a", b"b", b"c"]);
    client.produce("orders", 0, sent.clone()).await;
    let got = client.fetch("orders", 0, 1).await;
    assert_eq!(got.records.len(), sent.len());
    assert_eq!(got.values(1), [(1, b"b".to_vec()), (2, b"c".to_vec())]);
}

#[tokio::test]
async fn a_first_batch_above_every_limit_is_returned_whole() {
    let (_broker, mut client) = broker_and_client().await;
    let big = batch(&[&[b'x'; 100_000]]);
    client.produce("orders", 0, big.clone()).await;
    client.produce("orders", 0, batch(&[b"small"])).await;
    let mut request = fetch_request("orders", 0, 0, 0);
    request.max_bytes = 10;
    request.topics[0].partitions[0].partition_max_bytes = 10;
    let got = fetched(client.call_at(&request, 12).await);
    assert_eq!(got.records.len(), big.len());
}

#[tokio::test]
async fn min_bytes_waits_for_enough_over_all_partitions() {
    let (broker, mut producer) = broker_and_client().await;
    let mut consumer = broker.client().await;
    let one = batch(&[&[b'x'; 500]]);
    producer.produce("orders", 0, one.clone()).await;
    let mut request = fetch_request("orders", 0, 0, 60_000);
    let second = request.topics[0].partitions[0].clone().with_partition(1);
    request.topics[0].partitions.push(second);
    request.min_bytes = i32::try_from(one.len() + 1).expect("small");
    let waiting = tokio::spawn(async move { consumer.call_at(&request, 12).await });
    producer.list_offset("orders", 0, -1).await;
    assert!(!waiting.is_finished());
    producer.produce("orders", 1, one.clone()).await;
    let answer = timeout(Duration::from_secs(10), waiting)
        .await
        .expect("woken")
        .expect("answered");
    let total: usize = answer.responses[0]
        .partitions
        .iter()
        .map(|p| p.records.as_ref().map_or(0, |r| r.len()))
        .sum();
    assert_eq!(total, 2 * one.len());
}

#[tokio::test]
async fn a_newer_epoch_than_ours_is_75_and_an_older_one_74() {
    let mut broker = TestBroker::start().await;
    broker.client().await.create_topic("orders", 1, &[]).await;
    broker.restart().await;
    let mut client = broker.client().await;
    let mut request = fetch_request("orders", 0, 0, 0);
    request.topics[0].partitions[0].current_leader_epoch = 1_000;
    let newer = fetched(client.call_at(&request, 12).await);
    assert_eq!(newer.error_code, ResponseError::UnknownLeaderEpoch.code());
    request.topics[0].partitions[0].current_leader_epoch = 0;
    let older = fetched(client.call_at(&request, 12).await);
    assert_eq!(older.error_code, ResponseError::FencedLeaderEpoch.code());
}

#[tokio::test]
async fn read_uncommitted_gets_null_for_aborted_transactions_and_read_committed_a_list() {
    let (_broker, mut client) = broker_and_client().await;
    client.produce("orders", 0, batch(&[b"x"])).await;
    let mut request = fetch_request("orders", 0, 0, 0);
    let uncommitted = client.call_at(&request, 12).await;
    assert_eq!(
        uncommitted.responses[0].partitions[0].aborted_transactions,
        None
    );
    request.isolation_level = 1;
    let committed = client.call_at(&request, 12).await;
    assert_eq!(
        committed.responses[0].partitions[0].aborted_transactions,
        Some(Vec::new())
    );
}

fn session_request(id: i32, epoch: i32, wanted: &[(i32, i64)]) -> FetchRequest {
    let partitions = wanted.iter().map(|&(partition, offset)| {
        FetchPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(offset)
            .with_last_fetched_epoch(-1)
            .with_partition_max_bytes(1 << 20)
    });
    let topics = if wanted.is_empty() {
        Vec::new()
    } else {
        vec![
            FetchTopic::default()
                .with_topic(topic_name("orders"))
                .with_partitions(partitions.collect()),
        ]
    };
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_session_id(id)
        .with_session_epoch(epoch)
        .with_topics(topics)
}

fn named(response: &FetchResponse) -> Vec<i32> {
    response
        .responses
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|p| p.partition_index))
        .collect()
}

#[tokio::test]
async fn a_session_answers_with_changes_only() {
    let (_broker, mut client) = broker_and_client().await;
    let opened = client
        .call_at(&session_request(0, 0, &[(0, 0), (1, 0), (2, 0)]), 12)
        .await;
    assert_ne!(opened.session_id, 0);
    assert_eq!(named(&opened), [0, 1, 2]);
    let id = opened.session_id;
    let quiet = client.call_at(&session_request(id, 1, &[]), 12).await;
    assert_eq!(named(&quiet), [] as [i32; 0]);
    client.produce("orders", 1, batch(&[b"x"])).await;
    let news = client.call_at(&session_request(id, 2, &[]), 12).await;
    assert_eq!(named(&news), [1]);
    let mut forget = session_request(id, 3, &[]);
    forget.forgotten_topics_data = vec![
        ForgottenTopic::default()
            .with_topic(topic_name("orders"))
            .with_partitions(vec![1]),
    ];
    let rest = client.call_at(&forget, 12).await;
    assert_eq!(named(&rest), [] as [i32; 0]);
    let wrong = client.call_at(&session_request(id, 3, &[]), 12).await;
    assert_eq!(
        wrong.error_code,
        ResponseError::InvalidFetchSessionEpoch.code()
    );
    let unknown = client
        .call_at(&session_request(id + 1_000, 1, &[]), 12)
        .await;
    assert_eq!(
        unknown.error_code,
        ResponseError::FetchSessionIdNotFound.code()
    );
}

#[tokio::test]
async fn by_id_a_topic_is_found_and_an_unknown_one_is_100() {
    let (_broker, mut client) = broker_and_client().await;
    let id = client.create_topic("by-id", 1, &[]).await;
    client.produce("by-id", 0, batch(&[b"x"])).await;
    let mut request = fetch_request("", 0, 0, 0);
    request.topics[0].topic_id = id;
    let got = fetched(client.call_at(&request, 17).await);
    assert_eq!(got.values(0), [(0, b"x".to_vec())]);
    request.topics[0].topic_id = uuid::Uuid::from_u128(1);
    let unknown = fetched(client.call_at(&request, 17).await);
    assert_eq!(unknown.error_code, ResponseError::UnknownTopicId.code());
}

#[tokio::test]
async fn offsets_are_found_by_time_and_by_their_special_names() {
    let (_broker, mut client) = broker_and_client().await;
    let mut builder = wire::batch::BatchBuilder::new(wire::batch::BatchOptions::default());
    let base = tidewater_tests::now_ms() - 10_000;
    for i in 0..10 {
        builder
            .append(base + i * 100, None, Some(b"x"), &[])
            .expect("fits");
    }
    client
        .produce("orders", 0, builder.build().expect("builds"))
        .await;
    assert_eq!(
        client.list_offset("orders", 0, base + 350).await,
        (0, 4, base + 400)
    );
    assert_eq!(client.list_offset("orders", 0, base).await, (0, 0, base));
    assert_eq!(
        client.list_offset("orders", 0, base + 901).await,
        (0, -1, -1)
    );
    assert_eq!(
        client.list_offset("orders", 0, -1).await,
        (0, 10, -1),
        "latest"
    );
    assert_eq!(
        client.list_offset("orders", 0, -2).await,
        (0, 0, -1),
        "earliest"
    );
    assert_eq!(
        client.list_offset("orders", 0, -3).await,
        (0, 9, base + 900),
        "max timestamp"
    );
    assert_eq!(
        client.list_offset("orders", 0, -4).await,
        (0, 0, -1),
        "earliest local"
    );
    assert_eq!(
        client.list_offset("orders", 0, -5).await,
        (0, -1, -1),
        "last tiered"
    );
    assert_eq!(
        client.list_offset("orders", 0, -6).await.0,
        ResponseError::UnsupportedVersion.code()
    );
}
