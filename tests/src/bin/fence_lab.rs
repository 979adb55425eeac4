//! A fence program that switches hosts of a lab off and on, spoken to as Debian's fence-agents are: `key=value` on standard input.
//!
//! `lab` is the lab's directory, `plug` the host. See [`hafleet_tests::lab::Outlet`] for what off is.
#![allow(clippy::disallowed_methods, reason = "the lab measures real time on real hosts")]

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use hafleet_tests::lab::Outlet;

/// What it says of itself, in the words of fence-agents.
const METADATA: &str = include_str!("fence_lab.xml");
const KNOWN: [&str; 5] = ["action", "lab", "plug", "port", "delay"];

/// Exit codes of the fence-agents library.
const GENERIC_ERROR: u8 = 1;
const STATUS_OFF: u8 = 2;

fn main() -> ExitCode {
    let mut input = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut input) {
        eprintln!("Failed: reading standard input: {error}");
        return ExitCode::from(GENERIC_ERROR);
    }
    let options = options(&input);
    let action = options.get("action").map_or("reboot", String::as_str);
    match run(action, &options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("Failed: {error:#}");
            ExitCode::from(GENERIC_ERROR)
        }
    }
}

/// Lines of `key=value`; the last one of a key counts, comments and blank lines do not.
fn options(input: &str) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    for line in input.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let key = key.trim();
        if KNOWN.contains(&key) {
            // `port` is what `plug` was called in former times.
            let key = if key == "port" { "plug" } else { key };
            options.insert(key.to_owned(), value.trim().to_owned());
        } else {
            eprintln!("Parse error: Ignoring unknown option '{line}'");
        }
    }
    options
}

fn run(action: &str, options: &BTreeMap<String, String>) -> Result<ExitCode> {
    if action == "metadata" {
        print!("{METADATA}");
        return Ok(ExitCode::SUCCESS);
    }
    if !["on", "off", "reboot", "status", "monitor", "list"].contains(&action) {
        bail!("Unrecognised action '{action}'");
    }
    let lab = options.get("lab").map(PathBuf::from).context("You have to set the lab's directory")?;
    ensure!(lab.is_absolute(), "{} is not an absolute path", lab.display());
    match action {
        "list" => {
            for name in Outlet::names(&lab)? {
                println!("{name},");
            }
            Ok(ExitCode::SUCCESS)
        }
        // The switch itself: it answers when it knows its outlets.
        "monitor" => Outlet::names(&lab).map(|_| ExitCode::SUCCESS),
        _ => switch(action, &lab, options),
    }
}

fn switch(action: &str, lab: &Path, options: &BTreeMap<String, String>) -> Result<ExitCode> {
    let plug = options.get("plug").filter(|plug| !plug.is_empty());
    let plug = plug.context("You have to enter plug number or machine identification")?;
    let outlet = Outlet::find(lab, plug)?;
    outlet.asked(action)?;
    if let Some(delay_s) = options.get("delay").filter(|_| action != "status") {
        let delay_s = delay_s.parse().with_context(|| format!("delay={delay_s} is no number of seconds"))?;
        thread::sleep(Duration::from_secs(delay_s));
    }
    match action {
        "status" if outlet.is_on()? => println!("Status: ON"),
        "status" => {
            println!("Status: OFF");
            return Ok(ExitCode::from(STATUS_OFF));
        }
        "off" if !outlet.is_on()? => println!("Success: Already OFF"),
        "on" if outlet.is_on()? => println!("Success: Already ON"),
        "off" => {
            outlet.off()?;
            println!("Success: Powered OFF");
        }
        "on" => {
            outlet.on()?;
            println!("Success: Powered ON");
        }
        _ => {
            outlet.off()?;
            outlet.on()?;
            println!("Success: Rebooted");
        }
    }
    Ok(ExitCode::SUCCESS)
}
