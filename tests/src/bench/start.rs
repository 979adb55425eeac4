//! Many instances start on both hosts at the same moment: does the lower priority take anything?

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{
    Contender, Options,
    addresses::Timeline,
    config::{Group, interval_text},
    progress,
    rack::Rack,
    report::{Figure, Section, Table, Verdict},
    stats::Samples,
};
use crate::lab::wait_for;

const INTERVALS_MS: [u32; 2] = [1000, 100];
const INSTANCES: u16 = 250;
const WATCHED: Duration = Duration::from_secs(10);

type Found = BTreeMap<(u32, Contender), Samples>;

/// Starts afresh again and again.
pub fn run(options: &Options) -> Result<Section> {
    let mut found = Found::new();
    for interval_ms in options.intervals_ms(&INTERVALS_MS) {
        for repeat in 0..options.repeats {
            for &contender in &options.contenders {
                let taken = measure(contender, interval_ms, repeat)
                    .with_context(|| format!("{contender} at {}", interval_text(interval_ms)))?;
                progress(&format!(
                    "start, {}: {contender} {taken} needless takeovers",
                    interval_text(interval_ms)
                ));
                found.entry((interval_ms, contender)).or_default().push(taken.into());
            }
        }
    }
    Ok(report(&found))
}

/// How many addresses came to the lower priority.
fn measure(contender: Contender, interval_ms: u32, repeat: u32) -> Result<u32> {
    let mut rack = Rack::new(contender, Group::many(INSTANCES, interval_ms))?;
    let watch = rack.watch()?;
    let start = Instant::now();
    // One is always first by a hair: in turn the one and the other.
    for index in if repeat.is_multiple_of(2) { [1, 0] } else { [0, 1] } {
        rack.start(index)?;
    }
    let all = rack.group.vips().len();
    // Whoever does not become calm has been seen long enough then.
    let _ = wait_for("calm", WATCHED, || Ok(((rack.held(0)?, rack.held(1)?) == (all, 0)).then_some(())));
    let mut timeline = Timeline::default();
    timeline.take(&watch);
    Ok(timeline.arrivals(1, start).values().sum())
}

fn report(found: &Found) -> Section {
    let mut table = Table::new(&["interval", ">hafleet", ">keepalived"]);
    let mut verdicts = Vec::new();
    let intervals: std::collections::BTreeSet<std::cmp::Reverse<u32>> =
        found.keys().map(|&(interval_ms, _)| std::cmp::Reverse(interval_ms)).collect();
    let none = Samples::default();
    for std::cmp::Reverse(interval_ms) in intervals {
        let of = |contender| found.get(&(interval_ms, contender)).unwrap_or(&none);
        let (ours, theirs) = (of(Contender::Hafleet), of(Contender::Keepalived));
        let interval = interval_text(interval_ms);
        table.row(vec![interval.clone(), Figure::COUNT.spread(ours), Figure::COUNT.spread(theirs)]);
        let what = format!("needless takeovers at the start, at most, {interval}");
        verdicts.push(Verdict::at_most(&what, ours.max(), theirs.max(), 0.0, Figure::COUNT));
    }
    Section {
        title: "Simultaneous start".to_owned(),
        how: format!(
            "{INSTANCES} instances start on two hosts at the same moment. Addresses that the host with the lower priority took \
             although the other one was starting too, until all is calm or {} s have passed: median (least–greatest).",
            WATCHED.as_secs()
        ),
        table,
        verdicts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_needless_takeover_in_one_run_breaks_the_promise() {
        let mut found = Found::new();
        found.insert((1000, Contender::Hafleet), [0.0, 0.0, 1.0].into_iter().collect());
        found.insert((100, Contender::Hafleet), [0.0, 0.0, 0.0].into_iter().collect());
        let kept: Vec<_> = report(&found).verdicts.iter().map(|verdict| verdict.kept).collect();
        assert_eq!(kept, [Some(false), Some(true)]);
    }
}
