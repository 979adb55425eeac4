//! S14: the two checksums of version 3 over IPv4.

use hafleet_tests::lab::{Instance, Kind, vrrp, wait_for};

use crate::{
    pair::{Cast, Pair, SOON, moment},
    preemption::{STRANGER, forged},
    report::Report,
};

const WITHOUT: &str = "checksum = \"without-pseudo-header\"";

/// Ours sends without the pseudo-header, as RFC 9568 has it; the peer as it does.
fn other_form(cast: Cast) {
    let mut report =
        Report::new("S14", cast, "ours sends its checksum without the pseudo-header, the peer with it");
    // Only agent.toml can say it.
    let of = |kind: Kind| if kind.is_ours() { Kind::Ours } else { kind };
    let is_first = cast.higher.is_ours();
    let form = |is_without: bool| if is_without { WITHOUT.to_owned() } else { String::new() };
    let mut pair = Pair::new(
        (of(cast.higher), Instance { priority: 150, ours: form(is_first), ..Instance::default() }),
        (of(cast.lower), Instance { ours: form(!is_first), ..Instance::default() }),
    );
    for node in &mut pair.nodes {
        node.start();
    }
    let began = moment();
    let (ours, peer) = if is_first { (0, 1) } else { (1, 0) };
    pair.watch_for(pair.nodes[1].instance.master_down(pair.nodes[1].instance.interval) * 4);
    for frame in pair.capture.frames() {
        let Some(advert) = frame.advert() else { continue };
        if advert.source == pair.nodes[ours].source {
            assert!(advert.is_right_without_pseudo_header(), "{advert:?}");
        } else if advert.source == pair.nodes[peer].source {
            assert!(advert.is_right_with_pseudo_header(), "{advert:?}");
        }
    }
    let speak = [0, 1].map(|index| !pair.cadence(index, began).is_empty());
    if pair.nodes[0].kind.is_ours() && pair.nodes[1].kind.is_ours() {
        assert!(pair.nodes[0].holds() && !pair.nodes[1].holds(), "{}", pair.logs());
        report.saw("each accepts the other's: the higher MASTER, the lower silent");
    } else if is_first {
        report.saw(match speak {
            [true, false] => format!("{} accepts it and is BACKUP", pair.nodes[peer].kind.name()),
            _ => format!("{} rejects it and advertises too", pair.nodes[peer].kind.name()),
        });
        assert!(pair.nodes[0].holds(), "{}", pair.logs());
    } else {
        assert!(!pair.nodes[1].holds(), "ours follows a higher one\n{}", pair.logs());
        report.saw("ours accepts the other's and is BACKUP");
    }
    let heard = pair.nodes[ours].daemon().heard(51, &pair.nodes[peer].source.to_string()).unwrap();
    if let Some(heard) = heard {
        assert_eq!(heard["rejected"].as_array().map(Vec::len), Some(0), "{heard}");
    }
}

#[test]
fn s14_other_form_ours() {
    other_form(Cast::OURS);
}

#[test]
fn s14_other_form_keepalived_ours_master() {
    other_form(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s14_other_form_keepalived_ours_backup() {
    other_form(Cast::ours_below(Kind::Keepalived));
}

#[test]
fn s14_other_form_frr_ours_master() {
    other_form(Cast::ours_above(Kind::Frr));
}

#[test]
fn s14_other_form_frr_ours_backup() {
    other_form(Cast::ours_below(Kind::Frr));
}

/// Neither form is "any": a sum that is right in neither is rejected.
#[test]
fn s14_both_forms_and_none_other_ours() {
    let mut report =
        Report::new("S14", Cast::OURS, "a master hears priority 254 in either form, and with a wrong sum");
    let pair = Pair::elected(Cast::OURS, &Instance::default());
    let (envelope, with) = forged(&pair, 254);
    let without = vrrp::with_checksum(with.clone(), vrrp::checksum(&with));
    let wrong = vrrp::with_checksum(with.clone(), 0x1234);
    pair.client.send("eth0", &[envelope.around(&wrong)]).unwrap();
    let rejected = wait_for("the wrong one to be counted", SOON, || {
        pair.nodes[0].daemon().heard(51, &STRANGER.to_string())
    })
    .unwrap();
    assert_eq!(rejected["rejected"][0]["reason"], "checksum", "{rejected}");
    assert!(pair.nodes[0].holds());
    report.saw(format!("a wrong sum: rejected, {}", rejected["rejected"][0]["detail"].as_str().unwrap()));
    for (form, message) in [("with", with), ("without", without)] {
        let frame = envelope.around(&message);
        pair.client.send("eth0", &[frame]).unwrap();
        // Believed: it gives way, and takes it back when nothing more is heard.
        wait_for("the master to give way", SOON, || Ok((!pair.nodes[0].holds()).then_some(()))).unwrap();
        report.saw(format!("{form} the pseudo-header: believed"));
        wait_for("it to be back", SOON, || Ok(pair.nodes[0].holds().then_some(()))).unwrap();
    }
    let heard = pair.nodes[0].daemon().heard(51, &STRANGER.to_string()).unwrap().unwrap();
    assert_eq!(heard["accepted"], 2, "{heard}");
}
