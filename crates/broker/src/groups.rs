//! The group coordinators of this broker: one task for each partition of `__consumer_offsets` that is led here.
//!
//! What groups are is the `coordinator` crate's business. Here its decisions are stored in the partition's log and answered,
//! one after the other, and its deadlines are slept for.

pub(crate) mod lag;
mod task;

use std::sync::Arc;
use std::time::Duration;

use coordinator::{Event, GroupError, GroupShard, GroupStats, Reply, Ticket, TopicView};
use parking_lot::Mutex;
use storage::{AppendError, VerificationGuard};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::batch::EndTxnMarker;

use self::lag::GroupRow;
use crate::clock;
use crate::context::Context;
use crate::coordinators::{RunningAll, partition_of, start_and_stop};
use crate::tasks::Tasks;
use crate::topics::{Partition, Topic, TopicMap};

/// Where groups and committed offsets are kept.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Requests that may wait for one coordinator before their connections have to.
const MAILBOX: usize = 1024;
/// How long a scrape of the metrics waits for the coordinators.
const REPORT_MAX: Duration = Duration::from_secs(1);

/// The coordinators that run here, by partition of the offsets topic.
pub(crate) struct Groups {
    tasks: Tasks,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    /// By partition of the offsets topic.
    running: RunningAll<GroupHandle>,
    /// The topics that the coordinators were last told of.
    topics: Arc<TopicMap>,
}

/// Talks to one coordinator.
#[derive(Clone)]
pub(crate) struct GroupHandle {
    mailbox: mpsc::Sender<Message>,
}

/// A question is answered from the state alone.
type Question = Box<dyn FnOnce(Result<(&mut GroupShard, &dyn TopicView), GroupError>) + Send>;

enum Message {
    Event {
        event: Box<dyn FnOnce(Ticket) -> Event + Send>,
        /// That a transaction may begin here with what is stored for it.
        guard: Option<VerificationGuard>,
        answer: oneshot::Sender<Result<Reply, GroupError>>,
    },
    Question(Question),
    /// Counts what happened since the last time into the metrics, and says how things are.
    Report {
        /// Whether to look at every group by itself.
        each: bool,
        answer: oneshot::Sender<Report>,
    },
    EndTransaction {
        marker: EndTxnMarker,
        /// The marker's epoch is above the transaction's (KIP-890).
        bumps_epoch: bool,
        answer: oneshot::Sender<Result<(), EndTransactionError>>,
    },
    TopicsDeleted(Vec<(String, Uuid)>),
}

/// Why a transaction has not ended in a partition of the offsets topic.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndTransactionError {
    /// There is no coordinator here, or it is not ready; trying again helps, here or elsewhere.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The log refuses the marker, or cannot take it now.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// How a coordinator's groups are.
struct Report {
    stats: GroupStats,
    /// Empty where they were not asked for.
    groups: Vec<GroupRow>,
}

/// An answer on its way.
pub(crate) struct Pending(oneshot::Receiver<Result<Reply, GroupError>>);

impl Pending {
    /// The answer, as soon as the coordinator has it; its deadlines bound the wait.
    pub(crate) async fn wait(self) -> Result<Reply, GroupError> {
        self.0.await.unwrap_or(Err(GroupError::NotCoordinator))
    }
}

/// The answer to a question on its way.
pub(crate) struct Asked<T>(oneshot::Receiver<Result<T, GroupError>>);

impl<T> Asked<T> {
    /// The answer, as soon as the coordinator's state is read and it has done what was handed in before.
    pub(crate) async fn wait(self) -> Result<T, GroupError> {
        self.0.await.unwrap_or(Err(GroupError::NotCoordinator))
    }
}

impl GroupHandle {
    /// Hands in a request. Returns when it has its place in line: what is handed in later is decided later. A commit in a transaction
    /// has the guard that was given out before the transaction's coordinator was asked.
    pub(crate) async fn submit(
        &self,
        event: impl FnOnce(Ticket) -> Event + Send + 'static,
        guard: Option<VerificationGuard>,
    ) -> Pending {
        let (answer, receiver) = oneshot::channel();
        let event = Box::new(event);
        // A coordinator that is gone drops the sender, which the receiver tells.
        let message = Message::Event {
            event,
            guard,
            answer,
        };
        let _ = self.mailbox.send(message).await;
        Pending(receiver)
    }

    /// Asks something of the coordinator's state, after everything that was handed in before. Returns when the question has its
    /// place in line.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut GroupShard, &dyn TopicView) -> T + Send + 'static,
    ) -> Asked<T> {
        let (answer, receiver) = oneshot::channel();
        let question: Question = Box::new(move |state| {
            let _ = answer.send(state.map(|(shard, topics)| question(shard, topics)));
        });
        let _ = self.mailbox.send(Message::Question(question)).await;
        Asked(receiver)
    }
}

impl Groups {
    pub(crate) fn new(tasks: Tasks) -> Self {
        Self {
            tasks,
            now: Mutex::default(),
        }
    }

    /// The coordinator of a group, if it is here.
    ///
    /// Fails with `NotCoordinator` when another broker leads the group's partition, or nobody does yet: the client asks
    /// FindCoordinator again.
    pub(crate) fn coordinator(
        &self,
        topics: &TopicMap,
        group_id: &str,
    ) -> Result<GroupHandle, GroupError> {
        let offsets = topics
            .named(OFFSETS_TOPIC)
            .ok_or(GroupError::NotCoordinator)?;
        self.now
            .lock()
            .running
            .get(&partition_of(group_id, offsets))
            .map(|running| running.handle.clone())
            .ok_or(GroupError::NotCoordinator)
    }

    /// Writes the marker of a transaction to a partition of the offsets topic, and has its pending offsets committed or
    /// forgotten; after everything that was handed to the partition's coordinator before. May be repeated.
    ///
    /// Fails with `NotCoordinator` when the partition is not led here, `CoordinatorLoading` while its state is read. Who does not
    /// wait any longer does not know whether the marker was written.
    pub(crate) async fn end_transaction(
        &self,
        partition: i32,
        marker: EndTxnMarker,
        bumps_epoch: bool,
    ) -> Result<(), EndTransactionError> {
        let mailbox = {
            let now = self.now.lock();
            let running = now.running.get(&partition);
            running.map(|running| running.handle.mailbox.clone())
        };
        let mailbox = mailbox.ok_or(GroupError::NotCoordinator)?;
        let (answer, receiver) = oneshot::channel();
        let message = Message::EndTransaction {
            marker,
            bumps_epoch,
            answer,
        };
        let _ = mailbox.send(message).await;
        let ended = receiver.await;
        ended.unwrap_or(Err(GroupError::NotCoordinator.into()))
    }

    /// All coordinators that run here.
    pub(crate) fn all(&self) -> Vec<GroupHandle> {
        let now = self.now.lock();
        now.running.values().map(|one| one.handle.clone()).collect()
    }

    /// Brings the metrics of groups up to date, and returns the groups in the order of their ids if they are asked for `each`
    /// by itself. Coordinators that are loading, or too busy to answer for a while, are left out.
    pub(crate) async fn report(&self, ctx: &Context, each: bool) -> Vec<GroupRow> {
        let mut pending = Vec::new();
        for handle in self.all() {
            let (answer, receiver) = oneshot::channel();
            let report = Message::Report { each, answer };
            if handle.mailbox.try_send(report).is_ok() {
                pending.push(receiver);
            }
        }
        let deadline = clock::monotonic() + REPORT_MAX;
        let mut all = Vec::with_capacity(pending.len());
        let mut groups = Vec::new();
        for receiver in pending {
            if let Ok(Ok(report)) = tokio::time::timeout_at(deadline, receiver).await {
                all.push(report.stats);
                groups.extend(report.groups);
            }
        }
        ctx.metrics.groups.show(&all);
        groups.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        groups
    }

    /// Starts coordinators for partitions of the offsets topic that are led here now, and stops those of others. Tells all
    /// of them which topics are gone.
    pub(crate) async fn follow(&self, ctx: &Arc<Context>) {
        let gone = self.catch_up(ctx);
        if gone.is_empty() {
            return;
        }
        for handle in self.all() {
            let _ = handle
                .mailbox
                .send(Message::TopicsDeleted(gone.clone()))
                .await;
        }
    }

    /// Moves on to the newest topics, and returns those that are gone. The topics are looked at under the lock: several
    /// requests may have changed them, and an older look must not undo what a newer one did.
    fn catch_up(&self, ctx: &Arc<Context>) -> Vec<(String, Uuid)> {
        let mut now = self.now.lock();
        let topics = ctx.topics.snapshot();
        let offsets = topics.named(OFFSETS_TOPIC);
        start_and_stop(&mut now.running, offsets, &ctx.stop, |partition, stop| {
            self.start(ctx, partition, stop)
        });
        let before = std::mem::replace(&mut now.topics, Arc::clone(&topics));
        before
            .iter()
            .filter(|topic| topics.with_id(topic.id()).is_none())
            .map(|topic| (topic.name().to_string(), topic.id()))
            .collect()
    }

    fn start(
        &self,
        ctx: &Arc<Context>,
        partition: Arc<Partition>,
        stop: CancellationToken,
    ) -> GroupHandle {
        let (mailbox, messages) = mpsc::channel(MAILBOX);
        let ctx = Arc::clone(ctx);
        self.tasks.spawn("group coordinator", move |_| {
            task::run(ctx, partition, messages, stop)
        });
        GroupHandle { mailbox }
    }
}

/// The topics as a coordinator sees them.
struct Topics(Arc<TopicMap>);

impl TopicView for Topics {
    fn by_name(&self, name: &str) -> Option<(Uuid, i32)> {
        let topic = self.0.named(name)?;
        Some((topic.id(), partitions(topic)))
    }

    fn by_id(&self, id: Uuid) -> Option<(&str, i32)> {
        let topic = self.0.with_id(id)?;
        Some((topic.name(), partitions(topic)))
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.0.iter().map(|topic| topic.name().as_ref()))
    }

    fn revision(&self) -> i64 {
        self.0.revision()
    }
}

fn partitions(topic: &Topic) -> i32 {
    i32::try_from(topic.partition_count()).unwrap_or(i32::MAX)
}
