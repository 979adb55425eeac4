//! What one virtual router is configured to be. Every value is right by its type; the config readers are the border.

use alloc::{string::String, vec::Vec};
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU8,
    time::Duration,
};

/// A VRID, 1 to 255 (RFC 9568 section 5.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualRouterId(NonZeroU8);

impl VirtualRouterId {
    /// `None` for 0, which the RFC reserves.
    pub const fn new(vrid: u8) -> Option<Self> {
        match NonZeroU8::new(vrid) {
            Some(vrid) => Some(Self(vrid)),
            None => None,
        }
    }

    /// The number on the wire.
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for VirtualRouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A configured priority, 1 to 255. 255 is the address owner's; 0 exists only on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(NonZeroU8);

impl Priority {
    /// The address owner's priority (RFC 9568 section 5.2.4).
    pub const OWNER: Self = Self(NonZeroU8::MAX);
    /// keepalived's and the RFC's default.
    pub const DEFAULT: Self = match Self::new(100) {
        Some(priority) => priority,
        None => Self::OWNER,
    };

    /// `None` for 0.
    pub const fn new(priority: u8) -> Option<Self> {
        match NonZeroU8::new(priority) {
            Some(priority) => Some(Self(priority)),
            None => None,
        }
    }

    /// The number on the wire.
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The protocol version spoken. A router speaks one and rejects the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// RFC 3768: IPv4, whole seconds, optional password.
    V2,
    /// RFC 5798 and RFC 9568: centiseconds, no authentication.
    V3,
}

/// The advertisement interval in centiseconds, 1 to 25,500.
///
/// Version 2 sends whole seconds (1 to 255 s) and, as keepalived does, runs shorter intervals locally while the
/// field on the wire reads 0 s rounded up to 1 s; version 3 carries at most 4,095 cs (RFC 9568 section 5.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdvertInterval(u16);

impl AdvertInterval {
    /// One second, the default of both versions.
    pub const DEFAULT: Self = Self(100);

    /// `None` outside 1 to 25,500 cs, and above 4,095 cs for version 3.
    pub const fn from_centiseconds(cs: u16, version: Version) -> Option<Self> {
        let most = match version {
            Version::V2 => 25_500,
            Version::V3 => 4_095,
        };
        if cs >= 1 && cs <= most { Some(Self(cs)) } else { None }
    }

    /// The interval in centiseconds.
    pub const fn as_centiseconds(self) -> u16 {
        self.0
    }

    /// The interval as a duration.
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.0 as u64 * 10)
    }
}

/// Version 2 authentication (RFC 2338 section 5.3.6; RFC 3768 kept only the field).
#[derive(Clone, PartialEq, Eq)]
pub enum Authentication {
    /// Type 0.
    None,
    /// Type 1: eight bytes, zero padded, in clear.
    Pass([u8; 8]),
}

impl fmt::Debug for Authentication {
    /// Never shows the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Pass(_) => "Pass(***)",
        })
    }
}

/// Whether the version 3 IPv4 checksum covers the pseudo-header. Both forms are received; this one is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChecksumForm {
    /// keepalived and FRR (RFC 5798 as most read it).
    WithPseudoHeader,
    /// Cisco, Juniper, Arista and RFC 9568 section 5.2.8.
    WithoutPseudoHeader,
}

/// One virtual address as the core sees it. Label, scope and lease belong to the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vip {
    /// The address that moves.
    pub address: IpAddr,
    /// Its prefix length on the interface.
    pub prefix_len: u8,
    /// False for keepalived's `virtual_ipaddress_excluded`: held and announced, but not in the advert.
    pub advertised: bool,
}

/// Names one heartbeat line of a router: its index in [`Config::paths`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub u8);

/// One heartbeat line. The first is the service interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The source address of the adverts sent here.
    pub source: IpAddr,
    /// Empty: multicast. Otherwise only these peers are sent to and accepted.
    pub peers: Vec<IpAddr>,
}

/// How a new master makes itself known (gratuitous ARP, unsolicited NA).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcing {
    /// Announcements per address at once. keepalived: `garp_master_repeat`, 5.
    pub repeat: u8,
    /// Then so much later … keepalived: `garp_master_delay`, 5 s; zero for never.
    pub delay: Duration,
    /// … as many again. keepalived has `garp_master_repeat` serve for both.
    pub delayed_repeat: u8,
}

impl Default for Announcing {
    fn default() -> Self {
        Self { repeat: 5, delay: Duration::from_secs(5), delayed_repeat: 5 }
    }
}

/// One virtual router on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The instance's name, for the reader of transitions.
    pub name: String,
    /// Its VRID.
    pub vrid: VirtualRouterId,
    /// The version it speaks.
    pub version: Version,
    /// The base priority.
    pub priority: Priority,
    /// Its own advertisement interval.
    pub interval: AdvertInterval,
    /// False: a BACKUP lets a lower-priority master be (`nopreempt`).
    pub preempt: bool,
    /// How long a BACKUP lets a lower-priority master be (`preempt_delay`), counted from its first advert.
    pub preempt_delay: Duration,
    /// Version 2 only.
    pub authentication: Authentication,
    /// Version 3 over IPv4 only.
    pub checksum: ChecksumForm,
    /// At least one. All of one family.
    pub vips: Vec<Vip>,
    /// At least one; the first is the service interface.
    pub paths: Vec<Path>,
    /// How it announces its addresses.
    pub announcing: Announcing,
}

impl Config {
    /// The source address of this router's adverts on the service interface: the tie-breaker of equal priorities.
    pub fn source(&self) -> IpAddr {
        self.paths.first().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |path| path.source)
    }
}
