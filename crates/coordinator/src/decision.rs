//! What an event comes to.

use bytes::Bytes;

/// The caller's name for a request that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One record of a coordinator's internal topic, in Kafka's own format: two bytes of version, then the schema's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinatorRecord {
    /// The key; its version says which schema key and value follow.
    pub key: Bytes,
    /// `None` is a tombstone: the key is gone.
    pub value: Option<Bytes>,
}

/// The producer of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    /// Its id.
    pub id: i64,
    /// Its epoch: an older one than the log has seen is refused.
    pub epoch: i16,
}

/// What is to be stored, and who is to be answered once it is. Nothing of it is true before the records are stored; without
/// records the replies go out at once.
#[derive(Debug)]
pub struct Decision<R> {
    /// To be appended as one batch: all or none.
    pub records: Vec<CoordinatorRecord>,
    /// The batch is part of this producer's transaction.
    pub transaction: Option<Producer>,
    /// Answers, each for a request that some event brought with its ticket.
    pub replies: Vec<(Ticket, R)>,
}

impl<R> Default for Decision<R> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            transaction: None,
            replies: Vec::new(),
        }
    }
}
