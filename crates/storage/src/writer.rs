//! The writer of one log directory: whoever has the writer's part takes all that is queued at once, and appends it log by
//! log.
//!
//! There is no timer: while one round is written the next one gathers, so groups grow with the load. The queue has no
//! limit of its own; who submits holds a permit for the bytes of the request they came in, and that bounds it.
//!
//! The part is a thread's, with one exception. A submission that finds the writer idle, is small and asks for no sync is
//! written at once by the thread that brings it, because waking another one costs several times the write. It writes one
//! round and never waits for the part, and after a slow write the thread has the part alone for a while: a slow disk
//! stops the writer, not those who submit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::append::{Appended, QueuedBatch, Run, Stop, fail_rest};
use crate::error::AppendError;
use crate::log_dir::LogDir;
use crate::partition_log::{LogState, PartitionLog};

/// Takes the results of a submission, in the order of its jobs.
pub(crate) type Done = Box<dyn FnOnce(Vec<Result<Appended, AppendError>>) + Send>;

/// Jobs that are answered together.
pub(crate) struct Submission {
    pub(crate) jobs: Vec<QueuedBatch>,
    pub(crate) done: Done,
}

#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    ready: Condvar,
}

#[derive(Default)]
struct Waiting {
    submissions: Vec<Submission>,
    closed: bool,
    /// Somebody has the writer's part.
    writing: bool,
    /// Rounds that the writer thread keeps to itself after a slow one.
    slow_rounds: u32,
}

/// A round that takes longer than this is slow: the page cache is throttled, or the disk is.
const SLOW: Duration = Duration::from_millis(2);
const ROUNDS_AFTER_SLOW: u32 = 256;

impl Queue {
    /// Adds a submission; gives it back when the queue is closed. With `may_write`, and when nobody has the writer's part,
    /// the caller gets it together with the submission, and must `write_now`.
    fn push(&self, submission: Submission, may_write: bool) -> Pushed {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Pushed::Closed(submission);
        }
        let idle = !waiting.writing && waiting.submissions.is_empty();
        if may_write && idle && waiting.slow_rounds == 0 {
            waiting.writing = true;
            return Pushed::Write(submission);
        }
        waiting.submissions.push(submission);
        let asleep = !waiting.writing;
        drop(waiting);
        if asleep {
            self.ready.notify_one();
        }
        Pushed::Queued
    }

    /// Gives the writer's part back after a round; what has gathered meanwhile is the writer thread's.
    fn release(&self, took: Duration) {
        let mut waiting = self.waiting.lock();
        waiting.writing = false;
        waiting.slow_rounds = match took > SLOW {
            true => ROUNDS_AFTER_SLOW,
            false => waiting.slow_rounds.saturating_sub(1),
        };
        let more = !waiting.submissions.is_empty() || waiting.closed;
        drop(waiting);
        if more {
            self.ready.notify_all();
        }
    }

    /// Takes the writer's part and all that is queued, swapped against `round`, which is empty; `false` once the queue is
    /// closed and drained.
    fn take(&self, round: &mut Vec<Submission>) -> bool {
        let mut waiting = self.waiting.lock();
        while waiting.writing || waiting.submissions.is_empty() {
            if waiting.closed && !waiting.writing {
                return false;
            }
            self.ready.wait(&mut waiting);
        }
        waiting.writing = true;
        std::mem::swap(round, &mut waiting.submissions);
        true
    }

    /// Lets the writer finish what is queued and stop.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.ready.notify_all();
    }

    /// Stops the writer after its current round; what is queued is dropped unanswered, as a crash would.
    pub(crate) fn abandon(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        let dropped = std::mem::take(&mut waiting.submissions);
        drop(waiting);
        drop(dropped);
        self.ready.notify_all();
    }
}

/// The body of the writer thread; returns when the queue is closed.
pub(crate) fn run(dir: &Arc<LogDir>) {
    // Should anything panic, the directory says so instead of leaving every producer waiting.
    let _guard = PanicGuard(dir);
    let mut round = Vec::new();
    while dir.queue.take(&mut round) {
        let began = now();
        write_round(dir, &mut round);
        dir.queue.release(began.elapsed());
    }
}

/// Hands a submission to the writer, or is the writer for one round. Gives the submission back when the queue is closed.
pub(crate) fn submit(dir: &Arc<LogDir>, submission: Submission) -> Result<(), Submission> {
    let may_write = is_quick(dir, &submission);
    match dir.queue.push(submission, may_write) {
        Pushed::Queued => Ok(()),
        Pushed::Closed(submission) => Err(submission),
        Pushed::Write(submission) => {
            let guard = PanicGuard(dir);
            let began = now();
            write_round(dir, &mut vec![submission]);
            dir.queue.release(began.elapsed());
            drop(guard);
            Ok(())
        }
    }
}

/// Whether writing it takes microseconds: few bytes, no sync, and no log that somebody is busy with.
fn is_quick(dir: &LogDir, submission: &Submission) -> bool {
    let limit = dir.shared.options.inline_append_bytes;
    let bytes: usize = submission.jobs.iter().map(|job| job.batch.len()).sum();
    let quick = |job: &QueuedBatch| {
        job.log.options.load().flush_messages == i64::MAX && !job.log.state.is_locked()
    };
    bytes <= limit && submission.jobs.iter().all(quick)
}

/// What became of a submission.
enum Pushed {
    Queued,
    Write(Submission),
    Closed(Submission),
}

#[allow(
    clippy::disallowed_methods,
    reason = "only to tell a slow write from a quick one"
)]
fn now() -> Instant {
    Instant::now()
}

struct PanicGuard<'a>(&'a Arc<LogDir>);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.go_offline("the writer panicked");
            self.0.queue.abandon();
            self.0.queue.release(Duration::ZERO);
        }
    }
}

/// Answers that are complete only when all logs of a submission were written.
struct Pending {
    results: Vec<Option<Result<Appended, AppendError>>>,
    missing: usize,
    done: Option<Done>,
}

fn write_round(dir: &Arc<LogDir>, round: &mut Vec<Submission>) {
    let mut pending = Vec::with_capacity(round.len());
    let mut queued = Vec::new();
    for (number, submission) in round.drain(..).enumerate() {
        let missing = submission.jobs.len();
        let results = std::iter::repeat_with(|| None).take(missing).collect();
        pending.push(Pending {
            results,
            missing,
            done: Some(submission.done),
        });
        queued.extend(submission.jobs.into_iter().map(|job| QueuedBatch {
            submission: number,
            ..job
        }));
    }
    // Stable, so that the jobs of one log stay in the order of submission.
    queued.sort_by_key(|job| job.log.log_id);
    let mut journaled = Vec::new();
    for group in queued.chunk_by_mut(|a, b| a.log.log_id == b.log.log_id) {
        let log = Arc::clone(&group[0].log);
        if log.options.load().flush_messages == 1 {
            journaled.push(group);
            continue;
        }
        log.append_group(group);
        deliver(&mut pending, group);
    }
    if !journaled.is_empty() {
        append_journaled(dir, &mut journaled);
        journaled
            .into_iter()
            .for_each(|group| deliver(&mut pending, group));
    }
}

fn deliver(pending: &mut [Pending], group: &mut [QueuedBatch]) {
    for job in group {
        let answers = &mut pending[job.submission];
        answers.results[job.job] = job.outcome.take();
        answers.missing -= 1;
        if answers.missing == 0
            && let Some(done) = answers.done.take()
        {
            let results = answers.results.drain(..);
            done(
                results
                    .map(|result| result.expect("every job got its outcome"))
                    .collect(),
            );
        }
    }
}

/// A log whose lock is held while the journal is written, with its jobs and how far they are.
struct Open<'a> {
    log: &'a PartitionLog,
    state: MutexGuard<'a, LogState>,
    next: Option<usize>,
}

/// Appends groups of logs that want every write on the disk: all into the journal, one sync, then into the segments.
fn append_journaled(dir: &LogDir, groups: &mut [&mut [QueuedBatch]]) {
    let logs: Vec<Arc<PartitionLog>> = groups
        .iter()
        .map(|group| Arc::clone(&group[0].log))
        .collect();
    let mut open: Vec<Open<'_>> = logs
        .iter()
        .map(|log| Open {
            log,
            state: log.lock(),
            next: Some(0),
        })
        .collect();
    while open.iter().any(|entry| entry.next.is_some()) {
        let planned = plan_all(&mut open, groups);
        let runs = open
            .iter()
            .zip(&planned)
            .filter_map(|(entry, plan)| Some((entry.log, &plan.as_ref()?.0)));
        let written = dir.journal.write(runs);
        if let Err(error) = &written
            && !error.no_space
        {
            dir.go_offline(&error.to_string());
        }
        for ((entry, plan), group) in open.iter_mut().zip(planned).zip(groups.iter_mut()) {
            let Some((run, stop)) = plan else { continue };
            let at = entry.next.take().unwrap_or(0);
            let outcome = match &written {
                Ok(()) => entry.log.write_run(&mut entry.state, run, group),
                Err(error) => {
                    Err(entry
                        .log
                        .abandon_run(&mut entry.state, run, group, error.clone()))
                }
            };
            match outcome {
                Ok(()) => entry.next = entry.log.resume(&mut entry.state, stop, group),
                Err(error) => fail_rest(group, at, &error),
            }
        }
    }
    for mut entry in open {
        entry.log.save_if_due(&mut entry.state);
        drop(entry.state);
        dir.shared.events.visible_offset_moved(entry.log);
    }
}

fn plan_all(open: &mut [Open<'_>], groups: &mut [&mut [QueuedBatch]]) -> Vec<Option<(Run, Stop)>> {
    let each = open.iter_mut().zip(groups.iter_mut());
    each.map(|(entry, group)| {
        entry
            .next
            .map(|at| entry.log.plan(&mut entry.state, group, at))
    })
    .collect()
}
