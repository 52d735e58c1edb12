//! The task that owns one coordinator: requests in, records to the log, answers out, and then the markers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use coordinator::records::RecordError;
use coordinator::transactions::{
    Markers, TransactionError, TransactionReply, TransactionShard, TransactionStats,
};
use coordinator::{CoordinatorRecord, Decision, Ticket};
use foldhash::HashMap;
use parking_lot::Mutex;
use storage::{AppendError, Origin};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use wire::batch::Codec;

use super::parked::Parked;
use super::{Answer, Message, Waiting, markers};
use crate::clock;
use crate::config::Config;
use crate::context::Context;
use crate::coordinators::committing::Committing;
use crate::coordinators::journal::{Journal, NotStored, Storing};
use crate::coordinators::load::{self, NotLoaded, Replay, Stored};
use crate::coordinators::{Time, sleep_until};
use crate::topics::Partition;

/// Transactions of one coordinator whose markers are written at a time; those of others wait.
const WRITING_MAX: usize = 256;
/// How long a coordinator that needs a producer id waits for one. It answers that it is loading otherwise.
const PRODUCER_ID_MAX: Duration = Duration::from_secs(5);
/// How long an answer waits for the other replicas. Kafka waits as long as the transaction may last.
const REPLICATION_MAX: Duration = Duration::from_secs(30);

impl Replay for TransactionShard {
    const NAME: &'static str = "transaction coordinator";
    type Error = RecordError;

    fn restore(&mut self, row: &CoordinatorRecord) -> Result<(), RecordError> {
        // Where it stood in the log is not known any more.
        Self::replay(self, row, 0).map(drop)
    }

    fn replay(
        &mut self,
        stored: Stored<'_>,
        offset: i64,
        note: &mut dyn FnMut(CoordinatorRecord),
    ) -> Result<(), RecordError> {
        // Nobody writes to this topic in transactions.
        let (Stored::Record(record) | Stored::InTransaction(_, record)) = stored else {
            return Ok(());
        };
        note(record.clone());
        Self::replay(self, record, offset).map(drop)
    }
}

/// Coordinates the transactions of `partition` until `stop`.
pub(super) async fn run(
    ctx: Arc<Context>,
    partition: Arc<Partition>,
    mut messages: mpsc::Receiver<Message>,
    stop: CancellationToken,
) {
    let time = Time::starting(&ctx);
    let config = ctx.config();
    let producer_ids = ProducerIds::default();
    let new = || {
        let producer_ids = producer_ids.clone();
        TransactionShard::new(
            config.transactions.clone(),
            partition.leader_epoch,
            Box::new(move || producer_ids.take()),
        )
    };
    let Some(shard) = load::load(&partition, &mut messages, &stop, new, refuse).await else {
        return;
    };
    let mut owner = Owner {
        patience: config.transaction_patience,
        journal: Journal::of(Arc::clone(&partition)),
        replies: Committing::of(Arc::clone(&partition)),
        decided: Committing::of(partition),
        ctx,
        config,
        shard,
        producer_ids,
        time,
        waiting: HashMap::default(),
        next_ticket: 0,
        parked: Parked::default(),
        unwritten: VecDeque::new(),
        writing: JoinSet::new(),
        reported: TransactionStats::default(),
        stop: stop.clone(),
    };
    owner.shard.loaded(owner.time.now_ms());
    loop {
        owner.release();
        owner.catch_up().await;
        owner.send_markers();
        let wake = owner.wake_at();
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = owner.replies.moved() => {}
            () = owner.decided.moved() => {}
            Some(written) = owner.writing.join_next() => owner.written(written).await,
            message = messages.recv(), if !owner.replies.is_full() => match message {
                Some(message) => {
                    // What ran out while nothing came is earlier than what comes now, even if the timer has yet to say so.
                    owner.catch_up().await;
                    owner.take(message).await;
                }
                None => break,
            },
            () = sleep_until(wake) => owner.journal.keep_view().await,
        }
    }
    owner.give_up().await;
}

fn refuse(message: Message, why: NotLoaded) {
    let error = match why {
        NotLoaded::Loading => TransactionError::CoordinatorLoading,
        NotLoaded::Failed => TransactionError::CoordinatorUnavailable,
    };
    match message {
        Message::Request { answer, .. } => drop(answer.send(Err(error))),
        Message::Question(question) => question(Err(error)),
        Message::Report(_) => {}
    }
}

/// Producer ids at hand: the shard takes them where it cannot wait.
#[derive(Debug, Clone, Default)]
struct ProducerIds(Arc<Mutex<Option<i64>>>);

impl ProducerIds {
    fn take(&self) -> Option<i64> {
        self.0.lock().take()
    }

    /// Has one at hand, unless the controller cannot give any. Usually does not wait.
    async fn refill(&self, ctx: &Context) {
        if self.0.lock().is_some() {
            return;
        }
        let allocated = ctx.controller.allocate_producer_ids(1);
        match tokio::time::timeout(PRODUCER_ID_MAX, allocated).await {
            Ok(Ok(ids)) => *self.0.lock() = Some(ids.start),
            Ok(Err(error)) => warn!(%error, "no producer id could be had"),
            Err(_) => warn!("no producer id could be had in time"),
        }
    }
}

/// Markers that are all in their logs.
struct Written {
    markers: Markers,
    began: Instant,
}

struct Owner {
    ctx: Arc<Context>,
    /// What the shard's options are from.
    config: Arc<Config>,
    journal: Journal,
    /// What is told once it is committed, or given up.
    replies: Committing<Vec<(Ticket, TransactionReply)>>,
    /// Markers of decisions that are not committed yet.
    decided: Committing<Vec<Markers>>,
    shard: TransactionShard,
    producer_ids: ProducerIds,
    time: Time,
    waiting: HashMap<Ticket, Waiting>,
    next_ticket: u64,
    parked: Parked,
    /// How long a request may be parked.
    patience: Duration,
    /// Markers that are to be written when others are done.
    unwritten: VecDeque<Markers>,
    writing: JoinSet<Option<Written>>,
    /// What the metrics have counted.
    reported: TransactionStats,
    stop: CancellationToken,
}

impl Owner {
    fn wake_at(&self) -> Option<Instant> {
        let deadline = self.shard.next_deadline().map(|at| self.time.instant(at));
        let all = [
            deadline,
            self.journal.view_due(),
            self.parked.next_end(),
            self.replies.next_end(),
        ];
        all.into_iter().flatten().min()
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Request { request, answer } => {
                let patience = clock::monotonic() + self.patience;
                let waiting = Waiting {
                    request,
                    answer,
                    patience,
                };
                self.decide(waiting).await;
            }
            Message::Question(question) => question(Ok(&self.shard)),
            Message::Report(answer) => drop(answer.send(self.report())),
        }
    }

    async fn decide(&mut self, waiting: Waiting) {
        self.follow_config();
        self.producer_ids.refill(&self.ctx).await;
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let event = waiting.request.clone().event(ticket);
        self.waiting.insert(ticket, waiting);
        let decision = self.shard.handle(self.time.now_ms(), event);
        self.carry_out(decision).await;
    }

    fn follow_config(&mut self) {
        let config = self.ctx.config();
        if !Arc::ptr_eq(&config, &self.config) {
            self.shard.set_options(config.transactions.clone());
            self.config = config;
        }
    }

    fn report(&mut self) -> TransactionStats {
        let stats = self.shard.stats();
        let metrics = &self.ctx.metrics.transactions;
        metrics.add(&self.reported, &stats);
        self.reported = stats.clone();
        stats
    }

    /// Does what is due before anything else, so that a flood of requests keeps no transaction open.
    async fn catch_up(&mut self) {
        for waiting in self.parked.take_impatient(clock::monotonic()) {
            send(waiting, Err(TransactionError::ConcurrentTransactions));
        }
        let due = self.shard.next_deadline();
        if due.is_none_or(|at| at > self.time.now_ms()) {
            return;
        }
        self.follow_config();
        self.producer_ids.refill(&self.ctx).await;
        let decision = self.shard.tick(self.time.now_ms());
        self.carry_out(decision).await;
    }

    /// Stores the records, makes them true, has them committed, and answers; in this order.
    async fn carry_out(&mut self, decision: Decision<TransactionReply>) {
        let until = Some(clock::monotonic() + REPLICATION_MAX);
        if decision.records.is_empty() {
            if let Some(replies) = self.replies.behind_others(until, decision.replies) {
                self.answer(replies);
            }
            return;
        }
        // Kafka does not compress this topic either.
        let storing = Storing {
            codec: Codec::None,
            origin: Origin::Internal,
        };
        let records = &decision.records;
        let stored = self
            .journal
            .store(&self.ctx, &mut self.shard, records, None, storing);
        match stored.await {
            Ok(end) => {
                if let Some(replies) = self.replies.hold(end, until, decision.replies) {
                    self.answer(replies);
                }
            }
            Err(error) => {
                let partition = self.journal.partition();
                warn!(partition, %error, "a transaction coordinator cannot store its records");
                let now_ms = self.time.now_ms();
                let replies = self
                    .shard
                    .append_failed(now_ms, decision, &for_not_stored(&error));
                self.answer(replies);
            }
        }
    }

    /// Goes on with what has been committed, and with what has waited for too long.
    fn release(&mut self) {
        let now = clock::monotonic();
        for (_, markers) in self.decided.take(now) {
            self.unwritten.extend(markers);
        }
        for (committed, replies) in self.replies.take(now) {
            if committed {
                self.answer(replies);
                continue;
            }
            // It may be committed yet. Who asks again finds out.
            for (ticket, _) in replies {
                if let Some(waiting) = self.waiting.remove(&ticket) {
                    send(waiting, Err(TransactionError::CoordinatorUnavailable));
                }
            }
        }
    }

    fn answer(&mut self, replies: Vec<(Ticket, TransactionReply)>) {
        for (ticket, reply) in replies {
            let Some(waiting) = self.waiting.remove(&ticket) else {
                continue;
            };
            if !is_concurrent(&reply) {
                send(waiting, Ok(reply));
                continue;
            }
            match self.parked.park(clock::monotonic(), waiting) {
                Ok(()) => self.ctx.metrics.transactions.waits.inc(),
                Err(waiting) => send(waiting, Ok(reply)),
            }
        }
    }

    /// Begins to write what follows from the decisions that are committed, those included that were found in the log.
    fn send_markers(&mut self) {
        let markers = self.shard.take_markers();
        if !markers.is_empty()
            && let Some(markers) = self.decided.hold(self.journal.end(), None, markers)
        {
            self.unwritten.extend(markers);
        }
        while self.writing.len() < WRITING_MAX
            && let Some(markers) = self.unwritten.pop_front()
        {
            let (ctx, stop) = (Arc::clone(&self.ctx), self.stop.clone());
            let began = clock::monotonic();
            self.writing.spawn(async move {
                let markers = markers::write(ctx, markers, stop).await?;
                Some(Written { markers, began })
            });
        }
    }

    /// A transaction has all its markers: it is complete, and the next one may begin.
    async fn written(&mut self, written: Result<Option<Written>, JoinError>) {
        let Written { markers, began } = match written {
            Ok(Some(written)) => written,
            // Only when this coordinator stops.
            Ok(None) => return,
            Err(end) => match end.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return,
            },
        };
        let event = markers.written(markers.partitions.clone());
        let decision = self.shard.handle(self.time.now_ms(), event);
        self.carry_out(decision).await;
        let metrics = &self.ctx.metrics.transactions;
        metrics.completed(markers.committed, began.elapsed().as_secs_f64());
        for waiting in self.parked.take(&markers.transactional_id) {
            self.decide(waiting).await;
        }
    }

    /// Somebody else coordinates these transactions now, or nobody does.
    async fn give_up(mut self) {
        self.report();
        let now_ms = self.time.now_ms();
        let replies = self.shard.unload(now_ms, &TransactionError::NotCoordinator);
        // Who is parked learns it from the dropped sender.
        self.answer(replies);
        self.journal.finish().await;
    }
}

fn is_concurrent(reply: &TransactionReply) -> bool {
    let error = match reply {
        TransactionReply::InitProducerId(result) | TransactionReply::End(result) => {
            result.as_ref().err()
        }
        TransactionReply::AddPartitions(result) => result.as_ref().err(),
    };
    error == Some(&TransactionError::ConcurrentTransactions)
}

fn send(waiting: Waiting, answer: Answer) {
    // A client that is gone has no use for it.
    let _ = waiting.answer.send(answer);
}

/// What a client should make of records that could not be stored (`TransactionStateManager.appendTransactionToLog`).
fn for_not_stored(error: &NotStored) -> TransactionError {
    match error {
        NotStored::TooLarge => TransactionError::Internal,
        NotStored::Closed => TransactionError::NotCoordinator,
        NotStored::Append(error) => match error {
            AppendError::DiskFull { .. } | AppendError::Offline { .. } | AppendError::Engine(_) => {
                TransactionError::CoordinatorUnavailable
            }
            AppendError::FencedLeaderEpoch { .. } | AppendError::Deleted => {
                TransactionError::NotCoordinator
            }
            AppendError::OutOfOrderSequence { .. }
            | AppendError::StaleProducerEpoch { .. }
            | AppendError::StaleCoordinatorEpoch { .. }
            | AppendError::TransactionConflict { .. }
            | AppendError::UnverifiedTransaction { .. }
            | AppendError::BatchExceedsSegment { .. }
            | AppendError::InvalidBatch(_) => TransactionError::Internal,
        },
    }
}
