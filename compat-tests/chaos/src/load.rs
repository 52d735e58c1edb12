//! Histories in memory: names and values are numbers, amendments are applied, operations are in order of their beginning.

use std::collections::HashMap;
use std::io::{self, BufRead};

use crate::history::{
    self, Batch, End, Isolation, Line, Outcome, Producer, Record, Records, Replication, Value,
};
use crate::names::Names;

/// A moment nobody saw: later than all others.
pub const NEVER: u64 = u64::MAX;
/// An offset nobody told.
pub const UNKNOWN: i64 = -1;

/// A record at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// Where it is, or [`UNKNOWN`].
    pub offset: i64,
    /// The partition's number.
    pub partition: u32,
    /// The value's number.
    pub value: u32,
}

/// A member of a group, by numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The group.
    pub group: u32,
    /// The member id.
    pub id: u32,
    /// Generation or member epoch.
    pub epoch: i32,
    /// Whether the epoch is the member's own.
    pub own: bool,
}

/// What was done: [`history::Op`] by numbers.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of history::Op")]
pub enum Action {
    Send {
        acks: i16,
        idempotent: bool,
        records: Vec<At>,
    },
    Poll {
        isolation: Isolation,
        records: Vec<At>,
        rebalanced: Vec<u32>,
    },
    Txn {
        id: u32,
        producer: Option<Producer>,
        group: Option<u32>,
        polls: Vec<At>,
        sends: Vec<At>,
    },
    Assign {
        partitions: Option<Vec<u32>>,
    },
    List {
        partition: u32,
        end: End,
        offset: i64,
        epoch: Option<i32>,
    },
    Init {
        id: u32,
        producer: Option<Producer>,
    },
    Commit {
        member: Member,
        offsets: Vec<(u32, i64)>,
    },
    Join {
        member: Member,
        partitions: Vec<u32>,
    },
    Committed {
        group: u32,
        offsets: Vec<(u32, i64)>,
    },
    Delete {
        partition: u32,
        before: i64,
    },
    Scan {
        partition: u32,
        from: i64,
        to: i64,
        records: Vec<At>,
    },
    Topic,
    Image {
        broker: i32,
        partitions: Vec<(u32, Replication)>,
    },
    Replica {
        partition: u32,
        broker: i32,
        from: i64,
        to: i64,
        batches: Vec<Batch>,
    },
    Fault {
        kind: u32,
        target: u32,
        excuses_ms: u64,
    },
    Rest {
        patience_ms: u64,
    },
}

/// One operation.
#[derive(Debug, Clone)]
pub struct Op {
    /// Whose, as a number of [`History::names`].
    pub process: u32,
    /// Which of the process.
    pub id: u64,
    /// When it began, in microseconds.
    pub invoke: u64,
    /// When its end was known, or [`NEVER`].
    pub complete: u64,
    /// What is known of it.
    pub outcome: Outcome,
    /// What was done.
    pub action: Action,
}

impl Op {
    /// What it wrote.
    pub fn sends(&self) -> &[At] {
        match &self.action {
            Action::Send { records, .. } | Action::Txn { sends: records, .. } => records,
            _ => &[],
        }
    }

    /// What it read, and how.
    pub fn reads(&self) -> (Isolation, &[At]) {
        match &self.action {
            Action::Poll {
                isolation, records, ..
            } => (*isolation, records),
            Action::Txn { polls: records, .. } | Action::Scan { records, .. } => {
                (Isolation::ReadCommitted, records)
            }
            _ => (Isolation::ReadCommitted, &[]),
        }
    }

    /// Whether it is a transaction.
    pub fn is_txn(&self) -> bool {
        matches!(self.action, Action::Txn { .. })
    }

    /// Whether it was done, as its process was told.
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }
}

/// What is known of a value's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keyed {
    /// The key, as a number of [`History::names`].
    pub key: u32,
    /// Deletes its key.
    pub tombstone: bool,
}

/// All operations of a run.
#[derive(Debug, Default)]
pub struct History {
    /// In order of their beginning.
    pub ops: Vec<Op>,
    /// The partitions.
    pub partitions: Names,
    /// Everything else with a name.
    pub names: Names,
    /// The values, by number.
    pub values: Vec<Value>,
    /// Of values with a key.
    pub keyed: HashMap<u32, Keyed>,
    /// Partition → for how many milliseconds its tombstones stay; only compacted ones are here.
    pub compacted: HashMap<u32, u64>,
}

/// Why lines are no history.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Not a line of the format.
    #[error("line {number}: {reason}")]
    Line {
        /// Counted from 1.
        number: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// Takes lines, in any number of files, and makes a [`History`] of them.
#[derive(Debug, Default)]
pub struct Loader {
    history: History,
    numbers: HashMap<Value, u32>,
    places: HashMap<(u32, u64), usize>,
    topics: Vec<(String, u64)>,
}

impl Loader {
    /// Takes all lines of one file. Fails at the first that is not of the format; a last line without its line
    /// feed was cut off when its writer was killed, and is skipped.
    pub fn read(&mut self, mut from: impl BufRead) -> Result<(), LoadError> {
        let mut text = String::new();
        for number in 1.. {
            text.clear();
            if from.read_line(&mut text)? == 0 || !text.ends_with('\n') {
                break;
            }
            let wrong = |reason: String| LoadError::Line { number, reason };
            let line = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
            self.line(line).map_err(wrong)?;
        }
        Ok(())
    }

    /// Takes one line; says what is wrong with it.
    pub fn line(&mut self, line: Line) -> Result<(), String> {
        let process = self.history.names.number(&line.process);
        let place = (process, line.id);
        let Some(op) = line.op else {
            let op = *self.places.get(&place).ok_or("it amends no operation")?;
            return self.amend(op, &line);
        };
        let invoke = line.invoke.ok_or("an operation has a beginning")?;
        if self.places.insert(place, self.history.ops.len()).is_some() {
            return Err("the process has another operation with this id".to_owned());
        }
        let action = self.action(op);
        self.history.ops.push(Op {
            process,
            id: line.id,
            invoke,
            complete: line.complete.unwrap_or(NEVER),
            outcome: line.outcome,
            action,
        });
        Ok(())
    }

    /// The history, once every line was taken.
    pub fn finish(mut self) -> History {
        for partition in 0..self.history.partitions.len() as u32 {
            let name = self.history.partitions.name(partition);
            let topic = name.rsplit_once('-').map_or(name, |(topic, _)| topic);
            if let Some((_, retention_ms)) = self.topics.iter().find(|(name, _)| name == topic) {
                self.history.compacted.insert(partition, *retention_ms);
            }
        }
        self.history.ops.sort_by_key(|op| op.invoke);
        self.history
    }

    fn amend(&mut self, op: usize, line: &Line) -> Result<(), String> {
        let mut offsets = HashMap::new();
        for (partition, told) in &line.offsets {
            offsets.insert(self.history.partitions.number(partition), told.iter());
        }
        let op = &mut self.history.ops[op];
        op.outcome = line.outcome;
        op.complete = line.complete.unwrap_or(op.complete);
        let (Action::Send { records, .. } | Action::Txn { sends: records, .. }) = &mut op.action
        else {
            return match offsets.is_empty() {
                true => Ok(()),
                false => Err("only what was sent is told offsets".to_owned()),
            };
        };
        for record in records {
            if let Some(told) = offsets.get_mut(&record.partition) {
                let offset = told.next().ok_or("there are less offsets than records")?;
                record.offset = offset.unwrap_or(UNKNOWN);
            }
        }
        match offsets.values_mut().all(|told| told.next().is_none()) {
            true => Ok(()),
            false => Err("there are more offsets than records".to_owned()),
        }
    }

    fn action(&mut self, op: history::Op) -> Action {
        use history::Op;
        match op {
            Op::Send {
                to,
                acks,
                idempotent,
                records,
            } => Action::Send {
                acks,
                idempotent,
                records: self.records(&to, &records),
            },
            Op::Poll {
                isolation,
                records,
                rebalanced,
            } => Action::Poll {
                isolation,
                records: self.by_partition(&records),
                rebalanced: self.partitions(&rebalanced),
            },
            Op::Txn {
                id,
                producer,
                group,
                polls,
                sends,
            } => Action::Txn {
                id: self.history.names.number(&id),
                producer,
                group: group.map(|group| self.history.names.number(&group)),
                polls: self.by_partition(&polls),
                sends: self.by_partition(&sends),
            },
            Op::Assign { partitions } => Action::Assign {
                partitions: partitions.map(|partitions| self.partitions(&partitions)),
            },
            Op::List {
                partition,
                end,
                offset,
                epoch,
            } => Action::List {
                partition: self.history.partitions.number(&partition),
                end,
                offset: offset.unwrap_or(UNKNOWN),
                epoch,
            },
            Op::Init { id, producer } => Action::Init {
                id: self.history.names.number(&id),
                producer,
            },
            Op::Commit { member, offsets } => Action::Commit {
                member: self.member(&member),
                offsets: self.offsets(offsets),
            },
            Op::Join { member, partitions } => Action::Join {
                member: self.member(&member),
                partitions: self.partitions(&partitions),
            },
            Op::Committed { group, offsets } => Action::Committed {
                group: self.history.names.number(&group),
                offsets: self.offsets(offsets),
            },
            Op::Delete { partition, before } => Action::Delete {
                partition: self.history.partitions.number(&partition),
                before,
            },
            Op::Scan {
                partition,
                from,
                to,
                records,
            } => Action::Scan {
                from,
                to,
                records: self.records(&partition, &records),
                partition: self.history.partitions.number(&partition),
            },
            Op::Topic {
                name,
                compact,
                delete_retention_ms,
            } => {
                if compact {
                    self.topics.push((name, delete_retention_ms));
                }
                Action::Topic
            }
            Op::Image { broker, partitions } => Action::Image {
                broker,
                partitions: self.replications(partitions),
            },
            Op::Replica {
                partition,
                broker,
                from,
                to,
                batches,
            } => Action::Replica {
                partition: self.history.partitions.number(&partition),
                broker,
                from,
                to,
                batches,
            },
            Op::Fault {
                kind,
                target,
                excuses_ms,
            } => Action::Fault {
                kind: self.history.names.number(&kind),
                target: self.history.names.number(&target),
                excuses_ms,
            },
            Op::Rest { patience_ms } => Action::Rest { patience_ms },
        }
    }

    fn by_partition(&mut self, records: &Records) -> Vec<At> {
        let of = |(partition, records): (&String, &Vec<_>)| self.records(partition, records);
        records.iter().flat_map(of).collect()
    }

    fn records(&mut self, partition: &str, records: &[Record]) -> Vec<At> {
        let partition = self.history.partitions.number(partition);
        let mut places = Vec::with_capacity(records.len());
        for record in records {
            let value = self.value(record.value);
            if let Some(key) = &record.key {
                let key = self.history.names.number(key);
                let tombstone = record.tombstone;
                self.history.keyed.insert(value, Keyed { key, tombstone });
            }
            places.push(At {
                offset: record.offset.unwrap_or(UNKNOWN),
                partition,
                value,
            });
        }
        places
    }

    fn value(&mut self, value: Value) -> u32 {
        let next = u32::try_from(self.numbers.len()).expect("a history has less than 2^32 values");
        let number = *self.numbers.entry(value).or_insert(next);
        if number == next {
            self.history.values.push(value);
        }
        number
    }

    fn partitions(&mut self, names: &[String]) -> Vec<u32> {
        let number = |name: &String| self.history.partitions.number(name);
        names.iter().map(number).collect()
    }

    fn offsets(&mut self, offsets: impl IntoIterator<Item = (String, i64)>) -> Vec<(u32, i64)> {
        let number =
            |(name, offset): (String, i64)| (self.history.partitions.number(&name), offset);
        offsets.into_iter().map(number).collect()
    }

    fn replications(
        &mut self,
        told: impl IntoIterator<Item = (String, Replication)>,
    ) -> Vec<(u32, Replication)> {
        let number = |(name, told): (String, _)| (self.history.partitions.number(&name), told);
        told.into_iter().map(number).collect()
    }

    fn member(&mut self, member: &history::Member) -> Member {
        Member {
            group: self.history.names.number(&member.group),
            id: self.history.names.number(&member.id),
            epoch: member.epoch,
            own: member.own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<History, LoadError> {
        let mut loader = Loader::default();
        loader.read(text.as_bytes())?;
        Ok(loader.finish())
    }

    const SEND: &str = r#"{"process":"p","id":0,"invoke":5,"outcome":"info","op":{"send":{"to":"in-0","acks":-1,"idempotent":true,"records":[[null,"1.0"],[null,"1.1"]]}}}"#;

    #[test]
    fn an_amendment_tells_the_end_of_an_operation() {
        let text = format!(
            "{SEND}\n{}\n",
            r#"{"process":"p","id":0,"complete":9,"outcome":"ok","offsets":{"in-0":[4,5]}}"#
        );
        let history = load(&text).unwrap();
        let op = &history.ops[0];
        assert_eq!((op.outcome, op.invoke, op.complete), (Outcome::Ok, 5, 9));
        assert_eq!(
            op.sends().iter().map(|at| at.offset).collect::<Vec<_>>(),
            [4, 5]
        );
    }

    #[test]
    fn an_operation_that_is_not_amended_has_no_end() {
        let op = &load(&format!("{SEND}\n")).unwrap().ops[0];
        assert_eq!((op.outcome, op.complete), (Outcome::Info, NEVER));
        assert_eq!(op.sends()[0].offset, UNKNOWN);
    }

    #[test]
    fn a_last_line_that_was_cut_off_is_no_line() {
        assert_eq!(
            load(&format!("{SEND}\n{}", &SEND[..40])).unwrap().ops.len(),
            1
        );
        assert!(load(&format!("{}\n", &SEND[..40])).is_err());
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let short = r#"{"process":"p","id":0,"outcome":"ok","offsets":{"in-0":[4]}}"#;
        let long = r#"{"process":"p","id":0,"outcome":"ok","offsets":{"in-0":[4,5,6]}}"#;
        let other = r#"{"process":"p","id":1,"outcome":"ok"}"#;
        for second in [SEND, short, long, other] {
            assert!(load(&format!("{SEND}\n{second}\n")).is_err(), "{second}");
        }
    }
}
