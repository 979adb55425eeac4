//! The two databases stay one: same migrations, same columns, and a conformance case for every method.

use std::{collections::BTreeSet, fs, path::Path};

use super::{read, root};

#[test]
fn both_engines_have_the_same_migrations() {
    let (sqlite, postgres) = (names("sqlite"), names("postgres"));
    assert!(!sqlite.is_empty(), "no migrations found");
    assert_eq!(sqlite, postgres, "migrations/sqlite and migrations/postgres differ");
    for (number, name) in sqlite.iter().enumerate() {
        assert!(
            name.starts_with(&format!("{:04}_", number + 1)),
            "{name} is out of line: number {} was due",
            number + 1
        );
    }
}

#[test]
fn every_store_method_is_in_the_conformance_suite() {
    let methods = methods(&root().join("coordinator/src/store"));
    assert!(methods.len() > 15, "found only {methods:?}");
    let suite: String = rust_files(&root().join("tests/store")).iter().map(|path| read(path)).collect();
    let missing: Vec<_> = methods
        .iter()
        .filter(|method| !suite.contains(&format!(".{method}(")) && !suite.contains(&format!("::{method}(")))
        .collect();
    assert!(missing.is_empty(), "not in tests/store: {missing:?}");
}

fn names(engine: &str) -> BTreeSet<String> {
    let folder = root().join("migrations").join(engine);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Every `pub async fn` of the store.
fn methods(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in rust_files(folder) {
        for line in read(&path).lines() {
            if let Some(rest) = line.trim().strip_prefix("pub async fn ") {
                found.insert(rest.split(['(', '<']).next().unwrap().to_string());
            }
        }
    }
    found
}

fn rust_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
