//! S21: routers that know each other by name.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use hafleet_tests::lab::{Capture, Instance, Kind, Lab, wait_for};

use crate::{
    pair::{Cast, Node, SOON, TICK, VIP, WAKE, moment},
    report::Report,
};

const TTL: u8 = 64;
const OURS: Kind = Kind::OursByKeepalivedConf;

/// Routers 10.77.0.2 and so on, each with these priorities and the others as its peers.
struct Rack {
    nodes: Vec<Node>,
    capture: Capture,
    _lab: Lab,
}

/// A router and how it speaks.
struct Router {
    kind: Kind,
    priority: u8,
    ttl: u8,
    /// The others, by their place.
    peers: Vec<usize>,
}

fn address(place: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, u8::try_from(place).unwrap() + 2)
}

impl Router {
    fn instance(&self, place: usize) -> Instance {
        let peers: String = self
            .peers
            .iter()
            .map(|peer| format!("        {} min_ttl {TTL} max_ttl {TTL}\n", address(*peer)))
            .collect();
        let keepalived = format!(
            "    unicast_src_ip {}\n    unicast_ttl {}\n    check_unicast_src\n    unicast_peer {{\n{peers}    }}\n",
            address(place),
            self.ttl
        );
        Instance { priority: self.priority, keepalived, ..Instance::default() }
    }
}

impl Rack {
    fn new(routers: &[Router]) -> Self {
        let mut lab = Lab::new().unwrap();
        let capture = lab.capture().unwrap();
        let nodes = (1..).zip(routers).enumerate();
        let nodes = nodes
            .map(|(place, (number, router))| Node::new(&mut lab, number, router.kind, router.instance(place)))
            .collect();
        Self { nodes, capture, _lab: lab }
    }

    fn cadence(&self, place: usize, from: Duration) -> Vec<Duration> {
        self.capture.cadence(from, 51, address(place).into())
    }

    fn advert(&self, place: usize, from: Duration, goodbye: bool) -> Duration {
        let found =
            self.capture.advert(from, SOON, 51, address(place).into(), |priority| (priority == 0) == goodbye);
        found.unwrap_or_else(|error| panic!("{error:#}\n{}", self.logs())).0
    }

    fn wait_for_holder(&self, place: usize) {
        wait_for(&format!("router {place} alone to have the address"), SOON, || {
            Ok(self.nodes.iter().enumerate().all(|(at, node)| node.holds() == (at == place)).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}", self.logs()));
    }

    fn logs(&self) -> String {
        let log = |node: &Node| node.daemon.as_ref().map(|daemon| daemon.log()).unwrap_or_default();
        self.nodes.iter().map(|node| format!("---- {}\n{}", node.host.name(), log(node))).collect()
    }

    /// Every advert goes to a peer, each peer gets its own, and no other TTL or group is used.
    fn assert_adverts(&self) {
        let everybody: Vec<IpAddr> = (0..self.nodes.len()).map(|place| address(place).into()).collect();
        for (place, node) in self.nodes.iter().enumerate() {
            let own = IpAddr::from(address(place));
            let mut told = std::collections::BTreeSet::new();
            for frame in self.capture.frames() {
                let Some(advert) = frame.advert().filter(|advert| advert.source == own) else { continue };
                assert_eq!((advert.ttl, advert.tos), (TTL, 0xC0), "{:?}", node.kind);
                assert!(everybody.contains(&advert.destination), "{advert:?}");
                assert!(advert.is_right_with_pseudo_header(), "{advert:?}");
                told.insert(advert.destination);
            }
            let others: std::collections::BTreeSet<IpAddr> =
                everybody.iter().copied().filter(|address| *address != own).collect();
            assert_eq!(told, others, "{:?}", node.kind);
        }
    }
}

fn three(kinds: [Kind; 3], part: &'static str) {
    let peer = kinds.into_iter().find(|kind| !kind.is_ours()).unwrap_or(Kind::Ours);
    let cast = Cast { higher: Kind::Ours, lower: peer };
    let tried = "three routers at 100 ms, TTL 64 asked of each other: the first dies, the second is stopped, both return";
    let mut report = Report::with_part("S21", cast, part, tried);
    let routers: Vec<Router> = kinds
        .into_iter()
        .zip([150, 120, 100])
        .enumerate()
        .map(|(place, (kind, priority))| Router {
            kind,
            priority,
            ttl: TTL,
            peers: (0..3).filter(|peer| *peer != place).collect(),
        })
        .collect();
    let mut rack = Rack::new(&routers);
    for node in &mut rack.nodes {
        node.start();
    }
    rack.wait_for_holder(0);
    let interval = Instance::default().interval;
    rack.advert(0, moment(), false);
    // As a crash leaves it; whatever address stays behind goes with the lease, or by hand.
    let died = moment();
    rack.nodes[0].crash();
    let last = rack.cadence(0, Duration::ZERO).into_iter().rfind(|at| *at < died + WAKE).unwrap();
    let taken = rack.advert(1, last, false);
    let down = rack.nodes[1].instance.master_down(interval);
    report.time("the second took over after the first's last advert", taken - last, down - TICK, down + WAKE);
    if !kinds[0].is_ours() {
        rack.nodes[0].host.ip(&["addr", "del", &format!("{VIP}/24"), "dev", "ens33"]).unwrap();
    }
    rack.wait_for_holder(1);
    assert!(rack.cadence(2, died).is_empty(), "{}", rack.logs());
    report.saw("the third said nothing");
    let asked = moment();
    rack.nodes[1].stop();
    let goodbye = rack.advert(1, asked, true);
    let taken = rack.advert(2, goodbye, false);
    let skew = rack.nodes[2].instance.skew(interval);
    report.time("the third took over after the second's goodbye", taken - goodbye, skew - TICK, skew + WAKE);
    rack.wait_for_holder(2);
    for place in [1, 0] {
        let back = moment();
        rack.nodes[place].start();
        rack.advert(place, back, false);
        rack.wait_for_holder(place);
    }
    report.saw("started again, the second and then the first took it back");
    rack.assert_adverts();
    report.saw("every advert to every peer and to nobody else, TTL 64");
}

#[test]
fn s21_unicast_of_three_ours() {
    three([OURS, OURS, OURS], "all");
}

#[test]
fn s21_unicast_of_three_keepalived_ours_first_and_third() {
    three([OURS, Kind::Keepalived, OURS], "highest and lowest");
}

#[test]
fn s21_unicast_of_three_keepalived_ours_second() {
    three([Kind::Keepalived, OURS, Kind::Keepalived], "between");
}

/// A better router whose adverts must not count, beside one of ours that must not move.
fn not_believed(router: Router, tried: &str, reason: &str, values: &[&str]) {
    let cast = Cast { higher: router.kind, lower: Kind::Ours };
    let peer = Cast { higher: Kind::Ours, lower: cast.higher };
    let mut report = Report::with_part("S21", peer, "lower", tried);
    let ours = Router { kind: OURS, priority: 100, ttl: TTL, peers: vec![2] };
    let other = Router { peers: vec![0], ..router };
    // The place between is a router that does not exist, or the stranger's.
    let place = if reason == "ttl" { 2 } else { 1 };
    let mut lab = Lab::new().unwrap();
    let capture = lab.capture().unwrap();
    let mut nodes = vec![Node::new(&mut lab, 1, ours.kind, ours.instance(0))];
    nodes.push(Node::new(&mut lab, u8::try_from(place + 1).unwrap(), other.kind, other.instance(place)));
    let mut rack = Rack { nodes, capture, _lab: lab };
    rack.nodes[0].start();
    wait_for("ours to have it", SOON, || Ok(rack.nodes[0].holds().then_some(()))).unwrap();
    let before = rack.nodes[0].transitions();
    let began = moment();
    rack.nodes[1].start();
    let source = address(place).to_string();
    wait_for(&format!("adverts of {source} to be rejected"), SOON, || {
        let heard = rack.nodes[0].daemon().heard(51, &source)?;
        let count = heard.and_then(|heard| {
            let rejected = heard["rejected"].as_array()?.iter().find(|one| one["reason"] == reason)?.clone();
            let detail = rejected["detail"].as_str()?.to_owned();
            assert!(values.iter().all(|value| detail.contains(value)), "{detail}");
            assert_eq!(heard["accepted"], 0);
            rejected["count"].as_u64()
        });
        Ok(count.filter(|count| *count >= 10))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", rack.logs()));
    report.saw(format!("its adverts are counted as {reason}"));
    let interval = Instance::default().interval;
    let gap = crate::pair::longest_gap(&rack.cadence(0, began));
    report.at_most("longest gap between ours", gap, interval + WAKE);
    assert_eq!((rack.nodes[0].held().len(), rack.nodes[0].transitions()), (1, before));
    report.saw("ours did not move");
}

#[test]
fn s21_ttl_range_keepalived() {
    let router = Router { kind: Kind::Keepalived, priority: 150, ttl: TTL - 1, peers: Vec::new() };
    not_believed(router, "a better peer's adverts arrive with TTL 63, 64 is asked for", "ttl", &["63", "64"]);
}

#[test]
fn s21_ttl_range_ours() {
    let router = Router { kind: OURS, priority: 150, ttl: TTL - 1, peers: Vec::new() };
    not_believed(router, "a better peer's adverts arrive with TTL 63, 64 is asked for", "ttl", &["63", "64"]);
}

#[test]
fn s21_source_check_keepalived() {
    let router = Router { kind: Kind::Keepalived, priority: 150, ttl: TTL, peers: Vec::new() };
    not_believed(router, "a better router that is no peer sends to ours", "unknown_peer", &["10.77.0.3"]);
}

#[test]
fn s21_source_check_ours() {
    let router = Router { kind: OURS, priority: 150, ttl: TTL, peers: Vec::new() };
    not_believed(router, "a better router that is no peer sends to ours", "unknown_peer", &["10.77.0.3"]);
}
