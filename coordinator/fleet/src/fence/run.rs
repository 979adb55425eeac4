//! The door into fencing, and its turn at the end of every input.

use alloc::{string::ToString, vec::Vec};
use core::time::Duration;

use crate::{
    detect::sooner,
    fence::{
        Aftercare, Audit, FenceInput, FencePolicy, FenceState, Leader, Live, OURSELVES, Open, Operation,
        OperationId, Refusal, RefusalCode, Standing,
    },
    fleet::Fleet,
    model::GroupKey,
    time::Instant,
    timers::Work,
};

/// While something is going on it is looked at so often, whatever is heard.
const LOOK: Duration = Duration::from_secs(1);
/// A contested group is looked at so often at most, however much is heard of it.
const PAUSE: Duration = Duration::from_millis(200);
/// Edges that one operation can go in one turn: more than any path through the table has without waiting.
const EDGES: usize = 8;

impl Fleet {
    /// Takes in what concerns fencing.
    pub(crate) fn fence_told(&mut self, input: FenceInput, now: Instant) {
        match input {
            FenceInput::Configured(policy) => self.fence_configured(*policy, now),
            FenceInput::Restored { standing, operations } => self.fence_restored(standing, operations),
            FenceInput::Leader { epoch } => self.fence_leads(epoch, now),
            FenceInput::NotLeader => self.fence_lost("another coordinator leads".to_string(), now),
            FenceInput::Written { operation, revision } => self.fence_written(operation, revision),
            FenceInput::WriteRefused { revision, why } => {
                self.fence_lost(alloc::format!("row {revision} was refused: {why}"), now);
            }
            FenceInput::Asked { request, actor, verb } => self.fence_asked(request, &actor, verb, now),
            FenceInput::Demoted { operation, outcome } => self.fence_demoted(operation, outcome, now),
            FenceInput::Withdrawn { operation, outcome } if self.fence_awaits_withdrawal(operation) => {
                self.fence_withdrawn(operation, outcome, now);
            }
            FenceInput::Withdrawn { operation, outcome } => {
                self.fence_unexpected(operation, alloc::format!("withdraw {}", outcome.as_str()), now);
            }
            FenceInput::Announced { operation, node, outcome } => {
                self.fence_announced(operation, node, outcome, now);
            }
            FenceInput::Ran { operation, revision, outcome, trace } => {
                self.fence_ran(operation, revision, outcome, trace, now);
            }
            FenceInput::Status { operation, revision, reading, trace } => {
                self.fence_status(operation, revision, reading, trace, now);
            }
            FenceInput::PathVerified { node, rung, outcome } => {
                self.fence_path_verified(node, rung, outcome, now);
            }
            FenceInput::References { reachable, total } => {
                self.fence.references = Some((reachable.min(total), total, now));
            }
            FenceInput::Committing { node, on } => self.commit(node, on, now),
        }
    }

    /// The coordinator was deaf: what it saw before is no evidence.
    pub(crate) fn fence_deaf(&mut self, now: Instant) {
        self.fence.evidence_from = now;
        self.fence.cases.clear();
    }

    /// Looks at what the present input has touched, and says when to look again.
    pub(crate) fn fence_turn(&mut self, now: Instant) {
        if self.fence.policy.is_none() || self.fence.leader.is_none() {
            self.fence.touched.clear();
            return;
        }
        let mut wake = None;
        for key in core::mem::take(&mut self.fence.touched) {
            let again = self.fence.looked.get(&key).map(|at| *at + PAUSE).filter(|again| *again > now);
            match again.filter(|_| self.is_contested(&key)) {
                Some(again) => {
                    wake = sooner(wake, Some(again));
                    self.fence.touched.insert(key);
                }
                None => wake = sooner(wake, self.fence_consider(&key, now)),
            }
        }
        let ids: Vec<OperationId> = self.fence.operations.keys().copied().collect();
        for id in ids {
            for _ in 0..EDGES {
                if !self.fence_advance(id, now) {
                    break;
                }
            }
        }
        self.fence_rejoined(now);
        wake = sooner(wake, self.fence_verify_paths(now));
        self.fence_tell_people(now);
        if !self.fence.cases.is_empty() || self.fence.operations.values().any(|open| open.row.waits()) {
            wake = sooner(wake, Some(now + LOOK));
        }
        if let Some(wake) = wake {
            self.timers.arm(Work::Fence, wake, now);
        }
    }

    /// Time alone has passed.
    pub(crate) fn fence_due(&mut self) {
        let keys: Vec<GroupKey> = self.fence.cases.keys().chain(self.fence.refused.keys()).cloned().collect();
        self.fence.touched.extend(keys);
    }

    fn fence_configured(&mut self, policy: FencePolicy, now: Instant) {
        // What was verified is the device, not its place.
        let known = self.fence.policy.take();
        self.fence.paths.retain(|(node, rung), _| {
            let before = known.as_ref().and_then(|known| known.device(node, *rung));
            before.is_some() && policy.device(node, *rung) == before
        });
        self.fence.paths_due = None;
        self.fence.policy = Some(policy);
        self.fence_end_path_findings(now);
    }

    fn fence_restored(&mut self, standing: Standing, operations: Vec<Operation>) {
        let fence = &mut self.fence;
        fence.leader = None;
        fence.restored = true;
        fence.durable = standing.revision;
        fence.resumed = 0;
        fence.standing = standing;
        // A row is never lost: its number counts even if the standing is older.
        let last = operations.iter().map(|row| row.id.0).max().unwrap_or_default();
        fence.standing.last_operation = fence.standing.last_operation.max(last);
        let newest = operations.iter().map(|row| row.revision).max().unwrap_or_default();
        fence.standing.revision = fence.standing.revision.max(newest);
        let open = |row: Operation| {
            let live = Live { from_store: true, ..Live::default() };
            (row.id, Open { row, live, escalated_at: None })
        };
        fence.operations = operations.into_iter().map(open).collect();
    }

    fn fence_leads(&mut self, epoch: u64, now: Instant) {
        let fence = &self.fence;
        let newest = fence.operations.values().map(|open| open.row.epoch).max().unwrap_or_default();
        let newest = newest.max(fence.standing.epoch);
        let refusal = if !fence.restored {
            Some("what the store has was not read".to_string())
        } else if epoch <= newest {
            Some(alloc::format!("epoch {epoch} is not newer than {newest}"))
        } else {
            None
        };
        if let Some(why) = refusal {
            return self.fence_lost(why, now);
        }
        self.fence.leader = Some(Leader { epoch, since: now });
        self.fence.paths_due = None;
        self.fence_findings_from_store();
        self.fence_end_path_findings(now);
        self.fence.evidence_from = now;
        self.fence.cases.clear();
        let keys: Vec<GroupKey> = self.units.keys().filter(|key| self.is_contested(key)).cloned().collect();
        self.fence.touched.extend(keys);
        // Every row is this epoch's before anything is done about it.
        self.fence_write(None);
        let ids: Vec<OperationId> = self.fence.operations.keys().copied().collect();
        for id in ids {
            if let Some(open) = self.fence.operations.get_mut(&id) {
                // Written under a clock that was ahead: nobody waits until this one is there too.
                open.row.entered_at = open.row.entered_at.min(now);
                open.row.proposed_at = open.row.proposed_at.min(now);
            }
            self.fence_write(Some(id));
        }
    }

    fn fence_lost(&mut self, why: alloc::string::String, now: Instant) {
        let line = Audit {
            at: now,
            operation: None,
            epoch: 0,
            actor: OURSELVES.to_string(),
            action: "leader".to_string(),
            target: None,
            group: None,
            refused: Some(RefusalCode::NotLeader),
            detail: why,
            evidence: Vec::new(),
        };
        self.fence_audit(line);
        // What is in memory may be newer than the store: it is read again before this coordinator leads again.
        self.fence.leader = None;
        self.fence.restored = false;
        self.fence.cases.clear();
    }

    fn fence_written(&mut self, operation: Option<OperationId>, revision: u64) {
        self.fence.durable = self.fence.durable.max(revision.min(self.fence.standing.revision));
        if let Some(open) = operation.and_then(|id| self.fence.operations.get_mut(&id))
            && open.row.revision == revision
        {
            open.live.written = true;
        }
    }

    /// An operation that waits says why, once for each reason and every ten minutes.
    pub(crate) fn fence_shut(&mut self, id: OperationId, refusal: &Refusal, now: Instant) -> Duration {
        let Some(open) = self.fence.operations.get_mut(&id) else { return Duration::ZERO };
        let since = *open.live.shut_since.get_or_insert(now);
        let again = |(code, at): (RefusalCode, Instant)| code != refusal.code || now.since(at) >= REPEAT;
        if open.live.refused.is_none_or(again) {
            open.live.refused = Some((refusal.code, now));
            let mut line = Audit::about(&open.row, OURSELVES, now);
            line.action = alloc::format!("{}, waiting", open.row.state);
            line.refused = Some(refusal.code);
            line.detail.clone_from(&refusal.words);
            line.evidence.clone_from(&open.row.evidence);
            self.fence_audit(line);
        }
        now.since(since)
    }
}

/// A refusal that goes on is written down so often.
pub(crate) const REPEAT: Duration = Duration::from_secs(600);

impl Operation {
    /// Time alone can change it.
    fn waits(&self) -> bool {
        match self.state {
            FenceState::Proposed | FenceState::AwaitingApproval | FenceState::Approved => true,
            FenceState::Demoting | FenceState::Escalating | FenceState::Fenced => true,
            FenceState::Running(_) | FenceState::Verifying(_) => true,
            FenceState::Resolved | FenceState::Quarantined => self.aftercare == Aftercare::Pending,
            FenceState::Denied | FenceState::Released => self.ordered && !self.withdrawn,
            FenceState::Failed | FenceState::Unknown => false,
        }
    }
}
