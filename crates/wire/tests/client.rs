//! The client against a peer that follows a script.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

use std::time::Duration;

use tidewater_wire::api_versions::ApiVersionsRequest;
use tidewater_wire::client::{ClientError, Connection, Limits};
use tidewater_wire::frame::{PREFIX_LEN, frame_len};
use tidewater_wire::header::RequestHead;
use tidewater_wire::messages::api_versions_response::ApiVersion;
use tidewater_wire::messages::{
    ApiVersionsResponse, FetchRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
    MetadataResponse, ProduceRequest,
};
use tidewater_wire::offset_commit::OffsetCommitRequest;
use tidewater_wire::{Bytes, ResponseError, codec};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const PIPE: usize = 1 << 20;

async fn read_request(peer: &mut DuplexStream) -> (RequestHead, Bytes) {
    let mut prefix = [0; PREFIX_LEN];
    peer.read_exact(&mut prefix).await.unwrap();
    let mut frame = vec![0; frame_len(prefix, PIPE).unwrap()];
    peer.read_exact(&mut frame).await.unwrap();
    let mut frame = Bytes::from(frame);
    let head = RequestHead::parse(&mut frame).unwrap();
    (head, frame)
}

fn range(api_key: i16, min: i16, max: i16) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(api_key)
        .with_min_version(min)
        .with_max_version(max)
}

/// A broker that speaks ApiVersions up to `newest` and announces `ranges`.
async fn negotiated(newest: i16, ranges: Vec<ApiVersion>) -> (Connection<DuplexStream>, Vec<i16>) {
    let (ours, mut peer) = duplex(PIPE);
    let broker = tokio::spawn(async move {
        let mut asked = Vec::new();
        loop {
            let (head, body) = read_request(&mut peer).await;
            assert_eq!(
                (head.api_key, head.client_id.as_deref()),
                (18, Some("test"))
            );
            asked.push(head.api_version);
            if head.api_version > newest {
                let refusal = ApiVersionsResponse::default()
                    .with_error_code(ResponseError::UnsupportedVersion.code())
                    .with_api_keys(vec![range(18, 0, newest)]);
                let frame = codec::encode_response(&refusal, head.correlation_id, 18, 0).unwrap();
                peer.write_all(&frame).await.unwrap();
                continue;
            }
            codec::decode::<ApiVersionsRequest>(head.api_version, body).unwrap();
            let answer = ApiVersionsResponse::default().with_api_keys(ranges);
            let frame =
                codec::encode_response(&answer, head.correlation_id, 18, head.api_version).unwrap();
            peer.write_all(&frame).await.unwrap();
            return asked;
        }
    });
    let mut connection = Connection::new(ours, "test");
    connection.negotiate().await.unwrap();
    (connection, broker.await.unwrap())
}

#[tokio::test]
async fn negotiation_takes_the_best_version_both_sides_have() {
    let ranges = vec![
        range(0, 0, 99),
        range(1, 4, 11),
        range(3, 50, 60),
        range(8, 2, 10),
        range(22, 0, 6),
    ];
    let (connection, asked) = negotiated(5, ranges).await;
    assert_eq!(asked, [4]);
    assert_eq!(connection.version_for::<ProduceRequest>(), Some(13));
    assert_eq!(connection.version_for::<FetchRequest>(), Some(11));
    assert_eq!(
        connection.version_for::<MetadataRequest>(),
        None,
        "no version in common"
    );
    assert_eq!(
        connection.version_for::<ListOffsetsRequest>(),
        None,
        "not announced"
    );
    assert_eq!(connection.version_for::<OffsetCommitRequest>(), Some(10));
    assert_eq!(
        connection.version_for::<InitProducerIdRequest>(),
        Some(5),
        "the decoder's response goes to 6, its request to 5"
    );
    assert_eq!(connection.broker_versions(0), Some(0..=99));
}

#[tokio::test]
async fn negotiation_falls_back_to_what_an_older_broker_names() {
    for newest in [0, 2, 3] {
        let (connection, asked) = negotiated(newest, vec![range(1, 4, 10)]).await;
        assert_eq!(asked, [4, newest]);
        assert_eq!(connection.version_for::<FetchRequest>(), Some(10));
    }
}

#[tokio::test]
async fn nothing_is_known_before_negotiation() {
    let (ours, _peer) = duplex(PIPE);
    assert_eq!(
        Connection::new(ours, "test").version_for::<FetchRequest>(),
        None
    );
}

#[tokio::test]
async fn an_answer_that_arrives_byte_by_byte_is_read() {
    let (ours, mut peer) = duplex(PIPE);
    let broker = tokio::spawn(async move {
        let (head, _) = read_request(&mut peer).await;
        let answer = MetadataResponse::default().with_controller_id(7.into());
        for byte in codec::encode_response(&answer, head.correlation_id, 3, 12).unwrap() {
            peer.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let mut connection = Connection::new(ours, "test");
    let answer = connection
        .call(&MetadataRequest::default(), 12)
        .await
        .unwrap();
    assert_eq!(answer.controller_id, 7);
    broker.await.unwrap();
}

/// What a call says when the peer reads the request and sends `bytes`, and what the next call says.
async fn answered_with(
    bytes: impl FnOnce(RequestHead) -> Vec<u8>,
    limits: Limits,
) -> (ClientError, ClientError) {
    let (ours, mut peer) = duplex(PIPE);
    let mut connection = Connection::new(ours, "test").with_limits(limits);
    let request = MetadataRequest::default();
    let answer = async {
        let (head, _) = read_request(&mut peer).await;
        peer.write_all(&bytes(head)).await.unwrap();
    };
    let (first, ()) = tokio::join!(connection.call(&request, 1), answer);
    drop(peer);
    (
        first.unwrap_err(),
        connection.call(&request, 1).await.unwrap_err(),
    )
}

#[tokio::test]
async fn a_length_above_the_limit_is_refused_unread() {
    let limits = Limits {
        response_bytes_max: 1000,
        ..Limits::default()
    };
    let (first, next) = answered_with(|_| 1001_i32.to_be_bytes().to_vec(), limits).await;
    assert!(matches!(first, ClientError::Frame(_)), "{first:?}");
    assert!(matches!(next, ClientError::Unusable), "{next:?}");
    let (negative, _) = answered_with(|_| vec![0xff; 4], limits).await;
    assert!(matches!(negative, ClientError::Frame(_)), "{negative:?}");
}

#[tokio::test]
async fn an_answer_to_another_request_ends_the_connection() {
    let stray = |head: RequestHead| {
        [
            &8_i32.to_be_bytes()[..],
            &(head.correlation_id + 1).to_be_bytes(),
            &[0; 4],
        ]
        .concat()
    };
    let (first, next) = answered_with(stray, Limits::default()).await;
    assert!(
        matches!(
            first,
            ClientError::WrongCorrelationId {
                sent: 1,
                received: 2
            }
        ),
        "{first:?}"
    );
    assert!(matches!(next, ClientError::Unusable), "{next:?}");
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_leaves_the_connection_in_step() {
    let broken = |head: RequestHead| {
        [
            &5_i32.to_be_bytes()[..],
            &head.correlation_id.to_be_bytes(),
            &[0],
        ]
        .concat()
    };
    let (first, next) = answered_with(broken, Limits::default()).await;
    assert!(matches!(first, ClientError::Malformed(_)), "{first:?}");
    // The script's peer is gone by then; what matters is that the call was tried.
    assert!(
        matches!(next, ClientError::Closed | ClientError::Io(_)),
        "{next:?}"
    );
}

#[tokio::test]
async fn an_answer_too_short_for_a_correlation_id_is_malformed() {
    let (first, _) = answered_with(|_| vec![0, 0, 0, 2, 0, 0], Limits::default()).await;
    assert!(matches!(first, ClientError::Malformed(_)), "{first:?}");
}

#[tokio::test]
async fn a_silent_broker_runs_into_the_deadline_and_a_late_answer_is_not_taken_for_the_next() {
    let limits = Limits {
        timeout: Duration::from_millis(20),
        ..Limits::default()
    };
    let (ours, mut peer) = duplex(PIPE);
    let mut connection = Connection::new(ours, "test").with_limits(limits);
    let late = connection
        .call(&MetadataRequest::default(), 1)
        .await
        .unwrap_err();
    assert!(
        matches!(
            late,
            ClientError::TimedOut {
                api_key: 3,
                timeout_ms: 20
            }
        ),
        "{late:?}"
    );
    let (head, _) = read_request(&mut peer).await;
    let answer =
        codec::encode_response(&MetadataResponse::default(), head.correlation_id, 3, 1).unwrap();
    peer.write_all(&answer).await.unwrap();
    let next = connection
        .call(&MetadataRequest::default(), 1)
        .await
        .unwrap_err();
    assert!(matches!(next, ClientError::Unusable), "{next:?}");
}

#[tokio::test]
async fn a_call_dropped_half_way_makes_the_connection_unusable() {
    let (ours, _peer) = duplex(PIPE);
    let mut connection = Connection::new(ours, "test");
    let request = MetadataRequest::default();
    tokio::select! {
        biased;
        _ = connection.call(&request, 1) => panic!("nobody answered"),
        () = tokio::task::yield_now() => {}
    }
    let next = connection.call(&request, 1).await.unwrap_err();
    assert!(matches!(next, ClientError::Unusable), "{next:?}");
}

#[tokio::test]
async fn a_request_its_version_cannot_carry_is_not_sent() {
    let (ours, peer) = duplex(PIPE);
    let mut connection = Connection::new(ours, "test");
    let too_new = FetchRequest::default()
        .with_cluster_id(Some(tidewater_wire::StrBytes::from_static_str("c")))
        .with_replica_id(3.into());
    let refused = connection.call(&too_new, 15).await.unwrap_err();
    assert!(matches!(refused, ClientError::Encode(_)), "{refused:?}");
    drop(connection);
    let mut sent = Vec::new();
    let mut peer = peer;
    peer.read_to_end(&mut sent).await.unwrap();
    assert_eq!(sent, []);
}

#[tokio::test]
async fn a_request_without_an_answer_leaves_the_connection_in_step() {
    let (ours, mut peer) = duplex(PIPE);
    let mut connection = Connection::new(ours, "test");
    connection
        .send(&ProduceRequest::default(), 9)
        .await
        .unwrap();
    let broker = tokio::spawn(async move {
        let (produce, _) = read_request(&mut peer).await;
        let (metadata, _) = read_request(&mut peer).await;
        assert_eq!((produce.api_key, metadata.api_key), (0, 3));
        let answer =
            codec::encode_response(&MetadataResponse::default(), metadata.correlation_id, 3, 1)
                .unwrap();
        peer.write_all(&answer).await.unwrap();
    });
    connection
        .call(&MetadataRequest::default(), 1)
        .await
        .unwrap();
    broker.await.unwrap();
}
