//! What survives an orderly stop, and a crash.

use tidewater_tests::{TestBroker, batch, sequenced, topic_name};
use wire::messages::MetadataRequest;
use wire::messages::metadata_request::MetadataRequestTopic;

async fn leader_epoch(broker: &TestBroker, topic: &str) -> i32 {
    let wanted = MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
    let answer = broker
        .client()
        .await
        .call(&MetadataRequest::default().with_topics(Some(vec![wanted])))
        .await;
    answer.topics[0].partitions[0].leader_epoch
}

#[tokio::test]
async fn topics_records_ids_and_offsets_survive_an_orderly_stop() {
    let mut broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let id = client
        .create_topic("orders", 2, &[("retention.ms", "12345")])
        .await;
    client.produce("orders", 0, batch(&[b"a", b"b"])).await;
    let cluster_id = broker.broker().cluster_id();
    broker.restart().await;
    assert_eq!(broker.broker().cluster_id(), cluster_id);
    let mut client = broker.client().await;
    let wanted = MetadataRequestTopic::default().with_name(Some(topic_name("orders")));
    let answer = client
        .call(&MetadataRequest::default().with_topics(Some(vec![wanted])))
        .await;
    assert_eq!(
        (answer.topics[0].topic_id, answer.topics[0].partitions.len()),
        (id, 2)
    );
    assert_eq!(
        client.fetch("orders", 0, 0).await.values(0),
        [(0, b"a".to_vec()), (1, b"b".to_vec())]
    );
    assert_eq!(client.produce("orders", 0, batch(&[b"c"])).await, 2);
}

#[tokio::test]
async fn a_producer_goes_on_where_it_was_after_a_restart_and_its_repetition_is_still_known() {
    let mut broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 1, &[]).await;
    let producer = client.init_producer().await;
    let last = sequenced(&[b"a"], producer, 0);
    client.produce("orders", 0, last.clone()).await;
    broker.restart().await;
    let mut client = broker.client().await;
    assert_eq!(client.produce("orders", 0, last).await, 0, "the repetition");
    assert_eq!(
        client
            .produce("orders", 0, sequenced(&[b"b"], producer, 1))
            .await,
        1,
        "the next"
    );
}

#[tokio::test]
async fn leader_epochs_never_fall() {
    let mut broker = TestBroker::start().await;
    broker.client().await.create_topic("orders", 1, &[]).await;
    let mut before = leader_epoch(&broker, "orders").await;
    for _ in 0..3 {
        broker.restart().await;
        let now = leader_epoch(&broker, "orders").await;
        assert!(now >= before, "{now} after {before}");
        before = now;
    }
}
