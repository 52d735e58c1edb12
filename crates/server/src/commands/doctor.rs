//! `tidewater doctor`: connects as a client would, step by step, and says in plain words what would stop one.

mod admin;
mod brokers;
mod dial;
mod findings;
mod topics;

use std::net::IpAddr;
use std::time::Duration;

use clap::Args;

use self::dial::{Broken, Reached};
use self::findings::Findings;
use crate::args::{ConnectArgs, OutputArgs};
use crate::client::{Client, Metadata, servers};
use crate::outcome::Outcome;
use crate::output;

/// Find out why clients cannot connect, or what else is wrong with a cluster
///
/// Connects to the bootstrap servers as a client would, asks who the brokers are, and then connects to each at the address
/// that clients are told (`advertised.listeners`). Looks at topics without leaders, at the offsets topic, at clocks, and at
/// the admin port of our own brokers if it can be reached. Changes nothing, unless --write is given. Exit code 0: all is well,
/// 1: something is wrong.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// The admin port of a broker, as http://HOST:PORT; tried at port 9644 of each bootstrap server if left out
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// Also create a topic, write a record, read it back and delete the topic; this compares the clocks too
    #[arg(long)]
    write: bool,
}

/// The longest that one step may take: who waits for a doctor wants to know soon.
const STEP: Duration = Duration::from_secs(5);

pub(crate) async fn run(args: DoctorArgs) -> anyhow::Result<Outcome> {
    let timeout = args.connect.timeout.min(STEP);
    let connect = ConnectArgs {
        timeout,
        ..args.connect.clone()
    };
    let mut findings = Findings::default();
    let reached = bootstrap(&connect, &mut findings).await;
    let remote = reached.iter().any(|reached| !reached.ip().is_loopback());
    if !reached.is_empty() {
        cluster(&args, &connect, remote, &mut findings).await;
    }
    admin::examine(&args, &connect, &mut findings).await;
    output::answer(args.output.output, &findings.report(), |detail| {
        findings.text(detail)
    })?;
    Ok(findings.outcome())
}

/// Resolves, connects to and greets every bootstrap server; gives those that answered as brokers do.
async fn bootstrap(connect: &ConnectArgs, findings: &mut Findings) -> Vec<Reached> {
    let mut all = Vec::new();
    for server in servers(&connect.bootstrap_server) {
        match dial::reach(&server, connect.timeout).await {
            Ok(reached) => {
                findings.well(
                    "bootstrap",
                    &server,
                    format!("answers as a Kafka broker, at {}", reached.address),
                );
                all.push(reached);
            }
            Err(broken) => findings.broken("bootstrap", &server, &broken, at_bootstrap(&broken)),
        }
    }
    all
}

/// What to do about a bootstrap server that cannot be used.
fn at_bootstrap(broken: &Broken) -> &'static str {
    match broken {
        Broken::Address => "write -b HOST:PORT, for example -b kafka.example.com:9092",
        Broken::Unresolvable(_) => {
            "check the name for a typing mistake, and DNS or /etc/hosts on this machine"
        }
        Broken::Refused => {
            "nothing listens there: check that the broker runs, its port, and that `listeners` is not bound to another interface (127.0.0.1 is reachable from its own machine only)"
        }
        Broken::Unreachable(_) | Broken::Silent => {
            "check routes and firewalls between here and there, and that the address is right"
        }
        Broken::Tls => {
            "the port expects TLS: use the port of a PLAINTEXT listener, or a client with security.protocol=SSL"
        }
        Broken::Http => {
            "the port speaks HTTP, such as an admin or metrics port: use the port named in the broker's `listeners`"
        }
        Broken::Closed | Broken::NotKafka(_) => {
            "perhaps it is another service, or a listener for TLS or SASL: use the port of a PLAINTEXT listener named in the broker's `listeners`"
        }
    }
}

/// What the cluster says, and whether it is so.
async fn cluster(args: &DoctorArgs, connect: &ConnectArgs, remote: bool, findings: &mut Findings) {
    let metadata = match ask(connect).await {
        Ok((client, metadata)) => {
            findings.well(
                "cluster",
                metadata.cluster_id.as_deref().unwrap_or("without an id"),
                format!(
                    "{}, {}",
                    output::count(metadata.nodes.len() as u64, "broker"),
                    output::count(metadata.topics.len() as u64, "topic"),
                ),
            );
            same_cluster(connect, &metadata, findings).await;
            brokers::examine(&metadata, connect, remote, findings).await;
            topics::examine(client, &metadata, args.write, findings).await;
            return;
        }
        Err(error) => error,
    };
    findings.wrong(
        "cluster",
        &connect.bootstrap_server.join(","),
        format!("does not say who the brokers are: {metadata:#}"),
        "where it closes the connection, it wants SASL authentication or an ACL forbids it",
    );
}

async fn ask(connect: &ConnectArgs) -> anyhow::Result<(Client, Metadata)> {
    let mut client = Client::connect(connect).await?;
    let metadata = client.metadata(None, false).await?;
    Ok((client, metadata))
}

/// Bootstrap servers of two clusters are a mistake that works half of the time.
async fn same_cluster(connect: &ConnectArgs, metadata: &Metadata, findings: &mut Findings) {
    for server in servers(&connect.bootstrap_server) {
        let only = ConnectArgs {
            bootstrap_server: vec![server.clone()],
            ..connect.clone()
        };
        // One that cannot be reached has been told of.
        let Ok((_, theirs)) = ask(&only).await else {
            continue;
        };
        if theirs.cluster_id != metadata.cluster_id {
            findings.wrong(
                "bootstrap",
                &server,
                format!(
                    "belongs to another cluster ({}) than {} ({})",
                    theirs.cluster_id.unwrap_or_default(),
                    metadata.by,
                    metadata.cluster_id.as_deref().unwrap_or_default(),
                ),
                "name servers of one cluster only",
            );
        }
    }
}

/// The host of `host:port` or `[host]:port`, and the port.
fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host, port.parse().ok()?))
}

/// Whether the name means the machine of whoever uses it.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
