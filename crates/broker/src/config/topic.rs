//! Topic configs: all of Kafka 4.4's, each with the broker keys that give its default, and the typed settings they make.

use std::collections::BTreeMap;
use std::sync::Arc;

use storage::LogOptions;
use storage::validate::{BatchRules, CompressionRule};
use wire::batch::{Codec, TimestampType};

use super::layers::Layers;
use super::value::{Check, ConfigError, Kind, Spec, Value};

/// What one topic's configs make of its partitions.
#[derive(Debug, Clone, Default)]
pub struct TopicSettings {
    /// The options of its logs.
    pub log: Arc<LogOptions>,
    /// What its batches must satisfy, and what is done to them before they are stored.
    pub batch: BatchRules,
    /// In-sync replicas below which `acks=all` is refused (`min.insync.replicas`).
    pub min_insync_replicas: i32,
    /// Whether a replica outside the in-sync set may lead when none is left in it.
    pub unclean_leader_election: bool,
    /// `leader.replication.throttled.replicas`, as given.
    pub leader_throttled_replicas: Vec<String>,
    /// `follower.replication.throttled.replicas`, as given.
    pub follower_throttled_replicas: Vec<String>,
}

/// One topic config.
#[derive(Debug, Clone, Copy)]
pub struct TopicKey {
    /// Name, type, default, check.
    pub spec: Spec,
    /// The broker keys whose first non-null value is its default, each with the factor from its unit to this one's
    /// (Kafka's `ServerTopicConfigSynonyms`).
    pub broker: &'static [(&'static str, i64)],
    /// What it does.
    pub doc: &'static str,
    /// Sets the field it stands for; `None` where it is stored and reported and has no effect yet.
    pub set: Option<fn(&mut Draft, &Value)>,
    /// Not listed by DescribeConfigs.
    pub hidden: bool,
}

/// Settings being put together.
#[derive(Debug, Default)]
pub struct Draft {
    log: LogOptions,
    rest: TopicSettings,
    compression: Compression,
}

/// What `compression.type` and the levels say; only the level of the chosen codec counts.
#[derive(Debug, Default)]
struct Compression {
    name: String,
    gzip_level: i32,
    lz4_level: i32,
    zstd_level: i32,
}

impl Compression {
    fn rule(&self) -> CompressionRule {
        let (codec, level) = match self.name.as_str() {
            "uncompressed" => (Codec::None, None),
            // -1 is "the codec's own default".
            "gzip" => (
                Codec::Gzip,
                Some(self.gzip_level).filter(|level| *level != -1),
            ),
            "snappy" => (Codec::Snappy, None),
            "lz4" => (Codec::Lz4, Some(self.lz4_level)),
            "zstd" => (Codec::Zstd, Some(self.zstd_level)),
            _ => return CompressionRule::Producer,
        };
        CompressionRule::Codec { codec, level }
    }
}

impl TopicKey {
    const fn new(
        kind: Kind,
        name: &'static str,
        default: &'static str,
        check: Check,
        broker: &'static [(&'static str, i64)],
    ) -> Self {
        let spec = Spec {
            name,
            kind,
            default: Some(default),
            check,
        };
        Self {
            spec,
            broker,
            doc: "",
            set: None,
            hidden: false,
        }
    }

    const fn doc(self, doc: &'static str) -> Self {
        Self { doc, ..self }
    }

    const fn set(self, set: fn(&mut Draft, &Value)) -> Self {
        Self {
            set: Some(set),
            ..self
        }
    }

    /// The config's name.
    pub fn name(&self) -> &'static str {
        self.spec.name
    }

    /// The value a topic has that does not override it.
    pub(super) fn inherited(&self, layers: &Layers) -> Value {
        let broker = self
            .broker
            .iter()
            .map(|(name, factor)| scaled(layers.value(name), *factor));
        broker
            .into_iter()
            .find(|value| !value.is_null())
            .unwrap_or_else(|| self.spec.default_value())
    }
}

/// Negative times mean "no limit" in every unit.
fn scaled(value: Value, factor: i64) -> Value {
    match value {
        Value::Integer(number) if factor != 1 => Value::Integer(if number < 0 {
            -1
        } else {
            number.saturating_mul(factor)
        }),
        other => other,
    }
}

const LONG_MAX: &str = "9223372036854775807";
const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;

/// Every topic config of Kafka 4.4, in the order of their names.
pub static TOPIC_KEYS: &[TopicKey] = &[
    TopicKey::new(
        Kind::List,
        "cleanup.policy",
        "delete",
        Check::Each(&["compact", "delete"]),
        &[("log.cleanup.policy", 1)],
    )
    .doc("`delete` removes old segments by age and size, `compact` keeps the newest record of every key, both may be \
          given; empty keeps everything.")
    .set(|draft, value| {
        draft.log.delete = value.list().iter().any(|policy| policy == "delete");
        draft.log.compact = value.list().iter().any(|policy| policy == "compact");
        draft.rest.batch.compacted = draft.log.compact;
    }),
    TopicKey::new(
        Kind::Int,
        "compression.gzip.level",
        "-1",
        Check::BetweenOr(1, 9, -1),
        &[("compression.gzip.level", 1)],
    )
    .doc("Level where batches are compressed with gzip by the broker; -1 is the codec's own default.")
    .set(|draft, value| draft.compression.gzip_level = value.int()),
    TopicKey::new(
        Kind::Int,
        "compression.lz4.level",
        "9",
        Check::Between(1, 17),
        &[("compression.lz4.level", 1)],
    )
    .doc("Level where batches are compressed with lz4 by the broker.")
    .set(|draft, value| draft.compression.lz4_level = value.int()),
    TopicKey::new(
        Kind::String,
        "compression.type",
        "producer",
        Check::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        &[("compression.type", 1)],
    )
    .doc("The codec of stored batches; `producer` keeps what the producer chose.")
    .set(|draft, value| value.str().clone_into(&mut draft.compression.name)),
    TopicKey::new(
        Kind::Int,
        "compression.zstd.level",
        "3",
        Check::Between(-131_072, 22),
        &[("compression.zstd.level", 1)],
    )
    .doc("Level where batches are compressed with zstd by the broker.")
    .set(|draft, value| draft.compression.zstd_level = value.int()),
    TopicKey::new(
        Kind::Long,
        "delete.retention.ms",
        "86400000",
        Check::AtLeast(0),
        &[("log.cleaner.delete.retention.ms", 1)],
    )
    .doc("How long compaction keeps the marker of a deleted key, and that of a transaction of which nothing is left, after it \
          has met it.")
    .set(|draft, value| draft.log.delete_retention_ms = value.integer()),
    TopicKey::new(Kind::Boolean, "errors.deadletterqueue.group.enable", "false", Check::Any, &[])
        .doc("Whether the topic may be a share group's dead-letter queue (KIP-1191)."),
    TopicKey::new(
        Kind::Long,
        "file.delete.delay.ms",
        "60000",
        Check::AtLeast(0),
        &[("log.segment.delete.delay.ms", 1)],
    )
    .doc("How long a removed segment's file stays on disk, for readers that still hold it.")
    .set(|draft, value| draft.log.file_delete_delay_ms = value.integer()),
    TopicKey::new(
        Kind::Long,
        "flush.messages",
        LONG_MAX,
        Check::AtLeast(1),
        &[("log.flush.interval.messages", 1)],
    )
    .doc("Records after which appended data is forced to disk; 1 forces every append before it is acknowledged.")
    .set(|draft, value| draft.log.flush_messages = value.integer()),
    TopicKey::new(
        Kind::Long,
        "flush.ms",
        LONG_MAX,
        Check::AtLeast(0),
        &[("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)],
    )
    .doc("Age after which appended data is forced to disk.")
    .set(|draft, value| draft.log.flush_ms = value.integer()),
    TopicKey::new(Kind::List, "follower.replication.throttled.replicas", "", Check::ThrottledReplicas, &[])
        .doc("Replicas whose fetching is throttled, as partition:broker,…, or `*`.")
        .set(|draft, value| draft.rest.follower_throttled_replicas = value.list().to_vec()),
    TopicKey::new(
        Kind::Int,
        "index.interval.bytes",
        "4096",
        Check::AtLeast(0),
        &[("log.index.interval.bytes", 1)],
    )
    .doc("Log bytes between two entries of the offset index.")
    .set(|draft, value| draft.log.index_interval_bytes = value.bytes_u32()),
    TopicKey { hidden: true, ..INTERNAL_SEGMENT_BYTES },
    TopicKey::new(Kind::List, "leader.replication.throttled.replicas", "", Check::ThrottledReplicas, &[])
        .doc("Replicas whose serving to followers is throttled, as partition:broker,…, or `*`.")
        .set(|draft, value| draft.rest.leader_throttled_replicas = value.list().to_vec()),
    TopicKey::new(
        Kind::Long,
        "local.retention.bytes",
        "-2",
        Check::AtLeast(-2),
        &[("log.local.retention.bytes", 1)],
    )
    .doc("Tiered storage: bytes kept locally; -2 means `retention.bytes`."),
    TopicKey::new(
        Kind::Long,
        "local.retention.ms",
        "-2",
        Check::AtLeast(-2),
        &[("log.local.retention.ms", 1)],
    )
    .doc("Tiered storage: time kept locally; -2 means `retention.ms`."),
    TopicKey::new(
        Kind::Long,
        "max.compaction.lag.ms",
        LONG_MAX,
        Check::AtLeast(1),
        &[("log.cleaner.max.compaction.lag.ms", 1)],
    )
    .doc("Age at which a record becomes due for compaction, whatever `min.cleanable.dirty.ratio` says.")
    .set(|draft, value| draft.log.max_compaction_lag_ms = value.integer()),
    TopicKey::new(
        Kind::Int,
        "max.decompressed.message.bytes",
        "2147483639",
        Check::Between(1, 2_147_483_639),
        &[("max.decompressed.message.bytes", 1)],
    )
    .doc("The most bytes a batch may come to when it is decompressed.")
    .set(|draft, value| draft.rest.batch.max_decompressed_message_bytes = value.size()),
    TopicKey::new(
        Kind::Int,
        "max.message.bytes",
        "1048588",
        Check::AtLeast(0),
        &[("message.max.bytes", 1)],
    )
    .doc("The largest batch taken, as it is compressed.")
    .set(|draft, value| draft.rest.batch.max_message_bytes = value.size()),
    TopicKey::new(
        Kind::Long,
        "message.timestamp.after.max.ms",
        "3600000",
        Check::AtLeast(0),
        &[("log.message.timestamp.after.max.ms", 1)],
    )
    .doc("How far a record's timestamp may lie in the future. For CreateTime only.")
    .set(|draft, value| draft.rest.batch.message_timestamp_after_max_ms = value.integer()),
    TopicKey::new(
        Kind::Long,
        "message.timestamp.before.max.ms",
        LONG_MAX,
        Check::AtLeast(0),
        &[("log.message.timestamp.before.max.ms", 1)],
    )
    .doc("How far a record's timestamp may lie in the past. For CreateTime only.")
    .set(|draft, value| draft.rest.batch.message_timestamp_before_max_ms = value.integer()),
    TopicKey::new(
        Kind::String,
        "message.timestamp.type",
        "CreateTime",
        Check::OneOf(&["CreateTime", "LogAppendTime"]),
        &[("log.message.timestamp.type", 1)],
    )
    .doc("Whether a record carries the producer's time or the time it was appended.")
    .set(|draft, value| {
        draft.rest.batch.message_timestamp_type = match value.str() {
            "LogAppendTime" => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        };
    }),
    TopicKey::new(
        Kind::Double,
        "min.cleanable.dirty.ratio",
        "0.5",
        Check::Fraction(0.0, 1.0),
        &[("log.cleaner.min.cleanable.ratio", 1)],
    )
    .doc("Share of a log that must be uncompacted before it is compacted.")
    .set(|draft, value| draft.log.min_cleanable_dirty_ratio = value.double()),
    TopicKey::new(
        Kind::Long,
        "min.compaction.lag.ms",
        "0",
        Check::AtLeast(0),
        &[("log.cleaner.min.compaction.lag.ms", 1)],
    )
    .doc("Age below which a record is not compacted.")
    .set(|draft, value| draft.log.min_compaction_lag_ms = value.integer()),
    TopicKey::new(
        Kind::Int,
        "min.insync.replicas",
        "1",
        Check::AtLeast(1),
        &[("min.insync.replicas", 1)],
    )
    .doc("In-sync replicas below which `acks=all` is refused.")
    .set(|draft, value| draft.rest.min_insync_replicas = value.int()),
    TopicKey::new(Kind::Boolean, "preallocate", "false", Check::Any, &[("log.preallocate", 1)])
        .doc("Whether a new segment's space is reserved at once.")
        .set(|draft, value| draft.log.preallocate = value.boolean()),
    TopicKey::new(
        Kind::Long,
        "remote.copy.lag.bytes",
        "-1",
        Check::AtLeast(-1),
        &[("log.remote.copy.lag.bytes", 1)],
    )
    .doc("Tiered storage: bytes by which copying stays behind."),
    TopicKey::new(
        Kind::Long,
        "remote.copy.lag.ms",
        "0",
        Check::AtLeast(-1),
        &[("log.remote.copy.lag.ms", 1)],
    )
    .doc("Tiered storage: time by which copying stays behind."),
    TopicKey::new(Kind::Boolean, "remote.log.copy.disable", "false", Check::Any, &[])
        .doc("Tiered storage: copy nothing more."),
    TopicKey::new(Kind::Boolean, "remote.log.delete.on.disable", "false", Check::Any, &[])
        .doc("Tiered storage: delete the copies when it is switched off."),
    TopicKey::new(Kind::Boolean, "remote.storage.enable", "false", Check::Any, &[])
        .doc("Tiered storage, which is not provided: only `false` is taken."),
    TopicKey::new(Kind::Long, "retention.bytes", "-1", Check::Any, &[("log.retention.bytes", 1)])
        .doc("Size of a partition above which its oldest segments are removed; negative: no limit.")
        .set(|draft, value| draft.log.retention_bytes = value.integer()),
    TopicKey::new(
        Kind::Long,
        "retention.ms",
        "604800000",
        Check::AtLeast(-1),
        &[("log.retention.ms", 1), ("log.retention.minutes", MINUTE), ("log.retention.hours", HOUR)],
    )
    .doc("Age above which segments are removed; -1: no limit.")
    .set(|draft, value| draft.log.retention_ms = value.integer()),
    TopicKey::new(
        Kind::Int,
        "segment.bytes",
        "1073741824",
        Check::AtLeast(1_048_576),
        &[("log.segment.bytes", 1)],
    )
    .doc("Size at which a segment is closed.")
    .set(|draft, value| draft.log.segment_bytes = value.bytes_u32()),
    TopicKey::new(
        Kind::Int,
        "segment.index.bytes",
        "10485760",
        Check::AtLeast(4),
        &[("log.index.size.max.bytes", 1)],
    )
    .doc("Size of an index file in Apache Kafka; the index here is in a database and needs no limit."),
    TopicKey::new(
        Kind::Long,
        "segment.jitter.ms",
        "0",
        Check::AtLeast(0),
        &[("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", HOUR)],
    )
    .doc("Up to this much is taken off `segment.ms`, so that segments do not close all at once.")
    .set(|draft, value| draft.log.segment_jitter_ms = value.integer()),
    TopicKey::new(
        Kind::Long,
        "segment.ms",
        "604800000",
        Check::AtLeast(1),
        &[("log.roll.ms", 1), ("log.roll.hours", HOUR)],
    )
    .doc("Age at which a segment is closed although it is not full.")
    .set(|draft, value| draft.log.segment_ms = value.integer()),
    TopicKey::new(
        Kind::Boolean,
        "unclean.leader.election.enable",
        "false",
        Check::Any,
        &[("unclean.leader.election.enable", 1)],
    )
    .doc("Whether a replica outside the in-sync set may lead when none is left in it, losing records.")
    .set(|draft, value| draft.rest.unclean_leader_election = value.boolean()),
];

/// Kafka's own tests roll segments with it; it takes precedence over `segment.bytes` and may be smaller.
const INTERNAL_SEGMENT_BYTES: TopicKey = TopicKey {
    spec: Spec {
        name: "internal.segment.bytes",
        kind: Kind::Int,
        default: None,
        check: Check::Any,
    },
    broker: &[],
    doc: "Stands before `segment.bytes` and may be smaller than it allows; for tests.",
    set: None,
    hidden: true,
};

/// The topic config of this name.
pub fn find(name: &str) -> Option<&'static TopicKey> {
    TOPIC_KEYS.iter().find(|key| key.name() == name)
}

/// Checks a topic's overrides as Kafka's `LogConfig.validate` does: names, then values, then what they mean together.
pub fn validate(overrides: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    if let Some(name) = overrides.keys().find(|name| find(name).is_none()) {
        return Err(ConfigError::UnknownTopicKey(name.clone()));
    }
    for (name, text) in overrides {
        if let Some(key) = find(name) {
            key.spec.parse(text)?;
        }
    }
    let number = |name: &str| value_or_default(overrides, name).integer();
    let (min, max) = (
        number("min.compaction.lag.ms"),
        number("max.compaction.lag.ms"),
    );
    if min > max {
        return Err(ConfigError::Conflict(format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
        )));
    }
    if value_or_default(overrides, "remote.storage.enable").boolean() {
        return Err(ConfigError::Conflict(
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."
                .to_owned(),
        ));
    }
    Ok(())
}

fn value_or_default(overrides: &BTreeMap<String, String>, name: &str) -> Value {
    let Some(key) = find(name) else {
        return Value::Null;
    };
    overrides
        .get(name)
        .and_then(|text| key.spec.parse(text).ok())
        .unwrap_or_else(|| key.spec.default_value())
}

/// The settings of a topic with these overrides. An override that is wrong (it was validated when it was made, so only
/// by another version's rules) counts as absent.
pub(super) fn settings(layers: &Layers, overrides: &BTreeMap<String, String>) -> TopicSettings {
    let mut draft = Draft::default();
    for key in TOPIC_KEYS {
        let Some(set) = key.set else { continue };
        let own = overrides
            .get(key.name())
            .and_then(|text| key.spec.parse(text).ok());
        set(&mut draft, &own.unwrap_or_else(|| key.inherited(layers)));
    }
    let internal = value_or_default(overrides, INTERNAL_SEGMENT_BYTES.name());
    if !internal.is_null() {
        draft.log.segment_bytes = internal.bytes_u32();
    }
    draft.rest.batch.compression = draft.compression.rule();
    TopicSettings {
        log: Arc::new(draft.log),
        ..draft.rest
    }
}
