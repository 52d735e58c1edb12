//! What may happen in a simulation, and how often.

use proptest::prelude::*;

use super::super::world::Crash;
use super::PARTITIONS;
use crate::transactions::TransactionVersion;

#[derive(Debug, Clone)]
pub(super) enum Op {
    /// Another producer comes; the ones before go on, not knowing.
    Start {
        version: TransactionVersion,
    },
    /// A producer gets its id and epoch, or goes on after an error with the next (KIP-360).
    Init {
        producer: usize,
        lost: bool,
    },
    /// It adds a partition to its transaction, and writes to it now or later.
    Write {
        producer: usize,
        partition: usize,
        lost: bool,
        late: bool,
    },
    /// It ends its transaction; once begun, the same end is tried until there is an answer.
    End {
        producer: usize,
        committed: bool,
        lost: bool,
    },
    /// What was sent before arrives once more.
    InitTwice(usize),
    AddTwice(usize),
    EndTwice(usize),
    MarkerTwice(usize),
    ReportTwice(usize),
    /// What is on its way arrives.
    Append(usize),
    Marker {
        which: usize,
        lost: bool,
    },
    Report(usize),
    /// All markers and reports that are on their way arrive.
    Everything,
    Break(bool),
    Crash(Crash),
    Restart,
    Pass(i64),
}

pub(super) fn any_op() -> impl Strategy<Value = Op> {
    let producer = || prop_oneof![6 => Just(0usize), 2 => Just(1), 1 => Just(2)];
    let index = any::<usize>;
    let flag = |weight| prop::bool::weighted(weight);
    let version = prop_oneof![1 => Just(TransactionVersion::V1), 2 => Just(TransactionVersion::V2)];
    prop_oneof![
        1 => version.prop_map(|version| Op::Start { version }),
        24 => (producer(), flag(0.2)).prop_map(|(producer, lost)| Op::Init { producer, lost }),
        30 => (producer(), 0..PARTITIONS, flag(0.15), flag(0.3))
            .prop_map(|(producer, partition, lost, late)| Op::Write { producer, partition, lost, late }),
        24 => (producer(), flag(0.7), flag(0.3))
            .prop_map(|(producer, committed, lost)| Op::End { producer, committed, lost }),
        1 => index().prop_map(Op::InitTwice),
        3 => index().prop_map(Op::AddTwice),
        5 => index().prop_map(Op::EndTwice),
        4 => index().prop_map(Op::MarkerTwice),
        4 => index().prop_map(Op::ReportTwice),
        8 => index().prop_map(Op::Append),
        10 => (index(), flag(0.2)).prop_map(|(which, lost)| Op::Marker { which, lost }),
        10 => index().prop_map(Op::Report),
        2 => prop::bool::weighted(0.2).prop_map(Op::Break),
        2 => prop_oneof![Just(Crash::BeforeTheAppend), Just(Crash::AfterTheAppend)].prop_map(Op::Crash),
        1 => Just(Op::Restart),
        10 => Just(Op::Everything),
        3 => prop_oneof![0..2_000i64, 20_000..90_000i64].prop_map(Op::Pass),
    ]
}
