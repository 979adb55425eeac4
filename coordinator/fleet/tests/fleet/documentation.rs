//! docs/operations.md has every kind of finding and every cause.

use std::{collections::BTreeSet, fs, path::Path};

use hafleet_fleet::{CauseCode, FindingKind};

fn section() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("docs/operations.md: {error}"));
    let section = text.split("\n## ").find(|section| section.starts_with("Findings\n"));
    section.unwrap_or_else(|| panic!("docs/operations.md has no section `Findings`")).to_owned()
}

#[test]
fn every_kind_of_finding_has_a_paragraph_and_no_other() {
    let section = section();
    let headings = section.lines().filter_map(|line| line.strip_prefix("### ")?.split(' ').next());
    let documented: BTreeSet<&str> = headings.collect();
    assert_eq!(documented, FindingKind::ALL.iter().map(|kind| kind.as_str()).collect());
}

#[test]
fn every_cause_code_is_named() {
    let section = section();
    let missing: Vec<_> =
        CauseCode::ALL.iter().filter(|code| !section.contains(&format!("`{code}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
