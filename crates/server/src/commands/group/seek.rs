//! `group seek`: moves what a group has committed, while nobody is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;

use super::partitions::{Choice, choice, offsets_of};
use crate::client::{Client, TopicPartition};
use crate::outcome::{Outcome, Tally, usage};
use crate::output::{self, Format, or_dash};
use crate::position::{Found, POSITIONS, Position};

/// Move the committed offsets of a group
///
/// The group must be empty: members go on from where they are, and would commit over it. Without --topic all partitions are
/// moved that the group has committed. An offset that a partition does not reach becomes the nearest it has.
#[derive(Debug, Args)]
pub(super) struct SeekArgs {
    /// The group; it is created if there is none of that name
    group: String,
    #[command(flatten)]
    target: TargetArgs,
    /// Only this topic, or these of its partitions; may be given several times
    #[arg(short, long = "topic", value_name = "TOPIC[:PARTITION,…]", value_parser = choice)]
    topics: Vec<Choice>,
    /// Say what would be committed, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TargetArgs {
    /// To this place: start, end, 47, +2 (after the start), -3 (before the end), @TIME
    #[arg(
        long,
        value_name = "OFFSET",
        allow_hyphen_values = true,
        long_help = format!("To this place: start, end, 47, +2 (after the start), -3 (before the end), @TIME\n\n{POSITIONS}"),
    )]
    to: Option<Position>,
    /// So many offsets on from what is committed, or back if negative
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// To what another group has committed
    #[arg(long, value_name = "GROUP")]
    to_group: Option<String>,
    /// To what a file says: a topic, a partition and an offset a line, as `group describe --commits` writes them
    #[arg(long, value_name = "FILE")]
    to_file: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Moved {
    topic: String,
    partition: i32,
    /// `null` where nothing was committed.
    before: Option<i64>,
    after: i64,
}

type Offsets = BTreeMap<TopicPartition, i64>;

impl SeekArgs {
    pub(super) async fn run(&self, client: &mut Client, format: Format) -> anyhow::Result<Outcome> {
        let group = &self.group;
        let before = self.committed_by_nobody_else(client).await?;
        let mut tally = Tally::default();
        let after = self.plan(client, &before, &mut tally).await?;
        let mut refused = BTreeMap::new();
        if !self.dry_run && !after.is_empty() {
            let commit =
                client.at_coordinator(group, async |link| link.commit(group, &after).await);
            refused = commit.await?;
        }
        let mut moved = Vec::new();
        for (key, after) in after {
            match refused.remove(&key) {
                Some(refusal) => tally.failed(refusal),
                None => {
                    tally.done();
                    moved.push(Moved {
                        before: before.get(&key).copied(),
                        topic: key.0,
                        partition: key.1,
                        after,
                    });
                }
            }
        }
        if !(moved.is_empty() && format.is_for_people()) {
            output::answer(format, &moved, |_| self.text(&moved))?;
        }
        tally.outcome()
    }

    /// What the group has committed. Fails if there is somebody in it.
    async fn committed_by_nobody_else(&self, client: &mut Client) -> anyhow::Result<Offsets> {
        let name = &self.group;
        let Some(group) = client.group(name).await? else {
            return Ok(Offsets::new());
        };
        if !group.is_empty() {
            return Err(anyhow!(
                "group {name} is {} with {}: stop them first, because they go on from where they are and would \
                 commit over what is set here",
                group.state,
                output::count(group.members.len() as u64, "member"),
            ));
        }
        committed(client, name).await
    }

    /// The new offset of every partition that is meant. What cannot be found goes to the tally.
    async fn plan(
        &self,
        client: &mut Client,
        before: &Offsets,
        tally: &mut Tally,
    ) -> anyhow::Result<Offsets> {
        if let Some(position) = self.target.to {
            return self.plan_position(client, position, before, tally).await;
        }
        let mut wanted = match &self.target {
            TargetArgs {
                shift_by: Some(count),
                ..
            } => {
                let shifted = before.iter();
                shifted
                    .map(|(key, offset)| (key.clone(), offset.saturating_add(*count)))
                    .collect()
            }
            TargetArgs {
                to_group: Some(other),
                ..
            } => committed(client, other).await?,
            TargetArgs {
                to_file: Some(file),
                ..
            } => offsets_of(file)?,
            _ => {
                return Err(usage(
                    "where to? give --to, --shift-by, --to-group or --to-file",
                ));
            }
        };
        wanted.retain(|key, _| self.means(key));
        if wanted.is_empty() {
            return Err(anyhow!(
                "nothing is committed there for any partition that is meant"
            ));
        }
        self.within_reach(client, wanted, tally).await
    }

    /// The same place in all partitions.
    async fn plan_position(
        &self,
        client: &mut Client,
        position: Position,
        before: &Offsets,
        tally: &mut Tally,
    ) -> anyhow::Result<Offsets> {
        let mut after = Offsets::new();
        for Choice { topic, partitions } in self.choices(before)? {
            let found = match client
                .topic(&topic, false)
                .await
                .and_then(|topic| topic.only(&partitions))
            {
                Ok(topic) => position.find(client, &topic).await,
                Err(error) => Err(error),
            };
            match found {
                Ok(found) => {
                    let found = found
                        .into_iter()
                        .map(|(index, found)| ((topic.clone(), index), found));
                    after.extend(found.map(|(key, found)| (key.clone(), settle(&key, found))));
                }
                Err(error) => tally.failed(error),
            }
        }
        Ok(after)
    }

    /// The topics given, or what is committed of them.
    fn choices(&self, before: &Offsets) -> anyhow::Result<Vec<Choice>> {
        if !self.topics.is_empty() {
            return Ok(self.topics.clone());
        }
        if before.is_empty() {
            return Err(usage(format!(
                "group {} has committed nothing; name topics with --topic",
                self.group
            )));
        }
        let mut choices: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, index) in before.keys() {
            choices.entry(topic).or_default().push(*index);
        }
        let choices = choices.into_iter().map(|(topic, partitions)| Choice {
            topic: topic.to_owned(),
            partitions,
        });
        Ok(choices.collect())
    }

    fn means(&self, key: &TopicPartition) -> bool {
        self.topics.is_empty() || self.topics.iter().any(|choice| choice.has(key))
    }

    /// An offset that a partition does not reach becomes the nearest it has; partitions that are not there go to the tally.
    async fn within_reach(
        &self,
        client: &mut Client,
        wanted: Offsets,
        tally: &mut Tally,
    ) -> anyhow::Result<Offsets> {
        let topics: BTreeSet<String> = wanted.keys().map(|(topic, _)| topic.clone()).collect();
        let topics: Vec<String> = topics.into_iter().collect();
        let topics = client.metadata(Some(&topics), false).await?.topics;
        let ranges = client.ranges_of(&topics).await;
        for error in ranges.errors {
            tally.failed(error);
        }
        let mut after = Offsets::new();
        for (key, offset) in wanted {
            match ranges.of.get(&key) {
                Some(range) => {
                    let offset = settle(&key, Found::at(offset, *range));
                    after.insert(key, offset);
                }
                None => tally.failed(anyhow!(
                    "partition {}/{} is not there, or has no leader",
                    key.0,
                    key.1
                )),
            }
        }
        Ok(after)
    }

    fn text(&self, moved: &[Moved]) -> String {
        let after = if self.dry_run { "WOULD BE" } else { "NOW" };
        let rows = moved.iter().map(|moved| {
            [
                moved.topic.clone(),
                moved.partition.to_string(),
                or_dash(moved.before),
                moved.after.to_string(),
            ]
        });
        output::table_text(["TOPIC", "PARTITION", "BEFORE", after], rows)
    }
}

/// The offset to commit, with a note where it is not the one asked for.
fn settle((topic, index): &TopicPartition, found: Found) -> i64 {
    let nearest = found.nearest();
    if let Err(error) = found.exact() {
        output::note(format_args!("{topic}/{index}: {error}; {nearest} it is"));
    }
    nearest
}

async fn committed(client: &mut Client, group: &str) -> anyhow::Result<Offsets> {
    let committed = client.at_coordinator(group, async |link| link.committed(group).await);
    let committed = committed.await?.into_iter();
    Ok(committed
        .map(|(key, committed)| (key, committed.offset))
        .collect())
}
