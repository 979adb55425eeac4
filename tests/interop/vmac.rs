//! S23: one MAC address for clients, whoever is the master (RFC 9568 section 7.3).

use hafleet_tests::lab::{Instance, Kind, macvlan_mac, overlap};

use crate::{
    pair::{Cast, Pair, SOON, VIP, WAKE, moment},
    report::{Report, ms},
};

/// The MAC address that the client learns for the virtual address by asking this node. Under keepalived and FRR the interface itself
/// answers too, with its own.
fn assert_learnt(report: &mut Report, pair: &Pair, index: usize) {
    let node = &pair.nodes[index];
    let mac = macvlan_mac(&node.instance).to_string();
    pair.client.ip(&["neigh", "flush", "to", VIP]).unwrap();
    pair.client.run("ping", &["-c", "1", "-W", "2", VIP]).unwrap();
    let entry = pair.client.ip(&["neigh", "show", VIP]).unwrap();
    if entry.contains(&mac) {
        report.saw("a client that asks learns it");
    } else {
        assert!(!node.kind.is_ours(), "{entry}\n{}", pair.logs());
        report.saw("**a client that asks learns the interface's own**");
    }
}

/// Adverts and announcements of this node since `from` come from the virtual MAC, adverts with its own IP address.
fn assert_seen(report: &mut Report, pair: &Pair, index: usize, from: std::time::Duration) {
    let node = &pair.nodes[index];
    let mac = macvlan_mac(&node.instance);
    pair.advert(index, from);
    pair.watch_for(WAKE);
    let frames = pair.capture.since(from);
    let adverts: Vec<_> = frames
        .iter()
        .filter_map(|frame| Some((frame.source_mac, frame.advert()?)))
        .filter(|(_, advert)| advert.source == node.speaks_from())
        .collect();
    assert!(!adverts.is_empty(), "{}", pair.logs());
    assert!(adverts.iter().all(|(source_mac, _)| *source_mac == mac), "{adverts:?}");
    let announced = pair.announcements(index, from).len();
    report.saw(format!("{} adverts and {announced} announcements from {mac}", adverts.len()));
    assert!(announced > 0, "{}", pair.logs());
}

fn virtual_mac(cast: Cast) {
    let instance = Instance { vmac: true, ..Instance::default() };
    let mut report = Report::new("S23", cast, "use_vmac on both: the higher one is elected");
    let began = moment();
    let mut pair = Pair::elected(cast, &instance);
    assert_seen(&mut report, &pair, 0, began);
    assert_learnt(&mut report, &pair, 0);

    report.row("SIGTERM to the higher one");
    let asked = moment();
    pair.nodes[0].stop();
    pair.wait_for_holder(1);
    assert_seen(&mut report, &pair, 1, asked);
    assert_learnt(&mut report, &pair, 1);
    let both = overlap(&pair.nodes[0].held(), &pair.nodes[1].held(), asked, moment());
    report.at_most("both had it for", both, WAKE);

    report.row("the higher one starts again, and its processes are killed (SIGKILL)");
    let back = moment();
    pair.nodes[0].start();
    pair.wait_for_holder(0);
    assert_seen(&mut report, &pair, 0, back);
    assert_learnt(&mut report, &pair, 0);
    let from = moment();
    pair.nodes[0].crash();
    let taken = pair.capture.advert(from, SOON, 51, pair.nodes[1].speaks_from(), |priority| priority > 0);
    let taken = taken.unwrap_or_else(|error| panic!("{error:#}\n{}", pair.logs())).0;
    report.saw(format!("taken over {} after", ms(taken - from)));
    assert_seen(&mut report, &pair, 1, taken - WAKE);
}

#[test]
fn s23_virtual_mac_ours() {
    virtual_mac(Cast::OURS);
}

#[test]
fn s23_virtual_mac_keepalived_ours_master() {
    virtual_mac(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s23_virtual_mac_keepalived_ours_backup() {
    virtual_mac(Cast::ours_below(Kind::Keepalived));
}

#[test]
fn s23_virtual_mac_frr_ours_master() {
    virtual_mac(Cast::ours_above(Kind::Frr));
}

#[test]
fn s23_virtual_mac_frr_ours_backup() {
    virtual_mac(Cast::ours_below(Kind::Frr));
}
