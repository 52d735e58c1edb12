//! Why the controller as a whole could not do what it was asked.

use crate::image::ImageError;
use crate::store::{Revision, StoreError};

/// Why a change of the metadata was not made, whatever it was. Reading the image still works.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControllerError {
    /// The store cannot be written now, for example because its disk is full: the same request may succeed later.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Whether the change was made is not known: it must be looked up before it is asked for again.
    #[error("whether the change was made is not known: {reason}")]
    Unknown {
        /// What went wrong.
        reason: String,
    },
    /// Somebody else changed the same keys, or is controller now.
    #[error("the metadata was changed by another controller at the same time")]
    Conflict,
    /// The store holds what this version cannot read.
    #[error(transparent)]
    Unreadable(#[from] ImageError),
    /// The controller has been closed.
    #[error("the controller has stopped")]
    Stopped,
}

/// Why a controller could not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds what this version cannot read.
    #[error(transparent)]
    Unreadable(#[from] ImageError),
    /// The store belongs to another cluster than the configured one.
    #[error(
        "the metadata store belongs to cluster {stored}, and the configuration says {configured}"
    )]
    ClusterIdMismatch {
        /// The cluster id in the store.
        stored: String,
        /// The configured one.
        configured: String,
    },
    /// A configured cluster id that could not be a part of a key or of a Kafka response.
    #[error("{configured:?} is not a cluster id: 1 to 64 of the characters a-z A-Z 0-9 _ - are")]
    InvalidClusterId {
        /// The configured one.
        configured: String,
    },
    /// A newer program re-keyed the store.
    #[error(
        "the metadata store needs a reader of layout {needed}, this program reads layout {known}"
    )]
    UnsupportedLayout {
        /// The oldest layout version that can read the store.
        needed: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// Another controller took over while this one was starting.
    #[error("another controller started at the same time (revision {revision})")]
    Superseded {
        /// The revision that was read before the attempt.
        revision: Revision,
    },
    /// Whether the controller's first write was made is not known.
    #[error("whether this controller was registered is not known: {reason}")]
    Unknown {
        /// What went wrong.
        reason: String,
    },
}
