//! Client telemetry (KIP-714): clients ask which of their metrics are wanted, push them, and `/metrics` shows them, summed up
//! by metric and client software.
//!
//! What is pushed is hostile: it is inflated to a bound, walked without being built up in memory, and becomes a bounded number
//! of series, of metrics that were subscribed to. Nothing is kept of a single client but when it may come again.

mod instances;
mod otlp;
mod series;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use cluster::{ClusterImage, ConfigResource};
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{debug, warn};
use uuid::Uuid;
use wire::Bytes;
use wire::compress::{Codec, DecompressError, decompress};

use self::instances::Subscriptions;
use self::series::{Exported, Series};
use crate::clock;
use crate::config::client_metrics::{Selector, Subscription};
use crate::net::connection::Software;

pub(crate) use self::instances::{Granted, Push};

/// What a payload may come to when it is inflated, where `telemetry.max.bytes` is not more.
const INFLATED_BYTES_MAX: usize = 16 << 20;
/// Payloads that are worked on at a time.
const DECODING_MAX: usize = 2;
/// How long a payload waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(10);

/// Why a client's telemetry is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TelemetryError {
    #[error("{0} is no client instance id")]
    InvalidInstanceId(Uuid),
    #[error("the client said before that it was terminating")]
    Terminated,
    #[error("the client comes before its push interval is over, or too many come at once")]
    TooSoon,
    #[error("the client's subscription is another one now")]
    UnknownSubscription,
    #[error("compression type {0} is not known")]
    UnsupportedCompression(i8),
    #[error("the payload is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the payload cannot be read: {0}")]
    Unreadable(String),
}

impl TelemetryError {
    /// A label from a small closed set.
    fn reason(&self) -> &'static str {
        match self {
            Self::InvalidInstanceId(_) => "invalid_instance_id",
            Self::Terminated => "terminated",
            Self::TooSoon => "too_soon",
            Self::UnknownSubscription => "unknown_subscription",
            Self::UnsupportedCompression(_) => "unsupported_compression",
            Self::TooLarge(_) => "too_large",
            Self::Unreadable(_) => "unreadable",
        }
    }

    const REASONS: [&'static str; 7] = [
        "invalid_instance_id",
        "terminated",
        "too_soon",
        "unknown_subscription",
        "unsupported_compression",
        "too_large",
        "unreadable",
    ];
}

/// A client as selectors see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client<'a> {
    /// The connection it asks by.
    pub(crate) connection: u64,
    pub(crate) client_id: Option<&'a str>,
    pub(crate) software: &'a Software,
    pub(crate) peer: SocketAddr,
}

/// A push that was let in; its payload is still to be read.
#[derive(Debug)]
pub(crate) struct LetIn {
    wanted: Arc<[String]>,
    software: Box<str>,
    codec: Codec,
    payload: Bytes,
    payload_bytes_max: usize,
}

/// The telemetry of a broker's clients.
pub(crate) struct Telemetry {
    origin: Instant,
    subscriptions: ArcSwap<Subscriptions>,
    shared: Arc<Exported>,
    decoding: Arc<Semaphore>,
}

impl Telemetry {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let origin = clock::monotonic();
        let shared = Arc::new(Exported::new(origin)?);
        registry.register(Box::new(Arc::clone(&shared).collector()))?;
        Ok(Self {
            origin,
            subscriptions: ArcSwap::default(),
            shared,
            decoding: Arc::new(Semaphore::new(DECODING_MAX)),
        })
    }

    /// Follows the subscriptions in the cluster's picture.
    pub(crate) fn follow(&self, image: &ClusterImage) {
        let first = ConfigResource::ClientMetrics(String::new());
        let found = image
            .configs_from(&first)
            .map_while(|(resource, config)| match resource {
                ConfigResource::ClientMetrics(name) => Some((name.clone(), config)),
                _ => None,
            });
        let found: Vec<_> = found.collect();
        let revisions: Vec<_> = found
            .iter()
            .map(|(name, config)| (name.clone(), config.revision))
            .collect();
        let before = self.subscriptions.load();
        if before.revisions == revisions {
            return;
        }
        let all = found.into_iter().filter_map(|(name, config)| {
            let parsed = Subscription::parse(&config.values);
            // It was checked when it was set, by another version's rules then.
            let warned = parsed.inspect_err(
                |error| warn!(name, %error, "a client metrics subscription is left out"),
            );
            warned.ok()
        });
        let next = Subscriptions {
            version: before.version + 1,
            revisions,
            all: all.collect(),
        };
        self.subscriptions.store(Arc::new(next));
    }

    /// What an instance is to push, and under which ids; a nil `instance_id` asks for a new one.
    pub(crate) fn subscription(
        &self,
        client: Client<'_>,
        instance_id: Uuid,
    ) -> Result<Granted, TelemetryError> {
        let subscriptions = self.subscriptions.load();
        let now_ms = self.now_ms();
        let mut instances = self.shared.instances.lock();
        let granted = instances.get(now_ms, client, instance_id, &subscriptions);
        drop(instances);
        granted.inspect_err(|error| self.shared.count_refused(error.reason()))
    }

    /// Lets a push in or not, by everything but its payload.
    pub(crate) fn let_in(
        &self,
        client: Client<'_>,
        push: Push,
        payload: Bytes,
    ) -> Result<LetIn, TelemetryError> {
        let subscriptions = self.subscriptions.load();
        let now_ms = self.now_ms();
        let mut instances = self.shared.instances.lock();
        let let_in = instances.push(now_ms, client, push, &subscriptions);
        drop(instances);
        let (wanted, codec) =
            let_in.inspect_err(|error| self.shared.count_refused(error.reason()))?;
        Ok(LetIn {
            wanted,
            software: client.software.name.clone(),
            codec,
            payload,
            payload_bytes_max: push.bytes_max,
        })
    }

    /// Reads the payload and adds it up. What nobody subscribed to is not even inflated.
    pub(crate) async fn take_in(&self, push: LetIn) -> Result<(), TelemetryError> {
        let taken = self.read(push).await;
        match &taken {
            Ok(()) => self.shared.accepted.inc(),
            Err(error) => {
                debug!(%error, "client telemetry refused");
                self.shared.count_refused(error.reason());
            }
        }
        taken
    }

    async fn read(&self, push: LetIn) -> Result<(), TelemetryError> {
        if push.wanted.is_empty() || push.payload.is_empty() {
            return Ok(());
        }
        let turn = Arc::clone(&self.decoding).acquire_owned();
        let Ok(Ok(turn)) = tokio::time::timeout(TURN_MAX, turn).await else {
            return Err(TelemetryError::TooSoon);
        };
        let shared = Arc::clone(&self.shared);
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            add_up(&push, &shared.series)
        });
        read.await
            .unwrap_or_else(|panic| Err(TelemetryError::Unreadable(panic.to_string())))
    }

    /// Forgets the instance that asked by this connection, as Kafka does: one that comes again begins anew.
    pub(crate) fn disconnected(&self, connection: u64) {
        self.shared.instances.lock().disconnected(connection);
    }

    fn now_ms(&self) -> i64 {
        elapsed_ms(self.origin)
    }
}

fn elapsed_ms(origin: Instant) -> i64 {
    i64::try_from(origin.elapsed().as_millis()).unwrap_or(i64::MAX)
}

/// Blocks for the time that inflating takes.
fn add_up(push: &LetIn, series: &Mutex<Series>) -> Result<(), TelemetryError> {
    let inflated_max = push.payload_bytes_max.max(INFLATED_BYTES_MAX);
    let inflated = match push.codec {
        Codec::None => push.payload.clone(),
        codec => decompress(codec, &push.payload, inflated_max).map_err(|error| match error {
            DecompressError::TooLarge { limit, .. } => TelemetryError::TooLarge(limit),
            DecompressError::Corrupt { .. } => TelemetryError::Unreadable(error.to_string()),
        })?,
    };
    let unreadable = |error: otlp::BadOtlp| TelemetryError::Unreadable(error.to_string());
    // All of it is looked at before any of it counts.
    otlp::walk(&inflated, |_| {}).map_err(unreadable)?;
    let mut series = series.lock();
    let is_wanted = |name: &str| {
        let mut wanted = push.wanted.iter();
        wanted.any(|prefix| prefix == ALL_METRICS || name.starts_with(prefix.as_str()))
    };
    otlp::walk(&inflated, |sample| {
        if is_wanted(sample.name) {
            series.add(&sample, &push.software);
        }
    })
    .map_err(unreadable)
}

/// What a subscription calls all metrics.
const ALL_METRICS: &str = "*";

impl Client<'_> {
    fn matches(&self, instance_id: Uuid, subscription: &Subscription) -> bool {
        let id = cluster::id_text(instance_id);
        let (address, port) = (java_address(self.peer.ip()), self.peer.port().to_string());
        subscription.matches(|selector| match selector {
            Selector::InstanceId => Some(&id),
            Selector::ClientId => self.client_id,
            Selector::SoftwareName => Some(&self.software.name),
            Selector::SoftwareVersion => Some(&self.software.version),
            Selector::SourceAddress => Some(&address),
            Selector::SourcePort => Some(&port),
        })
    }
}

/// `InetAddress.getHostAddress`: IPv6 without abbreviation, and IPv4 as such also where it came through an IPv6 socket.
fn java_address(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => ip.segments().map(|part| format!("{part:x}")).join(":"),
    }
}
