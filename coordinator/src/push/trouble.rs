//! Whether something happened that an apply was not meant to bring.

use std::collections::BTreeSet;

use hafleet_fleet::{Finding, FindingId, FindingKind, FindingStatus, Severity};
use hafleet_proto::v1::{self, VrrpState};
use tokio::sync::broadcast::{self, error::TryRecvError};

use super::change::Touched;
use crate::{
    clock::micros,
    effects::FleetGone,
    shared::{Change, Shared},
};

/// Looks at what the apply touches.
pub struct Lookout {
    changes: broadcast::Receiver<Change>,
    touched: Touched,
    /// When the apply was begun: what began before is not its doing …
    begun_us: i64,
    /// … unless it was not there yet when this look-out began, before any node committed: a finding counts from when its
    /// condition began, and a node dates that by its own clock. `None` in a later life of the coordinator.
    before: Option<BTreeSet<FindingId>>,
}

impl Lookout {
    /// From now on. `is_first`: no node has committed yet.
    pub async fn new(
        shared: &Shared,
        touched: Touched,
        begun_us: i64,
        is_first: bool,
    ) -> Result<Self, FleetGone> {
        let changes = shared.changes.subscribe();
        let before = if is_first {
            let view = shared.fleet.view().await?;
            Some(view.findings.into_iter().map(|finding| finding.id).collect())
        } else {
            None
        };
        Ok(Self { changes, touched, begun_us, before })
    }

    /// What it looks at.
    pub fn touched(&self) -> &Touched {
        &self.touched
    }

    /// What happened, in words; `None` when all is as it should be. While nodes commit, `is_whole` is false: members may then
    /// be configured differently.
    pub async fn trouble(&mut self, shared: &Shared, is_whole: bool) -> Result<Option<String>, FleetGone> {
        loop {
            match self.changes.try_recv() {
                Ok(Change::Transition(transition)) => {
                    if let Some(trouble) = self.unplanned(&transition) {
                        return Ok(Some(trouble));
                    }
                }
                Ok(Change::Finding(_) | Change::Fleet) => {}
                Err(TryRecvError::Lagged(missed)) => {
                    return Ok(Some(format!("{missed} changes came too fast to be judged")));
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let view = shared.fleet.view().await?;
        let new = view.findings.iter().find(|finding| self.is_new(finding, is_whole));
        Ok(new.map(|finding| format!("{}: {}", finding.kind.as_str(), finding.summary)))
    }

    fn is_new(&self, finding: &Finding, is_whole: bool) -> bool {
        let is_true = match finding.status {
            FindingStatus::Firing => true,
            // At the end the whole fleet agrees, or it never will.
            FindingStatus::Pending => is_whole && finding.kind == FindingKind::ConfigMismatch,
            FindingStatus::Resolved => false,
        };
        let is_meant = finding.kind == FindingKind::ConfigMismatch && !is_whole;
        is_true
            && !is_meant
            && finding.severity > Severity::Info
            && (micros(finding.since) >= self.begun_us
                || self.before.as_ref().is_some_and(|before| !before.contains(&finding.id)))
            && self.touched.subjects.contains(&finding.subject)
    }

    /// A member that cannot serve is never meant; another change of state only where the holder may change.
    fn unplanned(&self, transition: &v1::TransitionRecord) -> Option<String> {
        if !self.touched.nodes.contains(&transition.node) {
            return None;
        }
        let mut named = self.touched.groups.iter().filter(|(key, _)| key.name == transition.instance);
        let (_, may_move) = named.next()?;
        let v1::TransitionRecord { node, instance, reason, detail, .. } = transition;
        let words = |state: i32| {
            VrrpState::try_from(state).map_or("?", |state| match state {
                VrrpState::Unspecified => "?",
                VrrpState::Init => "INIT",
                VrrpState::Backup => "BACKUP",
                VrrpState::Master => "MASTER",
                VrrpState::Fault => "FAULT",
            })
        };
        let is_fault = transition.to == i32::from(VrrpState::Fault);
        (is_fault || !may_move).then(|| {
            let (from, to) = (words(transition.from), words(transition.to));
            format!("{instance} on {node} went from {from} to {to} ({reason}: {detail})")
        })
    }
}
