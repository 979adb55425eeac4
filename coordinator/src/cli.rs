//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{config, identity::ca::ServerName, store::DatabaseUrl};

/// Hears every agent of a fleet, keeps its history, finds what no single host can see, and tells people
#[derive(Debug, Parser)]
#[command(
    name = "ha-coordinator",
    version,
    propagate_version = true,
    after_help = "Examples:\n  \
        ha-coordinator init --name coord1.example.org,10.0.0.5\n  \
        ha-coordinator serve\n  \
        hactl --context /var/lib/hafleet/coordinator/admin.toml status\n\n\
        `init` once, then `serve` (or `systemctl enable --now ha-coordinator`). A host joins with a token:\n  \
        hactl node token --node lb01          on your desk\n  \
        ha-agent join --coordinator coord1.example.org:7443 --token hat1.…    on the host"
)]
pub struct Cli {
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "HAFLEET_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make the CA, the server certificate, the administrator's credential and the database
    Init(Init),
    /// Serve agents and operators
    Serve(Serve),
    /// Say whether the configuration is right; exit 0 if it is, 1 with every place that is wrong
    Check(Inputs),
    /// Bring the database to this version's schema (`serve` does it by itself)
    Migrate(Inputs),
    /// Copy the embedded database into a new file while the coordinator runs
    Backup(Backup),
    /// Seal what nobody may read in coordinator.toml
    Secret(Secret),
}

/// `init`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ha-coordinator init --name coord1.example.org,10.0.0.5\n  \
    ha-coordinator init --data-dir /srv/hafleet --name 10.0.0.5\n\n\
    Give every host name and address under which agents and hactl will reach this coordinator: a name that is not \
    in the certificate is refused by them.")]
pub struct Init {
    /// Where to put everything; made with mode 0700 if it does not exist
    #[arg(long, value_name = "DIR", default_value = config::DEFAULT_DATA_DIR)]
    pub data_dir: PathBuf,
    /// Host names and addresses of this coordinator, the first being the one to tell people
    #[arg(long, value_name = "HOST[,HOST|IP…]", required = true, value_delimiter = ',', value_parser = ServerName::parse)]
    pub name: Vec<ServerName>,
    /// The port that the administrator's context file names
    #[arg(long, value_name = "PORT", default_value_t = 7443)]
    pub port: u16,
    /// sqlite:PATH or postgres://…; default: SQLite in the data dir
    #[arg(long, value_name = "URL", env = "HAFLEET_DATABASE", hide_env_values = true)]
    pub database: Option<DatabaseUrl>,
    /// Make everything anew although the data dir is in use; the old files are moved aside, not deleted, and every
    /// node must join again
    #[arg(long)]
    pub force: bool,
}

/// Where the configuration comes from.
#[derive(Debug, Args)]
pub struct Inputs {
    /// The configuration; without it /etc/hafleet/coordinator.toml if there is one, else defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// CA, keys and database; overrides `data_dir`
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// sqlite:PATH or postgres://…; overrides `database`
    #[arg(long, value_name = "URL", env = "HAFLEET_DATABASE", hide_env_values = true)]
    pub database: Option<DatabaseUrl>,
}

/// `serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ha-coordinator serve\n  \
    ha-coordinator serve --data-dir /srv/hafleet --listen 10.0.0.5:7443\n  \
    ha-coordinator serve --database postgres://hafleet@db.example.org/hafleet\n\n\
    SIGTERM ends every stream in order and exits 0; nothing that was acknowledged is lost. VIPs do not depend on the \
    coordinator.")]
pub struct Serve {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub inputs: Inputs,
    /// Where to accept agents and operators; overrides `listen` [default: 0.0.0.0:7443]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
}

/// `backup`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ha-coordinator backup /backup/hafleet-2026-11-23.db\n\n\
    The copy is consistent although the coordinator runs. Keep ca.pem, ca.key and secrets.key of the data dir in another \
    place: without ca.key every node must join again, and without secrets.key nobody can read the fleet's configuration \
    in the copy. None of them is in it. A PostgreSQL database is backed up with pg_dump.")]
pub struct Backup {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub inputs: Inputs,
    /// The file to make; it must not exist
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `secret`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct Secret {
    /// What to do.
    #[command(subcommand)]
    pub verb: SecretVerb,
}

/// What to do with a secret.
#[derive(Debug, Subcommand)]
pub enum SecretVerb {
    /// Read a secret, and print what may stand in coordinator.toml in its place
    Seal(SecretSeal),
}

/// `secret seal`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ha-coordinator secret seal lb02/power/password          asks for it, and does not show it\n  \
    ha-coordinator secret seal lb02/power/password <ipmi-password\n\n\
    The secret is one line of standard input. What is printed goes into the device's table:\n  \
    parameters = { ip = \"10.0.9.2\", password = { sealed = \"sealed:v1:…\" } }\n\n\
    It opens for this parameter of this node's device only, and with secrets.key of this data dir only, which is made if \
    there is none. Run it as root, or as the user that the coordinator runs as.")]
pub struct SecretSeal {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub inputs: Inputs,
    /// What it is for
    #[arg(value_name = "NODE/RUNG/PARAMETER", value_parser = config::parse_sealed_name)]
    pub name: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_shows_commands_that_exist() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("hactl node token --node lb01 "), "{help}");
    }

    #[test]
    fn what_is_later_work_is_not_accepted() {
        assert!(Cli::try_parse_from(["ha-coordinator", "serve", "--web", "0.0.0.0:8443"]).is_err());
    }

    #[test]
    fn names_are_split_and_checked() {
        let cli = Cli::try_parse_from(["ha-coordinator", "init", "--name", "coord1,10.0.0.5,::1"]).unwrap();
        assert!(matches!(cli.verb, Verb::Init(init) if init.name.len() == 3));
        assert!(Cli::try_parse_from(["ha-coordinator", "init", "--name", "coord1:7443"]).is_err());
    }
}
