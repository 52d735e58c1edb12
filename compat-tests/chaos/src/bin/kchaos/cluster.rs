//! The members of a cluster: three brokers, and perhaps an etcd. `cluster.sh` knows how one is started and how packets are lost;
//! here they are children that can be signalled and waited for.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::crew::pid_of;
use crate::flags::Flags;
use crate::journal::now_us;
use crate::raw::Raw;
use crate::requests;

/// How long a member may take to answer after its start, and to end when asked to.
const PATIENCE_US: u64 = 90_000_000;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Member {
    Broker(i32),
    Etcd,
}

impl fmt::Display for Member {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Member::Broker(node) => write!(out, "{node}"),
            Member::Etcd => out.write_str("etcd"),
        }
    }
}

/// The brokers' node ids.
pub(crate) const NODES: [i32; 3] = [1, 2, 3];
/// The one whose disk can be full.
pub(crate) const DISK_NODE: i32 = 3;

/// All of them.
#[derive(Debug)]
pub(crate) struct Cluster {
    dir: String,
    command: String,
    addresses: Vec<String>,
    children: BTreeMap<Member, Child>,
}

impl Cluster {
    /// `--dir --bootstrap --cluster-command`
    pub(crate) fn of(flags: &Flags) -> Result<Cluster> {
        let addresses = flags.text("bootstrap")?.split(',').map(str::to_owned);
        let addresses: Vec<String> = addresses.collect();
        ensure!(addresses.len() == NODES.len(), "three brokers, in order");
        Ok(Cluster {
            dir: flags.text("dir")?.to_owned(),
            command: flags.text("cluster-command")?.to_owned(),
            addresses,
            children: BTreeMap::new(),
        })
    }

    /// The address of a broker.
    pub(crate) fn address(&self, node: i32) -> &str {
        &self.addresses[node as usize - 1]
    }

    pub(crate) fn bootstrap(&self) -> String {
        self.addresses.join(",")
    }

    /// Starts all, and returns when each broker answers.
    pub(crate) async fn start_all(&mut self, with_etcd: bool) -> Result<()> {
        if with_etcd {
            self.start(Member::Etcd)?;
        }
        for node in NODES {
            self.start(Member::Broker(node))?;
        }
        for node in NODES {
            self.ready(node).await?;
        }
        Ok(())
    }

    pub(crate) fn start(&mut self, member: Member) -> Result<()> {
        let log = format!("{}/log-{member}", self.dir);
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(&self.command);
        match member {
            Member::Broker(node) => command.arg("node").arg(node.to_string()),
            Member::Etcd => command.arg("etcd"),
        };
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        self.children.insert(member, command.spawn()?);
        Ok(())
    }

    /// Until the broker answers.
    pub(crate) async fn ready(&mut self, node: i32) -> Result<()> {
        let mut raw = Raw::new(self.address(node), "ready").with_timeout(Duration::from_secs(2));
        let end_us = now_us() + PATIENCE_US;
        while requests::metadata(&mut raw, crate::crew::TOPICS[0].0)
            .await
            .is_err()
        {
            if let Some(status) = self.ended(Member::Broker(node)) {
                bail!("broker {node} ended ({status}): {}/log-{node}", self.dir);
            }
            if now_us() > end_us {
                bail!("broker {node} is not there: {}/log-{node}", self.dir);
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// How it ended, if it did so by itself.
    pub(crate) fn ended(&mut self, member: Member) -> Option<ExitStatus> {
        let child = self.children.get_mut(&member)?;
        child.try_wait().ok().flatten()
    }

    /// Those that ended by themselves.
    pub(crate) fn all_ended(&mut self) -> Vec<(Member, ExitStatus)> {
        let ended = |(member, child): (&Member, &mut Child)| {
            let status = child.try_wait().ok().flatten()?;
            Some((*member, status))
        };
        self.children.iter_mut().filter_map(ended).collect()
    }

    pub(crate) fn signal(&self, member: Member, signal: Signal) -> Result<()> {
        let child = self.children.get(&member);
        let pid = child.and_then(pid_of);
        let pid = pid.with_context(|| format!("{member} does not run"))?;
        kill_process(pid, signal).with_context(|| format!("{member}: {signal:?}"))
    }

    /// SIGKILL, and until it is gone.
    pub(crate) async fn kill(&mut self, member: Member) {
        if let Some(mut child) = self.children.remove(&member) {
            // It may have ended just now.
            let _ = child.kill().await;
        }
    }

    /// SIGTERM, and until it is gone; fails if it does not go, or goes with an error.
    pub(crate) async fn stop(&mut self, member: Member) -> Result<()> {
        self.signal(member, Signal::TERM)?;
        self.stopped(member).await
    }

    /// Until it is gone, having been asked to go.
    pub(crate) async fn stopped(&mut self, member: Member) -> Result<()> {
        const BY_SIGTERM: i32 = 143;
        let Some(mut child) = self.children.remove(&member) else {
            return Ok(());
        };
        let ended = timeout(Duration::from_micros(PATIENCE_US), child.wait()).await;
        let status = ended.with_context(|| format!("{member} does not stop"))??;
        // A JVM ends with that code after an orderly stop.
        ensure!(
            status.success() || status.code() == Some(BY_SIGTERM),
            "{member} stopped with {status}: {}/log-{member}",
            self.dir
        );
        Ok(())
    }

    /// What `cluster.sh` is asked to do.
    pub(crate) async fn run(&self, args: &[&str]) -> Result<()> {
        let status = Command::new(&self.command).args(args).status().await?;
        ensure!(
            status.success(),
            "{} {}: {status}",
            self.command,
            args.join(" ")
        );
        Ok(())
    }

    /// Nothing passes between the two any more, from the one to the other.
    pub(crate) async fn cut(&self, from: &str, to: &str) -> Result<()> {
        self.run(&["cut", from, to]).await
    }

    /// Until every partition of these topics has so many replicas, and all in sync, as one of the brokers says: at most for so
    /// long.
    pub(crate) async fn in_sync(
        &self,
        topics: &[&str],
        replicas: usize,
        patience: Duration,
    ) -> Result<()> {
        let mut raw = Raw::new(&self.bootstrap(), "in-sync").with_timeout(Duration::from_secs(2));
        let end_us = now_us() + patience.as_micros() as u64;
        loop {
            raw.forget();
            let address = raw.bootstrap[0].clone();
            let image = requests::describe(&mut raw, &address, topics).await;
            let lacking = match image {
                Ok(image) if image.partitions.is_empty() => "no partition is known".to_owned(),
                Ok(image) => {
                    let lacks = image.partitions.iter().find(|(_, told)| {
                        let lens = [told.isr.len(), told.replicas.len()];
                        told.leader.is_none() || lens != [replicas; 2]
                    });
                    match lacks {
                        Some(((topic, partition), told)) => {
                            format!("{topic}-{partition}: {told:?}")
                        }
                        None => return Ok(()),
                    }
                }
                Err(failure) => failure.to_string(),
            };
            if now_us() > end_us {
                bail!("not in sync after {} s: {lacking}", patience.as_secs());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}
