//! Acts 5 and 6: two hosts hold the address, the fleet says why, and somebody mends it.

use std::time::Instant;

use anyhow::{Result, ensure};
use hafleet_tests::lab::{Direction, wait_for};

use super::stage::{SOON, Stage, VIP, act};

/// The firewall of one of the first two drops VRRP; both hold the address from when this returns.
pub(super) fn split(stage: &Stage, filtered: usize) -> Result<Instant> {
    let [one, other, ..] = stage.fleet.as_slice() else { anyhow::bail!("a split needs two hosts") };
    let node = if filtered == 0 { one } else { other };
    node.host.drop_vrrp(Direction::Both)?;
    wait_for("a second master", SOON, || Ok(other.host.holds(VIP)?.then_some(())))?;
    let both = Instant::now();
    ensure!(one.host.holds(VIP)?, "lb01 gave the address up: that is no split brain");
    Ok(both)
}

/// The finding, with its cause.
pub(super) fn found(stage: &mut Stage) -> Result<()> {
    act(
        5,
        "A firewall rule on lb01 drops VRRP (IP protocol 112); management stays up: two hosts hold the address",
    );
    let both = split(stage, 0)?;
    let finding = stage.wait_for_finding("split_brain.confirmed")?;
    let took_ms = both.elapsed().as_millis();
    let text = finding.to_string();
    for expected in ["lb01", "lb02", "something filters VRRP"] {
        ensure!(text.contains(expected), "the finding does not say {expected:?}: {text}");
    }
    stage.seen(format!("split brain of lb01 and lb02 confirmed {took_ms} ms after both were MASTER"));
    stage.show(&["status"])?;
    stage.show(&["explain", VIP])
}

/// The rule goes.
pub(super) fn healed(stage: &mut Stage) -> Result<()> {
    act(6, "The rule is taken away: one holder, and the finding is resolved");
    stage.fleet[0].host.pass_vrrp()?;
    let healed = Instant::now();
    stage.wait_for_holder("lb01")?;
    stage.wait_for_end("split_brain.confirmed")?;
    stage.check_holder("lb01")?;
    let took_ms = healed.elapsed().as_millis();
    stage.seen(format!("healed: one holder and the finding resolved {took_ms} ms later"));
    stage.show(&["get", "findings", "--all"])
}
