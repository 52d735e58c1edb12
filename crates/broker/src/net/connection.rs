//! One connection: requests are taken up in order, their waiting overlaps, their responses leave in order.
//!
//! Stage 1 of a request (its effect) runs before the next request is looked at; stage 2 (waiting for replication, new
//! data, a rebalance) is queued, and the writing half awaits the queue's head. Both halves are one task, so handing a
//! response over wakes nobody else.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tracing::{debug, trace};
use wire::StrBytes;
use wire::header::RequestHead;

use super::budget::MemoryPermit;
use super::frame_reader::{FrameLimits, FrameReader, ReadFrameError};
use super::reply::Reply;
use super::response_writer::ResponseWriter;
use crate::apis::{self, Answer, Later};
use crate::clock;
use crate::config::Listener;
use crate::context::Context;
use crate::quotas::Caller;

/// Requests of one connection that may wait for their responses at a time; beyond it the socket is not read.
const IN_FLIGHT_MAX: usize = 128;
/// Responses gathered in memory before they are written although more are ready.
const GATHER_BYTES_MAX: usize = 256 * 1024;
/// A peer that takes no byte of its responses for this long is gone.
const WRITE_STALL_MAX: Duration = Duration::from_secs(60);

/// Time for the responses that are still due when a connection is ended by us.
const FAREWELL_MAX: Duration = Duration::from_secs(10);

/// Characters kept of the name of a client's software, and of its version.
const SOFTWARE_WORD_MAX: usize = 200;

/// What handlers may know of the connection a request came by.
#[derive(Debug)]
pub(crate) struct ConnectionInfo {
    pub(crate) id: u64,
    pub(crate) listener: Arc<Listener>,
    /// The client's own address.
    pub(crate) peer: SocketAddr,
    /// The address the client reached us by; what an unset `advertised.listeners` on a wildcard tells it.
    pub(crate) local: SocketAddr,
    /// Appends handed to the store by this connection and not yet applied.
    pub(crate) appends: AppendGate,
    mute: Mute,
    software: OnceLock<Software>,
}

/// What a client says it is (KIP-511).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Software {
    pub(crate) name: Box<str>,
    pub(crate) version: Box<str>,
}

impl Software {
    /// A client that has not said (Kafka's `ClientInformation.EMPTY`).
    pub(crate) fn unknown() -> Self {
        Self {
            name: "unknown".into(),
            version: "unknown".into(),
        }
    }
}

/// Lets a request see the effects of the produce requests before it, although those are only queued.
#[derive(Debug, Default)]
pub(crate) struct AppendGate {
    pending: AtomicUsize,
    drained: Notify,
}

impl AppendGate {
    pub(crate) fn enter(&self) {
        self.pending.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn leave(&self) {
        if self.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.drained.notify_waiters();
        }
    }

    /// Waits until every append entered so far has been applied or refused.
    pub(crate) async fn drained(&self) {
        loop {
            let drained = self.drained.notified();
            if self.pending.load(Ordering::Acquire) == 0 {
                return;
            }
            drained.await;
        }
    }
}

/// KIP-219: the throttled response leaves at once, then the connection is not read for that long.
#[derive(Debug)]
struct Mute {
    origin: Instant,
    until_ms: AtomicU64,
}

impl ConnectionInfo {
    pub(crate) fn throttle(&self, throttle_ms: i32) {
        if let Ok(ms @ 1..) = u64::try_from(throttle_ms) {
            let now_ms = self.mute.origin.elapsed().as_millis() as u64;
            self.mute
                .until_ms
                .fetch_max(now_ms.saturating_add(ms), Ordering::Relaxed);
        }
    }

    /// Whose quotas a request of this client id is counted against. Until clients say who they are, all are Kafka's anonymous
    /// user.
    pub(crate) fn caller<'a>(&self, client_id: Option<&'a StrBytes>) -> Caller<'a> {
        Caller {
            user: "ANONYMOUS",
            client_id: client_id.map_or("", |client_id| client_id.as_str()),
        }
    }

    /// What the client says it is.
    pub(crate) fn software(&self) -> &Software {
        self.software.get_or_init(Software::unknown)
    }

    /// Keeps what the client said it is; the first word counts.
    pub(crate) fn introduce(&self, name: &str, version: &str) {
        let short = |word: &str| word.chars().take(SOFTWARE_WORD_MAX).collect::<String>();
        self.software.get_or_init(|| Software {
            name: short(name).into(),
            version: short(version).into(),
        });
    }

    /// Waits until the connection may be read; `false` if that is further off than a connection may be idle.
    async fn unmuted(&self, idle_max: Duration) -> bool {
        let idle_from = clock::monotonic();
        loop {
            // Answers that are still being waited for may put it off.
            let until = Duration::from_millis(self.mute.until_ms.load(Ordering::Relaxed));
            if until <= self.mute.origin.elapsed() {
                return true;
            }
            let until = self.mute.origin + until;
            let idle_until = idle_from + idle_max;
            tokio::time::sleep_until(until.min(idle_until)).await;
            if idle_until < until {
                return false;
            }
        }
    }
}

/// Why a connection ended, for its metric and its log line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error(transparent)]
    Read(#[from] ReadFrameError),
    #[error("request refused: {0}")]
    Refused(String),
    #[error("writing failed: {0}")]
    Write(#[from] std::io::Error),
    #[error("the peer took no response for {WRITE_STALL_MAX:?}")]
    WriteStalled,
    #[error("the broker is shutting down")]
    ShuttingDown,
}

impl Ended {
    /// Every label that `reason` gives, and that of a task that panicked.
    pub(crate) const REASONS: [&'static str; 10] = [
        "closed",
        "idle",
        "stalled",
        "bad_frame",
        "read_error",
        "refused",
        "write_error",
        "write_stalled",
        "shutdown",
        "panic",
    ];

    /// A label from a small closed set.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Read(ReadFrameError::Closed) => "closed",
            Self::Read(ReadFrameError::Idle(_)) => "idle",
            Self::Read(ReadFrameError::Stalled(_)) => "stalled",
            Self::Read(ReadFrameError::Frame(_)) => "bad_frame",
            Self::Read(_) => "read_error",
            Self::Refused(_) => "refused",
            Self::Write(_) => "write_error",
            Self::WriteStalled => "write_stalled",
            Self::ShuttingDown => "shutdown",
        }
    }
}

struct Pending {
    response: PendingResponse,
    _permit: MemoryPermit,
}

enum PendingResponse {
    Ready(Reply),
    Waiting(Later),
}

/// Serves one connection until either side ends it.
pub(crate) async fn serve(
    ctx: Arc<Context>,
    stream: TcpStream,
    listener: Arc<Listener>,
    id: u64,
) -> Ended {
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else {
        return Ended::Read(ReadFrameError::Closed);
    };
    // Responses are gathered before they are written, so Nagle's delay has nothing to add.
    let _ = stream.set_nodelay(true);
    let info = Arc::new(ConnectionInfo {
        id,
        listener,
        peer,
        local,
        appends: AppendGate::default(),
        mute: Mute {
            origin: clock::monotonic(),
            until_ms: AtomicU64::new(0),
        },
        software: OnceLock::new(),
    });
    let (queue, pending) = mpsc::channel(IN_FLIGHT_MAX);
    let mut writing = std::pin::pin!(write_responses(&ctx, &stream, pending));
    let mut ended = tokio::select! {
        biased;
        ended = &mut writing => ended,
        ended = read_requests(&ctx, &stream, &info, queue) => ended,
    };
    if matches!(ended, Ended::ShuttingDown | Ended::Refused(_)) {
        // What was taken up before the end is answered; the queue is closed, so the writing half finishes.
        if let Ok(Ended::Refused(reason)) = tokio::time::timeout(FAREWELL_MAX, &mut writing).await {
            ended = Ended::Refused(reason);
        }
    }
    ctx.telemetry.disconnected(id);
    debug!(connection = id, %peer, reason = ended.reason(), "connection ended: {ended}");
    ended
}

/// Reads frames and runs their first stage, one after the other. Returns when no further request will come; responses
/// still queued at a peer's orderly close are dropped with the connection, as nobody reads them.
async fn read_requests(
    ctx: &Arc<Context>,
    stream: &TcpStream,
    info: &Arc<ConnectionInfo>,
    queue: mpsc::Sender<Pending>,
) -> Ended {
    let mut reader = FrameReader::default();
    let network = ctx.config().network.clone();
    let limits = FrameLimits {
        frame_bytes_max: if info.listener.protocol.authenticates() {
            network.unauthenticated_request_bytes_max
        } else {
            network.request_bytes_max
        },
        idle: network.idle_max,
        whole_frame: network.frame_deadline,
    };
    loop {
        let may_be_read = tokio::select! {
            biased;
            () = ctx.stop.cancelled() => return Ended::ShuttingDown,
            may_be_read = info.unmuted(limits.idle) => may_be_read,
        };
        if !may_be_read {
            return ReadFrameError::Idle(limits.idle).into();
        }
        let Ok(slot) = queue.reserve().await else {
            return Ended::ShuttingDown;
        };
        let (frame, permit) = tokio::select! {
            biased;
            () = ctx.stop.cancelled() => return Ended::ShuttingDown,
            frame = reader.next(stream, &limits, &ctx.memory) => match frame {
                Ok(frame) => frame,
                Err(ReadFrameError::Idle(_)) if queue.capacity() < IN_FLIGHT_MAX - 1 => continue,
                Err(error) => return error.into(),
            },
        };
        match take_up(ctx, info, frame).await {
            Ok(response) => slot.send(Pending {
                response,
                _permit: permit,
            }),
            Err(reason) => return Ended::Refused(reason),
        }
    }
}

async fn take_up(
    ctx: &Arc<Context>,
    info: &Arc<ConnectionInfo>,
    mut frame: Bytes,
) -> Result<PendingResponse, String> {
    let frame_bytes = frame.len();
    let head = RequestHead::parse(&mut frame).map_err(|error| error.to_string())?;
    trace!(
        connection = info.id,
        key = head.api_key,
        version = head.api_version,
        frame_bytes,
        "request"
    );
    match apis::dispatch(ctx, info, head, frame).await {
        Answer::Now(reply) => Ok(PendingResponse::Ready(reply)),
        Answer::Later(later) => Ok(PendingResponse::Waiting(later)),
        Answer::Close(reason) => Err(reason),
    }
}

/// Awaits responses in request order, gathers those that are ready, and writes them together.
async fn write_responses(
    ctx: &Context,
    stream: &TcpStream,
    mut pending: mpsc::Receiver<Pending>,
) -> Ended {
    let mut writer = ResponseWriter::default();
    let mut permits = Vec::new();
    loop {
        // With nothing to write wait for the next response; otherwise take only those that are ready.
        let next = if writer.is_empty() {
            pending.recv().await
        } else {
            pending.try_recv().ok()
        };
        match next {
            Some(Pending {
                response: PendingResponse::Ready(reply),
                _permit,
            }) => {
                writer.push(reply);
                permits.push(_permit);
            }
            Some(Pending {
                response: PendingResponse::Waiting(mut later),
                _permit,
            }) => {
                let reply = match ready_now(&mut later).await {
                    Some(reply) => reply,
                    None => {
                        if let Err(ended) = flush(ctx, stream, &mut writer).await {
                            return ended;
                        }
                        permits.clear();
                        later.await
                    }
                };
                match reply {
                    Ok(Some(reply)) => writer.push(reply),
                    Ok(None) => {}
                    Err(reason) => return Ended::Refused(reason),
                }
                permits.push(_permit);
            }
            None if writer.is_empty() => return Ended::ShuttingDown,
            None => {
                if let Err(ended) = flush(ctx, stream, &mut writer).await {
                    return ended;
                }
                permits.clear();
            }
        }
        if writer.memory_bytes() > GATHER_BYTES_MAX {
            if let Err(ended) = flush(ctx, stream, &mut writer).await {
                return ended;
            }
            permits.clear();
        }
    }
}

/// Polls once: the output if it is there, without waiting for it.
async fn ready_now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

async fn flush(
    ctx: &Context,
    stream: &TcpStream,
    writer: &mut ResponseWriter,
) -> Result<(), Ended> {
    // Each step has the whole time: a slow peer that keeps taking bytes is served however long it takes.
    while !writer.is_empty() {
        match tokio::time::timeout(WRITE_STALL_MAX, writer.write_some(stream)).await {
            Ok(Ok(bytes)) => ctx.metrics.network.sent_bytes.inc_by(bytes),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(Ended::WriteStalled),
        }
    }
    Ok(())
}
