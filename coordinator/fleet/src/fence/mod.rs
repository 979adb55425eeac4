//! Fencing: ending a confirmed split brain by making the explained victim let go, step by step, each verified before the next.
//!
//! It is inert until [`FenceInput::Configured`], [`FenceInput::Restored`] and [`FenceInput::Leader`] have come, in this order.
//! `FenceInput::NotLeader` and a refused write make it inert again. What the shell owes for each effect stands in
//! docs/architecture.md, "Fencing"; in short: what comes after a row waits until the row is committed, the epoch is held against the
//! lease right before a step, and every step is answered, one that cannot be taken with `Failed`, at once.
//!
//! How it is made: `consider` looks at groups with a confirmed split brain and proposes; `advance` moves operations, by `table`,
//! through `gates`; `results` and `verbs` take in what programs and people say; `aftercare` looks after a success.

mod advance;
mod aftercare;
mod consider;
mod effect;
mod evidence;
mod gates;
mod operation;
mod paths;
mod people;
mod policy;
mod rate;
mod results;
mod run;
mod table;
mod told;
mod verbs;
mod victim;

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    vec::Vec,
};

pub use effect::{Audit, FenceEffect, Refusal, RefusalCode, StepAction};
pub use operation::{Acted, Aftercare, FenceRow, Operation, OperationId, Origin, Standing};
pub use policy::{Device, FenceLimits, FencePolicy, FenceWindows, Level, Mode, Rung};
pub use table::{FenceEvent, FenceState, IllegalPair, next};
pub use told::{Consent, FenceInput, FenceVerb, Outcome, Reading, Trace};

use crate::{
    fleet::Fleet,
    ledger::Subject,
    model::{GroupKey, NodeName},
    time::Instant,
};
use evidence::Case;
use paths::Path;

/// Who acts when no person does.
const OURSELVES: &str = "hafleet";

/// Everything that fencing remembers.
#[derive(Debug, Default)]
pub(crate) struct Fencing {
    policy: Option<FencePolicy>,
    /// The store has been read.
    restored: bool,
    leader: Option<Leader>,
    standing: Standing,
    /// Every row up to this revision is committed.
    durable: u64,
    /// The revision of the last end of a pause: nothing is done before it is durable.
    resumed: u64,
    operations: BTreeMap<OperationId, Open>,
    cases: BTreeMap<GroupKey, Case>,
    refused: BTreeMap<GroupKey, Refused>,
    /// Groups to be looked at in this turn, or as soon as they have not just been.
    touched: BTreeSet<GroupKey>,
    /// When each contested group was last looked at.
    looked: BTreeMap<GroupKey, Instant>,
    /// What people were told of.
    told: BTreeSet<Subject>,
    /// From when evidence counts: the coordinator was deaf before.
    evidence_from: Instant,
    pub(crate) committing: BTreeSet<NodeName>,
    /// Reachable, of how many, told when.
    references: Option<(usize, usize, Instant)>,
    paths: BTreeMap<(NodeName, Rung), Path>,
    /// When the next path is to be looked at; `None`: now.
    paths_due: Option<Instant>,
}

impl Fencing {
    /// A group was judged: it is looked at in this turn when its split brain is confirmed, or just was.
    pub(crate) fn judged(&mut self, key: &GroupKey, confirmed: bool) {
        let remembered = || {
            self.cases.contains_key(key)
                || self.refused.contains_key(key)
                || self.standing.denied.contains_key(key)
        };
        if self.policy.is_some() && (confirmed || remembered()) {
            self.touched.insert(key.clone());
        }
    }

    /// An operation of this leader acts for the group, or may at any moment.
    pub(crate) fn acts_for(&self, key: &GroupKey) -> bool {
        let acts = |open: &Open| open.row.state.is_active() && open.row.groups.contains(key);
        self.leader.is_some() && self.operations.values().any(acts)
    }
}

/// Since when this coordinator leads, and under which epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leader {
    epoch: u64,
    since: Instant,
}

/// An operation that is not over, with what is known of it in this life of the coordinator only.
#[derive(Debug)]
struct Open {
    row: Operation,
    live: Live,
    /// When the last step was found not to be enough. What was seen before speaks for no further one. Forgotten in a restart, after
    /// which evidence has to last anew.
    escalated_at: Option<Instant>,
}

/// What is known of the present state of an operation; forgotten when it leaves it.
#[derive(Debug, Default)]
struct Live {
    /// The row as it is now is committed.
    written: bool,
    /// It came from the store: whether its step was taken is not known.
    from_store: bool,
    /// When its step was handed out.
    acted_at: Option<Instant>,
    /// What came of it.
    answered: Option<Outcome>,
    /// Since when the gates are shut.
    shut_since: Option<Instant>,
    refused: Option<(RefusalCode, Instant)>,
    /// The program said that it did nothing.
    failed: bool,
    /// When the program ended.
    ended_at: Option<Instant>,
    polls: u32,
    polled_at: Option<Instant>,
    answered_poll: bool,
    last_reading: Option<Reading>,
    /// Who has announced each group's address again.
    announced: BTreeMap<GroupKey, NodeName>,
    /// When survivors were asked to, and for which groups each was.
    announce_at: Option<Instant>,
    asked: BTreeMap<NodeName, BTreeSet<GroupKey>>,
    /// When the order was last given or withdrawn after the operation was over.
    order_at: Option<Instant>,
    /// How often it was given since the node is there.
    orders: u32,
}

/// Why a group's split brain is not ended, for people and against repetition.
#[derive(Clone, Debug)]
struct Refused {
    refusal: Refusal,
    since: Instant,
    audited_at: Instant,
}

/// The fences as people see them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FenceView {
    /// The fleet's mode; `Disabled` without a policy.
    pub mode: Mode,
    /// Everything that was configured; `None`: nothing was.
    pub policy: Option<FencePolicy>,
    /// This coordinator leads, under this epoch.
    pub epoch: Option<u64>,
    /// Since when.
    pub leads_since: Option<Instant>,
    /// What stands over all operations.
    pub standing: Standing,
    /// Every operation that is open or whose order is not withdrawn yet.
    pub operations: Vec<Operation>,
    /// Why groups with a confirmed split brain are left alone.
    pub refused: Vec<(GroupKey, Refusal)>,
    /// Every fence path, and since when it is known to work; `None` when it does not, or is not known to.
    pub paths: Vec<(NodeName, Rung, Option<Instant>)>,
}

impl Fleet {
    /// The fences as they are now, for people.
    pub fn fences(&self) -> FenceView {
        let fence = &self.fence;
        let refused = fence.refused.iter().map(|(key, refused)| (key.clone(), refused.refusal.clone()));
        let paths = fence.paths.iter().map(|((node, rung), path)| (node.clone(), *rung, path.works_since()));
        FenceView {
            mode: fence.policy.as_ref().map_or(Mode::Disabled, |policy| policy.mode),
            policy: fence.policy.clone(),
            epoch: fence.leader.map(|leader| leader.epoch),
            leads_since: fence.leader.map(|leader| leader.since),
            standing: fence.standing.clone(),
            operations: fence.operations.values().map(|open| open.row.clone()).collect(),
            refused: refused.collect(),
            paths: paths.collect(),
        }
    }

    fn fence_do(&mut self, effect: FenceEffect) {
        self.ledger.ask(crate::effect::Effect::Fence(effect));
    }

    fn fence_audit(&mut self, mut line: Audit) {
        line.epoch = self.fence.leader.map_or(0, |leader| leader.epoch);
        cut(&mut line.detail);
        self.fence_do(FenceEffect::Audit(line));
    }

    /// Writes the operation down as it is now, or only the standing. What follows from it waits for `Written`.
    fn fence_write(&mut self, id: Option<OperationId>) {
        let Some(leader) = self.fence.leader else { return };
        let fence = &mut self.fence;
        fence.standing.revision = fence.standing.revision.saturating_add(1);
        fence.standing.epoch = leader.epoch;
        let operation = id.and_then(|id| fence.operations.get_mut(&id)).map(|open| {
            open.row.revision = fence.standing.revision;
            open.row.epoch = leader.epoch;
            open.live.written = false;
            open.row.clone()
        });
        let row = FenceRow { operation, standing: fence.standing.clone() };
        self.fence_do(FenceEffect::Write(Box::new(row)));
    }

    /// Moves an operation along the table, writes it down and into the audit log. A pair that makes no sense changes nothing
    /// and is refused.
    fn fence_edge(
        &mut self,
        id: OperationId,
        event: FenceEvent,
        actor: &str,
        (code, detail): (&str, String),
        now: Instant,
    ) -> Result<(), Refusal> {
        let Some(open) = self.fence.operations.get(&id) else {
            return Err(Refusal::new(RefusalCode::UnknownOperation, alloc::format!("there is no open {id}")));
        };
        if self.fence.leader.is_none() {
            return Err(Refusal::new(RefusalCode::NotLeader, "this coordinator does not lead"));
        }
        let from = open.row.state;
        let mut line = Audit::about(&open.row, actor, now);
        let to = match next(from, event) {
            Ok(to) => to,
            Err(illegal) => {
                let refusal = Refusal::new(RefusalCode::IllegalPair, alloc::format!("{id}: {illegal}"));
                line.action = alloc::format!("{from} + {event}");
                line.refused = Some(refusal.code);
                line.detail = refusal.words.clone();
                self.fence_audit(line);
                return Err(refusal);
            }
        };
        let level = if let FenceEvent::Run(rung) = event { Level::Device(rung) } else { Level::Demote };
        let hits = self.fence_hits(&open.row.target, &open.row.groups, level);
        let fence = &mut self.fence;
        if let Some(open) = fence.operations.get_mut(&id) {
            let row = &mut open.row;
            (row.state, row.entered_at, row.reason, row.detail) = (to, now, code.to_string(), detail);
            cut(&mut row.detail);
            open.live = Live::default();
            match event {
                FenceEvent::Demote => {
                    (row.ordered, row.withdrawn) = (true, false);
                    row.taken = row.taken.max(Some(Level::Demote));
                }
                FenceEvent::Run(rung) => row.taken = row.taken.max(Some(Level::Device(rung))),
                FenceEvent::Clear | FenceEvent::Quarantine => row.aftercare = Aftercare::Pending,
                FenceEvent::Escalate => open.escalated_at = Some(now),
                FenceEvent::Deny | FenceEvent::AwaitApproval | FenceEvent::Approve => {}
                FenceEvent::Ran | FenceEvent::SeeOff | FenceEvent::GiveUp | FenceEvent::LoseSight => {}
                FenceEvent::Vouch | FenceEvent::Release => {}
            }
            line.action = alloc::format!("{from} -> {to}");
            line.detail = alloc::format!("{}: {}", row.reason, row.detail);
            line.evidence.clone_from(&row.evidence);
            let refuses = event == FenceEvent::Deny || event == FenceEvent::GiveUp;
            line.refused = RefusalCode::ALL.iter().copied().find(|known| refuses && known.as_str() == code);
            if let (Some(policy), true) = (&fence.policy, event.is_step()) {
                // More groups for the same step are no new attempt.
                let joins = from == FenceState::Demoting || from == FenceState::Resolved;
                fence.standing.acts(row, hits, policy, !joins, now);
            }
            if event.ends() {
                fence.standing.ended(id, to.has_worked(), now);
            }
        }
        self.fence_audit(line);
        self.fence_write(Some(id));
        if from.is_active() && !to.is_active() {
            self.fence_inhibits_no_more(id, now);
        }
        Ok(())
    }

    /// What was held back while the operation acted is judged at once.
    fn fence_inhibits_no_more(&mut self, id: OperationId, now: Instant) {
        let groups = self.fence.operations.get(&id).map(|open| open.row.groups.clone());
        for key in groups.unwrap_or_default() {
            self.judge_unit(&key, now);
        }
    }
}

impl FenceEvent {
    const fn is_step(self) -> bool {
        matches!(self, Self::Demote | Self::Run(_))
    }

    const fn ends(self) -> bool {
        match self {
            Self::Clear | Self::SeeOff | Self::GiveUp | Self::LoseSight | Self::Vouch => true,
            Self::Quarantine | Self::Release | Self::Deny => true,
            Self::AwaitApproval | Self::Approve | Self::Demote | Self::Escalate => false,
            Self::Run(_) | Self::Ran => false,
        }
    }
}

impl Audit {
    fn about(row: &Operation, actor: &str, now: Instant) -> Self {
        Self {
            at: now,
            operation: Some(row.id),
            epoch: 0,
            actor: actor.to_string(),
            action: String::new(),
            target: Some(row.target.clone()),
            group: row.groups.first().cloned(),
            refused: None,
            detail: String::new(),
            evidence: Vec::new(),
        }
    }
}

/// Keeps the beginning of what is too long.
fn cut(text: &mut String) {
    if text.len() > crate::bounds::FENCE_TEXT {
        text.truncate(text.floor_char_boundary(crate::bounds::FENCE_TEXT));
    }
}
