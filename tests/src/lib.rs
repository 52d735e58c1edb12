//! Brokers in this process, on ports of their own, and a raw client to ask them: what a test needs to be a sentence.

use std::net::SocketAddr;
use std::path::Path;

use broker::Broker;
use broker::config::Config;
use bytes::Bytes;
use tempfile::TempDir;
use tokio::net::TcpStream;
use wire::batch::{BatchBuilder, BatchOptions, Codec};
use wire::client::Connection;
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::produce_response::PartitionProduceResponse;
use wire::messages::{
    BrokerId, CreateTopicsRequest, CreateTopicsResponse, FetchRequest, FetchResponse,
    InitProducerIdRequest, ListOffsetsRequest, ProduceRequest, TopicName,
};
use wire::{Request, StrBytes};

/// A broker with a directory of its own, which outlives restarts and goes with the test.
pub struct TestBroker {
    broker: Option<Broker>,
    overrides: Vec<(String, String)>,
    dir: TempDir,
}

impl TestBroker {
    /// Defaults, plus what tests want: port 0, a fresh directory.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With some keys set otherwise; `{dir}` in a value is the broker's data directory.
    pub async fn start_with(overrides: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let overrides = overrides
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let mut this = Self {
            broker: None,
            overrides,
            dir,
        };
        this.boot().await;
        this
    }

    /// The broker's data directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.broker().addr()
    }

    /// The broker.
    pub fn broker(&self) -> &Broker {
        self.broker.as_ref().expect("the broker is up")
    }

    /// A connection that knows the broker's versions.
    pub async fn client(&self) -> Client {
        Client::connect(self.addr()).await
    }

    /// Stops in order and starts again on the same directory.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.boot().await;
    }

    /// Stops in order.
    pub async fn stop(&mut self) {
        if let Some(broker) = self.broker.take() {
            broker.shutdown().await.expect("an orderly stop");
        }
    }

    /// Sets a key otherwise from the next start on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.overrides.retain(|(name, _)| name != key);
        self.overrides.push((key.to_owned(), value.to_owned()));
    }

    /// Starts on what a process that was killed at this moment would have left behind.
    pub async fn crash(&mut self) {
        let left_behind = tempfile::tempdir().expect("a temporary directory");
        copy_all(self.dir.path(), left_behind.path());
        self.stop().await;
        self.dir = left_behind;
        self.boot().await;
    }

    /// Starts on the directory as it is.
    pub async fn boot(&mut self) {
        let dir = self.dir.path().display().to_string();
        let overrides: Vec<(&str, String)> = self
            .overrides
            .iter()
            .map(|(key, value)| (key.as_str(), value.replace("{dir}", &dir)))
            .collect();
        let overrides: Vec<(&str, &str)> = overrides
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        let config = Config::for_tests_with(self.dir.path(), &overrides);
        self.broker = Some(Broker::start(config).await.expect("the broker starts"));
    }
}

/// Copies the files as they are.
fn copy_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            std::fs::create_dir(&target).expect("a new directory");
            copy_all(&source, &target);
        } else {
            std::fs::copy(&source, &target).expect("a copy");
        }
    }
}

/// One raw connection. What goes wrong here is a test failing, so it panics.
pub struct Client {
    connection: Connection<TcpStream>,
}

/// What one partition gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub error_code: i16,
    pub high_watermark: i64,
    pub log_start_offset: i64,
    pub records: Bytes,
}

impl Fetched {
    /// (offset, value) of every record at or above `from`.
    pub fn values(&self, from: i64) -> Vec<(i64, Vec<u8>)> {
        let mut values = Vec::new();
        for batch in wire::batch::batches(&self.records) {
            let (_, batch) = batch.expect("a whole batch");
            let records = wire::batch::records(batch, 64 << 20).expect("records");
            for record in records.iter() {
                let record = record.expect("a record");
                let offset = records.header().offset_of(&record);
                if offset >= from {
                    values.push((offset, record.value.unwrap_or_default().to_vec()));
                }
            }
        }
        values
    }
}

/// A producer's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
}

/// Wall time, for timestamps that must be acceptable.
pub fn now_ms() -> i64 {
    #[allow(
        clippy::disallowed_methods,
        reason = "tests stamp records as clients do"
    )]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_millis() as i64
}

/// A batch of these values, stamped now.
pub fn batch(values: &[&[u8]]) -> Bytes {
    build(values, BatchOptions::default())
}

/// A compressed batch.
pub fn compressed(values: &[&[u8]], codec: Codec) -> Bytes {
    build(
        values,
        BatchOptions {
            codec,
            ..BatchOptions::default()
        },
    )
}

/// A batch of an idempotent producer.
pub fn sequenced(values: &[&[u8]], producer: Producer, first_sequence: i32) -> Bytes {
    let options = BatchOptions {
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        base_sequence: first_sequence,
        ..BatchOptions::default()
    };
    build(values, options)
}

/// A batch with any options.
pub fn build(values: &[&[u8]], options: BatchOptions) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for value in values {
        builder
            .append(now_ms(), None, Some(value), &[])
            .expect("the record fits");
    }
    builder.build().expect("a batch")
}

impl Client {
    pub async fn connect(addr: SocketAddr) -> Self {
        Self::connect_as(addr, "test").await
    }

    /// A connection whose requests carry this client id.
    pub async fn connect_as(addr: SocketAddr, client_id: &str) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the broker accepts");
        let mut connection = Connection::new(stream, client_id);
        connection
            .negotiate()
            .await
            .expect("the broker says what it speaks");
        Self { connection }
    }

    /// One call at the best common version.
    pub async fn call<R: Request>(&mut self, request: &R) -> R::Response {
        let version = self
            .connection
            .version_for::<R>()
            .expect("a common version");
        self.call_at(request, version).await
    }

    /// One call at this version.
    pub async fn call_at<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.connection
            .call(request, version)
            .await
            .expect("an answer")
    }

    /// The connection itself.
    pub fn connection(&mut self) -> &mut Connection<TcpStream> {
        &mut self.connection
    }

    pub async fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> uuid::Uuid {
        let response = self.try_create_topic(name, partitions, configs).await;
        let topic = &response.topics[0];
        assert_eq!(topic.error_code, 0, "{:?}", topic.error_message);
        topic.topic_id
    }

    pub async fn try_create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> CreateTopicsResponse {
        let configs = configs.iter().map(|(key, value)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string((*key).to_owned()))
                .with_value(Some(StrBytes::from_string((*value).to_owned())))
        });
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        self.call(
            &CreateTopicsRequest::default()
                .with_topics(vec![topic])
                .with_timeout_ms(10_000),
        )
        .await
    }

    /// Appends and returns the base offset.
    pub async fn produce(&mut self, topic: &str, partition: i32, batch: Bytes) -> i64 {
        let response = self.try_produce(topic, partition, batch).await;
        assert_eq!(response.error_code, 0, "{:?}", response.error_message);
        response.base_offset
    }

    pub async fn try_produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: Bytes,
    ) -> PartitionProduceResponse {
        let request = produce_request(topic, partition, batch, -1);
        let mut response = self.call_at(&request, 12).await;
        response.responses.remove(0).partition_responses.remove(0)
    }

    /// What lies at and above `from`, waiting up to a second for something.
    pub async fn fetch(&mut self, topic: &str, partition: i32, from: i64) -> Fetched {
        let response = self
            .call_at(&fetch_request(topic, partition, from, 1_000), 12)
            .await;
        fetched(response)
    }

    /// (offset, timestamp) for a timestamp or one of the special ones.
    pub async fn list_offset(
        &mut self,
        topic: &str,
        partition: i32,
        timestamp: i64,
    ) -> (i16, i64, i64) {
        let asked = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_current_leader_epoch(-1)
            .with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(vec![asked]);
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![topic]);
        let response = self.call_at(&request, 9).await;
        let answer = &response.topics[0].partitions[0];
        (answer.error_code, answer.offset, answer.timestamp)
    }

    pub async fn init_producer(&mut self) -> Producer {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(60_000)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        let response = self.call(&request).await;
        assert_eq!(response.error_code, 0);
        Producer {
            id: response.producer_id.0,
            epoch: response.producer_epoch,
        }
    }
}

pub fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

pub fn produce_request(topic: &str, partition: i32, batch: Bytes, acks: i16) -> ProduceRequest {
    let data = PartitionProduceData::default()
        .with_index(partition)
        .with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(topic_name(topic))
        .with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic])
}

/// A sessionless fetch of one partition by name, for v12.
pub fn fetch_request(topic: &str, partition: i32, from: i64, max_wait_ms: i32) -> FetchRequest {
    let wanted = FetchPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(from)
        .with_last_fetched_epoch(-1)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default()
        .with_topic(topic_name(topic))
        .with_partitions(vec![wanted]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(max_wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// The only partition's answer.
pub fn fetched(mut response: FetchResponse) -> Fetched {
    assert_eq!(response.error_code, 0);
    let partition = response.responses.remove(0).partitions.remove(0);
    Fetched {
        error_code: partition.error_code,
        high_watermark: partition.high_watermark,
        log_start_offset: partition.log_start_offset,
        records: partition.records.expect("never null"),
    }
}
