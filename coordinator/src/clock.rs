//! The coordinator's two clocks.
//!
//! *Instants* order things and are stored: the wall clock at the start of the process plus the time elapsed since
//! on `CLOCK_BOOTTIME`. Stored instants of earlier lives are comparable with them, no step of the wall clock moves
//! them, and a suspended machine finds everything it knew to be old. The *wall clock* is for what the outside world
//! dates by it: certificates and the agents' clock offsets.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hafleet_fleet::Instant;
use rustix::time::{ClockId, clock_gettime};

/// Reads the clocks. Cheap to copy; every copy counts from the same origin.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin_wall_us: i64,
    origin_boot_us: u64,
}

impl Clock {
    /// Takes the origin, once per process.
    pub fn start() -> Self {
        Self { origin_wall_us: wall_us(), origin_boot_us: boot_us() }
    }

    /// The present as the fleet core knows it.
    pub fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.now_us()).unwrap_or(0))
    }

    /// The same, as stored: microseconds since the Unix epoch.
    pub fn now_us(&self) -> i64 {
        self.origin_wall_us.saturating_add(i64::try_from(self.up_us()).unwrap_or(i64::MAX))
    }

    /// Microseconds since the origin was taken.
    pub fn up_us(&self) -> u64 {
        boot_us().saturating_sub(self.origin_boot_us)
    }

    /// The wall clock, which may step: microseconds since the Unix epoch.
    pub fn wall_us(&self) -> i64 {
        wall_us()
    }

    /// How long until `instant`; zero when it has come.
    pub fn until(&self, instant: Instant) -> Duration {
        instant.since(self.now())
    }
}

/// A stored instant as the fleet core knows it; instants before 1970 become 1970.
pub fn instant(us: i64) -> Instant {
    Instant::from_micros(u64::try_from(us).unwrap_or(0))
}

/// An instant as it is stored and sent.
pub fn micros(instant: Instant) -> i64 {
    i64::try_from(instant.as_micros()).unwrap_or(i64::MAX)
}

/// A duration as it is sent.
pub fn duration_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// RFC 3339 in UTC, for people and for JSON.
pub fn rfc3339(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).map_or_else(|_| format!("{us} us"), |at| at.to_string())
}

#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
fn wall_us() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}

fn boot_us() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(nanoseconds / 1_000)
}
