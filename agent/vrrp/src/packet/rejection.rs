//! Why a packet was not believed, and what was odd about one that was.

use alloc::vec::Vec;
use core::{fmt, net::IpAddr};

use super::AuthType;
use crate::VirtualRouterId;

/// Why a packet was rejected. Display gives both values: the heard one and ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The message is shorter than its version and address count say.
    #[error("message is {have} bytes long, needs {need}")]
    Length {
        /// Bytes there are.
        have: usize,
        /// Bytes there should be.
        need: usize,
    },
    /// A router may be beyond the segment (RFC 9568 section 7.1).
    #[error("TTL is {heard}, must be {}", Span(*.least, *.most))]
    Ttl {
        /// As received.
        heard: u8,
        /// The least allowed: 255 by multicast, the peer's range by unicast.
        least: u8,
        /// The most allowed.
        most: u8,
    },
    /// The other version is spoken.
    #[error("version is {heard}, ours is {ours}")]
    Version {
        /// As received.
        heard: u8,
        /// Configured.
        ours: u8,
    },
    /// The packet is for another virtual router; the shell dispatched it wrongly.
    #[error("VRID is {heard}, ours is {ours}")]
    Vrid {
        /// As received.
        heard: u8,
        /// Configured.
        ours: VirtualRouterId,
    },
    /// The authentication types differ.
    #[error("authentication type is {heard}, ours is {ours}")]
    AuthType {
        /// As received.
        heard: AuthType,
        /// Configured.
        ours: AuthType,
    },
    /// Both use passwords, but not the same. The password is not told.
    #[error("authentication type is pass on both sides, but the password is not ours")]
    Password,
    /// Version 2 intervals must be equal (RFC 3768 section 7.1).
    #[error("advert interval is {} s, ours is {} s", .heard_cs / 100, .ours_cs / 100)]
    Interval {
        /// As received, cs.
        heard_cs: u16,
        /// Configured, cs.
        ours_cs: u16,
    },
    /// Not an advert.
    #[error("type is {heard}, must be 1")]
    Type {
        /// As received.
        heard: u8,
    },
    /// The checksum is right in no form we know.
    #[error("checksum is {heard:#06x}, must be {with_pseudo_header:#06x} or {without_pseudo_header:#06x}")]
    Checksum {
        /// As received.
        heard: u16,
        /// What it is with the pseudo-header; for version 2 the same as without.
        with_pseudo_header: u16,
        /// What it is without.
        without_pseudo_header: u16,
    },
    /// Sent to us alone where we listen to the group, or the reverse.
    #[error("sent to {destination}, this path listens to {}", listens_to(*.multicast))]
    Mode {
        /// Where it was sent.
        destination: IpAddr,
        /// Whether the path is multicast.
        multicast: bool,
    },
    /// It names no virtual address (RFC 9568 section 7.1).
    #[error("names 0 addresses, must name at least 1")]
    NoAddresses,
    /// Version 3 with an interval of zero.
    #[error("advert interval is 0 cs, must be at least 1 cs")]
    ZeroInterval,
    /// Not from a configured unicast peer.
    #[error("{heard} is not among the configured unicast peers")]
    UnknownPeer {
        /// The source.
        heard: IpAddr,
    },
    /// IPv6 where IPv4 is configured, or the reverse.
    #[error("source {heard} is not of the address family of {ours}")]
    Family {
        /// The source.
        heard: IpAddr,
        /// Our own address.
        ours: IpAddr,
    },
    /// The path it came on is not configured; the shell dispatched it wrongly.
    #[error("came on path {heard}, {configured} are configured")]
    Path {
        /// Its index.
        heard: u8,
        /// How many there are.
        configured: usize,
    },
    /// Heard by the shell on one of the router's lines, and sent on another: both are on one segment.
    #[error("{ours} is this router's own address on another heartbeat line, which is on the same segment")]
    OwnLine {
        /// Ours.
        ours: IpAddr,
    },
}

impl Rejection {
    /// A stable code for counters and the fleet.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Length { .. } => "length",
            Self::Ttl { .. } => "ttl",
            Self::Version { .. } => "version_mismatch",
            Self::Vrid { .. } => "vrid_mismatch",
            Self::AuthType { .. } | Self::Password => "auth_mismatch",
            Self::Interval { .. } => "interval_mismatch",
            Self::Type { .. } => "type",
            Self::Checksum { .. } => "checksum",
            Self::Mode { .. } => "mode_mismatch",
            Self::NoAddresses => "no_addresses",
            Self::ZeroInterval => "zero_interval",
            Self::UnknownPeer { .. } => "unknown_peer",
            Self::Family { .. } => "family_mismatch",
            Self::Path { .. } => "unknown_path",
            Self::OwnLine { .. } => "own_line",
        }
    }
}

const fn listens_to(multicast: bool) -> &'static str {
    if multicast { "the multicast group" } else { "unicast peers" }
}

/// What was odd about a packet that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// The sender's address set is not ours. Order does not matter.
    AddressMismatch {
        /// As received, in the order sent.
        heard: Vec<IpAddr>,
        /// Configured, in the order we send.
        ours: Vec<IpAddr>,
    },
    /// More bytes than the message and Ethernet padding need; keepalived 2.4's `auth_hmac` trailer is one such.
    TrailingBytes {
        /// How many bytes follow the message.
        count: usize,
    },
    /// Our own priority from our own address while we are MASTER: two hosts have one address.
    DuplicateSource {
        /// The address.
        source: IpAddr,
        /// The priority.
        priority: u8,
    },
}

impl Remark {
    /// A stable code for counters and the fleet.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AddressMismatch { .. } => "address_mismatch",
            Self::TrailingBytes { .. } => "trailing_bytes",
            Self::DuplicateSource { .. } => "duplicate_source",
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressMismatch { heard, ours } => {
                write!(f, "addresses are {}, ours are {}", List(heard), List(ours))
            }
            Self::TrailingBytes { count } => write!(
                f,
                "{count} bytes follow the message and were not verified (keepalived's auth_hmac adds such a trailer)"
            ),
            Self::DuplicateSource { source, priority } => {
                write!(f, "{source} is our own address, and advertises our priority {priority}")
            }
        }
    }
}

/// `255`, or `250 to 255`.
struct Span(u8, u8);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(least, most) = *self;
        if least == most { least.fmt(f) } else { write!(f, "{least} to {most}") }
    }
}

struct List<'a>(&'a [IpAddr]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, address) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{address}")?;
        }
        Ok(())
    }
}
