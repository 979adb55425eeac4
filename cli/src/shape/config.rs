//! The fleet's configuration.

use hafleet_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

use super::present;
use crate::look::instant;

/// `hactl config validate -o json`.
#[derive(Debug, Serialize)]
pub struct Problem {
    /// `error`, `warning`, or `info` for a member that finds nothing wrong.
    severity: String,
    /// The member whose part it is about; `null`: the fleet's file.
    node: Option<String>,
    /// `null`: nothing that is written in a file.
    file: Option<String>,
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
            node: None,
            file: Some(file.to_owned()),
            line: counted(problem.line),
            column: counted(problem.column),
            message: problem.message.clone(),
            help: present(&problem.help),
        }
    }

    /// Everything that a member says; never nothing.
    pub fn of_node(check: &v1::NodeCheck) -> Vec<Self> {
        let said = |severity: &str, message: &str| Self {
            severity: severity.to_owned(),
            node: Some(check.node.clone()),
            file: None,
            line: None,
            column: None,
            message: message.to_owned(),
            help: None,
        };
        let line = |severity: &str, line: &str| {
            placed(line).map_or_else(
                || said(severity, line),
                |(file, number, column, severity, message)| Self {
                    file: Some(file.to_owned()),
                    line: Some(number),
                    column: Some(column),
                    ..said(severity, message)
                },
            )
        };
        let lines = check.detail.lines();
        match check.state.as_str() {
            "valid" if check.detail.is_empty() => vec![said("info", "valid")],
            "valid" => lines.map(|text| line("warning", text)).collect(),
            "invalid" if check.detail.is_empty() => vec![said("error", "invalid")],
            "invalid" => lines.map(|text| line("error", text)).collect(),
            _ => vec![said("warning", &check.detail)],
        }
    }

    /// As compilers write it.
    pub fn text(&self) -> String {
        let node = self.node.as_ref().map(|node| format!("{node}: ")).unwrap_or_default();
        let number = |number: Option<u32>| number.map(|number| format!(":{number}")).unwrap_or_default();
        let file =
            self.file.as_ref().map(|file| format!("{file}{}{}: ", number(self.line), number(self.column)));
        let severity = if self.severity == "info" { String::new() } else { format!("{}: ", self.severity) };
        let help = self.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{node}{}{severity}{}{help}", file.unwrap_or_default(), self.message)
    }

    /// It cannot be applied so.
    pub fn is_error(&self) -> bool {
        self.severity == "error"
    }
}

/// The parts of `FILE:LINE:COLUMN: error: MESSAGE`.
fn placed(line: &str) -> Option<(&str, u32, u32, &str, &str)> {
    let (severity, at) = ["error", "warning"]
        .into_iter()
        .filter_map(|severity| Some((severity, line.find(&format!(": {severity}: "))?)))
        .min_by_key(|(_, at)| *at)?;
    let (place, rest) = line.split_at_checked(at)?;
    let message = rest.strip_prefix(": ")?.strip_prefix(severity)?.strip_prefix(": ")?;
    let (place, column) = place.rsplit_once(':')?;
    let (file, number) = place.rsplit_once(':')?;
    Some((file, number.parse().ok()?, column.parse().ok()?, severity, message))
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
    instances: Vec<DriftInstance>,
}

#[derive(Debug, Serialize)]
struct DriftInstance {
    instance: String,
    /// `local` or `pushed`; `null` from an agent that does not tell.
    origin: Option<String>,
    generation: Option<u64>,
}

impl From<&v1::NodeDrift> for Drift {
    fn from(drift: &v1::NodeDrift) -> Self {
        Self {
            node: drift.node.clone(),
            state: drift.state.clone(),
            runs_generation: (drift.runs_generation > 0).then_some(drift.runs_generation),
            detail: present(&drift.detail),
            instances: drift.instances.iter().map(DriftInstance::from).collect(),
        }
    }
}

impl From<&v1::DriftInstance> for DriftInstance {
    fn from(instance: &v1::DriftInstance) -> Self {
        Self {
            instance: instance.instance.clone(),
            origin: present(&instance.origin),
            generation: (instance.generation > 0).then_some(instance.generation),
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
