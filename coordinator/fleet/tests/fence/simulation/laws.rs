//! What must never happen, looked for at the moment in which a coordinator whose epoch is the store's decides on a step. (A step of an
//! older epoch is stopped by the shell, which looks at the lease right before it.)

use std::collections::BTreeSet;

use hafleet_fleet::{
    VrrpState,
    fence::{FenceEffect, FenceState, Level, Mode, Operation, OperationId, Origin, Rung, StepAction},
};

use super::{NODES, Sim};
use crate::network::SECOND;

/// What a host says may be a heartbeat and a probe old.
const SPOKE_US: u64 = 4 * SECOND;
/// What a witness saw may be five seconds old, and the word of it as old as a heartbeat may be.
const SEEN_US: u64 = 5 * SECOND + SPOKE_US;

impl Sim {
    pub(super) fn decided(&mut self, desk: usize, effect: &FenceEffect) {
        match effect {
            FenceEffect::Write(row) => self.remember(row),
            FenceEffect::Demote { epoch, operation, node, instances, .. } if *epoch == self.lease => {
                let index = self.index(node);
                let row = self.written(*epoch, *operation, &[FenceState::Demoting, FenceState::Quarantined]);
                self.never(desk, &row, index);
                if row.state == FenceState::Demoting {
                    self.by_mode(desk, &row, Level::Demote);
                    self.demote_is_due(desk, &row, index, instances);
                }
                self.tally.demotes += 1;
            }
            FenceEffect::RunStep {
                epoch, operation, revision, node, rung, action: StepAction::Off, ..
            } if *epoch == self.lease => {
                let index = self.index(node);
                let row = self.written(*epoch, *operation, &[FenceState::Running(*rung)]);
                assert_eq!(row.revision, *revision, "seed {}", self.seed);
                self.never(desk, &row, index);
                self.by_mode(desk, &row, Level::Device(*rung));
                self.off_is_due(desk, &row, index);
                self.tally.offs += 1;
                self.tally.powers += u64::from(*rung == Rung::Power);
            }
            FenceEffect::Withdraw { operation, .. } => {
                let row = &self.rows[operation];
                assert!(
                    !row.state.is_open(),
                    "seed {}: {operation} is {} and withdrawn",
                    self.seed,
                    row.state
                );
            }
            FenceEffect::Demote { .. } | FenceEffect::RunStep { .. } => {}
            FenceEffect::Audit(_) | FenceEffect::Announce { .. } => {}
            FenceEffect::VerifyPath { .. } | FenceEffect::Answer { .. } => {}
        }
    }

    pub(super) fn one_open_for_each_target(&self) {
        let mut targets = BTreeSet::new();
        for row in self.rows.values().filter(|row| row.state.is_open()) {
            assert!(targets.insert(&row.target), "seed {}: two against {}", self.seed, row.target);
        }
    }

    /// Its row is in the store, in this state, under this epoch; and it is the only one of its group that acts.
    fn written(&self, epoch: u64, operation: OperationId, states: &[FenceState]) -> Operation {
        let seed = self.seed;
        let row =
            self.rows.get(&operation).unwrap_or_else(|| panic!("seed {seed}: {operation} is not written"));
        assert!(states.contains(&row.state), "seed {seed}: {operation} is written as {}", row.state);
        assert_eq!(row.epoch, epoch, "seed {seed}: {operation} was written under another epoch");
        let acts = |other: &&Operation| {
            other.id != operation
                && match other.state {
                    FenceState::Demoting | FenceState::Running(_) | FenceState::Verifying(_) => true,
                    FenceState::Proposed | FenceState::AwaitingApproval | FenceState::Approved => false,
                    FenceState::Denied | FenceState::Resolved | FenceState::Escalating => false,
                    FenceState::Fenced | FenceState::Failed | FenceState::Unknown => false,
                    FenceState::Quarantined | FenceState::Released => false,
                }
        };
        // Whoever was fenced before may be held down again at any time.
        let other = self.rows.values().find(acts).filter(|_| row.state != FenceState::Quarantined);
        assert!(other.is_none(), "seed {seed}: {operation} acts beside {other:?}");
        row.clone()
    }

    /// Whatever anybody says.
    fn never(&self, desk: usize, row: &Operation, index: usize) {
        let seed = self.seed;
        let others = (0..NODES).filter(|other| *other != index);
        let left = others.into_iter().any(|other| {
            let host = &self.hosts[other];
            host.up && !host.held && self.spoke(other)
        });
        let target = &self.hosts[index];
        let serves = target.up && matches!(target.state, VrrpState::Master | VrrpState::Backup);
        assert!(left || !serves, "seed {seed}: {} takes the last good node {}", row.id, row.target);
        assert!(self.standing.paused.is_none(), "seed {seed}: {} acts in a pause", row.id);
        assert!(self.desks[desk].mode != Mode::Disabled, "seed {seed}: {} acts in mode disabled", row.id);
        let protected = self.policy.protected_nodes.contains(&row.target);
        assert!(!protected, "seed {seed}: {} is protected", row.target);
        assert!(!self.maintained.contains(&index), "seed {seed}: {} is in maintenance", row.target);
    }

    /// Without a person's yes, or word, nothing is done but in `auto`.
    fn by_mode(&mut self, desk: usize, row: &Operation, level: Level) {
        let mode = self.desks[desk].mode;
        let latched = self.standing.latched || !self.standing.latched_groups.is_empty();
        let approved = is_order(row) || row.approved_up_to.is_some_and(|up_to| level <= up_to);
        let alone = mode == Mode::Auto && !latched;
        assert!(alone || approved, "seed {}: {} does {level} in {mode} unasked", self.seed, row.id);
        self.tally.modes.insert(mode);
        self.tally.approved += u64::from(!alone);
        if !is_order(row) {
            let led = self.clock(desk).saturating_sub(self.desks[desk].led_us);
            assert!(
                led >= 5 * SECOND,
                "seed {}: {} acts {led} us after a change of leader",
                self.seed,
                row.id
            );
        }
    }

    /// Somebody lies who holds nothing, or has lied a moment ago.
    fn may_lie(&self, index: usize) -> bool {
        self.now_us - self.hosts[index].lied_us <= SEEN_US
    }

    fn demote_is_due(&mut self, desk: usize, row: &Operation, index: usize, instances: &[String]) {
        if is_order(row) {
            return;
        }
        let (seed, target) = (self.seed, &row.target);
        let held = self.was_master(index, SPOKE_US) || self.may_lie(index);
        assert!(held, "seed {seed}: {target} held nothing (desk {desk})");
        let goes_on = |other: usize| self.was_master(other, SPOKE_US) || self.may_lie(other);
        let other = (0..NODES).any(|other| other != index && goes_on(other));
        assert!(other, "seed {seed}: nobody else holds it");
        assert_eq!(instances, ["VI_1".to_owned()], "seed {seed}");
        self.tally.lies += u64::from((0..NODES).any(|other| self.may_lie(other)));
    }

    /// It really holds the address, has held it since the last step was found not to be enough, two others really saw it a moment
    /// ago or one did and another one lies, and one that may go on holds it too.
    fn off_is_due(&mut self, desk: usize, row: &Operation, index: usize) {
        if is_order(row) {
            return;
        }
        let (seed, target) = (self.seed, &row.target);
        assert!(self.was_master(index, SEEN_US), "seed {seed}: {target} held nothing (desk {desk})");
        let sees = |other: usize| self.now_us - self.hosts[other].heard_us[index] <= SEEN_US;
        let others = || (0..NODES).filter(|other| *other != index);
        let (saw, lied) =
            (others().filter(|other| sees(*other)).count(), others().any(|other| self.may_lie(other)));
        assert!(saw >= if lied { 1 } else { 2 }, "seed {seed}: {saw} saw {target}");
        let goes_on = others().any(|other| self.was_master(other, SPOKE_US) || self.may_lie(other));
        assert!(goes_on, "seed {seed}: nobody else holds it");
        if let Some(escalated_us) = self.escalated_us.get(&row.id).filter(|_| !lied) {
            let last_us = self.hosts[index].master_us;
            assert!(
                last_us >= *escalated_us,
                "seed {seed}: {target} had let go before the next step was due"
            );
        }
        self.tally.lies += u64::from(lied);
    }

    pub(super) fn was_master(&self, index: usize, within_us: u64) -> bool {
        self.now_us - self.hosts[index].master_us <= within_us
    }

    fn spoke(&self, index: usize) -> bool {
        self.now_us - self.spoke_us[index] <= SPOKE_US
    }
}

fn is_order(row: &Operation) -> bool {
    match row.origin {
        Origin::Order(_) | Origin::Vouched(_) => true,
        Origin::Detection | Origin::Proposal(_) => false,
    }
}
