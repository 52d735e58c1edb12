//! Changing dynamic configuration (statements A3 and A4). What a key means and which values it takes is the caller's knowledge.

use std::collections::{BTreeMap, HashMap};

use super::create::CONFIG_BYTES_MAX;
use super::registration::rewrite;
use super::{Packer, Plan, put};
use crate::error::ControllerError;
use crate::image::ClusterImage;
use crate::keys::{ConfigResource, Key};
use crate::store::{Op, Revision, Txn};
use crate::transition::PartitionEvent;
use crate::values::ConfigRecord;

/// A change of one resource's overrides; all of it happens or nothing. The caller has checked keys and values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    /// Whose overrides.
    pub resource: ConfigResource,
    /// What changes.
    pub ops: ConfigOps,
    /// The revision of the overrides that the caller looked at (0: that there were none), if the change depends on them.
    pub expected_revision: Option<Revision>,
    /// For a topic: the value of `min.insync.replicas` that applies afterwards, if the change may alter it.
    pub min_isr: Option<i32>,
}

/// How overrides change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigOps {
    /// Sets each key to a value, or with `None` removes its override.
    Incremental(BTreeMap<String, Option<String>>),
    /// Makes these all the overrides there are.
    Replace(BTreeMap<String, String>),
}

/// Why overrides were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlterConfigError {
    /// There is no such topic.
    #[error("there is no topic {name}")]
    UnknownTopic {
        /// The name asked for.
        name: String,
    },
    /// A resource that nothing can be stored under.
    #[error("there can be no configuration of {resource}")]
    InvalidResource {
        /// The resource.
        resource: ConfigResource,
    },
    /// The request names it more than once.
    #[error("Each resource must appear at most once.")]
    DuplicateInRequest {
        /// The resource.
        resource: ConfigResource,
    },
    /// The overrides were changed since the caller looked at them.
    #[error(
        "the configuration of {resource} was changed at revision {found}, after revision {expected}"
    )]
    Changed {
        /// The resource.
        resource: ConfigResource,
        /// What the caller had seen.
        expected: Revision,
        /// What is there.
        found: Revision,
    },
    /// The overrides are too large to be stored.
    #[error(
        "the configuration of {resource} would have {bytes} bytes: {CONFIG_BYTES_MAX} is the most"
    )]
    TooLarge {
        /// The resource.
        resource: ConfigResource,
        /// Bytes of the stored form.
        bytes: usize,
    },
    /// The controller could not do it.
    #[error(transparent)]
    Controller(#[from] ControllerError),
}

/// Plans `changes`, each on its own.
pub(crate) fn alter_configs(
    image: &ClusterImage,
    changes: &[ConfigChange],
) -> Plan<(), AlterConfigError> {
    let mut packer = Packer::default();
    let mut times: HashMap<&ConfigResource, usize> = HashMap::new();
    for change in changes {
        *times.entry(&change.resource).or_default() += 1;
    }
    let answer = |(item, change): (usize, &ConfigChange)| {
        let resource = || change.resource.clone();
        if times.get(&change.resource).is_some_and(|&times| times > 1) {
            return Err(AlterConfigError::DuplicateInRequest {
                resource: resource(),
            });
        }
        check_resource(image, &change.resource)?;
        let found = image
            .config(&change.resource)
            .map_or(0, |config| config.revision);
        if let Some(expected) = change
            .expected_revision
            .filter(|&expected| expected != found)
        {
            return Err(AlterConfigError::Changed {
                resource: resource(),
                expected,
                found,
            });
        }
        let txn = write(image, change, found)?;
        if let (ConfigResource::Topic(name), Some(min_isr)) = (&change.resource, change.min_isr)
            && let Some(topic) = image.topic(name)
        {
            // The records first: a leader that goes by the old, lower number is then already known to the controller.
            rewrite(
                topic,
                PartitionEvent::MinIsrChanged(min_isr),
                |node| image.is_active(node),
                item,
                &mut packer,
            );
        }
        if let Some(txn) = txn {
            packer.add(item, txn, 1);
        }
        Ok(())
    };
    let answers = changes.iter().enumerate().map(answer).collect();
    Plan {
        answers,
        steps: packer.into_steps(),
    }
}

fn check_resource(image: &ClusterImage, resource: &ConfigResource) -> Result<(), AlterConfigError> {
    match resource {
        ConfigResource::Topic(name) if image.topic(name).is_none() => {
            Err(AlterConfigError::UnknownTopic { name: name.clone() })
        }
        // What could not be read back must not be written.
        _ if Key::parse(&Key::Config(resource.clone()).text())
            != Ok(Key::Config(resource.clone())) =>
        {
            Err(AlterConfigError::InvalidResource {
                resource: resource.clone(),
            })
        }
        _ => Ok(()),
    }
}

/// The write that turns what is there into what is wanted; `None` when that is the same.
fn write(
    image: &ClusterImage,
    change: &ConfigChange,
    found: Revision,
) -> Result<Option<Txn>, AlterConfigError> {
    let current = image.config(&change.resource).map(|config| &*config.values);
    let wanted = wanted(current, &change.ops);
    if current.map_or(wanted.is_empty(), |current| *current == wanted) {
        return Ok(None);
    }
    let key = Key::Config(change.resource.clone()).text();
    let guarded = Txn::default().when(key.clone(), found);
    if wanted.is_empty() {
        return Ok(Some(guarded.delete(key)));
    }
    let op = put(key, &ConfigRecord { values: wanted });
    if let Op::Put { value, .. } = &op
        && value.len() > CONFIG_BYTES_MAX
    {
        return Err(AlterConfigError::TooLarge {
            resource: change.resource.clone(),
            bytes: value.len(),
        });
    }
    Ok(Some(Txn {
        ops: vec![op],
        ..guarded
    }))
}

fn wanted(current: Option<&BTreeMap<String, String>>, ops: &ConfigOps) -> BTreeMap<String, String> {
    match ops {
        ConfigOps::Replace(values) => values.clone(),
        ConfigOps::Incremental(ops) => {
            let mut values = current.cloned().unwrap_or_default();
            for (key, value) in ops {
                match value {
                    Some(value) => values.insert(key.clone(), value.clone()),
                    None => values.remove(key),
                };
            }
            values
        }
    }
}
