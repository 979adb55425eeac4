//! A coordinator of the simulated world: its core, its clock, and what it still has to do. Two of them share one store.

use std::{collections::BTreeMap, time::Duration};

use hafleet_fleet::{
    Effect, Finding, FindingStatus, Fleet, Input, RestoredFinding, Windows,
    fence::{
        FenceEffect, FenceInput, FenceRow, FenceState, FenceVerb, Mode, Outcome, Reading, Rung, StepAction,
        Trace,
    },
};

use super::{NODES, STEP_US, Sim, name};
use crate::{
    network::SECOND,
    world::{at, site},
};

/// A step that was decided longer ago is not begun.
const DECIDED_MAX_US: u64 = 2 * SECOND;

pub(super) struct Desk {
    pub(super) fleet: Fleet,
    /// What its clock says beside the truth.
    pub(super) skew_us: i64,
    /// Counts its starts: answers to an earlier life are lost.
    pub(super) life: u64,
    /// The mode that it was started with.
    pub(super) mode: Mode,
    /// When it became leader, by its own clock.
    pub(super) led_us: u64,
    /// What it wants done, with when it was decided.
    queue: Vec<(u64, FenceEffect)>,
    /// Until when the store makes it wait for the row at the head of the queue.
    slow_until_us: u64,
    findings: BTreeMap<String, Finding>,
}

impl Desk {
    pub(super) fn new(mode: Mode) -> Self {
        let mut fleet = fleet();
        fleet.handle(Input::Started, at(1000 * SECOND));
        Self {
            fleet,
            skew_us: 0,
            life: 0,
            mode,
            led_us: 0,
            queue: Vec::new(),
            slow_until_us: 0,
            findings: BTreeMap::new(),
        }
    }
}

fn fleet() -> Fleet {
    Fleet::new(Windows { grace: Duration::from_secs(2), ..Windows::default() })
}

impl Sim {
    pub(super) fn clock(&self, desk: usize) -> u64 {
        self.now_us.saturating_add_signed(self.desks[desk].skew_us)
    }

    pub(super) fn give_all(&mut self, input: &Input) {
        for desk in 0..self.desks.len() {
            self.give(desk, input.clone());
        }
    }

    pub(super) fn give(&mut self, desk: usize, input: Input) {
        let clock = at(self.clock(desk));
        self.desks[desk].fleet.handle(input, clock);
        let mut answers = Vec::new();
        while let Some(effect) = self.desks[desk].fleet.next_output() {
            match effect {
                Effect::Finding { finding, .. } => {
                    drop(self.desks[desk].findings.insert(finding.id.0.clone(), finding));
                }
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
                Effect::Fence(effect) => {
                    self.decided(desk, &effect);
                    self.desks[desk].queue.push((self.now_us, effect));
                }
            }
        }
        for answer in answers {
            if self.chance.below(8) != 0 {
                self.give(desk, answer);
            }
        }
        self.carry_out(desk);
    }

    pub(super) fn fence(&mut self, desk: usize, input: FenceInput) {
        self.give(desk, Input::Fence(input));
    }

    pub(super) fn ask(&mut self, desk: usize, verb: FenceVerb) {
        self.fence(desk, FenceInput::Asked { request: 1, actor: "ada".to_owned(), verb });
    }

    pub(super) fn carry_out(&mut self, desk: usize) {
        while self.database
            && self.desks[desk].slow_until_us <= self.now_us
            && !self.desks[desk].queue.is_empty()
        {
            let (decided_us, effect) = self.desks[desk].queue.remove(0);
            if let FenceEffect::Write(row) = effect {
                // The store has it, or has refused it; the word of that may take its time, and all the rest with it.
                self.write(desk, *row);
                if self.chance.below(12) == 0 {
                    self.desks[desk].slow_until_us = self.now_us + self.chance.below(6) * STEP_US;
                }
                continue;
            }
            let late = self.now_us - decided_us > DECIDED_MAX_US;
            self.carry_out_one(desk, effect, late);
        }
    }

    fn carry_out_one(&mut self, desk: usize, effect: FenceEffect, late: bool) {
        match effect {
            FenceEffect::Write(_) | FenceEffect::Audit(_) | FenceEffect::Answer { .. } => {}
            FenceEffect::Demote { epoch, operation, node, .. } => {
                let refused = self.is_deposed(epoch) || late;
                let outcome = if refused { Outcome::Failed } else { self.demote(operation, &node) };
                if self.chance.below(8) != 0 {
                    self.after(desk, FenceInput::Demoted { operation, outcome });
                }
            }
            FenceEffect::Withdraw { epoch, operation, node } => {
                let refused = self.is_deposed(epoch);
                let outcome = if refused { Outcome::Failed } else { self.withdraw(operation, &node) };
                self.after(desk, FenceInput::Withdrawn { operation, outcome });
            }
            FenceEffect::Announce { operation, node, .. } => {
                let outcome = self.mostly();
                self.after(desk, FenceInput::Announced { operation, node, outcome });
            }
            FenceEffect::RunStep { epoch, operation, revision, node, rung, action, .. } => {
                let (index, trace) = (self.index(&node), Trace::default());
                let refused = self.is_deposed(epoch);
                match action {
                    StepAction::Off if refused || late => {
                        self.after(
                            desk,
                            FenceInput::Ran { operation, revision, outcome: Outcome::Failed, trace },
                        );
                    }
                    StepAction::Off => {
                        if let Some(outcome) = self.off(index, rung) {
                            self.after(desk, FenceInput::Ran { operation, revision, outcome, trace });
                        }
                    }
                    StepAction::Status => {
                        let reading = if refused { Some(Reading::Unknown) } else { self.status(index, rung) };
                        if let Some(reading) = reading {
                            self.after(desk, FenceInput::Status { operation, revision, reading, trace });
                        }
                    }
                }
            }
            FenceEffect::VerifyPath { node, rung, .. } => {
                let outcome = self.mostly();
                self.after(desk, FenceInput::PathVerified { node, rung, outcome });
            }
        }
    }

    /// The lease is looked at right before a step.
    fn is_deposed(&mut self, epoch: u64) -> bool {
        let over = epoch != self.lease;
        self.tally.deposed += u64::from(over);
        over
    }

    /// Written in order, each under the lease.
    fn write(&mut self, desk: usize, FenceRow { operation, standing }: FenceRow) {
        let revision = standing.revision;
        if standing.epoch != self.lease {
            self.tally.refused_rows += 1;
            return self.fence(desk, FenceInput::WriteRefused { revision, why: "another leader".to_owned() });
        }
        assert!(revision > self.standing.revision, "seed {}: {revision}", self.seed);
        self.standing = standing;
        let id = operation.as_ref().map(|operation| operation.id);
        if let Some(operation) = operation {
            self.tally.states.insert(operation.state);
            self.rows.insert(operation.id, operation);
        }
        self.one_open_for_each_target();
        let written = FenceInput::Written { operation: id, revision };
        if self.chance.below(12) == 0 { self.after(desk, written) } else { self.fence(desk, written) }
    }

    fn off(&mut self, index: usize, rung: Rung) -> Option<Outcome> {
        let (outcome, works) = match self.chance.below(9) {
            0 => (Some(Outcome::Failed), false),
            1 => (Some(Outcome::Unknown), true),
            2 => (Some(Outcome::Done), false),
            3 => (None, false),
            4 => (Some(Outcome::TimedOut), true),
            5 => {
                // It is killed for being slow, and what it began comes to its end all the same.
                let late = (4 + self.chance.below(24)) * STEP_US;
                self.programs.push((self.now_us + late, index, rung));
                (Some(Outcome::TimedOut), false)
            }
            _ => (Some(Outcome::Done), true),
        };
        if works {
            self.switch_off(index, rung);
        }
        outcome
    }

    fn status(&mut self, index: usize, rung: Rung) -> Option<Reading> {
        let host = &self.hosts[index];
        let off = match rung {
            Rung::Network => !host.port,
            Rung::Power => !host.up,
        };
        match self.chance.below(8) {
            0 => Some(Reading::Unknown),
            1 => None,
            2 => Some(Reading::Off),
            _ if off => Some(Reading::Off),
            _ => Some(Reading::On),
        }
    }

    fn mostly(&mut self) -> Outcome {
        if self.chance.below(10) == 0 { Outcome::Failed } else { Outcome::Done }
    }

    /// An answer takes its way, now and then for so long that nobody waits for it any more.
    fn after(&mut self, desk: usize, input: FenceInput) {
        let steps = if self.chance.below(12) == 0 { 30 } else { 3 };
        let way = self.chance.below(steps) * STEP_US;
        self.later.push((self.now_us + way, desk, self.desks[desk].life, input));
    }

    /// It takes the lease, then reads the store; the other one does not know.
    pub(super) fn lead(&mut self, desk: usize) {
        self.lease += 1;
        // What was still to be written in its term before is not.
        self.desks[desk].queue.clear();
        self.desks[desk].slow_until_us = 0;
        self.desks[desk].led_us = self.clock(desk);
        let open = self.rows.values().filter(|row| row.state.is_open() || row.ordered && !row.withdrawn);
        let (standing, operations) = (self.standing.clone(), open.cloned().collect());
        let policy = hafleet_fleet::fence::FencePolicy { mode: self.desks[desk].mode, ..self.policy.clone() };
        self.fence(desk, FenceInput::Configured(Box::new(policy)));
        self.fence(desk, FenceInput::Restored { standing, operations });
        self.fence(desk, FenceInput::Leader { epoch: self.lease });
    }

    /// It dies and comes back, knowing only what was written; its clock may be another one's.
    pub(super) fn restart(&mut self, desk: usize) {
        let skew = [0, 0, -40_000_000, 40_000_000][self.chance.below(4) as usize];
        let it = &mut self.desks[desk];
        it.queue.clear();
        it.slow_until_us = 0;
        it.skew_us += skew;
        it.life += 1;
        it.fleet = fleet();
        let findings = it.findings.clone();
        self.give(desk, Input::Started);
        for index in 0..NODES {
            let last = Some(self.snapshot(index));
            self.give(desk, Input::NodeKnown { node: name(index), site: site(), last });
        }
        for index in self.maintained.clone() {
            self.give(desk, Input::Maintenance { node: name(index), on: true });
        }
        for finding in findings.into_values() {
            if finding.status == FindingStatus::Firing {
                self.give(desk, Input::FindingRestored(RestoredFinding { finding }));
            }
        }
        for index in 0..NODES {
            if self.hosts[index].connected {
                self.give(desk, Input::NodeConnected { node: name(index), site: site() });
            }
        }
    }

    /// What a row that is about to be written says of the truth.
    pub(super) fn remember(&mut self, row: &FenceRow) {
        if let Some(operation) = row.operation.as_ref().filter(|row| row.state == FenceState::Escalating) {
            self.escalated_us.insert(operation.id, self.now_us);
        }
    }
}
