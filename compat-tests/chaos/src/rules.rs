//! The rules, in the order of their numbers. Each is a function of the facts; what they need in common is in [`crate::facts`].
//!
//! | rule | kinds | never, or allowed when |
//! |---|---|---|
//! | 1 | `inconsistent-offset`: an offset with two values | acks other than all |
//! | 2 | `duplicate`: a value at two offsets | not idempotent |
//! | 3 | `lost-prefix`: committed, never read, though a reader went past it | acks other than all; deleted, compacted |
//! | 4 | `lost`: acknowledged and not in the last look | acks other than all; deleted, compacted |
//! | 5 | `vanished`: read by somebody, and not in the last look | deleted, compacted |
//! | 6 | `phantom`, `misplaced`, `aborted-read`: nobody wrote it, not there, or it surely failed | never |
//! | 7 | `torn`, `undead`: a transaction of which some records are visible, or one that failed of which any is | never |
//! | 8 | `skip`, `backwards`: within what one poll returned | the partition came or went meanwhile |
//! | 9 | `skip`, `backwards`: from one poll of a process to its next | assigned anew between them |
//! | 10 | `internal`, `external`: records of one process are not in the order in which it sent them | never |
//! | 11 | `precommitted`: a transaction reads what it wrote | never |
//! | 12 | `read-before-write`: read before its send began | never |
//! | 13 | `inversion`: acknowledged before another was sent, and yet behind it | never |
//! | 14 | `stale-end`, `regression`: an end of the log below what was there before the question | acks other than all; told in a leader epoch that was over |
//! | 15 | `cycle`: transactions read each other's records | never |
//! | 16 | `double-consume`, `skipped-consume`: two transactions of a group processed a record, or none did | never |
//! | 17 | `producer`, `member`: what a fenced producer or an earlier generation wrote took effect | never |
//! | 18 | `two-owners`, `offset-falls`: a partition has two members in one generation, a committed offset goes back | a member set it back |
//! | 19 | `epoch-falls`, `two-starts`, `two-leaders`: leader epochs fall along a log, begin at two offsets, have two leaders | never |
//! | 20 | `diverged`, `behind`: two replicas differ, or one of them lacks the end | never |
//! | 21 | `missing`, `moved`, `tombstone`: the last value of a key is gone, elsewhere, or no longer marked as deleted | never |
//! | 22 | `read-below-start`, `regression`: deleted records are read, or the start falls | never |
//! | 23 | `isr-outside`, `leader-outside`, `elr-in-isr`, `stable-above-high`, `high-above-end`: what a broker says of a partition cannot be | never |
//! | 24 | `stalled`, `unseen`: a write took longer than it may, a record was shown to no reader | a fault excuses it |

mod consume;
mod groups;
mod images;
mod loss;
mod order;
mod places;
mod reads;
mod replicas;
mod retention;
mod txns;
mod waits;
mod zombies;

use crate::facts::Facts;
use crate::report::Sink;

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// Its number.
    pub number: u8,
    /// Reports what breaks it.
    pub check: fn(&Facts<'_>, &mut Sink<'_>),
}

/// All of them.
pub static RULES: &[Rule] = &[
    rule(1, places::one_value_an_offset),
    rule(2, places::one_offset_a_value),
    rule(3, loss::readers_pass_nothing_by),
    rule(4, loss::the_acknowledged_is_there),
    rule(5, loss::the_read_is_there),
    rule(6, reads::only_what_was_written),
    rule(7, txns::all_or_nothing),
    rule(8, reads::in_order_within_a_poll),
    rule(9, reads::in_order_from_poll_to_poll),
    rule(10, order::in_the_order_sent),
    rule(11, txns::not_its_own),
    rule(12, reads::not_before_it_was_written),
    rule(13, order::in_the_order_acknowledged),
    rule(14, order::ends_do_not_lag),
    rule(15, txns::no_cycle),
    rule(16, consume::exactly_once),
    rule(17, zombies::the_fenced_have_no_effect),
    rule(18, groups::one_owner_and_no_way_back),
    rule(19, replicas::epochs_follow_offsets),
    rule(20, replicas::all_hold_the_same),
    rule(21, retention::compaction_keeps_the_last),
    rule(22, retention::the_start_only_rises),
    rule(23, images::what_is_told_can_be),
    rule(24, waits::nobody_waits_for_ever),
];

const fn rule(number: u8, check: fn(&Facts<'_>, &mut Sink<'_>)) -> Rule {
    Rule { number, check }
}
