//! The arithmetic of the protocol's timers (RFC 9568 section 6.1, RFC 3768 section 6.1).

use alloc::collections::BTreeMap;
use core::{net::IpAddr, time::Duration};

use crate::{Instant, Version};

/// The advert interval of `cs` centiseconds.
pub(super) const fn interval(cs: u16) -> Duration {
    Duration::from_micros(cs as u64 * 10_000)
}

/// What every Skew_Time is a part of: a second (version 2) or the master's interval (version 3).
pub(super) const fn whole_skew(version: Version, master_interval_cs: u16) -> Duration {
    match version {
        Version::V2 => Duration::from_secs(1),
        Version::V3 => interval(master_interval_cs),
    }
}

/// Skew_Time: `(256 - priority) / 256` of [`whole_skew`].
pub(super) const fn skew(version: Version, priority: u8, master_interval_cs: u16) -> Duration {
    let whole = whole_skew(version, master_interval_cs);
    // At most 41 s in microseconds, times 256: far from overflow.
    Duration::from_micros(whole.as_micros() as u64 * (256 - priority as u64) / 256)
}

/// Master_Down_Interval: three intervals of the master and our skew.
pub(super) fn master_down(version: Version, priority: u8, master_interval_cs: u16) -> Duration {
    interval(master_interval_cs) * 3 + skew(version, priority, master_interval_cs)
}

/// Refusals by the kernel, and the patience they teach.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Refusals {
    in_a_row: u32,
    last: Option<Instant>,
}

impl Refusals {
    /// The longest pause between two attempts.
    pub(super) const MAX_BACK_OFF: Duration = Duration::from_secs(30);
    /// For how long after a refusal a working master of lower priority is let be.
    const CAUTION: Duration = Duration::from_secs(300);

    /// Notes one more and tells how long to wait: 1, 2, 4, 8, 16, 30, 30 … s.
    pub(super) fn add(&mut self, now: Instant) -> Duration {
        let back_off = Duration::from_secs(1 << self.in_a_row.min(5)).min(Self::MAX_BACK_OFF);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.last = Some(now);
        back_off
    }

    pub(super) fn is_cautious(&self, now: Instant) -> bool {
        self.last.is_some_and(|at| now < at + Self::CAUTION)
    }
}

/// At most three acts per address within ten seconds, so that a fight over an address ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Limiter {
    windows: BTreeMap<IpAddr, (Instant, u8)>,
}

impl Limiter {
    pub(super) const MOST: u8 = 3;
    const WINDOW: Duration = Duration::from_secs(10);

    /// Counts one act. The map is bounded by the caller, who asks for configured addresses only.
    pub(super) fn allow(&mut self, address: IpAddr, now: Instant) -> bool {
        let (since, acts) = self.windows.entry(address).or_insert((now, 0));
        if now.since(*since) >= Self::WINDOW {
            (*since, *acts) = (now, 0);
        }
        let allowed = *acts < Self::MOST;
        if allowed {
            *acts += 1;
        }
        allowed
    }
}
