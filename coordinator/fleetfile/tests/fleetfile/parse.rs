//! Reading, and what is wrong with files.

use std::{fs, path::Path, time::Duration};

use hafleet_fleetfile::{CheckKind, Severity, parse};

use crate::{TWO, read};

/// What is wrong with a text, as it would be shown.
fn wrong(text: &str) -> Vec<String> {
    let Err(problems) = parse(text) else { panic!("nothing is wrong with it") };
    assert!(problems.iter().all(|problem| problem.severity == Severity::Error));
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn everything_is_read() {
    let file = read(TWO);
    assert_eq!(file.nodes(), ["lb01", "lb02"]);
    assert_eq!((file.checks.len(), file.checks[0].kind), (2, CheckKind::Script));
    let web = &file.groups[0];
    assert_eq!((web.key.to_string().as_str(), web.vrid, web.version), ("dc1/web", 51, 2));
    assert_eq!(web.settings["preempt"], "false");
    assert_eq!(web.settings["vmac"], "{ interface = \"vrrp.51\" }");
    assert_eq!(web.addresses[1].settings["label"], "\"ens33:4\"");
    assert_eq!(
        web.members[0].paths.as_deref(),
        Some("[{ interface = \"ens33\", peers = [\"192.168.178.132\"] }]")
    );
    assert!(!format!("{web:?}").contains("1111"), "a password is not shown");
    let six = &file.groups[1];
    assert!(six.is_ipv6());
    assert_eq!((six.version, six.advert_interval), (3, Duration::from_millis(100)));
}

#[test]
fn what_is_written_is_read_back() {
    let file = read(TWO);
    let written = file.to_string();
    let again = read(&written);
    assert_eq!(again.to_string(), written);
    for node in ["lb01", "lb02", "lb03"] {
        assert_eq!(again.compile(node), file.compile(node), "{node}");
    }
}

#[test]
fn each_mistake_is_told_with_its_place() {
    for (from, to, expected) in [
        ("vrid = 51", "vrid = 0", "14:8: error: `vrid` is a whole number from 1 to 255, here is 0"),
        ("vrid = 51", "vird = 51", "14:1: error: `vird` is not a key of [[group]] (did you mean `vrid`?)"),
        (
            "version = 2\n",
            "version = 4\n",
            "15:11: error: `version` is a whole number from 2 to 3, here is 4",
        ),
        ("\"1s\"", "\"100ms\"", "16:19: error: `advert_interval` is whole seconds"),
        ("\"100ms\"", "\"105ms\"", "41:19: error: `advert_interval` is a duration from"),
        ("version = 2\n", "version = 3\n", "17:1: error: version 3 has no authentication"),
        ("\"1111\"", "\"123456789\"", "17:34: error: `secret` is a string of 1 to 8 bytes, here are 9"),
        ("178.3/24", "178.3/33", "18:14: error: `addresses` is an address with its prefix length"),
        ("178.4/24", "178.3/24", "18:34: error: 192.168.178.3 is listed twice"),
        (
            "\"192.168.178.4/24\"",
            "\"fd00::1\"",
            "18:34: error: fd00::1 is not of the family of 192.168.178.3",
        ),
        (
            "script = \"nginx\" }",
            "script = \"apache\" }",
            "19:10: error: there is no script `apache` in this file",
        ),
        (
            "lease = \"3s\"",
            "lease = 3",
            "20:9: error: `lease` is a duration such as \"3s\", or \"off\", here is 3",
        ),
        (
            "node = \"lb02\"\n  interface = \"ens33\"\n  priority = 100",
            "node = \"lb01\"\n  interface = \"ens33\"\n  priority = 100",
            "31:3: error: lb01 is a member twice",
        ),
        (
            "interface = \"ens33\"\n  priority = 150",
            "interface = \"an-interface-too-long\"\n  priority = 150",
            "26:15: error: `interface` is the name of an interface",
        ),
        ("priority = 150", "priority = 256", "27:14: error: `priority` is a whole number from 1 to 255"),
        ("name = \"six\"", "name = \"web\"", "37:1: error: a second group dc1/web"),
        ("name = \"nobody\"", "name = \"nginx\"", "7:1: error: a second script named `nginx`"),
        ("advert_interval = \"100ms\"", "version = 2", "37:1: error: version 2 carries IPv4 only"),
        ("name = \"six\"\n", "", "37:1: error: this [[group]] has no `name`"),
        ("node = \"lb01\"", "node = \"../lb01\"", "25:10: error: `node` is 1 to 63 letters"),
        ("name = \"six\"", "name = \"a/b\"", "38:8: error: `name` is a name without `/`"),
        ("[[group]]\nname = \"six\"", "[[group]\nname = \"six\"", "37:"),
    ] {
        let text = TWO.replacen(from, to, 1);
        assert_ne!(text, TWO, "{from} is not there");
        let found = wrong(&text);
        assert!(found.iter().any(|line| line.starts_with(expected)), "{to}: {found:#?}");
    }
}

#[test]
fn several_mistakes_are_told_at_once_and_in_order() {
    let text = TWO.replace("vrid = 51", "vrid = 300").replace("priority = 100", "priority = \"high\"");
    let found = wrong(&text);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("14:8:") && found[1].contains("here is \"high\""), "{found:#?}");
}

#[test]
fn a_hostile_file_is_refused_in_bounds() {
    let found = wrong(&"x".repeat(hafleet_fleetfile::MOST_BYTES + 1));
    assert!(found[0].starts_with("error: the file has 1048577 bytes"), "{found:?}");
    let many: String = (0..5000).map(|n| format!("bad{n} = 1\n")).collect();
    let found = wrong(&many);
    assert_eq!(found.len(), 201, "200, and how many more");
    assert!(wrong("\"\\u0000\" = 1")[0].contains("is not a key"));
}

#[test]
fn the_documentation_has_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let document = fs::read_to_string(path).unwrap();
    let (_, section) = document.split_once("\n### The fleet's file\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    for key in [
        "name",
        "site",
        "vrid",
        "version",
        "advert_interval",
        "auth",
        "addresses",
        "track",
        "preempt",
        "preempt_delay",
        "lease",
        "checksum",
        "announcing",
        "unicast_ttl",
        "track_service",
        "answers_lower",
        "answers_higher",
        "accept",
        "vmac",
        "on_isolation",
        "node",
        "interface",
        "priority",
        "source",
        "paths",
    ] {
        assert!(section.contains(&format!("| `{key}`")), "docs/operations.md does not describe `{key}`");
    }
}
