//! S25: 255 virtual routers on two hosts.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use hafleet_tests::lab::{Capture, Daemon, Instance, Kind, Lab, wait_for};

use crate::{
    pair::{Cast, Node, longest_gap, moment},
    report::{Report, ms},
};

const ALL: usize = 255;
/// Until everything has moved, whoever does it.
const PATIENCE: Duration = Duration::from_secs(30);
/// From the first announced address to the last.
const FIRST_TO_LAST: Duration = Duration::from_millis(100);
/// For how long nothing may move.
const STABLE: Duration = Duration::from_secs(5);

struct Rack {
    nodes: [Node; 2],
    instances: [Vec<Instance>; 2],
    capture: Capture,
    _lab: Lab,
}

/// One for each VRID, with an address of its own.
fn instances(priority: u8, interval: Duration) -> Vec<Instance> {
    let of = |vrid: u8| Instance {
        vrid,
        priority,
        interval,
        vips: vec![format!("10.78.0.{vrid}/32")],
        ..Instance::default()
    };
    (1..=u8::MAX).map(of).collect()
}

impl Rack {
    fn new(cast: Cast, interval: Duration) -> Self {
        let mut lab = Lab::new().unwrap();
        let instances = [150, 100].map(|priority| instances(priority, interval));
        let node =
            |lab: &mut Lab, number, kind, at: usize| Node::new(lab, number, kind, instances[at][0].clone());
        let nodes = [node(&mut lab, 1, cast.higher, 0), node(&mut lab, 2, cast.lower, 1)];
        // Twenty-five thousand adverts a second are for others to read: all goodbyes (priority 0) and three VRIDs.
        let capture = lab
            .capture_only(
                "arp or (ip proto 112 and (ip[22] = 0 or ip[21] = 1 or ip[21] = 128 or ip[21] = 255))",
            )
            .unwrap();
        Self { nodes, instances, capture, _lab: lab }
    }

    fn start(&mut self, at: usize) {
        let node = &self.nodes[at];
        self.nodes[at].daemon = Some(Daemon::start(node.kind, &node.host, &self.instances[at]).unwrap());
    }

    /// How many addresses this host has beside its own.
    fn held(&self, at: usize) -> usize {
        self.nodes[at].host.inet_lines("ens33").unwrap().len() - 1
    }

    fn wait_for_holder(&self, at: usize) {
        wait_for(&format!("host {at} alone to have all addresses"), PATIENCE, || {
            Ok(((self.held(at), self.held(1 - at)) == (ALL, 0)).then_some(()))
        })
        .unwrap_or_else(|error| {
            let held = [0, 1].map(|at| self.held(at));
            let logs = self.nodes.each_ref().map(|node| {
                let log = node.daemon.as_ref().map(Daemon::log).unwrap_or_default();
                log.lines().rev().take(20).collect::<Vec<_>>().join("\n")
            });
            panic!("{error:#}: {held:?}\n{}", logs.join("\n----\n"))
        });
    }

    /// How often an address came to this host since then.
    fn arrivals(&self, at: usize, since: Duration) -> usize {
        let vips = self.instances[at].iter().flat_map(Instance::addresses);
        let came = |vip: &str| self.nodes[at].held_of(vip).iter().filter(|held| held.from >= since).count();
        vips.map(came).sum()
    }

    /// Of how many addresses the higher one was not MASTER when the lower one had waited for long enough, and how often the lower one
    /// took one of the others.
    fn taken_in_time(&self, began: Duration) -> (usize, usize) {
        let (mut late, mut taken) = (0, 0);
        for instance in &self.instances[1] {
            let due = began + instance.first_election();
            for vip in instance.addresses() {
                let first =
                    self.nodes[0].held_of(vip).iter().map(|held| held.from).find(|from| *from >= began);
                if first.is_none_or(|first| first > due) {
                    late += 1;
                } else {
                    taken += self.nodes[1].held_of(vip).iter().filter(|held| held.from >= began).count();
                }
            }
        }
        (late, taken)
    }

    /// When each virtual router's first goodbye came, by its address.
    fn goodbyes(&self, since: Duration) -> BTreeMap<IpAddr, Duration> {
        let mut first = BTreeMap::new();
        for frame in self.capture.since(since) {
            let Some(advert) = frame.advert().filter(|advert| advert.priority() == 0) else { continue };
            first.entry(IpAddr::from([10, 78, 0, advert.vrid()])).or_insert(frame.at);
        }
        first
    }

    /// When each address was first announced by this host since then.
    fn announced(&self, at: usize, since: Duration) -> BTreeMap<IpAddr, Duration> {
        let mac = self.nodes[at].mac();
        let mut first = BTreeMap::new();
        for frame in self.capture.since(since) {
            if let Some(address) = frame.announced().filter(|_| frame.source_mac == mac) {
                first.entry(address).or_insert(frame.at);
            }
        }
        first
    }
}

/// Whether what is seen is ours to answer for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Promise {
    Asserted,
    Told,
}

fn stable(cast: Cast, promise: Promise) {
    let mut report =
        Report::new("S25", cast, format!("255 instances at 10 ms, watched for {} s", STABLE.as_secs()));
    let interval = Duration::from_millis(10);
    let mut rack = Rack::new(cast, interval);
    rack.start(0);
    rack.wait_for_holder(0);
    rack.start(1);
    std::thread::sleep(Duration::from_secs(2));
    let began = moment();
    std::thread::sleep(STABLE);
    let arrivals = [0, 1].map(|at| rack.arrivals(at, began));
    report.saw(format!(
        "addresses that came to the higher one {}, to the lower one {}",
        arrivals[0], arrivals[1]
    ));
    let cadence = |vrid: u8| rack.capture.cadence(began, vrid, rack.nodes[0].source.into());
    let gap = [1, 128, 255].map(|vrid| longest_gap(&cadence(vrid))).into_iter().max().unwrap_or_default();
    // Whoever misses two adverts in a row still hears the third in time.
    report.at_most("longest gap between adverts of VRID 1, 128 and 255", gap, interval * 3);
    assert_eq!((arrivals[0], rack.held(0)), (0, ALL), "the higher one lost an address");
    if promise == Promise::Asserted {
        assert_eq!(arrivals[1], 0, "the lower one took an address");
    }
}

#[test]
fn s25_stable_ours() {
    stable(Cast::OURS, Promise::Asserted);
}

#[test]
fn s25_stable_keepalived_ours_master() {
    stable(Cast::ours_above(Kind::Keepalived), Promise::Told);
}

/// The first and the last of these moments, after `from`.
fn span(times: impl Iterator<Item = Duration>, from: Duration) -> String {
    let times: Vec<Duration> = times.collect();
    let after = |time: Option<&Duration>| time.map_or_else(String::new, |time| ms(time.saturating_sub(from)));
    format!("{} to {} after SIGTERM", after(times.iter().min()), after(times.iter().max()))
}

fn mass_failover(cast: Cast, promise: Promise) {
    let mut report = Report::new("S25", cast, "255 instances at 100 ms: SIGTERM to the higher one");
    let mut rack = Rack::new(cast, Duration::from_millis(100));
    rack.start(0);
    rack.wait_for_holder(0);
    rack.start(1);
    // What came with the takeover is over.
    std::thread::sleep(Duration::from_secs(2));
    rack.wait_for_holder(0);
    let asked = moment();
    rack.nodes[0].daemon().ask_to_stop();
    // One that keepalived did not advertise in time has moved already.
    let vips = || rack.instances[1].iter().flat_map(Instance::addresses);
    let has = |vip: &&str| rack.nodes[1].held_of(vip).last().is_some_and(|held| held.until.is_none());
    let moved = vips().filter(has).count();
    let announced = wait_for("all addresses to be announced", PATIENCE, || {
        Ok(Some(rack.announced(1, asked)).filter(|first| first.len() + moved >= ALL))
    })
    .unwrap_or_else(|error| {
        let announced = rack.announced(1, asked);
        let missing: Vec<_> = vips().filter(|vip| !announced.contains_key(&vip.parse().unwrap())).collect();
        let held: Vec<_> = missing.iter().map(|vip| rack.nodes[1].held_of(vip)).collect();
        panic!("{error:#}: {moved} had moved before, missing {missing:?}, held {held:?}")
    });
    if moved > 0 {
        report.saw(format!("{moved} had moved before"));
        assert!(!cast.higher.is_ours(), "needless takeovers");
    }
    let (first, last) = (announced.values().min().unwrap(), announced.values().max().unwrap());
    let goodbyes = rack.goodbyes(asked);
    let first_to_last = *last - *first;
    report.saw(format!("{} goodbyes, {}", goodbyes.len(), span(goodbyes.values().copied(), asked)));
    let left = vips().filter_map(|vip| rack.nodes[0].held_of(vip).last()?.until);
    report.saw(format!("addresses left the higher one {}", span(left, asked)));
    let came = vips().filter_map(|vip| Some(rack.nodes[1].held_of(vip).last()?.from));
    report.saw(format!("came to the lower one {}", span(came, asked)));
    report.saw(format!("and were announced {}", span(announced.values().copied(), asked)));
    match promise {
        Promise::Asserted => {
            assert_eq!(goodbyes.len(), ALL);
            report.at_most("first announced address to last", first_to_last, FIRST_TO_LAST);
        }
        Promise::Told => report.saw(format!("first announced address to last {}", ms(first_to_last))),
    }
    rack.nodes[0].stop();
    rack.wait_for_holder(1);
}

#[test]
fn s25_mass_failover_ours() {
    mass_failover(Cast::OURS, Promise::Asserted);
}

#[test]
fn s25_mass_failover_keepalived_ours_backup() {
    mass_failover(Cast::ours_below(Kind::Keepalived), Promise::Asserted);
}

#[test]
fn s25_mass_failover_keepalived_ours_master() {
    mass_failover(Cast::ours_above(Kind::Keepalived), Promise::Told);
}

fn simultaneous_start(cast: Cast, interval: Duration, promise: Promise) {
    let tried = format!("255 instances at {} ms start on both hosts at once", interval.as_millis());
    let mut report = Report::new("S25", cast, tried);
    let mut rack = Rack::new(cast, interval);
    let began = moment();
    let [lower, higher] = std::thread::scope(|scope| {
        let start = |at: usize| {
            let (node, instances) = (&rack.nodes[at], &rack.instances[at]);
            let (kind, host) = (node.kind, &node.host);
            scope.spawn(move || Daemon::start(kind, host, instances).unwrap())
        };
        [start(1), start(0)].map(|thread| thread.join().unwrap())
    });
    (rack.nodes[0].daemon, rack.nodes[1].daemon) = (Some(higher), Some(lower));
    rack.wait_for_holder(0);
    let came = rack.arrivals(1, began);
    report.saw(format!("addresses that came to the lower one: {came}"));
    let needless = if cast.higher.is_ours() {
        came
    } else {
        // Its priority gives keepalived 0.2 s at an interval of a second, which its start with hundreds of instances may take
        // alone: whoever is not there yet cannot be waited for.
        let (late, taken) = rack.taken_in_time(began);
        report.saw(format!("the higher one was too late for {late}"));
        taken
    };
    if promise == Promise::Asserted {
        assert_eq!(needless, 0, "needless takeovers");
    }
}

const SECOND: Duration = Duration::from_secs(1);
const TENTH: Duration = Duration::from_millis(100);

#[test]
fn s25_simultaneous_start_1_s_ours() {
    simultaneous_start(Cast::OURS, SECOND, Promise::Asserted);
}

#[test]
fn s25_simultaneous_start_1_s_keepalived_ours_backup() {
    simultaneous_start(Cast::ours_below(Kind::Keepalived), SECOND, Promise::Asserted);
}

#[test]
fn s25_simultaneous_start_1_s_keepalived_ours_master() {
    simultaneous_start(Cast::ours_above(Kind::Keepalived), SECOND, Promise::Told);
}

#[test]
fn s25_simultaneous_start_100_ms_ours() {
    simultaneous_start(Cast::OURS, TENTH, Promise::Asserted);
}

#[test]
fn s25_simultaneous_start_100_ms_keepalived_ours_backup() {
    simultaneous_start(Cast::ours_below(Kind::Keepalived), TENTH, Promise::Asserted);
}
