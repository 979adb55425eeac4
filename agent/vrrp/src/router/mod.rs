//! The state machine of one virtual router (RFC 9568 section 6.4).

use alloc::{string::String, vec::Vec};
use core::net::IpAddr;

use crate::{Config, Instant, PathId, Vip, packet::Datagram};

/// The states of RFC 9568 section 6.3, and keepalived's FAULT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Not started, or stopped.
    Init,
    /// Listens for a master.
    Backup,
    /// Holds the addresses and advertises.
    Master,
    /// Started, but cannot serve: no link, no address, or the kernel refuses.
    Fault,
}

/// Why the service interface cannot serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkFault {
    /// No carrier.
    NoCarrier,
    /// Administratively down.
    AdminDown,
    /// The interface does not exist.
    Missing,
    /// It has no address to send adverts from.
    NoAddress,
}

/// What the kernel answered, or what happened to an address behind our back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressFault {
    /// The kernel refused to add it; its words.
    Refused(String),
    /// Somebody removed it while we are MASTER.
    Removed,
    /// It is on this host while we are not MASTER.
    Foreign,
}

/// One thing that happened to a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// Begin. Ignored unless INIT.
    Start,
    /// Leave: priority 0, addresses released, INIT.
    Stop,
    /// The instant that [`VirtualRouter::deadline`] named has come. Early and late calls are harmless.
    Deadline,
    /// A VRRP datagram for this VRID came on this path. Not yet checked.
    Packet {
        /// The line it came on.
        path: PathId,
        /// The datagram.
        datagram: Datagram<'a>,
    },
    /// The link of this path works, and it has this address to send from.
    LinkUp {
        /// Which line.
        path: PathId,
        /// The primary address to send adverts from.
        source: IpAddr,
    },
    /// The link of this path does not work.
    LinkDown {
        /// Which line.
        path: PathId,
        /// Why.
        fault: LinkFault,
    },
    /// The kernel has installed this address for us (the answer to [`Output::HoldAddresses`]).
    AddressHeld(Vip),
    /// Something is wrong with this address.
    AddressFault {
        /// Which address.
        vip: Vip,
        /// What is wrong.
        fault: AddressFault,
    },
    /// An advert could not be sent on this path; the kernel's words.
    SendFailed {
        /// Which line.
        path: PathId,
        /// The error.
        error: String,
    },
    /// An instruction to stand back: release and stay out of MASTER until [`Input::Unhold`] (fence, maintenance).
    Hold,
    /// Ends [`Input::Hold`].
    Unhold,
}

/// Why a state was left or an input was remarkable. `code` is stable; operands stand beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The router was started.
    Started,
    /// Started with priority 255.
    AddressOwner,
    /// The router was stopped.
    Stopped,
    /// No advert for Master_Down.
    MasterDown,
    /// The master said priority 0 and its skew passed.
    MasterResigned,
    /// A lower-priority master was heard and its time ran out.
    Preempted,
    /// A better master was heard.
    HigherPriorityHeard {
        /// Its address.
        source: IpAddr,
        /// Its priority.
        priority: u8,
    },
    /// A master with our priority and a higher address was heard.
    HigherAddressHeard {
        /// Its address.
        source: IpAddr,
        /// Its priority.
        priority: u8,
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
    /// The back-off after a refusal has passed.
    Retry,
    /// An operator or a fence holds the router back.
    Held,
    /// The hold ended.
    Unheld,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state left.
    pub from: State,
    /// The state entered.
    pub to: State,
    /// Why.
    pub reason: Reason,
}

/// Which announcement round is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The addresses to announce: all once, then the repeats.
    pub addresses: Vec<IpAddr>,
    /// How many times each.
    pub repeat: u8,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this VRRP payload (RFC 9568 section 5.2) on this path.
    SendAdvertisement {
        /// Which line.
        path: PathId,
        /// Source address for the IP header.
        source: IpAddr,
        /// The group or the peer.
        destination: IpAddr,
        /// The VRRP packet with its checksum.
        payload: Vec<u8>,
    },
    /// Put these addresses on the service interface. Answered by `AddressHeld` or `AddressFault` for each.
    HoldAddresses(Vec<Vip>),
    /// Take these addresses off.
    ReleaseAddresses(Vec<Vip>),
    /// Tell the neighbours now.
    Announce(Announcement),
    /// The state changed. Follows the advert and address outputs that it caused.
    Transition(Transition),
}

/// One virtual router.
#[derive(Debug)]
pub struct VirtualRouter {
    config: Config,
    state: State,
}

impl VirtualRouter {
    /// A router in INIT. It does nothing before [`Input::Start`].
    pub fn new(config: Config) -> Self {
        Self { config, state: State::Init }
    }

    /// Takes one input in. What follows from it is waiting in [`VirtualRouter::next_output`].
    pub fn handle(&mut self, _input: Input<'_>, _now: Instant) {}

    /// The next thing to do, in order; `None` when all is done.
    pub fn next_output(&mut self) -> Option<Output> {
        None
    }

    /// When to call with [`Input::Deadline`].
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The current state.
    pub fn state(&self) -> State {
        self.state
    }

    /// What it was configured to be.
    pub fn config(&self) -> &Config {
        &self.config
    }
}
