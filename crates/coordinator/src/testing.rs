//! A shard with a log in memory, a clock that is moved by hand, and whatever was answered.

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;

use crate::event::*;
use crate::records::codec::Writer;
use crate::{CoordinatorRecord, Decision, GroupError, GroupOptions, GroupShard, Ticket, TopicView};

pub(crate) const GROUP: &str = "orders-readers";

/// Topics with their ids and numbers of partitions.
#[derive(Debug, Default)]
pub(crate) struct Topics(pub(crate) BTreeMap<String, (Uuid, i32)>);

impl TopicView for Topics {
    fn by_name(&self, name: &str) -> Option<(Uuid, i32)> {
        self.0.get(name).copied()
    }

    fn by_id(&self, id: Uuid) -> Option<(&str, i32)> {
        let found = self.0.iter().find(|(_, (its_id, _))| *its_id == id);
        found.map(|(name, (_, count))| (name.as_str(), *count))
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.0.keys().map(String::as_str))
    }

    fn revision(&self) -> i64 {
        0
    }
}

/// What is not a record by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The record is part of this producer's transaction.
    In(i64),
    /// A marker; the record there is empty.
    End { producer_id: i64, committed: bool },
}

pub(crate) struct World {
    pub(crate) shard: GroupShard,
    pub(crate) log: Vec<CoordinatorRecord>,
    /// What stands at some offsets of the log other than a record outside any transaction.
    pub(crate) marks: BTreeMap<usize, Mark>,
    /// The log's view, which is true up to its end.
    pub(crate) view: BTreeMap<Bytes, Bytes>,
    pub(crate) view_end: usize,
    /// What the view does not have yet.
    behind_view: Vec<CoordinatorRecord>,
    pub(crate) now_ms: i64,
    pub(crate) topics: Topics,
    pub(crate) options: GroupOptions,
    pub(crate) answers: BTreeMap<Ticket, Reply>,
    pub(crate) asked: u64,
    /// Appends fail with this.
    pub(crate) broken: Option<GroupError>,
    lives: u128,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(GroupOptions::default())
    }

    pub(crate) fn with(options: GroupOptions) -> Self {
        let topic = |n: u128| (Uuid::from_u128(n), 4);
        let names = ["orders", "payments", "audit"];
        let topics = names
            .iter()
            .map(|name| (*name).to_owned())
            .zip((1..).map(topic));
        let mut world = Self {
            shard: GroupShard::new(options.clone(), Box::new(Uuid::nil)),
            log: Vec::new(),
            marks: BTreeMap::new(),
            view: BTreeMap::new(),
            view_end: 0,
            behind_view: Vec::new(),
            now_ms: 1_000_000_000,
            topics: Topics(topics.collect()),
            options,
            answers: BTreeMap::new(),
            asked: 0,
            broken: None,
            lives: 0,
        };
        world.restart();
        world
    }

    /// A new coordinator that knows only the log.
    pub(crate) fn restart(&mut self) {
        self.lives += 1;
        let mut next = self.lives << 64;
        let new_uuid = move || {
            next += 1;
            Uuid::from_u128(next)
        };
        self.shard = GroupShard::new(self.options.clone(), Box::new(new_uuid));
        self.replay_log(0);
        self.shard.loaded(self.now_ms);
    }

    /// A new coordinator that knows the view, and what the log has behind it.
    pub(crate) fn restart_from_view(&mut self) {
        let new_uuid = Box::new(Uuid::new_v4);
        self.shard = GroupShard::new(self.options.clone(), new_uuid);
        for (key, value) in self.view.clone() {
            let value = Some(value);
            self.shard
                .restore(&CoordinatorRecord { key, value })
                .unwrap();
        }
        self.replay_log(self.view_end);
        self.shard.loaded(self.now_ms);
    }

    fn replay_log(&mut self, from: usize) {
        self.behind_view.clear();
        for offset in from..self.log.len() {
            self.replay_at(offset);
        }
    }

    /// Replays what stands there, and notes what the view has to learn of it.
    fn replay_at(&mut self, offset: usize) {
        let record = self.log[offset].clone();
        replay_into(&mut self.shard, &record, self.marks.get(&offset), offset);
        if !self.marks.contains_key(&offset) {
            self.behind_view.push(record);
        }
        self.behind_view.extend(self.shard.take_rows());
    }

    /// Brings the view up to the log's end.
    pub(crate) fn write_view(&mut self) {
        for CoordinatorRecord { key, value } in std::mem::take(&mut self.behind_view) {
            match value {
                Some(value) => self.view.insert(key, value),
                None => self.view.remove(&key),
            };
        }
        self.view_end = self.log.len();
    }

    /// What the log alone gives.
    pub(crate) fn replayed(&self) -> GroupShard {
        let mut shard = GroupShard::new(self.options.clone(), Box::new(Uuid::nil));
        for (offset, record) in self.log.iter().enumerate() {
            replay_into(&mut shard, record, self.marks.get(&offset), offset);
        }
        shard
    }

    /// The coordinator of transactions ends the producer's.
    pub(crate) fn end_transaction(&mut self, producer_id: i64, committed: bool) {
        let offset = self.log.len();
        let (key, value) = (Bytes::new(), None);
        self.log.push(CoordinatorRecord { key, value });
        let end = Mark::End {
            producer_id,
            committed,
        };
        self.marks.insert(offset, end);
        self.replay_at(offset);
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        self.asked += 1;
        Ticket(self.asked)
    }

    /// Lets an event happen; its answer may come later.
    pub(crate) fn send(&mut self, event: impl FnOnce(Ticket) -> Event) -> Ticket {
        let ticket = self.ticket();
        let decision = self.shard.handle(self.now_ms, &self.topics, event(ticket));
        self.carry_out(decision);
        ticket
    }

    fn carry_out(&mut self, decision: Decision<Reply>) {
        if decision.records.is_empty() {
            self.answered(decision.replies);
        } else if let Some(error) = self.broken.clone() {
            let replies = self.shard.append_failed(self.now_ms, decision, &error);
            self.answered(replies);
        } else {
            for record in decision.records {
                let offset = self.log.len();
                if let Some(producer) = decision.transaction {
                    self.marks.insert(offset, Mark::In(producer.id));
                }
                self.log.push(record);
                self.replay_at(offset);
            }
            self.answered(decision.replies);
        }
    }

    pub(crate) fn answered(&mut self, replies: Vec<(Ticket, Reply)>) {
        for (ticket, reply) in replies {
            let before = self.answers.insert(ticket, reply);
            assert_eq!(before, None, "{ticket:?} was answered twice");
        }
    }

    /// Moves the clock, stopping wherever the shard wants to be woken.
    pub(crate) fn advance(&mut self, by_ms: i64) {
        let until_ms = self.now_ms + by_ms;
        let mut ticks_in_vain = 0;
        while let Some(at_ms) = self
            .shard
            .next_deadline()
            .filter(|at_ms| *at_ms <= until_ms)
        {
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
            self.tick();
        }
        self.now_ms = until_ms;
    }

    pub(crate) fn tick(&mut self) {
        let decision = self.shard.tick(self.now_ms, &self.topics);
        self.carry_out(decision);
    }

    pub(crate) fn join(&mut self, request: JoinRequest) -> Ticket {
        self.send(|ticket| Event::Join(ticket, request))
    }

    pub(crate) fn joined(&self, ticket: Ticket) -> JoinReply {
        match self.answers.get(&ticket) {
            Some(Reply::Join(Ok(reply))) => reply.clone(),
            other => panic!("not joined: {other:?}"),
        }
    }

    pub(crate) fn join_error(&self, ticket: Ticket) -> GroupError {
        match self.answers.get(&ticket) {
            Some(Reply::Join(Err(error))) => error.clone(),
            other => panic!("no refusal: {other:?}"),
        }
    }

    pub(crate) fn is_waiting(&self, ticket: Ticket) -> bool {
        !self.answers.contains_key(&ticket)
    }

    /// An id, as clients since 2.2 get it: by being told to come again.
    pub(crate) fn new_member_id(&mut self) -> String {
        let ticket = self.join(joining(""));
        match self.join_error(ticket) {
            GroupError::MemberIdRequired { member_id } => member_id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn sync(
        &mut self,
        member_id: &str,
        generation: i32,
        assignments: &[(&str, &'static [u8])],
    ) -> Ticket {
        let assignments = assignments
            .iter()
            .map(|(id, bytes)| ((*id).to_owned(), Bytes::from_static(bytes)))
            .collect();
        let request = SyncRequest {
            assignments,
            ..syncing(member_id, generation)
        };
        self.send(|ticket| Event::Sync(ticket, request))
    }

    pub(crate) fn sync_result(&self, ticket: Ticket) -> Result<Bytes, GroupError> {
        match self.answers.get(&ticket) {
            Some(Reply::Sync(result)) => result.clone().map(|reply| reply.assignment),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn heartbeat(&mut self, member_id: &str, generation: i32) -> Result<(), GroupError> {
        self.heartbeat_as(HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation,
            member_id: member_id.to_owned(),
            group_instance_id: None,
        })
    }

    pub(crate) fn heartbeat_as(&mut self, request: HeartbeatRequest) -> Result<(), GroupError> {
        let ticket = self.send(|ticket| Event::Heartbeat(ticket, request));
        match &self.answers[&ticket] {
            Reply::Heartbeat(result) => result.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn leave(
        &mut self,
        members: &[(&str, Option<&str>)],
    ) -> Vec<Result<(), GroupError>> {
        let members = members
            .iter()
            .map(|(member_id, instance_id)| LeavingMember {
                member_id: (*member_id).to_owned(),
                group_instance_id: instance_id.map(str::to_owned),
                reason: None,
            });
        let request = LeaveRequest {
            group_id: GROUP.to_owned(),
            members: members.collect(),
        };
        let ticket = self.send(|ticket| Event::Leave(ticket, request));
        match &self.answers[&ticket] {
            Reply::Leave(result) => result.clone().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn commit(
        &mut self,
        request: CommitRequest,
    ) -> Result<Vec<TopicResults>, GroupError> {
        let ticket = self.send(|ticket| Event::CommitOffsets(ticket, request));
        match &self.answers[&ticket] {
            Reply::CommitOffsets(result) => result.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// What the group has for one partition.
    pub(crate) fn offset(&self, topic: &str, partition: i32) -> Option<FetchedOffset> {
        let request = FetchOffsetsRequest {
            topics: Some(vec![(topic.to_owned(), vec![partition])]),
            ..fetching()
        };
        let found = self.shard.fetch_offsets(&self.topics, &request).unwrap();
        found[0].partitions[0].1.clone().unwrap()
    }

    pub(crate) fn state(&self) -> &'static str {
        self.shard
            .describe_classic(GROUP)
            .map_or("absent", |group| group.state)
    }

    /// The group's last record.
    pub(crate) fn stored(&self) -> Option<crate::records::GroupMetadata> {
        let durable = self.shard.durable(&self.topics);
        let group = durable.into_iter().find(|group| group.group_id == GROUP);
        group.and_then(|group| group.classic)
    }

    /// A stable group of so many members; their ids, the leader first, and the generation.
    pub(crate) fn stable(&mut self, size: usize) -> (Vec<String>, i32) {
        let mut ids: Vec<String> = (0..size).map(|_| self.new_member_id()).collect();
        let tickets: Vec<Ticket> = ids.iter().map(|id| self.join(joining(id))).collect();
        let mut rounds = 0;
        while self.is_waiting(tickets[0]) {
            rounds += 1;
            assert!(rounds < 100, "the barrier never falls");
            self.advance(1_000);
        }
        let reply = self.joined(tickets[0]);
        let leader = ids.iter().position(|id| *id == reply.leader).unwrap();
        ids.swap(0, leader);
        for id in &ids[1..] {
            self.sync(id, reply.generation, &[]);
        }
        let assignments: Vec<(&str, &'static [u8])> = ids
            .iter()
            .map(|id| (id.as_str(), b"assigned".as_slice()))
            .collect();
        let ticket = self.sync(&ids[0], reply.generation, &assignments);
        assert_eq!(self.sync_result(ticket).unwrap(), b"assigned".as_slice());
        (ids, reply.generation)
    }
}

fn replay_into(
    shard: &mut GroupShard,
    record: &CoordinatorRecord,
    mark: Option<&Mark>,
    offset: usize,
) {
    let replayed = match mark {
        None => shard.replay(record),
        Some(Mark::In(producer_id)) => {
            shard.replay_in_transaction(*producer_id, record, offset as i64)
        }
        Some(Mark::End {
            producer_id,
            committed,
        }) => {
            shard.replay_end(*producer_id, *committed);
            return;
        }
    };
    replayed.unwrap();
}

/// A subscription as consumers send it, version 0.
pub(crate) fn subscription(topics: &[&str]) -> Bytes {
    let mut writer = Writer::versioned(0);
    writer.list(topics, |writer, topic| writer.string(topic));
    writer.bytes(b"");
    writer.finish()
}

/// A consumer of "orders" that joins under this id, as a recent client does.
pub(crate) fn joining(member_id: &str) -> JoinRequest {
    JoinRequest {
        group_id: GROUP.to_owned(),
        member_id: member_id.to_owned(),
        group_instance_id: None,
        client_id: "client".to_owned(),
        client_host: "/10.0.0.1".to_owned(),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![
            ("range".to_owned(), subscription(&["orders"])),
            ("roundrobin".to_owned(), subscription(&["orders"])),
        ],
        reason: None,
        requires_known_member_id: true,
        supports_skipping_assignment: true,
    }
}

pub(crate) fn joining_static(member_id: &str, instance_id: &str) -> JoinRequest {
    JoinRequest {
        group_instance_id: Some(instance_id.to_owned()),
        ..joining(member_id)
    }
}

pub(crate) fn syncing(member_id: &str, generation: i32) -> SyncRequest {
    SyncRequest {
        group_id: GROUP.to_owned(),
        generation,
        member_id: member_id.to_owned(),
        group_instance_id: None,
        protocol_type: None,
        protocol_name: None,
        assignments: Vec::new(),
    }
}

/// A commit for partition 0 of "orders".
pub(crate) fn committing(member_id: &str, generation: i32, offset: i64) -> CommitRequest {
    let commit = PartitionCommit {
        partition: 0,
        offset,
        leader_epoch: 7,
        metadata: Some("note".to_owned()),
    };
    CommitRequest {
        group_id: GROUP.to_owned(),
        generation_or_epoch: generation,
        member_id: member_id.to_owned(),
        group_instance_id: None,
        retention_time_ms: None,
        knows_new_group_errors: true,
        transaction: None,
        topics: vec![("orders".to_owned(), vec![commit])],
    }
}

pub(crate) fn fetching() -> FetchOffsetsRequest {
    FetchOffsetsRequest {
        group_id: GROUP.to_owned(),
        member_id: None,
        member_epoch: -1,
        topics: None,
        require_stable: false,
    }
}
