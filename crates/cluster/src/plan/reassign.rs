//! Moving partitions to other brokers (Kafka `ReplicationControlManager.alterPartitionReassignment`).
//!
//! With one broker a partition is where it can be: asking for just that is done at once, anything else is refused, and no
//! move is ever in progress.

use std::collections::BTreeSet;

use crate::image::ClusterImage;

/// What is asked for one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reassignment<'a> {
    /// These node ids shall have it, the preferred leader first.
    To(&'a [i32]),
    /// The move that is in progress shall be undone.
    Cancel,
}

/// Why a partition is not moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReassignError {
    /// There is no such topic.
    #[error("Unable to find a topic named {topic}.")]
    UnknownTopic {
        /// Its name.
        topic: String,
    },
    /// The topic has no such partition.
    #[error("Unable to find partition {topic}:{partition}.")]
    UnknownPartition {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// There is nothing to cancel.
    #[error("No partition reassignment is in progress.")]
    NotInProgress,
    /// Nobody would have it.
    #[error("The manual partition assignment includes an empty replica list.")]
    NoReplicas,
    /// A broker that never registered.
    #[error(
        "The manual partition assignment includes broker {node_id}, but no such broker is registered."
    )]
    UnknownBroker {
        /// Its node id.
        node_id: i32,
    },
    /// Nobody can carry records to another broker.
    #[error("The partition is on {current:?} and cannot be moved: no other broker is active.")]
    NowhereToGo {
        /// The node ids that have it.
        current: Vec<i32>,
    },
    /// The same broker again.
    #[error("The manual partition assignment includes the broker {node_id} more than once.")]
    RepeatedBroker {
        /// Its node id.
        node_id: i32,
    },
    /// More or fewer copies, which the request did not allow (KIP-860).
    #[error(
        "The replication factor is {current} and would become {asked}, which the request does not allow."
    )]
    ReplicationFactorChange {
        /// Copies now.
        current: usize,
        /// Copies asked for.
        asked: usize,
    },
}

/// Whether the partition already is as asked, or why it cannot be.
///
/// # Errors
/// In Kafka's order: what does not exist, what is asked wrongly, what nobody can do.
pub fn check_reassignment(
    image: &ClusterImage,
    topic: &str,
    partition: i32,
    asked: Reassignment<'_>,
    replication_factor_may_change: bool,
) -> Result<(), ReassignError> {
    let found = image
        .topic(topic)
        .ok_or_else(|| ReassignError::UnknownTopic {
            topic: topic.to_owned(),
        })?;
    let state = found
        .partition(partition)
        .ok_or_else(|| ReassignError::UnknownPartition {
            topic: topic.to_owned(),
            partition,
        })?;
    let Reassignment::To(replicas) = asked else {
        return Err(ReassignError::NotInProgress);
    };
    check_replicas(image, replicas)?;
    if !replication_factor_may_change && replicas.len() != state.replicas.len() {
        return Err(ReassignError::ReplicationFactorChange {
            current: state.replicas.len(),
            asked: replicas.len(),
        });
    }
    if replicas == state.replicas {
        return Ok(());
    }
    Err(ReassignError::NowhereToGo {
        current: state.replicas.clone(),
    })
}

fn check_replicas(image: &ClusterImage, replicas: &[i32]) -> Result<(), ReassignError> {
    if replicas.is_empty() {
        return Err(ReassignError::NoReplicas);
    }
    let mut sorted = replicas.to_vec();
    sorted.sort_unstable();
    let mut seen = BTreeSet::new();
    for node_id in sorted {
        if !image.brokers.contains_key(&node_id) {
            return Err(ReassignError::UnknownBroker { node_id });
        }
        if !seen.insert(node_id) {
            return Err(ReassignError::RepeatedBroker { node_id });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::image_with_a_topic;

    fn ask(replicas: &[i32], may_change: bool) -> Result<(), ReassignError> {
        let image = image_with_a_topic("t");
        check_reassignment(&image, "t", 0, Reassignment::To(replicas), may_change)
    }

    #[test]
    fn a_partition_that_is_where_it_shall_be_is_done_and_a_copy_elsewhere_is_refused() {
        assert_eq!(ask(&[0], false), Ok(()));
        assert_eq!(ask(&[], false), Err(ReassignError::NoReplicas));
        assert_eq!(
            ask(&[7], false),
            Err(ReassignError::UnknownBroker { node_id: 7 })
        );
        assert_eq!(
            ask(&[0, 0], true),
            Err(ReassignError::RepeatedBroker { node_id: 0 })
        );
        let change = ReassignError::ReplicationFactorChange {
            current: 1,
            asked: 2,
        };
        assert_eq!(ask(&[0, 1], false), Err(change));
        assert_eq!(
            ask(&[1], false),
            Err(ReassignError::NowhereToGo { current: vec![0] })
        );
        assert_eq!(
            ask(&[1, 0], true),
            Err(ReassignError::NowhereToGo { current: vec![0] })
        );
    }

    #[test]
    fn nothing_can_be_cancelled_and_nothing_that_does_not_exist_is_moved() {
        let image = image_with_a_topic("t");
        let check =
            |topic, partition, asked| check_reassignment(&image, topic, partition, asked, true);
        assert_eq!(
            check("t", 0, Reassignment::Cancel),
            Err(ReassignError::NotInProgress)
        );
        assert!(matches!(
            check("u", 0, Reassignment::Cancel),
            Err(ReassignError::UnknownTopic { .. })
        ));
        for partition in [1, -1] {
            let answer = check("t", partition, Reassignment::To(&[0]));
            assert!(matches!(
                answer,
                Err(ReassignError::UnknownPartition { .. })
            ));
        }
    }
}
