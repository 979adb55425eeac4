//! The state machine of one virtual router (RFC 9568 section 6.4, and what users of keepalived rely on).
//!
//! ```text
//!            Start                        Master_Down, skew after priority 0
//!   INIT ───────────────► BACKUP ──────────────────────────────────────────► MASTER
//!    ▲  ╲ Start, 255        ▲ ──────────────── TakeOver ────────────────────►  │
//!    │   ╲                  │ ◄───────── a better advert ────────────────────  │
//!    │    ╲─────────────────┼────────────────────────────────────────────────► │
//!  Stop    link up, Unhold, │      link down, Hold, kernel refusal             ▼
//!  (any)   back-off passed  └─────────────────── FAULT ◄── (also from BACKUP, INIT)
//! ```
//!
//! ## What the shell owes this router
//! - Carry out every output before the next input, in order; a failure comes back as an input.
//! - Drain the sockets before handing in [`Input::Deadline`], so that a host that was frozen hears before it acts.
//! - After [`Input::Packet`], read [`VirtualRouter::last_verdict`] and hand it with the same datagram to
//!   [`crate::heard::HeardTable::record`]. Any other input clears it.
//! - Report an address of this router that is found on the host while it is not MASTER (a leftover of a killed agent)
//!   as [`AddressFault::Foreign`]; nothing is released on suspicion.
//!
//! ## What goes beyond the RFC
//! - A rejected packet touches no timer and no state.
//! - A BACKUP whose deadline is handled more than one advert interval late was asleep itself. It listens for one more
//!   interval and skew, once, before it calls the master down.
//! - After a kernel refusal a working master of lower priority is let be for five minutes, as with `nopreempt`: a host
//!   that cannot serve does not interrupt the one that does at every retry.
//! - At the first election of a process the skew is that of a one-second interval at least: hosts that start together, many
//!   routers each, elect by priority and not by who was scheduled first (docs/decisions).
//! - A router that starts where its addresses already are ([`Input::Start`] with `adopt`) keeps them and says so at once; with
//!   `nopreempt` or `preempt_delay` it listens for an interval and skew first.
//! - A watched thing that has no first result yet keeps a router in INIT, as keepalived does.
//! - Equal priority is decided by the source addresses of the service path while that path hears anything, because on
//!   another path the addresses may be ordered the other way round.

mod announcing;
mod election;
mod hand_over;
mod machine;
mod reason;
mod reconfigure;
#[cfg(test)]
mod tests;
mod timers;
mod tracks;

use alloc::{
    collections::{BTreeSet, VecDeque},
    string::String,
    vec::Vec,
};
use core::{fmt, net::IpAddr, time::Duration};

pub use reason::Reason;

use crate::{
    Config, Instant, Override, PathId, Priority, TrackId, TrackResult, Vip,
    packet::{Datagram, Verdict},
    tracking::Known,
};

/// The states of RFC 9568 section 6.3, and keepalived's FAULT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Not started, or stopped.
    Init,
    /// Listens for a master.
    Backup,
    /// Holds the addresses and advertises.
    Master,
    /// Started, but cannot serve: no link, no address, the kernel refuses, or it is held back ([`Input::Hold`]).
    Fault,
}

impl State {
    /// As keepalived writes it: `INIT`, `BACKUP`, `MASTER`, `FAULT`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
            Self::Fault => "FAULT",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
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
    /// Its only addresses are configured as virtual ones: which of them is the host's own cannot be known.
    OnlyVirtual,
    /// The interface of its virtual MAC cannot be had.
    VirtualMac,
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

/// Who holds a router back. Each cause ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoldCause {
    /// A fence: at once.
    Fence,
    /// Maintenance: a MASTER hands over as it does when it is stopped.
    Maintenance,
    /// This host has no network: nothing that it knows outside answers.
    Isolation,
}

/// One thing that happened to a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// Begin. Ignored unless INIT. A path whose configured source is the unspecified address counts as
    /// [`LinkFault::NoAddress`] until [`Input::LinkUp`]; any other counts as up until [`Input::LinkDown`].
    Start {
        /// Its addresses are on this host: an agent before this one was MASTER, and nobody has taken them off.
        adopt: bool,
    },
    /// Leave: priority 0, INIT, addresses released.
    Stop {
        /// A MASTER whose link works keeps its IPv4 addresses until its successor is heard, at most
        /// [`VirtualRouter::HAND_OVER_AT_MOST`]: nobody is without an answer meanwhile. IPv6 addresses go at once: a successor
        /// that looks for duplicates (RFC 4862 section 5.4) would find this one.
        hand_over: bool,
    },
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
    /// An advert could not be sent on this path; the kernel's words. Counted ([`VirtualRouter::paths`]) and tried
    /// again at the next interval: a master that cannot be heard still serves those who reach it.
    SendFailed {
        /// Which line.
        path: PathId,
        /// The error.
        error: String,
    },
    /// Stand back: release, and stay in FAULT until [`Input::Unhold`] for the same cause. In INIT it is remembered, so that
    /// a router that is held back before its start never serves. For maintenance addresses are handed over as by a `Stop` with
    /// `hand_over`; any other cause takes them off at once, also what is being handed over.
    Hold(HoldCause),
    /// Ends [`Input::Hold`] for this cause.
    Unhold(HoldCause),
    /// A base priority in the place of the configured one; `None`: the configured one again. It stays through every state and
    /// every configuration. An owner (255) keeps its own.
    Override(Option<Override>),
    /// A BACKUP becomes MASTER at once: advert, addresses, announcements, so that whoever was MASTER hears us before it lets
    /// go. Not if the master it follows would not yield to our priority; in other states there is nothing to take, or it
    /// cannot be served.
    TakeOver,
    /// A MASTER tells the neighbours once more, as after a takeover: somebody else may have told them something else. In other
    /// states there is nothing to tell.
    Announce,
    /// What became of something watched ([`Config::tracks`]).
    Track {
        /// Which.
        track: TrackId,
        /// How it is.
        result: TrackResult,
        /// In words, for the reader of a transition: "exit code 1".
        detail: String,
    },
    /// A new configuration of the same router ([`Config::may_become`]; another one is ignored). What did not change does not
    /// notice.
    Reconfigure(Config),
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
    /// How many times each, at least 1.
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
    /// Take these addresses off. One that is not there is no failure.
    ReleaseAddresses(Vec<Vip>),
    /// Tell the neighbours now.
    Announce(Announcement),
    /// The state changed. Follows the advert and address outputs that it caused.
    Transition(Transition),
}

/// How one heartbeat line does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathHealth {
    /// The address adverts are sent from, or why none can be.
    pub link: Result<IpAddr, LinkFault>,
    /// When an advert was last accepted on it.
    pub last_accepted: Option<Instant>,
    /// Adverts that could not be sent.
    pub send_failures: u64,
    /// The kernel's words for the last of them, at most 200 bytes.
    pub last_send_error: String,
}

/// One virtual router.
#[derive(Debug)]
pub struct VirtualRouter {
    config: Config,
    role: Role,
    /// As in [`Config::tracks`].
    known: Vec<Known>,
    paths: Vec<PathHealth>,
    held_back: HeldBack,
    overridden: Option<Override>,
    refusals: timers::Refusals,
    /// Addresses put back, and addresses taken off: each fight has its own count.
    put_back: timers::Limiter,
    taken_off: timers::Limiter,
    outputs: VecDeque<Output>,
    last_verdict: Option<Verdict>,
    counters: Counters,
}

/// The state with what it alone needs to know.
#[derive(Debug)]
enum Role {
    Init(Init),
    Backup(Backup),
    Master(Master),
    Fault(Fault),
}

#[derive(Clone, Copy, Debug)]
enum Init {
    /// Not started, or stopped.
    Idle,
    /// It was started, and waits for the first results of what it watches.
    Waiting { adopt: bool },
    /// It was MASTER and is stopped; the addresses stay until a successor is heard, or until then.
    HandingOver { until: Instant },
}

#[derive(Debug)]
struct Backup {
    /// When Master_Down, or the skew after priority 0, ends.
    down_at: Instant,
    /// Since when that timer runs.
    since: Instant,
    /// What its end will mean.
    expiry: Expiry,
    /// When `preempt_delay` ends, and for whom it runs.
    preemption: Option<Preemption>,
    /// Whom we follow, and the priority it last advertised.
    master: Option<(IpAddr, u8)>,
    /// Master_Adver_Interval: the master's, or our own until one is heard.
    master_interval_cs: u16,
    /// Whether the grace of the late deadline has been used since the last advert.
    overslept: bool,
    /// The addresses are here, left by an agent before this one, until somebody else is heard to hold them.
    adopting: bool,
}

#[derive(Clone, Copy, Debug)]
enum Expiry {
    Silence,
    Resignation { source: IpAddr },
    Preemption { source: IpAddr, priority: u8, interval_cs: u16 },
    Adoption,
}

#[derive(Clone, Copy, Debug)]
struct Preemption {
    at: Instant,
    source: IpAddr,
    priority: u8,
}

#[derive(Debug)]
struct Master {
    since: Instant,
    advert_at: Instant,
    /// When the delayed announcements are due, and how many for each address.
    announce_at: Option<(Instant, u8)>,
    /// When the announcements that are repeated for ever are due.
    refresh_at: Option<Instant>,
    /// When a worse master last made us announce.
    reasserted_at: Option<Instant>,
    /// What the kernel says it installed.
    held: BTreeSet<IpAddr>,
}

#[derive(Clone, Copy, Debug, Default)]
struct HeldBack {
    by_fence: bool,
    by_maintenance: bool,
    by_isolation: bool,
}

#[derive(Debug, Default)]
struct Fault {
    /// When the back-off after a refusal ends, and how long it is. `None` when only the link or a hold is waited for.
    retry: Option<(Instant, Duration)>,
    /// It was MASTER and is in maintenance; the addresses stay until a successor is heard, or until then.
    handing_over: Option<Instant>,
}

#[derive(Debug, Default)]
struct Counters {
    adverts_sent: u64,
    adverts_accepted: u64,
    packets_rejected: u64,
    duplicates: u64,
    refusals: u64,
    repairs: u64,
    foreign_released: u64,
}

impl VirtualRouter {
    /// A router in INIT. It does nothing before [`Input::Start`]. `config` should have passed [`Config::validate`].
    pub fn new(config: Config) -> Self {
        let paths = config.paths.iter().map(PathHealth::new).collect();
        let known = config.tracks.iter().map(crate::Track::at_start).collect();
        Self {
            config,
            role: Role::Init(Init::Idle),
            known,
            paths,
            held_back: HeldBack::default(),
            overridden: None,
            refusals: timers::Refusals::default(),
            put_back: timers::Limiter::default(),
            taken_off: timers::Limiter::default(),
            outputs: VecDeque::new(),
            last_verdict: None,
            counters: Counters::default(),
        }
    }

    /// The next thing to do, in order; `None` when all is done.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call with [`Input::Deadline`]; `None` when only another input can change anything.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.role {
            Role::Init(Init::Idle | Init::Waiting { .. }) => None,
            Role::Init(Init::HandingOver { until }) => Some(*until),
            Role::Backup(backup) => Some(backup.due()),
            Role::Master(master) => {
                let announce_at = master.announce_at.map(|(at, _)| at);
                let announcements = announce_at.into_iter().chain(master.refresh_at);
                Some(announcements.fold(master.advert_at, Instant::min))
            }
            Role::Fault(fault) => {
                let retry_at = fault.retry.map(|(at, _)| at);
                retry_at.into_iter().chain(fault.handing_over).min()
            }
        }
    }

    /// What became of the packet that was the last input; `None` when the last input was not a packet.
    pub const fn last_verdict(&self) -> Option<&Verdict> {
        self.last_verdict.as_ref()
    }

    /// The current state.
    pub const fn state(&self) -> State {
        match &self.role {
            Role::Init(_) => State::Init,
            Role::Backup(_) => State::Backup,
            Role::Master(_) => State::Master,
            Role::Fault(_) => State::Fault,
        }
    }

    /// What it was configured to be.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Master_Down_Interval as now in force: with the master's interval in BACKUP (version 3 learns it), else our own.
    pub fn master_down(&self) -> Duration {
        timers::master_down(self.config.version, self.effective_priority(), self.master_interval_cs())
    }

    /// What [`Input::Override`] says, else what is configured. 255 never changes.
    pub fn base_priority(&self) -> Priority {
        match self.overridden {
            Some(over) if self.config.priority != Priority::OWNER => over.priority(),
            Some(_) | None => self.config.priority,
        }
    }

    /// The priority as advertised, after what is watched: the sum, cut to 1 to 254. 255 never changes.
    pub fn effective_priority(&self) -> u8 {
        let base = self.base_priority();
        if base == Priority::OWNER {
            return base.get();
        }
        let sum = self.adds().fold(i32::from(base.get()), i32::saturating_add);
        u8::try_from(sum.clamp(1, 254)).unwrap_or(base.get())
    }

    /// What is known of each watched thing, in the order of [`Config::tracks`]; `None` before its first result.
    pub fn track_results(&self) -> impl Iterator<Item = Option<TrackResult>> + '_ {
        self.known.iter().map(|known| match known {
            Known::Awaited | Known::Assumed => None,
            Known::Is(result) => Some(*result),
        })
    }

    /// Whether it was started and waits for the first results of what it watches.
    pub const fn awaits_tracks(&self) -> bool {
        matches!(&self.role, Role::Init(Init::Waiting { .. }))
    }

    /// The address that adverts are sent from on the service path; `None` while it cannot serve.
    pub fn source(&self) -> Option<IpAddr> {
        self.paths.first().and_then(|path| path.link.ok())
    }

    /// The source of the last advert heard as BACKUP; `None` in other states, before the first, and after priority 0.
    pub fn master_source(&self) -> Option<IpAddr> {
        match &self.role {
            Role::Backup(backup) => backup.master.map(|(source, _)| source),
            Role::Init(_) | Role::Master(_) | Role::Fault(_) => None,
        }
    }

    /// Each heartbeat line, in the order of [`Config::paths`].
    pub fn paths(&self) -> &[PathHealth] {
        &self.paths
    }

    /// Whether [`Input::Hold`] is in force for any cause.
    pub const fn is_held_back(&self) -> bool {
        self.held_back.by_fence || self.held_back.by_maintenance || self.held_back.by_isolation
    }

    /// Whether [`Input::Hold`] is in force for this cause.
    pub const fn is_held_for(&self, cause: HoldCause) -> bool {
        match cause {
            HoldCause::Fence => self.held_back.by_fence,
            HoldCause::Maintenance => self.held_back.by_maintenance,
            HoldCause::Isolation => self.held_back.by_isolation,
        }
    }

    /// What [`Input::Override`] said last; an owner keeps it in mind and does not heed it.
    pub const fn overridden(&self) -> Option<Override> {
        self.overridden
    }

    /// Adverts sent since the start, each path and peer counted: given out, and not come back as [`Input::SendFailed`].
    pub const fn adverts_sent(&self) -> u64 {
        self.counters.adverts_sent
    }

    /// Adverts accepted since the start.
    pub const fn adverts_accepted(&self) -> u64 {
        self.counters.adverts_accepted
    }

    /// Packets rejected since the start.
    pub const fn packets_rejected(&self) -> u64 {
        self.counters.packets_rejected
    }

    /// Adverts with our own priority and source address heard while MASTER since the start.
    pub const fn duplicates(&self) -> u64 {
        self.counters.duplicates
    }

    /// Times the kernel refused an address, or a fight over one was given up, since the start.
    pub const fn refusals(&self) -> u64 {
        self.counters.refusals
    }

    /// Addresses put back after somebody removed them since the start.
    pub const fn repairs(&self) -> u64 {
        self.counters.repairs
    }

    /// Addresses taken off because they were here while we are not MASTER, since the start.
    pub const fn foreign_released(&self) -> u64 {
        self.counters.foreign_released
    }

    fn master_interval_cs(&self) -> u16 {
        match &self.role {
            Role::Backup(backup) => backup.master_interval_cs,
            Role::Init(_) | Role::Master(_) | Role::Fault(_) => self.config.interval.as_centiseconds(),
        }
    }
}

impl Backup {
    fn due(&self) -> Instant {
        self.preemption.map_or(self.down_at, |preemption| preemption.at.min(self.down_at))
    }
}

impl PathHealth {
    fn new(path: &crate::Path) -> Self {
        let link = if path.source.is_unspecified() { Err(LinkFault::NoAddress) } else { Ok(path.source) };
        Self { link, last_accepted: None, send_failures: 0, last_send_error: String::new() }
    }
}
