//! The metadata store's key layout: the one description of it in code. Layout version 1.
//!
//! Keys are text below the root that the store adds (`/{root}/{cluster id}/1/` in etcd, nothing in the embedded store, whose
//! database belongs to one cluster). A word once used is never given another meaning.

use std::fmt;

use uuid::Uuid;

use crate::ids::{id_text, parse_id};
use crate::quota_entity::QuotaEntity;

/// The layout's version, bumped only when keys change incompatibly.
pub(crate) const LAYOUT_VERSION: u32 = 1;

/// The most partitions a topic may have: five digits keep a topic's partition keys in numeric order.
pub(crate) const PARTITIONS_MAX: i32 = 100_000;

/// What a key names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// `meta` → [`ClusterMeta`](crate::values::ClusterMeta). Written once.
    Meta,
    /// `ctl/leader` → [`ControllerRecord`](crate::values::ControllerRecord). Lives as long as the controller's session.
    ControllerLeader,
    /// `ctl/epoch` → [`ControllerEpoch`](crate::values::ControllerEpoch). Raised in the transaction that takes `ctl/leader`.
    ControllerEpoch,
    /// `b/{node}` → [`BrokerRecord`](crate::values::BrokerRecord): the registration, which outlives sessions.
    Broker(i32),
    /// `s/{node}` → [`SessionRecord`](crate::values::SessionRecord). Lives as long as the broker's session.
    Session(i32),
    /// `t/{name}` → [`TopicRecord`](crate::values::TopicRecord).
    Topic(String),
    /// `p/{topic id}/{partition}` → [`PartitionState`](crate::values::PartitionState). One key per partition: what changes at once.
    Partition(Uuid, i32),
    /// `cfg/{kind}/{name}` → [`ConfigRecord`](crate::values::ConfigRecord). Overrides only.
    Config(ConfigResource),
    /// `quota/{entity}` → [`QuotaRecord`](crate::values::QuotaRecord): `quota/user=alice/client-id` for the default client id of
    /// the user alice.
    Quota(QuotaEntity),
    /// `pid` → [`ProducerIdBlock`](crate::values::ProducerIdBlock): the next producer id nobody was given.
    ProducerIds,
}

/// Something that has dynamic configuration (Kafka `ConfigResource`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(String),
    /// The default of all brokers.
    BrokerDefault,
    /// One broker, by node id.
    Broker(i32),
    /// The log levels of one broker, by node id.
    BrokerLogger(i32),
    /// A client metrics subscription, by name (KIP-714).
    ClientMetrics(String),
    /// A consumer, share or streams group, by id.
    Group(String),
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::BrokerDefault => f.write_str("the brokers' default"),
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::BrokerLogger(id) => write!(f, "the loggers of broker {id}"),
            Self::ClientMetrics(name) => write!(f, "client metrics {name}"),
            Self::Group(name) => write!(f, "group {name}"),
        }
    }
}

/// Why a key could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadKey {
    /// A word this version does not know: another version's, to be left alone.
    Unknown,
    /// A word we know, followed by what we would never write.
    Malformed,
}

/// Prefix of all sessions.
pub(crate) const SESSIONS: &str = "s/";

/// Prefix of the partition keys of one topic.
pub(crate) fn partitions_of(topic: Uuid) -> String {
    format!("p/{}/", id_text(topic))
}

impl Key {
    /// The key as stored.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Meta => "meta".into(),
            Self::ControllerLeader => "ctl/leader".into(),
            Self::ControllerEpoch => "ctl/epoch".into(),
            Self::Broker(node) => format!("b/{node}"),
            Self::Session(node) => format!("{SESSIONS}{node}"),
            Self::Topic(name) => format!("t/{name}"),
            Self::Partition(topic, partition) => format!("p/{}/{partition:05}", id_text(*topic)),
            Self::Config(resource) => config_text(resource),
            Self::Quota(entity) => format!("quota/{}", entity.text()),
            Self::ProducerIds => "pid".into(),
        }
    }

    /// What `text` names.
    pub(crate) fn parse(text: &str) -> Result<Self, BadKey> {
        match text {
            "meta" => return Ok(Self::Meta),
            "ctl/leader" => return Ok(Self::ControllerLeader),
            "ctl/epoch" => return Ok(Self::ControllerEpoch),
            "pid" => return Ok(Self::ProducerIds),
            _ => {}
        }
        let (table, rest) = text.split_once('/').ok_or(BadKey::Unknown)?;
        let key = match table {
            "b" => number(rest).map(Self::Broker),
            "s" => number(rest).map(Self::Session),
            "t" => name(rest).map(Self::Topic),
            "p" => parse_partition(rest),
            "cfg" => parse_config(rest)?.map(Self::Config),
            "quota" => QuotaEntity::parse(rest).map(Self::Quota),
            _ => return Err(BadKey::Unknown),
        };
        key.ok_or(BadKey::Malformed)
    }
}

fn config_text(resource: &ConfigResource) -> String {
    match resource {
        ConfigResource::Topic(name) => format!("cfg/topic/{name}"),
        ConfigResource::BrokerDefault => "cfg/broker/_default".into(),
        ConfigResource::Broker(node) => format!("cfg/broker/{node}"),
        ConfigResource::BrokerLogger(node) => format!("cfg/broker-logger/{node}"),
        ConfigResource::ClientMetrics(name) => format!("cfg/client-metrics/{name}"),
        ConfigResource::Group(name) => format!("cfg/group/{name}"),
    }
}

fn parse_config(rest: &str) -> Result<Option<ConfigResource>, BadKey> {
    let (kind, rest) = rest.split_once('/').ok_or(BadKey::Malformed)?;
    Ok(match kind {
        "topic" => name(rest).map(ConfigResource::Topic),
        "broker" if rest == "_default" => Some(ConfigResource::BrokerDefault),
        "broker" => number(rest).map(ConfigResource::Broker),
        "broker-logger" => number(rest).map(ConfigResource::BrokerLogger),
        "client-metrics" => name(rest).map(ConfigResource::ClientMetrics),
        "group" => name(rest).map(ConfigResource::Group),
        _ => return Err(BadKey::Unknown),
    })
}

fn parse_partition(rest: &str) -> Option<Key> {
    let (topic, partition) = rest.split_once('/')?;
    let all_digits = partition.len() == 5 && partition.bytes().all(|byte| byte.is_ascii_digit());
    let partition = partition.parse().ok().filter(|_| all_digits)?;
    Some(Key::Partition(parse_id(topic)?, partition))
}

fn name(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// A node id in the only spelling we write: no sign, no leading zero.
fn number(text: &str) -> Option<i32> {
    let number: i32 = text.parse().ok()?;
    (number >= 0 && number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota_entity::QuotaName;
    use proptest::prelude::*;

    fn any_resource() -> impl Strategy<Value = ConfigResource> {
        prop_oneof![
            "[a-zA-Z0-9._-]{1,249}".prop_map(ConfigResource::Topic),
            Just(ConfigResource::BrokerDefault),
            (0..=i32::MAX).prop_map(ConfigResource::Broker),
            (0..=i32::MAX).prop_map(ConfigResource::BrokerLogger),
            // Group ids and subscription names are any text, slashes and `_default` included.
            ".{1,40}".prop_map(ConfigResource::ClientMetrics),
            ".{1,40}".prop_map(ConfigResource::Group),
        ]
    }

    fn any_key() -> impl Strategy<Value = Key> {
        prop_oneof![
            Just(Key::Meta),
            Just(Key::ControllerLeader),
            Just(Key::ControllerEpoch),
            Just(Key::ProducerIds),
            (0..=i32::MAX).prop_map(Key::Broker),
            (0..=i32::MAX).prop_map(Key::Session),
            "[a-zA-Z0-9._-]{1,249}".prop_map(Key::Topic),
            (any::<u128>(), 0..PARTITIONS_MAX)
                .prop_map(|(id, partition)| Key::Partition(Uuid::from_u128(id), partition)),
            any_resource().prop_map(Key::Config),
            crate::quota_entity::tests::any_entity().prop_map(Key::Quota),
        ]
    }

    proptest! {
        #[test]
        fn parsing_undoes_writing(key in any_key()) {
            prop_assert_eq!(Key::parse(&key.text()), Ok(key));
        }

        #[test]
        fn what_parses_is_written_the_same(text in "(b|s|t|p|cfg|cfg/broker|cfg/group|acl|quota)/[a-zA-Z0-9_/+-]{0,30}") {
            if let Ok(key) = Key::parse(&text) {
                prop_assert_eq!(key.text(), text);
            }
        }

        #[test]
        fn any_text_is_safe_to_parse(text in ".{0,60}") {
            let _ = Key::parse(&text);
        }

        #[test]
        fn the_partitions_of_a_topic_lie_together_and_in_order(topic: u128, other: u128, a in 0..PARTITIONS_MAX, b in 0..PARTITIONS_MAX) {
            let (topic, other) = (Uuid::from_u128(topic), Uuid::from_u128(other));
            let key = |id, partition| Key::Partition(id, partition).text();
            prop_assert_eq!(key(topic, a).cmp(&key(topic, b)), a.cmp(&b));
            prop_assert!(key(topic, a).starts_with(&partitions_of(topic)));
            prop_assert_eq!(key(other, b).starts_with(&partitions_of(topic)), other == topic);
        }
    }

    #[test]
    fn the_layout_is_the_published_one() {
        let topic = Uuid::from_u128(1);
        let written = [
            (Key::Meta, "meta"),
            (Key::ControllerLeader, "ctl/leader"),
            (Key::ControllerEpoch, "ctl/epoch"),
            (Key::Broker(3), "b/3"),
            (Key::Session(3), "s/3"),
            (Key::Topic("orders".into()), "t/orders"),
            (Key::Partition(topic, 7), "p/AAAAAAAAAAAAAAAAAAAAAQ/00007"),
            (
                Key::Config(ConfigResource::Topic("orders".into())),
                "cfg/topic/orders",
            ),
            (
                Key::Config(ConfigResource::BrokerDefault),
                "cfg/broker/_default",
            ),
            (Key::Config(ConfigResource::Broker(3)), "cfg/broker/3"),
            (
                Key::Config(ConfigResource::BrokerLogger(3)),
                "cfg/broker-logger/3",
            ),
            (
                Key::Config(ConfigResource::ClientMetrics("m".into())),
                "cfg/client-metrics/m",
            ),
            (
                Key::Config(ConfigResource::Group("g/1".into())),
                "cfg/group/g/1",
            ),
            (
                Key::Quota(QuotaEntity::User(QuotaName::Named("CN=a/b".into()))),
                "quota/user=CN=a%2Fb",
            ),
            (
                Key::Quota(QuotaEntity::UserAndClient(
                    QuotaName::Default,
                    QuotaName::Named("100%".into()),
                )),
                "quota/user/client-id=100%25",
            ),
            (
                Key::Quota(QuotaEntity::Client(QuotaName::Default)),
                "quota/client-id",
            ),
            (
                Key::Quota(QuotaEntity::Ip(QuotaName::Named("::1".into()))),
                "quota/ip=::1",
            ),
            (Key::ProducerIds, "pid"),
        ];
        for (key, text) in written {
            assert_eq!(key.text(), text);
        }
    }

    #[test]
    fn another_versions_keys_are_told_from_broken_ones() {
        assert_eq!(Key::parse("acl/1"), Err(BadKey::Unknown));
        assert_eq!(Key::parse("cfg/quota/x"), Err(BadKey::Unknown));
        for broken in [
            "b/",
            "b/01",
            "b/-1",
            "b/x",
            "t/",
            "p/x/00001",
            "p/AAAAAAAAAAAAAAAAAAAAAQ/1",
            "cfg/group/",
            "cfg/x",
            "quota/",
            "quota/user=",
            "quota/client-id/user",
            "quota/ip=a%2f",
        ] {
            assert_eq!(Key::parse(broken), Err(BadKey::Malformed), "{broken}");
        }
    }
}
