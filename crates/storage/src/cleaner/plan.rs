//! What of a log is dirty, whether that is reason enough to clean it, and in which pieces (Kafka's `LogCleanerManager`).

use std::sync::Arc;

use crate::options::LogOptions;
use crate::partition_log::PartitionLog;
use crate::segment::Segment;

/// What could be cleaned of a log now.
#[derive(Debug, Clone)]
pub(crate) struct Cleanable {
    /// Sealed segments in which every transaction is decided and every record replicated and old enough.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// The dirty part begins here, perhaps within a segment.
    pub(crate) first_dirty: i64,
    /// Where the segments end.
    pub(crate) end: i64,
    pub(crate) clean_bytes: u64,
    pub(crate) dirty_bytes: u64,
    /// By how much the oldest dirty record has passed `max.compaction.lag.ms`.
    pub(crate) overdue_ms: i64,
}

impl Cleanable {
    /// The dirty share of what may be cleaned.
    pub(crate) fn ratio(&self) -> f64 {
        let total = self.clean_bytes.saturating_add(self.dirty_bytes);
        if total == 0 {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "a share of sizes")]
        let ratio = self.dirty_bytes as f64 / total as f64;
        ratio
    }

    pub(crate) fn is_due(&self, options: &LogOptions) -> bool {
        let overdue = self.overdue_ms > 0 && self.dirty_bytes > 0;
        overdue || self.ratio() > options.min_cleanable_dirty_ratio
    }

    /// Segments below `end` in groups, each of which becomes one: no larger together than a segment may be, so that the
    /// log does not fall into ever smaller pieces.
    pub(crate) fn groups(&self, end: i64, segment_bytes: u64) -> Vec<&[Arc<Segment>]> {
        let upto = self
            .segments
            .partition_point(|segment| segment.base_offset < end);
        let mut groups = Vec::new();
        let mut rest = &self.segments[..upto];
        while let Some(first) = rest.first() {
            let mut bytes = 0u64;
            let fits = |segment: &&Arc<Segment>| {
                bytes = bytes.saturating_add(segment.size());
                let span = segment.facts().end_offset.saturating_sub(first.base_offset);
                bytes <= segment_bytes && span <= i64::from(i32::MAX)
            };
            let count = rest.iter().take_while(fits).count();
            let (group, others) = rest.split_at(count.max(1));
            groups.push(group);
            rest = others;
        }
        groups
    }
}

impl PartitionLog {
    /// What could be cleaned at `now_ms`. Reads nothing.
    pub(crate) fn cleanable(&self, now_ms: i64) -> Cleanable {
        let options = self.options.load();
        let listed = self.segments.load_full();
        let start = self.log_start_offset();
        let known = self.cleaning.offsets().first_dirty;
        // A log that lost its end, or that this process never cleaned, begins anew.
        let first_dirty = if (start..=self.log_end_offset()).contains(&known) {
            known
        } else {
            start
        };
        let stable = self.last_stable_offset();
        let youngest_ms = now_ms.saturating_sub(options.min_compaction_lag_ms.max(0));
        let may_clean = |segment: &&Arc<Segment>| {
            let facts = segment.facts();
            let dirty = facts.end_offset > first_dirty;
            let too_young =
                options.min_compaction_lag_ms > 0 && dirty && facts.max_timestamp > youngest_ms;
            facts.sealed && facts.end_offset <= stable && !too_young
        };
        let sealed = &listed[..listed.len().saturating_sub(1)];
        let segments: Vec<_> = sealed.iter().take_while(may_clean).cloned().collect();
        let of = |wanted: fn(i64, &Segment) -> bool| -> u64 {
            let wanted = segments
                .iter()
                .filter(|segment| wanted(first_dirty, segment));
            wanted.map(|segment| segment.size()).sum()
        };
        Cleanable {
            first_dirty,
            end: segments
                .last()
                .map_or(first_dirty, |last| last.facts().end_offset)
                .max(first_dirty),
            clean_bytes: of(|first_dirty, segment| segment.base_offset < first_dirty),
            dirty_bytes: of(|first_dirty, segment| segment.facts().end_offset > first_dirty),
            overdue_ms: overdue_ms(sealed, first_dirty, now_ms, options.max_compaction_lag_ms),
            segments,
        }
    }
}

fn overdue_ms(sealed: &[Arc<Segment>], first_dirty: i64, now_ms: i64, lag_ms: i64) -> i64 {
    let dirty = sealed.iter().map(|segment| segment.facts());
    let dirty = dirty.filter(|facts| facts.end_offset > first_dirty);
    let oldest = dirty
        .map(|facts| facts.first_timestamp)
        .filter(|time| *time > 0)
        .min();
    let clean_until = now_ms.saturating_sub(lag_ms.max(0));
    oldest.map_or(0, |oldest| clean_until.saturating_sub(oldest).max(0))
}
