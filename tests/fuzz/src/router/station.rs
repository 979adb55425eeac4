//! One router and what it owes: its outputs, held against its state after every input.

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use hafleet_vrrp::{
    Config, Input, Instant, Output, Override, PathHealth, PathId, State, Vip, VirtualRouter,
    packet::{Header, Verdict},
};

use super::{group::Advert, input, law};
use crate::Reached;

pub(super) struct Station {
    /// What it was configured to be at first.
    pub original: Config,
    /// What it is configured to be now.
    pub config: Config,
    pub router: VirtualRouter,
    /// What its kernel has not answered yet.
    pub asked: VecDeque<Vip>,
    /// Addresses with prefix lengths that it asked to be held and not to be released since.
    holds: BTreeSet<(IpAddr, u8)>,
    /// It holds them as BACKUP, since it started where they were.
    adopts: bool,
    /// Where its transitions have led.
    state: State,
    sent: u64,
    /// What was last said to count in the place of the configured priority.
    overridden: Option<Override>,
}

/// The router as it was before an input, and the input.
struct Before {
    input: &'static str,
    state: State,
    deadline: Option<Instant>,
    paths: Vec<PathHealth>,
    counts: [u64; 6],
}

impl Station {
    pub fn new(config: Config) -> Self {
        Self {
            original: config.clone(),
            router: VirtualRouter::new(config.clone()),
            config,
            asked: VecDeque::new(),
            holds: BTreeSet::new(),
            adopts: false,
            state: State::Init,
            sent: 0,
            overridden: None,
        }
    }

    /// A new process; the old one was killed and said nothing.
    pub fn restart(&mut self) {
        *self = Self { original: self.original.clone(), ..Self::new(self.config.clone()) };
    }

    /// Gives the router an input, checks everything, and returns what it sent.
    pub fn take(&mut self, input: Input<'_>, now: Instant, reached: &mut Reached) -> Vec<Advert> {
        let before = Before {
            input: input::name(&input),
            state: self.router.state(),
            deadline: self.router.deadline(),
            paths: self.router.paths().to_vec(),
            counts: self.counts(),
        };
        let may_change_nothing = self.note(&input);
        let what = format!("{} with {input:?} at {now:?}", self.config.name);
        self.router.handle(input, now);
        let outputs: Vec<Output> = std::iter::from_fn(|| self.router.next_output()).collect();
        let what = format!("{what}: {outputs:?}");
        crate::tell(|| format!("{what} {} {:?}", self.router.state(), self.router.last_verdict()));

        assert_eq!(self.router.config(), &self.config, "{what}");
        self.check_verdict(&before, &outputs, &what, reached);
        if may_change_nothing {
            self.check_same(&before, &outputs, &what);
        }
        let sent = self.carry_out(outputs, &before, &what, reached);
        self.check_state(&before, &what, reached);
        self.check_deadline(&before, now, &what);
        self.check_counts(&before, &what, reached);
        sent
    }

    /// What an input means for this side of the router. True when it may change nothing.
    fn note(&mut self, input: &Input<'_>) -> bool {
        match input {
            Input::SendFailed { path, .. } => {
                if usize::from(path.0) < self.config.paths.len() {
                    self.sent = self.sent.saturating_sub(1);
                }
                false
            }
            Input::Reconfigure(new) => {
                let is_taken = self.config.may_become(new) && *new != self.config;
                if is_taken {
                    self.config = new.clone();
                }
                !is_taken
            }
            Input::Start { .. }
            | Input::Stop { .. }
            | Input::Deadline
            | Input::Packet { .. }
            | Input::LinkUp { .. }
            | Input::LinkDown { .. }
            | Input::AddressHeld(_)
            | Input::AddressFault { .. }
            | Input::Hold(_)
            | Input::Unhold(_)
            | Input::TakeOver
            | Input::Announce
            | Input::Track { .. } => false,
            Input::Override(over) => {
                self.overridden = *over;
                false
            }
        }
    }

    /// A packet has a verdict, and nothing else has; one that was rejected touched nothing.
    fn check_verdict(&self, before: &Before, outputs: &[Output], what: &str, reached: &mut Reached) {
        let verdict = self.router.last_verdict();
        assert_eq!(verdict.is_some(), before.input == "packet", "{what}");
        match verdict {
            Some(Verdict::Rejected(_)) => {
                self.check_same(before, outputs, what);
                reached.insert("rejected".to_owned());
            }
            Some(Verdict::Accepted(received)) => {
                let is_master = received.advertisement.priority > 0;
                let keeps = self.router.state() != State::Master && !self.holds.is_empty();
                let releases = outputs.iter().any(|output| matches!(output, Output::ReleaseAddresses(_)));
                assert!(
                    !(is_master && keeps) || releases,
                    "a master is heard and its addresses kept: {what}"
                );
            }
            None => {}
        }
    }

    fn check_same(&self, before: &Before, outputs: &[Output], what: &str) {
        let now = (self.router.state(), self.router.deadline());
        assert_eq!(now, (before.state, before.deadline), "{what}");
        assert_eq!(self.router.paths(), before.paths, "{what}");
        assert!(outputs.is_empty(), "{what}");
    }

    fn carry_out(
        &mut self,
        outputs: Vec<Output>,
        before: &Before,
        what: &str,
        reached: &mut Reached,
    ) -> Vec<Advert> {
        let destinations: usize = self.config.paths.iter().map(|line| line.peers.len().max(1)).sum();
        assert!(outputs.len() <= destinations + 4, "a storm: {what}");
        let is_master = self.router.state() == State::Master;
        let mut transitions = 0;
        let mut sent = Vec::new();
        for output in outputs {
            match output {
                Output::SendAdvertisement { path, source, destination, payload } => {
                    self.check_advert(path, source, &payload, before, what);
                    self.sent += 1;
                    sent.push(Advert { from: 0, path, source, destination, payload });
                }
                Output::HoldAddresses(vips) => {
                    // As BACKUP only at the start, where they are already.
                    self.adopts |= before.state == State::Init && self.router.state() == State::Backup;
                    assert!(is_master || self.adopts, "{what}");
                    assert!(
                        !vips.is_empty() && vips.iter().all(|vip| self.config.vips.contains(vip)),
                        "{what}"
                    );
                    self.holds.extend(vips.iter().map(place));
                    self.asked.extend(vips);
                }
                Output::ReleaseAddresses(vips) => {
                    let is_ours = |vip: &Vip| self.config.vips.iter().any(|ours| place(ours) == place(vip));
                    assert!(!vips.is_empty(), "{what}");
                    assert!(!is_master || !vips.iter().any(is_ours), "MASTER lets go of its own: {what}");
                    self.holds.retain(|held| !vips.iter().any(|vip| place(vip) == *held));
                    self.asked.retain(|asked| !vips.iter().any(|vip| place(vip) == place(asked)));
                }
                Output::Announce(announcement) => {
                    assert!(
                        is_master && announcement.repeat > 0 && !announcement.addresses.is_empty(),
                        "{what}"
                    );
                    let is_ours =
                        |address: &IpAddr| self.config.vips.iter().any(|vip| vip.address == *address);
                    assert!(announcement.addresses.iter().all(is_ours), "{what}");
                }
                Output::Transition(transition) => {
                    transitions += 1;
                    assert_eq!(transition.from, self.state, "transitions chain: {what}");
                    self.state = transition.to;
                    law::check_transition(before.input, &transition, what, reached);
                }
            }
        }
        assert!(transitions <= 1, "{what}");
        // The state is left and entered by transitions only.
        assert_eq!(self.state, self.router.state(), "{what}");
        sent
    }

    fn check_advert(&self, path: PathId, source: IpAddr, payload: &[u8], before: &Before, what: &str) {
        let header = Header::peek(payload).expect("a whole advert");
        let (was_master, is_master) = (before.state == State::Master, self.router.state() == State::Master);
        // Who yields to a better one may say once more what it was; who leaves says 0.
        let is_answer = self.config.answers_higher && before.input == "packet" && was_master;
        let expected = if is_master || is_answer { self.router.effective_priority() } else { 0 };
        assert_eq!(header.priority, expected, "{what}");
        assert!(is_master || was_master, "who is not MASTER says nothing: {what}");
        assert_eq!(usize::from(header.count), self.config.advertised().count(), "{what}");
        let health = self.router.paths().get(usize::from(path.0)).expect("a line that there is");
        assert_eq!(health.link, Ok(source), "it goes out on a line that works: {what}");
    }

    fn check_state(&mut self, before: &Before, what: &str, reached: &mut Reached) {
        let router = &self.router;
        let all: BTreeSet<_> = self.config.vips.iter().map(place).collect();
        let obstacles = law::obstacles(router);
        match router.state() {
            State::Master => {
                assert_eq!(self.holds, all, "MASTER holds all: {what}");
                assert!(obstacles.is_empty(), "MASTER in spite of {obstacles:?}: {what}");
            }
            State::Backup => {
                assert!(self.adopts || self.holds.is_empty(), "{what}");
                assert!(self.holds.is_subset(&all), "{what}");
                assert!(obstacles.is_empty(), "BACKUP in spite of {obstacles:?}: {what}");
            }
            State::Init => {
                // What was handed over is kept while a new start waits for its first results; what a new configuration adds
                // meanwhile is not put on.
                let may_hold = router.is_handing_over() || router.awaits_tracks();
                assert!(self.holds.is_empty() || may_hold && self.holds.is_subset(&all), "{what}");
                if router.is_handing_over() {
                    reached.insert("hands over".to_owned());
                    assert!(router.config().source().is_ipv4(), "{what}");
                }
            }
            State::Fault => {
                let hands_over = router.is_handing_over();
                assert!(self.holds.is_empty() || hands_over && self.holds.is_subset(&all), "{what}");
                if hands_over {
                    reached.insert("hands over for maintenance".to_owned());
                    assert!(router.config().source().is_ipv4(), "{what}");
                }
                let waits = router.deadline().is_some() || !obstacles.is_empty() || law::may_await(router);
                assert!(waits, "FAULT without a reason: {what}");
            }
        }
        if self.adopts {
            reached.insert("adopts".to_owned());
        }
        self.adopts &= router.state() == State::Backup && !self.holds.is_empty();
        assert_eq!(router.effective_priority(), law::effective_priority(router, self.overridden), "{what}");
        assert!(router.master_down() > Duration::ZERO, "{what}");
        assert_eq!(router.paths().len(), self.config.paths.len());
        assert!(router.paths().iter().all(|path| path.last_send_error.len() <= 200), "{what}");
        assert!(!router.awaits_tracks() || router.state() == State::Init, "{what}");
        if before.input == "reconfigure" && router.state() != State::Init {
            reached.insert("reconfigured".to_owned());
        }
    }

    /// What is due is done; what an input arms is in the future, but for a timer that a higher priority shortens.
    fn check_deadline(&self, before: &Before, now: Instant, what: &str) {
        let deadline = self.router.deadline();
        match self.router.state() {
            State::Init => assert_eq!(deadline.is_some(), self.router.is_handing_over(), "{what}"),
            State::Backup | State::Master => assert!(deadline.is_some(), "{what}"),
            State::Fault => {}
        }
        let Some(deadline) = deadline else { return };
        let was_late = before.deadline.is_some_and(|at| at <= now) && before.input != "deadline";
        let is_shortened =
            ["track", "reconfigure", "override"].contains(&before.input) && before.state == State::Backup;
        assert!(was_late || is_shortened || deadline > now, "the deadline {deadline:?} is past: {what}");
    }

    fn check_counts(&self, before: &Before, what: &str, reached: &mut Reached) {
        assert_eq!(self.router.adverts_sent(), self.sent, "{what}");
        let counts = self.counts();
        assert!(before.counts.iter().zip(&counts).all(|(old, new)| old <= new), "{what}");
        let names = ["accepted", "rejected", "duplicate", "refused", "repaired", "foreign released"];
        let counted = names.iter().zip(counts).filter(|(_, count)| *count > 0);
        reached.extend(counted.map(|(name, _)| (*name).to_owned()));
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

/// What the kernel knows an address by: IPv4 may have one for each prefix length, IPv6 has one.
fn place(vip: &Vip) -> (IpAddr, u8) {
    (vip.address, if vip.address.is_ipv4() { vip.prefix_len } else { 0 })
}
