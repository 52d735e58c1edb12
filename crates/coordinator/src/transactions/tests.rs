//! Transactions through the shard's door, with a log in memory and a clock that is moved by hand.

mod end;
mod init;
mod partitions;
mod query;
mod random;
mod records;
mod restart;
mod simulation;
mod time;
mod world;
