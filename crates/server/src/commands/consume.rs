//! `tidewater consume`: records from topics to stdout, by assignment of partitions.

mod template;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wire::ResponseError;
use wire::batch::{self, BatchHeader};
use wire::records::Headers;

use self::template::{Shown, Template};
use crate::args::ConnectArgs;
use crate::client::{self, Aborted, Client, Fetched, Isolation, Link, Place, Topic};
use crate::outcome::{Outcome, Refusal};
use crate::output::{self, Text, Work};
use crate::position::{POSITIONS, Position};

/// How long a broker holds a fetch when there is nothing new.
const WAIT: Duration = Duration::from_millis(500);
/// Between a lost leader and the next look at who leads.
const PAUSE: Duration = Duration::from_millis(200);
/// What the records of one batch may come to, uncompressed.
const BATCH_BYTES_MAX: usize = 1 << 30;
/// Formatted records are written when there are so many bytes of them, and whenever nothing more is at hand.
const WRITE_BYTES: usize = 256 * 1024;

/// Write records to stdout, from all partitions of topics
///
/// Goes on with new records until it is stopped; --exit or --num end it. Within a partition records come in their order.
#[derive(Debug, Args)]
pub(crate) struct ConsumeArgs {
    #[command(flatten)]
    connect: ConnectArgs,

    /// The topics
    #[arg(value_name = "TOPIC", required = true)]
    topics: Vec<String>,

    /// Where to begin: start, end, 47, +2 (after the start), -3 (before the end), @TIME
    #[arg(
        short,
        long,
        long_help = format!("Where to begin: start, end, 47, +2 (after the start), -3 (before the end), @TIME\n\n{POSITIONS}"),
        value_name = "OFFSET",
        default_value = "start",
        allow_hyphen_values = true
    )]
    offset: Position,

    /// Only these partitions
    #[arg(short, long, value_name = "PARTITION,…", value_delimiter = ',')]
    partitions: Vec<i32>,

    /// End after so many records
    #[arg(short, long, value_name = "COUNT")]
    num: Option<NonZeroU64>,

    /// End where the partitions ended when the command began
    #[arg(short, long)]
    exit: bool,

    /// Only records of transactions that were committed, and of none
    #[arg(long)]
    read_committed: bool,

    /// What to write for a record, with the verbs below
    ///
    /// %t topic, %p partition, %o offset, %e leader epoch, %k key, %v value, %K and %V their lengths (-1 for null),
    /// %h headers, %H their number, %d timestamp in milliseconds, %d{iso} as a date, %% a percent sign;
    /// %k{hex}, %v{base64} and so on; \n \t \r \0 \\ \xNN.
    #[arg(short, long, value_parser = Template::parse, default_value = "%v\\n", conflicts_with = "output")]
    format: Template,

    /// How records are written: as --format says, or as one JSON document a line
    #[arg(long, value_enum, default_value_t = Style::Text, value_name = "STYLE")]
    output: Style,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Style {
    #[value(alias = "table")]
    Text,
    Json,
}

pub(crate) async fn run(args: ConsumeArgs) -> anyhow::Result<Outcome> {
    let mut client = Client::connect(&args.connect).await?;
    if args.read_committed {
        client.read(Isolation::Committed);
    }
    let mut positions = Positions::default();
    for name in &args.topics {
        let topic = client.topic(name, false).await?;
        positions.add(&args, &mut client, &topic).await?;
    }
    let mut printer = Printer::new(&args, positions);
    while !printer.finished() {
        follow(&mut client, &args.topics, &mut printer).await?;
    }
    printer.flush()?;
    printer.bar.finish_and_clear();
    Ok(Outcome::Done)
}

type PartitionKey = (Arc<str>, i32);

/// Where each partition is read on, and where it ends if that was asked for.
#[derive(Debug, Default)]
struct Positions {
    next: BTreeMap<PartitionKey, i64>,
    end: HashMap<PartitionKey, i64>,
}

impl Positions {
    /// Finds the beginning, and with `--exit` the end, of the wanted partitions of a topic.
    async fn add(
        &mut self,
        args: &ConsumeArgs,
        client: &mut Client,
        topic: &Topic,
    ) -> anyhow::Result<()> {
        let wanted = topic.clone().only(&args.partitions)?;
        let name: Arc<str> = topic.name.as_str().into();
        for (index, found) in args.offset.find(client, &wanted).await? {
            let key = (Arc::clone(&name), index);
            let end = found.end;
            let next = found
                .exact()
                .with_context(|| format!("cannot begin in {}/{index}", topic.name))?;
            if args.exit {
                self.end.insert(key.clone(), end);
                // Nothing to read: it must not be waited for.
                if next >= end {
                    continue;
                }
            }
            self.next.insert(key, next);
        }
        Ok(())
    }
}

/// What a leader's task has to say.
enum Event {
    Fetched(Vec<Fetched>),
    /// The task has ended: its partitions have to be looked for again.
    Lost(anyhow::Error),
}

/// Reads every partition from its leader until the printer has enough or a leader is lost; then the caller calls again.
async fn follow(
    client: &mut Client,
    topics: &[String],
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let leaders = match places_by_leader(client, topics, printer).await {
        Ok(leaders) => leaders,
        Err(error) => return printer.lost(error, client.timeout()).await,
    };
    // An answer that is not due yet must not be given up on.
    let wait = WAIT.min(client.timeout() / 2);
    let (events, mut inbox) = mpsc::channel(leaders.len() * 2);
    let mut tasks = JoinSet::new();
    for (leader, places) in leaders {
        match client.dial(leader).await {
            Ok(link) => drop(tasks.spawn(read(link, places, wait, events.clone()))),
            Err(error) => return printer.lost(error, client.timeout()).await,
        }
    }
    drop(events);
    // The tasks end with this function, wherever they are.
    while !printer.finished() {
        let event = match inbox.try_recv() {
            Ok(event) => Some(event),
            Err(_) => {
                printer.flush()?;
                inbox.recv().await
            }
        };
        match event {
            Some(Event::Fetched(fetched)) => {
                for fetched in fetched {
                    printer.print(&fetched)?;
                    if printer.finished() {
                        break;
                    }
                }
            }
            Some(Event::Lost(error)) => return printer.lost(error, client.timeout()).await,
            None => bail!("the readers ended by themselves"),
        }
    }
    Ok(())
}

async fn places_by_leader(
    client: &mut Client,
    topics: &[String],
    printer: &Printer,
) -> anyhow::Result<BTreeMap<i32, Vec<Place>>> {
    let mut leaders: BTreeMap<i32, Vec<Place>> = BTreeMap::new();
    for name in topics {
        let topic = client.topic(name, false).await?;
        for ((_, index), offset) in printer
            .positions
            .next
            .iter()
            .filter(|((topic, _), _)| **topic == **name)
        {
            let leader = topic.partition(*index)?.leader;
            let place = Place {
                topic: name.as_str().into(),
                topic_id: topic.id,
                partition: *index,
                offset: *offset,
            };
            leaders.entry(leader).or_default().push(place);
        }
    }
    Ok(leaders)
}

/// Reads from one leader until nobody listens or something is wrong.
async fn read(mut link: Link, mut places: Vec<Place>, wait: Duration, events: mpsc::Sender<Event>) {
    loop {
        let fetched = match link.fetch(&places, wait).await {
            Ok(fetched) => fetched,
            Err(error) => return drop(events.send(Event::Lost(error)).await),
        };
        if let Some(refused) = fetched
            .iter()
            .find(|fetched| client::is_unsettled(fetched.error_code))
        {
            let asked = format!("fetch from {}/{}", refused.topic, refused.partition);
            let refusal = Refusal {
                asked,
                by: link.address,
                code: refused.error_code,
                message: None,
            };
            return drop(events.send(Event::Lost(refusal.into())).await);
        }
        let mut served = Vec::new();
        for fetched in &fetched {
            let Some(index) = places.iter().position(|place| {
                place.partition == fetched.partition && place.topic == fetched.topic
            }) else {
                continue;
            };
            if let Some(offset) = next_offset(fetched) {
                places[index].offset = offset;
                served.push((Arc::clone(&fetched.topic), fetched.partition));
            }
        }
        // Brokers fill a response in the order asked (F2): who was served queues up again behind the others.
        places.sort_by_key(|place| {
            served
                .iter()
                .any(|(topic, index)| *topic == place.topic && *index == place.partition)
        });
        if events.send(Event::Fetched(fetched)).await.is_err() {
            return;
        }
    }
}

/// Where to read on after an answer; `None` if it brought nothing.
fn next_offset(fetched: &Fetched) -> Option<i64> {
    if fetched.error_code == ResponseError::OffsetOutOfRange.code() {
        return Some(fetched.log_start_offset);
    }
    let last = batch::batches(&fetched.records)
        .map_while(Result::ok)
        .last();
    last.map(|(header, _)| header.next_offset())
}

/// Writes records, counts them, and knows when there are enough.
struct Printer {
    positions: Positions,
    template: Option<Template>,
    left: Option<u64>,
    to_end: bool,
    /// For about so long no leader has answered.
    lost_for: Duration,
    out: Vec<u8>,
    bar: ProgressBar,
}

impl Printer {
    fn new(args: &ConsumeArgs, positions: Positions) -> Printer {
        let left = args.num.map(NonZeroU64::get);
        let to_end = args.exit.then(|| {
            let spans = positions
                .next
                .iter()
                .filter_map(|(key, next)| Some(positions.end.get(key)? - next));
            spans.filter_map(|span| u64::try_from(span).ok()).sum()
        });
        let total = match (left, to_end) {
            (Some(left), Some(to_end)) => Some(left.min(to_end)),
            (left, to_end) => left.or(to_end),
        };
        Printer {
            positions,
            template: (args.output == Style::Text).then(|| args.format.clone()),
            left,
            to_end: args.exit,
            lost_for: Duration::ZERO,
            out: Vec::with_capacity(WRITE_BYTES),
            bar: output::progress(Work::Consume, total),
        }
    }

    fn finished(&self) -> bool {
        self.left == Some(0) || (self.to_end && self.positions.next.is_empty())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if !self.out.is_empty() {
            output::stdout(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }

    /// A leader is gone or has moved. Waits a little, and gives up when that was all that happened for `patience`.
    async fn lost(&mut self, error: anyhow::Error, patience: Duration) -> anyhow::Result<()> {
        self.flush()?;
        if self.lost_for >= patience {
            return Err(error);
        }
        if self.lost_for.is_zero() {
            output::note(format_args!("{error:#}; looking for the leader again"));
        }
        self.lost_for += PAUSE;
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    /// Writes the records of one partition from its position on.
    fn print(&mut self, fetched: &Fetched) -> anyhow::Result<()> {
        let key = (Arc::clone(&fetched.topic), fetched.partition);
        // Finished partitions may still be answered about.
        let Some(position) = self.positions.next.get(&key).copied() else {
            return Ok(());
        };
        let place = format!("{}/{}", fetched.topic, fetched.partition);
        if fetched.error_code == ResponseError::OffsetOutOfRange.code()
            && position < fetched.log_start_offset
        {
            let start = fetched.log_start_offset;
            output::note(format_args!(
                "{place}: records before {start} are gone; going on there"
            ));
            self.advance(&key, start);
            return Ok(());
        }
        if fetched.error_code != 0 {
            let asked = format!(
                "fetch from {place} at offset {position} (it ends at {})",
                fetched.high_watermark
            );
            let by = "its leader".to_owned();
            return Err(Refusal {
                asked,
                by,
                code: fetched.error_code,
                message: None,
            }
            .into());
        }
        self.lost_for = Duration::ZERO;
        let mut aborted = Aborted::of(fetched);
        for batch in batch::batches(&fetched.records) {
            // A broker may cut off the last batch; it will come again, whole.
            let Ok((header, bytes)) = batch else { break };
            if !aborted.hides(&header, bytes) {
                self.print_batch(&key, &header, bytes)
                    .with_context(|| format!("{place}, batch at {}", header.base_offset))?;
            }
            if self.left == Some(0) {
                break;
            }
            self.advance(&key, header.next_offset());
        }
        Ok(())
    }

    fn print_batch(
        &mut self,
        key: &PartitionKey,
        header: &BatchHeader,
        bytes: &[u8],
    ) -> anyhow::Result<()> {
        if !batch::check_crc(bytes) {
            bail!("the checksum is wrong");
        }
        let Some(from) = self.positions.next.get(key).copied() else {
            return Ok(());
        };
        let to = self.positions.end.get(key).copied().unwrap_or(i64::MAX);
        let records = batch::records(bytes, BATCH_BYTES_MAX)?;
        for record in records.iter() {
            let record = record?;
            let offset = header.offset_of(&record);
            if offset < from || offset >= to {
                continue;
            }
            self.print_record(&Shown {
                topic: &key.0,
                partition: key.1,
                offset,
                leader_epoch: header.partition_leader_epoch,
                timestamp: header.timestamp_of(&record),
                key: record.key,
                value: record.value,
                headers: record.headers,
            })?;
            self.bar.inc(1);
            if let Some(left) = &mut self.left {
                *left -= 1;
                if *left == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    fn print_record(&mut self, record: &Shown<'_>) -> anyhow::Result<()> {
        match &self.template {
            Some(template) => template.write(&mut self.out, record),
            None => {
                serde_json::to_writer(&mut self.out, &Json::of(record))?;
                self.out.push(b'\n');
            }
        }
        if self.out.len() >= WRITE_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn advance(&mut self, key: &PartitionKey, next: i64) {
        match self.positions.end.get(key) {
            Some(end) if next >= *end => drop(self.positions.next.remove(key)),
            _ => drop(self.positions.next.insert(key.clone(), next)),
        }
    }
}

#[derive(Serialize)]
struct Json<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Option<Text<'a>>,
    value: Option<Text<'a>>,
    headers: Vec<JsonHeader<'a>>,
}

#[derive(Serialize)]
struct JsonHeader<'a> {
    key: Text<'a>,
    value: Option<Text<'a>>,
}

impl<'a> Json<'a> {
    fn of(record: &Shown<'a>) -> Json<'a> {
        Json {
            topic: record.topic,
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(Text::of),
            value: record.value.map(Text::of),
            headers: json_headers(record.headers),
        }
    }
}

fn json_headers(headers: Headers<'_>) -> Vec<JsonHeader<'_>> {
    headers
        .map(|header| JsonHeader {
            key: Text::of(header.key),
            value: header.value.map(Text::of),
        })
        .collect()
}
