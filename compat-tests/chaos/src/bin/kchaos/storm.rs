//! `kchaos storm`: starts everything, kills it at seeded moments, lets it come to rest, looks at what there is, and judges.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::crew::{self, Crew, Rng};
use crate::flags::Flags;
use crate::journal::now_us;
use crate::raw::Raw;
use crate::requests;

struct Storm {
    dir: String,
    port: u16,
    broker_command: String,
    broker: Option<Child>,
    crew: Crew,
    kills: BTreeMap<&'static str, u32>,
}

/// `--broker-command --port --seed [--gap-ms 4000] [--broker-share 25]`, and what [`Crew::of`] takes.
pub(crate) async fn run(flags: &Flags) -> Result<ExitCode> {
    let port = flags.get("port")?;
    let mut storm = Storm {
        dir: flags.text("dir")?.to_owned(),
        port,
        broker_command: flags.text("broker-command")?.to_owned(),
        broker: None,
        crew: Crew::of(flags, format!("127.0.0.1:{port}"))?,
        kills: BTreeMap::new(),
    };
    let judged = storm.run(flags).await;
    storm.end_all().await;
    Ok(if judged? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Storm {
    async fn run(&mut self, flags: &Flags) -> Result<bool> {
        let started_us = now_us();
        self.start_broker().await?;
        let mut raw = Raw::new(&self.bootstrap(), "storm");
        crew::make_topics(&mut raw, 1).await?;
        let end_us = now_us() + (flags.get::<f64>("minutes")? * 60e6) as u64;
        self.crew.start_all()?;
        self.kill_until(end_us, flags).await?;
        println!(
            "{} s of kills are over: waiting for rest",
            (now_us() - started_us) / 1_000_000
        );
        self.crew.rest(&mut raw).await?;
        self.crew.kill_all().await;
        let whole = self.crew.last_look(&mut raw).await?;
        let kills: Vec<String> = self
            .kills
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        println!(
            "kill -9: {}; {} clients began anew by themselves",
            kills.join(", "),
            self.crew.restarts
        );
        Ok(crew::judge(&self.dir, false)? && whole)
    }

    fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    async fn start_broker(&mut self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(format!("{}/broker.log", self.dir))?;
        let child = Command::new(&self.broker_command)
            .arg(format!("{}/data", self.dir))
            .arg(self.port.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        self.broker = Some(child);
        let mut raw = Raw::new(&self.bootstrap(), "ready");
        let end_us = now_us() + 90_000_000;
        while requests::metadata(&mut raw, crew::TOPICS[0].0)
            .await
            .is_err()
        {
            if self.broker_ended().is_some() || now_us() > end_us {
                bail!("the broker is not there: {}/broker.log", self.dir);
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn broker_ended(&mut self) -> Option<std::process::ExitStatus> {
        let broker = self.broker.as_mut();
        broker.and_then(|child| child.try_wait().ok().flatten())
    }

    async fn kill_until(&mut self, end_us: u64, flags: &Flags) -> Result<()> {
        let mut rng = Rng(flags.get("seed")?);
        let (gap_ms, broker_share) = (flags.or("gap-ms", 4_000)?, flags.or("broker-share", 25)?);
        loop {
            let next_us = now_us() + (gap_ms / 4 + rng.below(gap_ms * 3 / 2)) * 1_000;
            while now_us() < next_us.min(end_us) {
                self.look_after()?;
                sleep(Duration::from_millis(50)).await;
            }
            if now_us() >= end_us {
                return Ok(());
            }
            // Instances of the chain twice as often as those that do it by hand.
            let word = if rng.below(3) < 2 { "chain" } else { "txn" };
            let victims = self.crew.those(word);
            if rng.below(100) < broker_share || victims.is_empty() {
                *self.kills.entry("broker").or_default() += 1;
                if let Some(mut broker) = self.broker.take() {
                    broker.kill().await?;
                }
                self.start_broker().await?;
            } else {
                *self.kills.entry(word).or_default() += 1;
                let victim = victims[rng.below(victims.len() as u64) as usize];
                self.crew.kill_one(victim).await?;
            }
        }
    }

    fn look_after(&mut self) -> Result<()> {
        if let Some(status) = self.broker_ended() {
            bail!(
                "the broker ended by itself ({status}): {}/broker.log",
                self.dir
            );
        }
        self.crew.look_after()
    }

    async fn end_all(&mut self) {
        self.crew.kill_all().await;
        if let Some(mut broker) = self.broker.take() {
            let _ = broker.kill().await;
        }
    }
}
