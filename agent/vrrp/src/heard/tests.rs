use alloc::vec;
use core::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::packet::{GROUP_V4, Rejection};

const KEEPALIVED: [u8; 20] = [0x21, 51, 150, 1, 0, 1, 0x3e, 0x19, 10, 77, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0];

fn datagram(host: u32, payload: &[u8]) -> Datagram<'_> {
    let source = Ipv4Addr::from(0x0a4d_0000 + host).into();
    Datagram { source, destination: GROUP_V4.into(), ttl: 255, payload }
}

fn at(us: u64) -> Instant {
    Instant::from_micros(us)
}

#[test]
fn what_was_said_and_what_became_of_it() {
    let mut table = HeardTable::default();
    table.record(&datagram(2, &KEEPALIVED), None, at(1));
    let ttl = Verdict::Rejected(Rejection::Ttl { heard: 64, least: 255, most: 255 });
    table.record(&datagram(2, &KEEPALIVED), Some(&ttl), at(2));
    table.record(&datagram(2, &KEEPALIVED[..3]), Some(&ttl), at(3));
    let entries: Vec<_> = table.entries().collect();
    let [entry] = entries.as_slice() else { panic!("one source expected: {entries:?}") };
    assert_eq!((entry.vrid, entry.version, entry.priority, entry.interval_cs), (51, 2, 150, 100));
    assert_eq!(entry.addresses, [IpAddr::from([10, 77, 0, 100])]);
    assert_eq!((entry.auth.as_str(), entry.checksum_form), ("none", ""));
    assert_eq!((entry.last_heard, entry.accepted, entry.vrid_configured), (at(3), 0, true));
    let detail = String::from("TTL is 64, must be 255");
    assert_eq!(entry.rejected, vec![Rejected { reason: "ttl", count: 2, last: at(3), detail }]);
}

#[test]
fn packets_that_name_no_vrid_are_counted() {
    let mut table = HeardTable::default();
    table.record(&datagram(2, &[]), None, at(1));
    table.record(&datagram(2, &[0x21]), None, at(1));
    table.record(&datagram(2, &[0x21, 0]), None, at(1));
    assert_eq!((table.unreadable(), table.entries().len()), (3, 0));
}

#[test]
fn the_longest_unheard_makes_room() {
    let mut table = HeardTable::with_capacity(3);
    for (host, us) in [(1, 10), (2, 11), (3, 12), (1, 13), (4, 14)] {
        table.record(&datagram(host, &KEEPALIVED), None, at(us));
    }
    let sources: Vec<_> = table.entries().map(|entry| entry.source).collect();
    assert_eq!(sources, [1, 3, 4].map(|host| IpAddr::from([10, 77, 0, host])));
    assert_eq!(table.evicted(), 1);
    for host in 0..100_000 {
        table.record(&datagram(host, &KEEPALIVED), None, at(20));
    }
    assert_eq!((table.entries().len(), table.by_worth.len()), (3, 3));
}

fn advert_of(count: u8) -> Vec<u8> {
    let mut payload = vec![0x21, 51, 150, count, 0, 1, 0, 0];
    for number in 0..count {
        payload.extend([10, 77, 1, number]);
    }
    payload.extend([0; 8]);
    payload
}

#[test]
fn long_address_lists_and_details_are_cut_and_counted() {
    let payload = advert_of(255);
    let mut table = HeardTable::default();
    table.record(&datagram(2, &payload), None, at(1));
    let lengths = |table: &HeardTable| {
        let entry = table.entries().next().unwrap();
        (entry.addresses.len(), entry.addresses_left_out)
    };
    assert_eq!(lengths(&table), (FOREIGN_ADDRESSES_MAX, 247));
    assert_eq!(table.entries().next().unwrap().addresses[7], IpAddr::from([10, 77, 1, 7]));
    let ttl = Verdict::Rejected(Rejection::Ttl { heard: 64, least: 255, most: 255 });
    table.record(&datagram(2, &payload), Some(&ttl), at(2));
    assert_eq!(lengths(&table), (ADDRESSES_MAX, 191));
    table.record(&datagram(2, &advert_of(64)), Some(&ttl), at(3));
    assert_eq!(lengths(&table), (ADDRESSES_MAX, 0));

    let mut list = Vec::new();
    count(&mut list, "long", &"ab".repeat(1000), at(1));
    count(&mut list, "wide", &format_args!("{}{}", "é".repeat(100), "é".repeat(100)), at(1));
    count(&mut list, "exact", &"x".repeat(DETAIL_LEN_MAX), at(1));
    count(&mut list, "steps", &format_args!("{}{}", "x".repeat(DETAIL_LEN_MAX), "y"), at(1));
    let lengths: Vec<_> = list.iter().map(|known| known.detail.len()).collect();
    assert_eq!(lengths, [256, 255, 256, 256]);
    let cut: Vec<_> = list.iter().map(|known| known.detail.ends_with('…')).collect();
    assert_eq!(cut, [true, true, false, true]);
}

/// Found by fuzzing: the list of a router that is gone stayed long when the next packet was too short to have one.
#[test]
fn a_list_is_cut_when_its_router_is_gone() {
    let mut table = HeardTable::default();
    let ttl = Verdict::Rejected(Rejection::Ttl { heard: 64, least: 255, most: 255 });
    table.record(&datagram(2, &advert_of(65)), Some(&ttl), at(1));
    table.record(&datagram(2, &[0x21, 51]), None, at(2));
    let entry = table.entries().next().unwrap();
    assert_eq!((entry.addresses.len(), entry.addresses_left_out), (FOREIGN_ADDRESSES_MAX, 57));
}

#[test]
fn ten_minutes_of_silence_are_forgotten() {
    let ttl = Verdict::Rejected(Rejection::Ttl { heard: 64, least: 255, most: 255 });
    let minutes = |minutes: u64| at(minutes * 60_000_000);
    let mut table = HeardTable::default();
    table.record(&datagram(1, &KEEPALIVED), None, minutes(1));
    table.record(&datagram(2, &KEEPALIVED), Some(&ttl), minutes(2));
    table.record(&datagram(3, &KEEPALIVED), None, minutes(3));
    let hosts = |table: &HeardTable| table.entries().map(|entry| entry.source).collect::<Vec<_>>();
    let host = |host: u8| IpAddr::from([10, 77, 0, host]);
    table.forget_silent(at(11 * 60_000_000 - 1));
    assert_eq!(hosts(&table), [host(1), host(2), host(3)]);
    table.forget_silent(minutes(11));
    assert_eq!(hosts(&table), [host(2), host(3)]);
    // A packet of anybody does it too.
    table.record(&datagram(3, &KEEPALIVED), None, minutes(12));
    assert_eq!((hosts(&table), table.aged_out(), table.evicted()), (vec![host(3)], 2, 0));
    assert_eq!(table.by_worth.len(), 1);
}

#[test]
fn a_flood_of_foreign_packets_displaces_no_source_that_concerns_a_router_here() {
    let ttl = Verdict::Rejected(Rejection::Ttl { heard: 64, least: 255, most: 255 });
    let mut table = HeardTable::with_capacity(3);
    table.record(&datagram(1, &KEEPALIVED), Some(&ttl), at(1));
    for host in 2..100 {
        table.record(&datagram(host, &KEEPALIVED), None, at(u64::from(host)));
    }
    let sources: Vec<_> = table.entries().map(|entry| entry.source).collect();
    assert_eq!(sources, [1, 98, 99].map(|host| IpAddr::from([10, 77, 0, host])));
}

/// What the table promises, by looking at everything every time.
#[derive(Default)]
struct Plain {
    sources: Vec<(Worth, Instant, u32)>,
    evicted: u64,
    aged_out: u64,
}

impl Plain {
    fn record(&mut self, host: u32, worth: Worth, now: Instant, capacity: usize) {
        let before = self.sources.len();
        self.sources.retain(|(_, at, _)| now.since(*at) < FORGOTTEN_AFTER);
        self.aged_out += (before - self.sources.len()) as u64;
        if let Some(known) = self.sources.iter_mut().find(|(_, _, known)| *known == host) {
            *known = (worth, now, host);
            return;
        }
        if self.sources.len() >= capacity {
            let least = *self.sources.iter().min().unwrap();
            self.sources.retain(|one| *one != least);
            self.evicted += 1;
        }
        self.sources.push((worth, now, host));
    }
}

proptest! {
    #[test]
    fn who_makes_room_and_who_is_forgotten_does_not_depend_on_how_it_is_found(
        packets in prop::collection::vec((0..8_u32, any::<bool>(), 0..200_000_000_u64), 1..200),
    ) {
        let ttl = Verdict::Rejected(Rejection::Ttl { heard: 64, least: 255, most: 255 });
        let (mut table, mut plain, mut us) = (HeardTable::with_capacity(5), Plain::default(), 0);
        for (host, is_configured, later_us) in packets {
            us += later_us + 1;
            let (verdict, worth) =
                if is_configured { (Some(&ttl), Worth::Rejected) } else { (None, Worth::Foreign) };
            table.record(&datagram(host, &KEEPALIVED), verdict, at(us));
            plain.record(host, worth, at(us), 5);
            let mut expected: Vec<_> =
                plain.sources.iter().map(|(_, last, host)| (datagram(*host, &[]).source, *last)).collect();
            expected.sort_unstable();
            let found: Vec<_> = table.entries().map(|entry| (entry.source, entry.last_heard)).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!((table.evicted(), table.aged_out()), (plain.evicted, plain.aged_out));
            prop_assert_eq!(table.by_worth.len(), table.entries.len());
        }
    }
}
