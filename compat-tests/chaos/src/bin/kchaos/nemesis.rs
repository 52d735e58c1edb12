//! `kchaos nemesis`: a cluster under load, one fault after the other, rest, the last look at every replica, and the verdict.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kcheck::history::Op;
use rustix::process::Signal;
use tokio::time::sleep;

use crate::cluster::{Cluster, Member, NODES};
use crate::crew::{self, Crew, Rng};
use crate::flags::Flags;
use crate::journal::{Journal, now_us};
use crate::plan::{Fault, Kind, Plan};
use crate::raw::{Raw, persist};
use crate::{replicas, requests};

/// How long replicas may take to be in sync again.
const IN_SYNC: Duration = Duration::from_secs(120);
const LOSS_PERCENT: &str = "15";
/// Topics of the brokers' own, which must be whole before a broker loses its data.
const INTERNAL: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

struct Nemesis {
    dir: String,
    cluster: Cluster,
    crew: Crew,
    journal: Journal,
    etcd: bool,
    /// How much longer than a fault its consequences may last.
    settle_ms: u64,
    /// How long a write may take where no fault excuses it.
    patience_ms: u64,
    started_us: u64,
    faults: u32,
    kills_of_clients: u32,
}

/// `--bootstrap --cluster-command --seed [--etcd false] [--kinds kill,pause,…] [--session-ms 9000] [--gap-ms 3000] [--settle-ms 20000] [--patience-ms 15000]
/// [--as-acks-all false]`,
/// and what [`Crew::of`] takes.
pub(crate) async fn run(flags: &Flags) -> Result<ExitCode> {
    let cluster = Cluster::of(flags)?;
    let dir = flags.text("dir")?.to_owned();
    let mut crew = Crew::of(flags, cluster.bootstrap())?;
    crew.add(
        "watch",
        "watch".to_owned(),
        vec![("topics", crew::topics())],
    );
    let mut nemesis = Nemesis {
        journal: Journal::open(&format!("{dir}/nemesis.jsonl"), "nemesis")?,
        dir,
        cluster,
        crew,
        etcd: flags.or("etcd", false)?,
        settle_ms: flags.or("settle-ms", 20_000)?,
        patience_ms: flags.or("patience-ms", 15_000)?,
        started_us: now_us(),
        faults: 0,
        kills_of_clients: 0,
    };
    let judged = nemesis.run(flags).await;
    nemesis.crew.kill_all().await;
    Ok(if judged? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Nemesis {
    async fn run(&mut self, flags: &Flags) -> Result<bool> {
        let seed = flags.get("seed")?;
        let plan = Plan::new(
            seed,
            &flags.or("kinds", String::new())?,
            self.etcd,
            flags.or("session-ms", 9_000)?,
            flags.or("gap-ms", 3_000)?,
        )?;
        self.cluster.start_all(self.etcd).await?;
        let mut raw = Raw::of(flags, "nemesis")?;
        crew::make_topics(&mut raw, 3).await?;
        let end_us = now_us() + (flags.get::<f64>("minutes")? * 60e6) as u64;
        self.crew.start_all()?;
        self.befall_until(end_us, plan, &mut Rng(!seed)).await?;
        self.say("the faults are over: waiting for rest");
        let whole = self.rest(&mut raw).await?;
        println!(
            "{} faults; {} clients killed with -9, {} began anew by themselves",
            self.faults, self.kills_of_clients, self.crew.restarts
        );
        Ok(crew::judge(&self.dir, flags.or("as-acks-all", false)?)? && whole)
    }

    fn say(&self, what: &str) {
        let at_ms = (now_us() - self.started_us) / 1000;
        println!("{:6.1} s  {what}", at_ms as f64 / 1e3);
    }

    async fn befall_until(&mut self, end_us: u64, plan: Plan, rng: &mut Rng) -> Result<()> {
        for fault in plan {
            self.pass(fault.gap_ms.min(end_us.saturating_sub(now_us()) / 1000))
                .await?;
            if now_us() >= end_us {
                return Ok(());
            }
            if rng.below(3) == 0 {
                self.kill_a_client(rng).await?;
            }
            let invoke = now_us();
            self.say(&fault.to_string());
            self.befall(&fault).await.context(fault.to_string())?;
            let lasted_ms = (now_us() - invoke) / 1000;
            let op = Op::Fault {
                kind: fault.kind.name().to_owned(),
                target: fault.target(),
                excuses_ms: lasted_ms + self.settle_ms,
            };
            self.journal.whole(invoke, op)?;
            self.faults += 1;
        }
        bail!("there is no fault to choose from")
    }

    async fn kill_a_client(&mut self, rng: &mut Rng) -> Result<()> {
        let words = ["chain", "txn", "member"];
        let victims: Vec<usize> = words
            .iter()
            .flat_map(|word| self.crew.those(word))
            .collect();
        if !victims.is_empty() {
            let victim = victims[rng.below(victims.len() as u64) as usize];
            self.crew.kill_one(victim).await?;
            self.kills_of_clients += 1;
        }
        Ok(())
    }

    /// Time goes by, in which nobody may end by himself.
    async fn pass(&mut self, ms: u64) -> Result<()> {
        let end_us = now_us() + ms * 1000;
        loop {
            self.crew.look_after()?;
            if let Some((member, status)) = self.cluster.all_ended().first() {
                bail!(
                    "{member} ended by itself ({status}): {}/log-{member}",
                    self.dir
                );
            }
            if now_us() >= end_us {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn befall(&mut self, fault: &Fault) -> Result<()> {
        let (node, peer) = (Member::Broker(fault.node), Member::Broker(fault.peer));
        match fault.kind {
            Kind::Kill => {
                self.cluster.kill(node).await;
                self.pass(fault.length_ms).await?;
                self.start(fault.node).await
            }
            Kind::Term => {
                self.cluster.stop(node).await?;
                self.pass(fault.length_ms).await?;
                self.start(fault.node).await
            }
            Kind::Pause | Kind::LongPause => self.pause(node, fault.length_ms).await,
            Kind::EtcdPause => self.pause(Member::Etcd, fault.length_ms).await,
            Kind::EtcdKill | Kind::EtcdGone => {
                self.cluster.kill(Member::Etcd).await;
                self.pass(fault.length_ms).await?;
                self.cluster.start(Member::Etcd)
            }
            Kind::Isolate | Kind::Peers | Kind::Pair | Kind::OneWay | Kind::FromEtcd => {
                self.cut(fault).await?;
                self.pass(fault.length_ms).await?;
                self.cluster.run(&["heal"]).await
            }
            Kind::Loss | Kind::Slow => {
                let node = fault.node.to_string();
                match fault.kind {
                    Kind::Loss => self.cluster.run(&["lose", &node, LOSS_PERCENT]).await?,
                    _ => self.cluster.run(&["slow", &node]).await?,
                }
                self.pass(fault.length_ms).await?;
                self.cluster.run(&["heal"]).await
            }
            Kind::DiskFull => self.fill(fault).await,
            Kind::Replace => self.replace(fault).await,
            Kind::Rolling => self.roll().await,
            Kind::Reassign => self.reassign(fault).await,
            Kind::PauseAndKill => {
                self.cluster.signal(node, Signal::STOP)?;
                self.cluster.kill(peer).await;
                self.pass(fault.length_ms).await?;
                self.cluster.signal(node, Signal::CONT)?;
                self.start(fault.peer).await
            }
            Kind::KillAll => {
                for node in NODES {
                    self.cluster.kill(Member::Broker(node)).await;
                }
                self.pass(fault.length_ms).await?;
                self.cluster.start_all(false).await
            }
        }
    }

    async fn start(&mut self, node: i32) -> Result<()> {
        self.cluster.start(Member::Broker(node))?;
        self.cluster.ready(node).await
    }

    async fn pause(&mut self, member: Member, ms: u64) -> Result<()> {
        self.cluster.signal(member, Signal::STOP)?;
        self.pass(ms).await?;
        self.cluster.signal(member, Signal::CONT)
    }

    async fn cut(&self, fault: &Fault) -> Result<()> {
        let node = fault.node.to_string();
        let others = NODES.iter().filter(|other| **other != fault.node);
        let mut from: Vec<String> = match fault.kind {
            Kind::Isolate | Kind::Peers => others.map(i32::to_string).collect(),
            Kind::FromEtcd => Vec::new(),
            _ => vec![fault.peer.to_string()],
        };
        if self.etcd && matches!(fault.kind, Kind::Isolate | Kind::Peers | Kind::FromEtcd) {
            from.push("etcd".to_owned());
        }
        if fault.kind == Kind::Isolate {
            from.push("clients".to_owned());
        }
        for other in &from {
            self.cluster.cut(&node, other).await?;
            if fault.kind != Kind::OneWay {
                self.cluster.cut(other, &node).await?;
            }
        }
        Ok(())
    }

    /// The broker may end, or go on without its disk; when there is room again, it must come back one way or the other.
    async fn fill(&mut self, fault: &Fault) -> Result<()> {
        let (member, node) = (Member::Broker(fault.node), fault.node.to_string());
        self.cluster.run(&["fill", &node]).await?;
        let end_us = now_us() + fault.length_ms * 1000;
        let mut ended = None;
        while now_us() < end_us {
            self.crew.look_after()?;
            ended = ended.or(self.cluster.ended(member));
            sleep(Duration::from_millis(50)).await;
        }
        self.cluster.run(&["drain", &node]).await?;
        // What it does about it may come late.
        sleep(Duration::from_secs(1)).await;
        match ended.or(self.cluster.ended(member)) {
            Some(status) => {
                self.say(&format!("broker {node} ended on its full disk ({status})"));
                self.cluster.kill(member).await;
                self.start(fault.node).await
            }
            None => Ok(()),
        }
    }

    async fn replace(&mut self, fault: &Fault) -> Result<()> {
        self.in_sync().await?;
        self.cluster.kill(Member::Broker(fault.node)).await;
        self.cluster.run(&["wipe", &fault.node.to_string()]).await?;
        self.pass(fault.length_ms).await?;
        self.start(fault.node).await?;
        self.in_sync().await
    }

    async fn roll(&mut self) -> Result<()> {
        for node in NODES {
            self.cluster.stop(Member::Broker(node)).await?;
            self.start(node).await?;
            self.in_sync().await?;
        }
        Ok(())
    }

    /// The peer's replicas go; they come back empty, and while they are filled the other is killed, who led some of what they copy.
    async fn reassign(&mut self, fault: &Fault) -> Result<()> {
        self.in_sync().await?;
        let (topic, partitions) = crew::TOPICS[0];
        let others = NODES.into_iter().filter(|other| *other != fault.peer);
        let others: Vec<i32> = others.collect();
        let mut raw = Raw::new(&self.cluster.bootstrap(), "reassign");
        assign(&mut raw, (topic, partitions), &others).await?;
        self.cluster.in_sync(&[topic], 2, IN_SYNC).await?;
        let mut all = vec![fault.peer];
        all.extend(others);
        assign(&mut raw, (topic, partitions), &all).await?;
        self.cluster.kill(Member::Broker(fault.node)).await;
        self.pass(fault.length_ms).await?;
        self.start(fault.node).await?;
        self.in_sync().await
    }

    async fn in_sync(&self) -> Result<()> {
        let topics = crew::TOPICS.iter().map(|(name, _)| *name);
        let topics: Vec<&str> = topics.chain(INTERNAL).collect();
        self.cluster.in_sync(&topics, 3, IN_SYNC).await
    }

    /// Everything heals, everybody comes to the end of what there is, and somebody looks at all of it.
    async fn rest(&mut self, raw: &mut Raw) -> Result<bool> {
        self.in_sync().await?;
        self.crew.rest(raw).await?;
        self.crew.readers_rest().await?;
        let patience_ms = self.patience_ms;
        self.journal.whole(now_us(), Op::Rest { patience_ms })?;
        self.say("everybody is at rest");
        let whole = self.crew.last_look(raw).await?;
        let mut journal = Journal::open(&format!("{}/replicas.jsonl", self.dir), "replicas")?;
        replicas::look(raw, &mut journal, &self.cluster).await?;
        Ok(whole)
    }
}

/// Gives a topic other replicas, as soon as somebody can.
async fn assign(raw: &mut Raw, (topic, partitions): (&str, i32), replicas: &[i32]) -> Result<()> {
    let end_us = now_us() + 60_000_000;
    let ask = async |raw: &mut Raw| requests::reassign(raw, topic, partitions, replicas).await;
    persist(raw, end_us, ask).await.0.context("reassignment")
}
