//! What goes through topics, counted for each and for all together. Plain atomics, found through the partition at hand: the
//! way of a request takes no lock for them, and the scrape reads them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wire::ResponseError;

/// Counts that only grow.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    bytes_in: AtomicU64,
    records_in: AtomicU64,
    bytes_out: AtomicU64,
    produces: AtomicU64,
    produces_failed: AtomicU64,
    fetches: AtomicU64,
    fetches_failed: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) bytes_in: u64,
    pub(crate) records_in: u64,
    pub(crate) bytes_out: u64,
    /// Partitions of produce requests, as Kafka counts them.
    pub(crate) produces: u64,
    pub(crate) produces_failed: u64,
    /// Partitions of fetch requests.
    pub(crate) fetches: u64,
    pub(crate) fetches_failed: u64,
}

impl Traffic {
    pub(crate) fn counted(&self) -> Counted {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counted {
            bytes_in: read(&self.bytes_in),
            records_in: read(&self.records_in),
            bytes_out: read(&self.bytes_out),
            produces: read(&self.produces),
            produces_failed: read(&self.produces_failed),
            fetches: read(&self.fetches),
            fetches_failed: read(&self.fetches_failed),
        }
    }
}

/// One topic's counts, which go with the topic. What they count, the counts of all topics count too, and those stay.
#[derive(Debug)]
pub(crate) struct TopicTraffic {
    own: Traffic,
    all: Arc<Traffic>,
}

impl TopicTraffic {
    pub(crate) fn new(all: Arc<Traffic>) -> Self {
        Self {
            own: Traffic::default(),
            all,
        }
    }

    pub(crate) fn counted(&self) -> Counted {
        self.own.counted()
    }

    /// A partition in a produce request.
    pub(crate) fn produce(&self) {
        self.add(1, |traffic| &traffic.produces);
    }

    /// The partition's data was not taken. What a client can know beforehand is no failure of the broker and not counted
    /// (`ReplicaManager.appendToLocalLog`).
    pub(crate) fn produce_failed(&self, code: ResponseError) {
        let expected = matches!(
            code,
            ResponseError::UnknownTopicOrPartition
                | ResponseError::NotLeaderOrFollower
                | ResponseError::MessageTooLarge
                | ResponseError::RecordListTooLarge
                | ResponseError::CorruptMessage
                | ResponseError::KafkaStorageError
        );
        if !expected {
            self.add(1, |traffic| &traffic.produces_failed);
        }
    }

    /// A batch is in the log.
    pub(crate) fn appended(&self, bytes: u64, records: u64) {
        self.add(bytes, |traffic| &traffic.bytes_in);
        self.add(records, |traffic| &traffic.records_in);
    }

    /// So many partitions in the answer to a fetch request, with so many bytes of records.
    pub(crate) fn fetched(&self, partitions: u64, bytes: u64) {
        self.add(partitions, |traffic| &traffic.fetches);
        if bytes > 0 {
            self.add(bytes, |traffic| &traffic.bytes_out);
        }
    }

    /// The partition could not be read; errors that tell a client where to look are none (`ReplicaManager.readFromLog`).
    pub(crate) fn fetch_failed(&self, code: i16) {
        let expected = [
            ResponseError::OffsetOutOfRange,
            ResponseError::UnknownTopicOrPartition,
            ResponseError::NotLeaderOrFollower,
            ResponseError::KafkaStorageError,
            ResponseError::FencedLeaderEpoch,
            ResponseError::UnknownLeaderEpoch,
            ResponseError::UnknownTopicId,
            ResponseError::InconsistentTopicId,
        ];
        if !expected.iter().any(|expected| expected.code() == code) {
            self.add(1, |traffic| &traffic.fetches_failed);
        }
    }

    fn add(&self, count: u64, of: impl Fn(&Traffic) -> &AtomicU64) {
        of(&self.own).fetch_add(count, Ordering::Relaxed);
        of(&self.all).fetch_add(count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_topic_counts_outlives_it_in_the_sum() {
        let all = Arc::new(Traffic::default());
        let topic = TopicTraffic::new(Arc::clone(&all));
        topic.produce();
        topic.appended(100, 3);
        topic.fetched(1, 40);
        assert_eq!(topic.counted(), all.counted());
        drop(topic);
        let left = all.counted();
        assert_eq!(
            (left.bytes_in, left.records_in, left.bytes_out),
            (100, 3, 40)
        );
    }

    #[test]
    fn what_a_client_could_know_is_no_failure() {
        let topic = TopicTraffic::new(Arc::default());
        topic.produce_failed(ResponseError::MessageTooLarge);
        topic.fetch_failed(ResponseError::OffsetOutOfRange.code());
        let counted = topic.counted();
        assert_eq!((counted.produces_failed, counted.fetches_failed), (0, 0));
        topic.produce_failed(ResponseError::InvalidRecord);
        topic.fetch_failed(ResponseError::UnknownServerError.code());
        let counted = topic.counted();
        assert_eq!((counted.produces_failed, counted.fetches_failed), (1, 1));
    }
}
