//! The reason codes of transitions are known wherever they are read.

use std::collections::BTreeSet;

use super::{read, root};

/// Every code that `agent/vrrp` gives: the words of `Reason::code` and `LinkFault::code`.
fn given() -> BTreeSet<String> {
    let text = read(&root().join("agent/vrrp/src/router/reason.rs"));
    let bodies = text.split("pub const fn code(").skip(1).map(|rest| rest.split("\n    }\n").next().unwrap());
    let words = bodies.flat_map(str::lines).filter_map(|line| line.trim().split_once("=> \""));
    words.map(|(_, word)| word.trim_end_matches("\",").to_owned()).collect()
}

#[test]
fn every_reason_code_is_documented_and_no_other() {
    let text = read(&root().join("docs/operations.md"));
    let (_, section) = text.split_once("\n## Reason codes of transitions\n").expect("the section");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let documented: BTreeSet<String> =
        rows.flat_map(|(codes, _)| codes.split("`, `").map(str::to_owned).collect::<Vec<_>>()).collect();
    let given = given();
    assert!(given.len() > 15, "found only {given:?}");
    assert_eq!(documented, given);
}

#[test]
fn every_reason_code_has_words_in_an_explanation() {
    let text = read(&root().join("coordinator/fleet/src/explain.rs"));
    let missing: Vec<_> =
        given().into_iter().filter(|code| !text.contains(&format!("\"{code}\" => "))).collect();
    assert!(missing.is_empty(), "explain.rs has no words for {missing:?}");
}
