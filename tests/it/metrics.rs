//! What `/metrics` shows of what clients did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tidewater_tests::{Client, TestBroker, batch, compressed, fetch_request};
use wire::batch::Codec;
use wire::messages::DeleteTopicsRequest;
use wire::messages::delete_topics_request::DeleteTopicState;

use crate::admin::metrics;
use crate::configs::{BROKER, SET, alter};
use crate::groups::{self, Member, commit_request, committed, delete_group};

/// Longer than anything here takes; a test that waits for this has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The sum of a family's samples, over all labels.
fn sum(page: &str, name: &str) -> f64 {
    values(page, name).values().sum()
}

/// A family's samples by their labels as they stand between the braces.
fn values(page: &str, name: &str) -> BTreeMap<String, f64> {
    let samples = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        let labels = match labels {
            "" => "",
            labels => labels.strip_prefix('{')?.strip_suffix('}')?,
        };
        Some((labels.to_owned(), value.parse().ok()?))
    });
    samples.collect()
}

/// One sample; -1 where there is none, which no count is.
fn value(page: &str, name: &str, labels: &str) -> f64 {
    values(page, name).get(labels).copied().unwrap_or(-1.0)
}

fn assert_value(page: &str, name: &str, labels: &str, expected: f64) {
    let found = value(page, name, labels);
    assert!(
        (found - expected).abs() < 1e-9,
        "{name}{{{labels}}} is {found}, expected {expected}"
    );
}

async fn produce(client: &mut Client, topic: &str, partition: i32, records: usize) {
    let values = vec![&b"value"[..]; records];
    client.produce(topic, partition, batch(&values)).await;
}

async fn commit(client: &mut Client, group: &str, topic: &str, partition: i32, offset: i64) {
    let request = commit_request(group, topic, &[(partition, offset, "")]);
    assert_eq!(committed(client, &request, 8).await, [0]);
}

async fn delete_topic(client: &mut Client, topic: &str) {
    let gone = DeleteTopicState::default().with_name(Some(tidewater_tests::topic_name(topic)));
    let request = DeleteTopicsRequest::default()
        .with_topics(vec![gone])
        .with_timeout_ms(10_000);
    assert_eq!(client.call(&request).await.responses[0].error_code, 0);
}

#[tokio::test]
async fn metrics_count_what_clients_did() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 3, &[]).await;
    client.produce("orders", 0, batch(&[&[b'x'; 1_000]])).await;
    let zipped = compressed(&[b"one", b"two"], Codec::Zstd);
    client.produce("orders", 1, zipped.clone()).await;
    client.fetch("orders", 0, 0).await;
    let page = metrics(&broker).await;
    assert!(sum(&page, "tidewater_storage_appended_bytes_total") >= 1_000.0);
    assert!(sum(&page, "tidewater_fetched_bytes_total") >= 1_000.0);
    assert!(sum(&page, "tidewater_requests_total") >= 4.0);
    assert_value(&page, "tidewater_partitions", "", 3.0);
    assert_value(
        &page,
        "tidewater_connections",
        "listener=\"PLAINTEXT\"",
        1.0,
    );
    let zstd = "compression=\"zstd\"";
    assert_value(&page, "tidewater_produced_records_total", zstd, 2.0);
    assert_value(&page, "tidewater_produced_batches_total", zstd, 1.0);
    let unknown = client.fetch("nowhere", 0, 0).await;
    assert_eq!(unknown.error_code, 3);
    let refused = client.try_create_topic("orders", 1, &[]).await;
    assert_eq!(refused.topics[0].error_code, 36);
    let page = metrics(&broker).await;
    let errors = "tidewater_request_errors_total";
    let unknown = "error=\"UnknownTopicOrPartition\",request=\"Fetch\"";
    assert_value(&page, errors, unknown, 1.0);
    let refused = "error=\"TopicAlreadyExists\",request=\"CreateTopics\"";
    assert_value(&page, errors, refused, 1.0);
    let bytes = zipped.len() as f64;
    assert_value(&page, "tidewater_produced_bytes_total", zstd, bytes);
}

#[tokio::test]
async fn dashboards_made_for_kafka_find_their_names() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client
        .create_topic("orders", 2, &[("min.insync.replicas", "2")])
        .await;
    produce(&mut client, "orders", 0, 3).await;
    client.fetch("orders", 0, 0).await;
    let page = metrics(&broker).await;
    let traffic = |name: &str| format!("kafka_server_brokertopicmetrics_{name}_total");
    for labels in ["", "topic=\"orders\""] {
        assert_value(&page, &traffic("messagesin"), labels, 3.0);
        assert_value(&page, &traffic("totalproducerequests"), labels, 1.0);
        assert_value(&page, &traffic("failedproducerequests"), labels, 0.0);
        assert_value(&page, &traffic("totalfetchrequests"), labels, 1.0);
        assert!(value(&page, &traffic("bytesin"), labels) > 0.0);
        let (sent, taken) = (traffic("bytesout"), traffic("bytesin"));
        assert_value(&page, &sent, labels, value(&page, &taken, labels));
    }
    assert_value(&page, "kafka_server_replicamanager_leadercount", "", 2.0);
    // Of one replica no two can be in sync: the topic asks for as many as there are.
    let under = "kafka_server_replicamanager_underminisrpartitioncount";
    assert_value(&page, under, "", 0.0);
    assert_value(
        &page,
        "kafka_controller_kafkacontroller_activecontrollercount",
        "",
        1.0,
    );
    assert_value(&page, "kafka_topic_partitions", "topic=\"orders\"", 2.0);
    let first = "topic=\"orders\",partition=\"0\"";
    assert_value(&page, "kafka_topic_partition_current_offset", first, 3.0);
    assert_value(&page, "kafka_topic_partition_oldest_offset", first, 0.0);
    assert_value(&page, "kafka_cluster_partition_underminisr", first, 0.0);
    assert_value(&page, "kafka_cluster_partition_atminisr", first, 1.0);
    assert!(value(&page, "kafka_log_log_size", first) > 0.0);
    let listener = "listener=\"PLAINTEXT\",networkProcessor=\"0\"";
    let connections = "kafka_server_socket_server_metrics_connection_count";
    assert_value(&page, connections, listener, 1.0);
    let address = format!("id=\"1\",address=\"{}\"", broker.addr());
    assert_value(&page, "kafka_broker_info", &address, 1.0);
}

#[tokio::test]
async fn a_group_that_has_read_half_is_behind_by_the_other_half() {
    let broker = groups::broker().await;
    let mut client = broker.client().await;
    produce(&mut client, "orders", 0, 10).await;
    produce(&mut client, "orders", 1, 4).await;
    commit(&mut client, "g", "orders", 0, 5).await;
    commit(&mut client, "g", "orders", 1, 4).await;
    let page = metrics(&broker).await;
    assert_value(&page, "tidewater_group_lag", "group=\"g\"", 5.0);
    assert_value(&page, "tidewater_group_lag_max", "group=\"g\"", 5.0);
    let topic = "group=\"g\",topic=\"orders\"";
    assert_value(&page, "tidewater_group_topic_lag", topic, 5.0);
    let partition = format!("{topic},partition=\"0\"");
    assert_value(&page, "tidewater_group_partition_lag", &partition, 5.0);
    let topic = "consumergroup=\"g\",topic=\"orders\"";
    assert_value(&page, "kafka_consumergroup_lag_sum", topic, 5.0);
    assert_value(&page, "kafka_consumergroup_current_offset_sum", topic, 9.0);
    for (partition, offset, lag) in [(0, 5.0, 5.0), (1, 4.0, 0.0)] {
        let labels = format!("{topic},partition=\"{partition}\"");
        assert_value(&page, "kafka_consumergroup_current_offset", &labels, offset);
        assert_value(&page, "kafka_consumergroup_lag", &labels, lag);
    }
    // Nobody is in the group, and its lag grows all the same.
    assert_value(
        &page,
        "kafka_consumergroup_members",
        "consumergroup=\"g\"",
        0.0,
    );
    produce(&mut client, "orders", 1, 7).await;
    let page = metrics(&broker).await;
    assert_value(&page, "tidewater_group_lag", "group=\"g\"", 12.0);
    assert_value(&page, "tidewater_group_lag_max", "group=\"g\"", 7.0);
}

#[tokio::test]
async fn a_group_ahead_of_the_log_is_not_behind() {
    let broker = groups::broker().await;
    let mut client = broker.client().await;
    produce(&mut client, "orders", 0, 2).await;
    commit(&mut client, "g", "orders", 0, 100).await;
    let page = metrics(&broker).await;
    assert_value(&page, "tidewater_group_lag", "group=\"g\"", 0.0);
    let labels = "consumergroup=\"g\",topic=\"orders\",partition=\"0\"";
    assert_value(&page, "kafka_consumergroup_lag", labels, 0.0);
}

#[tokio::test]
async fn what_is_deleted_is_shown_no_more() {
    let broker = groups::broker().await;
    let mut client = broker.client().await;
    client.create_topic("passing", 1, &[]).await;
    produce(&mut client, "passing", 0, 5).await;
    produce(&mut client, "orders", 0, 5).await;
    commit(&mut client, "stays", "passing", 0, 1).await;
    commit(&mut client, "stays", "orders", 0, 3).await;
    commit(&mut client, "goes", "orders", 0, 1).await;
    let page = metrics(&broker).await;
    assert_value(&page, "tidewater_group_lag", "group=\"stays\"", 6.0);
    assert_value(&page, "tidewater_group_lag", "group=\"goes\"", 4.0);
    let before = sum(&page, "tidewater_produced_records_total");

    delete_topic(&mut client, "passing").await;
    assert_eq!(delete_group(&mut client, "goes").await, 0);
    let page = metrics(&broker).await;
    for gone in ["\"passing\"", "\"goes\""] {
        assert!(!page.contains(gone), "{gone} is still in\n{page}");
    }
    assert_value(&page, "tidewater_group_lag", "group=\"stays\"", 2.0);
    // What went through a topic stays in the sums.
    assert!((sum(&page, "tidewater_produced_records_total") - before).abs() < 0.1);
    // The ten, and what the coordinator stored.
    let all = value(
        &page,
        "kafka_server_brokertopicmetrics_messagesin_total",
        "",
    );
    assert!(all > 10.0, "{all}");

    // A namesake begins without what was committed for the other.
    client.create_topic("passing", 1, &[]).await;
    produce(&mut client, "passing", 0, 2).await;
    let page = metrics(&broker).await;
    assert_value(&page, "tidewater_group_lag", "group=\"stays\"", 2.0);
}

#[tokio::test]
async fn levels_say_what_is_told_apart() {
    for (topic_level, group_level) in [
        ("none", "none"),
        ("topic", "group"),
        ("topic", "topic"),
        ("partition", "partition"),
    ] {
        let broker = groups::broker_with(&[
            ("metrics.topic.level", topic_level),
            ("metrics.consumer.group.level", group_level),
        ])
        .await;
        let mut client = broker.client().await;
        let mut member = Member::new(&broker, "g").await;
        member.settle().await;
        commit(&mut client, "other", "orders", 0, 0).await;
        let page = metrics(&broker).await;
        let has = |name: &str| !values(&page, name).is_empty();
        let of_topics = value(&page, "tidewater_topic_size_bytes", "topic=\"orders\"") >= 0.0;
        assert_eq!(of_topics, topic_level != "none", "{topic_level}");
        assert_eq!(has("kafka_topic_partitions"), topic_level != "none");
        for name in ["tidewater_partition_start_offset", "kafka_log_log_size"] {
            assert_eq!(
                has(name),
                topic_level == "partition",
                "{name} {topic_level}"
            );
        }
        for name in ["tidewater_group_lag", "kafka_consumergroup_members"] {
            assert_eq!(has(name), group_level != "none", "{name} {group_level}");
        }
        let by_topic = matches!(group_level, "topic" | "partition");
        for name in ["tidewater_group_topic_lag", "kafka_consumergroup_lag_sum"] {
            assert_eq!(has(name), by_topic, "{name} {group_level}");
        }
        for name in ["tidewater_group_partition_lag", "kafka_consumergroup_lag"] {
            assert_eq!(
                has(name),
                group_level == "partition",
                "{name} {group_level}"
            );
        }
        // The sums are there at any level.
        assert!(has("kafka_server_brokertopicmetrics_bytesin_total"));
        assert!(has("tidewater_groups"));
    }
}

#[tokio::test]
async fn levels_are_altered_while_the_broker_runs() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 1, &[]).await;
    let has_partitions = |page: &str| !values(page, "kafka_log_log_size").is_empty();
    assert!(has_partitions(&metrics(&broker).await));
    let ops = [("metrics.topic.level", SET, "topic")];
    assert_eq!(alter(&mut client, BROKER, "", &ops).await, 0);
    assert!(!has_partitions(&metrics(&broker).await));
}

#[tokio::test]
async fn who_waits_is_shown_as_long_as_it_waits() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 1, &[]).await;
    let mut reader = broker.client().await;
    let request = fetch_request("orders", 0, 0, 60_000);
    let reading = tokio::spawn(async move { reader.call_at(&request, 12).await });
    let waiting = async |expected: f64| {
        let shown = async || value(&metrics(&broker).await, "tidewater_waiting_fetches", "");
        while (shown().await - expected).abs() > 0.1 {}
    };
    let waits = tokio::time::timeout(PATIENCE, waiting(1.0)).await;
    waits.expect("a long poll waits");
    produce(&mut client, "orders", 0, 1).await;
    reading.await.expect("an answer");
    let answered = tokio::time::timeout(PATIENCE, waiting(0.0)).await;
    answered.expect("nobody waits any more");
}

/// The bound is an order of magnitude above what an idle machine takes, and the quickest of five counts: what is held up is
/// a page whose cost grows faster than its length.
#[tokio::test]
#[allow(
    clippy::disallowed_methods,
    reason = "measures what an operator's scrape takes"
)]
async fn ten_thousand_partitions_are_shown_at_once() {
    const MOST: Duration = Duration::from_millis(500);
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    for topic in ["a", "b", "c", "d"] {
        client.create_topic(topic, 2_500, &[]).await;
    }
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        let page = metrics(&broker).await;
        quickest = quickest.min(began.elapsed());
        assert_eq!(values(&page, "kafka_log_log_size").len(), 10_000);
    }
    assert!(quickest < MOST, "the quickest of five took {quickest:?}");
}

#[tokio::test]
async fn without_compatibility_no_name_of_others_is_shown() {
    let broker = TestBroker::start_with(&[("metrics.kafka.compat", "false")]).await;
    let page = metrics(&broker).await;
    let theirs: Vec<_> = page
        .lines()
        .filter(|line| line.contains("kafka_"))
        .collect();
    assert!(theirs.is_empty(), "{theirs:?}");
}

/// A family of a page.
#[derive(Default)]
struct Family<'a> {
    kind: &'a str,
    help: &'a str,
    labels: BTreeSet<&'a str>,
    has_samples: bool,
}

fn families(page: &str) -> BTreeMap<&str, Family<'_>> {
    let mut families: BTreeMap<&str, Family<'_>> = BTreeMap::new();
    let mut current = "";
    for line in page.lines() {
        if let Some((name, help)) = line
            .strip_prefix("# HELP ")
            .and_then(|rest| rest.split_once(' '))
        {
            let family = families.entry(name).or_default();
            assert!(family.help.is_empty(), "{name} is there twice");
            family.help = help;
            current = name;
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            families.entry(name).or_default().kind = kind;
        } else if let Some(family) = families.get_mut(current) {
            family.has_samples = true;
            let labels = line.split_once('{').map_or("", |(_, rest)| rest);
            let names = labels
                .split("\",")
                .filter_map(|pair| Some(pair.split_once("=\"")?.0));
            family.labels.extend(names.filter(|name| *name != "le"));
        }
    }
    families
}

/// `docs/metrics.md`, from what a broker shows.
fn page_of_docs(metrics: &str) -> String {
    let mut ours = String::from(
        "# Metrics\n\nWhat `/metrics` on the admin listener shows, generated from a running broker (`make docs`).\n\n\
         How finely topics and groups are told apart is set by `metrics.topic.level` and `metrics.consumer.group.level`; \
         whether the names of others are there by `metrics.kafka.compat` ([configuration](configuration.md)). Lag is counted \
         from what a group has committed to the high watermark; it is never negative, is kept for groups without members, \
         and ends with the group or the topic.\n\n\
         ## This broker's own\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n",
    );
    let mut theirs = String::from(
        "\n## Names of others\n\nUnder these, dashboards and alerts made for Apache Kafka find what they ask for: Strimzi's \
         *Kafka* dashboard and alerts, made for the JMX exporter under Strimzi's rules, and its *Kafka Exporter* dashboard, made \
         for kafka_exporter. Not here is what concerns a JVM (`jvm_…`) or comes from Kubernetes (`container_…`, `kubelet_…`).\n\n\
         | metric | type | labels | meaning | asked for by |\n|---|---|---|---|---|\n",
    );
    for (name, family) in families(metrics) {
        assert!(
            family.has_samples,
            "{name} has no sample to see its labels by"
        );
        let labels: Vec<_> = family
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let (labels, kind) = (labels.join(" "), family.kind);
        if name.starts_with("kafka_") {
            let (help, asked_by) = family.help.rsplit_once(" (").expect("who asks for it");
            let asked_by = asked_by.trim_end_matches([')', '.']);
            theirs.push_str(&format!(
                "| `{name}` | {kind} | {labels} | {help}. | {asked_by} |\n"
            ));
        } else {
            ours.push_str(&format!(
                "| `{name}` | {kind} | {labels} | {} |\n",
                family.help
            ));
        }
    }
    ours + &theirs
}

#[tokio::test]
async fn generated_docs_metrics_page_is_current() {
    let broker = groups::broker().await;
    let mut client = broker.client().await;
    let mut member = Member::new(&broker, "g").await;
    member.settle().await;
    commit(&mut client, "other", "orders", 0, 0).await;
    client.try_create_topic("orders", 1, &[]).await;
    let expected = page_of_docs(&metrics(&broker).await);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &expected).expect("the page can be written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/metrics.md is stale: run `make docs`"
    );
}
