//! Two hosts hold one address, and the fleet says so: when, who, why, and when it is over.

use std::time::{Duration, Instant};

use hafleet_tests::lab::{Direction, Segment, wait_for};

use crate::fleet::{Fleet, SOON, VIP};

/// The promise of the design at 1 s adverts: named within 3 s of both being MASTER.
const CONFIRMED: Duration = Duration::from_secs(3);

fn both_hold(fleet: &Fleet) -> Instant {
    wait_for("two holders", SOON, || Ok((fleet.holders() == ["lb01", "lb02"]).then_some(()))).unwrap();
    Instant::now()
}

fn confirmed(fleet: &Fleet, both: Instant) -> serde_json::Value {
    let finding =
        wait_for("split_brain.confirmed", SOON, || fleet.coordinator.finding("split_brain.confirmed"))
            .unwrap();
    let took = both.elapsed();
    assert!(took <= CONFIRMED, "confirmed after {took:?}: {finding:#}");
    assert_eq!(finding["severity"], "critical");
    let text = finding.to_string();
    assert!(text.contains("lb01") && text.contains("lb02"), "both claimants are named: {finding:#}");
    finding
}

fn resolved(fleet: &Fleet) {
    fleet.wait_for_holder(Some("lb01"));
    wait_for("the finding's end", SOON, || {
        Ok(fleet.coordinator.finding("split_brain.confirmed")?.is_none().then_some(()))
    })
    .unwrap();
    assert_eq!(fleet.holders(), ["lb01"]);
    let findings = fleet.coordinator.findings().unwrap();
    let of_kind: Vec<_> =
        findings.iter().filter(|finding| finding["kind"] == "split_brain.confirmed").collect();
    assert_eq!(of_kind.len(), 1, "one split brain, one finding: {findings:#?}");
    assert_eq!(of_kind[0]["status"], "resolved");
}

#[test]
fn protocol_112_filtered_is_named_and_resolved() {
    let fleet = Fleet::start(&[150, 100]);
    assert_eq!(fleet.coordinator.hactl(&["status"]).unwrap().status.code(), Some(0), "a well fleet exits 0");

    fleet.hosts[0].drop_vrrp(Direction::Both).unwrap();
    let finding = confirmed(&fleet, both_hold(&fleet));
    assert!(finding["cause"].as_str().unwrap().contains("something filters VRRP"), "{finding:#}");
    assert_eq!(fleet.coordinator.hactl(&["status"]).unwrap().status.code(), Some(1), "a split brain exits 1");
    let explained = fleet.coordinator.shown(&["explain", VIP]).unwrap();
    assert!(explained.contains("something filters VRRP"), "{explained}");

    fleet.hosts[0].pass_vrrp().unwrap();
    resolved(&fleet);
}

#[test]
fn a_one_way_filter_is_told_from_a_cut() {
    let fleet = Fleet::start(&[150, 100]);
    // lb02 hears nothing and becomes master too; lb01 hears lb02 and, being better, stays.
    fleet.hosts[1].drop_vrrp(Direction::In).unwrap();
    let finding = confirmed(&fleet, both_hold(&fleet));
    assert_eq!(finding["cause_code"], "one_way", "{finding:#}");
    fleet.hosts[1].pass_vrrp().unwrap();
    resolved(&fleet);
}

#[test]
fn a_cut_service_segment_is_told_from_a_filter() {
    let fleet = Fleet::start(&[150, 100]);
    fleet.hosts[0].isolate(Segment::Service).unwrap();
    let finding = confirmed(&fleet, both_hold(&fleet));
    assert_eq!(finding["cause_code"], "link_cut", "{finding:#}");
    fleet.hosts[0].rejoin(Segment::Service).unwrap();
    resolved(&fleet);
}
