//! The heard-adverts table: who was heard for which VRID, accepted or not. Bounded.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt::Write, net::IpAddr};

use crate::{
    ChecksumForm, Instant,
    packet::{self, Datagram, Header, Verdict},
};

/// How many sources one table remembers unless told otherwise.
pub const CAPACITY: usize = 1024;

/// One source heard for one VRID on one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeardAdvert {
    /// The VRID as heard; 0 never is.
    pub vrid: u8,
    /// Who sent.
    pub source: IpAddr,
    /// Version field of the last packet.
    pub version: u8,
    /// Priority of the last readable packet.
    pub priority: u8,
    /// Its interval.
    pub interval_cs: u16,
    /// Its address list, in the order sent.
    pub addresses: Vec<IpAddr>,
    /// `none`, `pass`, `ah` or a number.
    pub auth: String,
    /// `with_pseudo_header`, `without_pseudo_header`, or empty for version 2.
    pub checksum_form: &'static str,
    /// When the last packet came, accepted or not.
    pub last_heard: Instant,
    /// How many were accepted.
    pub accepted: u64,
    /// The rejected ones by reason.
    pub rejected: Vec<Rejected>,
    /// The accepted ones that were odd, by remark ([`packet::Remark::code`]); counted in `accepted` too.
    pub remarked: Vec<Rejected>,
    /// Whether a router with this VRID runs here.
    pub vrid_configured: bool,
}

/// Packets rejected, or remarked upon, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Stable code.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
    /// When the last came.
    pub last: Instant,
    /// Both values of the last.
    pub detail: String,
}

/// All sources heard on one interface.
#[derive(Clone, Debug)]
pub struct HeardTable {
    entries: BTreeMap<(u8, IpAddr), HeardAdvert>,
    /// The same keys by age, so that a flood of forged sources costs no scan.
    by_age: BTreeSet<(Instant, u8, IpAddr)>,
    capacity: usize,
    evicted: u64,
    unreadable: u64,
}

impl Default for HeardTable {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl HeardTable {
    /// A table that remembers this many sources, at least one.
    pub const fn with_capacity(capacity: usize) -> Self {
        let capacity = if capacity == 0 { 1 } else { capacity };
        Self { entries: BTreeMap::new(), by_age: BTreeSet::new(), capacity, evicted: 0, unreadable: 0 }
    }

    /// Notes one VRRP packet. `verdict` is what the router with its VRID made of it
    /// ([`crate::VirtualRouter::last_verdict`]), `None` when no router with this VRID runs on the interface.
    pub fn record(&mut self, datagram: &Datagram<'_>, verdict: Option<&Verdict>, now: Instant) {
        let Some(vrid @ 1..) = packet::vrid(datagram.payload) else {
            self.unreadable = self.unreadable.saturating_add(1);
            return;
        };
        let key = (vrid, datagram.source);
        if let Some(known) = self.entries.get(&key) {
            self.by_age.remove(&(known.last_heard, vrid, datagram.source));
        } else {
            self.make_room();
        }
        self.by_age.insert((now, vrid, datagram.source));
        let entry = self.entries.entry(key).or_insert_with(|| HeardAdvert::new(vrid, datagram.source, now));
        entry.last_heard = now;
        entry.vrid_configured = verdict.is_some();
        entry.read(datagram, verdict);
        match verdict {
            None => {}
            Some(Verdict::Accepted(received)) => {
                entry.accepted = entry.accepted.saturating_add(1);
                for remark in &received.remarks {
                    count(&mut entry.remarked, remark.code(), remark, now);
                }
            }
            Some(Verdict::Rejected(rejection)) => {
                count(&mut entry.rejected, rejection.code(), rejection, now);
            }
        }
    }

    /// Every source, by VRID and address.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &HeardAdvert> {
        self.entries.values()
    }

    /// How many sources were forgotten, the longest unheard first, to make room for new ones.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// How many packets named no VRID: too short, or VRID 0.
    pub const fn unreadable(&self) -> u64 {
        self.unreadable
    }

    fn make_room(&mut self) {
        while self.entries.len() >= self.capacity {
            let Some((_, vrid, source)) = self.by_age.pop_first() else { return };
            if self.entries.remove(&(vrid, source)).is_some() {
                self.evicted = self.evicted.saturating_add(1);
            }
        }
    }
}

impl HeardAdvert {
    fn new(vrid: u8, source: IpAddr, now: Instant) -> Self {
        Self {
            vrid,
            source,
            version: 0,
            priority: 0,
            interval_cs: 0,
            addresses: Vec::new(),
            auth: String::from("none"),
            checksum_form: "",
            last_heard: now,
            accepted: 0,
            rejected: Vec::new(),
            remarked: Vec::new(),
            vrid_configured: false,
        }
    }

    /// Takes over what can be read of the packet; a truncated one leaves what was known.
    fn read(&mut self, datagram: &Datagram<'_>, verdict: Option<&Verdict>) {
        let Some(header) = Header::peek(datagram.payload) else { return };
        self.version = header.version;
        self.priority = header.priority;
        self.interval_cs = header.interval_cs;
        self.addresses = header.addresses(datagram.payload, datagram.source);
        self.auth = header.auth.unwrap_or(packet::AuthType::NONE).to_string();
        let form = match verdict {
            Some(Verdict::Accepted(received)) => received.checksum_form,
            Some(Verdict::Rejected(_)) | None => packet::checksum_form(datagram),
        };
        self.checksum_form = form.map_or("", ChecksumForm::as_str);
    }
}

/// There are no more reasons than codes, so the list is bounded.
fn count(list: &mut Vec<Rejected>, reason: &'static str, detail: &impl core::fmt::Display, now: Instant) {
    let index = list.iter().position(|known| known.reason == reason).unwrap_or_else(|| {
        list.push(Rejected { reason, count: 0, last: now, detail: String::new() });
        list.len() - 1
    });
    if let Some(known) = list.get_mut(index) {
        known.count = known.count.saturating_add(1);
        known.last = now;
        known.detail.clear();
        // Writing to a String cannot fail.
        let _ = write!(known.detail, "{detail}");
    }
}

#[cfg(test)]
mod tests;
