//! How long the machine itself stood still: on every processor a thread that nothing in the system may delay, and what
//! delayed it all the same.

use std::{process::Command, thread::available_parallelism};

use anyhow::{Context, Result};

use super::lines::Lines;
use crate::lab::program;

/// One watch on each processor.
#[derive(Debug)]
pub struct StallWatch(Vec<Lines>);

impl StallWatch {
    /// Starts watching, by SCHED_FIFO at the highest priority.
    pub fn start() -> Result<Self> {
        let processors = available_parallelism().context("counting processors")?.get();
        let watch = |processor: usize| {
            let mut command = Command::new("taskset");
            command.args(["-c", &processor.to_string(), "chrt", "-f", "99"]);
            command.arg(program("lab")?).arg("stalls");
            Lines::start(&format!("stalls of processor {processor}"), &mut command)
        };
        (0..processors).map(watch).collect::<Result<_>>().map(Self)
    }

    /// The longest until now, milliseconds; 0 when none was worth telling.
    pub fn longest_ms(&self) -> f64 {
        let lines = self.0.iter().flat_map(Lines::taken);
        lines.filter_map(|(_, line)| read(&line)).fold(0.0, f64::max)
    }
}

/// `stall 41.2`
fn read(line: &str) -> Option<f64> {
    line.strip_prefix("stall ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_read_and_nothing_else() {
        assert_eq!(read("stall 41.2"), Some(41.2));
        assert_eq!(read("chrt: failed to set pid 0's policy"), None);
    }
}
