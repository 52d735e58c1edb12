//! What a shard counts for the metrics; the broker exports it under its own names.

use std::collections::BTreeMap;

/// Why a classic group began to rebalance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RebalanceReason {
    /// A new member joined.
    MemberJoined,
    /// A member joined again: the leader, or one with other metadata.
    MemberRejoined,
    /// A static member came back with protocols that change the group's choice, or while the leader was assigning.
    StaticMemberReplaced,
    /// A member left, or was removed by an administrator.
    MemberLeft,
    /// A member was silent for longer than its session timeout.
    SessionExpired,
    /// A member joined but never asked for its assignment.
    SyncMissing,
    /// The assignment could not be stored.
    AppendFailed,
    /// A group read from the log is larger than the limit now is.
    OverCapacity,
}

impl RebalanceReason {
    /// All reasons, in the order of [`GroupStats::rebalances`].
    pub const ALL: [Self; 8] = [
        Self::MemberJoined,
        Self::MemberRejoined,
        Self::StaticMemberReplaced,
        Self::MemberLeft,
        Self::SessionExpired,
        Self::SyncMissing,
        Self::AppendFailed,
        Self::OverCapacity,
    ];

    /// The value of the metric's label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::MemberJoined => "member_joined",
            Self::MemberRejoined => "member_rejoined",
            Self::StaticMemberReplaced => "static_member_replaced",
            Self::MemberLeft => "member_left",
            Self::SessionExpired => "session_expired",
            Self::SyncMissing => "sync_missing",
            Self::AppendFailed => "append_failed",
            Self::OverCapacity => "over_capacity",
        }
    }
}

/// How many durations a shard keeps for a broker that does not collect them.
const DURATIONS_KEPT: usize = 1_024;

/// A rebalance that came to its end: every member has what it shall have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedRebalance {
    /// The group's type, as ListGroups names it.
    pub group_type: &'static str,
    /// Why it began; what came in between is not told. Of the words of [`GroupStats`].
    pub reason: &'static str,
    /// From the first reason on, in milliseconds.
    pub duration_ms: i64,
}

/// What only ever grows, since the shard was made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters {
    pub(crate) rebalances: [u64; RebalanceReason::ALL.len()],
    pub(crate) ended_rebalances: Vec<EndedRebalance>,
    /// Epoch bumps of consumer groups that are gone; those of the others are with the groups.
    pub(crate) consumer_rebalances: BTreeMap<&'static str, u64>,
    pub(crate) offset_commits: u64,
    pub(crate) offset_deletions: u64,
    pub(crate) offset_expirations: u64,
    pub(crate) records_ignored: u64,
    pub(crate) records_refused: u64,
}

impl Counters {
    pub(crate) fn rebalance_began(&mut self, reason: RebalanceReason) {
        self.rebalances[reason as usize] += 1;
    }

    pub(crate) fn rebalance_ended(&mut self, ended: EndedRebalance) {
        if self.ended_rebalances.len() < DURATIONS_KEPT {
            self.ended_rebalances.push(ended);
        }
    }
}

/// A shard at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupStats {
    /// Groups by type and state, as ListGroups names them; states without groups are absent.
    pub groups: Vec<(&'static str, &'static str, u64)>,
    /// Members of all groups.
    pub members: u64,
    /// Committed offsets.
    pub offsets: u64,
    /// Rebalances begun by classic groups, in the order of [`RebalanceReason::ALL`].
    pub rebalances: [u64; RebalanceReason::ALL.len()],
    /// Epochs begun by consumer groups, by reason (a small closed set of words).
    pub consumer_rebalances: BTreeMap<&'static str, u64>,
    /// Offsets accepted.
    pub offset_commits: u64,
    /// Offsets removed by OffsetDelete and DeleteGroups.
    pub offset_deletions: u64,
    /// Offsets removed by retention or with their topic.
    pub offset_expirations: u64,
    /// Records of kinds this broker has no use for.
    pub records_ignored: u64,
    /// Records that could not be read.
    pub records_refused: u64,
}
