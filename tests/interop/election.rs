//! S1, S6 and S7: who is elected, and what it says.

use std::time::Duration;

use hafleet_tests::lab::{Frame, Instance, Kind, overlap, vrrp};

use crate::{
    pair::{Cast, Node, Pair, TICK, VIP, WAKE, moment},
    report::Report,
};

/// Version 2 at 1 s, with a password where the peer knows one.
pub fn version_2(cast: Cast) -> Instance {
    let has_pass = cast.peer() != Kind::Frr;
    Instance {
        version: 2,
        interval: Duration::from_secs(1),
        pass: has_pass.then(|| "1111".into()),
        ..Instance::default()
    }
}

/// Every header field and every byte of the message.
fn assert_advert(frame: &Frame, node: &Node) {
    let (advert, instance) = (frame.advert().unwrap(), &node.instance);
    let kind = node.kind;
    assert_eq!(frame.target_mac, vrrp::GROUP_V4_MAC, "{kind:?}");
    assert_eq!(frame.source_mac, node.mac(), "{kind:?}");
    assert_eq!((advert.ttl, advert.tos), (255, 0xC0), "{kind:?}");
    assert_eq!(advert.destination, vrrp::GROUP_V4, "{kind:?}");
    let vips = [VIP.parse().unwrap()];
    let expected = match instance.version {
        2 => {
            let interval_s = u8::try_from(instance.interval.as_secs()).unwrap();
            vrrp::version_2(instance.vrid, instance.priority, interval_s, &vips, instance.pass.as_deref())
        }
        _ => {
            let interval_cs = u16::try_from(instance.interval.as_millis() / 10).unwrap();
            vrrp::version_3(instance.vrid, instance.priority, interval_cs, &vips, node.source)
        }
    };
    assert_eq!(advert.message, expected, "{kind:?}: {advert:?}");
}

fn election(cast: Cast, instance: &Instance) {
    let tried = format!(
        "version {} at {} ms{}: the lower starts alone, then the higher",
        instance.version,
        instance.interval.as_millis(),
        if instance.pass.is_some() { " with PASS" } else { "" }
    );
    let mut report = Report::new("S1", cast, tried);
    let mut pair = Pair::new(
        (cast.higher, Instance { priority: 150, ..instance.clone() }),
        (cast.lower, Instance { priority: 100, ..instance.clone() }),
    );
    let began = moment();
    pair.nodes[1].start();
    pair.wait_for_holder(1);
    pair.nodes[0].start();
    let ready = moment();
    pair.wait_for_holder(0);
    let taken = pair.advert(0, began);
    // It listens before it speaks; how long it took to start is not known so exactly.
    let higher = &pair.nodes[0];
    let listens = if cast.higher.is_ours() {
        higher.instance.first_election()
    } else {
        higher.instance.master_down(instance.interval)
    };
    report.at_most("the higher advertised after its start", taken.saturating_sub(ready), listens + WAKE);
    assert!(taken.saturating_sub(began) > listens, "it did not listen before it spoke");
    for node in &pair.nodes {
        let is_its = |frame: &&Frame| frame.advert().is_some_and(|advert| advert.source == node.source);
        let frames = pair.capture.frames();
        for frame in frames.iter().filter(is_its) {
            assert_advert(frame, node);
        }
    }
    report.saw("Ethernet, IP and VRRP fields of every advert of both as expected to the byte");
    pair.watch_for(instance.interval * 2);
    let late = pair.cadence(1, taken + WAKE);
    assert!(late.is_empty(), "the lower one went on advertising: {late:?}\n{}", pair.logs());
    report.at_most(
        "both had it for",
        overlap(&pair.nodes[0].held(), &pair.nodes[1].held(), began, moment()),
        WAKE,
    );
    pair.nodes[0].wait_for_state("MASTER");
    pair.nodes[1].wait_for_state("BACKUP");
    report.saw("the higher MASTER, the lower silent");
}

#[test]
fn s01_election_v2_ours() {
    election(Cast::OURS, &version_2(Cast::OURS));
}

#[test]
fn s01_election_v2_keepalived_ours_master() {
    let cast = Cast::ours_above(Kind::Keepalived);
    election(cast, &version_2(cast));
}

#[test]
fn s01_election_v2_keepalived_ours_backup() {
    let cast = Cast::ours_below(Kind::Keepalived);
    election(cast, &version_2(cast));
}

#[test]
fn s01_election_v2_frr_ours_master() {
    let cast = Cast::ours_above(Kind::Frr);
    election(cast, &version_2(cast));
}

#[test]
fn s01_election_v2_frr_ours_backup() {
    let cast = Cast::ours_below(Kind::Frr);
    election(cast, &version_2(cast));
}

#[test]
fn s01_election_v3_ours() {
    election(Cast::OURS, &Instance::default());
}

#[test]
fn s01_election_v3_keepalived_ours_master() {
    election(Cast::ours_above(Kind::Keepalived), &Instance::default());
}

#[test]
fn s01_election_v3_keepalived_ours_backup() {
    election(Cast::ours_below(Kind::Keepalived), &Instance::default());
}

#[test]
fn s01_election_v3_frr_ours_master() {
    election(Cast::ours_above(Kind::Frr), &Instance::default());
}

#[test]
fn s01_election_v3_frr_ours_backup() {
    election(Cast::ours_below(Kind::Frr), &Instance::default());
}

/// Who has the higher address, `nodes[1]`, is named by the cast's lower part.
const fn by_address(cast: Cast) -> &'static str {
    match (cast.higher.is_ours(), cast.lower.is_ours()) {
        (true, true) => "both",
        (true, false) => "lower address",
        (false, _) => "higher address",
    }
}

fn equal_priorities(cast: Cast) {
    let tried = "both priority 100: one is MASTER when the other starts; split and heal";
    let mut report = Report::with_part("S6", cast, by_address(cast), tried);
    let equal = Instance::default();
    let mut pair = Pair::new((cast.higher, equal.clone()), (cast.lower, equal.clone()));
    pair.nodes[0].start();
    pair.wait_for_holder(0);
    let began = moment();
    pair.nodes[1].start();
    let down = equal.master_down(equal.interval);
    pair.watch_for(down * 3);
    assert!(pair.cadence(1, began).is_empty() && !pair.nodes[1].holds(), "{}", pair.logs());
    report.saw("the second stayed BACKUP, although its address is higher");
    pair.nodes[0].host.isolate(hafleet_tests::lab::Segment::Service).unwrap();
    pair.wait_for_two_holders();
    let healed = moment();
    pair.nodes[0].host.rejoin(hafleet_tests::lab::Segment::Service).unwrap();
    pair.wait_for_holder(1);
    let yielded = pair.nodes[0].held().last().unwrap().until.unwrap();
    report.at_most("healed: the lower address yielded after", yielded - healed, equal.interval + WAKE);
    let winners = pair.nodes[1].held();
    assert_eq!(winners.len(), 1, "the winner kept it all the time: {winners:?}");
    report.saw("the higher address kept it");
}

#[test]
fn s06_equal_priorities_ours() {
    equal_priorities(Cast::OURS);
}

#[test]
fn s06_equal_priorities_keepalived_ours_lower_address() {
    equal_priorities(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s06_equal_priorities_keepalived_ours_higher_address() {
    equal_priorities(Cast::ours_below(Kind::Keepalived));
}

#[test]
fn s06_equal_priorities_frr_ours_lower_address() {
    equal_priorities(Cast::ours_above(Kind::Frr));
}

#[test]
fn s06_equal_priorities_frr_ours_higher_address() {
    equal_priorities(Cast::ours_below(Kind::Frr));
}

fn two_owners(cast: Cast) {
    let tried = "both priority 255, started one after the other; then the one that won is stopped";
    let mut report = Report::with_part("S7", cast, by_address(cast), tried);
    let owner = Instance { priority: 255, ..Instance::default() };
    let mut pair = Pair::new((cast.higher, owner.clone()), (cast.lower, owner.clone()));
    pair.nodes[0].start();
    pair.wait_for_holder(0);
    let began = moment();
    pair.nodes[1].start();
    pair.wait_for_holder(1);
    let spoke = pair.advert(1, began);
    let yielded = pair.nodes[0].held().last().unwrap().until.unwrap();
    report.at_most("the lower address yielded after", yielded.saturating_sub(spoke), owner.interval + WAKE);
    let settled = moment();
    pair.watch_for(Duration::from_secs(1));
    assert!(pair.cadence(0, settled).is_empty(), "the lower address speaks again\n{}", pair.logs());
    assert_eq!(pair.nodes[1].held().len(), 1, "{}", pair.logs());
    report.saw("and stayed BACKUP");
    pair.nodes[1].stop();
    let goodbye = pair.advert_with(1, settled, |priority| priority == 0);
    let taken = pair.advert(0, goodbye) - goodbye;
    let skew = owner.skew(owner.interval);
    report.time("stopped: taken over after", taken, skew.saturating_sub(TICK), skew + WAKE);
    pair.wait_for_holder(0);
}

#[test]
fn s07_two_owners_ours() {
    two_owners(Cast::OURS);
}

#[test]
fn s07_two_owners_keepalived_ours_lower_address() {
    two_owners(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s07_two_owners_keepalived_ours_higher_address() {
    two_owners(Cast::ours_below(Kind::Keepalived));
}
