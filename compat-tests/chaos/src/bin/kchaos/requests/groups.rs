//! Groups: what they have committed, and membership by hand.

use std::collections::BTreeMap;

use wire::Bytes;
use wire::messages::join_group_request::JoinGroupRequestProtocol;
use wire::messages::offset_commit_request::OffsetCommitRequestPartition;
use wire::messages::sync_group_request::SyncGroupRequestAssignment;
use wire::messages::{HeartbeatRequest, JoinGroupRequest, SyncGroupRequest};
use wire::offset_commit::{OffsetCommitRequest, OffsetCommitRequestTopic};
use wire::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics};

use super::metadata::coordinator;
use super::{GROUP, missing, text};
use crate::raw::{Answer, Raw, checked};

/// What a group has committed, once no transaction is open on it; partitions without an offset are left out.
pub(crate) async fn committed(
    raw: &mut Raw,
    group: &str,
    topic: &str,
    partitions: i32,
) -> Answer<BTreeMap<i32, i64>> {
    let address = coordinator(raw, GROUP, group).await?;
    let asked = OffsetFetchRequestTopics {
        name: text(topic).into(),
        partition_indexes: (0..partitions).collect(),
        ..OffsetFetchRequestTopics::default()
    };
    let request = OffsetFetchRequest {
        group_id: text("").into(),
        topics: Some(Vec::new()),
        groups: vec![OffsetFetchRequestGroup {
            group_id: text(group).into(),
            member_id: None,
            member_epoch: -1,
            topics: Some(vec![asked]),
            unknown_tagged_fields: BTreeMap::new(),
        }],
        require_stable: true,
        unknown_tagged_fields: BTreeMap::new(),
    };
    let answer = raw.call(&address, &request, 8).await?;
    let group = answer.groups.first().ok_or_else(|| missing("group"))?;
    checked(group.error_code)?;
    let mut offsets = BTreeMap::new();
    for partition in group.topics.iter().flat_map(|topic| &topic.partitions) {
        checked(partition.error_code)?;
        if partition.committed_offset >= 0 {
            offsets.insert(partition.partition_index, partition.committed_offset);
        }
    }
    Ok(offsets)
}

/// What a member learned by joining.
pub(crate) struct Joined {
    pub(crate) member_id: String,
    pub(crate) generation: i32,
    /// All members, for the leader.
    pub(crate) members: Vec<String>,
}

/// Joins a classic group of our own protocol, and says with which error code.
pub(crate) async fn join(raw: &mut Raw, group: &str, member_id: &str) -> Answer<(i16, Joined)> {
    let address = coordinator(raw, GROUP, group).await?;
    let protocol = JoinGroupRequestProtocol::default().with_name(text("by-hand"));
    let request = JoinGroupRequest::default()
        .with_group_id(text(group).into())
        .with_session_timeout_ms(3_000)
        .with_rebalance_timeout_ms(2_000)
        .with_member_id(text(member_id))
        .with_protocol_type(text("kchaos"))
        .with_protocols(vec![protocol]);
    let answer = raw.call(&address, &request, 5).await?;
    let members = answer.members.iter();
    let joined = Joined {
        member_id: answer.member_id.to_string(),
        generation: answer.generation_id,
        members: members.map(|member| member.member_id.to_string()).collect(),
    };
    Ok((answer.error_code, joined))
}

/// What the member is given, by the shares that its leader gives.
pub(crate) async fn sync(
    raw: &mut Raw,
    group: &str,
    joined: &Joined,
    shares: Vec<(String, String)>,
) -> Answer<String> {
    let address = coordinator(raw, GROUP, group).await?;
    let assignment = |(member, share): (String, String)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(&member))
            .with_assignment(Bytes::from(share))
    };
    let request = SyncGroupRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id(joined.generation)
        .with_member_id(text(&joined.member_id))
        .with_assignments(shares.into_iter().map(assignment).collect());
    let answer = raw.call(&address, &request, 3).await?;
    checked(answer.error_code)?;
    Ok(String::from_utf8_lossy(&answer.assignment).into_owned())
}

pub(crate) async fn heartbeat(raw: &mut Raw, group: &str, joined: &Joined) -> Answer<()> {
    let address = coordinator(raw, GROUP, group).await?;
    let request = HeartbeatRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id(joined.generation)
        .with_member_id(text(&joined.member_id));
    checked(raw.call(&address, &request, 3).await?.error_code)
}

/// Commits as a member, outside transactions.
pub(crate) async fn commit(
    raw: &mut Raw,
    group: &str,
    joined: &Joined,
    topic: &str,
    offsets: &BTreeMap<i32, i64>,
) -> Answer<()> {
    let address = coordinator(raw, GROUP, group).await?;
    let partition = |(partition, offset): (&i32, &i64)| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(*partition)
            .with_committed_offset(*offset)
            .with_committed_leader_epoch(-1)
    };
    let topic = OffsetCommitRequestTopic {
        name: text(topic).into(),
        partitions: offsets.iter().map(partition).collect(),
        ..OffsetCommitRequestTopic::default()
    };
    let request = OffsetCommitRequest {
        group_id: text(group).into(),
        generation_id_or_member_epoch: joined.generation,
        member_id: text(&joined.member_id),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    let answer = raw.call(&address, &request, 8).await?;
    let mut codes = answer
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|one| one.error_code);
    codes.find(|code| *code != 0).map_or(Ok(()), checked)
}
