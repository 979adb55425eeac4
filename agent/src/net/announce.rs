//! Telling the neighbours: gratuitous ARP (RFC 826, RFC 5227 section 3) and unsolicited neighbour advertisements (RFC 4861
//! section 7.2.6) exactly as keepalived sends them, in the order that lets the last of many addresses not wait for the repeats of
//! the first.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    net::IpAddr,
    time::Duration,
};

use hafleet_vrrp::Instant;
use pnet::{packet::ethernet::EtherTypes, util::MacAddr};
use socket2::{Domain, Socket, Type};

use super::{
    Family,
    frame::{self, Arp, Frame},
    link_layer,
};

/// How many frames may wait; the oldest round of 255 routers with 20 addresses five times over. More are counted and
/// dropped.
pub const QUEUE_LEN: usize = 32_768;

/// How long an interface whose queue is full is left alone.
pub const FULL_PAUSE: Duration = Duration::from_millis(1);

/// Whether the kernel has no room for a frame at the moment.
pub fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// Sends frames on any interface. Receives nothing: it is opened for no EtherType.
#[derive(Debug)]
pub struct AnnounceSocket {
    socket: Socket,
}

impl AnnounceSocket {
    /// Opens it. Needs CAP_NET_RAW.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Sends one announcement. Never waits: a full queue is an error.
    pub fn send(&self, announcement: &Announcement) -> io::Result<()> {
        let ether_type = match Family::of(announcement.address) {
            Family::V4 => EtherTypes::Arp,
            Family::V6 => EtherTypes::Ipv6,
        };
        // To whom is in the frame.
        let to = link_layer::address(announcement.interface_index, ether_type.0, MacAddr::broadcast());
        self.socket.send_to(announcement.frame().as_slice(), &to).map(drop)
    }
}

/// One announcement of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The virtual router that announces, as its owner counts.
    pub router: usize,
    /// Where.
    pub interface_index: u32,
    /// The interface's MAC.
    pub mac: MacAddr,
    /// What.
    pub address: IpAddr,
    /// The interface forwards IPv6.
    pub is_router: bool,
    /// How long nothing else of this family is announced on the interface afterwards.
    pub pause: Duration,
}

impl Announcement {
    fn frame(&self) -> Frame {
        match self.address {
            IpAddr::V4(address) => Arp::gratuitous(self.mac, address).frame(),
            IpAddr::V6(address) => frame::unsolicited_advertisement(self.mac, address, self.is_router),
        }
    }
}

/// What waits to be announced: every address of every router once, then the repeats. Interfaces and families do not wait for
/// each other's pauses.
#[derive(Debug, Default)]
pub struct AnnounceQueue {
    /// Those with something in them, or a pause under way.
    lanes: BTreeMap<(u32, Family), Lane>,
    /// Until then repeats wait for what is to be announced for the first time.
    first_until: Instant,
    len: usize,
    dropped: u64,
}

/// What waits on one interface for one family.
#[derive(Debug, Default)]
struct Lane {
    first: VecDeque<Announcement>,
    repeats: VecDeque<Announcement>,
    /// The end of the pause.
    free_at: Instant,
}

impl AnnounceQueue {
    /// Queues `addresses`, each `repeat` times, round by round.
    ///
    /// Repeats of an earlier round of the same addresses are dropped: what they would say is said again, and a pause between
    /// announcements that is longer than rounds are apart cannot fill the queue.
    pub fn push(&mut self, addresses: &[Announcement], repeat: u8) {
        let again = |waiting: &Announcement| {
            addresses.iter().any(|new| (new.router, new.address) == (waiting.router, waiting.address))
        };
        let keys: BTreeSet<_> =
            addresses.iter().map(|one| (one.interface_index, Family::of(one.address))).collect();
        for key in keys {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            let before = lane.repeats.len();
            lane.repeats.retain(|waiting| !again(waiting));
            self.len -= before - lane.repeats.len();
        }
        for round in 0..repeat {
            for announcement in addresses {
                if self.len >= QUEUE_LEN {
                    self.dropped += 1;
                    continue;
                }
                self.len += 1;
                let key = (announcement.interface_index, Family::of(announcement.address));
                let lane = self.lanes.entry(key).or_default();
                let queue = if round == 0 { &mut lane.first } else { &mut lane.repeats };
                queue.push_back(*announcement);
            }
        }
    }

    /// What could not be sent now is the next one of its lane, from then on. It counts as a repeat that never failed: the kernel's queue
    /// empties, or the interface goes.
    pub fn put_back(&mut self, announcement: Announcement, at: Instant) {
        let key = (announcement.interface_index, Family::of(announcement.address));
        let lane = self.lanes.entry(key).or_default();
        lane.first.push_front(announcement);
        lane.free_at = at;
        self.len += 1;
    }

    /// More will be announced for the first time soon: repeats wait for it, until then at the longest.
    pub fn expect_first(&mut self, until: Instant) {
        self.first_until = self.first_until.max(until);
    }

    /// All that was expected is here, or will never come.
    pub fn expect_no_more(&mut self) {
        self.first_until = Instant::default();
    }

    /// The next one to send now; `None` when none is due.
    pub fn pop(&mut self, now: Instant) -> Option<Announcement> {
        // An interface that is gone has an index that nobody uses again.
        self.lanes.retain(|_, lane| lane.len() > 0 || lane.free_at > now);
        let first_until = self.first_until;
        let has_first = |lane: &&mut Lane| lane.free_at <= now && !lane.first.is_empty();
        let has_repeats = |lane: &&mut Lane| lane.free_at.max(first_until) <= now && !lane.repeats.is_empty();
        let lane = match self.lanes.values_mut().find(has_first) {
            Some(lane) => lane,
            None => self.lanes.values_mut().find(has_repeats)?,
        };
        let announcement = lane.first.pop_front().or_else(|| lane.repeats.pop_front())?;
        lane.free_at = now + announcement.pause;
        self.len -= 1;
        Some(announcement)
    }

    /// When the next one is due; `None` when none waits.
    pub fn due(&self) -> Option<Instant> {
        let due = |lane: &Lane| {
            if lane.first.is_empty() { lane.free_at.max(self.first_until) } else { lane.free_at }
        };
        self.lanes.values().filter(|lane| lane.len() > 0).map(due).min()
    }

    /// Forgets what a router wanted to say of addresses that it lost: a late word would take them from the winner.
    pub fn forget(&mut self, router: usize, is_lost: impl Fn(IpAddr) -> bool) {
        let stays =
            |announcement: &Announcement| announcement.router != router || !is_lost(announcement.address);
        for lane in self.lanes.values_mut() {
            lane.first.retain(stays);
            lane.repeats.retain(stays);
        }
        self.len = self.lanes.values().map(Lane::len).sum();
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many did not fit since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Lane {
    fn len(&self) -> usize {
        self.first.len() + self.repeats.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_micros(1_000_000);

    fn arp(router: usize, last: u8) -> Announcement {
        Announcement {
            router,
            interface_index: 2,
            mac: MacAddr::new(0xde, 0x64, 0x2e, 0x05, 0xd2, 0xce),
            address: [192, 168, 178, last].into(),
            is_router: false,
            pause: Duration::ZERO,
        }
    }

    fn na(router: usize, last: u16) -> Announcement {
        Announcement { address: [0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into(), ..arp(router, 0) }
    }

    fn pop_all(queue: &mut AnnounceQueue, now: Instant) -> Vec<u8> {
        std::iter::from_fn(|| queue.pop(now))
            .map(|announcement| match announcement.address {
                IpAddr::V4(address) => address.octets()[3],
                IpAddr::V6(address) => address.octets()[15],
            })
            .collect()
    }

    #[test]
    fn every_address_of_every_router_is_announced_once_before_any_repeat() {
        let mut queue = AnnounceQueue::default();
        queue.push(&[arp(0, 3), arp(0, 4)], 2);
        queue.push(&[arp(1, 5)], 2);
        queue.push(&[na(2, 6)], 2);
        assert_eq!(queue.due(), Some(Instant::default()));
        assert_eq!(pop_all(&mut queue, NOW), [3, 4, 5, 6, 3, 4, 5, 6]);
        assert_eq!(queue.due(), None);
    }

    #[test]
    fn repeats_wait_for_what_is_expected_and_not_for_ever() {
        let mut queue = AnnounceQueue::default();
        let until = NOW + Duration::from_millis(100);
        queue.expect_first(until);
        queue.push(&[arp(0, 3)], 2);
        assert_eq!(pop_all(&mut queue, NOW), [3]);
        assert_eq!(queue.due(), Some(until));
        queue.push(&[arp(0, 4)], 2);
        assert_eq!(queue.due(), Some(NOW));
        assert_eq!(pop_all(&mut queue, NOW), [4]);
        queue.expect_no_more();
        assert_eq!(pop_all(&mut queue, NOW), [3, 4]);
        queue.expect_first(until);
        queue.push(&[arp(0, 3)], 2);
        assert_eq!(pop_all(&mut queue, NOW), [3]);
        assert_eq!(pop_all(&mut queue, until), [3]);
    }

    #[test]
    fn a_pause_holds_back_its_own_interface_and_family_only() {
        let mut queue = AnnounceQueue::default();
        let pause = Duration::from_millis(20);
        let slow = |last| Announcement { pause, ..arp(0, last) };
        queue.push(&[slow(3), slow(4), na(0, 6)], 2);
        queue.push(&[Announcement { interface_index: 7, ..arp(1, 9) }], 2);
        assert_eq!(pop_all(&mut queue, NOW), [3, 6, 9, 6, 9]);
        for last in [4, 3, 4] {
            let due = queue.due().unwrap();
            assert!(pop_all(&mut queue, due - Duration::from_micros(1)).is_empty());
            assert_eq!(pop_all(&mut queue, due), [last]);
        }
        assert_eq!((queue.due(), queue.len()), (None, 0));
        // The last one's pause still counts.
        queue.push(&[arp(0, 5)], 1);
        assert_eq!(queue.due(), Some(NOW + 4 * pause));
    }

    #[test]
    fn a_router_that_lost_its_addresses_says_nothing_more() {
        let mut queue = AnnounceQueue::default();
        queue.push(&[arp(0, 3), na(0, 6)], 3);
        queue.push(&[arp(1, 5)], 2);
        queue.forget(0, |_| true);
        assert_eq!(queue.len(), 2);
        assert_eq!(pop_all(&mut queue, NOW), [5, 5]);
        assert!(queue.is_empty());
    }

    #[test]
    fn the_queue_is_bounded_and_counts() {
        let mut queue = AnnounceQueue::default();
        let many = vec![arp(0, 3); 20_000];
        queue.push(&many, 2);
        assert_eq!((queue.len(), queue.dropped()), (QUEUE_LEN, 40_000 - QUEUE_LEN as u64));
    }
}
