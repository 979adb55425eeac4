//! How long two hosts hold the address after the master was killed or froze.

use std::{
    collections::BTreeMap,
    fmt, thread,
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

/// At 1 s the lease is over before the backup takes the address, or nearly so; at 100 ms most of it is still to come.
const INTERVALS_MS: [u32; 2] = [1000, 100];
/// Who holds it twice for so long does so for ever.
const WATCHED: Duration = Duration::from_secs(15);
/// The default lease in seconds.
const LEASE_S: f64 = 3.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Kill,
    Freeze,
}

impl Fault {
    const ALL: [Self; 2] = [Self::Kill, Self::Freeze];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill -9",
            Self::Freeze => "SIGSTOP",
        })
    }
}

type Found = BTreeMap<(u32, Fault, Contender), Samples>;

/// Measures both faults at both intervals.
pub fn run(options: &Options) -> Result<Section> {
    let mut found = Found::new();
    for interval_ms in options.intervals_ms(&INTERVALS_MS) {
        for fault in Fault::ALL {
            measure(options, interval_ms, fault, &mut found)
                .with_context(|| format!("{fault} at {}", interval_text(interval_ms)))?;
        }
    }
    Ok(report(&found))
}

/// All racks at once: nothing here takes a CPU's time, only waiting.
fn measure(options: &Options, interval_ms: u32, fault: Fault, found: &mut Found) -> Result<()> {
    let group = Group::single(interval_ms);
    let mut racks = Vec::new();
    for &contender in &options.contenders {
        for _ in 0..options.repeats {
            let rack = Rack::new(contender, group)?;
            let watch = rack.watch()?;
            racks.push((rack, watch));
        }
    }
    for (rack, _) in &mut racks {
        rack.start(0)?;
        rack.start(1)?;
    }
    for (rack, _) in &racks {
        rack.settled()?;
    }
    let mut struck = Vec::new();
    // A lease is renewed every second: the faults fall on every part of that.
    let apart = Duration::from_secs(1) / u32::try_from(racks.len()).unwrap_or(1).max(1);
    for (rack, _) in &mut racks {
        thread::sleep(apart);
        struck.push(Instant::now());
        match fault {
            Fault::Kill => rack.daemon(0)?.kill()?,
            Fault::Freeze => rack.daemon(0)?.freeze(),
        }
    }
    thread::sleep(WATCHED);
    let until = Instant::now();
    for ((rack, watch), struck) in racks.iter().zip(struck) {
        let mut timeline = Timeline::default();
        timeline.take(watch);
        let held = timeline.double_holds(struck, until);
        let seconds = held.iter().map(|hold| hold.until - hold.from).sum::<Duration>().as_secs_f64();
        let for_ever = held.iter().any(|hold| hold.until == until);
        let contender = rack.contender;
        progress(&format!(
            "double hold, {}, {fault}: {contender} {seconds:.2} s{}",
            interval_text(interval_ms),
            if for_ever { " and on" } else { "" }
        ));
        let seconds = if for_ever { f64::INFINITY } else { seconds };
        found.entry((interval_ms, fault, contender)).or_default().push(seconds);
    }
    Ok(())
}

/// `2.10 s`, or that it did not end.
fn text(samples: &Samples) -> String {
    match samples.median() {
        Some(median) if median.is_infinite() => format!("> {} s", WATCHED.as_secs()),
        Some(_) | None if samples.max().is_some_and(f64::is_infinite) => {
            format!("{} (max > {} s)", Figure::S.median(samples), WATCHED.as_secs())
        }
        Some(_) | None => Figure::S.spread(samples),
    }
}

fn report(found: &Found) -> Section {
    let mut table = Table::new(&["interval", "the master is struck by", ">hafleet", ">keepalived"]);
    let mut verdicts = Vec::new();
    let cases: std::collections::BTreeSet<(std::cmp::Reverse<u32>, Fault)> =
        found.keys().map(|&(interval_ms, fault, _)| (std::cmp::Reverse(interval_ms), fault)).collect();
    let none = Samples::default();
    for (std::cmp::Reverse(interval_ms), fault) in cases {
        let of = |contender| found.get(&(interval_ms, fault, contender)).unwrap_or(&none);
        let (ours, theirs) = (of(Contender::Hafleet), of(Contender::Keepalived));
        let interval = interval_text(interval_ms);
        table.row(vec![interval.clone(), fault.to_string(), text(ours), text(theirs)]);
        verdicts.push(Verdict {
            what: format!("two holders at most, {interval}, {fault}"),
            ours: ours.max().map_or_else(super::report::none, |max| Figure::S.value(max)),
            theirs: text(theirs),
            promised: format!("the lease of {LEASE_S:.0} s"),
            kept: ours.max().map(|max| max <= LEASE_S),
        });
    }
    Section {
        title: "Two holders after a kill or a freeze".to_owned(),
        how: format!(
            "Every process of the master's daemon is killed (SIGKILL) or stopped (SIGSTOP); the kernel's address events on \
             both hosts say from when to when both have the address, watched for {} s. Median (least–greatest).",
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
    fn what_does_not_end_is_said_so() {
        let samples = |values: &[f64]| values.iter().copied().collect::<Samples>();
        assert_eq!(text(&samples(&[f64::INFINITY; 3])), "> 15 s");
        assert_eq!(text(&samples(&[2.0, 2.5, f64::INFINITY])), "2.50 s (max > 15 s)");
        assert_eq!(text(&samples(&[2.0, 2.5, 2.1])), "2.10 s (2.00–2.50)");
        let mut found = Found::new();
        found.insert((100, Fault::Kill, Contender::Hafleet), samples(&[2.0, f64::INFINITY]));
        assert_eq!(report(&found).verdicts.first().and_then(|verdict| verdict.kept), Some(false));
    }
}
