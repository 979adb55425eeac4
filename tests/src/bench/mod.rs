//! `make bench`: hafleet's agent and Debian's keepalived with the very same keepalived.conf, measured in one run.
//!
//! Every part starts both daemons in racks of network namespaces of its own ([`crate::lab`]), does the same to both at the
//! same moments of their cycle, and gives a [`report::Section`]: a table with medians and ratios, and the verdicts on what was
//! promised.

pub mod addresses;
pub mod capture;
pub mod config;
pub mod daemon;
pub mod double_hold;
pub mod lines;
pub mod machine;
pub mod mass_failover;
pub mod outage;
pub mod planned;
pub mod rack;
pub mod repair;
pub mod report;
pub mod scale;
pub mod stability;
pub mod stalls;
pub mod start;
pub mod stats;
pub mod usage;

use std::time::Duration;

pub use daemon::Contender;

/// What to measure, and how often.
#[derive(Clone, Debug)]
pub struct Options {
    /// Samples of everything that happens once at a time.
    pub repeats: u32,
    /// Advertisement intervals in milliseconds; `None`: those of each part.
    pub intervals_ms: Option<Vec<u32>>,
    /// Numbers of instances for CPU and memory.
    pub instances: Vec<u16>,
    /// How long CPU is watched at the largest number of instances, and how long 10 ms must be stable.
    pub cpu_for: Duration,
    /// See [`Self::cpu_for`].
    pub stable_for: Duration,
    /// Whom to measure.
    pub contenders: Vec<Contender>,
}

impl Options {
    /// The intervals asked for, else `default`.
    fn intervals_ms(&self, default: &[u32]) -> Vec<u32> {
        self.intervals_ms.clone().unwrap_or_else(|| default.to_vec())
    }
}

/// Prints a line of progress on standard error: standard output is the report's.
fn progress(line: &str) {
    eprintln!("bench: {line}");
}
