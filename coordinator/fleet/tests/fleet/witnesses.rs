//! Holders that do not say so themselves.

use hafleet_fleet::{CauseCode, FindingKind, Severity, VrrpState};

use crate::{
    network::{ip, vip},
    world::World,
};

const CONFIRMED: FindingKind = FindingKind::SplitBrainConfirmed;
const SUSPECTED: FindingKind = FindingKind::SplitBrainSuspected;

#[test]
fn a_silent_master_that_two_others_see_is_confirmed() {
    let mut world = World::new(&[150, 100, 50]);
    // lb01 has lost the coordinator, and lb02 hears no adverts of it. lb03 hears both.
    world.disconnect("lb01");
    world.filter("lb01", "lb02");
    world.run(3_600);
    world.enter("lb02", VrrpState::Master, "master_down");
    let took = world.run_until(4_000, "confirmed", |world| world.firing(CONFIRMED).is_some());
    assert!(took >= 2_000, "{took} ms");
    let finding = world.expect(CONFIRMED);
    assert!(finding.summary.contains("lb01") && finding.summary.contains("lb02"), "{}", finding.summary);
    assert!(finding.evidence.iter().any(|evidence| evidence.kind.starts_with("witness_")));

    // lb02 hears it again and yields.
    world.segment.filtered.clear();
    world.enter("lb02", VrrpState::Backup, "higher_priority_heard");
    world.run(8_000);
    assert!(world.firing(CONFIRMED).is_none() && world.firing(SUSPECTED).is_none());
}

#[test]
fn what_a_witness_saw_before_it_went_away_proves_nothing_anew() {
    let mut world = World::new(&[150, 100, 50]);
    for (a, b) in [("lb01", "lb02"), ("lb02", "lb03")] {
        world.filter(a, b);
    }
    world.run(4_000);
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run_until(3_000, "confirmed", |world| world.firing(CONFIRMED).is_some());
    world.run(600);
    world.crash("lb03");
    world.crash("lb02");
    world.run_until(4_000, "suspected", |world| world.firing(SUSPECTED).is_some());
    world.segment.host("lb03").up = true;
    world.connect("lb03");
    world.run(4_000);
    assert!(world.firing(CONFIRMED).is_none(), "lb02 has no power: {:#?}", world.expect(CONFIRMED));
}

#[test]
fn one_witness_is_a_suspicion() {
    let mut world = World::new(&[150, 100, 50]);
    world.disconnect("lb01");
    world.cut("lb01", "lb02");
    world.run(3_600);
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run_until(5_000, "suspected", |world| world.firing(SUSPECTED).is_some());
    world.run(30_000);
    assert!(world.firing(CONFIRMED).is_none(), "lb03 alone sees lb01");
    let finding = world.expect(SUSPECTED);
    assert_eq!(finding.cause_code, CauseCode::NodeUnreachable, "{}", finding.cause);
    assert!(finding.cause.contains("management line"), "{}", finding.cause);
}

#[test]
fn a_dead_agent_whose_kernel_keeps_the_address_is_suspected_as_stalled() {
    let mut world = World::new(&[150, 100]);
    world.segment.host("lb01").agent = false;
    world.disconnect("lb01");
    world.run(3_600);
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run_until(5_000, "suspected", |world| world.firing(SUSPECTED).is_some());
    let finding = world.expect(SUSPECTED);
    assert_eq!(finding.cause_code, CauseCode::AgentStalled, "{}", finding.cause);
    assert!(finding.action.contains("ha-agent release"), "{}", finding.action);
    assert!(finding.evidence.iter().any(|evidence| evidence.kind == "witness_arp"));

    // The address is released by hand.
    world.segment.host("lb01").instances[0].report.addresses_present.clear();
    world.run_until(12_000, "resolved", |world| world.firing(SUSPECTED).is_none());
}

#[test]
fn a_dead_agent_whose_kernel_dropped_the_address_is_cleared_by_arp() {
    let mut world = World::new(&[150, 100]);
    world.segment.host("lb01").agent = false;
    world.disconnect("lb01");
    world.run(3_000);
    // The lease is over.
    world.segment.host("lb01").instances[0].report.addresses_present.clear();
    world.run(600);
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run(20_000);
    world.silence("a holder that is provably none");
    let probes = world.probes.len();
    world.run(60_000);
    assert!(world.probes.len() - probes <= 6, "what is cleared is asked about now and then");
    assert_eq!(world.told(), ["agent_lost firing warning"]);
}

#[test]
fn a_host_without_power_is_suspected_then_critical_and_over_when_it_returns() {
    let mut world = World::new(&[150, 100]);
    world.crash("lb01");
    world.run(3_600);
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run_until(4_000, "suspected", |world| world.firing(SUSPECTED).is_some());
    let finding = world.expect(SUSPECTED);
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!(finding.cause_code, CauseCode::NodeUnreachable);
    assert!(finding.cause.contains("it is down (then there is no split brain)"), "{}", finding.cause);
    world.run(62_000);
    assert_eq!(world.expect(SUSPECTED).severity, Severity::Critical);

    let now = world.now_us;
    world.segment.host("lb01").up = true;
    world.segment.host("lb01").enter(0, VrrpState::Backup, "started", now);
    world.connect("lb01");
    world.run(2_000);
    assert!(world.view().findings.is_empty(), "{:#?}", world.view().findings);
    let expected = [
        "split_brain.suspected firing warning",
        "agent_lost firing warning",
        "split_brain.suspected firing critical",
        "split_brain.suspected resolved critical",
        "agent_lost resolved warning",
    ];
    let mut told = world.told();
    told.sort();
    let mut sorted = expected.map(str::to_owned);
    sorted.sort();
    assert_eq!(told, sorted);
}

#[test]
fn a_journal_that_says_it_left_is_enough_to_clear_a_silent_master() {
    let mut world = World::new(&[150, 100]);
    // The last thing that came was a journalled transition, without the snapshot that follows it.
    let host = world.segment.host("lb01");
    let change = hafleet_fleet::StateChange {
        seq: host.seq + 1,
        journal_id: host.journal_id.clone(),
        instance: "VI_1".to_owned(),
        vrid: 51,
        from: VrrpState::Master,
        to: VrrpState::Init,
        reason: "stopped".to_owned(),
    };
    world.send("lb01", hafleet_fleet::Input::Transition { node: crate::world::node("lb01"), change });
    world.crash("lb01");
    world.enter("lb02", VrrpState::Master, "master_resigned");
    world.run(20_000);
    world.silence("a master that left");
}

#[test]
fn a_journal_that_says_it_became_master_counts_from_then() {
    let mut world = World::new(&[150, 100, 50]);
    let host = world.segment.host("lb03");
    let change = hafleet_fleet::StateChange {
        seq: host.seq + 1,
        journal_id: host.journal_id.clone(),
        instance: "VI_1".to_owned(),
        vrid: 51,
        from: VrrpState::Backup,
        to: VrrpState::Master,
        reason: "master_down".to_owned(),
    };
    world.segment.host("lb03").instances[0].report.addresses_present = vec![vip()];
    world.send("lb03", hafleet_fleet::Input::Transition { node: crate::world::node("lb03"), change });
    world.disconnect("lb03");
    world.run(1_900);
    world.silence("less than the window");
    world.run_until(1_500, "confirmed", |world| world.firing(CONFIRMED).is_some());
}

#[test]
fn a_foreign_router_that_two_hear_is_confirmed() {
    let mut world = World::new(&[150, 100]);
    world.segment.foreign_adverts.push((ip(77), 51, vec![vip()]));
    world.run_until(6_000, "confirmed", |world| world.firing(CONFIRMED).is_some());
    let finding = world.expect(CONFIRMED);
    assert_eq!(finding.cause_code, CauseCode::ForeignHost, "{}", finding.cause);
    assert!(finding.cause.contains("10.0.0.77"), "{}", finding.cause);
    world.segment.foreign_adverts.clear();
    world.run_until(6_000, "resolved", |world| world.firing(CONFIRMED).is_none());
    world.run(10_000);
    assert!(world.view().findings.is_empty(), "{:#?}", world.view().findings);
}

#[test]
fn one_advert_of_a_stranger_is_nothing_and_asks_nothing() {
    let mut world = World::new(&[150, 100]);
    world.segment.foreign_adverts.push((ip(77), 51, vec![vip()]));
    world.run(1_000);
    world.segment.foreign_adverts.clear();
    world.run(20_000);
    world.silence("one advert");
    assert!(world.probes.is_empty(), "{:?}", world.probes);
}

#[test]
fn a_foreign_router_under_another_vrid_is_seen_too() {
    let mut world = World::new(&[150, 100]);
    world.segment.foreign_adverts.push((ip(77), 99, vec![vip()]));
    world.run_until(6_000, "confirmed", |world| world.firing(CONFIRMED).is_some());
}

#[test]
fn a_foreign_router_with_other_addresses_is_nothing() {
    let mut world = World::new(&[150, 100]);
    world.segment.foreign_adverts.push((ip(77), 99, vec![ip(200)]));
    world.run(20_000);
    world.silence("a stranger's own business");
}

#[test]
fn an_unknown_mac_is_named_as_a_foreign_host() {
    let mut world = World::new(&[150, 100]);
    world.segment.foreign.push(("02:ff:00:00:00:01".to_owned(), vip()));
    world.crash("lb01");
    world.run(3_600);
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run_until(5_000, "suspected", |world| world.firing(SUSPECTED).is_some());
    let finding = world.expect(SUSPECTED);
    assert_eq!(finding.cause_code, CauseCode::ForeignHost, "{}", finding.cause);
    assert!(finding.cause.contains("02:ff:00:00:00:01"), "{}", finding.cause);
}
