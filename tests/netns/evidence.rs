//! What real agents see of a group, asked for by a person.

use crate::fleet::{Fleet, VIP};

#[test]
fn a_probe_says_whose_mac_answers_for_the_address() {
    let fleet = Fleet::start(&[150, 100, 50]);
    let group = fleet.coordinator.json(&["describe", "group", "web", "--probe"]).unwrap();
    assert_eq!(group["probe"]["answered"], serde_json::json!(["lb01", "lb02", "lb03"]), "{group:#}");
    let witnesses = group["witnesses"].as_array().unwrap();
    let of = |node: &str| {
        let seen = witnesses.iter().find(|seen| seen["node"] == node && seen["address"] == VIP);
        seen.unwrap_or_else(|| panic!("{node} was not asked for {VIP}: {group:#}"))
    };
    // The holder does not answer itself; the others hear it alone, and know it by its own address.
    assert_eq!(of("lb01")["macs"], serde_json::json!([]));
    for node in ["lb02", "lb03"] {
        let macs = of(node)["macs"].as_array().unwrap();
        assert_eq!((macs.len(), &macs[0]["node"]), (1, &serde_json::json!("lb01")), "{group:#}");
        assert!(of(node)["age_ms"].as_u64().unwrap() < 10_000, "{group:#}");
    }
    let heard = group["heard"].as_array().unwrap();
    assert!(
        heard.iter().any(|line| line["node"] == "lb02" && line["source"] == "192.168.178.130"),
        "{group:#}"
    );
    let clocks = group["clocks"].as_array().unwrap();
    assert_eq!(clocks.len(), 3);
    // One machine, one clock.
    for clock in clocks {
        let (offset, uncertainty) =
            (clock["offset_us"].as_i64().unwrap(), clock["uncertainty_us"].as_u64().unwrap());
        assert!(offset.unsigned_abs() <= uncertainty, "{clock:#}");
    }
    let shown = fleet.coordinator.shown(&["describe", "node", "lb02"]).unwrap();
    assert!(shown.contains("WHO ANSWERED IT") && shown.contains("(lb01)"), "{shown}");
}
