//! `tidewater bench`: how fast a cluster takes records, gives them, and passes them on.
//!
//! Memory is bounded by the connections: each has one request on its way. Latencies go into histograms of fixed size. Where a
//! rate is asked for, a record's latency begins when its turn was, not when there was time for it, so that a stall is counted
//! for every record that had to wait (coordinated omission).

mod commit;
mod consume;
mod e2e;
mod pace;
mod produce;
mod report;
mod transaction;

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use indicatif::ProgressBar;

use self::pace::{Goal, Pace};
use self::report::Report;
use crate::args::{ConnectArgs, OutputArgs, duration};
use crate::client::{Client, Topic};
use crate::commands::produce::{Compression, Durability};
use crate::outcome::{Outcome, usage};
use crate::output::{self, Unit, Work};

/// Measure throughput and latency: p50, p95, p99, p99.9 and the longest
///
/// Without --topic a topic is created for it and deleted afterwards. Memory does not grow with the number of records. With
/// --rate, latency counts from the moment a record was due, so what a stall keeps waiting is counted too.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Write records; latency is from the record to its acknowledgement
    Produce {
        #[command(flatten)]
        common: CommonArgs,
        #[command(flatten)]
        write: WriteArgs,
        /// Records a second; as many as possible if left out
        #[arg(long, value_name = "COUNT")]
        rate: Option<NonZeroU32>,
    },
    /// Read records from the start of a topic to its end, and look at each; latency is that of a fetch
    Consume {
        #[command(flatten)]
        common: CommonArgs,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Commit offsets of all partitions, each connection for a group of its own; latency is that of a commit
    Commit {
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Write and commit transactions, each connection those of a transactional id of its own; latency is that of a commit
    Transaction {
        #[command(flatten)]
        common: CommonArgs,
        #[command(flatten)]
        write: WriteArgs,
        /// Partitions that each transaction writes a batch to
        #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
        spread: u16,
        /// Transactions a second; as many as possible if left out
        #[arg(long, value_name = "COUNT")]
        rate: Option<NonZeroU32>,
    },
    /// Write records and read them at the same time; latency is from the moment a record was due until a consumer has it
    E2e {
        #[command(flatten)]
        common: CommonArgs,
        #[command(flatten)]
        write: WriteArgs,
        /// Records a second
        #[arg(long, value_name = "COUNT", default_value = "1000")]
        rate: NonZeroU32,
    },
}

#[derive(Debug, Args)]
struct CommonArgs {
    /// The topic; one is created and deleted again if left out
    #[arg(short, long)]
    topic: Option<String>,
    /// Partitions of the topic that is created
    #[arg(short, long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// Replicas of the topic that is created; the broker's `default.replication.factor` if left out
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// End after so many records; of `commit` and `transaction`, after so many of these
    #[arg(short = 'n', long, value_name = "COUNT", conflicts_with = "duration")]
    records: Option<NonZeroU64>,
    /// End after so long; 10s if neither this nor --records is given
    #[arg(short, long, value_name = "DURATION", value_parser = duration)]
    duration: Option<Duration>,
    /// Connections to each leader, each with one request on its way
    #[arg(short, long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
}

/// How records are written.
#[derive(Debug, Clone, Copy, Default, Args)]
struct WriteArgs {
    /// Bytes of each record's value
    #[arg(short, long, value_name = "BYTES", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(16..=10_000_000))]
    size: u32,
    /// Bytes of values that a batch may have
    #[arg(long, value_name = "BYTES", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    batch_size: u32,
    /// How batches are compressed; values are text of which about half is random
    #[arg(short = 'z', long, value_enum, default_value_t = Compression::None)]
    compression: Compression,
    /// Who must have a record before it counts as written
    #[arg(long, value_enum, default_value_t = Durability::All)]
    acks: Durability,
}

impl WriteArgs {
    /// Records of one batch at most.
    fn batch_records(&self) -> u64 {
        u64::from(self.batch_size / self.size).max(1)
    }
}

/// What every benchmark needs.
struct Bench<'a> {
    client: &'a mut Client,
    topic: Topic,
    common: &'a CommonArgs,
    write: WriteArgs,
    bar: ProgressBar,
}

pub(crate) async fn run(args: BenchArgs) -> anyhow::Result<Outcome> {
    let (common, write, rate) = match &args.command {
        BenchCommand::Produce {
            common,
            write,
            rate,
        } => (common, *write, *rate),
        BenchCommand::Consume { common, write } => (common, *write, None),
        BenchCommand::Commit { common } => (common, WriteArgs::default(), None),
        BenchCommand::Transaction {
            common,
            write,
            rate,
            ..
        } => (common, *write, *rate),
        BenchCommand::E2e {
            common,
            write,
            rate,
        } => (common, *write, Some(*rate)),
    };
    let client = &mut Client::connect(&args.connect).await?;
    let own = match &common.topic {
        Some(_) => None,
        None => {
            let replicas = common.replication_factor.unwrap_or(-1);
            Some(
                client
                    .create_own_topic("bench", common.partitions, replicas, &[])
                    .await?,
            )
        }
    };
    let name = own
        .as_ref()
        .map(|own| own.name.clone())
        .or(common.topic.clone());
    let name = name.unwrap_or_default();
    let measured = tokio::select! {
        measured = measure(&args.command, client, &name, common, write, rate) => measured,
        // What was made is taken away, also if somebody has seen enough.
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    };
    if let Some(own) = own {
        // The connection may be in the middle of a call that nobody waits for any more.
        let mut client = Client::connect(&args.connect).await?;
        own.delete(&mut client).await?;
    }
    let report = measured?;
    output::answer(args.output.output, &report, |_| report.text())?;
    Ok(Outcome::Done)
}

async fn measure(
    command: &BenchCommand,
    client: &mut Client,
    topic: &str,
    common: &CommonArgs,
    write: WriteArgs,
    rate: Option<NonZeroU32>,
) -> anyhow::Result<Report> {
    let unit = match common.records {
        Some(_) => Unit::Records,
        None => Unit::Millis,
    };
    let length = match common.records {
        Some(records) => records.get(),
        None => u64::try_from(common.length().as_millis()).unwrap_or(u64::MAX),
    };
    let bench = Bench {
        topic: client.topic(topic, true).await?,
        client,
        common,
        write,
        bar: output::progress(Work::Bench(unit), Some(length)),
    };
    let bar = bench.bar.clone();
    let report = match command {
        BenchCommand::Produce { .. } => produce::run(bench, rate).await,
        BenchCommand::Consume { .. } => consume::run(bench).await,
        BenchCommand::Commit { .. } => commit::run(bench).await,
        BenchCommand::Transaction { spread, .. } => transaction::run(bench, *spread, rate).await,
        BenchCommand::E2e { .. } if write.acks == Durability::Nobody => Err(usage(
            "without acknowledgements nobody knows what to wait for; e2e needs --acks 1 or all",
        )),
        BenchCommand::E2e { .. } => e2e::run(bench, rate).await,
    };
    bar.finish_and_clear();
    report
}

impl CommonArgs {
    /// How long it lasts where no number of records ends it.
    fn length(&self) -> Duration {
        self.duration.unwrap_or(Duration::from_secs(10))
    }

    fn goal(&self) -> Goal {
        match self.records {
            Some(records) => Goal::Records(records.get()),
            None => Goal::Time(self.length()),
        }
    }
}

impl Bench<'_> {
    fn pace(&self, goal: Goal, rate: Option<NonZeroU32>) -> Arc<Pace> {
        Arc::new(Pace::begin(goal, rate, self.bar.clone()))
    }
}
