//! An address in a kernel whose instance is not MASTER.

use hafleet_fleet::{FindingKind, Severity, VrrpState};

use crate::{network::vip, world::World};

const ORPHAN: FindingKind = FindingKind::OrphanVip;

#[test]
fn held_elsewhere_too_is_critical() {
    let mut world = World::new(&[150, 100]);
    world.edit("lb02", |report| report.addresses_present = vec![vip()]);
    let took = world.run_until(3_000, "orphan", |world| world.firing(ORPHAN).is_some());
    assert!(took >= 2_000, "{took} ms");
    let finding = world.expect(ORPHAN);
    assert_eq!(finding.severity, Severity::Critical);
    assert!(
        finding.summary.contains("lb02") && finding.summary.contains("lb01 holds it"),
        "{}",
        finding.summary
    );
    assert!(finding.action.contains("on lb02: ha-agent release"), "{}", finding.action);
    world.edit("lb02", |report| report.addresses_present.clear());
    world.run(2_000);
    assert_eq!(world.told(), ["orphan_vip firing critical", "orphan_vip resolved critical"]);
}

#[test]
fn alone_it_is_a_warning_that_gets_worse_when_another_takes_over() {
    let mut world = World::new(&[150, 100]);
    world.enter("lb01", VrrpState::Fault, "link_no_carrier");
    world.edit("lb01", |report| report.addresses_present = vec![vip()]);
    world.run_until(3_000, "orphan", |world| world.firing(ORPHAN).is_some());
    assert_eq!(world.expect(ORPHAN).severity, Severity::Warning);
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run(2_000);
    assert_eq!(world.expect(ORPHAN).severity, Severity::Critical);
    assert_eq!(world.told(), ["orphan_vip firing warning", "orphan_vip firing critical"]);
}

#[test]
fn a_stale_orphan_is_not_over() {
    let mut world = World::new(&[150, 100]);
    world.edit("lb02", |report| report.addresses_present = vec![vip()]);
    world.run(4_000);
    world.disconnect("lb02");
    world.run(20_000);
    assert!(world.firing(ORPHAN).is_some(), "what a stale member had it may still have");
}
