//! What one virtual router is configured to be. Every value is right by its type; the config readers are the border.

use alloc::{string::String, vec::Vec};
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU8,
    ops::RangeInclusive,
    time::Duration,
};

use crate::tracking::Track;

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

/// A base priority in the place of the configured one, 1 to 254: nobody is made an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Override(Priority);

impl Override {
    /// `None` for 0 and 255.
    pub const fn new(priority: u8) -> Option<Self> {
        match Priority::new(priority) {
            Some(priority) if priority.get() < u8::MAX => Some(Self(priority)),
            Some(_) | None => None,
        }
    }

    /// The base priority that counts.
    pub const fn priority(self) -> Priority {
        self.0
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
/// Version 2 counts whole seconds, 1 to 255 (RFC 3768 section 5.3.7), on the wire and in the timers; version 3 carries
/// 1 to 4,095 cs (RFC 9568 section 5.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdvertInterval(u16);

impl AdvertInterval {
    /// One second, the default of both versions.
    pub const DEFAULT: Self = Self(100);

    /// `None` outside 1 to 25,500 cs, and above 4,095 cs for version 3.
    ///
    /// For version 2 anything but whole seconds is rounded to the nearest second, half a second up, and at least 1 s:
    /// what keepalived 2.2.7 does, both on the wire and in its timers (0.2 and 1.4 s become 1 s; 1.5 s becomes 2 s). It
    /// warns "must be an integer. rounding"; compare [`AdvertInterval::as_centiseconds`] with what was asked for.
    pub const fn from_centiseconds(cs: u16, version: Version) -> Option<Self> {
        match version {
            Version::V2 => match cs {
                1..150 => Some(Self(100)),
                150..=25_500 => Some(Self((cs + 50) / 100 * 100)),
                0 | 25_501.. => None,
            },
            Version::V3 => match cs {
                1..=4_095 => Some(Self(cs)),
                0 | 4_096.. => None,
            },
        }
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

impl ChecksumForm {
    /// `with_pseudo_header` or `without_pseudo_header`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WithPseudoHeader => "with_pseudo_header",
            Self::WithoutPseudoHeader => "without_pseudo_header",
        }
    }
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

/// Whether these are one address to the kernel. IPv4 may have it once for each prefix length; IPv6 has it once.
pub fn is_same_place(one: &Vip, other: &Vip) -> bool {
    one.address == other.address && (one.address.is_ipv6() || one.prefix_len == other.prefix_len)
}

/// Names one heartbeat line of a router: its index in [`Config::paths`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub u8);

impl PathId {
    /// The service path: the first.
    pub const SERVICE: Self = Self(0);

    /// Whether the virtual addresses live on this one.
    pub const fn is_service(self) -> bool {
        self.0 == Self::SERVICE.0
    }
}

/// One heartbeat line. The first is the service interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The source address of the adverts sent here.
    pub source: IpAddr,
    /// Empty: multicast. Otherwise only these peers are sent to and accepted.
    pub peers: Vec<Peer>,
}

/// A unicast peer (keepalived: a line of `unicast_peer`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where its adverts come from, and ours go to.
    pub address: IpAddr,
    /// The TTL or hop limit that its adverts may arrive with (keepalived: `min_ttl`, `max_ttl`).
    pub ttl: RangeInclusive<u8>,
}

impl Peer {
    /// A peer at any distance.
    pub const fn new(address: IpAddr) -> Self {
        Self { address, ttl: 0..=u8::MAX }
    }
}

/// How a master makes itself known (gratuitous ARP, unsolicited NA).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcing {
    /// Announcements per address at once. keepalived: `garp_master_repeat`, 5.
    pub repeat: u8,
    /// Then so much later … keepalived: `garp_master_delay`, 5 s; zero for never.
    pub delay: Duration,
    /// … as many again. keepalived has `garp_master_repeat` serve for both.
    pub delayed_repeat: u8,
    /// As `repeat` and `delayed_repeat`, after a lower advert was heard. keepalived: `garp_lower_prio_repeat`, as
    /// `garp_master_repeat`.
    pub lower_repeat: u8,
    /// As `delay`, after a lower advert was heard. keepalived: `garp_lower_prio_delay`, as `garp_master_delay`.
    pub lower_delay: Duration,
    /// Announcements again and again, so far apart. keepalived: `garp_master_refresh`; zero, the default, for never.
    pub refresh: Duration,
    /// How many per address then. keepalived: `garp_master_refresh_repeat`, 1.
    pub refresh_repeat: u8,
}

impl Default for Announcing {
    fn default() -> Self {
        let delay = Duration::from_secs(5);
        Self {
            repeat: 5,
            delay,
            delayed_repeat: 5,
            lower_repeat: 5,
            lower_delay: delay,
            refresh: Duration::ZERO,
            refresh_repeat: 1,
        }
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
    /// At least one. Those that are advertised are of one family; the others may be of either.
    pub vips: Vec<Vip>,
    /// At least one; the first is the service interface.
    pub paths: Vec<Path>,
    /// How it announces its addresses.
    pub announcing: Announcing,
    /// What moves its priority, or stops it.
    pub tracks: Vec<Track>,
    /// False: it goes on while the service interface has no carrier or is administratively down (`dont_track_primary`).
    pub track_service: bool,
    /// False: a MASTER that hears a lower advert says nothing before its time (`lower_prio_no_advert`).
    pub answers_lower: bool,
    /// True: a MASTER that hears a higher advert says so once more before it yields, so that the winner announces again
    /// (`higher_prio_send_advert`).
    pub answers_higher: bool,
}

impl Config {
    /// The source address of this router's adverts on the service interface: the tie-breaker of equal priorities.
    pub fn source(&self) -> IpAddr {
        self.paths.first().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |path| path.source)
    }

    /// The addresses that the advert names, in the order configured.
    pub fn advertised(&self) -> impl Iterator<Item = IpAddr> + Clone + '_ {
        self.vips.iter().filter(|vip| vip.advertised).map(|vip| vip.address)
    }

    /// Checks what can be wrong only in combination. The config readers call it; a router made from a configuration
    /// that fails it runs, but its peers may reject what it sends.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let ours = self.family_sample();
        match self.version {
            Version::V2 => {
                if ours.is_ipv6() {
                    return Err(ConfigError::Version2OverIpv6);
                }
                if !self.interval.0.is_multiple_of(100) {
                    return Err(ConfigError::SubSecondInterval { interval_cs: self.interval.0 });
                }
            }
            Version::V3 => {
                if self.authentication != Authentication::None {
                    return Err(ConfigError::AuthenticationInVersion3);
                }
                if self.interval.0 > 4_095 {
                    return Err(ConfigError::IntervalTooLong { interval_cs: self.interval.0 });
                }
            }
        }
        self.validate_vips(ours)?;
        self.validate_paths(ours)
    }

    /// Whether a running router may be given `new` ([`crate::Input::Reconfigure`]): what the peers know it by stays.
    pub fn may_become(&self, new: &Self) -> bool {
        (self.vrid, self.version, self.family_sample().is_ipv4())
            == (new.vrid, new.version, new.family_sample().is_ipv4())
    }

    fn validate_vips(&self, ours: IpAddr) -> Result<(), ConfigError> {
        match self.advertised().count() {
            0 => return Err(ConfigError::NothingAdvertised),
            1..=MAX_ADVERTISED => {}
            count => return Err(ConfigError::TooManyAdvertised { count }),
        }
        for (index, vip) in self.vips.iter().enumerate() {
            let Vip { address, prefix_len, advertised } = *vip;
            if advertised && address.is_ipv4() != ours.is_ipv4() {
                return Err(ConfigError::MixedFamilies { address, ours });
            }
            if prefix_len > if address.is_ipv4() { 32 } else { 128 } {
                return Err(ConfigError::PrefixTooLong { address, prefix_len });
            }
            if self.vips.iter().skip(index + 1).any(|other| other.address == address) {
                return Err(ConfigError::DuplicateAddress { address });
            }
        }
        Ok(())
    }

    fn validate_paths(&self, ours: IpAddr) -> Result<(), ConfigError> {
        match self.paths.len() {
            0 => return Err(ConfigError::NoPath),
            1..=MAX_PATHS => {}
            count => return Err(ConfigError::TooManyPaths { count }),
        }
        for path in &self.paths {
            if let Some(address) = [path.source]
                .into_iter()
                .chain(path.peers.iter().map(|peer| peer.address))
                .find(|address| address.is_ipv4() != ours.is_ipv4())
            {
                return Err(ConfigError::MixedFamilies { address, ours });
            }
            if path.peers.iter().any(|peer| peer.address == path.source) {
                return Err(ConfigError::PeerIsSelf { address: path.source });
            }
        }
        Ok(())
    }

    /// Any address of the family that this router runs over.
    pub(crate) fn family_sample(&self) -> IpAddr {
        self.advertised().next().unwrap_or_else(|| self.source())
    }
}

/// How many addresses one advert can name (RFC 9568 section 5.2.5).
pub const MAX_ADVERTISED: usize = 255;

/// How many heartbeat lines a router may have. Each advert goes out on all of them.
pub const MAX_PATHS: usize = 8;

/// What is wrong with a [`Config`] whose parts are each right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// RFC 3768 knows IPv4 only.
    #[error("version 2 cannot carry IPv6 addresses; use version 3")]
    Version2OverIpv6,
    /// Version 2 counts whole seconds.
    #[error(
        "version 2 counts whole seconds, the advert interval is {interval_cs} cs; use version 3 or whole seconds"
    )]
    SubSecondInterval {
        /// As configured.
        interval_cs: u16,
    },
    /// Version 3 has 12 bits for it.
    #[error("version 3 carries at most 4095 cs, the advert interval is {interval_cs} cs; use a shorter one")]
    IntervalTooLong {
        /// As configured.
        interval_cs: u16,
    },
    /// RFC 5798 removed authentication.
    #[error("version 3 has no authentication; remove the password or use version 2")]
    AuthenticationInVersion3,
    /// Receivers reject an advert that names no address.
    #[error("no virtual address is advertised; name at least one that is not excluded")]
    NothingAdvertised,
    /// The count field has 8 bits.
    #[error("{count} virtual addresses are advertised, at most 255 can be; exclude some from the advert")]
    TooManyAdvertised {
        /// As configured.
        count: usize,
    },
    /// One router is of one family.
    #[error("{address} is not of the address family of {ours}; make one virtual router for each family")]
    MixedFamilies {
        /// The odd one.
        address: IpAddr,
        /// The first virtual address.
        ours: IpAddr,
    },
    /// Longer than the address.
    #[error("prefix length /{prefix_len} is too long for {address}")]
    PrefixTooLong {
        /// The address.
        address: IpAddr,
        /// As configured.
        prefix_len: u8,
    },
    /// Named twice.
    #[error("virtual address {address} is named twice; remove one")]
    DuplicateAddress {
        /// The address.
        address: IpAddr,
    },
    /// Without a line nothing is heard.
    #[error("no heartbeat path; name the service interface")]
    NoPath,
    /// More than [`MAX_PATHS`].
    #[error("{count} heartbeat paths, at most 8 can be")]
    TooManyPaths {
        /// As configured.
        count: usize,
    },
    /// A router does not send to itself.
    #[error("unicast peer {address} is this router's own address; remove it from the peers")]
    PeerIsSelf {
        /// The address.
        address: IpAddr,
    },
}

#[cfg(test)]
mod tests;
