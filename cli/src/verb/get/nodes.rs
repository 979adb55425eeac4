//! `hactl get nodes`

use hafleet_proto::v1::{Node, VrrpState};

use super::note_empty;
use crate::{
    connect::Coordinators,
    failure::Failure,
    grid::{Column, grid},
    invocation::Invocation,
    look::{Look, NOTHING, Tone, or_nothing},
    shape::{self, Clock, state_word},
    verb::fleet,
    verdict::{count, in_maintenance},
};

/// The hosts that run ha-agent: heard or not, what they hold.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
HEARD says when the node was last heard from. A node that is stale still runs VRRP on its own, for \
all that is known; what is shown of it is old.

Examples:
  hactl get nodes
  hactl get nodes lb01 -o json
  hactl get nodes --site dc1 -o wide")]
pub struct Args {
    /// Only this node
    name: Option<String>,

    /// Only nodes of this site
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
}

pub async fn run(
    args: &Args,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let fleet = fleet(coordinators).await?;
    let nodes: Vec<&Node> = fleet
        .nodes
        .iter()
        .filter(|node| args.name.as_ref().is_none_or(|name| *name == node.name))
        .filter(|node| args.site.as_ref().is_none_or(|site| *site == node.site))
        .collect();
    if let (Some(name), true) = (&args.name, nodes.is_empty()) {
        return Err(unknown(name));
    }
    note_empty(nodes.is_empty(), "nodes", invocation);
    let shapes: Vec<_> = nodes.iter().map(|node| shape::Node::from(*node)).collect();
    invocation.list(&shapes, || table(&invocation.look(fleet.at_us), &nodes))
}

/// No node has this name.
pub fn unknown(name: &str) -> Failure {
    Failure::not_found(format!("no node is called {name}"), "`hactl get nodes` lists the nodes.")
}

fn table(look: &Look, nodes: &[&Node]) -> String {
    let columns = [
        Column::Free("NODE"),
        Column::Free("SITE"),
        Column::Fixed("HEARD"),
        Column::Free("INSTANCES"),
        Column::Free("PEER"),
        Column::Wide("VERSION"),
        Column::Wide("CLOCK OFFSET"),
        Column::Wide("JOURNAL"),
        Column::Wide("CERTIFICATE UNTIL"),
    ];
    let rows = nodes.iter().map(|node| {
        let (tone, heard) = heard(look, node);
        vec![
            look.text(&node.name),
            look.text(&node.site),
            look.cell(tone, &heard),
            look.text(&instances(node)),
            look.text(&node.peer),
            look.text(&node.agent_version),
            look.text(&clock_offset(node)),
            look.text(&journal(node)),
            look.text(&look.time(node.certificate_not_after_us)),
        ]
    });
    grid(look, &columns, rows.collect())
}

/// When it was last heard, and whether that will do.
pub fn heard(look: &Look, node: &Node) -> (Tone, String) {
    let (tone, text) = match (node.ever_heard, node.fresh) {
        (false, _) => (Tone::Doubtful, "never".to_owned()),
        (true, true) => (Tone::Good, look.age(node.age_us)),
        (true, false) => (Tone::Doubtful, format!("stale, {}", look.age(node.age_us))),
    };
    match (node.revoked, in_maintenance(node)) {
        (true, _) => (Tone::Bad, format!("revoked, {text}")),
        (false, true) => (Tone::Doubtful, format!("maintenance, {text}")),
        (false, false) => (tone, text),
    }
}

/// How far its clock is off, and how well that is known.
pub fn clock_offset(node: &Node) -> String {
    offset(&Clock::of(node))
}

/// The same of a clock.
pub fn offset(clock: &Clock) -> String {
    let (Some(offset_us), Some(uncertainty_us)) = (clock.offset_us, clock.uncertainty_us) else {
        return NOTHING.to_owned();
    };
    let milliseconds = |us: f64| us / 1000.0;
    format!("{:+.1} ms ± {:.1} ms", milliseconds(offset_us as f64), milliseconds(uncertainty_us as f64))
}

/// How far its journal is committed, and what is waiting.
pub fn journal(node: &Node) -> String {
    match node.pending_events {
        0 => format!("all {} committed", count_of(node.acked_seq)),
        waiting => format!("{} committed, {waiting} waiting", count_of(node.acked_seq)),
    }
}

fn count_of(events: u64) -> String {
    count(usize::try_from(events).unwrap_or(usize::MAX), "event")
}

/// `1 MASTER, 2 BACKUP`; what is stale says so.
fn instances(node: &Node) -> String {
    let states =
        [VrrpState::Master, VrrpState::Backup, VrrpState::Fault, VrrpState::Init, VrrpState::Unspecified];
    let parts: Vec<String> = states
        .into_iter()
        .map(|state| (state, node.instances.iter().filter(|instance| instance.state() == state).count()))
        .filter(|(_, number)| *number > 0)
        .map(|(state, number)| format!("{number} {}", state_word(state)))
        .collect();
    let parts = parts.join(", ");
    if node.fresh || parts.is_empty() {
        or_nothing(&parts).to_owned()
    } else {
        format!("stale (was {parts})")
    }
}
