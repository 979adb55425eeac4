//! A new configuration under a client that asks the virtual IP every millisecond: not one probe is lost, nobody changes its state.

use std::{fs, path::PathBuf, time::Duration};

use hafleet_tests::lab::{
    AgentConfiguration, Host, Lab, Probe, Process, agent_state_dir, program, start_agent, wait_for,
};
use rustix::process::Signal;
use serde_json::Value;

const VIP: &str = "192.168.178.3";
const PATIENCE: Duration = Duration::from_secs(15);

/// keepalived.conf with the tutorial's instance, more addresses and more instances.
fn conf(priority: u8, more_addresses: &str, more_instances: &str) -> String {
    format!(
        "vrrp_instance VI_1 {{\n    state BACKUP\n    interface ens33\n    virtual_router_id 51\n    priority {priority}\n\
         advert_int 1\n    authentication {{\n        auth_type PASS\n        auth_pass 1111\n    }}\n\
         virtual_ipaddress {{\n        {VIP}/24 dev ens33 label ens33:3\n{more_addresses}\n    }}\n}}\n{more_instances}"
    )
}

fn second_instance() -> &'static str {
    "vrrp_instance VI_2 {\n    interface ens33\n    virtual_router_id 52\n    priority 150\n    advert_int 1\n\
     virtual_ipaddress {\n        192.168.178.7/24\n    }\n}\n"
}

struct Fleet {
    lb01: Host,
    lb02: Host,
    agent01: Process,
    _agent02: Process,
    _servers: [Process; 2],
    probe: Probe,
    file: PathBuf,
    _lab: Lab,
}

impl Fleet {
    fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        let lb01 = lab.host("lb01", "192.168.178.130/24").unwrap();
        let lb02 = lab.host("lb02", "192.168.178.131/24").unwrap();
        let client = lab.client("client", "192.168.178.9/24").unwrap();
        let servers = [lb01.serve(VIP).unwrap(), lb02.serve(VIP).unwrap()];
        let agent01 = start_agent(&lb01, AgentConfiguration::Keepalived(&conf(150, "", "")), &[]).unwrap();
        wait_for("lb01 to hold the VIP", PATIENCE, || Ok(lb01.holds(VIP)?.then_some(()))).unwrap();
        let agent02 = start_agent(&lb02, AgentConfiguration::Keepalived(&conf(100, "", "")), &[]).unwrap();
        let probe = Probe::start(&client, VIP).unwrap();
        let file = lb01.directory().join("keepalived.conf");
        Self { lb01, lb02, agent01, _agent02: agent02, _servers: servers, probe, file, _lab: lab }
    }

    fn write(&self, conf: &str) {
        fs::write(&self.file, conf).unwrap();
    }

    /// Writes the file, and asks for it to be read.
    fn reload(&self, conf: &str) {
        let (taken, refused) = self.counts();
        self.write(conf);
        self.agent01.signal(Signal::HUP);
        wait_for("the configuration to be taken or refused", PATIENCE, || {
            let (taken_now, refused_now) = self.counts();
            Ok((taken_now + refused_now > taken + refused).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error}; the log:\n{}", self.agent01.log()));
    }

    fn counts(&self) -> (u64, u64) {
        let status = status(&self.lb01);
        let count = |key: &str| status["configuration"][key].as_u64().unwrap();
        (count("taken"), count("refused"))
    }

    /// Nothing was lost and nobody moved.
    fn nobody_noticed(self) {
        let outage = self.probe.finish().unwrap();
        assert_eq!((outage.lost, &outage.served_by[..]), (0, &["lb01".to_owned()][..]), "{outage:?}");
        let state = |host: &Host| status(host)["instances"][0].clone();
        let (one, two) = (state(&self.lb01), state(&self.lb02));
        assert_eq!((one["state"].as_str(), one["reason"].as_str()), (Some("MASTER"), Some("master_down")));
        assert_eq!((two["state"].as_str(), two["reason"].as_str()), (Some("BACKUP"), Some("started")));
    }
}

fn status(host: &Host) -> Value {
    let directory = agent_state_dir(host);
    let arguments = ["status", "-o", "json", "--state-dir", directory.to_str().unwrap()];
    serde_json::from_str(&host.run(program("ha-agent").unwrap(), &arguments).unwrap()).unwrap()
}

#[test]
fn a_client_loses_nothing_while_addresses_priorities_and_instances_change() {
    let fleet = Fleet::new();
    // Unchanged.
    fleet.reload(&conf(150, "", ""));
    // An address more, and its end.
    fleet.reload(&conf(150, "192.168.178.5/24 dev ens33", ""));
    wait_for("the new address", PATIENCE, || Ok(fleet.lb01.holds("192.168.178.5")?.then_some(()))).unwrap();
    fleet.reload(&conf(150, "", ""));
    wait_for("its end", PATIENCE, || Ok((!fleet.lb01.holds("192.168.178.5")?).then_some(()))).unwrap();
    // A priority that is still the higher one.
    fleet.reload(&conf(120, "", ""));
    // An instance more, until it serves.
    fleet.reload(&conf(120, "", second_instance()));
    wait_for("the new instance to serve", PATIENCE, || Ok(fleet.lb01.holds("192.168.178.7")?.then_some(())))
        .unwrap();
    assert_eq!(fleet.counts(), (5, 0));
    // Past the lease that was in force when an address was taken off: the other one's goes on.
    std::thread::sleep(Duration::from_secs(4));
    fleet.nobody_noticed();
}

#[test]
fn twice_within_ten_milliseconds_and_a_broken_file_harm_nobody() {
    let fleet = Fleet::new();
    fleet.write(&conf(150, "192.168.178.5/24 dev ens33", ""));
    fleet.agent01.signal(Signal::HUP);
    fleet.write(&conf(140, "192.168.178.6/24 dev ens33", ""));
    fleet.agent01.signal(Signal::HUP);
    wait_for("the second file's address, and not the first's", PATIENCE, || {
        Ok((fleet.lb01.holds("192.168.178.6")? && !fleet.lb01.holds("192.168.178.5")?).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}; the log:\n{}", fleet.agent01.log()));
    let addresses = fleet.lb01.inet_lines("ens33").unwrap();
    fleet.reload(&conf(140, "192.168.178.300/24", "vrrp_instance VI_3 {\n"));
    let status = status(&fleet.lb01);
    let error = status["configuration"]["error"].as_str().unwrap();
    assert!(error.contains("keepalived.conf:13:1: error: `192.168.178.300/24` is not an address"), "{error}");
    assert_eq!(fleet.lb01.inet_lines("ens33").unwrap(), addresses, "a broken file changes nothing");
    assert_eq!(status["instances"].as_array().unwrap().len(), 1);
    fleet.nobody_noticed();
}
