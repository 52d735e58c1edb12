//! The last revisions, kept for watchers in this process.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::store::{Answer, Batch, MetaWatch, Revision, WatchItem};

/// How many events are kept for watchers that have not read them yet; who falls further behind reads a snapshot.
const EVENTS_KEPT: usize = 4 * 1024;

/// The latest batches, for any number of watchers.
pub(super) struct History {
    kept: Arc<Mutex<Kept>>,
    /// Dropped with the store, which is how watchers learn that it is gone.
    latest: watch::Sender<Revision>,
}

/// Batches in order, without gaps, the last one being `latest`.
struct Kept {
    batches: VecDeque<Arc<Batch>>,
    events: usize,
    latest: Revision,
}

impl History {
    pub(super) fn starting_after(revision: Revision) -> Self {
        Self {
            kept: Arc::new(Mutex::new(Kept::empty(revision))),
            latest: watch::Sender::new(revision),
        }
    }

    pub(super) fn revision(&self) -> Revision {
        self.kept.lock().latest
    }

    pub(super) fn watch(&self, from: Revision) -> Watch {
        Watch {
            kept: Arc::clone(&self.kept),
            latest: self.latest.subscribe(),
            next: from,
        }
    }

    /// Forgets everything up to `revision`.
    pub(super) fn start_after(&self, revision: Revision) {
        *self.kept.lock() = Kept::empty(revision);
        self.latest.send_replace(revision);
    }

    pub(super) fn push(&self, batch: Batch) {
        let revision = batch.revision;
        self.kept.lock().push(batch);
        self.latest.send_replace(revision);
    }
}

impl Kept {
    fn empty(latest: Revision) -> Self {
        Self {
            batches: VecDeque::new(),
            events: 0,
            latest,
        }
    }

    fn push(&mut self, batch: Batch) {
        self.events += batch.events.len();
        self.latest = batch.revision;
        self.batches.push_back(Arc::new(batch));
        while self.events > EVENTS_KEPT && self.batches.len() > 1 {
            if let Some(oldest) = self.batches.pop_front() {
                self.events -= oldest.events.len();
            }
        }
    }

    /// What a watcher that asks for `revision` is told, if anything yet.
    fn item(&self, revision: Revision) -> Option<WatchItem> {
        if revision > self.latest {
            return None;
        }
        let behind = usize::try_from(self.latest.saturating_sub(revision)).unwrap_or(usize::MAX);
        let index = self.batches.len().checked_sub(behind.saturating_add(1));
        Some(match index {
            Some(index) => WatchItem::Batch(Arc::clone(&self.batches[index])),
            None => WatchItem::Compacted,
        })
    }
}

/// A reader of the store's changes, one revision after the other.
pub(super) struct Watch {
    kept: Arc<Mutex<Kept>>,
    latest: watch::Receiver<Revision>,
    next: Revision,
}

impl MetaWatch for Watch {
    fn next(&mut self) -> Answer<'_, WatchItem> {
        Box::pin(async {
            loop {
                self.latest.mark_unchanged();
                if let Some(item) = self.ready() {
                    return item;
                }
                if self.latest.changed().await.is_err() {
                    return WatchItem::Lost;
                }
            }
        })
    }
}

impl Watch {
    /// The next item, if it is there already.
    pub(super) fn ready(&mut self) -> Option<WatchItem> {
        let item = self.kept.lock().item(self.next)?;
        if let WatchItem::Batch(batch) = &item {
            self.next = batch.revision + 1;
        }
        Some(item)
    }
}
