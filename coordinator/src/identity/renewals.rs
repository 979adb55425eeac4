//! How often a node may have its certificate renewed.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hafleet_fleet::{Instant, NodeName};

/// A node gets at most one certificate in this time: each writes a row of the audit log, which nobody may delete. An
/// agent whose renewal failed tries again after as long.
pub const RENEW_EVERY: Duration = Duration::from_secs(60);

/// Who renewed within the last minute; no more entries than nodes have certificates.
#[derive(Debug, Default)]
pub struct Renewals(Mutex<BTreeMap<NodeName, Instant>>);

/// Not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a node may renew its certificate once a minute; try again in {} s", self.wait_s())]
pub struct TooSoon {
    /// For so long.
    pub wait: Duration,
}

impl TooSoon {
    fn wait_s(&self) -> u64 {
        self.wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
    }
}

impl Renewals {
    /// Notes a renewal that begins now.
    ///
    /// # Errors
    /// The last one began less than a minute ago.
    pub fn begin(&self, node: &NodeName, now: Instant) -> Result<(), TooSoon> {
        let mut begun = self.lock();
        begun.retain(|_, at| now.since(*at) < RENEW_EVERY);
        if let Some(at) = begun.get(node) {
            return Err(TooSoon { wait: RENEW_EVERY.saturating_sub(now.since(*at)) });
        }
        begun.insert(node.clone(), now);
        Ok(())
    }

    /// It came to nothing: the next may begin at once.
    pub fn failed(&self, node: &NodeName) {
        self.lock().remove(node);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeName, Instant>> {
        // Whoever panicked left a whole map behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute_each() {
        let renewals = Renewals::default();
        let (one, two) = (NodeName("lb01".into()), NodeName("lb02".into()));
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        assert_eq!(renewals.begin(&one, at(1_000)), Ok(()));
        let refused = renewals.begin(&one, at(1_500)).unwrap_err();
        assert_eq!(refused.wait, Duration::from_millis(59_500));
        assert!(refused.to_string().contains("try again in 60 s"), "{refused}");
        assert_eq!(renewals.begin(&two, at(1_500)), Ok(()), "each for itself");
        renewals.failed(&two);
        assert_eq!(renewals.begin(&two, at(1_600)), Ok(()), "a renewal that failed does not count");
        assert!(renewals.begin(&one, at(60_999)).is_err(), "a refused one does not begin the minute anew");
        assert_eq!(renewals.begin(&one, at(61_000)), Ok(()));
        assert_eq!(renewals.begin(&one, at(200_000)), Ok(()));
        assert_eq!(renewals.lock().len(), 1, "what is older than a minute is forgotten");
    }
}
