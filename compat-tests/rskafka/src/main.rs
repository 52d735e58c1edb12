//! The common list of steps (README.md one folder up) with the rskafka crate: the log, without configs and groups.
// The rule is the broker's, whose clock is injected; this is another program.
#![allow(clippy::disallowed_methods)]

#[path = "../../lib/rust/steps.rs"]
mod steps;

use std::env;
use std::future::Future;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rskafka::client::error::{Error as ClientError, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;
use tokio::runtime::Runtime;

use crate::steps::{
    COUNT, DEADLINE, EACH, LATEST, Outcome, PARTITIONS, bootstrap, equal, expected_offsets, fields,
    now_ms, require, unknown_api, unsupported_version,
};

const DEADLINE_MS: i32 = DEADLINE.as_millis() as i32;
const CODECS: [(&str, Compression); 5] = [
    ("none", Compression::NoCompression),
    ("gzip", Compression::Gzip),
    ("snappy", Compression::Snappy),
    ("lz4", Compression::Lz4),
    ("zstd", Compression::Zstd),
];

struct Suite {
    runtime: Runtime,
    client: Client,
    run: String,
    base_ms: i64,
    created: Vec<String>,
    keep_going: bool,
    counts: [usize; 3],
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let servers = bootstrap().split(',').map(str::to_owned).collect();
    let client = runtime.block_on(
        ClientBuilder::new(servers)
            .client_id("compat-rskafka")
            .build(),
    );
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            eprintln!("no client: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut suite = Suite {
        runtime,
        client,
        run: format!("compat-rskafka-{:x}", now_ms()),
        base_ms: now_ms() - 600_000,
        created: Vec::new(),
        keep_going: env::var("KEEP_GOING").is_ok_and(|value| value == "1"),
        counts: [0; 3],
    };
    println!("client rskafka 0.6.0");
    suite.all();
    let [passed, failed, skipped] = suite.counts;
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    ExitCode::from(u8::from(failed > 0))
}

impl Suite {
    fn all(&mut self) {
        self.step("create-topic", |s| s.make("main").map(drop));
        for name in ["describe-topic", "alter-config", "create-partitions"] {
            self.skip(
                name,
                "the crate names topics and partition numbers, and nothing else",
            );
        }
        self.step("list-topics", |s| s.until_listed("main", true));
        for (name, codec) in CODECS {
            self.step(&format!("produce-{name}"), |s| s.write(name, codec));
            self.step(&format!("consume-{name}"), |s| {
                (0..3).try_for_each(|p| s.read(name, p, 0))
            });
        }
        for name in [
            "produce-acks1",
            "consume-acks1",
            "produce-acks0",
            "consume-acks0",
        ] {
            self.skip(name, "the crate writes with acks=all only");
        }
        self.step("seek", |s| s.read("none", 1, 42));
        self.step("watermarks", |s| {
            (0..3).try_for_each(|p| s.ends("zstd", p, 0, EACH))
        });
        self.step("offset-earliest", |s| {
            s.offset("lz4", OffsetAt::Earliest, 0)
        });
        self.step("offset-latest", |s| s.offset("lz4", OffsetAt::Latest, EACH));
        self.step("offset-by-time", |s| s.offset_by_time());
        self.skip("offset-max-timestamp", "the crate has no name for it");
        self.step("error-unknown-topic", |s| s.unknown_topic());
        self.step("error-too-large", Self::too_large);
        self.step("error-invalid-timestamp", Self::invalid_timestamp);
        self.step("error-out-of-range", |s| {
            let read = s.fetch("none", 0, 100_000).map(drop);
            refused("read at 100000", ProtocolError::OffsetOutOfRange, read)
        });
        self.step("error-unsupported-version", |_| unsupported_version());
        self.step("error-unknown-api", |_| unknown_api());
        self.step("error-topic-exists", |s| {
            let again = s.create(&s.topic("main"), 3, 1);
            refused("create again", ProtocolError::TopicAlreadyExists, again)
        });
        self.step("error-invalid-partitions", |s| {
            let none = s.create(&s.topic("p0"), 0, 1);
            refused(
                "create with no partitions",
                ProtocolError::InvalidPartitions,
                none,
            )
        });
        self.step("error-invalid-replication", |s| {
            let many = s.create(&s.topic("r99"), 1, 99);
            refused(
                "create with 99 replicas",
                ProtocolError::InvalidReplicationFactor,
                many,
            )
        });
        self.step("error-invalid-name", |s| {
            ["a b", "ä", &"x".repeat(250)].iter().try_for_each(|name| {
                let create = s.create(name, 1, 1);
                refused(
                    &format!("create {name}"),
                    ProtocolError::InvalidTopicException,
                    create,
                )
            })
        });
        self.skip("error-bad-config", "the crate has no configs");
        self.step("delete-records", |s| s.delete_records());
        self.step("delete-topics", |s| {
            s.created.iter().try_for_each(|topic| Ok(s.delete(topic)?))
        });
        self.step("error-deleted-topic", |s| s.until_listed("main", false));
        for name in [
            "group-consume",
            "group-resume",
            "group-commit-metadata",
            "group-join",
            "group-leave",
            "group-crash",
            "group-static",
            "group-seek-time",
            "group-pattern",
            "group-describe",
            "group-alter-offsets",
            "group-delete-offsets",
            "group-delete",
            "error-no-offset",
            "error-fenced-member",
            "group-next-generation",
        ] {
            self.skip(name, "the crate has no groups");
        }
        for name in [
            "admin-log-dirs",
            "admin-list-offsets",
            "admin-configs",
            "admin-quotas",
        ] {
            self.skip(name, "the crate's admin side is topics only");
        }
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
                let words: Vec<_> = wrong
                    .to_string()
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect();
                println!("FAIL {name}: {}", words.join(" "));
            }
        }
    }

    fn skip(&mut self, name: &str, reason: &str) {
        self.counts[2] += 1;
        println!("skip {name}: {reason}");
    }

    /// Runs a call to its end; the crate itself would try for ever.
    fn call<T>(
        &self,
        call: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        self.runtime.block_on(async {
            tokio::time::timeout(DEADLINE, call)
                .await
                .unwrap_or_else(|_| Err(ClientError::InvalidResponse("nothing in 30 s".to_owned())))
        })
    }

    // Topics

    fn topic(&self, kind: &str) -> String {
        format!("{}-{kind}", self.run)
    }

    fn create(&self, topic: &str, partitions: i32, replicas: i16) -> Result<(), ClientError> {
        let controller = self.client.controller_client()?;
        self.call(controller.create_topic(topic, partitions, replicas, DEADLINE_MS))
    }

    fn delete(&self, topic: &str) -> Result<(), ClientError> {
        let controller = self.client.controller_client()?;
        self.call(controller.delete_topic(topic, DEADLINE_MS))
    }

    fn make(&mut self, kind: &str) -> Outcome<String> {
        let topic = self.topic(kind);
        self.created.push(topic.clone());
        self.create(&topic, PARTITIONS as i32, 1)?;
        self.until_listed(kind, true)?;
        Ok(topic)
    }

    fn until_listed(&self, kind: &str, expected: bool) -> Outcome {
        let (topic, end) = (self.topic(kind), Instant::now() + DEADLINE);
        loop {
            let topics = self.call(self.client.list_topics())?;
            let found = topics.iter().find(|other| other.name == topic);
            if found.is_some() == expected {
                return found.map_or(Ok(()), |found| {
                    equal("partitions", PARTITIONS, found.partitions.len())
                });
            }
            require(Instant::now() < end, || {
                format!("{topic}: listed {}", !expected)
            })?;
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    // Records

    fn partition(&self, kind: &str, partition: i32) -> Result<PartitionClient, ClientError> {
        let topic = self.topic(kind);
        self.call(
            self.client
                .partition_client(topic, partition, UnknownTopicHandling::Retry),
        )
    }

    fn timestamp(&self, i: usize) -> i64 {
        self.base_ms + if i == LATEST { 5_000 } else { i as i64 }
    }

    /// Record `i`, with those of its headers that the crate can carry: no name twice, no null.
    fn record(&self, i: usize) -> Record {
        let (key, value, headers) = fields(i);
        let headers = headers
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        Record {
            key,
            value,
            headers: headers.collect(),
            timestamp: time(self.timestamp(i)),
        }
    }

    fn write(&mut self, kind: &str, codec: Compression) -> Outcome {
        self.make(kind)?;
        for partition in 0..PARTITIONS {
            let client = self.partition(kind, partition as i32)?;
            let records = (partition..COUNT)
                .step_by(PARTITIONS)
                .map(|i| self.record(i))
                .collect();
            let offsets = self.call(client.produce(records, codec))?;
            let all = expected_offsets(0..COUNT);
            let expected = all
                .into_iter()
                .skip(partition)
                .step_by(PARTITIONS)
                .collect();
            equal("offsets", expected, offsets)?;
        }
        Ok(())
    }

    /// What one fetch brings from an offset on; the crate also hands out what stands before it in the batch.
    fn fetch(
        &self,
        kind: &str,
        partition: i32,
        start: i64,
    ) -> Result<Vec<(i64, Record)>, ClientError> {
        let client = self.partition(kind, partition)?;
        let (records, _) = self.call(client.fetch_records(start, 1..1_000_000, 200))?;
        let records = records
            .into_iter()
            .map(|found| (found.offset, found.record));
        Ok(records.filter(|(offset, _)| *offset >= start).collect())
    }

    fn read(&self, kind: &str, partition: i32, start: i64) -> Outcome {
        let mut next = start;
        while next < EACH {
            let records = self.fetch(kind, partition, next)?;
            require(!records.is_empty(), || format!("nothing at offset {next}"))?;
            for (offset, record) in records {
                equal("offset order", next, offset)?;
                let i = offset as usize * PARTITIONS + partition as usize;
                equal(&format!("record {i}"), self.record(i), record)?;
                next += 1;
            }
        }
        equal("end", EACH, next)
    }

    // Offsets

    fn ends(&self, kind: &str, partition: i32, low: i64, high: i64) -> Outcome {
        let client = self.partition(kind, partition)?;
        let start = self.call(client.get_offset(OffsetAt::Earliest))?;
        let end = self.call(client.get_offset(OffsetAt::Latest))?;
        equal("ends", (low, high), (start, end))
    }

    /// Of partition 0, which holds the record with the latest timestamp.
    fn offset(&self, kind: &str, at: OffsetAt, expected: i64) -> Outcome {
        let client = self.partition(kind, 0)?;
        equal(
            &format!("offset at {at:?}"),
            expected,
            self.call(client.get_offset(at))?,
        )
    }

    fn offset_by_time(&self) -> Outcome {
        for kind in ["none", "gzip", "zstd"] {
            for (wanted_ms, expected) in [
                (self.timestamp(30), 10),
                (self.timestamp(30) + 1, 11),
                (1, 0),
                (self.timestamp(LATEST), (LATEST / PARTITIONS) as i64),
                (self.timestamp(LATEST) + 1, -1),
            ] {
                self.offset(kind, OffsetAt::Timestamp(time(wanted_ms)), expected)?;
            }
        }
        Ok(())
    }

    // Errors

    /// Asking by name is left out: the crate asks by versions of Metadata that have the broker create what it does not know.
    fn unknown_topic(&self) -> Outcome {
        let unknown = self.topic("unknown");
        let delete = self.delete(&unknown);
        refused("delete", ProtocolError::UnknownTopicOrPartition, delete)?;
        self.until_listed("unknown", false)
    }

    fn one(&self, kind: &str, size: usize, at_ms: i64) -> Result<Vec<i64>, ClientError> {
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        });
        let value = Some(noise.take(size).collect());
        let record = Record {
            key: None,
            value,
            headers: Default::default(),
            timestamp: time(at_ms),
        };
        let client = self.partition(kind, 0)?;
        self.call(client.produce(vec![record], Compression::NoCompression))
    }

    /// The bound is the broker's own, 1,048,588 bytes.
    fn too_large(&mut self) -> Outcome {
        self.make("small")?;
        let large = self.one("small", 1_100_000, now_ms());
        refused("1,100,000 bytes", ProtocolError::MessageTooLarge, large)?;
        equal(
            "offset of the next record",
            vec![0],
            self.one("small", 1_000_000, now_ms())?,
        )
    }

    /// The bound is the broker's own, an hour ahead.
    fn invalid_timestamp(&mut self) -> Outcome {
        self.make("bounded")?;
        let ahead = self.one("bounded", 1, now_ms() + 7_200_000);
        refused("in two hours", ProtocolError::InvalidTimestamp, ahead)?;
        equal(
            "offset of a record in time",
            vec![0],
            self.one("bounded", 1, now_ms())?,
        )
    }

    fn delete_records(&self) -> Outcome {
        let client = self.partition("none", 0)?;
        self.call(client.delete_records(20, DEADLINE_MS))?;
        self.ends("none", 0, 20, EACH)?;
        let below = self.fetch("none", 0, 19).map(drop);
        refused(
            "read below the start",
            ProtocolError::OffsetOutOfRange,
            below,
        )?;
        self.read("none", 0, 20)?;
        let beyond = self.call(client.delete_records(100_000, DEADLINE_MS));
        refused(
            "delete beyond the end",
            ProtocolError::OffsetOutOfRange,
            beyond,
        )
    }
}

fn time(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

fn refused<T>(what: &str, expected: ProtocolError, result: Result<T, ClientError>) -> Outcome {
    match result {
        Ok(_) => Err(format!("{what}: expected {expected:?}, got success").into()),
        Err(ClientError::ServerError { protocol_error, .. }) => {
            equal(what, expected, protocol_error)
        }
        Err(other) => Err(format!("{what}: expected {expected:?}, got {other}").into()),
    }
}
