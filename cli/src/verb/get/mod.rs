//! `hactl get`: one file per kind of thing.

mod audit;
pub mod fences;
mod findings;
mod groups;
mod instances;
mod nodes;
mod tokens;
mod transitions;

use hafleet_proto::v1::Group;

pub use self::{
    fences::tone as fence_tone,
    findings::{about, unknown as unknown_finding},
    instances::table as instance_table,
    nodes::{clock_offset, heard, journal, offset, unknown as unknown_node},
    transitions::{change, table as transition_table},
};

use crate::{
    connect::Coordinators,
    duration::{Since, parse_since},
    exit::Exit,
    failure::Failure,
    invocation::Invocation,
    verb::{config, fleet},
};

/// List nodes, groups, instances, findings, transitions, generations of the configuration, fences, tokens or the audit log.
#[derive(clap::Args, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "\
A list without entries is not an error; a NAME that does not exist is (exit code 3).

Examples:
  hactl get groups
  hactl get transitions --since 1h --group web
  hactl get findings --all --since 7d -o wide
  hactl get instances --node lb01 -o json"
)]
pub struct Args {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(clap::Subcommand, Debug)]
enum Kind {
    /// The hosts that run ha-agent: heard or not, what they hold
    #[command(alias = "node")]
    Nodes(nodes::Args),
    /// The virtual IP groups: who holds them, since when
    #[command(alias = "group")]
    Groups(groups::Args),
    /// The VRRP instances of every node
    #[command(alias = "instance")]
    Instances(instances::Args),
    /// What is wrong, with its probable cause
    #[command(alias = "finding")]
    Findings(findings::Args),
    /// Every change of state of every instance, oldest first
    #[command(alias = "transition")]
    Transitions(transitions::Args),
    /// What was applied to the whole fleet, by whom and why; the same as `hactl config history`
    #[command(alias = "config")]
    Configs(config::HistoryArgs),
    /// Who is fenced, was, or would have been, and why
    #[command(alias = "fence")]
    Fences(fences::Args),
    /// Join tokens: open, used and expired
    #[command(alias = "token")]
    Tokens(tokens::Args),
    /// What was asked of the coordinator and what it refused, newest first
    Audit(audit::Args),
}

/// `--since` and `--limit`.
#[derive(clap::Args, Debug)]
struct Window {
    /// Not older than this: 30m, 24h, 7d, or an instant such as 2026-11-23T12:00:00+01:00
    #[arg(long, value_parser = parse_since, value_name = "AGO|INSTANT")]
    since: Option<Since>,

    /// The newest N at most: 1 to 10000
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "N")]
    limit: u32,
}

impl Window {
    /// As the wire wants it: 0 for all.
    fn since_us(&self, now_us: i64) -> i64 {
        self.since.map_or(0, |since| since.at_us(now_us))
    }

    /// Does a question have to know the coordinator's clock?
    fn is_relative(&self) -> bool {
        matches!(self.since, Some(Since::Ago(_)))
    }
}

pub async fn run(args: Args, invocation: &Invocation) -> Result<Exit, Failure> {
    let mut coordinators = invocation.coordinators()?;
    match args.kind {
        Kind::Nodes(args) => nodes::run(&args, &mut coordinators, invocation).await,
        Kind::Groups(args) => groups::run(&args, &mut coordinators, invocation).await,
        Kind::Instances(args) => instances::run(&args, &mut coordinators, invocation).await,
        Kind::Findings(args) => findings::run(&args, &mut coordinators, invocation).await,
        Kind::Transitions(args) => transitions::run(args, &mut coordinators, invocation).await,
        Kind::Configs(args) => config::history(&args, &mut coordinators, invocation).await,
        Kind::Fences(args) => fences::run(&args, &mut coordinators, invocation).await,
        Kind::Tokens(args) => tokens::run(&args, &mut coordinators, invocation).await,
        Kind::Audit(args) => audit::run(&args, &mut coordinators, invocation).await,
    }?;
    Ok(Exit::Fine)
}

/// The coordinator's clock, asked for only where it is needed: people are told ages, programs are told instants.
async fn now_us(
    window: &Window,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<i64, Failure> {
    if invocation.is_for_people() || window.is_relative() {
        Ok(fleet(coordinators).await?.at_us)
    } else {
        Ok(0)
    }
}

/// Say on standard error that a list is empty, so that nobody takes silence for a fault.
fn note_empty(empty: bool, what: &str, invocation: &Invocation) {
    if empty && invocation.is_for_people() {
        invocation.note(&format!("No {what}."));
    }
}

/// Is the node a member?
fn has_member(group: &Group, node: &str) -> bool {
    group.members.iter().any(|member| member.node == node)
}
