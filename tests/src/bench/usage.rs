//! What a daemon costs: CPU time of every thread of every process of it, and memory.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// CPU time spent by some processes until a moment.
#[derive(Clone, Copy, Debug)]
pub struct CpuTime {
    at: Instant,
    spent: Duration,
}

impl CpuTime {
    /// Of these processes now. A thread that has ended is not in it.
    pub fn of(pids: &[u32]) -> Result<Self> {
        let mut spent = Duration::ZERO;
        for pid in pids {
            let tasks = PathBuf::from(format!("/proc/{pid}/task"));
            for task in fs::read_dir(&tasks).with_context(|| format!("reading {}", tasks.display()))? {
                // A thread may end between being listed and being read.
                if let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) {
                    spent += on_cpu(&text).with_context(|| format!("schedstat of {pid} says {text:?}"))?;
                }
            }
        }
        Ok(Self { at: Instant::now(), spent })
    }

    /// Percent of one core since `earlier`.
    pub fn percent_since(&self, earlier: &Self) -> f64 {
        let spent = self.spent.saturating_sub(earlier.spent);
        100.0 * spent.as_secs_f64() / (self.at - earlier.at).as_secs_f64()
    }
}

/// Proportional set size of these processes in MiB: what is shared with others counts by its share.
pub fn pss_mib(pids: &[u32]) -> Result<f64> {
    let mut total_kib = 0;
    for pid in pids {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        total_kib += pss_kib(&text).with_context(|| format!("{path} has no Pss"))?;
    }
    Ok(f64::from(total_kib) / 1024.0)
}

/// A process and all that it started.
pub fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(&pid) = all.get(next) {
        next += 1;
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    all
}

/// The first of schedstat's numbers: nanoseconds on a CPU.
fn on_cpu(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn pss_kib(smaps_rollup: &str) -> Option<u32> {
    let line = smaps_rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_texts_are_read() {
        assert_eq!(on_cpu("14531 7755326 2\n"), Some(Duration::from_nanos(14_531)));
        assert_eq!(on_cpu(""), None);
        let rollup =
            "55a0-7ffd ---p 00000000 00:00 0 [rollup]\nRss:  9000 kB\nPss:  4321 kB\nPss_Dirty:  12 kB\n";
        assert_eq!(pss_kib(rollup), Some(4321));
    }

    #[test]
    fn a_share_of_a_core_is_time_spent_by_time_passed() {
        let at = Instant::now();
        let earlier = CpuTime { at, spent: Duration::from_millis(100) };
        let later = CpuTime { at: at + Duration::from_secs(2), spent: Duration::from_millis(200) };
        assert!((later.percent_since(&earlier) - 5.0).abs() < 1e-9);
    }

    #[test]
    fn this_process_is_its_own_family_and_uses_something() {
        let pids = family(std::process::id());
        assert_eq!(pids.first(), Some(&std::process::id()));
        let before = CpuTime::of(&pids[..1]).unwrap();
        let busy = (0..2_000_000_u64).fold(0_u64, |sum, n| sum.wrapping_mul(31).wrapping_add(n));
        assert_ne!(busy, 1);
        assert!(CpuTime::of(&pids[..1]).unwrap().percent_since(&before) > 0.0);
        assert!(pss_mib(&pids[..1]).unwrap() > 0.1);
    }
}
