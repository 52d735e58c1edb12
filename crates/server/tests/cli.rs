//! The program as a user meets it: a real broker, real commands, and what they print and exit with.
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// Longer than anything here takes on a slow machine; only a hang lasts so long.
const HANG: Duration = Duration::from_secs(120);

fn tidewater(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewater"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        // What the machine says about some other Kafka is not for the test's.
        if name.to_string_lossy().starts_with("KAFKA_")
            || name == "TIDEWATER_LOG"
            || name == "CLUSTER_ID"
        {
            command.env_remove(name);
        }
    }
    command
}

/// A command that has ended.
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn of(output: Output) -> Ended {
        let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    #[track_caller]
    fn exits(self, code: i32) -> Ended {
        assert_eq!(
            self.code, code,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self
    }

    #[track_caller]
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

fn end_of(child: Child) -> Ended {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    Ended::of(
        receiver
            .recv_timeout(HANG)
            .expect("the command ends")
            .unwrap(),
    )
}

fn run(arguments: &[&str]) -> Ended {
    end_of(tidewater(arguments).spawn().unwrap())
}

/// A broker in a process of its own, killed when it is dropped.
struct Broker {
    child: Child,
    address: String,
    start_up: Vec<String>,
    /// Everything on stderr after the start-up lines; ends with the process.
    log: mpsc::Receiver<String>,
}

impl Broker {
    fn start(dir: &Path, more: &[&str]) -> Broker {
        Broker::start_on("127.0.0.1:0", dir, more)
    }

    fn start_on(address: &str, dir: &Path, more: &[&str]) -> Broker {
        let (listeners, dirs) = (
            format!("listeners=PLAINTEXT://{address}"),
            format!("log.dirs={}", dir.display()),
        );
        let set = [
            "broker",
            "--set",
            &listeners,
            "--set",
            &dirs,
            "--set",
            "admin.listeners=http://127.0.0.1:0",
        ];
        Broker::spawn(tidewater(&[&set, more].concat()))
    }

    fn spawn(mut command: Command) -> Broker {
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = mpsc::channel();
        thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let mut start_up = Vec::new();
        loop {
            let line = log
                .recv_timeout(HANG)
                .unwrap_or_else(|_| panic!("no start: {start_up:#?}"));
            let ready = line.starts_with("ready after ");
            start_up.push(line);
            if ready {
                break;
            }
        }
        let listening = start_up
            .iter()
            .find_map(|line| line.strip_prefix("listening on PLAINTEXT://"))
            .unwrap();
        let address = listening.split(' ').next().unwrap().to_owned();
        Broker {
            child,
            address,
            start_up,
            log,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        tidewater(&[arguments, &["-b", &self.address, "--timeout", "60s"]].concat())
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        end_of(self.command(arguments).spawn().unwrap())
    }

    fn produce(&self, arguments: &[&str], input: &[u8]) -> Ended {
        let mut child = self
            .command(&[&["produce"], arguments].concat())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // The program may end before it has read everything.
        thread::spawn(move || stdin.write_all(&input));
        end_of(child)
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// SIGTERM; returns when the process has ended in order.
    fn stop(mut self) {
        self.signal("-TERM");
        assert_eq!(
            self.child.wait().unwrap().code(),
            Some(0),
            "{:#?}",
            self.log.iter().collect::<Vec<_>>()
        );
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn the_start_up_lines_say_what_runs_where_and_how_to_reach_it() {
    let dir = folder();
    let broker = Broker::start(
        dir.path(),
        &[
            "--set",
            "node.id=7",
            "--set",
            "cluster.id=QOWwYkKYQ6yV9yTb8W6tHQ",
        ],
    );
    let lines = broker.start_up.join("\n");
    let address = &broker.address;
    assert!(lines.contains(&format!(
        "tidewater {}, cluster QOWwYkKYQ6yV9yTb8W6tHQ, node 7",
        env!("CARGO_PKG_VERSION")
    )));
    assert!(
        lines.contains(&format!(
            "listening on PLAINTEXT://{address} (clients are told {address})"
        )),
        "{lines}"
    );
    assert!(
        lines.contains(&format!("data in {}", dir.path().display())),
        "{lines}"
    );
    assert!(lines.contains("admin on http://127.0.0.1:"), "{lines}");
}

#[test]
fn sigterm_stops_in_order_and_everything_is_there_after_the_next_start() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    let info = broker
        .run(&["cluster", "info", "-o", "json"])
        .exits(0)
        .json();
    broker.produce(&["kept", "-p", "0"], b"one\ntwo\n").exits(0);
    broker.stop();

    let broker = Broker::start(dir.path(), &[]);
    let again = broker
        .run(&["cluster", "info", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(again["cluster_id"], info["cluster_id"]);
    assert_eq!(
        broker.run(&["consume", "kept", "-e"]).exits(0).stdout,
        "one\ntwo\n"
    );
}

#[test]
fn the_log_is_json_where_it_was_asked_for() {
    let dir = folder();
    let dirs = format!("log.dirs={}", dir.path().display());
    let any_port = [
        "--set",
        "listeners=PLAINTEXT://127.0.0.1:0",
        "--set",
        "admin.listeners=http://127.0.0.1:0",
    ];
    let mut child = tidewater(&[&["--log-format", "json", "--set", &dirs][..], &any_port].concat())
        .spawn()
        .unwrap();
    let mut ready = None;
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        if event["message"] == "ready" {
            ready = Some(event);
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let ready = ready.expect("the broker says that it is ready");
    assert_eq!(ready["node_id"], 1);
    assert!(
        ready["listeners"]
            .as_str()
            .unwrap()
            .starts_with("PLAINTEXT://127.0.0.1:")
    );
    assert!(ready["took_ms"].is_u64());
}

#[test]
fn a_trial_broker_leaves_nothing_behind() {
    let temporary = folder();
    let set = [
        "broker",
        "--dev",
        "--set",
        "listeners=PLAINTEXT://127.0.0.1:0",
        "--set",
        "admin.listeners=",
    ];
    let mut command = tidewater(&set);
    command.env("TMPDIR", temporary.path());
    let broker = Broker::spawn(command);
    assert_eq!(temporary.path().read_dir().unwrap().count(), 1);
    broker.produce(&["made-on-demand"], b"x\n").exits(0);
    broker.stop();
    assert_eq!(temporary.path().read_dir().unwrap().count(), 0);
}

#[test]
fn wrong_settings_are_all_named_at_once_with_exit_code_2() {
    let wrong = run(&[
        "broker",
        "--set",
        "num.partitons=3",
        "--set",
        "log.segment.bytes=many",
    ])
    .exits(2);
    assert!(
        wrong.stderr.contains("num.partitions"),
        "the nearest key is named: {}",
        wrong.stderr
    );
    assert!(
        wrong.stderr.contains("log.segment.bytes"),
        "{}",
        wrong.stderr
    );
    assert_eq!(wrong.stdout, "");

    let dir = folder();
    let file = dir.path().join("server.properties");
    std::fs::write(
        &file,
        "num.partitions=3\nzookeeper.connect=localhost:2181\n",
    )
    .unwrap();
    let checked = run(&["config", "check", file.to_str().unwrap()]).exits(0);
    assert!(
        checked.stderr.contains("zookeeper.connect"),
        "{}",
        checked.stderr
    );
    run(&["config", "check", "/there/is/no/such/file"]).exits(2);
}

#[test]
fn topics_are_created_listed_described_altered_and_deleted() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker
        .run(&[
            "topic",
            "create",
            "orders",
            "-p",
            "3",
            "-c",
            "retention.ms=1000",
        ])
        .exits(0);
    assert_eq!(
        broker.run(&["topic", "list"]).exits(0).stdout,
        "NAME    PARTITIONS  REPLICAS\norders  3           1\n"
    );

    let orders = broker
        .run(&["topic", "describe", "orders", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(orders[0]["partitions"].as_array().unwrap().len(), 3);
    assert_eq!(orders[0]["partitions"][2]["end_offset"], 0);
    assert_eq!(orders[0]["configs"][0]["name"], "retention.ms");
    assert_eq!(orders[0]["configs"][0]["value"], "1000");

    broker
        .run(&[
            "topic",
            "alter",
            "orders",
            "-p",
            "5",
            "-c",
            "segment.bytes=2000000",
            "--reset",
            "retention.ms",
        ])
        .exits(0);
    let orders = broker
        .run(&["topic", "describe", "orders", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(orders[0]["partitions"].as_array().unwrap().len(), 5);
    assert_eq!(orders[0]["configs"].as_array().unwrap().len(), 1);
    assert_eq!(orders[0]["configs"][0]["name"], "segment.bytes");

    broker.run(&["topic", "delete", "orders", "--yes"]).exits(0);
    assert_eq!(
        broker.run(&["topic", "list", "-o", "json"]).exits(0).json(),
        serde_json::json!([])
    );
    broker
        .run(&["topic", "delete", "orders", "--yes", "--if-exists"])
        .exits(0);
}

#[test]
fn a_dry_run_checks_everything_and_changes_nothing() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker.run(&["topic", "create", "t", "--dry-run"]).exits(0);
    broker
        .run(&[
            "topic",
            "create",
            "t",
            "--dry-run",
            "-c",
            "retention.ms=never",
        ])
        .exits(1);
    assert_eq!(
        broker.run(&["topic", "list", "-o", "json"]).exits(0).json(),
        serde_json::json!([])
    );

    broker.run(&["topic", "create", "t"]).exits(0);
    broker
        .run(&[
            "topic",
            "alter",
            "t",
            "-p",
            "4",
            "-c",
            "retention.ms=1",
            "--dry-run",
        ])
        .exits(0);
    let t = broker
        .run(&["topic", "describe", "t", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(t[0]["partitions"].as_array().unwrap().len(), 1);
    assert_eq!(t[0]["configs"], serde_json::json!([]));
}

#[test]
fn a_refusal_is_one_line_that_says_what_was_asked_of_whom_and_what_came_back() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    let address = &broker.address;
    broker.run(&["topic", "create", "orders"]).exits(0);
    let refused = broker.run(&["topic", "create", "orders"]).exits(1);
    assert_eq!(refused.stdout, "");
    assert_eq!(refused.stderr.lines().count(), 1);
    let expected = format!(
        "error: cannot create topic orders: {address} answered TOPIC_ALREADY_EXISTS (36): "
    );
    assert!(refused.stderr.starts_with(&expected), "{}", refused.stderr);

    let nobody = run(&["topic", "list", "-b", "127.0.0.1:1"]).exits(1);
    assert!(
        nobody
            .stderr
            .starts_with("error: cannot reach 127.0.0.1:1: "),
        "{}",
        nobody.stderr
    );
    let beyond = broker.run(&["consume", "orders", "-o", "5"]).exits(1);
    assert!(
        beyond
            .stderr
            .contains("orders/0: offset 5 is out of range: it holds 0 to 0"),
        "{}",
        beyond.stderr
    );
}

#[test]
fn what_is_done_in_part_is_exit_code_3_and_wrong_usage_is_2() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    let part = broker
        .run(&["topic", "create", "good", "not good", "-o", "json"])
        .exits(3);
    assert_eq!(part.json()[0]["name"], "good");
    assert!(
        part.stderr.contains("INVALID_TOPIC_EXCEPTION"),
        "{}",
        part.stderr
    );

    broker.run(&["topic", "delete", "good"]).exits(2);
    broker.run(&["topic", "alter", "good"]).exits(2);
    broker.run(&["consume", "good", "-f", "%q"]).exits(2);
    broker.run(&["frobnicate"]).exits(2);
    let list = broker.run(&["topic", "list", "-o", "json"]).exits(0).json();
    assert_eq!(list[0]["name"], "good", "nothing of that deleted it");
}

#[test]
fn what_goes_in_comes_out_the_same_with_every_codec() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    // Enough for several batches, with bytes that are no text.
    let mut input = Vec::new();
    for number in 0..60_000_u32 {
        input.extend(format!("{number} \u{fe0f}").bytes());
        input.extend(
            number
                .to_be_bytes()
                .map(|byte| if byte == b'\n' { 0xff } else { byte }),
        );
        input.extend([b'.'; 40]);
        input.push(b'\n');
    }
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let written = broker
            .produce(&[codec, "-p", "0", "-z", codec, "-o", "json"], &input)
            .exits(0)
            .json();
        assert_eq!(written["records"], 60_000);
        assert_eq!(written["partitions"][0]["last_offset"], 59_999);
        let mut consume = broker.command(&["consume", codec, "-e"]).spawn().unwrap();
        let mut output = Vec::new();
        consume
            .stdout
            .take()
            .unwrap()
            .read_to_end(&mut output)
            .unwrap();
        end_of(consume).exits(0);
        assert!(
            output == input,
            "{codec}: {} bytes went in, {} came out",
            input.len(),
            output.len()
        );
    }
}

#[test]
fn keys_headers_tombstones_and_places_are_kept_and_shown() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &["--set", "num.partitions=4"]);
    broker
        .produce(
            &["t", "-K", ":", "-Z", "-H", "trace=7"],
            b"k1:a\nk2:b\nk1:\n",
        )
        .exits(0);
    let shown = broker
        .run(&["consume", "t", "-e", "-f", "%k=%v %K %V %h\\n"])
        .exits(0)
        .stdout;
    let mut lines: Vec<&str> = shown.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["k1= 2 -1 trace=7", "k1=a 2 1 trace=7", "k2=b 2 1 trace=7"]
    );

    let json = broker
        .run(&["consume", "t", "-e", "--output", "json"])
        .exits(0)
        .stdout;
    let records: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let k1: Vec<_> = records
        .iter()
        .filter(|record| record["key"] == "k1")
        .collect();
    assert_eq!(
        k1[0]["partition"], k1[1]["partition"],
        "one key, one partition"
    );
    assert_eq!(
        (&k1[0]["value"], &k1[1]["value"]),
        (&"a".into(), &serde_json::Value::Null)
    );
    assert_eq!(
        k1[0]["headers"],
        serde_json::json!([{"key": "trace", "value": "7"}])
    );
}

#[test]
fn consuming_begins_and_ends_where_it_is_told() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker.produce(&["t"], b"0\n1\n2\n3\n4\n").exits(0);
    for (offset, expected) in [
        ("start", "0 1 2 3 4"),
        ("2", "2 3 4"),
        ("+1", "1 2 3 4"),
        ("-2", "3 4"),
        ("end", ""),
        ("@0", "0 1 2 3 4"),
    ] {
        let shown = broker
            .run(&["consume", "t", "-o", offset, "-e"])
            .exits(0)
            .stdout;
        assert_eq!(
            shown.split_whitespace().collect::<Vec<_>>().join(" "),
            expected,
            "-o {offset}"
        );
    }
    assert_eq!(
        broker.run(&["consume", "t", "-n", "2"]).exits(0).stdout,
        "0\n1\n"
    );
    assert_eq!(
        broker
            .run(&["consume", "t", "-o", "@2100-01-01", "-e"])
            .exits(0)
            .stdout,
        ""
    );
}

#[test]
fn consuming_goes_on_with_new_records_and_across_a_restart_of_the_broker() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker.produce(&["t"], b"first\n").exits(0);
    let mut consumer = broker
        .command(&["consume", "t", "-n", "3"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(consumer.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("first"));
    broker.produce(&["t"], b"second\n").exits(0);
    assert_eq!(lines.next().as_deref(), Some("second"));

    let address = broker.address.clone();
    broker.stop();
    let broker = Broker::start_on(&address, dir.path(), &[]);
    broker.produce(&["t"], b"third\n").exits(0);
    assert_eq!(lines.next().as_deref(), Some("third"));
    end_of(consumer).exits(0);
}

#[test]
fn producing_goes_on_after_the_broker_was_killed_and_nothing_is_lost_or_doubled() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker.run(&["topic", "create", "t"]).exits(0);
    let mut producer = broker.command(&["produce", "t", "-o", "json"]);
    let mut producer = producer.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = producer.stdin.take().unwrap();
    let lines: Vec<String> = (0..400_000)
        .map(|number| format!("record {number}\n"))
        .collect();
    let input = lines.concat();
    thread::spawn(move || stdin.write_all(input.as_bytes()));
    broker.run(&["consume", "t", "-n", "1"]).exits(0);

    let address = broker.address.clone();
    drop(broker);
    let broker = Broker::start_on(&address, dir.path(), &[]);
    let written = end_of(producer).exits(0);
    assert_eq!(written.json()["records"], 400_000);
    let consumed = broker.run(&["consume", "t", "-e"]).exits(0).stdout;
    let wrong = consumed
        .split_inclusive('\n')
        .zip(&lines)
        .find(|(got, sent)| got != sent);
    assert_eq!((wrong, consumed.lines().count()), (None, 400_000));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker
        .produce(&["t"], &b"a line\n".repeat(100_000))
        .exits(0);
    let mut consumer = broker.command(&["consume", "t", "-e"]).spawn().unwrap();
    let mut first = [0; 7];
    consumer
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    let ended = end_of(consumer).exits(0);
    assert_eq!((&first, ended.stderr.as_str()), (b"a line\n", ""));
}

#[test]
fn records_too_large_for_a_batch_of_the_topic_are_sent_in_smaller_ones_and_a_single_one_is_refused()
{
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker
        .run(&["topic", "create", "t", "-c", "max.message.bytes=5000"])
        .exits(0);
    let line = [&b"x".repeat(999)[..], b"\n"].concat();
    broker.produce(&["t"], &line.repeat(100)).exits(0);
    assert_eq!(
        broker
            .run(&["consume", "t", "-e"])
            .exits(0)
            .stdout
            .lines()
            .count(),
        100
    );

    let refused = broker.produce(&["t"], &b"x".repeat(6000)).exits(1);
    assert!(
        refused.stderr.contains("MESSAGE_TOO_LARGE"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        broker
            .run(&["consume", "t", "-e"])
            .exits(0)
            .stdout
            .lines()
            .count(),
        100
    );
}

#[test]
fn a_segment_file_is_dumped_and_a_flipped_bit_is_found() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker
        .produce(&["t", "-K", ":", "-z", "lz4"], b"k:v\n")
        .exits(0);
    broker.produce(&["t"], b"again\n").exits(0);
    broker.stop();
    let segment = find_segment(dir.path());
    let path = segment.to_str().unwrap();

    let dumped = run(&["log", "dump", path, "--records", "-o", "json"]).exits(0);
    let batches: Vec<serde_json::Value> = dumped
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(batches.len(), 2);
    assert_eq!(
        (&batches[0]["codec"], &batches[1]["base_offset"]),
        (&"lz4".into(), &1.into())
    );
    assert_eq!(batches[0]["records"][0]["key"], "k");
    assert_eq!(batches[0]["crc_valid"], true);
    let table = run(&["log", "dump", path]).exits(0).stdout;
    assert!(
        table.ends_with("2 records in 2 batches, offsets 0 to 1\n"),
        "{table}"
    );

    let mut bytes = std::fs::read(&segment).unwrap();
    let second = usize::try_from(batches[1]["position"].as_u64().unwrap()).unwrap();
    bytes[second + 65] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let damaged = run(&["log", "dump", path, "--check", "-o", "json"]).exits(1);
    let found: serde_json::Value = serde_json::from_str(&damaged.stdout).unwrap();
    assert_eq!(
        (&found["base_offset"], &found["damage"]),
        (&1.into(), &"wrong CRC".into())
    );
    assert!(
        damaged.stderr.contains("1 batch damaged"),
        "{}",
        damaged.stderr
    );
}

/// The one segment file that has something in it.
fn find_segment(dir: &Path) -> std::path::PathBuf {
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .file_name()
                .is_some_and(|name| name == "00000000000000000000.log")
            {
                return path;
            }
        }
    }
    panic!("no segment file under {}", dir.display());
}

#[test]
fn every_shell_gets_a_completion_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(
            run(&["completion", shell])
                .exits(0)
                .stdout
                .contains("tidewater"),
            "{shell}"
        );
    }
}
