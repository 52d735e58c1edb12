//! DescribeTransactions (key 65), v0: how transactional ids stand (KIP-664).
//!
//! v0 flexible. Asked of the id's coordinator.

use std::collections::BTreeMap;
use std::sync::Arc;

use coordinator::transactions::{TransactionDescription, TransactionError};
use wire::messages::describe_transactions_response::{TopicData, TransactionState};
use wire::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ProducerId, TopicName,
    TransactionalId,
};
use wire::{ResponseError, StrBytes};

use super::group_calls::{owned, text};
use super::transaction_calls::ask;
use crate::apis::{Call, Handler};
use crate::context::Context;
use crate::error_code;

pub(crate) struct DescribeTransactions;

impl Handler for DescribeTransactions {
    type Request = DescribeTransactionsRequest;
    const NAME: &'static str = "DescribeTransactions";
    const MIN: i16 = 0;
    const MAX: i16 = 0;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<DescribeTransactionsRequest>,
    ) -> DescribeTransactionsResponse {
        let mut states = Vec::with_capacity(call.request.transactional_ids.len());
        for id in call.request.transactional_ids {
            let state = match described(ctx, &id).await {
                Ok(found) => answer(found),
                Err(code) => TransactionState::default().with_error_code(code.code()),
            };
            states.push(state.with_transactional_id(id));
        }
        DescribeTransactionsResponse::default().with_transaction_states(states)
    }
}

async fn described(
    ctx: &Context,
    id: &TransactionalId,
) -> Result<TransactionDescription, ResponseError> {
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    let name = owned(id);
    let found: Result<_, TransactionError> = ask(ctx, id, move |shard| shard.describe(&name)).await;
    found
        .map_err(|error| error_code::for_transaction(&error))?
        .ok_or(ResponseError::TransactionalIdNotFound)
}

fn answer(found: TransactionDescription) -> TransactionState {
    let mut topics: BTreeMap<Arc<str>, Vec<i32>> = BTreeMap::new();
    for it in found.partitions {
        topics.entry(it.topic).or_default().push(it.partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        TopicData::default()
            .with_topic(TopicName(text(topic.to_string())))
            .with_partitions(partitions)
    });
    TransactionState::default()
        .with_transaction_state(StrBytes::from_static_str(found.state.name()))
        .with_transaction_timeout_ms(found.timeout_ms)
        .with_transaction_start_time_ms(found.started_ms)
        .with_producer_id(ProducerId(found.producer_id))
        .with_producer_epoch(found.epoch)
        .with_topics(topics.collect())
}
