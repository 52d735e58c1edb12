//! The admin endpoint, asked over HTTP.

use std::collections::BTreeMap;

use tidewater_tests::{TestBroker, batch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn get(broker: &TestBroker, path: &str) -> (u16, String) {
    let addr = broker.broker().admin_addr().expect("an admin listener");
    let mut stream = TcpStream::connect(addr).await.expect("accepts");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .expect("a status");
    (status, body.to_owned())
}

/// What `/metrics` shows.
pub(crate) async fn metrics(broker: &TestBroker) -> String {
    get(broker, "/metrics").await.1
}

/// A metric's value, all its labels summed.
fn value(page: &str, name: &str) -> f64 {
    let samples = page.lines().filter(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
    });
    samples
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[tokio::test]
async fn a_serving_broker_is_live_ready_and_started() {
    let broker = TestBroker::start().await;
    for path in ["/health/live", "/health/ready", "/health/startup"] {
        assert_eq!(get(&broker, path).await.0, 200, "{path}");
    }
    let (status, body) = get(&broker, "/health/ready?verbose").await;
    assert_eq!(
        (status, body.contains("\"ready\":true")),
        (200, true),
        "{body}"
    );
}

#[tokio::test]
async fn metrics_count_what_clients_did() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 3, &[]).await;
    client.produce("orders", 0, batch(&[&[b'x'; 1_000]])).await;
    client.fetch("orders", 0, 0).await;
    let (status, page) = get(&broker, "/metrics").await;
    assert_eq!(status, 200);
    assert!(value(&page, "tidewater_storage_appended_bytes_total") >= 1_000.0);
    assert!(value(&page, "tidewater_fetched_bytes_total") >= 1_000.0);
    assert!(value(&page, "tidewater_requests_total") >= 4.0);
    assert!((value(&page, "tidewater_partitions") - 3.0).abs() < 0.1);
    assert!((value(&page, "tidewater_connections") - 1.0).abs() < 0.1);
}

/// `docs/metrics.md`, from what a broker shows.
fn page(metrics: &str) -> String {
    let mut families: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for line in metrics.lines() {
        if let Some((name, help)) = line
            .strip_prefix("# HELP ")
            .and_then(|rest| rest.split_once(' '))
        {
            families.entry(name).or_default().0 = help;
        }
        if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            families.entry(name).or_default().1 = kind;
        }
    }
    let mut page = String::from(
        "# Metrics\n\nWhat `/metrics` on the admin listener shows, generated from a running broker (`make docs`).\n\n\
         | metric | type | meaning |\n|---|---|---|\n",
    );
    for (name, (help, kind)) in families
        .iter()
        .filter(|(name, _)| name.starts_with("tidewater_"))
    {
        page.push_str(&format!("| `{name}` | {kind} | {help} |\n"));
    }
    page
}

#[tokio::test]
async fn generated_docs_metrics_page_is_current() {
    let broker = TestBroker::start().await;
    let (_, metrics) = get(&broker, "/metrics").await;
    let expected = page(&metrics);
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
