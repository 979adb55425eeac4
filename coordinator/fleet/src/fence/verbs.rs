//! What people ask for, and what they are answered.

use alloc::{collections::BTreeSet, format, string::ToString, vec::Vec};

use crate::{
    detect::fact,
    effect::Evidence,
    fence::{
        Audit, Consent, FenceEffect, FenceEvent, FenceState, FenceVerb, Level, Operation, OperationId,
        Origin, Refusal, RefusalCode as Code, Rung,
        evidence::Case,
        gates::{Authority, Step},
    },
    fleet::Fleet,
    model::{GroupKey, NodeName},
    time::Instant,
};

type Answer = Result<Option<OperationId>, Refusal>;

impl Fleet {
    pub(super) fn fence_asked(&mut self, request: u64, actor: &str, verb: FenceVerb, now: Instant) {
        let name = verb.as_str();
        let target = verb.target(self);
        let answer = if self.fence.leader.is_none() {
            Err(Refusal::new(Code::NotLeader, "this coordinator does not lead"))
        } else if self.fence.policy.is_none() {
            Err(Refusal::new(Code::NotConfigured, "fencing is not configured"))
        } else {
            self.fence_obey(actor, verb, now)
        };
        let line = Audit {
            at: now,
            operation: answer.as_ref().ok().copied().flatten(),
            epoch: 0,
            actor: actor.to_string(),
            action: format!("verb {name}"),
            target,
            group: None,
            refused: answer.as_ref().err().map(|refusal| refusal.code),
            detail: answer.as_ref().err().map(|refusal| refusal.words.clone()).unwrap_or_default(),
            evidence: Vec::new(),
        };
        self.fence_audit(line);
        self.fence_do(FenceEffect::Answer { request, answer });
    }

    fn fence_obey(&mut self, actor: &str, verb: FenceVerb, now: Instant) -> Answer {
        match verb {
            FenceVerb::Propose { node } => self.propose(actor, &node, now),
            FenceVerb::Approve { operation, up_to, consent } => {
                self.approve(actor, operation, up_to, consent.as_ref(), now)
            }
            FenceVerb::Deny { operation, why } => self.deny(actor, operation, why, now),
            FenceVerb::Run { node, level, consent } => self.order(actor, &node, level, consent.as_ref(), now),
            FenceVerb::Confirm { node } => self.vouch(actor, &node, now),
            FenceVerb::Release { node } => self.release(actor, &node, now),
            FenceVerb::Pause => {
                // In memory at once: the careful way needs no row.
                self.fence.standing.paused = Some(actor.to_string());
                self.fence_write(None);
                Ok(None)
            }
            FenceVerb::Resume => {
                let standing = &mut self.fence.standing;
                standing.paused = None;
                standing.latched = false;
                standing.latched_groups.clear();
                // What the rates counted has been looked at by a person. Cool-downs and successes stay.
                standing.forgiven = OperationId(standing.last_operation);
                self.fence_write(None);
                self.fence.resumed = self.fence.standing.revision;
                Ok(None)
            }
        }
    }

    /// What detection would do, with a person's approval to come.
    fn propose(&mut self, actor: &str, node: &NodeName, now: Instant) -> Answer {
        if let Some(id) = self.open_against(node).or_else(|| self.recent_success(node, Level::Demote, now)) {
            return Ok(Some(id));
        }
        let cases: Vec<(GroupKey, Case)> = self
            .fence
            .cases
            .iter()
            .filter(|(_, case)| case.victim == *node)
            .map(|(key, case)| (key.clone(), case.clone()))
            .collect();
        let Some((_, first)) = cases.first().cloned() else {
            let other = self.fence.cases.values().find(|case| case.survivor == *node);
            let why = match other {
                Some(case) => format!("{node} is the one that survives: {}", case.explanation),
                None => format!("no confirmed split brain says that {node} holds what it should not"),
            };
            return Err(Refusal::new(Code::EvidenceGone, why));
        };
        let groups: BTreeSet<GroupKey> = cases.iter().map(|(key, _)| key.clone()).collect();
        let level = self.fence_first_level(node, now);
        let step = Step {
            target: node,
            groups: &groups,
            level,
            operation: None,
            authority: Authority::Approved,
            acting: false,
            counted: false,
        };
        self.gates(step, now)?;
        let mut case = first;
        case.instances = cases.iter().flat_map(|(_, case)| case.instances.clone()).collect();
        let facts = self.spoken(actor, node, "proposes to fence it", now);
        let id = self.fence_propose(&case, groups, Origin::Proposal(actor.to_string()), facts, now)?;
        for (key, case) in cases {
            if let Some(open) = self.fence.operations.get_mut(&id) {
                open.row.survivors.insert(key, case.survivor);
            }
        }
        let why = format!("{actor} proposes it");
        self.fence_edge(id, FenceEvent::AwaitApproval, actor, ("proposal", why), now)?;
        Ok(Some(id))
    }

    fn approve(
        &mut self,
        actor: &str,
        id: OperationId,
        up_to: Level,
        consent: Option<&Consent>,
        now: Instant,
    ) -> Answer {
        let Some(row) = self.row(id) else { return Err(unknown(id)) };
        consented(&row.target, up_to, consent)?;
        if row.state == FenceState::AwaitingApproval {
            let first = self.fence_first_level(&row.target, now);
            let next = match row.taken {
                None => first,
                Some(taken) => self.next_rung(&row, taken).map_or(first, Level::Device),
            };
            if up_to < next {
                let why = format!("the next step against {} is {next}, and {up_to} is milder", row.target);
                return Err(Refusal::new(Code::NeedsApproval, why));
            }
        }
        if let Some(open) = self.fence.operations.get_mut(&id)
            && open.row.state == FenceState::AwaitingApproval
        {
            open.row.approved_by = Some(actor.to_string());
            open.row.approved_up_to = Some(up_to);
        }
        let why = format!("{actor} approves up to {up_to}");
        self.fence_edge(id, FenceEvent::Approve, actor, ("approved", why), now)?;
        Ok(Some(id))
    }

    fn deny(&mut self, actor: &str, id: OperationId, why: alloc::string::String, now: Instant) -> Answer {
        let Some(open) = self.fence.operations.get(&id) else { return Err(unknown(id)) };
        if open.row.state == FenceState::Demoting && open.live.acted_at.is_some() {
            let why = format!("{id} has acted already; release {} instead", open.row.target);
            return Err(Refusal::new(Code::IllegalPair, why));
        }
        let row = open.row.clone();
        let before = self.fence.standing.denied.clone();
        // In the same row as the edge.
        for key in &row.groups {
            self.fence.standing.denied.insert(key.clone(), row.target.clone());
        }
        let denied = self.fence_edge(id, FenceEvent::Deny, actor, (Code::DeniedByPerson.as_str(), why), now);
        if denied.is_err() {
            self.fence.standing.denied = before;
        }
        denied.map(|()| Some(id))
    }

    /// A step on a person's own word. What may never be done may not be done by a person either.
    fn order(
        &mut self,
        actor: &str,
        node: &NodeName,
        level: Level,
        consent: Option<&Consent>,
        now: Instant,
    ) -> Answer {
        consented(node, level, consent)?;
        if let Some(id) = self.open_against(node) {
            return self.order_again(actor, id, level, now);
        }
        if let Some(id) = self.recent_success(node, level, now) {
            return Ok(Some(id));
        }
        let groups = self.units_of.get(node).cloned().unwrap_or_default();
        let step = Step {
            target: node,
            groups: &groups,
            level,
            operation: None,
            authority: Authority::Order,
            acting: true,
            counted: false,
        };
        self.gates(step, now)?;
        let case = self.spoken_case(actor, node, now);
        let facts = self.spoken(actor, node, "orders it to be fenced", now);
        let id = self.fence_propose(&case, groups, Origin::Order(actor.to_string()), facts, now)?;
        if let Some(open) = self.fence.operations.get_mut(&id) {
            open.row.approved_by = Some(actor.to_string());
            open.row.approved_up_to = Some(level);
            open.row.survivors.clear();
        }
        let why = format!("{actor} orders {level}");
        self.fence_edge(id, FenceEvent::Approve, actor, ("ordered", why), now)?;
        Ok(Some(id))
    }

    /// An operation is open: the request joins it when that has gone as far already, or takes it up where it is.
    fn order_again(&mut self, actor: &str, id: OperationId, level: Level, now: Instant) -> Answer {
        let Some(mut row) = self.row(id) else { return Err(unknown(id)) };
        let again = match again(&row, level) {
            Ok(Again::Join) => return Ok(Some(id)),
            Ok(again) => again,
            Err(why) => return Err(Refusal::new(Code::TargetBusy, format!("{id} against {why}"))),
        };
        // A person's word is about all that the node could hold.
        row.groups.extend(self.units_of.get(&row.target).into_iter().flatten().cloned());
        let named = self.nodes.get(&row.target).map(|known| known.instances.keys().cloned());
        row.instances.extend(named.into_iter().flatten());
        let step = Step {
            target: &row.target,
            groups: &row.groups,
            level,
            operation: Some(id),
            authority: Authority::Order,
            acting: true,
            counted: false,
        };
        self.gates(step, now)?;
        if let Some(open) = self.fence.operations.get_mut(&id) {
            (open.row.groups, open.row.instances) = (row.groups, row.instances);
            open.row.origin = Origin::Order(actor.to_string());
            open.row.approved_by = Some(actor.to_string());
            open.row.approved_up_to = Some(level);
        }
        let why = || format!("{actor} orders {level}");
        let take = match level {
            Level::Demote => FenceEvent::Demote,
            Level::Device(rung) => FenceEvent::Run(rung),
        };
        let event = match again {
            Again::Join | Again::Take => take,
            Again::Approve => FenceEvent::Approve,
            Again::Escalate => {
                self.fence_edge(id, FenceEvent::Escalate, actor, ("ordered", why()), now)?;
                take
            }
        };
        self.fence_edge(id, event, actor, ("ordered", why()), now)?;
        Ok(Some(id))
    }

    /// Rule 22. Whoever is speaking is not down.
    fn vouch(&mut self, actor: &str, node: &NodeName, now: Instant) -> Answer {
        let Some(known) = self.nodes.get(node) else {
            return Err(Refusal::new(Code::UnknownNode, format!("there is no node {node}")));
        };
        if known.is_fresh(now, self.windows.fresh) {
            let why = format!("{node} is heard from at this moment: it is not down");
            return Err(Refusal::new(Code::StillSpeaking, why));
        }
        let observed = self.fence.policy.as_ref().map(|policy| policy.windows.observed).unwrap_or_default();
        if let Some(why) = self.fence_seen(node, now - observed, now) {
            return Err(Refusal::new(Code::StillSpeaking, format!("{why} at this moment: it is not down")));
        }
        let id = match self.open_against(node) {
            Some(id) => id,
            None => {
                let groups = self.units_of.get(node).cloned().unwrap_or_default();
                let case = self.spoken_case(actor, node, now);
                let facts = self.spoken(actor, node, "vouches that it is down", now);
                self.fence_propose(&case, groups, Origin::Vouched(actor.to_string()), facts, now)?
            }
        };
        let why = format!("{actor} vouches that {node} is down");
        self.fence_edge(id, FenceEvent::Vouch, actor, ("vouched", why), now)?;
        Ok(Some(id))
    }

    /// Rule 15: only a person lets a node back.
    fn release(&mut self, actor: &str, node: &NodeName, now: Instant) -> Answer {
        let Some(id) = self.open_against(node) else {
            return Err(Refusal::new(Code::NothingToRelease, format!("{node} is not fenced")));
        };
        let why = format!("{actor} lets {node} back");
        self.fence_edge(id, FenceEvent::Release, actor, ("released", why), now)?;
        Ok(Some(id))
    }

    fn open_against(&self, node: &NodeName) -> Option<OperationId> {
        let rows = self.fence.operations.values().map(|open| &open.row);
        rows.filter(|row| row.target == *node && row.state.is_open()).map(|row| row.id).next()
    }

    /// Rule 12: one that went at least as far.
    fn recent_success(&self, node: &NodeName, level: Level, now: Instant) -> Option<OperationId> {
        let window = self.fence.policy.as_ref()?.windows.recent;
        self.fence.standing.recent_success(node, level, window, now)
    }

    fn spoken_case(&self, actor: &str, node: &NodeName, now: Instant) -> Case {
        let known = self.nodes.get(node);
        Case {
            victim: node.clone(),
            survivor: node.clone(),
            instances: known.map(|known| known.instances.keys().cloned().collect()).unwrap_or_default(),
            explanation: format!("{actor} says so"),
            since: now,
            witnessed_since: None,
            dry: false,
        }
    }

    fn spoken(&self, actor: &str, node: &NodeName, what: &str, now: Instant) -> Vec<Evidence> {
        let fresh = self.nodes.get(node).is_some_and(|known| known.is_fresh(now, self.windows.fresh));
        let facts = [("actor", actor.to_string()), ("node_is_heard", fresh.to_string())];
        Vec::from([fact("person", Some(node), now, format!("{actor} {what}"), facts)])
    }
}

/// What an order does to the operation that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// It has gone as far already, or is about to.
    Join,
    /// It waits for a person: this is one.
    Approve,
    /// The step is taken from where it is.
    Take,
    /// The step before it was not enough for this person.
    Escalate,
}

/// The refusal is in words that go on after `fence/17 against`.
fn again(row: &Operation, level: Level) -> Result<Again, alloc::string::String> {
    let target = &row.target;
    let reached = row.taken.is_some_and(|taken| taken >= level);
    match row.state {
        FenceState::Proposed => Err(format!("{target} is only proposed: order it again in a moment")),
        FenceState::AwaitingApproval => Ok(Again::Approve),
        FenceState::Approved if row.is_order() && row.allows(level) => Ok(Again::Join),
        FenceState::Approved => Ok(Again::Take),
        FenceState::Demoting | FenceState::Resolved | FenceState::Verifying(_) if reached => Ok(Again::Join),
        FenceState::Demoting | FenceState::Resolved | FenceState::Verifying(_) => Ok(Again::Escalate),
        FenceState::Escalating if reached => Ok(Again::Join),
        FenceState::Escalating => Ok(Again::Take),
        FenceState::Running(_) if reached => Ok(Again::Join),
        FenceState::Running(rung) => {
            Err(format!("{target} runs its program for {rung}: order {level} when that has ended"))
        }
        FenceState::Fenced | FenceState::Quarantined if reached || level == Level::Demote => Ok(Again::Join),
        FenceState::Fenced | FenceState::Quarantined => {
            let how = match row.taken {
                Some(taken) => format!("by {taken}"),
                None => "on a person's word".to_string(),
            };
            Err(format!(
                "{target} is fenced {how}: for {level} too, release {target} first and order it again"
            ))
        }
        FenceState::Failed | FenceState::Unknown => match level {
            Level::Device(_) => Ok(Again::Take),
            Level::Demote => Err(format!(
                "{target} is {}, and a demote does not take it up: order network or power, or release {target} first",
                row.state
            )),
        },
        FenceState::Denied | FenceState::Released => Err(format!("{target} is over: order it again")),
    }
}

/// Rule 21.
fn consented(node: &NodeName, level: Level, consent: Option<&Consent>) -> Result<(), Refusal> {
    let needed = match level {
        Level::Demote | Level::Device(Rung::Network) => false,
        Level::Device(Rung::Power) => true,
    };
    if needed && !consent.is_some_and(|consent| consent.is_for(node)) {
        let why = format!("type the name {node} back to switch it off");
        return Err(Refusal::new(Code::ConsentMissing, why));
    }
    Ok(())
}

fn unknown(id: OperationId) -> Refusal {
    Refusal::new(Code::UnknownOperation, format!("there is no open {id}"))
}

impl FenceVerb {
    fn target(&self, fleet: &Fleet) -> Option<NodeName> {
        match self {
            Self::Propose { node } | Self::Confirm { node } | Self::Release { node } => Some(node.clone()),
            Self::Run { node, .. } => Some(node.clone()),
            Self::Approve { operation, .. } | Self::Deny { operation, .. } => {
                fleet.row(*operation).map(|row| row.target)
            }
            Self::Pause | Self::Resume => None,
        }
    }
}
