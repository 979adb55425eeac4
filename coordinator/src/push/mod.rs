//! The fleet's configuration on its way to the agents.
//!
//! ```text
//! operator ─► begin: parse, lint, compare with what runs ─► a generation and its steps, written down ─► wakes the task
//! task: stage on every node ─► commit in waves, holders last, each settles ─► confirm all ─► applied
//!          └─ a refusal, a finding, a transition that nothing explains, silence ─► every node goes back
//! ```
//!
//! One task carries out what is open, one step at a time (`plan`, `wave`); every step is in the store before it is taken, and an agent
//! does nothing twice under one request id, so that a task that begins anew goes on where the last one was. Dropping the
//! task anywhere is safe for the same reason. Agents go back by themselves when they are not confirmed, and none is confirmed
//! before all were judged: an apply that nobody goes on with ends with the old generation everywhere.

mod aftercare;
mod ask;
mod change;
mod check;
mod drift;
mod known;
mod plan;
mod settling;
mod spared;
mod task;
mod trouble;
mod wave;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use hafleet_fleetfile::{FleetFile, Problem, Severity, lint, parse};
use tokio::sync::{Notify, watch};

pub use check::ask_members;
pub use drift::drift;
pub use known::in_use;
pub use spared::left_open;
pub use task::run;

use crate::{
    shared::Shared,
    store::{Begun, NewGeneration, StoreError},
};

/// How long a node waits to be confirmed, when nothing is said.
pub const CONFIRM_WITHIN_DEFAULT: Duration = Duration::from_secs(120);
/// The least: a commit has to settle first.
pub const CONFIRM_WITHIN_MIN: Duration = Duration::from_secs(10);
/// The most.
pub const CONFIRM_WITHIN_MAX: Duration = Duration::from_secs(3600);
/// Generations that are kept, beside every one that still counts.
pub const GENERATIONS_KEPT: u64 = 1000;
/// Longest part of one node, in bytes: what an agent takes.
const NODE_TEXT_MAX: usize = 200 * 1024;

/// The way to the task.
#[derive(Debug, Default)]
pub struct Pushes {
    begun: Notify,
    /// Counts what was written down, for those who follow an apply.
    written: watch::Sender<u64>,
    checks: AtomicU64,
}

impl Pushes {
    /// Changes when a step was written down.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Numbers the checks of this coordinator's life.
    fn number_check(&self) -> u64 {
        self.checks.fetch_add(1, Ordering::Relaxed)
    }

    fn note(&self) {
        self.written.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// What an operator wants to be applied.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The fleet's file.
    pub text: String,
    /// The generation that it was made from; 0: none.
    pub parent: u64,
    /// `user/admin`.
    pub author: String,
    /// Why, in the author's words.
    pub message: String,
    /// How long a node waits to be confirmed.
    pub confirm_within: Duration,
}

/// Why nothing was begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The file has errors.
    #[error("the file has errors, so nothing of it is applied")]
    Problems(Vec<Problem>),
    /// Somebody else applied another generation.
    #[error(
        "the file was made from generation {parent}, but generation {head} was applied since; look at `hactl config diff` and \
         apply again"
    )]
    Moved {
        /// What the file was made from.
        parent: u64,
        /// What was applied last.
        head: u64,
    },
    /// Somebody else applies.
    #[error("generation {generation} is being applied; wait for its end (`hactl config show {generation}`)")]
    Busy {
        /// That one.
        generation: u64,
    },
    /// What was applied last cannot be read.
    #[error("generation {generation}, which was applied last, cannot be read by this coordinator: {problem}")]
    Head {
        /// That one.
        generation: u64,
        /// What is wrong.
        problem: String,
    },
    /// The database refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was applied last, read.
///
/// # Errors
/// The database refuses, or the text cannot be read.
pub async fn head(shared: &Shared) -> Result<(u64, FleetFile), BeginError> {
    match shared.store.config_head().await? {
        None => Ok((0, FleetFile::default())),
        Some(row) => Ok((row.number, read(row.number, &row.text)?)),
    }
}

/// A text that was judged before.
fn read(generation: u64, text: &str) -> Result<FleetFile, BeginError> {
    parse(text).map_err(|problems| BeginError::Head {
        generation,
        problem: problems.first().map(ToString::to_string).unwrap_or_default(),
    })
}

/// Everything that is wrong or remarkable with a text for this fleet, and the file if it can be read.
pub fn judge(shared: &Shared, running: &FleetFile, text: &str) -> (Vec<Problem>, Option<FleetFile>) {
    let file = match parse(text) {
        Ok(file) => file,
        Err(problems) => return (problems, None),
    };
    let mut problems = lint(&file, Some(&known::known(shared)));
    problems.extend(change::together(running, &file));
    problems.extend(left_behind(shared, running, &file));
    for node in file.nodes() {
        let bytes = file.compile(node).len();
        if bytes > NODE_TEXT_MAX {
            let message =
                format!("what {node} would get has {bytes} bytes; an agent takes at most {NODE_TEXT_MAX}");
            problems.push(Problem::error(hafleet_fleetfile::At::default(), message, ""));
        }
    }
    problems.sort_by_key(|problem| problem.at);
    (problems, Some(file))
}

/// Nodes that are in the file no more and cannot be told so now.
fn left_behind(shared: &Shared, running: &FleetFile, file: &FleetFile) -> Vec<Problem> {
    let staying = file.nodes();
    let leaving = running.nodes().into_iter().filter(|node| !staying.iter().any(|other| other == node));
    let away = leaving.filter(|node| !known::told(shared, node).is_connected);
    let problem = |node| {
        let message = format!(
            "{node} is in the file no more, but is not connected: what was pushed to it runs on there, and may hold addresses of \
             this file"
        );
        let help = "when it is back (`hactl config drift`), apply again (`hactl config apply --again`)";
        Problem::warning(hafleet_fleetfile::At::default(), message, help)
    };
    away.map(problem).collect()
}

/// Writes a generation down and lets the task apply it. Gives its number, and what was remarked on.
///
/// # Errors
/// When nothing was begun.
pub async fn begin(shared: &Shared, wish: Wish) -> Result<(u64, Vec<Problem>), BeginError> {
    let (head, running) = head(shared).await?;
    if head != wish.parent {
        return Err(BeginError::Moved { parent: wish.parent, head });
    }
    let (problems, file) = judge(shared, &running, &wish.text);
    let is_wrong = problems.iter().any(|problem| problem.severity == Severity::Error);
    let Some(file) = file.filter(|_| !is_wrong) else { return Err(BeginError::Problems(problems)) };
    let mut nodes: Vec<String> = file.nodes().into_iter().map(str::to_owned).collect();
    // Who is in the file no more runs nothing of it any more; one that is away or gone for good stands in nobody's way.
    nodes.extend(known::leaving(shared, &running, &nodes));
    let new = NewGeneration {
        parent: wish.parent,
        author: wish.author,
        message: wish.message,
        text: wish.text,
        created_at_us: shared.clock.now_us(),
        confirm_within_us: crate::clock::duration_us(wish.confirm_within),
        above: known::highest(shared),
    };
    match shared.store.begin_config(&new, &nodes).await? {
        Begun::Generation(number) => {
            shared.pushes.note();
            shared.pushes.begun.notify_one();
            Ok((number, problems))
        }
        Begun::Moved { head } => Err(BeginError::Moved { parent: wish.parent, head }),
        Begun::Busy { generation } => Err(BeginError::Busy { generation }),
    }
}
