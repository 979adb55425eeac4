//! What must hold.
//!
//! **Overlap.** Let a and b both have an address in their kernels, a ranking higher (priority, then source), both processes
//! running with a link, a MASTER. From the latest of these instants — the overlap began; one of them woke, started or
//! got its link back; an advert of a reached b on no path — the overlap ends within
//!
//! ```text
//! interval of a + timer lateness + longest delay + kernel's work
//! ```
//!
//! because a advertises at least once per interval, b yields to the first advert it hears, and then its kernel takes the
//! addresses off after what it was asked before. While nothing of a reaches b there is no bound, nor can there be one.
//! What a killed or frozen process left behind ends with its lease, 3 s after the last renewal.
//!
//! **Nobody else holds.** A running process that is not MASTER has no address in its kernel longer than the kernel's work.
//!
//! **No link, no MASTER.** A running process whose service link is down is not MASTER, whatever its other paths hear.
//!
//! **Liveness.** When everything works again, exactly one host has each address from 3 intervals + skew + slack on (the
//! longest of the group; for version 3 the interval a follower learned), apart from handovers no longer than a packet's
//! way and the kernel's work.
//!
//! **Resignation.** A follower that hears priority 0, and nothing to follow after it, is MASTER a skew later.
//!
//! **Cause.** Every transition's reason is true in the world, not only in the router: MasterDown only when nothing that
//! must be followed was delivered for the whole Master_Down, and so on.
//!
//! **Quiet.** Afterwards one host advertises at its interval and the others say nothing.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use hafleet_vrrp::{Input, Instant, PathId, Reason, State, Transition, Version};

use crate::{
    host::{Event, Host},
    world::{Step, World},
};

/// The kernel's queue: three addresses on, three off, and repairs.
const KERNEL_QUEUE: u32 = 8;

pub struct Watch {
    /// `(winner, loser)` -> since when both have one address.
    overlaps: BTreeMap<(usize, usize, IpAddr), Instant>,
    /// `(from, to)` -> when an advert last reached nobody there.
    obstructed: BTreeMap<(usize, usize), Instant>,
    must_serve_from: Option<Instant>,
    /// Since when an address has had no holder, or several.
    unserved: BTreeMap<IpAddr, Instant>,
    pub adverts: Vec<u64>,
    adverts_when_settled: Option<Vec<u64>>,
    transitions_when_settled: Vec<String>,
}

impl Watch {
    pub fn new(hosts: usize) -> Self {
        Self {
            overlaps: BTreeMap::new(),
            obstructed: BTreeMap::new(),
            must_serve_from: None,
            unserved: BTreeMap::new(),
            adverts: vec![0; hosts],
            adverts_when_settled: None,
            transitions_when_settled: Vec::new(),
        }
    }

    pub fn obstructed(&mut self, from: usize, to: usize, now: Instant) {
        self.obstructed.insert((from, to), now);
    }

    pub const fn must_serve_from(&mut self, settled: Instant) {
        self.must_serve_from = Some(settled);
    }
}

impl World {
    /// Before and after every step: what is wrong now was wrong until now.
    pub fn check(&mut self) -> Step {
        for vip in self.hosts[0].config.vips.clone() {
            let holders: Vec<usize> = (0..self.hosts.len())
                .filter(|index| self.hosts[*index].holds(vip.address, self.now))
                .collect();
            self.check_overlap(vip.address, &holders)?;
            self.check_holders(vip.address, &holders)?;
            self.check_service(vip.address, &holders)?;
        }
        self.hosts.iter().enumerate().try_for_each(|(index, host)| self.check_state(index, host))
    }

    fn check_state(&self, index: usize, host: &Host) -> Step {
        if host.is_awake() && host.link.is_err() && host.state() == State::Master {
            return Err(format!("host {index} is MASTER without a link"));
        }
        let (Some(at), true, State::Backup) = (host.witness.resigned_at, host.is_well(), host.state()) else {
            return Ok(());
        };
        let bound = skew(host, host.witness.followed.1) + self.slack();
        let waits = self.now.since(at.max(host.well_since));
        if host.witness.lower_cs.is_none() && at >= host.well_since && waits > bound {
            return Err(format!(
                "host {index} is BACKUP {waits:?} after a resignation, the bound is {bound:?}"
            ));
        }
        Ok(())
    }

    fn check_overlap(&mut self, address: IpAddr, holders: &[usize]) -> Step {
        let now = self.now;
        for winner in 0..self.hosts.len() {
            for loser in (0..self.hosts.len()).filter(|loser| *loser != winner) {
                let key = (winner, loser, address);
                if self.hosts[winner].rank() < self.hosts[loser].rank() {
                    continue;
                }
                if !holders.contains(&winner) || !holders.contains(&loser) {
                    self.watch.overlaps.remove(&key);
                    continue;
                }
                if !self.watch.overlaps.contains_key(&key) {
                    self.tally.overlaps += 1;
                }
                let began = *self.watch.overlaps.entry(key).or_insert(now);
                let (a, b) = (&self.hosts[winner], &self.hosts[loser]);
                if !a.is_well() || !b.is_well() || a.state() != State::Master {
                    continue;
                }
                let obstructed = self.watch.obstructed.get(&(winner, loser)).copied().unwrap_or_default();
                let since = began.max(obstructed).max(a.well_since).max(b.well_since);
                let bound = a.config.interval.as_duration() + self.slack();
                if now.since(since) > bound {
                    return Err(format!(
                        "{address} is on hosts {winner} and {loser} for {:?}, the bound is {bound:?}",
                        now.since(since)
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_holders(&self, address: IpAddr, holders: &[usize]) -> Step {
        for index in holders.iter().copied() {
            let host = &self.hosts[index];
            let since = host.left_master_at.max(host.well_since);
            let bound = self.weather.kernel * KERNEL_QUEUE;
            if host.is_well() && host.state() != State::Master && self.now.since(since) > bound {
                return Err(format!("host {index} is {} and has {address}", host.state()));
            }
        }
        Ok(())
    }

    fn check_service(&mut self, address: IpAddr, holders: &[usize]) -> Step {
        let now = self.now;
        if self.watch.must_serve_from.is_none_or(|from| now < from) {
            return Ok(());
        }
        if self.watch.adverts_when_settled.is_none() {
            self.tell("settled");
            self.watch.adverts_when_settled = Some(self.watch.adverts.clone());
        }
        if holders.len() == 1 {
            self.watch.unserved.remove(&address);
            return Ok(());
        }
        let since = *self.watch.unserved.entry(address).or_insert(now);
        let bound = self.slack();
        if now.since(since) > bound {
            return Err(format!("{address} is on hosts {holders:?} for more than {bound:?} after healing"));
        }
        Ok(())
    }

    /// At the end: the settled time was quiet.
    pub fn check_quiet(&self, end: Instant) -> Step {
        let (Some(settled), Some(before)) = (self.watch.must_serve_from, &self.watch.adverts_when_settled)
        else {
            return Err("the end was not settled".to_owned());
        };
        // Different intervals make a late returner time out once before it learns; a refused owner comes back; a delay
        // ends. Nothing else may move.
        let learns = self.hosts.iter().any(|host| host.config.interval != self.hosts[0].config.interval);
        let mut allowed = vec!["preempted", "higher_priority_heard", "higher_address_heard", "retry"];
        if learns {
            allowed.push("master_down");
        }
        if let Some(code) =
            self.watch.transitions_when_settled.iter().find(|code| !allowed.contains(&code.as_str()))
        {
            return Err(format!("a transition for {code} though nothing happened"));
        }
        if !self.watch.transitions_when_settled.is_empty() {
            return Ok(());
        }
        for (index, host) in self.hosts.iter().enumerate() {
            let sent = (self.watch.adverts[index] - before[index]) / u64::from(self.paths);
            let rounds = end.since(settled).as_micros() / host.config.interval.as_duration().as_micros();
            let rounds = u64::try_from(rounds).unwrap();
            let expected = if host.state() == State::Master { rounds - 1..=rounds + 1 } else { 0..=0 };
            if !expected.contains(&sent) {
                return Err(format!(
                    "host {index} is {} and sent {sent} adverts, {expected:?} expected",
                    host.state()
                ));
            }
        }
        Ok(())
    }

    /// Is the reason true?
    pub fn check_transition(&mut self, index: usize, transition: &Transition) -> Step {
        let now = self.now;
        self.tally.transitions += 1;
        let host = &mut self.hosts[index];
        if !is_true(host, transition, now) {
            return Err(format!("host {index}: {transition:?} has no cause: {:?}", host.witness));
        }
        if transition.from == State::Master {
            host.left_master_at = now;
        }
        match transition.to {
            State::Master => self.tally.takeovers += 1,
            State::Backup => {
                let own_cs = host.config.interval.as_centiseconds();
                let heard_cs = host.witness.hearing.map(|(_, _, cs)| cs);
                host.witness.begin(now, heard_cs.unwrap_or(own_cs));
            }
            State::Fault => host.witness.fault_at = now,
            State::Init => {}
        }
        if self.watch.must_serve_from.is_some_and(|from| now >= from) {
            self.watch.transitions_when_settled.push(transition.reason.code().to_owned());
        }
        Ok(())
    }

    /// A packet's way, a late timer, the kernel's work.
    fn slack(&self) -> Duration {
        self.weather.delay + self.weather.lateness + self.weather.kernel * KERNEL_QUEUE
    }

    /// What is still to come of the chaos is off; packets, deadlines, renewals and the kernel go on.
    pub fn is_fault(event: &Event) -> bool {
        match event {
            Event::Chaos
            | Event::Thaw { .. }
            | Event::Restart { .. }
            | Event::Unblock { .. }
            | Event::LinkUp { .. }
            | Event::Comply { .. }
            | Event::Unhold { .. } => true,
            Event::Packet { .. }
            | Event::Deadline { .. }
            | Event::Renewal { .. }
            | Event::Kernel { .. }
            | Event::Link { .. }
            | Event::Removed { .. } => false,
        }
    }
}

fn is_true(host: &Host, transition: &Transition, now: Instant) -> bool {
    let witness = &host.witness;
    let ours = host.config.priority.get();
    let (followed_at, followed_cs) = witness.followed;
    let follows_lower = host.config.preempt_delay > Duration::ZERO || witness.refused_at.is_some();
    let cs = witness.lower_cs.filter(|_| follows_lower).map_or(followed_cs, |cs| cs.min(followed_cs));
    let is_silent = now.since(followed_at) >= interval(cs) * 3 + skew(host, cs);
    let has_resigned = witness.resigned_at.is_some_and(|at| now.since(at) >= skew(host, cs));
    let ends = (transition.from, transition.to);
    let takes_over = ends == (State::Backup, State::Master);
    let yields = ends == (State::Master, State::Backup);
    host.is_awake()
        && match &transition.reason {
            Reason::Started => ends == (State::Init, State::Backup),
            Reason::AddressOwner => ends == (State::Init, State::Master) && ours == 255,
            Reason::Stopped => transition.to == State::Init,
            Reason::MasterDown { .. } => takes_over && is_silent,
            Reason::MasterResigned { .. } => takes_over && has_resigned,
            Reason::Preempted { priority, .. } => {
                let has_heard = witness.lower_cs.is_some() && *priority < ours && host.config.preempt;
                takes_over && has_heard && (is_silent || has_resigned)
            }
            Reason::HigherPriorityHeard { source, priority, .. } => {
                let is_heard = witness.hearing.is_some_and(|(s, p, _)| (s, p) == (*source, *priority));
                yields && is_heard && *priority > ours
            }
            Reason::HigherAddressHeard { source, priority, .. } => {
                let is_heard = witness.hearing.is_some_and(|(s, p, _)| (s, p) == (*source, *priority));
                yields && is_heard && *priority == ours && *source > host.config.source()
            }
            Reason::Link(fault) => transition.to == State::Fault && host.link == Err(*fault),
            Reason::LinkRestored => transition.from == State::Fault && host.link.is_ok(),
            Reason::AddressRefused { .. } => {
                ends == (State::Master, State::Fault) && witness.refused_at == Some(now)
            }
            Reason::AddressContested { address, .. } => {
                let window = Duration::from_secs(10);
                let removals =
                    witness.removals.iter().filter(|(at, which)| which == address && now.since(*at) < window);
                ends == (State::Master, State::Fault) && removals.count() > 3
            }
            Reason::Retry { after } => {
                transition.from == State::Fault && now.since(witness.fault_at) >= *after
            }
            Reason::Held => transition.to == State::Fault && host.is_held,
            Reason::Unheld => transition.from == State::Fault && !host.is_held,
            // Nothing here is adopted, tracked or reconfigured.
            Reason::Adopted | Reason::TrackFailed { .. } | Reason::TracksRestored | Reason::Reconfigured => {
                false
            }
        }
}

fn interval(cs: u16) -> Duration {
    Duration::from_millis(u64::from(cs) * 10)
}

/// RFC 3768 and RFC 9568 sections 6.1, written down a second time on purpose.
fn skew(host: &Host, master_cs: u16) -> Duration {
    let whole = match host.config.version {
        Version::V2 => Duration::from_secs(1),
        Version::V3 => interval(master_cs),
    };
    let us = whole.as_micros() * u128::from(256 - u16::from(host.config.priority.get())) / 256;
    Duration::from_micros(u64::try_from(us).unwrap())
}

/// What an input says to the witness before the router hears it.
pub fn note(host: &mut Host, input: &Input<'_>, now: Instant) {
    match input {
        Input::AddressFault { vip, fault: hafleet_vrrp::AddressFault::Removed } => {
            host.witness.removals.push((now, vip.address));
        }
        Input::LinkDown { path: PathId(_), .. }
        | Input::AddressFault { .. }
        | Input::Start { .. }
        | Input::Stop
        | Input::Deadline
        | Input::Packet { .. }
        | Input::LinkUp { .. }
        | Input::AddressHeld(_)
        | Input::SendFailed { .. }
        | Input::Hold
        | Input::Unhold
        | Input::Track { .. }
        | Input::Reconfigure(_) => {}
    }
}
