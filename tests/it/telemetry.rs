//! Clients push their metrics by subscription (KIP-714), and `/metrics` shows them.

use tidewater_tests::{Client, TestBroker};
use uuid::Uuid;
use wire::ResponseError;
use wire::compress::{Codec, compress};
use wire::messages::{
    GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse, PushTelemetryRequest,
};

use crate::admin::metrics;
use crate::configs::{DELETE, SET, alter, text};

const CLIENT_METRICS: i8 = 16;

/// A message field of protobuf; short ones only.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap();
    assert!(length < 0x80);
    [&[number << 3 | 2, length], bytes].concat()
}

/// OTLP's `MetricsData` with a counter that grew.
fn growth(name: &str, by: i64) -> Vec<u8> {
    let point = [&[6 << 3 | 1][..], &by.to_le_bytes()].concat();
    let delta_and_monotonic = [2 << 3, 1, 3 << 3, 1];
    let sum = [&field(1, &point)[..], &delta_and_monotonic].concat();
    let metric = [field(1, name.as_bytes()), field(7, &sum)].concat();
    field(1, &field(2, &field(2, &metric)))
}

async fn ask(client: &mut Client, instance: Uuid) -> GetTelemetrySubscriptionsResponse {
    let request = GetTelemetrySubscriptionsRequest::default().with_client_instance_id(instance);
    client.call(&request).await
}

async fn push(client: &mut Client, request: &PushTelemetryRequest) -> i16 {
    client.call(request).await.error_code
}

fn request(granted: &GetTelemetrySubscriptionsResponse, metrics: Vec<u8>) -> PushTelemetryRequest {
    PushTelemetryRequest::default()
        .with_client_instance_id(granted.client_instance_id)
        .with_subscription_id(granted.subscription_id)
        .with_metrics(metrics.into())
}

async fn subscribe(client: &mut Client, settings: &[(&str, i8, &str)]) {
    assert_eq!(alter(client, CLIENT_METRICS, "m", settings).await, 0);
}

#[tokio::test]
async fn what_is_pushed_by_subscription_is_shown_added_up_and_nothing_else_is() {
    let broker = TestBroker::start_with(&[("telemetry.max.bytes", "100000")]).await;
    let mut admin = broker.client().await;
    subscribe(
        &mut admin,
        &[("metrics", SET, "sent.,lost."), ("interval.ms", SET, "100")],
    )
    .await;
    for codec in Codec::ALL {
        let mut client = broker.client().await;
        let granted = ask(&mut client, Uuid::nil()).await;
        assert_eq!(granted.error_code, 0);
        assert_eq!(granted.requested_metrics, [text("lost."), text("sent.")]);
        assert_eq!(granted.accepted_compression_types, [4, 3, 1, 2]);
        assert_eq!(
            (granted.push_interval_ms, granted.telemetry_max_bytes),
            (100, 100_000)
        );
        assert!(granted.delta_temporality);
        let payload = [growth("sent.total", 2), growth("other.total", 5)].concat();
        let payload = compress(codec, None, &payload).unwrap();
        let pushed =
            request(&granted, payload.to_vec()).with_compression_type(codec.id().cast_signed());
        assert_eq!(push(&mut client, &pushed).await, 0, "{codec}");
    }
    let page = metrics(&broker).await;
    let sent = "tidewater_client_counted_total{metric=\"sent.total\",software=\"tidewater\"} 10";
    assert!(page.contains(sent), "{page}");
    assert!(!page.contains("other.total"), "{page}");
    assert!(
        page.contains("tidewater_client_telemetry_pushes_total 5"),
        "{page}"
    );
}

#[tokio::test]
async fn a_subscription_is_for_the_clients_it_selects_and_is_told_when_it_changes() {
    let mut broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let none = ask(&mut client, Uuid::nil()).await;
    assert_eq!((none.error_code, none.requested_metrics.len()), (0, 0));
    assert_eq!(none.push_interval_ms, 300_000);
    let instance = none.client_instance_id;
    let throttled = ResponseError::ThrottlingQuotaExceeded.code();
    assert_eq!(ask(&mut client, instance).await.error_code, throttled);
    let selected = [
        ("metrics", SET, "a"),
        (
            "match",
            SET,
            "client_id=te.t,client_software_name=tidewater,client_source_address=127.*",
        ),
    ];
    subscribe(&mut client, &selected).await;
    assert_eq!(
        ask(&mut client, instance).await.requested_metrics,
        [text("a")]
    );
    subscribe(&mut client, &[("match", SET, "client_id=es")]).await;
    assert!(
        ask(&mut client, instance)
            .await
            .requested_metrics
            .is_empty()
    );
    subscribe(&mut client, &[("match", DELETE, "")]).await;
    broker.restart().await;
    let mut client = broker.client().await;
    let again = ask(&mut client, instance).await;
    assert_eq!(again.requested_metrics, [text("a")]);
    assert_eq!(again.client_instance_id, none.client_instance_id);
}

#[tokio::test]
async fn a_push_that_is_wrong_is_refused_with_kafkas_code() {
    let broker = TestBroker::start_with(&[("telemetry.max.bytes", "1000")]).await;
    let mut client = broker.client().await;
    subscribe(
        &mut client,
        &[("metrics", SET, "*"), ("interval.ms", SET, "3600000")],
    )
    .await;
    let bomb = compress(Codec::Zstd, None, &vec![0; 20 << 20]).unwrap();
    let payload = growth("sent.total", 1);
    type Change = Box<dyn Fn(PushTelemetryRequest) -> PushTelemetryRequest>;
    let changed = |change: Change| change;
    let cases: Vec<(ResponseError, Change)> = vec![
        (
            ResponseError::UnknownSubscriptionId,
            changed(Box::new(|push| {
                push.clone().with_subscription_id(push.subscription_id + 1)
            })),
        ),
        (
            ResponseError::UnsupportedCompressionType,
            changed(Box::new(|push| push.with_compression_type(5))),
        ),
        (
            ResponseError::TelemetryTooLarge,
            changed(Box::new(|push| push.with_metrics(vec![0; 1_001].into()))),
        ),
        (
            ResponseError::TelemetryTooLarge,
            changed(Box::new(move |push| {
                push.with_compression_type(4).with_metrics(bomb.clone())
            })),
        ),
        (
            ResponseError::InvalidRecord,
            changed(Box::new(|push| push.with_metrics(vec![0xff; 10].into()))),
        ),
        (
            ResponseError::InvalidRecord,
            changed(Box::new(|push| push.with_compression_type(1))),
        ),
        (
            ResponseError::InvalidRequest,
            changed(Box::new(|push| push.with_client_instance_id(Uuid::nil()))),
        ),
    ];
    for (expected, change) in cases {
        // Each is an instance of its own, since the interval is an hour.
        let granted = ask(&mut client, Uuid::nil()).await;
        let wrong = change(request(&granted, payload.clone()));
        assert_eq!(
            push(&mut client, &wrong).await,
            expected.code(),
            "{expected:?}"
        );
    }
    let granted = ask(&mut client, Uuid::nil()).await;
    let good = request(&granted, payload);
    assert_eq!(push(&mut client, &good).await, 0);
    let throttled = ResponseError::ThrottlingQuotaExceeded.code();
    assert_eq!(push(&mut client, &good).await, throttled);
    let last = good.clone().with_terminating(true);
    assert_eq!(push(&mut client, &last).await, 0);
    let terminated = ResponseError::InvalidRequest.code();
    assert_eq!(push(&mut client, &last).await, terminated);
    let page = metrics(&broker).await;
    assert!(page.contains("tidewater_client_telemetry_refused_total{reason=\"too_large\"} 2"));
    // The nil id was of no instance.
    assert!(
        page.contains("tidewater_client_telemetry_instances 8"),
        "{page}"
    );
}

#[tokio::test]
async fn an_instance_is_forgotten_with_its_connection() {
    let broker = TestBroker::start().await;
    let instance = Uuid::from_u128(77);
    let mut first = broker.client().await;
    assert_eq!(ask(&mut first, instance).await.error_code, 0);
    drop(first);
    let gone = async {
        while !metrics(&broker)
            .await
            .contains("tidewater_client_telemetry_instances 0")
        {}
    };
    let patience = std::time::Duration::from_secs(10);
    tokio::time::timeout(patience, gone)
        .await
        .expect("forgotten");
    let mut second = broker.client().await;
    assert_eq!(ask(&mut second, instance).await.error_code, 0);
}
