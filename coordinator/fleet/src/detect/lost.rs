//! A node that is not heard from.

use alloc::{format, string::ToString, vec::Vec};
use core::time::Duration;

use crate::{
    effect::{CauseCode, FindingKind, Severity},
    fleet::Windows,
    ledger::{Judgement, Ledger, Report, Subject},
    model::NodeName,
    node::Node,
    time::Instant,
    words::span,
};

use super::{fact, sooner};

/// Heartbeats come every second; two of them are always waited for.
pub(crate) const GRACE_LEAST: Duration = Duration::from_secs(2);

/// Fires when a node that was heard before, in this life of the coordinator or an earlier one, has been silent for
/// `windows.agent_lost`, counted from the coordinator's start at the earliest and never before its grace is over. A node
/// that was never heard, such as one that has a token and has not joined, is not lost.
///
/// An agent that said it was being stopped (its instances all went to INIT with the reason `stopped`) is lost as well,
/// for nobody guards that host now, but only as information and with that cause. Of a node in maintenance nothing is
/// raised: it is expected to fall silent.
pub(crate) fn judge(
    name: &NodeName,
    node: &Node,
    windows: &Windows,
    grace_until: Option<Instant>,
    ledger: &mut Ledger,
    now: Instant,
) -> Option<Instant> {
    let fresh = node.is_fresh(now, windows.fresh);
    let lost_at = node.silent_from.map(|from| {
        let lost_at = from + windows.agent_lost;
        grace_until.map_or(lost_at, |until| lost_at.max(until))
    });
    let severity = if node.was_stopped() { Severity::Info } else { Severity::Warning };
    let judgement = match (fresh, lost_at, node.silent_from) {
        (true, _, _) => Judgement::Absent,
        (false, _, _) if node.maintenance => Judgement::Unknown,
        (false, Some(lost_at), Some(since)) if lost_at <= now => {
            Judgement::Present { since, ready: Some(now), severity }
        }
        (false, _, _) => Judgement::Unknown,
    };
    let subject = Subject::Node(name.clone());
    let report = || (node.site.clone(), report(name, node, now));
    let wake = ledger.judge(&subject, FindingKind::AgentLost, judgement, true, now, report);
    sooner(wake, lost_at.filter(|at| !fresh && *at > now))
}

fn report(name: &NodeName, node: &Node, now: Instant) -> Report {
    let (cause_code, cause, action) = if node.was_stopped() {
        (
            CauseCode::StoppedOnPurpose,
            format!("the agent on {name} was stopped on purpose: it said so before its stream ended"),
            format!("on {name}: systemctl start ha-agent"),
        )
    } else if node.connected {
        (
            CauseCode::AgentStalled,
            format!("the stream of {name} is open but nothing comes: its agent or its host is frozen"),
            format!("on {name}: ha-agent status"),
        )
    } else {
        (
            CauseCode::NodeUnreachable,
            format!(
                "the stream of {name} has ended: the agent or its host is down, or its management line is cut"
            ),
            format!("on {name}: systemctl status ha-agent"),
        )
    };
    let heard = match node.heard_at {
        Some(at) => format!("its last snapshot came {} ago", span(now.since(at))),
        None => "no snapshot came since the coordinator's start".to_string(),
    };
    let holds: Vec<_> = node
        .instances
        .iter()
        .filter(|(instance, known)| node.last_known(instance, known).state == crate::VrrpState::Master)
        .map(|(instance, _)| instance.clone())
        .collect();
    let facts = [
        ("connected", node.connected.to_string()),
        ("stopped_on_purpose", node.was_stopped().to_string()),
        ("last_master_of", holds.join(" ")),
    ];
    let at = node.heard_at.or(node.silent_from).unwrap_or(now);
    Report {
        summary: format!("{name} is not heard any more"),
        cause_code,
        cause,
        action,
        evidence: [fact("silent", Some(name), at, format!("{name}: {heard}"), facts)].into(),
    }
}
