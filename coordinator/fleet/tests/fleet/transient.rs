//! Overlaps that end by themselves.

use std::time::Duration;

use hafleet_fleet::{FindingKind, FindingStatus, Severity, VrrpState};

use crate::world::World;

fn overlap(world: &mut World, reason: &str, ms: u64) {
    world.enter("lb02", VrrpState::Master, reason);
    world.run(ms);
    world.enter("lb02", VrrpState::Backup, "higher_priority_heard");
    world.run(10_000);
}

#[test]
fn an_overlap_inside_the_window_is_written_once_as_information() {
    let mut world = World::new(&[150, 100]);
    overlap(&mut world, "master_down", 1_500);
    assert_eq!(world.told(), ["split_brain.transient resolved info"]);
    let finding = &world.said[0].1;
    assert_eq!(finding.id.0, "split_brain.transient@dc1/10.0.0.100#1");
    assert_eq!((finding.kind, finding.severity), (FindingKind::SplitBrainTransient, Severity::Info));
    assert_eq!(finding.status, FindingStatus::Resolved);
    let lasted = finding.resolved_at.expect("its end").since(finding.since);
    assert!(lasted.abs_diff(Duration::from_millis(1_500)) <= Duration::from_millis(20), "{lasted:?}");
    let evidence = &finding.evidence[0].summary;
    assert!(evidence.contains("lb01") && evidence.contains("lb02"), "{evidence}");
}

#[test]
fn an_election_inside_one_interval_and_a_preemption_inside_two_are_nothing() {
    let mut world = World::new(&[150, 100]);
    overlap(&mut world, "master_down", 950);
    overlap(&mut world, "preempted", 1_900);
    world.silence("an election");
}

#[test]
fn a_preemption_of_more_than_two_adverts_is_a_transient() {
    let mut world = World::new(&[150, 100]);
    for name in ["lb01", "lb02"] {
        world.edit(name, |report| report.interval = Duration::from_millis(300));
    }
    overlap(&mut world, "preempted", 550);
    world.silence("less than two adverts");
    overlap(&mut world, "preempted", 800);
    assert_eq!(world.told(), ["split_brain.transient resolved info"]);
}

#[test]
fn a_storm_of_overlaps_is_written_once_a_minute_with_their_number() {
    let mut world = World::new(&[150, 100]);
    for _ in 0..8 {
        overlap(&mut world, "master_down", 1_500);
    }
    assert_eq!(world.told().len(), 2, "{:?}", world.told());
    let second = &world.said[1].1;
    assert_eq!(second.id.0, "split_brain.transient@dc1/10.0.0.100#2");
    assert_eq!(second.evidence[0].facts["left_out_before"], "5");
}
