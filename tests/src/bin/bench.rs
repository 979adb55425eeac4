//! `make bench`: hafleet and keepalived with the same keepalived.conf, measured in one run.
#![allow(clippy::disallowed_methods, reason = "the bench measures real time on real hosts")]

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use hafleet_tests::bench::{
    Contender, Options, double_hold, machine, mass_failover, outage, planned, repair,
    report::{self, Section},
    scale, stability, start,
};

/// Measures hafleet's agent and keepalived with the very same keepalived.conf in network namespaces of this machine.
/// Prints the report, and its progress on standard error. Needs root.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Cli {
    /// What to measure; everything if nothing is named
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Samples of what happens once at a time, and windows of CPU time
    #[arg(long, default_value_t = 5)]
    repeats: u32,
    /// Advertisement intervals instead of those of each part
    #[arg(long, value_delimiter = ',')]
    intervals_ms: Option<Vec<u32>>,
    /// Numbers of instances for CPU and memory
    #[arg(long, value_delimiter = ',', default_values_t = [1, 50, 250])]
    instances: Vec<u16>,
    /// Seconds for which CPU time is watched
    #[arg(long, default_value_t = 20)]
    cpu_for: u64,
    /// Seconds for which 10 ms must be stable
    #[arg(long, default_value_t = 60)]
    stable_for: u64,
    /// Measure only one of the two
    #[arg(long, value_enum)]
    only: Option<Only>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A client's outage: SIGTERM, link loss, kill -9
    Outage,
    /// `hactl switchover` beside a stop of keepalived
    Planned,
    /// How long two hosts hold an address: kill -9, SIGSTOP
    DoubleHold,
    /// An address that was deleted by hand
    Repair,
    /// 250 addresses move at once
    MassFailover,
    /// 250 instances start on both hosts at once
    Start,
    /// CPU and memory
    Scale,
    /// 250 instances at 10 ms
    Stability,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    Hafleet,
    Keepalived,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything could be measured.
fn run(cli: Cli) -> Result<bool> {
    let begin = Instant::now();
    machine::wait_until_calm()?;
    let (machine, is_busy) = (machine::describe()?, machine::is_busy()?);
    if is_busy {
        eprintln!("bench: {}", report::BUSY);
    }
    let contenders = match cli.only {
        None => Contender::ALL.to_vec(),
        Some(Only::Hafleet) => vec![Contender::Hafleet],
        Some(Only::Keepalived) => vec![Contender::Keepalived],
    };
    let options = Options {
        repeats: cli.repeats.max(1),
        intervals_ms: cli.intervals_ms,
        instances: cli.instances,
        cpu_for: Duration::from_secs(cli.cpu_for),
        stable_for: Duration::from_secs(cli.stable_for),
        contenders,
    };
    let parts = if cli.parts.is_empty() { Part::value_variants().to_vec() } else { cli.parts };
    let mut all_measured = true;
    let mut sections = Vec::new();
    for part in parts {
        let section = measure(part, &options).with_context(|| format!("{part:?}")).unwrap_or_else(|error| {
            all_measured = false;
            Section::failed(&error)
        });
        eprintln!("bench: {} s after the start:\n{}", begin.elapsed().as_secs(), section.markdown());
        sections.push(section);
    }
    let text = report::document(&machine, is_busy, options.repeats, begin.elapsed(), &sections);
    print!("{text}");
    Ok(all_measured)
}

fn measure(part: Part, options: &Options) -> Result<Section> {
    match part {
        Part::Outage => outage::run(options),
        Part::Planned => planned::run(options),
        Part::DoubleHold => double_hold::run(options),
        Part::Repair => repair::run(options),
        Part::MassFailover => mass_failover::run(options),
        Part::Start => start::run(options),
        Part::Scale => scale::run(options),
        Part::Stability => stability::run(options),
    }
}
