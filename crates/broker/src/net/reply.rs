//! What leaves the broker for one request: bytes in order, some of them still in a segment file.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use storage::LogSlice;

/// One whole response frame, its 4-byte length included.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) parts: Vec<Part>,
}

/// A piece of a response. Payload is never copied into the response: it is referred to.
#[derive(Debug)]
pub(crate) enum Part {
    Memory(Bytes),
    /// Bytes the kernel sends straight from a segment file's pages.
    File {
        file: Arc<File>,
        position: u64,
        len: usize,
    },
}

impl From<Bytes> for Reply {
    fn from(frame: Bytes) -> Self {
        Self {
            parts: vec![Part::Memory(frame)],
        }
    }
}

impl From<LogSlice> for Part {
    fn from(slice: LogSlice) -> Self {
        match slice {
            LogSlice::Memory(bytes) => Self::Memory(bytes),
            LogSlice::File {
                file,
                position,
                len,
            } => Self::File {
                file,
                position,
                len,
            },
        }
    }
}
