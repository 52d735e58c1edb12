//! Members that do as clients do, and things that go wrong in any order. Proptest prints what it ran when a case fails.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use crate::classic::{ClassicGroup, State};
use crate::event::{
    CommitRequest, Event, HeartbeatRequest, JoinRequest, LeaveRequest, LeavingMember, Reply,
    SyncRequest,
};
use crate::testing::*;
use crate::{GroupError, Ticket};

const CLIENTS: usize = 5;
/// The first clients have instance ids.
const STATIC_CLIENTS: usize = 2;
const PARTITIONS: usize = 7;

#[derive(Debug, Clone)]
enum Op {
    /// The client does what it has to do next.
    Act(usize),
    /// The client subscribes to something else and joins again, whatever it was doing.
    Resubscribe(usize, u8),
    Leave(usize),
    /// An administrator removes a static member.
    Evict(usize),
    /// The client's process ends and comes back without its member id.
    Forget(usize),
    Commit(usize),
    Pass(i64),
    Break(bool),
    Restart {
        orderly: bool,
    },
}

fn any_op() -> impl Strategy<Value = Op> {
    let client = 0..CLIENTS;
    prop_oneof![
        40 => client.clone().prop_map(Op::Act),
        4 => (client.clone(), 0..3u8).prop_map(|(client, topic)| Op::Resubscribe(client, topic)),
        3 => client.clone().prop_map(Op::Leave),
        1 => (0..STATIC_CLIENTS).prop_map(Op::Evict),
        4 => client.clone().prop_map(Op::Forget),
        4 => client.prop_map(Op::Commit),
        8 => (0..8_000i64).prop_map(Op::Pass),
        2 => (30_000..400_000i64).prop_map(Op::Pass),
        3 => any::<bool>().prop_map(Op::Break),
        2 => any::<bool>().prop_map(|orderly| Op::Restart { orderly }),
    ]
}

#[derive(Debug, Default, Clone, PartialEq)]
enum Doing {
    #[default]
    Outside,
    Joining(Ticket),
    Joined,
    Syncing(Ticket),
    Working,
}

#[derive(Debug, Default, Clone)]
struct Client {
    number: usize,
    member_id: String,
    generation: i32,
    topic: u8,
    doing: Doing,
    /// From the join's answer, for the leader: the members, each with its instance id.
    to_assign: Vec<(String, Option<String>)>,
}

impl Client {
    fn instance_id(&self) -> Option<String> {
        (self.number < STATIC_CLIENTS).then(|| format!("pod-{}", self.number))
    }

    fn join(&mut self, world: &mut World) {
        let topic = ["orders", "payments", "audit"][usize::from(self.topic)];
        let request = JoinRequest {
            group_instance_id: self.instance_id(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 20_000,
            protocols: vec![("range".to_owned(), subscription(&[topic]))],
            supports_skipping_assignment: self.number.is_multiple_of(2),
            requires_known_member_id: self.number != 4,
            ..joining(&self.member_id)
        };
        self.doing = Doing::Joining(world.join(request));
    }

    fn sync(&mut self, world: &mut World) {
        let members = std::mem::take(&mut self.to_assign);
        let generation = self.generation;
        let share = |at: usize| -> Vec<u8> {
            (0..PARTITIONS)
                .filter(|p| p % members.len() == at)
                .map(|p| p as u8)
                .collect()
        };
        let assignments = members
            .iter()
            .enumerate()
            .map(|(at, (member_id, _))| (member_id.clone(), Bytes::from(share(at))));
        let request = SyncRequest {
            group_instance_id: self.instance_id(),
            assignments: assignments.collect(),
            ..syncing(&self.member_id, generation)
        };
        self.doing = Doing::Syncing(world.send(|ticket| Event::Sync(ticket, request)));
    }

    fn heartbeat(&mut self, world: &mut World) {
        let result = world.heartbeat_as(HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id(),
        });
        if let Err(error) = result {
            self.refused(&error);
        }
    }

    fn refused(&mut self, error: &GroupError) {
        self.doing = Doing::Outside;
        match error {
            GroupError::MemberIdRequired { member_id } => self.member_id = member_id.clone(),
            GroupError::UnknownMember | GroupError::FencedInstance => self.member_id.clear(),
            GroupError::IllegalGeneration
            | GroupError::RebalanceInProgress
            | GroupError::NotCoordinator
            | GroupError::CoordinatorUnavailable => {}
            other => panic!("a well-behaved client was told: {other}"),
        }
    }
}

/// The world with its clients, and what must hold of them.
struct Trial {
    world: World,
    clients: Vec<Client>,
    /// Requests that nobody waits for any more: their coordinator is gone.
    lost: Vec<Ticket>,
    /// Who was given which partition, by generation.
    owners: BTreeMap<(i32, u8), String>,
    stored_generation: i32,
    joined_generation: i32,
}

impl Trial {
    fn new() -> Self {
        let client = |number| Client {
            number,
            ..Client::default()
        };
        Self {
            world: World::new(),
            clients: (0..CLIENTS).map(client).collect(),
            lost: Vec::new(),
            owners: BTreeMap::new(),
            stored_generation: 0,
            joined_generation: 0,
        }
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Act(client) => self.act(client),
            Op::Resubscribe(client, topic) => {
                self.clients[client].topic = topic;
                self.clients[client].join(&mut self.world);
            }
            Op::Leave(client) => self.leave(client),
            Op::Evict(client) => {
                let instance_id = self.clients[client].instance_id();
                self.leave_as(String::new(), instance_id);
            }
            Op::Forget(client) => {
                let number = self.clients[client].number;
                self.clients[client] = Client {
                    number,
                    ..Client::default()
                };
            }
            Op::Commit(client) => self.commit(client),
            Op::Pass(ms) => self.world.advance(ms),
            Op::Break(broken) => {
                self.world.broken = broken.then_some(GroupError::CoordinatorUnavailable);
            }
            Op::Restart { orderly } => self.restart(orderly),
        }
        self.read_answers();
        self.check();
    }

    fn act(&mut self, client: usize) {
        let client = &mut self.clients[client];
        match client.doing {
            Doing::Outside => client.join(&mut self.world),
            Doing::Joined => client.sync(&mut self.world),
            Doing::Working => client.heartbeat(&mut self.world),
            Doing::Joining(_) | Doing::Syncing(_) => {}
        }
    }

    fn leave(&mut self, client: usize) {
        let client = &mut self.clients[client];
        let member_id = std::mem::take(&mut client.member_id);
        client.doing = Doing::Outside;
        let instance_id = client.instance_id();
        self.leave_as(member_id, instance_id);
    }

    fn leave_as(&mut self, member_id: String, group_instance_id: Option<String>) {
        let leaving = LeavingMember {
            member_id,
            group_instance_id,
            reason: None,
        };
        let request = LeaveRequest {
            group_id: GROUP.to_owned(),
            members: vec![leaving],
        };
        self.world.send(|ticket| Event::Leave(ticket, request));
    }

    fn commit(&mut self, client: usize) {
        let client = &self.clients[client];
        let _ = self.world.commit(CommitRequest {
            group_instance_id: client.instance_id(),
            ..committing(&client.member_id, client.generation, self.world.now_ms)
        });
    }

    /// An orderly coordinator answers those that wait; one that fails does not, and their connections end.
    fn restart(&mut self, orderly: bool) {
        if orderly {
            let now_ms = self.world.now_ms;
            let replies = self.world.shard.unload(now_ms, &GroupError::NotCoordinator);
            self.world.answered(replies);
        }
        let asked = 1..=self.world.asked;
        let unanswered = asked
            .map(Ticket)
            .filter(|ticket| self.world.is_waiting(*ticket));
        self.lost = unanswered.collect();
        for client in &mut self.clients {
            if let Doing::Joining(ticket) | Doing::Syncing(ticket) = client.doing
                && self.lost.contains(&ticket)
            {
                client.doing = Doing::Outside;
            }
        }
        self.world.restart();
        self.joined_generation = self.world.stored().map_or(0, |group| group.generation);
    }

    fn read_answers(&mut self) {
        for at in 0..CLIENTS {
            let (Doing::Joining(ticket) | Doing::Syncing(ticket)) = self.clients[at].doing else {
                continue;
            };
            match self.world.answers.get(&ticket) {
                None => {}
                Some(Reply::Join(Ok(reply))) => {
                    let reply = reply.clone();
                    assert!(
                        reply.generation >= self.joined_generation,
                        "a generation fell"
                    );
                    self.joined_generation = reply.generation;
                    let client = &mut self.clients[at];
                    client.doing = Doing::Joined;
                    client.generation = reply.generation;
                    let leads = reply.leader == reply.member_id && !reply.skip_assignment;
                    client.member_id = reply.member_id;
                    let members = reply.members.into_iter().filter(|_| leads);
                    client.to_assign = members
                        .map(|m| (m.member_id, m.group_instance_id))
                        .collect();
                }
                Some(Reply::Sync(Ok(reply))) => {
                    let partitions = reply.assignment.clone();
                    self.clients[at].doing = Doing::Working;
                    self.owns(at, &partitions);
                }
                Some(Reply::Join(Err(error)) | Reply::Sync(Err(error))) => {
                    let error = error.clone();
                    self.clients[at].refused(&error);
                }
                Some(other) => panic!("{other:?}"),
            }
        }
    }

    fn owns(&mut self, at: usize, partitions: &[u8]) {
        let client = &self.clients[at];
        let owner = client
            .instance_id()
            .unwrap_or_else(|| client.member_id.clone());
        for partition in partitions {
            let key = (client.generation, *partition);
            let before = self.owners.entry(key).or_insert_with(|| owner.clone());
            assert_eq!(*before, owner, "two owners of {key:?}");
        }
    }

    fn check(&mut self) {
        match self.world.stored() {
            Some(group) => {
                assert!(
                    group.generation >= self.stored_generation,
                    "a stored generation fell"
                );
                self.stored_generation = group.generation;
            }
            // A group of that name will be another one.
            None => {
                self.stored_generation = 0;
                self.joined_generation = 0;
                self.owners.clear();
            }
        }
        let world = &self.world;
        if let Some(group) = world.shard.classic_group(GROUP) {
            check_group(group);
            let next_ms = world.shard.next_deadline().unwrap_or(i64::MAX);
            assert!(next_ms <= group.wake_at_ms());
        }
        assert_eq!(
            world.replayed().durable(&world.topics),
            world.shard.durable(&world.topics)
        );
    }

    /// Nothing breaks any more, and nobody asks for anything: all that wait are answered in time.
    fn end(&mut self) {
        self.world.broken = None;
        self.world.advance(20 * 60_000);
        for ticket in (1..=self.world.asked).map(Ticket) {
            let waits = self.world.is_waiting(ticket) && !self.lost.contains(&ticket);
            assert!(!waits, "{ticket:?} was never answered");
        }
    }

    /// Nothing breaks any more, and all clients do as they should: the group comes to rest with all of them.
    fn settle(&mut self) {
        self.world.broken = None;
        for _ in 0..600 {
            for client in 0..CLIENTS {
                self.run(&Op::Act(client));
            }
            self.run(&Op::Pass(500));
            let working = self
                .clients
                .iter()
                .filter(|client| client.doing == Doing::Working);
            let members = self.world.shard.stats().members;
            let all_at_work = working.count() == CLIENTS && members == CLIENTS as u64;
            if all_at_work && self.world.state() == "Stable" {
                return;
            }
        }
        panic!("the group never came to rest: {:?}", self.clients);
    }
}

/// What is counted or kept twice agrees.
fn check_group(group: &ClassicGroup) {
    let members = group.members.values();
    let awaiting = members
        .clone()
        .filter(|m| m.awaiting_join.is_some())
        .count();
    assert_eq!(group.awaiting_join, awaiting);
    let mut supported: BTreeMap<String, usize> = BTreeMap::new();
    for (name, _) in members.clone().flat_map(|member| &member.protocols) {
        *supported.entry(name.clone()).or_default() += 1;
    }
    assert_eq!(group.supported, supported);
    let statics = members
        .clone()
        .filter_map(|member| Some((member.instance_id.clone()?, member.id.clone())));
    assert_eq!(group.static_members, statics.collect());
    assert_eq!(group.members.is_empty(), group.leader.is_none());
    let leads = |id: &String| group.members.contains_key(id);
    assert!(group.leader.as_ref().is_none_or(leads));
    assert!(
        group
            .pending_syncs
            .iter()
            .all(|id| group.members.contains_key(id))
    );
    if group.is_empty() {
        assert!(group.members.is_empty());
    }
    let awaiting_sync = members.clone().any(|member| member.awaiting_sync.is_some());
    assert!(!awaiting_sync || group.state == State::CompletingRebalance);
    assert!(awaiting == 0 || group.is_preparing());
    assert!(!group.has_pending_write());
    for member in members.clone() {
        assert!(
            member.session_deadline_ms.is_some() || member.is_excused(),
            "{member:?}"
        );
    }
    let deadlines = members.filter_map(|member| member.session_deadline_ms);
    let timers = deadlines
        .chain(group.pending_joins.values().copied())
        .chain(group.join_deadline_ms)
        .chain(group.sync_deadline_ms);
    assert!(timers.min().unwrap_or(i64::MAX) >= group.wake_at_ms);
    assert!(!group.is_preparing() || group.join_deadline_ms.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_goes_wrong_every_request_is_answered_once_and_no_partition_has_two_owners(
        ops in proptest::collection::vec(any_op(), 1..120),
    ) {
        let mut trial = Trial::new();
        for op in &ops {
            trial.run(op);
        }
        trial.end();
    }

    #[test]
    fn whatever_went_wrong_members_that_behave_come_to_rest_in_a_stable_group(
        ops in proptest::collection::vec(any_op(), 1..80),
    ) {
        let mut trial = Trial::new();
        for op in &ops {
            trial.run(op);
        }
        trial.settle();
    }
}
