//! S11: in version 3 a backup counts by its master's interval, and a master by its own.

use std::time::Duration;

use hafleet_tests::lab::{Instance, Kind};

use crate::{
    pair::{Cast, Pair, TICK, WAKE, moment},
    report::Report,
};

fn learned_interval(cast: Cast) {
    let (fast, slow) = (Duration::from_millis(100), Duration::from_millis(500));
    let mut report =
        Report::new("S11", cast, "the higher one 100 ms, the lower one 500 ms; the higher one is killed");
    one(&mut report, cast, fast, slow);
    report.row("the higher one 500 ms, the lower one 100 ms; the higher one is killed");
    one(&mut report, cast, slow, fast);
}

fn one(report: &mut Report, cast: Cast, theirs: Duration, own: Duration) {
    let mut pair = Pair::new(
        (cast.higher, Instance { priority: 150, interval: theirs, ..Instance::default() }),
        (cast.lower, Instance { interval: own, ..Instance::default() }),
    );
    pair.nodes[0].start();
    pair.wait_for_holder(0);
    pair.nodes[1].start();
    // Until it has heard the first advert it counts by its own interval (RFC 9568 section 6.4.1).
    pair.advert(0, moment());
    pair.wait_for_holder(0);
    let began = moment();
    // Longer than its own Master_Down.
    pair.watch_for(pair.nodes[1].instance.master_down(own.max(theirs)));
    assert!(pair.cadence(1, began).is_empty(), "{}", pair.logs());
    report.saw("the lower one waited");
    pair.advert(0, moment());
    pair.nodes[0].crash();
    let last = pair.last_advert(0, moment());
    let taken = pair.advert(1, last);
    let down = pair.nodes[1].instance.master_down(theirs);
    let early = if cast.lower == Kind::Frr { Duration::from_millis(10) } else { TICK };
    report.time("taken over after the last advert", taken - last, down - early, down + WAKE);
    let next = pair.advert(1, taken + Duration::from_millis(1));
    report.time("its own next advert after", next - taken, own - WAKE, own + WAKE);
}

#[test]
fn s11_learned_interval_ours() {
    learned_interval(Cast::OURS);
}

#[test]
fn s11_learned_interval_keepalived_ours_master() {
    learned_interval(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s11_learned_interval_keepalived_ours_backup() {
    learned_interval(Cast::ours_below(Kind::Keepalived));
}

#[test]
fn s11_learned_interval_frr_ours_master() {
    learned_interval(Cast::ours_above(Kind::Frr));
}

#[test]
fn s11_learned_interval_frr_ours_backup() {
    learned_interval(Cast::ours_below(Kind::Frr));
}
