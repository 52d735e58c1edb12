//! What waits until a coordinator's records are on every replica in sync: answers, and what follows from decisions.
//!
//! A decision counts in the coordinator's own state as soon as it is in its log, as in Kafka (`CoordinatorRuntime`), but nobody is
//! told of it before: whoever leads the partition next might not have it.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use crate::topics::Partition;
use crate::waiters::Waiting;

/// Decisions that wait at a time; more requests are not taken up meanwhile.
const WAITING_MAX: usize = 1_000;

/// Things to do once the log is committed so far, in their order.
pub(crate) struct Committing<T> {
    partition: Arc<Partition>,
    waiting: VecDeque<One<T>>,
    /// Only while something waits, so that a log without other replicas wakes nobody.
    place: Option<Waiting>,
}

struct One<T> {
    /// The offset behind what has to be committed.
    end: i64,
    /// When it is given up.
    until: Option<Instant>,
    thing: T,
}

impl<T> Committing<T> {
    pub(crate) fn of(partition: Arc<Partition>) -> Self {
        Self {
            partition,
            waiting: VecDeque::new(),
            place: None,
        }
    }

    /// Whether no more should be decided for now.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// The thing itself, if everything below `end` is committed and nothing waits before it; otherwise it waits.
    pub(crate) fn hold(&mut self, end: i64, until: Option<Instant>, thing: T) -> Option<T> {
        if self.waiting.is_empty() && self.is_committed(end) {
            return Some(thing);
        }
        self.waiting.push_back(One { end, until, thing });
        if self.place.is_none() {
            self.place = Some(Waiting::on(vec![Arc::clone(&self.partition.waiters)]));
        }
        None
    }

    /// The thing, behind everything that waits: it tells of what others have decided.
    pub(crate) fn behind_others(&mut self, until: Option<Instant>, thing: T) -> Option<T> {
        match self.waiting.back() {
            None => Some(thing),
            Some(last) => {
                let end = last.end;
                self.hold(end, until, thing)
            }
        }
    }

    /// What need not wait any longer: true with what is committed, false with what was given up.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<(bool, T)> {
        let mut taken = Vec::new();
        while let Some(first) = self.waiting.front() {
            let committed = self.is_committed(first.end);
            if !committed && first.until.is_none_or(|until| until > now) {
                break;
            }
            taken.extend(self.waiting.pop_front().map(|one| (committed, one.thing)));
        }
        if self.waiting.is_empty() {
            self.place = None;
        }
        taken
    }

    /// When the first is given up.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.waiting.front().and_then(|one| one.until)
    }

    /// Returns when the log may be committed further. Look with [`take`](Self::take) before waiting again.
    pub(crate) async fn moved(&self) {
        match &self.place {
            Some(place) => place.moved().await,
            None => std::future::pending().await,
        }
    }

    fn is_committed(&self, end: i64) -> bool {
        self.partition.log.high_watermark() >= end
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use prometheus::Registry;
    use storage::{AppendJob, LogKey, LogOptions, Origin, Store, StoreOptions};
    use uuid::Uuid;
    use wire::batch::{BatchBuilder, BatchOptions};

    use super::*;
    use crate::clock::{self, SystemClock};
    use crate::metrics::traffic::{TopicTraffic, Traffic};
    use crate::waiters::WaiterTable;

    /// A log of which another replica has nothing yet.
    struct Led {
        store: Store,
        partition: Arc<Partition>,
    }

    impl Led {
        fn in_dir(dir: &Path) -> Self {
            let waiters = Arc::new(WaiterTable::default());
            let options = StoreOptions::new(vec![dir.to_owned()], "c", 1);
            let events = Arc::clone(&waiters) as Arc<dyn storage::LogEvents>;
            let store =
                Store::open(options, Arc::new(SystemClock), events, &Registry::new()).unwrap();
            let key = LogKey {
                topic_id: Uuid::from_u128(1),
                partition: 0,
            };
            let options = Arc::new(LogOptions::default());
            let log = store.create_log(key, "t", options).unwrap();
            log.become_leader(0).unwrap();
            log.set_sole_replica(false);
            let traffic = TopicTraffic::new(Arc::new(Traffic::default()));
            let partition = Arc::new(Partition {
                leader_epoch: 0,
                log,
                waiters: waiters.of(key),
                traffic: Arc::new(traffic),
            });
            Self { store, partition }
        }

        /// The offset behind the record.
        async fn append(&self) -> i64 {
            let mut builder = BatchBuilder::new(BatchOptions::default());
            builder.append(0, None, Some(b"v"), &[]).unwrap();
            let job = AppendJob {
                log: Arc::clone(&self.partition.log),
                batch: builder.build().unwrap(),
                leader_epoch: 0,
                origin: Origin::Internal,
            };
            let (done, appended) = tokio::sync::oneshot::channel();
            self.store
                .append(vec![job], Box::new(move |results| drop(done.send(results))));
            let appended = appended.await.unwrap().remove(0).unwrap();
            appended.last_offset + 1
        }

        /// Another replica has everything below `end`.
        fn commit(&self, end: i64) {
            self.partition.log.advance_high_watermark(end);
            self.partition.waiters.wake();
        }
    }

    #[tokio::test]
    async fn nobody_is_told_before_the_log_is_committed_and_then_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let led = Led::in_dir(dir.path());
        let mut committing = Committing::of(Arc::clone(&led.partition));
        assert_eq!(committing.behind_others(None, "at once"), Some("at once"));
        let (first, second) = (led.append().await, led.append().await);
        assert_eq!(committing.hold(first, None, "first"), None);
        assert_eq!(committing.hold(second, None, "second"), None);
        assert_eq!(committing.behind_others(None, "tells of both"), None);
        assert_eq!(committing.take(clock::monotonic()), []);
        led.commit(first);
        committing.moved().await;
        assert_eq!(committing.take(clock::monotonic()), [(true, "first")]);
        led.commit(second);
        committing.moved().await;
        assert_eq!(
            committing.take(clock::monotonic()),
            [(true, "second"), (true, "tells of both")]
        );
        assert_eq!(
            committing.hold(second, None, "committed"),
            Some("committed")
        );
    }

    #[tokio::test]
    async fn what_waits_too_long_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let led = Led::in_dir(dir.path());
        let mut committing = Committing::of(Arc::clone(&led.partition));
        let now = clock::monotonic();
        let until = now + Duration::from_secs(5);
        let end = led.append().await;
        assert_eq!(committing.hold(end, Some(until), "answer"), None);
        assert_eq!(committing.next_end(), Some(until));
        assert_eq!(committing.take(now), []);
        assert_eq!(committing.take(until), [(false, "answer")]);
        assert_eq!(committing.next_end(), None);
    }
}
