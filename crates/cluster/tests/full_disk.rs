//! A file system without a free block. It needs a small one to fill, so it runs where it is given one:
//! `mount -t tmpfs -o size=32m none DIR; TIDEWATER_SMALL_FS=DIR cargo test -p tidewater-cluster --test full_disk -- --ignored`

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use support::Node;
use tidewater_cluster::{CreateTopicError, TopicRef};

#[tokio::test]
#[ignore = "needs TIDEWATER_SMALL_FS, a file system of 24 to 256 MiB with nothing else on it"]
async fn a_full_disk_lets_topics_be_deleted_refuses_in_the_end_and_heals_by_itself() {
    let root =
        PathBuf::from(std::env::var_os("TIDEWATER_SMALL_FS").expect("TIDEWATER_SMALL_FS is set"));
    let dir = tempfile::tempdir_in(&root).unwrap();
    let node = Node::start(dir.path()).await;
    let mut kept = Vec::new();
    for number in 0..20 {
        let name = format!("before-{number}");
        node.create(&name, 3).await.unwrap();
        kept.push(name);
    }
    let filler = Filler::fill(&root);

    // The reserve lets an operator free space.
    let delete = TopicRef::Name(kept.remove(0));
    node.controller
        .delete_topics(vec![delete])
        .await
        .remove(0)
        .expect("a topic can be deleted");

    // Whoever goes on creating is refused some time, with the reason, and loses nothing.
    let refusal = create_until_refused(&node, &filler, "during", &mut kept).await;
    assert!(
        matches!(refusal, CreateTopicError::Controller(_)),
        "{refusal:?}"
    );
    assert!(
        node.controller.image().topic(&kept[0]).is_some(),
        "reading goes on"
    );
    node.stop().await;

    // A start on the full disk either works, or fails with a reason and leaves everything as it was.
    let refused_start = tidewater_cluster::EmbeddedStore::open(dir.path()).err();
    report(&format!(
        "start without reserve on a full disk: {refused_start:?}"
    ));

    drop(filler);
    let node = Node::start(dir.path()).await;
    assert_kept(&node, &kept);
    let filler = Filler::fill(&root);
    let refusal = create_until_refused(&node, &filler, "again", &mut kept).await;
    report(&format!("refusal: {refusal}"));
    drop(filler);
    node.create("healed", 1)
        .await
        .expect("space is back, no restart was needed");
    kept.push("healed".into());
    assert_kept(&node, &kept);

    // With its reserve the store starts on a full disk, as long as there are not tens of thousands of partitions.
    let removed = kept.split_off(50).into_iter().map(TopicRef::Name).collect();
    assert!(
        node.controller
            .delete_topics(removed)
            .await
            .iter()
            .all(Result::is_ok)
    );
    node.stop().await;
    let _filler = Filler::fill(&root);
    let node = Node::start(dir.path()).await;
    assert_kept(&node, &kept);
    node.stop().await;
}

async fn create_until_refused(
    node: &Node,
    filler: &Filler,
    prefix: &str,
    kept: &mut Vec<String>,
) -> CreateTopicError {
    for number in 0..100_000 {
        let name = format!("{prefix}-{number}");
        match node.create(&name, 100).await {
            Ok(_) => kept.push(name),
            Err(error) => {
                report(&format!(
                    "{prefix}: {number} topics of 100 partitions were created on the full disk"
                ));
                return error;
            }
        }
        filler.top_up();
    }
    panic!("nothing was ever refused");
}

fn assert_kept(node: &Node, kept: &[String]) {
    let image = node.controller.image();
    for name in kept {
        assert!(image.topic(name).is_some(), "{name} is gone");
    }
    assert_eq!(image.topic_count(), kept.len());
}

#[allow(
    clippy::print_stdout,
    reason = "how far a full disk carries is a figure worth seeing"
)]
fn report(line: &str) {
    println!("{line}");
}

/// A file that takes all the space there is, until it is dropped.
struct Filler {
    path: PathBuf,
}

impl Filler {
    fn fill(root: &Path) -> Self {
        let filler = Self {
            path: root.join("filler"),
        };
        filler.top_up();
        filler
    }

    fn top_up(&self) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&self.path)
            .expect("a file can be opened without a block for it");
        for size in [1 << 20, 1 << 12, 1] {
            let block = vec![0_u8; size];
            while file.write_all(&block).is_ok() {}
        }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
