//! `hactl get transitions`

use hafleet_proto::v1::{ListTransitionsRequest, TransitionRecord};

use super::{Window, note_empty, now_us};
use crate::{
    connect::Coordinators,
    failure::Failure,
    grid::{Column, grid},
    group_name::GroupName,
    invocation::Invocation,
    look::{Look, state_text},
    paragraphs::reason,
    shape,
};

/// Every change of state of every instance, oldest first.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The newest are shown, oldest first; those of one node are in its own order. AT is the node's \
clock; a node that was cut off reports late, and `received_at` in JSON says when.

Examples:
  hactl get transitions --since 24h
  hactl get transitions --group web --limit 5
  hactl get transitions --node lb01 --instance VI_1 -o jsonl")]
pub struct Args {
    /// Only members of this group, like --group
    #[arg(value_name = "GROUP")]
    name: Option<GroupName>,

    /// Only of this node
    #[arg(long, value_name = "NODE")]
    node: Option<String>,

    /// Only of instances of this name
    #[arg(long, value_name = "INSTANCE")]
    instance: Option<String>,

    /// Only of members of this group: its name or address, as in web or dc1/web
    #[arg(long, value_name = "GROUP", conflicts_with = "name")]
    group: Option<GroupName>,

    #[command(flatten)]
    window: Window,
}

pub async fn run(
    args: Args,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let now_us = now_us(&args.window, coordinators, invocation).await?;
    let group = args.group.or(args.name);
    let request = ListTransitionsRequest {
        since_us: args.window.since_us(now_us),
        limit: args.window.limit,
        node: args.node.unwrap_or_default(),
        instance: args.instance.unwrap_or_default(),
        group: group.as_ref().map(ToString::to_string).unwrap_or_default(),
    };
    let answer = coordinators
        .call("list the transitions", request, async |client, request| client.list_transitions(request).await)
        .await?;
    let transitions = answer.transitions;
    note_empty(transitions.is_empty(), "transitions", invocation);
    invocation.note_truncated(answer.truncated, args.window.limit);
    let shapes: Vec<_> = transitions.iter().map(shape::Transition::from).collect();
    invocation.list(&shapes, || table(&invocation.look(now_us), &transitions))
}

/// Transitions, shared with `describe group`.
pub fn table(look: &Look, transitions: &[TransitionRecord]) -> String {
    let columns = [
        Column::Fixed("AT"),
        Column::Free("NODE"),
        Column::Free("INSTANCE"),
        Column::Fixed("CHANGE"),
        Column::Free("WHY"),
        Column::Wide("VRID"),
        Column::Wide("RECEIVED"),
        Column::Wide("SEQ"),
        Column::Wide("JOURNAL"),
    ];
    let rows = transitions.iter().map(|record| {
        let at = look.time_in_table(record.at_us);
        vec![
            look.text(&at),
            look.text(&record.node),
            look.text(&record.instance),
            look.text(&change(record)),
            look.text(&reason(&record.reason, &record.detail)),
            look.text(&record.vrid.to_string()),
            look.text(&look.time(record.received_at_us)),
            look.text(&record.seq.to_string()),
            look.text(&record.journal_id),
        ]
    });
    grid(look, &columns, rows.collect())
}

/// `BACKUP -> MASTER`
pub fn change(record: &TransitionRecord) -> String {
    format!("{} -> {}", state_text(record.from(), true), state_text(record.to(), true))
}
