//! Adding partitions to topics (Kafka `ReplicationControlManager.createPartitions`, statement M11).

use std::collections::HashMap;

use super::create::{InvalidAssignment, check_assignment, new_partition};
use super::placement::{Place, PlacementError, Placer, places};
use super::{PLAN_KEYS_MAX, Packer, Plan, REQUEST_PARTITIONS_MAX, put};
use crate::error::ControllerError;
use crate::image::{ClusterImage, TopicImage};
use crate::keys::{Key, PARTITIONS_MAX};
use crate::store::{Op, Txn};
use crate::values::{PartitionState, TopicRecord, TopicState};

/// A topic that is to have more partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPartitions {
    /// Its name.
    pub topic: String,
    /// How many it shall have afterwards.
    pub count: i32,
    /// Node ids for each of the new ones, where the client has chosen.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// Why partitions were not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreatePartitionsError {
    /// There is no such topic.
    #[error("there is no topic {name}")]
    UnknownTopic {
        /// The name asked for.
        name: String,
    },
    /// The request names it more than once.
    #[error("Duplicate topic name.")]
    DuplicateInRequest {
        /// The name asked for.
        name: String,
    },
    /// It has as many already.
    #[error("Topic already has {current} partition(s).")]
    Unchanged {
        /// How many it has.
        current: usize,
    },
    /// Partitions cannot be taken away.
    #[error(
        "The topic {name} currently has {current} partition(s); {count} would not be an increase."
    )]
    NotAnIncrease {
        /// The topic.
        name: String,
        /// How many it has.
        current: usize,
        /// What was asked for.
        count: i32,
    },
    /// More partitions than one request may add, 10,000, or than a topic may have, 100,000. A violation of policy in Kafka's terms.
    #[error("Excessively large number of additional partitions per request.")]
    TooManyPartitions {
        /// The topic.
        name: String,
        /// What was asked for.
        count: i32,
    },
    /// There are not the brokers for the copies that its partitions have.
    #[error(transparent)]
    InvalidReplicationFactor(#[from] PlacementError),
    /// The client's choice of brokers is not possible.
    #[error(transparent)]
    InvalidAssignment(#[from] InvalidAssignment),
    /// The controller could not do it.
    #[error(transparent)]
    Controller(#[from] ControllerError),
}

/// Plans more partitions; `seed` chooses the first brokers.
pub(crate) fn create_partitions(
    image: &ClusterImage,
    requests: &[NewPartitions],
    seed: u64,
) -> Plan<(), CreatePartitionsError> {
    let places = places(image);
    let mut placer = Placer::new(&places, seed);
    let mut packer = Packer::default();
    let whole = WholeRequest::of(image, requests);
    let answer = |(item, request): (usize, &NewPartitions)| {
        whole.check(request)?;
        let unknown = || CreatePartitionsError::UnknownTopic {
            name: request.topic.clone(),
        };
        let topic = image.topic(&request.topic).ok_or_else(unknown)?;
        let added = lay_out(topic, request, &places, &mut placer)?;
        pack(item, topic, &added, &mut packer);
        Ok(())
    };
    let answers = requests.iter().enumerate().map(answer).collect();
    Plan {
        answers,
        steps: packer.into_steps(),
    }
}

/// What the items of one request come to together, which Kafka asks before it looks at any one of them.
struct WholeRequest<'a> {
    times: HashMap<&'a str, usize>,
    /// Partitions that would be added to topics that exist.
    added: usize,
}

impl<'a> WholeRequest<'a> {
    fn of(image: &ClusterImage, requests: &'a [NewPartitions]) -> Self {
        let mut whole = Self {
            times: HashMap::new(),
            added: 0,
        };
        for request in requests {
            *whole.times.entry(&request.topic).or_default() += 1;
            let current = image
                .topic(&request.topic)
                .map(|topic| topic.partitions.len());
            let count = usize::try_from(request.count).unwrap_or(0);
            let added = current.map_or(0, |current| count.saturating_sub(current));
            whole.added = whole.added.saturating_add(added);
        }
        whole
    }

    fn check(&self, request: &NewPartitions) -> Result<(), CreatePartitionsError> {
        let name = request.topic.clone();
        if self
            .times
            .get(request.topic.as_str())
            .is_some_and(|&times| times > 1)
        {
            return Err(CreatePartitionsError::DuplicateInRequest { name });
        }
        if self.added > REQUEST_PARTITIONS_MAX || request.count > PARTITIONS_MAX {
            return Err(CreatePartitionsError::TooManyPartitions {
                name,
                count: request.count,
            });
        }
        Ok(())
    }
}

fn lay_out(
    topic: &TopicImage,
    request: &NewPartitions,
    places: &[Place],
    placer: &mut Placer,
) -> Result<Vec<PartitionState>, CreatePartitionsError> {
    let added = count_added(topic, request)?;
    let like = topic.partitions.first();
    // A topic's first partition says how many copies the topic has now, and what its leader has to wait for.
    let (copies, min_isr) = like.map_or((1, 1), |first| (first.replicas.len(), first.min_isr));
    let replicas = match &request.assignments {
        Some(assignments) => chosen(topic, assignments, added, copies, places)?,
        None => {
            let replication_factor = i32::try_from(copies).unwrap_or(i32::MAX);
            (0..added)
                .map(|_| placer.place(replication_factor))
                .collect::<Result<_, _>>()?
        }
    };
    Ok(replicas
        .into_iter()
        .map(|replicas| new_partition(replicas, places, min_isr))
        .collect())
}

fn count_added(
    topic: &TopicImage,
    request: &NewPartitions,
) -> Result<usize, CreatePartitionsError> {
    let current = topic.partitions.len();
    let (name, count) = (topic.name.to_string(), request.count);
    match usize::try_from(count) {
        Ok(same) if same == current => Err(CreatePartitionsError::Unchanged { current }),
        Ok(more) if more > current => Ok(more - current),
        _ => Err(CreatePartitionsError::NotAnIncrease {
            name,
            current,
            count,
        }),
    }
}

fn chosen(
    topic: &TopicImage,
    assignments: &[Vec<i32>],
    added: usize,
    copies: usize,
    places: &[Place],
) -> Result<Vec<Vec<i32>>, InvalidAssignment> {
    if assignments.len() != added {
        return Err(InvalidAssignment::WrongCount {
            partitions: added,
            assignments: assignments.len(),
        });
    }
    for (replicas, offset) in assignments.iter().zip(topic.partitions.len()..) {
        let partition = i32::try_from(offset).unwrap_or(i32::MAX);
        check_assignment(partition, replicas, places, Some(copies))?;
    }
    Ok(assignments.to_vec())
}

/// Readers go by the topic's count, so it is raised in the last transaction, and all new partitions appear at once.
fn pack(item: usize, topic: &TopicImage, added: &[PartitionState], packer: &mut Packer) {
    let key = Key::Topic(topic.name.to_string()).text();
    let record = TopicRecord {
        topic_id: topic.id.as_bytes().to_vec(),
        partition_count: i32::try_from(topic.partitions.len() + added.len()).unwrap_or(i32::MAX),
        replication_factor: topic.replication_factor,
        state: TopicState::Active.into(),
        internal: topic.internal,
    };
    let numbers =
        (topic.partitions.len()..).map(|number| i32::try_from(number).unwrap_or(i32::MAX));
    let partitions = added
        .iter()
        .zip(numbers)
        .map(|(state, number)| put(Key::Partition(topic.id, number).text(), state));
    let mut ops: Vec<Op> = partitions.collect();
    let guarded = || Txn::default().when(key.clone(), topic.revision);
    ops.push(put(key.clone(), &record));
    if ops.len() <= PLAN_KEYS_MAX {
        let keys = ops.len();
        packer.add(item, Txn { ops, ..guarded() }, keys);
        return;
    }
    for chunk in ops.chunks(PLAN_KEYS_MAX) {
        packer.add_apart(
            item,
            Txn {
                ops: chunk.to_vec(),
                ..guarded()
            },
        );
    }
}
