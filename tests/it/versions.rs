//! Every API answers at every version it is advertised in, and the answer can be read.

use std::ops::RangeInclusive;

use bytes::Bytes;
use tidewater_tests::{Client, TestBroker, batch, fetch_request, produce_request, topic_name};
use uuid::Uuid;
use wire::delete_groups::DeleteGroupsRequest;
use wire::messages::alter_configs_request::AlterConfigsResource as ReplacedResource;
use wire::messages::create_partitions_request::CreatePartitionsTopic;
use wire::messages::create_topics_request::CreatableTopic;
use wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use wire::messages::delete_topics_request::DeleteTopicState;
use wire::messages::describe_configs_request::DescribeConfigsResource;
use wire::messages::incremental_alter_configs_request::AlterConfigsResource;
use wire::messages::join_group_request::JoinGroupRequestProtocol;
use wire::messages::leave_group_request::MemberIdentity;
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::offset_commit_request::OffsetCommitRequestPartition;
use wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use wire::messages::offset_fetch_request::OffsetFetchRequestTopic;
use wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use wire::messages::sync_group_request::SyncGroupRequestAssignment;
use wire::messages::{
    AlterConfigsRequest, BrokerId, ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest,
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeClusterRequest, DescribeConfigsRequest, DescribeGroupsRequest, DescribeLogDirsRequest,
    DescribeTopicPartitionsRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest,
    ListGroupsRequest, ListOffsetsRequest, MetadataRequest, OffsetDeleteRequest,
    OffsetForLeaderEpochRequest, SyncGroupRequest,
};
use wire::offset_commit::{OffsetCommitRequest, OffsetCommitRequestTopic};
use wire::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use wire::{Request, StrBytes};

struct Asker {
    client: Client,
    asked: Vec<i16>,
    id: Uuid,
}

impl Asker {
    /// Asks at every advertised version at or above `from`; `check` sees each answer.
    async fn every<R: Request>(
        &mut self,
        from: i16,
        make: impl Fn(i16) -> R,
        check: impl Fn(i16, R::Response),
    ) {
        for version in self.versions(R::KEY, from) {
            check(version, self.client.call_at(&make(version), version).await);
        }
        self.asked.push(R::KEY);
    }

    fn versions(&mut self, key: i16, from: i16) -> RangeInclusive<i16> {
        let advertised = self
            .client
            .connection()
            .broker_versions(key)
            .expect("advertised");
        from.max(*advertised.start())..=*advertised.end()
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The two kinds of answer that matter: data, and errors. Each API is asked for something that is there and for
/// something that is not, so that the fields only errors have are encoded as well.
const THERE_AND_NOT: [&str; 2] = ["orders", "nowhere"];

async fn data(asker: &mut Asker) {
    let id = asker.id;
    for name in THERE_AND_NOT {
        let produce = |version| {
            let mut request = produce_request(name, 0, batch(&[b"x"]), -1);
            if version >= 13 && name == "orders" {
                request.topic_data[0].topic_id = id;
            }
            request
        };
        asker
            .every(3, produce, |version, answer| {
                let code = answer.responses[0].partition_responses[0].error_code;
                assert_eq!(code == 0, name == "orders", "Produce v{version}");
            })
            .await;
        let fetch = |version| {
            let mut request = fetch_request(name, 0, 0, 0);
            if version >= 13 && name == "orders" {
                request.topics[0].topic_id = id;
            }
            request
        };
        asker
            .every(4, fetch, |version, answer| {
                let partition = &answer.responses[0].partitions[0];
                let records = partition
                    .records
                    .as_ref()
                    .map_or(0, |records| records.len());
                assert_eq!(records > 0, name == "orders", "Fetch v{version}");
            })
            .await;
        let offsets = |_| {
            let partition = ListOffsetsPartition::default()
                .with_current_leader_epoch(-1)
                .with_timestamp(-1);
            let topic = ListOffsetsTopic::default()
                .with_name(topic_name(name))
                .with_partitions(vec![partition]);
            ListOffsetsRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_topics(vec![topic])
        };
        asker
            .every(1, offsets, |version, answer| {
                assert_eq!(
                    answer.topics[0].partitions[0].error_code == 0,
                    name == "orders",
                    "ListOffsets v{version}"
                );
            })
            .await;
        let epochs = |_| {
            let partition = OffsetForLeaderPartition::default().with_current_leader_epoch(-1);
            let topic = OffsetForLeaderTopic::default()
                .with_topic(topic_name(name))
                .with_partitions(vec![partition]);
            OffsetForLeaderEpochRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_topics(vec![topic])
        };
        asker
            .every(2, epochs, |version, answer| {
                let code = answer.topics[0].partitions[0].error_code;
                assert_eq!(
                    code == 0,
                    name == "orders",
                    "OffsetForLeaderEpoch v{version}"
                );
            })
            .await;
        let delete = |_| {
            let partition = DeleteRecordsPartition::default().with_offset(0);
            let topic = DeleteRecordsTopic::default()
                .with_name(topic_name(name))
                .with_partitions(vec![partition]);
            DeleteRecordsRequest::default().with_topics(vec![topic])
        };
        asker
            .every(0, delete, |version, answer| {
                let code = answer.topics[0].partitions[0].error_code;
                assert_eq!(code == 0, name == "orders", "DeleteRecords v{version}");
            })
            .await;
    }
    let init = |_| {
        InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(1)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1)
    };
    asker
        .every(0, init, |_, answer| assert_eq!(answer.error_code, 0))
        .await;
}

async fn topics(asker: &mut Asker) {
    for name in THERE_AND_NOT {
        let metadata = |_| {
            let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
            MetadataRequest::default()
                .with_topics(Some(vec![topic]))
                .with_allow_auto_topic_creation(true)
        };
        asker
            .every(4, metadata, |version, answer| {
                let code = answer.topics[0].error_code;
                assert_eq!(code == 0, name == "orders", "Metadata v{version}");
            })
            .await;
        let create = |_| {
            let topic = CreatableTopic::default()
                .with_name(topic_name(name))
                .with_num_partitions(1)
                .with_replication_factor(1);
            CreateTopicsRequest::default()
                .with_topics(vec![topic])
                .with_validate_only(true)
        };
        asker
            .every(2, create, |version, answer| {
                assert_eq!(
                    answer.topics[0].error_code == 0,
                    name == "nowhere",
                    "CreateTopics v{version}"
                );
            })
            .await;
        let grow = |_| {
            let topic = CreatePartitionsTopic::default()
                .with_name(topic_name(name))
                .with_count(9)
                .with_assignments(None);
            CreatePartitionsRequest::default()
                .with_topics(vec![topic])
                .with_validate_only(true)
        };
        asker
            .every(0, grow, |version, answer| {
                assert_eq!(
                    answer.results[0].error_code == 0,
                    name == "orders",
                    "CreatePartitions v{version}"
                );
            })
            .await;
    }
    let delete = |version| {
        let request = DeleteTopicsRequest::default();
        if version >= 6 {
            request.with_topics(vec![
                DeleteTopicState::default().with_name(Some(topic_name("nowhere"))),
            ])
        } else {
            request.with_topic_names(vec![topic_name("nowhere")])
        }
    };
    asker
        .every(1, delete, |version, answer| {
            assert_eq!(answer.responses[0].error_code, 3, "DeleteTopics v{version}")
        })
        .await;
    let pages = |_| {
        DescribeTopicPartitionsRequest::default()
            .with_response_partition_limit(1)
            .with_cursor(None)
    };
    asker
        .every(0, pages, |_, answer| assert!(answer.next_cursor.is_some()))
        .await;
}

async fn operations(asker: &mut Asker) {
    let cluster =
        |version| DescribeClusterRequest::default().with_endpoint_type(1.min(version as i8 + 1));
    asker
        .every(0, cluster, |version, answer| {
            assert_eq!(answer.brokers.len(), 1, "DescribeCluster v{version}")
        })
        .await;
    let dirs = |_| DescribeLogDirsRequest::default().with_topics(None);
    // The codec reads answers up to v4; v5 is held to it byte for byte where it is encoded.
    for version in 1..=4 {
        let answer = asker.client.call_at(&dirs(version), version).await;
        assert_eq!(
            answer.results[0].error_code, 0,
            "DescribeLogDirs v{version}"
        );
    }
    asker.asked.push(35);
    let coordinator = |version| {
        let request = FindCoordinatorRequest::default();
        if version >= 4 {
            request.with_coordinator_keys(vec![text("g")])
        } else {
            request.with_key(text("g"))
        }
    };
    asker
        .every(0, coordinator, |version, answer| {
            let (code, port) = answer
                .coordinators
                .first()
                .map_or((answer.error_code, answer.port), |one| {
                    (one.error_code, one.port)
                });
            assert_eq!(code, 0, "FindCoordinator v{version}");
            assert_ne!(port, 0, "FindCoordinator v{version}");
        })
        .await;
    let transactions = |version| coordinator(version).with_key_type(1);
    asker
        .every(1, transactions, |version, answer| {
            let code = answer
                .coordinators
                .first()
                .map_or(answer.error_code, |one| one.error_code);
            assert_eq!(code, 15, "FindCoordinator v{version}");
        })
        .await;
    for name in THERE_AND_NOT {
        let describe = |_| {
            let resource = DescribeConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text(name))
                .with_configuration_keys(None);
            DescribeConfigsRequest::default()
                .with_resources(vec![resource])
                .with_include_synonyms(true)
        };
        asker
            .every(1, describe, |version, answer| {
                assert_eq!(
                    answer.results[0].configs.is_empty(),
                    name == "nowhere",
                    "DescribeConfigs v{version}"
                );
            })
            .await;
        let alter = |_| {
            let resource = AlterConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text(name));
            IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
        };
        asker
            .every(0, alter, |version, answer| {
                let code = answer.responses[0].error_code;
                assert_eq!(
                    code == 0,
                    name == "orders",
                    "IncrementalAlterConfigs v{version}"
                );
            })
            .await;
        let replace = |_| {
            let resource = ReplacedResource::default()
                .with_resource_type(2)
                .with_resource_name(text(name));
            AlterConfigsRequest::default().with_resources(vec![resource])
        };
        asker
            .every(0, replace, |version, answer| {
                assert_eq!(
                    answer.responses[0].error_code == 0,
                    name == "orders",
                    "AlterConfigs v{version}"
                );
            })
            .await;
    }
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

async fn groups(asker: &mut Asker) {
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

async fn consumer_groups(asker: &mut Asker) {
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

#[tokio::test]
async fn every_api_answers_at_every_version_it_is_advertised_in() {
    let settings = [
        ("auto.create.topics.enable", "false"),
        ("group.initial.rebalance.delay.ms", "0"),
    ];
    let broker = TestBroker::start_with(&settings).await;
    let mut client = broker.client().await;
    let id = client.create_topic("orders", 3, &[]).await;
    let mut asker = Asker {
        client,
        asked: vec![18],
        id,
    };
    data(&mut asker).await;
    topics(&mut asker).await;
    operations(&mut asker).await;
    groups(&mut asker).await;
    consumer_groups(&mut asker).await;
    asker.asked.sort_unstable();
    asker.asked.dedup();
    let advertised: Vec<i16> = (0..200)
        .filter(|&key| asker.client.connection().broker_versions(key).is_some())
        .collect();
    assert_eq!(
        asker.asked, advertised,
        "an API that is advertised is not asked here"
    );
}
