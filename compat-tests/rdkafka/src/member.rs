//! Members of groups: in this process, each polled by a thread of its own, and one in a process that can be killed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer, ConsumerContext, ConsumerGroupMetadata, Rebalance,
};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientContext, TopicPartitionList};

use crate::steps::{DEADLINE, Outcome, bootstrap};

pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// What a member does beyond reading its topic from the start.
#[derive(Clone, Default)]
pub(crate) struct Joining {
    pub(crate) instance: Option<String>,
    pub(crate) next_generation: bool,
    pub(crate) no_reset: bool,
}

/// The crate shows no generation: how often a member was given partitions stands for it.
#[derive(Default)]
pub(crate) struct Counting(AtomicUsize);

impl ClientContext for Counting {}

impl ConsumerContext for Counting {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if matches!(rebalance, Rebalance::Assign(_)) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) records: Vec<OwnedMessage>,
    pub(crate) failures: Vec<KafkaError>,
    read: Vec<(String, i32, i64)>,
}

pub(crate) struct Member {
    pub(crate) client_id: String,
    consumer: Arc<BaseConsumer<Counting>>,
    inbox: Arc<Mutex<Inbox>>,
    stop: Arc<AtomicBool>,
    polling: Option<JoinHandle<()>>,
}

impl Member {
    pub(crate) fn join(
        group: &str,
        client_id: &str,
        topic: &str,
        how: &Joining,
    ) -> Outcome<Member> {
        let consumer = Arc::new(consumer(group, client_id, how)?);
        consumer.subscribe(&[topic])?;
        let (inbox, stop) = (
            Arc::new(Mutex::new(Inbox::default())),
            Arc::new(AtomicBool::new(false)),
        );
        let polled = (consumer.clone(), inbox.clone(), stop.clone());
        let polling = thread::spawn(move || {
            let (consumer, inbox, stop) = polled;
            while !stop.load(Ordering::SeqCst) {
                match consumer.poll(Duration::from_millis(100)) {
                    Some(Ok(message)) => lock(&inbox).take(message.detach()),
                    Some(Err(error)) => lock(&inbox).failures.push(error),
                    None => {}
                }
            }
        });
        Ok(Member {
            client_id: client_id.to_owned(),
            consumer,
            inbox,
            stop,
            polling: Some(polling),
        })
    }

    pub(crate) fn owned(&self) -> BTreeSet<i32> {
        owned(&self.consumer)
    }

    pub(crate) fn assignments(&self) -> usize {
        self.consumer.context().0.load(Ordering::SeqCst)
    }

    pub(crate) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        lock(&self.inbox)
    }

    /// Commits what it has handed over of the partitions it owns.
    pub(crate) fn commit(&self) -> Outcome {
        let owned = self.owned();
        let mut offsets = TopicPartitionList::new();
        for (topic, partition, offset) in &self.inbox().read {
            if owned.contains(partition) {
                offsets.add_partition_offset(topic, *partition, Offset::Offset(offset + 1))?;
            }
        }
        Ok(self.consumer.commit(&offsets, CommitMode::Sync)?)
    }

    pub(crate) fn commit_offsets(&self, offsets: &TopicPartitionList) -> Outcome {
        Ok(self.consumer.commit(offsets, CommitMode::Sync)?)
    }

    pub(crate) fn offsets_for_times(
        &self,
        asked: TopicPartitionList,
    ) -> Outcome<TopicPartitionList> {
        Ok(self.consumer.offsets_for_times(asked, DEADLINE)?)
    }

    /// What the group knows the member by.
    pub(crate) fn group_metadata(&self) -> Outcome<ConsumerGroupMetadata> {
        Ok(self
            .consumer
            .group_metadata()
            .ok_or("the member shows no metadata of its group")?)
    }

    pub(crate) fn seek(&self, topic: &str, partition: i32, offset: Offset) -> Outcome {
        Ok(self.consumer.seek(topic, partition, offset, DEADLINE)?)
    }
}

impl Drop for Member {
    /// Leaves as the client does in order, once the last hold on the consumer is gone.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(polling) = self.polling.take() {
            // A thread that panicked has said so.
            let _ = polling.join();
        }
    }
}

impl Inbox {
    fn take(&mut self, record: OwnedMessage) {
        let place = (record.topic(), record.partition());
        self.read
            .retain(|(topic, partition, _)| (topic.as_str(), *partition) != place);
        self.read.push((
            record.topic().to_owned(),
            record.partition(),
            record.offset(),
        ));
        self.records.push(record);
    }
}

fn lock(inbox: &Mutex<Inbox>) -> MutexGuard<'_, Inbox> {
    inbox.lock().unwrap_or_else(PoisonError::into_inner)
}

fn owned<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> BTreeSet<i32> {
    let assignment = consumer.assignment().unwrap_or_default();
    assignment
        .elements()
        .iter()
        .map(|place| place.partition())
        .collect()
}

fn consumer(
    group: &str,
    client_id: &str,
    how: &Joining,
) -> Result<BaseConsumer<Counting>, KafkaError> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap())
        .set("group.id", group)
        .set("client.id", client_id)
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "200")
        .set("topic.metadata.refresh.interval.ms", "1000");
    config.set(
        "auto.offset.reset",
        if how.no_reset { "error" } else { "earliest" },
    );
    if let Some(instance) = &how.instance {
        config.set("group.instance.id", instance);
    }
    if how.next_generation {
        // Timeouts are the broker's there.
        config.set("group.protocol", "consumer");
    } else {
        config
            .set(
                "session.timeout.ms",
                SESSION_TIMEOUT.as_millis().to_string(),
            )
            .set("heartbeat.interval.ms", "1000");
    }
    config.create_with_context(Counting::default())
}

/// This program as a member and nothing else: says `owns` and `read`, and commits when a line comes in.
pub(crate) fn child(group: &str, topic: &str) -> ExitCode {
    let member = match Member::join(group, "compat-child", topic, &Joining::default()) {
        Ok(member) => Arc::new(member),
        Err(error) => {
            println!("failed {error}");
            return ExitCode::FAILURE;
        }
    };
    let committing = member.clone();
    thread::spawn(move || {
        for _ in std::io::stdin().lines() {
            match committing.commit() {
                Ok(()) => println!("committed"),
                Err(error) => println!("failed {error}"),
            }
        }
    });
    let mut said = BTreeSet::new();
    loop {
        for record in std::mem::take(&mut member.inbox().records) {
            println!("read {} {}", record.partition(), record.offset());
        }
        let owned = member.owned();
        if owned != said {
            let words: Vec<_> = owned.iter().map(i32::to_string).collect();
            println!("owns {}", words.join(" "));
            said = owned;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// A member in a process of its own.
pub(crate) struct Killable {
    process: Child,
    seen: Arc<Mutex<Seen>>,
}

/// What it has said so far.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub(crate) owned: BTreeSet<i32>,
    pub(crate) read: Vec<(i32, i64)>,
    pub(crate) commits: usize,
}

impl Killable {
    pub(crate) fn start(group: &str, topic: &str) -> Outcome<Killable> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["member", group, topic])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (output, noted) = (process.stdout.take().ok_or("no output")?, seen.clone());
        thread::spawn(move || note(output, &noted));
        Ok(Killable { process, seen })
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks it to commit; `Seen::commits` tells when it has.
    pub(crate) fn ask_to_commit(&mut self) -> Outcome {
        let input = self.process.stdin.as_mut().ok_or("no input")?;
        Ok(input.write_all(b"commit\n")?)
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn note(output: ChildStdout, seen: &Mutex<Seen>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let mut words = line.split_whitespace();
        let word = words.next().unwrap_or_default();
        let numbers: Vec<i64> = words.filter_map(|word| word.parse().ok()).collect();
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match (word, &numbers[..]) {
            ("owns", owned) => seen.owned = owned.iter().map(|number| *number as i32).collect(),
            ("read", [partition, offset]) => seen.read.push((*partition as i32, *offset)),
            ("committed", _) => seen.commits += 1,
            _ => eprintln!("the member in a process of its own: {line}"),
        }
    }
}
