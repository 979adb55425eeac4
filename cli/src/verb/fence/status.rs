//! `hactl fence status`

use hafleet_proto::v1::{self, FencingState, ListFencesRequest};

use crate::{
    connect::Coordinators,
    exit::Exit,
    failure::Failure,
    grid::{Column, fields, grid},
    invocation::Invocation,
    look::{Look, NOTHING, Tone, clean, human_us},
    paragraphs::section,
    shape::{self, FenceWill, level_word},
    verb::{fleet, get::fences},
};

/// Open fences that are shown; there are never more than a few.
const OPEN_SHOWN: u32 = 100;

pub async fn run(coordinators: &mut Coordinators, invocation: &Invocation) -> Result<Exit, Failure> {
    let now_us = fleet(coordinators).await?.at_us;
    let request = ListFencesRequest { open: true, limit: OPEN_SHOWN, ..ListFencesRequest::default() };
    let answer = coordinators
        .call("read the state of fencing", request, async |client, request| client.fence.list(request).await)
        .await?;
    invocation.note_truncated(answer.truncated, OPEN_SHOWN);
    let state = answer.fencing.unwrap_or_default();
    let shown = shape::FencingStatus::new(&state, &answer.fences, now_us);
    invocation.object(&shown, || {
        let look = invocation.look(now_us);
        if invocation.quiet() {
            format!("{}\n", verdict(&look, &state, &shown.will))
        } else {
            screen(&look, &state, &shown, &answer.fences)
        }
    })?;
    Ok(Exit::Fine)
}

fn screen(look: &Look, state: &FencingState, shown: &shape::FencingStatus, open: &[v1::Fence]) -> String {
    let mut text = format!("{}\n", verdict(look, state, &shown.will));
    text.push_str(&section("FENCING", &standing(look, state)));
    text.push_str(&section("GROUPS", &groups(look, state, shown)));
    text.push_str(&section("DEVICES", &devices(look, state)));
    text.push_str(&section("OPEN", &fences::table(look, open)));
    text
}

/// What would happen to the next confirmed split brain.
fn verdict(look: &Look, state: &FencingState, will: &FenceWill) -> String {
    let wait = |why: String| format!("nobody is fenced: {why}");
    match will {
        FenceWill::Inert if state.inert.is_empty() => wait("this coordinator does not lead".to_owned()),
        FenceWill::Inert => wait(clean(&state.inert)),
        FenceWill::Paused => wait(format!("{} paused all fencing", clean(&state.paused_by))),
        FenceWill::Disabled => wait("fencing is disabled".to_owned()),
        FenceWill::DryRun => wait("dry_run only writes down what would be done".to_owned()),
        FenceWill::Grace => {
            wait(format!("the coordinator has just started; from {}", look.time(state.grace_until_us)))
        }
        FenceWill::Approve if state.latched => {
            "a victim is fenced when a person approves it: the fleet's rate was reached".to_owned()
        }
        FenceWill::Approve => "a victim is fenced when a person approves it".to_owned(),
        FenceWill::Auto => "a victim is fenced without asking".to_owned(),
    }
}

fn standing(look: &Look, state: &FencingState) -> String {
    let mut rows = vec![("  mode", look.text(&state.mode))];
    if !state.paused_by.is_empty() {
        let since = if state.paused_since_us == 0 {
            String::new()
        } else {
            format!(" since {}", look.time(state.paused_since_us))
        };
        rows.push(("  paused by", look.cell(Tone::Doubtful, &format!("{}{since}", state.paused_by))));
    }
    let latched = if state.latched { "yes, until `hactl fence resume`: auto is approve" } else { "no" };
    let tone = if state.latched { Tone::Doubtful } else { Tone::Plain };
    rows.push(("  latched", look.cell(tone, latched)));
    if let Some(rate) = &state.fleet_rate {
        rows.push(("  rate", look.text(&rated(rate))));
    }
    if state.epoch > 0 {
        rows.push(("  epoch", look.text(&state.epoch.to_string())));
    }
    rows.extend(fences::left_alone(look, state));
    fields(look, rows)
}

/// `1 of 5 within 1h`
fn rated(rate: &v1::FenceRate) -> String {
    format!("{} of {} within {}", rate.acted, rate.limit, human_us(rate.window_us))
}

/// Those that differ from the fleet, or were acted for.
fn groups(look: &Look, state: &FencingState, shown: &shape::FencingStatus) -> String {
    let columns = [Column::Free("GROUP"), Column::Fixed("MODE"), Column::Free("NEXT"), Column::Fixed("RATE")];
    let rows = shown.groups.iter().map(|group| {
        let rate = state.group_rates.iter().find(|rate| rate.group == group.group);
        let rate = rate.and_then(|rate| rate.rate).map(|rate| rated(&rate));
        vec![
            look.text(&group.group),
            look.text(&group.mode),
            look.text(&if group.latched && group.will == FenceWill::Approve {
                format!("{} (latched)", group.will.as_str())
            } else {
                group.will.as_str().to_owned()
            }),
            look.text(rate.as_deref().unwrap_or(NOTHING)),
        ]
    });
    grid(look, &columns, rows.collect())
}

fn devices(look: &Look, state: &FencingState) -> String {
    let columns = [
        Column::Free("NODE"),
        Column::Fixed("STEP"),
        Column::Free("DEVICE"),
        Column::Fixed("VERIFIED"),
        Column::Fixed("COUNTS"),
    ];
    let now_us = look.now.as_microsecond();
    let rows = state.paths.iter().map(|path| {
        let verified = if path.works_since_us == 0 {
            "never, or broken".to_owned()
        } else {
            look.time(path.works_since_us)
        };
        let counts = path.works_since_us > 0 && path.counts_until_us > now_us;
        let (tone, word) = if counts { (Tone::Good, "yes") } else { (Tone::Bad, "no") };
        vec![
            look.text(&path.node),
            look.text(level_word(path.level()).unwrap_or_default()),
            look.text(&path.device),
            look.text(&verified),
            look.cell(tone, word),
        ]
    });
    grid(look, &columns, rows.collect())
}
