//! A consumer group with a log in memory, topics that change when told to, and a clock that is moved by hand.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::group::Durable;
use super::*;
use crate::error::GroupError;
use crate::records::consumer::TopicPartitions;
use crate::stats::EndedRebalance;
use crate::topics::TopicView;

mod classic;
mod membership;
mod offsets;
mod reconciliation;
mod simulation;
mod subscriptions;

const GROUP: &str = "orders-readers";

/// Topics by name; topic n of the test has id n.
#[derive(Debug, Default)]
struct Topics {
    by_name: BTreeMap<String, (Uuid, i32)>,
    revision: i64,
}

impl Topics {
    fn set(&mut self, name: &str, partitions: i32) -> Uuid {
        self.revision += 1;
        let next = Uuid::from_u128(self.by_name.len() as u128 + 1);
        let topic = self.by_name.entry(name.to_owned()).or_insert((next, 0));
        topic.1 = partitions;
        topic.0
    }

    fn remove(&mut self, name: &str) {
        self.revision += 1;
        self.by_name.remove(name);
    }
}

impl TopicView for Topics {
    fn by_name(&self, name: &str) -> Option<(Uuid, i32)> {
        self.by_name.get(name).copied()
    }

    fn by_id(&self, id: Uuid) -> Option<(&str, i32)> {
        let found = self.by_name.iter().find(|(_, (its_id, _))| *its_id == id);
        found.map(|(name, (_, partitions))| (name.as_str(), *partitions))
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.by_name.keys().map(String::as_str))
    }

    fn revision(&self) -> i64 {
        self.revision
    }
}

struct World {
    group: ConsumerGroup,
    log: Vec<CoordinatorRecord>,
    topics: Topics,
    options: GroupOptions,
    config: ConsumerGroupConfig,
    now_ms: i64,
    /// The next batch cannot be stored.
    append_fails: bool,
    /// What the last batch made of the group.
    downgrade: Option<Downgrade>,
    /// Topics that the next caller may not describe.
    hidden: BTreeSet<String>,
    ended: Vec<EndedRebalance>,
}

impl World {
    /// A group whose assignments need not keep a distance, and a topic "orders" with four partitions.
    fn new() -> Self {
        let options = GroupOptions::default();
        let config = ConsumerGroupConfig {
            assignment_interval_ms: 0,
            ..ConsumerGroupConfig::from(&options.consumer)
        };
        let mut topics = Topics::default();
        topics.set("orders", 4);
        Self {
            group: ConsumerGroup::new(GROUP),
            log: Vec::new(),
            topics,
            options,
            config,
            now_ms: 1_000_000,
            append_fails: false,
            downgrade: None,
            ended: Vec::new(),
            hidden: BTreeSet::new(),
        }
    }

    /// Decides, stores and replays.
    fn decide<R>(
        &mut self,
        decision: impl FnOnce(&mut ConsumerGroup, &Context<'_>) -> Result<Outcome<R>, GroupError>,
    ) -> Result<R, GroupError> {
        let hidden = &self.hidden;
        let may_describe = |name: &str| !hidden.contains(name);
        let context = Context {
            now_ms: self.now_ms,
            topics: &self.topics,
            options: &self.options,
            config: self.config,
            may_describe: Some(&may_describe),
        };
        let before = self.group.durable.clone();
        let outcome = decision(&mut self.group, &context);
        assert_eq!(
            self.group.durable, before,
            "durable state changes by replay alone"
        );
        let outcome = outcome?;
        if std::mem::take(&mut self.append_fails) {
            return Err(GroupError::CoordinatorUnavailable);
        }
        for record in outcome.records {
            replay(&mut self.group, &record);
            self.ended
                .extend(self.group.take_ended_rebalance(self.now_ms));
            self.log.push(record);
        }
        self.downgrade = outcome.downgrade;
        Ok(outcome.reply)
    }

    fn beat(&mut self, request: &ConsumerHeartbeat) -> Result<ConsumerHeartbeatReply, GroupError> {
        self.decide(|group, context| group.heartbeat(context, request))
    }

    fn tick(&mut self) {
        self.decide(|group, context| Ok(group.tick(context))).ok();
    }

    /// Moves the clock, and lets the group act at each of its deadlines on the way.
    fn pass(&mut self, ms: i64) {
        let end_ms = self.now_ms + ms;
        while let Some(due_ms) = self
            .group
            .next_deadline()
            .filter(|due_ms| *due_ms <= end_ms)
        {
            self.now_ms = self.now_ms.max(due_ms);
            self.tick();
        }
        self.now_ms = end_ms;
    }

    /// A new coordinator that knows only the log.
    fn restart(&mut self) {
        self.group = replayed(&self.log);
        self.group.loaded(self.now_ms, &self.config);
    }

    fn describe(&self) -> DescribedConsumerGroup {
        self.group.describe(&Context {
            now_ms: self.now_ms,
            topics: &self.topics,
            options: &self.options,
            config: self.config,
            may_describe: None,
        })
    }

    fn durable(&self) -> &Durable {
        &self.group.durable
    }

    fn member_ids(&self) -> Vec<String> {
        self.durable()
            .members
            .keys()
            .map(ToString::to_string)
            .collect()
    }

    /// A member that joined with "orders", and its assignment.
    fn join(&mut self, id: &str) -> ConsumerHeartbeatReply {
        self.beat(&joins(id, &["orders"])).unwrap()
    }
}

fn replay(group: &mut ConsumerGroup, record: &CoordinatorRecord) {
    let decoded = ConsumerGroupRecord::decode(&record.key, record.value.as_ref()).unwrap();
    assert_eq!(decoded.group_id, GROUP);
    group.replay(decoded.change);
}

fn replayed(log: &[CoordinatorRecord]) -> ConsumerGroup {
    let mut group = ConsumerGroup::new(GROUP);
    for record in log {
        replay(&mut group, record);
    }
    group
}

/// The last record of each key, in their order, and no tombstones: what compaction leaves.
fn compacted(log: &[CoordinatorRecord]) -> Vec<CoordinatorRecord> {
    let last: BTreeMap<&Bytes, usize> = log
        .iter()
        .enumerate()
        .map(|(at, record)| (&record.key, at))
        .collect();
    let kept = log
        .iter()
        .enumerate()
        .filter(|(at, record)| last[&record.key] == *at && record.value.is_some());
    kept.map(|(_, record)| record.clone()).collect()
}

/// A first heartbeat.
fn joins(id: &str, topics: &[&str]) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        member_id: id.to_owned(),
        member_epoch: 0,
        rebalance_timeout_ms: Some(60_000),
        subscribed_topic_names: Some(topics.iter().map(|topic| (*topic).to_owned()).collect()),
        owned: Some(TopicPartitions::new()),
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        ..ConsumerHeartbeat::default()
    }
}

fn joins_static(id: &str, instance_id: &str) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        instance_id: Some(instance_id.to_owned()),
        ..joins(id, &["orders"])
    }
}

/// A heartbeat with nothing new.
fn alive(id: &str, member_epoch: i32) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        member_id: id.to_owned(),
        member_epoch,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        ..ConsumerHeartbeat::default()
    }
}

/// A heartbeat that says what the member owns.
fn owns(id: &str, member_epoch: i32, owned: &TopicPartitions) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        owned: Some(owned.clone()),
        ..alive(id, member_epoch)
    }
}

fn leaves(id: &str, member_epoch: i32, instance_id: Option<&str>) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        instance_id: instance_id.map(str::to_owned),
        ..alive(id, member_epoch)
    }
}

fn orders(partitions: &[i32]) -> TopicPartitions {
    let partitions: BTreeSet<i32> = partitions.iter().copied().collect();
    if partitions.is_empty() {
        TopicPartitions::new()
    } else {
        TopicPartitions::from([(Uuid::from_u128(1), partitions)])
    }
}
