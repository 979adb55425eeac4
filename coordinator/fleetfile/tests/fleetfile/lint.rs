//! What is wrong together.

use std::collections::BTreeMap;

use hafleet_fleetfile::{FenceDevice, Known, KnownNode, lint};

use crate::{TWO, read};

fn known() -> Known {
    let node = |address: &str| KnownNode {
        site: "dc1".into(),
        interfaces: BTreeMap::from([("ens33".to_owned(), vec![address.parse().unwrap()])]),
    };
    Known {
        nodes: BTreeMap::from([
            ("lb01".to_owned(), node("192.168.178.131")),
            ("lb02".to_owned(), node("192.168.178.132")),
        ]),
        fence_devices: Vec::new(),
    }
}

fn lines(text: &str, known: Option<&Known>) -> Vec<String> {
    lint(&read(text), known).iter().map(ToString::to_string).collect()
}

/// One group of two members, with a second one after it.
fn two_groups(second: &str) -> String {
    let first = "[[group]]\nname = \"web\"\nsite = \"dc1\"\nvrid = 51\naddresses = [\"192.168.178.3/24\"]\n\
                 [[group.member]]\nnode = \"lb01\"\ninterface = \"ens33\"\npriority = 150\n\
                 [[group.member]]\nnode = \"lb02\"\ninterface = \"ens33\"\npriority = 100\n";
    format!("{first}{second}")
}

fn second(name: &str, site: &str, vrid: u8, address: &str, interface: &str, nodes: [&str; 2]) -> String {
    let members: String = nodes
        .iter()
        .zip([150, 100])
        .map(|(node, priority)| {
            format!(
                "[[group.member]]\nnode = \"{node}\"\ninterface = \"{interface}\"\npriority = {priority}\n"
            )
        })
        .collect();
    format!(
        "[[group]]\nname = \"{name}\"\nsite = \"{site}\"\nvrid = {vrid}\naddresses = [\"{address}\"]\n{members}"
    )
}

#[test]
fn what_is_well_is_not_remarked_on() {
    let file = two_groups(&second("db", "dc1", 52, "192.168.178.4/24", "ens33", ["lb02", "lb01"]));
    assert_eq!(lines(&file, Some(&known())), Vec::<String>::new());
}

#[test]
fn a_vrid_is_unique_in_its_layer_2_world() {
    let clash = |site, address, interface, nodes| {
        lines(&two_groups(&second("db", site, 51, address, interface, nodes)), None)
    };
    let same = clash("dc1", "10.0.0.4/24", "ens33", ["lb03", "lb04"]);
    assert_eq!(
        same,
        [
            "14:1: error: dc1/db has VRID 51, which dc1/web has on the same network already (choose another VRID, 1 to 255)"
        ]
    );
    let network = clash("dc1", "192.168.178.4/24", "eth0", ["lb03", "lb04"]);
    assert!(network[0].contains("error: dc1/db has VRID 51"), "{network:?}");
    let apart = clash("dc1", "10.0.0.4/24", "eth0", ["lb03", "lb04"]);
    assert!(apart.len() == 1 && apart[0].contains("warning: dc1/db has VRID 51"), "{apart:?}");
    assert_eq!(clash("dc2", "10.0.0.4/24", "ens33", ["lb03", "lb04"]), Vec::<String>::new());
    assert_eq!(
        clash("dc1", "fe80::4/64", "ens33", ["lb03", "lb04"]),
        Vec::<String>::new(),
        "IPv6 counts apart"
    );
}

#[test]
fn an_address_is_in_one_group_of_a_site() {
    let found =
        lines(&two_groups(&second("db", "dc1", 52, "192.168.178.3/24", "ens33", ["lb01", "lb02"])), None);
    assert!(
        found.len() == 1 && found[0].contains("error: 192.168.178.3 is held by dc1/web already"),
        "{found:?}"
    );
    let elsewhere =
        lines(&two_groups(&second("db", "dc2", 52, "192.168.178.3/24", "ens33", ["lb03", "lb04"])), None);
    assert_eq!(elsewhere, Vec::<String>::new());
}

#[test]
fn a_node_is_at_one_site_and_known() {
    let found = lines(
        &two_groups(&second("db", "dc2", 52, "10.0.0.4/24", "ens33", ["lb01", "lb04"])),
        Some(&known()),
    );
    let has = |words: &str| assert!(found.iter().any(|line| line.contains(words)), "{words}: {found:#?}");
    has("error: lb01 is a member of dc1/web already");
    has("error: lb01 is at site dc1, but the group at dc2");
    has("error: there is no node lb04 in the fleet (let it join first: hactl node token --node lb04)");
}

#[test]
fn addresses_are_in_the_network_of_their_interface() {
    let found = lines(&two_groups("").replace("192.168.178.3/24", "10.9.0.3/24"), Some(&known()));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains(
        "warning: 10.9.0.3/24 is not in the network of ens33 on lb01, whose address is 192.168.178.131"
    ));
    let whole = lines(&two_groups("").replace("192.168.178.3/24", "10.9.0.3"), Some(&known()));
    assert_eq!(whole, Vec::<String>::new(), "a /32 is in no network");
}

#[test]
fn priorities_say_who_is_preferred_and_an_address_has_one_owner() {
    let equal = lines(&two_groups("").replace("priority = 100", "priority = 150"), None);
    assert!(
        equal.len() == 1 && equal[0].contains("warning: lb01 and lb02 both have priority 150"),
        "{equal:?}"
    );
    let owners = two_groups("")
        .replace("priority = 100", "priority = 255")
        .replace("priority = 150", "priority = 255");
    let owners = lines(&owners, None);
    assert!(
        owners.len() == 1 && owners[0].contains("error: lb01 and lb02 both have priority 255"),
        "{owners:?}"
    );
    let owner = two_groups("")
        .replace("priority = 150", "priority = 255\ntrack = [{ interface = \"hb0\", weight = -10 }]")
        .replace("vrid = 51", "vrid = 51\npreempt = false");
    let owner = lines(&owner, None);
    assert!(owner.iter().any(|line| line.contains("it preempts always")), "{owner:?}");
    assert!(owner.iter().any(|line| line.contains("priority 255 is never changed: `hb0`")), "{owner:?}");
}

#[test]
fn a_lone_member_is_remarked_on() {
    let found = lines(TWO, None);
    assert!(found.iter().any(|line| line.contains("warning: dc1/six has one member")), "{found:?}");
}

#[test]
fn the_way_to_fence_is_not_the_way_that_may_be_lost() {
    let device = |node: &str, address: &str| FenceDevice {
        name: format!("ipmi-{node}"),
        node: node.into(),
        address: address.parse().unwrap(),
    };
    let devices = vec![
        device("lb01", "192.168.178.200"),
        device("lb01", "10.1.1.1"),
        // It fences nobody who could hold the address.
        device("lb09", "192.168.178.209"),
    ];
    let inside = Known { fence_devices: devices, ..known() };
    let found = lines(&two_groups(""), Some(&inside));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains(
        "warning: lb01 is fenced by ipmi-lb01 at 192.168.178.200, in the network of 192.168.178.3/24"
    ));
}
