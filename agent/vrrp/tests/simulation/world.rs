//! The world: calendar, network, and the shell's part of each agent.

use std::{collections::BTreeMap, fmt::Write as _, net::IpAddr, time::Duration};

use hafleet_vrrp::{
    AddressFault, AdvertInterval, Announcing, Authentication, ChecksumForm, Config, Input, Instant, Output,
    Path, PathId, Priority, State, Version, Vip, VirtualRouter, VirtualRouterId,
    packet::{self, Datagram, GROUP_V4, Header, Verdict},
};

use crate::{
    chance::Chance,
    host::{Event, Host, LEASE, RENEWAL, Witness, Work},
    invariants::{self, Watch},
};

pub type Step = Result<(), String>;

/// How bad the world is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub loss_percent: u64,
    pub duplicate_percent: u64,
    /// The longest a packet travels. Each one's time is its own, so they overtake each other.
    pub delay: Duration,
    /// The longest the kernel works on one address.
    pub kernel: Duration,
    /// The longest a timer is late.
    pub lateness: Duration,
}

/// What happened, summed up over seeds to show that something did.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub steps: u64,
    pub faults: u64,
    pub takeovers: u64,
    pub transitions: u64,
    pub overlaps: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub refused: u64,
    pub expired: u64,
    pub repaired: u64,
}

pub struct World {
    pub now: Instant,
    pub hosts: Vec<Host>,
    pub chance: Chance,
    pub weather: Weather,
    pub paths: u8,
    /// `(from, to, path)` that does not deliver.
    pub blocked: BTreeMap<(usize, usize, u8), ()>,
    calendar: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    pub watch: Watch,
    pub tally: Tally,
    story: Option<String>,
}

impl World {
    pub fn new(seed: u64, is_told: bool) -> Self {
        let mut chance = Chance::new(seed);
        let now = Instant::from_micros(1_000_000);
        let paths = if chance.percent(25) { 2 } else { 1 };
        let hosts: Vec<Host> =
            configs(&mut chance, paths).into_iter().map(|config| Host::new(config, now)).collect();
        let shortest = hosts.iter().map(|host| host.config.interval.as_duration()).min().unwrap();
        let weather = Weather {
            loss_percent: chance.pick(&[0, 0, 5, 30]),
            duplicate_percent: chance.pick(&[0, 10]),
            delay: shortest / chance.pick(&[1_000, 50, 10]),
            kernel: shortest / 100,
            lateness: shortest / 200,
        };
        let watch = Watch::new(hosts.len());
        let mut world = Self {
            now,
            hosts,
            chance,
            weather,
            paths,
            blocked: BTreeMap::new(),
            calendar: BTreeMap::new(),
            sequence: 0,
            watch,
            tally: Tally::default(),
            story: is_told.then(String::new),
        };
        for host in 0..world.hosts.len() {
            let config = &world.hosts[host].config;
            let line = format!(
                "host {host}: {} priority {} interval {} cs {:?} preempt {} delay {:?}",
                config.source(),
                config.priority,
                config.interval.as_centiseconds(),
                config.version,
                config.preempt,
                config.preempt_delay,
            );
            world.tell(&line);
            world.schedule(RENEWAL, Event::Renewal { host });
        }
        world.tell(&format!("{weather:?}, {paths} paths"));
        world
    }

    pub fn run(&mut self) -> Step {
        for host in 0..self.hosts.len() {
            // Some together, some apart.
            let after = self.chance.pick(&[Duration::ZERO, Duration::from_millis(1), Duration::from_secs(2)]);
            self.schedule(after, Event::Restart { host });
        }
        self.schedule(self.longest_interval(), Event::Chaos);
        let chaos_ends = self.now + self.longest_interval() * 60;
        self.run_until(chaos_ends)?;
        self.heal()?;
        let (settled, end) = self.horizon();
        self.watch.must_serve_from(settled);
        self.run_until(settled)?;
        self.run_until(end)?;
        self.check_quiet(end)
    }

    /// Everything up to an instant, checked after every step.
    pub fn run_until(&mut self, end: Instant) -> Step {
        while let Some((&(at, sequence), _)) = self.calendar.first_key_value()
            && at <= end
        {
            let Some(event) = self.calendar.remove(&(at, sequence)) else { break };
            self.now = at;
            self.tally.steps += 1;
            self.check()?;
            self.happen(event)?;
            self.check()?;
        }
        self.now = end;
        self.check()
    }

    pub fn schedule(&mut self, after: Duration, event: Event) {
        self.sequence += 1;
        self.calendar.insert((self.now + after, self.sequence), event);
    }

    pub fn happen(&mut self, event: Event) -> Step {
        match event {
            Event::Packet { to, path, source, payload } => self.receive(to, path, source, payload),
            Event::Deadline { host, at } => {
                // Another is in the calendar, or the process sleeps and looks at the clock when it thaws.
                if self.hosts[host].scheduled != Some(at) || !self.hosts[host].is_awake() {
                    return Ok(());
                }
                self.hosts[host].scheduled = None;
                self.give(host, Input::Deadline)
            }
            Event::Renewal { host } => {
                self.renew(host);
                self.schedule(RENEWAL, Event::Renewal { host });
                Ok(())
            }
            Event::Kernel { host, life, work } => self.work(host, life, work),
            Event::Link { host } => self.give_link(host),
            Event::Removed { host, life, vip } => {
                if self.hosts[host].life != life {
                    return Ok(());
                }
                if self.hosts[host].is_frozen {
                    self.hosts[host].keep(Event::Removed { host, life, vip });
                    return Ok(());
                }
                self.give(host, Input::AddressFault { vip, fault: AddressFault::Removed })
            }
            Event::Chaos => self.chaos(),
            Event::Thaw { host } => self.thaw(host),
            Event::Restart { host } => self.restart(host),
            Event::Unblock { from, to, path } => {
                self.blocked.remove(&(from, to, path));
                Ok(())
            }
            Event::LinkUp { host } => self.link_up(host),
            Event::Comply { host } => {
                self.hosts[host].refuses = false;
                Ok(())
            }
            Event::Unhold { host } => self.unhold(host),
        }
    }

    fn receive(&mut self, to: usize, path: u8, source: IpAddr, payload: Vec<u8>) -> Step {
        let host = &mut self.hosts[to];
        if host.router.is_none() || (path == 0 && host.link.is_err()) {
            return Ok(());
        }
        if host.is_frozen {
            host.keep(Event::Packet { to, path, source, payload });
            return Ok(());
        }
        let header = Header::peek(&payload).ok_or("an advert without a header was sent")?;
        self.note_advert(to, source, header.priority, header.interval_cs);
        let datagram = Datagram { source, destination: GROUP_V4.into(), ttl: packet::TTL, payload: &payload };
        self.give(to, Input::Packet { path: PathId(path), datagram })?;
        let verdict = self.hosts[to].router.as_ref().and_then(VirtualRouter::last_verdict);
        match verdict {
            Some(Verdict::Accepted(received)) if received.remarks.is_empty() => Ok(()),
            other => Err(format!("host {to} made of a good advert: {other:?}")),
        }?;
        self.hosts[to].witness.hearing = None;
        Ok(())
    }

    /// Notes what a follower must follow, apart from the router.
    fn note_advert(&mut self, to: usize, source: IpAddr, priority: u8, interval_cs: u16) {
        let now = self.now;
        let host = &mut self.hosts[to];
        host.witness.hearing = Some((source, priority, interval_cs));
        let ours = host.config.priority.get();
        match host.state() {
            State::Backup if priority == 0 => host.witness.resigned_at = Some(now),
            State::Backup if priority >= ours || !host.config.preempt => {
                host.witness.begin(now, interval_cs);
            }
            State::Backup => {
                let shortest = host.witness.lower_cs.unwrap_or(interval_cs).min(interval_cs);
                host.witness.lower_cs = Some(shortest);
            }
            State::Init | State::Master | State::Fault => {}
        }
    }

    /// One input, its outputs carried out, its deadline put into the calendar.
    pub fn give(&mut self, index: usize, input: Input<'_>) -> Step {
        let now = self.now;
        if self.story.is_some() {
            let text = match &input {
                Input::Packet { path, datagram } => {
                    let header = Header::peek(datagram.payload);
                    format!(
                        "hears {} from {} on {}",
                        header.map_or(0, |header| header.priority),
                        datagram.source,
                        path.0
                    )
                }
                other => format!("{other:?}"),
            };
            self.tell(&format!("host {index}: {text}"));
        }
        let was_deadline = matches!(input, Input::Deadline);
        invariants::note(&mut self.hosts[index], &input, now);
        let Some(router) = &mut self.hosts[index].router else { return Ok(()) };
        router.handle(input, now);
        let outputs: Vec<Output> = std::iter::from_fn(|| router.next_output()).collect();
        if was_deadline && router.deadline().is_some_and(|deadline| deadline <= now) {
            return Err(format!("host {index}: the deadline handled leaves one that is past"));
        }
        if outputs.len() > 8 {
            return Err(format!("host {index}: a storm of {} outputs", outputs.len()));
        }
        let mut reached: BTreeMap<usize, bool> = BTreeMap::new();
        for output in outputs {
            match output {
                Output::SendAdvertisement { path, source, payload, .. } => {
                    self.watch.adverts[index] += 1;
                    self.send(index, path.0, source, &payload, &mut reached);
                }
                Output::HoldAddresses(vips) => {
                    vips.into_iter().for_each(|vip| self.ask(index, Work::Add(vip)))
                }
                Output::ReleaseAddresses(vips) => {
                    vips.into_iter().for_each(|vip| self.ask(index, Work::Remove(vip)));
                }
                Output::Announce(_) => {}
                Output::Transition(transition) => {
                    self.tell(&format!(
                        "host {index}: {} -> {}: {}",
                        transition.from, transition.to, transition.reason
                    ));
                    self.check_transition(index, &transition)?;
                }
            }
        }
        for (to, has_reached) in reached {
            if !has_reached {
                self.watch.obstructed(index, to, now);
            }
        }
        self.plan_deadline(index);
        Ok(())
    }

    /// The deadline with the timer's lateness.
    fn plan_deadline(&mut self, index: usize) {
        let deadline = self.hosts[index].router.as_ref().and_then(VirtualRouter::deadline);
        let Some(deadline) = deadline else { return };
        if self.hosts[index].scheduled == Some(deadline) {
            return;
        }
        self.hosts[index].scheduled = Some(deadline);
        let late = self.chance.up_to(self.weather.lateness);
        let after = deadline.since(self.now) + late;
        self.schedule(after, Event::Deadline { host: index, at: deadline });
    }

    fn send(
        &mut self,
        from: usize,
        path: u8,
        source: IpAddr,
        payload: &[u8],
        reached: &mut BTreeMap<usize, bool>,
    ) {
        for to in (0..self.hosts.len()).filter(|to| *to != from) {
            let is_lost = self.blocked.contains_key(&(from, to, path))
                || (path == 0 && (self.hosts[from].link.is_err() || self.hosts[to].link.is_err()))
                || self.chance.percent(self.weather.loss_percent);
            *reached.entry(to).or_default() |= !is_lost;
            if is_lost {
                self.tally.lost += 1;
                continue;
            }
            let copies = if self.chance.percent(self.weather.duplicate_percent) { 2 } else { 1 };
            self.tally.duplicated += copies - 1;
            for _ in 0..copies {
                let after = self.chance.up_to(self.weather.delay);
                self.schedule(after, Event::Packet { to, path, source, payload: payload.to_vec() });
            }
        }
    }

    fn ask(&mut self, index: usize, work: Work) {
        let takes = self.chance.up_to(self.weather.kernel);
        let host = &mut self.hosts[index];
        host.kernel_free_at = host.kernel_free_at.max(self.now) + takes;
        let (after, life) = (host.kernel_free_at.since(self.now), host.life);
        self.schedule(after, Event::Kernel { host: index, life, work });
    }

    fn work(&mut self, index: usize, life: u32, work: Work) -> Step {
        let host = &mut self.hosts[index];
        if host.life != life {
            return Ok(());
        }
        if host.is_frozen {
            host.keep(Event::Kernel { host: index, life, work });
            return Ok(());
        }
        match work {
            Work::Add(vip) if host.refuses => {
                self.tally.refused += 1;
                let fault = AddressFault::Refused("Permission denied".to_owned());
                host.witness.refused_at = Some(self.now);
                self.give(index, Input::AddressFault { vip, fault })
            }
            Work::Add(vip) => {
                host.kernel.insert(vip.address, self.now + LEASE);
                self.give(index, Input::AddressHeld(vip))
            }
            Work::Remove(vip) => {
                host.kernel.remove(&vip.address);
                Ok(())
            }
        }
    }

    /// The shell renews what its router holds; what ended meanwhile the kernel reports, to a frozen process
    /// when it thaws. What a killed one left just ends.
    pub fn renew(&mut self, index: usize) {
        let now = self.now;
        let host = &mut self.hosts[index];
        let is_renewed = host.is_awake() && host.state() == State::Master;
        let life = host.life;
        for vip in host.config.vips.clone() {
            let Some(until) = self.hosts[index].kernel.get_mut(&vip.address) else { continue };
            if *until > now {
                if is_renewed {
                    *until = now + LEASE;
                }
                continue;
            }
            self.hosts[index].kernel.remove(&vip.address);
            self.tally.expired += 1;
            if self.hosts[index].router.is_some() {
                self.schedule(Duration::ZERO, Event::Removed { host: index, life, vip });
            }
        }
    }

    /// A new process. It finds what a killed one left behind and reports it, as the shell must.
    pub fn restart(&mut self, index: usize) -> Step {
        let now = self.now;
        let host = &mut self.hosts[index];
        if host.router.is_some() {
            return Ok(());
        }
        let mut router = VirtualRouter::new(host.config.clone());
        if let Err(fault) = host.link {
            router.handle(Input::LinkDown { path: PathId::SERVICE, fault }, now);
        }
        host.router = Some(router);
        host.life += 1;
        host.is_held = false;
        host.well_since = now;
        host.kernel_free_at = now;
        host.witness = Witness::new(now, host.config.interval.as_centiseconds());
        self.give(index, Input::Start { adopt: false })?;
        let vips = self.hosts[index].config.vips.clone();
        for vip in vips {
            if self.hosts[index].holds(vip.address, now) && self.hosts[index].state() != State::Master {
                self.give(index, Input::AddressFault { vip, fault: AddressFault::Foreign })?;
            }
        }
        Ok(())
    }

    /// Takes what chaos still planned out of the calendar.
    pub fn forget_faults(&mut self) {
        self.calendar.retain(|_, event| !Self::is_fault(event));
    }

    pub fn longest_interval(&self) -> Duration {
        self.hosts.iter().map(|host| host.config.interval.as_duration()).max().unwrap()
    }

    pub fn tell(&mut self, what: &str) {
        if let Some(story) = &mut self.story {
            let _ = writeln!(story, "{:>12} {what}", self.now.as_micros());
        }
    }

    pub fn story(&self) -> String {
        self.story.clone().unwrap_or_default()
    }
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.faults += other.faults;
        self.takeovers += other.takeovers;
        self.transitions += other.transitions;
        self.overlaps += other.overlaps;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.refused += other.refused;
        self.expired += other.expired;
        self.repaired += other.repaired;
    }
}

/// Two to four routers of one group. With two paths the priorities differ: the addresses are ordered differently on the
/// second one, and a tie on two paths is a unit test's matter.
fn configs(chance: &mut Chance, paths: u8) -> Vec<Config> {
    let count = u8::try_from(2 + chance.below(3)).unwrap();
    let version = chance.pick(&[Version::V2, Version::V3, Version::V3]);
    let common_cs = match version {
        Version::V2 => 100,
        Version::V3 => chance.pick(&[10, 25, 100]),
    };
    let learns = version == Version::V3 && chance.percent(20);
    let vips: Vec<Vip> = (0..chance.pick(&[1_u8, 1, 3]))
        .map(|n| Vip { address: IpAddr::from([10, 77, 0, 100 + n]), prefix_len: 24, advertised: n != 1 })
        .collect();
    (0..count)
        .map(|n| {
            let priority = match paths {
                1 => chance.pick(&[1, 50, 100, 100, 150, 254, 255]),
                _ => 50 + 50 * n,
            };
            let cs = if learns { chance.pick(&[10, 25, 100]) } else { common_cs };
            let source = |path: u8| {
                let host = if path == 0 { 10 + n } else { 250 - n };
                Path { source: IpAddr::from([10, 77 + path, 0, host]), peers: Vec::new() }
            };
            let config = Config {
                name: format!("VI_{n}"),
                vrid: VirtualRouterId::new(51).unwrap(),
                version,
                priority: Priority::new(priority).unwrap(),
                interval: AdvertInterval::from_centiseconds(cs, version).unwrap(),
                preempt: !chance.percent(20),
                preempt_delay: Duration::from_millis(chance.pick(&[0, 0, 0, 500, 5_000])),
                authentication: Authentication::None,
                checksum: if chance.percent(50) {
                    ChecksumForm::WithPseudoHeader
                } else {
                    ChecksumForm::WithoutPseudoHeader
                },
                vips: vips.clone(),
                paths: (0..paths).map(source).collect(),
                announcing: Announcing::default(),
                tracks: Vec::new(),
                track_service: true,
                answers_lower: true,
                answers_higher: false,
            };
            config.validate().unwrap();
            config
        })
        .collect()
}
