//! Where partitions begin and end, and which offset a time has.

use std::collections::BTreeMap;

use anyhow::{anyhow, bail};
use wire::messages::BrokerId;
use wire::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};

use super::{Client, Topic, TopicPartition, topic_name};
use crate::outcome::Refusal;

/// ListOffsets timestamps with a meaning of their own.
const EARLIEST: i64 = -2;
/// See [`EARLIEST`].
const LATEST: i64 = -1;

/// A partition's leader and the timestamp it is asked about.
type Question = (i32, TopicPartition, i64);
/// What the leaders said, by partition.
type Answers = BTreeMap<TopicPartition, Result<i64, Refusal>>;

/// First offset and end offset of partitions, and why some have none here.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    /// First offset and the offset the next record will have.
    pub(crate) of: BTreeMap<TopicPartition, (i64, i64)>,
    /// One for each partition or leader that could not be asked.
    pub(crate) errors: Vec<anyhow::Error>,
}

impl Client {
    /// Offsets of one topic's partitions by timestamp, each asked of its leader.
    pub(crate) async fn list_offsets(
        &mut self,
        topic: &Topic,
        timestamps: &BTreeMap<i32, i64>,
    ) -> anyhow::Result<BTreeMap<i32, i64>> {
        let mut questions = Vec::new();
        for (index, timestamp) in timestamps {
            let leader = topic.partition(*index)?.leader;
            if leader < 0 {
                bail!("partition {}/{index} has no leader now", topic.name);
            }
            questions.push((leader, (topic.name.clone(), *index), *timestamp));
        }
        let mut offsets = BTreeMap::new();
        for (leader, questions) in by_leader(&questions) {
            for ((_, index), answer) in self.ask_offsets(leader, questions).await? {
                offsets.insert(index, answer?);
            }
        }
        match timestamps.keys().find(|index| !offsets.contains_key(index)) {
            Some(index) => bail!(
                "the leader of {}/{index} said nothing of its offsets",
                topic.name
            ),
            None => Ok(offsets),
        }
    }

    /// First offset and end offset of each partition.
    pub(crate) async fn offset_ranges(
        &mut self,
        topic: &Topic,
    ) -> anyhow::Result<BTreeMap<i32, (i64, i64)>> {
        let all = |timestamp| {
            topic
                .partitions
                .iter()
                .map(|partition| (partition.index, timestamp))
                .collect()
        };
        let starts = self.list_offsets(topic, &all(EARLIEST)).await?;
        let ends = self.list_offsets(topic, &all(LATEST)).await?;
        Ok(starts
            .into_iter()
            .filter_map(|(index, start)| Some((index, (start, *ends.get(&index)?))))
            .collect())
    }

    /// First offset and end offset of every partition of these topics that can be asked. One request to each leader asks for
    /// the beginnings of many topics and one for the ends. Topics with an error and partitions without a leader are left out.
    pub(crate) async fn ranges_of(&mut self, topics: &[Topic]) -> Ranges {
        let led = topics.iter().flat_map(|topic| {
            let led = topic
                .partitions
                .iter()
                .filter(|partition| partition.leader >= 0);
            led.map(|partition| (partition.leader, (topic.name.clone(), partition.index)))
        });
        let led: Vec<(i32, TopicPartition)> = led.collect();
        let mut ranges = Ranges::default();
        let starts = self.all_offsets(&led, EARLIEST, &mut ranges.errors).await;
        let ends = self.all_offsets(&led, LATEST, &mut ranges.errors).await;
        for (key, start) in starts {
            if let Some(end) = ends.get(&key) {
                ranges.of.insert(key, (start, *end));
            }
        }
        ranges
    }

    async fn all_offsets(
        &mut self,
        led: &[(i32, TopicPartition)],
        timestamp: i64,
        errors: &mut Vec<anyhow::Error>,
    ) -> BTreeMap<TopicPartition, i64> {
        let questions = led
            .iter()
            .map(|(leader, key)| (*leader, key.clone(), timestamp));
        let questions: Vec<Question> = questions.collect();
        let mut offsets = BTreeMap::new();
        for (leader, questions) in by_leader(&questions) {
            match self.ask_offsets(leader, questions).await {
                Ok(answers) => {
                    for (key, answer) in answers {
                        match answer {
                            Ok(offset) => drop(offsets.insert(key, offset)),
                            Err(refusal) => errors.push(anyhow!(refusal)),
                        }
                    }
                }
                Err(error) => errors.push(error),
            }
        }
        offsets
    }

    /// One request to one leader.
    async fn ask_offsets(
        &mut self,
        leader: i32,
        questions: Vec<&Question>,
    ) -> anyhow::Result<Answers> {
        let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for (_, (topic, index), timestamp) in questions {
            let partition = ListOffsetsPartition::default()
                .with_partition_index(*index)
                .with_timestamp(*timestamp);
            topics.entry(topic).or_default().push(partition);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            ListOffsetsTopic::default()
                .with_name(topic_name(name))
                .with_partitions(partitions)
        });
        let timeout_ms = self.timeout_ms();
        let link = self.link(leader).await?;
        let version = link.version::<ListOffsetsRequest>()?;
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_isolation_level(if version >= 2 {
                link.isolation.level()
            } else {
                0
            })
            .with_topics(topics.collect())
            .with_timeout_ms(if version >= 10 { timeout_ms } else { 0 });
        let response = link.call(&request, version).await?;
        let mut answers = Answers::new();
        for topic in response.topics {
            let name = topic.name.0.to_string();
            for found in topic.partitions {
                let asked = format!("list the offsets of {name}/{}", found.partition_index);
                let accepted = link.accept(&asked, found.error_code, None);
                answers.insert(
                    (name.clone(), found.partition_index),
                    accepted.map(|()| found.offset),
                );
            }
        }
        Ok(answers)
    }
}

fn by_leader(questions: &[Question]) -> BTreeMap<i32, Vec<&Question>> {
    let mut leaders: BTreeMap<i32, Vec<&Question>> = BTreeMap::new();
    for question in questions {
        leaders.entry(question.0).or_default().push(question);
    }
    leaders
}
