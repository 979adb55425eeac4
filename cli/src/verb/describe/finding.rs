//! `hactl describe finding`

use hafleet_proto::v1::{Evidence, Finding, Group, ListFindingsRequest};

use super::seen::seen;
use crate::{
    connect::Coordinators,
    failure::Failure,
    grid::{Column, grid},
    invocation::Invocation,
    look::Look,
    paragraphs::{findings, section},
    shape::{self, Seen},
    verb::{
        fleet,
        get::{about, unknown_finding},
    },
};

pub async fn run(id: &str, coordinators: &mut Coordinators, invocation: &Invocation) -> Result<(), Failure> {
    let fleet = fleet(coordinators).await?;
    let request = ListFindingsRequest { include_resolved: true, since_us: 0, limit: 1, id: id.to_owned() };
    let answer = coordinators
        .call("read the finding", request, async |client, request| client.list_findings(request).await)
        .await?;
    let finding =
        answer.findings.iter().find(|finding| finding.id == id).ok_or_else(|| unknown_finding(id))?;
    let groups: Vec<&Group> = fleet.groups.iter().filter(|group| about(finding, group)).collect();
    let now = Seen::of(&fleet, &groups);
    invocation.object(&shape::FindingDetail::new(finding, &now), || {
        text(&invocation.look(fleet.at_us), finding, &now)
    })
}

fn text(look: &Look, finding: &Finding, now: &Seen) -> String {
    let mut text = findings(look, std::slice::from_ref(finding));
    text.push_str(&section("EVIDENCE", &evidence(look, &finding.evidence)));
    text.push_str(&seen(look, now));
    text
}

/// Facts, each with its age.
pub(super) fn evidence(look: &Look, evidence: &[Evidence]) -> String {
    let columns = [
        Column::Fixed("OBSERVED"),
        Column::Free("BY"),
        Column::Fixed("WHAT"),
        Column::Free("IN WORDS"),
        Column::Free("FACTS"),
    ];
    let rows = evidence.iter().map(|fact| {
        let facts: Vec<String> = fact.facts.iter().map(|(key, value)| format!("{key}={value}")).collect();
        vec![
            look.text(&look.time(fact.observed_at_us).replacen(" (", "\n(", 1)),
            look.text(if fact.node.is_empty() { "coordinator" } else { &fact.node }),
            look.text(&fact.kind),
            look.text(&fact.summary),
            look.text(&facts.join("\n")),
        ]
    });
    grid(look, &columns, rows.collect())
}
