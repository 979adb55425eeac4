//! `hactl get groups`

use hafleet_proto::v1::Group;

use super::{has_member, note_empty};
use crate::{
    connect::Coordinators, failure::Failure, group_name::GroupName, invocation::Invocation, paragraphs,
    shape, verb::fleet,
};

/// The virtual IP groups: who holds them, since when.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
A group is a virtual address in a site and the nodes that could hold it. STATE is `ok` with \
exactly one node that is heard and says MASTER; else no_master, split_brain, changing (an election \
is under way) or unknown (a node that might hold it is not heard).

Examples:
  hactl get groups
  hactl get groups web -o json | jq -r '.[0].holder'
  hactl get groups --node lb01 -o wide")]
pub struct Args {
    /// Only this group: its name or address, with SITE/ in front if need be
    name: Option<GroupName>,

    /// Only groups of this site
    #[arg(long, value_name = "SITE")]
    site: Option<String>,

    /// Only groups that this node is a member of
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
}

pub async fn run(
    args: &Args,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let fleet = fleet(coordinators).await?;
    let groups: Vec<&Group> = fleet
        .groups
        .iter()
        .filter(|group| args.name.as_ref().is_none_or(|name| name.matches(group)))
        .filter(|group| args.site.as_ref().is_none_or(|site| *site == group.site))
        .filter(|group| args.node.as_ref().is_none_or(|node| has_member(group, node)))
        .collect();
    if let (Some(name), true) = (&args.name, groups.is_empty()) {
        return Err(name.unknown());
    }
    note_empty(groups.is_empty(), "groups", invocation);
    let shapes: Vec<_> = groups.iter().map(|group| shape::Group::from(*group)).collect();
    invocation.list(&shapes, || paragraphs::groups(&invocation.look(fleet.at_us), &groups))
}
