//! WriteTxnMarkers (key 27), v1: the ends of transactions, from another broker's transaction coordinator, or from an administrator
//! who ends one that nobody else will (`kafka-transactions.sh --abort`).
//!
//! v1 flexible, KIP-890's minimum; v2, which says of which version the transaction is, is not there: nobody but this broker's own
//! coordinators writes markers of version 2.

use std::sync::Arc;

use coordinator::transactions::TransactionVersion;
use foldhash::HashMap;
use wire::messages::write_txn_markers_request::WritableTxnMarker;
use wire::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use wire::messages::{TopicName, WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use wire::{ResponseError, StrBytes};

use crate::apis::{Call, Handler};
use crate::context::Context;
use crate::markers::write_markers;

pub(crate) struct WriteTxnMarkers;

impl Handler for WriteTxnMarkers {
    type Request = WriteTxnMarkersRequest;
    const NAME: &'static str = "WriteTxnMarkers";
    const MIN: i16 = 1;
    const MAX: i16 = 1;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<WriteTxnMarkersRequest>,
    ) -> WriteTxnMarkersResponse {
        let mut results = Vec::with_capacity(call.request.markers.len());
        for marker in call.request.markers {
            results.push(write(ctx, marker).await);
        }
        WriteTxnMarkersResponse::default().with_markers(results)
    }
}

async fn write(ctx: &Arc<Context>, marker: WritableTxnMarker) -> WritableTxnMarkerResult {
    let table = ctx.topics.snapshot();
    let mut by_topic: HashMap<Arc<str>, Vec<WritableTxnMarkerPartitionResult>> = HashMap::default();
    let mut partitions = Vec::new();
    for topic in &marker.topics {
        let name: Arc<str> = Arc::from(topic.name.as_str());
        for index in &topic.partition_indexes {
            match table.named(&name) {
                Some(_) => partitions.push((Arc::clone(&name), *index)),
                None => {
                    let code = ResponseError::UnknownTopicOrPartition.code();
                    let results = by_topic.entry(Arc::clone(&name)).or_default();
                    results.push(result(*index, code));
                }
            }
        }
    }
    let written = write_markers(
        ctx,
        marker.producer_id.0,
        marker.producer_epoch,
        marker.coordinator_epoch,
        marker.transaction_result,
        TransactionVersion::V1,
        partitions,
    );
    for (name, index, written) in written.await {
        let code = written.err().map_or(0, |error| error.code().code());
        by_topic.entry(name).or_default().push(result(index, code));
    }
    let topics = by_topic.into_iter().map(|(name, partitions)| {
        WritableTxnMarkerTopicResult::default()
            .with_name(TopicName(StrBytes::from_string(name.to_string())))
            .with_partitions(partitions)
    });
    WritableTxnMarkerResult::default()
        .with_producer_id(marker.producer_id)
        .with_topics(topics.collect())
}

fn result(index: i32, code: i16) -> WritableTxnMarkerPartitionResult {
    WritableTxnMarkerPartitionResult::default()
        .with_partition_index(index)
        .with_error_code(code)
}
