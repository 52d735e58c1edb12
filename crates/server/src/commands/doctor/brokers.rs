//! The brokers at the addresses that clients are told: are they there, and are they who they are said to be?

use std::net::IpAddr;

use super::dial::{self, Broken};
use super::findings::Findings;
use super::is_loopback;
use crate::args::ConnectArgs;
use crate::client::{Client, Metadata, Node};
use crate::commands::config::{self, Resource};
use crate::outcome::Refusal;

/// Examines every broker of the metadata. `remote`: the bootstrap server is on another machine.
pub(super) async fn examine(
    metadata: &Metadata,
    connect: &ConnectArgs,
    remote: bool,
    findings: &mut Findings,
) {
    if metadata.nodes.is_empty() {
        findings.wrong(
            "cluster",
            &metadata.by,
            "names no broker at all",
            "wait until it has started, or look at its log",
        );
    }
    for (id, node) in &metadata.nodes {
        let subject = format!("{id} ({})", node.address());
        if let Some((found, advice)) = mistake(node, remote) {
            findings.wrong("broker", &subject, found, advice);
            continue;
        }
        match dial::reach(&node.address(), connect.timeout).await {
            Ok(_) => identity(*id, node, metadata, connect, findings).await,
            Err(broken) => findings.broken("broker", &subject, &broken, at_broker(&broken)),
        }
    }
}

/// What can be told from the address alone, and what to do about it.
fn mistake(node: &Node, remote: bool) -> Option<(&'static str, &'static str)> {
    let unspecified = node
        .host
        .parse::<IpAddr>()
        .is_ok_and(|ip| ip.is_unspecified());
    if unspecified {
        return Some((
            "tells clients an address that means \"any interface\" and is nobody's",
            "set `advertised.listeners` to a name or an address by which clients reach this broker; `listeners` may stay as it is",
        ));
    }
    if node.host.is_empty() || !(1..=65_535).contains(&node.port) {
        return Some((
            "tells clients an address without a host or with an impossible port",
            "set `advertised.listeners` to HOST:PORT as clients reach it",
        ));
    }
    (remote && is_loopback(&node.host)).then_some((
        "tells clients \"localhost\", which is the client's own machine and not the broker's",
        "set the broker's `advertised.listeners` to a name or an address that means it from here; in a container, the host's name",
    ))
}

/// What to do about a broker that is not where clients are told.
fn at_broker(broken: &Broken) -> &'static str {
    match broken {
        Broken::Unresolvable(_) => {
            "clients that use this name need to resolve it: correct `advertised.listeners`, or DNS; names of containers and pods are known inside their network only"
        }
        Broken::Refused => {
            "the bootstrap server is reachable and this address is not: correct the port or the host in `advertised.listeners`, or start the broker"
        }
        Broken::Unreachable(_) | Broken::Silent => {
            "check `advertised.listeners`, and routes and firewalls between here and there"
        }
        Broken::Tls => {
            "the listener that was asked advertises one that wants TLS: give each listener its own entry in `advertised.listeners`, with its own port"
        }
        Broken::Address | Broken::Http | Broken::Closed | Broken::NotKafka(_) => {
            "something else than this listener is at the advertised address: correct `advertised.listeners`"
        }
    }
}

/// A broker refuses questions about another one's configuration, and that tells who it is (`ConfigHelper`).
async fn identity(
    id: i32,
    node: &Node,
    metadata: &Metadata,
    connect: &ConnectArgs,
    findings: &mut Findings,
) {
    let subject = format!("{id} ({})", node.address());
    let at = ConnectArgs {
        bootstrap_server: vec![node.address()],
        ..connect.clone()
    };
    let other = match other_cluster(&at, metadata).await {
        Ok(other) => other,
        Err(error) => {
            findings.wrong("broker", &subject, format!("{error:#}"), "look at its log");
            return;
        }
    };
    if let Some(other) = other {
        findings.wrong(
            "broker",
            &subject,
            format!("is a broker of another cluster ({other})"),
            "correct `advertised.listeners`: clients that are sent there read and write the wrong cluster",
        );
        return;
    }
    match claims(&at, id).await {
        Some(false) => findings.wrong(
            "broker",
            &subject,
            "is another broker of the cluster",
            "two brokers advertise the same address, or something forwards to the wrong one: give each its own in `advertised.listeners`",
        ),
        Some(true) => findings.well("broker", &subject, "is there, and is who it is said to be"),
        None => findings.well("broker", &subject, "is there, and does not say who it is"),
    }
}

/// The cluster's id if it is another one.
async fn other_cluster(at: &ConnectArgs, metadata: &Metadata) -> anyhow::Result<Option<String>> {
    let mut client = Client::connect(at).await?;
    let theirs = client.metadata(Some(&[]), false).await?.cluster_id;
    Ok(theirs
        .filter(|_| metadata.cluster_id.is_some())
        .filter(|id| Some(id) != metadata.cluster_id.as_ref()))
}

/// Whether the broker there answers for the configuration of broker `id`; `None` where it may not say.
async fn claims(at: &ConnectArgs, id: i32) -> Option<bool> {
    const INVALID_REQUEST: i16 = 42;
    let mut client = Client::connect(at).await.ok()?;
    let keys = ["node.id".to_owned()];
    let described = config::describe_here(&mut client, &Resource::broker(id), &keys).await;
    match described {
        Ok(settings) => {
            let said = settings.iter().find_map(|setting| setting.value.as_deref());
            Some(said.is_none_or(|said| said == id.to_string()))
        }
        Err(error) => {
            let code = error.downcast_ref::<Refusal>()?.code;
            (code == INVALID_REQUEST).then_some(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(host: &str, port: i32, remote: bool) -> bool {
        let node = Node {
            host: host.to_owned(),
            port,
            rack: None,
        };
        mistake(&node, remote).is_some()
    }

    #[test]
    fn an_address_that_is_nobodys_is_a_mistake_wherever_one_asks_from() {
        for remote in [true, false] {
            assert!(wrong("0.0.0.0", 9092, remote));
            assert!(wrong("::", 9092, remote));
            assert!(wrong("", 9092, remote));
            assert!(wrong("kafka", 0, remote));
            assert!(!wrong("kafka", 9092, remote));
        }
    }

    #[test]
    fn localhost_is_a_mistake_only_from_another_machine() {
        for host in ["localhost", "127.0.0.1", "::1"] {
            assert!(wrong(host, 9092, true), "{host}");
            assert!(!wrong(host, 9092, false), "{host}");
        }
    }
}
