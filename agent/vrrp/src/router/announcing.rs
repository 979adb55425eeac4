//! When the neighbours are told: at a takeover, once more after a delay, after a worse master was heard, when it is asked for, and
//! again and again if so configured.

use alloc::vec::Vec;
use core::{net::IpAddr, time::Duration};

use super::{Announcement, Output, Role, VirtualRouter};
use crate::Instant;

impl VirtualRouter {
    /// At once, later, and from time to time.
    pub(super) fn announce_takeover(&mut self, now: Instant) {
        let announcing = self.config.announcing;
        self.announce_now_and_later(announcing.repeat, announcing.delay, announcing.delayed_repeat, now);
        let refresh = announcing.refresh;
        if let Role::Master(master) = &mut self.role {
            master.refresh_at = (refresh > Duration::ZERO).then(|| now + refresh);
        }
    }

    /// `Input::Announce`: the takeover's rounds once more. What is repeated for ever keeps its time.
    pub(super) fn on_announce(&mut self, now: Instant) {
        match &self.role {
            Role::Init(_) | Role::Backup(_) | Role::Fault(_) => {}
            Role::Master(_) => {
                let announcing = self.config.announcing;
                // Whoever asks is not to be answered by silence.
                let repeat = announcing.repeat.max(1);
                self.announce_now_and_later(repeat, announcing.delay, announcing.delayed_repeat, now);
            }
        }
    }

    /// After a lower advert: the neighbours may have believed it.
    pub(super) fn announce_again(&mut self, now: Instant) {
        let announcing = self.config.announcing;
        // keepalived has one number for both rounds.
        let repeat = announcing.lower_repeat;
        self.announce_now_and_later(repeat, announcing.lower_delay, repeat, now);
    }

    fn announce_now_and_later(&mut self, repeat: u8, delay: Duration, delayed_repeat: u8, now: Instant) {
        self.announce_all(repeat);
        // Without a later round the takeover's own stays.
        if let Role::Master(master) = &mut self.role
            && delay > Duration::ZERO
            && delayed_repeat > 0
        {
            master.announce_at = Some((now + delay, delayed_repeat));
        }
    }

    /// `Input::Deadline` as MASTER.
    pub(super) fn announce_what_is_due(&mut self, now: Instant) {
        let announcing = self.config.announcing;
        let Role::Master(master) = &mut self.role else { return };
        let delayed = master.announce_at.take_if(|(at, _)| *at <= now).map(|(_, repeat)| repeat);
        let is_refresh_due = master.refresh_at.is_some_and(|at| at <= now);
        if is_refresh_due {
            master.refresh_at = (announcing.refresh > Duration::ZERO).then(|| now + announcing.refresh);
        }
        let refreshed = is_refresh_due.then_some(announcing.refresh_repeat);
        // Both at once are one round of the longer.
        self.announce_all(delayed.into_iter().chain(refreshed).max().unwrap_or(0));
    }

    fn announce_all(&mut self, repeat: u8) {
        let addresses = self.config.vips.iter().map(|vip| vip.address).collect();
        self.announce(addresses, repeat);
    }

    pub(super) fn announce(&mut self, addresses: Vec<IpAddr>, repeat: u8) {
        if repeat > 0 && !addresses.is_empty() {
            self.outputs.push_back(Output::Announce(Announcement { addresses, repeat }));
        }
    }
}
