//! The core under any sequence of inputs: some routers of one group, whose adverts the bytes deliver, delay, double or
//! lose, whose kernels they let answer or refuse, and to which anything else may happen at any time.
//!
//! After every input the outputs are held against the state (`station`); at the end everything works again, and exactly one
//! router must be MASTER.

mod group;
mod input;
mod law;
mod station;

use std::time::Duration;

use hafleet_vrrp::{HoldCause, Input, Instant, PathId, State, TrackId, TrackResult};

use self::{group::Advert, station::Station};
use crate::{Reached, Target, draw::Draw};

/// See [`Target`].
pub const TARGET: Target = Target {
    name: "router",
    run,
    must_reach: &[
        "INIT-BACKUP started",
        "INIT-FAULT track_failed",
        "INIT-MASTER adopted",
        "BACKUP-FAULT track_failed",
        "BACKUP-MASTER address_owner",
        "BACKUP-MASTER adopted",
        "FAULT-BACKUP reconfigured",
        "FAULT-BACKUP tracks_restored",
        "FAULT-MASTER reconfigured",
        "FAULT-MASTER tracks_restored",
        "MASTER-FAULT track_failed",
        "adopts",
        "reconfigured",
        "INIT-FAULT held",
        "INIT-FAULT link_no_address",
        "INIT-MASTER address_owner",
        "BACKUP-FAULT held",
        "BACKUP-FAULT isolated",
        "BACKUP-MASTER took_over",
        "FAULT-BACKUP reconnected",
        "FAULT-MASTER reconnected",
        "INIT-FAULT isolated",
        "MASTER-FAULT isolated",
        "BACKUP-FAULT link_no_carrier",
        "BACKUP-INIT stopped",
        "BACKUP-MASTER master_down",
        "BACKUP-MASTER master_resigned",
        "BACKUP-MASTER preempted",
        "FAULT-BACKUP link_restored",
        "FAULT-BACKUP retry",
        "FAULT-BACKUP unheld",
        "FAULT-INIT stopped",
        "FAULT-MASTER link_restored",
        "FAULT-MASTER retry",
        "FAULT-MASTER unheld",
        "MASTER-BACKUP higher_address_heard",
        "MASTER-BACKUP higher_priority_heard",
        "MASTER-FAULT address_contested",
        "MASTER-FAULT address_refused",
        "MASTER-FAULT held",
        "MASTER-FAULT link_no_carrier",
        "MASTER-INIT stopped",
        "duplicate",
        "foreign released",
        "one MASTER at the end",
        "rejected",
        "repaired",
        "hands over",
        "hands over for maintenance",
    ],
};

/// More steps of one input show nothing that fewer do not.
const MOST_STEPS: usize = 200;
/// Adverts under way at once; the oldest are lost.
const MOST_UNDER_WAY: usize = 16;

/// The bytes say the group, and what happens to it.
pub fn run(bytes: &[u8]) -> Reached {
    let mut draw = Draw::new(bytes);
    let mut world = World::new(&mut draw);
    for _ in 0..MOST_STEPS {
        if draw.is_empty() {
            break;
        }
        world.step(&mut draw);
    }
    world.heal();
    world.reached
}

struct World {
    now: Instant,
    stations: Vec<Station>,
    under_way: Vec<Advert>,
    reached: Reached,
}

impl World {
    fn new(draw: &mut Draw<'_>) -> Self {
        let stations = group::configs(draw).into_iter().map(Station::new).collect();
        Self {
            now: Instant::from_micros(draw.pick(&[0, 1_000_000, 1 << 50])),
            stations,
            under_way: Vec::new(),
            reached: Reached::new(),
        }
    }

    fn step(&mut self, draw: &mut Draw<'_>) {
        match draw.below(18) {
            0..=3 => self.next_deadline(),
            4 => self.now = self.now + Duration::from_micros(u64::from(draw.word()) * 100),
            5 => {
                self.now =
                    self.now + Duration::from_secs(u64::from(draw.byte()) * draw.pick(&[1, 60, 86_400]))
            }
            6 | 7 => self.deliver_all(),
            8 => self.deliver_one(draw),
            9 => self.kernels_answer(),
            10 => self.kernel_refuses(draw),
            11 => self.station(draw).restart(),
            12 => {
                let at = draw.below(self.stations.len());
                self.give(at, Input::Start { adopt: draw.flag() });
            }
            13 => self.somebody_meddles(draw),
            14 => self.somebody_has_our_address(draw),
            _ => self.anything(draw),
        }
        let excess = self.under_way.len().saturating_sub(MOST_UNDER_WAY);
        self.under_way.drain(..excess);
    }

    fn station(&mut self, draw: &mut Draw<'_>) -> &mut Station {
        let at = draw.below(self.stations.len());
        &mut self.stations[at]
    }

    /// Any input to any router.
    fn anything(&mut self, draw: &mut Draw<'_>) {
        let at = draw.below(self.stations.len());
        let sources: Vec<_> = self.stations.iter().map(|station| station.config.source()).collect();
        let mut payload = Vec::new();
        let input = input::any(draw, &self.stations[at].config, &sources, &mut payload);
        self.give(at, input);
    }

    fn give(&mut self, at: usize, input: Input<'_>) {
        let station = &mut self.stations[at];
        let sent = station.take(input, self.now, &mut self.reached);
        self.under_way.extend(sent.into_iter().map(|sent| Advert { from: at, ..sent }));
    }

    /// Time goes on to the next deadline. One that is past is handled late.
    fn next_deadline(&mut self) {
        let next =
            (0..self.stations.len()).filter_map(|at| Some((self.stations[at].router.deadline()?, at))).min();
        if let Some((deadline, at)) = next {
            self.now = self.now.max(deadline);
            self.give(at, Input::Deadline);
        }
    }

    fn deliver_all(&mut self) {
        for advert in std::mem::take(&mut self.under_way) {
            self.deliver(&advert);
        }
    }

    /// One, perhaps not the oldest, perhaps once more later.
    fn deliver_one(&mut self, draw: &mut Draw<'_>) {
        if self.under_way.is_empty() {
            return;
        }
        let at = draw.below(self.under_way.len());
        let advert = self.under_way[at].clone();
        if draw.flag() {
            self.under_way.remove(at);
        }
        self.deliver(&advert);
    }

    fn deliver(&mut self, advert: &Advert) {
        for at in 0..self.stations.len() {
            if at != advert.from && advert.is_for(&self.stations[at].config) {
                self.give(at, Input::Packet { path: advert.path, datagram: advert.datagram() });
            }
        }
    }

    fn kernels_answer(&mut self) {
        for at in 0..self.stations.len() {
            while let Some(vip) = self.stations[at].asked.pop_front() {
                self.give(at, Input::AddressHeld(vip));
            }
        }
    }

    fn kernel_refuses(&mut self, draw: &mut Draw<'_>) {
        let at = draw.below(self.stations.len());
        if let Some(vip) = self.stations[at].asked.pop_front() {
            self.give(at, input::refused(vip));
        }
    }

    /// Takes an address off or puts it on, as often as it takes.
    fn somebody_meddles(&mut self, draw: &mut Draw<'_>) {
        let at = draw.below(self.stations.len());
        let (vip, fault) = (self.stations[at].config.vips[0], input::address_fault(draw));
        for _ in 0..=draw.below(5) {
            self.give(at, Input::AddressFault { vip, fault: fault.clone() });
        }
    }

    /// What a router sent comes back to it.
    fn somebody_has_our_address(&mut self, draw: &mut Draw<'_>) {
        let from = draw.below(self.stations.len());
        let own = self.under_way.iter().rfind(|advert| advert.from == from).cloned();
        if let Some(own) = own {
            self.give(from, Input::Packet { path: own.path, datagram: own.datagram() });
        }
    }

    /// Everything is configured and works as at first, and every advert arrives at once. A back-off of 30 s, a
    /// `preempt_delay` and Master_Down later one router is MASTER, and the others know.
    fn heal(&mut self) {
        self.under_way.clear();
        for at in 0..self.stations.len() {
            let config = self.stations[at].original.clone();
            self.give(at, Input::Reconfigure(config.clone()));
            for (path, line) in (0..).map(PathId).zip(config.paths) {
                self.give(at, Input::LinkUp { path, source: line.source });
            }
            for (track, watched) in (0..).map(TrackId).zip(config.tracks) {
                let result = if watched.reverse { TrackResult::Down } else { TrackResult::Up };
                self.give(at, Input::Track { track, result, detail: String::new() });
            }
            self.give(at, Input::Unhold(HoldCause::Fence));
            self.give(at, Input::Unhold(HoldCause::Maintenance));
            self.give(at, Input::Unhold(HoldCause::Isolation));
            self.give(at, Input::Override(None));
            self.give(at, Input::Start { adopt: false });
        }
        let configs = || self.stations.iter().map(|station| &station.config);
        let interval = configs().map(|config| config.interval.as_duration()).max().unwrap_or_default();
        let delay = configs().map(|config| config.preempt_delay).max().unwrap_or_default();
        let settled = self.now + Duration::from_secs(30 + 1) + delay + interval * 8;
        while !self.is_well() {
            assert!(self.now <= settled, "after healing they are {:?}", self.states());
            self.next_deadline();
            self.kernels_answer();
            while !self.under_way.is_empty() {
                self.deliver_all();
            }
        }
        self.reached.insert("one MASTER at the end".to_owned());
    }

    fn is_well(&self) -> bool {
        let states = self.states();
        let count = |wanted| states.iter().filter(|state| **state == wanted).count();
        count(State::Master) == 1 && count(State::Backup) == states.len() - 1
    }

    fn states(&self) -> Vec<State> {
        self.stations.iter().map(|station| station.router.state()).collect()
    }
}
