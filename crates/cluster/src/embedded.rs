//! The metadata store of a single node: a small RocksDB of its own, with etcd's revisions, compares and watches.
//!
//! One transaction is one write batch, synchronous unless it says that another one follows; so what was answered `Applied`
//! survives a crash, and a batch that was cut short by one is not there at all. When a write fails (usually: the disk is full) the database is opened again at once, because
//! only what it then reads back says whether the write is durable; a reserve of disk space, given up at that moment, lets
//! metadata be written on a full disk, above all the deletion of topics.

mod database;
mod reserve;
mod watch;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::keys::{Key, SESSIONS};
use crate::store::{
    Answer, Batch, Kv, MetaStore, MetaWatch, Outcome, Revision, Session, SessionId, StoreError, Txn,
};
use database::Database;
use reserve::Reserve;
use watch::History;

/// A metadata store in one directory. A cheap handle; the database closes with the last one.
#[derive(Clone)]
pub struct EmbeddedStore {
    core: Arc<Core>,
}

struct Core {
    state: Mutex<State>,
    history: History,
}

struct State {
    /// `None` after a failure that opening again did not cure; every call tries once more.
    database: Option<Database>,
    reserve: Reserve,
    path: PathBuf,
    revision: Revision,
    #[cfg(test)]
    faults: faults::Faults,
}

impl EmbeddedStore {
    /// Opens the store in `path`, creating it where there is none, and ends the sessions of the process that had it before.
    /// Blocks for some milliseconds.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the directory cannot be written or another process has it open;
    /// [`StoreError::Corrupt`] when its contents cannot be trusted.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        create_directory(path).map_err(|error| StoreError::Unavailable {
            reason: format!("{}: {error}", path.display()),
        })?;
        let mut reserve = Reserve::find(path);
        let database = match Database::open(path) {
            Err(full) if reserve.gave_way_to(&full) => Database::open(path)?,
            opened => opened?,
        };
        reserve.hold();
        let revision = database.revision();
        let state = State {
            database: Some(database),
            reserve,
            path: path.to_owned(),
            revision,
            #[cfg(test)]
            faults: faults::Faults::default(),
        };
        let history = History::starting_after(revision);
        let store = Self {
            core: Arc::new(Core {
                state: Mutex::new(state),
                history,
            }),
        };
        store.core.end_sessions()?;
        Ok(store)
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Core) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let core = Arc::clone(&self.core);
        match tokio::task::spawn_blocking(move || work(&core)).await {
            Ok(result) => result,
            Err(stopped) => Err(StoreError::Unavailable {
                reason: stopped.to_string(),
            }),
        }
    }
}

impl MetaStore for EmbeddedStore {
    fn snapshot<'a>(
        &'a self,
        prefixes: &'a [&'a str],
    ) -> Answer<'a, Result<(Revision, Vec<Kv>), StoreError>> {
        let prefixes: Vec<String> = prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
        Box::pin(self.off_thread(move |core| core.snapshot(&prefixes)))
    }

    fn watch(&self, from: Revision) -> Box<dyn MetaWatch> {
        Box::new(self.core.history.watch(from))
    }

    fn txn(&self, txn: Txn) -> Answer<'_, Result<Outcome, StoreError>> {
        Box::pin(self.off_thread(move |core| core.txn(&txn)))
    }

    /// The process that has the store open is its only user, so that a session lasts as long as that process; what was put under
    /// one before is removed at the next opening.
    fn session(&self, _ttl: Duration) -> Answer<'_, Result<Session, StoreError>> {
        Box::pin(async { Ok(Session::endless(SessionId(1))) })
    }
}

impl Core {
    fn snapshot(&self, prefixes: &[String]) -> Result<(Revision, Vec<Kv>), StoreError> {
        let mut state = self.state.lock();
        let database = state.working_database(&self.history)?;
        let mut found = Vec::new();
        for prefix in prefixes {
            database.scan(prefix, &mut found)?;
        }
        Ok((state.revision, found))
    }

    fn txn(&self, txn: &Txn) -> Result<Outcome, StoreError> {
        txn.check()?;
        let mut state = self.state.lock();
        let database = state.working_database(&self.history)?;
        if let Some(conflict) = database.conflict(txn)? {
            return Ok(conflict);
        }
        state.write(txn, &self.history)
    }

    /// A lease ends with the process that held it: its keys go before anybody reads them.
    fn end_sessions(&self) -> Result<(), StoreError> {
        let leader = Key::ControllerLeader.text();
        let mut found = Vec::new();
        let mut state = self.state.lock();
        let database = state.working_database(&self.history)?;
        database.scan(SESSIONS, &mut found)?;
        let stale = !found.is_empty() || database.get(&leader)?.is_some();
        drop(state);
        if stale {
            match self.txn(&Txn::default().delete_prefix(SESSIONS).delete(leader))? {
                Outcome::Unknown { reason } => return Err(StoreError::Unavailable { reason }),
                Outcome::Applied(_) | Outcome::Conflict(_) => {}
            }
        }
        Ok(())
    }
}

impl State {
    /// The open database, opened again if a failure closed it.
    fn working_database(&mut self, history: &History) -> Result<&Database, StoreError> {
        if self.database.is_none() {
            self.reopen()?;
            if self.revision != history.revision() {
                // An unknown transaction turned out to be applied: watchers must read everything again.
                history.start_after(self.revision);
            }
        }
        // Heals a reserve that was given up, as soon as there is room again.
        self.reserve.hold();
        self.database
            .as_ref()
            .ok_or_else(|| StoreError::Unavailable {
                reason: "the database is closed".into(),
            })
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        // RocksDB's lock on the directory goes with the old handle, so it has to go first.
        self.database = None;
        #[cfg(test)]
        self.faults.on_open()?;
        let database = match Database::open(&self.path) {
            Err(full) if self.reserve.gave_way_to(&full) => Database::open(&self.path)?,
            opened => opened?,
        };
        self.revision = database.revision();
        self.database = Some(database);
        Ok(())
    }

    /// Writes what was found to be free of conflicts; makes room and tries a second time where the first attempt failed.
    fn write(&mut self, txn: &Txn, history: &History) -> Result<Outcome, StoreError> {
        let revision = self.revision + 1;
        loop {
            let Some(database) = &self.database else {
                return Err(StoreError::Unavailable {
                    reason: "the database is closed".into(),
                });
            };
            let events = database.events(txn, revision)?;
            #[cfg(not(test))]
            let written = database.write(&events, revision, !txn.deferred);
            #[cfg(test)]
            let written = self
                .faults
                .around_write(|| database.write(&events, revision, !txn.deferred));
            let Err(failure) = written else {
                return Ok(self.applied(Batch { revision, events }, history));
            };
            tracing::warn!(%failure, revision, "a metadata write failed; opening the database again");
            let room_made = self.reserve.gave_way_to(&failure);
            if let Err(still) = self.reopen() {
                return Ok(Outcome::Unknown {
                    reason: format!("{failure}; then {still}"),
                });
            }
            if self.revision == revision {
                return Ok(self.applied(Batch { revision, events }, history));
            }
            if !room_made {
                return Err(failure);
            }
        }
    }

    fn applied(&mut self, batch: Batch, history: &History) -> Outcome {
        self.revision = batch.revision;
        history.push(batch);
        Outcome::Applied(self.revision)
    }
}

/// Makes the directory where there is none, so that it is still there after a power cut.
fn create_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod faults;
#[cfg(test)]
mod tests;
