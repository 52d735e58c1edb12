//! A broker's worth of metadata on one directory, through the room's public door.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod etcd;

use std::path::Path;

use tidewater_cluster::{
    BrokerRegistration, Controller, ControllerOptions, CreateTopicError, EmbeddedStore, Layout,
    Listener, NewTopic,
};
use uuid::Uuid;

pub(crate) struct Node {
    pub(crate) controller: Controller,
    task: tokio::task::JoinHandle<()>,
}

impl Node {
    /// Node 1 on the store in `dir`, registered.
    pub(crate) async fn start(dir: &Path) -> Self {
        let store = EmbeddedStore::open(dir).expect("the store opens");
        let options = ControllerOptions {
            node_id: 1,
            incarnation: Uuid::new_v4(),
            cluster_id: None,
            created_by: "test".into(),
            entropy: tidewater_cluster::system_entropy(),
        };
        let (controller, task) = Controller::open(std::sync::Arc::new(store), options)
            .await
            .expect("the controller opens");
        let node = Self {
            controller,
            task: tokio::spawn(task.run()),
        };
        node.controller
            .register_broker(registration())
            .await
            .expect("registration succeeds");
        node
    }

    pub(crate) async fn stop(self) {
        self.controller.close().await;
        self.task.await.expect("the task ends in order");
    }

    /// Creates topics in one request; all must succeed.
    pub(crate) async fn create_many(&self, names: impl Iterator<Item = String>, partitions: i32) {
        let layout = Layout::Automatic {
            partitions,
            replication_factor: 1,
        };
        let topic = |name| NewTopic {
            name,
            layout: layout.clone(),
            configs: Default::default(),
            min_isr: 1,
        };
        let answers = self
            .controller
            .create_topics(names.map(topic).collect(), false)
            .await;
        assert!(answers.iter().all(Result::is_ok));
    }

    pub(crate) async fn create(
        &self,
        name: &str,
        partitions: i32,
    ) -> Result<Uuid, CreateTopicError> {
        let layout = Layout::Automatic {
            partitions,
            replication_factor: 1,
        };
        let topic = NewTopic {
            name: name.into(),
            layout,
            configs: Default::default(),
            min_isr: 1,
        };
        self.controller
            .create_topics(vec![topic], false)
            .await
            .remove(0)
            .map(|created| created.id)
    }
}

fn registration() -> BrokerRegistration {
    let host = "localhost".into();
    BrokerRegistration {
        node_id: 1,
        incarnation: Uuid::new_v4(),
        listeners: vec![Listener {
            name: "PLAINTEXT".into(),
            host,
            port: 9092,
            security_protocol: 0,
        }],
        rack: None,
        log_dirs: Vec::new(),
        features: Vec::new(),
        remembered_epoch: -1,
        clean_shutdown: false,
    }
}
