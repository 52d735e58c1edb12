mod support;
use std::time::Instant;
use tidewater_cluster::*;
#[tokio::test]
async fn probe() {
    let base = std::env::var("PROBE_DIR").unwrap_or("/tmp".into());
    let dir = tempfile::tempdir_in(base).unwrap();
    for n in 0..6 {
        let t = Instant::now();
        let store = EmbeddedStore::open(dir.path()).unwrap();
        let a = t.elapsed();
        let (c, task) = Controller::open(store, ControllerOptions { node_id: 1, incarnation: uuid::Uuid::new_v4(), cluster_id: None, created_by: "x".into(), entropy: system_entropy() }).await.unwrap();
        let b = t.elapsed();
        let h = tokio::spawn(task.run());
        c.register_broker(BrokerRegistration { node_id: 1, incarnation: uuid::Uuid::new_v4(), listeners: vec![], rack: None, log_dirs: vec![], features: vec![], remembered_epoch: -1, clean_shutdown: true }).await.unwrap();
        let d = t.elapsed();
        let topic = |i| NewTopic { name: format!("a{n}-{i}"), layout: Layout::Automatic { partitions: 2, replication_factor: 1 }, configs: Default::default(), min_isr: 1 };
        let t2 = Instant::now();
        for i in 0..20 { c.create_topics(vec![topic(i)], false).await.remove(0).unwrap(); }
        let e = t2.elapsed() / 20;
        let t3 = Instant::now();
        c.close().await; h.await.unwrap();
        println!("store open {a:?}, controller {:?}, register {:?}, create {e:?}, close {:?}", b - a, d - b, t3.elapsed());
    }
    for f in std::fs::read_dir(dir.path()).unwrap() { let f = f.unwrap(); println!("{:?} {}", f.file_name(), f.metadata().unwrap().len()); }
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    for l in s.lines().filter(|l| l.starts_with("VmRSS") || l.starts_with("Threads") || l.starts_with("RssAnon")) { println!("{l}"); }
}
