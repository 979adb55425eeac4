//! One host: the agent's process, its inbox while it does not run, and the kernel, which outlives it.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::Duration,
};

use hafleet_vrrp::{Config, Instant, LinkFault, State, Vip, VirtualRouter};

/// How long the kernel keeps an address that is not renewed, and how often it is.
pub const LEASE: Duration = Duration::from_secs(3);
pub const RENEWAL: Duration = Duration::from_secs(1);
/// What a socket keeps for a process that does not read.
const INBOX: usize = 64;

pub struct Host {
    pub config: Config,
    /// The process; `None` when killed.
    pub router: Option<VirtualRouter>,
    /// Which process: what an earlier one asked of the kernel is void.
    pub life: u32,
    pub is_frozen: bool,
    /// What waits for a frozen process, oldest first.
    pub inbox: VecDeque<Event>,
    pub link: Result<(), LinkFault>,
    pub refuses: bool,
    pub is_held: bool,
    /// Address -> when its lease ends.
    pub kernel: BTreeMap<IpAddr, Instant>,
    /// The kernel works one thing after the other.
    pub kernel_free_at: Instant,
    /// The deadline that is in the calendar.
    pub scheduled: Option<Instant>,
    /// Since when the process has been running undisturbed with a link.
    pub well_since: Instant,
    /// When it last left MASTER.
    pub left_master_at: Instant,
    pub witness: Witness,
}

/// What was delivered to a host, noted apart from the router, to judge its reasons by.
#[derive(Clone, Debug)]
pub struct Witness {
    /// When the last advert came that a follower must follow, and with which interval. Before any: when it began to
    /// listen, and its own.
    pub followed: (Instant, u16),
    pub resigned_at: Option<Instant>,
    /// The shortest interval of the lower adverts since then. Inside `preempt_delay`, and after a refusal, they are
    /// followed too.
    pub lower_cs: Option<u16>,
    /// The advert that is being handled: source, priority, interval.
    pub hearing: Option<(IpAddr, u8, u16)>,
    pub refused_at: Option<Instant>,
    /// When it last entered FAULT.
    pub fault_at: Instant,
    /// Every address that somebody removed.
    pub removals: Vec<(Instant, IpAddr)>,
}

impl Witness {
    pub const fn new(now: Instant, own_cs: u16) -> Self {
        Self {
            followed: (now, own_cs),
            resigned_at: None,
            lower_cs: None,
            hearing: None,
            refused_at: None,
            fault_at: now,
            removals: Vec::new(),
        }
    }
}

impl Witness {
    /// The process begins to listen.
    pub const fn begin(&mut self, now: Instant, cs: u16) {
        self.followed = (now, cs);
        self.resigned_at = None;
        self.lower_cs = None;
    }
}

/// What can happen, in the calendar or in an inbox.
#[derive(Clone, Debug)]
pub enum Event {
    Packet { to: usize, path: u8, source: IpAddr, payload: Vec<u8> },
    Deadline { host: usize, at: Instant },
    Renewal { host: usize },
    Kernel { host: usize, life: u32, work: Work },
    Link { host: usize },
    Removed { host: usize, life: u32, vip: Vip },
    Chaos,
    Thaw { host: usize },
    Restart { host: usize },
    Unblock { from: usize, to: usize, path: u8 },
    LinkUp { host: usize },
    Comply { host: usize },
    Unhold { host: usize },
}

/// What a process asks of the kernel.
#[derive(Clone, Debug)]
pub enum Work {
    Add(Vip),
    Remove(Vip),
}

impl Host {
    pub fn new(config: Config, now: Instant) -> Self {
        let own_cs = config.interval.as_centiseconds();
        Self {
            config,
            router: None,
            life: 0,
            is_frozen: false,
            inbox: VecDeque::new(),
            link: Ok(()),
            refuses: false,
            is_held: false,
            kernel: BTreeMap::new(),
            kernel_free_at: now,
            scheduled: None,
            well_since: now,
            left_master_at: now,
            witness: Witness::new(now, own_cs),
        }
    }

    pub fn is_awake(&self) -> bool {
        self.router.is_some() && !self.is_frozen
    }

    pub fn is_well(&self) -> bool {
        self.is_awake() && self.link.is_ok()
    }

    pub fn state(&self) -> State {
        self.router.as_ref().map_or(State::Init, VirtualRouter::state)
    }

    pub fn holds(&self, address: IpAddr, now: Instant) -> bool {
        self.kernel.get(&address).is_some_and(|until| *until > now)
    }

    /// Keeps it for later; packets past the socket's buffer are dropped. True when kept.
    pub fn keep(&mut self, event: Event) -> bool {
        let is_packet = matches!(event, Event::Packet { .. });
        let packets = self.inbox.iter().filter(|event| matches!(event, Event::Packet { .. })).count();
        let is_kept = !is_packet || packets < INBOX;
        if is_kept {
            self.inbox.push_back(event);
        }
        is_kept
    }

    /// Priority, then source: who wins.
    pub fn rank(&self) -> (u8, IpAddr) {
        (self.config.priority.get(), self.config.source())
    }
}
