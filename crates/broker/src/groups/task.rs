//! The task that owns one coordinator: requests in, records to the log, answers out.

use std::sync::Arc;

use coordinator::records::{RecordError, is_row_of_view};
use coordinator::{CoordinatorRecord, Decision, GroupError, GroupShard, GroupStats, Reply, Ticket};
use foldhash::HashMap;
use storage::{AppendError, Origin};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use wire::batch::Codec;

use super::{EndTransactionError, Message, OFFSETS_TOPIC, Report, Topics, lag};
use crate::clock;
use crate::config::Config;
use crate::context::{Context, GroupOverrides};
use crate::coordinators::committing::Committing;
use crate::coordinators::journal::{Journal, NotStored, Storing};
use crate::coordinators::load::{self, NotLoaded, Replay, Stored};
use crate::coordinators::{Time, partition_of, sleep_until};
use crate::topics::Partition;

impl Replay for GroupShard {
    const NAME: &'static str = "group coordinator";
    type Error = RecordError;

    fn restore(&mut self, row: &CoordinatorRecord) -> Result<(), RecordError> {
        Self::restore(self, row).map(drop)
    }

    fn replay(
        &mut self,
        stored: Stored<'_>,
        offset: i64,
        note: &mut dyn FnMut(CoordinatorRecord),
    ) -> Result<(), RecordError> {
        let replayed = match stored {
            Stored::Record(record) => {
                if !is_row_of_view(&record.key) {
                    note(record.clone());
                }
                Self::replay(self, record).map(drop)
            }
            Stored::InTransaction(producer_id, record) => self
                .replay_in_transaction(producer_id, record, offset)
                .map(drop),
            Stored::End {
                producer_id,
                committed,
            } => {
                self.replay_end(producer_id, committed);
                Ok(())
            }
        };
        self.take_rows().into_iter().for_each(note);
        replayed
    }
}

/// Coordinates the groups of `partition` until `stop`.
pub(super) async fn run(
    ctx: Arc<Context>,
    partition: Arc<Partition>,
    mut messages: mpsc::Receiver<Message>,
    stop: CancellationToken,
) {
    let time = Time::starting(&ctx);
    let options = ctx.config().groups.clone();
    let new = || GroupShard::new(options.clone(), Box::new(uuid::Uuid::new_v4));
    let Some(shard) = load::load(&partition, &mut messages, &stop, new, refuse).await else {
        return;
    };
    let config = ctx.config();
    let mut owner = Owner {
        ctx,
        config,
        journal: Journal::of(Arc::clone(&partition)),
        shard,
        time,
        waiting: HashMap::default(),
        next_ticket: 0,
        committing: Committing::of(partition),
        reported: GroupStats::default(),
        overrides: Arc::default(),
    };
    // Before the sessions of the members that were found begin.
    owner.follow_group_overrides(true);
    owner.shard.loaded(owner.time.now_ms());
    loop {
        owner.release();
        owner.catch_up().await;
        let wake = owner.wake_at();
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = owner.committing.moved() => {}
            message = messages.recv(), if !owner.committing.is_full() => match message {
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
        NotLoaded::Loading => GroupError::CoordinatorLoading,
        NotLoaded::Failed => GroupError::CoordinatorUnavailable,
    };
    match message {
        Message::Event { answer, .. } => drop(answer.send(Err(error))),
        Message::Question(question) => question(Err(error)),
        Message::EndTransaction { answer, .. } => drop(answer.send(Err(error.into()))),
        // Whoever loads later reads the topics as they are then.
        Message::Report { .. } | Message::TopicsDeleted(_) => {}
    }
}

/// What nobody is told before it is committed.
enum Held {
    Replies(Vec<(Ticket, Reply)>),
    Ended(oneshot::Sender<Result<(), EndTransactionError>>),
}

struct Owner {
    ctx: Arc<Context>,
    /// What the shard's options are from.
    config: Arc<Config>,
    journal: Journal,
    shard: GroupShard,
    time: Time,
    waiting: HashMap<Ticket, oneshot::Sender<Result<Reply, GroupError>>>,
    next_ticket: u64,
    committing: Committing<Held>,
    /// What the metrics have counted.
    reported: GroupStats,
    /// What the shard knows of the settings of groups.
    overrides: Arc<GroupOverrides>,
}

impl Owner {
    fn wake_at(&self) -> Option<Instant> {
        let deadline = self.shard.next_deadline().map(|at| self.time.instant(at));
        let all = [
            deadline,
            self.journal.view_due(),
            self.committing.next_end(),
        ];
        all.into_iter().flatten().min()
    }

    async fn take(&mut self, message: Message) {
        self.follow_config();
        let now_ms = self.time.now_ms();
        let topics = Topics(self.ctx.topics.snapshot());
        match message {
            Message::Event {
                event,
                guard,
                answer,
            } => {
                let ticket = Ticket(self.next_ticket);
                self.next_ticket += 1;
                self.waiting.insert(ticket, answer);
                let decision = self.shard.handle(now_ms, &topics, event(ticket));
                let origin = guard.map_or(Origin::Internal, Origin::InternalVerified);
                self.carry_out(decision, origin).await;
            }
            Message::Question(question) => question(Ok((&mut self.shard, &topics))),
            Message::Report { each, answer } => {
                let report = Report {
                    stats: self.report(),
                    groups: if each {
                        lag::rows(&self.shard, &topics)
                    } else {
                        Vec::new()
                    },
                };
                drop(answer.send(report));
            }
            Message::EndTransaction {
                marker,
                bumps_epoch,
                answer,
            } => {
                let ended =
                    self.journal
                        .end_transaction(&self.ctx, &mut self.shard, marker, bumps_epoch);
                match ended.await {
                    Ok(end) => self.hold(end, Held::Ended(answer)),
                    Err(error) => drop(answer.send(Err(for_marker(error)))),
                }
            }
            Message::TopicsDeleted(gone) => self.shard.topics_deleted(now_ms, &gone),
        }
    }

    fn follow_config(&mut self) {
        let config = self.ctx.config();
        let changed = !Arc::ptr_eq(&config, &self.config);
        if changed {
            self.shard.set_options(config.groups.clone());
            self.config = config;
        }
        self.follow_group_overrides(changed);
    }

    /// What is not set for a group is the broker's, so all of it counts anew when that has changed.
    fn follow_group_overrides(&mut self, broker_changed: bool) {
        let next = self.ctx.group_overrides();
        if !broker_changed && Arc::ptr_eq(&next, &self.overrides) {
            return;
        }
        let topics = self.ctx.topics.snapshot();
        let here = self.journal.partition();
        let is_here = |group: &str| {
            let offsets = topics.named(OFFSETS_TOPIC);
            offsets.is_some_and(|topic| partition_of(group, topic) == here)
        };
        for (group, overrides) in next.iter().filter(|(group, _)| is_here(group)) {
            let config = self.config.consumer_group(overrides);
            self.shard.set_group_config(group, Some(config));
        }
        for group in self
            .overrides
            .keys()
            .filter(|group| !next.contains_key(*group))
        {
            self.shard.set_group_config(group, None);
        }
        self.overrides = next;
    }

    fn report(&mut self) -> GroupStats {
        let stats = self.shard.stats();
        let ended = self.shard.take_ended_rebalances();
        let metrics = &self.ctx.metrics.groups;
        metrics.add(&self.reported, &stats, &ended);
        self.reported = stats.clone();
        stats
    }

    /// Does what is due before anything else, so that a flood of requests keeps no member alive and no join waiting.
    async fn catch_up(&mut self) {
        let due = self.shard.next_deadline();
        if due.is_none_or(|at| at > self.time.now_ms()) {
            return;
        }
        self.follow_config();
        let topics = Topics(self.ctx.topics.snapshot());
        let decision = self.shard.tick(self.time.now_ms(), &topics);
        self.carry_out(decision, Origin::Internal).await;
    }

    /// Stores the records, makes them true, has them committed, and answers; in this order.
    async fn carry_out(&mut self, decision: Decision<Reply>, origin: Origin) {
        if decision.records.is_empty() {
            let replies = Held::Replies(decision.replies);
            let until = self.patience();
            if let Some(held) = self.committing.behind_others(until, replies) {
                self.tell(true, held);
            }
            return;
        }
        let codec = u8::try_from(self.config.offsets_topic.codec)
            .ok()
            .and_then(Codec::from_id);
        let storing = Storing {
            codec: codec.unwrap_or(Codec::None),
            origin,
        };
        let (records, transaction) = (&decision.records, decision.transaction);
        let stored = self
            .journal
            .store(&self.ctx, &mut self.shard, records, transaction, storing);
        match stored.await {
            Ok(end) => self.hold(end, Held::Replies(decision.replies)),
            Err(error) => {
                let partition = self.journal.partition();
                warn!(partition, %error, "a group coordinator cannot store its records");
                let now_ms = self.time.now_ms();
                let error = for_not_stored(&error);
                let replies = self.shard.append_failed(now_ms, decision, &error);
                self.answer(replies);
            }
        }
    }

    fn hold(&mut self, end: i64, held: Held) {
        if let Some(held) = self.committing.hold(end, self.patience(), held) {
            self.tell(true, held);
        }
    }

    fn patience(&self) -> Option<Instant> {
        Some(clock::monotonic() + self.config.offsets_topic.commit_timeout)
    }

    /// Tells what has been committed, or waited for too long.
    fn release(&mut self) {
        for (committed, held) in self.committing.take(clock::monotonic()) {
            self.tell(committed, held);
        }
    }

    fn tell(&mut self, committed: bool, held: Held) {
        match held {
            Held::Replies(replies) if committed => self.answer(replies),
            // It may be committed yet. Who asks again finds out.
            Held::Replies(replies) => {
                for (ticket, _) in replies {
                    if let Some(waiting) = self.waiting.remove(&ticket) {
                        let _ = waiting.send(Err(GroupError::CoordinatorUnavailable));
                    }
                }
            }
            Held::Ended(answer) => {
                let ended = match committed {
                    true => Ok(()),
                    false => Err(GroupError::CoordinatorUnavailable.into()),
                };
                let _ = answer.send(ended);
            }
        }
    }

    fn answer(&mut self, replies: Vec<(Ticket, Reply)>) {
        for (ticket, reply) in replies {
            if let Some(waiting) = self.waiting.remove(&ticket) {
                // A client that is gone has no use for it.
                let _ = waiting.send(Ok(reply));
            }
        }
    }

    /// Somebody else coordinates these groups now, or nobody does.
    async fn give_up(mut self) {
        self.report();
        let now_ms = self.time.now_ms();
        let replies = self.shard.unload(now_ms, &GroupError::NotCoordinator);
        self.answer(replies);
        // Who is held learns it from the dropped sender.
        self.journal.finish().await;
    }
}

fn for_marker(error: NotStored) -> EndTransactionError {
    match error {
        NotStored::Append(error) => error.into(),
        other => for_not_stored(&other).into(),
    }
}

fn for_not_stored(error: &NotStored) -> GroupError {
    match error {
        NotStored::TooLarge => GroupError::Internal,
        NotStored::Closed => GroupError::NotCoordinator,
        NotStored::Append(error) => for_append(error),
    }
}

/// What a client should make of records that could not be stored (`CoordinatorOperationExceptionHelper`).
fn for_append(error: &AppendError) -> GroupError {
    match error {
        AppendError::DiskFull { .. } | AppendError::Offline { .. } | AppendError::Engine(_) => {
            GroupError::CoordinatorUnavailable
        }
        AppendError::FencedLeaderEpoch { .. } | AppendError::Deleted => GroupError::NotCoordinator,
        AppendError::StaleProducerEpoch { .. } => GroupError::InvalidProducerEpoch,
        AppendError::TransactionConflict { .. } | AppendError::UnverifiedTransaction { .. } => {
            GroupError::InvalidTransactionState
        }
        AppendError::OutOfOrderSequence { .. }
        | AppendError::StaleCoordinatorEpoch { .. }
        | AppendError::BatchExceedsSegment { .. }
        | AppendError::InvalidBatch(_) => GroupError::Internal,
    }
}
