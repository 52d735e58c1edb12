//! A producer that does as Kafka's clients do: one request at a time, the same again if there is no answer.

use super::Tag;
use crate::transactions::{TransactionError, TransactionVersion};

use super::super::world::Outcome;

#[derive(Debug, Clone)]
pub(super) struct Producer {
    pub(super) version: TransactionVersion,
    /// Producer id and epoch.
    pub(super) id: Option<(i64, i16)>,
    /// It has asked for the next epoch and does not know the answer: nothing else until it does.
    initialising: bool,
    /// The transaction it is in, or would begin.
    pub(super) tag: Tag,
    /// It has tried to add a partition.
    pub(super) touched: bool,
    /// Records on their way.
    pub(super) unanswered: usize,
    /// Records were refused: only an abort is left.
    pub(super) failed: bool,
    /// The end it has asked for.
    ending: Option<bool>,
    /// It was told that it is of no more use.
    dead: bool,
}

impl Producer {
    pub(super) fn new(version: TransactionVersion, tag: Tag) -> Self {
        Self {
            version,
            id: None,
            initialising: true,
            tag,
            touched: false,
            unanswered: 0,
            failed: false,
            ending: None,
            dead: false,
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }

    /// At the beginning, or to go on after an error.
    pub(super) fn may_init(&self) -> bool {
        !self.dead && (self.initialising || self.failed)
    }

    pub(super) fn initialised(&mut self, outcome: Option<Outcome>, next: Tag) {
        self.initialising = true;
        match outcome {
            Some(Ok(id)) => {
                self.id = Some(id);
                self.initialising = false;
                self.begin(next);
            }
            Some(Err(error)) => self.refused(&error),
            None => {}
        }
    }

    fn begin(&mut self, tag: Tag) {
        self.tag = tag;
        self.touched = false;
        self.unanswered = 0;
        self.failed = false;
        self.ending = None;
    }

    pub(super) fn may_write(&self) -> bool {
        !self.dead && !self.initialising && !self.failed && self.ending.is_none()
    }

    /// With which id, and how the transaction is to end; `None` if the producer has nothing to end now.
    pub(super) fn begin_end(&mut self, committed: bool) -> Option<((i64, i16), bool)> {
        let id = self.id.filter(|_| !self.dead && !self.initialising)?;
        let is_v1 = self.version == TransactionVersion::V1;
        let waits = self.unanswered > 0 && self.ending.is_none();
        if waits || (is_v1 && !self.touched) {
            return None;
        }
        let committed = committed && self.touched && !self.failed;
        Some((id, *self.ending.get_or_insert(committed)))
    }

    pub(super) fn ended(&mut self, outcome: Option<Outcome>, next: Tag) {
        match outcome {
            Some(Ok(id)) => {
                self.id = Some(id);
                self.begin(next);
            }
            Some(Err(error)) => self.refused(&error),
            None => {}
        }
    }

    pub(super) fn refused(&mut self, error: &TransactionError) {
        match error {
            TransactionError::ConcurrentTransactions
            | TransactionError::CoordinatorLoading
            | TransactionError::CoordinatorUnavailable => {}
            _ => self.dead = true,
        }
    }
}
