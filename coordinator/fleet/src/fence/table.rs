//! The life of an operation: every state with every input, and what it comes to.

use core::fmt;

use super::policy::Rung;

/// Where an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FenceState {
    /// Somebody, or detection, wants it.
    Proposed,
    /// It will not be done.
    Denied,
    /// A person must say yes.
    AwaitingApproval,
    /// It may be done as soon as everything has been looked at once more.
    Approved,
    /// The agent is told to let go and to stay down.
    Demoting,
    /// The agent has let go and is held down, until a person releases it.
    Resolved,
    /// The last step was not enough; the next one is not allowed yet.
    Escalating,
    /// A fence program runs.
    Running(Rung),
    /// The program has ended; an independent status says whether it worked.
    Verifying(Rung),
    /// The status said off, or a person vouched for it.
    Fenced,
    /// It did not work, and nothing is left to try but a person.
    Failed,
    /// Nobody can say whether it worked. Never a success.
    Unknown,
    /// Fenced, and not to be counted on until a person releases it.
    Quarantined,
    /// A person has let it back.
    Released,
}

/// What can happen to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FenceEvent {
    /// A gate, the mode or a person says no.
    Deny,
    /// A person has to say yes first.
    AwaitApproval,
    /// The policy or a person says yes.
    Approve,
    /// The agent is to be told, the first time or about more groups.
    Demote,
    /// The victim is seen to have let go.
    Clear,
    /// The step did not work, or the milder one cannot be tried.
    Escalate,
    /// A fence program is to run.
    Run(Rung),
    /// The program ended, whatever it said, or its time is over.
    Ran,
    /// The independent status says off.
    SeeOff,
    /// Nothing is left to try.
    GiveUp,
    /// Nobody can say any more.
    LoseSight,
    /// A person vouches that the node is down.
    Vouch,
    /// It is fenced: keep it out.
    Quarantine,
    /// A person lets it back.
    Release,
}

/// A pair that makes no sense: nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an operation that is {state} cannot {event}")]
pub struct IllegalPair {
    /// Where it is.
    pub state: FenceState,
    /// What was asked of it.
    pub event: FenceEvent,
}

/// Where an operation goes.
pub fn next(state: FenceState, event: FenceEvent) -> Result<FenceState, IllegalPair> {
    use FenceEvent as E;
    use FenceState as S;
    let illegal = Err(IllegalPair { state, event });
    match state {
        S::Proposed => match event {
            E::Deny => Ok(S::Denied),
            E::AwaitApproval => Ok(S::AwaitingApproval),
            E::Approve => Ok(S::Approved),
            E::Vouch => Ok(S::Fenced),
            E::Demote | E::Clear | E::Escalate | E::Run(_) | E::Ran | E::SeeOff | E::GiveUp => illegal,
            E::LoseSight | E::Quarantine | E::Release => illegal,
        },
        S::AwaitingApproval => match event {
            E::Deny => Ok(S::Denied),
            E::Approve => Ok(S::Approved),
            E::Clear => Ok(S::Resolved),
            E::Vouch => Ok(S::Fenced),
            E::AwaitApproval | E::Demote | E::Escalate | E::Run(_) | E::Ran => illegal,
            E::SeeOff | E::GiveUp | E::LoseSight | E::Quarantine | E::Release => illegal,
        },
        S::Approved => match event {
            E::Deny => Ok(S::Denied),
            E::Demote => Ok(S::Demoting),
            E::Clear => Ok(S::Resolved),
            E::Escalate => Ok(S::Escalating),
            E::Run(rung) => Ok(S::Running(rung)),
            E::Vouch => Ok(S::Fenced),
            E::AwaitApproval | E::Approve | E::Ran | E::SeeOff | E::GiveUp => illegal,
            E::LoseSight | E::Quarantine | E::Release => illegal,
        },
        S::Demoting => match event {
            E::Deny => Ok(S::Denied),
            E::Demote => Ok(S::Demoting),
            E::Clear => Ok(S::Resolved),
            E::Escalate => Ok(S::Escalating),
            E::LoseSight => Ok(S::Unknown),
            E::Vouch => Ok(S::Fenced),
            E::AwaitApproval | E::Approve | E::Run(_) | E::Ran | E::SeeOff | E::GiveUp => illegal,
            E::Quarantine | E::Release => illegal,
        },
        S::Resolved => match event {
            E::Demote => Ok(S::Demoting),
            E::Escalate => Ok(S::Escalating),
            E::Release => Ok(S::Released),
            E::Deny | E::AwaitApproval | E::Approve | E::Clear | E::Run(_) | E::Ran => illegal,
            E::SeeOff | E::GiveUp | E::LoseSight | E::Vouch | E::Quarantine => illegal,
        },
        S::Escalating => match event {
            E::Deny => Ok(S::Denied),
            E::AwaitApproval => Ok(S::AwaitingApproval),
            E::Clear => Ok(S::Resolved),
            E::Run(rung) => Ok(S::Running(rung)),
            E::GiveUp => Ok(S::Failed),
            E::Vouch => Ok(S::Fenced),
            E::Approve | E::Demote | E::Escalate | E::Ran | E::SeeOff | E::LoseSight => illegal,
            E::Quarantine | E::Release => illegal,
        },
        S::Running(rung) => match event {
            E::Ran => Ok(S::Verifying(rung)),
            E::GiveUp => Ok(S::Failed),
            E::Vouch => Ok(S::Fenced),
            E::Deny | E::AwaitApproval | E::Approve | E::Demote | E::Clear | E::Escalate => illegal,
            E::Run(_) | E::SeeOff | E::LoseSight | E::Quarantine | E::Release => illegal,
        },
        S::Verifying(_) => match event {
            E::Escalate => Ok(S::Escalating),
            E::SeeOff => Ok(S::Fenced),
            E::GiveUp => Ok(S::Failed),
            E::LoseSight => Ok(S::Unknown),
            E::Vouch => Ok(S::Fenced),
            E::Deny | E::AwaitApproval | E::Approve | E::Demote | E::Clear | E::Run(_) => illegal,
            E::Ran | E::Quarantine | E::Release => illegal,
        },
        S::Fenced => match event {
            E::Quarantine => Ok(S::Quarantined),
            E::Deny | E::AwaitApproval | E::Approve | E::Demote | E::Clear | E::Escalate => illegal,
            E::Run(_) | E::Ran | E::SeeOff | E::GiveUp | E::LoseSight | E::Vouch | E::Release => illegal,
        },
        S::Failed | S::Unknown => match event {
            E::Run(rung) => Ok(S::Running(rung)),
            E::Vouch => Ok(S::Fenced),
            E::Release => Ok(S::Released),
            E::Deny | E::AwaitApproval | E::Approve | E::Demote | E::Clear | E::Escalate => illegal,
            E::Ran | E::SeeOff | E::GiveUp | E::LoseSight | E::Quarantine => illegal,
        },
        S::Quarantined => match event {
            E::Release => Ok(S::Released),
            E::Deny | E::AwaitApproval | E::Approve | E::Demote | E::Clear | E::Escalate => illegal,
            E::Run(_) | E::Ran | E::SeeOff | E::GiveUp | E::LoseSight | E::Vouch => illegal,
            E::Quarantine => illegal,
        },
        S::Denied | S::Released => match event {
            E::Deny | E::AwaitApproval | E::Approve | E::Demote | E::Clear | E::Escalate => illegal,
            E::Run(_) | E::Ran | E::SeeOff | E::GiveUp | E::LoseSight | E::Vouch => illegal,
            E::Quarantine | E::Release => illegal,
        },
    }
}

impl FenceState {
    /// Every state.
    pub const ALL: [Self; 16] = [
        Self::Proposed,
        Self::Denied,
        Self::AwaitingApproval,
        Self::Approved,
        Self::Demoting,
        Self::Resolved,
        Self::Escalating,
        Self::Running(Rung::Network),
        Self::Running(Rung::Power),
        Self::Verifying(Rung::Network),
        Self::Verifying(Rung::Power),
        Self::Fenced,
        Self::Failed,
        Self::Unknown,
        Self::Quarantined,
        Self::Released,
    ];

    /// The stable word; the rung of a program that runs or is verified goes beside it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Denied => "denied",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Approved => "approved",
            Self::Demoting => "demoting",
            Self::Resolved => "resolved",
            Self::Escalating => "escalating",
            Self::Running(Rung::Network) => "running_network",
            Self::Running(Rung::Power) => "running_power",
            Self::Verifying(Rung::Network) => "verifying_network",
            Self::Verifying(Rung::Power) => "verifying_power",
            Self::Fenced => "fenced",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Quarantined => "quarantined",
            Self::Released => "released",
        }
    }

    /// The state of a stable word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// No second operation against the same node.
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Denied | Self::Released)
    }

    /// It acts, or may act at any moment.
    pub const fn is_active(self) -> bool {
        match self {
            Self::Approved | Self::Demoting | Self::Escalating | Self::Running(_) | Self::Verifying(_) => {
                true
            }
            Self::Proposed | Self::Denied | Self::AwaitingApproval | Self::Resolved | Self::Fenced => false,
            Self::Failed | Self::Unknown | Self::Quarantined | Self::Released => false,
        }
    }

    /// The step whose device is in use.
    pub const fn rung(self) -> Option<Rung> {
        match self {
            Self::Running(rung) | Self::Verifying(rung) => Some(rung),
            Self::Proposed | Self::Denied | Self::AwaitingApproval | Self::Approved => None,
            Self::Demoting | Self::Resolved | Self::Escalating | Self::Fenced => None,
            Self::Failed | Self::Unknown | Self::Quarantined | Self::Released => None,
        }
    }

    /// It is over and worked, until a person releases it.
    pub const fn has_worked(self) -> bool {
        matches!(self, Self::Resolved | Self::Fenced | Self::Quarantined)
    }
}

impl FenceEvent {
    /// Every event.
    pub const ALL: [Self; 15] = [
        Self::Deny,
        Self::AwaitApproval,
        Self::Approve,
        Self::Demote,
        Self::Clear,
        Self::Escalate,
        Self::Run(Rung::Network),
        Self::Run(Rung::Power),
        Self::Ran,
        Self::SeeOff,
        Self::GiveUp,
        Self::LoseSight,
        Self::Vouch,
        Self::Quarantine,
        Self::Release,
    ];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::AwaitApproval => "await_approval",
            Self::Approve => "approve",
            Self::Demote => "demote",
            Self::Clear => "clear",
            Self::Escalate => "escalate",
            Self::Run(Rung::Network) => "run_network",
            Self::Run(Rung::Power) => "run_power",
            Self::Ran => "ran",
            Self::SeeOff => "see_off",
            Self::GiveUp => "give_up",
            Self::LoseSight => "lose_sight",
            Self::Vouch => "vouch",
            Self::Quarantine => "quarantine",
            Self::Release => "release",
        }
    }
}

impl fmt::Display for FenceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for FenceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
