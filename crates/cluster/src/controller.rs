//! The controller: the handle that requests go through, and the task behind it that plans, commits and publishes, one request
//! after the other.
//!
//! Every transaction carries the guard that this process still holds `ctl/leader`, so that a controller that was paused cannot
//! write after another has taken over. The image moves by what the store's watch delivers and by nothing else.

mod producer_ids;
mod task;

use std::ops::Range;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use crate::error::{ControllerError, OpenError};
use crate::ids::Entropy;
use crate::image::ClusterImage;
use crate::plan::configs::{AlterConfigError, ConfigChange};
use crate::plan::create::{CreateTopicError, CreatedTopic, NewTopic};
use crate::plan::delete::{DeleteTopicError, DeletedTopic, TopicRef};
use crate::plan::expand::{CreatePartitionsError, NewPartitions};
use crate::plan::quotas::{AlterQuotaError, QuotaAlteration};
use crate::plan::registration::BrokerRegistration;
use crate::store::MetaStore;
pub use producer_ids::AllocateProducerIdsError;
use producer_ids::ProducerIdPool;
pub use task::ControllerTask;

/// Requests that may wait for the controller; whoever comes later waits to hand his over.
const QUEUE_MAX: usize = 256;

/// What a controller needs to know.
pub struct ControllerOptions {
    /// The node id of the broker it runs in.
    pub node_id: i32,
    /// The broker's process: new at every start.
    pub incarnation: Uuid,
    /// The configured cluster id. `None`: the stored one, or a new one for a new store.
    pub cluster_id: Option<String>,
    /// The program and version, recorded in a store that it creates.
    pub created_by: String,
    /// Where topic ids and the beginnings of placements come from.
    pub entropy: Entropy,
}

/// A handle on the controller and on the image. Cheap to clone.
#[derive(Clone)]
pub struct Controller {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
}

/// What handles read without asking the task.
struct Shared {
    image: ArcSwap<ClusterImage>,
    published: watch::Sender<Arc<ClusterImage>>,
    producer_ids: ProducerIdPool,
}

type Reply<T> = oneshot::Sender<T>;

enum Command {
    Register(BrokerRegistration, Reply<Result<i64, ControllerError>>),
    CreateTopics(
        Vec<NewTopic>,
        Mode,
        Reply<Vec<Result<CreatedTopic, CreateTopicError>>>,
    ),
    DeleteTopics(
        Vec<TopicRef>,
        Reply<Vec<Result<DeletedTopic, DeleteTopicError>>>,
    ),
    CreatePartitions(
        Vec<NewPartitions>,
        Mode,
        Reply<Vec<Result<(), CreatePartitionsError>>>,
    ),
    AlterConfigs(
        Vec<ConfigChange>,
        Mode,
        Reply<Vec<Result<(), AlterConfigError>>>,
    ),
    AlterQuotas(
        Vec<QuotaAlteration>,
        Mode,
        Reply<Vec<Result<(), AlterQuotaError>>>,
    ),
    ProducerIds(u32, Reply<Result<Range<i64>, AllocateProducerIdsError>>),
    Close(Reply<()>),
}

/// Whether a plan is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Commit,
    ValidateOnly,
}

impl Mode {
    fn of(validate_only: bool) -> Self {
        if validate_only {
            Self::ValidateOnly
        } else {
            Self::Commit
        }
    }
}

impl Controller {
    /// Takes over the metadata in `store`, creating the cluster where there is none. The caller runs the task; until it does,
    /// changes wait, and the image can be read.
    ///
    /// # Errors
    /// When the store cannot be used, or is not the configured cluster's.
    pub async fn open(
        store: Arc<dyn MetaStore>,
        options: ControllerOptions,
    ) -> Result<(Self, ControllerTask), OpenError> {
        let node_id = options.node_id;
        let campaign = task::campaign(&*store, options).await?;
        let image = Arc::new(campaign.image);
        let shared = Arc::new(Shared {
            image: ArcSwap::new(Arc::clone(&image)),
            published: watch::Sender::new(image),
            producer_ids: ProducerIdPool::default(),
        });
        let (commands, queue) = mpsc::channel(QUEUE_MAX);
        let task = ControllerTask::new(
            store,
            campaign.watch,
            node_id,
            campaign.entropy,
            queue,
            Arc::clone(&shared),
        );
        Ok((Self { commands, shared }, task))
    }

    /// The metadata as of the last revision that reached this process. Never waits.
    #[must_use]
    pub fn image(&self) -> Arc<ClusterImage> {
        self.shared.image.load_full()
    }

    /// The image now, and every time it changes. A slow reader sees the latest one;
    /// [`ClusterImage::changes_since`] tells what it missed.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<ClusterImage>> {
        self.shared.published.subscribe()
    }

    /// Registers the broker's process, gives every partition that it leads a new leader epoch (statement M7), and makes it active.
    /// Returns its broker epoch, which the caller keeps for the next [`BrokerRegistration::remembered_epoch`].
    ///
    /// # Errors
    /// When the store refuses; the broker may then be registered and fenced, and the call is to be repeated.
    pub async fn register_broker(
        &self,
        registration: BrokerRegistration,
    ) -> Result<i64, ControllerError> {
        self.ask(|reply| Command::Register(registration, reply))
            .await?
    }

    /// Creates topics, or with `validate_only` says what would become of it. Answers are in the order of `topics`; a topic that was
    /// created is in [`image`](Self::image) when they arrive.
    pub async fn create_topics(
        &self,
        topics: Vec<NewTopic>,
        validate_only: bool,
    ) -> Vec<Result<CreatedTopic, CreateTopicError>> {
        let items = topics.len();
        let answers = self
            .ask(|reply| Command::CreateTopics(topics, Mode::of(validate_only), reply))
            .await;
        or_for_each(items, answers)
    }

    /// Deletes topics. Answers are in the order of `topics`.
    pub async fn delete_topics(
        &self,
        topics: Vec<TopicRef>,
    ) -> Vec<Result<DeletedTopic, DeleteTopicError>> {
        let items = topics.len();
        let answers = self.ask(|reply| Command::DeleteTopics(topics, reply)).await;
        or_for_each(items, answers)
    }

    /// Adds partitions to topics, or with `validate_only` says what would become of it. Answers are in the order of `topics`.
    pub async fn create_partitions(
        &self,
        topics: Vec<NewPartitions>,
        validate_only: bool,
    ) -> Vec<Result<(), CreatePartitionsError>> {
        let items = topics.len();
        let answers = self
            .ask(|reply| Command::CreatePartitions(topics, Mode::of(validate_only), reply))
            .await;
        or_for_each(items, answers)
    }

    /// Changes overrides, or with `validate_only` says what would become of it. Answers are in the order of `changes`, and each
    /// resource changes as a whole or not at all.
    pub async fn alter_configs(
        &self,
        changes: Vec<ConfigChange>,
        validate_only: bool,
    ) -> Vec<Result<(), AlterConfigError>> {
        let items = changes.len();
        let answers = self
            .ask(|reply| Command::AlterConfigs(changes, Mode::of(validate_only), reply))
            .await;
        or_for_each(items, answers)
    }

    /// Changes client quotas, or with `validate_only` says what would become of it. Answers are in the order of `alterations`;
    /// each is carried out as a whole or not at all.
    pub async fn alter_client_quotas(
        &self,
        alterations: Vec<QuotaAlteration>,
        validate_only: bool,
    ) -> Vec<Result<(), AlterQuotaError>> {
        let items = alterations.len();
        let answers = self
            .ask(|reply| Command::AlterQuotas(alterations, Mode::of(validate_only), reply))
            .await;
        or_for_each(items, answers)
    }

    /// `count` consecutive producer ids (at least one) that nobody was ever given, nor will be after any crash. Usually from
    /// memory; once in a thousand ids it waits for the disk.
    ///
    /// # Errors
    /// When the store refuses, or the ids are used up.
    pub async fn allocate_producer_ids(
        &self,
        count: u32,
    ) -> Result<Range<i64>, AllocateProducerIdsError> {
        if let Some(ids) = self.shared.producer_ids.take(count) {
            return Ok(ids);
        }
        self.ask(|reply| Command::ProducerIds(count, reply)).await?
    }

    /// Ends the task after the requests that were made before, and with it the use of the store. Later requests are answered
    /// [`ControllerError::Stopped`]. Waits for the task, which therefore has to be running.
    pub async fn close(&self) {
        // A task that has ended already is closed as well.
        let _ = self.ask(Command::Close).await;
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, ControllerError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| ControllerError::Stopped)?;
        answer.await.map_err(|_| ControllerError::Stopped)
    }
}

/// The answers, or for each item the reason why there are none.
fn or_for_each<T, E: From<ControllerError>>(
    items: usize,
    answers: Result<Vec<Result<T, E>>, ControllerError>,
) -> Vec<Result<T, E>> {
    answers.unwrap_or_else(|error| (0..items).map(|_| Err(error.clone().into())).collect())
}

#[cfg(test)]
mod tests;
