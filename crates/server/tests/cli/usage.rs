//! Manners that all commands share.

use crate::support::{Broker, folder, run};

#[test]
fn a_refusal_is_one_line_that_says_what_was_asked_of_whom_and_what_came_back() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    let address = &broker.address;
    broker.run(&["topic", "create", "orders"]).exits(0);
    let refused = broker.run(&["topic", "create", "orders"]).exits(1);
    assert_eq!(refused.stdout, "");
    assert_eq!(refused.stderr.lines().count(), 1);
    let expected = format!(
        "error: cannot create topic orders: {address} answered TOPIC_ALREADY_EXISTS (36): "
    );
    assert!(refused.stderr.starts_with(&expected), "{}", refused.stderr);

    let nobody = run(&["topic", "list", "-b", "127.0.0.1:1"]).exits(1);
    assert!(
        nobody
            .stderr
            .starts_with("error: cannot reach 127.0.0.1:1: "),
        "{}",
        nobody.stderr
    );
    let beyond = broker.run(&["consume", "orders", "-o", "5"]).exits(1);
    assert!(
        beyond
            .stderr
            .contains("orders/0: offset 5 is out of range: it holds 0 to 0"),
        "{}",
        beyond.stderr
    );
}

#[test]
fn what_is_done_in_part_is_exit_code_3_and_wrong_usage_is_2() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    let part = broker
        .run(&["topic", "create", "good", "not good", "-o", "json"])
        .exits(3);
    assert_eq!(part.json()[0]["name"], "good");
    assert!(
        part.stderr.contains("INVALID_TOPIC_EXCEPTION"),
        "{}",
        part.stderr
    );

    broker.run(&["topic", "delete", "good"]).exits(2);
    broker.run(&["topic", "alter", "good"]).exits(2);
    broker.run(&["consume", "good", "-f", "%q"]).exits(2);
    broker.run(&["frobnicate"]).exits(2);
    let list = broker.run(&["topic", "list", "-o", "json"]).exits(0).json();
    assert_eq!(list[0]["name"], "good", "nothing of that deleted it");
}

#[test]
fn every_shell_gets_a_completion_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(
            run(&["completion", shell])
                .exits(0)
                .stdout
                .contains("tidewater"),
            "{shell}"
        );
    }
}
