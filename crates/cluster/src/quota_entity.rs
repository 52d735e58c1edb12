//! Whom a client quota is for, and how that is written in a key of the metadata store.

use std::fmt;

/// Whom a client quota is for (Kafka `ClientQuotaEntity`; KIP-546, KIP-612).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuotaEntity {
    /// Every client of a user.
    User(QuotaName),
    /// Clients of a user that call themselves so.
    UserAndClient(QuotaName, QuotaName),
    /// Clients that call themselves so, whoever their user is.
    Client(QuotaName),
    /// Connections from an address, or from the first address of a host.
    Ip(QuotaName),
}

/// One part of an entity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuotaName {
    /// Whoever has no quota under his own name.
    Default,
    /// Any text that is not empty.
    Named(String),
}

/// Kafka's name of the users' part.
pub const QUOTA_USER: &str = "user";
/// Kafka's name of the client ids' part.
pub const QUOTA_CLIENT_ID: &str = "client-id";
/// Kafka's name of the addresses' part.
pub const QUOTA_IP: &str = "ip";

impl QuotaName {
    /// The name; `None` is the default, as Kafka writes it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Default => None,
            Self::Named(name) => Some(name),
        }
    }
}

impl QuotaEntity {
    /// The parts under Kafka's names, the user before the client id; `None` stands for the default.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        let (first, second) = match self {
            Self::User(user) => ((QUOTA_USER, user), None),
            Self::UserAndClient(user, client) => {
                ((QUOTA_USER, user), Some((QUOTA_CLIENT_ID, client)))
            }
            Self::Client(client) => ((QUOTA_CLIENT_ID, client), None),
            Self::Ip(ip) => ((QUOTA_IP, ip), None),
        };
        std::iter::once(first)
            .chain(second)
            .map(|(kind, name)| (kind, name.name()))
    }

    /// The entity as the rest of a key: `user=alice/client-id` is the default client id of the user alice. A `/` or `%` in a
    /// name is escaped as in a URL.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (kind, name) in self.parts() {
            if !text.is_empty() {
                text.push('/');
            }
            text.push_str(kind);
            if let Some(name) = name {
                text.push('=');
                text.push_str(&name.replace('%', "%25").replace('/', "%2F"));
            }
        }
        text
    }

    /// What [`text`](Self::text) wrote, and nothing else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.split_once('/') {
            Some((user, client)) => Some(Self::UserAndClient(
                part(user, QUOTA_USER)?,
                part(client, QUOTA_CLIENT_ID)?,
            )),
            None => part(text, QUOTA_USER)
                .map(Self::User)
                .or_else(|| part(text, QUOTA_CLIENT_ID).map(Self::Client))
                .or_else(|| part(text, QUOTA_IP).map(Self::Ip)),
        }
    }
}

/// As in Kafka's messages, without the class's name.
impl fmt::Display for QuotaEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, name)) in self.parts().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{kind}={}", name.unwrap_or("null"))?;
        }
        Ok(())
    }
}

fn part(text: &str, kind: &str) -> Option<QuotaName> {
    match text.strip_prefix(kind)? {
        "" => Some(QuotaName::Default),
        rest => unescaped(rest.strip_prefix('=')?).map(QuotaName::Named),
    }
}

fn unescaped(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut name = pieces.next()?.to_owned();
    for piece in pieces {
        let (escaped, rest) = piece.split_at_checked(2)?;
        name.push(match escaped {
            "25" => '%',
            "2F" => '/',
            _ => return None,
        });
        name.push_str(rest);
    }
    (!name.is_empty() && !text.contains('/')).then_some(name)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_name() -> impl Strategy<Value = QuotaName> {
        prop_oneof![
            Just(QuotaName::Default),
            // User names are any text: those of certificates have slashes, commas and equals signs.
            "[a-z%/=2F5,. *]{1,12}".prop_map(QuotaName::Named),
            ".{1,40}".prop_map(QuotaName::Named),
        ]
    }

    pub(crate) fn any_entity() -> impl Strategy<Value = QuotaEntity> {
        prop_oneof![
            any_name().prop_map(QuotaEntity::User),
            (any_name(), any_name())
                .prop_map(|(user, client)| QuotaEntity::UserAndClient(user, client)),
            any_name().prop_map(QuotaEntity::Client),
            any_name().prop_map(QuotaEntity::Ip),
        ]
    }

    proptest! {
        #[test]
        fn an_entity_is_read_as_it_was_written(entity in any_entity()) {
            prop_assert_eq!(QuotaEntity::parse(&entity.text()), Some(entity));
        }

        #[test]
        fn what_parses_is_written_the_same(text in "(user|client-id|ip)[=%/25Fa-c]{0,8}(/client-id)?[=%/25Fa-c]{0,8}") {
            if let Some(entity) = QuotaEntity::parse(&text) {
                prop_assert_eq!(entity.text(), text);
            }
        }
    }

    #[test]
    fn a_user_called_like_the_default_is_not_the_default() {
        let named = QuotaEntity::User(QuotaName::Named("<default>".into()));
        assert_ne!(named.text(), QuotaEntity::User(QuotaName::Default).text());
    }
}
