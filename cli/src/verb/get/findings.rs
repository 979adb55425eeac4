//! `hactl get findings`

use comfy_table::Cell;
use hafleet_proto::v1::{Finding, Group, ListFindingsRequest};

use super::{Window, note_empty};
use crate::{
    connect::Coordinators,
    failure::Failure,
    grid::{Column, grid},
    group_name::GroupName,
    invocation::Invocation,
    look::Look,
    shape,
    verb::fleet,
};

/// What is wrong, with its probable cause.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
A finding is pending until it has lasted for its window, then firing, then resolved. `hactl \
describe finding ID` shows the evidence.

Examples:
  hactl get findings
  hactl get findings --all --since 24h
  hactl get findings --group web -o json")]
pub struct Args {
    /// Only the finding with this id
    id: Option<String>,

    /// Resolved ones too
    #[arg(long)]
    all: bool,

    /// Only about this node, or with evidence from it
    #[arg(long, value_name = "NODE")]
    node: Option<String>,

    /// Only about this group: its name or address
    #[arg(long, value_name = "GROUP")]
    group: Option<GroupName>,

    #[command(flatten)]
    window: Window,
}

/// As many as the wire carries: filters of ours come before the limit.
const MOST: u32 = 10_000;

pub async fn run(
    args: &Args,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let needs_fleet = invocation.is_for_people() || args.window.is_relative() || args.group.is_some();
    let fleet = if needs_fleet { fleet(coordinators).await? } else { Default::default() };
    let group = match &args.group {
        Some(name) => Some(name.find(&fleet)?),
        None => None,
    };
    let filtered = args.node.is_some() || group.is_some();
    let request = ListFindingsRequest {
        include_resolved: args.all || args.id.is_some(),
        since_us: args.window.since_us(fleet.at_us),
        limit: if filtered { MOST } else { args.window.limit },
        id: args.id.clone().unwrap_or_default(),
    };
    let answer = coordinators
        .call("list the findings", request, async |client, request| client.list_findings(request).await)
        .await?;
    let mut findings = answer.findings;
    findings.retain(|finding| {
        group.is_none_or(|group| about(finding, group))
            && args.node.as_ref().is_none_or(|node| concerns(finding, node))
    });
    let limit = usize::try_from(args.window.limit).unwrap_or(usize::MAX);
    let cut = findings.len() > limit;
    findings.truncate(limit);
    if let (Some(id), true) = (&args.id, findings.is_empty()) {
        return Err(unknown(id));
    }
    note_empty(
        findings.is_empty(),
        if args.all { "findings" } else { "findings now; --all shows resolved ones" },
        invocation,
    );
    invocation.note_truncated(answer.truncated || cut, args.window.limit);
    let shapes: Vec<_> = findings.iter().map(shape::Finding::from).collect();
    invocation.list(&shapes, || {
        let look = invocation.look(fleet.at_us);
        rows(&look, &findings)
    })
}

/// No finding has this id.
pub fn unknown(id: &str) -> Failure {
    Failure::not_found(
        format!("no finding has the id {id}"),
        "`hactl get findings --all` lists the findings.",
    )
}

/// Is it about the group?
pub fn about(finding: &Finding, group: &Group) -> bool {
    finding.subject == format!("{}/{}", group.site, group.address)
}

/// Findings as a table: the id carries kind and subject.
pub fn rows(look: &Look, findings: &[Finding]) -> String {
    let columns = [
        Column::Fixed("SEVERITY"),
        Column::Fixed("SINCE"),
        Column::Free("FINDING"),
        Column::Wide("SUMMARY"),
        Column::Wide("CAUSE"),
        Column::Wide("ACTION"),
        Column::Wide("RESOLVED"),
    ];
    grid(look, &columns, findings.iter().map(|finding| row(look, finding)).collect())
}

fn row(look: &Look, finding: &Finding) -> Vec<Cell> {
    let tone = Look::severity_tone(&finding.severity, &finding.status);
    let (head, since, severity) = if look.wide {
        (finding.id.clone(), look.time(finding.since_us), format!("{} {}", finding.severity, finding.status))
    } else {
        (
            format!("{}\n{}", finding.id, finding.summary),
            look.time_in_table(finding.since_us),
            format!("{}\n{}", finding.severity, finding.status),
        )
    };
    vec![
        look.cell(tone, &severity),
        look.text(&since),
        look.text(&head),
        look.text(&finding.summary),
        look.text(&finding.cause),
        look.text(&finding.action),
        look.text(&look.time(finding.resolved_at_us)),
    ]
}

fn concerns(finding: &Finding, node: &str) -> bool {
    finding.subject == format!("node/{node}") || finding.evidence.iter().any(|evidence| evidence.node == node)
}
