//! What fencing is told.

use alloc::{boxed::Box, string::String, vec::Vec};

use crate::{
    fence::{
        operation::{Operation, OperationId, Standing},
        policy::{FencePolicy, Level, Rung},
    },
    model::NodeName,
};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum FenceInput {
    /// What may be fenced. Without it there is no fencing at all.
    Configured(Box<FencePolicy>),
    /// What the store has: every operation that is open or whose order is not withdrawn, and the standing. After
    /// a start and before every [`FenceInput::Leader`].
    Restored {
        /// The standing.
        standing: Standing,
        /// The operations.
        operations: Vec<Operation>,
    },
    /// This coordinator leads now, under this epoch, and has told nodes and open findings of the store. Its grace begins.
    Leader {
        /// Larger than every epoch before.
        epoch: u64,
    },
    /// It does not lead any more: nothing is done.
    NotLeader,
    /// A row was committed, with its epoch checked in the same transaction.
    Written {
        /// The row's operation.
        operation: Option<OperationId>,
        /// The row's [`Standing::revision`].
        revision: u64,
    },
    /// A row was refused because another coordinator has a newer epoch: this one does not lead.
    WriteRefused {
        /// The row's [`Standing::revision`].
        revision: u64,
        /// The store's words.
        why: String,
    },
    /// A person asks for something.
    Asked {
        /// Chosen by the shell; the answer carries it.
        request: u64,
        /// Who asks.
        actor: String,
        /// For what.
        verb: FenceVerb,
    },
    /// The agent answered a demote, or could not be told.
    Demoted {
        /// Which operation.
        operation: OperationId,
        /// What came of it.
        outcome: Outcome,
    },
    /// The agent answered a withdrawal, or could not be told.
    Withdrawn {
        /// Which operation.
        operation: OperationId,
        /// What came of it.
        outcome: Outcome,
    },
    /// A survivor announced its addresses again, or did not.
    Announced {
        /// Which operation.
        operation: OperationId,
        /// Which survivor.
        node: NodeName,
        /// What came of it.
        outcome: Outcome,
    },
    /// A fence program's `off` ended.
    Ran {
        /// Which operation.
        operation: OperationId,
        /// The [`Operation::revision`] that the step carried.
        revision: u64,
        /// What came of it.
        outcome: Outcome,
        /// What it left behind, redacted.
        trace: Trace,
    },
    /// A fence program's `status` ended.
    Status {
        /// Which operation.
        operation: OperationId,
        /// The [`Operation::revision`] that the step carried.
        revision: u64,
        /// What it says.
        reading: Reading,
        /// What it left behind, redacted.
        trace: Trace,
    },
    /// A fence path was looked at.
    PathVerified {
        /// Whose.
        node: NodeName,
        /// Which.
        rung: Rung,
        /// Done: the device answered.
        outcome: Outcome,
    },
    /// How many of the coordinator's own references answer. Told at least twice within `FenceWindows::references`.
    References {
        /// So many answered.
        reachable: usize,
        /// Of so many.
        total: usize,
    },
    /// A configuration is on its way to a node, or no more: from the beginning of an apply to its end, for every node that it
    /// may change. Nobody is fenced then, and what members of a group are meant to do one after the other is no finding.
    Committing {
        /// The node.
        node: NodeName,
        /// It is.
        on: bool,
    },
}

/// What a person may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FenceVerb {
    /// Do to this node what its evidence allows, after approval.
    Propose {
        /// The node.
        node: NodeName,
    },
    /// Say yes to an operation.
    Approve {
        /// Which.
        operation: OperationId,
        /// The hardest step allowed.
        up_to: Level,
        /// For power.
        consent: Option<Consent>,
    },
    /// Say no to an operation that has not acted.
    Deny {
        /// Which.
        operation: OperationId,
        /// Why.
        why: String,
    },
    /// Take this step on the person's own word.
    Run {
        /// The node.
        node: NodeName,
        /// The step.
        level: Level,
        /// For power.
        consent: Option<Consent>,
    },
    /// Vouch that the node is down.
    Confirm {
        /// The node.
        node: NodeName,
    },
    /// Let the node back.
    Release {
        /// The node.
        node: NodeName,
    },
    /// Take no further step against anybody.
    Pause,
    /// Go on, and forget that rates were reached.
    Resume,
}

/// A person has typed the name of the node that they are about to switch off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent(NodeName);

impl Consent {
    /// Exists only when what was typed is the node's name.
    pub fn typed_back(node: &NodeName, typed: &str) -> Option<Self> {
        (node.0 == typed && !typed.is_empty()).then(|| Self(node.clone()))
    }

    pub(crate) fn is_for(&self, node: &NodeName) -> bool {
        self.0 == *node
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, as far as who did it can tell.
    Done,
    /// Not done, and it says so.
    Failed,
    /// It did not end in time.
    TimedOut,
    /// It ended, and what it says cannot be read.
    Unknown,
}

/// What a status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The device is on.
    On,
    /// The device is off.
    Off,
    /// It failed, timed out, or cannot be read.
    Unknown,
}

/// What a program left behind. Already redacted: the core never sees a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The command with its secrets struck out.
    pub command: String,
    /// Its exit code, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The end of its output.
    pub tail: String,
    /// How long it took.
    pub took_us: u64,
}

impl Outcome {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Unknown => "unknown",
        }
    }
}

impl Reading {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Unknown => "unknown",
        }
    }
}

impl FenceVerb {
    /// The stable word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Propose { .. } => "propose",
            Self::Approve { .. } => "approve",
            Self::Deny { .. } => "deny",
            Self::Run { .. } => "run",
            Self::Confirm { .. } => "confirm",
            Self::Release { .. } => "release",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}
