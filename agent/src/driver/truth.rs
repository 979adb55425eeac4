//! What netlink says is so, held against what the routers believe and want.

use std::net::IpAddr;

use hafleet_vrrp::{AddressFault, Input, LinkFault, PathId, State};

use super::{
    engine::Engine,
    held::Phase,
    line::Line,
    served::{Served, ServedMac, own_addresses},
};
use crate::{
    clock,
    net::{
        address::Action,
        link::{Address, Interface, primary_address},
    },
};

impl Engine {
    /// An interface as it is now.
    pub(super) fn take_interface(&mut self, name: &str, state: Option<Interface>, fault: Option<String>) {
        let Some(position) = self.lines.iter().position(|line| line.name == name) else { return };
        if let Some(line) = self.lines.get_mut(position) {
            line.update(state, fault);
        }
        let own = self.own_addresses(position);
        for index in 0..self.routers.len() {
            self.tell_links(index, position, &own);
        }
        if let Some(parent) = self.lines.get(position).and_then(|line| line.parent) {
            self.tell_of_vmac(position, parent);
        }
        self.tell_interface(position);
        for index in 0..self.routers.len() {
            self.try_start(index);
        }
        self.reconcile(position);
    }

    /// What its virtual MAC is like is part of what a router's service interface is like.
    fn tell_of_vmac(&mut self, position: usize, parent: usize) {
        self.tap();
        let own = self.own_addresses(parent);
        for index in 0..self.routers.len() {
            if self
                .routers
                .get(index)
                .is_some_and(|served| served.vmac.is_some_and(|vmac| vmac.line == position))
            {
                self.tell_links(index, parent, &own);
            }
        }
    }

    /// Listens to the interfaces of virtual MACs as they are now.
    pub(super) fn tap(&mut self) {
        let with_vmac = self.routers.iter().filter(|served| !served.retired && served.vmac.is_some());
        self.taps.fit(&with_vmac.map(Served::family).collect());
        self.taps.listen(&self.lines);
    }

    /// Whether an agent before this one left the addresses of this router here.
    pub(super) fn finds_its_addresses(&self, index: usize) -> bool {
        let Some(served) = self.routers.get(index) else { return false };
        served.addresses.iter().enumerate().any(|(position, held)| {
            let line = self.lines.get(held.line);
            line.is_some_and(|line| served.find(held, line).is_some()) && !self.is_spared(index, position)
        })
    }

    /// Whether an address of this router is on the host and the host's own: not ours to add or to remove.
    pub(super) fn is_spared(&self, index: usize, position: usize) -> bool {
        let Some(served) = self.routers.get(index) else { return false };
        let Some(held) = served.addresses.get(position) else { return false };
        let line = self.lines.get(held.line);
        let Some(present) = line.and_then(|line| served.find(held, line)).filter(|present| present.permanent)
        else {
            return false;
        };
        served.is_native(present) || served.is_the_host_s(present, held.line, &self.own_addresses(held.line))
    }

    /// Whether another router has this address now: it is that one's to remove.
    pub(super) fn has_passed_on(&self, index: usize, position: usize) -> bool {
        let Some(held) = self.routers.get(index).and_then(|served| served.addresses.get(position)) else {
            return false;
        };
        let others = self.routers.iter().enumerate().filter(|(other, _)| *other != index);
        others.flat_map(|(_, served)| &served.addresses).any(|other| {
            let is_held = matches!(other.phase, Phase::Adding | Phase::Held);
            is_held && other.line == held.line && other.vip.address == held.vip.address
        })
    }

    /// The addresses that the host has on a line for itself, in the kernel's order.
    pub(super) fn own_addresses(&self, position: usize) -> Vec<Address> {
        self.lines.get(position).map(|line| own_addresses(line, &self.routers)).unwrap_or_default()
    }

    /// Tells a router what its lines on this interface are like, if that is new.
    pub(super) fn tell_links(&mut self, index: usize, position: usize, own: &[Address]) {
        let paths = self.routers.get(index).map_or(0, |served| served.paths.len());
        for (at, path) in (0..paths).zip((0..=u8::MAX).map(PathId)) {
            let Some(now) = self.news_of(index, at, position, own) else { continue };
            match now {
                Ok(source) => self.input(index, Input::LinkUp { path, source }),
                Err(fault) => self.input(index, Input::LinkDown { path, fault }),
            }
        }
    }

    /// What a path on this line is like now; `None` for another line's, and when the router was told so already.
    fn news_of(
        &mut self,
        index: usize,
        path: usize,
        position: usize,
        own: &[Address],
    ) -> Option<Result<IpAddr, LinkFault>> {
        let served = self.routers.get_mut(index)?;
        let vmac = served.vmac.filter(|_| path == 0);
        // Nothing is known before it was looked at.
        if vmac.is_some_and(|vmac| !self.lines.get(vmac.line).is_some_and(Line::is_seen)) {
            return None;
        }
        let (family, kind) = (served.family(), served.source_kind(path));
        let configured = served.configured_source(path);
        let path = served.paths.get_mut(path).filter(|path| path.line == position)?;
        let source = configured.or_else(|| primary_address(own, kind, path.source()));
        let line = self.lines.get(position)?;
        let mut addresses = line.interface.iter().flat_map(|interface| &interface.addresses);
        let has_some = addresses.any(|present| present.family() == family);
        let has_own = own.iter().any(|own| own.family() == family);
        let fault = if has_some && !has_own { LinkFault::OnlyVirtual } else { LinkFault::NoAddress };
        let can_hear = self.taps.sockets.contains_key(&family);
        let works = |vmac: ServedMac| {
            if can_hear { vmac.works(&self.lines, line) } else { Err(LinkFault::VirtualMac) }
        };
        let vmac_works = |()| vmac.map_or(Ok(()), works);
        let now = line.works(family).and_then(vmac_works).and_then(|()| source.ok_or(fault));
        let is_news = path.told != Some(now);
        path.told = Some(now);
        is_news.then_some(now)
    }

    /// Compares what is on an interface with what should be. Idempotent; comes with fresh truth only.
    pub(super) fn reconcile(&mut self, position: usize) {
        if self.stopping.is_some() {
            return;
        }
        let own = self.own_addresses(position);
        for index in 0..self.routers.len() {
            let addresses = self.routers.get(index).map_or(0, |served| served.addresses.len());
            for address in 0..addresses {
                self.reconcile_address(index, address, position, &own);
            }
            self.forget_absent(index);
        }
    }

    fn reconcile_address(&mut self, index: usize, address: usize, position: usize, own: &[Address]) {
        let Some(line) = self.lines.get(position) else { return };
        let Some(served) = self.routers.get(index) else { return };
        let Some(held) = served.addresses.get(address).filter(|held| held.line == position) else { return };
        let vip = held.vip;
        let present = served.find(held, line);
        if held.leaving {
            // Its removal failed: it is asked for again, for as long as it takes. What was never asked for is the host's.
            if held.undeleted && held.phase == Phase::Absent && present.is_some() {
                self.operate(index, Action::Delete, &[address]);
            }
            return;
        }
        let is_the_host_s = present.is_some_and(|present| served.is_the_host_s(present, position, own));
        let is_native = present.is_some_and(|present| served.is_native(present));
        let is_unannounced = held.announce > 0 && present.is_some_and(Address::is_usable);
        // The kernel drops what has a lease and marks what has none.
        let is_taken = present.map_or(held.announce > 0 && held.is_tentative_at_first(), |it| it.dad_failed);
        match (held.phase, present.is_some()) {
            (Phase::Held, _) if is_taken => {
                let error = "another host has it: the kernel found out by duplicate address detection";
                self.refuse(index, address, error.to_owned());
            }
            (Phase::Held, true) if is_unannounced => self.announce_late(index, address),
            (Phase::Held | Phase::Native, false) => {
                let held = self.routers.get_mut(index).and_then(|served| served.addresses.get_mut(address));
                if let Some(held) = held {
                    held.repairing = Some(held.why_gone(clock::now()));
                    held.phase = Phase::Lost;
                }
                self.input(index, Input::AddressFault { vip, fault: AddressFault::Removed });
            }
            (Phase::Absent, true)
                if served.router.state() != State::Master && !is_native && !is_the_host_s =>
            {
                self.release_leftover(index, address);
            }
            // As it should be, or an answer is under way, or the router knows already.
            (Phase::Held | Phase::Native | Phase::Absent, true)
            | (Phase::Absent, false)
            | (Phase::Adding | Phase::Lost | Phase::Removing, _) => {}
        }
    }

    /// An address that is here while its router is not MASTER. The core says whether it goes.
    fn release_leftover(&mut self, index: usize, address: usize) {
        let Some(served) = self.routers.get(index) else { return };
        let Some(held) = served.addresses.get(address) else { return };
        let (vip, text) = (held.vip, held.text());
        let why =
            format!("it was on this host while the instance is {}; it is removed", served.router.state());
        self.input(index, Input::AddressFault { vip, fault: AddressFault::Foreign });
        let held = self.routers.get(index).and_then(|served| served.addresses.get(address));
        if held.is_some_and(|held| held.phase == Phase::Removing) {
            self.report_address(index, text, "leftover", why);
        }
    }
}
