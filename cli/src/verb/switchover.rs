//! `hactl switchover`

use std::time::Duration;

use hafleet_proto::v1::{SwitchOverRequest, SwitchOverResponse, UndoSwitchOverRequest};

use crate::{
    duration,
    exit::Exit,
    failure::Failure,
    group_name::GroupName,
    invocation::Invocation,
    look::{Look, clean},
    shape,
    verb::fleet,
};

/// The coordinator asks, watches and takes back for a third of this at most; with several coordinators each has its share.
const WITHIN: Duration = Duration::from_secs(60);

/// Hand a group over to a node, or take that back.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The node takes the addresses first, then the holder gives way: make before break. The answer comes when \
both are seen to be so. If that does not happen within 10 s, the order is taken back.

It is refused, with the reason, when the node cannot serve: not heard, not BACKUP, no carrier, something \
that it tracks is down, held back, no address in the network, another member owns the address; or when \
a split brain or a config mismatch of the group fires.

The node keeps a higher priority until --for is over, until --undo, or until the next switchover of the \
group; after that the group goes by the configured priorities again.

Exit code 5: refused, or tried and taken back.

Examples:
  hactl switchover web --to lb02
  hactl switchover web --to lb02 --for 1h --reason 'kernel update of lb01'
  hactl switchover web --undo")]
pub struct Args {
    /// The group: its name or address, with SITE/ in front if need be
    group: GroupName,

    /// Who is to hold it
    #[arg(long, value_name = "NODE", required_unless_present = "undo", conflicts_with = "undo")]
    to: Option<String>,

    /// For how long: 1m to 30d; without, until it is undone
    #[arg(long = "for", value_parser = duration::parse_order, value_name = "DURATION", conflicts_with = "undo")]
    lasts: Option<u64>,

    /// Why, for the audit log and for those who wonder
    #[arg(long, value_name = "TEXT", default_value = "", conflicts_with = "undo")]
    reason: String,

    /// Take it back
    #[arg(long)]
    undo: bool,
}

pub async fn run(args: Args, invocation: &Invocation) -> Result<Exit, Failure> {
    match &args.to {
        Some(node) => give(&args, node, invocation).await,
        None => undo(&args, invocation).await,
    }
}

async fn give(args: &Args, node: &str, invocation: &Invocation) -> Result<Exit, Failure> {
    let mut coordinators = invocation.coordinators_for(WITHIN)?;
    let request = SwitchOverRequest {
        group: args.group.name.clone(),
        site: args.group.site.clone(),
        node: node.to_owned(),
        for_s: args.lasts.unwrap_or_default(),
        why: args.reason.clone(),
    };
    let attempted = format!("hand {} over to {}", args.group, clean(node));
    let answer = coordinators
        .call(&attempted, request, async |client, request| client.switch_over(request).await)
        .await?;
    if invocation.is_for_people() {
        let look = invocation.look(fleet(&mut coordinators).await?.at_us);
        invocation.write(&text(&look, &answer))?;
    } else {
        invocation.object(&shape::Switchover::from(&answer), String::new)?;
    }
    Ok(Exit::Fine)
}

fn text(look: &Look, answer: &SwitchOverResponse) -> String {
    let (group, to) = (clean(&answer.group), clean(&answer.to));
    if answer.order_id.is_empty() {
        return format!("{to} holds {group} already; nothing was ordered\n");
    }
    let mut text = format!("{to} holds {group} after {} ms", answer.taken_us / 1000);
    if !answer.from.is_empty() {
        text.push_str(&format!(
            "; {} released it after {} ms",
            clean(&answer.from),
            answer.released_us / 1000
        ));
    }
    let until = if answer.until_us == 0 { "it is undone".to_owned() } else { look.time(answer.until_us) };
    text.push_str(&format!("\npriority {} until {until}\n", answer.priority));
    text
}

async fn undo(args: &Args, invocation: &Invocation) -> Result<Exit, Failure> {
    let mut coordinators = invocation.coordinators_for(WITHIN)?;
    let request = UndoSwitchOverRequest { group: args.group.name.clone(), site: args.group.site.clone() };
    let attempted = format!("undo the switchover of {}", args.group);
    let answer = coordinators
        .call(&attempted, request, async |client, request| client.undo_switch_over(request).await)
        .await?;
    let nodes = clean(&answer.nodes.join(", "));
    invocation.object(&shape::SwitchoverUndone::from(&answer), || {
        format!("{} goes by the configured priorities again; {nodes} was told\n", clean(&answer.group))
    })?;
    if answer.pending.is_empty() {
        Ok(Exit::Fine)
    } else {
        Err(Failure::PartlyFailed {
            what: format!("{} is not reached now, and is told when it is", clean(&answer.pending.join(", "))),
            next: "`hactl status` shows what is still to be withdrawn.".to_owned(),
        })
    }
}
