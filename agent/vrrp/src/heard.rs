//! The heard-adverts table: who was heard for which VRID, accepted or not. Bounded.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt::Write, net::IpAddr, time::Duration};

use crate::{
    ChecksumForm, Instant,
    packet::{self, Datagram, Header, Verdict},
};

/// How many sources one table remembers unless told otherwise.
pub const CAPACITY: usize = 1024;

/// A source is forgotten when nothing came from it for so long.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// How many addresses of one advert are remembered when a router with its VRID runs here. An advert has up to 255.
pub const ADDRESSES_MAX: usize = 64;

/// How many are remembered of an advert that concerns no router here: enough to tell whose it is.
pub const FOREIGN_ADDRESSES_MAX: usize = 8;

/// How many bytes of a detail are remembered.
pub const DETAIL_LEN_MAX: usize = 256;

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
    /// Its address list, in the order sent: the first [`ADDRESSES_MAX`], or [`FOREIGN_ADDRESSES_MAX`] when no router
    /// with this VRID runs here.
    pub addresses: Vec<IpAddr>,
    /// How many more it had.
    pub addresses_left_out: u8,
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
    /// Both values of the last, cut at [`DETAIL_LEN_MAX`] bytes.
    pub detail: String,
}

/// All sources heard on one interface.
#[derive(Clone, Debug)]
pub struct HeardTable {
    entries: BTreeMap<(u8, IpAddr), Entry>,
    /// The same keys in the order in which they make room, so that a flood of forged sources costs no scan. Each as of
    /// [`Entry::placed_at`]: the usual packet, of a known source, changes nothing here.
    by_worth: BTreeSet<Place>,
    /// Nobody has been silent for [`FORGOTTEN_AFTER`] before this.
    none_silent_before: Instant,
    capacity: usize,
    evicted: u64,
    aged_out: u64,
    unreadable: u64,
}

/// Where a source stands in the order of making room.
type Place = (Worth, Instant, u8, IpAddr);

#[derive(Clone, Debug)]
struct Entry {
    advert: HeardAdvert,
    /// When it was last heard, or some time before. Whoever reaches it in the order puts it where it belongs.
    placed_at: Instant,
}

/// How much a source matters here; what matters least makes room first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worth {
    /// No router with its VRID runs here.
    Foreign,
    /// One does, and rejected every packet so far.
    Rejected,
    /// One does, and accepted a packet.
    Accepted,
}

impl Worth {
    const ALL: [Self; 3] = [Self::Foreign, Self::Rejected, Self::Accepted];
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
        Self {
            entries: BTreeMap::new(),
            by_worth: BTreeSet::new(),
            none_silent_before: Instant::from_micros(u64::MAX),
            capacity,
            evicted: 0,
            aged_out: 0,
            unreadable: 0,
        }
    }

    /// Notes one VRRP packet. `verdict` is what the router with its VRID made of it
    /// ([`crate::VirtualRouter::last_verdict`]), `None` when no router with this VRID runs on the interface.
    pub fn record(&mut self, datagram: &Datagram<'_>, verdict: Option<&Verdict>, now: Instant) {
        let Some(vrid @ 1..) = packet::vrid(datagram.payload) else {
            self.unreadable = self.unreadable.saturating_add(1);
            return;
        };
        self.forget_silent(now);
        let source = datagram.source;
        let Some(entry) = self.entries.get_mut(&(vrid, source)) else {
            self.make_room();
            let mut advert = HeardAdvert::new(vrid, source, now);
            advert.note(datagram, verdict, now);
            self.place((advert.worth(), now, vrid, source));
            self.entries.insert((vrid, source), Entry { advert, placed_at: now });
            return;
        };
        let (worth, placed_at) = (entry.advert.worth(), entry.placed_at);
        entry.advert.note(datagram, verdict, now);
        if entry.advert.worth() != worth || now < placed_at {
            entry.placed_at = now;
            let place = (entry.advert.worth(), now, vrid, source);
            self.by_worth.remove(&(worth, placed_at, vrid, source));
            self.place(place);
        }
    }

    /// Forgets every source from which nothing came for [`FORGOTTEN_AFTER`]. Every [`Self::record`] does it too.
    pub fn forget_silent(&mut self, now: Instant) {
        if now < self.none_silent_before {
            return;
        }
        self.none_silent_before = Instant::from_micros(u64::MAX);
        for worth in Worth::ALL {
            let first = (worth, Instant::from_micros(0), 0, IpAddr::from([0; 4]));
            while let Some(&oldest) = self.by_worth.range(first..).next()
                && oldest.0 == worth
            {
                if now.since(oldest.1) < FORGOTTEN_AFTER {
                    self.none_silent_before = self.none_silent_before.min(oldest.1 + FORGOTTEN_AFTER);
                    break;
                }
                if self.is_up_to_date(oldest) {
                    self.by_worth.remove(&oldest);
                    self.entries.remove(&(oldest.2, oldest.3));
                    self.aged_out = self.aged_out.saturating_add(1);
                }
            }
        }
    }

    /// Every source, by VRID and address.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &HeardAdvert> {
        self.entries.values().map(|entry| &entry.advert)
    }

    /// How many sources were forgotten to make room for new ones: those of no VRID configured here first, then those
    /// never accepted, the longest unheard first.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// How many sources were forgotten because nothing came from them any more.
    pub const fn aged_out(&self) -> u64 {
        self.aged_out
    }

    /// How many packets named no VRID: too short, or VRID 0.
    pub const fn unreadable(&self) -> u64 {
        self.unreadable
    }

    fn make_room(&mut self) {
        while self.entries.len() >= self.capacity {
            let Some(&first) = self.by_worth.first() else { return };
            if self.is_up_to_date(first) {
                self.by_worth.remove(&first);
                self.entries.remove(&(first.2, first.3));
                self.evicted = self.evicted.saturating_add(1);
            }
        }
    }

    fn place(&mut self, place: Place) {
        self.none_silent_before = self.none_silent_before.min(place.1 + FORGOTTEN_AFTER);
        self.by_worth.insert(place);
    }

    /// Whether nothing came from this source since it was placed; otherwise it is placed where it belongs. Paid for by the
    /// packet that came since.
    fn is_up_to_date(&mut self, place: Place) -> bool {
        let (worth, placed_at, vrid, source) = place;
        let Some(entry) = self.entries.get_mut(&(vrid, source)) else { return true };
        let last_heard = entry.advert.last_heard;
        if last_heard <= placed_at {
            return true;
        }
        entry.placed_at = last_heard;
        self.by_worth.remove(&place);
        self.place((worth, last_heard, vrid, source));
        false
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
            addresses_left_out: 0,
            auth: String::from("none"),
            checksum_form: "",
            last_heard: now,
            accepted: 0,
            rejected: Vec::new(),
            remarked: Vec::new(),
            vrid_configured: false,
        }
    }

    /// How much it matters here.
    pub const fn worth(&self) -> Worth {
        match (self.vrid_configured, self.accepted) {
            (false, _) => Worth::Foreign,
            (true, 0) => Worth::Rejected,
            (true, 1..) => Worth::Accepted,
        }
    }

    fn note(&mut self, datagram: &Datagram<'_>, verdict: Option<&Verdict>, now: Instant) {
        self.last_heard = now;
        self.vrid_configured = verdict.is_some();
        self.read(datagram, verdict);
        match verdict {
            None => {}
            Some(Verdict::Accepted(received)) => {
                self.accepted = self.accepted.saturating_add(1);
                for remark in &received.remarks {
                    count(&mut self.remarked, remark.code(), remark, now);
                }
            }
            Some(Verdict::Rejected(rejection)) => {
                count(&mut self.rejected, rejection.code(), rejection, now);
            }
        }
    }

    /// Takes over what can be read of the packet; a truncated one leaves what was known.
    fn read(&mut self, datagram: &Datagram<'_>, verdict: Option<&Verdict>) {
        let most = if verdict.is_some() { ADDRESSES_MAX } else { FOREIGN_ADDRESSES_MAX };
        let Some(header) = Header::peek(datagram.payload) else { return self.cut(most) };
        self.version = header.version;
        self.priority = header.priority;
        self.interval_cs = header.interval_cs;
        // The usual packet says what the last one said: nothing is allocated for it.
        let addresses = || header.each_address(datagram.payload, datagram.source);
        if !addresses().take(most).eq(self.addresses.iter().copied()) {
            self.addresses = addresses().take(most).collect();
        }
        let more = addresses().len().saturating_sub(most);
        // An advert counts its addresses in one byte.
        self.addresses_left_out = u8::try_from(more).unwrap_or(u8::MAX);
        let auth = header.auth.unwrap_or(packet::AuthType::NONE);
        if auth.name() != Some(self.auth.as_str()) {
            self.auth = auth.to_string();
        }
        let form = match verdict {
            Some(Verdict::Accepted(received)) => received.checksum_form,
            Some(Verdict::Rejected(_)) | None => packet::checksum_form(datagram),
        };
        self.checksum_form = form.map_or("", ChecksumForm::as_str);
    }

    /// The router that a long list mattered to may be gone.
    fn cut(&mut self, most: usize) {
        let more = u8::try_from(self.addresses.len().saturating_sub(most)).unwrap_or(u8::MAX);
        self.addresses_left_out = self.addresses_left_out.saturating_add(more);
        self.addresses.truncate(most);
        self.addresses.shrink_to_fit();
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
        // It fails only at its bound.
        let _ = write!(Bounded(&mut known.detail), "{detail}");
    }
}

/// A text that ends at [`DETAIL_LEN_MAX`] bytes, with an ellipsis.
struct Bounded<'a>(&'a mut String);

impl Write for Bounded<'_> {
    fn write_str(&mut self, more: &str) -> core::fmt::Result {
        const ELLIPSIS: &str = "…";
        if self.0.len() + more.len() <= DETAIL_LEN_MAX {
            self.0.push_str(more);
            return Ok(());
        }
        let most = DETAIL_LEN_MAX - ELLIPSIS.len();
        let room = most.saturating_sub(self.0.len());
        self.0.push_str(more.get(..more.floor_char_boundary(room)).unwrap_or_default());
        while self.0.len() > most {
            self.0.pop();
        }
        self.0.push_str(ELLIPSIS);
        Err(core::fmt::Error)
    }
}

#[cfg(test)]
mod tests;
