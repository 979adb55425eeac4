//! What hafleet is fuzzed with: each module is one target, whose `run` takes any bytes and panics when something is wrong.
//!
//! The bodies know nothing of libFuzzer. `make fuzz` builds the programs of `src/bin/` around them and lets it look for
//! bytes; `tests/replay.rs` runs the same bodies over every file of `corpus/` in the ordinary tests.
//!
//! A `run` returns what it got to ([`Reached`]). The replay compares that with what a target must get to, so that a corpus
//! which no longer means anything, because the reading of its bytes changed, fails instead of passing in silence.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a target says what is wrong by panicking"
)]

pub mod agent_toml;
pub mod decoder;
mod draw;
pub mod fence;
pub mod fleet;
pub mod heard;
pub mod keepalived_conf;
pub mod router;
mod text;

use std::{collections::BTreeSet, env, sync::LazyLock};

/// What an input got to: rejection codes, transitions, inputs, findings: whatever tells that it meant something.
pub type Reached = BTreeSet<String>;

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of its module, its program (`fuzz_…`) and its folder in `corpus/`.
    pub name: &'static str,
    /// Its body.
    pub run: fn(&[u8]) -> Reached,
    /// What its corpus must get to.
    pub must_reach: &'static [&'static str],
}

/// Every target.
pub const TARGETS: [Target; 7] = [
    agent_toml::TARGET,
    decoder::TARGET,
    fence::TARGET,
    fleet::TARGET,
    heard::TARGET,
    keepalived_conf::TARGET,
    router::TARGET,
];

/// Tells what happens when `HAFLEET_TELL` is set: for the replay of one file.
pub(crate) fn tell(what: impl FnOnce() -> String) {
    static IS_TOLD: LazyLock<bool> = LazyLock::new(|| env::var_os("HAFLEET_TELL").is_some());
    if *IS_TOLD {
        println!("{}", what());
    }
}
