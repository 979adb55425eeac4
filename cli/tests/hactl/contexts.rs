//! Context files and where they are kept.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::{
    run::{Desk, Ran, bare},
    sample::well,
};

fn run(desk: &Desk, arguments: &[&str]) -> Ran {
    bare(desk.directory.path(), arguments).output().unwrap().into()
}

#[test]
fn without_a_context_the_way_to_one_is_shown() {
    let desk = Desk::new(well());
    let ran = run(&desk, &["status"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("hactl context add FILE"), "{}", ran.stderr);
    let ran = run(&desk, &["context", "list"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
    let ran = run(&desk, &["context", "list", "-o", "json"]);
    assert_eq!(ran.stdout, "[]\n");
}

#[test]
fn added_used_listed_and_shown() {
    let desk = Desk::new(well());
    let file = desk.directory.path().join("admin.toml");
    let file = file.to_str().unwrap();
    let ran = run(&desk, &["context", "add", file]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    assert_eq!(ran.stderr, "Context admin is added.\nhactl now uses context admin.\n");
    assert_eq!(run(&desk, &["status"]).code, Some(0), "the first one is the current one");

    let kept = desk.directory.path().join("config/contexts/admin.toml");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(kept.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);

    assert_eq!(run(&desk, &["context", "add", file, "--name", "lab"]).stderr, "Context lab is added.\n");
    assert_eq!(run(&desk, &["context", "use", "lab"]).code, Some(0));
    for format in ["table", "wide", "json", "jsonl"] {
        let list = run(&desk, &["context", "list", "-o", format]);
        let show = run(&desk, &["context", "show", "-o", format]);
        assert_eq!((list.code, show.code), (Some(0), Some(0)));
        let text = desk.stable(&format!("{}\n{}", list.stdout, show.stdout));
        assert!(!text.contains("PRIVATE KEY"));
        insta::assert_snapshot!(format!("context_{format}"), text);
    }
    assert_eq!(run(&desk, &["status", "--context", "admin"]).code, Some(0), "by name");
}

#[test]
fn another_context_of_the_same_name_is_a_conflict() {
    let desk = Desk::new(well());
    let file = desk.directory.path().join("admin.toml");
    run(&desk, &["context", "add", file.to_str().unwrap()]);
    let again = run(&desk, &["context", "add", file.to_str().unwrap()]);
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), "Context admin is there already.\n"));
    let other = desk.write_context("other.toml", &desk.ca.pem(), &desk.ca.user("eve"), &["coord9:7443"]);
    let other = other.to_str().unwrap();
    let ran = run(&desk, &["context", "add", other]);
    assert_eq!(ran.code, Some(5), "{}", ran.stderr);
    assert!(ran.stderr.contains("--yes") && ran.stderr.contains("--name"), "{}", ran.stderr);
    assert_eq!(run(&desk, &["context", "add", other, "--yes"]).stderr, "Context admin is replaced.\n");
    assert!(run(&desk, &["context", "show"]).stdout.contains("coord9:7443"));
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let desk = Desk::new(well());
    let file = desk.directory.path().join("admin.toml");
    run(&desk, &["context", "add", file.to_str().unwrap()]);
    for arguments in
        [&["status", "--context", "prod"][..], &["context", "use", "prod"], &["context", "show", "../x"]]
    {
        let ran = run(&desk, arguments);
        assert_eq!(ran.code, Some(3), "{arguments:?}: {}", ran.stderr);
    }
    assert!(run(&desk, &["context", "use", "prod"]).stderr.contains("there are: admin"));
    let ran = run(&desk, &["status", "--context", "/nonexistent/admin.toml"]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("cannot read /nonexistent/admin.toml"), "{}", ran.stderr);
}

#[test]
fn a_bad_file_is_refused_with_its_place() {
    let desk = Desk::new(well());
    let good = fs::read_to_string(desk.directory.path().join("admin.toml")).unwrap();
    let (head, key) = good.split_once("key = '''").unwrap();
    let secret: String = key.lines().nth(2).unwrap().to_owned();
    for (name, text, words) in [
        ("no_key", head.to_owned(), "missing field `key`"),
        ("extra", format!("colour = 1\n{good}"), ":1:1: unknown field `colour`"),
        ("unclosed", good.replace("'''\nkey", "\nkey"), "unclosed.toml:"),
        ("port", good.replace("127.0.0.1:", "127.0.0.1:9"), "is not a port"),
        (
            "nobody",
            good.replace(&format!("\"{}\"", desk.coordinator.address), ""),
            "`coordinators`: it names no",
        ),
        ("no_ca", good.replacen("CERTIFICATE", "DIRT", 2), "`ca`: it holds no certificate in PEM"),
        ("garbled", good.replace(&secret, "!!!"), "`key`: "),
        (
            "stolen",
            good.replace(key, &format!("\n{}'''\n", desk.ca.user("eve").key)),
            "`key`: it does not fit `cert`",
        ),
    ] {
        let path = desk.directory.path().join(format!("{name}.toml"));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let ran = run(&desk, &["status", "--context", path.to_str().unwrap()]);
        assert_eq!(ran.code, Some(2), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{name}: {words:?} is not in {}", ran.stderr);
        assert!(!ran.stderr.contains(&secret), "{name}: the key is shown: {}", ran.stderr);
    }
}
