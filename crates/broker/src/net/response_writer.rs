//! Writes responses: what lies in memory with vectored writes, what lies in segment files with `sendfile`.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Buf;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::reply::{Part, Reply};

/// One vectored write carries at most this many pieces; Linux's own limit is 1,024.
const PIECES_MAX: usize = 64;
/// `sendfile` is asked for at most this much at a time, so that one connection does not keep a thread for long.
const SENDFILE_BYTES_MAX: usize = 512 * 1024;

/// Pieces waiting for the socket.
#[derive(Debug, Default)]
pub(crate) struct ResponseWriter {
    pieces: VecDeque<Part>,
    memory_bytes: usize,
}

impl ResponseWriter {
    pub(crate) fn push(&mut self, reply: Reply) {
        for part in reply.parts {
            if let Part::Memory(bytes) = &part {
                self.memory_bytes += bytes.len();
            }
            self.pieces.push_back(part);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes in memory that wait for the socket.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Writes as much as the socket takes at once, waiting until it takes something; returns the bytes written.
    pub(crate) async fn write_some(&mut self, stream: &TcpStream) -> io::Result<u64> {
        while let Some(front) = self.pieces.front_mut() {
            match front {
                Part::Memory(bytes) if bytes.is_empty() => {}
                Part::File { len: 0, .. } => {}
                Part::Memory(_) => return self.write_memory(stream).await,
                Part::File { .. } => return self.send_file(stream).await,
            }
            self.pieces.pop_front();
        }
        Ok(0)
    }

    async fn write_memory(&mut self, stream: &TcpStream) -> io::Result<u64> {
        loop {
            let attempt = {
                let mut slices = [IoSlice::new(&[]); PIECES_MAX];
                let mut count = 0;
                for piece in self.pieces.iter().take(PIECES_MAX) {
                    let Part::Memory(bytes) = piece else { break };
                    slices[count] = IoSlice::new(bytes);
                    count += 1;
                }
                stream.try_write_vectored(&slices[..count])
            };
            match attempt {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.advance_memory(n);
                    return Ok(n as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    stream.writable().await?
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn advance_memory(&mut self, mut n: usize) {
        self.memory_bytes = self.memory_bytes.saturating_sub(n);
        while n > 0 {
            let Some(Part::Memory(bytes)) = self.pieces.front_mut() else {
                return;
            };
            let step = n.min(bytes.len());
            bytes.advance(step);
            n -= step;
            if bytes.is_empty() {
                self.pieces.pop_front();
            }
        }
    }

    async fn send_file(&mut self, stream: &TcpStream) -> io::Result<u64> {
        let Some(Part::File {
            file,
            position,
            len,
        }) = self.pieces.front_mut()
        else {
            return Ok(0);
        };
        let mut at = *position;
        let count = (*len).min(SENDFILE_BYTES_MAX);
        let sent = stream
            .async_io(Interest::WRITABLE, || {
                Ok(rustix::fs::sendfile(stream, &**file, Some(&mut at), count)?)
            })
            .await?;
        if sent == 0 {
            // The file is shorter than the log said: nothing that follows can be framed, so the connection ends.
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "a segment file ended before its batches",
            ));
        }
        *position += sent as u64;
        *len -= sent;
        if *len == 0 {
            self.pieces.pop_front();
        }
        Ok(sent as u64)
    }
}
