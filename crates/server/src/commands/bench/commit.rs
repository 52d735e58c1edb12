//! `bench commit`: consumer groups that do nothing but commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::Bench;
use super::pace::{Pace, histogram, micros};
use super::report::{Report, Since};
use crate::client::{Link, TopicPartition};

pub(super) async fn run(bench: Bench<'_>) -> anyhow::Result<Report> {
    let run = Uuid::new_v4().simple().to_string();
    let groups: Vec<String> = (0..bench.common.connections)
        .map(|number| format!("bench-{}-{number}", &run[..8]))
        .collect();
    let partitions = bench.topic.partitions.iter();
    let offsets: BTreeMap<TopicPartition, i64> = partitions
        .map(|partition| ((bench.topic.name.clone(), partition.index), 0))
        .collect();
    let mut committers = Vec::new();
    for group in &groups {
        // Waits until there is a coordinator, which the first group of all may have to.
        bench
            .client
            .at_coordinator(group, async |link| link.committed(group).await)
            .await?;
        let node = bench.client.coordinator(group).await?;
        committers.push(Committer {
            link: bench.client.dial(node).await?,
            group: group.clone(),
            offsets: offsets.clone(),
            latencies: histogram()?,
            commits: 0,
        });
    }
    let pace = bench.pace(bench.common.goal(), None);
    let committed = commit_all(committers, &pace).await;
    let mut report = Report::of("commit", &bench, pace.began.elapsed(), Since::Commit);
    for group in &groups {
        bench
            .client
            .at_coordinator(group, async |link| link.delete_group(group).await)
            .await?;
    }
    let (commits, latencies) = committed?;
    report.without_records();
    report.counted(commits, 0);
    report.latencies(&latencies);
    Ok(report)
}

async fn commit_all(
    committers: Vec<Committer>,
    pace: &Arc<Pace>,
) -> anyhow::Result<(u64, Histogram<u64>)> {
    let mut tasks = JoinSet::new();
    for committer in committers {
        tasks.spawn(committer.run(Arc::clone(pace)));
    }
    let (mut commits, mut latencies) = (0, histogram()?);
    while let Some(ended) = tasks.join_next().await {
        let committer = ended??;
        commits += committer.commits;
        latencies.add(&committer.latencies)?;
    }
    Ok((commits, latencies))
}

/// Commits for one group, one request after the other.
struct Committer {
    link: Link,
    group: String,
    offsets: BTreeMap<TopicPartition, i64>,
    latencies: Histogram<u64>,
    commits: u64,
}

impl Committer {
    async fn run(mut self, pace: Arc<Pace>) -> anyhow::Result<Committer> {
        while let Some(turn) = pace.turn(1).await {
            for offset in self.offsets.values_mut() {
                *offset += 1;
            }
            let sent = Instant::now();
            let refused = self.link.commit(&self.group, &self.offsets).await?;
            self.latencies
                .saturating_record(micros(sent.elapsed()).max(1));
            if let Some((_, refusal)) = refused.into_iter().next() {
                return Err(refusal.into());
            }
            self.commits += turn.count;
            pace.done(turn.count);
        }
        Ok(self)
    }
}
