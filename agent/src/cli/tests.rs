use clap::{CommandFactory, error::ErrorKind};

use super::*;

/// As a terminal of 100 columns shows it.
fn help(arguments: &[&str]) -> String {
    let command = Cli::command().term_width(100);
    let asked = ["ha-agent"].iter().chain(arguments).chain(&["--help"]);
    let shown = command.try_get_matches_from(asked).unwrap_err();
    assert_eq!(shown.kind(), ErrorKind::DisplayHelp);
    shown.to_string()
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn help_for_newcomers() {
    for command in ["", "run", "check", "join", "status", "release"] {
        let arguments: &[&str] = if command.is_empty() { &[] } else { &[command] };
        let name = if command.is_empty() { "ha-agent" } else { command };
        let text = help(arguments);
        assert!(text.contains("Examples:"), "{name} has no examples");
        insta::assert_snapshot!(format!("help_{name}"), text);
    }
}

#[test]
fn wrong_use_is_told_apart() {
    for wrong in [
        &["run", "--lease", "fast"][..],
        &["run", "--lease", "0s"],
        &["join", "--token", "hat1.x"],
        &["join", "--coordinator", "a:b", "--token", "hat1.x"],
        &["status", "-o", "yaml"],
        &["start"],
        &[],
    ] {
        let error =
            Cli::command().try_get_matches_from(["ha-agent"].iter().chain(wrong)).expect_err("was taken");
        assert_eq!(error.exit_code(), 2, "{wrong:?}");
    }
}

/// The systemd unit gives both the same options.
#[test]
fn release_takes_the_lease_that_run_was_given() {
    let options = "--keepalived-conf keepalived.conf --state-dir /x --lease off";
    for command in ["run", "release"] {
        let cli = Cli::try_parse_from(format!("ha-agent {command} {options}").split(' ')).unwrap();
        let lease = match cli.command {
            Command::Run(run) => run.lease,
            Command::Release(release) => release.lease,
            other => panic!("{other:?}"),
        };
        assert_eq!(lease, Some(Lease::Off), "{command}");
    }
}

#[test]
fn coordinators_are_a_list() {
    let arguments = "ha-agent join --coordinator coord1:7443,[2001:db8::1] --token hat1.x --name lb01";
    let cli = Cli::try_parse_from(arguments.split(' ')).unwrap();
    let Command::Join(join) = cli.command else { panic!("{cli:?}") };
    let read: Vec<_> = join.coordinator.iter().map(ToString::to_string).collect();
    assert_eq!(read, ["coord1:7443", "[2001:db8::1]:7443"]);
    assert_eq!(join.site.as_str(), "default");
}
