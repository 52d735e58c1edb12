//! Making topics and deleting them.

use anyhow::Context as _;
use tokio::time::Instant;
use uuid::Uuid;
use wire::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use wire::messages::create_topics_response::CreatableTopicResult;
use wire::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use wire::messages::delete_topics_response::DeletableTopicResult;

use super::{Client, PAUSE, is_unsettled, text, topic_name};
use crate::outcome::Refusal;

impl Client {
    /// Has topics made, or with `dry_run` has it checked that they could be. Each has its own answer.
    pub(crate) async fn create_topics(
        &mut self,
        topics: Vec<CreatableTopic>,
        dry_run: bool,
    ) -> anyhow::Result<Vec<CreatableTopicResult>> {
        let timeout_ms = self.timeout_ms();
        let link = self.seed().await?;
        let version = link.version::<CreateTopicsRequest>()?;
        let request = CreateTopicsRequest::default()
            .with_topics(topics)
            .with_timeout_ms(timeout_ms)
            .with_validate_only(dry_run);
        Ok(link.call(&request, version).await?.topics)
    }

    /// Has topics deleted. Each has its own answer.
    pub(crate) async fn delete_topics(
        &mut self,
        topics: &[String],
    ) -> anyhow::Result<Vec<DeletableTopicResult>> {
        let timeout_ms = self.timeout_ms();
        let link = self.seed().await?;
        let version = link.version::<DeleteTopicsRequest>()?;
        let mut request = DeleteTopicsRequest::default().with_timeout_ms(timeout_ms);
        if version >= 6 {
            let state =
                |name: &String| DeleteTopicState::default().with_name(Some(topic_name(name)));
            request.topics = topics.iter().map(state).collect();
        } else {
            request.topic_names = topics.iter().map(|name| topic_name(name)).collect();
        }
        Ok(link.call(&request, version).await?.responses)
    }

    /// Makes a topic that nobody else has, named after `purpose`, and waits until it can be used. −1 leaves a number to the
    /// broker (KIP-464).
    pub(crate) async fn create_own_topic(
        &mut self,
        purpose: &str,
        partitions: i32,
        replication_factor: i16,
        configs: &[(&str, &str)],
    ) -> anyhow::Result<OwnTopic> {
        let name = format!("tidewater-{purpose}-{}", Uuid::new_v4().simple());
        let configs = configs.iter().map(|(key, value)| {
            CreatableTopicConfig::default()
                .with_name(text(key))
                .with_value(Some(text(value)))
        });
        let topic = CreatableTopic::default()
            .with_configs(configs.collect())
            .with_name(topic_name(&name))
            .with_num_partitions(partitions)
            .with_replication_factor(replication_factor);
        for made in self.create_topics(vec![topic], false).await? {
            let link = self.seed().await?;
            let asked = format!("create topic {name}");
            link.accept(&asked, made.error_code, made.error_message)?;
        }
        let own = OwnTopic { name };
        match self.until_led(&own.name).await {
            Ok(()) => Ok(own),
            Err(error) => {
                own.delete(self).await?;
                Err(error)
            }
        }
    }

    /// The metadata may name leaders before they know it themselves (M2).
    async fn until_led(&mut self, name: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.timeout();
        loop {
            let topic = self.topic(name, false).await;
            let asked = match topic {
                Ok(topic) => self.offset_ranges(&topic).await.map(drop),
                Err(error) => Err(error),
            };
            let passes = |error: &anyhow::Error| {
                let refusal = error.downcast_ref::<Refusal>();
                refusal.is_some_and(|refusal| is_unsettled(refusal.code))
            };
            match asked {
                Err(error) if passes(&error) && Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                asked => return asked,
            }
        }
    }
}

/// A topic of the command's own, which it has to delete.
#[derive(Debug)]
pub(crate) struct OwnTopic {
    /// Nobody else's topic has it.
    pub(crate) name: String,
}

impl OwnTopic {
    /// Deletes it.
    pub(crate) async fn delete(self, client: &mut Client) -> anyhow::Result<()> {
        let names = [self.name];
        let left = || format!("topic {} is left behind", names[0]);
        for result in client.delete_topics(&names).await.with_context(left)? {
            let link = client.seed().await?;
            let asked = format!("delete topic {}", names[0]);
            link.accept(&asked, result.error_code, result.error_message)
                .with_context(left)?;
        }
        Ok(())
    }
}
