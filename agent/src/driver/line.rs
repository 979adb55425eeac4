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
    pub(super) socket: Option<AdvertSocket>,
    /// Which router serves a VRID here, and what it calls this line. Empty for one that only carries addresses.
    pub(super) routers: BTreeMap<u8, (usize, PathId)>,
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
            socket: None,
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
        let Some(interface) = &self.interface else {
            self.socket = None;
            return;
        };
        // A recreated interface counts from zero.
        let at_start = self.errors_at_start.get_or_insert(interface.errors);
        *at_start = (*at_start).min(interface.errors);
        self.fit_socket();
    }

    /// Opens the socket that who listens here needs, and closes one that nobody needs.
    pub(super) fn fit_socket(&mut self) {
        let Some(interface) = self.interface.as_ref().filter(|_| !self.routers.is_empty()) else {
            self.socket = None;
            return;
        };
        let fits = self.socket.as_ref().is_some_and(|socket| socket.interface_index() == interface.index);
        if !fits {
            self.socket = AdvertSocket::open(&self.name, interface.index)
                .inspect_err(|error| {
                    tracing::error!(interface = self.name, %error, "cannot open the VRRP socket; trying again");
                })
                .ok();
        }
    }

    /// Whether adverts can be sent and heard here.
    pub(super) fn works(&self) -> Result<(), LinkFault> {
        // Without a socket nothing would be heard: as good as no interface.
        let (Some(interface), Some(_)) = (&self.interface, &self.socket) else {
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

    pub(super) fn send(&mut self, source: IpAddr, destination: IpAddr, payload: &[u8]) -> io::Result<()> {
        let socket = self.socket.as_mut().ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => socket.send(source, destination, payload),
            (IpAddr::V6(_), _) | (_, IpAddr::V6(_)) => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
        }
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
