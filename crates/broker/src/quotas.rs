//! Client quotas, enforced (KIP-13, KIP-124, KIP-219, KIP-599, KIP-612; Kafka's `ClientQuotaManager` and its kin).
//!
//! The promise: where nobody is limited, a request pays one atomic load. What a limit means is pure (`rate`, `limits`), what is
//! remembered of clients is bounded (`sensors`), and limits follow the image.

pub(crate) mod hosts;
mod limits;
mod metrics;
mod mutations;
mod rate;
mod sensors;
mod work;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use cluster::{ClusterImage, QuotaEntity};
use foldhash::{HashMap, HashMapExt};
use parking_lot::Mutex;
use tokio::time::Instant;

pub(crate) use self::limits::Caller;
use self::limits::{Applying, Levels, Limits};
use self::metrics::QuotaMetrics;
pub(crate) use self::mutations::{Mutations, QuotaExceeded};
use self::rate::{Rate, TokenBucket, Windows};
use self::sensors::Sensors;
pub(crate) use self::work::{ThrottleTime, Work};
use crate::clock;
use crate::config::QuotaOptions;

/// The quotas of one broker's clients.
pub(crate) struct Quotas {
    origin: Instant,
    windows: Windows,
    mutation_windows: Windows,
    /// A bit for each kind of quota that anybody has.
    limited: AtomicU8,
    current: ArcSwap<Current>,
    /// Held while the two above are replaced.
    following: Mutex<()>,
    produce: Mutex<Sensors<Rate>>,
    fetch: Mutex<Sensors<Rate>>,
    request: Mutex<Sensors<Rate>>,
    mutation: Mutex<Sensors<TokenBucket>>,
    address: Mutex<Sensors<Rate>>,
    accept: Mutex<Sensors<Rate>>,
    metrics: QuotaMetrics,
}

/// The limits in force and the image they are from.
#[derive(Default)]
struct Current {
    limits: Limits,
    image_revision: i64,
    quotas_revision: i64,
}

const PRODUCE: u8 = 1;
const FETCH: u8 = 2;
const REQUEST: u8 = 4;
const MUTATION: u8 = 8;
const ADDRESS: u8 = 16;

/// What becomes of a fetch response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FetchThrottle {
    pub(crate) throttle_ms: i32,
    /// Whether it must leave without records, which then are not counted.
    pub(crate) is_emptied: bool,
}

impl Quotas {
    /// Without limits, until it [follows](Self::follow) an image. Fails only when a metric's name is registered twice.
    pub(crate) fn new(
        options: &QuotaOptions,
        registry: &prometheus::Registry,
    ) -> Result<Self, prometheus::Error> {
        let windows = |count, seconds: u32| Windows {
            count,
            size_ms: u64::from(seconds) * 1_000,
        };
        Ok(Self {
            origin: clock::monotonic(),
            windows: windows(options.windows, options.window_seconds),
            mutation_windows: windows(
                options.controller_windows,
                options.controller_window_seconds,
            ),
            limited: AtomicU8::new(0),
            current: ArcSwap::default(),
            following: Mutex::default(),
            produce: Mutex::default(),
            fetch: Mutex::default(),
            request: Mutex::default(),
            mutation: Mutex::default(),
            address: Mutex::default(),
            accept: Mutex::default(),
            metrics: QuotaMetrics::register(registry)?,
        })
    }

    /// Enforces the limits of `image` from now on. What clients have used up already stays used up.
    pub(crate) async fn follow(&self, image: &ClusterImage) {
        if self.current.load().quotas_revision == image.quotas_revision() {
            return;
        }
        let next = Current {
            limits: Limits::of(image, &addresses(image).await),
            image_revision: image.revision,
            quotas_revision: image.quotas_revision(),
        };
        // While hosts were looked up, a later image may have come by.
        let _alone = self.following.lock();
        if self.current.load().image_revision > next.image_revision {
            return;
        }
        let limited = next.limits.kinds();
        self.current.store(Arc::new(next));
        self.limited.store(limited, Ordering::Release);
    }

    /// Counts a produce request's bytes; milliseconds for which its client must be silent.
    pub(crate) fn produced(&self, caller: Caller<'_>, bytes: usize) -> i32 {
        if !self.is_limited(PRODUCE) {
            return 0;
        }
        let current = self.current.load();
        let Some(Applying { limit, shared_by }) = current.limits.produce.of(caller) else {
            return 0;
        };
        let now_ms = self.now_ms();
        let mut sensors = self.produce.lock();
        let rate = sensors.of(shared_by, now_ms);
        rate.record(self.windows, bytes as f64, now_ms);
        let throttle_ms = rate.throttle_ms(self.windows, limit, now_ms);
        drop(sensors);
        noted(&self.metrics.produce, throttle_ms)
    }

    /// Counts a fetch response's bytes, unless it must leave without them: because it is over the limit (statement Q3), or because its
    /// client is silenced anyway, for `request_throttle_ms`.
    pub(crate) fn fetched(
        &self,
        caller: Caller<'_>,
        bytes: usize,
        request_throttle_ms: i32,
    ) -> FetchThrottle {
        let unlimited = FetchThrottle {
            throttle_ms: request_throttle_ms,
            is_emptied: request_throttle_ms > 0,
        };
        if !self.is_limited(FETCH) {
            return unlimited;
        }
        let current = self.current.load();
        let Some(Applying { limit, shared_by }) = current.limits.fetch.of(caller) else {
            return unlimited;
        };
        let now_ms = self.now_ms();
        let mut sensors = self.fetch.lock();
        let rate = sensors.of(shared_by, now_ms);
        // A batch that is more than all windows allow would never be let through; it is paid for afterwards. Kafka answers such
        // a fetch empty for ever.
        let is_first = rate.is_zero(self.windows, now_ms);
        rate.record(self.windows, bytes as f64, now_ms);
        let throttle_ms = rate.throttle_ms(self.windows, limit, now_ms);
        let is_emptied = request_throttle_ms > 0 || (throttle_ms > 0 && !is_first);
        if is_emptied {
            rate.record(self.windows, -(bytes as f64), now_ms);
        }
        drop(sensors);
        FetchThrottle {
            throttle_ms: noted(&self.metrics.fetch, throttle_ms).max(request_throttle_ms),
            is_emptied,
        }
    }

    /// The most bytes that a fetch may ask for: more would be throttled however long the client had waited.
    pub(crate) fn fetch_bytes_max(&self, caller: Caller<'_>) -> usize {
        if !self.is_limited(FETCH) {
            return usize::MAX;
        }
        let current = self.current.load();
        let applying = current.limits.fetch.of(caller);
        applying.map_or(usize::MAX, |applying| {
            self.windows.most_at_once(applying.limit) as usize
        })
    }

    /// Whether the time that requests take is to be measured.
    fn measures_work(&self) -> bool {
        self.is_limited(REQUEST)
    }

    /// Counts time that a request was worked on. With `is_checked`: milliseconds for which its client must be silent, at most a
    /// window (`ClientRequestQuotaManager`).
    fn worked(&self, caller: Caller<'_>, busy: Duration, is_checked: bool) -> i32 {
        let current = self.current.load();
        let Some(Applying { limit, shared_by }) = current.limits.request.of(caller) else {
            return 0;
        };
        let now_ms = self.now_ms();
        let mut sensors = self.request.lock();
        let rate = sensors.of(shared_by, now_ms);
        rate.record(self.windows, busy.as_secs_f64() * 100.0, now_ms);
        if !is_checked {
            return 0;
        }
        let throttle_ms = rate.throttle_ms(self.windows, limit, now_ms);
        drop(sensors);
        noted(&self.metrics.request, throttle_ms.min(self.windows.size_ms))
    }

    /// Counts a connection from `address`; the time after which it is to be closed without being served, if there are too many
    /// (`ConnectionQuotas.recordIpConnectionMaybeThrottle`).
    pub(crate) fn refuses_connection(&self, address: IpAddr) -> Option<Duration> {
        if !self.is_limited(ADDRESS) {
            return None;
        }
        let address = address.to_canonical();
        let limit = self.current.load().limits.connections_of(address)?;
        let now_ms = self.now_ms();
        let mut sensors = self.address.lock();
        let rate = sensors.of(address, now_ms);
        rate.record(self.windows, 1.0, now_ms);
        let throttle_ms = rate.throttle_ms(self.windows, limit, now_ms);
        if throttle_ms == 0 {
            return None;
        }
        rate.record(self.windows, -1.0, now_ms);
        drop(sensors);
        let throttle_ms = throttle_ms.min(self.windows.size_ms);
        self.metrics.address.note(throttle_ms);
        Some(Duration::from_millis(throttle_ms))
    }

    /// Counts a connection of `listener` against its own limit, and with `broker_limit` against that of all listeners: how
    /// long accepting must pause (`ConnectionQuotas.waitForConnectionSlot`).
    pub(crate) fn accepted(
        &self,
        listener: &str,
        listener_limit: Option<u32>,
        broker_limit: Option<u32>,
    ) -> Duration {
        let now_ms = self.now_ms();
        let mut sensors = self.accept.lock();
        let mut throttle_ms = 0;
        for (key, limit) in [(Some(listener), listener_limit), (None, broker_limit)] {
            let Some(limit) = limit else { continue };
            let rate = sensors.of(key, now_ms);
            rate.record(self.windows, 1.0, now_ms);
            throttle_ms = throttle_ms.max(rate.throttle_ms(self.windows, f64::from(limit), now_ms));
        }
        drop(sensors);
        let throttle_ms = throttle_ms.min(self.windows.size_ms);
        if throttle_ms > 0 {
            self.metrics.accept.note(throttle_ms);
        }
        Duration::from_millis(throttle_ms)
    }

    fn is_limited(&self, kind: u8) -> bool {
        self.limited.load(Ordering::Acquire) & kind != 0
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Limits {
    /// A bit for each kind that anybody is limited in.
    fn kinds(&self) -> u8 {
        let bit = |levels: &Levels, bit| if levels.is_empty() { 0 } else { bit };
        let address = if self.addresses_are_free() {
            0
        } else {
            ADDRESS
        };
        bit(&self.produce, PRODUCE)
            | bit(&self.fetch, FETCH)
            | bit(&self.request, REQUEST)
            | bit(&self.mutation, MUTATION)
            | address
    }
}

/// Counts what is held back; milliseconds as responses have them.
fn noted(metrics: &metrics::Throttled, throttle_ms: u64) -> i32 {
    if throttle_ms > 0 {
        metrics.note(throttle_ms);
    }
    i32::try_from(throttle_ms).unwrap_or(i32::MAX)
}

/// The addresses of the hosts that the quotas of `image` name.
async fn addresses(image: &ClusterImage) -> HashMap<String, IpAddr> {
    let deadline = clock::monotonic() + hosts::LOOKUP_MAX;
    let mut found = HashMap::new();
    for (entity, _) in image.quotas() {
        if let QuotaEntity::Ip(name) = entity
            && let Some(host) = name.name()
            && let Some(address) = hosts::address_of(host, deadline).await
        {
            found.insert(host.to_owned(), address);
        }
    }
    found
}
