//! S12: what does not match. Nobody is muted by it, and ours says what both values are.

use std::time::Duration;

use hafleet_tests::lab::{Daemon, Instance, Kind, wait_for};

use crate::{
    pair::{Cast, Node, Pair, SOON, WAKE, longest_gap, moment},
    report::Report,
};

/// What must become of the other one's adverts.
enum Expect {
    /// Rejected for this reason; both values are told.
    Rejected(&'static str, &'static [&'static str]),
    /// Accepted with this remark; both values are told.
    Remarked(&'static str, &'static [&'static str]),
    /// Accepted without a word.
    Accepted,
}

struct Case {
    what: &'static str,
    ours: Instance,
    peer: Instance,
    expect: Expect,
}

/// How long the wire is watched.
const WATCHED: Duration = Duration::from_millis(4_500);

fn v2() -> Instance {
    Instance { version: 2, interval: Duration::from_secs(1), ..Instance::default() }
}

fn v2_pass(pass: &str) -> Instance {
    Instance { pass: Some(pass.into()), ..v2() }
}

fn vips(instance: Instance, vips: &[&str]) -> Instance {
    Instance { vips: vips.iter().map(|vip| (*vip).into()).collect(), ..instance }
}

/// Those that every peer can have.
fn plain_cases() -> Vec<Case> {
    let slow = Instance { interval: Duration::from_secs(2), ..v2() };
    let v3 = Instance { interval: Duration::from_secs(1), ..Instance::default() };
    vec![
        Case {
            what: "version 2: ours 1 s, theirs 2 s",
            ours: v2(),
            peer: slow,
            expect: Expect::Rejected("interval_mismatch", &["2 s", "1 s"]),
        },
        Case {
            what: "ours version 2, theirs 3",
            ours: v2(),
            peer: v3.clone(),
            expect: Expect::Rejected("version_mismatch", &["is 3", "ours is 2"]),
        },
        Case {
            what: "ours version 3, theirs 2",
            ours: v3.clone(),
            peer: v2(),
            expect: Expect::Rejected("version_mismatch", &["is 2", "ours is 3"]),
        },
        Case {
            what: "other addresses: ours .100, theirs .101",
            ours: vips(v3.clone(), &["10.77.0.100/24"]),
            peer: vips(v3.clone(), &["10.77.0.101/24"]),
            expect: Expect::Remarked("address_mismatch", &["10.77.0.101", "ours are 10.77.0.100"]),
        },
        Case {
            what: "other order: ours .100 .101, theirs .101 .100",
            ours: vips(v3.clone(), &["10.77.0.100/24", "10.77.0.101/24"]),
            peer: vips(v3.clone(), &["10.77.0.101/24", "10.77.0.100/24"]),
            expect: Expect::Accepted,
        },
        Case {
            what: "other prefix length: ours /24, theirs /32",
            ours: vips(v3.clone(), &["10.77.0.100/24"]),
            peer: vips(v3, &["10.77.0.100/32"]),
            expect: Expect::Accepted,
        },
    ]
}

/// Those with passwords.
fn password_cases() -> Vec<Case> {
    vec![
        Case {
            what: "passwords 1111 and 2222",
            ours: v2_pass("1111"),
            peer: v2_pass("2222"),
            expect: Expect::Rejected("auth_mismatch", &["password is not ours"]),
        },
        Case {
            what: "ours has a password, theirs has none",
            ours: v2_pass("1111"),
            peer: v2(),
            expect: Expect::Rejected("auth_mismatch", &["is none", "ours is pass"]),
        },
        Case {
            what: "theirs has a password, ours has none",
            ours: v2(),
            peer: v2_pass("1111"),
            expect: Expect::Rejected("auth_mismatch", &["is pass", "ours is none"]),
        },
        Case {
            what: "their password is longer than 8 bytes, ours is its first 8",
            ours: v2_pass("correcth"),
            peer: v2_pass("correcthorse"),
            expect: Expect::Accepted,
        },
    ]
}

/// Every case is a virtual router of its own on the same two hosts.
fn mismatches(cast: Cast, mut cases: Vec<Case>) {
    let (ours_at, peer_at) = if cast.higher.is_ours() { (0, 1) } else { (1, 0) };
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for (vrid, case) in (51..).zip(&mut cases) {
        let place = |instance: &mut Instance, priority| {
            (instance.vrid, instance.priority) = (vrid, priority);
            for vip in &mut instance.vips {
                // Of its own, like the VRID.
                *vip = vip.replace("10.77.0.", &format!("10.77.{vrid}."));
            }
        };
        place(&mut case.ours, if ours_at == 0 { 150 } else { 100 });
        place(&mut case.peer, if ours_at == 0 { 100 } else { 150 });
        ours.push(case.ours.clone());
        peers.push(case.peer.clone());
    }
    let kinds = [cast.higher, cast.lower];
    let mut pair = Pair::new((kinds[0], Instance::default()), (kinds[1], Instance::default()));
    pair.nodes[peer_at].daemon =
        Some(Daemon::start(kinds[peer_at], &pair.nodes[peer_at].host, &peers).unwrap());
    pair.nodes[ours_at].daemon =
        Some(Daemon::start(kinds[ours_at], &pair.nodes[ours_at].host, &ours).unwrap());
    let (ours, peer) = (&pair.nodes[ours_at], &pair.nodes[peer_at]);
    // Every one of ours has decided: at 1 s nobody needs longer than 3.7 s.
    for case in &cases {
        let is_settled = |state: &str| match case.expect {
            Expect::Rejected(..) => state == "MASTER",
            Expect::Remarked(..) | Expect::Accepted => {
                state == if ours_at == 0 { "MASTER" } else { "BACKUP" }
            }
        };
        wait_for(&format!("{} to settle", case.what), SOON, || {
            let state = ours.daemon().state(case.ours.vrid)?.unwrap_or_default();
            Ok(is_settled(&state).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}", pair.logs()));
    }
    let began = moment();
    pair.watch_for(WATCHED);
    let mut report: Option<Report> = None;
    for case in &cases {
        let report = match &mut report {
            Some(report) => {
                report.row(case.what);
                report
            }
            None => report.insert(Report::new("S12", cast, case.what)),
        };
        judge(report, &pair, case, ours, peer, began);
    }
}

fn judge(report: &mut Report, pair: &Pair, case: &Case, ours: &Node, peer: &Node, began: Duration) {
    let vrid = case.ours.vrid;
    let said = |node: &Node| pair.capture.cadence(began, vrid, node.source.into());
    let is_master = ours.daemon().state(vrid).unwrap().as_deref() == Some("MASTER");
    if is_master {
        let gap = longest_gap(&said(ours));
        // A router that is muted misses whole intervals.
        let most = case.ours.interval + WAKE * 2;
        assert!(said(ours).len() >= 4, "{}: {:?}", case.what, said(ours));
        report.at_most("ours is MASTER and audible: longest gap", gap, most);
    } else {
        report.saw("ours is BACKUP");
    }
    let theirs = said(peer);
    let their_state = peer.daemon().state(case.peer.vrid).unwrap().unwrap_or_default();
    report.saw(match theirs.len() {
        0 => format!("{} is {their_state} and silent", peer.kind.name()),
        count => format!(
            "{} is {their_state} and advertised {count} times in {} ms",
            peer.kind.name(),
            WATCHED.as_millis()
        ),
    });
    if theirs.is_empty() && is_master {
        // Before it gave way it was heard, or it never spoke at all.
        match case.expect {
            Expect::Rejected(..) => {}
            Expect::Remarked(..) | Expect::Accepted => return,
        }
    }
    let heard = ours.daemon().heard(vrid, &peer.source.to_string()).unwrap();
    let heard = heard.unwrap_or_else(|| panic!("{}: nothing heard\n{}", case.what, pair.logs()));
    let find = |list: &str, reason: &str| {
        heard[list].as_array().into_iter().flatten().find(|one| one["reason"] == reason).cloned()
    };
    match case.expect {
        Expect::Rejected(reason, values) | Expect::Remarked(reason, values) => {
            let list = if matches!(case.expect, Expect::Rejected(..)) { "rejected" } else { "remarked" };
            let found = find(list, reason).unwrap_or_else(|| panic!("{}: no {reason} in {heard}", case.what));
            let detail = found["detail"].as_str().unwrap().to_owned();
            for value in values {
                let value = value.replace("10.77.0.", &format!("10.77.{vrid}."));
                assert!(detail.contains(&value), "{}: {detail:?} lacks {value:?}", case.what);
            }
            report.saw(format!("`ha-agent status`: {list} {reason}: {detail}"));
        }
        Expect::Accepted => {
            assert_eq!(heard["rejected"].as_array().map(Vec::len), Some(0), "{}: {heard}", case.what);
            assert_eq!(heard["remarked"].as_array().map(Vec::len), Some(0), "{}: {heard}", case.what);
            report.saw("accepted without a remark");
        }
    }
}

fn all_cases() -> Vec<Case> {
    plain_cases().into_iter().chain(password_cases()).collect()
}

#[test]
fn s12_mismatches_ours() {
    // Our own reader refuses a password that the wire would cut.
    let cases = all_cases().into_iter().filter(|case| !case.what.contains("longer")).collect();
    mismatches(Cast::OURS, cases);
}

#[test]
fn s12_mismatches_keepalived_ours_master() {
    mismatches(Cast::ours_above(Kind::Keepalived), all_cases());
}

#[test]
fn s12_mismatches_keepalived_ours_backup() {
    mismatches(Cast::ours_below(Kind::Keepalived), all_cases());
}

#[test]
fn s12_mismatches_frr_ours_master() {
    mismatches(Cast::ours_above(Kind::Frr), plain_cases());
}

#[test]
fn s12_mismatches_frr_ours_backup() {
    mismatches(Cast::ours_below(Kind::Frr), plain_cases());
}
