//! Configurations are described with their origins, and changes take effect at once.

use tidewater_tests::{Client, TestBroker, batch};
use wire::messages::alter_configs_request::{
    AlterConfigsResource as ReplacedResource, AlterableConfig as ReplacedConfig,
};
use wire::messages::describe_configs_request::DescribeConfigsResource;
use wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::messages::{AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use wire::{ResponseError, StrBytes};

pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;
pub(crate) const SET: i8 = 0;
pub(crate) const DELETE: i8 = 1;
pub(crate) const APPEND: i8 = 2;

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) async fn describe(client: &mut Client, kind: i8, name: &str) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true)
        .with_include_documentation(true);
    client.call(&request).await.results.remove(0)
}

pub(crate) async fn config(
    client: &mut Client,
    kind: i8,
    name: &str,
    key: &str,
) -> DescribeConfigsResourceResult {
    let described = describe(client, kind, name).await;
    described
        .configs
        .into_iter()
        .find(|config| config.name.as_str() == key)
        .expect("the key is described")
}

pub(crate) async fn alter(
    client: &mut Client,
    kind: i8,
    name: &str,
    ops: &[(&str, i8, &str)],
) -> i16 {
    let configs = ops.iter().map(|(key, operation, value)| {
        AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(*operation)
            .with_value(Some(text(value)))
    });
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    client.call(&request).await.responses[0].error_code
}

#[tokio::test]
async fn every_topic_config_is_described_with_where_it_comes_from() {
    let broker = TestBroker::start_with(&[("log.retention.ms", "86400000")]).await;
    let mut client = broker.client().await;
    client
        .create_topic("orders", 1, &[("segment.bytes", "2000000")])
        .await;
    let own = config(&mut client, TOPIC, "orders", "segment.bytes").await;
    assert_eq!((own.value, own.config_source), (Some(text("2000000")), 1));
    let inherited = config(&mut client, TOPIC, "orders", "retention.ms").await;
    assert_eq!(
        (inherited.value, inherited.config_source),
        (Some(text("86400000")), 4)
    );
    let default = config(&mut client, TOPIC, "orders", "max.message.bytes").await;
    assert_eq!(
        (default.value, default.config_source),
        (Some(text("1048588")), 5)
    );
    assert!(default.documentation.is_some_and(|doc| !doc.is_empty()));
    let unknown = describe(&mut client, TOPIC, "nowhere").await;
    assert_eq!(
        unknown.error_code,
        ResponseError::UnknownTopicOrPartition.code()
    );
    let stranger = describe(&mut client, BROKER, "99").await;
    assert_eq!(stranger.error_code, ResponseError::InvalidRequest.code());
}

#[tokio::test]
async fn a_changed_topic_config_is_in_force_when_the_change_is_answered_and_after_a_restart() {
    let mut broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 1, &[]).await;
    let big = batch(&[&[b'x'; 2_000]]);
    assert_eq!(
        client
            .try_produce("orders", 0, big.clone())
            .await
            .error_code,
        0
    );
    assert_eq!(
        alter(
            &mut client,
            TOPIC,
            "orders",
            &[("max.message.bytes", SET, "1000")]
        )
        .await,
        0
    );
    let too_large = ResponseError::MessageTooLarge.code();
    assert_eq!(
        client
            .try_produce("orders", 0, big.clone())
            .await
            .error_code,
        too_large
    );
    broker.restart().await;
    let mut client = broker.client().await;
    assert_eq!(
        client
            .try_produce("orders", 0, big.clone())
            .await
            .error_code,
        too_large
    );
    assert_eq!(
        alter(
            &mut client,
            TOPIC,
            "orders",
            &[("max.message.bytes", DELETE, "")]
        )
        .await,
        0
    );
    assert_eq!(client.try_produce("orders", 0, big).await.error_code, 0);
}

#[tokio::test]
async fn a_changed_broker_default_reaches_topics_that_have_no_value_of_their_own() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("plain", 1, &[]).await;
    client
        .create_topic("own", 1, &[("max.message.bytes", "5000")])
        .await;
    assert_eq!(
        alter(
            &mut client,
            BROKER,
            "",
            &[("message.max.bytes", SET, "1000")]
        )
        .await,
        0
    );
    let big = batch(&[&[b'x'; 2_000]]);
    let plain = client.try_produce("plain", 0, big.clone()).await;
    assert_eq!(plain.error_code, ResponseError::MessageTooLarge.code());
    assert_eq!(client.try_produce("own", 0, big).await.error_code, 0);
    let described = config(&mut client, TOPIC, "plain", "max.message.bytes").await;
    assert_eq!(
        (described.value, described.config_source),
        (Some(text("1000")), 3)
    );
}

#[tokio::test]
async fn what_cannot_be_changed_changes_nothing_and_says_why() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 1, &[]).await;
    let invalid = ResponseError::InvalidConfig.code();
    let both = [("retention.ms", SET, "5"), ("no.such.key", SET, "1")];
    assert_eq!(alter(&mut client, TOPIC, "orders", &both).await, invalid);
    assert_eq!(
        config(&mut client, TOPIC, "orders", "retention.ms")
            .await
            .config_source,
        5,
        "all or nothing"
    );
    assert_eq!(
        alter(
            &mut client,
            TOPIC,
            "orders",
            &[("retention.ms", APPEND, "5")]
        )
        .await,
        invalid
    );
    let twice = [("retention.ms", SET, "5"), ("retention.ms", SET, "6")];
    assert_eq!(
        alter(&mut client, TOPIC, "orders", &twice).await,
        ResponseError::InvalidRequest.code()
    );
    assert_eq!(
        alter(
            &mut client,
            TOPIC,
            "orders",
            &[("cleanup.policy", APPEND, "compact")]
        )
        .await,
        0
    );
    let policy = config(&mut client, TOPIC, "orders", "cleanup.policy").await;
    assert_eq!(policy.value, Some(text("delete,compact")));
}

#[tokio::test]
async fn the_older_call_replaces_everything() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client
        .create_topic("orders", 1, &[("retention.ms", "5"), ("segment.ms", "7")])
        .await;
    let entry = ReplacedConfig::default()
        .with_name(text("segment.ms"))
        .with_value(Some(text("9")));
    let resource = ReplacedResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text("orders"))
        .with_configs(vec![entry]);
    let answer = client
        .call(&AlterConfigsRequest::default().with_resources(vec![resource]))
        .await;
    assert_eq!(answer.responses[0].error_code, 0);
    assert_eq!(
        config(&mut client, TOPIC, "orders", "segment.ms")
            .await
            .value,
        Some(text("9"))
    );
    assert_eq!(
        config(&mut client, TOPIC, "orders", "retention.ms")
            .await
            .config_source,
        5
    );
}
