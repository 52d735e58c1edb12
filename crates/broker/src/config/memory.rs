//! How much memory this process may use: the machine's, or what its control group allows.

use std::path::Path;

/// The smallest limit that is known, in bytes. Reads a few small files. 1 GiB where nothing is known.
pub(super) fn limit_bytes() -> u64 {
    let limits = [
        machine_bytes(),
        cgroup_v2_bytes(),
        read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    ];
    limits.into_iter().flatten().min().unwrap_or(1 << 30)
}

fn machine_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

/// The limit of this process's group or of any group above it.
fn cgroup_v2_bytes() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let own = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'));
    own.ancestors()
        .take_while(|group| group.starts_with("/sys/fs/cgroup"))
        .filter_map(|group| read_number(group.join("memory.max")))
        .min()
}

fn read_number(path: impl AsRef<Path>) -> Option<u64> {
    // "max" is no number, which is what it means.
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
