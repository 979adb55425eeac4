//! Something that instances track.

use hafleet_vrrp::{Instant, TrackResult};
use serde::{Deserialize, Serialize};

use super::ms;
use crate::track::CheckStatus;

/// A check: a script, a process or a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckPart {
    /// Its name.
    pub name: String,
    /// `script`, `process` or `file`.
    pub kind: String,
    /// `up`, `down`, `value` (a file says a number), or `awaited` before the first result.
    pub result: String,
    /// The number in the file.
    pub value: Option<i16>,
    /// What the last look saw.
    pub detail: String,
    /// How long ago the result changed.
    pub changed_age_ms: Option<u64>,
    /// How long ago it was last looked at.
    pub looked_age_ms: Option<u64>,
    /// The process that runs now, a script's.
    pub pid: Option<u32>,
    /// How the last run ended, a script's.
    pub last_run: Option<String>,
    /// Looks since it started: runs of a script that ended, events of processes and files.
    pub looks: u64,
    /// Runs that failed, whatever `fall` made of it.
    pub failures: u64,
    /// Runs that were ended by their time-out.
    pub timeouts: u64,
    /// Runs that were due while the one before was not over.
    pub skipped: u64,
    /// Runs that this host had no process, memory or descriptor for.
    pub not_tried: u64,
    /// Times that events were lost and everything was looked at anew.
    pub rescans: u64,
    /// Changes of the result.
    pub changes: u64,
}

impl CheckPart {
    pub(super) fn new(check: &CheckStatus, now: Instant) -> Self {
        let (result, value) = result(check.result);
        Self {
            name: check.check.clone(),
            kind: check.kind.to_owned(),
            result: result.to_owned(),
            value,
            detail: check.detail.clone(),
            changed_age_ms: check.changed_at.map(|at| ms(now, at)),
            looked_age_ms: check.looked_at.map(|at| ms(now, at)),
            pid: check.pid,
            last_run: check.last_run.as_ref().map(ToString::to_string),
            looks: check.counts.looks,
            failures: check.counts.failures,
            timeouts: check.counts.timeouts,
            skipped: check.counts.skipped,
            not_tried: check.counts.not_tried,
            rescans: check.counts.rescans,
            changes: check.counts.changes,
        }
    }
}

/// The word for a result, and a file's number.
pub(super) fn result(result: Option<TrackResult>) -> (&'static str, Option<i16>) {
    match result {
        None => ("awaited", None),
        Some(TrackResult::Up) => ("up", None),
        Some(TrackResult::Down) => ("down", None),
        Some(TrackResult::Value(value)) => ("value", Some(value)),
    }
}
