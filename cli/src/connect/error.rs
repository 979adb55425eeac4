//! How a question can fail.

use tonic::{Code, Status};

use super::Fault;
use crate::{address::Address, exit::Exit, failure::chain, look::clean};

/// A question that was not answered as hoped.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// A coordinator answered, and said no.
    #[error("cannot {attempted}: coordinator {coordinator} says: {}", said(*code, message))]
    Refused {
        /// Completes "cannot …".
        attempted: String,
        /// Who said it.
        coordinator: Address,
        /// Its word as a code.
        code: Code,
        /// Its words.
        message: String,
    },
    /// None answered.
    #[error("cannot {attempted}: no coordinator answered")]
    NoAnswer {
        /// Completes "cannot …".
        attempted: String,
        /// Each that was tried and what became of it.
        attempts: Vec<(Address, Fault)>,
    },
}

/// What became of one attempt.
pub enum Attempt {
    /// The coordinator answered, and said no.
    Answered(Status),
    /// There was no answer.
    Failed(Fault),
}

impl CallError {
    /// The exit code of the contract.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Refused { code, .. } => match code {
                Code::InvalidArgument | Code::OutOfRange => Exit::Usage,
                Code::NotFound => Exit::NotFound,
                Code::PermissionDenied | Code::Unauthenticated => Exit::Denied,
                Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => Exit::Conflict,
                Code::Ok
                | Code::Cancelled
                | Code::Unknown
                | Code::DeadlineExceeded
                | Code::ResourceExhausted
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss => Exit::Unreachable,
            },
            Self::NoAnswer { attempts, .. } => {
                if attempts.iter().any(|(_, fault)| fault.is_denial()) {
                    Exit::Denied
                } else {
                    Exit::Unreachable
                }
            }
        }
    }

    /// One line per coordinator that was tried.
    pub fn attempts(&self) -> Vec<String> {
        match self {
            Self::Refused { .. } => Vec::new(),
            Self::NoAnswer { attempts, .. } => {
                attempts.iter().map(|(address, fault)| format!("{address}: {}", chain(fault))).collect()
            }
        }
    }

    /// What to do.
    pub fn next(&self) -> Option<String> {
        match self {
            Self::Refused { code, .. } => next_after(*code).map(ToOwned::to_owned),
            Self::NoAnswer { attempts, .. } => attempts.first().map(|(address, fault)| fault.next(address)),
        }
    }
}

fn said(code: Code, message: &str) -> String {
    if message.is_empty() { code.description().to_owned() } else { clean(message) }
}

fn next_after(code: Code) -> Option<&'static str> {
    match code {
        Code::PermissionDenied | Code::Unauthenticated => Some(
            "`hactl context show` says who you are; an admin can give that user another role, and `hactl get audit` \
             shows what was refused.",
        ),
        Code::NotFound => Some("`hactl get nodes` and `hactl get groups` list what there is."),
        Code::Unimplemented => {
            Some("The coordinator is older than this hactl: update it, or use its own hactl.")
        }
        Code::ResourceExhausted => Some("Ask for less with --limit or --since, or try again later."),
        Code::Internal | Code::Unknown | Code::DataLoss => Some("The coordinator's log says more."),
        Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => {
            Some("Look at what is there already: `hactl get nodes`, `hactl get fences`, `hactl get audit`.")
        }
        Code::InvalidArgument | Code::OutOfRange => Some("`--help` of this verb says what it takes."),
        Code::DeadlineExceeded => Some("Allow more time with --timeout 30s."),
        Code::Ok | Code::Cancelled | Code::Unavailable => None,
    }
}
