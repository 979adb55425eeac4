use alloc::vec;
use core::net::Ipv4Addr;

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
    let ttl = Verdict::Rejected(Rejection::Ttl { heard: 64 });
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
    assert_eq!((table.entries().len(), table.by_age.len()), (3, 3));
}
