//! How one run of a script ended.

use std::{fmt, io, os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use rustix::io::Errno;

/// How one run of a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// By itself, with this exit code; 0 is success.
    Exited(i32),
    /// By a signal that was not ours.
    Signalled(i32),
    /// Not within its time-out.
    TimedOut(Duration),
    /// It was to run again, but the run that timed out is still there.
    StillThere,
    /// It cannot be run: no such file, not executable.
    CannotRun(String),
    /// This host could not run anything: no process, memory or descriptor left. That says nothing of what the script checks.
    NotTried(String),
}

impl Outcome {
    /// What it says; `None`: nothing.
    pub(super) fn is_success(&self) -> Option<bool> {
        match self {
            Self::Exited(code) => Some(*code == 0),
            Self::Signalled(_) | Self::TimedOut(_) | Self::StillThere | Self::CannotRun(_) => Some(false),
            Self::NotTried(_) => None,
        }
    }

    pub(super) fn of_start(error: &io::Error) -> Self {
        let exhausted = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE];
        if Errno::from_io_error(error).is_some_and(|errno| exhausted.contains(&errno)) {
            Self::NotTried(error.to_string())
        } else {
            Self::CannotRun(error.to_string())
        }
    }
}

impl From<ExitStatus> for Outcome {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, Some(signal)) => Self::Signalled(signal),
            // Neither is told only of a process that was stopped or continued, and nobody asks for those.
            (None, None) => Self::Exited(-1),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Signalled(signal) => write!(f, "killed by signal {signal}"),
            Self::TimedOut(within) => write!(f, "no end within {within:?}"),
            Self::StillThere => write!(f, "the run that timed out has not ended"),
            Self::CannotRun(why) => write!(f, "cannot be run: {why}"),
            Self::NotTried(why) => write!(f, "not tried, this host has nothing left to run it with: {why}"),
        }
    }
}
