//! How long to wait before the next attempt.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);

/// Exponential, 0.2 s to 5 s, with jitter so that a fleet does not return all at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure. `chance` is any number.
    pub fn next(&mut self, chance: u32) -> Duration {
        let full = SHORTEST.saturating_mul(1 << self.failures.min(8)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // Between half of it and all of it, but never under the shortest.
        let share = 0.5 + f64::from(chance) / f64::from(u32::MAX) / 2.0;
        full.mul_f64(share).max(SHORTEST)
    }

    /// The longest waits from now on: what refused us will not change its mind at once.
    pub fn refused(&mut self) {
        self.failures = self.failures.max(8);
    }

    /// It works again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_its_bound_and_stays_there() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..20).map(|_| backoff.next(u32::MAX).as_millis()).collect();
        assert_eq!(waits[..6], [200, 400, 800, 1600, 3200, 5000]);
        assert!(waits[6..].iter().all(|wait| *wait == 5000));
        assert_eq!(backoff.next(0).as_millis(), 2500);
        backoff.reset();
        assert_eq!(backoff.next(0).as_millis(), 200);
        backoff.refused();
        assert_eq!(backoff.next(u32::MAX).as_millis(), 5000);
    }
}
