//! `tidewater topic`: create, list, describe, alter and delete topics.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;
use wire::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use wire::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use wire::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use wire::{ResponseError, StrBytes};

use super::config::{self, ChangeArgs, Resource, Setting};
use crate::args::{ConnectArgs, OutputArgs, key_value};
use crate::client::{Client, Metadata, Partition, Topic, text, topic_name};
use crate::outcome::{Outcome, Refusal, Tally, usage};
use crate::output::{self, Format};

/// Create, list, describe, alter and delete topics
#[derive(Debug, Args)]
pub(crate) struct TopicArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: TopicCommand,
}

#[derive(Debug, Subcommand)]
enum TopicCommand {
    Create(CreateArgs),
    List(ListArgs),
    Describe(DescribeArgs),
    Alter(AlterArgs),
    Delete(DeleteArgs),
}

pub(crate) async fn run(args: TopicArgs) -> anyhow::Result<Outcome> {
    let client = &mut Client::connect(&args.connect).await?;
    let format = args.output.output;
    match args.command {
        TopicCommand::Create(create) => create.run(client, format).await,
        TopicCommand::List(list) => list.run(client, format).await,
        TopicCommand::Describe(describe) => describe.run(client, format).await,
        TopicCommand::Alter(alter) => alter.run(client).await,
        TopicCommand::Delete(delete) => delete.run(client).await,
    }
}

/// Create topics
#[derive(Debug, Args)]
struct CreateArgs {
    /// Names of the new topics
    #[arg(value_name = "TOPIC", required = true)]
    topics: Vec<String>,
    /// Partitions of each; the broker's `num.partitions` if left out
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Replicas of each partition; the broker's `default.replication.factor` if left out
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// A setting of the topics
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = key_value)]
    config: Vec<(String, String)>,
    /// Let a topic be that exists already
    #[arg(long)]
    if_not_exists: bool,
    /// Have the broker check everything without creating anything
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Created {
    name: String,
    /// `null` where the broker does not say, as in a dry run of most.
    id: Option<String>,
    partitions: Option<i32>,
    replication_factor: Option<i16>,
    status: &'static str,
}

impl CreateArgs {
    async fn run(&self, client: &mut Client, format: Format) -> anyhow::Result<Outcome> {
        let timeout_ms = client.timeout_ms();
        let link = client.seed().await?;
        let version = link.version::<CreateTopicsRequest>()?;
        let request = CreateTopicsRequest::default()
            .with_topics(self.topics.iter().map(|name| self.wanted(name)).collect())
            .with_timeout_ms(timeout_ms)
            .with_validate_only(self.dry_run);
        let mut created = Vec::new();
        let mut tally = Tally::default();
        for topic in link.call(&request, version).await?.topics {
            let name = topic.name.0.to_string();
            let exists =
                self.if_not_exists && topic.error_code == ResponseError::TopicAlreadyExists.code();
            let code = if exists { 0 } else { topic.error_code };
            match link.accept(&format!("create topic {name}"), code, topic.error_message) {
                Ok(()) => tally.done(),
                Err(refusal) => {
                    tally.failed(refusal);
                    continue;
                }
            }
            created.push(Created {
                name,
                id: (!topic.topic_id.is_nil()).then(|| output::topic_id(topic.topic_id)),
                partitions: (topic.num_partitions > 0).then_some(topic.num_partitions),
                replication_factor: (topic.replication_factor > 0)
                    .then_some(topic.replication_factor),
                status: match (exists, self.dry_run) {
                    (true, _) => "exists",
                    (false, true) => "would be created",
                    (false, false) => "created",
                },
            });
        }
        match format {
            Format::Json => output::json(&created)?,
            Format::Table if created.is_empty() => {}
            Format::Table => output::table(
                ["TOPIC", "PARTITIONS", "REPLICAS", "STATUS"],
                created.into_iter().map(|topic| {
                    [
                        topic.name,
                        or_dash(topic.partitions),
                        or_dash(topic.replication_factor),
                        topic.status.to_owned(),
                    ]
                }),
            )?,
        }
        tally.outcome()
    }

    /// −1 leaves a number to the broker (KIP-464).
    fn wanted(&self, name: &str) -> CreatableTopic {
        let configs = self.config.iter().map(|(key, value)| {
            CreatableTopicConfig::default()
                .with_name(text(key))
                .with_value(Some(text(value)))
        });
        CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(self.partitions.unwrap_or(-1))
            .with_replication_factor(self.replication_factor.unwrap_or(-1))
            .with_configs(configs.collect())
    }
}

/// List topics
#[derive(Debug, Args)]
struct ListArgs {
    /// Only these
    #[arg(value_name = "TOPIC")]
    topics: Vec<String>,
    /// Internal topics too
    #[arg(short, long)]
    internal: bool,
}

#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    id: Option<String>,
    internal: bool,
    partitions: usize,
    replication_factor: usize,
}

impl ListArgs {
    async fn run(&self, client: &mut Client, format: Format) -> anyhow::Result<Outcome> {
        let metadata = client
            .metadata((!self.topics.is_empty()).then_some(&self.topics), false)
            .await?;
        let mut tally = Tally::default();
        let mut listed = Vec::new();
        for topic in known(&metadata, "list", &mut tally) {
            if topic.internal && !self.internal && self.topics.is_empty() {
                continue;
            }
            listed.push(Listed {
                name: topic.name.clone(),
                id: (!topic.id.is_nil()).then(|| output::topic_id(topic.id)),
                internal: topic.internal,
                partitions: topic.partitions.len(),
                replication_factor: replication_factor(topic),
            });
        }
        match format {
            Format::Json => output::json(&listed)?,
            Format::Table => output::table(
                ["NAME", "PARTITIONS", "REPLICAS"],
                listed.into_iter().map(|topic| {
                    [
                        topic.name,
                        topic.partitions.to_string(),
                        topic.replication_factor.to_string(),
                    ]
                }),
            )?,
        }
        tally.outcome()
    }
}

/// Describe topics: partitions, leaders, offsets, and settings of their own
#[derive(Debug, Args)]
struct DescribeArgs {
    /// Names of the topics
    #[arg(value_name = "TOPIC", required = true)]
    topics: Vec<String>,
    /// All settings, not only those that were set for the topic itself
    #[arg(short = 'a', long)]
    all_configs: bool,
}

#[derive(Debug, Serialize)]
struct Described {
    name: String,
    id: Option<String>,
    internal: bool,
    replication_factor: usize,
    partitions: Vec<DescribedPartition>,
    configs: Vec<Setting>,
}

#[derive(Debug, Serialize)]
struct DescribedPartition {
    partition: i32,
    /// `null` without one.
    leader: Option<i32>,
    leader_epoch: i32,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    offline: Vec<i32>,
    /// `null` where no leader can be asked.
    start_offset: Option<i64>,
    /// The offset the next record will have; `null` where no leader can be asked.
    end_offset: Option<i64>,
}

impl DescribeArgs {
    async fn run(&self, client: &mut Client, format: Format) -> anyhow::Result<Outcome> {
        let metadata = client.metadata(Some(&self.topics), false).await?;
        let mut tally = Tally::default();
        let mut described = Vec::new();
        for topic in known(&metadata, "describe", &mut tally) {
            match self.describe(client, topic).await {
                Ok(topic) => described.push(topic),
                Err(error) => tally.failed(error),
            }
        }
        match format {
            Format::Json => output::json(&described)?,
            Format::Table => {
                for (index, topic) in described.iter().enumerate() {
                    let gap = if index > 0 { "\n" } else { "" };
                    output::stdout(format!("{gap}{}", topic.text()).as_bytes())?;
                }
            }
        }
        tally.outcome()
    }

    async fn describe(&self, client: &mut Client, topic: &Topic) -> anyhow::Result<Described> {
        let (led, leaderless): (Vec<Partition>, Vec<Partition>) = topic
            .partitions
            .iter()
            .cloned()
            .partition(|partition| partition.leader >= 0);
        let ranges = client
            .offset_ranges(&Topic {
                partitions: led.clone(),
                ..topic.clone()
            })
            .await?;
        let mut partitions: Vec<DescribedPartition> = led
            .into_iter()
            .chain(leaderless)
            .map(|partition| {
                let range = ranges.get(&partition.index);
                DescribedPartition {
                    partition: partition.index,
                    leader: (partition.leader >= 0).then_some(partition.leader),
                    leader_epoch: partition.leader_epoch,
                    replicas: partition.replicas,
                    isr: partition.isr,
                    offline: partition.offline,
                    start_offset: range.map(|(start, _)| *start),
                    end_offset: range.map(|(_, end)| *end),
                }
            })
            .collect();
        partitions.sort_by_key(|partition| partition.partition);
        let mut configs =
            config::describe(client, &Resource::Topic(topic.name.clone()), &[]).await?;
        configs.retain(|setting| self.all_configs || setting.is_of_the_topic());
        Ok(Described {
            name: topic.name.clone(),
            id: (!topic.id.is_nil()).then(|| output::topic_id(topic.id)),
            internal: topic.internal,
            replication_factor: replication_factor(topic),
            partitions,
            configs,
        })
    }
}

impl Described {
    fn text(&self) -> String {
        let mut text = format!(
            "TOPIC       {}\nID          {}\nPARTITIONS  {}\nREPLICAS    {}\n",
            self.name,
            self.id.as_deref().unwrap_or("-"),
            self.partitions.len(),
            self.replication_factor,
        );
        if !self.configs.is_empty() {
            let rows = self.configs.iter().map(|config| {
                [
                    config.name.clone(),
                    config.shown(),
                    config.source.to_owned(),
                ]
            });
            text.push('\n');
            text.push_str(&output::table_text(["CONFIG", "VALUE", "SOURCE"], rows));
        }
        let rows = self.partitions.iter().map(|partition| {
            [
                partition.partition.to_string(),
                or_dash(partition.leader),
                partition.leader_epoch.to_string(),
                ids(&partition.replicas),
                ids(&partition.isr),
                or_dash(partition.start_offset),
                or_dash(partition.end_offset),
            ]
        });
        text.push('\n');
        text.push_str(&output::table_text(
            [
                "PARTITION",
                "LEADER",
                "EPOCH",
                "REPLICAS",
                "ISR",
                "START",
                "END",
            ],
            rows,
        ));
        text
    }
}

/// Change topics: more partitions, other settings
#[derive(Debug, Args)]
struct AlterArgs {
    /// Names of the topics
    #[arg(value_name = "TOPIC", required = true)]
    topics: Vec<String>,
    /// Grow to this many partitions; keys will be spread differently from then on
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    #[command(flatten)]
    change: ChangeArgs,
    /// Have the broker check the change without making it
    #[arg(long)]
    dry_run: bool,
}

impl AlterArgs {
    async fn run(&self, client: &mut Client) -> anyhow::Result<Outcome> {
        if self.partitions.is_none() && self.change.is_empty() {
            return Err(usage(
                "nothing to change: give --partitions, --config, --append, --subtract or --reset",
            ));
        }
        let mut tally = Tally::default();
        for name in &self.topics {
            match self.alter(client, name).await {
                Ok(()) => {
                    tally.done();
                    output::note(format_args!(
                        "topic {name}: {}",
                        if self.dry_run {
                            "may be altered so"
                        } else {
                            "altered"
                        }
                    ));
                }
                Err(error) => tally.failed(error),
            }
        }
        tally.outcome()
    }

    async fn alter(&self, client: &mut Client, name: &str) -> anyhow::Result<()> {
        // Settings first: they can be taken back, partitions cannot.
        if !self.change.is_empty() {
            config::alter(
                client,
                &Resource::Topic(name.to_owned()),
                &self.change,
                self.dry_run,
            )
            .await?;
        }
        let Some(count) = self.partitions else {
            return Ok(());
        };
        let timeout_ms = client.timeout_ms();
        let link = client.seed().await?;
        let version = link.version::<CreatePartitionsRequest>()?;
        let wanted = CreatePartitionsTopic::default()
            .with_name(topic_name(name))
            .with_count(count)
            // Null, not empty, leaves the placement to the broker.
            .with_assignments(None);
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![wanted])
            .with_timeout_ms(timeout_ms)
            .with_validate_only(self.dry_run);
        for result in link.call(&request, version).await?.results {
            link.accept(
                &format!("grow topic {name} to {count} partitions"),
                result.error_code,
                result.error_message,
            )?;
        }
        Ok(())
    }
}

/// Delete topics and everything in them
#[derive(Debug, Args)]
struct DeleteArgs {
    /// Names of the topics
    #[arg(value_name = "TOPIC", required = true)]
    topics: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Do not mind a topic that does not exist
    #[arg(long)]
    if_exists: bool,
}

impl DeleteArgs {
    async fn run(&self, client: &mut Client) -> anyhow::Result<Outcome> {
        if !self.yes {
            confirm(&self.topics)?;
        }
        let timeout_ms = client.timeout_ms();
        let link = client.seed().await?;
        let version = link.version::<DeleteTopicsRequest>()?;
        let mut request = DeleteTopicsRequest::default().with_timeout_ms(timeout_ms);
        if version >= 6 {
            let state =
                |name: &String| DeleteTopicState::default().with_name(Some(topic_name(name)));
            request.topics = self.topics.iter().map(state).collect();
        } else {
            request.topic_names = self.topics.iter().map(|name| topic_name(name)).collect();
        }
        let mut tally = Tally::default();
        for result in link.call(&request, version).await?.responses {
            let name = result.name.map(|name| name.0).unwrap_or_else(StrBytes::new);
            let absent = self.if_exists
                && result.error_code == ResponseError::UnknownTopicOrPartition.code();
            let code = if absent { 0 } else { result.error_code };
            match link.accept(&format!("delete topic {name}"), code, result.error_message) {
                Ok(()) => {
                    tally.done();
                    output::note(format_args!(
                        "topic {name}: {}",
                        if absent { "does not exist" } else { "deleted" }
                    ));
                }
                Err(refusal) => tally.failed(refusal),
            }
        }
        tally.outcome()
    }
}

/// Asks on the terminal, where somebody has to type what will be gone.
fn confirm(topics: &[String]) -> anyhow::Result<()> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(usage("deleting needs --yes where nobody can be asked"));
    }
    let (what, expected) = match topics {
        [topic] => (format!("topic {topic} and all its records"), topic.clone()),
        _ => (
            format!(
                "{} topics and all their records: {}",
                topics.len(),
                topics.join(", ")
            ),
            topics.len().to_string(),
        ),
    };
    let mut stderr = io::stderr().lock();
    write!(stderr, "This deletes {what}.\nType {expected} to go on: ").context("cannot ask")?;
    let mut answer = String::new();
    stdin
        .lock()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    if answer.trim() == expected {
        Ok(())
    } else {
        Err(anyhow::anyhow!("nothing was deleted"))
    }
}

/// The topics without an error; errors go to the tally.
fn known<'a>(metadata: &'a Metadata, verb: &str, tally: &mut Tally) -> Vec<&'a Topic> {
    let mut known = Vec::new();
    for topic in &metadata.topics {
        if topic.error_code == 0 {
            tally.done();
            known.push(topic);
        } else {
            let asked = format!("{verb} topic {}", topic.name);
            tally.failed(Refusal {
                asked,
                by: metadata.by.clone(),
                code: topic.error_code,
                message: None,
            });
        }
    }
    known
}

fn replication_factor(topic: &Topic) -> usize {
    topic
        .partitions
        .first()
        .map_or(0, |partition| partition.replicas.len())
}

fn ids(brokers: &[i32]) -> String {
    brokers
        .iter()
        .map(i32::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
