//! Who leads what: the metadata image, the controller's plan (pure), and the metadata store.
//!
//! The promise: a change that was answered is durable, is in the image of the process that asked for it, and was made by the only
//! controller there was; ids and epochs, once given, are never given again, whatever crashes.
//!
//! [`Controller`] takes changes, one after the other, and publishes a [`ClusterImage`] for every revision; handlers read the image
//! and never the store. What a change means is decided in pure functions (`plan`, `transition`); how it becomes durable is the
//! store's business ([`EmbeddedStore`] for a node alone), and both stores keep the same keys and values.
//!
//! It knows no Kafka request and no error code, no log and no segment file, no configuration key and no clock.

mod chunked_map;
mod controller;
mod embedded;
mod error;
mod etcd;
mod ids;
mod image;
mod keys;
mod plan;
mod quota_entity;
pub mod store;
mod transition;
pub mod values;

pub use controller::{AllocateProducerIdsError, Controller, ControllerOptions, ControllerTask};
pub use embedded::EmbeddedStore;
pub use error::{ControllerError, OpenError};
pub use etcd::{EtcdOptions, EtcdStore, EtcdTls};
pub use ids::{Entropy, id_text, is_reserved, new_id, parse_id, system_entropy};
pub use image::{
    ClusterImage, ConfigImage, ImageChanges, ImageError, QuotaImage, TopicChange, TopicImage,
};
pub use keys::ConfigResource;
pub use plan::configs::{AlterConfigError, ConfigChange, ConfigOps};
pub use plan::create::{CreateTopicError, CreatedTopic, InvalidAssignment, Layout, NewTopic};
pub use plan::delete::{DeleteTopicError, DeletedTopic, TopicRef};
pub use plan::elect::{ElectLeaderError, ElectionType, why_no_election};
pub use plan::expand::{CreatePartitionsError, NewPartitions};
pub use plan::names::{InvalidTopicName, check_topic_name, is_internal_topic};
pub use plan::placement::PlacementError;
pub use plan::quotas::{AlterQuotaError, QuotaAlteration, QuotaKey};
pub use plan::reassign::{ReassignError, Reassignment, check_reassignment};
pub use plan::registration::BrokerRegistration;
pub use quota_entity::{QUOTA_CLIENT_ID, QUOTA_IP, QUOTA_USER, QuotaEntity, QuotaName};
pub use values::{BrokerRecord, BrokerState, Listener, NO_LEADER, PartitionState};
