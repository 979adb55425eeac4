//! Metrics of checks: what instances track beside interfaces.

use hafleet_vrrp::TrackResult;

use super::{Kind, Metric, Samples};
use crate::{present::Present, track::CheckStatus};

const LABELS: &[&str] = &["check", "kind"];

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "hafleet_agent_check_up",
        kind: Kind::Gauge,
        labels: LABELS,
        about: "1 when a check is up, 0 when it is down. `kind` is `script`, `process` or `file`; absent before the first result, and \
                for a file, which says a number",
        read: |present, samples| {
            for check in &present.checks {
                match check.result {
                    Some(TrackResult::Up) => samples.add_flag([&check.check, &check.kind], true),
                    Some(TrackResult::Down) => samples.add_flag([&check.check, &check.kind], false),
                    Some(TrackResult::Value(_)) | None => {}
                }
            }
        },
    },
    Metric {
        name: "hafleet_agent_check_value",
        kind: Kind::Gauge,
        labels: LABELS,
        about: "The number in a file that is tracked",
        read: |present, samples| {
            for check in &present.checks {
                if let Some(TrackResult::Value(value)) = check.result {
                    samples.add_real([&check.check, &check.kind], value.into());
                }
            }
        },
    },
    Metric {
        name: "hafleet_agent_check_looks_total",
        kind: Kind::Counter,
        labels: LABELS,
        about: "Looks: runs of a script that ended, events of processes and files",
        read: |present, samples| each(present, samples, |check| check.counts.looks),
    },
    Metric {
        name: "hafleet_agent_check_failures_total",
        kind: Kind::Counter,
        labels: LABELS,
        about: "Runs of a script that failed, whatever `fall` made of it",
        read: |present, samples| each(present, samples, |check| check.counts.failures),
    },
    Metric {
        name: "hafleet_agent_check_timeouts_total",
        kind: Kind::Counter,
        labels: LABELS,
        about: "Runs of a script that were ended by their time-out",
        read: |present, samples| each(present, samples, |check| check.counts.timeouts),
    },
    Metric {
        name: "hafleet_agent_check_skipped_total",
        kind: Kind::Counter,
        labels: LABELS,
        about: "Runs that were due while the one before was not over",
        read: |present, samples| each(present, samples, |check| check.counts.skipped),
    },
    Metric {
        name: "hafleet_agent_check_not_tried_total",
        kind: Kind::Counter,
        labels: LABELS,
        about: "Runs that this host had no process, memory or descriptor for",
        read: |present, samples| each(present, samples, |check| check.counts.not_tried),
    },
    Metric {
        name: "hafleet_agent_check_changes_total",
        kind: Kind::Counter,
        labels: LABELS,
        about: "Changes of a check's result",
        read: |present, samples| each(present, samples, |check| check.counts.changes),
    },
];

fn each(present: &Present, samples: &mut Samples, number: impl Fn(&CheckStatus) -> u64) {
    for check in &present.checks {
        samples.add([&check.check, &check.kind], number(check));
    }
}
