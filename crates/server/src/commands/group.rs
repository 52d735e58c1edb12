//! `tidewater group`: consumer groups of both protocols, what they committed and how far behind they are.

mod describe;
mod partitions;
mod remove;
mod seek;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;

use self::describe::DescribeArgs;
use self::remove::{DeleteArgs, OffsetDeleteArgs};
use self::seek::SeekArgs;
use crate::args::{ConnectArgs, OutputArgs};
use crate::client::{Client, Group, ListedGroup};
use crate::outcome::{Outcome, Tally};
use crate::output::{self, Column, Format, dash_if_empty, or_dash};

/// List, describe, seek and delete consumer groups
#[derive(Debug, Args)]
pub(crate) struct GroupArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: GroupCommand,
}

#[derive(Debug, Subcommand)]
enum GroupCommand {
    List(ListArgs),
    Describe(DescribeArgs),
    Seek(SeekArgs),
    Delete(DeleteArgs),
    OffsetDelete(OffsetDeleteArgs),
}

pub(crate) async fn run(args: GroupArgs) -> anyhow::Result<Outcome> {
    let client = &mut Client::connect(&args.connect).await?;
    let format = args.output.output;
    match args.command {
        GroupCommand::List(list) => list.run(client, format).await,
        GroupCommand::Describe(describe) => describe.run(client, format).await,
        GroupCommand::Seek(seek) => seek.run(client, format).await,
        GroupCommand::Delete(delete) => delete.run(client).await,
        GroupCommand::OffsetDelete(delete) => delete.run(client, format).await,
    }
}

/// The states of all kinds of groups, as Kafka spells them (`GroupState`).
const STATES: [&str; 8] = [
    "Stable",
    "Empty",
    "PreparingRebalance",
    "CompletingRebalance",
    "Assigning",
    "Reconciling",
    "NotReady",
    "Dead",
];
/// As Kafka spells them (`GroupType`).
const KINDS: [&str; 4] = ["classic", "consumer", "share", "streams"];

fn one_of(words: &'static [&'static str], text: &str) -> Result<String, String> {
    match words.iter().find(|word| word.eq_ignore_ascii_case(text)) {
        Some(word) => Ok((*word).to_owned()),
        None => Err(format!("there are {}", words.join(", "))),
    }
}

/// List the groups of all brokers
#[derive(Debug, Args)]
struct ListArgs {
    /// Only groups in these states: Stable, Empty, PreparingRebalance, CompletingRebalance, Assigning, Reconciling, Dead
    #[arg(short, long = "state", value_name = "STATE,…", value_delimiter = ',', value_parser = |text: &str| one_of(&STATES, text))]
    states: Vec<String>,
    /// Only groups of these types: classic, consumer, share, streams
    #[arg(short, long = "type", value_name = "TYPE,…", value_delimiter = ',', value_parser = |text: &str| one_of(&KINDS, text))]
    types: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Listed {
    group: String,
    /// `null` where the broker does not say.
    state: Option<String>,
    /// `classic`, `consumer`, `share` or `streams`; `null` where the broker does not say.
    #[serde(rename = "type")]
    kind: Option<String>,
    protocol_type: String,
    /// The assignor; `null` while there is none.
    protocol: Option<String>,
    /// `null` for groups that are not of consumers.
    members: Option<usize>,
    /// The broker that coordinates it.
    coordinator: i32,
}

impl ListArgs {
    async fn run(&self, client: &mut Client, format: Format) -> anyhow::Result<Outcome> {
        let metadata = client.metadata(Some(&[]), false).await?;
        let mut tally = Tally::default();
        let mut listed = Vec::new();
        for node in metadata.nodes.into_keys() {
            match self.of_broker(client, node).await {
                Ok(groups) => {
                    tally.done();
                    listed.extend(groups);
                }
                Err(error) => tally.failed(error),
            }
        }
        listed.sort_by(|left, right| left.group.cmp(&right.group));
        output::answer(format, &listed, |detail| {
            output::columns(detail, Listed::COLUMNS, listed.iter().map(Listed::row))
        })?;
        tally.outcome()
    }

    async fn of_broker(&self, client: &mut Client, node: i32) -> anyhow::Result<Vec<Listed>> {
        let link = client.link(node).await?;
        let mut groups = link.list_groups(&self.states, &self.types).await?;
        groups.retain(|group| self.wants(group));
        let ids: Vec<String> = groups.iter().map(|group| group.id.clone()).collect();
        let described = link.describe_groups(&ids).await?;
        // One that is gone by now, or of a kind that cannot be described, is listed with what is known.
        let described: BTreeMap<String, Group> = described
            .into_iter()
            .filter_map(|(id, group)| Some((id, group.ok()??)))
            .collect();
        let listed = groups.into_iter().map(|group| {
            let more = described.get(&group.id);
            Listed::of(group, more, node)
        });
        Ok(listed.collect())
    }

    /// Brokers too old for a filter leave it to us.
    fn wants(&self, group: &ListedGroup) -> bool {
        let among = |wanted: &[String], word: &str| {
            wanted.is_empty()
                || wanted
                    .iter()
                    .any(|wanted| wanted.eq_ignore_ascii_case(word))
        };
        among(&self.states, &group.state) && among(&self.types, &group.kind)
    }
}

impl Listed {
    const COLUMNS: [Column; 7] = [
        Column::Always("GROUP"),
        Column::Always("STATE"),
        Column::Always("TYPE"),
        Column::Wide("PROTOCOL TYPE"),
        Column::Always("PROTOCOL"),
        Column::Always("MEMBERS"),
        Column::Always("COORDINATOR"),
    ];

    fn of(group: ListedGroup, described: Option<&Group>, coordinator: i32) -> Listed {
        let unless_empty = |text: String| (!text.is_empty()).then_some(text);
        Listed {
            group: group.id,
            state: unless_empty(group.state),
            kind: unless_empty(group.kind),
            protocol_type: group.protocol_type,
            protocol: described.and_then(|group| unless_empty(group.protocol.clone())),
            members: described.map(|group| group.members.len()),
            coordinator,
        }
    }

    fn row(&self) -> [String; 7] {
        [
            self.group.clone(),
            or_dash(self.state.as_ref()),
            or_dash(self.kind.as_ref()),
            dash_if_empty(&self.protocol_type),
            or_dash(self.protocol.as_ref()),
            or_dash(self.members),
            self.coordinator.to_string(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_types_are_taken_in_any_case_and_written_as_kafka_writes_them() {
        assert_eq!(
            one_of(&STATES, "preparingrebalance"),
            Ok("PreparingRebalance".to_owned())
        );
        assert_eq!(one_of(&KINDS, "Classic"), Ok("classic".to_owned()));
        assert!(one_of(&KINDS, "modern").is_err());
    }
}
