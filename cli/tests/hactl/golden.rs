//! What each verb prints, in each format and on terminals of several widths.

use crate::{
    run::Desk,
    sample::{split, well},
};

/// Every verb that lists or shows.
const SHOWS: &[(&str, &[&str])] = &[
    ("status", &["status"]),
    ("get_nodes", &["get", "nodes"]),
    ("get_groups", &["get", "groups"]),
    ("get_instances", &["get", "instances"]),
    ("get_findings", &["get", "findings", "--all"]),
    ("get_transitions", &["get", "transitions"]),
    ("get_tokens", &["get", "tokens"]),
    ("get_audit", &["get", "audit"]),
    ("user_list", &["user", "list"]),
    ("describe_node", &["describe", "node", "lb01"]),
    ("describe_group", &["describe", "group", "web"]),
    ("describe_group_probe", &["describe", "group", "db", "--probe"]),
    ("describe_fence", &["describe", "fence", "lb02"]),
    ("describe_finding", &["describe", "finding", "split_brain.confirmed@dc1/192.168.178.3#1"]),
    ("explain", &["explain", "web"]),
    ("get_fences", &["get", "fences"]),
];

fn compare(name: &str, desk: &Desk, arguments: &[&str], columns: u16) -> String {
    let ran = desk.run_at(columns, arguments);
    assert_eq!(ran.stderr, "", "{arguments:?}");
    let stdout = desk.stable(&ran.stdout);
    insta::with_settings!({ description => arguments.join(" "), omit_expression => true }, {
        insta::assert_snapshot!(name, stdout);
    });
    stdout
}

#[test]
fn every_verb_in_every_format() {
    let desk = Desk::new(split());
    for (name, arguments) in SHOWS {
        for format in ["table", "wide", "json", "jsonl"] {
            let arguments = [*arguments, &["-o", format]].concat();
            let text = compare(&format!("{name}_{format}"), &desk, &arguments, 100);
            match format {
                "json" => drop(serde_json::from_str::<serde_json::Value>(&text).unwrap()),
                "jsonl" => {
                    assert!(!text.is_empty());
                    for line in text.lines() {
                        assert!(
                            serde_json::from_str::<serde_json::Value>(line).unwrap().is_object(),
                            "{line}"
                        );
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn tables_fit_the_terminal() {
    let desk = Desk::new(split());
    for (name, arguments) in SHOWS {
        for columns in [80, 100, 120] {
            let ran = desk.run_at(columns, arguments);
            for line in ran.stdout.lines() {
                let width = line.chars().count();
                assert!(width <= usize::from(columns), "{width} columns of {columns} in {name}: {line}");
            }
        }
        compare(&format!("{name}_at_80"), &desk, arguments, 80);
    }
}

#[test]
fn a_fleet_that_is_well_says_so() {
    let desk = Desk::new(well());
    let text = compare("status_well", &desk, &["status"], 100);
    assert_eq!(text.lines().next(), Some("fleet is well: 3 nodes, 2 groups, no findings"));
}

#[test]
fn quiet_is_the_answer_alone() {
    let desk = Desk::new(split());
    let ran = desk.run(&["status", "-q"]);
    assert_eq!((ran.stdout.as_str(), ran.code), ("1 critical finding\n", Some(1)));
    let titled = desk.run(&["get", "groups"]).stdout;
    let bare = desk.run(&["get", "groups", "-q"]).stdout;
    assert_eq!(bare.lines().count() + 1, titled.lines().count());
    assert!(!bare.contains("HOLDER"), "{bare}");
}

#[test]
fn stale_is_never_shown_as_master() {
    let desk = Desk::new(split());
    for arguments in [&["get", "instances"][..], &["get", "nodes"], &["describe", "node", "lb03"]] {
        for format in ["table", "wide"] {
            let text = desk.run(&[arguments, &["-o", format]].concat()).stdout;
            let lb03 = text.lines().filter(|line| line.contains("MASTER") && line.contains("lb03"));
            let mut seen = 0;
            for line in lb03 {
                assert!(line.contains("stale (was"), "{line}");
                seen += 1;
            }
            assert!(seen > 0, "{arguments:?} does not show what lb03 was: {text}");
        }
    }
}

#[test]
fn colour_is_asked_for_and_never_alone() {
    let desk = Desk::new(split());
    let plain = desk.run(&["get", "groups"]).stdout;
    assert!(!plain.contains('\u{1b}'), "a pipe gets no colour");
    let coloured = desk.run(&["get", "groups", "--color", "always"]).stdout;
    assert!(coloured.contains('\u{1b}'));
    let mut without = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        without.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    without.push_str(rest);
    assert_eq!(without, plain, "colour changes nothing else");
}

#[test]
fn filters_select() {
    let desk = Desk::new(split());
    let ids = |arguments: &[&str], field: &str| -> Vec<String> {
        let ran = desk.run(&[arguments, &["-o", "json"]].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&ran.stdout).unwrap();
        rows.iter().map(|row| row[field].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&["get", "nodes", "lb02"], "node"), ["lb02"]);
    assert_eq!(ids(&["get", "nodes", "--site", "dc2"], "node"), [""; 0]);
    assert_eq!(ids(&["get", "groups", "--node", "lb02"], "group"), ["web"]);
    assert_eq!(ids(&["get", "groups", "dc1/192.168.178.4/24"], "group"), ["db"]);
    assert_eq!(ids(&["get", "instances", "--node", "lb02"], "node"), ["lb02"]);
    assert_eq!(ids(&["get", "instances", "VI_1", "--group", "web"], "node"), ["lb01", "lb02"]);
    assert_eq!(ids(&["get", "findings"], "status"), ["firing", "pending"]);
    assert_eq!(ids(&["get", "findings", "--group", "web"], "subject"), ["dc1/192.168.178.3"]);
    assert_eq!(ids(&["get", "findings", "--all", "--node", "lb03"], "status"), ["pending", "resolved"]);
    assert_eq!(ids(&["get", "findings", "--all", "--since", "24h"], "status"), ["firing", "pending"]);
    assert_eq!(ids(&["get", "transitions", "--node", "lb01", "--limit", "1"], "to"), ["MASTER"]);
    assert_eq!(
        ids(&["get", "transitions", "--since", "2026-11-23T10:58:00+01:00"], "node"),
        ["lb02", "lb01"]
    );
    assert_eq!(ids(&["get", "transitions", "--group", "dc1/db"], "node"), [""; 0]);
    assert_eq!(ids(&["get", "tokens", "t-0002"], "state"), ["open"]);
    assert_eq!(ids(&["get", "audit", "node/lb01"], "action"), ["enroll"]);
    let refused =
        ["get", "audit", "--action", "fence", "--outcome", "refused", "--since", "1h", "--limit", "7"];
    assert_eq!(desk.run(&refused).code, Some(0));
    let asked = desk.coordinator.asked();
    for field in ["action: \"fence\"", "outcome: \"refused\"", "limit: 7", "since_us: 1795428191000000"] {
        assert!(asked.contains(field), "{field}: {asked}");
    }
    let asked = desk.coordinator.asked();
    assert!(asked.contains("since_us: 1795345391000000"), "24 h before the coordinator's now: {asked}");
}

#[test]
fn what_is_cut_says_so() {
    let desk = Desk::new(split());
    let ran = desk.run(&["get", "transitions", "--limit", "2"]);
    assert_eq!(ran.stderr, "Only the newest 2 are shown; more with --limit N (at most 10000).\n");
    assert_eq!(desk.run(&["get", "transitions", "--limit", "2", "-q"]).stderr, "");
    assert_eq!(desk.run(&["get", "instances", "--node", "lb09"]).stderr, "No instances.\n");
}

#[test]
fn a_peer_cannot_draw_on_the_terminal() {
    let mut script = split();
    script.fleet.groups[0].members[0].reason_detail = "\u{1b}[2J\u{7}owned".to_owned();
    let desk = Desk::new(script);
    let text = desk.run(&["describe", "group", "web"]).stdout;
    assert!(text.contains("owned") && !text.contains('\u{1b}') && !text.contains('\u{7}'), "{text}");
}

/// Who answers for an address is asked anew when somebody wants it, and only then.
#[test]
fn a_probe_is_asked_for() {
    let desk = Desk::new(split());
    assert_eq!(desk.run(&["describe", "group", "web"]).stderr, "");
    assert!(!desk.coordinator.asked().contains("ProbeGroupRequest"));
    let ran = desk.run(&["describe", "group", "dc1/web", "--probe"]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.stderr, "Asked to look again, and not answered in time: lb02.\n");
    assert!(ran.stdout.contains("02:00:00:00:00:01 (lb01)"), "{}", ran.stdout);
    assert!(ran.stdout.contains("02:00:00:00:00:66 (not a known member)"), "{}", ran.stdout);
    let asked = desk.coordinator.asked();
    assert!(asked.contains("ProbeGroupRequest { group: \"web\", site: \"dc1\" }"), "{asked}");
    let json: serde_json::Value =
        serde_json::from_str(&desk.run(&["describe", "group", "web", "--probe", "-o", "json"]).stdout)
            .unwrap();
    assert_eq!(json["probe"]["answered"], serde_json::json!(["lb01"]));
    assert_eq!(json["witnesses"][1]["age_ms"], 4000);
    let mut script = split();
    script.away = true;
    let ran = Desk::new(script).run(&["describe", "group", "web", "--probe"]);
    assert_eq!(ran.stderr, "Nobody could be asked: no node of its site is connected.\n");
    assert_eq!(desk.run(&["describe", "group", "none", "--probe"]).code, Some(3));
}

/// Right after a restart the coordinator shows what it stored, and does not know how old that is.
#[test]
fn what_was_not_heard_since_a_restart_has_no_age() {
    let mut script = split();
    let fleet = &mut script.fleet;
    for node in &mut fleet.nodes {
        (node.ever_heard, node.fresh, node.age_us) = (false, false, 0);
    }
    for member in fleet.groups.iter_mut().flat_map(|group| &mut group.members) {
        (member.ever_heard, member.fresh, member.age_us) = (false, false, 0);
    }
    let desk = Desk::new(script);
    let json = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&desk.run(&[arguments, &["-o", "json"]].concat()).stdout).unwrap()
    };
    let groups = json(&["get", "groups"]);
    assert!(groups[0]["members"][0]["age_ms"].is_null(), "{groups}");
    let instances = json(&["get", "instances"]);
    assert!(instances[0]["age_ms"].is_null() && instances[0]["since"].is_null(), "{instances}");
    let node = json(&["describe", "node", "lb01"]);
    assert!(node["heard"][0]["age_ms"].is_null() && node["instances"][0]["since"].is_null(), "{node}");
    for arguments in [&["get", "instances"][..], &["describe", "group", "web"], &["describe", "node", "lb01"]]
    {
        let text = desk.run(arguments).stdout;
        assert!(!text.contains("<1s ago"), "{text}");
    }
    let text = desk.run(&["get", "instances"]).stdout;
    assert!(text.contains("not heard since"), "{text}");
}

/// The limit counts what is asked for, not what is thrown away afterwards.
#[test]
fn a_site_is_selected_before_the_limit() {
    let mut script = split();
    script.transitions[0].instance = "VI_2".to_owned();
    let desk = Desk::new(script);
    for name in ["db", "dc1/db", "dc1/192.168.178.4"] {
        let ran = desk.run(&["get", "transitions", "--group", name, "--limit", "1", "-o", "json"]);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(rows.len(), 1, "{name}: {}", ran.stderr);
        assert_eq!(rows[0]["instance"], "VI_2");
    }
    assert_eq!(
        desk.run(&["get", "transitions", "--group", "dc2/db"]).code,
        desk.run(&["explain", "none"]).code
    );
}
