//! The life of every finding that was written, and the store that it was written to.

use std::collections::{BTreeMap, BTreeSet};

use hafleet_fleet::{
    CauseCode, Finding, FindingId, FindingKind, FindingStatus, Input, Instant, RestoredFinding, Severity,
    view::FleetView,
};

use super::present::{NODES, address, node, site};
use crate::draw::Draw;

/// How many facts a finding has at most.
const EVIDENCE: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Lives {
    stored: BTreeMap<FindingId, Finding>,
    told: BTreeSet<(FindingId, FindingStatus, Severity)>,
    /// Numbers of a life before the first.
    foreign: u64,
}

impl Lives {
    /// A finding is written: once more as it was, worse, or over; and nothing after its end.
    pub fn wrote(&mut self, finding: Finding, notify: bool) {
        let id = finding.id.clone();
        let text = format!("{finding:#?}");
        assert_ne!(finding.status, FindingStatus::Pending, "what is pending is not written: {text}");
        assert_eq!(finding.resolved_at.is_some(), finding.status == FindingStatus::Resolved, "{text}");
        assert!(
            finding.resolved_at.is_none_or(|end| end >= finding.since),
            "it ended before it began: {text}"
        );
        assert!(finding.evidence.len() <= EVIDENCE && !finding.summary.is_empty(), "{text}");
        let expected = format!("{}@{}#", finding.kind, finding.subject);
        assert!(id.0.starts_with(&expected), "{text}");
        // When the numbers are used up, the last one is every finding's.
        if id.0.ends_with(&format!("#{}", u64::MAX)) {
            return;
        }
        if let Some(before) = self.stored.get(&id) {
            assert_ne!(before.status, FindingStatus::Resolved, "something is said after its end: {text}");
            assert!(finding.severity >= before.severity, "it gets better without ending: {text}");
        }
        if notify {
            let state = (id.clone(), finding.status, finding.severity);
            assert!(self.told.insert(state), "told twice: {text}");
        }
        self.stored.insert(id, finding);
    }

    /// What a coordinator is given at its start.
    pub fn stored(&self) -> Vec<Input> {
        let numbered = self.stored.values().filter_map(|finding| {
            let last = finding.id.0.rsplit_once('#')?.1.parse().ok()?;
            Some(Input::FindingNumbered { kind: finding.kind, subject: finding.subject.clone(), last })
        });
        let open = self.stored.values().filter(|finding| finding.status == FindingStatus::Firing);
        let restored =
            open.map(|finding| Input::FindingRestored(RestoredFinding { finding: finding.clone() }));
        numbered.chain(restored).collect()
    }

    /// A number that is as good as any.
    pub fn any_number(&self, draw: &mut Draw<'_>) -> Input {
        let last = draw.pick(&[0, 7, 1_000_000, u64::MAX]);
        Input::FindingNumbered { kind: draw.pick(FindingKind::ALL), subject: subject(draw), last }
    }

    /// A finding that somebody else wrote, of a subject about which nothing of that kind is open. It may make no sense.
    pub fn foreign(&mut self, draw: &mut Draw<'_>, now: Instant) -> Option<Finding> {
        let (kind, subject) = (draw.pick(FindingKind::ALL), subject(draw));
        let mut open = self.stored.values().filter(|finding| finding.status == FindingStatus::Firing);
        if open.any(|finding| finding.kind == kind && finding.subject == subject) {
            return None;
        }
        self.foreign += 1;
        let tail = draw.pick(&["", "x"]);
        let finding = Finding {
            id: FindingId(format!("{kind}@{subject}#{}{tail}", 1_000 + self.foreign)),
            kind,
            severity: draw.pick(Severity::ALL),
            subject,
            site: site(0),
            status: draw.pick(FindingStatus::ALL),
            since: draw.pick(&[now, Instant::default()]),
            resolved_at: None,
            summary: "from elsewhere".to_owned(),
            cause_code: draw.pick(CauseCode::ALL),
            cause: String::new(),
            action: String::new(),
            evidence: Vec::new(),
        };
        self.stored.insert(finding.id.clone(), finding.clone());
        Some(finding)
    }

    /// What is shown as open is open, and shown once.
    pub fn check_view(&self, view: &FleetView) {
        let ids: BTreeSet<&FindingId> = view.findings.iter().map(|finding| &finding.id).collect();
        assert_eq!(ids.len(), view.findings.len(), "a finding is shown twice: {:#?}", view.findings);
        for finding in &view.findings {
            assert_ne!(finding.status, FindingStatus::Resolved, "{finding:#?}");
            let is_over = self.stored.get(&finding.id).is_some_and(|it| it.status == FindingStatus::Resolved);
            assert!(!is_over, "{} is shown though it is over", finding.id);
        }
    }
}

/// Of a node, of a group, or of nothing.
fn subject(draw: &mut Draw<'_>) -> String {
    match draw.below(3) {
        0 => format!("node/{}", node(draw.byte() % (NODES + 1))),
        1 => format!("{}/{}", site(draw.byte() & 1), address(draw.byte() & 3)),
        _ => draw.pick(&["", "/", "dc0/", "dc0/not an address", "a/b/192.0.2.100"]).to_owned(),
    }
}
