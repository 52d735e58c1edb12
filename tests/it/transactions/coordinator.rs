//! Coordinators: who they are, what they refuse, and what they tell operators.

use wire::messages::{AddOffsetsToTxnRequest, GroupId, ListTransactionsRequest};

use super::*;

#[tokio::test]
async fn whoever_asks_first_for_a_transactions_coordinator_has_its_topic_made() {
    let broker = broker().await;
    let mut client = broker.client().await;
    assert_eq!(find_coordinator(&mut client, "shop").await, 0);
    let wanted = wire::messages::metadata_request::MetadataRequestTopic::default()
        .with_name(Some(topic_name("__transaction_state")));
    let request = wire::messages::MetadataRequest::default().with_topics(Some(vec![wanted]));
    let topic = client.call(&request).await.topics.remove(0);
    assert_eq!(
        (topic.error_code, topic.is_internal, topic.partitions.len()),
        (0, true, 5)
    );
}

#[tokio::test]
async fn an_id_without_a_producer_and_a_timeout_out_of_range_are_refused() {
    let broker = broker_with(&[("transaction.max.timeout.ms", "1000")]).await;
    let mut client = broker.client().await;
    assert_eq!(find_coordinator(&mut client, "shop").await, 0);
    for timeout_ms in [0, -1, 1001] {
        let answer = init(&mut client, "shop", timeout_ms, None).await;
        assert_eq!(
            answer.error_code,
            code(ResponseError::InvalidTransactionTimeout)
        );
        assert_eq!((answer.producer_id.0, answer.producer_epoch), (-1, -1));
    }
    let answer = init(&mut client, "", 1000, None).await;
    assert_eq!(answer.error_code, code(ResponseError::InvalidRequest));
    let mut stranger = Transactional::start_with(&broker, Rules::V1, "shop", 1000).await;
    stranger.producer.id += 1;
    assert_eq!(
        stranger.add("orders", 0).await,
        code(ResponseError::InvalidProducerIdMapping)
    );
    stranger.id = "nobody".to_owned();
    assert_eq!(
        stranger.try_end(true).await,
        code(ResponseError::InvalidProducerIdMapping)
    );
}

#[tokio::test]
async fn a_partition_that_cannot_be_added_keeps_out_the_others() {
    let broker = broker().await;
    let producer = Transactional::start(&broker, Rules::V1, "shop").await;
    let topic = |name: &str, partitions: &[i32]| {
        AddPartitionsToTxnTopic::default()
            .with_name(topic_name(name))
            .with_partitions(partitions.to_vec())
    };
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(transactional("shop"))
        .with_v3_and_below_producer_id(ProducerId(producer.producer.id))
        .with_v3_and_below_producer_epoch(producer.producer.epoch)
        .with_v3_and_below_topics(vec![
            topic("orders", &[0, 3]),
            topic("nowhere", &[0]),
            topic("__transaction_state", &[0]),
        ]);
    let mut client = broker.client().await;
    let answer = client.call_at(&request, 3).await;
    let codes: Vec<i16> = answer
        .results_by_topic_v3_and_below
        .iter()
        .flat_map(|topic| &topic.results_by_partition)
        .map(|partition| partition.partition_error_code)
        .collect();
    let expected = [
        ResponseError::OperationNotAttempted,
        ResponseError::UnknownTopicOrPartition,
        ResponseError::UnknownTopicOrPartition,
        ResponseError::TopicAuthorizationFailed,
    ];
    assert_eq!(codes, expected.map(|error| error.code()));
    assert_eq!(
        describe(&mut client, "shop")
            .await
            .transaction_state
            .as_str(),
        "Empty"
    );
}

#[tokio::test]
async fn the_offsets_of_a_group_come_into_the_transaction_as_a_partition() {
    let broker = broker().await;
    let mut producer = Transactional::start(&broker, Rules::V1, "shop").await;
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(transactional("shop"))
        .with_producer_id(ProducerId(producer.producer.id))
        .with_producer_epoch(producer.producer.epoch)
        .with_group_id(GroupId(text("readers")));
    let answer = producer.client.call(&request).await;
    assert_eq!(
        answer.error_code,
        code(ResponseError::CoordinatorNotAvailable)
    );
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("readers")]);
    assert_eq!(
        producer.client.call(&find).await.coordinators[0].error_code,
        0
    );
    assert_eq!(producer.client.call(&request).await.error_code, 0);
    let state = describe(&mut producer.client, "shop").await;
    assert_eq!(state.transaction_state.as_str(), "Ongoing");
    assert_eq!(state.topics[0].topic.as_str(), "__consumer_offsets");
}

#[tokio::test]
async fn operators_see_how_transactions_stand() {
    let broker = broker().await;
    let mut operator = broker.client().await;
    let mut open = Transactional::start(&broker, Rules::V2, "open").await;
    open.produce("orders", 2, &["a"]).await;
    open.produce("orders", 0, &["b"]).await;
    let mut done = Transactional::start(&broker, Rules::V2, "done").await;
    done.produce("orders", 1, &["c"]).await;
    done.commit().await;
    done.completed().await;
    let _idle = Transactional::start(&broker, Rules::V2, "idle").await;

    let state = describe(&mut operator, "open").await;
    assert_eq!(
        (state.error_code, state.transaction_state.as_str()),
        (0, "Ongoing")
    );
    assert_eq!(
        (state.producer_id.0, state.producer_epoch),
        (open.producer.id, open.producer.epoch)
    );
    assert_eq!(state.transaction_timeout_ms, 60_000);
    assert!(state.transaction_start_time_ms > 0);
    assert_eq!(state.topics.len(), 1);
    assert_eq!(
        (state.topics[0].topic.as_str(), &state.topics[0].partitions),
        ("orders", &vec![0, 2])
    );
    let unknown = describe(&mut operator, "nobody").await;
    assert_eq!(
        unknown.error_code,
        code(ResponseError::TransactionalIdNotFound)
    );

    let list = async |client: &mut Client, request: ListTransactionsRequest| {
        let answer = client.call(&request).await;
        let unknown = answer.unknown_state_filters.len();
        let ids = answer.transaction_states.iter();
        let ids =
            ids.map(|it| format!("{} {}", it.transactional_id.as_str(), it.transaction_state));
        (answer.error_code, ids.collect::<Vec<_>>(), unknown)
    };
    let all = ListTransactionsRequest::default().with_duration_filter(-1);
    let everyone = ["done CompleteCommit", "idle Empty", "open Ongoing"].map(str::to_owned);
    assert_eq!(
        list(&mut operator, all.clone()).await,
        (0, everyone.to_vec(), 0)
    );
    let filtered = all
        .clone()
        .with_state_filters(vec![text("Ongoing"), text("Sleeping")]);
    let found = list(&mut operator, filtered).await;
    assert_eq!(found, (0, vec!["open Ongoing".to_owned()], 1));
    let filtered = all
        .clone()
        .with_producer_id_filters(vec![ProducerId(done.producer.id)]);
    let found = list(&mut operator, filtered).await;
    assert_eq!(found, (0, vec!["done CompleteCommit".to_owned()], 0));
    let filtered = all
        .clone()
        .with_transactional_id_pattern(Some(text("i.*e")));
    let found = list(&mut operator, filtered).await;
    assert_eq!(found, (0, vec!["idle Empty".to_owned()], 0));
    let filtered = all.with_transactional_id_pattern(Some(text("(")));
    let refused = list(&mut operator, filtered).await;
    assert_eq!(refused.0, code(ResponseError::InvalidRegularExpression));
}

#[tokio::test]
async fn clients_are_told_that_transactions_follow_the_rules_of_version_2() {
    let broker = broker().await;
    let mut client = broker.client().await;
    let request = wire::api_versions::ApiVersionsRequest::default();
    let ask = async |client: &mut Client, version: i16| {
        let request = wire::api_versions::ApiVersionsRequest {
            client_software_name: text("test"),
            client_software_version: text("1"),
            node_id: -1,
            ..request.clone()
        };
        client.call_at(&request, version).await
    };
    let answer = ask(&mut client, 4).await;
    assert!(answer.finalized_features_epoch >= 0);
    let finalized = &answer.finalized_features[0];
    assert_eq!(
        (finalized.name.as_str(), finalized.max_version_level),
        ("transaction.version", 2)
    );
    let supported = &answer.supported_features[0];
    assert_eq!((supported.min_version, supported.max_version), (0, 2));
    // Older clients fail on a feature whose lowest level is 0 (KAFKA-17492).
    let answer = ask(&mut client, 3).await;
    assert!(answer.supported_features.is_empty());
    assert_eq!(answer.finalized_features.len(), 1);
    assert!(ask(&mut client, 2).await.finalized_features.is_empty());
}
