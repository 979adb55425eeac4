//! What an agent is configured to do, whichever file said it.
//!
//! Two readers, one model: [`native`] reads `agent.toml`, [`keepalived`] reads keepalived.conf unchanged. Both parse at
//! the border: what comes out as [`AgentConfig`] cannot be wrong by itself; what a reader found remarkable comes out
//! as [`Finding`]s with file, line and column.
//!
//! ```text
//! agent.toml ───────► native ─────┐
//!                                 ├─► validate (what concerns more than one instance) ─► Loaded
//! keepalived.conf ──► keepalived ─┘                                                    └► LoadError
//! ```

pub mod keepalived;
mod load;
pub mod native;
mod render;
mod source;
mod validate;

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

pub use load::{Inputs, LoadError, Loaded, check, load};
pub use render::{Style, render};
pub use source::Sources;

use hafleet_vrrp::{
    AdvertInterval, Announcing, Authentication, ChecksumForm, Priority, Version, Vip, VirtualRouterId,
};

/// Everything an agent needs to run.
#[derive(Clone, Debug, Default)]
pub struct AgentConfig {
    /// The node's name; `None`: as joined, else the host name.
    pub node: Option<String>,
    /// The layer-2 world; `None`: as joined, else `default`.
    pub site: Option<String>,
    /// `host:port` of every coordinator; empty: as joined, else none.
    pub coordinators: Vec<String>,
    /// Every virtual router, in the order of the file.
    pub instances: Vec<Instance>,
}

/// One virtual router and what the shell needs to know to serve it.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Its name, unique.
    pub name: String,
    /// The service interface.
    pub interface: String,
    /// VRID, unique per interface and family.
    pub vrid: VirtualRouterId,
    /// Protocol version.
    pub version: Version,
    /// Base priority.
    pub priority: Priority,
    /// Advertisement interval.
    pub interval: AdvertInterval,
    /// False for `nopreempt`.
    pub preempt: bool,
    /// `preempt_delay`.
    pub preempt_delay: Duration,
    /// Version 2 password.
    pub authentication: Authentication,
    /// Version 3 checksum form to send.
    pub checksum: ChecksumForm,
    /// At least one.
    pub vips: Vec<VipConfig>,
    /// Heartbeat lines beside the service interface's multicast; empty in this version's common case.
    pub paths: Vec<PathConfig>,
    /// keepalived's `mcast_src_ip` / `unicast_src_ip`; `None`: the interface's primary address.
    pub source: Option<std::net::IpAddr>,
    /// Gratuitous ARP counts and delay.
    pub announcing: Announcing,
    /// The kernel lifetime of its addresses.
    pub lease: Lease,
    /// Where it is written.
    pub defined_at: Place,
}

/// One virtual address with what the kernel is told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipConfig {
    /// Address, prefix length and whether it is advertised.
    pub vip: Vip,
    /// `dev`; `None`: the instance's interface.
    pub dev: Option<String>,
    /// `label`, at most 15 bytes.
    pub label: Option<String>,
    /// `scope` as the kernel's number (0 global, 253 link, 254 host).
    pub scope: u8,
    /// `brd`; `None`: none, as keepalived leaves it.
    pub broadcast: Option<std::net::Ipv4Addr>,
}

/// A heartbeat line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathConfig {
    /// The interface it runs over.
    pub interface: String,
    /// Empty: multicast.
    pub peers: Vec<std::net::IpAddr>,
}

/// How long the kernel keeps a virtual address that the agent stops renewing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// The kernel removes it after this; renewed every third of it. At least 1 s.
    For(Duration),
    /// keepalived's way: it stays until somebody removes it.
    Off,
}

impl Lease {
    /// The shortest: below it a busy host would lose its addresses.
    pub const SHORTEST: Duration = Duration::from_secs(1);
    /// The longest: beyond it a lease protects nobody.
    pub const LONGEST: Duration = Duration::from_secs(3600);
}

impl FromStr for Lease {
    type Err = InvalidLease;

    /// Reads `off` or a duration such as `3s`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        match native::duration(text) {
            Ok(lease) if (Self::SHORTEST..=Self::LONGEST).contains(&lease) => Ok(Self::For(lease)),
            Ok(_) | Err(_) => Err(InvalidLease(text.to_owned())),
        }
    }
}

impl fmt::Display for Lease {
    /// `off`, or the duration as [`Lease::from_str`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(lease) => write!(f, "{lease:?}"),
            Self::Off => f.write_str("off"),
        }
    }
}

/// A lease that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a lease: expected a duration from 1s to 1h, such as \"3s\", or \"off\"")]
pub struct InvalidLease(String);

impl Default for Lease {
    fn default() -> Self {
        Self::For(Duration::from_secs(3))
    }
}

/// A place in a configuration file; line and column count from 1. A file as a whole (it cannot be read) is line 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named.
    pub file: PathBuf,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// How many characters from there on are meant; 0 for a point.
    pub width: usize,
}

impl fmt::Display for Place {
    /// `file:line:column`, as compilers and editors write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.display().fmt(f)?;
        if self.line == 0 { Ok(()) } else { write!(f, ":{}:{}", self.line, self.column) }
    }
}

/// How bad a finding of a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Works, but the author should know.
    Warning,
    /// Nothing of the file is taken.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One remarkable thing in a configuration file.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Where.
    pub place: Place,
    /// What is there and what was expected.
    pub message: String,
    /// What to do, if there is something.
    pub help: Option<String>,
}

impl fmt::Display for Finding {
    /// One line for a log: `file:line:column: error: message (help)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.severity, self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

/// The one of several names that a misspelt one probably stands for.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let name = name.to_lowercase().replace('-', "_");
    let allowed = (name.chars().count() / 3).clamp(1, 4);
    known
        .map(|known| (strsim::damerau_levenshtein(&name, &known.to_lowercase()), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests;
