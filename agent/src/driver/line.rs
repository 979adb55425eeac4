//! One interface as the engine sees it: the kernel's truth, the socket on it, and who listens there.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    time::Duration,
};

use hafleet_vrrp::{Instant, LinkFault, PathId, heard::HeardTable};

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
            routers: BTreeMap::new(),
            heard: HeardTable::default(),
            present: BTreeMap::new(),
            errors_at_start: None,
            seen_at: None,
        }
    }

    /// Takes new truth over, and makes the socket fit it.
    pub(super) fn update(&mut self, interface: Option<Interface>) {
        self.seen_at = Some(clock::now());
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
        (self.interface, self.seen_at) = (None, None);
        self.present.clear();
        self.sockets.clear();
    }

    /// A socket on the interface as it is now for each family that is spoken here, and no other.
    pub(super) fn fit_sockets(&mut self) {
        let Some(interface) = &self.interface else { return self.sockets.clear() };
        for family in Family::BOTH {
            let is_spoken = self.routers.keys().any(|(spoken, _)| *spoken == family);
            let socket = self.sockets.get(&family);
            if !is_spoken {
                self.sockets.remove(&family);
            } else if socket.is_none_or(|socket| socket.interface_index() != interface.index) {
                match AdvertSocket::open(family, &self.name, interface.index) {
                    Ok(socket) => drop(self.sockets.insert(family, socket)),
                    Err(error) => {
                        self.sockets.remove(&family);
                        let interface = &self.name;
                        tracing::error!(interface, ?family, %error, "cannot open the VRRP socket; trying again");
                    }
                }
            }
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
        let socket = self.sockets.get_mut(&Family::of(destination));
        let socket = socket.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
        socket.send(source, destination, ttl, payload)
    }
}

/// What one router was last told about one of its lines.
#[derive(Debug)]
pub(super) struct ServedPath {
    pub(super) line: usize,
    pub(super) told: Option<Result<IpAddr, LinkFault>>,
    /// The destinations that the last advert could not be sent to.
    pub(super) failing: BTreeSet<IpAddr>,
}

impl ServedPath {
    pub(super) fn source(&self) -> Option<IpAddr> {
        self.told.and_then(Result::ok)
    }
}
