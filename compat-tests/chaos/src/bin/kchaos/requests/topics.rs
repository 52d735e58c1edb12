//! Topics made, led and moved.

use std::process::ExitCode;

use anyhow::Result;
use wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::messages::{AlterPartitionReassignmentsRequest, BrokerId, CreateTopicsRequest};

use super::metadata::leader;
use super::{missing, text};
use crate::flags::Flags;
use crate::journal::now_us;
use crate::raw::{Answer, Failure, Raw, checked, persist};

/// `kchaos topic --bootstrap … --topic … --partitions N [--replicas N] [--configs k=v,…]`
pub(crate) async fn topic(flags: &Flags) -> Result<ExitCode> {
    let mut raw = Raw::of(flags, "topic")?;
    let configs: String = flags.or("configs", String::new())?;
    let new = NewTopic {
        name: flags.text("topic")?,
        partitions: flags.get("partitions")?,
        replicas: flags.or("replicas", 1)?,
        configs: &configs,
    };
    create(&mut raw, &new).await?;
    Ok(ExitCode::SUCCESS)
}

/// A topic to be made.
pub(crate) struct NewTopic<'a> {
    pub(crate) name: &'a str,
    pub(crate) partitions: i32,
    pub(crate) replicas: i16,
    /// `key=value,…`
    pub(crate) configs: &'a str,
}

/// Makes it, or finds it there, and waits until every partition has a leader: at most a minute.
pub(crate) async fn create(raw: &mut Raw, new: &NewTopic<'_>) -> Answer<()> {
    const TOPIC_ALREADY_EXISTS: i16 = 36;
    const INVALID_REPLICATION_FACTOR: i16 = 38;
    let configs = new
        .configs
        .split(',')
        .filter_map(|pair| pair.split_once('='));
    let configs = configs.map(|(key, value)| {
        let config = CreatableTopicConfig::default().with_name(text(key));
        config.with_value(Some(text(value)))
    });
    let topic = CreatableTopic::default()
        .with_name(text(new.name).into())
        .with_num_partitions(new.partitions)
        .with_replication_factor(new.replicas)
        .with_configs(configs.collect());
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let end_us = now_us() + 60_000_000;
    let made = persist(raw, end_us, async |raw| {
        let address = raw.bootstrap[0].clone();
        let answer = raw.call(&address, &request, 7).await?;
        let code = answer
            .topics
            .first()
            .ok_or_else(|| missing("topic"))?
            .error_code;
        match code {
            TOPIC_ALREADY_EXISTS => Ok(()),
            INVALID_REPLICATION_FACTOR => Err(Failure::NotSent(
                "the brokers are not all there yet".to_owned(),
            )),
            code => checked(code),
        }
    });
    made.await.0?;
    for partition in 0..new.partitions {
        let led = persist(raw, end_us, async |raw| {
            leader(raw, new.name, partition).await
        });
        led.await.0?;
    }
    Ok(())
}

/// `kchaos leader --bootstrap … --topic … --partition N [--in-sync N]` prints the leader's address, once so many replicas are in sync.
pub(crate) async fn who_leads(flags: &Flags) -> Result<ExitCode> {
    let mut raw = Raw::of(flags, "leader")?;
    let place = (flags.text("topic")?.to_owned(), flags.get("partition")?);
    let wanted = flags.or("in-sync", 1)?;
    let ask = async |raw: &mut Raw| {
        let address = leader(raw, &place.0, place.1).await?;
        match raw.replication.get(&place).map_or(0, |told| told.isr.len()) {
            count if count >= wanted => Ok(address),
            count => Err(Failure::NotSent(format!("{count} replicas are in sync"))),
        }
    };
    println!("{}", persist(&mut raw, now_us() + 60_000_000, ask).await.0?);
    Ok(ExitCode::SUCCESS)
}

/// Gives all partitions of a topic these replicas, and returns once that is begun.
pub(crate) async fn reassign(
    raw: &mut Raw,
    topic: &str,
    partitions: i32,
    replicas: &[i32],
) -> Answer<()> {
    const NOT_CONTROLLER: i16 = 41;
    let replicas: Vec<BrokerId> = replicas.iter().map(|node| (*node).into()).collect();
    let partition = |index| {
        ReassignablePartition::default()
            .with_partition_index(index)
            .with_replicas(Some(replicas.clone()))
    };
    let topic = ReassignableTopic::default()
        .with_name(text(topic).into())
        .with_partitions((0..partitions).map(partition).collect());
    let request = AlterPartitionReassignmentsRequest::default()
        .with_timeout_ms(5_000)
        .with_topics(vec![topic]);
    let address = raw.bootstrap[0].clone();
    let answer = raw.call(&address, &request, 0).await?;
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    let mut codes = partitions
        .map(|one| one.error_code)
        .chain([answer.error_code]);
    match codes.find(|code| *code != 0) {
        None => Ok(()),
        Some(NOT_CONTROLLER) => Err(Failure::NotSent("nobody controls yet".to_owned())),
        Some(code) => Err(Failure::Code(code)),
    }
}
