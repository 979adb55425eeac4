//! A script that is run again and again.

use std::{io, path::Path, sync::Arc, time::Duration};

use hafleet_vrrp::TrackResult;
use rustix::process::Signal;
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, sleep_until},
};

use super::{
    board::{Board, CheckId},
    leave::Leave,
    outcome::Outcome,
    program::{Means, Program},
    rise_fall::RiseFall,
    waiting::blocking,
};
use crate::{clock, config::track::ScriptCheck};

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// The same when the agent ends.
const LAST_GRACE: Duration = Duration::from_millis(500);
/// A start that takes so long hangs in a file system, and others need not wait for it.
const START_HANGS_AFTER: Duration = Duration::from_millis(100);
/// A shorter interval would be a loop.
const INTERVAL_LEAST: Duration = Duration::from_millis(1);
/// A longer one could be beyond the end of the clock.
const INTERVAL_MOST: Duration = Duration::from_secs(365 * 86_400);

/// How many programs are started at once. More of them would only wait for each other: starting one takes a lock on this
/// process's memory.
const STARTS_AT_ONCE: usize = 2;

/// What scripts are started with.
#[derive(Clone, Debug)]
pub(super) struct Starters {
    turns: Arc<Semaphore>,
    means: Means,
}

impl Starters {
    /// `this_program` is the agent's own file.
    pub(super) fn new(this_program: &Path) -> Self {
        Self { turns: Arc::new(Semaphore::new(STARTS_AT_ONCE)), means: Means::new(this_program) }
    }
}

/// Runs it at once and then at every interval, until it shall leave. A run that is due while the one before is not over is
/// skipped; when that one has timed out, that is a failure more.
pub(super) async fn watch(
    id: CheckId,
    script: Arc<ScriptCheck>,
    board: Arc<Board>,
    starters: Starters,
    mut leave: Leave,
) {
    let rise_fall = RiseFall::new(script.rise, script.fall);
    let mut watch = Watch { id, board, rise_fall, due: Due::new(script.interval) };
    loop {
        watch.run_once(&script, &starters, &mut leave).await;
        tokio::select! {
            () = watch.due.next() => {}
            () = leave.asked() => return,
        }
    }
}

struct Watch {
    id: CheckId,
    board: Arc<Board>,
    rise_fall: RiseFall,
    due: Due,
}

impl Watch {
    /// Returns when nothing of the run is left.
    async fn run_once(&mut self, script: &Arc<ScriptCheck>, starters: &Starters, leave: &mut Leave) {
        // That others start before it is not its fault: its time has not begun.
        let turn = tokio::select! {
            turn = Arc::clone(&starters.turns).acquire_owned() => turn,
            () = leave.asked() => return,
        };
        let timed_out = Outcome::TimedOut(script.timeout);
        let limit = sleep(script.timeout);
        let start = start(Arc::clone(script), starters.means.clone(), turn);
        tokio::pin!(limit, start);
        // A start cannot be called back, so that also a check that shall leave waits for it.
        let (mut is_late, mut leaves) = (false, false);
        let started = loop {
            tokio::select! {
                started = &mut start => break started,
                () = &mut limit, if !is_late => {
                    is_late = true;
                    self.judge(timed_out.clone());
                }
                () = self.due.next(), if is_late => self.judge(Outcome::StillThere),
                () = leave.asked(), if !leaves => leaves = true,
            }
        };
        let mut program = match started {
            Ok(program) => program,
            Err(error) if !is_late => return self.judge(Outcome::of_start(&error)),
            Err(_) => return,
        };
        self.board.write(self.id, |status| status.pid = Some(program.pid()));
        if !is_late && !leaves {
            tokio::select! {
                () = program.ended() => {
                    self.judge(taken(&mut program));
                    return;
                }
                () = &mut limit => {
                    is_late = true;
                    self.judge(timed_out);
                }
                () = leave.asked() => {}
            }
        }
        self.end(program, is_late, leave).await;
        self.board.write(self.id, |status| status.pid = None);
    }

    /// Ends the process group: SIGTERM to all of it, and SIGKILL to what is left when its first process has ended, at the
    /// latest after the grace.
    async fn end(&mut self, mut program: Program, is_late: bool, leave: &mut Leave) {
        program.signal(Signal::TERM);
        let kill = sleep(GRACE);
        tokio::pin!(kill);
        let (mut is_killed, mut is_last) = (false, false);
        loop {
            tokio::select! {
                () = program.ended() => break,
                () = &mut kill, if !is_killed => {
                    is_killed = true;
                    program.signal(Signal::KILL);
                }
                () = leave.over(), if !is_last => {
                    is_last = true;
                    let soon = Instant::now() + LAST_GRACE;
                    if kill.deadline() > soon {
                        kill.as_mut().reset(soon);
                    }
                }
                // The kernel cannot end it: it sits in a device or a file system that does not answer.
                () = self.due.next(), if is_late => self.judge(Outcome::StillThere),
            }
        }
        program.signal(Signal::KILL);
        let _ = program.reap();
    }

    fn judge(&mut self, outcome: Outcome) {
        let success = outcome.is_success();
        let verdict = success.map(|is_success| self.rise_fall.judge(is_success));
        let skipped = self.due.take_skipped() + u64::from(outcome == Outcome::StillThere);
        self.board.write(self.id, |status| {
            let counts = &mut status.counts;
            counts.looks = counts.looks.saturating_add(1);
            counts.failures = counts.failures.saturating_add(u64::from(success == Some(false)));
            counts.timeouts =
                counts.timeouts.saturating_add(u64::from(matches!(outcome, Outcome::TimedOut(_))));
            counts.not_tried = counts.not_tried.saturating_add(u64::from(success.is_none()));
            counts.skipped = counts.skipped.saturating_add(skipped);
            if let Some(is_up) = verdict {
                status.result = Some(if is_up { TrackResult::Up } else { TrackResult::Down });
            }
            let is_over = !matches!(outcome, Outcome::TimedOut(_) | Outcome::StillThere);
            if is_over {
                status.pid = None;
            }
            status.detail = outcome.to_string();
            status.looked_at = Some(clock::now());
            status.last_run = Some(outcome);
        });
    }
}

fn taken(program: &mut Program) -> Outcome {
    program
        .reap()
        .map_or_else(|error| Outcome::CannotRun(format!("its exit code was lost: {error}")), Outcome::from)
}

/// Starts it on a thread that may hang. Its turn is over when it started, or hangs.
async fn start(
    script: Arc<ScriptCheck>,
    means: Means,
    turn: Result<OwnedSemaphorePermit, AcquireError>,
) -> io::Result<Program> {
    let starting = blocking(move || Program::start(&script, &means));
    tokio::pin!(starting);
    tokio::select! {
        started = &mut starting => started,
        () = sleep(START_HANGS_AFTER) => {
            drop(turn);
            starting.await
        }
    }
}

/// When it is to run: at its start and then at every interval, whatever a run takes.
struct Due {
    interval: Duration,
    at: Instant,
    skipped: u64,
}

impl Due {
    fn new(interval: Duration) -> Self {
        let interval = interval.clamp(INTERVAL_LEAST, INTERVAL_MOST);
        Self { interval, at: Instant::now() + interval, skipped: 0 }
    }

    /// Returns at the next point of time; those that have passed are skipped.
    async fn next(&mut self) {
        self.skip(Instant::now());
        sleep_until(self.at).await;
        self.at += self.interval;
    }

    fn skip(&mut self, now: Instant) {
        let Some(behind) = now.checked_duration_since(self.at) else { return };
        let missed = u32::try_from(behind.as_nanos() / self.interval.as_nanos()).unwrap_or(u32::MAX);
        let missed = missed.saturating_add(1);
        self.at += self.interval.saturating_mul(missed);
        self.skipped = self.skipped.saturating_add(u64::from(missed));
    }

    fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }
}
