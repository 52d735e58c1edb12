//! What `/metrics` shows, and how finely.

/// How finely something is told apart in the labels of metrics. Each level shows what the ones before it show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricsLevel {
    /// Not at all.
    #[default]
    None,
    /// By group.
    Group,
    /// By topic.
    Topic,
    /// By partition.
    Partition,
}

impl MetricsLevel {
    /// The level of this name; the key's check has let nothing else through.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "group" => Self::Group,
            "topic" => Self::Topic,
            "partition" => Self::Partition,
            _ => Self::None,
        }
    }
}

/// What `/metrics` shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetricsOptions {
    /// Whether the names of Kafka's JMX exporter and of kafka_exporter are there too.
    pub kafka_compat: bool,
    /// Of consumer groups.
    pub group_level: MetricsLevel,
    /// Of topics.
    pub topic_level: MetricsLevel,
}
