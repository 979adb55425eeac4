//! docs/interop.md is written by a run of the interop tests; it must not fall behind them.

use hafleet_tests::interop;

use super::{read, root};

#[test]
fn the_interop_document_has_every_scenario_test_and_no_other() {
    let tests = interop::scenario_tests(&root().join("tests/interop")).unwrap();
    assert!(tests.len() > 50, "found only {tests:?}");
    let document = read(&root().join("docs/interop.md"));
    let is_named = |test: &&String| document.contains(&format!("| `{test}` |"));
    let missing: Vec<_> = tests.iter().filter(|test| !is_named(test)).collect();
    assert!(missing.is_empty(), "docs/interop.md lacks {missing:?}: run `make interop`");
    let named = document.lines().filter_map(|line| line.strip_suffix("` |")?.rsplit_once("| `"));
    let gone: Vec<_> =
        named.map(|(_, test)| test).filter(|test| !tests.iter().any(|one| one == test)).collect();
    assert!(gone.is_empty(), "docs/interop.md names tests that are gone: {gone:?}: run `make interop`");
    assert!(!document.contains("**FAILED**"), "docs/interop.md was written by a run that failed");
}
