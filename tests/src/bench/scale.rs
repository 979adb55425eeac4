//! CPU and memory of the master and the backup, by number of instances and interval.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::{Context, Result};

use super::{
    Contender, Options,
    config::{Group, interval_text},
    progress,
    rack::Rack,
    report::{Figure, Section, Table, Verdict, ratio_text},
    stats::Samples,
    usage::{CpuTime, pss_mib},
};

/// 10 ms with many instances is measured with [`super::stability`].
const INTERVALS_MS: [u32; 3] = [1000, 100, 50];
const PSS_MIB: f64 = 12.0;
/// What takeovers leave behind (repeats of announcements, journals) is over after this.
const CALM: Duration = Duration::from_secs(7);

/// Master and backup.
const ROLES: [&str; 2] = ["master", "backup"];

/// CPU and memory of one role.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// Percent of a core in each window.
    pub cpu: Samples,
    /// Proportional set size at the end.
    pub pss: Samples,
}

/// By instances, interval in milliseconds, role and contender.
pub type Costs = BTreeMap<(u16, u32, usize, Contender), Cost>;

/// Measures all combinations.
pub fn run(options: &Options) -> Result<Section> {
    let mut costs = Costs::new();
    let most = options.instances.iter().copied().max().unwrap_or(0);
    for &instances in &options.instances {
        for interval_ms in options.intervals_ms(&INTERVALS_MS) {
            for &contender in &options.contenders {
                let group = Group::many(instances, interval_ms);
                // A few cost little, and little is to be seen: less time for them.
                let cpu_for = if instances == most { options.cpu_for } else { options.cpu_for / 2 };
                let what = format!("{contender}, {instances} instances, {}", interval_text(interval_ms));
                measure(contender, group, cpu_for, options.repeats, &mut costs).context(what)?;
            }
        }
    }
    Ok(report(&costs))
}

fn measure(
    contender: Contender,
    group: Group,
    cpu_for: Duration,
    windows: u32,
    costs: &mut Costs,
) -> Result<()> {
    let mut rack = Rack::new(contender, group)?;
    rack.start_both()?;
    thread::sleep(CALM);
    watch(&mut rack, cpu_for, windows, costs)?;
    rack.settled()
}

/// Watches what the two daemons of a rack use.
pub fn watch(rack: &mut Rack, cpu_for: Duration, windows: u32, costs: &mut Costs) -> Result<()> {
    let pids = [rack.daemon(0)?.pids(), rack.daemon(1)?.pids()];
    let read = || Ok::<_, anyhow::Error>([CpuTime::of(&pids[0])?, CpuTime::of(&pids[1])?]);
    let mut before = read()?;
    let mut found = [Cost::default(), Cost::default()];
    for _ in 0..windows {
        thread::sleep(cpu_for / windows.max(1));
        let now = read()?;
        for ((cost, now), before) in found.iter_mut().zip(&now).zip(&before) {
            cost.cpu.push(now.percent_since(before));
        }
        before = now;
    }
    let Group { instances, interval_ms, .. } = rack.group;
    for (role, (mut cost, pids)) in found.into_iter().zip(&pids).enumerate() {
        cost.pss.push(pss_mib(pids)?);
        progress(&format!(
            "scale, {instances} × {}, {} as {}: {} of a core, {}",
            interval_text(interval_ms),
            rack.contender,
            ROLES.get(role).unwrap_or(&""),
            Figure::CORE.spread(&cost.cpu),
            Figure::MIB.median(&cost.pss)
        ));
        costs.insert((instances, interval_ms, role, rack.contender), cost);
    }
    Ok(())
}

/// The table of costs.
pub fn report(costs: &Costs) -> Section {
    let mut table = Table::new(&[
        ">instances",
        "interval",
        "role",
        ">CPU hafleet",
        ">CPU keepalived",
        ">ratio",
        ">PSS hafleet",
        ">PSS keepalived",
    ]);
    let mut verdicts = Vec::new();
    let cases: std::collections::BTreeSet<(u16, std::cmp::Reverse<u32>, usize)> = costs
        .keys()
        .map(|&(instances, interval_ms, role, _)| (instances, std::cmp::Reverse(interval_ms), role))
        .collect();
    let most = cases.iter().map(|case| case.0).max().unwrap_or(0);
    let none = Cost::default();
    for (instances, std::cmp::Reverse(interval_ms), role) in cases {
        let of = |contender| costs.get(&(instances, interval_ms, role, contender)).unwrap_or(&none);
        let (ours, theirs) = (of(Contender::Hafleet), of(Contender::Keepalived));
        let (interval, role) = (interval_text(interval_ms), ROLES.get(role).copied().unwrap_or_default());
        table.row(vec![
            instances.to_string(),
            interval.clone(),
            role.to_owned(),
            Figure::CORE.spread(&ours.cpu),
            Figure::CORE.spread(&theirs.cpu),
            ratio_text(&ours.cpu, &theirs.cpu),
            Figure::MIB.median(&ours.pss),
            Figure::MIB.median(&theirs.pss),
        ]);
        if instances != most {
            continue;
        }
        if [100, 50].contains(&interval_ms) {
            let what = format!("CPU, {instances} instances, {interval}, {role}");
            verdicts.push(Verdict::at_most_ratio(&what, &ours.cpu, &theirs.cpu, 1.0, Figure::CORE));
        }
        let (ours, theirs) = (ours.pss.median(), theirs.pss.median());
        let what = format!("memory, {instances} instances, {interval}, {role}");
        verdicts.push(Verdict::at_most(&what, ours, theirs, PSS_MIB, Figure::MIB));
    }
    Section {
        title: "CPU and memory".to_owned(),
        how: "CPU time of all threads and processes of a daemon by the kernel's account, in percent of one core: median \
              (least–greatest) of consecutive windows while nothing happens but adverts and renewals of leases. What a packet \
              costs until it lies in the receiver's socket is on the sender's account. Memory is the proportional set size: \
              two daemons on one machine share what two hosts would not. Each instance has one address."
            .to_owned(),
        table,
        verdicts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_judged_at_the_largest_size_only_and_where_it_was_promised() {
        let cost = |cpu: f64| Cost { cpu: [cpu].into_iter().collect(), pss: [4.0].into_iter().collect() };
        let mut costs = Costs::new();
        for instances in [1, 250] {
            for interval_ms in [1000, 50] {
                costs.insert((instances, interval_ms, 0, Contender::Hafleet), cost(3.0));
                costs.insert((instances, interval_ms, 0, Contender::Keepalived), cost(2.0));
            }
        }
        let section = report(&costs);
        assert_eq!(section.table.markdown().lines().count(), 2 + 4);
        let judged: Vec<_> =
            section.verdicts.iter().map(|verdict| (verdict.what.as_str(), verdict.kept)).collect();
        assert_eq!(
            judged,
            [
                ("memory, 250 instances, 1 s, master", Some(true)),
                ("CPU, 250 instances, 50 ms, master", Some(false)),
                ("memory, 250 instances, 50 ms, master", Some(true)),
            ]
        );
    }
}
