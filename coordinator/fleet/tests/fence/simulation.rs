//! Fencing under everything at once: lines that are cut, agents that vanish, lie or do not obey, programs that fail, hang and lie,
//! a database that is away, leaders that change, clocks that jump, people who ask for anything at any time.
//!
//! The worlds are small and coarse, so that thousands of them run. What must never happen is looked for at every step that is
//! handed out: see `Sim::demote`, `Sim::off` and `Sim::write`.

mod hosts;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hafleet_fleet::{
    Effect, FindingKind, FindingStatus, Fleet, Input, NodeName, RestoredFinding, VrrpState, Windows,
    fence::{
        Consent, Device, FenceEffect, FenceInput, FencePolicy, FenceRow, FenceState, FenceVerb, Level, Mode,
        Operation, OperationId, Origin, Outcome, Reading, Rung, Standing, StepAction, Trace,
    },
};

use crate::{
    chance::Chance,
    network::{MS, SECOND},
    world::{at, node, site},
};

const STEP_US: u64 = 500 * MS;
const NODES: usize = 3;
const STEPS: usize = 170;
/// What a host says may be a heartbeat and a probe old.
const SPOKE_US: u64 = 4 * SECOND;
/// What a witness saw may be five seconds old, and the word of it as old as a heartbeat may be.
const SEEN_US: u64 = 5 * SECOND + SPOKE_US;

/// A host as it really is.
#[derive(Clone, Debug)]
struct Host {
    name: NodeName,
    state: VrrpState,
    reason: String,
    entered_us: u64,
    up: bool,
    connected: bool,
    /// Its port is off: it hears nobody and is not heard, but its management works.
    port: bool,
    held: bool,
    disobedient: bool,
    gateway: bool,
    seq: u64,
    /// When each other one last advertised to it.
    heard_us: [u64; NODES],
    /// When it last was MASTER in truth.
    master_us: u64,
}

struct Sim {
    seed: u64,
    chance: Chance,
    fleet: Fleet,
    now_us: u64,
    /// What the coordinator's clock says beside the truth.
    skew_us: i64,
    hosts: Vec<Host>,
    cut: BTreeSet<(usize, usize)>,
    policy: FencePolicy,
    lease: u64,
    rows: BTreeMap<OperationId, Operation>,
    standing: Standing,
    findings: BTreeMap<String, hafleet_fleet::Finding>,
    database: bool,
    queue: Vec<FenceEffect>,
    later: Vec<(u64, FenceInput)>,
    spoke_us: [u64; NODES],
    steps: u64,
    offs: u64,
    edges: BTreeSet<FenceState>,
}

fn name(index: usize) -> NodeName {
    node(&format!("lb{:02}", index + 1))
}

impl Sim {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let now_us = 1000 * SECOND;
        let host = |index: usize| Host {
            name: name(index),
            state: if index == 0 { VrrpState::Master } else { VrrpState::Backup },
            reason: "started".to_owned(),
            entered_us: 0,
            up: true,
            connected: false,
            port: true,
            held: false,
            disobedient: false,
            gateway: true,
            seq: 1,
            heard_us: [0; NODES],
            master_us: 0,
        };
        let mode =
            [Mode::Auto, Mode::Auto, Mode::Auto, Mode::Approve, Mode::DryRun][chance.below(5) as usize];
        let mut policy = FencePolicy { mode, ..FencePolicy::default() };
        for index in 0..NODES {
            let device = |rung: Rung| (rung, Device(format!("{rung} of {}", name(index))));
            policy.devices.insert(name(index), [Rung::Network, Rung::Power].map(device).into());
        }
        let windows = &mut policy.windows;
        windows.grace = Duration::from_secs(5);
        windows.confirm = Duration::from_secs(6);
        windows.cool_down = Duration::from_secs(20);
        windows.rate = Duration::from_secs(60);
        windows.poll = Duration::from_secs(1);
        windows.step = Duration::from_secs(5);
        windows.escalate = Duration::from_secs(20);
        windows.act = Duration::from_secs(10);
        windows.path = Duration::from_secs(10);
        windows.aftercare = Duration::from_secs(10);
        policy.limits.polls = 4;
        Self {
            seed,
            chance,
            fleet: Fleet::new(Windows { grace: Duration::from_secs(2), ..Windows::default() }),
            now_us,
            skew_us: 0,
            hosts: (0..NODES).map(host).collect(),
            cut: BTreeSet::new(),
            policy,
            lease: 0,
            rows: BTreeMap::new(),
            standing: Standing::default(),
            findings: BTreeMap::new(),
            database: true,
            queue: Vec::new(),
            later: Vec::new(),
            spoke_us: [0; NODES],
            steps: 0,
            offs: 0,
            edges: BTreeSet::new(),
        }
    }

    fn clock(&self) -> u64 {
        self.now_us.saturating_add_signed(self.skew_us)
    }

    fn give(&mut self, input: Input) {
        self.fleet.handle(input, at(self.clock()));
        let mut answers = Vec::new();
        while let Some(effect) = self.fleet.next_output() {
            match effect {
                Effect::Finding { finding, .. } => drop(self.findings.insert(finding.id.0.clone(), finding)),
                Effect::Probe(probe) => {
                    for name in &probe.nodes {
                        let index = self.index(name);
                        if !self.hosts[index].connected {
                            continue;
                        }
                        let (snapshot, arp) = (self.snapshot(index), Vec::new());
                        answers.push(Input::Probed { probe: probe.id, node: name.clone(), snapshot, arp });
                    }
                }
                Effect::Fence(effect) => self.queue.push(effect),
            }
        }
        for answer in answers {
            if self.chance.below(8) != 0 {
                self.give(answer);
            }
        }
        self.carry_out();
    }

    fn fence(&mut self, input: FenceInput) {
        self.give(Input::Fence(input));
    }

    fn carry_out(&mut self) {
        while self.database && !self.queue.is_empty() {
            match self.queue.remove(0) {
                FenceEffect::Write(row) => self.write(*row),
                FenceEffect::Audit(_) | FenceEffect::Answer { .. } => {}
                FenceEffect::Demote { epoch, operation, node, instances, .. } => {
                    self.demote(epoch, operation, &node, &instances);
                }
                FenceEffect::Withdraw { operation, node, .. } => {
                    assert!(!self.rows[&operation].state.is_open(), "seed {}", self.seed);
                    let index = self.index(&node);
                    let reached = self.hosts[index].connected;
                    if reached && self.hosts[index].held {
                        self.hosts[index].held = false;
                        self.enter(index, VrrpState::Backup, "unheld");
                    }
                    let outcome = if reached { Outcome::Done } else { Outcome::Failed };
                    self.after(FenceInput::Withdrawn { operation, outcome });
                }
                FenceEffect::Announce { operation, node, .. } => {
                    let outcome = self.outcome(Outcome::Done);
                    self.after(FenceInput::Announced { operation, node, outcome });
                }
                FenceEffect::RunStep { epoch, operation, revision, node, rung, action, .. } => match action {
                    StepAction::Off => self.off(epoch, operation, revision, &node, rung),
                    StepAction::Status => self.status(operation, revision, &node, rung),
                },
                FenceEffect::VerifyPath { node, rung, .. } => {
                    let outcome = self.outcome(Outcome::Done);
                    self.after(FenceInput::PathVerified { node, rung, outcome });
                }
            }
        }
    }

    /// Written in order, each under the lease; never two open operations against one target.
    fn write(&mut self, FenceRow { operation, standing }: FenceRow) {
        let revision = standing.revision;
        if standing.epoch != self.lease {
            return self.fence(FenceInput::WriteRefused { revision, why: "another leader".to_owned() });
        }
        assert!(revision > self.standing.revision, "seed {}: {revision}", self.seed);
        self.standing = standing;
        let id = operation.as_ref().map(|operation| operation.id);
        if let Some(operation) = operation {
            self.edges.insert(operation.state);
            self.rows.insert(operation.id, operation);
        }
        let mut targets = BTreeSet::new();
        for row in self.rows.values().filter(|row| row.state.is_open()) {
            assert!(targets.insert(&row.target), "seed {}: two against {}", self.seed, row.target);
        }
        self.fence(FenceInput::Written { operation: id, revision });
    }

    /// What holds for every step: its row is in the store, in this state, under the present lease; and somebody else is left.
    fn allowed(&self, epoch: u64, operation: OperationId, states: &[FenceState], index: usize) -> Operation {
        let seed = self.seed;
        let row =
            self.rows.get(&operation).unwrap_or_else(|| panic!("seed {seed}: {operation} is not written"));
        assert!(states.contains(&row.state), "seed {seed}: {operation} is written as {}", row.state);
        // The shell looks at the lease once more.
        assert_eq!(row.epoch, epoch, "seed {seed}");
        let left = (0..NODES).filter(|other| *other != index).any(|other| {
            let host = &self.hosts[other];
            host.up && !host.held && self.spoke(other)
        });
        let target = &self.hosts[index];
        let serves = target.up && matches!(target.state, VrrpState::Master | VrrpState::Backup);
        assert!(left || !serves, "seed {seed}: {operation} takes the last good node {}", row.target);
        row.clone()
    }

    fn demote(&mut self, epoch: u64, operation: OperationId, target: &NodeName, instances: &[String]) {
        if epoch != self.lease {
            return self.after(FenceInput::Demoted { operation, outcome: Outcome::Failed });
        }
        let index = self.index(target);
        let row = self.allowed(epoch, operation, &[FenceState::Demoting, FenceState::Quarantined], index);
        if row.state == FenceState::Demoting && !matches!(row.origin, Origin::Order(_)) {
            let seed = self.seed;
            assert!(self.was_master(index), "seed {seed}: {target} held nothing");
            let other = (0..NODES).any(|other| other != index && self.was_master(other));
            assert!(other, "seed {seed}: nobody else holds it");
            assert!(!matches!(self.policy.mode, Mode::Disabled), "seed {seed}");
            assert_eq!(instances, ["VI_1".to_owned()]);
        }
        self.steps += 1;
        let host = &self.hosts[index];
        let reached = host.connected;
        if reached && !host.disobedient && !host.held {
            self.hosts[index].held = true;
            self.enter(index, VrrpState::Fault, "held");
        }
        let outcome = if reached { Outcome::Done } else { Outcome::Failed };
        self.after(FenceInput::Demoted { operation, outcome });
    }

    fn off(&mut self, epoch: u64, operation: OperationId, revision: u64, target: &NodeName, rung: Rung) {
        let trace = Trace::default();
        if epoch != self.lease {
            return self.after(FenceInput::Ran { operation, revision, outcome: Outcome::Failed, trace });
        }
        let index = self.index(target);
        let row = self.allowed(epoch, operation, &[FenceState::Running(rung)], index);
        let seed = self.seed;
        if !matches!(row.origin, Origin::Order(_)) {
            // Never on lost contact alone: it really holds the address, and two others really saw it a moment ago.
            let held = self.now_us - self.hosts[index].master_us <= SEEN_US;
            assert!(held, "seed {seed}: {target} held nothing");
            let seen = (0..NODES)
                .filter(|other| *other != index)
                .filter(|other| self.now_us - self.hosts[*other].heard_us[index] <= SEEN_US);
            assert!(seen.count() >= 2, "seed {seed}: nobody saw {target}");
            let survivor = (0..NODES).any(|other| other != index && self.was_master(other));
            assert!(survivor, "seed {seed}: nobody else holds it");
        }
        self.steps += 1;
        self.offs += 1;
        let (outcome, works) = match self.chance.below(8) {
            0 => (Outcome::Failed, false),
            1 => (Outcome::Unknown, true),
            2 => (Outcome::Done, false),
            3 => return,
            4 => (Outcome::TimedOut, true),
            _ => (Outcome::Done, true),
        };
        if works {
            self.switch_off(index, rung);
        }
        self.after(FenceInput::Ran { operation, revision, outcome, trace });
    }

    fn status(&mut self, operation: OperationId, revision: u64, target: &NodeName, rung: Rung) {
        let host = &self.hosts[self.index(target)];
        let off = match rung {
            Rung::Network => !host.port,
            Rung::Power => !host.up,
        };
        let reading = match self.chance.below(8) {
            0 => Reading::Unknown,
            1 => return,
            2 => Reading::Off,
            _ if off => Reading::Off,
            _ => Reading::On,
        };
        self.after(FenceInput::Status { operation, revision, reading, trace: Trace::default() });
    }

    fn outcome(&mut self, usual: Outcome) -> Outcome {
        if self.chance.below(10) == 0 { Outcome::Failed } else { usual }
    }

    fn after(&mut self, input: FenceInput) {
        let way = self.chance.below(3) * STEP_US;
        self.later.push((self.now_us + way, input));
    }

    fn index(&self, name: &NodeName) -> usize {
        self.hosts.iter().position(|host| host.name == *name).unwrap_or_else(|| panic!("no {name}"))
    }

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

    /// A coordinator that knows only what was written; its clock may be another one's.
    fn restart(&mut self) {
        self.queue.clear();
        self.skew_us += [0, 0, -40_000_000, 40_000_000][self.chance.below(4) as usize];
        self.fleet = Fleet::new(Windows { grace: Duration::from_secs(2), ..Windows::default() });
        self.give(Input::Started);
        for index in 0..NODES {
            self.give(Input::NodeKnown { node: name(index), site: site(), last: Some(self.snapshot(index)) });
            self.hosts[index].connected = false;
        }
        for finding in self.findings.clone().into_values() {
            if finding.status == FindingStatus::Firing {
                self.give(Input::FindingRestored(RestoredFinding { finding }));
            }
        }
        self.lead();
        for index in 0..NODES {
            self.connect(index);
        }
    }

    fn person(&mut self) {
        let target = name(self.chance.below(NODES as u64) as usize);
        let operation = OperationId(self.chance.below(self.standing.last_operation + 1) + 1);
        let consent = Consent::typed_back(&target, &target.0);
        let level = [Level::Demote, Level::Device(Rung::Network), Level::Device(Rung::Power)]
            [self.chance.below(3) as usize];
        let verb = match self.chance.below(10) {
            0 => FenceVerb::Pause,
            1 | 2 => FenceVerb::Resume,
            3 => FenceVerb::Run { node: target, level, consent },
            4 => FenceVerb::Confirm { node: target },
            5 => FenceVerb::Propose { node: target },
            6 => FenceVerb::Deny { operation, why: "no".to_owned() },
            7 | 8 => FenceVerb::Release { node: target },
            _ => FenceVerb::Approve { operation, up_to: level, consent },
        };
        self.fence(FenceInput::Asked { request: 1, actor: "ada".to_owned(), verb });
    }

    fn chaos(&mut self) {
        let (a, b) = (self.chance.below(NODES as u64) as usize, self.chance.below(NODES as u64) as usize);
        match self.chance.below(20) {
            0..=2 => {
                self.cut.insert((a, b));
                self.cut.insert((b, a));
            }
            // The worse of two hears nothing, and is heard.
            3..=5 => {
                self.cut.insert((a.min(b), a.max(b)));
            }
            6 => self.cut.clear(),
            7 => self.disconnect(a),
            8 | 9 => (0..NODES).for_each(|index| self.connect(index)),
            10 => self.crash(a),
            11 => self.boot(),
            12 => self.hosts[a].disobedient = true,
            13 => self.hosts.iter_mut().for_each(|host| host.disobedient = false),
            14 => self.hosts[a].gateway = !self.hosts[a].gateway,
            15 => self.database = !self.database,
            16 => self.restart(),
            17 => self.lease += 1,
            18 => self.lead(),
            _ => self.person(),
        }
    }

    fn step(&mut self) {
        self.now_us += STEP_US;
        self.elect();
        let (due, later) =
            std::mem::take(&mut self.later).into_iter().partition::<Vec<_>, _>(|(us, _)| *us <= self.now_us);
        self.later = later;
        for (_, input) in due {
            self.fence(input);
        }
        if self.now_us.is_multiple_of(SECOND) {
            (0..NODES).for_each(|index| self.say(index));
        }
        if self.now_us.is_multiple_of(10 * SECOND) {
            self.fence(FenceInput::References { reachable: 3, total: 3 });
        }
        if self.fleet.deadline().is_some_and(|deadline| deadline <= at(self.clock())) {
            self.give(Input::Deadline);
        }
        self.carry_out();
    }

    /// Everybody is mended and let back; then all must be well.
    fn heal(&mut self) {
        self.cut.clear();
        self.database = true;
        for host in &mut self.hosts {
            (host.disobedient, host.gateway) = (false, true);
        }
        self.restart();
        self.boot();
        self.fence(FenceInput::Asked { request: 1, actor: "ada".to_owned(), verb: FenceVerb::Resume });
        for _ in 0..6 {
            for index in 0..NODES {
                let verb = FenceVerb::Release { node: name(index) };
                self.fence(FenceInput::Asked { request: 1, actor: "ada".to_owned(), verb });
            }
            (0..20).for_each(|_| self.step());
        }
    }

    fn live(mut self) -> (u64, u64, BTreeSet<FenceState>) {
        self.lead();
        (0..NODES).for_each(|index| self.connect(index));
        (0..12).for_each(|_| self.step());
        for _ in 0..STEPS {
            if self.chance.below(9) == 0 {
                self.chaos();
            }
            self.step();
        }
        self.heal();
        let seed = self.seed;
        let held: Vec<&Host> = self.hosts.iter().filter(|host| host.held).collect();
        assert!(held.is_empty(), "seed {seed}: held for ever: {held:?} {:?}", self.rows);
        let open: Vec<&Operation> = self.rows.values().filter(|row| row.state.is_open()).collect();
        assert!(open.is_empty(), "seed {seed}: open for ever: {open:?}");
        let findings = self.fleet.view(at(self.clock())).findings;
        let fencing = [FindingKind::Fence, FindingKind::FenceRefused];
        let left = findings.iter().filter(|finding| fencing.contains(&finding.kind));
        assert_eq!(left.count(), 0, "seed {seed}: {findings:#?}");
        (self.steps, self.offs, self.edges)
    }
}

#[test]
fn no_rule_is_broken_whatever_happens() {
    let (mut steps, mut offs, mut states) = (0, 0, BTreeSet::new());
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let only = number("HAFLEET_SEED");
    let seeds = only.map_or(0..number("HAFLEET_SEEDS").unwrap_or(2_000), |seed| seed..seed + 1);
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| Sim::new(seed).live());
        match outcome {
            Ok((taken, off, reached)) => {
                steps += taken;
                offs += off;
                states.extend(reached);
            }
            Err(panic) => {
                println!("failed with seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    if only.is_none() {
        assert!(steps > 500 && offs > 50, "it proves nothing when nothing is done: {steps}, {offs}");
        let missed: Vec<_> = FenceState::ALL.into_iter().filter(|state| !states.contains(state)).collect();
        assert_eq!(missed, [], "states that no seed reached");
    }
}
