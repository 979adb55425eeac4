//! `make demo`: a fleet on this machine tells its story.
#![allow(clippy::disallowed_methods, reason = "the lab measures real time on real hosts")]

mod failover;
mod fencing;
mod split_brain;
mod stage;

use std::{fs, process::ExitCode};

use anyhow::{Context, Result, bail};
use hafleet_tests::lab::remove_kept;

use stage::Stage;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => demo(false),
        ["--keep"] => demo(true),
        ["--stop"] => stop(),
        _ => Err(anyhow::anyhow!("usage: demo [--keep | --stop]")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(keep: bool) -> Result<()> {
    println!(
        "A fleet in network namespaces of this machine; nothing leaves it. Three hosts on two networks:\n\n    \
         service     192.168.178.0/24   lb01 .130   lb02 .131   lb03 .132   client .10\n    \
         management  10.99.0.0/24       lb01        lb02        lb03        coordinator\n\n\
         The virtual IP {} belongs to whoever wins the election: priorities 150, 100 and 50.",
        stage::VIP
    );
    let mut stage = failover::begin()?;
    failover::planned_stop(&mut stage)?;
    failover::kill(&mut stage)?;
    failover::history(&stage)?;
    split_brain::found(&mut stage)?;
    split_brain::healed(&mut stage)?;
    fencing::demote(&mut stage)?;
    fencing::power(&mut stage)?;

    println!("\nWhat was seen, on real processes, kernel addresses and mTLS:");
    for line in &stage.summary {
        println!("  - {line}");
    }
    if keep { leave(stage) } else { Ok(()) }
}

/// Where `--keep` writes which lab `--stop` ends.
fn kept_file() -> std::path::PathBuf {
    std::env::temp_dir().join("hafleet-demo")
}

fn leave(stage: Stage) -> Result<()> {
    let Stage { mut lab, coordinator, fleet, .. } = stage;
    let name =
        lab.directory().file_name().and_then(|name| name.to_str()).context("the lab has no name")?.to_owned();
    fs::write(lab.directory().join("kept"), "")?;
    fs::write(kept_file(), &name)?;
    println!(
        "\nThe fleet goes on running. Ask it:\n\n  ip netns exec {} {} --context {} status\n\n\
         Logs and state: {}\nEnd it: make demo-stop",
        coordinator.host().namespace(),
        hafleet_tests::lab::program("hactl")?.display(),
        coordinator.data_dir().join("admin.toml").display(),
        lab.directory().display()
    );
    lab.keep();
    coordinator.leave_running();
    for node in fleet {
        node.agent.leave_running();
        node.echo.leave_running();
    }
    Ok(())
}

fn stop() -> Result<()> {
    let Ok(name) = fs::read_to_string(kept_file()) else { bail!("no demo was left running") };
    remove_kept(&name);
    fs::remove_file(kept_file())?;
    println!("The demo's fleet is gone.");
    Ok(())
}
