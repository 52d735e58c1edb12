//! Every API answers at every version it is advertised in, and the answer can be read.

mod groups;
mod operators;
mod placement;
mod transactions;

use std::ops::RangeInclusive;

use tidewater_tests::{Client, TestBroker, batch, fetch_request, produce_request, topic_name};
use uuid::Uuid;
use wire::messages::alter_configs_request::AlterConfigsResource as ReplacedResource;
use wire::messages::create_partitions_request::CreatePartitionsTopic;
use wire::messages::create_topics_request::CreatableTopic;
use wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use wire::messages::delete_topics_request::DeleteTopicState;
use wire::messages::describe_configs_request::DescribeConfigsResource;
use wire::messages::incremental_alter_configs_request::AlterConfigsResource;
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use wire::messages::{
    AlterConfigsRequest, BrokerId, CreatePartitionsRequest, CreateTopicsRequest,
    DeleteRecordsRequest, DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest,
    DescribeLogDirsRequest, DescribeTopicPartitionsRequest, FindCoordinatorRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
    OffsetForLeaderEpochRequest,
};
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
            assert_eq!(code, 0, "FindCoordinator v{version}");
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
    placement::placement(&mut asker).await;
    operators::operators(&mut asker).await;
    groups::groups(&mut asker).await;
    groups::consumer_groups(&mut asker).await;
    transactions::transactions(&mut asker).await;
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
