//! `tidewater topic`: create, list, describe, alter, trim and delete topics.

mod describe;
mod offsets;
mod remove;

use clap::{Args, Subcommand};
use serde::Serialize;
use wire::ResponseError;
use wire::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};

use self::describe::DescribeArgs;
use self::offsets::OffsetsArgs;
use self::remove::{DeleteArgs, TrimArgs};
use super::config::{self, ChangeArgs, Resource};
use crate::args::{ConnectArgs, OutputArgs, key_value};
use crate::client::{Client, Metadata, Topic, text, topic_name};
use crate::outcome::{Outcome, Refusal, Tally, usage};
use crate::output::{self, Column, Format, or_dash};

/// Create, list, describe, alter, trim and delete topics
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
    Offsets(OffsetsArgs),
    Alter(AlterArgs),
    Trim(TrimArgs),
    Delete(DeleteArgs),
}

pub(crate) async fn run(args: TopicArgs) -> anyhow::Result<Outcome> {
    let client = &mut Client::connect(&args.connect).await?;
    let format = args.output.output;
    match args.command {
        TopicCommand::Create(create) => create.run(client, format).await,
        TopicCommand::List(list) => list.run(client, format).await,
        TopicCommand::Describe(describe) => describe.run(client, format).await,
        TopicCommand::Offsets(offsets) => offsets.run(client, format).await,
        TopicCommand::Alter(alter) => alter.run(client).await,
        TopicCommand::Trim(trim) => trim.run(client, format).await,
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

impl Created {
    const COLUMNS: [Column; 5] = [
        Column::Always("TOPIC"),
        Column::Always("PARTITIONS"),
        Column::Always("REPLICAS"),
        Column::Wide("ID"),
        Column::Always("STATUS"),
    ];

    fn row(&self) -> [String; 5] {
        [
            self.name.clone(),
            or_dash(self.partitions),
            or_dash(self.replication_factor),
            or_dash(self.id.as_ref()),
            self.status.to_owned(),
        ]
    }
}

impl CreateArgs {
    async fn run(&self, client: &mut Client, format: Format) -> anyhow::Result<Outcome> {
        let wanted = self.topics.iter().map(|name| self.wanted(name)).collect();
        let answers = client.create_topics(wanted, self.dry_run).await?;
        let link = client.seed().await?;
        let mut created = Vec::new();
        let mut tally = Tally::default();
        for topic in answers {
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
        if !(format.is_for_people() && created.is_empty()) {
            output::answer(format, &created, |detail| {
                let rows = created.iter().map(Created::row);
                output::columns(detail, Created::COLUMNS, rows)
            })?;
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

impl Listed {
    const COLUMNS: [Column; 5] = [
        Column::Always("NAME"),
        Column::Always("PARTITIONS"),
        Column::Always("REPLICAS"),
        Column::Wide("INTERNAL"),
        Column::Wide("ID"),
    ];

    fn row(&self) -> [String; 5] {
        [
            self.name.clone(),
            self.partitions.to_string(),
            self.replication_factor.to_string(),
            self.internal.to_string(),
            or_dash(self.id.as_ref()),
        ]
    }
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
        output::answer(format, &listed, |detail| {
            let rows = listed.iter().map(Listed::row);
            output::columns(detail, Listed::COLUMNS, rows)
        })?;
        tally.outcome()
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
            config::alter(client, &Resource::topic(name), &self.change, self.dry_run).await?;
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
