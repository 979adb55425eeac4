//! The coordinator dies and comes back: what was open goes on under its name, nobody is told twice.

use hafleet_fleet::{Effect, Finding, FindingKind, Fleet, Input, VrrpState, Windows};

use crate::{
    network::{ip, vip},
    world::{World, at},
};

type Scenario = (&'static str, fn(&mut World));

/// One for each kind that lasts.
const SCENARIOS: [Scenario; 8] = [
    ("split_brain.confirmed", |world| {
        world.filter("lb01", "lb02");
        world.run(4_000);
        world.enter("lb02", VrrpState::Master, "master_down");
    }),
    ("split_brain.suspected", |world| {
        world.crash("lb01");
        world.run(3_600);
        world.enter("lb02", VrrpState::Master, "master_down");
    }),
    ("no_master", |world| world.enter("lb01", VrrpState::Fault, "link_no_carrier")),
    ("config_mismatch", |world| world.edit("lb02", |report| report.vrid = 52)),
    ("config_mismatch", |world| {
        let why = ("auth_mismatch".to_owned(), "the password is not ours".to_owned());
        world.segment.rejects.insert("lb02".to_owned(), why);
    }),
    ("vrid_conflict", |world| world.segment.foreign_adverts.push((ip(77), 51, vec![ip(200)]))),
    ("orphan_vip", |world| world.edit("lb02", |report| report.addresses_present = vec![vip()])),
    ("agent_lost", |world| world.disconnect("lb02")),
];

fn facts(world: &World) -> Vec<String> {
    let line = |finding: &Finding| {
        format!(
            "{} {} {} since {} {} [{}]",
            finding.id,
            finding.status,
            finding.severity,
            finding.since.as_micros(),
            finding.summary,
            finding.cause_code
        )
    };
    world.view().findings.iter().map(line).collect()
}

fn reconnect_all(world: &mut World) {
    let names: Vec<String> =
        world.segment.hosts.iter().filter(|host| host.up).map(|host| host.name.clone()).collect();
    for name in names {
        world.connect(&name);
    }
}

#[test]
fn what_is_open_goes_on_as_if_nothing_had_happened() {
    for (kind, begin) in SCENARIOS {
        let [mut live, mut restarted] = [0, 1].map(|_| {
            let mut world = World::new(&[150, 100]);
            begin(&mut world);
            world.run(40_000);
            world
        });
        let before = facts(&live);
        assert!(before.iter().any(|line| line.starts_with(kind)), "{kind}: {before:?}");
        let told = restarted.told();
        restarted.restart_coordinator();
        assert_eq!(facts(&restarted), before, "{kind}: the same before anybody is heard");
        restarted.run(1_000);
        live.run(1_000);
        if kind != "agent_lost" {
            reconnect_all(&mut restarted);
        } else {
            restarted.connect("lb01");
        }
        for world in [&mut live, &mut restarted] {
            world.run(90_000);
        }
        assert_eq!(facts(&restarted), facts(&live), "{kind}: the same as if it had lived on");
        let escalations: Vec<_> = live.told().split_off(told.len());
        assert_eq!(restarted.told().split_off(told.len()), escalations, "{kind}: told twice");
    }
}

#[test]
fn nothing_is_resolved_by_silence_after_a_restart() {
    for (kind, begin) in SCENARIOS {
        let mut world = World::new(&[150, 100]);
        begin(&mut world);
        world.run(40_000);
        world.restart_coordinator();
        world.run(60_000);
        let open = facts(&world);
        let stem = kind.split('.').next().unwrap_or(kind);
        assert!(open.iter().any(|line| line.starts_with(stem)), "{kind}: {open:?}");
    }
}

#[test]
fn what_ended_meanwhile_is_resolved_once_the_members_are_heard() {
    let mut world = World::new(&[150, 100]);
    (SCENARIOS[0].1)(&mut world);
    world.run(5_000);
    world.restart_coordinator();
    world.segment.filtered.clear();
    let now = world.now_us;
    world.segment.host("lb02").enter(0, VrrpState::Backup, "higher_priority_heard", now);
    world.run(2_000);
    world.connect("lb01");
    world.run(5_000);
    assert!(world.firing(FindingKind::SplitBrainConfirmed).is_some(), "lb02 has not been heard yet");
    world.connect("lb02");
    world.run(2_000);
    assert_eq!(
        world.told(),
        ["split_brain.confirmed firing critical", "split_brain.confirmed resolved critical"]
    );
}

#[test]
fn numbers_go_on() {
    let mut world = World::new(&[150, 100]);
    for round in 1..=3 {
        (SCENARIOS[0].1)(&mut world);
        world.run(5_000);
        let id = world.expect(FindingKind::SplitBrainConfirmed).id.0;
        assert_eq!(id, format!("split_brain.confirmed@dc1/10.0.0.100#{round}"));
        world.segment.filtered.clear();
        world.enter("lb02", VrrpState::Backup, "higher_priority_heard");
        world.run(5_000);
        world.restart_coordinator();
        reconnect_all(&mut world);
        world.run(5_000);
    }
}

#[test]
fn a_finding_about_nobody_is_closed_after_the_grace() {
    let mut world = World::new(&[150, 100]);
    (SCENARIOS[0].1)(&mut world);
    world.run(5_000);
    world.store.snapshots.clear();
    world.restart_coordinator();
    world.run(14_000);
    assert_eq!(world.view().findings.len(), 1);
    world.run(2_000);
    assert!(world.view().findings.is_empty());
    assert_eq!(world.told().len(), 2, "and people are told: {:?}", world.told());
}

#[test]
fn the_same_inputs_give_the_same_effects() {
    let mut world = World::new(&[150, 100, 50]);
    world.delay_us = 300_000;
    for (_, begin) in SCENARIOS {
        begin(&mut world);
        world.run(10_000);
    }
    let mut fleet = Fleet::new(Windows::default());
    let mut said = Vec::new();
    let mut probes = Vec::new();
    for (input, us) in &world.inputs {
        fleet.handle(input.clone(), at(*us));
        while let Some(effect) = fleet.next_output() {
            match effect {
                Effect::Finding { finding, notify } => said.push((*us, finding, notify)),
                Effect::Probe(probe) => probes.push((*us, probe)),
                Effect::Fence(effect) => panic!("fencing without a policy: {effect:?}"),
            }
        }
    }
    assert_eq!(said, world.said);
    assert_eq!(probes, world.probes);
    assert_eq!(fleet.view(at(world.now_us)), world.view());
}

#[test]
fn a_host_that_was_set_back_to_an_older_disk_is_heard_again() {
    let mut world = World::new(&[150, 100]);
    world.disconnect("lb01");
    world.segment.host("lb01").seq = 1;
    world.connect("lb01");
    world.run(4_000);
    assert_eq!(world.group().holder.map(|node| node.0).as_deref(), Some("lb01"));
    let unknown = Input::NodeDisconnected { node: crate::world::node("nobody") };
    world.input(unknown);
    assert_eq!(world.fleet.counters().inputs_unexpected, 1);
}

/// Found by fuzzing: the number after the last one there is was a panic. The store gave it, so it cannot be refused.
#[test]
fn a_store_that_has_used_every_number_is_survived() {
    let mut world = World::new(&[150, 100]);
    let subject = format!("dc1/{}", vip());
    world.input(Input::FindingNumbered { kind: FindingKind::NoMaster, subject, last: u64::MAX });
    world.enter("lb01", VrrpState::Fault, "link_no_carrier");
    world.run(40_000);
    let finding = world.expect(FindingKind::NoMaster);
    assert!(finding.id.0.ends_with(&format!("#{}", u64::MAX)), "{}", finding.id);
}
