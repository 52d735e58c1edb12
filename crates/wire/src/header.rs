//! Request headers, read by hand: they are the first bytes a stranger sends, before anyone knows who it is.

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;

use crate::error::Malformed;
use crate::guard;

const API_VERSIONS: i16 = 18;

/// The fields in front of every request body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// Which API.
    pub api_key: i16,
    /// Which version of it; the body is not to be read when we do not speak it.
    pub api_version: i16,
    /// Returned unchanged in the response.
    pub correlation_id: i32,
    /// What the client calls itself; None is legal and means "" (statement N9). It shares the frame's memory:
    /// copy it before keeping it longer than the request.
    pub client_id: Option<StrBytes>,
}

impl RequestHead {
    /// Takes the header off the front of `frame` and leaves the body.
    ///
    /// Header version 2 (KIP-482) is recognised from key and version; its tagged fields are stepped over and
    /// not kept. For a key or version without a row in [`guard`] only the part common to all header
    /// versions is taken, so that ApiVersions can be answered (statement N1) and others refused by name.
    /// Fails when the frame ends early, a length is impossible, or the client id is not UTF-8; `frame` is
    /// then as it was.
    pub fn parse(frame: &mut Bytes) -> Result<RequestHead, Malformed> {
        let mut left: &[u8] = frame;
        let api_key = i16::from_be_bytes(fixed(&mut left, "request_api_key")?);
        let api_version = i16::from_be_bytes(fixed(&mut left, "request_api_version")?);
        let correlation_id = i32::from_be_bytes(fixed(&mut left, "correlation_id")?);
        let client_id = client_id(&mut left)?.map(|id| frame.slice_ref(id));
        let client_id = client_id.map(StrBytes::from_utf8).transpose();
        let client_id = client_id.map_err(|_| Malformed::NotUtf8 { field: "client_id" })?;
        if guard::is_flexible(api_key, api_version) == Some(true) {
            left = guard::skip_tagged_fields(left)?;
        }
        *frame = frame.slice_ref(left);
        Ok(RequestHead {
            api_key,
            api_version,
            correlation_id,
            client_id,
        })
    }
}

/// The header version of the response to this request: 1 (with a tagged section) for flexible versions, else 0.
///
/// ApiVersions always has 0, because the client cannot know yet what the broker speaks (KIP-511). A key or
/// version without a row in [`guard`] has 0 as well; only ApiVersions is ever answered in that case.
pub fn response_header_version(api_key: i16, api_version: i16) -> i16 {
    match guard::is_flexible(api_key, api_version) {
        Some(true) if api_key != API_VERSIONS => 1,
        _ => 0,
    }
}

// The length is two bytes in every header version, also where everything else is compact.
fn client_id<'a>(left: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
    let field = "client_id";
    let length = i16::from_be_bytes(fixed(left, field)?);
    match usize::try_from(length) {
        Ok(length) => take(left, field, length).map(Some),
        Err(_) if length == -1 => Ok(None),
        Err(_) => Err(Malformed::BadLength {
            field,
            length: i64::from(length),
        }),
    }
}

fn fixed<const N: usize>(left: &mut &[u8], field: &'static str) -> Result<[u8; N], Malformed> {
    let Some((head, rest)) = left.split_first_chunk::<N>() else {
        return Err(Malformed::Truncated {
            field,
            needed: N,
            left: left.len(),
        });
    };
    *left = rest;
    Ok(*head)
}

fn take<'a>(left: &mut &'a [u8], field: &'static str, count: usize) -> Result<&'a [u8], Malformed> {
    let Some((head, rest)) = left.split_at_checked(count) else {
        return Err(Malformed::Truncated {
            field,
            needed: count,
            left: left.len(),
        });
    };
    *left = rest;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(key: i16, version: i16, rest: &[u8]) -> Bytes {
        let mut frame = Vec::new();
        frame.extend_from_slice(&key.to_be_bytes());
        frame.extend_from_slice(&version.to_be_bytes());
        frame.extend_from_slice(&[0, 0, 0, 9]);
        frame.extend_from_slice(rest);
        Bytes::from(frame)
    }

    fn parsed(whole: Bytes) -> Result<(RequestHead, Vec<u8>), Malformed> {
        let mut frame = whole.clone();
        let head = RequestHead::parse(&mut frame);
        assert!(
            head.is_ok() || frame == whole,
            "a refused header was taken off all the same"
        );
        head.map(|head| (head, frame.to_vec()))
    }

    #[test]
    fn a_frame_that_ends_inside_the_header_is_refused_at_every_length() {
        let whole = head(3, 12, &[0, 2, b'm', b'e', 1, 5, 3, 1, 2, 3]);
        for len in 0..whole.len() {
            let refused = parsed(whole.slice(..len));
            assert!(
                matches!(refused, Err(Malformed::Truncated { .. })),
                "{len} bytes: {refused:?}"
            );
        }
        assert_eq!(parsed(whole).map(|(_, body)| body), Ok(vec![]));
    }

    #[test]
    fn an_empty_frame_is_refused() {
        let refused = parsed(Bytes::new());
        assert_eq!(
            refused,
            Err(Malformed::Truncated {
                field: "request_api_key",
                needed: 2,
                left: 0
            })
        );
    }

    #[test]
    fn a_null_client_id_is_legal_and_an_empty_one_is_another_thing() {
        let (head_of_null, body) = parsed(head(3, 1, &[0xff, 0xff, 7])).unwrap();
        assert_eq!((head_of_null.client_id, body), (None, vec![7]));
        let (head_of_empty, body) = parsed(head(3, 1, &[0, 0, 7])).unwrap();
        assert_eq!(
            (head_of_empty.client_id.as_deref(), body),
            (Some(""), vec![7])
        );
        assert_eq!(head_of_empty.correlation_id, 9);
    }

    #[test]
    fn a_client_id_of_negative_length_or_of_wrong_bytes_is_refused() {
        assert_eq!(
            parsed(head(3, 1, &[0xff, 0xfe])),
            Err(Malformed::BadLength {
                field: "client_id",
                length: -2
            })
        );
        assert_eq!(
            parsed(head(3, 1, &[0, 1, 0xff])),
            Err(Malformed::NotUtf8 { field: "client_id" })
        );
    }

    #[test]
    fn tagged_fields_of_the_header_are_stepped_over() {
        let (_, body) = parsed(head(
            3,
            9,
            &[0xff, 0xff, 2, 0, 1, 0xaa, 0x85, 0x01, 2, 0xbb, 0xcc, 42],
        ))
        .unwrap();
        assert_eq!(body, [42]);
    }

    #[test]
    fn tagged_fields_that_lie_about_number_or_size_are_refused() {
        let four_billion = parsed(head(3, 9, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]));
        assert!(
            matches!(four_billion, Err(Malformed::Truncated { .. })),
            "{four_billion:?}"
        );
        let too_long = parsed(head(
            3,
            9,
            &[0xff, 0xff, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f],
        ));
        assert_eq!(
            too_long,
            Err(Malformed::Truncated {
                field: "tagged fields",
                needed: 0xffff_ffff,
                left: 0
            })
        );
        let endless = parsed(head(
            3,
            9,
            &[0xff, 0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
        ));
        assert_eq!(
            endless,
            Err(Malformed::VarintTooLong {
                field: "tagged fields"
            })
        );
    }

    #[test]
    fn an_unknown_version_is_read_up_to_the_client_id() {
        // A client newer than we are asks for versions; what follows the client id has a shape we do not know.
        let (head, body) = parsed(head(18, 99, &[0, 2, b'm', b'e', 0, 1, 2])).unwrap();
        assert_eq!(
            (head.api_key, head.api_version, head.client_id.as_deref()),
            (18, 99, Some("me"))
        );
        assert_eq!(body, [0, 1, 2]);
        assert_eq!(response_header_version(18, 99), 0);
    }

    #[test]
    fn an_unknown_or_negative_key_is_reported_as_it_is() {
        for key in [4, 999, -1, i16::MIN] {
            let (head, _) = parsed(head(key, 0, &[0xff, 0xff])).unwrap();
            assert_eq!(head.api_key, key);
        }
    }

    #[test]
    fn the_answer_to_api_versions_never_has_a_tagged_header() {
        for version in 0..=5 {
            assert_eq!(response_header_version(18, version), 0);
        }
        assert_eq!(
            [response_header_version(3, 8), response_header_version(3, 9)],
            [0, 1]
        );
    }
}
