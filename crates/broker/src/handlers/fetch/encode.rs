//! The Fetch response, v4–v18, encoded around its payload: batches are referred to, never copied into the frame.
//!
//! The crate's encoder copies every record byte; this one is held to it by a test over all versions.

use bytes::{BufMut, Bytes, BytesMut};
use storage::LogSlice;
use uuid::Uuid;
use wire::varint::put_unsigned;

use crate::net::reply::{Part, Reply};

const FLEXIBLE_FROM: i16 = 12;
const TOPIC_IDS_FROM: i16 = 13;
const ENDPOINTS_FROM: i16 = 16;

#[derive(Debug, Default)]
pub(crate) struct Response {
    pub(crate) throttle_time_ms: i32,
    pub(crate) error_code: i16,
    pub(crate) session_id: i32,
    pub(crate) topics: Vec<TopicResponse>,
    /// Where the leaders are that `current_leader` names (v16).
    pub(crate) endpoints: Vec<Endpoint>,
}

#[derive(Debug)]
pub(crate) struct TopicResponse {
    /// Written up to v12.
    pub(crate) name: String,
    /// Written from v13 on.
    pub(crate) id: Uuid,
    pub(crate) partitions: Vec<PartitionResponse>,
}

#[derive(Debug)]
pub(crate) struct PartitionResponse {
    pub(crate) index: i32,
    pub(crate) error_code: i16,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) log_start_offset: i64,
    /// (epoch, end offset) where the reader's log parts from ours (v12).
    pub(crate) diverging_epoch: Option<(i32, i64)>,
    /// (leader id, leader epoch) with errors 6 and 74 (v12).
    pub(crate) current_leader: Option<(i32, i32)>,
    /// (producer id, first offset); `None` (null) for read_uncommitted: librdkafka logs an error otherwise (F6).
    pub(crate) aborted: Option<Vec<(i64, i64)>>,
    /// Never null: librdkafka cannot parse −1 (F5).
    pub(crate) records: Vec<LogSlice>,
}

#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) node_id: i32,
    pub(crate) host: String,
    pub(crate) port: i32,
    pub(crate) rack: Option<String>,
}

/// Encodes the whole frame.
pub(crate) fn encode(response: Response, correlation_id: i32, version: i16) -> Reply {
    // The first piece is the frame's length, known last.
    let parts = vec![Part::Memory(Bytes::new())];
    let mut out = Encoder {
        version,
        buffer: BytesMut::with_capacity(256),
        parts,
        head_bytes: 0,
        payload_bytes: 0,
    };
    out.buffer.put_i32(correlation_id);
    if out.is_flexible() {
        out.buffer.put_u8(0);
    }
    out.response(response);
    out.finish()
}

struct Encoder {
    version: i16,
    buffer: BytesMut,
    parts: Vec<Part>,
    head_bytes: usize,
    payload_bytes: usize,
}

impl Encoder {
    fn is_flexible(&self) -> bool {
        self.version >= FLEXIBLE_FROM
    }

    fn response(&mut self, response: Response) {
        self.buffer.put_i32(response.throttle_time_ms);
        if self.version >= 7 {
            self.buffer.put_i16(response.error_code);
            self.buffer.put_i32(response.session_id);
        }
        self.length(response.topics.len());
        for topic in response.topics {
            self.topic(topic);
        }
        if !self.is_flexible() {
            return;
        }
        if self.version >= ENDPOINTS_FROM && !response.endpoints.is_empty() {
            let body = endpoints(&response.endpoints);
            self.tagged(&[(0, &body)]);
        } else {
            self.buffer.put_u8(0);
        }
    }

    fn topic(&mut self, topic: TopicResponse) {
        if self.version >= TOPIC_IDS_FROM {
            self.buffer.put_slice(topic.id.as_bytes());
        } else {
            self.string(&topic.name);
        }
        self.length(topic.partitions.len());
        for partition in topic.partitions {
            self.partition(partition);
        }
        self.end_struct();
    }

    fn partition(&mut self, partition: PartitionResponse) {
        self.buffer.put_i32(partition.index);
        self.buffer.put_i16(partition.error_code);
        self.buffer.put_i64(partition.high_watermark);
        self.buffer.put_i64(partition.last_stable_offset);
        if self.version >= 5 {
            self.buffer.put_i64(partition.log_start_offset);
        }
        self.aborted(partition.aborted.as_deref());
        if self.version >= 11 {
            // Preferred read replica: none (KIP-392 needs followers).
            self.buffer.put_i32(-1);
        }
        self.records(partition.records);
        if self.is_flexible() {
            self.partition_tags(partition.diverging_epoch, partition.current_leader);
        }
    }

    fn partition_tags(
        &mut self,
        diverging_epoch: Option<(i32, i64)>,
        current_leader: Option<(i32, i32)>,
    ) {
        let diverging = diverging_epoch.map(|(epoch, end_offset)| {
            let mut body = BytesMut::with_capacity(13);
            body.put_i32(epoch);
            body.put_i64(end_offset);
            body.put_u8(0);
            body
        });
        let leader = current_leader.map(|(id, epoch)| {
            let mut body = BytesMut::with_capacity(9);
            body.put_i32(id);
            body.put_i32(epoch);
            body.put_u8(0);
            body
        });
        let tags: Vec<(u32, &[u8])> = [(0, &diverging), (1, &leader)]
            .into_iter()
            .filter_map(|(tag, body)| Some((tag, &**body.as_ref()?)))
            .collect();
        self.tagged(&tags);
    }

    fn aborted(&mut self, aborted: Option<&[(i64, i64)]>) {
        let Some(aborted) = aborted else {
            if self.is_flexible() {
                self.buffer.put_u8(0);
            } else {
                self.buffer.put_i32(-1);
            }
            return;
        };
        self.length(aborted.len());
        for (producer_id, first_offset) in aborted {
            self.buffer.put_i64(*producer_id);
            self.buffer.put_i64(*first_offset);
            self.end_struct();
        }
    }

    fn records(&mut self, records: Vec<LogSlice>) {
        let bytes: usize = records.iter().map(LogSlice::len).sum();
        self.length(bytes);
        if bytes == 0 {
            return;
        }
        let head = self.buffer.split().freeze();
        self.head_bytes += head.len();
        self.parts.push(Part::Memory(head));
        self.parts.extend(records.into_iter().map(Part::from));
        self.payload_bytes += bytes;
    }

    /// An array's or a byte string's length.
    fn length(&mut self, len: usize) {
        if self.is_flexible() {
            put_unsigned(&mut self.buffer, len.min(u32::MAX as usize - 1) + 1);
        } else {
            self.buffer.put_i32(i32::try_from(len).unwrap_or(i32::MAX));
        }
    }

    fn string(&mut self, value: &str) {
        if self.is_flexible() {
            put_compact_string(&mut self.buffer, value);
        } else {
            self.buffer
                .put_i16(i16::try_from(value.len()).unwrap_or(i16::MAX));
            self.buffer.put_slice(value.as_bytes());
        }
    }

    fn tagged(&mut self, fields: &[(u32, &[u8])]) {
        put_unsigned(&mut self.buffer, fields.len());
        for (tag, body) in fields {
            put_unsigned(&mut self.buffer, *tag as usize);
            put_unsigned(&mut self.buffer, body.len());
            self.buffer.put_slice(body);
        }
    }

    fn end_struct(&mut self) {
        if self.is_flexible() {
            self.buffer.put_u8(0);
        }
    }

    fn finish(mut self) -> Reply {
        let frame_bytes = self.head_bytes + self.buffer.len() + self.payload_bytes;
        let length = i32::try_from(frame_bytes).unwrap_or(i32::MAX).to_be_bytes();
        self.parts[0] = Part::Memory(Bytes::copy_from_slice(&length));
        self.parts.push(Part::Memory(self.buffer.freeze()));
        Reply { parts: self.parts }
    }
}

fn endpoints(endpoints: &[Endpoint]) -> BytesMut {
    let mut body = BytesMut::new();
    put_unsigned(&mut body, endpoints.len() + 1);
    for endpoint in endpoints {
        body.put_i32(endpoint.node_id);
        put_compact_string(&mut body, &endpoint.host);
        body.put_i32(endpoint.port);
        match &endpoint.rack {
            Some(rack) => put_compact_string(&mut body, rack),
            None => body.put_u8(0),
        }
        body.put_u8(0);
    }
    body
}

fn put_compact_string(buffer: &mut BytesMut, value: &str) {
    put_unsigned(buffer, value.len() + 1);
    buffer.put_slice(value.as_bytes());
}

#[cfg(test)]
mod tests {
    use wire::messages::fetch_response::{
        AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
        PartitionData,
    };
    use wire::messages::{BrokerId, FetchResponse, ProducerId, TopicName};
    use wire::{StrBytes, codec};

    use super::*;

    fn flat(reply: &Reply) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in &reply.parts {
            match part {
                Part::Memory(memory) => bytes.extend_from_slice(memory),
                Part::File { .. } => panic!("these records lie in memory"),
            }
        }
        bytes
    }

    fn ours() -> Response {
        let partition = |index: i32, records: &'static [u8], full: bool| PartitionResponse {
            index,
            error_code: if full { 74 } else { 0 },
            high_watermark: 300 + i64::from(index),
            last_stable_offset: 200,
            log_start_offset: 7,
            diverging_epoch: full.then_some((3, 99)),
            current_leader: full.then_some((1, 4)),
            aborted: full.then(|| vec![(5, 6), (7, 8)]),
            records: if records.is_empty() {
                Vec::new()
            } else {
                vec![LogSlice::Memory(Bytes::from_static(records))]
            },
        };
        let topic = |name: &str, partitions| TopicResponse {
            name: name.into(),
            id: Uuid::from_u128(42),
            partitions,
        };
        Response {
            throttle_time_ms: 11,
            error_code: 0,
            session_id: 77,
            topics: vec![
                topic(
                    "a",
                    vec![partition(0, b"batch", false), partition(1, b"", true)],
                ),
                topic("b", vec![partition(2, &[9; 300], true)]),
            ],
            endpoints: vec![Endpoint {
                node_id: 1,
                host: "h".into(),
                port: 9092,
                rack: None,
            }],
        }
    }

    fn theirs(response: &Response, version: i16) -> FetchResponse {
        let partition = |p: &PartitionResponse| {
            let mut data = PartitionData::default()
                .with_partition_index(p.index)
                .with_error_code(p.error_code)
                .with_high_watermark(p.high_watermark)
                .with_last_stable_offset(p.last_stable_offset)
                .with_aborted_transactions(p.aborted.as_ref().map(|list| {
                    list.iter()
                        .map(|(id, first)| {
                            AbortedTransaction::default()
                                .with_producer_id(ProducerId(*id))
                                .with_first_offset(*first)
                        })
                        .collect()
                }))
                .with_preferred_read_replica(BrokerId(-1))
                .with_records(Some(p.records.iter().fold(
                    Bytes::new(),
                    |_, slice| match slice {
                        LogSlice::Memory(bytes) => bytes.clone(),
                        LogSlice::File { .. } => Bytes::new(),
                    },
                )));
            data.log_start_offset = p.log_start_offset;
            if version >= 12 {
                if let Some((epoch, end)) = p.diverging_epoch {
                    data.diverging_epoch = EpochEndOffset::default()
                        .with_epoch(epoch)
                        .with_end_offset(end);
                }
                if let Some((id, epoch)) = p.current_leader {
                    data.current_leader = LeaderIdAndEpoch::default()
                        .with_leader_id(BrokerId(id))
                        .with_leader_epoch(epoch);
                }
            }
            data
        };
        let mut out = FetchResponse::default()
            .with_throttle_time_ms(response.throttle_time_ms)
            .with_responses(
                response
                    .topics
                    .iter()
                    .map(|t| {
                        FetchableTopicResponse::default()
                            .with_topic(TopicName(StrBytes::from_string(t.name.clone())))
                            .with_topic_id(t.id)
                            .with_partitions(t.partitions.iter().map(partition).collect())
                    })
                    .collect(),
            );
        if version >= 7 {
            out.session_id = response.session_id;
        }
        if version >= 16 {
            out.node_endpoints = response
                .endpoints
                .iter()
                .map(|e| {
                    NodeEndpoint::default()
                        .with_node_id(BrokerId(e.node_id))
                        .with_host(StrBytes::from_string(e.host.clone()))
                        .with_port(e.port)
                })
                .collect();
        }
        out
    }

    #[test]
    fn every_version_is_byte_for_byte_what_the_crate_would_have_written() {
        for version in super::super::MIN..=super::super::MAX {
            let expected = codec::encode_response(&theirs(&ours(), version), 123, 1, version)
                .expect("encodes");
            assert_eq!(
                flat(&encode(ours(), 123, version)),
                &expected[..],
                "v{version}"
            );
        }
    }

    #[test]
    fn an_empty_answer_is_well_formed_at_every_version() {
        for version in super::super::MIN..=super::super::MAX {
            let expected =
                codec::encode_response(&FetchResponse::default(), 1, 1, version).expect("encodes");
            assert_eq!(
                flat(&encode(Response::default(), 1, version)),
                &expected[..],
                "v{version}"
            );
        }
    }
}
