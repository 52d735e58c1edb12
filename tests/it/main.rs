//! Behaviours over real sockets, one file each.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod admin;
mod architecture;
mod compaction;
mod config_resources;
mod configs;
mod differential;
mod fetch;
mod groups;
mod metrics;
mod placement;
mod produce;
mod quotas;
mod restart;
mod telemetry;
mod throttling;
mod topics;
mod transactions;
mod versions;
mod wire;
