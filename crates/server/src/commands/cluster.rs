//! `tidewater cluster`: the brokers and what they hold.

mod log_dirs;

use clap::{Args, Subcommand};
use serde::Serialize;
use wire::messages::describe_cluster_request::DescribeClusterRequest;

use self::log_dirs::LogDirsArgs;
use crate::args::{ConnectArgs, OutputArgs};
use crate::client::Client;
use crate::outcome::Outcome;
use crate::output::{self, Column, Detail, Format, or_dash};

/// Describe the cluster
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Show the cluster's id, its brokers and how much there is
    Info,
    LogDirs(LogDirsArgs),
}

pub(crate) async fn run(args: ClusterArgs) -> anyhow::Result<Outcome> {
    let mut client = Client::connect(&args.connect).await?;
    match args.command {
        ClusterCommand::Info => info(&mut client, args.output.output).await,
        ClusterCommand::LogDirs(dirs) => dirs.run(&mut client, args.output.output).await,
    }
}

#[derive(Debug, Serialize)]
struct ClusterInfo {
    cluster_id: Option<String>,
    controller: Option<i32>,
    brokers: Vec<BrokerInfo>,
    topics: usize,
    partitions: usize,
}

#[derive(Debug, Serialize)]
struct BrokerInfo {
    id: i32,
    host: String,
    port: i32,
    rack: Option<String>,
    /// Registered and not allowed to serve yet, or no longer (KIP-1073); `null` where the broker does not say.
    fenced: Option<bool>,
    /// Partitions it leads.
    leads: usize,
    /// Partitions it holds a replica of.
    replicas: usize,
}

async fn info(client: &mut Client, format: Format) -> anyhow::Result<Outcome> {
    let metadata = client.metadata(None, false).await?;
    let partitions: Vec<_> = metadata
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .collect();
    let mut info = ClusterInfo {
        cluster_id: metadata.cluster_id,
        controller: metadata.controller,
        brokers: Vec::new(),
        topics: metadata.topics.len(),
        partitions: partitions.len(),
    };
    for (id, node) in metadata.nodes {
        info.brokers.push(BrokerInfo {
            id,
            host: node.host,
            port: node.port,
            rack: node.rack,
            fenced: None,
            leads: partitions
                .iter()
                .filter(|partition| partition.leader == id)
                .count(),
            replicas: partitions
                .iter()
                .filter(|partition| partition.replicas.contains(&id))
                .count(),
        });
    }
    add_fenced(client, &mut info).await?;
    output::answer(format, &info, |detail| info.text(detail))?;
    Ok(Outcome::Done)
}

/// Metadata names live brokers only; DescribeCluster v2 names the fenced ones too.
async fn add_fenced(client: &mut Client, info: &mut ClusterInfo) -> anyhow::Result<()> {
    let link = client.seed().await?;
    let Some(version) = link
        .version::<DescribeClusterRequest>()
        .ok()
        .filter(|version| *version >= 2)
    else {
        return Ok(());
    };
    let request = DescribeClusterRequest::default()
        .with_endpoint_type(BROKERS)
        .with_include_fenced_brokers(true);
    let response = link.call(&request, version).await?;
    link.accept(
        "describe the cluster",
        response.error_code,
        response.error_message,
    )?;
    for broker in response.brokers {
        let id = broker.broker_id.0;
        match info.brokers.iter_mut().find(|known| known.id == id) {
            Some(known) => known.fenced = Some(broker.is_fenced),
            None => info.brokers.push(BrokerInfo {
                id,
                host: broker.host.to_string(),
                port: broker.port,
                rack: broker.rack.map(|rack| rack.to_string()),
                fenced: Some(broker.is_fenced),
                leads: 0,
                replicas: 0,
            }),
        }
    }
    info.brokers.sort_by_key(|broker| broker.id);
    Ok(())
}

/// The endpoint type of DescribeCluster that asks for brokers (KIP-919).
const BROKERS: i8 = 1;

impl ClusterInfo {
    fn text(&self, detail: Detail) -> String {
        let controller = self.controller.map(|id| id.to_string());
        let mut text = output::facts(&[
            (
                "CLUSTER",
                self.cluster_id
                    .clone()
                    .unwrap_or_else(|| "unknown".to_owned()),
            ),
            (
                "CONTROLLER",
                controller.unwrap_or_else(|| "none".to_owned()),
            ),
            ("TOPICS", self.topics.to_string()),
            ("PARTITIONS", self.partitions.to_string()),
        ]);
        text.push('\n');
        let rows = self.brokers.iter().map(BrokerInfo::row);
        text.push_str(&output::columns(detail, BrokerInfo::COLUMNS, rows));
        text
    }
}

impl BrokerInfo {
    const COLUMNS: [Column; 7] = [
        Column::Always("BROKER"),
        Column::Always("HOST"),
        Column::Always("PORT"),
        Column::Always("RACK"),
        Column::Always("LEADS"),
        Column::Always("REPLICAS"),
        Column::Always("STATE"),
    ];

    fn row(&self) -> [String; 7] {
        let state = match self.fenced {
            Some(true) => "fenced",
            Some(false) | None => "up",
        };
        [
            self.id.to_string(),
            self.host.clone(),
            self.port.to_string(),
            or_dash(self.rack.as_ref()),
            self.leads.to_string(),
            self.replicas.to_string(),
            state.to_owned(),
        ]
    }
}
