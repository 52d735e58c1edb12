//! `topic describe`: what there is to know of a topic.

use clap::Args;
use serde::Serialize;

use super::{known, replication_factor};
use crate::client::{Client, Partition, Topic};
use crate::commands::config::{self, Resource, Setting};
use crate::outcome::{Outcome, Tally};
use crate::output::{self, Column, Detail, Format, or_dash};

/// Describe topics: partitions, leaders, offsets, and settings of their own
#[derive(Debug, Args)]
pub(super) struct DescribeArgs {
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
    pub(super) async fn run(&self, client: &mut Client, format: Format) -> anyhow::Result<Outcome> {
        let metadata = client.metadata(Some(&self.topics), false).await?;
        let mut tally = Tally::default();
        let mut described = Vec::new();
        for topic in known(&metadata, "describe", &mut tally) {
            match self.describe(client, topic).await {
                Ok(topic) => described.push(topic),
                Err(error) => tally.failed(error),
            }
        }
        output::answer(format, &described, |detail| {
            let texts: Vec<String> = described.iter().map(|topic| topic.text(detail)).collect();
            texts.join("\n")
        })?;
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
        let mut configs = config::describe(client, &Resource::topic(&topic.name), &[]).await?;
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
    fn text(&self, detail: Detail) -> String {
        let mut text = output::facts(&[
            ("TOPIC", self.name.clone()),
            ("ID", or_dash(self.id.as_ref())),
            ("PARTITIONS", self.partitions.len().to_string()),
            ("REPLICAS", self.replication_factor.to_string()),
        ]);
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
        text.push('\n');
        let rows = self.partitions.iter().map(DescribedPartition::row);
        text.push_str(&output::columns(detail, DescribedPartition::COLUMNS, rows));
        text
    }
}

impl DescribedPartition {
    const COLUMNS: [Column; 9] = [
        Column::Always("PARTITION"),
        Column::Always("LEADER"),
        Column::Always("EPOCH"),
        Column::Always("REPLICAS"),
        Column::Always("ISR"),
        Column::Wide("OFFLINE"),
        Column::Always("START"),
        Column::Always("END"),
        Column::Wide("OFFSETS"),
    ];

    fn row(&self) -> [String; 9] {
        let ids = |brokers: &[i32]| output::commas(brokers.iter().copied());
        let held = self.start_offset.zip(self.end_offset);
        [
            self.partition.to_string(),
            or_dash(self.leader),
            self.leader_epoch.to_string(),
            ids(&self.replicas),
            ids(&self.isr),
            output::dash_if_empty(&ids(&self.offline)),
            or_dash(self.start_offset),
            or_dash(self.end_offset),
            or_dash(held.map(|(start, end)| end.saturating_sub(start))),
        ]
    }
}
