//! AddPartitionsToTxn (key 24), v0–v5: partitions become part of a transaction before anything is written to them.
//!
//! v2 PRODUCER_FENCED · v3 flexible, the last version for clients: those of version 2 of transactions do without it (Produce v12)
//! · v4 for brokers: several transactions, and the mere question whether the partitions are in one (KIP-890) · v5
//! TRANSACTION_ABORTABLE may be answered. One partition that cannot be added keeps out all others.

use std::sync::Arc;

use coordinator::transactions::{
    AddPartitions, TopicPartition, TransactionError, TransactionVersion,
};
use wire::ResponseError;
use wire::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use wire::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use wire::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};

use super::group_calls::owned;
use super::transaction_calls::{Adding, ask, code};
use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::topics::TopicMap;

pub(crate) struct AddPartitionsToTxn;

const FENCED_FROM: i16 = 2;
/// Versions for brokers.
const BATCHED_FROM: i16 = 4;

impl WaitingHandler for AddPartitionsToTxn {
    type Request = AddPartitionsToTxnRequest;
    const NAME: &'static str = "AddPartitionsToTxn";
    const MIN: i16 = 0;
    const MAX: i16 = 5;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<AddPartitionsToTxnRequest>,
    ) -> impl Future<Output = AddPartitionsToTxnResponse> + Send + 'static {
        let version = call.version;
        let transactions = if version >= BATCHED_FROM {
            call.request.transactions
        } else {
            vec![of_client(call.request)]
        };
        let mut begun = Vec::with_capacity(transactions.len());
        for transaction in transactions {
            begun.push(Begun::with(ctx, transaction, version).await);
        }
        async move {
            let mut results = Vec::with_capacity(begun.len());
            for one in begun {
                results.push(one.result(version).await);
            }
            if version >= BATCHED_FROM {
                return AddPartitionsToTxnResponse::default().with_results_by_transaction(results);
            }
            let topics = results.pop().map(|one| one.topic_results);
            AddPartitionsToTxnResponse::default()
                .with_results_by_topic_v3_and_below(topics.unwrap_or_default())
        }
    }
}

/// The one transaction of a client's request.
fn of_client(request: AddPartitionsToTxnRequest) -> AddPartitionsToTxnTransaction {
    AddPartitionsToTxnTransaction::default()
        .with_transactional_id(request.v3_and_below_transactional_id)
        .with_producer_id(request.v3_and_below_producer_id)
        .with_producer_epoch(request.v3_and_below_producer_epoch)
        .with_topics(request.v3_and_below_topics)
}

/// One transaction of a request, on its way.
struct Begun {
    transaction: AddPartitionsToTxnTransaction,
    step: Step,
}

enum Step {
    /// A code for each partition, in the request's order.
    Known(Vec<i16>),
    Adding(Adding),
}

impl Begun {
    async fn with(ctx: &Context, transaction: AddPartitionsToTxnTransaction, version: i16) -> Self {
        let known = refusals(&ctx.topics.table(), &transaction, version);
        let step = match known {
            Some(codes) => Step::Known(codes),
            None if transaction.verify_only => Step::Known(verified(ctx, &transaction).await),
            None => Step::Adding(add(ctx, &transaction, version).await),
        };
        Self { transaction, step }
    }

    async fn result(self, version: i16) -> AddPartitionsToTxnResult {
        let count = partitions(&self.transaction).count();
        let codes = match self.step {
            Step::Known(codes) => codes,
            Step::Adding(adding) => {
                let code = match adding.wait().await {
                    Ok(()) => 0,
                    Err(error) => code(&error, version, FENCED_FROM),
                };
                vec![code; count]
            }
        };
        let mut codes = codes.into_iter();
        let topics = self.transaction.topics.into_iter();
        AddPartitionsToTxnResult::default()
            .with_transactional_id(self.transaction.transactional_id)
            .with_topic_results(topics.map(|topic| answered(topic, &mut codes)).collect())
    }
}

fn answered(
    topic: AddPartitionsToTxnTopic,
    codes: &mut impl Iterator<Item = i16>,
) -> AddPartitionsToTxnTopicResult {
    let partitions = topic.partitions.into_iter().zip(codes);
    let results = partitions.map(|(index, code)| {
        AddPartitionsToTxnPartitionResult::default()
            .with_partition_index(index)
            .with_partition_error_code(code)
    });
    AddPartitionsToTxnTopicResult::default()
        .with_results_by_partition(results.collect())
        .with_name(topic.name)
}

/// Topic and index of every partition, in the request's order.
fn partitions(transaction: &AddPartitionsToTxnTransaction) -> impl Iterator<Item = (&str, i32)> {
    transaction.topics.iter().flat_map(|topic| {
        let indexes = topic.partitions.iter();
        indexes.map(move |index| (topic.name.as_str(), *index))
    })
}

/// A code for each partition, if one of them cannot be added.
fn refusals(
    topics: &TopicMap,
    transaction: &AddPartitionsToTxnTransaction,
    version: i16,
) -> Option<Vec<i16>> {
    let refusal = |(name, index): (&str, i32)| {
        let Some(topic) = topics.named(name) else {
            return Some(ResponseError::UnknownTopicOrPartition);
        };
        if version < BATCHED_FROM && topic.image.internal {
            // Clients do not write there by themselves (`KafkaApis.handleAddPartitionsToTxnRequest`).
            return Some(ResponseError::TopicAuthorizationFailed);
        }
        let exists = usize::try_from(index).is_ok_and(|index| index < topic.partition_count());
        (!exists).then_some(ResponseError::UnknownTopicOrPartition)
    };
    let refusals: Vec<_> = partitions(transaction).map(refusal).collect();
    refusals.iter().any(Option::is_some).then(|| {
        let codes = refusals.into_iter();
        codes
            .map(|code| code.unwrap_or(ResponseError::OperationNotAttempted).code())
            .collect()
    })
}

fn wanted(transaction: &AddPartitionsToTxnTransaction) -> Vec<TopicPartition> {
    let topics = transaction.topics.iter().map(|topic| {
        let name: Arc<str> = Arc::from(topic.name.as_str());
        let indexes = topic.partitions.iter();
        indexes.map(move |&partition| TopicPartition {
            topic: Arc::clone(&name),
            partition,
        })
    });
    topics.flatten().collect()
}

async fn add(ctx: &Context, transaction: &AddPartitionsToTxnTransaction, version: i16) -> Adding {
    let request = AddPartitions {
        transactional_id: owned(&transaction.transactional_id),
        producer_id: transaction.producer_id.0,
        epoch: transaction.producer_epoch,
        partitions: wanted(transaction),
        version: if version >= BATCHED_FROM {
            TransactionVersion::V2
        } else {
            TransactionVersion::V1
        },
    };
    Adding::begin(ctx, &transaction.transactional_id, request).await
}

async fn verified(ctx: &Context, transaction: &AddPartitionsToTxnTransaction) -> Vec<i16> {
    let id = owned(&transaction.transactional_id);
    let (producer_id, epoch) = (transaction.producer_id.0, transaction.producer_epoch);
    let partitions = wanted(transaction);
    let count = partitions.len();
    let verified = ask(ctx, &transaction.transactional_id, move |shard| {
        let results = partitions
            .iter()
            .map(|partition| shard.verify(&id, producer_id, epoch, partition));
        results.collect::<Vec<Result<(), TransactionError>>>()
    });
    let code = |error| code(&error, BATCHED_FROM, FENCED_FROM);
    match verified.await {
        Ok(results) => results
            .into_iter()
            .map(|result| result.map_or_else(code, |()| 0))
            .collect(),
        Err(error) => vec![code(error); count],
    }
}
