//! Where a process writes its history, line by line: what was written before a kill is there after it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use kcheck::history::{Line, Op, Outcome};
use rustix::time::{ClockId, clock_gettime};

/// Microseconds of the clock that all processes of this machine share.
pub(crate) fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}

/// What the calendar says, in milliseconds: for the timestamps of records, by which brokers decide what is old.
pub(crate) fn wall_ms() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}

/// How long it is until then; nothing if it is over.
pub(crate) fn until(end_us: u64) -> Duration {
    Duration::from_micros(end_us.saturating_sub(now_us()))
}

/// The history of one process.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    process: String,
    next: u64,
}

/// What an operation is amended by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun(u64);

/// Offsets of the records sent, by partition.
pub(crate) type Told = BTreeMap<String, Vec<Option<i64>>>;

impl Journal {
    /// Appends to the file, which processes one after the other may share.
    pub(crate) fn open(path: &str, process: &str) -> Result<Journal> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Journal {
            file: file.with_context(|| path.to_owned())?,
            process: process.to_owned(),
            next: 0,
        })
    }

    /// Who it is that writes from now on.
    pub(crate) fn rename(&mut self, process: &str) {
        process.clone_into(&mut self.process);
        self.next = 0;
    }

    /// An operation begins now; `outcome` is what holds if nobody hears of it again.
    pub(crate) fn begin(&mut self, outcome: Outcome, op: Op) -> Result<Begun> {
        self.line(outcome, Some(now_us()), None, Some(op))
    }

    /// An operation that began at `invoke` is done.
    pub(crate) fn whole(&mut self, invoke: u64, op: Op) -> Result<()> {
        self.line(Outcome::Ok, Some(invoke), Some(now_us()), Some(op))?;
        Ok(())
    }

    /// The operation is further: from now on `outcome` holds if nobody hears of it again.
    pub(crate) fn amend(&mut self, begun: Begun, outcome: Outcome) -> Result<()> {
        self.amended(begun, outcome, None, Told::new())
    }

    /// The operation is over.
    pub(crate) fn end(&mut self, begun: Begun, outcome: Outcome, offsets: Told) -> Result<()> {
        self.amended(begun, outcome, Some(now_us()), offsets)
    }

    fn line(
        &mut self,
        outcome: Outcome,
        invoke: Option<u64>,
        complete: Option<u64>,
        op: Option<Op>,
    ) -> Result<Begun> {
        let id = self.next;
        self.next += 1;
        self.write(&Line {
            process: self.process.clone(),
            id,
            invoke,
            complete,
            outcome,
            op,
            offsets: BTreeMap::new(),
        })?;
        Ok(Begun(id))
    }

    fn amended(
        &mut self,
        begun: Begun,
        outcome: Outcome,
        complete: Option<u64>,
        offsets: Told,
    ) -> Result<()> {
        self.write(&Line {
            process: self.process.clone(),
            id: begun.0,
            invoke: None,
            complete,
            outcome,
            op: None,
            offsets,
        })
    }

    /// In one call, so that a kill leaves whole lines and at most one that is cut off at the end.
    fn write(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.write_all(&text)?;
        Ok(())
    }
}
