//! Background tasks: each is named, none is detached, and a panic in one stops the broker in order.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info_span};

/// Starts tasks and waits for them at the end.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    pub(crate) fn new(stop: CancellationToken) -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop,
        }
    }

    /// Runs `task` until it ends by itself or sees `stop` cancelled. A panic cancels `stop` for everyone.
    pub(crate) fn spawn<F>(&self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        let body = tokio::task::spawn(task(stop.clone()).instrument(info_span!("task", name)));
        self.tracker.spawn(async move {
            if let Err(end) = body.await
                && end.is_panic()
            {
                error!(task = name, "a background task panicked; the broker stops");
                stop.cancel();
            }
        });
    }

    /// Waits until every task has ended.
    pub(crate) async fn finished(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
