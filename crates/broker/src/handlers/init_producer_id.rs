//! InitProducerId (key 22), v0–v5: an id under which a producer's batches are told apart from their repetitions, and under a
//! transactional id the right to be its only producer.
//!
//! v2 flexible · v3 the producer may name its current id and epoch (KIP-360) · v4 PRODUCER_FENCED · v5 TRANSACTION_ABORTABLE
//! may be answered. Not done: v6 (two-phase commit, KIP-939), which Kafka does not advertise either.

use std::sync::Arc;

use coordinator::transactions::{
    InitProducerId as InitTransactions, TransactionError, TransactionReply,
};
use wire::ResponseError;
use wire::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::group_calls::owned;
use super::transaction_calls::{Submitted, code, submit};
use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::transactions::Request;

pub(crate) struct InitProducerId;

const FENCED_FROM: i16 = 4;

impl WaitingHandler for InitProducerId {
    type Request = InitProducerIdRequest;
    const NAME: &'static str = "InitProducerId";
    const MIN: i16 = 0;
    const MAX: i16 = 5;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<InitProducerIdRequest>,
    ) -> impl Future<Output = InitProducerIdResponse> + Send + 'static {
        let version = call.version;
        let taken_up = take_up(ctx, call.request).await;
        async move {
            match taken_up {
                TakenUp::Answered(answer) => answer,
                TakenUp::Submitted(submitted) => match initialized(submitted).await {
                    Ok((producer_id, epoch)) => given(producer_id, epoch),
                    Err(error) => refused(code(&error, version, FENCED_FROM)),
                },
            }
        }
    }
}

enum TakenUp {
    Answered(InitProducerIdResponse),
    Submitted(Submitted),
}

async fn take_up(ctx: &Context, request: InitProducerIdRequest) -> TakenUp {
    let invalid = || TakenUp::Answered(refused(ResponseError::InvalidRequest.code()));
    // Both or neither (`KafkaApis.handleInitProducerIdRequest`).
    let current = match (request.producer_id.0, request.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return invalid(),
        current => Some(current),
    };
    match &request.transactional_id {
        Some(id) if id.is_empty() => invalid(),
        // An id of its own is never continued without a transaction: the producer gets a fresh one, epoch 0 (T1).
        None => TakenUp::Answered(fresh(ctx).await),
        Some(id) => {
            let init = InitTransactions {
                transactional_id: owned(id),
                timeout_ms: request.transaction_timeout_ms,
                current,
            };
            TakenUp::Submitted(submit(ctx, id, Request::Init(init)).await)
        }
    }
}

async fn fresh(ctx: &Context) -> InitProducerIdResponse {
    match ctx.controller.allocate_producer_ids(1).await {
        Ok(ids) => given(ids.start, 0),
        Err(error) => {
            tracing::warn!(%error, "no producer id could be had");
            refused(ResponseError::CoordinatorLoadInProgress.code())
        }
    }
}

async fn initialized(submitted: Submitted) -> Result<(i64, i16), TransactionError> {
    match submitted.wait().await? {
        TransactionReply::InitProducerId(result) => result,
        // A coordinator answers a request in kind.
        _ => Err(TransactionError::Internal),
    }
}

fn given(producer_id: i64, epoch: i16) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_producer_id(ProducerId(producer_id))
        .with_producer_epoch(epoch)
}

fn refused(code: i16) -> InitProducerIdResponse {
    given(-1, -1).with_error_code(code)
}
