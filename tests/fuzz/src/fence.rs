//! Fencing under any sequence of inputs: hosts that elect each other over lines that are cut, programs and agents that answer
//! anything to anything at any time, people who ask for anything, stores that are away, leaders that change and epochs that lie.
//!
//! Every effect is held against what may never be: two operations against one target, a step that is not written down, the last
//! good node taken, anybody fenced for having fallen silent, or in a mode that says no.

mod hosts;
mod shell;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hafleet_fleet::{
    Effect, Finding, FindingStatus, Fleet, Input, Instant, NodeName, RestoredFinding, Windows,
    fence::{
        Consent, Device, FenceEffect, FenceInput, FencePolicy, FenceVerb, Level, Mode, Operation,
        OperationId, Outcome, Reading, Rung, Standing, Trace,
    },
};

use self::hosts::{Host, NODES, node, site};
use crate::{Reached, Target, draw::Draw};

/// See [`Target`].
pub const TARGET: Target = Target {
    name: "fence",
    run,
    must_reach: &[
        "step demote",
        "step network off",
        "step power off",
        "withdraw",
        "announce",
        "restored",
        "write refused",
        "awaiting_approval",
        "demoting",
        "denied",
        "escalating",
        "failed",
        "fenced",
        "quarantined",
        "released",
        "resolved",
        "unknown",
    ],
};

/// More steps of one input show nothing that fewer do not.
const MOST_STEPS: usize = 120;
/// A fleet that looks again more often than this within a step has lost itself.
const MOST_LOOKS: usize = 2_000;
/// Far more than one input can lead to: each operation goes a few edges, each with a row and a line of the audit log.
const MOST_EFFECTS: usize = 256;
const STEP: Duration = Duration::from_millis(500);
const LEVELS: [Level; 3] = [Level::Demote, Level::Device(Rung::Network), Level::Device(Rung::Power)];
const OUTCOMES: [Outcome; 4] = [Outcome::Done, Outcome::Failed, Outcome::TimedOut, Outcome::Unknown];

/// The bytes say what happens, what is answered, and when.
pub fn run(bytes: &[u8]) -> Reached {
    let mut draw = Draw::new(bytes);
    let mut world = World::new(draw.pick(&[Mode::Auto, Mode::Approve, Mode::DryRun, Mode::Disabled]));
    for _ in 0..MOST_STEPS {
        if draw.is_empty() {
            break;
        }
        world.step(&mut draw);
    }
    world.live(&mut draw, 60);
    // What people see can be seen.
    assert!(world.fleet.fences().operations.len() <= 256);
    world.reached
}

struct World {
    fleet: Fleet,
    now: Instant,
    hosts: Vec<Host>,
    /// From whom nothing gets to whom.
    cut: BTreeSet<(usize, usize)>,
    policy: FencePolicy,
    /// The epoch of the lease in the store.
    lease: u64,
    rows: BTreeMap<OperationId, Operation>,
    standing: Standing,
    findings: BTreeMap<String, Finding>,
    database: bool,
    queue: Vec<FenceEffect>,
    committing: BTreeSet<NodeName>,
    maintenance: BTreeSet<NodeName>,
    /// Every revision that was committed.
    committed: Vec<(Option<OperationId>, u64)>,
    reached: Reached,
}

impl World {
    fn new(mode: Mode) -> Self {
        let mut policy = FencePolicy { mode, ..FencePolicy::default() };
        for number in 0..NODES {
            let device = |rung: Rung| (rung, Device(format!("{rung} of {}", node(number))));
            policy.devices.insert(node(number), [Rung::Network, Rung::Power].map(device).into());
        }
        let windows = &mut policy.windows;
        for (window, seconds) in [
            (&mut windows.grace, 2),
            (&mut windows.confirm, 6),
            (&mut windows.cool_down, 20),
            (&mut windows.rate, 60),
            (&mut windows.poll, 1),
            (&mut windows.step, 5),
            (&mut windows.escalate, 20),
            (&mut windows.act, 10),
            (&mut windows.path, 10),
            (&mut windows.aftercare, 10),
        ] {
            *window = Duration::from_secs(seconds);
        }
        policy.limits.polls = 4;
        let mut world = Self {
            fleet: Fleet::new(windows_of_fleet()),
            now: Instant::from_micros(1_000_000_000),
            hosts: (0..NODES).map(Host::new).collect(),
            cut: BTreeSet::new(),
            policy,
            lease: 0,
            rows: BTreeMap::new(),
            standing: Standing::default(),
            findings: BTreeMap::new(),
            database: true,
            queue: Vec::new(),
            committing: BTreeSet::new(),
            maintenance: BTreeSet::new(),
            committed: Vec::new(),
            reached: Reached::new(),
        };
        world.give(Input::Started);
        world.lead();
        (0..NODES).for_each(|number| world.connect(number));
        let mut nothing = Draw::new(&[]);
        world.live(&mut nothing, 12);
        world
    }

    fn step(&mut self, draw: &mut Draw<'_>) {
        let (a, b) = (draw.below(NODES), draw.below(NODES));
        match draw.below(24) {
            0..=7 => {
                let steps = 1 + draw.below(64);
                self.live(draw, steps);
            }
            8 => drop(self.cut.insert((a, b))),
            9 => self.cut.extend([(a, b), (b, a)]),
            10 => self.cut.clear(),
            11 => self.disconnect(a),
            12 => (0..NODES).for_each(|number| self.connect(number)),
            13 => self.crash(a),
            14 => self.boot(),
            15 => self.hosts[a].disobedient = !self.hosts[a].disobedient,
            16 => match b {
                0 => self.hosts[a].gateway = !self.hosts[a].gateway,
                1 => self.maintain(a, draw.flag()),
                _ => self.commit(a, draw.flag()),
            },
            17 => self.database = !self.database,
            18 => self.restart(),
            19 => match b {
                0 => self.lead(),
                // Somebody else has the lease, and this coordinator does not know.
                1 => self.lease += 1,
                _ => self.fence(FenceInput::NotLeader),
            },
            20 | 21 => self.person(a, draw),
            _ => self.anything(a, draw),
        }
    }

    /// Time goes on, half a second at a time.
    fn live(&mut self, draw: &mut Draw<'_>, steps: usize) {
        let answers = draw.byte();
        for step in 0..steps {
            self.pass(STEP);
            self.elect();
            if step % 2 == 0 {
                (0..NODES).for_each(|number| self.say(number));
            }
            if step % 16 == 0 {
                self.fence(FenceInput::References { reachable: 3, total: 3 });
            }
            self.carry_out(answers);
        }
    }

    /// Any answer to any question, asked or not.
    fn anything(&mut self, a: usize, draw: &mut Draw<'_>) {
        let operation = self.operation(draw);
        let row = self.rows.get(&operation);
        let revision = row.map(|row| row.revision).unwrap_or_default() + u64::from(draw.byte() & 1);
        let (outcome, node) = (draw.pick(&OUTCOMES), node(a));
        let rung = draw.pick(&[Rung::Network, Rung::Power]);
        let trace = Trace::default();
        let input = match draw.below(11) {
            0 => FenceInput::Demoted { operation, outcome },
            1 => FenceInput::Withdrawn { operation, outcome },
            2 => FenceInput::Announced { operation, node, outcome },
            3 => FenceInput::Ran { operation, revision, outcome, trace },
            4 => {
                let reading = draw.pick(&[Reading::Off, Reading::On, Reading::Unknown]);
                FenceInput::Status { operation, revision, reading, trace }
            }
            5 => FenceInput::PathVerified { node, rung, outcome },
            6 => FenceInput::References { reachable: draw.below(5), total: draw.below(5) },
            // Only what was committed: the shell says so of nothing else.
            7 => match self.committed.len() {
                0 => return,
                many => {
                    let (operation, revision) = self.committed[draw.below(many)];
                    FenceInput::Written { operation, revision }
                }
            },
            8 => FenceInput::WriteRefused { revision, why: "the lease is another's".to_owned() },
            9 => FenceInput::Leader { epoch: u64::from(draw.byte()) },
            _ => {
                self.policy.mode = draw.pick(&[Mode::Auto, Mode::Approve, Mode::DryRun, Mode::Disabled]);
                FenceInput::Configured(Box::new(self.policy.clone()))
            }
        };
        self.fence(input);
    }

    fn person(&mut self, a: usize, draw: &mut Draw<'_>) {
        let (node, operation, level) = (node(a), self.operation(draw), draw.pick(&LEVELS));
        let consent = if draw.flag() { Consent::typed_back(&node, &node.0) } else { None };
        let verb = match draw.below(8) {
            0 => FenceVerb::Approve { operation, up_to: level, consent },
            1 => FenceVerb::Run { node, level, consent },
            2 => FenceVerb::Release { node },
            3 => FenceVerb::Confirm { node },
            4 => FenceVerb::Propose { node },
            5 => FenceVerb::Deny { operation, why: "no".to_owned() },
            6 => FenceVerb::Resume,
            _ => FenceVerb::Pause,
        };
        self.fence(FenceInput::Asked { request: 1, actor: "user/ada".to_owned(), verb });
    }

    /// The newest, or any other.
    fn operation(&self, draw: &mut Draw<'_>) -> OperationId {
        OperationId(self.standing.last_operation.saturating_sub(u64::from(draw.byte() & 3)))
    }

    fn maintain(&mut self, number: usize, on: bool) {
        if on {
            self.maintenance.insert(node(number))
        } else {
            self.maintenance.remove(&node(number))
        };
        self.give(Input::Maintenance { node: node(number), on });
    }

    fn commit(&mut self, number: usize, on: bool) {
        if on {
            self.committing.insert(node(number))
        } else {
            self.committing.remove(&node(number))
        };
        self.fence(FenceInput::Committing { node: node(number), on });
    }

    /// This coordinator gets the lease, and reads the store.
    fn lead(&mut self) {
        self.lease += 1;
        // What was still to be written in the term before is not.
        self.queue.clear();
        let open = self.rows.values().filter(|row| row.state.is_open() || row.ordered && !row.withdrawn);
        let (standing, operations) = (self.standing.clone(), open.cloned().collect());
        self.fence(FenceInput::Configured(Box::new(self.policy.clone())));
        self.fence(FenceInput::Restored { standing, operations });
        self.fence(FenceInput::Leader { epoch: self.lease });
    }

    /// A coordinator that knows what was written, and no more.
    fn restart(&mut self) {
        self.queue.clear();
        self.fleet = Fleet::new(windows_of_fleet());
        self.committing.clear();
        self.give(Input::Started);
        for number in 0..NODES {
            let last = Some(self.snapshot(number));
            self.give(Input::NodeKnown { node: node(number), site: site(), last });
            self.hosts[number].connected = false;
        }
        for name in self.maintenance.clone() {
            self.give(Input::Maintenance { node: name, on: true });
        }
        for finding in self.findings.clone().into_values() {
            if finding.status == FindingStatus::Firing {
                self.give(Input::FindingRestored(RestoredFinding { finding }));
            }
        }
        self.lead();
        (0..NODES).for_each(|number| self.connect(number));
        self.reached.insert("restored".to_owned());
    }

    /// Every deadline is handled when it comes.
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

    fn fence(&mut self, input: FenceInput) {
        self.give(Input::Fence(input));
    }

    fn give(&mut self, input: Input) {
        let what = format!("{input:?}");
        self.fleet.handle(input, self.now);
        let mut count = 0;
        let mut probes = Vec::new();
        while let Some(effect) = self.fleet.next_output() {
            count += 1;
            match effect {
                Effect::Finding { finding, .. } => drop(self.findings.insert(finding.id.0.clone(), finding)),
                Effect::Probe(probe) => probes.push(probe),
                Effect::Fence(effect) => {
                    self.handed_out(&effect);
                    self.queue.push(effect);
                }
            }
        }
        assert!(count <= MOST_EFFECTS, "a storm of {count} effects after {what}");
        let deadline = self.fleet.deadline();
        assert!(deadline.is_none_or(|deadline| deadline > self.now), "a deadline is past after {what}");
        for probe in probes {
            for name in &probe.nodes {
                let number = (0..NODES).find(|number| node(*number) == *name).unwrap_or_default();
                if self.hosts[number].connected {
                    let (node, snapshot) = (name.clone(), self.snapshot(number));
                    self.hosts[number].spoke = Some(self.now);
                    self.give(Input::Probed { probe: probe.id, node, snapshot, arp: Vec::new() });
                }
            }
        }
    }
}

fn windows_of_fleet() -> Windows {
    Windows { grace: Duration::from_secs(2), ..Windows::default() }
}
