//! kchaos: clients that write down what they do, and the one that kills them.
//!
//! ```text
//! kchaos storm --broker-command CMD --dir DIR …    everything: broker, clients, kills, the last look, the verdict
//! kchaos nemesis --dir DIR …                       the same for a cluster, and more than kills
//! kchaos failover --dir DIR …                      how long a partition is without a leader
//! kchaos topic | leader | produce | consume | txn | member | watch | chain | scan …    one part of it, a process each
//! ```
#![allow(
    clippy::disallowed_methods,
    reason = "the rule is the broker's, whose clock is injected; this is another program"
)]

mod chain;
mod cluster;
mod consume;
mod crew;
mod failover;
mod flags;
mod journal;
mod member;
mod nemesis;
mod payload;
mod plan;
mod produce;
mod raw;
mod records;
mod replicas;
mod requests;
mod scan;
mod storm;
mod txn;
mod watch;

use std::env;
use std::process::ExitCode;

use crate::flags::Flags;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let word = args.next().unwrap_or_default();
    match Flags::parse(args).and_then(|flags| run(&word, flags)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("kchaos {word}: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(word: &str, flags: Flags) -> anyhow::Result<ExitCode> {
    if word == "chain" {
        return chain::run(&flags);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match word {
            "topic" => requests::topic(&flags).await,
            "leader" => requests::who_leads(&flags).await,
            "produce" => produce::run(&flags).await,
            "consume" => consume::run(&flags).await,
            "txn" => txn::run(&flags).await,
            "scan" => scan::run(&flags).await,
            "storm" => storm::run(&flags).await,
            "member" => member::run(&flags).await,
            "watch" => watch::run(&flags).await,
            "nemesis" => nemesis::run(&flags).await,
            "failover" => failover::run(&flags).await,
            _ => anyhow::bail!(
                "storm, nemesis, failover, topic, leader, produce, consume, txn, member, watch, chain or scan"
            ),
        }
    })
}
