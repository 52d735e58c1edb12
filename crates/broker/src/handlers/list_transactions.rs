//! ListTransactions (key 66), v0–v2: the transactional ids that this broker coordinates (KIP-664).
//!
//! v0 flexible, filters of states and producer ids · v1 a filter of durations (KIP-994) · v2 a pattern of ids (KIP-1152), in the
//! syntax of Rust's `regex`, which RE2's is nearly.

use std::sync::Arc;

use coordinator::transactions::{TransactionError, TransactionFilter, TransactionListing};
use wire::messages::list_transactions_response::TransactionState;
use wire::messages::{
    ListTransactionsRequest, ListTransactionsResponse, ProducerId, TransactionalId,
};
use wire::{ResponseError, StrBytes};

use super::group_calls::{owned, text};
use crate::apis::{Call, Handler};
use crate::context::Context;
use crate::error_code;

pub(crate) struct ListTransactions;

impl Handler for ListTransactions {
    type Request = ListTransactionsRequest;
    const NAME: &'static str = "ListTransactions";
    const MIN: i16 = 0;
    const MAX: i16 = 2;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<ListTransactionsRequest>,
    ) -> ListTransactionsResponse {
        let refused =
            |code: ResponseError| ListTransactionsResponse::default().with_error_code(code.code());
        let Ok(filter) = filter(&call.request) else {
            return refused(ResponseError::InvalidRegularExpression);
        };
        let unknown = filter.unknown_states().iter().cloned().map(text).collect();
        let response = match listed(ctx, filter).await {
            Ok(found) => ListTransactionsResponse::default()
                .with_transaction_states(found.into_iter().map(answer).collect()),
            Err(error) => refused(error_code::for_transaction(&error)),
        };
        response.with_unknown_state_filters(unknown)
    }
}

fn filter(
    request: &ListTransactionsRequest,
) -> Result<TransactionFilter, coordinator::transactions::UnreadablePattern> {
    let producer_ids = request.producer_id_filters.iter().map(|id| id.0);
    let filter = TransactionFilter::default()
        .with_states(request.state_filters.iter().map(owned))
        .with_producer_ids(producer_ids.collect())
        .with_min_duration_ms(request.duration_filter);
    match &request.transactional_id_pattern {
        Some(pattern) => filter.with_id_pattern(pattern),
        None => Ok(filter),
    }
}

/// Of all coordinators here. One that has just gone elsewhere has no transactions; one that is not ready makes the list as a whole
/// fail, as half a list would pass for a whole one (`TransactionStateManager.listTransactionStates`).
async fn listed(
    ctx: &Context,
    filter: TransactionFilter,
) -> Result<Vec<TransactionListing>, TransactionError> {
    let filter = Arc::new(filter);
    let now_ms = ctx.now_ms();
    let mut found = Vec::new();
    for coordinator in ctx.transactions.all() {
        let filter = Arc::clone(&filter);
        let listing = coordinator.ask(move |shard| shard.list(now_ms, &filter));
        match listing.await {
            Ok(listed) => found.extend(listed),
            Err(TransactionError::NotCoordinator) => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_unstable_by(|a, b| a.transactional_id.cmp(&b.transactional_id));
    Ok(found)
}

fn answer(listed: TransactionListing) -> TransactionState {
    TransactionState::default()
        .with_transactional_id(TransactionalId(text(listed.transactional_id.to_string())))
        .with_producer_id(ProducerId(listed.producer_id))
        .with_transaction_state(StrBytes::from_static_str(listed.state.name()))
}
