//! What the interop tests found: one row for each test, kept beside the build, and the table made of them.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What one test tried and what happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The test function.
    pub test: String,
    /// `S1` to `S25`.
    pub scenario: String,
    /// Who the other router was.
    pub peer: String,
    /// Which part ours had.
    pub ours: String,
    /// What was done.
    pub tried: String,
    /// What was seen, in the order of the test.
    pub happened: Vec<String>,
    /// Whether everything was as it must be.
    pub passed: bool,
}

/// Where the rows of this build's tests are: `interop-rows/` beside its programs.
pub fn results() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("finding the target folder")?;
    // target/debug/deps/interop-… or target/debug/interop
    let folder = exe.ancestors().find(|folder| folder.join("deps").is_dir());
    Ok(folder.context("not run from a target folder")?.join("interop-rows"))
}

/// Keeps a test's rows, in place of those of an earlier run.
pub fn keep(test: &str, rows: &[Row]) -> Result<()> {
    let folder = results()?;
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let path = folder.join(format!("{test}.json"));
    let text = serde_json::to_string_pretty(rows)?;
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
}

/// The rows of these tests, in their order; an error names a test that left none.
pub fn read(tests: &[String]) -> Result<Vec<Row>> {
    let folder = results()?;
    let mut rows = Vec::new();
    for test in tests {
        let path = folder.join(format!("{test}.json"));
        let text = fs::read_to_string(&path)
            .with_context(|| format!("{test} left no result in {}: run `make interop`", folder.display()))?;
        let more: Vec<Row> =
            serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        rows.extend(more);
    }
    Ok(rows)
}

/// The names of all scenario tests in this folder (`tests/interop`), sorted: functions named `sNN_…`.
pub fn scenario_tests(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let text = fs::read_to_string(entry?.path())?;
        let names = text.lines().filter_map(|line| line.strip_prefix("fn ")?.split('(').next());
        found.extend(names.filter(|name| is_scenario(name)).map(String::from));
    }
    found.sort();
    Ok(found)
}

fn is_scenario(name: &str) -> bool {
    match name.as_bytes() {
        [b's', tens, ones, b'_', ..] => tens.is_ascii_digit() && ones.is_ascii_digit(),
        _ => false,
    }
}

/// The document; `machine` is a table of what it ran on.
pub fn document(rows: &[Row], machine: &str) -> Result<String> {
    let mut text = String::from(INTRODUCTION);
    writeln!(text, "\n{}\n", machine.trim_end())?;
    let failed = rows.iter().filter(|row| !row.passed).count();
    writeln!(text, "{} rows, {failed} failed.", rows.len())?;
    for (scenario, title, note) in SCENARIOS {
        let of_scenario: Vec<_> = rows.iter().filter(|row| row.scenario == *scenario).collect();
        if of_scenario.is_empty() {
            continue;
        }
        writeln!(text, "\n## {scenario}. {title}\n")?;
        if !note.is_empty() {
            writeln!(text, "{note}\n")?;
        }
        writeln!(text, "| peer | ours | tried | happened | test |\n| --- | --- | --- | --- | --- |")?;
        for row in of_scenario {
            let outcome = if row.passed { "" } else { "**FAILED** " };
            writeln!(
                text,
                "| {} | {} | {} | {outcome}{} | `{}` |",
                row.peer,
                row.ours,
                cell(&row.tried),
                cell(&row.happened.join("; ")),
                row.test
            )?;
        }
    }
    Ok(text)
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

const INTRODUCTION: &str = "\
# Interoperability

Written by `make interop` from the tests in `tests/interop`: nothing here is typed by hand, and the numbers are those of that
run. Two routers of one virtual router stand in network namespaces on one switch; what was on the wire is a capture
at the switch, and who had the address is what the kernels told. `ours` says which part ha-agent had: *higher* and
*lower* are priorities. Times are milliseconds; a time is followed by the bounds that the test asserts.

A router that is woken up late is late: on top of what the protocol says, an upper bound has 50 ms for two processes that
are woken one after the other. keepalived and FRR are allowed the same, and FRR may be 10 ms early: it counts in
centiseconds and rounds its skew down. Every daemon ran with real-time scheduling, so that nothing else was measured.
";

/// The scenarios of the specification in order, and what a reader of their rows must know.
const SCENARIOS: &[(&str, &str, &str)] = &[
    ("S1", "Election, and what the adverts look like", ""),
    ("S2", "The master dies", ""),
    ("S3", "The master is stopped", ""),
    ("S4", "nopreempt, a partition and its end", ""),
    ("S5", "preempt_delay and what cancels it", "FRR has no preempt_delay: it is the lower one only."),
    ("S6", "Equal priorities", ""),
    ("S7", "Two owners (priority 255)", "FRR's priorities end at 254: no rows with it."),
    ("S8", "A master hears priority 0", ""),
    ("S9", "A master hears a lower advert", ""),
    ("S10", "Split and heal", ""),
    ("S11", "The learned interval", ""),
    ("S12", "Configurations that do not match", "FRR has no passwords."),
    ("S13", "Junk at ten times the advert rate", ""),
    ("S14", "Checksum forms", ""),
    ("S15", "Links and addresses that go and return", ""),
    ("S16", "kill -9, freeze, restart", ""),
    (
        "S17",
        "Reload",
        "The file of ours is rewritten and it gets SIGHUP; neither the peer nor the address moves.",
    ),
    (
        "S19",
        "Tracking",
        "Each alone with the same keepalived.conf; what the scripts, interfaces and files say changes four times.",
    ),
    ("S21", "Unicast", ""),
    (
        "S22",
        "IPv6",
        "FRR's first advert after a takeover finds no source address yet and is missing: it is allowed an interval more. What it announces is told, not asserted.",
    ),
    ("S23", "Virtual MAC", ""),
    ("S24", "A long freeze, and clocks that are set", ""),
    ("S25", "255 instances", "What keepalived does on the other side is told, not asserted."),
];
