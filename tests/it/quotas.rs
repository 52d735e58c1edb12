//! Client quotas: told as they were set, kept across restarts, and enforced.

use std::collections::BTreeMap;

use tidewater_tests::{Client, TestBroker};
use wire::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use wire::messages::describe_client_quotas_request::ComponentData;
use wire::messages::{
    AlterClientQuotasRequest, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};
use wire::{ResponseError, StrBytes};

/// Types and names of an entity; `None` is the default.
pub(crate) type Entity<'a> = &'a [(&'a str, Option<&'a str>)];

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn entry(entity: Entity, ops: &[(&str, Option<f64>)]) -> EntryData {
    let parts = entity.iter().map(|(kind, name)| {
        EntityData::default()
            .with_entity_type(text(kind))
            .with_entity_name(name.map(text))
    });
    let ops = ops.iter().map(|(key, value)| {
        OpData::default()
            .with_key(text(key))
            .with_value(value.unwrap_or_default())
            .with_remove(value.is_none())
    });
    EntryData::default()
        .with_entity(parts.collect())
        .with_ops(ops.collect())
}

/// (error, message) for one entity.
async fn try_alter(
    client: &mut Client,
    entity: Entity<'_>,
    ops: &[(&str, Option<f64>)],
    validate_only: bool,
) -> (i16, Option<String>) {
    let request = AlterClientQuotasRequest::default()
        .with_entries(vec![entry(entity, ops)])
        .with_validate_only(validate_only);
    let answer = client.call(&request).await.entries.remove(0);
    let message = answer.error_message.map(|message| message.to_string());
    (answer.error_code, message)
}

pub(crate) async fn alter(client: &mut Client, entity: Entity<'_>, key: &str, value: Option<f64>) {
    let answer = try_alter(client, entity, &[(key, value)], false).await;
    assert_eq!(answer, (0, None));
}

#[derive(Clone, Copy)]
enum Match<'a> {
    Exact(&'a str),
    Default,
    Any,
}

async fn try_describe(
    client: &mut Client,
    filter: &[(&str, Match<'_>)],
    strict: bool,
) -> DescribeClientQuotasResponse {
    let components = filter.iter().map(|(kind, wanted)| {
        let (number, name) = match wanted {
            Match::Exact(name) => (0, Some(text(name))),
            Match::Default => (1, None),
            Match::Any => (2, None),
        };
        ComponentData::default()
            .with_entity_type(text(kind))
            .with_match_type(number)
            .with_match(name)
    });
    let request = DescribeClientQuotasRequest::default()
        .with_components(components.collect())
        .with_strict(strict);
    client.call(&request).await
}

/// `type=name type=<default> key=value …` for each entity that is found, sorted.
async fn describe(client: &mut Client, filter: &[(&str, Match<'_>)], strict: bool) -> Vec<String> {
    let response = try_describe(client, filter, strict).await;
    assert_eq!(response.error_code, 0, "{:?}", response.error_message);
    let lines = response.entries.expect("entries").into_iter().map(|entry| {
        let parts = entry.entity.iter().map(|part| {
            let name = part.entity_name.as_deref().unwrap_or("<default>");
            format!("{}={name}", part.entity_type.as_str())
        });
        let values: BTreeMap<_, _> = entry
            .values
            .iter()
            .map(|value| (value.key.to_string(), value.value))
            .collect();
        let values = values
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"));
        parts.chain(values).collect::<Vec<_>>().join(" ")
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

async fn some_quotas(client: &mut Client) {
    let alice: Entity = &[("user", Some("alice"))];
    alter(client, alice, "producer_byte_rate", Some(1000.0)).await;
    alter(client, alice, "request_percentage", Some(12.5)).await;
    alter(
        client,
        &[("user", None)],
        "consumer_byte_rate",
        Some(2000.0),
    )
    .await;
    let both: Entity = &[("user", Some("alice")), ("client-id", Some("CN=a/b%"))];
    alter(client, both, "producer_byte_rate", Some(1.0)).await;
    let default_client: Entity = &[("user", Some("bob")), ("client-id", None)];
    alter(
        client,
        default_client,
        "controller_mutation_rate",
        Some(0.5),
    )
    .await;
    alter(
        client,
        &[("client-id", Some("app"))],
        "producer_byte_rate",
        Some(5.0),
    )
    .await;
    alter(
        client,
        &[("ip", Some("10.1.2.3"))],
        "connection_creation_rate",
        Some(7.0),
    )
    .await;
    alter(
        client,
        &[("ip", None)],
        "connection_creation_rate",
        Some(1e6),
    )
    .await;
}

#[tokio::test]
async fn quotas_are_described_as_they_were_set_and_filters_choose_among_them() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    some_quotas(&mut client).await;
    let all = describe(&mut client, &[], false).await;
    assert_eq!(
        all,
        [
            "client-id=app producer_byte_rate=5",
            "ip=10.1.2.3 connection_creation_rate=7",
            "ip=<default> connection_creation_rate=1000000",
            "user=<default> consumer_byte_rate=2000",
            "user=alice client-id=CN=a/b% producer_byte_rate=1",
            "user=alice producer_byte_rate=1000 request_percentage=12.5",
            "user=bob client-id=<default> controller_mutation_rate=0.5",
        ]
    );
    let at = |indices: &[usize]| {
        indices
            .iter()
            .map(|&at| all[at].clone())
            .collect::<Vec<_>>()
    };
    use Match::{Any, Default, Exact};
    for (filter, strict, expected) in [
        (&[("user", Exact("alice"))][..], false, &[4, 5][..]),
        (&[("user", Exact("alice"))], true, &[5]),
        (&[("user", Default)], false, &[3]),
        (&[("user", Any)], false, &[3, 4, 5, 6]),
        (&[("client-id", Any)], false, &[0, 4, 6]),
        (&[("client-id", Any)], true, &[0]),
        (&[("user", Any), ("client-id", Default)], true, &[6]),
        (&[("ip", Any)], true, &[1, 2]),
        (&[("ip", Exact("10.1.2.3"))], true, &[1]),
        (&[], true, &[]),
    ] {
        let found = describe(&mut client, filter, strict).await;
        assert_eq!(found, at(expected));
    }
}

#[tokio::test]
async fn filters_that_mean_nothing_are_refused() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    use Match::Any;
    for (filter, code, message) in [
        (
            &[("", Any)][..],
            ResponseError::InvalidRequest,
            "Invalid empty entity type.",
        ),
        (
            &[("group", Any)],
            ResponseError::UnsupportedVersion,
            "Unsupported entity type group",
        ),
        (
            &[("user", Any), ("user", Any)],
            ResponseError::InvalidRequest,
            "Entity type user cannot appear more than once in the filter.",
        ),
        (
            &[("ip", Any), ("user", Any)],
            ResponseError::InvalidRequest,
            "Invalid entity filter component combination. IP filter component should not be used with user or clientId \
             filter component.",
        ),
    ] {
        let refused = try_describe(&mut client, filter, false).await;
        assert_eq!(refused.error_code, code.code());
        assert_eq!(refused.error_message.as_deref(), Some(message));
        assert_eq!(refused.entries, None);
    }
}

#[tokio::test]
async fn bad_alterations_are_refused_and_validating_changes_nothing() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let user: Entity = &[("user", Some("alice"))];
    let valid: &[_] = &[("producer_byte_rate", Some(1.0))];
    assert_eq!(try_alter(&mut client, user, valid, true).await, (0, None));
    for (entity, ops, message) in [
        (&[][..], valid, "Invalid empty client quota entity"),
        (
            user,
            &[("no_such_rate", Some(1.0))],
            "Invalid configuration key no_such_rate",
        ),
        (
            user,
            &[("producer_byte_rate", Some(-1.0))],
            "Quota producer_byte_rate must be greater than 0",
        ),
        (
            &[("ip", Some("no such host"))],
            &[("connection_creation_rate", Some(1.0))],
            "no such host is not a valid IP or resolvable host.",
        ),
    ] {
        let refused = try_alter(&mut client, entity, ops, false).await;
        let code = ResponseError::InvalidRequest.code();
        assert_eq!(refused, (code, Some(message.to_owned())));
    }
    assert_eq!(describe(&mut client, &[], false).await, [""; 0]);
}

#[tokio::test]
async fn quotas_survive_a_restart_and_go_when_they_are_removed() {
    let mut broker = TestBroker::start().await;
    some_quotas(&mut broker.client().await).await;
    let before = describe(&mut broker.client().await, &[], false).await;
    broker.restart().await;
    let mut client = broker.client().await;
    assert_eq!(describe(&mut client, &[], false).await, before);
    broker.crash().await;
    let mut client = broker.client().await;
    assert_eq!(describe(&mut client, &[], false).await, before);
    let alice: Entity = &[("user", Some("alice"))];
    alter(&mut client, alice, "producer_byte_rate", None).await;
    alter(&mut client, alice, "request_percentage", None).await;
    let found = describe(&mut client, &[("user", Match::Exact("alice"))], true).await;
    assert_eq!(found, [""; 0]);
}
