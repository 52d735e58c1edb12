//! The one table of broker keys: Kafka 4.4's own, under Kafka's names, and this broker's extensions.
//!
//! Three fates: honoured, accepted and ignored with a warning (`ignored.rs`), unknown.

use coordinator::MigrationPolicy;

use super::topic::TOPIC_KEYS;
use super::value::{Check, ConfigError, Kind, Spec, Value};
use super::{Config, MetricsLevel, ignored};

/// Whether a key may be altered while the broker runs (Kafka's `DynamicBrokerConfig`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// Only by a restart.
    ReadOnly,
    /// For one broker at a time.
    PerBroker,
    /// For one broker, or for all of them at once.
    ClusterWide,
}

/// What becomes of a key's value.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    /// It sets a field.
    Honoured(fn(&mut Config, &Value)),
    /// It is read together with other keys (`listeners.rs`, `Config::join`).
    Joint,
    /// It is the default of this topic config.
    TopicDefault(&'static str),
    /// It is accepted and has no effect, for this reason.
    Ignored(Why),
}

/// Why a known key has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// About the JVM or a Java class.
    Java,
    /// About ZooKeeper, or gone from Kafka before 4.4.
    Retired,
    /// About a KRaft quorum.
    Kraft,
    /// About the insides of Apache Kafka.
    Machinery,
    /// Tiered storage.
    Tiering,
    /// TLS, SASL, ACLs, delegation tokens.
    Security,
    /// Which protocols of groups are served.
    Groups,
    /// Share groups and their coordinator.
    ShareGroups,
    /// Streams groups.
    StreamsGroups,
    /// Two-phase commit.
    Transactions,
    /// Replication between brokers.
    Replication,
    /// Quotas of replication.
    Quotas,
}

impl Why {
    /// The reason as a sentence.
    pub fn text(self) -> &'static str {
        match self {
            Self::Java => "Concerns the JVM or names a Java class; this broker runs no Java.",
            Self::Retired => "Concerns ZooKeeper or was removed from Kafka before 4.4.",
            Self::Kraft => {
                "Concerns a KRaft controller quorum; this broker keeps its metadata without one."
            }
            Self::Machinery => {
                "Sizes or paces a part of Apache Kafka that this broker does not have."
            }
            Self::Tiering => "Tiered storage is not provided.",
            Self::Security => "TLS, SASL and authorization are not in this release.",
            Self::Groups => {
                "Every protocol of groups that this broker has is served; a client chooses by what it asks for."
            }
            Self::ShareGroups => "Share groups are not in this release.",
            Self::StreamsGroups => "Streams groups are not in this release.",
            Self::Transactions => {
                "Transactions that another system commits are not in this release."
            }
            Self::Replication => "Replication between brokers is not in this release.",
            Self::Quotas => "Quotas of replication are not in this release.",
        }
    }
}

/// How a default relates to Apache Kafka 4.4's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kafka {
    /// The same.
    Same,
    /// Kafka has this default instead, and ours differs for this reason.
    Differs {
        /// Kafka's default.
        default: &'static str,
        /// Why ours is another.
        why: &'static str,
    },
    /// Kafka has no such key.
    Absent,
}

/// One broker key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Name, type, default, check.
    pub spec: Spec,
    /// When it may be altered.
    pub update: Update,
    /// What becomes of it.
    pub fate: Fate,
    /// Whether the default is Kafka's.
    pub kafka: Kafka,
    /// Kafka alters it while it runs, and here it needs a restart.
    pub kafka_alters: bool,
    /// Listed by DescribeConfigs only where it is set (Kafka's internal keys and retired ones).
    pub hidden: bool,
    doc: &'static str,
}

impl Key {
    const fn new(
        kind: Kind,
        name: &'static str,
        default: Option<&'static str>,
        check: Check,
    ) -> Self {
        Self {
            spec: Spec {
                name,
                kind,
                default,
                check,
            },
            update: Update::ReadOnly,
            fate: Fate::Joint,
            kafka: Kafka::Same,
            kafka_alters: false,
            hidden: false,
            doc: "",
        }
    }

    pub(super) const fn ignored(spec: Spec, update: Update, why: Why) -> Self {
        let key = Self::new(spec.kind, spec.name, spec.default, spec.check);
        Self {
            update,
            fate: Fate::Ignored(why),
            ..key
        }
    }

    pub(super) const fn hidden(self) -> Self {
        Self {
            hidden: true,
            ..self
        }
    }

    const fn about(self, doc: &'static str) -> Self {
        Self { doc, ..self }
    }

    const fn set(self, set: fn(&mut Config, &Value)) -> Self {
        Self {
            fate: Fate::Honoured(set),
            ..self
        }
    }

    /// The default of a topic config; a change takes effect at once, for every topic that does not override it.
    const fn topic(self, name: &'static str) -> Self {
        Self {
            fate: Fate::TopicDefault(name),
            update: Update::ClusterWide,
            ..self
        }
    }

    const fn update(self, update: Update) -> Self {
        Self { update, ..self }
    }

    const fn needs_restart(self) -> Self {
        Self {
            kafka_alters: true,
            ..self
        }
    }

    const fn ours(self) -> Self {
        Self {
            kafka: Kafka::Absent,
            ..self
        }
    }

    const fn not_kafkas(self, default: &'static str, why: &'static str) -> Self {
        Self {
            kafka: Kafka::Differs { default, why },
            ..self
        }
    }

    /// The key's name.
    pub fn name(&self) -> &'static str {
        self.spec.name
    }

    /// What the key does, in a sentence or two.
    pub fn doc(&self) -> String {
        match self.fate {
            Fate::Ignored(why) => format!("Accepted and ignored. {}", why.text()),
            Fate::TopicDefault(topic) if self.doc.is_empty() => {
                format!("Default of the topic config `{topic}`.")
            }
            Fate::TopicDefault(topic) => {
                format!("{} Default of the topic config `{topic}`.", self.doc)
            }
            _ => self.doc.to_owned(),
        }
    }

    /// Whether the value is never shown.
    pub fn sensitive(&self) -> bool {
        self.spec.kind == Kind::Password
    }
}

/// Every broker key, honoured or ignored, in no order.
pub fn all() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(ignored::KEYS)
}

/// The key of this name, if Kafka 4.4 or this broker has one.
pub fn find(name: &str) -> Option<&'static Key> {
    // Some 300 names are compared at start-up and by admin calls only.
    all().find(|key| key.name() == name)
}

/// The key that a listener's own name for it stands for: `listener.name.<listener>[.<mechanism>].<key>`.
pub(super) fn of_listener(name: &str) -> Option<&'static Key> {
    let (_listener, rest) = name.strip_prefix("listener.name.")?.split_once('.')?;
    find(rest).or_else(|| find(rest.split_once('.')?.1))
}

/// The known key that is spelt most like `name`, if any is close enough to have been meant.
pub fn nearest(name: &str) -> Option<&'static str> {
    let topic_names = TOPIC_KEYS
        .iter()
        .filter_map(|key| key.broker.first().map(|(broker, _)| (key.name(), *broker)));
    let broker_names = all().map(|key| (key.name(), key.name()));
    let (likeness, nearest) = broker_names
        .chain(topic_names)
        .map(|(spelt, meant)| (strsim::normalized_damerau_levenshtein(name, spelt), meant))
        .max_by(|(left, _), (right, _)| left.total_cmp(right))?;
    (likeness >= 0.6).then_some(nearest)
}

const INT_MAX: &str = "2147483647";
const LONG_MAX: &str = "9223372036854775807";

const fn boolean(name: &'static str, default: &'static str) -> Key {
    Key::new(Kind::Boolean, name, Some(default), Check::Any)
}

const fn int(name: &'static str, default: &'static str, check: Check) -> Key {
    Key::new(Kind::Int, name, Some(default), check)
}

const fn short(name: &'static str, default: &'static str, check: Check) -> Key {
    Key::new(Kind::Short, name, Some(default), check)
}

const fn long(name: &'static str, default: &'static str, check: Check) -> Key {
    Key::new(Kind::Long, name, Some(default), check)
}

const fn double(name: &'static str, default: &'static str, check: Check) -> Key {
    Key::new(Kind::Double, name, Some(default), check)
}

const fn string(name: &'static str, default: &'static str, check: Check) -> Key {
    Key::new(Kind::String, name, Some(default), check)
}

const fn list(name: &'static str, default: &'static str, check: Check) -> Key {
    Key::new(Kind::List, name, Some(default), check)
}

/// A key whose default is Kafka's `null`.
const fn unset(kind: Kind, name: &'static str, check: Check) -> Key {
    Key::new(kind, name, None, check)
}

const PERCENT: Check = Check::Fraction(0.0, 100.0);

/// The keys that have an effect.
pub static KEYS: &[Key] = &[
    // Who this broker is.
    int("node.id", "1", Check::AtLeast(0))
        .about("This broker's number, unique in its cluster. Log directories remember it.")
        .not_kafkas("none, required", "a broker starts without any configuration"),
    int("broker.id", "-1", Check::Any).about("The older name of `node.id`; where both are given they must agree."),
    unset(Kind::String, "cluster.id", Check::NotEmpty)
        .about("The cluster's id. Unset: the id found in the log directories, or a new one at the first start. \
              The environment variable CLUSTER_ID sets it too.")
        .set(|config, value| config.cluster_id = value.some_text())
        .ours(),
    unset(Kind::String, "broker.rack", Check::Any)
        .about("The rack or zone this broker stands in; clients are told.")
        .set(|config, value| config.rack = value.some_text()),
    list("process.roles", "broker", Check::Each(&["broker", "controller"]))
        .about("Must contain `broker`. The `controller` role needs nothing here and is accepted.")
        .not_kafkas("none, required", "this broker has one role"),
    string("metadata.store", "embedded", Check::OneOf(&["embedded"]))
        .about("Where the cluster's metadata lives: `embedded`, beside the logs of this one broker. A shared store for \
              several brokers is not in this release.")
        .ours(),
    // Where clients reach it.
    list("listeners", "PLAINTEXT://127.0.0.1:9092", Check::NoEmptyElement)
        .about("Addresses to listen on, as NAME://host:port. An empty host or 0.0.0.0 means every interface, port 0 any \
              free port. Listeners named in `controller.listener.names` are not opened.")
        .needs_restart()
        .not_kafkas("PLAINTEXT://:9092", "nothing is exposed to a network unless it is asked for"),
    unset(Kind::List, "advertised.listeners", Check::NoEmptyElement)
        .about("Addresses that clients are told to connect to. Unset: a listener's own address, or, where it listens on \
              every interface, the address by which the client reached it."),
    string(
        "listener.security.protocol.map",
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
        Check::Any,
    )
    .needs_restart()
    .about("The security protocol of each listener name. This release speaks PLAINTEXT only; a listener of any other \
          protocol is refused at start."),
    unset(Kind::List, "controller.listener.names", Check::Any)
        .about("Names of listeners that belong to KRaft controllers. They are not opened.")
        .not_kafkas("none, required", "there is no controller listener"),
    unset(Kind::String, "inter.broker.listener.name", Check::Any)
        .about("The listener that other brokers use. It must be one of `listeners`. Unset: the first one with the \
              protocol of `security.inter.broker.protocol`."),
    string(
        "security.inter.broker.protocol",
        "PLAINTEXT",
        Check::OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]),
    )
    .about("Chooses the listener that other brokers use, by its protocol. Not together with \
          `inter.broker.listener.name`."),
    list("admin.listeners", "http://127.0.0.1:9644", Check::NoEmptyElement)
        .about("Addresses of the admin HTTP server (metrics, health), as http://host:port. Empty: none.")
        .ours(),
    // What is shown of it.
    boolean("metrics.kafka.compat", "true")
        .about("Whether `/metrics` also has the names under which Strimzi's rules for the JMX exporter and kafka_exporter \
              show Kafka, so that dashboards and alerts made for those work unchanged.")
        .update(Update::ClusterWide)
        .set(|config, value| config.metrics.kafka_compat = value.boolean())
        .ours(),
    string("metrics.consumer.group.level", "partition", Check::OneOf(&["none", "group", "topic", "partition"]))
        .about("How finely `/metrics` shows the lag of groups: not at all, a sum for each group, for each of its topics, or \
              for each partition that it has committed (one series each, three with `metrics.kafka.compat`). Choose less \
              where groups and partitions make more than some 100,000 series.")
        .update(Update::ClusterWide)
        .set(|config, value| config.metrics.group_level = MetricsLevel::named(value.str()))
        .ours(),
    string("metrics.topic.level", "partition", Check::OneOf(&["none", "topic", "partition"]))
        .about("How finely `/metrics` shows topics: not at all, a sum for each topic, or each partition (three series each, \
              fourteen with `metrics.kafka.compat`). Choose `topic` where there are more than some 10,000 partitions.")
        .update(Update::ClusterWide)
        .set(|config, value| config.metrics.topic_level = MetricsLevel::named(value.str()))
        .ours(),
    // The network.
    int("socket.request.max.bytes", "104857600", Check::AtLeast(1))
        .about("The longest request taken; a longer one costs its sender the connection.")
        .set(|config, value| config.network.request_bytes_max = value.size()),
    long("queued.max.request.bytes", "-1", Check::Any)
        .about("Memory that requests of all connections may hold together, from their first byte until the response has \
              left; beyond it sockets are not read. -1: an eighth of the memory limit, between 128 MiB and 1 GiB.")
        .not_kafkas("-1, meaning no limit", "a flood of requests must not exhaust memory"),
    int("network.unauthenticated.request.max.bytes", "65536", Check::AtLeast(1))
        .about("The longest request taken from a connection that has yet to authenticate. PLAINTEXT listeners have no \
              such connections.")
        .set(|config, value| config.network.unauthenticated_request_bytes_max = value.size())
        .ours(),
    long("network.frame.timeout.ms", "30000", Check::AtLeast(1))
        .about("A request whose first byte has arrived must be whole within this time, or its connection is closed.")
        .set(|config, value| config.network.frame_deadline = value.millis())
        .ours(),
    long("connections.max.idle.ms", "600000", Check::Any)
        .about("A connection without traffic is closed after this time. Negative: never.")
        .set(|config, value| config.network.idle_max = idle_max(value.integer())),
    int("max.connections", INT_MAX, Check::AtLeast(0))
        .about("Connections accepted at a time, over all listeners.")
        .update(Update::ClusterWide)
        .set(|config, value| config.network.connections_max = value.size()),
    int("max.connections.per.ip", INT_MAX, Check::AtLeast(0))
        .about("Connections accepted at a time from one address.")
        .update(Update::ClusterWide)
        .set(|config, value| config.network.connections_per_ip_max = value.size()),
    string("max.connections.per.ip.overrides", "", Check::Any)
        .about("Exceptions to `max.connections.per.ip`, as address:limit,…")
        .update(Update::ClusterWide),
    int("max.connection.creation.rate", INT_MAX, Check::AtLeast(0))
        .about("Connections accepted in a second, over all listeners; `listener.name.{name}.max.connection.creation.rate` limits one.")
        .update(Update::ClusterWide)
        .set(|config, value| config.network.connection_rate_max = value.bytes_u32()),
    int("quota.window.num", "11", Check::AtLeast(1))
        .about("Windows over which the rates of client quotas are taken, the current one included.")
        .set(|config, value| config.quotas.windows = value.bytes_u32()),
    int("quota.window.size.seconds", "1", Check::AtLeast(1))
        .about("The length of such a window.")
        .set(|config, value| config.quotas.window_seconds = value.bytes_u32()),
    int("controller.quota.window.num", "11", Check::AtLeast(1))
        .about("Windows over which the creation and deletion of partitions is counted for quotas, the current one included.")
        .set(|config, value| config.quotas.controller_windows = value.bytes_u32()),
    int("controller.quota.window.size.seconds", "1", Check::AtLeast(1))
        .about("The length of such a window.")
        .set(|config, value| config.quotas.controller_window_seconds = value.bytes_u32()),
    int("socket.listen.backlog.size", "1024", Check::AtLeast(1))
        .about("Connections the kernel may hold for a listener before they are accepted.")
        .set(|config, value| config.network.backlog = value.int())
        .not_kafkas("50", "many clients reconnect at once after a restart"),
    int("socket.receive.buffer.bytes", "-1", Check::Any)
        .about("SO_RCVBUF of client connections. -1: the kernel decides, and adapts it.")
        .set(|config, value| config.network.receive_buffer_bytes = positive(value.integer()))
        .not_kafkas("102400", "a fixed size switches the kernel's own tuning off"),
    int("socket.send.buffer.bytes", "102400", Check::Any)
        .about("SO_SNDBUF of client connections. -1: the kernel decides, and adapts it, which far and fast readers may need; near ones are served faster from a buffer that fits the processor's cache.")
        .set(|config, value| config.network.send_buffer_bytes = positive(value.integer())),
    // Requests.
    int("fetch.max.bytes", "57671680", Check::AtLeast(1024))
        .about("The most record bytes one fetch response carries; the first batch is always sent whole.")
        .set(|config, value| config.fetch_bytes_max = value.size()),
    int("max.incremental.fetch.session.cache.slots", "1000", Check::AtLeast(0))
        .about("Incremental fetch sessions (KIP-227) kept at a time.")
        .set(|config, value| config.fetch_sessions_max = value.size()),
    int("max.request.partition.size.limit", "2000", Check::AtLeast(1))
        .about("The most partitions one DescribeTopicPartitions response describes.")
        .set(|config, value| config.describe_partitions_max = value.size()),
    int("telemetry.max.bytes", "1048576", Check::AtLeast(1))
        .about("The longest payload of metrics that a client may push (KIP-714), as it is compressed.")
        .set(|config, value| config.telemetry_bytes_max = value.size()),
    // Groups and their offsets.
    int("group.min.session.timeout.ms", "6000", Check::Any)
        .about("The shortest session timeout that a member of a classic group may ask for.")
        .set(|config, value| config.groups.min_session_timeout_ms = value.int()),
    int("group.max.session.timeout.ms", "1800000", Check::Any)
        .about("The longest session timeout that a member of a classic group may ask for.")
        .set(|config, value| config.groups.max_session_timeout_ms = value.int()),
    int("group.initial.rebalance.delay.ms", "3000", Check::Any)
        .about("How long a classic group that was empty waits for more members than its first. Every further one prolongs \
              it, up to the rebalance timeout.")
        .set(|config, value| config.groups.initial_rebalance_delay_ms = value.int()),
    int("group.max.size", INT_MAX, Check::AtLeast(1))
        .about("Members of a classic group.")
        .set(|config, value| config.groups.max_size = value.int()),
    int("group.consumer.session.timeout.ms", "45000", Check::AtLeast(1))
        .about("How long a member of a consumer group (KIP-848) may be silent.")
        .set(|config, value| config.groups.consumer.session_timeout_ms = value.int()),
    int("group.consumer.min.session.timeout.ms", "45000", Check::AtLeast(1))
        .about("The shortest session timeout that a consumer group may be given.")
        .set(|config, value| config.groups.consumer.min_session_timeout_ms = value.int()),
    int("group.consumer.max.session.timeout.ms", "60000", Check::AtLeast(1))
        .about("The longest session timeout that a consumer group may be given.")
        .set(|config, value| config.groups.consumer.max_session_timeout_ms = value.int()),
    int("group.consumer.heartbeat.interval.ms", "5000", Check::AtLeast(1))
        .about("How often members of a consumer group are told to send heartbeats.")
        .set(|config, value| config.groups.consumer.heartbeat_interval_ms = value.int()),
    int("group.consumer.min.heartbeat.interval.ms", "5000", Check::AtLeast(1))
        .about("The shortest heartbeat interval that a consumer group may be given.")
        .set(|config, value| config.groups.consumer.min_heartbeat_interval_ms = value.int()),
    int("group.consumer.max.heartbeat.interval.ms", "15000", Check::AtLeast(1))
        .about("The longest heartbeat interval that a consumer group may be given.")
        .set(|config, value| config.groups.consumer.max_heartbeat_interval_ms = value.int()),
    int("group.consumer.max.size", INT_MAX, Check::AtLeast(1))
        .about("Members of a consumer group.")
        .set(|config, value| config.groups.consumer.max_size = value.int()),
    list("group.consumer.assignors", "uniform,range", Check::Any)
        .about("Server-side assignors of consumer groups, `uniform` and `range`; the first is for members that do not \
              choose. Kafka's own classes may be given by their names."),
    string(
        "group.consumer.migration.policy",
        "bidirectional",
        Check::OneOfAnyCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]),
    )
    .about("Whether a group with members may change from the classic protocol to KIP-848's (`upgrade`), back \
          (`downgrade`), both or neither.")
    .set(|config, value| config.groups.consumer.migration_policy = migration_policy(value.str())),
    int("group.consumer.assignment.interval.ms", "1000", Check::AtLeast(0))
        .about("How much time at least lies between two assignments of a consumer group.")
        .update(Update::ClusterWide)
        .set(|config, value| config.groups.consumer.assignment_interval_ms = value.int()),
    int("group.consumer.min.assignment.interval.ms", "0", Check::AtLeast(0))
        .about("The shortest assignment interval that a consumer group may be given.")
        .set(|config, value| config.groups.consumer.min_assignment_interval_ms = value.int()),
    int("group.consumer.max.assignment.interval.ms", "15000", Check::AtLeast(0))
        .about("The longest assignment interval that a consumer group may be given.")
        .set(|config, value| config.groups.consumer.max_assignment_interval_ms = value.int()),
    int("group.consumer.regex.refresh.interval.ms", "600000", Check::AtLeast(10_000))
        .about("How long the topics that a pattern of a consumer group was found to match count.")
        .set(|config, value| config.groups.consumer.regex_refresh_interval_ms = value.int())
        .hidden(),
    int("offset.metadata.max.bytes", "4096", Check::Any)
        .about("The longest text that may be committed beside an offset.")
        .set(|config, value| config.groups.offset_metadata_max_bytes = value.int()),
    int("offsets.retention.minutes", "10080", Check::AtLeast(1))
        .about("How long the offsets of a group without members are kept, or those of a topic that no member reads.")
        .set(|config, value| config.groups.offsets_retention_ms = value.integer().saturating_mul(60_000)),
    long("offsets.retention.check.interval.ms", "600000", Check::AtLeast(1))
        .about("How often a group's offsets are looked over for old ones.")
        .set(|config, value| config.groups.offsets_retention_check_interval_ms = value.integer()),
    int("offsets.topic.num.partitions", "50", Check::AtLeast(1))
        .about("Partitions of `__consumer_offsets`, over which groups are spread. Read when the topic is created.")
        .set(|config, value| config.offsets_topic.topic.partitions = value.int()),
    short("offsets.topic.replication.factor", "1", Check::AtLeast(1))
        .about("Replicas of `__consumer_offsets`. Read when the topic is created; with one broker there is one.")
        .set(|config, value| config.offsets_topic.topic.replication_factor = value.short())
        .not_kafkas("3", "groups work on a single broker"),
    int("offsets.topic.segment.bytes", "104857600", Check::AtLeast(1))
        .about("`segment.bytes` of `__consumer_offsets`. Read when the topic is created.")
        .set(|config, value| config.offsets_topic.topic.segment_bytes = value.int()),
    int("offsets.commit.timeout.ms", "5000", Check::AtLeast(1))
        .about("How long a change of a group waits for the replicas of its partition of `__consumer_offsets`.")
        .set(|config, value| config.offsets_topic.commit_timeout = value.millis()),
    int("offsets.topic.compression.codec", "0", Check::Any)
        .about("How records of `__consumer_offsets` are compressed: 0 not at all, 1 gzip, 2 snappy, 3 lz4, 4 zstd.")
        .set(|config, value| config.offsets_topic.codec = value.int()),
    // Transactions.
    int("transaction.max.timeout.ms", "900000", Check::AtLeast(1))
        .about("The longest time after which a producer may ask for its open transaction to be aborted.")
        .set(|config, value| config.transactions.max_timeout_ms = value.int()),
    int("transactional.id.expiration.ms", "604800000", Check::AtLeast(1))
        .about("How long a transactional id is remembered whose producer begins no transaction.")
        .set(|config, value| config.transactions.id_expiration_ms = value.integer()),
    int("transaction.remove.expired.transaction.cleanup.interval.ms", "3600000", Check::AtLeast(1))
        .about("How often transactional ids are looked for that are to be forgotten.")
        .set(|config, value| config.transactions.id_expiration_check_ms = value.integer()),
    int("transaction.abort.timed.out.transaction.cleanup.interval.ms", "10000", Check::AtLeast(1))
        .about("How often transactions are looked for that have gone on for longer than their producer's timeout, and are to be \
              aborted.")
        .set(|config, value| config.transactions.abort_timed_out_interval_ms = value.integer()),
    int("add.partitions.to.txn.retry.backoff.max.ms", "100", Check::AtLeast(0))
        .about("How long a request waits for the transaction before it to be completed. After that the client is told to come \
              back.")
        .set(|config, value| config.transaction_patience = value.millis()),
    boolean("transaction.partition.verification.enable", "true")
        .about("Whether a transactional batch of a client that adds partitions to its transactions by itself is appended only if \
              its partition was added.")
        .update(Update::ClusterWide)
        .set(|config, value| config.verify_transactions = value.boolean()),
    int("transaction.state.log.num.partitions", "50", Check::AtLeast(1))
        .about("Partitions of `__transaction_state`, over which transactional ids are spread. Read when the topic is created.")
        .set(|config, value| config.transaction_state_topic.partitions = value.int()),
    short("transaction.state.log.replication.factor", "1", Check::AtLeast(1))
        .about("Replicas of `__transaction_state`. Read when the topic is created; with one broker there is one.")
        .set(|config, value| config.transaction_state_topic.replication_factor = value.short())
        .not_kafkas("3", "transactions work on a single broker"),
    int("transaction.state.log.min.isr", "1", Check::AtLeast(1))
        .about("`min.insync.replicas` of `__transaction_state`. Read when the topic is created.")
        .set(|config, value| config.transaction_state_topic.min_insync_replicas = Some(value.int()))
        .not_kafkas("2", "transactions work on a single broker"),
    int("transaction.state.log.segment.bytes", "104857600", Check::AtLeast(1))
        .about("`segment.bytes` of `__transaction_state`. Read when the topic is created.")
        .set(|config, value| config.transaction_state_topic.segment_bytes = value.int()),
    // Topics.
    int("num.partitions", "1", Check::AtLeast(1))
        .about("Partitions of a topic that is created without saying how many.")
        .set(|config, value| config.topics.partitions = value.int()),
    int("default.replication.factor", "1", Check::Any)
        .about("Replicas of a topic that is created without saying how many.")
        .set(|config, value| config.topics.replication_factor = value.int()),
    boolean("auto.create.topics.enable", "true")
        .about("Whether asking for the metadata of a topic that does not exist creates it.")
        .set(|config, value| config.topics.auto_create = value.boolean()),
    boolean("delete.topic.enable", "true")
        .about("Whether topics may be deleted by clients.")
        .set(|config, value| config.topics.delete = value.boolean()),
    // Defaults of topic configs.
    list("log.cleanup.policy", "delete", Check::Each(&["compact", "delete"])).topic("cleanup.policy"),
    unset(Kind::Long, "log.retention.ms", Check::Any)
        .about("Before `log.retention.minutes` and `log.retention.hours`.")
        .topic("retention.ms"),
    unset(Kind::Int, "log.retention.minutes", Check::Any)
        .about("Before `log.retention.hours`.")
        .topic("retention.ms")
        .update(Update::ReadOnly),
    int("log.retention.hours", "168", Check::Any).topic("retention.ms").update(Update::ReadOnly),
    long("log.retention.bytes", "-1", Check::Any).topic("retention.bytes"),
    int("log.segment.bytes", "1073741824", Check::AtLeast(1_048_576)).topic("segment.bytes"),
    unset(Kind::Long, "log.roll.ms", Check::Any).about("Before `log.roll.hours`.").topic("segment.ms"),
    int("log.roll.hours", "168", Check::AtLeast(1)).topic("segment.ms").update(Update::ReadOnly),
    unset(Kind::Long, "log.roll.jitter.ms", Check::Any)
        .about("Before `log.roll.jitter.hours`.")
        .topic("segment.jitter.ms"),
    int("log.roll.jitter.hours", "0", Check::AtLeast(0)).topic("segment.jitter.ms").update(Update::ReadOnly),
    int("log.index.interval.bytes", "4096", Check::AtLeast(0)).topic("index.interval.bytes"),
    int("log.index.size.max.bytes", "10485760", Check::AtLeast(4)).topic("segment.index.bytes"),
    long("log.flush.interval.messages", LONG_MAX, Check::AtLeast(1)).topic("flush.messages"),
    unset(Kind::Long, "log.flush.interval.ms", Check::Any)
        .about("Before `log.flush.scheduler.interval.ms`.")
        .topic("flush.ms"),
    long("log.flush.scheduler.interval.ms", LONG_MAX, Check::Any).topic("flush.ms").update(Update::ReadOnly),
    long("log.segment.delete.delay.ms", "60000", Check::AtLeast(0)).topic("file.delete.delay.ms"),
    boolean("log.preallocate", "false").topic("preallocate"),
    int("message.max.bytes", "1048588", Check::AtLeast(0)).topic("max.message.bytes"),
    int("max.decompressed.message.bytes", "2147483639", Check::Between(1, 2_147_483_639))
        .topic("max.decompressed.message.bytes"),
    string(
        "compression.type",
        "producer",
        Check::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
    )
    .topic("compression.type"),
    int("compression.gzip.level", "-1", Check::BetweenOr(1, 9, -1)).topic("compression.gzip.level"),
    int("compression.lz4.level", "9", Check::Between(1, 17)).topic("compression.lz4.level"),
    int("compression.zstd.level", "3", Check::Between(-131_072, 22)).topic("compression.zstd.level"),
    string("log.message.timestamp.type", "CreateTime", Check::OneOf(&["CreateTime", "LogAppendTime"]))
        .topic("message.timestamp.type"),
    long("log.message.timestamp.before.max.ms", LONG_MAX, Check::AtLeast(0)).topic("message.timestamp.before.max.ms"),
    long("log.message.timestamp.after.max.ms", "3600000", Check::AtLeast(0)).topic("message.timestamp.after.max.ms"),
    int("min.insync.replicas", "1", Check::AtLeast(1)).topic("min.insync.replicas"),
    boolean("unclean.leader.election.enable", "false").topic("unclean.leader.election.enable"),
    long("log.cleaner.delete.retention.ms", "86400000", Check::AtLeast(0)).topic("delete.retention.ms"),
    long("log.cleaner.min.compaction.lag.ms", "0", Check::AtLeast(0)).topic("min.compaction.lag.ms"),
    long("log.cleaner.max.compaction.lag.ms", LONG_MAX, Check::AtLeast(1)).topic("max.compaction.lag.ms"),
    double("log.cleaner.min.cleanable.ratio", "0.5", Check::Fraction(0.0, 1.0)).topic("min.cleanable.dirty.ratio"),
    long("log.local.retention.ms", "-2", Check::AtLeast(-2)).topic("local.retention.ms"),
    long("log.local.retention.bytes", "-2", Check::AtLeast(-2)).topic("local.retention.bytes"),
    long("log.remote.copy.lag.ms", "0", Check::AtLeast(-1)).topic("remote.copy.lag.ms"),
    long("log.remote.copy.lag.bytes", "-1", Check::AtLeast(-1)).topic("remote.copy.lag.bytes"),
    // The store.
    list("log.dir", "./data", Check::Any)
        .about("Directory of the logs where `log.dirs` is not given.")
        .not_kafkas("/tmp/kafka-logs", "data in /tmp does not survive"),
    unset(Kind::List, "log.dirs", Check::NoEmptyElement)
        .about("Directories of the logs; partitions are spread over them. Unset: `log.dir`."),
    long("log.retention.check.interval.ms", "300000", Check::AtLeast(1))
        .about("How often segments are looked at for removal.")
        .set(|config, value| config.store.retention_check_interval_ms = value.bytes_u64()),
    boolean("log.cleaner.enable", "true")
        .about("Whether logs are compacted at all. Without it topics with `cleanup.policy=compact` keep everything.")
        .set(|config, value| config.store.cleaner.enable = value.boolean()),
    int("log.cleaner.threads", "1", Check::AtLeast(0))
        .about("Threads that compact logs, each one log at a time.")
        .update(Update::ClusterWide)
        .set(|config, value| config.store.cleaner.threads = value.size()),
    long("log.cleaner.dedupe.buffer.size", "134217728", Check::Any)
        .about("Memory for the keys of logs that are compacted, of all threads together; 24 bytes a key, reserved as the log \
              at hand needs it. A log with more keys is compacted in several runs.")
        .update(Update::ClusterWide)
        .set(|config, value| config.store.cleaner.dedupe_buffer_bytes = value.bytes_u64()),
    double("log.cleaner.io.buffer.load.factor", "0.9", Check::Any)
        .about("How full that memory may get, from 0 to 1; more means fewer runs and slower look-ups.")
        .update(Update::ClusterWide)
        .set(|config, value| config.store.cleaner.dedupe_load_factor = value.double()),
    int("log.cleaner.io.buffer.size", "524288", Check::AtLeast(0))
        .about("What compaction gathers before it writes, of all threads together.")
        .update(Update::ClusterWide)
        .set(|config, value| config.store.cleaner.io_buffer_bytes = value.size()),
    double("log.cleaner.io.max.bytes.per.second", "1.7976931348623157E308", Check::Any)
        .about("Bytes that compaction reads and writes in a second, of all threads together.")
        .update(Update::ClusterWide)
        .set(|config, value| config.store.cleaner.io_max_bytes_per_second = value.double()),
    long("log.cleaner.backoff.ms", "15000", Check::AtLeast(0))
        .about("How long a thread that found nothing to compact waits.")
        .update(Update::ClusterWide)
        .set(|config, value| config.store.cleaner.backoff_ms = value.bytes_u64()),
    int("num.recovery.threads.per.data.dir", "2", Check::AtLeast(1))
        .needs_restart()
        .about("Threads that recover logs of a directory side by side after a crash.")
        .set(|config, value| config.store.recovery_threads = value.size()),
    int("producer.id.expiration.ms", "86400000", Check::AtLeast(1))
        .needs_restart()
        .about("An idempotent producer that has been silent for this long is forgotten by a partition.")
        .set(|config, value| config.store.producer_id_expiration_ms = value.integer()),
    long("storage.tail.cache.bytes", "-1", Check::AtLeast(-1))
        .about("Memory for the newest batches of all partitions, from which consumers that keep up are served. -1: 1/64 \
              of the memory limit, between 16 MiB and 128 MiB.")
        .ours(),
    long("storage.rocksdb.cache.bytes", "8388608", Check::AtLeast(0))
        .about("Block cache of the state database, over all directories.")
        .set(|config, value| config.store.rocksdb_cache_bytes = value.size())
        .ours(),
    long("storage.checkpoint.bytes", "16777216", Check::AtLeast(1))
        .about("Appended bytes after which a log's state is saved; bounds what is scanned after a crash.")
        .set(|config, value| config.store.checkpoint_bytes = value.bytes_u64())
        .ours(),
    long("storage.checkpoint.interval.ms", "5000", Check::AtLeast(1))
        .about("Age after which a log's changed state is saved.")
        .set(|config, value| config.store.checkpoint_interval_ms = value.bytes_u64())
        .ours(),
    long("storage.journal.file.bytes", "67108864", Check::AtLeast(1_048_576))
        .about("Size at which a journal file is closed. The journal serves topics with `flush.messages=1`.")
        .set(|config, value| config.store.journal_file_bytes = value.bytes_u64())
        .ours(),
    long("storage.disk.soft.free.bytes", "4294967296", Check::AtLeast(0))
        .about("Below this much free space, or `storage.disk.soft.free.percent` of the disk where that is less, \
              producers are slowed down.")
        .set(|config, value| config.store.disk.soft_free_bytes = value.bytes_u64())
        .ours(),
    double("storage.disk.soft.free.percent", "10.0", PERCENT)
        .about("See `storage.disk.soft.free.bytes`.")
        .set(|config, value| config.store.disk.soft_free_percent = value.double())
        .ours(),
    long("storage.disk.hard.free.bytes", "1073741824", Check::AtLeast(0))
        .about("Below this much free space, or `storage.disk.hard.free.percent` of the disk where that is less, produce \
              requests are refused with a retriable error. Reads and deletes go on.")
        .set(|config, value| config.store.disk.hard_free_bytes = value.bytes_u64())
        .ours(),
    double("storage.disk.hard.free.percent", "4.0", PERCENT)
        .about("See `storage.disk.hard.free.bytes`.")
        .set(|config, value| config.store.disk.hard_free_percent = value.double())
        .ours(),
    long("storage.disk.check.interval.ms", "1000", Check::AtLeast(10))
        .about("How often free space is looked at.")
        .set(|config, value| config.store.disk.check_interval_ms = value.bytes_u64())
        .ours(),
    int("storage.disk.throttle.max.ms", "1000", Check::AtLeast(0))
        .about("Throttle time just above the hard limit; it grows evenly from 0 at the soft limit.")
        .set(|config, value| config.store.disk.max_throttle_ms = value.int())
        .ours(),
];

fn idle_max(millis: i64) -> std::time::Duration {
    // "Never" as a time that cannot be reached and does not overflow when it is added to now.
    const NEVER: std::time::Duration = std::time::Duration::from_secs(10 * 365 * 24 * 3600);
    u64::try_from(millis).map_or(NEVER, |millis| {
        std::time::Duration::from_millis(millis).min(NEVER)
    })
}

fn migration_policy(text: &str) -> MigrationPolicy {
    // The check has let nothing else through.
    match text.to_ascii_lowercase().as_str() {
        "upgrade" => MigrationPolicy::Upgrade,
        "downgrade" => MigrationPolicy::Downgrade,
        "disabled" => MigrationPolicy::Disabled,
        _ => MigrationPolicy::Bidirectional,
    }
}

fn positive(bytes: i64) -> Option<usize> {
    usize::try_from(bytes).ok().filter(|bytes| *bytes > 0)
}

/// An error that names the key and the one most like it.
pub(super) fn unknown(name: &str, origin: impl Into<String>) -> ConfigError {
    ConfigError::UnknownKey {
        name: name.to_owned(),
        origin: origin.into(),
        nearest: nearest(name).map(str::to_owned),
    }
}
