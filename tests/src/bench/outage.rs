//! How long a client of the virtual address is without an answer when its master goes.

use std::{collections::BTreeMap, fmt, thread, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{
    Contender, Options,
    capture::Adverts,
    config::{Group, interval_text},
    progress,
    rack::{HOST_ADDRESSES, Rack, SOON},
    report::{Figure, Section, Table, Verdict, ratio_text},
    stats::Samples,
};
use crate::lab::{Probe, Segment};

const INTERVALS_MS: [u32; 3] = [1000, 100, 10];
/// The client cannot tell less apart, nor can the lab strike to less than half a percent of a long interval.
const PROBE_MS: f64 = 1.0;
const SAME: f64 = 1.005;
/// At 10 ms, 30 ms of silence and the skew of priority 100 are 36 ms.
const LINK_LOSS_AT_10_MS: f64 = 45.0;

/// How the master goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Stop,
    Unplug,
    Isolate,
    Kill,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Stop, Self::Unplug, Self::Isolate, Self::Kill];

    fn strike(self, rack: &mut Rack) -> Result<()> {
        match self {
            Self::Stop => rack.daemon(0)?.ask_to_end(),
            Self::Unplug => rack.hosts[0].unplug(Segment::Service)?,
            Self::Isolate => rack.hosts[0].isolate(Segment::Service)?,
            Self::Kill => rack.daemon(0)?.kill()?,
        }
        Ok(())
    }

    fn heal(self, rack: &mut Rack) -> Result<()> {
        match self {
            Self::Stop => {
                rack.daemon(0)?.wait()?;
                rack.start(0)
            }
            Self::Unplug => rack.hosts[0].plug(Segment::Service),
            Self::Isolate => rack.hosts[0].rejoin(Segment::Service),
            Self::Kill => rack.start(0),
        }
    }

    const fn is_link_loss(self) -> bool {
        match self {
            Self::Unplug | Self::Isolate => true,
            Self::Stop | Self::Kill => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "SIGTERM",
            Self::Unplug => "link loss, carrier lost",
            Self::Isolate => "link loss, carrier stays",
            Self::Kill => "kill -9",
        })
    }
}

type Found = BTreeMap<(u32, Fault, Contender), Samples>;

/// Measures every fault at every interval.
pub fn run(options: &Options) -> Result<Section> {
    let mut found = Found::new();
    let intervals_ms = options.intervals_ms(&INTERVALS_MS);
    for &interval_ms in &intervals_ms {
        measure(options, interval_ms, &mut found)
            .with_context(|| format!("at {}", interval_text(interval_ms)))?;
    }
    Ok(report(&found))
}

/// One rack for each contender; while one heals, the other is struck.
fn measure(options: &Options, interval_ms: u32, found: &mut Found) -> Result<()> {
    let group = Group::single(interval_ms);
    let vip = group.vips().first().context("a group has an address")?.clone();
    let mut racks = Vec::new();
    for &contender in &options.contenders {
        let mut rack = Rack::new(contender, group)?;
        rack.serve(&vip)?;
        rack.start_both()?;
        let adverts = Adverts::of(HOST_ADDRESSES[0], &rack.client)?;
        racks.push((rack, adverts));
    }
    let repeats = options.repeats * repeats_factor(interval_ms);
    for fault in Fault::ALL {
        for repeat in 0..repeats {
            // What is lost of an interval depends on the moment: both are struck at the same ones, all over the interval.
            let phase = (f64::from(repeat) + 0.5) / f64::from(repeats);
            let after = Duration::from_millis(interval_ms.into()).mul_f64(phase);
            for (rack, adverts) in &mut racks {
                let contender = rack.contender;
                let gap_ms = strike(rack, adverts, &vip, fault, after)
                    .with_context(|| format!("{contender}, {fault}, repeat {repeat}"))?;
                progress(&format!(
                    "outage, {}, {fault}: {contender} {gap_ms:.1} ms",
                    interval_text(interval_ms)
                ));
                found.entry((interval_ms, fault, contender)).or_default().push(gap_ms);
            }
        }
    }
    Ok(())
}

/// Short outages are soon measured, and a machine that is busy otherwise shows in them most.
const fn repeats_factor(interval_ms: u32) -> u32 {
    match interval_ms {
        0..50 => 4,
        50..500 => 2,
        500.. => 1,
    }
}

/// Strikes so long after an advert, and says how long the client was without an answer.
fn strike(rack: &mut Rack, adverts: &Adverts, vip: &str, fault: Fault, after: Duration) -> Result<f64> {
    rack.settled()?;
    rack.client.run("ip", &["neigh", "flush", "dev", "eth0"])?;
    let probe = Probe::start(&rack.client, vip)?;
    probe.wait_for_server("lb01", SOON)?;
    let advert = adverts.next(SOON)?;
    thread::sleep(after.saturating_sub(advert.elapsed()));
    fault.strike(rack)?;
    probe.wait_for_server("lb02", SOON)?;
    let outage = probe.finish()?;
    fault.heal(rack)?;
    // A killed master's host answers on: the last answers of the one and the first of the other may cross.
    let by = (outage.served_by.first().map(String::as_str), outage.served_by.last().map(String::as_str));
    ensure!(
        by == (Some("lb01"), Some("lb02")),
        "the client was not served by lb01 and then lb02: {outage:?}"
    );
    Ok(outage.longest_gap_ms)
}

fn is_not_longer(ours_ms: f64, theirs_ms: f64) -> bool {
    ours_ms <= (theirs_ms + PROBE_MS).max(theirs_ms * SAME)
}

fn report(found: &Found) -> Section {
    let mut table = Table::new(&["interval", "the master goes by", ">hafleet", ">keepalived", ">ratio"]);
    let mut verdicts = Vec::new();
    let cases: std::collections::BTreeSet<(std::cmp::Reverse<u32>, Fault)> =
        found.keys().map(|&(interval_ms, fault, _)| (std::cmp::Reverse(interval_ms), fault)).collect();
    let none = Samples::default();
    for (std::cmp::Reverse(interval_ms), fault) in cases {
        let of = |contender| found.get(&(interval_ms, fault, contender)).unwrap_or(&none);
        let (ours, theirs) = (of(Contender::Hafleet), of(Contender::Keepalived));
        let interval = interval_text(interval_ms);
        table.row(vec![
            interval.clone(),
            fault.to_string(),
            Figure::MS.spread(ours),
            Figure::MS.spread(theirs),
            ratio_text(ours, theirs),
        ]);
        let what = format!("outage, {interval}, {fault}");
        if fault != Fault::Kill {
            let kept = ours.median().zip(theirs.median()).map(|(ours, theirs)| is_not_longer(ours, theirs));
            verdicts.push(Verdict {
                what: what.clone(),
                ours: Figure::MS.median(ours),
                theirs: Figure::MS.median(theirs),
                promised: "not longer".to_owned(),
                kept,
            });
        }
        if fault.is_link_loss() && interval_ms == 10 {
            let (ours, theirs) = (ours.median(), theirs.median());
            verdicts.push(Verdict::at_most(&what, ours, theirs, LINK_LOSS_AT_10_MS, Figure::MS));
        }
    }
    Section {
        title: "A client's outage".to_owned(),
        how: "Two hosts with priorities 150 and 100, and a third that sends a UDP probe to the virtual address every \
              millisecond. Longest time between two answers, median (least–greatest). There are more \
              samples at 100 ms (twice as many) and 10 ms (four times). Each fault strikes both contenders at \
              the same moments after an advert, spread evenly over the interval. *Carrier lost*: the port of the switch \
              goes down. *Carrier stays*: the port is taken out of the switch's bridge. *kill -9*: the kernel of the \
              dead master's host answers on, under keepalived for ever (see below), under hafleet until the lease ends, which \
              may be before the backup has waited long enough. The interval of 1 s is version 2, \
              shorter ones are version 3. *Not longer*: the medians differ by no more than the probe's millisecond, or half a \
              percent."
            .to_owned(),
        table,
        verdicts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_longer_is_told_as_finely_as_it_is_measured() {
        assert!(is_not_longer(8.9, 8.0) && !is_not_longer(9.1, 8.0));
        assert!(is_not_longer(3115.0, 3100.0) && !is_not_longer(3116.0, 3100.0));
    }

    #[test]
    fn every_case_is_a_row_and_what_was_promised_is_judged() {
        let mut found = Found::new();
        for (contender, ms) in [(Contender::Hafleet, 44.5), (Contender::Keepalived, 43.0)] {
            found.insert((10, Fault::Unplug, contender), [ms].into_iter().collect());
            found.insert((1000, Fault::Kill, contender), [ms].into_iter().collect());
        }
        let section = report(&found);
        let text = section.table.markdown();
        let rows: Vec<&str> = text.lines().skip(2).collect();
        assert!(rows[0].starts_with("| 1 s ") && rows[1].starts_with("| 10 ms "), "{text}");
        assert!(rows[1].contains("44.5 ms (44.5–44.5)") && rows[1].contains(" 1.03 |"), "{text}");
        let kept: Vec<_> = section.verdicts.iter().map(|verdict| verdict.kept).collect();
        assert_eq!(kept, [Some(false), Some(true)]);
    }
}
