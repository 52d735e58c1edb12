//! Reads length-prefixed frames from a socket, believing a length only as far as bytes arrive.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::budget::{MemoryBudget, MemoryPermit, SMALL_FRAME_BYTES};

/// Small frames share one read of this size; an idle connection holds no buffer at all.
const READ_CHUNK_BYTES: usize = 32 * 1024;
/// A frame's buffer grows by at most this much ahead of the bytes that have arrived, so that 2,000 connections
/// announcing 100 MiB each cost nothing until they send it.
const GROWTH_STEP_BYTES: usize = 1024 * 1024;

/// Why no further frame comes from a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadFrameError {
    #[error("the peer closed the connection")]
    Closed,
    #[error("the peer closed the connection in the middle of a frame")]
    ClosedInFrame,
    #[error("nothing was received for {0:?}")]
    Idle(Duration),
    #[error("a frame did not arrive whole within {0:?}")]
    Stalled(Duration),
    #[error(transparent)]
    Frame(#[from] wire::frame::FrameError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Limits of one connection's input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameLimits {
    /// Longest frame body accepted (`socket.request.max.bytes`).
    pub(crate) frame_bytes_max: usize,
    /// `connections.max.idle.ms`.
    pub(crate) idle: Duration,
    /// A frame whose first byte has arrived must be whole within this time, or the peer is half-open or hostile.
    pub(crate) whole_frame: Duration,
}

/// The bytes of a connection that have been read and not yet handed out as frames.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    buffer: BytesMut,
}

impl FrameReader {
    /// The next frame's body and the share of the memory budget it holds.
    pub(crate) async fn next(
        &mut self,
        stream: &TcpStream,
        limits: &FrameLimits,
        budget: &MemoryBudget,
    ) -> Result<(Bytes, MemoryPermit), ReadFrameError> {
        if self.buffer.is_empty() {
            timeout(limits.idle, self.first_bytes(stream))
                .await
                .map_err(|_| ReadFrameError::Idle(limits.idle))??;
        }
        self.at_least(4, stream, limits).await?;
        let prefix = [
            self.buffer[0],
            self.buffer[1],
            self.buffer[2],
            self.buffer[3],
        ];
        let body = wire::frame::frame_len(prefix, limits.frame_bytes_max)?;
        // A small frame takes its share when it is there, so announcing one holds nothing; a large one before it is read.
        if body <= SMALL_FRAME_BYTES {
            self.at_least(4 + body, stream, limits).await?;
        }
        // Not under the deadline: here the broker is the slow side, and whoever holds the budget has deadlines.
        let permit = budget.acquire(body).await;
        self.at_least(4 + body, stream, limits).await?;
        let mut frame = self.buffer.split_to(4 + body);
        let _prefix = frame.split_to(4);
        Ok((frame.freeze(), permit))
    }

    async fn at_least(
        &mut self,
        len: usize,
        stream: &TcpStream,
        limits: &FrameLimits,
    ) -> Result<(), ReadFrameError> {
        if self.buffer.len() >= len {
            return Ok(());
        }
        let arrive = async {
            while self.buffer.len() < len {
                let missing = len - self.buffer.len();
                self.fill(stream, missing.clamp(READ_CHUNK_BYTES, GROWTH_STEP_BYTES))
                    .await?;
            }
            Ok(())
        };
        timeout(limits.whole_frame, arrive)
            .await
            .map_err(|_| ReadFrameError::Stalled(limits.whole_frame))?
    }

    /// Waits for the first bytes of a frame, as long as it takes. Readiness may be announced though nothing is there, so the
    /// buffer that a try needs is given back before waiting: an idle connection keeps no memory.
    async fn first_bytes(&mut self, stream: &TcpStream) -> Result<(), ReadFrameError> {
        while !self.try_fill(stream, READ_CHUNK_BYTES)? {
            self.buffer = BytesMut::new();
            stream.readable().await?;
        }
        Ok(())
    }

    async fn fill(&mut self, stream: &TcpStream, room: usize) -> Result<(), ReadFrameError> {
        while !self.try_fill(stream, room)? {
            stream.readable().await?;
        }
        Ok(())
    }

    /// Takes what is there, into at least `room` bytes; `false` when nothing is.
    fn try_fill(&mut self, stream: &TcpStream, room: usize) -> Result<bool, ReadFrameError> {
        if self.buffer.capacity() - self.buffer.len() < room {
            self.buffer.reserve(room);
        }
        match stream.try_read_buf(&mut self.buffer) {
            Ok(0) if self.buffer.is_empty() => Err(ReadFrameError::Closed),
            Ok(0) => Err(ReadFrameError::ClosedInFrame),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
