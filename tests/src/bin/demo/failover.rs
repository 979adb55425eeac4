//! Acts 1 to 4: an election, a planned stop, a kill, and the history of it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hafleet_tests::lab::{Coordinator, Lab, Outage, Probe, wait_for};

use super::stage::{Node, SOON, Stage, VIP, act, kernel, say};

/// The fleet comes to life.
pub(super) fn begin() -> Result<Stage> {
    act(1, "A coordinator, and three agents that join it with one-use tokens");
    let mut lab = Lab::new()?;
    let coordinator = Coordinator::start(&mut lab)?;
    let mut fleet = Vec::new();
    for (name, number, priority) in [("lb01", 130, 150), ("lb02", 131, 100), ("lb03", 132, 50)] {
        let host = lab.host(name, &format!("192.168.178.{number}/24"))?;
        coordinator.join(&host)?;
        fleet.push(Node::start(host, priority)?);
    }
    let client = lab.client("client", "192.168.178.10/24")?;
    let mut stage = Stage { coordinator, fleet, client, lab, summary: Vec::new() };
    let started = Instant::now();
    stage.wait_for_holder("lb01")?;
    stage.wait_for_fresh()?;
    let took_ms = started.elapsed().as_millis();
    stage.seen(format!("lb01 won the election, {took_ms} ms after the last agent's start"));
    stage.show(&["status"])?;
    kernel(&stage.fleet[0].host)?;
    Ok(stage)
}

/// SIGTERM.
pub(super) fn planned_stop(stage: &mut Stage) -> Result<()> {
    act(
        2,
        "A client asks the virtual IP every millisecond; lb01's agent is stopped as systemd would (SIGTERM)",
    );
    let outage = failover(stage, "lb02", |node| node.agent.terminate(SOON).map(drop))?;
    stage.seen(format!("planned stop of lb01: {}", told(&outage)));
    say("lb01 comes back and, having the higher priority, takes the address back:");
    stage.fleet[0].restart()?;
    stage.wait_for_holder("lb01")
}

/// SIGKILL.
pub(super) fn kill(stage: &mut Stage) -> Result<()> {
    act(
        3,
        "lb01's agent is killed (SIGKILL): nobody says goodbye, and the kernel withdraws the address by its lease",
    );
    let outage = failover(stage, "lb02", |node| node.agent.kill())?;
    stage.seen(format!("kill -9 on lb01: {}", told(&outage)));
    wait_for("lb01's kernel to drop the address", Duration::from_secs(10), || {
        Ok((!stage.fleet[0].host.holds(VIP)?).then_some(()))
    })?;
    stage.fleet[0].restart()?;
    stage.wait_for_holder("lb01")
}

/// What the coordinator has of it.
pub(super) fn history(stage: &Stage) -> Result<()> {
    act(4, "The history that the coordinator kept");
    stage.show(&["get", "transitions"])
}

/// Probes the VIP, lets `fail` happen to lb01 and waits until `heir` serves.
fn failover(stage: &mut Stage, heir: &str, fail: impl FnOnce(&mut Node) -> Result<()>) -> Result<Outage> {
    let probe = Probe::start(&stage.client, VIP)?;
    fail(&mut stage.fleet[0])?;
    stage.wait_for_holder(heir)?;
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
