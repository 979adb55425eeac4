//! The fleet's configuration.

use hafleet_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

use super::present;
use crate::look::instant;

/// `hactl config validate -o json`.
#[derive(Debug, Serialize)]
pub struct Problem {
    severity: String,
    file: String,
    /// `null`: the file as a whole.
    line: Option<u32>,
    column: Option<u32>,
    message: String,
    help: Option<String>,
}

impl Problem {
    /// Of this file.
    pub fn new(problem: &v1::ConfigProblem, file: &str) -> Self {
        let counted = |number: u32| (number > 0).then_some(number);
        Self {
            severity: problem.severity.clone(),
            file: file.to_owned(),
            line: counted(problem.line),
            column: counted(problem.column),
            message: problem.message.clone(),
            help: present(&problem.help),
        }
    }
}

/// `hactl config diff -o json`.
#[derive(Debug, Serialize)]
pub struct Changes {
    /// What it was compared with; `null`: nothing was ever applied.
    generation: Option<u64>,
    changes: Vec<Change>,
    problems: Vec<Problem>,
}

#[derive(Debug, Serialize)]
struct Change {
    subject: String,
    node: Option<String>,
    what: String,
    key: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

impl Changes {
    /// Of this file.
    pub fn new(answer: &v1::DiffConfigResponse, file: &str) -> Self {
        let change = |change: &v1::ConfigChange| Change {
            subject: change.subject.clone(),
            node: present(&change.node),
            what: change.what.clone(),
            key: present(&change.key),
            from: present(&change.from),
            to: present(&change.to),
        };
        Self {
            generation: (answer.generation > 0).then_some(answer.generation),
            changes: answer.changes.iter().map(change).collect(),
            problems: answer.problems.iter().map(|problem| Problem::new(problem, file)).collect(),
        }
    }
}

/// One line of `hactl config apply -o jsonl`.
#[derive(Debug, Serialize)]
pub struct Progress {
    generation: u64,
    state: String,
    why: Option<String>,
    steps: Vec<Step>,
    at: Option<Timestamp>,
}

impl From<&v1::ConfigProgress> for Progress {
    fn from(progress: &v1::ConfigProgress) -> Self {
        Self {
            generation: progress.generation,
            state: progress.state.clone(),
            why: present(&progress.why),
            steps: progress.steps.iter().map(Step::from).collect(),
            at: instant(progress.at_us),
        }
    }
}

/// `hactl config apply -o json`: the end of it.
#[derive(Debug, Serialize)]
pub struct Applied {
    /// `null`: the file has errors, or nothing differs.
    pub generation: Option<u64>,
    /// `applied`, `rolled_back`, `refused` or `unchanged`.
    pub state: String,
    /// Why it was given up.
    pub why: Option<String>,
    /// The last of each node.
    pub steps: Vec<Step>,
    /// What was remarked on in the file.
    pub problems: Vec<Problem>,
}

/// What one node was asked last.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    node: String,
    state: String,
    detail: Option<String>,
    at: Option<Timestamp>,
}

impl From<&v1::ConfigStep> for Step {
    fn from(step: &v1::ConfigStep) -> Self {
        Self {
            node: step.node.clone(),
            state: step.state.clone(),
            detail: present(&step.detail),
            at: instant(step.at_us),
        }
    }
}

/// `hactl config history -o json`.
#[derive(Debug, Serialize)]
pub struct Generation {
    generation: u64,
    parent: Option<u64>,
    author: String,
    message: String,
    at: Option<Timestamp>,
    state: String,
    why: Option<String>,
    hash: String,
}

impl From<&v1::Generation> for Generation {
    fn from(row: &v1::Generation) -> Self {
        Self {
            generation: row.number,
            parent: (row.parent > 0).then_some(row.parent),
            author: row.author.clone(),
            message: row.message.clone(),
            at: instant(row.created_at_us),
            state: row.state.clone(),
            why: present(&row.why),
            hash: row.hash.clone(),
        }
    }
}

/// `hactl config show -o json`.
#[derive(Debug, Serialize)]
pub struct GenerationDetail {
    #[serde(flatten)]
    generation: Generation,
    text: String,
    steps: Vec<Step>,
}

impl GenerationDetail {
    /// From the coordinator's answer, which has a generation.
    pub fn new(generation: &v1::Generation, answer: &v1::GetConfigResponse) -> Self {
        Self {
            generation: generation.into(),
            text: answer.text.clone(),
            steps: answer.steps.iter().map(Step::from).collect(),
        }
    }
}

/// `hactl config drift -o json`.
#[derive(Debug, Serialize)]
pub struct Drift {
    node: String,
    state: String,
    runs_generation: Option<u64>,
    detail: Option<String>,
}

impl From<&v1::NodeDrift> for Drift {
    fn from(drift: &v1::NodeDrift) -> Self {
        Self {
            node: drift.node.clone(),
            state: drift.state.clone(),
            runs_generation: (drift.runs_generation > 0).then_some(drift.runs_generation),
            detail: present(&drift.detail),
        }
    }
}

/// `hactl config import -o json`.
#[derive(Debug, Serialize)]
pub struct Imported {
    /// The fleet's file.
    pub text: String,
    /// Where the hosts disagree; the first one's word stands in the file.
    pub disagreements: Vec<String>,
    /// What else is remarkable.
    pub remarks: Vec<String>,
}
