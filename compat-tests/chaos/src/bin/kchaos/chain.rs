//! `kchaos chain`: one instance of a chain that reads, transforms and writes exactly once, as librdkafka's users build it: a
//! group consumer, a transactional producer, and the offsets sent along with the records.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kcheck::history::{Op, Outcome, Record, Records, Value};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{DeliveryResult, Message, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionListElem};
use rdkafka::{ClientContext, TopicPartitionList};

use crate::flags::Flags;
use crate::journal::{Begun, Journal, Told, now_us, until};
use crate::payload;

const TIMEOUT: Duration = Duration::from_secs(20);

/// (topic, partition)
type Place = (String, i32);

/// When the call under way has hung for too long, in microseconds; 0 without one.
static HANGS_FROM_US: AtomicU64 = AtomicU64::new(0);
/// Three times what the coordinator gives a transaction.
const HANGS_AFTER_US: u64 = 45_000_000;

/// A transaction under way. librdkafka's send_offsets_to_transaction may wait for ever for a coordinator that is gone, whatever its
/// time-out (its issues 5456 and 5511): then only a new process goes on.
struct Watched;

impl Watched {
    fn from_now() -> Watched {
        HANGS_FROM_US.store(now_us() + HANGS_AFTER_US, Ordering::Relaxed);
        Watched
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        HANGS_FROM_US.store(0, Ordering::Relaxed);
    }
}

/// Ends the process once it hangs, as a kill would: what it was at was never asked to be committed.
fn watch() {
    loop {
        thread::sleep(Duration::from_millis(500));
        let from_us = HANGS_FROM_US.load(Ordering::Relaxed);
        if from_us != 0 && now_us() > from_us {
            eprintln!("librdkafka hangs: starting anew");
            std::process::exit(3);
        }
    }
}

/// Notices that partitions came or went: what was read of those that went is not this instance's any more, and those that came
/// start at what is committed.
#[derive(Default)]
struct Assignment {
    changes: Mutex<Changes>,
}

#[derive(Default)]
struct Changes {
    came: Vec<Place>,
    went: Vec<Place>,
}

impl ClientContext for Assignment {}

impl ConsumerContext for Assignment {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Ok(mut changes) = self.changes.lock() else {
            return;
        };
        let places = |list: &TopicPartitionList| -> Vec<Place> {
            let place = |at: &TopicPartitionListElem<'_>| (at.topic().to_owned(), at.partition());
            list.elements().iter().map(place).collect()
        };
        match rebalance {
            Rebalance::Assign(list) => changes.came.extend(places(list)),
            Rebalance::Revoke(list) => changes.went.extend(places(list)),
            Rebalance::Error(_) => {}
        }
    }
}

/// Takes down where each record of the transaction is.
#[derive(Default)]
struct Deliveries {
    offsets: Mutex<BTreeMap<usize, i64>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, index: Box<usize>) {
        if let (Ok(message), Ok(mut offsets)) = (result, self.offsets.lock()) {
            offsets.insert(*index, message.offset());
        }
    }
}

struct Instance {
    consumer: BaseConsumer<Assignment>,
    producer: BaseProducer<Deliveries>,
    journal: Journal,
    id: String,
    group: String,
    output: String,
    outputs: i32,
    batch: usize,
    writer: u32,
    sequence: u32,
    /// Commits its offsets after the transaction and not in it: what the checker must find.
    sloppy: bool,
}

/// `--bootstrap --history --name --id --group --input --output --outputs --writer [--batch 300] [--protocol classic|consumer] [--sloppy true]`. Goes on until it is killed; ends
/// with exit code 3 when only a new start can help, as after a fatal error of the producer.
pub(crate) fn run(flags: &Flags) -> Result<ExitCode> {
    thread::spawn(watch);
    let mut instance = Instance::new(flags)?;
    match instance.work() {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("{}: starting anew: {error:#}", flags.text("name")?);
            Ok(ExitCode::from(3))
        }
    }
}

impl Instance {
    fn new(flags: &Flags) -> Result<Instance> {
        let (bootstrap, group) = (flags.text("bootstrap")?, flags.text("group")?);
        let client = |extra: &[(&str, &str)]| {
            let mut config = ClientConfig::new();
            config
                .set("bootstrap.servers", bootstrap)
                .set("client.id", flags.text("name")?);
            // Whoever does not answer is asked no longer than by the clients that do it by hand.
            config
                .set(
                    "socket.timeout.ms",
                    flags.or("timeout-ms", "60000".to_owned())?,
                )
                .set("reconnect.backoff.max.ms", "250")
                .set("log_level", "0");
            for (key, value) in extra {
                config.set(*key, *value);
            }
            anyhow::Ok(config)
        };
        let mut consumer = client(&[
            ("group.id", group),
            ("isolation.level", "read_committed"),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
            ("fetch.wait.max.ms", "50"),
        ])?;
        match flags.or("protocol", "classic".to_owned())?.as_str() {
            // The broker says how long its sessions are.
            "consumer" => consumer.set("group.protocol", "consumer"),
            _ => consumer
                .set("session.timeout.ms", "3000")
                .set("heartbeat.interval.ms", "500"),
        };
        let producer = client(&[
            ("transactional.id", flags.text("id")?),
            ("transaction.timeout.ms", "15000"),
            ("linger.ms", "2"),
            ("compression.type", "lz4"),
        ])?;
        let consumer: BaseConsumer<_> = consumer.create_with_context(Assignment::default())?;
        consumer.subscribe(&[flags.text("input")?])?;
        Ok(Instance {
            consumer,
            producer: producer.create_with_context(Deliveries::default())?,
            journal: Journal::open(flags.text("history")?, flags.text("name")?)?,
            id: flags.text("id")?.to_owned(),
            group: group.to_owned(),
            output: flags.text("output")?.to_owned(),
            outputs: flags.get("outputs")?,
            batch: flags.or("batch", 300)?,
            writer: flags.get("writer")?,
            sequence: 0,
            sloppy: flags.or("sloppy", false)?,
        })
    }

    fn work(&mut self) -> Result<()> {
        let id = self.id.clone();
        let begun = self
            .journal
            .begin(Outcome::Info, Op::Init { id, producer: None })?;
        patiently(|| self.producer.init_transactions(TIMEOUT)).context("init")?;
        self.journal.end(begun, Outcome::Ok, Told::new())?;
        loop {
            let read = self.read()?;
            if !read.is_empty() {
                self.transaction(&read)?;
            }
        }
    }

    /// Some records of partitions that are this instance's when it returns.
    fn read(&mut self) -> Result<Vec<OwnedMessage>> {
        let mut read: Vec<OwnedMessage> = Vec::new();
        let end_us = now_us() + 100_000;
        while read.len() < self.batch && now_us() < end_us {
            let polled = self.consumer.poll(until(end_us));
            let message = match polled {
                Some(Ok(message)) => Some(message.detach()),
                // librdkafka goes on by itself, or says that it cannot.
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => bail!("consumer: {code}"),
                Some(Err(_)) | None => None,
            };
            // Whatever changed did so before this message: librdkafka drops what it had of partitions that went.
            let changes = self
                .consumer
                .context()
                .changes
                .lock()
                .map(|mut changes| std::mem::take(&mut *changes));
            let changes = changes.unwrap_or_default();
            read.retain(|message| {
                let is = |(topic, partition): &Place| {
                    topic == message.topic() && *partition == message.partition()
                };
                !changes.went.iter().any(is)
            });
            let places = changes.went.iter().chain(&changes.came);
            let partitions: Vec<String> = places
                .map(|(topic, partition)| format!("{topic}-{partition}"))
                .collect();
            if !partitions.is_empty() {
                let partitions = Some(partitions);
                self.journal.whole(now_us(), Op::Assign { partitions })?;
            }
            read.extend(message);
        }
        Ok(read)
    }

    fn transaction(&mut self, read: &[OwnedMessage]) -> Result<()> {
        let mut polls = Records::new();
        let mut sends: BTreeMap<i32, Vec<(Value, Value)>> = BTreeMap::new();
        let mut next = BTreeMap::new();
        for message in read {
            let value = payload::value(message.payload());
            let place = format!("{}-{}", message.topic(), message.partition());
            let record = Record::plain(Some(message.offset()), value);
            polls.entry(place).or_default().push(record);
            next.insert((message.topic(), message.partition()), message.offset() + 1);
            self.sequence += 1;
            let made = Value {
                writer: self.writer,
                sequence: self.sequence,
            };
            let partition = (value.sequence % self.outputs as u32) as i32;
            sends.entry(partition).or_default().push((made, value));
        }
        let op = Op::Txn {
            id: self.id.clone(),
            producer: None,
            group: Some(self.group.clone()),
            polls,
            sends: self.planned(&sends),
        };
        let begun = self.journal.begin(Outcome::Fail, op)?;
        let _watched = Watched::from_now();
        self.producer.begin_transaction()?;
        if let Err(error) = self.write(&sends, &next) {
            return self.abort(begun, read, &error);
        }
        self.journal.amend(begun, Outcome::Info)?;
        // Whatever this fails with, the commit may have been decided: only a new session can know.
        patiently(|| self.producer.commit_transaction(TIMEOUT)).context("commit")?;
        let told = self.told(&sends);
        self.journal.end(begun, Outcome::Ok, told)?;
        if self.sloppy {
            thread::sleep(Duration::from_millis(100));
            // Refused if the group has gone on without this instance.
            let _ = self.consumer.commit(&offsets(&next)?, CommitMode::Sync);
        }
        Ok(())
    }

    fn planned(&self, sends: &BTreeMap<i32, Vec<(Value, Value)>>) -> Records {
        let record = |(made, _): &(Value, Value)| Record::plain(None, *made);
        let of = |(partition, values): (&i32, &Vec<_>)| {
            (
                format!("{}-{partition}", self.output),
                values.iter().map(record).collect(),
            )
        };
        sends.iter().map(of).collect()
    }

    fn told(&self, sends: &BTreeMap<i32, Vec<(Value, Value)>>) -> Told {
        let Ok(offsets) = self.producer.context().offsets.lock() else {
            return Told::new();
        };
        let mut index = 0..;
        let mut told = Told::new();
        for (partition, values) in sends {
            let of = index
                .by_ref()
                .take(values.len())
                .map(|index: usize| offsets.get(&index).copied());
            told.insert(format!("{}-{partition}", self.output), of.collect());
        }
        told
    }

    /// Everything but the end of the transaction.
    fn write(
        &self,
        sends: &BTreeMap<i32, Vec<(Value, Value)>>,
        next: &BTreeMap<(&str, i32), i64>,
    ) -> Result<()> {
        if let Ok(mut offsets) = self.producer.context().offsets.lock() {
            offsets.clear();
        }
        let mut index = 0;
        for (partition, values) in sends {
            for (made, source) in values {
                self.send(*partition, *made, *source, index)?;
                index += 1;
            }
        }
        self.producer.flush(TIMEOUT).context("flush")?;
        if self.sloppy {
            return Ok(());
        }
        let offsets = offsets(next)?;
        let group = self
            .consumer
            .group_metadata()
            .context("the consumer is in no group")?;
        let send = || {
            self.producer
                .send_offsets_to_transaction(&offsets, &group, TIMEOUT)
        };
        patiently(send).context("offsets")
    }

    fn send(&self, partition: i32, made: Value, source: Value, index: usize) -> Result<()> {
        let (payload, key) = (payload::bytes(made), source.to_string());
        let mut record = BaseRecord::with_opaque_to(&self.output, Box::new(index))
            .partition(partition)
            .key(&key)
            .payload(&payload);
        let end_us = now_us() + TIMEOUT.as_micros() as u64;
        loop {
            let Err((error, back)) = self.producer.send(record) else {
                self.producer.poll(Duration::ZERO);
                return Ok(());
            };
            let full =
                error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::QueueFull);
            if !full || now_us() > end_us {
                return Err(error).context("send");
            }
            self.producer.poll(Duration::from_millis(10));
            record = back;
        }
    }

    /// Surely without effect, for its end was never asked for; what it read is read again.
    fn abort(
        &mut self,
        begun: Begun,
        read: &[OwnedMessage],
        because: &anyhow::Error,
    ) -> Result<()> {
        eprintln!("{}: aborting: {because:#}", self.id);
        patiently(|| self.producer.abort_transaction(TIMEOUT)).context("abort")?;
        self.journal.end(begun, Outcome::Fail, Told::new())?;
        self.journal
            .whole(now_us(), Op::Assign { partitions: None })?;
        let mut first: BTreeMap<(&str, i32), i64> = BTreeMap::new();
        for message in read {
            first
                .entry((message.topic(), message.partition()))
                .or_insert(message.offset());
        }
        let assigned = self.consumer.assignment()?;
        for ((topic, partition), offset) in first {
            // Those that went meanwhile are read again by whoever has them.
            if assigned.find_partition(topic, partition).is_some() {
                let seek = || {
                    self.consumer
                        .seek(topic, partition, Offset::Offset(offset), TIMEOUT)
                };
                patiently(seek).context("seek")?;
            }
        }
        Ok(())
    }
}

fn offsets(next: &BTreeMap<(&str, i32), i64>) -> Result<TopicPartitionList> {
    let mut offsets = TopicPartitionList::new();
    for ((topic, partition), offset) in next {
        offsets.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    Ok(offsets)
}

/// Repeats what librdkafka calls retriable for a minute.
fn patiently<T>(mut attempt: impl FnMut() -> KafkaResult<T>) -> KafkaResult<T> {
    let end_us = now_us() + 60_000_000;
    loop {
        match attempt() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && now_us() < end_us => {}
            done => return done,
        }
        thread::sleep(Duration::from_millis(50));
    }
}
