//! What a configuration belongs to.

use clap::{Args, ValueEnum};

use crate::outcome::usage;

#[derive(Debug, Args)]
pub(super) struct ResourceArgs {
    /// Whose configuration
    #[arg(value_enum)]
    kind: Kind,
    /// The name of the topic, group or subscription, or the broker's id; for the default of all brokers, `default`
    name: String,
}

/// The kinds of resources that have a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// A topic
    Topic,
    /// A broker, or all of them
    Broker,
    /// The loggers of a broker
    BrokerLogger,
    /// What clients send of their own metrics (KIP-714)
    ClientMetrics,
    /// A group
    Group,
}

impl Kind {
    /// As Kafka numbers them (`ConfigResource.Type`).
    pub(crate) fn code(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
        }
    }

    /// The kind of this number, if there is one.
    pub(crate) fn of_code(code: i8) -> Option<Kind> {
        let mut all = Kind::value_variants().iter();
        all.find(|kind| kind.code() == code).copied()
    }

    /// As people call it.
    fn noun(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Broker => "broker",
            Self::BrokerLogger => "loggers of broker",
            Self::ClientMetrics => "client metrics",
            Self::Group => "group",
        }
    }

    /// As the command line spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Broker => "broker",
            Self::BrokerLogger => "broker-logger",
            Self::ClientMetrics => "client-metrics",
            Self::Group => "group",
        }
    }
}

/// What a configuration belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) kind: Kind,
    /// As requests carry it; "" for all brokers.
    pub(crate) name: String,
}

impl Resource {
    /// A topic, by name.
    pub(crate) fn topic(name: &str) -> Resource {
        Resource {
            kind: Kind::Topic,
            name: name.to_owned(),
        }
    }

    /// A broker, by id.
    pub(crate) fn broker(id: i32) -> Resource {
        Resource {
            kind: Kind::Broker,
            name: id.to_string(),
        }
    }

    /// The broker that alone can answer, if there is one (`ConfigHelper`).
    pub(crate) fn at_broker(&self) -> Option<i32> {
        match self.kind {
            Kind::Broker | Kind::BrokerLogger => self.name.parse().ok(),
            Kind::Topic | Kind::ClientMetrics | Kind::Group => None,
        }
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.kind, self.name.as_str()) {
            (Kind::Broker, "") => f.write_str("all brokers"),
            (kind, name) => write!(f, "{} {name}", kind.noun()),
        }
    }
}

impl ResourceArgs {
    pub(super) fn resource(&self) -> anyhow::Result<Resource> {
        let by_id = matches!(self.kind, Kind::Broker | Kind::BrokerLogger);
        let name = match (self.kind, self.name.as_str()) {
            (Kind::Broker, "default") => "",
            (_, name) if by_id && name.parse::<i32>().is_err() => {
                return Err(usage(format!(
                    "a broker is named by its id{}, not {name}",
                    if self.kind == Kind::Broker {
                        " or `default`"
                    } else {
                        ""
                    },
                )));
            }
            (_, name) => name,
        };
        Ok(Resource {
            kind: self.kind,
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(kind: Kind, name: &str) -> anyhow::Result<Resource> {
        let name = name.to_owned();
        ResourceArgs { kind, name }.resource()
    }

    #[test]
    fn brokers_and_their_loggers_are_named_by_id_and_asked_themselves() {
        assert_eq!(resource(Kind::Broker, "3").unwrap().at_broker(), Some(3));
        assert_eq!(
            resource(Kind::BrokerLogger, "3").unwrap().at_broker(),
            Some(3)
        );
        let all = resource(Kind::Broker, "default").unwrap();
        assert_eq!((all.name.as_str(), all.at_broker()), ("", None));
        assert_eq!(resource(Kind::Topic, "3").unwrap().at_broker(), None);
        assert!(resource(Kind::Broker, "one").is_err());
        assert!(resource(Kind::BrokerLogger, "default").is_err());
    }

    #[test]
    fn a_kind_and_its_number_belong_together() {
        for kind in Kind::value_variants() {
            assert_eq!(Kind::of_code(kind.code()), Some(*kind));
        }
        assert_eq!(Kind::of_code(0), None);
    }
}
