//! Which limit is whose: Kafka's eight levels (statement Q1), from the quotas as they are stored.

use std::net::IpAddr;

use cluster::{ClusterImage, QuotaEntity, QuotaKey, QuotaName};
use foldhash::HashMap;

/// Who asks for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Caller<'a> {
    pub(crate) user: &'a str,
    /// Empty for a client that does not say what it is.
    pub(crate) client_id: &'a str,
}

/// A limit that applies, and to whom together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Applying<'a> {
    /// A second.
    pub(crate) limit: f64,
    /// Everybody it is shared by: an empty part stands for all.
    pub(crate) shared_by: Caller<'a>,
}

/// The limits of one key.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    by_user: HashMap<Box<str>, Level>,
    default_user: Level,
    any_user: Level,
}

/// The limits of one user, of the default user, or of whatever user.
#[derive(Debug, Default)]
struct Level {
    by_client: HashMap<Box<str>, f64>,
    default_client: Option<f64>,
    alone: Option<f64>,
}

impl Level {
    fn of_client(&self, client_id: &str) -> Option<f64> {
        // A client that says nothing is no client of any name, and not the default one either.
        if client_id.is_empty() {
            return None;
        }
        self.by_client
            .get(client_id)
            .copied()
            .or(self.default_client)
    }
}

impl Levels {
    /// Whether nobody is limited.
    pub(crate) fn is_empty(&self) -> bool {
        let empty = |level: &Level| {
            level.by_client.is_empty() && level.default_client.is_none() && level.alone.is_none()
        };
        self.by_user.is_empty() && empty(&self.default_user) && empty(&self.any_user)
    }

    /// The first level that has a limit for `caller`: user and client, user and default client, user; the same for the default
    /// user; client, default client (`ClientQuotaManager.DefaultQuotaCallback`).
    pub(crate) fn of<'a>(&self, caller: Caller<'a>) -> Option<Applying<'a>> {
        let Caller { user, client_id } = caller;
        let applying = |limit, user, client_id| Applying {
            limit,
            shared_by: Caller { user, client_id },
        };
        for level in self
            .by_user
            .get(user)
            .into_iter()
            .chain([&self.default_user])
        {
            if let Some(limit) = level.of_client(client_id) {
                return Some(applying(limit, user, client_id));
            }
            if let Some(limit) = level.alone {
                return Some(applying(limit, user, ""));
            }
        }
        let limit = self.any_user.of_client(client_id)?;
        Some(applying(limit, "", client_id))
    }

    fn set(&mut self, entity: &QuotaEntity, limit: f64) {
        let (user, client) = match entity {
            QuotaEntity::User(user) => (Some(user), None),
            QuotaEntity::UserAndClient(user, client) => (Some(user), Some(client)),
            QuotaEntity::Client(client) => (None, Some(client)),
            QuotaEntity::Ip(_) => return,
        };
        let level = match user {
            None => &mut self.any_user,
            Some(QuotaName::Default) => &mut self.default_user,
            Some(QuotaName::Named(user)) => self.by_user.entry(user.as_str().into()).or_default(),
        };
        match client {
            None => level.alone = Some(limit),
            Some(QuotaName::Default) => level.default_client = Some(limit),
            Some(QuotaName::Named(client)) => {
                level.by_client.insert(client.as_str().into(), limit);
            }
        }
    }
}

/// All limits of one image.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) produce: Levels,
    pub(crate) fetch: Levels,
    pub(crate) request: Levels,
    pub(crate) mutation: Levels,
    by_address: HashMap<IpAddr, f64>,
    default_address: Option<f64>,
}

impl Limits {
    /// The limits in `image`. `addresses` holds those of the hosts that it names.
    pub(crate) fn of(image: &ClusterImage, addresses: &HashMap<String, IpAddr>) -> Self {
        let mut limits = Self::default();
        for (entity, quota) in image.quotas() {
            for (key, &limit) in &quota.values {
                match QuotaKey::named(key) {
                    Some(QuotaKey::ProducerByteRate) => limits.produce.set(entity, limit),
                    Some(QuotaKey::ConsumerByteRate) => limits.fetch.set(entity, limit),
                    Some(QuotaKey::RequestPercentage) => limits.request.set(entity, limit),
                    Some(QuotaKey::ControllerMutationRate) => limits.mutation.set(entity, limit),
                    Some(QuotaKey::ConnectionCreationRate) => {
                        limits.set_connections(entity, limit, addresses);
                    }
                    // Another version's, which nothing here could enforce.
                    None => {
                        tracing::warn!(%entity, key, "a quota of an unknown kind is not enforced")
                    }
                }
            }
        }
        limits
    }

    fn set_connections(
        &mut self,
        entity: &QuotaEntity,
        limit: f64,
        addresses: &HashMap<String, IpAddr>,
    ) {
        match entity {
            QuotaEntity::Ip(QuotaName::Default) => self.default_address = Some(limit),
            QuotaEntity::Ip(QuotaName::Named(host)) => match addresses.get(host) {
                Some(address) => drop(self.by_address.insert(*address, limit)),
                None => tracing::warn!(
                    host,
                    "the connection quota of a host without address is not enforced"
                ),
            },
            QuotaEntity::User(_) | QuotaEntity::UserAndClient(..) | QuotaEntity::Client(_) => {}
        }
    }

    /// Connections a second that may come from `address`.
    pub(crate) fn connections_of(&self, address: IpAddr) -> Option<f64> {
        self.by_address
            .get(&address)
            .copied()
            .or(self.default_address)
    }

    /// Whether no address is limited.
    pub(crate) fn addresses_are_free(&self) -> bool {
        self.by_address.is_empty() && self.default_address.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> QuotaName {
        QuotaName::Named(name.into())
    }

    /// One entity of each level, the strongest first.
    fn levels() -> [QuotaEntity; 8] {
        use QuotaName::Default;
        [
            QuotaEntity::UserAndClient(named("u"), named("c")),
            QuotaEntity::UserAndClient(named("u"), Default),
            QuotaEntity::User(named("u")),
            QuotaEntity::UserAndClient(Default, named("c")),
            QuotaEntity::UserAndClient(Default, Default),
            QuotaEntity::User(Default),
            QuotaEntity::Client(named("c")),
            QuotaEntity::Client(Default),
        ]
    }

    const CALLER: Caller<'static> = Caller {
        user: "u",
        client_id: "c",
    };

    #[test]
    fn the_first_of_the_eight_levels_that_has_a_limit_applies() {
        // Every set of levels.
        for present in 0..256_u32 {
            let mut limits = Levels::default();
            for (at, entity) in levels().iter().enumerate() {
                if present & (1 << at) != 0 {
                    limits.set(entity, at as f64);
                }
            }
            let found = limits.of(CALLER).map(|applying| applying.limit);
            let first = (present != 0).then(|| f64::from(present.trailing_zeros()));
            assert_eq!(found, first, "{present:08b}");
            assert_eq!(limits.is_empty(), present == 0);
        }
    }

    #[test]
    fn a_limit_is_shared_by_those_its_level_does_not_tell_apart() {
        for (at, entity) in levels().iter().enumerate() {
            let mut limits = Levels::default();
            limits.set(entity, 1.0);
            let (user, client_id) = match at {
                0 | 1 | 3 | 4 => ("u", "c"),
                2 | 5 => ("u", ""),
                _ => ("", "c"),
            };
            let shared_by = limits.of(CALLER).map(|applying| applying.shared_by);
            assert_eq!(shared_by, Some(Caller { user, client_id }), "{entity}");
        }
    }

    #[test]
    fn a_client_that_does_not_say_what_it_is_has_its_users_limits_only() {
        let nameless = Caller {
            user: "u",
            client_id: "",
        };
        for (at, entity) in levels().iter().enumerate() {
            let mut limits = Levels::default();
            limits.set(entity, 1.0);
            assert_eq!(
                limits.of(nameless).is_some(),
                [2, 5].contains(&at),
                "{entity}"
            );
        }
    }

    #[test]
    fn others_are_not_limited_by_names_that_are_not_theirs() {
        let mut limits = Levels::default();
        limits.set(&levels()[0], 1.0);
        limits.set(&levels()[6], 2.0);
        let other = |user, client_id| {
            limits
                .of(Caller { user, client_id })
                .map(|found| found.limit)
        };
        assert_eq!(other("u", "x"), None);
        assert_eq!(other("x", "c"), Some(2.0));
        assert_eq!(other("x", "x"), None);
    }
}
