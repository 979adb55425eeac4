//! The world: calendar, network, and the shell's part of each agent.

use std::{collections::BTreeMap, fmt::Write as _, net::IpAddr, time::Duration};

use hafleet_vrrp::{AddressFault, HoldCause, Input, Instant, Output, VirtualRouter, packet::Header};

use crate::{
    chance::Chance,
    group,
    host::{Event, Host, LEASE, RENEWAL, Work},
    invariants::{self, Watch},
    network::Advert,
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
    pub adopted: u64,
    pub handed_over: u64,
    /// The same for maintenance.
    pub maintained: u64,
    pub tracked: u64,
    pub reconfigured: u64,
    /// Taken over by order.
    pub ordered: u64,
    /// The longest time for which two had an address while the better one could be heard.
    pub longest_overlap: Duration,
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
    /// Whether orders are given. Some worlds know none, those of `FOUND` among them: they stay the runs that they were.
    pub has_orders: bool,
    story: Option<String>,
}

impl World {
    pub fn new(seed: u64, is_told: bool) -> Self {
        let mut chance = Chance::new(seed);
        let now = Instant::from_micros(1_000_000);
        let paths = if chance.percent(25) { 2 } else { 1 };
        let hosts: Vec<Host> =
            group::configs(&mut chance, paths).into_iter().map(|config| Host::new(config, now)).collect();
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
            has_orders: (seed % 7).is_multiple_of(2),
            story: is_told.then(String::new),
        };
        for host in 0..world.hosts.len() {
            let config = &world.hosts[host].config;
            let line = format!(
                "host {host}: {} priority {} interval {} cs {:?} preempt {} delay {:?} unicast {} {:?} {} {}",
                config.source(),
                config.priority,
                config.interval.as_centiseconds(),
                config.version,
                config.preempt,
                config.preempt_delay,
                !config.paths[0].peers.is_empty(),
                config.tracks,
                config.track_service,
                config.answers_lower,
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
            self.end_what_is_stopped();
            self.check()?;
        }
        self.now = end;
        self.check()
    }

    /// A process that was asked to end does when its addresses are handed over.
    fn end_what_is_stopped(&mut self) {
        for host in &mut self.hosts {
            let hands_over = host.router.as_ref().is_some_and(VirtualRouter::is_handing_over);
            if host.is_stopping && !hands_over {
                host.is_stopping = false;
                host.router = None;
                host.scheduled = None;
            }
        }
    }

    pub fn schedule(&mut self, after: Duration, event: Event) {
        self.sequence += 1;
        self.calendar.insert((self.now + after, self.sequence), event);
    }

    pub fn happen(&mut self, event: Event) -> Step {
        match event {
            Event::Packet { to, path, source, destination, payload } => {
                self.receive(to, path, source, destination, payload)
            }
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
                self.report_leftovers(host)
            }
            Event::Kernel { host, life, work } => self.work(host, life, work),
            Event::Link { host } => self.give_link(host),
            Event::Removed { host, life, vip } => {
                if self.hosts[host].life != life || self.hosts[host].router.is_none() {
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
            Event::Override { host, life } => self.tell_override(host, life),
            Event::TakeOver { host, life } => self.take_over(host, life),
            Event::Result { host, life, name } => self.result(host, life, name),
            Event::Mend { host, name } => self.mend(host, name),
            Event::Reload { host, life } => self.reload(host, life),
            Event::Readdress { host, vips } => self.readdress(host, vips),
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
        let was_stop = matches!(input, Input::Stop { .. });
        let was_maintenance = matches!(input, Input::Hold(HoldCause::Maintenance));
        invariants::note(&mut self.hosts[index], &input, now);
        let Some(router) = &mut self.hosts[index].router else { return Ok(()) };
        router.handle(input, now);
        let outputs: Vec<Output> = std::iter::from_fn(|| router.next_output()).collect();
        if was_deadline && router.deadline().is_some_and(|deadline| deadline <= now) {
            return Err(format!("host {index}: the deadline handled leaves one that is past"));
        }
        if outputs.len() > 4 + self.hosts.len() * usize::from(self.paths) {
            return Err(format!("host {index}: a storm of {} outputs", outputs.len()));
        }
        let mut reached: BTreeMap<usize, bool> = BTreeMap::new();
        let had = self.hosts[index].wanted.clone();
        for output in outputs {
            match output {
                Output::SendAdvertisement { path, source, destination, payload } => {
                    self.watch.adverts[index] += 1;
                    let advert = Advert { from: index, path: path.0, source, destination, payload: &payload };
                    self.send(&advert, &mut reached);
                }
                Output::HoldAddresses(vips) => {
                    self.hosts[index].wanted.extend(vips.iter().map(|vip| vip.address));
                    vips.into_iter().for_each(|vip| self.ask(index, Work::Add(vip)));
                }
                Output::ReleaseAddresses(vips) => {
                    self.hosts[index].wanted.retain(|held| !vips.iter().any(|vip| vip.address == *held));
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
        let host = &mut self.hosts[index];
        if !had.is_subset(&host.wanted) {
            host.left_master_at = now;
        }
        let hands_over = host.router.as_ref().is_some_and(VirtualRouter::is_handing_over);
        self.tally.handed_over += u64::from(was_stop && hands_over);
        self.tally.maintained += u64::from(was_maintenance && hands_over);
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
        let (is_awake, life) = (host.is_awake(), host.life);
        let wanted = host.wanted.clone();
        let vips = host.running().vips.clone();
        let ended: Vec<IpAddr> =
            host.kernel.iter().filter(|(_, until)| **until <= now).map(|(address, _)| *address).collect();
        for (_, until) in host.kernel.iter_mut().filter(|(address, _)| is_awake && wanted.contains(address)) {
            if *until > now {
                *until = now + LEASE;
            }
        }
        for address in ended {
            self.hosts[index].kernel.remove(&address);
            self.tally.expired += 1;
            let vip = vips.iter().copied().find(|vip| vip.address == address);
            if let (Some(vip), true) = (vip, self.hosts[index].router.is_some()) {
                self.schedule(Duration::ZERO, Event::Removed { host: index, life, vip });
            }
        }
    }

    /// Takes what chaos still planned out of the calendar.
    pub fn forget_faults(&mut self) {
        self.calendar.retain(|_, event| !Self::is_fault(event));
    }

    pub fn longest_interval(&self) -> Duration {
        self.hosts.iter().map(|host| host.longest_cs).max().map(crate::causes::interval).unwrap()
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
        self.adopted += other.adopted;
        self.handed_over += other.handed_over;
        self.maintained += other.maintained;
        self.tracked += other.tracked;
        self.reconfigured += other.reconfigured;
        self.ordered += other.ordered;
        self.longest_overlap = self.longest_overlap.max(other.longest_overlap);
    }
}
