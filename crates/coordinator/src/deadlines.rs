//! When which group is to be looked at next: one entry a group, so that time passing costs nothing for groups that wait.
//!
//! An entry may be too early (a heartbeat moved the group's real deadline on), never too late. Looking at a group gives its
//! exact time again.

use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    queue: BTreeSet<(i64, Arc<str>)>,
}

impl Deadlines {
    pub(crate) fn next(&self) -> Option<i64> {
        self.queue.first().map(|(at_ms, _)| *at_ms)
    }

    /// Takes the group with the earliest time, if that has come.
    pub(crate) fn pop_due(&mut self, now_ms: i64) -> Option<Arc<str>> {
        if self.next()? > now_ms {
            return None;
        }
        self.queue.pop_first().map(|(_, group_id)| group_id)
    }

    /// Makes `to_ms` the group's time; `indexed` is the time it has in the queue, kept with the group.
    pub(crate) fn move_to(&mut self, group_id: &Arc<str>, indexed: &mut Option<i64>, to_ms: i64) {
        if *indexed == Some(to_ms) {
            return;
        }
        self.remove(group_id, indexed);
        if to_ms != i64::MAX {
            self.queue.insert((to_ms, Arc::clone(group_id)));
            *indexed = Some(to_ms);
        }
    }

    pub(crate) fn remove(&mut self, group_id: &Arc<str>, indexed: &mut Option<i64>) {
        if let Some(at_ms) = indexed.take() {
            self.queue.remove(&(at_ms, Arc::clone(group_id)));
        }
    }
}
