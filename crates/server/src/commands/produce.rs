//! `tidewater produce`: records from stdin into a topic.

mod input;
mod partitioner;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;
use wire::ResponseError;
use wire::batch::{self, BatchBuilder, BatchHeader, BatchOptions, Codec};
use wire::messages::produce_response::PartitionProduceResponse;

use self::input::{Chunk, Cut};
use self::partitioner::Partitioner;
use super::escape::unescape;
use crate::args::{ConnectArgs, OutputArgs};
use crate::client::{self, Acks, Client, Topic};
use crate::outcome::{Outcome, Refusal, Tally};
use crate::output::{self, Format, Unit};

/// A batch goes out when its records come to so many bytes; a little less than the default of `max.message.bytes`.
const BATCH_BYTES: usize = 1_000_000;
/// Between a refusal that may pass and the next try.
const PAUSE: Duration = Duration::from_millis(200);
/// What the records of one of our own batches may come to when it is cut in two.
const BATCH_BYTES_MAX: usize = 1 << 31;

/// Write records from stdin into a topic, one a line
///
/// What is there is sent at once, and in large batches when there is a lot. Records with a key go where Kafka's Java client
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    fn codec(self) -> Codec {
        match self {
            Self::None => Codec::None,
            Self::Gzip => Codec::Gzip,
            Self::Snappy => Codec::Snappy,
            Self::Lz4 => Codec::Lz4,
            Self::Zstd => Codec::Zstd,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Durability {
    /// All replicas in sync
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
    fn code(self) -> i16 {
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
    let input = input::read(stdin(), Cut { delimiter: args.delimiter.to_vec() });
    let mut producer = Producer::new(&args, client, topic);
    let sent = producer.run(input).await;
    producer.bar.finish_and_clear();
    if sent.is_ok() || producer.records() > 0 {
        producer.report(&args)?;
    }
    let mut tally = Tally::default();
    if producer.records() > 0 {
        tally.done();
    }
    if let Err(error) = sent {
        tally.failed(error);
    }
    tally.outcome()
}

/// Stdin without the buffer of the standard library, and able to go to another thread.
fn stdin() -> impl Read + Send + 'static {
    io::stdin()
}

/// What one partition has acknowledged.
#[derive(Debug, Clone, Serialize)]
struct Written {
    partition: i32,
    records: u64,
    /// `null` if nothing is acknowledged (`--acks 0`).
    first_offset: Option<i64>,
    last_offset: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    topic: &'a str,
    records: u64,
    /// Read from stdin, delimiters included.
    input_bytes: u64,
    partitions: Vec<Written>,
}

struct Producer<'a> {
    args: &'a ProduceArgs,
    client: Client,
    topic: Topic,
    partitioner: Partitioner,
    building: BTreeMap<i32, BatchBuilder>,
    written: BTreeMap<i32, Written>,
    bytes: u64,
    bar: ProgressBar,
}

impl<'a> Producer<'a> {
    fn new(args: &'a ProduceArgs, client: Client, topic: Topic) -> Producer<'a> {
        let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        // Many small runs should not all begin in the same partition.
        let start = uuid::Uuid::new_v4().as_fields().0;
        let size = rustix::fs::fstat(io::stdin()).ok().filter(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file());
        Producer {
            args,
            client,
            topic,
            partitioner: Partitioner::new(partitions, start),
            building: BTreeMap::new(),
            written: BTreeMap::new(),
            bytes: 0,
            bar: output::progress(Unit::Bytes, size.and_then(|stat| u64::try_from(stat.st_size).ok())),
        }
    }

    fn records(&self) -> u64 {
        self.written.values().map(|written| written.records).sum()
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
            self.bytes += chunk.bytes;
            self.bar.inc(chunk.bytes);
        }
    }

    /// Puts a record into its partition's batch, which is sent first if it would become too large.
    async fn add(&mut self, record: &[u8]) -> anyhow::Result<()> {
        let args = self.args;
        let (key, value) = match &args.key_delimiter {
            Some(delimiter) => input::split_key(record, delimiter),
            None => (args.key.as_deref().map(str::as_bytes), record),
        };
        let value = (!(args.tombstones && value.is_empty())).then_some(value);
        let partition = args.partition.unwrap_or_else(|| self.partitioner.choose(key));
        let waiting = self.building.get(&partition).map_or(0, BatchBuilder::uncompressed_len);
        if waiting > 0 && waiting.saturating_add(record.len()) >= BATCH_BYTES {
            self.send_all().await?;
            // The turn may have passed to another partition.
            return Box::pin(self.add(record)).await;
        }
        let headers: Vec<(&str, Option<&[u8]>)> =
            args.headers.iter().map(|(name, value)| (name.as_str(), Some(value.as_bytes()))).collect();
        let builder = self.building.entry(partition).or_insert_with(|| BatchBuilder::new(options(args.compression)));
        builder.append(Timestamp::now().as_millisecond(), key, value, &headers)?;
        Ok(())
    }

    /// Sends every batch begun and waits until it is acknowledged.
    async fn send_all(&mut self) -> anyhow::Result<()> {
        let mut batches = BTreeMap::new();
        for (partition, builder) in std::mem::take(&mut self.building) {
            self.partitioner.batch_sent(partition);
            batches.insert(partition, vec![builder.build()?]);
        }
        self.send(batches).await
    }

    /// Sends the batches of each partition in their order. What may pass is tried again until the timeout; a batch that is
    /// too large for the topic is cut in two.
    async fn send(&mut self, mut batches: BTreeMap<i32, Vec<Bytes>>) -> anyhow::Result<()> {
        let mut waited = Duration::ZERO;
        while !batches.is_empty() {
            let refused = self.send_first_of_each(&mut batches).await?;
            batches.retain(|_, batches| !batches.is_empty());
            let Some(refused) = refused else { continue };
            if waited >= self.client.timeout() {
                return Err(refused.into());
            }
            if waited.is_zero() {
                output::note(format_args!("{refused}; trying again"));
            }
            waited += PAUSE;
            tokio::time::sleep(PAUSE).await;
            self.topic = self.client.topic(&self.args.topic, false).await?;
        }
        Ok(())
    }

    /// One request to each leader. Gives a refusal that may pass, if there was one.
    async fn send_first_of_each(&mut self, batches: &mut BTreeMap<i32, Vec<Bytes>>) -> anyhow::Result<Option<Refusal>> {
        let acks = Acks { code: self.args.acks.code(), timeout_ms: self.client.timeout_ms() };
        let mut passing = None;
        let topic = self.topic.clone();
        for (leader, partitions) in client::by_leader(&topic, batches.keys().copied())? {
            let firsts: Vec<(i32, Bytes)> = partitions
                .iter()
                .filter_map(|partition| Some((partition.index, batches.get(&partition.index)?.first()?.clone())))
                .collect();
            let link = self.client.link(leader).await?;
            let by = link.address.clone();
            let answers = link.produce(&topic, acks, firsts.clone()).await?;
            for (partition, batch) in firsts {
                let waiting = batches.entry(partition).or_default();
                if acks.code == 0 {
                    waiting.remove(0);
                    self.count(partition, &batch, None)?;
                    continue;
                }
                let Some(answer) = answers.iter().find(|answer| answer.index == partition) else {
                    bail!("{by} said nothing about partition {}/{partition}", topic.name);
                };
                if answer.error_code == 0 {
                    waiting.remove(0);
                    self.count(partition, &batch, Some(answer.base_offset))?;
                } else if let Some(halves) = halves_if_too_large(answer, &batch, self.args.compression)? {
                    waiting.splice(0..1, halves);
                } else {
                    let refusal = refusal(&topic.name, &by, answer);
                    if !client::is_unsettled(answer.error_code) {
                        return Err(refusal.into());
                    }
                    passing = Some(refusal);
                }
            }
        }
        Ok(passing)
    }

    fn count(&mut self, partition: i32, batch: &Bytes, base_offset: Option<i64>) -> anyhow::Result<()> {
        let header = BatchHeader::parse(batch)?;
        let written = self.written.entry(partition).or_insert(Written {
            partition,
            records: 0,
            first_offset: base_offset,
            last_offset: None,
        });
        written.records += u64::try_from(header.record_count).unwrap_or(0);
        written.last_offset = base_offset.map(|base| base.saturating_add(i64::from(header.last_offset_delta)));
        Ok(())
    }

    /// What was written: as asked for on stdout, and otherwise as a note.
    fn report(&self, args: &ProduceArgs) -> anyhow::Result<()> {
        let partitions: Vec<Written> = self.written.values().cloned().collect();
        let report = Report { topic: &self.topic.name, records: self.records(), input_bytes: self.bytes, partitions };
        if args.output.output == Format::Json {
            return output::json(&report);
        }
        if args.quiet {
            return Ok(());
        }
        let how = if args.acks == Durability::Nobody { "sent to" } else { "written to" };
        let place = match &report.partitions[..] {
            [one] => match (one.first_offset, one.last_offset) {
                (Some(first), Some(last)) if first == last => format!("/{} at offset {first}", one.partition),
                (Some(first), Some(last)) => format!("/{} at offsets {first} to {last}", one.partition),
                _ => format!("/{}", one.partition),
            },
            _ => String::new(),
        };
        let records = output::count(report.records, "record");
        output::note(format_args!("{records} {how} {}{place}", report.topic));
        Ok(())
    }
}

fn options(compression: Compression) -> BatchOptions {
    BatchOptions { codec: compression.codec(), ..BatchOptions::default() }
}

fn refusal(topic: &str, by: &str, answer: &PartitionProduceResponse) -> Refusal {
    let of_record = answer.record_errors.iter().find_map(|record| record.batch_index_error_message.as_ref());
    Refusal {
        asked: format!("write to {topic}/{}", answer.index),
        by: by.to_owned(),
        code: answer.error_code,
        message: of_record.or(answer.error_message.as_ref()).map(|message| message.to_string()),
    }
}

/// The topic may take smaller batches than ours; only a single record that is too large is refused for good.
fn halves_if_too_large(
    answer: &PartitionProduceResponse,
    batch: &Bytes,
    compression: Compression,
) -> anyhow::Result<Option<[Bytes; 2]>> {
    let header = BatchHeader::parse(batch)?;
    if answer.error_code != ResponseError::MessageTooLarge.code() || header.record_count < 2 {
        return Ok(None);
    }
    let records = batch::records(batch, BATCH_BYTES_MAX)?;
    let mut halves = [BatchBuilder::new(options(compression)), BatchBuilder::new(options(compression))];
    for (index, record) in (0..).zip(records.iter()) {
        let record = record?;
        let headers: Vec<(String, Option<&[u8]>)> =
            record.headers.map(|header| (String::from_utf8_lossy(header.key).into_owned(), header.value)).collect();
        let headers: Vec<(&str, Option<&[u8]>)> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let half = &mut halves[usize::from(index >= header.record_count / 2)];
        half.append(header.timestamp_of(&record), record.key, record.value, &headers)?;
    }
    let [first, second] = halves;
    Ok(Some([first.build()?, second.build()?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_too_large_is_cut_in_two_and_a_single_record_is_not() {
        let batch = |count: u8| {
            let mut builder = BatchBuilder::new(options(Compression::Lz4));
            for value in 0..count {
                builder.append(1000 + i64::from(value), Some(b"k"), Some(&[value]), &[("h", None)]).unwrap();
            }
            builder.build().unwrap()
        };
        let too_large = PartitionProduceResponse::default().with_error_code(10);
        let halves = halves_if_too_large(&too_large, &batch(5), Compression::Lz4).unwrap().unwrap();
        let mut seen = Vec::new();
        for half in &halves {
            assert!(batch::check_crc(half));
            let records = batch::records(half, 1 << 20).unwrap();
            seen.push(records.iter().map(|record| record.unwrap().value.unwrap()[0]).collect::<Vec<_>>());
            assert!(records.iter().all(|record| record.unwrap().headers.len() == 1));
        }
        assert_eq!(seen, [vec![0, 1], vec![2, 3, 4]]);
        assert_eq!(halves_if_too_large(&too_large, &batch(1), Compression::None).unwrap(), None);
        let other = PartitionProduceResponse::default().with_error_code(87);
        assert_eq!(halves_if_too_large(&other, &batch(5), Compression::None).unwrap(), None);
    }

    #[test]
    fn a_header_is_written_as_in_kcat_or_as_in_rpk() {
        assert_eq!(header("a=b:c"), Ok(("a".to_owned(), "b:c".to_owned())));
        assert_eq!(header("a:b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(header("=b").is_err());
        assert!(header("a").is_err());
    }
}
