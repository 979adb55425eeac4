//! The heard-adverts table: floods, silence, and every kind of packet, beside a slow table that is plainly right.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use hafleet_vrrp::{
    Input, Instant, VirtualRouter,
    heard::{
        ADDRESSES_MAX, DETAIL_LEN_MAX, FOREIGN_ADDRESSES_MAX, FORGOTTEN_AFTER, HeardAdvert, HeardTable,
        Rejected, Worth,
    },
    packet::Verdict,
};

use crate::{Reached, Target, decoder::case::Case, draw::Draw};

/// See [`Target`].
pub const TARGET: Target = Target {
    name: "heard",
    run,
    must_reach: &[
        "accepted",
        "aged out",
        "evicted",
        "foreign",
        "left out",
        "rejected",
        "remarked",
        "unreadable",
    ],
};

/// More steps of one input show nothing that fewer do not.
const MOST_STEPS: usize = 48;

/// The bytes say the table's size, who sends what, and how time passes.
pub fn run(bytes: &[u8]) -> Reached {
    let mut draw = Draw::new(bytes);
    let capacity = draw.pick(&[0, 1, 2, 3, 5]);
    let mut table = HeardTable::with_capacity(capacity);
    let mut model = Model { capacity: capacity.max(1), ..Model::default() };
    let mut now = Instant::from_micros(0);
    for _ in 0..MOST_STEPS {
        if draw.is_empty() {
            break;
        }
        match draw.below(8) {
            0 => now = now + Duration::from_secs(draw.pick(&[0, 1, 300, 599, 600, 86_400])),
            1 => {
                table.forget_silent(now);
                model.forget_silent(now);
            }
            _ => record(&mut draw, &mut table, &mut model, now),
        }
        model.check(&table);
    }
    model.reached(&table)
}

fn record(draw: &mut Draw<'_>, table: &mut HeardTable, model: &mut Model, now: Instant) {
    let mut case = Case::read(draw);
    let odd = draw.byte();
    if odd & 1 != 0 {
        case.source = IpAddr::from([10, 77, 1, draw.byte() & 7]);
    }
    if let Some(vrid) = case.payload.get_mut(1).filter(|_| odd & 2 != 0) {
        *vrid = draw.byte() & 3;
    }
    let mut router = VirtualRouter::new(case.config.clone());
    router.handle(Input::Packet { path: case.path, datagram: case.datagram() }, now);
    let verdict = router.last_verdict().filter(|_| odd & 4 == 0);
    table.record(&case.datagram(), verdict, now);
    model.record(case.payload.get(1).copied(), case.source, verdict, now);
}

/// What the table must have, found by looking at everything every time.
#[derive(Debug, Default)]
struct Model {
    capacity: usize,
    sources: BTreeMap<(u8, IpAddr), Source>,
    evicted: u64,
    aged_out: u64,
    unreadable: u64,
}

#[derive(Clone, Debug)]
struct Source {
    last_heard: Instant,
    is_configured: bool,
    accepted: u64,
    rejected: u64,
}

impl Source {
    fn worth(&self) -> Worth {
        if !self.is_configured {
            Worth::Foreign
        } else if self.accepted == 0 {
            Worth::Rejected
        } else {
            Worth::Accepted
        }
    }
}

impl Model {
    fn record(&mut self, vrid: Option<u8>, source: IpAddr, verdict: Option<&Verdict>, now: Instant) {
        let Some(vrid @ 1..) = vrid else {
            self.unreadable += 1;
            return;
        };
        self.forget_silent(now);
        let key = (vrid, source);
        if !self.sources.contains_key(&key) && self.sources.len() >= self.capacity {
            let least =
                self.sources.iter().min_by_key(|(key, source)| (source.worth(), source.last_heard, **key));
            let least = *least.expect("a full table is not empty").0;
            self.sources.remove(&least);
            self.evicted += 1;
        }
        let new = Source { last_heard: now, is_configured: false, accepted: 0, rejected: 0 };
        let known = self.sources.entry(key).or_insert(new);
        known.last_heard = now;
        known.is_configured = verdict.is_some();
        match verdict {
            Some(Verdict::Accepted(_)) => known.accepted += 1,
            Some(Verdict::Rejected(_)) => known.rejected += 1,
            None => {}
        }
    }

    fn forget_silent(&mut self, now: Instant) {
        let before = self.sources.len();
        self.sources.retain(|_, source| now.since(source.last_heard) < FORGOTTEN_AFTER);
        self.aged_out += (before - self.sources.len()) as u64;
    }

    fn check(&self, table: &HeardTable) {
        let counts = (table.evicted(), table.aged_out(), table.unreadable());
        assert_eq!(counts, (self.evicted, self.aged_out, self.unreadable));
        assert_eq!(table.entries().len(), self.sources.len());
        for (entry, (key, source)) in table.entries().zip(&self.sources) {
            assert_eq!((entry.vrid, entry.source), *key);
            let told = (entry.last_heard, entry.vrid_configured, entry.accepted, entry.worth());
            assert_eq!(told, (source.last_heard, source.is_configured, source.accepted, source.worth()));
            assert_eq!(entry.rejected.iter().map(|it| it.count).sum::<u64>(), source.rejected);
            check_bounds(entry);
        }
    }

    fn reached(&self, table: &HeardTable) -> Reached {
        let some = |is: bool, what: &str| is.then(|| what.to_owned());
        let any = |of: fn(&HeardAdvert) -> bool| table.entries().any(of);
        let reached = [
            some(any(|entry| entry.accepted > 0), "accepted"),
            some(any(|entry| !entry.rejected.is_empty()), "rejected"),
            some(any(|entry| !entry.remarked.is_empty()), "remarked"),
            some(any(|entry| !entry.vrid_configured), "foreign"),
            some(any(|entry| entry.addresses_left_out > 0), "left out"),
            some(self.evicted > 0, "evicted"),
            some(self.aged_out > 0, "aged out"),
            some(self.unreadable > 0, "unreadable"),
        ];
        reached.into_iter().flatten().collect()
    }
}

/// One entry is small, whatever was sent.
fn check_bounds(entry: &HeardAdvert) {
    let most = if entry.vrid_configured { ADDRESSES_MAX } else { FOREIGN_ADDRESSES_MAX };
    assert!(entry.addresses.len() <= most, "{} addresses", entry.addresses.len());
    // A list that was cut for a stranger stays so until the next advert.
    let has_room = entry.addresses.len() < FOREIGN_ADDRESSES_MAX;
    assert!(!has_room || entry.addresses_left_out == 0, "some are left out of a list with room");
    for list in [&entry.rejected, &entry.remarked] {
        let reasons: std::collections::BTreeSet<&str> = list.iter().map(|it| it.reason).collect();
        assert_eq!(reasons.len(), list.len(), "a reason is there twice: {list:?}");
        let is_bounded =
            |it: &Rejected| it.count > 0 && it.last <= entry.last_heard && it.detail.len() <= DETAIL_LEN_MAX;
        assert!(list.iter().all(is_bounded), "{list:?}");
    }
}
