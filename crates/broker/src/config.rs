//! Configuration: one table of keys under Kafka's own names, which feeds the properties file, the environment, `--set`,
//! DescribeConfigs, AlterConfigs and `docs/configuration.md`.
//!
//! Precedence: default < file < environment < `--set` < altered for all brokers < altered for this broker; every value
//! remembers where it came from. The rooms below never see keys: they take small option structs.

pub mod alter;
pub mod client_metrics;
pub mod describe;
pub mod docs;
pub mod group;
mod groups;
mod ignored;
pub mod keys;
pub mod layers;
pub mod listeners;
mod memory;
mod metrics;
mod sources;
pub mod topic;
pub mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::keys::Fate;
use self::layers::{Layers, Origin, Setting};
use self::listeners::EndPoint;

pub use self::listeners::{Advertised, Listener, SecurityProtocol};
pub use self::metrics::{MetricsLevel, MetricsOptions};
pub use self::sources::Sources;
pub use self::topic::TopicSettings;
pub use self::value::ConfigError;

/// Limits and options of client connections.
#[derive(Debug, Clone, Default)]
pub struct NetworkOptions {
    /// Longest request taken, without its length prefix.
    pub request_bytes_max: usize,
    /// Longest request taken from a connection that has yet to authenticate.
    pub unauthenticated_request_bytes_max: usize,
    /// Memory that requests of all connections may hold together.
    pub request_budget_bytes: usize,
    /// A request whose first byte has arrived must be whole within this time.
    pub frame_deadline: Duration,
    /// A connection without traffic is closed after this time.
    pub idle_max: Duration,
    /// Connections at a time.
    pub connections_max: usize,
    /// Connections at a time from one address without an exception below.
    pub connections_per_ip_max: usize,
    /// Exceptions by address.
    pub connections_per_ip_overrides: BTreeMap<IpAddr, usize>,
    /// Connections accepted in a second, over all listeners.
    pub connection_rate_max: u32,
    /// Connections accepted in a second by single listeners, by name.
    pub listener_connection_rates_max: BTreeMap<String, u32>,
    /// Connections the kernel holds for a listener before they are accepted.
    pub backlog: i32,
    /// SO_RCVBUF, where it is set.
    pub receive_buffer_bytes: Option<usize>,
    /// SO_SNDBUF, where it is set.
    pub send_buffer_bytes: Option<usize>,
}

impl NetworkOptions {
    /// Connections at a time from this address. Does not block.
    pub fn connections_max_of(&self, ip: IpAddr) -> usize {
        self.connections_per_ip_overrides
            .get(&ip)
            .copied()
            .unwrap_or(self.connections_per_ip_max)
    }
}

/// Over which time the rates of client quotas are taken.
#[derive(Debug, Clone, Default)]
pub struct QuotaOptions {
    /// Windows of a rate, the current one included.
    pub windows: u32,
    /// Seconds of a window.
    pub window_seconds: u32,
    /// The same for the creation and deletion of partitions.
    pub controller_windows: u32,
    /// The same for the creation and deletion of partitions.
    pub controller_window_seconds: u32,
}

/// How topics come and go.
#[derive(Debug, Clone, Default)]
pub struct TopicCreation {
    /// Partitions where a creator does not say.
    pub partitions: i32,
    /// Replicas where a creator does not say.
    pub replication_factor: i32,
    /// Whether Metadata creates topics.
    pub auto_create: bool,
    /// Whether clients may delete topics.
    pub delete: bool,
}

/// How a topic of coordinators is made.
#[derive(Debug, Clone, Default)]
pub struct InternalTopic {
    /// Its partitions; fixed once the topic is there.
    pub partitions: i32,
    /// Its replicas.
    pub replication_factor: i16,
    /// `segment.bytes` of the topic.
    pub segment_bytes: i32,
    /// `min.insync.replicas` of the topic, where it is not every topic's.
    pub min_insync_replicas: Option<i32>,
}

/// How `__consumer_offsets` is made and written.
#[derive(Debug, Clone, Default)]
pub struct OffsetsTopic {
    /// The topic.
    pub topic: InternalTopic,
    /// How the coordinators' batches are compressed: Kafka's number of the codec.
    pub codec: i32,
    /// How long a change waits for the other replicas.
    pub commit_timeout: Duration,
}

/// The address of one admin HTTP listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminListener {
    /// Host to bind; empty for every interface.
    pub host: String,
    /// Port to bind; 0 for any.
    pub port: u16,
}

/// The configuration of one broker, typed. A changed configuration is a new value.
#[derive(Debug, Clone)]
pub struct Config {
    /// This broker's number.
    pub node_id: i32,
    /// The cluster's id where it is given; otherwise the log directories know it, or a new one is made.
    pub cluster_id: Option<String>,
    /// The rack this broker stands in.
    pub rack: Option<String>,
    /// Where clients are served; never empty.
    pub listeners: Vec<Arc<Listener>>,
    /// The name of the listener that other brokers use.
    pub inter_broker_listener: String,
    /// Where the admin HTTP server listens; may be empty.
    pub admin_listeners: Vec<AdminListener>,
    /// Connections.
    pub network: NetworkOptions,
    /// The windows of quotas.
    pub quotas: QuotaOptions,
    /// Creation and deletion of topics.
    pub topics: TopicCreation,
    /// Most record bytes of a fetch response.
    pub fetch_bytes_max: usize,
    /// Incremental fetch sessions at a time.
    pub fetch_sessions_max: usize,
    /// Most partitions of a DescribeTopicPartitions response.
    pub describe_partitions_max: usize,
    /// Longest payload of a PushTelemetry request.
    pub telemetry_bytes_max: usize,
    /// Limits of consumer groups and committed offsets.
    pub groups: coordinator::GroupOptions,
    /// The topic that keeps them.
    pub offsets_topic: OffsetsTopic,
    /// Limits of transactions.
    pub transactions: coordinator::transactions::TransactionOptions,
    /// How long a request waits for the transaction before it to be completed.
    pub transaction_patience: Duration,
    /// Whether an older client's transactional batches are shown to be part of a transaction before they are appended.
    pub verify_transactions: bool,
    /// The topic that keeps transactions.
    pub transaction_state_topic: InternalTopic,
    /// What `/metrics` shows.
    pub metrics: MetricsOptions,
    /// The store's options; the cluster's id is filled in by `store_options`.
    pub store: storage::StoreOptions,
    layers: Layers,
    allow_unknown: bool,
}

/// A configuration, and what its user should be told about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// One sentence for every key that has no effect, and the like.
    pub warnings: Vec<String>,
}

/// Why a broker cannot be configured: every problem found.
#[derive(Debug, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct LoadError {
    /// What is wrong, each problem by itself.
    pub problems: Vec<ConfigError>,
}

impl Config {
    /// Reads the sources. Blocks on the properties file. Fails with every problem at once: unreadable sources, unknown
    /// keys, wrong values, contradictions.
    pub fn load(sources: &Sources) -> Result<Loaded, LoadError> {
        let read = sources::read(sources);
        let mut warnings = read.warnings;
        if !read.errors.is_empty() {
            return Err(LoadError {
                problems: read.errors,
            });
        }
        let layers = Layers {
            fixed: read.settings,
            ..Layers::default()
        };
        let config =
            Self::build(layers, sources.allow_unknown, &mut warnings).map_err(|problem| {
                LoadError {
                    problems: vec![problem],
                }
            })?;
        Ok(Loaded { config, warnings })
    }

    /// A configuration for a test: this data directory, any free ports on loopback, everything else by default.
    ///
    /// # Panics
    /// When a default contradicts another.
    pub fn for_tests(dir: &Path) -> Self {
        Self::for_tests_with(dir, &[])
    }

    /// As `for_tests`, with these settings.
    ///
    /// # Panics
    /// When a setting is wrong; a test wants to know at once.
    pub fn for_tests_with(dir: &Path, settings: &[(&str, &str)]) -> Self {
        let dir = dir.display().to_string();
        let quiet = [
            ("listeners", "PLAINTEXT://127.0.0.1:0"),
            ("admin.listeners", "http://127.0.0.1:0"),
            ("log.dirs", dir.as_str()),
        ];
        let sources = quiet
            .iter()
            .chain(settings)
            .fold(Sources::default(), |all, (key, value)| all.with(key, value));
        match Self::load(&sources) {
            Ok(loaded) => loaded.config,
            Err(error) => panic!("a test's configuration is wrong: {error}"),
        }
    }

    /// The same broker with these dynamic settings: for all brokers, and for this one. What is stored and no longer
    /// right (it was checked when it was altered, by another version) is left out with a warning. Does not block.
    pub fn with_dynamic(
        &self,
        cluster: &BTreeMap<String, String>,
        broker: &BTreeMap<String, String>,
    ) -> Loaded {
        let mut warnings = Vec::new();
        let mut valid = |layer: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            let mut valid = layer.clone();
            valid.retain(
                |name, text| match keys::find(name).map(|key| key.spec.parse(text)) {
                    Some(Err(error)) => {
                        warnings.push(format!("a stored dynamic setting is left out: {error}"));
                        false
                    }
                    _ => true,
                },
            );
            valid
        };
        let layers = Layers {
            fixed: self.layers.fixed.clone(),
            cluster: valid(cluster),
            broker: valid(broker),
        };
        match Self::build(layers, self.allow_unknown, &mut Vec::new()) {
            Ok(config) => Loaded { config, warnings },
            Err(error) => {
                warnings.push(format!(
                    "the stored dynamic settings contradict each other and are left out: {error}"
                ));
                Loaded {
                    config: self.clone(),
                    warnings,
                }
            }
        }
    }

    /// The settings of a topic with these overrides. Does not block.
    pub fn topic_settings(&self, overrides: &BTreeMap<String, String>) -> TopicSettings {
        topic::settings(&self.layers, overrides)
    }

    /// The store's options, once the cluster's id is known.
    pub fn store_options(&self, cluster_id: &str) -> storage::StoreOptions {
        storage::StoreOptions {
            cluster_id: cluster_id.to_owned(),
            ..self.store.clone()
        }
    }

    /// Static settings as they were written, with their origins, in the order of their names.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.layers
            .fixed
            .iter()
            .map(|(name, setting)| (name.as_str(), setting))
    }

    /// Where the value of this key was set, if any static source sets it.
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        self.layers.fixed.get(name).map(|setting| &setting.origin)
    }

    fn build(
        layers: Layers,
        allow_unknown: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::blank(allow_unknown);
        for key in keys::KEYS {
            if let Fate::Honoured(set) = key.fate {
                set(&mut config, &layers.value(key.name()));
            }
        }
        config.join(&layers, warnings)?;
        config.layers = layers;
        Ok(config)
    }

    /// Every field is set by the table or by `join`; a test holds the table to that.
    fn blank(allow_unknown: bool) -> Self {
        Self {
            node_id: 0,
            cluster_id: None,
            rack: None,
            listeners: Vec::new(),
            inter_broker_listener: String::new(),
            admin_listeners: Vec::new(),
            network: NetworkOptions::default(),
            quotas: QuotaOptions::default(),
            topics: TopicCreation::default(),
            fetch_bytes_max: 0,
            fetch_sessions_max: 0,
            telemetry_bytes_max: 0,
            groups: coordinator::GroupOptions::default(),
            offsets_topic: OffsetsTopic::default(),
            transactions: coordinator::transactions::TransactionOptions::default(),
            transaction_patience: Duration::ZERO,
            verify_transactions: false,
            transaction_state_topic: InternalTopic::default(),
            describe_partitions_max: 0,
            metrics: MetricsOptions::default(),
            store: storage::StoreOptions::new(Vec::new(), "", 0),
            layers: Layers::default(),
            allow_unknown,
        }
    }

    /// What several keys decide together.
    fn join(&mut self, layers: &Layers, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
        self.node_id = node_id(layers)?;
        self.store.node_id = self.node_id;
        check_roles(layers)?;
        let listeners = listeners::read(layers)?;
        warnings.extend(listeners.warnings);
        self.listeners = listeners.open.into_iter().map(Arc::new).collect();
        self.inter_broker_listener = listeners.inter_broker;
        self.admin_listeners = admin_listeners(layers)?;
        self.network.connections_per_ip_overrides = connection_overrides(layers)?;
        self.network.listener_connection_rates_max =
            listeners::connection_rates(layers, &self.listeners)?;
        if self.network.connections_per_ip_max == 0
            && self.network.connections_per_ip_overrides.is_empty()
        {
            return Err(conflict(
                "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.",
            ));
        }
        let memory = memory::limit_bytes();
        self.network.request_budget_bytes = request_budget(layers, memory)?;
        self.store.tail_cache_bytes = tail_cache(layers, memory);
        self.store.dirs = log_dirs(layers)?;
        self.groups.consumer.assignors = groups::assignors(layers)?;
        groups::check(layers)?;
        check_retention(layers)
    }
}

const MIB: u64 = 1 << 20;

fn conflict(text: impl Into<String>) -> ConfigError {
    ConfigError::Conflict(text.into())
}

fn node_id(layers: &Layers) -> Result<i32, ConfigError> {
    let (node, broker) = (
        layers.value("node.id").int(),
        layers.value("broker.id").int(),
    );
    if layers.is_set("broker.id") && node != broker {
        return Err(conflict(
            "You must set `node.id` to the same value as `broker.id`.",
        ));
    }
    Ok(node)
}

fn check_roles(layers: &Layers) -> Result<(), ConfigError> {
    let roles = layers.value("process.roles");
    if roles.list().iter().any(|role| role == "broker") {
        return Ok(());
    }
    Err(conflict(
        "process.roles must contain broker: there is no separate controller process",
    ))
}

fn admin_listeners(layers: &Layers) -> Result<Vec<AdminListener>, ConfigError> {
    const KEY: &str = "admin.listeners";
    let value = layers.value(KEY);
    let parsed = value.list().iter().map(|text| {
        let expected = || ConfigError::invalid(KEY, text, "Expected http://host:port");
        let EndPoint { name, host, port } = EndPoint::parse(text).map_err(|_| expected())?;
        if name != "HTTP" {
            return Err(expected());
        }
        Ok(AdminListener { host, port })
    });
    parsed.collect()
}

fn connection_overrides(layers: &Layers) -> Result<BTreeMap<IpAddr, usize>, ConfigError> {
    const KEY: &str = "max.connections.per.ip.overrides";
    let value = layers.value(KEY);
    let pairs = value
        .str()
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty());
    let parsed = pairs.map(|pair| {
        let expected = || ConfigError::invalid(KEY, pair, "Expected address:limit");
        let (host, limit) = pair.rsplit_once(':').ok_or_else(expected)?;
        let ip = host
            .trim()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .map_err(|_| expected())?;
        Ok((ip, limit.trim().parse().map_err(|_| expected())?))
    });
    parsed.collect()
}

fn request_budget(layers: &Layers, memory: u64) -> Result<usize, ConfigError> {
    const KEY: &str = "queued.max.request.bytes";
    let (budget, request) = (
        layers.value(KEY).integer(),
        layers.value("socket.request.max.bytes").integer(),
    );
    if budget > 0 && budget < request {
        return Err(conflict(format!(
            "{KEY} must be larger or equal to socket.request.max.bytes"
        )));
    }
    let bytes = u64::try_from(budget).ok().filter(|budget| *budget > 0);
    Ok(size(bytes.unwrap_or_else(|| {
        (memory / 8)
            .clamp(128 * MIB, 1024 * MIB)
            .max(request.unsigned_abs())
    })))
}

fn tail_cache(layers: &Layers, memory: u64) -> usize {
    let bytes = u64::try_from(layers.value("storage.tail.cache.bytes").integer());
    size(bytes.unwrap_or_else(|_| (memory / 64).clamp(16 * MIB, 128 * MIB)))
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn log_dirs(layers: &Layers) -> Result<Vec<PathBuf>, ConfigError> {
    let several = layers.value("log.dirs");
    let value = if several.is_null() {
        layers.value("log.dir")
    } else {
        several
    };
    let dirs: Vec<PathBuf> = value.list().iter().map(PathBuf::from).collect();
    if dirs.is_empty() || dirs.iter().any(|dir| dir.as_os_str().is_empty()) {
        return Err(conflict(
            "At least one log directory must be defined via log.dirs or log.dir.",
        ));
    }
    if dirs.iter().collect::<BTreeSet<_>>().len() < dirs.len() {
        return Err(conflict(format!(
            "log.dirs names a directory twice: {}",
            value.list().join(",")
        )));
    }
    Ok(dirs)
}

fn check_retention(layers: &Layers) -> Result<(), ConfigError> {
    let zero = [
        "log.retention.ms",
        "log.retention.minutes",
        "log.retention.hours",
    ]
    .into_iter()
    .find(|name| {
        let value = layers.value(name);
        !value.is_null() && value.integer() == 0
    });
    match zero {
        Some(name) => Err(conflict(format!(
            "{name} must be unlimited (-1) or, greater than or equal to 1"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
