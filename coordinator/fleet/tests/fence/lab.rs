//! A world with a shell that carries out what fencing wants: a store with a lease, agents that obey, devices that work. Each can
//! be told to do otherwise. What may never happen is checked at every step.

use std::collections::{BTreeMap, BTreeSet};

use hafleet_fleet::{
    Input, VrrpState,
    fence::{
        Audit, Consent, Device, FenceEffect, FenceInput, FencePolicy, FenceRow, FenceState, FenceVerb, Level,
        Mode, Operation, OperationId, Outcome, Reading, Refusal, RefusalCode, Rung, Standing, StepAction,
        Trace,
    },
};

use crate::{
    network::SECOND,
    world::{World, node},
};

/// Everything.
pub struct Lab {
    pub world: World,
    pub policy: FencePolicy,
    /// The store.
    pub rows: BTreeMap<OperationId, Operation>,
    pub standing: Standing,
    /// The epoch of the lease.
    pub lease: u64,
    /// The database does not answer: what is to be written, and what comes after, waits.
    pub database_down: bool,
    waiting: Vec<FenceEffect>,
    pub audit: Vec<Audit>,
    /// Every step that was handed out, in words, with its instant.
    pub steps: Vec<(u64, String)>,
    /// Every verification of a path, with its instant in milliseconds.
    pub verified: Vec<(Device, u64)>,
    pub answers: Vec<Result<Option<OperationId>, Refusal>>,
    /// Agents that say yes to a demote and do nothing.
    pub disobedient: BTreeSet<String>,
    /// Agents that refuse a demote, and to take an order back.
    pub refuses: BTreeSet<String>,
    /// Agents that do not answer.
    pub mute: BTreeSet<String>,
    /// What devices do; they work unless told otherwise.
    pub devices: BTreeMap<(String, Rung), Behaviour>,
    pub off: BTreeSet<(String, Rung)>,
    /// Survivors announce when asked.
    pub announces: bool,
    /// Who was asked to, with its instances.
    pub asked_to_announce: Vec<String>,
    pub references: (usize, usize),
    /// Somebody looks after the coordinator's references and tells.
    pub tells_references: bool,
    next_request: u64,
}

/// How a fence device behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should.
    Works,
    /// It says that it failed and does nothing.
    Fails,
    /// It does nothing and never ends; its status says on.
    Hangs,
    /// It says that it is off, and nothing happened.
    Lies,
    /// It does it, but its status cannot be read.
    Unreadable,
    /// It says that it is broken when it is verified.
    Broken,
    /// Nothing is heard of it when it is verified.
    Silent,
}

impl Lab {
    /// Hosts with gateways that answer, mode `auto`, no grace.
    pub fn new(priorities: &[u8]) -> Self {
        let mut world = World::new(priorities);
        for host in &mut world.segment.hosts {
            host.gateway = Some(true);
        }
        let mut policy = FencePolicy { mode: Mode::Auto, ..FencePolicy::default() };
        policy.windows.grace = std::time::Duration::ZERO;
        let mut lab = Self {
            world,
            policy,
            rows: BTreeMap::new(),
            standing: Standing::default(),
            lease: 0,
            database_down: false,
            waiting: Vec::new(),
            audit: Vec::new(),
            steps: Vec::new(),
            verified: Vec::new(),
            answers: Vec::new(),
            disobedient: BTreeSet::new(),
            refuses: BTreeSet::new(),
            mute: BTreeSet::new(),
            devices: BTreeMap::new(),
            off: BTreeSet::new(),
            announces: true,
            asked_to_announce: Vec::new(),
            references: (3, 3),
            tells_references: true,
            next_request: 0,
        };
        lab.lead();
        lab.run(2_000);
        lab
    }

    /// Three hosts, of which the third sees both others; both have a switch port and an outlet.
    pub fn witnessed() -> Self {
        let mut lab = Self::new(&[150, 100, 50]);
        for name in ["lb01", "lb02"] {
            let device = |rung: Rung| (rung, Device(format!("{rung} of {name}")));
            lab.policy.devices.insert(node(name), [Rung::Network, Rung::Power].map(device).into());
        }
        lab.configure();
        lab.run(1_000);
        lab
    }

    /// This coordinator reads the store and becomes leader.
    pub fn lead(&mut self) {
        self.lease += 1;
        let operations =
            self.rows.values().filter(|row| row.state.is_open() || row.ordered && !row.withdrawn);
        let (standing, operations) = (self.standing.clone(), operations.cloned().collect());
        self.configure();
        self.tell(FenceInput::Restored { standing, operations });
        self.tell(FenceInput::Leader { epoch: self.lease });
    }

    pub fn configure(&mut self) {
        self.tell(FenceInput::Configured(Box::new(self.policy.clone())));
    }

    pub fn tell(&mut self, input: FenceInput) {
        self.world.input(Input::Fence(input));
        self.carry_out();
    }

    /// Puts it into maintenance.
    pub fn maintain(&mut self, name: &str) {
        self.world.input(Input::Maintenance { node: node(name), on: true });
        self.carry_out();
    }

    /// lb02 becomes MASTER too, and neither of them hears the other.
    pub fn split(&mut self) {
        self.world.filter("lb01", "lb02");
        self.run(4_000);
        self.world.enter("lb02", VrrpState::Master, "master_down");
        self.carry_out();
    }

    pub fn run(&mut self, ms: u64) {
        let until = self.world.now_us + ms * 1000;
        while self.world.now_us < until {
            self.tick();
        }
    }

    pub fn run_until(&mut self, ms: u64, what: &str, mut so: impl FnMut(&Self) -> bool) -> u64 {
        let from = self.world.now_us;
        while !so(self) {
            let (steps, audit) = (&self.steps, self.refusals());
            assert!(self.world.now_us < from + ms * 1000, "{what}: not within {ms} ms: {steps:?} {audit:?}");
            self.tick();
        }
        (self.world.now_us - from) / 1000
    }

    pub fn tick(&mut self) {
        if self.tells_references && self.world.now_us.is_multiple_of(5 * SECOND) {
            let (reachable, total) = self.references;
            self.tell(FenceInput::References { reachable, total });
        }
        self.world.tick();
        self.carry_out();
    }

    /// A person asks, and is answered.
    pub fn ask(&mut self, verb: FenceVerb) -> Result<Option<OperationId>, Refusal> {
        self.next_request += 1;
        self.tell(FenceInput::Asked { request: self.next_request, actor: "ada".to_owned(), verb });
        self.answers.last().cloned().unwrap_or_else(|| panic!("no answer"))
    }

    pub fn refused(&mut self, verb: FenceVerb) -> RefusalCode {
        match self.ask(verb) {
            Ok(id) => panic!("it is not refused: {id:?}"),
            Err(refusal) => refusal.code,
        }
    }

    pub fn run_demote(&mut self, name: &str) -> Result<Option<OperationId>, Refusal> {
        self.ask(FenceVerb::Run { node: node(name), level: Level::Demote, consent: None })
    }

    pub fn power(&self, name: &str) -> FenceVerb {
        let consent = Consent::typed_back(&node(name), name);
        FenceVerb::Run { node: node(name), level: Level::Device(Rung::Power), consent }
    }

    /// What waits for the database goes on.
    pub fn database_up(&mut self) {
        self.database_down = false;
        self.carry_out();
    }

    fn carry_out(&mut self) {
        self.waiting.append(&mut self.world.fenced);
        while !self.waiting.is_empty() {
            if self.database_down {
                return;
            }
            let effect = self.waiting.remove(0);
            self.carry_out_one(effect);
            self.waiting.append(&mut self.world.fenced);
        }
    }

    fn carry_out_one(&mut self, effect: FenceEffect) {
        match effect {
            FenceEffect::Write(row) => self.write(*row),
            FenceEffect::Audit(line) => self.audit.push(line),
            FenceEffect::Demote { epoch, operation, node, instances, why } => {
                assert!(!why.is_empty());
                self.is_written(operation, epoch, &[FenceState::Demoting, FenceState::Quarantined]);
                self.step(format!("demote {node}"));
                if self.mute.contains(&node.0) {
                    return;
                }
                if self.refuses.contains(&node.0) {
                    return self.answer(FenceInput::Demoted { operation, outcome: Outcome::Failed });
                }
                if !self.disobedient.contains(&node.0) {
                    self.hold(&node.0, &instances, true);
                }
                self.answer(FenceInput::Demoted { operation, outcome: Outcome::Done });
            }
            FenceEffect::Withdraw { operation, node, .. } => {
                assert!(self.rows.get(&operation).is_some_and(|row| !row.state.is_open()), "{operation}");
                self.step(format!("withdraw {node}"));
                if self.refuses.contains(&node.0) {
                    return self.answer(FenceInput::Withdrawn { operation, outcome: Outcome::Failed });
                }
                self.hold(&node.0, &[], false);
                self.answer(FenceInput::Withdrawn { operation, outcome: Outcome::Done });
            }
            FenceEffect::Announce { epoch, operation, node, groups, instances } => {
                assert_eq!(epoch, self.lease, "{operation}");
                assert!(!groups.is_empty(), "{operation}");
                // An agent takes back no word of it that is older than what it is.
                let host = self.world.segment.host(&node.0);
                let masters = host.instances.iter().filter(|one| one.report.state == VrrpState::Master);
                let masters: Vec<&String> = masters.map(|one| &one.report.instance).collect();
                let is_master = !instances.is_empty() && instances.iter().all(|name| masters.contains(&name));
                self.asked_to_announce.push(format!("{node} {}", instances.join(" ")));
                let outcome = if self.announces && is_master { Outcome::Done } else { Outcome::Failed };
                self.answer(FenceInput::Announced { operation, node, outcome });
            }
            FenceEffect::RunStep { epoch, operation, revision, node, rung, device, action } => {
                assert_eq!(Some(&device), self.policy.devices.get(&node).and_then(|all| all.get(&rung)));
                self.program(epoch, operation, revision, &node.0, rung, action);
            }
            FenceEffect::VerifyPath { node, rung, device } => {
                self.verified.push((device.clone(), self.world.now_us / 1000));
                assert_eq!(Some(&device), self.policy.devices.get(&node).and_then(|all| all.get(&rung)));
                let outcome = match self.devices.get(&(node.0.clone(), rung)) {
                    Some(Behaviour::Silent) => return,
                    Some(Behaviour::Broken) => Outcome::Failed,
                    Some(Behaviour::Works | Behaviour::Fails | Behaviour::Hangs) | None => Outcome::Done,
                    Some(Behaviour::Lies | Behaviour::Unreadable) => Outcome::Done,
                };
                self.answer(FenceInput::PathVerified { node, rung, outcome });
            }
            FenceEffect::Answer { answer, .. } => self.answers.push(answer),
        }
    }

    fn program(
        &mut self,
        epoch: u64,
        operation: OperationId,
        revision: u64,
        name: &str,
        rung: Rung,
        action: StepAction,
    ) {
        let key = (name.to_owned(), rung);
        let behaviour = self.devices.get(&key).copied().unwrap_or(Behaviour::Works);
        let trace = Trace { command: "fence_dummy".to_owned(), tail: "ok".to_owned(), ..Trace::default() };
        match action {
            StepAction::Off => {
                self.is_written(operation, epoch, &[FenceState::Running(rung)]);
                self.step(format!("{rung} off {name}"));
                let works = matches!(behaviour, Behaviour::Works | Behaviour::Unreadable);
                if works {
                    self.off.insert(key);
                    self.switch_off(name, rung);
                }
                let outcome = match behaviour {
                    Behaviour::Works | Behaviour::Lies => Outcome::Done,
                    Behaviour::Broken | Behaviour::Silent => Outcome::Done,
                    Behaviour::Fails => Outcome::Failed,
                    Behaviour::Unreadable => Outcome::Unknown,
                    Behaviour::Hangs => return,
                };
                self.answer(FenceInput::Ran { operation, revision, outcome, trace });
            }
            StepAction::Status => {
                let reading = match behaviour {
                    Behaviour::Unreadable => Reading::Unknown,
                    Behaviour::Lies => Reading::Off,
                    Behaviour::Works
                    | Behaviour::Fails
                    | Behaviour::Hangs
                    | Behaviour::Broken
                    | Behaviour::Silent => {
                        if self.off.contains(&key) {
                            Reading::Off
                        } else {
                            Reading::On
                        }
                    }
                };
                self.answer(FenceInput::Status { operation, revision, reading, trace });
            }
        }
    }

    fn switch_off(&mut self, name: &str, rung: Rung) {
        match rung {
            Rung::Power => self.world.crash(name),
            Rung::Network => {
                let others: Vec<String> =
                    self.world.segment.hosts.iter().map(|host| host.name.clone()).collect();
                for other in others {
                    self.world.cut(name, &other);
                }
            }
        }
    }

    /// The agent holds its instances down, or lets them go.
    fn hold(&mut self, name: &str, instances: &[String], down: bool) {
        let now = self.world.now_us;
        let host = self.world.segment.host(name);
        for index in 0..host.instances.len() {
            let report = &host.instances[index].report;
            if !instances.is_empty() && !instances.contains(&report.instance) {
                continue;
            }
            let held = report.state == VrrpState::Fault && report.reason == "held";
            match (down, held) {
                (true, false) => host.enter(index, VrrpState::Fault, "held", now),
                (false, true) => host.enter(index, VrrpState::Backup, "unheld", now),
                (true, true) | (false, false) => {}
            }
        }
        self.world.tell_change(name);
    }

    fn write(&mut self, row: FenceRow) {
        let FenceRow { operation, standing } = row;
        let revision = standing.revision;
        let id = operation.as_ref().map(|operation| operation.id);
        if standing.epoch != self.lease {
            let why = format!("epoch {} is over", standing.epoch);
            return self.answer(FenceInput::WriteRefused { revision, why });
        }
        self.standing = standing;
        if let Some(operation) = operation {
            self.rows.insert(operation.id, operation);
        }
        self.one_open_for_each_target();
        self.answer(FenceInput::Written { operation: id, revision });
    }

    fn one_open_for_each_target(&self) {
        let mut targets = BTreeSet::new();
        for row in self.rows.values().filter(|row| row.state.is_open()) {
            assert!(targets.insert(row.target.clone()), "two operations against {}", row.target);
        }
    }

    /// A step is handed out only when its row is in the store as it is, under the present lease.
    fn is_written(&self, operation: OperationId, epoch: u64, states: &[FenceState]) {
        let row = self.rows.get(&operation).unwrap_or_else(|| panic!("{operation} was never written"));
        assert!(states.contains(&row.state), "{operation} is written as {}", row.state);
        assert_eq!((row.epoch, epoch), (self.lease, self.lease), "{operation} is of another epoch");
    }

    fn step(&mut self, step: String) {
        self.steps.push((self.world.now_us, step));
    }

    fn answer(&mut self, input: FenceInput) {
        self.world.input(Input::Fence(input));
    }

    /// A step waits behind rows that are not written yet.
    pub fn waits_with_a_step(&self) -> bool {
        self.waiting.iter().any(|effect| match effect {
            FenceEffect::Demote { .. } => true,
            FenceEffect::RunStep { action, .. } => *action == StepAction::Off,
            FenceEffect::Write(_) | FenceEffect::Audit(_) | FenceEffect::Withdraw { .. } => false,
            FenceEffect::Announce { .. } | FenceEffect::VerifyPath { .. } | FenceEffect::Answer { .. } => {
                false
            }
        })
    }

    /// lb02 hears nothing of lb01 and becomes MASTER too; it is heard by everybody.
    pub fn deafen(&mut self) {
        self.world.filter_one_way("lb01", "lb02");
        self.run(4_000);
        self.world.enter("lb02", VrrpState::Master, "master_down");
        self.carry_out();
    }

    pub fn steps(&self) -> Vec<&str> {
        self.steps.iter().map(|(_, step)| step.as_str()).collect()
    }

    /// Nothing was done to anybody.
    pub fn untouched(&self, why: RefusalCode) {
        assert_eq!(self.steps, [], "{:?}", self.refusals());
        assert!(self.refusals().contains(&why), "{why} is not in the audit log: {:?}", self.refusals());
    }

    pub fn refusals(&self) -> Vec<RefusalCode> {
        self.audit.iter().filter_map(|line| line.refused).collect()
    }

    pub fn operation(&self) -> &Operation {
        self.rows.values().next_back().unwrap_or_else(|| panic!("no operation: {:?}", self.refusals()))
    }

    pub fn state(&self) -> FenceState {
        self.operation().state
    }

    /// The coordinator dies and comes back with what was written.
    pub fn restart(&mut self) {
        self.waiting.clear();
        self.world.fenced.clear();
        self.world.restart_coordinator();
        self.lead();
        let up: Vec<String> =
            self.world.segment.hosts.iter().filter(|host| host.up).map(|host| host.name.clone()).collect();
        for name in up {
            self.world.connect(&name);
        }
        self.carry_out();
    }
}
