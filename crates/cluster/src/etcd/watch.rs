//! A watch that goes on when its stream does not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{EventType, WatchClient, WatchOptions, WatchResponse, WatchStream};

use super::{CALL_TIMEOUT, stripped};
use crate::store::{Answer, Batch, Event, MetaWatch, Revision, WatchItem};

/// How long after a stream has ended the next one is tried.
const REOPEN_DELAY: Duration = Duration::from_millis(200);

/// See the module's description.
pub(super) struct Watch {
    client: WatchClient,
    root: String,
    /// The first revision that was not delivered.
    next: Revision,
    stream: Option<WatchStream>,
    ready: VecDeque<WatchItem>,
}

impl Watch {
    pub(super) fn starting(client: WatchClient, root: String, from: Revision) -> Self {
        Self {
            client,
            root,
            next: from,
            stream: None,
            ready: VecDeque::new(),
        }
    }

    async fn wait(&mut self) -> WatchItem {
        loop {
            if let Some(item) = self.ready.pop_front() {
                if let WatchItem::Batch(batch) = &item {
                    self.next = batch.revision + 1;
                }
                return item;
            }
            let Some(stream) = &mut self.stream else {
                self.open().await;
                continue;
            };
            match stream.message().await {
                Ok(Some(response)) => self.take(&response),
                Ok(None) => self.stream = None,
                Err(error) => {
                    tracing::warn!(%error, next = self.next, "the watch on etcd has ended; opening another");
                    self.stream = None;
                }
            }
        }
    }

    /// Opens a stream behind what was delivered, or waits a little where that fails.
    async fn open(&mut self) {
        let options = WatchOptions::new()
            .with_prefix()
            .with_start_revision(self.next);
        let opening = self.client.watch(self.root.clone(), Some(options));
        match tokio::time::timeout(CALL_TIMEOUT, opening).await {
            Ok(Ok(stream)) => return self.stream = Some(stream),
            Ok(Err(error)) => tracing::debug!(%error, "no watch on etcd yet"),
            Err(_) => tracing::debug!("no watch on etcd yet: it does not answer"),
        }
        tokio::time::sleep(REOPEN_DELAY).await;
    }

    fn take(&mut self, response: &WatchResponse) {
        // The reason is empty for a compacted revision; the revision tells.
        if response.compact_revision() != 0 {
            self.stream = None;
            self.ready.push_back(WatchItem::Compacted);
            return;
        }
        if response.canceled() {
            tracing::warn!(
                reason = response.cancel_reason(),
                "etcd has ended the watch; opening another"
            );
            self.stream = None;
            return;
        }
        let mut batch: Option<Batch> = None;
        for event in response.events() {
            let Some(kv) = event.kv() else { continue };
            // Of a deletion, too, it is the revision that made it.
            let revision = kv.mod_revision();
            let Ok(kv) = stripped(&self.root, kv) else {
                // What is no key of ours is not in a snapshot either.
                self.ready.push_back(WatchItem::Compacted);
                continue;
            };
            let event = match event.event_type() {
                EventType::Put => Event::Put(kv),
                EventType::Delete => Event::Delete { key: kv.key },
            };
            match &mut batch {
                Some(open) if open.revision == revision => open.events.push(event),
                _ => {
                    let next = Batch {
                        revision,
                        events: vec![event],
                    };
                    let done = batch.replace(next);
                    self.ready.extend(done.map(into_item));
                }
            }
        }
        self.ready.extend(batch.map(into_item));
    }
}

fn into_item(batch: Batch) -> WatchItem {
    WatchItem::Batch(Arc::new(batch))
}

impl MetaWatch for Watch {
    fn next(&mut self) -> Answer<'_, WatchItem> {
        Box::pin(self.wait())
    }
}
