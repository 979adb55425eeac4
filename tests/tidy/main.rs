//! The house rules that a machine can check: edges between crates, pure cores, file length, licences, migration parity,
//! that every store method is exercised on both databases, that docs/interop.md has every interop test, and docs/fencing-rules.md every
//! rule of fencing with its tests.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing there")]

mod crates;
mod fencing;
mod files;
mod interop;
mod reasons;
mod store;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The workspace's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every file that git tracks or would track.
fn project_files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let files: Vec<_> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| root().join(line))
        .filter(|path| path.is_file())
        .collect();
    assert!(files.len() > 50, "only {} files: is this the project's checkout?", files.len());
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}
