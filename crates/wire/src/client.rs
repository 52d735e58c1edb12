//! A connection that asks a broker one question at a time: for the command line, for tests, and between brokers.
//!
//! An answer is read with the same distrust as a request: its length is held to a limit, memory grows as bytes
//! arrive, and the guard walks it before the decoder does.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::protocol::{Message, Request, StrBytes};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::api_versions::ApiVersionsRequest;
use crate::codec;
use crate::error::{EncodeError, FrameError, Malformed};
use crate::frame::{PREFIX_LEN, frame_len};

/// Why a call has no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The request cannot be written in this version; nothing was sent.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// An earlier call failed or was dropped half way, so the stream is at an unknown place; nothing was sent.
    #[error("the connection is unusable after an earlier failure")]
    Unusable,
    /// No complete answer within the deadline. Whether the broker acted on the request is unknown.
    #[error("no answer to api key {api_key} within {timeout_ms} ms")]
    TimedOut {
        /// The request's key.
        api_key: i16,
        /// The deadline that passed, in milliseconds.
        timeout_ms: u128,
    },
    /// The broker closed the connection. Whether it acted on the request is unknown.
    #[error("the broker closed the connection")]
    Closed,
    /// The stream failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The answer announces a length that is negative or above the limit.
    #[error("the answer is not acceptable: {0}")]
    Frame(#[from] FrameError),
    /// The answer belongs to another request.
    #[error("sent correlation id {sent} and received {received}")]
    WrongCorrelationId {
        /// The id of the request.
        sent: i32,
        /// The id in the answer.
        received: i32,
    },
    /// The answer is not one of the type and version asked for.
    #[error("the answer cannot be read: {0}")]
    Malformed(#[from] Malformed),
    /// The broker refused to say what it speaks.
    #[error("version negotiation failed with error code {code}")]
    Negotiation {
        /// Kafka's error code.
        code: i16,
    },
}

/// What a connection waits for and accepts.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long one call may take, from the first byte written to the last byte read.
    pub timeout: Duration,
    /// The longest answer accepted, in bytes.
    pub response_bytes_max: usize,
}

impl Default for Limits {
    /// 30 s and 100 MiB, the defaults of Kafka's clients (`request.timeout.ms`) and brokers (`socket.request.max.bytes`).
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            response_bytes_max: 104_857_600,
        }
    }
}

/// One connection to a broker. Calls do not overlap; a dropped call makes the connection unusable.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    client_id: String,
    limits: Limits,
    correlation_id: i32,
    in_step: bool,
    spoken: BTreeMap<i16, RangeInclusive<i16>>,
    features: BTreeMap<String, i16>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Takes a connected stream. Sends nothing yet.
    pub fn new(stream: S, client_id: impl Into<String>) -> Self {
        let client_id = client_id.into();
        Self {
            stream,
            client_id,
            limits: Limits::default(),
            correlation_id: 0,
            in_step: true,
            spoken: BTreeMap::new(),
            features: BTreeMap::new(),
        }
    }

    /// Replaces the default [`Limits`].
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sends `request` and waits for its answer, at most [`Limits::timeout`].
    ///
    /// An error code inside the answer is part of the answer. After any error of the transport the connection
    /// is unusable; after [`ClientError::Encode`] and [`ClientError::Malformed`] it is not.
    pub async fn call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, ClientError> {
        let answer = self.exchange(request, version).await?;
        Ok(codec::decode_response::<R>(version, answer)?)
    }

    /// Sends a request that a broker does not answer (Produce with `acks=0`), within [`Limits::timeout`].
    pub async fn send<R: Request>(&mut self, request: &R, version: i16) -> Result<(), ClientError> {
        let frame = self.next_frame(request, version)?;
        self.in_step = false;
        let stream = &mut self.stream;
        let written = async move {
            stream.write_all(&frame).await?;
            Ok(stream.flush().await?)
        };
        within(self.limits.timeout, R::KEY, written).await?;
        self.in_step = true;
        Ok(())
    }

    /// Asks which versions the broker speaks and remembers them for [`version_for`](Self::version_for).
    ///
    /// A broker that does not know our version of ApiVersions says so in version 0 (statements N1, N2), and is
    /// asked again in one it knows.
    pub async fn negotiate(&mut self) -> Result<(), ClientError> {
        const FIRST_TRY: i16 = 4;
        let mut response = self.api_versions(FIRST_TRY).await?;
        if response.error_code == ResponseError::UnsupportedVersion.code() {
            let theirs = response
                .api_keys
                .iter()
                .find(|api| api.api_key == ApiVersionsRequest::KEY);
            let version = theirs.map_or(0, |api| api.max_version.clamp(0, FIRST_TRY - 1));
            response = self.api_versions(version).await?;
        }
        if response.error_code != 0 {
            return Err(ClientError::Negotiation {
                code: response.error_code,
            });
        }
        self.spoken = response
            .api_keys
            .iter()
            .map(|api| (api.api_key, api.min_version..=api.max_version))
            .collect();
        self.features = response
            .finalized_features
            .iter()
            .map(|feature| (feature.name.to_string(), feature.max_version_level))
            .collect();
        Ok(())
    }

    /// The level of a cluster's feature (KIP-584), such as `transaction.version`; 0 if the broker named none.
    pub fn feature_level(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// The highest version of `R` that both sides speak; None before [`negotiate`](Self::negotiate) or without one.
    pub fn version_for<R: Request>(&self) -> Option<i16> {
        let theirs = self.spoken.get(&R::KEY)?;
        // For some keys the decoder knows a later response than request, or the reverse.
        let ours = R::VERSIONS.intersect(&<R::Response as Message>::VERSIONS);
        let best = ours.max.min(*theirs.end());
        (best >= ours.min && best >= *theirs.start()).then_some(best)
    }

    /// The broker's range for `api_key` as it was announced; None before [`negotiate`](Self::negotiate).
    pub fn broker_versions(&self, api_key: i16) -> Option<RangeInclusive<i16>> {
        self.spoken.get(&api_key).cloned()
    }

    /// The stream, for bytes this type does not know how to send.
    pub fn into_inner(self) -> S {
        self.stream
    }

    async fn api_versions(&mut self, version: i16) -> Result<ApiVersionsResponse, ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: StrBytes::from_static_str("tidewater"),
            client_software_version: StrBytes::from_static_str(env!("CARGO_PKG_VERSION")),
            ..ApiVersionsRequest::default()
        };
        let answer = self.exchange(&request, version).await?;
        let code = answer
            .get(4..6)
            .map_or(0, |code| i16::from_be_bytes([code[0], code[1]]));
        let version = if code == ResponseError::UnsupportedVersion.code() {
            0
        } else {
            version
        };
        Ok(codec::decode_response::<ApiVersionsRequest>(
            version, answer,
        )?)
    }

    /// The answer's frame, from its correlation id on.
    async fn exchange<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<Bytes, ClientError> {
        let frame = self.next_frame(request, version)?;
        self.in_step = false;
        let (stream, max) = (&mut self.stream, self.limits.response_bytes_max);
        let round_trip = async move {
            stream.write_all(&frame).await?;
            stream.flush().await?;
            read_frame(stream, max).await
        };
        let answer = within(self.limits.timeout, R::KEY, round_trip).await?;
        let received = answer
            .clone()
            .try_get_i32()
            .map_err(|_| Malformed::Truncated {
                field: "correlation_id",
                needed: 4,
                left: answer.len(),
            })?;
        if received != self.correlation_id {
            return Err(ClientError::WrongCorrelationId {
                sent: self.correlation_id,
                received,
            });
        }
        self.in_step = true;
        Ok(answer)
    }

    fn next_frame<R: Request>(&mut self, request: &R, version: i16) -> Result<Bytes, ClientError> {
        if !self.in_step {
            return Err(ClientError::Unusable);
        }
        let correlation_id = self.correlation_id.wrapping_add(1);
        let frame = codec::encode_request(request, correlation_id, &self.client_id, version)?;
        self.correlation_id = correlation_id;
        Ok(frame)
    }
}

async fn within<T>(
    timeout: Duration,
    api_key: i16,
    work: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    let timed_out = ClientError::TimedOut {
        api_key,
        timeout_ms: timeout.as_millis(),
    };
    tokio::time::timeout(timeout, work)
        .await
        .unwrap_or(Err(timed_out))
}

async fn read_frame<S: AsyncRead + Unpin>(
    stream: &mut S,
    max: usize,
) -> Result<Bytes, ClientError> {
    const STEP: usize = 64 * 1024;
    let mut prefix = [0; PREFIX_LEN];
    stream
        .read_exact(&mut prefix)
        .await
        .map_err(closed_at_eof)?;
    let len = frame_len(prefix, max)?;
    let mut frame = BytesMut::new();
    while frame.len() < len {
        let missing = len - frame.len();
        // At most twice what has arrived, however long the frame says it is.
        frame.reserve(missing.min(STEP.max(frame.len())));
        if (&mut *stream)
            .take(missing as u64)
            .read_buf(&mut frame)
            .await?
            == 0
        {
            return Err(ClientError::Closed);
        }
    }
    Ok(frame.freeze())
}

fn closed_at_eof(error: io::Error) -> ClientError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ClientError::Closed,
        _ => ClientError::Io(error),
    }
}
