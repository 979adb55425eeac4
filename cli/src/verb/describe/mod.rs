//! `hactl describe`: one file per kind of thing.

mod fence;
mod finding;
mod group;
mod node;
mod seen;

use crate::{exit::Exit, failure::Failure, group_name::GroupName, invocation::Invocation};

/// Everything that is known of one node, group, finding or fence, with the age of each fact.
#[derive(clap::Args, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  hactl describe node lb01
  hactl describe group web
  hactl describe group web --probe
  hactl describe finding split_brain.confirmed@dc1/192.168.178.3#1
  hactl describe fence lb02"
)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// A host: its instances, the adverts it hears and rejects, whom it reaches and sees answer, its clock, certificate and journal
    Node {
        /// Its name
        name: String,
    },
    /// A virtual IP group: its members, what is wrong with it, its last transitions, who answers for it and who hears whom
    Group {
        /// Its name or address, with SITE/ in front if need be
        name: GroupName,
        /// First have the nodes of its site ask by ARP or neighbour solicitation who answers for it, now; for operators, once a
        /// second at most
        #[arg(long)]
        probe: bool,
    },
    /// A finding: cause, what to do, the evidence, and what is seen now, with the age of each fact
    Finding {
        /// Its id, as `hactl get findings` shows it
        id: String,
    },
    /// A fence: where it is and why, who loses and who goes on, the evidence, and what is seen now
    Fence {
        /// Its id, as `hactl get fences` shows it, or a node: then the newest against it
        name: String,
    },
}

pub async fn run(args: Args, invocation: &Invocation) -> Result<Exit, Failure> {
    let mut coordinators = invocation.coordinators()?;
    match args.what {
        What::Node { name } => node::run(&name, &mut coordinators, invocation).await,
        What::Group { name, probe } => group::run(&name, probe, &mut coordinators, invocation).await,
        What::Finding { id } => finding::run(&id, &mut coordinators, invocation).await,
        What::Fence { name } => fence::run(&name, &mut coordinators, invocation).await,
    }?;
    Ok(Exit::Fine)
}
