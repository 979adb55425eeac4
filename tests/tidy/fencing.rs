//! docs/fencing-rules.md names the rules of fencing, their refusals and their tests; all of them are there, and no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use hafleet_fleet::fence::RefusalCode;

use super::{read, root};

const FOLDER: &str = "coordinator/fleet/tests/fence";
const RULES: usize = 23;

/// The page before and after its proof.
fn page() -> (String, String) {
    let text = read(&root().join("docs/fencing-rules.md"));
    let (rules, proof) = text.split_once("\n## Proof\n").unwrap();
    (rules.to_owned(), proof.to_owned())
}

/// Every word in backticks.
fn words(text: &str) -> BTreeSet<&str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The rows of a table by the rule that they begin with.
fn rows(text: &str) -> BTreeMap<usize, String> {
    let mut found: BTreeMap<usize, String> = BTreeMap::new();
    for line in text.lines() {
        let number = line.strip_prefix("| ").and_then(|rest| rest.split_once(" |")?.0.parse().ok());
        if let Some(number) = number {
            found.entry(number).or_default().push_str(line);
        }
    }
    found
}

/// Whether the file of a test, named from the root or in the folder of the fencing core's, has it.
fn exists(test: &str) -> bool {
    let Some((place, name)) = test.rsplit_once("::") else { return false };
    let path = if place.contains('/') { format!("{place}.rs") } else { format!("{FOLDER}/{place}.rs") };
    fs::read_to_string(root().join(path)).is_ok_and(|text| text.contains(&format!("fn {name}(")))
}

#[test]
fn every_test_that_proves_a_rule_of_fencing_is_there() {
    let (_, proof) = page();
    let named: Vec<&str> = words(&proof).into_iter().filter(|word| word.contains("::")).collect();
    assert!(named.len() > 60, "found only {named:?}");
    let gone: Vec<&&str> = named.iter().filter(|test| !exists(test)).collect();
    assert!(gone.is_empty(), "docs/fencing-rules.md names tests that are gone: {gone:?}");
    assert!(!exists("limits::rule_1_that_nobody_wrote") && !exists("nowhere::x"), "the check can fail");
}

#[test]
fn every_rule_of_fencing_is_on_the_page_and_has_a_proof() {
    let (rules, proof) = page();
    let every: Vec<usize> = (1..=RULES).collect();
    let (told, proven) = (rows(&rules), rows(&proof));
    assert_eq!(told.into_keys().collect::<Vec<_>>(), every);
    assert_eq!(proven.keys().copied().collect::<Vec<_>>(), every);
    assert!(proven.values().all(|row| row.contains("::")), "a rule without a test: {proven:#?}");
}

#[test]
fn every_test_of_a_rule_of_fencing_is_on_the_page() {
    let (_, proof) = page();
    let named = words(&proof);
    let mut missing = Vec::new();
    for entry in fs::read_dir(root().join(FOLDER)).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let Some(text) = path.is_file().then(|| read(&path)) else { continue };
        let tests = text.lines().filter_map(|line| line.strip_prefix("fn rule_")?.split_once("()"));
        missing.extend(
            tests
                .map(|(name, _)| format!("{stem}::rule_{name}"))
                .filter(|test| !named.contains(test.as_str())),
        );
    }
    assert!(missing.is_empty(), "docs/fencing-rules.md does not name {missing:?}");
}

#[test]
fn every_refusal_of_fencing_is_on_the_page() {
    let (rules, _) = page();
    let named = words(&rules);
    let missing: Vec<&str> =
        RefusalCode::ALL.iter().map(|code| code.as_str()).filter(|code| !named.contains(code)).collect();
    assert!(missing.is_empty(), "docs/fencing-rules.md does not name {missing:?}");
}
