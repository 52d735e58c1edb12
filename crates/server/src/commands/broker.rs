//! `tidewater broker`: runs a broker until it is told to stop.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use broker::config::{Config, LoadError, Sources};
use broker::{Broker, Embedding, LogFilter};
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};
use uuid::Uuid;

use crate::logging::{self, LogFormat};
use crate::outcome::{Outcome, usage};
use crate::output;

/// Run a broker
///
/// It serves until SIGTERM or ctrl-C and then stops in order; a second signal stops it at once. What is logged is chosen by
/// TIDEWATER_LOG, such as `debug` or
/// `info,tidewater_storage=debug`.
#[derive(Debug, Args)]
pub(crate) struct BrokerArgs {
    /// Read settings from a properties file, such as Kafka's server.properties
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set a setting; comes before the environment and the file
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Try it out: data in a temporary folder that is gone afterwards, topics created when they are asked for
    #[arg(long)]
    pub(crate) dev: bool,
    /// Start in spite of settings nobody knows
    #[arg(long)]
    pub(crate) allow_unknown: bool,
    /// How the log looks
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
}

#[allow(
    clippy::disallowed_methods,
    reason = "tells people how long the start took"
)]
pub(crate) fn run(args: BrokerArgs) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let log_filter = logging::start(args.log_format)?;
    let temporary = args.dev.then(TemporaryFolder::create).transpose()?;
    let config = load(&args, temporary.as_ref())?;
    raise_open_files();
    let runtime = runtime()?;
    let stopped = runtime.block_on(serve(config, log_filter, args.log_format, began));
    // Nothing of the broker is left but what a failed or interrupted start was doing, and that may be long.
    runtime.shutdown_background();
    stopped.map(|()| Outcome::Done)
}

/// Data of a broker that is only being tried out.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn create() -> anyhow::Result<TemporaryFolder> {
        let path = std::env::temp_dir().join(format!("tidewater-dev-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(TemporaryFolder(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            warn!(folder = %self.0.display(), %error, "the temporary folder stays");
        }
    }
}

fn load(args: &BrokerArgs, temporary: Option<&TemporaryFolder>) -> anyhow::Result<Config> {
    let mut sources = Sources::from_process();
    sources.file.clone_from(&args.config);
    sources.allow_unknown = args.allow_unknown;
    if let Some(TemporaryFolder(path)) = temporary {
        sources = sources
            .with("log.dirs", &path.display().to_string())
            .with("auto.create.topics.enable", "true");
    }
    sources.set.extend(args.set.iter().cloned());
    let loaded = Config::load(&sources).map_err(wrong_settings)?;
    for warning in loaded.warnings {
        warn!("{warning}");
    }
    Ok(loaded.config)
}

/// Every problem is said at once, so that nobody has to start again to hear the next.
pub(crate) fn wrong_settings(error: LoadError) -> anyhow::Error {
    let problems: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
    match &problems[..] {
        [one] => usage(one.as_str()),
        many => usage(format!(
            "{} settings are wrong:\n  {}",
            many.len(),
            many.join("\n  ")
        )),
    }
}

/// Every connection and every segment in use takes a descriptor, and the usual soft limit of 1024 is meant for `select`.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, limit = ?limit.current, "the number of open files cannot be raised");
    }
}

/// As many threads as there are cores to use, which `available_parallelism` takes from the cgroup where there is one.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(cores)
        .thread_name("tidewater-worker")
        .enable_all();
    builder.build().context("cannot start the threads")
}

async fn serve(
    config: Config,
    log_filter: Arc<LogFilter>,
    format: LogFormat,
    began: Instant,
) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let data = config.store.dirs.clone();
    let embedding = Embedding {
        log_filter: Some(log_filter),
        ..Embedding::default()
    };
    let broker = tokio::select! {
        started = Broker::start_embedded(config, embedding) => started.context("the broker does not start")?,
        name = signals.next() => return Err(anyhow!("{name} during the start")),
    };
    announce(&broker, &data, began.elapsed(), format);
    let failed = tokio::select! {
        name = signals.next() => {
            info!(signal = name, "stopping");
            false
        }
        () = broker.failed() => true,
    };
    tokio::select! {
        stopped = broker.shutdown() => stopped.context("the broker did not stop in order")?,
        name = signals.next() => {
            warn!(signal = name, "stopped at once");
            std::process::exit(1);
        }
    }
    if failed {
        return Err(anyhow!(
            "the broker stopped because a part of it failed; its log says which"
        ));
    }
    info!("stopped");
    Ok(())
}

/// SIGTERM and ctrl-C.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Signals> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// The next one's name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The start-up lines: what somebody who starts a broker wants to know first. Scripts read `listening on` and `admin on`.
fn announce(broker: &Broker, data: &[PathBuf], took: Duration, format: LogFormat) {
    if format == LogFormat::Text {
        return output::note(start_up_lines(broker, data, took).trim_end());
    }
    let listeners: Vec<String> = broker
        .listeners()
        .iter()
        .map(|listener| format!("{}://{}", listener.name, listener.addr))
        .collect();
    info!(
        version = env!("CARGO_PKG_VERSION"),
        cluster_id = broker.cluster_id(),
        node_id = broker.node_id(),
        listeners = listeners.join(","),
        advertised = broker
            .listeners()
            .iter()
            .filter_map(|l| l.advertised.as_deref())
            .collect::<Vec<_>>()
            .join(","),
        data = data
            .iter()
            .map(|dir| absolute(dir))
            .collect::<Vec<_>>()
            .join(","),
        admin = broker.admin_addr().map(|addr| format!("http://{addr}")),
        took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "ready"
    );
}

fn start_up_lines(broker: &Broker, data: &[PathBuf], took: Duration) -> String {
    let mut lines = format!(
        "tidewater {}, cluster {}, node {}\n",
        env!("CARGO_PKG_VERSION"),
        broker.cluster_id(),
        broker.node_id()
    );
    for listener in broker.listeners() {
        let told = listener
            .advertised
            .as_deref()
            .unwrap_or("the address they connect to");
        // Writing to memory does not fail.
        let _ = writeln!(
            lines,
            "listening on {}://{} (clients are told {told})",
            listener.name, listener.addr
        );
    }
    for dir in data {
        let _ = writeln!(lines, "data in {}", absolute(dir));
    }
    if let Some(addr) = broker.admin_addr() {
        let _ = writeln!(lines, "admin on http://{addr} (/metrics, /health/ready)");
    }
    let _ = writeln!(lines, "ready after {} ms", took.as_millis());
    lines
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path)
        .unwrap_or_else(|_| path.to_owned())
        .display()
        .to_string()
}
