//! `tidewater log`: what is in segment files, read without a broker.

mod reader;

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use serde::Serialize;
use wire::batch::{self, BatchError, BatchHeader, ControlType, Records, TimestampType};
use wire::records::RecordView;

use self::reader::SegmentReader;
use crate::args::OutputArgs;
use crate::outcome::{Outcome, StdoutError, Tally};
use crate::output::{self, Format, Text, Work};

/// Look into the files of a log
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    Dump(DumpArgs),
}

/// Print the batches of segment files, and check them
///
/// Reads the files as they are, also while a broker writes to them. Where there is damage the command fails, after it has
/// printed everything that can be read.
#[derive(Debug, Args)]
struct DumpArgs {
    /// Segment files (00000000000000000000.log), or folders of them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Print the records of each batch too
    #[arg(short, long)]
    records: bool,
    /// Print damaged batches only, and one line for each file
    #[arg(long, conflicts_with = "records")]
    check: bool,
}

/// What the records of one batch may come to, uncompressed.
const RECORD_BYTES_MAX: usize = 1 << 30;
/// Printed text is written when there are so many bytes of it.
const WRITE_BYTES: usize = 256 * 1024;

pub(crate) fn run(args: &LogArgs) -> anyhow::Result<Outcome> {
    let LogCommand::Dump(dump) = &args.command;
    let mut tally = Tally::default();
    for path in segment_files(&dump.files)? {
        let dumped = Dump {
            args: dump,
            format: args.output.output,
            path: &path,
            out: Vec::new(),
        }
        .run();
        match dumped {
            Ok(()) => tally.done(),
            Err(error) if error.is::<StdoutError>() => return Err(error),
            Err(error) => tally.failed(error.context(path.display().to_string())),
        }
    }
    tally.outcome()
}

/// The files named, and those in the folders named, in the order of their offsets.
fn segment_files(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in named {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let cannot = || format!("cannot read the folder {}", path.display());
        let mut inside = Vec::new();
        for entry in path.read_dir().with_context(cannot)? {
            let file = entry.with_context(cannot)?.path();
            if file.extension().is_some_and(|extension| extension == "log") {
                inside.push(file);
            }
        }
        inside.sort();
        files.append(&mut inside);
    }
    Ok(files)
}

/// One file on its way to stdout.
struct Dump<'a> {
    args: &'a DumpArgs,
    format: Format,
    path: &'a Path,
    out: Vec<u8>,
}

/// What a file came to.
#[derive(Debug, Default)]
struct Totals {
    batches: u64,
    records: u64,
    damaged: u64,
    offsets: Option<(i64, i64)>,
}

impl Dump<'_> {
    fn run(&mut self) -> anyhow::Result<()> {
        let file = File::open(self.path)?;
        let size = file.metadata()?.len();
        let mut totals = Totals::default();
        if self.format.is_for_people() && !self.args.check {
            self.line(&self.path.display().to_string());
            self.line(&columns(&HEADINGS.map(str::to_owned)));
        }
        let read = self.batches(SegmentReader::new(file, size), &mut totals);
        if self.format.is_for_people() {
            self.line(&totals.text(self.args.check.then_some(self.path)));
        }
        self.flush()?;
        read?;
        match totals.damaged {
            0 => Ok(()),
            damaged => Err(anyhow!("{} damaged", batches(damaged))),
        }
    }

    fn batches(&mut self, mut reader: SegmentReader, totals: &mut Totals) -> anyhow::Result<()> {
        let bar = output::progress(Work::Dump, Some(reader.size));
        loop {
            let position = reader.position;
            let bytes = reader
                .next_batch()
                .with_context(|| format!("at position {position}"))?;
            let Some(bytes) = bytes else { break };
            let batch = Checked::of(position, &bytes)?;
            totals.count(&batch);
            if !self.args.check || batch.damage.is_some() {
                self.print(&batch)?;
            }
            bar.set_position(reader.position);
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn print(&mut self, batch: &Checked<'_>) -> anyhow::Result<()> {
        match self.format {
            Format::Json => {
                serde_json::to_writer(
                    &mut self.out,
                    &BatchJson::of(self.path, batch, self.args.records),
                )?;
                self.out.push(b'\n');
            }
            Format::Yaml => {
                let json = BatchJson::of(self.path, batch, self.args.records);
                self.out.extend_from_slice(b"---\n");
                self.out
                    .extend(serde_saphyr::to_string(&json)?.into_bytes());
            }
            Format::Table | Format::Wide => {
                self.line(&columns(&batch.row()));
                let records = batch
                    .records
                    .iter()
                    .filter(|_| self.args.records)
                    .flat_map(Records::iter);
                for record in records.map_while(Result::ok) {
                    let json = serde_json::to_string(&RecordJson::of(&batch.header, &record))?;
                    self.line(&format!("    {json}"));
                }
            }
        }
        if self.out.len() >= WRITE_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn line(&mut self, text: &str) {
        self.out.extend_from_slice(text.trim_end().as_bytes());
        self.out.push(b'\n');
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        output::stdout(&self.out)?;
        self.out.clear();
        Ok(())
    }
}

/// A batch, and whether it is what it says.
struct Checked<'a> {
    position: u64,
    header: BatchHeader,
    crc_valid: bool,
    control: Option<ControlType>,
    /// Absent where they cannot be decompressed.
    records: Option<Records<'a>>,
    damage: Option<String>,
}

impl<'a> Checked<'a> {
    /// Fails if the header cannot be read.
    fn of(position: u64, bytes: &'a [u8]) -> Result<Checked<'a>, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        let crc_valid = batch::check_crc(bytes);
        let (records, unreadable) = match batch::records(bytes, RECORD_BYTES_MAX) {
            Ok(records) => {
                let error = records.iter().find_map(Result::err);
                (Some(records), error.map(|error| error.to_string()))
            }
            Err(error) => (None, Some(error.to_string())),
        };
        let control = header
            .attributes
            .is_control()
            .then(|| ControlType::of_batch(bytes).ok())
            .flatten();
        let damage = if crc_valid {
            unreadable
        } else {
            Some("wrong CRC".to_owned())
        };
        Ok(Checked {
            position,
            header,
            crc_valid,
            control,
            records,
            damage,
        })
    }

    fn row(&self) -> [String; HEADINGS.len()] {
        let header = &self.header;
        let producer = match header.has_producer_id() {
            true => format!(
                "{}/{}@{}",
                header.producer_id, header.producer_epoch, header.base_sequence
            ),
            false => "-".to_owned(),
        };
        [
            self.position.to_string(),
            header.total_len().to_string(),
            format!("{}..{}", header.base_offset, header.last_offset()),
            header.record_count.to_string(),
            header.partition_leader_epoch.to_string(),
            codec(header),
            time(header.max_timestamp),
            producer,
            self.verdict(),
        ]
    }

    fn verdict(&self) -> String {
        if let Some(damage) = &self.damage {
            return format!("DAMAGED: {damage}");
        }
        let attributes = self.header.attributes;
        let mut verdict = match (attributes.is_control(), attributes.is_transactional()) {
            (true, _) => "ok, control",
            (false, true) => "ok, transactional",
            (false, false) => "ok",
        }
        .to_owned();
        // What compaction leaves of the last batch of a producer.
        if self.header.record_count == 0 {
            verdict.push_str(", emptied");
        }
        if let Some(horizon_ms) = self.header.delete_horizon_ms() {
            verdict.push_str(&format!(", delete horizon {}", time(horizon_ms)));
        }
        verdict
    }
}

const HEADINGS: [&str; 9] = [
    "POSITION",
    "BYTES",
    "OFFSETS",
    "RECORDS",
    "EPOCH",
    "CODEC",
    "MAX TIMESTAMP",
    "PRODUCER",
    "VERDICT",
];
/// A file may have millions of batches, so columns are not fitted to what is in them.
const WIDTHS: [usize; 9] = [10, 8, 20, 7, 5, 6, 24, 14, 0];

fn columns(cells: &[String; HEADINGS.len()]) -> String {
    let padded = cells
        .iter()
        .zip(WIDTHS)
        .map(|(cell, width)| format!("{cell:<width$}"));
    padded.collect::<Vec<_>>().join("  ")
}

impl Totals {
    fn count(&mut self, batch: &Checked<'_>) {
        let header = &batch.header;
        self.batches += 1;
        self.records += u64::try_from(header.record_count).unwrap_or(0);
        self.damaged += u64::from(batch.damage.is_some());
        let first = self.offsets.map_or(header.base_offset, |(first, _)| first);
        self.offsets = Some((first, header.last_offset()));
    }

    fn text(&self, path: Option<&Path>) -> String {
        let path = path
            .map(|path| format!("{}: ", path.display()))
            .unwrap_or_default();
        let offsets = self
            .offsets
            .map(|(first, last)| format!(", offsets {first} to {last}"))
            .unwrap_or_default();
        format!(
            "{path}{} in {}{offsets}",
            output::count(self.records, "record"),
            batches(self.batches)
        )
    }
}

fn batches(number: u64) -> String {
    let noun = if number == 1 { "batch" } else { "batches" };
    format!("{} {noun}", indicatif::HumanCount(number))
}

fn codec(header: &BatchHeader) -> String {
    header
        .codec()
        .map_or_else(|_| "unknown".to_owned(), |codec| codec.name().to_owned())
}

fn time(millis: i64) -> String {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(time) if millis >= 0 => format!("{time:.3}"),
        _ => "-".to_owned(),
    }
}

/// One batch, as `-o json` tells of it.
#[derive(Debug, Serialize)]
struct BatchJson<'a> {
    file: &'a Path,
    /// Where in the file it begins.
    position: u64,
    bytes: usize,
    base_offset: i64,
    last_offset: i64,
    record_count: i32,
    leader_epoch: i32,
    codec: String,
    crc: u32,
    crc_valid: bool,
    /// What is wrong with it; `null` if nothing is.
    damage: Option<&'a str>,
    timestamp_type: &'static str,
    base_timestamp: i64,
    max_timestamp: i64,
    /// When compaction may drop the batch's tombstones or its marker; `null` where it has met none.
    delete_horizon_ms: Option<i64>,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    transactional: bool,
    /// `commit`, `abort` or `other`; `null` unless it is a control batch.
    control: Option<&'static str>,
    /// With `--records` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<Vec<RecordJson<'a>>>,
}

impl<'a> BatchJson<'a> {
    fn of(file: &'a Path, batch: &'a Checked<'_>, with_records: bool) -> BatchJson<'a> {
        let header = &batch.header;
        let records = batch
            .records
            .as_ref()
            .filter(|_| with_records)
            .map(|records| {
                records
                    .iter()
                    .map_while(Result::ok)
                    .map(|record| RecordJson::of(header, &record))
                    .collect()
            });
        BatchJson {
            file,
            position: batch.position,
            bytes: header.total_len(),
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            record_count: header.record_count,
            leader_epoch: header.partition_leader_epoch,
            codec: codec(header),
            crc: header.crc,
            crc_valid: batch.crc_valid,
            damage: batch.damage.as_deref(),
            timestamp_type: match header.attributes.timestamp_type() {
                TimestampType::CreateTime => "CreateTime",
                TimestampType::LogAppendTime => "LogAppendTime",
            },
            base_timestamp: header.base_timestamp,
            max_timestamp: header.max_timestamp,
            delete_horizon_ms: header.delete_horizon_ms(),
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            transactional: header.attributes.is_transactional(),
            control: batch.control.map(|control| match control {
                ControlType::Commit => "commit",
                ControlType::Abort => "abort",
                ControlType::Other(_) => "other",
            }),
            records,
        }
    }
}

#[derive(Debug, Serialize)]
struct RecordJson<'a> {
    offset: i64,
    timestamp: i64,
    key: Option<Text<'a>>,
    value: Option<Text<'a>>,
    headers: Vec<(Text<'a>, Option<Text<'a>>)>,
}

impl<'a> RecordJson<'a> {
    fn of(header: &BatchHeader, record: &RecordView<'a>) -> RecordJson<'a> {
        RecordJson {
            offset: header.offset_of(record),
            timestamp: header.timestamp_of(record),
            key: record.key.map(Text::of),
            value: record.value.map(Text::of),
            headers: record
                .headers
                .map(|header| (Text::of(header.key), header.value.map(Text::of)))
                .collect(),
        }
    }
}
