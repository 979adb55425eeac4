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
    /// It counts as down until its first result (keepalived: `init_fail`); otherwise the election waits for that result. Either
    /// way the first result counts at once, whatever `rise` and `fall` say.
    pub init_fail: bool,
    /// Who runs it.
    pub run_as: RunAs,
}

impl Default for ScriptCheck {
    /// keepalived's defaults, and no command yet.
    fn default() -> Self {
        let interval = Duration::from_secs(1);
        Self {
            command: Vec::new(),
            interval,
            timeout: interval,
            rise: 1,
            fall: 1,
            init_fail: false,
            run_as: RunAs::default(),
        }
    }
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
    /// The program. With `parameters` or `full_command` this is the first word of `/proc/PID/cmdline`, exactly; otherwise its
    /// last path segment's first 15 bytes are what `/proc/PID/comm` says. (keepalived compares the whole text with
    /// `comm`, so that a path or a longer name never matches there.)
    pub command: String,
    /// What its arguments must be, if that matters.
    pub parameters: Option<ParameterMatch>,
    /// Compare with the command line also without `parameters` (keepalived: `full_command`).
    pub full_command: bool,
    /// At least so many (keepalived: `quorum`, 1).
    pub quorum_least: u32,
    /// At most so many (keepalived: `quorum_max`); `None`: any number.
    pub quorum_most: Option<u32>,
    /// When a process ended and the quorum changed by it, how long that must last to count (keepalived:
    /// `terminate_delay`, `delay`).
    pub terminate_delay: Duration,
    /// When a process forked and the quorum changed by it, how long that must last to count (keepalived: `fork_delay`,
    /// `delay`). A program that is started counts at once.
    pub fork_delay: Duration,
}

/// How arguments are compared (keepalived: `param_match`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterMatch {
    /// These, no more and no less (keepalived: parameters without `param_match`; none with a bare `param_match`).
    Exact(Vec<String>),
    /// These, and maybe more after them (keepalived: `partial`).
    Partial(Vec<String>),
    /// As partial, and the last of these need only be how an argument begins (keepalived: `initial`).
    Initial(Vec<String>),
}

/// A file with a number in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCheck {
    /// Its path, absolute. It need not exist: then the number is 0.
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
