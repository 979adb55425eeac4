//! Reading the history.

use ha_coordinator::store::{EventRow, Happening, MAX_ROWS, TransitionFilter};
use hafleet_fleet::VrrpState;

use super::fixture::{Fixture, T0, transition, transition_of, transitions};

fn all() -> TransitionFilter {
    TransitionFilter { limit: MAX_ROWS, ..TransitionFilter::default() }
}

/// `node instance seq` of what a filter finds, and whether it was cut.
async fn found(fixture: &Fixture, filter: TransitionFilter) -> (Vec<String>, bool) {
    let page = fixture.store.transitions(&filter).await.unwrap();
    let rows =
        page.rows.into_iter().map(|row| format!("{} {} {}", row.node, row.instance, row.seq)).collect();
    (rows, page.truncated)
}

pub async fn newest_oldest_first(fixture: Fixture) {
    fixture.enroll("lb01").await;
    fixture.append("lb01", "j1", &transitions(1, 5), T0).await;
    let whole = |limit| TransitionFilter { limit, ..all() };
    let last_two = vec!["lb01 vi1 4".to_owned(), "lb01 vi1 5".to_owned()];
    assert_eq!(found(&fixture, whole(2)).await, (last_two.clone(), true));
    assert_eq!(found(&fixture, whole(5)).await.0.len(), 5);
    assert!(!found(&fixture, whole(5)).await.1, "exactly as many as the limit is not cut");
    assert_eq!(found(&fixture, whole(0)).await, (last_two[1..].to_vec(), true), "a limit of 0 is 1");
    assert_eq!(found(&fixture, whole(u32::MAX)).await.0.len(), 5);

    let row = fixture.store.transitions(&whole(1)).await.unwrap().rows.remove(0);
    assert_eq!(
        (row.journal_id.as_str(), row.vrid, row.from_state, row.to_state),
        ("j1", 51, VrrpState::Backup, VrrpState::Master)
    );
    assert_eq!(
        (row.reason.as_str(), row.detail.as_str(), row.at_us, row.received_us),
        ("master_down", "event 5", T0, T0)
    );
}

pub async fn filters(fixture: Fixture) {
    for node in ["lb01", "lb02", "lb03"] {
        fixture.enroll(node).await;
        let events = [transition_of("web", 1), transition_of("db", 2)];
        fixture.append(node, "j1", &events, T0 + i64::from(node.as_bytes()[3])).await;
    }
    let since = |number: u8| T0 + i64::from(b'0' + number);
    let some = |filter| async { found(&fixture, filter).await.0 };
    assert_eq!(
        some(TransitionFilter { node: Some("lb02".into()), ..all() }).await,
        ["lb02 web 1", "lb02 db 2"]
    );
    assert_eq!(some(TransitionFilter { node: Some("lb09".into()), ..all() }).await, [""; 0]);
    let web = TransitionFilter { instance: Some("web".into()), ..all() };
    assert_eq!(some(web.clone()).await, ["lb01 web 1", "lb02 web 1", "lb03 web 1"]);
    assert_eq!(
        some(TransitionFilter { since_us: since(2), ..web.clone() }).await,
        ["lb02 web 1", "lb03 web 1"]
    );
    assert_eq!(some(TransitionFilter { since_us: since(4), ..all() }).await, [""; 0]);
    assert_eq!(some(TransitionFilter { node: Some("lb01".into()), ..web }).await, ["lb01 web 1"]);

    let pair = |node: &str, instance: &str| (node.to_owned(), instance.to_owned());
    let pairs = |pairs| TransitionFilter { nodes_and_instances: Some(pairs), ..all() };
    let group = pairs(vec![pair("lb03", "db"), pair("lb01", "web"), pair("lb02", "mail")]);
    assert_eq!(some(group.clone()).await, ["lb01 web 1", "lb03 db 2"]);
    assert_eq!(some(TransitionFilter { node: Some("lb03".into()), ..group }).await, ["lb03 db 2"]);
    let twice = pairs(vec![pair("lb01", "web"), pair("lb01", "web")]);
    assert_eq!(some(twice).await, ["lb01 web 1"]);
    assert_eq!(some(pairs(Vec::new())).await, [""; 0], "no members, no transitions");
    let injection = TransitionFilter { node: Some("' OR 1=1 --".into()), ..all() };
    assert_eq!(some(injection).await, [""; 0]);
}

/// After an outage the nodes send their backlogs in turn: each journal stays in order, and the newest are the last
/// received, whatever the nodes' clocks say.
pub async fn backlogs_keep_each_journals_order(fixture: Fixture) {
    fixture.enroll("lb01").await;
    fixture.enroll("lb02").await;
    let backwards = |seq: u64| EventRow { at_us: T0 - i64::try_from(seq).unwrap(), ..transition(seq) };
    fixture.append("lb02", "j1", &[backwards(1), backwards(2)], T0 + 50).await;
    // The coordinator was restarted and its clock stepped back.
    fixture.append("lb01", "j1", &[backwards(1), backwards(2), backwards(3)], T0 + 10).await;
    fixture.append("lb02", "j1", &[backwards(3)], T0 + 20).await;
    let (rows, _) = found(&fixture, all()).await;
    assert_eq!(rows, ["lb02 vi1 1", "lb02 vi1 2", "lb01 vi1 1", "lb01 vi1 2", "lb01 vi1 3", "lb02 vi1 3"]);
}

pub async fn every_state(fixture: Fixture) {
    fixture.enroll("lb01").await;
    let mut events = Vec::new();
    for &from in VrrpState::ALL {
        for &to in VrrpState::ALL {
            let seq = events.len() as u64 + 1;
            let what = Happening::Transition { instance: "vi1".into(), vrid: 255, from, to };
            events.push(EventRow { what, ..transition(seq) });
        }
    }
    fixture.append("lb01", "j1", &events, T0).await;
    for (row, sent) in fixture.history().await.into_iter().zip(&events) {
        let Happening::Transition { vrid, from, to, .. } = &sent.what else { panic!("{sent:?}") };
        assert_eq!((row.vrid, row.from_state, row.to_state), (*vrid, *from, *to));
    }
    assert_eq!(fixture.history().await.len(), 16);
}

/// A group of more members than one statement can name: the newest of all of them are found, in their order.
pub async fn of_many_members(fixture: Fixture) {
    let names = ["lb01", "lb02", "lb03"];
    for name in names {
        fixture.enroll(name).await;
    }
    for seq in 1..=4 {
        for name in names {
            fixture.append(name, "j1", &[transition(seq)], T0).await;
        }
    }
    let strangers = |from: &'static str| (0..9_000).map(move |n| (format!("{from}-{n}"), "vi1".to_owned()));
    // lb01 and lb03 are asked for by the first and by the last of several statements.
    let members = [("lb01".to_owned(), "vi1".to_owned()), ("lb03".to_owned(), "vi1".to_owned())];
    let members: Vec<_> = strangers("a").chain(members).chain(strangers("lb02")).collect();
    let group = |limit| TransitionFilter { nodes_and_instances: Some(members.clone()), limit, ..all() };
    let newest = ["lb03 vi1 3", "lb01 vi1 4", "lb03 vi1 4"].map(str::to_owned).to_vec();
    assert_eq!(found(&fixture, group(3)).await, (newest, true));
    assert_eq!(found(&fixture, group(8)).await.0.len(), 8);
    assert!(!found(&fixture, group(8)).await.1);
    let few: Vec<_> = members.iter().skip(8_998).take(1_100).cloned().collect();
    let few = TransitionFilter { nodes_and_instances: Some(few), ..all() };
    assert_eq!(found(&fixture, few).await.0.len(), 8, "more than the depth of an expression in SQLite");
}
