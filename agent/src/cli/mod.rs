//! The command line of `ha-agent`.

mod commands;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    config::Lease,
    join::{CoordinatorAddress, Name},
    log,
};

const STATE_DIR: &str = "/var/lib/hafleet/agent";
const CONFIG: &str = "/etc/hafleet/agent.toml";

/// Keeps virtual IP addresses alive on this host by VRRP, as keepalived does, and reports to a hafleet coordinator if it
/// has joined one. Without a coordinator it is complete.
#[derive(Debug, Parser)]
#[command(
    name = "ha-agent",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  is my keepalived.conf fine?
      ha-agent check --keepalived-conf /etc/keepalived/keepalived.conf
  run it instead of keepalived
      ha-agent run --keepalived-conf /etc/keepalived/keepalived.conf
  who is MASTER, since when and why
      ha-agent status
  report to a coordinator from now on
      ha-agent join --coordinator coord1:7443 --token hat1.…

Exit codes: 0 fine, 1 it did not work (the message says why and what to do), 2 wrong use of the command line."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent in the foreground until SIGTERM
    #[command(after_help = "\
Examples:
  with /etc/hafleet/agent.toml
      ha-agent run
  with keepalived's own file, and nothing else
      ha-agent run --keepalived-conf /etc/keepalived/keepalived.conf
  with addresses that stay when the agent is killed, as keepalived leaves them
      ha-agent run --keepalived-conf keepalived.conf --lease off

It needs CAP_NET_ADMIN and CAP_NET_RAW, or root. Stop keepalived first: two daemons on one host would \
both hold the address.

SIGTERM and SIGINT say priority 0, release the addresses and end with exit code 0. SIGHUP reads the \
configuration again and applies the difference without a gap; one with an error changes nothing. SIGUSR1 \
writes the whole state to the log.")]
    Run(Run),
    /// Read the configuration and say everything that is wrong or remarkable with it, with file, line and column
    #[command(after_help = "\
Examples:
  ha-agent check
  ha-agent check --keepalived-conf /etc/keepalived/keepalived.conf

Nothing is changed. Exit code 0: the agent would run with it (there may be warnings); 1: it would not.")]
    Check(Sources),
    /// Join a fleet: trade a one-use token for this node's identity
    #[command(after_help = "\
Examples:
  an administrator makes a token
      hactl node token --node lb01
  and this node joins with it
      ha-agent join --coordinator coord1:7443 --token hat1.… --name lb01
  with two coordinators
      ha-agent join --coordinator coord1:7443,coord2:7443 --token hat1.… --site dc2

The key is made on this host and never leaves it. The token names the CA to trust, so nobody in \
between can pass for the coordinator. A running agent takes the identity up within seconds, without a \
restart. Joining again replaces the identity.")]
    Join(Join),
    /// Show what the running agent does: instances, why they are what they are, addresses, uplink, journal
    #[command(after_help = "\
Examples:
  ha-agent status
  ha-agent status -o json | jq '.instances[] | {name, state, since}'")]
    Status(Status),
    /// Remove the addresses that a dead agent left behind, and say priority 0 for them
    #[command(after_help = "\
Examples:
  ha-agent release
  ha-agent release --keepalived-conf /etc/keepalived/keepalived.conf

systemd runs it after the agent has ended, however it ended. It does nothing while an agent runs with \
the same state directory, and nothing when nothing was left behind.")]
    Release(Release),
}

/// Which files configure the agent.
#[derive(Debug, Args)]
struct Sources {
    /// The native configuration; without either option /etc/hafleet/agent.toml is read
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A keepalived.conf, unchanged. Alone it is enough; with --config its instances come in addition
    #[arg(long, value_name = "FILE")]
    keepalived_conf: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct StateDir {
    /// Where the agent keeps its identity, journal and status socket
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    state_dir: PathBuf,
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    state: StateDir,
    /// How the kernel forgets addresses if the agent hangs or is killed: after a duration from 1s to 1h, or "off" for never,
    /// which is keepalived's way [default: as configured, else 3s]
    #[arg(long, value_name = "off|DURATION")]
    lease: Option<Lease>,
    /// How the log on standard error looks; HA_AGENT_LOG=debug shows more of it
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: log::Format,
}

#[derive(Debug, Args)]
struct Join {
    /// One coordinator or more, in the order to try them; the port is 7443 if not said
    #[arg(long, value_name = "HOST:PORT", required = true, value_delimiter = ',')]
    coordinator: Vec<CoordinatorAddress>,
    // Not parsed here: an error of clap's would repeat the secret.
    /// What `hactl node token` printed. It is good once and for an hour
    #[arg(long, value_name = "TOKEN", env = "HA_AGENT_TOKEN", hide_env_values = true)]
    token: String,
    /// This node's name [default: the host's name]
    #[arg(long, value_name = "NODE")]
    name: Option<Name>,
    /// The name of the layer-2 network that this node shares with its peers
    #[arg(long, value_name = "SITE", default_value = "default")]
    site: Name,
    #[command(flatten)]
    state: StateDir,
}

#[derive(Debug, Args)]
struct Status {
    /// A table for people or JSON for scripts
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    state: StateDir,
}

#[derive(Debug, Args)]
struct Release {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    state: StateDir,
    /// As `ha-agent run` was told: with "off" an address of priority 255 counts as left behind, otherwise a permanent one
    /// is the host's own and stays
    #[arg(long, value_name = "off|DURATION")]
    lease: Option<Lease>,
}

/// How a status is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    #[default]
    Table,
    /// For scripts
    Json,
}

/// Does what the command line says. Wrong use ends the process with 2 before this returns.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Run(run) => commands::run(run),
        Command::Check(sources) => commands::check(sources),
        Command::Join(join) => commands::join(join),
        Command::Status(status) => commands::status(&status),
        Command::Release(release) => commands::release(release),
    };
    done.unwrap_or_else(|error| {
        commands::complain(&error);
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests;
