//! This broker's own names for topics, partitions and groups.

use super::page::{Page, labels};
use super::survey::{Survey, TopicRow};
use crate::config::MetricsLevel;
use crate::groups::lag::GroupRow;

/// Whether everything that should be served is, at any level.
pub(super) fn health(page: &mut Page, survey: &Survey, is_controller: bool) {
    let sums = survey.sums;
    page.gauge(
        "tidewater_controller_active",
        "1 on the broker that is controller, 0 elsewhere.",
    )
    .value(u8::from(is_controller));
    page.gauge("tidewater_partitions_led", "Partitions led by this broker.")
        .value(sums.led);
    page.gauge(
        "tidewater_partitions_offline",
        "Partitions of the cluster that nobody can read or write; told by the controller.",
    )
    .value(if is_controller { sums.offline } else { 0 });
    page.gauge(
        "tidewater_partitions_under_replicated",
        "Partitions led here with fewer replicas in sync than there are.",
    )
    .value(sums.under_replicated);
    page.gauge(
        "tidewater_partitions_under_min_isr",
        "Partitions led here with fewer replicas in sync than min.insync.replicas.",
    )
    .value(sums.under_min_isr);
}

/// What topics are and have, at this level.
pub(super) fn topics(page: &mut Page, survey: &Survey, level: MetricsLevel) {
    if level < MetricsLevel::Topic {
        return;
    }
    let mut each = |name, help, value: fn(&TopicRow) -> u64| {
        let mut family = page.counter(name, help);
        for topic in &survey.topics {
            family.sample(&topic.labels, value(topic));
        }
    };
    each(
        "tidewater_topic_produced_bytes_total",
        "Bytes of record batches appended to the topic.",
        |topic| topic.counted.bytes_in,
    );
    each(
        "tidewater_topic_produced_records_total",
        "Records appended to the topic.",
        |topic| topic.counted.records_in,
    );
    each(
        "tidewater_topic_fetched_bytes_total",
        "Bytes of the topic's record batches sent to consumers.",
        |topic| topic.counted.bytes_out,
    );
    let mut sizes = page.gauge(
        "tidewater_topic_size_bytes",
        "Bytes of the topic's logs on this broker.",
    );
    for topic in &survey.topics {
        sizes.sample(&topic.labels, topic.size_bytes);
    }
    if level >= MetricsLevel::Partition {
        partitions(page, survey);
    }
}

fn partitions(page: &mut Page, survey: &Survey) {
    let mut starts = page.gauge(
        "tidewater_partition_start_offset",
        "The first offset that may be read.",
    );
    for partition in survey.partitions() {
        starts.sample(&partition.labels, partition.start_offset);
    }
    let mut ends = page.gauge(
        "tidewater_partition_high_watermark",
        "The offset behind the last record that consumers see.",
    );
    for partition in survey.partitions() {
        ends.sample(&partition.labels, partition.high_watermark);
    }
    let mut sizes = page.gauge(
        "tidewater_partition_size_bytes",
        "Bytes of the partition's log.",
    );
    for partition in survey.partitions() {
        sizes.sample(&partition.labels, partition.size_bytes);
    }
}

/// How far groups are behind, at this level. A group that has committed nothing is not behind.
pub(super) fn groups(page: &mut Page, groups: &[GroupRow], level: MetricsLevel) {
    if level < MetricsLevel::Group {
        return;
    }
    let group_labels: Vec<String> = groups
        .iter()
        .map(|group| labels(&[("group", &group.id)]))
        .collect();
    let groups = || groups.iter().zip(&group_labels);
    let mut sums = page.gauge(
        "tidewater_group_lag",
        "Records between the group's committed offsets and the high watermarks, over all its partitions.",
    );
    for (group, labels) in groups().filter(|(group, _)| !group.topics.is_empty()) {
        sums.sample(labels, group.lag());
    }
    let mut most = page.gauge(
        "tidewater_group_lag_max",
        "The same of the partition where the group is furthest behind.",
    );
    for (group, labels) in groups().filter(|(group, _)| !group.topics.is_empty()) {
        most.sample(labels, group.lag_max());
    }
    let mut members = page.gauge("tidewater_group_size", "Members of the group.");
    for (group, labels) in groups() {
        members.sample(labels, group.members);
    }
    if level >= MetricsLevel::Topic {
        let mut family = page.gauge(
            "tidewater_group_topic_lag",
            "Records between the group's committed offsets and the high watermarks of the topic.",
        );
        for (group, labels_of_group) in groups() {
            for topic in &group.topics {
                let labels = format!("{labels_of_group},{}", labels(&[("topic", &topic.name)]));
                family.sample(&labels, topic.lag());
            }
        }
    }
    if level >= MetricsLevel::Partition {
        let mut family = page.gauge(
            "tidewater_group_partition_lag",
            "Records between the group's committed offset and the partition's high watermark.",
        );
        for (group, labels_of_group) in groups() {
            for topic in &group.topics {
                let topic_labels = labels(&[("topic", &topic.name)]);
                for partition in &topic.partitions {
                    let index = partition.index;
                    let labels = format!("{labels_of_group},{topic_labels},partition=\"{index}\"");
                    family.sample(&labels, partition.lag);
                }
            }
        }
    }
}
