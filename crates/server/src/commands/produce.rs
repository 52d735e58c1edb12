//! `tidewater produce`: records from stdin into a topic.

mod batches;
mod input;
mod partitioner;
mod sender;

use std::collections::BTreeMap;
use std::io;

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;
use wire::batch::{BatchBuilder, BatchOptions, Codec};

use self::batches::sequence_after;
use self::input::{Chunk, Cut};
use self::partitioner::Partitioner;
use self::sender::{Sender, Written};
use super::escape::unescape;
use crate::args::{ConnectArgs, OutputArgs};
use crate::client::Client;
use crate::outcome::{Outcome, Tally};
use crate::output::{self, Work};

/// A batch goes out when its records come to so many bytes; a little less than the default of `max.message.bytes`.
const BATCH_BYTES: usize = 1_000_000;

/// Write records from stdin into a topic, one a line
///
/// What is there is sent at once, and in large batches when there is a lot. What was perhaps not written is sent again and
/// not written twice. Records with a key go where Kafka's Java client
/// would send them, records without one to one partition after the other.
#[derive(Debug, Args)]
pub(crate) struct ProduceArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    output: OutputArgs,

    /// The topic; created if the broker's `auto.create.topics.enable` says so
    topic: String,

    /// Split each record at this into key and value, such as `:` or `\t`
    #[arg(short = 'K', long, value_name = "DELIMITER", value_parser = delimiter)]
    key_delimiter: Option<Bytes>,

    /// The key of every record
    #[arg(short, long, conflicts_with = "key_delimiter")]
    key: Option<String>,

    /// What ends a record
    #[arg(short = 'D', long, value_name = "DELIMITER", value_parser = delimiter, default_value = "\\n")]
    delimiter: Bytes,

    /// A header of every record
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,

    /// The partition of every record
    #[arg(short, long)]
    partition: Option<i32>,

    /// How batches are compressed
    #[arg(short = 'z', long, value_enum, default_value_t = Compression::None)]
    compression: Compression,

    /// Who must have a record before it counts as written
    #[arg(long, value_enum, default_value_t = Durability::All)]
    acks: Durability,

    /// Write an empty value as null: a tombstone in a compacted topic
    #[arg(short = 'Z', long)]
    tombstones: bool,

    /// Do not say how much was written
    #[arg(short, long)]
    quiet: bool,
}

/// How batches are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    /// As batches are marked.
    pub(crate) fn codec(self) -> Codec {
        match self {
            Self::None => Codec::None,
            Self::Gzip => Codec::Gzip,
            Self::Snappy => Codec::Snappy,
            Self::Lz4 => Codec::Lz4,
            Self::Zstd => Codec::Zstd,
        }
    }
}

/// Who must have a record before it counts as written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Durability {
    /// All replicas in sync
    #[default]
    #[value(alias = "-1")]
    All,
    /// The leader
    #[value(name = "1", alias = "leader")]
    Leader,
    /// Nobody: records may be lost without a word
    #[value(name = "0", alias = "none")]
    Nobody,
}

impl Durability {
    /// As requests carry it.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::All => -1,
            Self::Leader => 1,
            Self::Nobody => 0,
        }
    }
}

fn delimiter(text: &str) -> Result<Bytes, String> {
    match unescape(text)? {
        bytes if bytes.is_empty() => Err("it must not be empty".to_owned()),
        bytes => Ok(bytes.into()),
    }
}

/// `NAME=VALUE` as in kcat, or `NAME:VALUE` as in rpk.
fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(['=', ':']) {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

pub(crate) async fn run(args: ProduceArgs) -> anyhow::Result<Outcome> {
    let mut client = Client::connect(&args.connect).await?;
    let topic = client.topic(&args.topic, true).await?;
    if let Some(partition) = args.partition {
        topic.partition(partition)?;
    }
    let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let sender = Sender::new(client, topic, args.acks.code()).await?;
    let input = input::read(
        io::stdin(),
        Cut {
            delimiter: args.delimiter.to_vec(),
        },
    );
    let mut producer = Producer::new(&args, sender, partitions);
    let sent = producer.run(input).await;
    producer.bar.finish_and_clear();
    let report = Report::of(&producer);
    let mut tally = Tally::default();
    if report.records > 0 {
        tally.done();
    }
    if sent.is_ok() || report.records > 0 {
        report.print(&args)?;
    }
    if let Err(error) = sent {
        tally.failed(error);
    }
    tally.outcome()
}

/// Makes batches of records and has them sent.
struct Producer<'a> {
    args: &'a ProduceArgs,
    sender: Sender,
    partitioner: Partitioner,
    building: BTreeMap<i32, BatchBuilder>,
    /// The sequence number of the next record of each partition.
    sequences: BTreeMap<i32, i32>,
    input_bytes: u64,
    bar: ProgressBar,
}

impl<'a> Producer<'a> {
    fn new(args: &'a ProduceArgs, sender: Sender, partitions: i32) -> Producer<'a> {
        // Many small runs should not all begin in the same partition.
        let start = uuid::Uuid::new_v4().as_fields().0;
        Producer {
            args,
            sender,
            partitioner: Partitioner::new(partitions, start),
            building: BTreeMap::new(),
            sequences: BTreeMap::new(),
            input_bytes: 0,
            bar: output::progress(Work::Produce, input::size_of_stdin()),
        }
    }

    async fn run(&mut self, mut input: mpsc::Receiver<io::Result<Chunk>>) -> anyhow::Result<()> {
        loop {
            let chunk = match input.try_recv() {
                Ok(chunk) => chunk,
                Err(_) => {
                    // Nothing more at hand: what there is should not wait for what may come.
                    self.send_all().await?;
                    match input.recv().await {
                        Some(chunk) => chunk,
                        None => return Ok(()),
                    }
                }
            };
            let chunk = chunk.context("cannot read stdin")?;
            for record in &chunk.records {
                self.add(record).await?;
            }
            self.input_bytes += chunk.bytes;
            self.bar.inc(chunk.bytes);
        }
    }

    /// Puts a record into its partition's batch. What would make the batch too large is sent first.
    async fn add(&mut self, record: &[u8]) -> anyhow::Result<()> {
        let args = self.args;
        let (key, value) = match &args.key_delimiter {
            Some(delimiter) => input::split_key(record, delimiter),
            None => (args.key.as_deref().map(str::as_bytes), record),
        };
        let value = (!(args.tombstones && value.is_empty())).then_some(value);
        let mut partition = self.partition_of(key);
        let begun = self
            .building
            .get(&partition)
            .map(BatchBuilder::uncompressed_len);
        if begun.is_some_and(|begun| begun.saturating_add(record.len()) >= BATCH_BYTES) {
            self.send_all().await?;
            // The turn has passed to another partition.
            partition = self.partition_of(key);
        }
        let headers = args
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), Some(value.as_bytes())));
        let headers: Vec<(&str, Option<&[u8]>)> = headers.collect();
        let builder = self.building.entry(partition).or_insert_with(|| {
            let options = BatchOptions {
                codec: args.compression.codec(),
                ..BatchOptions::default()
            };
            let sequence = self.sequences.get(&partition).copied().unwrap_or(0);
            BatchBuilder::new(self.sender.identity.sign(options, sequence))
        });
        builder.append(Timestamp::now().as_millisecond(), key, value, &headers)?;
        Ok(())
    }

    fn partition_of(&self, key: Option<&[u8]>) -> i32 {
        self.args
            .partition
            .unwrap_or_else(|| self.partitioner.choose(key))
    }

    /// Sends every batch begun and waits until all are acknowledged.
    async fn send_all(&mut self) -> anyhow::Result<()> {
        let mut waiting = BTreeMap::new();
        for (partition, builder) in std::mem::take(&mut self.building) {
            self.partitioner.batch_sent(partition);
            let next = self.sequences.entry(partition).or_default();
            *next = sequence_after(*next, builder.record_count());
            waiting.insert(partition, vec![builder.build()?]);
        }
        self.sender.send(waiting).await
    }
}

/// What was written.
#[derive(Debug, Serialize)]
struct Report {
    topic: String,
    records: u64,
    /// Read from stdin, delimiters included.
    input_bytes: u64,
    partitions: Vec<Written>,
}

impl Report {
    fn of(producer: &Producer<'_>) -> Report {
        let partitions: Vec<Written> = producer.sender.written.values().cloned().collect();
        Report {
            topic: producer.sender.topic().to_owned(),
            records: partitions.iter().map(|written| written.records).sum(),
            input_bytes: producer.input_bytes,
            partitions,
        }
    }

    /// As JSON on stdout where that was asked for, and otherwise as a note.
    fn print(&self, args: &ProduceArgs) -> anyhow::Result<()> {
        let format = args.output.output;
        if !format.is_for_people() {
            return output::answer(format, self, |_| String::new());
        }
        if !args.quiet {
            output::note(self.sentence(args.acks));
        }
        Ok(())
    }

    fn sentence(&self, acks: Durability) -> String {
        let how = if acks == Durability::Nobody {
            "sent to"
        } else {
            "written to"
        };
        let place = match &self.partitions[..] {
            [
                Written {
                    partition,
                    first_offset: Some(first),
                    last_offset: Some(last),
                    ..
                },
            ] => match first == last {
                true => format!("/{partition} at offset {first}"),
                false => format!("/{partition} at offsets {first} to {last}"),
            },
            _ => String::new(),
        };
        format!(
            "{} {how} {}{place}",
            output::count(self.records, "record"),
            self.topic
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_written_as_in_kcat_or_as_in_rpk() {
        assert_eq!(header("a=b:c"), Ok(("a".to_owned(), "b:c".to_owned())));
        assert_eq!(header("a:b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(header("=b").is_err());
        assert!(header("a").is_err());
    }
}
