//! Moving one operation on: what its state waits for, and what follows when that has come.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
};
use core::time::Duration;

use crate::{
    fence::{
        Audit, Device, FenceEffect, FenceEvent as Event, FenceState as State, Level, Mode, OURSELVES,
        Operation, OperationId, Outcome, Reading, Refusal, RefusalCode as Code, Rung, StepAction,
        gates::{Authority, Step},
    },
    fleet::Fleet,
    model::{GroupKey, VrrpState},
    time::Instant,
    words::list,
};

/// The reason code of an instance that an order holds down.
const HELD: &str = "held";
/// An order that did not come through, to a node that holds nothing by itself, is given again after this.
const AGAIN: Duration = Duration::from_secs(2);

impl Fleet {
    /// True when it has gone an edge and may go another one at once.
    pub(super) fn fence_advance(&mut self, id: OperationId, now: Instant) -> bool {
        let Some(open) = self.fence.operations.get(&id) else { return false };
        match open.row.state {
            State::Proposed => {
                // Its first edge was lost with the coordinator that proposed it.
                self.edge(id, Event::Deny, ("restarted", "the coordinator was restarted"), now)
            }
            State::AwaitingApproval => self.awaiting(id, now),
            State::Approved => self.approved(id, now),
            State::Demoting => self.demoting(id, now),
            State::Escalating => self.escalating(id, now),
            State::Running(rung) => self.running(id, rung, now),
            State::Verifying(rung) => self.verifying(id, rung, now),
            State::Fenced => self.edge(id, Event::Quarantine, ("fenced", "until a person releases it"), now),
            State::Resolved | State::Quarantined => self.fence_aftercare(id, now),
            State::Failed | State::Unknown => false,
            State::Denied | State::Released => {
                self.fence_let_go(id, now);
                false
            }
        }
    }

    fn edge(&mut self, id: OperationId, event: Event, (code, why): (&str, &str), now: Instant) -> bool {
        self.fence_edge(id, event, OURSELVES, (code, why.to_string()), now).is_ok()
    }

    fn refused_edge(&mut self, id: OperationId, event: Event, refusal: Refusal, now: Instant) -> bool {
        self.fence_edge(id, event, OURSELVES, (refusal.code.as_str(), refusal.words), now).is_ok()
    }

    /// A person has not decided yet; there may be nothing left to decide.
    fn awaiting(&mut self, id: OperationId, now: Instant) -> bool {
        let Some(row) = self.row(id) else { return false };
        if self.let_go_late(id, &row, now) {
            return true;
        }
        let still = |key: &GroupKey| {
            self.is_contested(key) && self.fence.cases.get(key).is_some_and(|case| case.victim == row.target)
        };
        if row.is_order() || row.groups.iter().any(still) {
            self.open_gates(id);
            if row.taken.is_some() || self.fence_first_level(&row.target, now) != Level::Demote {
                // What witnesses see is to be at hand when the person says yes.
                let seen = Refusal::new(Code::TooFewObservers, "");
                self.fence_ask_again(&row.groups, &seen, now);
            }
            return false;
        }
        let refusal =
            Refusal::new(Code::EvidenceGone, format!("{} holds nothing wrongly any more", row.target));
        self.wait_or(id, Event::Deny, refusal, now)
    }

    /// The demote came too late, before a person has answered: the order holds it down, and is not to be set free by a denial.
    fn let_go_late(&mut self, id: OperationId, row: &Operation, now: Instant) -> bool {
        let why = format!("{} has let go by now", row.target);
        row.ordered
            && self.has_let_go(row, Some(row.entered_at), now)
            && self.is_held(row)
            && self.edge(id, Event::Clear, ("let_go", &why), now)
    }

    fn approved(&mut self, id: OperationId, now: Instant) -> bool {
        self.forget_ended_groups(id, now);
        let Some(row) = self.row(id) else { return false };
        // Whoever orders more than a demote wants it although the node has let go.
        let ordered_more = row.is_order() && row.approved_up_to > Some(Level::Demote);
        if !ordered_more && self.let_go_late(id, &row, now) {
            return true;
        }
        let level = match (row.is_order(), row.approved_up_to, row.taken) {
            (true, Some(level), _) => level,
            (true, None, _) | (false, _, None) => self.fence_first_level(&row.target, now),
            (false, _, Some(taken)) => match self.next_rung(&row, taken) {
                Some(rung) => Level::Device(rung),
                None => {
                    return self.edge(id, Event::Escalate, ("no_device", "there is no further step"), now);
                }
            },
        };
        let authority = self.authority(&row, level);
        let going_on = self.groups_going_on(&row);
        match self.gates(Step { groups: &going_on, ..step(&row, level, authority, false) }, now) {
            Ok(()) => {
                let event = match level {
                    Level::Demote => Event::Demote,
                    Level::Device(rung) => Event::Run(rung),
                };
                self.edge(id, event, ("allowed", "every gate is open"), now)
            }
            Err(refusal) => self.wait_or(id, Event::Deny, refusal, now),
        }
    }

    fn demoting(&mut self, id: OperationId, now: Instant) -> bool {
        let Some(open) = self.fence.operations.get(&id) else { return false };
        let (acted_at, answered, written) = (open.live.acted_at, open.live.answered, open.live.written);
        let (row, from_store, orders) = (open.row.clone(), open.live.from_store, open.live.orders);
        let has_let_go = self.has_let_go(&row, acted_at, now);
        // A node may have let go by itself, or never have held: only the order keeps it down.
        let held = match acted_at {
            Some(_) => answered == Some(Outcome::Done) || self.is_held_whole(&row),
            None => self.is_held(&row),
        };
        if has_let_go && held {
            let why = format!("{} has let go of {}", row.target, list(row.groups.iter()));
            return self.edge(id, Event::Clear, ("demoted", &why), now);
        }
        if let Some(at) = acted_at {
            let failed = answered.is_some_and(|outcome| outcome != Outcome::Done);
            let holds_nothing = self.has_let_go(&row, None, now);
            if holds_nothing && failed && orders < self.fence_attempts() {
                if now >= at + AGAIN
                    && let Some(open) = self.fence.operations.get_mut(&id)
                {
                    (open.live.acted_at, open.live.answered) = (None, None);
                }
                return false;
            }
            let late = self.fence.policy.as_ref().is_some_and(|policy| now >= at + policy.windows.demote);
            let why = match answered {
                Some(Outcome::Failed) => "the agent could not be told, or refused",
                Some(Outcome::Done | Outcome::TimedOut | Outcome::Unknown) | None if late => {
                    "the agent was not seen to let go in time"
                }
                Some(Outcome::Done | Outcome::TimedOut | Outcome::Unknown) | None => return false,
            };
            return self.edge(id, Event::Escalate, ("demote_failed", why), now);
        }
        if !written {
            return false;
        }
        let authority = self.authority(&row, Level::Demote);
        // Of groups that joined later the earlier ones may be well already: what holds them down stays.
        let going_on = self.groups_going_on(&row);
        match self.gates(Step { groups: &going_on, ..step(&row, Level::Demote, authority, true) }, now) {
            Ok(()) => {
                if let Some(open) = self.fence.operations.get_mut(&id) {
                    open.live.orders += 1;
                }
                let held = row.instances.iter().filter(|name| self.holds_down(&row, name)).cloned();
                let instances: BTreeSet<String> =
                    going_on.iter().flat_map(|key| self.fence_instances(key, &row)).chain(held).collect();
                self.hand_out(id, now, |epoch| FenceEffect::Demote {
                    epoch,
                    operation: id,
                    node: row.target.clone(),
                    instances: instances.into_iter().collect(),
                    why: row.explanation.clone(),
                });
                false
            }
            Err(refusal) => {
                // What another life of the coordinator did to a node that is silent now, nobody knows.
                let silent =
                    self.nodes.get(&row.target).is_none_or(|node| !node.is_fresh(now, self.windows.fresh));
                let event = if from_store && silent { Event::LoseSight } else { Event::Deny };
                self.wait_or(id, event, refusal, now)
            }
        }
    }

    fn escalating(&mut self, id: OperationId, now: Instant) -> bool {
        let Some(row) = self.row(id) else { return false };
        let taken = row.taken.unwrap_or(Level::Demote);
        if self.has_let_go(&row, Some(row.entered_at), now) {
            let why = format!("{} has let go by now", row.target);
            if row.ordered && self.is_held(&row) {
                return self.edge(id, Event::Clear, ("let_go", &why), now);
            }
            // Nothing holds it down. A person's order has failed then, below; a split brain is over.
            if !row.is_order() {
                return self.edge(id, Event::Deny, ("let_go", &why), now);
            }
        }
        let rung = if row.is_order() { None } else { self.next_rung(&row, taken) };
        let Some(rung) = rung else {
            let why = "nothing is left to try: a person must act";
            return self.edge(id, Event::GiveUp, ("no_level_left", why), now);
        };
        let level = Level::Device(rung);
        let authority = self.authority(&row, level);
        let mode = self.fence_mode_of(&row.target, &row.groups, level);
        let needs_person = authority == Authority::Policy && mode != Mode::Auto;
        let going_on = self.groups_going_on(&row);
        let asked = Step { acting: !needs_person, groups: &going_on, ..step(&row, level, authority, false) };
        let asked = if needs_person { Step { authority: Authority::Approved, ..asked } } else { asked };
        match self.gates(asked, now) {
            Ok(()) if needs_person => {
                let why = format!("{taken} was not enough; {level} is the next step");
                self.edge(id, Event::AwaitApproval, ("needs_approval", &why), now)
            }
            Ok(()) => self.edge(id, Event::Run(rung), ("allowed", "every gate is open"), now),
            Err(refusal) => {
                self.fence_ask_again(&row.groups, &refusal, now);
                let shut = self.fence_shut(id, &refusal, now);
                let patience = self.fence.policy.as_ref().map(|policy| policy.windows.escalate);
                patience.is_some_and(|patience| shut >= patience)
                    && self.refused_edge(id, Event::GiveUp, refusal, now)
            }
        }
    }

    fn running(&mut self, id: OperationId, rung: Rung, now: Instant) -> bool {
        let Some(open) = self.fence.operations.get(&id) else { return false };
        if open.live.from_store {
            let why = "the coordinator was restarted meanwhile; the status will say what came of it";
            return self.edge(id, Event::Ran, ("restarted", why), now);
        }
        if let Some(at) = open.live.acted_at {
            let late = self.fence.policy.as_ref().is_some_and(|policy| now >= at + policy.windows.step);
            return late && self.edge(id, Event::Ran, ("timed_out", "the program did not end in time"), now);
        }
        if !open.live.written {
            return false;
        }
        let row = open.row.clone();
        let authority = self.authority(&row, Level::Device(rung));
        let going_on = self.groups_going_on(&row);
        let asked = Step { groups: &going_on, ..step(&row, Level::Device(rung), authority, true) };
        match self.gates(asked, now) {
            Ok(()) => {
                let device = self.device(&row, rung);
                self.hand_out(id, now, |epoch| FenceEffect::RunStep {
                    epoch,
                    operation: id,
                    revision: row.revision,
                    node: row.target.clone(),
                    rung,
                    device,
                    action: StepAction::Off,
                });
                false
            }
            Err(refusal) => self.wait_or(id, Event::GiveUp, refusal, now),
        }
    }

    fn verifying(&mut self, id: OperationId, rung: Rung, now: Instant) -> bool {
        let Some(open) = self.fence.operations.get(&id) else { return false };
        let Some(policy) = &self.fence.policy else { return false };
        let (live, row) = (&open.live, &open.row);
        if !live.written {
            return false;
        }
        let (poll, most) = (policy.windows.poll, policy.limits.polls);
        // What is still said or heard right after the step is from before it.
        let settled = now >= row.entered_at + self.fence_settles(row);
        let over = settled && live.polled_at.is_none_or(|at| now >= at + poll);
        let is_on = live.last_reading == Some(Reading::On);
        // A program that said that it did nothing, and a device that says the same.
        let nothing_done = live.failed && is_on && live.answered_poll;
        if nothing_done || (over && live.polls >= most) {
            let row = row.clone();
            return match (is_on, row.is_order() || self.next_rung(&row, Level::Device(rung)).is_none()) {
                (true, false) => self.edge(id, Event::Escalate, ("still_on", "the device is still on"), now),
                (true, true) => self.edge(
                    id,
                    Event::GiveUp,
                    ("still_on", "the device is still on: a person must act"),
                    now,
                ),
                (false, _) => {
                    let why = "no status could be believed: nobody knows whether it is off";
                    self.edge(id, Event::LoseSight, ("status_unknown", why), now)
                }
            };
        }
        if over {
            let row = row.clone();
            let (device, epoch) = (self.device(&row, rung), row.epoch);
            if let Some(open) = self.fence.operations.get_mut(&id) {
                open.live.polls += 1;
                open.live.polled_at = Some(now);
                open.live.answered_poll = false;
            }
            self.fence_do(FenceEffect::RunStep {
                epoch,
                operation: id,
                revision: row.revision,
                node: row.target,
                rung,
                device,
                action: StepAction::Status,
            });
        }
        false
    }

    /// Hands out the step of the present state, once, and writes into the audit log that it was.
    pub(super) fn hand_out(
        &mut self,
        id: OperationId,
        now: Instant,
        effect: impl FnOnce(u64) -> FenceEffect,
    ) {
        let Some(leader) = self.fence.leader else { return };
        let Some(open) = self.fence.operations.get_mut(&id) else { return };
        if !open.live.written || open.row.epoch != leader.epoch {
            return;
        }
        (open.live.acted_at, open.live.shut_since) = (Some(now), None);
        let mut line = Audit::about(&open.row, OURSELVES, now);
        line.action = format!("step of {}", open.row.state);
        line.detail = format!("row {} is written, every gate is open", open.row.revision);
        line.evidence.clone_from(&open.row.evidence);
        self.fence_audit(line);
        self.fence_do(effect(leader.epoch));
    }

    /// Waits for the gates for a time; then goes the edge.
    fn wait_or(&mut self, id: OperationId, event: Event, refusal: Refusal, now: Instant) -> bool {
        let groups = self.row(id).map(|row| row.groups).unwrap_or_default();
        self.fence_ask_again(&groups, &refusal, now);
        let shut = self.fence_shut(id, &refusal, now);
        // Witnesses take longer than a re-probe.
        let seen = refusal.code == Code::ConfirmWindow || refusal.code == Code::TooFewObservers;
        let patience = self
            .fence
            .policy
            .as_ref()
            .map(|policy| if seen { policy.windows.escalate } else { policy.windows.act });
        patience.is_some_and(|patience| shut >= patience) && self.refused_edge(id, event, refusal, now)
    }

    fn open_gates(&mut self, id: OperationId) {
        if let Some(open) = self.fence.operations.get_mut(&id) {
            open.live.shut_since = None;
        }
    }

    /// Groups whose split brain is over before anything was done for them are not in it any more.
    fn forget_ended_groups(&mut self, id: OperationId, now: Instant) {
        let Some(row) = self.row(id).filter(|row| !row.is_order() && row.taken.is_none()) else { return };
        let ended: BTreeSet<GroupKey> =
            row.groups.iter().filter(|key| !self.is_contested(key)).cloned().collect();
        if ended.is_empty() || ended.len() == row.groups.len() {
            return;
        }
        let mut line = Audit::about(&row, OURSELVES, now);
        line.action = "groups left".to_string();
        line.refused = Some(Code::EvidenceGone);
        line.detail = format!("the split brain of {} is over", list(ended.iter()));
        let kept: BTreeSet<GroupKey> = row.groups.difference(&ended).cloned().collect();
        let instances: BTreeSet<String> =
            kept.iter().flat_map(|key| self.fence_instances(key, &row)).collect();
        if let Some(open) = self.fence.operations.get_mut(&id) {
            open.row.groups = kept;
            open.row.instances = instances;
            open.row.survivors.retain(|key, _| !ended.contains(key));
        }
        self.fence_audit(line);
        self.fence_write(Some(id));
    }

    fn fence_instances(&self, key: &GroupKey, row: &Operation) -> BTreeSet<String> {
        let members = self.units.get(key).map(|unit| unit.shape.members.iter());
        let own = members.into_iter().flatten().filter(|member| member.node == row.target);
        own.map(|member| member.instance.clone()).collect()
    }

    pub(super) fn row(&self, id: OperationId) -> Option<Operation> {
        self.fence.operations.get(&id).map(|open| open.row.clone())
    }

    fn device(&self, row: &Operation, rung: Rung) -> Device {
        let device = self.fence.policy.as_ref().and_then(|policy| policy.device(&row.target, rung));
        device.cloned().unwrap_or_else(|| Device(String::new()))
    }

    pub(super) fn next_rung(&self, row: &Operation, taken: Level) -> Option<Rung> {
        let devices = self.fence.policy.as_ref()?.devices.get(&row.target)?;
        devices.keys().copied().find(|rung| Level::Device(*rung) > taken)
    }

    fn authority(&self, row: &Operation, level: Level) -> Authority {
        if row.is_order() {
            Authority::Order
        } else if row.allows(level) {
            Authority::Approved
        } else {
            Authority::Policy
        }
    }

    /// The target itself says, since then, that it holds none of it any more, and its kernel agrees.
    pub(super) fn has_let_go(&self, row: &Operation, since: Option<Instant>, now: Instant) -> bool {
        let Some(node) = self.nodes.get(&row.target) else { return false };
        let spoke = node.heard_at.is_some_and(|at| since.is_none_or(|since| at > since));
        let own = node.instances.iter().filter(|(name, _)| row.instances.contains(*name));
        let held = own.filter(|(_, instance)| {
            instance.report.state == VrrpState::Master || !instance.report.addresses_present.is_empty()
        });
        spoke && node.is_fresh(now, self.windows.fresh) && held.count() == 0
    }

    /// The target says that an order holds it down.
    fn is_held(&self, row: &Operation) -> bool {
        row.instances.iter().any(|name| self.holds_down(row, name))
    }

    /// And of every instance that it is to let go of.
    fn is_held_whole(&self, row: &Operation) -> bool {
        let known = self.nodes.get(&row.target).map(|node| &node.instances);
        let mut own =
            row.instances.iter().filter(|name| known.is_some_and(|known| known.contains_key(*name)));
        self.is_held(row) && own.all(|name| self.holds_down(row, name))
    }

    fn holds_down(&self, row: &Operation, name: &String) -> bool {
        let instance = self.nodes.get(&row.target).and_then(|node| node.instances.get(name));
        instance.is_some_and(|instance| {
            instance.report.state == VrrpState::Fault && instance.report.reason == HELD
        })
    }

    /// The groups that a step is still for: all of them, for a person's order or when none is contested any more.
    fn groups_going_on(&self, row: &Operation) -> BTreeSet<GroupKey> {
        let contested: BTreeSet<GroupKey> =
            row.groups.iter().filter(|key| self.is_contested(key)).cloned().collect();
        if row.is_order() || contested.is_empty() { row.groups.clone() } else { contested }
    }
}

fn step(row: &Operation, level: Level, authority: Authority, counted: bool) -> Step<'_> {
    Step {
        target: &row.target,
        groups: &row.groups,
        level,
        operation: Some(row.id),
        authority,
        acting: true,
        counted,
    }
}
