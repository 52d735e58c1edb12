//! When something is due for which member. Soft: a restart forgets it, and begins sessions anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a deadline is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The member has to be heard of.
    Session,
    /// The member has to give up partitions, before this epoch of it is over.
    Rebalance {
        /// The member's epoch when the time began to run.
        member_epoch: i32,
    },
    /// A classic member has to join again.
    Join,
    /// A classic member has to ask for its assignment.
    Sync,
}

impl Timer {
    /// One deadline per kind and member, whatever it carries.
    fn kind(self) -> u8 {
        match self {
            Self::Session => 0,
            Self::Rebalance { .. } => 1,
            Self::Join => 2,
            Self::Sync => 3,
        }
    }
}

/// The deadlines of one group, by member and by time.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    by_member: BTreeMap<(Arc<str>, u8), (i64, Timer)>,
    by_time: BTreeSet<(i64, Arc<str>, u8)>,
}

impl Deadlines {
    /// Sets the deadline, in place of the one before.
    pub(super) fn set(&mut self, member_id: &Arc<str>, timer: Timer, at_ms: i64) {
        self.cancel(member_id, timer);
        let key = (Arc::clone(member_id), timer.kind());
        self.by_time
            .insert((at_ms, Arc::clone(member_id), timer.kind()));
        self.by_member.insert(key, (at_ms, timer));
    }

    /// Sets the deadline unless one of that kind is running.
    pub(super) fn set_if_absent(&mut self, member_id: &Arc<str>, timer: Timer, at_ms: i64) {
        if !self
            .by_member
            .contains_key(&(Arc::clone(member_id), timer.kind()))
        {
            self.set(member_id, timer, at_ms);
        }
    }

    /// Forgets the deadline of that kind.
    pub(super) fn cancel(&mut self, member_id: &Arc<str>, timer: Timer) {
        let key = (Arc::clone(member_id), timer.kind());
        if let Some((at_ms, _)) = self.by_member.remove(&key) {
            self.by_time.remove(&(at_ms, key.0, key.1));
        }
    }

    /// Forgets all that is running for a member.
    pub(super) fn forget(&mut self, member_id: &Arc<str>) {
        for timer in [
            Timer::Session,
            Timer::Rebalance { member_epoch: 0 },
            Timer::Join,
            Timer::Sync,
        ] {
            self.cancel(member_id, timer);
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<i64> {
        self.by_time.first().map(|(at_ms, ..)| *at_ms)
    }

    /// Takes out what is due at `now_ms`, earliest first.
    pub(super) fn take_due(&mut self, now_ms: i64) -> Vec<(Arc<str>, Timer)> {
        let mut due = Vec::new();
        while self
            .by_time
            .first()
            .is_some_and(|(at_ms, ..)| *at_ms <= now_ms)
        {
            let Some((_, member_id, kind)) = self.by_time.pop_first() else {
                break;
            };
            if let Some((_, timer)) = self.by_member.remove(&(Arc::clone(&member_id), kind)) {
                due.push((member_id, timer));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_replaces_the_one_of_its_kind_and_no_other() {
        let member: Arc<str> = "m".into();
        let mut deadlines = Deadlines::default();
        deadlines.set(&member, Timer::Session, 50);
        deadlines.set(&member, Timer::Rebalance { member_epoch: 1 }, 20);
        deadlines.set(&member, Timer::Rebalance { member_epoch: 2 }, 30);
        deadlines.set_if_absent(&member, Timer::Session, 10);
        assert_eq!(deadlines.next(), Some(30));
        assert_eq!(deadlines.take_due(29), []);
        let rebalance = Timer::Rebalance { member_epoch: 2 };
        assert_eq!(
            deadlines.take_due(60),
            [(member.clone(), rebalance), (member, Timer::Session)]
        );
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn nothing_is_due_for_a_forgotten_member() {
        let [gone, here]: [Arc<str>; 2] = ["gone".into(), "here".into()];
        let mut deadlines = Deadlines::default();
        deadlines.set(&gone, Timer::Session, 5);
        deadlines.set(&gone, Timer::Sync, 6);
        deadlines.set(&here, Timer::Session, 7);
        deadlines.forget(&gone);
        assert_eq!(deadlines.next(), Some(7));
        assert_eq!(deadlines.take_due(100), [(here, Timer::Session)]);
    }
}
