//! EndTxn (key 26), v0–v5: a transaction is committed or aborted. The answer means that this is decided; the markers, which let
//! read_committed consumers see it, follow at once.
//!
//! v2 PRODUCER_FENCED · v3 flexible · v4 TRANSACTION_ABORTABLE may be answered · v5 every end bumps the producer's epoch, and the
//! answer has the new one, or a new producer id (KIP-890).

use std::sync::Arc;

use coordinator::transactions::{
    EndTransaction, TransactionError, TransactionReply, TransactionVersion,
};
use wire::messages::{EndTxnRequest, EndTxnResponse, ProducerId};

use super::group_calls::owned;
use super::transaction_calls::{Submitted, code, submit};
use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::transactions::Request;

pub(crate) struct EndTxn;

const FENCED_FROM: i16 = 2;
/// Clients of this version follow the rules of version 2 of transactions.
const V2_FROM: i16 = 5;

impl WaitingHandler for EndTxn {
    type Request = EndTxnRequest;
    const NAME: &'static str = "EndTxn";
    const MIN: i16 = 0;
    const MAX: i16 = 5;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<EndTxnRequest>,
    ) -> impl Future<Output = EndTxnResponse> + Send + 'static {
        let version = call.version;
        let request = Request::End(EndTransaction {
            transactional_id: owned(&call.request.transactional_id),
            producer_id: call.request.producer_id.0,
            epoch: call.request.producer_epoch,
            committed: call.request.committed,
            version: if version >= V2_FROM {
                TransactionVersion::V2
            } else {
                TransactionVersion::V1
            },
        });
        let submitted = submit(ctx, &call.request.transactional_id, request).await;
        async move {
            match ended(submitted).await {
                Ok((producer_id, epoch)) if version >= V2_FROM => EndTxnResponse::default()
                    .with_producer_id(ProducerId(producer_id))
                    .with_producer_epoch(epoch),
                Ok(_) => EndTxnResponse::default(),
                Err(error) => {
                    EndTxnResponse::default().with_error_code(code(&error, version, FENCED_FROM))
                }
            }
        }
    }
}

async fn ended(submitted: Submitted) -> Result<(i64, i16), TransactionError> {
    match submitted.wait().await? {
        TransactionReply::End(result) => result,
        // A coordinator answers a request in kind.
        _ => Err(TransactionError::Internal),
    }
}
