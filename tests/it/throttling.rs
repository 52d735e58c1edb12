//! Client quotas hold clients back: each kind of quota, the precedence of entities, and what ends it.

use std::time::Duration;

use tidewater_tests::{Client, TestBroker, batch, fetch_request, produce_request, topic_name};
use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;
use tokio::time::Instant;
use wire::ResponseError;
use wire::api_versions::ApiVersionsRequest;
use wire::messages::create_partitions_request::CreatePartitionsTopic;
use wire::messages::delete_topics_request::DeleteTopicState;
use wire::messages::{
    CreatePartitionsRequest, DeleteTopicsRequest, FetchRequest, FetchResponse,
    FindCoordinatorRequest, ListGroupsRequest, MetadataRequest, ProduceResponse,
};

use crate::admin::metrics;
use crate::quotas::{Entity, alter};

/// The user that everybody is, and the client id of [`TestBroker::client`].
const USER: Entity = &[("user", Some("ANONYMOUS"))];
const CLIENT: Entity = &[("client-id", Some("test"))];
const DEFAULT_CLIENT: Entity = &[("client-id", None)];
const LOCALHOST: Entity = &[("ip", Some("127.0.0.1"))];

const EXCEEDED: i16 = 89;

/// A broker whose rates are taken over four seconds, so that tests need not wait longer, and not less, so that a slow machine does
/// not pay off what a test has run up.
async fn short_windows() -> TestBroker {
    TestBroker::start_with(&[
        ("quota.window.num", "4"),
        ("controller.quota.window.num", "4"),
    ])
    .await
}

async fn produce(client: &mut Client, bytes: usize) -> ProduceResponse {
    let request = produce_request("orders", 0, batch(&[&vec![b'x'; bytes]]), -1);
    client.call_at(&request, 12).await
}

async fn fetch(client: &mut Client, from: i64) -> FetchResponse {
    client
        .call_at(&fetch_request("orders", 0, from, 0), 12)
        .await
}

fn record_bytes(response: &FetchResponse) -> usize {
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions);
    partitions
        .map(|partition| {
            partition
                .records
                .as_ref()
                .map_or(0, |records| records.len())
        })
        .sum()
}

#[tokio::test]
async fn a_producer_over_its_rate_is_told_for_how_long_and_not_heard_for_that_time() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 1, &[]).await;
    alter(&mut client, CLIENT, "producer_byte_rate", Some(100_000.0)).await;
    let began = Instant::now();
    assert_eq!(produce(&mut client, 500_000).await.throttle_time_ms, 0);
    // 1,200,000 bytes in the ten seconds that a beginner is granted: 20,000 a second too many are two seconds of the limit, less
    // what has passed.
    let response = produce(&mut client, 700_000).await;
    let throttle_ms = response.throttle_time_ms;
    let passed_ms = i32::try_from(began.elapsed().as_millis()).unwrap();
    assert!(
        (1_999 - passed_ms..2_010).contains(&throttle_ms),
        "{throttle_ms} ms"
    );
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    let answered = Instant::now();
    client.call(&ListGroupsRequest::default()).await;
    let silent = answered.elapsed();
    assert!(
        silent >= Duration::from_millis(throttle_ms as u64 - 50),
        "{silent:?}"
    );
    let page = metrics(&broker).await;
    let counted = "tidewater_quota_throttled_total{quota=\"producer_byte_rate\"} 1";
    assert!(page.lines().any(|line| line == counted), "{page}");
}

#[tokio::test]
async fn a_producer_that_wants_no_answers_is_held_back_too() {
    let broker = short_windows().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 1, &[]).await;
    alter(&mut client, CLIENT, "producer_byte_rate", Some(500_000.0)).await;
    let began = Instant::now();
    for _ in 0..4 {
        let request = produce_request("orders", 0, batch(&[&vec![b'x'; 800_000]]), 0);
        client.connection().send(&request, 12).await.expect("sent");
    }
    client.call(&ListGroupsRequest::default()).await;
    // 3.2 MB at 0.5 MB a second; the first three seconds are a beginner's.
    assert!(
        began.elapsed() >= Duration::from_millis(1_500),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_consumer_over_its_rate_gets_nothing_and_later_everything() {
    let broker = short_windows().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 1, &[]).await;
    for _ in 0..2 {
        produce(&mut client, 700_000).await;
    }
    alter(&mut client, USER, "consumer_byte_rate", Some(250_000.0)).await;
    let first = fetch(&mut client, 0).await;
    assert_eq!(first.throttle_time_ms, 0);
    assert!(record_bytes(&first) > 700_000);
    let second = fetch(&mut client, 1).await;
    assert!(second.throttle_time_ms > 0);
    assert_eq!(record_bytes(&second), 0);
    loop {
        // What was not sent does not count, so this ends when the first batch has left the windows.
        let again = fetch(&mut client, 1).await;
        if again.throttle_time_ms == 0 {
            assert!(record_bytes(&again) > 700_000);
            break;
        }
        assert_eq!(record_bytes(&again), 0);
    }
}

#[tokio::test]
async fn a_batch_beyond_all_windows_is_delivered_once_and_paid_for() {
    let broker = short_windows().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 1, &[]).await;
    produce(&mut client, 50_000).await;
    alter(&mut client, CLIENT, "consumer_byte_rate", Some(10_000.0)).await;
    let response = fetch(&mut client, 0).await;
    assert!(record_bytes(&response) > 50_000);
    assert!(response.throttle_time_ms > 0);
}

#[tokio::test]
async fn a_throttled_fetch_begins_no_session_and_goes_on_in_one() {
    let broker = short_windows().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 1, &[]).await;
    for _ in 0..2 {
        produce(&mut client, 700_000).await;
    }
    alter(&mut client, CLIENT, "consumer_byte_rate", Some(250_000.0)).await;
    let opening = |from| fetch_request("orders", 0, from, 0).with_session_epoch(0);
    let first = client.call_at(&opening(0), 12).await;
    assert_ne!((first.session_id, record_bytes(&first)), (0, 0));
    let refused = client.call_at(&opening(1), 12).await;
    assert!(refused.throttle_time_ms > 0);
    assert_eq!((refused.session_id, refused.responses.len()), (0, 0));
    let mut next = fetch_request("orders", 0, 1, 0).with_session_id(first.session_id);
    for epoch in 1.. {
        next = next.with_session_epoch(epoch);
        let response = client.call_at(&next, 12).await;
        assert_eq!(
            (response.error_code, response.session_id),
            (0, first.session_id)
        );
        if response.throttle_time_ms == 0 {
            assert!(record_bytes(&response) > 700_000);
            break;
        }
        assert!(response.responses.is_empty());
        // From now on nothing new is said: the session remembers the offset.
        next = FetchRequest::default()
            .with_replica_id((-1).into())
            .with_min_bytes(1)
            .with_max_bytes(50 << 20)
            .with_session_id(first.session_id);
    }
}

#[tokio::test]
async fn the_time_that_requests_take_is_limited_whatever_they_are() {
    let broker = short_windows().await;
    let mut admin = Client::connect_as(broker.addr(), "admin").await;
    admin.create_topic("orders", 1, &[]).await;
    alter(&mut admin, CLIENT, "request_percentage", Some(1e-6)).await;
    // At most a window, however far over.
    let mut client = broker.client().await;
    let response = client
        .call(&MetadataRequest::default().with_topics(None))
        .await;
    assert_eq!(response.throttle_time_ms, 1_000);
    let answered = Instant::now();
    let response = client.call(&ApiVersionsRequest::default()).await;
    assert!(answered.elapsed() >= Duration::from_millis(900));
    assert_eq!(response.throttle_time_ms, 1_000);
    let response = broker
        .client()
        .await
        .call(&ListGroupsRequest::default())
        .await;
    assert_eq!(response.throttle_time_ms, 1_000);
    let mut client = broker.client().await;
    let finding = FindCoordinatorRequest::default().with_coordinator_keys(vec!["g".into()]);
    assert_eq!(client.call_at(&finding, 4).await.throttle_time_ms, 1_000);
    let response = produce(&mut broker.client().await, 10).await;
    assert_eq!(response.throttle_time_ms, 1_000);
    let response = fetch(&mut broker.client().await, 0).await;
    assert_eq!(
        (response.throttle_time_ms, response.responses.len()),
        (1_000, 0)
    );
    // Nobody else is.
    let response = admin.call(&ListGroupsRequest::default()).await;
    assert_eq!(response.throttle_time_ms, 0);
    alter(&mut admin, CLIENT, "request_percentage", None).await;
    let mut client = broker.client().await;
    assert_eq!(fetch(&mut client, 0).await.throttle_time_ms, 0);
}

async fn delete(client: &mut Client, name: &str, version: i16) -> (i16, i32) {
    let topic = DeleteTopicState::default().with_name(Some(topic_name(name)));
    let request = DeleteTopicsRequest::default().with_timeout_ms(10_000);
    let request = if version >= 6 {
        request.with_topics(vec![topic])
    } else {
        request.with_topic_names(vec![topic_name(name)])
    };
    let response = client.call_at(&request, version).await;
    (response.responses[0].error_code, response.throttle_time_ms)
}

async fn grow(client: &mut Client, name: &str, count: i32) -> (i16, i32) {
    let topic = CreatePartitionsTopic::default()
        .with_name(topic_name(name))
        .with_count(count)
        .with_assignments(None);
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let response = client.call_at(&request, 3).await;
    (response.results[0].error_code, response.throttle_time_ms)
}

#[tokio::test]
async fn creating_and_deleting_partitions_is_refused_while_the_quota_is_in_debt() {
    let broker = short_windows().await;
    let mut client = broker.client().await;
    alter(&mut client, USER, "controller_mutation_rate", Some(10.0)).await;
    // Forty permits may be there at once, and a debt may be as large as the last request.
    client.create_topic("large", 60, &[]).await;
    let response = client.try_create_topic("refused", 1, &[]).await;
    assert_eq!(response.topics[0].error_code, EXCEEDED);
    let message = response.topics[0].error_message.as_deref();
    assert_eq!(message, Some("The throttling quota has been exceeded."));
    let throttle_ms = response.throttle_time_ms;
    assert!((1..=2_000).contains(&throttle_ms), "{throttle_ms} ms");
    // The request after a throttled one is not heard before the debt is paid, so somebody else asks.
    let (code, throttle_ms) = grow(&mut broker.client().await, "large", 61).await;
    assert!(code == EXCEEDED && throttle_ms > 0);
    // What would fail anyway costs nothing and says why.
    let (code, _) = delete(&mut client, "nowhere", 6).await;
    assert_eq!(code, ResponseError::UnknownTopicOrPartition.code());
    let (code, throttle_ms) = delete(&mut client, "large", 6).await;
    assert_eq!((code, throttle_ms), (0, 0), "the debt was waited for");
    let refused = client.try_create_topic("refused", 1, &[]).await;
    assert_eq!(
        refused.topics[0].error_code, EXCEEDED,
        "deleting is counted too"
    );
    let created = client.try_create_topic("accepted", 1, &[]).await;
    assert_eq!(created.topics[0].error_code, 0);
}

#[tokio::test]
async fn clients_that_do_not_know_the_error_are_let_through_and_slowed_down() {
    let broker = short_windows().await;
    let mut client = broker.client().await;
    client.create_topic("large", 80, &[]).await;
    alter(&mut client, USER, "controller_mutation_rate", Some(10.0)).await;
    let (code, throttle_ms) = delete(&mut client, "large", 4).await;
    assert_eq!(code, 0);
    assert!((1..=4_000).contains(&throttle_ms), "{throttle_ms} ms");
}

#[tokio::test]
async fn topics_that_are_created_by_being_asked_for_count_too() {
    let broker = short_windows().await;
    let mut client = broker.client().await;
    alter(&mut client, CLIENT, "controller_mutation_rate", Some(10.0)).await;
    client.create_topic("large", 60, &[]).await;
    let asked = wire::messages::metadata_request::MetadataRequestTopic::default()
        .with_name(Some(topic_name("automatic")));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![asked]))
        .with_allow_auto_topic_creation(true);
    let mut codes = Vec::new();
    loop {
        let code = client.call(&request).await.topics[0].error_code;
        codes.push(code);
        if code == 0 {
            break;
        }
        assert_eq!(code, ResponseError::UnknownTopicOrPartition.code());
    }
    assert!(codes.len() > 1, "the debt had to be paid first");
}

#[tokio::test]
async fn the_most_specific_entity_decides_and_removing_it_brings_the_next_one_back() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 1, &[]).await;
    let key = "producer_byte_rate";
    let both: Entity = &[("user", Some("ANONYMOUS")), ("client-id", Some("test"))];
    // A user's quota goes before a client's, and that of both before either.
    alter(&mut client, CLIENT, key, Some(1_000_000.0)).await;
    alter(&mut client, USER, key, Some(1_000.0)).await;
    alter(&mut client, both, key, Some(1_000_000.0)).await;
    assert_eq!(produce(&mut client, 100_000).await.throttle_time_ms, 0);
    alter(&mut client, both, key, None).await;
    // 100 KB in 10 s against 1,000 a second.
    assert!(produce(&mut client, 100_000).await.throttle_time_ms > 1_000);
    let mut client = broker.client().await;
    alter(&mut client, USER, key, None).await;
    assert_eq!(produce(&mut client, 100_000).await.throttle_time_ms, 0);
    alter(&mut client, CLIENT, key, None).await;
    alter(&mut client, DEFAULT_CLIENT, key, Some(1_000.0)).await;
    assert!(produce(&mut client, 100_000).await.throttle_time_ms > 1_000);
    // Each client of the default has a rate of its own.
    let mut other = Client::connect_as(broker.addr(), "other").await;
    assert_eq!(produce(&mut other, 1_000).await.throttle_time_ms, 0);
    // Who does not say what he is, is not the default client.
    let mut nameless = Client::connect_as(broker.addr(), "").await;
    assert_eq!(produce(&mut nameless, 200_000).await.throttle_time_ms, 0);
}

#[tokio::test]
async fn quotas_are_enforced_after_a_restart() {
    let mut broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 1, &[]).await;
    alter(&mut client, USER, "producer_byte_rate", Some(1_000.0)).await;
    broker.restart().await;
    let mut client = broker.client().await;
    assert!(produce(&mut client, 100_000).await.throttle_time_ms > 1_000);
    // A connection that is not heard for a while does not keep the broker from stopping.
    let stopping = Instant::now();
    broker.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(10));
}

/// Whether a connection from this address is served rather than closed.
async fn is_served_from(broker: &TestBroker, source: [u8; 4]) -> bool {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind((source, 0).into())
        .expect("an address of this host");
    let mut stream = socket
        .connect(broker.addr())
        .await
        .expect("the kernel accepts");
    let mut connection = wire::client::Connection::new(&mut stream, "test");
    if connection.negotiate().await.is_ok() {
        return true;
    }
    assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    false
}

/// Connects until a connection is refused.
async fn is_refused_at_last(broker: &TestBroker, source: [u8; 4]) -> bool {
    for _ in 0..100 {
        if !is_served_from(broker, source).await {
            return true;
        }
    }
    false
}

async fn is_served(broker: &TestBroker) -> bool {
    is_served_from(broker, [127, 0, 0, 1]).await
}

#[tokio::test]
async fn an_address_that_connects_too_often_is_turned_away() {
    let broker = short_windows().await;
    let mut client = broker.client().await;
    alter(
        &mut client,
        LOCALHOST,
        "connection_creation_rate",
        Some(1.0),
    )
    .await;
    assert!(is_served(&broker).await);
    assert!(is_refused_at_last(&broker, [127, 0, 0, 1]).await);
    // Connections that are there already are not touched, and removing the quota opens the door.
    alter(&mut client, LOCALHOST, "connection_creation_rate", None).await;
    for _ in 0..5 {
        assert!(is_served(&broker).await);
    }
    let elsewhere: Entity = &[("ip", Some("127.9.9.9"))];
    alter(
        &mut client,
        elsewhere,
        "connection_creation_rate",
        Some(1.0),
    )
    .await;
    for _ in 0..5 {
        assert!(is_served(&broker).await);
    }
    alter(
        &mut client,
        &[("ip", None)],
        "connection_creation_rate",
        Some(1.0),
    )
    .await;
    let other = [127, 0, 0, 2];
    assert!(is_served_from(&broker, other).await);
    assert!(is_refused_at_last(&broker, other).await);
    let page = metrics(&broker).await;
    let counted = "tidewater_connections_rejected_total{limit=\"address_rate\"} 2";
    assert!(page.lines().any(|line| line == counted), "{page}");
}

#[tokio::test]
async fn accepting_is_held_back_to_the_rates_of_broker_and_listener() {
    for key in [
        "max.connection.creation.rate",
        "listener.name.plaintext.max.connection.creation.rate",
    ] {
        let broker = TestBroker::start_with(&[("quota.window.num", "2"), (key, "4")]).await;
        let began = Instant::now();
        for _ in 0..12 {
            assert!(is_served(&broker).await, "held back, not refused");
        }
        // Four a second, and four in advance.
        assert!(
            began.elapsed() >= Duration::from_millis(1_500),
            "{key}: {:?}",
            began.elapsed()
        );
    }
}
