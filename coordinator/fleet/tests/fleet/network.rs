//! The truth: hosts on one segment, what they hold, who reaches whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use hafleet_fleet::{ArpAnswer, Heard, InstanceReport, Reference, Refused, Rejected, Snapshot, VrrpState};

pub const SECOND: u64 = 1_000_000;
pub const MS: u64 = 1_000;

pub fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

/// The address everybody fights for.
pub fn vip() -> IpAddr {
    ip(100)
}

/// One VRRP instance as it really is.
#[derive(Clone, Debug)]
pub struct Instance {
    pub report: InstanceReport,
    pub entered_us: u64,
    pub next_advert_us: u64,
    pub heard_master_us: u64,
}

/// One host.
#[derive(Clone, Debug)]
pub struct Host {
    pub name: String,
    pub ip: IpAddr,
    pub mac: String,
    /// The host is powered and runs.
    pub up: bool,
    /// Its agent process runs and is not frozen. A dead agent's kernel keeps what it has.
    pub agent: bool,
    pub journal_id: String,
    pub seq: u64,
    pub instances: Vec<Instance>,
    pub heard: BTreeMap<(u8, IpAddr), Line>,
    /// The configuration that its agent refused.
    pub refused: Option<Refused>,
    /// Why its agent cannot read its orders.
    pub orders_unreadable: Option<String>,
    /// Whether its gateway answers; `None`: it watches none.
    pub gateway: Option<bool>,
}

/// One line of a host's heard table.
#[derive(Clone, Debug)]
pub struct Line {
    pub heard: Heard,
    pub last_us: u64,
    pub rejected_us: u64,
}

/// The segment.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    pub hosts: Vec<Host>,
    /// Pairs `(from, to)` between which nothing passes.
    pub cut: BTreeSet<(String, String)>,
    /// Pairs `(from, to)` between which VRRP does not pass.
    pub filtered: BTreeSet<(String, String)>,
    /// Listeners that reject what they hear, with reason and detail.
    pub rejects: BTreeMap<String, (String, String)>,
    /// Hosts of nobody: MAC and address.
    pub foreign: Vec<(String, IpAddr)>,
    /// Routers of nobody that advertise: source, VRID, addresses.
    pub foreign_adverts: Vec<(IpAddr, u8, Vec<IpAddr>)>,
    /// Members elect by themselves.
    pub elects: bool,
}

pub fn report(name: &str, source: IpAddr, priority: u8) -> InstanceReport {
    InstanceReport {
        instance: name.to_owned(),
        interface: "eth0".to_owned(),
        vrid: 51,
        version: 3,
        state: VrrpState::Backup,
        in_state: Duration::ZERO,
        reason: "started".to_owned(),
        reason_detail: String::new(),
        priority,
        effective_priority: priority,
        interval: Duration::from_secs(1),
        master_down: Duration::from_millis(3_000 + u64::from(255 - priority) * 1000 / 256),
        auth: "none".to_owned(),
        preempt: true,
        addresses: vec![(vip(), 24)],
        addresses_present: Vec::new(),
        source: Some(source),
        carrier: true,
        interface_errors: 0,
        defined_at: format!("agent.toml:{priority}"),
    }
}

impl Host {
    pub fn new(index: u8, name: &str, priority: u8) -> Self {
        let source = ip(index);
        let instance = Instance {
            report: report("VI_1", source, priority),
            entered_us: 0,
            next_advert_us: 0,
            heard_master_us: 0,
        };
        Self {
            name: name.to_owned(),
            ip: source,
            mac: format!("02:00:00:00:00:{index:02x}"),
            up: true,
            agent: true,
            journal_id: format!("journal-of-{name}"),
            seq: 1,
            instances: vec![instance],
            heard: BTreeMap::new(),
            refused: None,
            orders_unreadable: None,
            gateway: None,
        }
    }

    pub fn enter(&mut self, instance: usize, state: VrrpState, reason: &str, now_us: u64) {
        let it = &mut self.instances[instance];
        it.report.state = state;
        it.report.reason = reason.to_owned();
        it.entered_us = now_us;
        it.next_advert_us = now_us;
        it.heard_master_us = now_us;
        it.report.addresses_present = if state == VrrpState::Master {
            it.report.addresses.iter().map(|(address, _)| *address).collect()
        } else {
            Vec::new()
        };
        self.seq += 1;
    }

    pub fn snapshot(&self, now_us: u64) -> Snapshot {
        let instances = self.instances.iter().map(|it| InstanceReport {
            in_state: Duration::from_micros(now_us - it.entered_us),
            ..it.report.clone()
        });
        let heard = self.heard.values().map(|line| {
            let rejected = line.heard.rejected.iter();
            Heard {
                age: Duration::from_micros(now_us - line.last_us),
                rejected: rejected
                    .map(|it| Rejected {
                        age: Duration::from_micros(now_us - line.rejected_us),
                        ..it.clone()
                    })
                    .collect(),
                ..line.heard.clone()
            }
        });
        Snapshot {
            seq: self.seq,
            journal_id: self.journal_id.clone(),
            instances: instances.collect(),
            heard: heard.collect(),
            refused: self.refused.clone(),
            orders_unreadable: self.orders_unreadable.clone(),
            references: self.gateway.into_iter().map(gateway).collect(),
        }
    }

    pub fn works(&self) -> bool {
        self.up && self.agent
    }

    /// Whether its kernel has the address.
    pub fn has(&self, address: IpAddr) -> bool {
        self.ip == address || self.instances.iter().any(|it| it.report.addresses_present.contains(&address))
    }
}

fn gateway(reachable: bool) -> Reference {
    Reference { address: ip(254), interface: "eth0".to_owned(), reachable, age: Duration::ZERO }
}

impl Segment {
    fn passes(&self, from: &str, to: &str) -> bool {
        !self.cut.contains(&(from.to_owned(), to.to_owned()))
    }

    /// Which MACs answer this host's ARP requests.
    pub fn arp(&self, asker: &str, targets: &[IpAddr]) -> Vec<ArpAnswer> {
        let answer = |target: &IpAddr| {
            let others = self.hosts.iter().filter(|host| host.name != asker && host.up && host.has(*target));
            let reached =
                others.filter(|host| self.passes(asker, &host.name) && self.passes(&host.name, asker));
            let foreign = self.foreign.iter().filter(|(_, address)| address == target);
            let macs =
                reached.map(|host| host.mac.clone()).chain(foreign.map(|(mac, _)| mac.clone())).collect();
            ArpAnswer { target: *target, interface: "eth0".to_owned(), macs, error: String::new() }
        };
        targets.iter().map(answer).collect()
    }

    /// Lets one advert be heard by everybody it reaches.
    fn advertise(&mut self, from: &str, advert: &Heard, now_us: u64) {
        for index in 0..self.hosts.len() {
            let to = self.hosts[index].name.clone();
            let filtered = self.filtered.contains(&(from.to_owned(), to.clone()));
            if to == from || filtered || !self.passes(from, &to) || !self.hosts[index].works() {
                continue;
            }
            let rejects = self.rejects.get(&to).cloned();
            let elects = self.elects;
            let host = &mut self.hosts[index];
            let key = (advert.vrid, advert.source);
            let line = host.heard.entry(key).or_insert_with(|| Line {
                heard: advert.clone(),
                last_us: now_us,
                rejected_us: now_us,
            });
            line.last_us = now_us;
            line.heard.priority = advert.priority;
            line.heard.addresses.clone_from(&advert.addresses);
            line.heard.vrid_configured = host.instances.iter().any(|it| it.report.vrid == advert.vrid);
            match rejects {
                Some((reason, detail)) => {
                    line.rejected_us = now_us;
                    let count = line.heard.rejected.first().map_or(0, |it| it.count) + 1;
                    line.heard.rejected = vec![Rejected { reason, count, age: Duration::ZERO, detail }];
                    continue;
                }
                None => line.heard.accepted += 1,
            }
            if elects {
                listen(host, advert, now_us);
            }
        }
    }

    /// What VRRP does by itself at this instant. Names the hosts whose state changed.
    pub fn step(&mut self, now_us: u64) -> BTreeSet<String> {
        let before: Vec<u64> = self.hosts.iter().map(|host| host.seq).collect();
        if self.elects {
            for host in self.hosts.iter_mut().filter(|host| host.works()) {
                for index in 0..host.instances.len() {
                    let it = &host.instances[index];
                    let waited = Duration::from_micros(now_us - it.heard_master_us);
                    if it.report.state == VrrpState::Backup && waited > it.report.master_down {
                        host.enter(index, VrrpState::Master, "master_down", now_us);
                    }
                }
            }
        }
        for index in 0..self.hosts.len() {
            let mut adverts = Vec::new();
            let host = &mut self.hosts[index];
            if !host.works() {
                continue;
            }
            for it in host.instances.iter_mut().filter(|it| it.report.state == VrrpState::Master) {
                if it.next_advert_us <= now_us {
                    it.next_advert_us = now_us + it.report.interval.as_micros() as u64;
                    adverts.push(advert_of(&it.report));
                }
            }
            let from = self.hosts[index].name.clone();
            for advert in adverts {
                self.advertise(&from, &advert, now_us);
            }
        }
        if now_us.is_multiple_of(SECOND) {
            for (source, vrid, addresses) in self.foreign_adverts.clone() {
                let mut advert = advert_of(&report("", source, 90));
                (advert.vrid, advert.addresses) = (vrid, addresses);
                self.advertise("", &advert, now_us);
            }
        }
        let changed = self.hosts.iter().zip(before).filter(|(host, seq)| host.seq != *seq);
        changed.map(|(host, _)| host.name.clone()).collect()
    }

    pub fn host(&mut self, name: &str) -> &mut Host {
        self.hosts.iter_mut().find(|host| host.name == name).unwrap_or_else(|| panic!("no host {name}"))
    }

    /// Who really holds it: MASTER, or a kernel that kept it.
    pub fn holders(&self) -> BTreeSet<String> {
        let holds = |host: &&Host| {
            let master = host.instances.iter().any(|it| it.report.state == VrrpState::Master);
            host.up && (master || host.has(vip()))
        };
        self.hosts.iter().filter(holds).map(|host| host.name.clone()).collect()
    }
}

fn advert_of(report: &InstanceReport) -> Heard {
    Heard {
        interface: "eth0".to_owned(),
        vrid: report.vrid,
        source: report.source.unwrap_or(ip(250)),
        version: report.version,
        priority: report.effective_priority,
        interval: report.interval,
        addresses: report.addresses.iter().map(|(address, _)| *address).collect(),
        auth: report.auth.clone(),
        age: Duration::ZERO,
        accepted: 0,
        rejected: Vec::new(),
        vrid_configured: true,
    }
}

/// A much simplified RFC 9568 section 6.4.
fn listen(host: &mut Host, advert: &Heard, now_us: u64) {
    let own = host.ip;
    for index in 0..host.instances.len() {
        let it = &mut host.instances[index];
        if it.report.vrid != advert.vrid {
            continue;
        }
        let better = (advert.priority, advert.source) > (it.report.effective_priority, own);
        match it.report.state {
            VrrpState::Master if better => {
                host.enter(index, VrrpState::Backup, "higher_priority_heard", now_us)
            }
            VrrpState::Backup if better || !it.report.preempt => it.heard_master_us = now_us,
            VrrpState::Master | VrrpState::Backup | VrrpState::Init | VrrpState::Fault => {}
        }
    }
}
