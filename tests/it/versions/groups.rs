//! Groups and their offsets.

use std::time::Duration;

use bytes::Bytes;
use tidewater_tests::topic_name;
use uuid::Uuid;
use wire::StrBytes;
use wire::delete_groups::DeleteGroupsRequest;
use wire::messages::join_group_request::JoinGroupRequestProtocol;
use wire::messages::leave_group_request::MemberIdentity;
use wire::messages::offset_commit_request::OffsetCommitRequestPartition;
use wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use wire::messages::offset_fetch_request::OffsetFetchRequestTopic;
use wire::messages::sync_group_request::SyncGroupRequestAssignment;
use wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use wire::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, DescribeGroupsRequest,
    FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    ListGroupsRequest, OffsetDeleteRequest, SyncGroupRequest, TransactionalId,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use wire::offset_commit::{OffsetCommitRequest, OffsetCommitRequestTopic};
use wire::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics};

use super::{Asker, text};

/// Of a producer that no coordinator of transactions knows.
async fn offsets_in_transactions(asker: &mut Asker) {
    let commit = |version| {
        let partition = |index| {
            TxnOffsetCommitRequestPartition::default()
                .with_partition_index(index)
                .with_committed_offset(5)
                .with_committed_leader_epoch(if version >= 2 { 3 } else { -1 })
                .with_committed_metadata(Some(text("metadata")))
        };
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(topic_name("orders"))
            .with_partitions(vec![partition(0), partition(9)]);
        TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(text("nobody")))
            .with_group_id(group("there"))
            .with_topics(vec![topic])
    };
    let codes = |answer: TxnOffsetCommitResponse| -> Vec<(i32, i16)> {
        let partitions = answer.topics[0].partitions.iter();
        partitions
            .map(|it| (it.partition_index, it.error_code))
            .collect()
    };
    let unknown_producer = [(0, 49), (9, 3)];
    // Who asks first has the topic made where transactions are kept.
    let found = FindCoordinatorRequest::default()
        .with_key_type(1)
        .with_coordinator_keys(vec![text("nobody")]);
    let there = async {
        while codes(asker.client.call_at(&commit(3), 3).await) != unknown_producer {
            asker.client.call(&found).await;
        }
    };
    let there = tokio::time::timeout(Duration::from_secs(30), there).await;
    assert!(there.is_ok(), "no coordinator of transactions");
    asker
        .every(0, commit, |version, answer| {
            assert_eq!(
                codes(answer),
                unknown_producer,
                "TxnOffsetCommit v{version}"
            );
        })
        .await;
}

/// What there is of a group, and what is refused; "there" is a group with one member.
struct Member {
    group: &'static str,
    id: StrBytes,
    generation: i32,
}

fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

async fn group_members(asker: &mut Asker) -> Member {
    let join = |group_id: &str, member: &StrBytes| {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(b"metadata"));
        JoinGroupRequest::default()
            .with_group_id(group(group_id))
            .with_member_id(member.clone())
            .with_session_timeout_ms(30_000)
            .with_rebalance_timeout_ms(30_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol])
    };
    // Before version 4 a member is let in at once, and a member that is known joins again under its id.
    let first = asker.client.call_at(&join("there", &text("")), 3).await;
    let member = Member {
        group: "there",
        id: first.member_id,
        generation: first.generation_id,
    };
    for (name, code) in [("there", 0), ("", 24)] {
        let request = |version| {
            let request = join(name, &member.id);
            if version >= 1 {
                request
            } else {
                request.with_rebalance_timeout_ms(-1)
            }
        };
        asker
            .every(0, request, |version, answer| {
                assert_eq!(answer.error_code, code, "JoinGroup v{version}");
                assert_eq!(answer.members.len(), usize::from(code == 0));
            })
            .await;
    }
    let now = asker.client.call_at(&join("there", &member.id), 3).await;
    let member = Member {
        generation: now.generation_id,
        ..member
    };
    for (generation, code) in [(member.generation, 0), (99, 22)] {
        let sync = |version| {
            let assignment = SyncGroupRequestAssignment::default()
                .with_member_id(member.id.clone())
                .with_assignment(Bytes::from_static(b"assignment"));
            let request = SyncGroupRequest::default()
                .with_group_id(group(member.group))
                .with_generation_id(generation)
                .with_member_id(member.id.clone())
                .with_assignments(vec![assignment]);
            if version >= 5 {
                request
                    .with_protocol_type(Some(text("consumer")))
                    .with_protocol_name(Some(text("range")))
            } else {
                request
            }
        };
        asker
            .every(0, sync, |version, answer| {
                assert_eq!(answer.error_code, code, "SyncGroup v{version}");
                assert_eq!(answer.assignment.is_empty(), code != 0);
            })
            .await;
        let heartbeat = |_| {
            HeartbeatRequest::default()
                .with_group_id(group(member.group))
                .with_generation_id(generation)
                .with_member_id(member.id.clone())
        };
        asker
            .every(0, heartbeat, |version, answer| {
                assert_eq!(answer.error_code, code, "Heartbeat v{version}");
            })
            .await;
    }
    member
}

async fn group_offsets(asker: &mut Asker, member: &Member) {
    let id = asker.id;
    offsets_in_transactions(asker).await;
    for (name, code) in [("orders", 0), ("nowhere", 3)] {
        let commit = |version| {
            let partition = OffsetCommitRequestPartition::default()
                .with_committed_offset(5)
                .with_committed_leader_epoch(if version >= 6 { 3 } else { -1 })
                .with_committed_metadata(Some(text("metadata")));
            let mut topic = OffsetCommitRequestTopic {
                name: topic_name(name),
                partitions: vec![partition],
                ..OffsetCommitRequestTopic::default()
            };
            if version >= 10 && name == "orders" {
                topic.topic_id = id;
            }
            OffsetCommitRequest {
                group_id: group(member.group),
                generation_id_or_member_epoch: member.generation,
                member_id: member.id.clone(),
                topics: vec![topic],
                ..OffsetCommitRequest::default()
            }
        };
        asker
            .every(2, commit, |version, answer| {
                let code = if version >= 10 && code != 0 {
                    100
                } else {
                    code
                };
                let partition = &answer.topics[0].partitions[0];
                assert_eq!(partition.error_code, code, "OffsetCommit v{version}");
            })
            .await;
        let fetch = |version| fetch_offsets(version, "there", name, id);
        asker
            .every(1, fetch, |version, answer| {
                let (offset, metadata, found) = match answer.groups.first() {
                    Some(group) => {
                        let partition = &group.topics[0].partitions[0];
                        let code = partition.error_code;
                        (partition.committed_offset, partition.metadata.clone(), code)
                    }
                    None => {
                        let partition = &answer.topics[0].partitions[0];
                        let code = partition.error_code;
                        (partition.committed_offset, partition.metadata.clone(), code)
                    }
                };
                let expected = if name == "orders" {
                    (5, "metadata")
                } else {
                    (-1, "")
                };
                assert_eq!(
                    (offset, metadata.as_deref().map(AsRef::as_ref)),
                    (expected.0, Some(expected.1)),
                    "OffsetFetch v{version}"
                );
                let code = if version >= 10 && code != 0 { 100 } else { 0 };
                assert_eq!(found, code, "OffsetFetch v{version}");
            })
            .await;
    }
    let delete = |_| {
        let partition = OffsetDeleteRequestPartition::default();
        let topic = OffsetDeleteRequestTopic::default()
            .with_name(topic_name("nowhere"))
            .with_partitions(vec![partition]);
        OffsetDeleteRequest::default()
            .with_group_id(group(member.group))
            .with_topics(vec![topic])
    };
    asker
        .every(0, delete, |_, answer| {
            assert_eq!(answer.topics[0].partitions[0].error_code, 3);
        })
        .await;
}

fn fetch_offsets(version: i16, group_id: &str, topic: &str, id: Uuid) -> OffsetFetchRequest {
    if version < 8 {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(topic_name(topic))
            .with_partition_indexes(vec![0]);
        return OffsetFetchRequest {
            group_id: group(group_id),
            topics: Some(vec![topic]),
            ..OffsetFetchRequest::default()
        };
    }
    let mut wanted = OffsetFetchRequestTopics {
        name: topic_name(topic),
        partition_indexes: vec![0],
        ..OffsetFetchRequestTopics::default()
    };
    if version >= 10 && topic == "orders" {
        wanted.topic_id = id;
    }
    let group = OffsetFetchRequestGroup {
        group_id: group(group_id),
        topics: Some(vec![wanted]),
        ..OffsetFetchRequestGroup::default()
    };
    OffsetFetchRequest {
        groups: vec![group],
        ..OffsetFetchRequest::default()
    }
}

pub(super) async fn groups(asker: &mut Asker) {
    // Coordinators that were made a moment ago may still be loading.
    while asker
        .client
        .call(&ListGroupsRequest::default())
        .await
        .error_code
        != 0
    {}
    let member = group_members(asker).await;
    group_offsets(asker, &member).await;
    let describe = |version| {
        DescribeGroupsRequest::default()
            .with_groups(vec![group("there"), group("nowhere")])
            .with_include_authorized_operations(version >= 3)
    };
    asker
        .every(0, describe, |version, answer| {
            let states: Vec<_> = answer
                .groups
                .iter()
                .map(|it| it.group_state.as_str())
                .collect();
            assert_eq!(states, ["Stable", "Dead"], "DescribeGroups v{version}");
            let code = if version >= 6 { 69 } else { 0 };
            assert_eq!(
                answer.groups[1].error_code, code,
                "DescribeGroups v{version}"
            );
        })
        .await;
    let list = |_| ListGroupsRequest::default();
    asker
        .every(0, list, |version, answer| {
            assert_eq!(answer.groups.len(), 1, "ListGroups v{version}");
        })
        .await;
    let delete = |_| DeleteGroupsRequest {
        groups_names: vec![group("there"), group("nowhere")],
        ..DeleteGroupsRequest::default()
    };
    asker
        .every(0, delete, |version, answer| {
            let codes: Vec<_> = answer.results.iter().map(|it| it.error_code).collect();
            assert_eq!(codes, [68, 69], "DeleteGroups v{version}");
        })
        .await;
    let leave = |version| {
        let request = LeaveGroupRequest::default().with_group_id(group("there"));
        if version >= 3 {
            let member = MemberIdentity::default().with_member_id(text("nobody"));
            request.with_members(vec![member])
        } else {
            request.with_member_id(text("nobody"))
        }
    };
    asker
        .every(0, leave, |version, answer| {
            let members = answer.members.first().map(|it| it.error_code);
            let code = members.unwrap_or(answer.error_code);
            assert_eq!(code, 25, "LeaveGroup v{version}");
        })
        .await;
}

pub(super) async fn consumer_groups(asker: &mut Asker) {
    // The first version lets the broker name the member, the second has the member bring its name.
    let heartbeat = |version| {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group("modern"))
            .with_member_id(text(if version >= 1 { "me" } else { "" }))
            .with_rebalance_timeout_ms(30_000)
            .with_subscribed_topic_names(Some(vec![topic_name("orders")]))
            .with_topic_partitions(Some(Vec::new()))
    };
    asker
        .every(0, heartbeat, |version, answer| {
            let message = answer.error_message;
            assert_eq!(
                answer.error_code, 0,
                "ConsumerGroupHeartbeat v{version}: {message:?}"
            );
        })
        .await;
    let nobody = |version| {
        heartbeat(version)
            .with_member_epoch(7)
            .with_member_id(text("nobody"))
    };
    asker
        .every(0, nobody, |version, answer| {
            assert_eq!(answer.error_code, 25, "ConsumerGroupHeartbeat v{version}");
        })
        .await;
    let describe = |_| {
        ConsumerGroupDescribeRequest::default()
            .with_group_ids(vec![group("modern"), group("nowhere")])
            .with_include_authorized_operations(true)
    };
    asker
        .every(0, describe, |version, answer| {
            let codes: Vec<_> = answer.groups.iter().map(|it| it.error_code).collect();
            assert_eq!(codes, [0, 69], "ConsumerGroupDescribe v{version}");
            assert_eq!(answer.groups[0].members.len(), 2);
        })
        .await;
}
