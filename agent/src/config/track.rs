//! What is watched beside the instance's own interface, and by whom: checks are run once, however many instances track them.

use std::{path::PathBuf, time::Duration};

use super::Place;

/// Something that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name, unique among checks.
    pub name: String,
    /// What it is.
    pub kind: CheckKind,
    /// Where it is written.
    pub defined_at: Place,
}

/// What kind of thing a check looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// The exit code of a program (keepalived: `vrrp_script`).
    Script(ScriptCheck),
    /// Whether a process runs (keepalived: `vrrp_track_process`).
    Process(ProcessCheck),
    /// The number in a file (keepalived: `track_file`).
    File(FileCheck),
}

/// A program that is run again and again; exit code 0 is success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptCheck {
    /// The program, an absolute path, and its arguments. Run directly, by no shell.
    pub command: Vec<String>,
    /// From the start of one run to the start of the next (keepalived: `interval`, 1 s).
    pub interval: Duration,
    /// How long a run may take: then its process group gets SIGTERM, SIGKILL two seconds later, and the run has failed
    /// (keepalived: `timeout`, as `interval`).
    pub timeout: Duration,
    /// Successes in a row until it counts as up (keepalived: `rise`, 1).
    pub rise: u32,
    /// Failures in a row until it counts as down (keepalived: `fall`, 1).
    pub fall: u32,
    /// It counts as down until its first success (keepalived: `init_fail`); otherwise the election waits for the first
    /// result.
    pub init_fail: bool,
    /// Who runs it.
    pub run_as: RunAs,
}

/// The user that a script runs as, looked up when the configuration was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RunAs {
    /// The agent's own user.
    #[default]
    Agent,
    /// This one.
    User {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
}

/// A process that must run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessCheck {
    /// The program's name or path, as `/proc/PID/cmdline` begins (with `full_command`: the whole command line).
    pub command: String,
    /// What its arguments must be, if that matters.
    pub parameters: Option<ParameterMatch>,
    /// Compare the whole command line (keepalived: `full_command`); otherwise `/proc/PID/comm` (at most 15 bytes).
    pub full_command: bool,
    /// At least so many (keepalived: `quorum`, 1).
    pub quorum_least: u32,
    /// At most so many (keepalived: `quorum_max`); `None`: any number.
    pub quorum_most: Option<u32>,
    /// How long the quorum must be lost until it counts as down (keepalived: `fork_delay`, `terminate_delay`, `delay`).
    pub terminate_delay: Duration,
    /// How long it must be reached until it counts as up.
    pub fork_delay: Duration,
}

/// How arguments are compared (keepalived: `param_match`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterMatch {
    /// These, no more and no less.
    Exact(Vec<String>),
    /// They begin with these.
    Partial(Vec<String>),
    /// The first ones begin with these texts (keepalived: `initial`).
    Initial(Vec<String>),
}

/// A file with a number in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCheck {
    /// Its path. It need not exist: then the number is 0.
    pub path: PathBuf,
    /// Written into the file at the start: only when it does not exist, or always (keepalived: `init_file`).
    pub init: Option<FileInit>,
}

/// What is written into a tracked file at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileInit {
    /// The number.
    pub value: i16,
    /// Also over a file that is there (keepalived: `overwrite`).
    pub overwrite: bool,
}

/// One thing that an instance tracks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// What.
    pub subject: Subject,
    /// -253 to 253; 0: FAULT while it is down.
    pub weight: i16,
    /// keepalived: `reverse`.
    pub reverse: bool,
}

/// What an instance tracks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An interface: up with carrier.
    Interface(String),
    /// The [`Check`] of this name.
    Check(String),
}

impl Subject {
    /// Its name, for people.
    pub fn name(&self) -> &str {
        match self {
            Self::Interface(name) | Self::Check(name) => name,
        }
    }
}
