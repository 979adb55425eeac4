//! Whatever happens, in whatever order: what must always be so.

use std::collections::{BTreeMap, BTreeSet};

use hafleet_fleet::{Finding, FindingKind, FindingStatus, Input, ProbeId, Severity, Snapshot, VrrpState};
use proptest::prelude::*;

use crate::world::{World, node, site};

const HOSTS: [&str; 2] = ["lb01", "lb02"];
const REASONS: [&str; 4] = ["master_down", "preempted", "higher_priority_heard", "stopped"];

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Enter(usize, VrrpState, usize),
    Connect(usize),
    Disconnect(usize),
    Freeze(usize),
    Thaw(usize),
    Answers(usize, bool),
    Filter,
    Cut,
    Heal,
    Orphan(usize),
    Vrid(usize, u8),
    Old(usize),
    Noise(u64),
    Remove(usize),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let host = || 0..HOSTS.len();
    let state = prop_oneof![
        4 => Just(VrrpState::Master),
        3 => Just(VrrpState::Backup),
        1 => Just(VrrpState::Fault),
        1 => Just(VrrpState::Init),
    ];
    let step = prop_oneof![
        8 => (1_u64..6_000).prop_map(Step::Wait),
        8 => (host(), state, 0..REASONS.len()).prop_map(|(host, state, reason)| Step::Enter(host, state, reason)),
        3 => host().prop_map(Step::Connect),
        2 => host().prop_map(Step::Disconnect),
        2 => host().prop_map(Step::Freeze),
        2 => host().prop_map(Step::Thaw),
        1 => (host(), any::<bool>()).prop_map(|(host, answers)| Step::Answers(host, answers)),
        1 => Just(Step::Filter),
        1 => Just(Step::Cut),
        1 => Just(Step::Heal),
        1 => host().prop_map(Step::Orphan),
        1 => (host(), 51_u8..53).prop_map(|(host, vrid)| Step::Vrid(host, vrid)),
        2 => host().prop_map(Step::Old),
        1 => any::<u64>().prop_map(Step::Noise),
        1 => host().prop_map(Step::Remove),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Wait(ms) => world.run(ms),
        Step::Enter(host, state, reason) => world.enter(HOSTS[host], state, REASONS[reason]),
        Step::Connect(host) => world.connect(HOSTS[host]),
        Step::Disconnect(host) => world.disconnect(HOSTS[host]),
        Step::Freeze(host) => world.segment.host(HOSTS[host]).agent = false,
        Step::Thaw(host) => world.segment.host(HOSTS[host]).agent = true,
        Step::Answers(host, answers) => {
            if let Some(uplink) = world.uplinks.get_mut(HOSTS[host]) {
                uplink.answers = answers;
            }
        }
        Step::Filter => world.filter("lb01", "lb02"),
        Step::Cut => world.cut("lb01", "lb02"),
        Step::Heal => {
            world.segment.filtered.clear();
            world.segment.cut.clear();
        }
        Step::Orphan(host) => {
            world.edit(HOSTS[host], |report| report.addresses_present = vec![crate::network::vip()])
        }
        Step::Vrid(host, vrid) => world.edit(HOSTS[host], |report| report.vrid = vrid),
        Step::Old(host) => {
            let now = world.now_us;
            let mut old = world.segment.host(HOSTS[host]).snapshot(now);
            old.seq = old.seq.saturating_sub(2);
            old.instances.iter_mut().for_each(|it| it.state = VrrpState::Master);
            world.send(HOSTS[host], Input::Snapshot { node: node(HOSTS[host]), snapshot: old });
        }
        Step::Noise(number) => {
            let snapshot = Snapshot { seq: number, ..Snapshot::default() };
            let stranger = node("stranger");
            world.input(Input::Probed {
                probe: ProbeId(number),
                node: stranger.clone(),
                snapshot,
                arp: Vec::new(),
            });
            world.input(Input::NodeRemoved { node: stranger });
            world.input(Input::Deadline);
        }
        Step::Remove(host) => {
            world.disconnect(HOSTS[host]);
            world.input(Input::NodeRemoved { node: node(HOSTS[host]) });
            world.store.snapshots.remove(HOSTS[host]);
        }
        Step::Restart => world.restart_coordinator(),
    }
}

/// Two nodes asserted MASTER in an answer to a probe since the overlap began, and in their last snapshots.
fn assert_proven(world: &World, us: u64, finding: &Finding) {
    let mut last: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    for (input, at_us) in world.inputs.iter().filter(|(_, at_us)| *at_us <= us) {
        let masters = |snapshot: &Snapshot| snapshot.instances.iter().any(|it| it.state == VrrpState::Master);
        match input {
            Input::Snapshot { node, snapshot } => {
                let known = last.entry(node.0.clone()).or_default();
                known.0 = masters(snapshot) || known.0 && *at_us < finding.since.as_micros();
            }
            Input::Probed { node, snapshot, .. } => {
                let known = last.entry(node.0.clone()).or_default();
                known.1 |= masters(snapshot) && *at_us > finding.since.as_micros();
            }
            Input::NodeDisconnected { node } => drop(last.remove(&node.0)),
            Input::Started
            | Input::NodeKnown { .. }
            | Input::FindingRestored(_)
            | Input::FindingNumbered { .. }
            | Input::NodeConnected { .. }
            | Input::NodeRemoved { .. }
            | Input::Transition { .. }
            | Input::ProbeNotSent { .. }
            | Input::Maintenance { .. }
            | Input::Handover { .. }
            | Input::Fence(_)
            | Input::Deadline => {}
        }
    }
    let proven = last.values().filter(|(asserts, answered)| *asserts && *answered).count();
    assert!(proven >= 2, "confirmed at {us} without two claims: {last:?} {finding:#?}");
}

fn assert_lives(world: &World) {
    let mut told: BTreeSet<(String, FindingStatus, Severity)> = BTreeSet::new();
    let mut over: BTreeSet<String> = BTreeSet::new();
    for (us, finding, notify) in &world.said {
        assert!(!over.contains(&finding.id.0), "{us}: something is said about {} after its end", finding.id);
        assert_ne!(finding.status, FindingStatus::Pending, "what is pending is not written");
        assert_eq!(finding.resolved_at.is_some(), finding.status == FindingStatus::Resolved);
        assert!(finding.resolved_at.is_none_or(|end| end >= finding.since), "{finding:#?}");
        assert!(finding.evidence.len() <= 32 && !finding.summary.is_empty());
        if finding.status == FindingStatus::Resolved {
            over.insert(finding.id.0.clone());
        }
        if *notify {
            let state = (finding.id.0.clone(), finding.status, finding.severity);
            assert!(told.insert(state), "{us}: told twice of {} {}", finding.id, finding.status);
        }
    }
}

/// Everything is put right, and all of it ends.
fn heal(world: &mut World) {
    world.segment.filtered.clear();
    world.segment.cut.clear();
    for host in HOSTS {
        let source = world.segment.host(host).ip;
        let now = world.now_us;
        let it = world.segment.host(host);
        (it.agent, it.up) = (true, true);
        it.instances[0].report.vrid = 51;
        it.instances[0].report.source = Some(source);
        let state = if host == "lb01" { VrrpState::Master } else { VrrpState::Backup };
        it.enter(0, state, "preempted", now);
        world.connect(host);
    }
    world.run(20_000);
    assert_eq!(world.view().findings, [], "all is well, so all is over");
    assert_eq!(world.group().holder, Some(node("lb01")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_false_proof_no_second_telling_and_an_end(steps in steps()) {
        let mut world = World::new(&[150, 100]);
        let mut checked = 0;
        for step in steps {
            take(&mut world, step);
            for (us, finding, notify) in world.said.split_at(checked).1 {
                let begins = finding.kind == FindingKind::SplitBrainConfirmed && finding.status == FindingStatus::Firing;
                if begins && *notify {
                    assert_proven(&world, *us, finding);
                }
            }
            checked = world.said.len();
            assert_lives(&world);
        }
        heal(&mut world);
        assert_lives(&world);
        let _ = site();
    }
}
