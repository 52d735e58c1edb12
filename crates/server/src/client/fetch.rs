//! Reading batches.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;
use uuid::Uuid;
use wire::batch::{BatchHeader, ControlType};
use wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};

use super::{Link, topic_name};

/// Fetch names topics by id from this version on (KIP-516).
const FETCH_BY_ID: i16 = 13;
/// Kafka's own client asks for as much (`fetch.max.bytes`, `max.partition.fetch.bytes`).
const FETCH_BYTES_MAX: i32 = 50 << 20;
const FETCH_PARTITION_BYTES_MAX: i32 = 1 << 20;

/// Where to read on.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) topic: std::sync::Arc<str>,
    pub(crate) topic_id: Uuid,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// What one partition answered to a fetch.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) topic: std::sync::Arc<str>,
    pub(crate) partition: i32,
    pub(crate) error_code: i16,
    pub(crate) log_start_offset: i64,
    pub(crate) high_watermark: i64,
    /// Whole batches one after the other; the first may begin below the offset asked for (F3).
    pub(crate) records: Bytes,
    /// Producer ids and where each first wrote in a transaction that was aborted; empty unless committed records are read.
    aborted: Vec<(i64, i64)>,
}

/// Which batches of one answer nobody shall see who reads committed records only.
pub(crate) struct Aborted {
    /// First offsets and producer ids of transactions that the reader has not come to, the next one last.
    ahead: Vec<(i64, i64)>,
    /// Whose records are hidden until their marker.
    producers: BTreeSet<i64>,
}

impl Aborted {
    /// Those of `fetched`.
    pub(crate) fn of(fetched: &Fetched) -> Aborted {
        let by_offset = |&(producer_id, first_offset): &(i64, i64)| (first_offset, producer_id);
        let mut ahead: Vec<_> = fetched.aborted.iter().map(by_offset).collect();
        ahead.sort_unstable_by(|left, right| right.cmp(left));
        Aborted {
            ahead,
            producers: BTreeSet::new(),
        }
    }

    /// Whether the next batch belongs to a transaction that was aborted. Asked about every batch, in their order.
    pub(crate) fn hides(&mut self, header: &BatchHeader, bytes: &[u8]) -> bool {
        while let Some((_, producer_id)) = self
            .ahead
            .pop_if(|(first_offset, _)| *first_offset <= header.last_offset())
        {
            self.producers.insert(producer_id);
        }
        if header.attributes.is_control() {
            if ControlType::of_batch(bytes) == Ok(ControlType::Abort) {
                self.producers.remove(&header.producer_id);
            }
            return true;
        }
        header.attributes.is_transactional() && self.producers.contains(&header.producer_id)
    }
}

impl Link {
    /// Reads from the places in `from`, in that order, waiting at most `wait` for there to be something.
    pub(crate) async fn fetch(
        &mut self,
        from: &[Place],
        wait: Duration,
    ) -> anyhow::Result<Vec<Fetched>> {
        let highest = self.version::<FetchRequest>()?;
        let named_only = from.iter().any(|place| place.topic_id.is_nil());
        let version = if named_only {
            highest.min(FETCH_BY_ID - 1)
        } else {
            highest
        };
        let request = FetchRequest::default()
            .with_max_wait_ms(i32::try_from(wait.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(1)
            .with_max_bytes(FETCH_BYTES_MAX)
            .with_session_epoch(-1)
            .with_isolation_level(self.isolation.level())
            .with_topics(fetch_topics(from));
        let response = self.call(&request, version).await?;
        self.accept("fetch", response.error_code, None)?;
        let mut fetched = Vec::new();
        for topic in response.responses {
            let place = from.iter().find(|place| match version {
                FETCH_BY_ID.. => place.topic_id == topic.topic_id,
                _ => *place.topic == **topic.topic,
            });
            let Some(place) = place else {
                bail!(
                    "{} answered about a topic it was not asked for",
                    self.address
                )
            };
            fetched.extend(topic.partitions.into_iter().map(|data| {
                Fetched {
                    topic: place.topic.clone(),
                    partition: data.partition_index,
                    error_code: data.error_code,
                    log_start_offset: data.log_start_offset,
                    high_watermark: data.high_watermark,
                    records: data.records.unwrap_or_default(),
                    aborted: data
                        .aborted_transactions
                        .unwrap_or_default()
                        .iter()
                        .map(|aborted| (aborted.producer_id.0, aborted.first_offset))
                        .collect(),
                }
            }));
        }
        Ok(fetched)
    }
}

/// Neighbours of one topic share its entry; the order of partitions stays, since brokers serve them in that order (F2).
fn fetch_topics(from: &[Place]) -> Vec<FetchTopic> {
    let same_topic = from.chunk_by(|left, right| left.topic == right.topic);
    let topics = same_topic.filter_map(|places| {
        let partitions = places.iter().map(|place| {
            FetchPartition::default()
                .with_partition(place.partition)
                .with_fetch_offset(place.offset)
                .with_partition_max_bytes(FETCH_PARTITION_BYTES_MAX)
        });
        let first = places.first()?;
        let topic = FetchTopic::default()
            .with_topic(topic_name(&first.topic))
            .with_topic_id(first.topic_id);
        Some(topic.with_partitions(partitions.collect()))
    });
    topics.collect()
}

#[cfg(test)]
mod tests {
    use wire::batch::{BatchBuilder, BatchOptions, EndTxnMarker};

    use super::*;

    /// A batch of a producer's transaction at an offset, one record.
    fn batch(producer_id: i64, offset: i64, marker: Option<bool>) -> (BatchHeader, Bytes) {
        let batch = match marker {
            Some(committed) => EndTxnMarker {
                producer_id,
                producer_epoch: 0,
                committed,
                coordinator_epoch: 0,
            }
            .to_batch(0)
            .unwrap(),
            None => {
                let mut builder = BatchBuilder::new(BatchOptions {
                    producer_id,
                    producer_epoch: 0,
                    base_sequence: 0,
                    transactional: true,
                    ..BatchOptions::default()
                });
                builder.append(0, None, Some(b"v"), &[]).unwrap();
                builder.build().unwrap()
            }
        };
        let mut header = BatchHeader::parse(&batch).unwrap();
        header.base_offset = offset;
        (header, batch)
    }

    #[test]
    fn records_of_a_transaction_are_hidden_from_its_first_to_its_abort_and_nobody_elses_are() {
        let fetched = Fetched {
            topic: "t".into(),
            partition: 0,
            error_code: 0,
            log_start_offset: 0,
            high_watermark: 7,
            records: Bytes::new(),
            aborted: vec![(2, 4), (1, 1)],
        };
        let mut aborted = Aborted::of(&fetched);
        let log = [
            (batch(1, 0, None), false),
            (batch(1, 1, None), true),
            (batch(2, 2, None), false),
            (batch(1, 3, Some(false)), true),
            (batch(2, 4, None), true),
            (batch(1, 5, None), false),
            (batch(1, 6, Some(true)), true),
        ];
        for ((header, bytes), hidden) in log {
            assert_eq!(
                aborted.hides(&header, &bytes),
                hidden,
                "at {}",
                header.base_offset
            );
        }
    }

    #[test]
    fn a_fetch_keeps_the_order_of_its_places() {
        let place = |topic: &str, partition| Place {
            topic: topic.into(),
            topic_id: Uuid::nil(),
            partition,
            offset: 0,
        };
        let topics = fetch_topics(&[place("a", 2), place("a", 0), place("b", 1), place("a", 1)]);
        let flat: Vec<_> = topics
            .iter()
            .map(|t| {
                (
                    t.topic.0.to_string(),
                    t.partitions.iter().map(|p| p.partition).collect(),
                )
            })
            .collect();
        assert_eq!(
            flat,
            [
                ("a".to_owned(), vec![2, 0]),
                ("b".to_owned(), vec![1]),
                ("a".to_owned(), vec![1])
            ]
        );
    }
}
