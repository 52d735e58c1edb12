//! Metrics of the group coordinators.

use coordinator::{EndedRebalance, GroupStats, RebalanceReason};
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::{counter, counters, gauge};

/// What the group coordinators of this broker have and do.
pub(crate) struct GroupMetrics {
    /// By type and state.
    pub(crate) groups: IntGaugeVec,
    pub(crate) members: IntGauge,
    pub(crate) offsets: IntGauge,
    /// By reason.
    rebalances: IntCounterVec,
    /// By type and reason.
    rebalance_seconds: HistogramVec,
    offset_commits: IntCounter,
    offset_deletions: IntCounter,
    offset_expirations: IntCounter,
}

/// Rebalances wait for members, so they take seconds.
const REBALANCE_SECONDS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// Types and states of groups that last, as ListGroups names them; each has its series also when it has no groups.
const GROUP_STATES: [(&str, &str); 8] = [
    ("classic", "Empty"),
    ("classic", "PreparingRebalance"),
    ("classic", "CompletingRebalance"),
    ("classic", "Stable"),
    ("consumer", "Empty"),
    ("consumer", "Assigning"),
    ("consumer", "Reconciling"),
    ("consumer", "Stable"),
];

impl GroupMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let groups = IntGaugeVec::new(
            Opts::new(
                "tidewater_groups",
                "Groups coordinated here, by protocol and state.",
            ),
            &["type", "state"],
        )?;
        registry.register(Box::new(groups.clone()))?;
        let rebalance_seconds = HistogramVec::new(
            HistogramOpts::new(
                "tidewater_group_rebalance_seconds",
                "Time from the first reason for a rebalance until every member has what it shall have.",
            )
            .buckets(REBALANCE_SECONDS.to_vec()),
            &["type", "reason"],
        )?;
        registry.register(Box::new(rebalance_seconds.clone()))?;
        let counter = |name, help| counter(registry, name, help);
        let this = Self {
            groups,
            rebalance_seconds,
            members: gauge(
                registry,
                "tidewater_group_members",
                "Members of the groups coordinated here.",
            )?,
            offsets: gauge(
                registry,
                "tidewater_group_offsets",
                "Committed offsets kept here.",
            )?,
            rebalances: counters(
                registry,
                "tidewater_group_rebalances_total",
                "Rebalances begun by classic groups, and epochs begun by groups of the new protocol, by reason.",
                &["type", "reason"],
            )?,
            offset_commits: counter(
                "tidewater_group_offset_commits_total",
                "Offsets accepted from members and others.",
            )?,
            offset_deletions: counter(
                "tidewater_group_offset_deletions_total",
                "Offsets removed because somebody asked for it.",
            )?,
            offset_expirations: counter(
                "tidewater_group_offset_expirations_total",
                "Offsets removed by retention, or with their topic.",
            )?,
        };
        for reason in RebalanceReason::ALL {
            this.rebalances
                .with_label_values(&["classic", reason.label()]);
        }
        Ok(this)
    }

    /// Adds what a coordinator has counted since it was last asked.
    pub(crate) fn add(&self, before: &GroupStats, now: &GroupStats, ended: &[EndedRebalance]) {
        let grown = |now: u64, before: u64| now.saturating_sub(before);
        for (at, reason) in RebalanceReason::ALL.iter().enumerate() {
            self.rebalances
                .with_label_values(&["classic", reason.label()])
                .inc_by(grown(now.rebalances[at], before.rebalances[at]));
        }
        for (reason, count) in &now.consumer_rebalances {
            let before = before.consumer_rebalances.get(reason).copied();
            self.rebalances
                .with_label_values(&["consumer", reason])
                .inc_by(grown(*count, before.unwrap_or(0)));
        }
        for ended in ended {
            self.rebalance_seconds
                .with_label_values(&[ended.group_type, ended.reason])
                .observe(ended.duration_ms as f64 / 1_000.0);
        }
        self.offset_commits
            .inc_by(grown(now.offset_commits, before.offset_commits));
        self.offset_deletions
            .inc_by(grown(now.offset_deletions, before.offset_deletions));
        self.offset_expirations
            .inc_by(grown(now.offset_expirations, before.offset_expirations));
    }

    /// Shows what all coordinators have now.
    pub(crate) fn show(&self, all: &[GroupStats]) {
        self.groups.reset();
        for (kind, state) in GROUP_STATES {
            self.groups.with_label_values(&[kind, state]).set(0);
        }
        let as_gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        for (kind, state, count) in all.iter().flat_map(|stats| &stats.groups) {
            self.groups
                .with_label_values(&[*kind, *state])
                .add(as_gauge(*count));
        }
        self.members
            .set(as_gauge(all.iter().map(|stats| stats.members).sum()));
        self.offsets
            .set(as_gauge(all.iter().map(|stats| stats.offsets).sum()));
    }
}
