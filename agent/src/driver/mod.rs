//! The engine: one OS thread that owns every virtual router, raw socket and address.
//!
//! | thread | does | waits in |
//! | --- | --- | --- |
//! | `engine` | packets, deadlines, commands; decides nothing that the core can decide | `ppoll` on the raw sockets and an eventfd, with a timeout to the nanosecond |
//! | `netlink` | adds, renews and removes addresses, watches links | a tokio runtime of its own; may wait for the kernel's lock |
//! | `probe` | asks who answers for an address, once | a socket with a time-out |
//!
//! The engine takes [`Command`]s and gives [`Report`]s over bounded queues and never waits for whoever reads them: a report
//! that does not fit is counted and dropped, so that no disk, log pipe or coordinator can delay an advertisement.
//! If it ends other than by [`Command::Stop`], by a panic or because the kernel's door closed, the process aborts: the peers
//! are told if that is still possible, and the kernel drops the addresses when their leases run out.

mod announcing;
mod bell;
mod carry_out;
mod engine;
mod held;
mod line;
mod plan;
mod probe;
mod reconfigure;
mod release;
mod schedule;
mod served;
mod standing;
mod tap;
mod tracking;
mod truth;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc as blocking,
    thread,
    time::Duration,
};

use anyhow::Context;
use hafleet_vrrp::{Instant, LinkFault, State, TrackResult, heard::HeardAdvert};
use tokio::sync::{mpsc, oneshot};

use self::engine::Engine as Loop;
pub use self::{
    announcing::{ANNOUNCED_WITHIN, NotAnnounced},
    plan::Plan,
    probe::{BUSY, is_busy},
    reconfigure::Changes,
    release::{Released, release},
    standing::{Stand, Standing},
};
use crate::{
    config::{Instance, track::Subject},
    net::{advert, announce::AnnounceSocket, netlink},
};

/// How many commands may wait; whoever sends one more waits.
pub const COMMAND_QUEUE_LEN: usize = 64;
/// How many reports may wait to be journalled before further ones are counted and dropped.
pub const REPORT_QUEUE_LEN: usize = 8192;

/// What the engine is asked.
#[derive(Debug)]
pub enum Command {
    /// The present, whole.
    Snapshot(oneshot::Sender<EngineSnapshot>),
    /// Look again: who answers for these addresses, by ARP or neighbour discovery. One probe runs at a time per target and interface.
    Probe {
        /// The addresses to ask for.
        targets: Vec<IpAddr>,
        /// How long to wait for answers, at most one second.
        timeout: Duration,
        /// The answers, one for each target and interface of an instance.
        reply: oneshot::Sender<Vec<ArpObservation>>,
    },
    /// What became of a check. Every router that tracks it is told.
    Track {
        /// Its name.
        check: String,
        /// How it is.
        result: TrackResult,
        /// In words.
        detail: String,
    },
    /// This is what stands over the configuration from now on, whole, and these instances take over at once. The answer is
    /// every instance's state thereafter.
    Stand {
        /// What stands.
        standing: Standing,
        /// Who takes over, by name.
        take_over: BTreeSet<String>,
        /// The states.
        reply: oneshot::Sender<BTreeMap<String, State>>,
    },
    /// These instances, each of which has to be MASTER, tell the neighbours once more whose their addresses are. The answer comes when
    /// the kernel has taken one announcement of each address, within [`ANNOUNCED_WITHIN`].
    Announce {
        /// By name.
        instances: BTreeSet<String>,
        /// Whether it is done.
        reply: oneshot::Sender<Result<(), NotAnnounced>>,
    },
    /// These are the instances that a host without a network holds back from now on, whole.
    Isolate(BTreeSet<String>, oneshot::Sender<()>),
    /// Another plan. What did not change does not notice; the answer says what did.
    Reconfigure(Plan, oneshot::Sender<Changes>),
    /// Priority 0 on every path, addresses released, then the thread ends. The answer names every address that may still be
    /// on this host and why; it is empty when all went well.
    Stop(oneshot::Sender<Vec<String>>),
}

/// What the engine tells, in order.
#[derive(Clone, Debug)]
pub enum Report {
    /// An instance changed state.
    Transition {
        /// Its name.
        instance: String,
        /// Its VRID.
        vrid: u8,
        /// The state left.
        from: State,
        /// The state entered.
        to: State,
        /// Stable reason code.
        reason: &'static str,
        /// The operands in words.
        detail: String,
        /// When, wall clock.
        at_us: i64,
        /// When, CLOCK_BOOTTIME.
        mono_us: u64,
    },
    /// The kernel refused an address, or one was lost, repaired or adopted.
    Address {
        /// Its instance.
        instance: String,
        /// The address with prefix length.
        address: String,
        /// Stable code: `refused`, `repaired`, `leftover` (found while not MASTER, and removed), `adopted`.
        what: &'static str,
        /// In words.
        detail: String,
        /// When, wall clock.
        at_us: i64,
        /// When, CLOCK_BOOTTIME.
        mono_us: u64,
    },
}

/// Everything the engine knows, taken between two inputs.
#[derive(Clone, Debug, Default)]
pub struct EngineSnapshot {
    /// Every instance in the configuration's order.
    pub instances: Vec<InstanceSnapshot>,
    /// The heard-adverts tables of all interfaces, with the interface's name.
    pub heard: Vec<(String, HeardAdvert)>,
    /// Packets rejected since the start, all reasons.
    pub packets_rejected: u64,
    /// Reports that did not fit the queue since the start.
    pub reports_dropped: u64,
    /// Announcements (gratuitous ARP, neighbour advertisements) that did not fit their queue since the start.
    pub announcements_dropped: u64,
    /// Sources forgotten since the start to make room for new ones in the heard-adverts tables.
    pub sources_evicted: u64,
}

/// One heartbeat line of an instance as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSnapshot {
    /// Its interface.
    pub interface: String,
    /// The address adverts are sent from, or why none can be.
    pub link: Result<IpAddr, LinkFault>,
    /// When an advert was last accepted on it.
    pub last_accepted: Option<Instant>,
    /// The last advert could not be sent, to one destination at least.
    pub is_failing: bool,
    /// Adverts that could not be sent since the start.
    pub send_failures: u64,
    /// The kernel's words for the last of them, at most 200 bytes; empty when there was none.
    pub last_send_error: String,
}

/// One instance as it is.
#[derive(Clone, Debug)]
pub struct InstanceSnapshot {
    /// What it was configured to be.
    pub config: Instance,
    /// Its state.
    pub state: State,
    /// CLOCK_BOOTTIME of its last transition.
    pub since_mono_us: u64,
    /// How often it entered each state since it was first configured.
    pub transitions: Transitions,
    /// Reason code of its last transition; `never_started` before the first.
    pub reason: &'static str,
    /// Its operands.
    pub reason_detail: String,
    /// As configured, or what an order says in its place.
    pub base_priority: u8,
    /// After tracking.
    pub effective_priority: u8,
    /// Master_Down as now in force.
    pub master_down: Duration,
    /// The subset of its addresses that the kernel has, read from netlink events.
    pub addresses_present: Vec<IpAddr>,
    /// The address it sends adverts from.
    pub source: Option<IpAddr>,
    /// Its service interface has carrier.
    pub carrier: bool,
    /// Packet errors of the service interface since the start.
    pub interface_errors: u64,
    /// The source of the adverts it follows.
    pub master_source: Option<IpAddr>,
    /// Adverts sent since the start.
    pub adverts_sent: u64,
    /// Adverts accepted since the start.
    pub adverts_accepted: u64,
    /// Packets for it that were rejected since the start.
    pub packets_rejected: u64,
    /// Adverts with its own priority and source address heard while MASTER since the start.
    pub duplicates: u64,
    /// Times the kernel refused an address, or a fight over one was given up, since the start.
    pub refusals: u64,
    /// Addresses put back after somebody removed them since the start.
    pub repairs: u64,
    /// Addresses taken off because they were here while it was not MASTER, since the start.
    pub foreign_released: u64,
    /// Every heartbeat line, the service interface first.
    pub paths: Vec<PathSnapshot>,
    /// Everything it tracks, in the configuration's order.
    pub tracks: Vec<TrackSnapshot>,
    /// It was started and waits for the first results of what it tracks.
    pub awaits_tracks: bool,
}

/// How often each state was entered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transitions {
    init: u64,
    backup: u64,
    master: u64,
    fault: u64,
}

impl Transitions {
    /// Into this state.
    pub const fn to(self, state: State) -> u64 {
        match state {
            State::Init => self.init,
            State::Backup => self.backup,
            State::Master => self.master,
            State::Fault => self.fault,
        }
    }

    /// One more into this state.
    pub const fn count(&mut self, state: State) {
        let entered = match state {
            State::Init => &mut self.init,
            State::Backup => &mut self.backup,
            State::Master => &mut self.master,
            State::Fault => &mut self.fault,
        };
        *entered = entered.saturating_add(1);
    }
}

/// Something that an instance tracks, as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackSnapshot {
    /// What.
    pub subject: Subject,
    /// As configured.
    pub weight: i16,
    /// As configured.
    pub reverse: bool,
    /// How it is; `None` before the first result.
    pub result: Option<TrackResult>,
    /// In words; empty for an interface.
    pub detail: String,
}

/// Who answered for one address on one interface.
#[derive(Clone, Debug)]
pub struct ArpObservation {
    /// Where it was asked.
    pub interface: String,
    /// For whom.
    pub target: IpAddr,
    /// Every MAC that answered except this host's own, `aa:bb:cc:dd:ee:ff`.
    pub macs: Vec<String>,
    /// Why it could not be asked; empty when it was.
    pub error: String,
}

/// The engine's ends that the rest of the agent holds.
#[derive(Debug)]
pub struct Engine {
    /// Asks the engine.
    pub commands: mpsc::Sender<Command>,
    /// What it tells.
    pub reports: mpsc::Receiver<Report>,
    /// The thread; ends after [`Command::Stop`].
    pub thread: thread::JoinHandle<()>,
}

/// Starts the engine. Fails when a raw socket or netlink cannot be had (CAP_NET_RAW, CAP_NET_ADMIN), and then nothing
/// was changed. A missing interface is not a failure: its instances are in FAULT until it appears.
pub fn start(plan: Plan) -> anyhow::Result<Engine> {
    let privilege = "opening a raw socket for VRRP: run as root or with CAP_NET_RAW";
    advert::may_open().context(privilege)?;
    let announce_socket = AnnounceSocket::open().context(privilege)?;
    let netlink = netlink::start(plan.interfaces()).context("starting the netlink thread")?;
    start_with(plan, netlink, announce_socket)
}

/// Starts the engine on a netlink thread that runs already, or on what stands between it and one.
///
/// # Errors
/// As [`start`].
pub fn start_with(
    plan: Plan,
    netlink: netlink::Netlink,
    announce_socket: AnnounceSocket,
) -> anyhow::Result<Engine> {
    let (commands, commands_end) = mpsc::channel(COMMAND_QUEUE_LEN);
    let (reports_end, reports) = mpsc::channel(REPORT_QUEUE_LEN);
    let scheduling = plan.scheduling;
    let mut engine = Loop::new(plan, netlink, announce_socket, commands_end, reports_end)
        .context("preparing the engine")?;
    let body = move || {
        schedule::apply(scheduling);
        match catch_unwind(AssertUnwindSafe(|| engine.run())) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                engine.resign(false);
                abort(&format!("the engine cannot go on: {:#}", anyhow::Error::new(error)));
            }
            Err(_) => abort("the engine thread panicked; its addresses go when their leases run out"),
        }
    };
    let thread =
        thread::Builder::new().name("engine".into()).spawn(body).context("starting the engine thread")?;
    Ok(Engine { commands, reports, thread })
}

/// Ends the process by SIGABRT. An agent without its engine must not go on: systemd starts it again.
fn abort(why: &str) -> ! {
    tracing::error!("{why}");
    // The log may never be written any more, and standard error may be a pipe that nobody reads.
    let (done, is_done) = blocking::sync_channel(1);
    let line = format!("ha-agent: {why}\n");
    let _ = thread::Builder::new().spawn(move || {
        let _ = io::Write::write_all(&mut io::stderr(), line.as_bytes());
        let _ = done.send(());
    });
    let _ = is_done.recv_timeout(Duration::from_millis(500));
    std::process::abort()
}
