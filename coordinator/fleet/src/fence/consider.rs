//! Groups with a confirmed split brain: who should let go, since when that is clear, and whether to propose it.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use crate::{
    bounds,
    effect::Evidence,
    fence::{
        Aftercare, Audit, FenceEvent, FenceState, Level, Live, Mode, OURSELVES, Open, Operation, OperationId,
        Origin, Refusal, RefusalCode as Code, Refused, Rung,
        evidence::{self, Case},
        gates::{Authority, Step},
        rate::Reached,
        run::REPEAT,
        victim,
    },
    fleet::Fleet,
    model::{GroupKey, NodeName},
    time::Instant,
};

/// While a program may have to run its witnesses are asked so often: well within the age at which they say nothing any more.
const KEEP_SEEING: Duration = Duration::from_secs(2);

impl Fleet {
    /// Looks at one group. Says when to look again, if time alone can change it.
    pub(super) fn fence_consider(&mut self, key: &GroupKey, now: Instant) -> Option<Instant> {
        if !self.is_contested(key) {
            self.fence.cases.remove(key);
            self.fence.refused.remove(key);
            self.fence.looked.remove(key);
            if !self.is_confirmed(key) && self.fence.standing.denied.remove(key).is_some() {
                self.fence_write(None);
            }
            return None;
        }
        self.fence.looked.insert(key.clone(), now);
        let evidence = match self.fence_case(key, now) {
            Ok(evidence) => evidence,
            Err(refusal) => {
                // Whoever was the victim is none while this is so; what lasts begins anew.
                self.fence.cases.remove(key);
                if self.fence_mode(key) != Mode::Disabled {
                    self.fence_refuse(key, None, refusal, Vec::new(), now);
                }
                return None;
            }
        };
        let case = self.fence.cases.get(key)?.clone();
        let groups = BTreeSet::from([key.clone()]);
        let level = self.fence_first_level(&case.victim, now);
        let mode = self.fence_mode_of(&case.victim, &groups, level);
        let own = self.fence_mode(key);
        if own == Mode::Disabled || case.dry && mode == Mode::DryRun {
            self.fence.refused.remove(key);
            return None;
        }
        let open = self.fence.operations.values().map(|open| &open.row);
        let known =
            open.clone().find(|row| row.state.is_open() && row.target == case.victim).map(|row| row.id);
        if let Some(id) = known {
            return self.fence_join(id, key, &case, own, evidence, now);
        }
        if self.fence.standing.denied.get(key) == Some(&case.victim) {
            let why = format!("a person has refused to fence {} for {key}", case.victim);
            self.fence_refuse(
                key,
                Some(&case.victim),
                Refusal::new(Code::DeniedByPerson, why),
                evidence,
                now,
            );
            return None;
        }
        let authority = if mode == Mode::Approve { Authority::Approved } else { Authority::Policy };
        let step = Step {
            target: &case.victim,
            groups: &groups,
            level,
            operation: None,
            authority,
            acting: false,
            counted: false,
        };
        match self.gates(step, now) {
            Ok(()) => {}
            Err(refusal) if refusal.code == Code::ConfirmWindow => {
                if level != Level::Demote {
                    self.fence_ask_again(&groups, &refusal, now);
                }
                let windows = &self.fence.policy.as_ref()?.windows;
                return match level {
                    Level::Demote => Some(case.since + windows.demote_confirm),
                    Level::Device(_) => case.witnessed_since.map(|since| since + windows.confirm),
                };
            }
            Err(refusal) if refusal.code == Code::RateReached && mode == Mode::Auto => {
                let hits = self.fence_hits(&case.victim, &groups, level);
                self.fence_latch(&hits, refusal, now);
                // It is `approve` from now on.
                return Some(now);
            }
            Err(refusal) => {
                if level != Level::Demote {
                    self.fence_ask_again(&groups, &refusal, now);
                }
                self.fence_refuse(key, Some(&case.victim), refusal, evidence, now);
                return None;
            }
        }
        self.fence.refused.remove(key);
        let id = match self.fence_propose(&case, groups, Origin::Detection, evidence.clone(), now) {
            Ok(id) => id,
            Err(refusal) => {
                self.fence_refuse(key, Some(&case.victim), refusal, evidence, now);
                return None;
            }
        };
        let why = ("split_brain", case.explanation.clone());
        // A new operation is never refused its first edge.
        let _ = match mode {
            Mode::Auto => self.fence_edge(id, FenceEvent::Approve, OURSELVES, why, now),
            Mode::Approve => self.fence_edge(id, FenceEvent::AwaitApproval, OURSELVES, why, now),
            Mode::DryRun | Mode::Disabled => {
                if let Some(case) = self.fence.cases.get_mut(key) {
                    case.dry = true;
                }
                let detail = format!("would {level} {}: {}", case.victim, case.explanation);
                self.fence_edge(id, FenceEvent::Deny, OURSELVES, (Code::DryRun.as_str(), detail), now)
            }
        };
        None
    }

    /// Brings the group's case up to date, and says what it rests on.
    fn fence_case(&mut self, key: &GroupKey, now: Instant) -> Result<Vec<Evidence>, Refusal> {
        let gone = || Refusal::new(Code::EvidenceGone, format!("{key} is contested no more"));
        let policy = self.fence.policy.as_ref().ok_or_else(gone)?;
        let scene = self.scene(key, now).ok_or_else(gone)?;
        let unit = self.units.get(key).ok_or_else(gone)?;
        let contest = unit.story.contest.as_ref().ok_or_else(gone)?;
        let claimants = evidence::claimants(&scene, &unit.story, policy);
        let facts = evidence::facts(&claimants, &scene);
        let choice = victim::choose(&claimants, self.fence_pin(key))?;
        let (name, survivor) = (choice.victim.name().clone(), choice.survivor.name().clone());
        let some_level = Level::Device(Rung::Power);
        let witnessed =
            evidence::suffices(choice.victim, &survivor, some_level, None, &scene, policy).is_ok();
        let instances: BTreeSet<String> = scene
            .members
            .iter()
            .filter(|member| *member.name() == name)
            .map(|member| member.key.instance.clone())
            .collect();
        let known = self.fence.cases.get(key).filter(|case| case.victim == name);
        // Before both were heard without a gap, or while the coordinator was deaf, nothing counts; nor while another one lost.
        let steady =
            claimants.iter().filter(|claimant| claimant.asserts).map(|one| one.member.steady()).max();
        let began = contest.began.max(steady.unwrap_or(now)).max(self.fence.evidence_from);
        let doubted = self.fence.cases.contains_key(key) || self.fence.refused.contains_key(key);
        let since = match known {
            Some(case) => case.since.max(steady.unwrap_or_default()),
            None if doubted => now,
            None => began,
        };
        let witnessed_since = known.and_then(|case| case.witnessed_since).or(Some(now)).filter(|_| witnessed);
        let dry = known.is_some_and(|case| case.dry);
        let explanation = choice.explanation;
        let case = Case { victim: name, survivor, instances, explanation, since, witnessed_since, dry };
        self.fence.cases.insert(key.clone(), case);
        Ok(facts)
    }

    /// An operation against the same node is open already: the group joins it while that is the same thing to do.
    fn fence_join(
        &mut self,
        id: OperationId,
        key: &GroupKey,
        case: &Case,
        mode: Mode,
        evidence: Vec<Evidence>,
        now: Instant,
    ) -> Option<Instant> {
        let row = &self.fence.operations.get(&id)?.row;
        if row.groups.contains(key) {
            self.fence.refused.remove(key);
            return None;
        }
        let (state, approved) = (row.state, row.allows(Level::Demote));
        let alike = match state {
            FenceState::Proposed | FenceState::AwaitingApproval => mode != Mode::DryRun,
            FenceState::Approved | FenceState::Demoting | FenceState::Resolved => {
                mode == Mode::Auto && !approved && row.taken.is_none_or(|taken| taken == Level::Demote)
            }
            FenceState::Escalating | FenceState::Running(_) | FenceState::Verifying(_) => false,
            FenceState::Fenced | FenceState::Failed | FenceState::Unknown => false,
            FenceState::Quarantined | FenceState::Denied | FenceState::Released => false,
        };
        let groups = BTreeSet::from([key.clone()]);
        let step = Step {
            target: &case.victim,
            groups: &groups,
            level: Level::Demote,
            operation: Some(id),
            authority: if mode == Mode::Auto { Authority::Policy } else { Authority::Approved },
            acting: state == FenceState::Demoting || state == FenceState::Resolved,
            counted: false,
        };
        let refusal = if alike {
            self.gates(step, now).err()
        } else {
            Some(Refusal::new(Code::TargetBusy, format!("{id} against {} is {state}", case.victim)))
        };
        match refusal {
            None => {}
            Some(refusal) if refusal.code == Code::ConfirmWindow => {
                let window = self.fence.policy.as_ref()?.windows.demote_confirm;
                return Some(case.since + window);
            }
            Some(refusal) if refusal.code == Code::Reprobe => {
                self.fence_ask_again(&groups, &refusal, now);
                return None;
            }
            Some(refusal) => {
                self.fence_refuse(key, Some(&case.victim), refusal, evidence, now);
                return None;
            }
        }
        self.fence.refused.remove(key);
        let open = self.fence.operations.get_mut(&id)?;
        let row = &mut open.row;
        row.groups.insert(key.clone());
        row.instances.extend(case.instances.iter().cloned());
        row.survivors.insert(key.clone(), case.survivor.clone());
        row.evidence.extend(evidence);
        row.evidence.truncate(bounds::EVIDENCE);
        let why = ("joined", format!("{key} joins: {}", case.explanation));
        if state == FenceState::Demoting || state == FenceState::Resolved {
            let _ = self.fence_edge(id, FenceEvent::Demote, OURSELVES, why, now);
            return None;
        }
        let mut line = Audit::about(row, OURSELVES, now);
        (line.action, line.detail) = ("joined".to_string(), why.1);
        self.fence_audit(line);
        self.fence_write(Some(id));
        None
    }

    /// Opens an operation; it is written down as proposed.
    pub(super) fn fence_propose(
        &mut self,
        case: &Case,
        groups: BTreeSet<GroupKey>,
        origin: Origin,
        evidence: Vec<Evidence>,
        now: Instant,
    ) -> Result<OperationId, Refusal> {
        if self.fence.leader.is_none() {
            return Err(Refusal::new(Code::NotLeader, "this coordinator does not lead"));
        }
        if self.fence.operations.len() >= bounds::FENCE_OPERATIONS {
            let why = format!("{} operations are open", self.fence.operations.len());
            return Err(Refusal::new(Code::TooManyOpen, why));
        }
        let Some(node) = self.nodes.get(&case.victim) else {
            return Err(Refusal::new(Code::UnknownNode, format!("there is no node {}", case.victim)));
        };
        let actor = match &origin {
            Origin::Detection => OURSELVES.to_string(),
            Origin::Proposal(by) | Origin::Order(by) | Origin::Vouched(by) => by.clone(),
        };
        let fence = &mut self.fence;
        fence.standing.last_operation = fence.standing.last_operation.saturating_add(1);
        let id = OperationId(fence.standing.last_operation);
        let row = Operation {
            id,
            revision: 0,
            epoch: 0,
            target: case.victim.clone(),
            site: node.site.clone(),
            survivors: groups.iter().map(|key| (key.clone(), case.survivor.clone())).collect(),
            groups,
            instances: case.instances.clone(),
            origin,
            state: FenceState::Proposed,
            entered_at: now,
            reason: "proposed".to_string(),
            detail: case.explanation.clone(),
            explanation: case.explanation.clone(),
            proposed_at: now,
            approved_by: None,
            approved_up_to: None,
            taken: None,
            ordered: false,
            withdrawn: false,
            aftercare: Aftercare::Pending,
            evidence,
        };
        let mut line = Audit::about(&row, &actor, now);
        line.action = "proposed".to_string();
        line.detail.clone_from(&row.detail);
        line.evidence.clone_from(&row.evidence);
        fence.operations.insert(id, Open { row, live: Live::default(), escalated_at: None });
        self.fence_audit(line);
        self.fence_write(Some(id));
        Ok(id)
    }

    /// The mildest step there is against a node.
    pub(super) fn fence_first_level(&self, node: &NodeName, now: Instant) -> Level {
        let speaks = self.nodes.get(node).is_some_and(|known| known.is_fresh(now, self.windows.fresh));
        let devices = self.fence.policy.as_ref().and_then(|policy| policy.devices.get(node));
        match devices.and_then(|devices| devices.keys().next()) {
            Some(rung) if !speaks => Level::Device(*rung),
            Some(_) | None => Level::Demote,
        }
    }

    /// Lets the members of these groups be asked again at the end of this input when that is what the refusal wants: at once,
    /// or often enough that what witnesses saw does not grow old.
    pub(super) fn fence_ask_again(&mut self, groups: &BTreeSet<GroupKey>, refusal: &Refusal, now: Instant) {
        let pause = match refusal.code {
            Code::Reprobe => self.windows.probe,
            Code::TooFewObservers | Code::ConfirmWindow => KEEP_SEEING,
            _ => return,
        };
        for key in groups {
            let contest = self.units.get(key).and_then(|unit| unit.story.contest.as_ref());
            if contest.is_some_and(|contest| contest.last_sent.is_none_or(|sent| now >= sent + pause)) {
                self.asking.insert(key.clone());
            }
        }
    }

    /// Rule 8: too often. A person must approve from now on, until a person resumes.
    pub(super) fn fence_latch(&mut self, groups: &BTreeSet<GroupKey>, refusal: Refusal, now: Instant) {
        let Some(policy) = &self.fence.policy else { return };
        match self.fence.standing.rate_reached(groups, None, policy, now) {
            Some(Reached::Fleet) => self.fence.standing.latched = true,
            Some(Reached::Group(key)) => {
                self.fence.standing.latched_groups.insert(key);
            }
            None => return,
        }
        let line = Audit {
            at: now,
            operation: None,
            epoch: 0,
            actor: OURSELVES.to_string(),
            action: "latched to approve".to_string(),
            target: None,
            group: groups.first().cloned(),
            refused: Some(refusal.code),
            detail: refusal.words,
            evidence: Vec::new(),
        };
        self.fence_audit(line);
        self.fence_write(None);
    }

    /// Rule 20: what is not done is written down too, once for each reason and then every ten minutes.
    fn fence_refuse(
        &mut self,
        key: &GroupKey,
        victim: Option<&NodeName>,
        refusal: Refusal,
        evidence: Vec<Evidence>,
        now: Instant,
    ) {
        let known = self.fence.refused.get(key);
        let same = known.filter(|known| known.refusal.code == refusal.code);
        let audited_at = same.map(|known| known.audited_at).filter(|at| now.since(*at) < REPEAT);
        let refused = Refused {
            refusal: refusal.clone(),
            since: known.map_or(now, |known| known.since),
            audited_at: audited_at.unwrap_or(now),
        };
        self.fence.refused.insert(key.clone(), refused);
        if audited_at.is_some() {
            return;
        }
        let line = Audit {
            at: now,
            operation: None,
            epoch: 0,
            actor: OURSELVES.to_string(),
            action: "detection".to_string(),
            target: victim.cloned(),
            group: Some(key.clone()),
            refused: Some(refusal.code),
            detail: refusal.words,
            evidence,
        };
        self.fence_audit(line);
    }
}
