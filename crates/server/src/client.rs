//! The Kafka side of the commands: who leads what, and the requests they need, over [`wire::client`].
//!
//! A [`Client`] finds the cluster through its bootstrap servers and keeps one connection to each broker it needed. It
//! knows no command and prints nothing. Errors say what was asked, of whom, and what came back.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use tokio::net::TcpStream;
use uuid::Uuid;
use wire::client::{Connection, Limits};
use wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use wire::messages::init_producer_id_request::InitProducerIdRequest;
use wire::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use wire::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use wire::messages::metadata_response::{
    MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
};
use wire::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use wire::messages::produce_response::PartitionProduceResponse;
use wire::messages::{BrokerId, TopicName};
use wire::{Request, ResponseError, StrBytes};

use crate::args::ConnectArgs;
use crate::outcome::Refusal;

const CLIENT_ID: &str = "tidewater-cli";
/// Between two looks at metadata that is not settled yet.
const PAUSE: Duration = Duration::from_millis(100);
/// A topic still unknown after so many looks is not being created: the broker's configuration says no.
const UNKNOWN_AT_MOST: u32 = 30;
/// Fetch and Produce name topics by id from this version on (KIP-516).
const FETCH_BY_ID: i16 = 13;
const PRODUCE_BY_ID: i16 = 13;
/// ListOffsets timestamps with a meaning of their own.
pub(crate) const EARLIEST: i64 = -2;
/// See [`EARLIEST`].
pub(crate) const LATEST: i64 = -1;

/// A cluster, and the connections to its brokers so far.
pub(crate) struct Client {
    bootstrap: Vec<String>,
    timeout: Duration,
    seed: Option<Link>,
    nodes: BTreeMap<i32, Node>,
    links: HashMap<i32, Link>,
}

/// A broker as the cluster tells of it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) host: String,
    pub(crate) port: i32,
    pub(crate) rack: Option<String>,
}

impl Node {
    /// `host:port`, with brackets around an IPv6 address.
    pub(crate) fn address(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }
}

/// What the cluster says about itself.
#[derive(Debug, Clone)]
pub(crate) struct Metadata {
    pub(crate) cluster_id: Option<String>,
    pub(crate) controller: Option<i32>,
    pub(crate) nodes: BTreeMap<i32, Node>,
    /// Sorted by name.
    pub(crate) topics: Vec<Topic>,
    /// Who said so.
    pub(crate) by: String,
}

/// A topic, or why nothing can be said of it.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    pub(crate) internal: bool,
    pub(crate) error_code: i16,
    /// Sorted by index.
    pub(crate) partitions: Vec<Partition>,
}

/// A partition's place in the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Partition {
    pub(crate) index: i32,
    /// −1 without one.
    pub(crate) leader: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
    pub(crate) offline: Vec<i32>,
}

impl Client {
    /// Connects to the first bootstrap server that answers.
    pub(crate) async fn connect(args: &ConnectArgs) -> anyhow::Result<Client> {
        // An empty variable says as much as none.
        let named = args.bootstrap_server.iter().map(|server| server.trim());
        let mut bootstrap: Vec<String> = named
            .filter(|server| !server.is_empty())
            .map(with_port)
            .collect();
        if bootstrap.is_empty() {
            bootstrap.push(with_port("localhost"));
        }
        let mut client = Client {
            bootstrap,
            timeout: args.timeout,
            seed: None,
            nodes: BTreeMap::new(),
            links: HashMap::new(),
        };
        client.seed().await?;
        Ok(client)
    }

    /// How long one answer may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The same, as requests carry it.
    pub(crate) fn timeout_ms(&self) -> i32 {
        i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// The broker that is asked what any broker can answer. In a KRaft cluster that includes administration (M6).
    pub(crate) async fn seed(&mut self) -> anyhow::Result<&mut Link> {
        if self.seed.as_ref().is_none_or(|link| link.broken) {
            self.seed = Some(self.dial_bootstrap().await?);
        }
        self.seed.as_mut().context("just connected")
    }

    async fn dial_bootstrap(&self) -> anyhow::Result<Link> {
        let mut errors = Vec::new();
        for server in &self.bootstrap {
            match Link::dial(server, self.timeout).await {
                Ok(link) => return Ok(link),
                Err(error) => errors.push(format!("{error:#}")),
            }
        }
        bail!(
            "{}; is a broker running there? -b names another",
            errors.join("; ")
        )
    }

    /// A connection to this broker, kept for the next time.
    pub(crate) async fn link(&mut self, node: i32) -> anyhow::Result<&mut Link> {
        if self.links.get(&node).is_none_or(|link| link.broken) {
            let link = self.dial(node).await?;
            self.links.insert(node, link);
        }
        self.links.get_mut(&node).context("just connected")
    }

    /// A connection of the caller's own to this broker, which the latest metadata must have named.
    pub(crate) async fn dial(&self, node: i32) -> anyhow::Result<Link> {
        let known = self
            .nodes
            .get(&node)
            .ok_or_else(|| anyhow!("the cluster has no broker {node}"))?;
        Link::dial(&known.address(), self.timeout).await.with_context(|| {
            format!(
                "broker {node} tells clients to find it at {}, and it is not there (its `advertised.listeners`)",
                known.address()
            )
        })
    }

    /// What the cluster says of these topics, or of all. Asking for a topic with `create` makes the broker create it where
    /// its configuration says so.
    pub(crate) async fn metadata(
        &mut self,
        topics: Option<&[String]>,
        create: bool,
    ) -> anyhow::Result<Metadata> {
        let wanted = topics.map(|topics| {
            topics
                .iter()
                .map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(name))))
                .collect()
        });
        let link = self.seed().await?;
        let version = link.version::<MetadataRequest>()?;
        let request = MetadataRequest::default()
            .with_topics(wanted)
            .with_allow_auto_topic_creation(create || version < 4);
        let response = link.call(&request, version).await?;
        link.accept("describe the cluster", response.error_code, None)?;
        let metadata = Metadata::of(response, link.address.clone());
        self.nodes.clone_from(&metadata.nodes);
        Ok(metadata)
    }

    /// The topic with a leader for every partition in use, waiting for both at most the timeout. Fails at once on an error
    /// that waiting does not cure.
    pub(crate) async fn topic(&mut self, name: &str, create: bool) -> anyhow::Result<Topic> {
        let names = [name.to_owned()];
        let (timeout, mut last) = (self.timeout, None);
        let settled = async {
            for attempt in 0_u32.. {
                let metadata = self.metadata(Some(&names), create).await?;
                let by = metadata.by.clone();
                let topic = metadata
                    .topics
                    .into_iter()
                    .next()
                    .with_context(|| format!("{by} left out topic {name}"))?;
                let code = match topic
                    .partitions
                    .iter()
                    .find(|partition| partition.leader < 0)
                {
                    Some(_) if topic.error_code == 0 => ResponseError::LeaderNotAvailable.code(),
                    _ => topic.error_code,
                };
                if code == 0 {
                    return Ok(topic);
                }
                let refusal = Refusal {
                    asked: format!("use topic {name}"),
                    by,
                    code,
                    message: None,
                };
                // A topic that is just being created is unknown at first, and without leaders a little longer (M2).
                let unknown = code == ResponseError::UnknownTopicOrPartition.code();
                let passes = if unknown {
                    create && attempt < UNKNOWN_AT_MOST
                } else {
                    is_unsettled(code)
                };
                if !passes {
                    return Err(refusal.into());
                }
                last.replace(refusal);
                tokio::time::sleep(PAUSE).await;
            }
            bail!("no metadata of topic {name}")
        };
        match tokio::time::timeout(timeout, settled).await {
            Ok(result) => result,
            Err(_) => Err(last.map_or_else(
                || anyhow!("no metadata of topic {name} in time"),
                anyhow::Error::from,
            )),
        }
    }

    /// Offsets of one topic's partitions by timestamp, which may be [`EARLIEST`] or [`LATEST`], each asked of its leader.
    pub(crate) async fn list_offsets(
        &mut self,
        topic: &Topic,
        timestamps: &BTreeMap<i32, i64>,
    ) -> anyhow::Result<BTreeMap<i32, i64>> {
        let mut offsets = BTreeMap::new();
        for (leader, partitions) in by_leader(topic, timestamps.keys().copied())? {
            let wanted = partitions.iter().map(|partition| {
                let timestamp = timestamps.get(&partition.index).copied().unwrap_or(LATEST);
                ListOffsetsPartition::default()
                    .with_partition_index(partition.index)
                    .with_timestamp(timestamp)
            });
            let wanted = ListOffsetsTopic::default()
                .with_name(topic_name(&topic.name))
                .with_partitions(wanted.collect());
            let timeout_ms = self.timeout_ms();
            let link = self.link(leader).await?;
            let version = link.version::<ListOffsetsRequest>()?;
            let request = ListOffsetsRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_topics(vec![wanted])
                .with_timeout_ms(if version >= 10 { timeout_ms } else { 0 });
            let response = link.call(&request, version).await?;
            for found in response
                .topics
                .into_iter()
                .flat_map(|topic| topic.partitions)
            {
                let asked = format!(
                    "list the offsets of {}/{}",
                    topic.name, found.partition_index
                );
                link.accept(&asked, found.error_code, None)?;
                offsets.insert(found.partition_index, found.offset);
            }
        }
        match timestamps.keys().find(|index| !offsets.contains_key(index)) {
            Some(index) => bail!(
                "the leader of {}/{index} said nothing of its offsets",
                topic.name
            ),
            None => Ok(offsets),
        }
    }

    /// An id and epoch for an idempotent producer (KIP-98); `None` from a cluster that gives this client none.
    pub(crate) async fn producer_id(&mut self) -> anyhow::Result<Option<(i64, i16)>> {
        let (timeout, mut last) = (self.timeout, None);
        let given = async {
            loop {
                let link = self.seed().await?;
                let Ok(version) = link.version::<InitProducerIdRequest>() else {
                    return Ok(None);
                };
                let request = InitProducerIdRequest::default()
                    .with_transactional_id(None)
                    .with_transaction_timeout_ms(i32::MAX);
                let response = link.call(&request, version).await?;
                let code = ResponseError::try_from_code(response.error_code);
                match link.accept("get a producer id", response.error_code, None) {
                    Ok(()) => return Ok(Some((response.producer_id.0, response.producer_epoch))),
                    Err(_) if code == Some(ResponseError::ClusterAuthorizationFailed) => {
                        return Ok(None);
                    }
                    Err(refusal) if code.is_some_and(|code| code.is_retriable()) => {
                        last = Some(refusal)
                    }
                    Err(refusal) => return Err(refusal.into()),
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        match tokio::time::timeout(timeout, given).await {
            Ok(result) => result,
            Err(_) => {
                Err(last.map_or_else(|| anyhow!("no producer id in time"), anyhow::Error::from))
            }
        }
    }

    /// First offset and end offset of each partition.
    pub(crate) async fn offset_ranges(
        &mut self,
        topic: &Topic,
    ) -> anyhow::Result<BTreeMap<i32, (i64, i64)>> {
        let all = |timestamp| {
            topic
                .partitions
                .iter()
                .map(|partition| (partition.index, timestamp))
                .collect()
        };
        let starts = self.list_offsets(topic, &all(EARLIEST)).await?;
        let ends = self.list_offsets(topic, &all(LATEST)).await?;
        Ok(starts
            .into_iter()
            .filter_map(|(index, start)| Some((index, (start, *ends.get(&index)?))))
            .collect())
    }
}

/// Whether a partition's or topic's error passes by itself or with newer metadata.
pub(crate) fn is_unsettled(code: i16) -> bool {
    matches!(
        ResponseError::try_from_code(code),
        Some(
            ResponseError::UnknownTopicOrPartition
                | ResponseError::LeaderNotAvailable
                | ResponseError::NotLeaderOrFollower
                | ResponseError::ReplicaNotAvailable
                | ResponseError::KafkaStorageError
                | ResponseError::FencedLeaderEpoch
                | ResponseError::UnknownLeaderEpoch
                | ResponseError::ListenerNotFound
                | ResponseError::OffsetNotAvailable
                | ResponseError::UnknownTopicId
                | ResponseError::NotEnoughReplicas
        )
    )
}

/// The partitions by who leads them. Fails for one that does not exist or has no leader.
pub(crate) fn by_leader(
    topic: &Topic,
    wanted: impl IntoIterator<Item = i32>,
) -> anyhow::Result<BTreeMap<i32, Vec<&Partition>>> {
    let mut leaders: BTreeMap<i32, Vec<&Partition>> = BTreeMap::new();
    for index in wanted {
        let partition = topic.partition(index)?;
        if partition.leader < 0 {
            bail!("partition {}/{index} has no leader now", topic.name);
        }
        leaders.entry(partition.leader).or_default().push(partition);
    }
    Ok(leaders)
}

impl Topic {
    /// The partition of this index.
    pub(crate) fn partition(&self, index: i32) -> anyhow::Result<&Partition> {
        let found = self
            .partitions
            .iter()
            .find(|partition| partition.index == index);
        found.ok_or_else(|| {
            anyhow!(
                "topic {} has no partition {index}; it has {}",
                self.name,
                self.partitions.len()
            )
        })
    }
}

impl Metadata {
    fn of(response: MetadataResponse, by: String) -> Metadata {
        let nodes = response.brokers.into_iter().map(|broker| {
            let rack = broker.rack.map(|rack| rack.to_string());
            (
                broker.node_id.0,
                Node {
                    host: broker.host.to_string(),
                    port: broker.port,
                    rack,
                },
            )
        });
        let mut topics: Vec<Topic> = response.topics.into_iter().map(Topic::of).collect();
        topics.sort_by(|left, right| left.name.cmp(&right.name));
        Metadata {
            cluster_id: response.cluster_id.map(|id| id.to_string()),
            controller: (response.controller_id.0 >= 0).then_some(response.controller_id.0),
            nodes: nodes.collect(),
            topics,
            by,
        }
    }
}

impl Topic {
    fn of(topic: MetadataResponseTopic) -> Topic {
        let mut partitions: Vec<Partition> =
            topic.partitions.into_iter().map(Partition::of).collect();
        partitions.sort_by_key(|partition| partition.index);
        Topic {
            name: topic
                .name
                .map(|name| name.0.to_string())
                .unwrap_or_default(),
            id: topic.topic_id,
            internal: topic.is_internal,
            error_code: topic.error_code,
            partitions,
        }
    }
}

impl Partition {
    fn of(partition: MetadataResponsePartition) -> Partition {
        let ids = |brokers: Vec<BrokerId>| brokers.into_iter().map(|broker| broker.0).collect();
        Partition {
            index: partition.partition_index,
            leader: partition.leader_id.0,
            leader_epoch: partition.leader_epoch,
            replicas: ids(partition.replica_nodes),
            isr: ids(partition.isr_nodes),
            offline: ids(partition.offline_replicas),
        }
    }
}

/// One connection to one broker.
pub(crate) struct Link {
    connection: Connection<TcpStream>,
    /// `host:port`, as it was dialled.
    pub(crate) address: String,
    broken: bool,
}

impl Link {
    async fn dial(address: &str, timeout: Duration) -> anyhow::Result<Link> {
        let cannot = || format!("cannot reach {address}");
        let dialled = tokio::time::timeout(timeout, TcpStream::connect(address)).await;
        let stream = dialled
            .map_err(|_| anyhow!("no connection within {timeout:?}"))
            .and_then(|stream| Ok(stream?));
        let stream = stream.with_context(cannot)?;
        stream.set_nodelay(true).with_context(cannot)?;
        let limits = Limits {
            timeout,
            ..Limits::default()
        };
        let mut connection = Connection::new(stream, CLIENT_ID).with_limits(limits);
        let negotiated = connection.negotiate().await;
        negotiated.with_context(|| format!("{address} does not answer as a Kafka broker does"))?;
        Ok(Link {
            connection,
            address: address.to_owned(),
            broken: false,
        })
    }

    /// The best version of `R` that both sides speak.
    pub(crate) fn version<R: Request>(&self) -> anyhow::Result<i16> {
        let name = api_name::<R>();
        self.connection.version_for::<R>().ok_or_else(|| {
            anyhow!(
                "{} does not speak {name}, or no version we do",
                self.address
            )
        })
    }

    /// Sends a request in a version from [`Link::version`] and waits for its answer.
    pub(crate) async fn call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> anyhow::Result<R::Response> {
        let answer = self.connection.call(request, version).await;
        self.broken = answer.is_err();
        answer.with_context(|| format!("asking {} ({})", self.address, api_name::<R>()))
    }

    /// Nothing if `code` is 0, and otherwise the refusal of what was `asked`.
    pub(crate) fn accept(
        &self,
        asked: &str,
        code: i16,
        message: Option<StrBytes>,
    ) -> Result<(), Refusal> {
        if code == 0 {
            return Ok(());
        }
        let message = message.map(|message| message.to_string());
        Err(Refusal {
            asked: asked.to_owned(),
            by: self.address.clone(),
            code,
            message,
        })
    }

    /// Writes batches of one topic, at most one for each partition. Without an answer (`acks` 0) there is nothing to say.
    pub(crate) async fn produce(
        &mut self,
        topic: &Topic,
        acks: Acks,
        batches: impl IntoIterator<Item = (i32, Bytes)>,
    ) -> anyhow::Result<Vec<PartitionProduceResponse>> {
        let highest = self.version::<ProduceRequest>()?;
        let version = if topic.id.is_nil() {
            highest.min(PRODUCE_BY_ID - 1)
        } else {
            highest
        };
        let data = batches.into_iter().map(|(index, batch)| {
            PartitionProduceData::default()
                .with_index(index)
                .with_records(Some(batch))
        });
        let data = TopicProduceData::default()
            .with_name(topic_name(&topic.name))
            .with_topic_id(topic.id)
            .with_partition_data(data.collect());
        let request = ProduceRequest::default()
            .with_transactional_id(None)
            .with_acks(acks.code)
            .with_timeout_ms(acks.timeout_ms)
            .with_topic_data(vec![data]);
        if acks.code == 0 {
            let sent = self.connection.send(&request, version).await;
            self.broken = sent.is_err();
            sent.with_context(|| format!("writing to {}", self.address))?;
            return Ok(Vec::new());
        }
        let response = self.call(&request, version).await?;
        Ok(response
            .responses
            .into_iter()
            .flat_map(|topic| topic.partition_responses)
            .collect())
    }

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
            fetched.extend(topic.partitions.into_iter().map(|data| Fetched {
                topic: place.topic.clone(),
                partition: data.partition_index,
                error_code: data.error_code,
                log_start_offset: data.log_start_offset,
                high_watermark: data.high_watermark,
                records: data.records.unwrap_or_default(),
            }));
        }
        Ok(fetched)
    }
}

/// Kafka's own client asks for as much (`fetch.max.bytes`, `max.partition.fetch.bytes`).
const FETCH_BYTES_MAX: i32 = 50 << 20;
const FETCH_PARTITION_BYTES_MAX: i32 = 1 << 20;

/// How a write is to be acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acks {
    /// 0: not; 1: by the leader; −1: by all replicas in sync.
    pub(crate) code: i16,
    /// How long the leader may wait for the others.
    pub(crate) timeout_ms: i32,
}

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

/// A topic's name as messages carry it.
pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// A string as messages carry it.
pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// `Metadata` of `wire::…::MetadataRequest`.
fn api_name<R>() -> &'static str {
    let path = std::any::type_name::<R>();
    let name = path.rsplit("::").next().unwrap_or(path);
    name.strip_suffix("Request").unwrap_or(name)
}

/// A bootstrap server may leave out Kafka's port.
fn with_port(server: &str) -> String {
    let has_port = match server.rsplit_once(':') {
        // The colons of a bare IPv6 address are not followed by a port.
        Some((host, port)) => {
            port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']'))
        }
        None => false,
    };
    match has_port {
        true => server.to_owned(),
        false if server.contains(':') && !server.starts_with('[') => format!("[{server}]:9092"),
        false => format!("{server}:9092"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_server_without_a_port_means_kafkas() {
        for (given, dialled) in [
            ("localhost", "localhost:9092"),
            ("kafka:9093", "kafka:9093"),
            ("10.0.0.1", "10.0.0.1:9092"),
            ("[::1]:9093", "[::1]:9093"),
            ("[::1]", "[::1]:9092"),
            ("::1", "[::1]:9092"),
        ] {
            assert_eq!(with_port(given), dialled);
        }
    }

    #[test]
    fn an_error_names_the_api_as_kafka_does() {
        assert_eq!(api_name::<MetadataRequest>(), "Metadata");
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
