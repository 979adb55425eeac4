//! Why a router changed its state: a stable code for machines, the operands in words for people.

use alloc::string::String;
use core::{fmt, net::IpAddr, time::Duration};

use super::LinkFault;

/// Why a state was left. Display tells the operands: "10.0.0.2 advertises priority 200, ours is 100".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The router was started.
    Started,
    /// Started with priority 255.
    AddressOwner,
    /// The router was stopped.
    Stopped,
    /// No advert for Master_Down.
    MasterDown {
        /// For how long nothing was heard.
        after: Duration,
        /// The master that fell silent; `None` when none was ever heard.
        last: Option<IpAddr>,
    },
    /// The master said priority 0 and our skew passed.
    MasterResigned {
        /// The master that resigned.
        source: IpAddr,
    },
    /// A lower-priority master was heard and its time ran out.
    Preempted {
        /// Its address.
        source: IpAddr,
        /// Its priority.
        priority: u8,
        /// Our priority.
        ours: u8,
    },
    /// A better master was heard.
    HigherPriorityHeard {
        /// Its address.
        source: IpAddr,
        /// Its priority.
        priority: u8,
        /// Our priority.
        ours: u8,
    },
    /// A master with our priority and a higher address was heard.
    HigherAddressHeard {
        /// Its address.
        source: IpAddr,
        /// Its priority and ours.
        priority: u8,
        /// Our address.
        ours: IpAddr,
    },
    /// The service interface cannot serve.
    Link(LinkFault),
    /// The service interface can serve again.
    LinkRestored,
    /// The kernel refused an address.
    AddressRefused {
        /// Which.
        address: IpAddr,
        /// The kernel's words.
        error: String,
    },
    /// Somebody removes an address as often as it is put back.
    AddressContested {
        /// Which.
        address: IpAddr,
        /// How often it was put back within ten seconds.
        repairs: u8,
    },
    /// The back-off after a refusal has passed.
    Retry {
        /// How long it was.
        after: Duration,
    },
    /// An operator or a fence holds the router back.
    Held,
    /// The hold ended.
    Unheld,
    /// This host has no network.
    Isolated,
    /// It has one again.
    Reconnected,
    /// An order to take over at once.
    TookOver {
        /// The master that was followed; `None` when none was heard.
        from: Option<IpAddr>,
        /// Our priority.
        ours: u8,
    },
    /// The addresses were here when the agent started, and nobody else was heard.
    Adopted,
    /// Something watched with weight 0 fails.
    TrackFailed {
        /// Its name.
        track: String,
        /// How it fails.
        detail: String,
    },
    /// Nothing watched with weight 0 fails any more.
    TracksRestored,
    /// A new configuration made it possible.
    Reconfigured,
}

impl Reason {
    /// A stable code for the journal and the fleet.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::AddressOwner => "address_owner",
            Self::Stopped => "stopped",
            Self::MasterDown { .. } => "master_down",
            Self::MasterResigned { .. } => "master_resigned",
            Self::Preempted { .. } => "preempted",
            Self::HigherPriorityHeard { .. } => "higher_priority_heard",
            Self::HigherAddressHeard { .. } => "higher_address_heard",
            Self::Link(fault) => fault.code(),
            Self::LinkRestored => "link_restored",
            Self::AddressRefused { .. } => "address_refused",
            Self::AddressContested { .. } => "address_contested",
            Self::Retry { .. } => "retry",
            Self::Held => "held",
            Self::Unheld => "unheld",
            Self::Isolated => "isolated",
            Self::Reconnected => "reconnected",
            Self::TookOver { .. } => "took_over",
            Self::Adopted => "adopted",
            Self::TrackFailed { .. } => "track_failed",
            Self::TracksRestored => "tracks_restored",
            Self::Reconfigured => "reconfigured",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("the instance was started"),
            Self::AddressOwner => f.write_str("the instance was started with priority 255"),
            Self::Stopped => f.write_str("the instance was stopped"),
            Self::MasterDown { after, last: Some(source) } => {
                write!(f, "nothing heard from master {source} for {} s", Seconds(*after))
            }
            Self::MasterDown { after, last: None } => {
                write!(f, "no master heard for {} s", Seconds(*after))
            }
            Self::MasterResigned { source } => {
                write!(f, "master {source} resigned (priority 0)")
            }
            Self::Preempted { source, priority, ours } => {
                write!(f, "master {source} has priority {priority}, ours is {ours}")
            }
            Self::HigherPriorityHeard { source, priority, ours } => {
                write!(f, "{source} advertises priority {priority}, ours is {ours}")
            }
            Self::HigherAddressHeard { source, priority, ours } => write!(
                f,
                "{source} advertises our priority {priority} from a higher address than ours, {ours}"
            ),
            Self::Link(fault) => fault.fmt(f),
            Self::LinkRestored => f.write_str("the service interface works again"),
            Self::AddressRefused { address, error } => {
                write!(f, "the kernel refused {address}: {error}")
            }
            Self::AddressContested { address, repairs } => write!(
                f,
                "{address} is removed by somebody else as often as it is put back ({repairs} times within 10 s)"
            ),
            Self::Retry { after } => write!(f, "trying again after {} s", Seconds(*after)),
            Self::Held => f.write_str("held back by instruction"),
            Self::Unheld => f.write_str("no longer held back"),
            Self::Isolated => f.write_str(
                "this host has no network: no path hears anything, no reference address answers, and no coordinator is there",
            ),
            Self::Reconnected => f.write_str("this host has a network again"),
            Self::TookOver { from: Some(source), ours } => {
                write!(f, "ordered to take over from {source}, with priority {ours}")
            }
            Self::TookOver { from: None, ours } => {
                write!(f, "ordered to take over, with priority {ours}; no other master is heard")
            }
            Self::Adopted => f.write_str(
                "the addresses were on this host when the agent started, and nobody else was heard",
            ),
            Self::TrackFailed { track, detail } => write!(f, "{track}: {detail}"),
            Self::TracksRestored => f.write_str("nothing that is tracked fails any more"),
            Self::Reconfigured => f.write_str("the new configuration allows it"),
        }
    }
}

impl LinkFault {
    /// A stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoCarrier => "link_no_carrier",
            Self::AdminDown => "link_admin_down",
            Self::Missing => "link_missing",
            Self::NoAddress => "link_no_address",
            Self::OnlyVirtual => "link_only_virtual",
            Self::VirtualMac => "link_virtual_mac",
        }
    }
}

impl fmt::Display for LinkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCarrier => "the service interface has no carrier",
            Self::AdminDown => "the service interface is administratively down",
            Self::Missing => "the service interface does not exist",
            Self::NoAddress => "the service interface has no address to send from",
            Self::OnlyVirtual => {
                "the only address of the service interface is configured as a virtual address, and is left alone: take it \
                 out of the virtual addresses, or set priority 255 (and a lease) to serve it as its owner"
            }
            Self::VirtualMac => "the interface of the virtual MAC cannot be had",
        })
    }
}

/// Whole milliseconds as seconds: 3.609.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0.as_secs(), self.0.subsec_millis())
    }
}
