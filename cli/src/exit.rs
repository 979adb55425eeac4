//! How hactl ends.

use std::process::ExitCode;

/// The exit codes of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It worked and nothing is wrong.
    Fine = 0,
    /// `status`: a critical or warning finding is firing. `config`: there is a difference.
    Unhealthy = 1,
    /// The command line, a file or an answer to a question was not usable.
    Usage = 2,
    /// No such node, group, finding, token or context.
    NotFound = 3,
    /// The coordinator does not accept this certificate, or its role may not do this.
    Denied = 4,
    /// It is in the way of something that is there already.
    Conflict = 5,
    /// Some of it was done and some was not.
    PartlyFailed = 6,
    /// No coordinator could be reached in time, or none gave a usable answer.
    Unreachable = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
