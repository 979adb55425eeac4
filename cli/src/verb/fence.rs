//! `hactl fence`

mod status;

use std::time::Duration;

use clap::ValueEnum;
use comfy_table::Cell;
use hafleet_proto::v1;

use crate::{
    confirm,
    connect::Coordinators,
    exit::Exit,
    failure::Failure,
    grid::{Column, grid},
    invocation::Invocation,
    look::{Look, Tone, clean, human_us, or_nothing},
    shape::{self, level_word},
    verb::fleet,
};

/// End a split brain: propose, approve, deny or run a fence, and let a node back.
#[derive(clap::Args, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Who proposes and who approves are two: propose needs an operator, and approve, deny, run, confirm, \
release and resume need a fence-approver. Both may pause and test.

`hactl fence status` shows whether fencing would act, `hactl get fences` shows what waits for an approval, `hactl describe fence NODE` why."
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Whether fencing would act: modes, pause, rates, and whether each device is known to work
    Status,
    /// Ask for what the evidence against a node allows; somebody else approves it
    Propose(NodeArgs),
    /// Say yes to a fence that waits for it, up to a step
    Approve(ApproveArgs),
    /// Say no to a fence that has not acted; holds until this split brain is over
    Deny(DenyArgs),
    /// Take a step against a node on your own word
    Run(RunArgs),
    /// Vouch that a node is down: you have looked
    Confirm(AskedArgs),
    /// Let a fenced node back
    Release(AskedArgs),
    /// Take no further step against anybody
    Pause,
    /// Go on, and forget that rates were reached
    Resume(YesArgs),
    /// Ask the fence devices of a node for their status, changing nothing
    Test(TestArgs),
}

#[derive(clap::Args, Debug)]
struct NodeArgs {
    /// The node
    node: String,
}

#[derive(clap::Args, Debug)]
struct YesArgs {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

#[derive(clap::Args, Debug)]
struct AskedArgs {
    /// The node
    node: String,

    #[command(flatten)]
    yes: YesArgs,
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
A fence that needs a harder step than you allowed asks again.

Examples:
  hactl fence approve fence/17
  hactl fence approve fence/17 --up-to power
  hactl fence approve fence/17 --up-to power --yes --node lb02")]
struct ApproveArgs {
    /// Which: fence/N
    #[arg(value_name = "FENCE")]
    id: String,

    /// The hardest step allowed
    #[arg(long, value_enum, default_value_t = Level::Demote, value_name = "STEP")]
    up_to: Level,

    #[command(flatten)]
    consent: ConsentArgs,
}

#[derive(clap::Args, Debug)]
struct DenyArgs {
    /// Which: fence/N
    #[arg(value_name = "FENCE")]
    id: String,

    /// Why, for whoever asks later
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Your word needs no evidence. What may never be done may not be done by you either: a protected node, \
one in maintenance, a device that does not answer, the last good node of a group.

It takes up a fence that is open: one that waits for an approval, or that took a milder step. Exit code 5 when nothing \
acts: a program runs that must end first, or the same step worked a short time ago.

Examples:
  hactl fence run lb02
  hactl fence run lb02 --level power
  hactl fence run lb02 --level power --yes --node lb02")]
struct RunArgs {
    /// The node
    #[arg(value_name = "NODE", id = "target")]
    node: String,

    /// The step
    #[arg(long, value_enum, default_value_t = Level::Demote, value_name = "STEP")]
    level: Level,

    #[command(flatten)]
    consent: ConsentArgs,
}

#[derive(clap::Args, Debug)]
struct ConsentArgs {
    /// Do not ask; for power only together with --node
    #[arg(short, long)]
    yes: bool,

    /// The node's name once more, for power
    #[arg(long = "node", value_name = "NODE")]
    named: Option<String>,
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Each device's program is run with the action `status`, as it will be when a fence is verified: nothing is switched. \
STATUS is what the device says: on, off, or unknown when the program failed, did not end in time, or says neither. \
A device that is unknown here will not be trusted with a fence. The coordinator does the same by itself every ten \
minutes and raises fence_path_broken. Each test is written into the audit log.

Exit code 0 when every device said on or off, 1 when one did not, 3 when the node has no such device.

Examples:
  hactl fence test lb02
  hactl fence test lb02 --level power -o json")]
struct TestArgs {
    /// The node
    node: String,

    /// Only this device; without, every one of the node
    #[arg(long, value_enum, value_name = "STEP")]
    level: Option<DeviceLevel>,
}

/// `--level` of a test: a demote has no device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DeviceLevel {
    /// A switch port or a firewall
    Network,
    /// The host's power
    Power,
}

impl From<DeviceLevel> for v1::FenceLevel {
    fn from(level: DeviceLevel) -> Self {
        match level {
            DeviceLevel::Network => Self::Network,
            DeviceLevel::Power => Self::Power,
        }
    }
}

/// A status may take a minute, and there may be two: each coordinator has its share of this.
const TEST_WITHIN: Duration = Duration::from_secs(130);

/// `--level`, `--up-to`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    /// The agent releases the addresses and is held down
    Demote,
    /// A fence program: a switch port or a firewall
    Network,
    /// A fence program: the host's power
    Power,
}

impl From<Level> for v1::FenceLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Demote => Self::Demote,
            Level::Network => Self::Network,
            Level::Power => Self::Power,
        }
    }
}

pub async fn run(args: Args, invocation: &Invocation) -> Result<Exit, Failure> {
    let mut coordinators = match &args.verb {
        Verb::Test(_) => invocation.coordinators_for(TEST_WITHIN)?,
        Verb::Propose(_) | Verb::Approve(_) | Verb::Deny(_) | Verb::Run(_) | Verb::Confirm(_) => {
            invocation.coordinators()?
        }
        Verb::Release(_) | Verb::Pause | Verb::Resume(_) | Verb::Status => invocation.coordinators()?,
    };
    let coordinators = &mut coordinators;
    match args.verb {
        Verb::Status => status::run(coordinators, invocation).await,
        Verb::Propose(NodeArgs { node }) => {
            let request = v1::ProposeFenceRequest { node: node.clone() };
            let ask = format!("propose to fence {}", clean(&node));
            let answer = coordinators
                .call(&ask, request, async |client, request| client.fence.propose(request).await)
                .await?;
            tell(&answer, invocation)
        }
        Verb::Approve(args) => approve(&args, coordinators, invocation).await,
        Verb::Deny(DenyArgs { id, reason }) => {
            let ask = format!("deny {}", clean(&id));
            let request = v1::DenyFenceRequest { id, why: reason };
            let answer = coordinators
                .call(&ask, request, async |client, request| client.fence.deny(request).await)
                .await?;
            tell(&answer, invocation)
        }
        Verb::Run(args) => run_step(&args, coordinators, invocation).await,
        Verb::Confirm(AskedArgs { node, yes }) => {
            let name = clean(&node);
            confirm::ask(&format!("Have you looked, and is {name} down?"), yes.yes)?;
            let request = v1::ConfirmFenceRequest { node };
            let answer = coordinators
                .call(&format!("confirm that {name} is down"), request, async |client, request| {
                    client.fence.confirm(request).await
                })
                .await?;
            tell(&answer, invocation)
        }
        Verb::Release(AskedArgs { node, yes }) => {
            let name = clean(&node);
            confirm::ask(&format!("Let {name} back? It may take its addresses again."), yes.yes)?;
            let request = v1::ReleaseFenceRequest { node };
            let answer = coordinators
                .call(&format!("release {name}"), request, async |client, request| {
                    client.fence.release(request).await
                })
                .await?;
            tell(&answer, invocation)
        }
        Verb::Pause => {
            let request = v1::PauseFencingRequest {};
            coordinators
                .call("pause fencing", request, async |client, request| client.fence.pause(request).await)
                .await?;
            let text = || "all fencing is paused; go on with: hactl fence resume\n".to_owned();
            invocation.object(&shape::Fencing { paused: true }, text)?;
            Ok(Exit::Fine)
        }
        Verb::Resume(YesArgs { yes }) => {
            confirm::ask("Let fencing go on, and forget that rates were reached?", yes)?;
            let request = v1::ResumeFencingRequest {};
            coordinators
                .call("resume fencing", request, async |client, request| client.fence.resume(request).await)
                .await?;
            invocation.object(&shape::Fencing { paused: false }, || "fencing goes on\n".to_owned())?;
            Ok(Exit::Fine)
        }
        Verb::Test(args) => test(&args, coordinators, invocation).await,
    }
}

async fn approve(
    args: &ApproveArgs,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<Exit, Failure> {
    let request = v1::GetFenceRequest { name: args.id.clone() };
    let fence = coordinators
        .call(&format!("read {}", clean(&args.id)), request, async |client, request| {
            client.fence.get(request).await
        })
        .await?;
    let level = v1::FenceLevel::from(args.up_to);
    let question = format!(
        "{}. Approve {} against {} up to {}?",
        clean(or_nothing(&fence.explanation)),
        clean(&fence.id),
        clean(&fence.target),
        level_word(level).unwrap_or_default()
    );
    let node_typed = consent(&fence.target, &question, args.up_to, &args.consent)?;
    let request = v1::ApproveFenceRequest { id: fence.id.clone(), up_to: level.into(), node_typed };
    let answer = coordinators
        .call(&format!("approve {}", clean(&fence.id)), request, async |client, request| {
            client.fence.approve(request).await
        })
        .await?;
    tell(&answer, invocation)
}

async fn run_step(
    args: &RunArgs,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<Exit, Failure> {
    let level = v1::FenceLevel::from(args.level);
    let what = format!("{} {}", level_word(level).unwrap_or_default(), clean(&args.node));
    let node_typed = consent(&args.node, &format!("Fence: {what}?"), args.level, &args.consent)?;
    let request = v1::RunFenceRequest { node: args.node.clone(), level: level.into(), node_typed };
    let answer = coordinators
        .call(&format!("fence: {what}"), request, async |client, request| client.fence.run(request).await)
        .await?;
    let exit = tell(&answer, invocation)?;
    match answer.fence.as_ref().and_then(idle) {
        Some(next) => {
            let what = format!("not done: {what}: nothing acts on this order");
            Err(Failure::Conflict { what, next })
        }
        None => Ok(exit),
    }
}

/// What to do when an order was answered by an operation that does nothing now and holds nobody out.
fn idle(fence: &v1::Fence) -> Option<String> {
    let (id, target) = (clean(&fence.id), clean(&fence.target));
    match fence.state.as_str() {
        "awaiting_approval" => Some(format!("It waits for a person: hactl fence approve {id} --up-to STEP")),
        "released" => Some(format!(
            "{id} did this a short time ago, and {target} was let back since: the same step is not repeated within \
             fencing.windows.recent (10m). A harder one is: --level."
        )),
        "failed" | "unknown" => Some(format!(
            "Look why: hactl describe fence {target}. Then order a step with a device (--level), or: hactl fence \
             release {target}"
        )),
        "proposed" | "denied" => {
            Some(format!("Look why: hactl describe fence {target}. Then order it again."))
        }
        _ => None,
    }
}

/// What is typed for power; nothing for milder steps.
fn consent(node: &str, question: &str, level: Level, args: &ConsentArgs) -> Result<String, Failure> {
    match level {
        Level::Power => confirm::ask_for_name(node, args.yes, args.named.as_deref()),
        Level::Demote | Level::Network => confirm::ask(question, args.yes).map(|_| String::new()),
    }
}

fn tell(answer: &v1::FenceAnswer, invocation: &Invocation) -> Result<Exit, Failure> {
    let shape = answer.fence.as_ref().map(shape::Fence::from);
    invocation.object(&shape, || match &answer.fence {
        Some(fence) => format!(
            "{} against {} is {}: {}\n",
            clean(&fence.id),
            clean(&fence.target),
            clean(&fence.state),
            clean(&fence.detail)
        ),
        None => "done\n".to_owned(),
    })?;
    Ok(Exit::Fine)
}

async fn test(
    args: &TestArgs,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<Exit, Failure> {
    let level = args.level.map_or(v1::FenceLevel::Unspecified, v1::FenceLevel::from);
    let request = v1::TestFenceRequest { node: args.node.clone(), level: level.into() };
    let ask = format!("test the fence devices of {}", clean(&args.node));
    let answer =
        coordinators.call(&ask, request, async |client, request| client.fence.test(request).await).await?;
    let now_us = if invocation.is_for_people() { fleet(coordinators).await?.at_us } else { 0 };
    let shapes: Vec<_> = answer.tested.iter().map(shape::FenceTested::from).collect();
    invocation.list(&shapes, || tested(&invocation.look(now_us), &answer.tested))?;
    let all = answer.tested.iter().all(|tested| tested.reading != "unknown");
    Ok(if all { Exit::Fine } else { Exit::Unhealthy })
}

fn tested(look: &Look, tested: &[v1::FenceTested]) -> String {
    let columns = [
        Column::Fixed("STEP"),
        Column::Fixed("STATUS"),
        Column::Free("ENDED"),
        Column::Fixed("TOOK"),
        Column::Free("OUTPUT"),
        Column::Wide("COMMAND"),
    ];
    let rows = tested.iter().map(|one| {
        let tone = if one.reading == "unknown" { Tone::Bad } else { Tone::Good };
        let cells: Vec<Cell> = vec![
            look.text(level_word(one.level()).unwrap_or_default()),
            look.cell(tone, &one.reading),
            look.text(&one.exit),
            look.text(&human_us(one.took_us)),
            look.text(one.output.trim_end()),
            look.text(&one.command),
        ];
        cells
    });
    grid(look, &columns, rows.collect())
}
