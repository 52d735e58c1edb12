//! Sessions: who is there, as far as the store can tell.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

/// Names a session within its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub i64);

/// How a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// As far as its holder can know, its keys are there until then; without an end in a store that lives in this process.
    Valid { until: Option<Instant> },
    /// The store has ended it, and removed its keys.
    Lost,
}

/// A session that this process holds; dropping the last clone lets it run out.
#[derive(Debug, Clone)]
pub struct Session {
    id: SessionId,
    state: watch::Receiver<State>,
    /// Aborts what keeps the session alive, when the last clone is dropped.
    _keeper: Option<Arc<AbortOnDrop>>,
}

/// Ends a task with its owner.
#[derive(Debug)]
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session {
    /// A session that lasts as long as the process.
    pub(crate) fn endless(id: SessionId) -> Self {
        let (_, state) = watch::channel(State::Valid { until: None });
        Self {
            id,
            state,
            _keeper: None,
        }
    }

    /// A session that was renewed last at a moment that makes it valid `until` then, and what tells it how it goes on.
    pub(crate) fn kept(id: SessionId, until: Instant) -> (Self, SessionKeeper) {
        let (sender, state) = watch::channel(State::Valid { until: Some(until) });
        let session = Self {
            id,
            state,
            _keeper: None,
        };
        (session, SessionKeeper(sender))
    }

    /// The task that keeps it ends with it.
    pub(crate) fn with_keeper(mut self, task: tokio::task::AbortHandle) -> Self {
        self._keeper = Some(Arc::new(AbortOnDrop(task)));
        self
    }

    /// What keys are put under.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Whether nobody else can have seen the session end by `now`. For detection and courtesy only: between asking and acting a
    /// process may stand still, so that no safety may rest on it.
    #[must_use]
    pub fn is_valid(&self, now: Instant) -> bool {
        match *self.state.borrow() {
            State::Valid { until } => until.is_none_or(|until| now < until),
            State::Lost => false,
        }
    }

    /// Returns when the store has ended the session: its keys are gone, and it will not come back.
    pub async fn lost(&mut self) {
        let ended = self.state.wait_for(|state| *state == State::Lost).await;
        if ended.is_err() {
            // Nobody keeps it, and nobody will end it: a session of the process's own store.
            std::future::pending::<()>().await;
        }
    }
}

/// The side of a session that talks to the store.
#[derive(Debug)]
pub(crate) struct SessionKeeper(watch::Sender<State>);

impl SessionKeeper {
    pub(crate) fn renewed(&self, until: Instant) {
        self.0.send_replace(State::Valid { until: Some(until) });
    }

    pub(crate) fn lost(&self) {
        self.0.send_replace(State::Lost);
    }
}
