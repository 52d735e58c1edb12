//! The one interpreter between the rooms' errors and Kafka's codes. No match has a `_` arm, so a new failure does not
//! compile until somebody decides what a client should do about it.

use cluster::{
    AlterConfigError, AlterQuotaError, ControllerError, CreatePartitionsError, CreateTopicError,
    DeleteTopicError, ElectLeaderError, ReassignError,
};
use coordinator::GroupError;
use coordinator::transactions::TransactionError;
use storage::validate::InvalidBatch;
use storage::{AppendError, ChangeError, ReadError};
use wire::ResponseError;
use wire::batch::{BatchError, MAGIC};

use crate::telemetry::TelemetryError;

/// What a client should do about a batch that is not acceptable as it is. The codes are those that a Kafka 4.4 answers
/// for the same bytes, except where it answers −1 or stores what it cannot read.
pub(crate) fn for_batch(error: &InvalidBatch) -> ResponseError {
    match error {
        // The bytes changed on the way: the client may send them again.
        InvalidBatch::Corrupt(BatchError::InvalidLength { .. })
        | InvalidBatch::WrongChecksum { .. } => ResponseError::CorruptMessage,
        InvalidBatch::UnsupportedMagic { magic } if *magic > MAGIC => ResponseError::CorruptMessage,
        // A client that splits its batches may succeed.
        InvalidBatch::TooLarge { .. } | InvalidBatch::DecompressedTooLarge { .. } => {
            ResponseError::MessageTooLarge
        }
        InvalidBatch::InvalidTimestamp { .. } => ResponseError::InvalidTimestamp,
        InvalidBatch::UnsupportedCodec { .. } => ResponseError::UnsupportedCompressionType,
        InvalidBatch::TransactionWithoutProducer => {
            ResponseError::TransactionalIdAuthorizationFailed
        }
        InvalidBatch::CompressionFailed { .. } => ResponseError::UnknownServerError,
        // Sending it again cannot help.
        InvalidBatch::NoBatch
        | InvalidBatch::Corrupt(_)
        | InvalidBatch::UnsupportedMagic { .. }
        | InvalidBatch::MoreThanOneBatch { .. }
        | InvalidBatch::BaseOffset { .. }
        | InvalidBatch::RecordCount { .. }
        | InvalidBatch::ControlBatch
        | InvalidBatch::DeleteHorizon
        | InvalidBatch::ProducerSequence { .. }
        | InvalidBatch::InvalidRecord { .. }
        | InvalidBatch::RejectedRecords { .. }
        | InvalidBatch::Undecodable(_) => ResponseError::InvalidRecord,
    }
}

pub(crate) fn for_append(error: &AppendError) -> ResponseError {
    match error {
        // A batch was lost on the way; taking this one would hide it (`ProducerAppendInfo.checkSequence`).
        AppendError::OutOfOrderSequence { .. } => ResponseError::OutOfOrderSequenceNumber,
        AppendError::StaleProducerEpoch { .. } => ResponseError::InvalidProducerEpoch,
        AppendError::StaleCoordinatorEpoch { .. } => ResponseError::TransactionCoordinatorFenced,
        AppendError::TransactionConflict { .. } | AppendError::UnverifiedTransaction { .. } => {
            ResponseError::InvalidTxnState
        }
        // The client refreshes its metadata and finds the leader of the newer epoch.
        AppendError::FencedLeaderEpoch { .. } => ResponseError::NotLeaderOrFollower,
        AppendError::Deleted => ResponseError::UnknownTopicOrPartition,
        AppendError::BatchExceedsSegment { .. } => ResponseError::RecordListTooLarge,
        AppendError::InvalidBatch(_) => ResponseError::CorruptMessage,
        // Our disk, not their data: retriable, so a producer that meets a full store succeeds later.
        AppendError::DiskFull { .. } | AppendError::Offline { .. } | AppendError::Engine(_) => {
            ResponseError::KafkaStorageError
        }
    }
}

pub(crate) fn for_read(error: &ReadError) -> ResponseError {
    match error {
        ReadError::OutOfRange { .. } => ResponseError::OffsetOutOfRange,
        ReadError::Corrupt { .. } => ResponseError::CorruptMessage,
        ReadError::Deleted => ResponseError::UnknownTopicOrPartition,
        // `WouldBlock` never reaches a client: the read is repeated where it may block.
        ReadError::WouldBlock | ReadError::Offline { .. } | ReadError::Engine(_) => {
            ResponseError::KafkaStorageError
        }
    }
}

pub(crate) fn for_change(error: &ChangeError) -> ResponseError {
    match error {
        ChangeError::OutOfRange { .. } => ResponseError::OffsetOutOfRange,
        ChangeError::FencedLeaderEpoch { .. } => ResponseError::NotLeaderOrFollower,
        ChangeError::Deleted => ResponseError::UnknownTopicOrPartition,
        ChangeError::Offline { .. } | ChangeError::Engine(_) => ResponseError::KafkaStorageError,
    }
}

fn for_controller(error: &ControllerError) -> ResponseError {
    match error {
        // Reading goes on; the same change may succeed when the store's disk has room again.
        ControllerError::Store(_) => ResponseError::KafkaStorageError,
        // The client looks before it asks again, as after any time-out.
        ControllerError::Unknown { .. } => ResponseError::RequestTimedOut,
        ControllerError::Conflict | ControllerError::Stopped => ResponseError::NotController,
        ControllerError::Unreadable(_) => ResponseError::UnknownServerError,
    }
}

pub(crate) fn for_create_topic(error: &CreateTopicError) -> ResponseError {
    match error {
        CreateTopicError::InvalidName(_) | CreateTopicError::CollidesWith { .. } => {
            ResponseError::InvalidTopicException
        }
        CreateTopicError::AlreadyExists { .. } => ResponseError::TopicAlreadyExists,
        CreateTopicError::DuplicateInRequest { .. } => ResponseError::InvalidRequest,
        CreateTopicError::InvalidPartitions { .. } => ResponseError::InvalidPartitions,
        CreateTopicError::TooManyPartitions { .. } => ResponseError::PolicyViolation,
        CreateTopicError::InvalidReplicationFactor(_) => ResponseError::InvalidReplicationFactor,
        CreateTopicError::InvalidAssignment(_) => ResponseError::InvalidReplicaAssignment,
        CreateTopicError::ConfigTooLarge { .. } => ResponseError::InvalidConfig,
        CreateTopicError::Controller(error) => for_controller(error),
    }
}

pub(crate) fn for_delete_topic(error: &DeleteTopicError) -> ResponseError {
    match error {
        DeleteTopicError::UnknownTopic { .. } => ResponseError::UnknownTopicOrPartition,
        DeleteTopicError::UnknownTopicId { .. } => ResponseError::UnknownTopicId,
        DeleteTopicError::Controller(error) => for_controller(error),
    }
}

pub(crate) fn for_create_partitions(error: &CreatePartitionsError) -> ResponseError {
    match error {
        CreatePartitionsError::UnknownTopic { .. } => ResponseError::UnknownTopicOrPartition,
        CreatePartitionsError::DuplicateInRequest { .. } => ResponseError::InvalidRequest,
        CreatePartitionsError::Unchanged { .. } | CreatePartitionsError::NotAnIncrease { .. } => {
            ResponseError::InvalidPartitions
        }
        CreatePartitionsError::TooManyPartitions { .. } => ResponseError::PolicyViolation,
        CreatePartitionsError::InvalidReplicationFactor(_) => {
            ResponseError::InvalidReplicationFactor
        }
        CreatePartitionsError::InvalidAssignment(_) => ResponseError::InvalidReplicaAssignment,
        CreatePartitionsError::Controller(error) => for_controller(error),
    }
}

pub(crate) fn for_alter_config(error: &AlterConfigError) -> ResponseError {
    match error {
        AlterConfigError::UnknownTopic { .. } => ResponseError::UnknownTopicOrPartition,
        AlterConfigError::InvalidResource { .. } | AlterConfigError::DuplicateInRequest { .. } => {
            ResponseError::InvalidRequest
        }
        // Somebody else was faster; the client's next try works on what is there then.
        AlterConfigError::Changed { .. } => ResponseError::ConcurrentTransactions,
        AlterConfigError::TooLarge { .. } => ResponseError::InvalidConfig,
        AlterConfigError::Controller(error) => for_controller(error),
    }
}

pub(crate) fn for_alter_quota(error: &AlterQuotaError) -> ResponseError {
    match error {
        AlterQuotaError::EmptyEntity
        | AlterQuotaError::UnknownType { .. }
        | AlterQuotaError::EmptyName { .. }
        | AlterQuotaError::MixedIp
        | AlterQuotaError::UnknownHost { .. }
        | AlterQuotaError::UnknownKey { .. }
        | AlterQuotaError::NotFinite { .. }
        | AlterQuotaError::NotPositive { .. }
        | AlterQuotaError::TooLarge { .. }
        | AlterQuotaError::Fractional { .. }
        | AlterQuotaError::DuplicateKey { .. }
        | AlterQuotaError::DuplicateEntity { .. } => ResponseError::InvalidRequest,
        AlterQuotaError::Controller(error) => for_controller(error),
    }
}

pub(crate) fn for_elect_leader(error: &ElectLeaderError) -> ResponseError {
    match error {
        ElectLeaderError::UnknownTopic { .. } | ElectLeaderError::UnknownPartition { .. } => {
            ResponseError::UnknownTopicOrPartition
        }
        ElectLeaderError::NotNeeded => ResponseError::ElectionNotNeeded,
        ElectLeaderError::PreferredNotAvailable => ResponseError::PreferredLeaderNotAvailable,
        ElectLeaderError::NoneEligible => ResponseError::EligibleLeadersNotAvailable,
    }
}

pub(crate) fn for_reassign(error: &ReassignError) -> ResponseError {
    match error {
        ReassignError::UnknownTopic { .. } | ReassignError::UnknownPartition { .. } => {
            ResponseError::UnknownTopicOrPartition
        }
        ReassignError::NotInProgress => ResponseError::NoReassignmentInProgress,
        ReassignError::NoReplicas
        | ReassignError::UnknownBroker { .. }
        | ReassignError::RepeatedBroker { .. }
        | ReassignError::NowhereToGo { .. } => ResponseError::InvalidReplicaAssignment,
        ReassignError::ReplicationFactorChange { .. } => ResponseError::InvalidReplicationFactor,
    }
}

/// What a client should do about a group that refuses. Those APIs whose older versions know fewer codes say so in their
/// handlers.
pub(crate) fn for_group(error: &GroupError) -> ResponseError {
    match error {
        GroupError::InvalidGroupId => ResponseError::InvalidGroupId,
        GroupError::GroupIdNotFound(_) => ResponseError::GroupIdNotFound,
        // The member joins again, as a new one.
        GroupError::UnknownMember => ResponseError::UnknownMemberId,
        GroupError::IllegalGeneration => ResponseError::IllegalGeneration,
        GroupError::RebalanceInProgress => ResponseError::RebalanceInProgress,
        GroupError::MemberIdRequired { .. } => ResponseError::MemberIdRequired,
        GroupError::InconsistentProtocol => ResponseError::InconsistentGroupProtocol,
        // Fatal to the client: somebody else runs under its name.
        GroupError::FencedInstance => ResponseError::FencedInstanceId,
        GroupError::GroupMaxSize => ResponseError::GroupMaxSizeReached,
        GroupError::InvalidSession { .. } => ResponseError::InvalidSessionTimeout,
        GroupError::FencedMemberEpoch(_) => ResponseError::FencedMemberEpoch,
        GroupError::StaleMemberEpoch(_) => ResponseError::StaleMemberEpoch,
        GroupError::UnreleasedInstance(_) => ResponseError::UnreleasedInstanceId,
        GroupError::UnsupportedAssignor(_) => ResponseError::UnsupportedAssignor,
        GroupError::InvalidRegex(_) => ResponseError::InvalidRegularExpression,
        GroupError::NonEmptyGroup => ResponseError::NonEmptyGroup,
        GroupError::OffsetMetadataTooLarge => ResponseError::OffsetMetadataTooLarge,
        GroupError::UnknownTopicOrPartition => ResponseError::UnknownTopicOrPartition,
        GroupError::SubscribedToTopic => ResponseError::GroupSubscribedToTopic,
        // Fatal to the producer, as 90 is.
        GroupError::InvalidProducerEpoch => ResponseError::InvalidProducerEpoch,
        GroupError::InvalidTransactionState => ResponseError::InvalidTxnState,
        GroupError::UnstableOffsetCommit => ResponseError::UnstableOffsetCommit,
        GroupError::UnsupportedVersion => ResponseError::UnsupportedVersion,
        GroupError::InvalidRequest { .. } => ResponseError::InvalidRequest,
        // The three that clients take for a passing state of the coordinator: ask for it again, wait for it, look for it.
        GroupError::CoordinatorUnavailable => ResponseError::CoordinatorNotAvailable,
        GroupError::CoordinatorLoading => ResponseError::CoordinatorLoadInProgress,
        GroupError::NotCoordinator => ResponseError::NotCoordinator,
        GroupError::Internal => ResponseError::UnknownServerError,
    }
}

/// What a client should do about a transaction that refuses. Those APIs whose older versions know fewer codes say so in their
/// handlers (T4).
pub(crate) fn for_transaction(error: &TransactionError) -> ResponseError {
    match error {
        TransactionError::InvalidRequest { .. } => ResponseError::InvalidRequest,
        TransactionError::InvalidTimeout { .. } => ResponseError::InvalidTransactionTimeout,
        TransactionError::InvalidProducerIdMapping => ResponseError::InvalidProducerIdMapping,
        // Fatal to the client: somebody else produces under its transactional id.
        TransactionError::ProducerFenced => ResponseError::ProducerFenced,
        TransactionError::ConcurrentTransactions => ResponseError::ConcurrentTransactions,
        TransactionError::InvalidState { .. } => ResponseError::InvalidTxnState,
        TransactionError::Abortable => ResponseError::TransactionAbortable,
        // The three that clients take for a passing state of the coordinator: ask for it again, wait for it, look for it.
        TransactionError::CoordinatorUnavailable => ResponseError::CoordinatorNotAvailable,
        TransactionError::CoordinatorLoading => ResponseError::CoordinatorLoadInProgress,
        TransactionError::NotCoordinator => ResponseError::NotCoordinator,
        // As for every record that its log cannot take (`TransactionStateManager.appendTransactionToLog`).
        TransactionError::TooManyPartitions { .. } | TransactionError::Internal => {
            ResponseError::UnknownServerError
        }
    }
}

/// What a client should do about refused telemetry (`ClientMetricsManager`, `PushTelemetryRequest`).
pub(crate) fn for_telemetry(error: &TelemetryError) -> ResponseError {
    match error {
        TelemetryError::InvalidInstanceId(_) | TelemetryError::Terminated => {
            ResponseError::InvalidRequest
        }
        TelemetryError::TooSoon => ResponseError::ThrottlingQuotaExceeded,
        // It asks for its subscription again.
        TelemetryError::UnknownSubscription => ResponseError::UnknownSubscriptionId,
        TelemetryError::UnsupportedCompression(_) => ResponseError::UnsupportedCompressionType,
        TelemetryError::TooLarge(_) => ResponseError::TelemetryTooLarge,
        TelemetryError::Unreadable(_) => ResponseError::InvalidRecord,
    }
}
