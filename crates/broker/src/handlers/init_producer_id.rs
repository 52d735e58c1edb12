//! InitProducerId (key 22), v0–v5: an id under which a producer's batches are told apart from their repetitions.
//!
//! v2 flexible · v3 the producer may name its current id and epoch (KIP-360) · v5 TRANSACTION_ABORTABLE may be answered.
//! Done for idempotent producers; a transactional id is answered 15 COORDINATOR_NOT_AVAILABLE, since there is no transaction
//! coordinator to ask.

use std::sync::Arc;

use wire::ResponseError;
use wire::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use crate::apis::{Call, Handler};
use crate::context::Context;

pub(crate) struct InitProducerId;

impl Handler for InitProducerId {
    type Request = InitProducerIdRequest;
    const NAME: &'static str = "InitProducerId";
    const MIN: i16 = 0;
    const MAX: i16 = 5;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<InitProducerIdRequest>,
    ) -> InitProducerIdResponse {
        let refused = |code: ResponseError| {
            InitProducerIdResponse::default()
                .with_error_code(code.code())
                .with_producer_id(ProducerId(-1))
                .with_producer_epoch(-1)
        };
        match &call.request.transactional_id {
            Some(id) if id.is_empty() => refused(ResponseError::InvalidRequest),
            // Both or neither (`KafkaApis.handleInitProducerIdRequest`).
            _ if (call.request.producer_id.0 == -1) != (call.request.producer_epoch == -1) => {
                refused(ResponseError::InvalidRequest)
            }
            Some(_) => refused(ResponseError::CoordinatorNotAvailable),
            // An id of its own is never continued without a transaction: the producer gets a fresh one, epoch 0 (T1).
            None => match ctx.controller.allocate_producer_ids(1).await {
                Ok(ids) => InitProducerIdResponse::default()
                    .with_producer_id(ProducerId(ids.start))
                    .with_producer_epoch(0),
                Err(error) => {
                    tracing::warn!(%error, "no producer id could be had");
                    refused(ResponseError::CoordinatorLoadInProgress)
                }
            },
        }
    }
}
