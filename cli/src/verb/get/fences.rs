//! `hactl get fences`

use comfy_table::Cell;
use hafleet_proto::v1::{Fence, FencingState, ListFencesRequest};

use super::{Window, note_empty, now_us, unknown_node};
use crate::{
    connect::Coordinators,
    failure::Failure,
    grid::{Column, fields, grid},
    invocation::Invocation,
    look::{Look, Tone, or_nothing},
    paragraphs::section,
    shape::{self, level_word},
    verb::fleet,
};

/// Who is fenced, was, or would have been, and why; below, what stands over all of them.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
In dry_run a fence that would have been done is `denied` with the reason `dry_run`.

Examples:
  hactl get fences
  hactl get fences lb02 --since 24h
  hactl get fences --open -o json | jq '.[].state'")]
pub struct Args {
    /// Only those against this node
    node: Option<String>,

    /// Only those that are open
    #[arg(long)]
    open: bool,

    #[command(flatten)]
    window: Window,
}

pub async fn run(
    args: &Args,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let now_us = now_us(&args.window, coordinators, invocation).await?;
    let request = ListFencesRequest {
        since_us: args.window.since_us(now_us),
        limit: args.window.limit,
        node: args.node.clone().unwrap_or_default(),
        open: args.open,
    };
    let answer = coordinators
        .call("read the fences", request, async |client, request| client.fence.list(request).await)
        .await?;
    let fences = answer.fences;
    if let (Some(name), true) = (&args.node, fences.is_empty())
        && !fleet(coordinators).await?.nodes.iter().any(|node| node.name == *name)
    {
        return Err(unknown_node(name));
    }
    note_empty(fences.is_empty(), "fences", invocation);
    invocation.note_truncated(answer.truncated, args.window.limit);
    let shapes: Vec<_> = fences.iter().map(shape::Fence::from).collect();
    let state = answer.fencing.unwrap_or_default();
    invocation.list(&shapes, || {
        let look = invocation.look(now_us);
        format!("{}{}", table(&look, &fences), section("FENCING", &standing(&look, &state)))
    })
}

/// Fences, shared with `fence status`.
pub fn table(look: &Look, fences: &[Fence]) -> String {
    let columns = [
        Column::Fixed("FENCE"),
        Column::Free("NODE"),
        Column::Fixed("STATE"),
        Column::Fixed("SINCE"),
        Column::Free("WHY"),
        Column::Free("GROUPS"),
        Column::Wide("WANTED BY"),
        Column::Wide("APPROVED BY"),
        Column::Wide("HARDEST STEP"),
    ];
    let rows = fences.iter().map(|fence| {
        vec![
            look.text(&fence.id),
            look.text(&fence.target),
            look.cell(tone(&fence.state), &fence.state),
            look.text(&look.time_in_table(fence.since_us)),
            look.text(&crate::paragraphs::reason(&fence.reason, &fence.detail)),
            look.text(&fence.groups.join("\n")),
            look.text(if fence.by.is_empty() { "hafleet" } else { &fence.by }),
            look.text(or_nothing(&fence.approved_by)),
            look.text(or_nothing(level_word(fence.taken()).unwrap_or_default())),
        ]
    });
    grid(look, &columns, rows.collect())
}

/// What a state means, for its colour.
pub fn tone(state: &str) -> Tone {
    match state {
        "awaiting_approval" | "failed" | "unknown" => Tone::Bad,
        "denied" | "released" => Tone::Plain,
        _ => Tone::Doubtful,
    }
}

/// Confirmed split brains that nobody is fenced for, and why; `None` when there are none.
pub fn left_alone(look: &Look, state: &FencingState) -> Option<(&'static str, Cell)> {
    let refused = state.refused.iter();
    let refused: Vec<String> = refused
        .map(|refused| format!("{}: {} ({})", refused.group, refused.detail, refused.reason))
        .collect();
    (!refused.is_empty()).then(|| ("  left alone", look.text(&refused.join("\n"))))
}

fn standing(look: &Look, state: &FencingState) -> String {
    let mut rows = vec![("  mode", look.text(&state.mode))];
    if state.epoch == 0 {
        let why = if state.inert.is_empty() { "this coordinator does not lead" } else { &state.inert };
        rows.push(("  inert", look.cell(Tone::Bad, why)));
    }
    if !state.paused_by.is_empty() {
        rows.push(("  paused by", look.cell(Tone::Doubtful, &state.paused_by)));
    }
    if state.latched || !state.latched_groups.is_empty() {
        let what = if state.latched { "the whole fleet".to_owned() } else { state.latched_groups.join(", ") };
        let text = format!("{what}: too often; auto is approve until `hactl fence resume`");
        rows.push(("  latched", look.cell(Tone::Doubtful, &text)));
    }
    rows.extend(left_alone(look, state));
    let paths: Vec<String> = state
        .paths
        .iter()
        .map(|path| {
            let level = level_word(path.level()).unwrap_or_default();
            let works = if path.works_since_us == 0 {
                "not known to work".to_owned()
            } else {
                format!("answered {}", look.time(path.works_since_us))
            };
            format!("{} {level}: {works}", path.node)
        })
        .collect();
    if !paths.is_empty() {
        rows.push(("  fence paths", look.text(&paths.join("\n"))));
    }
    fields(look, rows)
}
