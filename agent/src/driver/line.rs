//! One interface as the engine sees it: the kernel's truth, the socket on it, and who listens there.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    time::Duration,
};

use hafleet_vrrp::{Instant, LinkFault, PathId, heard::HeardTable};
use pnet::util::MacAddr;

use crate::{
    clock,
    net::{
        Family,
        advert::AdvertSocket,
        link::{Address, Interface},
    },
};

/// Truth comes every second; what is older than this is not told as the present.
const FRESH_FOR: Duration = Duration::from_secs(3);

/// An interface that some instance names.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    /// `None`: it does not exist.
    pub(super) interface: Option<Interface>,
    /// For each family that some router here speaks, unless it cannot be had.
    pub(super) sockets: BTreeMap<Family, AdvertSocket>,
    /// For each family that is sent here and received on another line.
    senders: BTreeMap<Family, AdvertSocket>,
    /// The families of `senders` that are wanted.
    pub(super) outgoing: BTreeSet<Family>,
    /// The line that it is on, if it is the interface of a virtual MAC.
    pub(super) parent: Option<usize>,
    /// Why it is not as it is wanted, then.
    pub(super) fault: Option<String>,
    /// Which router serves a VRID of a family here, and what it calls this line. Empty for one that only carries addresses.
    pub(super) routers: BTreeMap<(Family, u8), (usize, PathId)>,
    pub(super) heard: HeardTable,
    /// What is on the interface, for looking one up.
    present: BTreeMap<(IpAddr, u8), Address>,
    /// Errors of the interface when it was first seen.
    errors_at_start: Option<u64>,
    /// When the kernel last told what the interface is like.
    seen_at: Option<Instant>,
}

impl Line {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            interface: None,
            sockets: BTreeMap::new(),
            senders: BTreeMap::new(),
            outgoing: BTreeSet::new(),
            parent: None,
            fault: None,
            routers: BTreeMap::new(),
            heard: HeardTable::default(),
            present: BTreeMap::new(),
            errors_at_start: None,
            seen_at: None,
        }
    }

    /// Takes new truth over, and makes the socket fit it.
    pub(super) fn update(&mut self, interface: Option<Interface>, fault: Option<String>) {
        self.seen_at = Some(clock::now());
        self.fault = fault;
        self.interface = interface;
        self.present = self
            .interface
            .iter()
            .flat_map(|interface| &interface.addresses)
            .map(|address| ((address.address, address.prefix_len), address.clone()))
            .collect();
        if let Some(interface) = &self.interface {
            // A recreated interface counts from zero.
            let at_start = self.errors_at_start.get_or_insert(interface.errors);
            *at_start = (*at_start).min(interface.errors);
        }
        self.fit_sockets();
    }

    /// Nobody needs to know of it any more: what was known is no truth later.
    pub(super) fn forget(&mut self) {
        self.update(None, None);
        self.seen_at = None;
    }

    /// A socket on the interface as it is now for each family that is spoken here, and no other.
    pub(super) fn fit_sockets(&mut self) {
        let index = self.interface.as_ref().map(|interface| interface.index);
        for family in Family::BOTH {
            let is_spoken = self.routers.keys().any(|(spoken, _)| *spoken == family);
            let is_sent = self.outgoing.contains(&family);
            fit(&mut self.sockets, family, &self.name, index.filter(|_| is_spoken), AdvertSocket::open);
            let open = AdvertSocket::open_outgoing;
            fit(&mut self.senders, family, &self.name, index.filter(|_| is_sent), open);
        }
    }

    /// Whether adverts of this family can be sent and heard here.
    pub(super) fn works(&self, family: Family) -> Result<(), LinkFault> {
        // Without a socket nothing would be heard: as good as no interface.
        let (Some(interface), Some(_)) = (&self.interface, self.sockets.get(&family)) else {
            return Err(LinkFault::Missing);
        };
        if !interface.admin_up {
            return Err(LinkFault::AdminDown);
        }
        if !interface.carrier {
            return Err(LinkFault::NoCarrier);
        }
        Ok(())
    }

    /// Whether it is the interface of this virtual MAC on that interface, and adverts can be sent there if they are to.
    pub(super) fn carries(&self, mac: MacAddr, parent: Option<u32>, sends: Option<Family>) -> bool {
        let is_it = |interface: &Interface| {
            interface.mac == Some(mac) && interface.parent == parent && interface.admin_up
        };
        let can_send = sends.is_none_or(|family| self.senders.contains_key(&family));
        self.fault.is_none() && parent.is_some() && can_send && self.interface.as_ref().is_some_and(is_it)
    }

    /// This very address with this prefix length, if it is on the interface.
    pub(super) fn find(&self, address: IpAddr, prefix_len: u8) -> Option<&Address> {
        self.present.get(&(address, prefix_len))
    }

    /// This address with any prefix length that `is_wanted`, if it is on the interface.
    pub(super) fn find_any(&self, address: IpAddr, is_wanted: impl Fn(&Address) -> bool) -> Option<&Address> {
        self.present
            .range((address, 0)..=(address, u8::MAX))
            .map(|(_, present)| present)
            .find(|it| is_wanted(it))
    }

    /// Whether the kernel has spoken of it at all.
    pub(super) fn is_seen(&self) -> bool {
        self.seen_at.is_some()
    }

    /// Whether the kernel has spoken of it lately: a kernel that does not answer may have dropped every address since.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.seen_at.is_some_and(|seen_at| now.since(seen_at) <= FRESH_FOR)
    }

    /// The interface of a virtual MAC that is still here after it was to be removed, in words. What was never ours has a fault.
    pub(super) fn unremoved(&self) -> Option<String> {
        let is_here = self.parent.is_some() && self.interface.is_some() && self.fault.is_none();
        is_here.then(|| format!("the interface {}: the kernel did not remove it in time", self.name))
    }

    pub(super) fn carrier(&self) -> bool {
        self.interface.as_ref().is_some_and(|interface| interface.admin_up && interface.carrier)
    }

    /// Errors since the engine first saw the interface.
    pub(super) fn errors(&self) -> u64 {
        let now = self.interface.as_ref().map_or(0, |interface| interface.errors);
        now.saturating_sub(self.errors_at_start.unwrap_or(now))
    }

    pub(super) fn send(
        &mut self,
        source: IpAddr,
        destination: IpAddr,
        ttl: u8,
        payload: &[u8],
    ) -> io::Result<()> {
        let family = Family::of(destination);
        let socket = self.sockets.get_mut(&family).or_else(|| self.senders.get_mut(&family));
        let socket = socket.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
        socket.send(source, destination, ttl, payload)
    }
}

/// The socket of a family is there on the interface with this index, and not otherwise.
fn fit(
    sockets: &mut BTreeMap<Family, AdvertSocket>,
    family: Family,
    interface: &str,
    index: Option<u32>,
    open: fn(Family, &str, u32) -> io::Result<AdvertSocket>,
) {
    let Some(index) = index else { return drop(sockets.remove(&family)) };
    if sockets.get(&family).is_some_and(|socket| socket.interface_index() == index) {
        return;
    }
    match open(family, interface, index) {
        Ok(socket) => drop(sockets.insert(family, socket)),
        Err(error) => {
            sockets.remove(&family);
            tracing::error!(interface, ?family, %error, "cannot open the VRRP socket; trying again");
        }
    }
}

/// What one router was last told about one of its lines.
#[derive(Debug)]
pub(super) struct ServedPath {
    pub(super) line: usize,
    /// Where adverts go out: the virtual MAC's line, or the same.
    pub(super) sends_on: usize,
    pub(super) told: Option<Result<IpAddr, LinkFault>>,
    /// The destinations that the last advert could not be sent to.
    pub(super) failing: BTreeSet<IpAddr>,
}

impl ServedPath {
    pub(super) fn source(&self) -> Option<IpAddr> {
        self.told.and_then(Result::ok)
    }
}
