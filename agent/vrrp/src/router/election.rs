//! What an advert decides (RFC 9568 sections 6.4.2 and 6.4.3).

use core::{cmp::Ordering, net::IpAddr, time::Duration};

use super::{
    Expiry, Fault, Init, Output, Preemption, Reason, Role, VirtualRouter, machine::Followed, timers,
};
use crate::{
    Instant, PathId,
    packet::{self, Datagram, Received, Rejection, Remark, Verdict},
};

/// What matters of an accepted advert.
#[derive(Clone, Copy)]
struct Heard {
    path: PathId,
    source: IpAddr,
    priority: u8,
    interval_cs: u16,
}

impl VirtualRouter {
    /// `Input::Packet`: a packet that fails a check is counted and touches nothing else.
    pub(super) fn on_packet(&mut self, path: PathId, datagram: &Datagram<'_>, now: Instant) {
        let mut received = match self.check(path, datagram) {
            Ok(received) => received,
            Err(rejection) => {
                self.counters.packets_rejected = self.counters.packets_rejected.saturating_add(1);
                self.last_verdict = Some(Verdict::Rejected(rejection));
                return;
            }
        };
        self.counters.adverts_accepted = self.counters.adverts_accepted.saturating_add(1);
        let heard = Heard {
            path,
            source: datagram.source,
            priority: received.advertisement.priority,
            interval_cs: received.advertisement.interval_cs,
        };
        match &self.role {
            // Somebody else holds what an agent before this one left here.
            Role::Init(Init::Waiting { adopt: true }) if heard.priority > 0 => {
                self.role = Role::Init(Init::Waiting { adopt: false });
                self.release_all();
            }
            // The successor.
            Role::Init(Init::HandingOver { .. }) | Role::Fault(Fault { handing_over: Some(_), .. })
                if heard.priority > 0 =>
            {
                self.end_hand_over();
            }
            // Heard and counted; there is nothing to decide.
            Role::Init(_) | Role::Fault(_) => {}
            Role::Backup(_) => self.on_advert_as_backup(heard, now),
            Role::Master(_) => received.remarks.extend(self.on_advert_as_master(heard, now)),
        }
        if let Some(health) = self.paths.get_mut(usize::from(path.0)) {
            health.last_accepted = Some(now);
        }
        self.last_verdict = Some(Verdict::Accepted(received));
    }

    fn check(&self, path: PathId, datagram: &Datagram<'_>) -> Result<Received, Rejection> {
        let configured = self.config.paths.len();
        let line = self
            .config
            .paths
            .get(usize::from(path.0))
            .ok_or(Rejection::Path { heard: path.0, configured })?;
        packet::receive(datagram, &self.config, line)
    }

    fn on_advert_as_backup(&mut self, heard: Heard, now: Instant) {
        let (version, ours) = (self.config.version, self.effective_priority());
        let lets_be = !self.config.preempt || self.refusals.is_cautious(now);
        let Role::Backup(backup) = &mut self.role else { return };
        if heard.priority == 0 {
            backup.down_at = now + timers::skew(version, ours, backup.master_interval_cs);
            backup.since = now;
            backup.expiry = Expiry::Resignation { source: heard.source };
            backup.preemption = None;
            backup.master = None;
            return;
        }
        backup.master = Some((heard.source, heard.priority));
        if core::mem::take(&mut backup.adopting) {
            // Somebody else holds them, and is judged as at any start.
            self.outputs.push_back(Output::ReleaseAddresses(self.config.vips.clone()));
            let master_down = timers::master_down(version, ours, backup.master_interval_cs);
            backup.down_at = backup.down_at.max(backup.since + master_down);
            backup.expiry = Expiry::Silence;
        }
        let is_followed = if heard.priority >= ours || lets_be {
            backup.preemption = None;
            true
        } else if self.config.preempt_delay > Duration::ZERO {
            // The delay counts from the first lower advert, and ends no earlier than Master_Down would have.
            let preemption = backup.preemption.get_or_insert(Preemption {
                at: backup.down_at.max(now + self.config.preempt_delay),
                source: heard.source,
                priority: heard.priority,
            });
            (preemption.source, preemption.priority) = (heard.source, heard.priority);
            now < preemption.at
        } else {
            let Heard { source, priority, interval_cs, path: _ } = heard;
            backup.expiry = Expiry::Preemption { source, priority, interval_cs };
            false
        };
        if is_followed {
            backup.master_interval_cs = heard.interval_cs;
            backup.down_at = now + timers::master_down(version, ours, heard.interval_cs);
            backup.since = now;
            backup.expiry = Expiry::Silence;
            backup.overslept = false;
        }
    }

    fn on_advert_as_master(&mut self, heard: Heard, now: Instant) -> Option<Remark> {
        let Heard { source, priority, interval_cs, path } = heard;
        let ours = self.effective_priority();
        if priority == 0 {
            self.advertise_at_once(now);
            return None;
        }
        match priority.cmp(&ours) {
            Ordering::Greater => {
                self.answer_higher();
                let reason = Reason::HigherPriorityHeard { source, priority, ours };
                self.become_backup(reason, Some(Followed { source, priority, interval_cs }), now);
            }
            Ordering::Equal => {
                let our_source = self.source_on(path);
                if source == our_source {
                    self.counters.duplicates = self.counters.duplicates.saturating_add(1);
                    return Some(Remark::DuplicateSource { source, priority });
                }
                if self.is_decided_elsewhere(path, now) {
                    return None;
                }
                if source > our_source {
                    // Of two owners keepalived gives way when it hears the other one, whoever has the higher address.
                    if !self.is_owner() {
                        self.answer_higher();
                    }
                    let reason = Reason::HigherAddressHeard { source, priority, ours: our_source };
                    self.become_backup(reason, Some(Followed { source, priority, interval_cs }), now);
                } else {
                    self.reassert(now);
                }
            }
            Ordering::Less => self.reassert(now),
        }
        None
    }

    /// The winner hears that there were two masters, and announces again: neighbours that believed our announcements, which
    /// were perhaps the last ones, come back to it.
    fn answer_higher(&mut self) {
        if self.config.answers_higher {
            self.advertise(self.effective_priority());
        }
    }

    /// A worse master is told at once, and so are the neighbours that may have believed it. While it goes on, the
    /// neighbours are told once in an interval (or second), not once for each of its adverts.
    fn reassert(&mut self, now: Instant) {
        if self.config.answers_lower {
            self.advertise_at_once(now);
        }
        let pause = self.config.interval.as_duration().min(Duration::from_secs(1));
        let lower_delay = self.config.announcing.lower_delay;
        let Role::Master(master) = &mut self.role else { return };
        if master.reasserted_at.is_none_or(|at| now.since(at) >= pause) {
            master.reasserted_at = Some(now);
            self.announce_again(now);
        } else if let Some((at, _)) = &mut master.announce_at {
            // Later, never sooner: a takeover's own round may be due after it.
            *at = (now + lower_delay).max(*at);
        }
    }

    pub(super) fn advertise_at_once(&mut self, now: Instant) {
        if let Role::Master(master) = &mut self.role {
            master.advert_at = now + self.config.interval.as_duration();
        }
        self.advertise(self.effective_priority());
    }

    /// Our address on this line; the configured one while the link is down and an advert still arrives.
    fn source_on(&self, path: PathId) -> IpAddr {
        let index = usize::from(path.0);
        let current = self.paths.get(index).and_then(|health| health.link.ok());
        let configured = || self.config.paths.get(index).map(|line| line.source);
        current.or_else(configured).unwrap_or_else(|| self.config.source())
    }

    /// Two hosts may be ordered differently by their addresses on different lines, so one line decides.
    fn is_decided_elsewhere(&self, path: PathId, now: Instant) -> bool {
        let service = self.paths.first().and_then(|health| health.last_accepted);
        !path.is_service() && service.is_some_and(|at| now.since(at) < self.master_down())
    }
}
