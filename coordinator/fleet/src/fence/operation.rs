//! One operation, and what stands over all of them: both are written down whole, each time.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use core::fmt;

use crate::{
    effect::Evidence,
    fence::{policy::Level, table::FenceState},
    model::{GroupKey, NodeName, Site},
    time::Instant,
};

/// Names one operation in its store: `fence/17`. A restored store gives numbers again, so that the order that a demoted agent keeps
/// has an id of its own, by chance, which the shell keeps with the row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationId(pub u64);

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fence/{}", self.0)
    }
}

/// Who wants an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A confirmed split brain.
    Detection,
    /// A person asked for what detection would do.
    Proposal(String),
    /// A person wants it done, on their own word.
    Order(String),
    /// A person vouched that the node is down.
    Vouched(String),
}

/// What became of the time after a success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aftercare {
    /// Not looked at yet, or not over.
    #[default]
    Pending,
    /// Exactly one holder, announced again.
    Done,
    /// A person was called.
    Escalated,
}

/// One fence of one node. The row of the store: whoever has it can go on with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Its name.
    pub id: OperationId,
    /// [`Standing::revision`] when it was last written.
    pub revision: u64,
    /// The leader's epoch when it was last written. A step is carried out under this epoch only.
    pub epoch: u64,
    /// Whom it is against.
    pub target: NodeName,
    /// The target's layer-2 world.
    pub site: Site,
    /// The groups that the target must let go of; for an order of a person those that it could hold.
    pub groups: BTreeSet<GroupKey>,
    /// The target's instances that hold them.
    pub instances: BTreeSet<String>,
    /// Who serves instead, group by group.
    pub survivors: BTreeMap<GroupKey, NodeName>,
    /// Who wants it.
    pub origin: Origin,
    /// Where it is.
    pub state: FenceState,
    /// When it came there.
    pub entered_at: Instant,
    /// A stable code of why it is there: an event, or a refusal.
    pub reason: String,
    /// The same in words.
    pub detail: String,
    /// Why this node is the victim, in words.
    pub explanation: String,
    /// When it was proposed.
    pub proposed_at: Instant,
    /// Who approved it last.
    pub approved_by: Option<String>,
    /// The hardest step that a person, or the order, allows.
    pub approved_up_to: Option<Level>,
    /// The hardest step taken so far.
    pub taken: Option<Level>,
    /// A demote order may be on the target's disk.
    pub ordered: bool,
    /// That order is known to be withdrawn.
    pub withdrawn: bool,
    /// What became of the time after a success.
    pub aftercare: Aftercare,
    /// The facts that it was decided by.
    pub evidence: Vec<Evidence>,
}

impl Operation {
    /// A person's own word, which needs no evidence.
    pub(crate) fn is_order(&self) -> bool {
        match self.origin {
            Origin::Order(_) | Origin::Vouched(_) => true,
            Origin::Detection | Origin::Proposal(_) => false,
        }
    }

    pub(crate) fn allows(&self, level: Level) -> bool {
        self.approved_up_to.is_some_and(|up_to| level <= up_to)
    }
}

/// What outlives operations: written in the same transaction as the operation that changes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// Counts writes.
    pub revision: u64,
    /// The epoch of the last write.
    pub epoch: u64,
    /// The last number given to an operation.
    pub last_operation: u64,
    /// Who paused all fencing.
    pub paused: Option<String>,
    /// Operations up to this one do not count for the rates: a person has resumed since.
    pub forgiven: OperationId,
    /// The fleet's rate was reached: `auto` is `approve` until a person resumes.
    pub latched: bool,
    /// The same for single groups.
    pub latched_groups: BTreeSet<GroupKey>,
    /// Whom a person has refused to fence, until the split brain of that group is over.
    pub denied: BTreeMap<GroupKey, NodeName>,
    /// Steps taken against each node since it last rejoined.
    pub attempts: BTreeMap<NodeName, u32>,
    /// Operations that acted within the longest window, oldest first.
    pub acted: Vec<Acted>,
}

/// An operation that has acted.
#[derive(Clone, Debug, PartialEq)]
pub struct Acted {
    /// Which.
    pub operation: OperationId,
    /// Against whom.
    pub target: NodeName,
    /// Which groups its steps took the target out of: a program takes it out of all.
    pub groups: BTreeSet<GroupKey>,
    /// The hardest step that it took.
    pub level: Level,
    /// When it first acted.
    pub at: Instant,
    /// When it last acted or came to an end.
    pub last_at: Instant,
    /// It worked.
    pub worked: bool,
}

/// What is written down before anything is done.
#[derive(Clone, Debug, PartialEq)]
pub struct FenceRow {
    /// The operation that changed, whole; `None` when only the standing did.
    pub operation: Option<Operation>,
    /// The standing, whole.
    pub standing: Standing,
}
