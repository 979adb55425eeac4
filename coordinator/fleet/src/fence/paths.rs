//! Fence paths: whether what would fence a node answers, before it is needed (rule 18).

use alloc::{collections::BTreeSet, format, string::ToString, vec::Vec};
use core::time::Duration;

use crate::{
    bounds,
    detect::{fact, sooner},
    effect::{CauseCode, FindingKind, Severity},
    fence::{Device, FenceEffect, Outcome, Rung},
    fleet::Fleet,
    ledger::{Judgement, Report, Subject},
    model::NodeName,
    time::Instant,
    words::list,
};

/// Nobody waits longer for an answer, unless a status has that much time.
const ANSWER: Duration = Duration::from_secs(120);
/// What an answer may take beside two statuses: the one before it, of a person's test, and its own.
const TURN: Duration = Duration::from_secs(60);

/// One device as it last answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Path {
    asked_at: Option<Instant>,
    waiting: bool,
    /// When it last answered well.
    worked_at: Option<Instant>,
    /// Since when, and how, it does not.
    broken: Option<(Instant, Outcome)>,
}

impl Path {
    pub(crate) fn works(&self, lately: Duration, now: Instant) -> bool {
        self.broken.is_none() && self.worked_at.is_some_and(|at| now.since(at) < lately)
    }

    fn breaks(&mut self, outcome: Outcome, now: Instant) {
        self.broken = Some((self.broken.map_or(now, |(at, _)| at), outcome));
    }

    pub(crate) fn works_since(&self) -> Option<Instant> {
        self.worked_at.filter(|_| self.broken.is_none())
    }
}

impl Fleet {
    /// Asks the devices whose turn it is, a few at once, never two of one name, nor one that an operation uses: those come
    /// when it is free. Says when the next one's is.
    pub(super) fn fence_verify_paths(&mut self, now: Instant) -> Option<Instant> {
        if let Some(due) = self.fence.paths_due.filter(|due| *due > now) {
            return Some(due);
        }
        let policy = self.fence.policy.as_ref()?;
        let every = policy.windows.path;
        let answer = ANSWER.max(policy.windows.poll * 2 + TURN);
        let mut in_use: BTreeSet<Device> = self
            .fence
            .operations
            .values()
            .filter_map(|open| policy.device(&open.row.target, open.row.state.rung()?).cloned())
            .collect();
        let mut wake = None;
        let (mut due, mut silent) = (Vec::new(), Vec::new());
        let mut waiting = 0;
        for (node, devices) in &policy.devices {
            for (rung, device) in devices {
                let path = self.fence.paths.entry((node.clone(), *rung)).or_default();
                if path.waiting && path.asked_at.is_some_and(|at| now >= at + answer) {
                    path.waiting = false;
                    path.breaks(Outcome::TimedOut, now);
                    silent.push(node.clone());
                }
                if path.waiting {
                    waiting += 1;
                    in_use.insert(device.clone());
                }
                let at = match (path.asked_at, path.waiting) {
                    (None, _) => now,
                    (Some(at), true) => at + answer,
                    (Some(at), false) => at + every,
                };
                if at <= now {
                    due.push((node.clone(), *rung, device.clone()));
                } else {
                    wake = sooner(wake, Some(at));
                }
            }
        }
        for (node, rung, device) in due {
            if waiting >= bounds::FENCE_PATHS || !in_use.insert(device.clone()) {
                wake = sooner(wake, Some(now + Duration::from_secs(1)));
                continue;
            }
            waiting += 1;
            if let Some(path) = self.fence.paths.get_mut(&(node.clone(), rung)) {
                (path.asked_at, path.waiting) = (Some(now), true);
            }
            wake = sooner(wake, Some(now + answer));
            self.fence_do(FenceEffect::VerifyPath { node, rung, device });
        }
        for node in silent {
            self.fence_tell_paths(&node, now);
        }
        self.fence.paths_due = Some(wake.unwrap_or(now + every));
        wake
    }

    pub(super) fn fence_path_verified(&mut self, node: NodeName, rung: Rung, outcome: Outcome, now: Instant) {
        let Some(path) = self.fence.paths.get_mut(&(node.clone(), rung)).filter(|path| path.waiting) else {
            self.counters.inputs_unexpected += 1;
            return;
        };
        path.waiting = false;
        match outcome {
            Outcome::Done => (path.worked_at, path.broken) = (Some(now), None),
            Outcome::Failed | Outcome::TimedOut | Outcome::Unknown => path.breaks(outcome, now),
        }
        self.fence.paths_due = None;
        self.fence_tell_paths(&node, now);
    }

    /// A status that an operation believes says as much as a verification, which waits while the operation uses the device.
    pub(super) fn fence_path_answered(&mut self, node: &NodeName, rung: Rung, now: Instant) {
        let Some(path) = self.fence.paths.get_mut(&(node.clone(), rung)) else { return };
        (path.worked_at, path.broken) = (Some(now), None);
        self.fence_tell_paths(node, now);
    }

    /// Nodes without a device have no broken path.
    pub(super) fn fence_end_path_findings(&mut self, now: Instant) {
        for subject in self.ledger.subjects() {
            let Subject::Node(name) = &subject else { continue };
            if !self.fence.paths.keys().any(|(node, _)| node == name) {
                let why = "it is not to be fenced by a device any more";
                self.ledger.end(&subject, FindingKind::FencePathBroken, now, Some(why));
            }
        }
    }

    /// One finding for each node with a device that does not answer.
    fn fence_tell_paths(&mut self, name: &NodeName, now: Instant) {
        let Some(node) = self.nodes.get(name) else { return };
        let own = self.fence.paths.range((name.clone(), Rung::Network)..=(name.clone(), Rung::Power));
        let broken: Vec<(Rung, Instant, Outcome)> = own
            .filter_map(|((_, rung), path)| path.broken.map(|(at, outcome)| (*rung, at, outcome)))
            .collect();
        let (subject, kind) = (Subject::Node(name.clone()), FindingKind::FencePathBroken);
        let Some(since) = broken.iter().map(|(_, at, _)| *at).min() else {
            // What answers once is well: there is nothing to wait for.
            return self.ledger.end(&subject, kind, now, None);
        };
        let judgement = Judgement::Present { since, ready: Some(now), severity: Severity::Warning };
        let site = node.site.clone();
        self.ledger.judge(&subject, kind, judgement, true, now, || (site, report(name, &broken)));
    }
}

fn report(name: &NodeName, broken: &[(Rung, Instant, Outcome)]) -> Report {
    let evidence = broken.iter().map(|(rung, at, outcome)| {
        let facts = [("level", rung.to_string()), ("outcome", outcome.as_str().to_string())];
        fact("fence_path", Some(name), *at, format!("{rung}: {}", outcome.as_str()), facts)
    });
    let slow = broken.iter().any(|(_, _, outcome)| *outcome == Outcome::TimedOut);
    let slow = if slow { "; a device that is only slow needs more of `fencing.windows.poll`" } else { "" };
    Report {
        summary: format!(
            "{name} cannot be fenced by {}: the fence path does not answer",
            list(broken.iter().map(|(rung, _, _)| rung))
        ),
        cause_code: CauseCode::Unknown,
        cause: format!("its last status was {}", list(broken.iter().map(|(_, _, outcome)| outcome.as_str()))),
        action: format!("hactl describe fence {name}; look at the device and its credentials{slow}"),
        evidence: evidence.collect(),
    }
}
