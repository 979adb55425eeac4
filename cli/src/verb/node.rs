//! `hactl node`

use hafleet_proto::v1::{CreateTokenRequest, RevokeNodeRequest};

use crate::{
    confirm::{self, Consent},
    connect::{CallError, Coordinators},
    duration,
    exit::Exit,
    failure::{Failure, chain},
    grid::fields,
    invocation::Invocation,
    look::clean,
    shape,
    verb::fleet,
};

/// Let nodes join the fleet, or shut them out.
#[derive(clap::Args, Debug)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Make a join token, and print the command that uses it on the new node
    Token(TokenArgs),
    /// Shut nodes out: their certificates are refused from now on
    Revoke(RevokeArgs),
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
A token is good for one join and then used up. It is shown once; the coordinator keeps only its \
hash. It also carries the fingerprint of the fleet's CA, so that the new node cannot be lured \
elsewhere.

Examples:
  hactl node token --node lb03
  hactl node token --node lb03 --lifetime 10m
  ssh lb03 ha-agent join --coordinator coord1:7443 --token \"$(hactl node token --node lb03 -q)\"")]
struct TokenArgs {
    /// Only a node of this name may use it; without, any new name may
    #[arg(long, value_name = "NAME")]
    node: Option<String>,

    /// How long it can be used: 1m to 7d
    #[arg(long, default_value = "1h", value_parser = duration::parse_lifetime, value_name = "DURATION")]
    lifetime: u64,
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
The stream of a revoked node ends at once and its certificate is refused. Its VRRP goes on: what \
it holds it still holds, and the coordinator no longer hears of it. Stop ha-agent on it first. Its \
name is refused for good; the host comes back under another: `hactl node token --node NEW`, then \
`ha-agent join --name NEW`.

Examples:
  hactl node revoke lb03
  hactl node revoke lb03 lb04 --yes")]
struct RevokeArgs {
    /// The nodes
    #[arg(required = true, value_name = "NAME")]
    nodes: Vec<String>,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn run(args: Args, invocation: &Invocation) -> Result<Exit, Failure> {
    let mut coordinators = invocation.coordinators()?;
    match args.verb {
        Verb::Token(args) => token(args, &mut coordinators, invocation).await,
        Verb::Revoke(args) => {
            let names = clean(&args.nodes.join(", "));
            let consent =
                confirm::ask(&format!("Revoke {names}? The coordinator will refuse to hear it."), args.yes)?;
            revoke(&args.nodes, &mut coordinators, invocation, consent).await
        }
    }
}

async fn token(
    args: TokenArgs,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<Exit, Failure> {
    let node = args.node.unwrap_or_default();
    let request = CreateTokenRequest { node: node.clone(), lifetime_s: args.lifetime };
    let answer = coordinators
        .call("make a join token", request, async |client, request| client.create_token(request).await)
        .await?;
    let list: Vec<String> = coordinators.addresses().map(ToString::to_string).collect();
    let mut command = format!("ha-agent join --coordinator {} --token {}", list.join(","), answer.token);
    if !node.is_empty() {
        command.push_str(&format!(" --name {node}"));
    }
    if invocation.is_for_people() && invocation.quiet() {
        invocation.write(&format!("{}\n", clean(&answer.token)))?;
    } else if invocation.is_for_people() {
        let look = invocation.look(fleet(coordinators).await?.at_us);
        let whose = if node.is_empty() { "any new node" } else { &node };
        // Not wrapped: both are there to be copied.
        invocation.write(&format!(
            "{}\n\n{}\nRun this on the node, as root:\n\n  {}\n",
            clean(&answer.token),
            fields(
                &look,
                vec![("For", look.text(whose)), ("Until", look.text(&look.time(answer.expires_at_us)))]
            ),
            clean(&command)
        ))?;
    } else {
        invocation.object(&shape::NewToken::new(&answer, &node, &command), String::new)?;
    }
    Ok(Exit::Fine)
}

/// Each node is asked for, whatever became of the one before.
async fn revoke(
    nodes: &[String],
    coordinators: &mut Coordinators,
    invocation: &Invocation,
    _: Consent,
) -> Result<Exit, Failure> {
    let mut done = Vec::new();
    let mut failed: Vec<CallError> = Vec::new();
    for node in nodes {
        let request = RevokeNodeRequest { node: node.clone() };
        let answer = coordinators
            .call(&format!("revoke node {node}"), request, async |client, request| {
                client.revoke_node(request).await
            })
            .await;
        match answer {
            Ok(_) => done.push(shape::Revoked::new(node)),
            Err(error) => failed.push(error),
        }
    }
    invocation.list(&done, || {
        done.iter().map(|node| format!("node {} is revoked\n", clean(&node.node))).collect::<String>()
    })?;
    match (failed.pop(), done.is_empty()) {
        (None, _) => Ok(Exit::Fine),
        (Some(error), true) if failed.is_empty() => Err(error.into()),
        (Some(error), _) => {
            failed.push(error);
            let reasons: Vec<String> = failed.iter().map(|error| chain(error)).collect();
            Err(Failure::PartlyFailed {
                what: format!(
                    "{} of {} nodes were not revoked: {}",
                    failed.len(),
                    nodes.len(),
                    reasons.join("; ")
                ),
                next: "`hactl get nodes` shows which are.".to_owned(),
            })
        }
    }
}
