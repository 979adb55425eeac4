//! What an agent is configured to do, whichever file said it.
//!
//! Two readers, one model: [`native`] reads `agent.toml`, [`keepalived`] reads keepalived.conf unchanged. Both parse at
//! the border: what comes out as [`AgentConfig`] cannot be wrong by itself; what a reader found remarkable comes out
//! as [`Finding`]s with file, line and column.

use std::{path::PathBuf, time::Duration};

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

impl Default for Lease {
    fn default() -> Self {
        Self::For(Duration::from_secs(3))
    }
}

/// A place in a configuration file; line and column count from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named.
    pub file: PathBuf,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// How bad a finding of a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Works, but the author should know.
    Warning,
    /// Nothing of the file is taken.
    Error,
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
