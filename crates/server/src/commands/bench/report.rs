//! What a benchmark found.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::Bench;
use crate::output;

/// Where a latency begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Since {
    /// When the record was due at the rate asked for.
    Due,
    /// When its batch was sent: without a rate there is no other beginning, and what a stall kept from being sent is not in it.
    Sent,
    /// When the fetch was sent, of which each counts once.
    Fetch,
    /// When the commit was sent.
    Commit,
    /// Nothing is acknowledged, so there is none.
    Nothing,
}

/// Fields stay as they are: scripts read them.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    benchmark: &'static str,
    topic: String,
    partitions: usize,
    /// Of `commit`, the requests; of `transaction`, the transactions.
    records: u64,
    /// Of keys and values.
    bytes: u64,
    seconds: f64,
    records_per_second: f64,
    bytes_per_second: f64,
    /// `null` where as many as possible were asked for.
    rate: Option<u32>,
    /// Written and acknowledged, and not read in time; always 0 but for `e2e`.
    missing: u64,
    latency_since: Since,
    /// `null` where nothing is acknowledged.
    latency_ms: Option<Latency>,
    settings: Settings,
}

#[derive(Debug, Serialize)]
struct Latency {
    mean: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    p99_9: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct Settings {
    connections: u16,
    /// Absent where nothing is written.
    #[serde(flatten)]
    write: Option<WriteSettings>,
}

#[derive(Debug, Serialize)]
struct WriteSettings {
    size: u32,
    batch_size: u32,
    compression: String,
    acks: String,
}

/// Less than this part of the rate asked for is said aloud.
const KEPT: f64 = 0.98;

impl Report {
    pub(super) fn of(
        benchmark: &'static str,
        bench: &Bench<'_>,
        took: Duration,
        since: Since,
    ) -> Report {
        Report {
            benchmark,
            topic: bench.topic.name.clone(),
            partitions: bench.topic.partitions.len(),
            records: 0,
            bytes: 0,
            seconds: took.as_secs_f64(),
            records_per_second: 0.0,
            bytes_per_second: 0.0,
            rate: None,
            missing: 0,
            latency_since: since,
            latency_ms: None,
            settings: Settings {
                connections: bench.common.connections,
                write: Some(WriteSettings {
                    size: bench.write.size,
                    batch_size: bench.write.batch_size,
                    compression: name(bench.write.compression),
                    acks: name(bench.write.acks),
                }),
            },
        }
    }

    pub(super) fn counted(&mut self, records: u64, bytes: u64) {
        let seconds = self.seconds.max(f64::MIN_POSITIVE);
        self.records = records;
        self.bytes = bytes;
        self.records_per_second = records as f64 / seconds;
        self.bytes_per_second = bytes as f64 / seconds;
    }

    pub(super) fn without_records(&mut self) {
        self.settings.write = None;
    }

    pub(super) fn at_rate(&mut self, rate: Option<NonZeroU32>) {
        self.rate = rate.map(NonZeroU32::get);
    }

    pub(super) fn lost(&mut self, records: u64) {
        self.missing = records;
    }

    pub(super) fn latencies(&mut self, latencies: &Histogram<u64>) {
        if latencies.is_empty() {
            return;
        }
        let millis = |micros: u64| micros as f64 / 1000.0;
        let quantile = |part| millis(latencies.value_at_quantile(part));
        self.latency_ms = Some(Latency {
            mean: latencies.mean() / 1000.0,
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
            p99_9: quantile(0.999),
            max: millis(latencies.max()),
        });
    }

    pub(super) fn text(&self) -> String {
        let (heading, noun) = match self.benchmark {
            "commit" => ("COMMITS", "commits"),
            "transaction" => ("TRANSACTIONS", "transactions"),
            _ => ("RECORDS", "records"),
        };
        let bytes = match self.settings.write {
            Some(_) => format!(", {:.2} MB/s", self.bytes_per_second / 1e6),
            None => String::new(),
        };
        let mut facts = vec![
            (
                "TOPIC",
                format!(
                    "{} ({})",
                    self.topic,
                    output::count(self.partitions as u64, "partition")
                ),
            ),
            (
                heading,
                format!("{} in {:.2} s", self.records, self.seconds),
            ),
            (
                "THROUGHPUT",
                format!("{:.0} {noun}/s{bytes}", self.records_per_second),
            ),
        ];
        if let Some(rate) = self.rate {
            let kept = self.records_per_second >= f64::from(rate) * KEPT;
            let kept = if kept {
                ""
            } else {
                ", which was not kept up: latencies include the waiting"
            };
            facts.push(("RATE ASKED", format!("{rate} records/s{kept}")));
        }
        if self.missing > 0 {
            facts.push((
                "MISSING",
                format!("{} written and not read in time", self.missing),
            ));
        }
        let since = match self.latency_since {
            Since::Due => "from when a record was due",
            Since::Sent => "from when a batch was sent; --rate measures from when a record was due",
            Since::Fetch => "of a fetch",
            Since::Commit => "of a commit",
            Since::Nothing => "not known without acknowledgements",
        };
        facts.push(("LATENCY", since.to_owned()));
        let mut text = output::facts(&facts);
        if let Some(latency) = &self.latency_ms {
            let Latency {
                mean,
                p50,
                p95,
                p99,
                p99_9,
                max,
            } = latency;
            let row = [p50, p95, p99, p99_9, max, mean].map(|millis| format!("{millis:.3} ms"));
            text.push('\n');
            text.push_str(&output::table_text(
                ["P50", "P95", "P99", "P99.9", "MAX", "MEAN"],
                [row],
            ));
        }
        text
    }
}

/// As the command line spells it.
fn name(value: impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}
