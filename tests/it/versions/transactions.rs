//! Transactions, as clients, coordinators and operators ask for them.

use tidewater_tests::topic_name;
use wire::StrBytes;
use wire::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use wire::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use wire::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest,
    GroupId, InitProducerIdRequest, ListTransactionsRequest, ProducerId, TransactionalId,
    TxnOffsetCommitRequest, WriteTxnMarkersRequest,
};

use super::{Asker, THERE_AND_NOT, text};

const NOBODY: i64 = 999_999;

fn id() -> TransactionalId {
    TransactionalId(text("there"))
}

struct Producer {
    id: ProducerId,
    epoch: i16,
}

/// What there is, and the code of the refusal of what there is not.
fn there_or(name: &str, code: i16) -> i16 {
    if name == "orders" { 0 } else { code }
}

pub(super) async fn transactions(asker: &mut Asker) {
    let init = InitProducerIdRequest::default()
        .with_transactional_id(Some(id()))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let answer = asker.client.call_at(&init, 5).await;
    assert_eq!(answer.error_code, 0);
    let producer = Producer {
        id: answer.producer_id,
        epoch: answer.producer_epoch,
    };
    add_partitions(asker, &producer).await;
    offsets(asker, &producer).await;
    for (producer_id, code) in [(NOBODY, 49), (producer.id.0, 0)] {
        // An abort of what is aborted already is no error, nor is one of a transaction that has nothing in it.
        let end = |_| {
            EndTxnRequest::default()
                .with_transactional_id(id())
                .with_producer_id(ProducerId(producer_id))
                .with_producer_epoch(producer.epoch)
                .with_committed(false)
        };
        asker
            .every(0, end, |version, answer| {
                assert_eq!(answer.error_code, code, "EndTxn v{version}");
            })
            .await;
    }
    operators(asker).await;
}

async fn add_partitions(asker: &mut Asker, producer: &Producer) {
    for name in THERE_AND_NOT {
        let add = |version| {
            let topic = AddPartitionsToTxnTopic::default()
                .with_name(topic_name(name))
                .with_partitions(vec![0]);
            if version < 4 {
                return AddPartitionsToTxnRequest::default()
                    .with_v3_and_below_transactional_id(id())
                    .with_v3_and_below_producer_id(producer.id)
                    .with_v3_and_below_producer_epoch(producer.epoch)
                    .with_v3_and_below_topics(vec![topic]);
            }
            let transaction = AddPartitionsToTxnTransaction::default()
                .with_transactional_id(id())
                .with_producer_id(producer.id)
                .with_producer_epoch(producer.epoch)
                .with_topics(vec![topic]);
            AddPartitionsToTxnRequest::default().with_transactions(vec![transaction])
        };
        asker
            .every(0, add, |version, answer| {
                let topics = if version < 4 {
                    &answer.results_by_topic_v3_and_below
                } else {
                    &answer.results_by_transaction[0].topic_results
                };
                let code = topics[0].results_by_partition[0].partition_error_code;
                assert_eq!(code, there_or(name, 3), "AddPartitionsToTxn v{version}");
            })
            .await;
    }
}

async fn offsets(asker: &mut Asker, producer: &Producer) {
    let group = || GroupId(text("of-transactions"));
    for (producer_id, code) in [(producer.id, 0), (ProducerId(NOBODY), 49)] {
        let add = |_| {
            AddOffsetsToTxnRequest::default()
                .with_transactional_id(id())
                .with_producer_id(producer_id)
                .with_producer_epoch(producer.epoch)
                .with_group_id(group())
        };
        asker
            .every(0, add, |version, answer| {
                assert_eq!(answer.error_code, code, "AddOffsetsToTxn v{version}");
            })
            .await;
    }
    for name in THERE_AND_NOT {
        let commit = |_| {
            let partition = TxnOffsetCommitRequestPartition::default()
                .with_committed_offset(1)
                .with_committed_leader_epoch(-1)
                .with_committed_metadata(Some(StrBytes::new()));
            let topic = TxnOffsetCommitRequestTopic::default()
                .with_name(topic_name(name))
                .with_partitions(vec![partition]);
            TxnOffsetCommitRequest::default()
                .with_transactional_id(id())
                .with_group_id(group())
                .with_producer_id(producer.id)
                .with_producer_epoch(producer.epoch)
                .with_generation_id(-1)
                .with_topics(vec![topic])
        };
        asker
            .every(0, commit, |version, answer| {
                let code = answer.topics[0].partitions[0].error_code;
                assert_eq!(code, there_or(name, 3), "TxnOffsetCommit v{version}");
            })
            .await;
    }
}

async fn operators(asker: &mut Asker) {
    for name in THERE_AND_NOT {
        let write = |_| {
            let topic = WritableTxnMarkerTopic::default()
                .with_name(topic_name(name))
                .with_partition_indexes(vec![0]);
            let marker = WritableTxnMarker::default()
                .with_producer_id(ProducerId(NOBODY))
                .with_topics(vec![topic]);
            WriteTxnMarkersRequest::default().with_markers(vec![marker])
        };
        asker
            .every(0, write, |version, answer| {
                let code = answer.markers[0].topics[0].partitions[0].error_code;
                assert_eq!(code, there_or(name, 3), "WriteTxnMarkers v{version}");
            })
            .await;
    }
    for (name, code) in [("there", 0), ("nobody", 105)] {
        let describe = |_| {
            DescribeTransactionsRequest::default()
                .with_transactional_ids(vec![TransactionalId(text(name))])
        };
        asker
            .every(0, describe, |version, answer| {
                let state = &answer.transaction_states[0];
                assert_eq!(state.error_code, code, "DescribeTransactions v{version}");
            })
            .await;
    }
    asker
        .every(
            0,
            |_| ListTransactionsRequest::default(),
            |version, answer| {
                let mut listed = answer.transaction_states.iter();
                let found = listed.any(|one| one.transactional_id == id());
                assert!(found, "ListTransactions v{version}");
            },
        )
        .await;
}
