//! Typed messages in and out of bytes, and the only place that sees the errors of `kafka-protocol`.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};

pub use crate::error::{EncodeError, Malformed};
use crate::frame::PREFIX_LEN;
use crate::guard;
use crate::header::response_header_version;

/// Reads a request body (the frame after its header) that came from outside.
///
/// The guard goes first and finds the end of the request, where the decoder must arrive too; bytes after it are ignored,
/// as Kafka ignores them. Strings and record batches of the result share the memory of `body`: copy what is kept longer
/// than the request. Fails on anything that does not begin with a whole request of this version. Besides the body it
/// uses at most [`guard::budget`] bytes.
pub fn decode<R: Request>(version: i16, mut body: Bytes) -> Result<R, Malformed> {
    body.truncate(guard::message_len(R::KEY, version, &body)?);
    let request = R::decode(&mut body, request_schema(R::KEY, version)).map_err(refused)?;
    if body.is_empty() {
        Ok(request)
    } else {
        Err(Malformed::TrailingBytes { count: body.len() })
    }
}

/// Writes a response as one frame: length, header, body.
///
/// `api_key` and `version` are those of the request. Fails when a field is set that this version does not
/// have, or when the frame would exceed 2 GiB.
pub fn encode_response<R: Encodable + HeaderVersion>(
    response: &R,
    correlation_id: i32,
    api_key: i16,
    version: i16,
) -> Result<Bytes, EncodeError> {
    let mut head = BytesMut::with_capacity(5);
    head.put_i32(correlation_id);
    if R::header_version(version) >= 1 {
        head.put_u8(NO_TAGGED_FIELDS);
    }
    Encoding { api_key, version }.frame(&head, response, response_schema(api_key, version))
}

/// Calls `each` with every error code in a frame that [`encode_response`] made, 0 included: what a broker counts, whatever
/// the response. Fails on other bytes. Does not allocate.
pub fn error_codes(
    api_key: i16,
    version: i16,
    frame: &[u8],
    each: &mut dyn FnMut(i16),
) -> Result<(), Malformed> {
    const CORRELATION_ID_LEN: usize = 4;
    let head = PREFIX_LEN + CORRELATION_ID_LEN;
    let truncated = Malformed::Truncated {
        field: "correlation_id",
        needed: head,
        left: frame.len(),
    };
    let mut body = frame.get(head..).ok_or(truncated)?;
    if response_header_version(api_key, version) >= 1 {
        body = guard::skip_tagged_fields(body)?;
    }
    guard::error_codes(api_key, version, body, each)
}

/// Writes a request as one frame: length, header, body.
///
/// Fails when a field is set that this version does not have, when `client_id` is longer than 32,767 bytes,
/// or when the frame would exceed 2 GiB.
pub fn encode_request<R: Request>(
    request: &R,
    correlation_id: i32,
    client_id: &str,
    version: i16,
) -> Result<Bytes, EncodeError> {
    let encoding = Encoding {
        api_key: R::KEY,
        version,
    };
    let client_id_len =
        i16::try_from(client_id.len()).map_err(|_| encoding.error("the client id is too long"))?;
    let mut head = BytesMut::with_capacity(11 + client_id.len());
    head.put_i16(R::KEY);
    head.put_i16(version);
    head.put_i32(correlation_id);
    head.put_i16(client_id_len);
    head.put_slice(client_id.as_bytes());
    if R::header_version(version) >= 2 {
        head.put_u8(NO_TAGGED_FIELDS);
    }
    encoding.frame(&head, request, request_schema(R::KEY, version))
}

/// Reads the answer to an `R` of this version, from its correlation id on (the frame without its length).
///
/// Guarded like a request; fails on anything that is not exactly one response of this version.
pub fn decode_response<R: Request>(
    version: i16,
    mut frame: Bytes,
) -> Result<R::Response, Malformed> {
    let truncated = Malformed::Truncated {
        field: "correlation_id",
        needed: 4,
        left: frame.len(),
    };
    frame.try_get_i32().map_err(|_| truncated)?;
    if R::Response::header_version(version) >= 1 {
        frame = frame.slice_ref(guard::skip_tagged_fields(&frame)?);
    }
    guard::check_response(R::KEY, version, &frame)?;
    let response =
        R::Response::decode(&mut frame, response_schema(R::KEY, version)).map_err(refused)?;
    if frame.is_empty() {
        Ok(response)
    } else {
        Err(Malformed::TrailingBytes { count: frame.len() })
    }
}

const NO_TAGGED_FIELDS: u8 = 0;

/// The version whose request schema the decoder has for `version`. Kafka 4.4 is ahead of it in versions that
/// changed only a meaning or the response.
fn request_schema(api_key: i16, version: i16) -> i16 {
    match (api_key, version) {
        // ListOffsets v11 allows one more special timestamp, -6.
        (2, 11) => 10,
        // DescribeLogDirs v5 asks the same and is told about cordoned directories.
        (35, 5) => 4,
        _ => version,
    }
}

fn response_schema(api_key: i16, version: i16) -> i16 {
    match (api_key, version) {
        (2, 11) => 10,
        // ApiVersions v5 added fields to the request only.
        (18, 5) => 4,
        _ => version,
    }
}

fn refused(error: impl std::fmt::Display) -> Malformed {
    Malformed::Refused {
        reason: error.to_string(),
    }
}

/// What is being encoded, for the error's sake.
#[derive(Clone, Copy)]
struct Encoding {
    api_key: i16,
    version: i16,
}

impl Encoding {
    fn frame<M: Encodable>(
        self,
        head: &[u8],
        message: &M,
        schema: i16,
    ) -> Result<Bytes, EncodeError> {
        let body_len = message
            .compute_size(schema)
            .map_err(|error| self.error(error))?;
        let len = i32::try_from(head.len().saturating_add(body_len))
            .map_err(|_| self.error("the frame exceeds 2 GiB"))?;
        let mut frame = BytesMut::with_capacity(PREFIX_LEN + head.len() + body_len);
        frame.put_i32(len);
        frame.put_slice(head);
        message
            .encode(&mut frame, schema)
            .map_err(|error| self.error(error))?;
        if frame.len() != PREFIX_LEN + head.len() + body_len {
            return Err(self.error("the encoder wrote another length than it announced"));
        }
        Ok(frame.freeze())
    }

    fn error(self, reason: impl std::fmt::Display) -> EncodeError {
        EncodeError {
            api_key: self.api_key,
            version: self.version,
            reason: reason.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::metadata_response::{
        MetadataResponsePartition, MetadataResponseTopic,
    };
    use kafka_protocol::messages::{
        ApiVersionsResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest,
        MetadataResponse, SaslHandshakeRequest,
    };
    use kafka_protocol::protocol::StrBytes;

    use super::*;

    #[test]
    fn a_rigid_response_is_length_correlation_id_and_body() {
        let frame = encode_response(&MetadataResponse::default(), 0x0102_0304, 3, 0).unwrap();
        assert_eq!(frame[..8], [0, 0, 0, 12, 1, 2, 3, 4]);
        assert_eq!(frame.len(), 16);
    }

    #[test]
    fn the_error_codes_of_a_response_are_found_wherever_they_are() {
        let partition = MetadataResponsePartition::default().with_error_code(5);
        let topic = MetadataResponseTopic::default()
            .with_error_code(3)
            .with_name(Some(StrBytes::from_static_str("orders").into()))
            .with_partitions(vec![partition, MetadataResponsePartition::default()]);
        for version in 0..=13 {
            let mut response = MetadataResponse::default().with_topics(vec![topic.clone()]);
            let mut expected = vec![3, 5, 0];
            if version == 13 {
                response.error_code = 2;
                expected.push(2);
            }
            let frame = encode_response(&response, 1, 3, version).unwrap();
            let mut found = Vec::new();
            error_codes(3, version, &frame, &mut |code| found.push(code)).unwrap();
            assert_eq!(found, expected, "v{version}");
            assert!(error_codes(3, version, &frame[..7], &mut |_| {}).is_err());
        }
    }

    #[test]
    fn a_flexible_response_has_an_empty_tagged_section_in_its_header() {
        let frame = encode_response(&ListOffsetsResponse::default(), 1, 2, 6).unwrap();
        assert_eq!(
            frame,
            [&[0, 0, 0, 11, 0, 0, 0, 1][..], &[0], &[0, 0, 0, 0, 1, 0]].concat()
        );
    }

    #[test]
    fn the_answer_to_api_versions_has_none_and_version_5_reads_like_version_4() {
        let frame = encode_response(&ApiVersionsResponse::default(), 1, 18, 5).unwrap();
        assert_eq!(
            frame,
            [
                &[0, 0, 0, 12, 0, 0, 0, 1][..],
                &[0, 0],
                &[1],
                &[0, 0, 0, 0],
                &[0]
            ]
            .concat()
        );
    }

    #[test]
    fn list_offsets_11_is_written_and_read_with_the_schema_of_10() {
        let request = ListOffsetsRequest::default().with_timeout_ms(5);
        let newest = encode_request(&request, 1, "c", 11).unwrap();
        let mut older = encode_request(&request, 1, "c", 10).unwrap().to_vec();
        older[7] = 11;
        assert_eq!(newest, older);
        let answer = encode_response(&ListOffsetsResponse::default(), 1, 2, 11).unwrap();
        assert_eq!(
            decode_response::<ListOffsetsRequest>(11, answer.slice(PREFIX_LEN..)),
            Ok(ListOffsetsResponse::default())
        );
    }

    #[test]
    fn a_field_the_version_does_not_have_is_an_error_and_not_dropped() {
        let response = MetadataResponse::default().with_cluster_authorized_operations(1);
        let refused = encode_response(&response, 1, 3, 13).unwrap_err();
        assert_eq!((refused.api_key, refused.version), (3, 13));
    }

    #[test]
    fn a_client_id_longer_than_its_length_field_is_an_error() {
        let client_id = "c".repeat(0x8000);
        assert!(encode_request(&MetadataRequest::default(), 1, &client_id, 1).is_err());
        assert!(encode_request(&MetadataRequest::default(), 1, &client_id[1..], 1).is_ok());
    }

    #[test]
    fn a_version_without_a_schema_is_an_error_on_both_ways() {
        assert!(encode_request(&MetadataRequest::default(), 1, "c", 14).is_err());
        assert!(encode_response(&MetadataResponse::default(), 1, 3, 14).is_err());
        let refused = decode::<MetadataRequest>(14, Bytes::new());
        assert_eq!(
            refused,
            Err(Malformed::UnknownRequest {
                api_key: 3,
                version: 14
            })
        );
    }

    #[test]
    fn bytes_after_the_request_are_ignored() {
        for body in [
            &[0, 1, b'm'][..],
            &[0, 1, b'm', 0],
            &[0, 1, b'm', 0xff, 0xff, 0xff],
        ] {
            let request = decode::<SaslHandshakeRequest>(1, Bytes::from_static(body)).unwrap();
            assert_eq!(request.mechanism, StrBytes::from_static_str("m"));
        }
    }

    #[test]
    fn bytes_after_an_answer_are_refused() {
        let answer = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        let refused = decode_response::<MetadataRequest>(0, Bytes::copy_from_slice(&answer));
        assert_eq!(refused, Err(Malformed::TrailingBytes { count: 1 }));
    }
}
