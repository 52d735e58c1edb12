//! `kchaos storm`: starts everything, kills it at seeded moments, lets it come to rest, looks at what there is, and judges.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kcheck::Loader;
use kcheck::history::{End, Value};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::flags::Flags;
use crate::journal::{Journal, now_us};
use crate::raw::{Answer, Raw, persist};
use crate::requests::{self, NewTopic};
use crate::scan::{self, Sources};

const PARTITIONS: i32 = 8;
const INPUT: &str = "in";
const OUTPUT: &str = "out";
const RAW_OUTPUT: &str = "out-raw";
const GROUP: &str = "chain";
/// How long the clients may take to come to rest.
const REST_US: u64 = 180_000_000;

/// SplitMix64: the same moments for the same seed, as far as the machine allows.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A client in a process of its own, started again whenever it ends.
struct Client {
    word: &'static str,
    name: String,
    /// The flags that are the same each time.
    flags: Vec<(&'static str, String)>,
    started: u32,
    child: Option<Child>,
    /// A producer ends when it has sent all.
    ends: bool,
}

struct Storm {
    dir: String,
    port: u16,
    broker_command: String,
    broker: Option<Child>,
    clients: Vec<Client>,
    writers: u32,
    kills: BTreeMap<&'static str, u32>,
    /// Clients that ended by themselves and were started again.
    restarts: u32,
}

/// `--broker-command --dir --port --seed --minutes --records --instances [--acks -1] [--raw 2] [--rivals 2] [--protocol classic] [--sloppy false]
/// [--gap-ms 4000] [--broker-share 25]`
pub(crate) async fn run(flags: &Flags) -> Result<ExitCode> {
    let mut storm = Storm {
        dir: flags.text("dir")?.to_owned(),
        port: flags.get("port")?,
        broker_command: flags.text("broker-command")?.to_owned(),
        broker: None,
        clients: Vec::new(),
        writers: 0,
        kills: BTreeMap::new(),
        restarts: 0,
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
        for (name, partitions) in [
            (INPUT, PARTITIONS),
            (OUTPUT, PARTITIONS),
            (RAW_OUTPUT, PARTITIONS / 2),
        ] {
            let new = NewTopic {
                name,
                partitions,
                replicas: 1,
                configs: "segment.bytes=16777216",
            };
            requests::create(&mut raw, &new).await.context(name)?;
        }
        let end_us = now_us() + (flags.get::<f64>("minutes")? * 60e6) as u64;
        self.start_clients(flags)?;
        self.kill_until(end_us, flags).await?;
        println!(
            "{} s of kills are over: waiting for rest",
            (now_us() - started_us) / 1_000_000
        );
        self.rest(&mut raw).await?;
        for client in &mut self.clients {
            client.kill().await;
        }
        let whole = self.last_look(&mut raw).await?;
        let kills: Vec<String> = self
            .kills
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        println!(
            "kill -9: {}; {} clients began anew by themselves",
            kills.join(", "),
            self.restarts
        );
        Ok(self.judge()? && whole)
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
        while requests::metadata(&mut raw, INPUT).await.is_err() {
            let ended = self
                .broker
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten());
            if ended.is_some() || now_us() > end_us {
                bail!("the broker is not there: {}/broker.log", self.dir);
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn start_clients(&mut self, flags: &Flags) -> Result<()> {
        let (records, minutes) = (flags.get::<u64>("records")?, flags.get::<f64>("minutes")?);
        let topics = format!(
            "{INPUT}:{PARTITIONS},{OUTPUT}:{PARTITIONS},{RAW_OUTPUT}:{}",
            PARTITIONS / 2
        );
        for number in 0..2 {
            // All is sent in four fifths of the time; the last fifth, and the rest, are for what was held up.
            let rate = (records as f64 / 2.0 / (minutes * 48.0)).ceil().max(1.0);
            self.add(
                "produce",
                format!("producer-{number}"),
                true,
                vec![
                    ("topic", INPUT.to_owned()),
                    ("partitions", PARTITIONS.to_string()),
                    ("records", (records / 2).to_string()),
                    ("rate", rate.to_string()),
                    ("acks", flags.or("acks", -1)?.to_string()),
                ],
            );
        }
        for number in 0..flags.get::<u32>("instances")? {
            self.add(
                "chain",
                format!("chain-{number}"),
                false,
                vec![
                    ("id", format!("chain-{number}")),
                    ("group", GROUP.to_owned()),
                    ("input", INPUT.to_owned()),
                    ("output", OUTPUT.to_owned()),
                    ("outputs", PARTITIONS.to_string()),
                    ("protocol", flags.or("protocol", "classic".to_owned())?),
                    ("sloppy", flags.or("sloppy", false)?.to_string()),
                ],
            );
        }
        for number in 0..flags.or("raw", 2)? {
            self.add_txn(
                &format!("raw-{number}"),
                &format!("raw-{number}"),
                2 * number,
                number,
            );
        }
        // They fence each other all the time.
        for number in 0..flags.or("rivals", 2)? {
            self.add_txn(&format!("rival-{number}"), "rival", PARTITIONS - 2, number);
        }
        for isolation in ["committed", "uncommitted"] {
            let flags = vec![
                ("topics", topics.clone()),
                ("isolation", isolation.to_owned()),
            ];
            self.add("consume", format!("reader-{isolation}"), false, flags);
        }
        for index in 0..self.clients.len() {
            self.start(index)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        word: &'static str,
        name: String,
        ends: bool,
        flags: Vec<(&'static str, String)>,
    ) {
        self.clients.push(Client {
            word,
            name,
            flags,
            started: 0,
            child: None,
            ends,
        });
    }

    /// A client that does its transactions by hand, with two partitions of the input to process.
    fn add_txn(&mut self, name: &str, id: &str, from: i32, number: i32) {
        let flags = vec![
            ("id", id.to_owned()),
            ("group", id.to_owned()),
            ("input", INPUT.to_owned()),
            ("from", from.to_string()),
            ("to", (from + 2).to_string()),
            ("output", RAW_OUTPUT.to_owned()),
            ("outputs", (PARTITIONS / 2).to_string()),
            ("flow", (1 + number % 2).to_string()),
        ];
        self.add("txn", name.to_owned(), false, flags);
    }

    /// Each start is a process of its own in the history, and a writer of its own.
    fn start(&mut self, index: usize) -> Result<()> {
        self.writers += 1;
        let (bootstrap, writer) = (self.bootstrap(), self.writers);
        let client = &mut self.clients[index];
        client.started += 1;
        let log = File::options()
            .create(true)
            .append(true)
            .open(format!("{}/clients.log", self.dir))?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(client.word)
            .args(["--bootstrap", &bootstrap])
            .args([
                "--history",
                &format!("{}/{}.{}.jsonl", self.dir, client.name, client.started),
            ])
            .args(["--name", &format!("{}.{}", client.name, client.started)])
            .args(["--writer", &writer.to_string()]);
        for (name, value) in &client.flags {
            command.arg(format!("--{name}")).arg(value);
        }
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        client.child = Some(command.spawn()?);
        Ok(())
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
            let victims: Vec<usize> = (0..self.clients.len())
                .filter(|index| self.clients[*index].word == word)
                .collect();
            if rng.below(100) < broker_share || victims.is_empty() {
                *self.kills.entry("broker").or_default() += 1;
                if let Some(mut broker) = self.broker.take() {
                    broker.kill().await?;
                }
                self.start_broker().await?;
            } else {
                *self.kills.entry(word).or_default() += 1;
                let victim = victims[rng.below(victims.len() as u64) as usize];
                self.clients[victim].kill().await;
                self.start(victim)?;
            }
        }
    }

    /// Starts again what ended by itself.
    fn look_after(&mut self) -> Result<()> {
        if let Some(status) = self
            .broker
            .as_mut()
            .and_then(|child| child.try_wait().ok().flatten())
        {
            bail!(
                "the broker ended by itself ({status}): {}/broker.log",
                self.dir
            );
        }
        for index in 0..self.clients.len() {
            let client = &mut self.clients[index];
            let Some(status) = client
                .child
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten())
            else {
                continue;
            };
            client.child = None;
            if client.ends && status.success() {
                continue;
            }
            if status.code() == Some(2) {
                bail!("{} cannot take part: {}/clients.log", client.name, self.dir);
            }
            eprintln!("{} ended ({status})", client.name);
            self.restarts += 1;
            self.start(index)?;
        }
        Ok(())
    }

    /// Until all is sent, and every group has processed all of it.
    async fn rest(&mut self, raw: &mut Raw) -> Result<()> {
        let end_us = now_us() + REST_US;
        loop {
            self.look_after()?;
            let sending = self
                .clients
                .iter()
                .any(|client| client.ends && client.child.is_some());
            let left = if sending {
                None
            } else {
                Some(self.left(raw).await)
            };
            if let Some(Ok(0)) = left {
                return Ok(());
            }
            if now_us() > end_us {
                bail!(
                    "no rest after {} s: sending {sending}, records left {left:?}",
                    REST_US / 1_000_000
                );
            }
            sleep(Duration::from_millis(300)).await;
        }
    }

    /// The groups, and the partitions each has to process.
    fn groups(&self) -> BTreeMap<String, Range<i32>> {
        let mut groups = BTreeMap::new();
        for client in &self.clients {
            let flag = |wanted: &str| {
                let flag = client.flags.iter().find(|(name, _)| *name == wanted);
                flag.map(|(_, value)| value.as_str())
            };
            let number = |name| flag(name).and_then(|text| text.parse().ok());
            let partitions = number("from").unwrap_or(0)..number("to").unwrap_or(PARTITIONS);
            if let Some(group) = flag("group") {
                groups.insert(group.to_owned(), partitions);
            }
        }
        groups
    }

    async fn left(&self, raw: &mut Raw) -> Answer<i64> {
        let mut left = 0;
        let mut ends = BTreeMap::new();
        for partition in 0..PARTITIONS {
            ends.insert(
                partition,
                requests::list(raw, INPUT, partition, End::High).await?,
            );
        }
        for (group, partitions) in self.groups() {
            let ask =
                async |raw: &mut Raw| requests::committed(raw, &group, INPUT, PARTITIONS).await;
            let committed = persist(raw, 0, ask).await.0?;
            for partition in partitions {
                left += ends[&partition] - committed.get(&partition).copied().unwrap_or(0);
            }
        }
        Ok(left)
    }

    /// Whether the chain has made one record of each.
    async fn last_look(&self, raw: &mut Raw) -> Result<bool> {
        let mut journal = Journal::open(&format!("{}/scan.jsonl", self.dir), "scan")?;
        let (mut inputs, mut sources) = (Vec::new(), Sources::new());
        for partition in 0..PARTITIONS {
            let seen = scan::scan(raw, &mut journal, (INPUT, partition)).await?;
            inputs.extend(seen.into_iter().map(|(value, _)| value));
            for (_, source) in scan::scan(raw, &mut journal, (OUTPUT, partition)).await? {
                *sources.entry(source.unwrap_or(Value::DAMAGED)).or_default() += 1;
            }
        }
        for partition in 0..PARTITIONS / 2 {
            scan::scan(raw, &mut journal, (RAW_OUTPUT, partition)).await?;
        }
        for group in self.groups().into_keys() {
            scan::offsets(raw, &mut journal, &group, (INPUT, PARTITIONS)).await?;
        }
        let made: u32 = sources.values().sum();
        let missing = inputs
            .iter()
            .filter(|value| !sources.contains_key(value))
            .count();
        let twice = sources.values().filter(|count| **count > 1).count();
        if !self.clients.iter().any(|client| client.word == "chain") {
            return Ok(true);
        }
        println!(
            "the chain: {} records in, {made} out; {missing} missing, {twice} more than once",
            inputs.len()
        );
        Ok(missing == 0 && twice == 0 && made as usize == inputs.len())
    }

    fn judge(&self) -> Result<bool> {
        let mut loader = Loader::default();
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "jsonl")
            {
                let file = BufReader::with_capacity(1 << 20, File::open(&path)?);
                loader
                    .read(file)
                    .with_context(|| path.display().to_string())?;
            }
        }
        let history = loader.finish();
        let report = kcheck::check(&history, false)?;
        print!("{}{report}", kcheck::report::Figures::of(&history));
        println!("{} anomalies", report.total());
        Ok(report.total() == 0)
    }

    async fn end_all(&mut self) {
        for client in &mut self.clients {
            client.kill().await;
        }
        if let Some(mut broker) = self.broker.take() {
            let _ = broker.kill().await;
        }
    }
}

impl Client {
    async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended just now.
            let _ = child.kill().await;
        }
    }
}
