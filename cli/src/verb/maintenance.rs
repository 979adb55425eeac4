//! `hactl maintenance`

use std::time::Duration;

use hafleet_proto::v1::{SetMaintenanceRequest, SetMaintenanceResponse};
use tonic::Code;

use crate::{
    connect::{CallError, Coordinators},
    duration,
    exit::Exit,
    failure::{Failure, chain},
    invocation::Invocation,
    look::clean,
    shape,
    verb::fleet,
};

/// The coordinator waits this long at most for a node to release what it holds.
const WITHIN: Duration = Duration::from_secs(30);

/// Take a node out of service for work on it, and put it back.
#[derive(clap::Args, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "\
In maintenance a node hands over what it holds and takes nothing, also after a restart of its agent. That it is \
not heard, or works with another configuration, is no finding meanwhile.

Examples:
  hactl maintenance on lb01 --for 2h --reason 'new kernel'
  hactl maintenance off lb01"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// The node hands over and takes nothing
    On(OnArgs),
    /// The node takes part again
    Off {
        /// The node
        #[arg(value_name = "NODE")]
        node: String,
    },
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Exit code 5: it is in maintenance already, or nobody else can hold one of its groups (--yes does it nevertheless). \
Exit code 6: the node is not reached now; it is told when it is.")]
struct OnArgs {
    /// The node
    #[arg(value_name = "NODE")]
    node: String,

    /// For how long: 1m to 30d; without, until `maintenance off`
    #[arg(long = "for", value_parser = duration::parse_order, value_name = "DURATION")]
    lasts: Option<u64>,

    /// Why, for the audit log and for those who wonder
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,

    /// Also if a group has no other member that can hold it
    #[arg(short, long)]
    yes: bool,
}

pub async fn run(args: Args, invocation: &Invocation) -> Result<Exit, Failure> {
    let mut coordinators = invocation.coordinators_for(WITHIN)?;
    let request = match args.verb {
        Verb::On(args) => SetMaintenanceRequest {
            node: args.node,
            on: true,
            for_s: args.lasts.unwrap_or_default(),
            why: args.reason,
            even_if_last: args.yes,
        },
        Verb::Off { node } => SetMaintenanceRequest { node, ..SetMaintenanceRequest::default() },
    };
    let answer = set(&request, &mut coordinators).await?;
    let text = text(&request, &answer, &mut coordinators, invocation).await?;
    invocation.object(&shape::Maintained::new(&request, &answer), || text)?;
    if answer.pending {
        return Err(Failure::PartlyFailed {
            what: format!(
                "{} is not reached now, or cannot do it yet, and is told until it has",
                clean(&request.node)
            ),
            next: "`hactl status` shows which orders are still on their way.".to_owned(),
        });
    }
    Ok(Exit::Fine)
}

async fn set(
    request: &SetMaintenanceRequest,
    coordinators: &mut Coordinators,
) -> Result<SetMaintenanceResponse, Failure> {
    let verb = if request.on { "put" } else { "take" };
    let way = if request.on { "into" } else { "out of" };
    let attempted = format!("{verb} {} {way} maintenance", clean(&request.node));
    let answer = coordinators
        .call(&attempted, request.clone(), async |client, request| client.set_maintenance(request).await)
        .await;
    answer.map_err(|error| match &error {
        CallError::Refused { code: Code::FailedPrecondition, message, .. }
            if message.contains("is the last member that can hold") =>
        {
            Failure::Conflict { what: chain(&error), next: "Say --yes if that is what you want.".to_owned() }
        }
        CallError::Refused { .. } | CallError::NoAnswer { .. } => error.into(),
    })
}

async fn text(
    request: &SetMaintenanceRequest,
    answer: &SetMaintenanceResponse,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<String, Failure> {
    // What it is to become is said when it is.
    if answer.pending {
        return Ok(String::new());
    }
    let node = clean(&request.node);
    if !request.on {
        let was = if answer.order_id.is_empty() { "was not in" } else { "is out of" };
        return Ok(format!("{node} {was} maintenance\n"));
    }
    if !invocation.is_for_people() {
        return Ok(String::new());
    }
    let until = if answer.until_us == 0 {
        format!("`hactl maintenance off {node}`")
    } else {
        invocation.look(fleet(coordinators).await?.at_us).time(answer.until_us)
    };
    let mut text = format!("{node} is in maintenance until {until}\n");
    if !answer.released.is_empty() {
        text.push_str(&format!("it released {}\n", clean(&answer.released.join(", "))));
    }
    Ok(text)
}
