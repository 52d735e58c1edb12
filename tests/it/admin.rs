//! The admin endpoint, asked over HTTP.

use tidewater_tests::TestBroker;
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
