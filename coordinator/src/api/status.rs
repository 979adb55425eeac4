//! The one place where our errors become gRPC statuses.

use tonic::{Code, Status};

use crate::{
    effects::FleetGone,
    fencing::row::UnreadableFence,
    finding::UnreadableFinding,
    identity::{ca::CaError, enrol::EnrolError, renewals::TooSoon},
    store::StoreError,
};

/// A request that cannot be served, for a reason that is the caller's.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Neither a client certificate nor a token.
    #[error("this call needs a client certificate or a user's token; only Enroll is served without")]
    NoCredential,
    /// What should be a token is none that is known.
    #[error("the token is not one of this coordinator's; ask an administrator for a new one")]
    BadToken,
    /// The token has ended.
    #[error("the token of {who} ended at {at}; ask an administrator for a new one")]
    TokenExpired {
        /// Whose.
        who: String,
        /// When.
        at: String,
    },
    /// It was tried, and did not come to it.
    #[error("{what}")]
    Failed {
        /// Why, and what was done about it.
        what: String,
    },
    /// It is in the way of something.
    #[error("{what}")]
    Conflict {
        /// What is in the way, and what to do.
        what: String,
    },
    /// The certificate ended while the connection lived.
    #[error("the certificate of {who} ended at {at}; connect again with a new one")]
    Expired {
        /// Whose.
        who: String,
        /// When.
        at: String,
    },
    /// The caller's access was taken away.
    #[error("the access of {who} was revoked")]
    Revoked {
        /// Whose.
        who: String,
    },
    /// A node where a user must be, or the other way round.
    #[error("{who} may not call this: it is for {whom}")]
    WrongParty {
        /// Who called.
        who: String,
        /// For whom it is.
        whom: &'static str,
    },
    /// The store knows no such user.
    #[error("there is no user {who} in this coordinator's database; ask an administrator")]
    UnknownUser {
        /// Who called.
        who: String,
    },
    /// The role does not suffice.
    #[error("{who} has the role {role}, but this needs {needed}; ask an administrator")]
    Role {
        /// Who called.
        who: String,
        /// What they are.
        role: &'static str,
        /// What they would have to be.
        needed: &'static str,
    },
    /// A field makes no sense.
    #[error("field `{field}`: {what}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong.
        what: String,
    },
    /// Renewed a moment ago.
    #[error(transparent)]
    TooSoon(#[from] TooSoon),
    /// There is no such thing.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// A node, a group, a finding.
        what: &'static str,
        /// As asked for.
        name: String,
    },
    /// There is no such operation, or none against such a node.
    #[error("{what}")]
    NoFence {
        /// What was looked for.
        what: String,
    },
    /// There are several.
    #[error("there are several groups `{name}`: {candidates}; name one by its site and address")]
    Ambiguous {
        /// As asked for.
        name: String,
        /// Which.
        candidates: String,
    },
}

impl RequestError {
    /// A stable code when the refusal belongs into the audit log.
    pub fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::NoCredential => Some("no_credential"),
            Self::BadToken => Some("bad_token"),
            Self::Expired { .. } | Self::TokenExpired { .. } => Some("expired"),
            Self::Revoked { .. } => Some("revoked"),
            Self::WrongParty { .. } => Some("wrong_party"),
            Self::UnknownUser { .. } => Some("unknown_user"),
            Self::Role { .. } => Some("role"),
            Self::Field { .. }
            | Self::TooSoon(_)
            | Self::NotFound { .. }
            | Self::Ambiguous { .. }
            | Self::Failed { .. }
            | Self::NoFence { .. }
            | Self::Conflict { .. } => None,
        }
    }

    /// Whom somebody proved to be who is refused nevertheless.
    pub fn named(&self) -> Option<&str> {
        match self {
            Self::Expired { who, .. }
            | Self::TokenExpired { who, .. }
            | Self::Revoked { who }
            | Self::WrongParty { who, .. }
            | Self::UnknownUser { who }
            | Self::Role { who, .. } => Some(who),
            Self::NoCredential
            | Self::BadToken
            | Self::Field { .. }
            | Self::TooSoon(_)
            | Self::NotFound { .. }
            | Self::Ambiguous { .. }
            | Self::Failed { .. }
            | Self::NoFence { .. }
            | Self::Conflict { .. } => None,
        }
    }
}

impl From<RequestError> for Status {
    fn from(error: RequestError) -> Self {
        let code = match &error {
            RequestError::NoCredential
            | RequestError::BadToken
            | RequestError::TokenExpired { .. }
            | RequestError::Expired { .. } => Code::Unauthenticated,
            RequestError::Revoked { .. }
            | RequestError::WrongParty { .. }
            | RequestError::UnknownUser { .. }
            | RequestError::Role { .. } => Code::PermissionDenied,
            RequestError::Field { .. } | RequestError::Ambiguous { .. } => Code::InvalidArgument,
            RequestError::TooSoon(_) => Code::ResourceExhausted,
            RequestError::NotFound { .. } | RequestError::NoFence { .. } => Code::NotFound,
            RequestError::Conflict { .. } => Code::FailedPrecondition,
            RequestError::Failed { .. } => Code::Aborted,
        };
        Self::new(code, error.to_string())
    }
}

/// Everything that a call can fail by.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The caller's fault.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Nobody was enrolled.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored cannot be read.
    #[error(transparent)]
    Finding(#[from] UnreadableFinding),
    /// What is stored cannot be read.
    #[error(transparent)]
    Fence(#[from] UnreadableFence),
    /// The coordinator ends.
    #[error(transparent)]
    Gone(#[from] FleetGone),
    /// No randomness.
    #[error("the system gave no random bytes for a token")]
    Random(#[from] getrandom::Error),
    /// A certificate could not be made.
    #[error(transparent)]
    Ca(#[from] CaError),
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Request(error) => error.into(),
            CallError::Enrol(error) if error.refusal().is_some() => {
                let code = if error.refusal() == Some("bad_request") {
                    Code::InvalidArgument
                } else {
                    Code::PermissionDenied
                };
                Self::new(code, said(&error))
            }
            CallError::Store(StoreError::UnknownNode { node }) => {
                RequestError::NotFound { what: "node", name: node }.into()
            }
            CallError::Store(error @ (StoreError::Sealed { .. } | StoreError::NoSealing { .. })) => {
                tracing::error!("{}", said(&error));
                Self::failed_precondition(said(&error))
            }
            CallError::Enrol(EnrolError::Store(error)) | CallError::Store(error) => {
                tracing::error!("{}", said(&error));
                Self::unavailable("the coordinator's database does not answer; try again (its log says why)")
            }
            CallError::Gone(gone) => Self::unavailable(gone.to_string()),
            CallError::Enrol(error) => internal(&error),
            CallError::Finding(error) => internal(&error),
            CallError::Fence(error) => internal(&error),
            CallError::Random(error) => internal(&error),
            CallError::Ca(error @ CaError::Request(_)) => Self::invalid_argument(said(&error)),
            CallError::Ca(error) => internal(&error),
        }
    }
}

fn internal(error: &dyn std::error::Error) -> Status {
    tracing::error!("{}", said(error));
    Status::internal("the coordinator failed at this; its log says why")
}

/// An error with its causes.
pub fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // `transparent` errors repeat themselves.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
