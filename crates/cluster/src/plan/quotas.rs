//! Changing client quotas (KIP-546, KIP-612): what Kafka's `ClientQuotaControlManager` accepts and refuses, and in which order it looks.

use std::collections::{BTreeMap, HashSet};

use super::{Packer, Plan, put};
use crate::error::ControllerError;
use crate::image::ClusterImage;
use crate::keys::Key;
use crate::quota_entity::{QUOTA_CLIENT_ID, QUOTA_IP, QUOTA_USER, QuotaEntity, QuotaName};
use crate::store::Txn;
use crate::values::QuotaRecord;

/// A change of one entity's quotas, as a client asks for it: nothing in it has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct QuotaAlteration {
    /// Types and names of the entity; `None` is the default.
    pub entity: BTreeMap<String, Option<String>>,
    /// Keys, and the limits to set; `None` removes one.
    pub ops: Vec<(String, Option<f64>)>,
    /// Whether the name under `ip`, if there is one, is an address or a host that has one. Only the caller can ask.
    pub host_is_known: bool,
}

/// What can be limited (Kafka `QuotaConfig`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuotaKey {
    /// Bytes of produce requests a second.
    ProducerByteRate,
    /// Bytes of fetch responses a second.
    ConsumerByteRate,
    /// Time that requests are worked on, in per cent of one thread's.
    RequestPercentage,
    /// Partitions created and deleted a second (KIP-599).
    ControllerMutationRate,
    /// Connections a second from an address (KIP-612).
    ConnectionCreationRate,
}

impl QuotaKey {
    /// Every key.
    pub const ALL: [Self; 5] = [
        Self::ProducerByteRate,
        Self::ConsumerByteRate,
        Self::RequestPercentage,
        Self::ControllerMutationRate,
        Self::ConnectionCreationRate,
    ];

    /// Kafka's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ProducerByteRate => "producer_byte_rate",
            Self::ConsumerByteRate => "consumer_byte_rate",
            Self::RequestPercentage => "request_percentage",
            Self::ControllerMutationRate => "controller_mutation_rate",
            Self::ConnectionCreationRate => "connection_creation_rate",
        }
    }

    /// The key of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    fn is_for(self, entity: &QuotaEntity) -> bool {
        matches!(entity, QuotaEntity::Ip(_)) == (self == Self::ConnectionCreationRate)
    }

    /// The whole numbers' type in Kafka's table and its largest value; `None` where fractions are allowed.
    fn integer(self) -> Option<(&'static str, f64)> {
        match self {
            Self::ProducerByteRate | Self::ConsumerByteRate => Some(("a LONG", i64::MAX as f64)),
            Self::ConnectionCreationRate => Some(("an INT", f64::from(i32::MAX))),
            Self::RequestPercentage | Self::ControllerMutationRate => None,
        }
    }
}

/// Why quotas were not changed, in Kafka's words.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AlterQuotaError {
    /// The entity has no parts.
    #[error("Invalid empty client quota entity")]
    EmptyEntity,
    /// There is nothing of this type that could have a quota.
    #[error("Unhandled client quota entity type: {kind}")]
    UnknownType {
        /// The type.
        kind: String,
    },
    /// A name without characters.
    #[error("Empty {kind} not supported")]
    EmptyName {
        /// Of this type.
        kind: String,
    },
    /// Addresses are limited whoever calls from them.
    #[error(
        "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId"
    )]
    MixedIp,
    /// Neither an address nor a host that has one.
    #[error("{host} is not a valid IP or resolvable host.")]
    UnknownHost {
        /// The name.
        host: String,
    },
    /// Nothing of this name can be limited for this entity.
    #[error("Invalid configuration key {key}")]
    UnknownKey {
        /// The name.
        key: String,
    },
    /// A limit that is no number.
    #[error("Quota {key} must be a finite number")]
    NotFinite {
        /// The key.
        key: String,
    },
    /// A limit that nobody could keep.
    #[error("Quota {key} must be greater than 0")]
    NotPositive {
        /// The key.
        key: String,
    },
    /// A limit beyond the key's type.
    #[error("Proposed value for {key} is too large for {kind}.")]
    TooLarge {
        /// The key.
        key: String,
        /// Kafka's name of its type.
        kind: &'static str,
    },
    /// A fraction of a byte or a connection.
    #[error("{key} cannot be a fractional value.")]
    Fractional {
        /// The key.
        key: String,
    },
    /// One alteration names a key twice.
    #[error(
        "Duplicate quota key {key} not updating quota for this entity ClientQuotaEntity(entries={{{entity}}})"
    )]
    DuplicateKey {
        /// The key.
        key: String,
        /// Whose.
        entity: QuotaEntity,
    },
    /// The request names the entity twice; the first alteration counts.
    #[error("Ignoring duplicate entity ClientQuotaEntity(entries={{{entity}}})")]
    DuplicateEntity {
        /// Which.
        entity: QuotaEntity,
    },
    /// The controller could not do it.
    #[error(transparent)]
    Controller(#[from] ControllerError),
}

/// Plans `alterations`, each on its own.
pub(crate) fn alter_quotas(
    image: &ClusterImage,
    alterations: &[QuotaAlteration],
) -> Plan<(), AlterQuotaError> {
    let mut packer = Packer::default();
    let mut seen = HashSet::new();
    let answer = |(item, alteration): (usize, &QuotaAlteration)| {
        let entity = entity(alteration)?;
        if !seen.insert(entity.clone()) {
            return Err(AlterQuotaError::DuplicateEntity { entity });
        }
        let current = image.quota(&entity);
        let wanted = wanted(current.map(|quota| &quota.values), &entity, &alteration.ops)?;
        if current.map_or(wanted.is_empty(), |current| current.values == wanted) {
            return Ok(());
        }
        let key = Key::Quota(entity).text();
        let revision = current.map_or(0, |quota| quota.revision);
        let guarded = Txn::default().when(key.clone(), revision);
        let txn = if wanted.is_empty() {
            guarded.delete(key)
        } else {
            Txn {
                ops: vec![put(key, &QuotaRecord { values: wanted })],
                ..guarded
            }
        };
        packer.add(item, txn, 1);
        Ok(())
    };
    let answers = alterations.iter().enumerate().map(answer).collect();
    Plan {
        answers,
        steps: packer.into_steps(),
    }
}

/// The entity, if it is one that can have quotas (`validateEntity`, `configKeysForEntityType`).
fn entity(alteration: &QuotaAlteration) -> Result<QuotaEntity, AlterQuotaError> {
    let mut parts = [None, None, None];
    for (kind, name) in &alteration.entity {
        let Some(at) = [QUOTA_USER, QUOTA_CLIENT_ID, QUOTA_IP]
            .iter()
            .position(|known| known == kind)
        else {
            return Err(AlterQuotaError::UnknownType { kind: kind.clone() });
        };
        parts[at] = Some(match name {
            None => QuotaName::Default,
            Some(name) if name.is_empty() => {
                return Err(AlterQuotaError::EmptyName { kind: kind.clone() });
            }
            Some(name) => QuotaName::Named(name.clone()),
        });
    }
    match parts {
        [None, None, None] => Err(AlterQuotaError::EmptyEntity),
        [None, None, Some(QuotaName::Named(host))] if !alteration.host_is_known => {
            Err(AlterQuotaError::UnknownHost { host })
        }
        [None, None, Some(ip)] => Ok(QuotaEntity::Ip(ip)),
        [_, _, Some(_)] => Err(AlterQuotaError::MixedIp),
        [Some(user), Some(client), None] => Ok(QuotaEntity::UserAndClient(user, client)),
        [Some(user), None, None] => Ok(QuotaEntity::User(user)),
        [None, Some(client), None] => Ok(QuotaEntity::Client(client)),
    }
}

/// The entity's quotas after `ops`.
fn wanted(
    current: Option<&BTreeMap<String, f64>>,
    entity: &QuotaEntity,
    ops: &[(String, Option<f64>)],
) -> Result<BTreeMap<String, f64>, AlterQuotaError> {
    let mut values = current.cloned().unwrap_or_default();
    let mut seen = HashSet::new();
    for (key, value) in ops {
        if !seen.insert(key) {
            return Err(AlterQuotaError::DuplicateKey {
                key: key.clone(),
                entity: entity.clone(),
            });
        }
        match *value {
            Some(value) => {
                check_limit(key, value, entity)?;
                values.insert(key.clone(), value);
            }
            // Kafka does not ask whether there could be such a key.
            None => drop(values.remove(key)),
        }
    }
    Ok(values)
}

fn check_limit(key: &str, value: f64, entity: &QuotaEntity) -> Result<(), AlterQuotaError> {
    let name = || key.to_owned();
    let Some(known) = QuotaKey::named(key).filter(|known| known.is_for(entity)) else {
        return Err(AlterQuotaError::UnknownKey { key: name() });
    };
    if !value.is_finite() {
        return Err(AlterQuotaError::NotFinite { key: name() });
    }
    if value <= 0.0 {
        return Err(AlterQuotaError::NotPositive { key: name() });
    }
    if let Some((kind, max)) = known.integer() {
        if value > max {
            return Err(AlterQuotaError::TooLarge { key: name(), kind });
        }
        // Kafka's tolerance, for numbers that went through text.
        if (value % 1.0).abs() > 1e-6 {
            return Err(AlterQuotaError::Fractional { key: name() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alteration(entity: &[(&str, Option<&str>)], ops: &[(&str, Option<f64>)]) -> QuotaAlteration {
        QuotaAlteration {
            entity: entity
                .iter()
                .map(|(kind, name)| (String::from(*kind), name.map(String::from)))
                .collect(),
            ops: ops
                .iter()
                .map(|(key, value)| (String::from(*key), *value))
                .collect(),
            host_is_known: true,
        }
    }

    /// What is said to one alteration of a cluster without quotas; empty if it is accepted.
    fn said_to(alteration: &QuotaAlteration) -> String {
        let plan = alter_quotas(&ClusterImage::default(), std::slice::from_ref(alteration));
        plan.answers[0]
            .as_ref()
            .err()
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    #[test]
    fn what_is_no_entity_is_refused_in_kafkas_words() {
        let rate: &[_] = &[("producer_byte_rate", Some(1.0))];
        for (entity, said) in [
            (&[][..], "Invalid empty client quota entity"),
            (
                &[("group", Some("g"))],
                "Unhandled client quota entity type: group",
            ),
            (&[("user", Some(""))], "Empty user not supported"),
            (
                &[("ip", None), ("user", None)],
                "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId",
            ),
            (
                &[("ip", None)],
                "Invalid configuration key producer_byte_rate",
            ),
            (&[("user", None), ("client-id", Some("c"))], ""),
        ] {
            assert_eq!(said_to(&alteration(entity, rate)), said, "{entity:?}");
        }
        let mut unknown = alteration(&[("ip", Some("nowhere.invalid"))], rate);
        unknown.host_is_known = false;
        assert_eq!(
            said_to(&unknown),
            "nowhere.invalid is not a valid IP or resolvable host."
        );
    }

    #[test]
    fn limits_are_positive_and_whole_where_kafka_counts_in_whole_numbers() {
        let user: &[_] = &[("user", None)];
        let ip: &[_] = &[("ip", Some("10.0.0.1"))];
        for (entity, key, value, said) in [
            (user, "producer_byte_rate", 1e6, ""),
            (user, "request_percentage", 0.5, ""),
            (user, "controller_mutation_rate", 0.1, ""),
            (ip, "connection_creation_rate", 10.0, ""),
            (
                user,
                "connection_creation_rate",
                10.0,
                "Invalid configuration key connection_creation_rate",
            ),
            (
                user,
                "producer_byte_rate",
                0.0,
                "Quota producer_byte_rate must be greater than 0",
            ),
            (
                user,
                "consumer_byte_rate",
                1.5,
                "consumer_byte_rate cannot be a fractional value.",
            ),
            (
                user,
                "consumer_byte_rate",
                1e19,
                "Proposed value for consumer_byte_rate is too large for a LONG.",
            ),
            (
                ip,
                "connection_creation_rate",
                3e9,
                "Proposed value for connection_creation_rate is too large for an INT.",
            ),
            (
                user,
                "request_percentage",
                f64::NAN,
                "Quota request_percentage must be a finite number",
            ),
        ] {
            assert_eq!(
                said_to(&alteration(entity, &[(key, Some(value))])),
                said,
                "{key}={value}"
            );
        }
    }

    #[test]
    fn of_two_alterations_of_one_entity_the_first_counts() {
        let client: &[_] = &[("client-id", None), ("user", Some("u"))];
        let twice = [
            alteration(client, &[("producer_byte_rate", Some(1.0))]),
            alteration(client, &[("producer_byte_rate", Some(2.0))]),
        ];
        let plan = alter_quotas(&ClusterImage::default(), &twice);
        assert_eq!(plan.answers[0], Ok(()));
        assert_eq!(
            plan.answers[1].as_ref().map_err(ToString::to_string),
            Err(
                "Ignoring duplicate entity ClientQuotaEntity(entries={user=u, client-id=null})"
                    .into()
            )
        );
        assert_eq!(plan.steps.len(), 1);
        assert_eq!(plan.steps[0].items, [0]);
    }

    #[test]
    fn removing_what_is_not_there_writes_nothing() {
        let nothing = alteration(&[("user", None)], &[("no_such_key", None)]);
        let plan = alter_quotas(&ClusterImage::default(), &[nothing]);
        assert_eq!((plan.answers, plan.steps.len()), (vec![Ok(())], 0));
    }
}
