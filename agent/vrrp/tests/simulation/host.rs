//! One host: the agent's process, its inbox while it does not run, and the kernel, which outlives it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use hafleet_vrrp::{
    Config, HoldCause, Instant, LinkFault, Override, State, Track, TrackResult, Vip, VirtualRouter,
};

/// How long the kernel keeps an address that is not renewed, and how often it is.
pub const LEASE: Duration = Duration::from_secs(3);
pub const RENEWAL: Duration = Duration::from_secs(1);
/// What a socket keeps for a process that does not read.
const INBOX: usize = 64;

pub struct Host {
    /// As on disk. A running process may not have read it yet; see [`Host::running`].
    pub config: Config,
    /// The longest interval that it ever had.
    pub longest_cs: u16,
    /// How the watched things really are.
    pub watched: BTreeMap<String, TrackResult>,
    /// What the process takes for how they are.
    pub told: BTreeMap<String, TrackResult>,
    /// The process; `None` when killed.
    pub router: Option<VirtualRouter>,
    /// Which process: what an earlier one asked of the kernel is void.
    pub life: u32,
    pub is_frozen: bool,
    /// It was asked to end, and does so when its addresses are handed over.
    pub is_stopping: bool,
    /// What waits for a frozen process, oldest first.
    pub inbox: VecDeque<Event>,
    pub link: Result<(), LinkFault>,
    /// What the process was told of it.
    pub told_link: Result<(), LinkFault>,
    pub refuses: bool,
    /// Why it is held back. Orders are on its disk: they outlive the process.
    pub held: Option<HoldCause>,
    /// What stands over its priority, on its disk too.
    pub overridden: Option<Override>,
    /// What the process was told of it.
    pub told_override: Option<Override>,
    /// Address -> when its lease ends.
    pub kernel: BTreeMap<IpAddr, Instant>,
    /// What this process asked for and not to be taken off since: its leases are renewed.
    pub wanted: BTreeSet<IpAddr>,
    /// The kernel works one thing after the other.
    pub kernel_free_at: Instant,
    /// The deadline that is in the calendar.
    pub scheduled: Option<Instant>,
    /// Since when the process has been running undisturbed with a link.
    pub well_since: Instant,
    /// When it last left MASTER, or what else it had.
    pub left_master_at: Instant,
    /// When it last became MASTER.
    pub master_since: Instant,
    /// When what decides between it and others last changed.
    pub rank_changed_at: Instant,
    pub witness: Witness,
}

/// What was delivered to a host, noted apart from the router, to judge its reasons by.
#[derive(Clone, Debug)]
pub struct Witness {
    /// When the last advert came that a follower must follow, and with which interval. Before any: when it began to
    /// listen, and its own.
    pub followed: (Instant, u16),
    /// The longest interval that its timers may go by.
    pub timers_cs: u16,
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
    /// The last advert that was lower: when, its priority and interval.
    pub lower: Option<(Instant, u8, u16)>,
    /// It started where its addresses were, and has heard no master since.
    pub adopts: bool,
    /// When the first advert of another master came after it began to hand over.
    pub succeeded_at: Option<Instant>,
    /// When the process began.
    pub began_at: Instant,
    /// When it was last given another configuration.
    pub reconfigured_at: Option<Instant>,
    /// When it was last told to take over.
    pub ordered_at: Option<Instant>,
    /// The priority of the last advert heard while it followed one; `None` after one of 0.
    pub master: Option<u8>,
}

impl Witness {
    pub const fn new(now: Instant, own_cs: u16) -> Self {
        Self {
            followed: (now, own_cs),
            timers_cs: own_cs,
            resigned_at: None,
            lower_cs: None,
            hearing: None,
            refused_at: None,
            fault_at: now,
            removals: Vec::new(),
            lower: None,
            adopts: false,
            succeeded_at: None,
            began_at: now,
            reconfigured_at: None,
            ordered_at: None,
            master: None,
        }
    }
    /// The process begins to listen.
    pub const fn begin(&mut self, now: Instant, cs: u16) {
        self.followed = (now, cs);
        self.timers_cs = cs;
        self.resigned_at = None;
        self.lower_cs = None;
        self.lower = None;
    }

    /// What was lower when it was heard is not any more, or is let be: it had to be followed from then on.
    pub const fn follow_lower(&mut self) {
        if let Some((at, _, cs)) = self.lower {
            self.begin(at, cs);
        }
    }
}

/// What can happen, in the calendar or in an inbox.
#[derive(Clone, Debug)]
pub enum Event {
    Packet {
        to: usize,
        path: u8,
        source: IpAddr,
        destination: IpAddr,
        payload: Vec<u8>,
    },
    Deadline {
        host: usize,
        at: Instant,
    },
    Renewal {
        host: usize,
    },
    Kernel {
        host: usize,
        life: u32,
        work: Work,
    },
    Link {
        host: usize,
    },
    Removed {
        host: usize,
        life: u32,
        vip: Vip,
    },
    Chaos,
    Thaw {
        host: usize,
    },
    Restart {
        host: usize,
    },
    Unblock {
        from: usize,
        to: usize,
        path: u8,
    },
    LinkUp {
        host: usize,
    },
    Comply {
        host: usize,
    },
    Unhold {
        host: usize,
    },
    /// The process is told what stands over its priority.
    Override {
        host: usize,
        life: u32,
    },
    /// The process is told to take over.
    TakeOver {
        host: usize,
        life: u32,
    },
    /// A check of a host has a result.
    Result {
        host: usize,
        life: u32,
        name: &'static str,
    },
    /// A watched thing is as it was before.
    Mend {
        host: usize,
        name: &'static str,
    },
    /// The process is given the configuration on disk.
    Reload {
        host: usize,
        life: u32,
    },
    /// The whole group is to have other addresses, this host now.
    Readdress {
        host: usize,
        vips: Vec<Vip>,
    },
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
            longest_cs: own_cs,
            watched: BTreeMap::new(),
            told: BTreeMap::new(),
            router: None,
            life: 0,
            is_frozen: false,
            is_stopping: false,
            inbox: VecDeque::new(),
            link: Ok(()),
            told_link: Ok(()),
            refuses: false,
            held: None,
            overridden: None,
            told_override: None,
            kernel: BTreeMap::new(),
            wanted: BTreeSet::new(),
            kernel_free_at: now,
            scheduled: None,
            well_since: now,
            left_master_at: now,
            master_since: now,
            rank_changed_at: now,
            witness: Witness::new(now, own_cs),
        }
    }

    pub fn is_awake(&self) -> bool {
        self.router.is_some() && !self.is_frozen
    }

    /// It runs and can be heard.
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

    /// The configuration in force: the process's, or the one on disk when there is none.
    pub fn running(&self) -> &Config {
        self.router.as_ref().map_or(&self.config, VirtualRouter::config)
    }

    /// Priority, then source: who wins.
    pub fn rank(&self) -> (u8, IpAddr) {
        (self.priority(), self.running().source())
    }

    /// The effective priority by what the process was told, written down a second time on purpose.
    pub fn priority(&self) -> u8 {
        let config = self.running();
        if config.priority.get() == 255 {
            return 255;
        }
        // What a process was told, which may be older than what is on the disk.
        let overridden = self.router.as_ref().map_or(self.overridden, |_| self.told_override);
        let base = overridden.map_or(config.priority, Override::priority);
        let adds = config.tracks.iter().map(|track| {
            let adds = match self.told.get(&track.name) {
                Some(TrackResult::Up) => track.weight.max(0),
                Some(TrackResult::Down) => track.weight.min(0),
                Some(TrackResult::Value(_)) | None => 0,
            };
            i32::from(if track.reverse { -adds } else { adds })
        });
        u8::try_from((i32::from(base.get()) + adds.sum::<i32>()).clamp(1, 254)).unwrap()
    }

    /// A watched thing of weight 0 that fails, by what the process was told.
    pub fn failing(&self) -> Option<&Track> {
        let fails = |track: &&Track| {
            let bad = if track.reverse { TrackResult::Up } else { TrackResult::Down };
            track.weight == 0 && self.told.get(&track.name) == Some(&bad)
        };
        self.running().tracks.iter().find(fails)
    }

    /// Why its link does not let it serve.
    pub fn link_obstacle(&self) -> Option<LinkFault> {
        let fault = self.told_link.err()?;
        let is_bearable = matches!(fault, LinkFault::NoCarrier | LinkFault::AdminDown);
        (self.running().track_service || !is_bearable).then_some(fault)
    }
}
