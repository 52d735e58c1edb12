//! Transactions over the end of their broker.

use super::*;

#[tokio::test]
async fn an_open_transaction_goes_on_after_a_restart() {
    for rules in BOTH {
        let mut broker = broker().await;
        let mut producer = Transactional::start(&broker, rules, "shop").await;
        producer.produce("orders", 0, &["a"]).await;
        broker.restart().await;
        producer.reconnect(&broker).await;
        producer.produce("orders", 0, &["b"]).await;
        producer.produce("orders", 1, &["c"]).await;
        producer.commit().await;
        let mut reader = broker.client().await;
        assert_eq!(
            read_settled(&mut reader, "orders", 0).await,
            ["a", "b"],
            "{rules:?}"
        );
        assert_eq!(
            read_settled(&mut reader, "orders", 1).await,
            ["c"],
            "{rules:?}"
        );
    }
}

#[tokio::test]
async fn a_transaction_that_was_open_at_a_crash_can_be_ended_or_times_out() {
    for rules in BOTH {
        let mut broker = broker().await;
        let mut commits = Transactional::start(&broker, rules, "commits").await;
        let mut aborts = Transactional::start(&broker, rules, "aborts").await;
        let mut forgets = Transactional::start_with(&broker, rules, "forgets", 1_000).await;
        commits.produce("orders", 0, &["committed"]).await;
        aborts.produce("orders", 0, &["aborted"]).await;
        forgets.produce("orders", 0, &["forgotten"]).await;
        broker.crash().await;
        commits.reconnect(&broker).await;
        aborts.reconnect(&broker).await;
        commits.commit().await;
        aborts.abort().await;
        let mut reader = broker.client().await;
        assert_eq!(
            read_settled(&mut reader, "orders", 0).await,
            ["committed"],
            "{rules:?}"
        );
    }
}

#[tokio::test]
async fn what_was_committed_and_aborted_before_a_crash_stays_so() {
    for rules in BOTH {
        let mut broker = broker().await;
        let mut producer = Transactional::start(&broker, rules, "shop").await;
        for round in 0..10 {
            producer.produce("orders", 0, &[&format!("{round}")]).await;
            if round % 2 == 0 {
                producer.commit().await;
            } else {
                producer.abort().await;
            }
        }
        producer.completed().await;
        broker.crash().await;
        let mut reader = broker.client().await;
        let seen = read_settled(&mut reader, "orders", 0).await;
        assert_eq!(seen, ["0", "2", "4", "6", "8"], "{rules:?}");
        producer.reconnect(&broker).await;
        producer.produce("orders", 0, &["next"]).await;
        producer.commit().await;
        let seen = read_settled(&mut reader, "orders", 0).await;
        assert_eq!(seen.last().map(String::as_str), Some("next"), "{rules:?}");
    }
}

/// The markers cannot be written for as long as a log directory is away; the broker is killed while they are outstanding.
#[tokio::test]
async fn a_decided_end_is_carried_out_even_if_the_broker_is_killed_before_the_markers_are_written()
{
    for (rules, committed) in [
        (Rules::V1, true),
        (Rules::V1, false),
        (Rules::V2, true),
        (Rules::V2, false),
    ] {
        let mut broker = broker_with(&[("log.dirs", "{dir}/first,{dir}/second")]).await;
        let mut producers = Vec::new();
        for number in 0..8 {
            let id = format!("shop-{number}");
            let mut producer = Transactional::start(&broker, rules, &id).await;
            for partition in 0..3 {
                producer.produce("orders", partition, &[&id]).await;
            }
            producers.push(producer);
        }
        broker.stop().await;
        away(&broker, true);
        broker.boot().await;
        // Coordinators have their own logs in either directory.
        let mut decided = Vec::new();
        for mut producer in producers {
            producer.client = broker.client().await;
            if find_coordinator(&mut producer.client, &producer.id).await == 0 {
                assert_eq!(
                    producer.try_end(committed).await,
                    0,
                    "{rules:?} {committed}"
                );
                let state = describe(&mut producer.client, &producer.id).await;
                assert!(state.transaction_state.starts_with("Prepare"), "{state:?}");
                decided.push(producer);
            }
        }
        assert!(!decided.is_empty());
        broker.crash().await;
        broker.stop().await;
        away(&broker, false);
        broker.boot().await;
        for producer in &mut decided {
            producer.reconnect(&broker).await;
            producer.completed().await;
        }
        let mut reader = broker.client().await;
        for partition in 0..3 {
            let seen = committed_of(&mut reader, partition, &decided).await;
            let expected = if committed { decided.len() } else { 0 };
            assert_eq!(seen, expected, "{rules:?} partition {partition}");
        }
        // And the producer goes on.
        decided[0].produce("orders", 0, &["next"]).await;
        decided[0].commit().await;
    }
}

/// How many of these producers' records there are, once the other producers' transactions have ended as well.
async fn committed_of(reader: &mut Client, partition: i32, decided: &[Transactional]) -> usize {
    let others: Vec<String> = (0..8).map(|number| format!("shop-{number}")).collect();
    for id in others {
        if decided.iter().all(|producer| producer.id != id) {
            // A new producer of the id aborts what is open.
            assert_eq!(find_coordinator(reader, &id).await, 0);
            assert_eq!(init(reader, &id, 60_000, None).await.error_code, 0);
        }
    }
    let seen = read_settled(reader, "orders", partition).await;
    let is_decided = |value: &String| decided.iter().any(|producer| producer.id == *value);
    assert!(seen.iter().all(is_decided));
    seen.len()
}

/// Takes the second log directory away, or brings it back.
fn away(broker: &TestBroker, is_away: bool) {
    let second = broker.dir().join("second");
    let (meta, aside) = (second.join("meta.properties"), second.join("aside"));
    if is_away {
        std::fs::rename(&meta, &aside).unwrap();
        std::fs::create_dir(&meta).unwrap();
    } else {
        std::fs::remove_dir(&meta).unwrap();
        std::fs::rename(&aside, &meta).unwrap();
    }
}
