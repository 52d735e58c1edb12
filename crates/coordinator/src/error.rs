//! Why a coordinator refuses. Facts, not Kafka's codes: the broker translates.

/// Why a request on a group fails. Each variant is one meaning; its number in Kafka's protocol is the broker's business.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The group id is empty where a group is needed.
    #[error("the group id is empty")]
    InvalidGroupId,
    /// No group of that name, or one of the other type.
    #[error("{0}")]
    GroupIdNotFound(String),
    /// The group has no such member, or does not exist.
    #[error("the group has no such member")]
    UnknownMember,
    /// The generation named is not the group's.
    #[error("the generation is not the group's current one")]
    IllegalGeneration,
    /// A rebalance is going on: the member has to join again.
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    /// A new dynamic member has to join again under the id given here (KIP-394).
    #[error("join again as {member_id}")]
    MemberIdRequired {
        /// The id made for the member.
        member_id: String,
    },
    /// The protocol type or every protocol offered is foreign to the group.
    #[error("no protocol in common with the group")]
    InconsistentProtocol,
    /// Another member now holds this instance id (KIP-345).
    #[error("the instance id belongs to another member now")]
    FencedInstance,
    /// The group holds as many members as it may.
    #[error("the group is full")]
    GroupMaxSize,
    /// The session timeout is outside what the broker allows.
    #[error("the session timeout {session_timeout_ms} ms is outside the allowed range")]
    InvalidSession {
        /// What was asked for.
        session_timeout_ms: i32,
    },
    /// The member's epoch is one the member cannot have: it has to join anew (KIP-848).
    #[error("{0}")]
    FencedMemberEpoch(String),
    /// The member's epoch is behind, or ahead of, the one known (KIP-848).
    #[error("{0}")]
    StaleMemberEpoch(String),
    /// The instance id is still in use by another member (KIP-848).
    #[error("{0}")]
    UnreleasedInstance(String),
    /// No such assignor on this broker (KIP-848).
    #[error("{0}")]
    UnsupportedAssignor(String),
    /// The subscribed pattern is no regular expression (KIP-848).
    #[error("{0}")]
    InvalidRegex(String),
    /// The group still has members.
    #[error("the group is not empty")]
    NonEmptyGroup,
    /// The metadata beside an offset is longer than `offset.metadata.max.bytes`.
    #[error("the metadata of the offset is too large")]
    OffsetMetadataTooLarge,
    /// No such topic or partition.
    #[error("unknown topic or partition")]
    UnknownTopicOrPartition,
    /// A member of the group is subscribed to the topic.
    #[error("the group is subscribed to the topic")]
    SubscribedToTopic,
    /// The producer's epoch is older than one that the log has seen: another instance of it is at work.
    #[error("the producer's epoch is an old one")]
    InvalidProducerEpoch,
    /// The transaction is not in a state to take the offsets.
    #[error("the transaction cannot take these offsets now")]
    InvalidTransactionState,
    /// A transaction holds the offset back; ask again.
    #[error("the offset is part of an open transaction")]
    UnstableOffsetCommit,
    /// The request's version cannot say what this kind of group needs to know.
    #[error("the request's version does not serve this kind of group")]
    UnsupportedVersion,
    /// The request contradicts itself.
    #[error("{reason}")]
    InvalidRequest {
        /// What is wrong with it, for the client's log.
        reason: String,
    },
    /// What was decided could not be stored; trying again may help.
    #[error("the coordinator cannot store its decision now")]
    CoordinatorUnavailable,
    /// The state is still being read from the log.
    #[error("the coordinator is loading")]
    CoordinatorLoading,
    /// Another broker coordinates this group.
    #[error("this broker does not coordinate the group")]
    NotCoordinator,
    /// The decision is too large for the log, or the broker is at fault; trying again does not help.
    #[error("the coordinator failed")]
    Internal,
}
