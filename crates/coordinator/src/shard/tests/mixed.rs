//! Both protocols in one group, requests that need not make sense, appends that fail, and coordinators that come back.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::consumer::ConsumerHeartbeat;
use crate::event::{
    CommitRequest, ConsumerHeartbeatRequest, Event, JoinRequest, LeaveRequest, LeavingMember,
    Reply, SyncRequest,
};
use crate::testing::*;
use crate::{GroupError, Ticket};

#[derive(Debug, Clone)]
enum Op {
    /// Who, with an instance id or not, and whether as the member it last was.
    Join(usize, bool, bool),
    Sync(usize),
    Heartbeat(usize),
    /// Who, and the epoch: `None` for the last one known.
    ConsumerHeartbeat(usize, Option<i32>, bool),
    Leave(usize),
    Commit(usize),
    DeleteGroup,
    Pass(i64),
    Break(bool),
    Restart,
}

fn any_op() -> impl Strategy<Value = Op> {
    let who = 0..4usize;
    prop_oneof![
        10 => (who.clone(), prop::bool::weighted(0.3), prop::bool::weighted(0.8)).prop_map(|(who, named, known)| Op::Join(who, named, known)),
        8 => who.clone().prop_map(Op::Sync),
        4 => who.clone().prop_map(Op::Heartbeat),
        10 => (who.clone(), prop::option::weighted(0.5, -2..3i32), prop::bool::weighted(0.3))
            .prop_map(|(who, epoch, named)| Op::ConsumerHeartbeat(who, epoch, named)),
        3 => who.clone().prop_map(Op::Leave),
        2 => who.prop_map(Op::Commit),
        1 => Just(Op::DeleteGroup),
        6 => (0..8_000i64).prop_map(Op::Pass),
        2 => (20_000..700_000i64).prop_map(Op::Pass),
        2 => any::<bool>().prop_map(Op::Break),
        1 => Just(Op::Restart),
    ]
}

/// What was last heard of a member.
#[derive(Debug, Default, Clone)]
struct Known {
    member_id: String,
    epoch: i32,
}

struct Trial {
    world: World,
    known: BTreeMap<usize, Known>,
    asked_by: BTreeMap<Ticket, usize>,
    lost: Vec<Ticket>,
}

impl Trial {
    fn new() -> Self {
        Self {
            world: World::new(),
            known: BTreeMap::new(),
            asked_by: BTreeMap::new(),
            lost: Vec::new(),
        }
    }

    fn of(&self, who: usize) -> Known {
        self.known.get(&who).cloned().unwrap_or_default()
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Join(who, named, known) => self.join(who, named, known),
            Op::Sync(who) => {
                let Known { member_id, epoch } = self.of(who);
                let request = SyncRequest {
                    assignments: vec![(member_id.clone(), bytes::Bytes::new())],
                    ..syncing(&member_id, epoch)
                };
                let ticket = self.world.send(|ticket| Event::Sync(ticket, request));
                self.asked_by.insert(ticket, who);
            }
            Op::Heartbeat(who) => {
                let Known { member_id, epoch } = self.of(who);
                let _ = self.world.heartbeat(&member_id, epoch);
            }
            Op::ConsumerHeartbeat(who, epoch, named) => self.consumer_heartbeat(who, epoch, named),
            Op::Leave(who) => {
                let leaving = LeavingMember {
                    member_id: self.of(who).member_id,
                    group_instance_id: None,
                    reason: None,
                };
                let request = LeaveRequest {
                    group_id: GROUP.to_owned(),
                    members: vec![leaving],
                };
                self.world.send(|ticket| Event::Leave(ticket, request));
            }
            Op::Commit(who) => {
                let Known { member_id, epoch } = self.of(who);
                let request: CommitRequest = committing(&member_id, epoch, 1);
                let _ = self.world.commit(request);
            }
            Op::DeleteGroup => {
                let ids = vec![GROUP.to_owned()];
                self.world.send(|ticket| Event::DeleteGroups(ticket, ids));
            }
            Op::Pass(ms) => self.world.advance(ms),
            Op::Break(broken) => {
                self.world.broken = broken.then_some(GroupError::CoordinatorUnavailable);
            }
            Op::Restart => {
                let asked = (1..=self.world.asked).map(Ticket);
                self.lost = asked
                    .filter(|ticket| self.world.is_waiting(*ticket))
                    .collect();
                self.world.restart();
            }
        }
        self.hear();
        self.check();
    }

    fn join(&mut self, who: usize, named: bool, known: bool) {
        let member_id = if known {
            self.of(who).member_id
        } else {
            String::new()
        };
        let request = JoinRequest {
            group_instance_id: named.then(|| format!("pod-{who}")),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 15_000,
            requires_known_member_id: who != 0,
            ..joining(&member_id)
        };
        let ticket = self.world.join(request);
        self.asked_by.insert(ticket, who);
    }

    fn consumer_heartbeat(&mut self, who: usize, epoch: Option<i32>, named: bool) {
        let known = self.of(who);
        let member_epoch = epoch.unwrap_or(known.epoch);
        let joins = member_epoch == 0;
        // A process that takes its instance's place is a new one, mostly with an id of its own.
        let is_new = joins && named && !self.world.asked.is_multiple_of(3);
        let member_id = if known.member_id.is_empty() || is_new {
            format!("member-{who}-{}", self.world.asked)
        } else {
            known.member_id
        };
        let heartbeat = ConsumerHeartbeat {
            member_id,
            member_epoch,
            instance_id: named.then(|| format!("pod-{who}")),
            rebalance_timeout_ms: joins.then_some(15_000),
            subscribed_topic_names: joins.then(|| vec!["orders".to_owned()]),
            owned: joins.then(BTreeMap::new),
            ..ConsumerHeartbeat::default()
        };
        let request = ConsumerHeartbeatRequest {
            group_id: GROUP.to_owned(),
            heartbeat,
            brings_member_id: true,
            may_describe: None,
        };
        let ticket = self
            .world
            .send(|ticket| Event::ConsumerHeartbeat(ticket, request));
        self.asked_by.insert(ticket, who);
    }

    fn hear(&mut self) {
        let heard = self
            .asked_by
            .keys()
            .copied()
            .filter(|ticket| !self.world.is_waiting(*ticket));
        for ticket in heard.collect::<Vec<_>>() {
            let Some(who) = self.asked_by.remove(&ticket) else {
                continue;
            };
            let known = match &self.world.answers[&ticket] {
                Reply::Join(Ok(reply)) => Known {
                    member_id: reply.member_id.clone(),
                    epoch: reply.generation,
                },
                Reply::Join(Err(GroupError::MemberIdRequired { member_id })) => Known {
                    member_id: member_id.clone(),
                    epoch: -1,
                },
                Reply::ConsumerHeartbeat(Ok(reply)) => Known {
                    member_id: reply.member_id.clone(),
                    epoch: reply.member_epoch,
                },
                _ => continue,
            };
            self.known.insert(who, known);
        }
    }

    fn check(&self) {
        let world = &self.world;
        assert_eq!(
            world.replayed().durable(&world.topics),
            world.shard.durable(&world.topics)
        );
    }

    fn end(&mut self) {
        self.world.broken = None;
        self.world.advance(20 * 60_000);
        for ticket in (1..=self.world.asked).map(Ticket) {
            let waits = self.world.is_waiting(ticket) && !self.lost.contains(&ticket);
            assert!(!waits, "{ticket:?} was never answered");
        }
        self.check();
        assert_eq!(self.world.shard.stats().members, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_asked_in_either_protocol_is_answered_once_and_the_log_tells_the_same(
        ops in proptest::collection::vec(any_op(), 1..80),
    ) {
        let mut trial = Trial::new();
        for op in &ops {
            trial.run(op);
        }
        trial.end();
    }
}
