//! The command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    address::Address,
    duration,
    verb::{
        completion, config, context, describe, doctor, explain, fence, get, maintenance, node, status,
        switchover, user, watch,
    },
};

/// See and steer a hafleet fleet: who holds which virtual IP, since when, and what is wrong.
#[derive(Parser, Debug)]
#[command(
    name = "hactl",
    version,
    propagate_version = false,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  hactl context add /var/lib/hafleet/coordinator/admin.toml
                                      use the credential that `ha-coordinator init` wrote
  hactl status                        is the fleet well?
  hactl get groups                    who holds what, since when
  hactl explain web                   why is group web where it is?
  hactl watch                         see changes as they happen
  hactl switchover web --to lb02      hand group web over to lb02

Exit codes:
  0 fine   1 a finding is firing (status, doctor), a difference (config diff, drift)   2 usage   3 not found   4 denied
  5 conflict   6 partly failed   7 no coordinator reached in time"
)]
pub struct Cli {
    /// For every verb.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags that every verb takes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// How to print the answer; json and jsonl are for programs
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub output: Format,

    /// The fleet to ask: a name that `hactl context list` shows, or a context file
    #[arg(long, global = true, env = "HACTL_CONTEXT", hide_env_values = true, value_name = "NAME|FILE")]
    pub context: Option<String>,

    /// Ask these coordinators, in this order, instead of those of the context
    #[arg(
        long,
        global = true,
        env = "HACTL_COORDINATOR",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "HOST:PORT"
    )]
    pub coordinator: Vec<Address>,

    /// How long one question may take over all coordinators together
    #[arg(long, global = true, default_value = "10s", value_parser = duration::parse_timeout, value_name = "DURATION")]
    pub timeout: Duration,

    /// Colour; auto means on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub color: Colour,

    /// Print the answer alone: no column titles, no hints, no warnings
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// `-o`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns that fit the terminal
    Table,
    /// Every column, however long the lines
    Wide,
    /// One JSON document
    Json,
    /// One JSON object per line
    Jsonl,
}

/// `--color`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What hactl can do.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// One screen: is the fleet well, what is wrong, who holds what since when
    Status(status::Args),
    /// List nodes, groups, instances, findings, transitions, configurations, fences, tokens or the audit log
    Get(get::Args),
    /// Everything that is known of one node, group, finding or fence, with the age of each fact
    Describe(describe::Args),
    /// Follow the fleet live
    Watch(watch::Args),
    /// Why a group is where it is: the election told in words
    Explain(explain::Args),
    /// Hand a group over to a node, or take that back
    Switchover(switchover::Args),
    /// Take a node out of service for work on it, and put it back
    Maintenance(maintenance::Args),
    /// What the whole fleet runs: judge, compare, apply and roll back its configuration
    Config(config::Args),
    /// End a split brain: propose, approve, deny or run a fence, and let a node back
    Fence(fence::Args),
    /// Let nodes join the fleet, or shut them out
    Node(node::Args),
    /// People and programs: who may do what
    User(user::Args),
    /// The fleets that this hactl knows, and which one it talks to
    Context(context::Args),
    /// Print the completion script for a shell
    Completion(completion::Args),
    /// What stands between you and a fleet that is well: context, coordinators, clocks, the fleet
    Doctor(doctor::Args),
}
