//! What the rules found.

use std::collections::BTreeMap;
use std::fmt;

use crate::facts::Facts;
use crate::load::{Action, History, NEVER, Op, UNKNOWN};

/// How many of a kind are told in full; the others are counted.
const TOLD: usize = 10;

/// Anomalies by rule and kind.
#[derive(Debug, Default)]
pub struct Report {
    found: BTreeMap<(u8, &'static str), Found>,
}

/// The anomalies of one kind.
#[derive(Debug, Default)]
pub struct Found {
    /// How many break a promise.
    pub count: u64,
    /// How many were not promised never to happen, as duplicates without idempotence.
    pub allowed: u64,
    /// The first of them, those that are allowed only if there is nothing else.
    pub told: Vec<String>,
}

impl Report {
    /// Where the rule with this number reports to.
    pub fn of(&mut self, rule: u8) -> Sink<'_> {
        Sink { report: self, rule }
    }

    /// How many anomalies break a promise.
    pub fn total(&self) -> u64 {
        self.found.values().map(|found| found.count).sum()
    }

    /// How many of one kind break a promise.
    pub fn count(&self, rule: u8, kind: &str) -> u64 {
        let of_kind = |((number, name), found): (&(u8, &str), &Found)| {
            (*number == rule && *name == kind).then_some(found.count)
        };
        self.found.iter().find_map(of_kind).unwrap_or(0)
    }

    /// Everything found, by rule and kind.
    pub fn found(&self) -> impl Iterator<Item = (u8, &'static str, &Found)> {
        self.found
            .iter()
            .map(|((rule, kind), found)| (*rule, *kind, found))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (rule, kind, found) in self.found() {
            writeln!(
                out,
                "rule {rule} {kind}: {} ({} allowed)",
                found.count, found.allowed
            )?;
            for told in &found.told {
                writeln!(out, "    {told}")?;
            }
        }
        Ok(())
    }
}

/// Takes the anomalies of one rule.
#[derive(Debug)]
pub struct Sink<'r> {
    report: &'r mut Report,
    rule: u8,
}

impl Sink<'_> {
    /// A promise is broken.
    pub fn broken(&mut self, kind: &'static str, tell: impl FnOnce() -> String) {
        let found = self.report.found.entry((self.rule, kind)).or_default();
        if found.count == 0 {
            found.told.clear();
        }
        found.count += 1;
        if found.told.len() < TOLD {
            found.told.push(tell());
        }
    }

    /// The same, unless it was `allowed`.
    pub fn broken_unless(
        &mut self,
        allowed: bool,
        kind: &'static str,
        tell: impl FnOnce() -> String,
    ) {
        if !allowed {
            return self.broken(kind, tell);
        }
        let found = self.report.found.entry((self.rule, kind)).or_default();
        found.allowed += 1;
        if found.count == 0 && found.told.len() < TOLD {
            found.told.push(tell());
        }
    }
}

impl Facts<'_> {
    /// A value, for people: what and where, and who wrote it.
    pub fn tell_value(&self, value: u32) -> String {
        let known = &self.values[value as usize];
        let partition = self.history.partitions.name(known.partition);
        let name = self.history.values[value as usize];
        let place = match (known.first, known.last) {
            (UNKNOWN, _) => "no offset known".to_owned(),
            (first, last) if first == last => format!("offset {first}"),
            (first, last) => format!("offsets {first} to {last}"),
        };
        match self.writer(value) {
            Some(op) => format!("{name} ({partition}, {place}) of {}", self.tell(op)),
            None => format!("{name} ({partition}, {place}) of nobody"),
        }
    }

    /// An operation, for people: whose and which, when, and what is known of it.
    pub fn tell(&self, op: &Op) -> String {
        let process = self.history.names.name(op.process);
        let complete = match op.complete {
            NEVER => "?".to_owned(),
            at => at.to_string(),
        };
        format!(
            "[{process} {} {}–{complete} {:?}]",
            op.id, op.invoke, op.outcome
        )
    }
}

/// How much happened.
#[derive(Debug, Default)]
pub struct Figures {
    operations: usize,
    acknowledged: usize,
    read: usize,
    /// By outcome: ok, fail, info.
    transactions: [usize; 3],
    scanned: usize,
    /// By kind of fault: how many, and the longest that a write took which was under way between its beginning and the next's, in
    /// microseconds.
    faults: BTreeMap<String, (usize, u64)>,
}

impl Figures {
    /// Counts a history.
    pub fn of(history: &History) -> Figures {
        let mut figures = Figures {
            operations: history.ops.len(),
            ..Figures::default()
        };
        for op in &history.ops {
            match op.action {
                Action::Scan { .. } => figures.scanned += op.reads().1.len(),
                _ => figures.read += op.reads().1.len(),
            }
            if op.is_ok() {
                figures.acknowledged += op.sends().len();
            }
            if op.is_txn() {
                figures.transactions[op.outcome as usize] += 1;
            }
        }
        figures.count_faults(history);
        figures
    }

    fn count_faults(&mut self, history: &History) {
        let mut faults: Vec<(u64, u32, u64)> = Vec::new();
        for op in &history.ops {
            if let Action::Fault { kind, .. } = op.action {
                faults.push((op.invoke, kind, 0));
            }
        }
        for op in history.ops.iter().filter(|op| op.complete != NEVER) {
            if !matches!(op.action, Action::Send { .. }) {
                continue;
            }
            // From the one during which it began to the one during which it ended.
            let first = faults.partition_point(|(began, ..)| *began <= op.invoke);
            let later = faults.partition_point(|(began, ..)| *began <= op.complete);
            for (_, _, longest) in &mut faults[first.saturating_sub(1)..later] {
                *longest = op.complete.saturating_sub(op.invoke).max(*longest);
            }
        }
        for (_, kind, longest) in faults {
            let name = history.names.name(kind).to_owned();
            let (count, known) = self.faults.entry(name).or_default();
            (*count, *known) = (*count + 1, longest.max(*known));
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [committed, aborted, unknown] = self.transactions;
        writeln!(
            out,
            "{} operations: {} records acknowledged, {} read, {} there in the end\n\
             transactions: {committed} committed, {aborted} aborted, {unknown} unknown",
            self.operations, self.acknowledged, self.read, self.scanned
        )?;
        for (kind, (count, longest)) in &self.faults {
            let longest = *longest as f64 / 1e6;
            writeln!(
                out,
                "{count} × {kind}: the longest write took {longest:.1} s"
            )?;
        }
        Ok(())
    }
}
