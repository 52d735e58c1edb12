//! Who is subscribed to what: names, regular expressions and the topics they stand for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regex::Regex;
use uuid::Uuid;

use super::Context;
use super::group::{Durable, Member};
use super::metadata_hash::{group_hash, topic_hash};
use crate::error::GroupError;
use crate::pattern;
use crate::records::consumer::ResolvedRegex;
use crate::topics::TopicView;

/// Least distance between two looks over all topics for one group's patterns, in milliseconds: topics may change often.
const REFRESH_MIN_INTERVAL_MS: i64 = 1_000;

fn compile(pattern: &str) -> Result<Regex, GroupError> {
    pattern::of_whole_name(pattern).map_err(|error| {
        GroupError::InvalidRegex(format!(
            "SubscribedTopicRegex `{pattern}` is not a valid regular expression: {error}."
        ))
    })
}

/// The patterns of one group, compiled, and when they were last held against all topics. Soft.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    compiled: BTreeMap<String, Option<Regex>>,
    checked: Option<Checked>,
}

#[derive(Debug, Clone, Copy)]
struct Checked {
    revision: i64,
    at_ms: i64,
    /// The group's epoch after the check: a lower one says that what was found was not stored.
    group_epoch: i32,
}

impl Patterns {
    fn is_due(&self, ctx: &Context<'_>, group_epoch: i32) -> bool {
        self.checked.is_none_or(|checked| {
            let elapsed_ms = ctx.now_ms.saturating_sub(checked.at_ms);
            let changed = checked.revision != ctx.topics.revision();
            group_epoch < checked.group_epoch
                || (changed && elapsed_ms >= REFRESH_MIN_INTERVAL_MS)
                // What the member may describe can change without the topics.
                || elapsed_ms >= i64::from(ctx.options.consumer.regex_refresh_interval_ms)
        })
    }

    /// Notes that all patterns were held against the topics as they are now.
    pub(super) fn checked(&mut self, ctx: &Context<'_>, group_epoch: i32) {
        self.checked = Some(Checked {
            revision: ctx.topics.revision(),
            at_ms: ctx.now_ms,
            group_epoch,
        });
    }

    /// Compiles the pattern if that was not done yet.
    fn check(&mut self, pattern: &str) -> Result<(), GroupError> {
        if !matches!(self.compiled.get(pattern), Some(Some(_))) {
            let compiled = compile(pattern)?;
            self.compiled.insert(pattern.to_owned(), Some(compiled));
        }
        Ok(())
    }

    fn resolve(&mut self, pattern: &str, ctx: &Context<'_>) -> ResolvedRegex {
        let compiled = self.compiled.entry(pattern.to_owned()).or_insert_with(|| {
            // Stored by a broker that knows more syntax: it stands for nothing, rather than for an error at each heartbeat.
            compile(pattern)
                .inspect_err(|error| tracing::warn!(%error, "a stored subscription cannot be read"))
                .ok()
        });
        let topics = compiled.as_ref().map_or_else(BTreeSet::new, |regex| {
            let matching = ctx.topics.names().filter(|name| regex.is_match(name));
            matching
                .filter(|name| {
                    ctx.may_describe
                        .is_none_or(|may_describe| may_describe(name))
                })
                .map(str::to_owned)
                .collect()
        });
        ResolvedRegex {
            topics,
            version: ctx.topics.revision(),
            timestamp_ms: ctx.now_ms,
        }
    }
}

/// What became of a group's patterns.
#[derive(Debug, Default)]
pub(super) struct PatternUpdate {
    /// The topics behind each pattern in use, where they are not the stored ones.
    pub(super) resolved: BTreeMap<String, ResolvedRegex>,
    /// Patterns that nobody uses any more.
    pub(super) dropped: Vec<String>,
    /// Whether some pattern stands for other topics than before.
    pub(super) topics_changed: bool,
    /// Whether all patterns were held against all topics.
    pub(super) refreshed: bool,
}

/// The group as it will be once the records at hand are stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Preview<'a> {
    pub(super) durable: &'a Durable,
    /// The member that joins or changes.
    pub(super) updated: Option<(&'a Arc<str>, &'a Member)>,
    /// Members that go.
    pub(super) removed: &'a BTreeSet<Arc<str>>,
}

impl<'a> Preview<'a> {
    /// All members, the one that changes last.
    pub(super) fn members(self) -> impl Iterator<Item = (&'a Arc<str>, &'a Member)> {
        let updated = self.updated;
        self.durable
            .members
            .iter()
            .filter(move |(id, _)| {
                !self.removed.contains(*id) && updated.is_none_or(|(changed, _)| changed != *id)
            })
            .chain(updated)
    }

    fn patterns(self) -> BTreeSet<&'a str> {
        self.members()
            .filter_map(|(_, member)| member.regex())
            .collect()
    }

    /// Patterns stored that nobody will use.
    pub(super) fn dropped_patterns(self) -> Vec<String> {
        if self.durable.regexes.is_empty() {
            return Vec::new();
        }
        let used = self.patterns();
        let stored = self.durable.regexes.keys();
        stored
            .filter(|pattern| !used.contains(pattern.as_str()))
            .cloned()
            .collect()
    }

    /// Finds the topics behind new patterns, and behind all if that is due. `changed` says whether the member that changes,
    /// changes its pattern.
    ///
    /// # Errors
    /// [`GroupError::InvalidRegex`] if the changing member's pattern is none and nobody else uses it.
    pub(super) fn update_patterns(
        self,
        patterns: &mut Patterns,
        ctx: &Context<'_>,
        changed: bool,
    ) -> Result<PatternUpdate, GroupError> {
        let mut update = PatternUpdate::default();
        let asked = self.updated.and_then(|(_, member)| member.regex());
        if asked.is_none() && self.durable.regexes.is_empty() {
            return Ok(update);
        }
        update.refreshed = patterns.is_due(ctx, self.durable.group_epoch());
        if !changed && !update.refreshed {
            return Ok(update);
        }
        let used = self.patterns();
        update.dropped = self.dropped_patterns();
        if let Some(pattern) = asked.filter(|pattern| !self.durable.regexes.contains_key(*pattern))
        {
            patterns.check(pattern)?;
        }
        for pattern in &used {
            let stored = self.durable.regexes.get(*pattern);
            if stored.is_some() && !update.refreshed {
                continue;
            }
            let found = patterns.resolve(pattern, ctx);
            let same = |stored: &ResolvedRegex| stored.topics == found.topics;
            update.topics_changed |= !stored.map_or(found.topics.is_empty(), same);
            // A refresh that found nothing new is not worth a record: the next start does it again.
            if !stored.is_some_and(same) {
                update.resolved.insert((*pattern).to_owned(), found);
            }
        }
        patterns
            .compiled
            .retain(|pattern, _| used.contains(pattern.as_str()));
        Ok(update)
    }
}

/// The topics that a group's members are subscribed to.
#[derive(Debug)]
pub(super) struct Subscriptions<'a> {
    stored: &'a BTreeMap<String, ResolvedRegex>,
    update: &'a PatternUpdate,
}

impl<'a> Subscriptions<'a> {
    pub(super) fn new(durable: &'a Durable, update: &'a PatternUpdate) -> Self {
        Self {
            stored: &durable.regexes,
            update,
        }
    }

    /// Names of the topics a member asks for; they need not exist.
    pub(super) fn topics_of(&self, member: &'a Member) -> impl Iterator<Item = &'a str> + use<'a> {
        let resolved = member.regex().and_then(|pattern| {
            self.update
                .resolved
                .get(pattern)
                .or_else(|| self.stored.get(pattern))
        });
        let by_pattern = resolved.into_iter().flat_map(|resolved| &resolved.topics);
        let by_name = &member.metadata.subscribed_topic_names;
        by_name.iter().chain(by_pattern).map(String::as_str)
    }

    /// Ids of the topics a member asks for, as far as they exist.
    pub(super) fn ids_of(&self, member: &'a Member, topics: &dyn TopicView) -> BTreeSet<Uuid> {
        let ids = self
            .topics_of(member)
            .filter_map(|name| topics.by_name(name));
        ids.map(|(id, _)| id).collect()
    }

    /// The hash over all topics that some member asks for and that exist.
    pub(super) fn hash(&self, preview: Preview<'a>, topics: &dyn TopicView) -> i64 {
        let names: BTreeSet<&str> = preview
            .members()
            .flat_map(|(_, member)| self.topics_of(member))
            .collect();
        group_hash(names.into_iter().filter_map(|name| {
            let (id, partitions) = topics.by_name(name)?;
            Some(topic_hash(id, name, partitions))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_to_match_the_whole_name() {
        let regex = compile("foo|bar.*").unwrap();
        assert!(regex.is_match("foo") && regex.is_match("bar-1"));
        assert!(!regex.is_match("foo-1") && !regex.is_match("a-bar"));
    }

    #[test]
    fn what_is_no_pattern_by_itself_is_refused() {
        for pattern in ["a)|(b", "[", "(?P<x", "a{100000}{100000}", "(?=look)"] {
            assert!(
                matches!(compile(pattern), Err(GroupError::InvalidRegex(_))),
                "{pattern}"
            );
        }
    }
}
