//! The limits of groups; the broker fills them from its configuration keys of the same names.

/// Limits and defaults of groups. `Default` is Kafka 4.4's.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members than its first.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`: members of one classic group.
    pub max_size: i32,
    /// How long a member that joins may wait for the barrier before it counts as gone. Not configurable in Kafka: five
    /// minutes (`GroupMetadataManager`).
    pub new_member_join_timeout_ms: i32,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`: how often a group's offsets are looked over.
    pub offsets_retention_check_interval_ms: i64,
    /// `offset.metadata.max.bytes`; compared, as in Kafka, with the length in UTF-16 units.
    pub offset_metadata_max_bytes: i32,
    /// Groups of the new protocol.
    pub consumer: ConsumerGroupOptions,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: i32::MAX,
            new_member_join_timeout_ms: 5 * 60 * 1_000,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1_000,
            offsets_retention_check_interval_ms: 600_000,
            offset_metadata_max_bytes: 4_096,
            consumer: ConsumerGroupOptions::default(),
        }
    }
}

/// Limits and defaults of KIP-848 groups. `Default` is Kafka 4.4's.
#[derive(Debug, Clone)]
pub struct ConsumerGroupOptions {
    /// `group.consumer.session.timeout.ms`: default of the group config `consumer.session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// `group.consumer.min.session.timeout.ms`.
    pub min_session_timeout_ms: i32,
    /// `group.consumer.max.session.timeout.ms`.
    pub max_session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`: default of the group config `consumer.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i32,
    /// `group.consumer.min.heartbeat.interval.ms`.
    pub min_heartbeat_interval_ms: i32,
    /// `group.consumer.max.heartbeat.interval.ms`.
    pub max_heartbeat_interval_ms: i32,
    /// `group.consumer.max.size`.
    pub max_size: i32,
    /// `group.consumer.assignors`: names, the default first.
    pub assignors: Vec<String>,
    /// `group.consumer.migration.policy`.
    pub migration_policy: MigrationPolicy,
    /// `group.consumer.assignment.interval.ms`: default of the group config `consumer.assignment.interval.ms`.
    pub assignment_interval_ms: i32,
    /// `group.consumer.min.assignment.interval.ms`.
    pub min_assignment_interval_ms: i32,
    /// `group.consumer.max.assignment.interval.ms`.
    pub max_assignment_interval_ms: i32,
    /// `group.consumer.regex.refresh.interval.ms`: how long the topics found for a pattern count.
    pub regex_refresh_interval_ms: i32,
}

impl Default for ConsumerGroupOptions {
    fn default() -> Self {
        Self {
            session_timeout_ms: 45_000,
            min_session_timeout_ms: 45_000,
            max_session_timeout_ms: 60_000,
            heartbeat_interval_ms: 5_000,
            min_heartbeat_interval_ms: 5_000,
            max_heartbeat_interval_ms: 15_000,
            max_size: i32::MAX,
            assignors: vec!["uniform".to_owned(), "range".to_owned()],
            migration_policy: MigrationPolicy::Bidirectional,
            assignment_interval_ms: 1_000,
            min_assignment_interval_ms: 0,
            max_assignment_interval_ms: 15_000,
            regex_refresh_interval_ms: 600_000,
        }
    }
}

/// Whether a group may change between the classic protocol and KIP-848's while it has members
/// (`ConsumerGroupMigrationPolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Both ways.
    Bidirectional,
    /// Only to KIP-848.
    Upgrade,
    /// Only to classic.
    Downgrade,
    /// Never; only an empty group changes.
    Disabled,
}

impl MigrationPolicy {
    /// Whether a classic group with members may become a consumer group.
    #[must_use]
    pub fn may_upgrade(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Upgrade)
    }

    /// Whether a consumer group of classic members only may become a classic group.
    #[must_use]
    pub fn may_downgrade(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Downgrade)
    }
}
