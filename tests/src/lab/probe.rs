//! The client of a VIP: one probe a millisecond, or another interval, and what it lost.
//!
//! A probe a millisecond measures an outage to the millisecond, and loses about as many probes as it lasts milliseconds. How many a
//! client loses depends on how often it asks: of an outage of at most 10 ms one that asks every 10 ms, or less often, loses none or
//! one.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{Host, Process, program, wait_for};

/// A probing client. It runs until [`Probe::finish`].
#[derive(Debug)]
pub struct Probe {
    process: Process,
    start: usize,
}

/// What a client of the VIP saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    /// Probes sent, one each interval.
    pub sent: u64,
    /// Probes that were never answered.
    pub lost: u64,
    /// The longest time between two answered probes, milliseconds; the interval is perfect.
    pub longest_gap_ms: f64,
    /// Who answered, in the order of the first answer after each change.
    pub served_by: Vec<String>,
    /// The first runs of probes that later ones overtook, by number: at one a millisecond a probe's number is its millisecond.
    pub passed_over: Vec<(u64, u64)>,
}

impl Probe {
    /// Starts probing `address` from `client` every millisecond and waits until the first answer has come.
    pub fn start(client: &Host, address: &str) -> Result<Self> {
        Self::start_every(client, address, 1)
    }

    /// The same with a probe every so many milliseconds.
    pub fn start_every(client: &Host, address: &str, interval_ms: u32) -> Result<Self> {
        let mut command: Command = client.command(program("lab")?);
        command.args(["probe", address, &interval_ms.to_string()]);
        let mut process = client.spawn(&format!("probe-{address}-{interval_ms}ms"), &mut command)?;
        let start = process.log().len();
        process.wait_for_log("first answer from", Duration::from_secs(30))?;
        Ok(Self { process, start })
    }

    /// Waits until the last answer came from this host.
    pub fn wait_for_server(&self, name: &str, within: Duration) -> Result<()> {
        wait_for(&format!("an answer from {name}"), within, || {
            let log = self.process.log();
            let last =
                log.lines().rev().find_map(|line| line.rsplit_once(" from ").or(line.rsplit_once(" by ")));
            Ok(last.is_some_and(|(_, server)| server == name).then_some(()))
        })
    }

    /// Stops probing and says what was seen.
    pub fn finish(mut self) -> Result<Outage> {
        self.process.terminate(Duration::from_secs(5))?;
        let log = self.process.log();
        let last = log.get(self.start..).unwrap_or(&log).lines().rev().find(|line| line.starts_with('{'));
        serde_json::from_str(last.context("the probe left no result")?).context("reading the probe's result")
    }
}
