//! Two routers of one virtual router beside each other, and everything that watches them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use hafleet_tests::lab::{
    Capture, Daemon, Held, Host, Instance, Kind, Lab, Watch, macvlan, macvlan_mac, now, wait_for,
};
use pnet::util::MacAddr;

/// The virtual address of every test that has one.
pub const VIP: &str = "10.77.0.100";
/// Long enough for whatever must happen at 1 s adverts on a busy machine; nothing is measured by it.
pub const SOON: Duration = Duration::from_secs(10);
/// What an upper bound has beyond the protocol: two processes woken one after the other, on two cores that other tests
/// use too.
pub const WAKE: Duration = Duration::from_millis(50);
/// What a lower bound lacks: a capture's time is taken when the frame passes the switch, a router's when it reads it.
pub const TICK: Duration = Duration::from_millis(2);

/// Who has which part.
#[derive(Clone, Copy, Debug)]
pub struct Cast {
    pub higher: Kind,
    pub lower: Kind,
}

impl Cast {
    /// Ours on both sides.
    pub const OURS: Self = Self { higher: Kind::Ours, lower: Kind::Ours };

    /// Ours with the higher priority.
    pub const fn ours_above(peer: Kind) -> Self {
        Self { higher: Self::ours_beside(peer), lower: peer }
    }

    /// Ours with the lower priority.
    pub const fn ours_below(peer: Kind) -> Self {
        Self { higher: peer, lower: Self::ours_beside(peer) }
    }

    /// Beside keepalived ours reads keepalived's own file.
    const fn ours_beside(peer: Kind) -> Kind {
        match peer {
            Kind::Keepalived => Kind::OursByKeepalivedConf,
            Kind::Ours | Kind::OursByKeepalivedConf | Kind::Frr => Kind::Ours,
        }
    }

    /// Who is not ours, if somebody is not.
    pub const fn peer(self) -> Kind {
        if self.higher.is_ours() { self.lower } else { self.higher }
    }

    /// Which part ours has.
    pub const fn part(self) -> &'static str {
        match (self.higher.is_ours(), self.lower.is_ours()) {
            (true, true) => "both",
            (true, false) => "higher",
            (false, _) => "lower",
        }
    }
}

/// One router: a host, its daemon when it runs, and when its kernel had the address.
pub struct Node {
    pub host: Host,
    pub kind: Kind,
    pub instance: Instance,
    pub source: Ipv4Addr,
    /// Where IPv6 is used.
    pub link_local: Option<Ipv6Addr>,
    pub daemon: Option<Daemon>,
    watch: Watch,
}

impl Node {
    pub fn new(lab: &mut Lab, number: u8, kind: Kind, instance: Instance) -> Self {
        let source = Ipv4Addr::new(10, 77, 0, 1 + number);
        let host = lab.host(&format!("lb{number:02}"), &format!("{source}/24")).unwrap();
        if instance.is_ipv6() {
            host.ip(&["addr", "add", &format!("2001:db8::{}/64", 1 + number), "dev", "ens33", "nodad"])
                .unwrap();
        }
        let link_local = instance.is_ipv6().then(|| host.link_local("ens33").unwrap());
        let watch = host.watch().unwrap();
        Self { host, kind, instance, source, link_local, daemon: None, watch }
    }

    pub fn start(&mut self) {
        self.daemon =
            Some(Daemon::start(self.kind, &self.host, std::slice::from_ref(&self.instance)).unwrap());
    }

    pub fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("the daemon runs")
    }

    pub fn stop(&mut self) {
        self.daemon.take().expect("the daemon runs").stop().unwrap();
    }

    pub fn crash(&mut self) {
        self.daemon.take().expect("the daemon runs").crash().unwrap();
    }

    /// The MAC address that its adverts and announcements come from.
    pub fn mac(&self) -> MacAddr {
        match self.kind {
            Kind::Frr => macvlan_mac(&self.instance),
            Kind::Ours | Kind::OursByKeepalivedConf | Kind::Keepalived if self.instance.vmac => {
                macvlan_mac(&self.instance)
            }
            Kind::Ours | Kind::OursByKeepalivedConf | Kind::Keepalived => self.host.mac("ens33").unwrap(),
        }
    }

    /// The IP source of its adverts; FRR's IPv6 ones come from its macvlan interface.
    pub fn speaks_from(&self) -> IpAddr {
        match (self.link_local, self.kind) {
            (None, _) => self.source.into(),
            (Some(_), Kind::Frr) => self.host.link_local(&macvlan(&self.instance)).unwrap().into(),
            (Some(own), Kind::Ours | Kind::OursByKeepalivedConf | Kind::Keepalived) => own.into(),
        }
    }

    /// The address that is watched: the first one that is not link-local.
    pub fn vip(&self) -> &str {
        self.instance.addresses().find(|address| !address.starts_with("fe80:")).unwrap()
    }

    /// When its kernel served the address. FRR keeps it on an interface that it sets up or down.
    pub fn held(&self) -> Vec<Held> {
        match self.kind {
            Kind::Frr => self.watch.up(&macvlan(&self.instance)),
            Kind::Ours | Kind::OursByKeepalivedConf | Kind::Keepalived => self.held_of(self.vip()),
        }
    }

    /// When its kernel had this address.
    pub fn held_of(&self, address: &str) -> Vec<Held> {
        self.watch.held(address)
    }

    pub fn holds(&self) -> bool {
        self.held().last().is_some_and(|held| held.until.is_none())
    }

    /// The state in the daemon's own words; FRR is asked only rarely, it takes a while.
    pub fn state(&self) -> Option<String> {
        self.daemon().state(self.instance.vrid).unwrap()
    }

    /// How often it changed its state, in the daemon's own words.
    pub fn transitions(&self) -> u64 {
        self.daemon().transitions(self.instance.vrid).unwrap()
    }

    /// Waits until the daemon says so.
    pub fn wait_for_state(&self, state: &str) {
        wait_for(&format!("{} on {} to be {state}", self.kind.name(), self.host.name()), SOON, || {
            Ok((self.state().as_deref() == Some(state)).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}", self.daemon().log()));
    }
}

/// Two routers on one switch. `nodes[0]` is 10.77.0.2, `nodes[1]` is 10.77.0.3.
pub struct Pair {
    pub nodes: [Node; 2],
    pub client: Host,
    pub capture: Capture,
    pub lab: Lab,
}

impl Pair {
    /// Nothing runs yet.
    pub fn new(first: (Kind, Instance), second: (Kind, Instance)) -> Self {
        let mut lab = Lab::new().unwrap();
        let nodes = [Node::new(&mut lab, 1, first.0, first.1), Node::new(&mut lab, 2, second.0, second.1)];
        let client = lab.client("client", "10.77.0.9/24").unwrap();
        let capture = lab.capture().unwrap();
        Self { nodes, client, capture, lab }
    }

    /// The usual: priorities 150 and 100, the higher one in `nodes[0]`, both started, the higher one MASTER.
    pub fn elected(cast: Cast, instance: &Instance) -> Self {
        let mut pair = Self::new(
            (cast.higher, Instance { priority: 150, ..instance.clone() }),
            (cast.lower, Instance { priority: 100, ..instance.clone() }),
        );
        for node in &mut pair.nodes {
            node.start();
        }
        pair.wait_for_holder(0);
        pair
    }

    /// Waits until this node has the address and the other one has not.
    pub fn wait_for_holder(&self, index: usize) {
        self.wait_for_holders(
            |holders| holders[index] && !holders[1 - index],
            &format!("node {index} alone"),
        );
    }

    /// Waits until both have it.
    pub fn wait_for_two_holders(&self) {
        self.wait_for_holders(|holders| holders == [true, true], "both nodes");
    }

    fn wait_for_holders(&self, is_so: impl Fn([bool; 2]) -> bool, who: &str) {
        let asked = wait_for(&format!("{who} to have the address"), SOON, || {
            Ok(is_so([self.nodes[0].holds(), self.nodes[1].holds()]).then_some(()))
        });
        asked.unwrap_or_else(|error| panic!("{error:#}\n{}", self.logs()));
    }

    /// Waits for the next advert of this node since `from`; when it passed the switch.
    pub fn advert(&self, index: usize, from: Duration) -> Duration {
        self.advert_with(index, from, |priority| priority > 0)
    }

    /// The same with a condition on its priority.
    pub fn advert_with(&self, index: usize, from: Duration, priority: impl Fn(u8) -> bool) -> Duration {
        let node = &self.nodes[index];
        let found = self.capture.advert(from, SOON, node.instance.vrid, node.speaks_from(), priority);
        found.unwrap_or_else(|error| panic!("{error:#}\n{}", self.logs())).0
    }

    /// The last advert of this node before `until`, goodbyes left out.
    pub fn last_advert(&self, index: usize, until: Duration) -> Duration {
        let times = self.cadence(index, Duration::ZERO);
        *times.iter().rfind(|at| **at < until).expect("it advertised before")
    }

    /// When this node advertised since `from`.
    pub fn cadence(&self, index: usize, from: Duration) -> Vec<Duration> {
        let node = &self.nodes[index];
        self.capture.cadence(from, node.instance.vrid, node.speaks_from())
    }

    /// When this node announced the address since `from`.
    pub fn announcements(&self, index: usize, from: Duration) -> Vec<Duration> {
        let address: IpAddr = self.nodes[index].vip().parse().unwrap();
        self.capture.announcements(from, address, self.nodes[index].mac())
    }

    /// Lets time pass in which something must not happen, or go on happening.
    pub fn watch_for(&self, time: Duration) {
        std::thread::sleep(time);
    }

    pub fn logs(&self) -> String {
        let log = |node: &Node| {
            let said = node.daemon.as_ref().map(Daemon::log).unwrap_or_default();
            format!("---- {} ({}) held {:?}:\n{said}", node.host.name(), node.kind.name(), node.held())
        };
        self.nodes.iter().map(log).collect::<Vec<_>>().join("\n")
    }
}

/// The longest time between two adverts.
pub fn longest_gap(times: &[Duration]) -> Duration {
    times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or_default()
}

/// Now, by the clock of the captures.
pub fn moment() -> Duration {
    now()
}
