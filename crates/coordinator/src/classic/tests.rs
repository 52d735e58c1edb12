//! One sentence for each thing that clients depend on; a group is driven from outside, through its shard.

mod join;
mod leave;
mod random;
mod rebalance;
mod restart;
mod static_members;
mod sync;
