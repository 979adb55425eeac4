//! What a shell does with the effects, well or badly, and what may never be among them.

use std::{collections::BTreeSet, time::Duration};

use hafleet_fleet::{
    NodeName, VrrpState,
    fence::{
        FenceEffect, FenceInput, FenceRow, FenceState, Mode, Operation, OperationId, Origin, Outcome,
        Reading, Rung, StepAction, Trace,
    },
};

use super::{
    World,
    hosts::{NODES, node},
};

/// What a host says may be a heartbeat and a probe old.
const SPOKE: Duration = Duration::from_secs(4);
/// What a witness saw may be five seconds old, and the word of it as old as a heartbeat may be.
const SEEN: Duration = Duration::from_secs(9);

/// One bit of `answers` each: who answers otherwise than well.
const AGENT_IS_MUTE: u8 = 1;
const PROGRAM_FAILS: u8 = 2;
const PROGRAM_DOES_NOTHING: u8 = 4;
const STATUS_IS_UNREADABLE: u8 = 8;
const PATH_IS_BROKEN: u8 = 16;
const ANNOUNCES_NOT: u8 = 32;

impl World {
    /// Rule 17, at the instant at which the core says so: what the queue is held up by is not the core's. Who is fenced already is
    /// kept out all the same, until somebody releases it.
    pub(super) fn handed_out(&mut self, effect: &FenceEffect) {
        let target = match effect {
            FenceEffect::Demote { operation, .. } if self.is_quarantined(*operation) => return,
            FenceEffect::Demote { node, .. } => node,
            FenceEffect::RunStep { node, action: StepAction::Off, .. } => node,
            FenceEffect::RunStep { action: StepAction::Status, .. }
            | FenceEffect::Write(_)
            | FenceEffect::Audit(_)
            | FenceEffect::Withdraw { .. }
            | FenceEffect::Announce { .. }
            | FenceEffect::VerifyPath { .. }
            | FenceEffect::Answer { .. } => return,
        };
        assert!(!self.committing.contains(target), "{target} is in the middle of a commit: {effect:?}");
        assert!(!self.maintenance.contains(target), "{target} is in maintenance: {effect:?}");
        assert!(self.policy.mode != Mode::Disabled, "fencing is disabled: {effect:?}");
    }

    /// In order, as long as the database answers.
    pub(super) fn carry_out(&mut self, answers: u8) {
        let is = |bit: u8| answers & bit != 0;
        while self.database && !self.queue.is_empty() {
            match self.queue.remove(0) {
                FenceEffect::Write(row) => self.write(*row),
                FenceEffect::Audit(line) => {
                    if let Some(code) = line.refused {
                        self.reached.insert(format!("refused {code}"));
                    }
                }
                FenceEffect::Answer { .. } => {}
                FenceEffect::Demote { epoch, operation, node, instances, .. } => {
                    self.demote(epoch, operation, &node, &instances, is(AGENT_IS_MUTE));
                }
                FenceEffect::Withdraw { operation, node, .. } => self.withdraw(operation, &node),
                FenceEffect::Announce { operation, node, .. } => {
                    self.reached.insert("announce".to_owned());
                    let outcome = if is(ANNOUNCES_NOT) { Outcome::Failed } else { Outcome::Done };
                    self.fence(FenceInput::Announced { operation, node, outcome });
                }
                FenceEffect::RunStep { epoch, operation, revision, node, rung, action, .. } => match action {
                    StepAction::Off => {
                        let outcome = if is(PROGRAM_FAILS) { Outcome::Failed } else { Outcome::Done };
                        let works = !is(PROGRAM_FAILS) && !is(PROGRAM_DOES_NOTHING);
                        self.off((epoch, operation, revision), &node, rung, outcome, works);
                    }
                    StepAction::Status => {
                        let host = &self.hosts[self.number(&node)];
                        let off = match rung {
                            Rung::Network => !host.port,
                            Rung::Power => !host.up,
                        };
                        let reading = match (is(STATUS_IS_UNREADABLE), off) {
                            (true, _) => Reading::Unknown,
                            (false, true) => Reading::Off,
                            (false, false) => Reading::On,
                        };
                        let trace = Trace::default();
                        self.fence(FenceInput::Status { operation, revision, reading, trace });
                    }
                },
                FenceEffect::VerifyPath { node, rung, .. } => {
                    let outcome = if is(PATH_IS_BROKEN) { Outcome::Failed } else { Outcome::Done };
                    self.fence(FenceInput::PathVerified { node, rung, outcome });
                }
            }
        }
    }

    /// Written in order, each under the lease; never two open operations against one target.
    fn write(&mut self, FenceRow { operation, standing }: FenceRow) {
        let revision = standing.revision;
        if standing.epoch != self.lease {
            self.reached.insert("write refused".to_owned());
            return self.fence(FenceInput::WriteRefused { revision, why: "another leader".to_owned() });
        }
        assert!(revision > self.standing.revision, "{revision} after {}", self.standing.revision);
        self.standing = standing;
        let id = operation.as_ref().map(|operation| operation.id);
        if let Some(operation) = operation {
            self.reached.insert(operation.state.as_str().to_owned());
            self.rows.insert(operation.id, operation);
        }
        let mut targets = BTreeSet::new();
        for row in self.rows.values().filter(|row| row.state.is_open()) {
            assert!(targets.insert(&row.target), "two against {}", row.target);
        }
        self.committed.push((id, revision));
        self.fence(FenceInput::Written { operation: id, revision });
    }

    /// What holds for every step: its row is in the store, in this state, under the step's epoch; somebody else is left; a person
    /// or the mode has said yes; and nobody is fenced for having fallen silent.
    fn allowed(
        &self,
        epoch: u64,
        operation: OperationId,
        states: &[FenceState],
        target: &NodeName,
    ) -> &Operation {
        let Some(row) = self.rows.get(&operation) else { panic!("{operation} is not written") };
        assert!(states.contains(&row.state), "{operation} is written as {}", row.state);
        assert_eq!(row.epoch, epoch);
        assert_eq!(row.target, *target);
        let number = self.number(target);
        let left = (0..NODES).filter(|other| *other != number).any(|other| {
            let host = &self.hosts[other];
            host.up && !host.held && self.lately(host.spoke, SPOKE)
        });
        let host = &self.hosts[number];
        let serves = host.up && matches!(host.state, VrrpState::Master | VrrpState::Backup);
        assert!(left || !serves, "{operation} takes the last good node {target}");
        if row.state == FenceState::Quarantined {
            return row;
        }
        assert_eq!(self.standing.paused, None, "all fencing is paused");
        if matches!(row.origin, Origin::Order(_)) {
            return row;
        }
        assert!(
            self.policy.mode == Mode::Auto || row.approved_by.is_some(),
            "nobody has said yes to {operation}"
        );
        assert!(self.lately(host.master, SEEN), "{target} held nothing");
        let other = (0..NODES).any(|other| other != number && self.lately(self.hosts[other].master, SPOKE));
        assert!(other, "nobody else holds it");
        row
    }

    fn demote(
        &mut self,
        epoch: u64,
        operation: OperationId,
        target: &NodeName,
        instances: &[String],
        mute: bool,
    ) {
        // The shell looks at the lease once more.
        if epoch != self.lease {
            return self.fence(FenceInput::Demoted { operation, outcome: Outcome::Failed });
        }
        let states = [FenceState::Demoting, FenceState::Quarantined];
        let row = self.allowed(epoch, operation, &states, target);
        if row.state == FenceState::Demoting && !matches!(row.origin, Origin::Order(_)) {
            assert_eq!(instances, ["VI_1".to_owned()]);
            // It said so itself.
            let number = self.number(target);
            assert!(self.lately(self.hosts[number].spoke, SPOKE), "{target} has fallen silent");
        }
        self.reached.insert("step demote".to_owned());
        let number = self.number(target);
        let host = &self.hosts[number];
        let reached = host.connected;
        if reached && !host.disobedient && !host.held {
            self.hosts[number].held = true;
            self.enter(number, VrrpState::Fault, "held");
        }
        if !mute {
            let outcome = if reached { Outcome::Done } else { Outcome::Failed };
            self.fence(FenceInput::Demoted { operation, outcome });
        }
    }

    fn withdraw(&mut self, operation: OperationId, target: &NodeName) {
        self.reached.insert("withdraw".to_owned());
        let row = self.rows.get(&operation);
        assert!(row.is_some_and(|row| !row.state.is_open()), "{operation} is not over");
        let number = self.number(target);
        let reached = self.hosts[number].connected;
        if reached && self.hosts[number].held {
            self.hosts[number].held = false;
            self.enter(number, VrrpState::Backup, "unheld");
        }
        let outcome = if reached { Outcome::Done } else { Outcome::Failed };
        self.fence(FenceInput::Withdrawn { operation, outcome });
    }

    fn off(
        &mut self,
        (epoch, operation, revision): (u64, OperationId, u64),
        target: &NodeName,
        rung: Rung,
        outcome: Outcome,
        works: bool,
    ) {
        let trace = Trace::default();
        if epoch != self.lease {
            let outcome = Outcome::Failed;
            return self.fence(FenceInput::Ran { operation, revision, outcome, trace });
        }
        let row = self.allowed(epoch, operation, &[FenceState::Running(rung)], target);
        assert_eq!(row.revision, revision, "{operation}");
        if !matches!(row.origin, Origin::Order(_)) {
            let number = self.number(target);
            let saw = |other: &usize| self.lately(self.hosts[*other].heard[number], SEEN);
            let seen = (0..NODES).filter(|other| *other != number).filter(saw).count();
            assert!(seen >= 2, "{seen} saw {target}");
        }
        self.reached.insert(format!("step {rung} off"));
        if works {
            let number = self.number(target);
            match rung {
                Rung::Network => self.hosts[number].port = false,
                Rung::Power => self.crash(number),
            }
        }
        self.fence(FenceInput::Ran { operation, revision, outcome, trace });
    }

    fn is_quarantined(&self, operation: OperationId) -> bool {
        self.rows.get(&operation).is_some_and(|row| row.state == FenceState::Quarantined)
    }

    pub(super) fn number(&self, name: &NodeName) -> usize {
        (0..NODES).find(|number| node(*number) == *name).unwrap_or_else(|| panic!("no {name}"))
    }
}
