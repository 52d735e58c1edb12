//! What takes something away for good: `topic delete` and `topic trim`.

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use wire::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use wire::{ResponseError, StrBytes};

use super::known;
use crate::client::{Client, Topic, topic_name};
use crate::confirm::{DestroyArgs, several};
use crate::outcome::{Outcome, Tally};
use crate::output::{self, Format};
use crate::position::{Found, POSITIONS, Position};

/// Delete topics and everything in them
#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// Names of the topics
    #[arg(value_name = "TOPIC", required = true)]
    topics: Vec<String>,
    #[command(flatten)]
    destroy: DestroyArgs,
    /// Do not mind a topic that does not exist
    #[arg(long)]
    if_exists: bool,
}

impl DeleteArgs {
    pub(super) async fn run(&self, client: &mut Client) -> anyhow::Result<Outcome> {
        let (topics, expected) = several("topic", &self.topics);
        self.destroy
            .agreed(&format!("{topics} with all records"), &expected)?;
        if self.destroy.dry_run {
            return self.look(client).await;
        }
        let answers = client.delete_topics(&self.topics).await?;
        let link = client.seed().await?;
        let mut tally = Tally::default();
        for result in answers {
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

    /// Says which topics there are to delete, and how much is in them.
    async fn look(&self, client: &mut Client) -> anyhow::Result<Outcome> {
        let mut metadata = client.metadata(Some(&self.topics), false).await?;
        if self.if_exists {
            let unknown = ResponseError::UnknownTopicOrPartition.code();
            metadata.topics.retain(|topic| topic.error_code != unknown);
        }
        let mut tally = Tally::default();
        let topics: Vec<Topic> = known(&metadata, "delete", &mut tally)
            .into_iter()
            .cloned()
            .collect();
        let ranges = client.ranges_of(&topics).await;
        for topic in &topics {
            let ranges = ranges
                .of
                .iter()
                .filter(|((name, _), _)| *name == topic.name);
            let offsets: i64 = ranges.map(|(_, (start, end))| end - start).sum();
            output::note(format_args!(
                "topic {}: would be deleted, with {} and {offsets} offsets",
                topic.name,
                output::count(topic.partitions.len() as u64, "partition"),
            ));
        }
        tally.outcome()
    }
}

/// Delete the oldest records of topics, up to an offset or a time
///
/// Nothing is rewritten: the log start moves, and what is before it is gone for every reader.
#[derive(Debug, Args)]
pub(super) struct TrimArgs {
    /// Names of the topics
    #[arg(value_name = "TOPIC", required = true)]
    topics: Vec<String>,
    /// Keep what is from here on: end, 47, +2 (after the start), -3 (before the end), @TIME
    #[arg(
        long,
        value_name = "OFFSET",
        allow_hyphen_values = true,
        long_help = format!("Keep what is from here on: end, 47, +2 (after the start), -3 (before the end), @TIME\n\n{POSITIONS}"),
    )]
    to: Position,
    /// Only these partitions
    #[arg(short, long, value_name = "PARTITION,…", value_delimiter = ',')]
    partitions: Vec<i32>,
    #[command(flatten)]
    destroy: DestroyArgs,
}

#[derive(Debug, Serialize)]
struct Trimmed {
    topic: String,
    partition: i32,
    /// The first offset there was.
    start_offset: i64,
    /// The first offset there is now, or would be.
    new_start_offset: i64,
    end_offset: i64,
}

impl TrimArgs {
    pub(super) async fn run(&self, client: &mut Client, format: Format) -> anyhow::Result<Outcome> {
        let mut plan = Vec::new();
        for name in &self.topics {
            let topic = client.topic(name, false).await?.only(&self.partitions)?;
            for (index, found) in self.to.find(client, &topic).await? {
                let to = found
                    .exact()
                    .with_context(|| format!("cannot trim {name}/{index}"))?;
                let leader = topic.partition(index)?.leader;
                plan.push((leader, Trimmed::plan(name, index, found, to)));
            }
        }
        let lost: i64 = plan.iter().map(|(_, part)| part.lost()).sum();
        let (topics, expected) = several("topic", &self.topics);
        self.destroy
            .agreed(&format!("{lost} offsets of {topics}"), &expected)?;
        let mut tally = Tally::default();
        let mut trimmed = Vec::new();
        for (leader, part) in plan {
            let done = match self.destroy.dry_run {
                true => Ok(part),
                false => part.trim(client, leader).await,
            };
            match done {
                Ok(part) => {
                    tally.done();
                    trimmed.push(part);
                }
                Err(error) => tally.failed(error),
            }
        }
        output::answer(format, &trimmed, |_| {
            let start = if self.destroy.dry_run {
                "WOULD START"
            } else {
                "STARTS"
            };
            output::table_text(
                ["TOPIC", "PARTITION", "STARTED", start, "END"],
                trimmed.iter().map(Trimmed::row),
            )
        })?;
        tally.outcome()
    }
}

impl Trimmed {
    fn plan(topic: &str, partition: i32, found: Found, to: i64) -> Trimmed {
        Trimmed {
            topic: topic.to_owned(),
            partition,
            start_offset: found.start,
            new_start_offset: to,
            end_offset: found.end,
        }
    }

    fn lost(&self) -> i64 {
        self.new_start_offset
            .saturating_sub(self.start_offset)
            .max(0)
    }

    async fn trim(mut self, client: &mut Client, leader: i32) -> anyhow::Result<Trimmed> {
        let timeout_ms = client.timeout_ms();
        let link = client.link(leader).await?;
        let version = link.version::<DeleteRecordsRequest>()?;
        let partition = DeleteRecordsPartition::default()
            .with_partition_index(self.partition)
            .with_offset(self.new_start_offset);
        let topic = DeleteRecordsTopic::default()
            .with_name(topic_name(&self.topic))
            .with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(timeout_ms);
        let results = link.call(&request, version).await?.topics;
        for result in results.into_iter().flat_map(|topic| topic.partitions) {
            let asked = format!("trim {}/{}", self.topic, self.partition);
            link.accept(&asked, result.error_code, None)?;
            self.new_start_offset = result.low_watermark;
        }
        Ok(self)
    }

    fn row(&self) -> [String; 5] {
        [
            self.topic.clone(),
            self.partition.to_string(),
            self.start_offset.to_string(),
            self.new_start_offset.to_string(),
            self.end_offset.to_string(),
        ]
    }
}
