//! A group of simulated consumers that join, leave, crash and are slow, while topics grow, answers are lost, appends fail and
//! the coordinator restarts. Whatever happens, no partition has two owners; and once nothing happens any more, everyone soon
//! has its share.

use proptest::prelude::*;

use super::super::heartbeat::without_epochs;
use super::classic::joins_classic;
use super::*;
use crate::options::MigrationPolicy;

/// A consumer of the new protocol: it gives up what it is told to give up when the simulation lets it.
#[derive(Debug, Clone)]
struct Consumer {
    name: usize,
    instance_id: Option<String>,
    lives: usize,
    epoch: i32,
    topics: Vec<&'static str>,
    pattern: Option<&'static str>,
    assignor: Option<&'static str>,
    /// What it consumes now.
    owned: TopicPartitions,
    /// What it was last told to consume.
    assignment: TopicPartitions,
    /// The last request's answer did not come, or the member is new: the next one says everything.
    unsure: bool,
    reported: Option<TopicPartitions>,
}

impl Consumer {
    fn id(&self) -> String {
        format!("m{}-{}", self.name, self.lives)
    }

    /// Forgets all, and will join again. A static member comes under another id.
    fn reset(&mut self) {
        if self.instance_id.is_some() {
            self.lives += 1;
        }
        self.epoch = 0;
        self.owned.clear();
        self.assignment.clear();
        self.unsure = true;
        self.reported = None;
    }

    fn request(&self) -> ConsumerHeartbeat {
        let names = self.topics.iter().map(|name| (*name).to_owned()).collect();
        let full = self.unsure || self.epoch == 0;
        ConsumerHeartbeat {
            instance_id: self.instance_id.clone(),
            rebalance_timeout_ms: full.then_some(30_000),
            subscribed_topic_names: full.then_some(names),
            subscribed_topic_regex: if full {
                Some(self.pattern.unwrap_or_default().to_owned())
            } else {
                None
            },
            server_assignor: self.assignor.filter(|_| full).map(str::to_owned),
            owned: (full || self.reported.as_ref() != Some(&self.owned))
                .then(|| self.owned.clone()),
            ..alive(&self.id(), self.epoch)
        }
    }

    fn answered(&mut self, reply: ConsumerHeartbeatReply, reported: Option<TopicPartitions>) {
        self.unsure = false;
        self.epoch = reply.member_epoch;
        if reported.is_some() {
            self.reported = reported;
        }
        if let Some(assignment) = reply.assignment {
            self.assignment = assignment;
        }
        // What it gains it takes at once, unless it has something to give up first.
        if self.to_revoke().is_empty() {
            self.owned = self.assignment.clone();
        }
    }

    fn to_revoke(&self) -> TopicPartitions {
        let mut rest = TopicPartitions::new();
        for (topic, partitions) in &self.owned {
            let kept = self.assignment.get(topic);
            let lost: BTreeSet<i32> = partitions
                .iter()
                .copied()
                .filter(|partition| !kept.is_some_and(|kept| kept.contains(partition)))
                .collect();
            if !lost.is_empty() {
                rest.insert(*topic, lost);
            }
        }
        rest
    }

    fn revoke(&mut self) {
        for (topic, lost) in self.to_revoke() {
            if let Some(owned) = self.owned.get_mut(&topic) {
                owned.retain(|partition| !lost.contains(partition));
            }
        }
        self.owned.retain(|_, partitions| !partitions.is_empty());
        // The rest of the assignment it takes only after it has said so.
    }
}

/// A consumer of the classic protocol, one that gives up everything before it joins again.
#[derive(Debug, Clone, Default)]
struct Classic {
    name: usize,
    generation: Option<i32>,
    owned: TopicPartitions,
}

#[derive(Debug, Clone)]
enum Event {
    Beat(usize),
    BeatUnanswered(usize),
    Revoke(usize),
    Start {
        name: usize,
        instance: bool,
        topics: usize,
        assignor: usize,
    },
    Subscribe {
        name: usize,
        topics: usize,
    },
    Leave(usize),
    LeaveForAWhile(usize),
    Crash(usize),
    ClassicStart(usize),
    ClassicBeat(usize),
    ClassicLeave(usize),
    Grow(usize),
    AppendFails,
    Restart,
    Pass(i64),
}

const TOPICS: [&str; 3] = ["orders", "payments", "audit"];
const SUBSCRIPTIONS: [(&[&str], Option<&str>); 5] = [
    (&["orders", "payments"], None),
    (&["orders", "payments"], None),
    (&["orders"], None),
    (&["audit", "later"], Some("pay.*|orders")),
    (&[], Some(".*")),
];
const ASSIGNORS: [Option<&str>; 4] = [None, None, Some("uniform"), Some("range")];
const NAMES: usize = 5;

fn event() -> impl Strategy<Value = Event> {
    let name = || 0..NAMES;
    let start = (
        name(),
        any::<bool>(),
        0..SUBSCRIPTIONS.len(),
        0..ASSIGNORS.len(),
    );
    prop_oneof![
        8 => name().prop_map(Event::Beat),
        2 => name().prop_map(Event::BeatUnanswered),
        5 => name().prop_map(Event::Revoke),
        5 => start.prop_map(|(name, instance, topics, assignor)| Event::Start { name, instance, topics, assignor }),
        1 => (name(), 0..SUBSCRIPTIONS.len()).prop_map(|(name, topics)| Event::Subscribe { name, topics }),
        1 => name().prop_map(Event::Leave),
        1 => name().prop_map(Event::LeaveForAWhile),
        1 => name().prop_map(Event::Crash),
        1 => (0..2usize).prop_map(Event::ClassicStart),
        3 => (0..2usize).prop_map(Event::ClassicBeat),
        1 => (0..2usize).prop_map(Event::ClassicLeave),
        1 => (0..TOPICS.len()).prop_map(Event::Grow),
        1 => Just(Event::AppendFails),
        1 => Just(Event::Restart),
        2 => prop_oneof![1i64..2_000, 20_000i64..50_000].prop_map(Event::Pass),
    ]
}

struct Simulation {
    world: World,
    consumers: BTreeMap<usize, Consumer>,
    classics: BTreeMap<usize, Classic>,
    lives: usize,
}

impl Simulation {
    fn new(assignment_interval_ms: i32) -> Self {
        let mut world = World::new();
        world.options.consumer.migration_policy = MigrationPolicy::Upgrade;
        world.config.assignment_interval_ms = assignment_interval_ms;
        world.topics.set("payments", 3);
        world.topics.set("audit", 1);
        Self {
            world,
            consumers: BTreeMap::new(),
            classics: BTreeMap::new(),
            lives: 0,
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Beat(name) => self.beat(name, true),
            Event::BeatUnanswered(name) => self.beat(name, false),
            Event::Revoke(name) => {
                if let Some(consumer) = self.consumers.get_mut(&name) {
                    consumer.revoke();
                }
            }
            Event::Start {
                name,
                instance,
                topics,
                assignor,
            } => self.start(name, instance, topics, assignor),
            Event::Subscribe { name, topics } => {
                if let Some(consumer) = self.consumers.get_mut(&name) {
                    (consumer.topics, consumer.pattern) =
                        (SUBSCRIPTIONS[topics].0.to_vec(), SUBSCRIPTIONS[topics].1);
                    consumer.unsure = true;
                }
            }
            Event::Leave(name) => self.leave(name, false),
            Event::LeaveForAWhile(name) => self.leave(name, true),
            Event::Crash(name) => drop(self.consumers.remove(&name)),
            Event::ClassicStart(name) => {
                self.classics.entry(name).or_insert(Classic {
                    name,
                    ..Classic::default()
                });
            }
            Event::ClassicBeat(name) => self.beat_classic(name),
            Event::ClassicLeave(name) => self.leave_classic(name),
            Event::Grow(topic) => {
                let (_, partitions) = self.world.topics.by_name(TOPICS[topic]).unwrap();
                self.world
                    .topics
                    .set(TOPICS[topic], (partitions + 1).min(8));
            }
            Event::AppendFails => self.world.append_fails = true,
            Event::Restart => self.world.restart(),
            Event::Pass(ms) => self.pass(ms),
        }
    }

    /// Consumers know themselves when their session is over, and stop consuming (KIP-848).
    fn pass(&mut self, ms: i64) {
        self.world.pass(ms);
        for consumer in self.consumers.values_mut() {
            if !self
                .world
                .group
                .durable
                .members
                .contains_key(consumer.id().as_str())
            {
                consumer.reset();
            }
        }
        for classic in self.classics.values_mut() {
            let id = format!("c{}", classic.name);
            if !self.world.group.durable.members.contains_key(id.as_str()) {
                *classic = Classic {
                    name: classic.name,
                    ..Classic::default()
                };
            }
        }
    }

    fn start(&mut self, name: usize, instance: bool, topics: usize, assignor: usize) {
        if self.consumers.contains_key(&name) {
            return;
        }
        self.lives += 1;
        let consumer = Consumer {
            name,
            instance_id: instance.then(|| format!("i{name}")),
            lives: self.lives * 1_000,
            epoch: 0,
            topics: SUBSCRIPTIONS[topics].0.to_vec(),
            pattern: SUBSCRIPTIONS[topics].1,
            assignor: ASSIGNORS[assignor],
            owned: TopicPartitions::new(),
            assignment: TopicPartitions::new(),
            unsure: true,
            reported: None,
        };
        self.consumers.insert(name, consumer);
        self.beat(name, true);
    }

    fn beat(&mut self, name: usize, answered: bool) {
        let Some(consumer) = self.consumers.get_mut(&name) else {
            return;
        };
        let request = consumer.request();
        let reported = request.owned.clone();
        match self.world.beat(&request) {
            Ok(reply) if answered => consumer.answered(reply, reported),
            Ok(_) | Err(GroupError::CoordinatorUnavailable) => consumer.unsure = true,
            Err(GroupError::UnreleasedInstance(_)) => {}
            Err(
                GroupError::UnknownMember
                | GroupError::FencedMemberEpoch(_)
                | GroupError::FencedInstance,
            ) => {
                consumer.reset();
            }
            Err(error) => panic!("{error:?} for {request:?}"),
        }
    }

    fn leave(&mut self, name: usize, for_a_while: bool) {
        let Some(consumer) = self.consumers.get_mut(&name) else {
            return;
        };
        let for_a_while = for_a_while && consumer.instance_id.is_some();
        let epoch = if for_a_while { -2 } else { -1 };
        // A consumer stops consuming before it says that it leaves, and does not wait for the answer.
        let request = leaves(&consumer.id(), epoch, consumer.instance_id.as_deref());
        self.world.beat(&request).ok();
        if for_a_while {
            consumer.reset();
        } else {
            self.consumers.remove(&name);
        }
    }

    fn beat_classic(&mut self, name: usize) {
        let Some(classic) = self.classics.get_mut(&name) else {
            return;
        };
        let id = format!("c{name}");
        if let Some(generation) = classic.generation {
            match self.world.beat_classic(&id, generation) {
                Ok(()) | Err(GroupError::CoordinatorUnavailable) => return,
                // It gives everything up, and joins again.
                Err(_) => classic.owned.clear(),
            }
        }
        classic.generation = None;
        let Ok(joined) = self.world.join_classic(&joins_classic(&id, &[])) else {
            return;
        };
        if let Ok(assignment) = self.world.sync(&id, joined.generation) {
            classic.generation = Some(joined.generation);
            classic.owned = assignment;
        }
    }

    fn leave_classic(&mut self, name: usize) {
        if self.classics.remove(&name).is_none() {
            return;
        }
        let identity = ClassicIdentity {
            member_id: format!("c{name}"),
            instance_id: None,
        };
        self.world
            .decide(|group, context| Ok(group.classic_leave(context, &[identity])))
            .ok();
    }

    /// What each member consumes. One that the group no longer knows is on its way to learn that.
    fn consumed(&self) -> Vec<(String, TopicPartitions)> {
        let new = self
            .consumers
            .values()
            .map(|consumer| (consumer.id(), consumer.owned.clone()));
        let classic = self
            .classics
            .values()
            .map(|classic| (format!("c{}", classic.name), classic.owned.clone()));
        new.chain(classic)
            .filter(|(id, _)| self.world.durable().members.contains_key(id.as_str()))
            .collect()
    }

    fn check_owners(&self) -> Result<(), TestCaseError> {
        let mut held = BTreeMap::new();
        for (id, member) in &self.world.durable().members {
            for partitions in [&member.current.assigned, &member.current.pending_revocation] {
                for (topic, partition) in pairs(&without_epochs(partitions)) {
                    let other = held.insert((topic, partition), id.to_string());
                    prop_assert!(
                        other.is_none(),
                        "{topic}-{partition} is held by {id} and {other:?}"
                    );
                }
            }
        }
        let mut consumed = BTreeMap::new();
        for (id, owned) in self.consumed() {
            for (topic, partition) in pairs(&owned) {
                prop_assert_eq!(
                    held.get(&(topic, partition)),
                    Some(&id),
                    "consumed without being held"
                );
                let other = consumed.insert((topic, partition), id.clone());
                prop_assert!(
                    other.is_none(),
                    "{topic}-{partition} is consumed by {id} and {other:?}"
                );
            }
        }
        Ok(())
    }

    fn check_log(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(&replayed(&self.world.log).durable, self.world.durable());
        let records = self.world.group.records();
        prop_assert_eq!(&replayed(&records).durable, self.world.durable());
        prop_assert_eq!(
            &replayed(&compacted(&self.world.log)).durable,
            self.world.durable()
        );
        Ok(())
    }

    /// Everyone goes on as it should, and nothing else happens.
    fn settle(&mut self) {
        self.world.append_fails = false;
        // Whoever is away for good is removed first.
        for round in 0..60 {
            self.pass(if round < 10 { 5_000 } else { 1_000 });
            for name in 0..NAMES {
                if let Some(consumer) = self.consumers.get_mut(&name) {
                    consumer.revoke();
                }
                self.beat(name, true);
                self.beat_classic(name);
            }
        }
    }

    fn check_settled(&self) -> Result<(), TestCaseError> {
        let durable = self.world.durable();
        prop_assert_eq!(
            durable.members.len(),
            self.consumers.len() + self.classics.len()
        );
        if durable.members.is_empty() {
            return Ok(());
        }
        prop_assert_eq!(
            self.world.group.state(),
            GroupState::Stable,
            "{:#?}",
            durable
        );
        let mut all = BTreeSet::new();
        for (id, owned) in self.consumed() {
            let member = &durable.members[id.as_str()];
            prop_assert_eq!(&owned, &without_epochs(&member.current.assigned));
            prop_assert_eq!(&owned, durable.target(&id));
            all.extend(pairs(&owned));
        }
        let subscribed = |name: &str| self.world.group.is_subscribed_to(name);
        let topics = self
            .world
            .topics
            .by_name
            .iter()
            .filter(|(name, _)| subscribed(name));
        let wanted: BTreeSet<_> = topics
            .flat_map(|(_, (id, partitions))| (0..*partitions).map(|partition| (*id, partition)))
            .collect();
        prop_assert_eq!(all, wanted);
        Ok(())
    }
}

fn pairs(partitions: &TopicPartitions) -> Vec<(Uuid, i32)> {
    let of_topic = |(topic, partitions): (&Uuid, &BTreeSet<i32>)| {
        let topic = *topic;
        partitions
            .iter()
            .map(move |partition| (topic, *partition))
            .collect::<Vec<_>>()
    };
    partitions.iter().flat_map(of_topic).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_partition_ever_has_two_owners_and_a_quiet_group_settles(
        interval_ms in prop_oneof![Just(0), Just(1_000)],
        events in proptest::collection::vec(event(), 1..80),
    ) {
        let mut simulation = Simulation::new(interval_ms);
        for event in events {
            simulation.apply(event);
            simulation.check_owners()?;
        }
        simulation.check_log()?;
        simulation.settle();
        simulation.check_owners()?;
        simulation.check_settled()?;
        simulation.check_log()?;
        let stored = simulation.world.log.len();
        simulation.settle();
        simulation.world.restart();
        simulation.settle();
        prop_assert_eq!(simulation.world.log.len(), stored, "a settled group stores nothing");
    }
}
