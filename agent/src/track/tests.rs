//! Real processes and files.

mod files;
mod processes;
mod scripts;

use std::{path::PathBuf, process::Command, time::Duration};

use hafleet_vrrp::TrackResult;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::unix::pipe,
    time::timeout,
};

use super::*;
use crate::config::{
    Place,
    track::{FileCheck, ProcessCheck, RunAs, ScriptCheck},
};

/// More than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nothing here runs as another user, which only the agent's own file can do: see `agent/tests/track`.
fn start(checks: Vec<Check>) -> io::Result<(Tracker, Reports)> {
    Tracker::start(checks, Path::new("/nonexistent"))
}

fn check(name: &str, kind: CheckKind) -> Check {
    Check { name: name.to_owned(), kind, defined_at: Place::default() }
}

fn script(name: &str, command: &[&str]) -> Check {
    timed_script(name, command, Duration::from_secs(1), PATIENCE)
}

fn timed_script(name: &str, command: &[&str], interval: Duration, timeout: Duration) -> Check {
    let kind = ScriptCheck {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        interval,
        timeout,
        rise: 1,
        fall: 1,
        init_fail: false,
        run_as: RunAs::Agent,
    };
    check(name, CheckKind::Script(kind))
}

async fn next(reports: &mut Reports) -> CheckReport {
    timeout(PATIENCE, reports.recv()).await.expect("a report comes").expect("the tracker is there")
}

/// The next report, which must be of this check.
async fn next_of(reports: &mut Reports, check: &str) -> (TrackResult, String) {
    let report = next(reports).await;
    assert_eq!(report.check, check, "{report:?}");
    (report.result, report.detail)
}

fn status_of(tracker: &Tracker, check: &str) -> CheckStatus {
    tracker.status().into_iter().find(|status| status.check == check).expect("it is tracked")
}

/// Returns when that process has ended, whoever's it is.
async fn ended(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // Gone and reaped already.
    let Ok(descriptor) = pidfd_open(pid, PidfdFlags::NONBLOCK) else { return };
    let descriptor = waiting::readable(descriptor).unwrap();
    let _ = timeout(PATIENCE, descriptor.readable()).await.expect("it ends").unwrap();
}

/// A named pipe that scripts write lines to.
struct Lines {
    path: PathBuf,
    lines: tokio::io::Lines<BufReader<pipe::Receiver>>,
}

impl Lines {
    fn new(directory: &Path) -> Self {
        let path = directory.join("lines");
        assert!(Command::new("mkfifo").args(["-m", "666"]).arg(&path).status().unwrap().success());
        // Its own writer keeps it open when a script closes it.
        let receiver = pipe::OpenOptions::new().read_write(true).open_receiver(&path).unwrap();
        Self { path, lines: BufReader::new(receiver).lines() }
    }

    async fn next(&mut self) -> String {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("a line comes");
        line.unwrap().unwrap()
    }

    async fn next_words(&mut self) -> Vec<u32> {
        self.next().await.split_whitespace().map(|word| word.parse().unwrap()).collect()
    }
}
