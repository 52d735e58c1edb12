//! The group steps.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Instant;

use futures::executor::block_on;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AlterConfig, ConfigSource, ResourceSpecifier};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::Offset;

use crate::member::{Joining, Killable, Member, SESSION_TIMEOUT};
use crate::steps::{
    COUNT, DEADLINE, EACH, LATEST, Outcome, PARTITIONS, equal, expected_offsets, fields, require,
    until, until_within,
};
use crate::{Suite, fields_of, refused};

pub(crate) const IDEMPOTENT: [(&str, &str); 1] = [("enable.idempotence", "true")];

pub(crate) type Place = (i32, i64);

/// Where the records of a range stand.
pub(crate) fn places(range: Range<usize>) -> BTreeSet<Place> {
    range
        .map(|i| ((i % PARTITIONS) as i32, (i / PARTITIONS) as i64))
        .collect()
}

fn all() -> BTreeSet<i32> {
    (0..PARTITIONS as i32).collect()
}

impl Suite {
    pub(crate) fn group_steps(&mut self) {
        self.step("group-consume", |s| s.group_consume("consume", false));
        self.step("group-resume", |s| s.group_resume("resume", false));
        self.step("group-commit-metadata", Self::group_commit_metadata);
        self.step("group-join", |s| s.pair("join", false).map(drop));
        self.step("group-leave", |s| s.group_leave("leave", false));
        self.step("group-crash", Self::group_crash);
        self.step("group-static", Self::group_static);
        self.step("group-seek-time", Self::group_seek_time);
        self.step("group-pattern", Self::group_pattern);
        self.step("group-describe", Self::group_describe);
        self.skip(
            "group-alter-offsets",
            "the crate has no AlterConsumerGroupOffsets",
        );
        self.skip(
            "group-delete-offsets",
            "the crate has no DeleteConsumerGroupOffsets",
        );
        self.step("group-delete", Self::group_delete);
        self.step("error-no-offset", Self::no_offset);
        self.skip(
            "error-fenced-member",
            "the crate does not commit with a generation of the program's choice",
        );
        self.step("group-next-generation", |s| {
            s.group_consume("next-consume", true)?;
            s.group_resume("next-resume", true)?;
            s.group_leave("next-leave", true)
        });
        self.skip("admin-log-dirs", "the crate has no DescribeLogDirs");
        self.skip(
            "admin-list-offsets",
            "the crate has no ListOffsets of the admin client",
        );
        self.step("admin-configs", |s| s.broker_configs());
        self.skip("admin-quotas", "the crate has no client quotas");
    }

    /// A topic of its own with the first records, whose name is also the group's.
    pub(crate) fn group_topic(&mut self, kind: &str, records: usize) -> Outcome<String> {
        let topic = self.make(&format!("group-{kind}"), PARTITIONS, &[])?;
        self.add(&topic, 0..records)?;
        Ok(topic)
    }

    fn add(&self, topic: &str, range: Range<usize>) -> Outcome {
        let offsets = self.fill(topic, &IDEMPOTENT, range.clone())?;
        equal("offsets", expected_offsets(range), offsets)
    }

    /// Waits until the members together have read these records, each once and nothing else.
    pub(crate) fn reads(
        &self,
        what: &str,
        mut expected: BTreeSet<Place>,
        members: &[&Member],
    ) -> Outcome {
        let end = Instant::now() + DEADLINE;
        while !expected.is_empty() {
            for member in members {
                let records = std::mem::take(&mut member.inbox().records);
                for record in records {
                    let place = (record.partition(), record.offset());
                    require(expected.remove(&place), || {
                        format!("{what}: {place:?} read twice or out of turn")
                    })?;
                    let i = place.1 as usize * PARTITIONS + place.0 as usize;
                    equal(&format!("record {i}"), fields(i), fields_of(&record))?;
                }
                if let Some(failure) = member.inbox().failures.pop() {
                    return Err(failure.into());
                }
            }
            require(Instant::now() < end, || {
                format!("{what}: {} records are missing", expected.len())
            })?;
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Ok(())
    }

    pub(crate) fn committed(&self, group: &str) -> Outcome<Vec<(Offset, String)>> {
        let mut asked = TopicPartitionList::new();
        for partition in all() {
            asked.add_partition(group, partition);
        }
        // A reader of committed records would wait for the end of a transaction that has offsets for the group.
        let consumer: rdkafka::consumer::BaseConsumer = self
            .config()
            .set("group.id", group)
            .set("isolation.level", "read_uncommitted")
            .create()?;
        let answer = consumer.committed_offsets(asked, DEADLINE)?;
        let found = |place: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            (place.offset(), place.metadata().to_owned())
        };
        Ok(answer.elements().iter().map(found).collect())
    }

    fn group_consume(&mut self, kind: &str, next_generation: bool) -> Outcome {
        let topic = self.group_topic(kind, COUNT)?;
        let how = Joining {
            next_generation,
            ..Joining::default()
        };
        let member = Member::join(&topic, "compat-0", &topic, &how)?;
        self.reads("all records", places(0..COUNT), &[&member])?;
        member.commit()?;
        let ends = vec![(Offset::Offset(EACH), String::new()); PARTITIONS];
        equal("committed offsets", ends, self.committed(&topic)?)
    }

    fn group_resume(&mut self, kind: &str, next_generation: bool) -> Outcome {
        let topic = self.group_topic(kind, 30)?;
        let how = Joining {
            next_generation,
            ..Joining::default()
        };
        let member = Member::join(&topic, "compat-0", &topic, &how)?;
        self.reads("first member", places(0..30), &[&member])?;
        member.commit()?;
        drop(member);
        self.add(&topic, 30..60)?;
        let member = Member::join(&topic, "compat-1", &topic, &how)?;
        self.reads("second member", places(30..60), &[&member])
    }

    fn group_commit_metadata(&mut self) -> Outcome {
        let topic = self.group_topic("metadata", 30)?;
        let member = Member::join(&topic, "compat-0", &topic, &Joining::default())?;
        self.reads("all records", places(0..30), &[&member])?;
        let (mut offsets, metadata) = (TopicPartitionList::new(), "käse ✓ 1");
        offsets.add_partition_offset(&topic, 1, Offset::Offset(7))?;
        offsets
            .find_partition(&topic, 1)
            .ok_or("the list lost its partition")?
            .set_metadata(metadata);
        member.commit_offsets(&offsets)?;
        let committed = self.committed(&topic)?;
        equal(
            "committed",
            &(Offset::Offset(7), metadata.to_owned()),
            &committed[1],
        )
    }

    /// Two members that share the partitions, and have together read and committed 60 records.
    fn pair(&mut self, kind: &str, next_generation: bool) -> Outcome<(String, Member, Member)> {
        let topic = self.group_topic(kind, 30)?;
        let how = Joining {
            next_generation,
            ..Joining::default()
        };
        let first = Member::join(&topic, "compat-0", &topic, &how)?;
        self.reads("alone", places(0..30), &[&first])?;
        first.commit()?;
        let second = Member::join(&topic, "compat-1", &topic, &how)?;
        shared(|| first.owned(), || second.owned())?;
        self.add(&topic, 30..60)?;
        self.reads("both", places(30..60), &[&first, &second])?;
        first.commit()?;
        second.commit()?;
        Ok((topic, first, second))
    }

    fn group_leave(&mut self, kind: &str, next_generation: bool) -> Outcome {
        let (topic, first, second) = self.pair(kind, next_generation)?;
        let start = Instant::now();
        drop(second);
        let left = SESSION_TIMEOUT.saturating_sub(start.elapsed());
        until_within(left, "partitions of the one left", &all(), || first.owned())?;
        self.add(&topic, 60..90)?;
        self.reads("the one left", places(60..90), &[&first])
    }

    /// Records 30 to 60 are committed by both, 60 to 90 only by the one that stays.
    fn group_crash(&mut self) -> Outcome {
        let topic = self.group_topic("crash", 30)?;
        let first = Member::join(&topic, "compat-0", &topic, &Joining::default())?;
        self.reads("alone", places(0..30), &[&first])?;
        first.commit()?;
        let mut second = Killable::start(&topic, &topic)?;
        shared(|| first.owned(), || second.seen().owned)?;
        let lost = second.seen().owned;
        let of = |range: Range<usize>, theirs: bool| -> BTreeSet<Place> {
            let mut wanted = places(range);
            wanted.retain(|(partition, _)| lost.contains(partition) == theirs);
            wanted
        };
        for (range, commits) in [(30..60, 1), (60..90, 1)] {
            self.add(&topic, range.clone())?;
            self.reads("the one that stays", of(range.clone(), false), &[&first])?;
            let theirs: BTreeSet<Place> = of(30..range.end, true);
            until("read by the other", &theirs, || {
                second.seen().read.into_iter().collect()
            })?;
            first.commit()?;
            if range.start == 30 {
                second.ask_to_commit()?;
            }
            until("commits of the other", &commits, || second.seen().commits)?;
        }
        drop(second);
        until("partitions of the one left", &all(), || first.owned())?;
        self.add(&topic, 90..120)?;
        let again = &of(60..90, true) | &places(90..120);
        self.reads("after the crash", again, &[&first])
    }

    fn group_static(&mut self) -> Outcome {
        let topic = self.group_topic("static", 30)?;
        let join = |name: &str| {
            let instance = Some(format!("{topic}-{name}"));
            Member::join(
                &topic,
                name,
                &topic,
                &Joining {
                    instance,
                    ..Joining::default()
                },
            )
        };
        let (first, second) = (join("a")?, join("b")?);
        shared(|| first.owned(), || second.owned())?;
        self.reads("both", places(0..30), &[&first, &second])?;
        first.commit()?;
        second.commit()?;
        let (owned, assignments) = (second.owned(), first.assignments());
        drop(second);
        let second = join("b")?;
        until("assignment after coming back", &owned, || second.owned())?;
        self.add(&topic, 30..60)?;
        self.reads("both again", places(30..60), &[&first, &second])?;
        equal("assignments of the other", assignments, first.assignments())
    }

    fn group_seek_time(&mut self) -> Outcome {
        let topic = self.group_topic("seek", COUNT)?;
        let member = Member::join(&topic, "compat-0", &topic, &Joining::default())?;
        self.reads("all records", places(0..COUNT), &[&member])?;
        let mut asked = TopicPartitionList::new();
        for partition in all() {
            // The record with the latest timestamp stands before the middle of partition 0, and is found first.
            let wanted_ms = self.timestamp(LATEST + 31);
            asked.add_partition_offset(&topic, partition, Offset::Offset(wanted_ms))?;
        }
        let found = member.offsets_for_times(asked)?;
        let (mut offsets, mut expected) = (Vec::new(), BTreeSet::new());
        for place in found.elements() {
            member.seek(&topic, place.partition(), place.offset())?;
            let start = place.offset().to_raw().ok_or("no offset for a time")?;
            offsets.push((place.partition(), start));
            expected.extend((start..EACH).map(|offset| (place.partition(), offset)));
        }
        offsets.sort_unstable();
        equal("offsets by time", vec![(0, 50), (1, 60), (2, 60)], offsets)?;
        self.reads("after the seek", expected, &[&member])
    }

    fn group_pattern(&mut self) -> Outcome {
        let topic = self.group_topic("pattern-1", 30)?;
        let pattern = format!("^{}.*", topic.trim_end_matches('1'));
        let member = Member::join(&topic, "compat-0", &pattern, &Joining::default())?;
        self.reads("the first topic", places(0..30), &[&member])?;
        member.commit()?;
        self.group_topic("pattern-2", 30)?;
        self.reads("the topic created later", places(0..30), &[&member])
    }

    fn group_describe(&mut self) -> Outcome {
        let (topic, first, second) = self.pair("describe", false)?;
        let consumer = self.consumer();
        let listed = consumer.fetch_group_list(None, DEADLINE)?;
        let listed = listed.groups().iter().any(|group| group.name() == topic);
        equal("the group is listed", true, listed)?;
        let described = consumer.fetch_group_list(Some(&topic), DEADLINE)?;
        let group = described
            .groups()
            .first()
            .ok_or("the group is not described")?;
        equal("state", "Stable", group.state())?;
        equal("protocol's type", "consumer", group.protocol_type())?;
        require(!group.protocol().is_empty(), || {
            "the protocol has no name".to_owned()
        })?;
        let mut found: Vec<_> = group
            .members()
            .iter()
            .map(|member| {
                (
                    member.client_id().to_owned(),
                    partitions(member.assignment()),
                )
            })
            .collect();
        found.sort();
        let expected = [&first, &second].map(|member| (member.client_id.clone(), member.owned()));
        equal("members", expected.to_vec(), found)?;
        group
            .members()
            .iter()
            .try_for_each(|member| equal("host", "/127.0.0.1", member.client_host()))
    }

    fn delete_group(&self, group: &str) -> Result<(), KafkaError> {
        let mut answers = block_on(self.admin.delete_groups(&[group], &Self::options()))?;
        answers
            .remove(0)
            .map(drop)
            .map_err(|(_, code)| KafkaError::AdminOp(code))
    }

    fn group_delete(&mut self) -> Outcome {
        let topic = self.group_topic("delete", 30)?;
        let member = Member::join(&topic, "compat-0", &topic, &Joining::default())?;
        self.reads("alone", places(0..30), &[&member])?;
        member.commit()?;
        refused(
            "with a member",
            Code::NonEmptyGroup,
            self.delete_group(&topic),
        )?;
        drop(member);
        self.delete_group(&topic)?;
        refused("again", Code::GroupIdNotFound, self.delete_group(&topic))?;
        let listed = self.consumer().fetch_group_list(None, DEADLINE)?;
        let listed = listed.groups().iter().any(|group| group.name() == topic);
        equal("the group is listed", false, listed)
    }

    fn no_offset(&mut self) -> Outcome {
        let topic = self.group_topic("no-offset", 30)?;
        let how = Joining {
            no_reset: true,
            ..Joining::default()
        };
        let member = Member::join(&topic, "compat-0", &topic, &how)?;
        until("an error is seen", &true, || {
            !member.inbox().failures.is_empty()
        })?;
        equal("records read", 0, member.inbox().records.len())
    }

    /// By the older AlterConfigs, in which what is not named falls back to its default.
    fn broker_configs(&self) -> Outcome {
        let broker = self.consumer().fetch_metadata(None, DEADLINE)?.brokers()[0].id();
        let shown = || {
            let resource = ResourceSpecifier::Broker(broker);
            let mut answers =
                block_on(self.admin.describe_configs([&resource], &Self::options())).ok()?;
            let entries = answers.remove(0).ok()?.entries;
            let entry = entries
                .into_iter()
                .find(|entry| entry.name == "log.retention.ms")?;
            Some((entry.value, entry.source == ConfigSource::DynamicBroker))
        };
        let alter = |configs: &[(&str, &str)]| {
            let wanted = AlterConfig::new(ResourceSpecifier::Broker(broker));
            let wanted = configs
                .iter()
                .fold(wanted, |wanted, (key, value)| wanted.set(key, value));
            block_on(self.admin.alter_configs([&wanted], &Self::options())).map(drop)
        };
        let before = shown();
        require(before.is_some(), || {
            "log.retention.ms is not described".to_owned()
        })?;
        alter(&[("log.retention.ms", "86400000")])?;
        let set = Some((Some("86400000".to_owned()), true));
        until("log.retention.ms after altering", &set, shown)?;
        alter(&[])?;
        until("log.retention.ms after resetting", &before, shown)
    }
}

/// Waits until two members own all partitions, each some and none twice.
fn shared(first: impl Fn() -> BTreeSet<i32>, second: impl Fn() -> BTreeSet<i32>) -> Outcome {
    until(
        "all partitions, some of them with each and none with both",
        &true,
        || {
            let (first, second) = (first(), second());
            !first.is_empty()
                && !second.is_empty()
                && first.is_disjoint(&second)
                && &first | &second == all()
        },
    )
}

/// The partitions in the embedded consumer protocol's assignment: version, topics, each with its partitions.
fn partitions(assignment: Option<&[u8]>) -> BTreeSet<i32> {
    let bytes = assignment.unwrap_or_default();
    let number = |at: usize| {
        let four = bytes.get(at..at + 4)?;
        Some(i32::from_be_bytes(four.try_into().ok()?))
    };
    let length = bytes
        .get(6..8)
        .map_or(0, |two| usize::from(two[0]) << 8 | usize::from(two[1]));
    let count = number(8 + length).unwrap_or(0) as usize;
    (0..count)
        .filter_map(|i| number(12 + length + 4 * i))
        .collect()
}
