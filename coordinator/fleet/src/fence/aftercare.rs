//! After a success: one holder, announced again, or a person (rule 23). The fenced node stays out until it is released (rule 15),
//! and an operation that is over takes its order back.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use crate::{
    fence::{
        Aftercare, Audit, FenceEffect, FenceEvent, FenceState, OURSELVES, Operation, OperationId, Outcome,
        RefusalCode as Code,
    },
    fleet::Fleet,
    model::{GroupKey, NodeName, VrrpState},
    time::Instant,
    words::list,
};

/// Who holds each group of an operation alone, if anybody does.
type Holders<'a> = BTreeMap<&'a GroupKey, Option<Holder>>;

/// The one that holds a group's address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    node: NodeName,
    /// Those of its instances that do.
    instances: BTreeSet<String>,
}

/// What an agent did not do is asked for again after this.
const AGAIN: Duration = Duration::from_secs(10);
/// A withdrawal that goes on being refused is asked for so seldom at last.
const SELDOM: Duration = Duration::from_secs(600);

impl Fleet {
    /// True when the operation has gone another edge.
    pub(super) fn fence_aftercare(&mut self, id: OperationId, now: Instant) -> bool {
        self.keep_out(id, now);
        if let Some(row) = self.row(id) {
            self.clear_of_suspicion(&row, now);
        }
        let Some(open) = self.fence.operations.get(&id) else { return false };
        let (Some(leader), Some(policy)) = (self.fence.leader, &self.fence.policy) else { return false };
        let (row, announced, written) = (open.row.clone(), open.live.announced.clone(), open.live.written);
        let until = row.entered_at.max(leader.since) + policy.windows.aftercare;
        if now >= until && row.state == FenceState::Resolved && self.holds_again(&row) {
            let why = format!("{} holds {} again", row.target, list(row.groups.iter()));
            return self.fence_edge(id, FenceEvent::Escalate, OURSELVES, ("holds_again", why), now).is_ok();
        }
        if row.aftercare != Aftercare::Pending || !written {
            return false;
        }
        let hits = self.fence_hit_by(&row);
        let known = hits.iter().filter(|key| self.units.contains_key(*key));
        let holders: Holders<'_> = known.map(|key| (key, self.sole_holder(key, &row, now))).collect();
        let has_announced = |(key, holder): (&&GroupKey, &Option<Holder>)| {
            holder.as_ref().is_some_and(|holder| announced.get(*key) == Some(&holder.node))
        };
        if holders.iter().all(has_announced) {
            return self.end_aftercare(id, Aftercare::Done, None, "exactly one holder, announced again", now);
        }
        if now >= until {
            let missing =
                holders.iter().filter(|(_, holder)| holder.is_none()).map(|(key, _)| key.to_string());
            let missing: Vec<String> = missing.collect();
            let why = if missing.is_empty() {
                "nobody has announced the addresses again".to_string()
            } else {
                format!("not exactly one holder of {}", missing.join(" "))
            };
            return self.end_aftercare(id, Aftercare::Escalated, Some(Code::NoSurvivor), &why, now);
        }
        self.announce(id, leader.epoch, &holders, now);
        false
    }

    /// A confirmed split brain says that the victim holds what it was made to let go of.
    fn holds_again(&self, row: &Operation) -> bool {
        row.groups.iter().any(|key| {
            self.is_contested(key) && self.fence.cases.get(key).is_some_and(|case| case.victim == row.target)
        })
    }

    /// A node that is known to be off is suspected of nothing while it is silent and nobody sees it.
    fn clear_of_suspicion(&mut self, row: &Operation, now: Instant) {
        let Some(node) = self.nodes.get(&row.target) else { return };
        if row.state != FenceState::Quarantined || node.is_fresh(now, self.windows.fresh) {
            return;
        }
        let heard_at = node.heard_at;
        let mut cleared = Vec::new();
        for key in self.units_of.get(&row.target).into_iter().flatten() {
            let Some(unit) = self.units.get_mut(key).filter(|unit| unit.story.rivals.is_empty()) else {
                continue;
            };
            let own = unit.shape.members.iter().filter(|member| member.node == row.target);
            let own: Vec<_> =
                own.filter(|member| !unit.story.cleared.contains_key(*member)).cloned().collect();
            if !own.is_empty() && unit.story.contest.is_some() {
                unit.story.cleared.extend(own.into_iter().map(|member| (member, heard_at)));
                cleared.push(key.clone());
            }
        }
        for key in cleared {
            self.judge_unit(&key, now);
        }
    }

    fn announce(&mut self, id: OperationId, epoch: u64, holders: &Holders<'_>, now: Instant) {
        let Some(open) = self.fence.operations.get_mut(&id) else { return };
        if open.live.announce_at.is_some_and(|at| now < at + AGAIN) {
            return;
        }
        let mut asked: BTreeMap<NodeName, (BTreeSet<GroupKey>, BTreeSet<String>)> = BTreeMap::new();
        for (key, holder) in holders {
            let Some(Holder { node, instances }) = holder else { continue };
            if open.live.announced.get(*key) == Some(node) {
                continue;
            }
            let (groups, named) = asked.entry(node.clone()).or_default();
            groups.insert((*key).clone());
            named.extend(instances.iter().cloned());
        }
        if asked.is_empty() {
            return;
        }
        open.live.announce_at = Some(now);
        open.live.asked = asked.iter().map(|(node, (groups, _))| (node.clone(), groups.clone())).collect();
        for (node, (groups, instances)) in asked {
            let (groups, instances) = (groups.into_iter().collect(), instances.into_iter().collect());
            self.fence_do(FenceEffect::Announce { epoch, operation: id, node, groups, instances });
        }
    }

    fn end_aftercare(
        &mut self,
        id: OperationId,
        aftercare: Aftercare,
        refused: Option<Code>,
        why: &str,
        now: Instant,
    ) -> bool {
        let Some(open) = self.fence.operations.get_mut(&id) else { return false };
        open.row.aftercare = aftercare;
        let mut line = Audit::about(&open.row, OURSELVES, now);
        (line.action, line.refused, line.detail) = ("aftercare".to_string(), refused, why.to_string());
        self.fence_audit(line);
        self.fence_write(Some(id));
        false
    }

    /// Who holds a group alone, by their own word and without anybody seeing another one.
    fn sole_holder(&self, key: &GroupKey, row: &Operation, now: Instant) -> Option<Holder> {
        let scene = self.scene(key, now)?;
        let quiet = self.units.get(key).is_some_and(|unit| unit.story.contest.is_none());
        let claims = scene.claims();
        match claims.as_slice() {
            [only] if quiet && *only.name() != row.target && only.has(key.address) => {
                let node = only.name();
                let holding = scene
                    .members
                    .iter()
                    .filter(|member| member.name() == node && member.is_master() && member.has(key.address));
                let instances = holding.map(|member| member.report().instance.clone()).collect();
                Some(Holder { node: node.clone(), instances })
            }
            [_] | [] | [_, _, ..] => None,
        }
    }

    /// A survivor has announced, or could not.
    pub(super) fn fence_announced(
        &mut self,
        id: OperationId,
        node: NodeName,
        outcome: Outcome,
        now: Instant,
    ) {
        let Some(open) = self.fence.operations.get_mut(&id) else { return };
        if open.live.announce_at.is_none() {
            return;
        }
        match outcome {
            Outcome::Done => {
                // Who holds a group by now is asked, whoever announced before.
                let groups = open.live.asked.remove(&node).unwrap_or_default();
                open.live.announced.extend(groups.into_iter().map(|group| (group, node.clone())));
            }
            Outcome::Failed | Outcome::TimedOut | Outcome::Unknown => {
                let mut line = Audit::about(&open.row, OURSELVES, now);
                line.action = format!("announcement {}", outcome.as_str());
                line.refused = Some(Code::Unexpected);
                line.detail = format!("{node} did not announce its addresses again");
                self.fence_audit(line);
            }
        }
    }

    /// A quarantined node that comes back is held down before it takes anything, unless nobody else could serve.
    fn keep_out(&mut self, id: OperationId, now: Instant) {
        let Some(open) = self.fence.operations.get(&id) else { return };
        let row = open.row.clone();
        let (written, order_at, orders) = (open.live.written, open.live.order_at, open.live.orders);
        let Some(node) = self.nodes.get(&row.target) else { return };
        let free = |report: &crate::input::InstanceReport| match report.state {
            VrrpState::Master | VrrpState::Backup => true,
            VrrpState::Init | VrrpState::Fault => false,
        };
        let back = node.is_fresh(now, self.windows.fresh)
            && node.instances.values().any(|instance| free(&instance.report));
        let (here, most) = (node.is_fresh(now, self.windows.fresh), self.fence_attempts());
        let waits = order_at.is_some_and(|at| now < at + AGAIN);
        if !here && let Some(open) = self.fence.operations.get_mut(&id) {
            // When it comes back it is told as often again.
            open.live.orders = 0;
        }
        if row.state != FenceState::Quarantined || !back || !written || waits || orders >= most {
            return;
        }
        if let Err(refusal) = self.fence_may_keep_out(&row, now) {
            self.fence_shut(id, &refusal, now);
            return;
        }
        let Some(open) = self.fence.operations.get_mut(&id) else { return };
        if !row.ordered || row.withdrawn {
            (open.row.ordered, open.row.withdrawn) = (true, false);
            self.fence_write(Some(id));
            return;
        }
        open.live.order_at = Some(now);
        open.live.orders += 1;
        self.hand_out(id, now, |epoch| FenceEffect::Demote {
            epoch,
            operation: id,
            node: row.target.clone(),
            instances: Vec::new(),
            why: format!("fenced before, and not released: {}", row.explanation),
        });
    }

    pub(super) fn fence_attempts(&self) -> u32 {
        self.fence.policy.as_ref().map_or(0, |policy| policy.limits.attempts)
    }

    /// Takes back the order of an operation that is over; then it is forgotten.
    pub(super) fn fence_let_go(&mut self, id: OperationId, now: Instant) {
        let Some(open) = self.fence.operations.get_mut(&id) else { return };
        if !open.live.written {
            return;
        }
        let gone = !self.nodes.contains_key(&open.row.target);
        if !open.row.ordered || open.row.withdrawn || gone {
            self.fence.operations.remove(&id);
            return;
        }
        let connected = self.nodes.get(&open.row.target).is_some_and(|node| node.connected);
        if !connected {
            // When it comes back it is asked as often again.
            open.live.orders = 0;
        }
        let pause = AGAIN.saturating_mul(1 << open.live.orders.saturating_sub(1).min(6)).min(SELDOM);
        if !connected || open.live.order_at.is_some_and(|at| now < at + pause) {
            return;
        }
        open.live.order_at = Some(now);
        open.live.orders = open.live.orders.saturating_add(1);
        let (node, epoch) = (open.row.target.clone(), open.row.epoch);
        self.fence_do(FenceEffect::Withdraw { epoch, operation: id, node });
    }

    /// The agent has taken an order back, or could not.
    pub(super) fn fence_withdrawn(&mut self, id: OperationId, outcome: Outcome, now: Instant) {
        let Some(open) = self.fence.operations.get_mut(&id) else { return };
        if open.row.state.is_open() || !open.row.ordered {
            return;
        }
        let mut line = Audit::about(&open.row, OURSELVES, now);
        line.action = format!("withdrawal {}", outcome.as_str());
        match outcome {
            Outcome::Done => {
                open.row.withdrawn = true;
                line.detail = format!("{} may serve again", open.row.target);
                self.fence_audit(line);
                self.fence_write(Some(id));
            }
            Outcome::Failed | Outcome::TimedOut | Outcome::Unknown => {
                // Once, until it is another answer.
                if open.live.answered.replace(outcome) == Some(outcome) {
                    return;
                }
                line.refused = Some(Code::Unexpected);
                line.detail =
                    "it is tried again while the agent is connected, more and more seldom".to_string();
                self.fence_audit(line);
            }
        }
    }

    /// Rule 14: what was tried against a node is forgotten when it serves or follows again in all its groups.
    pub(super) fn fence_rejoined(&mut self, now: Instant) {
        let fresh = self.windows.fresh;
        let back = |name: &NodeName| {
            let Some(node) = self.nodes.get(name) else { return false };
            let busy = self.fence.operations.values().any(|open| open.row.target == *name);
            let well = node.instances.values().all(|instance| match instance.report.state {
                VrrpState::Master | VrrpState::Backup => true,
                VrrpState::Init | VrrpState::Fault => false,
            });
            let contested = self
                .units_of
                .get(name)
                .into_iter()
                .flatten()
                .any(|key| self.units.get(key).is_some_and(|unit| unit.story.contest.is_some()));
            !busy && node.is_fresh(now, fresh) && !node.instances.is_empty() && well && !contested
        };
        let names: BTreeSet<NodeName> =
            self.fence.standing.attempts.keys().filter(|name| back(name)).cloned().collect();
        if names.is_empty() {
            return;
        }
        for name in names {
            self.fence.standing.attempts.remove(&name);
            let line = Audit {
                at: now,
                operation: None,
                epoch: 0,
                actor: OURSELVES.to_string(),
                action: "rejoined".to_string(),
                target: Some(name),
                group: None,
                refused: None,
                detail: "it takes part in all its groups again: attempts count from zero".to_string(),
                evidence: Vec::new(),
            };
            self.fence_audit(line);
        }
        self.fence_write(None);
    }
}
