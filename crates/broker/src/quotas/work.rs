//! How long requests are worked on (KIP-124). Time is taken around every poll of a request's future, so that waiting for disks,
//! other replicas or new data costs a client nothing; what runs on other threads is not counted.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use tokio::time::Instant;
use wire::StrBytes;

use super::Quotas;
use crate::clock;
use crate::context::Context;
use crate::net::connection::ConnectionInfo;

/// The time that one request takes; nothing at all while nobody's requests are limited.
#[derive(Clone)]
pub(crate) struct Work(Option<Arc<Meter>>);

struct Meter {
    connection: Arc<ConnectionInfo>,
    client_id: Option<StrBytes>,
    origin: Instant,
    /// Time of the polls that have ended and are not counted yet.
    busy_ns: AtomicU64,
    /// When the poll that goes on began or was last counted, one more than the time since `origin`; 0 between polls.
    polled_since_ns: AtomicU64,
    throttle_ms: AtomicI32,
}

/// What [`Meter::throttle_ms`] is until it is known.
const UNSETTLED: i32 = -1;

impl Meter {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn begin(&self) {
        self.polled_since_ns
            .store(self.now_ns() + 1, Ordering::Relaxed);
    }

    fn end(&self) {
        let since_ns = self.polled_since_ns.swap(0, Ordering::Relaxed);
        if since_ns > 0 {
            let busy_ns = (self.now_ns() + 1).saturating_sub(since_ns);
            self.busy_ns.fetch_add(busy_ns, Ordering::Relaxed);
        }
    }

    /// The time that is not counted yet, up to this moment.
    fn take(&self) -> Duration {
        let is_polled = self.polled_since_ns.load(Ordering::Relaxed) > 0;
        self.end();
        if is_polled {
            self.begin();
        }
        Duration::from_nanos(self.busy_ns.swap(0, Ordering::Relaxed))
    }

    fn record(&self, quotas: &Quotas, is_checked: bool) -> i32 {
        let caller = self.connection.caller(self.client_id.as_ref());
        quotas.worked(caller, self.take(), is_checked)
    }
}

impl Work {
    /// Begins to measure a request of `connection`, if anybody's requests are limited.
    pub(crate) fn begin(
        quotas: &Quotas,
        connection: &Arc<ConnectionInfo>,
        client_id: Option<&StrBytes>,
    ) -> Self {
        Self(quotas.measures_work().then(|| {
            Arc::new(Meter {
                connection: Arc::clone(connection),
                client_id: client_id.cloned(),
                origin: clock::monotonic(),
                busy_ns: AtomicU64::new(0),
                polled_since_ns: AtomicU64::new(0),
                throttle_ms: AtomicI32::new(UNSETTLED),
            })
        }))
    }

    /// Counts what the polls of `future` take as the request's.
    pub(crate) fn timed<F: Future + Unpin>(&self, future: F) -> Timed<F> {
        Timed {
            future,
            meter: self.0.clone(),
        }
    }

    /// Counts the work so far: milliseconds for which the client must be silent. Asked again, it says the same.
    pub(crate) fn settle(&self, ctx: &Context) -> i32 {
        let Some(meter) = &self.0 else {
            return 0;
        };
        let known = meter.throttle_ms.load(Ordering::Relaxed);
        if known != UNSETTLED {
            return known;
        }
        let throttle_ms = meter.record(&ctx.quotas, true);
        meter.throttle_ms.store(throttle_ms, Ordering::Relaxed);
        throttle_ms
    }

    /// Lets the request off: its work is not its client's (`sendNoOpResponseExemptThrottle`).
    pub(crate) fn exempt(&self) {
        if let Some(meter) = &self.0 {
            meter.take();
            meter.throttle_ms.store(0, Ordering::Relaxed);
        }
    }

    /// Counts what came after it was settled, for later requests to pay.
    pub(crate) fn finish(&self, ctx: &Context) {
        if let Some(meter) = &self.0
            && meter.throttle_ms.load(Ordering::Relaxed) != UNSETTLED
        {
            meter.record(&ctx.quotas, false);
        }
    }
}

/// A future whose polls are timed.
pub(crate) struct Timed<F> {
    future: F,
    meter: Option<Arc<Meter>>,
}

impl<F: Future + Unpin> Future for Timed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<F::Output> {
        let Some(meter) = self.meter.clone() else {
            return Pin::new(&mut self.future).poll(cx);
        };
        meter.begin();
        let polled = Pin::new(&mut self.future).poll(cx);
        meter.end();
        polled
    }
}

/// A response that says for how long its client is throttled; versions without the field leave it out.
pub(crate) trait ThrottleTime {
    /// The field; brokers are not throttled, and their responses have none.
    fn throttle_time_ms(&mut self) -> Option<&mut i32>;
}

macro_rules! throttle_time {
    ($($response:ty),+ $(,)?) => {
        $(impl ThrottleTime for $response {
            fn throttle_time_ms(&mut self) -> Option<&mut i32> {
                Some(&mut self.throttle_time_ms)
            }
        })+
    };
}

throttle_time! {
    wire::delete_groups::DeleteGroupsResponse,
    wire::messages::AddOffsetsToTxnResponse,
    wire::messages::AddPartitionsToTxnResponse,
    wire::messages::AlterClientQuotasResponse,
    wire::messages::AlterConfigsResponse,
    wire::messages::AlterPartitionReassignmentsResponse,
    wire::messages::ApiVersionsResponse,
    wire::messages::ConsumerGroupDescribeResponse,
    wire::messages::ConsumerGroupHeartbeatResponse,
    wire::messages::CreatePartitionsResponse,
    wire::messages::CreateTopicsResponse,
    wire::messages::DeleteRecordsResponse,
    wire::messages::DeleteTopicsResponse,
    wire::messages::DescribeClientQuotasResponse,
    wire::messages::DescribeClusterResponse,
    wire::messages::DescribeConfigsResponse,
    wire::messages::DescribeGroupsResponse,
    wire::messages::DescribeProducersResponse,
    wire::messages::DescribeTopicPartitionsResponse,
    wire::messages::DescribeTransactionsResponse,
    wire::messages::ElectLeadersResponse,
    wire::messages::EndTxnResponse,
    wire::messages::FindCoordinatorResponse,
    wire::messages::GetTelemetrySubscriptionsResponse,
    wire::messages::HeartbeatResponse,
    wire::messages::IncrementalAlterConfigsResponse,
    wire::messages::InitProducerIdResponse,
    wire::messages::JoinGroupResponse,
    wire::messages::LeaveGroupResponse,
    wire::messages::ListConfigResourcesResponse,
    wire::messages::ListGroupsResponse,
    wire::messages::ListOffsetsResponse,
    wire::messages::ListPartitionReassignmentsResponse,
    wire::messages::ListTransactionsResponse,
    wire::messages::MetadataResponse,
    wire::messages::OffsetCommitResponse,
    wire::messages::OffsetDeleteResponse,
    wire::messages::OffsetFetchResponse,
    wire::messages::OffsetForLeaderEpochResponse,
    wire::messages::ProduceResponse,
    wire::messages::PushTelemetryResponse,
    wire::messages::SyncGroupResponse,
    wire::messages::TxnOffsetCommitResponse,
}

impl ThrottleTime for wire::log_dirs::LogDirsResponse {
    fn throttle_time_ms(&mut self) -> Option<&mut i32> {
        Some(&mut self.described.throttle_time_ms)
    }
}

impl ThrottleTime for wire::messages::WriteTxnMarkersResponse {
    fn throttle_time_ms(&mut self) -> Option<&mut i32> {
        None
    }
}
