//! `topic offsets`: which offset a place or a time is, in each partition.

use clap::Args;
use serde::Serialize;

use crate::client::Client;
use crate::outcome::{Outcome, Tally};
use crate::output::{self, Format};
use crate::position::{POSITIONS, Position};

/// Show the offsets of partitions: their ends, or what another place or a time is
#[derive(Debug, Args)]
pub(super) struct OffsetsArgs {
    /// Names of the topics
    #[arg(value_name = "TOPIC", required = true)]
    topics: Vec<String>,
    /// The place: start, end, +2 (after the start), -3 (before the end), @TIME
    #[arg(
        long,
        value_name = "OFFSET",
        default_value = "end",
        allow_hyphen_values = true,
        long_help = format!("The place: start, end, +2 (after the start), -3 (before the end), @TIME\n\n{POSITIONS}"),
    )]
    at: Position,
    /// Only these partitions
    #[arg(short, long, value_name = "PARTITION,…", value_delimiter = ',')]
    partitions: Vec<i32>,
}

#[derive(Debug, Serialize)]
struct Placed {
    topic: String,
    partition: i32,
    offset: i64,
}

impl OffsetsArgs {
    pub(super) async fn run(&self, client: &mut Client, format: Format) -> anyhow::Result<Outcome> {
        let mut tally = Tally::default();
        let mut placed = Vec::new();
        for topic in &self.topics {
            match self.of_topic(client, topic).await {
                Ok(offsets) => {
                    tally.done();
                    placed.extend(offsets);
                }
                Err(error) => tally.failed(error),
            }
        }
        output::answer(format, &placed, |_| {
            let rows = placed.iter().map(|placed| {
                [
                    placed.topic.clone(),
                    placed.partition.to_string(),
                    placed.offset.to_string(),
                ]
            });
            output::table_text(["TOPIC", "PARTITION", "OFFSET"], rows)
        })?;
        tally.outcome()
    }

    async fn of_topic(&self, client: &mut Client, name: &str) -> anyhow::Result<Vec<Placed>> {
        let topic = client.topic(name, false).await?.only(&self.partitions)?;
        let mut placed = Vec::new();
        for (partition, found) in self.at.find(client, &topic).await? {
            placed.push(Placed {
                topic: name.to_owned(),
                partition,
                offset: found.exact()?,
            });
        }
        Ok(placed)
    }
}
