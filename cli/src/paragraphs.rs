//! What `status`, `describe`, `explain` and `watch` show of findings and groups.

use comfy_table::Cell;
use hafleet_proto::v1::{Finding, Group, Member, Node, VrrpState};

use crate::{
    grid::{Column, fields, grid},
    look::{Look, NOTHING, Tone, or_nothing, state_text},
};

/// A heading with the text below it; nothing when there is no text.
pub fn section(title: &str, body: &str) -> String {
    if body.is_empty() { String::new() } else { format!("\n{title}\n{body}") }
}

/// Findings, each with its cause and the command that acts.
pub fn findings(look: &Look, findings: &[Finding]) -> String {
    let mut text = String::new();
    for (index, finding) in findings.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let tone = Look::severity_tone(&finding.severity, &finding.status);
        let head = format!("{} {}  {}", finding.severity, finding.status, finding.id);
        text.push_str(&look.paint(tone, &head));
        text.push('\n');
        let mut rows = vec![
            ("  what", look.text(&finding.summary)),
            ("  since", look.text(&look.time(finding.since_us))),
        ];
        if finding.resolved_at_us != 0 {
            rows.push(("  resolved", look.text(&look.time(finding.resolved_at_us))));
        }
        rows.push((
            "  cause",
            look.text(if finding.cause.is_empty() { "not known" } else { &finding.cause }),
        ));
        if !finding.action.is_empty() {
            rows.push(("  do", look.text(&finding.action)));
        }
        text.push_str(&fields(look, rows));
    }
    text
}

/// What nodes are told to do over their configuration.
pub fn orders(look: &Look, nodes: &[&Node]) -> String {
    let columns = [
        Column::Free("NODE"),
        Column::Fixed("ORDER"),
        Column::Free("ABOUT"),
        Column::Fixed("STATE"),
        Column::Fixed("UNTIL"),
        Column::Free("BY"),
        Column::Free("WHY"),
        Column::Wide("ID"),
    ];
    let rows = nodes.iter().flat_map(|node| {
        node.orders.iter().map(|order| {
            let tone = if order.state == "standing" { Tone::Plain } else { Tone::Doubtful };
            let until = if order.until_us == 0 {
                "it is ended".to_owned()
            } else {
                look.time_in_table(order.until_us)
            };
            vec![
                look.text(&node.name),
                look.text(&order.kind),
                look.text(&order.subject),
                look.cell(tone, &order.state),
                look.text(&until),
                look.text(&order.by),
                look.text(&order.why),
                look.text(&order.id),
            ]
        })
    });
    grid(look, &columns, rows.collect())
}

/// The groups with their holders.
pub fn groups(look: &Look, groups: &[&Group]) -> String {
    let columns = [
        Column::Free("SITE"),
        Column::Free("GROUP"),
        Column::Fixed("STATE"),
        Column::Free("HOLDER"),
        Column::Fixed("SINCE"),
        Column::Free("ADDRESSES"),
        Column::Wide("MEMBERS"),
    ];
    let rows = groups.iter().map(|group| {
        let members: Vec<String> = group.members.iter().map(member_text).collect();
        vec![
            look.text(&group.site),
            look.text(&group.group),
            look.group_state(&group.state),
            holder(look, group),
            look.text(&held_since(look, group)),
            look.text(&group.addresses.join("\n")),
            look.text(&members.join(", ")),
        ]
    });
    grid(look, &columns, rows.collect())
}

/// Who holds it; without a holder, who claims it or was last heard to.
pub fn holder(look: &Look, group: &Group) -> Cell {
    let masters = |fresh: bool| {
        let masters = group
            .members
            .iter()
            .filter(|member| member.state() == VrrpState::Master && member.fresh == fresh);
        masters.map(|member| member.node.as_str()).collect::<Vec<_>>()
    };
    if !group.holder.is_empty() {
        return look.text(&group.holder);
    }
    match (masters(true), masters(false)) {
        (fresh, stale) if fresh.is_empty() && stale.is_empty() => look.text(NOTHING),
        (fresh, stale) if fresh.is_empty() => {
            look.cell(Tone::Doubtful, &format!("stale (was {})", stale.join(", ")))
        }
        (fresh, _) if fresh.len() == 1 => {
            look.cell(Tone::Doubtful, &format!("{} claims it", fresh.join(", ")))
        }
        (fresh, _) => look.cell(Tone::Bad, &format!("{} claim it", fresh.join(", "))),
    }
}

/// Since when the holder holds it; nothing without a holder.
pub fn held_since(look: &Look, group: &Group) -> String {
    if group.holder.is_empty() { NOTHING.to_owned() } else { look.time_in_table(group.since_us) }
}

/// `90 of 150` when tracking has lowered it.
pub fn priority(priority: u32, effective: u32) -> String {
    if priority == effective { priority.to_string() } else { format!("{effective} of {priority}") }
}

/// A reason code with its operands.
pub fn reason(code: &str, detail: &str) -> String {
    if detail.is_empty() { or_nothing(code).to_owned() } else { format!("{code}: {detail}") }
}

/// `yes`, `no`.
pub fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// A line of text with a tone, ended.
pub fn line(look: &Look, tone: Tone, text: &str) -> String {
    format!("{}\n", look.paint(tone, text))
}

fn member_text(member: &Member) -> String {
    let state = state_text(member.state(), member.fresh);
    format!("{} {state} {}", member.node, priority(member.priority, member.effective_priority))
}
