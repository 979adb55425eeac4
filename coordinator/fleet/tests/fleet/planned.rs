//! What people mean to do raises no alarm by itself; what goes wrong meanwhile does.

use std::time::Duration;

use hafleet_fleet::{FindingKind, Input, Refused, VrrpState, fence::FenceInput};

use crate::{
    network::{ip, vip},
    world::{World, at, group, node},
};

fn maintain(world: &mut World, name: &str, on: bool) {
    world.input(Input::Maintenance { node: node(name), on });
}

fn hand_over(world: &mut World, seconds: u64) {
    let until = at(world.now_us) + Duration::from_secs(seconds);
    world.input(Input::Handover { group: group(vip()), until });
}

#[test]
fn a_node_in_maintenance_may_fall_silent_until_it_is_over() {
    let mut world = World::new(&[150, 100]);
    maintain(&mut world, "lb02", true);
    world.crash("lb02");
    world.run(120_000);
    world.silence("maintenance");
    maintain(&mut world, "lb02", false);
    world.run(1_000);
    assert_eq!(world.told(), ["agent_lost firing warning"], "it has been silent all the while");
}

#[test]
fn what_fired_before_the_maintenance_goes_on_and_ends_as_ever() {
    let mut world = World::new(&[150, 100]);
    world.crash("lb02");
    world.run(40_000);
    assert_eq!(world.told(), ["agent_lost firing warning"]);
    maintain(&mut world, "lb02", true);
    world.run(60_000);
    assert!(world.firing(FindingKind::AgentLost).is_some());
    world.segment.host("lb02").up = true;
    world.connect("lb02");
    world.run(5_000);
    assert_eq!(world.told(), ["agent_lost firing warning", "agent_lost resolved warning"]);
}

#[test]
fn a_node_that_nobody_knows_yet_is_in_maintenance_when_it_comes() {
    let mut world = World::new(&[150, 100]);
    world.input(Input::NodeRemoved { node: node("lb02") });
    maintain(&mut world, "lb02", true);
    world.connect("lb02");
    world.run(5_000);
    world.crash("lb02");
    world.run(60_000);
    assert!(world.firing(FindingKind::AgentLost).is_none(), "{:?}", world.told());
}

#[test]
fn configurations_are_worked_on_in_maintenance() {
    let mut world = World::new(&[150, 100]);
    maintain(&mut world, "lb02", true);
    world.edit("lb02", |report| report.interval = Duration::from_secs(2));
    world.run(10_000);
    world.silence("a change in maintenance");
    let mut snapshot = world.segment.host("lb02").snapshot(world.now_us);
    snapshot.refused = Some(Refused { why: "lb02.conf:3: no".to_owned(), age: Duration::ZERO });
    world.input(Input::Snapshot { node: node("lb02"), snapshot });
    world.silence("a refused configuration in maintenance");
    maintain(&mut world, "lb02", false);
    world.run(10_000);
    assert!(world.told().contains(&"config_mismatch firing warning".to_owned()), "{:?}", world.told());
}

#[test]
fn nobody_holds_what_everybody_is_in_maintenance_for() {
    let mut world = World::new(&[150, 100]);
    for name in ["lb01", "lb02"] {
        maintain(&mut world, name, true);
        world.enter(name, VrrpState::Fault, "held");
    }
    world.run(30_000);
    world.silence("a group in maintenance");
    maintain(&mut world, "lb02", false);
    world.run(10_000);
    assert_eq!(world.told(), ["no_master firing critical"], "lb02 should hold it by now");
}

#[test]
fn one_member_that_should_hold_and_does_not_is_an_outage_whoever_else_is_in_maintenance() {
    let mut world = World::new(&[150, 100]);
    maintain(&mut world, "lb01", true);
    world.enter("lb01", VrrpState::Fault, "held");
    world.enter("lb02", VrrpState::Fault, "link_no_carrier");
    world.run(10_000);
    assert_eq!(world.told(), ["no_master firing critical"]);
}

#[test]
fn an_overlap_of_a_handover_is_meant() {
    for meant in [true, false] {
        let mut world = World::new(&[150, 100]);
        if meant {
            hand_over(&mut world, 20);
        }
        world.enter("lb02", VrrpState::Master, "taken_over");
        world.run(1_500);
        world.enter("lb01", VrrpState::Backup, "higher_priority_heard");
        if meant {
            hand_over(&mut world, 0);
        }
        world.run(10_000);
        let told = world.told();
        if meant {
            assert_eq!(told, [] as [&str; 0]);
        } else {
            assert_eq!(told, ["split_brain.transient resolved info"]);
        }
    }
}

#[test]
fn a_split_brain_is_one_in_a_handover_too() {
    let mut world = World::new(&[150, 100]);
    hand_over(&mut world, 20);
    world.filter("lb01", "lb02");
    world.enter("lb02", VrrpState::Master, "taken_over");
    world.run_until(10_000, "split brain", |world| world.firing(FindingKind::SplitBrainConfirmed).is_some());
}

#[test]
fn a_handover_holds_no_master_back_until_it_is_over_and_never_for_long() {
    let mut world = World::new(&[150, 100]);
    // As from somebody who never says that it is over.
    hand_over(&mut world, 100_000);
    world.enter("lb01", VrrpState::Fault, "link_no_carrier");
    world.enter("lb02", VrrpState::Fault, "link_no_carrier");
    world.run(58_000);
    world.silence("a handover");
    world.run(3_000);
    assert_eq!(world.told(), ["no_master firing critical"]);

    let mut world = World::new(&[150, 100]);
    hand_over(&mut world, 20);
    world.enter("lb01", VrrpState::Fault, "link_no_carrier");
    world.enter("lb02", VrrpState::Fault, "link_no_carrier");
    world.run(9_000);
    world.silence("a handover");
    hand_over(&mut world, 0);
    assert_eq!(world.told(), ["no_master firing critical"], "at once: the window is over");
}

/// An apply is under way on both, or no more.
fn commit(world: &mut World, on: bool) {
    for name in ["lb01", "lb02"] {
        world.input(Input::Fence(FenceInput::Committing { node: node(name), on }));
    }
}

#[test]
fn a_group_that_gets_another_address_is_renumbered_in_silence() {
    let mut world = World::new(&[150, 100]);
    commit(&mut world, true);
    // The backup comes first: for a while nobody holds the new address, and the members differ.
    world.edit("lb02", |report| report.addresses = vec![(ip(101), 24)]);
    world.run(30_000);
    world.silence("an apply");
    world.edit("lb01", |report| {
        report.addresses = vec![(ip(101), 24)];
        report.addresses_present = vec![ip(101)];
    });
    world.run(2_000);
    commit(&mut world, false);
    world.run(30_000);
    world.silence("its end");
}

#[test]
fn what_an_apply_leaves_behind_is_told_when_it_is_over() {
    let mut world = World::new(&[150, 100]);
    commit(&mut world, true);
    world.edit("lb02", |report| report.addresses = vec![(ip(101), 24)]);
    world.run(30_000);
    world.silence("an apply");
    commit(&mut world, false);
    let mut told = world.told();
    told.sort();
    assert_eq!(told, ["config_mismatch firing warning", "no_master firing critical"], "at once");
}

#[test]
fn an_address_that_an_apply_makes_everybody_give_up_is_told_at_once() {
    let mut world = World::new(&[150, 100]);
    commit(&mut world, true);
    world.enter("lb01", VrrpState::Fault, "link_no_carrier");
    world.enter("lb02", VrrpState::Fault, "link_no_carrier");
    world.run(9_000);
    assert_eq!(world.told(), ["no_master firing critical"]);
}
