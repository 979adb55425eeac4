//! One instance as the engine serves it: the configuration, the router, its lines and its addresses.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use hafleet_vrrp::{Instant, LinkFault, PathHealth, PathId, Priority, Transition, VirtualRouter};
use pnet::util::MacAddr;

use super::{
    InstanceSnapshot, PathSnapshot, TrackSnapshot, Transitions,
    held::{HeldAddress, Phase, interface_of},
    line::{Line, ServedPath},
    plan::{Checks, interfaces_of, macvlan_of},
    standing::Known,
};
use crate::{
    config::{Instance, Lease, PathConfig, track::Subject},
    net::{
        Family,
        link::{Address, SourceKind},
    },
};

/// A virtual router with all that surrounds it.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) instance: Instance,
    pub(super) router: VirtualRouter,
    pub(super) addresses: Vec<HeldAddress>,
    /// Its virtual MAC.
    pub(super) vmac: Option<ServedMac>,
    /// As in [`Config::paths`].
    pub(super) paths: Vec<ServedPath>,
    /// It was not started yet: an interface that it needs was never looked at.
    pub(super) unstarted: bool,
    /// The configuration has it no more; its slot is free when the kernel has none of its addresses.
    pub(super) retired: bool,
    /// The core's deadline as it stands in the engine's timers.
    pub(super) deadline: Option<Instant>,
    /// When the leases are renewed next, as it stands in the engine's timers.
    pub(super) renewal: Option<Instant>,
    /// When it is looked whether the kernel has answered, as it stands in the engine's timers.
    pub(super) answer: Option<Instant>,
    /// Who holds it back and why, and who gives it another priority: for the reader of a transition.
    pub(super) held_by: String,
    pub(super) priority_by: String,
    since: Instant,
    transitions: Transitions,
    reason: &'static str,
    reason_detail: String,
}

/// A virtual MAC, and the line that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServedMac {
    pub(super) line: usize,
    mac: MacAddr,
    /// The family whose adverts go out from it.
    sends: Option<Family>,
}

impl ServedMac {
    pub(super) fn new(instance: &Instance, line_of: impl FnOnce(&str) -> usize) -> Option<Self> {
        let (name, macvlan) = macvlan_of(instance)?;
        let from_parent = instance.vmac.as_ref().is_some_and(|vmac| vmac.adverts_from_parent);
        Some(Self {
            line: line_of(&name),
            mac: macvlan.mac,
            sends: Some(macvlan.family).filter(|_| !from_parent),
        })
    }

    /// Whether addresses can live on it, and adverts go out from it, now that its parent is so.
    pub(super) fn works(&self, lines: &[Line], parent: &Line) -> Result<(), LinkFault> {
        let parent = parent.interface.as_ref().map(|parent| parent.index);
        let carries = |line: &Line| line.carries(self.mac, parent, self.sends);
        if lines.get(self.line).is_some_and(carries) { Ok(()) } else { Err(LinkFault::VirtualMac) }
    }
}

impl Served {
    /// Builds the router in INIT. `line_of` names the line of an interface.
    pub(super) fn new(instance: Instance, checks: &Checks, mut line_of: impl FnMut(&str) -> usize) -> Self {
        let config = checks.config(&instance);
        let addresses = instance
            .vips
            .iter()
            .map(|vip| HeldAddress::new(&instance, vip, line_of(interface_of(&instance, vip))))
            .collect();
        let vmac = ServedMac::new(&instance, &mut line_of);
        let paths = served_paths(&instance, vmac, &mut line_of);
        for tracked in interfaces_of(&instance) {
            line_of(tracked);
        }
        Self {
            instance,
            router: VirtualRouter::new(config),
            addresses,
            vmac,
            paths,
            unstarted: true,
            retired: false,
            deadline: None,
            renewal: None,
            answer: None,
            held_by: String::new(),
            priority_by: String::new(),
            since: Instant::default(),
            transitions: Transitions::default(),
            reason: "never_started",
            reason_detail: String::new(),
        }
    }

    pub(super) fn note(&mut self, transition: &Transition, detail: String, now: Instant) {
        self.since = now;
        self.transitions.count(transition.to);
        self.reason = transition.reason.code();
        self.reason_detail = detail;
    }

    /// A third of the lease: two renewals may be lost.
    ///
    /// All leases of one length are renewed at the same moments: the kernel looks for what has ended at most once a second
    /// (`check_lifetime`, `addrconf_verify`), so of leases that end at different times the later ones would last up to a
    /// second longer.
    pub(super) fn next_renewal(&self, now: Instant) -> Option<Instant> {
        match self.instance.lease {
            Lease::For(lease) => {
                let interval_us = u64::try_from(lease.as_micros() / 3).ok().filter(|us| *us > 0)?;
                Some(Instant::from_micros((now.as_micros() / interval_us + 1).saturating_mul(interval_us)))
            }
            Lease::Off => None,
        }
    }

    /// Whether an address of the host's own may be among its addresses: only the owner has such, and only a lease tells them apart
    /// from what we install.
    pub(super) fn may_own(&self) -> bool {
        self.instance.priority == Priority::OWNER && self.instance.lease != Lease::Off
    }

    /// Whether one of this router's addresses, being on the host, is the host's own and not ours to add and remove. Only
    /// the owner (priority 255) has such; what we install has a lifetime, what the host has for itself has none. The prefix
    /// length is the host's business then, not the configuration's.
    pub(super) fn is_native(&self, present: &Address) -> bool {
        self.may_own()
            && present.permanent
            && self.addresses.iter().any(|held| held.vip.address == present.address)
    }

    /// This address of the router as it is on its line: as configured, or the host's own that the router is the owner of.
    pub(super) fn find<'a>(&self, held: &HeldAddress, line: &'a Line) -> Option<&'a Address> {
        line.find(held.vip.address, held.spec.prefix_len)
            .or_else(|| line.find_any(held.vip.address, |present| self.is_native(present)))
    }

    /// Whether an address on this line must be taken for the host's own although it is configured as a virtual one. No engine
    /// ever was MASTER on a service interface without an address of its own, so none can have left it there; `own` are
    /// the addresses of the line that nobody configured as virtual.
    pub(super) fn is_the_host_s(&self, present: &Address, line: usize, own: &[Address]) -> bool {
        let is_service = self.paths.first().is_some_and(|path| path.line == line);
        let sends_from_it = self.instance.source.is_none_or(|source| source == present.address);
        let serves = |own: &Address| {
            own.family() == present.family() && (own.is_link_local() || !present.is_link_local())
        };
        is_service && present.permanent && !own.iter().any(serves) && sends_from_it
    }

    /// The family of its adverts.
    pub(super) fn family(&self) -> Family {
        Family::of(unspecified(&self.instance))
    }

    /// By what its peers know it.
    pub(super) fn known(&self) -> Known {
        let Instance { interface, vrid, .. } = &self.instance;
        Known { interface: interface.clone(), family: self.family(), vrid: vrid.get() }
    }

    /// Which of the host's addresses its adverts on a path come from.
    pub(super) fn source_kind(&self, path: usize) -> SourceKind {
        let peers = self.router.config().paths.get(path).map_or(&[][..], |path| &path.peers);
        SourceKind::of(self.family(), peers.iter().map(|peer| &peer.address))
    }

    /// The address that a path's adverts come from whatever else its interface has: what is configured is one of the service
    /// interface.
    pub(super) fn configured_source(&self, path: usize) -> Option<IpAddr> {
        self.instance.source.filter(|_| path == 0)
    }

    /// Whether a packet that came on this path has the address that another one sends from: both interfaces are on one segment,
    /// and this host hears itself.
    pub(super) fn is_own(&self, path: PathId, source: IpAddr) -> bool {
        let others = self.paths.iter().zip(0..=u8::MAX).filter(|(_, at)| *at != path.0);
        others.into_iter().any(|(other, _)| other.source() == Some(source))
    }

    pub(super) fn snapshot(&self, lines: &[Line], checks: &Checks, now: Instant) -> InstanceSnapshot {
        let line = self.paths.first().and_then(|path| lines.get(path.line));
        let present = |held: &&HeldAddress| {
            let line = lines.get(held.line).filter(|line| line.is_fresh(now));
            line.is_some_and(|line| self.find(held, line).is_some())
        };
        let path = |(served, health): (&ServedPath, &PathHealth)| PathSnapshot {
            interface: lines.get(served.line).map_or_else(String::new, |line| line.name.clone()),
            link: health.link,
            last_accepted: health.last_accepted,
            is_failing: !served.failing.is_empty(),
            send_failures: health.send_failures,
            last_send_error: health.last_send_error.clone(),
        };
        let tracks = self.instance.tracks.iter().zip(self.router.track_results());
        let tracks = tracks.map(|(tracked, result)| TrackSnapshot {
            subject: tracked.subject.clone(),
            weight: tracked.weight,
            reverse: tracked.reverse,
            result,
            detail: match &tracked.subject {
                Subject::Interface(_) => String::new(),
                Subject::Check(name) => {
                    checks.result(name).map(|(_, detail)| detail.clone()).unwrap_or_default()
                }
            },
        });
        InstanceSnapshot {
            config: self.instance.clone(),
            state: self.router.state(),
            since_mono_us: self.since.as_micros(),
            transitions: self.transitions,
            reason: self.reason,
            reason_detail: self.reason_detail.clone(),
            base_priority: self.router.base_priority().get(),
            effective_priority: self.router.effective_priority(),
            master_down: self.router.master_down(),
            addresses_present: self
                .addresses
                .iter()
                .filter(|held| !held.leaving)
                .filter(present)
                .map(|held| held.vip.address)
                .collect(),
            source: self.router.source(),
            carrier: line.is_some_and(Line::carrier),
            interface_errors: line.map_or(0, Line::errors),
            master_source: self.router.master_source(),
            adverts_sent: self.router.adverts_sent(),
            adverts_accepted: self.router.adverts_accepted(),
            packets_rejected: self.router.packets_rejected(),
            duplicates: self.router.duplicates(),
            refusals: self.router.refusals(),
            repairs: self.router.repairs(),
            foreign_released: self.router.foreign_released(),
            paths: self.paths.iter().zip(self.router.paths()).map(path).collect(),
            tracks: tracks.collect(),
            awaits_tracks: self.router.awaits_tracks(),
        }
    }

    /// Every address whose removal the kernel has not answered, in words.
    pub(super) fn unremoved(&self) -> impl Iterator<Item = String> + '_ {
        let unanswered = |held: &&HeldAddress| held.phase == Phase::Removing;
        self.addresses.iter().filter(unanswered).map(|held| {
            format!("{} of {}: the kernel did not answer in time", held.text(), self.instance.name)
        })
    }
}

/// The addresses that the host has on a line for itself, in the kernel's order: all that no router has as a virtual one, and those
/// that an owner has as the host's own.
pub(super) fn own_addresses(line: &Line, routers: &[Served]) -> Vec<Address> {
    let Some(interface) = &line.interface else { return Vec::new() };
    let virtual_addresses: BTreeSet<IpAddr> =
        routers.iter().flat_map(|served| &served.addresses).map(|held| held.vip.address).collect();
    interface.own_addresses(|present| {
        virtual_addresses.contains(&present.address)
            && !routers.iter().any(|served| served.is_native(present))
    })
}

/// What the paths of an instance are on the engine's lines; the router was told nothing of them yet.
pub(super) fn served_paths(
    instance: &Instance,
    vmac: Option<ServedMac>,
    mut line_of: impl FnMut(&str) -> usize,
) -> Vec<ServedPath> {
    let path = |path: &PathConfig| {
        let line = line_of(&path.interface);
        // The virtual MAC is one of the service interface.
        let sender = vmac.filter(|vmac| vmac.sends.is_some() && path.interface == instance.interface);
        let sends_on = sender.map_or(line, |vmac| vmac.line);
        ServedPath { line, sends_on, told: None, failing: BTreeSet::new() }
    };
    path_configs(instance).iter().map(path).collect()
}

/// The service interface first: multicast unless the configuration lists it with peers.
pub(super) fn path_configs(instance: &Instance) -> Vec<PathConfig> {
    let (service, others): (Vec<_>, Vec<_>) =
        instance.paths.iter().cloned().partition(|path| path.interface == instance.interface);
    let service = service
        .into_iter()
        .next()
        .unwrap_or_else(|| PathConfig { interface: instance.interface.clone(), peers: Vec::new() });
    std::iter::once(service).chain(others).collect()
}

/// The core takes it for "no address yet".
pub(super) fn unspecified(instance: &Instance) -> IpAddr {
    // An excluded address may be of the other family.
    let advertised = instance.vips.iter().map(|vip| vip.vip).find(|vip| vip.advertised);
    match advertised.map(|vip| vip.address) {
        Some(IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        Some(IpAddr::V4(_)) | None => Ipv4Addr::UNSPECIFIED.into(),
    }
}
