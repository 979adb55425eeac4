//! `hactl get audit`

use hafleet_proto::v1::{AuditRecord, ListAuditRequest};

use super::{Window, note_empty, now_us};
use crate::{
    connect::Coordinators,
    failure::Failure,
    grid::{Column, grid},
    invocation::Invocation,
    look::{Look, Tone},
    shape,
};

/// What was asked of the coordinator and what it refused, newest first.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hactl get audit --since 24h
  hactl get audit node/lb03               what lb03 did, and what was done to it
  hactl get audit --action user --outcome refused
  hactl get audit -o jsonl | jq .detail")]
pub struct Args {
    /// Only by or about this one: user/admin, node/lb03, or a peer's address
    name: Option<String>,

    /// Only this action, or all that begin with the word: `user` is user.add, user.list and user.revoke
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,

    /// Only what came to this
    #[arg(long, value_parser = ["done", "refused"], value_name = "OUTCOME")]
    outcome: Option<String>,

    #[command(flatten)]
    window: Window,
}

pub async fn run(
    args: &Args,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let now_us = now_us(&args.window, coordinators, invocation).await?;
    let request = ListAuditRequest {
        since_us: args.window.since_us(now_us),
        limit: args.window.limit,
        name: args.name.clone().unwrap_or_default(),
        action: args.action.clone().unwrap_or_default(),
        outcome: args.outcome.clone().unwrap_or_default(),
    };
    let answer = coordinators
        .call("read the audit log", request, async |client, request| client.list_audit(request).await)
        .await?;
    let records = answer.records;
    note_empty(records.is_empty(), "audit records", invocation);
    invocation.note_truncated(answer.truncated, args.window.limit);
    let shapes: Vec<_> = records.iter().map(shape::Audit::from).collect();
    invocation.list(&shapes, || table(&invocation.look(now_us), &records))
}

fn table(look: &Look, records: &[AuditRecord]) -> String {
    let columns = [
        Column::Fixed("AT"),
        Column::Fixed("OUTCOME"),
        Column::Free("WHO"),
        Column::Free("WHAT"),
        Column::Wide("ABOUT"),
        Column::Wide("DETAIL"),
    ];
    let rows = records.iter().map(|record| {
        let tone = if record.outcome == "refused" { Tone::Doubtful } else { Tone::Plain };
        let what = if look.wide { record.action.clone() } else { in_one(record) };
        vec![
            look.text(&look.time_in_table(record.at_us)),
            look.cell(tone, &record.outcome),
            look.text(&record.actor),
            look.text(&what),
            look.text(&record.subject),
            look.text(&record.detail),
        ]
    });
    grid(look, &columns, rows.collect())
}

/// `token.create t-0001: for lb01, 1 h`
fn in_one(record: &AuditRecord) -> String {
    let mut words = record.action.clone();
    for (before, text) in [(" ", &record.subject), (": ", &record.detail)] {
        if !text.is_empty() {
            words.push_str(before);
            words.push_str(text);
        }
    }
    words
}
