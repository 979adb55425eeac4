//! The two clocks of the agent, and the only place that reads them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hafleet_vrrp::Instant;
use rustix::time::{ClockId, clock_gettime};

/// Now on `CLOCK_BOOTTIME`: monotonic, never stepped, and it counts the time a machine was suspended.
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant::from_micros(seconds.saturating_mul(1_000_000).saturating_add(nanoseconds / 1_000))
}

/// Now on the wall, microseconds since 1970-01-01 UTC. For people and for other machines; nothing here waits for it.
pub fn wall_us() -> i64 {
    #[allow(clippy::disallowed_methods, reason = "this is the clock module")]
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}
