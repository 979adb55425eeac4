//! A host behind a switch that leads nowhere gives its address up, if it is told to, when it is sure that it has no network at all.

use std::time::Duration;

use hafleet_tests::lab::{Host, Segment, wait_for};

use crate::fleet::{Fleet, SOON, configuration, status};

/// The client's address, which stands for a gateway.
const REFERENCE: &str = "192.168.178.10";
/// How long every coordinator must have been gone, and how often it is looked.
const GONE_FOR: Duration = Duration::from_secs(30);
const LOOKED_EVERY: Duration = Duration::from_secs(4);

/// An address that nothing but the agent takes off.
fn releasing(host: &Host, priority: u8) -> String {
    let references = format!("references = [\"{REFERENCE}\"]\n\n[[instance]]");
    let toml = configuration(host, priority).replace("\n[[instance]]", &references);
    format!("{toml}lease = \"off\"\non_isolation = \"release\"\n")
}

fn instance(host: &Host) -> (String, String) {
    let status = status(host);
    let text = |key: &str| status["instances"][0][key].as_str().unwrap().to_owned();
    (text("state"), text("reason"))
}

fn reachable(host: &Host) -> Option<bool> {
    status(host)["references"][0]["reachable"].as_bool()
}

#[test]
fn a_host_without_a_network_releases_its_address_and_comes_back() {
    let mut fleet = Fleet::start_of(&[150, 100], None, releasing);
    let holders = |fleet: &Fleet, wanted: &[&str]| {
        let found = wait_for(&format!("the holders to be {wanted:?}"), GONE_FOR, || {
            Ok((fleet.holders() == wanted).then_some(()))
        });
        found.unwrap_or_else(|error| panic!("{error}\n{}", fleet.agents[0].log()));
    };
    let reference = |fleet: &Fleet, is_reachable: bool| {
        wait_for(&format!("the reference to be reachable: {is_reachable}"), SOON, || {
            Ok((reachable(&fleet.hosts[0]) == Some(is_reachable)).then_some(()))
        })
        .unwrap();
    };
    reference(&fleet, true);

    // Its service line leads nowhere, and it cannot see that: the carrier stays.
    fleet.hosts[0].isolate(Segment::Service).unwrap();
    holders(&fleet, &["lb01", "lb02"]);
    reference(&fleet, false);
    // While a coordinator is there it has a network: whoever watches the fleet sees both, and decides.
    std::thread::sleep(GONE_FOR + LOOKED_EVERY);
    assert_eq!(instance(&fleet.hosts[0]).0, "MASTER");
    assert_eq!(fleet.holders(), ["lb01", "lb02"]);

    fleet.coordinator.kill().unwrap();
    std::thread::sleep(GONE_FOR - LOOKED_EVERY);
    assert_eq!(instance(&fleet.hosts[0]).0, "MASTER", "not before the time is over");
    holders(&fleet, &["lb02"]);
    assert_eq!(instance(&fleet.hosts[0]), ("FAULT".to_owned(), "isolated".to_owned()));
    // Who reaches its reference keeps its address, though it hears nobody and no coordinator is there.
    assert_eq!(instance(&fleet.hosts[1]).0, "MASTER");

    fleet.hosts[0].rejoin(Segment::Service).unwrap();
    holders(&fleet, &["lb01"]);
}
