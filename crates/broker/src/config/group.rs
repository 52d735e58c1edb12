//! Group configs (resource type 32): all of Kafka 4.4's, bounded by the broker's keys of groups.
//!
//! Those of share and streams groups are checked, kept and reported as Kafka does, whatever kinds of groups are served.

use std::collections::{BTreeMap, BTreeSet};

use coordinator::consumer::ConsumerGroupConfig;

use super::layers::Layers;
use super::value::{Check, ConfigError, Kind, Spec, Value};
use super::{Config, conflict};

/// One group config.
#[derive(Debug, Clone, Copy)]
pub struct GroupKey {
    /// Name, type, default, check.
    pub spec: Spec,
    /// The broker key that is its default.
    pub broker: Option<&'static str>,
    /// What it does.
    pub doc: &'static str,
    /// Not listed by DescribeConfigs unless it is set (Kafka's internal configs).
    pub hidden: bool,
    /// Whether groups that are served heed it.
    pub in_force: bool,
    bound: Bound,
}

/// The broker keys that bound a group config's value.
#[derive(Debug, Clone, Copy)]
enum Bound {
    None,
    /// `group.<kind>.min.<rest>` and `group.<kind>.max.<rest>`.
    Range,
    Most(&'static str),
    Least(&'static str),
}

const OFFLOAD: &str = "Whether assignments are computed beside the coordinator's own work.";

const fn key(
    kind: Kind,
    name: &'static str,
    default: &'static str,
    check: Check,
    broker: &'static str,
) -> GroupKey {
    GroupKey {
        spec: Spec {
            name,
            kind,
            default: Some(default),
            check,
        },
        broker: Some(broker),
        doc: "",
        hidden: false,
        in_force: false,
        bound: Bound::None,
    }
}

impl GroupKey {
    const fn doc(self, doc: &'static str) -> Self {
        Self { doc, ..self }
    }

    const fn bound(self, bound: Bound) -> Self {
        Self { bound, ..self }
    }

    const fn own(self) -> Self {
        Self {
            broker: None,
            ..self
        }
    }

    const fn hidden(self) -> Self {
        Self {
            hidden: true,
            ..self
        }
    }

    const fn in_force(self) -> Self {
        Self {
            in_force: true,
            ..self
        }
    }

    /// The config's name.
    pub fn name(&self) -> &'static str {
        self.spec.name
    }

    /// The value a group has that does not override it.
    pub(super) fn inherited(&self, layers: &Layers) -> Value {
        let Some(broker) = self.broker else {
            return self.spec.default_value();
        };
        match layers.value(broker) {
            // The first of the registered assignors.
            Value::List(list) if self.spec.kind == Kind::String => {
                list.into_iter().next().map_or(Value::Null, Value::Text)
            }
            value => value,
        }
    }

    fn check_bound(&self, layers: &Layers, value: i64) -> Result<(), ConfigError> {
        let name = self.name();
        let (least, most) = self.bounds(layers);
        if least <= value && value <= most {
            return Ok(());
        }
        Err(conflict(match self.bound {
            Bound::Most(_) => format!("{name} must be less than or equal to {most}"),
            Bound::Least(_) => format!("{name} must be greater than or equal to {least}"),
            Bound::None | Bound::Range => {
                format!("{name} must be in the range {least} to {most} inclusive.")
            }
        }))
    }

    fn bounds(&self, layers: &Layers) -> (i64, i64) {
        let number = |name: &str| layers.value(name).integer();
        match self.bound {
            Bound::None => (i64::MIN, i64::MAX),
            Bound::Most(key) => (i64::MIN, number(key)),
            Bound::Least(key) => (number(key), i64::MAX),
            Bound::Range => {
                let (kind, rest) = self.name().split_once('.').unwrap_or_default();
                (
                    number(&format!("group.{kind}.min.{rest}")),
                    number(&format!("group.{kind}.max.{rest}")),
                )
            }
        }
    }
}

/// Every group config of Kafka 4.4, in the order of their names.
#[rustfmt::skip]
pub static GROUP_KEYS: &[GroupKey] = &[
    key(Kind::Int, "consumer.assignment.interval.ms", "1000", Check::AtLeast(0), "group.consumer.assignment.interval.ms")
        .doc("How much time at least lies between two assignments of the consumer group.")
        .bound(Bound::Range).in_force(),
    key(Kind::Boolean, "consumer.assignor.offload.enable", "true", Check::Any, "group.consumer.assignor.offload.enable")
        .doc(OFFLOAD).hidden(),
    key(Kind::Int, "consumer.heartbeat.interval.ms", "5000", Check::AtLeast(1), "group.consumer.heartbeat.interval.ms")
        .doc("How often members of the consumer group are told to send heartbeats.")
        .bound(Bound::Range).in_force(),
    key(Kind::Int, "consumer.session.timeout.ms", "45000", Check::AtLeast(1), "group.consumer.session.timeout.ms")
        .doc("How long a member of the consumer group may be silent.")
        .bound(Bound::Range).in_force(),
    key(Kind::Boolean, "errors.deadletterqueue.copy.record.enable", "false", Check::Any, "")
        .doc("Whether a share group's dead-letter queue gets the record itself, or only the headers that say which it was.")
        .own(),
    key(Kind::String, "errors.deadletterqueue.topic.name", "", Check::Any, "")
        .doc("The topic that is the share group's dead-letter queue. Empty: none.")
        .own(),
    key(Kind::Int, "share.assignment.interval.ms", "1000", Check::AtLeast(0), "group.share.assignment.interval.ms")
        .doc("How much time at least lies between two assignments of the share group.").bound(Bound::Range),
    key(Kind::Boolean, "share.assignor.offload.enable", "true", Check::Any, "group.share.assignor.offload.enable")
        .doc(OFFLOAD).hidden(),
    key(Kind::String, "share.auto.offset.reset", "latest", Check::ShareOffsetReset, "")
        .doc("Where a share group begins to read: `earliest`, `latest`, or `by_duration:` and an ISO 8601 duration before now.")
        .own(),
    key(Kind::Int, "share.delivery.count.limit", "5", Check::AtLeast(2), "group.share.delivery.count.limit")
        .doc("How often at most a record is delivered to the share group.").bound(Bound::Range),
    key(Kind::Int, "share.heartbeat.interval.ms", "5000", Check::AtLeast(1), "group.share.heartbeat.interval.ms")
        .doc("How often members of the share group are told to send heartbeats.").bound(Bound::Range),
    key(Kind::String, "share.isolation.level", "read_uncommitted", Check::OneOf(&["read_committed", "read_uncommitted"]), "")
        .doc("Whether the share group is given records of transactions that have not been committed.")
        .own(),
    key(Kind::Int, "share.partition.max.record.locks", "2000", Check::AtLeast(100), "group.share.partition.max.record.locks")
        .doc("Records of a partition that members of the share group may hold at a time.").bound(Bound::Range),
    key(Kind::Int, "share.record.lock.duration.ms", "30000", Check::AtLeast(1000), "group.share.record.lock.duration.ms")
        .doc("How long a member of the share group may hold a record.").bound(Bound::Range),
    key(Kind::Boolean, "share.renew.acknowledge.enable", "true", Check::Any, "")
        .doc("Whether members of the share group may ask for more time with a record.")
        .own(),
    key(Kind::Int, "share.session.timeout.ms", "45000", Check::AtLeast(1), "group.share.session.timeout.ms")
        .doc("How long a member of the share group may be silent.").bound(Bound::Range),
    key(Kind::Long, "streams.acceptable.recovery.lag", "10000", Check::AtLeast(0), "group.streams.acceptable.recovery.lag")
        .doc("Offsets by which a member may be behind and still count as caught up.").hidden(),
    key(Kind::Int, "streams.assignment.interval.ms", "1000", Check::AtLeast(0), "group.streams.assignment.interval.ms")
        .doc("How much time at least lies between two assignments of the streams group.").bound(Bound::Range),
    GroupKey {
        spec: Spec { name: "streams.assignor.name", kind: Kind::String, default: None, check: Check::Any },
        ..key(Kind::String, "", "", Check::Any, "group.streams.assignors")
    }
        .doc("The task assignor of the streams group, one of `group.streams.assignors`. Unset: the first of them."),
    key(Kind::Boolean, "streams.assignor.offload.enable", "true", Check::Any, "group.streams.assignor.offload.enable")
        .doc(OFFLOAD).hidden(),
    key(Kind::Int, "streams.heartbeat.interval.ms", "5000", Check::AtLeast(1), "group.streams.heartbeat.interval.ms")
        .doc("How often members of the streams group are told to send heartbeats.").bound(Bound::Range),
    key(Kind::Int, "streams.initial.rebalance.delay.ms", "3000", Check::AtLeast(0), "group.streams.initial.rebalance.delay.ms")
        .doc("How long a new streams group waits for more members than its first."),
    key(Kind::Int, "streams.num.standby.replicas", "0", Check::AtLeast(0), "group.streams.num.standby.replicas")
        .doc("Standby replicas of each task.").bound(Bound::Most("group.streams.max.standby.replicas")),
    key(Kind::Int, "streams.num.warmup.replicas", "2", Check::AtLeast(0), "group.streams.num.warmup.replicas")
        .doc("Warm-up replicas of each task.").bound(Bound::Most("group.streams.max.warmup.replicas")).hidden(),
    key(Kind::List, "streams.rack.aware.assignment.tags", "", Check::NoEmptyElement, "group.streams.rack.aware.assignment.tags")
        .doc("Client tags over whose values standby replicas are spread."),
    key(Kind::Int, "streams.session.timeout.ms", "45000", Check::AtLeast(1), "group.streams.session.timeout.ms")
        .doc("How long a member of the streams group may be silent.").bound(Bound::Range),
    key(Kind::Int, "streams.task.offset.interval.ms", "60000", Check::AtLeast(1), "group.streams.task.offset.interval.ms")
        .doc("How often members tell how far their warm-up tasks are.")
        .bound(Bound::Least("group.streams.min.task.offset.interval.ms")).hidden(),
];

/// The group config of this name.
pub fn find(name: &str) -> Option<&'static GroupKey> {
    GROUP_KEYS.iter().find(|key| key.name() == name)
}

/// Checks a group's overrides in the order and words of Kafka's `GroupConfig.validate`.
pub(super) fn validate(
    layers: &Layers,
    overrides: &BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    if let Some(name) = overrides.keys().find(|name| find(name).is_none()) {
        return Err(ConfigError::UnknownGroupKey(name.clone()));
    }
    check_tags(overrides)?;
    let set = || {
        let keys = GROUP_KEYS.iter();
        keys.filter_map(|key| Some((key, overrides.get(key.name())?)))
    };
    for (key, text) in set() {
        key.spec.parse(text)?;
    }
    for (key, text) in set() {
        if let Value::Integer(number) = key.spec.parse(text)? {
            key.check_bound(layers, number)?;
        }
    }
    check_assignor(layers, overrides)?;
    for kind in ["consumer", "share", "streams"] {
        check_session(layers, overrides, kind)?;
    }
    let queue = overrides.get("errors.deadletterqueue.topic.name");
    if queue.is_some_and(|topic| topic.starts_with("__")) {
        return Err(conflict(
            "errors.deadletterqueue.topic.name: DLQ topic name must not start with '__'",
        ));
    }
    Ok(())
}

fn check_tags(overrides: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    const TAGS: &str = "streams.rack.aware.assignment.tags";
    let text = overrides.get(TAGS).map_or("", |text| text.trim());
    let mut seen = BTreeSet::new();
    if text.is_empty() || text.split(',').all(|tag| seen.insert(tag.trim())) {
        return Ok(());
    }
    Err(conflict(format!(
        "{TAGS} must not contain duplicate tag keys."
    )))
}

fn check_assignor(
    layers: &Layers,
    overrides: &BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    const ASSIGNOR: &str = "streams.assignor.name";
    let registered = layers.value("group.streams.assignors");
    match overrides.get(ASSIGNOR).map(|name| name.trim()) {
        Some(name) if !registered.list().iter().any(|known| known == name) => {
            Err(conflict(format!(
                "{ASSIGNOR} '{name}' is not a registered task assignor. Registered assignors are: {registered}."
            )))
        }
        _ => Ok(()),
    }
}

fn check_session(
    layers: &Layers,
    overrides: &BTreeMap<String, String>,
    kind: &str,
) -> Result<(), ConfigError> {
    let [session, heartbeat] =
        ["session.timeout.ms", "heartbeat.interval.ms"].map(|what| format!("{kind}.{what}"));
    let is_set = overrides.contains_key(&session) || overrides.contains_key(&heartbeat);
    if is_set && number(layers, overrides, &session) <= number(layers, overrides, &heartbeat) {
        return Err(conflict(format!(
            "{session} must be greater than {heartbeat}"
        )));
    }
    Ok(())
}

fn number(layers: &Layers, overrides: &BTreeMap<String, String>, name: &str) -> i64 {
    let Some(key) = find(name) else { return 0 };
    let own = overrides
        .get(name)
        .and_then(|text| key.spec.parse(text).ok());
    let Some(own) = own else {
        return key.inherited(layers).integer();
    };
    // The bounds may have been drawn closer since (`GroupConfig.evaluate`).
    let (least, most) = key.bounds(layers);
    own.integer().max(least).min(most)
}

impl Config {
    /// What a consumer group with these overrides lives by. Does not block.
    pub fn consumer_group(&self, overrides: &BTreeMap<String, String>) -> ConsumerGroupConfig {
        let number =
            |name| i32::try_from(number(&self.layers, overrides, name)).unwrap_or(i32::MAX);
        ConsumerGroupConfig {
            session_timeout_ms: number("consumer.session.timeout.ms"),
            heartbeat_interval_ms: number("consumer.heartbeat.interval.ms"),
            assignment_interval_ms: number("consumer.assignment.interval.ms"),
        }
    }
}
