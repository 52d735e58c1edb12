//! Brokers and commands in processes of their own.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// Longer than anything here takes on a slow machine; only a hang lasts so long.
pub(crate) const HANG: Duration = Duration::from_secs(120);

pub(crate) fn tidewater(arguments: &[&str]) -> Command {
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
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Ended {
        let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Ended {
        assert_eq!(
            self.code, code,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

pub(crate) fn end_of(child: Child) -> Ended {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    Ended::of(
        receiver
            .recv_timeout(HANG)
            .expect("the command ends")
            .unwrap(),
    )
}

pub(crate) fn run(arguments: &[&str]) -> Ended {
    end_of(tidewater(arguments).spawn().unwrap())
}

/// A broker in a process of its own, killed when it is dropped.
pub(crate) struct Broker {
    pub(crate) child: Child,
    pub(crate) address: String,
    pub(crate) start_up: Vec<String>,
    /// Everything on stderr after the start-up lines; ends with the process.
    pub(crate) log: mpsc::Receiver<String>,
}

impl Broker {
    pub(crate) fn start(dir: &Path, more: &[&str]) -> Broker {
        Broker::start_on("127.0.0.1:0", dir, more)
    }

    pub(crate) fn start_on(address: &str, dir: &Path, more: &[&str]) -> Broker {
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

    pub(crate) fn spawn(mut command: Command) -> Broker {
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

    /// `http://HOST:PORT` of the admin port.
    pub(crate) fn admin(&self) -> String {
        let admin = self
            .start_up
            .iter()
            .find_map(|line| line.strip_prefix("admin on "));
        admin.unwrap().split(' ').next().unwrap().to_owned()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        tidewater(&[arguments, &["-b", &self.address, "--timeout", "60s"]].concat())
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        end_of(self.command(arguments).spawn().unwrap())
    }

    pub(crate) fn produce(&self, arguments: &[&str], input: &[u8]) -> Ended {
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

    pub(crate) fn signal(&self, name: &str) {
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
    pub(crate) fn stop(mut self) {
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

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}
