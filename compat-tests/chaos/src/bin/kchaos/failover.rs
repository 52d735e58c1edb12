//! `kchaos failover`: how long a partition is without a leader that acknowledges, after the one it had was killed, stopped or paused.
//!
//! One producer writes one record after the other, acks=all, and asks the brokers that are left who leads as soon as the leader
//! fails it. What it is told goes to a history, so that the rounds are judged as any other run.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kcheck::history::{Op, Outcome, Producer, Record, Value};
use rustix::process::Signal;
use tokio::time::sleep;

use crate::cluster::{Cluster, Member, NODES};
use crate::crew;
use crate::flags::Flags;
use crate::journal::{Journal, Told, now_us};
use crate::produce::batch;
use crate::raw::{Answer, DUPLICATE_SEQUENCE_NUMBER, Failure, Raw, persist};
use crate::requests::{self, NewTopic, Produce};
use crate::scan;

const TOPIC: &str = "failover";
/// How long a round may take until somebody acknowledges, and until all is as before.
const PATIENCE_US: u64 = 120_000_000;
/// How long one answer of a broker that may be dead is waited for, and how soon the others are asked again.
const TIMEOUT: Duration = Duration::from_millis(500);
const AGAIN: Duration = Duration::from_millis(5);

/// What is done to the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Kill,
    Term,
    Stop,
}

const HOWS: [(How, &str); 3] = [
    (How::Kill, "SIGKILL"),
    (How::Term, "SIGTERM"),
    (How::Stop, "SIGSTOP"),
];

/// What one round showed, in microseconds.
#[derive(Debug, Default, Clone)]
struct Round {
    /// From the signal to the first acknowledgement by another broker.
    failover_us: u64,
    /// The longest time between two acknowledgements, from just before the signal to just after the failover.
    gap_us: u64,
    /// What failed meanwhile, as a client library would hide it.
    failures: BTreeMap<String, u32>,
    /// The old leader acknowledged, after it went on, what it was sent while it was stopped.
    acknowledged_late: u32,
}

struct Failover {
    cluster: Cluster,
    journal: Journal,
    raw: Raw,
    producer: Producer,
    sequence: i32,
    written: u32,
}

/// `--dir --bootstrap --cluster-command [--etcd false] [--rounds 20] [--signals KILL,TERM,STOP] [--label …]`
pub(crate) async fn run(flags: &Flags) -> Result<ExitCode> {
    let dir = flags.text("dir")?.to_owned();
    let rounds = flags.or("rounds", 20)?;
    let signals: String = flags.or("signals", "KILL,TERM,STOP".to_owned())?;
    let mut failover = Failover::start(flags, &dir).await?;
    let label: String = flags.or("label", "leader".to_owned())?;
    let mut late = 0;
    for (how, name) in HOWS {
        if !signals.split(',').any(|wanted| name.ends_with(wanted)) {
            continue;
        }
        let mut done = Vec::new();
        for number in 1..=rounds {
            let round = failover.round(how).await;
            done.push(round.with_context(|| format!("{name}, round {number}"))?);
        }
        late += done
            .iter()
            .map(|round| round.acknowledged_late)
            .sum::<u32>();
        print_row(&format!("{label}, {name}"), &done);
    }
    failover.finish(&dir).await?;
    let clean = crew::judge(&dir, false)? && late == 0;
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print_row(name: &str, rounds: &[Round]) {
    let of = |pick: fn(&Round) -> u64| {
        let mut all: Vec<u64> = rounds.iter().map(pick).collect();
        all.sort_unstable();
        let at = |share: f64| {
            let index = (all.len() as f64 * share).ceil() as usize;
            all.get(index.max(1) - 1).copied().unwrap_or(0) as f64 / 1e3
        };
        format!("{:.0} | {:.0} | {:.0}", at(0.5), at(0.99), at(1.0))
    };
    let mut failures: BTreeMap<&str, u32> = BTreeMap::new();
    for (what, count) in rounds.iter().flat_map(|round| &round.failures) {
        *failures.entry(what).or_default() += count;
    }
    let failures: Vec<String> = failures
        .iter()
        .map(|(what, count)| format!("{count} × {what}"))
        .collect();
    let late: u32 = rounds.iter().map(|round| round.acknowledged_late).sum();
    println!(
        "| {name} | {} | {} | {} | {late} | {} |",
        rounds.len(),
        of(|round| round.failover_us),
        of(|round| round.gap_us),
        failures.join(", ")
    );
}

impl Failover {
    async fn start(flags: &Flags, dir: &str) -> Result<Failover> {
        let mut cluster = Cluster::of(flags)?;
        cluster.start_all(flags.or("etcd", false)?).await?;
        let mut raw = Raw::new(&cluster.bootstrap(), "failover");
        let new = NewTopic {
            name: TOPIC,
            partitions: 1,
            replicas: 3,
            configs: "min.insync.replicas=2",
        };
        requests::create(&mut raw, &new).await?;
        let init = async |raw: &mut Raw| requests::init_producer_id(raw, None).await;
        let given = persist(&mut raw, now_us() + PATIENCE_US, init).await.0;
        let mut journal = Journal::open(&format!("{dir}/failover.jsonl"), "failover")?;
        journal.rename("failover");
        println!(
            "| leader | rounds | failover p50 (ms) | p99 | most | longest gap p50 (ms) | p99 | most | acknowledged late | failed attempts |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|");
        Ok(Failover {
            cluster,
            journal,
            raw,
            producer: given?,
            sequence: 0,
            written: 0,
        })
    }

    /// One record, tried at whoever leads until it is acknowledged; says by whom. Whoever is at `avoided` does not answer, and is
    /// not tried.
    async fn write(
        &mut self,
        raw: &mut Raw,
        round: &mut Round,
        avoided: Option<&str>,
    ) -> Result<String> {
        self.written += 1;
        let value = Value {
            writer: 1,
            sequence: self.written,
        };
        let what = Produce {
            topic: TOPIC,
            partition: 0,
            acks: -1,
            transactional_id: None,
            batch: batch(&[value], Some((self.producer, self.sequence)), false)?,
            version: 11,
        };
        self.sequence += 1;
        let to = format!("{TOPIC}-0");
        let begun = self.journal.begin(
            Outcome::Info,
            Op::Send {
                to: to.clone(),
                acks: -1,
                idempotent: true,
                records: vec![Record::plain(None, value)],
            },
        )?;
        let end_us = now_us() + PATIENCE_US;
        loop {
            if avoided.is_some() && led_by(raw).await.as_deref() == avoided && now_us() < end_us {
                raw.forget();
                sleep(AGAIN).await;
                continue;
            }
            let failure = match requests::produce(raw, &what).await {
                Ok(base) => {
                    let told = base.map(|base| (to, vec![Some(base)]));
                    self.journal
                        .end(begun, Outcome::Ok, told.into_iter().collect())?;
                    return Ok(leader_of(raw));
                }
                Err(Failure::Code(DUPLICATE_SEQUENCE_NUMBER)) => {
                    self.journal.end(begun, Outcome::Ok, Told::new())?;
                    return Ok(leader_of(raw));
                }
                Err(failure) => failure,
            };
            // An attempt that goes nowhere is no answer: nobody leads yet.
            if !matches!(failure, Failure::NotSent(_)) {
                let what = match failure {
                    Failure::Code(code) => format!("error code {code}"),
                    _ => "no answer".to_owned(),
                };
                *round.failures.entry(what).or_default() += 1;
            }
            if now_us() > end_us {
                bail!("nobody acknowledges: {failure}");
            }
            raw.forget();
            sleep(AGAIN).await;
        }
    }

    async fn round(&mut self, how: How) -> Result<Round> {
        let patience = Duration::from_micros(PATIENCE_US);
        self.cluster.in_sync(&[TOPIC], 3, patience).await?;
        let mut round = Round::default();
        let mut raw = Raw::new(&self.cluster.bootstrap(), "failover").with_timeout(TIMEOUT);
        let old = self.write(&mut raw, &mut round, None).await?;
        let node = NODES
            .into_iter()
            .find(|node| self.cluster.address(*node) == old);
        let node = node.with_context(|| format!("{old} is none of the cluster"))?;
        let mut acknowledged = Vec::new();
        // So that the connection, and the pace, are those of a producer at work.
        for _ in 0..50 {
            self.write(&mut raw, &mut round, None).await?;
            acknowledged.push(now_us());
        }
        round.failures.clear();
        let member = Member::Broker(node);
        let mut late = Raw::new(&old, "late").with_timeout(Duration::from_micros(PATIENCE_US));
        requests::metadata(&mut late, TOPIC).await?;
        let signalled_us = now_us();
        self.cluster.signal(member, signal_of(how))?;
        // What waits in its socket when it goes on is not for it to acknowledge any more.
        let late = (how == How::Stop).then(|| tokio::spawn(trespass(late)));
        let avoided = late.is_some().then_some(old.as_str());
        // Only those who are left are asked, as a client does that has been refused a connection.
        let left = NODES.iter().filter(|other| **other != node);
        let left: Vec<String> = left
            .map(|other| self.cluster.address(*other).to_owned())
            .collect();
        raw.bootstrap = left;
        loop {
            let by = self.write(&mut raw, &mut round, avoided).await?;
            let now = now_us();
            acknowledged.push(now);
            if by != old {
                round.failover_us = now - signalled_us;
                break;
            }
            if now > signalled_us + PATIENCE_US {
                bail!("{old} goes on leading");
            }
        }
        for _ in 0..50 {
            self.write(&mut raw, &mut round, None).await?;
            acknowledged.push(now_us());
        }
        let gaps = acknowledged.windows(2).map(|pair| pair[1] - pair[0]);
        round.gap_us = gaps.max().unwrap_or(0);
        self.restore(member, how).await?;
        if let Some(late) = late {
            let answer = late.await?;
            round.acknowledged_late = u32::from(answer.is_ok());
        }
        Ok(round)
    }

    /// As before the round.
    async fn restore(&mut self, member: Member, how: How) -> Result<()> {
        let Member::Broker(node) = member else {
            return Ok(());
        };
        match how {
            How::Stop => self.cluster.signal(member, Signal::CONT)?,
            How::Kill => {
                self.cluster.kill(member).await;
                self.cluster.start(member)?;
            }
            How::Term => {
                self.cluster.stopped(member).await?;
                self.cluster.start(member)?;
            }
        }
        self.cluster.ready(node).await
    }

    async fn finish(&mut self, dir: &str) -> Result<()> {
        self.cluster
            .in_sync(&[TOPIC], 3, Duration::from_micros(PATIENCE_US))
            .await?;
        let mut journal = Journal::open(&format!("{dir}/scan.jsonl"), "scan")?;
        scan::scan(&mut self.raw, &mut journal, (TOPIC, 0)).await?;
        Ok(())
    }
}

/// A record for the leader that is known, without a sequence and without another try. It is no part of the history: nobody
/// is to be told that it is there.
async fn trespass(mut raw: Raw) -> Answer<Option<i64>> {
    let value = Value {
        writer: 2,
        sequence: 1,
    };
    let batch =
        batch(&[value], None, false).map_err(|error| Failure::NotSent(error.to_string()))?;
    let what = Produce {
        topic: TOPIC,
        partition: 0,
        acks: -1,
        transactional_id: None,
        batch,
        version: 11,
    };
    requests::produce(&mut raw, &what).await
}

/// Who leads by now, as far as anybody says.
async fn led_by(raw: &mut Raw) -> Option<String> {
    requests::leader(raw, TOPIC, 0).await.ok()
}

fn leader_of(raw: &Raw) -> String {
    let leader = raw.leaders.get(&(TOPIC.to_owned(), 0));
    leader.cloned().unwrap_or_default()
}

fn signal_of(how: How) -> Signal {
    match how {
        How::Kill => Signal::KILL,
        How::Term => Signal::TERM,
        How::Stop => Signal::STOP,
    }
}
