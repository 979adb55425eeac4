//! Which host held which virtual address when: the kernel's own events, from both hosts of a rack.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::lines::Lines;
use crate::lab::Host;

/// Tells that a watch hears its host: on `lo`, where nobody looks for a virtual address.
const MARKER: &str = "127.77.0.1";

/// Listens to the address events of one host.
#[derive(Debug)]
pub struct AddressWatch(Lines);

impl AddressWatch {
    /// Starts listening. Whatever happens after this has returned is heard.
    pub fn start(host: &Host) -> Result<Self> {
        let mut command = Command::new("ip");
        command.args(["-n", host.namespace(), "-4", "-o", "monitor", "address"]);
        let watch = Self(Lines::start(&format!("addresses of {}", host.name()), &mut command)?);
        let marker = format!("{MARKER}/32");
        let heard = (0..100).any(|_| {
            host.run("ip", &["addr", "replace", &marker, "dev", "lo"]).is_ok()
                && watch
                    .0
                    .wait("marker", Duration::from_millis(50), |_, line| line.contains(MARKER).then_some(()))
                    .is_ok()
        });
        ensure!(heard, "the address events of {} are not heard", host.name());
        host.run("ip", &["addr", "del", &marker, "dev", "lo"])?;
        Ok(watch)
    }

    /// Waits for the next event about `address`.
    pub fn wait(&self, address: &str, present: bool, within: Duration) -> Result<Instant> {
        let what = if present { "addition" } else { "removal" };
        self.0.wait(&format!("{what} of {address}"), within, |at, line| {
            (read(line)? == (address, present)).then_some(at)
        })
    }
}

/// An address on a host, or not any more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// When it was heard.
    pub at: Instant,
    /// Which of the rack's hosts.
    pub host: usize,
    /// Without its prefix length.
    pub address: String,
    /// Whether it is there now.
    pub present: bool,
}

/// Two hosts held one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoubleHold {
    /// Which.
    pub address: String,
    /// From when on.
    pub from: Instant,
    /// Until when, or until the end of the watch.
    pub until: Instant,
}

/// The changes of several hosts, in their order.
#[derive(Clone, Debug, Default)]
pub struct Timeline(Vec<Change>);

impl Timeline {
    /// What the watches have heard since they were started or last asked.
    pub fn take(&mut self, watches: &[AddressWatch]) {
        for (host, watch) in watches.iter().enumerate() {
            for (at, line) in watch.0.taken() {
                if let Some((address, present)) = read(&line)
                    && address != MARKER
                {
                    self.0.push(Change { at, host, address: address.to_owned(), present });
                }
            }
        }
        self.0.sort();
    }

    /// How often an address came to `host` that was not there, after `from`.
    pub fn arrivals(&self, host: usize, from: Instant) -> BTreeMap<String, u32> {
        let mut held = BTreeSet::new();
        let mut arrivals = BTreeMap::new();
        for change in self.0.iter().filter(|change| change.host == host) {
            let is_new =
                if change.present { held.insert(&change.address) } else { !held.remove(&change.address) };
            if is_new && change.present && change.at > from {
                *arrivals.entry(change.address.clone()).or_default() += 1;
            }
        }
        arrivals
    }

    /// How often each address left `host`.
    pub fn removals(&self, host: usize) -> BTreeMap<String, u32> {
        let mut removals = BTreeMap::new();
        for change in self.0.iter().filter(|change| change.host == host && !change.present) {
            *removals.entry(change.address.clone()).or_default() += 1;
        }
        removals
    }

    /// Every time that two hosts held one address at once between `from` and `until`.
    pub fn double_holds(&self, from: Instant, until: Instant) -> Vec<DoubleHold> {
        let mut holders: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        let mut since: BTreeMap<&str, Instant> = BTreeMap::new();
        let mut found = Vec::new();
        let mut ended = |address: &str, began: Instant, at: Instant| {
            if at > from && began < until {
                found.push(DoubleHold {
                    address: address.to_owned(),
                    from: began.max(from),
                    until: at.min(until),
                });
            }
        };
        for change in &self.0 {
            let address = change.address.as_str();
            let holders = holders.entry(address).or_default();
            if change.present {
                holders.insert(change.host)
            } else {
                holders.remove(&change.host)
            };
            if holders.len() >= 2 {
                since.entry(address).or_insert(change.at);
            } else if let Some(began) = since.remove(address) {
                ended(address, began, change.at);
            }
        }
        for (address, began) in since {
            ended(address, began, until);
        }
        found
    }
}

/// `2: ens33    inet 10.77.0.1/32 scope …`, with `Deleted ` before it when it is gone.
fn read(line: &str) -> Option<(&str, bool)> {
    let (line, present) = match line.strip_prefix("Deleted ") {
        Some(rest) => (rest, false),
        None => (line, true),
    };
    let (_, rest) = line.split_once(" inet ")?;
    Some((rest.split(['/', ' ']).next()?, present))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(ms, host, address, present)`
    fn timeline(start: Instant, changes: &[(u64, usize, &str, bool)]) -> Timeline {
        let change = |&(ms, host, address, present): &(u64, usize, &str, bool)| Change {
            at: start + Duration::from_millis(ms),
            host,
            address: address.to_owned(),
            present,
        };
        Timeline(changes.iter().map(change).collect())
    }

    #[test]
    fn lines_of_ip_monitor_are_read() {
        let added =
            "2: ens33    inet 192.168.178.3/24 scope global secondary dynamic ens33\\       valid_lft 3sec";
        assert_eq!(read(added), Some(("192.168.178.3", true)));
        assert_eq!(read(&format!("Deleted {added}")), Some(("192.168.178.3", false)));
        assert_eq!(read("2: ens33    inet 10.0.0.1 peer 10.0.0.2/32 scope global"), Some(("10.0.0.1", true)));
        assert_eq!(read("2: ens33    inet6 fe80::1/64 scope link"), None);
    }

    #[test]
    fn a_renewal_is_no_arrival() {
        let start = Instant::now();
        let changes =
            [(0, 0, "a", true), (1, 0, "a", true), (2, 0, "a", false), (3, 0, "a", true), (4, 1, "a", true)];
        let timeline = timeline(start, &changes);
        assert_eq!(timeline.arrivals(0, start), BTreeMap::from([("a".to_owned(), 1)]));
        let before = start.checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(timeline.arrivals(0, before), BTreeMap::from([("a".to_owned(), 2)]));
        assert_eq!(timeline.removals(0), BTreeMap::from([("a".to_owned(), 1)]));
        assert_eq!(timeline.removals(1), BTreeMap::new());
    }

    #[test]
    fn holds_by_two_are_found_and_cut_to_the_window() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let changes = [
            (0, 0, "a", true),
            (0, 0, "b", true),
            (10, 1, "a", true),
            (20, 0, "a", true),
            (30, 0, "a", false),
            (40, 1, "b", true),
        ];
        let timeline = timeline(start, &changes);
        let hold = |address: &str, from, until| DoubleHold {
            address: address.to_owned(),
            from: at(from),
            until: at(until),
        };
        assert_eq!(timeline.double_holds(at(0), at(100)), [hold("a", 10, 30), hold("b", 40, 100)]);
        assert_eq!(timeline.double_holds(at(20), at(35)), [hold("a", 20, 30)]);
    }
}
