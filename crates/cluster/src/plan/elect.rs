//! Electing leaders on request (Kafka `ReplicationControlManager.electLeader`).
//!
//! With one broker there is nothing an election could change: a partition is led by the only broker there is, or nobody
//! can lead it. What is left to say is why.

use crate::image::ClusterImage;
use crate::values::NO_LEADER;

/// What a client asks of an election (Kafka `ElectionType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElectionType {
    /// The first of the replicas shall lead.
    Preferred,
    /// Anybody shall lead where nobody does, even at the price of records.
    Unclean,
}

/// Why no leader was elected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElectLeaderError {
    /// There is no such topic.
    #[error("No such topic as {topic}")]
    UnknownTopic {
        /// Its name.
        topic: String,
    },
    /// The topic has no such partition.
    #[error("No such partition as {topic}-{partition}")]
    UnknownPartition {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// The leader is already the one that is wished for.
    #[error("Leader election not needed for topic partition.")]
    NotNeeded,
    /// The preferred leader is not there, or not in sync.
    #[error("The preferred leader was not available.")]
    PreferredNotAvailable,
    /// Nobody who has a copy is there.
    #[error("Eligible topic partition leaders are not available.")]
    NoneEligible,
}

/// Why an election of the partition's leader changes nothing.
#[must_use]
pub fn why_no_election(
    image: &ClusterImage,
    topic: &str,
    partition: i32,
    election: ElectionType,
) -> ElectLeaderError {
    let Some(found) = image.topic(topic) else {
        return ElectLeaderError::UnknownTopic {
            topic: topic.to_owned(),
        };
    };
    let Some(state) = found.partition(partition) else {
        return ElectLeaderError::UnknownPartition {
            topic: topic.to_owned(),
            partition,
        };
    };
    match election {
        ElectionType::Preferred if state.replicas.first() == Some(&state.leader) => {
            ElectLeaderError::NotNeeded
        }
        ElectionType::Unclean if state.leader != NO_LEADER => ElectLeaderError::NotNeeded,
        ElectionType::Preferred => ElectLeaderError::PreferredNotAvailable,
        ElectionType::Unclean => ElectLeaderError::NoneEligible,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::image_with_a_topic;

    #[test]
    fn a_partition_led_by_the_preferred_replica_needs_no_election() {
        let image = image_with_a_topic("t");
        for election in [ElectionType::Preferred, ElectionType::Unclean] {
            let why = |topic, partition| why_no_election(&image, topic, partition, election);
            assert_eq!(why("t", 0), ElectLeaderError::NotNeeded);
            assert!(matches!(
                why("t", 1),
                ElectLeaderError::UnknownPartition { .. }
            ));
            assert!(matches!(why("u", 0), ElectLeaderError::UnknownTopic { .. }));
        }
    }
}
