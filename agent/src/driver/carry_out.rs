//! Outputs become packets, requests and reports; what the kernel says becomes inputs.

use std::{net::IpAddr, time::Duration};

use hafleet_vrrp::{
    AddressFault, Announcement, Input, Instant, LinkFault, Output, PathId, Reason, Transition, Vip,
    packet::TTL,
};
use tokio::sync::mpsc::error::TrySendError;

use super::{
    Report,
    engine::{Engine, Timer},
    held::{HeldAddress, Phase},
};
use crate::{
    clock,
    config::Pacing,
    net::{Family, address::Action, announce, link::Interface, netlink::Operation},
};

/// An answer looked for so much too late was not looked for because this process did not run.
const OVERSLEPT: Duration = Duration::from_millis(500);

/// How long repeated announcements wait for additions that the kernel has not answered: what is announced for the first
/// time goes before.
const ADDED_WITHIN: Duration = Duration::from_millis(100);

/// An operation that the netlink thread has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    router: usize,
    address: usize,
    asked_at: Instant,
}

impl Ticket {
    pub(super) fn is_of(&self, router: usize) -> bool {
        self.router == router
    }
}

/// An input that arose while carrying out an output.
#[derive(Debug)]
pub(super) enum Feedback {
    SendFailed { path: PathId, error: String },
    Held(Vip),
    Fault { vip: Vip, fault: AddressFault },
}

impl Feedback {
    pub(super) fn into_input(self) -> Input<'static> {
        match self {
            Self::SendFailed { path, error } => Input::SendFailed { path, error },
            Self::Held(vip) => Input::AddressHeld(vip),
            Self::Fault { vip, fault } => Input::AddressFault { vip, fault },
        }
    }
}

impl Engine {
    pub(super) fn carry_out(&mut self, index: usize, output: Output) {
        match output {
            Output::SendAdvertisement { path, source, destination, payload } => {
                self.send(index, path, source, destination, &payload);
            }
            Output::HoldAddresses(vips) => self.hold(index, &vips),
            Output::ReleaseAddresses(vips) => self.release(index, &vips),
            Output::Announce(announcement) => self.announce(index, &announcement),
            Output::Transition(transition) => self.note(index, &transition),
        }
    }

    fn send(&mut self, index: usize, path: PathId, source: IpAddr, destination: IpAddr, payload: &[u8]) {
        let Some(served) = self.routers.get_mut(index) else { return };
        let Some(served_path) = served.paths.get_mut(usize::from(path.0)) else { return };
        let Some(line) = self.lines.get_mut(served_path.sends_on) else { return };
        let ttl = if destination.is_multicast() { TTL } else { served.instance.unicast_ttl };
        let result = line.send(source, destination, ttl, payload);
        let (instance, interface) = (&served.instance.name, &line.name);
        match &result {
            Ok(()) => {
                if served_path.failing.remove(&destination) {
                    tracing::warn!(instance, interface, %destination, "adverts are sent again");
                }
            }
            Err(error) => {
                if served_path.failing.insert(destination) {
                    tracing::warn!(
                        instance, interface, %destination, %error,
                        "an advert could not be sent; the peers take over if this goes on. Trying again with each one"
                    );
                }
            }
        }
        if let Err(error) = result {
            self.feedback.push_back((index, Feedback::SendFailed { path, error: error.to_string() }));
        }
    }

    fn hold(&mut self, index: usize, vips: &[Vip]) {
        let Some(served) = self.routers.get_mut(index) else { return };
        let mut wanted = Vec::new();
        let mut native = Vec::new();
        for (position, held) in
            served.addresses.iter().enumerate().filter(|(_, held)| vips.contains(&held.vip))
        {
            let line = self.lines.get(held.line);
            let present = line.and_then(|line| served.find(held, line));
            if present.is_some_and(|present| served.is_native(present)) {
                native.push(position);
            } else {
                wanted.push(position);
            }
        }
        // At a start that is FAULT; at run time a new configuration may ask for it before the link's news is told.
        let (refused, wanted): (Vec<usize>, Vec<usize>) =
            wanted.into_iter().partition(|position| self.is_spared(index, *position));
        for position in refused {
            let error = "it is the host's only own address there, and left alone".to_owned();
            self.refuse(index, position, error);
        }
        let Some(served) = self.routers.get_mut(index) else { return };
        for position in native {
            if let Some(held) = served.addresses.get_mut(position) {
                held.phase = Phase::Native;
                self.feedback.push_back((index, Feedback::Held(held.vip)));
            }
        }
        self.operate(index, Action::Add, &wanted);
    }

    fn release(&mut self, index: usize, vips: &[Vip]) {
        // The renewals of what stays go on; without any the timer ends by itself.
        self.announcements.forget(index, |address| vips.iter().any(|vip| vip.address == address));
        let places: Vec<usize> = self
            .routers
            .get(index)
            .map(|served| {
                let addresses = served.addresses.iter().enumerate();
                addresses.filter(|(_, held)| vips.contains(&held.vip)).map(|(position, _)| position).collect()
            })
            .unwrap_or_default();
        let kept: Vec<usize> = places
            .iter()
            .copied()
            .filter(|position| {
                self.is_absent(index, *position) && self.is_spared(index, *position)
                    || self.has_passed_on(index, *position)
            })
            .collect();
        let Some(served) = self.routers.get_mut(index) else { return };
        let mut unwanted = Vec::new();
        for (position, held) in
            served.addresses.iter_mut().enumerate().filter(|(position, _)| places.contains(position))
        {
            if kept.contains(&position) {
                held.phase = Phase::Absent;
                continue;
            }
            held.announce = 0;
            held.repairing = None;
            match held.phase {
                Phase::Native => held.phase = Phase::Absent,
                Phase::Absent | Phase::Adding | Phase::Held | Phase::Lost | Phase::Removing => {
                    unwanted.push(position);
                }
            }
        }
        self.operate(index, Action::Delete, &unwanted);
    }

    fn is_absent(&self, index: usize, position: usize) -> bool {
        let held = self.routers.get(index).and_then(|served| served.addresses.get(position));
        held.is_none_or(|held| held.phase == Phase::Absent)
    }

    /// Begins the leases of a router's addresses anew.
    pub(super) fn renew(&mut self, index: usize) {
        let now = clock::now();
        let Some(served) = self.routers.get_mut(index) else { return };
        let after = served.next_renewal(now);
        let mut renewable = Vec::new();
        let mut is_next = false;
        for (position, held) in
            served.addresses.iter_mut().enumerate().filter(|(_, held)| held.phase == Phase::Held)
        {
            is_next |= held.awaits.is_some();
            if held.lapsed(now) && held.awaits.is_none() {
                held.phase = Phase::Lost;
                held.repairing = Some(held.why_gone(now));
                let fault = AddressFault::Removed;
                self.feedback.push_back((index, Feedback::Fault { vip: held.vip, fault }));
            } else if !held.lapsed(now) {
                is_next = true;
                renewable.push(position);
            }
        }
        let next = after.filter(|_| is_next);
        self.operate(index, Action::Renew, &renewable);
        self.set_timer(index, Timer::Renewal, next);
    }

    /// Hands one action on these addresses to the netlink thread.
    pub(super) fn operate(&mut self, index: usize, action: Action, positions: &[usize]) {
        let now = clock::now();
        let Some(served) = self.routers.get_mut(index) else { return };
        let mut batch = Vec::with_capacity(positions.len());
        let mut due = served.answer;
        for &position in positions {
            let Some(held) = served.addresses.get_mut(position) else { continue };
            self.last_ticket += 1;
            let ticket = self.last_ticket;
            match action {
                Action::Add => (held.ticket, held.phase) = (ticket, Phase::Adding),
                Action::Delete => (held.ticket, held.phase) = (ticket, Phase::Removing),
                Action::Renew => {}
            }
            held.awaits = match action {
                Action::Add | Action::Renew => Some((ticket, now)),
                Action::Delete => None,
            };
            due = due.into_iter().chain(held.answer_due()).min();
            self.tickets.insert(ticket, Ticket { router: index, address: position, asked_at: now });
            let age = if action == Action::Renew { now.since(held.added_at) } else { Duration::ZERO };
            batch.push(Operation { ticket, action, spec: held.spec.clone(), age });
        }
        if batch.is_empty() {
            return;
        }
        if action == Action::Add {
            self.adding += batch.len();
            self.announcements.expect_first(now + ADDED_WITHIN);
        }
        self.set_timer(index, Timer::Answer, due);
        if let Err(TrySendError::Full(batch) | TrySendError::Closed(batch)) =
            self.netlink.operations.try_send(batch)
        {
            for operation in batch {
                let error = "the netlink thread is too far behind".to_owned();
                self.take_answer(operation.ticket, action, Err(error));
            }
        }
    }

    /// What the kernel answered to an operation.
    pub(super) fn take_answer(&mut self, ticket: u64, action: Action, result: Result<(), String>) {
        let Some(asked) = self.tickets.remove(&ticket) else { return };
        if action == Action::Add {
            self.adding = self.adding.saturating_sub(1);
        }
        let index = asked.router;
        let Some(served) = self.routers.get_mut(index) else { return };
        let next_renewal = served.next_renewal(asked.asked_at);
        let Some(held) = served.addresses.get_mut(asked.address) else { return };
        let is_current = held.ticket == ticket;
        if held.awaits.is_some_and(|(awaited, _)| awaited == ticket) {
            held.awaits = None;
        }
        match (action, result) {
            // Of a time before the last addition or removal.
            (Action::Renew, _) if ticket < held.ticket => {}
            (Action::Renew, Ok(())) => held.renewed_at = held.renewed_at.max(asked.asked_at),
            (Action::Renew, Err(error)) => {
                tracing::warn!(address = held.text(), %error, "cannot renew the lease; trying again");
            }
            // The router has changed its mind since.
            (Action::Add | Action::Delete, _) if !is_current => {}
            (Action::Add, Ok(())) => {
                held.phase = Phase::Held;
                (held.added_at, held.renewed_at) = (asked.asked_at, asked.asked_at);
                let vip = held.vip;
                // It is announced when it is seen to be used.
                let announce =
                    if held.is_tentative_at_first() { 0 } else { std::mem::take(&mut held.announce) };
                let repaired = held.repairing.take().map(|why| (held.text(), why));
                if served.renewal.is_none() {
                    self.set_timer(index, Timer::Renewal, next_renewal);
                }
                self.feedback.push_back((index, Feedback::Held(vip)));
                if let Some((address, why)) = repaired {
                    self.report_address(index, address, "repaired", why);
                }
                if announce > 0 {
                    self.announce(index, &Announcement { addresses: vec![vip.address], repeat: announce });
                }
            }
            (Action::Add, Err(error)) => self.refuse(index, asked.address, error),
            (Action::Delete, Ok(())) => (held.phase, held.undeleted) = (Phase::Absent, false),
            (Action::Delete, Err(error)) => {
                // It is seen to be there within a second, and removed again.
                (held.phase, held.undeleted) = (Phase::Absent, true);
                if let Some(stopping) = &mut self.stopping {
                    let name = &served.instance.name;
                    let text = served.addresses.get(asked.address).map(HeldAddress::text).unwrap_or_default();
                    stopping.left.push(format!("{text} of {name}: {error}"));
                } else {
                    tracing::error!(address = held.text(), %error, "cannot remove the address; trying again");
                }
            }
        }
    }

    /// Whether the kernel has answered in time: one that does not may have dropped the address or never put it there, and
    /// to go on advertising would keep the peers from serving it.
    pub(super) fn look_for_answers(&mut self, index: usize, due: Instant) {
        let now = clock::now();
        if now.since(due) > OVERSLEPT {
            // We were asleep ourselves, and the netlink thread with us.
            return self.set_timer(index, Timer::Answer, Some(now + OVERSLEPT));
        }
        let Some(served) = self.routers.get(index) else { return };
        let mut next: Option<Instant> = None;
        let mut silent = Vec::new();
        for (position, held) in served.addresses.iter().enumerate() {
            match (held.answer_due(), held.awaits) {
                (Some(due), Some((_, asked_at))) if due <= now => {
                    // Renewals are asked for again and again: what counts is the last one that was granted.
                    let since = if held.phase == Phase::Held { held.renewed_at } else { asked_at };
                    let waited = now.since(since).as_secs_f64();
                    silent.push((position, format!("the kernel did not answer within {waited:.1} s")));
                }
                (due, _) => next = next.into_iter().chain(due).min(),
            }
        }
        self.set_timer(index, Timer::Answer, next);
        for (position, error) in silent {
            self.refuse(index, position, error);
        }
    }

    /// An address is not to be had. What the kernel may still answer means nothing any more.
    pub(super) fn refuse(&mut self, index: usize, position: usize, error: String) {
        let Some(held) = self.routers.get_mut(index).and_then(|served| served.addresses.get_mut(position))
        else {
            return;
        };
        self.last_ticket += 1;
        (held.ticket, held.phase, held.awaits) = (self.last_ticket, Phase::Absent, None);
        (held.announce, held.repairing) = (0, None);
        let (vip, address) = (held.vip, held.text());
        self.report_address(index, address, "refused", error.clone());
        let fault = AddressFault::Refused(error);
        self.feedback.push_back((index, Feedback::Fault { vip, fault }));
    }

    /// Each address on the interface that it is on; one that the kernel does not have yet waits for it.
    fn announce(&mut self, index: usize, announcement: &Announcement) {
        let Some(served) = self.routers.get_mut(index) else { return };
        let mut ready = Vec::new();
        for held in
            served.addresses.iter_mut().filter(|held| announcement.addresses.contains(&held.vip.address))
        {
            let line = self.lines.get(held.line);
            match held.phase {
                Phase::Adding => held.announce = held.announce.max(announcement.repeat),
                Phase::Held if held.is_tentative_on(line) => {
                    held.announce = held.announce.max(announcement.repeat);
                }
                Phase::Held | Phase::Native => {
                    let interface = line.and_then(|line| line.interface.as_ref());
                    let pacing = &served.instance.pacing;
                    ready.extend(
                        interface.and_then(|interface| announcement_of(index, held, interface, pacing)),
                    );
                }
                Phase::Absent | Phase::Lost | Phase::Removing => {}
            }
        }
        self.announcements.push(&ready, announcement.repeat);
    }

    /// What had to wait until the kernel uses the address.
    pub(super) fn announce_late(&mut self, index: usize, position: usize) {
        let held = self.routers.get_mut(index).and_then(|served| served.addresses.get_mut(position));
        let Some(held) = held else { return };
        let (addresses, repeat) = (vec![held.vip.address], std::mem::take(&mut held.announce));
        self.announce(index, &Announcement { addresses, repeat });
    }

    fn note(&mut self, index: usize, transition: &Transition) {
        let now = clock::now();
        let Some(served) = self.routers.get_mut(index) else { return };
        let mut detail = transition.reason.to_string();
        if transition.reason == Reason::Link(LinkFault::VirtualMac)
            && let Some(vmac) = &served.vmac
            && let Some(fault) = self.lines.get(vmac.line).and_then(|line| line.fault.as_ref())
        {
            // The kernel's words.
            detail = format!("{detail}: {fault}");
        }
        let is_held_by = matches!(transition.reason, Reason::Held | Reason::Unheld);
        let is_taken_by = matches!(transition.reason, Reason::TookOver { .. });
        let by = if is_held_by { &served.held_by } else { &served.priority_by };
        if (is_held_by || is_taken_by) && !by.is_empty() {
            detail = format!("{detail}: {by}");
        }
        served.note(transition, detail.clone(), now);
        let (instance, vrid) = (served.instance.name.clone(), served.instance.vrid.get());
        let Transition { from, to, reason } = transition;
        let code = reason.code();
        tracing::info!(instance, %from, %to, reason = code, "{detail}");
        let (at_us, mono_us) = (clock::wall_us(), now.as_micros());
        let (from, to) = (*from, *to);
        self.report(Report::Transition { instance, vrid, from, to, reason: code, detail, at_us, mono_us });
    }

    pub(super) fn report_address(
        &mut self,
        index: usize,
        address: String,
        what: &'static str,
        detail: String,
    ) {
        let Some(served) = self.routers.get(index) else { return };
        let instance = served.instance.name.clone();
        tracing::warn!(instance, address, what, "{detail}");
        let (at_us, mono_us) = (clock::wall_us(), clock::now().as_micros());
        self.report(Report::Address { instance, address, what, detail, at_us, mono_us });
    }
}

fn announcement_of(
    router: usize,
    held: &HeldAddress,
    interface: &Interface,
    pacing: &Pacing,
) -> Option<announce::Announcement> {
    let address = held.vip.address;
    let pause = match Family::of(address) {
        Family::V4 => pacing.garp,
        Family::V6 => pacing.gna,
    };
    let (interface_index, mac, is_router) = (interface.index, interface.mac?, interface.forwards_v6);
    Some(announce::Announcement { router, interface_index, mac, address, is_router, pause })
}
