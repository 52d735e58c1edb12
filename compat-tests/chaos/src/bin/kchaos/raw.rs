//! Connections to brokers that hide nothing: one attempt a call, and whoever calls decides what a failure means.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use anyhow::Result;
use kcheck::history::Replication;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use wire::Request;
use wire::client::{ClientError, Connection, Limits};

use crate::flags::Flags;
use crate::journal::now_us;

const PAUSE: Duration = Duration::from_millis(50);

/// Why a request was not done, as far as anybody knows.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// It never left.
    NotSent(String),
    /// It may have arrived, and no answer has.
    NoAnswer(String),
    /// The broker refused it with this code.
    Code(i16),
}

/// Refused before anything was written (reliability of each: Kafka's `ReplicaManager.appendRecords`, `LogValidator`,
/// `ProducerStateManager`). With any other code the records may be in the log.
const SURELY_NOT: &[i16] = &[
    2,  // CORRUPT_MESSAGE
    10, // MESSAGE_TOO_LARGE
    19, // NOT_ENOUGH_REPLICAS
    29, 30, 31, 53, // *_AUTHORIZATION_FAILED
    45, // OUT_OF_ORDER_SEQUENCE_NUMBER
    47, // INVALID_PRODUCER_EPOCH
    48, // INVALID_TXN_STATE
    87, // INVALID_RECORD
    90, // PRODUCER_FENCED
];

/// Worth another try: the broker is starting, or somebody else leads by now.
const MAY_PASS: &[i16] = &[
    3, 5, 6, 7, 8, 9, 13, 14, 15, 16, 19, 20, 51, 56, 72, 74, 75, 78, 88, 100,
];

/// The records of this sequence are there already.
pub(crate) const DUPLICATE_SEQUENCE_NUMBER: i16 = 46;

impl Failure {
    /// Whether it was surely not done, and will not be.
    pub(crate) fn is_sure(&self) -> bool {
        match self {
            Failure::NotSent(_) => true,
            Failure::NoAnswer(_) => false,
            Failure::Code(code) => SURELY_NOT.contains(code),
        }
    }

    /// Whether another try may succeed.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Failure::NotSent(_) | Failure::NoAnswer(_) => true,
            Failure::Code(code) => MAY_PASS.contains(code),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NotSent(reason) => write!(out, "not sent: {reason}"),
            Failure::NoAnswer(reason) => write!(out, "no answer: {reason}"),
            Failure::Code(code) => write!(out, "error code {code}"),
        }
    }
}

impl std::error::Error for Failure {}

pub(crate) type Answer<T> = Result<T, Failure>;

/// An answer's error code as a failure.
pub(crate) fn checked(code: i16) -> Answer<()> {
    if code == 0 {
        Ok(())
    } else {
        Err(Failure::Code(code))
    }
}

/// What is known of a cluster, and the connections to it.
#[derive(Debug)]
pub(crate) struct Raw {
    /// Addresses to begin with.
    pub(crate) bootstrap: Vec<String>,
    client_id: String,
    /// For how long one answer is waited for.
    timeout: Duration,
    connections: HashMap<String, Connection<TcpStream>>,
    /// (topic, partition) → address.
    pub(crate) leaders: HashMap<(String, i32), String>,
    /// (topic, partition) → what was said of its replicas.
    pub(crate) replication: HashMap<(String, i32), Replication>,
    /// Node id → address.
    pub(crate) brokers: BTreeMap<i32, String>,
    /// (kind, key) → address.
    pub(crate) coordinators: HashMap<(i8, String), String>,
}

impl Raw {
    pub(crate) fn new(bootstrap: &str, client_id: &str) -> Raw {
        Raw {
            bootstrap: bootstrap.split(',').map(str::to_owned).collect(),
            client_id: client_id.to_owned(),
            timeout: Duration::from_secs(10),
            connections: HashMap::new(),
            leaders: HashMap::new(),
            replication: HashMap::new(),
            brokers: BTreeMap::new(),
            coordinators: HashMap::new(),
        }
    }

    /// As the flags say: `--bootstrap`, and `--timeout-ms` for one answer.
    pub(crate) fn of(flags: &Flags, client_id: &str) -> Result<Raw> {
        let timeout_ms = flags.or("timeout-ms", 10_000)?;
        let raw = Raw::new(flags.text("bootstrap")?, client_id);
        Ok(raw.with_timeout(Duration::from_millis(timeout_ms)))
    }

    pub(crate) fn with_timeout(self, timeout: Duration) -> Raw {
        Raw { timeout, ..self }
    }

    /// Who leads and coordinates is to be asked anew, and of somebody else.
    pub(crate) fn forget(&mut self) {
        self.bootstrap.rotate_left(1);
        self.leaders.clear();
        self.coordinators.clear();
    }

    /// The highest version of `R` that both sides speak.
    pub(crate) async fn speaks<R: Request>(&mut self) -> Answer<i16> {
        let address = self.bootstrap[0].clone();
        let (connection, version) = self.connection::<R>(&address, i16::MAX).await?;
        self.connections.insert(address, connection);
        Ok(version)
    }

    /// One request in the highest version up to `version` that both sides speak, and its answer.
    pub(crate) async fn call<R: Request>(
        &mut self,
        address: &str,
        request: &R,
        version: i16,
    ) -> Answer<R::Response> {
        let (mut connection, version) = self.connection::<R>(address, version).await?;
        match connection.call(request, version).await {
            Ok(response) => {
                self.connections.insert(address.to_owned(), connection);
                Ok(response)
            }
            Err(error @ (ClientError::Encode(_) | ClientError::Unusable)) => {
                Err(Failure::NotSent(error.to_string()))
            }
            Err(error) => Err(Failure::NoAnswer(error.to_string())),
        }
    }

    /// A request that is not answered: it is done when the socket has it.
    pub(crate) async fn send<R: Request>(
        &mut self,
        address: &str,
        request: &R,
        version: i16,
    ) -> Answer<()> {
        let (mut connection, version) = self.connection::<R>(address, version).await?;
        let sent = connection.send(request, version).await;
        sent.map_err(|error| Failure::NoAnswer(error.to_string()))?;
        self.connections.insert(address.to_owned(), connection);
        Ok(())
    }

    /// Takes the connection out: whoever used it puts it back if it is still in step.
    async fn connection<R: Request>(
        &mut self,
        address: &str,
        version: i16,
    ) -> Answer<(Connection<TcpStream>, i16)> {
        let not_sent = |reason: String| Failure::NotSent(reason);
        let connection = match self.connections.remove(address) {
            Some(connection) => connection,
            None => self.connect(address).await?,
        };
        let spoken = connection.version_for::<R>();
        let spoken = spoken.ok_or_else(|| not_sent(format!("api key {} is not spoken", R::KEY)))?;
        Ok((connection, spoken.min(version)))
    }

    async fn connect(&self, address: &str) -> Answer<Connection<TcpStream>> {
        let failed = |error: &dyn fmt::Display| Failure::NotSent(format!("{address}: {error}"));
        let stream = timeout(self.timeout, TcpStream::connect(address)).await;
        let stream = stream
            .map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let limits = Limits {
            timeout: self.timeout,
            ..Limits::default()
        };
        let mut connection = Connection::new(stream, self.client_id.clone()).with_limits(limits);
        connection
            .negotiate()
            .await
            .map_err(|error| failed(&error))?;
        Ok(connection)
    }
}

/// Tries until it is done, surely refused, or `end_us` has come. Also says whether any try may have been done unheard.
pub(crate) async fn persist<T>(
    raw: &mut Raw,
    end_us: u64,
    mut attempt: impl AsyncFnMut(&mut Raw) -> Answer<T>,
) -> (Answer<T>, bool) {
    let mut unsure = false;
    loop {
        let failure = match attempt(raw).await {
            Ok(done) => return (Ok(done), unsure),
            Err(failure) => failure,
        };
        unsure |= !failure.is_sure();
        if !failure.may_pass() || now_us() > end_us {
            return (Err(failure), unsure);
        }
        raw.forget();
        sleep(PAUSE).await;
    }
}
