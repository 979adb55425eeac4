//! What different nodes say at the same instant may come in any order.

use std::collections::BTreeMap;

use hafleet_fleet::{Effect, Fleet, Input, NodeName, VrrpState, Windows};

use crate::{chance::Chance, world::World, world::at};

/// Who says it; inputs of one node keep their order, and those of nobody in particular are alone.
fn speaker(input: &Input) -> Option<NodeName> {
    match input {
        Input::NodeKnown { node, .. }
        | Input::NodeConnected { node, .. }
        | Input::NodeDisconnected { node }
        | Input::NodeRemoved { node }
        | Input::Snapshot { node, .. }
        | Input::Transition { node, .. }
        | Input::ProbeNotSent { node, .. }
        | Input::Maintenance { node, .. }
        | Input::Probed { node, .. } => Some(node.clone()),
        Input::Started
        | Input::FindingRestored(_)
        | Input::FindingNumbered { .. }
        | Input::Handover { .. }
        | Input::Fence(_)
        | Input::Deadline => None,
    }
}

/// The same story with another order of speakers within each instant.
fn shuffled(inputs: &[(Input, u64)], chance: &mut Chance) -> Vec<(Input, u64)> {
    let mut story = Vec::new();
    for instant in inputs.chunk_by(|a, b| a.1 == b.1) {
        let mut by_speaker: BTreeMap<Option<NodeName>, Vec<(Input, u64)>> = BTreeMap::new();
        for said in instant {
            by_speaker.entry(speaker(&said.0)).or_default().push(said.clone());
        }
        let common = by_speaker.remove(&None).unwrap_or_default();
        let (first, last): (Vec<_>, Vec<_>) =
            common.into_iter().partition(|(input, _)| *input != Input::Deadline);
        story.extend(first);
        let mut speakers: Vec<_> = by_speaker.into_values().collect();
        while !speakers.is_empty() {
            let chosen = chance.below(speakers.len() as u64) as usize;
            story.extend(speakers.swap_remove(chosen));
        }
        story.extend(last);
    }
    story
}

/// Every change of every finding, and what is open in the end.
fn outcome(inputs: &[(Input, u64)], end_us: u64) -> (Vec<String>, Vec<String>) {
    let mut fleet = Fleet::new(Windows::default());
    let mut told = Vec::new();
    for (input, us) in inputs {
        fleet.handle(input.clone(), at(*us));
        while let Some(effect) = fleet.next_output() {
            if let Effect::Finding { finding, notify: true } = effect {
                let (id, status, severity) = (finding.id, finding.status, finding.severity);
                told.push(format!("{us} {id} {status} {severity} since {}", finding.since.as_micros()));
            }
        }
    }
    told.sort();
    let open = fleet.view(at(end_us)).findings;
    (
        told,
        open.iter()
            .map(|finding| format!("{} {} [{}]", finding.id, finding.summary, finding.cause_code))
            .collect(),
    )
}

fn assert_any_order(world: &World, seeds: std::ops::Range<u64>) {
    let expected = outcome(&world.inputs, world.now_us);
    assert!(!expected.0.is_empty(), "a story in which something happens");
    for seed in seeds {
        let story = shuffled(&world.inputs, &mut Chance::new(seed));
        assert_eq!(outcome(&story, world.now_us), expected, "seed {seed}");
    }
}

#[test]
fn a_split_brain_is_the_same_in_any_order() {
    let mut world = World::new(&[150, 100, 50]);
    for (a, b) in [("lb01", "lb02"), ("lb01", "lb03"), ("lb02", "lb03")] {
        world.filter(a, b);
    }
    world.run(4_000);
    world.enter("lb03", VrrpState::Master, "master_down");
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run(20_000);
    world.disconnect("lb01");
    world.run(20_000);
    world.enter("lb02", VrrpState::Backup, "higher_priority_heard");
    world.run(10_000);
    assert_any_order(&world, 0..40);
}

#[test]
fn all_other_findings_are_the_same_in_any_order() {
    let mut world = World::new(&[150, 100, 50]);
    world.edit("lb02", |report| report.vrid = 52);
    world.edit("lb03", |report| report.addresses_present = vec![crate::network::vip()]);
    world.run(8_000);
    world.enter("lb01", VrrpState::Fault, "link_no_carrier");
    world.run(10_000);
    world.disconnect("lb02");
    world.disconnect("lb03");
    world.run(40_000);
    world.connect("lb03");
    world.run(10_000);
    assert_any_order(&world, 0..40);
}
