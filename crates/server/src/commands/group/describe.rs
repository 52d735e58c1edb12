//! `group describe`: members, what they were given, and how far behind the group is.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde::Serialize;

use crate::client::{Client, Committed, Group, Member, Ranges, Topic, TopicPartition};
use crate::outcome::{Outcome, Tally, usage};
use crate::output::{self, Column, Detail, Format, dash_if_empty, or_dash};

/// Describe groups: members, assignment, committed offsets and lag
///
/// Lag is what is between the committed offset and the end of the partition. It is never negative, and it is not known where
/// nothing is committed.
#[derive(Debug, Args)]
pub(super) struct DescribeArgs {
    /// Names of the groups
    #[arg(value_name = "GROUP", required_unless_present = "all")]
    groups: Vec<String>,
    /// All groups of consumers
    #[arg(short, long, conflicts_with = "groups")]
    all: bool,
    /// Only the state of the group and its lag as a whole
    #[arg(short, long)]
    summary: bool,
    /// Only what is committed: a topic, a partition and an offset a line, as `group seek --to-file` reads them
    #[arg(short, long, conflicts_with_all = ["summary", "output"])]
    commits: bool,
}

#[derive(Debug, Serialize)]
struct Described {
    group: String,
    state: String,
    /// `classic` or `consumer`.
    #[serde(rename = "type")]
    kind: &'static str,
    protocol_type: String,
    /// The assignor; `null` while there is none.
    protocol: Option<String>,
    coordinator: Coordinator,
    /// `null` for classic groups.
    epoch: Option<i32>,
    /// `null` for classic groups.
    assignment_epoch: Option<i32>,
    /// The sum of all lags that are known.
    total_lag: i64,
    members: Vec<DescribedMember>,
    partitions: Vec<DescribedPartition>,
}

#[derive(Debug, Serialize)]
struct Coordinator {
    id: i32,
    /// `null` where the cluster names it no more.
    address: Option<String>,
}

#[derive(Debug, Serialize)]
struct DescribedMember {
    member_id: String,
    instance_id: Option<String>,
    client_id: String,
    host: String,
    /// `null` for classic groups.
    epoch: Option<i32>,
    /// By topic; `null` where the member's protocol is not that of consumers.
    assignment: Option<BTreeMap<String, Vec<i32>>>,
}

#[derive(Debug, Serialize)]
struct DescribedPartition {
    topic: String,
    partition: i32,
    /// `null` where nothing is committed.
    committed_offset: Option<i64>,
    committed_leader_epoch: Option<i32>,
    metadata: Option<String>,
    /// `null` where no leader can be asked.
    start_offset: Option<i64>,
    /// As `start_offset`.
    end_offset: Option<i64>,
    /// `null` where nothing is committed or the end is not known.
    lag: Option<i64>,
    /// Who has it now.
    member_id: Option<String>,
    client_id: Option<String>,
    host: Option<String>,
}

impl DescribeArgs {
    pub(super) async fn run(&self, client: &mut Client, format: Format) -> anyhow::Result<Outcome> {
        let mut tally = Tally::default();
        let ids = match self.all {
            true => all_of_consumers(client, &mut tally).await?,
            false => self.groups.clone(),
        };
        client.metadata(Some(&[]), false).await?;
        let mut described = Vec::new();
        for id in ids {
            match self.describe(client, &id, &mut tally).await {
                Ok(group) => {
                    tally.done();
                    described.push(group);
                }
                Err(error) => tally.failed(error),
            }
        }
        if self.commits {
            let lines: String = described.iter().map(Described::commits).collect();
            output::stdout(lines.as_bytes())?;
            return tally.outcome();
        }
        output::answer(format, &described, |detail| match self.summary {
            true => {
                let rows = described.iter().map(Described::row);
                output::columns(detail, Described::COLUMNS, rows)
            }
            false => {
                let texts: Vec<String> = described.iter().map(|group| group.text(detail)).collect();
                texts.join("\n")
            }
        })?;
        tally.outcome()
    }

    async fn describe(
        &self,
        client: &mut Client,
        id: &str,
        tally: &mut Tally,
    ) -> anyhow::Result<Described> {
        let Some(group) = client.group(id).await? else {
            return Err(anyhow::anyhow!(
                "there is no group {id}; `tidewater group list` shows what there is"
            ));
        };
        let node = client.coordinator(id).await?;
        let committed = client.at_coordinator(id, async |link| link.committed(id).await);
        let committed = committed.await?;
        let assigned = group
            .members
            .iter()
            .flat_map(|member| member.assignment.iter());
        let assigned = assigned.flat_map(BTreeMap::keys).cloned();
        let topics = committed.keys().map(|(topic, _)| topic.clone());
        let topics: BTreeSet<String> = topics.chain(assigned).collect();
        let topics: Vec<String> = topics.into_iter().collect();
        // An empty list would ask for nothing, and all the brokers for it.
        let topics: Vec<Topic> = match topics.is_empty() {
            true => Vec::new(),
            false => client.metadata(Some(&topics), false).await?.topics,
        };
        let mut ranges = client.ranges_of(&topics).await;
        for error in ranges.errors.drain(..) {
            tally.failed(error.context(format!("the lag of group {id} is not known in full")));
        }
        let coordinator = Coordinator {
            id: node,
            address: client.address_of(node),
        };
        let mut described = Described::of(id, group, coordinator, &committed, &ranges);
        if self.summary {
            described.partitions.clear();
            described
                .members
                .iter_mut()
                .for_each(|member| member.assignment = None);
        }
        Ok(described)
    }
}

async fn all_of_consumers(client: &mut Client, tally: &mut Tally) -> anyhow::Result<Vec<String>> {
    let metadata = client.metadata(Some(&[]), false).await?;
    let mut ids = BTreeSet::new();
    for node in metadata.nodes.into_keys() {
        let listed = match client.link(node).await {
            Ok(link) => link.list_groups(&[], &[]).await,
            Err(error) => Err(error),
        };
        match listed {
            Ok(groups) => {
                let of_consumers = |kind: &str| matches!(kind, "" | "classic" | "consumer");
                let groups = groups.into_iter().filter(|group| of_consumers(&group.kind));
                ids.extend(groups.map(|group| group.id));
            }
            Err(error) => tally.failed(error),
        }
    }
    match ids.is_empty() {
        true => Err(usage("there are no groups")),
        false => Ok(ids.into_iter().collect()),
    }
}

impl Described {
    fn of(
        id: &str,
        group: Group,
        coordinator: Coordinator,
        committed: &BTreeMap<TopicPartition, Committed>,
        ranges: &Ranges,
    ) -> Described {
        let mut owners: BTreeMap<TopicPartition, &Member> = BTreeMap::new();
        for member in &group.members {
            for (topic, partitions) in member.assignment.iter().flatten() {
                let keys = partitions.iter().map(|index| (topic.clone(), *index));
                owners.extend(keys.map(|key| (key, member)));
            }
        }
        let keys: BTreeSet<&TopicPartition> = committed.keys().chain(owners.keys()).collect();
        let partitions: Vec<DescribedPartition> = keys
            .into_iter()
            .map(|key| {
                let range = ranges.of.get(key).copied();
                DescribedPartition::of(key, committed.get(key), range, owners.get(key).copied())
            })
            .collect();
        Described {
            group: id.to_owned(),
            state: group.state,
            kind: group.kind,
            protocol_type: group.protocol_type,
            protocol: (!group.protocol.is_empty()).then_some(group.protocol),
            coordinator,
            epoch: group.epochs.map(|epochs| epochs.group),
            assignment_epoch: group.epochs.map(|epochs| epochs.assignment),
            total_lag: partitions
                .iter()
                .filter_map(|partition| partition.lag)
                .fold(0, i64::saturating_add),
            members: group.members.into_iter().map(DescribedMember::of).collect(),
            partitions,
        }
    }

    const COLUMNS: [Column; 8] = [
        Column::Always("GROUP"),
        Column::Always("STATE"),
        Column::Always("TYPE"),
        Column::Always("PROTOCOL"),
        Column::Always("MEMBERS"),
        Column::Always("LAG"),
        Column::Always("COORDINATOR"),
        Column::Wide("EPOCH"),
    ];

    fn row(&self) -> [String; 8] {
        [
            self.group.clone(),
            self.state.clone(),
            self.kind.to_owned(),
            or_dash(self.protocol.as_ref()),
            self.members.len().to_string(),
            self.total_lag.to_string(),
            self.coordinator.id.to_string(),
            or_dash(self.epoch),
        ]
    }

    fn text(&self, detail: Detail) -> String {
        let Coordinator { id, address } = &self.coordinator;
        let address = address.as_ref().map(|address| format!(" ({address})"));
        let mut facts = vec![
            ("GROUP", self.group.clone()),
            ("STATE", self.state.clone()),
            ("TYPE", self.kind.to_owned()),
            ("PROTOCOL", or_dash(self.protocol.as_ref())),
            (
                "COORDINATOR",
                format!("{id}{}", address.unwrap_or_default()),
            ),
            ("MEMBERS", self.members.len().to_string()),
            ("TOTAL LAG", self.total_lag.to_string()),
        ];
        if let Some((epoch, assignment)) = self.epoch.zip(self.assignment_epoch) {
            facts.push(("EPOCH", format!("{epoch}, assigned {assignment}")));
        }
        let mut text = output::facts(&facts);
        if !self.members.is_empty() {
            let rows = self.members.iter().map(DescribedMember::row);
            text.push('\n');
            text.push_str(&output::columns(detail, DescribedMember::COLUMNS, rows));
        }
        if !self.partitions.is_empty() {
            let rows = self.partitions.iter().map(DescribedPartition::row);
            text.push('\n');
            text.push_str(&output::columns(detail, DescribedPartition::COLUMNS, rows));
        }
        text
    }

    fn commits(&self) -> String {
        let lines = self.partitions.iter().filter_map(|partition| {
            let offset = partition.committed_offset?;
            Some(format!(
                "{} {} {offset}\n",
                partition.topic, partition.partition
            ))
        });
        lines.collect()
    }
}

impl DescribedMember {
    const COLUMNS: [Column; 6] = [
        Column::Always("MEMBER"),
        Column::Wide("INSTANCE"),
        Column::Always("CLIENT"),
        Column::Always("HOST"),
        Column::Wide("EPOCH"),
        Column::Always("PARTITIONS"),
    ];

    fn of(member: Member) -> DescribedMember {
        DescribedMember {
            member_id: member.id,
            instance_id: member.instance_id,
            client_id: member.client_id,
            host: member.host,
            epoch: member.epoch,
            assignment: member.assignment,
        }
    }

    fn row(&self) -> [String; 6] {
        let topics = self.assignment.as_ref();
        let partitions = topics.map(|topics| topics.values().map(Vec::len).sum::<usize>());
        [
            self.member_id.clone(),
            or_dash(self.instance_id.as_ref()),
            self.client_id.clone(),
            self.host.clone(),
            or_dash(self.epoch),
            or_dash(partitions),
        ]
    }
}

impl DescribedPartition {
    const COLUMNS: [Column; 10] = [
        Column::Always("TOPIC"),
        Column::Always("PARTITION"),
        Column::Always("COMMITTED"),
        Column::Always("START"),
        Column::Always("END"),
        Column::Always("LAG"),
        Column::Always("MEMBER"),
        Column::Wide("CLIENT"),
        Column::Wide("HOST"),
        Column::Wide("METADATA"),
    ];

    fn of(
        (topic, partition): &TopicPartition,
        committed: Option<&Committed>,
        range: Option<(i64, i64)>,
        owner: Option<&Member>,
    ) -> DescribedPartition {
        let lag = committed.zip(range);
        DescribedPartition {
            topic: topic.clone(),
            partition: *partition,
            committed_offset: committed.map(|committed| committed.offset),
            committed_leader_epoch: committed.and_then(|committed| committed.leader_epoch),
            metadata: committed.map(|committed| committed.metadata.clone()),
            start_offset: range.map(|(start, _)| start),
            end_offset: range.map(|(_, end)| end),
            // A topic that was created anew, or whose tail was lost, may end before what was committed.
            lag: lag.map(|(committed, (_, end))| end.saturating_sub(committed.offset).max(0)),
            member_id: owner.map(|member| member.id.clone()),
            client_id: owner.map(|member| member.client_id.clone()),
            host: owner.map(|member| member.host.clone()),
        }
    }

    fn row(&self) -> [String; 10] {
        [
            self.topic.clone(),
            self.partition.to_string(),
            or_dash(self.committed_offset),
            or_dash(self.start_offset),
            or_dash(self.end_offset),
            or_dash(self.lag),
            or_dash(self.member_id.as_ref()),
            or_dash(self.client_id.as_ref()),
            or_dash(self.host.as_ref()),
            dash_if_empty(self.metadata.as_deref().unwrap_or_default()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(committed: Option<i64>, range: Option<(i64, i64)>) -> Option<i64> {
        let committed = committed.map(|offset| Committed {
            offset,
            leader_epoch: None,
            metadata: String::new(),
        });
        DescribedPartition::of(&("t".to_owned(), 0), committed.as_ref(), range, None).lag
    }

    #[test]
    fn lag_is_never_negative_and_unknown_without_a_commit_or_an_end() {
        assert_eq!(lag(Some(7), Some((0, 10))), Some(3));
        assert_eq!(lag(Some(10), Some((0, 10))), Some(0));
        assert_eq!(
            lag(Some(11), Some((0, 10))),
            Some(0),
            "the topic was created anew"
        );
        assert_eq!(lag(None, Some((0, 10))), None);
        assert_eq!(lag(Some(7), None), None);
    }
}
