//! The words in which the controller talks to a metadata store: revisions, guarded transactions, watched batches.
//!
//! They are etcd's, because that is the store of a cluster; the embedded store speaks them too, so that the controller above
//! does not know which of the two it has.

mod session;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub(crate) use session::SessionKeeper;
pub use session::{Session, SessionId};

/// Counts the transactions that a store applied; also the version of the metadata as a whole.
pub type Revision = i64;

/// Most compares and most operations of one transaction (etcd's `--max-txn-ops`, kept everywhere so that no plan outgrows etcd).
pub const TXN_KEYS_MAX: usize = 128;

/// Most bytes of keys and values in one transaction, with room below etcd's request limit of 1.5 MiB.
pub const TXN_BYTES_MAX: usize = 1024 * 1024;

/// What a store will have said.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where the metadata of a cluster lives. Both stores keep the same keys and values, and pass the same tests.
pub trait MetaStore: Send + Sync {
    /// Everything under `prefixes` (`""` = all), as of one revision, and that revision.
    ///
    /// # Errors
    /// When the store cannot be read now.
    fn snapshot<'a>(
        &'a self,
        prefixes: &'a [&'a str],
    ) -> Answer<'a, Result<(Revision, Vec<Kv>), StoreError>>;

    /// The changes from revision `from` on, one item a revision that changed something.
    fn watch(&self, from: Revision) -> Box<dyn MetaWatch>;

    /// Applies `txn` if all its compares hold. Transactions are applied one after the other.
    ///
    /// # Errors
    /// When nothing was changed for another reason than a compare: a transaction no store may take, or a store that refuses.
    fn txn(&self, txn: Txn) -> Answer<'_, Result<Outcome, StoreError>>;

    /// Opens a session: keys put under it go when whoever holds it has been silent for about `ttl`.
    ///
    /// # Errors
    /// When the store cannot be asked now.
    fn session(&self, ttl: Duration) -> Answer<'_, Result<Session, StoreError>>;
}

/// A reader of a store's changes, one revision after the other.
pub trait MetaWatch: Send {
    /// The next item; waits for it. Dropping the wait loses nothing.
    fn next(&mut self) -> Answer<'_, WatchItem>;
}

/// A key and what it held at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kv {
    /// The key, without the store's root.
    pub key: String,
    /// The value.
    pub value: Bytes,
    /// The revision that wrote it: the token for a later [`Compare`].
    pub mod_revision: Revision,
}

/// What must be so for a transaction to be applied: the key was last written at this revision; 0 = it does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    /// The key.
    pub key: String,
    /// The revision of its last write.
    pub mod_revision: Revision,
}

/// One change of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Sets a key.
    Put {
        /// The key.
        key: String,
        /// Its new value.
        value: Bytes,
        /// The session that the key goes with; none: it stays.
        session: Option<SessionId>,
    },
    /// Removes a key; nothing happens where there is none.
    Delete {
        /// The key.
        key: String,
    },
    /// Removes every key that starts with this prefix.
    DeletePrefix {
        /// The prefix, not empty.
        prefix: String,
    },
}

/// All or nothing: if every compare holds, every operation is applied, at one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// The guards.
    pub compares: Vec<Compare>,
    /// The changes. No key is named twice.
    pub ops: Vec<Op>,
    /// Whether a store may answer before the change is on disk, because nobody is told of it before a later transaction is, which
    /// brings this one with it. A crash of the process loses neither; etcd does not know the difference.
    pub deferred: bool,
}

impl Txn {
    /// Adds the guard that `key` was last written at `mod_revision` (0: that it does not exist).
    #[must_use]
    pub fn when(mut self, key: impl Into<String>, mod_revision: Revision) -> Self {
        self.compares.push(Compare {
            key: key.into(),
            mod_revision,
        });
        self
    }

    /// Adds a write.
    #[must_use]
    pub fn put(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.ops.push(Op::Put {
            key: key.into(),
            value: value.into(),
            session: None,
        });
        self
    }

    /// Adds a write of a key that goes with the session.
    #[must_use]
    pub fn put_while(
        mut self,
        session: SessionId,
        key: impl Into<String>,
        value: impl Into<Bytes>,
    ) -> Self {
        self.ops.push(Op::Put {
            key: key.into(),
            value: value.into(),
            session: Some(session),
        });
        self
    }

    /// Adds a removal.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.ops.push(Op::Delete { key: key.into() });
        self
    }

    /// Adds the removal of all keys under `prefix`.
    #[must_use]
    pub fn delete_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.ops.push(Op::DeletePrefix {
            prefix: prefix.into(),
        });
        self
    }

    /// Bytes of its keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let compares: usize = self
            .compares
            .iter()
            .map(|compare| compare.key.len() + 8)
            .sum();
        let ops: usize = self.ops.iter().map(Op::bytes).sum();
        compares + ops
    }

    /// Refuses what etcd would refuse, so that a plan fails the same way on every store.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let keys = self.compares.len().max(self.ops.len());
        let bytes = self.bytes();
        if keys > TXN_KEYS_MAX || bytes > TXN_BYTES_MAX {
            return Err(StoreError::TooLarge { keys, bytes });
        }
        let mut written = BTreeSet::new();
        for op in &self.ops {
            let repeated = match op {
                Op::Put { key, .. } | Op::Delete { key } => !written.insert(key.as_str()),
                Op::DeletePrefix { prefix } => prefix.is_empty(),
            };
            let covered = self.ops.iter().any(|other| match other {
                Op::DeletePrefix { prefix } => {
                    !std::ptr::eq(other, op) && op.target().starts_with(prefix)
                }
                _ => false,
            });
            if repeated || covered {
                return Err(StoreError::Ambiguous {
                    key: op.target().to_owned(),
                });
            }
        }
        Ok(())
    }
}

impl Op {
    fn target(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
            Self::DeletePrefix { prefix } => prefix,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Delete { key } => key.len(),
            Self::DeletePrefix { prefix } => prefix.len(),
        }
    }
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable, at this revision; watchers are told of it unless it changed nothing, which may be revision 0.
    Applied(Revision),
    /// A compare did not hold, nothing was changed: what the compared keys hold instead.
    Conflict(Vec<(String, Option<Kv>)>),
    /// It may have been applied or not. Whoever gets this reads the keys again before deciding anything.
    Unknown {
        /// What went wrong.
        reason: String,
    },
}

/// One change, as watchers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A key was set.
    Put(Kv),
    /// A key is gone.
    Delete {
        /// The key.
        key: String,
    },
}

/// Everything that one revision changed. Never split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The revision.
    pub revision: Revision,
    /// Its changes, in the order of the transaction.
    pub events: Vec<Event>,
}

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchItem {
    /// The next revision.
    Batch(Arc<Batch>),
    /// The revision asked for is no longer kept: take a snapshot, and watch from there.
    Compacted,
    /// The store was closed: nothing more will come.
    Lost,
}

/// Why a store refused, having changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// More than one transaction may hold: a mistake of the plan.
    #[error("a transaction of {keys} keys and {bytes} bytes is too large for the metadata store")]
    TooLarge {
        /// The larger of its numbers of compares and operations.
        keys: usize,
        /// Bytes of its keys and values.
        bytes: usize,
    },
    /// One key was to be changed twice: a mistake of the plan.
    #[error("a transaction changes {key:?} twice")]
    Ambiguous {
        /// The key.
        key: String,
    },
    /// The store cannot be read or written now, for example because its disk is full. Later it may.
    #[error("the metadata store is not available: {reason}")]
    Unavailable {
        /// What the store said.
        reason: String,
    },
    /// The store holds what it never wrote.
    #[error("the metadata store is damaged: {reason}")]
    Corrupt {
        /// What was found.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_etcd_would_refuse_is_refused() {
        let many =
            (0..=TXN_KEYS_MAX).fold(Txn::default(), |txn, key| txn.put(key.to_string(), "v"));
        assert!(matches!(
            many.check(),
            Err(StoreError::TooLarge { keys: 129, .. })
        ));
        let large = Txn::default().put("k", vec![0; TXN_BYTES_MAX]);
        assert!(matches!(
            large.check(),
            Err(StoreError::TooLarge { keys: 1, .. })
        ));
        for ambiguous in [
            Txn::default().put("k", "1").put("k", "2"),
            Txn::default().put("k", "1").delete("k"),
            Txn::default().put("p/1", "1").delete_prefix("p/"),
            Txn::default().delete_prefix("p/1").delete_prefix("p/"),
            Txn::default().delete_prefix(""),
        ] {
            assert!(
                matches!(ambiguous.check(), Err(StoreError::Ambiguous { .. })),
                "{ambiguous:?}"
            );
        }
        assert_eq!(
            Txn::default()
                .when("t/a", 0)
                .put("t/a", "1")
                .delete_prefix("p/1/")
                .check(),
            Ok(())
        );
    }
}
