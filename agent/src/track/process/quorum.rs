//! Whether enough processes run, and for long enough.

use std::time::Duration;

use hafleet_vrrp::Instant;

use crate::config::track::ProcessCheck;

/// What changed a number of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A process forked, and the child is the same program until it becomes another.
    Fork,
    /// A process ended.
    Exit,
    /// A process became another program, or took another name.
    Change,
    /// Everything was looked at.
    Scan,
}

/// Turns numbers of processes into a verdict.
#[derive(Clone, Debug)]
pub(super) struct Quorum {
    least: u32,
    most: Option<u32>,
    fork_delay: Duration,
    terminate_delay: Duration,
    count: u32,
    is_up: Option<bool>,
    changes_at: Option<Instant>,
}

impl Quorum {
    pub(super) fn new(check: &ProcessCheck) -> Self {
        Self {
            least: check.quorum_least,
            most: check.quorum_most,
            fork_delay: check.fork_delay,
            terminate_delay: check.terminate_delay,
            count: 0,
            is_up: None,
            changes_at: None,
        }
    }

    /// So many run now, and why. The first number counts at once.
    pub(super) fn count(&mut self, count: u32, cause: Cause, now: Instant) {
        let is_fewer = count < self.count;
        // Looked at again while a delay runs: nothing new.
        if count == self.count && self.changes_at.is_some() {
            return self.pass(now);
        }
        self.count = count;
        let Some(is_up) = self.is_up else {
            self.is_up = Some(self.is_reached());
            return;
        };
        if self.is_reached() == is_up {
            self.changes_at = None;
            return;
        }
        let delay = match cause {
            Cause::Fork => self.fork_delay,
            Cause::Exit => self.terminate_delay,
            Cause::Change | Cause::Scan if is_fewer => self.terminate_delay,
            Cause::Change | Cause::Scan => Duration::ZERO,
        };
        let changes_at = now + delay;
        self.changes_at = Some(self.changes_at.map_or(changes_at, |before| before.min(changes_at)));
        self.pass(now);
    }

    /// What time brings.
    pub(super) fn pass(&mut self, now: Instant) {
        if self.changes_at.is_some_and(|at| at <= now) {
            self.changes_at = None;
            self.is_up = Some(self.is_reached());
        }
    }

    /// When [`Self::pass`] is to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.changes_at
    }

    /// The verdict; `None` before the first number.
    pub(super) fn is_up(&self) -> Option<bool> {
        self.is_up
    }

    fn is_reached(&self) -> bool {
        self.count >= self.least && self.most.is_none_or(|most| self.count <= most)
    }

    /// For people.
    pub(super) fn detail(&self) -> String {
        let Self { count, least, .. } = self;
        let processes = if *count == 1 { "process" } else { "processes" };
        let wanted = match self.most {
            None => format!("at least {least}"),
            Some(most) if most == *least => format!("exactly {most}"),
            Some(most) if most < *least => format!("at least {least} and at most {most}"),
            Some(most) => format!("{least} to {most}"),
        };
        format!("{count} {processes}, {wanted} wanted")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quorum(least: u32, most: Option<u32>, fork_ms: u64, terminate_ms: u64) -> Quorum {
        Quorum::new(&ProcessCheck {
            command: "nginx".to_owned(),
            parameters: None,
            full_command: false,
            quorum_least: least,
            quorum_most: most,
            fork_delay: Duration::from_millis(fork_ms),
            terminate_delay: Duration::from_millis(terminate_ms),
        })
    }

    fn ms(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    /// keepalived 2.2.7's answers to the same story (a program started, started again, ended, ended).
    #[test]
    fn counts_as_keepalived() {
        let table: [(Quorum, &str); 5] = [
            (quorum(1, None, 0, 0), "d uuu d"),
            (quorum(2, None, 0, 0), "d dud d"),
            (quorum(1, Some(1), 0, 0), "d udu d"),
            (quorum(0, Some(0), 0, 0), "u ddd u"),
            (quorum(0, None, 0, 0), "u uuu u"),
        ];
        for (mut quorum, verdicts) in table {
            let before = format!("{quorum:?}");
            let mut said = String::new();
            let story = [
                (0, Cause::Scan),
                (1, Cause::Change),
                (2, Cause::Change),
                (1, Cause::Exit),
                (0, Cause::Exit),
            ];
            for (number, (count, cause)) in story.into_iter().enumerate() {
                quorum.count(count, cause, ms(1000 * number as u64));
                said.push(if quorum.is_up() == Some(true) { 'u' } else { 'd' });
            }
            assert_eq!(said, verdicts.replace(' ', ""), "{before}");
        }
    }

    #[test]
    fn delays_are_for_their_cause() {
        // A start counts at once even with a fork delay; a fork does not.
        let mut forks = quorum(1, Some(1), 500, 0);
        forks.count(0, Cause::Scan, ms(0));
        forks.count(1, Cause::Change, ms(10));
        assert_eq!((forks.is_up(), forks.deadline()), (Some(true), None));
        forks.count(2, Cause::Fork, ms(20));
        assert_eq!((forks.is_up(), forks.deadline()), (Some(true), Some(ms(520))));
        // The child becomes another program in time.
        forks.count(1, Cause::Change, ms(30));
        assert_eq!((forks.is_up(), forks.deadline()), (Some(true), None));
        forks.count(2, Cause::Fork, ms(100));
        forks.count(3, Cause::Fork, ms(300));
        forks.count(3, Cause::Scan, ms(400));
        forks.pass(ms(599));
        assert_eq!(forks.is_up(), Some(true));
        forks.pass(ms(600));
        assert_eq!((forks.is_up(), forks.deadline()), (Some(false), None));

        // Ended and started again in time.
        let mut ends = quorum(1, None, 0, 1500);
        ends.count(1, Cause::Scan, ms(0));
        ends.count(0, Cause::Exit, ms(100));
        assert_eq!((ends.is_up(), ends.deadline()), (Some(true), Some(ms(1600))));
        ends.count(1, Cause::Change, ms(1599));
        ends.pass(ms(5000));
        assert_eq!(ends.is_up(), Some(true));
        ends.count(0, Cause::Scan, ms(6000));
        ends.pass(ms(7500));
        assert_eq!(ends.is_up(), Some(false));
        assert_eq!(ends.detail(), "0 processes, at least 1 wanted");
    }
}
