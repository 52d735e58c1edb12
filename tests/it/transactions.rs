//! Transactions as producers, consumers and operators see them, by the rules of both versions.

mod coordinator;
mod fencing;
mod groups;
mod offsets;
mod records;
mod restart;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidewater_tests::{
    Client, Producer, TestBroker, build, fetch_request, produce_request, topic_name,
};
use wire::batch::{BatchOptions, batches, records};
use wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use wire::messages::describe_transactions_response::TransactionState;
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::produce_response::PartitionProduceResponse;
use wire::messages::{
    AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest, EndTxnResponse,
    FindCoordinatorRequest, InitProducerIdRequest, InitProducerIdResponse, MetadataRequest,
    ProducerId, TransactionalId,
};
use wire::{ResponseError, StrBytes};

/// Longer than anything here takes; a test that waits for this has failed.
const PATIENCE: Duration = Duration::from_secs(30);
const TRANSACTION: i8 = 1;
const READ_COMMITTED: i8 = 1;

/// By which rules a client speaks (KIP-890): what it says to whom, and in which versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    V1,
    V2,
}

const BOTH: [Rules; 2] = [Rules::V1, Rules::V2];

/// A broker whose timeouts are looked at often, with a topic of three partitions.
async fn broker() -> TestBroker {
    broker_with(&[]).await
}

async fn broker_with(overrides: &[(&str, &str)]) -> TestBroker {
    let quick = [
        (
            "transaction.abort.timed.out.transaction.cleanup.interval.ms",
            "20",
        ),
        ("transaction.state.log.num.partitions", "5"),
        ("offsets.topic.num.partitions", "5"),
        ("group.initial.rebalance.delay.ms", "0"),
    ];
    let broker = TestBroker::start_with(&[&quick, overrides].concat()).await;
    let mut client = broker.client().await;
    client.create_topic("orders", 3, &[]).await;
    broker
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn transactional(id: &str) -> TransactionalId {
    TransactionalId(text(id))
}

fn code(error: ResponseError) -> i16 {
    error.code()
}

/// Asks until the answer is there.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    let asked = tokio::time::timeout(PATIENCE, asking).await;
    asked.unwrap_or_else(|_| panic!("never: {what}"))
}

/// Whether a client would ask again with the same request.
fn is_passing(error_code: i16) -> bool {
    [
        ResponseError::ConcurrentTransactions,
        ResponseError::CoordinatorLoadInProgress,
        ResponseError::CoordinatorNotAvailable,
        ResponseError::NotCoordinator,
    ]
    .iter()
    .any(|error| error.code() == error_code)
}

async fn find_coordinator(client: &mut Client, id: &str) -> i16 {
    let request = FindCoordinatorRequest::default()
        .with_key_type(TRANSACTION)
        .with_coordinator_keys(vec![text(id)]);
    client.call(&request).await.coordinators[0].error_code
}

async fn describe(client: &mut Client, id: &str) -> TransactionState {
    let request =
        DescribeTransactionsRequest::default().with_transactional_ids(vec![transactional(id)]);
    client.call(&request).await.transaction_states.remove(0)
}

async fn init(
    client: &mut Client,
    id: &str,
    timeout_ms: i32,
    current: Option<Producer>,
) -> InitProducerIdResponse {
    let current = current.unwrap_or(Producer { id: -1, epoch: -1 });
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(transactional(id)))
        .with_transaction_timeout_ms(timeout_ms)
        .with_producer_id(ProducerId(current.id))
        .with_producer_epoch(current.epoch);
    until("the transactional id is initialized", async || {
        let answer = client.call(&request).await;
        (!is_passing(answer.error_code)).then_some(answer)
    })
    .await
}

/// A producer with a transactional id, on a connection of its own.
struct Transactional {
    client: Client,
    rules: Rules,
    id: String,
    producer: Producer,
    /// The next sequence of each partition.
    sequences: BTreeMap<(String, i32), i32>,
    /// What the open transaction has, for the rules of version 1.
    added: BTreeSet<(String, i32)>,
}

impl Transactional {
    async fn start(broker: &TestBroker, rules: Rules, id: &str) -> Self {
        Self::start_with(broker, rules, id, 60_000).await
    }

    async fn start_with(broker: &TestBroker, rules: Rules, id: &str, timeout_ms: i32) -> Self {
        let mut client = broker.client().await;
        assert_eq!(find_coordinator(&mut client, id).await, 0);
        let answer = init(&mut client, id, timeout_ms, None).await;
        assert_eq!(answer.error_code, 0);
        let producer = Producer {
            id: answer.producer_id.0,
            epoch: answer.producer_epoch,
        };
        Self {
            client,
            rules,
            id: id.to_owned(),
            producer,
            sequences: BTreeMap::new(),
            added: BTreeSet::new(),
        }
    }

    /// The same producer on a new connection, as a client that goes on after its broker was away.
    async fn reconnect(&mut self, broker: &TestBroker) {
        self.client = broker.client().await;
        let (client, id) = (&mut self.client, &self.id);
        until("the coordinator is back", async || {
            (find_coordinator(client, id).await == 0).then_some(())
        })
        .await;
    }

    async fn add(&mut self, topic: &str, partition: i32) -> i16 {
        let added = AddPartitionsToTxnTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(vec![partition]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(transactional(&self.id))
            .with_v3_and_below_producer_id(ProducerId(self.producer.id))
            .with_v3_and_below_producer_epoch(self.producer.epoch)
            .with_v3_and_below_topics(vec![added]);
        let client = &mut self.client;
        until("the partition is added", async || {
            let answer = client.call_at(&request, 3).await;
            let topic = &answer.results_by_topic_v3_and_below[0];
            let code = topic.results_by_partition[0].partition_error_code;
            (!is_passing(code)).then_some(code)
        })
        .await
    }

    /// Writes in the transaction, which begins with the first write.
    async fn produce(&mut self, topic: &str, partition: i32, values: &[&str]) {
        let answer = self.try_produce(topic, partition, values).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    }

    async fn try_produce(
        &mut self,
        topic: &str,
        partition: i32,
        values: &[&str],
    ) -> PartitionProduceResponse {
        let place = (topic.to_owned(), partition);
        if self.rules == Rules::V1 && !self.added.contains(&place) {
            let code = self.add(topic, partition).await;
            if code != 0 {
                return PartitionProduceResponse::default().with_error_code(code);
            }
            self.added.insert(place.clone());
        }
        let sequence = self.sequences.get(&place).copied().unwrap_or(0);
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        let options = BatchOptions {
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            base_sequence: sequence,
            transactional: true,
            ..BatchOptions::default()
        };
        let mut request = produce_request(topic, partition, build(&values, options), -1)
            .with_transactional_id(Some(transactional(&self.id)));
        let version = match self.rules {
            Rules::V1 => 11,
            // The newest names topics by their ids.
            Rules::V2 if partition == 0 => 12,
            Rules::V2 => {
                request.topic_data[0].topic_id = self.topic_id(topic).await;
                request.topic_data[0].name = topic_name("");
                13
            }
        };
        let client = &mut self.client;
        let answer = until("the records are taken", async || {
            let mut answer = client.call_at(&request, version).await;
            let answer = answer.responses.remove(0).partition_responses.remove(0);
            (!is_passing(answer.error_code)).then_some(answer)
        })
        .await;
        if answer.error_code == 0 {
            self.sequences.insert(place, sequence + values.len() as i32);
        }
        answer
    }

    async fn topic_id(&mut self, topic: &str) -> uuid::Uuid {
        let wanted = MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
        let request = MetadataRequest::default().with_topics(Some(vec![wanted]));
        self.client.call(&request).await.topics[0].topic_id
    }

    fn end_request(&self, committed: bool) -> EndTxnRequest {
        EndTxnRequest::default()
            .with_transactional_id(transactional(&self.id))
            .with_producer_id(ProducerId(self.producer.id))
            .with_producer_epoch(self.producer.epoch)
            .with_committed(committed)
    }

    /// One EndTxn, whatever is answered.
    async fn ask_end(&mut self, request: &EndTxnRequest) -> EndTxnResponse {
        let version = match self.rules {
            Rules::V1 => 4,
            Rules::V2 => 5,
        };
        let client = &mut self.client;
        until("the end is decided", async || {
            let answer = client.call_at(request, version).await;
            (!is_passing(answer.error_code)).then_some(answer)
        })
        .await
    }

    async fn try_end(&mut self, committed: bool) -> i16 {
        let answer = self.ask_end(&self.end_request(committed)).await;
        if answer.error_code == 0 {
            self.added.clear();
            if self.rules == Rules::V2 {
                self.goes_on_as(Producer {
                    id: answer.producer_id.0,
                    epoch: answer.producer_epoch,
                });
            }
        }
        answer.error_code
    }

    fn goes_on_as(&mut self, producer: Producer) {
        assert_ne!(self.producer, producer, "every end bumps the epoch");
        self.producer = producer;
        self.sequences.clear();
    }

    async fn commit(&mut self) {
        assert_eq!(self.try_end(true).await, 0);
    }

    async fn abort(&mut self) {
        assert_eq!(self.try_end(false).await, 0);
    }

    /// Waits until the transaction's end is complete.
    async fn completed(&mut self) {
        let (client, id) = (&mut self.client, &self.id);
        until("the transaction is complete", async || {
            let state = describe(client, id).await;
            let is_complete = state.transaction_state.starts_with("Complete");
            is_complete.then_some(())
        })
        .await;
    }
}

/// What a consumer sees of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    values: Vec<String>,
    last_stable_offset: i64,
    high_watermark: i64,
}

impl Seen {
    /// Whether no transaction is open.
    fn is_settled(&self) -> bool {
        self.last_stable_offset == self.high_watermark
    }
}

/// Reads a partition from its start as a read_committed consumer does.
async fn read_committed(client: &mut Client, topic: &str, partition: i32) -> Seen {
    let mut values = Vec::new();
    let mut next = 0;
    loop {
        let request = fetch_request(topic, partition, next, 0).with_isolation_level(READ_COMMITTED);
        let mut answer = client.call_at(&request, 12).await;
        let data = answer.responses.remove(0).partitions.remove(0);
        assert_eq!(data.error_code, 0);
        let mut starts = data.aborted_transactions.expect("a list, if an empty one");
        starts.sort_by_key(|aborted| aborted.first_offset);
        let mut starts = starts.into_iter().peekable();
        let mut aborting = BTreeSet::new();
        let bytes = data.records.expect("never null");
        for found in batches(&bytes) {
            let (header, batch) = found.expect("a whole batch");
            while let Some(start) =
                starts.next_if(|start| start.first_offset < header.next_offset())
            {
                aborting.insert(start.producer_id.0);
            }
            if header.attributes.is_control() {
                aborting.remove(&header.producer_id);
            } else if !(header.attributes.is_transactional()
                && aborting.contains(&header.producer_id))
            {
                for record in records(batch, 64 << 20).expect("records").iter() {
                    let value = record.expect("a record").value.unwrap_or_default();
                    values.push(String::from_utf8(value.to_vec()).expect("text"));
                }
            }
            next = header.next_offset();
        }
        if bytes.is_empty() {
            assert_eq!(
                next, data.last_stable_offset,
                "all below the last stable offset"
            );
            return Seen {
                values,
                last_stable_offset: data.last_stable_offset,
                high_watermark: data.high_watermark,
            };
        }
    }
}

/// What a read_committed consumer sees once every transaction on the partition has ended.
async fn read_settled(client: &mut Client, topic: &str, partition: i32) -> Vec<String> {
    let settled = until("every transaction has ended", async || {
        let seen = read_committed(client, topic, partition).await;
        seen.is_settled().then_some(seen)
    });
    settled.await.values
}
