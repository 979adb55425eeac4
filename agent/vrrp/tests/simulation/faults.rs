//! What goes wrong, and how it ends.

use std::time::Duration;

use hafleet_vrrp::{HoldCause, Input, Instant, LinkFault, PathId, State};

use crate::{
    host::{Event, LEASE},
    world::{Step, World},
};

impl World {
    /// One random fault, and the next one later.
    pub fn chaos(&mut self) -> Step {
        let next = self.chance.up_to(self.longest_interval() * 3);
        self.schedule(next, Event::Chaos);
        self.tally.faults += 1;
        let host = usize::try_from(self.chance.below(self.hosts.len() as u64)).unwrap();
        let lasts = self.longest_interval() * u32::try_from(self.chance.pick(&[1_u64, 4, 8])).unwrap()
            + self.chance.up_to(self.longest_interval());
        match self.chance.below(if self.has_orders { 18 } else { 16 }) {
            0 => {
                // Some come back before their leases end, and find their addresses.
                let soon = self.chance.up_to(LEASE);
                let lasts = if self.chance.percent(50) { soon } else { lasts };
                self.kill(host, lasts)
            }
            1 => self.stop(host, lasts),
            2 => {
                self.freeze(host, lasts);
                Ok(())
            }
            3 => self.link_down(host, lasts),
            4 => {
                self.tell(&format!("host {host}: the kernel refuses for {lasts:?}"));
                self.hosts[host].refuses = true;
                self.schedule(lasts, Event::Comply { host });
                Ok(())
            }
            5 => self.hold(host, lasts),
            6 => self.remove_address(host),
            10 | 11 => self.fail(host, lasts),
            12 => self.reconfigure(host),
            13 => {
                self.reconfigure(host)?;
                self.reconfigure(host)
            }
            14 => {
                self.readdress_all();
                Ok(())
            }
            15 => {
                let life = self.hosts[host].life;
                self.reload(host, life)
            }
            16 => self.override_priority(host, lasts),
            17 => self.order_take_over(host),
            7 => {
                let rounds = self.chance.pick(&[2, 10]);
                self.junk(host, rounds)
            }
            _ => {
                self.partition(lasts);
                Ok(())
            }
        }
    }

    /// kill -9: the addresses stay until their leases end.
    fn kill(&mut self, index: usize, lasts: Duration) -> Step {
        self.tell(&format!("host {index}: killed for {lasts:?}"));
        let now = self.now;
        let host = &mut self.hosts[index];
        host.router = None;
        host.is_frozen = false;
        host.is_stopping = false;
        host.inbox.clear();
        host.scheduled = None;
        host.left_master_at = now;
        self.schedule(lasts, Event::Restart { host: index });
        Ok(())
    }

    /// SIGTERM: the process ends when its addresses are handed over.
    fn stop(&mut self, index: usize, lasts: Duration) -> Step {
        if self.hosts[index].is_frozen {
            return Ok(());
        }
        self.tell(&format!("host {index}: stopped for {lasts:?}"));
        self.hosts[index].is_stopping = true;
        let hand_over = self.chance.percent(80);
        self.give(index, Input::Stop { hand_over })?;
        self.schedule(lasts, Event::Restart { host: index });
        Ok(())
    }

    fn freeze(&mut self, index: usize, lasts: Duration) {
        let host = &mut self.hosts[index];
        if host.is_awake() {
            host.is_frozen = true;
            self.tell(&format!("host {index}: frozen for {lasts:?}"));
            self.schedule(lasts, Event::Thaw { host: index });
        }
    }

    /// The shell drains its sockets, then hears of lost addresses, then looks at the clock.
    pub fn thaw(&mut self, index: usize) -> Step {
        let now = self.now;
        let host = &mut self.hosts[index];
        if !host.is_frozen {
            return Ok(());
        }
        host.is_frozen = false;
        host.well_since = now;
        let inbox = std::mem::take(&mut host.inbox);
        self.tell(&format!("host {index}: thaws, {} wait", inbox.len()));
        for event in inbox {
            self.happen(event)?;
        }
        self.renew(index);
        self.give(index, Input::Deadline)
    }

    fn link_down(&mut self, index: usize, lasts: Duration) -> Step {
        if self.hosts[index].link.is_err() {
            return Ok(());
        }
        let fault = self.chance.pick(&[
            LinkFault::NoCarrier,
            LinkFault::AdminDown,
            LinkFault::Missing,
            LinkFault::NoAddress,
        ]);
        self.tell(&format!("host {index}: link down for {lasts:?}"));
        self.hosts[index].link = Err(fault);
        self.schedule(lasts, Event::LinkUp { host: index });
        self.give_link(index)
    }

    pub fn link_up(&mut self, index: usize) -> Step {
        let now = self.now;
        if self.hosts[index].link.is_ok() {
            return Ok(());
        }
        self.hosts[index].link = Ok(());
        self.hosts[index].well_since = now;
        self.give_link(index)
    }

    /// Tells a process how its link is now.
    pub fn give_link(&mut self, index: usize) -> Step {
        let host = &mut self.hosts[index];
        if host.is_frozen {
            host.keep(Event::Link { host: index });
            return Ok(());
        }
        let (path, source) = (PathId::SERVICE, host.config.source());
        host.told_link = host.link;
        match host.link {
            Ok(()) => self.give(index, Input::LinkUp { path, source }),
            Err(fault) => self.give(index, Input::LinkDown { path, fault }),
        }
    }

    fn hold(&mut self, index: usize, lasts: Duration) -> Step {
        if !self.hosts[index].is_awake() {
            return Ok(());
        }
        let is_isolation = self.has_orders && self.chance.percent(30);
        let new = match (is_isolation, self.chance.percent(50)) {
            (true, _) => HoldCause::Isolation,
            (false, true) => HoldCause::Maintenance,
            (false, false) => HoldCause::Fence,
        };
        // One cause at a time; both at once are a unit test's matter.
        let cause = *self.hosts[index].held.get_or_insert(new);
        self.schedule(lasts, Event::Unhold { host: index });
        self.give(index, Input::Hold(cause))
    }

    pub fn unhold(&mut self, index: usize) -> Step {
        let Some(cause) = self.hosts[index].held else { return Ok(()) };
        if self.hosts[index].is_frozen {
            self.hosts[index].keep(Event::Unhold { host: index });
            return Ok(());
        }
        self.hosts[index].held = None;
        self.give(index, Input::Unhold(cause))
    }

    /// Somebody takes an address off.
    fn remove_address(&mut self, index: usize) -> Step {
        let vip = self.chance.pick(&self.hosts[index].running().vips.clone());
        let host = &mut self.hosts[index];
        let Some(_) = host.kernel.remove(&vip.address) else { return Ok(()) };
        self.tally.repaired += 1;
        let life = host.life;
        self.tell(&format!("host {index}: {} removed", vip.address));
        self.schedule(Duration::ZERO, Event::Removed { host: index, life, vip });
        Ok(())
    }

    /// Packets that must be rejected, which then have touched nothing.
    fn junk(&mut self, index: usize, count: u32) -> Step {
        for _ in 0..count {
            let payload = self.chance.next().to_be_bytes();
            let Some(router) = self.hosts[index].router.as_mut() else { return Ok(()) };
            let before = (router.state(), router.deadline());
            let datagram = hafleet_vrrp::packet::Datagram {
                source: [10, 77, 0, 66].into(),
                destination: hafleet_vrrp::packet::GROUP_V4.into(),
                ttl: 255,
                payload: &payload,
            };
            router.handle(Input::Packet { path: PathId::SERVICE, datagram }, self.now);
            if (router.state(), router.deadline()) != before || router.next_output().is_some() {
                return Err(format!("host {index}: junk moved something: {payload:02x?}"));
            }
        }
        Ok(())
    }

    /// Some pairs, one way or both, on some paths or all.
    fn partition(&mut self, lasts: Duration) {
        let is_total = self.chance.percent(40);
        let path = u8::try_from(self.chance.below(u64::from(self.paths))).unwrap();
        self.tell(&format!("partition for {lasts:?}, total {is_total}"));
        for from in 0..self.hosts.len() {
            for to in 0..self.hosts.len() {
                for line in 0..self.paths {
                    let is_meant = is_total || line == path;
                    if from != to && is_meant && (is_total || self.chance.percent(50)) {
                        self.blocked.insert((from, to, line), ());
                        self.schedule(lasts, Event::Unblock { from, to, path: line });
                    }
                }
            }
        }
    }

    /// Everything that was broken works again, at once.
    pub fn heal(&mut self) -> Step {
        self.forget_faults();
        self.blocked.clear();
        self.weather.loss_percent = 0;
        self.weather.duplicate_percent = 0;
        self.tell("everything heals");
        let vips = self.hosts[0].config.vips.clone();
        for host in 0..self.hosts.len() {
            self.hosts[host].refuses = false;
            self.thaw(host)?;
            self.readdress(host, vips.clone())?;
            self.link_up(host)?;
            self.unhold(host)?;
            self.restart(host)?;
            self.set_right(host)?;
        }
        Ok(())
    }

    /// From when exactly one must serve, and the end of the run.
    ///
    /// A router that the kernel refused may still have to sit its back-off out; if all do, the first one to be ready
    /// counts. One that was just started may wait a second longer in its first election.
    pub fn horizon(&self) -> (Instant, Instant) {
        let ready = self
            .hosts
            .iter()
            .filter_map(|host| host.router.as_ref())
            .map(|router| match router.state() {
                State::Fault => router.deadline().unwrap_or(self.now),
                State::Backup if router.master_source().is_none() => {
                    router.deadline().map_or(self.now, |at| (at - router.master_down()).max(self.now))
                }
                State::Init | State::Backup | State::Master => self.now,
            })
            .min()
            .unwrap_or(self.now);
        let slack = self.weather.delay * 3 + self.weather.lateness + self.weather.kernel * 8;
        let settled = ready + self.longest_master_down() + slack;
        (settled, settled + self.longest_interval() * 40)
    }

    /// Three of the longest interval and the longest skew, which also version 2 counts in seconds.
    fn longest_master_down(&self) -> Duration {
        let skews = self.hosts.iter().map(|host| {
            let whole = self.longest_interval();
            whole * (256 - u32::from(host.priority())) / 256
        });
        self.longest_interval() * 3 + skews.max().unwrap()
    }
}
