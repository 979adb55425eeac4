//! Runs the checks that instances track: scripts, processes, files (keepalived: `vrrp_script`, `vrrp_track_process`,
//! `track_file`).
//!
//! ```text
//! configuration ─► Tracker ─► thread `track` ─► script   one task each: start, time-out, end of the process group
//!   (start, replace)               │            process  one task for all: events of the kernel, /proc
//!                                  │            file     one task each: inotify
//!                                  ▼
//!                                board ─► Reports (first results, then changes) ─► the engine's inputs
//!                                      └► status()
//! ```
//!
//! Nothing here is known to the engine's thread. Whatever may hang (a program that does not start because its file
//! system is away, a file that cannot be read, `/proc/PID/cmdline` of a stuck process) hangs on a thread of its own;
//! the check that it belongs to fails by its time-out, the others go on.
//!
//! A check runs once, however many instances track it, and has at most one process group at a time.

mod board;
mod file;
mod leave;
mod number;
mod outcome;
mod process;
mod program;
mod rise_fall;
mod run_as;
mod script;
mod waiting;

use std::{collections::BTreeMap, io, path::Path, sync::Arc, thread, time::Duration};

use hafleet_vrrp::TrackResult;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
    task::JoinSet,
    time::timeout,
};

pub use board::{CheckStatus, Counts, Reports};
pub use outcome::Outcome;
pub use run_as::RunAsRequest;

use self::{
    board::{Board, CheckId, Entry},
    leave::Leave,
    process::ProcessEntry,
    script::Starters,
};
use crate::config::track::{Check, CheckKind};

/// The file of the process that looks at it, also after it was replaced.
pub const THIS_PROGRAM: &str = "/proc/self/exe";
/// How many threads may hang in the file systems of scripts and files. Checks beyond that wait for a thread and fail by their
/// time-outs.
const HANGING_AT_MOST: usize = 64;
/// How long [`Tracker::stop`] may take.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// A result to tell the instances that track a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// The check's name.
    pub check: String,
    /// How it is.
    pub result: TrackResult,
    /// What was seen when it became so, for people: `exit code 1`, `2 processes, at least 1 wanted`.
    pub detail: String,
}

/// Every check of the agent. Dropping it ends them all, as [`Tracker::stop`] does, without waiting for it.
#[derive(Debug)]
pub struct Tracker {
    board: Arc<Board>,
    wanted: watch::Sender<Wanted>,
    ended: oneshot::Receiver<()>,
}

#[derive(Clone, Debug, Default)]
struct Wanted {
    entries: Vec<Entry>,
    is_over: bool,
}

impl Tracker {
    /// Starts every check. Their results come over the returned receiver: the first of each as soon as it is known, then
    /// changes. A result that was not received before the next one is replaced by it.
    ///
    /// `this_program` is the agent's own file, [`THIS_PROGRAM`]: it starts the scripts of other users.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be had.
    pub fn start(checks: Vec<Check>, this_program: &Path) -> io::Result<(Self, Reports)> {
        let board = Arc::new(Board::default());
        let runtime = runtime::Builder::new_current_thread()
            // Between two looks at timers and descriptors; each task that is ready may start a program.
            .event_interval(8)
            .max_blocking_threads(HANGING_AT_MOST)
            .thread_name("track-io")
            .enable_all()
            .build()?;
        let (wanted, changes) = watch::channel(Wanted::default());
        let (say_ended, ended) = oneshot::channel();
        let work = supervise(Arc::clone(&board), Starters::new(this_program), changes);
        thread::Builder::new().name("track".to_owned()).spawn(move || {
            runtime.block_on(work);
            // What still hangs in a file system ends with the process.
            runtime.shutdown_background();
            let _ = say_ended.send(());
        })?;
        let tracker = Self { board: Arc::clone(&board), wanted, ended };
        tracker.replace(checks);
        Ok((tracker, Reports::new(board)))
    }

    /// Runs these checks from now on. Those that are the same (place in the file apart) go on without noticing; removed
    /// ones end, and nothing is reported of them once this returned; new ones start.
    pub fn replace(&self, checks: Vec<Check>) {
        let entries = self.board.replace(checks);
        self.wanted.send_replace(Wanted { entries, is_over: false });
    }

    /// Every check as it is, in the order of the configuration.
    pub fn status(&self) -> Vec<CheckStatus> {
        self.board.status()
    }

    /// The same for whoever does not own the tracker.
    pub fn statuses(&self) -> Statuses {
        Statuses(Arc::clone(&self.board))
    }

    /// Ends every check: process groups of running scripts get SIGTERM, and SIGKILL half a second later. Takes at most two
    /// seconds; a process that the kernel cannot end by then is left.
    pub async fn stop(mut self) {
        self.wanted.send_replace(Wanted { entries: Vec::new(), is_over: true });
        if timeout(STOP_WITHIN, &mut self.ended).await.is_err() {
            tracing::warn!("the checks have not ended within {STOP_WITHIN:?}; a script may be left running");
        }
    }
}

/// How every check is, at any time, also after the tracker has ended. Clones look at the same ones.
#[derive(Clone, Debug, Default)]
pub struct Statuses(Arc<Board>);

impl Statuses {
    /// In the order of the configuration.
    pub fn all(&self) -> Vec<CheckStatus> {
        self.0.status()
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.board.close();
    }
}

/// Keeps the running checks as the wanted ones.
async fn supervise(board: Arc<Board>, starters: Starters, mut wanted: watch::Receiver<Wanted>) {
    // Whoever started the agent may have set SIGCHLD to be ignored, and then the kernel keeps no exit codes.
    let _exit_codes_are_kept = signal(SignalKind::child())
        .inspect_err(|error| tracing::warn!(%error, "no handler for SIGCHLD: exit codes may be lost"));
    let (over, is_over) = watch::channel(false);
    let mut running: BTreeMap<CheckId, watch::Sender<()>> = BTreeMap::new();
    let mut processes = None;
    let mut tasks = JoinSet::new();
    loop {
        let now = wanted.borrow_and_update().clone();
        if now.is_over {
            break;
        }
        // Dropping the sender asks the task to end.
        running.retain(|id, _| now.entries.iter().any(|entry| entry.id == *id));
        let mut tracked_processes = Vec::new();
        for entry in now.entries {
            if let CheckKind::Process(check) = &entry.check.kind {
                tracked_processes.push(ProcessEntry { id: entry.id, check: check.clone() });
                continue;
            }
            running.entry(entry.id).or_insert_with(|| {
                let (stay, gone) = watch::channel(());
                let leave = Leave::new(gone, is_over.clone());
                let (board, id) = (Arc::clone(&board), entry.id);
                match &entry.check.kind {
                    CheckKind::Script(check) => {
                        drop(tasks.spawn(script::watch(
                            id,
                            Arc::new(check.clone()),
                            board,
                            starters.clone(),
                            leave,
                        )));
                    }
                    CheckKind::File(check) => drop(tasks.spawn(file::watch(id, check.clone(), board, leave))),
                    CheckKind::Process(_) => {}
                }
                stay
            });
        }
        process::keep(&mut processes, tracked_processes, &board, &mut tasks);
        loop {
            tokio::select! {
                changed = wanted.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => {
                        drop(processes);
                        return end(over, tasks).await;
                    }
                },
                Some(ended) = tasks.join_next() => say_if_broken(ended),
            }
        }
    }
    drop(processes);
    end(over, tasks).await;
}

async fn end(over: watch::Sender<bool>, mut tasks: JoinSet<()>) {
    over.send_replace(true);
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            say_if_broken(ended);
        }
    };
    let _ = timeout(STOP_WITHIN, all).await;
}

fn say_if_broken(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a check ended by a fault of the agent; its last result stays");
    }
}

#[cfg(test)]
mod tests;
