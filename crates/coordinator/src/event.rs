//! What may happen to groups, and what is answered: requests and replies as plain values, without Kafka's codes or versions.
//!
//! Where a version of a request changes its meaning, the difference has a field of its own, and the broker sets it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::consumer::{ConsumerHeartbeat, ConsumerHeartbeatReply};
use crate::decision::{Producer, Ticket};
use crate::error::GroupError;

/// A request that changes groups. Each is answered exactly once, in this or a later decision, under its ticket.
#[derive(Debug, Clone)]
pub enum Event {
    /// JoinGroup: the answer may wait for the other members.
    Join(Ticket, JoinRequest),
    /// SyncGroup: the answer may wait for the leader.
    Sync(Ticket, SyncRequest),
    /// Heartbeat of a classic member.
    Heartbeat(Ticket, HeartbeatRequest),
    /// LeaveGroup, of one or many members.
    Leave(Ticket, LeaveRequest),
    /// ConsumerGroupHeartbeat: a member of the new protocol joins, goes on or leaves.
    ConsumerHeartbeat(Ticket, ConsumerHeartbeatRequest),
    /// OffsetCommit and TxnOffsetCommit.
    CommitOffsets(Ticket, CommitRequest),
    /// OffsetDelete.
    DeleteOffsets(Ticket, DeleteOffsetsRequest),
    /// DeleteGroups: the ids of those groups that belong to this shard.
    DeleteGroups(Ticket, Vec<String>),
}

/// An answer; of the same kind as the event it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To [`Event::Join`].
    Join(Result<JoinReply, GroupError>),
    /// To [`Event::Sync`].
    Sync(Result<SyncReply, GroupError>),
    /// To [`Event::Heartbeat`]; an error does not mean that the heartbeat did not count.
    Heartbeat(Result<(), GroupError>),
    /// To [`Event::Leave`]: a result for each member named, in their order.
    Leave(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// To [`Event::ConsumerHeartbeat`].
    ConsumerHeartbeat(Result<ConsumerHeartbeatReply, GroupError>),
    /// To [`Event::CommitOffsets`].
    CommitOffsets(Result<Vec<TopicResults>, GroupError>),
    /// To [`Event::DeleteOffsets`].
    DeleteOffsets(Result<Vec<TopicResults>, GroupError>),
    /// To [`Event::DeleteGroups`]: a result for each id, in their order.
    DeleteGroups(Vec<(String, Result<(), GroupError>)>),
}

impl Reply {
    /// The same kind of answer, saying that it failed as a whole.
    #[must_use]
    pub fn failed(&self, error: &GroupError) -> Self {
        let error = error.clone();
        match self {
            Self::Join(_) => Self::Join(Err(error)),
            Self::Sync(_) => Self::Sync(Err(error)),
            Self::Heartbeat(_) => Self::Heartbeat(Err(error)),
            Self::Leave(_) => Self::Leave(Err(error)),
            Self::ConsumerHeartbeat(_) => Self::ConsumerHeartbeat(Err(error)),
            Self::CommitOffsets(_) => Self::CommitOffsets(Err(error)),
            Self::DeleteOffsets(_) => Self::DeleteOffsets(Err(error)),
            Self::DeleteGroups(results) => Self::DeleteGroups(
                results
                    .iter()
                    .map(|(group_id, _)| (group_id.clone(), Err(error.clone())))
                    .collect(),
            ),
        }
    }
}

/// JoinGroup (key 11).
#[derive(Debug, Clone)]
pub struct JoinRequest {
    /// The group.
    pub group_id: String,
    /// The member's id; empty if it has none yet.
    pub member_id: String,
    /// The id it was configured with (KIP-345).
    pub group_instance_id: Option<String>,
    /// The client's id, for its member id and for DescribeGroups.
    pub client_id: String,
    /// The client's address as Java prints it: a slash before it.
    pub client_host: String,
    /// How long the member may be silent.
    pub session_timeout_ms: i32,
    /// How long it needs to join again; version 0 has none, and means the session timeout.
    pub rebalance_timeout_ms: i32,
    /// "consumer", "connect", ….
    pub protocol_type: String,
    /// What it can do, best first: name and metadata.
    pub protocols: Vec<(String, Bytes)>,
    /// The client's reason (KIP-800), for the log.
    pub reason: Option<String>,
    /// Version 4 on: a new dynamic member is first told its id and joins again with it (KIP-394).
    pub requires_known_member_id: bool,
    /// Version 9 on: a static leader that comes back is told to leave the assignment alone (KIP-814).
    pub supports_skipping_assignment: bool,
}

/// The member is in the generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinReply {
    /// The generation.
    pub generation: i32,
    /// The group's protocol type.
    pub protocol_type: Option<String>,
    /// The protocol all members can speak.
    pub protocol_name: Option<String>,
    /// The member that is to assign.
    pub leader: String,
    /// The leader is not to assign this time (KIP-814).
    pub skip_assignment: bool,
    /// The member's own id.
    pub member_id: String,
    /// All members, for the leader alone.
    pub members: Vec<JoinedMember>,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// The member's id.
    pub member_id: String,
    /// The id it was configured with.
    pub group_instance_id: Option<String>,
    /// What it sent for the chosen protocol.
    pub metadata: Bytes,
}

/// SyncGroup (key 14).
#[derive(Debug, Clone)]
pub struct SyncRequest {
    /// The group.
    pub group_id: String,
    /// The generation the member joined.
    pub generation: i32,
    /// The member's id.
    pub member_id: String,
    /// The id it was configured with.
    pub group_instance_id: Option<String>,
    /// What the member believes the protocol type to be (version 5 on).
    pub protocol_type: Option<String>,
    /// What the member believes the protocol to be (version 5 on).
    pub protocol_name: Option<String>,
    /// From the leader: what each member gets.
    pub assignments: Vec<(String, Bytes)>,
}

/// What the member has to do in this generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncReply {
    /// The group's protocol type.
    pub protocol_type: Option<String>,
    /// The group's protocol.
    pub protocol_name: Option<String>,
    /// What the leader gave the member; empty if it gave nothing.
    pub assignment: Bytes,
}

/// Heartbeat (key 12).
#[derive(Debug, Clone)]
pub struct HeartbeatRequest {
    /// The group.
    pub group_id: String,
    /// The generation the member is in.
    pub generation: i32,
    /// The member's id.
    pub member_id: String,
    /// The id it was configured with.
    pub group_instance_id: Option<String>,
}

/// LeaveGroup (key 13).
#[derive(Debug, Clone)]
pub struct LeaveRequest {
    /// The group.
    pub group_id: String,
    /// Who leaves; before version 3 there is one.
    pub members: Vec<LeavingMember>,
}

/// One that leaves.
#[derive(Debug, Clone)]
pub struct LeavingMember {
    /// The member's id; empty where an administrator names a static member by its instance id.
    pub member_id: String,
    /// The id it was configured with.
    pub group_instance_id: Option<String>,
    /// Why (KIP-800), for the log.
    pub reason: Option<String>,
}

/// ConsumerGroupHeartbeat (key 68).
#[derive(Debug, Clone)]
pub struct ConsumerHeartbeatRequest {
    /// The group.
    pub group_id: String,
    /// What the member says.
    pub heartbeat: ConsumerHeartbeat,
    /// Version 1 on: the client makes its own member id, and an empty one is refused.
    pub brings_member_id: bool,
    /// Topics the client may describe: a pattern finds no others. `None`: any.
    pub may_describe: Option<TopicFilter>,
}

/// Which topics a client may know of.
#[derive(Clone)]
pub struct TopicFilter(pub Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl fmt::Debug for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TopicFilter")
    }
}

/// OffsetCommit (key 8), and TxnOffsetCommit (key 28).
#[derive(Debug, Clone)]
pub struct CommitRequest {
    /// The group; may be empty, as older clients of no group have it.
    pub group_id: String,
    /// The generation, or the member epoch of KIP-848; below 0 outside any membership.
    pub generation_or_epoch: i32,
    /// The member's id; may be empty.
    pub member_id: String,
    /// The id it was configured with.
    pub group_instance_id: Option<String>,
    /// How long to keep the offsets, in milliseconds (versions 2 to 4); `None` for the broker's retention.
    pub retention_time_ms: Option<i64>,
    /// Version 9 on, where an absent group and a stale member epoch have errors of their own.
    pub knows_new_group_errors: bool,
    /// TxnOffsetCommit: the offsets are part of this producer's transaction, and pending until it ends.
    pub transaction: Option<Producer>,
    /// What is committed.
    pub topics: Vec<(String, Vec<PartitionCommit>)>,
}

/// One offset to be committed.
#[derive(Debug, Clone)]
pub struct PartitionCommit {
    /// The partition's index.
    pub partition: i32,
    /// The next offset the group will read.
    pub offset: i64,
    /// The leader epoch of the last record read; −1 if unknown.
    pub leader_epoch: i32,
    /// The client's own text.
    pub metadata: Option<String>,
}

/// OffsetDelete (key 47).
#[derive(Debug, Clone)]
pub struct DeleteOffsetsRequest {
    /// The group.
    pub group_id: String,
    /// Topics with the indexes of their partitions.
    pub topics: Vec<(String, Vec<i32>)>,
}

/// What became of the partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicResults {
    /// The topic's name.
    pub topic: String,
    /// Index and result, in the request's order.
    pub partitions: Vec<(i32, Result<(), GroupError>)>,
}

/// OffsetFetch (key 9), for one group.
#[derive(Debug, Clone)]
pub struct FetchOffsetsRequest {
    /// The group; may be empty.
    pub group_id: String,
    /// The member's id (version 9 on), if it says so.
    pub member_id: Option<String>,
    /// The member's epoch (version 9 on); −1 if it does not say.
    pub member_epoch: i32,
    /// Topics with the indexes of their partitions; `None` for all there are.
    pub topics: Option<Vec<(String, Vec<i32>)>>,
    /// Offsets of open transactions make a partition unstable rather than show the offset before them.
    pub require_stable: bool,
}

/// The committed offsets of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicOffsets {
    /// The topic's name.
    pub topic: String,
    /// The topic's id when the offsets were committed; nil if unknown, or if there are none.
    pub topic_id: Uuid,
    /// Index and offset; `None` where nothing is committed.
    pub partitions: Vec<(i32, Result<Option<FetchedOffset>, GroupError>)>,
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedOffset {
    /// The next offset the group will read.
    pub offset: i64,
    /// The leader epoch of the last record read; −1 if unknown.
    pub leader_epoch: i32,
    /// The client's own text.
    pub metadata: String,
}

/// Which groups ListGroups asks for (key 16); an empty list asks for all.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// States by their Kafka names, whatever the case (KIP-518).
    pub states: Vec<String>,
    /// Types by their Kafka names, whatever the case (KIP-848).
    pub types: Vec<String>,
}

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group's id.
    pub group_id: String,
    /// The protocol type; empty if no member has ever joined.
    pub protocol_type: String,
    /// The state's name in Kafka.
    pub state: &'static str,
    /// "classic" or "consumer".
    pub group_type: &'static str,
}

/// A classic group as DescribeGroups (key 15) shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicDescription {
    /// The state's name in Kafka.
    pub state: &'static str,
    /// The protocol type; empty if no member has ever joined.
    pub protocol_type: String,
    /// The protocol; empty unless the group is stable.
    pub protocol: String,
    /// The members.
    pub members: Vec<DescribedMember>,
}

/// A member as DescribeGroups shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    /// The member's id.
    pub member_id: String,
    /// The id it was configured with.
    pub group_instance_id: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// The client's address.
    pub client_host: String,
    /// What it sent for the group's protocol; empty unless the group is stable.
    pub metadata: Bytes,
    /// What it was given.
    pub assignment: Bytes,
}
