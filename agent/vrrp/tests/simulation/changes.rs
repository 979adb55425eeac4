//! What people and programs change while it runs: watched things, configurations, processes that start again.

use std::time::Duration;

use hafleet_vrrp::{
    AddressFault, Config, Input, Override, PathId, State, TrackId, TrackResult, Vip, VirtualRouter,
};

use crate::{
    group::{self, WATCHED},
    host::{Event, Witness},
    world::{Step, World},
};

impl World {
    /// A watched thing fails, or works where that is what fails.
    pub fn fail(&mut self, host: usize, lasts: Duration) -> Step {
        let name = self.chance.pick(&WATCHED);
        self.tell(&format!("host {host}: {name} changes for {lasts:?}"));
        self.turn(host, name)?;
        self.schedule(lasts, Event::Mend { host, name });
        Ok(())
    }

    /// It is as it was at first.
    pub fn mend(&mut self, host: usize, name: &'static str) -> Step {
        if self.hosts[host].watched.contains_key(name) { self.turn(host, name) } else { Ok(()) }
    }

    fn turn(&mut self, host: usize, name: &'static str) -> Step {
        let it = &mut self.hosts[host];
        if it.watched.remove(name).is_none() {
            it.watched.insert(name.to_owned(), TrackResult::Down);
        }
        self.tally.tracked += 1;
        let life = self.hosts[host].life;
        self.result(host, life, name)
    }

    /// Nothing that is watched forbids to serve, and the process knows it.
    pub fn set_right(&mut self, host: usize) -> Step {
        for name in WATCHED {
            let track = self.hosts[host].config.tracks.iter().find(|track| track.name == name);
            let is_reverse = track.is_some_and(|track| track.reverse);
            self.hosts[host].watched.remove(name);
            if is_reverse {
                self.hosts[host].watched.insert(name.to_owned(), TrackResult::Down);
            }
            let life = self.hosts[host].life;
            self.result(host, life, name)?;
        }
        Ok(())
    }

    /// A check tells the process how the thing is now.
    pub fn result(&mut self, host: usize, life: u32, name: &'static str) -> Step {
        let it = &mut self.hosts[host];
        if it.life != life || it.router.is_none() {
            return Ok(());
        }
        if it.is_frozen {
            it.keep(Event::Result { host, life, name });
            return Ok(());
        }
        let result = it.watched.get(name).copied().unwrap_or(TrackResult::Up);
        let Some(at) = it.running().tracks.iter().position(|track| track.name == name) else { return Ok(()) };
        let track = TrackId(u16::try_from(at).unwrap());
        let before = it.priority();
        it.told.insert(name.to_owned(), result);
        self.rank_may_have_changed(host, before);
        self.give(host, Input::Track { track, result, detail: "exit code 1".to_owned() })
    }

    /// Another configuration on disk, which a running process is given at once.
    pub fn reconfigure(&mut self, host: usize) -> Step {
        let config = group::changed(&mut self.chance, &self.hosts[host].config);
        self.put(host, config)
    }

    /// The whole group is given other addresses, one host after the other.
    pub fn readdress_all(&mut self) {
        let vips = group::other_addresses(&self.hosts[0].config);
        let longest = self.longest_interval();
        for host in 0..self.hosts.len() {
            let after = self.chance.up_to(longest);
            self.schedule(after, Event::Readdress { host, vips: vips.clone() });
        }
    }

    pub fn readdress(&mut self, host: usize, vips: Vec<Vip>) -> Step {
        let config = Config { vips, ..self.hosts[host].config.clone() };
        self.put(host, config)
    }

    fn put(&mut self, host: usize, config: Config) -> Step {
        self.tally.reconfigured += 1;
        let it = &mut self.hosts[host];
        it.longest_cs = it.longest_cs.max(config.interval.as_centiseconds());
        it.config = config;
        let life = it.life;
        self.reload(host, life)
    }

    pub fn reload(&mut self, host: usize, life: u32) -> Step {
        let it = &mut self.hosts[host];
        if it.life != life || it.router.is_none() {
            return Ok(());
        }
        if it.is_frozen {
            it.keep(Event::Reload { host, life });
            return Ok(());
        }
        let (before, config) = (it.priority(), it.config.clone());
        let is_same = config == *it.running();
        let old = it.running().clone();
        // A result stays with its name; what is new counts as it is said to until it is known.
        it.told.retain(|name, _| config.tracks.iter().any(|track| track.name == *name));
        for track in config.tracks.iter().filter(|track| !old.tracks.iter().any(|it| it.name == track.name)) {
            it.told.extend(track.initially.map(|result| (track.name.clone(), result)));
        }
        if !is_same {
            it.witness.reconfigured_at = Some(self.now);
            it.left_master_at = self.now;
            if !config.preempt {
                it.witness.follow_lower();
            }
            // By a measure that was not in force nobody is called silent.
            let follows = it.witness.resigned_at.is_none() && it.witness.lower.is_none();
            let is_restarted = it.state() == State::Backup && follows;
            if old.interval != config.interval && is_restarted {
                let cs = config.interval.as_centiseconds();
                it.witness.timers_cs = it.witness.timers_cs.max(cs);
                it.witness.followed = (self.now, cs.min(it.witness.followed.1));
            }
        }
        let deadline = it.router.as_ref().and_then(VirtualRouter::deadline);
        let adverts = self.watch.adverts[host];
        let transitions = self.tally.transitions;
        self.give(host, Input::Reconfigure(config.clone()))?;
        let it = &self.hosts[host];
        if *it.running() != config {
            return Err(format!("host {host} did not take its new configuration"));
        }
        let now_at = it.router.as_ref().and_then(VirtualRouter::deadline);
        let has_moved = now_at != deadline
            || self.watch.adverts[host] != adverts
            || self.tally.transitions != transitions;
        if is_same && has_moved {
            return Err(format!("host {host}: the same configuration once more moved something"));
        }
        self.rank_may_have_changed(host, before);
        for name in WATCHED {
            self.tell_later(host, name);
        }
        Ok(())
    }

    /// A lower master that is not lower any more had to be followed; who yields to whom may be otherwise.
    fn rank_may_have_changed(&mut self, host: usize, before: u8) {
        let now = self.now;
        let it = &mut self.hosts[host];
        let ours = it.priority();
        if ours != before {
            it.rank_changed_at = now;
            if it.witness.lower.is_some_and(|(_, lower, _)| lower >= ours) {
                it.witness.follow_lower();
            }
        }
    }

    /// Somebody orders another priority, and withdraws it. With two paths nothing may make a tie.
    pub fn override_priority(&mut self, host: usize, lasts: Duration) -> Step {
        if self.paths > 1 {
            return Ok(());
        }
        self.hosts[host].overridden = Override::new(self.chance.pick(&[1, 50, 100, 150, 200, 254]));
        let life = self.hosts[host].life;
        self.schedule(lasts, Event::Override { host, life });
        self.tell_override(host, life)?;
        self.hosts[host].overridden = self.hosts[host].overridden.filter(|_| self.chance.percent(30));
        Ok(())
    }

    /// Somebody orders a host to take over; mostly with a priority for it.
    pub fn order_take_over(&mut self, host: usize) -> Step {
        let life = self.hosts[host].life;
        if self.paths == 1 && self.chance.percent(80) {
            self.hosts[host].overridden = Override::new(254);
            self.tell_override(host, life)?;
        }
        self.take_over(host, life)
    }

    /// The process is told what is on the disk.
    pub fn tell_override(&mut self, host: usize, life: u32) -> Step {
        let it = &mut self.hosts[host];
        if it.life != life || it.router.is_none() {
            return Ok(());
        }
        if it.is_frozen {
            it.keep(Event::Override { host, life });
            return Ok(());
        }
        let (before, over) = (it.priority(), it.overridden);
        it.told_override = over;
        self.rank_may_have_changed(host, before);
        self.give(host, Input::Override(over))
    }

    pub fn take_over(&mut self, host: usize, life: u32) -> Step {
        let it = &mut self.hosts[host];
        if it.life != life || it.router.is_none() {
            return Ok(());
        }
        if it.is_frozen {
            it.keep(Event::TakeOver { host, life });
            return Ok(());
        }
        self.give(host, Input::TakeOver)
    }

    /// A check takes its time.
    fn tell_later(&mut self, host: usize, name: &'static str) {
        let life = self.hosts[host].life;
        let after = self.chance.up_to(Duration::from_millis(200));
        self.schedule(after, Event::Result { host, life, name });
    }

    /// A new process. It is told whether its addresses are here, as the shell must.
    pub fn restart(&mut self, index: usize) -> Step {
        let now = self.now;
        let host = &mut self.hosts[index];
        if host.router.is_some() && !host.is_stopping {
            return Ok(());
        }
        // The process before may still hand its addresses over, or be frozen while it does: it is killed, and this one finds them.
        host.is_stopping = false;
        host.is_frozen = false;
        host.inbox.clear();
        host.scheduled = None;
        let mut router = VirtualRouter::new(host.config.clone());
        if let Err(fault) = host.link {
            router.handle(Input::LinkDown { path: PathId::SERVICE, fault }, now);
        }
        let initially = |track: &hafleet_vrrp::Track| Some((track.name.clone(), track.initially?));
        host.told = host.config.tracks.iter().filter_map(initially).collect();
        host.told_link = host.link;
        host.router = Some(router);
        host.life += 1;
        // What stands on the disk comes before the election.
        if self.has_orders {
            host.told_override = host.overridden;
        } else {
            (host.held, host.overridden, host.told_override) = (None, None, None);
        }
        let (held, over) = (host.held, host.told_override);
        host.well_since = now;
        host.rank_changed_at = now;
        host.kernel_free_at = now;
        host.wanted.clear();
        host.witness = Witness::new(now, host.config.interval.as_centiseconds());
        let adopt = host.config.vips.iter().any(|vip| host.holds(vip.address, now));
        host.witness.adopts = adopt;
        if let Some(cause) = held {
            self.give(index, Input::Hold(cause))?;
        }
        if over.is_some() {
            self.give(index, Input::Override(over))?;
        }
        self.give(index, Input::Start { adopt })?;
        for name in WATCHED {
            self.tell_later(index, name);
        }
        self.report_leftovers(index)
    }

    /// The shell reports what is here and was not asked for.
    pub fn report_leftovers(&mut self, index: usize) -> Step {
        let now = self.now;
        let host = &self.hosts[index];
        if !host.is_awake() || host.kernel_free_at > now {
            return Ok(());
        }
        for vip in host.running().vips.clone() {
            let host = &self.hosts[index];
            if host.holds(vip.address, now)
                && host.state() != State::Master
                && !host.wanted.contains(&vip.address)
            {
                self.give(index, Input::AddressFault { vip, fault: AddressFault::Foreign })?;
            }
        }
        Ok(())
    }
}
