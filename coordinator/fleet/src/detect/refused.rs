//! A running agent that did not take its last configuration.

use alloc::{format, string::ToString, vec::Vec};

use crate::{
    effect::{CauseCode, FindingKind, Severity},
    ledger::{Judgement, Ledger, Report, Subject},
    model::NodeName,
    node::Node,
    time::Instant,
};

use super::fact;

/// How much of what is wrong stands in the cause. The evidence has it all.
const CAUSE_LEN: usize = 400;

/// Fires at once while the last configuration that came to a fresh node is refused: somebody changed a file, reloaded, and may
/// believe that it runs. Over when one is taken or the agent starts anew. Of a node in maintenance nothing is raised: its
/// configuration is being worked on.
pub(crate) fn judge(
    name: &NodeName,
    node: &Node,
    fresh: bool,
    ledger: &mut Ledger,
    now: Instant,
) -> Option<Instant> {
    let judgement = match &node.refused {
        _ if !fresh => Judgement::Unknown,
        Some(_) if node.maintenance => Judgement::Unknown,
        Some((_, since)) => {
            Judgement::Present { since: *since, ready: Some(now), severity: Severity::Warning }
        }
        None => Judgement::Absent,
    };
    let subject = Subject::Node(name.clone());
    let why = node.refused.as_ref().map(|(why, _)| why.as_str()).unwrap_or_default();
    let report = || (node.site.clone(), report(name, node, why, now));
    ledger.judge(&subject, FindingKind::ConfigRefused, judgement, true, now, report)
}

fn report(name: &NodeName, node: &Node, why: &str, now: Instant) -> Report {
    let places: Vec<&str> = why.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut cause = places.join("; ");
    if cause.len() > CAUSE_LEN {
        cause.truncate(cause.floor_char_boundary(CAUSE_LEN));
        cause.push('…');
    }
    let facts = [("why", why.to_string())];
    let summary = format!("{name} refused the configuration that came to it");
    Report {
        summary: format!("{name} did not take its last configuration; the one before it runs on"),
        cause_code: CauseCode::ConfigInvalid,
        cause,
        action: format!(
            "on {name}: ha-agent check (with the options of its unit), then: systemctl reload ha-agent"
        ),
        evidence: Vec::from([fact(
            "configuration_refused",
            Some(name),
            node.heard_at.unwrap_or(now),
            summary,
            facts,
        )]),
    }
}
