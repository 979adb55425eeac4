//! `hactl get instances`

use hafleet_proto::v1::{Fleet, InstanceState, Node};

use super::note_empty;
use crate::{
    connect::Coordinators,
    failure::Failure,
    grid::{Column, grid},
    group_name::GroupName,
    invocation::Invocation,
    look::{Look, NOTHING, human_us},
    paragraphs::{priority, reason, yes_no},
    shape,
    shape::since_us,
    verb::fleet,
};

/// The VRRP instances of every node.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
FROM says whose word an instance is: `local` is the node's own files, `gen 7` what was pushed as generation 7.

Examples:
  hactl get instances --node lb01
  hactl get instances --group web -o wide
  hactl get instances VI_1 -o jsonl")]
pub struct Args {
    /// Only instances of this name
    name: Option<String>,

    /// Only those of this node
    #[arg(long, value_name = "NODE")]
    node: Option<String>,

    /// Only members of this group: its name or address
    #[arg(long, value_name = "GROUP")]
    group: Option<GroupName>,
}

pub async fn run(
    args: &Args,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let fleet = fleet(coordinators).await?;
    if let Some(group) = &args.group {
        group.find(&fleet)?;
    }
    let found: Vec<(&Node, &InstanceState)> = fleet
        .nodes
        .iter()
        .filter(|node| args.node.as_ref().is_none_or(|name| *name == node.name))
        .flat_map(|node| node.instances.iter().map(move |instance| (node, instance)))
        .filter(|(_, instance)| args.name.as_ref().is_none_or(|name| *name == instance.instance))
        .filter(|(node, instance)| {
            args.group.as_ref().is_none_or(|group| is_member(&fleet, group, node, instance))
        })
        .collect();
    if let (Some(name), true) = (&args.name, found.is_empty()) {
        return Err(Failure::not_found(
            format!("no instance is called {name}"),
            "`hactl get instances` without a name lists the instances.",
        ));
    }
    note_empty(found.is_empty(), "instances", invocation);
    let shapes: Vec<_> =
        found.iter().map(|(node, instance)| shape::Instance::new(node, instance, fleet.at_us)).collect();
    invocation.list(&shapes, || table(&invocation.look(fleet.at_us), &found))
}

fn is_member(fleet: &Fleet, name: &GroupName, node: &Node, instance: &InstanceState) -> bool {
    let mut groups = fleet.groups.iter().filter(|group| name.matches(group));
    groups.any(|group| {
        group.members.iter().any(|member| member.node == node.name && member.instance == instance.instance)
    })
}

/// Columns of a terminal that has room for one more.
const ROOM_FOR_FROM: u16 = 90;

/// Whose word an instance is: the node's own files, or what was pushed.
fn origin(instance: &InstanceState) -> String {
    match instance.pushed_generation {
        None => NOTHING.to_owned(),
        Some(0) => "local".to_owned(),
        Some(number) => format!("gen {number}"),
    }
}

/// Instances with their nodes, shared with `describe node`.
pub fn table(look: &Look, found: &[(&Node, &InstanceState)]) -> String {
    // Where it would break the other columns it waits for -o wide.
    let from = if look.width >= ROOM_FOR_FROM { Column::Fixed("FROM") } else { Column::Wide("FROM") };
    let columns = [
        Column::Free("NODE"),
        Column::Free("INSTANCE"),
        Column::Fixed("STATE"),
        Column::Fixed("SINCE"),
        Column::Free("PRIORITY"),
        Column::Free("INTERFACE"),
        Column::Fixed("VRID"),
        from,
        Column::Wide("ADDRESSES"),
        Column::Wide("IN KERNEL"),
        Column::Wide("VERSION"),
        Column::Wide("INTERVAL"),
        Column::Wide("MASTER DOWN"),
        Column::Wide("AUTH"),
        Column::Wide("PREEMPT"),
        Column::Wide("CARRIER"),
        Column::Wide("SOURCE"),
        Column::Wide("MASTER SOURCE"),
        Column::Wide("SENT"),
        Column::Wide("ACCEPTED"),
        Column::Wide("WHY"),
        Column::Wide("DEFINED AT"),
    ];
    let rows = found.iter().map(|(node, instance)| {
        vec![
            look.text(&node.name),
            look.text(&instance.instance),
            look.state(instance.state(), node.fresh),
            look.text(
                &look.time_in_table(since_us(node, instance, look.now.as_microsecond()).unwrap_or_default()),
            ),
            look.text(&priority(instance.priority, instance.effective_priority)),
            look.text(&instance.interface),
            look.text(&instance.vrid.to_string()),
            look.text(&origin(instance)),
            look.text(&instance.addresses.join(",")),
            look.text(&instance.addresses_present.join(",")),
            look.text(&instance.version.to_string()),
            look.text(&format!("{} ms", u64::from(instance.advert_interval_cs).saturating_mul(10))),
            look.text(&format!("{} ms", instance.master_down_us / 1000)),
            look.text(&instance.auth),
            look.text(yes_no(instance.preempt)),
            look.text(yes_no(instance.carrier)),
            look.text(&instance.source_address),
            look.text(&instance.master_source),
            look.text(&instance.adverts_sent.to_string()),
            look.text(&instance.adverts_accepted.to_string()),
            look.text(&reason(&instance.reason, &instance.reason_detail)),
            look.text(&instance.defined_at),
        ]
    });
    let table = grid(look, &columns, rows.collect());
    match found.first().filter(|_| found.iter().all(|(node, _)| !node.fresh)) {
        // Everything is from one stale report: say how old it is.
        Some((node, _)) if node.ever_heard => {
            format!("{table}(as last heard, {} ago)\n", human_us(node.age_us))
        }
        Some(_) => format!("{table}(as stored before the coordinator started; not heard since)\n"),
        None => table,
    }
}
