//! Configurations of what is neither a topic nor a broker: groups, client metrics subscriptions and loggers.

use std::sync::Arc;

use broker::config::Config;
use broker::{Broker, Embedding, LogFilter};
use tidewater_tests::{Client, TestBroker};
use wire::ResponseError;
use wire::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::messages::{
    AlterConfigsRequest, ConsumerGroupHeartbeatRequest, FindCoordinatorRequest, GroupId,
    ListConfigResourcesRequest,
};

use crate::configs::{APPEND, DELETE, SET, alter, config, describe, text};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;
const HEARTBEAT: &str = "consumer.heartbeat.interval.ms";

/// The heartbeat interval that a new member of the group is told.
async fn told_interval_ms(client: &mut Client, group: &str) -> i32 {
    let request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_member_id(text(&uuid::Uuid::new_v4().to_string()))
        .with_member_epoch(0)
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(vec![tidewater_tests::topic_name("orders")]))
        .with_topic_partitions(Some(Vec::new()));
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
    loop {
        client.call(&find).await;
        let response = client.call_at(&request, 1).await;
        if response.error_code == 0 {
            return response.heartbeat_interval_ms;
        }
        let loading = ResponseError::CoordinatorLoadInProgress.code();
        assert_eq!(response.error_code, loading, "{:?}", response.error_message);
    }
}

#[tokio::test]
async fn a_groups_configs_have_the_brokers_values_until_they_are_set() {
    let broker = TestBroker::start_with(&[("group.consumer.session.timeout.ms", "50000")]).await;
    let mut client = broker.client().await;
    let described = describe(&mut client, GROUP, "g").await;
    assert_eq!(described.configs.len(), 21, "as many as Kafka 4.4 lists");
    let session = config(&mut client, GROUP, "g", "consumer.session.timeout.ms").await;
    assert_eq!(
        (session.value, session.config_source),
        (Some(text("50000")), 4)
    );
    assert_eq!(
        alter(&mut client, GROUP, "g", &[(HEARTBEAT, SET, "6000")]).await,
        0
    );
    let heartbeat = config(&mut client, GROUP, "g", HEARTBEAT).await;
    assert_eq!(
        (heartbeat.value, heartbeat.config_source),
        (Some(text("6000")), 8)
    );
    let synonyms: Vec<_> = heartbeat
        .synonyms
        .iter()
        .map(|synonym| (synonym.name.as_str(), synonym.source))
        .collect();
    assert_eq!(
        synonyms,
        [(HEARTBEAT, 8), ("group.consumer.heartbeat.interval.ms", 5)]
    );
}

#[tokio::test]
async fn a_groups_config_is_in_force_when_the_change_is_answered_and_after_a_restart() {
    let mut broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 1, &[]).await;
    assert_eq!(told_interval_ms(&mut client, "g").await, 5_000);
    assert_eq!(
        alter(&mut client, GROUP, "g", &[(HEARTBEAT, SET, "7000")]).await,
        0
    );
    assert_eq!(told_interval_ms(&mut client, "g").await, 7_000);
    assert_eq!(told_interval_ms(&mut client, "other").await, 5_000);
    broker.restart().await;
    let mut client = broker.client().await;
    assert_eq!(told_interval_ms(&mut client, "g").await, 7_000);
    // The stored value is out of the bounds of the broker's keys now.
    broker.set("group.consumer.max.heartbeat.interval.ms", "6000");
    broker.restart().await;
    let mut client = broker.client().await;
    assert_eq!(told_interval_ms(&mut client, "g").await, 6_000);
    assert_eq!(
        alter(&mut client, GROUP, "g", &[(HEARTBEAT, DELETE, "")]).await,
        0
    );
    assert_eq!(told_interval_ms(&mut client, "g").await, 5_000);
}

#[tokio::test]
async fn a_groups_config_keeps_to_the_brokers_bounds() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let invalid = ResponseError::InvalidConfig.code();
    for (key, operation, value, code) in [
        (HEARTBEAT, SET, "4999", invalid),
        (HEARTBEAT, SET, "x", invalid),
        (HEARTBEAT, APPEND, "1", invalid),
        ("no.such.key", SET, "1", invalid),
        ("no.such.key", DELETE, "", 0),
        ("share.record.lock.duration.ms", SET, "10000", invalid),
        ("share.record.lock.duration.ms", SET, "20000", 0),
        ("share.auto.offset.reset", SET, "by_duration:xx", invalid),
        ("streams.num.standby.replicas", SET, "3", invalid),
        ("streams.assignor.name", SET, "nope", invalid),
        ("streams.rack.aware.assignment.tags", SET, "a,a", invalid),
    ] {
        let answer = alter(&mut client, GROUP, "g", &[(key, operation, value)]).await;
        assert_eq!(answer, code, "{key} {value}");
    }
    let nameless = alter(&mut client, GROUP, "", &[(HEARTBEAT, SET, "6000")]).await;
    assert_eq!(nameless, ResponseError::InvalidRequest.code());
}

#[tokio::test]
async fn a_client_metrics_subscription_is_described_and_survives_a_restart() {
    let mut broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let ops = [
        ("metrics", SET, "org.apache.kafka.producer."),
        ("match", SET, "client_id=a.*"),
    ];
    assert_eq!(alter(&mut client, CLIENT_METRICS, "m", &ops).await, 0);
    broker.restart().await;
    let mut client = broker.client().await;
    let rows = describe(&mut client, CLIENT_METRICS, "m").await.configs;
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.name.as_str(), row.value.as_deref(), row.config_source))
        .collect();
    let expected = [
        ("interval.ms", Some("300000"), 5),
        ("match", Some("client_id=a.*"), 7),
        ("metrics", Some("org.apache.kafka.producer."), 7),
    ];
    assert_eq!(rows, expected);
    let invalid = ResponseError::InvalidConfig.code();
    let wrong = ResponseError::InvalidRequest.code();
    for (key, operation, value, code) in [
        ("interval.ms", SET, "99", wrong),
        ("interval.ms", SET, "abc", invalid),
        ("match", SET, "client_idd=a", invalid),
        ("metrics", APPEND, "b", invalid),
        ("x", SET, "1", wrong),
    ] {
        let answer = alter(&mut client, CLIENT_METRICS, "m", &[(key, operation, value)]).await;
        assert_eq!(answer, code, "{key} {value}");
    }
    let replaced = AlterConfigsResource::default()
        .with_resource_type(CLIENT_METRICS)
        .with_resource_name(text("m"))
        .with_configs(vec![
            AlterableConfig::default()
                .with_name(text("interval.ms"))
                .with_value(Some(text("500"))),
        ]);
    let request = AlterConfigsRequest::default().with_resources(vec![replaced]);
    assert_eq!(client.call(&request).await.responses[0].error_code, 0);
    let metrics = config(&mut client, CLIENT_METRICS, "m", "metrics").await;
    assert_eq!((metrics.value, metrics.config_source), (Some(text("")), 5));
}

/// (type, name) of what is listed.
async fn list(client: &mut Client, version: i16, types: &[i8]) -> Result<Vec<(i8, String)>, i16> {
    let request = ListConfigResourcesRequest::default().with_resource_types(types.to_vec());
    let response = client.call_at(&request, version).await;
    if response.error_code != 0 {
        return Err(response.error_code);
    }
    let resources = response.config_resources.iter();
    Ok(resources
        .map(|one| (one.resource_type, one.resource_name.to_string()))
        .collect())
}

#[tokio::test]
async fn resources_are_listed_by_type() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 1, &[]).await;
    alter(&mut client, CLIENT_METRICS, "m", &[("metrics", SET, "*")]).await;
    alter(&mut client, GROUP, "g", &[(HEARTBEAT, SET, "6000")]).await;
    let named = |kind: i8, name: &str| (kind, name.to_owned());
    let metrics = named(CLIENT_METRICS, "m");
    assert_eq!(list(&mut client, 0, &[]).await, Ok(vec![metrics.clone()]));
    let all = vec![
        named(TOPIC, "orders"),
        named(BROKER, "1"),
        named(BROKER_LOGGER, "1"),
        metrics,
        named(GROUP, "g"),
    ];
    assert_eq!(list(&mut client, 1, &[]).await, Ok(all));
    assert_eq!(
        list(&mut client, 1, &[GROUP, GROUP]).await,
        Ok(vec![named(GROUP, "g")])
    );
    let unknown = ResponseError::UnsupportedVersion.code();
    assert_eq!(list(&mut client, 1, &[GROUP, 99]).await, Err(unknown));
    alter(&mut client, GROUP, "g", &[(HEARTBEAT, DELETE, "")]).await;
    assert_eq!(list(&mut client, 1, &[GROUP]).await, Ok(Vec::new()));
}

#[tokio::test]
async fn log_levels_are_the_live_filters_and_nothing_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let filter = Arc::new(LogFilter::new("info", |_| Ok(())));
    let embedding = Embedding {
        log_filter: Some(Arc::clone(&filter)),
        ..Embedding::default()
    };
    let broker = Broker::start_embedded(Config::for_tests(dir.path()), embedding).await;
    let broker = broker.unwrap();
    let mut client = Client::connect(broker.addr()).await;
    let root = config(&mut client, BROKER_LOGGER, "1", "root").await;
    assert_eq!((root.value, root.config_source), (Some(text("INFO")), 6));
    let ops = [("root", SET, "WARN"), ("tidewater_storage", SET, "DEBUG")];
    assert_eq!(alter(&mut client, BROKER_LOGGER, "1", &ops).await, 0);
    assert_eq!(filter.current(), "warn,tidewater_storage=debug");
    let broker_level = config(&mut client, BROKER_LOGGER, "1", "tidewater_broker").await;
    assert_eq!(broker_level.value, Some(text("WARN")));
    let wrong = ResponseError::InvalidRequest.code();
    let invalid = ResponseError::InvalidConfig.code();
    for (name, logger, operation, value, code) in [
        ("1", "root", DELETE, "", wrong),
        ("1", "root", APPEND, "INFO", wrong),
        ("1", "root", SET, "info", invalid),
        ("1", "kafka.server.KafkaApis", SET, "INFO", invalid),
        ("2", "root", SET, "INFO", wrong),
        ("", "root", SET, "INFO", wrong),
    ] {
        let answer = alter(
            &mut client,
            BROKER_LOGGER,
            name,
            &[(logger, operation, value)],
        )
        .await;
        assert_eq!(answer, code, "{logger} of {name}");
    }
    assert_eq!(filter.current(), "warn,tidewater_storage=debug");
    broker.shutdown().await.unwrap();
}
