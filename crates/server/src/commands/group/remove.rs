//! `group delete` and `group offset-delete`: what takes away what groups have committed.

use std::collections::BTreeSet;

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;

use super::partitions::{Choice, choice};
use crate::client::{Client, TopicPartition};
use crate::confirm::{DestroyArgs, several};
use crate::outcome::{Outcome, Tally};
use crate::output::{self, Format};

/// Delete empty groups and everything they have committed
#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// Names of the groups
    #[arg(value_name = "GROUP", required = true)]
    groups: Vec<String>,
    #[command(flatten)]
    destroy: DestroyArgs,
    /// Do not mind a group that does not exist
    #[arg(long)]
    if_exists: bool,
}

impl DeleteArgs {
    pub(super) async fn run(&self, client: &mut Client) -> anyhow::Result<Outcome> {
        let (groups, expected) = several("group", &self.groups);
        self.destroy
            .agreed(&format!("{groups} with all committed offsets"), &expected)?;
        let mut tally = Tally::default();
        for group in &self.groups {
            match self.delete(client, group).await {
                Ok(what) => {
                    tally.done();
                    output::note(format_args!("group {group}: {what}"));
                }
                Err(error) => tally.failed(error),
            }
        }
        tally.outcome()
    }

    /// What became of it.
    async fn delete(&self, client: &mut Client, id: &str) -> anyhow::Result<String> {
        let Some(group) = client.group(id).await? else {
            return match self.if_exists {
                true => Ok("does not exist".to_owned()),
                false => Err(anyhow!(
                    "there is no group {id}; `tidewater group list` shows what there is"
                )),
            };
        };
        if !group.is_empty() {
            return Err(anyhow!(
                "group {id} is {} with {}: stop them first",
                group.state,
                output::count(group.members.len() as u64, "member")
            ));
        }
        if self.destroy.dry_run {
            let committed = client.at_coordinator(id, async |link| link.committed(id).await);
            let offsets = committed.await?.len() as u64;
            let offsets = output::count(offsets, "committed offset");
            return Ok(format!("would be deleted, with {offsets}"));
        }
        let delete = client.at_coordinator(id, async |link| link.delete_group(id).await);
        delete.await?;
        Ok("deleted".to_owned())
    }
}

/// Forget what a group has committed for topics
///
/// The group may have members, as long as they do not subscribe to these topics.
#[derive(Debug, Args)]
pub(super) struct OffsetDeleteArgs {
    /// The group
    group: String,
    /// This topic, or these of its partitions; may be given several times
    #[arg(short, long = "topic", value_name = "TOPIC[:PARTITION,…]", value_parser = choice, required = true)]
    topics: Vec<Choice>,
    #[command(flatten)]
    destroy: DestroyArgs,
}

#[derive(Debug, Serialize)]
struct Forgotten {
    topic: String,
    partition: i32,
    /// What was committed.
    offset: i64,
}

impl OffsetDeleteArgs {
    pub(super) async fn run(&self, client: &mut Client, format: Format) -> anyhow::Result<Outcome> {
        let group = &self.group;
        let committed = client.at_coordinator(group, async |link| link.committed(group).await);
        let mut committed = committed.await?;
        committed.retain(|key, _| self.topics.iter().any(|choice| choice.has(key)));
        if committed.is_empty() {
            return Err(anyhow!("group {group} has committed nothing there"));
        }
        let count = output::count(committed.len() as u64, "committed offset");
        self.destroy
            .agreed(&format!("{count} of group {group}"), group)?;
        let keys: Vec<TopicPartition> = committed.keys().cloned().collect();
        let mut tally = Tally::default();
        let mut refused = BTreeSet::new();
        if !self.destroy.dry_run {
            let delete =
                async |link: &mut crate::client::Link| link.delete_offsets(group, &keys).await;
            for (key, refusal) in client.at_coordinator(group, delete).await? {
                tally.failed(refusal);
                refused.insert(key);
            }
        }
        let forgotten = committed
            .into_iter()
            .filter(|(key, _)| !refused.contains(key));
        let forgotten: Vec<Forgotten> = forgotten
            .map(|((topic, partition), committed)| Forgotten {
                topic,
                partition,
                offset: committed.offset,
            })
            .collect();
        forgotten.iter().for_each(|_| tally.done());
        output::answer(format, &forgotten, |_| {
            let offset = if self.destroy.dry_run {
                "WOULD FORGET"
            } else {
                "FORGOTTEN"
            };
            let rows = forgotten.iter().map(|forgotten| {
                [
                    forgotten.topic.clone(),
                    forgotten.partition.to_string(),
                    forgotten.offset.to_string(),
                ]
            });
            output::table_text(["TOPIC", "PARTITION", offset], rows)
        })?;
        tally.outcome()
    }
}
