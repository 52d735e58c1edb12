//! The metadata store of a cluster: etcd, under a root of its own.
//!
//! etcd's client does not mend its streams, so watches and sessions are mended here: a watch goes on behind the last revision it
//! delivered, a session asks for its lease again. A call that ended in a way that leaves open whether etcd carried it out is
//! [`Outcome::Unknown`], never an error; whoever gets it reads again.

mod session;
mod watch;

use std::time::Duration;

use etcd_client::{
    Certificate, Client, Compare as EtcdCompare, CompareOp, ConnectOptions, DeleteOptions, Error,
    GetOptions, GetResponse, Identity, KeyValue, PutOptions, TlsOptions, Txn as EtcdTxn, TxnOp,
    TxnOpResponse,
};
use tokio::time::Instant;

use crate::store::{
    Answer, Kv, MetaStore, MetaWatch, Op, Outcome, Revision, Session, SessionId, StoreError, Txn,
};

/// One transaction takes etcd a few milliseconds; after this long it may or may not have been carried out.
const TXN_TIMEOUT: Duration = Duration::from_secs(2);
/// One page of a snapshot, or the opening of a stream.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Keys of one page of a snapshot.
const PAGE_KEYS: i64 = 10_000;
/// What a page, or the changes of one revision, may come to; the client's own limit is 4 MiB.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Below 5 s etcd's server drops the connection; two lost in a row are noticed by the timeouts of calls before.
const HTTP2_KEEPALIVE: Duration = Duration::from_secs(6);
/// How often a snapshot begins again because etcd has compacted the revision it was reading.
const SNAPSHOT_TRIES: usize = 3;

/// How to reach etcd.
#[derive(Debug, Clone)]
pub struct EtcdOptions {
    /// `http://host:port` or `https://host:port`, any number of members.
    pub endpoints: Vec<String>,
    /// What all keys begin with: `/tidewater/<cluster>/1/`.
    pub root: String,
    /// A user and its password, where etcd wants them.
    pub user: Option<(String, String)>,
    /// Certificates, for `https`.
    pub tls: Option<EtcdTls>,
}

/// Certificates in PEM.
#[derive(Clone)]
pub struct EtcdTls {
    /// Who may have signed etcd's certificate.
    pub authority: Vec<u8>,
    /// The certificate and key that this node shows.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for EtcdTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key is nobody's business.
        f.debug_struct("EtcdTls")
            .field("has_identity", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}

/// A metadata store in etcd. A cheap handle.
#[derive(Clone)]
pub struct EtcdStore {
    client: Client,
    root: String,
}

impl EtcdStore {
    /// Connects to the members named. That none of them answers yet is no error: calls fail until one does.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the options cannot be used.
    pub async fn connect(options: EtcdOptions) -> Result<Self, StoreError> {
        let mut connect = ConnectOptions::new()
            .with_require_leader(true)
            .with_connect_timeout(Duration::from_secs(1))
            .with_keep_alive(HTTP2_KEEPALIVE, HTTP2_KEEPALIVE / 2)
            .with_keep_alive_while_idle(true);
        if let Some((name, password)) = options.user {
            connect = connect
                .with_user(name, password)
                .with_auto_token_refresh(true);
        }
        if let Some(tls) = options.tls {
            let mut with = TlsOptions::new().ca_certificate(Certificate::from_pem(&tls.authority));
            if let Some((certificate, key)) = &tls.identity {
                with = with.identity(Identity::from_pem(certificate, key));
            }
            connect = connect.with_tls(with);
        }
        let connecting = Client::connect(&options.endpoints, Some(connect));
        let client = within(CALL_TIMEOUT, connecting).await?;
        Ok(Self {
            client,
            root: options.root,
        })
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.root)
    }

    async fn try_snapshot(&self, prefixes: &[&str]) -> Result<(Revision, Vec<Kv>), SnapshotError> {
        let (mut revision, mut found) = (0, Vec::new());
        for prefix in prefixes {
            let mut from = self.full(prefix).into_bytes();
            let end = after_prefix(&from);
            loop {
                let page = self.page(from.clone(), &end, revision).await?;
                if revision == 0 {
                    revision = page.header().map_or(0, |header| header.revision());
                }
                for kv in page.kvs() {
                    found.push(stripped(&self.root, kv)?);
                }
                match page.kvs().last().filter(|_| page.more()) {
                    // The next key there can be.
                    Some(last) => from = [last.key(), &[0]].concat(),
                    None => break,
                }
            }
        }
        if prefixes.is_empty() {
            let page = self.page(self.root.clone().into_bytes(), &[0], 0).await?;
            revision = page.header().map_or(0, |header| header.revision());
        }
        Ok((revision, found))
    }

    async fn page(
        &self,
        from: Vec<u8>,
        end: &[u8],
        revision: Revision,
    ) -> Result<GetResponse, SnapshotError> {
        let mut options = GetOptions::new().with_range(end).with_limit(PAGE_KEYS);
        if revision > 0 {
            options = options.with_revision(revision);
        }
        let mut kv = self
            .client
            .kv_client()
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        match tokio::time::timeout(CALL_TIMEOUT, kv.get(from, Some(options))).await {
            Ok(Ok(page)) => Ok(page),
            Ok(Err(Error::GRpcStatus(status))) if status.message().contains("compacted") => {
                Err(SnapshotError::Compacted)
            }
            Ok(Err(error)) => Err(unavailable(&error).into()),
            Err(_) => Err(silent(CALL_TIMEOUT).into()),
        }
    }

    async fn apply(&self, txn: Txn) -> Result<Outcome, StoreError> {
        txn.check()?;
        let compared: Vec<String> = txn.compares.iter().map(|c| c.key.clone()).collect();
        let compares = txn.compares.iter().map(|compare| {
            EtcdCompare::mod_revision(
                self.full(&compare.key),
                CompareOp::Equal,
                compare.mod_revision,
            )
        });
        let reads = compared
            .iter()
            .map(|key| TxnOp::get(self.full(key), None))
            .collect::<Vec<_>>();
        let request = EtcdTxn::new()
            .when(compares.collect::<Vec<_>>())
            .and_then(txn.ops.iter().map(|op| self.op(op)).collect::<Vec<_>>())
            .or_else(reads);
        let mut kv = self.client.kv_client();
        let answer = match tokio::time::timeout(TXN_TIMEOUT, kv.txn(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return undecided(&error),
            Err(_) => {
                return Ok(Outcome::Unknown {
                    reason: silent(TXN_TIMEOUT).to_string(),
                });
            }
        };
        let revision = answer.header().map_or(0, |header| header.revision());
        let responses = answer.op_responses();
        if answer.succeeded() {
            // Without a change etcd gives no revision, and watchers hear nothing.
            let changed = responses.iter().any(|response| match response {
                TxnOpResponse::Put(_) => true,
                TxnOpResponse::Delete(deleted) => deleted.deleted() > 0,
                TxnOpResponse::Get(_) | TxnOpResponse::Txn(_) => false,
            });
            return Ok(Outcome::Applied(if changed { revision } else { 0 }));
        }
        let mut found = Vec::with_capacity(compared.len());
        for (key, response) in compared.into_iter().zip(&responses) {
            let there = match response {
                TxnOpResponse::Get(got) => got.kvs().first(),
                _ => None,
            };
            let there = there.map(|kv| stripped(&self.root, kv)).transpose()?;
            found.push((key, there));
        }
        Ok(Outcome::Conflict(found))
    }

    fn op(&self, op: &Op) -> TxnOp {
        match op {
            Op::Put {
                key,
                value,
                session,
            } => {
                let options = session.map(|session| PutOptions::new().with_lease(session.0));
                TxnOp::put(self.full(key), value.to_vec(), options)
            }
            Op::Delete { key } => TxnOp::delete(self.full(key), None),
            Op::DeletePrefix { prefix } => {
                let options = DeleteOptions::new().with_prefix();
                TxnOp::delete(self.full(prefix), Some(options))
            }
        }
    }
}

impl MetaStore for EtcdStore {
    fn snapshot<'a>(
        &'a self,
        prefixes: &'a [&'a str],
    ) -> Answer<'a, Result<(Revision, Vec<Kv>), StoreError>> {
        Box::pin(async {
            for _ in 0..SNAPSHOT_TRIES {
                match self.try_snapshot(prefixes).await {
                    Ok(found) => return Ok(found),
                    Err(SnapshotError::Compacted) => {}
                    Err(SnapshotError::Store(error)) => return Err(error),
                }
            }
            Err(StoreError::Unavailable {
                reason: "etcd compacts faster than its keys can be read".into(),
            })
        })
    }

    fn watch(&self, from: Revision) -> Box<dyn MetaWatch> {
        let client = self.client.watch_client();
        let client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        Box::new(watch::Watch::starting(client, self.root.clone(), from))
    }

    fn txn(&self, txn: Txn) -> Answer<'_, Result<Outcome, StoreError>> {
        Box::pin(self.apply(txn))
    }

    fn session(&self, ttl: Duration) -> Answer<'_, Result<Session, StoreError>> {
        Box::pin(async move {
            let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX).max(1);
            let mut leases = self.client.lease_client();
            let asked = Instant::now();
            let lease = within(TXN_TIMEOUT, leases.grant(seconds, None)).await?;
            Ok(session::keep(leases, SessionId(lease.id()), ttl, asked))
        })
    }
}

/// Why a snapshot could not be finished.
enum SnapshotError {
    /// The revision it was read at is gone.
    Compacted,
    Store(StoreError),
}

impl From<StoreError> for SnapshotError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A key and value of etcd's without the root.
fn stripped(root: &str, kv: &KeyValue) -> Result<Kv, StoreError> {
    let key = std::str::from_utf8(kv.key()).ok();
    let Some(key) = key.and_then(|key| key.strip_prefix(root)) else {
        return Err(StoreError::Corrupt {
            reason: format!("a key is not text: {:?}", String::from_utf8_lossy(kv.key())),
        });
    };
    Ok(Kv {
        key: key.to_owned(),
        value: kv.value().to_vec().into(),
        mod_revision: kv.mod_revision(),
    })
}

/// The first key behind all that begin with `prefix`, as etcd's own clients make it.
fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // Nothing is behind: to the end of all keys.
    vec![0]
}

/// The outcome of a transaction that ended in an error.
fn undecided(error: &Error) -> Result<Outcome, StoreError> {
    // What etcd itself says no to was not carried out; all else may have been.
    let refused = match error {
        Error::InvalidArgs(_) | Error::InvalidUri(_) | Error::InvalidMetadataValue(_) => true,
        Error::GRpcStatus(status) => matches!(
            i32::from(status.code()),
            INVALID_ARGUMENT | PERMISSION_DENIED | RESOURCE_EXHAUSTED | UNAUTHENTICATED
        ),
        _ => false,
    };
    if refused {
        return Err(unavailable(error));
    }
    Ok(Outcome::Unknown {
        reason: error.to_string(),
    })
}

// gRPC's status codes (https://grpc.io/docs/guides/status-codes/).
const INVALID_ARGUMENT: i32 = 3;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const UNAUTHENTICATED: i32 = 16;

fn unavailable(error: &Error) -> StoreError {
    StoreError::Unavailable {
        reason: error.to_string(),
    }
}

fn silent(timeout: Duration) -> StoreError {
    StoreError::Unavailable {
        reason: format!("etcd did not answer within {timeout:?}"),
    }
}

async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(timeout, call).await {
        Ok(result) => result.map_err(|error| unavailable(&error)),
        Err(_) => Err(silent(timeout)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_first_key_behind_it() {
        for (prefix, end) in [
            (&b"/a/"[..], &b"/a0"[..]),
            (&[b'a', 0xff, 0xff], b"b"),
            (&[0xff], &[0]),
        ] {
            assert_eq!(after_prefix(prefix), end);
        }
    }
}
