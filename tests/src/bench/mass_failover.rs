//! All addresses of a busy master move at once: from the first announcement to the last.

use std::{
    collections::BTreeMap,
    fmt, thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};

use super::{
    Contender, Options,
    capture::Announcements,
    config::{Group, interval_text},
    progress,
    rack::{Rack, SOON},
    report::{Figure, Section, Table, Verdict, ratio_text},
    stats::Samples,
};
use crate::lab::wait_for;

const INTERVALS_MS: [u32; 2] = [1000, 100];
const INSTANCES: u16 = 250;
const FIRST_TO_LAST_MS: f64 = 100.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Stop,
    Kill,
}

impl Fault {
    const ALL: [Self; 2] = [Self::Stop, Self::Kill];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "SIGTERM",
            Self::Kill => "kill -9",
        })
    }
}

#[derive(Debug, Default)]
struct Failovers {
    /// From the first address announced to the last, milliseconds.
    first_to_last: Samples,
    /// From the fault to the last address announced, milliseconds.
    to_last: Samples,
}

type Found = BTreeMap<(u32, Fault, Contender), Failovers>;

/// Measures both faults at both intervals.
pub fn run(options: &Options) -> Result<Section> {
    let mut found = Found::new();
    for interval_ms in options.intervals_ms(&INTERVALS_MS) {
        for &contender in &options.contenders {
            measure(contender, interval_ms, options.repeats, &mut found)
                .with_context(|| format!("{contender} at {}", interval_text(interval_ms)))?;
        }
    }
    Ok(report(&found))
}

fn measure(contender: Contender, interval_ms: u32, repeats: u32, found: &mut Found) -> Result<()> {
    let mut rack = Rack::new(contender, Group::many(INSTANCES, interval_ms))?;
    let announcements = Announcements::start(&rack.client)?;
    for fault in Fault::ALL {
        for _ in 0..repeats {
            rack.restart_both()?;
            // What a takeover has to do is over after this, but for announcing again.
            thread::sleep(Duration::from_secs(1));
            let (first_to_last, to_last) = strike(&mut rack, &announcements, fault)?;
            progress(&format!(
                "mass failover, {}, {fault}: {contender} first to last {first_to_last:.1} ms, fault to last {to_last:.1} ms",
                interval_text(interval_ms)
            ));
            let failovers = found.entry((interval_ms, fault, contender)).or_default();
            failovers.first_to_last.push(first_to_last);
            failovers.to_last.push(to_last);
        }
    }
    Ok(())
}

fn strike(rack: &mut Rack, announcements: &Announcements, fault: Fault) -> Result<(f64, f64)> {
    let (heir, all) = (rack.mac(1)?, rack.group.vips().len());
    announcements.forget();
    let struck = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    match fault {
        Fault::Stop => rack.daemon(0)?.ask_to_end(),
        Fault::Kill => rack.daemon(0)?.kill()?,
    }
    let mut first = BTreeMap::new();
    wait_for(&format!("{all} announced addresses"), SOON, || {
        announcements.first(&heir, &mut first);
        Ok((first.len() == all).then_some(()))
    })
    .with_context(|| format!("{} were announced", first.len()))?;
    rack.daemon(0)?.wait()?;
    let earliest = first.values().min().copied().unwrap_or_default();
    let latest = first.values().max().copied().unwrap_or_default();
    let ms = |us: u64| Duration::from_micros(us).as_secs_f64() * 1000.0;
    let struck_us = u64::try_from(struck.as_micros()).unwrap_or(u64::MAX);
    Ok((ms(latest - earliest), ms(latest.saturating_sub(struck_us))))
}

fn report(found: &Found) -> Section {
    let mut table = Table::new(&[
        "interval",
        "the master goes by",
        ">first to last, hafleet",
        ">keepalived",
        ">ratio",
        ">fault to last, hafleet",
        ">keepalived",
        ">ratio",
    ]);
    let mut verdicts = Vec::new();
    let cases: std::collections::BTreeSet<(std::cmp::Reverse<u32>, Fault)> =
        found.keys().map(|&(interval_ms, fault, _)| (std::cmp::Reverse(interval_ms), fault)).collect();
    let none = Failovers::default();
    for (std::cmp::Reverse(interval_ms), fault) in cases {
        let of = |contender| found.get(&(interval_ms, fault, contender)).unwrap_or(&none);
        let (ours, theirs) = (of(Contender::Hafleet), of(Contender::Keepalived));
        let interval = interval_text(interval_ms);
        table.row(vec![
            interval.clone(),
            fault.to_string(),
            Figure::MS.spread(&ours.first_to_last),
            Figure::MS.spread(&theirs.first_to_last),
            ratio_text(&ours.first_to_last, &theirs.first_to_last),
            Figure::MS.spread(&ours.to_last),
            Figure::MS.spread(&theirs.to_last),
            ratio_text(&ours.to_last, &theirs.to_last),
        ]);
        let what = format!("{INSTANCES} addresses move, first to last, {interval}, {fault}");
        let (ours, theirs) = (ours.first_to_last.median(), theirs.first_to_last.median());
        verdicts.push(Verdict::at_most(&what, ours, theirs, FIRST_TO_LAST_MS, Figure::MS));
    }
    Section {
        title: "Mass failover".to_owned(),
        how: format!(
            "{INSTANCES} instances with an address each on one master. Gratuitous ARPs of the backup as a third host hears them, \
             by the kernel's time stamps: from the first address's first one to the last address's first one, and from the \
             fault to that. Median (least–greatest)."
        ),
        table,
        verdicts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_promise_is_about_the_span_from_first_to_last() {
        let failovers = |ms: f64| Failovers {
            first_to_last: [ms].into_iter().collect(),
            to_last: [ms + 1000.0].into_iter().collect(),
        };
        let mut found = Found::new();
        found.insert((100, Fault::Stop, Contender::Hafleet), failovers(99.0));
        found.insert((100, Fault::Kill, Contender::Hafleet), failovers(101.0));
        let kept: Vec<_> = report(&found).verdicts.iter().map(|verdict| verdict.kept).collect();
        assert_eq!(kept, [Some(true), Some(false)]);
    }
}
