//! Batches on their way to the leaders of their partitions, and what became of them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use serde::Serialize;
use wire::ResponseError;
use wire::batch::BatchHeader;
use wire::messages::produce_response::PartitionProduceResponse;

use super::batches::{Identity, halves};
use crate::client::{self, Acks, Client, Topic};
use crate::outcome::Refusal;
use crate::output;

/// Between a failure that may pass and the next try.
const PAUSE: Duration = Duration::from_millis(200);

/// What one partition has acknowledged.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Written {
    pub(super) partition: i32,
    pub(super) records: u64,
    /// `null` if nothing is acknowledged (`--acks 0`).
    pub(super) first_offset: Option<i64>,
    /// As `first_offset`.
    pub(super) last_offset: Option<i64>,
}

/// Sends batches of one topic and waits for their acknowledgement.
pub(super) struct Sender {
    client: Client,
    topic: Topic,
    acks: i16,
    pub(super) identity: Identity,
    pub(super) written: BTreeMap<i32, Written>,
}

/// The batches of each partition that are still to be written, in their order.
pub(super) type Waiting = BTreeMap<i32, Vec<Bytes>>;

impl Sender {
    /// With `acks` −1 it asks the cluster for an identity, so that it may send again what was perhaps not written.
    pub(super) async fn new(mut client: Client, topic: Topic, acks: i16) -> anyhow::Result<Sender> {
        let identity = match acks {
            -1 => client
                .producer_id()
                .await?
                .map(|(producer_id, epoch)| Identity { producer_id, epoch }),
            _ => None,
        };
        Ok(Sender {
            client,
            topic,
            acks,
            identity: identity.unwrap_or(Identity::NONE),
            written: BTreeMap::new(),
        })
    }

    /// The topic's name.
    pub(super) fn topic(&self) -> &str {
        &self.topic.name
    }

    /// Returns when every batch is acknowledged. What may pass is tried again until nothing has been acknowledged for the
    /// timeout; a batch too large for the topic is cut in two.
    pub(super) async fn send(&mut self, mut waiting: Waiting) -> anyhow::Result<()> {
        while !waiting.is_empty() {
            if let Some(error) = self.send_first_of_each(&mut waiting).await? {
                output::note(format_args!("{error:#}; trying again"));
                self.send_again(&mut waiting, error).await?;
            }
        }
        Ok(())
    }

    /// Returns when a round has gone well.
    async fn send_again(
        &mut self,
        waiting: &mut Waiting,
        error: anyhow::Error,
    ) -> anyhow::Result<()> {
        let (patience, mut last) = (self.client.timeout(), error);
        let again = async {
            loop {
                tokio::time::sleep(PAUSE).await;
                match self.client.topic(&self.topic.name.clone(), false).await {
                    Ok(topic) => self.topic = topic,
                    Err(error) => {
                        last = error;
                        continue;
                    }
                }
                match self.send_first_of_each(waiting).await? {
                    Some(error) => last = error,
                    None => return Ok(()),
                }
            }
        };
        match tokio::time::timeout(patience, again).await {
            Ok(result) => result,
            Err(_) => Err(last),
        }
    }

    /// One request to each leader. Gives an error that may pass, if there was one.
    async fn send_first_of_each(
        &mut self,
        waiting: &mut Waiting,
    ) -> anyhow::Result<Option<anyhow::Error>> {
        let topic = self.topic.clone();
        let leaders = match client::by_leader(&topic, waiting.keys().copied()) {
            Ok(leaders) => leaders,
            Err(error) => return Ok(Some(error)),
        };
        let mut passing = None;
        for (leader, partitions) in leaders {
            let first_of = |partition: &&client::Partition| {
                Some((
                    partition.index,
                    waiting.get(&partition.index)?.first()?.clone(),
                ))
            };
            let firsts: Vec<(i32, Bytes)> = partitions.iter().filter_map(first_of).collect();
            passing = self.send_to(leader, firsts, waiting).await?.or(passing);
        }
        waiting.retain(|_, batches| !batches.is_empty());
        Ok(passing)
    }

    async fn send_to(
        &mut self,
        leader: i32,
        batches: Vec<(i32, Bytes)>,
        waiting: &mut Waiting,
    ) -> anyhow::Result<Option<anyhow::Error>> {
        let acks = Acks {
            code: self.acks,
            timeout_ms: self.client.timeout_ms(),
        };
        let link = match self.client.link(leader).await {
            Ok(link) => link,
            // Nothing was sent.
            Err(error) => return Ok(Some(error)),
        };
        let by = link.address.clone();
        let answers = match link.produce(&self.topic, acks, batches.clone()).await {
            Ok(answers) => answers,
            Err(error) if self.identity.is_known() => return Ok(Some(error)),
            Err(error) => {
                return Err(error.context("it is not known whether the last records were written"));
            }
        };
        let mut passing = None;
        for (partition, batch) in batches {
            let answer = answers.iter().find(|answer| answer.index == partition);
            let queue = waiting.entry(partition).or_default();
            match answer {
                None if acks.code == 0 => self.acknowledged(partition, queue, None)?,
                None => {
                    return Err(anyhow!(
                        "{by} said nothing about partition {}/{partition}",
                        self.topic.name
                    ));
                }
                Some(answer) if answer.error_code == 0 => {
                    self.acknowledged(partition, queue, Some(answer.base_offset))?;
                }
                Some(answer) => match self.refused(&by, answer, &batch)? {
                    Refused::TooLarge(halves) => drop(queue.splice(0..1, halves)),
                    Refused::MayPass(error) => passing = Some(error),
                },
            }
        }
        Ok(passing)
    }

    /// The first batch of the queue is written.
    fn acknowledged(
        &mut self,
        partition: i32,
        queue: &mut Vec<Bytes>,
        base_offset: Option<i64>,
    ) -> anyhow::Result<()> {
        let header = BatchHeader::parse(&queue.remove(0))?;
        // A batch sent again, and long written, may be acknowledged without its offset.
        let base_offset = base_offset.filter(|offset| *offset >= 0);
        let written = self.written.entry(partition).or_insert(Written {
            partition,
            records: 0,
            first_offset: base_offset,
            last_offset: None,
        });
        written.records += u64::try_from(header.record_count).unwrap_or(0);
        written.last_offset =
            base_offset.map(|base| base.saturating_add(i64::from(header.last_offset_delta)));
        Ok(())
    }

    /// What to do about a refusal. Fails if nothing can be done.
    fn refused(
        &self,
        by: &str,
        answer: &PartitionProduceResponse,
        batch: &Bytes,
    ) -> anyhow::Result<Refused> {
        let code = answer.error_code;
        if code == ResponseError::MessageTooLarge.code()
            && let Some(halves) = halves(batch).context("cutting a batch that is too large")?
        {
            return Ok(Refused::TooLarge(halves));
        }
        let of_record = answer
            .record_errors
            .iter()
            .find_map(|record| record.batch_index_error_message.as_ref());
        let refusal = Refusal {
            asked: format!("write to {}/{}", self.topic.name, answer.index),
            by: by.to_owned(),
            code,
            message: of_record
                .or(answer.error_message.as_ref())
                .map(ToString::to_string),
        };
        // These say that it may be written already, and then only who has an identity may send it again.
        let perhaps_written = code == ResponseError::RequestTimedOut.code()
            || code == ResponseError::NotEnoughReplicasAfterAppend.code();
        if client::is_unsettled(code) || (perhaps_written && self.identity.is_known()) {
            Ok(Refused::MayPass(refusal.into()))
        } else {
            Err(refusal.into())
        }
    }
}

enum Refused {
    TooLarge([Bytes; 2]),
    MayPass(anyhow::Error),
}
