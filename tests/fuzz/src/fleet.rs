//! The fleet's core under any sequence of inputs: nodes that say anything, in any order, about a few addresses; probes that
//! are answered, or not, or never were sent; a coordinator that restarts.
//!
//! After every input the effects are held against what findings may do in their lives (`lives`).

mod lives;
mod present;

use std::{collections::BTreeMap, time::Duration};

use hafleet_fleet::{
    ArpAnswer, Effect, Fleet, GroupKey, Input, Instant, NodeName, PROBES_MAX, Probe, ProbeId,
    RestoredFinding, Snapshot, StateChange, VrrpState, Windows,
};

use self::{
    lives::Lives,
    present::{NODES, Present, node, site},
};
use crate::{Reached, Target, draw::Draw};

/// See [`Target`].
pub const TARGET: Target = Target {
    name: "fleet",
    run,
    must_reach: &[
        "agent_lost firing",
        "agent_lost resolved",
        "config_mismatch firing",
        "config_mismatch resolved",
        "no_master firing",
        "no_master resolved",
        "orphan_vip firing",
        "orphan_vip resolved",
        "probe",
        "restored",
        "split_brain.confirmed firing",
        "split_brain.confirmed resolved",
        "split_brain.suspected firing",
        "split_brain.transient resolved",
    ],
};

/// More steps of one input show nothing that fewer do not.
const MOST_STEPS: usize = 150;
/// A fleet that looks again more often than this within a step has lost itself.
const MOST_LOOKS: usize = 2_000;

/// The bytes say what the nodes are, what they say, and when.
pub fn run(bytes: &[u8]) -> Reached {
    let mut draw = Draw::new(bytes);
    let mut world = World::new();
    for _ in 0..MOST_STEPS {
        if draw.is_empty() {
            break;
        }
        world.step(&mut draw);
    }
    world.pass(Duration::from_secs(120));
    world.look();
    world.reached
}

struct World {
    fleet: Fleet,
    now: Instant,
    present: BTreeMap<NodeName, Present>,
    lives: Lives,
    open: BTreeMap<ProbeId, Probe>,
    last_probe: ProbeId,
    reached: Reached,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            fleet: Fleet::new(Windows::default()),
            now: Instant::from_micros(1_000_000_000),
            present: (0..NODES).map(|n| (node(n), Present::new(n))).collect(),
            lives: Lives::default(),
            open: BTreeMap::new(),
            last_probe: ProbeId(0),
            reached: Reached::new(),
        };
        world.give(Input::Started);
        world
    }

    fn step(&mut self, draw: &mut Draw<'_>) {
        match draw.below(20) {
            0..=2 => self.pass(Duration::from_millis(50 * u64::from(draw.byte()))),
            3 => self.pass(Duration::from_secs(draw.pick(&[15, 60, 3_600]))),
            4..=6 => self.change_state(draw),
            7 => self.change_anything(draw),
            8 => self.everyone_says(),
            9 => self.live(1 + draw.below(8)),
            10 => {
                let name = self.node(draw);
                self.give(Input::NodeConnected { node: name.clone(), site: site(draw.byte() & 1) });
                self.say(name);
            }
            11 => {
                let node = self.node(draw);
                self.give(Input::NodeDisconnected { node });
            }
            12..=14 => self.answer_probe(draw),
            15 => {
                let node = self.node(draw);
                let probe = self.probe(draw);
                self.give(Input::ProbeNotSent { probe, node });
            }
            16 => self.restart(draw),
            _ => self.anything(draw),
        }
    }

    /// Any input, whether it makes sense now or not.
    fn anything(&mut self, draw: &mut Draw<'_>) {
        let name = self.node(draw);
        let present = self.present.get(&name).cloned().unwrap_or_else(|| Present::new(NODES));
        let input = match draw.pick(&KINDS) {
            Kind::Started => Input::Started,
            Kind::NodeKnown => {
                let last = draw.flag().then(|| present.any_snapshot(draw, self.now));
                Input::NodeKnown { node: name, site: site(draw.byte() & 1), last }
            }
            // Only what the store could have: a finding restored while it is open would be two.
            Kind::FindingRestored => return,
            Kind::FindingNumbered => self.lives.any_number(draw),
            Kind::NodeConnected => Input::NodeConnected { node: name, site: site(draw.byte() & 1) },
            Kind::NodeDisconnected => Input::NodeDisconnected { node: name },
            Kind::NodeRemoved => Input::NodeRemoved { node: name },
            Kind::Snapshot => Input::Snapshot { node: name, snapshot: present.any_snapshot(draw, self.now) },
            Kind::Transition => Input::Transition { node: name, change: present.any_change(draw) },
            Kind::Probed => Input::Probed {
                probe: self.probe(draw),
                node: name,
                snapshot: present.any_snapshot(draw, self.now),
                arp: arp(draw),
            },
            Kind::ProbeNotSent => Input::ProbeNotSent { probe: self.probe(draw), node: name },
            Kind::Deadline => Input::Deadline,
            Kind::Maintenance => Input::Maintenance { node: name, on: draw.flag() },
            Kind::Handover => {
                let group =
                    GroupKey { site: site(draw.byte() & 1), address: present::address(draw.byte() & 3) };
                Input::Handover { group, until: self.now + Duration::from_secs(draw.byte().into()) }
            }
        };
        self.give(input);
    }

    /// One of the nodes, or one that nobody knows.
    fn node(&self, draw: &mut Draw<'_>) -> NodeName {
        node(draw.below(usize::from(NODES) * 2 + 1).try_into().unwrap_or(0) % (NODES + 1))
    }

    /// One that is open, or a number that may be none's.
    fn probe(&self, draw: &mut Draw<'_>) -> ProbeId {
        let open: Vec<ProbeId> = self.open.keys().copied().collect();
        match open.len() {
            0 => ProbeId(draw.long()),
            many => open[draw.below(many)],
        }
    }

    /// A node changes its state, journals that and says so.
    fn change_state(&mut self, draw: &mut Draw<'_>) {
        let (name, now) = (self.node(draw), self.now);
        let Some(present) = self.present.get_mut(&name) else { return };
        let change: StateChange = present.enter(draw, now);
        self.give(Input::Transition { node: name.clone(), change });
        self.say(name);
    }

    fn change_anything(&mut self, draw: &mut Draw<'_>) {
        let name = self.node(draw);
        let Some(present) = self.present.get_mut(&name) else { return };
        present.edit(draw);
        self.say(name);
    }

    fn everyone_says(&mut self) {
        (0..NODES).for_each(|n| self.say(node(n)));
    }

    /// As it is meant to be: every second all say what they are, and answer what they are asked.
    fn live(&mut self, seconds: usize) {
        for _ in 0..seconds {
            self.everyone_says();
            for probe in std::mem::take(&mut self.open).into_values() {
                for node in probe.nodes {
                    let Some(present) = self.present.get(&node) else { continue };
                    let snapshot = present.snapshot(self.now);
                    self.give(Input::Probed { probe: probe.id, node, snapshot, arp: Vec::new() });
                }
            }
            self.pass(Duration::from_secs(1));
        }
    }

    fn say(&mut self, node: NodeName) {
        let Some(present) = self.present.get(&node) else { return };
        let snapshot = present.snapshot(self.now);
        self.give(Input::Snapshot { node, snapshot });
    }

    /// All those asked answer, or one of them.
    fn answer_probe(&mut self, draw: &mut Draw<'_>) {
        let id = self.probe(draw);
        let Some(probe) = self.open.get(&id).cloned() else { return };
        let arp = arp(draw);
        let only = draw.below(3);
        for (index, node) in probe.nodes.into_iter().enumerate() {
            let Some(present) = self.present.get(&node).filter(|_| only == 2 || only == index) else {
                continue;
            };
            let snapshot: Snapshot = present.snapshot(self.now);
            self.give(Input::Probed { probe: id, node, snapshot, arp: arp.clone() });
        }
    }

    /// A new coordinator, with what its store has, and perhaps a finding of a life before that.
    fn restart(&mut self, draw: &mut Draw<'_>) {
        self.fleet = Fleet::new(Windows::default());
        self.open.clear();
        self.give(Input::Started);
        for n in 0..NODES {
            let last = draw.flag().then(|| self.present[&node(n)].snapshot(self.now));
            self.give(Input::NodeKnown { node: node(n), site: site(0), last });
        }
        for input in self.lives.stored() {
            self.give(input);
        }
        if draw.flag()
            && let Some(finding) = self.lives.foreign(draw, self.now)
        {
            self.give(Input::FindingRestored(RestoredFinding { finding }));
        }
        self.reached.insert("restored".to_owned());
    }

    /// Time goes on, every deadline handled when it comes.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let mut looks = 0;
        while let Some(deadline) = self.fleet.deadline().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.give(Input::Deadline);
            looks += 1;
            assert!(looks <= MOST_LOOKS, "the fleet looks again and again within {time:?}");
        }
        self.now = until;
    }

    fn give(&mut self, input: Input) {
        let name = name(&input);
        self.fleet.handle(input, self.now);
        let mut count = 0;
        while let Some(effect) = self.fleet.next_output() {
            count += 1;
            match effect {
                Effect::Finding { finding, notify } => {
                    self.reached.insert(format!("{} {}", finding.kind, finding.status));
                    self.lives.wrote(finding, notify);
                }
                Effect::Probe(probe) => self.asked(probe),
                Effect::Fence(effect) => panic!("fencing without a policy: {effect:?}"),
            }
        }
        // Six kinds of findings for each address in each of two sites, and the nodes; all of them end and begin.
        assert!(count <= 2 * 64, "{name}: a storm of {count} effects");
        let deadline = self.fleet.deadline();
        assert!(deadline.is_none_or(|deadline| deadline > self.now), "{name} leaves a deadline that is past");
    }

    fn asked(&mut self, probe: Probe) {
        assert!(probe.id > self.last_probe, "{probe:?} has an old number");
        assert!((1..=16).contains(&probe.nodes.len()) && probe.arp_targets.len() <= 64, "{probe:?}");
        self.last_probe = probe.id;
        self.open.insert(probe.id, probe);
        while self.open.len() > PROBES_MAX {
            self.open.pop_first();
        }
        self.reached.insert("probe".to_owned());
    }

    /// What people see can be seen.
    fn look(&self) {
        let view = self.fleet.view(self.now);
        self.lives.check_view(&view);
        for group in &view.groups {
            let is_master = |name: &NodeName| {
                group
                    .members
                    .iter()
                    .any(|it| it.node == *name && it.report.state == VrrpState::Master && it.fresh)
            };
            assert!(group.holder.as_ref().is_none_or(is_master), "{group:#?}");
            let why = self.fleet.explain(&group.key, self.now);
            assert!(why.is_some_and(|why| !why.is_empty()), "{} cannot be explained", group.key);
        }
    }
}

fn arp(draw: &mut Draw<'_>) -> Vec<ArpAnswer> {
    let answers = draw.byte();
    (0..answers & 3)
        .map(|n| ArpAnswer {
            target: present::address(n),
            interface: "eth0".to_owned(),
            macs: (0..answers >> 2 & 3).map(|mac| format!("02:00:00:00:00:{mac:02x}")).collect(),
            error: if answers & 16 == 0 { String::new() } else { "no such interface".to_owned() },
        })
        .collect()
}

/// One for each kind of input.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Started,
    NodeKnown,
    FindingRestored,
    FindingNumbered,
    NodeConnected,
    NodeDisconnected,
    NodeRemoved,
    Snapshot,
    Transition,
    Probed,
    ProbeNotSent,
    Deadline,
    Maintenance,
    Handover,
}

const KINDS: [Kind; 14] = [
    Kind::Started,
    Kind::NodeKnown,
    Kind::FindingRestored,
    Kind::FindingNumbered,
    Kind::NodeConnected,
    Kind::NodeDisconnected,
    Kind::NodeRemoved,
    Kind::Snapshot,
    Kind::Transition,
    Kind::Probed,
    Kind::ProbeNotSent,
    Kind::Deadline,
    Kind::Maintenance,
    Kind::Handover,
];

/// The name of an input's kind. A kind that is not fuzzed yet does not compile here.
const fn name(input: &Input) -> &'static str {
    match input {
        Input::Started => "started",
        Input::NodeKnown { .. } => "node known",
        Input::FindingRestored(_) => "finding restored",
        Input::FindingNumbered { .. } => "finding numbered",
        Input::NodeConnected { .. } => "node connected",
        Input::NodeDisconnected { .. } => "node disconnected",
        Input::NodeRemoved { .. } => "node removed",
        Input::Snapshot { .. } => "snapshot",
        Input::Transition { .. } => "transition",
        Input::Probed { .. } => "probed",
        Input::ProbeNotSent { .. } => "probe not sent",
        // Has a target of its own, where there is a shell that carries out what it wants.
        Input::Fence(_) => "fence",
        Input::Deadline => "deadline",
        Input::Maintenance { .. } => "maintenance",
        Input::Handover { .. } => "handover",
    }
}
