//! What the core wants of fencing, in its order: what comes after a row is done after the row is committed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hafleet_fleet::{
    Input, Instant,
    fence::{Audit, FenceEffect, FenceInput, FenceRow, FenceView, OperationId, Refusal, RefusalCode},
};
use tokio::{
    sync::oneshot,
    task::{JoinError, JoinSet},
};

use super::Keeper;
use crate::{
    api::status::said,
    clock::micros,
    fencing::{row, steps},
    finding::EvidenceRecord,
    store::{AuditOutcome, AuditRow, FenceCommit, FenceEntry, StoreError},
};

#[cfg(test)]
mod tests;

/// A step that was decided longer ago is not begun: what it rests on is no older than 5 s at its decision.
const DECIDED_MAX: Duration = Duration::from_secs(2);
/// What people ask for begins with it in the core's lines of the audit log.
const VERB: &str = "verb ";
/// Entries of one transaction.
const ENTRIES_MAX: usize = 256;
/// Steps under way at once: far more than the core hands out.
const STEPS_MAX: usize = 64;

/// The answer to a person: the operation that it is about, if any, or why it is not done.
pub type FenceAnswer = Result<Option<OperationId>, Refusal>;

/// Fencing as it is now.
#[derive(Clone, Debug)]
pub struct Fences {
    /// As the core sees it.
    pub view: FenceView,
    /// Why nothing is fenced by this coordinator, if that is so.
    pub inert: Option<Arc<str>>,
}

/// What is not written down yet.
#[derive(Debug)]
pub(super) enum Entry {
    /// A row, with the standing.
    Write(Box<FenceRow>),
    /// A line of the audit log.
    Audit(Audit),
}

/// What the task keeps for fencing.
#[derive(Debug)]
pub(super) struct Fencing {
    pub(super) under_way: JoinSet<Option<FenceInput>>,
    waiting: BTreeMap<u64, oneshot::Sender<FenceAnswer>>,
    next_request: u64,
    entries: Vec<Entry>,
    inert: Option<Arc<str>>,
}

impl Fencing {
    pub(super) fn new(inert: Option<Arc<str>>) -> Self {
        Self {
            under_way: JoinSet::new(),
            waiting: BTreeMap::new(),
            next_request: 0,
            entries: Vec::new(),
            inert,
        }
    }

    /// Somebody waits for the answer to this request. The core answers within the same input.
    pub(super) fn waits(&mut self, answer: oneshot::Sender<FenceAnswer>) -> u64 {
        self.next_request += 1;
        self.waiting.insert(self.next_request, answer);
        self.next_request
    }

    /// The core made the answer before it could know that the row in front of it was refused: nobody is told that it is done.
    fn honest(&self, answer: FenceAnswer) -> FenceAnswer {
        match (answer, &self.inert) {
            (Ok(_), Some(why)) => Err(not_written(why)),
            (answer, _) => answer,
        }
    }
}

/// What a step has come to. One that panicked has said so; the core takes it for timed out.
pub(super) fn result(ended: Result<Option<FenceInput>, JoinError>) -> Option<FenceInput> {
    match ended {
        Ok(result) => result,
        Err(error) => {
            tracing::error!("a step of fencing failed: {error}");
            None
        }
    }
}

impl Keeper {
    pub(super) fn fences(&self) -> Fences {
        Fences { view: self.fleet.fences(), inert: self.fencing.inert.clone() }
    }

    /// Does what was decided `at` this instant, or begins to; what the core is to know of it at once.
    pub(super) fn fence(&mut self, effect: FenceEffect, at: Instant) -> Option<Input> {
        match effect {
            // They are entered before.
            FenceEffect::Write(_) | FenceEffect::Audit(_) => None,
            FenceEffect::Answer { request, answer } => {
                let answer = self.fencing.honest(answer);
                if let Some(waiting) = self.fencing.waiting.remove(&request) {
                    // An error means that the asker has gone away.
                    let _ = waiting.send(answer);
                }
                None
            }
            FenceEffect::Demote { .. }
            | FenceEffect::Withdraw { .. }
            | FenceEffect::Announce { .. }
            | FenceEffect::RunStep { .. }
            | FenceEffect::VerifyPath { .. } => {
                // Something before it may have waited for the database: it was decided by what was true then.
                let late = self.parts.clock.now().since(at);
                if late > DECIDED_MAX && steps::cannot_wait(&effect) {
                    let why = format!("decided {} ms ago", late.as_millis());
                    return steps::not_begun(&effect, &why).map(Input::Fence);
                }
                if self.fencing.under_way.len() >= STEPS_MAX {
                    let why = format!("{STEPS_MAX} steps are under way");
                    return steps::not_begun(&effect, &why).map(Input::Fence);
                }
                let steps = Arc::clone(&self.parts.steps);
                self.fencing.under_way.spawn(async move { steps.take(effect).await });
                None
            }
        }
    }

    /// Keeps it for the next commit: what comes one after the other is one transaction.
    pub(super) async fn enter(&mut self, entry: Entry) -> Vec<Input> {
        self.fencing.entries.push(entry);
        if self.fencing.entries.len() < ENTRIES_MAX { Vec::new() } else { self.write_fences().await }
    }

    /// Rules 11 and 20: what is decided, and what is refused, is written down before what follows from it.
    pub(super) async fn write_fences(&mut self) -> Vec<Input> {
        let entries = std::mem::take(&mut self.fencing.entries);
        if entries.is_empty() {
            return Vec::new();
        }
        let why = match self.commit_fences(&entries).await {
            Ok(FenceCommit::Written) => {
                return entries.iter().filter_map(Entry::written).map(Input::Fence).collect();
            }
            Ok(FenceCommit::Stale { epoch, revision }) => {
                format!("the store has epoch {epoch} and revision {revision}: another coordinator leads")
            }
            Err(why) => why,
        };
        let refused = entries.iter().find_map(Entry::written);
        // What was refused with them is written nevertheless; what a person wanted was not done, unlike the core thought.
        for entry in entries {
            if let Entry::Audit(mut line) = entry {
                if refused.is_some() && line.refused.is_none() && line.action.starts_with(VERB) {
                    let Refusal { code, words } = not_written(&why);
                    (line.refused, line.detail) = (Some(code), words);
                }
                self.audit_fence(&line).await;
            }
        }
        let Some(FenceInput::Written { revision, .. }) = refused else { return Vec::new() };
        tracing::error!("nothing more will be fenced by this coordinator: {why}");
        self.fencing.inert = Some(why.as_str().into());
        vec![Input::Fence(FenceInput::WriteRefused { revision, why })]
    }

    async fn commit_fences(&mut self, entries: &[Entry]) -> Result<FenceCommit, String> {
        let now_us = self.parts.clock.now_us();
        let rows: Result<Vec<FenceEntry>, serde_json::Error> =
            entries.iter().map(|entry| entry.row(now_us)).collect();
        let rows = rows.map_err(|error| format!("it cannot be put into JSON: {error}"))?;
        for row in &rows {
            if let FenceEntry::Audit(row) = row {
                tracing::info!(actor = row.actor, subject = row.subject, outcome = %row.outcome, "{}", row.detail);
            }
        }
        let store = self.parts.store.clone();
        self.persist("fencing", || store.commit_fence(&rows)).await.map_err(|error| said(&error))
    }

    async fn audit_fence(&mut self, line: &Audit) {
        let row = audit_row(line);
        let store = self.parts.store.clone();
        let saved: Result<(), StoreError> =
            self.persist("the audit of fencing", || store.append_audit(&row)).await;
        if let Err(error) = saved {
            tracing::error!(
                action = row.action,
                detail = row.detail,
                "not in the audit log: {}",
                said(&error)
            );
        }
    }
}

impl Entry {
    fn row(&self, now_us: i64) -> Result<FenceEntry, serde_json::Error> {
        match self {
            Self::Audit(line) => Ok(FenceEntry::Audit(audit_row(line))),
            Self::Write(row) => {
                let operation = row.operation.as_ref().map(|operation| row::operation_row(operation, now_us));
                Ok(FenceEntry::Write(row::standing_row(&row.standing, now_us)?, operation.transpose()?))
            }
        }
    }

    fn written(&self) -> Option<FenceInput> {
        match self {
            Self::Audit(_) => None,
            Self::Write(row) => Some(FenceInput::Written {
                operation: row.operation.as_ref().map(|operation| operation.id),
                revision: row.standing.revision,
            }),
        }
    }
}

/// Why nothing is done of what a person asked for.
fn not_written(why: &str) -> Refusal {
    Refusal {
        code: RefusalCode::NotLeader,
        words: format!("it could not be written down and is not done: {why}"),
    }
}

/// `fence.approve` for what a person asks, `fence` for all else.
fn audit_row(line: &Audit) -> AuditRow {
    let action = match line.action.strip_prefix(VERB) {
        Some(verb) => format!("fence.{verb}"),
        None => "fence".to_owned(),
    };
    let subject = match (&line.target, &line.group) {
        (Some(node), _) => node.0.clone(),
        (None, Some(group)) => group.to_string(),
        (None, None) => String::new(),
    };
    let mut detail = String::new();
    if let Some(operation) = line.operation {
        detail.push_str(&format!("{operation}: "));
    }
    detail.push_str(&line.action);
    if let Some(code) = line.refused {
        detail.push_str(&format!(", refused ({code})"));
    }
    if !line.detail.is_empty() {
        detail.push_str(&format!(": {}", line.detail));
    }
    if let (Some(_), Some(group)) = (&line.target, &line.group) {
        detail.push_str(&format!("; group {group}"));
    }
    if line.epoch != 0 {
        detail.push_str(&format!("; epoch {}", line.epoch));
    }
    let evidence: Vec<EvidenceRecord> = line.evidence.iter().map(EvidenceRecord::from).collect();
    if !evidence.is_empty()
        && let Ok(json) = serde_json::to_string(&evidence)
    {
        detail.push_str(&format!("; evidence {json}"));
    }
    AuditRow {
        at_us: micros(line.at),
        actor: line.actor.clone(),
        action,
        subject,
        outcome: if line.refused.is_some() { AuditOutcome::Refused } else { AuditOutcome::Done },
        detail,
    }
}
