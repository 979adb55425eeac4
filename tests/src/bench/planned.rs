//! A planned move: people hand the address over, or stop the daemon that holds it.

use anyhow::{Context, Result, ensure};

use super::{
    Contender, Options,
    config::Group,
    progress,
    rack::{HOST_ADDRESSES, Rack, SOON},
    report::{Figure, Section, Table, Verdict, ratio_text},
    stats::Samples,
};
use crate::lab::{AgentConfiguration, Coordinator, Host, Lab, Outage, Probe, Process, start_agent, wait_for};

const INTERVAL_MS: u32 = 1000;
const LONGEST_MS: f64 = 10.0;
/// The client that counts what it lost asks so often: by an outage of at most [`LONGEST_MS`] it loses one at most.
const ASKS_EVERY_MS: u32 = 10;
const PRIORITIES: [u8; 2] = [150, 100];

/// Moves it there and back.
pub fn run(options: &Options) -> Result<Section> {
    let (mut ours, mut theirs, mut lost) = (Samples::default(), Samples::default(), Samples::default());
    for &contender in &options.contenders {
        match contender {
            Contender::Hafleet => switch_over(options.repeats, &mut ours, &mut lost)?,
            Contender::Keepalived => stop(options.repeats, &mut theirs)?,
        }
    }
    Ok(report(&ours, &theirs, &lost))
}

/// A coordinator and two agents with keepalived's own files.
fn switch_over(repeats: u32, gaps_ms: &mut Samples, lost: &mut Samples) -> Result<()> {
    let group = Group::single(INTERVAL_MS);
    let vip = group.vips().first().context("a group has an address")?.clone();
    let mut lab = Lab::new()?;
    let coordinator = Coordinator::start(&mut lab)?;
    let (mut agents, mut echoes): (Vec<Process>, Vec<Process>) = (Vec::new(), Vec::new());
    for (number, (address, priority)) in HOST_ADDRESSES.iter().zip(PRIORITIES).enumerate() {
        let host: Host = lab.host(&format!("lb{:02}", number + 1), &format!("{address}/24"))?;
        coordinator.join(&host)?;
        let conf = group.keepalived_conf(host.name(), priority);
        agents.push(start_agent(&host, AgentConfiguration::Keepalived(&conf), &[])?);
        echoes.push(host.serve(&vip)?);
        coordinator.wait_for_holder(&vip, Some("lb01"), SOON)?;
    }
    let client = lab.client("client", "192.168.178.200/24")?;
    wait_for("both to be known", SOON, || {
        let members = coordinator.group(&vip)?.and_then(|group| Some(group["members"].as_array()?.len()));
        Ok((members == Some(2)).then_some(()))
    })?;
    for repeat in 0..repeats {
        let to = if repeat % 2 == 0 { "lb02" } else { "lb01" };
        let (probe, asks) = (Probe::start(&client, &vip)?, Probe::start_every(&client, &vip, ASKS_EVERY_MS)?);
        let group = coordinator.group(&vip)?.context("the group is known")?;
        let name = group["group"].as_str().context("it has a name")?;
        let said = coordinator.hactl(&["switchover", name, "--to", to])?;
        ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        probe.wait_for_server(to, SOON)?;
        asks.wait_for_server(to, SOON)?;
        let (outage, asked): (Outage, Outage) = (probe.finish()?, asks.finish()?);
        progress(&format!("planned move to {to}: {:.1} ms, {} lost", outage.longest_gap_ms, asked.lost));
        gaps_ms.push(outage.longest_gap_ms);
        lost.push(f64::from(u32::try_from(asked.lost).unwrap_or(u32::MAX)));
    }
    drop((agents, echoes));
    Ok(())
}

/// keepalived knows no other way than to end.
fn stop(repeats: u32, gaps_ms: &mut Samples) -> Result<()> {
    let group = Group::single(INTERVAL_MS);
    let vip = group.vips().first().context("a group has an address")?.clone();
    let mut rack = Rack::new(Contender::Keepalived, group)?;
    rack.serve(&vip)?;
    rack.start_both()?;
    for _ in 0..repeats {
        rack.settled()?;
        let probe = Probe::start(&rack.client, &vip)?;
        probe.wait_for_server("lb01", SOON)?;
        rack.daemon(0)?.ask_to_end();
        probe.wait_for_server("lb02", SOON)?;
        let outage = probe.finish()?;
        progress(&format!("keepalived is stopped: {:.1} ms", outage.longest_gap_ms));
        gaps_ms.push(outage.longest_gap_ms);
        rack.daemon(0)?.wait()?;
        rack.start(0)?;
    }
    Ok(())
}

fn report(ours: &Samples, theirs: &Samples, lost: &Samples) -> Section {
    let mut table = Table::new(&["what", ">hafleet", ">keepalived", ">ratio"]);
    table.row(vec![
        "planned move: hactl switchover, keepalived stop".to_owned(),
        Figure::MS.spread(ours),
        Figure::MS.spread(theirs),
        ratio_text(ours, theirs),
    ]);
    let none = Samples::default();
    let what = format!("lost, asked every {ASKS_EVERY_MS} ms, at most");
    table.row(vec![
        what.clone(),
        Figure::COUNT.spread(lost),
        Figure::COUNT.spread(&none),
        ratio_text(lost, &none),
    ]);
    Section {
        title: "A planned move".to_owned(),
        how: "The same two hosts at 1 s. hafleet: `hactl switchover` through a coordinator, there and back, make before break. \
              keepalived: SIGTERM to the master, which is how it hands over. Longest time between two answers to a probe every \
              millisecond, median (least–greatest); a second client asks every 10 ms and counts what it loses: by an outage of \
              at most 10 ms none or one."
            .to_owned(),
        table,
        verdicts: vec![Verdict::at_most("planned move, 1 s", ours.median(), theirs.median(), LONGEST_MS, Figure::MS)],
    }
}
