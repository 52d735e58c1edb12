//! An etcd of its own for a test.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tidewater_cluster::store::MetaStore;
use tidewater_cluster::{EtcdOptions, EtcdStore};
use tokio::time::Instant;

/// A running etcd; killed when dropped.
pub(crate) struct Etcd {
    program: String,
    dir: tempfile::TempDir,
    client_port: u16,
    peer_port: u16,
    process: Child,
}

impl Etcd {
    /// Starts the program that `TIDEWATER_ETCD` names; `None`, and a word about it, where it names none.
    #[allow(
        clippy::print_stderr,
        reason = "whoever reads the test's output must see what was left out"
    )]
    pub(crate) async fn start() -> Option<Self> {
        let program = std::env::var("TIDEWATER_ETCD").unwrap_or_default();
        if program.is_empty() {
            eprintln!(
                "NOT TESTED ON ETCD: TIDEWATER_ETCD names no etcd (.ci/setup builds one where there is Go)"
            );
            return None;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let [client_port, peer_port] = free_ports();
        let process = spawn(&program, dir.path(), client_port, peer_port);
        let etcd = Self {
            program,
            dir,
            client_port,
            peer_port,
            process,
        };
        etcd.ready().await;
        Some(etcd)
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.client_port)
    }

    pub(crate) async fn store(&self, root: &str) -> EtcdStore {
        let options = EtcdOptions {
            endpoints: vec![self.endpoint()],
            root: root.to_owned(),
            user: None,
            tls: None,
        };
        EtcdStore::connect(options).await.expect("good options")
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it ends");
    }

    pub(crate) async fn start_again(&mut self) {
        self.process = spawn(
            &self.program,
            self.dir.path(),
            self.client_port,
            self.peer_port,
        );
        self.ready().await;
    }

    /// Another etcd in the same place, with nothing in it.
    pub(crate) async fn replace(&mut self) {
        self.kill();
        self.dir = tempfile::tempdir().expect("a directory");
        self.start_again().await;
    }

    pub(crate) async fn compact(&self, revision: i64) {
        let mut client = etcd_client::Client::connect([self.endpoint()], None)
            .await
            .expect("good options");
        let compacted = client.compact(revision, None).await;
        compacted.expect("it compacts");
    }

    async fn ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let store = self.store("/ready/").await;
        while let Err(error) = store.snapshot(&[]).await {
            assert!(Instant::now() < deadline, "etcd does not start: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_ports() -> [u16; 2] {
    let listeners = [0, 0].map(|port| TcpListener::bind(("127.0.0.1", port)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

fn spawn(program: &str, dir: &std::path::Path, client_port: u16, peer_port: u16) -> Child {
    let client = format!("http://127.0.0.1:{client_port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    let mut command = Command::new(program);
    command
        .args(["--name", "test", "--data-dir"])
        .arg(dir)
        .args(["--listen-client-urls", &client])
        .args(["--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer])
        .args(["--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("test={peer}")])
        .args(["--log-level", "error"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("TIDEWATER_ETCD runs")
}
