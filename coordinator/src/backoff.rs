//! Waiting longer after each failure, up to a bound.

use std::time::Duration;

/// Doubles from `first` to `longest`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// For the database: it usually answers again soon.
    pub const STORE: Self = Self { next: Duration::from_millis(100), longest: Duration::from_secs(5) };

    /// How long to wait now.
    pub fn next(&mut self) -> Duration {
        let now = self.next;
        self.next = now.saturating_mul(2).min(self.longest);
        now
    }
}

/// The wait before attempt `attempts + 1`: `first`, doubled for each attempt after the first, at most `longest`.
pub fn after_attempts(attempts: u32, first: Duration, longest: Duration) -> Duration {
    let factor = 1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_bound() {
        let waits: Vec<_> =
            (1..=5).map(|n| after_attempts(n, Duration::from_secs(1), Duration::from_secs(5))).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5].map(Duration::from_secs));
        assert_eq!(
            after_attempts(1000, Duration::from_secs(1), Duration::from_secs(5)),
            Duration::from_secs(5)
        );
        let mut backoff = Backoff::STORE;
        let last = (0..20).map(|_| backoff.next()).last();
        assert_eq!(last, Some(Duration::from_secs(5)));
    }
}
