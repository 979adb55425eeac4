//! Is the fleet well? One sentence and an exit code.

use hafleet_proto::v1::{Fleet, Node};
use serde::Serialize;

use crate::look::Tone;

/// What `status` says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The sentence.
    pub verdict: String,
    /// No critical or warning finding is firing.
    pub healthy: bool,
    /// Critical findings that are firing.
    pub critical: usize,
    /// Warnings that are firing.
    pub warning: usize,
}

impl Verdict {
    /// Judge the fleet.
    ///
    /// Only firing findings make it unhealthy: they already wait for their windows, so that a script that acts on
    /// the exit code is not woken by an election. What is not well and not (yet) a finding is in the sentence.
    pub fn of(fleet: &Fleet) -> Self {
        let firing = |severity: &str| {
            fleet.findings.iter().filter(|f| f.status == "firing" && f.severity == severity).count()
        };
        let (critical, warning) = (firing("critical"), firing("warning"));
        let healthy = critical + warning == 0;
        let verdict = if healthy { calm(fleet) } else { alarm(critical, warning) };
        Self { verdict, healthy, critical, warning }
    }

    /// Its colour.
    pub fn tone(&self) -> Tone {
        match (self.critical, self.warning) {
            (0, 0) if self.verdict.starts_with(WELL) => Tone::Good,
            (0, _) => Tone::Doubtful,
            (_, _) => Tone::Bad,
        }
    }
}

const WELL: &str = "fleet is well";

/// Nodes that should be heard and are not.
pub fn unheard(fleet: &Fleet) -> Vec<&Node> {
    fleet.nodes.iter().filter(|node| !node.fresh && !node.revoked && !in_maintenance(node)).collect()
}

/// People have put it into maintenance, and have not ended that.
pub fn in_maintenance(node: &Node) -> bool {
    node.orders.iter().any(|order| order.kind == "maintenance" && order.state != "withdrawing")
}

/// `1 node`, `2 nodes`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn alarm(critical: usize, warning: usize) -> String {
    match (critical, warning) {
        (0, warning) => count(warning, "warning"),
        (critical, 0) => count(critical, "critical finding"),
        (critical, warning) => {
            format!("{}, {}", count(critical, "critical finding"), count(warning, "warning"))
        }
    }
}

fn calm(fleet: &Fleet) -> String {
    if fleet.nodes.is_empty() {
        return "no node has joined yet".to_owned();
    }
    let findings =
        match fleet.findings.iter().map(|f| (f.status.as_str(), f.severity.as_str())).collect::<Vec<_>>() {
            none if none.is_empty() => "no findings".to_owned(),
            some => {
                let pending = some.iter().filter(|(status, _)| *status == "pending").count();
                let mut parts = Vec::new();
                if pending > 0 {
                    parts.push(format!("{} pending", count(pending, "finding")));
                }
                if some.len() > pending {
                    parts.push(format!("{} for information", count(some.len() - pending, "finding")));
                }
                parts.join(", ")
            }
        };
    let nodes = fleet.nodes.iter().filter(|node| !node.revoked).count();
    let unheard = unheard(fleet);
    let unsettled: Vec<_> = fleet.groups.iter().filter(|group| group.state != "ok").collect();
    if unheard.is_empty() && unsettled.is_empty() {
        let maintained = fleet.nodes.iter().filter(|node| in_maintenance(node)).count();
        let aside = if maintained == 0 { String::new() } else { format!(" ({maintained} in maintenance)") };
        return format!(
            "{WELL}: {}{aside}, {}, {findings}",
            count(nodes, "node"),
            count(fleet.groups.len(), "group")
        );
    }
    let mut doubts = Vec::new();
    if !unheard.is_empty() {
        doubts.push(format!("{} of {} not heard", unheard.len(), count(nodes, "node")));
    }
    if !unsettled.is_empty() {
        doubts.push(format!(
            "{} of {} without a settled holder",
            unsettled.len(),
            count(fleet.groups.len(), "group")
        ));
    }
    format!("not known to be well: {}, {findings}", doubts.join(", "))
}
