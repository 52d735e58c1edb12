//! What clients pushed, summed up by metric and client software, and shown in a bounded number of series.

use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType, Summary};
use prometheus::{IntCounter, IntCounterVec, Opts};
use tokio::time::Instant;

use super::instances::Instances;
use super::otlp::{Sample, Value};
use super::{TelemetryError, elapsed_ms};

/// Series of all metrics and software.
const SERIES_MAX: usize = 2_000;
/// Names of client software; those beyond are `other`.
const SOFTWARE_MAX: usize = 20;
const OTHER: &str = "other";
/// Bytes of a metric's name, or of a software's.
const NAME_BYTES_MAX: usize = 200;

const COUNTED: &str = "tidewater_client_counted_total";
const OBSERVED: &str = "tidewater_client_observed";
const INSTANCES: &str = "tidewater_client_telemetry_instances";

/// All that is known of pushed metrics.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// By software, then by metric.
    by_software: HashMap<Box<str>, HashMap<Box<str>, Total>>,
    len: usize,
    dropped: Dropped,
}

/// Samples that are in no series, by the reason.
#[derive(Debug, Default)]
struct Dropped {
    series: u64,
    name: u64,
}

/// A metric's samples of all clients of one software.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Total {
    /// Growth of counters.
    counted: Option<f64>,
    observed_sum: f64,
    observed_count: u64,
}

impl Series {
    /// Adds a sample; one that is no finite number says nothing, as of an average without samples.
    pub(super) fn add(&mut self, sample: &Sample<'_>, software: &str) {
        let number = match sample.value {
            Value::Growth(number) | Value::Measured(number) => number,
            Value::Histogram { sum, .. } => sum,
        };
        let shrinks = matches!(sample.value, Value::Growth(growth) if growth < 0.0);
        if !number.is_finite() || shrinks {
            return;
        }
        if !is_metric_name(sample.name) {
            self.dropped.name += 1;
            return;
        }
        let Some(total) = self.total(sample.name, software) else {
            self.dropped.series += 1;
            return;
        };
        match sample.value {
            Value::Growth(growth) => *total.counted.get_or_insert(0.0) += growth,
            Value::Measured(measured) => {
                total.observed_sum += measured;
                total.observed_count += 1;
            }
            Value::Histogram { sum, count } => {
                total.observed_sum += sum;
                total.observed_count = total.observed_count.saturating_add(count);
            }
        }
    }

    fn total(&mut self, metric: &str, software: &str) -> Option<&mut Total> {
        let is_known = self.by_software.contains_key(software);
        let has_room = self.by_software.len() < SOFTWARE_MAX && software.len() <= NAME_BYTES_MAX;
        let software = if is_known || has_room {
            software
        } else {
            OTHER
        };
        let known = self.by_software.get(software);
        if known.is_none_or(|metrics| !metrics.contains_key(metric)) {
            if self.len >= SERIES_MAX {
                return None;
            }
            self.len += 1;
        }
        let metrics = self.by_software.entry(software.into()).or_default();
        Some(metrics.entry(metric.into()).or_default())
    }

    fn families(&self) -> [MetricFamily; 3] {
        let (mut counted, mut observed) = (Vec::new(), Vec::new());
        for (software, metrics) in &self.by_software {
            for (metric, total) in metrics {
                let labels = vec![label("metric", metric), label("software", software)];
                if let Some(value) = total.counted {
                    counted.push(counter(labels.clone(), value));
                }
                if total.observed_count > 0 {
                    let mut summary = Summary::default();
                    summary.set_sample_sum(total.observed_sum);
                    summary.set_sample_count(total.observed_count);
                    let mut metric = Metric::from_label(labels);
                    metric.set_summary(summary);
                    observed.push(metric);
                }
            }
        }
        let dropped = [("name", self.dropped.name), ("series", self.dropped.series)];
        let dropped =
            dropped.map(|(reason, count)| counter(vec![label("reason", reason)], count as f64));
        [
            family(
                COUNTED,
                "What clients counted (KIP-714), since this broker began to receive it.",
                MetricType::COUNTER,
                counted,
            ),
            family(
                OBSERVED,
                "What clients measured (KIP-714): sum and number of the values they pushed.",
                MetricType::SUMMARY,
                observed,
            ),
            family(
                "tidewater_client_telemetry_dropped_total",
                "Values pushed by clients that no series shows, because of their names or because there are too many.",
                MetricType::COUNTER,
                dropped.into(),
            ),
        ]
    }
}

fn is_metric_name(name: &str) -> bool {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    fits && name.bytes().all(plain)
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}

fn counter(labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = Metric::from_label(labels);
    metric.set_counter(counter);
    metric
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

/// What requests write and the scrape reads.
pub(super) struct Exported {
    origin: Instant,
    pub(super) instances: Mutex<Instances>,
    pub(super) series: Mutex<Series>,
    pub(super) accepted: IntCounter,
    refused: IntCounterVec,
}

impl Exported {
    pub(super) fn new(origin: Instant) -> Result<Self, prometheus::Error> {
        let refused = IntCounterVec::new(
            Opts::new(
                "tidewater_client_telemetry_refused_total",
                "Telemetry requests of clients that were refused, by reason.",
            ),
            &["reason"],
        )?;
        for reason in TelemetryError::REASONS {
            refused.with_label_values(&[reason]);
        }
        Ok(Self {
            origin,
            instances: Mutex::default(),
            series: Mutex::default(),
            accepted: IntCounter::new(
                "tidewater_client_telemetry_pushes_total",
                "Pushes of client telemetry that were taken in.",
            )?,
            refused,
        })
    }

    pub(super) fn count_refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    pub(super) fn collector(self: Arc<Self>) -> impl Collector {
        Shown(self)
    }

    fn instances(&self) -> MetricFamily {
        let count = self.instances.lock().count(elapsed_ms(self.origin));
        let mut gauge = Gauge::default();
        gauge.set_value(count as f64);
        let mut metric = Metric::default();
        metric.set_gauge(gauge);
        let help = "Client instances that ask for telemetry subscriptions or push.";
        family(INSTANCES, help, MetricType::GAUGE, vec![metric])
    }
}

struct Shown(Arc<Exported>);

impl Collector for Shown {
    fn desc(&self) -> Vec<&Desc> {
        // The registry wants some; those of the families made at each scrape are held apart by their names alone.
        [self.0.accepted.desc(), self.0.refused.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.accepted.collect();
        families.extend(self.0.refused.collect());
        families.extend(self.0.series.lock().families());
        families.push(self.0.instances());
        // A family without a metric cannot be encoded.
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growth(name: &str, by: f64) -> Sample<'_> {
        Sample {
            name,
            value: Value::Growth(by),
        }
    }

    #[test]
    fn clients_of_one_software_are_added_up() {
        let mut series = Series::default();
        series.add(&growth("sent", 2.0), "java");
        series.add(&growth("sent", 3.0), "java");
        series.add(&growth("sent", 7.0), "librdkafka");
        series.add(&growth("sent", f64::NAN), "java");
        series.add(&growth("sent", -1.0), "java");
        assert_eq!(series.by_software["java"]["sent"].counted, Some(5.0));
        assert_eq!(series.by_software["librdkafka"]["sent"].counted, Some(7.0));
        for value in [
            Value::Measured(1.5),
            Value::Histogram { sum: 4.5, count: 3 },
        ] {
            series.add(
                &Sample {
                    name: "latency",
                    value,
                },
                "java",
            );
        }
        let latency = series.by_software["java"]["latency"];
        assert_eq!((latency.observed_sum, latency.observed_count), (6.0, 4));
    }

    #[test]
    fn hostile_names_make_no_series_and_series_have_an_end() {
        let mut series = Series::default();
        for name in ["", "a\"b", "a b", "ä", &"x".repeat(201)] {
            series.add(&growth(name, 1.0), "java");
        }
        assert_eq!((series.len, series.dropped.name), (0, 5));
        for index in 0..SERIES_MAX + 5 {
            series.add(&growth(&format!("m{index}"), 1.0), "java");
        }
        assert_eq!((series.len, series.dropped.series), (SERIES_MAX, 5));
        series.add(&growth("m0", 1.0), "java");
        assert_eq!(series.by_software["java"]["m0"].counted, Some(2.0));
    }

    #[test]
    fn software_beyond_the_first_names_is_other() {
        let mut series = Series::default();
        for index in 0..SOFTWARE_MAX + 5 {
            series.add(&growth("sent", 1.0), &format!("software-{index}"));
        }
        assert_eq!(series.by_software[OTHER]["sent"].counted, Some(5.0));
        assert!(series.by_software.len() <= SOFTWARE_MAX + 1);
    }
}
