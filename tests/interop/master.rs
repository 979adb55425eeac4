//! S8 and S9: what a master does when it hears that another one left, or is worse.

use std::time::Duration;

use hafleet_tests::lab::{Instance, Kind};

use crate::{
    pair::{Cast, Pair, WAKE, moment},
    preemption::{STRANGER, forged},
    report::{Report, ms},
};

/// keepalived's time until it announces again.
const AGAIN: Duration = Duration::from_secs(5);

/// Slow enough that "at once" is told apart from "when it was due".
const INTERVAL: Duration = Duration::from_millis(500);

fn elected(cast: Cast) -> Pair {
    Pair::elected(cast, &Instance { interval: INTERVAL, ..Instance::default() })
}

/// Forges one advert in the middle of the master's interval; when it passed, and the master's next advert.
fn forge(pair: &Pair, priority: u8) -> (Duration, Duration) {
    pair.advert(0, moment());
    pair.watch_for(INTERVAL / 3);
    let (envelope, message) = forged(pair, priority);
    let before = moment();
    pair.client.send("eth0", &[envelope.around(&message)]).unwrap();
    let forged = pair.capture.advert(before, INTERVAL, 51, STRANGER.into(), |_| true).unwrap().0;
    (forged, pair.advert(0, forged))
}

/// Nothing moved.
fn assert_unmoved(pair: &Pair, began: Duration) {
    assert!(pair.nodes[0].holds() && !pair.nodes[1].holds(), "{}", pair.logs());
    assert!(pair.cadence(1, began).is_empty(), "{}", pair.logs());
}

fn hears_priority_0(cast: Cast) {
    let tried = "500 ms: a third router says priority 0 to everybody";
    let mut report = Report::new("S8", cast, tried);
    let pair = elected(cast);
    let began = moment();
    let (forged, answered) = forge(&pair, 0);
    if cast.higher.is_ours() {
        report.at_most("the master advertised after", answered - forged, WAKE);
    } else {
        report.saw(format!("the master advertised {} after", ms(answered - forged)));
    }
    let next = pair.advert(0, answered + Duration::from_millis(1));
    if cast.higher.is_ours() {
        report.time("and again after", next - answered, INTERVAL - WAKE, INTERVAL + WAKE);
    }
    pair.watch_for(INTERVAL);
    assert_unmoved(&pair, began);
    report.saw("nothing moved");
}

#[test]
fn s08_hears_priority_0_ours() {
    hears_priority_0(Cast::OURS);
}

#[test]
fn s08_hears_priority_0_keepalived_ours_master() {
    hears_priority_0(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s08_hears_priority_0_keepalived_ours_backup() {
    hears_priority_0(Cast::ours_below(Kind::Keepalived));
}

#[test]
fn s08_hears_priority_0_frr_ours_master() {
    hears_priority_0(Cast::ours_above(Kind::Frr));
}

#[test]
fn s08_hears_priority_0_frr_ours_backup() {
    hears_priority_0(Cast::ours_below(Kind::Frr));
}

fn hears_a_lower_advert(cast: Cast) {
    let tried = "500 ms: a third router advertises priority 50 once, then 20 times 50 ms apart";
    let mut report = Report::new("S9", cast, tried);
    let pair = elected(cast);
    // The announcements of the takeover are over.
    let taken = pair.advert(0, Duration::ZERO);
    pair.watch_for((taken + pair.nodes[0].instance.announce_delay + WAKE).saturating_sub(moment()));
    let began = moment();
    let (forged, answered) = forge(&pair, 50);
    pair.watch_for((forged + AGAIN + WAKE).saturating_sub(moment()));
    let announced = pair.announcements(0, began);
    if cast.higher.is_ours() {
        report.at_most("the master advertised after", answered - forged, WAKE);
        assert_eq!(announced.len(), 10, "{announced:?}");
        report.at_most("announced 5 times after", announced[4] - forged, WAKE);
        report.at_most("and 5 times more after", announced[5] - forged, AGAIN + WAKE);
        assert!(announced[5] - announced[4] > INTERVAL, "{announced:?}");
    } else {
        report.saw(format!(
            "the master advertised {} after, and announced {} times",
            ms(answered - forged),
            announced.len()
        ));
    }
    let (envelope, message) = crate::preemption::forged(&pair, 50);
    let flood = moment();
    let mut sending =
        pair.client.send_each("eth0", &[envelope.around(&message)], Duration::from_millis(50), 20).unwrap();
    sending.wait(Duration::from_secs(5)).unwrap();
    let answers = pair.cadence(0, flood).len();
    let announced = pair.announcements(0, flood).len();
    report.saw(format!("20 more: {answers} adverts, {announced} announcements within a second"));
    if cast.higher.is_ours() {
        assert!(answers >= 20, "{answers} answers to 20 adverts");
        // One round in an interval, of which a second has two, and one at the beginning.
        assert!((5..=15).contains(&announced), "{announced} announcements");
    }
    assert_unmoved(&pair, began);
    report.saw("nothing moved");
}

#[test]
fn s09_hears_a_lower_advert_ours() {
    hears_a_lower_advert(Cast::OURS);
}

#[test]
fn s09_hears_a_lower_advert_keepalived_ours_master() {
    hears_a_lower_advert(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s09_hears_a_lower_advert_keepalived_ours_backup() {
    hears_a_lower_advert(Cast::ours_below(Kind::Keepalived));
}

#[test]
fn s09_hears_a_lower_advert_frr_ours_master() {
    hears_a_lower_advert(Cast::ours_above(Kind::Frr));
}

#[test]
fn s09_hears_a_lower_advert_frr_ours_backup() {
    hears_a_lower_advert(Cast::ours_below(Kind::Frr));
}
