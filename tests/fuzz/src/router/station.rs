//! One router and what it owes: its outputs, held against its state after every input.

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
};

use hafleet_vrrp::{
    Config, Input, Instant, Output, PathHealth, PathId, State, Transition, Vip, VirtualRouter,
    packet::{Header, Verdict},
};

use super::{group::Advert, input};
use crate::Reached;

/// The transitions there are: after which input, from, to, why. `link_*` is any fault of the link.
const TRANSITIONS: &[(&str, State, State, &str)] = {
    use State::{Backup, Fault, Init, Master};
    &[
        ("start", Init, Backup, "started"),
        ("start", Init, Master, "address_owner"),
        ("start", Init, Fault, "held"),
        ("start", Init, Fault, "link_*"),
        ("stop", Backup, Init, "stopped"),
        ("stop", Master, Init, "stopped"),
        ("stop", Fault, Init, "stopped"),
        ("deadline", Backup, Master, "master_down"),
        ("deadline", Backup, Master, "master_resigned"),
        ("deadline", Backup, Master, "preempted"),
        ("deadline", Fault, Backup, "retry"),
        ("deadline", Fault, Master, "retry"),
        ("packet", Master, Backup, "higher_priority_heard"),
        ("packet", Master, Backup, "higher_address_heard"),
        ("link up", Fault, Backup, "link_restored"),
        ("link up", Fault, Master, "link_restored"),
        // An address that nothing can be sent from is none.
        ("link up", Backup, Fault, "link_*"),
        ("link up", Master, Fault, "link_*"),
        ("link down", Backup, Fault, "link_*"),
        ("link down", Master, Fault, "link_*"),
        ("address fault", Master, Fault, "address_refused"),
        ("address fault", Master, Fault, "address_contested"),
        ("hold", Backup, Fault, "held"),
        ("hold", Master, Fault, "held"),
        ("unhold", Fault, Backup, "unheld"),
        ("unhold", Fault, Master, "unheld"),
    ]
};

pub(super) struct Station {
    pub config: Config,
    pub router: VirtualRouter,
    /// What its kernel has not answered yet.
    pub asked: VecDeque<Vip>,
    /// What it asked to be held and not to be released since.
    holds: BTreeSet<Vip>,
    /// Where its transitions have led.
    state: State,
    sent: u64,
}

/// The router as it was before an input.
struct Before {
    state: State,
    deadline: Option<Instant>,
    paths: Vec<PathHealth>,
    counts: [u64; 6],
}

impl Station {
    pub fn new(config: Config) -> Self {
        let router = VirtualRouter::new(config.clone());
        let holds = BTreeSet::new();
        Self { config, router, asked: VecDeque::new(), holds, state: State::Init, sent: 0 }
    }

    /// A new process; the old one was killed and said nothing.
    pub fn restart(&mut self) {
        *self = Self::new(self.config.clone());
    }

    /// Gives the router an input, checks everything, and returns what it sent.
    pub fn take(&mut self, input: Input<'_>, now: Instant, reached: &mut Reached) -> Vec<Advert> {
        let before = Before {
            state: self.router.state(),
            deadline: self.router.deadline(),
            paths: self.router.paths().to_vec(),
            counts: self.counts(),
        };
        let name = input::name(&input);
        let (is_packet, failed) = match &input {
            Input::Packet { .. } => (true, None),
            Input::SendFailed { path, .. } => (false, Some(*path)),
            Input::Start
            | Input::Stop
            | Input::Deadline
            | Input::LinkUp { .. }
            | Input::LinkDown { .. }
            | Input::AddressHeld(_)
            | Input::AddressFault { .. }
            | Input::Hold
            | Input::Unhold => (false, None),
        };
        self.router.handle(input, now);
        let outputs: Vec<Output> = std::iter::from_fn(|| self.router.next_output()).collect();
        let what = format!("{} after {name} at {now:?}: {outputs:?}", self.config.name);

        self.check_verdict(is_packet, &before, &outputs, &what, reached);
        if failed.is_some_and(|path| self.config.paths.len() > usize::from(path.0)) {
            self.sent = self.sent.saturating_sub(1);
        }
        let sent = self.carry_out(name, outputs, &before, &what, reached);
        self.check_state(&what);
        self.check_deadline(name, before.deadline, now, &what);
        self.check_counts(&before, &what, reached);
        sent
    }

    /// A packet has a verdict, and nothing else has; one that was rejected touched nothing.
    fn check_verdict(
        &self,
        is_packet: bool,
        before: &Before,
        outputs: &[Output],
        what: &str,
        reached: &mut Reached,
    ) {
        let verdict = self.router.last_verdict();
        assert_eq!(verdict.is_some(), is_packet, "{what}");
        match verdict {
            Some(Verdict::Rejected(rejection)) => {
                let now = (self.router.state(), self.router.deadline());
                assert_eq!(now, (before.state, before.deadline), "{rejection}: {what}");
                assert_eq!(self.router.paths(), before.paths, "{rejection}: {what}");
                assert!(outputs.is_empty(), "{rejection}: {what}");
                reached.insert("rejected".to_owned());
            }
            Some(Verdict::Accepted(_)) | None => {}
        }
    }

    fn carry_out(
        &mut self,
        name: &str,
        outputs: Vec<Output>,
        before: &Before,
        what: &str,
        reached: &mut Reached,
    ) -> Vec<Advert> {
        let destinations: usize = self.config.paths.iter().map(|line| line.peers.len().max(1)).sum();
        assert!(outputs.len() <= destinations + 3, "a storm: {what}");
        let is_master = self.router.state() == State::Master;
        let was_master = before.state == State::Master;
        let mut transitions = 0;
        let mut sent = Vec::new();
        for output in outputs {
            match output {
                Output::SendAdvertisement { path, source, destination, payload } => {
                    self.check_advert(path, source, &payload, was_master, what);
                    self.sent += 1;
                    sent.push(Advert { from: 0, path, source, destination, payload });
                }
                Output::HoldAddresses(vips) => {
                    assert!(is_master && !vips.is_empty(), "{what}");
                    assert!(vips.iter().all(|vip| self.config.vips.contains(vip)), "{what}");
                    self.holds.extend(&vips);
                    self.asked.extend(vips);
                }
                Output::ReleaseAddresses(vips) => {
                    assert!(!is_master && !vips.is_empty(), "{what}");
                    self.holds.retain(|vip| !vips.contains(vip));
                    self.asked.retain(|vip| !vips.contains(vip));
                }
                Output::Announce(announcement) => {
                    assert!(is_master && announcement.repeat > 0, "{what}");
                    let is_ours =
                        |address: &IpAddr| self.config.vips.iter().any(|vip| vip.address == *address);
                    assert!(announcement.addresses.iter().all(is_ours), "{what}");
                }
                Output::Transition(transition) => {
                    transitions += 1;
                    self.check_transition(name, &transition, what, reached);
                }
            }
        }
        assert!(transitions <= 1, "{what}");
        // The state is left and entered by transitions only, and priority 0 is said on leaving.
        assert_eq!(self.state, self.router.state(), "{what}");
        sent
    }

    fn check_advert(&self, path: PathId, source: IpAddr, payload: &[u8], was_master: bool, what: &str) {
        let header = Header::peek(payload).expect("a whole advert");
        let is_master = self.router.state() == State::Master;
        let expected = if is_master { self.router.effective_priority() } else { 0 };
        assert_eq!(header.priority, expected, "{what}");
        assert!(is_master || was_master, "who is not MASTER says nothing: {what}");
        assert_eq!(usize::from(header.count), self.config.advertised().count(), "{what}");
        let health = self.router.paths().get(usize::from(path.0)).expect("a line that there is");
        // A service line that has just gone down is not sent on.
        assert_eq!(health.link, Ok(source), "{what}");
    }

    fn check_transition(&mut self, name: &str, transition: &Transition, what: &str, reached: &mut Reached) {
        let Transition { from, to, reason } = transition;
        assert_eq!(*from, self.state, "transitions chain: {what}");
        self.state = *to;
        let code = reason.code();
        let is_link = code.starts_with("link_") && code != "link_restored";
        let class = if is_link { "link_*" } else { code };
        assert!(TRANSITIONS.contains(&(name, *from, *to, class)), "no such transition: {what}");
        assert!(!reason.to_string().is_empty(), "{what}");
        reached.insert(format!("{from}-{to} {code}"));
    }

    fn check_state(&self, what: &str) {
        let router = &self.router;
        let all: BTreeSet<Vip> = self.config.vips.iter().copied().collect();
        let may_serve = router.source().is_some() && !router.is_held_back();
        match router.state() {
            State::Master => {
                assert_eq!(self.holds, all, "MASTER holds all: {what}");
                assert!(may_serve, "{what}");
            }
            State::Backup => {
                assert!(self.holds.is_empty() && may_serve, "{what}");
            }
            State::Init | State::Fault => assert!(self.holds.is_empty(), "{what}"),
        }
        assert!(router.effective_priority() > 0 && router.master_down() > std::time::Duration::ZERO);
        assert_eq!(router.paths().len(), self.config.paths.len());
        assert!(router.paths().iter().all(|path| path.last_send_error.len() <= 200), "{what}");
    }

    /// What is due is done; what an input arms is in the future.
    fn check_deadline(&self, name: &str, before: Option<Instant>, now: Instant, what: &str) {
        let deadline = self.router.deadline();
        match self.router.state() {
            State::Init => assert_eq!(deadline, None, "{what}"),
            State::Backup | State::Master => assert!(deadline.is_some(), "{what}"),
            State::Fault => {}
        }
        let Some(deadline) = deadline else { return };
        let is_kept = Some(deadline) == before && name != "deadline";
        assert!(is_kept || deadline > now, "the deadline {deadline:?} is past: {what}");
    }

    fn check_counts(&self, before: &Before, what: &str, reached: &mut Reached) {
        assert_eq!(self.router.adverts_sent(), self.sent, "{what}");
        let counts = self.counts();
        assert!(before.counts.iter().zip(&counts).all(|(old, new)| old <= new), "{what}");
        for (name, count) in ["accepted", "rejected", "duplicate", "refused", "repaired", "foreign released"]
            .iter()
            .zip(counts)
        {
            if count > 0 {
                reached.insert((*name).to_owned());
            }
        }
    }

    fn counts(&self) -> [u64; 6] {
        let router = &self.router;
        [
            router.adverts_accepted(),
            router.packets_rejected(),
            router.duplicates(),
            router.refusals(),
            router.repairs(),
            router.foreign_released(),
        ]
    }
}
