//! How long a file may be, and what may not stand in one.

use super::{project_files, read, root};

const MOST_LINES: usize = 600;

#[test]
fn no_source_file_is_over_600_lines() {
    for path in project_files() {
        let source = path
            .extension()
            .is_some_and(|extension| ["rs", "proto", "sql", "ts"].iter().any(|e| extension == *e));
        if source {
            let lines = read(&path).lines().count();
            assert!(lines <= MOST_LINES, "{} has {lines} lines: split it", path.display());
        }
    }
}

#[test]
fn no_test_is_ignored_and_nothing_is_left_to_do() {
    // In pieces, so that this file does not find itself.
    let forbidden = [
        concat!("#[", "ignore"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("FIX", "ME"),
    ];
    for path in
        project_files().iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
    {
        let text = read(path);
        for word in forbidden {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
    }
}

#[test]
fn unsafe_code_is_in_its_one_module() {
    let allow = concat!("allow(", "unsafe_code");
    let found: Vec<_> = project_files()
        .into_iter()
        .filter(|path| {
            path.extension().is_some_and(|extension| extension == "rs") && read(path).contains(allow)
        })
        .collect();
    assert!(
        found.iter().all(|path| *path == root().join("agent/src/net/link_layer.rs")),
        "unsafe code is allowed in agent/src/net/link_layer.rs only, not in {found:?}"
    );
}
