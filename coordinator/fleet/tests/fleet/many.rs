//! Many groups on one pair of hosts, and probes that cannot be sent.

use std::net::{IpAddr, Ipv4Addr};

use hafleet_fleet::{FindingKind, FindingStatus, VrrpState};

use crate::{network::MS, world::World};

const CONFIRMED: FindingKind = FindingKind::SplitBrainConfirmed;
const SUSPECTED: FindingKind = FindingKind::SplitBrainSuspected;

/// lb01 is MASTER of so many groups; the hosts do not hear each other.
fn pair(groups: u16) -> World {
    let mut world = World::new(&[150, 100]);
    for name in ["lb01", "lb02"] {
        let host = world.segment.host(name);
        let first = host.instances[0].clone();
        for group in 1..groups {
            let mut more = first.clone();
            let [third, fourth] = group.to_be_bytes();
            let address = IpAddr::V4(Ipv4Addr::new(10, 1, third, fourth));
            more.report.instance = format!("VG_{group}");
            more.report.vrid = (group % 255) as u8 + 1;
            more.report.addresses = vec![(address, 24)];
            more.report.addresses_present.retain_mut(|present| {
                *present = address;
                true
            });
            host.instances.push(more);
        }
        host.seq += 1;
        world.uplinks.entry(name.to_owned()).or_default().one_by_one = true;
    }
    world.filter("lb01", "lb02");
    world.run(6_000);
    assert_eq!(world.view().groups.len(), usize::from(groups));
    world
}

/// When each group was confirmed, counted from its own overlap, in ms; the overlaps begin within `spread_ms`.
fn confirmed_after(groups: u16, spread_ms: u64) -> Vec<u64> {
    let mut world = pair(groups);
    let from = world.now_us;
    let mut begun = 0;
    while world.now_us < from + (spread_ms + 4_000) * MS {
        let begun_by_now = (u64::from(groups) * (world.now_us - from) / MS).checked_div(spread_ms);
        let due = begun_by_now.map_or(groups, |begun| begun.min(groups.into()) as u16);
        let now = world.now_us;
        for group in begun..due {
            world.segment.host("lb02").enter(group.into(), VrrpState::Master, "master_down", now);
        }
        if due > begun {
            world.tell_change("lb02");
            begun = due;
        }
        world.tick();
    }
    assert!(!world.said.iter().any(|(_, finding, _)| finding.kind == SUSPECTED), "a suspicion on the way");
    let firing = |finding: &hafleet_fleet::Finding| {
        finding.kind == CONFIRMED && finding.status == FindingStatus::Firing
    };
    let told = world.said.iter().filter(|(_, finding, notify)| *notify && firing(finding));
    told.map(|(us, finding, _)| (us - finding.since.as_micros()) / MS).collect()
}

#[test]
fn every_group_of_a_cut_line_is_confirmed_in_time() {
    for (groups, spread_ms) in [(80, 0), (200, 0), (80, 900)] {
        let took = confirmed_after(groups, spread_ms);
        assert_eq!(
            took.len(),
            usize::from(groups),
            "{groups} groups within {spread_ms} ms: each told of once"
        );
        let (least, most) = (took.iter().min().expect("some"), took.iter().max().expect("some"));
        println!("{groups} groups within {spread_ms} ms: confirmed after {least} to {most} ms");
        assert!(*least >= 2_000 && *most <= 3_000, "{groups} groups: {least} to {most} ms");
    }
}

#[test]
fn many_groups_are_asked_about_with_few_probes() {
    let mut world = pair(80);
    let now = world.now_us;
    for group in 0..80 {
        world.segment.host("lb02").enter(group, VrrpState::Master, "master_down", now);
    }
    world.tell_change("lb02");
    world.run(2_900);
    let (probes, judged) = (world.probes.len(), world.fleet.counters().groups_judged);
    assert!(probes <= 8, "two probes hold 80 addresses, early and late: {probes}");
    let targets = world.probes.iter().map(|(_, probe)| probe.arp_targets.len()).max();
    assert!(targets.is_some_and(|targets| targets <= 64), "{targets:?}");
    world.run(20_000);
    let judged = world.fleet.counters().groups_judged - judged;
    assert!(judged < 80 * 2 * 60, "twenty seconds of heartbeats and a few probes: {judged}");
}

#[test]
fn a_probe_that_could_not_be_sent_is_sent_again_at_once() {
    let mut world = World::new(&[150, 100]);
    world.filter("lb01", "lb02");
    world.run(4_000);
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run(1_900);
    world.uplinks.get_mut("lb02").expect("uplink").full = true;
    world.run(400);
    assert!(world.firing(CONFIRMED).is_none());
    world.uplinks.get_mut("lb02").expect("uplink").full = false;
    let took = 2_300 + world.run_until(700, "confirmed", |world| world.firing(CONFIRMED).is_some());
    assert!(took <= 2_600, "{took} ms");
    assert_eq!(world.told(), ["split_brain.confirmed firing critical"], "nothing was suspected on the way");
    assert!((2..=5).contains(&world.fleet.counters().probes_not_sent));
}

#[test]
fn a_member_that_cannot_be_asked_for_long_is_suspected_and_asked_with_pauses() {
    let mut world = World::new(&[150, 100]);
    world.filter("lb01", "lb02");
    world.run(4_000);
    world.uplinks.get_mut("lb02").expect("uplink").full = true;
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run_until(5_000, "suspected", |world| world.firing(SUSPECTED).is_some());
    let probes = world.probes.len();
    world.run(30_000);
    assert!(world.firing(CONFIRMED).is_none());
    let more = world.probes.len() - probes;
    assert!(more <= 20, "{more} probes in 30 s");
    world.uplinks.get_mut("lb02").expect("uplink").full = false;
    world.run_until(9_000, "confirmed", |world| world.firing(CONFIRMED).is_some());
}
