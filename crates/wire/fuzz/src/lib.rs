//! What the targets share: a bound on memory, and the codecs' common target.

use std::alloc::System;

use cap::Cap;
use wire::compress::{Codec, DecompressError, compress, decompress};

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// Runs `work` with at most `bytes` more memory than is in use now. Whoever asks for more ends the process,
/// which the fuzzer reports as a finding.
pub fn within_memory<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let limit = MEMORY.allocated().saturating_add(bytes);
    MEMORY
        .set_limit(limit)
        .expect("a limit above what is in use");
    let result = work();
    MEMORY.set_limit(usize::MAX).expect("no limit at all");
    result
}

/// Hands every request type that has a row in the guard's tables to a macro.
#[macro_export]
macro_rules! each_request {
    ($with:ident) => {
        $with![
            ProduceRequest,
            FetchRequest,
            ListOffsetsRequest,
            MetadataRequest,
            OffsetCommitRequest,
            OffsetFetchRequest,
            FindCoordinatorRequest,
            JoinGroupRequest,
            HeartbeatRequest,
            LeaveGroupRequest,
            SyncGroupRequest,
            DescribeGroupsRequest,
            ListGroupsRequest,
            SaslHandshakeRequest,
            ApiVersionsRequest,
            CreateTopicsRequest,
            DeleteTopicsRequest,
            DeleteRecordsRequest,
            InitProducerIdRequest,
            OffsetForLeaderEpochRequest,
            DescribeConfigsRequest,
            AlterConfigsRequest,
            DescribeLogDirsRequest,
            SaslAuthenticateRequest,
            CreatePartitionsRequest,
            DeleteGroupsRequest,
            ElectLeadersRequest,
            IncrementalAlterConfigsRequest,
            AlterPartitionReassignmentsRequest,
            ListPartitionReassignmentsRequest,
            OffsetDeleteRequest,
            DescribeClientQuotasRequest,
            AlterClientQuotasRequest,
            DescribeClusterRequest,
            DescribeProducersRequest,
            ConsumerGroupHeartbeatRequest,
            ConsumerGroupDescribeRequest,
            GetTelemetrySubscriptionsRequest,
            PushTelemetryRequest,
            ListConfigResourcesRequest,
            DescribeTopicPartitionsRequest
        ]
    };
}

/// Output allowed to a decompressor; small, so that reaching it costs the fuzzer no time.
const OUTPUT_LIMIT: usize = 256 << 10;

/// State a decompressor may hold besides its output: windows, tables, a block (8 MiB window of zstd's format).
const STATE: usize = 12 << 20;

/// `data` as it is, `data` compressed and restored, and `data` compressed and then damaged. The last gets past
/// the magic numbers that random bytes hardly ever have; the compression libraries carry no instrumentation
/// that would lead the fuzzer there.
pub fn codec(codec: Codec, data: &[u8]) {
    inflate(codec, data);
    restore(codec, data);
    if let [places, payload @ ..] = data {
        let damage = payload.len().min(2 * usize::from(places % 8));
        let (damage, payload) = payload.split_at(damage);
        // Long enough, at times, for more than one block of the format.
        let payload = payload.repeat(1 + usize::from(places / 8) * 64);
        let mut deflated = compress(codec, None, &payload)
            .expect("memory for a compressor")
            .to_vec();
        for change in damage.chunks_exact(2) {
            let place = usize::from(change[0]) % deflated.len().max(1);
            if let Some(byte) = deflated.get_mut(place) {
                *byte = change[1];
            }
        }
        inflate(codec, &deflated);
    }
}

fn inflate(codec: Codec, data: &[u8]) {
    let inflated = within_memory(3 * OUTPUT_LIMIT + STATE, || {
        decompress(codec, data, OUTPUT_LIMIT)
    });
    match inflated {
        Ok(output) => assert!(output.len() <= OUTPUT_LIMIT),
        Err(DecompressError::TooLarge { limit, .. }) => assert_eq!(limit, OUTPUT_LIMIT),
        Err(_) => {}
    }
}

fn restore(codec: Codec, data: &[u8]) {
    let deflated = compress(codec, None, data).expect("memory for a compressor");
    let restored = decompress(codec, &deflated, data.len());
    assert_eq!(restored.as_deref(), Ok(data));
    if let Some(one_less) = data.len().checked_sub(1) {
        let refused = decompress(codec, &deflated, one_less);
        assert_eq!(
            refused,
            Err(DecompressError::TooLarge {
                codec,
                limit: one_less
            })
        );
    }
}
