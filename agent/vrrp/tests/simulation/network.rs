//! Adverts on their way, and who is meant to believe them.

use std::{collections::BTreeMap, net::IpAddr};

use hafleet_vrrp::{
    Input, Instant, PathId, State, Version, VirtualRouter,
    packet::{self, Datagram, Header, Remark, Verdict},
};

use crate::{
    host::{Event, Host},
    world::{Step, World},
};

/// One that is sent.
pub struct Advert<'a> {
    pub from: usize,
    pub path: u8,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub payload: &'a [u8],
}

impl World {
    /// To the whole group, or to the one peer. `reached` notes for whom it is: true when it gets there.
    pub fn send(&mut self, advert: &Advert<'_>, reached: &mut BTreeMap<usize, bool>) {
        let Advert { from, path, source, destination, payload } = *advert;
        let line = usize::from(path);
        let is_for = |host: &Host| {
            destination.is_multicast()
                || host.running().paths.get(line).is_some_and(|it| it.source == destination)
        };
        for to in (0..self.hosts.len()).filter(|to| *to != from) {
            if !is_for(&self.hosts[to]) {
                continue;
            }
            let is_lost = self.blocked.contains_key(&(from, to, path))
                || (path == 0 && (self.hosts[from].link.is_err() || self.hosts[to].link.is_err()))
                || self.chance.percent(self.weather.loss_percent);
            *reached.entry(to).or_default() |= !is_lost;
            if is_lost {
                self.tally.lost += 1;
                continue;
            }
            let copies = if self.chance.percent(self.weather.duplicate_percent) { 2 } else { 1 };
            self.tally.duplicated += copies - 1;
            for _ in 0..copies {
                let after = self.chance.up_to(self.weather.delay);
                let payload = payload.to_vec();
                self.schedule(after, Event::Packet { to, path, source, destination, payload });
            }
        }
    }

    pub fn receive(
        &mut self,
        to: usize,
        path: u8,
        source: IpAddr,
        destination: IpAddr,
        payload: Vec<u8>,
    ) -> Step {
        let host = &mut self.hosts[to];
        if host.router.is_none() || (path == 0 && host.link.is_err()) {
            return Ok(());
        }
        if host.is_frozen {
            host.keep(Event::Packet { to, path, source, destination, payload });
            return Ok(());
        }
        let header = Header::peek(&payload).ok_or("an advert without a header was sent")?;
        let is_understood = is_understood(host, path, source, destination, &header);
        if is_understood {
            note_advert(host, source, header.priority, header.interval_cs, self.now);
        }
        let datagram = Datagram { source, destination, ttl: packet::TTL, payload: &payload };
        self.give(to, Input::Packet { path: PathId(path), datagram })?;
        let host = &mut self.hosts[to];
        host.witness.hearing = None;
        let is_odd = |remark: &Remark| !matches!(remark, Remark::AddressMismatch { .. });
        match host.router.as_ref().and_then(VirtualRouter::last_verdict) {
            Some(Verdict::Accepted(received)) if is_understood && !received.remarks.iter().any(is_odd) => {
                Ok(())
            }
            Some(Verdict::Rejected(_)) if !is_understood => {
                for from in 0..self.hosts.len() {
                    self.watch.obstructed(from, to, self.now);
                }
                Ok(())
            }
            other => {
                Err(format!("host {to} made of an advert that is understood ({is_understood}): {other:?}"))
            }
        }
    }
}

/// Whether a router must accept it: version 2 wants its own interval, a unicast line its peers.
fn is_understood(host: &Host, path: u8, source: IpAddr, destination: IpAddr, header: &Header) -> bool {
    let config = host.running();
    let Some(line) = config.paths.get(usize::from(path)) else { return false };
    let has_interval =
        config.version == Version::V3 || header.interval_cs == config.interval.as_centiseconds();
    let is_for_us = match line.peers.is_empty() {
        true => destination.is_multicast(),
        false => !destination.is_multicast() && line.peers.iter().any(|peer| peer.address == source),
    };
    has_interval && is_for_us
}

/// Notes what a follower must follow, apart from the router.
fn note_advert(host: &mut Host, source: IpAddr, priority: u8, interval_cs: u16, now: Instant) {
    let (ours, preempts) = (host.priority(), host.running().preempt);
    let state = host.state();
    let is_handing_over = host.router.as_ref().is_some_and(VirtualRouter::is_handing_over);
    let witness = &mut host.witness;
    if priority > 0 && is_handing_over {
        witness.succeeded_at.get_or_insert(now);
    }
    witness.hearing = Some((source, priority, interval_cs));
    if priority > 0 {
        witness.adopts = false;
    }
    if state == State::Backup {
        witness.master = Some(priority).filter(|priority| *priority > 0);
    }
    match state {
        State::Backup if priority == 0 => {
            witness.resigned_at = Some(now);
            witness.lower = None;
        }
        State::Backup if priority >= ours || !preempts => witness.begin(now, interval_cs),
        State::Backup => {
            witness.lower = Some((now, priority, interval_cs));
            let shortest = witness.lower_cs.unwrap_or(interval_cs).min(interval_cs);
            witness.lower_cs = Some(shortest);
        }
        State::Init | State::Master | State::Fault => {}
    }
}
