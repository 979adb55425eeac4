//! Addresses that outlast MASTER: who leaves in an orderly way keeps them until its successor is heard, so that nobody is without an
//! answer in between (docs/decisions).
//!
//! Asked to stop it is INIT meanwhile, held back for maintenance it is FAULT; a fence, a lost link and the loss of the network end
//! it, or do not begin it.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Fault, Init, Output, Reason, Role, State, Transition, VirtualRouter, timers};
use crate::{Instant, Vip};

/// What a successor's advert may be late beyond its skew: two processes woken, the wire, and the kernel between.
const LATE: Duration = Duration::from_millis(100);

impl VirtualRouter {
    /// The longest that addresses outlast MASTER: a second, and what two hosts and the wire may be late. A successor
    /// whose skew is longer is not waited for.
    pub const HAND_OVER_AT_MOST: Duration = Duration::from_secs(1).saturating_add(LATE);

    /// Whether it left MASTER and keeps the addresses until its successor is heard.
    pub const fn is_handing_over(&self) -> bool {
        match &self.role {
            Role::Init(Init::HandingOver { .. }) | Role::Fault(Fault { handing_over: Some(_), .. }) => true,
            Role::Init(Init::Idle | Init::Waiting { .. })
            | Role::Backup(_)
            | Role::Master(_)
            | Role::Fault(Fault { handing_over: None, .. }) => false,
        }
    }

    /// A successor hears priority 0 and can be heard, and there is something that it may find here.
    pub(super) fn may_hand_over(&self) -> bool {
        let is_heard = self.paths.first().is_some_and(|path| path.link.is_ok());
        is_heard && self.config.family_sample().is_ipv4()
    }

    /// From MASTER: priority 0, and what may stay stays for a while.
    pub(super) fn hand_over(&mut self, role: impl FnOnce(Instant) -> Role, reason: Reason, now: Instant) {
        self.advertise(0);
        let gone: Vec<Vip> = self.config.vips.iter().copied().filter(|vip| vip.address.is_ipv6()).collect();
        if !gone.is_empty() {
            self.outputs.push_back(Output::ReleaseAddresses(gone));
        }
        let whole = timers::whole_skew(self.config.version, self.config.interval.as_centiseconds());
        self.role = role(now + (whole + LATE).min(Self::HAND_OVER_AT_MOST));
        let (from, to) = (State::Master, self.state());
        self.outputs.push_back(Output::Transition(Transition { from, to, reason }));
    }

    /// The addresses go, if there are any left.
    pub(super) fn end_hand_over(&mut self) {
        match &mut self.role {
            Role::Init(init @ Init::HandingOver { .. }) => *init = Init::Idle,
            Role::Fault(fault @ Fault { handing_over: Some(_), .. }) => fault.handing_over = None,
            Role::Init(Init::Idle | Init::Waiting { .. })
            | Role::Backup(_)
            | Role::Master(_)
            | Role::Fault(Fault { handing_over: None, .. }) => return,
        }
        self.release_all();
    }
}
