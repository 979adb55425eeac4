//! Nobody holds the address.

use hafleet_fleet::{CauseCode, FindingKind, VrrpState, view::GroupState};

use crate::world::World;

const NO_MASTER: FindingKind = FindingKind::NoMaster;

#[test]
fn it_fires_after_twice_master_down_with_each_members_reason() {
    let mut world = World::new(&[150, 100]);
    world.edit("lb01", |report| report.reason_detail = "the service interface has no carrier".to_owned());
    world.enter("lb01", VrrpState::Fault, "link_no_carrier");
    // Master_Down of lb02 is 3.605 s.
    let took = world.run_until(8_000, "no_master", |world| world.firing(NO_MASTER).is_some());
    assert!(took >= 7_200, "{took} ms");
    let finding = world.expect(NO_MASTER);
    assert_eq!(finding.id.0, "no_master@dc1/10.0.0.100#1");
    assert!(finding.summary.contains("lb01 is FAULT (link_no_carrier)"), "{}", finding.summary);
    assert_eq!(finding.evidence.len(), 2);
    assert!(finding.evidence[0].summary.contains("no carrier"), "{}", finding.evidence[0].summary);
    assert_eq!(world.group().state, GroupState::NoMaster);

    world.enter("lb02", VrrpState::Master, "master_down");
    world.run(2_000);
    assert_eq!(world.told(), ["no_master firing critical", "no_master resolved critical"]);
}

#[test]
fn no_carrier_anywhere_is_the_cause() {
    let mut world = World::new(&[150, 100]);
    for name in ["lb01", "lb02"] {
        world.enter(name, VrrpState::Fault, "link_no_carrier");
        world.edit(name, |report| report.carrier = false);
    }
    world.run(8_000);
    assert_eq!(world.expect(NO_MASTER).cause_code, CauseCode::Carrier);
}

#[test]
fn a_single_member_that_cannot_serve_is_no_master_too() {
    let mut world = World::new(&[150]);
    world.enter("lb01", VrrpState::Fault, "link_missing");
    world.run(8_000);
    world.expect(NO_MASTER);
}

#[test]
fn with_a_stale_member_nobody_can_say() {
    let mut world = World::new(&[150, 100]);
    world.disconnect("lb01");
    world.run(25_000);
    world.silence("a stale member");

    let mut world = World::new(&[150, 100]);
    world.enter("lb01", VrrpState::Fault, "link_no_carrier");
    world.run(8_000);
    world.expect(NO_MASTER);
    world.disconnect("lb01");
    world.run(20_000);
    assert!(world.firing(NO_MASTER).is_some(), "silence resolves nothing");
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run(2_000);
    assert!(world.firing(NO_MASTER).is_none(), "a holder does");
}
