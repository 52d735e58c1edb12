//! `kchaos produce`: numbered records into a topic, a request at a time, and what each was told.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use kcheck::history::{Op, Outcome, Producer, Record, Value};
use tokio::time::sleep;
use wire::Bytes;
use wire::batch::{BatchBuilder, BatchOptions};

use crate::flags::Flags;
use crate::journal::{Journal, Told, now_us, until, wall_ms};
use crate::payload;
use crate::raw::{DUPLICATE_SEQUENCE_NUMBER, Failure, Raw, persist};
use crate::requests::{self, Produce};

/// How long a request is repeated.
const PATIENCE_US: u64 = 60_000_000;

struct Producing {
    raw: Raw,
    journal: Journal,
    topic: String,
    partitions: i32,
    acks: i16,
    batch: usize,
    writer: u32,
    sequence: u32,
}

/// `--bootstrap --history --name --writer --topic --partitions --records [--acks -1] [--idempotent true] [--batch 50] [--rate 0] [--until µs]`
pub(crate) async fn run(flags: &Flags) -> Result<ExitCode> {
    let name = flags.text("name")?;
    let mut producing = Producing {
        raw: Raw::of(flags, name)?,
        journal: Journal::open(flags.text("history")?, name)?,
        topic: flags.text("topic")?.to_owned(),
        partitions: flags.get("partitions")?,
        acks: flags.or("acks", -1)?,
        batch: flags.or("batch", 50)?,
        writer: flags.get("writer")?,
        sequence: 0,
    };
    let idempotent = flags.or("idempotent", true)?;
    let (records, rate) = (flags.get::<u32>("records")?, flags.or("rate", 0_u64)?);
    let (start_us, end_us) = (now_us(), flags.or("until", u64::MAX)?);
    let mut session = 0;
    while producing.sequence < records && now_us() < end_us {
        producing.journal.rename(&format!("{name}.{session}"));
        session += 1;
        let mut producer = None;
        if idempotent {
            let init = async |raw: &mut Raw| requests::init_producer_id(raw, None).await;
            let (given, _) = persist(&mut producing.raw, now_us() + PATIENCE_US, init).await;
            producer = Some(given?);
        }
        let mut sequences = vec![0; producing.partitions as usize];
        while producing.sequence < records && now_us() < end_us {
            if !producing.send(producer, &mut sequences).await? {
                break;
            }
            let sent_us = u64::from(producing.sequence) * 1_000_000;
            if let Some(due_us) = sent_us.checked_div(rate) {
                sleep(until(start_us + due_us)).await;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Producing {
    /// One request. False if the session cannot go on.
    async fn send(&mut self, producer: Option<Producer>, sequences: &mut [i32]) -> Result<bool> {
        let partition = (self.sequence as usize / self.batch) as i32 % self.partitions;
        let values: Vec<Value> = (0..self.batch).map(|_| self.value()).collect();
        let base_sequence = &mut sequences[partition as usize];
        let what = Produce {
            topic: &self.topic,
            partition,
            acks: self.acks,
            transactional_id: None,
            batch: batch(
                &values,
                producer.map(|producer| (producer, *base_sequence)),
                false,
            )?,
            version: 11,
        };
        *base_sequence += values.len() as i32;
        let to = format!("{}-{partition}", self.topic);
        let begun = self.journal.begin(
            Outcome::Info,
            Op::Send {
                to: to.clone(),
                acks: self.acks,
                idempotent: producer.is_some(),
                records: values
                    .iter()
                    .map(|value| Record::plain(None, *value))
                    .collect(),
            },
        )?;
        // Without a sequence a repeated request is another one.
        let patience_us = if producer.is_some() { PATIENCE_US } else { 0 };
        let attempt = async |raw: &mut Raw| requests::produce(raw, &what).await;
        let (done, unsure) = persist(&mut self.raw, now_us() + patience_us, attempt).await;
        let (outcome, base, go_on) = match done {
            Ok(base) => (Outcome::Ok, base, true),
            Err(Failure::Code(DUPLICATE_SEQUENCE_NUMBER)) => (Outcome::Ok, None, true),
            Err(failure) => {
                eprintln!("{to}: {failure}");
                let outcome = if unsure { Outcome::Info } else { Outcome::Fail };
                (outcome, None, producer.is_none())
            }
        };
        let offsets = (0..values.len()).map(|index| Some(base? + index as i64));
        let told = match base {
            Some(_) => Told::from([(to, offsets.collect())]),
            None => Told::new(),
        };
        self.journal.end(begun, outcome, told)?;
        if outcome != Outcome::Ok {
            self.raw.forget();
            sleep(Duration::from_millis(50)).await;
        }
        Ok(go_on)
    }

    fn value(&mut self) -> Value {
        self.sequence += 1;
        Value {
            writer: self.writer,
            sequence: self.sequence,
        }
    }
}

/// A batch of these values, as of a session from a sequence on.
pub(crate) fn batch(
    values: &[Value],
    session: Option<(Producer, i32)>,
    transactional: bool,
) -> Result<Bytes> {
    let mut options = BatchOptions {
        transactional,
        ..BatchOptions::default()
    };
    if let Some((producer, base_sequence)) = session {
        (options.producer_id, options.producer_epoch) = (producer.id, producer.epoch);
        options.base_sequence = base_sequence;
    }
    let mut builder = BatchBuilder::new(options);
    for value in values {
        builder.append(wall_ms(), None, Some(&payload::bytes(*value)), &[])?;
    }
    Ok(builder.build()?)
}
