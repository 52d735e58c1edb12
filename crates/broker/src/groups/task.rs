//! The task that owns one coordinator: requests in, records to the log, answers out.

use std::sync::Arc;
use std::time::Duration;

use coordinator::{
    CoordinatorRecord, Decision, GroupError, GroupShard, GroupStats, Producer, Reply, Ticket,
};
use foldhash::HashMap;
use storage::{AppendError, AppendJob, Origin};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use wire::Bytes;
use wire::batch::{BatchBuilder, BatchOptions, Codec, EndTxnMarker};

use super::load::{self, Stored, ViewChanges};
use super::{EndTransactionError, Message, OFFSETS_TOPIC, Report, Topics, lag};
use crate::clock;
use crate::config::Config;
use crate::context::{Context, GroupOverrides};
use crate::coordinators::partition_of;
use crate::topics::Partition;

/// Changes of the view are gathered for this long, or until there are this many: the log has them all, so what a crash takes
/// is read again.
const VIEW_DELAY: Duration = Duration::from_secs(1);
const VIEW_ROWS_MAX: usize = 1_000;
/// How long after a failed load the next one is tried.
const RELOAD_DELAY: Duration = Duration::from_secs(5);

/// Coordinates the groups of `partition` until `stop`.
pub(super) async fn run(
    ctx: Arc<Context>,
    partition: Arc<Partition>,
    mut messages: mpsc::Receiver<Message>,
    stop: CancellationToken,
) {
    let time = Time::starting(&ctx);
    let Some(shard) = load(&ctx, &partition, &mut messages, &stop).await else {
        return;
    };
    let config = ctx.config();
    let mut owner = Owner {
        ctx,
        config,
        partition,
        shard,
        time,
        waiting: HashMap::default(),
        next_ticket: 0,
        view: ViewChanges::default(),
        view_due: None,
        reported: GroupStats::default(),
        overrides: Arc::default(),
    };
    // Before the sessions of the members that were found begin.
    owner.follow_group_overrides(true);
    owner.shard.loaded(owner.time.now_ms());
    loop {
        owner.catch_up().await;
        let wake = owner.wake_at();
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            message = messages.recv() => match message {
                Some(message) => {
                    // What ran out while nothing came is earlier than what comes now, even if the timer has yet to say so.
                    owner.catch_up().await;
                    owner.take(message).await;
                }
                None => break,
            },
            () = sleep_until(wake) => owner.keep_view(false).await,
        }
    }
    owner.give_up().await;
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Reads the state off the async threads; meanwhile, clients are told to come back. `None` when it was stopped.
async fn load(
    ctx: &Arc<Context>,
    partition: &Arc<Partition>,
    messages: &mut mpsc::Receiver<Message>,
    stop: &CancellationToken,
) -> Option<GroupShard> {
    loop {
        let began = clock::monotonic();
        let options = ctx.config().groups.clone();
        let log = Arc::clone(&partition.log);
        if log.log_end_offset() == 0 {
            // A new partition serves at once: the first client of a group is there already.
            return Some(GroupShard::new(options, Box::new(uuid::Uuid::new_v4)));
        }
        let mut loading = tokio::task::spawn_blocking(move || {
            let mut shard = GroupShard::new(options, Box::new(uuid::Uuid::new_v4));
            load::load(&log, &mut shard).map(|()| shard)
        });
        let loaded = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                loaded = &mut loading => break loaded,
                message = messages.recv() => refuse(message?, GroupError::CoordinatorLoading),
            }
        };
        let index = partition.log.key().partition;
        match loaded {
            Ok(Ok(shard)) => {
                let end = partition.log.log_end_offset();
                info!(partition = index, end, took = ?began.elapsed(), "group coordinator loaded");
                return Some(shard);
            }
            Ok(Err(error)) => error!(partition = index, %error, "a group coordinator cannot load"),
            Err(panic) => error!(partition = index, %panic, "a group coordinator cannot load"),
        }
        let retry = tokio::time::sleep(RELOAD_DELAY);
        tokio::pin!(retry);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = &mut retry => break,
                message = messages.recv() => refuse(message?, GroupError::CoordinatorUnavailable),
            }
        }
    }
}

fn refuse(message: Message, error: GroupError) {
    match message {
        Message::Event { answer, .. } => drop(answer.send(Err(error))),
        Message::Question(question) => question(Err(error)),
        Message::EndTransaction { answer, .. } => drop(answer.send(Err(error.into()))),
        // Whoever loads later reads the topics as they are then.
        Message::Report { .. } | Message::TopicsDeleted(_) => {}
    }
}

/// Milliseconds that only move forward, beginning at the wall clock's: sessions must not end because the clock was set.
#[derive(Debug, Clone, Copy)]
struct Time {
    wall_ms: i64,
    origin: Instant,
}

impl Time {
    fn starting(ctx: &Context) -> Self {
        Self {
            wall_ms: ctx.now_ms(),
            origin: clock::monotonic(),
        }
    }

    fn now_ms(self) -> i64 {
        let elapsed = i64::try_from(self.origin.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.wall_ms.saturating_add(elapsed)
    }

    fn instant(self, at_ms: i64) -> Instant {
        let after = u64::try_from(at_ms.saturating_sub(self.wall_ms)).unwrap_or(0);
        // A far deadline is looked at again in a year.
        self.origin + Duration::from_millis(after.min(365 * 24 * 3_600_000))
    }
}

struct Owner {
    ctx: Arc<Context>,
    /// What the shard's options are from.
    config: Arc<Config>,
    partition: Arc<Partition>,
    shard: GroupShard,
    time: Time,
    waiting: HashMap<Ticket, oneshot::Sender<Result<Reply, GroupError>>>,
    next_ticket: u64,
    view: ViewChanges,
    view_due: Option<Instant>,
    /// What the metrics have counted.
    reported: GroupStats,
    /// What the shard knows of the settings of groups.
    overrides: Arc<GroupOverrides>,
}

impl Owner {
    fn wake_at(&self) -> Option<Instant> {
        let deadline = self.shard.next_deadline().map(|at| self.time.instant(at));
        match (deadline, self.view_due) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
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
                let origin = Origin::Marker { bumps_epoch };
                drop(answer.send(self.end_transaction(marker, origin).await));
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
        let here = self.partition.log.key().partition;
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

    /// Stores the records, makes them true, and answers; in this order.
    async fn carry_out(&mut self, decision: Decision<Reply>, origin: Origin) {
        if decision.records.is_empty() {
            return self.answer(decision.replies);
        }
        let batch = self.batch(&decision.records, decision.transaction);
        let bytes = batch.as_ref().map_or(0, Bytes::len);
        let appended = match batch {
            Some(batch) => self
                .append(batch, origin)
                .await
                .map_err(|error| match error {
                    EndTransactionError::Append(error) => for_append(&error),
                    EndTransactionError::Group(error) => error,
                }),
            // Too large for a batch.
            None => Err(GroupError::Internal),
        };
        match appended {
            Ok(base_offset) => {
                let records = decision.records.len();
                let traffic = &self.partition.traffic;
                traffic.appended(bytes as u64, records as u64);
                for (offset, record) in (base_offset..).zip(&decision.records) {
                    self.replay(
                        offset,
                        match decision.transaction {
                            Some(producer) => Stored::InTransaction(producer.id, record),
                            None => Stored::Record(record),
                        },
                    );
                }
                self.answer(decision.replies);
                self.keep_view(self.view.len() >= VIEW_ROWS_MAX).await;
            }
            Err(error) => {
                let now_ms = self.time.now_ms();
                let replies = self.shard.append_failed(now_ms, decision, &error);
                self.answer(replies);
            }
        }
    }

    fn replay(&mut self, offset: i64, stored: Stored<'_>) {
        let log = &self.partition.log;
        load::replay(log, &mut self.shard, &mut self.view, stored, offset);
    }

    /// Stores the marker and draws its consequences, in one step for everybody who asks.
    async fn end_transaction(
        &mut self,
        marker: EndTxnMarker,
        origin: Origin,
    ) -> Result<(), EndTransactionError> {
        let batch = marker.to_batch(self.ctx.now_ms());
        let batch = batch.map_err(|_| GroupError::Internal)?;
        let bytes = batch.len();
        let offset = self.append(batch, origin).await?;
        self.partition.traffic.appended(bytes as u64, 1);
        let end = Stored::End {
            producer_id: marker.producer_id,
            committed: marker.committed,
        };
        self.replay(offset, end);
        self.keep_view(self.view.len() >= VIEW_ROWS_MAX).await;
        Ok(())
    }

    /// Where the batch stands, once it does.
    async fn append(&mut self, batch: Bytes, origin: Origin) -> Result<i64, EndTransactionError> {
        let job = AppendJob {
            log: Arc::clone(&self.partition.log),
            batch,
            leader_epoch: self.partition.leader_epoch,
            origin,
        };
        let (sender, receiver) = oneshot::channel();
        self.ctx.store.append(
            vec![job],
            Box::new(move |results: Vec<_>| drop(sender.send(results))),
        );
        match receiver.await.ok().and_then(|mut results| results.pop()) {
            Some(Ok(appended)) => Ok(appended.base_offset),
            Some(Err(error)) => {
                let partition = self.partition.log.key().partition;
                warn!(partition, %error, "a group coordinator cannot store its records");
                Err(EndTransactionError::Append(error))
            }
            // The store is closed.
            None => Err(GroupError::NotCoordinator.into()),
        }
    }

    fn batch(&self, records: &[CoordinatorRecord], transaction: Option<Producer>) -> Option<Bytes> {
        let now_ms = self.ctx.now_ms();
        let codec = u8::try_from(self.config.offsets_topic.codec)
            .ok()
            .and_then(Codec::from_id)?;
        let mut options = BatchOptions {
            codec,
            ..BatchOptions::default()
        };
        if let Some(producer) = transaction {
            options = BatchOptions {
                producer_id: producer.id,
                producer_epoch: producer.epoch,
                // As Kafka has it; nobody counts the sequences of a coordinator.
                base_sequence: 0,
                transactional: true,
                ..options
            };
        }
        let mut builder = BatchBuilder::new(options);
        for record in records {
            builder
                .append(now_ms, Some(&record.key), record.value.as_deref(), &[])
                .ok()?;
        }
        builder.build().ok()
    }

    fn answer(&mut self, replies: Vec<(Ticket, Reply)>) {
        for (ticket, reply) in replies {
            if let Some(waiting) = self.waiting.remove(&ticket) {
                // A client that is gone has no use for it.
                let _ = waiting.send(Ok(reply));
            }
        }
    }

    /// Writes the view's changes when they are due, or `now`.
    async fn keep_view(&mut self, now: bool) {
        if self.view.len() == 0 {
            return;
        }
        let due = *self.view_due.get_or_insert(clock::monotonic() + VIEW_DELAY);
        if !now && due > clock::monotonic() {
            return;
        }
        self.view_due = None;
        let changes = std::mem::take(&mut self.view);
        let log = Arc::clone(&self.partition.log);
        let write = move || {
            let result = changes.write(&log);
            (changes, result)
        };
        match tokio::task::spawn_blocking(write).await {
            Ok((_, Ok(()))) => {}
            Ok((mut changes, Err(error))) => {
                warn!(%error, "the view of a group coordinator is not written; it will be tried again");
                changes.merge(std::mem::take(&mut self.view));
                self.view = changes;
                self.view_due = Some(clock::monotonic() + VIEW_DELAY);
            }
            Err(panic) => error!(%panic, "the view of a group coordinator is not written"),
        }
    }

    /// Somebody else coordinates these groups now, or nobody does.
    async fn give_up(mut self) {
        self.report();
        let now_ms = self.time.now_ms();
        let replies = self.shard.unload(now_ms, &GroupError::NotCoordinator);
        self.answer(replies);
        self.keep_view(true).await;
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
