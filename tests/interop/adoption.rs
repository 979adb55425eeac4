//! S16, its second half: ours is killed and started again where its addresses still are.

use std::time::Duration;

use hafleet_tests::lab::{Instance, Kind, Probe, overlap};

use crate::{
    pair::{Cast, Pair, VIP, WAKE, moment},
    report::Report,
};

/// A client that asks every millisecond, and both hosts that may answer it.
fn restarted(cast: Cast, preempt: bool) {
    let nopreempt = if preempt { "" } else { " with nopreempt" };
    let tried =
        format!("1 s{nopreempt}: the master is killed (SIGKILL) and started again, a client asks every ms");
    let mut report = Report::new("S16", cast, tried);
    let instance = Instance { preempt, interval: Duration::from_secs(1), ..Instance::default() };
    let mut pair = Pair::elected(cast, &instance);
    let _servers = pair.nodes.each_ref().map(|node| node.host.serve(VIP).unwrap());
    let probe = Probe::start(&pair.client, VIP).unwrap();
    let last = pair.advert(0, moment());
    let before = pair.nodes[1].transitions();
    pair.nodes[0].crash();
    let died = moment();
    pair.nodes[0].start();
    let back = pair.advert(0, died);
    report.at_most(
        "it spoke again after its last advert",
        back - last,
        pair.nodes[1].instance.master_down(instance.interval),
    );
    // Past the lease that was in force, and the peer's Master_Down.
    pair.watch_for(Duration::from_secs(4));
    let outage = probe.finish().unwrap();
    // Those before the first answer were sent before anything happened.
    let early = outage.passed_over.first().filter(|(from, _)| *from == 0).map_or(0, |(_, to)| to + 1);
    assert_eq!((outage.lost - early, outage.served_by.len()), (0, 1), "{outage:?}\n{}", pair.logs());
    report.saw(format!("{} probes, none lost, longest gap {:.1}", outage.sent, outage.longest_gap_ms));
    assert_eq!(pair.nodes[0].held().len(), 1, "{}", pair.logs());
    assert_eq!((pair.nodes[1].held().len(), pair.nodes[1].transitions()), (0, before), "{}", pair.logs());
    assert!(pair.cadence(1, last).is_empty(), "{}", pair.logs());
    let reason = pair.nodes[0].daemon().instance(51).unwrap()["reason"].clone();
    assert_eq!(reason, "adopted");
    report.saw("the address never left, no transition at the peer");
}

#[test]
fn s16_restarted_ours() {
    restarted(Cast::OURS, true);
}

#[test]
fn s16_restarted_keepalived_ours_master() {
    restarted(Cast::ours_above(Kind::Keepalived), true);
}

#[test]
fn s16_restarted_frr_ours_master() {
    restarted(Cast::ours_above(Kind::Frr), true);
}

#[test]
fn s16_restarted_nopreempt_ours() {
    restarted(Cast::OURS, false);
}

#[test]
fn s16_restarted_nopreempt_keepalived_ours_master() {
    restarted(Cast::ours_above(Kind::Keepalived), false);
}

/// The peer is the better one, came while ours was dead, and is MASTER.
fn restarted_beside_a_better_one(cast: Cast) {
    let mut report: Option<Report> = None;
    for preempt in [true, false] {
        let nopreempt = if preempt { "" } else { ", with nopreempt" };
        let tried = format!(
            "ours was killed, a better one is MASTER, ours is started where its address still is{nopreempt}"
        );
        let report = match &mut report {
            Some(report) => {
                report.row(tried);
                report
            }
            None => report.insert(Report::new("S16", cast, tried)),
        };
        let instance = Instance::default();
        let mut pair = Pair::new(
            (cast.higher, Instance { priority: 150, ..instance.clone() }),
            (cast.lower, Instance { preempt, ..instance.clone() }),
        );
        pair.nodes[1].start();
        pair.wait_for_holder(1);
        pair.advert(1, moment());
        pair.nodes[1].crash();
        let died = moment();
        pair.nodes[0].start();
        pair.advert(0, died);
        pair.wait_for_two_holders();
        let before = pair.nodes[0].transitions();
        let started = moment();
        pair.nodes[1].start();
        pair.wait_for_holder(0);
        let said = pair.cadence(1, started);
        match said.first() {
            Some(first) => {
                let gone = pair.nodes[1].held().last().unwrap().until.unwrap();
                report.at_most(
                    "it said it was MASTER and yielded after",
                    gone.saturating_sub(*first),
                    instance.interval + WAKE,
                );
                assert!(preempt, "with nopreempt it listens first\n{}", pair.logs());
            }
            None => report.saw("it listened and let its address go"),
        }
        let settled = moment();
        pair.watch_for(pair.nodes[1].instance.master_down(instance.interval) * 2);
        assert!(pair.cadence(1, settled).is_empty(), "{}", pair.logs());
        assert_eq!((pair.nodes[0].held().len(), pair.nodes[0].transitions()), (1, before), "{}", pair.logs());
        report.saw("the better one kept it, no transition there");
    }
}

#[test]
fn s16_restarted_beside_a_better_ours() {
    restarted_beside_a_better_one(Cast::OURS);
}

#[test]
fn s16_restarted_beside_a_better_keepalived_ours_backup() {
    restarted_beside_a_better_one(Cast::ours_below(Kind::Keepalived));
}

#[test]
fn s16_restarted_beside_a_better_frr_ours_backup() {
    restarted_beside_a_better_one(Cast::ours_below(Kind::Frr));
}

/// The peer is the worse one and took over; ours comes back before its lease ends.
fn restarted_beside_a_worse_one(cast: Cast) {
    let tried = "ours was killed, the worse one took over, ours is started where its address still is";
    let mut report = Report::new("S16", cast, tried);
    let instance = Instance::default();
    let mut pair = Pair::elected(cast, &instance);
    pair.advert(0, moment());
    pair.nodes[0].crash();
    let died = moment();
    let taken = pair.advert(1, pair.last_advert(0, died));
    pair.wait_for_two_holders();
    let started = moment();
    pair.nodes[0].start();
    let back = pair.advert(0, started);
    pair.wait_for_holder(0);
    let yielded = pair.nodes[1].held().last().unwrap().until.unwrap();
    report.at_most("the worse one yielded after ours spoke", yielded.saturating_sub(back), WAKE);
    assert_eq!(pair.nodes[0].held().len(), 1, "{}", pair.logs());
    report.saw("ours never lost it");
    let both = overlap(&pair.nodes[0].held(), &pair.nodes[1].held(), taken, moment());
    report.saw(format!("both had it for {}", crate::report::ms(both)));
    let announced = pair.announcements(0, yielded).len() + pair.announcements(0, back).len();
    assert!(announced > 0, "nobody is told\n{}", pair.logs());
    pair.watch_for(instance.interval + WAKE);
    assert!(pair.cadence(1, yielded + WAKE).is_empty(), "{}", pair.logs());
}

#[test]
fn s16_restarted_beside_a_worse_ours() {
    restarted_beside_a_worse_one(Cast::OURS);
}

#[test]
fn s16_restarted_beside_a_worse_keepalived_ours_master() {
    restarted_beside_a_worse_one(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s16_restarted_beside_a_worse_frr_ours_master() {
    restarted_beside_a_worse_one(Cast::ours_above(Kind::Frr));
}
