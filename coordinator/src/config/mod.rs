//! `coordinator.toml`, read once at the border into types that cannot be wrong.

mod fencing;
mod problem;
mod raw;
#[cfg(test)]
mod tests;
mod windows;

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

pub use fencing::{FenceDevice, Fencing, REFERENCE_PORT, SealedParameterError, parse_sealed_name};
use hafleet_fleet::Windows;
pub use problem::{Problem, Problems};

use crate::store::DatabaseUrl;

/// Where the configuration is looked for when none is named.
pub const DEFAULT_PATH: &str = "/etc/hafleet/coordinator.toml";
/// Where the CA, the keys and the database live unless configured.
pub const DEFAULT_DATA_DIR: &str = "/var/lib/hafleet/coordinator";
/// Where agents and operators connect unless configured.
pub const DEFAULT_LISTEN: &str = "0.0.0.0:7443";

/// The whole configuration, defaults filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to accept gRPC.
    pub listen: SocketAddr,
    /// CA, keys, database.
    pub data_dir: PathBuf,
    /// `None` is SQLite in the data dir.
    pub database: Option<DatabaseUrl>,
    /// How long a node's certificate is valid.
    pub node_certificate_lifetime: Duration,
    /// The address people reach the coordinator by, for links in messages.
    pub external_url: String,
    /// The fleet core's windows.
    pub windows: Windows,
    /// Who is told about findings.
    pub receivers: Vec<Receiver>,
    /// Who may be fenced, by what, and how carefully.
    pub fencing: Fencing,
}

/// One who is told.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Its name, unique.
    pub name: String,
    /// How it is told.
    pub kind: ReceiverKind,
}

/// How a receiver is told.
#[derive(Clone, Debug)]
pub enum ReceiverKind {
    /// A line in the coordinator's log.
    Log,
    /// An HTTP POST in Alertmanager's v4 shape.
    Webhook(Webhook),
    /// A mail over SMTP.
    Email(Box<Email>),
}

/// Where a webhook goes.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// `http://` or `https://`.
    pub url: String,
    /// Trust these authorities (PEM) instead of the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// How long one attempt may take.
    pub timeout: Duration,
}

/// Where mail goes.
#[derive(Clone, Debug)]
pub struct Email {
    /// The mail server's host name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the line is protected.
    pub security: SmtpSecurity,
    /// User and password, if the server wants them.
    pub credentials: Option<SmtpCredentials>,
    /// Sender.
    pub from: lettre::message::Mailbox,
    /// Receivers.
    pub to: Vec<lettre::message::Mailbox>,
    /// Trust this authority (PEM) besides the public ones.
    pub ca_pem: Option<Vec<u8>>,
    /// How long one attempt may take.
    pub timeout: Duration,
}

/// How the line to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// In clear at first, then STARTTLS, which must succeed (port 587).
    Starttls,
    /// TLS from the first byte (port 465).
    Tls,
    /// In clear (port 25).
    None,
}

/// A mail server's account.
#[derive(Clone)]
pub struct SmtpCredentials {
    /// User.
    pub username: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for SmtpCredentials {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmtpCredentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is wrong.
    #[error("{0}")]
    Wrong(Problems),
}

impl Config {
    /// Reads `file`, or the default path if there is such a file, or takes the defaults.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let default = Path::new(DEFAULT_PATH);
        match file {
            Some(file) => Self::read(file),
            None if default.exists() => Self::read(default),
            None => Self::parse("", default),
        }
    }

    fn read(file: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(file).map_err(|source| ConfigError::Read { file: file.to_owned(), source })?;
        Self::parse(&text, file)
    }

    /// Reads a text; `file` is named in errors and is what relative paths are relative to.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        raw::parse(text, file).map_err(ConfigError::Wrong)
    }
}
