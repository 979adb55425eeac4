//! `no_accept`: the holder answers for the address, and takes nothing that is sent to it.

use std::time::Duration;

use hafleet_tests::lab::{AgentConfiguration, Host, Lab, start_agent, wait_for};
use rustix::process::Signal;

const PATIENCE: Duration = Duration::from_secs(15);

fn conf(accept: &str) -> String {
    format!(
        "vrrp_instance VI_1 {{\n    interface ens33\n    virtual_router_id 51\n    priority 150\n    {accept}\n    \
         virtual_ipaddress {{\n        192.168.178.3/24\n    }}\n}}\n"
    )
}

fn answers(client: &Host, address: &str) -> bool {
    client.run("ping", &["-c", "1", "-W", "1", address]).is_ok()
}

#[test]
fn packets_to_an_address_that_is_not_accepted_are_dropped_and_arp_is_answered() {
    let mut lab = Lab::new().unwrap();
    let lb01 = lab.host("lb01", "192.168.178.130/24").unwrap();
    let client = lab.client("client", "192.168.178.9/24").unwrap();
    let mut agent = start_agent(&lb01, AgentConfiguration::Keepalived(&conf("no_accept")), &[]).unwrap();
    wait_for("the VIP", PATIENCE, || Ok(lb01.holds("192.168.178.3")?.then_some(()))).unwrap();
    assert!(!answers(&client, "192.168.178.3"));
    assert!(answers(&client, "192.168.178.130"), "other addresses are not concerned");
    let neighbour = client.run("ip", &["neigh", "show", "192.168.178.3"]).unwrap();
    assert!(neighbour.contains("lladdr"), "{neighbour}");

    lb01.write("keepalived.conf", &conf("accept")).unwrap();
    agent.signal(Signal::HUP);
    wait_for("an answer", PATIENCE, || Ok(answers(&client, "192.168.178.3").then_some(()))).unwrap();
    lb01.write("keepalived.conf", &conf("no_accept")).unwrap();
    agent.signal(Signal::HUP);
    wait_for("silence", PATIENCE, || Ok((!answers(&client, "192.168.178.3")).then_some(()))).unwrap();

    assert!(agent.terminate(PATIENCE).unwrap().success(), "{}", agent.log());
    let rules = lb01.run("nft", &["list", "ruleset"]).unwrap();
    assert!(!rules.contains("hafleet"), "{rules}");
}
