//! Everything that must be so before a step: looked at when an operation is proposed, and again right before each step.

use alloc::{collections::BTreeSet, format, vec::Vec};

use crate::{
    fence::{
        effect::{Refusal, RefusalCode as Code},
        evidence::{self, Claimant, Health},
        operation::{Operation, OperationId},
        policy::{FencePolicy, Level, Mode},
        rate::Reached,
        table::FenceState,
        victim,
    },
    fleet::Fleet,
    model::{GroupKey, NodeName, VrrpState},
    scene::{Member, Scene},
    time::Instant,
    words::span,
};

/// On whose word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authority {
    /// The policy's: every rule counts.
    Policy,
    /// A person has said yes to what the evidence says: rates and cool-down do not count.
    Approved,
    /// A person's own: evidence is not asked for either. What may never be done still may not.
    Order,
}

/// The step in question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a> {
    pub(crate) target: &'a NodeName,
    pub(crate) groups: &'a BTreeSet<GroupKey>,
    pub(crate) level: Level,
    /// The operation that it belongs to, once there is one.
    pub(crate) operation: Option<OperationId>,
    pub(crate) authority: Authority,
    /// It is to be taken now.
    pub(crate) acting: bool,
    /// It is among the attempts already: it was written down.
    pub(crate) counted: bool,
}

impl Fleet {
    /// Why the step may not be taken, if it may not.
    pub(crate) fn gates(&self, step: Step<'_>, now: Instant) -> Result<(), Refusal> {
        let Some(policy) = &self.fence.policy else {
            return Err(Refusal::new(Code::NotConfigured, "fencing is not configured"));
        };
        self.may_act()?;
        self.never(&step, policy, now)?;
        self.modes(&step)?;
        self.one_at_a_time(&step, policy)?;
        if step.authority != Authority::Order {
            self.not_too_early(policy, now)?;
            self.not_too_often(&step, policy, now)?;
            self.coordinator_sees(&step, policy, now)?;
            for key in step.groups {
                self.proven(key, &step, policy, now)?;
            }
        }
        self.others_serve(&step, policy, now)
    }

    fn may_act(&self) -> Result<(), Refusal> {
        let fence = &self.fence;
        if fence.leader.is_none() {
            return Err(Refusal::new(Code::NotLeader, "this coordinator does not lead"));
        }
        if let Some(by) = &fence.standing.paused {
            return Err(Refusal::new(Code::Paused, format!("all fencing is paused by {by}")));
        }
        if fence.durable < fence.resumed {
            return Err(Refusal::new(Code::Paused, "the end of the pause is not written down yet"));
        }
        Ok(())
    }

    /// Rules 14, 17, 18.
    fn never(&self, step: &Step<'_>, policy: &FencePolicy, now: Instant) -> Result<(), Refusal> {
        let target = step.target;
        let Some(node) = self.nodes.get(target) else {
            return Err(Refusal::new(Code::UnknownNode, format!("there is no node {target}")));
        };
        if let Some(why) = policy.protection(target) {
            return Err(Refusal::new(Code::Protected, why));
        }
        if self.maintenance.contains(target) {
            return Err(Refusal::new(Code::Maintenance, format!("{target} is in maintenance")));
        }
        if self.fence.committing.contains(target) {
            let why = format!("a configuration is being committed on {target}");
            return Err(Refusal::new(Code::Committing, why));
        }
        match step.level {
            Level::Demote if !node.connected => {
                let why = format!("the agent of {target} is not connected and cannot be told");
                return Err(Refusal::new(Code::NoDevice, why));
            }
            Level::Demote => {}
            Level::Device(rung) => {
                if policy.device(target, rung).is_none() {
                    let why = format!("{target} has no fence device for {rung}");
                    return Err(Refusal::new(Code::NoDevice, why));
                }
                let lately = policy.windows.verified_lately();
                let path = self.fence.paths.get(&(target.clone(), rung));
                if path.is_none_or(|path| !path.works(lately, now)) {
                    let why = format!("the {rung} path of {target} was not verified within {}", span(lately));
                    return Err(Refusal::new(Code::PathUnverified, why));
                }
            }
        }
        let attempts = self.fence.standing.attempts.get(target).copied().unwrap_or_default();
        if !step.counted && attempts >= policy.limits.attempts {
            let why = format!("{attempts} steps were taken against {target} since it last rejoined");
            return Err(Refusal::new(Code::AttemptsUsed, why));
        }
        Ok(())
    }

    /// Rule 1.
    fn modes(&self, step: &Step<'_>) -> Result<(), Refusal> {
        let fleet = self.fence.policy.as_ref().map_or(Mode::Disabled, |policy| policy.mode);
        if step.groups.is_empty() && fleet == Mode::Disabled {
            return Err(Refusal::new(Code::Disabled, "fencing is disabled"));
        }
        for key in &self.fence_hits(step.target, step.groups, step.level) {
            match (self.fence_mode(key), step.authority) {
                (Mode::Disabled, _) => {
                    return Err(Refusal::new(Code::Disabled, format!("fencing is disabled for {key}")));
                }
                (Mode::DryRun | Mode::Approve, Authority::Policy) if step.acting => {
                    let why = format!("a person must approve steps for {key}");
                    return Err(Refusal::new(Code::NeedsApproval, why));
                }
                (Mode::DryRun | Mode::Approve, Authority::Policy) | (Mode::Auto, Authority::Policy) => {}
                (Mode::DryRun | Mode::Approve | Mode::Auto, Authority::Approved | Authority::Order) => {}
            }
        }
        Ok(())
    }

    /// Rules 7 and 11.
    fn one_at_a_time(&self, step: &Step<'_>, policy: &FencePolicy) -> Result<(), Refusal> {
        let others = || {
            let open = self.fence.operations.values().map(|open| &open.row);
            open.filter(|row| row.state.is_open() && Some(row.id) != step.operation)
        };
        if let Some(row) = others().find(|row| row.target == *step.target) {
            let why = format!("{} against {} is {}", row.id, row.target, row.state);
            return Err(Refusal::new(Code::TargetBusy, why));
        }
        // A program takes its node out of groups that the operation is not about.
        let ours = self.fence_hits(step.target, step.groups, step.level);
        let about = |row: &&Operation| !row.state.has_worked() && !self.fence_hit_by(row).is_disjoint(&ours);
        if let Some(row) = others().find(about) {
            let why = format!("{} against {} is {} for the same group", row.id, row.target, row.state);
            return Err(Refusal::new(Code::GroupBusy, why));
        }
        if let Level::Device(rung) = step.level {
            let ours = policy.device(step.target, rung);
            let uses = |row: &&Operation| {
                let other = row.state.rung();
                other.is_some_and(|other| policy.device(&row.target, other) == ours)
            };
            if let Some(row) = others().find(uses) {
                let why = format!("{} uses the same device", row.id);
                return Err(Refusal::new(Code::DeviceBusy, why));
            }
        }
        let active = others().filter(|row| row.state.is_active()).count();
        if active >= policy.limits.active {
            let why = format!("{active} operations act already");
            return Err(Refusal::new(Code::TooManyActive, why));
        }
        Ok(())
    }

    /// Rule 10.
    fn not_too_early(&self, policy: &FencePolicy, now: Instant) -> Result<(), Refusal> {
        let led = self.fence.leader.map(|leader| now.since(leader.since)).unwrap_or_default();
        if led < policy.windows.grace {
            let why = format!(
                "this coordinator has led for {}, less than {}",
                span(led),
                span(policy.windows.grace)
            );
            return Err(Refusal::new(Code::Grace, why));
        }
        Ok(())
    }

    /// Rules 8 and 9: detection only.
    fn not_too_often(&self, step: &Step<'_>, policy: &FencePolicy, now: Instant) -> Result<(), Refusal> {
        if step.authority != Authority::Policy {
            return Ok(());
        }
        let (standing, windows) = (&self.fence.standing, &policy.windows);
        if let Some(left) = standing.cools_for(step.target, step.operation, windows.cool_down, now) {
            let why =
                format!("{} was fenced a short time ago; it is left alone for {}", step.target, span(left));
            return Err(Refusal::new(Code::CoolDown, why));
        }
        let groups = self.fence_hits(step.target, step.groups, step.level);
        match standing.rate_reached(&groups, step.operation, policy, now) {
            None => Ok(()),
            Some(Reached::Fleet) => {
                let why =
                    format!("{} operations acted within {}", policy.limits.fleet_rate, span(windows.rate));
                Err(Refusal::new(Code::RateReached, why))
            }
            Some(Reached::Group(key)) => {
                let limit = policy.limits.group_rate;
                let why = format!("{limit} operations acted on {key} within {}", span(windows.rate));
                Err(Refusal::new(Code::RateReached, why))
            }
        }
    }

    /// Rule 6.
    fn coordinator_sees(&self, step: &Step<'_>, policy: &FencePolicy, now: Instant) -> Result<(), Refusal> {
        let fresh = self.windows.fresh;
        let others =
            self.nodes.iter().filter(|(name, node)| *name != step.target && node.silent_from.is_some());
        let (mut count, mut unheard) = (0_usize, 0_usize);
        for (_, node) in others {
            count += 1;
            unheard += usize::from(!node.is_fresh(now, fresh));
        }
        if count > 0 && unheard * 100 >= policy.limits.unreachable_percent * count {
            let why = format!("{unheard} of {count} other agents are unheard");
            return Err(Refusal::new(Code::FleetUnreachable, why));
        }
        let limits = &policy.limits;
        let known = self.fence.references.filter(|(_, _, at)| now.since(*at) <= policy.windows.references);
        match (known, step.level) {
            (None | Some((_, 0, _)), Level::Demote) => Ok(()),
            (None | Some((_, 0, _)), Level::Device(_)) => {
                let why = "whether the coordinator reaches its references is not known";
                Err(Refusal::new(Code::CoordinatorIsolated, why))
            }
            (Some((reachable, total, _)), Level::Demote | Level::Device(_)) => {
                if reachable * limits.references_of >= limits.references * total {
                    return Ok(());
                }
                let why = format!("the coordinator reaches {reachable} of its {total} references");
                Err(Refusal::new(Code::CoordinatorIsolated, why))
            }
        }
    }

    /// Rules 2, 3, 4, 5 and 16 for one group.
    fn proven(
        &self,
        key: &GroupKey,
        step: &Step<'_>,
        policy: &FencePolicy,
        now: Instant,
    ) -> Result<(), Refusal> {
        let gone = |why| Err(Refusal::new(Code::EvidenceGone, why));
        if !self.is_contested(key) {
            return gone(format!("no split brain of {key} is confirmed now"));
        }
        let (Some(scene), Some(unit)) = (self.scene(key, now), self.units.get(key)) else {
            return gone(format!("{key} is no group any more"));
        };
        let claimants = evidence::claimants(&scene, &unit.story, policy);
        let choice = victim::choose(&claimants, self.fence_pin(key))?;
        if choice.victim.name() != step.target {
            return gone(format!("it is not {} that loses: {}", step.target, choice.explanation));
        }
        // A step was taken that may have worked late, and the word of it be lost.
        let escalated = step.operation.and_then(|id| self.fence.operations.get(&id)?.escalated_at);
        let after = match step.level {
            Level::Demote => None,
            Level::Device(_) => escalated.map(|at| at + evidence::ON_THE_WAY),
        };
        evidence::suffices(choice.victim, choice.survivor.name(), step.level, after, &scene, policy)?;
        self.survives(choice.survivor, &scene, step)?;
        self.lasted(key, step, policy, now)?;
        if step.acting { asked_again(&choice, step.level, &scene, policy) } else { Ok(()) }
    }

    /// Rule 5.
    fn survives(&self, survivor: &Claimant<'_>, scene: &Scene<'_>, step: &Step<'_>) -> Result<(), Refusal> {
        let name = survivor.name();
        let needed = match step.level {
            Level::Demote => Health::Unknown,
            Level::Device(_) => Health::Good,
        };
        let why = if !survivor.asserts {
            format!("{name} would have to go on, but it is not heard from as MASTER")
        } else if !survivor.kernel {
            format!("{name} says that it is MASTER, but its kernel does not have {}", scene.key.address)
        } else if survivor.references < needed {
            format!("the references of {name} are {}", survivor.references.as_str())
        } else if !survivor.serves() {
            format!("a service that {name} tracks fails")
        } else if !survivor.member.report().carrier {
            format!("{name} has no carrier")
        } else if let Some(why) = self.not_counted_on(name, scene.key) {
            why
        } else {
            return Ok(());
        };
        Err(Refusal::new(Code::NoSurvivor, why))
    }

    /// Rule 4, first half.
    fn lasted(
        &self,
        key: &GroupKey,
        step: &Step<'_>,
        policy: &FencePolicy,
        now: Instant,
    ) -> Result<(), Refusal> {
        let case = self.fence.cases.get(key).filter(|case| case.victim == *step.target);
        let (since, window) = match step.level {
            Level::Demote => (case.map(|case| case.since), policy.windows.demote_confirm),
            Level::Device(_) => (case.and_then(|case| case.witnessed_since), policy.windows.confirm),
        };
        let lasted = since.map(|since| now.since(since)).unwrap_or_default();
        if since.is_none() || lasted < window {
            let why = format!("the evidence has lasted for {}, less than {}", span(lasted), span(window));
            return Err(Refusal::new(Code::ConfirmWindow, why));
        }
        Ok(())
    }

    /// No group loses the last node that could serve it.
    fn others_serve(&self, step: &Step<'_>, policy: &FencePolicy, now: Instant) -> Result<(), Refusal> {
        let whole = match (step.level, step.authority) {
            (Level::Device(_), _) | (Level::Demote, Authority::Order) => self.units_of.get(step.target),
            (Level::Demote, Authority::Policy | Authority::Approved) => Some(step.groups),
        };
        for key in whole.into_iter().flatten() {
            let Some(scene) = self.scene(key, now) else { continue };
            let (own, others): (Vec<_>, Vec<_>) =
                scene.members.iter().partition(|member| member.name() == step.target);
            // What is not heard from may still serve.
            let serves = |member: &&Member<'_>| could_serve(member) || !member.fresh;
            let good = |member: &&Member<'_>| {
                could_serve(member)
                    && evidence::health(member.node, member.fresh, now, policy) != Health::Bad
                    && self.not_counted_on(member.name(), key).is_none()
            };
            if own.iter().any(serves) && !others.iter().any(good) {
                let why = format!("{} is the last good node of {key}", step.target);
                return Err(Refusal::new(Code::LastGoodNode, why));
            }
        }
        Ok(())
    }

    /// A node that was fenced and is back may be held down.
    pub(super) fn fence_may_keep_out(&self, row: &Operation, now: Instant) -> Result<(), Refusal> {
        let Some(policy) = &self.fence.policy else {
            return Err(Refusal::new(Code::NotConfigured, "fencing is not configured"));
        };
        self.may_act()?;
        let step = Step {
            target: &row.target,
            groups: &row.groups,
            level: Level::Demote,
            operation: Some(row.id),
            authority: Authority::Order,
            acting: true,
            counted: true,
        };
        self.never(&step, policy, now)?;
        self.modes(&step)?;
        self.others_serve(&step, policy, now)
    }

    /// Why a node is not to be counted on for a group: it is, or may soon be, held back.
    fn not_counted_on(&self, node: &NodeName, key: &GroupKey) -> Option<alloc::string::String> {
        if self.maintenance.contains(node) {
            return Some(format!("{node} is in maintenance"));
        }
        let about = |row: &&Operation| {
            let whole = row.groups.contains(key)
                || match row.state {
                    FenceState::Proposed | FenceState::AwaitingApproval | FenceState::Approved => false,
                    FenceState::Demoting | FenceState::Resolved => false,
                    FenceState::Denied | FenceState::Released => false,
                    FenceState::Escalating | FenceState::Running(_) | FenceState::Verifying(_) => true,
                    FenceState::Fenced | FenceState::Failed | FenceState::Unknown => true,
                    FenceState::Quarantined => true,
                };
            row.target == *node && row.state.is_open() && whole
        };
        let row = self.fence.operations.values().map(|open| &open.row).find(about)?;
        Some(format!("{} against {node} is {}", row.id, row.state))
    }

    /// The groups that a step takes the node away from: a fence program takes it away from all.
    pub(super) fn fence_hits(
        &self,
        node: &NodeName,
        groups: &BTreeSet<GroupKey>,
        level: Level,
    ) -> BTreeSet<GroupKey> {
        let whole = match level {
            Level::Demote => None,
            Level::Device(_) => self.units_of.get(node),
        };
        groups.iter().chain(whole.into_iter().flatten()).cloned().collect()
    }

    /// The same for what an operation has done, or is allowed to do next by a person's order.
    pub(super) fn fence_hit_by(&self, row: &Operation) -> BTreeSet<GroupKey> {
        let ordered = if row.is_order() { row.approved_up_to } else { None };
        let level = row.taken.max(ordered).unwrap_or(Level::Demote);
        self.fence_hits(&row.target, &row.groups, level)
    }

    /// The most careful mode of the groups that a step takes the node away from.
    pub(super) fn fence_mode_of(&self, node: &NodeName, groups: &BTreeSet<GroupKey>, level: Level) -> Mode {
        let modes = self.fence_hits(node, groups, level);
        modes.iter().map(|key| self.fence_mode(key)).min().unwrap_or_default()
    }

    /// The mode that counts for a group now.
    pub(crate) fn fence_mode(&self, key: &GroupKey) -> Mode {
        let Some(policy) = &self.fence.policy else { return Mode::Disabled };
        let mode = policy.mode_of(self.fence_keys(key).into_iter());
        if mode == Mode::Auto && self.fence.standing.is_latched(key) { Mode::Approve } else { mode }
    }

    pub(crate) fn fence_pin(&self, key: &GroupKey) -> Option<&NodeName> {
        let policy = self.fence.policy.as_ref()?;
        self.fence_keys(key).iter().find_map(|key| policy.pins.get(key))
    }

    /// Every key by which an operator may name the group.
    fn fence_keys(&self, key: &GroupKey) -> Vec<GroupKey> {
        let addresses = self.units.get(key).map(|unit| unit.shape.addresses.iter());
        let keys = addresses
            .into_iter()
            .flatten()
            .map(|address| GroupKey { site: key.site.clone(), address: *address });
        let keys: Vec<GroupKey> = keys.collect();
        if keys.is_empty() { Vec::from([key.clone()]) } else { keys }
    }
}

fn could_serve(member: &Member<'_>) -> bool {
    let report = member.report();
    let able = match report.state {
        VrrpState::Master | VrrpState::Backup => true,
        VrrpState::Init | VrrpState::Fault => false,
    };
    member.fresh && able && report.carrier
}

/// Rule 4, second half: everybody who counts has spoken since a probe that is at most `FenceWindows::reprobe` old.
fn asked_again(
    choice: &victim::Choice<'_, '_>,
    level: Level,
    scene: &Scene<'_>,
    policy: &FencePolicy,
) -> Result<(), Refusal> {
    let window = policy.windows.reprobe;
    let recent = |at: Option<Instant>| at.filter(|at| scene.now.since(*at) <= window);
    let survivor = recent(choice.survivor.reasserted);
    let witnessed = match level {
        Level::Demote => recent(choice.victim.reasserted).is_some(),
        Level::Device(_) => {
            let spoke = |name: &&NodeName| {
                let heard_at = scene.nodes.get(*name).and_then(|node| node.heard_at);
                survivor.is_some() && heard_at >= survivor
            };
            choice.victim.seen_by.keys().filter(spoke).count() >= policy.limits.observers
        }
    };
    if survivor.is_some() && witnessed {
        return Ok(());
    }
    Err(Refusal::new(Code::Reprobe, format!("not everybody has said so again within {}", span(window))))
}
