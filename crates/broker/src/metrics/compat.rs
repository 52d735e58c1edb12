//! The names that others' dashboards and alerts ask for, so that they work unchanged (`metrics.kafka.compat`): those that
//! Strimzi's rules for the JMX exporter make of Kafka's beans, and those of kafka_exporter.
//!
//! Names, labels and types are theirs, odd as some are. Each HELP ends with who asks for it; `docs/metrics.md` shows that as
//! a column.

use cluster::ClusterImage;

use super::page::{Page, labels};
use super::process::DiskTraffic;
use super::survey::{PartitionRow, Survey, TopicRow};
use super::traffic::Counted;
use crate::config::{MetricsLevel, MetricsOptions};
use crate::context::Context;
use crate::groups::lag::{GroupRow, PartitionLag, TopicLag};

fn percent(share: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a percentage")]
    let percent = (share * 100.0) as i64;
    percent
}

/// What the families are made of.
pub(super) struct Sources<'a> {
    pub(super) ctx: &'a Context,
    pub(super) image: &'a ClusterImage,
    pub(super) is_controller: bool,
    pub(super) survey: &'a Survey,
    pub(super) groups: &'a [GroupRow],
    pub(super) disk: Option<DiskTraffic>,
    pub(super) options: MetricsOptions,
}

impl Sources<'_> {
    /// Writes all of them.
    pub(super) fn write(&self, page: &mut Page) {
        self.traffic(page);
        self.replicas(page);
        self.controller(page);
        self.sockets_and_disks(page);
        self.cleaner(page);
        if self.options.topic_level >= MetricsLevel::Partition {
            self.partitions(page);
        }
        self.cluster(page);
        if self.options.topic_level >= MetricsLevel::Topic {
            self.topics(page);
        }
        self.group_totals(page);
        self.group_partitions(page);
    }

    /// Without a label for all topics, as Kafka has it, and with one for each.
    fn traffic(&self, page: &mut Page) {
        let all = self.ctx.metrics.traffic.counted();
        let topics = self.options.topic_level >= MetricsLevel::Topic;
        let topics = if topics {
            self.survey.topics.as_slice()
        } else {
            &[]
        };
        let mut each = |name, help, value: fn(&Counted) -> u64| {
            let mut family = page.counter(name, help);
            family.value(value(&all));
            for topic in topics {
                family.sample(&topic.labels, value(&topic.counted));
            }
        };
        each(
            "kafka_server_brokertopicmetrics_bytesin_total",
            "Bytes taken from producers (Strimzi Kafka).",
            |counted| counted.bytes_in,
        );
        each(
            "kafka_server_brokertopicmetrics_bytesout_total",
            "Bytes of records sent to consumers (Strimzi Kafka).",
            |counted| counted.bytes_out,
        );
        each(
            "kafka_server_brokertopicmetrics_messagesin_total",
            "Records taken from producers (Strimzi Kafka).",
            |counted| counted.records_in,
        );
        each(
            "kafka_server_brokertopicmetrics_totalproducerequests_total",
            "Partitions in produce requests (Strimzi Kafka).",
            |counted| counted.produces,
        );
        each(
            "kafka_server_brokertopicmetrics_failedproducerequests_total",
            "Partitions in produce requests that failed unexpectedly (Strimzi Kafka).",
            |counted| counted.produces_failed,
        );
        each(
            "kafka_server_brokertopicmetrics_totalfetchrequests_total",
            "Partitions in fetch requests (Strimzi Kafka).",
            |counted| counted.fetches,
        );
        each(
            "kafka_server_brokertopicmetrics_failedfetchrequests_total",
            "Partitions in fetch requests that failed unexpectedly (Strimzi Kafka).",
            |counted| counted.fetches_failed,
        );
    }

    fn replicas(&self, page: &mut Page) {
        let sums = self.survey.sums;
        page.gauge(
            "kafka_server_replicamanager_leadercount",
            "Partitions led here (Strimzi Kafka).",
        )
        .value(sums.led);
        page.gauge(
            "kafka_server_replicamanager_partitioncount",
            "Partitions with a log here (Strimzi Kafka).",
        )
        .value(sums.partitions);
        page.gauge(
            "kafka_server_replicamanager_underreplicatedpartitions",
            "Partitions led here with fewer replicas in sync than there are (Strimzi Kafka, its alerts).",
        )
        .value(sums.under_replicated);
        page.gauge(
            "kafka_server_replicamanager_underminisrpartitioncount",
            "Partitions led here with fewer replicas in sync than min.insync.replicas (Strimzi Kafka's alerts).",
        )
        .value(sums.under_min_isr);
        page.gauge(
            "kafka_server_replicamanager_atminisrpartitioncount",
            "Partitions led here with as many replicas in sync as min.insync.replicas (others for the JMX exporter).",
        )
        .value(sums.at_min_isr);
    }

    fn controller(&self, page: &mut Page) {
        let is_controller = self.is_controller;
        page.gauge(
            "kafka_controller_kafkacontroller_activecontrollercount",
            "1 on the controller, 0 elsewhere (Strimzi Kafka, its alerts).",
        )
        .value(u8::from(is_controller));
        let offline = if is_controller {
            self.survey.sums.offline
        } else {
            0
        };
        page.gauge(
            "kafka_controller_kafkacontroller_offlinepartitionscount",
            "Partitions that nobody can read or write (Strimzi Kafka, its alerts).",
        )
        .value(offline);
        page.counter(
            "kafka_controller_controllerstats_uncleanleaderelections_total",
            "Leaders elected from outside the replicas in sync; never on a single broker (Strimzi Kafka).",
        )
        .value(0);
    }

    /// Kafka's own beans, `LogCleaner` and `LogCleanerManager`.
    fn cleaner(&self, page: &mut Page) {
        let status = self.ctx.store.cleaner_status();
        let last = status.last;
        let written = last.written_bytes.saturating_mul(100) / last.read_bytes.max(1);
        let mut gauge = |name, help, value: i64| {
            page.gauge(name, help).value(value);
        };
        let whole = |number: u128| i64::try_from(number).unwrap_or(i64::MAX);
        gauge(
            "kafka_log_logcleaner_cleaner_recopy_percent",
            "What the last compaction of a log left of it, in percent (Strimzi Kafka).",
            whole(written.into()),
        );
        gauge(
            "kafka_log_logcleaner_max_buffer_utilization_percent",
            "How full the last compaction's memory for keys became, in percent (Strimzi Kafka).",
            percent(last.buffer_utilization),
        );
        gauge(
            "kafka_log_logcleaner_max_clean_time_secs",
            "How long the last compaction of a log took (Strimzi Kafka).",
            whole(last.elapsed.as_secs().into()),
        );
        gauge(
            "kafka_log_logcleaner_max_compaction_delay_secs",
            "By how much a log has passed its max.compaction.lag.ms (Strimzi Kafka).",
            status.max_compaction_delay_ms / 1000,
        );
        gauge(
            "kafka_log_logcleaner_deadthreadcount",
            "Threads of compaction that have died (Strimzi Kafka).",
            whole(status.dead_threads as u128),
        );
        gauge(
            "kafka_log_logcleanermanager_max_dirty_percent",
            "The uncompacted share of the log that has most of it, in percent (Strimzi Kafka).",
            status.max_dirty_percent,
        );
        gauge(
            "kafka_log_logcleanermanager_time_since_last_run_ms",
            "Time since compaction last looked for work (Strimzi Kafka).",
            whole(status.since_last_look.as_millis()),
        );
        let labels_of = |dir: &storage::DirCleaning| {
            labels(&[("logDirectory", &dir.path.display().to_string())])
        };
        let mut logs = page.gauge(
            "kafka_log_logcleanermanager_uncleanable_partitions_count",
            "Partitions whose compaction failed, or met batches that it cannot read (Strimzi Kafka).",
        );
        for dir in &status.dirs {
            logs.sample(&labels_of(dir), dir.uncleanable_logs);
        }
        let mut bytes = page.gauge(
            "kafka_log_logcleanermanager_uncleanable_bytes",
            "Uncompacted bytes of these partitions (Strimzi Kafka).",
        );
        for dir in &status.dirs {
            bytes.sample(&labels_of(dir), dir.uncleanable_bytes);
        }
    }

    fn sockets_and_disks(&self, page: &mut Page) {
        let ctx = self.ctx;
        let mut connections = page.gauge(
            "kafka_server_socket_server_metrics_connection_count",
            "Client connections open now, by listener (Strimzi Kafka).",
        );
        for listener in &ctx.config().listeners {
            let open = &ctx.metrics.network.connections;
            let open = open.with_label_values(&[&listener.name]).get();
            let labels = labels(&[("listener", &listener.name), ("networkProcessor", "0")]);
            connections.sample(&labels, open);
        }
        // One pool of threads does both here.
        let idle = ctx.metrics.runtime.idle_ratio();
        page.gauge(
            "kafka_network_socketserver_networkprocessoravgidle_percent",
            "Share of their time that the async threads were idle, 0 to 1 (Strimzi Kafka).",
        )
        .value(idle);
        page.gauge(
            "kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent",
            "Share of their time that the async threads were idle, 0 to 1 (Strimzi Kafka).",
        )
        .value(idle);
        let dirs = ctx.store.dirs();
        let offline = dirs.iter().filter(|dir| dir.offline.is_some()).count();
        page.gauge(
            "kafka_log_logmanager_offlinelogdirectorycount",
            "Log directories that failed (Strimzi Kafka's alerts).",
        )
        .value(offline);
        let Some(disk) = self.disk else { return };
        page.gauge(
            "kafka_server_kafkaserver_linux_disk_read_bytes",
            "Bytes that the process had read from disks (Strimzi Kafka).",
        )
        .value(disk.read_bytes);
        page.gauge(
            "kafka_server_kafkaserver_linux_disk_write_bytes",
            "Bytes that the process had written to disks (Strimzi Kafka).",
        )
        .value(disk.written_bytes);
    }

    fn partitions(&self, page: &mut Page) {
        let mut sizes = page.gauge(
            "kafka_log_log_size",
            "Bytes of a partition's log (Strimzi Kafka).",
        );
        for partition in self.survey.partitions() {
            sizes.sample(&partition.labels, partition.size_bytes);
        }
        let mut each = |name, help, value: fn(&PartitionRow) -> i64| {
            let mut family = page.gauge(name, help);
            for partition in self.survey.led() {
                family.sample(&partition.labels, value(partition));
            }
        };
        each(
            "kafka_cluster_partition_replicascount",
            "Replicas of a partition (Strimzi Kafka's choice of topics).",
            |row| as_number(row.replicas),
        );
        each(
            "kafka_cluster_partition_atminisr",
            "1 for a partition with as many replicas in sync as min.insync.replicas (Strimzi Kafka, Kafka Exporter).",
            |row| i64::from(row.in_sync == row.in_sync_min),
        );
        each(
            "kafka_cluster_partition_underminisr",
            "1 for a partition with fewer replicas in sync than min.insync.replicas (Strimzi Kafka, Kafka Exporter).",
            |row| i64::from(row.in_sync < row.in_sync_min),
        );
        each(
            "kafka_topic_partition_current_offset",
            "The offset behind a partition's last visible record (Kafka Exporter).",
            |row| row.high_watermark,
        );
        each(
            "kafka_topic_partition_oldest_offset",
            "A partition's first offset that may be read (Kafka Exporter).",
            |row| row.start_offset,
        );
        each(
            "kafka_topic_partition_in_sync_replica",
            "Replicas of a partition that are in sync (Kafka Exporter).",
            |row| as_number(row.in_sync),
        );
        each(
            "kafka_topic_partition_leader",
            "Node id of a partition's leader (others for kafka_exporter).",
            |row| i64::from(row.leader),
        );
        each(
            "kafka_topic_partition_leader_is_preferred",
            "1 for a partition led by its first replica (Kafka Exporter).",
            |row| i64::from(row.leader_is_preferred),
        );
        each(
            "kafka_topic_partition_replicas",
            "Replicas of a partition (Kafka Exporter).",
            |row| as_number(row.replicas),
        );
        each(
            "kafka_topic_partition_under_replicated_partition",
            "1 for a partition with fewer replicas in sync than there are (Kafka Exporter).",
            |row| i64::from(row.in_sync < row.replicas),
        );
    }

    /// Told by one broker for all of them.
    fn cluster(&self, page: &mut Page) {
        if !self.is_controller {
            return;
        }
        page.gauge(
            "kafka_brokers",
            "Brokers of the cluster (others for kafka_exporter).",
        )
        .value(self.image.active_brokers().count());
        let mut infos = page.gauge(
            "kafka_broker_info",
            "Always 1; a broker and where it is reached (Kafka Exporter's choice of clusters).",
        );
        for (id, broker) in self.image.active_brokers() {
            let address = broker.listeners.first();
            let address = address.map_or_else(String::new, |listener| {
                format!("{}:{}", listener.host, listener.port)
            });
            let labels = labels(&[("id", &id.to_string()), ("address", &address)]);
            infos.sample(&labels, 1);
        }
    }

    fn topics(&self, page: &mut Page) {
        let mut family = page.gauge(
            "kafka_topic_partitions",
            "Partitions of a topic (Kafka Exporter).",
        );
        let spoken_for = |topic: &&TopicRow| topic.speaks;
        for topic in self.survey.topics.iter().filter(spoken_for) {
            family.sample(&topic.labels, topic.partitions_in_cluster);
        }
    }

    fn group_totals(&self, page: &mut Page) {
        if self.options.group_level < MetricsLevel::Group {
            return;
        }
        let mut members = page.gauge(
            "kafka_consumergroup_members",
            "Members of a group (others for kafka_exporter).",
        );
        for group in self.groups {
            members.sample(&labels(&[("consumergroup", &group.id)]), group.members);
        }
        if self.options.group_level < MetricsLevel::Topic {
            return;
        }
        let mut each = |name, help, value: fn(&TopicLag) -> i64| {
            let mut family = page.gauge(name, help);
            for group in self.groups {
                for topic in &group.topics {
                    family.sample(&group_labels(group, topic), value(topic));
                }
            }
        };
        each(
            "kafka_consumergroup_current_offset_sum",
            "A group's committed offsets, summed over a topic's partitions (others for kafka_exporter).",
            TopicLag::offset_sum,
        );
        each(
            "kafka_consumergroup_lag_sum",
            "A group's lag, summed over a topic's partitions (others for kafka_exporter).",
            TopicLag::lag,
        );
    }

    fn group_partitions(&self, page: &mut Page) {
        if self.options.group_level < MetricsLevel::Partition {
            return;
        }
        let mut each = |name, help, value: fn(&PartitionLag) -> i64| {
            let mut family = page.gauge(name, help);
            for group in self.groups {
                for topic in &group.topics {
                    let common = group_labels(group, topic);
                    for partition in &topic.partitions {
                        let index = partition.index;
                        let labels = format!("{common},partition=\"{index}\"");
                        family.sample(&labels, value(partition));
                    }
                }
            }
        };
        each(
            "kafka_consumergroup_current_offset",
            "What a group has committed for a partition (Kafka Exporter).",
            |partition| partition.offset,
        );
        each(
            "kafka_consumergroup_lag",
            "Records between what a group has committed and a partition's high watermark (Kafka Exporter, its alerts).",
            |partition| partition.lag,
        );
    }
}

fn group_labels(group: &GroupRow, topic: &TopicLag) -> String {
    labels(&[("consumergroup", &group.id), ("topic", &topic.name)])
}

fn as_number(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
