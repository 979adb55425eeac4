//! What the core wants of fencing, in its order: what comes after a row is done after the row is committed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hafleet_fleet::{
    Input, Instant,
    fence::{Audit, FenceEffect, FenceInput, FenceRow, FenceView, OperationId, Refusal},
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
    store::{AuditOutcome, AuditRow, FenceCommit, StoreError},
};

/// A step that was decided longer ago is not begun: what it rests on is no older than 5 s at its decision.
const DECIDED_MAX: Duration = Duration::from_secs(2);
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

/// What the task keeps for fencing.
#[derive(Debug)]
pub(super) struct Fencing {
    pub(super) under_way: JoinSet<Option<FenceInput>>,
    waiting: BTreeMap<u64, oneshot::Sender<FenceAnswer>>,
    next_request: u64,
    inert: Option<Arc<str>>,
}

impl Fencing {
    pub(super) fn new(inert: Option<Arc<str>>) -> Self {
        Self { under_way: JoinSet::new(), waiting: BTreeMap::new(), next_request: 0, inert }
    }

    /// Somebody waits for the answer to this request. The core answers within the same input.
    pub(super) fn waits(&mut self, answer: oneshot::Sender<FenceAnswer>) -> u64 {
        self.next_request += 1;
        self.waiting.insert(self.next_request, answer);
        self.next_request
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
    pub(super) async fn fence(&mut self, effect: FenceEffect, at: Instant) -> Option<Input> {
        match effect {
            FenceEffect::Write(row) => Some(Input::Fence(self.write_fence(&row).await)),
            FenceEffect::Audit(line) => {
                self.audit_fence(line).await;
                None
            }
            FenceEffect::Answer { request, answer } => {
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

    async fn write_fence(&mut self, written: &FenceRow) -> FenceInput {
        let revision = written.standing.revision;
        let operation = written.operation.as_ref().map(|operation| operation.id);
        let why = match self.commit_fence(written).await {
            Ok(FenceCommit::Written) => return FenceInput::Written { operation, revision },
            Ok(FenceCommit::Stale { epoch, revision }) => {
                format!("the store has epoch {epoch} and revision {revision}: another coordinator leads")
            }
            Err(why) => why,
        };
        tracing::error!("nothing more will be fenced by this coordinator: {why}");
        self.fencing.inert = Some(why.as_str().into());
        FenceInput::WriteRefused { revision, why }
    }

    async fn commit_fence(&mut self, written: &FenceRow) -> Result<FenceCommit, String> {
        let now_us = self.parts.clock.now_us();
        let said_json = |error: serde_json::Error| format!("it cannot be put into JSON: {error}");
        let standing = row::standing_row(&written.standing, now_us).map_err(said_json)?;
        let operation = written.operation.as_ref().map(|operation| row::operation_row(operation, now_us));
        let operation = operation.transpose().map_err(said_json)?;
        let store = self.parts.store.clone();
        let what = written.operation.as_ref().map_or("fencing".to_owned(), |one| one.id.to_string());
        let attempt = || store.commit_fence(&standing, operation.as_ref());
        self.persist(&what, attempt).await.map_err(|error| said(&error))
    }

    /// Rule 20: what is decided and what is refused is written down before what follows from it.
    async fn audit_fence(&mut self, line: Audit) {
        let row = audit_row(&line);
        tracing::info!(actor = row.actor, subject = row.subject, outcome = %row.outcome, "{}", row.detail);
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

/// `fence.approve` for what a person asks, `fence` for all else.
fn audit_row(line: &Audit) -> AuditRow {
    let action = match line.action.strip_prefix("verb ") {
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
