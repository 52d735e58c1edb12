//! What survives an orderly stop, and a crash.

use broker::config::Config;
use broker::{Broker, StartError};
use tidewater_tests::{TestBroker, batch, sequenced, topic_name};
use wire::messages::MetadataRequest;
use wire::messages::metadata_request::MetadataRequestTopic;

const KAFKA_STORAGE_ERROR: i16 = 56;

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

#[tokio::test]
async fn a_second_broker_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 1, &[]).await;
    let config = Config::for_tests_with(broker.dir(), &[]);
    let error = Broker::start(config).await.err().expect("a refusal");
    assert!(
        matches!(&error, StartError::DirectoryInUse { path } if path == broker.dir()),
        "{error}"
    );
    assert_eq!(client.produce("orders", 0, batch(&[b"a"])).await, 0);
}

/// A partition whose directory is away must not begin anew in another one: consumers would find it empty, and the records
/// would be gone for good when the directory comes back.
#[tokio::test]
async fn partitions_of_a_directory_that_is_away_wait_for_it() {
    let dirs = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| dirs.path().join(name));
    let log_dirs = format!("{},{}", first.display(), second.display());
    let mut broker = TestBroker::start_with(&[("log.dirs", &log_dirs)]).await;
    let mut client = broker.client().await;
    client.create_topic("orders", 4, &[]).await;
    for partition in 0..4 {
        client.produce("orders", partition, batch(&[b"a"])).await;
    }
    broker.stop().await;
    let (meta, aside) = (second.join("meta.properties"), second.join("aside"));
    std::fs::rename(&meta, &aside).unwrap();
    std::fs::create_dir(&meta).unwrap();
    broker.boot().await;
    let mut client = broker.client().await;
    let mut served = 0;
    for partition in 0..4 {
        let fetched = client.fetch("orders", partition, 0).await;
        match fetched.error_code {
            0 => served += fetched.values(0).len(),
            code => assert_eq!(code, KAFKA_STORAGE_ERROR),
        }
    }
    assert_eq!(served, 2);
    client.create_topic("new", 2, &[]).await;
    assert_eq!(client.produce("new", 1, batch(&[b"n"])).await, 0);
    broker.stop().await;
    std::fs::remove_dir(&meta).unwrap();
    std::fs::rename(&aside, &meta).unwrap();
    broker.boot().await;
    let mut client = broker.client().await;
    for partition in 0..4 {
        let values = client.fetch("orders", partition, 0).await.values(0);
        assert_eq!(values, [(0, b"a".to_vec())], "partition {partition}");
    }
}
