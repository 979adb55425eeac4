//! Nodes that are not heard from.

use hafleet_fleet::{CauseCode, FindingKind, Input, Severity, VrrpState};

use crate::world::{World, node, site};

const LOST: FindingKind = FindingKind::AgentLost;

#[test]
fn thirty_seconds_of_silence_and_not_less() {
    let mut world = World::new(&[150, 100]);
    world.disconnect("lb02");
    world.run(28_900);
    world.silence("less than thirty seconds");
    world.run_until(1_200, "lost", |world| world.firing(LOST).is_some());
    let finding = world.expect(LOST);
    assert_eq!(finding.id.0, "agent_lost@node/lb02#1");
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!(finding.cause_code, CauseCode::NodeUnreachable);
    world.connect("lb02");
    world.run(1_500);
    assert_eq!(world.told(), ["agent_lost firing warning", "agent_lost resolved warning"]);
}

#[test]
fn a_frozen_agent_on_an_open_stream_is_lost_as_stalled() {
    let mut world = World::new(&[150, 100]);
    world.segment.host("lb02").agent = false;
    world.run(32_000);
    assert_eq!(world.expect(LOST).cause_code, CauseCode::AgentStalled);
}

#[test]
fn a_planned_stop_is_information_with_its_cause() {
    let mut world = World::new(&[150, 100]);
    world.enter("lb02", VrrpState::Init, "stopped");
    world.disconnect("lb02");
    world.run(32_000);
    let finding = world.expect(LOST);
    assert_eq!((finding.severity, finding.cause_code), (Severity::Info, CauseCode::StoppedOnPurpose));
    assert!(finding.cause.contains("stopped on purpose"), "{}", finding.cause);
}

#[test]
fn a_node_that_was_never_heard_is_not_lost() {
    let mut world = World::new(&[150]);
    world.input(Input::NodeKnown { node: node("lb09"), site: site(), last: None });
    world.run(120_000);
    world.silence("a token that was not used yet");
    assert_eq!(world.view().nodes.len(), 2);
}

#[test]
fn after_a_start_silence_is_counted_from_the_start() {
    let mut world = World::new(&[150, 100]);
    world.run(5_000);
    world.restart_coordinator();
    world.run(29_000);
    world.silence("thirty seconds that are not over");
    world.run(2_000);
    let lost = world.view().findings.iter().filter(|finding| finding.kind == LOST).count();
    assert_eq!(lost, 2, "both were known from the store and neither came back");
}

#[test]
fn a_removed_node_is_not_lost_but_gone() {
    let mut world = World::new(&[150, 100]);
    world.disconnect("lb02");
    world.run(31_000);
    world.expect(LOST);
    world.input(Input::NodeRemoved { node: node("lb02") });
    assert!(world.firing(LOST).is_none());
    assert_eq!(world.told().len(), 2, "{:?}", world.told());
    assert_eq!(world.group().members.len(), 1);
    world.run(60_000);
    assert_eq!(world.told().len(), 2, "{:?}", world.told());
}
