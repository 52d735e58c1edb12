//! What every handler may reach: the rooms, joined.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use cluster::{ClusterImage, ConfigResource, Controller};
use parking_lot::Mutex;
use storage::Store;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::SystemClock;
use crate::config::{Config, Loaded};
use crate::fetch_session::FetchSessions;
use crate::groups::Groups;
use crate::log_filter::LogFilter;
use crate::metrics::Metrics;
use crate::net::budget::MemoryBudget;
use crate::net::connection::ConnectionInfo;
use crate::quotas::Quotas;
use crate::telemetry::Telemetry;
use crate::topics::Topics;
use crate::transactions::Transactions;

/// The broker's shared services. Cheap to share, never global: several brokers live in one process.
pub(crate) struct Context {
    pub(crate) node_id: i32,
    pub(crate) controller: Controller,
    pub(crate) store: Arc<Store>,
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    pub(crate) transactions: Transactions,
    pub(crate) fetch_sessions: FetchSessions,
    pub(crate) telemetry: Telemetry,
    pub(crate) memory: MemoryBudget,
    pub(crate) quotas: Quotas,
    pub(crate) metrics: Metrics,
    /// What is logged, where the embedder lets us speak of it.
    pub(crate) log_filter: Option<Arc<LogFilter>>,
    pub(crate) clock: SystemClock,
    /// Cancelled when the broker stops taking up requests.
    pub(crate) stop: CancellationToken,
    pub(crate) settings: Settings,
}

/// The configuration and the dynamic layers it was last built with.
pub(crate) struct Settings {
    current: ArcSwap<Config>,
    dynamic: Mutex<Dynamic>,
    groups: ArcSwap<GroupOverrides>,
}

/// What is set for groups, by their ids.
pub(crate) type GroupOverrides = BTreeMap<String, Arc<BTreeMap<String, String>>>;

#[derive(Default, PartialEq)]
struct Dynamic {
    cluster: Arc<BTreeMap<String, String>>,
    broker: Arc<BTreeMap<String, String>>,
}

impl Settings {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            current: ArcSwap::from_pointee(config),
            dynamic: Mutex::default(),
            groups: ArcSwap::default(),
        }
    }
}

impl Context {
    /// The configuration now; dynamic changes replace it.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.settings.current.load_full()
    }

    /// What is set for groups now.
    pub(crate) fn group_overrides(&self) -> Arc<GroupOverrides> {
        self.settings.groups.load_full()
    }

    pub(crate) fn image(&self) -> Arc<ClusterImage> {
        self.controller.image()
    }

    pub(crate) fn now_ms(&self) -> i64 {
        storage::Clock::now_ms(&self.clock)
    }

    /// Makes this broker agree with the newest image, so that what an admin call created is served before the call is
    /// answered (a client's next request would otherwise race with it).
    pub(crate) async fn apply_image(self: &Arc<Self>) {
        let ctx = Arc::clone(self);
        if let Err(panic) = tokio::task::spawn_blocking(move || ctx.apply_image_blocking()).await {
            error!(%panic, "applying the cluster image failed");
        }
        self.quotas.follow(&self.image()).await;
        self.groups.follow(self).await;
        self.transactions.follow(self);
    }

    fn apply_image_blocking(&self) {
        // Held throughout and taken before the image is read: an older image never undoes what a newer one set.
        let mut dynamic = self.settings.dynamic.lock();
        let image = self.image();
        if self.follow_dynamic_settings(&image, &mut dynamic) {
            let config = self.config();
            self.topics.reconfigure(&config);
            if let Err(error) = self.store.configure_cleaner(config.store.cleaner.clone()) {
                error!(%error, "the threads of compaction cannot be started");
            }
        }
        self.follow_group_overrides(&image);
        self.telemetry.follow(&image);
        self.topics.apply(&image, &self.config());
    }

    /// Rebuilds the configuration if the image's dynamic settings for brokers are others than before.
    fn follow_dynamic_settings(&self, image: &ClusterImage, dynamic: &mut Dynamic) -> bool {
        let values = |resource| {
            image
                .config(&resource)
                .map(|config| Arc::clone(&config.values))
                .unwrap_or_default()
        };
        let next = Dynamic {
            cluster: values(ConfigResource::BrokerDefault),
            broker: values(ConfigResource::Broker(self.node_id)),
        };
        if *dynamic == next {
            return false;
        }
        let Loaded { config, warnings } = self.config().with_dynamic(&next.cluster, &next.broker);
        for warning in warnings {
            warn!("{warning}");
        }
        info!(
            cluster = next.cluster.len(),
            broker = next.broker.len(),
            "dynamic settings applied"
        );
        self.settings.current.store(Arc::new(config));
        *dynamic = next;
        true
    }

    fn follow_group_overrides(&self, image: &ClusterImage) {
        let first = ConfigResource::Group(String::new());
        let groups = image.configs_from(&first);
        let next: GroupOverrides = groups
            .filter_map(|(resource, config)| match resource {
                ConfigResource::Group(name) => Some((name.clone(), Arc::clone(&config.values))),
                _ => None,
            })
            .collect();
        if **self.settings.groups.load() != next {
            self.settings.groups.store(Arc::new(next));
        }
    }

    /// The host and port that a client of `connection` is told for this broker.
    pub(crate) fn advertised(&self, connection: &ConnectionInfo) -> (String, i32) {
        connection.listener.advertised_to(connection.local)
    }
}
