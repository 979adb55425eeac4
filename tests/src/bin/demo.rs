//! `make demo`: a fleet on this machine tells its story.
#![allow(clippy::disallowed_methods, reason = "the lab measures real time on real hosts")]

use std::{
    fs,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use hafleet_tests::lab::{
    AgentConfiguration, Coordinator, Direction, Host, Lab, Outage, Probe, Process, remove_kept, start_agent,
    wait_for,
};

const VIP: &str = "192.168.178.3";
const SOON: Duration = Duration::from_secs(20);

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

/// What was seen, for the summary at the end.
#[derive(Default)]
struct Summary(Vec<String>);

impl Summary {
    fn add(&mut self, line: String) {
        println!("   => {line}");
        self.0.push(line);
    }
}

fn demo(keep: bool) -> Result<()> {
    let mut summary = Summary::default();
    let mut lab = Lab::new()?;
    println!(
        "A fleet in network namespaces of this machine; nothing leaves it. Three hosts on two networks:\n\n    \
         service     192.168.178.0/24   lb01 .130   lb02 .131   lb03 .132   client .10\n    \
         management  10.99.0.0/24       lb01        lb02        lb03        coordinator\n\n\
         The virtual IP {VIP} belongs to whoever wins the election: priorities 150, 100 and 50."
    );

    act(1, "A coordinator, and three agents that join it with one-use tokens");
    let coordinator = Coordinator::start(&mut lab)?;
    let hosts = [("lb01", 130, 150), ("lb02", 131, 100), ("lb03", 132, 50)];
    let mut fleet = Vec::new();
    for (name, number, priority) in hosts {
        let host = lab.host(name, &format!("192.168.178.{number}/24"))?;
        coordinator.join(&host)?;
        let agent = start_agent(&host, AgentConfiguration::Native(&configuration(name, priority)), &[])?;
        let echo = host.serve(VIP)?;
        fleet.push((host, agent, echo));
    }
    let client = lab.client("client", "192.168.178.10/24")?;
    let started = Instant::now();
    coordinator.wait_for_holder(VIP, Some("lb01"), SOON)?;
    wait_for("three nodes", SOON, || {
        let nodes = coordinator.json(&["get", "nodes"])?;
        let fresh = |node: &&serde_json::Value| node["fresh"] == true;
        Ok((nodes.as_array().into_iter().flatten().filter(fresh).count() == 3).then_some(()))
    })?;
    summary.add(format!(
        "lb01 won the election, {} ms after the last agent's start",
        started.elapsed().as_millis()
    ));
    show(&coordinator, &["status"])?;
    kernel(&fleet[0].0)?;

    act(
        2,
        "A client asks the virtual IP every millisecond; lb01's agent is stopped as systemd would (SIGTERM)",
    );
    let outage = failover(&coordinator, &client, "lb02", || fleet[0].1.terminate(SOON).map(drop))?;
    summary.add(format!("planned stop of lb01: {}", told(&outage)));
    println!("   lb01 comes back and, having the higher priority, takes the address back:");
    fleet[0].1 = start_agent(&fleet[0].0, AgentConfiguration::Native(&configuration("lb01", 150)), &[])?;
    coordinator.wait_for_holder(VIP, Some("lb01"), SOON)?;

    act(
        3,
        "lb01's agent is killed (SIGKILL): nobody says goodbye, and the kernel withdraws the address by its lease",
    );
    let outage = failover(&coordinator, &client, "lb02", || fleet[0].1.kill())?;
    summary.add(format!("kill -9 on lb01: {}", told(&outage)));
    wait_for("lb01's kernel to drop the address", Duration::from_secs(10), || {
        Ok((!fleet[0].0.holds(VIP)?).then_some(()))
    })?;
    fleet[0].1 = start_agent(&fleet[0].0, AgentConfiguration::Native(&configuration("lb01", 150)), &[])?;
    coordinator.wait_for_holder(VIP, Some("lb01"), SOON)?;

    act(4, "The history that the coordinator kept");
    show(&coordinator, &["get", "transitions"])?;

    act(
        5,
        "A firewall rule on lb01 drops VRRP (IP protocol 112); management stays up: two hosts hold the address",
    );
    fleet[0].0.drop_vrrp(Direction::Both)?;
    wait_for("a second master", SOON, || Ok(fleet[1].0.holds(VIP)?.then_some(())))?;
    let both = Instant::now();
    ensure!(fleet[0].0.holds(VIP)?, "lb01 gave the address up: that is no split brain");
    let finding = wait_for("split_brain.confirmed", SOON, || coordinator.finding("split_brain.confirmed"))?;
    let took = both.elapsed();
    let text = finding.to_string();
    for expected in ["lb01", "lb02", "something filters VRRP"] {
        ensure!(text.contains(expected), "the finding does not say {expected:?}: {text}");
    }
    summary.add(format!(
        "split brain of lb01 and lb02 confirmed {} ms after both were MASTER",
        took.as_millis()
    ));
    show(&coordinator, &["status"])?;
    show(&coordinator, &["explain", VIP])?;

    act(6, "The rule is taken away: one holder, and the finding is resolved");
    fleet[0].0.pass_vrrp()?;
    let healed = Instant::now();
    coordinator.wait_for_holder(VIP, Some("lb01"), SOON)?;
    wait_for("the end of the finding", SOON, || {
        Ok(coordinator.finding("split_brain.confirmed")?.is_none().then_some(()))
    })?;
    let holders: Vec<_> = fleet.iter().map(|(host, ..)| host.holds(VIP)).collect::<Result<_>>()?;
    ensure!(holders == [true, false, false], "holders after healing: {holders:?}");
    summary.add(format!(
        "healed: one holder and the finding resolved {} ms later",
        healed.elapsed().as_millis()
    ));
    show(&coordinator, &["get", "findings", "--all"])?;

    println!("\nWhat was seen, on real processes, kernel addresses and mTLS:");
    for line in &summary.0 {
        println!("  - {line}");
    }
    if keep {
        leave(lab, coordinator, fleet)?;
    }
    Ok(())
}

fn act(number: u32, title: &str) {
    println!("\n== {number}. {title}");
}

fn configuration(node: &str, priority: u8) -> String {
    format!(
        "node = \"{node}\"\nsite = \"dc1\"\n\n[[instance]]\nname = \"web\"\ninterface = \"ens33\"\nvrid = 51\n\
         priority = {priority}\nadvert_interval = \"1s\"\nvips = [{{ address = \"{VIP}/24\", label = \"ens33:3\" }}]\n"
    )
}

/// Probes the VIP, lets `fail` happen and waits until `heir` serves.
fn failover(
    coordinator: &Coordinator,
    client: &Host,
    heir: &str,
    fail: impl FnOnce() -> Result<()>,
) -> Result<Outage> {
    let probe = Probe::start(client, VIP)?;
    fail()?;
    coordinator.wait_for_holder(VIP, Some(heir), SOON)?;
    probe.wait_for_server(heir, SOON)?;
    let outage = probe.finish()?;
    ensure!(outage.served_by.last().map(String::as_str) == Some(heir), "{heir} does not serve: {outage:?}");
    Ok(outage)
}

fn told(outage: &Outage) -> String {
    format!(
        "the client was without an answer for {:.0} ms ({} of {} probes lost), then {} answered",
        outage.longest_gap_ms,
        outage.lost,
        outage.sent,
        outage.served_by.last().map_or("nobody", String::as_str)
    )
}

fn show(coordinator: &Coordinator, arguments: &[&str]) -> Result<()> {
    println!("\n   $ hactl {}", arguments.join(" "));
    for line in coordinator.shown(arguments)?.lines() {
        println!("   {line}");
    }
    Ok(())
}

fn kernel(host: &Host) -> Result<()> {
    println!("\n   $ ip addr show dev ens33     # on {}", host.name());
    for line in host.inet_lines("ens33")? {
        println!("   {line}");
    }
    Ok(())
}

/// Where `--keep` writes which lab `--stop` ends.
fn kept_file() -> std::path::PathBuf {
    std::env::temp_dir().join("hafleet-demo")
}

fn leave(mut lab: Lab, coordinator: Coordinator, fleet: Vec<(Host, Process, Process)>) -> Result<()> {
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
    for (_, agent, echo) in fleet {
        agent.leave_running();
        echo.leave_running();
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
