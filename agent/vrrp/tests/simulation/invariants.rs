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
//! A change of rank, by a track or a new configuration, begins the count anew.
//!
//! **Nobody else holds.** A running process that is not MASTER has no address in its kernel longer than the kernel's work, but
//! for what it adopts: it started where its addresses were, listens, and has heard no master; and for what it hands over: it
//! was stopped or put into maintenance, and has heard no successor, for at most the longest skew. What it does not want of a process before it goes at
//! the shell's next look, and what is no longer configured with its lease.
//!
//! **Who cannot serve does not.** A running process that is held back, whose service link is down (and is tracked), or for which
//! something of weight 0 fails is neither MASTER nor BACKUP, whatever its other paths hear. The effective priority is what its
//! tracks make it.
//!
//! **The same once more.** A configuration that is the running one moves nothing: no output, no timer.
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

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use hafleet_vrrp::{Input, Instant, PathId, State, Transition, Version, VirtualRouter};

use crate::{
    causes::{is_true, skew},
    host::{Event, Host, LEASE, RENEWAL},
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
        let addresses: BTreeSet<IpAddr> = self
            .hosts
            .iter()
            .flat_map(|host| {
                host.kernel.keys().copied().chain(host.config.vips.iter().map(|vip| vip.address))
            })
            .collect();
        for address in addresses {
            let holders: Vec<usize> =
                (0..self.hosts.len()).filter(|index| self.hosts[*index].holds(address, self.now)).collect();
            self.check_overlap(address, &holders)?;
            self.check_holders(address, &holders)?;
            if self.hosts[0].config.vips.iter().any(|vip| vip.address == address) {
                self.check_service(address, &holders)?;
            }
        }
        self.hosts.iter().enumerate().try_for_each(|(index, host)| self.check_state(index, host))
    }

    fn check_state(&self, index: usize, host: &Host) -> Step {
        if let Some(router) = &host.router
            && router.effective_priority() != host.priority()
        {
            let (ours, is) = (host.priority(), router.effective_priority());
            return Err(format!("host {index}: the effective priority is {is}, must be {ours}"));
        }
        let obstacle = host.link_obstacle().is_some() || host.failing().is_some() || host.held.is_some();
        match host.state() {
            State::Backup | State::Master if host.is_awake() && obstacle => {
                return Err(format!("host {index} is {} and cannot serve", host.state()));
            }
            State::Init | State::Backup | State::Master | State::Fault => {}
        }
        let (Some(at), true, State::Backup) = (host.witness.resigned_at, host.is_well(), host.state()) else {
            return Ok(());
        };
        let bound = skew(host, host.witness.timers_cs) + self.slack();
        let changed_at = host.rank_changed_at.max(host.witness.reconfigured_at.unwrap_or_default());
        let waits = self.now.since(at.max(host.well_since).max(changed_at));
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
                // What the loser does not hold on purpose is the next check's.
                let is_on_purpose = b.wanted.contains(&address);
                if !a.is_well() || !b.is_well() || a.state() != State::Master || !is_on_purpose {
                    continue;
                }
                let obstructed = self.watch.obstructed.get(&(winner, loser)).copied().unwrap_or_default();
                let since = began.max(obstructed).max(a.well_since).max(b.well_since);
                let since = since.max(a.master_since).max(a.rank_changed_at).max(b.rank_changed_at);
                let since = since.max(a.witness.reconfigured_at.unwrap_or_default());
                let since = since.max(b.witness.reconfigured_at.unwrap_or_default());
                let bound = a.running().interval.as_duration() + self.slack();
                self.tally.longest_overlap = self.tally.longest_overlap.max(now.since(since));
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
            let mut bound = self.weather.kernel * KERNEL_QUEUE;
            let is_configured = host.running().vips.iter().any(|vip| vip.address == address);
            if host.witness.adopts && host.state() == State::Init {
                // It waits for what it watches; nothing is renewed meanwhile.
                bound = LEASE + RENEWAL;
            } else if self.now.since(host.witness.began_at) <= LEASE + RENEWAL {
                // Left by the process before: found at the next look, or gone with its lease if it is no longer configured.
                bound += if is_configured { RENEWAL * 2 } else { LEASE };
            }
            // A successor that is not heard is not waited for any longer; one that was, not at all.
            let is_handing_over = host.router.as_ref().is_some_and(VirtualRouter::is_handing_over);
            let succeeded_at = host.witness.succeeded_at.filter(|_| is_handing_over);
            let since = succeeded_at.unwrap_or(since);
            if is_handing_over && succeeded_at.is_none() {
                // The interval of when it was stopped.
                let interval = Duration::from_millis(u64::from(host.longest_cs) * 10);
                bound += match host.running().version {
                    Version::V2 => Duration::from_secs(1),
                    Version::V3 => interval.min(Duration::from_secs(1)),
                };
                bound += Duration::from_millis(100) + self.weather.lateness;
            }
            let is_adopted = host.witness.adopts && host.state() == State::Backup;
            let is_served = host.state() == State::Master && host.wanted.contains(&address);
            if host.is_well() && !is_served && !is_adopted && self.now.since(since) > bound {
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
        // Who learned a shorter interval from a late advert may call the next master down before it hears it again.
        // And who does not answer a lower master ends its claim with the next advert.
        let first = &self.hosts[0].config;
        let is_slow = |host: &Host| host.config.interval != first.interval || !host.config.answers_lower;
        let is_any_slow = self.hosts.iter().any(is_slow);
        let bound = self.slack() + if is_any_slow { self.longest_interval() } else { Duration::ZERO };
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
            let line = &host.config.paths[0];
            let copies = u64::from(self.paths) * u64::try_from(line.peers.len().max(1)).unwrap();
            let sent = (self.watch.adverts[index] - before[index]) / copies;
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
        match transition.reason.code() {
            "adopted" => self.tally.adopted += 1,
            "took_over" => self.tally.ordered += 1,
            _ => {}
        }
        if !is_true(host, transition, now) {
            return Err(format!("host {index}: {transition:?} has no cause: {:?}", host.witness));
        }
        if transition.from == State::Master {
            host.left_master_at = now;
            host.witness.succeeded_at = None;
        }
        match transition.to {
            State::Master => {
                self.tally.takeovers += 1;
                host.master_since = now;
            }
            State::Backup => {
                let own_cs = host.running().interval.as_centiseconds();
                let heard_cs = host.witness.hearing.map(|(_, _, cs)| cs);
                host.witness.begin(now, heard_cs.unwrap_or(own_cs));
                host.witness.master = host.witness.hearing.map(|(_, priority, _)| priority);
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
            | Event::Unhold { .. }
            | Event::Override { .. }
            | Event::TakeOver { .. }
            | Event::Mend { .. }
            | Event::Readdress { .. } => true,
            Event::Packet { .. }
            | Event::Deadline { .. }
            | Event::Renewal { .. }
            | Event::Kernel { .. }
            | Event::Link { .. }
            | Event::Removed { .. }
            | Event::Result { .. }
            | Event::Reload { .. } => false,
        }
    }
}

/// What an input says to the witness before the router hears it.
pub fn note(host: &mut Host, input: &Input<'_>, now: Instant) {
    match input {
        Input::AddressFault { vip, fault: hafleet_vrrp::AddressFault::Removed } => {
            host.witness.removals.push((now, vip.address));
        }
        Input::TakeOver => host.witness.ordered_at = Some(now),
        Input::LinkDown { path: PathId(_), .. }
        | Input::AddressFault { .. }
        | Input::Start { .. }
        | Input::Stop { .. }
        | Input::Deadline
        | Input::Packet { .. }
        | Input::LinkUp { .. }
        | Input::AddressHeld(_)
        | Input::SendFailed { .. }
        | Input::Hold(_)
        | Input::Unhold(_)
        | Input::Override(_)
        | Input::Announce
        | Input::Track { .. }
        | Input::Reconfigure(_) => {}
    }
}
