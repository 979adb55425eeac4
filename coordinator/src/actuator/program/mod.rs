//! Fence programs: the `fence-agents` family, spoken to by their stdin interface. No device protocol is written here.
//!
//! A program reads `key=value` lines from its standard input, acts, and says what became of it by its exit code and a line
//! such as `Status: OFF`. Its secrets are given to it that way only: never as arguments, which `ps` shows to everybody, nor in the
//! environment; and what it prints is kept with every secret struck out.
//!
//! | action | exit code 0 | exit code 2 | else |
//! | --- | --- | --- | --- |
//! | `status` | on | off, if it says `Status: OFF` too: of bad arguments it is 2 as well | not known |
//! | `off`, `on`, `monitor` | done | failed | failed |

mod metadata;
mod process;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

pub use metadata::{Metadata, Parameter};

/// How long a program may take to describe itself.
const METADATA_WITHIN: Duration = Duration::from_secs(20);
/// What is kept of what it printed, the last of it.
pub const OUTPUT_MAX: usize = 2048;
/// A value longer than this is a mistake.
const VALUE_MAX: usize = 4096;

/// What a program is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Cut it off; on a node that is off it succeeds.
    Off,
    /// Let it come back.
    On,
    /// Is it on?
    Status,
    /// Does the device itself answer?
    Monitor,
}

impl Action {
    /// As the programs know it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Status => "status",
            Self::Monitor => "monitor",
        }
    }
}

/// What `status` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// The node has power, or network.
    On,
    /// It has none.
    Off,
    /// The program does not know, failed, or contradicts itself.
    Unknown,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal that nobody here sent.
    Signal(i32),
    /// It was killed when its time was over.
    TimedOut,
    /// It could not be started or spoken to; the error.
    Failed(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Failed(error) => f.write_str(error),
        }
    }
}

/// What a run showed, fit for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was asked.
    pub action: Action,
    /// How it ended.
    pub exit: Exit,
    /// The last [`OUTPUT_MAX`] bytes of what it printed, without secrets.
    pub output: String,
    /// From start to end.
    pub took: Duration,
}

impl Report {
    /// Whether it says that it did what it was asked. Whether that is so only [`Report::power`] of a later `status` tells.
    pub fn is_done(&self) -> bool {
        self.exit == Exit::Code(0)
    }

    /// What a `status` says; of any other action nothing is known.
    pub fn power(&self) -> Power {
        let says = |what: &str| self.output.lines().any(|line| line.trim_end().ends_with(what));
        let (says_on, says_off) = (says("Status: ON"), says("Status: OFF"));
        match (self.action, &self.exit) {
            (Action::Status, Exit::Code(0)) if !says_off => Power::On,
            (Action::Status, Exit::Code(2)) if says_off && !says_on => Power::Off,
            (Action::Status | Action::Off | Action::On | Action::Monitor, _) => Power::Unknown,
        }
    }
}

/// The value of a parameter.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Anybody may see it.
    Plain(String),
    /// Nobody may: it is given to the program and to nobody else.
    Secret(String),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(value) => write!(f, "{value:?}"),
            Self::Secret(_) => f.write_str("***"),
        }
    }
}

impl Value {
    fn text(&self) -> &str {
        match self {
            Self::Plain(value) | Self::Secret(value) => value,
        }
    }
}

/// A program with everything it has to know to cut one node off. Right by construction: every parameter is one of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceProgram {
    path: PathBuf,
    parameters: BTreeMap<String, Value>,
}

/// Why a program cannot be used so.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It did not describe itself.
    #[error("{}: `metadata` failed: {exit}; it printed: {output}", path.display())]
    NoMetadata {
        /// The program.
        path: PathBuf,
        /// How it ended.
        exit: Exit,
        /// What it printed.
        output: String,
    },
    /// What it printed is no description.
    #[error("{}: cannot read its metadata: {why}", path.display())]
    Metadata {
        /// The program.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It has no such parameter.
    #[error("{}: there is no parameter `{name}`{}", path.display(), did_you_mean(nearest.as_deref()))]
    UnknownParameter {
        /// The program.
        path: PathBuf,
        /// The parameter.
        name: String,
        /// The nearest one that there is.
        nearest: Option<String>,
    },
    /// What only the coordinator may set.
    #[error("{}: `{name}` is chosen with each run and cannot be configured", path.display())]
    Reserved {
        /// The program.
        path: PathBuf,
        /// The parameter.
        name: String,
    },
    /// It needs one that is not given.
    #[error("{}: the parameter `{name}` is required", path.display())]
    Missing {
        /// The program.
        path: PathBuf,
        /// The parameter.
        name: String,
    },
    /// It cannot be told this.
    #[error("{}: the value of `{name}` {why}", path.display())]
    Value {
        /// The program.
        path: PathBuf,
        /// The parameter.
        name: String,
        /// What is wrong; never the value.
        why: &'static str,
    },
    /// It cannot do what is needed.
    #[error("{}: it has no action `{action}`", path.display())]
    Action {
        /// The program.
        path: PathBuf,
        /// The action.
        action: &'static str,
    },
}

/// Secrets among these that stand in the configuration for everybody who may read it.
pub fn exposed<'a>(metadata: &'a Metadata, given: &'a BTreeMap<String, Value>) -> Vec<&'a str> {
    let is_exposed = |name: &str, value: &Value| {
        matches!(value, Value::Plain(_)) && metadata.parameters.get(name).is_some_and(|known| known.is_secret)
    };
    given.iter().filter(|(name, value)| is_exposed(name, value)).map(|(name, _)| name.as_str()).collect()
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

impl FenceProgram {
    /// What `path` is and takes, in its own words.
    ///
    /// # Errors
    /// It cannot be run, or does not describe itself.
    pub async fn metadata(path: &Path) -> Result<Metadata, ProgramError> {
        let run = process::run(path, "action=metadata\n", METADATA_WITHIN).await;
        if run.exit != Exit::Code(0) {
            let output = tail(&run.output);
            return Err(ProgramError::NoMetadata { path: path.to_owned(), exit: run.exit, output });
        }
        Metadata::parse(&run.stdout).map_err(|why| ProgramError::Metadata { path: path.to_owned(), why })
    }

    /// `path` with these parameters; `metadata` is what it says of itself.
    ///
    /// # Errors
    /// A parameter that it does not have, lacks or cannot be told, or no `off` and `status`.
    pub fn new(
        path: &Path,
        metadata: &Metadata,
        given: BTreeMap<String, Value>,
    ) -> Result<Self, ProgramError> {
        let path = path.to_owned();
        for action in [Action::Off, Action::Status] {
            if !metadata.actions.contains(action.as_str()) {
                return Err(ProgramError::Action { path, action: action.as_str() });
            }
        }
        let mut parameters = BTreeMap::new();
        for (name, value) in given {
            if name == "action" || name == "option" {
                return Err(ProgramError::Reserved { path, name });
            }
            let Some(known) = metadata.parameters.get(&name) else {
                let nearest = nearest(&name, metadata.parameters.keys());
                return Err(ProgramError::UnknownParameter { path, name, nearest });
            };
            if let Some(why) = unspeakable(value.text()) {
                return Err(ProgramError::Value { path, name, why });
            }
            // What came as a secret stays one, whatever the program says of it.
            let value = match value {
                Value::Plain(value) if known.is_secret => Value::Secret(value),
                Value::Plain(_) | Value::Secret(_) => value,
            };
            parameters.insert(name, value);
        }
        for (name, known) in &metadata.parameters {
            let is_given = parameters.contains_key(name)
                || known.aliases.iter().any(|alias| parameters.contains_key(alias));
            if known.is_required && !is_given && name != "action" {
                return Err(ProgramError::Missing { path, name: name.clone() });
            }
        }
        Ok(Self { path, parameters })
    }

    /// Runs it once. It has ended when this returns, and whatever it started was sent SIGKILL.
    pub async fn act(&self, action: Action, within: Duration) -> Report {
        let mut input = format!("action={}\n", action.as_str());
        for (name, value) in &self.parameters {
            input.push_str(name);
            input.push('=');
            input.push_str(value.text());
            input.push('\n');
        }
        let run = process::run(&self.path, &input, within).await;
        Report { action, exit: run.exit, output: tail(&self.redacted(&run.output)), took: run.took }
    }

    /// The command as people may see it: `fence_ipmilan action=off ip=10.0.0.9 password=***`.
    pub fn command(&self, action: Action) -> String {
        let mut text = format!("{} action={}", self.path.display(), action.as_str());
        for (name, value) in &self.parameters {
            text.push(' ');
            text.push_str(name);
            text.push('=');
            match value {
                Value::Plain(value) => text.push_str(value),
                Value::Secret(_) => text.push_str("***"),
            }
        }
        text
    }

    /// Each secret is looked for in what was printed, not in what is left of it: one may be a part of another, or begin in it.
    fn redacted(&self, output: &str) -> String {
        let secrets = self.parameters.values().filter_map(|value| match value {
            Value::Secret(secret) => Some(secret.as_str()),
            Value::Plain(_) => None,
        });
        let mut hidden: Vec<(usize, usize)> = secrets
            .filter(|secret| !secret.is_empty())
            .flat_map(|secret| output.match_indices(secret).map(|(at, found)| (at, at + found.len())))
            .collect();
        hidden.sort_unstable();
        let (mut shown, mut told) = (String::with_capacity(output.len()), 0);
        for (begin, end) in hidden {
            // One that begins where another has not ended is the same three stars.
            if begin >= told {
                shown.push_str(output.get(told..begin).unwrap_or_default());
                shown.push_str("***");
            }
            told = told.max(end);
        }
        shown.push_str(output.get(told..).unwrap_or_default());
        shown
    }
}

/// Why a program could not be told this value.
fn unspeakable(value: &str) -> Option<&'static str> {
    if value.len() > VALUE_MAX {
        Some("is longer than 4,096 bytes")
    } else if value.contains(['\n', '\r', '\0']) {
        Some("has a line break or a NUL: a program reads one line for each parameter")
    } else if value.trim() != value {
        Some("begins or ends with a blank, which a program would not see")
    } else {
        None
    }
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<String> {
    let scored = known.map(|known| (strsim::damerau_levenshtein(name, known), known));
    scored.min().filter(|(distance, _)| *distance <= 3).map(|(_, known)| known.clone())
}

/// The last [`OUTPUT_MAX`] bytes, at a character's boundary.
fn tail(output: &str) -> String {
    let begin = output.len().saturating_sub(OUTPUT_MAX);
    let begin = (begin..output.len()).find(|at| output.is_char_boundary(*at)).unwrap_or(output.len());
    output.get(begin..).unwrap_or_default().to_owned()
}
