//! Members that fell silent as BACKUP: only ARP can tell that one has become MASTER since.

use hafleet_fleet::{CauseCode, FindingKind, VrrpState};

use crate::world::World;

const CONFIRMED: FindingKind = FindingKind::SplitBrainConfirmed;
const SUSPECTED: FindingKind = FindingKind::SplitBrainSuspected;

/// lb02 loses the coordinator and every other router at once, and becomes MASTER when its time is over.
fn filtered_and_silent(priorities: &[u8]) -> World {
    let mut world = World::new(priorities);
    let others: Vec<String> = world.segment.hosts.iter().map(|host| host.name.clone()).collect();
    for other in others.iter().filter(|name| *name != "lb02") {
        world.filter("lb02", other);
    }
    world.disconnect("lb02");
    world.run(3_600);
    world.silence("a silent backup");
    world.enter("lb02", VrrpState::Master, "master_down");
    world
}

#[test]
fn one_that_two_get_answers_from_is_confirmed_within_ten_seconds() {
    let mut world = filtered_and_silent(&[150, 100, 50]);
    let took = world.run_until(10_000, "confirmed", |world| world.firing(CONFIRMED).is_some());
    assert!(took >= 2_000, "the window of two intervals counts here too: {took} ms");
    let finding = world.expect(CONFIRMED);
    assert!(finding.summary.contains("lb01") && finding.summary.contains("lb02"), "{}", finding.summary);
    assert_eq!(finding.cause_code, CauseCode::NodeUnreachable, "{}", finding.cause);
    assert!(finding.cause.contains("has become MASTER since"), "{}", finding.cause);
    assert!(finding.evidence.iter().filter(|evidence| evidence.kind == "witness_arp").count() >= 2);
    // It stays so for as long as it is so, and not longer.
    world.run(60_000);
    assert!(world.firing(CONFIRMED).is_some());
    world.enter("lb02", VrrpState::Backup, "higher_priority_heard");
    world.run_until(13_000, "resolved", |world| world.firing(CONFIRMED).is_none());
    assert!(world.firing(SUSPECTED).is_none());
}

#[test]
fn one_whose_line_was_down_for_an_hour_is_found_too() {
    let mut world = World::new(&[150, 100, 50]);
    world.disconnect("lb02");
    world.run(3_600_000);
    world.filter("lb02", "lb01");
    world.filter("lb02", "lb03");
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run_until(15_000, "confirmed", |world| world.firing(CONFIRMED).is_some());
}

#[test]
fn one_witness_is_a_suspicion() {
    let mut world = filtered_and_silent(&[150, 100]);
    world.run_until(10_000, "suspected", |world| world.firing(SUSPECTED).is_some());
    world.run(60_000);
    assert!(world.firing(CONFIRMED).is_none(), "lb01 profits: alone it proves nothing");
}

#[test]
fn a_silent_host_that_does_not_answer_for_it_is_nothing_and_asked_about_now_and_then() {
    for powered in [true, false] {
        let mut world = World::new(&[150, 100, 50]);
        world.disconnect("lb02");
        world.segment.host("lb02").up = powered;
        world.run(4_000);
        let probes = world.probes.len();
        world.run(600_000);
        assert_eq!(world.told(), ["agent_lost firing warning"]);
        let asked = world.probes.len() - probes;
        assert!((50..=64).contains(&asked), "every ten seconds: {asked}");
    }
}

#[test]
fn nobody_is_asked_about_a_fleet_that_is_heard() {
    let mut world = World::new(&[150, 100, 50]);
    world.run(60_000);
    assert!(world.probes.is_empty(), "{:?}", world.probes);
}

/// While somebody else is silent the holder's MAC answers, and then it hands over and falls silent itself.
#[test]
fn an_answer_from_before_the_holder_became_it_says_nothing() {
    let mut world = World::new(&[150, 100, 50]);
    world.crash("lb03");
    world.run(21_000);
    assert!(!world.probes.is_empty());
    world.enter("lb01", VrrpState::Init, "stopped");
    world.enter("lb02", VrrpState::Master, "master_resigned");
    world.disconnect("lb01");
    world.run(60_000);
    assert!(world.firing(CONFIRMED).is_none() && world.firing(SUSPECTED).is_none());
    assert!(world.told().iter().all(|told| told.starts_with("agent_lost")), "{:?}", world.told());
}

/// The store knows a node that is silent when the coordinator starts: it may be on its way, so it is asked about after the grace.
#[test]
fn after_a_restart_one_that_is_silent_is_asked_about_when_the_grace_is_over() {
    let mut world = World::new(&[150, 100, 50]);
    world.disconnect("lb02");
    world.run(5_000);
    world.restart_coordinator();
    world.connect("lb01");
    world.connect("lb03");
    let probes = world.probes.len();
    world.run(14_000);
    assert_eq!(world.probes.len(), probes, "{:?}", world.probes);
    world.filter("lb02", "lb01");
    world.filter("lb02", "lb03");
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run_until(12_000, "confirmed", |world| world.firing(CONFIRMED).is_some());
}
