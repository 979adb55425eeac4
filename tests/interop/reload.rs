//! S17: ours gets another file (SIGHUP) as MASTER, as BACKUP and in FAULT, and the peer notices nothing.

use std::time::Duration;

use hafleet_tests::lab::{Daemon, Instance, Kind, Segment, wait_for};
use rustix::process::Signal;

use crate::{
    pair::{Cast, Pair, SOON, WAKE, longest_gap, moment},
    report::Report,
};

/// Not in the adverts, so that a keepalived with another list of addresses goes on believing them.
const ADDED: &str = "10.77.0.101";

/// Ours by keepalived's file on whichever side it is.
const fn by_keepalived_conf(cast: Cast) -> Cast {
    const fn of(kind: Kind) -> Kind {
        if kind.is_ours() { Kind::OursByKeepalivedConf } else { kind }
    }
    Cast { higher: of(cast.higher), lower: of(cast.lower) }
}

struct Reloads {
    pair: Pair,
    ours_at: usize,
    master_at: usize,
    priority: u8,
    report: Report,
}

impl Reloads {
    fn file(&self, priority: u8, more: &str) -> String {
        let node = &self.pair.nodes[self.ours_at];
        let instance = Instance { priority, keepalived: more.into(), ..node.instance.clone() };
        Daemon::configuration(node.kind, &node.host, &[instance])
    }

    fn ours(&self) -> &Daemon {
        self.pair.nodes[self.ours_at].daemon()
    }

    /// How many files ours took and refused.
    fn counts(&self) -> (u64, u64) {
        let status = self.ours().status().unwrap();
        let count = |key: &str| status["configuration"][key].as_u64().unwrap();
        (count("taken"), count("refused"))
    }

    fn priority_now(&self) -> u64 {
        self.ours().instance(51).unwrap()["priority"].as_u64().unwrap()
    }

    fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        wait_for(what, SOON, || Ok(is_so().then_some(())))
            .unwrap_or_else(|error| panic!("{error:#}\n{}", self.pair.logs()));
    }

    /// Writes a file, asks for it to be read, and waits for the answer.
    fn give(&self, text: &str) {
        let (taken, refused) = self.counts();
        self.ours().rewrite(text).unwrap();
        self.ours().signal(Signal::HUP);
        self.wait("the file to be taken or refused", || {
            let (taken_now, refused_now) = self.counts();
            taken_now + refused_now > taken + refused
        });
    }

    /// Does something that nobody may notice.
    fn unnoticed(&mut self, tried: &str, act: impl FnOnce(&mut Self)) {
        let began = moment();
        let transitions = self.pair.nodes.each_ref().map(crate::pair::Node::transitions);
        let held = self.pair.nodes.each_ref().map(|node| node.held());
        act(self);
        let interval = self.pair.nodes[0].instance.interval;
        self.pair.watch_for(interval * 4);
        assert_eq!(
            self.pair.nodes.each_ref().map(crate::pair::Node::transitions),
            transitions,
            "{tried}: {}",
            self.pair.logs()
        );
        assert_eq!(self.pair.nodes.each_ref().map(|node| node.held()), held, "{tried}: {}", self.pair.logs());
        let cadence = self.pair.cadence(self.master_at, began);
        assert!(cadence.len() >= 3, "{tried}: {cadence:?}");
        // Of somebody else's cadence nothing is promised.
        if self.master_at == self.ours_at {
            self.report.at_most("longest gap between its adverts", longest_gap(&cadence), interval + WAKE);
        }
        assert!(self.pair.cadence(1 - self.master_at, began).is_empty(), "{tried}: {}", self.pair.logs());
        self.report.saw("no transition on either side");
    }

    /// All that may come, in the state that ours is in.
    fn in_this_state(&mut self, state: &str) {
        self.pair.nodes[self.ours_at].wait_for_state(state);
        let is_master = self.master_at == self.ours_at;
        let base = self.priority;
        self.report.row(format!("{state}: an address more, then less, and another priority"));
        self.unnoticed("addresses and priority", |it| {
            it.give(&it.file(base, &format!("virtual_ipaddress_excluded {{\n{ADDED}/24\n}}")));
            it.wait("the added address", || {
                it.pair.nodes[it.ours_at].held_of(ADDED).last().is_some_and(|held| held.until.is_none())
                    == is_master
            });
            it.give(&it.file(base - 1, ""));
            it.wait("its end", || {
                it.pair.nodes[it.ours_at].held_of(ADDED).last().is_none_or(|held| held.until.is_some())
            });
            assert_eq!(it.priority_now(), u64::from(base - 1));
        });
        self.report.row(format!("{state}: twice within 10 ms"));
        self.unnoticed("twice", |it| {
            it.ours().rewrite(&it.file(base - 2, "")).unwrap();
            it.ours().signal(Signal::HUP);
            it.pair.watch_for(Duration::from_millis(5));
            it.ours().rewrite(&it.file(base - 3, "")).unwrap();
            it.ours().signal(Signal::HUP);
            it.wait("the second file", || it.priority_now() == u64::from(base - 3));
        });
        self.report.row(format!("{state}: a broken file"));
        self.unnoticed("broken", |it| {
            let (taken, refused) = it.counts();
            it.give(&it.file(base, "virtual_ipaddress_excluded {\n10.77.0.300/24\n}"));
            assert_eq!(it.counts(), (taken, refused + 1));
            assert_eq!(it.priority_now(), u64::from(base - 3));
            let error = it.ours().status().unwrap()["configuration"]["error"].as_str().unwrap().to_owned();
            assert!(error.contains("10.77.0.300/24"), "{error}");
        });
        self.give(&self.file(base, ""));
        self.wait("the first file again", || self.priority_now() == u64::from(base));
    }
}

fn reloaded(cast: Cast) {
    let cast = by_keepalived_conf(cast);
    let ours_at = usize::from(!cast.higher.is_ours());
    let state = ["MASTER", "BACKUP"][ours_at];
    let mut report = Report::new("S17", cast, format!("{state}: the same file again (SIGHUP)"));
    let pair = Pair::elected(cast, &Instance::default());
    pair.nodes[1].wait_for_state("BACKUP");
    report.saw("the higher one is MASTER");
    let priority = pair.nodes[ours_at].instance.priority;
    let mut it = Reloads { pair, ours_at, master_at: 0, priority, report };
    // What came with the takeover is over.
    it.pair.watch_for(Duration::from_millis(1100));
    it.unnoticed("unchanged", |it| {
        let (taken, refused) = it.counts();
        it.give(&it.file(it.priority, ""));
        assert_eq!(it.counts(), (taken + 1, refused));
    });
    it.in_this_state(state);
    // Ours in FAULT, the other one MASTER.
    it.pair.nodes[ours_at].host.unplug(Segment::Service).unwrap();
    it.pair.wait_for_holder(1 - ours_at);
    it.master_at = 1 - ours_at;
    it.in_this_state("FAULT");
    let plugged = moment();
    it.pair.nodes[ours_at].host.plug(Segment::Service).unwrap();
    it.pair.wait_for_holder(0);
    it.pair.advert(0, plugged);
    it.report.saw("plugged in again: the higher one is MASTER");
}

#[test]
fn s17_reload_ours() {
    reloaded(Cast::OURS);
}

#[test]
fn s17_reload_keepalived_ours_master() {
    reloaded(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s17_reload_keepalived_ours_backup() {
    reloaded(Cast::ours_below(Kind::Keepalived));
}

#[test]
fn s17_reload_frr_ours_master() {
    reloaded(Cast::ours_above(Kind::Frr));
}

#[test]
fn s17_reload_frr_ours_backup() {
    reloaded(Cast::ours_below(Kind::Frr));
}
