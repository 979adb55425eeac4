//! A node that cannot read its standing orders.

use alloc::{format, string::String, vec::Vec};

use super::fact;
use crate::{
    effect::{CauseCode, FindingKind, Severity},
    ledger::{Judgement, Ledger, Report, Subject},
    model::NodeName,
    node::Node,
    time::Instant,
};

/// Fires at once: a fence may be among the orders, so that the node holds everything back until somebody has looked. Also in
/// maintenance, which is an order itself: nobody else would notice that it ends with the file.
pub(crate) fn judge(
    name: &NodeName,
    node: &Node,
    fresh: bool,
    ledger: &mut Ledger,
    now: Instant,
) -> Option<Instant> {
    let judgement = match &node.orders_unreadable {
        _ if !fresh => Judgement::Unknown,
        Some((_, since)) => {
            Judgement::Present { since: *since, ready: Some(now), severity: Severity::Warning }
        }
        None => Judgement::Absent,
    };
    let subject = Subject::Node(name.clone());
    let report = || (node.site.clone(), report(name, node, now));
    ledger.judge(&subject, FindingKind::OrdersUnreadable, judgement, true, now, report)
}

fn report(name: &NodeName, node: &Node, now: Instant) -> Report {
    let why = node.orders_unreadable.as_ref().map_or_else(String::new, |(why, _)| why.clone());
    let summary = format!("{name} cannot read its standing orders");
    let facts = [("why", why.clone())];
    Report {
        summary: format!(
            "{name} cannot read its standing orders and serves nothing: a fence may be among them"
        ),
        cause_code: CauseCode::FileDamaged,
        cause: why,
        action: format!(
            "on {name}: look at orders.json in its state directory; when it is sure that it may serve, move the file away, then: \
             systemctl reload ha-agent"
        ),
        evidence: Vec::from([fact(
            "orders_unreadable",
            Some(name),
            node.heard_at.unwrap_or(now),
            summary,
            facts,
        )]),
    }
}
