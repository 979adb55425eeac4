//! What fencing wants done, and why it does not do what it does not do.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::fmt;

use crate::{
    effect::Evidence,
    fence::{
        operation::{FenceRow, OperationId},
        policy::{Device, Rung},
    },
    model::{GroupKey, NodeName},
    time::Instant,
};

/// One thing to do. In order: what comes after a row is done after the row is committed, or after it was given up.
#[derive(Clone, Debug, PartialEq)]
pub enum FenceEffect {
    /// Commit this, refusing it when the store has a newer epoch; then tell `FenceInput::Written` or `WriteRefused`.
    Write(Box<FenceRow>),
    /// Write this into the audit log.
    Audit(Audit),
    /// Give the agent the order [`OperationId`]: let go of these instances and stay down. Told by `FenceInput::Demoted`.
    Demote {
        /// Check it against the lease right before sending.
        epoch: u64,
        /// The order's name.
        operation: OperationId,
        /// Whom.
        node: NodeName,
        /// Which of its instances; empty: all.
        instances: Vec<String>,
        /// Why, for people who look at the host.
        why: String,
    },
    /// Withdraw that order. Told by `FenceInput::Withdrawn`.
    Withdraw {
        /// Check it against the lease right before sending.
        epoch: u64,
        /// The order's name.
        operation: OperationId,
        /// Whose.
        node: NodeName,
    },
    /// Let the survivor announce its addresses again. Told by `FenceInput::Announced`.
    Announce {
        /// Check it against the lease right before sending.
        epoch: u64,
        /// Which operation.
        operation: OperationId,
        /// The survivor.
        node: NodeName,
        /// Of these groups.
        groups: Vec<GroupKey>,
        /// Its instances that hold their addresses, at least one; each was MASTER when it was last heard.
        instances: Vec<String>,
    },
    /// Run a fence program. Told by `FenceInput::Ran` or `FenceInput::Status`.
    RunStep {
        /// Check it against the lease right before the program starts.
        epoch: u64,
        /// Which operation.
        operation: OperationId,
        /// What the answer must carry.
        revision: u64,
        /// Whom.
        node: NodeName,
        /// Which of its devices.
        rung: Rung,
        /// The device's name.
        device: Device,
        /// What to do.
        action: StepAction,
    },
    /// Ask a device for its status or monitor, changing nothing. Told by `FenceInput::PathVerified`.
    VerifyPath {
        /// Whose.
        node: NodeName,
        /// Which.
        rung: Rung,
        /// The device's name.
        device: Device,
    },
    /// The answer to a person.
    Answer {
        /// Of the request.
        request: u64,
        /// The operation it is about, if any; or why it is not done.
        answer: Result<Option<OperationId>, Refusal>,
    },
}

/// What a fence program is to do. Never anything else: a fenced node is not switched on again by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepAction {
    /// Switch off.
    Off,
    /// Say whether it is on.
    Status,
}

/// One line of the audit log: a decision, a step, its result, or a refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct Audit {
    /// When.
    pub at: Instant,
    /// Which operation, if there is one.
    pub operation: Option<OperationId>,
    /// Under which epoch; 0: none.
    pub epoch: u64,
    /// Who: a person, or `hafleet`.
    pub actor: String,
    /// What was wanted: `proposed -> approved`, `step demote`, `result off`, `verb approve`, `detection`.
    pub action: String,
    /// Whom it is about.
    pub target: Option<NodeName>,
    /// Which group, when it is about one.
    pub group: Option<GroupKey>,
    /// `None`: it was done. Otherwise why not.
    pub refused: Option<RefusalCode>,
    /// In words.
    pub detail: String,
    /// The facts.
    pub evidence: Vec<Evidence>,
}

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{code}: {words}")]
pub struct Refusal {
    /// Stable code.
    pub code: RefusalCode,
    /// In words, with the operands.
    pub words: String,
}

impl Refusal {
    pub(crate) fn new(code: RefusalCode, words: impl Into<String>) -> Self {
        Self { code, words: words.into() }
    }
}

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $variant:ident => $word:literal),+ $(,)?) => {
        /// The reasons, each with the rule of the design that it comes from.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum RefusalCode { $($(#[doc = $doc])+ $variant),+ }

        impl RefusalCode {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

refusals! {
    /// No policy was given.
    NotConfigured => "not_configured",
    /// 1: the mode is `disabled`.
    Disabled => "disabled",
    /// 1: the mode is `dry_run`.
    DryRun => "dry_run",
    /// 1: everything is paused.
    Paused => "paused",
    /// 2, 3: there is no evidence any more, or there never was.
    EvidenceGone => "evidence_gone",
    /// 3: too few observers, or only those that profit.
    TooFewObservers => "too_few_observers",
    /// 4: it has not lasted for long enough.
    ConfirmWindow => "confirm_window",
    /// 4: it has to be asked again first.
    Reprobe => "reprobe",
    /// 5: nobody healthy would go on serving.
    NoSurvivor => "no_survivor",
    /// 5: it is the last good node of a group.
    LastGoodNode => "last_good_node",
    /// 6: too many agents are unheard.
    FleetUnreachable => "fleet_unreachable",
    /// 6: the coordinator's own references do not answer, or are not known.
    CoordinatorIsolated => "coordinator_isolated",
    /// 7: another operation is about the same group.
    GroupBusy => "group_busy",
    /// 7: another operation uses the same device.
    DeviceBusy => "device_busy",
    /// 7: enough operations act already.
    TooManyActive => "too_many_active",
    /// 8: the rate was reached.
    RateReached => "rate_reached",
    /// 9: the node was fenced a short time ago.
    CoolDown => "cool_down",
    /// 10: the coordinator has led for too short a time.
    Grace => "grace",
    /// 11: this coordinator does not lead, or not any more.
    NotLeader => "not_leader",
    /// 11: another operation against the node is open.
    TargetBusy => "target_busy",
    /// 11: too many operations are open.
    TooManyOpen => "too_many_open",
    /// 14: enough has been tried.
    AttemptsUsed => "attempts_used",
    /// 15: it is not fenced, so that there is nothing to release.
    NothingToRelease => "nothing_to_release",
    /// 16: health and witnesses say different things.
    HealthDisagrees => "health_disagrees",
    /// 16: no member, or no single one, is the victim.
    NoVictim => "no_victim",
    /// 17: it is never fenced.
    Protected => "protected",
    /// 17: it is in maintenance.
    Maintenance => "maintenance",
    /// 17: a configuration is being committed on it.
    Committing => "committing",
    /// 17, 18: its fence path was not verified lately.
    PathUnverified => "path_unverified",
    /// There is nothing to fence it with at this level.
    NoDevice => "no_device",
    /// 20: every step needs a person now.
    NeedsApproval => "needs_approval",
    /// 21: the node's name was not typed back.
    ConsentMissing => "consent_missing",
    /// 13, 22: the node that is to be down is speaking, or is seen.
    StillSpeaking => "still_speaking",
    /// No such node.
    UnknownNode => "unknown_node",
    /// No such operation.
    UnknownOperation => "unknown_operation",
    /// The operation is not where this can be done to it.
    IllegalPair => "illegal_pair",
    /// An answer that nobody waits for.
    Unexpected => "unexpected",
    /// A person said no.
    DeniedByPerson => "denied_by_person",
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
