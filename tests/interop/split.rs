//! S10: two masters find each other again. Whoever wins must have the last word to the neighbours.

use std::time::Duration;

use hafleet_tests::lab::{Direction, Instance, Kind, Segment, now};

use crate::{
    pair::{Cast, Pair, WAKE},
    report::{Report, ms},
};

/// Who hears the other one first when the split ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Lower,
    Higher,
}

fn split_and_heal(cast: Cast) {
    let tried = "a switch splits and heals; the lower one hears the higher one first";
    let mut report = Report::new("S10", cast, tried);
    // The loser's adverts are rare, so that it hears first; its second announcements are due after the first heal.
    let instance = Instance::default();
    let mut pair = Pair::new(
        (cast.higher, Instance { priority: 150, ..instance.clone() }),
        (cast.lower, Instance { interval: Duration::from_secs(2), ..instance }),
    );
    pair.nodes[0].start();
    pair.wait_for_holder(0);
    pair.nodes[1].start();
    one_heal(&mut report, &pair, First::Lower);
    report.row("a firewall drops VRRP between the two; the higher one hears the lower one first");
    one_heal(&mut report, &pair, First::Higher);
}

fn one_heal(report: &mut Report, pair: &Pair, first: First) {
    let interval = pair.nodes[0].instance.interval;
    let lower = &pair.nodes[1].host;
    // Whatever was announced before is over.
    pair.watch_for(pair.nodes[0].instance.announce_delay + WAKE);
    match first {
        First::Lower => lower.isolate(Segment::Service).unwrap(),
        First::Higher => lower.drop_vrrp(Direction::Both).unwrap(),
    }
    pair.wait_for_two_holders();
    // Its announcements are out, its next advert is not.
    pair.watch_for(interval);
    let began = pair.nodes[1].held().last().unwrap().from;
    let healed = now();
    match first {
        First::Lower => lower.rejoin(Segment::Service).unwrap(),
        First::Higher => {
            lower.drop_vrrp(Direction::In).unwrap();
            pair.advert(1, healed);
            lower.pass_vrrp().unwrap();
        }
    }
    let healed = now();
    pair.wait_for_holder(0);
    let yielded = pair.nodes[1].held().last().unwrap().until.unwrap();
    report.at_most("one holder after", yielded.saturating_sub(healed), interval + WAKE);
    assert_eq!(pair.nodes[0].held().len(), 1, "the winner kept it all the time\n{}", pair.logs());
    // Longer than the loser's second announcements would take.
    let over = began + pair.nodes[1].instance.announce_delay * 2 + WAKE;
    pair.watch_for(over.saturating_sub(now()));
    let late = pair.announcements(1, yielded + WAKE);
    assert!(late.is_empty(), "the loser announced after it had yielded: {late:?}");
    let winner = pair.announcements(0, began);
    // On its side of a split switch the loser announced itself when it took over, unseen by the capture.
    let loser = pair.announcements(1, began).last().copied().unwrap_or(began);
    let is_told = winner.last().is_some_and(|at| *at > loser);
    report.saw(match winner.last() {
        Some(last) if is_told => format!(
            "the winner announced {} times, the last {} after the loser's last",
            winner.len(),
            ms(*last - loser)
        ),
        Some(_) => "the winner announced, but the loser after it".into(),
        None => "the winner did not announce: **the neighbours keep the loser's MAC**".into(),
    });
    let (winner, loser) = (pair.nodes[0].kind, pair.nodes[1].kind);
    // Who yields without a word leaves the winner ignorant of that there were two.
    let must_be_told = match winner {
        Kind::Ours | Kind::OursByKeepalivedConf => loser.is_ours() || first == First::Higher,
        Kind::Keepalived => true,
        Kind::Frr => false,
    };
    assert!(is_told || !must_be_told, "the winner had not the last word\n{}", pair.logs());
}

#[test]
fn s10_split_and_heal_ours() {
    split_and_heal(Cast::OURS);
}

#[test]
fn s10_split_and_heal_keepalived_ours_master() {
    split_and_heal(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s10_split_and_heal_keepalived_ours_backup() {
    split_and_heal(Cast::ours_below(Kind::Keepalived));
}

#[test]
fn s10_split_and_heal_frr_ours_master() {
    split_and_heal(Cast::ours_above(Kind::Frr));
}

#[test]
fn s10_split_and_heal_frr_ours_backup() {
    split_and_heal(Cast::ours_below(Kind::Frr));
}
