//! `include`, with real files.

use std::{fs, path::Path};

use super::instance;
use crate::{Inputs, LoadError, Loaded, load};

fn read(directory: &Path, files: &[(&str, &str)]) -> Result<Loaded, LoadError> {
    for (name, text) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, text).expect("written");
    }
    load(&Inputs { keepalived: Some(directory.join("keepalived.conf")), ..Inputs::default() })
}

/// Reads files of which the first is keepalived.conf; gives the findings with names relative to the directory.
fn findings(files: &[(&str, &str)]) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let read = read(directory.path(), files);
    let findings = match &read {
        Ok(loaded) => &loaded.findings,
        Err(error) => &error.findings,
    };
    let prefix = format!("{}/", directory.path().display());
    findings.iter().map(|finding| finding.to_string().replace(&prefix, "")).collect()
}

#[test]
fn files_are_read_in_place_relative_to_the_including_file_in_the_order_of_their_names() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let named = |name: &str, vrid: u8| {
        let text = instance("").replace("VI_1", name).replace("id 51", &format!("id {vrid}"));
        text.replace("178.3", &format!("178.{vrid}"))
    };
    let (first, second, third) = (named("A", 1), named("B", 2), named("C", 3));
    let loaded = read(
        directory.path(),
        &[
            ("keepalived.conf", "include conf.d/*.conf\nglobal_defs {\ninclude sub/global.conf\n}\n"),
            ("conf.d/20.conf", &second),
            ("conf.d/10.conf", "include ../sub/a.conf\n"),
            ("conf.d/30.conf", &third),
            ("conf.d/readme.txt", "not read"),
            ("sub/a.conf", &first),
            ("sub/global.conf", "vrrp_version 3\n"),
        ],
    )
    .unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.findings.is_empty(), "{:?}", loaded.findings);
    let names: Vec<&str> = loaded.config.instances.iter().map(|instance| instance.name.as_str()).collect();
    assert_eq!(names, ["A", "B", "C"]);
    assert!(loaded.config.instances.iter().all(|instance| instance.version == hafleet_vrrp::Version::V3));
    assert!(
        loaded.config.instances[0].defined_at.file.ends_with("sub/a.conf"),
        "places name the file they are in"
    );
}

#[test]
fn a_mistake_is_shown_in_the_file_that_has_it() {
    let found = findings(&[("keepalived.conf", "include a.conf\n"), ("a.conf", "\nfoo\n")]);
    assert_eq!(
        found[0],
        "a.conf:2:1: error: `foo` is not a keyword outside every block (docs/configuration.md lists every keyword)"
    );
}

#[test]
fn a_cycle_is_an_error() {
    let found =
        findings(&[("keepalived.conf", "include a.conf\n"), ("a.conf", "include ./keepalived.conf\n")]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("a.conf:1:9: error: `./keepalived.conf` includes itself"), "{found:?}");
    let itself = findings(&[("keepalived.conf", "include *.conf\n")]);
    assert!(
        itself[0].starts_with("keepalived.conf:1:9: error: `keepalived.conf` includes itself"),
        "{itself:?}"
    );
}

#[test]
fn depth_and_number_are_bounded() {
    let chain: Vec<(String, String)> =
        (0..40).map(|n| (format!("{n}.conf"), format!("include {}.conf\n", n + 1))).collect();
    let mut files: Vec<(&str, &str)> =
        chain.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    files.push(("keepalived.conf", "include 0.conf\n"));
    let found = findings(&files);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("at most 1000 files, 16 deep, may be included"), "{found:?}");

    // Each file includes the next twice: 2^12 readings without a bound.
    let doubling: Vec<(String, String)> = (0..12)
        .map(|n| (format!("{n}.conf"), format!("include {0}.conf\ninclude {0}.conf\n", n + 1)))
        .collect();
    let mut files: Vec<(&str, &str)> =
        doubling.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    files.extend([("12.conf", ""), ("keepalived.conf", "include 0.conf\n")]);
    let found = findings(&files);
    assert!(found.iter().any(|found| found.contains("at most 1000 files")), "{found:?}");
}

#[test]
fn what_is_missing_is_said() {
    let found = findings(&[("keepalived.conf", "include none.conf\n")]);
    assert!(
        found[0].starts_with("keepalived.conf:1:9: error: `none.conf` cannot be read: No such file"),
        "{found:?}"
    );
    let found = findings(&[("keepalived.conf", "include none/*.conf\n")]);
    assert!(found[1].starts_with("keepalived.conf:1:9: warning: no file matches `none/*.conf`"), "{found:?}");
    let found = findings(&[("keepalived.conf", "includea none/*.conf\n")]);
    assert!(found[0].starts_with("keepalived.conf:1:10: error: no file matches `none/*.conf`"), "{found:?}");
    let found = findings(&[("keepalived.conf", "include a.conf b.conf\n")]);
    assert!(
        found[0]
            .starts_with("keepalived.conf:1:1: error: `include` takes one file name or pattern, here are 2"),
        "{found:?}"
    );
    let found = findings(&[("keepalived.conf", "include {a,b}.conf\n")]);
    assert!(
        found[0].starts_with("keepalived.conf:1:9: error: braces in the pattern of `include`"),
        "{found:?}"
    );
}

#[test]
fn a_block_does_not_reach_into_another_file() {
    let found = findings(&[("keepalived.conf", "global_defs {\ninclude a.conf\n"), ("a.conf", "}\n")]);
    let starts: Vec<&str> = found.iter().map(|found| found.split(" (").next().unwrap_or("")).collect();
    assert_eq!(
        starts,
        [
            "keepalived.conf:1:13: error: the block of `global_defs` is never closed",
            "a.conf:1:1: error: this `}` closes nothing"
        ]
    );
}

#[test]
fn pipes_are_never_waited_for() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let fifo = directory.path().join("conf.d/a.fifo");
    fs::create_dir_all(fifo.parent().expect("a directory")).expect("made");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs");
    assert!(made.success());
    let found = read(directory.path(), &[("keepalived.conf", "include conf.d/*\ninclude conf.d/a.fifo\n")]);
    let error = found.expect_err("a pipe is no file to include").to_string();
    assert!(error.contains("1:9: warning: `conf.d/*` matches `"), "{error}");
    assert!(error.contains("2:9: error: `") && error.contains("a.fifo` is not a regular file"), "{error}");
}
