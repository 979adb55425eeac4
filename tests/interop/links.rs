//! S15: links, interfaces and addresses that go and return.

use std::time::Duration;

use hafleet_tests::lab::{Instance, Kind, Segment, wait_for};

use crate::{
    pair::{Cast, Pair, SOON, VIP, WAKE, moment},
    report::{Report, ms},
};

type Act = fn(&Pair);

/// What happens to the higher one's interface, and how it ends.
const FAULTS: [(&str, &str, Act, Act); 5] = [
    (
        "no carrier",
        "link_no_carrier",
        |pair| pair.nodes[0].host.unplug(Segment::Service).unwrap(),
        |pair| pair.nodes[0].host.plug(Segment::Service).unwrap(),
    ),
    (
        "ip link set down, up",
        "link_admin_down",
        |pair| link(pair, "ens33", &["down"]),
        |pair| {
            link(pair, "ens33", &["up"]);
        },
    ),
    (
        "its last address removed, added",
        "link_no_address",
        |pair| address(pair, "del"),
        |pair| address(pair, "add"),
    ),
    (
        "renamed, named again",
        "link_missing",
        |pair| {
            link(pair, "ens33", &["down"]);
            link(pair, "ens33", &["name", "lan7"]);
            link(pair, "lan7", &["up"]);
        },
        |pair| {
            link(pair, "lan7", &["down"]);
            link(pair, "lan7", &["name", "ens33"]);
            link(pair, "ens33", &["up"]);
        },
    ),
    (
        "deleted, made anew",
        "link_missing",
        |pair| drop(pair.nodes[0].host.ip(&["link", "del", "ens33"]).unwrap()),
        |pair| {
            let node = &pair.nodes[0];
            pair.lab.attach(&node.host, Segment::Service, "ens33", &format!("{}/24", node.source)).unwrap();
        },
    ),
];

fn link(pair: &Pair, name: &str, what: &[&str]) {
    pair.nodes[0].host.ip(&[&["link", "set", name], what].concat()).unwrap();
}

fn address(pair: &Pair, verb: &str) {
    let node = &pair.nodes[0];
    node.host.ip(&["addr", verb, &format!("{}/24", node.source), "dev", "ens33"]).unwrap();
}

fn faults(cast: Cast, faults: &[(&str, &str, Act, Act)]) {
    let mut report: Option<Report> = None;
    let pair = Pair::elected(cast, &Instance::default());
    let interval = Instance::default().interval;
    let down = pair.nodes[1].instance.master_down(interval);
    for (what, fault, fail, restore) in faults {
        let tried = format!("the higher one's interface: {what}");
        let report = match &mut report {
            Some(report) => {
                report.row(tried);
                report
            }
            None => report.insert(Report::new("S15", cast, tried)),
        };
        let before = moment();
        pair.advert(0, before);
        let failed = moment();
        fail(&pair);
        let done = moment();
        let taken = pair.advert(1, failed);
        let last = pair.last_advert(0, taken);
        pair.wait_for_holder(1);
        // At the latest as if nothing had been said; the time the fault itself took counts for nothing.
        report.at_most("taken over after the last advert", taken - last, down + WAKE + (done - failed));
        let gone = pair.nodes[0].held().last().unwrap().until.unwrap();
        if cast.higher.is_ours() {
            pair.nodes[0].wait_for_state("FAULT");
            report.at_most("released after", gone.saturating_sub(failed), WAKE + (done - failed));
            wait_for(&format!("the fault to be {fault}"), SOON, || {
                let told = pair.nodes[0].daemon().instance(51)?;
                Ok((told["paths"][0]["fault"] == *fault).then_some(()))
            })
            .unwrap_or_else(|error| panic!("{error:#}\n{}", pair.logs()));
            report.saw(format!("FAULT: {fault}"));
        } else {
            report.saw(format!("released {} after", ms(gone.saturating_sub(failed))));
        }
        let restored = moment();
        restore(&pair);
        pair.wait_for_holder(0);
        let back = pair.advert(0, restored);
        report.saw(format!("back {} after it returned", ms(back - restored)));
        pair.watch_for(interval + WAKE);
        assert!(pair.cadence(1, back + WAKE).is_empty(), "{what}: {}", pair.logs());
    }
}

#[test]
fn s15_links_ours() {
    faults(Cast::OURS, &FAULTS);
}

#[test]
fn s15_links_keepalived_ours_master() {
    faults(Cast::ours_above(Kind::Keepalived), &FAULTS);
}

#[test]
fn s15_links_keepalived_ours_backup() {
    faults(Cast::ours_below(Kind::Keepalived), &FAULTS[..2]);
}

#[test]
fn s15_links_frr_ours_master() {
    faults(Cast::ours_above(Kind::Frr), &FAULTS);
}

fn vip_deleted(cast: Cast) {
    let tried = "one of the master's two addresses is deleted by hand";
    let mut report = Report::new("S15", cast, tried);
    let two = Instance { vips: vec![format!("{VIP}/24"), "10.77.0.101/24".into()], ..Instance::default() };
    let pair = Pair::elected(cast, &two);
    // What came with the takeover is over.
    pair.watch_for(two.announce_delay + WAKE);
    let began = moment();
    pair.nodes[0].host.ip(&["addr", "del", &format!("{VIP}/24"), "dev", "ens33"]).unwrap();
    let held = wait_for("it to go and return", SOON, || {
        let held = pair.nodes[0].held();
        Ok((held.len() > 1 && pair.nodes[0].holds()).then_some(held))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", pair.logs()));
    let [.., gone, back] = held.as_slice() else { panic!("it never went: {held:?}") };
    let away = back.from.saturating_sub(gone.until.unwrap());
    report.at_most("it was away for", away, Duration::from_millis(50));
    pair.watch_for(WAKE);
    let announced = pair.announcements(0, began).len();
    assert!(announced >= 5, "announced {announced} times");
    report.saw(format!("announced {announced} times"));
    assert!(pair.cadence(1, began).is_empty(), "{}", pair.logs());
    let other = pair.nodes[0].held_of("10.77.0.101");
    assert_eq!(other.len(), 1, "the other address left: {other:?}");
    report.saw("the other address never left, the peer noticed nothing");
}

#[test]
fn s15_vip_deleted_ours() {
    vip_deleted(Cast::OURS);
}

#[test]
fn s15_vip_deleted_keepalived_ours_master() {
    vip_deleted(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s15_vip_deleted_frr_ours_master() {
    vip_deleted(Cast::ours_above(Kind::Frr));
}
