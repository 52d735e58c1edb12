//! The Kafka side of the commands: who leads what, and the requests they need, over [`wire::client`].
//!
//! A [`Client`] finds the cluster through its bootstrap servers and keeps one connection to each broker it needed. It
//! knows no command and prints nothing. Errors say what was asked, of whom, and what came back.

mod fetch;
mod group_members;
mod groups;
mod link;
mod metadata;
mod offsets;
mod produce;
mod topics;
mod transactions;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use wire::StrBytes;
use wire::messages::TopicName;

pub(crate) use self::fetch::{Aborted, Fetched, Place};
pub(crate) use self::group_members::{Group, Member};
pub(crate) use self::groups::{Committed, ListedGroup};
pub(crate) use self::link::Link;
pub(crate) use self::metadata::{Metadata, Node, Partition, Topic, by_leader, is_unsettled};
pub(crate) use self::offsets::Ranges;
pub(crate) use self::produce::Acks;
pub(crate) use self::transactions::TransactionalProducer;
use crate::args::ConnectArgs;

/// A topic's name and a partition's index.
pub(crate) type TopicPartition = (String, i32);

/// Between two looks at what is not settled yet.
const PAUSE: Duration = Duration::from_millis(100);

/// Which records of transactions are read, and where partitions end with that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// All of them, up to the high watermark.
    #[default]
    Uncommitted,
    /// Those that were committed, up to the first transaction that has not ended.
    Committed,
}

impl Isolation {
    /// As requests carry it.
    fn level(self) -> i8 {
        i8::from(self == Self::Committed)
    }
}

/// A cluster, and the connections to its brokers so far.
pub(crate) struct Client {
    bootstrap: Vec<String>,
    timeout: Duration,
    isolation: Isolation,
    seed: Option<Link>,
    nodes: BTreeMap<i32, Node>,
    links: HashMap<i32, Link>,
}

impl Client {
    /// Connects to the first bootstrap server that answers.
    pub(crate) async fn connect(args: &ConnectArgs) -> anyhow::Result<Client> {
        let mut client = Client {
            bootstrap: servers(&args.bootstrap_server),
            timeout: args.timeout,
            isolation: Isolation::default(),
            seed: None,
            nodes: BTreeMap::new(),
            links: HashMap::new(),
        };
        client.seed().await?;
        Ok(client)
    }

    /// What the connections made from now on read.
    pub(crate) fn read(&mut self, isolation: Isolation) {
        self.isolation = isolation;
    }

    /// How long one answer may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The same, as requests carry it.
    pub(crate) fn timeout_ms(&self) -> i32 {
        i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// Where clients are told to find this broker, if it is known.
    pub(crate) fn address_of(&self, node: i32) -> Option<String> {
        self.nodes.get(&node).map(Node::address)
    }

    /// The broker that is asked what any broker can answer. In a KRaft cluster that includes administration (M6).
    pub(crate) async fn seed(&mut self) -> anyhow::Result<&mut Link> {
        if self.seed.as_ref().is_none_or(|link| link.broken) {
            self.seed = Some(self.dial_bootstrap().await?);
        }
        self.seed.as_mut().context("just connected")
    }

    async fn dial_bootstrap(&self) -> anyhow::Result<Link> {
        let mut errors = Vec::new();
        for server in &self.bootstrap {
            match Link::dial(server, self.timeout).await {
                Ok(link) => return Ok(link),
                Err(error) => errors.push(format!("{error:#}")),
            }
        }
        bail!(
            "{}; is a broker running there? -b names another",
            errors.join("; ")
        )
    }

    /// A connection to this broker, kept for the next time.
    pub(crate) async fn link(&mut self, node: i32) -> anyhow::Result<&mut Link> {
        if self.links.get(&node).is_none_or(|link| link.broken) {
            let link = self.dial(node).await?;
            self.links.insert(node, link);
        }
        self.links.get_mut(&node).context("just connected")
    }

    /// A connection of the caller's own to this broker, which the latest metadata must have named.
    pub(crate) async fn dial(&self, node: i32) -> anyhow::Result<Link> {
        let known = self
            .nodes
            .get(&node)
            .ok_or_else(|| anyhow!("the cluster has no broker {node}"))?;
        let mut link = Link::dial(&known.address(), self.timeout).await.with_context(|| {
            format!(
                "broker {node} tells clients to find it at {}, and it is not there (its `advertised.listeners`)",
                known.address()
            )
        })?;
        link.isolation = self.isolation;
        Ok(link)
    }
}

/// A topic's name as messages carry it.
pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// A string as messages carry it.
pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The bootstrap servers as they are dialled. An empty variable says as much as none.
pub(crate) fn servers(named: &[String]) -> Vec<String> {
    let named = named.iter().map(|server| server.trim());
    let servers: Vec<String> = named
        .filter(|server| !server.is_empty())
        .map(with_port)
        .collect();
    match servers.is_empty() {
        true => vec![with_port("localhost")],
        false => servers,
    }
}

/// A bootstrap server may leave out Kafka's port.
fn with_port(server: &str) -> String {
    let has_port = match server.rsplit_once(':') {
        // The colons of a bare IPv6 address are not followed by a port.
        Some((host, port)) => {
            port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']'))
        }
        None => false,
    };
    match has_port {
        true => server.to_owned(),
        false if server.contains(':') && !server.starts_with('[') => format!("[{server}]:9092"),
        false => format!("{server}:9092"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_server_without_a_port_means_kafkas() {
        for (given, dialled) in [
            ("localhost", "localhost:9092"),
            ("kafka:9093", "kafka:9093"),
            ("10.0.0.1", "10.0.0.1:9092"),
            ("[::1]:9093", "[::1]:9093"),
            ("[::1]", "[::1]:9092"),
            ("::1", "[::1]:9092"),
        ] {
            assert_eq!(with_port(given), dialled);
        }
    }
}
