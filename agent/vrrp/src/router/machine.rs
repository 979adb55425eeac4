//! Every (state, input) pair except what an advert decides; that is in `election`.

use alloc::{collections::BTreeSet, string::String, vec};
use core::{net::IpAddr, time::Duration};

use super::{
    AddressFault, Backup, Expiry, Fault, HoldCause, Init, Input, LinkFault, Master, Output, Reason, Role,
    State, Transition, VirtualRouter, timers,
};
use crate::{
    Instant, Override, PathId, Priority, Vip,
    packet::{self, Advertisement},
};

/// How much of the kernel's words is kept.
const MAX_ERROR_LEN: usize = 200;

/// A master that a BACKUP begins to follow.
#[derive(Clone, Copy)]
pub(super) struct Followed {
    pub source: IpAddr,
    pub priority: u8,
    pub interval_cs: u16,
}

impl VirtualRouter {
    /// Takes one input in. What follows from it is waiting in [`VirtualRouter::next_output`].
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        self.last_verdict = None;
        match input {
            Input::Start { adopt } => self.on_start(adopt, now),
            Input::Stop { hand_over } => self.on_stop(hand_over, now),
            Input::Deadline => self.on_deadline(now),
            Input::Packet { path, datagram } => self.on_packet(path, &datagram, now),
            Input::LinkUp { path, source } => self.on_link_up(path, source, now),
            Input::LinkDown { path, fault } => self.on_link_down(path, fault, now),
            Input::AddressHeld(vip) => self.on_address_held(vip),
            Input::AddressFault { vip, fault } => self.on_address_fault(vip, fault, now),
            Input::SendFailed { path, error } => self.on_send_failed(path, error),
            Input::Hold(cause) => self.on_hold(cause, now),
            Input::Unhold(cause) => self.on_unhold(cause, now),
            Input::Override(over) => self.on_override(over, now),
            Input::TakeOver => self.on_take_over(now),
            Input::Announce => self.on_announce(now),
            Input::Track { track, result, detail } => self.on_track(track, result, detail, now),
            Input::Reconfigure(config) => self.on_reconfigure(config, now),
        }
    }

    fn on_start(&mut self, adopt: bool, now: Instant) {
        match &self.role {
            Role::Init(init) => {
                let adopt = match init {
                    Init::Idle => adopt,
                    // Asked once more.
                    Init::Waiting { adopt: before } => adopt || *before,
                    // What is still to be handed over is here to be adopted.
                    Init::HandingOver { .. } => true,
                };
                if self.awaits_results() {
                    self.role = Role::Init(Init::Waiting { adopt });
                } else {
                    self.start(adopt, now);
                }
            }
            Role::Backup(_) | Role::Master(_) | Role::Fault(_) => {}
        }
    }

    /// Leaves INIT: everything that the election waits for is known.
    pub(super) fn start(&mut self, adopt: bool, now: Instant) {
        match self.obstacle() {
            Some(reason) => {
                // Who cannot serve keeps nothing of what an agent before it left.
                if adopt {
                    self.release_all();
                }
                self.leave_for(Role::Fault(Fault::default()), reason);
            }
            None if self.is_owner() => self.become_master(Reason::AddressOwner, now),
            None if adopt => self.adopt(now),
            None => {
                self.become_backup(Reason::Started, None, now);
                let skew = self.first_skew();
                let Role::Backup(backup) = &mut self.role else { return };
                backup.down_at = now + timers::interval(backup.master_interval_cs) * 3 + skew;
            }
        }
    }

    /// At the first election: at least that of a one-second interval, so that hosts that start together elect by
    /// priority.
    fn first_skew(&self) -> Duration {
        let interval_cs = self.config.interval.as_centiseconds().max(100);
        timers::skew(self.config.version, self.effective_priority(), interval_cs)
    }

    /// The addresses are here. Who would take them over from a lower master anyway says so at once, and whoever ranks
    /// higher answers at once; who would not, listens first.
    fn adopt(&mut self, now: Instant) {
        if self.config.preempt && self.config.preempt_delay.is_zero() {
            return self.become_master(Reason::Adopted, now);
        }
        // The leases begin anew, so that they outlast the listening.
        self.outputs.push_back(Output::HoldAddresses(self.config.vips.clone()));
        self.become_backup(Reason::Started, None, now);
        let priority = self.effective_priority();
        let Role::Backup(backup) = &mut self.role else { return };
        let skew = timers::skew(self.config.version, priority, backup.master_interval_cs);
        backup.down_at = now + timers::interval(backup.master_interval_cs) + skew;
        backup.expiry = Expiry::Adoption;
        backup.adopting = true;
    }

    fn on_stop(&mut self, hand_over: bool, now: Instant) {
        match &self.role {
            Role::Init(Init::Idle) => {}
            Role::Init(Init::Waiting { adopt }) => {
                if *adopt {
                    self.release_all();
                }
                self.role = Role::Init(Init::Idle);
            }
            // Asked once more to go.
            Role::Init(Init::HandingOver { .. }) => self.end_hand_over(),
            Role::Master(_) if hand_over && self.may_hand_over() => {
                self.refusals = timers::Refusals::default();
                self.hand_over(|until| Role::Init(Init::HandingOver { until }), Reason::Stopped, now);
            }
            // For maintenance it does so already.
            Role::Fault(Fault { handing_over: Some(until), .. }) if hand_over => {
                self.role = Role::Init(Init::HandingOver { until: *until });
                self.refusals = timers::Refusals::default();
                let (from, to, reason) = (State::Fault, State::Init, Reason::Stopped);
                self.outputs.push_back(Output::Transition(Transition { from, to, reason }));
            }
            Role::Backup(_) | Role::Master(_) | Role::Fault(_) => {
                self.refusals = timers::Refusals::default();
                self.leave_for(Role::Init(Init::Idle), Reason::Stopped);
            }
        }
    }

    fn on_deadline(&mut self, now: Instant) {
        match &self.role {
            Role::Init(Init::HandingOver { until }) => {
                if now >= *until {
                    self.end_hand_over();
                }
            }
            Role::Init(Init::Idle | Init::Waiting { .. }) => {}
            Role::Backup(_) => self.on_backup_deadline(now),
            Role::Master(_) => self.on_master_deadline(now),
            Role::Fault(_) => self.on_fault_deadline(now),
        }
    }

    fn on_link_up(&mut self, path: PathId, source: IpAddr, now: Instant) {
        let is_usable = !source.is_unspecified() && source.is_ipv4() == self.config.family_sample().is_ipv4();
        if !is_usable {
            return self.on_link_down(path, LinkFault::NoAddress, now);
        }
        let Some(health) = self.paths.get_mut(usize::from(path.0)) else { return };
        let was_down = health.link.is_err();
        health.link = Ok(source);
        if was_down && path.is_service() {
            // The interface may be another one now; what its kernel refused before says nothing.
            self.refusals = timers::Refusals::default();
        }
        match &mut self.role {
            Role::Init(_) | Role::Backup(_) => {}
            // A returned line hears us at once, not an interval later.
            Role::Master(_) if was_down => self.advertise_on(path, self.effective_priority()),
            Role::Master(_) => {}
            Role::Fault(fault) => {
                if was_down && path.is_service() {
                    fault.retry = None;
                    self.leave_fault(Reason::LinkRestored, now);
                }
            }
        }
    }

    fn on_link_down(&mut self, path: PathId, fault: LinkFault, now: Instant) {
        let Some(health) = self.paths.get_mut(usize::from(path.0)) else { return };
        let before = core::mem::replace(&mut health.link, Err(fault));
        if !path.is_service() {
            // One silent line is a warning, which the shell reads in `paths`; it changes no state.
            return;
        }
        match &self.role {
            // No successor can be heard, nor a client answered.
            Role::Init(Init::HandingOver { .. }) => self.end_hand_over(),
            Role::Init(Init::Idle | Init::Waiting { .. }) => {}
            Role::Backup(_) | Role::Master(_) => {
                if self.is_link_obstacle(fault) {
                    self.leave_for(Role::Fault(Fault::default()), Reason::Link(fault));
                }
            }
            // It may be back without carrier, which is enough for some.
            Role::Fault(_) => {
                self.end_hand_over();
                if before.is_err_and(|fault| self.is_link_obstacle(fault)) {
                    self.leave_fault(Reason::LinkRestored, now);
                }
            }
        }
    }

    fn on_address_held(&mut self, vip: Vip) {
        match &mut self.role {
            Role::Master(master) => {
                if self.config.vips.contains(&vip) {
                    master.held.insert(vip.address);
                }
            }
            // The late answer to a hold that was released since, in order.
            Role::Init(_) | Role::Backup(_) | Role::Fault(_) => {}
        }
    }

    fn on_address_fault(&mut self, vip: Vip, fault: AddressFault, now: Instant) {
        if !self.config.vips.contains(&vip) {
            return;
        }
        match (&self.role, fault) {
            (Role::Master(_), AddressFault::Refused(mut error)) => {
                truncate(&mut error);
                self.give_up(Reason::AddressRefused { address: vip.address, error }, now);
            }
            (Role::Master(_), AddressFault::Removed) => self.repair(vip, now),
            // An agent before this one left it, and it is kept until somebody else is heard.
            (Role::Backup(Backup { adopting: true, .. }), AddressFault::Foreign) => {}
            // Likewise, on purpose.
            (Role::Fault(Fault { handing_over: Some(_), .. }), AddressFault::Foreign) => {}
            (Role::Backup(_) | Role::Fault(_), AddressFault::Foreign) => {
                if self.taken_off.allow(vip.address, now) {
                    self.counters.foreign_released = self.counters.foreign_released.saturating_add(1);
                    self.outputs.push_back(Output::ReleaseAddresses(vec![vip]));
                }
            }
            // Ours, and here: as it should be.
            (Role::Master(_), AddressFault::Foreign) => {}
            // Late answers about what was released since.
            (
                Role::Init(_) | Role::Backup(_) | Role::Fault(_),
                AddressFault::Refused(_) | AddressFault::Removed,
            ) => {}
            // Not started: nothing on this host is ours to touch.
            (Role::Init(_), AddressFault::Foreign) => {}
        }
    }

    fn on_send_failed(&mut self, path: PathId, mut error: String) {
        match &self.role {
            Role::Init(_) | Role::Backup(_) | Role::Master(_) | Role::Fault(_) => {
                let Some(health) = self.paths.get_mut(usize::from(path.0)) else { return };
                truncate(&mut error);
                health.send_failures = health.send_failures.saturating_add(1);
                health.last_send_error = error;
                self.counters.adverts_sent = self.counters.adverts_sent.saturating_sub(1);
            }
        }
    }

    fn on_hold(&mut self, cause: HoldCause, now: Instant) {
        let (is_held, reason, hands_over) = match cause {
            HoldCause::Fence => (&mut self.held_back.by_fence, Reason::Held, false),
            HoldCause::Maintenance => (&mut self.held_back.by_maintenance, Reason::Held, true),
            HoldCause::Isolation => (&mut self.held_back.by_isolation, Reason::Isolated, false),
        };
        *is_held = true;
        match &self.role {
            // Whatever is being handed over goes on to be, unless it has to go now.
            Role::Init(_) | Role::Fault(_) if hands_over => {}
            Role::Init(_) | Role::Fault(_) => self.end_hand_over(),
            Role::Master(_) if hands_over && self.may_hand_over() => {
                let role = |until| Role::Fault(Fault { retry: None, handing_over: Some(until) });
                self.hand_over(role, reason, now);
            }
            Role::Backup(_) | Role::Master(_) => self.leave_for(Role::Fault(Fault::default()), reason),
        }
    }

    fn on_unhold(&mut self, cause: HoldCause, now: Instant) {
        let (is_held, reason) = match cause {
            HoldCause::Fence => (&mut self.held_back.by_fence, Reason::Unheld),
            HoldCause::Maintenance => (&mut self.held_back.by_maintenance, Reason::Unheld),
            HoldCause::Isolation => (&mut self.held_back.by_isolation, Reason::Reconnected),
        };
        let was_held_back = core::mem::take(is_held);
        match &self.role {
            Role::Init(_) | Role::Backup(_) | Role::Master(_) => {}
            Role::Fault(_) => {
                if was_held_back {
                    self.leave_fault(reason, now);
                }
            }
        }
    }

    fn on_override(&mut self, over: Option<Override>, now: Instant) {
        let before = self.effective_priority();
        self.overridden = over;
        match &self.role {
            // Remembered; nobody is told a priority there.
            Role::Init(_) | Role::Fault(_) => {}
            Role::Backup(_) | Role::Master(_) => self.priority_changed(before, now),
        }
    }

    fn on_take_over(&mut self, now: Instant) {
        match &self.role {
            Role::Init(_) | Role::Master(_) | Role::Fault(_) => {}
            Role::Backup(backup) => {
                let (master, ours) = (backup.master, self.effective_priority());
                // Two masters until our first advert is answered would be all that came of it.
                if master.is_none_or(|(_, theirs)| theirs < ours) {
                    let from = master.map(|(source, _)| source);
                    self.become_master(Reason::TookOver { from, ours }, now);
                }
            }
        }
    }

    fn on_backup_deadline(&mut self, now: Instant) {
        let priority = self.effective_priority();
        let Role::Backup(backup) = &mut self.role else { return };
        let due = backup.due();
        if now < due {
            return;
        }
        let interval_cs = backup.master_interval_cs;
        if now.since(due) > timers::interval(interval_cs) && !backup.overslept {
            let skew = timers::skew(self.config.version, priority, interval_cs);
            let until = now + timers::interval(interval_cs) + skew;
            backup.overslept = true;
            backup.down_at = until;
            if let Some(preemption) = &mut backup.preemption {
                preemption.at = until;
            }
            return;
        }
        let ours = priority;
        let reason = match (backup.preemption, backup.expiry) {
            (Some(lower), _) if lower.at <= now => {
                Reason::Preempted { source: lower.source, priority: lower.priority, ours }
            }
            (_, Expiry::Silence) => {
                let last = backup.master.map(|(source, _)| source);
                Reason::MasterDown { after: now.since(backup.since), last }
            }
            (_, Expiry::Resignation { source }) => Reason::MasterResigned { source },
            (_, Expiry::Preemption { source, priority, interval_cs: _ }) => {
                Reason::Preempted { source, priority, ours }
            }
            (_, Expiry::Adoption) => Reason::Adopted,
        };
        self.become_master(reason, now);
    }

    fn on_master_deadline(&mut self, now: Instant) {
        let interval = self.config.interval.as_duration();
        let Role::Master(master) = &mut self.role else { return };
        let is_advert_due = now >= master.advert_at;
        if is_advert_due {
            // On a fixed grid, so that the cadence does not drift; after a sleep, from now on.
            let on_grid = master.advert_at + interval;
            master.advert_at = if on_grid > now { on_grid } else { now + interval };
            let holds_all = self.config.vips.iter().all(|vip| master.held.contains(&vip.address));
            if holds_all && now.since(master.since) >= timers::Refusals::MAX_BACK_OFF {
                self.refusals = timers::Refusals::default();
            }
        }
        if is_advert_due {
            self.advertise(self.effective_priority());
        }
        self.announce_what_is_due(now);
    }

    fn on_fault_deadline(&mut self, now: Instant) {
        let Role::Fault(fault) = &mut self.role else { return };
        if fault.handing_over.is_some_and(|until| now >= until) {
            return self.end_hand_over();
        }
        if let Some((at, after)) = fault.retry
            && now >= at
        {
            fault.retry = None;
            self.leave_fault(Reason::Retry { after }, now);
        }
    }

    /// MASTER: advert, addresses, announcements, transition, in this order.
    pub(super) fn become_master(&mut self, reason: Reason, now: Instant) {
        let from = self.state();
        self.role = Role::Master(Master {
            since: now,
            advert_at: now + self.config.interval.as_duration(),
            announce_at: None,
            refresh_at: None,
            reasserted_at: None,
            held: BTreeSet::new(),
        });
        self.advertise(self.effective_priority());
        self.outputs.push_back(Output::HoldAddresses(self.config.vips.clone()));
        self.announce_takeover(now);
        self.outputs.push_back(Output::Transition(Transition { from, to: State::Master, reason }));
    }

    /// BACKUP, following this master if there is one. A MASTER that steps back for a better one says nothing more.
    pub(super) fn become_backup(&mut self, reason: Reason, master: Option<Followed>, now: Instant) {
        let from = self.state();
        match &self.role {
            Role::Master(_) => self.release_all(),
            // Whoever hears it meanwhile finds them with nobody else.
            Role::Fault(_) => self.end_hand_over(),
            Role::Init(_) | Role::Backup(_) => {}
        }
        let (master, master_interval_cs) = match master {
            Some(Followed { source, priority, interval_cs }) => (Some((source, priority)), interval_cs),
            None => (None, self.config.interval.as_centiseconds()),
        };
        let down = timers::master_down(self.config.version, self.effective_priority(), master_interval_cs);
        self.role = Role::Backup(Backup {
            down_at: now + down,
            since: now,
            expiry: Expiry::Silence,
            preemption: None,
            master,
            master_interval_cs,
            overslept: false,
            adopting: false,
        });
        self.outputs.push_back(Output::Transition(Transition { from, to: State::Backup, reason }));
    }

    /// INIT or FAULT. A MASTER says priority 0 on every line that works, then releases.
    pub(super) fn leave_for(&mut self, role: Role, reason: Reason) {
        let from = self.state();
        match &self.role {
            Role::Master(_) => {
                self.advertise(0);
                self.release_all();
            }
            Role::Backup(Backup { adopting: true, .. }) => self.release_all(),
            Role::Fault(_) => self.end_hand_over(),
            Role::Init(_) | Role::Backup(_) => {}
        }
        self.role = role;
        self.outputs.push_back(Output::Transition(Transition { from, to: self.state(), reason }));
    }

    /// Leaves FAULT if nothing else keeps us there.
    pub(super) fn leave_fault(&mut self, reason: Reason, now: Instant) {
        let Role::Fault(Fault { retry: None, .. }) = &self.role else { return };
        match self.obstacle() {
            Some(_) => {}
            None if self.is_owner() => self.become_master(reason, now),
            None => self.become_backup(reason, None, now),
        }
    }

    /// No address, no MASTER.
    fn give_up(&mut self, reason: Reason, now: Instant) {
        let back_off = self.refusals.add(now);
        self.counters.refusals = self.counters.refusals.saturating_add(1);
        self.leave_for(
            Role::Fault(Fault { retry: Some((now + back_off, back_off)), handing_over: None }),
            reason,
        );
    }

    /// Puts one removed address back alone; its siblings do not notice.
    fn repair(&mut self, vip: Vip, now: Instant) {
        if !self.put_back.allow(vip.address, now) {
            let repairs = timers::Limiter::MOST;
            return self.give_up(Reason::AddressContested { address: vip.address, repairs }, now);
        }
        if let Role::Master(master) = &mut self.role {
            master.held.remove(&vip.address);
        }
        self.counters.repairs = self.counters.repairs.saturating_add(1);
        self.outputs.push_back(Output::HoldAddresses(vec![vip]));
        self.announce(vec![vip.address], self.config.announcing.repeat);
    }

    /// What forbids to serve, apart from a back-off.
    pub(super) fn obstacle(&self) -> Option<Reason> {
        if self.held_back.by_fence || self.held_back.by_maintenance {
            return Some(Reason::Held);
        }
        if self.held_back.by_isolation {
            return Some(Reason::Isolated);
        }
        match self.paths.first().map(|path| path.link) {
            Some(Err(fault)) if self.is_link_obstacle(fault) => return Some(Reason::Link(fault)),
            Some(Ok(_) | Err(_)) => {}
            None => return Some(Reason::Link(LinkFault::Missing)),
        }
        self.track_obstacle()
    }

    /// With `dont_track_primary` it goes on without carrier; without an interface or an address nobody can.
    fn is_link_obstacle(&self, fault: LinkFault) -> bool {
        match fault {
            LinkFault::NoCarrier | LinkFault::AdminDown => self.config.track_service,
            LinkFault::Missing | LinkFault::NoAddress | LinkFault::OnlyVirtual | LinkFault::VirtualMac => {
                true
            }
        }
    }

    pub(super) fn is_owner(&self) -> bool {
        self.config.priority == Priority::OWNER
    }

    pub(super) fn release_all(&mut self) {
        self.outputs.push_back(Output::ReleaseAddresses(self.config.vips.clone()));
    }

    /// The same advert on every line that works.
    pub(super) fn advertise(&mut self, priority: u8) {
        for path in (0..=u8::MAX).map(PathId).take(self.paths.len()) {
            self.advertise_on(path, priority);
        }
    }

    fn advertise_on(&mut self, path: PathId, priority: u8) {
        let index = usize::from(path.0);
        let (Some(line), Some(health)) = (self.config.paths.get(index), self.paths.get(index)) else {
            return;
        };
        let Ok(source) = health.link else { return };
        let advertisement = Advertisement {
            version: self.config.version,
            vrid: self.config.vrid,
            priority,
            interval_cs: self.config.interval.as_centiseconds(),
            addresses: self.config.advertised().collect(),
        };
        let group = line.peers.is_empty().then(|| packet::group(source));
        let peers = line.peers.iter().map(|peer| peer.address);
        for destination in group.into_iter().chain(peers) {
            let (authentication, form) = (&self.config.authentication, self.config.checksum);
            let payload = advertisement.encode(authentication, form, source, destination);
            self.counters.adverts_sent = self.counters.adverts_sent.saturating_add(1);
            self.outputs.push_back(Output::SendAdvertisement { path, source, destination, payload });
        }
    }
}

fn truncate(error: &mut String) {
    error.truncate(error.floor_char_boundary(MAX_ERROR_LEN));
}
