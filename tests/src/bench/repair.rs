//! An address that somebody deletes by hand on the master.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{
    Contender, Options,
    addresses::Timeline,
    config::{Addresses, Group},
    progress,
    rack::Rack,
    report::{Figure, Section, Table, Verdict, ratio_text},
    stats::Samples,
};
use crate::lab::ip;

const BACK_WITHIN_MS: f64 = 50.0;
/// Those of a group begin at 192.168.178.3, hosts at 192.168.178.130.
const MOST_ADDRESSES: u8 = 100;

#[derive(Debug, Default)]
struct Found {
    back_ms: Samples,
    /// Arrivals of the other addresses on the master, and of any on the backup.
    moved: Samples,
}

/// Deletes one address after the other, each once: who deletes one again and again begins a fight, which is another matter.
pub fn run(options: &Options) -> Result<Section> {
    let mut found = BTreeMap::new();
    for &contender in &options.contenders {
        found.insert(contender, measure(contender, options.repeats)?);
    }
    Ok(report(&found))
}

fn measure(contender: Contender, repeats: u32) -> Result<Found> {
    let addresses = u8::try_from(repeats + 1).ok().filter(|&count| count <= MOST_ADDRESSES);
    let addresses =
        addresses.with_context(|| format!("at most {} repeats, not {repeats}", MOST_ADDRESSES - 1))?;
    let group = Group {
        instances: 1,
        interval_ms: 1000,
        addresses: Addresses::InSubnet(addresses),
        is_realtime: false,
    };
    let mut rack = Rack::new(contender, group)?;
    rack.start_both()?;
    let mut found = Found::default();
    for deleted in rack.group.vips().iter().skip(1) {
        rack.settled()?;
        let (watch, all) = (rack.watch()?, rack.watch()?);
        // From before the deletion: when its event is read says less than it seems, for both may be read at once.
        let begin = Instant::now();
        let address = format!("{deleted}/24");
        ip(&["-n", rack.hosts[0].namespace(), "addr", "del", &address, "dev", "ens33"])?;
        let [master, _] = &watch;
        master.wait(deleted, false, Duration::from_secs(5))?;
        let back = master.wait(deleted, true, Duration::from_secs(30))?;
        let back_ms = (back - begin).as_secs_f64() * 1000.0;
        rack.settled()?;
        let mut timeline = Timeline::default();
        timeline.take(&all);
        let others = timeline.removals(0).into_iter().filter(|(address, _)| address != deleted);
        let moved: u32 =
            others.map(|(_, count)| count).sum::<u32>() + timeline.removals(1).values().sum::<u32>();
        progress(&format!("repair: {contender} {back_ms:.1} ms, {moved} other moves"));
        found.back_ms.push(back_ms);
        found.moved.push(moved.into());
    }
    Ok(found)
}

fn report(found: &BTreeMap<Contender, Found>) -> Section {
    let mut table = Table::new(&["", ">hafleet", ">keepalived", ">ratio"]);
    let none = Found::default();
    let of = |contender| found.get(&contender).unwrap_or(&none);
    let (ours, theirs) = (of(Contender::Hafleet), of(Contender::Keepalived));
    table.row(vec![
        "back after".to_owned(),
        Figure::MS.spread(&ours.back_ms),
        Figure::MS.spread(&theirs.back_ms),
        ratio_text(&ours.back_ms, &theirs.back_ms),
    ]);
    table.row(vec![
        "other addresses that left".to_owned(),
        Figure::COUNT.spread(&ours.moved),
        Figure::COUNT.spread(&theirs.moved),
        super::report::none(),
    ]);
    let (our_back, their_back) = (ours.back_ms.median(), theirs.back_ms.median());
    let verdicts = vec![
        Verdict::at_most("a deleted address is back", our_back, their_back, BACK_WITHIN_MS, Figure::MS),
        Verdict::at_most("its siblings left", ours.moved.max(), theirs.moved.max(), 0.0, Figure::COUNT),
    ];
    Section {
        title: "An address deleted by hand".to_owned(),
        how: "One of several addresses of an instance (1 s) is deleted on the master: from the start of `ip addr del` until \
              the kernel's address events say that it is back, and whether others left meanwhile. Median (least–greatest)."
            .to_owned(),
        table,
        verdicts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sibling_that_left_once_breaks_the_promise() {
        let found = |moved: &[f64]| {
            let samples = |values: &[f64]| values.iter().copied().collect::<Samples>();
            BTreeMap::from([(Contender::Hafleet, Found { back_ms: samples(&[1.0]), moved: samples(moved) })])
        };
        let kept = |moved| {
            report(&found(moved)).verdicts.into_iter().map(|verdict| verdict.kept).collect::<Vec<_>>()
        };
        assert_eq!(kept(&[0.0, 0.0]), [Some(true), Some(true)]);
        assert_eq!(kept(&[0.0, 1.0, 0.0]), [Some(true), Some(false)]);
    }
}
