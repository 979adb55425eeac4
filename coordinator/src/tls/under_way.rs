//! Handshakes that are under way: how many there may be, and who makes room for whom.
//!
//! A connection costs its maker nothing, so a bound alone would let one host that opens connections and says nothing
//! keep the fleet out. Each address has its share, and a handshake that stands still makes room for a new one.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// Handshakes at once.
const ALL_MAX: usize = 512;
/// Handshakes at once from one address; of IPv6, from one /64, which is what one host can have.
const ADDRESS_MAX: usize = 32;
/// A peer that has said nothing for so long makes room. One that is honest has sent its hello with its connection.
const SILENT_MIN: Duration = Duration::from_millis(250);
/// A handshake that has lasted so long makes room. One that goes well takes milliseconds.
const SLOW_MIN: Duration = Duration::from_secs(2);

/// All that are under way.
#[derive(Clone, Default)]
pub(super) struct UnderWay {
    all: Arc<Mutex<BTreeMap<u64, Handshake>>>,
}

struct Handshake {
    from: IpAddr,
    since: Instant,
    signs: Arc<Signs>,
}

#[derive(Default)]
struct Signs {
    spoke: AtomicBool,
    make_room: Notify,
}

/// A handshake's place among them; it is free again when this is dropped.
pub(super) struct Place {
    under_way: UnderWay,
    number: u64,
    signs: Arc<Signs>,
}

/// No place, and nobody who makes room: how many there are, in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full(pub(super) String);

impl UnderWay {
    /// A place for a new handshake; one that stands still may have to make room for it.
    pub(super) fn begin(&self, from: IpAddr, now: Instant) -> Result<Place, Full> {
        let from = share_of(from);
        let mut all = self.lock();
        let of_address = all.values().filter(|one| one.from == from).count();
        if of_address >= ADDRESS_MAX {
            let full = || Full(format!("{ADDRESS_MAX} handshakes from {from} are under way"));
            make_room(&mut all, now, |one| one.from == from).ok_or_else(full)?;
        } else if all.len() >= ALL_MAX {
            let full = || Full(format!("{ALL_MAX} handshakes are under way"));
            make_room(&mut all, now, |_| true).ok_or_else(full)?;
        }
        let number = all.last_key_value().map_or(0, |(number, _)| number.saturating_add(1));
        let signs = Arc::new(Signs::default());
        all.insert(number, Handshake { from, since: now, signs: Arc::clone(&signs) });
        Ok(Place { under_way: self.clone(), number, signs })
    }

    /// A task that panicked in between has left a map that is whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Handshake>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The peer has said something.
    pub(super) fn spoke(&self) {
        self.signs.spoke.store(true, Ordering::Relaxed);
    }

    /// Returns when the handshake has to make room for another.
    pub(super) async fn made_room(&self) {
        self.signs.make_room.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.under_way.lock();
        // It may have made room, and its number may be another's by now.
        if all.get(&self.number).is_some_and(|one| Arc::ptr_eq(&one.signs, &self.signs)) {
            all.remove(&self.number);
        }
    }
}

/// Ends the oldest of those that say nothing, or else the oldest of those that are slow.
fn make_room(
    all: &mut BTreeMap<u64, Handshake>,
    now: Instant,
    of: impl Fn(&Handshake) -> bool,
) -> Option<()> {
    let age = |one: &Handshake| now.saturating_duration_since(one.since);
    let silent = |one: &Handshake| !one.signs.spoke.load(Ordering::Relaxed) && age(one) >= SILENT_MIN;
    let slow = |one: &Handshake| age(one) >= SLOW_MIN;
    // In the order of their numbers, which is that of their age.
    let number = all
        .iter()
        .find(|(_, one)| of(one) && silent(one))
        .or_else(|| all.iter().find(|(_, one)| of(one) && slow(one)))
        .map(|(number, _)| *number)?;
    all.remove(&number)?.signs.make_room.notify_one();
    Some(())
}

/// Whose share a connection from `address` counts against.
fn share_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(last: usize) -> IpAddr {
        IpAddr::from([10, 0, u8::try_from(last / 256).unwrap(), u8::try_from(last % 256).unwrap()])
    }

    #[tokio::test]
    async fn an_address_has_its_share_and_silence_makes_room() {
        let under_way = UnderWay::default();
        let now = Instant::now();
        let mut places: Vec<_> =
            (0..ADDRESS_MAX).map(|_| under_way.begin(address(1), now).unwrap()).collect();
        // All at once: none is silent yet, and nobody else is kept out.
        assert!(under_way.begin(address(1), now).is_err());
        drop(under_way.begin(address(2), now).unwrap());
        let now = now + SILENT_MIN;
        places[0].spoke();
        let new = under_way.begin(address(1), now).unwrap();
        // The oldest that said nothing, not the oldest of all.
        places[1].made_room().await;
        assert!(tokio::time::timeout(Duration::from_millis(50), places[0].made_room()).await.is_err());
        // The end of one that has made room frees nobody else's place.
        places.iter().chain([&new]).for_each(Place::spoke);
        drop(places.remove(1));
        assert!(under_way.begin(address(1), now).is_err());
        drop(new);
        under_way.begin(address(1), now).unwrap();
    }

    #[tokio::test]
    async fn who_is_slow_makes_room_at_last() {
        let under_way = UnderWay::default();
        let now = Instant::now();
        let places: Vec<_> = (0..ALL_MAX).map(|n| under_way.begin(address(n), now).unwrap()).collect();
        places.iter().for_each(Place::spoke);
        assert!(under_way.begin(address(1000), now + SILENT_MIN).is_err());
        under_way.begin(address(1000), now + SLOW_MIN).unwrap();
        places[0].made_room().await;
    }

    #[test]
    fn one_host_has_one_share() {
        let of = |text: &str| share_of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:0:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
