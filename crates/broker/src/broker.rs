//! Starting and stopping, in order.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::{BrokerRegistration, Controller, ControllerOptions, EmbeddedStore};
use parking_lot::RwLock;
use prometheus::Registry;
use storage::{RecoverySummary, Store};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use uuid::Uuid;

use crate::admin_http::{self, Admin, Stage};
use crate::clock::SystemClock;
use crate::config::{AdminListener, Advertised, Config, Listener};
use crate::context::{Context, Settings};
use crate::fetch_session::FetchSessions;
use crate::groups::Groups;
use crate::log_filter::LogFilter;
use crate::metrics::Metrics;
use crate::net::budget::MemoryBudget;
use crate::net::listener::{self, ConnectionLimits};
use crate::quotas::Quotas;
use crate::tasks::Tasks;
use crate::telemetry::Telemetry;
use crate::topics::Topics;
use crate::transactions::Transactions;
use crate::waiters::WaiterTable;

/// Connections have this long to finish what they took up before the store closes under them.
const DRAIN_MAX: Duration = Duration::from_secs(15);

/// A running broker. Dropping it without [`Broker::shutdown`] is a crash: nothing acknowledged is lost, but the next start
/// has to look at the log ends.
pub struct Broker {
    ctx: Arc<Context>,
    admin: Admin,
    listeners: Vec<BoundListener>,
    admin_addr: Option<SocketAddr>,
    tasks: Tasks,
    connections: TaskTracker,
    stop_admin: CancellationToken,
    _dir_locks: Vec<File>,
}

/// A listener and where it really is.
#[derive(Debug, Clone)]
pub struct BoundListener {
    /// Its name, as in `listeners`.
    pub name: String,
    /// The bound address.
    pub addr: SocketAddr,
    /// `host:port` that clients are told; `None` when each client is told the address it connected to (a wildcard address
    /// without `advertised.listeners`).
    pub advertised: Option<String>,
}

/// What the embedding program lends the broker.
#[derive(Clone, Default)]
pub struct Embedding {
    /// Where metrics are registered; a registry of its own by default. What is read only when somebody looks (offsets, sizes,
    /// lag) is on the admin listener's page alone.
    pub registry: Option<Registry>,
    /// The live log filter, which `/log-level` and the broker loggers of Kafka's protocol show and change.
    pub log_filter: Option<Arc<LogFilter>>,
}

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another broker, in this process or another, uses the directory.
    #[error("another broker uses the log directory {}", path.display())]
    DirectoryInUse {
        /// The log directory.
        path: PathBuf,
    },
    /// The metadata store.
    #[error("the metadata in {path} could not be opened: {source}")]
    Metadata {
        /// Where it lies.
        path: PathBuf,
        /// What happened.
        source: cluster::OpenError,
    },
    /// A log directory.
    #[error(transparent)]
    Store(#[from] storage::OpenError),
    /// A socket.
    #[error("listener {listener} cannot be bound: {source}")]
    Bind {
        /// Name or address.
        listener: String,
        /// What happened.
        source: std::io::Error,
    },
    /// Two metrics of one name in the registry lent.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The controller did not take this broker in.
    #[error("this broker could not be registered: {0}")]
    Registration(#[from] cluster::ControllerError),
    /// A thread panicked during start.
    #[error("the start was interrupted: {0}")]
    Interrupted(String),
}

/// Why a broker did not stop in order.
#[derive(Debug, thiserror::Error)]
pub enum ShutdownError {
    /// A log directory could not be closed; the next start checks its log ends.
    #[error("the store was not closed cleanly: {0}")]
    Store(String),
}

impl Broker {
    /// Starts a broker: recovered, bound and serving when this returns. Port 0 is fine.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_embedded(config, Embedding::default()).await
    }

    /// Like [`Broker::start`], with the embedder's registry and log filter.
    #[allow(
        clippy::disallowed_methods,
        reason = "measures the start for people and metrics only"
    )]
    pub async fn start_embedded(config: Config, embedding: Embedding) -> Result<Self, StartError> {
        let began = Instant::now();
        let registry = embedding.registry.unwrap_or_default();
        let metrics = Metrics::register(&registry)?;
        let quotas = Quotas::new(&config.quotas, &registry)?;
        let telemetry = Telemetry::register(&registry)?;
        let admin = Admin {
            registry: registry.clone(),
            stage: Arc::new(RwLock::new(Stage::Starting("opening the metadata"))),
            log_filter: embedding.log_filter.clone(),
        };
        let stop_admin = CancellationToken::new();
        let stop = CancellationToken::new();
        let tasks = Tasks::new(stop.clone());
        // First of all, so that whoever waits for the start can see how far it is.
        let admin_addr = start_admin(&config, &admin, &stop_admin).await?;
        let sockets = bind_all(&config).await?;
        let dir_locks = lock_dirs(&config.store.dirs)?;
        let incarnation = Uuid::new_v4();
        let controller = open_metadata(&config, incarnation).await?;
        *admin.stage.write() = Stage::Starting("recovering logs");
        let waiters = Arc::new(WaiterTable::default());
        let (store, recovery) =
            open_store(&config, &controller, Arc::clone(&waiters), registry).await?;
        let ctx = Arc::new(Context {
            node_id: config.node_id,
            controller,
            topics: Topics::new(
                config.node_id,
                Arc::clone(&store),
                waiters,
                Arc::clone(&metrics.traffic),
            ),
            store,
            groups: Groups::new(tasks.clone()),
            transactions: Transactions::new(tasks.clone()),
            fetch_sessions: FetchSessions::new(config.fetch_sessions_max, random_id()),
            memory: MemoryBudget::new(config.network.request_budget_bytes),
            quotas,
            metrics,
            telemetry,
            log_filter: embedding.log_filter,
            clock: SystemClock,
            stop: stop.clone(),
            settings: Settings::new(config),
        });
        *admin.stage.write() = Stage::Starting("opening partitions");
        register(&ctx, incarnation, recovery.unclean_dirs == 0, &sockets).await?;
        ctx.apply_image().await;
        delete_strays(&ctx).await;
        let connections = TaskTracker::new();
        let listeners = serve_all(&ctx, sockets, &tasks, &connections);
        tasks.spawn("cluster image", {
            let ctx = Arc::clone(&ctx);
            move |stop| follow_image(ctx, stop)
        });
        *admin.stage.write() = Stage::Serving(Arc::clone(&ctx));
        ctx.metrics
            .ready_seconds
            .observe(began.elapsed().as_secs_f64());
        info!(?recovery, node_id = ctx.node_id, topics = ctx.topics.table().len(), took = ?began.elapsed(), "serving");
        Ok(Self {
            ctx,
            admin,
            listeners,
            admin_addr,
            tasks,
            connections,
            stop_admin,
            _dir_locks: dir_locks,
        })
    }

    /// The address of the first listener.
    pub fn addr(&self) -> SocketAddr {
        self.listeners[0].addr
    }

    /// All listeners, in the order of the configuration.
    pub fn listeners(&self) -> &[BoundListener] {
        &self.listeners
    }

    /// Where `/metrics` and `/health` are, if anywhere.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin_addr
    }

    /// The cluster's id, made at the very first start.
    pub fn cluster_id(&self) -> String {
        self.ctx.image().cluster_id.clone()
    }

    /// This broker's id in the cluster.
    pub fn node_id(&self) -> i32 {
        self.ctx.node_id
    }

    /// Returns when the broker has stopped by itself because a background task panicked.
    pub async fn failed(&self) {
        self.ctx.stop.cancelled().await;
    }

    /// Stops in order: no new connections or requests, waiting requests are answered, logs are flushed and closed clean.
    pub async fn shutdown(self) -> Result<(), ShutdownError> {
        *self.admin.stage.write() = Stage::Stopping;
        self.ctx.stop.cancel();
        self.tasks.finished().await;
        self.connections.close();
        if tokio::time::timeout(DRAIN_MAX, self.connections.wait())
            .await
            .is_err()
        {
            warn!("connections did not finish in time; closing the store under them");
        }
        self.ctx.controller.close().await;
        let store = Arc::clone(&self.ctx.store);
        let closed = tokio::task::spawn_blocking(move || store.close()).await;
        self.stop_admin.cancel();
        match closed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ShutdownError::Store(error.to_string())),
            Err(panic) => Err(ShutdownError::Store(panic.to_string())),
        }
    }
}

/// A starting point for session ids that differs between runs.
fn random_id() -> i32 {
    let bytes = uuid::Uuid::new_v4().into_bytes();
    i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

async fn start_admin(
    config: &Config,
    admin: &Admin,
    stop: &CancellationToken,
) -> Result<Option<SocketAddr>, StartError> {
    let mut first = None;
    for AdminListener { host, port } in &config.admin_listeners {
        let socket = TcpListener::bind((if host.is_empty() { "::" } else { host }, *port))
            .await
            .map_err(|source| StartError::Bind {
                listener: format!("admin.listeners http://{host}:{port}"),
                source,
            })?;
        first = first.or(socket.local_addr().ok());
        tokio::spawn(admin_http::serve(admin.clone(), socket, stop.clone()));
    }
    Ok(first)
}

async fn bind_all(config: &Config) -> Result<Vec<(TcpListener, Arc<Listener>)>, StartError> {
    let mut sockets = Vec::with_capacity(config.listeners.len());
    for listener in &config.listeners {
        let socket = listener::bind(listener, &config.network)
            .await
            .map_err(|source| StartError::Bind {
                listener: listener.to_string(),
                source,
            })?;
        sockets.push((socket, Arc::clone(listener)));
    }
    Ok(sockets)
}

/// Takes `.lock` in each log directory, as Kafka does, before anything in it is touched. What else is wrong with a
/// directory is the store's to judge.
fn lock_dirs(dirs: &[PathBuf]) -> Result<Vec<File>, StartError> {
    let mut locks = Vec::with_capacity(dirs.len());
    for (index, dir) in dirs.iter().enumerate() {
        if dirs[..index].contains(dir) {
            continue;
        }
        let lock = std::fs::create_dir_all(dir).and_then(|()| File::create(dir.join(".lock")));
        let Ok(lock) = lock else { continue };
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(StartError::DirectoryInUse { path: dir.clone() });
            }
            Ok(()) | Err(TryLockError::Error(_)) => locks.push(lock),
        }
    }
    Ok(locks)
}

async fn open_metadata(config: &Config, incarnation: Uuid) -> Result<Controller, StartError> {
    let path = config.store.dirs[0].join("meta");
    let failed = |source: cluster::OpenError| StartError::Metadata {
        path: path.clone(),
        source,
    };
    let opened = tokio::task::spawn_blocking({
        let path = path.clone();
        move || {
            storage::check_rocksdb_logs(&path).map_err(|error| {
                cluster::store::StoreError::Corrupt {
                    reason: error.to_string(),
                }
            })?;
            EmbeddedStore::open(&path)
        }
    })
    .await;
    let store = opened
        .map_err(|panic| StartError::Interrupted(panic.to_string()))?
        .map_err(|error| failed(error.into()))?;
    let options = ControllerOptions {
        node_id: config.node_id,
        incarnation,
        cluster_id: config.cluster_id.clone(),
        created_by: concat!("tidewater ", env!("CARGO_PKG_VERSION")).to_owned(),
        entropy: cluster::system_entropy(),
    };
    let (controller, task) = Controller::open(Arc::new(store), options)
        .await
        .map_err(failed)?;
    // Not one of the stoppable tasks: it ends when the controller is closed, after everybody who asks it things.
    tokio::spawn(task.run());
    Ok(controller)
}

async fn open_store(
    config: &Config,
    controller: &Controller,
    waiters: Arc<WaiterTable>,
    registry: Registry,
) -> Result<(Arc<Store>, RecoverySummary), StartError> {
    let options = config.store_options(&controller.image().cluster_id);
    let opened = tokio::task::spawn_blocking(move || {
        Store::open_with_summary(options, Arc::new(SystemClock), waiters, &registry)
    })
    .await;
    let (store, recovery) =
        opened.map_err(|panic| StartError::Interrupted(panic.to_string()))??;
    Ok((Arc::new(store), recovery))
}

/// Registers this process, which gives every partition that it leads a new leader epoch (M7).
async fn register(
    ctx: &Arc<Context>,
    incarnation: Uuid,
    was_clean: bool,
    sockets: &[(TcpListener, Arc<Listener>)],
) -> Result<(), StartError> {
    let listeners = sockets.iter().filter_map(|(socket, listener)| {
        let (host, port) = listener.advertised_to(socket.local_addr().ok()?);
        let port = u32::try_from(port).ok()?;
        Some(cluster::Listener {
            name: listener.name.clone(),
            host,
            port,
            security_protocol: 0,
        })
    });
    let dirs = ctx.store.dirs();
    let registration = BrokerRegistration {
        node_id: ctx.node_id,
        incarnation,
        listeners: listeners.collect(),
        rack: ctx.config().rack.clone(),
        log_dirs: dirs.iter().filter_map(|dir| dir.directory_id).collect(),
        features: Vec::new(),
        remembered_epoch: -1,
        clean_shutdown: was_clean,
    };
    ctx.controller.register_broker(registration).await?;
    Ok(())
}

async fn delete_strays(ctx: &Arc<Context>) {
    let ctx = Arc::clone(ctx);
    if let Err(error) = tokio::task::spawn_blocking(move || ctx.topics.delete_strays()).await {
        warn!(%error, "looking for strays failed");
    }
}

fn serve_all(
    ctx: &Arc<Context>,
    sockets: Vec<(TcpListener, Arc<Listener>)>,
    tasks: &Tasks,
    connections: &TaskTracker,
) -> Vec<BoundListener> {
    let limits = Arc::new(ConnectionLimits::default());
    let mut bound = Vec::with_capacity(sockets.len());
    for (socket, listener) in sockets {
        let Ok(addr) = socket.local_addr() else {
            continue;
        };
        let advertised = match listener.advertised {
            Advertised::Connection => None,
            Advertised::Address { .. } | Advertised::Own => {
                let (host, port) = listener.advertised_to(addr);
                Some(format!("{host}:{port}"))
            }
        };
        bound.push(BoundListener {
            name: listener.name.clone(),
            addr,
            advertised,
        });
        let (ctx, limits, connections) =
            (Arc::clone(ctx), Arc::clone(&limits), connections.clone());
        tasks.spawn("accept", move |stop| {
            listener::accept(ctx, socket, listener, limits, connections, stop)
        });
    }
    bound
}

/// Keeps this broker's logs in step with the cluster's picture. Admin calls served here apply their change themselves
/// before they answer; this catches what comes from elsewhere.
async fn follow_image(ctx: Arc<Context>, stop: CancellationToken) {
    let mut images = ctx.controller.subscribe();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = images.changed() => if changed.is_err() { return },
        }
        ctx.apply_image().await;
    }
}
