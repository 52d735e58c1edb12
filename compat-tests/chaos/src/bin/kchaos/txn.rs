//! `kchaos txn`: transactions by hand. Reads some partitions, writes as many records to others and commits its offsets, all in
//! one transaction, which it ends now and then by aborting; as clients before KIP-890 do (`--flow 1`) or as those after (2).

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use kcheck::history::{Isolation, Op, Outcome, Producer, Record, Records, Value};
use tokio::time::sleep;
use wire::Bytes;
use wire::messages::{EndTxnRequest, ProduceRequest, TxnOffsetCommitRequest};

use crate::consume::{Positions, fetch_all};
use crate::flags::Flags;
use crate::journal::{Begun, Journal, Told, now_us};
use crate::produce::batch;
use crate::raw::{Answer, Failure, Raw, checked, persist};
use crate::records::shown;
use crate::requests::{self, Produce, Txn};

/// How long a request is repeated.
const PATIENCE_US: u64 = 60_000_000;
/// One of so many transactions is aborted.
const ABORTED: u32 = 7;

struct Client {
    raw: Raw,
    journal: Journal,
    id: String,
    group: String,
    input: String,
    partitions: Vec<i32>,
    output: String,
    outputs: i32,
    batch: usize,
    flow: u8,
    writer: u32,
    sequence: u32,
    txns: u32,
}

/// A session of the transactional id.
struct Session {
    producer: Producer,
    sequences: Vec<i32>,
    positions: Positions,
}

/// What one transaction is made of.
struct Work {
    polls: Records,
    next: Positions,
    sends: BTreeMap<i32, Vec<Value>>,
}

/// `--bootstrap --history --name --id --group --input --from 0 --to 4 --output --outputs 4 --writer --flow 1|2 [--batch 100]`
pub(crate) async fn run(flags: &Flags) -> Result<ExitCode> {
    let name = flags.text("name")?;
    let mut client = Client {
        raw: Raw::of(flags, name)?,
        journal: Journal::open(flags.text("history")?, name)?,
        id: flags.text("id")?.to_owned(),
        group: flags.text("group")?.to_owned(),
        input: flags.text("input")?.to_owned(),
        partitions: (flags.get("from")?..flags.get("to")?).collect(),
        output: flags.text("output")?.to_owned(),
        outputs: flags.get("outputs")?,
        batch: flags.or("batch", 100)?,
        flow: flags.get("flow")?,
        writer: flags.get("writer")?,
        sequence: 0,
        txns: 0,
    };
    if client.flow == 2 {
        client.require_version_2().await?;
    }
    for session in 0.. {
        client.journal.rename(&format!("{name}.{session}"));
        if let Err(failure) = client.session().await? {
            eprintln!("{name}.{session}: {failure}");
            // Rivals do not do it in step.
            sleep(Duration::from_micros(200_000 + now_us() % 500_000)).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Client {
    /// With an older version of a request nothing would be added to the transaction.
    async fn require_version_2(&mut self) -> Result<()> {
        let ask = async |raw: &mut Raw| {
            let produce = raw.speaks::<ProduceRequest>().await?;
            let offsets = raw.speaks::<TxnOffsetCommitRequest>().await?;
            Ok((produce, offsets, raw.speaks::<EndTxnRequest>().await?))
        };
        let spoken = persist(&mut self.raw, now_us() + PATIENCE_US, ask)
            .await
            .0?;
        match spoken {
            (12.., 5.., 5..) => Ok(()),
            _ => bail!(
                "the broker speaks {spoken:?} of Produce, TxnOffsetCommit, EndTxn: no transactions of version 2"
            ),
        }
    }

    /// Transactions until one cannot be ended as it should: only a new session knows what became of it.
    async fn session(&mut self) -> Result<Answer<()>> {
        let mut session = match self.begin_session().await? {
            Ok(session) => session,
            Err(failure) => return Ok(Err(failure)),
        };
        loop {
            let work = match self.read(&session).await {
                Ok(work) if work.sends.is_empty() => continue,
                Ok(work) => work,
                // Nothing is open, so there is nothing to give up.
                Err(_) => {
                    self.raw.forget();
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            if let Err(failure) = self.transaction(&mut session, work).await? {
                return Ok(Err(failure));
            }
        }
    }

    async fn begin_session(&mut self) -> Result<Answer<Session>> {
        let id = self.id.clone();
        let begun = self.journal.begin(
            Outcome::Info,
            Op::Init {
                id: id.clone(),
                producer: None,
            },
        )?;
        let init = async |raw: &mut Raw| requests::init_producer_id(raw, Some(&id)).await;
        let (given, _) = persist(&mut self.raw, now_us() + PATIENCE_US, init).await;
        let producer = match given {
            Ok(producer) => producer,
            Err(failure) => return Ok(Err(failure)),
        };
        self.journal.end(begun, Outcome::Ok, Told::new())?;
        let (group, input) = (self.group.clone(), self.input.clone());
        let count = self.partitions.iter().max().map_or(0, |last| last + 1);
        let fetch = async |raw: &mut Raw| requests::committed(raw, &group, &input, count).await;
        let (committed, _) = persist(&mut self.raw, now_us() + PATIENCE_US, fetch).await;
        let at = |committed: BTreeMap<i32, i64>| {
            let start = |partition: &i32| committed.get(partition).copied().unwrap_or(0);
            let place = |partition: &i32| ((self.input.clone(), *partition), start(partition));
            self.partitions.iter().map(place).collect()
        };
        Ok(committed.map(|committed| Session {
            producer,
            sequences: vec![0; self.outputs as usize],
            positions: at(committed),
        }))
    }

    async fn read(&mut self, session: &Session) -> Answer<Work> {
        let mut work = Work {
            polls: Records::new(),
            next: Positions::new(),
            sends: BTreeMap::new(),
        };
        let fetched =
            fetch_all(&mut self.raw, &session.positions, Isolation::ReadCommitted).await?;
        for (topic, fetched) in fetched {
            checked(fetched.error_code)?;
            let place = (topic, fetched.partition_index);
            let mut shown = shown(
                &fetched,
                session.positions[&place],
                Isolation::ReadCommitted,
            );
            let read: usize = work.polls.values().map(Vec::len).sum();
            let mut next = shown.next;
            if let Some(first_left) = shown.records.get(self.batch - read.min(self.batch)) {
                next = first_left.offset.unwrap_or(next);
                shown.records.retain(|record| record.offset < Some(next));
            }
            if !shown.records.is_empty() {
                work.polls
                    .insert(format!("{}-{}", place.0, place.1), shown.records);
            }
            work.next.insert(place, next);
        }
        for _ in work.polls.values().flatten() {
            self.sequence += 1;
            let value = Value {
                writer: self.writer,
                sequence: self.sequence,
            };
            let partition = (self.sequence % self.outputs as u32) as i32;
            work.sends.entry(partition).or_default().push(value);
        }
        Ok(work)
    }

    async fn transaction(&mut self, session: &mut Session, work: Work) -> Result<Answer<()>> {
        self.txns += 1;
        let commit = !self.txns.is_multiple_of(ABORTED);
        let name = |partition: &i32| format!("{}-{partition}", self.output);
        let records = |values: &Vec<Value>| {
            values
                .iter()
                .map(|value| Record::plain(None, *value))
                .collect()
        };
        let sends = work
            .sends
            .iter()
            .map(|(partition, values)| (name(partition), records(values)));
        let op = Op::Txn {
            id: self.id.clone(),
            producer: Some(session.producer),
            group: Some(self.group.clone()),
            polls: work.polls.clone(),
            sends: sends.collect(),
        };
        let begun = self.journal.begin(Outcome::Fail, op)?;
        let told = match self.write(session, &work).await {
            Ok(told) => told,
            Err(failure) => return Ok(Err(failure)),
        };
        let ended = self.end(begun, session, commit).await?;
        match (ended, commit) {
            (Err(failure), _) => Ok(Err(failure)),
            (Ok(()), true) => {
                self.journal.end(begun, Outcome::Ok, told)?;
                session.positions.extend(work.next);
                Ok(Ok(()))
            }
            (Ok(()), false) => {
                self.journal.end(begun, Outcome::Fail, Told::new())?;
                // What it read is read again.
                self.journal
                    .whole(now_us(), Op::Assign { partitions: None })?;
                Ok(Ok(()))
            }
        }
    }

    /// Everything but the end of the transaction.
    async fn write(&mut self, session: &mut Session, work: &Work) -> Answer<Told> {
        let (id, group, output) = (self.id.clone(), self.group.clone(), self.output.clone());
        let txn = Txn {
            id: &id,
            producer: session.producer,
        };
        let mut told = Told::new();
        for (partition, values) in &work.sends {
            let sequence = &mut session.sequences[*partition as usize];
            let batch = batch(values, Some((txn.producer, *sequence)), true);
            *sequence += values.len() as i32;
            let base = self
                .produce(txn, &output, *partition, batch.unwrap_or_default())
                .await?;
            let offsets = (0..values.len()).map(|index| Some(base? + index as i64));
            told.insert(format!("{output}-{partition}"), offsets.collect());
        }
        let end_us = now_us() + PATIENCE_US;
        let mut version = 5;
        if self.flow == 1 {
            version = 4;
            let add = async |raw: &mut Raw| requests::add_offsets(raw, txn, &group).await;
            persist(&mut self.raw, end_us, add).await.0?;
        }
        let commit = async |raw: &mut Raw| {
            requests::commit_offsets(raw, txn, &group, &work.next, version).await
        };
        persist(&mut self.raw, end_us, commit).await.0?;
        Ok(told)
    }

    async fn produce(
        &mut self,
        txn: Txn<'_>,
        topic: &str,
        partition: i32,
        batch: Bytes,
    ) -> Answer<Option<i64>> {
        let end_us = now_us() + PATIENCE_US;
        if self.flow == 1 {
            let add =
                async |raw: &mut Raw| requests::add_partition(raw, txn, topic, partition).await;
            persist(&mut self.raw, end_us, add).await.0?;
        }
        let what = Produce {
            topic,
            partition,
            acks: -1,
            transactional_id: Some(txn.id),
            batch,
            version: if self.flow == 1 { 11 } else { 12 },
        };
        let produce = async |raw: &mut Raw| requests::produce(raw, &what).await;
        match persist(&mut self.raw, end_us, produce).await.0 {
            Err(Failure::Code(crate::raw::DUPLICATE_SEQUENCE_NUMBER)) => Ok(None),
            done => done,
        }
    }

    async fn end(
        &mut self,
        begun: Begun,
        session: &mut Session,
        commit: bool,
    ) -> Result<Answer<()>> {
        if commit {
            self.journal.amend(begun, Outcome::Info)?;
        }
        let id = self.id.clone();
        let txn = Txn {
            id: &id,
            producer: session.producer,
        };
        let version = if self.flow == 1 { 4 } else { 5 };
        let end = async |raw: &mut Raw| requests::end_txn(raw, txn, commit, version).await;
        let (ended, _) = persist(&mut self.raw, now_us() + PATIENCE_US, end).await;
        Ok(ended.map(|producer| {
            if producer != session.producer {
                session.sequences.fill(0);
            }
            session.producer = producer;
        }))
    }
}
