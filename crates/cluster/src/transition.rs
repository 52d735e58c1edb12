//! What an event means for one partition: the only place where leaders, in-sync sets and epochs change (the part that Kafka's
//! `PartitionChangeBuilder` plays). Pure, so that tests and a model checker call what the controller calls.
//!
//! Not here yet, because a node alone has no use for it: fencing, in-sync changes asked for by leaders, reassignment, unclean
//! election, and election of the last known leader.

use crate::values::{NO_LEADER, PartitionState};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartitionEvent {
    /// A broker registered a new process and is about to become active.
    BrokerStarted {
        /// The broker.
        node: i32,
        /// Whether its last life ended in order. If not, the end of its log may be gone.
        clean: bool,
    },
    /// `min.insync.replicas` of the topic is now this.
    MinIsrChanged(i32),
}

/// The partition's next state, or `None` when `event` changes nothing. `may_lead` tells active brokers.
pub(crate) fn transition(
    state: &PartitionState,
    event: PartitionEvent,
    may_lead: impl Fn(i32) -> bool,
) -> Option<PartitionState> {
    let mut next = state.clone();
    match event {
        PartitionEvent::BrokerStarted { node, clean: false } => forget_unclean(&mut next, node),
        PartitionEvent::BrokerStarted { clean: true, .. } => {}
        PartitionEvent::MinIsrChanged(min_isr) if min_isr == state.min_isr => {}
        PartitionEvent::MinIsrChanged(min_isr) => {
            next.min_isr = min_isr;
            // Members were safe to elect under the old number only.
            next.elr.clear();
        }
    }
    elect(&mut next, may_lead);
    // A new epoch even if the leader is the same: after a crash its unflushed tail is gone, and clients that saw the
    // old epoch must learn that offsets may have been cut.
    let restarted =
        matches!(event, PartitionEvent::BrokerStarted { node, .. } if node == next.leader);
    if next.leader != state.leader || restarted {
        next.leader_epoch = state.leader_epoch.checked_add(1)?;
    }
    if next == *state {
        return None;
    }
    next.partition_epoch = state.partition_epoch.checked_add(1)?;
    Some(next)
}

/// A replica that may have lost its tail no longer counts as in sync, unless it is the only copy there is.
fn forget_unclean(state: &mut PartitionState, node: i32) {
    if state.replicas == [node] {
        return;
    }
    let was_electable = state.isr.contains(&node) || state.elr.contains(&node);
    state.isr.retain(|&member| member != node);
    state.elr.retain(|&member| member != node);
    if was_electable && state.isr.is_empty() && state.elr.is_empty() {
        state.last_known_elr = vec![node];
    }
}

/// The leader stays while it is in sync and active; else the first active replica in sync; else, nobody being in sync, the
/// first active eligible one (KIP-966); else nobody, and the in-sync set stays as it is.
fn elect(state: &mut PartitionState, may_lead: impl Fn(i32) -> bool) {
    let in_sync = |&node: &i32| state.isr.contains(&node) && may_lead(node);
    if in_sync(&state.leader) {
        return;
    }
    if let Some(&leader) = state.replicas.iter().find(|&node| in_sync(node)) {
        state.leader = leader;
        return;
    }
    state.leader = NO_LEADER;
    if !state.isr.is_empty() {
        return;
    }
    if let Some(&leader) = state
        .replicas
        .iter()
        .find(|&node| state.elr.contains(node) && may_lead(*node))
    {
        state.leader = leader;
        state.isr = vec![leader];
        state.elr.retain(|&member| member != leader);
    }
}

#[cfg(test)]
mod tests;
