//! The transaction coordinators of this broker: one task for each partition of `__transaction_state` that is led here.
//!
//! What transactions are is the `coordinator` crate's business. Here its decisions are stored in the partition's log and
//! answered, the markers that follow from them are written to the partitions of the transaction, and who comes while the
//! transaction before is being completed waits for that, rather than being sent away to ask again.

mod markers;
mod parked;
mod task;

use std::sync::Arc;
use std::time::Duration;

use coordinator::Ticket;
use coordinator::transactions::{
    AddPartitions, EndTransaction, InitProducerId, TopicPartition, TransactionError,
    TransactionEvent, TransactionReply, TransactionShard, TransactionStats, TransactionVersion,
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::clock;
use crate::context::Context;
use crate::coordinators::{RunningAll, partition_of, start_and_stop};
use crate::tasks::Tasks;
use crate::topics::TopicMap;

/// Where transactions are kept.
pub(crate) const STATE_TOPIC: &str = "__transaction_state";
/// Requests that may wait for one coordinator before their connections have to.
const MAILBOX: usize = 1024;
/// How long a scrape of the metrics waits for the coordinators.
const REPORT_MAX: Duration = Duration::from_secs(1);
/// How long a produce or a commit of offsets waits for its transaction's coordinator.
const ENTER_MAX: Duration = Duration::from_secs(10);

/// The coordinators that run here.
pub(crate) struct Transactions {
    tasks: Tasks,
    running: Mutex<RunningAll<TransactionHandle>>,
}

/// Talks to one coordinator.
#[derive(Clone)]
pub(crate) struct TransactionHandle {
    mailbox: mpsc::Sender<Message>,
}

/// A request that changes a transaction.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Init(InitProducerId),
    Add(AddPartitions),
    End(EndTransaction),
}

impl Request {
    fn transactional_id(&self) -> &str {
        match self {
            Self::Init(request) => &request.transactional_id,
            Self::Add(request) => &request.transactional_id,
            Self::End(request) => &request.transactional_id,
        }
    }

    fn event(self, ticket: Ticket) -> TransactionEvent {
        match self {
            Self::Init(request) => TransactionEvent::InitProducerId(ticket, request),
            Self::Add(request) => TransactionEvent::AddPartitions(ticket, request),
            Self::End(request) => TransactionEvent::End(ticket, request),
        }
    }
}

type Answer = Result<TransactionReply, TransactionError>;

/// A question is answered from the state alone.
type Question = Box<dyn FnOnce(Result<&TransactionShard, TransactionError>) + Send>;

enum Message {
    Request {
        request: Request,
        answer: oneshot::Sender<Answer>,
    },
    Question(Question),
    /// Counts what happened since the last time into the metrics, and says how things are.
    Report(oneshot::Sender<TransactionStats>),
}

/// An answer on its way.
pub(crate) struct Pending(oneshot::Receiver<Answer>);

impl Pending {
    /// The answer, as soon as the coordinator has it; its deadlines bound the wait.
    pub(crate) async fn wait(self) -> Answer {
        self.0
            .await
            .unwrap_or(Err(TransactionError::NotCoordinator))
    }
}

impl TransactionHandle {
    /// Hands in a request. Returns when it has its place in line: what is handed in later is decided later.
    pub(crate) async fn submit(&self, request: Request) -> Pending {
        let (answer, receiver) = oneshot::channel();
        // A coordinator that is gone drops the sender, which the receiver tells.
        let _ = self
            .mailbox
            .send(Message::Request { request, answer })
            .await;
        Pending(receiver)
    }

    /// Asks something of the coordinator's state, after everything that was handed in before.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&TransactionShard) -> T + Send + 'static,
    ) -> Result<T, TransactionError> {
        let (answer, receiver) = oneshot::channel();
        let question: Question = Box::new(move |state| {
            let _ = answer.send(state.map(question));
        });
        let _ = self.mailbox.send(Message::Question(question)).await;
        receiver
            .await
            .unwrap_or(Err(TransactionError::NotCoordinator))
    }
}

/// How partitions come into a transaction, or are shown to be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enter {
    /// They are added to the transaction, which begins with the first of them (Produce from version 12 on, TxnOffsetCommit from
    /// version 5 on; KIP-890).
    Add,
    /// They must have been added before.
    Verify,
}

impl Transactions {
    pub(crate) fn new(tasks: Tasks) -> Self {
        Self {
            tasks,
            running: Mutex::default(),
        }
    }

    /// The coordinator of a transactional id, if it is here.
    ///
    /// Fails with `NotCoordinator` when another broker leads the id's partition, or nobody does yet: the client asks
    /// FindCoordinator again.
    pub(crate) fn coordinator(
        &self,
        topics: &TopicMap,
        transactional_id: &str,
    ) -> Result<TransactionHandle, TransactionError> {
        let state = topics
            .named(STATE_TOPIC)
            .ok_or(TransactionError::NotCoordinator)?;
        self.running
            .lock()
            .get(&partition_of(transactional_id, state))
            .map(|running| running.handle.clone())
            .ok_or(TransactionError::NotCoordinator)
    }

    /// All coordinators that run here.
    pub(crate) fn all(&self) -> Vec<TransactionHandle> {
        let running = self.running.lock();
        running.values().map(|one| one.handle.clone()).collect()
    }

    /// Brings `partitions` into the transaction, or shows that they are in it; a result for each, in their order, or why none of
    /// them can be judged. An added partition is in the transaction for good: it gets a marker when the transaction ends, whether
    /// anything was written to it or not.
    ///
    /// Waits at most 10 s, then fails with `CoordinatorUnavailable`.
    pub(crate) async fn enter(
        &self,
        ctx: &Context,
        transactional_id: &str,
        producer_id: i64,
        epoch: i16,
        partitions: Vec<(Arc<str>, i32)>,
        how: Enter,
    ) -> Result<Vec<Result<(), TransactionError>>, TransactionError> {
        let coordinator = self.coordinator(&ctx.topics.table(), transactional_id)?;
        let transactional_id = transactional_id.to_owned();
        let partitions: Vec<TopicPartition> = partitions
            .into_iter()
            .map(|(topic, partition)| TopicPartition { topic, partition })
            .collect();
        let entered = async {
            match how {
                Enter::Add => {
                    let count = partitions.len();
                    let request = Request::Add(AddPartitions {
                        transactional_id,
                        producer_id,
                        epoch,
                        partitions,
                        version: TransactionVersion::V2,
                    });
                    match coordinator.submit(request).await.wait().await? {
                        TransactionReply::AddPartitions(Ok(())) => Ok(vec![Ok(()); count]),
                        TransactionReply::AddPartitions(Err(error)) => Err(error),
                        // A coordinator answers a request in kind.
                        _ => Err(TransactionError::Internal),
                    }
                }
                Enter::Verify => {
                    let verify = move |shard: &TransactionShard| -> Vec<_> {
                        let verify = |partition| {
                            shard.verify(&transactional_id, producer_id, epoch, partition)
                        };
                        partitions.iter().map(verify).collect()
                    };
                    coordinator.ask(verify).await
                }
            }
        };
        let deadline = clock::monotonic() + ENTER_MAX;
        tokio::time::timeout_at(deadline, entered)
            .await
            .unwrap_or(Err(TransactionError::CoordinatorUnavailable))
    }

    /// Brings the metrics of transactions up to date. Coordinators that are loading, or too busy to answer for a while, are left
    /// out.
    pub(crate) async fn report(&self, ctx: &Context) {
        let mut pending = Vec::new();
        for handle in self.all() {
            let (answer, receiver) = oneshot::channel();
            if handle.mailbox.try_send(Message::Report(answer)).is_ok() {
                pending.push(receiver);
            }
        }
        let deadline = clock::monotonic() + REPORT_MAX;
        let mut all = Vec::with_capacity(pending.len());
        for receiver in pending {
            if let Ok(Ok(stats)) = tokio::time::timeout_at(deadline, receiver).await {
                all.push(stats);
            }
        }
        ctx.metrics.transactions.show(&all);
    }

    /// Starts coordinators for partitions of the state topic that are led here now, and stops those of others.
    pub(crate) fn follow(&self, ctx: &Arc<Context>) {
        let mut running = self.running.lock();
        // Looked at under the lock: an older look must not undo what a newer one did.
        let topics = ctx.topics.snapshot();
        let state = topics.named(STATE_TOPIC);
        start_and_stop(&mut running, state, &ctx.stop, |partition, stop| {
            let (mailbox, messages) = mpsc::channel(MAILBOX);
            let ctx = Arc::clone(ctx);
            self.tasks.spawn("transaction coordinator", move |_| {
                task::run(ctx, partition, messages, stop)
            });
            TransactionHandle { mailbox }
        });
    }
}

/// A request that waits for its answer, and until when it may wait for the transaction before.
struct Waiting {
    request: Request,
    answer: oneshot::Sender<Answer>,
    patience: Instant,
}
