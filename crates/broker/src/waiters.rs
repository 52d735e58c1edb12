//! Who waits for a partition's visible end to move: long polls and acks=all produce requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::HashMap;
use parking_lot::{Mutex, RwLock};
use storage::{LogKey, PartitionLog};
use tokio::sync::Notify;

/// The waiters of one partition. Waking costs one atomic load when nobody waits.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    count: AtomicUsize,
    list: Mutex<Vec<Arc<Notify>>>,
}

impl Waiters {
    /// Wakes everyone who waits; they look for themselves whether it was enough.
    pub(crate) fn wake(&self) {
        // Ordered after the publication of the new offset and against `Waiting::on`, which counts before it looks.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        for waiter in self.list.lock().iter() {
            waiter.notify_one();
        }
    }

    fn add(&self, waiter: &Arc<Notify>) {
        self.list.lock().push(Arc::clone(waiter));
        self.count.fetch_add(1, Ordering::SeqCst);
        std::sync::atomic::fence(Ordering::SeqCst);
    }

    fn remove(&self, waiter: &Arc<Notify>) {
        let mut list = self.list.lock();
        if let Some(index) = list.iter().position(|other| Arc::ptr_eq(other, waiter)) {
            list.swap_remove(index);
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A place in the lists of several partitions; dropping it leaves them all.
#[derive(Debug)]
pub(crate) struct Waiting {
    notify: Arc<Notify>,
    places: Vec<Arc<Waiters>>,
}

impl Waiting {
    /// Takes the places. Look at the offsets once more after this, then wait: a move in between is not missed.
    pub(crate) fn on(places: Vec<Arc<Waiters>>) -> Self {
        let notify = Arc::new(Notify::new());
        for place in &places {
            place.add(&notify);
        }
        Self { notify, places }
    }

    /// Returns when any of the partitions has moved since the last return.
    pub(crate) async fn moved(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        for place in &self.places {
            place.remove(&self.notify);
        }
    }
}

/// Finds the waiters of a log when the store reports that it moved.
#[derive(Debug, Default)]
pub(crate) struct WaiterTable {
    by_log: RwLock<HashMap<LogKey, Arc<Waiters>>>,
}

impl WaiterTable {
    pub(crate) fn of(&self, key: LogKey) -> Arc<Waiters> {
        if let Some(waiters) = self.by_log.read().get(&key) {
            return Arc::clone(waiters);
        }
        Arc::clone(self.by_log.write().entry(key).or_default())
    }

    /// Forgets a deleted log, waking whoever still waits for it.
    pub(crate) fn forget(&self, key: LogKey) {
        if let Some(waiters) = self.by_log.write().remove(&key) {
            waiters.wake();
        }
    }
}

impl storage::LogEvents for WaiterTable {
    fn visible_offset_moved(&self, log: &PartitionLog) {
        let waiters = self.by_log.read().get(&log.key()).cloned();
        if let Some(waiters) = waiters {
            waiters.wake();
        }
    }

    fn dir_went_offline(&self, dir: &std::path::Path, reason: &str) {
        tracing::error!(dir = %dir.display(), reason, "a log directory went offline");
        for waiters in self.by_log.read().values() {
            waiters.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_move_after_taking_the_place_is_not_missed() {
        let waiters = Arc::new(Waiters::default());
        let waiting = Waiting::on(vec![Arc::clone(&waiters)]);
        waiters.wake();
        waiting.moved().await;
    }

    #[tokio::test]
    async fn leaving_takes_the_place_out_of_every_list() {
        let (a, b) = (Arc::new(Waiters::default()), Arc::new(Waiters::default()));
        drop(Waiting::on(vec![Arc::clone(&a), Arc::clone(&b)]));
        assert_eq!(
            (a.count.load(Ordering::SeqCst), a.list.lock().len()),
            (0, 0)
        );
        assert_eq!(
            (b.count.load(Ordering::SeqCst), b.list.lock().len()),
            (0, 0)
        );
    }
}
