//! What consumers see of the records of transactions.

use tidewater_tests::batch;

use super::*;

#[tokio::test]
async fn what_was_committed_is_seen_and_what_was_aborted_is_not() {
    for rules in BOTH {
        let broker = broker().await;
        let mut reader = broker.client().await;
        let mut producer = Transactional::start(&broker, rules, "shop").await;
        producer.produce("orders", 0, &["a", "b"]).await;
        producer.produce("orders", 1, &["c"]).await;
        producer.commit().await;
        producer.produce("orders", 0, &["lost"]).await;
        producer.produce("orders", 2, &["lost too"]).await;
        producer.abort().await;
        producer.produce("orders", 0, &["d"]).await;
        producer.commit().await;
        assert_eq!(
            read_settled(&mut reader, "orders", 0).await,
            ["a", "b", "d"],
            "{rules:?}"
        );
        assert_eq!(
            read_settled(&mut reader, "orders", 1).await,
            ["c"],
            "{rules:?}"
        );
        assert!(
            read_settled(&mut reader, "orders", 2).await.is_empty(),
            "{rules:?}"
        );
    }
}

#[tokio::test]
async fn an_open_transaction_holds_back_what_stands_behind_it_and_no_other_partition() {
    for rules in BOTH {
        let broker = broker().await;
        let mut reader = broker.client().await;
        let mut producer = Transactional::start(&broker, rules, "shop").await;
        reader.produce("orders", 0, batch(&[b"before"])).await;
        producer.produce("orders", 0, &["inside"]).await;
        reader.produce("orders", 0, batch(&[b"behind"])).await;
        reader.produce("orders", 1, batch(&[b"elsewhere"])).await;
        let seen = read_committed(&mut reader, "orders", 0).await;
        assert_eq!(seen.values, ["before"], "{rules:?}");
        assert_eq!(
            (seen.last_stable_offset, seen.high_watermark),
            (1, 3),
            "{rules:?}"
        );
        let elsewhere = read_committed(&mut reader, "orders", 1).await;
        assert_eq!(elsewhere.values, ["elsewhere"], "{rules:?}");
        producer.commit().await;
        let all = read_settled(&mut reader, "orders", 0).await;
        assert_eq!(all, ["before", "inside", "behind"], "{rules:?}");
    }
}

#[tokio::test]
async fn the_next_transaction_may_begin_as_soon_as_the_end_of_the_one_before_is_decided() {
    for rules in BOTH {
        let broker = broker().await;
        let mut reader = broker.client().await;
        let mut producer = Transactional::start(&broker, rules, "shop").await;
        let mut expected = Vec::new();
        for round in 0..30 {
            let value = format!("{round}");
            for partition in 0..3 {
                producer.produce("orders", partition, &[&value]).await;
            }
            if round % 3 == 1 {
                producer.abort().await;
            } else {
                producer.commit().await;
                expected.push(value);
            }
        }
        for partition in 0..3 {
            let seen = read_settled(&mut reader, "orders", partition).await;
            assert_eq!(seen, expected, "{rules:?} partition {partition}");
        }
    }
}

#[tokio::test]
async fn many_producers_transactions_on_the_same_partitions_end_each_as_its_own() {
    for rules in BOTH {
        let broker = broker().await;
        let here = tokio::task::LocalSet::new();
        for number in 0..20 {
            let mut producer =
                Transactional::start(&broker, rules, &format!("shop-{number}")).await;
            here.spawn_local(async move {
                for round in 0..5 {
                    let value = format!("{number}/{round}");
                    producer.produce("orders", 0, &[&value]).await;
                    producer.produce("orders", 1, &[&value]).await;
                    if (number + round) % 2 == 0 {
                        producer.commit().await;
                    } else {
                        producer.abort().await;
                    }
                }
            });
        }
        here.await;
        let expected: BTreeSet<String> = (0..20)
            .flat_map(|number| (0..5).map(move |round| (number, round)))
            .filter(|(number, round)| (number + round) % 2 == 0)
            .map(|(number, round)| format!("{number}/{round}"))
            .collect();
        let mut reader = broker.client().await;
        for partition in [0, 1] {
            let seen = read_settled(&mut reader, "orders", partition).await;
            assert_eq!(seen.len(), expected.len(), "{rules:?}");
            assert_eq!(
                seen.into_iter().collect::<BTreeSet<_>>(),
                expected,
                "{rules:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_partition_that_is_not_in_the_transaction_takes_nothing_from_an_older_client() {
    let broker = broker().await;
    let mut reader = broker.client().await;
    let mut producer = Transactional::start(&broker, Rules::V1, "shop").await;
    producer.produce("orders", 0, &["a"]).await;
    // As if it had been added.
    producer.added.insert(("orders".to_owned(), 1));
    let refused = producer.try_produce("orders", 1, &["stray"]).await;
    assert_ne!(refused.error_code, 0);
    producer.commit().await;
    assert_eq!(read_settled(&mut reader, "orders", 0).await, ["a"]);
    assert_eq!(
        read_committed(&mut reader, "orders", 1)
            .await
            .high_watermark,
        0
    );
}

#[tokio::test]
async fn a_transaction_whose_topic_is_deleted_ends_all_the_same() {
    for rules in BOTH {
        let broker = broker().await;
        let mut client = broker.client().await;
        client.create_topic("gone", 1, &[]).await;
        let mut producer = Transactional::start(&broker, rules, "shop").await;
        producer.produce("gone", 0, &["a"]).await;
        producer.produce("orders", 0, &["b"]).await;
        let delete = wire::messages::delete_topics_request::DeleteTopicState::default()
            .with_name(Some(topic_name("gone")));
        let request = wire::messages::DeleteTopicsRequest::default()
            .with_topics(vec![delete])
            .with_timeout_ms(10_000);
        assert_eq!(client.call(&request).await.responses[0].error_code, 0);
        producer.commit().await;
        producer.completed().await;
        assert_eq!(
            read_settled(&mut client, "orders", 0).await,
            ["b"],
            "{rules:?}"
        );
    }
}
