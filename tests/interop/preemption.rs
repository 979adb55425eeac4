//! S4 and S5: when a better router does not take over, or not yet.

use std::{net::Ipv4Addr, time::Duration};

use hafleet_tests::lab::{
    Instance, Kind, Segment,
    vrrp::{self, Envelope},
};

use crate::{
    pair::{Cast, Pair, TICK, VIP, WAKE, moment},
    report::{Report, ms},
};

/// A router that is not there.
pub const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 8);

/// An advert of VRID 51 from nowhere, at 100 ms, to everybody.
pub fn forged(pair: &Pair, priority: u8) -> (Envelope, Vec<u8>) {
    let mac = pair.client.mac("eth0").unwrap();
    let message = vrrp::version_3(51, priority, 10, &[VIP.parse().unwrap()], STRANGER);
    (Envelope::to_group(mac, STRANGER), message)
}

fn nopreempt(cast: Cast) {
    let mut report = Report::new(
        "S4",
        cast,
        "the higher one has nopreempt and starts when the lower one is MASTER; split and heal",
    );
    let instance = Instance::default();
    let mut pair = Pair::new(
        (cast.higher, Instance { priority: 150, preempt: false, ..instance.clone() }),
        (cast.lower, instance.clone()),
    );
    pair.nodes[1].start();
    pair.wait_for_holder(1);
    let began = moment();
    pair.nodes[0].start();
    pair.watch_for(pair.nodes[0].instance.master_down(instance.interval) * 3);
    assert!(pair.cadence(0, began).is_empty() && !pair.nodes[0].holds(), "{}", pair.logs());
    assert_eq!(pair.nodes[1].held().len(), 1);
    report.saw("the higher one left the lower one alone");
    pair.nodes[0].host.isolate(Segment::Service).unwrap();
    pair.wait_for_two_holders();
    report.saw("split: both MASTER");
    let healed = moment();
    pair.nodes[0].host.rejoin(Segment::Service).unwrap();
    pair.wait_for_holder(0);
    let yielded = pair.nodes[1].held().last().unwrap().until.unwrap();
    report.at_most("healed: the lower one yielded after", yielded - healed, instance.interval + WAKE);
    assert_eq!(pair.nodes[0].held().len(), 1, "{}", pair.logs());
    report.saw("the higher one kept it");
}

#[test]
fn s04_nopreempt_ours() {
    nopreempt(Cast::OURS);
}

#[test]
fn s04_nopreempt_keepalived_ours_master() {
    nopreempt(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s04_nopreempt_keepalived_ours_backup() {
    nopreempt(Cast::ours_below(Kind::Keepalived));
}

#[test]
fn s04_nopreempt_frr_ours_master() {
    nopreempt(Cast::ours_above(Kind::Frr));
}

#[test]
fn s04_nopreempt_frr_ours_backup() {
    nopreempt(Cast::ours_below(Kind::Frr));
}

fn preempt_delay(cast: Cast) {
    let delay = Duration::from_secs(1);
    let mut report = Report::new(
        "S5",
        cast,
        "the higher one has preempt_delay 1 s and starts when the lower one is MASTER; half way an advert of priority 200 \
         is handed to it alone",
    );
    let instance = Instance::default();
    let mut pair = Pair::new(
        (cast.higher, Instance { priority: 150, preempt_delay: delay, ..instance.clone() }),
        (cast.lower, instance.clone()),
    );
    pair.nodes[1].start();
    pair.wait_for_holder(1);
    let began = moment();
    pair.nodes[0].start();
    pair.watch_for(delay / 2);
    let (envelope, message) = forged(&pair, 200);
    let only_higher = envelope.to_one(pair.nodes[0].host.mac("ens33").unwrap());
    let before = moment();
    pair.client.send("eth0", &[only_higher.around(&message)]).unwrap();
    let cancelled = pair.capture.advert(before, WAKE, 51, STRANGER.into(), |_| true).unwrap().0;
    // The delay begins anew with the next lower advert.
    let anew = pair.advert(1, cancelled);
    let taken = pair.advert(0, began);
    pair.wait_for_holder(0);
    if cast.higher.is_ours() {
        report.time("taken over after the next lower advert", taken - anew, delay - TICK, delay + WAKE);
    } else {
        report.saw(format!("taken over {} after the next lower advert", ms(taken - anew)));
        assert!(taken > began + delay, "{}", pair.logs());
    }
    let yielded = pair.nodes[1].held().last().unwrap().until.unwrap();
    report.at_most("the lower one yielded after", yielded.saturating_sub(taken), WAKE);
}

#[test]
fn s05_preempt_delay_ours() {
    preempt_delay(Cast::OURS);
}

#[test]
fn s05_preempt_delay_keepalived_ours_master() {
    preempt_delay(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s05_preempt_delay_keepalived_ours_backup() {
    preempt_delay(Cast::ours_below(Kind::Keepalived));
}

#[test]
fn s05_preempt_delay_frr_ours_master() {
    preempt_delay(Cast::ours_above(Kind::Frr));
}
