//! The process: who it is, what it takes, how busy its async threads are.

use std::time::Duration;

use parking_lot::Mutex;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Gauge, IntGauge, IntGaugeVec, Registry};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::page::Page;
use super::{gauge, gauges};
use crate::clock;

/// Busy time is looked at over at least this long, or the scrape itself would be most of what is seen.
const LOAD_WINDOW: Duration = Duration::from_secs(1);

/// How busy the async threads are.
pub(super) struct RuntimeLoad {
    workers: IntGauge,
    tasks: IntGauge,
    queue: IntGauge,
    idle: Gauge,
    last: Mutex<Option<Look>>,
}

#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    busy: Duration,
}

impl RuntimeLoad {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let idle = Gauge::new(
            "tidewater_runtime_idle_ratio",
            "Share of their time that the async threads waited for something to do, since the last scrape.",
        )?;
        registry.register(Box::new(idle.clone()))?;
        idle.set(1.0);
        build_info(registry)?;
        // An embedder's registry may have it already.
        match registry.register(Box::new(ProcessCollector::for_self())) {
            Ok(()) | Err(prometheus::Error::AlreadyReg) => {}
            Err(error) => return Err(error),
        }
        Ok(Self {
            workers: gauge(registry, "tidewater_runtime_workers", "Async threads.")?,
            tasks: gauge(
                registry,
                "tidewater_runtime_tasks",
                "Async tasks that have not ended.",
            )?,
            queue: gauge(
                registry,
                "tidewater_runtime_queued_tasks",
                "Async tasks in the queue that all threads share.",
            )?,
            idle,
            last: Mutex::default(),
        })
    }

    /// Looks at the runtime that this is called in.
    pub(super) fn refresh(&self) {
        let runtime = Handle::current().metrics();
        let as_gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let workers = runtime.num_workers();
        self.workers.set(as_gauge(workers));
        self.tasks.set(as_gauge(runtime.num_alive_tasks()));
        self.queue.set(as_gauge(runtime.global_queue_depth()));
        let busy = (0..workers)
            .map(|worker| runtime.worker_total_busy_duration(worker))
            .sum();
        let now = Look {
            at: clock::monotonic(),
            busy,
        };
        let mut last = self.last.lock();
        let Some(before) = *last else {
            *last = Some(now);
            return;
        };
        if let Some(idle) = idle_ratio(before, now, workers) {
            self.idle.set(idle);
            *last = Some(now);
        }
    }

    /// Between 0 and 1.
    pub(super) fn idle_ratio(&self) -> f64 {
        self.idle.get()
    }
}

/// `None` when too little time has passed to tell.
fn idle_ratio(before: Look, now: Look, workers: usize) -> Option<f64> {
    let passed = now.at.saturating_duration_since(before.at);
    if passed < LOAD_WINDOW || workers == 0 {
        return None;
    }
    let busy = now.busy.saturating_sub(before.busy).as_secs_f64();
    let most = passed.as_secs_f64() * workers as f64;
    Some((1.0 - busy / most).clamp(0.0, 1.0))
}

fn build_info(registry: &Registry) -> Result<(), prometheus::Error> {
    let info: IntGaugeVec = gauges(
        registry,
        "tidewater_build_info",
        "Always 1; the version of this broker.",
        &["version"],
    )?;
    info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    Ok(())
}

/// What the process has moved between memory and disks since it began; the page cache hides the rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct DiskTraffic {
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
}

impl DiskTraffic {
    /// `None` where the kernel does not tell. Blocks for some microseconds.
    pub(super) fn of_process() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/self/io").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse().ok()
        };
        Some(Self {
            read_bytes: number("read_bytes:")?,
            written_bytes: number("write_bytes:")?,
        })
    }

    pub(super) fn write(self, page: &mut Page) {
        page.counter(
            "tidewater_process_disk_read_bytes_total",
            "Bytes that the process had read from disks.",
        )
        .value(self.read_bytes);
        page.counter(
            "tidewater_process_disk_written_bytes_total",
            "Bytes that the process had written to disks.",
        )
        .value(self.written_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let text = "rchar: 1\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 0\n";
        let expected = DiskTraffic {
            read_bytes: 4096,
            written_bytes: 8192,
        };
        assert_eq!(DiskTraffic::parse(text), Some(expected));
        assert_eq!(DiskTraffic::parse(""), None);
    }

    #[tokio::test(start_paused = true)]
    async fn half_busy_threads_are_half_idle() {
        let at = clock::monotonic();
        let before = Look {
            at,
            busy: Duration::from_secs(3),
        };
        let look = |after_s, busy_s| Look {
            at: at + Duration::from_secs(after_s),
            busy: Duration::from_secs(busy_s),
        };
        assert_eq!(idle_ratio(before, look(4, 7), 2), Some(0.5));
        assert_eq!(idle_ratio(before, look(0, 7), 2), None);
    }
}
