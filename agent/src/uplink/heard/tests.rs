use std::net::{IpAddr, Ipv6Addr};

use hafleet_proto::v1::Snapshot;
use hafleet_vrrp::{
    Instant,
    heard::{ADDRESSES_MAX, DETAIL_LEN_MAX, HeardAdvert, HeardTable, Rejected},
    packet::{Datagram, GROUP_V4, Rejection, Verdict},
};
use prost::Message;

use super::*;
use crate::{driver::EngineSnapshot, uplink::wire};

/// The longest messages that a receiver of gRPC takes unless told otherwise.
const GRPC_MESSAGE_LEN_MAX: usize = 4 * 1024 * 1024;

fn snapshot(heard: Vec<(String, HeardAdvert)>) -> Snapshot {
    let engine = EngineSnapshot { heard, ..EngineSnapshot::default() };
    wire::snapshot(&engine, &wire::Asides::default(), 1, Instant::from_micros(10_000), 0)
}

fn source(host: u32) -> IpAddr {
    IpAddr::from((0x0a4d_0000 + host).to_be_bytes())
}

/// What a segment's worth of junk leaves in the tables of a few interfaces: adverts of 255 addresses.
fn flooded() -> Vec<(String, HeardAdvert)> {
    let mut payload = vec![0x21, 51, 150, 255, 0, 1, 0, 0];
    payload.extend([10; 255 * 4 + 8]);
    let mut table = HeardTable::default();
    let ttl = Verdict::Rejected(Rejection::Ttl { heard: 64, least: 255, most: 255 });
    for host in 0..2000 {
        let datagram =
            Datagram { source: source(host), destination: GROUP_V4.into(), ttl: 64, payload: &payload };
        // The first is one of ours; the others are nobody's.
        table.record(&datagram, (host == 0).then_some(&ttl), Instant::from_micros(u64::from(host)));
    }
    let interfaces = ["ens33", "ens34", "ens35"].map(str::to_owned);
    let of = |interface: &String| {
        table.entries().map(|entry| (interface.clone(), entry.clone())).collect::<Vec<_>>()
    };
    interfaces.iter().flat_map(of).collect()
}

#[test]
fn a_flood_leaves_what_matters_and_the_last_heard() {
    let heard = flooded();
    assert_eq!(heard.len(), 3 * 1024);
    let told = snapshot(heard).heard;
    assert_eq!(told.len(), SOURCES_MAX);
    let ours: Vec<_> = told.iter().filter(|one| one.vrid_configured).map(|one| &one.interface).collect();
    assert_eq!(ours, ["ens33", "ens34", "ens35"]);
    let oldest = told.iter().filter(|one| !one.vrid_configured).map(|one| one.last_heard_age_us).max();
    // 253 places for three interfaces: the last 85 of each at most.
    assert_eq!(oldest, Some(10_000 - 1999 + 84));
    let in_order = told.iter().map(|one| &one.interface).is_sorted();
    assert!(in_order, "the order of the table is kept");
}

#[test]
fn few_are_told_whole() {
    let heard: Vec<_> = flooded().into_iter().take(SOURCES_MAX).collect();
    assert_eq!(snapshot(heard).heard.len(), SOURCES_MAX);
}

#[test]
fn the_longest_snapshot_fits_a_grpc_message() {
    let mut longest = flooded().remove(0);
    longest.0 = "a".repeat(15);
    longest.1.addresses = vec![IpAddr::V6(Ipv6Addr::from([0xfd; 16])); ADDRESSES_MAX];
    // More reasons than there are.
    let rejected = Rejected {
        reason: "a_rejection_of_a_long_name",
        count: u64::MAX,
        last: Instant::from_micros(0),
        detail: "x".repeat(DETAIL_LEN_MAX),
    };
    longest.1.rejected = vec![rejected; 20];
    let len = snapshot(vec![longest; 10_000]).encoded_len();
    assert!(len < GRPC_MESSAGE_LEN_MAX * 3 / 4, "{len} bytes");
}
