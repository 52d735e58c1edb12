//! All groups and committed offsets of one partition of `__consumer_offsets`.
//!
//! One owner drives it, one event at a time: [`GroupShard::handle`] or [`GroupShard::tick`] decides, the owner appends the
//! decision's records as one batch, and then tells the shard the outcome before anything else: [`GroupShard::replay`] for each
//! record, or [`GroupShard::append_failed`]. Replies go out when the records are stored as safely as the owner wants.
//!
//! What is durable here is changed by replay alone. The rest is soft: which members wait for an answer, when sessions end.

mod commit;
mod consumer;
mod query;
mod remove;
mod replay;
#[cfg(test)]
mod tests;
mod transactions;
mod view;

pub use query::DurableGroup;
pub use replay::Replayed;
pub use view::{Committed, GroupView};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::classic::{ClassicGroup, Step};
use crate::consumer::{ConsumerGroup, ConsumerGroupConfig};
use crate::deadlines::Deadlines;
use crate::decision::{CoordinatorRecord, Decision, Ticket};
use crate::error::GroupError;
use crate::event::{Event, HeartbeatRequest, JoinRequest, LeaveRequest, Reply, SyncRequest};
use crate::offsets::{ExpiryBase, GroupOffsets};
use crate::options::GroupOptions;
use crate::records::group_metadata::group_tombstone;
use crate::stats::Counters;
use crate::topics::TopicView;

/// About how many records one tick may decide on: expiry of many offsets is spread over many batches.
const RECORDS_PER_TICK: usize = 1_000;

/// Makes the random part of member ids. Handed in, so that a whole cluster can run from one seed.
pub type NewUuid = Box<dyn FnMut() -> Uuid + Send>;

/// A group of either protocol.
#[derive(Debug)]
pub(crate) enum Group {
    /// The members assign.
    Classic(Box<ClassicGroup>),
    /// The broker assigns (KIP-848).
    Consumer(Box<ConsumerGroup>),
}

impl Group {
    fn wake_at_ms(&self) -> i64 {
        match self {
            Self::Classic(group) => group.wake_at_ms(),
            Self::Consumer(group) => group.next_deadline().unwrap_or(i64::MAX),
        }
    }

    fn member_count(&self) -> usize {
        match self {
            Self::Classic(group) => group.member_count(),
            Self::Consumer(group) => group.member_count(),
        }
    }

    fn state_name(&self) -> &'static str {
        match self {
            Self::Classic(group) => group.state().name(),
            Self::Consumer(group) => group.state().name(),
        }
    }

    fn type_name(&self) -> &'static str {
        match self {
            Self::Classic(_) => "classic",
            Self::Consumer(_) => "consumer",
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_empty(),
            Self::Consumer(group) => group.member_count() == 0,
        }
    }

    fn is_subscribed(&self, topic: &str) -> bool {
        match self {
            Self::Classic(group) => group.is_subscribed(topic),
            Self::Consumer(group) => group.is_subscribed_to(topic),
        }
    }

    /// Empty, and nobody is on the way in either.
    fn is_deserted(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_deserted(),
            Self::Consumer(group) => group.member_count() == 0,
        }
    }

    fn expiry_base(&self) -> ExpiryBase {
        match self {
            Self::Classic(group) => group.expiry_base(),
            Self::Consumer(_) => ExpiryBase::Commit,
        }
    }

    /// The records that remove an empty group.
    fn tombstones(&self, group_id: &str) -> Vec<CoordinatorRecord> {
        match self {
            // Also for a group without a record of its own: replay takes it away by this one.
            Self::Classic(_) => vec![group_tombstone(group_id)],
            Self::Consumer(group) => group.tombstones(),
        }
    }
}

/// A group with its offsets.
#[derive(Debug)]
pub(crate) struct Entry {
    id: Arc<str>,
    group: Group,
    /// The group that this one takes the place of, while it is not known whether that could be stored.
    previous: Option<Group>,
    offsets: GroupOffsets,
    /// When the offsets are next looked over for old ones.
    offsets_check_at_ms: i64,
    /// The time this entry has in the deadline queue.
    indexed_ms: Option<i64>,
}

impl Entry {
    fn new(id: &str, state_since_ms: Option<i64>) -> Self {
        let id: Arc<str> = Arc::from(id);
        Self {
            group: Group::Classic(Box::new(ClassicGroup::new(Arc::clone(&id), state_since_ms))),
            id,
            previous: None,
            offsets: GroupOffsets::default(),
            offsets_check_at_ms: i64::MAX,
            indexed_ms: None,
        }
    }

    /// Nothing of it is in the log, and nobody uses it.
    fn is_void(&self) -> bool {
        let is_stored = match &self.group {
            Group::Classic(group) => group.stored().is_some() || !group.is_deserted(),
            Group::Consumer(group) => !group.is_absent(),
        };
        !is_stored && self.offsets.is_empty()
    }
}

/// See the module's description.
pub struct GroupShard {
    options: GroupOptions,
    new_uuid: NewUuid,
    group_configs: BTreeMap<String, ConsumerGroupConfig>,
    entries: BTreeMap<Arc<str>, Entry>,
    deadlines: Deadlines,
    counters: Counters,
    /// Where producers have pending offsets; a group may be named that has none any more.
    open: BTreeMap<i64, BTreeSet<Arc<str>>>,
    /// What the view of the log has to learn beside the records themselves.
    rows: Vec<CoordinatorRecord>,
    /// Groups with a record in the decision that is being stored.
    in_flight: Vec<Arc<str>>,
    /// The log has been read to its end, and time counts.
    loaded: bool,
    now_ms: i64,
}

impl std::fmt::Debug for GroupShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupShard")
            .field("groups", &self.entries.len())
            .field("loaded", &self.loaded)
            .finish_non_exhaustive()
    }
}

impl GroupShard {
    /// A shard that knows nothing yet: replay its partition's records into it, then call [`Self::loaded`].
    #[must_use]
    pub fn new(options: GroupOptions, new_uuid: NewUuid) -> Self {
        Self {
            options,
            new_uuid,
            group_configs: BTreeMap::new(),
            entries: BTreeMap::new(),
            deadlines: Deadlines::default(),
            counters: Counters::default(),
            open: BTreeMap::new(),
            rows: Vec::new(),
            in_flight: Vec::new(),
            loaded: false,
            now_ms: 0,
        }
    }

    /// Changed configuration; what is running keeps its deadlines.
    pub fn set_options(&mut self, options: GroupOptions) {
        self.options = options;
    }

    /// What `event` means at `now_ms`. Its answer is in this decision or, where it has to wait for other members, in a later
    /// one.
    pub fn handle(&mut self, now_ms: i64, topics: &dyn TopicView, event: Event) -> Decision<Reply> {
        self.now_ms = now_ms;
        let mut decision = Decision::default();
        match event {
            Event::Join(ticket, request) => self.join(&mut decision, topics, ticket, &request),
            Event::Sync(ticket, request) => self.sync(&mut decision, topics, ticket, &request),
            Event::Heartbeat(ticket, request) => {
                let result = self.heartbeat(&mut decision, topics, &request);
                decision.replies.push((ticket, Reply::Heartbeat(result)));
            }
            Event::Leave(ticket, request) => {
                let result = self.leave(&mut decision, topics, &request);
                decision.replies.push((ticket, Reply::Leave(result)));
            }
            Event::ConsumerHeartbeat(ticket, request) => {
                let result = self.consumer_heartbeat(&mut decision, topics, request);
                let reply = Reply::ConsumerHeartbeat(result);
                decision.replies.push((ticket, reply));
            }
            Event::CommitOffsets(ticket, request) => {
                let result = self.commit_offsets(&mut decision, topics, &request);
                decision
                    .replies
                    .push((ticket, Reply::CommitOffsets(result)));
            }
            Event::DeleteOffsets(ticket, request) => {
                let result = self.delete_offsets(&mut decision, topics, &request);
                decision
                    .replies
                    .push((ticket, Reply::DeleteOffsets(result)));
            }
            Event::DeleteGroups(ticket, group_ids) => {
                let results = self.delete_groups(&mut decision, group_ids);
                decision
                    .replies
                    .push((ticket, Reply::DeleteGroups(results)));
            }
        }
        decision
    }

    /// When [`Self::tick`] has something to do, in milliseconds; may be too early, never too late.
    #[must_use]
    pub fn next_deadline(&self) -> Option<i64> {
        self.deadlines.next()
    }

    /// Does what has become due by `now_ms`. What is left because it would be too much for one batch stays due: look at
    /// [`Self::next_deadline`] again. Costs nothing for groups that nothing is due for.
    pub fn tick(&mut self, now_ms: i64, topics: &dyn TopicView) -> Decision<Reply> {
        self.now_ms = now_ms;
        let mut decision = Decision::default();
        // Each group once: one that is due again at this very moment waits for the next tick, as the caller must get a turn.
        let due: Vec<Arc<str>> = std::iter::from_fn(|| self.deadlines.pop_due(now_ms)).collect();
        for group_id in due {
            if let Some(entry) = self.entries.get_mut(&group_id) {
                entry.indexed_ms = None;
                if decision.records.len() >= RECORDS_PER_TICK {
                    reindex(&mut self.deadlines, entry);
                    continue;
                }
            }
            self.step(&mut decision, &group_id, |group, step| group.expire(step));
            self.tick_consumer(&mut decision, topics, &group_id);
            self.expire_offsets(&mut decision, &group_id);
        }
        decision
    }

    /// The records of `decision` could not be appended. Every answer in it becomes `error`; the result holds those and what
    /// else has to be answered now.
    pub fn append_failed(
        &mut self,
        now_ms: i64,
        decision: Decision<Reply>,
        error: &GroupError,
    ) -> Vec<(Ticket, Reply)> {
        self.now_ms = now_ms;
        let mut after = Decision::default();
        let failed = decision.replies.into_iter();
        after
            .replies
            .extend(failed.map(|(ticket, reply)| (ticket, reply.failed(error))));
        for group_id in std::mem::take(&mut self.in_flight) {
            self.step(&mut after, &group_id, |group, step| {
                group.write_failed(step, error);
            });
            self.take_back(&mut after, &group_id, error);
            self.forget_if_void(&group_id);
        }
        debug_assert!(
            after.records.is_empty(),
            "a failed append asks for nothing to be appended"
        );
        after.replies
    }

    /// The log has been read: time begins to count. Members' sessions start anew, so that they go on without a rebalance.
    /// Nothing has to be stored or answered.
    pub fn loaded(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
        self.loaded = true;
        let interval_ms = i128::from(self.options.offsets_retention_check_interval_ms.max(1));
        let count = self.entries.len().max(1) as i128;
        let group_ids: Vec<Arc<str>> = self.entries.keys().cloned().collect();
        let mut decision = Decision::default();
        for (position, group_id) in (1i128..).zip(&group_ids) {
            // Spread over the interval, or all would be looked over at the same moment for ever.
            let delay_ms = i64::try_from(interval_ms * position / count).unwrap_or(i64::MAX);
            if let Some(entry) = self.entries.get_mut(group_id) {
                entry.offsets_check_at_ms = now_ms.saturating_add(delay_ms);
            }
            self.step(&mut decision, group_id, |group, step| group.loaded(step));
            self.consumer_loaded(group_id);
            self.forget_if_void(group_id);
        }
        debug_assert!(decision.records.is_empty() && decision.replies.is_empty());
    }

    /// Another broker coordinates these groups now: every request still waiting is answered with `error`, and the shard is
    /// of no more use.
    pub fn unload(&mut self, now_ms: i64, error: &GroupError) -> Vec<(Ticket, Reply)> {
        self.now_ms = now_ms;
        let mut decision = Decision::default();
        let group_ids: Vec<Arc<str>> = self.entries.keys().cloned().collect();
        for group_id in group_ids {
            self.step(&mut decision, &group_id, |group, step| {
                group.answer_all(step, error);
            });
        }
        self.entries.clear();
        self.open.clear();
        self.deadlines = Deadlines::default();
        self.in_flight.clear();
        self.loaded = false;
        decision.replies
    }

    #[cfg(test)]
    pub(crate) fn classic_group(&self, group_id: &str) -> Option<&ClassicGroup> {
        match &self.entries.get(group_id)?.group {
            Group::Classic(group) => Some(group),
            Group::Consumer(_) => None,
        }
    }

    /// Lets a classic group do one thing, and notes what came of it. Nothing if there is no such group.
    fn step(
        &mut self,
        decision: &mut Decision<Reply>,
        group_id: &str,
        act: impl FnOnce(&mut ClassicGroup, &mut Step<'_>),
    ) {
        self.step_with_uuid(decision, group_id, |group, step, _| act(group, step));
    }

    fn step_with_uuid(
        &mut self,
        decision: &mut Decision<Reply>,
        group_id: &str,
        act: impl FnOnce(&mut ClassicGroup, &mut Step<'_>, &mut dyn FnMut() -> Uuid),
    ) {
        let Some(entry) = self.entries.get_mut(group_id) else {
            return;
        };
        let mut step = Step {
            now_ms: self.now_ms,
            options: &self.options,
            decision,
            counters: &mut self.counters,
        };
        let Group::Classic(group) = &mut entry.group else {
            return;
        };
        let had_write = group.has_pending_write();
        act(group, &mut step, &mut self.new_uuid);
        if !had_write && group.has_pending_write() {
            self.in_flight.push(Arc::clone(&entry.id));
        }
        reindex(&mut self.deadlines, entry);
    }

    fn join(
        &mut self,
        decision: &mut Decision<Reply>,
        topics: &dyn TopicView,
        ticket: Ticket,
        request: &JoinRequest,
    ) {
        let group_id = request.group_id.as_str();
        if let Err(error) = self.check_join(request) {
            decision.replies.push((ticket, Reply::Join(Err(error))));
        } else if self.is_consumer_with_members(group_id) {
            let result = self.join_consumer(decision, topics, request);
            decision.replies.push((ticket, Reply::Join(result)));
        } else {
            let is_new =
                self.entry_or_new(group_id) || self.make_way_for_classic(decision, group_id);
            self.step_with_uuid(decision, group_id, |group, step, new_uuid| {
                group.join(step, ticket, request, new_uuid);
                if is_new {
                    group.record_creation(step);
                }
            });
        }
    }

    fn check_join(&self, request: &JoinRequest) -> Result<(), GroupError> {
        let session_timeout_ms = request.session_timeout_ms;
        let allowed = self.options.min_session_timeout_ms..=self.options.max_session_timeout_ms;
        if request.group_id.is_empty() {
            Err(GroupError::InvalidGroupId)
        } else if !allowed.contains(&session_timeout_ms) {
            Err(GroupError::InvalidSession { session_timeout_ms })
        } else if self.has_group_for_classic(&request.group_id) {
            Ok(())
        } else if !request.member_id.is_empty() {
            Err(GroupError::UnknownMember)
        } else if !crate::classic::is_joinable(&request.protocol_type, &request.protocols) {
            // Kafka makes the group first and then refuses the member; here a refused join leaves nothing behind.
            Err(GroupError::InconsistentProtocol)
        } else {
            Ok(())
        }
    }

    /// Makes an entry if there is none; true if it did.
    fn entry_or_new(&mut self, group_id: &str) -> bool {
        if self.entries.contains_key(group_id) {
            return false;
        }
        let since_ms = self.loaded.then_some(self.now_ms);
        let mut entry = Entry::new(group_id, since_ms);
        if self.loaded {
            entry.offsets_check_at_ms = self.next_offsets_check_ms();
            reindex(&mut self.deadlines, &mut entry);
        }
        self.entries.insert(Arc::clone(&entry.id), entry);
        true
    }

    fn next_offsets_check_ms(&self) -> i64 {
        let interval_ms = self.options.offsets_retention_check_interval_ms.max(1);
        self.now_ms.saturating_add(interval_ms)
    }

    fn forget_if_void(&mut self, group_id: &str) {
        if self.entries.get(group_id).is_some_and(Entry::is_void) {
            self.forget(group_id);
        }
    }

    fn forget(&mut self, group_id: &str) {
        if let Some(mut entry) = self.entries.remove(group_id) {
            self.deadlines.remove(&entry.id, &mut entry.indexed_ms);
            self.retire(&entry.group);
        }
    }

    fn sync(
        &mut self,
        decision: &mut Decision<Reply>,
        topics: &dyn TopicView,
        ticket: Ticket,
        request: &SyncRequest,
    ) {
        if let Err(error) = self.check_group(&request.group_id) {
            decision.replies.push((ticket, Reply::Sync(Err(error))));
        } else if self.is_consumer_with_members(&request.group_id) {
            let result = self.sync_consumer(topics, request);
            decision.replies.push((ticket, Reply::Sync(result)));
        } else {
            self.step(decision, &request.group_id, |group, step| {
                group.sync(step, ticket, request);
            });
        }
    }

    fn heartbeat(
        &mut self,
        decision: &mut Decision<Reply>,
        topics: &dyn TopicView,
        request: &HeartbeatRequest,
    ) -> Result<(), GroupError> {
        self.check_group(&request.group_id)?;
        if self.is_consumer_with_members(&request.group_id) {
            return self.heartbeat_consumer(topics, request);
        }
        let mut result = Err(GroupError::UnknownMember);
        self.step(decision, &request.group_id, |group, step| {
            result = group.heartbeat(step, request);
        });
        result
    }

    fn leave(
        &mut self,
        decision: &mut Decision<Reply>,
        topics: &dyn TopicView,
        request: &LeaveRequest,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        match self.check_group(&request.group_id) {
            Err(GroupError::InvalidGroupId) => Err(GroupError::InvalidGroupId),
            Err(error) => Ok(vec![Err(error); request.members.len()]),
            Ok(()) if self.is_consumer_with_members(&request.group_id) => {
                Ok(self.leave_consumer(decision, topics, request))
            }
            Ok(()) => {
                let mut results = Vec::new();
                self.step(decision, &request.group_id, |group, step| {
                    results = group.leave(step, &request.members);
                });
                Ok(results)
            }
        }
    }

    /// Whether classic members may speak to a group of that name: an empty consumer group is none to them.
    fn has_group_for_classic(&self, group_id: &str) -> bool {
        let entry = self.entries.get(group_id);
        entry.is_some_and(|entry| match &entry.group {
            Group::Classic(_) => true,
            Group::Consumer(group) => group.member_count() > 0,
        })
    }

    fn check_group(&self, group_id: &str) -> Result<(), GroupError> {
        if group_id.is_empty() {
            Err(GroupError::InvalidGroupId)
        } else if self.has_group_for_classic(group_id) {
            Ok(())
        } else {
            Err(GroupError::UnknownMember)
        }
    }
}

fn reindex(deadlines: &mut Deadlines, entry: &mut Entry) {
    let at_ms = entry.group.wake_at_ms().min(entry.offsets_check_at_ms);
    deadlines.move_to(&entry.id, &mut entry.indexed_ms, at_ms);
}
