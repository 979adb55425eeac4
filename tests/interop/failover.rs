//! S2 and S3: the master dies, or is stopped.

use std::time::Duration;

use hafleet_tests::lab::{Instance, Kind, overlap, wait_for};

use crate::{
    election::version_2,
    pair::{Cast, Pair, SOON, TICK, WAKE, moment},
    report::{Report, ms},
};

/// Advert first, then announcements; ours as many as keepalived, and as many again later.
pub fn assert_announced(report: &mut Report, pair: &Pair, index: usize, taken: Duration) {
    let node = &pair.nodes[index];
    let delay = node.instance.announce_delay;
    if !node.kind.is_ours() {
        pair.watch_for(WAKE);
        report.saw(format!("announced {} times", pair.announcements(index, taken).len()));
        return;
    }
    pair.watch_for((taken + delay + WAKE).saturating_sub(moment()));
    // The capture may be read late; its times are right.
    let times = wait_for("both rounds of announcements", SOON, || {
        Ok(Some(pair.announcements(index, taken)).filter(|times| times.len() >= 10))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", pair.logs()));
    let all = pair.announcements(index, taken - WAKE);
    assert_eq!(times.len(), all.len(), "announced before the first advert: {all:?}, {taken:?}");
    assert_eq!(times.len(), 10, "{times:?}\n{}", pair.logs());
    report.at_most("announced (5 times) after its advert", times[4] - taken, WAKE);
    report.time("and 5 times more after it", times[5] - taken, delay - TICK, delay + WAKE);
}

fn master_dies(cast: Cast, instance: &Instance) {
    let tried = format!(
        "version {} at {} ms: the higher one's processes are killed (SIGKILL), later started again",
        instance.version,
        instance.interval.as_millis()
    );
    let mut report = Report::new("S2", cast, tried);
    let mut pair = Pair::elected(cast, instance);
    pair.advert(0, moment());
    pair.nodes[0].crash();
    let died = moment();
    let last = pair.last_advert(0, died);
    let taken = pair.advert(1, last);
    let down = pair.nodes[1].instance.master_down(instance.interval);
    // FRR counts in centiseconds and rounds its skew down.
    let early = if cast.lower == Kind::Frr { Duration::from_millis(10) } else { TICK };
    report.time("taken over after the last advert", taken - last, down - early, down + WAKE);
    assert_announced(&mut report, &pair, 1, taken);
    assert!(pair.nodes[1].holds());
    let killed = pair.nodes[0].held().last().copied().unwrap();
    report.saw(match killed.until {
        Some(until) => format!(
            "the killed one's kernel dropped the address {} ms after",
            ms(until.saturating_sub(taken))
        ),
        None => "the killed one's kernel has the address still".into(),
    });
    let back = moment();
    pair.nodes[0].start();
    let returned = pair.advert(0, back);
    pair.wait_for_holder(0);
    pair.watch_for(instance.interval + WAKE);
    assert!(pair.cadence(1, returned + WAKE).is_empty(), "{}", pair.logs());
    pair.nodes[1].wait_for_state("BACKUP");
    report.saw("started again, the higher one took it back");
}

#[test]
fn s02_master_dies_v2_ours() {
    master_dies(Cast::OURS, &version_2(Cast::OURS));
}

#[test]
fn s02_master_dies_v2_keepalived_ours_master() {
    let cast = Cast::ours_above(Kind::Keepalived);
    master_dies(cast, &version_2(cast));
}

#[test]
fn s02_master_dies_v2_keepalived_ours_backup() {
    let cast = Cast::ours_below(Kind::Keepalived);
    master_dies(cast, &version_2(cast));
}

#[test]
fn s02_master_dies_v2_frr_ours_backup() {
    let cast = Cast::ours_below(Kind::Frr);
    master_dies(cast, &version_2(cast));
}

#[test]
fn s02_master_dies_v3_ours() {
    master_dies(Cast::OURS, &Instance::default());
}

#[test]
fn s02_master_dies_v3_keepalived_ours_master() {
    master_dies(Cast::ours_above(Kind::Keepalived), &Instance::default());
}

#[test]
fn s02_master_dies_v3_keepalived_ours_backup() {
    master_dies(Cast::ours_below(Kind::Keepalived), &Instance::default());
}

#[test]
fn s02_master_dies_v3_frr_ours_master() {
    master_dies(Cast::ours_above(Kind::Frr), &Instance::default());
}

#[test]
fn s02_master_dies_v3_frr_ours_backup() {
    master_dies(Cast::ours_below(Kind::Frr), &Instance::default());
}

fn master_stops(cast: Cast, instance: &Instance) {
    let tried = format!(
        "version {} at {} ms: SIGTERM to the higher one",
        instance.version,
        instance.interval.as_millis()
    );
    let mut report = Report::new("S3", cast, tried);
    let mut pair = Pair::elected(cast, instance);
    pair.advert(0, moment());
    let asked = moment();
    pair.nodes[0].daemon().ask_to_stop();
    let goodbye = pair.advert_with(0, asked, |priority| priority == 0);
    report.at_most("priority 0 on the wire after", goodbye.saturating_sub(asked), WAKE);
    pair.nodes[0].stop();
    let taken = pair.advert(1, goodbye);
    let skew = pair.nodes[1].instance.skew(instance.interval);
    let early = if cast.lower == Kind::Frr { Duration::from_millis(10) } else { TICK };
    report.time("taken over after that (the skew)", taken - goodbye, skew - early, skew + WAKE);
    pair.wait_for_holder(1);
    assert_announced(&mut report, &pair, 1, taken);
    let (before, after) = (pair.nodes[0].held(), pair.nodes[1].held());
    let both = overlap(&before, &after, asked, moment());
    if cast.higher.is_ours() {
        // Kept until the successor is heard.
        report.at_most("both had it for", both, WAKE);
        let released = before.last().and_then(|held| held.until).expect("it was released");
        let taken = after.last().expect("it was taken").from;
        report.at_most("nobody had it for", taken.saturating_sub(released), WAKE);
    } else {
        report.at_most("both had it for", both, Duration::ZERO);
    }
    let said = pair.cadence(0, goodbye);
    assert!(said.is_empty(), "it spoke after its goodbye: {said:?}");
}

#[test]
fn s03_master_stops_v2_ours() {
    master_stops(Cast::OURS, &version_2(Cast::OURS));
}

#[test]
fn s03_master_stops_v2_keepalived_ours_master() {
    let cast = Cast::ours_above(Kind::Keepalived);
    master_stops(cast, &version_2(cast));
}

#[test]
fn s03_master_stops_v2_keepalived_ours_backup() {
    let cast = Cast::ours_below(Kind::Keepalived);
    master_stops(cast, &version_2(cast));
}

#[test]
fn s03_master_stops_v2_frr_ours_backup() {
    let cast = Cast::ours_below(Kind::Frr);
    master_stops(cast, &version_2(cast));
}

#[test]
fn s03_master_stops_v3_ours() {
    master_stops(Cast::OURS, &Instance::default());
}

#[test]
fn s03_master_stops_v3_keepalived_ours_master() {
    master_stops(Cast::ours_above(Kind::Keepalived), &Instance::default());
}

#[test]
fn s03_master_stops_v3_keepalived_ours_backup() {
    master_stops(Cast::ours_below(Kind::Keepalived), &Instance::default());
}

#[test]
fn s03_master_stops_v3_frr_ours_master() {
    master_stops(Cast::ours_above(Kind::Frr), &Instance::default());
}

#[test]
fn s03_master_stops_v3_frr_ours_backup() {
    master_stops(Cast::ours_below(Kind::Frr), &Instance::default());
}
