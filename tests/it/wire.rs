//! The rules of the wire, asked with raw bytes.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tidewater_tests::TestBroker;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

fn request(key: i16, version: i16, correlation_id: i32, body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_i32(i32::try_from(10 + body.len()).expect("small"));
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(correlation_id);
    frame.put_i16(-1);
    frame.put_slice(body);
    frame
}

async fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let len = timeout(PATIENCE, stream.read_i32())
        .await
        .expect("in time")
        .expect("a length");
    let mut body = vec![0; usize::try_from(len).expect("not negative")];
    timeout(PATIENCE, stream.read_exact(&mut body))
        .await
        .expect("in time")
        .expect("a body");
    body
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    matches!(
        timeout(PATIENCE, stream.read_to_end(&mut rest)).await,
        Ok(Ok(0)) | Ok(Err(_))
    )
}

async fn serves(addr: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(addr).await.expect("accepts");
    stream
        .write_all(&request(18, 0, 1, &[]))
        .await
        .expect("sent");
    answer(&mut stream).await[..4] == 1_i32.to_be_bytes()
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_with_35_in_version_0_and_the_connection_lives()
 {
    let broker = TestBroker::start().await;
    let mut stream = TcpStream::connect(broker.addr()).await.expect("accepts");
    stream
        .write_all(&request(18, 99, 7, b"\xff\xff\xff"))
        .await
        .expect("sent");
    let body = answer(&mut stream).await;
    assert_eq!(body[..4], 7_i32.to_be_bytes());
    assert_eq!(body[4..6], 35_i16.to_be_bytes());
    let keys = i32::from_be_bytes(body[6..10].try_into().expect("4 bytes"));
    let rows: Vec<&[u8]> = body[10..].chunks(6).collect();
    assert_eq!(rows.len(), usize::try_from(keys).expect("a count"));
    assert!(rows.iter().any(|row| row[..2] == 18_i16.to_be_bytes()));
    stream
        .write_all(&request(18, 0, 8, &[]))
        .await
        .expect("sent");
    assert_eq!(answer(&mut stream).await[..4], 8_i32.to_be_bytes());
}

#[tokio::test]
async fn produce_is_advertised_from_0() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    assert_eq!(client.connection().broker_versions(0), Some(0..=13));
    assert_eq!(client.connection().broker_versions(1), Some(4..=18));
}

#[tokio::test]
async fn what_is_not_spoken_ends_the_connection_without_an_answer() {
    let broker = TestBroker::start().await;
    let cases = [
        ("an unknown key", 999, 0),
        ("a version too high", 3, 99),
        ("a version too low", 1, 0),
        ("negative", 3, -1),
    ];
    for (what, key, version) in cases {
        let mut stream = TcpStream::connect(broker.addr()).await.expect("accepts");
        stream
            .write_all(&request(key, version, 1, &[0; 16]))
            .await
            .expect("sent");
        assert!(is_closed(&mut stream).await, "{what}");
    }
    assert!(serves(broker.addr()).await);
}

#[tokio::test]
async fn hostile_lengths_cost_the_client_its_connection_and_the_broker_nothing() {
    let broker = TestBroker::start().await;
    let frames: [(&str, Vec<u8>); 8] = [
        ("negative frame", (-1_i32).to_be_bytes().to_vec()),
        ("huge frame", i32::MAX.to_be_bytes().to_vec()),
        ("frame of two bytes", vec![0, 0, 0, 2, 0, 3]),
        ("empty frame", vec![0, 0, 0, 0]),
        (
            "metadata v0, 2^31-1 topics",
            request(3, 0, 1, &[0x7f, 0xff, 0xff, 0xff]).to_vec(),
        ),
        (
            "metadata v9, 2^32-2 topics",
            request(3, 9, 1, &[0, 0xff, 0xff, 0xff, 0xff, 0x0f]).to_vec(),
        ),
        (
            "produce, endless topics",
            request(
                0,
                3,
                1,
                &[0xff, 0xff, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff],
            )
            .to_vec(),
        ),
        ("fetch, negative array", request(1, 4, 1, &[0; 17]).to_vec()),
    ];
    for (what, bytes) in frames {
        let mut stream = TcpStream::connect(broker.addr()).await.expect("accepts");
        stream.write_all(&bytes).await.expect("sent");
        assert!(is_closed(&mut stream).await, "{what}");
        assert!(serves(broker.addr()).await, "after {what}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_even_when_the_first_one_waits() {
    let broker = TestBroker::start().await;
    broker.client().await.create_topic("orders", 1, &[]).await;
    let mut stream = TcpStream::connect(broker.addr()).await.expect("accepts");
    let fetch = tidewater_tests::fetch_request("orders", 0, 0, 300);
    let fetch = wire::codec::encode_request(&fetch, 1, "test", 12).expect("encodes");
    stream.write_all(&fetch).await.expect("sent");
    for id in 2..40 {
        stream
            .write_all(&request(18, 0, id, &[]))
            .await
            .expect("sent");
    }
    for id in 1..40_i32 {
        assert_eq!(answer(&mut stream).await[..4], id.to_be_bytes());
    }
}

#[tokio::test]
async fn a_request_that_arrives_byte_by_byte_is_answered() {
    let broker = TestBroker::start().await;
    let mut stream = TcpStream::connect(broker.addr()).await.expect("accepts");
    stream.set_nodelay(true).expect("set");
    for byte in request(18, 0, 5, &[]) {
        stream.write_all(&[byte]).await.expect("sent");
        tokio::task::yield_now().await;
    }
    assert_eq!(answer(&mut stream).await[..4], 5_i32.to_be_bytes());
}

#[tokio::test]
async fn connections_beyond_the_cap_of_an_address_are_closed_and_places_come_back() {
    let broker = TestBroker::start_with(&[("max.connections.per.ip", "2")]).await;
    let mut first = TcpStream::connect(broker.addr()).await.expect("accepts");
    first
        .write_all(&request(18, 0, 1, &[]))
        .await
        .expect("sent");
    answer(&mut first).await;
    let mut second = TcpStream::connect(broker.addr()).await.expect("accepts");
    second
        .write_all(&request(18, 0, 1, &[]))
        .await
        .expect("sent");
    answer(&mut second).await;
    let mut third = TcpStream::connect(broker.addr())
        .await
        .expect("the kernel accepts");
    assert!(is_closed(&mut third).await);
    drop(first);
    // The place is free once the broker has seen the close; until then a new connection is closed at once.
    timeout(PATIENCE, async {
        loop {
            let mut stream = TcpStream::connect(broker.addr())
                .await
                .expect("the kernel accepts");
            if stream.write_all(&request(18, 0, 1, &[])).await.is_ok()
                && stream.read_i32().await.is_ok()
            {
                return;
            }
        }
    })
    .await
    .expect("a place comes back");
}

#[tokio::test]
async fn an_idle_connection_lives_on_after_the_deadline_of_a_frame_and_a_half_sent_frame_does_not()
{
    let deadline = [("network.frame.timeout.ms", "200")];
    let broker = TestBroker::start_with(&deadline).await;
    let mut idle = TcpStream::connect(broker.addr()).await.expect("accepts");
    let mut half = TcpStream::connect(broker.addr()).await.expect("accepts");
    half.write_all(&request(18, 0, 1, &[])[..7])
        .await
        .expect("sent");
    // The half-sent frame is older than the idle connection's silence could be, so its end proves that time has passed.
    assert!(is_closed(&mut half).await);
    idle.write_all(&request(18, 0, 2, &[])).await.expect("sent");
    assert_eq!(answer(&mut idle).await[..4], 2_i32.to_be_bytes());
    let mut half = TcpStream::connect(broker.addr()).await.expect("accepts");
    half.write_all(&[0]).await.expect("sent");
    assert!(is_closed(&mut half).await);
    idle.write_all(&request(18, 0, 3, &[])).await.expect("sent");
    assert_eq!(answer(&mut idle).await[..4], 3_i32.to_be_bytes());
}

#[tokio::test]
async fn a_connection_idle_for_too_long_is_closed() {
    let broker = TestBroker::start_with(&[("connections.max.idle.ms", "100")]).await;
    let mut stream = TcpStream::connect(broker.addr()).await.expect("accepts");
    assert!(is_closed(&mut stream).await);
}

/// librdkafka 2.12 to 2.16 ask for all topics so, and Kafka answers.
#[tokio::test]
async fn bytes_after_a_request_are_ignored() {
    let broker = TestBroker::start().await;
    let mut stream = TcpStream::connect(broker.addr()).await.expect("accepts");
    // Metadata v4, no topics, creation not allowed, and three bytes too many.
    let body = [0, 0, 0, 0, 0, 9, 9, 9];
    stream
        .write_all(&request(3, 4, 1, &body))
        .await
        .expect("sent");
    assert_eq!(answer(&mut stream).await[..4], 1_i32.to_be_bytes());
    stream
        .write_all(&request(18, 0, 2, &[7]))
        .await
        .expect("sent");
    assert_eq!(answer(&mut stream).await[..4], 2_i32.to_be_bytes());
}
