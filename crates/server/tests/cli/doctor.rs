//! `tidewater doctor`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use crate::support::{Broker, folder, run};

#[test]
fn a_healthy_cluster_is_told_so_and_left_as_it_was() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker.run(&["topic", "create", "orders"]).exits(0);
    let admin = broker.admin();
    let told = broker
        .run(&["doctor", "--write", "--admin", &admin])
        .exits(0)
        .stdout;
    assert!(told.ends_with("\nall is well\n"), "{told}");
    for line in [
        &format!(
            "ok       broker 1 ({}): is there, and is who it is said to be\n",
            broker.address
        ),
        "ok       topic all: 1 partition, each with a leader and all its replicas\n",
        "ok       write a topic of its own: a record was written and read back\n",
        "ok       clock of its leader: is within 5 s of this machine's\n",
    ] {
        assert!(told.contains(line), "{line}{told}");
    }
    let json = broker
        .run(&["doctor", "--admin", &admin, "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(json["healthy"], true);
    let topics = broker.run(&["topic", "list", "-o", "json"]).exits(0).json();
    assert_eq!(topics.as_array().unwrap().len(), 1);
}

/// What the doctor says where `advertised` is what clients are told.
fn told_of(advertised: &str) -> String {
    let dir = folder();
    let set = format!("advertised.listeners=PLAINTEXT://{advertised}");
    let broker = Broker::start(dir.path(), &["--set", &set]);
    let admin = broker.admin();
    broker.run(&["doctor", "--admin", &admin]).exits(1).stdout
}

#[test]
fn an_advertised_address_where_nobody_is_is_explained() {
    let refused = told_of("127.0.0.1:1");
    assert!(
        refused.contains(
            "PROBLEM  broker 1 (127.0.0.1:1): the connection is refused: nothing listens on that port\n         -> "
        ),
        "{refused}"
    );
    assert!(
        refused.contains("correct the port or the host in `advertised.listeners`"),
        "{refused}"
    );
    let unknown = told_of("no-such-host.invalid:9092");
    assert!(
        unknown.contains("the name cannot be resolved here"),
        "{unknown}"
    );
    assert!(unknown.ends_with("\n1 problem, 0 warnings\n"), "{unknown}");
}

#[test]
fn a_broker_that_sends_clients_to_another_one_is_found_out() {
    let (one, two, three) = (folder(), folder(), folder());
    let other = Broker::start(
        one.path(),
        &["--set", "node.id=2", "--set", "cluster.id=cluster-A"],
    );
    let advertised = format!("advertised.listeners=PLAINTEXT://{}", other.address);
    let diagnosed = |dir: &tempfile::TempDir, cluster: &str| {
        let set = ["--set", "node.id=1", "--set", cluster, "--set", &advertised];
        let broker = Broker::start(dir.path(), &set);
        let admin = broker.admin();
        broker.run(&["doctor", "--admin", &admin]).exits(1).stdout
    };
    let same = diagnosed(&two, "cluster.id=cluster-A");
    assert!(same.contains("is another broker of the cluster"), "{same}");
    let another = diagnosed(&three, "cluster.id=cluster-B");
    assert!(
        another.contains("is a broker of another cluster (cluster-A)"),
        "{another}"
    );
}

#[test]
fn bootstrap_servers_of_two_clusters_are_a_mistake() {
    let (one, two) = (folder(), folder());
    let first = Broker::start(one.path(), &["--set", "cluster.id=cluster-A"]);
    let second = Broker::start(two.path(), &["--set", "cluster.id=cluster-B"]);
    let both = format!("{},{}", first.address, second.address);
    let told = run(&["doctor", "-b", &both, "--admin", &first.admin()])
        .exits(1)
        .stdout;
    assert!(
        told.contains("belongs to another cluster (cluster-B)"),
        "{told}"
    );
}

/// Answers every connection with these bytes.
fn answering(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(bytes);
        }
    });
    address
}

#[test]
fn a_port_that_is_no_kafka_listener_is_recognised() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    let admin = broker.admin();
    let web = admin.strip_prefix("http://").unwrap();
    let tls = answering(&[0x15, 3, 3, 0, 2, 2, 80]);
    let mute = answering(b"");
    for (address, found) in [
        (web, "is a web server and no Kafka listener"),
        (tls.as_str(), "speaks TLS where plain text was sent"),
        (mute.as_str(), "closes the connection when it is greeted"),
        ("127.0.0.1:1", "the connection is refused"),
        ("no-such-host.invalid", "the name cannot be resolved here"),
    ] {
        let told = run(&["doctor", "-b", address, "--admin", &admin])
            .exits(1)
            .stdout;
        assert!(told.contains(found), "{address}: {told}");
        assert!(told.contains("         -> "), "{told}");
    }
}
