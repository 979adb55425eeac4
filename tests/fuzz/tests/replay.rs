//! Every file of every corpus, through the body of its target.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing there")]

use std::{
    collections::BTreeSet,
    fs, panic,
    path::{Path, PathBuf},
};

use hafleet_fuzz::{Reached, TARGETS, Target};

/// All corpora together stay small enough to be replayed by everybody, always.
const MOST_FILES: usize = 300;
const MOST_BYTES: u64 = 1 << 20;

fn corpus(target: &Target) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("reading {}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(target: &Target) {
    let mut reached = Reached::new();
    for file in corpus(target) {
        let bytes = fs::read(&file).unwrap();
        match panic::catch_unwind(|| (target.run)(&bytes)) {
            Ok(more) => reached.extend(more),
            Err(wrong) => {
                println!("{} with {}", target.name, file.display());
                panic::resume_unwind(wrong);
            }
        }
    }
    let missing: BTreeSet<&str> =
        target.must_reach.iter().copied().filter(|what| !reached.contains(*what)).collect();
    assert!(
        missing.is_empty(),
        "the corpus of {} no longer reaches {missing:?}: if its bytes are read otherwise now, run `make fuzz`",
        target.name
    );
}

/// One test for each target; one without a test is found by `every_target_is_replayed`.
macro_rules! replays {
    ($($name:ident),+ $(,)?) => {
        const REPLAYED: &[&str] = &[$(stringify!($name)),+];
        $(
            #[test]
            fn $name() {
                replay(&hafleet_fuzz::$name::TARGET);
            }
        )+
    };
}

replays!(agent_toml, decoder, fence, fleet, heard, keepalived_conf, router);

#[test]
fn every_target_is_replayed() {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, REPLAYED);
}

#[test]
fn the_corpora_are_small() {
    let files: Vec<PathBuf> = TARGETS.iter().flat_map(corpus).collect();
    let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(files.len() <= MOST_FILES && bytes <= MOST_BYTES, "{} files, {bytes} bytes", files.len());
}

/// A replay that finds nothing wrong in anything proves nothing.
#[test]
fn a_body_that_panics_fails_the_replay() {
    let target = Target { name: "router", run: |_| panic!("wrong"), must_reach: &[] };
    assert!(panic::catch_unwind(|| replay(&target)).is_err());
    let target = Target { name: "router", run: |_| Reached::new(), must_reach: &["anything"] };
    assert!(panic::catch_unwind(|| replay(&target)).is_err());
}
