//! A shard with its log, its clock and the markers it wants written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::transactions::record::TransactionRecord;
use crate::transactions::*;
use crate::{CoordinatorRecord, Decision, Ticket};

pub(super) const ID: &str = "payments";
pub(super) const TIMEOUT_MS: i32 = 60_000;
pub(super) const FIRST_PRODUCER_ID: i64 = 1_000;

/// When the coordinator dies, of the next decision that has records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crash {
    BeforeTheAppend,
    AfterTheAppend,
}

pub(super) type Outcome = Result<(i64, i16), TransactionError>;

pub(super) struct World {
    pub(super) shard: TransactionShard,
    pub(super) log: Vec<CoordinatorRecord>,
    pub(super) now_ms: i64,
    pub(super) options: TransactionOptions,
    /// Appends fail with this.
    pub(super) broken: Option<TransactionError>,
    /// The coordinator dies over the next decision, and another takes its place.
    pub(super) crash: Option<Crash>,
    pub(super) coordinator_epoch: i32,
    /// What is to be written, as the shard has said so far in this life.
    pub(super) markers: Vec<Markers>,
    pub(super) no_producer_ids: Arc<AtomicBool>,
    next_producer_id: Arc<AtomicI64>,
    asked: u64,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(TransactionOptions::default())
    }

    pub(super) fn with(options: TransactionOptions) -> Self {
        let mut world = Self {
            shard: TransactionShard::new(options.clone(), 0, Box::new(|| None)),
            log: Vec::new(),
            now_ms: 1_000_000_000,
            options,
            broken: None,
            crash: None,
            coordinator_epoch: 0,
            markers: Vec::new(),
            no_producer_ids: Arc::default(),
            next_producer_id: Arc::new(AtomicI64::new(FIRST_PRODUCER_ID)),
            asked: 0,
        };
        world.restart();
        world
    }

    /// A coordinator in its place that knows only the log.
    pub(super) fn restart(&mut self) {
        self.coordinator_epoch += 1;
        self.shard = self.replayed();
        self.markers = self.shard.take_markers();
    }

    /// What a restart at this moment would come to.
    pub(super) fn replayed(&self) -> TransactionShard {
        let log: Vec<_> = (0..).zip(self.log.iter().cloned()).collect();
        self.replayed_from(&log)
    }

    pub(super) fn replayed_from(&self, log: &[(i64, CoordinatorRecord)]) -> TransactionShard {
        let (next, none) = (
            Arc::clone(&self.next_producer_id),
            Arc::clone(&self.no_producer_ids),
        );
        let new_producer_id =
            move || (!none.load(Ordering::Relaxed)).then(|| next.fetch_add(1, Ordering::Relaxed));
        let mut shard = TransactionShard::new(
            self.options.clone(),
            self.coordinator_epoch,
            Box::new(new_producer_id),
        );
        for (offset, record) in log {
            shard.replay(record, *offset).unwrap();
        }
        shard.loaded(self.now_ms);
        shard
    }

    pub(super) fn send(
        &mut self,
        event: impl FnOnce(Ticket) -> TransactionEvent,
    ) -> TransactionReply {
        self.try_send(event).expect("the coordinator is alive")
    }

    /// The answer; `None` if the coordinator died over it.
    pub(super) fn try_send(
        &mut self,
        event: impl FnOnce(Ticket) -> TransactionEvent,
    ) -> Option<TransactionReply> {
        self.asked += 1;
        let ticket = Ticket(self.asked);
        let decision = self.shard.handle(self.now_ms, event(ticket));
        let mut replies = self.carry_out(decision)?;
        assert_eq!(replies.len(), 1, "one request, one answer");
        let (answered, reply) = replies.remove(0);
        assert_eq!(answered, ticket);
        Some(reply)
    }

    fn carry_out(
        &mut self,
        decision: Decision<TransactionReply>,
    ) -> Option<Vec<(Ticket, TransactionReply)>> {
        if decision.records.is_empty() {
            return Some(decision.replies);
        }
        match self.crash.take() {
            Some(Crash::BeforeTheAppend) => {
                self.restart();
                return None;
            }
            Some(Crash::AfterTheAppend) => {
                self.log.extend(decision.records);
                self.restart();
                return None;
            }
            None => {}
        }
        if let Some(error) = self.broken.clone() {
            return Some(self.shard.append_failed(self.now_ms, decision, &error));
        }
        for record in decision.records {
            self.check_transition(&record);
            self.shard.replay(&record, self.log.len() as i64).unwrap();
            self.log.push(record);
        }
        self.markers.extend(self.shard.take_markers());
        Some(decision.replies)
    }

    /// Every record has to follow on the one before it.
    fn check_transition(&self, record: &CoordinatorRecord) {
        let Ok(TransactionRecord::Value(id, value)) = TransactionRecord::decode(record) else {
            panic!("not a record of a transaction: {record:?}");
        };
        let before = self.shard.describe(&id).map(|before| before.state);
        let next = value.map_or(TransactionState::Dead, |value| value.state);
        let before = before.unwrap_or(TransactionState::Empty);
        assert!(before.may_become(next), "{id}: {before} → {next}");
    }

    /// Moves the clock, stopping wherever the shard wants to be woken.
    pub(super) fn advance(&mut self, by_ms: i64) {
        let until_ms = self.now_ms + by_ms;
        let mut ticks_in_vain = 0;
        while let Some(at_ms) = self.shard.next_deadline().filter(|at| *at <= until_ms) {
            ticks_in_vain = if at_ms > self.now_ms {
                0
            } else {
                ticks_in_vain + 1
            };
            assert!(
                ticks_in_vain < 100,
                "the shard wants to be woken again and again"
            );
            self.now_ms = self.now_ms.max(at_ms);
            let decision = self.shard.tick(self.now_ms);
            let replies = self.carry_out(decision).unwrap_or_default();
            assert!(replies.is_empty(), "nobody waits for time to pass");
        }
        self.now_ms = until_ms;
    }

    pub(super) fn init_as(&mut self, request: InitProducerId) -> Outcome {
        match self.send(|ticket| TransactionEvent::InitProducerId(ticket, request)) {
            TransactionReply::InitProducerId(outcome) => outcome,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn init(&mut self) -> Outcome {
        self.init_as(initialising(None))
    }

    /// With what the producer has already (KIP-360).
    pub(super) fn init_again(&mut self, current: (i64, i16)) -> Outcome {
        self.init_as(initialising(Some(current)))
    }

    pub(super) fn add_as(&mut self, request: AddPartitions) -> Result<(), TransactionError> {
        match self.send(|ticket| TransactionEvent::AddPartitions(ticket, request)) {
            TransactionReply::AddPartitions(outcome) => outcome,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn add(
        &mut self,
        producer: (i64, i16),
        partitions: &[(&str, i32)],
    ) -> Result<(), TransactionError> {
        self.add_as(adding(producer, partitions))
    }

    pub(super) fn end_as(&mut self, request: EndTransaction) -> Outcome {
        match self.send(|ticket| TransactionEvent::End(ticket, request)) {
            TransactionReply::End(outcome) => outcome,
            other => panic!("{other:?}"),
        }
    }

    /// By the rules of version 2.
    pub(super) fn end(&mut self, producer: (i64, i16), committed: bool) -> Outcome {
        self.end_as(ending(producer, committed, TransactionVersion::V2))
    }

    pub(super) fn end_v1(&mut self, producer: (i64, i16), committed: bool) -> Outcome {
        self.end_as(ending(producer, committed, TransactionVersion::V1))
    }

    pub(super) fn report(&mut self, event: TransactionEvent) {
        let decision = self.shard.handle(self.now_ms, event);
        let replies = self.carry_out(decision).unwrap_or_default();
        assert!(replies.is_empty(), "a report is not answered");
    }

    /// All markers that are wanted get written.
    pub(super) fn write_markers(&mut self) -> Vec<Markers> {
        let all = std::mem::take(&mut self.markers);
        for markers in &all {
            self.report(markers.written(markers.partitions.clone()));
        }
        all
    }

    pub(super) fn state(&self) -> TransactionState {
        self.shard.describe(ID).expect("the id is known").state
    }

    /// The producer id and epoch in use.
    pub(super) fn producer(&self) -> (i64, i16) {
        let found = self.shard.describe(ID).expect("the id is known");
        (found.producer_id, found.epoch)
    }

    /// A producer with an open transaction on one partition.
    pub(super) fn begun(&mut self) -> (i64, i16) {
        let producer = self.init().unwrap();
        self.add(producer, &[("orders", 0)]).unwrap();
        producer
    }

    /// Puts the id where Kafka's records may have left it.
    pub(super) fn stored(&mut self, value: &TransactionValue) {
        self.stored_as(ID, value);
    }

    pub(super) fn stored_as(&mut self, id: &str, value: &TransactionValue) {
        let put = record::put(id, value);
        self.shard.replay(&put, self.log.len() as i64).unwrap();
        self.log.push(put);
    }

    /// A producer whose epochs are used up but for this many.
    pub(super) fn begun_with_epochs_left(&mut self, left: i16) -> (i64, i16) {
        let producer = self.begun();
        let (_, value) = self.shard.values().next().expect("there is one");
        let epoch = i16::MAX - 1 - left;
        let value = TransactionValue {
            epoch,
            ..value.clone()
        };
        self.stored(&value);
        (producer.0, epoch)
    }
}

pub(super) fn initialising(current: Option<(i64, i16)>) -> InitProducerId {
    InitProducerId {
        transactional_id: ID.to_owned(),
        timeout_ms: TIMEOUT_MS,
        current,
    }
}

pub(super) fn partitions(named: &[(&str, i32)]) -> Vec<TopicPartition> {
    let named = named.iter().map(|(topic, partition)| TopicPartition {
        topic: Arc::from(*topic),
        partition: *partition,
    });
    named.collect()
}

pub(super) fn adding(producer: (i64, i16), named: &[(&str, i32)]) -> AddPartitions {
    AddPartitions {
        transactional_id: ID.to_owned(),
        producer_id: producer.0,
        epoch: producer.1,
        partitions: partitions(named),
        version: TransactionVersion::V2,
    }
}

pub(super) fn ending(
    producer: (i64, i16),
    committed: bool,
    version: TransactionVersion,
) -> EndTransaction {
    EndTransaction {
        transactional_id: ID.to_owned(),
        producer_id: producer.0,
        epoch: producer.1,
        committed,
        version,
    }
}
