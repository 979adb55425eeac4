//! Many instances at the shortest interval: does anything move that should not?

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{
    Contender, Options,
    addresses::{DoubleHold, Timeline},
    config::{Group, interval_text},
    progress,
    rack::Rack,
    report::{Figure, Section, Table, Verdict},
    scale::{self, Costs},
    stalls::StallWatch,
};
use crate::lab::wait_for;

const INTERVAL_MS: u32 = 10;
const INSTANCES: u16 = 250;
/// Until the watch begins: a start is not what is measured.
const CALM: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default, PartialEq)]
struct Found {
    /// Whether the higher priority held everything alone within [`CALM`].
    settled: bool,
    /// Addresses that came to a host that did not have them.
    moves: u32,
    /// Addresses that were ever held by both.
    twice: usize,
    /// The longest time that one was, seconds.
    twice_for_s: f64,
    cost: String,
    /// The longest time that a processor stood still, milliseconds.
    stall_ms: f64,
}

/// By real time or not, and contender.
type All = BTreeMap<(bool, Contender), Found>;

/// Watches both contenders one after the other.
pub fn run(options: &Options) -> Result<Section> {
    let mut found = All::new();
    let interval_ms = options.intervals_ms(&[INTERVAL_MS]).into_iter().min().unwrap_or(INTERVAL_MS);
    for is_realtime in [false, true] {
        for &contender in &options.contenders {
            let group = Group { is_realtime, ..Group::many(INSTANCES, interval_ms) };
            let one = measure(contender, group, options).with_context(|| format!("{contender}"))?;
            progress(&format!("stability, {}: {contender} {one:?}", scheduling(is_realtime)));
            found.insert((is_realtime, contender), one);
        }
    }
    Ok(report(&found, interval_ms, options.stable_for))
}

fn measure(contender: Contender, group: Group, options: &Options) -> Result<Found> {
    let mut rack = Rack::new(contender, group)?;
    let watch = rack.watch()?;
    rack.start(0)?;
    rack.start(1)?;
    let all = rack.group.vips().len();
    let settled =
        wait_for("calm", CALM, || Ok(((rack.held(0)?, rack.held(1)?) == (all, 0)).then_some(()))).is_ok();
    thread::sleep(CALM);
    let from = Instant::now();
    let mut costs = Costs::new();
    let stalls = StallWatch::start()?;
    scale::watch(&mut rack, options.stable_for, options.repeats, &mut costs)?;
    let until = Instant::now();
    let mut timeline = Timeline::default();
    timeline.take(&watch);
    let arrivals = timeline.arrivals(0, from).into_values().chain(timeline.arrivals(1, from).into_values());
    let cost = costs
        .values()
        .map(|cost| format!("{}, {}", Figure::CORE.median(&cost.cpu), Figure::MIB.median(&cost.pss)));
    Ok(Found {
        settled,
        moves: arrivals.sum(),
        cost: cost.collect::<Vec<_>>().join("; "),
        stall_ms: stalls.longest_ms(),
        ..twice(&timeline.double_holds(from, until))
    })
}

fn twice(holds: &[DoubleHold]) -> Found {
    let addresses: BTreeSet<&str> = holds.iter().map(|hold| hold.address.as_str()).collect();
    let longest = holds.iter().map(|hold| hold.until - hold.from).max().unwrap_or_default();
    Found { twice: addresses.len(), twice_for_s: longest.as_secs_f64(), ..Found::default() }
}

fn scheduling(is_realtime: bool) -> &'static str {
    if is_realtime { "vrrp_rt_priority 50" } else { "default scheduling" }
}

fn report(found: &All, interval_ms: u32, watched: Duration) -> Section {
    let mut table = Table::new(&["scheduling", "", ">hafleet", ">keepalived"]);
    let mut verdicts = Vec::new();
    for is_realtime in found.keys().map(|key| key.0).collect::<BTreeSet<bool>>() {
        let of = |contender| found.get(&(is_realtime, contender));
        let (ours, theirs) = (of(Contender::Hafleet), of(Contender::Keepalived));
        let text =
            |of: Option<&Found>, text: &dyn Fn(&Found) -> String| of.map_or_else(super::report::none, text);
        let mut row = |what: &str, of: &dyn Fn(&Found) -> String| {
            table.row(vec![
                scheduling(is_realtime).to_owned(),
                what.to_owned(),
                text(ours, of),
                text(theirs, of),
            ]);
        };
        row("calm after the start", &|found| if found.settled { "yes".to_owned() } else { "no".to_owned() });
        row("addresses that moved", &|found| found.moves.to_string());
        row("addresses held twice", &|found| found.twice.to_string());
        row("longest double hold", &|found| Figure::S.value(found.twice_for_s));
        row("CPU and PSS of master; backup", &|found| found.cost.clone());
        row("longest stall of the machine", &|found| Figure::MS.value(found.stall_ms));
        let at_most = |what: &str, of: &dyn Fn(&Found) -> f64| {
            let interval = interval_text(interval_ms);
            let what = format!("{INSTANCES} instances at {interval}, {}, {what}", scheduling(is_realtime));
            Verdict::at_most(&what, ours.map(of), theirs.map(of), 0.0, Figure::COUNT)
        };
        verdicts.push(at_most("addresses that moved", &|found| found.moves.into()));
        verdicts.push(at_most("held twice", &|found| u32::try_from(found.twice).unwrap_or(u32::MAX).into()));
    }
    Section {
        title: format!("{INSTANCES} instances at {}", interval_text(interval_ms)),
        how: format!(
            "Two hosts for {} s, beginning {} s after the start. The kernel's address events say what moved and what two hosts \
             had at once; nothing should have. Once as it comes, and once in real time: with other work on the machine, 36 ms \
             are soon over for a process that waits for its turn. A stall of the machine is how \
             much too late a thread with the highest real-time priority woke on any processor: the machine's fault, or that \
             of a kernel that moves addresses by the hundred.",
            watched.as_secs(),
            CALM.as_secs()
        ),
        table,
        verdicts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_held_twice_counts_once_with_its_longest_time() {
        let at = Instant::now();
        let hold = |address: &str, ms| DoubleHold {
            address: address.to_owned(),
            from: at,
            until: at + Duration::from_millis(ms),
        };
        let found = twice(&[hold("a", 10), hold("a", 500), hold("b", 20)]);
        assert_eq!((found.twice, found.twice_for_s), (2, 0.5));
        let kept: Vec<_> = report(&All::from([((false, Contender::Hafleet), found)]), 10, CALM)
            .verdicts
            .iter()
            .map(|verdict| verdict.kept)
            .collect();
        assert_eq!(kept, [Some(true), Some(false)]);
    }
}
