//! Compacted topics as clients see them, and the broker's own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidewater_tests::{Client, TestBroker, now_ms, topic_name};
use wire::Bytes;
use wire::batch::{BatchBuilder, BatchHeader, BatchOptions, Codec};
use wire::messages::DeleteTopicsRequest;
use wire::messages::delete_topics_request::DeleteTopicState;

use crate::admin::metrics;
use crate::configs::{SET, TOPIC, alter};
use crate::groups::{broker_with, commit_request, committed, loaded, offset};

/// Compaction looks for work all the time, and nearly any work will do.
const EAGER: [(&str, &str); 3] = [
    ("log.cleaner.backoff.ms", "10"),
    ("log.cleaner.min.cleanable.ratio", "0.01"),
    ("log.cleaner.threads", "2"),
];
/// A segment is closed by the first batch that is a millisecond younger than it.
const COMPACTED: [(&str, &str); 2] = [("cleanup.policy", "compact"), ("segment.ms", "1")];

/// One record with a key, in a batch stamped `n` times 2 ms from now.
fn keyed(n: i64, key: &str, value: Option<&str>, codec: Codec) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions {
        codec,
        ..BatchOptions::default()
    });
    let value = value.map(str::as_bytes);
    builder
        .append(now_ms() + 2 * n, Some(key.as_bytes()), value, &[])
        .expect("the record fits");
    builder.build().expect("a batch")
}

/// Keys and values of the whole partition with their offsets, a fetch at a time.
async fn content(client: &mut Client, topic: &str) -> BTreeMap<i64, (String, Option<String>)> {
    let mut found = BTreeMap::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (mut next, mut end) = (0, 1);
    while next < end {
        let fetched = client.fetch(topic, 0, next).await;
        assert_eq!(fetched.error_code, 0);
        end = fetched.high_watermark;
        for batch in wire::batch::batches(&fetched.records) {
            let (header, batch) = batch.expect("a whole batch");
            assert!(wire::batch::check_crc(batch));
            let records = wire::batch::records(batch, 1 << 20).expect("records");
            for record in records.iter() {
                let record = record.expect("a record");
                let key = text(record.key.expect("a key"));
                found.insert(header.offset_of(&record), (key, record.value.map(text)));
            }
            next = BatchHeader::parse(batch).expect("a header").next_offset();
        }
    }
    found
}

/// Waits until `holds` of what the topic holds, which it gives back.
async fn content_once(
    client: &mut Client,
    topic: &str,
    holds: impl Fn(&BTreeMap<i64, (String, Option<String>)>) -> bool,
) -> BTreeMap<i64, (String, Option<String>)> {
    let wait = async {
        loop {
            let found = content(client, topic).await;
            if holds(&found) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(30), wait).await;
    found.expect("the topic is compacted")
}

#[tokio::test]
async fn a_compacted_topic_keeps_the_last_value_of_every_key_also_over_a_restart() {
    let mut broker = TestBroker::start_with(&EAGER).await;
    let mut client = broker.client().await;
    client.create_topic("table", 1, &COMPACTED).await;
    let codecs = Codec::ALL.iter().cycle();
    for (n, codec) in (0..200i64).zip(codecs) {
        let (key, value) = (format!("k{}", n % 10), n.to_string());
        let batch = keyed(n, &key, Some(&value), *codec);
        assert_eq!(client.produce("table", 0, batch).await, n);
    }
    // The newest record lies in the segment that is still written to.
    let found = content_once(&mut client, "table", |found| found.len() <= 11).await;
    let expected: BTreeMap<_, _> = (190..200i64)
        .map(|n| (n, (format!("k{}", n % 10), Some(n.to_string()))))
        .collect();
    let last: BTreeMap<_, _> = found
        .clone()
        .into_iter()
        .filter(|(n, _)| *n >= 190)
        .collect();
    assert_eq!(last, expected);
    assert_eq!(client.list_offset("table", 0, -1).await.1, 200);
    let page = metrics(&broker).await;
    assert!(page.contains("kafka_log_logcleaner_deadthreadcount 0"));
    assert!(page.contains("tidewater_storage_cleaner_poison_batches_total 0"));

    broker.restart().await;
    let mut client = broker.client().await;
    let again = content(&mut client, "table").await;
    let last: BTreeMap<_, _> = again.into_iter().filter(|(n, _)| *n >= 190).collect();
    assert_eq!(last, expected);
}

#[tokio::test]
async fn a_topic_may_become_compacted_and_be_deleted_meanwhile() {
    let broker = TestBroker::start_with(&EAGER).await;
    let mut client = broker.client().await;
    client
        .create_topic("table", 1, &[("segment.ms", "1")])
        .await;
    for n in 0..100 {
        let batch = keyed(n, &format!("k{}", n % 5), Some("v"), Codec::None);
        client.produce("table", 0, batch).await;
    }
    assert_eq!(content(&mut client, "table").await.len(), 100);
    let compact = [("cleanup.policy", SET, "compact")];
    assert_eq!(alter(&mut client, TOPIC, "table", &compact).await, 0);
    content_once(&mut client, "table", |found| found.len() <= 6).await;
    for n in 100..150 {
        let batch = keyed(n, &format!("k{}", n % 5), Some("v"), Codec::None);
        client.produce("table", 0, batch).await;
    }
    let gone = DeleteTopicState::default().with_name(Some(topic_name("table")));
    let request = DeleteTopicsRequest::default()
        .with_topics(vec![gone])
        .with_timeout_ms(10_000);
    assert_eq!(client.call(&request).await.responses[0].error_code, 0);
    client.create_topic("table", 1, &COMPACTED).await;
    assert_eq!(content(&mut client, "table").await, BTreeMap::new());
}

#[tokio::test]
async fn a_tombstone_takes_its_key_away_in_the_end() {
    let broker = TestBroker::start_with(&EAGER).await;
    let mut client = broker.client().await;
    let configs = [COMPACTED.as_slice(), &[("delete.retention.ms", "0")]].concat();
    client.create_topic("table", 1, &configs).await;
    client
        .produce("table", 0, keyed(0, "gone", Some("v"), Codec::Zstd))
        .await;
    client
        .produce("table", 0, keyed(1, "gone", None, Codec::Zstd))
        .await;
    let mut n = 1;
    let wait = async {
        loop {
            n += 1;
            client
                .produce("table", 0, keyed(n, "other", Some("v"), Codec::None))
                .await;
            let found = content(&mut client, "table").await;
            if found.values().all(|(key, _)| key == "other") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .expect("the key is gone");
}

#[tokio::test]
async fn committed_offsets_are_compacted_and_still_known_after_a_restart() {
    let settings = [
        EAGER.as_slice(),
        &[("offsets.topic.num.partitions", "1"), ("log.roll.ms", "1")],
    ]
    .concat();
    let mut broker = broker_with(&settings).await;
    let mut client = broker.client().await;
    for offset in 0..400 {
        let request = commit_request("group", "orders", &[(0, offset, "")]);
        assert_eq!(committed(&mut client, &request, 8).await, [0]);
    }
    let found = content_once(&mut client, "__consumer_offsets", |found| found.len() < 100).await;
    let offsets: BTreeSet<_> = found.keys().collect();
    assert_eq!(offsets.last(), Some(&&399));
    broker.restart().await;
    let mut client = broker.client().await;
    loaded(&mut client).await;
    assert_eq!(offset(&mut client, "group").await, 399);
}
