//! The clients of a run, a process each: started, started again, killed, brought to rest; and what is looked at when they are gone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kcheck::Loader;
use kcheck::history::{End, Value};
use rustix::process::{Pid, Signal, kill_process};
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
/// A group of its own, whose members commit without transactions.
const PLAIN_GROUP: &str = "plain";
/// How long the clients may take to come to rest.
const REST_US: u64 = 180_000_000;

/// SplitMix64: the same moments for the same seed, as far as the machine allows.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// The topics of a run, with their partitions.
pub(crate) const TOPICS: [(&str, i32); 3] = [
    (INPUT, PARTITIONS),
    (OUTPUT, PARTITIONS),
    (RAW_OUTPUT, PARTITIONS / 2),
];

/// `a:8,b:4`, as clients are told which topics there are.
pub(crate) fn topics() -> String {
    let topics = TOPICS.map(|(name, partitions)| format!("{name}:{partitions}"));
    topics.join(",")
}

/// Makes the topics.
pub(crate) async fn make_topics(raw: &mut Raw, replicas: i16) -> Result<()> {
    let min_isr = replicas - i16::from(replicas > 1);
    let configs = format!("segment.bytes=16777216,min.insync.replicas={min_isr}");
    for (name, partitions) in TOPICS {
        let new = NewTopic {
            name,
            partitions,
            replicas,
            configs: &configs,
        };
        requests::create(raw, &new).await.context(name)?;
    }
    Ok(())
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

/// All of them.
pub(crate) struct Crew {
    dir: String,
    bootstrap: String,
    /// For how long a client waits for one answer, if that is for the run to say.
    timeout_ms: Option<String>,
    clients: Vec<Client>,
    writers: u32,
    /// Clients that ended by themselves and were started again.
    pub(crate) restarts: u32,
}

impl Crew {
    /// `--dir --minutes --records --instances [--acks -1] [--raw 2] [--rivals 2] [--members 0] [--protocol classic] [--sloppy false]
    /// [--timeout-ms]`
    pub(crate) fn of(flags: &Flags, bootstrap: String) -> Result<Crew> {
        let mut crew = Crew {
            dir: flags.text("dir")?.to_owned(),
            bootstrap,
            timeout_ms: flags.text("timeout-ms").ok().map(str::to_owned),
            clients: Vec::new(),
            writers: 0,
            restarts: 0,
        };
        crew.add_producers(flags)?;
        for number in 0..flags.get::<u32>("instances")? {
            crew.add(
                "chain",
                format!("chain-{number}"),
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
            let name = format!("raw-{number}");
            crew.add_txn(&name, &name, 2 * number, number);
        }
        // They fence each other all the time.
        for number in 0..flags.or("rivals", 2)? {
            crew.add_txn(&format!("rival-{number}"), "rival", PARTITIONS - 2, number);
        }
        for number in 0..flags.or("members", 0)? {
            let flags = vec![
                ("group", PLAIN_GROUP.to_owned()),
                ("topic", OUTPUT.to_owned()),
                ("partitions", PARTITIONS.to_string()),
            ];
            crew.add("member", format!("member-{number}"), flags);
        }
        for isolation in ["committed", "uncommitted"] {
            let flags = vec![("topics", topics()), ("isolation", isolation.to_owned())];
            crew.add("consume", format!("reader-{isolation}"), flags);
        }
        Ok(crew)
    }

    fn add_producers(&mut self, flags: &Flags) -> Result<()> {
        let (records, minutes) = (flags.get::<u64>("records")?, flags.get::<f64>("minutes")?);
        for number in 0..2 {
            // All is sent in four fifths of the time; the last fifth, and the rest, are for what was held up.
            let rate = (records as f64 / 2.0 / (minutes * 48.0)).ceil().max(1.0);
            let flags = vec![
                ("topic", INPUT.to_owned()),
                ("partitions", PARTITIONS.to_string()),
                ("records", (records / 2).to_string()),
                ("rate", rate.to_string()),
                ("acks", flags.or("acks", -1)?.to_string()),
            ];
            self.add("produce", format!("producer-{number}"), flags);
        }
        Ok(())
    }

    pub(crate) fn add(
        &mut self,
        word: &'static str,
        name: String,
        flags: Vec<(&'static str, String)>,
    ) {
        self.clients.push(Client {
            word,
            name,
            flags,
            started: 0,
            child: None,
            ends: word == "produce",
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
        self.add("txn", name.to_owned(), flags);
    }

    pub(crate) fn start_all(&mut self) -> Result<()> {
        for index in 0..self.clients.len() {
            self.start(index)?;
        }
        Ok(())
    }

    /// Each start is a process of its own in the history, and a writer of its own.
    fn start(&mut self, index: usize) -> Result<()> {
        self.writers += 1;
        let client = &mut self.clients[index];
        client.started += 1;
        let log = File::options()
            .create(true)
            .append(true)
            .open(format!("{}/clients.log", self.dir))?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(client.word)
            .args(["--bootstrap", &self.bootstrap])
            .args([
                "--history",
                &format!("{}/{}.{}.jsonl", self.dir, client.name, client.started),
            ])
            .args(["--name", &format!("{}.{}", client.name, client.started)])
            .args(["--writer", &self.writers.to_string()]);
        if let Some(timeout_ms) = &self.timeout_ms {
            command.args(["--timeout-ms", timeout_ms]);
        }
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

    /// Those that do such work, by their index.
    pub(crate) fn those(&self, word: &str) -> Vec<usize> {
        let are = |index: &usize| self.clients[*index].word == word;
        (0..self.clients.len()).filter(are).collect()
    }

    /// Kills one with -9 and starts it again.
    pub(crate) async fn kill_one(&mut self, index: usize) -> Result<()> {
        self.clients[index].kill().await;
        self.start(index)
    }

    pub(crate) async fn kill_all(&mut self) {
        for client in &mut self.clients {
            client.kill().await;
        }
    }

    /// Starts again what ended by itself.
    pub(crate) fn look_after(&mut self) -> Result<()> {
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
    pub(crate) async fn rest(&mut self, raw: &mut Raw) -> Result<()> {
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

    /// The writers are killed; the readers are told to go on to the end, and waited for.
    pub(crate) async fn readers_rest(&mut self) -> Result<()> {
        for client in self
            .clients
            .iter_mut()
            .filter(|client| client.word != "consume")
        {
            client.kill().await;
        }
        for client in self
            .clients
            .iter_mut()
            .filter(|client| client.word == "consume")
        {
            let Some(mut child) = client.child.take() else {
                bail!("{} is not there", client.name);
            };
            if let Some(pid) = pid_of(&child) {
                kill_process(pid, Signal::TERM)?;
            }
            let ended = tokio::time::timeout(Duration::from_micros(REST_US), child.wait()).await;
            let status =
                ended.with_context(|| format!("{} never comes to the end", client.name))??;
            if !status.success() {
                bail!("{} did not come to the end: {status}", client.name);
            }
        }
        Ok(())
    }

    /// The groups that process the input, and the partitions each has to process.
    fn groups(&self) -> BTreeMap<String, Range<i32>> {
        let mut groups = BTreeMap::new();
        let processing = |client: &&Client| ["chain", "txn"].contains(&client.word);
        for client in self.clients.iter().filter(processing) {
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
                let done = committed.get(&partition).copied().unwrap_or(0);
                // What was lost after it was processed is for the checker.
                left += (ends[&partition] - done).max(0);
            }
        }
        Ok(left)
    }

    /// Whether the chain has made one record of each.
    pub(crate) async fn last_look(&self, raw: &mut Raw) -> Result<bool> {
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
        if !self.those("member").is_empty() {
            scan::offsets(raw, &mut journal, PLAIN_GROUP, (OUTPUT, PARTITIONS)).await?;
        }
        let made: u32 = sources.values().sum();
        let missing = inputs
            .iter()
            .filter(|value| !sources.contains_key(value))
            .count();
        let twice = sources.values().filter(|count| **count > 1).count();
        if self.those("chain").is_empty() {
            return Ok(true);
        }
        println!(
            "the chain: {} records in, {made} out; {missing} missing, {twice} more than once",
            inputs.len()
        );
        Ok(missing == 0 && twice == 0 && made as usize == inputs.len())
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

/// The process id of a child that was not waited for yet.
pub(crate) fn pid_of(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?))
}

/// Holds all histories in a folder to the rules, or with `as_acks_all` to what acks=all promises however they were written; prints
/// what is found, and says whether that is nothing.
pub(crate) fn judge(dir: &str, as_acks_all: bool) -> Result<bool> {
    let mut loader = Loader::default();
    for entry in std::fs::read_dir(dir)? {
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
    let report = kcheck::check(&history, as_acks_all)?;
    print!("{}{report}", kcheck::report::Figures::of(&history));
    println!("{} anomalies", report.total());
    Ok(report.total() == 0)
}
