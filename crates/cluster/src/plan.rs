//! What the controller intends, as values: a request and an image go in, answers and guarded transactions come out. Nothing here
//! waits, reads a clock or writes.

pub(crate) mod configs;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod elect;
pub(crate) mod expand;
pub(crate) mod names;
pub(crate) mod placement;
pub(crate) mod quotas;
pub(crate) mod reassign;
pub(crate) mod registration;
pub(crate) mod unfinished;

use prost::Message;

use crate::store::{Op, TXN_BYTES_MAX, TXN_KEYS_MAX, Txn};

/// Most keys a plan puts into a transaction: one compare is the controller's own guard.
pub(crate) const PLAN_KEYS_MAX: usize = TXN_KEYS_MAX - 1;

/// Most partitions that one request may create (Kafka `ReplicationControlManager.MAX_PARTITIONS_PER_BATCH`).
pub(crate) const REQUEST_PARTITIONS_MAX: usize = 10_000;

/// Most bytes a plan puts into a transaction, leaving room for the guard.
const PLAN_BYTES_MAX: usize = TXN_BYTES_MAX - 1024;

/// What a request comes to: an answer for each of its items that holds once the steps are committed, in this order.
#[derive(Debug)]
pub(crate) struct Plan<T, E> {
    pub(crate) answers: Vec<Result<T, E>>,
    pub(crate) steps: Vec<Step>,
}

/// A transaction and the request's items that depend on it.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) txn: Txn,
    pub(crate) items: Vec<usize>,
}

/// Puts what belongs to different items into as few transactions as they fit in.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    steps: Vec<Step>,
    /// Keys that the last step changes, counting those under its prefixes.
    changed: usize,
    /// Whether the last step takes more.
    open: bool,
}

impl Packer {
    /// Adds what `item` needs and what must be applied together. `changed`: how many keys that changes.
    pub(crate) fn add(&mut self, item: usize, txn: Txn, changed: usize) {
        let fits = self.open
            && self.steps.last().is_some_and(|last| {
                fits(&last.txn, &txn) && self.changed + changed <= PLAN_KEYS_MAX
            });
        if !fits {
            self.steps.push(Step::default());
            self.changed = 0;
        }
        self.open = true;
        self.changed += changed;
        if let Some(last) = self.steps.last_mut() {
            last.txn.compares.extend(txn.compares);
            last.txn.ops.extend(txn.ops);
            if last.items.last() != Some(&item) {
                last.items.push(item);
            }
        }
    }

    /// Adds a transaction that must come after what was added before and must not be joined with it.
    pub(crate) fn add_apart(&mut self, item: usize, txn: Txn) {
        self.steps.push(Step {
            txn,
            items: vec![item],
        });
        self.open = false;
    }

    pub(crate) fn into_steps(self) -> Vec<Step> {
        self.steps
    }
}

fn fits(a: &Txn, b: &Txn) -> bool {
    a.compares.len() + b.compares.len() <= PLAN_KEYS_MAX
        && a.ops.len() + b.ops.len() <= PLAN_KEYS_MAX
        && a.bytes() + b.bytes() <= PLAN_BYTES_MAX
}

/// A write of `record` under `key`.
pub(crate) fn put(key: String, record: &impl Message) -> Op {
    Op::Put {
        key,
        value: record.encode_to_vec().into(),
        session: None,
    }
}

#[cfg(test)]
mod tests;
