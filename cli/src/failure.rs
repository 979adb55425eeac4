//! Why a verb could not do its work, what it was doing, and what to do next.

use std::{
    error::Error,
    io::{self, Write as _},
};

use crate::{connect::CallError, context::ContextError, exit::Exit, look::clean};

/// Everything that ends a verb early.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was asked for makes no sense.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to do.
        next: String,
    },
    /// It is not there.
    #[error("{what}")]
    NotFound {
        /// What was looked for.
        what: String,
        /// What to do.
        next: String,
    },
    /// It is in the way of something.
    #[error("{what}")]
    Conflict {
        /// Of what.
        what: String,
        /// What to do.
        next: String,
    },
    /// Some was done, some was not.
    #[error("{what}")]
    PartlyFailed {
        /// Which was and which was not.
        what: String,
        /// What to do.
        next: String,
    },
    /// Something goes on, and is not seen any more.
    #[error("{what}")]
    LostSight {
        /// What.
        what: String,
        /// What to do.
        next: String,
    },
    /// The context cannot be used.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// A question to the coordinators failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Standard output cannot be written.
    #[error("cannot write the answer to standard output")]
    Output(#[source] io::Error),
    /// Standard input cannot be read.
    #[error("cannot read the answer from standard input")]
    Input(#[source] io::Error),
    /// The answer cannot be put into JSON.
    #[error("cannot write the answer as JSON")]
    Json(#[source] serde_json::Error),
    /// A key cannot be made.
    #[error("cannot make a key and a certificate request")]
    Key(#[source] rcgen::Error),
    /// The context cannot be put into TOML.
    #[error("cannot write the context as TOML")]
    Toml(#[source] toml::ser::Error),
    /// The async runtime cannot be started.
    #[error("cannot start: the operating system refused an event queue or a signal handler")]
    Runtime(#[source] io::Error),
}

impl Failure {
    /// What was asked for makes no sense.
    pub fn usage(what: String, next: impl Into<String>) -> Self {
        Self::Usage { what, next: next.into() }
    }

    /// It is not there.
    pub fn not_found(what: String, next: impl Into<String>) -> Self {
        Self::NotFound { what, next: next.into() }
    }

    /// The exit code of the contract.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. }
            | Self::Output(_)
            | Self::Input(_)
            | Self::Json(_)
            | Self::Key(_)
            | Self::Toml(_)
            | Self::Runtime(_) => Exit::Usage,
            Self::NotFound { .. } => Exit::NotFound,
            Self::Conflict { .. } => Exit::Conflict,
            Self::PartlyFailed { .. } => Exit::PartlyFailed,
            Self::LostSight { .. } => Exit::Unreachable,
            Self::Context(error) => error.exit(),
            Self::Call(error) => error.exit(),
        }
    }

    /// The reader of our output went away.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// On standard error: what was attempted and why it failed, then the next step.
    pub fn print(&self) {
        let mut text = format!("hactl: {}\n", chain(self));
        if let Self::Call(error) = self {
            for line in error.attempts() {
                text.push_str(&format!("  {line}\n"));
            }
        }
        if let Some(next) = self.next() {
            text.push_str(&format!("  next: {next}\n"));
        }
        // Nowhere is left to say that standard error is closed.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    fn next(&self) -> Option<String> {
        match self {
            Self::Usage { next, .. }
            | Self::NotFound { next, .. }
            | Self::Conflict { next, .. }
            | Self::PartlyFailed { next, .. }
            | Self::LostSight { next, .. } => Some(next.clone()),
            Self::Context(error) => Some(error.next()),
            Self::Call(error) => error.next(),
            Self::Output(_)
            | Self::Input(_)
            | Self::Json(_)
            | Self::Key(_)
            | Self::Toml(_)
            | Self::Runtime(_) => None,
        }
    }
}

/// An error with all its sources, fit for a terminal.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    clean(&text)
}
