//! Which faults befall a cluster, in which order and for how long: a function of the seed.

use std::fmt;

use anyhow::{Result, bail};

use crate::cluster::{DISK_NODE, NODES};
use crate::crew::Rng;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// SIGKILL, and started again at once or after a while.
    Kill,
    /// SIGTERM, and started again once it is gone.
    Term,
    /// SIGSTOP and SIGCONT, before the broker's session ends.
    Pause,
    /// The same, after it ended.
    LongPause,
    /// Nobody reaches the broker, nor does it reach anybody.
    Isolate,
    /// No other broker, and not the store; its clients do.
    Peers,
    /// One other broker.
    Pair,
    /// What it sends does not arrive at one other broker.
    OneWay,
    /// It hears and is heard by everybody but the store.
    FromEtcd,
    /// Part of what it sends and is sent is lost.
    Loss,
    /// What is sent to it arrives late.
    Slow,
    /// Its disk is full.
    DiskFull,
    /// SIGKILL, and in its place starts one with the same id and no data.
    Replace,
    /// Each broker is stopped and started, one after the other.
    Rolling,
    /// One broker is stopped (SIGSTOP) while another is killed.
    PauseAndKill,
    /// All brokers at once.
    KillAll,
    /// A replica of each partition of a topic goes and comes back, and a leader is killed while it copies.
    Reassign,
    /// The store is killed and started again.
    EtcdKill,
    /// The store is stopped, and goes on.
    EtcdPause,
    /// The store is gone for a minute.
    EtcdGone,
}

const KINDS: &[(Kind, &str)] = &[
    (Kind::Kill, "kill"),
    (Kind::Term, "term"),
    (Kind::Pause, "pause"),
    (Kind::LongPause, "long-pause"),
    (Kind::Isolate, "isolate"),
    (Kind::Peers, "peers"),
    (Kind::Pair, "pair"),
    (Kind::OneWay, "one-way"),
    (Kind::FromEtcd, "from-etcd"),
    (Kind::Loss, "loss"),
    (Kind::Slow, "slow"),
    (Kind::DiskFull, "disk-full"),
    (Kind::Replace, "replace"),
    (Kind::Rolling, "rolling"),
    (Kind::PauseAndKill, "pause-and-kill"),
    (Kind::KillAll, "kill-all"),
    (Kind::Reassign, "reassign"),
    (Kind::EtcdKill, "etcd-kill"),
    (Kind::EtcdPause, "etcd-pause"),
    (Kind::EtcdGone, "etcd-gone"),
];

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        let row = KINDS.iter().find(|(kind, _)| *kind == self);
        row.map_or("", |(_, name)| name)
    }

    fn wants_etcd(self) -> bool {
        matches!(
            self,
            Kind::FromEtcd | Kind::EtcdKill | Kind::EtcdPause | Kind::EtcdGone
        )
    }
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// Whom it befalls.
    pub(crate) node: i32,
    /// Another broker, where the kind wants one.
    pub(crate) peer: i32,
    /// For how long.
    pub(crate) length_ms: u64,
    /// How long it is quiet before.
    pub(crate) gap_ms: u64,
}

impl Fault {
    /// Whom it befalls, for people.
    pub(crate) fn target(&self) -> String {
        let Fault { node, peer, .. } = self;
        match self.kind {
            Kind::Pair => format!("{node} and {peer}"),
            Kind::OneWay => format!("{node} to {peer}"),
            Kind::PauseAndKill | Kind::Reassign => format!("{node}, {peer}"),
            Kind::Rolling | Kind::KillAll => "all".to_owned(),
            Kind::EtcdKill | Kind::EtcdPause | Kind::EtcdGone => "etcd".to_owned(),
            _ => node.to_string(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, target) = (self.kind.name(), self.target());
        write!(
            out,
            "{name} of {target}, {:.1} s",
            self.length_ms as f64 / 1e3
        )
    }
}

/// The faults of a run, one after the other without end: every kind once, in an order of its own, before any comes again.
pub(crate) struct Plan {
    rng: Rng,
    kinds: Vec<Kind>,
    session_ms: u64,
    gap_ms: u64,
    round: Vec<Kind>,
}

impl Plan {
    /// Of the kinds with these names, or with none of all that befit the cluster. A broker is declared dead `session_ms` after it
    /// was heard of last.
    pub(crate) fn new(
        seed: u64,
        names: &str,
        etcd: bool,
        session_ms: u64,
        gap_ms: u64,
    ) -> Result<Plan> {
        let named = |name: &&(Kind, &str)| {
            names.is_empty() || names.split(',').any(|wanted| wanted == name.1)
        };
        if let Some(unknown) = names
            .split(',')
            .find(|name| KINDS.iter().all(|(_, known)| known != name))
            && !names.is_empty()
        {
            let known: Vec<_> = KINDS.iter().map(|(_, name)| *name).collect();
            bail!("{unknown} is none of {}", known.join(", "));
        }
        let kinds = KINDS.iter().filter(named).map(|(kind, _)| *kind);
        Ok(Plan {
            rng: Rng(seed),
            kinds: kinds.filter(|kind| etcd || !kind.wants_etcd()).collect(),
            session_ms,
            gap_ms,
            round: Vec::new(),
        })
    }

    fn length_ms(&mut self, kind: Kind) -> u64 {
        let session = self.session_ms;
        let (least, most) = match kind {
            Kind::Kill if self.rng.below(2) == 0 => (0, 500),
            Kind::Kill
            | Kind::Isolate
            | Kind::Peers
            | Kind::Pair
            | Kind::OneWay
            | Kind::FromEtcd => (session / 4, session * 7 / 4),
            Kind::Term | Kind::Replace | Kind::KillAll | Kind::Reassign => (0, 1_000),
            Kind::Pause => (session / 10, session * 3 / 4),
            Kind::LongPause => (session * 5 / 4, session * 7 / 4),
            Kind::Loss | Kind::Slow | Kind::DiskFull => (4_000, 8_000),
            Kind::Rolling => (0, 1),
            Kind::PauseAndKill => (session / 4, session * 3 / 4),
            Kind::EtcdKill => (0, 2 * session),
            Kind::EtcdPause => (session / 4, 3 * session),
            Kind::EtcdGone => (60_000, 60_001),
        };
        least + self.rng.below((most - least).max(1))
    }
}

impl Iterator for Plan {
    type Item = Fault;

    fn next(&mut self) -> Option<Fault> {
        if self.round.is_empty() {
            self.round.clone_from(&self.kinds);
        }
        let which = self.rng.below(self.round.len().max(1) as u64) as usize;
        if which >= self.round.len() {
            return None;
        }
        let kind = self.round.swap_remove(which);
        let node = match kind {
            Kind::DiskFull => DISK_NODE,
            _ => NODES[self.rng.below(3) as usize],
        };
        let others = NODES.map(|other| (other != node).then_some(other));
        let mut others = others.into_iter().flatten();
        let peer = others.nth(self.rng.below(2) as usize).unwrap_or(node);
        Some(Fault {
            kind,
            node,
            peer,
            length_ms: self.length_ms(kind),
            gap_ms: self.gap_ms / 4 + self.rng.below(self.gap_ms * 3 / 2 + 1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64, names: &str, etcd: bool) -> Plan {
        Plan::new(seed, names, etcd, 9_000, 2_000).unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let [one, same, other] =
            [7, 7, 8].map(|seed| plan(seed, "", true).take(40).collect::<Vec<_>>());
        assert_eq!(one, same);
        assert_ne!(one, other);
    }

    #[test]
    fn every_kind_comes_once_before_any_comes_again() {
        for (etcd, count) in [(true, KINDS.len()), (false, KINDS.len() - 4)] {
            let mut kinds: Vec<_> = plan(1, "", etcd)
                .take(count)
                .map(|fault| fault.kind)
                .collect();
            kinds.sort();
            kinds.dedup();
            assert_eq!(kinds.len(), count);
        }
    }

    #[test]
    fn a_pause_ends_before_the_session_and_a_long_one_after_it() {
        for fault in plan(3, "pause,long-pause", false).take(50) {
            assert_eq!(
                fault.kind == Kind::LongPause,
                fault.length_ms > 9_000,
                "{fault}"
            );
        }
    }

    #[test]
    fn the_other_broker_is_another() {
        assert!(
            plan(5, "", true)
                .take(200)
                .all(|fault| fault.peer != fault.node)
        );
    }

    #[test]
    fn a_kind_that_nobody_knows_is_refused() {
        assert!(Plan::new(1, "kill,flood", false, 9_000, 1).is_err());
    }
}
