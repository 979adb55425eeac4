//! The loop: wait for packets, the kernel, commands or a deadline; take in a bounded number of each; act.
//!
//! Everything that waits is drained before deadlines are looked at, so that a host that was frozen hears what was said
//! meanwhile before it acts on its own. Every drain has a bound, so that a flood delays a deadline by well under
//! a millisecond.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use hafleet_vrrp::{Input, Instant, VirtualRouter, packet};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    Command, EngineSnapshot, Report,
    announcing::{AskedToAnnounce, Owed},
    bell::Bell,
    carry_out::{Feedback, Ticket},
    line::Line,
    plan::{Checks, Plan},
    probe::Probes,
    reconfigure::line_of,
    served::Served,
    standing::{Laid, TakeOver},
    tap::Taps,
};
use crate::{
    clock,
    net::{
        Family,
        advert::{self, Batch},
        announce::{AnnounceQueue, AnnounceSocket},
        netlink::{Event, Netlink},
    },
};

/// Full batches of packets read from one socket before deadlines are looked at.
const BATCHES_AT_ONCE: usize = 256 / advert::BATCH_LEN;
/// Netlink events taken in before deadlines are looked at.
const EVENTS_AT_ONCE: usize = 512;
/// Commands taken in before deadlines are looked at.
const COMMANDS_AT_ONCE: usize = 16;
/// How long a stop waits for the kernel to take the addresses off.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the engine cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    /// The netlink thread ended; it said why in the log.
    #[error("the netlink thread ended: addresses can neither be added nor removed")]
    NetlinkGone,
    /// Waiting itself failed.
    #[error("cannot wait for packets")]
    Wait(#[source] io::Error),
}

/// Everything the engine thread owns.
#[derive(Debug)]
pub(super) struct Engine {
    /// Slots: timers, tickets and lines name a router by its place here.
    pub(super) routers: Vec<Served>,
    /// Those that are configured, in the configuration's order.
    pub(super) order: Vec<usize>,
    pub(super) checks: Checks,
    pub(super) lines: Vec<Line>,
    pub(super) taps: Taps,
    pub(super) netlink: Netlink,
    pub(super) announce_socket: AnnounceSocket,
    pub(super) announcements: AnnounceQueue,
    pub(super) tickets: BTreeMap<u64, Ticket>,
    /// How many of them are additions.
    pub(super) adding: usize,
    pub(super) last_ticket: u64,
    pub(super) feedback: VecDeque<(usize, Feedback)>,
    pub(super) reports: mpsc::Sender<Report>,
    pub(super) reports_dropped: u64,
    pub(super) stopping: Option<Stopping>,
    pub(super) standing: Laid,
    /// The instances that are held back because this host has no network.
    pub(super) isolated: BTreeSet<String>,
    /// As many as commands are taken in at once.
    pub(super) taking_over: Vec<TakeOver>,
    /// Likewise.
    pub(super) asked_to_announce: Vec<AskedToAnnounce>,
    pub(super) owed: Vec<Owed>,
    timers: BTreeSet<(Instant, usize, Timer)>,
    commands: mpsc::Receiver<Command>,
    probes: Probes,
    bell: Arc<Bell>,
    waker: Waker,
    packets_malformed: u64,
    /// Heard on one of its lines what it said on another.
    packets_own: u64,
    /// A drain reached its bound: do not sleep.
    more: bool,
    /// Only at the start: later, addresses that are here may be our own that are being removed.
    pub(super) may_adopt: bool,
    /// Another plan is half applied.
    pub(super) is_replanning: bool,
    /// Something took long: the sockets are read before deadlines are looked at.
    pub(super) hear_first: bool,
}

/// Where packets are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A line's socket.
    Line(usize, Family),
    /// That of all virtual MACs.
    Tap(Family),
}

/// A stop under way.
#[derive(Debug)]
pub(super) struct Stopping {
    until: Instant,
    /// No router waits for its successor any more.
    has_handed_over: bool,
    replies: Vec<oneshot::Sender<Vec<String>>>,
    /// What the kernel would not take off.
    pub(super) left: Vec<String>,
}

/// What a router waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The core's deadline.
    Deadline,
    /// The leases of its addresses.
    Renewal,
    /// The kernel's answers about them.
    Answer,
}

impl Engine {
    pub(super) fn new(
        plan: Plan,
        netlink: Netlink,
        announce_socket: AnnounceSocket,
        commands: mpsc::Receiver<Command>,
        reports: mpsc::Sender<Report>,
    ) -> io::Result<Self> {
        let bell = Bell::new()?;
        let waker = bell.waker();
        let checks = Checks::new(plan.checks);
        let mut lines = Vec::new();
        let served = |instance| Served::new(instance, &checks, line_of(&mut lines));
        let routers: Vec<Served> = plan.instances.into_iter().map(served).collect();
        let mut engine = Self {
            order: (0..routers.len()).collect(),
            routers,
            checks,
            lines,
            taps: Taps::default(),
            netlink,
            announce_socket,
            announcements: AnnounceQueue::default(),
            tickets: BTreeMap::new(),
            adding: 0,
            last_ticket: 0,
            feedback: VecDeque::new(),
            reports,
            reports_dropped: 0,
            stopping: None,
            standing: Laid::new(plan.standing),
            isolated: BTreeSet::new(),
            taking_over: Vec::new(),
            asked_to_announce: Vec::new(),
            owed: Vec::new(),
            timers: BTreeSet::new(),
            commands,
            probes: Probes::default(),
            bell,
            waker,
            packets_malformed: 0,
            packets_own: 0,
            more: false,
            may_adopt: true,
            is_replanning: false,
            hear_first: false,
        };
        engine.listen_anew();
        Ok(engine)
    }

    /// Starts every router and runs until a stop is done.
    pub(super) fn run(&mut self) -> Result<(), EngineError> {
        // What every interface is like is queued already: nobody starts in FAULT only to leave it at once.
        self.take_events()?;
        for index in self.order.clone() {
            self.try_start(index);
        }
        for line in 0..self.lines.len() {
            self.reconcile(line);
        }
        let mut batch = Batch::new();
        loop {
            self.more = false;
            self.take_events()?;
            self.take_commands();
            self.take_feedback();
            let is_asked = !self.taking_over.is_empty() || !self.asked_to_announce.is_empty();
            if std::mem::take(&mut self.hear_first) || is_asked {
                self.more = true;
                for source in self.wait()? {
                    self.receive(source, &mut batch);
                }
            }
            self.take_over();
            self.announce_what_is_asked();
            self.run_timers();
            self.take_feedback();
            self.send_announcements();
            if self.is_stopped() {
                return Ok(());
            }
            for source in self.wait()? {
                self.receive(source, &mut batch);
            }
        }
    }

    /// Every router stops. Without `hand_over` these are the last words of an engine that cannot go on: the peers take over
    /// at once, the leases do the rest.
    pub(super) fn resign(&mut self, hand_over: bool) {
        for index in 0..self.routers.len() {
            if let Some(served) = self.routers.get_mut(index) {
                served.unstarted = false;
            }
            self.input(index, Input::Stop { hand_over });
            self.forget_what_is_handed_over(index);
        }
    }

    /// Hands one input in and carries out what follows.
    pub(super) fn input(&mut self, index: usize, input: Input<'_>) {
        let Some(served) = self.routers.get_mut(index) else { return };
        served.router.handle(input, clock::now());
        while let Some(output) = self.routers.get_mut(index).and_then(|served| served.router.next_output()) {
            self.carry_out(index, output);
        }
        self.schedule(index);
    }

    /// Sets a router's timer; `None` clears it.
    pub(super) fn set_timer(&mut self, index: usize, timer: Timer, at: Option<Instant>) {
        let Some(served) = self.routers.get_mut(index) else { return };
        let set = match timer {
            Timer::Deadline => &mut served.deadline,
            Timer::Renewal => &mut served.renewal,
            Timer::Answer => &mut served.answer,
        };
        if *set == at {
            return;
        }
        if let Some(old) = set.take() {
            self.timers.remove(&(old, index, timer));
        }
        if let Some(new) = at {
            self.timers.insert((new, index, timer));
        }
        *set = at;
    }

    /// Tells the rest of the agent; never waits.
    pub(super) fn report(&mut self, report: Report) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.reports.try_send(report) {
            self.reports_dropped += 1;
        }
    }

    fn schedule(&mut self, index: usize) {
        let deadline = self.routers.get(index).and_then(|served| served.router.deadline());
        self.set_timer(index, Timer::Deadline, deadline);
    }

    /// Sleeps until something happens; returns the sockets with packets.
    fn wait(&mut self) -> Result<Vec<Source>, EngineError> {
        let busy = self.more || !self.feedback.is_empty();
        let timeout = if busy { Some(Duration::ZERO) } else { self.sleep_at_most() };
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut owners = Vec::with_capacity(self.lines.len() + 1);
        let mut fds = Vec::with_capacity(self.lines.len() + 1);
        for (index, line) in self.lines.iter().enumerate() {
            for (family, socket) in &line.sockets {
                owners.push(Some(Source::Line(index, *family)));
                fds.push(PollFd::new(socket, PollFlags::IN));
            }
        }
        for (family, socket) in &self.taps.sockets {
            owners.push(Some(Source::Tap(*family)));
            fds.push(PollFd::new(socket, PollFlags::IN));
        }
        owners.push(None);
        fds.push(PollFd::new(&*self.bell, PollFlags::IN));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(EngineError::Wait(error.into())),
        }
        let ready: Vec<Option<Source>> = owners
            .into_iter()
            .zip(&fds)
            .filter(|(_, fd)| !fd.revents().is_empty())
            .map(|(owner, _)| owner)
            .collect();
        if ready.contains(&None) {
            self.bell.hush();
        }
        Ok(ready.into_iter().flatten().collect())
    }

    fn sleep_at_most(&self) -> Option<Duration> {
        let stop = self.stopping.as_ref().map(|stopping| stopping.until);
        let timer = self.timers.first().map(|(at, _, _)| *at);
        let next = [stop, timer, self.announcements.due(), self.owed_until()].into_iter().flatten().min();
        next.map(|at| at.since(clock::now()))
    }

    fn receive(&mut self, source: Source, batch: &mut Batch) {
        for _ in 0..BATCHES_AT_ONCE {
            let socket = match source {
                Source::Line(line, family) => self.lines.get(line).and_then(|line| line.sockets.get(&family)),
                Source::Tap(family) => self.taps.sockets.get(&family),
            };
            let Some(socket) = socket else { return };
            let is_all = match batch.receive(socket) {
                Ok(is_all) => is_all,
                // Such as ENETDOWN: reading it cleared it, and netlink tells what there is to know.
                Err(error) => {
                    tracing::debug!(%error, "reading the VRRP socket");
                    return;
                }
            };
            for packet in batch.packets() {
                match packet {
                    Ok(received) => self.take_packet(source, &received),
                    Err(malformed) => {
                        self.packets_malformed += 1;
                        tracing::trace!(%malformed, "dropped a packet");
                    }
                }
            }
            if is_all {
                return;
            }
        }
        self.more = true;
    }

    fn take_packet(&mut self, heard_by: Source, received: &advert::Received<'_>) {
        let advert::Received { source, destination, ttl, interface_index, payload } = *received;
        let line = match heard_by {
            Source::Line(line, _) => Some(line),
            // Of any other interface its own socket gives it.
            Source::Tap(_) => interface_index.and_then(|index| self.taps.parent(index)),
        };
        let Some(line) = line else { return };
        let datagram = packet::Datagram { source, destination, ttl, payload };
        let key = (Family::of(source), packet::vrid(payload).unwrap_or(0));
        let listener = self.lines.get(line).and_then(|line| line.routers.get(&key)).copied();
        let own = listener.filter(|(index, path)| {
            self.routers.get(*index).is_some_and(|served| served.is_own(*path, source))
        });
        if own.is_some() {
            // A master would take itself for another one.
            let verdict = packet::Verdict::Rejected(packet::Rejection::OwnLine { ours: source });
            if let Some(line) = self.lines.get_mut(line) {
                line.heard.record(&datagram, Some(&verdict), clock::now());
            }
            self.packets_own += 1;
            return;
        }
        if let Some((index, path)) = listener {
            self.input(index, Input::Packet { path, datagram });
        }
        let verdict = listener.and_then(|(index, _)| self.routers.get(index)?.router.last_verdict());
        if let Some(line) = self.lines.get_mut(line) {
            line.heard.record(&datagram, verdict, clock::now());
        }
    }

    fn take_events(&mut self) -> Result<(), EngineError> {
        for _ in 0..EVENTS_AT_ONCE {
            match self.netlink.events.poll_recv(&mut Context::from_waker(&self.waker)) {
                Poll::Ready(Some(Event::Interface { name, state, fault })) => {
                    self.take_interface(&name, state, fault);
                }
                Poll::Ready(Some(Event::Done { ticket, action, result })) => {
                    self.take_answer(ticket, action, result);
                }
                Poll::Ready(None) => return Err(EngineError::NetlinkGone),
                Poll::Pending => return Ok(()),
            }
        }
        self.more = true;
        Ok(())
    }

    fn take_commands(&mut self) {
        for _ in 0..COMMANDS_AT_ONCE {
            match self.commands.poll_recv(&mut Context::from_waker(&self.waker)) {
                Poll::Ready(Some(Command::Snapshot(reply))) => {
                    // Whoever asked may have gone.
                    let _ = reply.send(self.snapshot());
                }
                Poll::Ready(Some(Command::Probe { targets, timeout, reply })) => {
                    self.probes.start(&self.routers, &self.lines, &targets, timeout, reply);
                }
                Poll::Ready(Some(Command::Track { check, result, detail })) => {
                    self.take_check(check, result, detail);
                }
                Poll::Ready(Some(Command::Stand { standing, take_over, reply })) => {
                    self.take_standing(standing);
                    self.taking_over.push(TakeOver { instances: take_over, reply });
                }
                Poll::Ready(Some(Command::Announce { instances, reply })) => {
                    self.asked_to_announce.push(AskedToAnnounce { instances, reply });
                }
                Poll::Ready(Some(Command::Isolate(isolated, reply))) => {
                    self.take_isolated(isolated);
                    // Whoever asked may have gone.
                    let _ = reply.send(());
                }
                Poll::Ready(Some(Command::Reconfigure(plan, reply))) => {
                    // Whoever gave it up has said that nothing was changed.
                    if !reply.is_closed() {
                        let _ = reply.send(self.reconfigure(plan));
                    }
                }
                Poll::Ready(Some(Command::Stop(reply))) => self.stop(Some(reply)),
                // Nobody can ever ask for a stop any more.
                Poll::Ready(None) => return self.stop(None),
                Poll::Pending => return,
            }
        }
        self.more = true;
    }

    /// What came back while acting. What comes back from that waits for the next round.
    fn take_feedback(&mut self) {
        for _ in 0..self.feedback.len() {
            let Some((index, feedback)) = self.feedback.pop_front() else { return };
            self.input(index, feedback.into_input());
        }
    }

    /// Each due timer once: one that is due again at once waits for the next round, after the sockets.
    fn run_timers(&mut self) {
        let now = clock::now();
        let due: Vec<_> = self.timers.iter().copied().take_while(|(at, _, _)| *at <= now).collect();
        for (at, index, timer) in due {
            // Another one's output may have moved it.
            if self.timers.contains(&(at, index, timer)) {
                if !self.is_set(index, timer, at) {
                    self.timers.remove(&(at, index, timer));
                    continue;
                }
                match timer {
                    Timer::Deadline => self.input(index, Input::Deadline),
                    Timer::Renewal => self.renew(index),
                    Timer::Answer => self.look_for_answers(index, at),
                }
            }
        }
    }

    /// Whether a router really waits for this: one that it knows nothing of would be due for ever.
    fn is_set(&self, index: usize, timer: Timer, at: Instant) -> bool {
        self.routers.get(index).is_some_and(|served| {
            let set = match timer {
                Timer::Deadline => served.deadline,
                Timer::Renewal => served.renewal,
                Timer::Answer => served.answer,
            };
            set == Some(at)
        })
    }

    fn stop(&mut self, reply: Option<oneshot::Sender<Vec<String>>>) {
        if let Some(stopping) = &mut self.stopping {
            // Asked once more, it waits for no successor any longer. That nobody can ask is no second question.
            if let Some(reply) = reply {
                stopping.replies.push(reply);
                self.resign(false);
            }
            return;
        }
        self.stopping = Some(Stopping {
            until: clock::now() + VirtualRouter::HAND_OVER_AT_MOST + STOP_TIMEOUT,
            has_handed_over: false,
            replies: reply.into_iter().collect(),
            left: Vec::new(),
        });
        self.resign(true);
        self.take_macvlans_away();
    }

    /// When no address is left on them: after what was asked for until now.
    fn take_macvlans_away(&mut self) {
        let is_handing_over = self.routers.iter().any(|served| served.router.is_handing_over());
        if let Some(stopping) = &mut self.stopping
            && !stopping.has_handed_over
            && !is_handing_over
        {
            stopping.has_handed_over = true;
            self.netlink.interfaces.send_modify(|interfaces| interfaces.macvlans.clear());
        }
    }

    fn is_stopped(&mut self) -> bool {
        self.take_macvlans_away();
        let Some(stopping) = &mut self.stopping else { return false };
        let late = clock::now() >= stopping.until;
        if !stopping.has_handed_over && !late {
            return false;
        }
        let addresses = self.routers.iter().flat_map(Served::unremoved);
        let unanswered: Vec<String> =
            addresses.chain(self.lines.iter().filter_map(Line::unremoved)).collect();
        if !unanswered.is_empty() && !late {
            return false;
        }
        stopping.left.extend(unanswered);
        for reply in stopping.replies.drain(..) {
            // Whoever asked may have gone.
            let _ = reply.send(stopping.left.clone());
        }
        true
    }

    fn snapshot(&mut self) -> EngineSnapshot {
        // On a silent segment nothing else would age the tables.
        let now = clock::now();
        for line in &mut self.lines {
            line.heard.forget_silent(now);
        }
        let now = clock::now();
        let heard = self
            .lines
            .iter()
            .flat_map(|line| line.heard.entries().map(|entry| (line.name.clone(), entry.clone())))
            .collect();
        let by_routers: u64 = self.routers.iter().map(|served| served.router.packets_rejected()).sum();
        let unreadable: u64 = self.lines.iter().map(|line| line.heard.unreadable()).sum();
        EngineSnapshot {
            instances: self
                .order
                .iter()
                .filter_map(|index| self.routers.get(*index))
                .map(|served| served.snapshot(&self.lines, &self.checks, now))
                .collect(),
            heard,
            packets_rejected: by_routers + unreadable + self.packets_malformed + self.packets_own,
            reports_dropped: self.reports_dropped,
            announcements_dropped: self.announcements.dropped(),
            sources_evicted: self.lines.iter().map(|line| line.heard.evicted()).sum(),
        }
    }
}
