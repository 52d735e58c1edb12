//! The common list of steps (README.md one folder up) with the rdkafka crate. Its admin client has no
//! IncrementalAlterConfigs, so this is also the client that sends the older AlterConfigs.
// The rule is the broker's, whose clock is injected; this is another program.
#![allow(clippy::disallowed_methods)]

mod groups;
mod member;
#[path = "../../lib/rust/steps.rs"]
mod steps;
mod transactions;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Debug;
use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigEntry, ConfigSource, NewPartitions, NewTopic,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::Offset;

use crate::steps::{
    COUNT, DEADLINE, EACH, Fields, LATEST, Outcome, PARTITIONS, bootstrap, equal, expected_offsets,
    fields, now_ms, require, unknown_api, unsupported_version, until,
};

struct Suite {
    bootstrap: String,
    run: String,
    base_ms: i64,
    created: Vec<String>,
    admin: AdminClient<DefaultClientContext>,
    keep_going: bool,
    counts: [usize; 3],
}

fn main() -> ExitCode {
    if let [_, word, group, topic] = &env::args().collect::<Vec<_>>()[..]
        && word == "member"
    {
        return member::child(group, topic);
    }
    let bootstrap = bootstrap();
    let now_ms = now_ms();
    let mut suite = Suite {
        admin: ClientConfig::new()
            .set("bootstrap.servers", &bootstrap)
            .create()
            .expect("the settings are valid"),
        bootstrap,
        run: format!("compat-rdkafka-{now_ms:x}"),
        base_ms: now_ms - 600_000,
        created: Vec::new(),
        keep_going: env::var("KEEP_GOING").is_ok_and(|value| value == "1"),
        counts: [0; 3],
    };
    println!(
        "client rdkafka 0.39.0 (librdkafka {})",
        rdkafka::util::get_rdkafka_version().1
    );
    suite.all();
    let [passed, failed, skipped] = suite.counts;
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Suite {
    fn all(&mut self) {
        self.step("create-topic", Self::create_topic);
        self.step("describe-topic", |s| s.describe_topic());
        self.step("alter-config", |s| s.alter_config());
        self.step("create-partitions", |s| s.create_partitions());
        self.step("list-topics", |s| s.list_topics());
        for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
            self.step(&format!("produce-{codec}"), |s| {
                s.write(
                    codec,
                    &[("compression.type", codec), ("enable.idempotence", "true")],
                )
            });
            self.step(&format!("consume-{codec}"), |s| s.read(codec));
        }
        self.step("produce-acks1", |s| s.write("acks1", &[("acks", "1")]));
        self.step("consume-acks1", |s| s.read("acks1"));
        self.step("produce-acks0", |s| s.write("acks0", &[("acks", "0")]));
        self.step("consume-acks0", |s| s.read_unacknowledged());
        self.step("seek", |s| s.read_from("none", 1, 42));
        self.step("watermarks", |s| {
            (0..3).try_for_each(|p| s.ends(&s.topic("zstd"), p, (0, EACH)))
        });
        self.step("offset-earliest", |s| {
            s.offset("earliest", Offset::Beginning, Offset::Offset(0))
        });
        self.step("offset-latest", |s| {
            s.offset("latest", Offset::End, Offset::Offset(EACH))
        });
        self.step("offset-by-time", |s| s.offset_by_time());
        self.skip(
            "offset-max-timestamp",
            "the crate has no ListOffsets of the admin client",
        );
        self.step("error-unknown-topic", |s| s.unknown_topic());
        self.step("error-too-large", Self::too_large);
        self.step("error-invalid-timestamp", Self::invalid_timestamp);
        self.step("error-out-of-range", |s| s.out_of_range("none", 100_000));
        self.step("error-unsupported-version", |_| unsupported_version());
        self.step("error-unknown-api", |_| unknown_api());
        self.step("error-topic-exists", |s| {
            refused(
                "create again",
                Code::TopicAlreadyExists,
                s.create(&s.topic("main"), 1, 1, &[]),
            )
        });
        self.step("error-invalid-partitions", |s| s.invalid_partitions());
        self.step("error-invalid-replication", |s| {
            refused(
                "create with 99 replicas",
                Code::InvalidReplicationFactor,
                s.create(&s.topic("r99"), 1, 99, &[]),
            )
        });
        self.step("error-invalid-name", |s| s.invalid_name());
        self.step("error-bad-config", |s| s.bad_config());
        self.step("delete-records", |s| s.delete_records());
        self.group_steps();
        self.transaction_steps();
        self.step("delete-topics", |s| {
            s.created.iter().try_for_each(|topic| Ok(s.delete(topic)?))
        });
        self.step("error-deleted-topic", |s| s.deleted_topic());
    }

    fn step(&mut self, name: &str, body: impl FnOnce(&mut Self) -> Outcome) {
        if self.counts[1] > 0 && !self.keep_going {
            return;
        }
        match body(self) {
            Ok(()) => {
                self.counts[0] += 1;
                println!("ok {name}");
            }
            Err(wrong) => {
                self.counts[1] += 1;
                println!(
                    "FAIL {name}: {}",
                    wrong
                        .to_string()
                        .split_whitespace()
                        .collect::<Vec<_>>()
                        .join(" ")
                );
            }
        }
    }

    fn skip(&mut self, name: &str, reason: &str) {
        self.counts[2] += 1;
        println!("skip {name}: {reason}");
    }

    fn topic(&self, kind: &str) -> String {
        format!("{}-{kind}", self.run)
    }

    fn options() -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(DEADLINE))
            .operation_timeout(Some(DEADLINE))
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    // Topics

    fn create(
        &self,
        topic: &str,
        count: i32,
        replication: i32,
        configs: &[(&str, &str)],
    ) -> Result<(), KafkaError> {
        let new = NewTopic::new(topic, count, TopicReplication::Fixed(replication));
        let new = configs
            .iter()
            .fold(new, |new, (key, value)| new.set(key, value));
        one(block_on(
            self.admin.create_topics([&new], &Self::options()),
        )?)
    }

    fn make(&mut self, kind: &str, count: usize, configs: &[(&str, &str)]) -> Outcome<String> {
        let topic = self.topic(kind);
        self.created.push(topic.clone());
        self.create(&topic, count as i32, 1, configs)?;
        until("partitions of the new topic", &Ok(count), || {
            self.partition_count(&topic)
        })?;
        // The leaders serve their partitions a little after metadata names them, and acks=0 would not notice.
        let consumer = self.consumer();
        for partition in 0..count as i32 {
            let ends = || consumer.fetch_watermarks(&topic, partition, DEADLINE).ok();
            until("ends of the new partition", &Some((0, 0)), ends)?;
        }
        Ok(topic)
    }

    fn grow(&self, count: usize) -> Result<(), KafkaError> {
        let topic = self.topic("main");
        let wanted = NewPartitions::new(&topic, count);
        one(block_on(
            self.admin.create_partitions([&wanted], &Self::options()),
        )?)
    }

    fn delete(&self, topic: &str) -> Result<(), KafkaError> {
        one(block_on(
            self.admin.delete_topics(&[topic], &Self::options()),
        )?)
    }

    fn configs(&self, topic: &str) -> Result<BTreeMap<String, ConfigEntry>, KafkaError> {
        let resource = ResourceSpecifier::Topic(topic);
        let mut answers = block_on(self.admin.describe_configs([&resource], &Self::options()))?;
        let described = answers.remove(0).map_err(KafkaError::AdminOp)?;
        Ok(described
            .entries
            .into_iter()
            .map(|entry| (entry.name.clone(), entry))
            .collect())
    }

    fn set_on(&self, topic: &str) -> Result<BTreeMap<String, String>, KafkaError> {
        let on_topic = |entry: &ConfigEntry| entry.source == ConfigSource::DynamicTopic;
        let entries = self.configs(topic)?.into_values().filter(on_topic);
        Ok(entries
            .map(|entry| (entry.name, entry.value.unwrap_or_default()))
            .collect())
    }

    /// AlterConfigs: what is not named falls back to its default.
    fn alter(&self, topic: &str, configs: &[(&str, &str)]) -> Result<(), KafkaError> {
        let wanted = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let wanted = configs
            .iter()
            .fold(wanted, |wanted, (key, value)| wanted.set(key, value));
        let mut answers = block_on(self.admin.alter_configs([&wanted], &Self::options()))?;
        answers
            .remove(0)
            .map(drop)
            .map_err(|(_, code)| KafkaError::AdminOp(code))
    }

    /// Through a consumer, which asks the broker not to create the topic.
    fn partition_count(&self, topic: &str) -> Result<usize, Code> {
        let metadata = self.consumer().fetch_metadata(Some(topic), DEADLINE);
        let metadata =
            metadata.map_err(|error| error.rdkafka_error_code().unwrap_or(Code::Unknown))?;
        let described = &metadata.topics()[0];
        match described.error() {
            Some(error) => Err(error.into()),
            None => Ok(described.partitions().len()),
        }
    }

    fn listed(&self) -> Outcome<BTreeSet<String>> {
        let metadata = self.consumer().fetch_metadata(None, DEADLINE)?;
        Ok(metadata
            .topics()
            .iter()
            .map(|topic| topic.name().to_owned())
            .collect())
    }

    fn create_topic(&mut self) -> Outcome {
        let main = self.topic("main");
        self.created.push(main.clone());
        Ok(self.create(&main, PARTITIONS as i32, 1, &TOPIC_CONFIGS)?)
    }

    fn describe_topic(&self) -> Outcome {
        let main = self.topic("main");
        until("partitions", &Ok(PARTITIONS), || {
            self.partition_count(&main)
        })?;
        let metadata = self.consumer().fetch_metadata(Some(&main), DEADLINE)?;
        for (number, partition) in metadata.topics()[0].partitions().iter().enumerate() {
            equal("partition number", number as i32, partition.id())?;
            require(partition.leader() >= 0, || {
                format!("partition {number} has no leader")
            })?;
            equal("replicas", &[partition.leader()][..], partition.replicas())?;
            equal(
                "in-sync replicas",
                &[partition.leader()][..],
                partition.isr(),
            )?;
        }
        equal("configs", owned(&TOPIC_CONFIGS), self.set_on(&main)?)?;
        let configs = self.configs(&main)?;
        let segment = configs
            .get("segment.bytes")
            .ok_or("DescribeConfigs does not name segment.bytes")?;
        equal(
            "segment.bytes",
            Some("1073741824"),
            segment.value.as_deref(),
        )?;
        equal(
            "source of segment.bytes",
            &ConfigSource::Default,
            &segment.source,
        )
    }

    fn alter_config(&self) -> Outcome {
        let (main, wanted) = (
            self.topic("main"),
            [("retention.ms", "10800000"), ("cleanup.policy", "delete")],
        );
        self.alter(&main, &wanted)?;
        until("configs after altering", &Some(owned(&wanted)), || {
            self.set_on(&main).ok()
        })
    }

    fn create_partitions(&self) -> Outcome {
        self.grow(PARTITIONS + 2)?;
        until("partitions after growing", &Ok(PARTITIONS + 2), || {
            self.partition_count(&self.topic("main"))
        })
    }

    fn list_topics(&self) -> Outcome {
        let main = self.topic("main");
        until("the topic is listed", &Some(true), || {
            self.listed().ok().map(|all| all.contains(&main))
        })
    }

    // Records

    fn timestamp(&self, i: usize) -> i64 {
        self.base_ms + if i == LATEST { 5_000 } else { i as i64 }
    }

    /// The offset of each record, in the order given, or the first error.
    fn produce(
        &self,
        topic: &str,
        settings: &[(&str, &str)],
        records: &[Produced],
    ) -> Result<Vec<i64>, KafkaError> {
        let mut config = self.config();
        config.set("linger.ms", "5");
        settings.iter().for_each(|(key, value)| {
            config.set(*key, *value);
        });
        send(&config.create()?, topic, records)
    }

    fn write(&mut self, kind: &str, settings: &[(&str, &str)]) -> Outcome {
        let topic = self.make(kind, PARTITIONS, &[])?;
        let offsets = self.fill(&topic, settings, 0..COUNT)?;
        if kind == "acks0" {
            // Nobody tells the producer an offset.
            return Ok(());
        }
        equal("offsets", expected_offsets(0..COUNT), offsets)
    }

    /// Writes the records of a range to where they belong; the offsets it was told.
    fn fill(
        &self,
        topic: &str,
        settings: &[(&str, &str)],
        range: Range<usize>,
    ) -> Result<Vec<i64>, KafkaError> {
        self.produce(topic, settings, &self.records(range))
    }

    /// The records of a range, each for where it belongs.
    fn records(&self, range: Range<usize>) -> Vec<Produced> {
        let record = |i| Produced {
            partition: (i % PARTITIONS) as i32,
            timestamp: Some(self.timestamp(i)),
            fields: fields(i),
        };
        range.map(record).collect()
    }

    fn consumer(&self) -> BaseConsumer {
        self.consumer_at("read_uncommitted")
    }

    fn consumer_at(&self, isolation: &str) -> BaseConsumer {
        let mut config = self.config();
        config
            .set("group.id", &self.run)
            .set("isolation.level", isolation)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error");
        config
            .set("enable.partition.eof", "true")
            .create()
            .expect("the settings are valid")
    }

    /// All records from the given offsets to the ends of their partitions.
    fn consume(&self, topic: &str, starts: &BTreeMap<i32, i64>) -> Outcome<Vec<OwnedMessage>> {
        self.consume_with(&self.consumer(), topic, starts)
    }

    fn consume_with(
        &self,
        consumer: &BaseConsumer,
        topic: &str,
        starts: &BTreeMap<i32, i64>,
    ) -> Outcome<Vec<OwnedMessage>> {
        let mut assigned = TopicPartitionList::new();
        for (partition, start) in starts {
            assigned.add_partition_offset(topic, *partition, Offset::Offset(*start))?;
        }
        consumer.assign(&assigned)?;
        let (mut records, mut ended, end) =
            (Vec::new(), BTreeSet::new(), Instant::now() + DEADLINE);
        while ended.len() < starts.len() && Instant::now() < end {
            match consumer.poll(Duration::from_millis(200)) {
                None => {}
                Some(Ok(message)) => records.push(message.detach()),
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
                Some(Err(error)) => return Err(error.into()),
            }
        }
        Ok(records)
    }

    fn check(&self, topic: &str, starts: BTreeMap<i32, i64>) -> Outcome {
        let wanted: i64 = starts.values().map(|start| EACH - start).sum();
        let records = self.consume(topic, &starts)?;
        equal("records read", wanted as usize, records.len())?;
        self.in_order(&records, starts)
    }

    /// Each as it was written at its place, and those of a partition one after the other.
    fn in_order(&self, records: &[OwnedMessage], mut starts: BTreeMap<i32, i64>) -> Outcome {
        for record in records {
            let next = starts
                .get_mut(&record.partition())
                .ok_or("a record of a partition that was not assigned")?;
            equal("offset order", *next, record.offset())?;
            *next += 1;
            let i = record.offset() as usize * PARTITIONS + record.partition() as usize;
            equal(
                &format!("timestamp of record {i}"),
                Some(self.timestamp(i)),
                record.timestamp().to_millis(),
            )?;
            equal(
                &format!("key, value and headers of record {i}"),
                fields(i),
                fields_of(record),
            )?;
        }
        Ok(())
    }

    fn read(&self, kind: &str) -> Outcome {
        self.check(
            &self.topic(kind),
            (0..PARTITIONS as i32)
                .map(|partition| (partition, 0))
                .collect(),
        )
    }

    /// Nobody said that the records have arrived, so they may still be on their way.
    fn read_unacknowledged(&self) -> Outcome {
        let topic = self.topic("acks0");
        for partition in 0..PARTITIONS as i32 {
            let ends = || {
                self.consumer()
                    .fetch_watermarks(&topic, partition, DEADLINE)
                    .ok()
            };
            until("ends of the partition", &Some((0, EACH)), ends)?;
        }
        self.read("acks0")
    }

    fn read_from(&self, kind: &str, partition: i32, start: i64) -> Outcome {
        self.check(&self.topic(kind), [(partition, start)].into())
    }

    // Offsets

    fn ends(&self, topic: &str, partition: i32, expected: (i64, i64)) -> Outcome {
        equal(
            "ends",
            expected,
            self.consumer()
                .fetch_watermarks(topic, partition, DEADLINE)?,
        )
    }

    /// Of partition 0, which holds the record with the latest timestamp.
    fn look_up(&self, kind: &str, wanted: Offset) -> Outcome<Offset> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(&self.topic(kind), 0, wanted)?;
        let answer = self.consumer().offsets_for_times(asked, DEADLINE)?;
        let found = &answer.elements()[0];
        found.error()?;
        Ok(found.offset())
    }

    fn offset(&self, what: &str, wanted: Offset, expected: Offset) -> Outcome {
        ["none", "lz4"]
            .iter()
            .try_for_each(|kind| equal(what, expected, self.look_up(kind, wanted)?))
    }

    fn offset_by_time(&self) -> Outcome {
        let latest = LATEST / PARTITIONS;
        for kind in ["none", "gzip", "zstd"] {
            for (what, wanted_ms, expected) in [
                ("at a record's time", self.timestamp(30), Offset::Offset(10)),
                (
                    "between two records",
                    self.timestamp(30) + 1,
                    Offset::Offset(11),
                ),
                ("before all", 1, Offset::Offset(0)),
                (
                    "of the latest time",
                    self.timestamp(LATEST),
                    Offset::Offset(latest as i64),
                ),
                // The broker's -1, which librdkafka reads as the end.
                ("after all", self.timestamp(LATEST) + 1, Offset::End),
            ] {
                equal(
                    what,
                    expected,
                    self.look_up(kind, Offset::Offset(wanted_ms))?,
                )?;
            }
        }
        Ok(())
    }

    // Errors

    fn unknown_topic(&self) -> Outcome {
        let unknown = self.topic("unknown");
        equal(
            "describe",
            Err(Code::UnknownTopicOrPartition),
            self.partition_count(&unknown),
        )?;
        refused(
            "delete",
            Code::UnknownTopicOrPartition,
            self.delete(&unknown),
        )?;
        // The crate drops the error code of DescribeConfigs; a topic that exists has configs.
        equal("configs", BTreeMap::new(), self.set_on(&unknown)?)?;
        equal(
            "describe after looking",
            Err(Code::UnknownTopicOrPartition),
            self.partition_count(&unknown),
        )
    }

    fn too_large(&mut self) -> Outcome {
        let topic = self.make("small", 1, &[("max.message.bytes", "10000")])?;
        refused(
            "20,000 bytes",
            Code::MessageSizeTooLarge,
            self.produce(&topic, &[], &[Produced::of(20_000, None)]),
        )?;
        equal(
            "offset of the next record",
            vec![0],
            self.produce(&topic, &[], &[Produced::of(5_000, None)])?,
        )
    }

    fn invalid_timestamp(&mut self) -> Outcome {
        let bounds = [
            ("message.timestamp.before.max.ms", "60000"),
            ("message.timestamp.after.max.ms", "60000"),
        ];
        let topic = self.make("bounded", 1, &bounds)?;
        for distance_ms in [-3_600_000, 3_600_000] {
            let record = Produced::of(1, Some(now_ms() + distance_ms));
            let what = format!("timestamp {distance_ms} ms from now");
            refused(
                &what,
                Code::InvalidTimestamp,
                self.produce(&topic, &[], &[record]),
            )?;
        }
        let record = Produced::of(1, Some(now_ms()));
        equal(
            "offset of a record in time",
            vec![0],
            self.produce(&topic, &[], &[record])?,
        )
    }

    fn out_of_range(&self, kind: &str, offset: i64) -> Outcome {
        let read = self.consume(&self.topic(kind), &[(0, offset)].into());
        let code = read
            .as_ref()
            .err()
            .and_then(|error| error.downcast_ref::<KafkaError>()?.rdkafka_error_code());
        // librdkafka's own code for "out of range, and no reset to fall back on".
        equal("reading out of range", Some(Code::AutoOffsetReset), code)
    }

    fn invalid_partitions(&self) -> Outcome {
        // librdkafka itself refuses to ask for 0 partitions; growing by too little is left to the broker.
        [1, PARTITIONS + 2].iter().try_for_each(|count| {
            refused(
                &format!("grow to {count}"),
                Code::InvalidPartitions,
                self.grow(*count),
            )
        })
    }

    fn invalid_name(&self) -> Outcome {
        ["a b", "ä", &"x".repeat(250)].iter().try_for_each(|name| {
            refused(
                &format!("create {name}"),
                Code::InvalidTopic,
                self.create(name, 1, 1, &[]),
            )
        })
    }

    fn bad_config(&self) -> Outcome {
        for bad in [
            ("retention.ms", "soon"),
            ("cleanup.policy", "burn"),
            ("no.such.config", "1"),
            ("compression.type", "rar"),
            ("min.insync.replicas", "0"),
        ] {
            let create = self.create(&self.topic("bad"), 1, 1, &[bad]);
            refused(&format!("create with {bad:?}"), Code::InvalidConfig, create)?;
            // The crate drops the error code of AlterConfigs: the refusal shows in what has not changed.
            let main = self.topic("main");
            let before = self.set_on(&main)?;
            self.alter(&main, &[bad])?;
            equal(
                &format!("configs after trying {bad:?}"),
                before,
                self.set_on(&main)?,
            )?;
        }
        Ok(())
    }

    // Deleting

    fn delete_before(&self, topic: &str, before: i64) -> Result<(), KafkaError> {
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition_offset(topic, 0, Offset::Offset(before))?;
        let answer = block_on(self.admin.delete_records(&wanted, &Self::options()))?;
        answer.elements()[0].error()
    }

    fn delete_records(&self) -> Outcome {
        let topic = self.topic("none");
        self.delete_before(&topic, 20)?;
        self.ends(&topic, 0, (20, EACH))?;
        self.out_of_range("none", 19)?;
        self.read_from("none", 0, 20)?;
        refused(
            "delete beyond the end",
            Code::OffsetOutOfRange,
            self.delete_before(&topic, 100_000),
        )
    }

    fn deleted_topic(&self) -> Outcome {
        let gone = Err(Code::UnknownTopicOrPartition);
        until("describing a deleted topic", &gone, || {
            self.partition_count(&self.topic("main"))
        })?;
        let left = self
            .listed()?
            .into_iter()
            .filter(|topic| topic.starts_with(&self.run))
            .collect::<Vec<_>>();
        equal("topics left", Vec::<String>::new(), left)
    }
}

const TOPIC_CONFIGS: [(&str, &str); 3] = [
    ("retention.ms", "7200000"),
    ("max.message.bytes", "200000"),
    ("cleanup.policy", "delete"),
];

struct Produced {
    partition: i32,
    timestamp: Option<i64>,
    fields: Fields,
}

impl Produced {
    /// A record whose value no codec makes smaller.
    fn of(size: usize, timestamp: Option<i64>) -> Produced {
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        });
        Produced {
            partition: 0,
            timestamp,
            fields: (None, Some(noise.take(size).collect()), Vec::new()),
        }
    }

    fn headers(&self) -> OwnedHeaders {
        let insert = |all: OwnedHeaders, (key, value): &(String, Option<Vec<u8>>)| {
            all.insert(Header {
                key,
                value: value.as_ref(),
            })
        };
        self.fields.2.iter().fold(OwnedHeaders::new(), insert)
    }
}

fn fields_of(record: &OwnedMessage) -> Fields {
    let headers = record.headers().map(|headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect()
    });
    (
        record.key().map(<[u8]>::to_vec),
        record.payload().map(<[u8]>::to_vec),
        headers.unwrap_or_default(),
    )
}

/// Waits for all; the offset of each record, in the order given, or the first error.
fn send(
    producer: &FutureProducer,
    topic: &str,
    records: &[Produced],
) -> Result<Vec<i64>, KafkaError> {
    let mut sent = Vec::new();
    for record in records {
        let delivery = producer.send_result(FutureRecord {
            topic,
            partition: Some(record.partition),
            payload: record.fields.1.as_ref(),
            key: record.fields.0.as_ref(),
            timestamp: record.timestamp,
            headers: Some(record.headers()),
        });
        sent.push(delivery.map_err(|(error, _)| error)?);
    }
    let delivered = sent.into_iter().map(|delivery| match block_on(delivery) {
        Ok(Ok(delivery)) => Ok(delivery.offset),
        Ok(Err((error, _))) => Err(error),
        Err(_) => Err(KafkaError::Canceled),
    });
    delivered.collect()
}

fn owned(configs: &[(&str, &str)]) -> BTreeMap<String, String> {
    configs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// The crate's own look-up leaves out what admin calls answer.
fn code(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

/// The one result of an admin call about one topic.
fn one(mut answers: Vec<Result<String, (String, Code)>>) -> Result<(), KafkaError> {
    answers
        .remove(0)
        .map(drop)
        .map_err(|(_, code)| KafkaError::AdminOp(code))
}

fn refused<T: Debug>(what: &str, expected: Code, result: Result<T, KafkaError>) -> Outcome {
    match result {
        Ok(value) => Err(format!("{what}: expected {expected:?}, got success {value:?}").into()),
        Err(error) => equal(&format!("{what}: error code"), Some(expected), code(&error)),
    }
}
