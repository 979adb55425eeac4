//! S13: packets that nobody should believe, at ten times the rate of adverts.

use std::{net::Ipv4Addr, time::Duration};

use hafleet_tests::lab::{
    Instance, Kind,
    vrrp::{self, Envelope},
};

use crate::{
    election::version_2,
    pair::{Cast, Pair, TICK, VIP, WAKE, longest_gap, moment},
    preemption::STRANGER,
    report::{Report, ms},
};

/// Rejected for this reason, the frame.
type Junk = Vec<(&'static str, Vec<u8>)>;

/// One of each kind, from a router that is not there, each with a priority that would win if it were believed.
fn junk(pair: &Pair, instance: &Instance) -> Junk {
    let mac = pair.client.mac("eth0").unwrap();
    let envelope = Envelope::to_group(mac, STRANGER);
    let vips: [Ipv4Addr; 1] = [VIP.parse().unwrap()];
    let vrid = instance.vrid;
    let v2 = |pass: Option<&str>, interval_s: u8| vrrp::version_2(vrid, 254, interval_s, &vips, pass);
    let v3 = |interval_cs: u16, vips: &[Ipv4Addr]| vrrp::version_3(vrid, 254, interval_cs, vips, STRANGER);
    let is_v2 = instance.version == 2;
    let pass = instance.pass.as_deref();
    let good = || if is_v2 { v2(pass, 1) } else { v3(10, &vips) };
    let summed = |mut message: Vec<u8>| {
        message[6..8].fill(0);
        let sum = if is_v2 {
            vrrp::checksum(&message)
        } else {
            vrrp::checksum_with_pseudo_header(&message, STRANGER.into(), vrrp::GROUP_V4.into())
        };
        vrrp::with_checksum(message, sum)
    };
    let changed = |at: usize, value: u8| {
        let mut message = good();
        message[at] = value;
        summed(message)
    };
    let wrong_sum = || vrrp::with_checksum(good(), 0xBEEF);
    let padded = [wrong_sum(), vec![0xEE; 400]].concat();
    let none_listed = if is_v2 { vrrp::version_2(vrid, 254, 1, &[], pass) } else { v3(10, &[]) };
    let mut all: Vec<(&str, Envelope, Vec<u8>)> = vec![
        ("ttl", Envelope { ttl: 64, ..envelope }, good()),
        ("version_mismatch", envelope, if is_v2 { v3(100, &vips) } else { v2(None, 1) }),
        ("checksum", envelope, wrong_sum()),
        ("checksum", envelope, padded),
        ("length", envelope, good()[..6].to_vec()),
        ("length", envelope, changed(3, 200)),
        ("type", envelope, changed(0, if is_v2 { 0x22 } else { 0x32 })),
        ("no_addresses", envelope, none_listed),
    ];
    if is_v2 {
        all.push(("auth_mismatch", envelope, v2(Some("2222"), 1)));
        all.push(("auth_mismatch", envelope, v2(None, 1)));
        all.push(("interval_mismatch", envelope, v2(pass, 3)));
    } else {
        all.push(("zero_interval", envelope, v3(0, &vips)));
    }
    all.into_iter().map(|(reason, envelope, message)| (reason, envelope.around(&message))).collect()
}

fn junk_at_a_master(cast: Cast, instance: &Instance) {
    let tried = format!(
        "version {} at {} ms: junk of every kind every {} ms",
        instance.version,
        instance.interval.as_millis(),
        instance.interval.as_millis() / 10
    );
    let mut report = Report::new("S13", cast, tried);
    let pair = Pair::elected(cast, instance);
    let junk = junk(&pair, instance);
    let frames: Vec<_> = junk.iter().map(|(_, frame)| frame.clone()).collect();
    // Whole rounds, four intervals at least.
    let rounds = if instance.version == 2 { 4 } else { 25 };
    let count = frames.len() * rounds;
    let before = pair.advert(0, moment());
    let mut sending = pair.client.send_each("eth0", &frames, instance.interval / 10, count).unwrap();
    sending.wait(Duration::from_secs(30)).unwrap();
    let after = moment();
    let adverts =
        |index| -> Vec<_> { pair.cadence(index, before).into_iter().filter(|at| *at <= after).collect() };
    let gap = longest_gap(&[adverts(0), vec![after]].concat());
    if cast.higher.is_ours() {
        let most = instance.interval.mul_f64(1.05) + Duration::from_millis(2);
        report.at_most("the master is ours: longest gap between its adverts", gap, most);
        assert!(pair.nodes[0].holds() && pair.nodes[0].held().len() == 1, "{}", pair.logs());
        let status = pair.nodes[0].daemon().instance(instance.vrid).unwrap();
        assert_eq!(status["state"], "MASTER");
        counted(&mut report, &pair, 0, &junk, rounds);
        report.saw(format!("{} advertised {} times", cast.lower.name(), adverts(1).len()));
        if cast.lower.is_ours() {
            assert!(adverts(1).is_empty(), "{}", pair.logs());
            counted(&mut report, &pair, 1, &junk, rounds);
        }
    } else {
        // It is not ours to judge; ours is a backup that heard the same.
        report.saw(format!(
            "the master is {}: longest gap between its adverts {}",
            cast.higher.name(),
            ms(gap)
        ));
        report.saw(format!(
            "it held the address {} times, ours advertised {} times",
            pair.nodes[0].held().len(),
            adverts(1).len()
        ));
        counted(&mut report, &pair, 1, &junk, rounds);
    }
}

/// Every packet was counted under its reason.
fn counted(report: &mut Report, pair: &Pair, index: usize, junk: &Junk, rounds: usize) {
    let node = &pair.nodes[index];
    let heard = node.daemon().heard(node.instance.vrid, &STRANGER.to_string()).unwrap();
    let heard = heard.unwrap_or_else(|| panic!("nothing heard of the junk\n{}", pair.logs()));
    assert_eq!(heard["accepted"], 0, "{heard}");
    let mut counts = Vec::new();
    for (reason, _) in junk {
        let sent = junk.iter().filter(|(one, _)| one == reason).count() * rounds;
        let found = heard["rejected"].as_array().into_iter().flatten().find(|one| one["reason"] == *reason);
        let count = found.map_or(0, |one| one["count"].as_u64().unwrap_or(0));
        assert_eq!(count, sent as u64, "{reason}: {heard}");
        let text = format!("{reason} {count}");
        if !counts.contains(&text) {
            counts.push(text);
        }
    }
    report.saw(format!("counted by ours: {}", counts.join(", ")));
}

#[test]
fn s13_junk_v3_ours() {
    junk_at_a_master(Cast::OURS, &Instance::default());
}

#[test]
fn s13_junk_v3_keepalived_ours_master() {
    junk_at_a_master(Cast::ours_above(Kind::Keepalived), &Instance::default());
}

#[test]
fn s13_junk_v3_keepalived_ours_backup() {
    junk_at_a_master(Cast::ours_below(Kind::Keepalived), &Instance::default());
}

#[test]
fn s13_junk_v3_frr_ours_master() {
    junk_at_a_master(Cast::ours_above(Kind::Frr), &Instance::default());
}

#[test]
fn s13_junk_v3_frr_ours_backup() {
    junk_at_a_master(Cast::ours_below(Kind::Frr), &Instance::default());
}

#[test]
fn s13_junk_v2_ours() {
    junk_at_a_master(Cast::OURS, &version_2(Cast::OURS));
}

#[test]
fn s13_junk_v2_keepalived_ours_master() {
    let cast = Cast::ours_above(Kind::Keepalived);
    junk_at_a_master(cast, &version_2(cast));
}

#[test]
fn s13_junk_v2_keepalived_ours_backup() {
    let cast = Cast::ours_below(Kind::Keepalived);
    junk_at_a_master(cast, &version_2(cast));
}

/// Junk touches no timer of a backup either.
#[test]
fn s13_junk_while_the_master_dies_ours() {
    let instance = Instance::default();
    let mut report = Report::new("S13", Cast::OURS, "100 ms: junk every 10 ms while the master is killed");
    let mut pair = Pair::elected(Cast::OURS, &instance);
    let frames: Vec<_> = junk(&pair, &instance).into_iter().map(|(_, frame)| frame).collect();
    let sending = pair.client.send_each("eth0", &frames, instance.interval / 10, 300).unwrap();
    pair.watch_for(instance.interval * 5);
    pair.nodes[0].crash();
    let last = pair.last_advert(0, moment());
    let taken = pair.advert(1, last);
    let down = pair.nodes[1].instance.master_down(instance.interval);
    report.time("taken over after the last advert", taken - last, down - TICK, down + WAKE);
    drop(sending);
}
