//! The loop that owns the controller's work: take a request, plan it against the image, commit the steps, publish what came of it.

use std::ops::Range;
use std::sync::Arc;

use prost::Message;
use tokio::sync::mpsc;

use super::producer_ids::block_for;
use super::{AllocateProducerIdsError, Command, ControllerOptions, Mode, Shared};
use crate::error::{ControllerError, OpenError};
use crate::ids::{Entropy, id_text, new_id};
use crate::image::ClusterImage;
use crate::keys::{Key, LAYOUT_VERSION};
use crate::plan::registration::BrokerRegistration;
use crate::plan::{self, Plan, Step, put, registration, unfinished};
use crate::store::{Kv, MetaStore, MetaWatch, Op, Outcome, Revision, Txn, WatchItem};
use crate::values::{ClusterMeta, ControllerEpoch, ControllerRecord, ProducerIdBlock};

/// The controller's work. Whoever opened the controller runs it.
pub struct ControllerTask {
    store: Arc<dyn MetaStore>,
    watch: Box<dyn MetaWatch>,
    node_id: i32,
    /// The revision under which this process became controller: the guard of all its writes.
    elected_at: Revision,
    image: Arc<ClusterImage>,
    entropy: Entropy,
    queue: mpsc::Receiver<Command>,
    shared: Arc<Shared>,
    /// Whether a transaction ended in a way that leaves the image behind the store.
    must_reread: bool,
    /// Whether the last transaction was a deferred one, so that none after it has brought it to the disk.
    undurable: bool,
}

impl ControllerTask {
    pub(super) fn new(
        store: Arc<dyn MetaStore>,
        watch: Box<dyn MetaWatch>,
        node_id: i32,
        entropy: Entropy,
        queue: mpsc::Receiver<Command>,
        shared: Arc<Shared>,
    ) -> Self {
        let image = shared.image.load_full();
        let elected_at = image.tokens.controller_leader;
        Self {
            store,
            watch,
            node_id,
            elected_at,
            image,
            entropy,
            queue,
            shared,
            must_reread: false,
            undurable: false,
        }
    }

    /// Works until the controller is closed or its last handle is gone. A request whose caller has given up is carried out all the same.
    pub async fn run(mut self) {
        loop {
            tokio::select! {
                command = self.queue.recv() => match command {
                    None => return,
                    Some(Command::Close(done)) => {
                        self.queue.close();
                        drop(self.store);
                        let _ = done.send(());
                        return;
                    }
                    Some(command) => self.obey(command).await,
                },
                item = self.watch.next(), if !self.must_reread => {
                    if let Err(error) = self.follow(item).await {
                        // The next request tries again; trying here would be a loop without a pause.
                        self.must_reread = true;
                        tracing::error!(%error, "the metadata image cannot be moved forward");
                    }
                }
            }
        }
    }

    /// An answer that nobody waits for any more is dropped.
    async fn obey(&mut self, command: Command) {
        match command {
            Command::Register(registration, reply) => {
                drop(reply.send(self.register(registration).await))
            }
            Command::CreateTopics(topics, mode, reply) => {
                let seed = (self.entropy)() as u64;
                let answers = self.carry_out(mode, topics.len(), |image, entropy| {
                    plan::create::create_topics(image, &topics, seed, || new_id(entropy))
                });
                drop(reply.send(answers.await));
            }
            Command::DeleteTopics(topics, reply) => {
                let answers = self.carry_out(Mode::Commit, topics.len(), |image, _| {
                    plan::delete::delete_topics(image, &topics)
                });
                drop(reply.send(answers.await));
            }
            Command::CreatePartitions(topics, mode, reply) => {
                let answers = self.carry_out(mode, topics.len(), |image, entropy| {
                    plan::expand::create_partitions(image, &topics, entropy() as u64)
                });
                drop(reply.send(answers.await));
            }
            Command::AlterConfigs(changes, mode, reply) => {
                let answers = self.carry_out(mode, changes.len(), |image, _| {
                    plan::configs::alter_configs(image, &changes)
                });
                drop(reply.send(answers.await));
            }
            Command::AlterQuotas(alterations, mode, reply) => {
                let answers = self.carry_out(mode, alterations.len(), |image, _| {
                    plan::quotas::alter_quotas(image, &alterations)
                });
                drop(reply.send(answers.await));
            }
            Command::ProducerIds(count, reply) => drop(reply.send(self.producer_ids(count).await)),
            // Taken by `run`, which alone can end itself.
            Command::Close(reply) => drop(reply.send(())),
        }
    }

    /// Plans against a current image and commits; an item whose step fails gets the reason as its answer.
    async fn carry_out<T, E: From<ControllerError>>(
        &mut self,
        mode: Mode,
        items: usize,
        plan: impl FnOnce(&ClusterImage, &mut Entropy) -> Plan<T, E>,
    ) -> Vec<Result<T, E>> {
        if mode == Mode::Commit
            && let Err(error) = self.settle().await
        {
            return super::or_for_each(items, Err(error));
        }
        let Plan { mut answers, steps } = plan(&self.image, &mut self.entropy);
        if mode == Mode::ValidateOnly {
            return answers;
        }
        let last = steps.len().saturating_sub(1);
        for (index, Step { mut txn, items }) in steps.into_iter().enumerate() {
            // A step all of whose items have failed would only add to what is half done.
            if items.iter().all(|&item| answers[item].is_err()) {
                continue;
            }
            txn.deferred = index < last;
            if let Err(error) = self.commit(txn).await {
                for item in items {
                    answers[item] = Err(error.clone().into());
                }
            }
        }
        // The last step failed or was left out: what the others did is promised now, so it has to be on disk.
        if self.undurable
            && let Err(error) = self.commit(Txn::default()).await
        {
            return super::or_for_each(items, Err(error));
        }
        answers
    }

    async fn register(&mut self, registration: BrokerRegistration) -> Result<i64, ControllerError> {
        self.settle().await?;
        let record = registration::fenced_record(&self.image, &registration);
        let mut fenced = registration::register(&self.image, registration.node_id, &record);
        fenced.deferred = true;
        self.commit(fenced).await?;
        let steps = registration::activate(&self.image, registration.node_id);
        let last = steps.len().saturating_sub(1);
        for (index, Step { mut txn, .. }) in steps.into_iter().enumerate() {
            txn.deferred = index < last;
            self.commit(txn).await?;
        }
        tracing::info!(
            node_id = registration.node_id,
            broker_epoch = record.broker_epoch,
            "broker registered"
        );
        Ok(record.broker_epoch)
    }

    async fn producer_ids(&mut self, count: u32) -> Result<Range<i64>, AllocateProducerIdsError> {
        self.settle().await?;
        // Whoever waited before this request may have brought a block that is not used up.
        if let Some(ids) = self.shared.producer_ids.take(count) {
            return Ok(ids);
        }
        let next = self.image.producer_ids.next_producer_id;
        let block = block_for(next, count)?;
        let broker_epoch = self
            .image
            .brokers
            .get(&self.node_id)
            .map_or(-1, |broker| broker.broker_epoch);
        let record = ProducerIdBlock {
            next_producer_id: block.end,
            broker_id: self.node_id,
            broker_epoch,
        };
        let key = Key::ProducerIds.text();
        let mut txn = Txn::default().when(key.clone(), self.image.tokens.producer_ids);
        txn.ops.push(put(key, &record));
        self.commit(txn).await?;
        self.shared.producer_ids.refill(block);
        self.shared
            .producer_ids
            .take(count)
            .ok_or(AllocateProducerIdsError::Exhausted { next })
    }

    /// Brings the image up to the store where a failure left it behind, and finishes what was left half done.
    async fn settle(&mut self) -> Result<(), ControllerError> {
        if self.must_reread {
            self.reread().await?;
        }
        if unfinished::is_something_unfinished(&self.image) {
            for step in unfinished::finish(&self.image) {
                self.commit(step.txn).await?;
            }
        }
        Ok(())
    }

    /// Commits one transaction under the guard, and returns when the image has it.
    async fn commit(&mut self, txn: Txn) -> Result<(), ControllerError> {
        let txn = txn.when(Key::ControllerLeader.text(), self.elected_at);
        let outcome = self
            .store
            .txn(txn.clone())
            .await
            .inspect_err(|error| tracing::error!(%error, "a metadata change failed"))?;
        match outcome {
            Outcome::Applied(revision) => {
                self.undurable = txn.deferred;
                self.catch_up(revision).await
            }
            Outcome::Conflict(found) => {
                tracing::error!(
                    compared = found.len(),
                    "a metadata change met another controller's"
                );
                self.must_reread = true;
                Err(ControllerError::Conflict)
            }
            Outcome::Unknown { reason } => {
                tracing::error!(%reason, "whether a metadata change was made is not known; reading again");
                self.must_reread = true;
                let reread = self.reread_and_look_for(&txn).await;
                reread.unwrap_or(Err(ControllerError::Unknown { reason }))
            }
        }
    }

    /// After an unknown outcome: `Ok` if the store holds what `txn` writes.
    async fn reread_and_look_for(
        &mut self,
        txn: &Txn,
    ) -> Result<Result<(), ControllerError>, ControllerError> {
        let found = self.reread().await?;
        let value_of = |key: &str| found.iter().find(|kv| kv.key == key).map(|kv| &kv.value);
        let is_done = |op: &Op| match op {
            Op::Put { key, value, .. } => value_of(key) == Some(value),
            Op::Delete { key } => value_of(key).is_none(),
            Op::DeletePrefix { prefix } => !found.iter().any(|kv| kv.key.starts_with(prefix)),
        };
        let reason = || crate::store::StoreError::Unavailable {
            reason: "the change was not written".into(),
        };
        Ok(if txn.ops.iter().all(is_done) {
            Ok(())
        } else {
            Err(reason().into())
        })
    }

    async fn catch_up(&mut self, revision: Revision) -> Result<(), ControllerError> {
        while self.image.revision < revision {
            let item = self.watch.next().await;
            self.follow(item).await?;
        }
        Ok(())
    }

    async fn follow(&mut self, item: WatchItem) -> Result<(), ControllerError> {
        match item {
            WatchItem::Batch(batch) => self.publish(self.image.apply(&batch)?),
            WatchItem::Compacted => drop(self.reread().await?),
            WatchItem::Lost => return Err(ControllerError::Stopped),
        }
        Ok(())
    }

    /// Replaces the image by what the store holds, and watches from there.
    async fn reread(&mut self) -> Result<Vec<Kv>, ControllerError> {
        let (revision, found) = self.store.snapshot(&[""]).await?;
        self.watch = self.store.watch(revision + 1);
        let image = ClusterImage::from_snapshot(revision, found.clone())?;
        self.must_reread = false;
        self.publish(image);
        Ok(found)
    }

    fn publish(&mut self, image: ClusterImage) {
        self.image = Arc::new(image);
        self.shared.image.store(Arc::clone(&self.image));
        self.shared.published.send_replace(Arc::clone(&self.image));
    }
}

/// What a campaign that was won leaves.
pub(super) struct Campaign {
    pub(super) image: ClusterImage,
    pub(super) watch: Box<dyn MetaWatch>,
    pub(super) entropy: Entropy,
}

/// Becomes controller: takes `ctl/leader` with a new epoch, and creates the cluster where there is none, in one transaction.
pub(super) async fn campaign(
    store: &dyn MetaStore,
    mut options: ControllerOptions,
) -> Result<Campaign, OpenError> {
    let (revision, found) = store.snapshot(&[""]).await?;
    let meta = found.iter().find(|kv| kv.key == Key::Meta.text()).cloned();
    let mut image = ClusterImage::from_snapshot(revision, found)?;
    let mut txn = take_leadership(&image, &options);
    match meta {
        Some(meta) => check_cluster(&image, &meta, &options)?,
        None => {
            txn = txn.when(Key::Meta.text(), 0);
            txn.ops
                .push(put(Key::Meta.text(), &new_cluster(&mut options)?));
        }
    }
    let elected = match store.txn(txn).await? {
        Outcome::Applied(revision) => revision,
        Outcome::Conflict(_) => return Err(OpenError::Superseded { revision }),
        Outcome::Unknown { reason } => return Err(OpenError::Unknown { reason }),
    };
    let mut watch = store.watch(revision + 1);
    while image.revision < elected {
        let WatchItem::Batch(batch) = watch.next().await else {
            return Err(OpenError::Superseded { revision });
        };
        image = image.apply(&batch)?;
    }
    tracing::info!(cluster_id = %image.cluster_id, revision = image.revision, topics = image.topic_count(), "metadata opened");
    Ok(Campaign {
        watch,
        image,
        entropy: options.entropy,
    })
}

fn new_cluster(options: &mut ControllerOptions) -> Result<ClusterMeta, OpenError> {
    let is_legal = |id: &str| {
        (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let cluster_id = match options.cluster_id.take() {
        Some(configured) if !is_legal(&configured) => {
            return Err(OpenError::InvalidClusterId { configured });
        }
        Some(configured) => configured,
        None => id_text(new_id(&mut options.entropy)),
    };
    Ok(ClusterMeta {
        cluster_id,
        layout_version: LAYOUT_VERSION,
        created_by: options.created_by.clone(),
        reader_version_min: LAYOUT_VERSION,
    })
}

fn take_leadership(image: &ClusterImage, options: &ControllerOptions) -> Txn {
    let controller_epoch = image.tokens.controller_epochs.saturating_add(1);
    let record = ControllerRecord {
        node_id: options.node_id,
        incarnation: options.incarnation.as_bytes().to_vec(),
        controller_epoch,
        endpoint: String::new(),
    };
    let mut txn = Txn::default()
        .when(Key::ControllerLeader.text(), 0)
        .when(Key::ControllerEpoch.text(), image.tokens.controller_epoch);
    txn.ops.push(put(Key::ControllerLeader.text(), &record));
    txn.ops.push(put(
        Key::ControllerEpoch.text(),
        &ControllerEpoch {
            epoch: controller_epoch,
        },
    ));
    txn
}

fn check_cluster(
    image: &ClusterImage,
    meta: &Kv,
    options: &ControllerOptions,
) -> Result<(), OpenError> {
    let needed = ClusterMeta::decode(meta.value.as_ref()).map_or(0, |meta| meta.reader_version_min);
    if needed > LAYOUT_VERSION {
        return Err(OpenError::UnsupportedLayout {
            needed,
            known: LAYOUT_VERSION,
        });
    }
    match &options.cluster_id {
        Some(configured) if *configured != image.cluster_id => Err(OpenError::ClusterIdMismatch {
            stored: image.cluster_id.clone(),
            configured: configured.clone(),
        }),
        _ => Ok(()),
    }
}
