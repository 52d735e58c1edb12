//! What a heartbeat or a classic join sets in motion: the group's epoch, the target assignment, the member's next step.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use tracing::{debug, info};
use uuid::Uuid;

use super::Context;
use super::assignor::{Assignor, GroupSpec, MemberSpec};
use super::deadlines::Timer;
use super::group::{ConsumerGroup, Member, after};
use super::reconcile::Reconciliation;
use super::subscription::{PatternUpdate, Preview, Subscriptions};
use crate::error::GroupError;
use crate::records::consumer::{
    ConsumerGroupChange, CurrentAssignment, GroupEpoch, MemberState, TargetEpoch, TopicPartitions,
};
use crate::topics::TopicView;

/// A member's request, in terms of the group.
pub(super) struct Step<'a> {
    pub(super) id: &'a Arc<str>,
    pub(super) before: &'a Member,
    /// With what the request says of it.
    pub(super) after: Member,
    pub(super) replaced: Option<&'a Arc<str>>,
    /// What the member says it owns.
    pub(super) owned: Option<&'a TopicPartitions>,
}

/// What a step makes of the group, before the member itself moves.
struct Plan {
    epoch: NextEpoch,
    /// What the member shall have, if a new target assignment was computed.
    fresh_target: Option<TopicPartitions>,
    /// The topics that the member is subscribed to.
    subscribed: BTreeSet<Uuid>,
    subscription_changed: bool,
    patterns_refreshed: bool,
}

impl ConsumerGroup {
    /// Carries the group and the member one step on, and returns the member as it is then.
    ///
    /// # Errors
    /// [`GroupError::InvalidRegex`]; [`GroupError::FencedMemberEpoch`] for a member in a state of a newer broker.
    pub(super) fn progress(
        &mut self,
        ctx: &Context<'_>,
        mut step: Step<'_>,
        changes: &mut Vec<ConsumerGroupChange>,
    ) -> Result<Member, GroupError> {
        let plan = self.plan(ctx, &step, changes)?;
        self.note(ctx, &plan);
        step.after.current = self.reconciled(&step, &plan)?;
        if step.after.current != step.before.current {
            let current = Some(step.after.current.clone());
            changes.push(ConsumerGroupChange::MemberCurrent(
                step.id.to_string(),
                current,
            ));
            self.watch_revocation(ctx, step.id, &step.after);
        }
        Ok(step.after)
    }

    /// The group's part: patterns, epoch, target assignment.
    fn plan(
        &mut self,
        ctx: &Context<'_>,
        step: &Step<'_>,
        changes: &mut Vec<ConsumerGroupChange>,
    ) -> Result<Plan, GroupError> {
        let check_hash = self.is_hash_due(ctx);
        let (durable, before, after) = (&self.durable, step.before, &step.after);
        let is_new = !durable.members.contains_key(step.id);
        if is_new || after.metadata != before.metadata {
            let metadata = Some(after.metadata.clone());
            changes.push(ConsumerGroupChange::Member(step.id.to_string(), metadata));
        }
        let removed = step.replaced.into_iter().cloned().collect();
        let preview = Preview {
            durable,
            updated: Some((step.id, after)),
            removed: &removed,
        };
        let regex_changed = after.regex() != before.regex();
        let subscription_changed = regex_changed
            || after.metadata.subscribed_topic_names != before.metadata.subscribed_topic_names;
        let patterns =
            preview.update_patterns(&mut self.soft.patterns, ctx, is_new || regex_changed)?;
        changes.extend(pattern_changes(&patterns));
        let bump = Bump {
            reason: reason(&[
                // A group needs an epoch above 0 even if its first member subscribes to nothing yet.
                (
                    "subscription",
                    subscription_changed || durable.epoch.is_none(),
                ),
                ("pattern", patterns.topics_changed),
                (
                    "assignor",
                    is_new_vote(step, is_new) && assignor_changes(preview, ctx),
                ),
            ]),
            check_hash,
        };
        let subscriptions = Subscriptions::new(durable, &patterns);
        let epoch = bump.decide(ctx, preview, &subscriptions, changes);
        Ok(Plan {
            fresh_target: next_target(ctx, preview, &subscriptions, epoch.epoch, changes),
            epoch,
            subscribed: subscriptions.ids_of(after, ctx.topics),
            subscription_changed,
            patterns_refreshed: patterns.refreshed,
        })
    }

    /// Whether a subscribed topic has changed and nothing was made of it yet. Looks only if some topic has changed.
    pub(super) fn topics_changed(&mut self, ctx: &Context<'_>) -> bool {
        if !self.is_hash_due(ctx) {
            return false;
        }
        let nobody = BTreeSet::new();
        let as_it_is = Preview {
            durable: &self.durable,
            updated: None,
            removed: &nobody,
        };
        let patterns = PatternUpdate::default();
        let hash = Subscriptions::new(&self.durable, &patterns).hash(as_it_is, ctx.topics);
        if hash != self.durable.metadata_hash() {
            return true;
        }
        self.soft.hash_checked = Some((ctx.topics.revision(), self.durable.group_epoch()));
        false
    }

    /// Whether the topics may have changed since the hash was last compared, or what came of that was not stored.
    fn is_hash_due(&self, ctx: &Context<'_>) -> bool {
        self.soft.hash_checked.is_none_or(|(revision, epoch)| {
            revision != ctx.topics.revision() || self.durable.group_epoch() < epoch
        })
    }

    /// Keeps in mind what was looked at, so that it is not looked at again.
    fn note(&mut self, ctx: &Context<'_>, plan: &Plan) {
        let epoch = plan.epoch.epoch;
        if let Some(reason) = plan.epoch.reason {
            self.soft.rebalance_began(ctx.now_ms, reason, epoch);
            info!(group = %self.group_id, epoch, reason, "consumer group moves to a new epoch");
        }
        if plan.epoch.checked {
            self.soft.hash_checked = Some((ctx.topics.revision(), epoch));
        }
        if plan.patterns_refreshed {
            self.soft.patterns.checked(ctx, epoch);
        }
    }

    /// The member's part: what it has after the step.
    fn reconciled(&self, step: &Step<'_>, plan: &Plan) -> Result<CurrentAssignment, GroupError> {
        let durable = &self.durable;
        let (target_epoch, target) = match &plan.fresh_target {
            Some(fresh) => (plan.epoch.epoch, fresh),
            None => {
                let known = durable.members.contains_key(step.id);
                let of = if known {
                    step.id
                } else {
                    step.replaced.unwrap_or(step.id)
                };
                (durable.assignment_epoch(), durable.target(of))
            }
        };
        if !plan.subscription_changed && step.after.is_reconciled_to(target_epoch) {
            return Ok(step.before.current.clone());
        }
        let is_held = |topic: Uuid, partition| durable.owner(topic, partition).is_some();
        Reconciliation {
            current: &step.before.current,
            target_epoch,
            target,
            subscribed: &plan.subscribed,
            subscription_changed: plan.subscription_changed,
            is_held: &is_held,
            owned: step.owned,
        }
        .step()
    }

    /// Statement E7. Members of the classic protocol have timers of their own.
    fn watch_revocation(&mut self, ctx: &Context<'_>, id: &Arc<str>, member: &Member) {
        if member.is_classic() {
            return;
        }
        let current = &member.current;
        debug!(group = %self.group_id, member = %id, epoch = current.member_epoch, state = ?current.state, "member moved on");
        let timer = Timer::Rebalance {
            member_epoch: current.member_epoch,
        };
        if current.state == MemberState::UnrevokedPartitions {
            let at_ms = after(ctx.now_ms, member.metadata.rebalance_timeout_ms);
            self.soft.deadlines.set(id, timer, at_ms);
        } else {
            self.soft.deadlines.cancel(id, timer);
        }
    }
}

/// Whether the member may tip the choice of the assignor. Only then are all members asked.
fn is_new_vote(step: &Step<'_>, is_new: bool) -> bool {
    is_new || step.after.metadata.server_assignor != step.before.metadata.server_assignor
}

fn assignor_changes(preview: Preview<'_>, ctx: &Context<'_>) -> bool {
    let nobody = BTreeSet::new();
    let as_it_is = Preview {
        durable: preview.durable,
        updated: None,
        removed: &nobody,
    };
    preferred_assignor(preview, ctx) != preferred_assignor(as_it_is, ctx)
}

fn pattern_changes(update: &PatternUpdate) -> Vec<ConsumerGroupChange> {
    let dropped = update
        .dropped
        .iter()
        .map(|pattern| ConsumerGroupChange::Regex(pattern.clone(), None));
    let resolved = update.resolved.iter().map(|(pattern, resolved)| {
        ConsumerGroupChange::Regex(pattern.clone(), Some(resolved.clone()))
    });
    dropped.chain(resolved).collect()
}

/// The first reason that holds.
fn reason(reasons: &[(&'static str, bool)]) -> Option<&'static str> {
    reasons
        .iter()
        .find(|(_, holds)| *holds)
        .map(|(reason, _)| *reason)
}

/// Whether the group needs a new epoch.
struct Bump {
    reason: Option<&'static str>,
    /// Whether the topics may have changed since the hash was last compared.
    check_hash: bool,
}

/// The epoch that a request leads to.
struct NextEpoch {
    epoch: i32,
    /// Why it is a new one.
    reason: Option<&'static str>,
    /// Whether the topics were looked at.
    checked: bool,
}

impl Bump {
    fn decide<'a>(
        self,
        ctx: &Context<'_>,
        preview: Preview<'a>,
        subscriptions: &Subscriptions<'a>,
        changes: &mut Vec<ConsumerGroupChange>,
    ) -> NextEpoch {
        let durable = preview.durable;
        let checked = self.reason.is_some() || self.check_hash;
        let mut next = NextEpoch {
            epoch: durable.group_epoch(),
            reason: self.reason,
            checked,
        };
        if !checked {
            return next;
        }
        let metadata_hash = subscriptions.hash(preview, ctx.topics);
        if metadata_hash != durable.metadata_hash() {
            next.reason = next.reason.or(Some("topics"));
        }
        if next.reason.is_some() {
            next.epoch = next.epoch.saturating_add(1);
            let epoch = GroupEpoch {
                epoch: next.epoch,
                metadata_hash,
            };
            changes.push(ConsumerGroupChange::Group(Some(epoch)));
        }
        if durable.has_legacy_partitions {
            changes.push(ConsumerGroupChange::LegacyPartitions(None));
        }
        next
    }
}

/// The assignor that most members ask for; the broker's first where nobody asks (`computePreferredServerAssignor`). Where as
/// many ask for one as for another, the broker's order decides.
pub(super) fn preferred_assignor<'a>(preview: Preview<'_>, ctx: &Context<'a>) -> Option<&'a str> {
    let supported = &ctx.options.consumer.assignors;
    let mut votes = vec![0usize; supported.len()];
    for (_, member) in preview.members() {
        let wanted = member.metadata.server_assignor.as_ref();
        if let Some(place) = supported.iter().position(|name| Some(name) == wanted) {
            votes[place] += 1;
        }
    }
    let most = votes.iter().max().copied()?;
    let place = votes.iter().position(|votes| *votes == most)?;
    supported.get(place).map(String::as_str)
}

/// Whether the last target assignment is old enough for another (KIP-1263). A time that lies ahead is a clock set back.
pub(super) fn may_assign(last: Option<TargetEpoch>, ctx: &Context<'_>) -> bool {
    let last_ms = last.map_or(0, |last| last.timestamp_ms);
    let interval_ms = ctx.config.assignment_interval_ms;
    last_ms == 0 || last_ms > ctx.now_ms || ctx.now_ms >= after(last_ms, interval_ms)
}

/// Computes a new target assignment if the group has a new epoch, and returns the changing member's part of it.
fn next_target<'a>(
    ctx: &Context<'_>,
    preview: Preview<'a>,
    subscriptions: &Subscriptions<'a>,
    group_epoch: i32,
    changes: &mut Vec<ConsumerGroupChange>,
) -> Option<TopicPartitions> {
    let durable = preview.durable;
    if group_epoch <= durable.assignment_epoch() || !may_assign(durable.target_epoch, ctx) {
        return None;
    }
    let assignor = preferred_assignor(preview, ctx)
        .and_then(Assignor::named)
        .unwrap_or(Assignor::Uniform);
    let group = group_spec(preview, subscriptions, ctx.topics);
    let mut targets = assignor.assign(&group);
    for (id, target) in &targets {
        if durable.targets.get(id) != Some(target) {
            let change = ConsumerGroupChange::MemberTarget(id.to_string(), Some(target.clone()));
            changes.push(change);
        }
    }
    changes.push(ConsumerGroupChange::Target(Some(TargetEpoch {
        epoch: group_epoch,
        timestamp_ms: ctx.now_ms,
    })));
    let (id, _) = preview.updated?;
    targets.remove(id)
}

fn group_spec<'a>(
    preview: Preview<'a>,
    subscriptions: &Subscriptions<'a>,
    topics: &dyn TopicView,
) -> GroupSpec<'a> {
    let mut partitions = BTreeMap::new();
    let mut members = Vec::new();
    // Members of one application ask for the same: the last one's topics are looked up once.
    let mut last: Option<(&Member, Rc<BTreeSet<Uuid>>)> = None;
    for (id, member) in preview.members() {
        let ids = match &last {
            Some((other, ids)) if same_subscription(other, member) => Rc::clone(ids),
            _ => {
                let found = subscriptions
                    .topics_of(member)
                    .filter_map(|name| topics.by_name(name));
                let found: BTreeMap<Uuid, i32> = found.collect();
                let ids = Rc::new(found.keys().copied().collect());
                partitions.extend(found);
                ids
            }
        };
        last = Some((member, Rc::clone(&ids)));
        members.push(MemberSpec {
            id: Arc::clone(id),
            instance_id: member.metadata.instance_id.as_deref(),
            topics: ids,
            previous: previous_target(preview, id),
        });
    }
    members.sort_by(|one, other| one.id.cmp(&other.id));
    GroupSpec {
        members,
        partitions,
    }
}

fn same_subscription(one: &Member, other: &Member) -> bool {
    one.metadata.subscribed_topic_names == other.metadata.subscribed_topic_names
        && one.regex() == other.regex()
}

/// What the member was to have; for one that takes another's place, what that one was to have.
fn previous_target<'a>(preview: Preview<'a>, id: &Arc<str>) -> &'a TopicPartitions {
    let is_new = preview.updated.is_some_and(|(updated, _)| updated == id)
        && !preview.durable.targets.contains_key(id);
    match preview.removed.first() {
        Some(replaced) if is_new => preview.durable.target(replaced),
        _ => preview.durable.target(id),
    }
}
