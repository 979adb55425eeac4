//! S22: all of it with IPv6.

use std::{net::IpAddr, time::Duration};

use hafleet_tests::lab::{Content, Instance, Kind, overlap};

use crate::{
    pair::{Cast, Node, Pair, TICK, WAKE, moment},
    report::{Report, ms},
};

const VIP6: &str = "2001:db8::100";
const GROUP: &str = "ff02::12";
/// The default lease, and what the kernel adds to it (see the freezes).
const LEASE: Duration = Duration::from_millis(3_750);

fn ipv6() -> Instance {
    Instance { vips: vec!["fe80::5:1/64".into(), format!("{VIP6}/64")], ..Instance::default() }
}

/// By how much the first advert of this router may be late: FRR's source address comes with the interface that it sets
/// up, and its first advert finds none.
fn slow(kind: Kind) -> Duration {
    if kind == Kind::Frr { ipv6().interval } else { Duration::ZERO }
}

/// Every header field, and what the message says.
fn assert_adverts(pair: &Pair, node: &Node) -> usize {
    let own = node.speaks_from();
    let frames = pair.capture.frames();
    let of_node = frames.iter().filter(|frame| frame.source_mac == node.mac());
    let mut count = 0;
    for (frame, advert) in of_node.filter_map(|frame| Some((frame, frame.advert()?))) {
        count += 1;
        assert_eq!(
            (advert.source, advert.destination),
            (own, GROUP.parse::<IpAddr>().unwrap()),
            "{:?}",
            node.kind
        );
        assert_eq!(frame.target_mac.to_string(), "33:33:00:00:00:12");
        assert_eq!((advert.ttl, advert.version(), advert.kind()), (255, 3, 1), "{:?}", node.kind);
        assert!([node.instance.priority, 0].contains(&advert.priority()), "{advert:?}");
        assert_eq!((advert.interval_ms(), advert.reserved()), (100, 0), "{advert:?}");
        assert!(advert.is_right_with_pseudo_header(), "{:?} {advert:?}", node.kind);
        assert_eq!(advert.addresses().last(), Some(&VIP6.parse().unwrap()), "{advert:?}");
        if node.kind != Kind::Frr {
            assert_eq!(advert.tos, 0xC0, "{:?}", node.kind);
            assert_eq!(advert.addresses().len(), 2, "{advert:?}");
        }
    }
    count
}

/// The announcements of a takeover, field by field, and that the client's neighbour entry followed them.
fn assert_announced(report: &mut Report, pair: &Pair, index: usize, taken: Duration) {
    let node = &pair.nodes[index];
    pair.watch_for(WAKE);
    let mut count = 0;
    for frame in pair.capture.since(taken - WAKE) {
        let Content::Neighbor(neighbor) = frame.content else { continue };
        if frame.source_mac != node.mac() || neighbor.target.to_string() != VIP6 || neighbor.flags & 0x40 != 0
        {
            continue;
        }
        count += 1;
        assert_eq!(frame.target_mac.to_string(), "33:33:00:00:00:01");
        assert_eq!((neighbor.destination.to_string().as_str(), neighbor.hop_limit), ("ff02::1", 255));
        // Override without Solicited; FRR calls itself a router.
        assert_eq!(neighbor.flags & 0x60, 0x20, "{:?} {neighbor:?}", node.kind);
        assert_eq!(neighbor.mac, Some(node.mac()), "{:?} {neighbor:?}", node.kind);
    }
    report.saw(format!("{count} unsolicited NAs of {VIP6} to ff02::1, hop limit 255, override"));
    let entry = pair.client.ip(&["-6", "neigh", "show", VIP6]).unwrap();
    let follows = entry.contains(&node.mac().to_string());
    report.saw(if follows {
        "the client's neighbour entry is the new holder's"
    } else {
        "**the client's neighbour entry is the old holder's still**"
    });
    if node.kind != Kind::Frr {
        assert!(count >= 5, "announced {count} times\n{}", pair.logs());
        assert!(follows, "{entry} is not of {}", node.mac());
    }
}

/// The client knows the address by its holder's MAC.
fn ask(pair: &Pair, holder: usize) {
    pair.client.ip(&["-6", "neigh", "flush", "to", VIP6]).unwrap();
    pair.client.run("ping", &["-6", "-c", "1", "-W", "2", VIP6]).unwrap();
    let entry = pair.client.ip(&["-6", "neigh", "show", VIP6]).unwrap();
    assert!(entry.contains(&pair.nodes[holder].mac().to_string()), "{entry}\n{}", pair.logs());
}

fn election_and_takeover(cast: Cast) {
    let mut report = Report::new("S22", cast, "version 3 at 100 ms: the lower starts alone, then the higher");
    let instance = ipv6();
    let mut pair = Pair::new(
        (cast.higher, Instance { priority: 150, ..instance.clone() }),
        (cast.lower, instance.clone()),
    );
    pair.client.ip(&["addr", "add", "2001:db8::9/64", "dev", "eth0", "nodad"]).unwrap();
    pair.client.link_local("eth0").unwrap();
    let began = moment();
    pair.nodes[1].start();
    pair.wait_for_holder(1);
    ask(&pair, 1);
    pair.nodes[0].start();
    pair.wait_for_holder(0);
    let taken = pair.advert(0, began);
    pair.watch_for(instance.interval * 2);
    let late = pair.cadence(1, taken + WAKE);
    assert!(late.is_empty(), "the lower one went on advertising: {late:?}\n{}", pair.logs());
    let both = overlap(&pair.nodes[0].held(), &pair.nodes[1].held(), began, moment());
    report.at_most("both had it for", both, WAKE + slow(cast.higher));
    assert_announced(&mut report, &pair, 0, taken);
    pair.nodes[0].wait_for_state("MASTER");
    pair.nodes[1].wait_for_state("BACKUP");

    report.row("the higher one's processes are killed (SIGKILL) and stay dead");
    ask(&pair, 0);
    pair.advert(0, moment());
    // FRR's is looked up while its interface is there.
    let spoke_from = pair.nodes[0].speaks_from();
    pair.nodes[0].crash();
    let died = moment();
    let sent = pair.capture.cadence(Duration::ZERO, 51, spoke_from);
    let last = *sent.iter().rfind(|at| **at < died).unwrap();
    let taken = pair.advert(1, last);
    let down = pair.nodes[1].instance.master_down(instance.interval);
    let early = if cast.lower == Kind::Frr { Duration::from_millis(10) } else { TICK };
    report.time(
        "taken over after the last advert",
        taken - last,
        down - early,
        down + WAKE + slow(cast.lower),
    );
    assert_announced(&mut report, &pair, 1, taken);
    pair.watch_for((died + LEASE + WAKE).saturating_sub(moment()));
    match pair.nodes[0].held().last().unwrap().until {
        Some(until) => {
            report.at_most("its kernel dropped the address after", until.saturating_sub(died), LEASE + WAKE);
        }
        None => {
            assert!(!cast.higher.is_ours(), "the lease did not end it\n{}", pair.logs());
            report.saw(format!("both have it, {} ms after the takeover still", ms(moment() - taken)));
        }
    }

    report.row("adverts of both: ff02::12, hop limit 255, checksum, addresses");
    for node in &pair.nodes {
        let count = assert_adverts(&pair, node);
        assert!(count >= 3, "{count} adverts of {:?}", node.kind);
        report.saw(format!("{} from its link-local address: {count} as expected", node.kind.name()));
    }
}

#[test]
fn s22_ipv6_ours() {
    election_and_takeover(Cast::OURS);
}

#[test]
fn s22_ipv6_keepalived_ours_master() {
    election_and_takeover(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s22_ipv6_keepalived_ours_backup() {
    election_and_takeover(Cast::ours_below(Kind::Keepalived));
}

#[test]
fn s22_ipv6_frr_ours_master() {
    election_and_takeover(Cast::ours_above(Kind::Frr));
}

#[test]
fn s22_ipv6_frr_ours_backup() {
    election_and_takeover(Cast::ours_below(Kind::Frr));
}

fn stopped(cast: Cast) {
    let mut report = Report::new("S22", cast, "SIGTERM to the higher one");
    let mut pair = Pair::elected(cast, &ipv6());
    pair.advert(0, moment());
    let asked = moment();
    pair.nodes[0].daemon().ask_to_stop();
    let goodbye = pair.advert_with(0, asked, |priority| priority == 0);
    report.at_most("priority 0 on the wire after", goodbye.saturating_sub(asked), WAKE);
    let taken = pair.advert(1, goodbye);
    let skew = pair.nodes[1].instance.skew(pair.nodes[1].instance.interval);
    let early = if cast.lower == Kind::Frr { Duration::from_millis(10) } else { TICK };
    report.time(
        "taken over after that (the skew)",
        taken - goodbye,
        skew - early,
        skew + WAKE + slow(cast.lower),
    );
    pair.nodes[0].stop();
    pair.wait_for_holder(1);
    let both = overlap(&pair.nodes[0].held(), &pair.nodes[1].held(), asked, moment());
    report.at_most("both had it for", both, Duration::ZERO);
}

#[test]
fn s22_ipv6_stopped_ours() {
    stopped(Cast::OURS);
}

#[test]
fn s22_ipv6_stopped_keepalived_ours_master() {
    stopped(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s22_ipv6_stopped_keepalived_ours_backup() {
    stopped(Cast::ours_below(Kind::Keepalived));
}

#[test]
fn s22_ipv6_stopped_frr_ours_master() {
    stopped(Cast::ours_above(Kind::Frr));
}
