//! Creating topics (Kafka `ReplicationControlManager.createTopics`, statements M9 and M10).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use super::names::{InvalidTopicName, check_topic_name, is_internal_topic};
use super::placement::{Place, PlacementError, Placer, places};
use super::{PLAN_KEYS_MAX, Packer, Plan, REQUEST_PARTITIONS_MAX, put};
use crate::error::ControllerError;
use crate::image::{ClusterImage, unified};
use crate::keys::{ConfigResource, Key};
use crate::store::{Op, TXN_BYTES_MAX, Txn};
use crate::values::{ConfigRecord, PartitionState, TopicRecord, TopicState};

/// Most bytes of one topic's overrides: they have to fit into a transaction beside the partitions.
pub(crate) const CONFIG_BYTES_MAX: usize = TXN_BYTES_MAX / 4;

/// A topic to be created. Defaults (`-1` on the wire) have been filled in by the caller, and the configuration been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions, and where.
    pub layout: Layout,
    /// Overrides of its configuration, as text under Kafka's names.
    pub configs: BTreeMap<String, String>,
    /// The value of `min.insync.replicas` that applies to it.
    pub min_isr: i32,
}

/// How many partitions a topic has, and where their copies are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// The controller chooses the brokers.
    Automatic {
        /// How many partitions.
        partitions: i32,
        /// How many copies of each.
        replication_factor: i32,
    },
    /// The client has chosen: partition number → node ids, preferred leader first. As sent: in any order, maybe with repetitions.
    Manual(Vec<(i32, Vec<i32>)>),
}

impl NewTopic {
    fn partitions(&self) -> usize {
        match &self.layout {
            Layout::Automatic { partitions, .. } => usize::try_from(*partitions).unwrap_or(0),
            Layout::Manual(assignment) => assignment.len(),
        }
    }
}

/// A topic that was created, or would have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many copies of each.
    pub replication_factor: i32,
}

/// Why a topic was not created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateTopicError {
    /// Kafka does not allow the name.
    #[error(transparent)]
    InvalidName(#[from] InvalidTopicName),
    /// Metrics could not tell it from a topic that exists.
    #[error("Topic '{name}' collides with existing topic: {existing}")]
    CollidesWith {
        /// The name asked for.
        name: String,
        /// The topic that exists, or precedes it in the request.
        existing: String,
    },
    /// There is such a topic.
    #[error("Topic '{name}' already exists.")]
    AlreadyExists {
        /// The name asked for.
        name: String,
    },
    /// The request names it more than once.
    #[error("Duplicate topic name.")]
    DuplicateInRequest {
        /// The name asked for.
        name: String,
    },
    /// Not a number of partitions.
    #[error("Number of partitions was set to an invalid non-positive value.")]
    InvalidPartitions {
        /// What was asked for.
        partitions: i32,
    },
    /// More partitions than one request may create, 10,000; all its topics are refused. A violation of policy in Kafka's terms.
    #[error("Excessively large number of partitions per request.")]
    TooManyPartitions {
        /// The name asked for.
        name: String,
        /// What was asked for in all.
        partitions: usize,
    },
    /// There are not the brokers for it.
    #[error(transparent)]
    InvalidReplicationFactor(#[from] PlacementError),
    /// The client's choice of brokers is not possible.
    #[error(transparent)]
    InvalidAssignment(#[from] InvalidAssignment),
    /// The overrides are too large to be stored.
    #[error(
        "The configuration of topic '{name}' has {bytes} bytes: {CONFIG_BYTES_MAX} is the most."
    )]
    ConfigTooLarge {
        /// The name asked for.
        name: String,
        /// Bytes of the stored form.
        bytes: usize,
    },
    /// The controller could not do it.
    #[error(transparent)]
    Controller(#[from] ControllerError),
}

/// What is wrong with a manual assignment. The texts are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAssignment {
    /// A partition number twice.
    #[error("Found multiple manual partition assignments for partition {partition}")]
    RepeatedPartition {
        /// The partition.
        partition: i32,
    },
    /// Numbers with gaps, or not from 0.
    #[error("partitions should be a consecutive 0-based integer sequence")]
    NotConsecutive,
    /// No copy at all.
    #[error("The manual partition assignment includes an empty replica list.")]
    Empty {
        /// The partition.
        partition: i32,
    },
    /// A broker twice.
    #[error("The manual partition assignment includes the broker {broker} more than once.")]
    RepeatedBroker {
        /// The broker.
        broker: i32,
    },
    /// A broker that does not exist.
    #[error(
        "The manual partition assignment includes broker {broker}, but no such broker is registered."
    )]
    UnknownBroker {
        /// The broker.
        broker: i32,
    },
    /// Partitions with different numbers of copies.
    #[error(
        "The manual partition assignment includes a partition with {found} replica(s), but this is not consistent with \
         previous partitions, which have {expected} replica(s)."
    )]
    UnevenReplicas {
        /// Copies of this partition.
        found: usize,
        /// Copies of those before.
        expected: usize,
    },
    /// Nobody could lead.
    #[error(
        "All brokers specified in the manual partition assignment for partition {partition} are fenced or in controlled shutdown."
    )]
    NoActiveBroker {
        /// The partition.
        partition: i32,
    },
    /// Another number of assignments than of new partitions.
    #[error(
        "Attempted to add {partitions} additional partition(s), but only {assignments} assignment(s) were specified."
    )]
    WrongCount {
        /// New partitions.
        partitions: usize,
        /// Assignments given.
        assignments: usize,
    },
}

/// Plans `topics`. `new_id` gives topic ids; `seed` chooses the first brokers.
pub(crate) fn create_topics(
    image: &ClusterImage,
    topics: &[NewTopic],
    seed: u64,
    mut new_id: impl FnMut() -> Uuid,
) -> Plan<CreatedTopic, CreateTopicError> {
    let names = RequestNames::of(topics);
    let places = places(image);
    let mut placer = Placer::new(&places, seed);
    let mut packer = Packer::default();
    let answer = |(item, topic): (usize, &NewTopic)| {
        names.check_request(topic)?;
        names.check(image, item, topic)?;
        let partitions = lay_out(topic, &places, &mut placer)?;
        let drafted = Draft::new(new_id(), topic, partitions)?;
        let created = drafted.created(topic);
        drafted.pack(item, &mut packer);
        Ok(created)
    };
    let answers = topics.iter().enumerate().map(answer).collect();
    Plan {
        answers,
        steps: packer.into_steps(),
    }
}

/// What the names of one request mean to each other.
struct RequestNames<'a> {
    times: HashMap<&'a str, usize>,
    /// The first item of each name as metrics show it.
    first_unified: HashMap<String, (usize, &'a str)>,
    /// Partitions of all topics that are named once.
    partitions: usize,
}

impl<'a> RequestNames<'a> {
    fn of(topics: &'a [NewTopic]) -> Self {
        let mut names = Self {
            times: HashMap::new(),
            first_unified: HashMap::new(),
            partitions: 0,
        };
        for (item, topic) in topics.iter().enumerate() {
            *names.times.entry(&topic.name).or_default() += 1;
            let unified = names.first_unified.entry(unified(&topic.name));
            unified.or_insert((item, &topic.name));
        }
        let counted = topics.iter().filter(|topic| !names.is_repeated(topic));
        names.partitions = counted
            .map(NewTopic::partitions)
            .fold(0, usize::saturating_add);
        names
    }

    fn is_repeated(&self, topic: &NewTopic) -> bool {
        self.times
            .get(topic.name.as_str())
            .is_some_and(|&times| times > 1)
    }

    /// What Kafka asks before it looks at any one topic.
    fn check_request(&self, topic: &NewTopic) -> Result<(), CreateTopicError> {
        let name = topic.name.clone();
        if self.is_repeated(topic) {
            return Err(CreateTopicError::DuplicateInRequest { name });
        }
        if self.partitions > REQUEST_PARTITIONS_MAX {
            return Err(CreateTopicError::TooManyPartitions {
                name,
                partitions: self.partitions,
            });
        }
        Ok(())
    }

    fn check(
        &self,
        image: &ClusterImage,
        item: usize,
        topic: &NewTopic,
    ) -> Result<(), CreateTopicError> {
        let name = || topic.name.clone();
        check_topic_name(&topic.name)?;
        if let Some(existing) = image.colliding_topic(&topic.name) {
            return Err(CreateTopicError::CollidesWith {
                name: name(),
                existing: existing.to_string(),
            });
        }
        if image.name_is_taken(&topic.name) {
            return Err(CreateTopicError::AlreadyExists { name: name() });
        }
        // Kafka does not look at the rest of the request here, and then has both; the second would then be in the way.
        match self.first_unified.get(&unified(&topic.name)) {
            Some(&(first, existing)) if first < item => Err(CreateTopicError::CollidesWith {
                name: name(),
                existing: existing.to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// The partitions' records, in order.
fn lay_out(
    topic: &NewTopic,
    places: &[Place],
    placer: &mut Placer,
) -> Result<Vec<PartitionState>, CreateTopicError> {
    let replicas = match &topic.layout {
        &Layout::Automatic {
            partitions,
            replication_factor,
        } => {
            let count = usize::try_from(partitions).ok().filter(|&count| count > 0);
            // Kafka looks at the replication factor first.
            if replication_factor <= 0 {
                return Err(PlacementError::NotPositive { replication_factor }.into());
            }
            let count = count.ok_or(CreateTopicError::InvalidPartitions { partitions })?;
            (0..count)
                .map(|_| placer.place(replication_factor))
                .collect::<Result<_, _>>()?
        }
        Layout::Manual(assignment) if assignment.is_empty() => {
            return Err(CreateTopicError::InvalidPartitions { partitions: 0 });
        }
        Layout::Manual(assignment) => in_order(assignment, places)?,
    };
    Ok(replicas
        .into_iter()
        .map(|replicas| new_partition(replicas, places, topic.min_isr))
        .collect())
}

/// The client's replicas by partition number, checked.
fn in_order(
    assignment: &[(i32, Vec<i32>)],
    places: &[Place],
) -> Result<Vec<Vec<i32>>, InvalidAssignment> {
    let mut by_number: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let mut replication_factor = None;
    for (partition, replicas) in assignment {
        if by_number.contains_key(partition) {
            return Err(InvalidAssignment::RepeatedPartition {
                partition: *partition,
            });
        }
        check_assignment(*partition, replicas, places, replication_factor)?;
        replication_factor = Some(replicas.len());
        by_number.insert(*partition, replicas.clone());
    }
    let consecutive = by_number
        .keys()
        .zip(0..)
        .all(|(&partition, expected)| partition == expected);
    match consecutive {
        true => Ok(by_number.into_values().collect()),
        false => Err(InvalidAssignment::NotConsecutive),
    }
}

/// Checks the replicas of one partition (Kafka `validateManualPartitionAssignment`).
pub(crate) fn check_assignment(
    partition: i32,
    replicas: &[i32],
    places: &[Place],
    expected: Option<usize>,
) -> Result<(), InvalidAssignment> {
    if replicas.is_empty() {
        return Err(InvalidAssignment::Empty { partition });
    }
    let mut seen = BTreeSet::new();
    for &broker in replicas {
        if !places.iter().any(|place| place.node == broker) {
            return Err(InvalidAssignment::UnknownBroker { broker });
        }
        if !seen.insert(broker) {
            return Err(InvalidAssignment::RepeatedBroker { broker });
        }
    }
    if let Some(expected) = expected.filter(|&expected| expected != replicas.len()) {
        return Err(InvalidAssignment::UnevenReplicas {
            found: replicas.len(),
            expected,
        });
    }
    if !replicas.iter().any(|&broker| is_active(places, broker)) {
        return Err(InvalidAssignment::NoActiveBroker { partition });
    }
    Ok(())
}

fn is_active(places: &[Place], node: i32) -> bool {
    places
        .iter()
        .any(|place| place.node == node && place.active)
}

/// A partition's first record: active replicas are in sync, for there is nothing to have yet, and the first of them leads.
pub(crate) fn new_partition(replicas: Vec<i32>, places: &[Place], min_isr: i32) -> PartitionState {
    let isr: Vec<i32> = replicas
        .iter()
        .copied()
        .filter(|&node| is_active(places, node))
        .collect();
    let leader = isr.first().copied().unwrap_or(crate::values::NO_LEADER);
    PartitionState {
        leader,
        replicas,
        isr,
        min_isr,
        ..Default::default()
    }
}

/// A topic's records, not yet cut into transactions.
struct Draft {
    id: Uuid,
    name: String,
    record: TopicRecord,
    partitions: Vec<PartitionState>,
    config: Option<Op>,
}

impl Draft {
    fn new(
        id: Uuid,
        topic: &NewTopic,
        partitions: Vec<PartitionState>,
    ) -> Result<Self, CreateTopicError> {
        let key = Key::Config(ConfigResource::Topic(topic.name.clone())).text();
        let config = (!topic.configs.is_empty()).then(|| {
            put(
                key,
                &ConfigRecord {
                    values: topic.configs.clone(),
                },
            )
        });
        if let Some(Op::Put { value, .. }) = &config
            && value.len() > CONFIG_BYTES_MAX
        {
            return Err(CreateTopicError::ConfigTooLarge {
                name: topic.name.clone(),
                bytes: value.len(),
            });
        }
        let record = TopicRecord {
            topic_id: id.as_bytes().to_vec(),
            partition_count: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
            replication_factor: partitions
                .first()
                .map_or(0, |first| first.replicas.len() as i32),
            state: TopicState::Active.into(),
            internal: is_internal_topic(&topic.name),
        };
        Ok(Self {
            id,
            name: topic.name.clone(),
            record,
            partitions,
            config,
        })
    }

    fn created(&self, topic: &NewTopic) -> CreatedTopic {
        CreatedTopic {
            id: self.id,
            name: topic.name.clone(),
            partitions: self.record.partition_count,
            replication_factor: self.record.replication_factor,
        }
    }

    /// A small topic appears in one transaction. A large one is first written as being created, invisible; the transaction that
    /// makes it active comes last, and a controller that starts in between removes it.
    fn pack(mut self, item: usize, packer: &mut Packer) {
        let key = Key::Topic(self.name.clone()).text();
        let partitions = self
            .partitions
            .iter()
            .zip(0..)
            .map(|(state, number)| put(Key::Partition(self.id, number).text(), state));
        let partitions: Vec<Op> = partitions.collect();
        let keys = partitions.len() + 2;
        if keys <= PLAN_KEYS_MAX {
            let mut txn = Txn::default().when(key.clone(), 0);
            txn.ops.push(put(key, &self.record));
            txn.ops.extend(partitions.into_iter().chain(self.config));
            packer.add(item, txn, keys);
            return;
        }
        let mut last = Txn::default();
        last.ops.push(put(key.clone(), &self.record));
        last.ops.extend(self.config.take());
        self.record.state = TopicState::Creating.into();
        let mut first = Txn::default().when(key.clone(), 0);
        first.ops.push(put(key, &self.record));
        packer.add_apart(item, first);
        for chunk in partitions.chunks(PLAN_KEYS_MAX) {
            packer.add_apart(
                item,
                Txn {
                    ops: chunk.to_vec(),
                    ..Txn::default()
                },
            );
        }
        packer.add_apart(item, last);
    }
}
