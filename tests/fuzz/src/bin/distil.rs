//! Chooses what stays in a corpus: `distil TARGET KEPT MOST CONTROL`.
//!
//! CONTROL is libFuzzer's merge control file: candidates, and which edges of the program each one reaches. To these come
//! what the target's body says it got to. The files in the folder KEPT stay; of the others the one that adds most is
//! copied there, again and again, until nothing is added or MOST files are there.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a tool of the developer's says what is wrong and stops"
)]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use hafleet_fuzz::{TARGETS, Target};
// What instrumented code calls. Its own `main` stays out, for there is one here.
use libfuzzer_sys as _;

/// One file, and what it reaches.
struct Candidate {
    path: PathBuf,
    size: usize,
    reaches: BTreeSet<String>,
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, kept, most, control] = arguments.as_slice() else {
        panic!("usage: distil TARGET KEPT MOST CONTROL")
    };
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let (kept, most): (&Path, usize) = (Path::new(kept), most.parse().expect("a number"));
    let text = fs::read_to_string(control).unwrap_or_else(|error| panic!("reading {control}: {error}"));
    let (old, mut new): (Vec<_>, Vec<_>) =
        candidates(target, &text).into_iter().partition(|it| it.path.starts_with(kept));

    let mut files = old.len();
    let mut reached: BTreeSet<String> = old.into_iter().flat_map(|candidate| candidate.reaches).collect();
    while files < most {
        for candidate in &mut new {
            candidate.reaches.retain(|what| !reached.contains(what));
        }
        new.retain(|candidate| !candidate.reaches.is_empty());
        // What the body told weighs as much as it can: a corpus must reach it.
        let worth = |it: &Candidate| {
            let told = it.reaches.iter().filter(|what| !what.starts_with("edge ")).count();
            (told, it.reaches.len(), usize::MAX - it.size)
        };
        let Some(best) = (0..new.len()).max_by_key(|at| new.get(*at).map(worth)) else { break };
        let best = new.swap_remove(best);
        fs::copy(&best.path, kept.join(best.path.file_name().expect("a name"))).expect("copied");
        reached.extend(best.reaches);
        files += 1;
    }
    let edges = reached.iter().filter(|what| what.starts_with("edge ")).count();
    println!("fuzz: {name}: {files} files reach {edges} edges");
    for missing in target.must_reach.iter().filter(|what| !reached.contains(**what)) {
        println!("fuzz: {name}: nothing reaches `{missing}` yet");
    }
}

/// The control file: how many candidates, how many of them are old, their names; then `FT number edge…` for each.
fn candidates(target: &Target, control: &str) -> Vec<Candidate> {
    let mut lines = control.lines();
    let count: usize = lines.next().and_then(|line| line.parse().ok()).expect("the number of files");
    let mut candidates: Vec<Candidate> = lines
        .by_ref()
        .skip(1)
        .take(count)
        .map(|name| {
            let bytes = fs::read(name).unwrap_or_else(|error| panic!("reading {name}: {error}"));
            Candidate { path: name.into(), size: bytes.len(), reaches: (target.run)(&bytes) }
        })
        .collect();
    for line in lines {
        let mut words = line.split(' ');
        if words.next() == Some("FT") {
            let at: usize = words.next().and_then(|word| word.parse().ok()).expect("a file's number");
            let candidate = candidates.get_mut(at).expect("a file");
            candidate.reaches.extend(words.map(|edge| format!("edge {edge}")));
        }
    }
    candidates
}
