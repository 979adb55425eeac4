//! Writes docs/interop.md from what the interop tests of this build left: `interop DOCUMENT FOLDER-OF-THE-TESTS`.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail, ensure};
use hafleet_tests::{
    bench::machine::{describe, first_line},
    interop,
};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [document, folder] = arguments.as_slice() else {
        bail!("usage: interop DOCUMENT FOLDER-OF-THE-TESTS");
    };
    let tests = interop::scenario_tests(Path::new(folder))?;
    ensure!(!tests.is_empty(), "no scenario tests in {folder}");
    let rows = interop::read(&tests)?;
    let mut machine = describe()?;
    machine.row(vec!["FRR".into(), first_line(Command::new("/usr/lib/frr/vrrpd").arg("--version"))?]);
    let text = interop::document(&rows, &machine.markdown())?;
    fs::write(document, text).with_context(|| format!("writing {document}"))?;
    println!("{document}: {} rows of {} tests", rows.len(), tests.len());
    Ok(())
}
