//! Every `--help`, found by walking the commands that each help lists.

use std::path::Path;

use crate::run::{Ran, bare};

#[test]
fn every_help_is_golden() {
    let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let ran: Ran = bare(Path::new("/nonexistent"), &arguments).output().unwrap().into();
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        for line in ran.stdout.lines() {
            assert!(line.chars().count() <= 120, "{arguments:?}: {line}");
        }
        let name = if path.is_empty() { "help".to_owned() } else { format!("help_{}", path.join("_")) };
        insta::with_settings!({ omit_expression => true }, {
            insta::assert_snapshot!(name, ran.stdout);
        });
        for command in commands(&ran.stdout).filter(|command| command != "help") {
            waiting.push([path.clone(), vec![command]].concat());
        }
        seen += 1;
    }
    assert!(seen >= 25, "only {seen} commands were found: is the help still read right?");
}

/// The names below `Commands:`.
fn commands(help: &str) -> impl Iterator<Item = String> {
    let below = help.split_once("Commands:\n").map_or("", |(_, below)| below);
    let list = below.split_once("\n\n").map_or(below, |(list, _)| list);
    list.lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(ToOwned::to_owned))
        .collect::<Vec<_>>()
        .into_iter()
}

#[test]
fn completion_names_the_verbs() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran: Ran = bare(Path::new("/nonexistent"), &["completion", shell]).output().unwrap().into();
        assert_eq!(ran.code, Some(0));
        for verb in ["status", "describe", "explain", "transitions", "revoke"] {
            assert!(ran.stdout.contains(verb), "{shell} does not complete {verb}");
        }
    }
}
