//! `cluster log-dirs`: what the brokers' log directories hold.

use clap::Args;
use serde::Serialize;
use wire::messages::describe_log_dirs_request::{DescribableLogDirTopic, DescribeLogDirsRequest};
use wire::messages::describe_log_dirs_response::DescribeLogDirsResult;

use crate::client::{Client, topic_name};
use crate::outcome::{Outcome, Tally};
use crate::output::{self, Column, Detail, Format, or_dash};

/// Show the log directories of the brokers: space, and what is in them
#[derive(Debug, Args)]
pub(super) struct LogDirsArgs {
    /// Only these brokers
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    brokers: Vec<i32>,
    /// Only these topics, partition by partition
    #[arg(short, long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// Every partition, and not only their number
    #[arg(short, long)]
    partitions: bool,
}

#[derive(Debug, Serialize)]
struct Dir {
    broker: i32,
    path: String,
    /// Kafka's name of what is wrong with it; `null` if nothing is.
    error: Option<String>,
    /// Of the file system; `null` where the broker does not say.
    total_bytes: Option<i64>,
    /// As `total_bytes`.
    usable_bytes: Option<i64>,
    /// Of the partitions in it.
    bytes: i64,
    partitions: Vec<Held>,
}

#[derive(Debug, Serialize)]
struct Held {
    topic: String,
    partition: i32,
    bytes: i64,
    /// How far it is behind the leader, in offsets.
    lag: i64,
    /// A copy that is to take the place of one in another directory.
    future: bool,
}

impl LogDirsArgs {
    pub(super) async fn run(&self, client: &mut Client, format: Format) -> anyhow::Result<Outcome> {
        let wanted = match self.topics.is_empty() {
            true => None,
            false => Some(self.wanted(client).await?),
        };
        let nodes = client.metadata(Some(&[]), false).await?.nodes;
        let brokers = match self.brokers.is_empty() {
            true => nodes.into_keys().collect(),
            false => self.brokers.clone(),
        };
        let mut tally = Tally::default();
        let mut dirs = Vec::new();
        for broker in brokers {
            match of_broker(client, broker, wanted.clone()).await {
                Ok(found) => {
                    tally.done();
                    dirs.extend(found);
                }
                Err(error) => tally.failed(error),
            }
        }
        output::answer(format, &dirs, |detail| {
            match self.partitions || wanted.is_some() {
                true => partitions(&dirs),
                false => {
                    output::columns(detail, Dir::COLUMNS, dirs.iter().map(|dir| dir.row(detail)))
                }
            }
        })?;
        tally.outcome()
    }

    /// All partitions of the topics.
    async fn wanted(&self, client: &mut Client) -> anyhow::Result<Vec<DescribableLogDirTopic>> {
        let mut wanted = Vec::new();
        for name in &self.topics {
            let topic = client.topic(name, false).await?;
            let indexes = topic.partitions.iter().map(|partition| partition.index);
            wanted.push(
                DescribableLogDirTopic::default()
                    .with_topic(topic_name(name))
                    .with_partitions(indexes.collect()),
            );
        }
        Ok(wanted)
    }
}

async fn of_broker(
    client: &mut Client,
    broker: i32,
    wanted: Option<Vec<DescribableLogDirTopic>>,
) -> anyhow::Result<Vec<Dir>> {
    let link = client.link(broker).await?;
    let version = link.version::<DescribeLogDirsRequest>()?;
    let request = DescribeLogDirsRequest::default().with_topics(wanted);
    let response = link.call(&request, version).await?;
    let asked = format!("describe the log directories of broker {broker}");
    link.accept(&asked, response.error_code, None)?;
    let dirs = response.results.into_iter().map(|dir| Dir::of(broker, dir));
    Ok(dirs.collect())
}

impl Dir {
    const COLUMNS: [Column; 7] = [
        Column::Always("BROKER"),
        Column::Always("DIRECTORY"),
        Column::Always("STATE"),
        Column::Always("PARTITIONS"),
        Column::Always("SIZE"),
        Column::Always("TOTAL"),
        Column::Always("USABLE"),
    ];

    fn of(broker: i32, dir: DescribeLogDirsResult) -> Dir {
        let known = |bytes: i64| (bytes >= 0).then_some(bytes);
        let mut partitions = Vec::new();
        for topic in dir.topics {
            partitions.extend(topic.partitions.into_iter().map(|held| Held {
                topic: topic.name.0.to_string(),
                partition: held.partition_index,
                bytes: held.partition_size,
                lag: held.offset_lag,
                future: held.is_future_key,
            }));
        }
        partitions.sort_by(|left, right| {
            (&left.topic, left.partition).cmp(&(&right.topic, right.partition))
        });
        Dir {
            broker,
            path: dir.log_dir.to_string(),
            error: (dir.error_code != 0).then(|| crate::outcome::code_name(dir.error_code)),
            total_bytes: known(dir.total_bytes),
            usable_bytes: known(dir.usable_bytes),
            bytes: partitions
                .iter()
                .map(|held| held.bytes)
                .fold(0, i64::saturating_add),
            partitions,
        }
    }

    fn row(&self, detail: Detail) -> [String; 7] {
        [
            self.broker.to_string(),
            self.path.clone(),
            self.error.clone().unwrap_or_else(|| "ok".to_owned()),
            self.partitions.len().to_string(),
            size(self.bytes, detail),
            or_dash(self.total_bytes.map(|bytes| size(bytes, detail))),
            or_dash(self.usable_bytes.map(|bytes| size(bytes, detail))),
        ]
    }
}

/// People see 1.5 GiB; in the wide table every byte.
fn size(bytes: i64, detail: Detail) -> String {
    match (u64::try_from(bytes), detail) {
        (Ok(bytes), Detail::Usual) => indicatif::HumanBytes(bytes).to_string(),
        _ => bytes.to_string(),
    }
}

fn partitions(dirs: &[Dir]) -> String {
    let rows = dirs.iter().flat_map(|dir| {
        dir.partitions.iter().map(|held| {
            [
                held.topic.clone(),
                held.partition.to_string(),
                dir.broker.to_string(),
                dir.path.clone(),
                held.bytes.to_string(),
                held.lag.to_string(),
                if held.future { "yes" } else { "-" }.to_owned(),
            ]
        })
    });
    output::table_text(
        [
            "TOPIC",
            "PARTITION",
            "BROKER",
            "DIRECTORY",
            "BYTES",
            "LAG",
            "FUTURE",
        ],
        rows,
    )
}
