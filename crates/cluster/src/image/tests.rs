use super::*;
use crate::keys::Key;
use crate::store::Op;
use crate::values::{ConfigRecord, TopicState};
use prost::Message;

fn event(key: Key, record: &impl Message, revision: Revision) -> Event {
    let Op::Put { key, value, .. } = crate::plan::put(key.text(), record) else {
        unreachable!("put makes a put")
    };
    Event::Put(Kv {
        key,
        value,
        mod_revision: revision,
    })
}

fn topic_record(id: u128, count: i32, state: TopicState) -> TopicRecord {
    let topic_id = Uuid::from_u128(id).as_bytes().to_vec();
    TopicRecord {
        topic_id,
        partition_count: count,
        replication_factor: 1,
        state: state.into(),
        internal: false,
    }
}

fn topic(name: &str, id: u128, partitions: i32, revision: Revision) -> Vec<Event> {
    let state = PartitionState {
        leader: 1,
        replicas: vec![1],
        isr: vec![1],
        ..Default::default()
    };
    let records = (0..partitions).map(|number| {
        event(
            Key::Partition(Uuid::from_u128(id), number),
            &state,
            revision,
        )
    });
    let record = event(
        Key::Topic(name.into()),
        &topic_record(id, partitions, TopicState::Active),
        revision,
    );
    std::iter::once(record).chain(records).collect()
}

fn apply(image: &ClusterImage, events: Vec<Event>) -> ClusterImage {
    image
        .apply(&Batch {
            revision: image.revision + 1,
            events,
        })
        .expect("the batch is readable")
}

#[test]
fn the_order_of_events_within_a_revision_does_not_matter() {
    let mut events = topic("orders", 7, 3, 1);
    let forwards = apply(&ClusterImage::default(), events.clone());
    events.reverse();
    let backwards = apply(&ClusterImage::default(), events);
    for image in [forwards, backwards] {
        assert_eq!(image.topic("orders").unwrap().partitions.len(), 3);
        assert!(image.work.topics.is_empty());
    }
}

#[test]
fn a_topic_appears_when_it_is_active_and_vanishes_when_it_is_being_deleted() {
    let id = Uuid::from_u128(7);
    let creating = event(
        Key::Topic("orders".into()),
        &topic_record(7, 1, TopicState::Creating),
        1,
    );
    let image = apply(&ClusterImage::default(), vec![creating]);
    assert!(image.topic("orders").is_none() && image.name_is_taken("orders"));
    let partition = topic("orders", 7, 1, 2).remove(1);
    let image = apply(&image, vec![partition]);
    assert!(image.topic_by_id(id).is_none());
    let active = event(
        Key::Topic("orders".into()),
        &topic_record(7, 1, TopicState::Active),
        3,
    );
    let image = apply(&image, vec![active]);
    assert_eq!(image.topic("orders").unwrap().partition_revisions, [2]);
    assert!(image.work.topics.is_empty());
    let deleting = event(
        Key::Topic("orders".into()),
        &topic_record(7, 1, TopicState::Deleting),
        4,
    );
    let image = apply(&image, vec![deleting]);
    assert!(
        image.topic("orders").is_none()
            && image.topic_by_id(id).is_none()
            && image.name_is_taken("orders")
    );
    let keys = [Key::Topic("orders".into()), Key::Partition(id, 0)];
    let image = apply(
        &image,
        keys.map(|key| Event::Delete { key: key.text() }).to_vec(),
    );
    assert!(!image.name_is_taken("orders") && image.work.topics.is_empty());
}

#[test]
fn overrides_come_to_the_topic_in_whichever_order_they_are_written() {
    let values = BTreeMap::from([("retention.ms".to_owned(), "1".to_owned())]);
    let config = |revision| {
        event(
            Key::Config(ConfigResource::Topic("orders".into())),
            &ConfigRecord {
                values: values.clone(),
            },
            revision,
        )
    };
    let before = apply(
        &apply(&ClusterImage::default(), vec![config(1)]),
        topic("orders", 7, 1, 2),
    );
    let after = apply(
        &apply(&ClusterImage::default(), topic("orders", 7, 1, 1)),
        vec![config(2)],
    );
    for image in [&before, &after] {
        assert_eq!(*image.topic("orders").unwrap().configs, values);
    }
    let removed = apply(
        &after,
        vec![Event::Delete {
            key: "cfg/topic/orders".into(),
        }],
    );
    assert!(removed.topic("orders").unwrap().configs.is_empty());
    assert_eq!(
        removed.changes_since(&after).configs,
        [ConfigResource::Topic("orders".into())]
    );
    assert!(matches!(
        &removed.changes_since(&after).topics[..],
        [TopicChange::Changed { .. }]
    ));
}

#[test]
fn in_one_revision_a_name_can_pass_to_another_topic() {
    for (old, new) in [(1, 2), (2, 1)] {
        let image = apply(&ClusterImage::default(), topic("a.b", old, 1, 1));
        let mut events = vec![Event::Delete {
            key: Key::Partition(Uuid::from_u128(old), 0).text(),
        }];
        events.extend(topic("a.b", new, 2, 2));
        let image = apply(&image, events);
        assert_eq!(image.topic("a.b").unwrap().id, Uuid::from_u128(new));
        assert!(image.topic_by_id(Uuid::from_u128(old)).is_none());
        assert_eq!(
            image.colliding_topic("a_b").map(|name| &**name),
            Some("a.b")
        );
        assert_eq!((image.topic_count(), image.work.topics.len()), (1, 0));
    }
}

#[test]
fn an_image_shares_what_a_revision_does_not_touch() {
    let many = (0..1_000)
        .flat_map(|number| topic(&format!("t{number}"), 1_000 + number, 5, 1))
        .collect();
    let before = apply(&ClusterImage::default(), many);
    let after = apply(&before, topic("t500", 1_500, 5, 2));
    let copied = after.topics().filter(|topic| {
        !before
            .topic(&topic.name)
            .is_some_and(|old| Arc::ptr_eq(old, topic))
    });
    assert_eq!(copied.count(), 1);
    let changes = after.changes_since(&before);
    assert!(
        matches!(&changes.topics[..], [TopicChange::Changed { after, .. }] if &*after.name == "t500")
    );
}

#[test]
fn keys_of_another_version_are_left_alone_and_broken_ones_are_named() {
    let put = |key: &str, value: &'static [u8]| {
        Event::Put(Kv {
            key: key.into(),
            value: value.into(),
            mod_revision: 1,
        })
    };
    let image = apply(
        &ClusterImage::default(),
        vec![put("acl/1", b"?"), put("cfg/quota/x", b"?")],
    );
    assert_eq!(image.revision, 1);
    for (key, value) in [
        ("b/x", b"".as_slice()),
        ("b/1", b"\xff"),
        ("pid", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ("t/a", b""),
        ("p/AAAAAAAAAAAAAAAAAAAAAQ/00000", b"\x08"),
    ] {
        let error = ClusterImage::default().apply(&Batch {
            revision: 1,
            events: vec![put(key, value)],
        });
        assert_eq!(error.err().map(|error| error.key), Some(key.to_owned()));
    }
}
