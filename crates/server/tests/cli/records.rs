//! `tidewater produce` and `tidewater consume`.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::thread;

use crate::support::{Broker, end_of, folder};

#[test]
fn what_goes_in_comes_out_the_same_with_every_codec() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    // Enough for several batches, with bytes that are no text.
    let mut input = Vec::new();
    for number in 0..60_000_u32 {
        input.extend(format!("{number} \u{fe0f}").bytes());
        input.extend(
            number
                .to_be_bytes()
                .map(|byte| if byte == b'\n' { 0xff } else { byte }),
        );
        input.extend([b'.'; 40]);
        input.push(b'\n');
    }
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let written = broker
            .produce(&[codec, "-p", "0", "-z", codec, "-o", "json"], &input)
            .exits(0)
            .json();
        assert_eq!(written["records"], 60_000);
        assert_eq!(written["partitions"][0]["last_offset"], 59_999);
        let mut consume = broker.command(&["consume", codec, "-e"]).spawn().unwrap();
        let mut output = Vec::new();
        consume
            .stdout
            .take()
            .unwrap()
            .read_to_end(&mut output)
            .unwrap();
        end_of(consume).exits(0);
        assert!(
            output == input,
            "{codec}: {} bytes went in, {} came out",
            input.len(),
            output.len()
        );
    }
}

#[test]
fn keys_headers_tombstones_and_places_are_kept_and_shown() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &["--set", "num.partitions=4"]);
    broker
        .produce(
            &["t", "-K", ":", "-Z", "-H", "trace=7"],
            b"k1:a\nk2:b\nk1:\n",
        )
        .exits(0);
    let shown = broker
        .run(&["consume", "t", "-e", "-f", "%k=%v %K %V %h\\n"])
        .exits(0)
        .stdout;
    let mut lines: Vec<&str> = shown.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["k1= 2 -1 trace=7", "k1=a 2 1 trace=7", "k2=b 2 1 trace=7"]
    );

    let json = broker
        .run(&["consume", "t", "-e", "--output", "json"])
        .exits(0)
        .stdout;
    let records: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let k1: Vec<_> = records
        .iter()
        .filter(|record| record["key"] == "k1")
        .collect();
    assert_eq!(
        k1[0]["partition"], k1[1]["partition"],
        "one key, one partition"
    );
    assert_eq!(
        (&k1[0]["value"], &k1[1]["value"]),
        (&"a".into(), &serde_json::Value::Null)
    );
    assert_eq!(
        k1[0]["headers"],
        serde_json::json!([{"key": "trace", "value": "7"}])
    );
}

#[test]
fn consuming_begins_and_ends_where_it_is_told() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker.produce(&["t"], b"0\n1\n2\n3\n4\n").exits(0);
    for (offset, expected) in [
        ("start", "0 1 2 3 4"),
        ("2", "2 3 4"),
        ("+1", "1 2 3 4"),
        ("-2", "3 4"),
        ("end", ""),
        ("@0", "0 1 2 3 4"),
    ] {
        let shown = broker
            .run(&["consume", "t", "-o", offset, "-e"])
            .exits(0)
            .stdout;
        assert_eq!(
            shown.split_whitespace().collect::<Vec<_>>().join(" "),
            expected,
            "-o {offset}"
        );
    }
    assert_eq!(
        broker.run(&["consume", "t", "-n", "2"]).exits(0).stdout,
        "0\n1\n"
    );
    assert_eq!(
        broker
            .run(&["consume", "t", "-o", "@2100-01-01", "-e"])
            .exits(0)
            .stdout,
        ""
    );
}

#[test]
fn consuming_goes_on_with_new_records_and_across_a_restart_of_the_broker() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker.produce(&["t"], b"first\n").exits(0);
    let mut consumer = broker
        .command(&["consume", "t", "-n", "3"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(consumer.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("first"));
    broker.produce(&["t"], b"second\n").exits(0);
    assert_eq!(lines.next().as_deref(), Some("second"));

    let address = broker.address.clone();
    broker.stop();
    let broker = Broker::start_on(&address, dir.path(), &[]);
    broker.produce(&["t"], b"third\n").exits(0);
    assert_eq!(lines.next().as_deref(), Some("third"));
    end_of(consumer).exits(0);
}

#[test]
fn producing_goes_on_after_the_broker_was_killed_and_nothing_is_lost_or_doubled() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker.run(&["topic", "create", "t"]).exits(0);
    let mut producer = broker.command(&["produce", "t", "-o", "json"]);
    let mut producer = producer.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = producer.stdin.take().unwrap();
    let lines: Vec<String> = (0..400_000)
        .map(|number| format!("record {number}\n"))
        .collect();
    let input = lines.concat();
    thread::spawn(move || stdin.write_all(input.as_bytes()));
    broker.run(&["consume", "t", "-n", "1"]).exits(0);

    let address = broker.address.clone();
    drop(broker);
    let broker = Broker::start_on(&address, dir.path(), &[]);
    let written = end_of(producer).exits(0);
    assert_eq!(written.json()["records"], 400_000);
    let consumed = broker.run(&["consume", "t", "-e"]).exits(0).stdout;
    let wrong = consumed
        .split_inclusive('\n')
        .zip(&lines)
        .find(|(got, sent)| got != sent);
    assert_eq!((wrong, consumed.lines().count()), (None, 400_000));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker
        .produce(&["t"], &b"a line\n".repeat(100_000))
        .exits(0);
    let mut consumer = broker.command(&["consume", "t", "-e"]).spawn().unwrap();
    let mut first = [0; 7];
    consumer
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    let ended = end_of(consumer).exits(0);
    assert_eq!((&first, ended.stderr.as_str()), (b"a line\n", ""));
}

#[test]
fn records_too_large_for_a_batch_of_the_topic_are_sent_in_smaller_ones_and_a_single_one_is_refused()
{
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker
        .run(&["topic", "create", "t", "-c", "max.message.bytes=5000"])
        .exits(0);
    let line = [&b"x".repeat(999)[..], b"\n"].concat();
    broker.produce(&["t"], &line.repeat(100)).exits(0);
    assert_eq!(
        broker
            .run(&["consume", "t", "-e"])
            .exits(0)
            .stdout
            .lines()
            .count(),
        100
    );

    let refused = broker.produce(&["t"], &b"x".repeat(6000)).exits(1);
    assert!(
        refused.stderr.contains("MESSAGE_TOO_LARGE"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        broker
            .run(&["consume", "t", "-e"])
            .exits(0)
            .stdout
            .lines()
            .count(),
        100
    );
}
