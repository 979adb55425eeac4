//! How far a node's clock is from the coordinator's.
//!
//! A message that the agent stamps `a` and the coordinator receives at `r` was stamped before `r`, so the offset is
//! *at least* `a - r`; how long the message travelled is not known to the coordinator alone. A message that answers
//! one of the coordinator's (the first snapshot after `Welcome`, the report of a probe) was stamped after the
//! question was sent at `q`, so the offset is *at most* `a - q`. The estimate is the middle of what both leave, and the
//! uncertainty is half of it: a bound, not a guess. Until an answer has come there is no upper bound and no estimate.
//!
//! Both bounds age, because clocks drift: each is widened by `DRIFT_PPM`. A lower bound that crosses the upper one
//! means that a clock was stepped; the old bounds are then dropped.

use std::collections::VecDeque;

/// Two free-running clocks of the same rack differ by less than this.
const DRIFT_PPM: i64 = 200;
/// Lower bounds that are remembered; one comes with every heartbeat.
const LOWER_BOUNDS_MAX: usize = 16;

/// The bounds on one node's offset.
#[derive(Clone, Debug, Default)]
pub struct ClockOffset {
    lower: VecDeque<Bound>,
    upper: Option<Bound>,
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    offset_us: i64,
    /// The coordinator's clock then.
    at_us: i64,
}

/// The node's clock minus the coordinator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Middle of what is possible.
    pub offset_us: i64,
    /// Half of what is possible.
    pub uncertainty_us: u64,
    /// Since the last answer that the upper bound rests on.
    pub age_us: u64,
}

impl ClockOffset {
    /// A message stamped `stamped_us` was received at `received_us`.
    pub fn heard(&mut self, stamped_us: i64, received_us: i64) {
        let bound = Bound { offset_us: stamped_us.saturating_sub(received_us), at_us: received_us };
        if self.upper.is_some_and(|upper| bound.offset_us > upper.highest_at(received_us)) {
            self.lower.clear();
            self.upper = None;
        }
        if self.lower.len() == LOWER_BOUNDS_MAX {
            self.lower.pop_front();
        }
        self.lower.push_back(bound);
    }

    /// The message that was just heard answers one that was sent at `asked_us`.
    pub fn answered(&mut self, stamped_us: i64, asked_us: i64, received_us: i64) {
        let bound = Bound { offset_us: stamped_us.saturating_sub(asked_us), at_us: received_us };
        if self.lower.iter().any(|lower| lower.lowest_at(received_us) > bound.offset_us) {
            self.lower.clear();
            self.upper = None;
        }
        let tighter = |upper: &Bound| bound.offset_us <= upper.highest_at(received_us);
        if self.upper.as_ref().is_none_or(tighter) {
            self.upper = Some(bound);
        }
        self.heard(stamped_us, received_us);
    }

    /// What is known at `now_us`; `None` before anything was answered.
    pub fn estimate(&self, now_us: i64) -> Option<Estimate> {
        let answered = self.upper?;
        let upper = answered.highest_at(now_us);
        let lower = self.lower.iter().map(|lower| lower.lowest_at(now_us)).max()?;
        let width = upper.saturating_sub(lower).max(0);
        Some(Estimate {
            offset_us: lower.saturating_add(width / 2),
            uncertainty_us: width.unsigned_abs().div_ceil(2),
            age_us: u64::try_from(now_us.saturating_sub(answered.at_us)).unwrap_or_default(),
        })
    }
}

impl Bound {
    fn drift_us(&self, now_us: i64) -> i64 {
        now_us.saturating_sub(self.at_us).max(0).saturating_mul(DRIFT_PPM) / 1_000_000
    }

    fn highest_at(&self, now_us: i64) -> i64 {
        self.offset_us.saturating_add(self.drift_us(now_us))
    }

    fn lowest_at(&self, now_us: i64) -> i64 {
        self.offset_us.saturating_sub(self.drift_us(now_us))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn heartbeats_alone_estimate_nothing() {
        let mut offset = ClockOffset::default();
        offset.heard(1_000_500, 1_000_000);
        assert_eq!(offset.estimate(1_000_000), None);
    }

    #[test]
    fn the_truth_is_always_inside() {
        // True offset +5000 us; out 300 us, back 700 us.
        let mut offset = ClockOffset::default();
        offset.answered(1_000_300 + 5000, 1_000_000, 1_001_000);
        let first = offset.estimate(1_001_000).unwrap();
        assert_eq!(first, Estimate { offset_us: 4800, uncertainty_us: 500, age_us: 0 });
        // A quicker heartbeat (100 us) narrows it.
        offset.heard(2_000_000 + 5000, 2_000_100);
        let second = offset.estimate(2_000_100).unwrap();
        assert!(second.uncertainty_us < first.uncertainty_us);
        assert_eq!(second.age_us, 999_100, "a heartbeat is no answer");
        let error = (second.offset_us - 5000).unsigned_abs();
        assert!(error <= second.uncertainty_us, "{second:?}");
    }

    #[test]
    fn a_step_forward_drops_what_was_known() {
        let mut offset = ClockOffset::default();
        offset.answered(1_000_300, 1_000_000, 1_001_000);
        offset.heard(12_000_000, 2_000_000);
        assert_eq!(offset.estimate(2_000_000), None);
        offset.answered(13_000_100, 3_000_000, 3_000_200);
        assert_eq!(offset.estimate(3_000_200).unwrap().offset_us, 10_000_000);
    }

    #[test]
    fn a_step_back_shows_as_soon_as_something_is_answered() {
        let mut offset = ClockOffset::default();
        offset.answered(11_000_100, 1_000_000, 1_000_200);
        offset.answered(2_000_100, 2_000_000, 2_000_200);
        assert_eq!(offset.estimate(2_000_200).unwrap().offset_us, 0);
    }
}
