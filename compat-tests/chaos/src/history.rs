//! The format of a history: what clients did and what they were told, one operation a line of JSON.
//!
//! ```text
//! {"process":"p1","id":3,"invoke":120,"complete":180,"outcome":"ok","op":{"send":{"to":"in-0","acks":-1,"idempotent":true,"records":[[17,"1.3"]]}}}
//! {"process":"t2","id":0,"invoke":150,"outcome":"fail","op":{"txn":{"id":"chain-2","sends":{"out-1":[[null,"2.0"]]}}}}
//! {"process":"t2","id":0,"outcome":"info"}
//! {"process":"t2","id":0,"complete":190,"outcome":"ok","offsets":{"out-1":[44]}}
//! ```
//!
//! * A **process** is one session of one client: whoever restarts, or starts a new producer, takes a new name. Its
//!   operations are numbered by `id` and do not overlap.
//! * Times are microseconds of one clock that all processes of a run share (CLOCK_MONOTONIC of one machine). `invoke`
//!   is before the first byte is sent, `complete` after the last is received; an operation whose end nobody saw has none.
//! * **Outcome**: `ok` is done; `fail` is surely not done; `info` is not known.
//! * A line without `op` **amends** the operation of that process and id. So an operation is on disk before it is under
//!   way, and a client that is killed leaves what was so far: a transaction is written as `fail` before its first
//!   record is sent, as `info` before its end is asked for, and with what it was told.
//! * A **value** `"writer.sequence"` is written once in a run; whoever tries again takes a new sequence, unless it repeats the very
//!   same request. A **record** is `[offset, value]`, with `null` for an offset nobody told; in a compacted topic
//!   `[offset, value, key]`, and `[offset, value, key, true]` for a tombstone.
//! * A **partition** is `topic-number`.
//! * The last line of a file may be cut off, by the kill of its writer: it is then no line.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Whose operation.
    pub process: String,
    /// Which of the process.
    pub id: u64,
    /// When it began, in microseconds; none in an amendment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoke: Option<u64>,
    /// When its end was known, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<u64>,
    /// What is known of it.
    pub outcome: Outcome,
    /// What was done; none in an amendment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<Op>,
    /// In an amendment: the offsets of the records sent, by partition, in their order.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub offsets: BTreeMap<String, Vec<Option<i64>>>,
}

/// What is known of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Ok,
    /// It was surely not done, and will not be.
    Fail,
    /// Nobody knows.
    Info,
}

/// What a reader is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Only what is committed.
    #[default]
    ReadCommitted,
    /// All that is replicated.
    ReadUncommitted,
}

/// Which end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The log start offset.
    Start,
    /// The high watermark.
    High,
    /// The last stable offset.
    Stable,
}

/// Records by partition, in their order.
pub type Records = BTreeMap<String, Vec<Record>>;

/// What a process did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Op {
    /// Records produced outside a transaction.
    Send {
        /// The partition.
        to: String,
        /// As in Produce: −1, 1 or 0.
        acks: i16,
        /// Whether a repeated request is recognised by the broker (KIP-98).
        idempotent: bool,
        /// What was sent.
        records: Vec<Record>,
    },
    /// Records fetched.
    Poll {
        /// How.
        #[serde(default)]
        isolation: Isolation,
        /// What was returned.
        records: Records,
        /// Partitions that came or went meanwhile: their order across this operation says nothing.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rebalanced: Vec<String>,
    },
    /// A transaction, with what was read to make it.
    Txn {
        /// The transactional id.
        id: String,
        /// The producer's session as the broker numbers it, where the client shows it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        producer: Option<Producer>,
        /// The group whose offsets were committed with it, behind all of `polls`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// What was read, at read_committed.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        polls: Records,
        /// What was sent.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        sends: Records,
    },
    /// The process goes on reading from elsewhere: an assignment, a seek, a return to the committed offset.
    Assign {
        /// Where; none for all partitions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partitions: Option<Vec<String>>,
    },
    /// ListOffsets.
    List {
        /// The partition.
        partition: String,
        /// Which end.
        end: End,
        /// What was answered.
        offset: Option<i64>,
        /// The leader epoch in which it was, if the answer says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<i32>,
    },
    /// InitProducerId of a transactional id: earlier sessions are fenced.
    Init {
        /// The transactional id.
        id: String,
        /// What was given, where the client shows it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        producer: Option<Producer>,
    },
    /// OffsetCommit outside a transaction.
    Commit {
        /// As whom.
        member: Member,
        /// What was committed, by partition.
        offsets: BTreeMap<String, i64>,
    },
    /// A member learned its generation.
    Join {
        /// As whom.
        member: Member,
        /// What it was assigned.
        partitions: Vec<String>,
    },
    /// OffsetFetch, of stable offsets.
    Committed {
        /// The group.
        group: String,
        /// What was answered, by partition.
        offsets: BTreeMap<String, i64>,
    },
    /// DeleteRecords: the log starts at `before`.
    Delete {
        /// The partition.
        partition: String,
        /// The new start.
        before: i64,
    },
    /// The last look: all that is visible at read_committed in one stretch of a partition. Its stretches follow on each other
    /// from the log start to the end, once everybody else is done.
    Scan {
        /// The partition.
        partition: String,
        /// The stretch's first offset.
        from: i64,
        /// Where the stretch ends, itself not in it.
        to: i64,
        /// What is visible in it.
        records: Vec<Record>,
    },
    /// How a topic is configured, where that excuses what would be an anomaly.
    Topic {
        /// The topic.
        name: String,
        /// Only the last value of a key is kept.
        compact: bool,
        /// For how long a tombstone stays, in milliseconds.
        delete_retention_ms: u64,
    },
    /// What one broker says of the cluster at about one moment.
    Image {
        /// Its node id.
        broker: i32,
        /// The partitions it knows.
        partitions: BTreeMap<String, Replication>,
    },
    /// What one replica holds below the high watermark it knows, in one stretch, once everybody is done.
    Replica {
        /// The partition.
        partition: String,
        /// Whose.
        broker: i32,
        /// The stretch's first offset.
        from: i64,
        /// Where the stretch ends, itself not in it.
        to: i64,
        /// The batches.
        batches: Vec<Batch>,
    },
    /// Something is done to the cluster; it is over when the operation completes.
    Fault {
        /// What.
        kind: String,
        /// To whom.
        target: String,
        /// For how long from its beginning clients may have to wait for it, in milliseconds.
        excuses_ms: u64,
    },
    /// Nothing is written any more, and every reader has been shown all there is.
    Rest {
        /// The longest that an operation may take, where no fault excuses it, in milliseconds.
        patience_ms: u64,
    },
}

/// How a partition is replicated, as one broker tells it. The offsets are asked of the leader one after the other, from the
/// one that must be the smallest to the largest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Replication {
    /// The leader's node id, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<i32>,
    /// The leader epoch.
    pub epoch: i32,
    /// The node ids of the replicas.
    pub replicas: Vec<i32>,
    /// Those that are in sync.
    pub isr: Vec<i32>,
    /// Those that may lead though they are not (KIP-966).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elr: Vec<i32>,
    /// The last stable offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<i64>,
    /// The high watermark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<i64>,
    /// The end of the leader's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
}

/// One record batch of a replica: base offset, last offset, leader epoch, checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch(pub i64, pub i64, pub i32, pub u32);

/// A producer's session as the broker numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Producer {
    /// The producer id.
    pub id: i64,
    /// The epoch.
    pub epoch: i16,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The group.
    pub group: String,
    /// The member id.
    pub id: String,
    /// The generation, or with KIP-848 the member epoch.
    pub epoch: i32,
    /// KIP-848: the epoch is the member's own and not the group's.
    #[serde(default)]
    pub own: bool,
}

/// What a record holds: who wrote it, and which of the writer's records it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value {
    /// The writer's number.
    pub writer: u32,
    /// Its sequence, rising with each record of the writer.
    pub sequence: u32,
}

impl Value {
    /// What stands for a record whose content is not what any writer writes.
    pub const DAMAGED: Value = Value {
        writer: u32::MAX,
        sequence: u32::MAX,
    };
}

/// A text that is no value.
#[derive(Debug, thiserror::Error)]
#[error("a value is \"writer.sequence\"")]
pub struct NotAValue;

impl FromStr for Value {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Value, NotAValue> {
        let (writer, sequence) = text.split_once('.').ok_or(NotAValue)?;
        Ok(Value {
            writer: writer.parse().map_err(|_| NotAValue)?,
            sequence: sequence.parse().map_err(|_| NotAValue)?,
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.writer, self.sequence)
    }
}

/// One record, sent or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it is, as far as the process was told.
    pub offset: Option<i64>,
    /// What it holds.
    pub value: Value,
    /// Its key, in a compacted topic.
    pub key: Option<String>,
    /// Deletes its key.
    pub tombstone: bool,
}

impl Record {
    /// A record without a key.
    pub fn plain(offset: Option<i64>, value: Value) -> Record {
        Record {
            offset,
            value,
            key: None,
            tombstone: false,
        }
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let len = 2 + usize::from(self.key.is_some()) + usize::from(self.tombstone);
        let mut fields = serializer.serialize_tuple(len)?;
        fields.serialize_element(&self.offset)?;
        fields.serialize_element(&self.value)?;
        if let Some(key) = &self.key {
            fields.serialize_element(key)?;
        }
        if self.tombstone {
            fields.serialize_element(&true)?;
        }
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Record, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Record;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("[offset, \"writer.sequence\", key, tombstone]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<Record, A::Error> {
                let missing = |what| A::Error::missing_field(what);
                Ok(Record {
                    offset: fields.next_element()?.ok_or_else(|| missing("offset"))?,
                    value: fields.next_element()?.ok_or_else(|| missing("value"))?,
                    key: fields.next_element()?,
                    tombstone: fields.next_element()?.unwrap_or(false),
                })
            }
        }
        deserializer.deserialize_seq(Fields)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Value;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("\"writer.sequence\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        for text in [
            r#"{"process":"p","id":3,"invoke":1,"complete":2,"outcome":"ok","op":{"send":{"to":"in-0","acks":-1,"idempotent":true,"records":[[17,"1.3"],[null,"1.4"]]}}}"#,
            r#"{"process":"p","id":3,"complete":2,"outcome":"info","offsets":{"in-0":[17,null]}}"#,
            r#"{"process":"p","id":4,"invoke":1,"outcome":"fail","op":{"scan":{"partition":"c-0","from":0,"to":9,"records":[[1,"1.1","k"],[2,"1.2","k",true]]}}}"#,
            r#"{"process":"p","id":5,"invoke":1,"outcome":"ok","op":{"assign":{}}}"#,
            r#"{"process":"p","id":6,"invoke":1,"outcome":"ok","op":{"list":{"partition":"c-0","end":"stable","offset":7}}}"#,
            r#"{"process":"p","id":7,"invoke":1,"outcome":"ok","op":{"list":{"partition":"c-0","end":"high","offset":7,"epoch":2}}}"#,
            r#"{"process":"w","id":1,"invoke":1,"outcome":"ok","op":{"image":{"broker":1,"partitions":{"c-0":{"leader":2,"epoch":3,"replicas":[1,2,3],"isr":[2],"elr":[1],"stable":4,"high":5,"end":6}}}}}"#,
            r#"{"process":"w","id":2,"invoke":1,"outcome":"ok","op":{"image":{"broker":1,"partitions":{"c-0":{"epoch":4,"replicas":[1,2],"isr":[]}}}}}"#,
            r#"{"process":"r","id":1,"invoke":1,"outcome":"ok","op":{"replica":{"partition":"c-0","broker":1,"from":0,"to":9,"batches":[[0,4,1,77],[5,8,2,78]]}}}"#,
            r#"{"process":"n","id":1,"invoke":1,"complete":2,"outcome":"ok","op":{"fault":{"kind":"pause","target":"2","excuses_ms":500}}}"#,
            r#"{"process":"n","id":2,"invoke":1,"outcome":"ok","op":{"rest":{"patience_ms":500}}}"#,
        ] {
            let line: Line = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&line).unwrap(), text);
        }
    }

    #[test]
    fn a_line_with_anything_else_in_it_is_refused() {
        for text in [
            r#"{"process":"p","id":3,"outcome":"ok","opp":1}"#,
            r#"{"process":"p","id":3,"outcome":"maybe"}"#,
            r#"{"process":"p","id":3,"invoke":1,"outcome":"ok","op":{"scan":{"partition":"c-0","from":0,"to":9,"records":[[1,"11"]]}}}"#,
        ] {
            assert!(serde_json::from_str::<Line>(text).is_err(), "{text}");
        }
    }
}
