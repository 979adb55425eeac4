//! What watched things decide: the effective priority, and FAULT.

use alloc::string::String;

use super::{Expiry, Fault, Init, Reason, Role, VirtualRouter, timers};
use crate::{Instant, TrackId, TrackResult, tracking::Known};

impl VirtualRouter {
    pub(super) fn on_track(&mut self, track: TrackId, result: TrackResult, detail: String, now: Instant) {
        let index = usize::from(track.0);
        let Some(known) = self.known.get_mut(index) else { return };
        if *known == Known::Is(result) {
            return;
        }
        let before = self.effective_priority();
        if let Some(known) = self.known.get_mut(index) {
            *known = Known::Is(result);
        }
        match &self.role {
            Role::Init(Init::Idle | Init::HandingOver { .. }) => {}
            Role::Init(Init::Waiting { adopt }) => {
                let adopt = *adopt;
                if !self.awaits_results() {
                    self.start(adopt, now);
                }
            }
            Role::Backup(_) | Role::Master(_) => {
                if self.is_track_fault(index) {
                    let reason = Reason::TrackFailed { track: self.track_name(index), detail };
                    self.leave_for(Role::Fault(Fault::default()), reason);
                } else {
                    self.priority_changed(before, now);
                }
            }
            Role::Fault(_) => self.leave_fault(Reason::TracksRestored, now),
        }
    }

    /// Whether the first result of something is still to come.
    pub(super) fn awaits_results(&self) -> bool {
        self.known.contains(&Known::Awaited)
    }

    /// What each watched thing adds to the priority.
    pub(super) fn adds(&self) -> impl Iterator<Item = i32> + '_ {
        self.config.tracks.iter().zip(&self.known).map(|(track, known)| track.adds(*known))
    }

    /// The first watched thing that forbids to serve. One that is not known yet does too: nobody is elected on a guess.
    pub(super) fn track_obstacle(&self) -> Option<Reason> {
        let tracks = self.config.tracks.iter().zip(&self.known);
        tracks
            .filter_map(|(track, known)| {
                let detail = if *known == Known::Awaited { "there is no result yet" } else { "it fails" };
                let is_obstacle = *known == Known::Awaited || track.is_fault(*known);
                let reason = || Reason::TrackFailed { track: track.name.clone(), detail: detail.into() };
                is_obstacle.then(reason)
            })
            .next()
    }

    /// The priority is not what it was: a BACKUP's timer keeps what it has waited for and is shorter or longer by the
    /// difference of the skews; a MASTER says so at once.
    pub(super) fn priority_changed(&mut self, before: u8, now: Instant) {
        let after = self.effective_priority();
        if before == after {
            return;
        }
        let version = self.config.version;
        match &mut self.role {
            Role::Backup(backup) => {
                let preempted = match (backup.preemption, backup.expiry) {
                    (Some(lower), _) => Some(lower.priority),
                    (None, Expiry::Preemption { priority, .. }) => Some(priority),
                    (None, Expiry::Silence | Expiry::Resignation { .. } | Expiry::Adoption) => None,
                };
                // It is not lower any more.
                if preempted.is_some_and(|priority| priority >= after) {
                    return self.let_the_master_be(now);
                }
                let cs = backup.master_interval_cs;
                let shifted =
                    |at: Instant| at + timers::skew(version, after, cs) - timers::skew(version, before, cs);
                backup.down_at = shifted(backup.down_at);
                // No sooner than Master_Down, and no sooner than `preempt_delay` asked for.
                if let Some(preemption) = &mut backup.preemption {
                    preemption.at = preemption.at.max(shifted(preemption.at));
                }
            }
            Role::Master(_) => self.advertise_at_once(now),
            Role::Init(_) | Role::Fault(_) => {}
        }
    }

    /// A master that was to be preempted is followed after all, as from its last advert on.
    pub(super) fn let_the_master_be(&mut self, now: Instant) {
        let (version, priority) = (self.config.version, self.effective_priority());
        let Role::Backup(backup) = &mut self.role else { return };
        let was_to_go = match backup.expiry {
            Expiry::Preemption { interval_cs, .. } => {
                backup.master_interval_cs = interval_cs;
                true
            }
            Expiry::Silence | Expiry::Resignation { .. } | Expiry::Adoption => backup.preemption.is_some(),
        };
        backup.preemption = None;
        if was_to_go {
            backup.expiry = Expiry::Silence;
            backup.down_at = now + timers::master_down(version, priority, backup.master_interval_cs);
            backup.since = now;
        }
    }

    fn is_track_fault(&self, index: usize) -> bool {
        let track = self.config.tracks.get(index).zip(self.known.get(index));
        track.is_some_and(|(track, known)| track.is_fault(*known))
    }

    fn track_name(&self, index: usize) -> String {
        self.config.tracks.get(index).map(|track| track.name.clone()).unwrap_or_default()
    }
}
