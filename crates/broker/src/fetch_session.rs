//! Incremental fetch sessions (KIP-227): a consumer names its partitions once, then only what changes.
//!
//! Behaviour follows `FetchSession.scala`: F11–F13 of the protocol notes. A session's partitions are kept in order, and
//! those that returned data move to the back, so that every partition gets its turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;
use wire::ResponseError;

/// A request that opens no session, or closes one.
pub(crate) const FINAL_EPOCH: i32 = -1;
/// A request that names all its partitions and would like a session.
const INITIAL_EPOCH: i32 = 0;
/// Partitions one session may hold; a client that wants more names them in every request. Kafka sets no such bound, and a
/// thousand sessions of all that fits into a request would hold tens of gigabytes.
const SESSION_PARTITIONS_MAX: usize = 20_000;
/// A session idle for less than this is not evicted for another (`MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`).
const EVICTION_MIN: Duration = Duration::from_secs(120);

/// A partition as fetch requests name it: by topic id from v13 on, by name before.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TopicPartition {
    pub(crate) topic: TopicRef,
    pub(crate) partition: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum TopicRef {
    Id(Uuid),
    Name(Arc<str>),
}

/// What a client wants of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) fetch_offset: i64,
    pub(crate) bytes_max: i32,
    /// −1 when the client does not know it.
    pub(crate) current_leader_epoch: i32,
    /// −1 when the client does not know it.
    pub(crate) last_fetched_epoch: i32,
}

/// What a partition's last answer said, to know whether the next one says anything new.
#[derive(Debug, Clone, Copy)]
struct Told {
    high_watermark: i64,
    log_start_offset: i64,
}

const TOLD_NOTHING: Told = Told {
    high_watermark: -1,
    log_start_offset: -1,
};

/// What one partition's answer holds, as far as a session cares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given {
    pub(crate) high_watermark: i64,
    pub(crate) log_start_offset: i64,
    pub(crate) has_records: bool,
    pub(crate) is_error: bool,
    /// A diverging epoch or a preferred replica: always told.
    pub(crate) redirects: bool,
}

#[derive(Debug)]
struct Slot {
    key: TopicPartition,
    wanted: Wanted,
    told: Told,
}

/// The partitions of one session, in the order in which they will be served.
#[derive(Debug)]
struct Session {
    next_epoch: i32,
    uses_topic_ids: bool,
    slots: Vec<Slot>,
    index: HashMap<TopicPartition, usize>,
}

impl Session {
    fn new(uses_topic_ids: bool, partitions: &[(TopicPartition, Wanted)]) -> Self {
        let mut session = Self {
            next_epoch: 1,
            uses_topic_ids,
            slots: Vec::new(),
            index: HashMap::new(),
        };
        session.want(partitions);
        session
    }

    fn want(&mut self, partitions: &[(TopicPartition, Wanted)]) {
        for (key, wanted) in partitions {
            match self.index.get(key) {
                Some(&at) => self.slots[at].wanted = *wanted,
                None => {
                    self.index.insert(key.clone(), self.slots.len());
                    self.slots.push(Slot {
                        key: key.clone(),
                        wanted: *wanted,
                        told: TOLD_NOTHING,
                    });
                }
            }
        }
    }

    fn forget(&mut self, partitions: &[TopicPartition]) {
        if partitions.is_empty() {
            return;
        }
        let gone: std::collections::HashSet<&TopicPartition> = partitions.iter().collect();
        self.slots.retain(|slot| !gone.contains(&slot.key));
        self.reindex();
    }

    fn reindex(&mut self) {
        self.index = self
            .slots
            .iter()
            .enumerate()
            .map(|(at, slot)| (slot.key.clone(), at))
            .collect();
    }

    /// Whether the answer for a partition must be sent; remembers what is sent (`FetchSession.maybeUpdateResponseData`).
    fn must_tell(&mut self, key: &TopicPartition, given: &Given) -> bool {
        let Some(&at) = self.index.get(key) else {
            return true;
        };
        let told = &mut self.slots[at].told;
        let news = given.has_records
            || given.redirects
            || given.is_error
            || told.high_watermark != given.high_watermark
            || told.log_start_offset != given.log_start_offset;
        *told = Told {
            high_watermark: given.high_watermark,
            log_start_offset: given.log_start_offset,
        };
        if given.is_error {
            // After an error the high watermark counts as untold, so that recovery is reported.
            told.high_watermark = -1;
        }
        news
    }

    /// Partitions that returned data go to the back of the line.
    fn rotate(&mut self, served: &[TopicPartition]) {
        if served.is_empty() || served.len() == self.slots.len() {
            return;
        }
        let served: std::collections::HashSet<&TopicPartition> = served.iter().collect();
        let (back, mut front): (Vec<_>, Vec<_>) = self
            .slots
            .drain(..)
            .partition(|slot| served.contains(&slot.key));
        front.extend(back);
        self.slots = front;
        self.reindex();
    }
}

struct Cached {
    session: Arc<Mutex<Session>>,
    created: Instant,
    used: Instant,
    size: usize,
}

/// The sessions of one broker, at most `max.incremental.fetch.session.cache.slots`.
pub(crate) struct FetchSessions {
    slots_max: usize,
    sessions: Mutex<HashMap<i32, Cached>>,
    next_id: AtomicI32,
}

/// One request's place in a session, or outside of any.
#[derive(Debug, Clone)]
pub(crate) struct SessionHandle {
    id: i32,
    session: Option<Arc<Mutex<Session>>>,
    is_incremental: bool,
}

/// What a fetch request comes to once its session is known.
#[derive(Debug)]
pub(crate) struct FetchPlan {
    pub(crate) handle: SessionHandle,
    pub(crate) partitions: Vec<(TopicPartition, Wanted)>,
}

/// The session part of a fetch request.
pub(crate) struct SessionRequest<'a> {
    pub(crate) id: i32,
    pub(crate) epoch: i32,
    pub(crate) uses_topic_ids: bool,
    pub(crate) partitions: &'a [(TopicPartition, Wanted)],
    pub(crate) forgotten: &'a [TopicPartition],
}

impl FetchSessions {
    /// `first_id` should be random, so that ids of before a restart are not mistaken for new ones.
    pub(crate) fn new(slots_max: usize, first_id: i32) -> Self {
        Self {
            slots_max,
            sessions: Mutex::default(),
            next_id: AtomicI32::new(first_id.saturating_abs().max(1)),
        }
    }

    /// Resolves a request's session. Errors: 70 for an unknown id, 71 for a wrong epoch, 106 when a session of names is
    /// continued with ids or the other way round.
    pub(crate) fn plan(
        &self,
        request: &SessionRequest<'_>,
        now: Instant,
    ) -> Result<FetchPlan, ResponseError> {
        if request.epoch == FINAL_EPOCH || request.epoch == INITIAL_EPOCH {
            if request.id != 0 {
                self.sessions.lock().remove(&request.id);
            }
            let handle = if request.epoch == INITIAL_EPOCH {
                self.open(request, now)
            } else {
                SessionHandle {
                    id: 0,
                    session: None,
                    is_incremental: false,
                }
            };
            return Ok(FetchPlan {
                handle,
                partitions: request.partitions.to_vec(),
            });
        }
        self.resume(request, now)
    }

    fn resume(
        &self,
        request: &SessionRequest<'_>,
        now: Instant,
    ) -> Result<FetchPlan, ResponseError> {
        let mut sessions = self.sessions.lock();
        let cached = sessions
            .get_mut(&request.id)
            .ok_or(ResponseError::FetchSessionIdNotFound)?;
        let shared = Arc::clone(&cached.session);
        let mut session = shared.lock();
        if session.next_epoch != request.epoch {
            return Err(ResponseError::InvalidFetchSessionEpoch);
        }
        if session.uses_topic_ids != request.uses_topic_ids {
            return Err(ResponseError::FetchSessionTopicIdError);
        }
        if session.slots.len().saturating_add(request.partitions.len()) > SESSION_PARTITIONS_MAX {
            // The client starts over with a full request, and goes on without a session.
            drop(session);
            sessions.remove(&request.id);
            return Err(ResponseError::FetchSessionIdNotFound);
        }
        session.want(request.partitions);
        session.forget(request.forgotten);
        if session.slots.is_empty() {
            sessions.remove(&request.id);
            let handle = SessionHandle {
                id: 0,
                session: None,
                is_incremental: false,
            };
            return Ok(FetchPlan {
                handle,
                partitions: Vec::new(),
            });
        }
        session.next_epoch = if session.next_epoch == i32::MAX {
            1
        } else {
            session.next_epoch + 1
        };
        cached.used = now;
        cached.size = session.slots.len();
        let partitions = session
            .slots
            .iter()
            .map(|slot| (slot.key.clone(), slot.wanted))
            .collect();
        drop(session);
        let handle = SessionHandle {
            id: request.id,
            session: Some(shared),
            is_incremental: true,
        };
        Ok(FetchPlan { handle, partitions })
    }

    /// The session id of an answer that is empty because its client is throttled. A session that the request would have begun is
    /// not begun: the client asks for one again (`FetchContext.getThrottledResponse`, KIP-219).
    pub(crate) fn throttled(&self, handle: &SessionHandle) -> i32 {
        if handle.is_incremental {
            return handle.id;
        }
        if handle.id != 0 {
            self.sessions.lock().remove(&handle.id);
        }
        0
    }

    fn open(&self, request: &SessionRequest<'_>, now: Instant) -> SessionHandle {
        let none = SessionHandle {
            id: 0,
            session: None,
            is_incremental: false,
        };
        let size = request.partitions.len();
        if size == 0 || size > SESSION_PARTITIONS_MAX || self.slots_max == 0 {
            return none;
        }
        let mut sessions = self.sessions.lock();
        if sessions.len() >= self.slots_max && !evict(&mut sessions, request.partitions.len(), now)
        {
            return none;
        }
        let id = loop {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed) & i32::MAX;
            if id != 0 && !sessions.contains_key(&id) {
                break id;
            }
        };
        let session = Arc::new(Mutex::new(Session::new(
            request.uses_topic_ids,
            request.partitions,
        )));
        sessions.insert(
            id,
            Cached {
                session: Arc::clone(&session),
                created: now,
                used: now,
                size,
            },
        );
        SessionHandle {
            id,
            session: Some(session),
            is_incremental: false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.lock().len()
    }
}

/// Makes room for a session of `size` partitions: the longest idle one goes if it has been idle long enough, else the
/// smallest of those that have had their time, if it is smaller (`FetchSessionCache.tryEvict`).
fn evict(sessions: &mut HashMap<i32, Cached>, size: usize, now: Instant) -> bool {
    let idle = sessions
        .iter()
        .min_by_key(|(_, cached)| cached.used)
        .map(|(&id, cached)| (id, cached.used));
    if let Some((id, used)) = idle
        && now.saturating_duration_since(used) > EVICTION_MIN
    {
        sessions.remove(&id);
        return true;
    }
    let small = sessions
        .iter()
        .filter(|(_, cached)| now.saturating_duration_since(cached.created) > EVICTION_MIN)
        .min_by_key(|(_, cached)| cached.size)
        .map(|(&id, cached)| (id, cached.size));
    match small {
        Some((id, smallest)) if smallest < size => {
            sessions.remove(&id);
            true
        }
        _ => false,
    }
}

impl SessionHandle {
    /// The id that the response carries; 0 outside of any session.
    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    /// Decides which partitions the response names, and remembers what it says. `given` is in serving order.
    pub(crate) fn select(&self, given: &[(&TopicPartition, Given)]) -> Vec<bool> {
        let Some(session) = &self.session else {
            return vec![true; given.len()];
        };
        let mut session = session.lock();
        let selected = given
            .iter()
            .map(|(key, given)| session.must_tell(key, given) || !self.is_incremental)
            .collect();
        let served: Vec<_> = given
            .iter()
            .filter(|(_, given)| given.has_records)
            .map(|(key, _)| (*key).clone())
            .collect();
        session.rotate(&served);
        selected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(name: &str, partition: i32) -> TopicPartition {
        TopicPartition {
            topic: TopicRef::Name(name.into()),
            partition,
        }
    }

    fn from(fetch_offset: i64) -> Wanted {
        Wanted {
            fetch_offset,
            bytes_max: 1024,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
        }
    }

    fn request<'a>(
        id: i32,
        epoch: i32,
        partitions: &'a [(TopicPartition, Wanted)],
    ) -> SessionRequest<'a> {
        SessionRequest {
            id,
            epoch,
            uses_topic_ids: false,
            partitions,
            forgotten: &[],
        }
    }

    fn quiet(high_watermark: i64) -> Given {
        Given {
            high_watermark,
            log_start_offset: 0,
            has_records: false,
            is_error: false,
            redirects: false,
        }
    }

    #[tokio::test]
    async fn a_session_serves_the_partitions_it_was_opened_with_and_takes_changes() {
        let sessions = FetchSessions::new(10, 7);
        let now = crate::clock::monotonic();
        let both = [(at("a", 0), from(0)), (at("a", 1), from(0))];
        let opened = sessions
            .plan(&request(0, 0, &both), now)
            .expect("a session opens");
        assert_ne!(opened.handle.id(), 0);
        let moved = [(at("a", 1), from(5))];
        let next = sessions
            .plan(&request(opened.handle.id(), 1, &moved), now)
            .expect("the session goes on");
        assert_eq!(
            next.partitions,
            [(at("a", 0), from(0)), (at("a", 1), from(5))]
        );
    }

    #[tokio::test]
    async fn an_unknown_session_is_70_a_wrong_epoch_71_and_a_change_to_ids_106() {
        let sessions = FetchSessions::new(10, 7);
        let now = crate::clock::monotonic();
        let one = [(at("a", 0), from(0))];
        let id = sessions
            .plan(&request(0, 0, &one), now)
            .expect("opens")
            .handle
            .id();
        let code =
            |request: &SessionRequest<'_>| sessions.plan(request, now).expect_err("refused").code();
        assert_eq!(code(&request(id + 1, 1, &[])), 70);
        assert_eq!(code(&request(id, 2, &[])), 71);
        assert_eq!(
            code(&SessionRequest {
                uses_topic_ids: true,
                ..request(id, 1, &[])
            }),
            106
        );
    }

    #[tokio::test]
    async fn an_incremental_answer_names_only_partitions_with_news() {
        let sessions = FetchSessions::new(10, 7);
        let now = crate::clock::monotonic();
        let one = [(at("a", 0), from(0))];
        let full = sessions.plan(&request(0, 0, &one), now).expect("opens");
        assert_eq!(
            full.handle.select(&[(&at("a", 0), quiet(3))]),
            [true],
            "a full answer names all"
        );
        let id = full.handle.id();
        let next = |epoch| {
            sessions
                .plan(&request(id, epoch, &[]), now)
                .expect("goes on")
                .handle
        };
        assert_eq!(
            next(1).select(&[(&at("a", 0), quiet(3))]),
            [false],
            "nothing new"
        );
        assert_eq!(
            next(2).select(&[(&at("a", 0), quiet(4))]),
            [true],
            "the high watermark moved"
        );
        let error = Given {
            is_error: true,
            ..quiet(4)
        };
        assert_eq!(
            next(3).select(&[(&at("a", 0), error)]),
            [true],
            "an error is told"
        );
        assert_eq!(
            next(4).select(&[(&at("a", 0), quiet(4))]),
            [true],
            "so is the end of it"
        );
        assert_eq!(next(5).select(&[(&at("a", 0), quiet(4))]), [false]);
    }

    #[tokio::test]
    async fn partitions_that_gave_data_go_to_the_back() {
        let sessions = FetchSessions::new(10, 7);
        let now = crate::clock::monotonic();
        let three = [
            (at("a", 0), from(0)),
            (at("a", 1), from(0)),
            (at("a", 2), from(0)),
        ];
        let full = sessions.plan(&request(0, 0, &three), now).expect("opens");
        let data = Given {
            has_records: true,
            ..quiet(1)
        };
        full.handle.select(&[
            (&at("a", 0), data),
            (&at("a", 1), quiet(0)),
            (&at("a", 2), quiet(0)),
        ]);
        let next = sessions
            .plan(&request(full.handle.id(), 1, &[]), now)
            .expect("goes on");
        let order: Vec<_> = next
            .partitions
            .iter()
            .map(|(key, _)| key.partition)
            .collect();
        assert_eq!(order, [1, 2, 0]);
    }

    #[tokio::test]
    async fn forgetting_every_partition_closes_the_session() {
        let sessions = FetchSessions::new(10, 7);
        let now = crate::clock::monotonic();
        let one = [(at("a", 0), from(0))];
        let id = sessions
            .plan(&request(0, 0, &one), now)
            .expect("opens")
            .handle
            .id();
        let gone = [at("a", 0)];
        let closing = SessionRequest {
            forgotten: &gone,
            ..request(id, 1, &[])
        };
        assert_eq!(
            sessions.plan(&closing, now).expect("answers").handle.id(),
            0
        );
        assert_eq!(sessions.len(), 0);
    }

    #[tokio::test]
    async fn a_session_holds_only_so_many_partitions() {
        let sessions = FetchSessions::new(10, 7);
        let now = crate::clock::monotonic();
        let many: Vec<_> = (0..SESSION_PARTITIONS_MAX as i32)
            .map(|p| (at("a", p), from(0)))
            .collect();
        let opened = sessions.plan(&request(0, 0, &many), now).expect("answers");
        assert_ne!(opened.handle.id(), 0);
        let more = [(at("b", 0), from(0))];
        let refused = sessions.plan(&request(opened.handle.id(), 1, &more), now);
        assert_eq!(
            refused.expect_err("too many").code(),
            ResponseError::FetchSessionIdNotFound.code()
        );
        assert_eq!(sessions.len(), 0);
        let all: Vec<_> = many.into_iter().chain(more).collect();
        assert_eq!(
            sessions
                .plan(&request(0, 0, &all), now)
                .expect("answers")
                .handle
                .id(),
            0
        );
    }

    #[tokio::test]
    async fn a_full_cache_gives_no_session_until_one_has_been_idle_long_enough() {
        let sessions = FetchSessions::new(1, 7);
        let now = crate::clock::monotonic();
        let one = [(at("a", 0), from(0))];
        assert_ne!(
            sessions
                .plan(&request(0, 0, &one), now)
                .expect("opens")
                .handle
                .id(),
            0
        );
        assert_eq!(
            sessions
                .plan(&request(0, 0, &one), now)
                .expect("answers")
                .handle
                .id(),
            0
        );
        let later = now + EVICTION_MIN + Duration::from_millis(1);
        assert_ne!(
            sessions
                .plan(&request(0, 0, &one), later)
                .expect("opens")
                .handle
                .id(),
            0
        );
        assert_eq!(sessions.len(), 1);
    }
}
