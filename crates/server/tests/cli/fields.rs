//! The fields of documents are those that docs/cli.md names.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::member::Member;
use crate::support::{Broker, folder};

/// Maps whose keys are names.
const MAPS: [&str; 3] = ["assignment", "entity", "quotas"];

/// Each field of a document once, in the order of the document.
fn fields(document: &Value, path: &str, found: &mut Vec<String>) {
    match document {
        Value::Object(object) => {
            for (name, value) in object {
                let dot = if path.is_empty() { "" } else { "." };
                let mut inner = format!("{path}{dot}{name}");
                if MAPS.contains(&name.as_str()) && value.is_object() {
                    inner.push_str("{}");
                    found.push(inner);
                    continue;
                }
                match value {
                    Value::Object(_) => fields(value, &inner, found),
                    Value::Array(array) => {
                        inner.push_str("[]");
                        match array.first() {
                            Some(Value::Object(_)) => fields(value, &inner, found),
                            _ => found.push(inner),
                        }
                    }
                    _ => found.push(inner),
                }
            }
        }
        Value::Array(array) => array
            .iter()
            .take(1)
            .for_each(|value| fields(value, path, found)),
        _ => {}
    }
}

fn documented() -> BTreeMap<String, Vec<String>> {
    let page = include_str!("../../../../docs/cli.md");
    let (_, rows) = page
        .split_once("| command | fields |\n|---|---|\n")
        .unwrap();
    let rows = rows.lines().take_while(|line| line.starts_with('|'));
    let rows = rows.map(|row| {
        let mut words = row.split('`').skip(1).step_by(2).map(str::to_owned);
        (words.next().unwrap(), words.collect())
    });
    rows.collect()
}

#[test]
fn documents_have_the_fields_that_the_page_names() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    let admin = broker.admin();
    broker
        .run(&["topic", "create", "made", "-c", "retention.ms=1"])
        .exits(0);
    let written = broker
        .produce(&["t", "-H", "trace=7", "-o", "json"], b"v\n")
        .exits(0)
        .json();
    broker
        .run(&["group", "seek", "g", "--to", "start", "-t", "t"])
        .exits(0);
    let _member = Member::classic(&broker.address, "g", "t", &[0]);
    broker
        .run(&["group", "seek", "h", "--to", "start", "-t", "t"])
        .exits(0);

    broker
        .run(&["quota", "set", "--user", "u", "-c", "producer_byte_rate=1"])
        .exits(0);
    let commands: [&[&str]; 20] = [
        &["topic", "create", "new"],
        &["topic", "list"],
        &["topic", "describe", "made"],
        &["topic", "offsets", "t"],
        &["topic", "trim", "t", "--to", "end", "--dry-run"],
        &["produce"],
        &["consume", "t", "-e", "--output", "json"],
        &["group", "list"],
        &["group", "describe", "g"],
        &["group", "seek", "h", "--to", "end"],
        &["group", "offset-delete", "h", "-t", "t", "--yes"],
        &["cluster", "info"],
        &["cluster", "log-dirs"],
        &["config", "describe", "topic", "made"],
        &["config", "list", "topic"],
        &["quota", "list"],
        &["bench", "produce", "-n", "10"],
        &["bench", "consume", "-n", "10"],
        &["bench", "e2e", "-n", "10"],
        &["doctor", "--admin", &admin],
    ];
    let mut found = BTreeMap::new();
    for command in commands {
        let words = if matches!(command[0], "produce" | "consume" | "doctor") {
            1
        } else {
            2
        };
        let document = match command[0] {
            "produce" => written.clone(),
            "consume" => broker.run(command).exits(0).json(),
            _ => broker
                .run(&[command, &["-o", "json"]].concat())
                .exits(0)
                .json(),
        };
        let mut names = Vec::new();
        fields(&document, "", &mut names);
        found.insert(command[..words].join(" "), names);
    }
    let rows = found
        .iter()
        .map(|(command, names)| format!("{command}: {}\n", names.join(" ")));
    let documented = documented();
    assert!(
        found == documented,
        "the page differs from what is said (src/docs/fields.txt):\n{}",
        rows.collect::<String>()
    );
}
