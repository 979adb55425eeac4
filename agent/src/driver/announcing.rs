//! Announcements on their way to the kernel, and whoever asked for some and waits until it has taken them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use hafleet_vrrp::{Input, Instant, State};
use tokio::sync::oneshot;

use super::{engine::Engine, held::Phase};
use crate::{
    clock,
    net::announce::{self, Announcement},
};

/// Announcements sent before deadlines are looked at again.
const ANNOUNCEMENTS_AT_ONCE: usize = 64;
/// How long the kernel may take to take in one announcement of each address; a slow pace (`garp_interval`) is part of it.
pub const ANNOUNCED_WITHIN: Duration = Duration::from_secs(5);
/// So many may wait for theirs at once.
const ASKED_MAX: usize = 32;

/// Why addresses were not announced again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnnounced {
    /// There is no such instance.
    #[error("this node has no instance `{instance}`")]
    Unknown {
        /// Its name.
        instance: String,
    },
    /// It does not hold its addresses: to announce them would take them from who does.
    #[error("`{instance}` is {state} and holds nothing that it could announce")]
    NotMaster {
        /// Its name.
        instance: String,
        /// Its state.
        state: State,
    },
    /// The kernel does not have an address at the moment.
    #[error("{address} of `{instance}` is not on this host at the moment")]
    NotHeld {
        /// The instance.
        instance: String,
        /// The address.
        address: IpAddr,
    },
    /// The kernel would not send it.
    #[error("{address} cannot be announced: {error}")]
    Refused {
        /// The address.
        address: IpAddr,
        /// The kernel's words.
        error: String,
    },
    /// Not all of it was sent in time; the rest still may be.
    #[error("{left} addresses were not announced within {} s; they still may be", ANNOUNCED_WITHIN.as_secs())]
    Late {
        /// How many.
        left: usize,
    },
    /// Too many wait already.
    #[error("{ASKED_MAX} requests to announce wait already, which is the bound")]
    Busy,
}

/// Which instances are to announce their addresses, and whom to tell what became of it.
#[derive(Debug)]
pub(super) struct AskedToAnnounce {
    pub instances: BTreeSet<String>,
    pub reply: oneshot::Sender<Result<(), NotAnnounced>>,
}

/// One who waits until the kernel has taken one announcement of each address.
#[derive(Debug)]
pub(super) struct Owed {
    /// By router and address.
    addresses: BTreeSet<(usize, IpAddr)>,
    until: Instant,
    reply: oneshot::Sender<Result<(), NotAnnounced>>,
}

impl Engine {
    /// Lets those announce who were asked to, after the sockets were read: who has lost its addresses meanwhile says nothing.
    pub(super) fn announce_what_is_asked(&mut self) {
        for AskedToAnnounce { instances, reply } in std::mem::take(&mut self.asked_to_announce) {
            match self.begin_to_announce(&instances) {
                Ok(addresses) => {
                    let until = clock::now() + ANNOUNCED_WITHIN;
                    self.owed.push(Owed { addresses, until, reply });
                }
                // Whoever asked may have gone.
                Err(error) => drop(reply.send(Err(error))),
            }
        }
    }

    /// All of them or, when one cannot, none.
    fn begin_to_announce(
        &mut self,
        instances: &BTreeSet<String>,
    ) -> Result<BTreeSet<(usize, IpAddr)>, NotAnnounced> {
        if self.owed.len() >= ASKED_MAX {
            return Err(NotAnnounced::Busy);
        }
        let places: BTreeMap<&str, usize> = self
            .order
            .iter()
            .filter_map(|index| Some((self.routers.get(*index)?.instance.name.as_str(), *index)))
            .collect();
        let mut routers = Vec::new();
        let mut owed = BTreeSet::new();
        for instance in instances {
            let index = places.get(instance.as_str()).copied();
            let Some((index, served)) = index.and_then(|index| Some((index, self.routers.get(index)?)))
            else {
                return Err(NotAnnounced::Unknown { instance: instance.clone() });
            };
            let state = served.router.state();
            if state != State::Master {
                return Err(NotAnnounced::NotMaster { instance: instance.clone(), state });
            }
            for held in served.addresses.iter().filter(|held| !held.leaving) {
                let (address, line) = (held.vip.address, self.lines.get(held.line));
                match held.phase {
                    // One that the kernel has not answered yet is announced as soon as it has.
                    Phase::Adding | Phase::Held | Phase::Native => {}
                    Phase::Absent | Phase::Lost | Phase::Removing => {
                        return Err(NotAnnounced::NotHeld { instance: instance.clone(), address });
                    }
                }
                // Where there are no MACs there is nobody to be told.
                let interface = line.and_then(|line| line.interface.as_ref());
                if interface.is_none_or(|interface| interface.mac.is_some()) {
                    owed.insert((index, address));
                }
            }
            routers.push(index);
        }
        for index in routers {
            self.input(index, Input::Announce);
        }
        Ok(owed)
    }

    /// Sends what is due, so much at once.
    pub(super) fn send_announcements(&mut self) {
        if self.adding == 0 {
            self.announcements.expect_no_more();
        }
        let now = clock::now();
        for _ in 0..ANNOUNCEMENTS_AT_ONCE {
            let Some(announcement) = self.announcements.pop(now) else { break };
            match self.announce_socket.send(&announcement) {
                Ok(()) => self.announced(&announcement),
                Err(error) if announce::is_full(&error) => {
                    // The interface takes no more for the moment; the repeats would meet the same.
                    self.announcements.put_back(announcement, now + announce::FULL_PAUSE);
                }
                // Lost like one on the wire; the repeats are there for it.
                Err(error) => {
                    tracing::debug!(address = %announcement.address, %error, "cannot announce");
                    let (address, error) = (announcement.address, error.to_string());
                    self.answer_owed(|owed| {
                        let is_meant = owed.addresses.contains(&(announcement.router, address));
                        is_meant.then(|| Err(NotAnnounced::Refused { address, error: error.clone() }))
                    });
                }
            }
        }
        self.settle_owed(now);
    }

    /// When somebody has waited for long enough.
    pub(super) fn owed_until(&self) -> Option<Instant> {
        self.owed.iter().map(|owed| owed.until).min()
    }

    fn announced(&mut self, announcement: &Announcement) {
        for owed in &mut self.owed {
            owed.addresses.remove(&(announcement.router, announcement.address));
        }
    }

    /// Tells those whose addresses are all announced, and those who wait in vain.
    fn settle_owed(&mut self, now: Instant) {
        if self.owed.is_empty() {
            return;
        }
        let lost: Vec<(usize, String, State)> = self
            .routers
            .iter()
            .enumerate()
            .filter(|(_, served)| served.router.state() != State::Master)
            .map(|(index, served)| (index, served.instance.name.clone(), served.router.state()))
            .collect();
        self.answer_owed(|owed| {
            if owed.addresses.is_empty() {
                return Some(Ok(()));
            }
            let is_owed = |index: usize| owed.addresses.iter().any(|(router, _)| *router == index);
            if let Some((_, instance, state)) = lost.iter().find(|(index, _, _)| is_owed(*index)) {
                return Some(Err(NotAnnounced::NotMaster { instance: instance.clone(), state: *state }));
            }
            (now >= owed.until).then_some(Err(NotAnnounced::Late { left: owed.addresses.len() }))
        });
    }

    fn answer_owed(&mut self, answer: impl Fn(&Owed) -> Option<Result<(), NotAnnounced>>) {
        for owed in std::mem::take(&mut self.owed) {
            match answer(&owed) {
                // Whoever asked may have gone.
                Some(answer) => drop(owed.reply.send(answer)),
                None => self.owed.push(owed),
            }
        }
    }
}
