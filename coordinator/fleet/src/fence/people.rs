//! What people are told about fencing, as findings.

use alloc::{collections::BTreeSet, format, string::ToString, vec::Vec};
use core::time::Duration;

use crate::{
    effect::{CauseCode, FindingKind, Severity},
    fence::{Aftercare, FenceState, Mode, Operation, RefusalCode as Code, Refused, Rung},
    fleet::Fleet,
    ledger::{Judgement, Report, Subject},
    time::Instant,
    words::list,
};

/// What is refused for a moment only is not worth a message.
const LASTS: Duration = Duration::from_secs(5);

impl Fleet {
    /// Brings the findings about fencing up to date.
    pub(super) fn fence_tell_people(&mut self, now: Instant) {
        let meant: Vec<bool> = self.fence.refused.keys().map(|key| self.fence_is_meant(key)).collect();
        let Self { fence, ledger, .. } = self;
        let mut present = BTreeSet::new();
        for open in fence.operations.values() {
            let row = &open.row;
            let Some((severity, action)) = worth(row) else { continue };
            let judgement = Judgement::Present { since: row.proposed_at, ready: Some(now), severity };
            let subject = Subject::Node(row.target.clone());
            let report = || (row.site.clone(), report(row, action));
            ledger.judge(&subject, FindingKind::Fence, judgement, true, now, report);
            present.insert(subject);
        }
        let refused = fence.refused.iter().zip(meant).filter(|(_, meant)| *meant).map(|(refused, _)| refused);
        for (key, refused) in refused {
            let judgement = refused.judgement();
            let subject = Subject::Group(key.clone());
            let report = || (key.site.clone(), refused.report(&key.address.to_string()));
            ledger.judge(&subject, FindingKind::FenceRefused, judgement, true, now, report);
            present.insert(subject);
        }
        for subject in fence.told.difference(&present) {
            let kind = match subject {
                Subject::Node(_) => FindingKind::Fence,
                Subject::Group(_) => FindingKind::FenceRefused,
            };
            ledger.end(subject, kind, now, None);
        }
        fence.told = present;
    }

    /// After a start findings about fencing may be open that nothing is known of any more.
    pub(super) fn fence_findings_from_store(&mut self) {
        self.fence.told = self.ledger.subjects().into_iter().collect();
    }

    /// Without a policy nobody looks after findings about fencing.
    pub(crate) fn fence_end_findings(&mut self, now: Instant) {
        if self.fence.policy.is_some() {
            return;
        }
        for subject in self.ledger.subjects() {
            for kind in [FindingKind::Fence, FindingKind::FenceRefused, FindingKind::FencePathBroken] {
                self.ledger.end(&subject, kind, now, Some("fencing is not configured any more"));
            }
        }
    }

    /// Whether people are to hear of refusals about a group: in `dry_run` the audit log has them.
    fn fence_is_meant(&self, key: &crate::model::GroupKey) -> bool {
        match self.fence_mode(key) {
            Mode::Disabled | Mode::DryRun => false,
            Mode::Approve | Mode::Auto => true,
        }
    }
}

/// How bad it is, and what to do; `None` when there is nothing to tell.
fn worth(row: &Operation) -> Option<(Severity, alloc::string::String)> {
    let (id, target) = (row.id.0, &row.target);
    Some(match row.state {
        FenceState::Proposed | FenceState::Denied | FenceState::Released => return None,
        FenceState::AwaitingApproval => (
            Severity::Critical,
            format!(
                "hactl fence approve fence/{id}, or: hactl fence deny fence/{id}; hactl describe fence {target}"
            ),
        ),
        FenceState::Approved | FenceState::Demoting | FenceState::Escalating => {
            (Severity::Warning, format!("hactl describe fence {target}; hactl fence pause stops it"))
        }
        FenceState::Running(Rung::Network | Rung::Power) | FenceState::Verifying(_) | FenceState::Fenced => {
            (Severity::Warning, format!("hactl describe fence {target}"))
        }
        FenceState::Resolved | FenceState::Quarantined => match row.aftercare {
            Aftercare::Pending | Aftercare::Done => {
                (Severity::Warning, format!("when {target} is well again: hactl fence release {target}"))
            }
            Aftercare::Escalated => {
                (Severity::Critical, format!("hactl get groups; hactl describe fence {target}"))
            }
        },
        FenceState::Failed | FenceState::Unknown => (
            Severity::Critical,
            format!(
                "when {target} is down, and you have looked: hactl fence confirm {target}; another step: hactl fence run \
                 {target} --level network|power; when it is well: hactl fence release {target}"
            ),
        ),
    })
}

fn report(row: &Operation, action: alloc::string::String) -> Report {
    let more = match row.aftercare {
        Aftercare::Escalated if row.state.has_worked() => {
            "; afterwards there was not exactly one holder that announced itself"
        }
        Aftercare::Pending | Aftercare::Done | Aftercare::Escalated => "",
    };
    Report {
        summary: format!("{} against {} is {}: {}{more}", row.id, row.target, row.state, row.detail),
        cause_code: CauseCode::Unknown,
        cause: format!("{}; it is about {}", row.explanation, list(row.groups.iter())),
        action,
        evidence: row.evidence.clone(),
    }
}

impl Refused {
    fn judgement(&self) -> Judgement {
        let page = self.refusal.code == Code::HealthDisagrees;
        let severity = if page { Severity::Critical } else { Severity::Warning };
        Judgement::Present { since: self.since, ready: Some(self.since + LASTS), severity }
    }

    fn report(&self, address: &str) -> Report {
        Report {
            summary: format!("the split brain of {address} is not ended by fencing: {}", self.refusal.words),
            cause_code: CauseCode::Unknown,
            cause: format!("{}", self.refusal.code),
            action: format!("hactl explain {address}; a person must decide who lets go"),
            evidence: Vec::new(),
        }
    }
}
