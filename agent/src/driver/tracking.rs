//! What is tracked, told to the routers that track it.

use hafleet_vrrp::{Input, TrackId, TrackResult};

use super::engine::Engine;
use crate::config::track::Subject;

impl Engine {
    /// A check's result: kept for routers that come later, told to those that are here.
    pub(super) fn take_check(&mut self, check: String, result: TrackResult, detail: String) {
        let subject = Subject::Check(check.clone());
        if !self.checks.note(check, result, detail.clone()) {
            return;
        }
        for index in 0..self.routers.len() {
            self.tell_track(index, &subject, result, &detail);
        }
    }

    /// An interface's state, to whoever tracks it.
    pub(super) fn tell_interface(&mut self, line: usize) {
        let Some((name, result)) = self.interface_result(line) else { return };
        let subject = Subject::Interface(name);
        for index in 0..self.routers.len() {
            self.tell_track(index, &subject, result, detail_of(result));
        }
    }

    /// Everything that is known of what a router tracks.
    pub(super) fn tell_all_tracks(&mut self, index: usize) {
        let subjects: Vec<Subject> = self
            .routers
            .get(index)
            .map(|served| served.instance.tracks.iter().map(|tracked| tracked.subject.clone()).collect())
            .unwrap_or_default();
        for subject in subjects {
            let known = match &subject {
                Subject::Interface(name) => {
                    let line = self.lines.iter().position(|line| line.name == *name);
                    line.and_then(|line| self.interface_result(line))
                        .map(|(_, result)| (result, detail_of(result).to_owned()))
                }
                Subject::Check(name) => self.checks.result(name).cloned(),
            };
            if let Some((result, detail)) = known {
                self.tell_track(index, &subject, result, &detail);
            }
        }
    }

    fn tell_track(&mut self, index: usize, subject: &Subject, result: TrackResult, detail: &str) {
        let Some(served) = self.routers.get(index).filter(|served| !served.retired) else { return };
        let tracks = served.instance.tracks.iter();
        let places: Vec<TrackId> = tracks
            .zip((0..=u16::MAX).map(TrackId))
            .filter(|(tracked, _)| tracked.subject == *subject)
            .map(|(_, track)| track)
            .collect();
        for track in places {
            self.input(index, Input::Track { track, result, detail: detail.to_owned() });
        }
    }

    /// `None` while the kernel has not told yet.
    fn interface_result(&self, line: usize) -> Option<(String, TrackResult)> {
        let line = self.lines.get(line).filter(|line| line.is_seen())?;
        let result = if line.carrier() { TrackResult::Up } else { TrackResult::Down };
        Some((line.name.clone(), result))
    }
}

const fn detail_of(result: TrackResult) -> &'static str {
    match result {
        TrackResult::Up => "the interface works",
        TrackResult::Down => "the interface is down, has no carrier, or does not exist",
        TrackResult::Value(_) => "",
    }
}
