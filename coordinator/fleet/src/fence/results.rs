//! What agents and fence programs answer. An answer that nobody waits for changes nothing and is written down.

use alloc::{format, string::ToString, vec::Vec};
use core::time::Duration;

use crate::{
    detect::fact,
    fence::{
        Audit, FenceEvent, FenceState, OURSELVES, Operation, OperationId, Outcome, Reading,
        RefusalCode as Code, Rung, Trace, cut,
        evidence::{self, ON_THE_WAY},
    },
    fleet::Fleet,
    model::NodeName,
    scene::INTERVALS,
    time::Instant,
};

impl Fleet {
    pub(super) fn fence_demoted(&mut self, id: OperationId, outcome: Outcome, now: Instant) {
        let Some(open) = self.fence.operations.get_mut(&id) else {
            return self.fence_unexpected(id, format!("demote {}", outcome.as_str()), now);
        };
        let mut line = Audit::about(&open.row, OURSELVES, now);
        line.action = format!("result demote {}", outcome.as_str());
        line.detail = format!("the agent of {} answered", open.row.target);
        if open.row.state == FenceState::Demoting && open.live.acted_at.is_some() {
            open.live.answered = Some(outcome);
        } else if open.row.state != FenceState::Quarantined {
            line.refused = Some(Code::Unexpected);
        }
        self.fence_audit(line);
    }

    pub(super) fn fence_ran(
        &mut self,
        id: OperationId,
        revision: u64,
        outcome: Outcome,
        trace: Trace,
        now: Instant,
    ) {
        let Some(open) = self.fence.operations.get_mut(&id) else {
            return self.fence_unexpected(id, format!("off {}", outcome.as_str()), now);
        };
        let mut line = Audit::about(&open.row, OURSELVES, now);
        line.action = format!("result off {}", outcome.as_str());
        trace.into_line(&mut line, now);
        let awaited = open.row.state.rung().is_some_and(|rung| open.row.state == FenceState::Running(rung))
            && open.row.revision == revision
            && open.live.acted_at.is_some();
        if !awaited {
            // It ended after it was taken for timed out: the status must be newer than that.
            open.live.ended_at = Some(now);
            line.refused = Some(Code::Unexpected);
            return self.fence_audit(line);
        }
        self.fence_audit(line);
        let why = format!("the program ended: {}", outcome.as_str());
        if self.fence_edge(id, FenceEvent::Ran, OURSELVES, (outcome.as_str(), why), now).is_ok()
            && let Some(open) = self.fence.operations.get_mut(&id)
        {
            open.live.failed = outcome == Outcome::Failed;
            open.live.ended_at = Some(now);
        }
    }

    pub(super) fn fence_status(
        &mut self,
        id: OperationId,
        revision: u64,
        reading: Reading,
        trace: Trace,
        now: Instant,
    ) {
        let Some(row) = self.row(id) else {
            return self.fence_unexpected(id, format!("status {}", reading.as_str()), now);
        };
        let mut line = Audit::about(&row, OURSELVES, now);
        line.action = format!("result status {}", reading.as_str());
        trace.into_line(&mut line, now);
        let (FenceState::Verifying(rung), true) = (row.state, row.revision == revision) else {
            line.refused = Some(Code::Unexpected);
            return self.fence_audit(line);
        };
        let doubt = match reading {
            Reading::Off => self.fence_contradicted(id, &row, rung, now),
            Reading::On | Reading::Unknown => None,
        };
        if let Some(doubt) = &doubt {
            line.refused = Some(Code::StillSpeaking);
            line.detail = format!("not believed: {doubt}; {}", line.detail);
        }
        self.fence_audit(line);
        if doubt.is_none() && matches!(reading, Reading::On | Reading::Off) {
            self.fence_path_answered(&row.target, rung, now);
        }
        if reading == Reading::Off && doubt.is_none() {
            let why = "the independent status says off, and nobody sees it".to_string();
            // The state was looked at above.
            let _ = self.fence_edge(id, FenceEvent::SeeOff, OURSELVES, ("status_off", why), now);
        } else if let Some(open) = self.fence.operations.get_mut(&id) {
            open.live.answered_poll = true;
            open.live.last_reading = Some(if doubt.is_some() { Reading::Unknown } else { reading });
        }
    }

    /// For how long after a step what is heard may be from before it.
    pub(super) fn fence_settles(&self, row: &Operation) -> Duration {
        let least = self.fence.policy.as_ref().map(|policy| policy.windows.observed).unwrap_or_default();
        let instances = self.nodes.get(&row.target).map(|node| node.instances.values());
        let adverts = instances.into_iter().flatten().map(|known| known.report.interval * INTERVALS).max();
        least.max(adverts.unwrap_or_default())
    }

    /// What says that the target is still there although its device says off.
    fn fence_contradicted(
        &self,
        id: OperationId,
        row: &Operation,
        rung: Rung,
        now: Instant,
    ) -> Option<alloc::string::String> {
        let open = self.fence.operations.get(&id)?;
        let ended_at = open.live.ended_at.unwrap_or(row.entered_at);
        let from = ended_at + ON_THE_WAY;
        if now < from || open.live.polled_at.is_none_or(|at| at < ended_at) {
            return Some("it is too early to tell: it was asked before the program ended".to_string());
        }
        let spoke = self.nodes.get(&row.target).and_then(|node| node.heard_at);
        if rung == Rung::Power && spoke.is_some_and(|at| at > from) {
            return Some(format!("the agent of {} speaks", row.target));
        }
        self.fence_seen(&row.target, from, now)
    }

    /// Who has seen a node hold an address since then, in words.
    pub(super) fn fence_seen(
        &self,
        target: &NodeName,
        from: Instant,
        now: Instant,
    ) -> Option<alloc::string::String> {
        let policy = self.fence.policy.as_ref()?;
        for key in self.units_of.get(target).into_iter().flatten() {
            let (Some(scene), Some(unit)) = (self.scene(key, now), self.units.get(key)) else { continue };
            let claimants = evidence::claimants(&scene, &unit.story, policy);
            let own = claimants.iter().filter(|claimant| claimant.name() == target);
            let seen = own.flat_map(|claimant| &claimant.seen_by).find(|(_, at)| **at > from);
            if let Some((witness, _)) = seen {
                return Some(format!("{witness} sees {target} hold {}", key.address));
            }
        }
        None
    }

    /// Its order is to be taken back, and is not known to be.
    pub(super) fn fence_awaits_withdrawal(&self, id: OperationId) -> bool {
        let row = self.fence.operations.get(&id).map(|open| &open.row);
        row.is_some_and(|row| !row.state.is_open() && row.ordered && !row.withdrawn)
    }

    /// Nobody waits for it: it changes nothing and is written down.
    pub(super) fn fence_unexpected(&mut self, id: OperationId, what: alloc::string::String, now: Instant) {
        let state = self.fence.operations.get(&id).map(|open| open.row.state);
        let detail = state.map_or(format!("{id} is not open"), |state| format!("{id} is {state}"));
        let line = Audit {
            at: now,
            operation: Some(id),
            epoch: 0,
            actor: OURSELVES.to_string(),
            action: format!("result {what}"),
            target: None,
            group: None,
            refused: Some(Code::Unexpected),
            detail,
            evidence: Vec::new(),
        };
        self.fence_audit(line);
    }
}

impl Trace {
    /// Into the audit log, bounded.
    fn into_line(mut self, line: &mut Audit, now: Instant) {
        cut(&mut self.command);
        cut(&mut self.tail);
        let code = self.exit_code.map_or("none".to_string(), |code| code.to_string());
        line.detail = format!("exit code {code} after {} ms", self.took_us / 1000);
        let facts = [
            ("command", self.command),
            ("exit_code", code),
            ("tail", self.tail),
            ("took_ms", (self.took_us / 1000).to_string()),
        ];
        line.evidence.push(fact("program", None, now, line.detail.clone(), facts));
    }
}
