//! Time as the core knows it.

use core::{ops, time::Duration};

/// A point on a monotonic clock, in microseconds from an origin that only the caller knows.
///
/// The agent's shell uses `CLOCK_BOOTTIME`; the simulator counts from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The instant `us` microseconds after the origin.
    pub const fn from_micros(us: u64) -> Self {
        Self(us)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero when it is not in the past.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl ops::Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of the clock, 584,000 years from its origin.
    fn add(self, after: Duration) -> Self {
        let us = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(us))
    }
}

impl ops::Sub<Duration> for Instant {
    type Output = Self;

    /// Saturates at the origin.
    fn sub(self, before: Duration) -> Self {
        let us = u64::try_from(before.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(us))
    }
}
