//! What differs.

use hafleet_fleetfile::{Change, FleetFile, What, diff};

use crate::{TWO, read};

fn lines(from: &FleetFile, to: &FleetFile) -> Vec<String> {
    diff(from, to).iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_differs_from_itself_however_it_is_written() {
    let other = TWO.replace("[[group]]", "# a comment\n[[group]]");
    assert!(diff(&read(TWO), &read(&other)).is_empty());
    assert!(diff(&read(TWO), &read(&read(TWO).to_string())).is_empty());
}

#[test]
fn each_difference_is_told_once() {
    for (from, to, expected) in [
        ("vrid = 51", "vrid = 53", vec!["~ group dc1/web: vrid 51 -> 53"]),
        ("lease = \"3s\"\n", "", vec!["~ group dc1/web: lease \"3s\" -> (default)"]),
        ("\"1111\"", "\"2222\"", vec!["~ group dc1/web: auth a password -> another password"]),
        ("priority = 150", "priority = 140", vec!["~ group dc1/web, member lb01: priority 150 -> 140"]),
        (
            "node = \"lb01\"",
            "node = \"lb03\"",
            vec!["- group dc1/web, member lb01", "+ group dc1/web, member lb03"],
        ),
        ("name = \"six\"", "name = \"v6\"", vec!["- group dc1/six", "+ group dc1/v6"]),
        ("weight = -60", "weight = -50", vec!["~ script nginx: weight -60 -> -50"]),
        (
            "\"192.168.178.3/24\", ",
            "",
            vec![
                "~ group dc1/web: addresses 192.168.178.3/24, { address = \"192.168.178.4/24\", label = \"ens33:4\" } -> \
                 { address = \"192.168.178.4/24\", label = \"ens33:4\" }",
            ],
        ),
    ] {
        let text = TWO.replacen(from, to, 1);
        let mut found = lines(&read(TWO), &read(&text));
        found.sort_by_key(|line| !line.starts_with('-'));
        assert_eq!(found, expected, "{to}");
    }
}

#[test]
fn a_new_fleet_is_all_new_and_no_password_is_ever_told() {
    let all = diff(&FleetFile::default(), &read(TWO));
    let names: Vec<&str> = all.iter().map(|change| change.subject.as_str()).collect();
    assert_eq!(names, ["script nginx", "script nobody", "group dc1/six", "group dc1/web"]);
    assert!(all.iter().all(|Change { what, .. }| *what == What::Added));
    let other = read(&TWO.replace("1111", "2222"));
    assert!(!format!("{:?}", diff(&read(TWO), &other)).contains("1111"));
}
