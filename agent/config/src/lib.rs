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

mod checks;
mod command;
pub mod keepalived;
mod load;
mod names;
pub mod native;
mod render;
pub mod security;
mod source;
pub mod track;
mod validate;
mod vmac;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

pub use load::{
    Inputs, Language, LoadError, Loaded, PushedText, check, load, load_elsewhere, load_text, load_with,
};
pub use names::{CoordinatorAddress, InvalidAddress, InvalidName, Name};
pub use render::{Style, render};
pub use source::Sources;

use hafleet_vrrp::{AdvertInterval, Priority, Vip, VirtualRouterId};
// What an [`Instance`] is made of.
pub use hafleet_vrrp::{Announcing, Authentication, ChecksumForm, Peer, Version};

use self::track::{Check, Tracked};

/// Everything an agent needs to run.
#[derive(Clone, Debug, Default)]
pub struct AgentConfig {
    /// The node's name; `None`: as joined, else the host name.
    pub node: Option<String>,
    /// The layer-2 world; `None`: as joined, else `default`.
    pub site: Option<String>,
    /// `host:port` of every coordinator; empty: as joined, else none.
    pub coordinators: Vec<String>,
    /// Where Prometheus metrics are served; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// By whom the node knows whether it has a network.
    pub references: References,
    /// How the engine's threads run.
    pub scheduling: Scheduling,
    /// Everything that instances may track beside interfaces.
    pub checks: Vec<Check>,
    /// Every virtual router, in the order of the file.
    pub instances: Vec<Instance>,
}

impl AgentConfig {
    /// The keys that `new` says differently and that a running agent cannot take.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        [
            ("node", self.node != new.node),
            ("site", self.site != new.site),
            ("coordinators", self.coordinators != new.coordinators),
            ("metrics", self.metrics != new.metrics),
            ("scheduling", self.scheduling != new.scheduling),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect()
    }
}

/// Neighbours outside the group, by which a node knows whether it has a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum References {
    /// The default gateways of the service interfaces.
    #[default]
    Gateways,
    /// These, at least one.
    These(Vec<IpAddr>),
    /// None.
    Off,
}

/// What an instance does when its host has no network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnIsolation {
    /// Nothing.
    #[default]
    Keep,
    /// It releases its addresses, and stays in FAULT until there is a network again.
    Release,
}

/// How the engine's threads run beside the others of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// `SCHED_RR` at this priority, 1 to 99 (keepalived: `vrrp_rt_priority`); `None`: as every process.
    pub realtime_priority: Option<u8>,
    /// Its memory is never swapped out (keepalived: `vrrp_no_swap`).
    pub lock_memory: bool,
}

/// One virtual router and what the shell needs to know to serve it.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// At least one that is advertised. Those that are are of one family, the others of either.
    pub vips: Vec<VipConfig>,
    /// Heartbeat lines: the service interface if its adverts are unicast, then others. Empty: the service interface by
    /// multicast.
    pub paths: Vec<PathConfig>,
    /// keepalived's `mcast_src_ip` / `unicast_src_ip`; `None`: the interface's primary address.
    pub source: Option<IpAddr>,
    /// The TTL or hop limit of unicast adverts, 1 to 255 (keepalived: `unicast_ttl`, 255). Multicast is always 255.
    pub unicast_ttl: u8,
    /// Gratuitous ARP and unsolicited NA: counts and delays.
    pub announcing: Announcing,
    /// Pauses between two announcements on an interface.
    pub pacing: Pacing,
    /// False for `lower_prio_no_advert`.
    pub answers_lower: bool,
    /// keepalived's `higher_prio_send_advert`; here true unless it is off, so that after a split the winner has the last word.
    pub answers_higher: bool,
    /// False for `dont_track_primary`.
    pub track_service: bool,
    /// What moves its priority, or stops it.
    pub tracks: Vec<Tracked>,
    /// False for `no_accept`: while it holds an address, packets to it are dropped on this host, except what ARP and neighbour
    /// discovery need (RFC 9568 section 6.1, Accept_Mode).
    pub accept: bool,
    /// `use_vmac`: the addresses live on a macvlan interface with the virtual router's MAC; `None`: on the interface itself.
    pub vmac: Option<Vmac>,
    /// What it does when the host has no network.
    pub on_isolation: OnIsolation,
    /// The kernel lifetime of its addresses.
    pub lease: Lease,
    /// Where it is written.
    pub defined_at: Place,
}

impl Instance {
    /// Whether it runs over IPv6: the family of the addresses that it advertises.
    pub fn is_ipv6(&self) -> bool {
        self.vips.iter().find(|vip| vip.vip.advertised).is_some_and(|vip| vip.vip.address.is_ipv6())
    }
}

/// Pauses between two announcements on an interface, for switches and neighbours that drop a burst. Zero, the default, for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pacing {
    /// Between gratuitous ARPs (keepalived: `garp_interval`).
    pub garp: Duration,
    /// Between unsolicited NAs (keepalived: `gna_interval`).
    pub gna: Duration,
}

/// A virtual MAC address, 00:00:5e:00:01:VRID or 00:00:5e:00:02:VRID (RFC 9568 section 7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vmac {
    /// The macvlan interface's name; in a configuration that was read never `None`: where none was chosen, `vrrp.VRID`, or
    /// `vrrp6.VRID` for IPv6, with a number after `vrrp` where that is taken.
    pub interface: Option<String>,
    /// Adverts go out from the parent interface (keepalived: `vmac_xmit_base`).
    pub adverts_from_parent: bool,
}

/// One virtual address with what the kernel is told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipConfig {
    /// Address, prefix length and whether it is advertised.
    pub vip: Vip,
    /// `dev`; `None`: the instance's interface.
    pub dev: Option<String>,
    /// `label`, at most 15 bytes. IPv4.
    pub label: Option<String>,
    /// `scope` as the kernel's number (0 global, 253 link, 254 host). IPv4: the kernel knows that of an IPv6 address.
    pub scope: u8,
    /// `brd`; `None`: none, as keepalived leaves it. IPv4.
    pub broadcast: Option<Ipv4Addr>,
    /// `peer`: the other end of a point-to-point address, with its prefix length, which is the kernel's only one of the pair
    /// and so [`Vip::prefix_len`] too.
    pub peer: Option<(IpAddr, u8)>,
    /// The rest of what the kernel is told.
    pub flags: VipFlags,
    /// `preferred_lft` in seconds, 0 for a deprecated address, which the host does not choose as a source of its own (the
    /// default of an IPv6 /128, as in keepalived); `None`: as long as it is valid.
    pub preferred_s: Option<u32>,
    /// False for `no_track`: an address that somebody removes is not put back.
    pub repair: bool,
}

/// Flags of an address (`IFA_F_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VipFlags {
    /// `home`: a mobile IPv6 home address.
    pub home: bool,
    /// `-nodad`: IPv6 duplicate address detection is done, as for ordinary addresses. It is not otherwise: a takeover cannot
    /// wait for it.
    pub dad: bool,
    /// `mngtmpaddr`.
    pub mngtmpaddr: bool,
    /// `noprefixroute`.
    pub noprefixroute: bool,
    /// `autojoin`.
    pub autojoin: bool,
}

impl VipConfig {
    /// An address of which nothing is said but itself.
    pub fn new(vip: Vip) -> Self {
        Self {
            vip,
            dev: None,
            label: None,
            scope: 0,
            broadcast: None,
            peer: None,
            flags: VipFlags::default(),
            preferred_s: None,
            repair: true,
        }
    }
}

/// A heartbeat line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathConfig {
    /// The interface it runs over.
    pub interface: String,
    /// Empty: multicast.
    pub peers: Vec<Peer>,
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
