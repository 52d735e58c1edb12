//! One producer at a time for a transactional id, and no transaction for ever.

use super::*;

/// What an older client is told where a newer one is told that it is fenced.
fn is_fenced(error_code: i16) -> bool {
    [
        ResponseError::ProducerFenced,
        ResponseError::InvalidProducerEpoch,
    ]
    .iter()
    .any(|error| error.code() == error_code)
}

#[tokio::test]
async fn a_new_producer_of_the_id_aborts_what_the_one_before_had_open_and_fences_it() {
    for rules in BOTH {
        let broker = broker().await;
        let mut reader = broker.client().await;
        let mut first = Transactional::start(&broker, rules, "shop").await;
        first.produce("orders", 0, &["of the first"]).await;
        let mut second = Transactional::start(&broker, rules, "shop").await;
        assert_eq!(second.producer.id, first.producer.id);
        assert!(second.producer.epoch > first.producer.epoch);
        assert!(is_fenced(first.try_end(true).await), "{rules:?}");
        let refused = first.try_produce("orders", 0, &["of the first"]).await;
        assert!(
            is_fenced(refused.error_code),
            "{rules:?} {}",
            refused.error_code
        );
        second.produce("orders", 0, &["of the second"]).await;
        second.commit().await;
        let seen = read_settled(&mut reader, "orders", 0).await;
        assert_eq!(seen, ["of the second"], "{rules:?}");
    }
}

#[tokio::test]
async fn older_versions_are_told_of_a_wrong_epoch_rather_than_of_fencing() {
    let broker = broker().await;
    let mut first = Transactional::start(&broker, Rules::V1, "shop").await;
    first.produce("orders", 0, &["a"]).await;
    let _second = Transactional::start(&broker, Rules::V1, "shop").await;
    let request = first.end_request(true);
    for (version, expected) in [
        (1, ResponseError::InvalidProducerEpoch),
        (2, ResponseError::ProducerFenced),
        (4, ResponseError::ProducerFenced),
    ] {
        let answer = first.client.call_at(&request, version).await;
        assert_eq!(answer.error_code, code(expected), "version {version}");
    }
}

#[tokio::test]
async fn a_producer_that_asks_with_its_own_epoch_goes_on_and_one_with_an_older_epoch_does_not() {
    let broker = broker().await;
    let mut producer = Transactional::start(&broker, Rules::V2, "shop").await;
    let before = producer.producer;
    let answer = init(&mut producer.client, "shop", 60_000, Some(before)).await;
    let now = Producer {
        id: answer.producer_id.0,
        epoch: answer.producer_epoch,
    };
    assert_eq!(
        (answer.error_code, now.id, now.epoch),
        (0, before.id, before.epoch + 1)
    );
    // It did not get the answer, and asks again.
    let again = init(&mut producer.client, "shop", 60_000, Some(before)).await;
    assert_eq!((again.error_code, again.producer_epoch), (0, now.epoch));
    // Somebody else comes.
    init(&mut producer.client, "shop", 60_000, None).await;
    let late = init(&mut producer.client, "shop", 60_000, Some(now)).await;
    assert_eq!(late.error_code, code(ResponseError::ProducerFenced));
}

#[tokio::test]
async fn a_transaction_that_goes_on_for_too_long_is_aborted_and_its_producer_fenced() {
    for rules in BOTH {
        let broker = broker().await;
        let mut reader = broker.client().await;
        let mut producer = Transactional::start_with(&broker, rules, "shop", 50).await;
        producer.produce("orders", 0, &["late"]).await;
        assert!(
            read_settled(&mut reader, "orders", 0).await.is_empty(),
            "{rules:?}"
        );
        producer.completed().await;
        assert_eq!(
            describe(&mut reader, "shop")
                .await
                .transaction_state
                .as_str(),
            "CompleteAbort"
        );
        // By the rules of version 2 the epoch says that it is this transaction that has ended otherwise.
        let refused = producer.try_end(true).await;
        let is_over = refused == code(ResponseError::InvalidTxnState) && rules == Rules::V2;
        assert!(is_over || is_fenced(refused), "{rules:?} {refused}");
        let mut next = Transactional::start(&broker, rules, "shop").await;
        next.produce("orders", 0, &["next"]).await;
        next.commit().await;
        assert_eq!(
            read_settled(&mut reader, "orders", 0).await,
            ["next"],
            "{rules:?}"
        );
    }
}

#[tokio::test]
async fn an_end_that_is_asked_for_again_is_answered_as_before() {
    for rules in BOTH {
        let broker = broker().await;
        let mut producer = Transactional::start(&broker, rules, "shop").await;
        producer.produce("orders", 0, &["a"]).await;
        let request = producer.end_request(true);
        let first = producer.ask_end(&request).await;
        let again = producer.ask_end(&request).await;
        assert_eq!(first.error_code, 0, "{rules:?}");
        assert_eq!(first, again, "{rules:?}");
        let other_way = producer.end_request(false);
        let refused = producer.ask_end(&other_way).await;
        assert_eq!(
            refused.error_code,
            code(ResponseError::InvalidTxnState),
            "{rules:?}"
        );
    }
}

/// KIP-890: under the rules of version 1 the late request would commit what it does not belong to.
#[tokio::test]
async fn an_end_that_comes_late_does_not_end_the_next_transaction() {
    let broker = broker().await;
    let mut reader = broker.client().await;
    let mut producer = Transactional::start(&broker, Rules::V2, "shop").await;
    producer.produce("orders", 0, &["first"]).await;
    let late = producer.end_request(true);
    producer.commit().await;
    producer.produce("orders", 0, &["second"]).await;
    let refused = producer.ask_end(&late).await;
    assert_eq!(refused.error_code, code(ResponseError::ProducerFenced));
    let seen = read_committed(&mut reader, "orders", 0).await;
    assert_eq!(
        (seen.values, seen.last_stable_offset),
        (vec!["first".to_owned()], 2)
    );
    producer.abort().await;
    assert_eq!(read_settled(&mut reader, "orders", 0).await, ["first"]);
}

/// KIP-890: a batch that was long on its way must not open a transaction that nobody ends.
#[tokio::test]
async fn records_that_come_late_do_not_come_into_the_next_transaction() {
    let broker = broker().await;
    let mut reader = broker.client().await;
    let mut producer = Transactional::start(&broker, Rules::V2, "shop").await;
    producer.produce("orders", 0, &["first"]).await;
    let before = (producer.producer, producer.sequences.clone());
    producer.commit().await;
    let after = (producer.producer, producer.sequences.clone());
    producer.completed().await;
    (producer.producer, producer.sequences) = before;
    let refused = producer.try_produce("orders", 0, &["late"]).await;
    assert!(is_fenced(refused.error_code), "{}", refused.error_code);
    (producer.producer, producer.sequences) = after;
    producer.produce("orders", 0, &["second"]).await;
    producer.commit().await;
    assert_eq!(
        read_settled(&mut reader, "orders", 0).await,
        ["first", "second"]
    );
}
