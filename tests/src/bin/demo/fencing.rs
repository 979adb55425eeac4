//! Acts 7 and 8: fencing. A split brain that nobody has to mend, and a host that only its power switch can stop.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hafleet_tests::lab::wait_for;
use rustix::process::Signal;
use serde_json::Value;

use super::{
    split_brain,
    stage::{SOON, Stage, VIP, act, configuration, kernel, say},
};

/// For evidence to last, the program to run and the status to be believed.
const FENCED: Duration = Duration::from_secs(60);

/// The explained victim lets go by itself.
pub(super) fn demote(stage: &mut Stage) -> Result<()> {
    act(7, "Fencing is switched on, and lb02's firewall drops VRRP: nobody mends it");
    say(
        "coordinator.toml gets this, and the coordinator is restarted; no address notices that. The defaults wait longer:",
    );
    configure(stage, "auto")?;
    let both = split_brain::split(stage, 1)?;
    println!();
    say("Two hosts hold the address. The coordinator has both asked again, chooses who loses, and says why:");
    let fence = stage.wait_for_fence("lb02", "resolved", FENCED)?;
    wait_for("one holder", SOON, || Ok((stage.holders()? == ["lb01"]).then_some(())))?;
    let took_ms = both.elapsed().as_millis();
    let why = text(&fence, "explanation")?;
    stage.seen(format!(
        "split brain ended by itself: {why}. It was told to let go; one holder {took_ms} ms after both were MASTER"
    ));
    stage.wait_for_end("split_brain.confirmed")?;
    stage.show(&["get", "fences"])?;

    println!();
    say(
        "lb02 is held down until somebody has looked. The rule is taken away, and eve, a fence-approver, lets it back:",
    );
    stage.fleet[1].host.pass_vrrp()?;
    let eve = stage.coordinator.add_user("eve", "fence-approver")?;
    release(stage, &eve, "lb02")?;
    wait_for("lb02 to follow", SOON, || Ok((state(stage, "lb02")? == "BACKUP").then_some(())))?;
    stage.check_holder("lb01")?;
    stage.seen("lb02 was let back and follows lb01".to_owned());
    Ok(())
}

/// The host that hangs and still answers.
pub(super) fn power(stage: &mut Stage) -> Result<()> {
    act(
        8,
        "lb01 freezes with the address (SIGSTOP), and its kernel goes on answering for it: only power helps",
    );
    say(
        "lb01's agent runs keepalived's way now, `lease = \"off\"`: the kernel keeps the address, whatever becomes of",
    );
    say(
        "the agent. With a lease, the default, it would withdraw it as in act 3. And from now on a person must approve:",
    );
    configure(stage, "approve")?;
    without_lease(stage)?;
    let eve = stage.coordinator.host().directory().join("eve.toml");
    stage.fleet[0].agent.freeze();
    wait_for("lb02 to take over", SOON, || Ok(stage.fleet[1].host.holds(VIP)?.then_some(())))?;
    let both = Instant::now();
    println!();
    say(
        "lb02 has taken over as VRRP says, and lb01, which nobody hears any more, still answers ARP for the address:",
    );
    let finding = stage.wait_for_finding("split_brain.confirmed")?;
    stage.seen(format!(
        "frozen lb01 found to answer beside lb02, {} ms after lb02 took over",
        both.elapsed().as_millis()
    ));
    say(text(&finding, "cause")?);
    let fence = stage.wait_for_fence("lb01", "awaiting_approval", FENCED)?;
    stage.show(&["get", "fences"])?;
    ensure!(stage.lab.times_asked("off", "lb01")? == 0, "lb01 was switched off before anybody approved it");

    println!();
    say("Nothing is switched off until a second person says so. eve has looked, and types the node's name:");
    let id = text(&fence, "id")?;
    stage.show_as("eve", &eve, &["fence", "approve", id, "--up-to", "power", "--yes", "--node", "lb01"])?;
    let approved = Instant::now();
    stage.wait_for_fence("lb01", "quarantined", FENCED)?;
    ensure!(!stage.fleet[0].host.outlet()?.is_on()?, "lb01 has power");
    ensure!(!stage.fleet[0].agent.running(), "lb01's agent still runs");
    stage.check_holder("lb02")?;
    let took_ms = approved.elapsed().as_millis();
    stage.seen(format!(
        "lb01 switched off by its fence program, its status read as off and nobody saw it any more {took_ms} ms after eve's approval"
    ));
    stage.wait_for_end("split_brain.confirmed")?;
    stage.show(&["fence", "test", "lb01"])?;
    stage.show(&["describe", "fence", "lb01"])?;
    back(stage, &eve)
}

/// lb01 gets its power back, and stays out until it is released.
fn back(stage: &mut Stage, eve: &Path) -> Result<()> {
    println!();
    say(
        "lb01 gets its power back, with a lease this time. It would win the election, but it is in quarantine:",
    );
    stage.fleet[0].host.outlet()?.on()?;
    stage.fleet[0].restart()?;
    wait_for("lb01 to be held down", SOON, || Ok((state(stage, "lb01")? == "FAULT").then_some(())))?;
    stage.check_holder("lb02")?;
    stage.show(&["get", "instances"])?;
    release(stage, eve, "lb01")?;
    stage.wait_for_holder("lb01")?;
    wait_for("one holder", SOON, || Ok((stage.holders()? == ["lb01"]).then_some(())))?;
    stage.seen("lb01 was kept out after its return, let back by eve, and holds the address again".to_owned());
    stage.show(&["status"])
}

/// `[fencing]` in this mode, with the outlets of the lab's power switch. The windows are shorter than the defaults, for a demo.
fn configure(stage: &mut Stage, mode: &str) -> Result<()> {
    let hosts = &stage.fleet;
    let references: Vec<String> =
        hosts.iter().map(|node| format!("\"{}:22\"", node.host.management_address())).collect();
    let devices: Vec<String> =
        hosts.iter().map(|node| stage.lab.power_device(node.host.name(), 0)).collect::<Result<_>>()?;
    let fencing = format!("[fencing]\nmode = \"{mode}\"\nreferences = [{}]\n", references.join(", "));
    let windows = "[fencing.windows]\nconfirm = \"5s\"\npoll = \"4s\"\ngrace = \"1s\"\n";
    let first = devices.first().context("there are no hosts")?;
    println!();
    for line in fencing.lines().chain(windows.lines()).chain(first.lines()) {
        println!("   | {line}");
    }
    println!("   | …                    # likewise lb02 and lb03");
    stage.coordinator.configure(&format!("{fencing}{windows}{}", devices.concat()))?;
    stage.wait_for_fresh()?;
    stage.wait_for_holder("lb01")?;
    wait_for("verified fence paths", SOON, || {
        let told = stage.coordinator.shown(&["get", "fences"])?;
        Ok((!told.contains("not known to work")).then_some(()))
    })
}

/// lb01 reads its configuration again, without a gap.
fn without_lease(stage: &Stage) -> Result<()> {
    let node = stage.fleet.first().context("there is no lb01")?;
    node.host.write("agent.toml", &configuration(node.host.name(), node.priority, "off"))?;
    node.agent.signal(Signal::HUP);
    wait_for("lb01 to keep the address for ever", SOON, || {
        let lines = node.host.inet_lines("ens33")?;
        let own = lines.iter().find(|line| line.contains(VIP)).context("lb01 lost the address")?;
        Ok((!own.contains("dynamic")).then_some(()))
    })?;
    kernel(&node.host)
}

fn release(stage: &Stage, eve: &Path, node: &str) -> Result<()> {
    stage.show_as("eve", eve, &["fence", "release", node, "--yes"])?;
    stage.wait_for_fence(node, "released", SOON).map(drop)
}

/// What a node's instance is by its own word, now.
fn state(stage: &Stage, node: &str) -> Result<String> {
    let instances = stage.coordinator.json(&["get", "instances"])?;
    let own = instances.as_array().into_iter().flatten().find(|one| one["node"] == node);
    let own = own.filter(|one| one["fresh"] == true).and_then(|one| one["state"].as_str());
    Ok(own.unwrap_or_default().to_owned())
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("{key} is missing in {value}"))
}
