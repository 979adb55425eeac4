//! What must not alert.

use std::time::Duration;

use hafleet_fleet::{FindingKind, VrrpState, view::GroupState};

use crate::{
    network::{MS, SECOND},
    world::World,
};

#[test]
fn a_healthy_fleet_says_and_asks_nothing() {
    let mut world = World::new(&[150, 100, 50]);
    world.run(120_000);
    world.silence("health");
    assert!(world.probes.is_empty());
    let group = world.group();
    assert_eq!(group.state, GroupState::Ok);
    assert_eq!(group.holder.map(|node| node.0).as_deref(), Some("lb01"));
    assert_eq!(
        group.since.map(|since| since.as_micros()),
        Some(0),
        "since it became MASTER, not since it was heard"
    );
}

#[test]
fn a_preemption_overlap_of_one_advert_is_nothing_at_all() {
    let mut world = World::new(&[150, 100]);
    world.enter("lb01", VrrpState::Fault, "link_no_carrier");
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run(10_000);
    world.enter("lb01", VrrpState::Backup, "link_restored");
    world.run(4_000);
    world.enter("lb01", VrrpState::Master, "preempted");
    world.run(1_000);
    world.enter("lb02", VrrpState::Backup, "higher_priority_heard");
    world.run(60_000);
    world.silence("an overlap of one advert");
}

#[test]
fn a_planned_switchover_is_nothing() {
    let mut world = World::new(&[150, 100]);
    for _ in 0..5 {
        world.enter("lb01", VrrpState::Init, "stopped");
        world.run(600);
        world.enter("lb02", VrrpState::Master, "master_resigned");
        world.run(20_000);
        world.enter("lb01", VrrpState::Backup, "started");
        world.run(3_500);
        world.enter("lb01", VrrpState::Master, "preempted");
        world.enter("lb02", VrrpState::Backup, "higher_priority_heard");
        world.run(20_000);
    }
    world.silence("a switchover");
}

#[test]
fn news_that_overtake_each_other_are_nothing() {
    let mut world = World::new(&[150, 100]);
    // lb02's news arrive at once, lb01's are 400 ms on their way.
    let now = world.now_us;
    world.segment.host("lb01").enter(0, VrrpState::Init, "stopped", now);
    world.enter("lb02", VrrpState::Master, "master_resigned");
    world.run(400);
    world.say("lb01");
    world.run(30_000);
    world.silence("a late message");
}

#[test]
fn an_old_snapshot_after_a_new_one_is_ignored_and_counted() {
    let mut world = World::new(&[150, 100]);
    let now = world.now_us;
    let old = world.segment.host("lb01").snapshot(now);
    world.enter("lb01", VrrpState::Backup, "higher_priority_heard");
    world.enter("lb02", VrrpState::Master, "preempted");
    for _ in 0..10 {
        world.run(500);
        let node = crate::world::node("lb01");
        world.send("lb01", hafleet_fleet::Input::Snapshot { node, snapshot: old.clone() });
        assert_eq!(world.group().holder.map(|node| node.0).as_deref(), Some("lb02"));
    }
    world.silence("an old snapshot");
    assert_eq!(world.fleet.counters().snapshots_out_of_order, 10);
}

#[test]
fn a_stale_master_is_never_counted_as_one() {
    let mut world = World::new(&[150, 100]);
    // Only the management line of lb01 is down; VRRP goes on.
    world.disconnect("lb01");
    world.run(5_000);
    let group = world.group();
    assert_eq!(group.holder, None);
    assert_eq!(group.state, GroupState::Unknown);
    assert!(group.members.iter().any(|member| member.node.0 == "lb01" && !member.fresh));
    world.silence("a stale master alone");
    assert!(world.explain().contains("lb01 is stale"), "{}", world.explain());
    world.connect("lb01");
    world.run(60_000);
    world.silence("its return");
}

#[test]
fn an_agent_that_stops_talking_on_an_open_stream_is_stale() {
    let mut world = World::new(&[150, 100]);
    world.segment.host("lb02").agent = false;
    world.run(4_000);
    let view = world.view();
    let frozen = view.nodes.iter().find(|node| node.node.0 == "lb02").expect("lb02");
    assert!(frozen.connected && !frozen.fresh);
}

/// The agent and its host stand still, another takes over, and then both are MASTER until the first advert is heard.
fn freeze(interval_ms: u64, frozen_ms: u64) -> World {
    let mut world = World::new(&[150, 100]);
    for name in ["lb01", "lb02"] {
        world.edit(name, |report| {
            report.interval = Duration::from_millis(interval_ms);
            report.master_down = report.interval * 3 + report.interval / 2;
        });
    }
    world.run(2_000);
    world.segment.host("lb01").agent = false;
    world.run(interval_ms * 7 / 2);
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run(frozen_ms - interval_ms * 7 / 2);
    world.segment.host("lb01").agent = true;
    // The first thing the thawed agent says may still be that it is MASTER, even as an answer to old questions.
    world.say("lb01");
    world.run(50);
    world.enter("lb02", VrrpState::Backup, "higher_priority_heard");
    world.run(60_000);
    world
}

#[test]
fn a_frozen_machine_is_at_most_a_transient() {
    for interval_ms in [100, 200, 1_000] {
        for frozen_ms in [1_600, 2_000, 2_300, 2_700, 3_100, 4_000, 5_000, 5_900, 7_000, 9_000] {
            if frozen_ms < interval_ms * 7 / 2 {
                continue;
            }
            let world = freeze(interval_ms, frozen_ms);
            let confirmed =
                world.said.iter().any(|(_, finding, _)| finding.kind == FindingKind::SplitBrainConfirmed);
            assert!(!confirmed, "interval {interval_ms} ms, frozen for {frozen_ms} ms: {:#?}", world.said);
            assert!(
                world.view().findings.is_empty(),
                "and nothing is left of it: {:#?}",
                world.view().findings
            );
        }
    }
}

#[test]
fn a_restart_of_the_coordinator_is_nothing() {
    let mut world = World::new(&[150, 100, 50]);
    for _ in 0..3 {
        world.restart_coordinator();
        world.run(1_000);
        world.connect("lb02");
        world.run(9_000);
        world.connect("lb01");
        world.run(13_000);
        world.connect("lb03");
        world.run(20_000);
    }
    world.silence("a restart");
}

#[test]
fn an_address_that_is_still_there_for_a_moment_is_no_orphan() {
    let mut world = World::new(&[150, 100]);
    world.enter("lb01", VrrpState::Backup, "higher_priority_heard");
    world.edit("lb01", |report| report.addresses_present = vec![crate::network::vip()]);
    world.enter("lb02", VrrpState::Master, "preempted");
    world.run(1_500);
    world.edit("lb01", |report| report.addresses_present.clear());
    world.run(10_000);
    world.silence("a moment");
}

#[test]
fn a_config_that_reaches_one_member_after_the_other_is_no_mismatch() {
    let mut world = World::new(&[150, 100]);
    world.edit("lb01", |report| report.interval = Duration::from_millis(500));
    world.run(4_000);
    world.edit("lb02", |report| report.interval = Duration::from_millis(500));
    world.run(30_000);
    world.silence("a rollout");
}

#[test]
fn a_boot_of_everything_is_nothing() {
    let mut world = World::silent(&[150, 100]);
    world.segment.elects = true;
    for host in &mut world.segment.hosts {
        host.instances[0].heard_master_us = world.now_us;
    }
    world.connect_all();
    world.run(60_000);
    world.silence("a boot");
    assert_eq!(world.group().state, GroupState::Ok);
}

#[test]
fn a_failover_between_three_leaves_no_rivals() {
    let mut world = World::new(&[150, 100, 50]);
    world.segment.elects = true;
    for host in &mut world.segment.hosts {
        host.instances[0].heard_master_us = world.now_us;
    }
    world.delay_us = 200 * MS;
    for _ in 0..5 {
        let now = world.now_us;
        world.segment.host("lb01").enter(0, VrrpState::Fault, "link_no_carrier", now);
        world.tell_change("lb01");
        world.run(10_000);
        let now = world.now_us;
        world.segment.host("lb01").enter(0, VrrpState::Backup, "link_restored", now);
        world.tell_change("lb01");
        world.run(10_000);
    }
    world.silence("a failover");
    assert!(world.now_us > 1000 * SECOND);
}

#[test]
fn virtual_macs_are_no_foreign_hosts() {
    let mut world = World::new(&[150, 100, 50, 20]);
    world.crash("lb01");
    world.segment.foreign.push(("00:00:5e:00:01:33".to_owned(), crate::network::vip()));
    world.run(3_600);
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run(20_000);
    assert!(world.firing(FindingKind::SplitBrainConfirmed).is_none(), "{:#?}", world.view().findings);
}
